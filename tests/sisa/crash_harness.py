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
from functools import cache
from pathlib import Path

import numpy as np
from sklearn.datasets import make_classification
from sklearn.naive_bayes import GaussianNB

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.sisa._digests import digest
from sklearn_fairsisa.sisa.store import disk

X, y = make_classification(n_samples=48, n_features=4, random_state=0)
GONE = [3, 7, 20]
# What the forgotten rows hold, as bytes found nowhere else.
X[GONE, 0] = np.array([1.25e77, 2.5e78, 3.75e79])
REFIT = np.setdiff1d(np.arange(8, 48), GONE)


CLUB = np.arange(48) // 2 % 2


def make_sisa(directory):
    return SISAClassifier(
        GaussianNB(), n_shards=3, n_slices=2, random_state=0, checkpoint_dir=directory
    )


def fit(directory, tell):
    make_sisa(directory).fit(X[:40], y[:40])


def partial_fit(directory, tell):
    SISAClassifier.load(directory).partial_fit(X[40:], y[40:])


def forget(directory, tell):
    """Ask for rows one after the other, and tell what was asked for and done."""
    sisa = SISAClassifier.load(directory)
    requests = zip(GONE, (True, False, True))
    for row, relearn in requests:
        tell(f"asked {row}")
        sisa.forget(row, relearn=relearn)
        tell(f"done {row}")


def forget_together(directory, tell):
    SISAClassifier.load(directory).forget(GONE)


def relearn(directory, tell):
    SISAClassifier.load(directory).relearn()


def refit(directory, tell):
    """Fit other rows where an ensemble is behind."""
    SISAClassifier.load(directory).fit(X[REFIT], y[REFIT])


def fair_fit(directory, tell):
    fair = FairEnsemblePostprocessor(
        make_sisa(directory),
        method="soft_ensemble",
        constraints="demographic_parity",
        calibration=0.5,
        random_state=0,
    )
    return fair.fit(X[:40], y[:40], sensitive_features=CLUB[:40])


def fair_partial_fit(directory, tell):
    fair = FairEnsemblePostprocessor.load(directory)
    return fair.partial_fit(X[40:], y[40:], sensitive_features=CLUB[40:])


def fair_forget(directory, tell):
    """Ask for rows, some of which train and some calibrate, and tell what was done."""
    fair = FairEnsemblePostprocessor.load(directory)
    for row, relearn in zip(GONE, (True, False, True)):
        tell(f"asked {row}")
        fair.forget(row, relearn=relearn)
        tell(f"done {row}")


def learnt(sisa):
    """Return what the rules of an ensemble learnt, and whether they are solved."""
    rules = sisa._state.companions.values()
    return [(digest(r.learnt), r.is_current(sisa._store.digests)) for r in rules]


@cache
def expected_rules(n_rows, forgotten):
    """Return the rules of a run that nobody killed."""
    fair = fair_fit(None, None)
    if n_rows == 48:
        fair.partial_fit(X[40:], y[40:], sensitive_features=CLUB[40:])
    sisa = fair.estimator_
    return digests(sisa.forget(list(forgotten))), learnt(sisa)


@cache
def expected(n_rows, forgotten):
    """Return the members of a run that nobody killed, by the rows it ended with."""
    X_first, y_first = (
        (X[REFIT], y[REFIT]) if n_rows == len(REFIT) else (X[:40], y[:40])
    )
    sisa = make_sisa(None).fit(X_first, y_first)
    if n_rows == 48:
        sisa.partial_fit(X[40:], y[40:])
    return digests(sisa.forget(list(forgotten)) if forgotten else sisa)


def digests(sisa):
    return [digest(member) for member in sisa.estimators_]


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


def run_in_child(operation, directory, os_module=None):
    """Fork; the child does the operation and ends, one way or the other.

    Returns
    -------
    tuple of int
        The child, and where to read what it tells.
    """
    reads, writes = os.pipe()
    child = os.fork()
    if child:
        os.close(writes)
        return child, reads
    try:
        if os_module is not None:
            disk.os = os_module
        operation(directory, lambda text: os.write(writes, f"{text}\n".encode()))
        if os_module is not None:
            os.write(writes, f"calls {' '.join(os_module.names)}\n".encode())
        os._exit(0)
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)


def told_by(reads):
    """Return what a child told before it ended, by the first word."""
    with os.fdopen(reads) as file:
        words = [line.split() for line in file]
    told = {"asked": set(), "done": set(), "calls": []}
    for kind, *values in words:
        if kind == "calls":
            told[kind] = values
        else:
            told[kind] |= set(map(int, values))
    return told


class Scenario:
    """An operation, with the state before it and the one it ends in.

    Parameters
    ----------
    operation : function
    before : Path or None
        Directory that it starts from, None for an empty one.
    root : Path
        Where directories are made.
    asked : set of int
        Rows that it asks to forget in one call, or that were asked for before it.
    """

    def __init__(self, operation, before, root, asked=frozenset()):
        self.operation = operation
        self.root = root
        self.template = before
        self.asked = set(asked)
        done = root / f"{operation.__name__}-done"
        self._copy(done)
        self.before = self.state(done)
        self.seconds = -time.perf_counter()
        operation(done, lambda text: None)
        self.seconds += time.perf_counter()
        self.after = self.state(done)
        self.outcomes = Counter()

    def _copy(self, target):
        shutil.rmtree(target, ignore_errors=True)
        if self.template is None:
            target.mkdir()
        else:
            shutil.copytree(self.template, target)

    @staticmethod
    def state(directory):
        """Return the members, and the numbers of rows and of those forgotten."""
        try:
            sisa = SISAClassifier.load(directory)
        except FileNotFoundError:
            return None
        members = digests(sisa), learnt(sisa)
        return members, sisa.plan_.n_rows, sisa.forgotten_.tolist()

    def calls(self):
        """Return the names of the system calls of an operation that lives."""
        directory = self.root / "count"
        self._copy(directory)
        child, reads = run_in_child(self.operation, directory, DyingOS(None))
        names = told_by(reads)["calls"]
        os.waitpid(child, 0)
        return names

    def kill_at(self, call, torn):
        directory = self.root / "killed"
        self._copy(directory)
        child, reads = run_in_child(self.operation, directory, DyingOS(call, torn))
        return self._look(child, reads, directory)

    def kill_after(self, seconds):
        directory = self.root / "killed"
        self._copy(directory)
        child, reads = run_in_child(self.operation, directory)
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        return self._look(child, reads, directory)

    def _look(self, child, reads, directory):
        """Return what is wrong with what the child left."""
        told = told_by(reads)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status) != 0:
            return "the operation failed"
        state = self.state(directory)
        self.outcomes[
            "before"
            if state == self.before
            else ("after" if state == self.after else "between")
        ] += 1
        if state is None:
            # The next fit cleans up, as test_durable shows.
            return None if self.before is None else "the ensemble is gone"
        _, n_rows, forgotten = state
        if not told["done"] <= set(forgotten) <= told["asked"] | self.asked:
            return "not what was asked for is forgotten"
        if n_rows not in {s[1] for s in (self.before, self.after) if s is not None}:
            return "a mixture of rows"
        return self._look_at_files(directory, told["done"]) or self._relearn(directory)

    @staticmethod
    def _look_at_files(directory, rows):
        """Return what is wrong if some rows are still there."""
        files = [path.read_bytes() for path in directory.iterdir()]
        if any(X[row].tobytes() in data for row in rows for data in files):
            return "a forgotten row is still in a file"
        return None

    @staticmethod
    def _rules(sisa):
        return sisa._state.companions.values()

    def _relearn(self, directory):
        """Return what is wrong with what goes on from the directory."""
        sisa = SISAClassifier.load(directory)
        if not sisa.verify_forgotten():
            return "the deletion is not exact as it stands"
        n_rows, forgotten = sisa.plan_.n_rows, sisa.forgotten_.tolist()
        sisa.relearn()
        if len(sisa.behind_):
            return "a member stays behind"
        if any(np.isin(forgotten, r.rows.index).any() for r in self._rules(sisa)):
            return "a rule knows a forgotten row"
        members = expected(n_rows, tuple(forgotten))
        if self.operation.__name__.startswith("fair"):
            members, rules = expected_rules(n_rows, tuple(forgotten))
            if learnt(sisa) != rules or not learnt(sisa)[0][1]:
                return "the rule is not that of a run that lived"
        if digests(sisa) != members:
            return "relearning ends elsewhere than a run that lived"
        if digests(SISAClassifier.load(directory)) != digests(sisa):
            return "what was relearnt is not in the directory"
        if sisa._store.stale_files():
            return "files were left behind"
        if not sisa.verify_forgotten():
            return "the deletion is not exact"
        # Rows of an ensemble that was replaced are gone too.
        gone = forgotten if n_rows != len(REFIT) else GONE
        return self._look_at_files(directory, gone)


def main(root, step):
    """Kill at every `step`-th system call that writes."""
    warnings.simplefilter("error")
    # There are few rows.
    warnings.filterwarnings("ignore", "The fair rule is not expected to be fairer")
    warnings.filterwarnings("ignore", "Groups have a rate that rests on very few")
    started = time.perf_counter()
    before, behind = root / "before", root / "behind"
    make_sisa(before).fit(X[:40], y[:40])
    make_sisa(behind).fit(X[:40], y[:40]).forget(GONE, relearn=False)
    fair = root / "fair"
    fair_fit(fair, None)
    scenarios = [
        Scenario(fit, None, root),
        Scenario(partial_fit, before, root),
        Scenario(forget, before, root),
        Scenario(forget_together, before, root, asked=GONE),
        Scenario(relearn, behind, root, asked=GONE),
        Scenario(refit, behind, root, asked=GONE),
        Scenario(fair_fit, None, root),
        Scenario(fair_partial_fit, fair, root),
        Scenario(fair_forget, fair, root),
    ]
    failures, kills = [], 0
    rng = random.Random(0)
    for scenario in scenarios:
        name = scenario.operation.__name__
        plan = [
            (scenario.kill_at, (call, torn))
            for call, made in enumerate(scenario.calls())
            # Torn writes of files are the same ones with a rule.
            for torn in (
                (False, True)
                if made == "write" and not name.startswith("fair")
                else (False,)
            )
        ][::step]
        plan += [
            (scenario.kill_after, (rng.uniform(0, 1.2 * scenario.seconds),))
            for _ in range(5 if name.startswith("fair") else 15)
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
    main(Path(sys.argv[1]), int(sys.argv[2]))
