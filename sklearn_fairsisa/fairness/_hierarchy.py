r"""A logistic model of several groups, which share what they agree in.

Notes
-----
With features :math:`1, x, f_1, f_2, \dots` of a row, the logit of the positive label in
group a is

.. math:: \alpha_a + (\beta + \beta_a)\, x + \sum_m (c_m + c_{am}) f_m .

Intercepts are the groups' own and the slope :math:`\beta` is free. The others have
normal priors of mean 0, with a stiffness for each feature and a factor for all
:math:`c_m`, one for :math:`\beta_a` and one for all :math:`c_{am}`. The factors are
chosen by the evidence: a difference between groups is kept where many people support
it, and shrunk where few do.

References
----------
MacKay (1992), Bayesian interpolation, Neural Computation 4, equation 4.9: the update of
the factors.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import expit

FREE, ABSENT = 1e-6, 1e6
# Weak enough for scores that hardly err.
SLOPE_PRECISION = 0.01
# The factors have gamma priors of this shape.
_SHAPE = 1.0
# Greatest change of a logit after which the curvature is not computed again.
_SMALL_STEP = 1e-3
# Rows of a group that are copied for speed; those of bins are.
_FEW_ROWS = 512
# With more the weakest prior would be lost in rounding.
_MOST_PEOPLE = 1e8


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


def fit_hierarchy(features, group, total, positives, *, stiffness, rate, offset=0.0):
    """Estimate each group's coefficients, and how far groups depart from each other.

    Parameters
    ----------
    features : ndarray of shape (n_rows, 2 + n_others)
        The first column holds ones.
    group : ndarray of int of shape (n_rows,)
        Sorted codes without gaps.
    total, positives : ndarray of shape (n_rows,)
        Weight of each row's people, and of those with the positive label; see
        `share_of_people`.
    stiffness : ndarray of shape (n_others,)
        Precision of each other feature's coefficients, up to the factor.
    rate : float
        Of the factors' gamma prior. The square root is how great departures are
        expected to be.
    offset : ndarray of shape (n_rows,), default=0.0
        Known part of each row's logit.

    Returns
    -------
    ndarray of shape (n_groups, 2 + n_others)
    """
    n_groups, n_features = group[-1] + 1, features.shape[1]
    share = share_of_people(total)
    total, positives = share * total, share * positives
    labels = np.bincount(group, positives), np.bincount(group, total - positives)
    own = np.zeros((n_groups, n_features))
    own[:, 0] = first_intercepts(*labels)
    mode = Coefficients(np.zeros(n_features), own)
    factors = np.ones(3)
    for _ in range(30):
        precision = Coefficients(
            np.concatenate([[ABSENT, SLOPE_PRECISION], factors[0] * stiffness]),
            np.concatenate([[FREE, factors[1]], factors[2] * stiffness]),
        )
        mode, variances = posterior_mode(
            features, group, total, positives, precision, mode, offset
        )
        blocks = (
            (mode.common[2:], variances.common[2:], stiffness),
            (mode.own[:, 1], variances.own[:, 1], 1.0),
            (mode.own[:, 2:], variances.own[:, 2:], stiffness),
        )
        old, factors = factors, np.empty(3)
        for j, (coefficients, variance, stiff) in enumerate(blocks):
            factors[j] = updated_factor(
                coefficients.size,
                old[j],
                np.sum(stiff * variance),
                np.sum(stiff * coefficients**2),
                rate,
            )
        if np.abs(np.log(factors / old)).max() < 0.02:
            break
    return mode.common + mode.own


def share_of_people(total):
    """Return the factor of weights by which they are at most a hundred million people.

    More people leave nothing in doubt that matters, as with weights in dollars.
    """
    return _MOST_PEOPLE / max(total.sum(), _MOST_PEOPLE)


def first_intercepts(positives, negatives):
    """Intercepts at which a search starts, given the weight of each label."""
    # Half a person of each label keeps them finite.
    return np.log((positives + 0.5) / (negatives + 0.5))


def updated_factor(n_coefficients, factor, variance, energy, rate):
    """Update the factor of a prior by the evidence.

    Parameters
    ----------
    n_coefficients : int
        Number of coefficients that share the factor.
    factor : float or ndarray
        The factor before.
    variance, energy : float or ndarray
        Sums of the coefficients' variances and squares, each times its stiffness.
    rate : float
        As in `fit_hierarchy`.

    Returns
    -------
    float or ndarray
    """
    determined = n_coefficients - factor * variance
    return (determined + 2 * _SHAPE) / (energy + 2 * rate)


def posterior_mode(features, group, total, positives, precision, start, offset=0.0):
    """Find the most probable coefficients by Newton's method.

    Parameters
    ----------
    features : ndarray of shape (n_rows, n_features)
    group : ndarray of int of shape (n_rows,)
        Sorted codes without gaps.
    total, positives : ndarray of shape (n_rows,)
        Weight of each row's people, and of those with the positive label.
    precision : Coefficients
        Inverse variances of the priors.
    start : Coefficients
        Where the search begins.
    offset : ndarray of shape (n_rows,), default=0.0
        Known part of each row's logit.

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
    bounds = np.searchsorted(group, np.arange(len(start.own) + 1))
    alike = (np.diff(bounds) == bounds[1]).all() and bounds[1] <= _FEW_ROWS
    by_group = _of_one_size if alike else _of_any_size
    margins, slopes, curvatures = by_group(features, bounds)
    common, own = start.common, start.own
    margin, greatest = margins(common + own) + offset, np.inf
    of_common, of_own = np.diag(precision.common), np.diag(precision.own)
    has_weight = total > 0
    for _ in range(100):
        chance = expit(margin)
        slope = slopes(positives - total * chance)
        # After a small step the curvature, which costs most, is nearly what it was.
        if greatest > _SMALL_STEP:
            curvature = curvatures(total * chance * (1 - chance))
            inverse = np.linalg.inv(curvature + of_own)
            explained = inverse @ curvature
            schur = of_common + np.sum(curvature - curvature @ explained, axis=0)
            variance = np.linalg.inv(schur)
        gradient_own = slope - precision.own * own
        gradient = slope.sum(axis=0) - precision.common * common
        reduced = gradient - np.einsum("akl,ak->l", explained, gradient_own)
        step = variance @ reduced
        step_own = np.einsum("akl,al->ak", inverse, gradient_own) - explained @ step
        change = margins(step + step_own)
        greatest = np.abs(change[has_weight]).max()
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


def _of_any_size(features, bounds):
    """Products of rows, group by group.

    Parameters
    ----------
    features : ndarray of shape (n_rows, n_features)
    bounds : ndarray of int of shape (n_groups + 1,)

    Returns
    -------
    margins, slopes, curvatures : callable
        Of coefficients, of shape (n_groups, n_features), those of the rows; of the
        rows' weights, sums of the weighted features and of their weighted products.
    """
    parts = [slice(first, last) for first, last in pairwise(bounds)]
    n_features = features.shape[1]
    # One array for all groups and steps: filling memory anew takes longer than sums.
    weighed = np.empty((np.diff(bounds).max(), n_features))
    slope = np.empty((len(parts), n_features))
    curvature = np.empty((len(parts), n_features, n_features))

    def margins(coefficients):
        return np.concatenate([features[p] @ c for p, c in zip(parts, coefficients)])

    def slopes(missing):
        for a, p in enumerate(parts):
            slope[a] = missing[p] @ features[p]
        return slope

    def curvatures(weight):
        for a, p in enumerate(parts):
            of_group = weighed[: p.stop - p.start]
            np.multiply(features[p], weight[p, None], out=of_group)
            curvature[a] = of_group.T @ features[p]
        return curvature

    return margins, slopes, curvatures


def _of_one_size(features, bounds):
    """What `_of_any_size` returns, at once for all groups, which have as many rows."""
    n_groups = len(bounds) - 1
    features = features.reshape(n_groups, -1, features.shape[1])
    # Rows follow on in memory, as groups have many rows and few features.
    by_feature = np.ascontiguousarray(features.swapaxes(1, 2))

    def margins(coefficients):
        return (features @ coefficients[..., None]).ravel()

    def slopes(missing):
        return (missing.reshape(n_groups, 1, -1) @ features)[:, 0]

    def curvatures(weight):
        return (by_feature * weight.reshape(n_groups, 1, -1)) @ features

    return margins, slopes, curvatures
