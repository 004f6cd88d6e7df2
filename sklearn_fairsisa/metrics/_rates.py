"""Rates of groups and what follows from them, for hard and for randomised decisions."""

import numpy as np

from .._validation import check_groups

# A tally is a pair of arrays of shape (..., n_groups, 2): the number of people of each
# group and label (negative, positive), and how many of them are selected.


def encode(y_true, y_pred, pos_label=None, *, soft=None):
    """Return labels as 0 and 1, decisions as probabilities of the positive class.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels, of at most two kinds.
    y_pred : array-like of shape (n_samples,) or (n_samples, n_repeats)
        Predicted labels, or probabilities of the positive label.
    pos_label : object, default=None
        Positive label. By default the greater of the two, or the 1 if there is only
        0 or 1.
    soft : bool, default=None
        Whether `y_pred` holds probabilities. By default floats do, unless all of them
        may be labels.

    Returns
    -------
    y_true : ndarray of int, shape (n_samples,)
    decisions : ndarray of float, shape (n_samples, n_repeats)

    Raises
    ------
    ValueError
        If shapes or values are impossible, or if `soft` is not given and the values
        may be labels as well as probabilities, which would decide otherwise.
    """
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
    if y_true.ndim != 1:
        raise ValueError(f"y_true must be one-dimensional, got shape {y_true.shape}.")
    if y_pred.ndim not in (1, 2) or len(y_pred) != len(y_true):
        raise ValueError(
            f"y_pred has shape {y_pred.shape}, but y_true has {len(y_true)} rows. Give "
            "one prediction per row, or one column of them per repeat."
        )
    if len(y_true) == 0:
        raise ValueError("y_true is empty. Give at least one row.")
    labels = np.unique(y_true)
    guesses = soft is None and y_pred.dtype.kind == "f"
    if soft is None:
        soft = guesses and not _may_be_labels(y_pred, labels)
    if not soft:
        labels = np.union1d(labels, y_pred)
    elif not are_shares(y_pred):
        raise ValueError(
            "y_pred holds numbers that are neither labels of y_true nor "
            "probabilities in [0, 1]. Give predicted labels or the probability of "
            "the positive label."
        )
    if len(labels) > 2:
        raise ValueError(
            f"Rates need two labels, got {len(labels)}: {labels.tolist()[:10]}. Encode "
            "them as positive and negative."
        )
    if pos_label is None:
        pos_label = 1 if set(labels.tolist()) <= {0, 1} else labels.tolist()[-1]
    elif pos_label not in labels.tolist() and len(labels) == 2:
        raise ValueError(f"pos_label={pos_label!r} is not one of {labels.tolist()}.")
    decisions = y_pred if soft else y_pred == pos_label
    if guesses and are_shares(y_pred) and not np.array_equal(decisions, y_pred):
        raise ValueError(
            f"y_pred holds the floats {np.unique(y_pred).tolist()}, which may be "
            f"labels as well as probabilities of {pos_label!r}. Give labels as "
            "integers, y_pred.astype(int); or, beside probabilities, encode y_true as "
            f"1 for {pos_label!r} and 0 for the other label."
        )
    return (y_true == pos_label).astype(np.int64), (
        decisions.astype(float).reshape(len(y_true), -1)
    )


def are_shares(values):
    """Whether all values are numbers in [0, 1]."""
    return values.dtype.kind in "biuf" and bool(((values >= 0) & (values <= 1)).all())


def _may_be_labels(y_pred, labels):
    # y_true may lack one of the two labels.
    pairs = [labels, [-1, 1]]
    if set(labels.tolist()) <= {0, 1}:
        pairs.append([0, 1])
    return any(np.isin(y_pred, pair).all() for pair in pairs)


def encode_groups(sensitive_features, n_samples):
    """Return the names of the groups and the index of each row's group."""
    if sensitive_features is None:
        return np.array(["all"]), np.zeros(n_samples, dtype=np.intp)
    groups = check_groups(sensitive_features, n_samples)
    return np.unique(groups, return_inverse=True)


def tally(y, decisions, groups, n_groups, sample_weight=None):
    """Return the tally of one column of decisions."""
    weight = np.ones(len(y)) if sample_weight is None else sample_weight
    place = 2 * groups + y
    total = np.bincount(place, weight, 2 * n_groups).reshape(n_groups, 2)
    chosen = np.bincount(place, weight * decisions, 2 * n_groups)
    return total, chosen.reshape(n_groups, 2)


def group_rates(total, chosen):
    """False and true positive rate of each group, NaN where it has no such label."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return chosen / total


def _overall(total, chosen):
    return group_rates(total.sum(axis=-2), chosen.sum(axis=-2))


def selection_rates(total, chosen):
    """Selection rate of each group, NaN where it is empty."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return chosen.sum(axis=-1) / total.sum(axis=-1)


def spread(rates):
    """Greatest difference between groups, over one or several rates.

    A seminorm of the rates, so that a gap is never further from the true one than the
    spread of the errors of the rates.

    Parameters
    ----------
    rates : ndarray of shape (..., n_groups, n_rates)
        NaN where undefined; such a group is left out.

    Returns
    -------
    gap : ndarray of shape (...)
    """
    defined = ~np.isnan(rates)
    high = np.max(rates, axis=-2, where=defined, initial=-np.inf)
    low = np.min(rates, axis=-2, where=defined, initial=np.inf)
    return np.max(high - low, axis=-1, initial=0, where=defined.any(axis=-2))


def _accuracy(total, chosen):
    total, chosen = total.sum(axis=-2), chosen.sum(axis=-2)
    right = chosen[..., 1] + total[..., 0] - chosen[..., 0]
    return right / total.sum(axis=-1)


def _balanced_accuracy(total, chosen):
    rates = _overall(total, chosen)
    return (1 - rates[..., 0] + rates[..., 1]) / 2


SCORES = {
    "accuracy_score": _accuracy,
    "balanced_accuracy_score": _balanced_accuracy,
    "selection_rate": lambda n, s: selection_rates(n.sum(axis=-2), s.sum(axis=-2)),
    "true_positive_rate": lambda n, s: _overall(n, s)[..., 1],
    "false_positive_rate": lambda n, s: _overall(n, s)[..., 0],
}
# The rates, of shape (..., n_groups, n_rates), whose spread is the gap.
GAPS = {
    "equalized_odds_difference": group_rates,
    "true_positive_rate_difference": lambda n, s: group_rates(n, s)[..., 1:],
    "false_positive_rate_difference": lambda n, s: group_rates(n, s)[..., :1],
    "demographic_parity_difference": lambda n, s: selection_rates(n, s)[..., None],
}
NAMES = (*SCORES, *GAPS)
# Labels that every group must have for the gap to be defined.
NEEDED_LABELS = {
    "equalized_odds_difference": (0, 1),
    "true_positive_rate_difference": (1,),
    "false_positive_rate_difference": (0,),
    "demographic_parity_difference": (),
}


def evaluate(metric, total, chosen):
    """Return a named score or gap of tallies, shape (...)."""
    if metric in GAPS:
        return spread(GAPS[metric](total, chosen))
    return SCORES[metric](total, chosen)


def check_defined(metric, total, group_names):
    """Raise if a gap is undefined because a group lacks a label."""
    for label in NEEDED_LABELS.get(metric, ()):
        lacking = np.flatnonzero(total[..., label] == 0)
        if len(lacking):
            kind, rate = (("negative", "FPR"), ("positive", "TPR"))[label]
            raise ValueError(
                f"Group {group_names[lacking[0]].item()!r} has no {kind} labels, so "
                f"its {rate} is undefined. Add rows, leave the group out, or merge it "
                "with another."
            )
