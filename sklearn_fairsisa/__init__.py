"""Classifiers that forget exactly and stay fair."""

from ._versions import show_versions
from .postprocessing import FairEnsemblePostprocessor
from .sisa import SISAClassifier

__all__ = ["FairEnsemblePostprocessor", "SISAClassifier", "show_versions"]
