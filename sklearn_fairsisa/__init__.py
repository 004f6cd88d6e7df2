"""Classifiers that forget exactly and stay fair."""

from ._utils.versions import show_versions
from .postprocessing import FairEnsemblePostprocessor
from .sisa import SISAClassifier, check_forgettable

__version__ = "0.1.0.dev0"

__all__ = [
    "FairEnsemblePostprocessor",
    "SISAClassifier",
    "check_forgettable",
    "show_versions",
]
