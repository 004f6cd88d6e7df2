from itertools import combinations

import numpy as np
import pytest
from fairlearn.postprocessing import ThresholdOptimizer
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from sklearn.base import BaseEstimator

from sklearn_fairsisa.fairness._level_rules import (
    selection_by_level,
    selection_by_precision,
)
from sklearn_fairsisa.fairness._regions import likelihood_regions
from sklearn_fairsisa.fairness._solve import operating_points

from .oracles import as_counts, label_tables, problem_of


def first_region(table):
    regions, _ = likelihood_regions(as_counts(table))
    return regions[0]


def randomised_mass(region, probability):
    random = (probability > 0) & (probability < 1)
    return np.diff(region.share)[random].sum()


def least_randomised_mass(region, fpr, tpr):
    """Least mass over all ranges of levels on which a monotone rule may waver."""
    u, v, mass = np.diff(region.fpr), np.diff(region.tpr), np.diff(region.share)
    n_levels, best = len(u), np.inf
    for i, k in combinations(range(n_levels + 1), 2):
        if mass[i:k].sum() >= best:
            continue
        sure = np.zeros(n_levels)
        sure[:i] = 1
        # p falls from 1 to 0 inside the range: a linear program decides if it can.
        size = k - i
        result = linprog(
            np.zeros(size),
            A_ub=(np.eye(size, k=1) - np.eye(size))[:-1] if size > 1 else None,
            b_ub=np.zeros(size - 1) if size > 1 else None,
            A_eq=np.stack([u[i:k], v[i:k]]),
            b_eq=[fpr - sure @ u, tpr - sure @ v],
            bounds=(0, 1),
            method="highs",
            options={"primal_feasibility_tolerance": 1e-10},
        )
        if result.success:
            best = mass[i:k].sum()
    return best


# On a grid a point lies on a chord or well off it. Between, at 1e-8 say, it is the
# tolerance of HiGHS that decides whether a range suffices.
SHARES = st.integers(0, 97).map(lambda k: k / 97)


@given(table=label_tables(max_groups=2, max_cells=6), along=SHARES, height=SHARES)
@settings(max_examples=40, deadline=None)
def test_no_monotone_rule_randomises_fewer_people(table, along, height):
    region = first_region(table)
    tpr = along + height * (float(region.upper(along)) - along)
    # At vertices HiGHS' own rounding decides whether a range suffices.
    assume(np.hypot(region.fpr - along, region.tpr - tpr).min() > 1e-5)
    probability = selection_by_level(region, along, tpr)
    least = least_randomised_mass(region, along, tpr)
    assert randomised_mass(region, probability) <= least + 1e-9


@given(
    table=label_tables(max_groups=2, max_cells=15),
    along=st.floats(0, 1),
    height=st.floats(0, 1),
)
@settings(max_examples=200, deadline=None)
def test_any_point_above_the_diagonal_is_realised_by_a_monotone_rule(
    table, along, height
):
    region = first_region(table)
    tpr = along + height * (float(region.upper(along)) - along)
    probability = selection_by_level(region, along, tpr)
    assert (np.diff(probability) <= 1e-12).all()
    assert ((probability >= 0) & (probability <= 1)).all()
    reached = probability @ np.diff(region.fpr), probability @ np.diff(region.tpr)
    assert reached == pytest.approx((along, tpr), abs=2e-9)


@given(table=label_tables(max_groups=2, max_cells=15), along=st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_a_boundary_point_splits_one_level_at_most(table, along):
    region = first_region(table)
    probability = selection_by_level(region, along, float(region.upper(along)))
    assert ((probability > 0) & (probability < 1)).sum() <= 1


@pytest.mark.parametrize("error", [-2e-10, 0.0, 2e-10])
def test_rounding_errors_of_the_solver_make_nobody_a_coin(error):
    # The middle level holds one negative in 2,000 and one positive in 2,000.
    region = first_region(np.array([[[0, 1000], [1, 1], [1999, 999]]]))
    for vertex in range(len(region.fpr)):
        fpr = region.fpr[vertex]
        tpr = min(region.tpr[vertex] + error, float(region.upper(fpr)))
        probability = selection_by_level(region, fpr, max(tpr, fpr))
        assert set(probability) <= {0.0, 1.0}
        assert probability.sum() == vertex


def test_a_point_out_of_reach_is_refused():
    region = first_region(np.array([[[3, 1], [1, 3]]]))
    with pytest.raises(ValueError, match=r"No monotone rule reaches FPR 0\.25 and TPR"):
        selection_by_level(region, 0.25, 0.8)
    with pytest.raises(ValueError, match=r"TPRs from 0\.5 to"):
        selection_by_level(region, 0.5, 0.3)


def test_unseen_cells_take_the_level_of_nearest_precision():
    region = first_region(np.array([[[1, 9], [5, 5], [9, 1]]]))
    probability = np.array([1.0, 0.4, 0.0])
    chosen = selection_by_precision(
        region, probability, np.array([0.95, 0.75, 0.6, 0.25, 0.0])
    )
    np.testing.assert_array_equal(chosen, [1.0, 1.0, 0.4, 0.0, 0.0])


class _GivenScores(BaseEstimator):
    classes_ = np.array([0, 1])

    def fit(self, X, y):
        return self

    def predict_proba(self, X):
        return np.c_[1 - X[:, 0], X[:, 0]]

    def __sklearn_is_fitted__(self):
        return True


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_fewer_people_are_randomised_than_by_fairlearn():
    rng = np.random.default_rng(3)
    n = 3000
    group, label = rng.integers(0, 3, n), rng.random(n) < 0.4
    score = np.round(
        1 / (1 + np.exp(-rng.normal((2 * label - 1) * (0.4 + 0.5 * group)))), 1
    )
    counts_table = np.zeros((3, 11, 2))
    np.add.at(counts_table, (group, np.rint(score * 10).astype(int), label * 1), 1)
    counts = as_counts(counts_table)
    regions, _ = likelihood_regions(counts)
    fpr, tpr = operating_points(regions, problem_of("equalized_odds", "accuracy_score"))
    size = np.bincount(group) / n
    ours = sum(
        share * randomised_mass(region, selection_by_level(region, x, y))
        for share, region, x, y in zip(size, regions, fpr, tpr)
    )
    peer = ThresholdOptimizer(
        estimator=_GivenScores(),
        constraints="equalized_odds",
        objective="accuracy_score",
        prefit=True,
        predict_method="predict_proba",
        grid_size=10_000,
    ).fit(score[:, None], label.astype(int), sensitive_features=group)
    chance = peer._pmf_predict(score[:, None], sensitive_features=group)[:, 1]
    theirs = np.mean((chance > 1e-9) & (chance < 1 - 1e-9))
    assert 0 < ours < theirs
