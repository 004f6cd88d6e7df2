"""The problem that a fair rule solves."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from ._constraints import Constraint


class InfeasibleError(ValueError):
    """No rule keeps all constraints."""


@dataclass(frozen=True)
class BoundedRates:
    """Rates that a constraint bounds, and within which limits.

    Parameters
    ----------
    rates : list of Rate
    part : ndarray of int of shape (n_groups,)
        Position of the part that each group belongs to, of those compared.
    people : ndarray of shape (n_rates, n_parts)
        Weight of the people of each part whom a rate counts.
    limits : list of (coefficient, low, high)
        Of each rate; see `Constraint`.
    """

    rates: list
    part: np.ndarray
    people: np.ndarray
    limits: list

    @property
    def shares(self):
        """What a unit of weight is of the people, 0 where there are none."""
        people = self.people
        return np.divide(1, people, out=np.zeros_like(people), where=people > 0)

    @cached_property
    def pairs(self):
        """True classes and decisions that each rate counts, (n_rates, n_classes**2).

        A sparse array of ones.
        """
        found = [np.flatnonzero(rate.pairs) for rate in self.rates]
        ends = np.cumsum([0, *map(len, found)])
        shape = len(self.rates), self.rates[0].pairs.size
        return sparse.csr_array(
            (np.ones(ends[-1]), np.concatenate(found), ends), shape=shape
        )

    def blocks(self, n_rates):
        """Divide the rates into blocks of so many at most."""
        if n_rates >= len(self.rates):
            return [self]
        starts = range(0, len(self.rates), n_rates)
        parts = [slice(start, start + n_rates) for start in starts]
        return [
            replace(self, rates=self.rates[p], people=self.people[p]) for p in parts
        ]


@dataclass(frozen=True)
class Problem:
    """What a rule solves.

    Parameters
    ----------
    constraints : tuple of Constraint
        None is for each group's own optimum.
    objective : {"accuracy_score", "balanced_accuracy_score"} or tuple of tuples
        What is maximised, or the cost of each decision (column) on people of each
        class (row), whose expected value per person is minimised.
    slack : float, default=0.0
        By how much the bounds are loosened.
    name : str, default=""
        Name of the constraint, if it has one. Its slack is the tolerance.
    method : str, default=""
        Name of the method.
    groups, classes : ndarray, default=()
        Names of the groups and of the classes.
    features : tuple, default=()
        Names of the sensitive features, where they are known.
    confidence : float, default=None
        Probability at which the true rates are to keep the bounds.
    accepts_unknown : bool, default=False
        Whether there may be people of unknown groups.
    flipped : bool, default=False
        Whether, of two classes, the first is the positive one.
    randomise : bool, default=True
        Whether decisions may be randomised.
    sensitive_at_predict : bool, default=True
        Whether the groups of new people are known; else all are inferred.
    infers : bool, default=False
        Whether unknown groups are inferred.
    """

    constraints: tuple[Constraint, ...]
    objective: Any
    slack: float = 0.0
    name: str = ""
    method: str = ""
    groups: Any = ()
    classes: Any = ()
    features: tuple = ()
    confidence: float | None = None
    accepts_unknown: bool = False
    flipped: bool = False
    randomise: bool = True
    sensitive_at_predict: bool = True
    infers: bool = False

    def within(self, slack):
        """The same problem with other bounds."""
        return replace(self, slack=slack)

    @property
    def decisions(self):
        """Classes in the order of decisions; of two the second is positive."""
        return self.classes[::-1] if self.flipped else self.classes

    def labels(self, codes):
        """Labels of rows by the codes of their classes: of two whether positive."""
        if len(self.classes) > 2:
            return codes
        return np.asarray(codes, dtype=bool) ^ self.flipped

    def codes(self, labels):
        """Codes of classes by labels of rows, which `labels` gives back."""
        return (self.labels(labels) if self.flipped else labels).astype(np.intp)

    def turned(self, scores):
        """Scores of the positive class, of those of the second of two."""
        if not self.flipped:
            return scores
        return ~scores if scores.dtype == bool else 1 - scores

    @property
    def demands(self):
        """The constraints as they are to be kept."""
        return tuple(each.loosened(self.slack) for each in self.constraints)

    @property
    def strictest(self):
        """Least slack that makes a difference."""
        return 0.0 if self.name else -1.0

    def __str__(self):
        return self.name or " and ".join(map(repr, self.constraints))

    def parts(self, constraint, n_groups):
        """Groups that a constraint compares.

        Parameters
        ----------
        constraint : Constraint
        n_groups : int

        Returns
        -------
        names : list
        part : ndarray of int of shape (n_groups,)
            Position of each group's.
        """
        groups = np.asarray(self.groups) if len(self.groups) else np.arange(n_groups)
        # Times would become numbers.
        names = list(groups) if groups.dtype.kind in "mM" else groups.tolist()
        if constraint.by is not None and len(self.features) > 1:
            names = [name[self.features.index(constraint.by)] for name in names]
        found = list(dict.fromkeys(names))
        return found, np.array([found.index(name) for name in names], dtype=np.intp)

    def bounded(self, totals):
        """What programs are to keep within limits.

        Parameters
        ----------
        totals : ndarray of shape (n_groups, n_classes)
            Weight of each class of each group.

        Returns
        -------
        list of BoundedRates
            One for each constraint that excludes any rule.
        """
        n_groups, n_classes = totals.shape
        found = []
        for constraint in self.demands:
            names, part = self.parts(constraint, n_groups)
            if not constraint.binds(len(names)):
                continue
            rates = constraint.rates(n_classes)
            people = [
                np.bincount(part, totals @ rate.counted, minlength=len(names))
                for rate in rates
            ]
            limits = constraint.limits(names)
            found.append(BoundedRates(rates, part, np.stack(people), limits))
        return found

    def values(self, constraint, confusion):
        """Constrained rates by part, (n_parts, n_rates).

        Parameters
        ----------
        constraint : Constraint
        confusion : ndarray of shape (n_groups, n_classes, n_classes)
        """
        names, part = self.parts(constraint, len(confusion))
        summed = np.zeros((len(names), *confusion.shape[1:]))
        np.add.at(summed, part, confusion)
        rates = constraint.rates(confusion.shape[-1])
        return np.stack([rate.of(summed) for rate in rates], axis=1)

    def excess(self, confusion):
        """Least slack at which the rates of decisions keep all bounds."""
        return max(
            constraint.excess(
                self.values(constraint, confusion),
                self.parts(constraint, len(confusion))[0],
            )
            for constraint in self.constraints
        )

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
        enough = totals.sum(axis=1) > 0
        for constraint in self.constraints:
            names, part = self.parts(constraint, len(totals))
            for rate in constraint.rates(totals.shape[1]):
                people = np.bincount(part, totals @ rate.counted, len(names))
                enough &= people[part] > 0
        return enough
