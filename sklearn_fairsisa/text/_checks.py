"""Checks of parameters and labels that the estimators share."""

import numbers
from collections.abc import Mapping
from contextlib import contextmanager

import numpy as np
import torch
from sklearn.utils.class_weight import compute_class_weight

PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}


def check_number(name, value, kind, least):
    """Raise unless a parameter is a number of some kind and not too small."""
    if not isinstance(value, kind) or isinstance(value, bool) or not value >= least:
        what = "an integer" if kind is numbers.Integral else "a number"
        raise ValueError(f"{name}={value!r} is not valid: give {what} >= {least}.")


def check_choice(name, value, choices):
    """Raise unless a parameter is one of its choices."""
    if value not in choices:
        raise ValueError(f"{name}={value!r} is not valid: give one of {choices}.")


def known_classes(y, classes, before):
    """Return the classes that a call of ``partial_fit`` trains for.

    Parameters
    ----------
    y : ndarray of shape (n,)
    classes : array-like or None
        What the call names.
    before : ndarray or None
        What the first call named; None in the first.

    Returns
    -------
    ndarray of shape (n_classes,)

    Raises
    ------
    ValueError
        If the classes are others than before, or `y` has further ones.
    """
    if before is None:
        known = np.unique(y if classes is None else classes)
    else:
        known = before
        if classes is not None and not np.array_equal(np.unique(classes), known):
            raise ValueError(
                f"classes={np.unique(classes).tolist()}, but the first call "
                f"had {known.tolist()}. Leave it out, or call fit."
            )
    unknown = np.setdiff1d(y, known)
    if unknown.size:
        raise ValueError(
            f"y has {unknown.tolist()}, which is not among the classes "
            f"{known.tolist()}. Name all classes in the first call of partial_fit."
        )
    return known


def class_weights(class_weight, classes, y):
    """Return the weight of each class in the loss.

    Parameters
    ----------
    class_weight : dict, "balanced" or None
        "balanced" goes by the classes that `y` has; others weigh 1.
    classes : ndarray of shape (n_classes,)
    y : ndarray of shape (n,)

    Returns
    -------
    ndarray of shape (n_classes,)
    """
    weight = np.ones(len(classes))
    if isinstance(class_weight, Mapping):
        unknown = set(class_weight) - set(classes.tolist())
        if unknown:
            raise ValueError(
                f"class_weight names {sorted(unknown, key=repr)}, which are not "
                f"among the classes {classes.tolist()}."
            )
        weight[:] = [class_weight.get(label, 1.0) for label in classes.tolist()]
    elif class_weight is not None:
        present = np.unique(y)
        weight[np.isin(classes, present)] = compute_class_weight(
            class_weight, classes=present, y=y
        )
    return weight


@contextmanager
def advice_on_memory(advice):
    """Say what to do when memory runs out."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        raise MemoryError(f"Out of memory. {advice}") from error


def _is_out_of_memory(error):
    signs = (
        "can't allocate memory",
        "CUBLAS_STATUS_ALLOC_FAILED",
        "MPS backend out of memory",
    )
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        sign in str(error) for sign in signs
    )
