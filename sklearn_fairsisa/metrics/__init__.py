"""Scores, gaps between groups, and intervals of both."""

from ._adapter import FairlearnAdapter
from ._budget import within_fairness_budget
from ._expected import (
    expected_accuracy_score,
    expected_balanced_accuracy_score,
    expected_demographic_parity_difference,
    expected_equalized_odds_difference,
    group_rates,
)
from ._impact import impact_ratios
from ._intervals import Interval, bootstrap_interval
from ._noise_floor import NoiseFloor, noise_floor
from ._pooling import PooledPredictions, pool_predictions, pooled_cross_validate
from ._scorer import FairScorer

__all__ = [
    "FairScorer",
    "FairlearnAdapter",
    "Interval",
    "NoiseFloor",
    "PooledPredictions",
    "bootstrap_interval",
    "expected_accuracy_score",
    "expected_balanced_accuracy_score",
    "expected_demographic_parity_difference",
    "expected_equalized_odds_difference",
    "group_rates",
    "impact_ratios",
    "noise_floor",
    "pool_predictions",
    "pooled_cross_validate",
    "within_fairness_budget",
]
