"""Judging and comparing rules by counts."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from sklearn_fairsisa.metrics import (
    expected_accuracy_score,
    expected_balanced_accuracy_score,
    expected_equalized_odds_difference,
    noise_floor,
)

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def judging(monkeypatch):
    """Return the module that judges."""
    if not BENCHMARKS.is_dir():
        pytest.skip("the benchmarks are part of the repository, not of the package")
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("_judging")


def people(n, seed=0):
    rng = np.random.default_rng(seed)
    y, group = rng.integers(0, 2, n), rng.choice(3, n, p=[0.6, 0.3, 0.1])
    return rng.random(n), y, group


def as_counts(rates, n=100):
    """Counts of n people in each of two groups and labels, from FPRs and TPRs."""
    rates = np.asarray(rates, dtype=float)
    return np.stack([np.full((2, 2), n), n * rates, n * rates])


def test_counts_have_the_quality_that_the_library_computes(judging):
    probability, y, group = people(2000)
    found = judging.judge(probability, y, group)
    assert found == pytest.approx(
        {
            "accuracy": expected_accuracy_score(y, probability),
            "balanced_accuracy": expected_balanced_accuracy_score(y, probability),
            "gap": expected_equalized_odds_difference(
                y, probability, sensitive_features=group
            ),
        }
    )
    counts = judging.count(probability, y, group, 3)
    simulated = noise_floor(y, probability, sensitive_features=group, random_state=0)
    # Means of 1,000 and of 2,000 simulations.
    assert judging.noise_floor(counts) == pytest.approx(simulated.mean, rel=0.1)


def test_counts_of_different_people_add_up(judging):
    probability, y, group = people(500)
    parts = [judging.count(*(v[r] for v in (probability, y, group)), 3)
             for r in (slice(200), slice(200, None))]  # fmt: skip
    whole = judging.count(probability, y, group, 3)
    np.testing.assert_allclose(parts[0] + parts[1], whole)
    curves = np.stack([parts, parts])
    assert judging.balanced_accuracy(curves).shape == (2, 2)
    for statistic in (judging.gap, judging.accuracy, judging.balanced_accuracy):
        each = [[statistic(c) for c in curve] for curve in curves]
        np.testing.assert_allclose(statistic(curves), each)


def test_the_best_mixture_within_a_gap_is_chosen(judging):
    # Gap .0 and balanced accuracy .6; gap .2 and balanced accuracy .8.
    curve = np.stack(
        [as_counts([[0.4, 0.4], [0.6, 0.6]]), as_counts([[0.1, 0.3], [0.8, 0.8]])]
    )
    np.testing.assert_allclose(judging.choose(curve, 0.1), [0.5, 0.5])
    np.testing.assert_allclose(judging.choose(curve, 1.0), [0, 1])
    np.testing.assert_allclose(judging.choose(curve[1:], 0.1), [1])


def test_a_tolerance_is_never_chosen_on_the_fold_that_it_is_judged_on(judging):
    good, bad = as_counts([[0.1, 0.1], [0.9, 0.9]]), as_counts([[0.5] * 2] * 2)
    # The second tolerance is the better one in the first fold alone.
    ours = np.stack([[bad, good, good], [good, bad, bad]])
    chosen, _ = judging.at_equal_gap(ours, np.stack([[bad, bad, bad]]))
    np.testing.assert_allclose(judging.balanced_accuracy(chosen), [0.5, 0.9, 0.9])


def test_no_rule_is_ahead_of_itself_at_equal_gap(judging):
    rng = np.random.default_rng(0)
    curve = np.stack(
        [[as_counts(np.sort(rng.random((2, 2)), axis=0)) for _ in range(5)]] * 3
    )
    found = judging.compare([curve], [curve])
    for estimate in found.values():
        assert estimate.value == estimate.low == estimate.high == 0


def test_the_interval_of_a_mean_is_the_corrected_one_of_resampled_folds(judging):
    accuracies = np.array([0.62, 0.7, 0.66, 0.58, 0.64])
    ours = np.stack([as_counts([[1 - a] * 2, [a] * 2]) for a in accuracies])
    other = np.stack([as_counts([[0.5] * 2] * 2)] * 5)
    found = judging.difference(judging.balanced_accuracy, [ours], [other])
    assert found.value == pytest.approx(0.14)
    # Student's quantile of 4 degrees of freedom; 1 / 4 as many people as rows.
    width = 2.776 * np.sqrt((1 / 5 + 1 / 4) * accuracies.var(ddof=1))
    assert found.high - found.value == pytest.approx(width, rel=1e-3)
    assert found.value - found.low == pytest.approx(width, rel=1e-3)
