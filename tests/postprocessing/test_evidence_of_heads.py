"""Claims about heads: evidence of the default that knows the group."""

import warnings

import numpy as np
import pandas as pd
import pytest
from held import calibrated
from scipy import sparse
from scipy.special import expit, logit
from sklearn.ensemble import BaggingClassifier
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.fairness._group_heads import fit_group_head
from sklearn_fairsisa.metrics import (
    expected_balanced_accuracy_score,
    expected_equalized_odds_difference,
)
from sklearn_fairsisa.postprocessing._evidence import decisions
from sklearn_fairsisa.postprocessing._views import as_numbers
from sklearn_fairsisa.sisa._digests import digest

BALANCED = {"objective": "balanced_accuracy_score", "random_state": 0}


def opposite(n=900, seed=0, noise=1.5):
    """Two groups whose positives lie in different directions."""
    rng = np.random.default_rng(seed)
    X, group = rng.normal(size=(n, 3)), np.arange(n) % 2
    margin = X[:, 0] + np.where(group == 0, 2 * X[:, 1], -2 * X[:, 1])
    y = (rng.random(n) < expit(noise * margin)).astype(int)
    return X, y, group.astype(float)


def over(learner=None, n_shards=4, calibration="auto", **params):
    sisa = SISAClassifier(learner or LogisticRegression(), n_shards=n_shards)
    params = {**BALANCED, "calibration": calibration, **params}
    return FairEnsemblePostprocessor(sisa, **params)


def judged(fair, n=6000):
    X, y, group = opposite(n, seed=1)
    p = fair.selection_probability(X, sensitive_features=group)
    gap = expected_equalized_odds_difference(y, p, sensitive_features=group)
    return expected_balanced_accuracy_score(y, p), gap


def without_heads(fair, X, y, group):
    return fair.set_params(method="soft_ensemble").fit(X, y, sensitive_features=group)


# Of rows held out, members whose errors differ tell the groups' directions too.
@pytest.mark.parametrize(("calibration", "gain"), [("cross_shard", 0.05), (0.4, 0.0)])
def test_where_groups_differ_the_default_decides_better_than_its_members(
    calibration, gain
):
    X, y, group = opposite()
    fair = over(calibration=calibration).fit(X, y, sensitive_features=group)
    accuracy, gap = judged(fair)
    plain, _ = judged(without_heads(over(calibration=calibration), X, y, group))
    assert accuracy > plain + gain
    assert gap < 0.1


@pytest.mark.parametrize(
    "ensemble",
    [
        BaggingClassifier(DecisionTreeClassifier(max_depth=3), 5),
        lambda X, y: [FrozenEstimator(LogisticRegression().fit(X, y))],
        lambda X, y: FrozenEstimator(
            SISAClassifier(LogisticRegression(), n_shards=1).fit(X, y)
        ),
    ],
    ids=["trained", "list", "frozen"],
)
def test_ensembles_that_are_not_sharded_have_heads_too(ensemble):
    X, y, group = opposite()
    if callable(ensemble):
        ensemble = ensemble(X[:400], y[:400])
        X, y, group = X[400:], y[400:], group[400:]
    params = {**BALANCED, "calibration": 0.5}
    fair = FairEnsemblePostprocessor(ensemble, **params)
    accuracy, _ = judged(fair.fit(X, y, sensitive_features=group))
    plain = FairEnsemblePostprocessor(ensemble, **params, method="soft_ensemble")
    assert accuracy > judged(plain.fit(X, y, sensitive_features=group))[0] + 0.05
    assert "head" in fair.member_weights_


def test_a_row_is_scored_by_a_head_that_saw_no_row_or_member_of_its_shard():
    X, y, group = opposite(600)
    fair = over().fit(X, y, sensitive_features=group)
    rows, plan = calibrated(fair).rows, fair.estimator_.plan_
    shard, scores = plan.shard_of(rows.index), rows.of_members.scores
    z = logit(scores.clip(0.01, 0.99))
    for s in range(4):
        # An oracle that goes row by row.
        known = np.array(
            [
                np.mean([z[i, u] for u in range(4) if u not in (s, shard[i])])
                for i in range(len(rows))
            ]
        )[:, None]
        others = shard != s
        head = fit_group_head(
            X[others], group[others].astype(int), y[others] == 1, known[others]
        )
        own = ~others
        expected = expit(head.logit(X[own], group[own].astype(int), known[own]))
        np.testing.assert_allclose(rows.scores[own, -1], expected, rtol=1e-9)


def test_new_people_are_scored_by_the_mean_over_the_heads():
    X, y, group = opposite(600)
    fair = over().fit(X, y, sensitive_features=group)
    rule, (new, _, code) = calibrated(fair), opposite(50, seed=2)
    z = logit(fair.estimator_.transform(new).clip(0.01, 0.99))
    code, logits = code.astype(int), []
    for s, fold in enumerate(rule.heads.folds):
        known = np.delete(z, s, axis=1).mean(axis=1)[:, None]
        logits.append(fold.label.logit(new, code, known))
    found = fair._serving().evidence(new, code)
    np.testing.assert_allclose(found[:, -1], expit(np.mean(logits, axis=0)))
    # One at a time, the same bits.
    for i in range(5):
        alone = fair._serving().evidence(new[[i]], code[[i]])
        np.testing.assert_array_equal(alone[:, -1], found[[i], -1])


def test_rows_of_no_group_train_and_do_not_calibrate():
    X, y, group = opposite()
    group[600:] = np.nan
    fair = over(unknown_group="unconstrained").fit(X, y, sensitive_features=group)
    assert fair.calibration_indices_.max() == 599
    rule = calibrated(fair)
    assert rule.rows.has_head
    # People without a group are decided on by the members alone, as without heads.
    new, nobody = opposite(50, seed=2)[0], np.full(50, np.nan)
    have = fair.selection_probability(new, sensitive_features=nobody)
    blind = calibrated(fair).rule.blind
    scores, silent = fair.estimator_.transform(new), np.eye(4, dtype=bool)
    asked = "selection_probability", scores, np.zeros(50, dtype=int)
    shares = np.bincount(fair.estimator_.plan_.shard_of(np.arange(600))) / 600
    expected = sum(
        share * decisions(blind, *asked, np.tile(~s, (50, 1)), {})
        for share, s in zip(shares, silent, strict=True)
    )
    np.testing.assert_allclose(have, expected, atol=1e-9)


def in_kind(kind, X):
    frame = pd.DataFrame(X).add_prefix("x")
    if kind == "categories":
        sign = np.where(X > 0, "high", "low")
        return pd.DataFrame({f"x{j}": pd.Categorical(sign[:, j]) for j in range(3)})
    if kind == "texts":
        return [
            " ".join(f"w{j}{'abcd'[int(v > -0.7) + int(v > 0) + int(v > 0.7)]}"
                     for j, v in enumerate(row))
            for row in X
        ]  # fmt: skip
    return {
        "array": X, "frame": frame, "sparse": sparse.csr_array(X),
        "wide": sparse.hstack([sparse.csr_array((len(X), 2000)), X]).tocsr(),
    }[kind]  # fmt: skip


# Texts and categories of three signs repeat.
@pytest.mark.filterwarnings("ignore::sklearn_fairsisa.exceptions.SharedCoinWarning")
@pytest.mark.parametrize(
    "kind", ["array", "frame", "sparse", "wide", "texts", "categories"]
)
def test_rows_of_any_kind_are_evidence(kind):
    X, y, group = opposite()
    learner = {
        "texts": make_pipeline(HashingVectorizer(n_features=64), LogisticRegression()),
        "categories": make_pipeline(OneHotEncoder(), LogisticRegression()),
    }.get(kind, LogisticRegression())
    rows, new = in_kind(kind, X), opposite(3000, seed=1)
    accuracy = []
    for method in ("smooth_ensemble", "soft_ensemble"):
        fair = over(learner, method=method).fit(rows, y, sensitive_features=group)
        p = fair.selection_probability(in_kind(kind, new[0]), sensitive_features=new[2])
        accuracy.append(expected_balanced_accuracy_score(new[1], p))
    assert accuracy[0] > accuracy[1] + 0.05


def test_outputs_of_members_alone_have_no_heads():
    X, y, group = opposite()
    scores = expit(X)
    fair = FairEnsemblePostprocessor(**BALANCED).fit(
        scores, y, sensitive_features=group
    )
    assert calibrated(fair).heads is None
    assert fair.member_weights_.columns.tolist() == [0, 1, 2]


@pytest.mark.parametrize("method", ["soft_ensemble", "ensemble"])
def test_other_methods_hear_no_heads(method):
    X, y, group = opposite(300)
    fair = over(method=method).fit(X, y, sensitive_features=group)
    assert calibrated(fair).heads is None


def test_more_classes_have_no_heads():
    X, y, group = opposite(600)
    fair = over().fit(X, np.where(X[:, 2] > 1, 2, y), sensitive_features=group)
    assert calibrated(fair).heads is None


# Forgetting


def state(fair):
    rule = calibrated(fair)
    new, _, group = opposite(200, seed=3)
    return digest((rule.heads, rule.rows)), fair.selection_probability(
        new, sensitive_features=group
    ).tobytes()


GONE = [3, 40, 41, 111, 250]


def twin_of(X, y, group):
    twin = X.copy(), y.copy(), group.copy()
    twin[0][GONE], twin[1][GONE], twin[2][GONE] = 9.0, 1 - y[GONE], 1 - group[GONE]
    return twin


@pytest.mark.parametrize("calibration", ["cross_shard", 0.4])
@pytest.mark.parametrize("by_subject", [False, True])
def test_twins_whose_forgotten_rows_held_something_else_end_in_the_same_bits(
    calibration, by_subject
):
    data = opposite(400)
    found = []
    for X, y, group in (data, twin_of(*data)):
        subjects = np.arange(400) // 2 if by_subject else None
        fair = over(calibration=calibration).fit(
            X, y, sensitive_features=group, subjects=subjects
        )
        found.append(state(fair.forget(GONE)))
    assert found[0] == found[1]
    assert fair.estimator_.verify_forgotten()


def test_twins_over_a_frozen_ensemble_end_in_the_same_bits():
    X, y, group = opposite(700)
    frozen = FrozenEstimator(SISAClassifier(n_shards=2).fit(X[400:], y[400:]))
    data, found = (X[:400], y[:400], group[:400]), []
    for rows, labels, groups in (data, twin_of(*data)):
        fair = FairEnsemblePostprocessor(frozen, **BALANCED)
        fair.fit(rows, labels, sensitive_features=groups)
        found.append(
            (*state(fair.forget(GONE)), calibrated(fair).numbers.numbers.tobytes())
        )
    assert found[0] == found[1]
    fresh = calibrated(fair.forget([7])).solved()
    assert digest(fresh.heads) == digest(calibrated(fair).heads)


def test_heads_are_silent_while_a_member_is_behind_and_relearn_has_them_speak():
    X, y, group = opposite(400)
    fair, straight = (over().fit(X, y, sensitive_features=group) for _ in range(2))
    gone = fair.estimator_.plan_.rows(0)[:3]
    fair.forget(gone, relearn=False)
    assert calibrated(fair).heads is None
    assert not calibrated(fair).rows.has_head
    assert np.isfinite(fair.predict(X, sensitive_features=group)).all()
    assert state(fair.relearn()) == state(straight.forget(gone))


class Deaf(LogisticRegression):
    """Members that never change, whatever their rows."""

    def fit(self, X, y, sample_weight=None):
        super().fit([[0.0] * 3, [1.0] * 3], [0, 1])
        return self


def test_heads_speak_again_even_if_no_member_changed():
    X, y, group = opposite(400)
    fair = over(Deaf()).fit(X, y, sensitive_features=group)
    fair.forget(GONE, relearn=False).relearn()
    assert calibrated(fair).heads is not None
    straight = over(Deaf()).fit(X, y, sensitive_features=group).forget(GONE)
    assert state(fair) == state(straight)


def test_a_directory_ends_in_the_bits_of_memory(tmp_path):
    X, y, group = opposite(400)
    fair = over().fit(X, y, sensitive_features=group)
    sisa = SISAClassifier(LogisticRegression(), n_shards=4, checkpoint_dir=tmp_path)
    FairEnsemblePostprocessor(sisa, **BALANCED).fit(X, y, sensitive_features=group)
    SISAClassifier.load(tmp_path).forget(GONE)
    loaded = FairEnsemblePostprocessor.load(tmp_path)
    assert state(loaded) == state(fair.forget(GONE))


@pytest.mark.parametrize("n_shards", [2, 3])
def test_few_shards_suffice(n_shards):
    X, y, group = opposite()
    fair = over(n_shards=n_shards).fit(X, y, sensitive_features=group)
    assert judged(fair)[0] > 0.7
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fair.forget(fair.estimator_.plan_.rows(0)[:5])
    assert fair.estimator_.verify_forgotten()


def test_an_empty_shard_has_a_head_and_no_member():
    X, y, group = opposite(400)
    fair = over().fit(X, y, sensitive_features=group)
    with pytest.warns(UserWarning, match="have no rows"):
        fair.forget(fair.estimator_.plan_.rows(1))
    rule = calibrated(fair)
    assert len(rule.heads.folds) == 4
    assert rule.heads.heard.shape == (4, 3)
    assert judged(fair)[0] > 0.7


# Rows as numbers


def test_the_numbers_of_a_row_do_not_depend_on_other_rows():
    X = opposite(60)[0]
    for kind in ("array", "frame", "sparse", "wide", "texts", "categories"):
        rows = in_kind(kind, X)
        numbers = as_numbers(rows)
        where = [5, 17]
        if isinstance(rows, list):
            some = [rows[i] for i in where]
        else:
            some = rows.iloc[where] if hasattr(rows, "iloc") else rows[where]
        np.testing.assert_array_equal(as_numbers(some), numbers[where])


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[1, None], [True, 2.5]], [[1, np.nan], [1, 2.5]]),
        (np.ones((2, 2, 1)), [[1, 1], [1, 1]]),
        (np.array([3, 4]), [[3], [4]]),
        (pd.DataFrame({"a": pd.array([1, None], "Int64")}), [[1], [np.nan]]),
        (pd.DataFrame({"t": pd.to_datetime(["2020-01-01"])}), [[np.nan]]),
        ([{"a": 1}], [[np.nan]]),
        ([[10**400]], [[np.nan]]),
    ],
)
def test_what_is_a_number_stays_one_and_what_is_neither_that_nor_a_string_is_missing(
    rows, expected
):
    np.testing.assert_array_equal(as_numbers(rows), expected)
