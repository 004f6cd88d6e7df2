"""Fair decisions by post-processing what the members of an ensemble say."""

from ._estimator import FairEnsemblePostprocessor

__all__ = ["FairEnsemblePostprocessor"]
