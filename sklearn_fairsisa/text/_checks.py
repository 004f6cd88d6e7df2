"""Checks of parameters and labels that the estimators share."""

from collections.abc import Mapping
from contextlib import contextmanager
from numbers import Integral, Rational, Real
from os import PathLike

import numpy as np
import torch
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.class_weight import compute_class_weight
from skorch.callbacks import Callback, InputShapeSetter, LRScheduler
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from .._utils.callbacks import check_listed, judge
from ._cache import forget_everywhere
from ._texts import as_texts

PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Number(Interval):
    """A parameter constraint: an interval that excludes True and False."""

    def is_satisfied_by(self, val):
        if isinstance(val, Rational) and not isinstance(val, Integral):
            val = float(val)  # which scikit-learn cannot compare with NaN
        return not isinstance(val, bool) and super().is_satisfied_by(val)


COUNT = Number(Integral, 1, None, closed="left")
NOT_NEGATIVE_COUNT = Number(Integral, 0, None, closed="left")
# Of an array that is filled whatever the data.
SIZE = Number(Integral, 1, 2**31 - 1, closed="both")
POSITIVE = Number(Real, 0, None, closed="neither")
NOT_NEGATIVE = Number(Real, 0, None, closed="left")


_FROM_LABELS = (
    "The number of classes and their names follow from the labels that the estimator "
    "is given. Leave it out."
)
_OF_THE_ESTIMATOR = "The estimator sets it itself. Leave it out."
_NOT_FREE = {
    "num_labels": _FROM_LABELS,
    "id2label": _FROM_LABELS,
    "label2id": _FROM_LABELS,
    "problem_type": "The loss is the cross-entropy of classes. Leave it out.",
    "config": "Give the config as model=, or the values to replace in it by name.",
    "output_loading_info": _OF_THE_ESTIMATOR,
    "return_dict": _OF_THE_ESTIMATOR,
    "use_return_dict": _OF_THE_ESTIMATOR,
    "state_dict": "Save the weights with save_pretrained() and give the folder.",
}


class TextModelMixin:
    """Parameters and input checks that estimators with a language model share."""

    _parameter_constraints: dict = {  # noqa: RUF012
        "model": [str, PathLike, PretrainedConfig],
        "tokenizer": [str, PathLike, PreTrainedTokenizerBase, None],
        "text_column": [str, Integral, None],
        "max_length": [COUNT],
        "device": [str],
        "model_kwargs": [Mapping, None],
        "verbose": ["verbose"],
    }

    def _validate_params(self):
        # The error of a constraint would print the whole network.
        if isinstance(self.model, torch.nn.Module):
            raise TypeError(
                f"model is an instance of {type(self.model).__name__}. Training would "
                "change its weights for all its users. Save it with save_pretrained() "
                "and give the folder, or give model.config for a random initialisation."
            )
        super()._validate_params()
        for name in (self.model_kwargs or {}).keys() & _NOT_FREE.keys():
            raise ValueError(f"model_kwargs has {name!r}. {_NOT_FREE[name]}")

    def _check_texts(self, X):
        """Return the texts of X as a list of strings, or raise an error."""
        return as_texts(X, self.text_column)

    def _empty_caches(self):
        forget_everywhere(None, self.cache_dir)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags


def check_entry(name, value, constraint):
    """Raise unless an entry of a parameter satisfies a constraint."""
    if not constraint.is_satisfied_by(value):
        raise ValueError(f"{name}={value!r} is not valid: give {constraint}.")


def check_callbacks(callbacks):
    """Raise unless all are skorch callbacks that have a place in this training."""
    check_listed(callbacks)
    for callback in callbacks or ():
        # A callback is an instance, a class, or a pair of a name and one of these.
        item = callback[-1] if isinstance(callback, tuple | list) else callback
        kind = item if isinstance(item, type) else type(item)
        if not issubclass(kind, Callback):
            raise TypeError(
                f"callbacks has a {kind.__name__}, which is not a skorch callback. "
                "Give subclasses of skorch.callbacks.Callback."
            )
        verdict = judge(item)
        useless = [why for known, why in _USELESS.items() if issubclass(kind, known)]
        for reason in [verdict.reason] * (verdict.role is None) + useless:
            raise ValueError(f"callbacks has {verdict.name}, which {reason}")


_USELESS = {
    LRScheduler: (
        "would change nothing, since every step sets its own learning rate. Choose "
        "scheduler= and warmup= instead; scheduler may be a function."
    ),
    InputShapeSetter: "has nothing to set: texts have no columns. Leave it out.",
}


def check_mask(mask, n_rows):
    """Return a mask of rows as an array of bool, or raise an error."""
    mask = np.asarray(mask)
    if mask.dtype != bool or mask.shape != (n_rows,):
        raise ValueError(
            f"watched has shape {mask.shape} and type {mask.dtype}. Give True or False "
            f"for each of the {n_rows} rows."
        )
    return mask


def share_of_rows(n_rows, share, seed):
    """Draw a share of the rows by their positions; return a mask.

    A share above 0 has at least one row.
    """
    mask = np.zeros(n_rows, dtype=bool)
    if share:
        order = np.random.default_rng([seed, 1]).permutation(n_rows)
        mask[order[: max(1, round(share * n_rows))]] = True
    return mask


def check_optimizer(optimizer, params):
    """Raise unless an optimizer class trains by steps on dense gradients."""
    if not issubclass(optimizer, torch.optim.Optimizer):
        raise TypeError(
            f"optimizer={optimizer.__name__} is not a torch optimizer. Give a subclass "
            "of torch.optim.Optimizer."
        )
    if issubclass(optimizer, torch.optim.LBFGS | torch.optim.SparseAdam):
        raise ValueError(
            f"optimizer={optimizer.__name__} is not supported, since it needs several "
            "losses per step, or sparse gradients. Choose another one, such as "
            "torch.optim.NAdam."
        )
    taken = {"lr", "weight_decay"} & set(params)
    if taken:
        raise ValueError(
            f"optimizer_params has {sorted(taken)}, which are parameters of the "
            "estimator. Give them as lr= and weight_decay=."
        )


def seed_from(random_state):
    """Return an int unchanged, or a seed drawn from another random state."""
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def known_classes(y, classes, before):
    """Return the classes that a call of ``partial_fit`` trains.

    Parameters
    ----------
    y : ndarray of shape (n,)
    classes : array-like or None
        Classes given to this call.
    before : ndarray or None
        Classes of the first call; None if this is the first.

    Returns
    -------
    ndarray of shape (n_classes,)

    Raises
    ------
    ValueError
        If the classes differ from those before, or `y` has other ones.
    """
    if before is None:
        known = np.unique(y if classes is None else classes)
    else:
        known = before
        if classes is not None and not np.array_equal(np.unique(classes), known):
            raise ValueError(
                f"classes={np.unique(classes).tolist()}, but the first call "
                f"had {known.tolist()}. Leave classes= out, or call fit."
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
        Classes that a dict lacks have weight 1. "balanced" computes the weights of
        the classes in `y`; others have weight 1.
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
                f"among the classes {classes.tolist()}. Name only these."
            )
        for label, value in class_weight.items():
            check_entry(f"class_weight[{label!r}]", value, NOT_NEGATIVE)
        weight[:] = [class_weight.get(label, 1.0) for label in classes.tolist()]
    elif class_weight is not None:
        present = np.unique(y)
        weight[np.isin(classes, present)] = compute_class_weight(
            class_weight, classes=present, y=y
        )
    return weight


@contextmanager
def advice_on_memory(advice):
    """Advise what to do when memory runs out."""
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
