"""Isolation of a training from the state of the process, and vice versa."""

import os
import platform
import random
import sys
import threading
from collections.abc import Callable
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
from threadpoolctl import ThreadpoolController

from .devices import (
    accelerators,
    generator_state,
    seeded_state,
    set_generator_state,
)

# Threads share the generators of the process, so they must take turns.
GENERATORS_LOCK = threading.RLock()
# Functions that empty caches which outlive a task.
_CACHES: list[Callable[[], None]] = []


def emptied_in_workers(empty):
    """Register a function that empties a cache of rows, for workers to call.

    Parameters
    ----------
    empty : callable
        Function without arguments.

    Returns
    -------
    callable
        The same function, so that this can be used as a decorator.
    """
    _CACHES.append(empty)
    return empty


@contextmanager
def forked_generators(seed, device=None):
    """Seed the generators of random, numpy and torch; restore them at the end.

    Parameters
    ----------
    seed : int
    device : str, default=None
        Device that torch uses besides the CPU; by default all accelerators.
    """
    devices = accelerators() if device is None else [device]
    with GENERATORS_LOCK:
        outside = generator_states(devices)
        set_generator_states(_seeded_states(seed, devices))
        try:
            yield
        finally:
            set_generator_states(outside)


def generator_states(devices=()):
    """Return the states of the generators of random, numpy and torch, by name.

    Parameters
    ----------
    devices : iterable of str
        Devices of torch besides the CPU.

    Returns
    -------
    dict of str to object
        Plain data that can be pickled.
    """
    states = {"random": random.getstate(), "numpy": np.random.get_state()}  # noqa: NPY002
    if "torch" in sys.modules:
        states |= {device: generator_state(device) for device in ("cpu", *devices)}
    return states


def set_generator_states(states):
    """Set the generators to states that `generator_states` returned."""
    for name, state in states.items():
        if name == "random":
            random.setstate(state)
        elif name == "numpy":
            np.random.set_state(state)  # noqa: NPY002
        else:
            set_generator_state(state, name)


def _seeded_states(seed, devices):
    """Return the states of generators with a seed; the process's own stay the same."""
    numpy = np.random.RandomState(seed % 2**32)  # larger seeds raise an error
    states = {"random": random.Random(seed).getstate(), "numpy": numpy.get_state()}
    if "torch" in sys.modules:
        states |= {device: seeded_state(seed, device) for device in ("cpu", *devices)}
    return states


@contextmanager
def one_thread():
    """Compute on one core, while no other thread of the process does so.

    Members train so, score the rows that are kept with them, and rules are solved so.

    The number of threads that share a sum affects its rounding. With one core per
    member, the bits of a member do not depend on ``n_jobs``, the backend or the size of
    the machine. Shards run in parallel instead.
    """
    torch = sys.modules.get("torch")
    with GENERATORS_LOCK, _thread_pools(len(sys.modules)).limit(limits=1):
        before = None if torch is None else torch.get_num_threads()
        if torch is not None:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            if torch is not None:
                torch.set_num_threads(before)


@lru_cache(maxsize=1)
def _thread_pools(n_modules):
    """Return the thread pools of the process, which only imports of modules change."""
    # Finding them takes longer than a short replay.
    return ThreadpoolController()


def this_process():
    """Return an identifier of this process, unique across machines."""
    return platform.node(), os.getpid()


@contextmanager
def without_traces(caller):
    """At the end, empty the caches of rows unless this is the caller's process.

    A worker outlives its task, and later requests to forget do not reach it.
    """
    try:
        yield
    finally:
        if caller not in (None, this_process()):
            for empty in _CACHES:
                empty()
