"""Members of shards that lack some of the classes."""

import copy

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin
from sklearn.pipeline import Pipeline
from sklearn.utils.metaestimators import available_if

from ._learners import names_classes, renamed_classes


def _learnt(method):
    return available_if(lambda self: hasattr(self.estimator, method) or None)


class ClassifierOfSomeClasses(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """A fitted classifier of the labels 0..k-1, which stand for others.

    Not every learner accepts labels with gaps, and a deletion may take the last row of
    a class from a shard.

    Parameters
    ----------
    estimator : fitted classifier
        Of the labels 0..k-1.
    classes : ndarray of int of shape (k,)
        Labels that these stand for, sorted.
    """

    def __init__(self, estimator, classes):
        self.estimator = estimator
        self.classes = classes

    @property
    def classes_(self):
        """Labels that are predicted."""
        return self.classes

    def __sklearn_is_fitted__(self):
        return True

    def predict(self, X):
        """Return a label per row of X."""
        codes = np.asarray(self.estimator.predict(X)).astype(np.intp)
        return self.classes[codes.reshape(len(codes))]

    @_learnt("predict_proba")
    def predict_proba(self, X):
        """Return a probability per row of X and class of `classes`."""
        return self.estimator.predict_proba(X)

    @_learnt("frozen_vectors")
    def frozen_vectors(self, X):
        """Return the vectors that the estimator gives."""
        return self.estimator.frozen_vectors(X)

    @_learnt("decision_function")
    def decision_function(self, X):
        """Return the margins that the estimator gives."""
        return self.estimator.decision_function(X)


def fit_some_classes(member, X, y, **params):
    """Fit a classifier to the classes that occur, encoded as it needs.

    Parameters
    ----------
    member : classifier
        A dict of its class weights names all classes.
    X : rows
    y : ndarray of int
        Labels out of 0..n_classes-1.
    **params : dict
        Of the classifier's ``fit``.

    Returns
    -------
    fitted classifier
        Of the labels that occur in y.
    """
    present, codes = np.unique(y, return_inverse=True)
    if present[-1] != len(present) - 1:
        renamed = copy.deepcopy(member)
        if _renames_classes(renamed, present):
            return ClassifierOfSomeClasses(renamed.fit(X, codes, **params), present)
    return member.fit(X, y, **params)


def _renames_classes(estimator, present):
    """Rename the classes of parameters to 0..k-1; return whether that sufficed.

    It does not suffice if parts of an estimator name classes: some of them receive the
    labels as they are, others 0 and 1 for each class.
    """
    if isinstance(estimator, Pipeline):
        steps = [step for _, step in estimator.steps if hasattr(step, "get_params")]
        return all(_renames_classes(step, present) for step in steps)
    for name, value in estimator.get_params(deep=True).items():
        *parts, param = name.split("__")
        if param == "pos_label" and value is not None:
            return False
        if names_classes(param, value):
            if parts:
                return False
            codes = {label: code for code, label in enumerate(present.tolist())}
            estimator.set_params(**{param: renamed_classes(value, codes)})
    return True
