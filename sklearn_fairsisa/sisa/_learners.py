"""Properties of base learners that matter for training by slices."""

import os
import sys
from collections.abc import Mapping
from functools import partial
from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model._stochastic_gradient import BaseSGDClassifier
from sklearn.naive_bayes import (
    BernoulliNB,
    CategoricalNB,
    ComplementNB,
    GaussianNB,
    MultinomialNB,
)
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing, get_tags
from sklearn.utils.validation import _num_samples, has_fit_parameter

from .._utils.callbacks import check_callbacks
from .._utils.lending import lent

_ACCUMULATING = (BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB)

_DEFAULT_PASSES = 10
# Parameters that name classes, and whether their dict has to name all classes.
_NAMING_CLASSES = {
    "class_weight": True,
    "sampling_strategy": False,
}


def last_step(estimator):
    """Return the learner itself: the last step of a Pipeline, else the estimator."""
    return estimator[-1] if isinstance(estimator, Pipeline) else estimator


def param_prefix(estimator):
    """Return the prefix of the names of the learner's own parameters."""
    return f"{estimator.steps[-1][0]}__" if isinstance(estimator, Pipeline) else ""


def can_continue(estimator):
    """Return whether training can go on from a fitted state with more rows."""
    return why_not_continuing(estimator) is None


def why_not_continuing(estimator):
    """Return why training cannot go on from a fitted state, None if it can."""
    learner = last_step(estimator)
    name = type(learner).__name__
    if not hasattr(learner, "partial_fit"):
        return f"{name} has no partial_fit"
    sampler = sampling_step(estimator)
    if sampler is not None:
        return f"{sampler} resamples rows, which only fit of a Pipeline does"
    # These learners raise only in partial_fit, which the user may not have called.
    if isinstance(learner, BaseSGDClassifier):
        if isinstance(learner.class_weight, str):
            return f"{name}(class_weight={learner.class_weight!r}) has no partial_fit"
        if learner.early_stopping:
            return f"{name}(early_stopping=True) has no partial_fit"
    return None


def subtracts(estimator):
    """Return whether rows are subtracted from a fitted learner instead of replayed."""
    return why_not_subtracting(estimator) is None


def why_not_subtracting(estimator):
    """Return why rows cannot be subtracted from a fitted learner, None if they can.

    Such a learner has a method ``partial_unfit(X, y, sample_weight=None)``, after which
    its state equals one that never saw the rows.
    """
    learner = last_step(estimator)
    name = type(learner).__name__
    if not hasattr(learner, "partial_unfit"):
        return f"{name} has no partial_unfit"
    if trains_together(estimator) or share_watched(estimator) is not None:
        return f"{name} trains on rows in a way of its own"
    if isinstance(estimator, Pipeline):
        for step, part in estimator.steps[:-1]:
            if not learns_nothing(part):
                return f"step {step!r} ({type(part).__name__}) learns from rows"
    return why_not_continuing(estimator)


def learns_nothing(step):
    """Return whether fitting a step of a Pipeline leaves nothing of the rows in it."""
    if step in (None, "passthrough") or isinstance(step, FrozenEstimator):
        return True
    # Before scikit-learn 1.8 HashingVectorizer is tagged as one that needs a fit.
    return isinstance(step, HashingVectorizer) or not get_tags(step).requires_fit


def sampling_step(estimator):
    """Return the name of a Pipeline's step that changes the number of rows, if any."""
    if isinstance(estimator, Pipeline):
        for step, part in estimator.steps:
            if hasattr(part, "fit_resample"):
                return f"its step {step!r} ({type(part).__name__})"
            if sampling_step(part):
                return sampling_step(part)
    return None


def accumulates(estimator):
    """Return whether a row that is seen twice counts twice, as in naive Bayes.

    A learner may state it in an attribute ``accumulates`` of the class or the instance.
    What rows can be subtracted from accumulates them.
    """
    learner = last_step(estimator)
    if hasattr(learner, "partial_unfit"):
        return True
    return getattr(learner, "accumulates", isinstance(learner, _ACCUMULATING))


def counts_passes(estimator):
    """Return whether ``partial_fit`` of a learner makes ``max_epochs`` passes."""
    return "max_epochs" in last_step(estimator).get_params(deep=False)


def trains_together(estimator):
    """Return whether one program can train several copies of a learner.

    Such a learner has the parameters ``max_epochs``, the number of passes that
    ``partial_fit`` makes, and ``together``, the number of learners per program. It has
    a function ``partial_fit_together(learners, X, y, classes=None, **fit_params)``, in
    which all arguments except `classes` are lists with an entry per learner. Each
    learner ends with the same bits as after its own ``partial_fit``, whatever the other
    learners are. No global generator is used. ``fit`` is ``partial_fit`` of a new
    learner.
    """
    return hasattr(last_step(estimator), "partial_fit_together")


def share_watched(estimator):
    """Return the share of its rows that a learner watches, None if it trains on all.

    Such a learner has a parameter ``watch``, a share in (0, 1), and ``fit`` and
    ``partial_fit`` take ``watched``, a mask of the rows that are only scored.
    """
    learner = last_step(estimator)
    share = getattr(learner, "watch", None)
    takes_mask = isinstance(share, Real) and has_fit_parameter(learner, "watched")
    return share if takes_mask else None


def rows_to_watch(estimator):
    """Return why rows given to a part of an estimator to watch are refused."""
    return [
        f"{name}=(X, y) has rows of its own, which every member would keep and "
        f"forget() cannot reach. Give the share of rows to watch, such as {name}=0.1."
        for name, value in estimator.get_params(deep=True).items()
        if name.split("__")[-1] == "watch" and isinstance(value, tuple)
    ]


def places(estimator):
    """Return the number of learners that one program trains."""
    return last_step(estimator).together if trains_together(estimator) else 1


def is_skorch(estimator):
    """Return whether the learner is a skorch net, without importing skorch."""
    skorch = sys.modules.get("skorch")
    return skorch is not None and isinstance(last_step(estimator), skorch.NeuralNet)


def default_epochs(estimator, replay):
    """Return the number of passes for ``epochs=None``."""
    if replay == "slice":
        return 1
    return (
        last_step(estimator).get_params(deep=False).get("max_epochs", _DEFAULT_PASSES)
    )


def make_prototype(estimator, classes, codes):
    """Clone a base learner into the state in which every member starts.

    Parameters
    ----------
    estimator : estimator
    classes : ndarray of shape (K,)
        Class labels. Members predict them as 0..K-1.
    codes : dict
        Maps the class labels of `estimator` to those of members.

    Raises
    ------
    ValueError
        If the learner would pass information between shards, has weights for unknown
        classes, or has a callback that loads a state or steers by rows.
    """
    check_callbacks(estimator)
    _refuse_given_watch(estimator)
    for net in _nets(estimator):
        _refuse_given_split(net)
    if is_skorch(estimator):
        _refuse_module_instance(last_step(estimator))
    if caches_steps(estimator):
        raise ValueError(
            "A Pipeline with memory= caches the output of its steps, where forget() "
            "cannot reach it. Pass memory=None."
        )
    if share_watched(estimator) is not None:
        # If it watched all rows, nothing would be trained and say so.
        last_step(estimator)._validate_params()
    prototype, n_classes = clone(estimator), len(classes)
    _settle_cache_dirs(prototype)
    if is_skorch(prototype):
        _absorb_skorch_defaults(last_step(prototype), n_classes)
    _recode_class_weights(prototype, n_classes, codes)
    # A learner may store the names of the classes in the model it saves.
    if hasattr(last_step(prototype), "name_classes"):
        last_step(prototype).name_classes(classes.tolist())
    return prototype


def _recode_class_weights(estimator, n_classes, codes):
    """Rename the classes in dicts of class weights to those of members."""
    if isinstance(estimator, Pipeline):
        for _, step in estimator.steps:
            if hasattr(step, "get_params"):
                _recode_class_weights(step, n_classes, codes)
        return
    # Parameters of a net's parts already use codes: a net takes no other labels.
    for name, weights in estimator.get_params(deep=not is_skorch(estimator)).items():
        *holders, param = name.split("__")
        if param == "pos_label" and weights is not None:
            _refuse_other_names(estimator, name, codes)
        if not names_classes(param, weights):
            continue
        if holders:
            _refuse_other_names(estimator, name, codes)
            continue
        unknown = [label for label in weights if label not in codes]
        if unknown:
            raise ValueError(
                f"{param} of {type(estimator).__name__} names {unknown}, which "
                f"are not among the classes {list(codes)}. Leave them out, or begin "
                "with partial_fit and give all classes in its classes=."
            )
        recoded = renamed_classes(weights, codes)
        if _NAMING_CLASSES[param]:
            # Learners refuse a dict that lacks some of the classes.
            recoded = dict.fromkeys(range(n_classes), 1.0) | recoded
        estimator.set_params(**{param: recoded})


def names_classes(param, value):
    """Return whether a parameter of a learner names classes by their labels.

    imbalanced-learn's samplers take a dict or a list of them.
    """
    if param not in _NAMING_CLASSES:
        return False
    is_list = param == "sampling_strategy" and isinstance(value, list)
    return is_list or isinstance(value, Mapping)


def renamed_classes(value, names):
    """Return a dict by class, or a list of classes, with those in `names` renamed."""
    if isinstance(value, Mapping):
        return {names[label]: v for label, v in value.items() if label in names}
    return [names[label] for label in value if label in names]


def _refuse_other_names(estimator, name, codes):
    # Some meta-estimators pass labels on, others turn them into 0 and 1 per class.
    if any(label != code for label, code in codes.items()):
        raise ValueError(
            f"{name} of {type(estimator).__name__} names classes by the labels "
            f"{list(codes)}, but members use the labels {list(codes.values())}. Give "
            "labels that count from 0, or leave it out."
        )


def _settle_cache_dirs(estimator):
    """Make paths of caches absolute, so that the working folder does not matter."""
    for name, folder in estimator.get_params(deep=True).items():
        is_path = isinstance(folder, str | os.PathLike)
        if name.split("__")[-1] == "cache_dir" and is_path:
            estimator.set_params(**{name: os.path.abspath(folder)})


def holds(estimator, kind):
    """Return whether an estimator is or contains an instance of a class."""
    parts = (estimator, *estimator.get_params(deep=True).values())
    return any(isinstance(part, kind) for part in parts)


def caches_steps(estimator):
    """Return whether a Pipeline in an estimator caches the output of its steps."""
    parts = (estimator, *estimator.get_params(deep=True).values())
    return any(isinstance(p, Pipeline) and p.memory is not None for p in parts)


def _refuse_module_instance(net):
    torch = sys.modules["torch"]
    if isinstance(net.module, torch.nn.Module):
        name = type(net.module).__name__
        raise ValueError(
            f"The skorch net holds an instance of {name}, which training changes and "
            "cloning copies with its weights, so members would share what they have "
            f"learnt. Pass the class, as in NeuralNetClassifier({name}, ...), and its "
            "arguments as module__<name>."
        )


def _nets(estimator):
    """Return the skorch nets in an estimator, itself included."""
    parts = (estimator, *estimator.get_params(deep=True).values())
    return [part for part in parts if is_skorch(part)]


def _refuse_given_watch(estimator):
    for reason in rows_to_watch(estimator):
        raise ValueError(reason)


def _refuse_given_split(net):
    if type(net.train_split).__name__ == "partial":
        raise ValueError(
            "The skorch net has a predefined validation set in train_split, which "
            "has rows that forget() cannot reach. Pass train_split=None."
        )


def _absorb_skorch_defaults(net, n_classes):
    # By default skorch holds out a fifth of the rows, and fails on tiny shards.
    split = net.train_split
    if type(split).__name__ == "ValidSplit" and split.cv == 5:
        net.set_params(train_split=None)
    if _is_binary_net(net):
        if n_classes > 2:
            raise ValueError(
                f"{type(net).__name__} supports two classes, but y has {n_classes}. "
                "Use skorch.NeuralNetClassifier, with an output for each class."
            )
        return
    # A net would infer its classes from the shard, which may lack some.
    known = net.get_params(deep=False).get("classes")
    if known is None or len(known) < n_classes:
        net.set_params(classes=list(range(n_classes)))


def set_random_states(estimator, seed):
    """Set every ``random_state`` parameter to an integer derived from the seed."""
    seed_owners(random_state_owners(estimator), seed)


def random_state_owners(estimator):
    """Return the nested estimators with a ``random_state``, in a fixed order."""
    params = {"": estimator, **estimator.get_params(deep=True)}
    names = sorted(n for n in params if n.split("__")[-1] == "random_state")
    prefixes = (name.removesuffix("random_state") for name in names)
    return [params[prefix.removesuffix("__")] for prefix in prefixes]


def seed_owners(owners, seed):
    """Set the ``random_state`` of some estimators to integers derived from the seed."""
    if not owners:
        return
    states = np.random.default_rng(seed).integers(2**31 - 1, size=len(owners))
    for owner, state in zip(owners, states.tolist()):
        if type(owner).set_params is BaseEstimator.set_params:
            # set_params lists all parameters, which takes as long as a short pass.
            owner.random_state = state
        else:
            owner.set_params(random_state=state)


def as_input(estimator, X):
    """Return X as a learner reads it.

    A skorch net gets a copy, since tensors cannot be read-only, in the floating-point
    type that its module computes in.
    """
    if not is_skorch(estimator):
        return X
    if isinstance(X, np.ndarray) and X.dtype.kind == "f":
        return X.astype(_float_type())
    return X.copy() if isinstance(X, np.ndarray) else X


def as_labels(estimator, y):
    """Return encoded labels as a learner reads them; a binary net reads floats."""
    if is_skorch(estimator):
        return y.astype(_float_type() if _is_binary_net(estimator) else y.dtype)
    return y


def _is_binary_net(estimator):
    return isinstance(
        last_step(estimator), sys.modules["skorch"].NeuralNetBinaryClassifier
    )


def _float_type():
    return str(sys.modules["torch"].get_default_dtype()).split(".")[1]


def check_raw_rows(estimator, X):
    """Raise if an estimator cannot read some of the raw rows.

    Parameters
    ----------
    estimator : estimator
        It is searched for estimators of texts that get `X`, or what stateless steps
        make of it.
    X : rows
    """
    for reader, rows in _readers(estimator, lambda: X):
        if rows is not None and hasattr(reader, "_check_texts"):
            reader._check_texts(rows())


def forget_in_caches(estimator, X):
    """Remove rows from the caches of an estimator, such as those of an embedder.

    Behind a step that learns, the values that a row had there are unknown, so such
    caches are emptied.

    Parameters
    ----------
    estimator : estimator
        It is searched for transformers with ``forget``, and for classifiers with
        ``forget_states``, that get `X`, or what stateless steps make of it.
    X : rows
    """
    # The last first: to reach it, the rows pass the caches of those before it.
    for reader, rows in reversed([*_readers(estimator, lambda: X)]):
        forget = _forget_of(reader)
        if rows is None:
            empty_caches(reader)
        elif forget is not None:
            forget(rows())


def empty_caches(estimator):
    """Remove all rows from the caches of an estimator's parts that read texts."""
    for reader, _ in _readers(estimator, None):
        if hasattr(reader, "_empty_caches"):
            reader._empty_caches()


def _forget_of(estimator):
    """Return the function of an estimator that empties its cache of rows, or None."""
    if hasattr(estimator, "forget_states"):
        return estimator.forget_states
    # A classifier's forget is that of its rows.
    if hasattr(estimator, "forget") and not is_classifier(estimator):
        return estimator.forget
    return None


def frozen_vectors(member, X):
    """Return vectors of texts that follow from no row that was learnt, or None.

    Parameters
    ----------
    member : fitted classifier
        If it has ``frozen_vectors``, or is a Pipeline in which stateless steps alone
        come before an estimator that has, or before an embedder.
    X : rows

    Returns
    -------
    vectors : ndarray of shape (n_rows, n_numbers)
    source : str
        What gives them.

    Raises
    ------
    ValueError
        If they are not one vector per row.
    """
    steps = [s for _, s in member.steps] if isinstance(member, Pipeline) else [member]
    earlier = []
    for step in steps:
        vectors_of = _vectors_of(step)
        if vectors_of is not None:
            break
        if step in (None, "passthrough"):
            continue
        if not _is_stateless(step):
            return None
        earlier.append(step)
    else:
        return None
    seen = X
    for before in earlier:
        seen = before.transform(lent(seen, before))
    vectors = np.asarray(vectors_of(lent(seen, step)))
    if vectors.ndim != 2 or len(vectors) != _num_samples(X):
        raise ValueError(
            f"frozen_vectors of {type(step).__name__} returned an array of shape "
            f"{vectors.shape} for {_num_samples(X)} rows. Return one vector per row."
        )
    digest = getattr(step, "_network_digest", None)
    return vectors, "frozen_vectors" if digest is None else digest()


def _vectors_of(step):
    """Return the function of an estimator that gives vectors of texts, or None."""
    if hasattr(step, "frozen_vectors"):
        return step.frozen_vectors
    is_embedder = hasattr(step, "_check_texts") and _is_stateless(step)
    return step.transform if is_embedder else None


def _readers(estimator, rows):
    """Yield the parts that may keep rows, each with a function that returns its rows.

    It is None behind a step that learns.
    """
    if isinstance(estimator, Pipeline):
        # The first step gets raw rows, and others what stateless steps make of them.
        for _, step in estimator.steps:
            yield from _readers(step, rows)
            if step in (None, "passthrough"):
                continue
            reached = rows is not None and _is_stateless(step)
            rows = partial(_transformed, step, rows) if reached else None
    elif isinstance(estimator, ColumnTransformer):
        for _, part, columns in estimator.transformers:
            some = None if rows is None else partial(_some_columns, rows, columns)
            yield from _readers(part, some)
    elif hasattr(estimator, "_check_texts") or _forget_of(estimator) is not None:
        yield estimator, rows
    elif hasattr(estimator, "get_params") and not isinstance(estimator, type):
        for value in estimator.get_params(deep=False).values():
            parts = value if isinstance(value, list | tuple) else [value]
            for part in parts:
                yield from _readers(part[1] if _is_named(part) else part, rows)


def _is_stateless(step):
    tagged = hasattr(step, "transform") and hasattr(step, "__sklearn_tags__")
    return tagged and not get_tags(step).requires_fit


def _transformed(step, rows):
    return step.transform(lent(rows(), step))


def _some_columns(rows, columns):
    X = rows()
    return _safe_indexing(X, columns(X) if callable(columns) else columns, axis=1)


def _is_named(part):
    return isinstance(part, tuple) and len(part) == 2
