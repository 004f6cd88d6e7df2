"""Checks of input that the estimators share."""

import numpy as np
import pandas as pd
from sklearn.utils import indexable
from sklearn.utils.validation import column_or_1d, validate_data


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
