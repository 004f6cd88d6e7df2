"""Fair rules on the votes of an ensemble's members.

Each class is one method: ``fit`` solves a problem on the votes of calibration rows,
``confusion`` holds the weight of each group's people by class and decision there,
``table`` writes the rule out, given the names of the decisions, and
``selection_probability`` applies it to rows of known groups, as an array of shape
(n_samples,). Votes are bool of shape (n_samples, n_members).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import isotonic_regression

from ._cells import (
    CellCounts,
    count_cells,
    count_votes,
    find_patterns,
    majority,
    unpack_patterns,
    vote_patterns,
)
from ._coins import class_probabilities
from ._level_rules import LevelRule, RuleTable, selection_by_precision
from ._regions import likelihood_regions
from ._weighted_votes import weighted_vote

_CHUNK = 4096


@dataclass(frozen=True)
class CellRule:
    """A rule on unordered cells, any set of which may be selected.

    Parameters
    ----------
    counts : CellCounts
    level : ndarray of int of shape (n_entries,)
        Level of each entry of `counts` within its group.
    rule : LevelRule
    """

    counts: CellCounts
    level: np.ndarray
    rule: LevelRule

    @classmethod
    def fit(cls, counts, problem):
        """Solve for the cells of a calibration set; each group needs rows."""
        regions, level = likelihood_regions(counts)
        return cls(counts, level, LevelRule.solve(regions, problem))

    @property
    def probability(self):
        """Probability of selection of each entry of `counts`."""
        probability = np.empty(len(self.level))
        for group, by_level in enumerate(self.rule.by_level):
            entries = self.counts.group == group
            probability[entries] = by_level[self.level[entries]]
        return probability

    def table(self, names):
        """Write the rule out.

        Parameters
        ----------
        names : array-like of str of shape (n_cells,)
            Name of each cell by its code.

        Returns
        -------
        RuleTable
        """
        weight = self.counts.weight.sum(axis=1)
        return RuleTable(
            self.counts.group,
            np.asarray(names)[self.counts.cell],
            weight / weight.sum(),
            self.probability,
        )

    def selection_probability(self, group, cell, precision):
        """Probability of selection of rows.

        Parameters
        ----------
        group, cell : ndarray of int of shape (n_samples,)
        precision : ndarray of shape (n_samples,)
            Estimated share of positives, used for cells that the group lacks.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        entry = self.counts.find(group, cell)
        probability = self.probability[entry]
        unseen = np.flatnonzero(entry < 0)
        for code in np.unique(group[unseen]):
            rows = unseen[group[unseen] == code]
            probability[rows] = selection_by_precision(
                self.rule.regions[code], self.rule.by_level[code], precision[rows]
            )
        return probability


@dataclass(frozen=True)
class MajorityRule:
    """Aggregate, then post-process: cells are the majority's label.

    Parameters
    ----------
    cells : CellRule
        On cells 0 and 1.
    """

    cells: CellRule

    @classmethod
    def fit(cls, votes, problem):
        """Solve a problem on `Votes`."""
        cell = majority(votes.votes, votes.counted).astype(np.int64)
        return cls(CellRule.fit(votes.count(cell), problem))

    @property
    def confusion(self):
        """Weight of each group's people by class and decision, (n_groups, 2, 2)."""
        return self.cells.rule.confusion

    @property
    def regions(self):
        """Region of each group."""
        return self.cells.rule.regions

    @property
    def probability(self):
        """Probability of selection of each calibrated cell."""
        return self.cells.probability

    def table(self, names):
        """Cells are the majority's vote."""
        return self.cells.table(names)

    def selection_probability(self, votes, group, counted=None):
        """Probability of selection of rows of known groups."""
        cell = majority(votes, counted).astype(np.int64)
        # A group that lacks a label is a single level, whatever its precision.
        return self.cells.selection_probability(group, cell, np.zeros(len(cell)))


@dataclass(frozen=True)
class PatternRule:
    """Post-process the ensemble: cells are the vote patterns.

    A pattern that a group lacks in calibration is treated like the group's
    level of nearest precision, its own being estimated by the isotonic regression of
    the group's labels on the number of votes. Where some members do not count for a
    row, the pattern includes which ones.

    Parameters
    ----------
    patterns : ndarray of bytes of shape (n_patterns,)
        Observed patterns, packed and sorted; see `vote_patterns`.
    n_members : int
    masked : bool
        Whether patterns hold, after the votes, which of them count.
    cells : CellRule
        Cell c is pattern c.
    precision_by_votes : ndarray of shape (n_groups, n_members + 1)
        Estimated share of positives by the number of positive votes.
    """

    patterns: np.ndarray
    n_members: int
    masked: bool
    cells: CellRule
    precision_by_votes: np.ndarray

    @classmethod
    def fit(cls, votes, problem):
        """Solve a problem on `Votes`."""
        cast = counted_votes(votes.votes, votes.counted)
        patterns, cell = vote_patterns(cast)
        counts = votes.count(cell)
        n_votes = count_votes(patterns, votes.n_members)
        by_votes = count_cells(
            np.repeat(counts.group, 2),
            np.repeat(n_votes[counts.cell], 2),
            np.tile([False, True], len(counts.group)),
            counts.weight.ravel(),
        )
        return cls(
            patterns,
            votes.n_members,
            votes.counted is not None,
            CellRule.fit(counts, problem),
            _isotonic_precision(by_votes, votes.n_members),
        )

    @property
    def confusion(self):
        """Weight of each group's people by class and decision, (n_groups, 2, 2)."""
        return self.cells.rule.confusion

    @property
    def regions(self):
        """Region of each group."""
        return self.cells.rule.regions

    @property
    def probability(self):
        """Probability of selection of each calibrated cell."""
        return self.cells.probability

    def table(self, names):
        """Cells are the members' votes, such as "01101"; "-" does not count."""
        n_bits = self.n_members * (2 if self.masked else 1)
        votes, counts_here = np.split(
            unpack_patterns(self.patterns, n_bits), [self.n_members], axis=1
        )
        digits = votes.astype(np.uint8) + ord("0")
        if self.masked:
            digits[~counts_here] = ord("-")
        digits = np.ascontiguousarray(digits)
        patterns = digits.view(f"S{self.n_members}").ravel().astype(str)
        return self.cells.table(patterns)

    def selection_probability(self, votes, group, counted=None):
        """Probability of selection of rows of known groups."""
        cast = counted_votes(votes, counted)
        n_votes = cast[:, : self.n_members].sum(axis=1)
        return self.cells.selection_probability(
            group,
            find_patterns(self.patterns, cast),
            self.precision_by_votes[group, n_votes],
        )


@dataclass(frozen=True)
class MemberRules:
    """Post-process each member, then aggregate by majority.

    Each member's own label is post-processed. Members are randomised independently, and
    the expected decision is the chance that more than half of them select, or those of
    more than half of their weight.

    Parameters
    ----------
    members : tuple of CellRule of length n_members
        On cells 0 and 1, the member's label.
    counts : CellCounts
        Of the vote patterns.
    probability : ndarray of shape (n_entries,)
        Probability of selection of each entry of `counts`.
    weights : sequence of float of length n_members, default=None
        Weights of the members' decisions; None weighs them alike.
    """

    members: tuple[CellRule, ...]
    counts: CellCounts
    probability: np.ndarray
    weights: Sequence[float] | None = None

    @classmethod
    def fit(cls, votes, problem):
        """Solve a problem on `Votes`."""
        members = [
            CellRule.fit(votes.count_votes_of(s), problem)
            for s in range(votes.n_members)
        ]
        cast = counted_votes(votes.votes, votes.counted)
        patterns, cell = vote_patterns(cast)
        counts = votes.count(cell)
        rules = cls(tuple(members), counts, np.empty(0), votes.weights)
        seen = unpack_patterns(patterns, cast.shape[1])[counts.cell]
        seen, counts_here = np.split(seen, [votes.n_members], axis=1)
        probability = rules.selection_probability(
            seen, counts.group, None if votes.counted is None else counts_here
        )
        return replace(rules, probability=probability)

    @property
    def confusion(self):
        """Weight of each group's people by class and decision, (n_groups, 2, 2)."""
        return self.counts.confusion(class_probabilities(self.probability))

    def table(self, names):
        """Cells are a member and its vote, such as "3:1"."""
        return RuleTable.joined(
            member.table(np.array([f"{s}:{name}" for name in names]))
            for s, member in enumerate(self.members)
        )

    def selection_probability(self, votes, group, counted=None):
        """Probability of selection of rows of known groups."""
        # A member has two labels per group, so its probabilities fit in a small table.
        n_groups = self.counts.n_groups
        codes = np.arange(n_groups)
        table = np.stack(
            [
                [
                    member.selection_probability(
                        codes, np.full(n_groups, vote), np.zeros(n_groups)
                    )
                    for vote in (0, 1)
                ]
                for member in self.members
            ]
        )
        result = np.empty(len(votes))
        for start in range(0, len(votes), _CHUNK):
            rows = slice(start, start + _CHUNK)
            chosen = np.where(
                votes[rows], table[:, 1, group[rows]].T, table[:, 0, group[rows]].T
            )
            if self.weights is not None:
                of_class = np.stack([1.0 - chosen, chosen], axis=2)
                result[rows] = weighted_vote(of_class, self.weights)[:, 1]
            elif counted is None:
                result[rows] = majority_probability(chosen)
            else:
                result[rows] = _majority_of_counted(chosen, counted[rows])
        return result


def counted_votes(votes, counted):
    """Votes that count; where not all do, followed by whether each counts."""
    return votes if counted is None else np.hstack([votes & counted, counted])


def majority_probability(probability):
    """Chance that more than half of independent coins fall on one.

    Parameters
    ----------
    probability : ndarray of shape (n_samples, n_coins)

    Returns
    -------
    ndarray of shape (n_samples,)

    Notes
    -----
    The number of ones is Poisson-binomial. Its distribution is built up coin by coin;
    only positive terms are added, so nothing cancels.

    Examples
    --------
    >>> import numpy as np
    >>> majority_probability(np.array([[0.5, 0.5, 0.5], [1.0, 0.5, 0.0]]))
    array([0.5, 0.5])
    """
    n_samples, n_coins = probability.shape
    ones = np.zeros((n_samples, n_coins + 1))
    ones[:, 0] = 1.0
    for coin in range(n_coins):
        p = probability[:, [coin]]
        ones[:, 1 : coin + 2] = (
            ones[:, 1 : coin + 2] * (1 - p) + ones[:, : coin + 1] * p
        )
        ones[:, :1] *= 1 - p
    return ones[:, n_coins // 2 + 1 :].sum(axis=1).clip(0.0, 1.0)


def _majority_of_counted(probability, counted):
    """`majority_probability` of the coins of each row that count."""
    result = np.empty(len(probability))
    n_counted = counted.sum(axis=1)
    for n_coins in np.unique(n_counted):
        rows = n_counted == n_coins
        coins = probability[rows][counted[rows]].reshape(-1, n_coins)
        result[rows] = majority_probability(coins)
    return result


def _isotonic_precision(counts, n_members):
    """Share of positives by group and number of votes, which it never falls with."""
    n_votes = np.arange(n_members + 1)
    table = np.empty((counts.n_groups, n_members + 1))
    for group in range(counts.n_groups):
        entries = counts.group == group
        total = (counts.negatives + counts.positives)[entries].astype(float)
        fitted = isotonic_regression(
            counts.positives[entries] / total, weights=total, increasing=True
        )
        table[group] = np.interp(n_votes, counts.cell[entries], fitted.x)
    return table
