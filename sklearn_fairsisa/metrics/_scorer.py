"""A scorer that passes the group of each row."""

import warnings
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.metadata_routing import MetadataRequest
from sklearn.utils.validation import _num_samples

from .._utils.groups import (
    check_groups,
    sensitive_names,
    split_sensitive,
)
from .._utils.typing import RandomState, Rows, SensitiveFeature
from ..fairness._constraints import Constraint
from ._measures import measure_score
from ._response import accepts, check_method, decider, own_groups, respond

# Endings of the names of scores in scikit-learn and fairlearn.
_SCORES = ("score", "ratio", "group_min")


class FairScorer:
    """Scorer that passes the sensitive feature to the metric and to the estimator.

    Scikit-learn's scorers neither pass a sensitive feature to ``predict`` nor read it
    from X. In a grid search, fairlearn's metrics and its post-processors therefore give
    NaN (scikit-learn issue 27977). This scorer takes the groups from the first of

    1. ``sensitive_features`` of the call, which metadata routing fills, for example in
       ``cross_validate(..., params={"sensitive_features": groups})``; they are
       requested by default;
    2. its own `sensitive_feature`, a column of X;
    3. the ``sensitive_feature`` of the estimator, or of the last step of a pipeline,
       a column of the input of that step.

    The groups are also passed to an estimator whose method takes
    ``sensitive_features``, unless it reads them from X itself.

    Parameters
    ----------
    metric : callable, constraint object, or dict of str to these
        ``metric(y_true, y_pred, *, sensitive_features, sample_weight)``, for example a
        metric of fairlearn or scikit-learn; both keywords are optional. Several metrics
        in a dict are computed from one response, so that the estimator predicts once.
        Pass such a scorer as the whole of ``scoring``. An object of
        :mod:`sklearn_fairsisa.constraints` scores what it bounds: the least ratio, the
        least rate, or the negated greatest difference, whatever `greater_is_better`.

    response_method : str, default="predict"
        Method that gives the metric's ``y_pred``: "predict", "predict_proba",
        "decision_function", or "selection_probability", the probability that a
        randomised rule selects (0 or 1 if the estimator is deterministic).

    greater_is_better : bool or collection of str, default=False
        Whether the metric is a score; for several metrics, the names of the scores.
        Gaps and losses are negated. Scores that are not declared as such are negated
        too, so a search would select the worst candidate. A warning is given if the
        metric has the name of a score (``accuracy_score``,
        ``demographic_parity_ratio``, ``recall_score_group_min``).

    sensitive_feature : str, int, list of these, or callable, default=None
        Column of X with the groups, for estimators that do not name it themselves.

    pos_label : object, default=None
        Positive class. If given, the metric receives labels encoded as 1 for this class
        and 0 for the others. fairlearn's metrics need this encoding if the labels are
        strings or other numbers. Scores and probabilities are those of this class, by
        default of the last class in ``classes_``.

    random_state : int, RandomState instance or None, default=None
        Passed to ``predict`` if it takes one, as that of fairlearn's randomised
        classifiers does.

    Examples
    --------
    >>> from fairlearn.metrics import equalized_odds_difference
    >>> from sklearn.feature_extraction.text import CountVectorizer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.compose import make_column_transformer
    >>> from sklearn.model_selection import cross_validate
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_fairsisa.datasets import make_biased_posts
    >>> from sklearn_fairsisa.metrics import FairScorer
    >>> posts = make_biased_posts(600, as_frame=True, random_state=0)
    >>> words = make_column_transformer((CountVectorizer(), "text"))
    >>> gap = FairScorer(equalized_odds_difference, sensitive_feature="group")
    >>> scores = cross_validate(
    ...     make_pipeline(words, LogisticRegression()), posts.data, posts.target,
    ...     scoring={"accuracy": "accuracy", "gap": gap}, cv=3)
    >>> (scores["test_gap"] < -0.1).all()
    np.True_

    Both metrics from one prediction:

    >>> from sklearn.metrics import accuracy_score
    >>> scoring = FairScorer(
    ...     {"accuracy": accuracy_score, "gap": equalized_odds_difference},
    ...     greater_is_better=["accuracy"], sensitive_feature="group")
    >>> again = cross_validate(
    ...     make_pipeline(words, LogisticRegression()), posts.data, posts.target,
    ...     scoring=scoring, cv=3)
    >>> (again["test_gap"] == scores["test_gap"]).all()
    np.True_
    """

    def __init__(
        self,
        metric: Callable[..., float]
        | Constraint
        | Mapping[str, Callable[..., float] | Constraint],
        *,
        response_method: Literal[
            "predict", "predict_proba", "decision_function", "selection_probability"
        ] = "predict",
        greater_is_better: bool | Collection[str] = False,
        sensitive_feature: SensitiveFeature = None,
        pos_label: object = None,
        random_state: RandomState = None,
    ) -> None:
        self._metrics = _by_name(metric)
        self._scores = _names_of_scores(self._metrics, greater_is_better)
        check_method(response_method)
        for name, function in self._metrics.items():
            if name not in self._scores and _is_score_by_name(function):
                wanted = True if name is None else [*self._scores, name]
                warnings.warn(
                    f"{_name(function)} has the name of a score, but greater_is_better "
                    "does not declare it as one: it is negated, and a search selects "
                    "the worst candidate. Set "
                    f"greater_is_better={wanted}, or rename the metric if it is a "
                    "loss.",
                    UserWarning,
                    stacklevel=2,
                )
        self.metric = metric
        self.response_method = response_method
        self.greater_is_better = greater_is_better
        self.sensitive_feature = sensitive_feature
        self.pos_label = pos_label
        self.random_state = random_state
        self._requests: dict[str, bool | str | None] = {
            "sensitive_features": True,
            "sample_weight": None,
        }

    def __call__(
        self,
        estimator: Any,
        X: Rows,
        y: ArrayLike,
        sensitive_features: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float | dict[str, float]:
        """Score a fitted estimator.

        Parameters
        ----------
        estimator : object
            Fitted estimator.

        X : array-like of shape (n_samples, ...)
            Rows.

        y : array-like of shape (n_samples,)
            Labels.

        sensitive_features : array-like of shape (n_samples,), default=None
            Groups, if they are not in X.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights for the metric.

        Returns
        -------
        score : float, or dict of str to float
            The metric, or each metric by name, negated unless `greater_is_better`.

        Raises
        ------
        ValueError
            If the metric needs groups and there are none. Also if the metric is
            fairlearn's, y contains labels other than 0 and 1, and `pos_label` is not
            given.
        """
        groups = None
        if sensitive_features is not None:
            groups = check_groups(sensitive_features, _num_samples(y))
        elif self.sensitive_feature is not None:
            groups = split_sensitive(X, self.sensitive_feature, False)[1]
        features = sensitive_names(sensitive_features, self.sensitive_feature)
        estimator, X = decider(estimator, X)
        if groups is None:
            groups = own_groups(estimator, X)
            own = getattr(estimator, "sensitive_feature", None)
            features = sensitive_names(None, own)
        for metric in self._metrics.values():
            needs_groups = isinstance(metric, Constraint) or accepts(
                metric, "sensitive_features"
            )
            if groups is None and needs_groups:
                raise ValueError(
                    f"{_name(metric)} needs the groups, but the scorer was given "
                    "none. Name the column of X by "
                    "FairScorer(..., sensitive_feature=...) or by the estimator's "
                    "sensitive_feature; or enable metadata routing with "
                    "sklearn.set_config(enable_metadata_routing=True) and pass "
                    "params={'sensitive_features': groups}."
                )
        response = respond(
            estimator,
            X,
            self.response_method,
            groups=groups,
            pos_label=self.pos_label,
            random_state=self.random_state,
        )
        y = np.asarray(y)
        if self.pos_label is None:
            for metric in self._metrics.values():
                if self.response_method == "predict" or isinstance(metric, Constraint):
                    _check_countable(y, metric)
        if self.pos_label is not None:
            y = (y == self.pos_label).astype(int)
            if self.response_method == "predict":
                response = (response == self.pos_label).astype(int)
        values = {}
        for name, metric in self._metrics.items():
            if isinstance(metric, Constraint):
                label, probability = self._decided(estimator, y, response)
                values[name] = measure_score(
                    metric, label, probability, groups, features, sample_weight
                )
                continue
            keywords = {}
            if accepts(metric, "sensitive_features"):
                keywords["sensitive_features"] = groups
            if sample_weight is not None:
                keywords["sample_weight"] = sample_weight
            value = float(metric(y, response, **keywords))
            values[name] = value if name in self._scores else -value
        return values if isinstance(self.metric, Mapping) else values[None]

    def _decided(self, estimator, y, response):
        """Codes of the classes, and the probabilities of the decisions."""
        if self.response_method in ("predict_proba", "decision_function"):
            raise ValueError(
                "A constraint is about decisions, which response_method="
                f"{self.response_method!r} does not give. Use 'predict' or "
                "'selection_probability'."
            )
        is_soft = self.response_method == "selection_probability"
        if self.pos_label is not None:
            return y, response.astype(float)
        classes = getattr(
            estimator, "classes_", np.union1d(y, () if is_soft else response)
        )
        label = np.searchsorted(classes, y)
        if is_soft:
            return label, response
        return label, np.eye(len(classes))[np.searchsorted(classes, response)]

    def set_score_request(self, **requests: bool | str | None) -> Self:
        """Set the metadata that routing passes to the scorer.

        Parameters
        ----------
        **requests : bool, None or str
            For ``sensitive_features`` (by default True) and ``sample_weight`` (by
            default None, an error if it is given): whether to pass it, or the name
            under which it is given.

        Returns
        -------
        self : FairScorer
        """
        unknown = sorted(set(requests) - set(self._requests))
        if unknown:
            raise TypeError(
                f"FairScorer does not take {unknown}, only {sorted(self._requests)}."
            )
        self._requests = {**self._requests, **requests}
        return self

    def get_metadata_routing(self) -> MetadataRequest:
        """Return the metadata that routing passes to the scorer.

        Returns
        -------
        request : MetadataRequest
        """
        request = MetadataRequest(owner=self)
        for name, alias in self._requests.items():
            request.score.add_request(param=name, alias=alias)
        return request

    def _accept_sample_weight(self):
        # Scikit-learn calls this method of scorers when metadata routing is off.
        return all(
            isinstance(metric, Constraint) or accepts(metric, "sample_weight")
            for metric in self._metrics.values()
        )

    def __repr__(self):
        options = {
            "response_method": "predict",
            "greater_is_better": False,
            "sensitive_feature": None,
            "pos_label": None,
            "random_state": None,
        }
        given = [
            f", {name}={getattr(self, name)!r}"
            for name, default in options.items()
            if getattr(self, name) != default
        ]
        shown = ", ".join(
            _name(metric) if name is None else f"{name!r}: {_name(metric)}"
            for name, metric in self._metrics.items()
        )
        if None not in self._metrics:
            shown = f"{{{shown}}}"
        return f"FairScorer({shown}{''.join(given)})"


def _by_name(metric):
    """Return metrics by name. The name of a single metric is None."""
    metrics = dict(metric) if isinstance(metric, Mapping) else {None: metric}
    for function in metrics.values():
        if not (callable(function) or isinstance(function, Constraint)):
            raise TypeError(
                f"metric must be callable, got {function!r}. Give a function such as "
                "fairlearn.metrics.equalized_odds_difference, or a dict of them."
            )
    if not metrics:
        raise ValueError("metric is an empty dict. Give metrics by name.")
    return metrics


def _names_of_scores(metrics, greater_is_better):
    """Return the names of the metrics that are scores."""
    if isinstance(greater_is_better, bool | np.bool_):
        return list(metrics) if greater_is_better else []
    if None in metrics or isinstance(greater_is_better, str):
        raise TypeError(
            "greater_is_better must be True or False, or of several metrics a list of "
            f"the names of the scores, got {greater_is_better!r}."
        )
    unknown = sorted(set(greater_is_better) - set(metrics))
    if unknown:
        raise ValueError(
            f"greater_is_better names {unknown}, but the metrics are "
            f"{list(metrics)}. Name some of these."
        )
    return list(greater_is_better)


def _is_score_by_name(metric):
    """Whether a metric has the name of a score, or fairlearn derived it as one."""
    function = _without_options(metric)
    names = _name(function), getattr(function, "_transform", None)
    return any(isinstance(name, str) and name.endswith(_SCORES) for name in names)


def _without_options(metric):
    while isinstance(metric, partial):
        metric = metric.func
    return metric


def _check_countable(y, metric):
    """Refuse labels that fairlearn would count as negative: all labels except 1."""
    metric = _without_options(metric)
    counts = getattr(metric, "_metric_fn", metric)
    labels = np.unique(y).tolist()
    if isinstance(metric, Constraint):
        # Of more classes each is counted, and the accuracy has no positive one.
        if len(labels) > 2 or metric.rate == "accuracy":
            return
    elif not getattr(counts, "__module__", "").startswith("fairlearn."):
        return
    if not (set(labels) <= {0, 1} or set(labels) <= {-1, 1}):
        raise ValueError(
            f"{_name(metric)} counts the label 1 as positive, but y contains "
            f"{labels[:10]}. Name the positive label, for example "
            f"FairScorer(..., pos_label={labels[-1]!r})."
        )


def _name(metric):
    if isinstance(metric, partial):
        return f"partial({_name(metric.func)})"
    return getattr(metric, "__name__", repr(metric))
