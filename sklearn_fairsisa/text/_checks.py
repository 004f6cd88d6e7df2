"""Checks of parameters and labels that the estimators share."""

import math
import numbers
from collections.abc import Mapping
from contextlib import contextmanager

import numpy as np
import torch
from sklearn.utils.class_weight import compute_class_weight
from skorch.callbacks import Callback, EarlyStopping, LRScheduler

PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}


def check_number(name, value, kind, least, *, above=False):
    """Raise unless a parameter is a finite number of some kind and not too small.

    Parameters
    ----------
    name : str
    value : object
    kind : {numbers.Integral, numbers.Real}
    least : int
    above : bool, default=False
        Whether `least` itself is too small.
    """
    is_number = isinstance(value, kind) and not isinstance(value, bool)
    if not is_number or not least <= value < math.inf or (above and value == least):
        what = "an integer" if kind is numbers.Integral else "a finite number"
        sign = ">" if above else ">="
        raise ValueError(f"{name}={value!r} is not valid: give {what} {sign} {least}.")


def check_choice(name, value, choices):
    """Raise unless a parameter is one of its choices."""
    if value not in choices:
        raise ValueError(f"{name}={value!r} is not valid: give one of {choices}.")


def check_callbacks(callbacks):
    """Raise unless these are skorch callbacks that steer no training by its rows."""
    if not isinstance(callbacks, list | tuple | None):
        raise TypeError(
            f"callbacks is a {type(callbacks).__name__}; give a list of skorch "
            "callbacks, or None."
        )
    for callback in callbacks or ():
        # They come as instances, classes, or pairs of a name and one.
        one = callback[1] if isinstance(callback, tuple) else callback
        kind = one if isinstance(one, type) else type(one)
        if not issubclass(kind, Callback):
            raise TypeError(
                f"callbacks has a {kind.__name__}, which is no skorch callback."
            )
        if issubclass(kind, EarlyStopping | LRScheduler):
            todo = (
                "Choose max_epochs instead"
                if issubclass(kind, EarlyStopping)
                else "Choose scheduler= and warmup= instead"
            )
            raise ValueError(
                f"callbacks has a {kind.__name__}, which steers the training by "
                "state that would not be unlearnt with a row, nor resumed from "
                f"a checkpoint. {todo}."
            )


def check_optimizer(optimizer, params):
    """Raise unless a class of optimizers can train by steps on dense gradients."""
    if not issubclass(optimizer, torch.optim.Optimizer):
        raise TypeError(f"optimizer={optimizer.__name__} is no torch optimizer.")
    if issubclass(optimizer, torch.optim.LBFGS | torch.optim.SparseAdam):
        raise ValueError(
            f"optimizer={optimizer.__name__} is not supported: it wants to compute the "
            "loss several times a step, or sparse gradients. Choose one such as "
            "torch.optim.NAdam."
        )
    taken = {"lr", "weight_decay"} & set(params)
    if taken:
        raise ValueError(
            f"optimizer_params has {sorted(taken)}, which are parameters of their own. "
            "Give them as lr= and weight_decay=."
        )


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
        Classes that a dict lacks weigh 1. "balanced" goes by the classes that `y`
        has; others weigh 1.
    classes : ndarray of shape (n_classes,)
    y : ndarray of shape (n,)

    Returns
    -------
    ndarray of shape (n_classes,)

    Raises
    ------
    ValueError
        If a dict names another class, or a weight is not a finite number >= 0.
    """
    weight = np.ones(len(classes))
    if isinstance(class_weight, Mapping):
        unknown = set(class_weight) - set(classes.tolist())
        if unknown:
            raise ValueError(
                f"class_weight names {sorted(unknown, key=repr)}, which are not "
                f"among the classes {classes.tolist()}."
            )
        for label, value in class_weight.items():
            check_number(f"class_weight[{label!r}]", value, numbers.Real, 0)
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
