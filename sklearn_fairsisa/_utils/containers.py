"""Rows taken out of, and put together in, whatever container holds them."""

import re
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter
from itertools import chain

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils import _safe_indexing

# What types raise that do not hold a value.
_FAILURES = (TypeError, ValueError, OverflowError)


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


def in_types_of(held, X):
    """Return rows in the types of others, to which they are to be appended.

    Joined in a type of both, the earlier rows would no longer be what was trained on.

    Parameters
    ----------
    held : container of rows
    X : container of rows

    Returns
    -------
    container of the kind of `held`
        Floats are rounded to the precision of `held`. Categories and the lengths of
        strings may be others.

    Raises
    ------
    ValueError
        If `X` is another kind of container, or has values that a type of `held` does
        not hold.

    Examples
    --------
    >>> in_types_of(np.array([0.5], dtype=np.float32), np.array([1, 2]))
    array([1., 2.], dtype=float32)
    """
    if isinstance(held, list) and np.ndim(X) == 1:
        return list(X)
    if isinstance(held, np.ndarray) and isinstance(X, list):
        X = np.array(X, dtype=object if held.dtype == object else None)
    if type(held) is not type(X) and not (sparse.issparse(held) & sparse.issparse(X)):
        raise ValueError(
            f"X is a {type(X).__name__}, but fit was given a {type(held).__name__}. "
            "Give rows of one kind to all calls."
        )
    if isinstance(held, np.ndarray):
        return _cast_array(X, held.dtype)
    if sparse.issparse(held):
        X = X.asformat(held.format, copy=True)
        X.data = _cast_array(X.data, held.dtype)
        return X
    if isinstance(held, pd.Series):
        return _cast_column(X, held.dtype, X.name)
    if isinstance(held, pd.DataFrame):
        X = X.copy(deep=False)
        for position, (name, dtype) in enumerate(held.dtypes.items()):
            column = X.iloc[:, position]
            if column.dtype != dtype:
                X.isetitem(position, _cast_column(column, dtype, name))
        return X
    if hasattr(held, "get_columns"):
        columns = [_cast_polars(X[column.name], column) for column in held]
        return X.with_columns(columns)
    return _cast_polars(X, held) if hasattr(held, "cast") else X


def _cast_array(values, dtype):
    both = {values.dtype.kind, dtype.kind}
    if values.dtype == dtype or both <= {"U", "S"}:
        return values
    with suppress(*_FAILURES), np.errstate(all="ignore"):
        cast = values.astype(dtype)
        if both == {"f"} or dtype.kind == "O" or np.array_equal(cast, values):
            return cast
    raise _does_not_hold("X", dtype, values.dtype)


def _cast_column(column, dtype, name):
    both = {getattr(column.dtype, "kind", "O"), getattr(dtype, "kind", "O")}
    if isinstance(dtype, pd.CategoricalDtype):
        if isinstance(column.dtype, pd.CategoricalDtype):
            return column
        if not dtype.ordered:
            return column.astype("category")
    with suppress(*_FAILURES), np.errstate(all="ignore"):
        cast = column.astype(dtype)
        missing = column.isna()
        same = np.asarray((cast == column).fillna(False), dtype=bool) | missing
        if both == {"f"} or (same.all() and (cast.isna() == missing).all()):
            return cast
    raise _does_not_hold(f"Column {name!r}", dtype, column.dtype)


def _cast_polars(column, held):
    if column.dtype == held.dtype:
        return column
    import polars

    with suppress(polars.exceptions.PolarsError):
        cast = column.cast(held.dtype)
        both_floats = column.dtype.is_float() and held.dtype.is_float()
        if both_floats or cast.cast(column.dtype).equals(column):
            return cast
    raise _does_not_hold(f"Column {column.name!r}", held.dtype, column.dtype)


def _does_not_hold(what, dtype, given):
    return ValueError(
        f"{what} was {dtype} in fit and is {given} now, with values that {dtype} does "
        "not hold. Rows keep the types of fit, so that earlier ones stay what was "
        "trained on. Fit again in a type that holds all that may come, such as float64 "
        "where values may be missing."
    )
