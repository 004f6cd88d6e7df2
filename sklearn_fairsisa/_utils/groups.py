"""The group of each row."""

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils.validation import _num_samples

from .columns import column_names, column_position, drop_columns, take_column


def check_groups(
    groups, n_samples=None, name="sensitive_features", *, allow_missing=False
):
    """Return one group label per row.

    Parameters
    ----------
    groups : array-like of shape (n_samples,) or (n_samples, n_features)
        Group labels. Several columns are intersected: each combination that occurs
        is a group, named by its values joined with commas, as in fairlearn.
    n_samples : int, default=None
        Number of rows required.
    name : str, default="sensitive_features"
        Name of the input in error messages.
    allow_missing : bool, default=False
        Whether rows may have no group, with NaN or None in some column.

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
    """Return the intersection of columns without missing values, in a sortable type."""
    if len(columns) > 1:
        escaped = [
            [str(v).replace("\\", "\\\\").replace(",", "\\,") for v in column.tolist()]
            for column in columns
        ]
        return np.array([",".join(values) for values in zip(*escaped)], dtype=str)
    (column,) = columns
    if column.dtype.kind != "O":
        return column
    # Groups are few, so checking each is cheap.
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
    """Return the sorted names of the groups, and the position of each row's group.

    Parameters
    ----------
    groups : ndarray or masked array of shape (n_samples,)

    Returns
    -------
    names : ndarray of shape (n_groups,)
    code : ndarray of int of shape (n_samples,)
        -1 for rows without a group.
    """
    known = ~np.ma.getmaskarray(groups)
    code = np.full(len(groups), -1)
    names, code[known] = distinct(np.ma.getdata(groups)[known])
    return names, code


def distinct(values):
    """Return the sorted distinct values, and the position of each value among them.

    Unlike ``numpy.unique``, this uses a hash table and only sorts distinct values.

    Parameters
    ----------
    values : ndarray of shape (n_samples,)
        Values, none of which is missing.

    Returns
    -------
    names : ndarray of shape (n_distinct,)
    code : ndarray of int of shape (n_samples,)
    """
    code, names = pd.factorize(values, sort=True)
    return np.asarray(names, dtype=values.dtype), code


def split_sensitive(X, sensitive_feature, drop_sensitive=True, *, allow_missing=False):
    """Return X without the sensitive feature, and the groups.

    Parameters
    ----------
    X : array-like, sparse matrix or data frame of shape (n_samples, n_features)
        Rows. Pandas and polars frames, arrays and sparse matrices have columns; other
        sequences, such as a list of texts, need a callable.
    sensitive_feature : str, int, list of these, or callable
        Column name, column position, several of these (each combination of values is
        a group), or a function of X that returns the groups.
    drop_sensitive : bool, default=True
        Whether the returned X lacks the named columns. With a callable, no column is
        dropped.
    allow_missing : bool, default=False
        Whether rows may have no group.

    Returns
    -------
    X : same type as X
        Rows for the members.
    groups : ndarray of shape (n_samples,), or masked array if `allow_missing`

    Raises
    ------
    ValueError
        If a column does not exist, no column would remain, or a group is missing.
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
    positions = [column_position(X, column) for column in named]
    groups = check_groups(
        pd.DataFrame(
            {p: _as_vector(take_column(X, p), label) for p in positions}, copy=False
        ),
        n_samples,
        label,
        allow_missing=allow_missing,
    )
    return (drop_columns(X, positions) if drop_sensitive else X), groups


def _columns_of(groups, name):
    if sparse.issparse(groups):
        raise ValueError(f"{name} is a sparse matrix. Give a dense array of labels.")
    names = column_names(groups)
    if names is not None:
        columns = [take_column(groups, position) for position in range(len(names))]
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


def split_groups(
    X, sensitive_features, sensitive_feature, *, drop_sensitive, allow_missing
):
    """Return the rows for the members, and the groups from X or a separate argument.

    Parameters
    ----------
    X : rows
    sensitive_features : array-like of shape (n_samples,) or (n_samples, k), or None
        Groups that were passed to a method.
    sensitive_feature : str, int, list of these, callable or None
        Columns of X with the groups, or a function of X.
    drop_sensitive : bool
        Whether the rows for the members lack these columns.
    allow_missing : bool
        Whether rows may have no group.

    Returns
    -------
    X : rows
        Rows for the members.
    groups : array of shape (n_samples,)
        Masked where missing, if `allow_missing`.

    Raises
    ------
    ValueError
        If both or none of the two arguments are given, or a group is missing.
    """
    if sensitive_feature is None and sensitive_features is None:
        raise ValueError(
            "No sensitive feature is given. Name a column of X in "
            "sensitive_feature, or pass sensitive_features to this method."
        )
    if sensitive_feature is None:
        return X, check_groups(
            sensitive_features, _num_samples(X), allow_missing=allow_missing
        )
    if sensitive_features is not None:
        raise ValueError(
            f"sensitive_feature={sensitive_feature!r} already gives the group of each "
            "row, but sensitive_features is passed too. Use one of them."
        )
    return split_sensitive(
        X, sensitive_feature, drop_sensitive, allow_missing=allow_missing
    )


def group_codes(groups, known, *, accepts_unknown):
    """Return the position of each row's group among the known groups.

    Parameters
    ----------
    groups : array of shape (n_samples,)
        Masked where missing.
    known : ndarray of shape (n_groups,)
        Sorted groups.
    accepts_unknown : bool

    Returns
    -------
    ndarray of int of shape (n_samples,)
        -1 for rows of unknown groups.

    Raises
    ------
    ValueError
        If a group is unknown, unless `accepts_unknown`.
    """
    missing, groups = np.ma.getmaskarray(groups), np.ma.getdata(groups)
    code = np.full(len(groups), -1)
    if (groups.dtype.kind == "U") == (known.dtype.kind == "U"):
        position = np.searchsorted(known, groups).clip(max=len(known) - 1)
        alike = ~missing & (known[position] == groups)
        code[alike] = position[alike]
    if not accepts_unknown and (code < 0).any():
        unknown = np.unique(groups[code < 0]).tolist()
        raise ValueError(
            f"Groups {unknown[:5]} were not seen in fit, which saw "
            f"{known.tolist()[:20]}. Fit with rows of them, or set "
            'unknown_group="unconstrained".'
        )
    return code
