"""Checks of input that the estimators share."""

from collections.abc import Mapping, Set
from functools import partial

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils import indexable
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _num_samples, column_or_1d, validate_data

# One of these is had by whatever scikit-learn takes for rows, if it has no shape.
_OF_ROWS = ("__len__", "__array__", "__dataframe__")


def check_is_container(X):
    """Raise TypeError if X does not hold rows.

    Parameters
    ----------
    X : object

    Raises
    ------
    TypeError
        If X is None, a single value, a text, a mapping or an iterator.
    """
    if hasattr(X, "shape"):
        holds_rows = len(X.shape) > 0
    else:
        is_other = isinstance(X, str | bytes | Mapping | Set)
        holds_rows = not is_other and any(map(partial(hasattr, X), _OF_ROWS))
    if not holds_rows:
        came = "None" if X is None else f"a {type(X).__name__}"
        raise TypeError(
            f"X is {came}, but must hold one row per sample. Give an array, a sparse "
            "matrix, a data frame or a list."
        )


def check_no_missing_labels(y):
    """Return labels as a vector without missing values.

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
    labels = list(classes) if isinstance(classes, set | frozenset) else classes
    labels = np.asarray(labels)
    if labels.ndim != 1 or len(labels) == 0 or pd.isna(labels).any():
        raise ValueError(
            f"classes={classes!r} is not a list of class labels. Give all labels that "
            "may occur, in any order, such as classes=[0, 1, 2]."
        )
    check_classification_targets(labels)
    return labels


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
    weight = _numbers(sample_weight, name)
    if weight.ndim == 0:
        weight = np.full(n_samples, weight)
    elif weight.ndim == 2 and weight.shape[1] == 1:
        weight = weight[:, 0]
    if weight.shape != (n_samples,):
        raise ValueError(
            f"{name} has the shape {weight.shape}, but X has {n_samples} rows. Give "
            "one weight per row."
        )
    if not np.isfinite(weight).all():
        raise ValueError(
            f"{name} has values that are missing (NaN) or infinite. Give every row a "
            "number; a row of weight 0 is left out."
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
            f"{name} has numbers of size up to {np.abs(weight).max():.3g}, whose sums "
            "and squares are not representable. Divide all weights by their mean."
        )
    return weight


def _numbers(values, name):
    """Return weights in double precision, in memory of their own."""
    if sparse.issparse(values):
        values = values.toarray()
    # Of a frame or series, pandas' missing values become NaN.
    given = np.asarray(values.to_numpy() if hasattr(values, "to_numpy") else values)
    kind = given.dtype.kind
    try:
        if kind == "O":
            given = np.where(pd.isna(given), np.nan, given)
        if kind not in "biufO":
            raise TypeError
        return np.array(given, dtype=np.float64, order="C")
    except (TypeError, ValueError):
        came = f"{values!r}" if given.ndim == 0 else f"values of type {given.dtype}"
        raise ValueError(
            f"{name} must be numbers, got {came}. Give one weight per row."
        ) from None


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
    subjects = np.asarray(subjects, dtype=object)
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
    if pd.isna(subjects).any():
        raise ValueError(
            "subjects has missing values. Give every row a data-subject id; a row "
            "without a subject can have an id of its own."
        )
    return subjects.tolist()


def check_like_fit(estimator, X):
    """Return rows as a container that can be indexed, with the columns of ``fit``.

    Parameters
    ----------
    estimator : fitted estimator
    X : array-like, sparse matrix, data frame or list of length n_samples

    Returns
    -------
    X : same type as X, or an array

    Raises
    ------
    TypeError
        If X does not hold rows.
    ValueError
        If X has no row, is a single sample without its second dimension, or has other
        columns.
    """
    check_is_container(X)
    (X,) = indexable(X)
    if _num_samples(X) == 0:
        raise ValueError(
            f"X has 0 rows, so {type(estimator).__name__} has nothing to predict. Give "
            "at least one sample."
        )
    if hasattr(estimator, "n_features_in_") and getattr(X, "ndim", 2) == 1:
        raise ValueError(
            f"X has one dimension, but {type(estimator).__name__} was fitted on "
            f"{estimator.n_features_in_} features. Reshape your data with "
            "X.reshape(1, -1) if it is a single sample."
        )
    return validate_data(estimator, X, reset=False, skip_check_array=True)
