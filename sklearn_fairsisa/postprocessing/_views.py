"""Rows as numbers, each on its own, for models that no learner of the user's makes.

Nothing is learnt, so that the numbers of a row depend on the row alone.
"""

import re
from numbers import Real

import numpy as np
from scipy import sparse
from sklearn.feature_extraction import FeatureHasher

from .._utils.columns import row_columns

# Columns that texts and wide rows are hashed to, and that words of tables are.
_N_HASHED, _N_OF_TABLES = 512, 256
# Rows of more columns are wide.
_MOST_COLUMNS = 1024
_WORD = re.compile(r"\w+")


def as_numbers(X):
    """Return rows as an array of doubles.

    Parameters
    ----------
    X : array-like, sparse matrix, data frame or list of length n_samples
        Texts and categories become hashed words; what is neither a number nor a string
        is missing. More columns than 1,024 are hashed.

    Returns
    -------
    ndarray of shape (n_samples, n_numbers)
        NaN where a number is missing. Hashed words come last, if there may be any.

    Examples
    --------
    >>> as_numbers([[1, 2.5], [3, None]])
    array([[1. , 2.5],
           [3. , nan]])
    """
    if sparse.issparse(X):
        X = X.tocsr()
        if X.shape[1] > _MOST_COLUMNS:
            X = X @ _buckets(X.shape[1])
        return np.asarray(X.todense(), dtype=np.float64)
    columns = row_columns(X)
    if isinstance(columns, np.ndarray):
        if _is_numeric(columns):
            return _narrow(columns.astype(np.float64))
        columns = list(columns.T)
    numbers = _narrow(np.column_stack([_numbers(column) for column in columns]))
    words = _hashed_words(columns, len(numbers))
    return numbers if words is None else np.hstack([numbers, words])


def of_width(numbers, n_numbers):
    """Return rows with so many columns; those of words, which are last, may lack."""
    lacking = n_numbers - numbers.shape[1]
    if lacking <= 0:
        return numbers[:, :n_numbers]
    return np.hstack([numbers, np.zeros((len(numbers), lacking))])


def _narrow(numbers):
    """Return numbers with wide rows hashed, in which missing ones count as 0."""
    if numbers.shape[1] <= _MOST_COLUMNS:
        return numbers
    known = np.where(np.isfinite(numbers), numbers, 0.0)
    # Sparse, so that the sum over a row does not depend on the number of rows.
    return np.asarray((sparse.csr_array(known) @ _buckets(numbers.shape[1])).todense())


def _buckets(n_columns):
    """Map columns to few, each to one of them with a random sign, always the same."""
    rng = np.random.default_rng(0)
    bucket = rng.integers(_N_HASHED, size=n_columns)
    sign = rng.choice([-1.0, 1.0], n_columns)
    shape = n_columns, _N_HASHED
    return sparse.csr_array((sign, (np.arange(n_columns), bucket)), shape=shape)


def _is_numeric(column):
    return getattr(column, "dtype", np.dtype(object)).kind in "biuf"


def _numbers(column):
    if _is_numeric(column):
        return np.asarray(column, dtype=np.float64)
    return np.array([_number(value) for value in column])


def _number(value):
    try:
        return float(value) if isinstance(value, Real) else np.nan
    except OverflowError:
        return np.nan


def _hashed_words(columns, n_rows):
    """Return the words of strings, hashed beside the number of their column."""
    words, any_words = [[] for _ in range(n_rows)], False
    for j, column in enumerate(columns):
        if _is_numeric(column):
            continue
        for own, value in zip(words, column):
            if isinstance(value, str):
                own += [f"{j}={word}" for word in _WORD.findall(value.lower())]
                any_words = True
    if not any_words:
        return None
    n_hashed = _N_HASHED if len(columns) == 1 else _N_OF_TABLES
    hashed = FeatureHasher(n_hashed, input_type="string").transform(words)
    length = np.sqrt([max(len(own), 1) for own in words])
    return np.asarray(hashed.todense()) / length[:, None]
