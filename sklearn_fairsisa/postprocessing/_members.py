"""Scores that the members of any ensemble give to the classes."""

import numpy as np
from scipy import sparse
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import _num_samples, check_is_fitted

from .._utils.class_scores import class_scores, class_votes
from .._utils.columns import n_columns
from .._utils.lending import lent, writes_named
from .._utils.pipelines import reach_last_step
from ..sisa._classifier import SISAClassifier
from ..sisa._learners import frozen_vectors
from ..sisa._predicting import PredictingMixin
from ._aggregation import is_any
from ._views import as_numbers

# Named, not imported: sklearn.ensemble would make a tenth of the package's import.
_MIXING = {"VotingClassifier", "StackingClassifier"}
# Their members are trained on an array, so that they know no names of columns.
_CONVERTING = {
    "AdaBoostClassifier", "BaggingClassifier", "ExtraTreesClassifier",
    "RandomForestClassifier",
}  # fmt: skip
# Their members are trained on labels encoded as 0..n_classes-1.
_ENCODING = {"BaggingClassifier", "ExtraTreesClassifier", "RandomForestClassifier"}


def member_scores(estimator, X, n_classes=2):
    """Scores by each member of a fitted ensemble.

    Parameters
    ----------
    estimator : fitted estimator, or list of frozen classifiers
        It has ``transform``, returning scores of the positive class in [0, 1], one
        column per member, or with more than two classes those of each class, member by
        member; or it has ``estimators_``. Frozen estimators, pipelines and searches
        around such an ensemble work too.
    X : array-like of shape (n_samples, n_features)
    n_classes : int, default=2

    Returns
    -------
    scores : ndarray of shape (n_samples, n_members[, n_classes])
        Of the positive class; of each class, if these are more than two.

    Raises
    ------
    ValueError
        If the members cannot predict, or their scores lie outside [0, 1].
    """
    if isinstance(estimator, list | tuple):
        columns = [_scores_of(member, X, member.classes_) for member in estimator]
        scores = np.column_stack(columns)
        return check_scores(scores, "the list of classifiers", n_classes)
    if isinstance(estimator, FrozenEstimator):
        return member_scores(estimator.estimator, X, n_classes)
    if hasattr(estimator, "best_estimator_"):
        return member_scores(estimator.best_estimator_, X, n_classes)
    if isinstance(estimator, Pipeline):
        seen = reach_last_step(estimator, X)
        return member_scores(estimator[-1], seen, n_classes)
    if is_any(estimator, _MIXING):
        # Their transform has a column per class, or none for dropped members.
        encoded = getattr(estimator, "cv", None) != "prefit"
        members = [m for m in estimator.estimators_ if not isinstance(m, str)]
        return _scores_by(estimator, members, encoded, X)
    if hasattr(estimator, "transform"):
        name = type(estimator).__name__
        scores = check_scores(estimator.transform(X), name, n_classes)
        return scores[:, predicting_members(estimator)]
    members = getattr(estimator, "estimators_", None)
    if members is None:
        raise ValueError(
            f"{type(estimator).__name__} has neither transform nor estimators_, so its "
            "members cannot predict. Use an ensemble, such as SISAClassifier or "
            "BaggingClassifier, or wrap the classifier in VotingClassifier."
        )
    return _scores_by(estimator, members, is_any(estimator, _ENCODING), X)


def read_numbers(estimator, X):
    """Return rows as numbers, as heads read them, and what gave these.

    Parameters
    ----------
    estimator : fitted estimator, list of frozen classifiers, or None
    X : container of rows

    Returns
    -------
    numbers : ndarray of shape (n_rows, n_numbers)
    source : str
        What gave the vectors of texts, where these are the only column and members of
        a sharded ensemble, or classifiers of a list, have a frozen network; ``""`` for
        the rows themselves.
    """
    if n_columns(X) in (None, 1):
        for member in _readers(estimator):
            found = frozen_vectors(member, X)
            if found is not None:
                vectors, source = found
                return as_numbers(vectors), source
    return as_numbers(X), ""


def _readers(estimator):
    """Yield the fitted classifiers that read the rows that an estimator is given."""
    if isinstance(estimator, list | tuple):
        for one in estimator:
            yield from _readers(one)
    elif isinstance(estimator, FrozenEstimator):
        yield from _readers(estimator.estimator)
    elif hasattr(estimator, "best_estimator_"):
        yield from _readers(estimator.best_estimator_)
    elif isinstance(estimator, PredictingMixin):
        yield from (member for member in estimator.estimators_ if member is not None)
    elif estimator is not None:
        yield estimator


def reached_sisa(estimator):
    """Return the SISAClassifier that an ensemble is, or that it holds frozen, if any.

    Frozen estimators, pipelines and searches around it are looked through.
    """
    while not isinstance(estimator, SISAClassifier):
        if isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(estimator, Pipeline):
            estimator = estimator[-1]
        else:
            return None
    return estimator


def predicting_members(estimator):
    """Members of an ensemble that do not abstain.

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
    predicting = [k for k, member in enumerate(members) if member is not None]
    if len(predicting) == len(members):
        return slice(None)
    if not predicting:
        raise ValueError(
            "All members abstain, since every training row has been forgotten. Fit "
            "again."
        )
    return np.array(predicting)


def check_scores(scores, name, n_classes=2):
    """Scores as doubles or, of votes, booleans, (n_samples, n_members[, n_classes]).

    With more than two classes they come as (n_samples, n_members * n_classes), and are
    doubles.
    """
    scores = np.asarray(scores.toarray() if hasattr(scores, "toarray") else scores)
    if scores.ndim == 1:
        scores = scores[:, None]
    # A vote needs one byte, which matters with many members.
    may_be_votes = n_classes == 2 and scores.dtype.kind in "biu"
    try:
        scores = scores if may_be_votes else scores.astype(np.float64, copy=False)
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
    if scores.dtype == bool:
        return scores
    # Whatever is not finite passes through to one of the two.
    low, high = float(scores.min(initial=0)), float(scores.max(initial=1))
    if not np.isfinite([low, high]).all():
        raise ValueError(
            f"The members' outputs from {name} contain NaN or infinity. Give votes 0 "
            "and 1 or scores in [0, 1]."
        )
    if low < 0 or high > 1:
        raise ValueError(
            f"The members' outputs from {name} range from {low:.3g} to {high:.3g}. "
            "Scores of the positive class must lie in [0, 1]: turn margins into such "
            "by scipy.special.expit."
        )
    if may_be_votes:
        return scores.astype(bool)
    return scores if n_classes == 2 else _by_member(scores, name, n_classes)


def _by_member(scores, name, n_classes):
    if scores.shape[1] % n_classes == 0:
        scores = scores.reshape(len(scores), -1, n_classes)
        # Single precision sums to 1 within this.
        if (np.abs(scores.sum(axis=2) - 1) < 1e-3).all():
            return scores
    raise ValueError(
        f"The members' outputs from {name}, with {scores.shape[-1]} columns, are not "
        f"the scores of {n_classes} classes. Give {n_classes} columns per member, "
        "member by member, in which each member's scores sum to 1; or one column per "
        "member with class labels."
    )


def _scores_by(estimator, members, encoded, X):
    if any(not hasattr(member, "predict") for member in members) or any(
        getattr(member, "_estimator_type", None) == "regressor" for member in members
    ):
        raise ValueError(
            f"The estimators_ of {type(estimator).__name__} are not classifiers, so "
            "they cast no votes. Use an ensemble of classifiers."
        )
    encoding = np.arange(len(estimator.classes_))
    features = getattr(estimator, "estimators_features_", None)
    columns = []
    if is_any(estimator, _CONVERTING) and not hasattr(X, "tocsr"):
        X = np.asarray(X)
    for i, member in enumerate(members):
        chosen = X if features is None else X[:, features[i]]
        # A frozen member was not trained anew on the encoded labels.
        own_labels = not encoded or isinstance(member, FrozenEstimator)
        classes = estimator.classes_ if own_labels else encoding
        columns.append(_scores_of(member, chosen, classes))
    return check_scores(
        np.column_stack(columns), type(estimator).__name__, len(encoding)
    )


def _scores_of(member, X, classes):
    """Score of the second of two classes, or of each: (n_samples[, n_classes])."""
    scores = class_scores(
        member,
        classes,
        lambda method: getattr(member, method)(lent(X, member)),
        _num_samples(X),
    )
    return scores[:, 1] if len(classes) == 2 else scores


def checked_member_scores(estimator, X, classes):
    """Scores by the members of an ensemble whose classes must be `classes`."""
    _check_classes_agree(estimator, classes)
    with writes_named(estimator):
        return member_scores(estimator, lent(X, estimator), len(classes))


def check_frozen(estimator):
    """Raise unless estimators that are used as they are have been fitted.

    Parameters
    ----------
    estimator : FrozenEstimator, or list of anything
        Everything in the list must be a frozen classifier.

    Raises
    ------
    ValueError
        If the list is empty, or holds something else.
    NotFittedError
        If what was frozen was not fitted before.
    """
    if isinstance(estimator, FrozenEstimator):
        _check_fitted(estimator)
        return
    if not estimator:
        raise ValueError("estimator is an empty list. Give frozen classifiers.")
    for model in estimator:
        if isinstance(model, FrozenEstimator):
            _check_fitted(model)
        if not (isinstance(model, FrozenEstimator) and hasattr(model, "classes_")):
            raise ValueError(
                "A list of classifiers is used as it is, so each must be fitted and "
                f"frozen: FrozenEstimator({_frozen_name(model)}(...).fit(X, y)), from "
                "sklearn.frozen. To have an ensemble trained, use SISAClassifier or "
                "VotingClassifier."
            )


def _check_fitted(frozen):
    # Not all libraries mark their fitted models as check_is_fitted expects.
    if hasattr(frozen, "classes_"):
        return
    name = _frozen_name(frozen)
    check_is_fitted(
        frozen,
        msg=f"A frozen {name} is used as it is, but it is not fitted. Fit it before it "
        f"is frozen, FrozenEstimator({name}(...).fit(X, y)), on other rows than those "
        "that calibrate.",
    )


def _frozen_name(estimator):
    while isinstance(estimator, FrozenEstimator):
        estimator = estimator.estimator
    return type(estimator).__name__


def _check_classes_agree(estimator, classes):
    if isinstance(estimator, list | tuple):
        for member in estimator:
            _check_classes_agree(member, classes)
        return
    known = getattr(estimator, "classes_", classes)
    if not np.array_equal(known, classes):
        raise ValueError(
            f"The ensemble knows the classes {np.asarray(known).tolist()}, but y holds "
            f"{classes.tolist()}. Both must be the same."
        )


def holds_labels(X, classes):
    """Whether the members' outputs are class labels rather than 0, 1 or scores."""
    values = _as_array(X)
    if set(classes.tolist()) == {0, 1}:
        return False
    if len(classes) > 2 and _are_indicators(values, len(classes)):
        return False
    return bool(np.isin(values, classes).all())


def given_scores(X, classes, are_labels):
    """Scores from outputs of the members that the caller gives."""
    values = _as_array(X)
    if not are_labels:
        return check_scores(values, "X", len(classes))
    if not np.isin(values, classes).all():
        raise ValueError(
            f"fit saw votes out of {classes.tolist()}, but X holds something else. "
            "Give such votes."
        )
    if len(classes) > 2:
        return class_votes(values, classes).astype(np.float64)
    return values == classes[1]


def _are_indicators(values, n_classes):
    """Whether votes are columns of zeros and ones, a one per member."""
    if values.shape[1] % n_classes or not np.isin(values, (0, 1)).all():
        return False
    ones = values.astype(float).reshape(len(values), -1, n_classes).sum(axis=2)
    return bool((ones == 1).all())


def _as_array(X):
    if sparse.issparse(X):
        return X.toarray()
    values = X.to_numpy() if hasattr(X, "to_numpy") else np.asarray(X)
    return values[:, None] if values.ndim == 1 else values
