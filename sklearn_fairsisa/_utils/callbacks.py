"""The callbacks of a training that leave its members exact."""

import copy
import sys
import warnings
from collections.abc import Iterator, Mapping
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, NamedTuple

from sklearn.frozen import FrozenEstimator
from sklearn.metrics import get_scorer_names

# Where a callback, or a function that it is given, states its role.
ROLE = "fairsisa_role"
WATCHES, SCHEDULED = "watches", "scheduled"

_ROLES_OF_SKORCH = {
    # The base class does nothing.
    **dict.fromkeys(
        ("Callback", "ScoringBase", "BatchScoring", "EpochScoring")
        + ("PassthroughScoring", "EpochTimer", "PrintLog", "ProgressBar", "TensorBoard")
        + ("WandbLogger", "NeptuneLogger", "MlflowLogger", "SacredLogger"),
        WATCHES,
    ),
    # InputShapeSetter reads the number of columns, which all rows share.
    **dict.fromkeys(
        ("LRScheduler", "GradientNormClipping", "ParamMapper", "Freezer", "Unfreezer")
        + ("Initializer", "InputShapeSetter"),
        SCHEDULED,
    ),
}
_LOGGERS = {"TensorBoard", "WandbLogger", "NeptuneLogger", "MlflowLogger"}
_LOGGERS |= {"SacredLogger"}
_FILES = (
    "writes weights to files that forget cannot reach, or loads them from there. Leave "
    "it out: checkpoint_dir= of SISAClassifier keeps checkpoints that forget replaces."
)
_EPOCHS = (
    "Choose the number of passes instead: epochs= of SISAClassifier, or max_epochs= of "
    "the learner. TransformerClassifier(watch=...) and EpochScoring draw the curve to "
    "choose it by."
)
_REFUSED = {
    "Checkpoint": _FILES,
    "TrainEndCheckpoint": _FILES,
    "LoadInitState": (
        "loads a state that may have learnt from forgotten rows. Leave it out: "
        "partial_fit continues a training, and SISAClassifier.load opens a directory."
    ),
    "EarlyStopping": f"stops by the scores of rows that may be forgotten. {_EPOCHS}",
}
# Learning rates that follow from the number of steps alone.
_POLICIES = {
    "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR",
    "ExponentialLR", "LambdaLR", "LinearLR", "MultiStepLR", "MultiplicativeLR",
    "OneCycleLR", "PolynomialLR", "StepLR", "WarmRestartLR",
}  # fmt: skip
_FREEZING = {"freeze_parameter", "unfreeze_parameter", "noop"}
# What every class has, however little it defines.
_OF_EVERY_CLASS = {
    "__module__", "__qualname__", "__doc__", "__dict__", "__weakref__",
    "__annotations__", "__annotate__", "__annotate_func__", "__annotations_cache__",
    "__firstlineno__", "__static_attributes__", "__orig_bases__", "__slotnames__",
}  # fmt: skip


class Verdict(NamedTuple):
    """Whether a callback leaves a member exact.

    Parameters
    ----------
    name : str
        Class of the callback.
    role : {"watches", "scheduled"} or None
        None if the callback is refused.
    reason : str
        Why it is refused, and what to do instead.
    """

    name: str
    role: str | None
    reason: str = ""


def judge(callback: Any) -> Verdict:
    """Judge a callback, given as an instance, a class or a pair with its name.

    Allowed are callbacks that watch the training, and those that act by a fixed
    schedule or by the gradients of the member's own rows. Of skorch's callbacks the
    role is known. Others state it in an attribute ``fairsisa_role`` of their class, and
    so does a subclass that changes what its base does.
    """
    if isinstance(callback, tuple | list):
        callback = callback[-1]
    kind = callback if isinstance(callback, type) else type(callback)
    name = kind.__name__
    bases = [base.__name__ for base in kind.__mro__ if _is_of(base, "skorch.")]
    for base in bases:
        if base in _REFUSED:
            return Verdict(name, None, _REFUSED[base])
    role = _role_of(kind)
    if role not in (WATCHES, SCHEDULED):
        return Verdict(name, None, _undeclared(kind, role))
    if SCHEDULED in map(_ROLES_OF_SKORCH.get, bases):
        role = SCHEDULED
    try:
        made = kind() if callback is kind else callback
    except TypeError as error:
        return Verdict(name, None, f"has no defaults ({error}). Give an instance.")
    reason = _fault_of_settings(made, set(bases))
    return Verdict(name, None if reason else role, reason)


def watches(value: Any) -> bool:
    """Return whether a value is a skorch callback that watches the training."""
    skorch = sys.modules.get("skorch.callbacks")
    is_callback = skorch is not None and isinstance(value, skorch.Callback)
    return is_callback and judge(value).role == WATCHES


def check_listed(callbacks: Any) -> None:
    """Raise a TypeError unless callbacks are given as skorch takes them."""
    if callbacks is not None and not isinstance(callbacks, list | tuple):
        raise TypeError(
            f"callbacks is a {type(callbacks).__name__}. Give a list of skorch "
            "callbacks, or of pairs of a name and a callback."
        )
    for listed in callbacks or ():
        is_pair = isinstance(listed, tuple | list)
        named = listed if is_pair else ("", listed)
        if len(named) != 2 or not isinstance(named[0], str):
            raise TypeError(
                f"callbacks has {listed!r:.60}, which is no pair of a name and a "
                "callback, such as ('clip', GradientNormClipping())."
            )


def writes_outside(callback: Any) -> bool:
    """Return whether a callback writes to files or services of the caller's."""
    kind = callback if isinstance(callback, type) else type(callback)
    return not _LOGGERS.isdisjoint(base.__name__ for base in kind.__mro__)


def is_declared(callback: Any) -> bool:
    """Return whether the role of a callback is known by its own word alone."""
    return hasattr(callback, ROLE)


def check_callbacks(estimator: Any) -> None:
    """Raise a ValueError if a part of an estimator has a callback for no member."""
    for callback in callbacks_of(estimator):
        verdict = judge(callback)
        if verdict.role is None:
            raise ValueError(f"callbacks has {verdict.name}, which {verdict.reason}")
        try:
            copy.deepcopy(callback)
        except Exception as error:
            raise ValueError(
                f"callbacks has {verdict.name}, which cannot be copied for each member "
                f"({error}). Open files and connections in initialize() of a class of "
                f"your own, with {ROLE} = {verdict.role!r}."
            ) from error


def callbacks_of(estimator: Any) -> Iterator[Any]:
    """Yield the callbacks with which the parts of an estimator would train.

    Parts are searched for at any depth, also among the values that a search tries. Nets
    of skorch have default callbacks, and parameters that change or replace some.
    """
    skorch = sys.modules.get("skorch")
    if skorch is not None:
        yield from _callbacks_in(estimator, skorch)


def _callbacks_in(value, skorch):
    if isinstance(value, FrozenEstimator):  # it is not trained
        return
    if isinstance(value, list | tuple):
        parts = value
    elif isinstance(value, Mapping):
        parts = value.values()
    elif _is_callback(value, skorch):
        yield value
        return
    elif isinstance(value, skorch.NeuralNet):
        yield from _callbacks_of_net(value)
        return
    elif hasattr(value, "get_params") and not isinstance(value, type):
        parts = value.get_params(deep=False).values()
    else:
        return
    for part in parts:
        yield from _callbacks_in(part, skorch)


def _is_callback(value, skorch):
    kind = value if isinstance(value, type) else type(value)
    return issubclass(kind, skorch.callbacks.Callback)


def _callbacks_of_net(net):
    if net.callbacks == "disable":
        return
    check_listed(net.callbacks)
    if isinstance(net.callbacks, tuple):
        raise TypeError(
            "callbacks of a skorch net is a tuple, which skorch does not take. Give a "
            "list."
        )
    for name, listed in net._uniquely_named_callbacks():
        callback = getattr(net, f"callbacks__{name}", listed)
        params = net.get_params_for(f"callbacks__{name}")
        if callback is None:
            continue
        # The class is judged before it is given parameters that it may lack.
        if params and judge(callback).role is not None:
            if isinstance(callback, type):
                callback = callback(**params)
            else:
                callback = copy.copy(callback)
                callback.set_params(**params)
        yield callback


def _is_of(value, *packages):
    module = getattr(value, "__module__", None) or ""
    return f"{module}.".startswith(packages)


def _role_of(kind):
    """Return the role of a class by the first of its bases that defines anything."""
    for base in kind.__mro__:
        if _is_of(base, "skorch."):
            return _ROLES_OF_SKORCH.get(base.__name__)
        if ROLE in vars(base):
            return vars(base)[ROLE]
        if vars(base).keys() - _OF_EVERY_CLASS:
            return None
    return None


def _undeclared(kind, role):
    if role is not None:
        return f"has {ROLE} = {role!r}. {_HOW_TO_DECLARE}"
    if _is_of(kind, "skorch."):
        return f"is not known here. {_HOW_TO_DECLARE}"
    return f"does not state what it does. {_HOW_TO_DECLARE}"


_HOW_TO_DECLARE = (
    f'State it in the class: {ROLE} = "watches" if it changes nothing that is trained, '
    f'{ROLE} = "scheduled" if it acts by a fixed schedule or by the gradients of the '
    "member's own rows. What loads a state, or steers by rows, has no place in a "
    "training that forgets."
)


def _fault_of_settings(callback, bases):
    """Return why the settings of an allowed callback are refused, or an empty text."""
    replaced = [
        name for name in vars(callback) if callable(getattr(type(callback), name, None))
    ]
    if replaced:
        return (
            f"has methods of its instance, {sorted(replaced)}, in place of those of "
            f"its class. Define them in a class of your own. {_HOW_TO_DECLARE}"
        )
    if "LRScheduler" in bases:
        return _fault_of_policy(callback)
    if "ScoringBase" in bases:
        return _fault_of_scoring(callback)
    if "ParamMapper" in bases:
        return _fault_of_mapping(callback)
    if "InputShapeSetter" in bases and callback.input_dim_fn is not None:
        return _fault_of_function(callback, "input_dim_fn", SCHEDULED)
    return ""


def _fault_of_policy(scheduler):
    policy = scheduler.policy
    name = policy if isinstance(policy, str) else getattr(policy, "__name__", policy)
    names = {name, *(base.__name__ for base in getattr(policy, "__mro__", ()))}
    if "ReduceLROnPlateau" in names:
        return (
            "steers the learning rate by the scores of rows that may be forgotten "
            "(ReduceLROnPlateau). Choose a policy that follows from the number of "
            "steps, such as StepLR or CosineAnnealingLR."
        )
    known = isinstance(policy, str) or _is_of(policy, "torch.optim.", "skorch.")
    if not (known and name in _POLICIES) and _role_of_policy(policy) != SCHEDULED:
        return f"has policy={name}, which is not known here. {_HOW_TO_DECLARE}"
    for key, value in scheduler.kwargs.items():
        for each in value if isinstance(value, list | tuple) else (value,):
            if callable(each) and not _is_plain(each):
                return _fault_of_object(key, each)
    return _fault_of_schedule(policy, scheduler.kwargs) if known else ""


def _fault_of_schedule(policy, settings):
    """Return why a policy of torch's or skorch's makes no schedule, if it does not."""
    if isinstance(policy, str):
        name = policy
        policy = getattr(sys.modules["skorch.callbacks.lr_scheduler"], name, None)
        if policy is None:
            return (
                f"has policy={name!r}, which skorch does not know by its name. Give "
                f"the class, torch.optim.lr_scheduler.{name}."
            )
    torch = sys.modules["torch"]
    weight = torch.nn.Parameter(torch.zeros(1))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            schedule = policy(torch.optim.SGD([weight], 0.1, momentum=0.9), **settings)
            schedule.step()
    except Exception as error:
        # It would say so within the training, after other shards.
        return (
            f"has policy={policy.__name__}, which makes no schedule of its settings "
            f"{settings} ({error}). Give those that its documentation names."
        )
    return ""


def _role_of_policy(policy):
    return _role_of(policy) if isinstance(policy, type) else None


def _fault_of_scoring(scoring):
    if not _is_plain(scoring.target_extractor):
        return _fault_of_object("target_extractor", scoring.target_extractor)
    score = scoring.scoring
    if score is None or _states(score, WATCHES):
        return ""
    if not callable(score):
        if isinstance(score, str) and score in get_scorer_names():
            return ""
        return (
            f"has scoring={score!r:.60}, which is neither the name of a metric, see "
            "sklearn.metrics.get_scorer_names(), nor a function."
        )
    metric = getattr(score, "_score_func", None)
    if metric is not None and _is_of(type(score), "sklearn."):
        for value in (metric, *score._kwargs.values()):
            if not (_is_plain(value) or _is_setting(value)):
                return _fault_of_object("scoring", value)
        return ""
    if _is_of(score, "sklearn.", "sklearn_fairsisa."):
        # A method of a fitted model is of sklearn's, too.
        return "" if _is_plain(score) else _fault_of_object("scoring", score)
    return _fault_of_function(scoring, "scoring", WATCHES)


def _is_setting(value):
    """Return whether a value is a number, a text or a list of some."""
    if isinstance(value, list | tuple):
        return all(map(_is_setting, value))
    return isinstance(value, bool | int | float | str | None)


def _fault_of_mapping(mapper):
    if not (_is_initialising(mapper.fn) or _states(mapper.fn, SCHEDULED)):
        return _fault_of_function(mapper, "fn", SCHEDULED)
    for name in ("at", "schedule"):
        value = getattr(mapper, name)
        if not callable(value) or _states(value, SCHEDULED):
            continue
        # After initialize() they are methods of skorch's own.
        method = value.func if isinstance(value, partial) else value
        owner = getattr(method, "__self__", None)
        if not _is_of(method, "skorch.") or owner is None:
            return _fault_of_function(mapper, name, SCHEDULED)
        if owner is not mapper and judge(owner).role is None:
            return judge(owner).reason
    patterns = mapper.patterns
    for pattern in patterns if isinstance(patterns, list | tuple) else (patterns,):
        if callable(pattern) and not _is_plain(pattern):
            return _fault_of_object("patterns", pattern)
    return ""


def _is_initialising(function):
    """Return whether a function freezes weights or initialises them by numbers."""
    if isinstance(function, partial):
        values = (*function.args, *function.keywords.values())
        return _is_setting(values) and _is_initialising(function.func)
    name = getattr(function, "__name__", "")
    if _is_of(function, "skorch."):
        return name in _FREEZING
    return _is_of(function, "torch.nn.init.")


def _is_plain(function):
    """Return whether a function has no state that a copy of it would keep."""
    if isinstance(function, partial):
        return _is_plain(function.func)
    if isinstance(function, MethodType):
        return False
    plain = isinstance(function, FunctionType | BuiltinFunctionType | type)
    own = _is_of(type(function), "sklearn_fairsisa.")
    return plain or own or getattr(function, ROLE, None) in (WATCHES, SCHEDULED)


def _states(function, role):
    if isinstance(function, partial):
        return _states(function.func, role)
    return getattr(function, ROLE, None) == role


def _fault_of_function(callback, param, role):
    function = getattr(callback, param)
    name = getattr(function, "__name__", type(function).__name__)
    return (
        f"has {param}={name}, a function of your own that is given the net or rows. "
        f'If it keeps no rows and loads no state, say so: {name}.{ROLE} = "{role}".'
    )


def _fault_of_object(param, value):
    name = type(value).__name__
    return (
        f"has a {name} in {param}=, whose state would be copied into members. Give a "
        f"plain function, or state in its class that it keeps no rows: {ROLE} = "
        f'"{WATCHES}".'
    )
