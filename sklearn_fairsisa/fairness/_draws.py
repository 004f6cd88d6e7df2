"""Decisions drawn from their probabilities by one coin per row."""

import numpy as np


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
