r"""A logistic model of several groups, which share what they agree in.

Notes
-----
With features f of a row, the logit of the positive label in group a is
:math:`(c + c_a)^T f`. Normal priors of the common coefficients c and of each group's
departures :math:`c_a`, all of mean 0, decide what groups learn from each other.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import expit


@dataclass(frozen=True)
class Coefficients:
    """Something of every coefficient: its value, its variance, its prior's precision.

    Parameters
    ----------
    common : ndarray of shape (n_features,)
        Of what the groups share.
    own : ndarray of shape (n_groups, n_features), or (n_features,) alike for all
        Of what a group departs by.
    """

    common: np.ndarray
    own: np.ndarray


def posterior_mode(features, group, total, positives, precision, start):
    """Find the most probable coefficients by Newton's method.

    Parameters
    ----------
    features : ndarray of shape (n_rows, n_features)
    group : ndarray of int of shape (n_rows,)
        Sorted codes, none of which is missing.
    total, positives : ndarray of shape (n_rows,)
        Weight of each row's people, and of those with the positive label.
    precision : Coefficients
        Inverse variances of the priors.
    start : Coefficients
        Where the search begins.

    Returns
    -------
    mode, variance : Coefficients
        The latter by a normal approximation at the mode.

    Notes
    -----
    Groups meet in the common coefficients alone, so that the work is that of a small
    system per group.

    Examples
    --------
    Of five people of one group, two are positive:

    >>> import numpy as np
    >>> weak = Coefficients(np.array([1e6]), np.array([1e-6]))
    >>> start = Coefficients(np.zeros(1), np.zeros((1, 1)))
    >>> one, five, two = np.ones((1, 1)), np.array([5.0]), np.array([2.0])
    >>> mode, _ = posterior_mode(one, np.array([0]), five, two, weak, start)
    >>> (mode.common + mode.own).round(3)
    array([[-0.405]])
    """
    n_groups, n_features = start.own.shape
    bounds = np.searchsorted(group, np.arange(n_groups + 1))
    parts = [slice(first, last) for first, last in pairwise(bounds)]

    def margins(coefficients):
        return np.concatenate([features[p] @ c for p, c in zip(parts, coefficients)])

    common, own = start.common, start.own
    margin = margins(common + own)
    curvature = np.empty((n_groups, n_features, n_features))
    slope = np.empty((n_groups, n_features))
    for _ in range(100):
        chance = expit(margin)
        weight = total * chance * (1 - chance)
        missing = positives - total * chance
        for a, p in enumerate(parts):
            curvature[a] = (features[p] * weight[p, None]).T @ features[p]
            slope[a] = missing[p] @ features[p]
        inverse = np.linalg.inv(curvature + np.diag(precision.own))
        explained = inverse @ curvature
        schur = np.diag(precision.common) + np.sum(
            curvature - curvature @ explained, axis=0
        )
        gradient_own = slope - precision.own * own
        gradient = slope.sum(axis=0) - precision.common * common
        reduced = gradient - np.einsum("akl,ak->l", explained, gradient_own)
        variance = np.linalg.inv(schur)
        step = variance @ reduced
        step_own = np.einsum("akl,al->ak", inverse, gradient_own) - explained @ step
        change = margins(step + step_own)
        greatest = np.abs(change[total > 0]).max()
        # Newton's steps overshoot where a start is far off.
        damping = min(1.0, 5.0 / max(greatest, 1e-300))
        common, own = common + damping * step, own + damping * step_own
        margin = margin + damping * change
        if greatest < 1e-9:
            break
    own_variance = np.einsum("akk->ak", inverse) + np.einsum(
        "akl,lm,akm->ak", explained, variance, explained
    )
    return Coefficients(common, own), Coefficients(np.diag(variance), own_variance)
