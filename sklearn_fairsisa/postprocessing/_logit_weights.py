r"""Weights of the members' logits, whose sum is the score of a rule.

Notes
-----
The best rule on (member scores, group) thresholds the conditional probability of the
positive label, separately in each group. Only the order of the scores within a group
matters then, so the score is a weighted sum of the members' logits; how each group's
probability rises with it is left to the rule.

Equal odds are limited by the group whose labels are least distinguishable. Common
weights suit the greatest group and may suit a small one badly, so each has its own.

Members of one learner on shards drawn at random are exchangeable. Weights learnt from
few rows are then noise, and break ties between people on whom the members agree, so
members are weighed equally unless the rows show beyond chance that they differ.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from ..fairness._hierarchy import fit_hierarchy

# Rows whose weighted sums are taken at a time, so that they fit into a cache.
_BLOCK = 2048
# Logits of votes 0 and 1 must be finite.
CLIP = 1e-6
# Standard errors that chance alone hardly exceeds.
_DOUBT = 3.0
# Departures that change the logit by about 0.3 are expected.
RATE = 0.1
# Members differ if a test exceeds its expectation by so many standard errors.
_CAUTION = 1.0
# Eigenvalues, relative to the greatest, that are taken for rounding errors.
ROUNDING = 1e-9


@dataclass(frozen=True)
class LogitWeights:
    """Weights of the members' logits.

    Parameters
    ----------
    weights : ndarray of shape (n_groups, n_members)
        In each group they sum to 1, or to -1 where positives have the smaller scores.
    """

    weights: np.ndarray

    @classmethod
    def fit(cls, z, group, label, sample_weight=None, n_heads=0):
        r"""Learn weights by a logistic model that groups share.

        Parameters
        ----------
        z : ndarray of shape (n_samples, n_members)
            Logits; see `logits_of`.
        group : ndarray of int of shape (n_samples,)
            Codes without gaps.
        label : ndarray of bool of shape (n_samples,)
        sample_weight : ndarray of shape (n_samples,), default=None
        n_heads : int, default=0
            Number of last columns that are no members, so not exchangeable with them.

        Notes
        -----
        With :math:`\bar z` the mean of the members' logits and h that of a head, the
        model is

        .. math:: \alpha_a + (\beta + \beta_a) \bar z + (\gamma + \gamma_a)
            (h - \bar z) + (\delta + \delta_a)^T (z - \bar z)

        in group a. Normal priors of :math:`\beta_a`, :math:`\gamma_a` and
        :math:`\delta_a` shrink a group's weights towards common ones, and those of
        :math:`\gamma` and :math:`\delta` these towards equal ones, each as far as the
        evidence supports. Without evidence that members differ (see `_differ`)
        :math:`\delta` and :math:`\delta_a` are zero.

        How steeply the odds rise with the score differs between groups for reasons of
        chance, and a rule does not need it. Weights are divided by it, so that scores
        of several groups are comparable.
        """
        n_groups, n_columns = group.max() + 1, z.shape[1]
        equal = np.full((n_groups, n_columns), 1 / n_columns)
        total = np.ones(len(z)) if sample_weight is None else sample_weight
        if (np.diff(group) < 0).any():
            order = np.argsort(group, kind="stable")
            z, group, label, total = (v[order] for v in (z, group, label, total))
        mean, heads, members = directions_of(n_columns - n_heads, n_heads)
        spread = _spread(z @ mean, total)
        # Forgetting may have left one label, of which nothing can be learnt.
        if spread == 0 or len(np.unique(label[total > 0])) < 2:
            return cls(equal)
        directions = np.hstack(
            [mean / spread, heads / (_spread(z @ heads, total) or 1)]
        )
        rows = group, label, total
        deviation = z @ members
        apart = _spread(deviation, total)
        # Members that agree differ by rounding only.
        disagree = apart > ROUNDING * spread
        if disagree or n_heads:
            features = _with_ones(z, directions)
            coefficients = _fit(features, *rows)
        if disagree:
            deviation /= apart
            disagree = _differ(features[:, 1:], deviation, coefficients, *rows)
        # Before the greatest array is made.
        del deviation
        if disagree:
            directions = np.hstack([directions, members / apart])
            coefficients = _fit(_with_ones(z, directions), *rows)
        elif not n_heads:
            turned = ranked_in_reverse((z @ mean)[:, 0], group, total, label)
            return cls(np.where(turned[:, None], -equal, equal))
        return cls(weights_of(coefficients, directions))

    def score(self, scores, group, counted=None):
        """Weighted sum of the logits.

        Parameters
        ----------
        scores : ndarray of shape (n_samples, n_members)
        group : ndarray of int of shape (n_samples,)
        counted : ndarray of bool of shape (n_samples, n_members), default=None
            A member that does not count for a row gets the mean of the others.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        return self.weighted(logits_of(scores, counted), group)

    def weighted(self, z, group):
        """Weighted sum of logits of shape (n_samples, n_members)."""
        # Row by row, so that a score never depends on the batch it came in.
        sums = np.empty(len(z))
        for first in range(0, len(z), _BLOCK):
            here = slice(first, first + _BLOCK)
            (z[here] * self.weights[group[here]]).sum(axis=1, out=sums[here])
        return sums

    def leaving_out(self, scores, group, silent):
        """Score with each silent member left out in turn, in the bits of `score`.

        Returns
        -------
        ndarray of shape (n_samples, n_silent)
        """
        z, weights = logits_of(scores), self.weights[group]
        left_out, products = np.empty((len(z), len(silent))), z * weights
        for position, member in enumerate(silent):
            own = products[:, member].copy()
            others = z[:, :member], z[:, member + 1 :]
            before, after = (part.sum(axis=1, initial=0.0) for part in others)
            mean = (before + after) / (z.shape[1] - 1)
            products[:, member] = mean * weights[:, member]
            left_out[:, position] = products.sum(axis=1)
            products[:, member] = own
        return left_out


def directions_of(n_members, n_heads):
    """Sums of logits: the members' mean, and how heads and members depart from it.

    Returns
    -------
    mean, heads, members : ndarray of shape (n_members + n_heads, n_sums)
        Weights of the logits in each sum.
    """
    mean = np.repeat([[1 / n_members], [0.0]], [n_members, n_heads], axis=0)
    apart = np.eye(n_members + n_heads) - mean
    return mean, apart[:, n_members:], apart[:, :n_members]


def weights_of(coefficients, directions):
    """Weights of the logits, given the coefficients of an intercept and of their sums.

    Parameters
    ----------
    coefficients : ndarray of shape (..., 1 + n_sums)
    directions : ndarray of shape (n_members + n_heads, n_sums)

    Returns
    -------
    ndarray of shape (..., n_members + n_heads)
        They sum to 1 or -1.
    """
    weights = coefficients[..., 1:] @ directions.T
    steepness = np.abs(weights.sum(axis=-1, keepdims=True))
    return weights / np.where(steepness > 0, steepness, 1.0)


def _spread(values, total):
    """Root of the mean squared distance of rows from their mean."""
    # Some columns at a time, then some rows, as copies of all would take much memory.
    parts = np.array_split(values, 1 + values.shape[1] // 4, axis=1)
    mean = np.concatenate([np.average(p, weights=total, axis=0) for p in parts])
    squared = np.empty(len(values))
    for first in range(0, len(values), _BLOCK):
        here = slice(first, first + _BLOCK)
        ((values[here] - mean) ** 2).sum(axis=1, out=squared[here])
    return np.sqrt(np.average(squared, weights=total))


def _with_ones(z, directions):
    """A column of ones, then sums of logits."""
    features = np.empty((len(z), 1 + directions.shape[1]))
    features[:, 0] = 1.0
    np.matmul(z, directions, out=features[:, 1:])
    return features


def _fit(features, group, label, total):
    """Coefficients of each group: an intercept, then those of the features."""
    return fit_hierarchy(
        features,
        group,
        total,
        total * label,
        stiffness=np.ones(features.shape[1] - 2),
        rate=RATE,
    )


def _differ(*rows):
    """Whether members differ beyond chance, for all rows or for the groups apart."""
    return are_beyond_chance(score_tests(*rows))


def are_beyond_chance(tests):
    """Whether a chi-square exceeds what its degrees of freedom let expect."""
    return any(
        chi_square > n_free + _CAUTION * np.sqrt(2 * n_free)
        for chi_square, n_free in tests
    )


def score_tests(features, deviation, coefficients, group, label, total):
    r"""Test whether deviations show labels beyond what a logistic model knows.

    Parameters
    ----------
    features : ndarray of shape (n_rows, n_features)
        Of the model, without the intercept.
    deviation : ndarray of shape (n_rows, n_members)
    coefficients : ndarray of shape (n_groups, 1 + n_features)
        Of the model, the intercept first.
    group : ndarray of int of shape (n_rows,)
        Sorted codes without gaps.
    label : ndarray of bool of shape (n_rows,)
    total : ndarray of shape (n_rows,)
        Weights.

    Returns
    -------
    tuple of (float, int)
        Chi-square and its degrees of freedom, for the groups apart; then for all rows.

    Notes
    -----
    With residuals r of the model and D the deviations less their weighted regression
    on the features, :math:`D^T w r` has mean 0 and covariance :math:`D^T
    \operatorname{diag}(w^2 p (1 - p)) D` if the deviations add nothing.

    References
    ----------
    Rao (1948), Large sample tests of statistical hypotheses concerning several
    parameters with applications to problems of estimation, Mathematical Proceedings of
    the Cambridge Philosophical Society 44.
    """
    features = np.hstack([np.ones((len(features), 1)), features])
    bounds = np.searchsorted(group, np.arange(len(coefficients) + 1))
    slopes, covariances = [], []
    for own, start, stop in zip(coefficients, bounds[:-1], bounds[1:]):
        known, weight = features[start:stop], total[start:stop]
        chance = expit(known @ own)
        information = weight * chance * (1 - chance)
        weighted = (known * information[:, None]).T
        explained = np.linalg.pinv(weighted @ known, hermitian=True) @ (
            weighted @ deviation[start:stop]
        )
        left = known @ explained
        np.subtract(deviation[start:stop], left, out=left)
        slopes.append(left.T @ (weight * (label[start:stop] - chance)))
        covariances.append((left.T * (weight * information)) @ left)
        del left
    return chi_squares(slopes, covariances)


def chi_squares(slopes, covariances):
    """Chi-square and degrees of freedom for the groups apart; then for all rows."""
    each = [_chi_square(*pair) for pair in zip(slopes, covariances)]
    apart = sum(chi_square for chi_square, _ in each), sum(n for _, n in each)
    return apart, _chi_square(sum(slopes), sum(covariances))


def _chi_square(slope, covariance):
    """Squared length in standard errors, and how many directions it has."""
    variance, axes = np.linalg.eigh(covariance)
    known = variance > ROUNDING * max(variance[-1], 0.0)
    squared = (slope @ axes[:, known]) ** 2 / variance[known]
    return squared.sum(), np.count_nonzero(known)


def ranked_in_reverse(score, group, weight, label):
    r"""Whether the positives of each group have the smaller scores beyond doubt.

    Notes
    -----
    With residuals r of the labels and m of the scores from their group's means,
    :math:`\sum w r m / \sqrt{\sum w^2 r^2 m^2}` is about standard normal where scores
    say nothing of labels.
    """
    size = np.bincount(group, weight)
    # Of a group without weight nothing is known.
    size[size == 0] = 1.0

    def residual(values):
        return values - (np.bincount(group, weight * values) / size)[group]

    part = weight * residual(label.astype(np.float64)) * residual(score)
    spread = np.sqrt(np.bincount(group, part**2))
    return np.bincount(group, part) < -_DOUBT * spread


def logits_of(scores, counted=None, out=None):
    """Logits of members; one that does not count has the mean of the others.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_members)
    counted : ndarray of bool of that shape, default=None
    out : ndarray, default=None
        Array for the logits, such as `scores` itself; not used unless of doubles.

    Returns
    -------
    ndarray of shape (n_rows, n_members)
    """
    out = out if out is not None and out.dtype == np.float64 else None
    z = scores.clip(CLIP, 1 - CLIP, out=out)
    z = logit(z, out=z)
    if counted is not None:
        mean = z.mean(axis=1, where=counted, keepdims=True)
        np.copyto(z, mean, where=~counted)
    return z
