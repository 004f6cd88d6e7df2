"""The rows of one shard in the order they are trained on."""

from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils import _safe_indexing


def take(X, where):
    """Return a copy of the rows of `X` at integer positions, whatever holds them."""
    if _is_polars_series(X):
        return X[where.tolist()]
    return _safe_indexing(X, where)


def head(X, n_rows):
    """Return the first rows of `X`, as a view where the container has views."""
    if _is_polars_series(X):
        return X[:n_rows]
    return _safe_indexing(X, slice(0, n_rows))


def concatenate(parts):
    """Join row containers of one kind: arrays, sparse, data frames or lists."""
    first = parts[0]
    if sparse.issparse(first):
        return sparse.vstack(parts, format=first.format)
    if isinstance(first, np.ndarray):
        return np.concatenate(parts)
    if isinstance(first, pd.DataFrame | pd.Series):
        return pd.concat(parts)
    if type(first).__module__.startswith("polars"):
        import polars

        return polars.concat(parts)
    return list(chain.from_iterable(parts))


def _is_polars_series(X):
    return type(X).__module__.startswith("polars") and type(X).__name__ == "Series"


@dataclass(frozen=True)
class ShardRows:
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

    groups : list of length n or None
        Data-subject ids.

    params : dict
        Values aligned with the rows that go to the learner, as ``sample_weight``.
    """

    index: np.ndarray
    slices: np.ndarray
    X: object
    y: np.ndarray
    groups: list | None
    params: dict

    @classmethod
    def select(cls, where, *, index, slices, X, y, groups=None, params=None):
        """Copy the rows at positions `where` out of a batch."""
        where = where[np.argsort(slices[where], kind="stable")]
        return cls(
            index=index[where],
            slices=slices[where],
            X=take(X, where),
            y=y[where],
            groups=None if groups is None else [groups[i] for i in where],
            params={name: take(value, where) for name, value in (params or {}).items()},
        )

    def __len__(self):
        return len(self.index)

    def without(self, indices):
        """Return the rows but those of the given indices, in memory of their own."""
        kept = np.flatnonzero(~np.isin(self.index, indices))
        return ShardRows.select(kept, **vars(self))

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
        groups = None if self.groups is None else self.groups + other.groups
        return ShardRows(**joined, groups=groups, params=params)

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

    def first_slice(self, indices):
        """Return the earliest slice that holds one of the given indices."""
        return int(self.slices[np.isin(self.index, indices)].min())
