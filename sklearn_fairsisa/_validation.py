"""Checks of what a caller hands over, shared by the estimators."""

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils import indexable
from sklearn.utils.validation import _num_samples, column_or_1d, validate_data


def check_no_missing_labels(y):
    """Labels as a vector, all of which are there.

    Parameters
    ----------
    y : array-like of shape (n_samples,)

    Returns
    -------
    y : ndarray of shape (n_samples,)

    Raises
    ------
    ValueError
        If y is None, or a label is NaN or None.
    """
    if y is None:
        raise ValueError(
            "This estimator requires y to be passed, but the target y is None. Give a "
            "class label for each row."
        )
    y = column_or_1d(y, warn=True)
    if pd.isna(y).any():
        raise ValueError("Input y contains NaN or None. Drop the rows without a label.")
    return y


def check_subjects(groups, n_samples):
    """Data-subject ids as a list, one per row.

    Parameters
    ----------
    groups : array-like of shape (n_samples,)
    n_samples : int

    Returns
    -------
    groups : list

    Raises
    ------
    ValueError
        If an id is missing, the length differs, or there is more than one column.
    """
    groups = np.asarray(groups, dtype=object)
    if groups.ndim != 1:
        raise ValueError(
            f"groups must be one-dimensional, got shape {groups.shape}. Give one "
            "data-subject id per row, such as a column of a data frame."
        )
    if len(groups) != n_samples:
        raise ValueError(
            f"groups has {len(groups)} rows but X has {n_samples}. Give one "
            "data-subject id per row."
        )
    if pd.isna(groups).any():
        raise ValueError(
            "groups has missing values. Give every row a data-subject id; a row that "
            "belongs to nobody may have one of its own."
        )
    return groups.tolist()


def check_like_fit(estimator, X):
    """New rows as a container that can be indexed, with the columns seen in ``fit``.

    Parameters
    ----------
    estimator : fitted estimator
    X : array-like, sparse matrix, data frame or list of length n_samples

    Returns
    -------
    X : same type as X, or an array

    Raises
    ------
    ValueError
        If X is a single sample without its second dimension, or has other columns.
    """
    (X,) = indexable(X)
    if hasattr(estimator, "n_features_in_") and getattr(X, "ndim", 2) == 1:
        raise ValueError(
            f"X has one dimension, but {type(estimator).__name__} was fitted on "
            f"{estimator.n_features_in_} features. Reshape your data with "
            "X.reshape(1, -1) if it is a single sample."
        )
    return validate_data(estimator, X, reset=False, skip_check_array=True)


def check_groups(
    groups, n_samples=None, name="sensitive_features", *, allow_missing=False
):
    """One group label per row.

    Parameters
    ----------
    groups : array-like of shape (n_samples,) or (n_samples, n_features)
        Group labels. Several columns are intersected: each combination that occurs
        is a group named by its values joined with commas, as in fairlearn.
    n_samples : int, default=None
        Number of rows required.
    name : str, default="sensitive_features"
        What the error messages call the input.
    allow_missing : bool, default=False
        Whether rows may have no group: NaN or None in some column.

    Returns
    -------
    groups : ndarray of shape (n_samples,), or masked array if `allow_missing`
        Rows without a group are masked.

    Raises
    ------
    ValueError
        If a value is missing, the length differs, or the values cannot be ordered.
    """
    columns = [_as_vector(column, name) for column in _columns_of(groups, name)]
    length = len(columns[0])
    if n_samples is not None and length != n_samples:
        raise ValueError(
            f"{name} has {length} rows but X has {n_samples}. Give one value per row."
        )
    missing = np.any([pd.isna(column) for column in columns], axis=0)
    if missing.any() and not allow_missing:
        raise ValueError(
            f"{name} is missing (NaN or None) in {int(missing.sum())} of {length} "
            f"rows, first in row {int(np.argmax(missing))}. Drop these rows, or "
            "name their group, for example 'unknown'."
        )
    if not allow_missing:
        return _join_columns(columns, name)
    known = _join_columns([column[~missing] for column in columns], name)
    groups = np.ma.masked_all(length, dtype=known.dtype)
    groups[~missing] = known
    return groups


def _join_columns(columns, name):
    """Intersect columns without missing values; give them a type with an order."""
    if len(columns) > 1:
        escaped = [
            [str(v).replace("\\", "\\\\").replace(",", "\\,") for v in column.tolist()]
            for column in columns
        ]
        return np.array([",".join(values) for values in zip(*escaped)], dtype=str)
    (column,) = columns
    if column.dtype.kind != "O":
        return column
    # Groups are few, so that a look at each is cheap.
    code, values = pd.factorize(column)
    are_texts = [isinstance(value, str) for value in values]
    if all(are_texts):
        return values.astype(str)[code]
    if any(are_texts):
        raise ValueError(
            f"{name} mixes strings and other types, which have no common order. "
            "Convert the values to one type, for example with astype(str)."
        )
    return np.array(column.tolist())


def encode_groups(groups):
    """Names of the groups, sorted, and the position of each row's, -1 if it has none.

    Parameters
    ----------
    groups : ndarray or masked array of shape (n_samples,)

    Returns
    -------
    names : ndarray of shape (n_groups,)
    code : ndarray of int of shape (n_samples,)
    """
    known = ~np.ma.getmaskarray(groups)
    code = np.full(len(groups), -1)
    names, code[known] = distinct(np.ma.getdata(groups)[known])
    return names, code


def distinct(values):
    """Distinct values, sorted, and the position of each value among them.

    It is ``numpy.unique`` by a hash table, so that only distinct values are sorted.

    Parameters
    ----------
    values : ndarray of shape (n_samples,)
        Without missing values.

    Returns
    -------
    names : ndarray of shape (n_distinct,)
    code : ndarray of int of shape (n_samples,)
    """
    code, names = pd.factorize(values, sort=True)
    return np.asarray(names, dtype=values.dtype), code


def split_sensitive(X, sensitive_feature, drop_sensitive=True, *, allow_missing=False):
    """Take the sensitive feature out of X.

    Parameters
    ----------
    X : array-like, sparse matrix or data frame of shape (n_samples, n_features)
        Rows. Pandas and polars frames, arrays and sparse matrices have columns; any
        other sequence (a list of texts) works with a callable only.
    sensitive_feature : str, int, list of these, or callable
        Column name, column position, several of them (each combination of values is
        a group), or a function of X that returns the groups.
    drop_sensitive : bool, default=True
        Whether the returned X lacks the named columns. A callable names no column,
        so it drops none.
    allow_missing : bool, default=False
        Whether rows may have no group.

    Returns
    -------
    X : same type as X
        What the members see.
    groups : ndarray of shape (n_samples,), or masked array if `allow_missing`

    Raises
    ------
    ValueError
        If a column does not exist, none would be left, or a group is missing.
    """
    n_samples = _num_samples(X)
    if callable(sensitive_feature):
        name = getattr(sensitive_feature, "__name__", "callable")
        label = f"sensitive_feature={name}"
        groups = sensitive_feature(X)
        return X, check_groups(groups, n_samples, label, allow_missing=allow_missing)
    named = list(np.atleast_1d(np.asarray(sensitive_feature, dtype=object)))
    if not named:
        raise ValueError("sensitive_feature is an empty list. Name a column.")
    label = f"sensitive_feature={sensitive_feature!r}"
    positions = [_column_position(X, column) for column in named]
    groups = check_groups(
        pd.DataFrame(
            {p: _as_vector(_take_column(X, p), label) for p in positions}, copy=False
        ),
        n_samples,
        label,
        allow_missing=allow_missing,
    )
    return (_drop_columns(X, positions) if drop_sensitive else X), groups


def row_columns(X):
    """Columns of X for :func:`~sklearn_fairsisa.fairness._coins.row_coins`."""
    if sparse.issparse(X):
        return X
    if isinstance(X, np.ndarray) and X.ndim == 2:
        return X
    names = column_names(X)
    if names is not None:
        columns = [_take_column(X, position) for position in range(len(names))]
        return [
            column.to_numpy() if hasattr(column, "to_numpy") else np.asarray(column)
            for column in columns
        ]
    if n_columns(X) is None or not len(X):
        return [np.asarray(X)]
    return [np.array(column, dtype=object) for column in zip(*X)]


def column_names(X):
    """Names of the columns of a data frame, None for anything else."""
    columns = getattr(X, "columns", None)
    return None if columns is None else list(columns)


def n_columns(X):
    """Number of columns, None where X is a plain sequence."""
    shape = getattr(X, "shape", None)
    if shape is None:
        first = X[0] if len(X) else None
        return len(first) if isinstance(first, list | tuple | np.ndarray) else None
    return shape[1] if len(shape) == 2 else None


def _columns_of(groups, name):
    if sparse.issparse(groups):
        raise ValueError(f"{name} is a sparse matrix. Give a dense array of labels.")
    names = column_names(groups)
    if names is not None:
        columns = [_take_column(groups, position) for position in range(len(names))]
    else:
        values = groups
        if not hasattr(values, "dtype"):
            # Objects, since ["a", nan] would turn nan into the text 'nan'.
            values = np.asarray(list(values), dtype=object)
        ndim = getattr(values, "ndim", None) or len(values.shape)
        if ndim > 2:
            raise ValueError(f"{name} has {ndim} dimensions. Give one or two.")
        columns = [values] if ndim == 1 else list(np.asarray(values).T)
    if not columns:
        raise ValueError(f"{name} has no columns. Give at least one.")
    return columns


def _as_vector(column, name):
    if sparse.issparse(column):
        column = column.toarray().ravel()
    if hasattr(column, "to_numpy"):
        column = column.to_numpy()
    values = np.asarray(column)
    if values.ndim != 1:
        raise ValueError(f"{name} must hold one value per row, got {values.shape}.")
    return values


def _column_position(X, column):
    names = column_names(X)
    width = n_columns(X)
    if width is None:
        raise ValueError(
            f"sensitive_feature={column!r} names a column, but X is a "
            f"{type(X).__name__} without columns. Pass sensitive_features= to the "
            "methods, or a callable."
        )
    if isinstance(column, str):
        if names is None:
            raise ValueError(
                f"sensitive_feature={column!r} is a column name, but X is a "
                f"{type(X).__name__} without names. Give the position of the column, "
                "or a data frame."
            )
        if column not in names:
            raise ValueError(f"X has no column {column!r}. Its columns are {names}.")
        return names.index(column)
    if isinstance(column, bool) or not isinstance(column, int | np.integer):
        raise ValueError(
            f"sensitive_feature must be a column name, a position, a list of them or "
            f"a callable, got {column!r}."
        )
    if not -width <= column < width:
        raise ValueError(
            f"sensitive_feature={column} is out of range: X has {width} columns."
        )
    return int(column) % width


def _take_column(X, position):
    if hasattr(X, "iloc"):
        return X.iloc[:, position]
    if column_names(X) is not None:
        return X[X.columns[position]]
    if sparse.issparse(X):
        return X.tocsc()[:, [position]]
    if isinstance(X, list | tuple):
        return np.array([row[position] for row in X], dtype=object)
    return X[:, position]


def _drop_columns(X, positions):
    keep = [p for p in range(n_columns(X)) if p not in positions]
    if not keep:
        raise ValueError(
            "X holds the sensitive feature only, so nothing is left for the members. "
            "Add columns, or set drop_sensitive=False."
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
