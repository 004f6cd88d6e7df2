"""A storage backend is a class with seven functions over names and bytes."""

import copy
import json
import re
import shutil
import threading
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import pytest
from held import digests, log_of, state_of, store_of
from sklearn.datasets import make_classification
from sklearn.naive_bayes import GaussianNB

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.exceptions import (
    ChangedDirectoryError,
    DamagedDirectoryError,
    DirectoryError,
    LockedDirectoryError,
    UntrainedShardWarning,
)
from sklearn_fairsisa.sisa import CheckpointPolicy, _rows
from sklearn_fairsisa.sisa.store import open_directory
from sklearn_fairsisa.sisa.store.disk import Folder

X, y = make_classification(n_samples=60, n_features=4, random_state=0)


class Drawer:
    """Bytes by name, in a dict. What the recipe of the documentation shows."""

    def __init__(self):
        self.content = {}
        self.turn = threading.Lock()

    def read(self, name, n_bytes):
        if name not in self.content:
            raise FileNotFoundError(name)
        return self.content[name][: n_bytes + 1]

    def write_new(self, name, data):
        self.content[name] = bytes(data)

    def swap(self, name, data):
        self.content[name] = bytes(data)

    def append(self, name, data, size):
        self.content[name] = self.content.get(name, b"")[:size] + data

    def remove(self, names):
        for name in names:
            self.content.pop(name, None)

    def list(self):
        return list(self.content)

    @contextmanager
    def lock(self, timeout):
        if not self.turn.acquire(timeout=timeout):
            raise LockedDirectoryError(f"Someone else is at work in {self}.")
        try:
            yield
        finally:
            self.turn.release()

    def __str__(self):
        return "the drawer"


class PulledPlug(BaseException):
    pass


class Dying(Drawer):
    """A drawer whose process ends at a write, which is done by half or not at all."""

    def __init__(self, content, last=None, torn=False):
        super().__init__()
        self.content = dict(content)
        self.last, self.torn, self.calls = last, torn, 0

    def _call(self, name, data, torn=None):
        if self.last is not None and self.calls >= self.last:
            if self.torn and self.calls == self.last:
                self.content[name] = data[: len(data) // 2] if torn is None else torn
            self.calls += 1
            raise PulledPlug
        self.calls += 1

    def write_new(self, name, data):
        self._call(name, data)
        super().write_new(name, data)

    def swap(self, name, data):
        self._call(f"{name}.new", data)
        super().swap(name, data)

    def append(self, name, data, size):
        # A torn end leaves what was there before it.
        before = self.content.get(name, b"")[:size]
        self._call(name, before + data, before + data[: len(data) // 2])
        super().append(name, data, size)

    def remove(self, names):
        for name in names:
            self._call(name, b"")
            super().remove([name])


def make_sisa(backend=None, **params):
    policy = None if backend is None else CheckpointPolicy(backend, timeout=0.1)
    params = {"n_shards": 3, "n_slices": 2, "random_state": 0} | params
    return SISAClassifier(GaussianNB(), checkpoint_dir=policy, **params)


def test_an_ensemble_lives_in_any_backend():
    drawer, memory = Drawer(), make_sisa().fit(X[:50], y[:50])
    make_sisa(drawer).fit(X[:50], y[:50])
    for change in (
        lambda sisa: sisa.forget([3, 40]),
        lambda sisa: sisa.partial_fit(X[50:], y[50:]),
        lambda sisa: sisa.forget([7, 52]),
    ):
        change(memory)
        change(SISAClassifier.load(drawer))
        opened = SISAClassifier.load(drawer)
        assert digests(opened) == digests(memory)
        np.testing.assert_array_equal(opened.transform(X), memory.transform(X))
        np.testing.assert_array_equal(opened.forgotten_, memory.forgotten_)
    assert opened.verify_forgotten()
    assert store_of(opened).stale_files() == []
    kinds = [entry["kind"] for entry in log_of(opened).entries]
    kinds = [kind for kind in kinds if kind != "relearn"]
    assert kinds == ["fit", "forget", "partial_fit", "forget"]
    needle = X[7].tobytes()
    assert not any(needle in data for data in drawer.content.values())


def test_errors_name_the_backend():
    drawer = Drawer()
    with pytest.raises(FileNotFoundError, match="the drawer holds no ensemble"):
        SISAClassifier.load(drawer)
    sisa = make_sisa(drawer).fit(X, y)
    backup = dict(drawer.content)
    sisa.forget(1)
    drawer.content, newer = backup, drawer.content
    with pytest.raises(ChangedDirectoryError, match="the drawer does not hold"):
        sisa.forget(2)
    drawer.content = newer
    with pytest.raises(DirectoryError, match="the drawer holds a fitted ensemble"):
        make_sisa(drawer).fit(X, y)
    with drawer.lock(0), pytest.raises(LockedDirectoryError, match="the drawer"):
        sisa.forget(2)
    name = next(name for name in drawer.content if name.startswith("member-s001-r000"))
    drawer.content[name] = drawer.content[name][:-1]
    with pytest.raises(DamagedDirectoryError, match="the drawer/member-s001-r000-"):
        SISAClassifier.load(drawer)


CHANGES = {
    "fit": lambda d: make_sisa(d).fit(X[:50], y[:50]),
    "partial_fit": lambda d: SISAClassifier.load(d).partial_fit(X[50:], y[50:]),
    "forget": lambda d: SISAClassifier.load(d).forget([3, 7]),
}


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("torn", [False, True])
def test_a_kill_at_any_write_loses_nothing_that_counted(kind, torn):
    before = Dying({})
    if kind != "fit":
        CHANGES["fit"](before)
    states = [None if kind == "fit" else digests(SISAClassifier.load(before))]
    counted = Dying(before.content)
    states.append(digests(CHANGES[kind](counted)))
    found = set()
    for last in range(counted.calls):
        killed = Dying(before.content, last, torn)
        with pytest.raises(PulledPlug):
            CHANGES[kind](killed)
        left = Drawer()
        left.content = killed.content
        found.add(look_at(left, states, kind))
    # A batch counts as a whole; rows count, or are erased, before members are trained.
    behind = set() if kind == "partial_fit" else {"behind"}
    assert found == {"before", "after"} | behind


def look_at(left, states, kind):
    try:
        sisa = SISAClassifier.load(left)
    except FileNotFoundError:
        assert kind == "fit"
        sisa = make_sisa(left).fit(X[:50], y[:50])
        assert digests(sisa) == states[1]
        return "before"
    behind = len(sisa.behind_) > 0
    if behind:
        assert set(sisa.behind_["reason"]) <= {"interrupted", "deferred"}
        assert list(sisa.forgotten_) == ([] if kind == "fit" else [3, 7])
        assert sisa.verify_forgotten()
        assert digests(sisa.relearn()) == states[1]
    assert digests(sisa) in states
    after = digests(sisa) == states[1]
    sisa.forget([1])
    assert store_of(sisa).stale_files() == []
    assert sisa.verify_forgotten()
    assert digests(SISAClassifier.load(left)) == digests(sisa)
    return "behind" if behind else "after" if after else "before"


# What the manifest says


def test_a_change_rewrites_the_entries_of_its_own_shards_only():
    drawer = Drawer()
    sisa = make_sisa(drawer).fit(X, y)
    before = store_of(sisa).manifest.current
    sisa.forget(sisa.plan_.rows(1, 1)[0])
    now = store_of(sisa).manifest.current
    same = [old == new for old, new in zip(before.shards, now.shards)]
    assert same == [True, False, True]
    assert (now.n_rows, now.n_forgotten) == (59, 1)


def test_a_request_reads_and_writes_as_much_however_many_files_there_are():
    class Counting(Drawer):
        calls = n_bytes = 0

        def _count(self, data):
            self.calls, self.n_bytes = self.calls + 1, self.n_bytes + len(data)
            return data

        def read(self, name, n_bytes):
            return self._count(super().read(name, n_bytes))

        def write_new(self, name, data):
            super().write_new(name, self._count(data))

        def swap(self, name, data):
            super().swap(name, self._count(data))

    made = []
    for n_shards, n_slices in ((3, 4), (20, 4), (20, 40)):
        drawer = Counting()
        sisa = make_sisa(drawer, n_shards=n_shards, n_slices=n_slices)
        sisa.fit(*make_classification(2000, n_features=4, random_state=0))
        sisa.forget(sisa.plan_.rows(0, n_slices - 1)[0])
        drawer.calls = drawer.n_bytes = 0
        sisa.forget(sisa.plan_.rows(1, n_slices - 1)[0])
        made.append((len(drawer.content), drawer.calls, drawer.n_bytes))
    files, calls, n_bytes = zip(*made)
    assert files[2] > 40 * files[0]
    assert len(set(calls)) == 1
    # The list of a shard's files has a line for each of its slices.
    assert max(n_bytes) < 3 * min(n_bytes)


def test_no_shard_is_behind_once_a_change_is_done():
    drawer = Drawer()
    sisa = make_sisa(drawer).fit(X, y).forget([3])
    sisa.partial_fit(X[:1], y[:1])
    shards = store_of(sisa)._shards(store_of(sisa).manifest.current)
    assert [s.n_stages for s in shards] == list(sisa.plan_.n_stages)
    assert [s.stage for s in shards] == list(sisa.plan_.n_stages)
    assert [s.digest for s in shards] == digests(sisa)
    assert {s.reason for s in shards} == {None}


def test_a_shard_is_behind_until_it_is_relearnt(monkeypatch):
    drawer = Drawer()
    sisa = make_sisa(drawer).fit(X, y)
    before = digests(sisa)
    with monkeypatch.context() as patch:
        patch.setattr(GaussianNB, "partial_fit", None)
        with pytest.warns(UntrainedShardWarning):
            sisa.forget(sisa.plan_.rows(1, 1)[0])
    store = store_of(SISAClassifier.load(drawer))
    shards = store._shards(store.manifest.current)
    assert [(s.stage, s.n_stages) for s in shards] == [(2, 2), (1, 2), (2, 2)]
    assert [s.reason is None for s in shards] == [True, False, True]
    assert list(shards[1].checkpoints) == [0]
    assert [s.digest for s in shards] == digests(sisa)
    assert [old == new for old, new in zip(before, digests(sisa))] == [1, 0, 1]


def test_what_a_directory_holds_is_known_without_reading_rows_or_members():
    drawer = Drawer()
    make_sisa(drawer).fit(X, y)
    read = []
    real = Drawer.read
    drawer.read = lambda name, n: read.append(name) or real(drawer, name, n)
    assert open_directory(drawer, check=False).status()["rows"] == 60
    assert {name.split("-")[0] for name in read} == {"manifest.json", "shard"}
    del drawer.content[next(n for n in drawer.content if n.startswith("rows-s002"))]
    with pytest.raises(DamagedDirectoryError, match="the rows of shard 2, slice"):
        open_directory(drawer, check=False)


def test_rows_of_an_opened_ensemble_are_unpacked_when_they_are_needed(tmp_path):
    make_sisa(tmp_path).fit(X, y)
    opened = SISAClassifier.load(tmp_path)
    opened.predict(X)
    assert opened.n_rows_ == 60
    pieces = [piece for rows in state_of(opened).rows for piece in rows.pieces]
    assert all(callable(piece._block) for piece in pieces)
    copied = copy.deepcopy(opened)
    assert opened.forget(1).verify_forgotten()
    shutil.rmtree(tmp_path)
    # A copy depends on nothing that was in the directory.
    assert copied.full_sample_visits_ == opened.full_sample_visits_ + 1


def test_rows_that_someone_else_deleted_are_said_to_have_changed():
    drawer = Drawer()
    sisa = make_sisa(drawer).fit(X, y)
    opened = SISAClassifier.load(drawer)
    sisa.forget(1)
    with pytest.raises(ChangedDirectoryError, match="Open it with"):
        [rows.block for rows in state_of(opened).rows]


def test_directories_of_the_first_format_are_refused():
    drawer = Drawer()
    first = {"format": 1, "key": "k", "signature": "s"}
    drawer.content["manifest.json"] = json.dumps(first).encode()
    for use in (SISAClassifier.load, lambda d: make_sisa(d).fit(X, y)):
        with pytest.raises(DirectoryError, match="format 1, this version reads 4"):
            use(drawer)


# Companions


@dataclass(frozen=True)
class Count:
    """A companion that knows how many rows there are, and for which members."""

    text: str
    n_rows: int | None
    digests: tuple = ()

    def without(self, rows):
        return replace(self, n_rows=None)

    def amended(self, after, rows, told):
        return replace(self, n_rows=None)

    def extended(self, before, after, told):
        return replace(self, n_rows=None, text=told or self.text)

    def updated(self, ensemble):
        if self.is_current(store_of(ensemble).digests):
            return self
        return replace(
            self, n_rows=ensemble.n_rows_, digests=store_of(ensemble).digests
        )

    def is_current(self, digests):
        return self.n_rows is not None and self.digests == digests

    def remade(self, ensemble):
        return replace(self, n_rows=None).updated(ensemble)

    @property
    def learnt(self):
        return self.n_rows, self.digests

    def warn(self):
        pass

    def facts(self, digests):
        return {"behind": not self.is_current(digests)}


def fitted_with(place, **companions):
    begin = {name: lambda state, c=c: c for name, c in companions.items()}
    sisa = make_sisa(place)
    given = {"sample_weight": None}
    return sisa._start(X, y, "fit", None, None, given, companions=begin)


@pytest.mark.parametrize("durable", [False, True])
def test_companions_follow_every_change_whoever_makes_it(durable):
    drawer = Drawer() if durable else None
    sisa = fitted_with(drawer, one=Count("first", None), other=Count("second", None))

    def counts():
        changed = SISAClassifier.load(drawer) if durable else sisa
        assert state_of(changed).companions == state_of(sisa).companions
        found = state_of(changed).companions
        assert all(c.digests == store_of(changed).digests for c in found.values())
        return found["one"].n_rows, found["other"].n_rows

    n = len(y)
    assert counts() == (n, n)
    sisa.forget(2)
    assert counts() == (n - 1, n - 1)
    sisa.forget(3, relearn=False)
    assert counts() == (n - 2, n - 2)
    sisa.relearn()
    assert counts() == (n - 2, n - 2)
    sisa.partial_fit(X[:5], y[:5])
    assert counts() == (n + 3, n + 3)
    kinds = [entry["kind"] for entry in log_of(sisa).entries]
    assert kinds.count("calibrate") == 5
    assert sisa.verify_forgotten()


def test_companions_are_purged_with_the_ensemble():
    def holders(text):
        return [name for name, data in drawer.content.items() if text in data]

    drawer = Drawer()
    sisa = fitted_with(drawer, rule=Count("first rule", None))
    (name,) = holders(b"first rule")
    assert name.startswith("companion-rule-")
    sisa.forget([])
    assert holders(b"first rule") == [name]
    sisa.forget(1)
    assert len(holders(b"first rule")) == 1
    drawer.content[holders(b"first rule")[0]] = b""
    with pytest.raises(DamagedDirectoryError, match="the companion of the ensemble"):
        SISAClassifier.load(drawer)
    sisa.fit(X, y)
    assert store_of(sisa).manifest.current.companions == {}
    assert holders(b"first rule") == []


class Watched(Drawer):
    """A drawer that remembers the names of what was read and written."""

    def __init__(self):
        super().__init__()
        self.seen, self.written = [], []

    def read(self, name, n_bytes):
        self.seen.append(name)
        return super().read(name, n_bytes)

    def write_new(self, name, data):
        self.written.append(name)
        super().write_new(name, data)


def test_erasing_reads_and_writes_no_rows_that_the_request_does_not_concern():
    drawer = Watched()
    SISAClassifier(
        GaussianNB(),
        n_shards=4,
        n_slices=3,
        random_state=0,
        checkpoint_dir=CheckpointPolicy(drawer),
    ).fit(X, y)
    sisa = SISAClassifier.load(drawer)
    row = sisa.plan_.rows(2, 1)[0]
    drawer.seen.clear()
    drawer.written.clear()
    sisa.forget([row], relearn=False)
    rows = [name for name in drawer.seen if name.startswith("rows-")]
    assert [name[:14] for name in rows] == ["rows-s002-r001"]
    rows = [name for name in drawer.written if name.startswith("rows-")]
    assert [name[:14] for name in rows] == ["rows-s002-r001"]
    # Nor do the members of other shards matter.
    assert not [name for name in drawer.seen if re.match("member-s00[013]", name)]
    drawer.seen.clear()
    assert sisa.behind_["shard"].tolist() == [2]
    sisa.relearn()
    assert not [name for name in drawer.seen if re.match("rows-s00[013]", name)]


def test_a_folder_that_nobody_else_held_or_changed_is_listed_once(
    tmp_path, monkeypatch
):
    listed, real = [], Folder.list
    monkeypatch.setattr(Folder, "list", lambda f: listed.append(f) or real(f))
    sisa = make_sisa(tmp_path).fit(X, y)
    listed.clear()
    sisa.forget(1).forget(2, relearn=False).relearn()
    assert not listed
    # What was left behind by somebody else may hold rows.
    (tmp_path / f"rows-s000-r000-{'0' * 16}.pkl").write_bytes(b"")
    sisa.forget(3)
    assert len(listed) == 1
    loaded = SISAClassifier.load(tmp_path)
    assert len(listed) == 2
    loaded.forget(4)
    sisa.forget(5)
    assert len(listed) == 4
    assert not open_directory(tmp_path).stale_files()


def test_a_deletion_copies_no_more_than_a_piece_of_a_slice(monkeypatch):
    monkeypatch.setattr(_rows, "PIECE_BYTES", 5 * X[0].nbytes)
    drawer, alike = Watched(), make_sisa().fit(X, y).forget([7, 9])
    sisa = make_sisa(drawer).fit(X, y)
    rows = state_of(sisa).rows
    assert max(len(piece.block) for part in rows for piece in part.pieces) == 5
    drawer.written.clear()
    sisa.forget(7)
    assert sum(name.startswith("rows-") for name in drawer.written) == 1
    opened = SISAClassifier.load(drawer)
    drawer.seen.clear()
    opened.forget(9, relearn=False)
    assert sum(name.startswith("rows-") for name in drawer.seen) == 1
    assert opened.relearn().verify_forgotten()
    assert digests(opened) == digests(alike)
    kept = {id(p) for part in rows for p in part.pieces}
    assert sum(id(p) not in kept for r in state_of(sisa).rows for p in r.pieces) == 1
