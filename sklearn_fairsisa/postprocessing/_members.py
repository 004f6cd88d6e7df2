"""Scores that the members of any ensemble give to the positive class."""

import numpy as np
from scipy import sparse
from scipy.special import expit
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import _num_samples

from .._pipelines import reach_last_step

# Their members are trained on labels encoded as 0..n_classes-1.
_ENCODING = (BaggingClassifier, ExtraTreesClassifier, RandomForestClassifier)


def member_scores(estimator, X):
    """Score of the positive class by each member of a fitted binary ensemble.

    Parameters
    ----------
    estimator : fitted estimator, or list of frozen classifiers
        It has ``transform``, returning scores of the positive class in [0, 1], one
        column per member, or ``estimators_``. Frozen estimators, pipelines and
        searches around such an ensemble work too.
    X : array-like of shape (n_samples, n_features)

    Returns
    -------
    scores : ndarray of shape (n_samples, n_members)

    Raises
    ------
    ValueError
        If the members cannot be asked, or answer outside [0, 1].
    """
    if isinstance(estimator, list | tuple):
        columns = [_ask(member, X, member.classes_[1]) for member in estimator]
        return check_scores(np.column_stack(columns), "the list of classifiers")
    if isinstance(estimator, FrozenEstimator):
        return member_scores(estimator.estimator, X)
    if hasattr(estimator, "best_estimator_"):
        return member_scores(estimator.best_estimator_, X)
    if isinstance(estimator, Pipeline):
        return member_scores(estimator[-1], reach_last_step(estimator, X))
    if isinstance(estimator, VotingClassifier | StackingClassifier):
        # Their transform has a column per class, or none for dropped members.
        encoded = isinstance(estimator, VotingClassifier)
        members = [m for m in estimator.estimators_ if not isinstance(m, str)]
        return _ask_members(estimator, members, encoded, X)
    if hasattr(estimator, "transform"):
        scores = check_scores(estimator.transform(X), type(estimator).__name__)
        return scores[:, speaking_members(estimator)]
    members = getattr(estimator, "estimators_", None)
    if members is None:
        raise ValueError(
            f"{type(estimator).__name__} has neither transform nor estimators_, so its "
            "members cannot be asked. Use an ensemble, such as SISAClassifier or "
            "BaggingClassifier, or wrap the classifier in VotingClassifier."
        )
    return _ask_members(estimator, members, isinstance(estimator, _ENCODING), X)


def speaking_members(estimator):
    """Tell which members of an ensemble do not abstain.

    Parameters
    ----------
    estimator : fitted ensemble

    Returns
    -------
    slice, or ndarray of int
        Positions of the members; a shard that lost all its rows has None for one.

    Raises
    ------
    ValueError
        If all abstain.
    """
    members = getattr(estimator, "estimators_", ())
    speaking = [k for k, member in enumerate(members) if member is not None]
    if len(speaking) == len(members):
        return slice(None)
    if not speaking:
        raise ValueError(
            "All members abstain, since every training row has been forgotten. Fit "
            "again."
        )
    return np.array(speaking)


def check_scores(scores, name):
    """Scores as an array of doubles of shape (n_samples, n_members) in [0, 1]."""
    scores = np.asarray(scores.toarray() if hasattr(scores, "toarray") else scores)
    if scores.ndim == 1:
        scores = scores[:, None]
    try:
        scores = scores.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"The members' outputs from {name} are not numbers ({scores.dtype}). Give "
            "votes 0 and 1, scores in [0, 1], or class labels."
        ) from None
    if scores.ndim != 2 or scores.shape[1] == 0:
        raise ValueError(
            f"The members' outputs from {name} have shape {scores.shape}. Give one row "
            "per sample and one column per member."
        )
    if not np.isfinite(scores).all():
        raise ValueError(
            f"The members' outputs from {name} contain NaN or infinity. Give votes 0 "
            "and 1 or scores in [0, 1]."
        )
    low, high = scores.min(initial=0.0), scores.max(initial=1.0)
    if low < 0 or high > 1:
        raise ValueError(
            f"The members' outputs from {name} range from {low:.3g} to {high:.3g}. "
            "Scores of the positive class must lie in [0, 1]: turn margins into such "
            "by scipy.special.expit."
        )
    return scores


def _ask_members(estimator, members, encoded, X):
    if any(not hasattr(member, "predict") for member in members) or any(
        getattr(member, "_estimator_type", None) == "regressor" for member in members
    ):
        raise ValueError(
            f"The estimators_ of {type(estimator).__name__} are not classifiers, so "
            "they cast no votes. Use an ensemble of classifiers."
        )
    features = getattr(estimator, "estimators_features_", None)
    columns = []
    if isinstance(estimator, _ENCODING) and not hasattr(X, "tocsr"):
        # Bagging converts X once, and its members never saw its column names.
        X = np.asarray(X)
    for i, member in enumerate(members):
        chosen = X if features is None else X[:, features[i]]
        # A frozen member was not trained anew on the encoded labels.
        own_labels = not encoded or isinstance(member, FrozenEstimator)
        positive = estimator.classes_[1] if own_labels else 1
        columns.append(_ask(member, chosen, positive))
    return check_scores(np.column_stack(columns), type(estimator).__name__)


def _ask(member, X, positive):
    if hasattr(member, "predict_proba"):
        column = np.flatnonzero(member.classes_ == positive)
        if len(column) == 0:
            return np.zeros(_num_samples(X))
        return member.predict_proba(X)[:, column[0]]
    if hasattr(member, "decision_function"):
        margin = member.decision_function(X)
        return expit(margin if member.classes_[-1] == positive else -margin)
    return (member.predict(X) == positive).astype(float)


def ask_members(estimator, X, classes):
    """Scores by the members of an ensemble whose classes must be `classes`."""
    _check_classes_agree(estimator, classes)
    return member_scores(estimator, X)


def check_frozen(models):
    """Raise unless a list given as an ensemble holds frozen classifiers."""
    if not models:
        raise ValueError("estimator is an empty list. Give frozen classifiers.")
    for model in models:
        if not (isinstance(model, FrozenEstimator) and hasattr(model, "classes_")):
            raise ValueError(
                "A list of classifiers is used as it is, so each must be fitted and "
                f"frozen: FrozenEstimator({type(model).__name__}(...).fit(X, y)), from "
                "sklearn.frozen. To have an ensemble trained, use SISAClassifier or "
                "VotingClassifier."
            )


def _check_classes_agree(estimator, classes):
    if isinstance(estimator, list | tuple):
        for member in estimator:
            _check_classes_agree(member, classes)
        return
    known = getattr(estimator, "classes_", classes)
    if not np.array_equal(known, classes):
        raise ValueError(
            f"The ensemble knows the classes {np.asarray(known).tolist()}, but y holds "
            f"{classes.tolist()}. Both must be the same two."
        )


def holds_labels(X, classes):
    """Whether the members' outputs are class labels rather than 0, 1 or scores."""
    values = _as_array(X)
    if set(classes.tolist()) == {0, 1}:
        return False
    return bool(np.isin(values, classes).all())


def given_scores(X, classes, are_labels):
    """Scores out of what the caller says the members have put out."""
    values = _as_array(X)
    if not are_labels:
        return check_scores(values, "X")
    if not np.isin(values, classes).all():
        raise ValueError(
            f"fit saw votes out of {classes.tolist()}, but X holds something else. "
            "Give such votes."
        )
    return (values == classes[1]).astype(float)


def _as_array(X):
    if sparse.issparse(X):
        return X.toarray()
    values = X.to_numpy() if hasattr(X, "to_numpy") else np.asarray(X)
    return values[:, None] if values.ndim == 1 else values
