"""Metrics of a randomised rule, in expectation over its decisions."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils.validation import _check_sample_weight

from .._utils.groups import group_index
from ..fairness._rates import operating_points, selection_rates, tally
from . import _encoding


def expected_equalized_odds_difference(
    y_true: ArrayLike,
    selection_probability: ArrayLike,
    *,
    sensitive_features: ArrayLike,
    sample_weight: ArrayLike | None = None,
    pos_label: object = None,
) -> float:
    """Equalized-odds difference of the expected decisions.

    The larger of the differences between groups in the true and in the false positive
    rate, with each decision replaced by its probability. For hard
    decisions, it equals fairlearn's ``equalized_odds_difference``.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels of two classes.

    selection_probability : array-like of shape (n_samples,)
        Probability of the positive decision, floats in [0, 1], or predicted labels.

    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_features)
        Groups; several columns are intersected.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights.

    pos_label : object, default=None
        Positive label, by default the greater of the two.

    Returns
    -------
    difference : float
        In [0, 1].

    Raises
    ------
    ValueError
        If a group lacks a label, so that one of its rates is undefined.

    References
    ----------
    Hardt, Price, Srebro (2016), Equality of Opportunity in Supervised Learning.

    Examples
    --------
    >>> from sklearn_fairsisa.metrics import expected_equalized_odds_difference
    >>> expected_equalized_odds_difference(
    ...     [0, 1, 0, 1], [0.25, 1, 0.5, 0.5], sensitive_features=["a", "a", "b", "b"])
    0.5
    """
    total, chosen, names = _tally(
        y_true, selection_probability, sensitive_features, sample_weight, pos_label
    )
    return _gap("equalized_odds_difference", total, chosen, names)


def expected_demographic_parity_difference(
    y_true: ArrayLike,
    selection_probability: ArrayLike,
    *,
    sensitive_features: ArrayLike,
    sample_weight: ArrayLike | None = None,
    pos_label: object = None,
) -> float:
    """Demographic parity difference of the expected decisions.

    The difference between groups of the mean selection probability. For hard decisions,
    it equals fairlearn's ``demographic_parity_difference``.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels of two classes. They only determine the positive label.

    selection_probability : array-like of shape (n_samples,)
        Probability of the positive decision, floats in [0, 1], or predicted labels.

    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_features)
        Groups; several columns are intersected.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights.

    pos_label : object, default=None
        Positive label, by default the greater of the two.

    Returns
    -------
    difference : float
        In [0, 1].

    Examples
    --------
    >>> from sklearn_fairsisa.metrics import expected_demographic_parity_difference
    >>> expected_demographic_parity_difference(
    ...     [0, 1, 0, 1], [0.25, 1, 0.5, 0.5], sensitive_features=["a", "a", "b", "b"])
    0.125
    """
    total, chosen, names = _tally(
        y_true, selection_probability, sensitive_features, sample_weight, pos_label
    )
    return _gap("demographic_parity_difference", total, chosen, names)


def expected_accuracy_score(
    y_true: ArrayLike,
    selection_probability: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    pos_label: object = None,
) -> float:
    """Accuracy of the expected decisions.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels of two classes.

    selection_probability : array-like of shape (n_samples,)
        Probability of the positive decision, floats in [0, 1], or predicted labels.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights.

    pos_label : object, default=None
        Positive label, by default the greater of the two.

    Returns
    -------
    accuracy : float
        In [0, 1].

    Examples
    --------
    >>> from sklearn_fairsisa.metrics import expected_accuracy_score
    >>> expected_accuracy_score([0, 1], [0.25, 0.5])
    0.625
    """
    total, chosen, _ = _tally(
        y_true, selection_probability, None, sample_weight, pos_label
    )
    return float(_encoding.evaluate("accuracy_score", total, chosen))


def expected_balanced_accuracy_score(
    y_true: ArrayLike,
    selection_probability: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    pos_label: object = None,
) -> float:
    """Balanced accuracy of the expected decisions.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels of two classes, both present.

    selection_probability : array-like of shape (n_samples,)
        Probability of the positive decision, floats in [0, 1], or predicted labels.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights.

    pos_label : object, default=None
        Positive label, by default the greater of the two.

    Returns
    -------
    balanced_accuracy : float
        Mean of the true positive and the true negative rate.

    Examples
    --------
    >>> from sklearn_fairsisa.metrics import expected_balanced_accuracy_score
    >>> expected_balanced_accuracy_score([0, 0, 0, 1], [0.25, 0.25, 0.25, 0.5])
    0.625
    """
    total, chosen, _ = _tally(
        y_true, selection_probability, None, sample_weight, pos_label
    )
    if not (total[0] > 0).all():
        raise ValueError(
            "Balanced accuracy needs both labels in y_true. Add rows of the other "
            "label."
        )
    return float(_encoding.evaluate("balanced_accuracy_score", total, chosen))


def group_rates(
    y_true: ArrayLike,
    selection_probability: ArrayLike,
    *,
    sensitive_features: ArrayLike,
    sample_weight: ArrayLike | None = None,
    pos_label: object = None,
) -> pd.DataFrame:
    """Sizes and rates of each group.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels of two classes.

    selection_probability : array-like of shape (n_samples,)
        Probability of the positive decision, floats in [0, 1], or predicted labels.

    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_features)
        Groups; several columns are intersected.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights.

    pos_label : object, default=None
        Positive label, by default the greater of the two.

    Returns
    -------
    rates : DataFrame
        One row per group, with an index level per sensitive feature: the number (or
        weight) of negatives and positives, the false and true positive rate (NaN if
        the group has no such label) and the selection rate.

    Examples
    --------
    >>> from sklearn_fairsisa.metrics import group_rates
    >>> rates = group_rates(
    ...     [0, 1, 0, 1], [0.25, 1, 0.5, 0.5], sensitive_features=["a", "a", "b", "b"])
    >>> rates["true_positive_rate"].tolist()
    [1.0, 0.5]
    """
    total, chosen, names = _tally(
        y_true, selection_probability, sensitive_features, sample_weight, pos_label
    )
    rates = operating_points(total, chosen)
    return pd.DataFrame(
        {
            "n_negative": total[:, 0],
            "n_positive": total[:, 1],
            "false_positive_rate": rates[:, 0],
            "true_positive_rate": rates[:, 1],
            "selection_rate": selection_rates(total, chosen),
        },
        index=group_index(names),
    )


def _tally(y_true, probability, sensitive_features, sample_weight, pos_label):
    y_true, probability = np.asarray(y_true), np.asarray(probability)
    # Floats are probabilities, as the argument's name says, unless labels are floats
    # too.
    are_named = probability.dtype.kind == "f" and y_true.dtype.kind != "f"
    soft = True if are_named and _encoding.are_shares(probability) else None
    y, decisions = _encoding.encode(y_true, probability, pos_label, soft=soft)
    if decisions.shape[1] != 1:
        raise ValueError(
            f"selection_probability has {decisions.shape[1]} columns. Give one number "
            "per row."
        )
    names, codes = _encoding.code_groups(sensitive_features, len(y))
    if sample_weight is not None:
        sample_weight = _check_sample_weight(
            sample_weight, np.empty((len(y), 1)), ensure_non_negative=True
        )
    return *tally(codes, y, decisions[:, 0], len(names), sample_weight), names


def _gap(metric, total, chosen, names):
    _encoding.check_defined(metric, total, names)
    return float(_encoding.evaluate(metric, total, chosen))
