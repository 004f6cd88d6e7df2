"""Rates of groups, constraints that bound them, and the problem of a fair rule."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

_OF_TWO = {
    (True, False): "false_positive_rate",
    (False, True): "true_positive_rate",
    (True, True): "selection_rate",
}


@dataclass(frozen=True)
class Rate:
    """The share of some people of each group whose decision is a hit.

    Parameters
    ----------
    counted : ndarray of bool of shape (n_classes,)
        True classes of the people.
    hits : ndarray of bool of shape (n_classes,) or (n_classes, n_classes)
        Which decisions are hits, whatever the true class or for each (row).
    own_name : str, default=""
        Name of a rate that is not one of a single decision.
    """

    counted: np.ndarray
    hits: np.ndarray
    own_name: str = ""

    @property
    def pairs(self):
        """Counted true class (row) and hit (column), (n_classes, n_classes)."""
        return self.counted[:, None] & self.hits

    def name(self, classes):
        """Name of the rate, given those of the classes."""
        if self.own_name:
            return self.own_name
        if len(classes) == 2:
            return _OF_TWO[tuple(self.counted.tolist())]
        decision = classes[self.hits.argmax()]
        if self.counted.all():
            return f"P(decision={decision})"
        if self.counted.sum() > 1:
            return f"P(decision={decision} | Y!={decision})"
        return f"P(decision={decision} | Y={classes[self.counted.argmax()]})"

    def of(self, decided, total=None):
        """Rate of each group.

        Parameters
        ----------
        decided : ndarray of shape (..., n_classes, n_classes)
            Weight of the people by true class (row) and decision (column).
        total : ndarray of shape (..., n_classes), default=None
            Weight of the people by true class, the sums of `decided` if None.

        Returns
        -------
        ndarray of shape (...)
            NaN where no people are counted.
        """
        if total is None:
            total = decided.sum(axis=-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            hits = decided[..., self.pairs].sum(axis=-1)
            return hits / total[..., self.counted].sum(axis=-1)


def _decisions(n_classes):
    """Decisions whose rates determine the others': the second of two, else all."""
    return range(n_classes) if n_classes > 2 else [1]


def _confusion_rates(n_classes):
    own = np.eye(n_classes, dtype=bool)
    return [Rate(j, own[k]) for j in own for k in _decisions(n_classes)]


def _selection_rates(n_classes):
    own = np.eye(n_classes, dtype=bool)
    everyone = np.ones(n_classes, dtype=bool)
    return [Rate(everyone, own[k]) for k in _decisions(n_classes)]


def _true_positive_rates(n_classes):
    own = np.eye(n_classes, dtype=bool)
    return [Rate(own[k], own[k]) for k in _decisions(n_classes)]


def _false_positive_rates(n_classes):
    own = np.eye(n_classes, dtype=bool)
    return [Rate(~own[k], own[k]) for k in _decisions(n_classes)]


RATES = {
    "confusion_rate": _confusion_rates,
    "selection_rate": _selection_rates,
    "true_positive_rate": _true_positive_rates,
    "false_positive_rate": _false_positive_rates,
}
"""Functions from a number of classes to rates: P(decision = k | Y = j) for all j and k;
P(decision = k) for all k; P(decision = k | Y = k) for all k; P(decision = k | Y != k)
for all k. Of two classes k is the second, as its rates determine those of the first."""


@dataclass(frozen=True)
class Difference:
    r"""A bound of the greatest difference between groups of each of some rates.

    Parameters
    ----------
    rate : str
        A key of `RATES`.
    at_most : float, default=0.0
        The bound, in [0, 1].
    name : str, default=""
        Its name in the public interface.

    Notes
    -----
    Programs see a constraint through its `limits` alone. Each is a triple
    :math:`(c, l, h)`, which requires :math:`l \le r_a - c\,m \le h` of the rate
    :math:`r_a` of every group, with one unknown m in [0, 1] per rate.
    """

    rate: str
    at_most: float = 0.0
    name: str = field(default="", compare=False)

    def rates(self, n_classes):
        """Rates that are bounded, a list of `Rate`."""
        return RATES[self.rate](n_classes)

    def limits(self):
        """Limits of each rate; see Notes."""
        return [(1.0, 0.0, self.at_most)]

    def binds(self, n_groups):
        """Whether it excludes any rule for so many groups."""
        return self.at_most < 1 and n_groups > 1

    def needs(self, totals):
        """Whether each group has the people whose rates are bounded.

        Parameters
        ----------
        totals : ndarray of shape (n_groups, n_classes)
            Weight of each class of each group.

        Returns
        -------
        ndarray of bool of shape (n_groups,)
        """
        rates = self.rates(totals.shape[1])
        counted = np.stack([rate.counted for rate in rates], axis=1)
        return (totals @ counted > 0).all(axis=1)


CONSTRAINTS = {
    name: Difference(rate, name=name)
    for name, rate in {
        "equalized_odds": "confusion_rate",
        "demographic_parity": "selection_rate",
        "true_positive_rate_parity": "true_positive_rate",
        "false_negative_rate_parity": "true_positive_rate",
        "false_positive_rate_parity": "false_positive_rate",
        "true_negative_rate_parity": "false_positive_rate",
    }.items()
}
"""The constraints that have a name, at a bound of 0."""

GAPS: dict[str, str] = {}
"""Rate whose greatest difference each gap is; the first such constraint names it."""
for _name, _constraint in CONSTRAINTS.items():
    if _constraint.rate not in GAPS.values():
        _gap = f"{_name.replace('_rate_parity', '_rate')}_difference"
        GAPS[_gap] = _constraint.rate


def gap_of(rate):
    """Name of the greatest difference of a rate, which is a key of `RATES`."""
    return next(gap for gap, compared in GAPS.items() if compared == rate)


@dataclass(frozen=True)
class Problem:
    """What a rule solves.

    Parameters
    ----------
    constraint : Difference or None
        None is for each group's own optimum.
    objective : {"accuracy_score", "balanced_accuracy_score"} or tuple of tuples
        What is maximised, or the cost of each decision (column) on people of each
        class (row), whose expected value per person is minimised.
    method : str, default=""
        Name of the method.
    groups, classes : ndarray, default=()
        Names of the groups and of the classes.
    confidence : float, default=None
        Probability at which the true differences are to keep the bound.
    accepts_unknown : bool, default=False
        Whether there may be people of unknown groups.
    sensitive_at_predict : bool, default=True
        Whether the groups of new people are known; else all are inferred.
    infers : bool, default=False
        Whether unknown groups are inferred.
    """

    constraint: Difference | None
    objective: Any
    method: str = ""
    groups: Any = ()
    classes: Any = ()
    confidence: float | None = None
    accepts_unknown: bool = False
    sensitive_at_predict: bool = True
    infers: bool = False

    @property
    def tol(self):
        """Bound of the constraint."""
        return self.constraint.at_most

    def within(self, tol):
        """The same problem with another bound."""
        return replace(self, constraint=replace(self.constraint, at_most=tol))

    def rates(self, n_groups, n_classes):
        """Rates that the constraint bounds; none where it excludes nothing."""
        if self.constraint is None or not self.constraint.binds(n_groups):
            return []
        return self.constraint.rates(n_classes)
