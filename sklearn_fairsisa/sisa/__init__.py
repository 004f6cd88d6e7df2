"""Exact unlearning by sharded, isolated, sliced and aggregated training."""

from ._classifier import SISAClassifier
from ._forgetting_report import ForgettingReport
from ._leaks import Forgettability, check_forgettable
from ._planner import RecommendedPlan, recommend_plan
from ._reports import ForgetReport, ForgetVerification
from ._serving import ServedClassifier
from .store import CheckpointPolicy

__all__ = [
    "CheckpointPolicy",
    "ForgetReport",
    "ForgetVerification",
    "Forgettability",
    "ForgettingReport",
    "RecommendedPlan",
    "SISAClassifier",
    "ServedClassifier",
    "check_forgettable",
    "recommend_plan",
]
