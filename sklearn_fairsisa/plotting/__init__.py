"""Pictures of what fairness and forgetting cost."""

from ._cost import ForgettingCostDisplay
from ._roc import GroupRocDisplay
from ._tradeoff import FairnessTradeoffDisplay

__all__ = ["FairnessTradeoffDisplay", "ForgettingCostDisplay", "GroupRocDisplay"]
