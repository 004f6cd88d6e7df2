"""What the members of an ensemble say of samples."""

from contextlib import nullcontext

import numpy as np
from scipy.special import expit, softmax

from ._isolation import forked_generators
from ._learners import as_input, is_skorch


def member_scores(member, X, n_classes):
    """Return a member's score of each class, in [0, 1] with rows summing to 1.

    Probabilities where the learner gives them, else the logistic function (softmax)
    of its decision function, else its vote. A class the member never saw scores 0.

    Parameters
    ----------
    member : estimator fitted on labels out of 0..n_classes-1

    X : array-like of length n

    n_classes : int

    Returns
    -------
    ndarray of shape (n, n_classes)
    """
    if hasattr(member, "predict_proba"):
        return _spread(member, _ask(member, "predict_proba", X), n_classes)
    if hasattr(member, "decision_function"):
        margin = _ask(member, "decision_function", X).astype(np.float64)
        if margin.ndim == 1 or margin.shape[1] == 1:
            positive = expit(margin.ravel())
            return _spread(member, np.c_[1 - positive, positive], n_classes)
        if margin.shape[1] == len(member.classes_):
            return _spread(member, softmax(margin, axis=1), n_classes)
    return member_votes(member, X, n_classes)


def member_votes(member, X, n_classes):
    """Return a member's votes as indicators of shape (n, n_classes)."""
    return np.eye(n_classes)[_ask(member, "predict", X).astype(np.intp)]


def _ask(member, method, X):
    # Iterating torch's DataLoader draws from the global generator, even to predict.
    fork = forked_generators(0) if is_skorch(member) else nullcontext()
    # Naive Bayes takes the log of a prior of 0 where a shard lacks a class.
    with fork, np.errstate(divide="ignore"):
        return np.asarray(getattr(member, method)(as_input(member, X)))


def _spread(member, scores, n_classes):
    """Put the columns of the classes a member knows among those of all classes."""
    if scores.shape[1] == n_classes:
        return scores.astype(np.float64)
    spread = np.zeros((len(scores), n_classes))
    spread[:, np.asarray(member.classes_, dtype=np.intp)] = scores
    return spread
