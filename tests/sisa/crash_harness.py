"""Kills a process at every write and at random instants, then looks at what is left.

Run as a program, in a process of its own: children are forked, which is only safe
where no library has started threads. Prints a JSON object.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
import warnings
from collections import Counter
from pathlib import Path
from unittest import mock

import numpy as np
from sklearn.datasets import make_classification
from sklearn.naive_bayes import GaussianNB

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.sisa._digests import digest
from sklearn_fairsisa.sisa.store import disk

X, y = make_classification(n_samples=48, n_features=4, random_state=0)
GONE = [3, 7, 20]
# What the forgotten rows hold, as bytes found nowhere else.
X[GONE, 0] = np.array([1.25e77, 2.5e78, 3.75e79])


def make_sisa(directory):
    return SISAClassifier(
        GaussianNB(), n_shards=3, n_slices=2, random_state=0, checkpoint_dir=directory
    )


def fit(directory):
    make_sisa(directory).fit(X[:40], y[:40])


def partial_fit(directory):
    SISAClassifier.load(directory).partial_fit(X[40:], y[40:])


def forget(directory):
    SISAClassifier.load(directory).forget(GONE)


def refit(directory):
    """Fit other rows where a deletion is written down."""
    rows = np.setdiff1d(np.arange(8, 48), GONE)
    SISAClassifier.load(directory, finish=False).fit(X[rows], y[rows])


def fail_to_forget(directory):
    no_room = mock.patch.object(GaussianNB, "partial_fit", side_effect=MemoryError)
    try:
        with no_room:
            forget(directory)
    except MemoryError:
        return
    raise AssertionError("the deletion should have failed")


class DyingOS:
    """The module os, in which one system call that writes is the last.

    Parameters
    ----------
    last : int or None
        Number of the call to die at; None only counts.
    torn : bool, default=False
        Whether half of a write is done before.
    """

    def __init__(self, last, torn=False):
        self.last, self.torn = last, torn
        self.names = []
        self.unsynced = {}

    def __getattr__(self, name):
        return getattr(os, name)

    def _call(self, name, *args):
        dies = len(self.names) == self.last
        self.names.append(name)
        if dies:
            if self.torn:
                fd, data = args
                os.write(fd, data[: max(1, len(data) // 2)])
            self._die()
        return getattr(os, name)(*args)

    def _die(self):
        # As a loss of power would: of what was not synced, only a part is there.
        for path, synced in self.unsynced.values():
            size = os.path.getsize(path)
            os.truncate(path, min(synced, size) + max(0, size - synced) // 2)
        os.kill(os.getpid(), signal.SIGKILL)

    def open(self, path, flags, mode=0o777):
        if not flags & os.O_WRONLY:
            return os.open(path, flags, mode)
        fd = self._call("open", path, flags, mode)
        self.unsynced[fd] = path, os.path.getsize(path)
        return fd

    def write(self, fd, data):
        return self._call("write", fd, data)

    def fsync(self, fd):
        self._call("fsync", fd)
        self.unsynced.pop(fd, None)

    def ftruncate(self, fd, size):
        return self._call("ftruncate", fd, size)

    def replace(self, source, target):
        return self._call("replace", source, target)

    def unlink(self, path):
        return self._call("unlink", path)


def run_in_child(operation, directory, os_module=None, pipe=None):
    """Fork; the child does the operation and ends, one way or the other."""
    child = os.fork()
    if child:
        return child
    try:
        if os_module is not None:
            disk.os = os_module
        operation(directory)
        if pipe is not None:
            os.write(pipe, " ".join(os_module.names).encode())
        os._exit(0)
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)


class Scenario:
    """An operation with the states it may leave, in the order it goes through them."""

    def __init__(self, operation, before, root):
        self.operation = operation
        self.root = root
        self.template = before
        done = root / f"{operation.__name__}-done"
        self._copy(done)
        pending = self._is_pending(done)
        self.states = [self.members(done, finish=False)]
        if pending:
            self.states.append(self.members(done))
            self._copy(done)
        self.seconds = -time.perf_counter()
        operation(done)
        self.seconds += time.perf_counter()
        self.states.append(self.members(done))
        self.outcomes = Counter()

    def _copy(self, target):
        shutil.rmtree(target, ignore_errors=True)
        if self.template is None:
            target.mkdir()
        else:
            shutil.copytree(self.template, target)

    @staticmethod
    def members(directory, finish=True):
        try:
            sisa = SISAClassifier.load(directory, finish=finish)
        except FileNotFoundError:
            return None
        return [digest(member) for member in sisa.estimators_]

    def calls(self):
        """Return the names of the system calls of an operation that lives."""
        directory = self.root / "count"
        self._copy(directory)
        reads, writes = os.pipe()
        child = run_in_child(self.operation, directory, DyingOS(None), writes)
        os.waitpid(child, 0)
        return os.read(reads, 2**16).decode().split()

    def kill_at(self, call, torn):
        directory = self.root / "killed"
        self._copy(directory)
        child = run_in_child(self.operation, directory, DyingOS(call, torn))
        return self._look(child, directory)

    def kill_after(self, seconds):
        directory = self.root / "killed"
        self._copy(directory)
        child = run_in_child(self.operation, directory)
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        return self._look(child, directory)

    def _look(self, child, directory):
        """Return what is wrong with what the child left."""
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status) != 0:
            return "the operation failed"
        asked = self._is_pending(directory)
        found = self.members(directory, finish=False)
        if found not in self.states:
            return "a mixture of states"
        finished = self.members(directory)
        if asked and finished != self.states[self.states.index(found) + 1]:
            return "a request was lost"
        if not asked and finished != found:
            return "loading changed the state"
        self.outcomes["after" if finished == self.states[-1] else "before"] += 1
        self.outcomes["finished by load"] += asked
        return self._look_at_files(directory, finished)

    @staticmethod
    def _is_pending(directory):
        manifest = directory / "manifest.json"
        if not manifest.exists():
            return False
        return json.loads(manifest.read_text())["pending"] is not None

    def _look_at_files(self, directory, finished):
        if finished is None:
            return None  # the next fit cleans up, as test_durable shows
        # Whatever opens the directory next to change it cleans up first.
        sisa = SISAClassifier.load(directory)
        with sisa._store.exclusive():
            pass
        if sisa._store.stale_files():
            return "files were left behind"
        forgets = self.operation in (forget, refit)
        if forgets and finished != self.states[0]:
            files = [path.read_bytes() for path in directory.iterdir()]
            for row in GONE:
                if any(X[row].tobytes() in data for data in files):
                    return "a forgotten row is still in a file"
            if not sisa.verify_forgotten():
                return "the deletion is not exact"
        return None


def main(root):
    warnings.simplefilter("error")
    started = time.perf_counter()
    before = root / "before"
    fit(before)
    failed = root / "failed"
    shutil.copytree(before, failed)
    fail_to_forget(failed)
    scenarios = [
        Scenario(fit, None, root),
        Scenario(partial_fit, before, root),
        Scenario(forget, before, root),
        Scenario(refit, failed, root),
    ]
    failures, kills = [], 0
    rng = random.Random(0)
    for scenario in scenarios:
        name = scenario.operation.__name__
        plan = [
            (scenario.kill_at, (call, torn))
            for call, made in enumerate(scenario.calls())
            for torn in ((False, True) if made == "write" else (False,))
        ]
        plan += [
            (scenario.kill_after, (rng.uniform(0, 1.2 * scenario.seconds),))
            for _ in range(15)
        ]
        for kill, args in plan:
            kills += 1
            try:
                wrong = kill(*args)
            except Exception as error:
                wrong = repr(error)
            if wrong:
                failures.append(f"{name}, {kill.__name__}{args}: {wrong}")
    print(
        json.dumps(
            {
                "kills": kills,
                "failures": failures,
                "outcomes": {s.operation.__name__: s.outcomes for s in scenarios},
                "seconds": time.perf_counter() - started,
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
