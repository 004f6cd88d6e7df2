"""Scores of a fitted classifier for the classes of an ensemble."""

from contextlib import suppress

import numpy as np
from scipy import sparse
from scipy.special import expit, softmax
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

# Single precision sums to 1 within this.
_TOLERANCE = 1e-3
_PROBABILITIES = "probabilities, of at least 0 and summing to 1 in each row"


def class_scores(member, classes, predict, n_samples=None):
    """Return a score of each class, in [0, 1] with rows that sum to 1.

    Scores are probabilities if the classifier has them, else the logistic function
    (softmax) of its decision function, else its votes. Classes that it was not trained
    on have score 0.

    Parameters
    ----------
    member : fitted classifier
        Its labels are among `classes`.
    classes : ndarray of shape (n_classes,)
        Sorted classes of the ensemble.
    predict : callable
        Takes the name of a method and returns the member's output for n rows.
    n_samples : int, default=None
        The number n, to check the length of the output.

    Returns
    -------
    ndarray of shape (n, n_classes)
        Booleans if they are votes. Rows that are not finite are returned as they are.

    Raises
    ------
    ValueError
        If the member has a class that is not one of `classes`, the output has another
        shape than that of scikit-learn's classifiers, or probabilities are negative or
        do not sum to 1.
    """
    if hasattr(member, "predict_proba"):
        scores = _numbers(member, "predict_proba", predict, n_samples)
        if scores.ndim != 2:
            n_known = len(_known_classes(member, classes))
            raise _unusable(
                member,
                "predict_proba",
                f"an array of shape {scores.shape}",
                f"a column for each of its {n_known} classes",
            )
        return _check_probabilities(_spread(classes, scores, member), member)
    if hasattr(member, "decision_function"):
        margin = _numbers(member, "decision_function", predict, n_samples)
        n_known = len(_known_classes(member, classes))
        if margin.ndim > 2:
            raise _unusable(
                member,
                "decision_function",
                f"an array of shape {margin.shape}",
                "one number per sample, or a column per class",
            )
        if margin.ndim == 1 or margin.shape[1] == 1:
            positive = expit(margin.ravel())
            return _spread(classes, np.column_stack([1 - positive, positive]), member)
        # One column per pair of classes gives no score of a class.
        if margin.shape[1] == n_known:
            return _spread(classes, softmax(margin, axis=1), member)
    return predicted_votes(member, classes, predict, n_samples)


def predicted_votes(member, classes, predict, n_samples=None):
    """Return the labels that a classifier predicts as indicators of the classes.

    Parameters
    ----------
    member, classes, predict, n_samples
        As for `class_scores`.

    Returns
    -------
    ndarray of bool of shape (n, n_classes)

    Raises
    ------
    ValueError
        If a label is not one of `classes`, or there is not one label per row.
    """
    labels = _rows(member, "predict", predict, n_samples)
    # CatBoost predicts a column of labels.
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise _unusable(
            member,
            "predict",
            f"an array of shape {labels.shape}",
            "one class label per sample",
        )
    return class_votes(labels, classes, member)


def class_votes(labels, classes, member=None):
    """Return labels as indicators of the classes.

    Parameters
    ----------
    labels : ndarray of shape (...)
    classes : ndarray of shape (n_classes,)
    member : classifier, default=None
        Classifier that predicted the labels, to name it in the error.

    Returns
    -------
    ndarray of bool of shape (..., n_classes)

    Raises
    ------
    ValueError
        If a label is not one of `classes`.

    Examples
    --------
    >>> class_votes(np.array(["b", "a"]), np.array(["a", "b"]))
    array([[False,  True],
           [ True, False]])
    """
    votes = np.asarray(labels[..., None] == classes)
    # What has no common type with the classes is unequal as a whole.
    if votes.shape != (*labels.shape, len(classes)) or not votes.any(axis=-1).all():
        raise _unknown_class_error(
            list(dict.fromkeys(labels.ravel().tolist())), classes, member
        )
    return votes


def _spread(classes, scores, member):
    """Return the scores of a member's classes with zeros for all other classes."""
    position = {label: k for k, label in enumerate(classes.tolist())}
    known = _known_classes(member, classes)
    if not position.keys() >= set(known):
        raise _unknown_class_error(known, classes, member)
    if len(known) > 1 and scores.shape[1] not in (len(known), len(classes)):
        raise ValueError(
            f"A member ({_name(member)}) gives {scores.shape[1]} scores, but knows "
            f"{len(known)} classes of {len(classes)}. Give its network an output for "
            "each class, or name all classes that may come in partial_fit(classes=)."
        )
    if len(known) == 1:
        # Learners of one class may give scores of two.
        scores = np.ones((len(scores), 1))
    elif known == classes.tolist() or len(known) < scores.shape[1] == len(classes):
        # A net has an output for each class, whether or not it was trained on it.
        return scores
    spread = np.zeros((len(scores), len(classes)))
    spread[:, [position[label] for label in known]] = scores
    return spread


def _known_classes(member, classes):
    known = getattr(member, "classes_", classes)
    try:
        known = np.asarray(known)
    except ValueError:  # lists of several lengths
        known = np.empty((0, 0))
    if known.ndim != 1:
        raise ValueError(
            f"{_name(member)}.classes_ holds the labels of several outputs, but an "
            "ensemble decides on one. Give classifiers of a single label."
        )
    return known.tolist()


def _rows(member, method, predict, n_samples):
    """Return a member's output as an array with one row per sample."""
    output = predict(method)
    if sparse.issparse(output):
        output = output.toarray()
    if np.ma.is_masked(output):
        came = "a masked array with masked entries"
        raise _unusable(member, method, came, "a value for each sample")
    try:
        rows = np.asarray(output)
    except (ValueError, TypeError, RuntimeError):
        # Lists of several lengths, tensors that require gradients.
        rows = np.empty(())
    if rows.ndim == 0:
        came = f"a {type(output).__name__}"
        raise _unusable(member, method, came, "an array with one row per sample")
    if n_samples is not None and len(rows) != n_samples:
        came = f"an array of shape {rows.shape}"
        raise _unusable(
            member, method, came, f"one row for each of {n_samples} samples"
        )
    return rows


def _numbers(member, method, predict, n_samples):
    rows = _rows(member, method, predict, n_samples)
    with suppress(TypeError, ValueError):
        # Others may be read as numbers that they are not: texts, dates, complex ones.
        if rows.dtype.kind in "biufO":
            # Nets output in single precision, in which sums would be less close to 1.
            return rows.astype(np.float64)
    raise _unusable(member, method, f"an array of {rows.dtype}", "an array of numbers")


def _check_probabilities(scores, member):
    """Return probabilities, after checking the rows that are finite."""
    finite = scores[np.isfinite(scores).all(axis=1)]
    lowest = finite.min(initial=0)
    if lowest < -_TOLERANCE:
        raise _unusable(
            member, "predict_proba", f"numbers down to {lowest:.4g}", _PROBABILITIES
        )
    with np.errstate(over="ignore"):
        total = finite.sum(axis=1)
    off = np.abs(total - 1)
    if off.max(initial=0) > _TOLERANCE:
        came = f"a row that sums to {total[off.argmax()]:.4g}"
        raise _unusable(member, "predict_proba", came, _PROBABILITIES)
    # Rounding leaves some a little below 0.
    return scores.clip(0, None) if lowest < 0 else scores


def _name(member):
    """Return the class name of a learner, without what wraps it."""
    while isinstance(member, FrozenEstimator | Pipeline):
        member = member.estimator if hasattr(member, "estimator") else member[-1]
    return type(member).__name__


def _unusable(member, method, came, needed):
    return ValueError(
        f"{_name(member)}.{method} returned {came}, but an ensemble needs {needed}. "
        "Give a classifier that predicts as those of scikit-learn do, or wrap this one."
    )


def _unknown_class_error(labels, classes, member=None):
    whose = "" if member is None else f" ({_name(member)})"
    return ValueError(
        f"A member knows the classes {labels[:10]}{whose}, but the ensemble knows "
        f"{classes.tolist()[:10]}. Give an ensemble whose members were trained on "
        "labels of its own."
    )
