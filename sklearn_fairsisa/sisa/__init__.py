"""Exact unlearning by sharded, isolated, sliced and aggregated training."""

from ._classifier import SISAClassifier
from ._forgetting_report import ForgettingReport
from ._leaks import check_forgettable
from ._planner import recommend_plan
from ._serving import ServedClassifier
from .store import CheckpointPolicy

__all__ = [
    "CheckpointPolicy",
    "ForgettingReport",
    "SISAClassifier",
    "ServedClassifier",
    "check_forgettable",
    "recommend_plan",
]
