"""Estimators as bytes, with the weights of networks separate from pickled code."""

import importlib.util
import io
import pickle
import sys

from ..._utils.devices import is_here


def pack(value):
    """Convert an object to a pickle and, for its torch tensors, to safetensors.

    Parameters
    ----------
    value : object

    Returns
    -------
    skeleton : bytes
        A pickle in which tensors are replaced by their names.
    weights : bytes or None
        The tensors in the safetensors format, None if there are none. Weights of
        modules have their names in the module.
    frozen : bytes or None
        Likewise the weights of modules that are not trained. They are separate, so
        that objects with equal ones can share them.
    """
    stream = io.BytesIO()
    pickler = _Packer(stream)
    pickler.dump(value)
    return stream.getvalue(), _saved(pickler.tensors), _saved(pickler.frozen)


def _saved(tensors):
    if not tensors:
        return None
    from safetensors.torch import save

    return save(tensors)


def unpack(skeleton, *weights):
    """Return the object that was given to `pack`.

    Unpickling runs code, so the bytes must come from a trusted source.

    Parameters
    ----------
    skeleton : bytes
    *weights : bytes
        The bytes of the tensors and of the frozen tensors that are not None.
    """
    tensors = {}
    for some in weights:
        from safetensors.torch import load

        tensors |= load(some)
    return _Unpacker(io.BytesIO(skeleton), tensors).load()


class _Packer(pickle.Pickler):
    def __init__(self, stream):
        super().__init__(stream, protocol=5)
        self.tensors, self.frozen = {}, {}
        self._torch = sys.modules.get("torch")
        if self._torch is not None and importlib.util.find_spec("safetensors") is None:
            self._torch = None
        self._tensor_names = {}  # by address
        self._frozen_addresses = set()
        self._array_names = {}  # by identity
        self._stored = {}  # by identity
        self._alive = []  # so that no identity is used again

    def reducer_override(self, value):
        torch = self._torch
        if torch is None:
            return NotImplemented
        if isinstance(value, torch.nn.Module):
            for name, tensor in (*value.named_parameters(), *value.named_buffers()):
                self._tensor_names.setdefault(tensor.data_ptr(), name)
            for parameter in value.parameters():
                if not parameter.requires_grad:
                    self._frozen_addresses.add(parameter.data_ptr())
        skorch = sys.modules.get("skorch")
        if skorch is not None and isinstance(value, skorch.NeuralNet):
            # skorch would pickle the weights into a string of bytes.
            return _new, (type(value),), vars(value), None, None, _set_net
        # A class may name the entry of its state that has weights as arrays.
        weights = getattr(type(value), "packed_in", None)
        if isinstance(weights, str):
            return self._reduce_with_arrays(value, weights)
        return NotImplemented

    def _reduce_with_arrays(self, value, weights):
        reduced = value.__reduce_ex__(5)
        state = reduced[2]
        if state.get(weights):
            self._alive.append(state)
            self._name_arrays(state[weights], ())
        return reduced

    def _name_arrays(self, value, path):
        # Numbers of a type that numpy lacks are stored as arrays of their bits.
        value = getattr(value, "bits", value)
        if isinstance(value, dict | list):
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            for key, item in pairs:
                self._name_arrays(item, (*path, str(key)))
        elif type(value).__name__ == "ndarray":
            self._array_names[id(value)] = ".".join(path)

    def persistent_id(self, value):
        torch = self._torch
        if torch is None:
            return None
        if type(value) is torch.Tensor and self._is_plain(value):
            name = self._tensor_names.get(value.data_ptr(), "tensor")
            return self._store(value, name, value.detach()), str(value.device)
        name = self._array_names.get(id(value))
        if name and value.flags.c_contiguous and value.dtype.kind in "fiub":
            return self._store(value, name, torch.tensor(value)), "array"
        return None

    def _is_plain(self, tensor):
        return (
            tensor.layout is self._torch.strided
            and not tensor.requires_grad
            and tensor.is_contiguous()
            and not tensor.is_complex()
            and not tensor.is_quantized
            and tensor.device.type != "meta"
        )

    def _store(self, value, name, tensor):
        if id(value) not in self._stored:
            unique, n = name, 1
            while unique in self.tensors or unique in self.frozen:
                n += 1
                unique = f"{name}#{n}"
            is_frozen = tensor.data_ptr() in self._frozen_addresses
            # A copy, since safetensors refuses tensors that share memory.
            kept = self.frozen if is_frozen else self.tensors
            kept[unique] = tensor.cpu().clone()
            self._stored[id(value)] = unique
            self._alive.append(value)
        return self._stored[id(value)]


class _Unpacker(pickle.Unpickler):
    def __init__(self, stream, tensors):
        super().__init__(stream)
        self._tensors = tensors
        self._restored = {}

    def persistent_load(self, reference):
        if reference not in self._restored:
            self._restored[reference] = self._restore(*reference)
        return self._restored[reference]

    def _restore(self, name, place):
        # A loaded tensor is a view of a read-only buffer.
        tensor = self._tensors[name].clone()
        if place == "array":
            return tensor.numpy()
        return tensor.to(place) if is_here(place) else tensor


def _new(kind):
    return kind.__new__(kind)


def _set_net(net, state):
    vars(net).update(state)
    if not is_here(net.device):
        net.device = "cpu"
