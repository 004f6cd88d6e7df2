r"""Rules that select whole levels of a group, the likelier ones first.

Notes
-----
A monotone rule of one group is a mixture of threshold rules, so its point is a mixture
of vertices of the upper boundary. It randomises the levels between the first and the
last vertex that it mixes. A point is a mixture of the vertices i..k exactly when it
lies on or above the chord from i to k, so the fewest people are randomised by the
chord of least mass that passes beneath the point.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ._rates import by_decision, unit_gains
from ._regions import Region
from ._solve import operating_points
from ._thresholds import best_thresholds, merged, thinned

# Distances below this are rounding errors: HiGHS answers to 1e-10.
_ROUNDING = 3e-10


@dataclass(frozen=True)
class LevelRule:
    """Probability of selection of each level of each group.

    Parameters
    ----------
    regions : tuple of Region of length n_groups
    fpr, tpr : ndarray of shape (n_groups,)
        Operating points.
    by_level : tuple of ndarray of shape (n_levels,)
        Probabilities, which never rise from level to level.
    """

    regions: tuple[Region, ...]
    fpr: np.ndarray
    tpr: np.ndarray
    by_level: tuple[np.ndarray, ...]

    @classmethod
    def solve(cls, regions, problem):
        """Find the best operating points and the rule that realises them."""
        fpr, tpr = operating_points(regions, problem)
        by_level = tuple(selection_by_level(*point) for point in zip(regions, fpr, tpr))
        return cls(regions, fpr, tpr, by_level)

    @classmethod
    def solve_thresholds(cls, regions, problem):
        """Find the best whole levels to select, the greatest first, in each group.

        Parameters
        ----------
        regions : tuple of Region of length n_groups
            With a level for each distinct score.
        problem : Problem

        Returns
        -------
        rule : LevelRule
        gap : float
            How much more at most other thresholds may gain.
        """
        totals = np.array([region.totals for region in regions])
        gains = unit_gains(totals.sum(axis=0), problem.objective)
        # Several constraints have so many unknowns that fewer thresholds are tried.
        is_list = len(problem.constraints) > 1
        some = [
            thinned(region) if is_list else np.arange(len(region.share))
            for region in regions
        ]
        tried = [merged(*pair) if is_list else pair[0] for pair in zip(regions, some)]
        selected, gap = best_thresholds(tried, problem, gains)
        selected = [vertices[k] for vertices, k in zip(some, selected)]
        fpr, tpr = (
            np.array([getattr(r, name)[k] for r, k in zip(regions, selected)])
            for name in ("fpr", "tpr")
        )
        by_level = tuple(
            (np.arange(len(region.precision)) < k).astype(float)
            for region, k in zip(regions, selected)
        )
        return cls(regions, fpr, tpr, by_level), gap

    @property
    def merged(self):
        """The same rule with neighbouring levels of equal probability as one."""
        first = [
            np.flatnonzero(np.diff(by_level, prepend=np.nan) != 0)
            for by_level in self.by_level
        ]
        regions = tuple(
            merged(region, np.append(start, len(region.precision)))
            for region, start in zip(self.regions, first)
        )
        by_level = tuple(p[start] for p, start in zip(self.by_level, first))
        return LevelRule(regions, self.fpr, self.tpr, by_level)

    @property
    def confusion(self):
        """Weight of each group's people by class and decision, (n_groups, 2, 2)."""
        total = np.array([region.totals for region in self.regions])
        return by_decision(total, total * np.stack([self.fpr, self.tpr], axis=1))


@dataclass(frozen=True)
class RuleTable:
    """A rule written out.

    Parameters
    ----------
    group : ndarray of int of shape (n_entries,)
    cell : sequence of str of length n_entries
    mass : ndarray of shape (n_entries,)
        Share of all calibration weight.
    probability : ndarray of shape (n_entries,) or (n_entries, n_classes)
        Of the second of two classes, or of each.
    """

    group: np.ndarray
    cell: Any
    mass: np.ndarray
    probability: np.ndarray

    @classmethod
    def joined(cls, tables):
        """Tables one after the other."""
        tables = list(tables)
        columns = "group", "cell", "mass", "probability"
        return cls(
            *(
                np.concatenate([getattr(t, column) for t in tables])
                for column in columns
            )
        )


def selection_by_level(region, fpr, tpr):
    """Probability of selection of each level, randomising the fewest people.

    Parameters
    ----------
    region : Region
    fpr, tpr : float
        A point between the diagonal and the upper boundary of the region.

    Returns
    -------
    probability : ndarray of shape (n_levels,)
        Never rises from level to level. On the upper boundary one level at most is
        strictly between 0 and 1. A point beneath the boundary mixes two threshold
        rules.

    Raises
    ------
    ValueError
        If the point is out of reach.

    Examples
    --------
    >>> from sklearn_fairsisa.fairness._cells import count_cells
    >>> from sklearn_fairsisa.fairness._regions import likelihood_regions
    >>> counts = count_cells([0] * 4, [0, 1, 1, 1], [False, True, True, False])
    >>> (region,), level = likelihood_regions(counts)
    >>> selection_by_level(region, 0.25, 0.5)
    array([0.5, 0. ])
    """
    top = float(region.upper(np.clip(fpr, 0.0, 1.0)))
    if not (-1e-9 <= fpr <= 1 + 1e-9 and fpr - 1e-9 <= tpr <= top + 1e-9):
        raise ValueError(
            f"No monotone rule reaches FPR {fpr:.6g} and TPR {tpr:.6g}: at this FPR "
            f"the group reaches TPRs from {fpr:.6g} to {top:.6g}."
        )
    fpr = min(max(fpr, 0.0), 1.0)
    tpr = min(max(tpr, fpr), top)
    if tpr >= top - _ROUNDING:
        return _on_boundary(region, fpr, tpr)
    first, last = _least_mass_chord(region, fpr, tpr)
    if last == first + 1:
        return _on_boundary(region, fpr, tpr)
    return _on_chord(region, first, last, fpr, tpr)


def selection_by_precision(region, probability, precision):
    """Probability of selection of cells without calibration rows.

    Parameters
    ----------
    region : Region
    probability : ndarray of shape (n_levels,)
        Probability of each level.
    precision : ndarray of shape (n_cells,)
        Estimated share of positives in each unseen cell.

    Returns
    -------
    ndarray of shape (n_cells,)
        The probability of the level of nearest precision, so the extended rule is
        monotone too.
    """
    ascending = region.precision[::-1]
    middle = (ascending[1:] + ascending[:-1]) / 2
    return probability[::-1][np.searchsorted(middle, precision)]


def _on_boundary(region, fpr, tpr):
    """The one rule of a boundary point: a threshold, one level split at most."""
    # Along the boundary fpr + tpr grows strictly, so it locates the point even on
    # vertical and horizontal edges.
    progress = region.fpr + region.tpr
    nearest = progress[np.argmin(np.abs(progress - (fpr + tpr)))]
    # In a light level even a rounding error of the rates looks like randomisation.
    reached = nearest if abs(nearest - (fpr + tpr)) <= 2 * _ROUNDING else fpr + tpr
    # A level may be too light to add to the sum.
    length = np.maximum(np.diff(progress), 1e-300)
    done = (reached - progress[:-1]) / length
    return snapped(done.clip(0.0, 1.0))


def _least_mass_chord(region, fpr, tpr):
    """First and last vertex of the lightest range whose chord passes beneath."""
    n_vertices = len(region.fpr)
    first = np.flatnonzero((region.fpr <= fpr) & (region.tpr <= tpr))
    # The chord from (0, 0) to (1, 1) always passes beneath.
    passes = _beneath(region, first, n_vertices - 1, fpr, tpr) | (first == 0)
    first = first[passes]
    # The boundary is concave: once it has sunk below the ray from `first` through the
    # point it stays below, so the earliest such vertex is found by bisection.
    low, high = first + 1, np.full(len(first), n_vertices - 1)
    while np.any(low < high):
        middle = (low + high) // 2
        beneath = _beneath(region, first, middle, fpr, tpr)
        high = np.where(beneath & (low < high), middle, high)
        low = np.where(beneath | (low >= high), low, middle + 1)
    lightest = np.argmin(region.share[high] - region.share[first])
    return first[lightest], high[lightest]


def _beneath(region, first, vertex, fpr, tpr):
    """Whether a vertex lies on or below the ray from `first` through the point."""
    dx, dy = fpr - region.fpr[first], tpr - region.tpr[first]
    vx = region.fpr[vertex] - region.fpr[first]
    vy = region.tpr[vertex] - region.tpr[first]
    return dx * vy - dy * vx <= 1e-12 * (dx + dy) * (vx + vy)


def _on_chord(region, first, last, fpr, tpr):
    """Mixture of the threshold at `first` and one on the edge that ends in `last`."""
    dx, dy = fpr - region.fpr[first], tpr - region.tpr[first]
    vx = region.fpr[last - 1 : last + 1] - region.fpr[first]
    vy = region.tpr[last - 1 : last + 1] - region.tpr[first]
    above, below = dx * vy - dy * vx
    split = min(above / (above - below), 1.0) if above > below else 1.0
    reach = (vx + vy) @ (1 - split, split)
    weight = min((dx + dy) / reach, 1.0)
    probability = np.zeros(len(region.precision))
    probability[:first] = 1.0
    probability[first : last - 1] = weight
    probability[last - 1] = weight * split
    return snapped(probability)


def snapped(probability):
    """Probabilities, with those within rounding of 0 or 1 set to 0 or 1."""
    probability = np.where(probability < 1e-9, 0.0, probability)
    return np.where(probability > 1 - 1e-9, 1.0, probability)
