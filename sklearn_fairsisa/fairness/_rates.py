"""Rates of groups and what follows from them, for hard and for randomised decisions."""

import numpy as np

from ._solve import CONSTRAINTS

# A tally is a pair of arrays of shape (..., n_groups, 2): the weight of the people of
# each group and label (negative, positive), and of those of them who are selected.


def label_totals(group, label, n_groups, weight=None):
    """Weight of the negatives and positives of each group.

    Parameters
    ----------
    group : ndarray of int of shape (n_samples,)
    label : ndarray of bool, or of 0 and 1, of shape (n_samples,)
    n_groups : int
    weight : ndarray of shape (n_samples,), default=None
        1 each if None.

    Returns
    -------
    ndarray of float of shape (n_groups, 2)

    Examples
    --------
    >>> label_totals(np.array([0, 0, 1]), np.array([True, True, False]), 2)
    array([[0., 2.],
           [1., 0.]])
    """
    total = np.bincount(2 * group + label, weight, 2 * n_groups)
    return total.astype(float).reshape(n_groups, 2)


def tally(group, label, probability, n_groups, weight=None):
    """Tally of decisions, in expectation.

    Parameters
    ----------
    group, label, n_groups, weight
        As in `label_totals`.
    probability : ndarray of shape (n_samples,)
        Probability of selection.

    Returns
    -------
    total, chosen : ndarrays of shape (n_groups, 2)
    """
    selected = probability if weight is None else weight * probability
    return (
        label_totals(group, label, n_groups, weight),
        label_totals(group, label, n_groups, selected),
    )


def operating_points(total, chosen):
    """False and true positive rate of each group, NaN where it has no such label."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return chosen / total


def selection_rates(total, chosen):
    """Selection rate of each group, NaN where it is empty."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return chosen.sum(axis=-1) / total.sum(axis=-1)


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
    defined = ~np.isnan(rates)
    high = np.max(rates, axis=-2, where=defined, initial=-np.inf)
    low = np.min(rates, axis=-2, where=defined, initial=np.inf)
    gap = np.max(high - low, axis=-1)
    return np.where(gap < 0, np.nan, gap)[()]


def _of_all(total, chosen):
    return total.sum(axis=-2), chosen.sum(axis=-2)


def _accuracy(total, chosen):
    total, chosen = _of_all(total, chosen)
    right = chosen[..., 1] + total[..., 0] - chosen[..., 0]
    return right / total.sum(axis=-1)


def _overall_rate(label):
    return lambda n, s: operating_points(*_of_all(n, s))[..., label]


def _balanced_accuracy(total, chosen):
    rates = operating_points(*_of_all(total, chosen))
    return (1 - rates[..., 0] + rates[..., 1]) / 2


SCORES = {
    "accuracy_score": _accuracy,
    "balanced_accuracy_score": _balanced_accuracy,
    "selection_rate": lambda n, s: selection_rates(*_of_all(n, s)),
    "true_positive_rate": _overall_rate(1),
    "false_positive_rate": _overall_rate(0),
}
"""Functions from tallies to the quality of the decisions, of shape (...)."""

RATES = {
    "fpr": lambda n, s: operating_points(n, s)[..., 0],
    "tpr": lambda n, s: operating_points(n, s)[..., 1],
    "share": selection_rates,
}
"""Functions from tallies to a rate of each group, of shape (..., n_groups)."""

GAPS = {
    "equalized_odds_difference": ("fpr", "tpr"),
    "demographic_parity_difference": ("share",),
    "true_positive_rate_difference": ("tpr",),
    "false_positive_rate_difference": ("fpr",),
}
"""Rates whose spread each gap is."""

GAP_OF_CONSTRAINT = {
    constraint: next(gap for gap, compared in GAPS.items() if compared == rates)
    for constraint, rates in CONSTRAINTS.items()
}
"""Name of the greatest difference of the rates that a constraint wants equal."""


def gap_rates(gap, total, chosen):
    """Rates of each group that a gap compares, of shape (..., n_groups, n_rates)."""
    return np.stack([RATES[rate](total, chosen) for rate in GAPS[gap]], axis=-1)
