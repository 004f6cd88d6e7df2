"""Fair rules on one score of each person."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from ._cells import common_ranks, count_scores
from ._level_rules import LevelRule, RuleTable
from ._regions import threshold_regions
from ._smoothing import smooth_counts


@dataclass(frozen=True)
class ScoreRule:
    """A rule that never selects a smaller score of a group rather than a greater.

    Parameters
    ----------
    rule : LevelRule
    thresholds : tuple of ndarray of shape (n_levels - 1,)
        One array per group: rising scores that part its levels, the first of which
        has the greatest scores.
    """

    rule: LevelRule
    thresholds: tuple[np.ndarray, ...]

    @classmethod
    def learn(cls, scores, group, label, weight, *, smooth=False):
        """Learn what a rule needs to know, whatever the constraint.

        Parameters
        ----------
        scores : ndarray of shape (n_samples,)
        group : ndarray of int of shape (n_samples,)
            Codes without gaps.
        label : ndarray of bool of shape (n_samples,)
        weight : ndarray of shape (n_samples,), or None
        smooth : bool, default=False
            Whether to count labels and people as `smooth_counts` does.

        Returns
        -------
        callable
            Takes a problem and returns a rule.
        """
        counts, shown = count_scores(scores, group, label, weight)
        if smooth:
            people = 1.0 if weight is None else weight.sum() / np.sum(weight**2)
            # Groups learn from each other, so equal scores need equal ranks.
            rank = common_ranks(shown)
            distinct = np.empty(rank.max() + 1)
            distinct[rank] = shown
            counts = smooth_counts(replace(counts, cell=rank), people)
            shown = distinct[counts.cell]
        regions, level = threshold_regions(counts)
        starts = np.searchsorted(counts.group, np.arange(counts.n_groups + 1))
        thresholds = []
        for start, stop in pairwise(starts):
            last = start + np.flatnonzero(np.diff(level[start:stop]))
            below, above = shown[last], shown[last + 1]
            halfway = below / 2 + above / 2
            # Between neighbouring doubles there is nothing halfway.
            thresholds.append(np.where(halfway > below, halfway, above))
        thresholds = tuple(thresholds)
        return lambda problem: cls(LevelRule.solve(regions, problem), thresholds)

    @property
    def confusion(self):
        """Weight of each group's people by class and decision, (n_groups, 2, 2)."""
        return self.rule.confusion

    @property
    def regions(self):
        """Region of each group."""
        return self.rule.regions

    @property
    def probability(self):
        """Probability of selection of each calibrated cell."""
        return np.concatenate(self.rule.by_level)

    def table(self, names):
        """Cells are half-open intervals of the score, such as "[-0.31, 1.2)"."""
        total = sum(region.negatives + region.positives for region in self.rule.regions)
        groups, cells, masses = [], [], []
        for group, (region, inner) in enumerate(
            zip(self.rule.regions, self.thresholds)
        ):
            ends = np.concatenate([[-np.inf], inner, [np.inf]])[::-1]
            cells += [f"[{low:.6g}, {high:.6g})" for high, low in pairwise(ends)]
            groups.append(np.full(len(region.precision), group))
            weight = region.negatives + region.positives
            masses.append(np.diff(region.share) * weight / total)
        return RuleTable(
            np.concatenate(groups),
            np.array(cells),
            np.concatenate(masses),
            np.concatenate(self.rule.by_level),
        )

    def selection_probability(self, scores, group):
        """Probability of selection of rows of known groups.

        Parameters
        ----------
        scores : ndarray of shape (n_samples,) or (n_samples, n_scores)
            Of each row one score, or several.
        group : ndarray of int of shape (n_samples,)

        Returns
        -------
        ndarray of the shape of `scores`
        """
        probability = np.empty(scores.shape)
        for code in np.unique(group):
            rows = group == code
            rank = np.searchsorted(self.thresholds[code], scores[rows], side="right")
            probability[rows] = self.rule.by_level[code][::-1][rank]
        return probability
