"""Checks of input that the estimators share."""

from datetime import datetime
from decimal import Decimal
from numbers import Integral, Real

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils import indexable
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _num_samples, column_or_1d, validate_data

from .accepted import accepted, is_polars
from .columns import has_one_dimension


def class_labels(y, name="y"):
    """Return class labels of rows as a vector of one type.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
    name : str, default="y"
        What to call it in errors.

    Returns
    -------
    y : ndarray of shape (n_samples,)
        Whole numbers are integers, whatever type they came in, so that no row decides
        on how the classes of others are displayed.

    Raises
    ------
    ValueError
        If y is None, a label is NaN, None or no text, number or boolean, or labels are
        of several kinds, which numpy would convert to one without a word.

    Examples
    --------
    >>> class_labels([1.0, 2, 1])
    array([1, 2, 1])
    >>> class_labels(["1", 2])
    Traceback (most recent call last):
    ...
    ValueError: y holds both the text '1' and the number 2. Give labels of one kind.
    """
    if y is None:
        raise ValueError(
            "This estimator requires y to be passed, but the target y is None. Give a "
            "class label for each row."
        )
    y = accepted(y, name)
    was_list = isinstance(y, list)
    if was_list and not any(
        isinstance(label, list | tuple | np.ndarray) for label in y
    ):
        # As an array of texts and numbers, all would be texts.
        y = np.fromiter(y, dtype=object, count=len(y))
    try:
        y = column_or_1d(y, warn=True)
    except ValueError:
        if was_list:  # of rows
            raise _unusable_label(y[0], name) from None
        raise
    if pd.isna(y).any():
        raise ValueError(
            f"Input {name} contains NaN or None. Drop the rows without a label."
        )
    if y.dtype.kind == "O":
        y = _of_one_kind(y, name)
        return y.astype(str) if was_list and y.dtype.kind == "O" else y
    if y.dtype.kind in "mM" and len(y):
        raise _unusable_label(y[0], name)
    return _whole(y)


def _of_one_kind(labels, name):
    """Return objects as an array of texts, booleans or numbers."""
    labels = labels.tolist()
    first = {}
    for label in labels:
        first.setdefault(_kind_of_label(label), label)
    if None in first:
        raise _unusable_label(first[None], name)
    if len(first) > 1:
        (one, label), (other, another) = list(first.items())[:2]
        raise ValueError(
            f"{name} holds both the {one} {label!r} and the {other} {another!r}. Give "
            "labels of one kind."
        )
    if "boolean" in first:
        return np.array(labels, dtype=bool)
    if "number" in first:
        numbers = np.array(list(map(_number, labels)))
        if numbers.dtype.kind == "O":
            raise _unusable_label(max(labels, key=abs), name)
        return _whole(numbers)
    return np.array(list(map(str.__str__, labels)), dtype=object)


def _kind_of_label(label):
    if isinstance(label, bool | np.bool_):
        return "boolean"
    if isinstance(label, str):
        return "text"
    # Numpy's durations are integers to it.
    if isinstance(label, Real | Decimal) and not isinstance(label, np.timedelta64):
        return "number"
    return None


def _number(label):
    return int(label) if isinstance(label, Integral) else float(label)


def _whole(labels):
    """Return numbers as integers, if all are whole and small enough to be exact."""
    if labels.dtype.kind != "f" or not (np.abs(labels) < 2**53).all():
        return labels
    whole = labels.astype(np.int64)
    return whole if (whole == labels).all() else labels


def _unusable_label(label, name):
    return ValueError(
        f"{name} holds {label!r:.60}, a {type(label).__name__}, which is no class "
        "label. Give texts, whole numbers of up to 64 bits or booleans, as by "
        f"[str(label) for label in {name}]."
    )


def check_classes(classes):
    """Return class labels that may occur as a vector.

    Parameters
    ----------
    classes : array-like or set of shape (n_classes,)

    Returns
    -------
    classes : ndarray of shape (n_classes,)

    Raises
    ------
    ValueError
        If these are not labels in one dimension, or a label is missing.
    """
    reason = "Give"
    try:
        is_set = isinstance(classes, set | frozenset)
        labels = accepted(list(classes) if is_set else classes, "classes")
        if len(labels) and getattr(labels, "ndim", 1) == 1:
            labels = class_labels(labels, "classes")
            check_classification_targets(labels)
            return labels
    except (TypeError, ValueError) as error:
        reason = f"{error} Give"
    raise ValueError(
        f"classes={classes!r} is not a list of class labels. {reason} all labels that "
        "may occur, in any order, such as classes=[0, 1, 2]."
    )


def check_sample_weight(sample_weight, n_samples, name="sample_weight"):
    """Return weights of rows as a vector of doubles.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,) or (n_samples, 1), or float
        A number weighs all rows alike.
    n_samples : int
    name : str, default="sample_weight"
        What errors call the weights.

    Returns
    -------
    ndarray of shape (n_samples,)

    Raises
    ------
    ValueError
        If there is not one number per row, one is missing or infinite, all are zero, or
        they are so large or so small that sums of them or of their squares are not
        representable.
    """
    if isinstance(sample_weight, Real):
        sample_weight = np.full(n_samples, sample_weight)
    weight = check_numbers_of_rows(sample_weight, name).astype(np.float64)
    if len(weight) != n_samples:
        raise ValueError(
            f"{name} has {len(weight)} rows but X has {n_samples}. Give one weight per "
            "row."
        )
    if not weight.any():
        raise ValueError(
            f"{name} is zero in all rows, so there is nothing to learn from. Give some "
            "rows a positive weight."
        )
    with np.errstate(over="ignore", under="ignore"):
        squares = float(np.sum(weight**2))
    if not 1e-300 < squares < np.inf:
        raise ValueError(
            f"{name} has numbers of size up to {np.abs(weight).max():.3g}, whose "
            "squares are not representable. Divide all weights by their mean."
        )
    return weight


def subject_ids(subjects):
    """Return data-subject ids as an array of objects; equal instants are one id.

    Examples
    --------
    >>> subject_ids(np.array(["2026-01-31"], dtype="M8[D]"))
    array([Timestamp('2026-01-31 00:00:00')], dtype=object)
    """
    # As objects, those of nanoseconds would be integers.
    kind = getattr(getattr(subjects, "dtype", None), "kind", "O")
    values = np.asarray(subjects, dtype=None if kind == "M" else object)
    ids = np.empty(values.size, dtype=object)
    for place, value in enumerate(values.ravel()):
        is_instant = isinstance(value, datetime | np.datetime64)
        ids[place] = pd.Timestamp(value) if is_instant else value
    return ids.reshape(values.shape)


def check_subjects(subjects, n_samples):
    """Return data-subject ids as a list, one per row.

    Parameters
    ----------
    subjects : array-like of shape (n_samples,)
    n_samples : int

    Returns
    -------
    subjects : list

    Raises
    ------
    ValueError
        If an id is missing, the length differs, or there is more than one column.
    """
    subjects = subject_ids(accepted(subjects, "subjects"))
    if subjects.ndim != 1:
        raise ValueError(
            f"subjects must be one-dimensional, got shape {subjects.shape}. Give one "
            "data-subject id per row, such as a column of a data frame."
        )
    if len(subjects) != n_samples:
        raise ValueError(
            f"subjects has {len(subjects)} rows but X has {n_samples}. Give one "
            "data-subject id per row."
        )
    if any(isinstance(subject, bool | np.bool_) for subject in subjects):
        raise ValueError(
            "subjects holds booleans, which look like a mask of rows. Give each person "
            "an id of their own."
        )
    if not all(map(_has_hash, subjects)):
        raise TypeError(
            "subjects holds lists, dicts or sets, which can change. Give each person a "
            "text, a number, or a tuple of these."
        )
    if pd.isna(subjects).any():
        raise ValueError(
            "subjects has missing values. Give every row a data-subject id; a row "
            "without a subject can have an id of its own."
        )
    return subjects.tolist()


def _has_hash(value):
    try:
        hash(value)
    except TypeError:
        return False
    return True


def check_no_mask(values, name):
    """Raise a ValueError if some entries are masked, which numpy would read."""
    if np.ma.is_masked(values):
        raise ValueError(
            f"{name} is a masked array with masked entries, which would be read as if "
            f"they were not. Give {name}.compressed()."
        )


def check_some_rows(X):
    """Raise a ValueError if there are no rows, or rows without columns."""
    if _num_samples(X) == 0:
        raise ValueError("X has 0 samples. Give at least one.")
    shape = getattr(X, "shape", ())
    if len(shape) == 2 and shape[1] == 0:
        raise ValueError(
            f"X has 0 feature(s) (shape={tuple(shape)}) while a minimum of 1 is "
            "required."
        )


def check_numbers_of_rows(values, name="sample_weight"):
    """Return a number per row, such as its weight, as a vector.

    Parameters
    ----------
    values : array-like of shape (n_samples,) or (n_samples, 1)
    name : str, default="sample_weight"

    Returns
    -------
    ndarray of shape (n_samples,)

    Raises
    ------
    ValueError
        If there is more than one column, a value is not a finite number, or their sum
        is not.

    Examples
    --------
    >>> check_numbers_of_rows([[1.5], [2]])
    array([1.5, 2. ])
    """
    numbers = accepted(values, name)
    numbers = numbers.toarray() if sparse.issparse(numbers) else np.asarray(numbers)
    if numbers.ndim == 2 and numbers.shape[1] == 1:
        numbers = numbers[:, 0]
    if numbers.ndim != 1:
        raise ValueError(
            f"{name} has the shape {numbers.shape}. Give one number per row."
        )
    if numbers.dtype.kind not in "biuf":
        try:
            # What is no number may be read as one: a date, a text.
            if not all(isinstance(number, Real) for number in numbers.tolist()):
                raise TypeError
            numbers = numbers.astype(np.float64)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(
                f"{name} holds {numbers.dtype}. Give one number per row."
            ) from None
    if not np.isfinite(numbers).all():
        raise ValueError(f"{name} contains NaN or infinity. Give finite numbers.")
    with np.errstate(over="ignore"):
        total = np.abs(numbers).sum(dtype=np.float64)
    if not np.isfinite(total):
        raise ValueError(
            f"The sum of {name} is more than a floating-point number can hold. Divide "
            "all of them by the greatest."
        )
    return numbers


def check_like_fit(estimator, X):
    """Return rows as a container that can be indexed, with the columns of ``fit``.

    Parameters
    ----------
    estimator : fitted estimator
    X : array-like, sparse matrix, data frame or list of length n_samples

    Returns
    -------
    X : accepted container
        With the column names of ``fit``, or without names if ``fit`` saw none.

    Raises
    ------
    TypeError
        If X is a container of another kind.
    ValueError
        If X is empty, is a single sample without its second dimension, or has other
        columns.

    Warns
    -----
    UserWarning
        If X has names and the rows of ``fit`` had none, or the other way round.
    """
    (X,) = indexable(accepted(X))
    check_some_rows(X)
    if hasattr(estimator, "n_features_in_") and has_one_dimension(X):
        raise ValueError(
            f"X has one dimension, but {type(estimator).__name__} was fitted on "
            f"{estimator.n_features_in_} features. Reshape your data with "
            "X.reshape(1, -1) if it is a single sample."
        )
    X = validate_data(estimator, X, reset=False, skip_check_array=True)
    return _named_as_in_fit(estimator, X)


def _named_as_in_fit(estimator, X):
    """Return rows with the names of ``fit``, so that no member warns again."""
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        if not hasattr(estimator, "n_features_in_"):
            return X
        if isinstance(X, pd.DataFrame):
            return X.set_axis(range(X.shape[1]), axis=1)
        return X.to_numpy() if is_polars(X) else X
    if sparse.issparse(X):
        return pd.DataFrame.sparse.from_spmatrix(X, columns=names)
    if isinstance(X, np.ndarray | list):
        return pd.DataFrame(X, columns=names)
    return X
