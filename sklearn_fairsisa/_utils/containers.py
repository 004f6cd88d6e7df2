"""Selection and concatenation of rows in containers of any kind."""

import re
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter
from itertools import chain

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils import _safe_indexing

from .accepted import check_values, is_polars, kind_of
from .lending import own_objects

# Errors of types that cannot hold a value.
_FAILURES = (TypeError, ValueError, OverflowError)


def take(X, where):
    """Return a copy of the rows of `X` at integer positions."""
    if type(X) is np.ndarray and X.dtype.kind in "biufc":
        # To find out what else X may be takes longer than to copy a few rows.
        if X.flags.c_contiguous and X.ndim == 2:
            # Several times as fast, but would copy all of X in another order.
            return X.take(where, axis=0)
        return np.ascontiguousarray(X[where])
    if is_polars(X):
        return own_objects(_take_polars(X, where))
    return own_objects(_in_one_layout(_rows_alone(_safe_indexing(X, where))))


def head(X, n_rows):
    """Return the first rows of `X`, as a view if a copy of it holds no other rows."""
    if is_polars(X) or any(map(pd.api.types.is_extension_array_dtype, _dtypes(X))):
        # A copy of a view of Arrow's memory is still a view, and categories list
        # values that only occur in later slices.
        return take(X, np.arange(n_rows))
    return _safe_indexing(X, slice(0, n_rows))


def check_container(X, name="X"):
    """Raise ValueError or TypeError if rows that are removed leave a trace."""
    check_values(X, name)
    if is_polars(X):
        columns = X.get_columns() if hasattr(X, "get_columns") else [X]
        for column in columns:
            if re.search("Categorical|Enum", str(column.dtype)):
                raise ValueError(
                    f"Column {column.name!r} has the polars type "
                    f"{column.dtype}, which keeps the values of all rows while one of "
                    "them exists, so no row can be forgotten. Cast it to polars.String."
                )


def has_categories(X):
    """Return whether a pandas container has categories, which list values of rows."""
    return any(isinstance(t, pd.CategoricalDtype) for t in _dtypes(X))


def _dtypes(X):
    """Return the types of the columns of a pandas container."""
    if isinstance(X, pd.DataFrame):
        return list(X.dtypes)
    return [X.dtype] if isinstance(X, pd.Series) else []


def _rows_alone(X):
    """Remove from a pandas container everything except its rows.

    Index labels and attributes may name people, and unused categories remain of rows
    that were removed. Categories without an order are sorted, since otherwise their
    order depends on rows that may be forgotten.
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
    """Return `X` with the column types of `like`, if any has categories."""
    return X.astype(like.dtypes) if has_categories(like) else X


def _common_categories(parts):
    """Return pandas columns with the union of their categories."""
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
            f"The ordered categories of column {parts[0].name!r} have another order "
            "than before. Give them in the same order."
        ) from None
    return [part.astype(union) for part in parts]


def _concatenate_pandas(parts):
    # Concatenating columns with different categories would give a column of objects.
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
    """Concatenate containers of one kind: arrays, sparse, data frames or lists."""
    first = parts[0]
    if sparse.issparse(first):
        return sparse.vstack(parts, format=first.format)
    if isinstance(first, np.ndarray):
        return _in_one_layout(np.concatenate(parts))
    if isinstance(first, pd.DataFrame | pd.Series):
        return _in_one_layout(_concatenate_pandas(parts))
    if is_polars(first):
        import polars

        return polars.concat(parts)
    return list(chain.from_iterable(parts))


def _in_one_layout(X):
    """Return rows in C order, however they were concatenated.

    The memory layout affects how sums over rows are rounded. Parts with a single row
    are in C and Fortran order, and numpy and pandas may use either for the result.
    """
    if isinstance(X, np.ndarray):
        return np.ascontiguousarray(X)
    if not isinstance(X, pd.DataFrame):
        return X
    # A copy would keep the layout. Assembled by columns, those of one type form a
    # block in C order.
    columns = dict(enumerate(column for _, column in X.items()))
    return pd.DataFrame(columns, index=X.index).set_axis(X.columns, axis=1)


def _take_polars(X, where):
    taken = X[where.tolist()]
    if not hasattr(taken, "get_columns"):
        return _in_own_memory(taken)
    return taken.with_columns(map(_in_own_memory, taken.get_columns()))


def _in_own_memory(column):
    # Texts selected from a polars column still point into the memory of all its texts.
    if column.dtype.is_numeric() or column.dtype.is_temporal():
        return column
    return type(column)(column.name, column.to_list(), dtype=column.dtype)


def in_types_of(held, X):
    """Return rows in the types of the rows to which they will be appended.

    In a common type, the earlier rows would differ from those that were trained on.

    Parameters
    ----------
    held : container of rows
    X : container of rows

    Returns
    -------
    container of the kind of `held`
        Floats are rounded to the precision of `held`. Categories and the lengths of
        strings may differ.

    Raises
    ------
    ValueError
        If `X` is another kind of container, or has values that a type of `held`
        cannot represent.

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
            f"X is {kind_of(X)}, but fit was given {kind_of(held)}. Give all calls the "
            "same kind of container."
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
        rounded = both == {"f"} and _are_as_finite(cast, values)
        if rounded or dtype.kind == "O" or np.array_equal(cast, values):
            return cast
    raise _type_error("X", dtype, values.dtype)


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
        rounded = both == {"f"} and _are_as_finite(cast, column)
        if rounded or (same.all() and (cast.isna() == missing).all()):
            return cast
    raise _type_error(f"Column {name!r}", dtype, column.dtype)


def _cast_polars(column, held):
    if column.dtype == held.dtype:
        return column
    import polars

    with suppress(polars.exceptions.PolarsError):
        cast = column.cast(held.dtype)
        both_floats = column.dtype.is_float() and held.dtype.is_float()
        rounded = both_floats and _are_as_finite(cast, column)
        if rounded or cast.cast(column.dtype).equals(column):
            return cast
    raise _type_error(f"Column {column.name!r}", held.dtype, column.dtype)


def _are_as_finite(cast, values):
    """Return whether no number became infinite."""
    cast, values = (np.asarray(v, dtype=np.longdouble) for v in (cast, values))
    return np.array_equal(np.isinf(cast), np.isinf(values))


def _type_error(what, dtype, given):
    return ValueError(
        f"{what} was {dtype} in fit and is {given} now, with values that {dtype} "
        "cannot represent. Rows keep the types of fit, so that earlier rows do not "
        "change. Fit again with a type for all possible values, such as float64 if "
        "some may be missing."
    )
