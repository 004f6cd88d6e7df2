"""The rows of the shards in the order they are trained on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .._utils.containers import (
    concatenate,
    has_categories,
    head,
    in_types_of,
    of_type,
    take,
)
from .._utils.lending import frozen
from .._utils.plain import PlainStateMixin


@dataclass(frozen=True)
class ShardRows(PlainStateMixin):
    """The retained rows of one shard, sorted by slice, then by index.

    Parameters
    ----------
    index : ndarray of shape (n,)
        Index of each row in the order rows were given.

    slices : ndarray of shape (n,)
        Slice of each row, non-decreasing.

    X : array, sparse matrix, data frame, series or list of length n

    y : ndarray of shape (n,)
        Labels encoded as 0..K-1.

    subjects : list of length n or None
        Data-subject ids.

    params : dict
        Values aligned with the rows that go to the learner, as ``sample_weight``.
    """

    index: np.ndarray
    slices: np.ndarray
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

    @classmethod
    def select(cls, where, *, index, slices, X, y, subjects=None, params=None):
        """Copy the rows at positions `where` out of a batch."""
        where = where[np.argsort(slices[where], kind="stable")]
        return cls(
            index=index[where],
            slices=slices[where],
            X=take(X, where),
            y=y[where],
            subjects=None if subjects is None else [subjects[i] for i in where],
            params={name: take(value, where) for name, value in (params or {}).items()},
        )

    def __len__(self):
        return len(self.index)

    def without(self, indices):
        """Return all rows except those of the given indices, in memory of their own."""
        kept = np.flatnonzero(~np.isin(self.index, indices))
        return ShardRows.select(kept, **vars(self))

    def only(self, indices):
        """Return the rows of the given indices, in memory of their own."""
        return ShardRows.select(
            np.flatnonzero(np.isin(self.index, indices)), **vars(self)
        )

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

    def joined(self, other):
        """Return these rows followed by those of later slices."""
        joined = {
            name: concatenate([getattr(self, name), getattr(other, name)])
            for name in ("index", "slices", "X", "y")
        }
        params = {
            name: concatenate([self.params[name], other.params[name]])
            for name in self.params
        }
        subjects = None if self.subjects is None else self.subjects + other.subjects
        return ShardRows(**joined, subjects=subjects, params=params)

    @classmethod
    def joined_slices(cls, slices):
        """Return the rows of a shard given slice by slice."""
        first, *later = slices
        for rows in later:
            # Data frames without rows may forget the types of their columns.
            if len(rows):
                first = first.joined(rows) if len(first) else rows
        return first

    def slice(self, slice):
        """Return the rows of one slice, in memory of their own.

        Categorical columns keep the categories of the whole shard, in their order.
        """
        rows = ShardRows.select(np.flatnonzero(self.slices == slice), **vars(self))
        params = {k: of_type(v, self.params[k]) for k, v in rows.params.items()}
        return replace(rows, X=of_type(rows.X, self.X), params=params)

    def has_slice_of(self, other, slice, amended):
        """Return whether a slice equals that of other rows of the same shard.

        Parameters
        ----------
        other : ShardRows
        slice : int
        amended : sequence of int
            Indices of rows that do not have the values that they have in `other`.
        """
        if has_categories(self.X) or any(map(has_categories, self.params.values())):
            # All slices of a shard share the order of their categories.
            return False
        here, there = self.slices == slice, other.slices == slice
        if np.isin(self.index[here], amended).any():
            return False
        return np.array_equal(self.index[here], other.index[there]) and np.array_equal(
            self.y[here], other.y[there]
        )

    def recoded(self, codes):
        """Return the rows with label i renamed to ``codes[i]``."""
        return replace(self, y=codes[self.y])

    def up_to(self, stage):
        """Return X, y and params of slices 0..stage."""
        stop = int(np.searchsorted(self.slices, stage, side="right"))
        return (
            head(self.X, stop),
            self.y[:stop],
            {name: head(value, stop) for name, value in self.params.items()},
        )

    def of(self, stage):
        """Return X, y and params of one slice."""
        where = np.flatnonzero(self.slices == stage)
        return (
            take(self.X, where),
            self.y[where],
            {name: take(value, where) for name, value in self.params.items()},
        )

    def slices_of_weight(self, n_slices, but=()):
        """Return for each slice whether it has a row of nonzero ``sample_weight``.

        Rows of the indices `but` are left out.
        """
        weigh = ~np.isin(self.index, but)
        for name, value in self.params.items():
            if name.endswith("sample_weight"):
                weigh &= np.asarray(value) != 0
        return np.bincount(self.slices[weigh], minlength=n_slices)[:n_slices] > 0

    def first_slice(self, indices):
        """Return the earliest slice that has one of the given indices."""
        return int(self.slices[np.isin(self.index, indices)].min())


class RowsOfShards(Sequence):
    """The rows of all shards, each of which is read when it is first needed.

    Parameters
    ----------
    handles : iterable of ShardRows or callable
        For each shard its rows, or a function that reads and returns them.
    """

    def __init__(self, handles):
        self._handles = list(handles)

    def __len__(self):
        return len(self._handles)

    def __getitem__(self, shard):
        if callable(self._handles[shard]):
            self._handles[shard] = self._handles[shard]()
        return self._handles[shard]

    def __reduce__(self):
        # A copy must not depend on what it was read from.
        return type(self), (list(self),)

    def replaced(self, rows):
        """Return these rows with those of some shards, given by shard, in their place.

        What has not been read is not read for it.
        """
        handles = enumerate(self._handles)
        return RowsOfShards(rows.get(shard, handle) for shard, handle in handles)
