"""Encoding of labels, decisions and groups, and named metrics of tallies."""

import numpy as np

from .._utils.groups import check_groups, encode_groups
from ..fairness._constraints import GAPS, RATES, spread
from ..fairness._rates import SCORES, by_decision, gap_rates

NAMES = (*SCORES, *GAPS)


def encode(y_true, y_pred, pos_label=None, *, soft=None):
    """Return labels as 0 and 1, and decisions as probabilities of the positive class.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels, of at most two kinds.
    y_pred : array-like of shape (n_samples,) or (n_samples, n_repeats)
        Predicted labels, or probabilities of the positive label.
    pos_label : object, default=None
        Positive label. By default the greater of the two, or 1 if all labels are 0 or
        all are 1.
    soft : bool, default=None
        Whether `y_pred` contains probabilities. By default floats are probabilities,
        unless all of them may be labels.

    Returns
    -------
    y_true : ndarray of int, shape (n_samples,)
    decisions : ndarray of float, shape (n_samples, n_repeats)

    Raises
    ------
    ValueError
        If shapes or values are impossible, or if `soft` is not given and the values are
        ambiguous: they may be labels or probabilities, which mean different decisions.
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
            "y_pred contains numbers that are neither labels of y_true nor "
            "probabilities in [0, 1]. Give predicted labels or the probability of "
            "the positive label."
        )
    if len(labels) > 2:
        raise ValueError(
            f"Rates need two labels, got {len(labels)}: {labels.tolist()[:10]}. Encode "
            "the labels as positive and negative."
        )
    if pos_label is None:
        pos_label = 1 if set(labels.tolist()) <= {0, 1} else labels.tolist()[-1]
    elif pos_label not in labels.tolist() and len(labels) == 2:
        raise ValueError(f"pos_label={pos_label!r} is not one of {labels.tolist()}.")
    decisions = y_pred if soft else y_pred == pos_label
    if guesses and are_shares(y_pred) and not np.array_equal(decisions, y_pred):
        raise ValueError(
            f"y_pred contains the floats {np.unique(y_pred).tolist()}, which may be "
            f"labels as well as probabilities of {pos_label!r}. Give labels as "
            "integers, y_pred.astype(int). To give probabilities, encode y_true as "
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


def code_groups(sensitive_features, n_samples):
    """Return the names of the groups and the index of each row's group."""
    if sensitive_features is None:
        return np.array(["all"]), np.zeros(n_samples, dtype=np.intp)
    return encode_groups(check_groups(sensitive_features, n_samples))


def evaluate(metric, total, chosen):
    """Return a named score or gap of tallies, shape (...)."""
    decided = by_decision(total, chosen)
    if metric in GAPS:
        return gap_of(gap_rates(metric, decided, total))
    return SCORES[metric](decided, total)


def gap_of(rates):
    """Return the spread of rates, 0 if no rate is defined."""
    return np.nan_to_num(spread(rates))


def needed_labels(metric):
    """Return the labels that every group must have for a metric to be defined."""
    rates = RATES[GAPS[metric]](2) if metric in GAPS else []
    return [rate.counted.argmax() for rate in rates if rate.counted.sum() == 1]


def check_defined(metric, total, group_names):
    """Raise if a gap is undefined because a group lacks a label."""
    for label in needed_labels(metric):
        lacking = np.flatnonzero(total[..., label] == 0)
        if len(lacking):
            kind, rate = (("negative", "FPR"), ("positive", "TPR"))[label]
            raise ValueError(
                f"Group {group_names.tolist()[lacking[0]]!r} has no {kind} labels, so "
                f"its {rate} is undefined. Add rows, leave the group out, or merge it "
                "with another."
            )
