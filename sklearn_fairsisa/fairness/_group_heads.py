r"""A logistic model of the label given features and group, shared between groups.

Notes
-----
With o the known parts of a row's logit and x its other features, scaled to a mean
squared norm of 1, the model of group a is

.. math::
    \operatorname{logit} P(Y=1 \mid x, a) =
    \alpha_a + (b + b_a)^T o + (w + \delta_a)^T x .

Priors are normal: :math:`\alpha_a` and :math:`b` of variance 100, :math:`b_a` of 1/4,
:math:`w` of :math:`v_0` and :math:`\delta_a` of :math:`v_1`. The evidence decides on
:math:`v_0` and :math:`v_1`, and thus how far groups depart from each other.

The curvature of the log posterior is an arrow, as groups meet in the common
coefficients alone. Let :math:`H_a` be the curvature of the likelihood of group a, P the
precision of its own coefficients and :math:`C_a = (H_a + P)^{-1}`. Once these are
eliminated, the common coefficients have the precision

.. math:: P_0 + \sum_a (H_a - H_a C_a H_a) = P_0 + \sum_a (P - P C_a P) .

A fit is a function of its rows and their order alone: it always starts at zero, and
takes the same steps for the same rows.

References
----------
MacKay (1992), Bayesian interpolation, Neural Computation 4, equation 4.9: the update of
the variances.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack
from scipy.special import expit

# Precisions of intercepts, of the common weights of known parts, and of groups' own.
_FREE, _OFFSET, _OWN_OFFSET = 0.01, 0.01, 4.0
# Where the variances start, and their range.
_START = 4.0, 1.0
_LEAST, _MOST = 1e-4, 1e4
_N_UPDATES = 6
# Change of the log variances at which their search ends.
_CLOSE = 0.02
# Greatest change of a logit at which a fit ends, steps after which it does, and the
# change after which the curvature is not computed again.
_DONE = 1e-6
_MAX_STEPS = 40
_SMALL_STEP = 0.05
# Rows that are scaled at a time.
_BLOCK = 2**13
# More standard deviations than this are outliers.
_FAR = 10.0


@dataclass(frozen=True)
class Scaling:
    """How columns are centred and scaled, so that rows have a mean squared norm of 1.

    Parameters
    ----------
    centre, factor : ndarray of shape (n_features,)
        Columns that do not vary have a factor of 0.
    """

    centre: np.ndarray
    factor: np.ndarray

    @classmethod
    def fit(cls, X, weight, where=None):
        """Learn from rows; what is not finite counts as missing.

        Parameters
        ----------
        X : ndarray of shape (n_all, n_features)
        weight : ndarray of shape (n_rows,)
        where : ndarray of int of shape (n_rows,), default=None
            Positions of the rows in X; None is all of them.
        """
        filled = X if where is None else X[where]
        known = np.isfinite(filled)
        missing = None if known.all() else ~known
        if missing is not None:
            filled = np.where(known, filled, 0.0)
        # Counts are exact in any order, and need no copy of `known` as doubles.
        found = known.sum(axis=0) if (weight == 1).all() else weight @ known
        total = np.maximum(found, 1e-300)
        del known
        # Great numbers are halved by their size before they are squared.
        greatest = np.maximum(
            filled.max(axis=0, initial=0.0), -filled.min(axis=0, initial=0.0)
        )
        size = np.maximum(greatest, 1e-300)
        # One array is changed in place from here on: filling memory anew takes longer
        # than the sums.
        filled = np.divide(filled, size, out=None if filled is X else filled)
        mean = (weight @ filled) / total
        filled -= mean
        if missing is not None:
            filled[missing] = 0.0
        np.square(filled, out=filled)
        spread = np.sqrt((weight @ filled) / total)
        varies = spread > 1e-9 * (np.abs(mean) + spread)
        n_varying = max(varies.sum(), 1)
        factor = np.zeros(X.shape[1])
        factor[varies] = 1 / (spread[varies] * np.sqrt(n_varying))
        return cls(mean * size, factor / size)

    def apply(self, X):
        """Return scaled rows, in which missing values are 0."""
        limit = _FAR / np.sqrt(max((self.factor > 0).sum(), 1))
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = X - self.centre
            scaled *= self.factor
        known = np.isfinite(X)
        if not known.all():
            scaled[~known] = 0.0
        return scaled.clip(-limit, limit, out=scaled)


@dataclass(frozen=True)
class GroupHead:
    """The fitted model.

    Parameters
    ----------
    scaling : Scaling
    intercept : ndarray of shape (n_groups,)
    slope : ndarray of shape (n_groups, n_known)
        Of the known parts.
    weights : ndarray of shape (n_groups, n_features)
        Of the scaled features.
    variances : tuple of float
        Of what groups share, and of what they depart by.
    """

    scaling: Scaling
    intercept: np.ndarray
    slope: np.ndarray
    weights: np.ndarray
    variances: tuple[float, float]

    def logit(self, X, group, known):
        """Logit of the positive label.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_features)
        group : ndarray of int of shape (n_rows,)
        known : ndarray of shape (n_rows, n_known)

        Returns
        -------
        ndarray of shape (n_rows,)
        """
        # Row by row, so that a number never depends on the batch it came in.
        return (
            self.intercept[group]
            + (known * self.slope[group]).sum(axis=1)
            + (self.scaling.apply(X) * self.weights[group]).sum(axis=1)
        )


def fit_group_head(X, group, label, known, weight=None, *, n_groups=None, where=None):
    """Fit the model by Newton's method, and the variances by the evidence.

    Parameters
    ----------
    X : ndarray of shape (n_all, n_features)
        Missing values count as the mean.
    group : ndarray of int of shape (n_rows,)
    label : ndarray of bool of shape (n_rows,)
    known : ndarray of shape (n_rows, n_known)
        Known parts of the logit.
    weight : ndarray of shape (n_rows,), default=None
    n_groups : int, default=None
        Of a group without rows nothing is known but what is common.
    where : ndarray of int of shape (n_rows,), default=None
        Positions of the rows in X; None is all of them.

    Returns
    -------
    GroupHead

    Examples
    --------
    Positives lie in opposite directions in two groups:

    >>> rng = np.random.default_rng(0)
    >>> X, group = rng.normal(size=(400, 2)), np.arange(400) % 2
    >>> label = (X[:, 0] * (1 - 2 * group) + rng.normal(size=400)) > 0
    >>> head = fit_group_head(X, group, label, np.empty((400, 0)))
    >>> np.sign(head.weights[:, 0])
    array([ 1., -1.])
    """
    n_groups = int(group.max()) + 1 if n_groups is None else n_groups
    weight = np.ones(len(label)) if weight is None else weight
    scaling = Scaling.fit(X, weight, where)
    varies = np.flatnonzero(scaling.factor)
    positives = weight * label
    posterior = Posterior(
        [
            (
                _features(known[r], scaling, X, r if where is None else where[r]),
                weight[r],
                positives[r],
            )
            for r in (np.flatnonzero(group == a) for a in range(n_groups))
        ],
        known.shape[1],
    )
    variances = _START
    posterior.step(variances)
    for _ in range(_N_UPDATES):
        posterior.step(variances)
        before, variances = variances, posterior.likelier_variances(variances)
        if np.abs(np.log(np.divide(variances, before))).max() < _CLOSE:
            break
    change = np.inf
    for _ in range(_MAX_STEPS):
        change = posterior.step(variances, bends=change > _SMALL_STEP)
        if change < _DONE:
            break
    coefficients = posterior.common + posterior.own
    intercept, slope, found = np.split(coefficients, [1, 1 + known.shape[1]], axis=1)
    weights = np.zeros((n_groups, X.shape[1]))
    weights[:, varies] = found
    return GroupHead(scaling, intercept[:, 0], slope, weights, variances)


def _features(known, scaling, X, where):
    """Features of some rows: 1, the known parts of the logit, and what varies of X."""
    varies, first = np.flatnonzero(scaling.factor), 1 + known.shape[1]
    scaling = Scaling(scaling.centre[varies], scaling.factor[varies])
    features = np.empty((len(where), first + len(varies)))
    features[:, 0], features[:, 1:first] = 1.0, known
    # Some rows at a time, as copies of all would take much memory.
    for start in range(0, len(where), _BLOCK):
        here = slice(start, start + _BLOCK)
        seen = X[where[here]]
        if len(varies) < X.shape[1]:
            seen = seen[:, varies]
        features[here, first:] = scaling.apply(seen)
    return features


class Posterior:
    """Coefficients on their way to the most probable ones.

    Parameters
    ----------
    parts : list of tuple (features, total, positives)
        Rows of each group: features of shape (n_rows, 1 + n_known + n_others), the
        first of which is 1, the weight of each row, and that weight where the label is
        positive.
    n_known : int
        Features that follow the first.

    Attributes
    ----------
    common : ndarray of shape (n_features,)
    own : ndarray of shape (n_groups, n_features)
    """

    def __init__(self, parts, n_known):
        self.parts, self.first = parts, 1 + n_known
        self.n_features = parts[0][0].shape[1]
        self.common = np.zeros(self.n_features)
        self.own = np.zeros((len(parts), self.n_features))
        self._margins = [np.zeros(len(features)) for features, *_ in parts]
        self._weighed = np.empty((max(map(len, self._margins)), self.n_features))

    def precisions(self, variances):
        """Precisions of common and own coefficients; no intercept is common."""
        n_known, n_others = self.first - 1, self.n_features - self.first
        common = np.repeat([np.inf, _OFFSET, 1 / variances[0]], [1, n_known, n_others])
        own = np.repeat([_FREE, _OWN_OFFSET, 1 / variances[1]], [1, n_known, n_others])
        return common, own

    def step(self, variances, *, bends=True):
        """Take a step of Newton's method.

        Parameters
        ----------
        variances : tuple of float
            Of w and of delta.
        bends : bool, default=True
            Whether the curvature, which costs most, is computed and not that of the
            last step.

        Returns
        -------
        float
            Greatest change of a logit.
        """
        shared, own = self.precisions(variances)
        chances = [expit(margin) for margin in self._margins]
        if bends:
            self._bend(chances, shared, own)
        eliminated = []
        reduced = -shared[1:] * self.common[1:]
        for a, (features, total, positives) in enumerate(self.parts):
            slope = (positives - total * chances[a]) @ features
            eliminated.append(self._inverses[a] @ (slope - own * self.own[a]))
            # The likelihood's curvature times the inverse is 1 - own * inverse.
            reduced += (own * (self.own[a] + eliminated[a]))[1:]
        common = np.concatenate([[0.0], self._common_inverse @ reduced])
        steps = [
            solved - common + inverse @ (own * common)
            for solved, inverse in zip(eliminated, self._inverses)
        ]
        changes = [
            features @ (common + step)
            for (features, *_), step in zip(self.parts, steps)
        ]
        greatest = max(np.abs(change).max(initial=0.0) for change in changes)
        # Newton's steps overshoot where a start is far off.
        damping = min(1.0, 5.0 / max(greatest, 1e-300))
        self.common = self.common + damping * common
        self.own = self.own + damping * np.stack(steps)
        self._margins = [m + damping * c for m, c in zip(self._margins, changes)]
        return greatest

    def _bend(self, chances, shared, own):
        """Compute the curvature at some chances of the positive label."""
        schur, self._inverses = np.diag(shared[1:]), []
        for (features, total, _), chance in zip(self.parts, chances):
            root = self._weighed[: len(features)]
            bend = total * chance * (1 - chance)
            np.multiply(features, np.sqrt(bend, out=bend)[:, None], out=root)
            inverse = _inverse(root.T @ root + np.diag(own))
            schur += (np.diag(own) - own[:, None] * inverse * own)[1:, 1:]
            self._inverses.append(inverse)
        self._common_inverse = _inverse(schur)

    def uncertainty(self, variances):
        """Return variances of common and own coefficients, as of the last step."""
        _, own = self.precisions(variances)
        of_own = []
        for inverse in self._inverses:
            lever = (np.eye(len(own)) - inverse * own)[:, 1:]
            of_own.append(
                np.diag(inverse) + ((lever @ self._common_inverse) * lever).sum(axis=1)
            )
        of_common = np.concatenate([[0.0], np.diag(self._common_inverse)])
        return of_common, np.stack(of_own)

    def likelier_variances(self, variances):
        """Return the variances of w and of delta by an update of the evidence."""
        found = []
        for coefficients, uncertain, variance in zip(
            (self.common, self.own), self.uncertainty(variances), variances
        ):
            coefficients, uncertain = (
                values[..., self.first :] for values in (coefficients, uncertain)
            )
            determined = coefficients.size - uncertain.sum() / variance
            energy = np.sum(coefficients**2)
            found.append(float(np.clip(energy / max(determined, 1e-9), _LEAST, _MOST)))
        return tuple(found)


def _inverse(matrix):
    """Inverse of a positive definite matrix."""
    factor, _ = lapack.dpotrf(matrix, lower=1)
    inverse, _ = lapack.dpotri(factor, lower=1)
    lower = np.tril(inverse)
    return lower + np.tril(lower, -1).T
