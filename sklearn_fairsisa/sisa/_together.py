"""Scores of linear members by one product, in the bits of one by one.

Notes
-----
Of a few rows, a linear member's predictions take its checks of the rows rather than
its product with them. `numpy.matmul` multiplies a stack of matrices by the same routine
as each of them alone, so that the members' products can be taken together. What a
member makes of the product differs between versions of scikit-learn: the first member
predicts by itself, and the others are scored together only if it gets the same bits.
"""

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression, SGDClassifier

from ._votes import member_scores

# Beyond, the products take longer than the checks, and a stack of them much memory.
_MOST_ROWS = 256


def scores_together(members, X, n_classes):
    """Return the scores of linear members of two classes.

    Parameters
    ----------
    members : list of estimator or None
        None is a member that abstains.
    X : array-like of length n
    n_classes : int

    Returns
    -------
    list of ndarray of shape (n, n_classes) or None, or None
        As `member_scores` gives them, by member. None if they must predict one by one.
    """
    present = [member for member in members if member is not None]
    if len(present) < 3 or n_classes != 2 or not _is_small(X):
        return None
    if not all(_is_like(member, present[0]) for member in present):
        return None
    own = member_scores(present[0], X, n_classes)
    if len(present[0].coef_[0]) != X.shape[1]:
        return None
    coefficients = np.stack([member.coef_ for member in present]).swapaxes(1, 2)
    intercepts = np.stack([member.intercept_ for member in present])
    positive = expit((X @ coefficients)[:, :, 0] + intercepts)
    found = np.stack([1 - positive, positive], axis=2)
    if not np.isfinite(found).all() or found[0].tobytes() != own.tobytes():
        return None
    each = iter(found)
    return [None if member is None else next(each) for member in members]


def _is_small(X):
    """Whether rows are few, and an array as linear members read it."""
    return (
        type(X) is np.ndarray
        and X.dtype == np.float64
        and X.ndim == 2
        and X.flags.c_contiguous
        and 0 < len(X) <= _MOST_ROWS
    )


def _is_like(member, first):
    """Whether a member has a logistic score, in arrays such as those of the first."""
    kind = type(member)
    if kind is not type(first) or kind not in (LogisticRegression, SGDClassifier):
        return False
    coef = getattr(member, "coef_", None)
    return (
        type(coef) is np.ndarray
        and type(member.intercept_) is np.ndarray
        and coef.dtype == member.intercept_.dtype == np.float64
        and coef.shape == getattr(first, "coef_", coef).shape
        and coef.shape[0] == 1
        and member.intercept_.shape == (1,)
        and coef.flags.c_contiguous
        and member.classes_.tolist() == [0, 1]
        and getattr(member, "loss", "log_loss") == "log_loss"
        and member.n_features_in_ == coef.shape[1]
        and not hasattr(member, "feature_names_in_")
    )
