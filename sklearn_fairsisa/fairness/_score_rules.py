"""Fair rules on one score of each person."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from ._cells import common_ranks, count_scores
from ._level_rules import LevelRule, RuleTable
from ._rates import score
from ._regions import Region, score_regions, threshold_regions
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
    cuts : ndarray of shape (n_groups,), default=None
        Score from which each group is selected, if nobody is decided on at random.
    optimality_gap : float, default=0.0
        How much better at most other thresholds may be.
    hull : tuple of Region, default=None
        What each group can reach, where that is not what the rule has levels of.
    """

    rule: LevelRule
    thresholds: tuple[np.ndarray, ...]
    cuts: np.ndarray | None = None
    optimality_gap: float = 0.0
    hull: tuple[Region, ...] | None = None

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

        def solve(problem):
            if problem.randomise:
                return cls(LevelRule.solve(regions, problem), thresholds)
            return cls._of_thresholds(counts, shown, starts, regions, problem)

        thresholds = []
        for start, stop in pairwise(starts):
            last = start + np.flatnonzero(np.diff(level[start:stop]))
            thresholds.append(_between(shown[last], shown[last + 1]))
        thresholds = tuple(thresholds)
        return solve

    @classmethod
    def _of_thresholds(cls, counts, shown, starts, regions, problem):
        """Find a threshold for each group, among all scores."""
        rule, gap = LevelRule.solve_thresholds(score_regions(counts), problem)
        parts = [shown[start:stop] for start, stop in pairwise(starts)]
        cuts = []
        for scores, by_level in zip(parts, rule.by_level):
            k = len(scores) - int(by_level.sum())
            # Beyond the scores, where all are selected or none are.
            ends = np.concatenate([[scores[0] - 2], scores, [scores[-1] + 2]])
            cuts.append(_between(ends[k], ends[k + 1]))
        if len(problem.constraints) > 1:
            # Of all thresholds, and all lotteries between them.
            best = LevelRule.solve(regions, problem)
            gap = abs(
                score(problem.objective, best.confusion)
                - score(problem.objective, rule.confusion)
            )
        # Selected or not is all that is kept of the scores.
        inner = [0 < by_level.sum() < len(by_level) for by_level in rule.by_level]
        thresholds = tuple(np.array([c][: int(i)]) for c, i in zip(cuts, inner))
        return cls(rule.merged, thresholds, np.array(cuts), float(gap), regions)

    @property
    def confusion(self):
        """Weight of each group's people by class and decision, (n_groups, 2, 2)."""
        return self.rule.confusion

    @property
    def regions(self):
        """Region of each group."""
        return self.rule.regions if self.hull is None else self.hull

    @property
    def probability(self):
        """Probability of selection of each calibrated cell."""
        return np.concatenate(self.rule.by_level)

    def table(self, names):
        """Cells are half-open intervals of the score, such as "[-0.31, 1.2)".

        Neighbouring levels of equal probability are one.
        """
        total = sum(region.negatives + region.positives for region in self.rule.regions)
        groups, cells, masses, probabilities = [], [], [], []
        for group, (region, inner, by_level) in enumerate(
            zip(self.rule.regions, self.thresholds, self.rule.by_level)
        ):
            first = np.flatnonzero(np.diff(by_level, prepend=np.nan) != 0)
            ends = np.concatenate([[-np.inf], inner, [np.inf]])[::-1]
            ends = ends[np.append(first, len(by_level))]
            cells += [f"[{low:.6g}, {high:.6g})" for high, low in pairwise(ends)]
            groups.append(np.full(len(first), group))
            weight = region.negatives + region.positives
            shares = region.share[np.append(first, len(by_level))]
            masses.append(np.diff(shares) * weight / total)
            probabilities.append(by_level[first])
        return RuleTable(
            np.concatenate(groups),
            np.array(cells),
            np.concatenate(masses),
            np.concatenate(probabilities),
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
        if self.cuts is not None:
            return (self.margin(scores, group) >= 0).astype(float)
        probability = np.empty(scores.shape)
        for code in np.unique(group):
            rows = group == code
            rank = np.searchsorted(self.thresholds[code], scores[rows], side="right")
            probability[rows] = self.rule.by_level[code][::-1][rank]
        return probability

    def margin(self, scores, group):
        """How far scores lie above the threshold of their group."""
        return (scores.T - self.cuts[group]).T


def _between(below, above):
    """Scores that part neighbouring ones: halfway, or the greater."""
    halfway = below / 2 + above / 2
    # Between neighbouring doubles there is nothing halfway.
    return np.where(halfway > below, halfway, above)
