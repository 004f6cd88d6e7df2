"""Rates of groups and what follows from them, for hard and for randomised decisions."""

import numpy as np

from ._constraints import GAPS, RATES

# Decisions on people are described by the weight of the people of each group and class,
# `total` of shape (..., n_groups, n_classes), and that of those of them who get each
# decision, `decided` of shape (..., n_groups, n_classes, n_classes).


def label_totals(group, label, n_groups, weight=None, n_classes=2):
    """Weight of each class of each group.

    Parameters
    ----------
    group : ndarray of int of shape (n_samples,)
    label : ndarray of bool or int of shape (n_samples,)
        Codes of the classes.
    n_groups : int
    weight : ndarray of shape (n_samples,), default=None
        1 each if None.
    n_classes : int, default=2

    Returns
    -------
    ndarray of float of shape (n_groups, n_classes)

    Examples
    --------
    >>> label_totals(np.array([0, 0, 1]), np.array([True, True, False]), 2)
    array([[0., 2.],
           [1., 0.]])
    """
    total = np.bincount(n_classes * group + label, weight, n_classes * n_groups)
    return total.astype(float).reshape(n_groups, n_classes)


def sum_by(code, values, n_codes):
    """Sums of the rows of `values` that share a code, of shape (n_codes, ...)."""
    shape = values.shape[1:]
    columns = values.reshape(len(values), int(np.prod(shape))).T
    sums = [np.bincount(code, weights=column, minlength=n_codes) for column in columns]
    return np.stack(sums, axis=1).reshape(n_codes, *shape)


def tally(group, label, probability, n_groups, weight=None):
    """Expected decisions of two classes.

    Parameters
    ----------
    group, label, n_groups, weight
        As in `label_totals`.
    probability : ndarray of shape (n_samples,)
        Probability of selection.

    Returns
    -------
    total, chosen : ndarrays of shape (n_groups, 2)
        Weight of the people of each class, and of those of them who are selected.
    """
    selected = probability if weight is None else weight * probability
    return (
        label_totals(group, label, n_groups, weight),
        label_totals(group, label, n_groups, selected),
    )


def by_decision(total, chosen):
    """What is decided on two classes: the chosen get the second decision."""
    return np.stack([total - chosen, chosen], axis=-1)


def operating_points(total, chosen):
    """False and true positive rate of each group, NaN where it has no such label."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return chosen / total


def selection_rates(total, chosen):
    """Selection rate of each group, NaN where it is empty."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return chosen.sum(axis=-1) / total.sum(axis=-1)


def gap_rates(gap, decided, total=None):
    """Rates of each group that a gap compares, of shape (..., n_groups, n_rates)."""
    rates = RATES[GAPS[gap]](decided.shape[-1])
    return np.stack([rate.of(decided, total) for rate in rates], axis=-1)


def unit_gains(weight, objective):
    """What a unit of people gains by each decision.

    Parameters
    ----------
    weight : ndarray of shape (..., n_classes)
        Weight of each class.
    objective : str or array-like
        See `Problem`.

    Returns
    -------
    ndarray of shape (..., n_classes, n_classes)
        Of people of each class (row) and each decision (column). Costs are negative.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        if not isinstance(objective, str):
            return -np.asarray(objective) / weight.sum(axis=-1)[..., None, None]
        if objective == "accuracy_score":
            right = 1 / weight.sum(axis=-1, keepdims=True)
        else:
            # Absent classes are left out, as in scikit-learn.
            present = weight > 0
            right = np.where(present, 1 / np.where(present, weight, 1), 0)
            right = right / present.sum(axis=-1, keepdims=True)
    return right[..., None] * np.eye(weight.shape[-1])


def score(objective, decided, total=None):
    """Value of an objective, of shape (...): a quality, or an expected cost."""
    decided = decided.sum(axis=-3)
    total = decided.sum(axis=-1) if total is None else total.sum(axis=-2)
    value = np.sum(unit_gains(total, objective) * decided, axis=(-2, -1))
    return value if isinstance(objective, str) else -value


def _rate_of_all(name):
    def rate(decided, total):
        (of_two,) = RATES[name](2)
        return of_two.of(decided.sum(axis=-3), total.sum(axis=-2))

    return rate


def _objective(name):
    return lambda decided, total: score(name, decided, total)


SCORES = {
    "accuracy_score": _objective("accuracy_score"),
    "balanced_accuracy_score": _objective("balanced_accuracy_score"),
    "selection_rate": _rate_of_all("selection_rate"),
    "true_positive_rate": _rate_of_all("true_positive_rate"),
    "false_positive_rate": _rate_of_all("false_positive_rate"),
}
"""Functions from `decided` and `total` to the quality of the decisions on two classes,
of shape (...)."""
