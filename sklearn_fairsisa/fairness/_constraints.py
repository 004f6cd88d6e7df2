"""Rates of groups and constraints that bound them."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from scipy.special import ndtr

from ._confidence import (
    LEAST_ERROR,
    expected_spread,
    quantile,
    spread_probability,
    spread_quantile,
)

# By the people counted and the decision, of two classes.
_OF_TWO = {
    (True, False, 1): "false_positive_rate",
    (False, True, 1): "true_positive_rate",
    (True, True, 1): "selection_rate",
    (True, False, 0): "true_negative_rate",
    (False, True, 0): "false_negative_rate",
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
            return _OF_TWO[*self.counted.tolist(), int(self.hits.argmax())]
        own = self.hits if self.hits.sum() == 1 else ~self.hits
        decision = classes[own.argmax()]
        hit = f"decision{'=' if own is self.hits else '!='}{decision}"
        if self.counted.all():
            return f"P({hit})"
        if self.counted.sum() > 1:
            return f"P({hit} | Y!={decision})"
        return f"P({hit} | Y={classes[self.counted.argmax()]})"

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


def _true_negative_rates(n_classes):
    return [Rate(r.counted, ~r.hits) for r in _false_positive_rates(n_classes)]


def _false_negative_rates(n_classes):
    return [Rate(r.counted, ~r.hits) for r in _true_positive_rates(n_classes)]


def _accuracies(n_classes):
    own = np.eye(n_classes, dtype=bool)
    return [Rate(np.ones(n_classes, dtype=bool), own, "accuracy")]


RATES = {
    "confusion_rate": _confusion_rates,
    "selection_rate": _selection_rates,
    "true_positive_rate": _true_positive_rates,
    "false_positive_rate": _false_positive_rates,
    "true_negative_rate": _true_negative_rates,
    "false_negative_rate": _false_negative_rates,
    "accuracy": _accuracies,
}
"""Functions from a number of classes to rates: P(decision = k | Y = j) for all j and k;
P(decision = k) for all k; P(decision = k | Y = k) for all k; P(decision = k | Y != k)
for all k; what is left of the latter two to 1; P(decision = Y). Of two classes k is the
second, as its rates determine those of the first."""


def spread(rates):
    """Greatest difference between groups, over one or several rates.

    A seminorm of the rates, so that a gap is never further from the true one than the
    spread of the errors of the rates.

    Parameters
    ----------
    rates : ndarray of shape (..., n_groups, n_rates)
        NaN where undefined; such a group is left out.

    Returns
    -------
    gap : ndarray of shape (...)
        NaN where no rate is defined.

    Examples
    --------
    >>> spread(np.array([[0.5, 0.25], [0.25, 0.75], [np.nan, 0.5]]))
    np.float64(0.5)
    """
    low, high = _extremes(rates)
    gap = np.max(high - low, axis=-1)
    return np.where(gap < 0, np.nan, gap)[()]


def _extremes(rates):
    """Least and greatest value of each rate over the groups, inf and -inf if none."""
    defined = ~np.isnan(rates)
    return (
        np.min(rates, axis=-2, where=defined, initial=np.inf),
        np.max(rates, axis=-2, where=defined, initial=-np.inf),
    )


@dataclass(frozen=True, repr=False)
class Constraint:
    r"""What a fair rule must keep to, of one rate or of several.

    Parameters
    ----------
    rate : str
        A key of `RATES`.
    by : hashable, default=None
        Name of a sensitive feature. Groups are those of its value; with None, those of
        all features together.

    Notes
    -----
    Programs see a constraint through its `limits` alone. Each is a triple
    :math:`(c, l, h)`, which requires :math:`l \le r_a - c\,m \le h` of the rate
    :math:`r_a` of every group, with one unknown m in [0, 1] per rate.
    """

    rate: str
    by: Hashable = field(default=None, kw_only=True)

    # Name of the bound, and the direction in which it is easier to keep.
    _bound: ClassVar[str] = "at_least"
    _easier: ClassVar[int] = -1

    def __post_init__(self):
        if not isinstance(self.rate, str) or self.rate not in RATES:
            raise ValueError(
                f"{self.rate!r} is no rate that can be constrained. Give one of "
                f"{', '.join(map(repr, RATES))}."
            )

    def __repr__(self):
        by = "" if self.by is None else f", by={self.by!r}"
        return f"{type(self).__name__}({self.rate!r}, {self._bound_text}{by})"

    def _check(self, name, value):
        if not _is_share(value):
            raise ValueError(
                f"{type(self).__name__}({self.rate!r}) needs a number in [0, 1] for "
                f"{name}, got {value!r}."
            )

    @property
    def is_symmetric(self):
        """Whether it is the same if the other of two classes is the positive one."""
        of_both = isinstance(self, Difference) and self.rate in (
            "confusion_rate",
            "selection_rate",
        )
        return of_both or self.rate == "accuracy"

    def loosened(self, slack) -> Self:
        """The same constraint with a bound that is easier to keep, or harder."""
        step = self._easier * slack
        return self._with_bounds(lambda bound: min(max(bound + step, 0.0), 1.0))

    @property
    def rounded(self) -> Self:
        """The same constraint with three digits of its bounds, none harder to keep."""
        easier = self._easier

        def rounded(bound):
            # What has three digits but for rounding errors stays.
            return easier * float(np.ceil(1e3 * easier * bound - 1e-6)) / 1e3

        return self._with_bounds(rounded)

    def _with_bounds(self, change):
        bound = getattr(self, self._bound)
        if isinstance(bound, Mapping):
            changed: Any = {name: change(value) for name, value in bound.items()}
        else:
            changed = change(bound)
        return replace(self, **{self._bound: changed})

    def rates(self, n_classes):
        """Rates that are bounded, a list of `Rate`."""
        return RATES[self.rate](n_classes)

    def _named(self, what):
        return f"{self.rate}_{what}" + ("" if self.by is None else f"_by_{self.by}")


@dataclass(frozen=True, repr=False)
class Difference(Constraint):
    """An upper bound on the difference of a rate between any two groups.

    Parameters
    ----------
    rate : {"selection_rate", "true_positive_rate", "false_positive_rate", \
            "true_negative_rate", "false_negative_rate", "confusion_rate", "accuracy"}
        Rate that is compared. With two classes, the confusion rates are the false and
        the true positive rate, and each of them is bounded.

    at_most : float, default=0.0
        Greatest difference allowed, in [0, 1].

    by : hashable, default=None
        Name of a sensitive feature whose values are the groups, such as the column of a
        data frame. With None the groups are the combinations of all features.

    Raises
    ------
    ValueError
        If the rate is unknown, or the bound not in [0, 1].

    Examples
    --------
    >>> from sklearn_fairsisa.constraints import Difference
    >>> Difference("false_positive_rate", at_most=0.05, by="race")
    Difference('false_positive_rate', at_most=0.05, by='race')
    """

    at_most: float = 0.0

    _bound: ClassVar[str] = "at_most"
    _easier: ClassVar[int] = 1

    def __post_init__(self):
        super().__post_init__()
        self._check("at_most", self.at_most)

    @property
    def _bound_text(self):
        return f"at_most={self.at_most!r}"

    @property
    def measure_name(self):
        """Name of the bounded quantity."""
        return gap_of(self.rate) if self.by is None else self._named("difference")

    def limits(self, names):
        """Limits of each rate; see Notes of `Constraint`."""
        return [(1.0, 0.0, self.at_most)]

    def binds(self, n_groups):
        """Whether it excludes any rule, given the number of groups."""
        return self.at_most < 1 and n_groups > 1

    def measure(self, values):
        """Bounded quantity of rates of shape (n_groups, n_rates)."""
        return float(spread(values))

    def excess(self, values, names):
        """Slack needed to allow rates, negative if they satisfy the bound by far."""
        return self.measure(values) - self.at_most

    def chance(self, rates, names):
        """Probability that rates with the given errors satisfy it."""
        return spread_probability(self.at_most, rates)

    def expected(self, rates):
        """Mean of the measure of rates with the given errors."""
        return expected_spread(rates)

    def interval(self, confidence, rates):
        """Mean of the measure, ends of its interval, and its confidence bound."""
        noise = [(np.zeros_like(rate), error) for rate, error in rates]
        found = max(np.ptp(rate) for rate, _ in rates)
        return {
            "expected": self.expected(rates),
            "low": max(0.0, found - spread_quantile(confidence, noise)),
            "high": spread_quantile((1 + confidence) / 2, rates),
            "bound": spread_quantile(confidence, rates),
        }


@dataclass(frozen=True, repr=False)
class Ratio(Constraint):
    """A lower bound on the ratio of a rate between any two groups.

    Parameters
    ----------
    rate : str
        Rate that is compared, as in :class:`Difference`.

    at_least : float
        Least ratio allowed of the smallest rate to the greatest, in [0, 1]. Rates that
        are all 0 have the ratio 1.

    by : hashable, default=None
        As in :class:`Difference`.

    Raises
    ------
    ValueError
        If the rate is unknown, or the bound not in [0, 1].

    Examples
    --------
    The four-fifths rule:

    >>> from sklearn_fairsisa.constraints import Ratio
    >>> Ratio("selection_rate", at_least=0.8, by="sex")
    Ratio('selection_rate', at_least=0.8, by='sex')
    """

    at_least: float

    def __post_init__(self):
        super().__post_init__()
        self._check("at_least", self.at_least)

    @property
    def _bound_text(self):
        return f"at_least={self.at_least!r}"

    @property
    def measure_name(self):
        """Name of the bounded quantity."""
        return self._named("ratio")

    def limits(self, names):
        """Limits of each rate; see Notes of `Constraint`."""
        return [(1.0, -np.inf, 0.0), (self.at_least, 0.0, np.inf)]

    def binds(self, n_groups):
        """Whether it excludes any rule, given the number of groups."""
        return self.at_least > 0 and n_groups > 1

    def measure(self, values):
        """Bounded quantity of rates of shape (n_groups, n_rates)."""
        low, high = _extremes(values)
        if (low > high).any():
            return np.nan
        return float(
            np.min(np.divide(low, high, out=np.ones_like(low), where=high > 0))
        )

    def excess(self, values, names):
        """Slack needed to allow rates, negative if they satisfy the bound by far."""
        return self.at_least - self.measure(values)

    def chance(self, rates, names):
        """Probability that rates with the given errors satisfy it."""
        if self.at_least == 0:
            return 1.0
        return spread_probability(-np.log(self.at_least), _logarithms(rates))

    def expected(self, rates):
        """Mean of the measure of rates with the given errors."""
        return float(np.exp(-expected_spread(_logarithms(rates), _MOST_LOG)))

    def interval(self, confidence, rates):
        """Mean of the measure, ends of its interval, and its confidence bound."""
        logs = _logarithms(rates)
        noise = [(np.zeros_like(rate), error) for rate, error in logs]
        found = max(np.ptp(rate) for rate, _ in logs)

        def ratio(level, rates):
            return float(np.exp(-spread_quantile(level, rates, _MOST_LOG)))

        high = np.exp(-found) / ratio(confidence, noise)
        return {
            "expected": self.expected(rates),
            "low": ratio((1 + confidence) / 2, logs),
            "high": min(1.0, float(high)),
            "bound": ratio(confidence, logs),
        }


@dataclass(frozen=True, repr=False)
class AtLeast(Constraint):
    """A lower bound on a rate in each group.

    Parameters
    ----------
    rate : str
        Rate that is bounded, as in :class:`Difference`.

    at_least : float or dict
        Least rate allowed, in [0, 1]; or a dict from a group's name to its least rate,
        in which groups without a bound are missing. With several features a group is
        named by a tuple, with `by` by its value.

    by : hashable, default=None
        As in :class:`Difference`.

    Raises
    ------
    ValueError
        If the rate is unknown, or a bound not in [0, 1].

    Examples
    --------
    >>> from sklearn_fairsisa.constraints import AtLeast
    >>> AtLeast("true_positive_rate", 0.7)
    AtLeast('true_positive_rate', 0.7)
    """

    at_least: float | Mapping[Any, float]

    def __post_init__(self):
        super().__post_init__()
        if isinstance(self.at_least, Mapping):
            if not self.at_least:
                self._check("each group", self.at_least)
            for value in self.at_least.values():
                self._check("each group", value)
            # Nobody else may change it.
            object.__setattr__(self, "at_least", dict(self.at_least))
        else:
            self._check("at_least", self.at_least)

    def __hash__(self):
        floors = self.at_least
        if isinstance(floors, dict):
            floors = frozenset(floors.items())
        return hash((self.rate, self.by, floors))

    @property
    def _bound_text(self):
        return repr(self.at_least)

    @property
    def measure_name(self):
        """Name of the bounded quantity."""
        return self._named("group_min")

    def floors(self, names):
        """Least rate of each of some groups."""
        if isinstance(self.at_least, dict):
            return np.array([self.at_least.get(name, 0.0) for name in names])
        return np.full(len(names), float(self.at_least))

    def limits(self, names):
        """Limits of each rate; see Notes of `Constraint`."""
        return [(0.0, self.floors(names), np.inf)]

    def binds(self, n_groups):
        """Whether it excludes any rule, given the number of groups."""
        floors = self.at_least
        return max(floors.values() if isinstance(floors, dict) else [floors]) > 0

    def measure(self, values):
        """Bounded quantity of rates of shape (n_groups, n_rates)."""
        least = float(np.min(_extremes(values)[0]))
        return least if least < np.inf else np.nan

    def excess(self, values, names):
        """Slack needed to allow rates, negative if they satisfy the bound by far."""
        return float(np.nanmax(self.floors(names)[:, None] - values))

    def chance(self, rates, names):
        """Probability that rates with the given errors satisfy it."""
        floors = self.floors(names)
        some = floors > 0
        chances = [
            ndtr((rate - floors) / np.maximum(error, LEAST_ERROR))[some]
            for rate, error in rates
        ]
        return float(np.prod(chances))

    def expected(self, rates):
        """Mean of the measure of rates with the given errors."""
        rate, error = _in_one(rates)
        middle = (np.arange(1000) + 0.5) / 1000
        above = np.prod(ndtr((rate[:, None] - middle) / error[:, None]), axis=0)
        return float(above.mean())

    def interval(self, confidence, rates):
        """Mean of the measure, ends of its interval, and its confidence bound."""
        rate, error = _in_one(rates)

        def chance_below(value, each=np.prod):
            return 1 - float(each(ndtr((rate - value) / error)))

        def least(level):
            return quantile(level, chance_below, 0.0, 1.0)

        tail = (1 + confidence) / 2
        return {
            "expected": self.expected(rates),
            "low": least(1 - tail),
            # The least rate is at most any other.
            "high": quantile(tail, lambda v: chance_below(v, np.min), 0.0, 1.0),
            "bound": least(1 - confidence),
        }


# Rates below this have ratios that no data know.
_LEAST_RATE = 1e-6
_MOST_LOG = -np.log(_LEAST_RATE)


def _logarithms(rates):
    """Logarithms of rates and their errors, in a first order."""
    found = []
    for rate, error in rates:
        known = np.maximum(rate, _LEAST_RATE)
        found.append((np.log(known), error / known))
    return found


def _in_one(rates):
    """Rates of all kinds, and their errors."""
    rate, error = map(np.concatenate, zip(*rates))
    return rate, np.maximum(error, LEAST_ERROR)


def _is_share(value):
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    return is_number and 0 <= value <= 1


CONSTRAINTS = {
    name: Difference(rate)
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
    named = (gap for gap, compared in GAPS.items() if compared == rate)
    return next(named, f"{rate}_difference")
