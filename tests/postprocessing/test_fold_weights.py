"""Weights without each fold are those of a search on the other rows alone."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit

from sklearn_fairsisa import FairEnsemblePostprocessor
from sklearn_fairsisa.postprocessing import _held_out
from sklearn_fairsisa.postprocessing._calibration import CalibrationRows
from sklearn_fairsisa.postprocessing._fold_weights import FoldedRows, fold_weights
from sklearn_fairsisa.postprocessing._logit_weights import LogitWeights, logits_of
from sklearn_fairsisa.postprocessing._rule import learn_rule

N_FOLDS = 5


def given_rows(n=300, n_columns=4, n_groups=3, differ=1.0, seed=0, **more):
    """Return rows of members that know more or less, in groups of different sizes."""
    rng = np.random.default_rng(seed)
    group = rng.choice(n_groups, n, p=np.arange(1, n_groups + 1) / 6)
    label = rng.random(n) < 0.4 + 0.1 * group
    signal = 0.6 * (1 + differ * rng.normal(size=(n_groups, n_columns)))
    z = np.where(label, 1, -1)[:, None] * signal[group] + rng.normal(size=(n, 1))
    z += rng.normal(size=(n, n_columns))
    return CalibrationRows(np.arange(n), group, label, scores=expit(z), **more)


def folds_of(rows, seed=1):
    return np.random.default_rng(seed).permutation(len(rows)) % N_FOLDS


def without_folds(rows, fold, kept=None):
    if kept is None:
        kept = np.ones((fold.max() + 1, rows.group.max() + 1), dtype=bool)
    return fold_weights(FoldedRows(rows, fold, kept))


def from_nothing(rows):
    """Weights of a dense search on some rows, taken to its end from zero."""
    z, has_head = logit(rows.scores), int(rows.has_head)
    members, heads = z[:, : z.shape[1] - has_head], z[:, z.shape[1] - has_head :]
    mean = members.mean(axis=1, keepdims=True)
    total = np.ones(len(z)) if rows.weight is None else rows.weight
    parts = [mean, heads - mean, members - mean]
    spreads = [
        np.sqrt(np.average(np.sum((p - m) ** 2, axis=1), weights=total))
        for p in parts
        for m in [np.average(p, axis=0, weights=total)]
    ]
    n_groups, k = rows.group.max() + 1, 1 + sum(p.shape[1] for p in parts)
    x = np.hstack(
        [np.ones((len(z), 1)), *[p / (s or 1) for p, s in zip(parts, spreads)]]
    )
    # Common coefficients, then those of each group.
    design = np.hstack([x, *[x * (rows.group == a)[:, None] for a in range(n_groups)]])
    theta, factors, n_others = np.zeros(design.shape[1]), np.ones(3), k - 2
    for _ in range(500):
        own = np.r_[1e-6, factors[1], np.full(n_others, factors[2])]
        prior = np.r_[1e6, 0.01, np.full(n_others, factors[0]), np.tile(own, n_groups)]
        for _ in range(50):
            chance = expit(design @ theta)
            weight = total * chance * (1 - chance)
            information = (design.T * weight) @ design + np.diag(prior)
            gradient = design.T @ (total * (rows.label - chance)) - prior * theta
            step = np.linalg.solve(information, gradient)
            theta = theta + step
            if np.abs(step).max() < 1e-12:
                break
        variance = np.diag(np.linalg.inv(information)).reshape(-1, k)
        values, before = theta.reshape(-1, k), factors
        blocks = [
            (values[0, 2:], variance[0, 2:]),
            (values[1:, 1], variance[1:, 1]),
            (values[1:, 2:], variance[1:, 2:]),
        ]
        factors = np.array(
            [
                (c.size - f * v.sum() + 2) / (np.sum(c**2) + 0.2)
                for f, (c, v) in zip(before, blocks)
            ]
        )
        if np.abs(np.log(factors / before)).max() < 1e-9:
            break
    values = (values[0] + values[1:]) / np.r_[1, np.repeat(
        [s or 1 for s in spreads], [p.shape[1] for p in parts]
    )]  # fmt: skip
    n_members = members.shape[1]
    apart = np.eye(z.shape[1])
    apart[:n_members] -= 1 / n_members
    mean = np.repeat([1 / n_members, 0], [n_members, has_head])
    weights = values[:, 1:2] * mean
    weights += values[:, 2 : 2 + has_head] @ (np.eye(z.shape[1])[n_members:] - mean)
    weights += values[:, 2 + has_head :] @ (np.eye(z.shape[1])[:n_members] - mean)
    return weights / np.abs(values[:, 1:2])


@pytest.mark.parametrize("has_head", [False, True])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_shared_searches_end_where_each_does_that_begins_from_nothing(
    has_head, is_weighted
):
    weight = np.random.default_rng(2).integers(1, 4, 300).astype(float)
    rows = given_rows(weight=weight if is_weighted else None, has_head=has_head)
    fold, z = folds_of(rows), logit(rows.scores)
    for k, found in enumerate(without_folds(rows, fold)):
        wanted = from_nothing(rows.take(fold != k))
        assert np.ptp(found.weights, axis=1).min() > 0.05
        scores = [(z * w[rows.group]).sum(axis=1) for w in (found.weights, wanted)]
        np.testing.assert_allclose(*scores, atol=1e-6)


def alone(rows, fold):
    """Weights that the rule's own search finds without each fold."""
    found = []
    for k in range(fold.max() + 1):
        part = rows.take(fold != k)
        z = logits_of(part.scores, part.counted)
        given = z, part.group, part.label, part.weight
        found.append(LogitWeights.fit(*given, n_heads=int(rows.has_head)))
    return found


@pytest.mark.parametrize("has_head", [False, True])
def test_without_the_one_row_of_a_billion_people_the_others_still_count(has_head):
    weight = np.ones(300)
    weight[0] = 1e9
    rows = given_rows(weight=weight, has_head=has_head)
    fold = folds_of(rows)
    others = rows.take(fold != fold[0])
    wanted = LogitWeights.fit(
        logits_of(others.scores),
        others.group,
        others.label,
        others.weight,
        n_heads=int(has_head),
    )
    found = without_folds(rows, fold)[fold[0]]
    np.testing.assert_allclose(found.weights, wanted.weights, atol=0.01)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_members_differ_without_a_fold_where_the_rule_would_say_so(is_weighted):
    n_differ = 0
    for seed in range(6):
        rows = given_rows(differ=0.15, seed=seed)
        if is_weighted:
            weight = np.random.default_rng(seed).integers(0, 4, len(rows))
            rows = replace(rows, weight=weight.astype(float))
        fold = folds_of(rows)
        for shared, own in zip(without_folds(rows, fold), alone(rows, fold)):
            differ = [np.ptp(w.weights) > 1e-9 for w in (shared, own)]
            assert differ[0] == differ[1]
            n_differ += differ[0]
            # The rule's own search ends as soon as factors change by a fiftieth.
            np.testing.assert_allclose(shared.weights, own.weights, atol=0.02)
    assert 0 < n_differ < 6 * N_FOLDS


def test_equal_weights_are_those_of_the_rule_to_the_bit():
    rows = given_rows(differ=0.0, seed=1)
    # In one group, positives have the smaller scores.
    turned = np.where((rows.group == 2)[:, None], 1 - rows.scores, rows.scores)
    rows = replace(rows, scores=turned)
    fold = folds_of(rows)
    for shared, own in zip(without_folds(rows, fold), alone(rows, fold)):
        np.testing.assert_array_equal(own.weights[:, 0] > 0, [True, True, False])
        np.testing.assert_array_equal(shared.weights, own.weights)


@pytest.mark.parametrize("differ", [0.0, 1.0])
def test_a_last_group_without_rows_makes_no_difference(differ):
    rows = given_rows(differ=differ, seed=1)
    rows = replace(rows, scores=1 - rows.scores)
    fold, kept = folds_of(rows), np.ones((N_FOLDS, 4), dtype=bool)
    kept[:, 3] = False
    for more, own in zip(without_folds(rows, fold, kept), without_folds(rows, fold)):
        assert own.weights.min() < 0
        np.testing.assert_allclose(more.weights[:3], own.weights, atol=1e-6)


def test_rows_of_one_label_or_of_one_score_leave_members_equal():
    rows = given_rows()
    one_label = replace(rows, label=np.zeros(len(rows), dtype=bool))
    one_score = replace(rows, scores=np.full(rows.scores.shape, 0.3))
    for given in (one_label, one_score):
        for found in without_folds(given, folds_of(given)):
            np.testing.assert_array_equal(found.weights, 0.25)


def test_a_group_that_is_not_kept_teaches_the_others_nothing():
    rows = given_rows()
    fold = folds_of(rows)
    kept = np.ones((N_FOLDS, 3), dtype=bool)
    kept[1, 2] = False
    part = rows.group < 2
    found = without_folds(rows, fold, kept)[1]
    wanted = without_folds(rows.take(part), fold[part])[1]
    np.testing.assert_allclose(found.weights[:2], wanted.weights, atol=1e-6)
    apart = without_folds(rows, fold)[1]
    assert np.abs(apart.weights[:2] - wanted.weights).max() > 1e-3


@pytest.mark.parametrize("n_left", [1, 40])
def test_rules_without_a_fold_are_those_learnt_on_the_other_rows(n_left, monkeypatch):
    rows = given_rows(n=500)
    # Without the fold of its only positive, the first group cannot be constrained.
    few = np.flatnonzero((rows.group == 0) & rows.label)[n_left:]
    rows = rows.take(np.setdiff1d(np.arange(len(rows)), few))
    fair = FairEnsemblePostprocessor(None, objective="balanced_accuracy_score")
    fair.fit(rows.scores, rows.label.astype(int), sensitive_features=rows.group)
    given = fair._rows, fair._problem, 0.02
    shared = _held_out.cross_fitted(*given)
    monkeypatch.setattr(
        _held_out, "learn_rule", lambda rows, problem, learn: learn_rule(rows, problem)
    )
    alone = _held_out.cross_fitted(*given)
    assert 0 < np.abs(shared - alone).mean() < 0.01
