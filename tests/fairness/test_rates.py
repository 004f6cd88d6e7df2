"""Claims about rates of groups."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

from sklearn_fairsisa.fairness._constraints import CONSTRAINTS, GAPS, gap_of, spread
from sklearn_fairsisa.fairness._rates import (
    SCORES,
    by_decision,
    gap_rates,
    operating_points,
    score,
    selection_rates,
    tally,
)


def mean(values, weights):
    return np.average(values, weights=weights) if sum(weights) else np.nan


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 10**6), n=st.integers(1, 12), weighted=st.booleans()
)  # fmt: skip
def test_rates_are_means_over_the_people_of_a_group_and_label(seed, n, weighted):
    rng = np.random.default_rng(seed)
    group, label, p = rng.integers(3, size=n), rng.random(n) < 0.5, rng.random(n)
    weight = rng.integers(1, 4, size=n) if weighted else None
    w = np.ones(n) if weight is None else weight
    total, chosen = tally(group, label, p, 3, weight)
    points, shares = operating_points(total, chosen), selection_rates(total, chosen)
    for a in range(3):
        mine = group == a
        assert shares[a] == pytest.approx(mean(p[mine], w[mine]), nan_ok=True)
        for kind in (0, 1):
            here = mine & (label == kind)
            assert total[a, kind] == w[here].sum()
            expected = mean(p[here], w[here])
            assert points[a, kind] == pytest.approx(expected, nan_ok=True)
    right = mean(np.where(label, p, 1 - p), w)
    decided = by_decision(total, chosen)
    assert SCORES["accuracy_score"](decided, total) == pytest.approx(right)
    assert SCORES["selection_rate"](decided, total) == pytest.approx(mean(p, w))


@pytest.mark.parametrize("gap", GAPS)
def test_gaps_are_the_widest_difference_of_defined_rates(gap):
    total = np.array([[4, 2], [5, 0], [0, 0], [10, 10]])
    chosen = np.array([[1, 1], [2, 0], [0, 0], [2, 9]])
    expected = {
        "false_positive_rate_difference": 0.4 - 0.2,
        "true_positive_rate_difference": 0.9 - 0.5,
        "demographic_parity_difference": 11 / 20 - 2 / 6,
        "equalized_odds_difference": 0.9 - 0.5,
    }[gap]
    assert spread(gap_rates(gap, by_decision(total, chosen), total)) == pytest.approx(
        expected
    )


def test_spread_is_undefined_only_where_no_rate_is_defined():
    nan = np.nan
    rates = np.array([[[nan, nan], [nan, nan]], [[nan, 0.25], [nan, 0.5]]])
    np.testing.assert_array_equal(spread(rates), [nan, 0.25])
    assert spread(np.array([[0.5, nan], [nan, nan]])) == 0


def test_every_constraint_has_the_gap_of_its_rates():
    for constraint in CONSTRAINTS.values():
        assert GAPS[gap_of(constraint.rate)] == constraint.rate
    assert {name: gap_of(c.rate) for name, c in CONSTRAINTS.items()} == {
        "equalized_odds": "equalized_odds_difference",
        "demographic_parity": "demographic_parity_difference",
        "true_positive_rate_parity": "true_positive_rate_difference",
        "false_negative_rate_parity": "true_positive_rate_difference",
        "false_positive_rate_parity": "false_positive_rate_difference",
        "true_negative_rate_parity": "false_positive_rate_difference",
    }


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("absent", [0, 1])
def test_balanced_accuracy_is_that_of_scikit_learn_where_a_class_is_absent(
    n_classes, absent
):
    rng = np.random.default_rng(n_classes)
    label, decision = rng.integers(0, n_classes, (2, 60))
    label = np.where(label == absent, n_classes - 1 - absent, label)
    decided = np.zeros((1, n_classes, n_classes))
    np.add.at(decided[0], (label, decision), 1)
    expected = balanced_accuracy_score(label, decision)
    assert score("balanced_accuracy_score", decided) == pytest.approx(expected)
