"""Rows that are to follow others, in the types these have."""

from contextlib import suppress

import numpy as np
import pandas as pd
from scipy import sparse

_FAILURES = (TypeError, ValueError, OverflowError)


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
