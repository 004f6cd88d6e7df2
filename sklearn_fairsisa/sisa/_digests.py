"""Digests of fitted estimators that agree exactly when their state does."""

import copyreg
import hashlib
import sys
from collections.abc import Mapping
from types import BuiltinFunctionType, CellType, FunctionType, MethodType

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator

from .._utils.callbacks import watches

# Attributes, by the class that sets them, that differ between equal runs: times, memory
# addresses, and generators that are seeded by the system and draw nothing in training.
# The classes are given by name, since these libraries may be missing.
_NOT_STATE = {
    ("sklearn.model_selection.", "BaseSearchCV"): {"refit_time_"},
    ("sklearn.feature_extraction.", "_VectorizerMixin"): {"_stop_words_id"},
    ("river.proba.", "Distribution"): {"_rng"},
}
_EMPTY = CellType()
_TIMES_OF_SEARCHES = {
    "mean_fit_time", "std_fit_time", "mean_score_time", "std_score_time",
}  # fmt: skip
_IDS_OF_CATBOOST = ("model_guid", "train_finish_time")


def digest(state):
    """Return a SHA-256 of an estimator's parameters and learnt state.

    The digest covers data type, shape and bytes of arrays and tensors, and the content
    of estimators, modules and optimizers. It ignores the order of dictionary keys and
    how objects share memory. It also ignores durations in scikit-learn's searches and
    skorch's histories, the records of skorch's watching callbacks, the memory address
    of stop words in scikit-learn's vectorizers, the id and the date of a run of
    CatBoost, and the generators of river's distributions, which only sampling uses.

    Parameters
    ----------
    state : object
        A fitted estimator, or anything made of Python, numpy, scipy and torch
        objects.

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> import numpy as np
    >>> digest({"a": np.arange(3), "b": 1}) == digest({"b": 1, "a": np.arange(3)})
    True
    >>> digest(np.float64(0.0)) == digest(np.float64(-0.0))
    False
    """
    return _hash(state, ()).hex()


def combine(digests):
    """Return one digest of an ordered list of digests."""
    return hashlib.sha256("|".join(digests).encode()).hexdigest()


def _hash(value, path):
    h = hashlib.sha256()
    if id(value) in path:  # a cycle: its place in the path identifies it
        h.update(b"cycle%d" % (len(path) - path.index(id(value))))
        return h.digest()
    path = (*path, id(value))
    tag, plain, parts = _describe(value)
    h.update(tag.encode() + b"\0")
    h.update(plain)
    hashes = [_hash(part, path) for part in parts]
    if isinstance(value, Mapping | set | frozenset):  # which have no order
        hashes.sort()
    h.update(b"".join(hashes))
    return h.digest()


def _carried_by(function):
    """Return the state of a function: the variables of its closure, or its object."""
    if isinstance(function, MethodType):
        return () if isinstance(function.__self__, type) else (function.__self__,)
    cells = getattr(function, "__closure__", None) or ()
    # A cell is empty until the variable is set.
    return tuple(cell.cell_contents for cell in cells if cell != _EMPTY)


def _describe(value):
    """Return a type tag, bytes and parts that together stand for a value."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        # Some NumPy scalars are of these types; their repr depends on NumPy's version.
        plain = value.item() if isinstance(value, np.generic) else value
        return kind, repr(plain).encode(), ()
    if isinstance(value, np.ma.MaskedArray):
        # What lies below the mask is arbitrary.
        return kind, b"", (value.filled(), np.ma.getmaskarray(value))
    if isinstance(value, memoryview):
        value = np.asarray(value)
    if isinstance(value, np.ndarray | np.generic):
        return _describe_array(np.asarray(value))
    if sparse.issparse(value):
        csr = value.tocsr()
        return kind, b"", (csr.shape, csr.data, csr.indices, csr.indptr)
    if isinstance(value, Mapping):
        return kind, b"", list(value.items())
    if _is_any(value, "skorch.", "History"):
        return kind, b"", [_without(epoch, {"dur"}) for epoch in value]
    if isinstance(value, list | tuple | set | frozenset):
        return kind, b"", value
    if isinstance(value, np.random.RandomState):
        return kind, b"", (value.get_state(legacy=False),)
    if isinstance(value, np.random.Generator):
        return kind, b"", (value.bit_generator.state,)
    if isinstance(value, type | FunctionType | BuiltinFunctionType | MethodType):
        name = f"{value.__module__}.{value.__qualname__}".encode()
        return "name", name, _carried_by(value)
    torch = sys.modules.get("torch")
    if torch is not None and _is_in_memory(value, torch):
        value = value.resolve_conj().resolve_neg()
        flat = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        plain = f"{value.dtype}{tuple(value.shape)}".encode()
        return "tensor", plain + flat.numpy().tobytes(), ()
    if torch is not None and isinstance(value, torch.nn.Module | torch.optim.Optimizer):
        return kind, b"", (value.state_dict(),)
    if torch is not None and isinstance(value, torch.Generator):
        return kind, b"", (value.get_state(),)
    # Clocks, ids of runs, open files: nothing that is trained depends on them.
    if watches(value):
        return kind, b"", ()
    # An estimator's own state, not what __getstate__ packs for a file.
    if isinstance(value, BaseEstimator):
        return kind, b"", (_state_of(value, vars(value)),)
    if _is_any(value, "catboost.", "CatBoost"):
        return kind, b"", (_state_of_catboost(value),)
    # Some types, such as numpy's ufuncs, are registered in place of a method.
    registered = copyreg.dispatch_table.get(type(value))
    try:
        reduced = value.__reduce_ex__(4) if registered is None else registered(value)
    except TypeError as error:
        raise TypeError(
            f"A learner holds a {kind}, whose state cannot be stored or compared "
            f"({error}). Create it when it is used, or leave it out in __getstate__."
        ) from error
    if isinstance(reduced, str):
        return kind, reduced.encode(), ()
    build, args, state, items, pairs = (*reduced, None, None, None)[:5]
    if isinstance(state, dict):
        state = _state_of(value, state)
    return kind, b"", (build, args, state, list(items or ()), list(pairs or ()))


def _is_in_memory(value, torch):
    """Return whether a value is a tensor with a number for each place."""
    is_tensor = isinstance(value, torch.Tensor)
    return is_tensor and value.layout == torch.strided and not value.is_meta


def _is_any(value, package, name):
    """Return whether a value is of a class of this name from a package."""
    return any(
        kind.__name__ == name and kind.__module__.startswith(package)
        for kind in type(value).__mro__
    )


def _without(mapping, keys):
    return {key: value for key, value in mapping.items() if key not in keys}


def _state_of(owner, attributes):
    """Attributes without those that differ between equal runs."""
    for (package, name), keys in _NOT_STATE.items():
        if not keys.isdisjoint(attributes) and _is_any(owner, package, name):
            attributes = _without(attributes, keys)
    if "cv_results_" in attributes and _is_any(
        owner, "sklearn.model_selection.", "BaseSearchCV"
    ):
        results = _without(attributes["cv_results_"], _TIMES_OF_SEARCHES)
        attributes = {**attributes, "cv_results_": results}
    return attributes


def _state_of_catboost(model):
    # The copy is another model in memory, so that this one keeps its id.
    model = model.copy()
    metadata = model.get_metadata()
    for key in _IDS_OF_CATBOOST:
        if key in metadata.keys():  # noqa: SIM118
            metadata[key] = ""
    return model.__getstate__()


def _describe_array(array):
    plain = f"{array.dtype.str}{array.shape}".encode()
    if array.dtype.names is not None:
        # Field by field, because the padding between fields is arbitrary memory.
        return "record", plain, [array[name] for name in array.dtype.names]
    if array.dtype.hasobject:
        return "objects", plain, array.ravel().tolist()
    return "array", plain + array.tobytes(), ()
