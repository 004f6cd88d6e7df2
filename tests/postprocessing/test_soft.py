import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from sklearn_fairsisa import FairEnsemblePostprocessor
from sklearn_fairsisa.metrics import (
    expected_balanced_accuracy_score,
    expected_equalized_odds_difference,
)
from sklearn_fairsisa.postprocessing._soft import LogitWeights


def make_scores(n=2000, seed=0, n_members=5):
    """Scores of members each of whom says more of one group than of another."""
    rng = np.random.default_rng(seed)
    group = rng.choice(3, n, p=[0.6, 0.25, 0.15])
    label = rng.random(n) < 0.5
    strength = np.random.default_rng(99).normal(0.5, 0.6, (3, n_members))[group]
    z = np.where(label, 1, -1)[:, None] * strength + rng.normal(size=(n, n_members))
    return expit(z), group, label


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("silenced", [False, True])
def test_weights_are_those_of_a_ridge_with_columns_of_all_and_of_each_group(
    weighted, silenced
):
    scores, group, label = make_scores()
    rng = np.random.default_rng(1)
    weight = rng.integers(0, 4, len(label)).astype(float) if weighted else None
    counted = None
    z = logit(scores)
    if silenced:
        own = rng.integers(0, 5, len(label))
        counted = own[:, None] != np.arange(5)
        z[~counted] = z[counted].reshape(-1, 4).mean(axis=1)
    have = LogitWeights.fit(
        scores, group, label, weight, counted, common=0.8, own=0.4
    ).weights

    mean = z.mean(axis=1, keepdims=True)
    repeats = np.ones(len(z), dtype=int) if weight is None else weight.astype(int)
    spread = (
        np.repeat(mean, repeats, axis=0).std(),
        np.repeat(z - mean, repeats, axis=0).std() * np.sqrt(5),
    )
    known = np.hstack([mean / spread[0], (z - mean) / spread[1]])
    # A prior's standard deviation is the factor of its column.
    of_all = np.array([10.0] + [0.8] * 5)
    one = np.eye(3)[group]
    columns = [
        known * of_all,
        1e3 * one,
        *(0.4 * known * one[:, [a]] for a in range(3)),
    ]
    ridge = LogisticRegression(
        C=1.0, fit_intercept=False, solver="newton-cholesky", tol=1e-10
    ).fit(np.hstack(columns), label, weight)
    common, _, own = np.split(ridge.coef_.ravel(), [6, 9])
    total = of_all * common + 0.4 * own.reshape(3, 6)
    change = total[:, 1:] - total[:, 1:].mean(axis=1, keepdims=True)
    expected = total[:, :1] / spread[0] / 5 + change / spread[1]
    np.testing.assert_allclose(have, expected, rtol=1e-6, atol=1e-8)


def test_a_group_may_stand_anywhere_among_the_rows():
    scores, group, label = make_scores()
    order = np.argsort(group, kind="stable")
    weights = LogitWeights.fit(scores, group, label).weights
    ordered = LogitWeights.fit(scores[order], group[order], label[order]).weights
    np.testing.assert_allclose(weights, ordered, rtol=1e-10)


def test_rows_of_no_weight_are_no_rows():
    scores, group, label = make_scores()
    weight = np.random.default_rng(2).integers(0, 2, len(label)).astype(float)
    kept = weight > 0
    weighted = LogitWeights.fit(scores, group, label, weight).weights
    alone = LogitWeights.fit(scores[kept], group[kept], label[kept]).weights
    np.testing.assert_allclose(weighted, alone, rtol=1e-9)


def test_few_people_of_a_group_get_weights_near_those_of_all():
    scores, group, label = make_scores()
    few = np.flatnonzero(group == 2)[:12]
    rows = np.concatenate([np.flatnonzero(group != 2), few])

    def distance(rows):
        weights = LogitWeights.fit(scores[rows], group[rows], label[rows]).weights
        unit = weights / np.linalg.norm(weights, axis=1, keepdims=True)
        common = unit[:2].mean(axis=0)
        return np.linalg.norm(unit[2] - common)

    assert distance(rows) < distance(np.arange(len(label))) / 2


@pytest.mark.parametrize("n_members", [1, 3, 4])
def test_members_that_say_nothing_apart_are_weighed_equally(n_members):
    rng = np.random.default_rng(0)
    scores = np.repeat(rng.random((50, 1)), n_members, axis=1)
    group, label = rng.integers(0, 2, (2, 50))
    weights = LogitWeights.fit(scores, group, label == 1).weights
    np.testing.assert_array_equal(weights, np.full((2, n_members), 1 / n_members))


def test_rows_of_one_label_teach_no_weights():
    scores, group, label = make_scores(100)
    weights = LogitWeights.fit(scores, group, np.ones_like(label)).weights
    np.testing.assert_array_equal(weights, np.full((3, 5), 1 / 5))


def test_a_silent_member_is_taken_to_say_what_the_others_say():
    scores, group, label = make_scores()
    weights = LogitWeights.fit(scores, group, label)
    counted = np.ones(scores.shape, dtype=bool)
    counted[:, 2] = False
    filled = scores.copy()
    filled[:, 2] = expit(logit(scores[:, [0, 1, 3, 4]]).mean(axis=1))
    np.testing.assert_allclose(
        weights.score(scores, group, counted), weights.score(filled, group), atol=1e-12
    )


@pytest.mark.parametrize("method", ["soft_ensemble", "smooth_ensemble"])
def test_a_decision_follows_from_the_weights_and_the_table(method):
    scores, group, label = make_scores()
    names = np.array(["red", "green", "blue"])[group]
    fair = FairEnsemblePostprocessor(method=method, random_state=0)
    fair.fit(scores, label, sensitive_features=names)
    said = (logit(scores) * fair.member_weights_.loc[names].to_numpy()).sum(axis=1)
    ends = fair.rule_.cell.str.strip("[)").str.split(", ", expand=True)
    low, high = ends.astype(float).to_numpy().T
    inside = (fair.rule_.group.to_numpy() == names[:, None]) & (
        (said[:, None] >= low) & (said[:, None] < high)
    )
    # The table rounds the ends, so a score may fall between two of them.
    clear = inside.sum(axis=1) == 1
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(
        (inside @ fair.rule_.probability.to_numpy())[clear],
        fair.selection_probability(scores, sensitive_features=names)[clear],
    )


def test_votes_have_no_weights():
    scores, group, label = make_scores(500)
    fair = FairEnsemblePostprocessor(method="ensemble", random_state=0)
    fair.fit(scores > 0.5, label, sensitive_features=group)
    with pytest.raises(AttributeError, match="method='ensemble' gives members no"):
        _ = fair.member_weights_


@pytest.mark.parametrize("method", ["soft_ensemble", "smooth_ensemble"])
def test_where_groups_differ_their_own_weights_do_better_than_equal_ones(method):
    scores, group, label = make_scores(6000)
    new, new_group, new_label = make_scores(20_000, seed=1)

    def outcome(calibration, new):
        fair = FairEnsemblePostprocessor(
            method=method, objective="balanced_accuracy_score", random_state=0
        ).fit(calibration, label, sensitive_features=group)
        chosen = fair.selection_probability(new, sensitive_features=new_group)
        return expected_balanced_accuracy_score(
            new_label, chosen
        ), expected_equalized_odds_difference(
            new_label, chosen, sensitive_features=new_group
        )

    own = outcome(scores, new)
    equal = outcome(*(expit(logit(s).mean(axis=1))[:, None] for s in (scores, new)))
    assert own[0] > equal[0] + 0.03
    assert own[1] < 0.06 > equal[1]
