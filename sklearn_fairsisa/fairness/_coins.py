"""A uniform number for each row, and the decision that it draws."""

import hashlib

import numpy as np
from scipy import sparse

from ._values import encode_numbers, split_column

# Rows that are encoded at a time, as each number takes many bytes meanwhile.
_CHUNK = 1024


def row_coins(columns, seed):
    """Uniform numbers in [0, 1) from a keyed hash of each row.

    Parameters
    ----------
    columns : ndarray of shape (n_samples, n_columns), sparse matrix, or list
        Rows as a numeric matrix, or as a list of one-dimensional columns of any type.
    seed : int
        Non-negative key. Other keys give independent coins.

    Returns
    -------
    coins : ndarray of shape (n_samples,)

    Raises
    ------
    TypeError
        If a value is known by its place in memory alone.

    Notes
    -----
    A row is encoded by its non-zero numbers, rounded to single precision, and its
    texts, each with the position of its column. Batch, order, float width, integer,
    decimal or boolean types, byte order, sparsity and the container therefore do not
    matter. Rows that differ beyond single precision only share a coin. A time counts
    by its instant, in UTC where it has no zone, and a date by its midnight; a duration
    by its length; NaN, None, NA and NaT are one missing value; lists, tuples, arrays
    and mappings within a row count by what they hold.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[0.1, 2.0], [3.0, 0.0]])
    >>> a, b = row_coins(X, seed=7), row_coins([X[:, 0], X[:, 1].astype(int)], seed=7)
    >>> bool((a == b).all())
    True
    """
    if sparse.issparse(columns):
        matrix, texts = columns.tocsr(), []
        if not matrix.has_canonical_format:
            matrix = matrix.copy()
            matrix.sum_duplicates()
    elif isinstance(columns, np.ndarray) and columns.dtype.kind in "fiub":
        matrix, texts = columns, []
    else:
        if isinstance(columns, np.ndarray):
            columns = list(columns.T)
        parts = [split_column(np.asarray(column)) for column in columns]
        matrix = np.column_stack([number for number, _ in parts])
        texts = [(j, text) for j, (_, text) in enumerate(parts) if text is not None]
    key = int(seed).to_bytes(16, "little")
    n_samples = matrix.shape[0]
    coins = np.empty(n_samples, dtype=np.uint64)
    for start in range(0, n_samples, _CHUNK):
        stop = min(start + _CHUNK, n_samples)
        payload, ends = encode_numbers(matrix[start:stop])
        begin = 0
        for i, end in zip(range(start, stop), ends):
            digest = hashlib.blake2b(payload[begin:end], digest_size=8, key=key)
            for j, text in texts:
                if text[i] is not None:
                    # Lengths keep ("ab", "c") and ("a", "bc") apart.
                    digest.update(b"%d:%d:" % (j, len(text[i])) + text[i])
            coins[i] = int.from_bytes(digest.digest(), "little")
            begin = end
    return as_uniform(coins)


def as_uniform(hashes):
    """Numbers in [0, 1) of 64-bit hashes."""
    # The 53 leading bits fill a double exactly, so 1.0 cannot occur.
    return (hashes >> np.uint64(11)) * 2.0**-53


def class_probabilities(probability):
    """Probability of each class.

    Parameters
    ----------
    probability : ndarray of shape (n_samples,) or (n_samples, n_classes)
        One column is the probability of the second of two classes.

    Returns
    -------
    ndarray of shape (n_samples, n_classes)
    """
    if probability.ndim == 2:
        return probability
    return np.column_stack([1 - probability, probability])


def is_random(probability):
    """Whether each row's decision is left to a coin.

    Parameters
    ----------
    probability : ndarray of shape (n_samples,) or (n_samples, n_classes)

    Returns
    -------
    ndarray of bool of shape (n_samples,)
    """
    between = (probability > 0) & (probability < 1)
    return between if between.ndim == 1 else between.any(axis=1)


def draw_classes(probability, coins):
    """Class on which each row's coin falls.

    Parameters
    ----------
    probability : ndarray of shape (n_samples, n_classes)
        Rows sum to 1, or to less where `snapped` has taken traces away.
    coins : ndarray of shape (n_samples,)
        In [0, 1).

    Returns
    -------
    ndarray of int of shape (n_samples,)

    Notes
    -----
    The unit interval is divided among the classes from the last to the first, so that
    with two classes a coin below the probability of the second decides for it.

    Examples
    --------
    >>> import numpy as np
    >>> draw_classes(np.array([[0.5, 0.25, 0.25]] * 3), np.array([0.2, 0.3, 0.9]))
    array([2, 1, 0])
    """
    ends = np.cumsum(probability[:, ::-1], axis=1)
    # No gap is left to coins near 1, nor to classes that have no probability.
    ends /= ends[:, -1:]
    passed = (coins[:, None] >= ends).sum(axis=1)
    return probability.shape[1] - 1 - passed
