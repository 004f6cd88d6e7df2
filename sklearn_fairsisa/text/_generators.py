"""Random generators of a single estimator."""

from contextlib import contextmanager

import torch

from .._utils.devices import generator_state, set_generator_state
from .._utils.isolation import (
    forked_generators,
    generator_states,
    set_generator_states,
)


class Generators:
    """States of the generators of random, numpy and torch for one training.

    They are plain data that pickle and deepcopy keep, so that a training that is
    stopped and resumed draws the same numbers as one that never stopped.

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
        """Start from another seed."""
        self.seed = seed
        self.states = {}
        self.accelerator_states = {}  # by kind of device

    @contextmanager
    def in_use(self, device="cpu"):
        """Use these states in the process; restore its own at the end."""
        kind = torch.device(device).type
        with forked_generators(self.seed, device):
            set_generator_states(self.states)
            if kind in self.accelerator_states:
                set_generator_state(self.accelerator_states[kind], device)
            try:
                yield
            finally:
                self.states = generator_states()
                if kind != "cpu":
                    self.accelerator_states[kind] = generator_state(device)
