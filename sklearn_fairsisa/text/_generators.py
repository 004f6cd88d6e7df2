"""Random generators that belong to one estimator instead of the process."""

import random
import threading
from contextlib import contextmanager

import numpy as np
import torch

# The global generators belong to the process, so threads must take turns.
_TURN = threading.RLock()


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
        self.cuda = None
        self.seed = seed

    @contextmanager
    def in_use(self, device="cpu"):
        """Install these states in the process; put its own back at the end."""
        with _TURN:
            outside = _capture(device)
            _install((self.python, self.numpy, self.torch, self._on(device)), device)
            try:
                yield
            finally:
                inside = _capture(device)
                self.python, self.numpy, self.torch, self.cuda = inside
                _install(outside, device)

    def _on(self, device):
        if torch.device(device).type != "cuda":
            return self.cuda
        if self.cuda is not None:
            return self.cuda
        return torch.Generator(device).manual_seed(self.seed).get_state().numpy()


def _capture(device):
    on_cuda = torch.device(device).type == "cuda"
    return (
        random.getstate(),
        np.random.get_state(),  # noqa: NPY002
        torch.get_rng_state().numpy().copy(),
        torch.cuda.get_rng_state(device).numpy().copy() if on_cuda else None,
    )


def _install(states, device):
    python, numpy, on_cpu, on_cuda = states
    random.setstate(python)
    np.random.set_state(numpy)  # noqa: NPY002
    torch.set_rng_state(torch.from_numpy(on_cpu.copy()))
    if on_cuda is not None and torch.device(device).type == "cuda":
        torch.cuda.set_rng_state(torch.from_numpy(on_cuda.copy()), device)
