"""The group of each row."""

import copy
from collections.abc import Iterable, Mapping, Set
from contextlib import suppress
from datetime import date, timedelta
from enum import Enum
from itertools import pairwise
from numbers import Complex, Integral, Number

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils.validation import _num_samples

from .accepted import in_memory
from .columns import (
    column_names,
    column_position,
    drop_columns,
    n_columns,
    take_column,
)
from .lending import lent


def check_groups(
    groups, n_samples=None, name="sensitive_features", *, allow_missing=False
):
    """Return one group per row.

    Parameters
    ----------
    groups : array-like of shape (n_samples,) or (n_samples, n_features)
        Group labels. Several columns are intersected: each combination that occurs is
        a group. Frames, mappings of names to columns, a MultiIndex, and rows that are
        tuples have a column per feature.
    n_samples : int, default=None
        Number of rows required.
    name : str, default="sensitive_features"
        Name of the input in error messages.
    allow_missing : bool, default=False
        Whether rows may have no group: NaN, None or masked in some column.

    Returns
    -------
    groups : ndarray of shape (n_samples,), or masked array if `allow_missing`
        Labels; of several columns tuples, with a label per column. Rows without a
        group are masked.

    Raises
    ------
    TypeError
        If a value cannot name a group, as lists and sets cannot.
    ValueError
        If a value is missing or the length differs.

    Notes
    -----
    Labels are equal where their values are, whatever holds them: ``1``, ``1.0``,
    ``True`` and ``Decimal(1)``; ``0.1`` in single and double precision; an instant in
    any unit and time zone, where times without a zone count as UTC and dates as their
    midnight. ``1`` and ``"1"`` differ, as do ``"a"`` and ``b"a"``. A label is displayed
    as its value has it, so that this does not depend on which row came first: whole
    numbers and booleans as integers, instants and durations in microseconds.
    """
    columns = _columns_of(groups, name)
    length = len(columns[0])
    if n_samples is not None and length != n_samples:
        raise ValueError(
            f"{name} has {length} rows but X has {n_samples}. Give one value per row."
        )
    labels, codes = zip(*(_encode_column(column, name) for column in columns))
    missing = np.any([code < 0 for code in codes], axis=0)
    if missing.any() and not allow_missing:
        raise ValueError(
            f"{name} is missing (NaN or None) in {int(missing.sum())} of {length} "
            f"rows, first in row {int(np.argmax(missing))}. Drop these rows, or "
            "name their group, for example 'unknown'."
        )
    known = _intersect(labels, [code[~missing] for code in codes])
    if not allow_missing:
        return known
    groups = np.ma.masked_all(length, dtype=known.dtype)
    groups[~missing] = known
    return groups


def _intersect(labels, codes):
    """Label of each row, which is a tuple if there are several columns."""
    if len(codes) == 1:
        return _pack(labels[0])[codes[0]]
    joint, *others = (code.astype(np.intp) for code in codes)
    for code in others:
        joint = pd.factorize(joint * (code.max(initial=0) + 1) + code)[0]
    first = np.unique(joint, return_index=True)[1]
    tuples = zip(
        *([label[k] for k in code[first]] for label, code in zip(labels, codes))
    )
    return _as_objects(tuples)[joint]


def encode_groups(groups):
    """Return the sorted names of the groups, and the position of each row's group.

    Parameters
    ----------
    groups : ndarray or masked array of shape (n_samples,)
        As `check_groups` returns them.

    Returns
    -------
    names : ndarray of shape (n_groups,)
        Tuples are sorted by their first value, then by the next. Members of
        enumerations are sorted by name.
    code : ndarray of int of shape (n_samples,)

    Raises
    ------
    ValueError
        If the groups have no order.
    """
    known, values = ~np.ma.getmaskarray(groups), np.ma.getdata(groups)
    if not known.all():
        names, found = encode_groups(values[known])
        code = np.full(len(groups), -1)
        code[known] = found
        return names, code
    if values.dtype.kind != "O":
        return distinct(values)
    first_come, names = _factorize(values)
    order = _sorted_positions(names.tolist())
    return names[order], np.argsort(order)[first_come]


def merged_groups(names, code, groups):
    """Return the groups of rows known and new.

    Parameters
    ----------
    names : ndarray of shape (n_groups,)
        Groups of the rows known.
    code : ndarray of int of shape (n_rows,)
        Their positions in `names`.
    groups : ndarray or masked array of shape (n_new_rows,)
        Of new rows, as `check_groups` returns them.

    Returns
    -------
    names : ndarray
        Sorted names of all groups.
    code, new_code : ndarray of int
        Positions of the groups of known and new rows, -1 where missing.

    Raises
    ------
    ValueError
        If new groups have more or fewer features, or no order among the others.

    Examples
    --------
    >>> merged_groups(np.array(["a", "c"]), np.array([1, 0]), np.array(["b", "a"]))
    (array(['a', 'b', 'c'], dtype='<U1'), array([2, 0]), array([1, 0]))
    """
    new_names, new_code = encode_groups(groups)
    known, found = _unpack(names), _unpack(new_names)
    _check_features(found, known)
    merged, place = encode_groups(_pack(known + found))
    places = np.append(place, -1)
    new_code = np.where(new_code < 0, len(place), len(known) + new_code)
    return merged, places[code], places[new_code]


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
    code, names = _factorize(values, sort=True)
    return np.asarray(names, dtype=values.dtype), code


def group_index(names):
    """Index of a table of groups, with a level per sensitive feature.

    Parameters
    ----------
    names : ndarray of shape (n_groups,)

    Returns
    -------
    Index named "group", or MultiIndex with the level names that fairlearn gives to
    features without a name
    """
    if len(names) and isinstance(names[0], tuple):
        levels = [f"sensitive_feature_{k}" for k in range(len(names[0]))]
        return pd.MultiIndex.from_tuples(names.tolist(), names=levels)
    return pd.Index(names, name="group")


def _factorize(values, sort=False):
    """``pandas.factorize``, which knows no foreign byte order."""
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    return pd.factorize(values, sort)


def _sorted_positions(labels):
    """Positions of distinct labels in their order."""
    if labels and isinstance(labels[0], tuple):
        ranks = []
        for level in zip(*labels):
            values = list(dict.fromkeys(level))
            rank = {values[k]: i for i, k in enumerate(_sorted_positions(values))}
            ranks.append([rank[value] for value in level])
        keys = list(zip(*ranks))
    elif all(isinstance(label, Enum) for label in labels):
        keys = [(type(label).__qualname__, label.name) for label in labels]
    else:
        keys = labels
    try:
        order = sorted(range(len(keys)), key=keys.__getitem__)
        is_total = all(keys[a] < keys[b] for a, b in pairwise(order))
    except TypeError:
        is_total = False
    if not is_total:
        kinds = sorted({type(label).__name__ for label in labels})
        raise ValueError(
            f"The groups {labels[:5]}, of the types {kinds}, have no common order. "
            "Convert the values to one type, for example with astype(str)."
        )
    return np.array(order, dtype=np.intp)


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
        groups = sensitive_feature(lent(X, sensitive_feature))
        return X, check_groups(groups, n_samples, label, allow_missing=allow_missing)
    named = list(np.atleast_1d(np.asarray(sensitive_feature, dtype=object)))
    if not named:
        raise ValueError("sensitive_feature is an empty list. Name a column.")
    label = f"sensitive_feature={sensitive_feature!r}"
    positions = [column_position(X, column) for column in named]
    groups = check_groups(
        {position: take_column(X, position) for position in positions},
        n_samples,
        label,
        allow_missing=allow_missing,
    )
    return (drop_columns(X, positions) if drop_sensitive else X), groups


def without_columns(fitted, X, columns):
    """Return rows without some columns, which they may lack already.

    Parameters
    ----------
    fitted : fitted estimator
        Its rows had the columns.
    X : rows
    columns : str, int or list of these

    Returns
    -------
    fitted : estimator
        A copy whose rows lacked them, to check rows against.
    X : rows
    """
    columns = list(np.atleast_1d(np.asarray(columns, dtype=object)))
    names = getattr(fitted, "feature_names_in_", None)
    known = np.arange(fitted.n_features_in_) if names is None else list(names)
    positions = {
        known.index(c) if isinstance(c, str) else int(c) % fitted.n_features_in_
        for c in columns
    }
    if column_names(X) is not None and names is not None:
        dropped = {names[position] for position in positions}
        here = {p for p, name in enumerate(column_names(X)) if name in dropped}
    else:
        here = positions if n_columns(X) == fitted.n_features_in_ else set()
    lacking = copy.copy(fitted)
    lacking.n_features_in_ = fitted.n_features_in_ - len(positions)
    if names is not None:
        lacking.feature_names_in_ = np.delete(names, sorted(positions))
    return lacking, drop_columns(X, here) if here else X


def feature_names(groups):
    """Names of several sensitive features, None where they have none.

    Parameters
    ----------
    groups : array-like of shape (n_samples,) or (n_samples, n_features)

    Returns
    -------
    list, or None
    """
    names = _names_of(groups)
    if names is None or len(names) < 2 or len(set(names)) < len(names):
        return None
    return list(names)


def sensitive_names(sensitive_features, sensitive_feature):
    """Names of the sensitive features, as far as they have some.

    Parameters
    ----------
    sensitive_features : array-like of shape (n_samples,) or (n_samples, k), or None
        Groups that were passed to a method.
    sensitive_feature : str, int, list of these, callable or None
        Columns of X with the groups, or a function of X.

    Returns
    -------
    tuple
        Empty where they have none.

    Examples
    --------
    >>> sensitive_names(pd.DataFrame({"sex": [0], "age": [1]}), None)
    ('sex', 'age')
    """
    if callable(sensitive_feature):
        return ()
    if sensitive_feature is not None:
        return tuple(np.atleast_1d(np.asarray(sensitive_feature, dtype=object)))
    names = _names_of(sensitive_features)
    if names is None:
        name = getattr(sensitive_features, "name", None)
        names = [] if name is None else [name]
    return tuple(names)


def _names_of(groups):
    if isinstance(groups, Mapping):
        return list(groups)
    if isinstance(groups, pd.MultiIndex):
        return list(groups.names)
    names = getattr(groups, "column_names", None) or column_names(groups)
    return names or getattr(getattr(groups, "dtype", None), "names", None)


def _in_order_of(groups, features):
    """Columns by name in the order of fit, where there and here they have names."""
    names = feature_names(groups)
    if features is None or names is None or names == features:
        return groups
    if set(names) != set(features):
        # Frames that were made of arrays have numbers for names.
        if list(range(len(names))) in (names, features):
            return groups
        raise ValueError(
            f"The sensitive features are {names}, but were {features} in fit. Give "
            "the same features."
        )
    columns = dict(zip(names, _columns_of(groups, "sensitive_features")))
    return {feature: columns[feature] for feature in features}


def _columns_of(groups, name):
    """Columns of labels as vectors that hold no rows within rows."""
    groups = in_memory(groups)
    if sparse.issparse(groups):
        raise ValueError(f"{name} is a sparse matrix. Give a dense array of labels.")
    if type(groups).__module__.partition(".")[0] == "pyarrow":
        groups = groups.to_pandas()
    names = column_names(groups)
    if isinstance(groups, Mapping):
        columns = list(groups.values())
    elif names is not None:
        columns = [take_column(groups, position) for position in range(len(names))]
    elif isinstance(groups, str | bytes | Set) or not isinstance(groups, Iterable):
        raise TypeError(
            f"{name} is a {type(groups).__name__}, but must hold one value per row. "
            "Give an array, a list, or a data frame with a column per feature."
        )
    else:
        ndim = len(getattr(groups, "shape", (0,)))
        if ndim > 2:
            raise ValueError(f"{name} has {ndim} dimensions. Give one or two.")
        columns = [groups] if ndim == 1 else list(np.ma.asanyarray(groups).T)
    vectors = [
        part for column in columns for part in _flatten(_as_vector(column, name), name)
    ]
    if not vectors:
        raise ValueError(f"{name} has no columns. Give at least one.")
    lengths = sorted({len(vector) for vector in vectors})
    if len(lengths) > 1:
        raise ValueError(
            f"The columns of {name} have {lengths} rows. Give columns of equal length."
        )
    return vectors


def _as_vector(column, name):
    if sparse.issparse(column):
        column = column.toarray().ravel()
    if isinstance(column, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(column)
        column = np.where(mask, None, np.ma.getdata(column).astype(object))
    elif hasattr(column, "to_numpy"):
        column = column.to_numpy()
    elif isinstance(column, list | tuple) or not hasattr(column, "dtype"):
        if isinstance(column, str | bytes) or not isinstance(column, Iterable):
            raise TypeError(
                f"{name} has a {type(column).__name__} for a column. Give one value "
                "per row."
            )
        # Objects, since ["a", nan] would turn nan into the text 'nan'.
        column = _as_objects(column)
    values = np.asarray(column)
    if values.ndim != 1:
        raise ValueError(f"{name} must hold one value per row, got {values.shape}.")
    return values


def _flatten(vector, name):
    """A vector, or the columns of one whose elements are rows."""
    if vector.dtype.names is not None:
        return [part for n in vector.dtype.names for part in _flatten(vector[n], name)]
    if vector.dtype.kind != "O":
        return [vector]
    missing = pd.isna(vector)
    rows = vector[~missing]
    if not len(rows) or not isinstance(rows[0], tuple | list | np.ndarray):
        return [vector]
    widths = {
        len(row) if isinstance(row, tuple | list | np.ndarray) else 0 for row in rows
    }
    if len(widths) > 1:
        raise ValueError(
            f"{name} has rows of {sorted(widths)} values, 0 standing for what is no "
            "tuple. Give each row as many, one per feature."
        )
    parts = []
    for level in zip(*rows):
        part = np.full(len(vector), None, dtype=object)
        part[~missing] = _as_objects(level)
        parts.extend(_flatten(part, name))
    return parts


def _as_objects(values):
    values = list(values)
    return np.fromiter(values, dtype=object, count=len(values))


def _encode_column(vector, name):
    """Distinct labels of a column, and the position of each row's, -1 if missing."""
    try:
        code, found = _factorize(vector)
    except (TypeError, ArithmeticError):
        kinds = sorted({type(value).__name__ for value in vector.tolist()})
        raise TypeError(
            f"{name} holds values of the types {kinds[:5]}, which cannot all name a "
            "group. Give strings, numbers, dates or members of an enumeration; of "
            "several features a column each."
        ) from None
    # Groups are few, so that a look at each is cheap.
    found = [_plain(value, name) for value in np.asarray(found)]
    labels = list(dict.fromkeys(found))
    position = {label: k for k, label in enumerate(labels)}
    # Rows are many, so few bytes each.
    small = np.min_scalar_type(-1 - len(labels))
    positions = np.array([*(position[value] for value in found), -1], dtype=small)
    return labels, positions[code]


def _plain(value, name):
    """A label as the one object that stands for all of equal value.

    It follows from the value alone. A choice among the spellings that occur would
    depend on rows that may be forgotten.
    """
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes):
        return bytes(value)
    # Timestamps are dates, too. Numpy's durations are integers to it.
    if isinstance(value, date | timedelta | np.datetime64 | np.timedelta64):
        try:
            return _plain_time(value)
        except (ValueError, OverflowError) as error:
            raise ValueError(
                f"{name} holds {value!r}, which pandas cannot represent ({error}). "
                "Convert the values, for example with astype(str)."
            ) from None
    if isinstance(value, pd.Interval):
        ends = (_plain(end, name) for end in (value.left, value.right))
        return pd.Interval(*ends, closed=value.closed)
    if isinstance(value, Number | np.bool_) and not _is_complex(value):
        return _plain_number(value)
    if isinstance(value, Set | tuple):
        raise TypeError(
            f"{name} holds a {type(value).__name__}, {value!r}, which cannot name a "
            "group. Give strings, numbers, dates or members of an enumeration; of "
            "several features a column each."
        )
    return value


def _plain_time(value):
    if isinstance(value, np.datetime64 | np.timedelta64):
        unit, _ = np.datetime_data(value.dtype)
        if unit in ("ps", "fs", "as"):  # which pandas misreads
            value = value.astype(f"{value.dtype.kind}8[ns]")
    if isinstance(value, np.datetime64 | date):
        time = pd.Timestamp(value)
        time = time if time.tz is None else time.tz_convert(None)
    else:
        time = pd.Timedelta(value)
    try:
        return time.as_unit("us", round_ok=False)
    except ValueError:
        return time.as_unit("ns")


def _is_complex(value):
    return isinstance(value, Complex) and value.imag != 0


def _plain_number(value):
    """A whole number as an integer, any other as a float."""
    if isinstance(value, Complex):
        value = value.real
    if isinstance(value, Integral | np.bool_):
        return int(value)
    with suppress(OverflowError):  # of infinity
        if value == int(value):
            return int(value)
    number = float(value)
    if isinstance(value, float | np.floating):
        for kind in (np.float16, np.float32):
            with np.errstate(over="ignore", under="ignore"):
                narrow = kind(number)
            # 0.1 in single precision, which is another number, stands for 0.1.
            if float(narrow) == number:
                return float(str(narrow))
    return number


def _pack(labels):
    """Labels as an array, of a type of its own where that loses nothing."""
    if labels and all(isinstance(label, pd.Timestamp) for label in labels):
        return np.array([label.to_datetime64() for label in labels])
    if labels and all(isinstance(label, pd.Timedelta) for label in labels):
        return np.array([label.to_timedelta64() for label in labels])
    if all(isinstance(label, bool | int | float | str | bytes) for label in labels):
        packed = np.array(labels)
        if packed.tolist() == labels:
            return packed
    return _as_objects(labels)


def _unpack(labels):
    """Labels as objects that compare and hash by value."""
    if labels.dtype.kind in "mM":
        return [_plain(label, "groups") for label in labels]
    return labels.tolist()


def split_groups(
    X,
    sensitive_features,
    sensitive_feature,
    *,
    drop_sensitive,
    allow_missing,
    features=None,
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
        Whether rows may be of no group.
    features : list of str, default=None
        Names of the sensitive features in ``fit``, whose order columns that have
        names are brought into.

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
        groups = _in_order_of(sensitive_features, features)
        return X, check_groups(groups, _num_samples(X), allow_missing=allow_missing)
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
        If a group is unknown and that is not accepted, or if there are more or fewer
        features than in ``fit``.
    """
    given = ~np.ma.getmaskarray(groups)
    first_come, found = _factorize(np.ma.getdata(groups)[given])
    found, known = _unpack(found), _unpack(known)
    _check_features(found, known)
    position = {label: k for k, label in enumerate(known)}
    positions = np.array([position.get(label, -1) for label in found], dtype=np.intp)
    code = np.full(len(groups), -1)
    code[given] = positions[first_come]
    if not accepts_unknown and (code < 0).any():
        unknown = [label for label in found if label not in position]
        raise ValueError(
            f"Groups {unknown[:5]} were not seen in fit, which saw "
            f"{known[:20]}. Fit with rows of them, or set "
            'unknown_group="unconstrained".'
        )
    return code


def _check_features(found, known):
    """Raise unless labels have as many features as those of fit."""
    given, fitted = (
        {len(label) if isinstance(label, tuple) else 1 for label in labels}
        for labels in (found, known)
    )
    if given and given != fitted:
        raise ValueError(
            f"The groups have {given.pop()} sensitive features, but had "
            f"{fitted.pop()} in fit. Give the same features."
        )
