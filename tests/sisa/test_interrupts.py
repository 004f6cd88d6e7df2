"""An interrupt at any line leaves the state before, the one after or one between."""

import copy
import linecache
import shutil
import sys
from pathlib import Path

import pytest
from effort import EFFORT
from held import log_of, store_of
from sklearn.datasets import make_classification
from sklearn.naive_bayes import GaussianNB

import sklearn_fairsisa.sisa
from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.sisa._digests import digest
from sklearn_fairsisa.sisa.store import disk

pytestmark = pytest.mark.heavy

PACKAGE = str(Path(sklearn_fairsisa.sisa.__file__).parent)
X, y = make_classification(n_samples=48, n_features=4, n_redundant=0, random_state=0)

GONE = [3, 7, 20]
OPERATIONS = {
    "forget": lambda sisa: sisa.forget(GONE),
    "relearn": lambda sisa: sisa.relearn(),
    "partial_fit": lambda sisa: sisa.partial_fit(X[40:], y[40:]),
    "fit": lambda sisa: sisa.fit(X[8:], y[8:]),
}


# A trace may raise where no signal can: before what lets a lock go, on the way out of
# `with`, in `finally`. The lock would be held as long as this process lives.
LETS_GO = ("with ", "os.close(")
LETS_GO_FILE = "isolation.py"


class Interrupt:
    """Counts the lines of the package that are run, and interrupts from one of them."""

    def __init__(self, line=None):
        self.line, self.lines = line, 0

    def __enter__(self):
        self._before = sys.gettrace()
        sys.settrace(self._enter_function)
        return self

    def __exit__(self, *_):
        sys.settrace(self._before)

    def _enter_function(self, frame, event, arg):
        file = Path(frame.f_code.co_filename)
        inside = str(file).startswith(PACKAGE) and file.name != LETS_GO_FILE
        return self._run_line if inside else None

    def _run_line(self, frame, event, arg):
        if event == "line":
            self.lines += 1
            if self.line is not None and self.lines >= self.line:
                source = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
                if not source.strip().startswith(LETS_GO):
                    self.line = None
                    raise KeyboardInterrupt
        return self._run_line


def members(sisa):
    return [digest(member) for member in sisa.estimators_]


def state(sisa):
    return members(sisa), sisa.plan_.n_rows, list(sisa.forgotten_)


def states_of(name, fitted):
    """Return the states that an operation goes through, in their order."""
    sisa = copy.deepcopy(fitted)
    states = [state(sisa)]
    if name == "forget":
        sisa.forget(GONE, relearn=False)
        states.append(state(sisa))
    if name in ("forget", "relearn"):
        # A deletion relearns one shard after the other, relearn the cheapest first.
        by = ["shard"] if name == "forget" else ["sample_visits", "shard"]
        for shard in sisa.behind_.sort_values(by)["shard"]:
            states.append(state(sisa.relearn(shards=[shard])))
    else:
        states.append(state(OPERATIONS[name](sisa)))
    return states


# A lock whose file nobody could close is let go when the file object is.
@pytest.mark.filterwarnings("ignore:unclosed file <_io.FileIO:ResourceWarning")
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("durable", [False, True], ids=["memory", "directory"])
def test_an_interrupt_leaves_a_whole_state_and_says_which(
    tmp_path, monkeypatch, durable, name
):
    monkeypatch.setattr(disk.os, "fsync", lambda fd: None)  # for speed
    operation, directory = OPERATIONS[name], tmp_path / "d"
    params = {"n_shards": 2, "n_slices": 2, "random_state": 0}
    in_memory = SISAClassifier(GaussianNB(), **params).fit(X[:40], y[:40])
    fitted = in_memory
    if durable:
        fitted = SISAClassifier(GaussianNB(), checkpoint_dir=directory, **params)
        fitted.fit(X[:40], y[:40])
    assert set(fitted.plan_.shard_of(GONE)) == {0, 1}
    if name == "relearn":
        in_memory.forget(GONE, relearn=False)
        fitted.forget(GONE, relearn=False)
    states = states_of(name, in_memory)
    assert len(states) == {"forget": 4, "relearn": 3}.get(name, 2)
    shutil.copytree(directory, tmp_path / "before") if durable else None

    def fresh():
        if durable:
            shutil.rmtree(directory)
            shutil.copytree(tmp_path / "before", directory)
        return copy.deepcopy(fitted)

    with Interrupt() as counted:
        operation(fresh())
    found, missed = set(), 0
    lines = range(1, counted.lines, max(1, counted.lines // round(50 * EFFORT)))
    for trial, line in enumerate(lines):
        sisa = fresh()
        try:
            with Interrupt(line):
                operation(sisa)
        except KeyboardInterrupt as error:
            told = " ".join(getattr(error, "__notes__", ()))
        else:
            missed += 1  # the last lines may all be of those that let a lock go
            continue
        assert state(sisa) in states
        kept = SISAClassifier.load(directory) if durable else sisa
        assert state(kept) in states
        # The directory may be ahead of an estimator that was interrupted.
        assert states.index(state(sisa)) <= states.index(state(kept))
        found.add(states.index(state(kept)))
        if name == "forget":
            # The error says what became of the request.
            erased = list(kept.forgotten_) == GONE
            assert ("do not repeat the call" in told) == erased
            if "rows are erased" in told:
                assert list(sisa.forgotten_) == GONE
        elif name != "relearn":
            # It says that the change counts, or the estimator itself shows it.
            done = state(kept) == states[-1]
            assert done or "do not repeat the call" not in told
            assert not done or "do not repeat" in told or state(sisa) == states[-1]
        assert "Nothing of it was done" not in told or state(kept) == states[0]
        if trial % 4 and EFFORT <= 1:
            continue
        # The estimator that was interrupted goes on, and so does a new one.
        left = (sisa, kept)[line % 2]
        finish(left, name)
        assert state(left) == states[-1]
        assert left.verify_forgotten()
        if durable:
            _look_at_directory(left, directory, name)
    # In memory, hardly a line comes after the one that has a change count.
    if durable or name == "forget":
        assert found == set(range(len(states)))
    assert missed <= 4


def finish(sisa, name):
    """Have an operation done that was interrupted, unless it was done already."""
    if name == "partial_fit" and sisa.relearn().plan_.n_rows == 48:
        return
    OPERATIONS[name](sisa).relearn()


def _look_at_directory(sisa, directory, name):
    """Check what a directory holds once an interrupted operation was done again."""
    sisa.forget([1])
    reopened = SISAClassifier.load(directory)
    assert state(reopened) == state(sisa)
    assert reopened.verify_forgotten()
    assert store_of(reopened).stale_files() == []
    entries = log_of(reopened).entries
    deletions = [e for e in entries if e["kind"] == "forget"]
    n_forgotten = [e["n_forgotten"] for e in deletions if e["n_forgotten"]]
    assert n_forgotten == ([3, 1] if name in ("forget", "relearn") else [1])
    kinds = [e["kind"] for e in entries]
    assert kinds.count("partial_fit") == (name == "partial_fit")
    relearnt_for = {e["request"] for e in entries if e["kind"] == "relearn"}
    assert relearnt_for <= {e["entry"] for e in deletions} | {None}
