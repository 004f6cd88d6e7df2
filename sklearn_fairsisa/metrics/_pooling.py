"""Predictions of all folds of a cross-validation, pooled before rates are computed."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn import get_config
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold, check_cv
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import _num_samples

from .._utils.groups import check_groups, encode_groups
from .._utils.typing import Estimator, RandomState, Rows, Splits, Splitter
from ..fairness._constraints import GAPS
from . import _encoding
from ._intervals import bootstrap_interval
from ._noise_floor import noise_floor
from ._response import (
    accepts,
    check_method,
    decider,
    own_groups,
    respond,
    takes_groups,
)

_SUMMARY = (
    "accuracy_score",
    "balanced_accuracy_score",
    "selection_rate",
    "equalized_odds_difference",
)


def pool_predictions(folds: Splits, n_samples: int) -> NDArray[Any]:
    """Put the test predictions of all folds in the order of the rows.

    Parameters
    ----------
    folds : iterable of (test_indices, predictions)
        In the order of the splits. All rows must be tested equally often, possibly
        several times, as in repeated cross-validation.

    n_samples : int
        Number of rows.

    Returns
    -------
    predictions : ndarray of shape (n_samples, n_repeats)
        Column r contains the r-th prediction of each row.

    Raises
    ------
    ValueError
        If an index is out of range, if a fold does not have one prediction per test
        row, or if rows are not tested equally often.

    Examples
    --------
    >>> from sklearn_fairsisa.metrics import pool_predictions
    >>> pool_predictions([([1, 2], [0.5, 0.25]), ([0], [1.0])], 3)[:, 0].tolist()
    [1.0, 0.5, 0.25]
    """
    indices, predictions = [], []
    for rows, response in folds:
        test, predicted = np.asarray(rows), np.asarray(response)
        if test.dtype == bool:
            test = np.flatnonzero(test)
        if len(test) != len(predicted):
            raise ValueError(
                f"A fold has {len(test)} test rows but {len(predicted)} predictions. "
                "Give one prediction per test row."
            )
        if predicted.size != len(test):
            raise ValueError(
                f"The predictions of a fold have shape {predicted.shape}. Give one "
                "number or label per test row. For more than two classes, use "
                'response_method="predict", which gives labels instead of scores.'
            )
        indices.append(test)
        predictions.append(predicted)
    index = np.concatenate(indices) if indices else np.empty(0, dtype=int)
    if len(index) and (index.min() < 0 or index.max() >= n_samples):
        raise ValueError(
            f"A fold tests row {index.min() if index.min() < 0 else index.max()}, but "
            f"there are {n_samples} rows."
        )
    times = np.bincount(index, minlength=n_samples)
    if len(set(times)) != 1 or times[0] == 0:
        raise ValueError(
            f"Rows are tested {sorted(set(times.tolist()))} times. Every row must be "
            "tested equally often, at least once: use a splitter that partitions the "
            "rows, such as StratifiedKFold or RepeatedStratifiedKFold."
        )
    # A stable sort keeps the predictions of a row in the order of the splits.
    order = np.argsort(index, kind="stable")
    return np.concatenate(predictions)[order].reshape(n_samples, -1)


@dataclass(frozen=True)
class PooledPredictions:
    """Out-of-fold predictions of every row.

    Parameters
    ----------
    y_true : ndarray of shape (n_samples,)
        Labels.
    y_pred : ndarray of shape (n_samples,) or (n_samples, n_repeats)
        Probability of the positive decision, or the output of the response method.
    sensitive_features : ndarray of shape (n_samples,)
        Groups.
    pos_label : object
        Positive label, None for the greater one.
    response_method : str
        Method that gave `y_pred`: labels if it is "predict", else probabilities.
    """

    y_true: np.ndarray
    y_pred: np.ndarray
    sensitive_features: np.ndarray
    pos_label: object = None
    response_method: str = "selection_probability"

    def summary(
        self,
        metrics: Sequence[str] = _SUMMARY,
        *,
        confidence: float = 0.95,
        n_resamples: int = 1000,
        random_state: RandomState = None,
    ) -> pd.DataFrame:
        """Metrics with intervals, and noise floors for gaps.

        Parameters
        ----------
        metrics : list of str
            Metric names of :func:`bootstrap_interval`. By default accuracy, balanced
            accuracy, selection rate and the equalized-odds difference.

        confidence : float, default=0.95
            Confidence of the intervals.

        n_resamples : int, default=1000
            Number of resamples, and of simulations of the fair rule.

        random_state : int, RandomState instance or None, default=None
            Makes the intervals repeatable.

        Returns
        -------
        table : DataFrame
            One row per metric with the columns ``estimate`` (the mean over the
            repeats), ``low``, ``high``, and for gaps ``floor_mean``, ``floor_95`` and
            ``p_value`` of :func:`noise_floor`.
        """
        rng = check_random_state(random_state)
        y_true, decisions = _encoding.encode(
            self.y_true,
            self.y_pred,
            self.pos_label,
            soft=self.response_method != "predict",
        )
        intervals = bootstrap_interval(
            list(metrics),
            y_true,
            decisions,
            sensitive_features=self.sensitive_features,
            confidence=confidence,
            n_resamples=n_resamples,
            random_state=rng,
        )
        gaps = [name for name in metrics if name in GAPS]
        floors = {}
        if gaps:
            floors = noise_floor(
                y_true,
                decisions,
                sensitive_features=self.sensitive_features,
                metric=gaps,
                n_simulations=n_resamples,
                quantiles=(0.95,),
                random_state=rng,
            )
        table = pd.DataFrame.from_dict(
            {name: interval._asdict() for name, interval in intervals.items()},
            orient="index",
        ).rename_axis("metric")
        for column, pick in (
            ("floor_mean", lambda floor: floor.mean),
            ("floor_95", lambda floor: floor.quantiles[0.95]),
            ("p_value", lambda floor: floor.p_value),
        ):
            table[column] = [
                pick(floors[name]) if name in floors else np.nan for name in table.index
            ]
        return table


def pooled_cross_validate(
    estimator: Estimator,
    X: Rows,
    y: ArrayLike,
    *,
    sensitive_features: ArrayLike | None = None,
    cv: int | Splitter | Splits = 5,
    n_repeats: int = 1,
    response_method: Literal[
        "predict", "predict_proba", "decision_function", "selection_probability"
    ] = "selection_probability",
    pos_label: object = None,
    n_jobs: int | None = None,
    random_state: RandomState = None,
) -> PooledPredictions:
    """Cross-validate, pooling the test predictions of all folds.

    The test folds of a small group contain few people, so the gap of each fold is
    mostly noise. So is the mean of these gaps, because a gap cannot be negative. In
    pooled predictions, every person counts before a rate is computed.

    Parameters
    ----------
    estimator : estimator
        Classifier. A clone is fitted per fold.

    X : array-like of shape (n_samples, ...)
        Rows.

    y : array-like of shape (n_samples,)
        Labels.

    sensitive_features : array-like of shape (n_samples,), default=None
        Groups. They are passed to ``fit`` and to the response method if these take
        groups and the estimator does not read them from X by its
        ``sensitive_feature``. With None, the groups are those that the estimator reads.

    cv : int or splitter, default=5
        Number of folds, stratified by label and group, or a splitter or iterable of
        splits that tests every row equally often.

    n_repeats : int, default=1
        Number of times that the rows are split, if `cv` is a number.

    response_method : str, default="selection_probability"
        As in :class:`FairScorer`. Selection probabilities evaluate a randomised rule
        without the noise of its decisions. They are 0 or 1 for other classifiers.

    pos_label : object, default=None
        Positive label, by default the greater one.

    n_jobs : int, default=None
        Number of folds that run in parallel.

    random_state : int, RandomState instance or None, default=None
        Seeds the splits, if `cv` is a number. It does not seed the estimator.

    Returns
    -------
    pooled : PooledPredictions
        Its ``summary()`` is a table of metrics, intervals and noise floors.

    Raises
    ------
    ValueError
        If the response method is unknown or gives scores of more than two classes, if
        there are no groups, or if rows are not tested equally often.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import CountVectorizer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_fairsisa.datasets import make_biased_posts
    >>> from sklearn_fairsisa.metrics import pooled_cross_validate
    >>> posts = make_biased_posts(900, random_state=0)
    >>> pooled = pooled_cross_validate(
    ...     make_pipeline(CountVectorizer(), LogisticRegression()), posts.data,
    ...     posts.target, sensitive_features=posts.sensitive_features, random_state=0)
    >>> table = pooled.summary(random_state=0)
    >>> gap = table.loc["equalized_odds_difference"]
    >>> bool(gap["low"] < gap["estimate"] < gap["high"] and gap["p_value"] < 0.05)
    True
    """
    check_method(response_method)
    y = np.asarray(y)
    n_samples = _num_samples(X)
    groups = None
    if sensitive_features is not None:
        groups = check_groups(sensitive_features, n_samples)
    splits = _splits(cv, n_repeats, X, y, groups, random_state)
    parts = Parallel(n_jobs=n_jobs)(
        delayed(_fit_and_respond)(
            estimator, X, y, groups, train, test, response_method, pos_label
        )
        for train, test in splits
    )
    tests = [test for _, test in splits]
    responses = [response for response, _ in parts]
    if groups is None:
        test_groups = [group for _, group in parts]
        if any(group is None for group in test_groups):
            raise ValueError(
                "There are no groups. Pass sensitive_features=, or use an estimator "
                "that names the column of groups by sensitive_feature."
            )
        groups = pool_predictions(zip(tests, test_groups), n_samples)[:, 0]
    return PooledPredictions(
        y,
        pool_predictions(zip(tests, responses), n_samples),
        groups,
        pos_label,
        response_method,
    )


def _splits(cv, n_repeats, X, y, groups, random_state):
    if not isinstance(cv, Integral):
        if n_repeats != 1:
            raise ValueError(
                f"n_repeats={n_repeats} needs cv to be a number of folds. Let the "
                "splitter repeat instead, such as RepeatedStratifiedKFold."
            )
        return list(check_cv(cv, y, classifier=True).split(X, y))
    if not isinstance(n_repeats, Integral) or n_repeats < 1:
        raise ValueError(f"n_repeats must be at least 1, got {n_repeats!r}.")
    strata = np.unique(y, return_inverse=True)[1]
    if groups is not None:
        group_codes = encode_groups(groups)[1]
        strata = strata * (group_codes.max() + 1) + group_codes
    rng = check_random_state(random_state)
    splits = []
    for _ in range(n_repeats):
        folds = StratifiedKFold(cv, shuffle=True, random_state=rng.randint(2**31 - 1))
        with warnings.catch_warnings():
            # Pooling allows strata that are smaller than the number of folds.
            warnings.filterwarnings("ignore", "The least populated class", UserWarning)
            splits += folds.split(np.zeros(len(y)), strata)
    return splits


def _fit_and_respond(estimator, X, y, groups, train, test, method, pos_label):
    """Return the response for the test rows, and their groups if known."""
    model = clone(estimator)
    keywords = {} if groups is None else _fit_keywords(model, groups[train])
    model.fit(_safe_indexing(X, train), y[train], **keywords)
    last, X_test = decider(model, _safe_indexing(X, test))
    test_groups = own_groups(last, X_test) if groups is None else groups[test]
    response = respond(last, X_test, method, groups=test_groups, pos_label=pos_label)
    return response, test_groups


def _fit_keywords(model, groups):
    """Return the keywords that pass the groups to the ``fit`` that takes them."""
    last, prefix = model, ""
    while not (_reads_groups(last) or takes_groups(last)):
        if isinstance(last, Pipeline):
            name, last = last.steps[-1]
            prefix += f"{name}__"
        elif accepts(last.fit, "sensitive_features") and hasattr(
            getattr(last, "estimator", None), "fit"
        ):
            last = last.estimator
        else:
            break
    if _reads_groups(last):
        return {}
    if get_config()["enable_metadata_routing"]:
        # A search may need the groups only for its scorer.
        router = get_routing_for_object(model)
        if takes_groups(last) or router.consumes("fit", ["sensitive_features"]):
            return {"sensitive_features": groups}
        return {}
    return {f"{prefix}sensitive_features": groups} if takes_groups(last) else {}


def _reads_groups(estimator):
    return getattr(estimator, "sensitive_feature", None) is not None
