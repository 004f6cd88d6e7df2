"""Displays of the costs of fairness and of forgetting, and of training."""

from ._cost import ForgettingCostDisplay
from ._roc import GroupRocDisplay
from ._tradeoff import FairnessTradeoffDisplay
from ._training import TrainingCurveDisplay

__all__ = [
    "FairnessTradeoffDisplay",
    "ForgettingCostDisplay",
    "GroupRocDisplay",
    "TrainingCurveDisplay",
]
