"""Members that do not differ, and groups that do not differ, are treated alike."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from sklearn_fairsisa import FairEnsemblePostprocessor
from sklearn_fairsisa.metrics import (
    expected_balanced_accuracy_score,
    expected_equalized_odds_difference,
)
from sklearn_fairsisa.postprocessing._logit_weights import LogitWeights, score_tests


def exchangeable(n, rng, n_members=5, n_groups=3):
    """Logits of members that err alike around one score, labels and groups."""
    label, group = rng.random(n) < 0.5, np.arange(n) % n_groups
    score = rng.normal(0.75 * (2.0 * label - 1))
    return score[:, None] + 0.4 * rng.normal(size=(n, n_members)), label, group


def test_members_that_differ_by_chance_alone_are_mostly_weighed_equally():
    equal = []
    for seed in range(100):
        z, label, group = exchangeable(600, np.random.default_rng(seed))
        weights = LogitWeights.fit(z, group, label).weights
        equal.append((weights == 1 / 5).all())
    assert np.mean(equal) > 0.6


def test_a_member_that_is_better_than_the_others_weighs_more_in_all_groups():
    z, label, group = exchangeable(3000, np.random.default_rng(0))
    z[:, 1:] += 2 * np.random.default_rng(1).normal(size=(3000, 4))
    weights = LogitWeights.fit(z, group, label).weights
    assert (weights[:, 0] > 2 * weights[:, 1:].max(axis=1)).all()


@pytest.mark.parametrize("n_heads", [0, 1])
def test_weights_of_a_group_sum_to_one_however_steep_its_odds_are(n_heads):
    rng = np.random.default_rng(0)
    z, label, group = exchangeable(3000, rng)
    z[:, 4] = rng.normal(2.0 * label)
    z[group == 1] *= 0.2
    weights = LogitWeights.fit(z, group, label, n_heads=n_heads).weights
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert np.ptp(weights, axis=0).max() < 0.15


def test_a_head_weighs_more_than_members_that_are_mostly_weighed_equally_beside_it():
    equal = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        z, label, group = exchangeable(1500, rng)
        head = z.mean(axis=1) + rng.normal(0.8 * label)
        z = np.column_stack([z, head])
        weights = LogitWeights.fit(z, group, label, n_heads=1).weights
        assert (weights[:, 5] > 0.2).all()
        equal.append(np.ptp(weights[:, :5], axis=1).max() < 1e-12)
    assert np.mean(equal) > 0.5


def test_the_test_of_members_agrees_with_a_likelihood_ratio():
    """Where departures are small and rows are many both have the same limit."""
    rng = np.random.default_rng(3)
    n = 40_000
    known, deviation = rng.normal(size=(n, 1)), rng.normal(size=(n, 3))
    group = np.repeat([0, 1], n // 2)
    label = rng.random(n) < expit(known[:, 0] + deviation @ [0.06, 0.0, -0.03])

    def fitted(X, rows):
        model = LogisticRegression(C=np.inf, tol=1e-8).fit(X[rows], label[rows])
        chance = model.predict_proba(X[rows])[:, 1]
        both = np.append(model.intercept_, model.coef_)
        return both, 2 * log_loss(label[rows], chance, normalize=False)

    beside, coefficients, ratio = np.hstack([known, deviation]), [], 0.0
    for a in (0, 1):
        own, loss = fitted(known, group == a)
        coefficients.append(own)
        ratio += loss - fitted(beside, group == a)[1]
    apart, together = score_tests(
        known, deviation, np.array(coefficients), group, label, np.ones(n)
    )
    assert apart[1] == 6
    assert together[1] == 3
    assert apart[0] == pytest.approx(ratio, rel=0.02)
    assert 20 < together[0] < apart[0]


def test_weights_scale_the_test_of_members_as_repeated_rows_do():
    rng = np.random.default_rng(0)
    z, label, group = exchangeable(400, rng, n_groups=2)
    order = np.argsort(group, kind="stable")
    z, label, group = z[order], label[order], group[order]
    known, deviation = z[:, :1], z[:, 1:]
    coefficients = np.array([[0.1, 0.8], [-0.2, 0.7]])
    twice = score_tests(known, deviation, coefficients, group, label, np.full(400, 2.0))
    once = score_tests(known, deviation, coefficients, group, label, np.ones(400))
    # Two such people are one, seen twice: the scores and their errors both double.
    np.testing.assert_allclose(twice, once)


@pytest.mark.filterwarnings("ignore:The fair rule decides the same")
@pytest.mark.parametrize("method", ["soft_ensemble", "smooth_ensemble"])
def test_rows_of_no_spread_or_of_one_kind_are_no_error(method):
    scores = np.full((40, 3), 0.5)
    fair = FairEnsemblePostprocessor(method=method, random_state=0)
    fair.fit(scores, np.arange(40) % 2, sensitive_features=np.arange(40) // 20)
    np.testing.assert_array_equal(fair.member_weights_, np.full((2, 3), 1 / 3))


@pytest.mark.filterwarnings("ignore")
def test_a_rule_does_hardly_any_harm_where_groups_do_not_differ():
    gaps, losses = [], []
    for seed in range(6):
        draw = np.random.default_rng(seed)
        z, label, group = exchangeable(600, draw)
        fair = FairEnsemblePostprocessor(
            objective="balanced_accuracy_score", random_state=0
        ).fit(expit(1.5 * z), label, sensitive_features=group)
        z, label, group = exchangeable(60_000, draw)
        chosen = fair.selection_probability(expit(1.5 * z), sensitive_features=group)
        without = (z.mean(axis=1) > 0).astype(float)
        gaps.append(
            expected_equalized_odds_difference(label, chosen, sensitive_features=group)
        )
        losses.append(
            expected_balanced_accuracy_score(label, without)
            - expected_balanced_accuracy_score(label, chosen)
        )
    assert np.mean(gaps) < 0.03
    assert np.mean(losses) < 0.005
