"""Independent, slow answers to what the fairness modules compute."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linprog

from sklearn_fairsisa.fairness._cells import CellCounts
from sklearn_fairsisa.fairness._constraints import CONSTRAINTS
from sklearn_fairsisa.fairness._problem import Problem
from sklearn_fairsisa.fairness._rates import by_decision, score

RATES = {
    "equalized_odds": ("fpr", "tpr"),
    "demographic_parity": ("selection",),
    "true_positive_rate_parity": ("tpr",),
    "false_negative_rate_parity": ("tpr",),
    "false_positive_rate_parity": ("fpr",),
    "true_negative_rate_parity": ("fpr",),
}


def problem_of(constraint, objective, tol=0.0):
    """A problem by the names that users have; None is no constraint."""
    if isinstance(objective, dict):
        costs = objective["false_positive"], objective["false_negative"]
        objective = ((0.0, costs[0]), (costs[1], 0.0))
    if constraint is None:
        return Problem((), objective)
    return Problem((CONSTRAINTS[constraint],), objective, tol, constraint)


def value_of(totals, objective, fpr, tpr):
    """Objective at operating points."""
    decided = by_decision(totals, totals * np.stack([fpr, tpr], axis=1))
    return score(problem_of(None, objective).objective, decided)


def points_of(confusion):
    """False and true positive rate of each group."""
    return (confusion[:, :, 1] / confusion.sum(axis=2)).T


@st.composite
def label_tables(draw, min_groups=2, max_groups=4, max_cells=7):
    """Counts of shape (groups, cells, 2): tied, sparse, degenerate or weighted."""
    n_groups = draw(st.integers(min_groups, max_groups))
    n_cells = draw(st.integers(1, max_cells))
    shape = (n_groups, n_cells, 2)
    # Few distinct values make ties of likelihood ratios and empty cells common.
    table = draw(arrays(np.int64, shape, elements=st.integers(0, 4)))
    for group in range(n_groups):
        for label in range(2):
            table[group, draw(st.integers(0, n_cells - 1)), label] += 1
    if draw(st.booleans()):
        scale = draw(arrays(np.float64, shape, elements=st.floats(0.1, 3.0)))
        return table * scale
    return table


def as_counts(table):
    group, cell = np.nonzero(table.sum(axis=2))
    return CellCounts(group, cell, table[group, cell], len(table))


def gain_weights(table, objective):
    """Gain of a true positive, loss of a false positive, and the constant."""
    negatives, positives = table.sum(axis=(0, 1))
    total = negatives + positives
    if objective == "accuracy_score":
        return 1 / total, 1 / total, negatives / total
    if objective == "balanced_accuracy_score":
        return 0.5 / positives, 0.5 / negatives, 0.5
    miss, alarm = objective["false_negative"], objective["false_positive"]
    return miss / total, alarm / total, -miss * positives / total


def best_by_linear_program(table, constraint, objective, tol, *, monotone=False):
    """Best value over the rules p[group, cell] in [0, 1], by HiGHS.

    Costs are negative, so that more is better for every objective. Monotone rules do
    not select a cell less often than the one before it.
    """
    n_groups, n_cells, _ = table.shape
    hit, alarm, offset = gain_weights(table, objective)
    gain = hit * table[:, :, 1] - alarm * table[:, :, 0]
    per_group = {
        "fpr": table[:, :, 0] / table[:, :, 0].sum(axis=1, keepdims=True),
        "tpr": table[:, :, 1] / table[:, :, 1].sum(axis=1, keepdims=True),
        "selection": table.sum(axis=2) / table.sum(axis=(1, 2))[:, None],
    }
    rows = []
    for rate in RATES[constraint]:
        for a in range(n_groups):
            for b in range(n_groups):
                if a != b:
                    row = np.zeros((n_groups, n_cells))
                    row[a], row[b] = per_group[rate][a], -per_group[rate][b]
                    rows.append(row.ravel())
    bounds = [tol] * len(rows)
    for a in range(n_groups if monotone else 0):
        for cell in range(n_cells - 1):
            row = np.zeros((n_groups, n_cells))
            row[a, cell : cell + 2] = 1, -1
            rows.append(row.ravel())
            bounds.append(0.0)
    result = linprog(
        -gain.ravel(),
        A_ub=np.array(rows),
        b_ub=bounds,
        bounds=(0, 1),
        method="highs",
        options={
            "primal_feasibility_tolerance": 1e-10,
            "dual_feasibility_tolerance": 1e-10,
        },
    )
    assert result.success
    return offset - result.fun
