import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from sklearn_fairsisa import FairEnsemblePostprocessor
from sklearn_fairsisa.metrics import (
    expected_balanced_accuracy_score,
    expected_equalized_odds_difference,
)
from sklearn_fairsisa.postprocessing._logit_weights import LogitWeights, logits_of


def make_scores(n=2000, seed=0, n_members=5):
    """Scores of members each of whom says more of one group than of another."""
    rng = np.random.default_rng(seed)
    group = rng.choice(3, n, p=[0.6, 0.25, 0.15])
    label = rng.random(n) < 0.5
    strength = np.random.default_rng(99).normal(0.5, 0.6, (3, n_members))[group]
    z = np.where(label, 1, -1)[:, None] * strength + rng.normal(size=(n, n_members))
    return expit(z), group, label


def weights_of_each_apart(scores, group, label):
    """Directions of the weights of a logistic regression for each group alone."""
    model = LogisticRegression(C=np.inf)
    own = [
        model.fit(logit(scores[group == a]), label[group == a]).coef_.ravel()
        for a in range(3)
    ]
    return direction(np.array(own))


def direction(weights):
    return weights / np.linalg.norm(weights, axis=1, keepdims=True)


def test_many_people_who_differ_get_the_weights_of_their_group_alone():
    scores, group, label = make_scores(60_000)
    have = direction(LogitWeights.fit(logits_of(scores), group, label).weights)
    apart = weights_of_each_apart(scores, group, label)
    np.testing.assert_allclose(have, apart, atol=0.02)


def test_groups_that_do_not_differ_get_nearly_common_weights():
    scores, _, label = make_scores(300)
    group = np.random.default_rng(1).choice(3, len(label), p=[0.6, 0.25, 0.15])
    have = direction(LogitWeights.fit(logits_of(scores), group, label).weights)
    apart = weights_of_each_apart(scores, group, label)
    assert np.ptp(have, axis=0).max() < np.ptp(apart, axis=0).max() / 2


def test_members_that_are_equally_good_get_nearly_equal_weights():
    rng = np.random.default_rng(0)
    group, label = rng.integers(0, 3, 200), rng.random(200) < 0.5
    z = np.where(label, 1, -1)[:, None] * 0.5 + rng.normal(size=(200, 5))
    have = direction(LogitWeights.fit(z, group, label).weights)
    apart = weights_of_each_apart(expit(z), group, label)
    equal = 1 / np.sqrt(5)
    assert np.abs(have - equal).max() < np.abs(apart - equal).max() / 2


def test_members_left_out_teach_as_if_they_said_what_the_others_say():
    scores, group, label = make_scores()
    counted = np.random.default_rng(1).integers(0, 5, len(label))[:, None] != range(5)
    z = logit(scores)
    z[~counted] = z[counted].reshape(-1, 4).mean(axis=1)
    np.testing.assert_allclose(
        LogitWeights.fit(logits_of(scores, counted), group, label).weights,
        LogitWeights.fit(z, group, label).weights,
        rtol=1e-8,
    )


def test_a_group_may_stand_anywhere_among_the_rows():
    scores, group, label = make_scores()
    order = np.argsort(group, kind="stable")
    weights = LogitWeights.fit(logits_of(scores), group, label).weights
    ordered = LogitWeights.fit(
        logits_of(scores)[order], group[order], label[order]
    ).weights
    np.testing.assert_allclose(weights, ordered, rtol=1e-10)


def test_rows_of_no_weight_are_no_rows():
    scores, group, label = make_scores()
    weight = np.random.default_rng(2).integers(0, 2, len(label)).astype(float)
    kept = weight > 0
    weighted = LogitWeights.fit(logits_of(scores), group, label, weight).weights
    alone = LogitWeights.fit(logits_of(scores)[kept], group[kept], label[kept]).weights
    np.testing.assert_allclose(weighted, alone, rtol=1e-9)


@pytest.mark.parametrize("n_members", [1, 3, 4])
def test_members_that_say_nothing_apart_are_weighed_equally(n_members):
    rng = np.random.default_rng(0)
    scores = np.repeat(rng.random((50, 1)), n_members, axis=1)
    group, label = rng.integers(0, 2, (2, 50))
    weights = LogitWeights.fit(logits_of(scores), group, label == 1).weights
    np.testing.assert_array_equal(weights, np.full((2, n_members), 1 / n_members))


def test_rows_of_one_label_teach_no_weights():
    scores, group, label = make_scores(100)
    weights = LogitWeights.fit(logits_of(scores), group, np.ones_like(label)).weights
    np.testing.assert_array_equal(weights, np.full((3, 5), 1 / 5))


def test_a_silent_member_is_taken_to_say_what_the_others_say():
    scores, group, label = make_scores()
    weights = LogitWeights.fit(logits_of(scores), group, label)
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


def reversed_in_one_group(n, share, seed):
    """One score, which is low for the positives of group 1."""
    rng = np.random.default_rng(seed)
    group = (rng.random(n) < share).astype(int)
    y = rng.integers(0, 2, n)
    z = rng.normal(size=n) + 2.5 * (y - 0.5)
    return expit(np.where(group == 1, -z, z)), y, group


@pytest.mark.parametrize("method", ["soft_ensemble", "smooth_ensemble"])
@pytest.mark.parametrize("n_alike", [1, 3])
@pytest.mark.parametrize(("n", "share"), [(3000, 0.5), (2000, 0.03)])
def test_scores_that_rank_a_group_in_reverse_are_turned_around(
    method, n_alike, n, share
):
    score, y, group = reversed_in_one_group(n, share, seed=0)
    fair = FairEnsemblePostprocessor(
        method=method, objective="balanced_accuracy_score", random_state=0
    ).fit(np.stack([score] * n_alike, axis=1), y, sensitive_features=group)
    weights = fair.member_weights_.to_numpy()
    np.testing.assert_allclose(
        weights, np.full((2, n_alike), 1 / n_alike) * [[1], [-1]]
    )
    # The same scores, turned around by hand.
    turned = np.where(group == 1, 1 - score, score)
    by_hand = FairEnsemblePostprocessor(
        method=method, objective="balanced_accuracy_score", random_state=0
    ).fit(np.stack([turned] * n_alike, axis=1), y, sensitive_features=group)
    assert fair.objective_ == pytest.approx(by_hand.objective_, abs=1e-6)
    assert fair.objective_ > 0.8
    new, true, of = reversed_in_one_group(4000, 0.5, seed=1)
    chosen = fair.selection_probability(
        np.stack([new] * n_alike, axis=1), sensitive_features=of
    )
    for a in (0, 1):
        assert chosen[(of == a) & (true == 1)].mean() > 0.7
        assert chosen[(of == a) & (true == 0)].mean() < 0.3


def test_a_single_score_keeps_its_direction_where_it_ranks_all_groups_rightly():
    score, y, group = reversed_in_one_group(600, 0.2, seed=2)
    score = np.where(group == 1, 1 - score, score)
    fair = FairEnsemblePostprocessor(random_state=0)
    fair.fit(score[:, None], y, sensitive_features=group)
    np.testing.assert_array_equal(fair.member_weights_.to_numpy(), [[1.0], [1.0]])
    # Nor does chance turn a score around that says nothing.
    weights = [
        LogitWeights.fit(rng.normal(size=(60, 1)), *rng.integers(0, 2, (2, 60))).weights
        for rng in map(np.random.default_rng, range(200))
    ]
    assert np.mean(np.array(weights) < 0) < 0.01


def test_the_default_estimates_positives_along_the_score_where_others_count_them():
    # Of four people alone, those in the middle have the labels that their scores
    # deny. By counting, three of four decisions are right if the last is selected. The
    # default expects .17, .42, .58 and .83 positives, as smooth_counts has them.
    X, y, group = [[0.2], [0.4], [0.6], [0.8]], [0, 1, 0, 1], ["a"] * 4
    found = {}
    for method in (None, "soft_ensemble"):
        params = {} if method is None else {"method": method}
        with pytest.warns(UserWarning, match="of one group"):
            fair = FairEnsemblePostprocessor(**params).fit(
                X, y, sensitive_features=group
            )
        decided = fair.selection_probability(X, sensitive_features=group)
        found[method] = decided.tolist(), fair.operating_points_
    assert found["soft_ensemble"][0] == [0, 0, 0, 1]
    assert found[None][0] == [0, 0, 1, 1]
    rates = found[None][1][["true_positive_rate", "false_positive_rate"]]
    np.testing.assert_allclose(
        rates.iloc[0], [(0.83 + 0.58) / 2, (0.17 + 0.42) / 2], atol=0.01
    )
