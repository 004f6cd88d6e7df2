"""Fair rules on the members' votes for more than two classes.

The classes are used as those of `_vote_rules`. Votes are class codes, int of shape
(n_samples, n_members), confusion matrices have the shape (n_groups, n_classes,
n_classes), and probabilities (n_samples, n_classes).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import comb

import numpy as np

from ._cells import CellCounts
from ._level_rules import RuleTable
from ._mixtures import solve_cells
from ._weighted_votes import MAX_TALLIES, weighted_vote

_CHUNK = 4096


@dataclass(frozen=True)
class CellDecisions:
    """Probability of each decision in each (group, cell) of a calibration set.

    Parameters
    ----------
    counts : CellCounts
    probability : ndarray of shape (n_entries, n_classes)
    """

    counts: CellCounts
    probability: np.ndarray

    @classmethod
    def fit(cls, counts, problem):
        """Solve for the cells of a calibration set."""
        return cls(counts, solve_cells(counts, problem))

    @property
    def confusion(self):
        """Confusion matrix of each group, (n_groups, n_classes, n_classes)."""
        return self.counts.confusion(self.probability)

    def table(self, names):
        """Write the rule out.

        Parameters
        ----------
        names : list of str of length n_cells
            Name of each cell by its code.

        Returns
        -------
        RuleTable
        """
        mass = self.counts.weight.sum(axis=1)
        return RuleTable(
            self.counts.group,
            [names[cell] for cell in self.counts.cell],
            mass / mass.sum(),
            self.probability,
        )

    def by_label(self, group, label):
        """Probabilities where cells are labels; labels new to a group stay.

        Parameters
        ----------
        group, label : ndarray of int of shape (n_samples,)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        entry = self.counts.find(group, label)
        as_predicted = np.eye(self.probability.shape[1])[label]
        return np.where(entry[:, None] >= 0, self.probability[entry], as_predicted)


@dataclass(frozen=True)
class PluralityRule:
    """Aggregate, then post-process: cells are the class with most votes.

    A class that a group lacks in calibration is decided as the members predict.

    Parameters
    ----------
    cells : CellDecisions
        On class codes.
    """

    cells: CellDecisions

    @classmethod
    def fit(cls, votes, problem):
        """Solve a problem on `Votes`."""
        cell = plurality(votes.votes, votes.n_classes, votes.counted)
        return cls(CellDecisions.fit(votes.count(cell), problem))

    @property
    def confusion(self):
        """Confusion matrix of each group."""
        return self.cells.confusion

    @property
    def probability(self):
        """Probabilities of each calibrated cell."""
        return self.cells.probability

    def table(self, names):
        """Cells are class names, which the plurality voted for."""
        return self.cells.table(names)

    def selection_probability(self, votes, group, counted=None):
        """Probabilities of rows of known groups."""
        n_classes = self.probability.shape[1]
        return self.cells.by_label(group, plurality(votes, n_classes, counted))


@dataclass(frozen=True)
class LabelPatternRule:
    """Post-process the ensemble: cells are the patterns of all members' votes.

    A pattern that a group lacks in calibration is treated like the group's
    pattern that agrees with it in most votes, of several the heaviest. Where some
    members do not count for a row, the pattern includes which ones.

    Parameters
    ----------
    patterns : ndarray of int of shape (n_patterns, n_members)
        Observed patterns, sorted; n_classes stands for a vote that does not count.
    cells : CellDecisions
        Cell c is pattern c.
    """

    patterns: np.ndarray
    cells: CellDecisions

    @classmethod
    def fit(cls, votes, problem):
        """Solve a problem on `Votes`."""
        cast = _counted_votes(votes.votes, votes.n_classes, votes.counted)
        patterns, cell = np.unique(cast, axis=0, return_inverse=True)
        counts = votes.count(cell.ravel())
        return cls(patterns, CellDecisions.fit(counts, problem))

    @property
    def confusion(self):
        """Confusion matrix of each group."""
        return self.cells.confusion

    @property
    def probability(self):
        """Probabilities of each calibrated cell."""
        return self.cells.probability

    def table(self, names):
        """Cells are the members' votes, such as "cat|cat|dog"; "-" does not count."""
        names = np.asarray([*names, "-"], dtype=object)
        return self.cells.table(["|".join(names[votes]) for votes in self.patterns])

    def selection_probability(self, votes, group, counted=None):
        """Probabilities of rows of known groups."""
        votes = _counted_votes(votes, self.n_classes, counted)
        n_known = len(self.patterns)
        # Equal rows get equal codes, in the order of the sorted patterns.
        seen, code = np.unique(
            np.concatenate([self.patterns, votes]), axis=0, return_inverse=True
        )
        position = np.full(len(seen), -1)
        position[code.ravel()[:n_known]] = np.arange(n_known)
        entry = self.cells.counts.find(group, position[code.ravel()[n_known:]])
        new = np.flatnonzero(entry < 0)
        for a in np.unique(group[new]):
            rows = new[group[new] == a]
            entry[rows] = self._nearest(votes[rows], a)
        return self.probability[entry]

    def _nearest(self, votes, group):
        counts = self.cells.counts
        entries = np.flatnonzero(counts.group == group)
        heavy_first = np.argsort(-counts.weight[entries].sum(axis=1), kind="stable")
        entries = entries[heavy_first]
        known = _indicators(self.patterns[counts.cell[entries]], self.n_classes)
        nearest = np.empty(len(votes), dtype=np.int64)
        for start in range(0, len(votes), _CHUNK):
            rows = slice(start, start + _CHUNK)
            # Sums of zeros and ones are exact, in any order.
            agreement = _indicators(votes[rows], self.n_classes) @ known.T
            nearest[rows] = entries[agreement.argmax(axis=1)]
        return nearest

    @property
    def n_classes(self):
        """Number of classes."""
        return self.probability.shape[1]


@dataclass(frozen=True)
class MemberLabelRules:
    """Post-process each member, then aggregate by plurality.

    Each member's own label is post-processed. Members are randomised independently, and
    the expected decision is the distribution of the class with most votes.

    Parameters
    ----------
    members : tuple of CellDecisions of length n_members
        On class codes, the member's label.
    counts : CellCounts
        Of the vote patterns.
    probability : ndarray of shape (n_entries, n_classes)
        Of each entry of `counts`.
    weights : sequence of float of length n_members, default=None
        Weights of the members' decisions; None weighs them alike.
    """

    members: tuple[CellDecisions, ...]
    counts: CellCounts
    probability: np.ndarray
    weights: Sequence[float] | None = None

    @classmethod
    def fit(cls, votes, problem):
        """Solve a problem on `Votes`."""
        n_classes = votes.n_classes
        if votes.weights is None:
            check_tallies(votes.n_members, n_classes)
        members = [
            CellDecisions.fit(votes.count_votes_of(s), problem)
            for s in range(votes.n_members)
        ]
        cast = _counted_votes(votes.votes, n_classes, votes.counted)
        patterns, cell = np.unique(cast, axis=0, return_inverse=True)
        counts = votes.count(cell.ravel())
        nothing = np.empty((0, n_classes))
        rules = cls(tuple(members), counts, nothing, votes.weights)
        seen = patterns[counts.cell]
        counts_here = seen < n_classes
        probability = rules.selection_probability(
            np.where(counts_here, seen, 0),
            counts.group,
            None if votes.counted is None else counts_here,
        )
        return replace(rules, probability=probability)

    @property
    def confusion(self):
        """Confusion matrix of each group in calibration."""
        return self.counts.confusion(self.probability)

    def table(self, names):
        """Cells are a member and its vote, such as "3:cat"."""
        return RuleTable.joined(
            member.table([f"{s}:{name}" for name in names])
            for s, member in enumerate(self.members)
        )

    def selection_probability(self, votes, group, counted=None):
        """Probabilities of rows of known groups."""
        n_classes = self.probability.shape[1]
        shape = (self.counts.n_groups, n_classes, n_classes)
        table = np.empty((len(self.members), *shape))
        codes = np.indices(shape[:2]).reshape(2, -1)
        for s, member in enumerate(self.members):
            table[s] = member.by_label(*codes).reshape(shape)
        result = np.empty((len(votes), n_classes))
        member = np.arange(len(self.members))
        for start in range(0, len(votes), _CHUNK):
            rows = slice(start, start + _CHUNK)
            chosen = table[member, group[rows, None], votes[rows]]
            if self.weights is not None:
                result[rows] = weighted_vote(chosen, self.weights)
            elif counted is None:
                result[rows] = plurality_probability(chosen)
            else:
                result[rows] = _plurality_of_counted(chosen, counted[rows])
        return result


def plurality(votes, n_classes, counted=None):
    """Class with most votes, the first of several.

    Parameters
    ----------
    votes : ndarray of int of shape (n_samples, n_members)
    n_classes : int
    counted : ndarray of bool of shape (n_samples, n_members), default=None
        Which votes count; all if None.

    Returns
    -------
    ndarray of int of shape (n_samples,)
    """
    cast = votes[:, :, None] == np.arange(n_classes)
    if counted is not None:
        cast &= counted[:, :, None]
    return cast.sum(axis=1).argmax(axis=1)


def plurality_probability(probability):
    """Distribution of the class with most of independent votes.

    Parameters
    ----------
    probability : ndarray of shape (n_samples, n_votes, n_classes)
        Distribution of each vote.

    Returns
    -------
    ndarray of shape (n_samples, n_classes)

    Notes
    -----
    The joint distribution of the numbers of votes is built up vote by vote over all
    (n_votes + n_classes - 1 choose n_classes - 1) tallies; only positive terms are
    added, so nothing cancels. Of several classes with most votes the first wins.

    Examples
    --------
    >>> import numpy as np
    >>> plurality_probability(np.array([[[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]]))
    array([[0.5, 0.5, 0. ]])
    """
    n_samples, n_votes, n_classes = probability.shape
    place = (n_votes + 1) ** np.arange(n_classes)
    tallies, chance = np.zeros(1, dtype=np.int64), np.ones((n_samples, 1))
    for vote in range(n_votes):
        reached, index = np.unique(tallies[:, None] + place, return_inverse=True)
        index = index.reshape(len(tallies), n_classes)
        after = np.zeros((n_samples, len(reached)))
        for k in range(n_classes):
            after[:, index[:, k]] += chance * probability[:, vote, [k]]
        tallies, chance = reached, after
    winner = (tallies[:, None] // place % (n_votes + 1)).argmax(axis=1)
    result = np.column_stack(
        [chance[:, winner == k].sum(axis=1) for k in range(n_classes)]
    )
    return result / result.sum(axis=1, keepdims=True)


def _plurality_of_counted(probability, counted):
    """`plurality_probability` of the votes of each row that count."""
    n_classes = probability.shape[2]
    result = np.empty((len(probability), n_classes))
    n_counted = counted.sum(axis=1)
    for n_votes in np.unique(n_counted):
        rows = n_counted == n_votes
        votes = probability[rows][counted[rows]].reshape(-1, n_votes, n_classes)
        result[rows] = plurality_probability(votes)
    return result


def check_tallies(n_votes, n_classes):
    """Raise if the members' votes have too many tallies to enumerate."""
    tallies = comb(n_votes + n_classes - 1, n_classes - 1)
    # Tallies are coded as integers in base n_votes + 1.
    if tallies > MAX_TALLIES or (n_votes + 1) ** n_classes >= 2**63:
        raise ValueError(
            f'method="postprocess_then_aggregate" enumerates all tallies of votes, '
            f"but {n_votes} members and {n_classes} classes have {tallies:.6g}, more "
            f'than {MAX_TALLIES}. Use another method, such as "soft_ensemble", or '
            "fewer members."
        )


def _counted_votes(votes, n_classes, counted):
    """Votes that count; the code of no class where one does not."""
    return votes if counted is None else np.where(counted, votes, n_classes)


def _indicators(votes, n_classes):
    """Votes as zeros and ones, (n_samples, n_members * n_classes)."""
    one_hot = votes[:, :, None] == np.arange(n_classes)
    return one_hot.reshape(len(votes), -1).astype(np.float32)
