r"""The models of `_hierarchy`, fitted to several sets of rows at once.

Notes
-----
The search for one model alternates between coefficients and factors of their priors,
and finds the most probable coefficients anew for each value of the factors. Here both
are found together. A parabola replaces the log-likelihood of each set of rows around
the current coefficients. It needs only a slope and a curvature per group, so the
factors that the evidence chooses, and the coefficients at them, follow without another
pass over the rows. The next parabola is around these coefficients. The search ends when
they no longer change, so its result does not depend on its start.
"""

from dataclasses import dataclass

import numpy as np

from ._hierarchy import (
    ABSENT,
    FREE,
    SLOPE_PRECISION,
    first_intercepts,
    updated_factor,
)

# Length of a step, in standard errors, that ends a search. The next one is about a
# tenth of it, and changes scores within a group by less than 1e-6.
_NO_STEP = 1e-5
# Longer steps may overshoot.
_FAR = 10.0
_MOST_STEPS = 100
# Greatest change of a factor's logarithm that ends a search on a parabola, and the
# number of updates after which the parabola is left even so.
_NO_CHANGE, _MOST_UPDATES = 1e-7, 12
# No update changes the logarithm of a factor by more.
_MOST_CHANGE = 3.0


@dataclass(frozen=True)
class Estimates:
    """Coefficients of several sets of rows, and the factors of their priors.

    Parameters
    ----------
    coefficients : ndarray of shape (n_sets, n_groups, n_features)
    log_factors : ndarray of shape (n_sets, 3)
    """

    coefficients: np.ndarray
    log_factors: np.ndarray

    def padded(self, n_features):
        """The same with more features, whose coefficients are zero."""
        more = n_features - self.coefficients.shape[2]
        coefficients = np.pad(self.coefficients, ((0, 0), (0, 0), (0, more)))
        return Estimates(coefficients, self.log_factors)

    def repeated(self, n_sets):
        """The estimates of a single set, for each of several sets."""
        return Estimates(
            np.repeat(self.coefficients, n_sets, axis=0),
            np.repeat(self.log_factors, n_sets, axis=0),
        )


def start_of(negatives, positives):
    """Estimates at which a search starts, given the weight of each label alone.

    Parameters
    ----------
    negatives, positives : ndarray of shape (n_sets, n_groups)

    Returns
    -------
    Estimates
        Of the first feature alone.
    """
    intercepts = first_intercepts(positives, negatives)
    return Estimates(intercepts[..., None], np.zeros((len(intercepts), 3)))


def fit_hierarchies(
    likelihood, start, *, stiffness, rate, first=None, no_step=_NO_STEP
):
    """Estimate the coefficients of each set's groups.

    Parameters
    ----------
    likelihood : object
        Has ``sums(coefficients)``, the slope of each group's log-likelihood and its
        negative curvature, of shape (n_sets, n_groups, n_features) and (n_sets,
        n_groups, n_features, n_features); and ``reach(step)``, the greatest change of a
        row's logit in each set.
    start : Estimates
    stiffness : ndarray of shape (n_sets, n_features - 1)
        Precision of the coefficients of each feature but the first, up to the factor.
    rate : float
        As in `fit_hierarchy`.
    first : (ndarray, ndarray), default=None
        What ``sums`` returns at the start, if it is known.
    no_step : float, default=1e-5
        Length of a step, in standard errors, that ends the search.

    Returns
    -------
    Estimates
    """
    coefficients, factors = start.coefficients, _Factors(start.log_factors)
    sums = first or likelihood.sums(coefficients)
    for _ in range(_MOST_STEPS):
        slope, curvature = sums
        target = slope + _times(curvature, coefficients)
        mode, is_settled = _on_parabola(target, curvature, factors, stiffness, rate)
        step = mode - coefficients
        size = np.sqrt(np.sum(step * _times(curvature, step), axis=(1, 2))).max()
        if size > _FAR:
            # Other sets may be at their end.
            reach = np.maximum(likelihood.reach(step), 1e-300)
            step *= np.minimum(1.0, 5.0 / reach)[:, None, None]
        coefficients = coefficients + step
        if is_settled and size < no_step:
            break
        sums = likelihood.sums(coefficients)
    return Estimates(coefficients, factors.logs)


class _Factors:
    """Logarithms of the factors, and an estimate of their residual's derivative.

    Notes
    -----
    Broyden's method: the inverse of the derivative is estimated from earlier changes of
    the residual. At first it is the identity, so the first step is a plain update.

    References
    ----------
    Broyden (1965), A class of methods for solving nonlinear simultaneous equations,
    Mathematics of Computation 19.
    """

    def __init__(self, logs):
        self.logs = logs
        self._inverse = np.broadcast_to(np.eye(3), (len(logs), 3, 3)).copy()

    def update(self, residual, before):
        """Move on, given the residual here, and the one before the last move."""
        if before is not None:
            moved, residual_before = before
            learnt = _times(self._inverse, residual - residual_before)
            back = np.einsum("ki,kij->kj", moved, self._inverse)
            scale = np.einsum("ki,ki->k", moved, learnt)
            # Where nothing moves there is nothing to learn.
            known = np.abs(scale) > 1e-3 * np.sum(moved**2, axis=1)
            gain = (moved - learnt) / np.where(known, scale, np.inf)[:, None]
            self._inverse += gain[:, :, None] * back[:, None, :]
        step = -_times(self._inverse, residual)
        step = step.clip(-_MOST_CHANGE, _MOST_CHANGE)
        self.logs = self.logs + step
        return step, residual


def _on_parabola(target, curvature, factors, stiffness, rate):
    """Coefficients where each likelihood is a parabola, and whether factors stay."""
    before = None
    for _ in range(_MOST_UPDATES):
        mode, updated = _mode(target, curvature, factors.logs, stiffness, rate)
        residual = factors.logs - updated
        if np.abs(residual).max() < _NO_CHANGE:
            return mode, True
        before = factors.update(residual, before)
    return mode, False


def _mode(target, curvature, logs, stiffness, rate):
    """Most probable coefficients, and logarithms of the factors that follow."""
    f = np.exp(logs)
    n_groups, stiff = target.shape[1], stiffness[:, 1:]
    ones, slope = np.ones((len(f), 1)), stiffness[:, :1]
    of_common = [ABSENT * ones, SLOPE_PRECISION * slope, f[:, :1] * stiff]
    of_common = np.concatenate(of_common, axis=1)
    of_own = [FREE * ones, f[:, 1:2] * slope, f[:, 2:] * stiff]
    of_own = np.concatenate(of_own, axis=1)
    diagonal = np.arange(target.shape[2])
    information = curvature.copy()
    information[..., diagonal, diagonal] += of_own[:, None]
    inverse = np.linalg.inv(information)
    explained = inverse @ curvature
    alone = _times(inverse, target)
    # What is left of a group's information once its own coefficients are free.
    schur = np.sum(of_own[:, None, :, None] * explained, axis=1)
    schur[..., diagonal, diagonal] += of_common
    variance = np.linalg.inv(schur)
    common = _times(variance, np.sum(of_own[:, None] * alone, axis=1))
    own = alone - _times(explained, common[:, None])
    own_variance = np.sum((explained @ variance[:, None]) * explained, axis=-1)
    own_variance += inverse[..., diagonal, diagonal]
    own_variance = own_variance.sum(axis=1)
    own_energy, variance = np.sum(own**2, axis=1), variance[:, diagonal, diagonal]
    blocks = (
        (1, stiff, common[:, 2:] ** 2, variance[:, 2:]),
        (n_groups, slope, own_energy[:, 1:2], own_variance[:, 1:2]),
        (n_groups, stiff, own_energy[:, 2:], own_variance[:, 2:]),
    )
    updated = np.empty_like(f)
    for j, (n, stiff, squares, variances) in enumerate(blocks):
        sums = (np.sum(stiff * each, axis=1) for each in (variances, squares))
        updated[:, j] = updated_factor(n * stiff.shape[1], f[:, j], *sums, rate)
    return common[:, None] + own, np.log(updated)


def _times(matrices, vectors):
    """Product of each matrix with its vector."""
    return (matrices @ vectors[..., None])[..., 0]
