"""Classifiers that forget exactly and stay fair."""

from .sisa import SISAClassifier

__all__ = ["SISAClassifier"]
