"""Containers of texts as lists of strings."""

import math
from collections.abc import Iterable, Mapping, Set
from numbers import Integral

import numpy as np


def as_texts(X, text_column=None):
    """Return the texts of `X` as a list of strings.

    Parameters
    ----------
    X : list of str, array of shape (n,) or (n, 1), Series, or DataFrame
        Texts, in the column `text_column` of a DataFrame with several columns.

    text_column : str or int, default=None
        Column of a DataFrame, or position of a column in a two-dimensional array.

    Returns
    -------
    list of str

    Raises
    ------
    TypeError
        If `X` is a single string, or a value is not a string. The message gives
        position and type, never the content.
    ValueError
        If `X` is empty, has several columns without a chosen one, or holds a text
        that is not valid Unicode.

    Examples
    --------
    >>> as_texts([["good morning"], ["good night"]])
    ['good morning', 'good night']
    """
    texts = _column(X, text_column)
    if not texts:
        raise ValueError("X holds no text. Give at least one.")
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(_not_a_text(position, text))
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError(
                f"The text at position {position} holds a lone surrogate, which no "
                "Unicode encoding can represent. Clean it, for example with "
                "text.encode('utf-8', 'replace').decode()."
            ) from None
    return texts


def _column(X, text_column):
    """Return the values of the text column as a list."""
    if isinstance(X, str | bytes):
        raise TypeError(
            f"X is one {type(X).__name__}, but an array-like of texts is needed. "
            "Wrap it in a list: [text]."
        )
    if hasattr(X, "columns"):
        return _column_of_frame(X, text_column)
    if hasattr(X, "to_list"):  # a pandas or polars Series
        return X.to_list()
    if not isinstance(X, np.ndarray):
        # A set has no order, and the texts of a dict may be its keys or its values.
        if not isinstance(X, Iterable) or isinstance(X, Set | Mapping):
            raise TypeError(
                f"X is a {type(X).__name__}, but texts are needed: a list of str, an "
                "array, a Series, or a DataFrame with text_column=."
            )
        X = list(X)
        if not any(isinstance(row, list | tuple | np.ndarray) for row in X):
            return X
        X = np.array(X, dtype=object)
    if X.ndim == 1:
        return X.tolist()
    if X.ndim != 2:
        raise ValueError(f"X has {X.ndim} dimensions. Give texts in 1 or 2 dimensions.")
    return X[:, _position(X.shape[1], text_column)].tolist()


def _column_of_frame(X, text_column):
    columns = list(X.columns)
    if text_column is None:
        if len(columns) != 1:
            raise ValueError(
                f"X has {len(columns)} columns, {columns}. Name the one that holds the "
                "texts with text_column=."
            )
        text_column = columns[0]
    elif text_column not in columns:
        raise ValueError(
            f"text_column={text_column!r} is not a column of X. Name one of {columns}."
        )
    if columns.count(text_column) > 1:
        raise ValueError(
            f"X has {columns.count(text_column)} columns named {text_column!r}. Rename "
            "all but the one that holds the texts."
        )
    return X[text_column].to_list()


def _position(n_columns, text_column):
    if text_column is None:
        if n_columns != 1:
            raise ValueError(
                f"X has {n_columns} columns. Give the position of the one that holds "
                "the texts with text_column=, or pass that column alone."
            )
        return 0
    is_int = isinstance(text_column, Integral)
    if not is_int or not -n_columns <= text_column < n_columns:
        raise ValueError(
            f"text_column={text_column!r} is not a position in X, an array of "
            f"{n_columns} columns. Give an int from {-n_columns} to {n_columns - 1}."
        )
    return text_column


def _not_a_text(position, value):
    missing = (
        value is None
        or type(value).__name__ == "NAType"
        or (isinstance(value, float) and math.isnan(value))
    )
    what = "is missing" if missing else "is not a text"
    todo = (
        "Drop the row or fill in an empty string."
        if missing
        else "Convert it to str first."
    )
    return f"The value at position {position} {what}: {type(value).__name__}. {todo}"
