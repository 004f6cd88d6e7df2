"""Training that neither reads nor leaves a trace in the process around it."""

import os
import platform
import random
import sys
import threading
from contextlib import contextmanager, nullcontext
from functools import lru_cache

import numpy as np
from threadpoolctl import ThreadpoolController

from .devices import accelerators

# The global generators belong to the process, so threads must take turns.
TURN = threading.RLock()
_CACHES = []  # functions that empty the caches which outlive a task


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
def forked_generators(seed):
    """Seed the generators of random, numpy and torch; put them back at the end."""
    torch = sys.modules.get("torch")
    if torch is None:
        fork = nullcontext()
    else:
        devices = accelerators()
        # Older versions of torch want a kind even of no devices.
        kind = devices[0].partition(":")[0] if devices else "cuda"
        fork = torch.random.fork_rng(devices, device_type=kind)
    with TURN, fork:
        before_python = random.getstate()
        before_numpy = np.random.get_state()  # noqa: NPY002 - the global one is meant
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        if torch is not None:
            torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(before_python)
            np.random.set_state(before_numpy)  # noqa: NPY002


@contextmanager
def one_thread():
    """Train on one core and alone in the process.

    How many threads share a sum decides its rounding. One core per member makes a
    member the same bits whatever ``n_jobs``, backend and machine size; shards are
    what runs in parallel.
    """
    torch = sys.modules.get("torch")
    with TURN, _thread_pools(len(sys.modules)).limit(limits=1):
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
