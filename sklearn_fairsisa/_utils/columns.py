"""Columns of containers of rows."""

from itertools import zip_longest

import numpy as np
from scipy import sparse


def row_columns(X):
    """Return columns for :func:`~sklearn_fairsisa.fairness._coins.row_coins`."""
    if sparse.issparse(X):
        return X
    names = column_names(X)
    if names is not None:
        columns = [take_column(X, position) for position in range(len(names))]
        return [
            column.to_numpy() if hasattr(column, "to_numpy") else np.asarray(column)
            for column in columns
        ]
    if hasattr(X, "shape"):
        X = np.asarray(X)
        return [X] if X.ndim == 1 else X.reshape(len(X), -1)
    if n_columns(X) is None or not len(X):
        # Objects, since an array of texts would cut and convert them.
        return [np.fromiter(X, dtype=object, count=len(X))]
    # A zero is no entry, so that a row's coin is the same beside longer rows.
    return [
        np.fromiter(column, dtype=object, count=len(X))
        for column in zip_longest(*X, fillvalue=0)
    ]


def column_names(X):
    """Return the column names of a data frame, None for other containers."""
    columns = getattr(X, "columns", None)
    return None if columns is None else list(columns)


def n_columns(X):
    """Return the number of columns, None for a sequence of values."""
    shape = getattr(X, "shape", None)
    if shape is None:
        first = X[0] if len(X) else None
        return len(first) if isinstance(first, list | tuple | np.ndarray) else None
    return shape[1] if len(shape) == 2 else None


def has_one_dimension(X):
    """Return whether rows are single values, neither of columns nor arrays."""
    return n_columns(X) is None and len(getattr(X, "shape", ())) < 2


def column_position(X, column):
    """Return the position of a column that is given by name or position."""
    names = column_names(X)
    width = n_columns(X)
    if width is None:
        raise ValueError(
            f"sensitive_feature={column!r} names a column, but X is a "
            f"{type(X).__name__} without columns. Pass sensitive_features= to the "
            "methods, or give a callable."
        )
    if isinstance(column, str):
        if names is None:
            raise ValueError(
                f"sensitive_feature={column!r} is a column name, but X is a "
                f"{type(X).__name__} without names. Give the position of the column, "
                "or a data frame."
            )
        if column not in names:
            raise ValueError(f"X has no column {column!r}. Name one of {names}.")
        return names.index(column)
    if isinstance(column, bool) or not isinstance(column, int | np.integer):
        raise ValueError(
            f"sensitive_feature must be a column name, a position, a list of these or "
            f"a callable, got {column!r}."
        )
    if not -width <= column < width:
        raise ValueError(
            f"sensitive_feature={column} is out of range, since X has {width} columns. "
            f"Give a position from {-width} to {width - 1}."
        )
    return int(column) % width


def take_column(X, position):
    """Return the column at a position."""
    if hasattr(X, "iloc"):
        return X.iloc[:, position]
    if column_names(X) is not None:
        return X[X.columns[position]]
    if sparse.issparse(X):
        return X.tocsc()[:, [position]]
    if isinstance(X, list | tuple):
        return np.array([row[position] for row in X], dtype=object)
    return X[:, position]


def drop_columns(X, positions):
    """Return X without the columns at some positions."""
    keep = [p for p in range(n_columns(X)) if p not in positions]
    if not keep:
        raise ValueError(
            "X has no columns besides the sensitive feature, so none remain for the "
            "members. Add columns, or set drop_sensitive=False."
        )
    if hasattr(X, "iloc"):
        return X.iloc[:, keep]
    if column_names(X) is not None:
        return X[[X.columns[p] for p in keep]]
    if sparse.issparse(X):
        return X.tocsr()[:, keep]
    if isinstance(X, list | tuple):
        return [[row[p] for p in keep] for row in X]
    return np.asarray(X)[:, keep]
