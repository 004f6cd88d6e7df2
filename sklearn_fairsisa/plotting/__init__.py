"""Displays of the costs of fairness and of forgetting."""

from ._cost import ForgettingCostDisplay
from ._roc import GroupRocDisplay
from ._tradeoff import FairnessTradeoffDisplay

__all__ = ["FairnessTradeoffDisplay", "ForgettingCostDisplay", "GroupRocDisplay"]
