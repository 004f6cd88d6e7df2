"""Responses of estimators to rows whose groups are in X or given separately."""

import inspect

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from .._utils.groups import split_sensitive
from .._utils.pipelines import reach_last_step

_METHODS = ("predict", "predict_proba", "decision_function", "selection_probability")


def check_method(response_method):
    """Raise if a response method is unknown."""
    if response_method not in _METHODS:
        raise ValueError(
            f"response_method={response_method!r} is unknown. Choose one of "
            f"{', '.join(map(repr, _METHODS))}."
        )


def accepts(function, parameter):
    """Whether a callable takes a keyword, by name or as one of ``**kwargs``."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return True
    return parameter in parameters or any(
        p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()
    )


def names(function, parameter):
    """Whether a callable takes a keyword by name."""
    return parameter in inspect.signature(function).parameters


def takes_groups(estimator):
    """Whether ``fit`` takes ``sensitive_features``."""
    if names(estimator.fit, "sensitive_features"):
        return True
    # fairlearn's reductions take the groups as one of **kwargs. Other estimators pass
    # **kwargs on to an estimator that may not take groups.
    of_fairlearn = type(estimator).__module__.startswith("fairlearn.")
    return of_fairlearn and accepts(estimator.fit, "sensitive_features")


def decider(estimator, X):
    """Return the estimator that decides, and X as this estimator receives it.

    For a pipeline this is the last step, for a search the best estimator, for a frozen
    estimator the estimator that it wraps.
    """
    while True:
        if isinstance(estimator, Pipeline):
            X, estimator = reach_last_step(estimator, X), estimator[-1]
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        else:
            return estimator, X


def own_groups(estimator, X):
    """Return the groups that an estimator reads from X itself, or None."""
    column = getattr(estimator, "sensitive_feature", None)
    return None if column is None else split_sensitive(X, column, False)[1]


def respond(estimator, X, method, *, groups=None, pos_label=None, random_state=None):
    """Return decisions, scores or selection probabilities of an estimator.

    Parameters
    ----------
    estimator : object
        An estimator as `decider` returns it.
    X : array-like of shape (n_samples, ...)
        Rows as the estimator receives them.
    method : str
        ``"predict"``, ``"predict_proba"``, ``"decision_function"`` or
        ``"selection_probability"``, the probability that the positive class is
        predicted, which is 0 or 1 if the estimator is deterministic.
    groups : ndarray of shape (n_samples,), default=None
        Passed if the method takes ``sensitive_features`` and the estimator does not
        read them from X itself.
    pos_label : object, default=None
        Positive class, by default the last of ``classes_``.
    random_state : int, RandomState instance or None, default=None
        Passed if the method takes it.

    Returns
    -------
    response : ndarray of shape (n_samples,)
        Shape (n_samples, n_classes) for the scores of more than two classes.
    """

    def call(function):
        keywords = {}
        reads_groups = getattr(estimator, "sensitive_feature", None) is not None
        if groups is not None and not reads_groups:
            keywords["sensitive_features"] = groups
        if random_state is not None:
            keywords["random_state"] = random_state
        known = {k: v for k, v in keywords.items() if names(function, k)}
        return np.asarray(function(X, **known))

    if method == "selection_probability":
        return _selection_probability(estimator, call, pos_label)
    if not hasattr(estimator, method):
        raise AttributeError(
            f"{type(estimator).__name__} has no {method}. Choose another "
            "response_method."
        )
    response = call(getattr(estimator, method))
    if method == "predict":
        return response
    classes = getattr(estimator, "classes_", None)
    flipped = pos_label is not None and classes is not None and pos_label == classes[0]
    if response.ndim == 2 and response.shape[1] == 2:
        return response[:, 0 if flipped else 1]
    if response.ndim == 1 and flipped:
        return -response
    return response


def _selection_probability(estimator, call, pos_label):
    classes = getattr(estimator, "classes_", np.array([0, 1]))
    own = getattr(estimator, "pos_label_", classes[-1])
    flipped = (
        len(classes) == 2 and (classes[-1] if pos_label is None else pos_label) != own
    )
    if hasattr(estimator, "selection_probability"):
        probability = call(estimator.selection_probability)
    elif hasattr(estimator, "_pmf_predict"):
        # fairlearn's randomised classifiers give their probabilities only here, as sums
        # of weights, whose rounding errors may exceed 1.
        probability = call(estimator._pmf_predict)[:, 1].clip(0.0, 1.0)
    else:
        decision = call(estimator.predict)
        return (decision == (classes[-1] if pos_label is None else pos_label)) * 1.0
    return 1 - probability if flipped else probability
