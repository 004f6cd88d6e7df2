"""Constraints that a fair rule keeps, each with its own bound."""

from .fairness._constraints import AtLeast, Difference, Ratio

__all__ = ["AtLeast", "Difference", "Ratio"]
