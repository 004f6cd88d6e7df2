"""Digests of fitted estimators that agree exactly when their state does."""

import copyreg
import hashlib
import sys
from collections.abc import Mapping
from types import BuiltinFunctionType, FunctionType, MethodType

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator

# Measured times are not part of the model and differ between equal runs: skorch's
# timer, scikit-learn's searches.
_CLOCKS = {
    "dur", "epoch_start_time_", "refit_time_", "mean_fit_time", "std_fit_time",
    "mean_score_time", "std_score_time",
}  # fmt: skip

# Where an object lies in memory differs between processes: scikit-learn's vectorizers
# note the address of their stop words once they have checked them.
_ADDRESSES = {"_stop_words_id"}

_NOT_STATE = _CLOCKS | _ADDRESSES


def digest(state):
    """Return a SHA-256 of an estimator's parameters and learnt state.

    Arrays and tensors are compared by data type, shape and bytes, and estimators,
    modules and optimizers by their state. The order of dictionary keys, shared memory,
    measured durations and memory addresses do not matter.

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


def _describe(value):
    """Return a type tag, bytes and parts that together stand for a value."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return kind, repr(value).encode(), ()
    if isinstance(value, np.ndarray | np.generic):
        return _describe_array(np.asarray(value))
    if sparse.issparse(value):
        csr = value.tocsr()
        return kind, b"", (csr.shape, csr.data, csr.indices, csr.indptr)
    if isinstance(value, Mapping):
        items = [item for item in value.items() if str(item[0]) not in _NOT_STATE]
        return kind, b"", items
    if isinstance(value, list | tuple | set | frozenset):
        return kind, b"", value
    if isinstance(value, np.random.RandomState):
        return kind, b"", (value.get_state(legacy=False),)
    if isinstance(value, np.random.Generator):
        return kind, b"", (value.bit_generator.state,)
    if isinstance(value, type | FunctionType | BuiltinFunctionType | MethodType):
        return "name", f"{value.__module__}.{value.__qualname__}".encode(), ()
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        flat = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        plain = f"{value.dtype}{tuple(value.shape)}".encode()
        return "tensor", plain + flat.numpy().tobytes(), ()
    if torch is not None and isinstance(value, torch.nn.Module | torch.optim.Optimizer):
        return kind, b"", (value.state_dict(),)
    if torch is not None and isinstance(value, torch.Generator):
        return kind, b"", (value.get_state(),)
    # An estimator's own state, not what __getstate__ packs for a file.
    if isinstance(value, BaseEstimator):
        return kind, b"", (vars(value),)
    # Some types, such as numpy's ufuncs, are registered in place of a method.
    registered = copyreg.dispatch_table.get(type(value))
    reduced = value.__reduce_ex__(4) if registered is None else registered(value)
    if isinstance(reduced, str):
        return kind, reduced.encode(), ()
    build, args, state, items, pairs = (*reduced, None, None, None)[:5]
    return kind, b"", (build, args, state, list(items or ()), list(pairs or ()))


def _describe_array(array):
    plain = f"{array.dtype.str}{array.shape}".encode()
    if array.dtype.names is not None:
        # Field by field, because the padding between fields is arbitrary memory.
        return "record", plain, [array[name] for name in array.dtype.names]
    if array.dtype.hasobject:
        return "objects", plain, array.ravel().tolist()
    return "array", plain + array.tobytes(), ()
