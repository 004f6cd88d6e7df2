"""The gap that a perfectly fair rule would show by chance."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import overload

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils._param_validation import Interval, validate_params

from .._utils.typing import RandomState
from ..fairness._constraints import GAPS
from . import _encoding
from ._resampling import Kinds, generator, simulate


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
        gap, counting the observation as one of them.
    """

    gap: float
    mean: float
    quantiles: dict
    p_value: float


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
        "n_simulations": [Interval(Integral, 1, None, closed="left")],
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

    Rates of small groups vary, and a gap is the largest difference between them, so it
    is above zero for any rule. Only a gap above this floor is evidence of unfairness.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels of two classes.

    y_pred : array-like of shape (n_samples,) or (n_samples, n_repeats)
        Predicted labels or probabilities of the positive decision. Several columns are
        repeated predictions of the same people, whose gaps are averaged.

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
        observed gap; a dict by name for a list of metrics.

    Raises
    ------
    ValueError
        If a metric is unknown, or a group lacks a label that it needs. Also if `y_pred`
        contains floats that may be labels or probabilities and mean different
        decisions.

    Notes
    -----
    The fair rule gives all groups the same distribution of decisions: the decisions of
    each person are drawn, with replacement, from all people of the same label, or for
    demographic parity from all people. For hard decisions, this is a binomial
    number of selections per group and label at the overall rate.

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
    kinds = Kinds.of(
        {n: n for n in names}, y_true, y_pred, sensitive_features, pos_label
    )
    total, _ = kinds.tally(kinds.count[None, :])
    rng = generator(random_state)
    floors = {}
    for name in names:
        # People may swap decisions within the same label, or with everybody.
        pools = kinds.label if _encoding.needed_labels(name) else 0 * kinds.label
        gaps = simulate(
            lambda size, pools=pools: kinds.fair_tally(rng, pools, size),
            lambda chosen, name=name: {
                name: _encoding.evaluate(name, total, chosen).mean(axis=1)
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
