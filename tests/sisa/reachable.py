"""What an object holds in memory, beyond what its pickle would tell."""

import gc
import pickle
import sys
from types import BuiltinFunctionType, FrameType, FunctionType, ModuleType

import numpy as np

# These lead to everything in the process, whoever holds it.
_COMMON = (type, ModuleType, FunctionType, BuiltinFunctionType, FrameType)


def reachable_bytes(root):
    """Yield texts and buffers that an object keeps alive, whole bases of views too.

    Parameters
    ----------
    root : object

    Yields
    ------
    bytes
    """
    # The values themselves, since the identity of one that is gone is used again.
    seen, waiting = {}, [root]
    while waiting:
        value = waiting.pop()
        if id(value) in seen or isinstance(value, _COMMON):
            continue
        seen[id(value)] = value
        if isinstance(value, str):
            yield value.encode()
        elif isinstance(value, bytes | bytearray):
            yield bytes(value)
        elif isinstance(value, memoryview):
            waiting.append(value.obj)
        elif isinstance(value, np.ndarray):
            if value.dtype.hasobject:
                waiting += value.ravel().tolist()
            else:
                yield value.tobytes()
            waiting.append(value.base)
        elif type(value).__module__.startswith("polars"):
            yield pickle.dumps(value)
        elif _is_tensor(value):
            yield bytes(value.untyped_storage())
        else:
            waiting += gc.get_referents(value)


def _is_tensor(value):
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def holds(root, *needles):
    """Tell whether any of some byte strings is held."""
    return any(needle in data for data in reachable_bytes(root) for needle in needles)
