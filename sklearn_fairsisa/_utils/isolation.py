"""Training that neither reads nor leaves a trace in the process around it."""

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

# The global generators belong to the process, so threads must take turns.
GENERATORS_LOCK = threading.RLock()
# Functions that empty the caches which outlive a task.
_CACHES: list[Callable[[], None]] = []


def emptied_in_workers(empty):
    """Register a function that empties a cache of rows, to be called by workers.

    Parameters
    ----------
    empty : callable
        Takes no argument.

    Returns
    -------
    callable
        The same function, so that this can decorate it.
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
        Where torch draws besides the CPU; by default on all accelerators.
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
        Where torch draws besides the CPU.

    Returns
    -------
    dict of str to object
        Plain data, which can be pickled.
    """
    states = {"random": random.getstate(), "numpy": np.random.get_state()}  # noqa: NPY002
    if "torch" in sys.modules:
        states |= {device: generator_state(device) for device in ("cpu", *devices)}
    return states


def set_generator_states(states):
    """Put generators into states that `generator_states` returned."""
    for name, state in states.items():
        if name == "random":
            random.setstate(state)
        elif name == "numpy":
            np.random.set_state(state)  # noqa: NPY002
        else:
            set_generator_state(state, name)


def _seeded_states(seed, devices):
    """Return the states that a seed gives, without a change of the process's own."""
    numpy = np.random.RandomState(seed % 2**32)  # which takes no larger seed
    states = {"random": random.Random(seed).getstate(), "numpy": numpy.get_state()}
    if "torch" in sys.modules:
        states |= {device: seeded_state(seed, device) for device in ("cpu", *devices)}
    return states


@contextmanager
def one_thread():
    """Train on one core and alone in the process.

    How many threads share a sum decides its rounding. One core per member makes a
    member the same bits whatever ``n_jobs``, backend and machine size; shards are
    what runs in parallel.
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
    """Return the process's pools of threads; a library comes with a module's import."""
    # Looking through the process's memory map takes longer than a short replay.
    return ThreadpoolController()


def this_process():
    """Return what tells this process from others, on other machines too."""
    return platform.node(), os.getpid()


@contextmanager
def without_traces(caller):
    """At the end, empty the caches of rows if this is a worker of the caller.

    A worker outlives its task, and nobody could tell it to forget.
    """
    try:
        yield
    finally:
        if caller not in (None, this_process()):
            for empty in _CACHES:
                empty()
