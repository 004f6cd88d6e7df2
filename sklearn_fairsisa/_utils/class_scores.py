"""What a fitted classifier says of each class of an ensemble."""

import numpy as np
from scipy import sparse
from scipy.special import expit, softmax
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

# Single precision sums to 1 within this.
_TOLERANCE = 1e-3
_PROBABILITIES = "probabilities, of at least 0 and summing to 1 in each row"


def class_scores(member, classes, ask, n_samples=None):
    """Scores of each class, in [0, 1] with rows summing to 1.

    Probabilities where the classifier gives them, else the logistic function (softmax)
    of its decision function, else its vote. A class that it never saw scores 0.

    Parameters
    ----------
    member : fitted classifier
        Of labels out of `classes`.
    classes : ndarray of shape (n_classes,)
        Classes of the ensemble, sorted.
    ask : callable
        What the member answers about the n rows, by the name of a method.
    n_samples : int, default=None
        Number of rows, which every answer must have. None leaves it unchecked.

    Returns
    -------
    ndarray of shape (n, n_classes)
        Booleans where the member only votes. Rows that are not finite are left to the
        caller.

    Raises
    ------
    ValueError
        If the member knows a class that is not one of `classes`, or an answer has
        another shape than scikit-learn's classifiers give, or what should be
        probabilities is negative or does not sum to 1.
    """
    if hasattr(member, "predict_proba"):
        scores = _numbers(member, "predict_proba", ask, n_samples)
        if scores.ndim != 2:
            n_known = len(_known_classes(member, classes))
            raise _unusable(
                member,
                "predict_proba",
                f"an array of shape {scores.shape}",
                f"a column for each of its {n_known} classes",
            )
        return _check_probabilities(_among(classes, scores, member), member)
    if hasattr(member, "decision_function"):
        margin = _numbers(member, "decision_function", ask, n_samples)
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
            return _among(classes, np.column_stack([1 - positive, positive]), member)
        # One column per pair of classes is no score of a class.
        if margin.shape[1] == n_known:
            return _among(classes, softmax(margin, axis=1), member)
    return predicted_votes(member, classes, ask, n_samples)


def predicted_votes(member, classes, ask, n_samples=None):
    """What a classifier predicts, as indicators of the classes.

    Parameters
    ----------
    member, classes, ask, n_samples
        As for `class_scores`.

    Returns
    -------
    ndarray of bool of shape (n, n_classes)

    Raises
    ------
    ValueError
        If a label is not one of `classes`, or there is not one label per row.
    """
    labels = _rows(member, "predict", ask, n_samples)
    # CatBoost answers in one column.
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
    """Labels as indicators of the classes.

    Parameters
    ----------
    labels : ndarray of shape (...)
    classes : ndarray of shape (n_classes,)
    member : classifier, default=None
        Whose labels they are, for the error.

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
        raise _foreign(list(dict.fromkeys(labels.ravel().tolist())), classes, member)
    return votes


def _among(classes, scores, member):
    """Put the columns of the classes a member knows among those of all classes."""
    position = {label: k for k, label in enumerate(classes.tolist())}
    known = _known_classes(member, classes)
    if not position.keys() >= set(known):
        raise _foreign(known, classes, member)
    if len(known) > 1 and scores.shape[1] not in (len(known), len(classes)):
        raise ValueError(
            f"A member ({_name(member)}) gives {scores.shape[1]} scores, but knows "
            f"{len(known)} classes of {len(classes)}. Give its network an output for "
            "each class, or name all classes that may come in partial_fit(classes=)."
        )
    if len(known) == 1:
        # Learners of one class answer as if there were another.
        scores = np.ones((len(scores), 1))
    elif known == classes.tolist() or len(known) < scores.shape[1] == len(classes):
        # A net has an output for each class, whichever it saw.
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


def _rows(member, method, ask, n_samples):
    """A member's answer as an array with one row per sample."""
    answer = ask(method)
    if sparse.issparse(answer):
        answer = answer.toarray()
    try:
        rows = np.asarray(answer)
    except ValueError:  # lists of several lengths
        rows = np.empty(())
    if rows.ndim == 0:
        came = f"a {type(answer).__name__}"
        raise _unusable(member, method, came, "an array with one row per sample")
    if n_samples is not None and len(rows) != n_samples:
        came = f"an array of shape {rows.shape}"
        raise _unusable(
            member, method, came, f"one row for each of {n_samples} samples"
        )
    return rows


def _numbers(member, method, ask, n_samples):
    rows = _rows(member, method, ask, n_samples)
    try:
        # Nets answer in single precision, in which sums would be less close to 1.
        return rows.astype(np.float64)
    except (TypeError, ValueError):
        came = f"an array of {rows.dtype}"
        raise _unusable(member, method, came, "an array of numbers") from None


def _check_probabilities(scores, member):
    """Probabilities, unless finite rows are none."""
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
    """Class of the learner itself, which others may wrap."""
    while isinstance(member, FrozenEstimator | Pipeline):
        member = member.estimator if hasattr(member, "estimator") else member[-1]
    return type(member).__name__


def _unusable(member, method, came, needed):
    return ValueError(
        f"{_name(member)}.{method} returned {came}, but an ensemble needs {needed}. "
        "Give a classifier with the answers of scikit-learn's, or wrap this one."
    )


def _foreign(labels, classes, member=None):
    whose = "" if member is None else f" ({_name(member)})"
    return ValueError(
        f"A member knows the classes {labels[:10]}{whose}, but the ensemble knows "
        f"{classes.tolist()[:10]}. Give an ensemble whose members were trained on "
        "labels of its own."
    )
