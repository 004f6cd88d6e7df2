"""Linear classifiers from which rows can be subtracted."""

from ._integer_ridge import IntegerRidgeClassifier

__all__ = ["IntegerRidgeClassifier"]
