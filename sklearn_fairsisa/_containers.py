"""Rows taken out of, and put together in, whatever container holds them."""

import re
from graphlib import CycleError, TopologicalSorter
from itertools import chain

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils import _safe_indexing


def take(X, where):
    """Return a copy of the rows of `X` at integer positions, whatever holds them."""
    if _is_polars(X):
        return _take_polars(X, where)
    return _in_one_layout(_rows_alone(_safe_indexing(X, where)))


def head(X, n_rows):
    """Return the first rows of `X`, as a view where that can be copied by itself."""
    if _is_polars(X) or any(map(pd.api.types.is_extension_array_dtype, _dtypes(X))):
        # A view of Arrow's memory stays one when copied, and categories list values
        # that only later slices have.
        return take(X, np.arange(n_rows))
    return _safe_indexing(X, slice(0, n_rows))


def check_container(X):
    """Raise ValueError if rows cannot be taken out of a container without a trace."""
    if _is_polars(X):
        columns = X.get_columns() if hasattr(X, "get_columns") else [X]
        for column in columns:
            if re.search("Categorical|Enum", str(column.dtype)):
                raise ValueError(
                    f"Column {column.name!r} has the polars type {column.dtype}, "
                    "which lists the values of all rows for as long as one of them "
                    "is held, so none can be forgotten. Cast it to polars.String."
                )


def has_categories(X):
    """Tell whether the type of a pandas container lists values that rows have."""
    return any(isinstance(t, pd.CategoricalDtype) for t in _dtypes(X))


def _dtypes(X):
    """Return the types of the columns of a pandas container."""
    if isinstance(X, pd.DataFrame):
        return list(X.dtypes)
    return [X.dtype] if isinstance(X, pd.Series) else []


def _rows_alone(X):
    """Strip what a pandas container says besides its rows.

    Index labels and attributes may name persons, and categories outlive the rows that
    had them. Categories without an order are sorted, since the order in which they
    were found depends on rows that may be forgotten.
    """
    if not isinstance(X, pd.DataFrame | pd.Series):
        return X
    X = X.reset_index(drop=True)
    X.attrs = {}
    if isinstance(X, pd.Series):
        return _used_categories(X)
    for position, dtype in enumerate(X.dtypes):
        if isinstance(dtype, pd.CategoricalDtype):
            X.isetitem(position, _used_categories(X.iloc[:, position]))
    return X


def _used_categories(column):
    if not isinstance(column.dtype, pd.CategoricalDtype):
        return column
    column = column.cat.remove_unused_categories()
    if column.cat.ordered:
        return column
    categories = sorted(column.cat.categories, key=lambda c: (type(c).__name__, c))
    return column.cat.set_categories(categories)


def of_type(X, like):
    """Return `X` with the types of the columns of `like`, if any lists values."""
    return X.astype(like.dtypes) if has_categories(like) else X


def _common_categories(parts):
    """Return pandas columns of one name with the categories of all of them."""
    dtypes = [part.dtype for part in parts]
    if not all(isinstance(dtype, pd.CategoricalDtype) for dtype in dtypes):
        return parts
    order = TopologicalSorter()
    for dtype in dtypes:
        categories = list(dtype.categories)
        for before, category in zip([None, *categories], categories):
            order.add(
                category, *([] if before is None or not dtype.ordered else [before])
            )
    try:
        union = pd.CategoricalDtype(list(order.static_order()), dtypes[0].ordered)
    except CycleError:
        raise ValueError(
            f"The ordered categories of column {parts[0].name!r} come in another order "
            "than before. Give them in one order."
        ) from None
    return [part.astype(union) for part in parts]


def _concatenate_pandas(parts):
    # Concatenating different categories would make the column one of objects.
    if has_categories(parts[0]):
        if isinstance(parts[0], pd.Series):
            parts = _common_categories(parts)
        else:
            parts = [part.copy(deep=False) for part in parts]
            for position in range(parts[0].shape[1]):
                columns = _common_categories([p.iloc[:, position] for p in parts])
                for part, column in zip(parts, columns):
                    part.isetitem(position, column)
    return _rows_alone(pd.concat(parts))


def concatenate(parts):
    """Join row containers of one kind: arrays, sparse, data frames or lists."""
    first = parts[0]
    if sparse.issparse(first):
        return sparse.vstack(parts, format=first.format)
    if isinstance(first, np.ndarray):
        return _in_one_layout(np.concatenate(parts))
    if isinstance(first, pd.DataFrame | pd.Series):
        return _in_one_layout(_concatenate_pandas(parts))
    if _is_polars(first):
        import polars

        return polars.concat(parts)
    return list(chain.from_iterable(parts))


def _in_one_layout(X):
    """Lay rows out in memory in one way, however they came together.

    Sums over rows are rounded by it. Of parts with a single row, which lie both by
    rows and by columns, numpy and pandas would make now the one and now the other.
    """
    if isinstance(X, np.ndarray):
        return np.ascontiguousarray(X)
    if not isinstance(X, pd.DataFrame):
        return X
    # A copy would keep the layout; put together by columns, those of a type make one
    # block in the order of C.
    columns = dict(enumerate(column for _, column in X.items()))
    return pd.DataFrame(columns, index=X.index).set_axis(X.columns, axis=1)


def _is_polars(X):
    return type(X).__module__.startswith("polars")


def _take_polars(X, where):
    taken = X[where.tolist()]
    if not hasattr(taken, "get_columns"):
        return _in_own_memory(taken)
    return taken.with_columns(map(_in_own_memory, taken.get_columns()))


def _in_own_memory(column):
    # Texts picked out of a polars column still point into the memory of all its texts.
    if column.dtype.is_numeric() or column.dtype.is_temporal():
        return column
    return type(column)(column.name, column.to_list(), dtype=column.dtype)
