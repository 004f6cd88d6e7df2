r"""Operating points that each group can reach.

Notes
-----
Write :math:`u_{ac} = P(c \mid A=a, Y=0)` and :math:`v_{ac} = P(c \mid A=a, Y=1)`. A
rule that selects cell c of group a with probability :math:`p_{ac}` has
:math:`FPR_a = \sum_c p_{ac} u_{ac}` and :math:`TPR_a = \sum_c p_{ac} v_{ac}`. As p runs
through the unit cube, the point runs through a zonotope, the sum of the segments
:math:`[0, (u_{ac}, v_{ac})]`. Its upper boundary lays these segments end to end in
order of falling likelihood ratio v/u.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.optimize import isotonic_regression

from ._rates import by_decision


@dataclass(frozen=True)
class Region:
    """Points that the monotone rules of one group reach.

    Parameters
    ----------
    fpr, tpr : ndarray of shape (n_levels + 1,)
        Vertices of the upper boundary, from (0, 0) to (1, 1). Level k leads from
        vertex k to vertex k + 1.
    share : ndarray of shape (n_levels + 1,)
        Share of the group's people selected at each vertex, from 0 to 1.
    precision : ndarray of shape (n_levels,)
        Share of positives among the people of each level. It falls from level to
        level, as the likelihood ratio does.
    negatives, positives : float
        Weight of the group's negatives and positives.

    Notes
    -----
    The region below the upper boundary is cut at the diagonal: rules that never
    reject the likelier reach nothing beneath it. Where a group lacks negatives its FPR
    is undefined and `fpr` holds `share`, so that the group is one level on the
    diagonal; likewise `tpr` where it lacks positives.
    """

    fpr: np.ndarray
    tpr: np.ndarray
    share: np.ndarray
    precision: np.ndarray
    negatives: float
    positives: float

    @property
    def totals(self):
        """Weight of the negatives and of the positives."""
        return self.negatives, self.positives

    @property
    def confusion(self):
        """Weight by class and decision at each vertex, (n_levels + 1, 2, 2)."""
        total = np.array(self.totals)
        return by_decision(total, total * np.stack([self.fpr, self.tpr], axis=1))

    def upper(self, fpr):
        """Greatest true positive rate at each false positive rate."""
        # A first level without negatives is a vertical edge, whose top counts.
        start = np.searchsorted(self.fpr, 0.0, side="right") - 1
        return np.interp(fpr, self.fpr[start:], self.tpr[start:])


def likelihood_regions(counts):
    """Region of each group when any set of cells may be selected.

    Cells of equal likelihood ratio are one level: distinguishing them gains nothing.

    Parameters
    ----------
    counts : CellCounts
        Each group needs rows.

    Returns
    -------
    regions : tuple of Region of length n_groups
    level : ndarray of int of shape (n_entries,)
        Level of each entry of `counts` within its group.

    Raises
    ------
    ValueError
        If a group has no rows.
    """
    precision = counts.positives / (counts.negatives + counts.positives)
    order = np.lexsort((-precision, counts.group))
    same_group = np.diff(counts.group[order]) == 0
    new_level = np.append(True, ~(same_group & (np.diff(precision[order]) == 0)))
    block = np.cumsum(new_level) - 1
    return _regions(counts, order, block)


def threshold_regions(counts):
    """Region of each group when a greater cell code must not be selected less.

    This is the area under the concave hull of the ROC curve. Neighbouring cells
    between two vertices of the hull are one level.

    Parameters
    ----------
    counts : CellCounts
        Codes order the cells, as the ranks of a score do. Each group needs rows.

    Returns
    -------
    regions : tuple of Region of length n_groups
    level : ndarray of int of shape (n_entries,)
        Level of each entry of `counts` within its group.

    Raises
    ------
    ValueError
        If a group has no rows.
    """
    weight = (counts.negatives + counts.positives).astype(float)
    precision = counts.positives / weight
    starts = np.searchsorted(counts.group, np.arange(counts.n_groups + 1))
    # Entries are sorted by group, then cell: turn each group's around.
    order = (starts[:-1] + starts[1:] - 1)[counts.group] - np.arange(len(weight))
    new_level = np.zeros(len(order), dtype=bool)
    for start, stop in pairwise(starts):
        if start < stop:
            rows = order[start:stop]
            # The hull of the ROC curve is the isotonic fit of the labels.
            pooled = isotonic_regression(
                precision[rows], weights=weight[rows], increasing=False
            )
            new_level[start + pooled.blocks[:-1]] = True
    return _regions(counts, order, np.cumsum(new_level) - 1)


def score_regions(counts):
    """Region of each group with a level for each cell, the greatest first.

    Parameters
    ----------
    counts : CellCounts
        Codes order the cells. Each group needs rows.

    Returns
    -------
    tuple of Region of length n_groups
    """
    starts = np.searchsorted(counts.group, np.arange(counts.n_groups + 1))
    n_entries = len(counts.group)
    order = (starts[:-1] + starts[1:] - 1)[counts.group] - np.arange(n_entries)
    return _regions(counts, order, np.arange(n_entries))[0]


def _regions(counts, order, block):
    """Regions from entries in falling order, `block` numbering the levels."""
    empty = np.setdiff1d(np.arange(counts.n_groups), counts.group)
    if len(empty):
        raise ValueError(
            f"Groups {empty.tolist()} of {counts.n_groups} have no rows of positive "
            "weight, so there is nothing they can reach. Leave them out."
        )
    n_levels = int(block[-1]) + 1 if len(block) else 0
    sums = [
        np.bincount(block, weights=column[order], minlength=n_levels)
        for column in (counts.negatives, counts.positives)
    ]
    first = np.searchsorted(block, np.arange(n_levels))
    group_of_level = counts.group[order][first]
    starts = np.searchsorted(group_of_level, np.arange(counts.n_groups + 1))
    regions = []
    for start, stop in pairwise(starts):
        negatives, positives = (column[start:stop] for column in sums)
        share = _normalised_cumsum(negatives + positives)
        regions.append(
            Region(
                fpr=_normalised_cumsum(negatives) if negatives.any() else share,
                tpr=_normalised_cumsum(positives) if positives.any() else share,
                share=share,
                precision=positives / (negatives + positives),
                negatives=float(negatives.sum()),
                positives=float(positives.sum()),
            )
        )
    level = np.empty(len(order), dtype=np.int64)
    level[order] = block - starts[group_of_level[block]]
    return tuple(regions), level


def _normalised_cumsum(values):
    total = np.cumsum(values)
    # Dividing by the last sum itself makes the curve end in exactly 1.
    return np.concatenate([[0.0], total / total[-1]])
