"""Selection rates of groups relative to the greatest one, as the four-fifths rule."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import ndtri
from sklearn.utils.validation import _check_sample_weight

from .._utils.groups import group_index
from ..fairness._rates import sum_by
from ._encoding import are_shares, code_groups

# Where a ratio has no upper limit that data of so few people could show.
_GREATEST_RATIO = 1e6


def impact_ratios(
    selection: ArrayLike,
    *,
    sensitive_features: ArrayLike,
    sample_weight: ArrayLike | None = None,
    at_least: float = 0.8,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Selection rate of each group, relative to the group selected most often.

    Parameters
    ----------
    selection : array-like of shape (n_samples,)
        Whether each person was selected, or the probability of it: numbers in [0, 1].

    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_features)
        Groups; several columns are intersected.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights.

    at_least : float, default=0.8
        Least ratio wanted, in (0, 1]. The four-fifths rule has 0.8.

    confidence : float, default=0.95
        Confidence of the intervals, in (0, 1).

    Returns
    -------
    DataFrame
        A row per group. Columns: ``people``, their number; ``selection_rate``;
        ``impact_ratio``, that rate divided by the greatest one, 1 if nobody is
        selected; ``low`` and ``high``, the interval of the ratio, NaN for a group whose
        rate is the greatest; ``judgement``: "greatest rate", "below" if the whole
        interval lies below `at_least`, "kept" if none of it does, "no people" if all
        weights of the group are zero, and "too few people" otherwise.

    Raises
    ------
    ValueError
        If `selection` holds something else than numbers in [0, 1], `at_least` or
        `confidence` is outside its range, or the arrays differ in length.

    Notes
    -----
    The interval holds the ratios that the score test of Miettinen and Nurminen [1]_
    does not reject, without their factor n/(n-1). It stays valid for rates of 0 and 1.
    It treats selections as independent, and the group with the greatest rate as named
    before the data were seen. Weighted people count as the number of people of equal
    weight with as much evidence, :math:`(\\sum w)^2 / \\sum w^2`.

    References
    ----------
    .. [1] Miettinen, O. and Nurminen, M. (1985). Comparative analysis of two rates.
       Statistics in Medicine 4(2), 213-226.

    Examples
    --------
    >>> from sklearn_fairsisa.metrics import impact_ratios
    >>> selected, sex = [1, 1, 1, 0, 1, 0, 0, 0], ["m"] * 4 + ["f"] * 4
    >>> table = impact_ratios(selected, sensitive_features=sex)
    >>> table.round(2)  # doctest: +NORMALIZE_WHITESPACE
           people  selection_rate  impact_ratio   low  high       judgement
    group
    f           4            0.25          0.33  0.06  1.46  too few people
    m           4            0.75          1.00   NaN   NaN   greatest rate
    """
    selection = np.asarray(selection)
    if selection.ndim != 1 or not are_shares(selection):
        raise ValueError(
            "selection must be one number in [0, 1] per person, whether they were "
            f"selected or the probability of it. Got an array of shape "
            f"{selection.shape} and type {selection.dtype}."
        )
    for name, value in (("at_least", at_least), ("confidence", confidence)):
        if not 0 < value <= 1 or (name == "confidence" and value == 1):
            raise ValueError(f"{name} must lie between 0 and 1, got {value!r}.")
    names, code = code_groups(sensitive_features, len(selection))
    weight = _check_sample_weight(sample_weight, selection)
    count = np.bincount(code, minlength=len(names))
    total, chosen, squares = (
        sum_by(code, values, len(names))
        for values in (weight, weight * selection, weight**2)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        rate, size = chosen / total, total**2 / squares
    table = compared_rates(rate, size, at_least, confidence)
    return pd.DataFrame({"people": count, **table}, index=group_index(names))


def compared_rates(rate, size, at_least=0.8, confidence=0.95):
    """Compare selection rates with the greatest one.

    Parameters
    ----------
    rate : ndarray of shape (n_groups,)
        NaN where a group has nobody.
    size : ndarray of shape (n_groups,)
        Number of people of equal weight with as much evidence.
    at_least : float
    confidence : float

    Returns
    -------
    dict of str to array of shape (n_groups,)
        The columns of `impact_ratios` but the first.
    """
    greatest = int(np.nanargmax(rate)) if (~np.isnan(rate)).any() else 0
    is_greatest = rate == rate[greatest]
    ratio = np.where(np.isnan(rate), np.nan, 1.0)
    if rate[greatest] > 0:
        ratio = rate / rate[greatest]
    ends = np.full((len(rate), 2), np.nan)
    for group in np.flatnonzero(~is_greatest & ~np.isnan(rate)):
        pair = [group, greatest]
        ends[group] = ratio_interval(*rate[pair], *size[pair], confidence)
    low, high = ends.T
    judgement = np.select(
        [is_greatest, np.isnan(rate), high < at_least, low >= at_least],
        ["greatest rate", "no people", "below", "kept"],
        "too few people",
    )
    return {
        "selection_rate": rate,
        "impact_ratio": ratio,
        "low": low,
        "high": high,
        "judgement": judgement.astype(object),
    }


def ratio_interval(rate, other, size, other_size, confidence):
    """Interval of the ratio of two rates.

    Parameters
    ----------
    rate, other : float
        Shares in [0, 1]; `other` is above 0.
    size, other_size : float
        Numbers of people.
    confidence : float

    Returns
    -------
    low, high : float
    """
    limit = ndtri((1 + confidence) / 2)

    def excess(log_ratio, sign):
        z = _score(np.exp(log_ratio), rate, other, size, other_size)
        return z - sign * limit

    # The statistic falls in the ratio, and is 0 at the one observed.
    wide = np.log(_GREATEST_RATIO)
    found = np.log(rate / other) if rate > 0 else -wide
    low = high = found
    if rate > 0:
        low = brentq(excess, -wide, found, args=(1,))
    if excess(wide, -1) >= 0:
        return float(np.exp(low)), np.inf
    high = brentq(excess, found, wide, args=(-1,))
    return (float(np.exp(low)) if rate > 0 else 0.0), float(np.exp(high))


def _score(ratio, rate, other, size, other_size):
    """Score statistic of a ratio: how far the rates lie off it, in standard errors."""
    selected = rate * size + other * other_size
    # The likeliest rates of this ratio solve a quadratic equation.
    a = ratio * (size + other_size)
    b = ratio * size + rate * size + other_size + ratio * other * other_size
    null = 2 * selected / (b + np.sqrt(max(b * b - 4 * a * selected, 0.0)))
    own = ratio * null
    variance = own * (1 - own) / size + ratio**2 * null * (1 - null) / other_size
    return (rate - ratio * other) / np.sqrt(max(variance, 1e-300))
