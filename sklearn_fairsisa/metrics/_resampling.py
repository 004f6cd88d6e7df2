"""How much a rate or a gap would vary if other people had been drawn."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Literal, NamedTuple, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import _param_validation as param_validation
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import StrOptions, validate_params

from .._typing import RandomState
from ..fairness._rates import GAPS, gap_rates
from . import _rates
from ._response import accepts

Metric: TypeAlias = str | Callable[..., float]

# Resamples are drawn in blocks of about this many numbers, to bound the memory.
_BLOCK = 2**22
_COUNT = param_validation.Interval(Integral, 1, None, closed="left")


class Interval(NamedTuple):
    """An estimate with a confidence interval.

    Parameters
    ----------
    estimate : float
        Value on the given rows.
    low, high : float
        Ends of the interval.
    """

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class NoiseFloor:
    """The gap of a perfectly fair rule at given group sizes.

    Parameters
    ----------
    gap : float
        The observed gap.
    mean : float
        Mean gap of the fair rule.
    quantiles : dict of float to float
        Quantiles of the gap of the fair rule.
    p_value : float
        Share of the simulations in which the fair rule shows at least the observed
        gap, the observed one counted among them.
    """

    gap: float
    mean: float
    quantiles: dict
    p_value: float


# A str is a sequence of str as well, so the first signature that fits counts.
@overload
def bootstrap_interval(  # type: ignore[overload-overlap]
    metric: Metric,
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sensitive_features: ArrayLike | None = ...,
    n_resamples: int = ...,
    confidence: float = ...,
    method: Literal["deviation", "percentile"] = ...,
    stratify: Literal["group", "group_and_label"] | None = ...,
    pos_label: object = ...,
    random_state: RandomState = ...,
) -> Interval: ...


@overload
def bootstrap_interval(
    metric: Sequence[Metric] | Mapping[str, Metric],
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sensitive_features: ArrayLike | None = ...,
    n_resamples: int = ...,
    confidence: float = ...,
    method: Literal["deviation", "percentile"] = ...,
    stratify: Literal["group", "group_and_label"] | None = ...,
    pos_label: object = ...,
    random_state: RandomState = ...,
) -> dict[str, Interval]: ...


@validate_params(
    {
        "n_resamples": [_COUNT],
        "confidence": [param_validation.Interval(Real, 0, 1, closed="neither")],
        "method": [StrOptions({"deviation", "percentile"})],
        "stratify": [StrOptions({"group", "group_and_label"}), None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def bootstrap_interval(
    metric: Metric | Sequence[Metric] | Mapping[str, Metric],
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sensitive_features: ArrayLike | None = None,
    n_resamples: int = 1000,
    confidence: float = 0.95,
    method: Literal["deviation", "percentile"] = "deviation",
    stratify: Literal["group", "group_and_label"] | None = "group",
    pos_label: object = None,
    random_state: RandomState = None,
) -> Interval | dict[str, Interval]:
    """Confidence interval of one or several metrics by resampling people.

    Parameters
    ----------
    metric : str, callable, or list or dict of these
        "accuracy_score", "balanced_accuracy_score", "selection_rate",
        "true_positive_rate", "false_positive_rate", "equalized_odds_difference",
        "true_positive_rate_difference", "false_positive_rate_difference" or
        "demographic_parity_difference", all evaluated on the same resamples in one
        pass. Or a function ``metric(y_true, y_pred, *, sensitive_features,
        sample_weight)``, which is called once per resample; it needs
        ``sample_weight`` and may lack ``sensitive_features``.

    y_true : array-like of shape (n_samples,)
        Labels; of two classes for the named metrics.

    y_pred : array-like of shape (n_samples,) or (n_samples, n_repeats)
        Predicted labels, or for the named metrics also probabilities of the positive
        decision. Several columns are several predictions of the same people, as
        repeated cross-validation gives them: people are resampled with all their
        predictions, and the metric is averaged over the columns.

    sensitive_features : array-like of shape (n_samples,), default=None
        Groups.

    n_resamples : int, default=1000
        Number of resamples.

    confidence : float, default=0.95
        Confidence level in (0, 1).

    method : {"deviation", "percentile"}, default="deviation"
        How the interval of a named gap is made; scores and functions always get the
        percentile interval. See the notes.

    stratify : {"group", "group_and_label", None}, default="group"
        What every resample keeps the size of: each group; each group's negatives and
        positives, which suits true and false positive rates of groups with very few
        of either; or nothing.

    pos_label : object, default=None
        Positive label of the named metrics, by default the greater one.

    random_state : int, RandomState instance or None, default=None
        Makes the interval repeatable.

    Returns
    -------
    interval : Interval, or dict of str to Interval
        ``(estimate, low, high)`` of the metric; a dict by name for several.

    Raises
    ------
    ValueError
        If an option is unknown, two metrics have one name, or a group lacks a label
        that a metric needs; or if `y_pred` holds floats that may be labels as well as
        probabilities, which would decide otherwise, as 0.0 and 1.0 would with
        ``pos_label=0``.

    Notes
    -----
    Rows of equal label, prediction and group are interchangeable, so a resample is a
    draw of the number of each kind of row, a multinomial, and a metric costs as much as
    there are kinds, whatever the number of rows. Where a resample leaves a group
    without the label that a rate needs, the group is left out of that gap.

    A gap is a maximum, so noise in the rates inflates it, and resampling adds noise: a
    percentile interval of a gap lies too high, and never covers a true gap of zero.
    With :math:`D(r)` the greatest difference of the rates r between groups, a seminorm,

    .. math:: |D(\\hat r) - D(r)| \\le D(\\hat r - r),

    so the "deviation" interval :math:`D(\\hat r) \\pm q`, cut to [0, 1], with q the
    quantile of :math:`D(r^* - \\hat r)` over the resamples, holds at its confidence
    whatever the true gap. In simulations at 95% (3 to 5 groups of 90 to 600 people,
    true gaps 0 to .3) it covered in 90 to 100%, the percentile interval in 0 to 95%; it
    is about 1.4 times as wide.

    References
    ----------
    Efron, Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.

    Examples
    --------
    >>> from sklearn_fairsisa.metrics import bootstrap_interval
    >>> y_true, y_pred = [0, 1] * 50, [0, 1, 1, 1] * 25
    >>> estimate, low, high = bootstrap_interval(
    ...     "accuracy_score", y_true, y_pred, random_state=0)
    >>> estimate, round(low, 2), round(high, 2)
    (0.75, 0.67, 0.83)
    """
    metrics = _named_metrics(metric)
    kinds = _Kinds.of(metrics, y_true, y_pred, sensitive_features, pos_label)
    strata = kinds.strata(stratify)
    estimates = kinds.evaluate(metrics, kinds.count[None, :])
    deviating = [
        name
        for name, metric in metrics.items()
        if method == "deviation" and not callable(metric) and metric in GAPS
    ]
    rng = _generator(random_state)
    draws = _simulate(
        lambda size: _resample(rng, kinds.count, strata, size),
        lambda counts: kinds.evaluate(metrics, counts, deviating),
        n_resamples,
        len(kinds.count),
    )
    intervals = {}
    for name in metrics:
        estimate, drawn = float(estimates[name][0]), draws[name]
        if name in deviating:
            width = np.quantile(drawn, confidence)
            low, high = max(0.0, estimate - width), min(1.0, estimate + width)
        else:
            levels = (1 - confidence) / 2, (1 + confidence) / 2
            low, high = np.quantile(drawn[~np.isnan(drawn)], levels)
        intervals[name] = Interval(estimate, float(low), float(high))
    if isinstance(metric, list | tuple | dict):
        return intervals
    (interval,) = intervals.values()
    return interval


@overload
def noise_floor(  # type: ignore[overload-overlap]
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sensitive_features: ArrayLike,
    metric: str = ...,
    n_simulations: int = ...,
    quantiles: Sequence[float] = ...,
    pos_label: object = ...,
    random_state: RandomState = ...,
) -> NoiseFloor: ...


@overload
def noise_floor(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sensitive_features: ArrayLike,
    metric: Sequence[str],
    n_simulations: int = ...,
    quantiles: Sequence[float] = ...,
    pos_label: object = ...,
    random_state: RandomState = ...,
) -> dict[str, NoiseFloor]: ...


@validate_params(
    {
        "n_simulations": [_COUNT],
        "quantiles": ["array-like"],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def noise_floor(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sensitive_features: ArrayLike,
    metric: str | Sequence[str] = "equalized_odds_difference",
    n_simulations: int = 2000,
    quantiles: Sequence[float] = (0.5, 0.9, 0.95),
    pos_label: object = None,
    random_state: RandomState = None,
) -> NoiseFloor | dict[str, NoiseFloor]:
    """Gap that a perfectly fair rule of the same overall rates would show by chance.

    Rates of small groups vary, and a gap is the greatest difference between them, so
    it is above zero for any rule. A measured gap says something only above this floor.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels of two classes.

    y_pred : array-like of shape (n_samples,) or (n_samples, n_repeats)
        Predicted labels or probabilities of the positive decision. Over several
        columns, repeated predictions of the same people, gaps are averaged.

    sensitive_features : array-like of shape (n_samples,)
        Groups.

    metric : str or list of str, default="equalized_odds_difference"
        Also "true_positive_rate_difference", "false_positive_rate_difference" or
        "demographic_parity_difference".

    n_simulations : int, default=2000
        Number of simulations.

    quantiles : tuple of float, default=(0.5, 0.9, 0.95)
        Quantiles to return.

    pos_label : object, default=None
        Positive label, by default the greater one.

    random_state : int, RandomState instance or None, default=None
        Makes the simulation repeatable.

    Returns
    -------
    floor : NoiseFloor, or dict of str to NoiseFloor
        Observed gap, mean and quantiles of the fair rule's gap, and the p-value of the
        observed one; a dict by name for a list of metrics.

    Raises
    ------
    ValueError
        If a metric is unknown, or a group lacks a label that it needs; or if `y_pred`
        holds floats that may be labels as well as probabilities, which would decide
        otherwise.

    Notes
    -----
    The fair rule gives every group the decisions of everybody: each person of a group
    and label draws its decisions, with replacement, from all people of that label; for
    demographic parity from all people. For hard decisions that is a binomial number
    of selections per group and label at the overall rate.

    Examples
    --------
    >>> from sklearn_fairsisa.metrics import noise_floor
    >>> y_true, y_pred = [0, 1] * 50, [0, 1, 1, 1] * 25
    >>> floor = noise_floor(
    ...     y_true, y_pred, sensitive_features=["a"] * 80 + ["b"] * 20, random_state=0)
    >>> floor.gap, round(floor.mean, 1)
    (0.0, 0.1)
    """
    for quantile in quantiles:
        if not 0 < quantile < 1:
            raise ValueError(
                f"quantiles must lie between 0 and 1, got {quantile!r} among them."
            )
    names = [metric] if isinstance(metric, str) else list(metric)
    for name in names:
        if name not in GAPS:
            raise ValueError(
                f"metric={name!r} is not a gap. Choose out of "
                f"{', '.join(map(repr, GAPS))}."
            )
    kinds = _Kinds.of(
        {n: n for n in names}, y_true, y_pred, sensitive_features, pos_label
    )
    total, _ = kinds.tally(kinds.count[None, :])
    rng = _generator(random_state)
    floors = {}
    for name in names:
        # Who may swap decisions: people of the same label, or everybody.
        pools = kinds.label if _rates.needed_labels(name) else 0 * kinds.label
        gaps = _simulate(
            lambda size, pools=pools: kinds.fair_tally(rng, pools, size),
            lambda chosen, name=name: {
                name: _rates.evaluate(name, total, chosen).mean(axis=1)
            },
            n_simulations,
            len(kinds.count),
        )[name]
        gap = float(kinds.evaluate({name: name}, kinds.count[None, :])[name][0])
        floors[name] = NoiseFloor(
            gap=gap,
            mean=float(gaps.mean()),
            quantiles={q: float(np.quantile(gaps, q)) for q in quantiles},
            # Sums of probabilities carry rounding errors.
            p_value=float((1 + np.sum(gaps >= gap - 1e-9)) / (1 + n_simulations)),
        )
    return floors[metric] if isinstance(metric, str) else floors


@dataclass(frozen=True)
class _Kinds:
    """Kinds of people: all rows of equal group, label and predictions are one kind.

    Attributes
    ----------
    group_names : ndarray of shape (n_groups,)
    group : ndarray of int, shape (n_kinds,)
    y_true : ndarray of shape (n_kinds,)
    y_pred : ndarray of shape (n_kinds, n_repeats)
    count : ndarray of int, shape (n_kinds,)
    label, decisions : ndarrays of shape (n_kinds,) and (n_kinds, n_repeats), or None
        Encoded for the named metrics.
    """

    group_names: np.ndarray
    group: np.ndarray
    y_true: np.ndarray
    y_pred: np.ndarray
    count: np.ndarray
    label: np.ndarray | None
    decisions: np.ndarray | None

    @classmethod
    def of(cls, metrics, y_true, y_pred, sensitive_features, pos_label):
        y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
        named = [metric for metric in metrics.values() if not callable(metric)]
        needs_groups = any(m in GAPS for m in named)
        if needs_groups and sensitive_features is None:
            raise ValueError(
                "A gap between groups needs sensitive_features. Pass the group of "
                "each row."
            )
        label = decisions = None
        if named:
            label, decisions = _rates.encode(y_true, y_pred, pos_label)
        names, codes = _rates.code_groups(sensitive_features, len(y_true))
        columns = y_pred.reshape(len(y_true), -1)
        keys = [np.unique(c, return_inverse=True)[1] for c in (y_true, *columns.T)]
        _, first, count = np.unique(
            np.column_stack([codes, *keys]),
            axis=0,
            return_index=True,
            return_counts=True,
        )
        if named:
            label, decisions = label[first], decisions[first]
        kinds = cls(
            names, codes[first], y_true[first], columns[first], count, label, decisions
        )
        for metric in named:
            _rates.check_defined(metric, kinds.tally(count[None, :])[0][0, 0], names)
        return kinds

    def tally(self, counts):
        """Tallies of shape (n_draws, 1 or n_repeats, n_groups, 2)."""
        n_groups, n_repeats = len(self.group_names), self.y_pred.shape[1]
        total = np.zeros((len(counts), 1, n_groups, 2))
        chosen = np.zeros((len(counts), n_repeats, n_groups, 2))
        for place in np.unique(2 * self.group + self.label):
            group, label = divmod(place, 2)
            members = (self.group == group) & (self.label == label)
            total[:, 0, group, label] = counts[:, members].sum(axis=1)
            chosen[:, :, group, label] = counts[:, members] @ self.decisions[members]
        return total, chosen

    def fair_tally(self, rng, pools, size):
        """Selected people if each draws its decisions from its pool."""
        shape = (size, self.y_pred.shape[1], len(self.group_names), 2)
        chosen = np.zeros(shape)
        urns = {}
        for pool in np.unique(pools):
            inside = pools == pool
            decisions, kind = np.unique(
                self.decisions[inside], axis=0, return_inverse=True
            )
            urns[pool] = decisions, np.bincount(kind.ravel(), self.count[inside])
        for group in range(len(self.group_names)):
            for pool, (decisions, weight) in urns.items():
                people = self.count[(pools == pool) & (self.group == group)].sum()
                chosen[:, :, group, pool] = _draw_sums(
                    rng, decisions, weight, people, size
                )
        return chosen

    def strata(self, stratify):
        """Return the index of the stratum of each kind."""
        codes = {
            "group": [self.group],
            "group_and_label": [
                self.group,
                np.unique(self.y_true, return_inverse=True)[1],
            ],
            None: [np.zeros(len(self.count))],
        }[stratify]
        return np.unique(np.column_stack(codes), axis=0, return_inverse=True)[1].ravel()

    def evaluate(self, metrics, counts, deviating=()):
        """Each metric of each row of counts, averaged over the repeats.

        Of the gaps in `deviating` the spread of the errors of their rates instead.
        """
        values = {}
        tallies = self.tally(counts) if self.label is not None else None
        for name, metric in metrics.items():
            if callable(metric):
                values[name] = np.array([self._call(metric, row) for row in counts])
            elif name in deviating:
                given = self.tally(self.count[None, :])
                errors = gap_rates(metric, *tallies) - gap_rates(metric, *given)
                values[name] = _rates.gap_of(errors).mean(axis=1)
            else:
                values[name] = _rates.evaluate(metric, *tallies).mean(axis=1)
        return values

    def _call(self, metric, count):
        present = count > 0
        keywords = {"sample_weight": count[present]}
        if accepts(metric, "sensitive_features"):
            keywords["sensitive_features"] = self.group_names[self.group[present]]
        return np.mean(
            [
                metric(self.y_true[present], p[present], **keywords)
                for p in self.y_pred.T
            ]
        )


def _named_metrics(metric):
    """Return a dict of name to metric, the metric being a name or a function."""
    if isinstance(metric, dict):
        metrics = dict(metric)
    else:
        given = metric if isinstance(metric, list | tuple) else [metric]
        names = [m if isinstance(m, str) else _name(m) for m in given]
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise ValueError(
                f"Several metrics are called {twice[0]!r}, of which the result could "
                "hold one only. Name them by a dict, {name: metric}."
            )
        metrics = dict(zip(names, given))
    for value in metrics.values():
        if callable(value):
            if not accepts(value, "sample_weight"):
                raise ValueError(
                    f"{value!r} takes no sample_weight, by which it would learn how "
                    "often a row was drawn. Wrap it in a function that does, or name "
                    f"one of {', '.join(map(repr, _rates.NAMES))}."
                )
        elif value not in _rates.NAMES:
            raise ValueError(
                f"metric {value!r} is unknown. Choose out of "
                f"{', '.join(map(repr, _rates.NAMES))}, or give a function."
            )
    return metrics


def _name(function):
    return getattr(function, "__name__", repr(function))


def _generator(random_state):
    seed = check_random_state(random_state).randint(2**31 - 1)
    return np.random.default_rng(seed)


def _resample(rng, count, strata, size):
    """Return the number of each kind in `size` resamples, shape (size, n_kinds)."""
    drawn = np.empty((size, len(count)), dtype=np.int64)
    for stratum in np.unique(strata):
        inside = strata == stratum
        people = count[inside].sum()
        drawn[:, inside] = rng.multinomial(people, count[inside] / people, size)
    return drawn


def _draw_sums(rng, values, weight, people, size):
    """Sums of the values of `people` draws with replacement, `size` times."""
    # Count how often each value is drawn, or draw person by person, by what is less.
    if 10 * len(values) < people * values.shape[1]:
        return rng.multinomial(people, weight / weight.sum(), size) @ values
    pool = np.repeat(np.arange(len(values)), weight.astype(int))
    return np.stack(
        [
            values[pool[rng.integers(len(pool), size=people)]].sum(axis=0)
            for _ in range(size)
        ]
    )


def _simulate(draw, evaluate, n_draws, width):
    """Evaluate draws in blocks; returns one array of shape (n_draws,) per metric."""
    block = max(1, _BLOCK // width)
    sizes = [min(block, n_draws - start) for start in range(0, n_draws, block)]
    parts = [evaluate(draw(size)) for size in sizes]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
