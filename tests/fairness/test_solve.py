import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_fairsisa.fairness._constraints import CONSTRAINTS
from sklearn_fairsisa.fairness._level_rules import selection_by_level
from sklearn_fairsisa.fairness._regions import likelihood_regions
from sklearn_fairsisa.fairness._solve import operating_points

from .oracles import (
    RATES,
    as_counts,
    best_by_linear_program,
    label_tables,
    problem_of,
    value_of,
)

COSTS = st.fixed_dictionaries(
    {
        "false_positive": st.floats(0.05, 3.0),
        "false_negative": st.sampled_from([0.0, 0.3, 1.0, 2.5]),
    }
)
OBJECTIVES = st.one_of(
    st.sampled_from(["accuracy_score", "balanced_accuracy_score"]), COSTS
)


def solve(table, constraint, objective, tol=0.0):
    counts = as_counts(table)
    regions, _ = likelihood_regions(counts)
    fpr, tpr = operating_points(regions, problem_of(constraint, objective, tol))
    value = value_of(counts.totals, objective, fpr, tpr)
    if isinstance(objective, dict):
        value = -value
    return regions, fpr, tpr, value


@pytest.mark.parametrize("constraint", sorted(CONSTRAINTS))
@given(table=label_tables(), objective=OBJECTIVES)
@settings(max_examples=40, deadline=None)
def test_geometry_attains_the_linear_program_over_all_rules(
    constraint, table, objective
):
    *_, value = solve(table, constraint, objective)
    expected = best_by_linear_program(table, constraint, objective, 0.0)
    assert value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("constraint", sorted(CONSTRAINTS))
@given(
    table=label_tables(),
    objective=OBJECTIVES,
    tol=st.floats(0.001, 0.6),
)
@settings(max_examples=15, deadline=None)
def test_a_tolerance_attains_the_linear_program_over_all_rules(
    constraint, table, objective, tol
):
    *_, value = solve(table, constraint, objective, tol)
    expected = best_by_linear_program(table, constraint, objective, tol)
    assert value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("tol", [0.0, 0.07])
@pytest.mark.parametrize("constraint", sorted(CONSTRAINTS))
@given(table=label_tables())
@settings(max_examples=15, deadline=None)
def test_points_are_reachable_and_within_the_tolerance(constraint, tol, table):
    regions, fpr, tpr, _ = solve(table, constraint, "accuracy_score", tol)
    assert (tpr >= fpr - 1e-9).all()
    for region, x, y in zip(regions, fpr, tpr):
        assert y <= region.upper(x) + 1e-9
    negatives, positives = as_counts(table).totals
    rates = {
        "fpr": fpr,
        "tpr": tpr,
        "selection": (negatives * fpr + positives * tpr) / (negatives + positives),
    }
    for rate in RATES[constraint]:
        assert np.ptp(rates[rate]) <= tol + 1e-9


def test_a_single_group_gets_its_own_optimum():
    table = np.array([[[9, 1], [2, 8]]])
    _, fpr, tpr, value = solve(table, "equalized_odds", "accuracy_score")
    assert (fpr[0], tpr[0]) == pytest.approx((2 / 11, 8 / 9))
    assert value == pytest.approx(17 / 20)


def test_boundaries_that_cross_inside_an_edge_are_met_at_the_crossing():
    # Boundaries (0,0)-(.25,.75)-(1,1) and (0,0)-(.5,1)-(1,1), worked out by hand:
    # the second is lower for small FPR, the first later.
    table = np.array([[[1, 3], [3, 1]], [[2, 4], [2, 0]]])
    _, fpr, tpr, _ = solve(table, "equalized_odds", "balanced_accuracy_score")
    # 2x = 1/3 (2 + x) crosses at x = 0.4, where y = 0.8.
    np.testing.assert_allclose(fpr, 0.4)
    np.testing.assert_allclose(tpr, 0.8)


def test_equals_prefer_the_point_that_uses_the_outputs():
    # Every threshold has the same accuracy; only the inner one tells people apart.
    table = np.array([[[2, 0], [1, 1], [0, 1]], [[2, 0], [1, 1], [0, 1]]])
    costs = {"false_positive": 0.0, "false_negative": 1.0}
    _, fpr, tpr, value = solve(table, "equalized_odds", costs)
    assert value == 0.0
    np.testing.assert_allclose(tpr, 1.0)
    np.testing.assert_allclose(fpr, 1 / 3)


def test_balanced_accuracy_does_not_reward_calling_everyone_positive():
    table = np.array([[[3, 2], [2, 90]], [[2, 3], [4, 80]]])
    _, fpr, _, _ = solve(table, "equalized_odds", "accuracy_score")
    np.testing.assert_allclose(fpr, 1.0)
    _, fpr, tpr, _ = solve(table, "equalized_odds", "balanced_accuracy_score")
    assert (tpr - fpr > 0.2).all()


@given(table=label_tables(), objective=OBJECTIVES)
@settings(max_examples=25, deadline=None)
def test_without_a_constraint_each_group_is_best_on_its_own(table, objective):
    *_, value = solve(table, None, objective)
    separate = [best_by_linear_program(table, "equalized_odds", objective, tol=1.0)]
    assert value == pytest.approx(separate[0], abs=1e-9)


@given(table=label_tables(max_cells=12), objective=OBJECTIVES, tol=st.floats(0, 0.3))
@settings(max_examples=40, deadline=None)
def test_rules_realise_the_points_that_the_solver_chose(table, objective, tol):
    counts = as_counts(table)
    regions, level = likelihood_regions(counts)
    fpr, tpr = operating_points(regions, problem_of("equalized_odds", objective, tol))
    negatives, positives = counts.totals
    for a, region in enumerate(regions):
        probability = selection_by_level(region, fpr[a], tpr[a])
        inside = counts.group == a
        chosen = probability[level[inside]]
        reached = (
            chosen @ counts.negatives[inside] / negatives[a],
            chosen @ counts.positives[inside] / positives[a],
        )
        assert reached == pytest.approx((fpr[a], tpr[a]), abs=1e-9)
