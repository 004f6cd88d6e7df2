"""Exact unlearning by sharded, isolated, sliced and aggregated training."""

from ._classifier import SISAClassifier

__all__ = ["SISAClassifier"]
