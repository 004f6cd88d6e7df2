"""Decisions on people of more than two classes, judged."""

import numpy as np


def confusion_gap(probability, y, group):
    """Greatest difference between groups of a confusion rate.

    Parameters
    ----------
    probability : ndarray of shape (n_samples, n_classes)
        Expected decisions.
    y : ndarray of int of shape (n_samples,)
        0 to n_classes - 1.
    group : ndarray of shape (n_samples,)
    """
    rates = [
        [probability[(group == a) & (y == j)].mean(axis=0) for j in np.unique(y)]
        for a in np.unique(group)
    ]
    return float(np.ptp(rates, axis=0).max())
