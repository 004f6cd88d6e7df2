"""Scores of a fitted classifier for the classes of an ensemble."""

import numpy as np
from scipy.special import expit, softmax


def class_scores(member, classes, predict):
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

    Returns
    -------
    ndarray of shape (n, n_classes)
        Booleans if they are votes.

    Raises
    ------
    ValueError
        If the member has a class that is not one of `classes`.
    """
    if hasattr(member, "predict_proba"):
        return _spread(classes, predict("predict_proba"), member)
    if hasattr(member, "decision_function"):
        margin = predict("decision_function")
        n_known = len(getattr(member, "classes_", classes))
        if margin.ndim == 1 or margin.shape[1] == 1:
            positive = expit(margin.ravel())
            return _spread(classes, np.column_stack([1 - positive, positive]), member)
        # One column per pair of classes gives no score of a class.
        if margin.shape[1] == n_known:
            return _spread(classes, softmax(margin, axis=1), member)
    return class_votes(predict("predict"), classes)


def class_votes(labels, classes):
    """Return labels as indicators of the classes.

    Parameters
    ----------
    labels : ndarray of shape (...)
    classes : ndarray of shape (n_classes,)

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
    votes = labels[..., None] == classes
    if not votes.any(axis=-1).all():
        raise _unknown_class_error(np.unique(labels).tolist(), classes)
    return votes


def _spread(classes, scores, member):
    """Return the scores of a member's classes with zeros for all other classes."""
    position = {label: k for k, label in enumerate(classes.tolist())}
    known = np.asarray(getattr(member, "classes_", classes)).tolist()
    if not position.keys() >= set(known):
        raise _unknown_class_error(known, classes)
    if len(known) > 1 and scores.shape[1] not in (len(known), len(classes)):
        raise ValueError(
            f"A member gives {scores.shape[1]} scores, but knows {len(known)} classes "
            f"of {len(classes)}. Give its network an output for each class, or name "
            "all possible classes in partial_fit(classes=)."
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


def _unknown_class_error(labels, classes):
    return ValueError(
        f"A member knows the classes {labels[:10]}, but the ensemble knows "
        f"{classes.tolist()[:10]}. Give an ensemble whose members were trained on its "
        "own labels."
    )
