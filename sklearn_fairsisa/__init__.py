"""Classifiers that forget exactly and stay fair."""

from .postprocessing import FairEnsemblePostprocessor
from .sisa import SISAClassifier

__all__ = ["FairEnsemblePostprocessor", "SISAClassifier"]
