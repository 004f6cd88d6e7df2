"""Counts of labels in each (group, cell) of a calibration set."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ._rates import sum_by

_CHUNK = 4096


@dataclass(frozen=True)
class CellCounts:
    """Weight of each class in each observed (group, cell).

    Parameters
    ----------
    group, cell : ndarray of int of shape (n_entries,)
        Codes of the group and of the cell, sorted by group, then cell. Only pairs
        that occur are stored.
    weight : ndarray of shape (n_entries, n_classes)
        Counts, which are integers unless rows are weighted.
    n_groups : int
        Number of groups G; a group may have no entry.
    """

    group: np.ndarray
    cell: np.ndarray
    weight: np.ndarray
    n_groups: int

    @property
    def negatives(self):
        """Weight of the first of two classes."""
        return self.weight[:, 0]

    @property
    def positives(self):
        """Weight of the second of two classes."""
        return self.weight[:, 1]

    @property
    def totals(self):
        """Weight of each class of each group, of shape (n_groups, n_classes)."""
        return sum_by(self.group, self.weight, self.n_groups)

    def __add__(self, other):
        """Counts of both sets of rows together."""
        columns = "group", "cell", "weight"
        return _tally(
            *(np.concatenate([getattr(x, c) for x in (self, other)]) for c in columns),
            max(self.n_groups, other.n_groups),
        )

    def find(self, group, cell):
        """Entry of each row's cell, -1 where calibration has none.

        Parameters
        ----------
        group, cell : ndarray of int of shape (n_samples,)
            -1 is a cell that occurs in no group.

        Returns
        -------
        ndarray of int of shape (n_samples,)
        """
        n_cells = int(max(self.cell.max(), cell.max(initial=0))) + 2
        known = self.group * n_cells + self.cell + 1
        wanted = group * n_cells + cell + 1
        entry = np.searchsorted(known, wanted).clip(max=len(known) - 1)
        return np.where(known[entry] == wanted, entry, -1)

    def confusion(self, probability):
        """Confusion matrix of each group, (n_groups, n_classes, n_classes).

        Parameters
        ----------
        probability : ndarray of shape (n_entries, n_classes)
            Of each decision.
        """
        decided = self.weight[:, :, None] * probability[:, None, :]
        return sum_by(self.group, decided, self.n_groups)


@dataclass(frozen=True)
class Votes:
    """What members vote on calibration rows.

    Parameters
    ----------
    votes : ndarray of shape (n_samples, n_members)
        Bool of two classes, codes of more.
    group : ndarray of int of shape (n_samples,)
        Codes without gaps.
    label : ndarray of bool or int of shape (n_samples,)
        Whether it is the second of two classes, or codes.
    weight : ndarray of shape (n_samples,), default=None
        1 each if None.
    counted : ndarray of bool of shape (n_samples, n_members), default=None
        Members whose prediction counts for a row; all if None.
    n_classes : int, default=2
    weights : sequence of float of length n_members, default=None
        Weights of the members' votes; 1 each if None.
    """

    votes: np.ndarray
    group: np.ndarray
    label: np.ndarray
    weight: np.ndarray | None = None
    counted: np.ndarray | None = None
    n_classes: int = 2
    weights: Sequence[float] | None = None

    @property
    def n_members(self):
        """Number of members."""
        return self.votes.shape[1]

    @property
    def n_groups(self):
        """Number of groups."""
        return int(self.group.max()) + 1

    def count(self, cell):
        """Count the labels in each cell; `cell` holds that of each row."""
        return self._count(slice(None), cell)

    def count_votes_of(self, s):
        """Count the labels by the vote of one member, on the rows where it counts."""
        rows = slice(None) if self.counted is None else self.counted[:, s]
        return self._count(rows, self.votes[rows, s])

    def _count(self, rows, cell):
        return count_cells(
            self.group[rows],
            cell,
            self.label[rows],
            None if self.weight is None else self.weight[rows],
            n_groups=self.n_groups,
            n_classes=self.n_classes,
        )


def count_cells(group, cell, label, weight=None, *, n_groups=None, n_classes=2):
    """Count the labels in each (group, cell).

    Parameters
    ----------
    group, cell : array-like of int of shape (n_samples,)
        Non-negative codes.
    label : array-like of bool or int of shape (n_samples,)
        Codes of the classes.
    weight : array-like of shape (n_samples,), default=None
        Non-negative weights; 1 each, counted in integers, if None.
    n_groups : int, default=None
        Number of groups, by default one more than the largest code.
    n_classes : int, default=2

    Returns
    -------
    CellCounts

    Examples
    --------
    >>> counts = count_cells([0, 0, 1], [3, 3, 5], [True, False, True])
    >>> counts.cell, counts.weight
    (array([3, 5]), array([[1, 1],
           [0, 1]]))
    """
    group = np.asarray(group, dtype=np.int64)
    if n_groups is None:
        n_groups = int(group.max(initial=-1)) + 1
    weight = np.ones(len(group), dtype=np.int64) if weight is None else weight
    of_class = np.asarray(label, dtype=np.int64)[:, None] == np.arange(n_classes)
    return _tally(
        group,
        np.asarray(cell, dtype=np.int64),
        np.where(of_class, np.asarray(weight)[:, None], 0),
        n_groups,
    )


def count_scores(scores, group, label, weight=None):
    """Count the labels at each distinct score of each group.

    Parameters
    ----------
    scores : ndarray of shape (n_samples,)
    group : ndarray of int of shape (n_samples,)
        Non-negative codes.
    label : ndarray of bool of shape (n_samples,)
    weight : ndarray of shape (n_samples,), default=None
        Non-negative weights; 1 each, counted in integers, if None.

    Returns
    -------
    counts : CellCounts
        Cells are the ranks of the distinct scores within each group.
    shown : ndarray of shape (n_entries,)
        Score of each entry.

    Examples
    --------
    >>> scores, group = np.array([0.5, 0.5, 0.2]), np.array([0, 0, 1])
    >>> counts, shown = count_scores(scores, group, np.array([True, False, True]))
    >>> counts.cell, counts.positives, shown
    (array([0, 0]), array([1, 1]), array([0.5, 0.2]))
    """
    n_groups = int(group.max(initial=-1)) + 1
    # Short integers are sorted in linear time, and the scores of one group are more
    # likely than all to fit into a cache, so this beats sorting by both at once.
    order = np.argsort(group.astype(np.min_scalar_type(n_groups)), kind="stable")
    if weight is not None:
        # Rows with zero weight are ignored.
        order = order[weight[order] != 0]
    group, scores = group[order], scores[order]
    starts = np.searchsorted(group, np.arange(n_groups + 1))
    for start, stop in pairwise(starts):
        part = slice(start, stop)
        within = np.argsort(scores[part])
        scores[part], order[part] = scores[part][within], order[part][within]
    is_first = np.append(True, (np.diff(group) != 0) | (np.diff(scores) != 0))
    first = np.flatnonzero(is_first[: len(order)])
    label = label[order]
    # Rows that weigh 1 take a byte each until they are summed.
    weight = np.ones(len(order), dtype=bool) if weight is None else weight[order]
    total = np.result_type(weight, np.int64)
    counts = CellCounts(
        group=group[first],
        cell=np.arange(len(first)) - np.searchsorted(first, starts)[group[first]],
        weight=np.stack(
            [
                np.add.reduceat(np.where(own, weight, False), first, dtype=total)
                for own in (~label, label)
            ],
            axis=1,
        ),
        n_groups=n_groups,
    )
    return counts, scores[first]


def common_ranks(scores):
    """Rank of each score among the distinct ones, fast where groups are sorted.

    Parameters
    ----------
    scores : ndarray of shape (n_entries,)

    Returns
    -------
    ndarray of int of shape (n_entries,)
    """
    # A stable sort merges what is sorted already.
    order = np.argsort(scores, kind="stable")
    rank = np.empty(len(order), dtype=np.intp)
    rank[order] = np.cumsum(np.append(0, np.diff(scores[order]) != 0))[: len(order)]
    return rank


def vote_patterns(votes):
    """Code each row of votes by its pattern.

    Parameters
    ----------
    votes : array-like of bool of shape (n_samples, n_members)

    Returns
    -------
    patterns : ndarray of bytes of shape (n_patterns,)
        The distinct patterns, packed to bits and sorted. Only observed patterns are
        stored, so any number of members will do.
    code : ndarray of int of shape (n_samples,)
        Position of each row's pattern.
    """
    packed = _packed(votes)
    width = packed.dtype.itemsize
    # Words of 16 votes are sorted in linear time, byte strings are not.
    words = np.zeros((len(packed), width + width % 2), dtype=np.uint8)
    words[:, :width] = packed.view(np.uint8).reshape(-1, width)
    words = words.view(">u2").astype(np.uint16)
    order = np.lexsort(words.T[::-1])
    words = words[order]
    differs = (words[1:] != words[:-1]).any(axis=1)
    is_first = np.append(True, differs)[: len(order)]
    code = np.empty(len(order), dtype=np.intp)
    code[order] = np.cumsum(is_first) - 1
    return packed[order[is_first]], code


def find_patterns(patterns, votes):
    """Position of each row's pattern among sorted patterns, -1 where it is new."""
    packed = _packed(votes)
    if len(patterns) == 0:
        return np.full(len(packed), -1)
    position = np.searchsorted(patterns, packed).clip(max=len(patterns) - 1)
    return np.where(patterns[position] == packed, position, -1)


def unpack_patterns(patterns, n_members):
    """Votes of each packed pattern, bool of shape (n_patterns, n_members)."""
    width = patterns.dtype.itemsize
    packed = np.frombuffer(patterns.tobytes(), dtype=np.uint8).reshape(-1, width)
    return np.unpackbits(packed, axis=1, count=n_members).view(bool)


def count_votes(patterns, n_members):
    """Number of positive votes of the first `n_members` in each packed pattern."""
    n_votes = np.empty(len(patterns), dtype=np.intp)
    # In parts, since unpacked they take eight times the memory.
    for start in range(0, len(patterns), _CHUNK):
        part = slice(start, start + _CHUNK)
        n_votes[part] = unpack_patterns(patterns[part], n_members).sum(axis=1)
    return n_votes


def majority(votes, counted=None):
    """Whether more than half of the members vote positive; a tie is negative.

    Parameters
    ----------
    votes : array-like of bool of shape (n_samples, n_members)
    counted : ndarray of bool of shape (n_samples, n_members), default=None
        Which votes count; all if None.
    """
    votes = np.asarray(votes, dtype=bool)
    if counted is None:
        return 2 * votes.sum(axis=1) > votes.shape[1]
    return 2 * (votes & counted).sum(axis=1) > counted.sum(axis=1)


def _packed(votes):
    packed = np.ascontiguousarray(np.packbits(np.asarray(votes, dtype=bool), axis=1))
    # A fixed-width byte string sorts and hashes whole, at any number of members.
    return packed.view(f"S{packed.shape[1]}").ravel()


def _tally(group, cell, weight, n_groups):
    # One integer per pair, so that pairs are found by a single sort, or by none.
    n_cells = int(cell.max(initial=0)) + 1
    pair = group * n_cells + cell
    if n_groups * n_cells <= len(pair):
        pairs = np.arange(n_groups * n_cells)
    else:
        rank = common_ranks(pair)
        pairs = np.empty(rank.max() + 1, dtype=np.int64)
        pairs[rank], pair = pair, rank
    sums = sum_by(pair, weight, len(pairs))
    if np.issubdtype(weight.dtype, np.integer):
        # Integers below 2**53 pass through bincount's doubles unharmed.
        sums = sums.astype(np.int64)
    # Rows with zero weight are ignored.
    kept = sums.any(axis=1)
    group, cell = np.divmod(pairs[kept], n_cells)
    return CellCounts(group, cell, sums[kept], n_groups)
