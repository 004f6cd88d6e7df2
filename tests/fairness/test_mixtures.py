from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linprog

from sklearn_fairsisa.fairness import _mixtures
from sklearn_fairsisa.fairness._cells import count_cells
from sklearn_fairsisa.fairness._constraints import CONSTRAINTS
from sklearn_fairsisa.fairness._mixtures import generate, solve_cells
from sklearn_fairsisa.fairness._plurality_rules import CellDecisions
from sklearn_fairsisa.fairness._rates import score

from .oracles import (
    as_counts,
    best_by_linear_program,
    label_tables,
    problem_of,
    value_of,
)

OBJECTIVES = ["accuracy_score", "balanced_accuracy_score"]


@st.composite
def class_tables(draw, n_classes):
    """Counts of shape (groups, cells, classes): tied, sparse or weighted."""
    n_groups, n_cells = draw(st.integers(2, 3)), draw(st.integers(1, 5))
    shape = (n_groups, n_cells, n_classes)
    table = draw(arrays(np.int64, shape, elements=st.integers(0, 4)))
    for group in range(n_groups):
        for label in range(n_classes):
            table[group, draw(st.integers(0, n_cells - 1)), label] += 1
    if draw(st.booleans()):
        return table * draw(arrays(float, shape, elements=st.floats(0.1, 3.0)))
    return table.astype(float)


def rates_of_rule(table, p, constraint):
    """Rates of each group by the definitions, p of shape (groups, cells, classes)."""
    n_classes = table.shape[2]
    rates = []
    for counts, rule in zip(table, p):
        joint = counts.T @ rule  # true class, decision
        size = counts.sum(axis=0)
        if constraint == "equalized_odds":
            rates.append((joint / size[:, None]).ravel())
        elif constraint == "demographic_parity":
            rates.append(joint.sum(axis=0) / size.sum())
        elif constraint.startswith(("true_positive", "false_negative")):
            rates.append(np.diag(joint) / size)
        else:
            others = [np.delete(np.arange(n_classes), k) for k in range(n_classes)]
            rates.append(
                np.array(
                    [joint[o, k].sum() / size[o].sum() for k, o in enumerate(others)]
                )
            )
    return np.array(rates)


def best_by_dense_program(table, constraint, gain, tol):
    """Best value over all rules p[group, cell, class]; all pairs of groups compared."""
    n_groups, n_cells, n_classes = shape = table.shape
    value = np.einsum("acj,jk->ack", table, gain)
    unit = np.eye(table.size).reshape(-1, *shape)
    per_unit = np.array([rates_of_rule(table, p, constraint) for p in unit])
    rows = [
        sign * (per_unit[:, a] - per_unit[:, b]).T
        for a, b in combinations(range(n_groups), 2)
        for sign in (1, -1)
    ]
    one_decision = np.kron(np.eye(n_groups * n_cells), np.ones(n_classes))
    result = linprog(
        -value.ravel(),
        A_ub=np.vstack(rows),
        b_ub=np.full(len(np.vstack(rows)), tol),
        A_eq=one_decision,
        b_eq=np.ones(len(one_decision)),
        bounds=(0, None),
        method="highs",
        options={
            "primal_feasibility_tolerance": 1e-10,
            "dual_feasibility_tolerance": 1e-10,
        },
    )
    assert result.success
    return -result.fun


@pytest.mark.parametrize("n_classes", [3, 4])
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_cells_are_decided_as_well_as_a_dense_program_decides_them(n_classes, data):
    table = data.draw(class_tables(n_classes))
    constraint = data.draw(st.sampled_from(sorted(CONSTRAINTS)))
    tol = data.draw(st.sampled_from([0.0, 0.05, 0.3]))
    objective = data.draw(
        st.sampled_from([*OBJECTIVES, "costs"])
        if n_classes == 3
        else st.sampled_from(OBJECTIVES)
    )
    size = table.sum(axis=(0, 1))
    if objective == "costs":
        objective = ((0.0, 1.0, 5.0), (2.0, 0.0, 1.0), (3.0, 0.5, -1.0))
        gain = -np.array(objective) / size.sum()
    elif objective == "accuracy_score":
        gain = np.eye(n_classes) / size.sum()
    else:
        gain = np.diag(1 / size) / n_classes
    counts = as_counts(table)
    probability = solve_cells(counts, problem_of(constraint, objective, tol))
    assert (probability >= 0).all()
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    dense = np.zeros(table.shape)
    dense[counts.group, counts.cell] = probability
    rates = rates_of_rule(table, dense, constraint)
    assert np.ptp(rates, axis=0).max() <= tol + 1e-9
    value = np.einsum("acj,jk,ack->", table, gain, dense)
    best = best_by_dense_program(table, constraint, gain, tol)
    assert value == pytest.approx(best, abs=1e-9)
    # What users see is the same number, a cost where costs were given.
    sign = 1 if isinstance(objective, str) else -1
    confusion = counts.confusion(probability)
    assert score(objective, confusion) == pytest.approx(sign * value)


@settings(max_examples=60, deadline=None)
@given(
    label_tables(),
    st.sampled_from(["equalized_odds", "demographic_parity"]),
    st.sampled_from(OBJECTIVES),
    st.sampled_from([0.0, 0.1]),
)
def test_two_classes_agree_with_the_program_over_one_probability(
    table, constraint, objective, tol
):
    counts = as_counts(table.astype(float))
    probability = solve_cells(counts, problem_of(constraint, objective, tol))
    confusion = counts.confusion(probability)
    value = score(objective, confusion)
    best = best_by_linear_program(table, constraint, objective, tol)
    assert value == pytest.approx(best, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    label_tables(),
    st.sampled_from(["equalized_odds", "demographic_parity"]),
    st.sampled_from(OBJECTIVES),
)
def test_two_classes_agree_with_the_geometric_solver(table, constraint, objective):
    from sklearn_fairsisa.fairness._regions import likelihood_regions
    from sklearn_fairsisa.fairness._solve import operating_points

    problem = problem_of(constraint, objective)
    regions, _ = likelihood_regions(as_counts(table))
    points = operating_points(regions, problem)
    by_geometry = value_of(table.sum(axis=1), objective, *points)
    counts = as_counts(table.astype(float))
    confusion = counts.confusion(solve_cells(counts, problem))
    by_program = score(objective, confusion)
    assert by_program == pytest.approx(by_geometry, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(class_tables(3))
def test_few_kinds_of_evidence_are_randomised(table):
    counts = as_counts(table)
    probability = solve_cells(counts, problem_of("equalized_odds", "accuracy_score"))
    random = ((probability > 0) & (probability < 1)).any(axis=1)
    share = counts.weight / counts.weight.sum(axis=1, keepdims=True)
    kinds = np.unique(np.column_stack([counts.group, share])[random], axis=0)
    assert len(kinds) <= (len(table) - 1) * 3 * 2


def test_equal_evidence_is_treated_equally():
    # Cells 0 and 1 of each group hold the same shares of the classes.
    table = np.array(
        [[[1, 2, 3], [2, 4, 6], [5, 1, 0]], [[3, 1, 1], [6, 2, 2], [0, 4, 3]]]
    )
    rule = CellDecisions.fit(
        as_counts(table.astype(float)),
        problem_of("equalized_odds", "accuracy_score"),
    )
    np.testing.assert_array_equal(rule.probability[[0, 3]], rule.probability[[1, 4]])


def test_a_worked_example_with_a_constant_optimum():
    # The cell says nothing in group 1, so its confusion rates have equal rows and so
    # have those of all groups: the best such rule decides for the commonest class.
    table = np.array([np.diag([4.0, 5.0, 4.0]), np.ones((3, 3))])
    counts = as_counts(table)
    probability = solve_cells(counts, problem_of("equalized_odds", "accuracy_score"))
    confusion = counts.confusion(probability)
    assert score("accuracy_score", confusion) == pytest.approx(8 / 22)
    np.testing.assert_allclose(confusion.sum(axis=(0, 1)), [0, 22, 0], atol=1e-12)


def test_counts_are_those_of_a_loop_and_drop_weightless_rows():
    rng = np.random.default_rng(0)
    group, cell, label = rng.integers(0, [[2], [6], [3]], (3, 200))
    weight = rng.integers(0, 3, 200) * (cell != 5)
    counts = count_cells(group, cell, label, weight, n_groups=2, n_classes=3)
    assert 5 not in counts.cell
    for a, c, by_class in zip(counts.group, counts.cell, counts.weight):
        rows = (group == a) & (cell == c)
        expected = [weight[rows & (label == k)].sum() for k in range(3)]
        np.testing.assert_array_equal(by_class, expected)
    assert counts.weight.sum() == weight.sum()


@pytest.mark.parametrize(
    ("constraint", "able"),
    [
        ("equalized_odds", [True, False, False, False]),
        ("true_positive_rate_parity", [True, False, False, False]),
        ("false_positive_rate_parity", [True, True, False, False]),
        ("demographic_parity", [True, True, True, False]),
    ],
)
def test_rates_are_undefined_where_nobody_is_counted(constraint, able):
    totals = np.array([[1, 1, 1], [1, 2, 0], [3, 0, 0], [0, 0, 0]])
    assert problem_of(constraint, "accuracy_score").needs(totals).tolist() == able


def test_the_program_of_many_classes_holds_nothing_but_its_nonzeros(monkeypatch):
    rng = np.random.default_rng(0)
    table = rng.multinomial(8, np.full(10, 0.1), size=(2, 100)).astype(float)
    counts, entries = as_counts(table), []

    def solve(block, cost, limited, **options):
        entries.append(sum(each.added.nnz for each in limited))
        multipliers = [np.zeros(each.defined.shape) for each in limited]
        return np.ones(len(block)), multipliers, 0.0

    monkeypatch.setattr(_mixtures, "cheapest_weights", solve)
    solve_cells(counts, problem_of("equalized_odds", "accuracy_score"))
    # Each class in a cell adds to one rate for each decision.
    assert entries[0] <= 10 * np.count_nonzero(table)


@pytest.mark.parametrize("constraint", sorted(CONSTRAINTS))
def test_a_program_is_the_same_whether_rates_are_computed_at_once_or_not(
    constraint, monkeypatch
):
    table = np.random.default_rng(1).integers(0, 9, (3, 6, 4)).astype(float)
    # The last group has nobody of the last class.
    table[-1, :, -1] = 0
    counts, problem = as_counts(table), problem_of(constraint, "accuracy_score", 0.02)
    at_once = solve_cells(counts, problem)
    monkeypatch.setattr(_mixtures, "_MOST_VALUES", 1)
    np.testing.assert_array_equal(solve_cells(counts, problem), at_once)


def bounds_of_rounds(n_classes, tol):
    """Greatest difference that each round of a search allows."""
    highest = []

    def mix(bounds):
        highest.append(max(limit[2] for bound in bounds for limit in bound.limits))
        return 1.0, None

    problem = problem_of("equalized_odds", "accuracy_score", tol)
    totals, patience = np.ones((2, n_classes)), {"patience": 1, "least_gain": 0.0}
    generate(mix, lambda _: False, problem, totals, most_rounds=5, **patience)
    return highest


def test_a_search_for_rules_of_many_classes_tightens_its_bounds_to_the_given_ones():
    highest = bounds_of_rounds(4, 0.03)
    assert len(highest) == 17
    assert highest[0] == pytest.approx(0.13)
    assert (np.diff(highest) < 0).all()
    assert highest[-1] == 0.03


def test_a_search_for_rules_of_two_classes_has_the_given_bounds_from_the_start():
    assert bounds_of_rounds(2, 0.03) == [0.03]
