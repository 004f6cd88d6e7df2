r"""Counts of labels along a score, smoothed by models that groups share.

Notes
-----
The distributions of a group's scores, given their labels, follow from two factors:

.. math:: P(s \mid a, Y=1) \propto P(s \mid a)\, q_a(s),
    \qquad q_a(s) = P(Y=1 \mid s, a).

*Labels.* Of a group with few negatives the empirical distribution of the negatives'
scores is uncertain, even if the group has many people. A smooth estimate of
:math:`q_a(s)` lets all people of the group count. With u the rank of a score among all
people, in (0, 1), and :math:`x = \Phi^{-1}(u)`,

.. math::
    \operatorname{logit} q_a(s) = \alpha_a + (\beta + \beta_a)\, x
    + \sum_{m=2}^{8} (c_m + c_{am}) \sqrt 2 \cos(\pi m u) .

The cosines are the eigenfunctions of a penalty on curvature, whose eigenvalues grow as
:math:`m^4`; so are the precisions of the normal priors of :math:`c_m` and
:math:`c_{am}`.

*Scores.* Of a group with few people :math:`P(s \mid a)` is little known as well. If
only its base rate :math:`\pi_a` set it apart, so that a common threshold gave it equal
odds, it would be

.. math::
    P_0(s \mid a) = \pi_a P(s \mid Y=1) + (1 - \pi_a) P(s \mid Y=0)
    = P(s) \left( \pi_a \frac{q(s)}{\pi}
    + (1 - \pi_a) \frac{1 - q(s)}{1 - \pi} \right) ,

where what has no index is of all people. How it departs from that is seen in the odds
of being in the group, which are modelled by the same functions of s beside the known
:math:`\log P_0(s \mid a) / P(s)`. The model weighs as much as `_MODEL_PEOPLE` people
against those of the group.

*No difference.* Where groups do not differ more than by chance in how scores spread
given the label, a common threshold is fair, and anything else is noise. Each group's
scores are therefore shrunk towards those of all people of the label, as far as the
evidence of a difference is weak. Where rows are many, the models give way to counts.

References
----------
Qin, Zhang (1997), A goodness-of-fit test for logistic regression models based on
case-control data, Biometrika 84: distributions whose ratio a logistic model gives.
"""

from dataclasses import replace

import numpy as np
from scipy.special import expit, ndtri

from ._cells import CellCounts
from ._hierarchy import fit_hierarchy
from ._rates import sum_by

# Finer differences of scores than these quantiles are not modelled.
_N_BINS = 256
_FREQUENCIES = np.arange(2, 9)
# Coefficients of about 0.3 are expected.
_RATE = 0.1
_MODEL_PEOPLE = 300.0
# Frequencies by which groups are compared, and standard errors that are chance.
_COMPARED, _CAUTION = (1, 2), 3.0
# People of a group and label beyond which more and more are counted as they are.
_MANY_PEOPLE = 4000.0


def smooth_counts(counts, people=1.0):
    """Replace counts by what a smooth model expects.

    Parameters
    ----------
    counts : CellCounts
        Codes order the cells, alike in all groups, as the ranks of a score do.
    people : float, default=1.0
        Number of people that a unit of weight stands for, as evidence for differences
        between groups. Of weighted rows it is the sum of the weights over that of
        their squares.

    Returns
    -------
    CellCounts
        In each group as many negatives and as many positives as before, some of them
        in cells that only other groups showed, and cells may be left out. A group of
        one label stays as it is.

    Examples
    --------
    The third person of four is estimated by the score, not by its own label:

    >>> from sklearn_fairsisa.fairness._cells import count_cells
    >>> counts = count_cells([0] * 4, [0, 1, 2, 3], [False, True, False, True])
    >>> smooth_counts(counts).positives.round(2)
    array([0.17, 0.42, 0.58, 0.83])
    """
    has_both = (counts.totals > 0).all(axis=1)
    if not has_both.any():
        return counts
    if has_both.all():
        return _smooth(counts, people)
    chosen = has_both[counts.group]
    smooth = _smooth(_entries(counts, chosen, np.cumsum(has_both) - 1), people)
    smooth = _entries(smooth, slice(None), np.flatnonzero(has_both))
    return smooth + _entries(counts, ~chosen, np.arange(counts.n_groups))


def _entries(counts, chosen, code):
    """Some entries of counts, whose groups are given other codes."""
    return CellCounts(
        code[counts.group[chosen]],
        counts.cell[chosen],
        counts.weight[chosen],
        int(code.max()) + 1,
    )


def _scaled(counts, factor):
    """Counts times factors of each group, of shape (n_groups, 1) or (n_groups, 2)."""
    return replace(counts, weight=counts.weight * factor[counts.group])


def _by_class(weight, share):
    """Weights of the negatives and of the positives, of which these are the share."""
    return np.stack([(weight * (1 - share)).ravel(), (weight * share).ravel()], axis=1)


def _smooth(counts, people):
    """Smooth the counts of groups that all have both labels."""
    weight = (counts.negatives + counts.positives).astype(float)
    mass = np.bincount(counts.cell, weights=weight)
    rank = (np.cumsum(mass) - mass / 2) / mass.sum()
    coefficients, share = _fit_labels(counts, weight, rank[counts.cell], people)
    smooth = replace(counts, weight=_by_class(weight, share))
    # A single group has no other to learn its scores from.
    if counts.n_groups > 1:
        cell, in_bin = _grid(counts, weight, np.flatnonzero(mass), rank)
        expected = _expect(counts, cell, rank[cell], in_bin, coefficients, people)
        own = people * in_bin.sum(axis=1, keepdims=True)
        lent = _MODEL_PEOPLE / (_MODEL_PEOPLE + own)
        smooth = _scaled(smooth, 1 - lent) + _scaled(expected, lent)
        smooth = _scaled(smooth, counts.totals / smooth.totals)
        same = _sameness(counts, people)
        smooth = _scaled(smooth, 1 - same) + _scaled(_pooled(smooth, cell), same)
    smooth = _scaled(smooth, counts.totals / smooth.totals)
    counted = (1 - _MANY_PEOPLE / (people * counts.totals)).clip(min=0.0)
    if not counted.any():
        return smooth
    return _scaled(smooth, 1 - counted) + _scaled(counts, counted)


def _sameness(counts, people):
    r"""How far each group's scores, given the label, are those of all, in [0, 1].

    Notes
    -----
    With u the rank of a score among all people of its label, the means over the n
    people of a group of :math:`f_m = \sqrt 2 \cos \pi m u` have a variance of 1/n if
    groups do not differ, and of :math:`1/n + \tau_m^2` if they do. As between the
    studies of a meta-analysis, :math:`\tau_m^2` is estimated by moments, from both
    labels; here less what chance may add. The greatest of them counts, and the share is
    that of 1/n.
    """
    mass = sum_by(counts.cell, counts.weight, int(counts.cell.max()) + 1)
    rank = ((np.cumsum(mass, axis=0) - mass / 2) / mass.sum(axis=0))[counts.cell]
    size = people * counts.totals
    n_free = 2 * (counts.n_groups - 1)
    chance = n_free + _CAUTION * np.sqrt(2 * n_free)
    spread = size * (1 - size / size.sum(axis=0))
    variance = 0.0
    for m in _COMPARED:
        wave = np.sqrt(2) * np.cos(np.pi * m * rank)
        mean = sum_by(counts.group, counts.weight * wave, counts.n_groups)
        mean /= counts.totals
        found = (np.sum(size * mean**2) - chance) / spread.sum()
        variance = max(variance, found)
    return 1 / (1 + size * variance)


def _pooled(counts, cell):
    """Counts of each label spread in each group as in all, over some cells."""
    nearest = np.searchsorted(cell, counts.cell).clip(max=len(cell) - 1)
    spread = sum_by(nearest, counts.weight, len(cell))
    spread /= spread.sum(axis=0)
    return CellCounts(
        np.repeat(np.arange(counts.n_groups), len(cell)),
        np.tile(cell, counts.n_groups),
        (counts.totals[:, None, :] * spread).reshape(-1, 2),
        counts.n_groups,
    )


def _fit_labels(counts, weight, rank, people):
    """Coefficients of the groups' labels, and each entry's share of positives."""
    shape = counts.n_groups, _N_BINS
    bins = np.ravel_multi_index(
        (counts.group, _quantile_bins(counts.group, weight)), shape
    )

    def by_bin(values):
        return np.bincount(bins, values, minlength=np.prod(shape)).reshape(shape)

    total = by_bin(weight)
    filled = np.where(total > 0, total, 1.0)
    basis = _basis(
        by_bin(weight * ndtri(rank)) / filled, by_bin(weight * rank) / filled
    )
    coefficients = _fit(basis, people * total, people * by_bin(counts.positives))
    share = expit(np.einsum("abk,ak->ab", basis, coefficients))
    return coefficients, share.ravel()[bins]


def _quantile_bins(group, weight):
    """Bin of each entry, sorted by group then cell, among those of its group."""
    total = np.cumsum(weight)
    size = np.bincount(group, weights=weight)
    before = np.cumsum(size) - size
    share = (total - weight / 2 - before[group]) / size[group]
    return (share * _N_BINS).astype(np.int64).clip(0, _N_BINS - 1)


def _grid(counts, weight, seen, rank):
    """Cells that stand for bins of all people, and each group's weight in the bins."""
    start = np.flatnonzero(np.diff((rank[seen] * _N_BINS).astype(int), prepend=-1))
    stop = np.append(start[1:], len(seen))
    bins = np.searchsorted(seen[start], counts.cell, side="right") - 1
    shape = counts.n_groups, len(start)
    in_bin = np.bincount(
        np.ravel_multi_index((counts.group, bins), shape),
        weights=weight,
        minlength=np.prod(shape),
    )
    return seen[(start + stop - 1) // 2], in_bin.reshape(shape)


def _expect(counts, cell, rank, in_bin, coefficients, people):
    """Counts that both models together expect in the cells of a grid."""
    basis = _basis(ndtri(rank), rank)
    chance = expit(basis @ coefficients.T).T
    mass, size = in_bin.sum(axis=0), in_bin.sum(axis=1, keepdims=True)
    of_all = (size * chance).sum(axis=0) / size.sum()
    base_rate = mass @ of_all / mass.sum()
    own_rate = counts.totals[:, [1]] / size
    known = np.log(
        own_rate * of_all / base_rate + (1 - own_rate) * (1 - of_all) / (1 - base_rate)
    )
    departures = _fit(
        np.broadcast_to(basis, (*size.shape[:1], *basis.shape)),
        np.broadcast_to(people * mass, in_bin.shape),
        people * in_bin,
        known,
    )
    density = mass * expit(departures @ basis.T + known)
    density /= density.sum(axis=1, keepdims=True)
    return CellCounts(
        np.repeat(np.arange(counts.n_groups), len(cell)),
        np.tile(cell, counts.n_groups),
        _by_class(size * density, chance),
        counts.n_groups,
    )


def _basis(x, u):
    """Functions of the models, of shape (..., n_functions)."""
    waves = np.sqrt(2) * np.cos(np.pi * u[..., None] * _FREQUENCIES)
    return np.concatenate([np.ones_like(x)[..., None], x[..., None], waves], axis=-1)


def _fit(basis, total, positives, offset=0.0):
    """Coefficients of each group, from arrays of shape (n_groups, n_bins, ...)."""
    n_groups, n_bins, n_functions = basis.shape
    return fit_hierarchy(
        basis.reshape(-1, n_functions),
        np.repeat(np.arange(n_groups), n_bins),
        total.ravel(),
        positives.ravel(),
        stiffness=(_FREQUENCIES / 2.0) ** 4,
        rate=_RATE,
        offset=np.ravel(offset),
    )
