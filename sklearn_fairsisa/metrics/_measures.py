"""What a constraint bounds, measured on decisions."""

import numpy as np

from .._utils.groups import encode_groups
from ..fairness._coins import class_probabilities
from ..fairness._constraints import Difference
from ..fairness._problem import Problem
from ..fairness._rates import sum_by


def measure_score(constraint, label, probability, groups, features, weight):
    """Measure a constraint, so that greater is better.

    Parameters
    ----------
    constraint : Constraint
    label : ndarray of int of shape (n_samples,)
        Codes of the true classes.
    probability : ndarray of shape (n_samples,) or (n_samples, n_classes)
        Of each decision, or of the second of two.
    groups : ndarray of shape (n_samples,)
    features : tuple
        Names of the sensitive features.
    weight : array-like of shape (n_samples,), or None

    Returns
    -------
    float
        The greatest difference, negated, or the least ratio or rate.

    Raises
    ------
    ValueError
        If there is no feature of the name that the constraint is by.
    """
    if constraint.by is not None and constraint.by not in features:
        raise ValueError(
            f"{constraint!r} is by {constraint.by!r}, but the sensitive features are "
            f"{list(features)}. Give them by these names."
        )
    names, group = encode_groups(groups)
    decided = class_probabilities(probability)
    if weight is not None:
        decided = np.asarray(weight)[:, None] * decided
    n_classes = decided.shape[1]
    confusion = sum_by(group * n_classes + label, decided, len(names) * n_classes)
    problem = Problem((constraint,), "accuracy_score", groups=names, features=features)
    values = problem.values(constraint, confusion.reshape(len(names), n_classes, -1))
    value = constraint.measure(values)
    return -value if isinstance(constraint, Difference) else value
