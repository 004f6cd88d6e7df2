r"""Weights of the members' logits, learnt from all rows but those of each fold.

Notes
-----
The model is that of `LogitWeights`. Each search is run to convergence, so its result
does not depend on its start. All searches start where one on all rows ends, which is
near. There, sums over the rows outside a fold are sums over all rows minus those of the
fold, so one pass serves all folds.
"""

from functools import cached_property
from itertools import pairwise

import numpy as np
from scipy.special import expit

from ..fairness._hierarchies import fit_hierarchies, start_of
from ..fairness._hierarchy import share_of_people
from ._logit_weights import (
    RATE,
    ROUNDING,
    LogitWeights,
    are_beyond_chance,
    chi_squares,
    directions_of,
    logits_of,
    ranked_in_reverse,
    weights_of,
)

# Rows whose products with all models are taken at a time, to fit into a cache.
_BLOCK = 1024
# Length of a step, in standard errors, at which the search on all rows ends. Estimates
# without a fold are further away than that.
_NEAR = 0.1


class FoldedRows:
    """Logits of rows, sorted by group, then fold.

    Parameters
    ----------
    rows : CalibrationRows
        All scores are evidence.
    fold : ndarray of int of shape (n_rows,)
        Codes without gaps.
    kept : ndarray of bool of shape (n_folds, n_groups)
        Groups whose rows are learnt from where a fold is left out.
    """

    def __init__(self, rows, fold, kept):
        self.kept, self.n_heads = kept, int(rows.has_head)
        n_folds, n_groups = kept.shape
        cell = n_folds * rows.group + fold
        self._order = order = np.argsort(cell, kind="stable")
        self._ends = np.searchsorted(cell[order], np.arange(n_folds * n_groups + 1))
        self._z = np.empty(rows.scores.shape)
        # Block by block, as a sorted copy of the scores would take as much memory.
        for first in range(0, len(order), _BLOCK):
            here = order[first : first + _BLOCK]
            counted = None if rows.counted is None else rows.counted[here]
            self._z[first : first + _BLOCK] = logits_of(rows.scores[here], counted)
        self.mean = self._z[:, : self.n_members].mean(axis=1)
        self.group, self.label = rows.group[order], rows.label[order]
        self.fold, self.is_weighted = fold[order], rows.weight is not None
        self.total = rows.weight[order] if self.is_weighted else np.ones(len(order))

    @cached_property
    def labels(self):
        """Weight of negatives and of positives, (n_groups, n_folds, 2)."""
        cell = self.group * len(self.kept) + self.fold
        weight = self.total * np.stack([~self.label, self.label])
        shape = *self.kept.T.shape, 2
        found = [np.bincount(cell, w, minlength=self.kept.size) for w in weight]
        return np.stack(found, axis=1).reshape(shape)

    @property
    def n_members(self):
        """Number of members."""
        return self._z.shape[1] - self.n_heads

    @property
    def n_alike(self):
        """Number of features if members weigh the same."""
        return 2 + self.n_heads

    def blocks(self):
        """Yield group and place of some rows."""
        yield from _blocks(self._ends[:: len(self.kept)])

    def blocks_of_folds(self):
        """Yield group, fold and place of some rows."""
        for cell, rows in _blocks(self._ends):
            yield *divmod(cell, len(self.kept)), rows

    def features(self, rows, n_features):
        """One, the members' mean, and how heads and members depart from it.

        Returns
        -------
        ndarray of shape (n_features, n_rows)
        """
        z, mean = self._z[rows].T, self.mean[rows]
        features = np.empty((n_features, len(mean)))
        features[0], features[1] = 1.0, mean
        np.subtract(z[self.n_members :], mean, out=features[2 : self.n_alike])
        if n_features > self.n_alike:
            np.subtract(z[: self.n_members], mean, out=features[self.n_alike :])
        return features

    def scores(self, weights):
        """Weighted sum of the logits of each row, in the order that rows were given."""
        scores = np.empty(len(self._z))
        ends = self._ends[:: len(self.kept)]
        for own, first, last in zip(weights.weights, ends[:-1], ends[1:]):
            here = np.zeros(last - first, dtype=np.intp)
            of_group = LogitWeights(own[None]).weighted(self._z[first:last], here)
            scores[self._order[first:last]] = of_group
        return scores


def _blocks(ends):
    """Yield position and place of some rows of each part, given where parts end."""
    for position, (start, stop) in enumerate(pairwise(ends)):
        for first in range(start, stop, _BLOCK):
            yield position, slice(first, min(first + _BLOCK, stop))


class _WithoutFolds:
    """Likelihood of models, each of the rows of some groups without those of a fold."""

    def __init__(self, rows, left_out, kept):
        self._rows, self._left_out, self._kept = rows, left_out, kept
        people = rows.labels.sum(axis=2)
        others = left_out[:, None] != np.arange(len(rows.kept))
        # What is left may weigh far less than all rows.
        people = np.einsum("ka,af,kf->k", kept, people, others)
        self._share = np.array([*map(share_of_people, people)]).reshape(-1, 1, 1)

    def sums(self, coefficients, power=1):
        """Slopes, and curvatures with the weights of rows to some power."""
        n_sets, n_groups, n_features = coefficients.shape
        slope = np.zeros((n_groups, n_features, n_sets))
        curvature = np.zeros((n_groups, n_sets * n_features, n_features))
        for group, block in self._rows.blocks():
            features = self._rows.features(block, n_features)
            label, total = self._rows.label[block], self._rows.total[block]
            seen = self._left_out[:, None] != self._rows.fold[block]
            seen &= self._kept[:, [group]]
            chance = expit(coefficients[:, group] @ features)
            slope[group] += features @ ((label - chance) * total * seen).T
            weight = chance * (1 - chance) * total**power * seen
            weighed = (weight[:, None] * features).reshape(-1, len(total))
            curvature[group] += weighed @ features.T
        curvature = curvature.reshape(n_groups, n_sets, n_features, n_features)
        slope, curvature = slope.transpose(2, 0, 1), curvature.swapaxes(0, 1)
        return self.shared(slope, curvature, power)

    def shared(self, slope, curvature, power=1):
        """Slopes and curvatures of at most so many people; see `share_of_people`."""
        return slope * self._share, curvature * self._share[..., None] ** power

    def reach(self, step):
        """Greatest change of a row's logit in each set."""
        greatest = np.zeros(len(step))
        for group, block in self._rows.blocks():
            change = step[:, group] @ self._rows.features(block, step.shape[2])
            change = np.abs(change[:, self._rows.total[block] > 0])
            np.maximum(greatest, change.max(axis=1, initial=0.0), out=greatest)
        return greatest


def _of_folds(rows, sums):
    """Sums over groups' rows without each fold, given those of (n_groups, n_folds)."""
    left = (sums.sum(axis=1, keepdims=True) - sums).swapaxes(0, 1)
    return left * rows.kept.reshape(*rows.kept.shape, *[1] * (left.ndim - 2))


def fold_weights(rows):
    """Learn weights without each fold.

    Parameters
    ----------
    rows : FoldedRows

    Returns
    -------
    list of LogitWeights
        Each has weights of all groups, of which those not kept are meaningless.
    """
    spreads, n_columns = _spreads(rows), rows.n_members + rows.n_heads
    weights = np.full((*rows.kept.shape, n_columns), 1 / n_columns)
    labels = _of_folds(rows, rows.labels).sum(axis=1)
    # Without a fold there may be one label, of which nothing can be learnt.
    is_known = (spreads[:-1, 0] > 0) & (labels > 0).all(axis=1)
    disagree = is_known & (spreads[:-1, -1] > ROUNDING * spreads[:-1, 0])
    modelled = np.flatnonzero(is_known) if rows.n_heads else np.flatnonzero(disagree)
    everyone, alike = _fit(rows, modelled, spreads[:, : rows.n_alike - 1])
    differ = np.flatnonzero(disagree)
    differ = differ[_differ(rows, differ, alike[disagree[modelled]])]
    _, different = _fit(rows, differ, spreads, everyone)
    if rows.n_heads:
        weights[modelled] = _weights(rows, alike)
    else:
        for k in np.setdiff1d(np.flatnonzero(is_known), differ):
            weights[k, _turned(rows, k)] *= -1
    weights[differ] = _weights(rows, different)
    return [LogitWeights(of_fold) for of_fold in weights]


def _weights(rows, coefficients):
    """Weights of the logits, given the coefficients of the first of their sums."""
    directions = np.hstack(directions_of(rows.n_members, rows.n_heads))
    return weights_of(coefficients, directions[:, : coefficients.shape[-1] - 1])


def _turned(rows, k):
    """Groups that the members' mean ranks in reverse, without a fold."""
    weight = rows.total * ((rows.fold != k) & rows.kept[k][rows.group])
    # The last groups may have no rows.
    return np.flatnonzero(ranked_in_reverse(rows.mean, rows.group, weight, rows.label))


def _spreads(rows):
    """Root of the mean squared distance from the mean, of what a feature belongs to.

    Returns
    -------
    ndarray of shape (n_folds + 1, n_features - 1)
        Without each fold, last that of all rows; of all features but the first.
    """
    n_features = rows.n_alike + rows.n_members
    moments = np.zeros((*rows.kept.T.shape, 1 + 2 * n_features))
    # What does not vary is to have a spread of zero.
    origin = rows.features(slice(0, 1), n_features)
    for group, fold, block in rows.blocks_of_folds():
        away, total = rows.features(block, n_features) - origin, rows.total[block]
        sums = [[total.sum()], away @ total, away**2 @ total]
        moments[group, fold] += np.concatenate(sums)
    of_folds = _of_folds(rows, moments).sum(axis=1)
    of_all = moments[rows.kept.any(axis=0)].sum(axis=(0, 1))
    size, first, second = np.split(np.vstack([of_folds, of_all]), [1, -n_features], 1)
    size[size == 0] = 1.0
    squared = (second / size - (first / size) ** 2).clip(min=0.0)
    for part in (slice(2, rows.n_alike), slice(rows.n_alike, None)):
        squared[:, part] = squared[:, part].sum(axis=1, keepdims=True)
    return np.sqrt(squared[:, 1:])


def _fit(rows, folds, spreads, start=None):
    """Coefficients of all rows, roughly, and those without each of some folds.

    Parameters
    ----------
    rows : FoldedRows
    folds : ndarray of int
    spreads : ndarray of shape (n_folds + 1, n_features - 1)
        Of the features but the first.
    start : Estimates, default=None
        Those for all rows with the first of the features.

    Returns
    -------
    Estimates, ndarray of shape (len(folds), n_groups, n_features)
    """
    n_features = spreads.shape[1] + 1
    if not len(folds):
        return start, np.empty((0, rows.kept.shape[1], n_features))
    # Heads that agree with the members have no coefficients to speak of.
    stiffness = np.where(spreads > 0, spreads, 1.0) ** 2
    everyone = rows.kept.any(axis=0)[None]
    if start is None:
        start = start_of(*rows.labels.sum(axis=1).T[:, None])
    start = fit_hierarchies(
        _WithoutFolds(rows, np.array([-1]), everyone),
        start.padded(n_features),
        stiffness=stiffness[-1:],
        rate=RATE,
        no_step=_NEAR,
    )
    without = _WithoutFolds(rows, folds, rows.kept[folds])
    found = fit_hierarchies(
        without,
        start.repeated(len(folds)),
        stiffness=stiffness[folds],
        rate=RATE,
        first=without.shared(*_sums_at(rows, folds, start.coefficients[0])),
    )
    return start, found.coefficients


def _sums_at(rows, folds, coefficients):
    """Slopes and curvatures without some folds, all at the same coefficients."""
    n_groups, n_features = coefficients.shape
    slopes = np.zeros((n_groups, len(rows.kept), n_features))
    curvatures = np.zeros((*slopes.shape, n_features))
    for group, fold, block in rows.blocks_of_folds():
        features, total = rows.features(block, n_features), rows.total[block]
        chance = expit(coefficients[group] @ features)
        slopes[group, fold] += features @ ((rows.label[block] - chance) * total)
        weight = chance * (1 - chance) * total
        curvatures[group, fold] += (weight * features) @ features.T
    return tuple(_of_folds(rows, sums)[folds] for sums in (slopes, curvatures))


def _differ(rows, folds, coefficients):
    """Whether members differ beyond chance, by score tests like `score_tests`."""
    n_alike = rows.n_alike
    padded = np.zeros((*coefficients.shape[:2], n_alike + rows.n_members))
    padded[..., :n_alike] = coefficients
    without = _WithoutFolds(rows, folds, rows.kept[folds])
    slope, information = without.sums(padded)
    covariance = information
    if rows.is_weighted:
        _, covariance = without.sums(padded, power=2)
    known, others = slice(n_alike), slice(n_alike, None)
    inverse = np.linalg.pinv(information[..., known, known], hermitian=True)
    explained = inverse @ information[..., known, others]
    # The deviations less their regression on the other features.
    left = np.zeros((*explained.shape[:2], padded.shape[2], rows.n_members))
    left[..., known, :], left[..., others, :] = -explained, np.eye(rows.n_members)
    slopes = np.einsum("kgpm,kgp->kgm", left, slope)
    covariances = left.swapaxes(2, 3) @ covariance @ left
    tests = [chi_squares(*of_fold) for of_fold in zip(slopes, covariances)]
    return np.array([*map(are_beyond_chance, tests)], dtype=bool)
