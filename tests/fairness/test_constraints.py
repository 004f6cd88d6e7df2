"""Constraint objects, against a program over all cells that shares no code."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import linprog

from sklearn_fairsisa.constraints import AtLeast, Difference, Ratio
from sklearn_fairsisa.fairness._level_rules import LevelRule
from sklearn_fairsisa.fairness._mixtures import solve_cells
from sklearn_fairsisa.fairness._problem import InfeasibleError, Problem
from sklearn_fairsisa.fairness._rates import score
from sklearn_fairsisa.fairness._regions import likelihood_regions

from .oracles import as_counts

# By the rate: whether it counts a true class j, and whether deciding k is a hit, where
# it is about class c.
COUNTED = {
    "selection_rate": lambda j, c: True,
    "accuracy": lambda j, c: True,
    "true_positive_rate": lambda j, c: j == c,
    "false_negative_rate": lambda j, c: j == c,
    "false_positive_rate": lambda j, c: j != c,
    "true_negative_rate": lambda j, c: j != c,
}
HITS = {
    "selection_rate": lambda j, k, c: k == c,
    "accuracy": lambda j, k, c: k == j,
    "true_positive_rate": lambda j, k, c: k == c,
    "false_negative_rate": lambda j, k, c: k != c,
    "false_positive_rate": lambda j, k, c: k == c,
    "true_negative_rate": lambda j, k, c: k != c,
}


def rate_rows(table, rate, part):
    """Rows of coefficients, by (class, part), of the rates in p[group, cell, k]."""
    n_groups, n_cells, n_classes = table.shape
    about = range(n_classes) if n_classes > 2 else [1]
    if rate == "accuracy":
        about = [0]
    found = []
    for c in about:
        rows = []
        for value in sorted(set(part)):
            row = np.zeros((n_groups, n_cells, n_classes))
            people = 0.0
            for a in range(n_groups):
                for j in range(n_classes):
                    if part[a] == value and COUNTED[rate](j, c):
                        people += table[a, :, j].sum()
                        for k in range(n_classes):
                            if HITS[rate](j, k, c):
                                row[a, :, k] += table[a, :, j]
            rows.append(row.ravel() / people)
        found.append(rows)
    return found


def brute_force(table, constraints, parts, gain):
    """Best value over all rules, or None where none keeps the constraints."""
    n_groups, n_cells, n_classes = table.shape
    n_unknowns = table.size
    below, bounds = [], []
    for constraint, part in zip(constraints, parts):
        for rows in rate_rows(table, constraint.rate, part):
            for value, row in zip(sorted(set(part)), rows):
                if isinstance(constraint, AtLeast):
                    floors = constraint.at_least
                    is_one = not isinstance(floors, dict)
                    floor = floors if is_one else floors.get(value, 0.0)
                    below.append(-row)
                    bounds.append(-floor)
                for other in rows:
                    if isinstance(constraint, Difference):
                        below.append(row - other)
                        bounds.append(constraint.at_most)
                    if isinstance(constraint, Ratio):
                        below.append(constraint.at_least * row - other)
                        bounds.append(0.0)
    # Of two classes nobody is selected less often than someone less likely positive.
    # Demands that errors be made, such as a floor of the false positive rate, or equal
    # accuracy, may be met better by rules that select the unlikelier.
    if n_classes == 2:
        with np.errstate(invalid="ignore"):
            precision = np.nan_to_num(table[:, :, 1] / table.sum(axis=2))
        for a, order in enumerate(np.argsort(precision, axis=1)):
            for less, more in pairwise(order):
                row = np.zeros(table.shape)
                row[a, less, 1], row[a, more, 1] = 1, -1
                below.append(row.ravel())
                bounds.append(0.0)
    sums = np.zeros((n_groups * n_cells, n_unknowns))
    for cell in range(n_groups * n_cells):
        sums[cell, n_classes * cell : n_classes * (cell + 1)] = 1
    worth = np.einsum("acj,jk->ack", table, gain).ravel()
    precise = {"primal_feasibility_tolerance": 1e-10}
    precise |= {"dual_feasibility_tolerance": 1e-10}
    result = linprog(
        -worth,
        A_ub=np.array(below),
        b_ub=bounds,
        A_eq=sums,
        b_eq=np.ones(len(sums)),
        bounds=(0, 1),
        options=precise,
    )
    return -result.fun if result.status == 0 else None


def draw_constraints(rng, n_classes, floors_of=()):
    """A few constraints of different kinds, rates and attributes."""
    rates = rng.permutation(list(COUNTED))[: rng.integers(1, 4)]
    found = []
    for rate in rates:
        by = [None, "sex", "race"][rng.integers(3)]
        kind, bound = rng.integers(3), rng.random()
        if kind == 0:
            at_most = 0.0 if bound < 0.2 else bound * 0.2
            found.append(Difference(str(rate), at_most=at_most, by=by))
        elif kind == 1:
            at_least = 1.0 if bound > 0.9 else bound
            found.append(Ratio(str(rate), at_least=at_least, by=by))
        else:
            highest = 0.9 if n_classes == 2 else 0.4
            found.append(AtLeast(str(rate), highest * bound, by=by))
    return found


def draw_problem(seed, n_classes):
    rng = np.random.default_rng(seed)
    groups = [(sex, race) for sex in "fm" for race in "bw"][: rng.integers(2, 5)]
    n_cells = int(rng.integers(1, 6))
    table = rng.integers(0, 5, (len(groups), n_cells, n_classes)).astype(float)
    for a in range(len(groups)):
        for j in range(n_classes):
            table[a, rng.integers(n_cells), j] += 1
    if rng.random() < 0.5:
        table *= rng.uniform(0.1, 3, table.shape)
    constraints = draw_constraints(rng, n_classes)
    if rng.random() < 0.2:
        named = {groups[0]: 0.3, groups[1]: float(rng.random() / 2)}
        constraints = [c for c in constraints if (type(c), c.by) != (AtLeast, None)]
        constraints.append(AtLeast("true_positive_rate", named))
    objective = ["accuracy_score", "balanced_accuracy_score"][rng.integers(2)]
    if rng.random() < 0.3:
        costs = rng.random((n_classes, n_classes)) + 0.1
        np.fill_diagonal(costs, 0)
        objective = tuple(map(tuple, costs.tolist()))
    return groups, table, constraints, objective


def gains(table, objective):
    """Gain of deciding k (column) on a unit of weight of class j (row)."""
    by_class = table.sum(axis=(0, 1))
    if objective == "accuracy_score":
        return np.eye(len(by_class)) / by_class.sum()
    if objective == "balanced_accuracy_score":
        return np.diag(1 / by_class) / len(by_class)
    return -np.array(objective) / by_class.sum()


def posed(groups, constraints, objective):
    names = np.empty(len(groups), dtype=object)
    names[:] = groups
    return Problem(
        tuple(constraints), objective, groups=names, features=("sex", "race")
    )


def part_of(groups, constraint):
    places = {"sex": 0, "race": 1}
    if constraint.by is None:
        return groups
    return [group[places[constraint.by]] for group in groups]


def check_equal_to_brute_force(seed, n_classes):
    groups, table, constraints, objective = draw_problem(seed, n_classes)
    parts = [part_of(groups, constraint) for constraint in constraints]
    expected = brute_force(table, constraints, parts, gains(table, objective))
    problem, counts = posed(groups, constraints, objective), as_counts(table)
    try:
        if n_classes == 2:
            rule = LevelRule.solve(likelihood_regions(counts)[0], problem)
            confusion = rule.confusion
        else:
            confusion = counts.confusion(solve_cells(counts, problem))
    except InfeasibleError:
        assert expected is None, constraints
        return
    assert expected is not None, constraints
    value = score(objective, confusion) * (1 if isinstance(objective, str) else -1)
    assert value == pytest.approx(expected, abs=1e-9), (seed, constraints)
    assert problem.excess(confusion) < 1e-8


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("start", range(0, 30, 10))
def test_rules_under_constraint_objects_equal_brute_force(n_classes, start):
    for seed in range(start, start + 10):
        check_equal_to_brute_force(seed, n_classes)


@pytest.mark.heavy
@pytest.mark.parametrize("n_classes", [2, 3])
def test_rules_under_a_thousand_draws_equal_brute_force(
    n_classes,
):
    for seed in range(30, 1030):
        check_equal_to_brute_force(seed, n_classes)
