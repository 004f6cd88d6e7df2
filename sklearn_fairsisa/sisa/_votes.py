"""Votes and scores of the members of an ensemble."""

import warnings
from contextlib import nullcontext

import numpy as np
from sklearn.utils.validation import _num_samples

from .._utils.class_scores import class_scores, predicted_votes
from .._utils.isolation import forked_generators
from .._utils.lending import lent, writes_named
from .._utils.warnings import level_of_caller
from ._learners import as_input, is_skorch


def member_scores(member, X, n_classes):
    """Return a member's score of each class, in [0, 1] with rows summing to 1.

    These are the member's probabilities if it has any, or else the logistic function
    (softmax) of its decision function, or else its vote. The score of a class that the
    member never saw is 0. Where scores are NaN or infinite, all classes get the same
    score, with a warning.

    Parameters
    ----------
    member : estimator fitted on labels out of 0..n_classes-1

    X : array-like of length n

    n_classes : int

    Returns
    -------
    ndarray of shape (n, n_classes)
    """
    classes = np.arange(n_classes)
    scores = class_scores(
        member, classes, lambda method: _predict(member, method, X), _num_samples(X)
    ).astype(np.float64)
    unknown = ~np.isfinite(scores).all(axis=1)
    if unknown.any():
        # A deletion may leave a naive Bayes member with a single row, whose variance is
        # zero. The other members must still predict.
        scores[unknown] = 1 / n_classes
        warnings.warn(
            f"A {type(member).__name__} gave scores that are not numbers for "
            f"{unknown.sum()} of {len(scores)} samples. All classes get the same score "
            "there.",
            UserWarning,
            stacklevel=level_of_caller(),
        )
    return scores


def member_votes(member, X, n_classes):
    """Return a member's votes as indicators of shape (n, n_classes)."""
    votes = predicted_votes(
        member,
        np.arange(n_classes),
        lambda method: _predict(member, method, X),
        _num_samples(X),
    )
    return votes.astype(np.float64)


def _predict(member, method, X):
    # Iterating over a DataLoader draws from the global generator, even in predict.
    fork = forked_generators(0) if is_skorch(member) else nullcontext()
    # Naive Bayes takes the log of a prior of 0 where a shard lacks a class, and divides
    # by a variance of 0 where it has one row.
    with fork, np.errstate(divide="ignore", invalid="ignore"), writes_named(member):
        return getattr(member, method)(as_input(member, lent(X, member)))
