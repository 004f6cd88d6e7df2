r"""Counts of labels along a score, smoothed by a model that groups share.

Notes
-----
Of a group with few negatives the empirical distribution of the negatives' scores is
little known, even if the group has many people. Bayes' rule knows more of it:

.. math:: P(s \mid a, Y=0) \propto P(s \mid a)\, (1 - q_a(s)),
    \qquad q_a(s) = P(Y=1 \mid s, a),

so a smooth estimate of :math:`q_a` lets all people of the group count. With u the rank
of a score among all people, in (0, 1), and :math:`x = \Phi^{-1}(u)`,

.. math::
    \operatorname{logit} q_a(s) = \alpha_a + (\beta + \beta_a)\, x
    + \sum_{m=2}^{8} (c_m + c_{am}) \sqrt 2 \cos(\pi m u) .

The cosines are the eigenfunctions of a penalty on curvature, whose eigenvalues grow as
:math:`m^4`; so are the precisions of the normal priors of :math:`c_m` and
:math:`c_{am}`.

References
----------
Qin, Zhang (1997), A goodness-of-fit test for logistic regression models based on
case-control data, Biometrika 84: the semiparametric estimate of both distributions.
"""

from dataclasses import replace

import numpy as np
from scipy.special import expit, ndtri

from ._hierarchy import fit_hierarchy

# Finer differences of a group's scores than these quantiles are not modelled.
_N_BINS = 256
_FREQUENCIES = np.arange(2, 9)
# Coefficients of about 0.3 are expected.
_RATE = 0.1


def smooth_counts(counts, people=1.0):
    """Replace each cell's own share of positives by a smooth estimate.

    Parameters
    ----------
    counts : CellCounts
        Codes order the cells, as the ranks of a score do.
    people : float, default=1.0
        Number of people that a unit of weight stands for, as evidence for differences
        between groups. Of weighted rows it is the sum of the weights over that of
        their squares.

    Returns
    -------
    CellCounts
        The same cells with the same weights, and in each group as many positives as
        before. A group of one label is returned as it is.

    Examples
    --------
    The third person of four is estimated by the score, not by its own label:

    >>> from sklearn_fairsisa.fairness._cells import count_cells
    >>> counts = count_cells([0] * 4, [0, 1, 2, 3], [False, True, False, True])
    >>> smooth_counts(counts).positives.round(2)
    array([0.17, 0.42, 0.58, 0.83])
    """
    has_both = (counts.totals > 0).all(axis=0)
    chosen = has_both[counts.group]
    if not chosen.any():
        return counts
    group = (np.cumsum(has_both) - 1)[counts.group[chosen]]
    weight = (counts.negatives + counts.positives)[chosen].astype(float)
    rank = _middle_ranks(counts.cell[chosen], weight)
    bins = group * _N_BINS + _quantile_bins(group, weight)

    def by_bin(values):
        size = _N_BINS * int(has_both.sum())
        return np.bincount(bins, values, minlength=size).reshape(-1, _N_BINS)

    total = by_bin(weight)
    filled = np.where(total > 0, total, 1.0)
    basis = _basis(
        by_bin(weight * ndtri(rank)) / filled, by_bin(weight * rank) / filled
    )
    positives = by_bin(counts.positives[chosen])
    precision = _fit_precision(basis, people * total, people * positives)
    smooth = weight * precision.ravel()[bins]
    columns = np.array([counts.negatives, counts.positives], dtype=float)
    columns[:, chosen] = weight - smooth, smooth
    return replace(counts, negatives=columns[0], positives=columns[1])


def _middle_ranks(cell, weight):
    """Share of all weight below the middle of each entry's cell, in (0, 1)."""
    mass = np.bincount(cell, weights=weight)
    return ((np.cumsum(mass) - mass / 2) / mass.sum())[cell]


def _quantile_bins(group, weight):
    """Bin of each entry, sorted by group then cell, among those of its group."""
    total = np.cumsum(weight)
    size = np.bincount(group, weights=weight)
    before = np.cumsum(size) - size
    share = (total - weight / 2 - before[group]) / size[group]
    return (share * _N_BINS).astype(np.int64).clip(0, _N_BINS - 1)


def _basis(x, u):
    """Functions of the model, of shape (n_groups, n_bins, n_functions)."""
    waves = np.sqrt(2) * np.cos(np.pi * u[..., None] * _FREQUENCIES)
    return np.concatenate([np.ones_like(x)[..., None], x[..., None], waves], axis=-1)


def _fit_precision(basis, total, positives):
    """Probability of the positive label in each bin, of shape (n_groups, n_bins)."""
    n_groups, n_bins, n_functions = basis.shape
    coefficients = fit_hierarchy(
        basis.reshape(-1, n_functions),
        np.repeat(np.arange(n_groups), n_bins),
        total.ravel(),
        positives.ravel(),
        stiffness=(_FREQUENCIES / 2.0) ** 4,
        rate=_RATE,
    )
    return expit(np.einsum("abk,ak->ab", basis, coefficients))
