"""An interrupt at any line leaves the state before or the state after."""

import copy
import linecache
import shutil
import sys
from pathlib import Path

import pytest
from sklearn.datasets import make_classification
from sklearn.naive_bayes import GaussianNB

import sklearn_fairsisa.sisa
from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.exceptions import ChangedDirectoryError
from sklearn_fairsisa.sisa._digests import digest
from sklearn_fairsisa.sisa.store import disk

PACKAGE = str(Path(sklearn_fairsisa.sisa.__file__).parent)
X, y = make_classification(n_samples=48, n_features=4, n_redundant=0, random_state=0)

OPERATIONS = {
    "forget": lambda sisa: sisa.forget([3, 7, 20]),
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


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("durable", [False, True], ids=["memory", "directory"])
def test_an_interrupt_leaves_the_state_before_or_after(
    tmp_path, monkeypatch, durable, name
):
    monkeypatch.setattr(disk.os, "fsync", lambda fd: None)  # for speed
    operation, directory = OPERATIONS[name], tmp_path / "d"
    fitted = SISAClassifier(
        GaussianNB(),
        n_shards=2,
        n_slices=2,
        random_state=0,
        checkpoint_dir=directory if durable else None,
    ).fit(X[:40], y[:40])
    shutil.copytree(directory, tmp_path / "before") if durable else None

    def fresh():
        if durable:
            shutil.rmtree(directory)
            shutil.copytree(tmp_path / "before", directory)
        return copy.deepcopy(fitted)

    with Interrupt() as counted:
        done = operation(fresh())
    before, after = members(fitted), members(done)
    found, missed = set(), 0
    for line in range(1, counted.lines, max(1, counted.lines // 40)):
        sisa = fresh()
        try:
            with Interrupt(line):
                operation(sisa)
        except KeyboardInterrupt:
            pass
        else:
            missed += 1  # the last lines may all be of those that let a lock go
            continue
        state = members(sisa), list(sisa.forgotten_), len(sisa.forget_log_)
        whole = [
            (members(s), list(s.forgotten_), len(s.forget_log_)) for s in (fitted, done)
        ]
        assert state in whole
        if durable:
            found.add(_look_at_directory(sisa, directory, before, after))
        elif name != "partial_fit" or state == whole[0]:
            assert members(operation(sisa)) == after
    assert found == ({"before", "finished"} if durable else set())
    assert missed <= 1


def _look_at_directory(sisa, directory, before, after):
    """Check what the next call and the next load do; tell what was found."""
    reopened = SISAClassifier.load(directory, finish=False)
    asked = reopened._store.pending is not None or members(reopened) == after
    assert members(reopened) in (before, after)
    # Either this estimator goes on with what was asked for, or it says it is behind.
    try:
        sisa.forget([1])
    except ChangedDirectoryError:
        assert members(SISAClassifier.load(directory)) == after
        return "finished"
    reopened = SISAClassifier.load(directory)
    assert members(reopened) == members(sisa)
    kinds = [entry["kind"] for entry in reopened._audit.entries]
    assert len(kinds) == 2 + asked
    assert reopened.verify_forgotten()
    assert reopened._store.stale_files() == []
    return "finished" if asked else "before"
