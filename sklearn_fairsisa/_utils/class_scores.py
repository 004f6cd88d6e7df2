"""What a fitted classifier says of each class of an ensemble."""

import numpy as np
from scipy.special import expit, softmax


def class_scores(member, classes, ask):
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
        What the member answers about the n rows, as an array, by the name of a method.

    Returns
    -------
    ndarray of shape (n, n_classes)
        Booleans where the member only votes.

    Raises
    ------
    ValueError
        If the member knows a class that is not one of `classes`.
    """
    if hasattr(member, "predict_proba"):
        return _among(classes, ask("predict_proba"), member)
    if hasattr(member, "decision_function"):
        margin = ask("decision_function")
        n_known = len(getattr(member, "classes_", classes))
        if margin.ndim == 1 or margin.shape[1] == 1:
            positive = expit(margin.ravel())
            return _among(classes, np.column_stack([1 - positive, positive]), member)
        # One column per pair of classes is no score of a class.
        if margin.shape[1] == n_known:
            return _among(classes, softmax(margin, axis=1), member)
    return class_votes(ask("predict"), classes)


def class_votes(labels, classes):
    """Labels as indicators of the classes.

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
        raise _foreign(np.unique(labels).tolist(), classes)
    return votes


def _among(classes, scores, member):
    """Put the columns of the classes a member knows among those of all classes."""
    position = {label: k for k, label in enumerate(classes.tolist())}
    known = np.asarray(getattr(member, "classes_", classes)).tolist()
    if not position.keys() >= set(known):
        raise _foreign(known, classes)
    if len(known) > 1 and scores.shape[1] not in (len(known), len(classes)):
        raise ValueError(
            f"A member gives {scores.shape[1]} scores, but knows {len(known)} classes "
            f"of {len(classes)}. Give its network an output for each class, or name "
            "all classes that may come in partial_fit(classes=)."
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


def _foreign(labels, classes):
    return ValueError(
        f"A member knows the classes {labels[:10]}, but the ensemble knows "
        f"{classes.tolist()[:10]}. Give an ensemble whose members were trained on "
        "labels of its own."
    )
