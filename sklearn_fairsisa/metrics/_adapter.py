"""fairlearn's mitigators behind the interface of this package."""

import copy
from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    MetaEstimatorMixin,
    _fit_context,
    clone,
)
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score
from sklearn.pipeline import Pipeline
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _num_samples,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from .._utils.groups import (
    check_groups,
    encode_groups,
    group_codes,
    split_sensitive,
)
from .._utils.pipelines import reach_last_step
from .._utils.typing import Estimator, RandomState, Rows, SensitiveFeature
from .._utils.validation import class_labels
from ._response import names, respond, takes_groups


class FairlearnAdapter(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Turn any fairlearn mitigator into a classifier that only needs X.

    fairlearn's mitigators need ``sensitive_features=`` beside X, some of them also in
    ``predict``. They therefore fit neither into a grid search nor into a comparison
    with estimators that read the sensitive feature from X. The adapter reads it from X
    in the same way as :class:`~sklearn_fairsisa.FairEnsemblePostprocessor`.

    Parameters
    ----------
    mitigator : estimator
        ``ThresholdOptimizer`` (with ``prefit=True`` also over fitted base estimators),
        ``ExponentiatedGradient``, ``GridSearch``, or a pipeline that ends with one of
        them. A pipeline without one of them is also accepted, such as
        ``CorrelationRemover`` before a classifier: it reads the sensitive feature from
        X itself, so it receives all of X.

    sensitive_feature : str, int, list of these, or callable, default=None
        Column of X with the groups, several columns for their intersections, or a
        function of X that returns the groups. With None, pass the groups to the methods
        as ``sensitive_features``, which is requested under metadata routing.

    drop_sensitive : bool, default=True
        Whether to drop the sensitive column from the mitigator's X, if the mitigator
        takes ``sensitive_features``.

    random_state : int, RandomState instance or None, default=None
        Passed to ``predict`` of randomised mitigators.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        Class labels.

    groups_ : ndarray of shape (n_groups,)
        Groups seen in ``fit``, if the mitigator takes groups.

    mitigator_ : estimator
        Fitted mitigator. It was fitted on labels encoded as 0 and 1. Its base estimator
        is wrapped if X contains texts or is sparse, which fairlearn refuses.

    n_features_in_ : int
        Number of columns of X, including the sensitive column.

    Examples
    --------
    >>> from fairlearn.metrics import equalized_odds_difference
    >>> from fairlearn.postprocessing import ThresholdOptimizer
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn_fairsisa.metrics import FairlearnAdapter, FairScorer
    >>> X, y = make_classification(2000, random_state=0)
    >>> X[:, 0] = X[:, 0] > 0
    >>> optimizer = ThresholdOptimizer(
    ...     estimator=LogisticRegression(), constraints="equalized_odds",
    ...     predict_method="predict_proba")
    >>> search = GridSearchCV(
    ...     FairlearnAdapter(optimizer, sensitive_feature=0, random_state=0),
    ...     {"mitigator__estimator__C": [0.01, 1]},
    ...     scoring=FairScorer(equalized_odds_difference))
    >>> gap = -search.fit(X, y).best_score_
    >>> bool(gap < 0.1)
    True
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        "mitigator": [HasMethods(["fit", "predict"])],
        "sensitive_feature": [str, Real, list, tuple, callable, None],
        "drop_sensitive": ["boolean"],
        "random_state": ["random_state"],
    }

    # Metadata that scikit-learn's routing passes by default.
    __metadata_request__fit = {"sensitive_features": True}  # noqa: RUF012
    __metadata_request__predict = {"sensitive_features": True}  # noqa: RUF012
    __metadata_request__score = {"sensitive_features": True}  # noqa: RUF012

    def __init__(
        self,
        mitigator: Estimator,
        *,
        sensitive_feature: SensitiveFeature = None,
        drop_sensitive: bool = True,
        random_state: RandomState = None,
    ) -> None:
        self.mitigator = mitigator
        self.sensitive_feature = sensitive_feature
        self.drop_sensitive = drop_sensitive
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self, X: Rows, y: ArrayLike, *, sensitive_features: ArrayLike | None = None
    ) -> Self:
        """Fit the mitigator.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, in any form that the mitigator accepts.

        y : array-like of shape (n_samples,)
            Labels of two classes; the greater one is positive.

        sensitive_features : array-like of shape (n_samples,), default=None
            Groups, if they are not in X.

        Returns
        -------
        self : FairlearnAdapter

        Raises
        ------
        ValueError
            If there are not two classes, if the groups are missing or given twice, or
            if a base estimator declared as fitted is not fitted.
        """
        # A copy is fitted, so that an error does not change an earlier fit.
        fresh = copy.copy(self)
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(fresh, name)
        fresh._fit(X, y, sensitive_features)
        self.__dict__ = fresh.__dict__
        return self

    def _fit(self, X, y, sensitive_features):
        validate_data(self, X, skip_check_array=True)
        y = class_labels(y)
        check_consistent_length(X, y)
        check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
        if len(classes) != 2:
            raise ValueError(
                "fairlearn's mitigators need two classes, got "
                f"{len(classes)} class(es): {classes.tolist()[:10]}. Only binary "
                "classification is supported."
            )
        mitigator = _copy(self.mitigator)
        transformer, last = _split(mitigator)
        keywords = {}
        if takes_groups(last):
            X, groups = self._groups_of(X, sensitive_features, required=True)
            keywords["sensitive_features"] = groups
            self.groups_ = encode_groups(groups)[0]
        if transformer is not None:
            X = transformer.fit_transform(X, codes)
        self._packs = _needs_packing(X) and hasattr(last, "estimator")
        if self._packs:
            last.estimator = _Unpacking(last.estimator)
            X = _pack(X)
        last.fit(X, codes, **keywords)
        self.classes_ = classes
        self.mitigator_ = mitigator

    def predict(
        self, X: Rows, *, sensitive_features: ArrayLike | None = None
    ) -> NDArray[Any]:
        """Predict labels; a randomised mitigator draws them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        sensitive_features : array-like of shape (n_samples,), default=None
            Groups, if they are not in X. Needed if the mitigator uses them in
            ``predict``.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Labels.
        """
        codes = self._respond("predict", X, sensitive_features)
        return self.classes_[codes.reshape(-1).astype(int)]

    def selection_probability(
        self, X: Rows, *, sensitive_features: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        """Probability that the positive class is predicted.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        sensitive_features : array-like of shape (n_samples,), default=None
            Groups, if they are not in X. Needed if the mitigator uses them in
            ``predict``.

        Returns
        -------
        probability : ndarray of shape (n_samples,)
            0 or 1 if the mitigator is deterministic.
        """
        return self._respond("selection_probability", X, sensitive_features)

    def score(
        self,
        X: Rows,
        y: ArrayLike,
        *,
        sensitive_features: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Accuracy of the predictions.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        y : array-like of shape (n_samples,)
            Labels.

        sensitive_features : array-like of shape (n_samples,), default=None
            Groups, if they are not in X.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights.

        Returns
        -------
        score : float
        """
        predicted = self.predict(X, sensitive_features=sensitive_features)
        return accuracy_score(y, predicted, sample_weight=sample_weight)

    def _respond(self, method, X, sensitive_features):
        check_is_fitted(self)
        validate_data(self, X, skip_check_array=True, reset=False)
        transformer, last = _split(self.mitigator_)
        groups = None
        if takes_groups(last):
            required = names(last.predict, "sensitive_features")
            X, groups = self._groups_of(X, sensitive_features, required)
            if required:
                # The mitigator compares groups itself, so it gets the values of fit.
                codes = group_codes(groups, self.groups_, accepts_unknown=True)
                if (codes < 0).any():
                    unknown = encode_groups(groups[codes < 0])[0]
                    raise ValueError(
                        f"Groups {unknown.tolist()[:10]} were not seen in fit, which "
                        f"saw {self.groups_.tolist()[:10]}. Fit with rows of every "
                        "group, or leave these rows out."
                    )
                groups = self.groups_[codes]
        if transformer is not None:
            X = reach_last_step(self.mitigator_, X)
        if self._packs:
            X = _pack(X)
        return respond(last, X, method, groups=groups, random_state=self.random_state)

    def _groups_of(self, X, sensitive_features, required):
        """Return the mitigator's X, and the groups."""
        groups = None
        if self.sensitive_feature is not None and sensitive_features is not None:
            raise ValueError(
                f"sensitive_feature={self.sensitive_feature!r} already gives the group "
                "of each row, but sensitive_features is passed too. Use one of them."
            )
        if self.sensitive_feature is not None:
            X, groups = split_sensitive(X, self.sensitive_feature, self.drop_sensitive)
        if sensitive_features is not None:
            groups = check_groups(sensitive_features, _num_samples(X))
        if required and groups is None:
            raise ValueError(
                "FairlearnAdapter has no groups. Name their column of X by "
                "sensitive_feature=, or pass sensitive_features= to this method."
            )
        return X, groups

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags


class _Unpacking(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """A base estimator whose rows are packed as one column of objects."""

    def __init__(self, estimator):
        self.estimator = estimator

    def fit(self, X, y, **params):
        self.estimator_ = clone(self.estimator).fit(_unpack(X), y, **params)
        self.classes_ = self.estimator_.classes_
        return self

    def predict(self, X):
        return self._fitted.predict(_unpack(X))

    @available_if(lambda self: hasattr(self.estimator, "predict_proba"))
    def predict_proba(self, X):
        return self._fitted.predict_proba(_unpack(X))

    @available_if(lambda self: hasattr(self.estimator, "decision_function"))
    def decision_function(self, X):
        return self._fitted.decision_function(_unpack(X))

    @property
    def _fitted(self):
        return getattr(self, "estimator_", self.estimator)

    def __sklearn_is_fitted__(self):
        check_is_fitted(self._fitted)
        return True


def _needs_packing(X):
    """Whether fairlearn would refuse X, as it refuses texts and sparse matrices."""
    if sparse.issparse(X):
        return True
    if isinstance(X, list | tuple):
        return isinstance(X[0], str)
    return len(getattr(X, "shape", ())) == 1


def _pack(X):
    """Return the rows of X as one column of objects, which fairlearn accepts."""
    rows = sparse.csr_matrix(X) if sparse.issparse(X) else X
    column = np.empty((_num_samples(X), 1), dtype=object)
    for i, row in enumerate(rows):
        column[i, 0] = row
    return column


def _unpack(column):
    rows = np.asarray(column, dtype=object)[:, 0]
    return sparse.vstack(rows, format="csr") if sparse.issparse(rows[0]) else rows


def _split(mitigator):
    """Return the steps before the last, or None, and the last step."""
    if not isinstance(mitigator, Pipeline):
        return None, mitigator
    return (mitigator[:-1] if len(mitigator) > 1 else None), mitigator[-1]


def _copy(mitigator):
    """Return an unfitted copy that keeps a base estimator declared as fitted."""
    if isinstance(mitigator, Pipeline):
        fresh = clone(mitigator)
        name, last = mitigator.steps[-1]
        fresh.steps[-1] = (name, _copy(last))
        return fresh
    if not getattr(mitigator, "prefit", False):
        return clone(mitigator)
    try:
        check_is_fitted(mitigator.estimator)
    except NotFittedError:
        raise ValueError(
            f"{type(mitigator).__name__}(prefit=True) holds a "
            f"{type(mitigator.estimator).__name__} that is not fitted. "
            "Cross-validation and clone() drop a fit: wrap the fitted estimator in "
            "sklearn.frozen.FrozenEstimator."
        ) from None
    parameters = mitigator.get_params(deep=False)
    estimator = parameters.pop("estimator")
    parameters = {k: clone(v, safe=False) for k, v in parameters.items()}
    return type(mitigator)(estimator=estimator, **parameters)
