"""Rules for people whose group is inferred, against dense programs."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from sklearn_fairsisa.fairness._constraints import CONSTRAINTS
from sklearn_fairsisa.fairness._joint_rules import JointRule
from sklearn_fairsisa.fairness._problem import Problem
from sklearn_fairsisa.fairness._rates import score

ALL_ESTIMATED = 1e12


def population(n_kinds=12, n_groups=2, n_classes=2, seed=0):
    """Probabilities of kinds of people, and of group and class in each."""
    rng = np.random.default_rng(seed)
    share = rng.dirichlet(np.full(n_kinds, 3.0))
    joint = rng.dirichlet(np.full(n_groups * n_classes, 0.7), n_kinds)
    return share, joint.reshape(n_kinds, n_groups, n_classes)


def rows_of(share, joint):
    """Weighted rows that hold every group and class of each kind as it is expected."""
    kind, group, label = (part.ravel() for part in np.indices(joint.shape))
    weight = (share[:, None, None] * joint).ravel()
    return joint[kind], group, label, 1000 * weight


def best_value(share, joint, tol, gain, constraint):
    """Optimum over all probabilities of decisions on the kinds, by a dense program."""
    n_kinds, n_groups, n_classes = joint.shape
    mass = share[:, None, None] * joint
    total = mass.sum(axis=0)
    counted = {
        "equalized_odds": [mass[:, :, y] / total[:, y] for y in range(n_classes)],
        "demographic_parity": [mass.sum(axis=2) / total.sum(axis=1)],
    }[constraint]
    # Each rate lies between an unknown m and m + tol.
    n_rates = len(counted) * n_classes
    rows, bounds = [], []
    for r, (of, k) in enumerate(product(counted, range(n_classes))):
        for a in range(n_groups):
            decided = np.zeros((n_kinds, n_classes))
            decided[:, k] = of[:, a]
            row = np.append(decided.ravel(), -np.eye(n_rates)[r])
            rows += [row, -row]
            bounds += [tol, 0]
    worth = mass.sum(axis=1) @ gain
    each = np.kron(np.eye(n_kinds), np.ones(n_classes))
    found = linprog(
        np.append(-worth.ravel(), np.zeros(n_rates)),
        A_ub=rows,
        b_ub=bounds,
        A_eq=np.hstack([each, np.zeros((n_kinds, n_rates))]),
        b_eq=np.ones(n_kinds),
        bounds=(0, 1),
    )
    return -found.fun


def problem_of(constraint, tol=0.0, objective="accuracy_score"):
    return Problem((CONSTRAINTS[constraint],), objective, tol, constraint)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([0.0, 0.05]),
    st.sampled_from([2, 3]),
    st.sampled_from(["equalized_odds", "demographic_parity"]),
)
def test_where_the_estimates_are_right_no_rule_is_better(
    seed, tol, n_groups, constraint
):
    share, joint = population(n_groups=n_groups, seed=seed)
    rule = JointRule.fit(
        *rows_of(share, joint), problem_of(constraint, tol), people=ALL_ESTIMATED
    )
    value = score("accuracy_score", rule.confusion)
    best = best_value(share, joint, tol, np.eye(2), constraint)
    assert value <= best + 1e-7
    assert value >= best - 2e-3


@pytest.mark.parametrize("seed", range(3))
def test_with_five_classes_hardly_any_rule_of_equal_rates_is_better(seed):
    rng, n_kinds, n_classes = np.random.default_rng(seed), 60, 5
    share = rng.dirichlet(np.full(n_kinds, 3.0))
    group = rng.dirichlet(np.full(2, 0.7), n_kinds)
    label = rng.dirichlet(np.full(n_classes, 0.25), n_kinds)
    noise = rng.dirichlet(np.full(2 * n_classes, 0.5), n_kinds)
    joint = 0.8 * group[:, :, None] * label[:, None]
    joint += 0.2 * noise.reshape(joint.shape)
    problem = problem_of("equalized_odds")
    rule = JointRule.fit(*rows_of(share, joint), problem, people=ALL_ESTIMATED)
    value = score("accuracy_score", rule.confusion)
    best = best_value(share, joint, 0.0, np.eye(n_classes), "equalized_odds")
    assert best - 0.005 < value < best + 1e-7


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("people", [0.0, 100.0, ALL_ESTIMATED])
def test_rates_agree_as_counted_and_estimated(n_classes, people):
    rng = np.random.default_rng(0)
    share, joint = population(60, 2, n_classes)
    kind = rng.choice(60, 800, p=share)
    drawn = [rng.choice(2 * n_classes, p=joint[k].ravel()) for k in kind]
    group, label = np.divmod(drawn, n_classes)
    weight = rng.uniform(0.5, 2.0, 800)
    given = joint[kind], group, label, weight
    rule = JointRule.fit(*given, problem_of("equalized_odds", 0.02), people=people)
    # An oracle of what is counted and what is expected, rate by rate.
    p = rule.selection_probability(joint[kind])
    p = np.stack([1 - p, p], axis=1) if n_classes == 2 else p
    np.testing.assert_allclose(p.sum(axis=1), 1)
    for a in range(2):
        for j in range(n_classes):
            here = (group == a) & (label == j)
            n, q = here.sum(), weight * joint[kind, a, j]
            counted = weight[here] @ p[here] / weight[here].sum()
            expected = q @ p / q.sum()
            trust = n / (n + people)
            rate = rule.confusion[a, j] / rule.confusion[a, j].sum()
            np.testing.assert_allclose(
                rate, trust * counted + (1 - trust) * expected, atol=1e-9
            )
            assert rule.counted[a, j] == pytest.approx(trust)
    rates = rule.confusion / rule.confusion.sum(axis=2, keepdims=True)
    assert np.ptp(rates, axis=0).max() <= 0.02 + 1e-8


def test_with_many_classes_the_search_goes_on_until_it_gains_over_constants():
    rng, n_classes = np.random.default_rng(0), 6
    group, label = rng.integers(0, 2, 900), rng.integers(0, n_classes, 900)
    evidence = np.exp(rng.normal(size=(900, n_classes)) + 4 * np.eye(n_classes)[label])
    evidence /= evidence.sum(axis=1, keepdims=True)
    of_group = np.where(np.eye(2)[group], 0.9, 0.1)
    joint = of_group[:, :, None] * evidence[:, None]
    problem = problem_of("equalized_odds", objective="balanced_accuracy_score")
    fitted = JointRule.fit(joint, group, label, None, problem)
    # A constant has one sixth.
    assert score("balanced_accuracy_score", fitted.confusion) > 0.6


def test_a_row_is_decided_on_alike_in_any_batch():
    share, joint = population(50)
    rule = JointRule.fit(*rows_of(share, joint), problem_of("equalized_odds"))
    p = rule.selection_probability(joint)
    np.testing.assert_array_equal(rule.selection_probability(joint[[7, 3]]), p[[7, 3]])


def test_the_table_holds_all_people_by_group():
    share, joint = population(50)
    rows = rows_of(share, joint)
    rule = JointRule.fit(*rows, problem_of("equalized_odds"))
    table = rule.table(["no", "yes"])
    for a in range(2):
        here = rows[1] == a
        own = table.group == a
        expected = rows[3][here] @ rule.selection_probability(rows[0][here])
        assert table.mass[own] @ table.probability[own] == pytest.approx(
            expected / rows[3].sum()
        )
