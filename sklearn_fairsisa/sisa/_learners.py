"""What kinds of base learner there are, as far as training by slices cares."""

import os
import sys
from collections.abc import Mapping
from functools import partial

import numpy as np
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.naive_bayes import (
    BernoulliNB,
    CategoricalNB,
    ComplementNB,
    GaussianNB,
    MultinomialNB,
)
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing

_ACCUMULATING = (BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB)

_DEFAULT_PASSES = 10


def last_step(estimator):
    """Return the learner itself: the last step of a Pipeline, else the estimator."""
    return estimator[-1] if isinstance(estimator, Pipeline) else estimator


def can_continue(estimator):
    """Tell whether training can go on from a fitted state with more rows."""
    return hasattr(last_step(estimator), "partial_fit")


def accumulates(estimator):
    """Tell whether seeing a row twice counts it twice, as in naive Bayes.

    A learner says so itself by an attribute ``accumulates``, of the class or of the
    instance.
    """
    learner = last_step(estimator)
    return getattr(learner, "accumulates", isinstance(learner, _ACCUMULATING))


def counts_passes(estimator):
    """Tell whether the learner makes ``max_epochs`` passes in one ``partial_fit``."""
    return "max_epochs" in last_step(estimator).get_params(deep=False)


def trains_together(estimator):
    """Tell whether several of the learner can be trained in one program.

    Such a learner has parameters ``max_epochs``, how many passes one ``partial_fit``
    makes, and ``together``, how many learners one program takes. It has a function
    ``partial_fit_together(learners, X, y, classes=None, **fit_params)``, in which all
    but `classes` are lists with an entry per learner. Whatever the other learners are,
    it leaves each in the bits that its own ``partial_fit`` would, and it draws on no
    global generator. ``fit`` is ``partial_fit`` of a new learner.
    """
    return hasattr(last_step(estimator), "partial_fit_together")


def places(estimator):
    """Return how many learners are to be trained in one program."""
    return last_step(estimator).together if trains_together(estimator) else 1


def is_skorch(estimator):
    """Tell whether the learner is a skorch net, without importing skorch."""
    skorch = sys.modules.get("skorch")
    return skorch is not None and isinstance(last_step(estimator), skorch.NeuralNet)


def default_epochs(estimator, replay):
    """Return the passes that ``epochs=None`` means for a learner trained by passes."""
    if replay == "slice":
        return 1
    return (
        last_step(estimator).get_params(deep=False).get("max_epochs", _DEFAULT_PASSES)
    )


def make_prototype(estimator, n_classes, codes):
    """Clone a base learner into the state every member starts from.

    Parameters
    ----------
    estimator : estimator
    n_classes : int
        Number of classes K, which members know as 0..K-1.
    codes : dict
        From what `estimator` calls a class to what members call it.

    Raises
    ------
    ValueError
        If the learner would carry something from one shard to another, or has weights
        for classes that cannot be told.
    """
    if is_skorch(estimator):
        _refuse_module_instance(last_step(estimator))
    if caches_steps(estimator):
        raise ValueError(
            "A Pipeline with memory= keeps what its steps make of rows where forget() "
            "cannot reach. Pass memory=None."
        )
    prototype = clone(estimator)
    _settle_cache_dirs(prototype)
    if is_skorch(prototype):
        _absorb_skorch_defaults(last_step(prototype), n_classes)
    _recode_class_weights(prototype, n_classes, codes)
    return prototype


def _recode_class_weights(estimator, n_classes, codes):
    """Have a dict of class weights name the classes as members know them."""
    if isinstance(estimator, Pipeline):
        for _, step in estimator.steps:
            if hasattr(step, "get_params"):
                _recode_class_weights(step, n_classes, codes)
        return
    # The parameters of a net's parts go by codes as it is: it takes no other labels.
    for name, weights in estimator.get_params(deep=not is_skorch(estimator)).items():
        *holders, param = name.split("__")
        if param == "pos_label" and weights is not None:
            _refuse_other_names(estimator, name, codes)
        if param != "class_weight" or not isinstance(weights, Mapping):
            continue
        if holders:
            _refuse_other_names(estimator, name, codes)
            continue
        unknown = [label for label in weights if label not in codes]
        if unknown:
            raise ValueError(
                f"class_weight of {type(estimator).__name__} names {unknown}, which "
                f"are not among the classes {list(codes)}. Leave them out, or begin "
                "with partial_fit and name all that may come in its classes=."
            )
        # All are named, as learners refuse a dict that lacks a shard's classes.
        recoded = dict.fromkeys(range(n_classes), 1.0)
        recoded |= {codes[label]: weight for label, weight in weights.items()}
        estimator.set_params(class_weight=recoded)


def _refuse_other_names(estimator, name, codes):
    # Some meta-estimators hand labels on, others make 0 and 1 of them, class by class.
    if any(label != code for label, code in codes.items()):
        raise ValueError(
            f"{name} of {type(estimator).__name__} names classes by the labels "
            f"{list(codes)}, but members know them as {list(codes.values())}. Give "
            "labels that count from 0, or leave it out."
        )


def _settle_cache_dirs(estimator):
    """Make paths of caches absolute, or another working folder would change them."""
    for name, folder in estimator.get_params(deep=True).items():
        is_path = isinstance(folder, str | os.PathLike)
        if name.split("__")[-1] == "cache_dir" and is_path:
            estimator.set_params(**{name: os.path.abspath(folder)})


def holds(estimator, kind):
    """Return whether an estimator is, or has within it, an instance of a class."""
    parts = (estimator, *estimator.get_params(deep=True).values())
    return any(isinstance(part, kind) for part in parts)


def caches_steps(estimator):
    """Tell whether a Pipeline within an estimator keeps what its steps make of rows."""
    held = (estimator, *estimator.get_params(deep=True).values())
    return any(isinstance(h, Pipeline) and h.memory is not None for h in held)


def _refuse_module_instance(net):
    torch = sys.modules["torch"]
    if isinstance(net.module, torch.nn.Module):
        name = type(net.module).__name__
        raise ValueError(
            f"The skorch net holds an instance of {name}, which training changes and "
            "cloning copies with its weights, so members would share what they "
            f"learnt. Pass the class, as in NeuralNetClassifier({name}, ...), and its "
            "arguments as module__<name>."
        )


def _absorb_skorch_defaults(net, n_classes):
    # By default a fifth of the rows would be held out, and tiny shards crash.
    split = net.train_split
    if type(split).__name__ == "ValidSplit" and split.cv == 5:
        net.set_params(train_split=None)
    elif type(split).__name__ == "partial":
        raise ValueError(
            "The skorch net has a predefined validation set in train_split, which "
            "holds rows that forget() cannot reach. Pass train_split=None."
        )
    # A shard that lacks a class would infer fewer classes than the module has
    # outputs.
    known = net.get_params(deep=False).get("classes")
    if known is None or len(known) < n_classes:
        net.set_params(classes=list(range(n_classes)))


def set_random_states(estimator, seed):
    """Give every ``random_state`` parameter an integer that follows from the seed."""
    seed_owners(random_state_owners(estimator), seed)


def random_state_owners(estimator):
    """Return those nested estimators that have a ``random_state``, in a fixed order."""
    params = {"": estimator, **estimator.get_params(deep=True)}
    names = sorted(n for n in params if n.split("__")[-1] == "random_state")
    prefixes = (name.removesuffix("random_state") for name in names)
    return [params[prefix.removesuffix("__")] for prefix in prefixes]


def seed_owners(owners, seed):
    """Give each of some estimators a ``random_state`` that follows from the seed."""
    if not owners:
        return
    states = np.random.default_rng(seed).integers(2**31 - 1, size=len(owners))
    for owner, state in zip(owners, states.tolist()):
        if type(owner).set_params is BaseEstimator.set_params:
            # It would first list all parameters, which takes as long as a short pass.
            owner.random_state = state
        else:
            owner.set_params(random_state=state)


def as_input(estimator, X):
    """Return X in the floating-point type a skorch module computes in."""
    if is_skorch(estimator) and isinstance(X, np.ndarray) and X.dtype.kind == "f":
        torch = sys.modules["torch"]
        return X.astype(str(torch.get_default_dtype()).split(".")[1], copy=False)
    return X


def check_raw_rows(estimator, X):
    """Raise if a part of an estimator that reads raw rows could not read some.

    Parameters
    ----------
    estimator : estimator
        It is searched for estimators of texts to which `X` comes as it is.
    X : rows
    """
    for reader, rows in _readers(estimator, lambda: X):
        if hasattr(reader, "_check_texts"):
            reader._check_texts(rows())


def forget_in_caches(estimator, X):
    """Have caches that an estimator keeps of raw rows, as an embedder does, lose some.

    Parameters
    ----------
    estimator : estimator
        It is searched for transformers with ``forget`` to which `X` comes as it is.
    X : rows
    """
    for reader, rows in _readers(estimator, lambda: X):
        if _has_cache(reader):
            reader.forget(rows())


def _has_cache(estimator):
    return hasattr(estimator, "forget") and not is_classifier(estimator)


def _readers(estimator, rows):
    """Yield what reads rows as they come, each part with a function for its rows."""
    if isinstance(estimator, Pipeline):
        # Only a first step sees the rows as they were given.
        yield from _readers(estimator.steps[0][1], rows)
    elif isinstance(estimator, ColumnTransformer):
        for _, part, columns in estimator.transformers:
            yield from _readers(part, partial(_some_columns, rows, columns))
    elif hasattr(estimator, "_check_texts") or _has_cache(estimator):
        yield estimator, rows
    elif hasattr(estimator, "get_params") and not isinstance(estimator, type):
        for value in estimator.get_params(deep=False).values():
            parts = value if isinstance(value, list | tuple) else [value]
            for part in parts:
                yield from _readers(part[1] if _is_named(part) else part, rows)


def _some_columns(rows, columns):
    X = rows()
    return _safe_indexing(X, columns(X) if callable(columns) else columns, axis=1)


def _is_named(part):
    return isinstance(part, tuple) and len(part) == 2
