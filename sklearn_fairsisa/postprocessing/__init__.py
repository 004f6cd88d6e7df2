"""Fair decisions by post-processing what the members of an ensemble say."""

from ._estimator import FairEnsemblePostprocessor
from ._report import FairnessReport

__all__ = ["FairEnsemblePostprocessor", "FairnessReport"]
