"""The best thresholds, against enumeration of all of them."""

from itertools import product

import numpy as np
import pytest

from sklearn_fairsisa.constraints import AtLeast, Difference, Ratio
from sklearn_fairsisa.fairness._constraints import CONSTRAINTS
from sklearn_fairsisa.fairness._level_rules import LevelRule
from sklearn_fairsisa.fairness._problem import InfeasibleError, Problem
from sklearn_fairsisa.fairness._rates import score
from sklearn_fairsisa.fairness._regions import score_regions

from .oracles import as_counts

RATES = {
    "selection_rate": lambda neg, pos, fp, tp: (fp + tp) / (neg + pos),
    "true_positive_rate": lambda neg, pos, fp, tp: tp / pos,
    "false_positive_rate": lambda neg, pos, fp, tp: fp / neg,
    "true_negative_rate": lambda neg, pos, fp, tp: 1 - fp / neg,
    "false_negative_rate": lambda neg, pos, fp, tp: 1 - tp / pos,
}


def kept(constraint, rates):
    if constraint.rate == "confusion_rate":
        both = ("false_positive_rate", "true_positive_rate")
        return all(
            kept(type(constraint)(name, constraint.at_most), rates) for name in both
        )
    values = rates[constraint.rate]
    if isinstance(constraint, Difference):
        return np.ptp(values) <= constraint.at_most + 1e-9
    if isinstance(constraint, Ratio):
        return values.min() >= constraint.at_least * values.max() - 1e-9
    return values.min() >= constraint.at_least - 1e-9


def enumerated(table, constraints, objective):
    """Best value over all thresholds, None if none keeps the constraints."""
    best = None
    negatives, positives = table.sum(axis=1).T
    # Cells by falling score.
    passed = np.cumsum(table[:, ::-1], axis=1)
    passed = np.concatenate([np.zeros_like(passed[:, :1]), passed], axis=1)
    for cut in product(range(passed.shape[1]), repeat=len(table)):
        fp, tp = passed[np.arange(len(table)), list(cut)].T
        rates = {k: f(negatives, positives, fp, tp) for k, f in RATES.items()}
        if not all(kept(constraint, rates) for constraint in constraints):
            continue
        tn = negatives - fp
        if objective == "balanced_accuracy_score":
            value = tp.sum() / positives.sum() / 2 + tn.sum() / negatives.sum() / 2
        else:
            value = (tp.sum() + tn.sum()) / table.sum()
        best = value if best is None else max(best, value)
    return best


def draw(seed):
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 6, (rng.integers(2, 4), rng.integers(2, 9), 2)) * 1.0
    table += (table.sum(axis=1, keepdims=True) == 0) + 0.0
    if rng.random() < 0.5:
        table *= rng.uniform(0.2, 3, table.shape)
    rate = str(rng.choice([*RATES, "confusion_rate"]))
    bound, kind = rng.uniform(0.02, 0.5), rng.integers(3)
    if kind == 0 or rate == "confusion_rate":
        constraints = [Difference(rate, at_most=bound)]
    elif kind == 1:
        constraints = [Ratio(rate, 1 - bound)]
    else:
        constraints = [AtLeast(rate, 2 * bound)]
    if rng.random() < 0.4:
        constraints.append(AtLeast("true_negative_rate", rng.random()))
        constraints.append(Ratio("true_positive_rate", rng.random()))
    return table, constraints, ["accuracy_score", "balanced_accuracy_score"][seed % 2]


def check_enumerated(seed):
    table, constraints, objective = draw(seed)
    names = [(type(each), each.rate) for each in constraints]
    if len(set(names)) < len(names):
        return
    expected = enumerated(table, constraints, objective)
    problem = Problem(tuple(constraints), objective, randomise=False)
    try:
        rule, gap = LevelRule.solve_thresholds(score_regions(as_counts(table)), problem)
    except InfeasibleError:
        assert expected is None, (seed, constraints)
        return
    assert expected is not None, (seed, constraints)
    assert gap == 0
    assert score(objective, rule.confusion) == pytest.approx(expected, abs=1e-9), seed
    assert problem.excess(rule.confusion) < 1e-8
    assert all(np.isin(p, (0, 1)).all() for p in rule.by_level)


@pytest.mark.parametrize("start", range(0, 60, 20))
def test_thresholds_equal_enumeration(start):
    for seed in range(start, start + 20):
        check_enumerated(seed)


@pytest.mark.heavy
def test_thresholds_of_many_draws_equal_enumeration():
    for seed in range(60, 1000):
        check_enumerated(seed)


@pytest.mark.parametrize("word", sorted(CONSTRAINTS))
def test_thresholds_of_many_scores_are_found_exactly(word):
    rng = np.random.default_rng(0)
    table = rng.integers(0, 3, (3, 400, 2)) + (np.arange(400)[:, None] % 2 == [0, 1])
    table[:, :, 1] += np.arange(400) // 100
    problem = Problem(
        (CONSTRAINTS[word],), "balanced_accuracy_score", 0.02, word, randomise=False
    )
    rule, gap = LevelRule.solve_thresholds(score_regions(as_counts(table)), problem)
    assert gap == 0
    assert problem.excess(rule.confusion) <= 0.02 + 1e-9
