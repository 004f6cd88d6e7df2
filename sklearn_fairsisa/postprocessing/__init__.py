"""Fair decisions by post-processing the predictions of an ensemble's members."""

from ._estimator import FairEnsemblePostprocessor, ServedPostprocessor
from ._report import FairnessReport

__all__ = ["FairEnsemblePostprocessor", "FairnessReport", "ServedPostprocessor"]
