"""Random generators that belong to one estimator instead of the process."""

import random
from contextlib import contextmanager

import numpy as np
import torch

from .._utils.devices import generator_state, set_generator_state
from .._utils.isolation import TURN


class Generators:
    """States that torch's, numpy's and Python's global generators take on in use.

    They are plain data, so they travel with pickle and deepcopy: a training that is
    stopped and resumed draws what it would have drawn.

    Parameters
    ----------
    seed : int

    Examples
    --------
    >>> generators = Generators(0)
    >>> with generators.in_use():
    ...     first = torch.rand(1)
    >>> with generators.in_use():
    ...     second = torch.rand(1)
    >>> bool(first == second), bool(first == torch.rand(
    ...     1, generator=torch.Generator().manual_seed(0)))
    (False, True)
    """

    def __init__(self, seed):
        self.reseed(seed)

    def reseed(self, seed):
        """Begin anew from a seed."""
        self.python = random.Random(seed).getstate()
        self.numpy = np.random.RandomState(seed % 2**32).get_state()
        self.torch = torch.Generator().manual_seed(seed).get_state().numpy()
        self.accelerator = {}  # by kind of device
        self.seed = seed

    @contextmanager
    def in_use(self, device="cpu"):
        """Install these states in the process; put its own back at the end."""
        with TURN:
            outside = _capture(device)
            _install((self.python, self.numpy, self.torch, self._on(device)), device)
            try:
                yield
            finally:
                self.python, self.numpy, self.torch, inside = _capture(device)
                if inside is not None:
                    self.accelerator = {_kind(device): inside}
                _install(outside, device)

    def _on(self, device):
        kind = _kind(device)
        if kind == "cpu":
            return None
        if kind in self.accelerator:
            return self.accelerator[kind]
        return torch.Generator(device).manual_seed(self.seed).get_state().numpy()


def _kind(device):
    return torch.device(device).type


def _capture(device):
    return (
        random.getstate(),
        np.random.get_state(),  # noqa: NPY002
        torch.get_rng_state().numpy().copy(),
        None if _kind(device) == "cpu" else generator_state(device).numpy().copy(),
    )


def _install(states, device):
    python, numpy, on_cpu, on_device = states
    random.setstate(python)
    np.random.set_state(numpy)  # noqa: NPY002
    torch.set_rng_state(torch.from_numpy(on_cpu.copy()))
    if on_device is not None:
        set_generator_state(torch.from_numpy(on_device.copy()), device)
