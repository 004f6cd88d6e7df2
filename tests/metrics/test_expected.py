"""Claims about metrics of randomised rules."""

from functools import partial

import numpy as np
import pytest
from fairlearn.metrics import (
    MetricFrame,
    demographic_parity_difference,
    equalized_odds_difference,
    false_positive_rate,
    selection_rate,
    true_positive_rate,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from sklearn_fairsisa.metrics import (
    expected_accuracy_score,
    expected_balanced_accuracy_score,
    expected_demographic_parity_difference,
    expected_equalized_odds_difference,
    group_rates,
)


def make_people(seed, n=200, n_groups=3):
    rng = np.random.default_rng(seed)
    # Every group has both labels, so every rate is defined.
    group = np.concatenate(
        [np.repeat(np.arange(n_groups), 2), rng.integers(n_groups, size=n)]
    )
    y = np.concatenate([np.tile([0, 1], n_groups), rng.integers(2, size=n)])
    return y, rng.random(len(y)), group, rng.random(len(y))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), weighted=st.booleans())
def test_hard_decisions_score_as_in_fairlearn_and_scikit_learn(seed, weighted):
    y, soft, group, weight = make_people(seed)
    hard = (soft > 0.5).astype(int)
    weights = {"sample_weight": weight if weighted else None}
    for ours, theirs in (
        (expected_equalized_odds_difference, equalized_odds_difference),
        (expected_demographic_parity_difference, demographic_parity_difference),
    ):
        expected = theirs(y, hard, sensitive_features=group, **weights)
        found = ours(y, hard, sensitive_features=group, **weights)
        assert found == pytest.approx(expected, abs=1e-12)
    for ours, theirs in (
        (expected_accuracy_score, accuracy_score),
        (expected_balanced_accuracy_score, balanced_accuracy_score),
    ):
        assert ours(y, hard, **weights) == pytest.approx(theirs(y, hard, **weights))


def test_group_rates_are_those_of_metric_frame():
    y, soft, group, _ = make_people(0)
    hard = (soft > 0.3).astype(int)
    rates = group_rates(y, hard, sensitive_features=group)
    metrics = {
        "false_positive_rate": false_positive_rate,
        "true_positive_rate": true_positive_rate,
        "selection_rate": selection_rate,
    }
    frame = MetricFrame(
        metrics=metrics, y_true=y, y_pred=hard, sensitive_features=group
    ).by_group
    np.testing.assert_allclose(rates[list(metrics)], frame)
    sizes = rates[["n_negative", "n_positive"]].sum(axis=1)
    assert sizes.tolist() == np.bincount(group).tolist()


def test_expected_metrics_are_the_mean_over_coins_of_the_linear_ones():
    y, soft, group, _ = make_people(1, n=60, n_groups=2)
    rng = np.random.default_rng(0)
    flips = (rng.random((4000, len(y))) < soft).astype(int)
    mean = np.mean([accuracy_score(y, flip) for flip in flips])
    assert expected_accuracy_score(y, soft) == pytest.approx(mean, abs=0.01)
    positives = (y == 1) & (group == 0)
    tpr = group_rates(y, soft, sensitive_features=group)["true_positive_rate"][0]
    assert tpr == pytest.approx(flips[:, positives].mean(), abs=0.01)


@pytest.mark.parametrize("labels", [["no", "yes"], [-1, 1], [False, True], [3, 7]])
def test_any_two_labels_score_the_same(labels):
    y, soft, group, _ = make_people(2)
    expected = expected_equalized_odds_difference(y, soft, sensitive_features=group)
    named = np.array(labels)[y]
    found = expected_equalized_odds_difference(named, soft, sensitive_features=group)
    assert found == expected
    hard = np.array(labels)[(soft > 0.5).astype(int)]
    assert expected_accuracy_score(named, hard) == accuracy_score(y, soft > 0.5)


def test_pos_label_swaps_the_rates():
    y, soft, group, _ = make_people(3)
    rates = group_rates(y, soft, sensitive_features=group)
    swapped = group_rates(y, 1 - soft, sensitive_features=group, pos_label=0)
    np.testing.assert_allclose(
        swapped["true_positive_rate"], 1 - rates["false_positive_rate"]
    )


@pytest.mark.parametrize("labels", [[0, 1], [-1, 1], [1, 2], [False, True], ["n", "y"]])
@pytest.mark.parametrize("pos", [0, 1])
@pytest.mark.parametrize("sure", ["mixed", "all", "none"])
def test_certain_probabilities_score_as_almost_certain_ones(labels, pos, sure):
    y, soft, group, _ = make_people(5)
    chosen = {"mixed": soft > 0.4, "all": soft >= 0, "none": soft < 0}[sure] * 1.0
    almost = np.abs(chosen - 1e-9)
    named = np.array(labels)[y]
    for metric, options in (
        (expected_accuracy_score, {}),
        (expected_balanced_accuracy_score, {}),
        (expected_demographic_parity_difference, {"sensitive_features": group}),
        (expected_equalized_odds_difference, {"sensitive_features": group}),
        (group_rates, {"sensitive_features": group}),
    ):
        found, expected = (
            metric(named, p, pos_label=labels[pos], **options) for p in (chosen, almost)
        )
        np.testing.assert_allclose(found, expected, atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    labels=st.sampled_from([[0, 1], [-1, 1], [1, 2], [0, 2], [3, 7]]),
    pos=st.sampled_from([None, 0, 1]),
    rate=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_labels_score_as_in_scikit_learn_unless_floats_may_be_shares(
    seed, labels, pos, rate
):
    y, soft, _, _ = make_people(seed, n=20)
    y = np.array(labels)[y]
    predicted = np.array(labels)[(soft < rate).astype(int)]
    pos_label = None if pos is None else labels[pos]
    score = partial(expected_accuracy_score, pos_label=pos_label)
    expected = pytest.approx(accuracy_score(y, predicted))
    assert score(y, predicted) == expected
    y, floats = y.astype(float), predicted.astype(float)
    positive = labels[1] if pos is None else labels[pos]
    if set(predicted) <= {0, 1} and any((predicted == positive) != predicted):
        with pytest.raises(ValueError, match="labels as well as probabilities"):
            score(y, floats)
    else:
        assert score(y, floats) == expected


def test_floats_of_0_and_1_are_labels_as_they_are_probabilities():
    y = np.array([0.0, 1.0, 1.0, 0.0])
    assert expected_accuracy_score(y, [0.0, 1.0, 0.0, 0.0]) == 0.75
    assert expected_accuracy_score(y, [1.0, 1.0, 1.0, 1.0]) == 0.5


def test_several_sensitive_features_are_intersected():
    y, soft, group, _ = make_people(4)
    other = np.arange(len(y)) % 2
    pairs = np.column_stack([group, other])
    assert len(group_rates(y, soft, sensitive_features=pairs)) == 6


def test_group_without_a_label_is_named_by_the_gap_and_nan_in_the_table():
    y, soft = [0, 1, 0], [0.5, 1.0, 0.25]
    group = ["a", "a", "b"]
    with pytest.raises(ValueError, match=r"Group 'b' has no positive labels.*TPR"):
        expected_equalized_odds_difference(y, soft, sensitive_features=group)
    rates = group_rates(y, soft, sensitive_features=group)
    assert np.isnan(rates.loc["b", "true_positive_rate"])
    found = expected_demographic_parity_difference(y, soft, sensitive_features=group)
    assert found == 0.5


@pytest.mark.parametrize(
    ("y", "p", "message"),
    [
        ([0, 1, 2], [0.1, 0.2, 0.3], "need two labels, got 3"),
        ([0, 1], [0.1, 1.2], "neither labels"),
        ([0, 1], [0.1, np.nan], "neither labels"),
        ([0, 1], [0.1], "y_pred has shape"),
        ([[0, 1]], [0.1], "one-dimensional"),
        ([], [], "empty"),
        ([0, 1], [[0, 1], [1, 0]], "2 columns"),
    ],
)
def test_bad_input_is_explained(y, p, message):
    with pytest.raises(ValueError, match=message):
        expected_accuracy_score(y, p)


def test_unknown_pos_label_and_a_single_label_are_refused():
    with pytest.raises(ValueError, match="pos_label='maybe' is not one of"):
        expected_accuracy_score(["no", "yes"], [0.1, 0.5], pos_label="maybe")
    with pytest.raises(ValueError, match="needs both labels"):
        expected_balanced_accuracy_score([1, 1], [0.1, 0.5])
