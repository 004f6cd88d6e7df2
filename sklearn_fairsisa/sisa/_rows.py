"""The rows of the shards in the order they are trained on."""

from bisect import bisect_right
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from math import prod
from typing import NamedTuple

import numpy as np

from .._utils.containers import (
    concatenate,
    has_categories,
    in_types_of,
    of_type,
    take,
)
from .._utils.lending import frozen
from .._utils.plain import PlainStateMixin

# Pieces that were read last, of a call that reads some several times.
_recent: ContextVar[dict | None] = ContextVar("recent", default=None)
_FEW = 4
# A deletion copies, or reads and writes, what one piece of a slice holds.
PIECE_BYTES = 2**20


@contextmanager
def reading_once():
    """Read a piece that is in files once, as long as few others are needed."""
    token = _recent.set({})
    try:
        yield
    finally:
        _recent.reset(token)


@dataclass(frozen=True)
class Block(PlainStateMixin):
    """Rows in one piece.

    Parameters
    ----------
    index : ndarray of shape (n,)
        Index of each row in the order rows were given.

    X : array, sparse matrix, data frame, series or list of length n

    y : ndarray of shape (n,)
        Labels encoded as 0..K-1.

    subjects : list of length n or None
        Data-subject ids.

    params : dict
        Values aligned with the rows that go to the learner, as ``sample_weight``.
    """

    index: np.ndarray
    X: object
    y: np.ndarray
    subjects: list | None
    params: dict

    def __post_init__(self):
        for value in (*vars(self).values(), *self.params.values()):
            frozen(value)

    def __setstate__(self, state):
        # Arrays may be writeable again after they were pickled.
        super().__setstate__(state)
        self.__post_init__()

    def __len__(self):
        return len(self.index)

    @property
    def has_categories(self):
        """Whether some column lists the values of all rows of the shard."""
        return any(map(has_categories, (self.X, *self.params.values())))

    @property
    def weighs(self):
        """Whether some row has nonzero ``sample_weight``."""
        weigh = np.ones(len(self), dtype=bool)
        for name, value in self.params.items():
            if name.endswith("sample_weight"):
                weigh &= np.asarray(value) != 0
        return bool(weigh.any())

    @classmethod
    def copied(cls, where, index, X, y, subjects, params):
        """Return the rows at some positions of a batch, in memory of their own."""
        return cls(
            index=index[where],
            X=take(X, where),
            y=y[where],
            subjects=None if subjects is None else [subjects[i] for i in where],
            params={name: take(value, where) for name, value in params.items()},
        )

    def take(self, where):
        """Return the rows at some positions, in memory of their own."""
        return Block.copied(where, **vars(self))

    def without(self, indices):
        """Return all rows except those of the given indices, in memory of their own."""
        return self.take(np.flatnonzero(~np.isin(self.index, indices)))

    def only(self, indices):
        """Return the rows of the given indices, in memory of their own."""
        return self.take(np.flatnonzero(np.isin(self.index, indices)))

    def amended(self, index, X, y):
        """Return the rows with other X and y at some indices, in memory of their own.

        Raises
        ------
        ValueError
            If `X` has values that the types of these rows cannot represent.
        """
        place = {row: position for position, row in enumerate(self.index.tolist())}
        where = [place[row] for row in index.tolist()]
        order, labels = np.arange(len(self)), self.y.copy()
        order[where] = len(self) + np.arange(len(index))
        labels[where] = y
        joined = concatenate([self.X, in_types_of(self.X, X)])
        return replace(self, X=take(joined, order), y=labels)

    def recoded(self, codes):
        """Return the rows with label i renamed to ``codes[i]``."""
        return replace(self, y=codes[self.y])

    @classmethod
    def joined(cls, blocks, n_rows):
        """Return the rows of several blocks, one after the other.

        Parameters
        ----------
        blocks : iterable of Block
            At least one. Of numbers, only one is in memory at a time besides the
            result.
        n_rows : int
            Number of rows of all blocks.
        """
        blocks = iter(blocks)
        first = next(blocks)
        # Data frames without rows may forget the types of their columns.
        while not len(first) and n_rows:
            first = next(blocks)
        if len(first) == n_rows:
            return first
        if _are_numbers(first):
            return cls._filled(first, blocks, n_rows)
        return cls._concatenated([first, *(block for block in blocks if len(block))])

    @classmethod
    def _filled(cls, first, others, n_rows):
        """Return the rows of several blocks of numbers, copied one by one."""

        def room(values):
            return np.empty((n_rows, *values.shape[1:]), dtype=values.dtype)

        index, X, y = map(room, (first.index, first.X, first.y))
        params = {name: room(value) for name, value in first.params.items()}
        subjects, start = None if first.subjects is None else [], 0
        for block in chain([first], others):
            here = slice(start, start + len(block))
            index[here], X[here], y[here] = block.index, block.X, block.y
            for name, value in params.items():
                value[here] = block.params[name]
            if subjects is not None:
                subjects += block.subjects
            start = here.stop
        return cls(index=index, X=X, y=y, subjects=subjects, params=params)

    @classmethod
    def _concatenated(cls, blocks):
        first = blocks[0]
        return cls(
            index=np.concatenate([block.index for block in blocks]),
            X=concatenate([block.X for block in blocks]),
            y=np.concatenate([block.y for block in blocks]),
            subjects=None
            if first.subjects is None
            else list(chain.from_iterable(block.subjects for block in blocks)),
            params={
                name: concatenate([block.params[name] for block in blocks])
                for name in first.params
            },
        )


class Facts(NamedTuple):
    """What is known of a piece without reading it.

    Parameters
    ----------
    slice : int
        Slice that the rows are of.
    first : int
        Index of the first row that the piece was given, which may be forgotten.
    n_rows : int
    labels : tuple of int
        Codes of the labels that occur, sorted.
    weighs : bool
        Whether some row has nonzero ``sample_weight``.
    """

    slice: int
    first: int
    n_rows: int
    labels: tuple[int, ...]
    weighs: bool


class Piece:
    """Some rows of one slice, in memory or where a store keeps them.

    The rows of a piece never change, so that one of two states is the same in both.

    Parameters
    ----------
    facts : Facts
    block : Block or callable
        The rows, or a function that reads and returns them. What it returns is not
        kept.
    """

    def __init__(self, facts, block):
        self.facts = facts
        self._block = block
        self._hashes = None

    @classmethod
    def of(cls, slice, first, block):
        """Return the piece that a block is."""
        labels = tuple(np.flatnonzero(np.bincount(block.y)).tolist())
        return cls(Facts(slice, first, len(block), labels, block.weighs), block)

    def __reduce__(self):
        # Of rows that a store keeps, copies hold where to read them.
        return Piece, (self.facts, self._block)

    @property
    def block(self):
        """The rows."""
        if not callable(self._block):
            return self._block
        recent = _recent.get()
        if recent is None:
            return self._block()
        if self not in recent:
            while len(recent) >= _FEW:
                del recent[next(iter(recent))]
            recent[self] = self._block()
        return recent[self]

    @property
    def files(self):
        """Files of a store that the rows are in; None if they are in memory."""
        return getattr(self._block, "files", None)

    def move(self, read):
        """Keep the function that reads the rows, and not the rows."""
        self._block = read

    def rows_of(self, subjects):
        """Return the indices of rows of a set of data subjects, and these subjects."""
        block = None
        if self._hashes is None:
            block = self.block
            # Kept beside the rows: eight bytes for each, wherever the rows are.
            self._hashes = np.fromiter(map(hash, block.subjects or ()), np.int64)
        wanted = np.fromiter(map(hash, subjects), np.int64)
        if len(wanted) == 1:
            where = np.flatnonzero(self._hashes == wanted).tolist()
        else:
            where = np.flatnonzero(np.isin(self._hashes, wanted)).tolist()
        if not where:
            return [], set()
        block = self.block if block is None else block
        where = [i for i in where if block.subjects[i] in subjects]
        return block.index[where].tolist(), {block.subjects[i] for i in where}

    def holding(self, block):
        """Return the piece with other rows in the place of its own."""
        return Piece.of(self.facts.slice, self.facts.first, block)

    def changed(self, change):
        """Return the piece with what a function makes of its block.

        The block of rows that a store keeps is made again when it is needed, so that a
        change to many pieces holds one of them at a time.
        """
        old = self.block
        new = self.holding(change(old))
        if self._hashes is not None:
            # No change gives a row to another data subject. Indices are sorted.
            new._hashes = self._hashes[np.searchsorted(old.index, new.block.index)]
        if callable(self._block):
            new.move(partial(_made, self, change))
        return new


def _made(piece, change):
    return change(piece.block)


class ShardRows:
    """The retained rows of one shard, in pieces sorted by slice, then by index.

    Parameters
    ----------
    pieces : iterable of Piece
        At least one. Rows of several pieces are joined anew at each use, and the joined
        rows are not kept.
    """

    def __init__(self, pieces):
        self.pieces = tuple(pieces)

    @classmethod
    def select(cls, where, *, index, slices, X, y, subjects=None, params=None):
        """Copy the rows at positions `where` out of a batch."""
        batch, size = (index, X, y, subjects, params or {}), _rows_per_piece(X)
        pieces = []
        for slice in np.unique(slices[where]).tolist():
            own = where[slices[where] == slice]
            for part in (own[i : i + size] for i in range(0, len(own), size)):
                first = int(index[part[0]])
                pieces.append(Piece.of(slice, first, Block.copied(part, *batch)))
        rows = cls(pieces or [Piece.of(0, 0, Block.copied(where, *batch))])
        if rows.pieces[0].block.has_categories:
            return rows._sliced_anew(rows.block)
        return rows

    def __len__(self):
        return sum(piece.facts.n_rows for piece in self.pieces)

    # What is known without reading a row

    @property
    def labels(self):
        """Codes of the labels that occur, a set."""
        return {label for piece in self.pieces for label in piece.facts.labels}

    def labels_of(self, slice):
        """Return the codes of the labels that occur in a slice, a set."""
        facts = [piece.facts for piece in self.pieces]
        return {label for one in facts if one.slice == slice for label in one.labels}

    def counts(self, n_slices):
        """Return the number of rows of each slice."""
        counts = np.zeros(n_slices, dtype=np.intp)
        for piece in self.pieces:
            if piece.facts.slice < n_slices:
                counts[piece.facts.slice] += piece.facts.n_rows
        return counts

    def slices_of_weight(self, n_slices):
        """Return for each slice whether it has a row of nonzero ``sample_weight``."""
        weigh = np.zeros(n_slices, dtype=bool)
        for piece in self.pieces:
            if piece.facts.slice < n_slices:
                weigh[piece.facts.slice] |= piece.facts.weighs
        return weigh

    # All rows

    @property
    def any_block(self):
        """Some rows, or none, from which to see what rows there have."""
        return next((p for p in self.pieces if p.facts.n_rows), self.pieces[0]).block

    @property
    def block(self):
        """All rows, joined."""
        return _joined(self.pieces)

    @property
    def index(self):
        """Index of each row in the order rows were given."""
        return np.concatenate([piece.block.index for piece in self.pieces])

    @property
    def slices(self):
        """Slice of each row, non-decreasing."""
        facts = [piece.facts for piece in self.pieces]
        slices = np.array([one.slice for one in facts], dtype=np.intp)
        return np.repeat(slices, [one.n_rows for one in facts])

    @property
    def subjects(self):
        """Data-subject ids, a list, or None."""
        subjects = []
        for piece in self.pieces:
            own = piece.block.subjects
            if own is None:
                return None
            subjects += own
        return subjects

    def of(self, stage):
        """Return X, y and params of one slice."""
        return self._values(lambda slice: slice == stage)

    def up_to(self, stage):
        """Return X, y and params of slices 0..stage."""
        return self._values(lambda slice: slice <= stage)

    def _values(self, is_wanted):
        wanted = [piece for piece in self.pieces if is_wanted(piece.facts.slice)]
        rows = _joined(wanted) if wanted else self.any_block.take(np.arange(0))
        if rows.has_categories:
            # Categories list values that only occur in other slices.
            rows = rows.take(np.arange(len(rows)))
        return rows.X, rows.y, rows.params

    # Some rows, of which no piece is read that has none of them

    def pieces_with(self, index, slices):
        """Return the pieces that have rows of some indices, by their place.

        Parameters
        ----------
        index, slices : ndarray of int
            Rows of this shard, and their slices.
        """
        starts = [piece.facts[:2] for piece in self.pieces]
        rows = zip(slices.tolist(), index.tolist())
        return {
            place: self.pieces[place]
            for place in sorted({bisect_right(starts, row) - 1 for row in rows})
        }

    def only(self, index, slices):
        """Return the rows of the given indices as one block."""
        pieces = self.pieces_with(index, slices).values()
        if not pieces:
            return self.any_block.take(np.arange(0))
        blocks = [piece.block.only(index) for piece in pieces]
        return Block.joined(blocks, sum(map(len, blocks)))

    def without(self, index, slices):
        """Return all rows except those of the given indices, in memory of their own."""
        return self._changed(index, slices, partial(Block.without, indices=index))

    def amended(self, index, slices, X, y):
        """Return the rows with other X and y at some indices.

        Raises
        ------
        ValueError
            If `X` has values that the types of these rows cannot represent.
        """
        return self._changed(index, slices, partial(_amended, index, X, y))

    def _changed(self, index, slices, change):
        """Return the rows with a change to those blocks that have rows of an index."""
        touched = self.pieces_with(index, slices)
        # All pieces have the same columns.
        first = next(iter(touched.values()), None)
        if first is not None and first.block.has_categories:
            return self._sliced_anew(change(self.block))
        pieces = list(self.pieces)
        for place, piece in touched.items():
            pieces[place] = piece.changed(change)
        return ShardRows(pieces)

    def joined(self, other):
        """Return these rows followed by those of later slices."""
        pieces = self.pieces + other.pieces
        both = ShardRows([p for p in pieces if p.facts.n_rows] or pieces[:1])
        if self.any_block.has_categories:
            return both._sliced_anew(both.block)
        return both

    def _sliced_anew(self, rows):
        """Return some of the rows that these were, in the same pieces.

        All pieces of a shard list the same categories, in the same order.
        """
        pieces = []
        for piece in self.pieces:
            own = rows.take(np.flatnonzero(np.isin(rows.index, piece.block.index)))
            params = {k: of_type(v, rows.params[k]) for k, v in own.params.items()}
            own = replace(own, X=of_type(own.X, rows.X), params=params)
            pieces.append(piece.holding(own))
        return ShardRows(pieces)

    def recoded(self, codes):
        """Return the rows with label i renamed to ``codes[i]``."""
        if np.array_equal(codes, np.arange(len(codes))):
            return self
        change = partial(Block.recoded, codes=codes)
        return ShardRows(piece.changed(change) for piece in self.pieces)


def _joined(pieces):
    """Return the rows of some pieces as one block."""
    n_rows = sum(piece.facts.n_rows for piece in pieces)
    return Block.joined((piece.block for piece in pieces), n_rows)


def _amended(index, X, y, block):
    """Return a block with other X and y in those of its rows that have some index."""
    here = np.flatnonzero(np.isin(index, block.index))
    return block.amended(index[here], take(X, here), y[here])


def _are_numbers(block):
    """Return whether rows and their values are arrays of numbers."""
    values = (block.X, *block.params.values())
    return all(isinstance(v, np.ndarray) and v.dtype.kind in "biufc" for v in values)


def _rows_per_piece(X):
    """Return how many rows a piece is given: of numbers those of some bytes."""
    if isinstance(X, np.ndarray) and X.dtype.kind in "biufc":
        return max(1, PIECE_BYTES // max(1, X.itemsize * prod(X.shape[1:])))
    return np.iinfo(np.intp).max
