import copy
import errno
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from functools import partialmethod

import numpy as np
import pytest
from held import checkpoints, digests, log_of, store_of
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.exceptions import (
    ChangedDirectoryError,
    DamagedDirectoryError,
    DirectoryError,
    LockedDirectoryError,
    SignatureError,
    UntrainedShardWarning,
)
from sklearn_fairsisa.sisa import CheckpointPolicy
from sklearn_fairsisa.sisa._digests import digest
from sklearn_fairsisa.sisa.store import disk, open_directory
from sklearn_fairsisa.sisa.store.directory import DirectoryStore

X, y = make_classification(n_samples=90, n_features=6, random_state=0)


def make_sisa(directory=None, estimator=None, **params):
    params = {"n_shards": 3, "n_slices": 2, "random_state": 0} | params
    if estimator is None:
        estimator = SGDClassifier(loss="log_loss")
    return SISAClassifier(estimator, checkpoint_dir=directory, **params)


def kinds(sisa):
    return [entry["kind"] for entry in log_of(sisa).entries]


def bytes_in(directory):
    files = sorted(path for path in directory.iterdir() if path.is_file())
    return b"".join(path.read_bytes() for path in files)


def checkpoint_digests(sisa):
    return [[digest(member) for member in shard] for shard in checkpoints(sisa)]


def kept_stages(sisa):
    return [sorted(store_of(sisa).progress(shard).checkpoints) for shard in range(3)]


def net():
    torch = pytest.importorskip("torch")
    skorch = pytest.importorskip("skorch")
    return skorch.NeuralNetClassifier(
        torch.nn.Linear, module__in_features=6, module__out_features=2,
        criterion=torch.nn.CrossEntropyLoss, optimizer=torch.optim.Adam,
        max_epochs=2, batch_size=8, iterator_train__shuffle=True, verbose=0,
    )  # fmt: skip


LEARNERS = {
    "sgd": lambda: SGDClassifier(loss="log_loss"),
    "naive Bayes": GaussianNB,
    "mlp": lambda: MLPClassifier((4,)),
    "skorch net": net,
}


# What comes back


@pytest.mark.parametrize("name", LEARNERS)
def test_a_reopened_ensemble_is_equal_and_stays_so(tmp_path, name):
    groups = np.arange(90) % 30
    memory = make_sisa(None, LEARNERS[name]())
    memory.fit(X, y, subjects=groups)
    make_sisa(tmp_path, LEARNERS[name]()).fit(X, y, subjects=groups)
    for change in (
        lambda sisa: sisa.forget([3, 60]),
        lambda sisa: sisa.partial_fit(X, y, subjects=groups),
        lambda sisa: sisa.forget(subjects=[5, 7]),
    ):
        change(memory)
        change(SISAClassifier.load(tmp_path))
        reopened = SISAClassifier.load(tmp_path)
        assert checkpoint_digests(reopened) == checkpoint_digests(memory)
        np.testing.assert_array_equal(reopened.transform(X), memory.transform(X))
        np.testing.assert_array_equal(reopened.forgotten_, memory.forgotten_)
        np.testing.assert_array_equal(reopened.plan_.shards, memory.plan_.shards)
        assert reopened.n_features_in_ == 6
        assert reopened.n_rows_ == memory.n_rows_
        assert [r.rows for r in reopened.forget_log_] == [
            r.rows for r in memory.forget_log_
        ]
    assert reopened.verify_forgotten()
    assert reopened.get_params()["n_slices"] == 2


def test_weights_of_networks_are_in_safetensors_under_their_names(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    sisa = make_sisa(tmp_path, net()).fit(X, y)
    stored = sorted(tmp_path.glob("member-s001-r001-*.safetensors"))
    weights = safetensors.load_file(stored[0])
    (member,) = [sisa.estimators_[1]]
    np.testing.assert_array_equal(
        weights["weight"], member.module_.weight.detach().numpy()
    )
    state = member.optimizer_.state_dict()["state"][0]
    assert any(
        value.shape == (2, 6) and np.array_equal(value, state["exp_avg"].numpy())
        for value in weights.values()
    )
    for path in tmp_path.glob("member-*.pkl"):
        assert state["exp_avg"].numpy().tobytes() not in path.read_bytes()


def test_fine_tuned_transformers_come_back_with_their_optimizers(tmp_path):
    transformers = pytest.importorskip("transformers")
    from sklearn_fairsisa.text import TransformerClassifier

    config = transformers.BertConfig(
        vocab_size=200, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=32,
    )  # fmt: skip
    texts = [f"a {'good' if i % 2 else 'bad'} day {i % 7}" for i in range(24)]
    learner = TransformerClassifier(config, max_length=16)
    memory = make_sisa(None, learner, n_shards=2, epochs=3)
    memory.fit(texts, np.arange(24) % 2)
    make_sisa(tmp_path, learner, n_shards=2, epochs=3).fit(texts, np.arange(24) % 2)
    reopened = SISAClassifier.load(tmp_path)
    assert checkpoint_digests(reopened) == checkpoint_digests(memory)
    assert digests(reopened.forget([1, 2])) == digests(memory.forget([1, 2]))
    assert len(list(tmp_path.glob("member-*.safetensors"))) == 4


def test_a_directory_may_be_moved_and_leaves_the_parameters_alone(tmp_path):
    sisa = make_sisa(tmp_path / "a").fit(X, y)
    assert clone(sisa).checkpoint_dir == tmp_path / "a"
    shutil.move(tmp_path / "a", tmp_path / "b")
    moved = SISAClassifier.load(tmp_path / "b")
    assert moved.checkpoint_dir == tmp_path / "b"
    assert moved.forget([1]).verify_forgotten()


def test_empty_shards_come_back_empty(tmp_path):
    sisa = make_sisa(tmp_path).fit(X, y)
    with pytest.warns(UserWarning, match="no rows"):
        sisa.forget(sisa.plan_.rows(1))
    reopened = SISAClassifier.load(tmp_path)
    assert reopened.estimators_[1] is None
    np.testing.assert_array_equal(reopened.transform(X), sisa.transform(X))


def test_forgetting_writes_only_what_it_touches(tmp_path):
    sisa = make_sisa(tmp_path, n_slices=3).fit(X, y)
    before = {path.name for path in tmp_path.iterdir()}
    row = sisa.plan_.rows(1, 1)[0]
    sisa.forget(row)
    new = {path.name for path in tmp_path.iterdir()} - before
    kinds = sorted(name.rsplit("-", 1)[0] for name in new if "-" in name)
    assert kinds == [
        "member-s001-r001", "member-s001-r002", "rows-s001-r001", "shard-s001",
        "state",
    ]  # fmt: skip


# Policies


@pytest.mark.parametrize("durable", [False, True])
def test_fewer_checkpoints_cost_replay_and_change_no_bit(tmp_path, durable):
    policy = CheckpointPolicy(tmp_path if durable else None, keep_every=2)
    full = make_sisa(n_slices=4, epochs=5).fit(X, y)
    thin = make_sisa(policy, n_slices=4, epochs=5).fit(X, y)
    assert thin.checkpoint_bytes_ < full.checkpoint_bytes_
    rows = [full.plan_.rows(0, 3)[0], full.plan_.rows(1, 1)[0]]
    for row in rows:
        expected = thin.expected_cost(row)
        full.forget(row)
        thin.forget(row)
        assert digests(full) == digests(thin)
        assert thin.forget_log_[-1].sample_visits == expected["sample_visits"]
        assert thin.forget_log_[-1].sample_visits >= full.forget_log_[-1].sample_visits
    # Stage 2 of a shard has no checkpoint before it to start from.
    assert thin.forget_log_[-1].sample_visits > full.forget_log_[-1].sample_visits
    if durable:
        reopened = SISAClassifier.load(tmp_path)
        assert reopened.checkpoint_dir == policy
        assert digests(reopened.forget(0)) == digests(full.forget(0))


@pytest.mark.parametrize("keep_every", [1, 2, 3, 4])
def test_memory_and_directory_keep_the_same_stages(tmp_path, keep_every):
    kept = []
    for directory in (None, tmp_path):
        policy = CheckpointPolicy(directory, keep_every)
        sisa = make_sisa(policy, GaussianNB(), n_slices=12)
        row = sisa.fit(X, y).plan_.rows(1, 10)[0]
        stages = [kept_stages(sisa)]
        for _ in range(3):
            sisa.partial_fit(X[:5], y[:5])
        stages.append(kept_stages(sisa))
        sisa.forget(row)
        stages.append(kept_stages(sisa))
        kept.append(stages)
    assert kept[0] == kept[1]
    every = [stage for stage in range(12) if (stage + 1) % keep_every == 0]
    assert kept[0][0] == [every] * 3


def test_impossible_policies_are_refused():
    with pytest.raises(ValueError, match="keep_every"):
        CheckpointPolicy(keep_every=0)


# Who may open


@contextmanager
def held_by_another_process(directory, seconds=None):
    """Hold a directory in another process, to the end of the block or for a time."""
    code = (
        "import sys, time; from pathlib import Path\n"
        "from sklearn_fairsisa.sisa.store.disk import Folder\n"
        "with Folder(Path(sys.argv[1])).lock(0):\n"
        "    print(1, flush=True)\n"
        "    time.sleep(float(sys.argv[2])) if sys.argv[2] else sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(directory), str(seconds or "")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        holder.stdout.readline()
        yield
    finally:
        holder.communicate()


def test_another_process_is_waited_for_until_the_timeout(tmp_path):
    make_sisa(tmp_path).fit(X, y)
    sisa = SISAClassifier.load(CheckpointPolicy(tmp_path, timeout=0.2))
    before, on_disk = digests(sisa), (tmp_path / "manifest.json").read_bytes()
    with held_by_another_process(tmp_path):
        for call in (
            lambda: sisa.forget(1),
            lambda: sisa.relearn(),
            lambda: sisa.partial_fit(X, y),
            lambda: sisa.fit(X, y),
            lambda: SISAClassifier.load(sisa.checkpoint_dir, resign=True),
        ):
            with pytest.raises(LockedDirectoryError, match="at work in"):
                call()
        # Readers wait for nobody.
        assert digests(SISAClassifier.load(tmp_path)) == before
        assert open_directory(tmp_path).status()["rows"] == 90
    assert digests(sisa) == before
    assert (tmp_path / "manifest.json").read_bytes() == on_disk
    assert sisa.forget(1).verify_forgotten()  # the lock died with the process


def test_a_change_goes_on_once_another_process_has_finished(tmp_path):
    sisa = make_sisa(tmp_path).fit(X, y)
    with held_by_another_process(tmp_path, seconds=0.5):
        assert list(sisa.forget(1).forgotten_) == [1]
    assert list(SISAClassifier.load(tmp_path).forgotten_) == [1]


def test_an_estimator_that_fell_behind_catches_up(tmp_path):
    sisa = make_sisa(tmp_path).fit(X[:80], y[:80])
    copied = pickle.loads(pickle.dumps(sisa))
    sisa.forget(1).partial_fit(X[80:], y[80:])
    copied.forget(2)
    assert list(copied.forgotten_) == [1, 2]
    assert [report.rows for report in copied.forget_log_] == [(1,), (2,)]
    assert copied.n_rows_ == 88
    expected = make_sisa().fit(X[:80], y[:80]).forget(1)
    expected.partial_fit(X[80:], y[80:]).forget(2)
    assert digests(copied) == digests(expected)
    assert digests(SISAClassifier.load(tmp_path)) == digests(copied)
    assert sisa.forget([1, 2]).n_rows_ == 88
    assert digests(sisa) == digests(copied)


def test_what_needs_rows_reads_them_as_the_directory_now_has_them(tmp_path):
    fitted = make_sisa(tmp_path).fit(X, y)
    first, second, third = np.flatnonzero(fitted.plan_.shards == 0)[:3]
    fitted.forget(first, relearn=False)
    behind, cost, verified, added = (SISAClassifier.load(tmp_path) for _ in range(4))
    other = SISAClassifier.load(tmp_path).forget(second, relearn=False)
    assert behind.behind_.equals(other.behind_)
    assert cost.expected_cost(third) == other.expected_cost(third)
    assert verified.verify_forgotten().digests == other.verify_forgotten().digests
    # They read, and changed nothing of their own.
    assert len(behind.forgotten_) == len(verified.forgotten_) == 1
    added.partial_fit(X[:9], y[:9])
    assert list(added.forgotten_) == [first, second]
    assert added.n_rows_ == 97


class Watched(GaussianNB):
    """Notes the rows that it is trained on, and lets others act at that time."""

    trained, meanwhile = [], []

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        super().partial_fit(X, y, classes, sample_weight)
        self.trained.append(len(X))
        if self.meanwhile:
            self.meanwhile.pop()()
        return self


def test_a_batch_is_trained_again_only_where_rows_changed_meanwhile(tmp_path):
    sisa = make_sisa(tmp_path, Watched(), n_shards=9).fit(X, y)
    shard = sisa.plan_.shards[1]
    elsewhere = SISAClassifier.load(tmp_path)
    Watched.trained.clear()
    # In a shard of the batch, since each of nine rows goes to another one.
    Watched.meanwhile.append(lambda: elsewhere.forget(1, relearn=False))
    sisa.partial_fit(X[:9], y[:9])
    assert len(store_of(sisa).progress(shard).checkpoints) == 3
    assert len(Watched.trained) <= 9 + 3
    expected = (
        make_sisa(None, Watched(), n_shards=9).fit(X, y).partial_fit(X[:9], y[:9])
    )
    assert digests(sisa) == digests(expected.forget(1))


def test_an_estimator_whose_directory_was_fitted_anew_is_refused(tmp_path):
    sisa = make_sisa(tmp_path).fit(X, y)
    copied = pickle.loads(pickle.dumps(sisa))
    sisa.fit(X[:50], y[:50])
    before = bytes_in(tmp_path)
    for call in (
        lambda: copied.forget(2),
        lambda: copied.relearn(),
        lambda: copied.partial_fit(X, y),
    ):
        with pytest.raises(ChangedDirectoryError, match=r"Open it with"):
            call()
    assert list(copied.forgotten_) == []
    assert bytes_in(tmp_path) == before


@pytest.mark.parametrize("then", ["nothing", "a deletion"])
def test_a_backup_restored_under_a_live_estimator_is_refused(tmp_path, then):
    directory, backup = tmp_path / "d", tmp_path / "backup"
    live = make_sisa(directory).fit(X, y)
    shutil.copytree(directory, backup)
    live.forget([1])
    shutil.rmtree(directory)
    shutil.copytree(backup, directory)
    if then == "a deletion":
        SISAClassifier.load(directory).forget([2])
    before, members = bytes_in(directory), digests(live)
    for call in (
        lambda: live.forget([3]),
        lambda: live.relearn(),
        lambda: live.partial_fit(X, y),
        lambda: live.fit(X, y),
    ):
        with pytest.raises(ChangedDirectoryError, match="restored from a backup"):
            call()
    # Neither does the estimator take row 1 back, nor is the directory changed.
    assert list(live.forgotten_) == [1]
    assert digests(live) == members
    assert bytes_in(directory) == before
    found = SISAClassifier.load(directory)
    gone = [] if then == "nothing" else [2]
    assert list(found.forgotten_) == gone
    again = found.forget([1])
    assert X[1].tobytes() not in bytes_in(directory)
    assert digests(again) == digests(make_sisa().fit(X, y).forget([1, *gone]))


def forget_an_unknown_row(sisa):
    with pytest.raises(ValueError, match="unknown"):
        sisa.forget([1000])


OTHER_CHANGES = {
    "a deletion": lambda sisa: sisa.forget([7]),
    "nothing to do": lambda sisa: sisa.relearn(),
    "a bad request": forget_an_unknown_row,
    "a batch": lambda sisa: sisa.partial_fit(X[80:], y[80:]),
}


class Disturbed:
    """Writes new files; after some of them, somebody deletes the lock and goes ahead.

    Parameters
    ----------
    place : int
        Number of the file after which it happens.
    directory : Path
    change : function
        What somebody else does to the directory then.
    """

    def __init__(self, place, directory, change):
        self.place, self.directory, self.change = place, directory, change
        self.calls, self.done = 0, False
        self.write_new = disk.Folder.write_new

    def __call__(self, folder, name, data):
        self.write_new(folder, name, data)
        self.calls += 1
        if self.calls == self.place:
            # A second process would get the lock now, as this thread does.
            os.unlink(self.directory / "lock")
            try:
                self.change(SISAClassifier.load(self.directory))
            except DirectoryError:
                return
            self.done = True


@pytest.mark.parametrize("other", OTHER_CHANGES)
def test_a_lock_deleted_during_a_change_ruins_nothing(tmp_path, monkeypatch, other):
    directory, template = tmp_path / "d", tmp_path / "before"
    params = {"n_shards": 2, "estimator": GaussianNB()}
    monkeypatch.setattr(disk.os, "fsync", lambda fd: None)  # for speed
    fitted = make_sisa(directory, **params).fit(X[:80], y[:80])
    shutil.copytree(directory, template)
    place, refused, disturbed = 0, 0, True
    while disturbed:
        place += 1
        shutil.rmtree(directory)
        shutil.copytree(template, directory)
        sisa, write_new = (
            copy.deepcopy(fitted),
            Disturbed(place, directory, OTHER_CHANGES[other]),
        )
        acknowledged = False
        with monkeypatch.context() as patch:
            patch.setattr(disk.Folder, "write_new", partialmethod(write_new))
            try:
                sisa.forget([3])
                acknowledged = True
            except DirectoryError as error:
                refused += 1
                told = " ".join(error.__notes__)
        disturbed = write_new.calls >= place
        found = SISAClassifier.load(directory)
        forgotten = set(found.forgotten_.tolist())
        # What is acknowledged is done, and nothing else than what was asked for.
        assert (3 in forgotten) or not acknowledged
        assert acknowledged or ("are erased" in told) == (3 in forgotten)
        assert (7 in forgotten) == (write_new.done and other == "a deletion")
        n_rows = 90 if write_new.done and other == "a batch" else 80
        assert found.plan_.n_rows == n_rows
        assert forgotten <= {3, 7}
        expected = make_sisa(None, **params).fit(X[:80], y[:80])
        if n_rows == 90:
            expected.partial_fit(X[80:], y[80:])
        assert digests(found.relearn()) == digests(expected.forget(sorted(forgotten)))
        assert not any(X[row].tobytes() in bytes_in(directory) for row in forgotten)
    assert place > 5
    assert refused > 0


def test_a_fit_does_not_overwrite_another_ensemble(tmp_path):
    sisa = make_sisa(tmp_path).fit(X, y)
    with pytest.raises(DirectoryError, match="holds a fitted ensemble already") as told:
        make_sisa(tmp_path).fit(X, y)
    assert "Clones, such as those of a search or of cross-valid" in str(told.value)
    sisa.forget(1)
    sisa.fit(X[:50], y[:50])  # its own may be replaced
    assert SISAClassifier.load(tmp_path).n_rows_ == 50
    assert kinds(sisa) == ["fit", "forget", "relearn", "fit"]


def test_there_must_be_something_to_open(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no ensemble"):
        SISAClassifier.load(tmp_path)


def test_files_signed_with_another_key_run_no_code(tmp_path, monkeypatch):
    sisa = make_sisa(tmp_path).fit(X, y)
    monkeypatch.setenv("SKLEARN_FAIRSISA_KEY", "another")
    monkeypatch.setattr(pickle, "Unpickler", None)
    with pytest.raises(SignatureError, match="signed with the key"):
        SISAClassifier.load(tmp_path)
    monkeypatch.undo()
    monkeypatch.setenv("SKLEARN_FAIRSISA_KEY", "another")
    assert digests(SISAClassifier.load(tmp_path, resign=True)) == digests(sisa)
    assert digests(SISAClassifier.load(tmp_path)) == digests(sisa)


def test_an_attacker_without_the_key_cannot_plant_a_pickle(tmp_path):
    make_sisa(tmp_path).fit(X, y)
    path = tmp_path / "manifest.json"
    manifest = json.loads(path.read_text())
    (listed,) = manifest["current"]["state"]
    bomb = pickle.dumps(_Bomb())
    (tmp_path / listed[0]).write_bytes(bomb)
    with pytest.raises(DamagedDirectoryError, match="the state of the ensemble"):
        SISAClassifier.load(tmp_path)
    import hashlib

    sha = hashlib.sha256(bomb).hexdigest()
    listed[1:] = len(bomb), sha
    path.write_text(json.dumps(manifest))
    with pytest.raises(SignatureError, match="altered since it was signed"):
        SISAClassifier.load(tmp_path)


class _Bomb:
    def __reduce__(self):
        return _explode, ()


def _explode():
    raise AssertionError("code of an attacker was run")


def test_a_key_is_made_once_and_kept_from_others(tmp_path, monkeypatch):
    from sklearn_fairsisa.sisa.store.signing import signing_key

    monkeypatch.delenv("SKLEARN_FAIRSISA_KEY")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    key = signing_key()
    assert signing_key() == key
    (path,) = (tmp_path / "sklearn-fairsisa").iterdir()
    assert path.stat().st_mode & 0o077 == 0
    assert len(key) == 64


# Damage


@pytest.mark.parametrize("kind", ["rows", "member", "plan", "state"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "delete"])
def test_damaged_files_are_named(tmp_path, kind, damage):
    sisa = make_sisa(tmp_path).fit(X, y)
    places = {"rows": "-s002-r001", "member": "-s002-r001"}
    (path,) = tmp_path.glob(f"{kind}{places.get(kind, '')}-*")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    if damage == "delete":
        path.unlink()
    else:
        path.write_bytes(data if damage == "flip" else data[:-7])
    named = "shard 2, slice 1" if kind in places else f"the {kind}"
    row = sisa.plan_.rows(2, 1)[0]
    with pytest.raises(DamagedDirectoryError, match=named):
        # Rows are read when they are needed.
        SISAClassifier.load(tmp_path).forget(row)


def test_a_file_damaged_while_an_ensemble_is_open_stops_the_replay(tmp_path):
    sisa = make_sisa(tmp_path).fit(X, y)
    (path,) = tmp_path.glob("member-s000-r000-*")
    path.write_bytes(path.read_bytes()[:-1])
    before = digests(sisa)
    row = sisa.plan_.rows(0, 1)[0]
    with pytest.raises(DamagedDirectoryError, match="shard 0, slice 0"):
        sisa.forget(row)
    assert digests(sisa) == before


@pytest.mark.parametrize("damage", ["alter", "remove", "append"])
def test_an_altered_log_is_detected(tmp_path, damage):
    sisa = make_sisa(tmp_path).fit(X, y).forget(1).forget(2)
    path = tmp_path / "audit.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    if damage == "alter":
        lines[1] = lines[1].replace('"n_forgotten": 1', '"n_forgotten": 0')
    elif damage == "remove":
        del lines[1]
    else:
        lines.append(lines[-1])
    path.write_text("".join(lines))
    with pytest.raises(DamagedDirectoryError, match="audit"):
        SISAClassifier.load(tmp_path)
    del sisa


class FullDisk:
    """The module os on a disk that is full from some call on, but can be emptied.

    Parameters
    ----------
    room : int
        Number of calls that need room before the disk is full.
    """

    def __init__(self, room):
        self.room, self.calls = room, 0

    def __getattr__(self, name):
        return getattr(os, name)

    def _need_room(self):
        self.calls += 1
        if self.calls > self.room:
            raise OSError(errno.ENOSPC, "no room")

    def open(self, path, flags, mode=0o777):
        if flags & os.O_WRONLY:
            self._need_room()
        return os.open(path, flags, mode)

    def write(self, fd, data):
        self._need_room()
        return os.write(fd, data)

    def fsync(self, fd):
        self._need_room()

    def replace(self, source, target):
        self._need_room()
        return os.replace(source, target)


def states_of_forgetting(rows, **params):
    """Return the states that a deletion from all shards goes through, as digests."""
    sisa = make_sisa(None, **params).fit(X[:70], y[:70])
    states = [digests(sisa)]
    sisa.forget(rows, relearn=False)
    states.append(digests(sisa))
    for shard in sisa.behind_["shard"]:
        states.append(digests(sisa.relearn(shards=[shard])))
    return states


@pytest.mark.parametrize("kind", ["fit", "partial_fit", "forget", "relearn"])
def test_a_full_disk_loses_nothing(tmp_path, monkeypatch, kind):
    operation = {
        "fit": lambda sisa: sisa.fit(X[:60], y[:60]),
        "partial_fit": lambda sisa: sisa.partial_fit(X[60:], y[60:]),
        "forget": lambda sisa: sisa.forget([3, 5]),
        "relearn": lambda sisa: sisa.relearn(),
    }[kind]
    directory, template = tmp_path / "d", tmp_path / "before"
    monkeypatch.setattr(disk.os, "fsync", lambda fd: None)  # for speed
    params = {"n_shards": 2, "estimator": GaussianNB()}
    fitted = make_sisa(directory, **params).fit(X[:70], y[:70])
    assert fitted.plan_.shard_of([3, 5]).tolist() == [1, 0]
    states = states_of_forgetting([3, 5], **params)
    if kind == "relearn":
        fitted.forget([3, 5], relearn=False)
        states = states[1:]
    elif kind != "forget":
        after = operation(make_sisa(None, **params).fit(X[:70], y[:70]))
        states = [digests(fitted), digests(after)]
    shutil.copytree(directory, template)
    failures, found_states = 0, []
    while True:
        shutil.rmtree(directory)
        shutil.copytree(template, directory)
        sisa = copy.deepcopy(fitted)
        with monkeypatch.context() as patch:
            patch.setattr(disk, "os", FullDisk(room=failures))
            try:
                operation(sisa)
                break
            except OSError as error:
                told = " ".join(getattr(error, "__notes__", ()))
        failures += 1
        reopened = SISAClassifier.load(directory)
        found = digests(reopened)
        found_states.append(states.index(found))
        assert digests(sisa) in states
        # The error says what became of the request.
        erased = list(reopened.forgotten_) == [3, 5]
        if kind == "forget":
            assert ("do not repeat the call" in told) == erased
            assert erased or "Nothing of it was done" in told
            assert erased or found == states[0]
        elif kind != "relearn":
            assert ("do not repeat the call" in told) == (found == states[-1])
            assert found == states[-1] or "Nothing of it was done" in told
        if erased:
            assert reopened.verify_forgotten()
            # The live estimator and a new one both finish what is behind.
            assert digests(sisa.relearn()) == states[-1]
            assert digests(reopened.relearn()) == states[-1]
            data = bytes_in(directory)
            assert not any(X[row].tobytes() in data for row in (3, 5))
        reopened.forget(1)
        assert store_of(reopened).stale_files() == []
        assert digests(SISAClassifier.load(directory)) == digests(reopened)
    assert failures > (20 if kind != "relearn" else 10)
    assert digests(sisa) == states[-1]
    # All states were met, the longer the disk had room the later ones.
    assert found_states == sorted(found_states)
    assert set(found_states) == set(range(len(states)))


def test_a_read_only_directory_can_be_read_and_refuses_changes(tmp_path, monkeypatch):
    sisa = make_sisa(tmp_path).fit(X, y)

    def open_to_read(path, flags, mode=0o777):
        if flags & (disk.os.O_WRONLY | disk.os.O_RDWR):
            raise OSError(errno.EROFS, "read-only file system", str(path))
        return opened(path, flags, mode)

    opened = disk.os.open
    monkeypatch.setattr(disk.os, "open", open_to_read)
    reopened = SISAClassifier.load(tmp_path)
    assert digests(reopened) == digests(sisa)
    before = digests(reopened)
    with pytest.raises(OSError, match="read-only file system"):
        reopened.forget(1)
    assert digests(reopened) == before


def test_a_file_that_cannot_be_deleted_is_not_passed_over(tmp_path, monkeypatch):
    sisa = make_sisa(tmp_path).fit(X, y)

    def refuse(path):
        os.stat(path)
        raise PermissionError(errno.EPERM, "not allowed", str(path))

    row = sisa.plan_.rows(0, 0)[0]
    with monkeypatch.context() as patch:
        patch.setattr(disk.os, "unlink", refuse)
        with pytest.raises(PermissionError, match="not allowed") as caught:
            sisa.forget(row)
        assert store_of(sisa).stale_files()
    told = " ".join(caught.value.__notes__)
    assert "The change itself is done" in told
    assert "do not repeat the call" in told
    assert list(sisa.forgotten_) == [row]
    assert "The rows are erased" in told
    sisa.forget(row)
    assert store_of(sisa).stale_files() == []
    assert X[row].tobytes() not in bytes_in(tmp_path)
    assert digests(sisa.relearn()) == digests(make_sisa().fit(X, y).forget(row))


# Failures and interrupts


class Fragile(GaussianNB):
    raises = None

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        if Fragile.raises and len(y) < 30:
            raise Fragile.raises
        return super().partial_fit(X, y, classes, sample_weight)


class Refusing(GaussianNB):
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        raise RuntimeError("never")


@pytest.fixture
def breaking():
    yield
    Fragile.raises = None


def failing(sisa, change, error):
    """Make a change fail while it trains, and return what it raised."""
    Fragile.raises = error
    with pytest.raises(type(error)) as raised:
        change(sisa)
    Fragile.raises = None
    return raised.value


def forget_while_failing(sisa, rows, error):
    """Forget rows while training fails."""
    Fragile.raises = error
    if isinstance(error, RuntimeError):
        with pytest.warns(UntrainedShardWarning, match="RuntimeError: broken"):
            sisa.forget(rows)
    else:
        with pytest.raises(type(error)) as raised:
            sisa.forget(rows)
        assert "are erased: do not repeat the call" in " ".join(raised.value.__notes__)
    Fragile.raises = None


ERRORS = [RuntimeError("broken"), KeyboardInterrupt(), MemoryError()]


@pytest.mark.usefixtures("breaking")
@pytest.mark.parametrize("error", ERRORS)
def test_a_deletion_whose_training_fails_is_done_and_learns_later(tmp_path, error):
    sisa = make_sisa(tmp_path, Fragile()).fit(X, y)
    forget_while_failing(sisa, [1, 2], error)
    for left in (sisa, SISAClassifier.load(tmp_path)):
        assert list(left.forgotten_) == [1, 2]
        assert set(left.behind_["shard"]) == set(left.plan_.shard_of([1, 2]))
        assert left.verify_forgotten()
    data = bytes_in(tmp_path)
    assert not any(X[row].tobytes() in data for row in (1, 2))
    reopened = SISAClassifier.load(tmp_path).relearn()
    expected = make_sisa(None, Fragile()).fit(X, y).forget([1, 2])
    assert digests(reopened) == digests(expected)
    assert reopened.verify_forgotten()
    # The estimator whose call failed goes on from there.
    assert list(sisa.forget([3]).forgotten_) == [1, 2, 3]
    assert digests(sisa) == digests(expected.forget([3]))


@pytest.mark.usefixtures("breaking")
@pytest.mark.parametrize("error", ERRORS)
def test_every_deletion_whose_training_fails_counts(tmp_path, error):
    sisa = make_sisa(tmp_path, Fragile()).fit(X, y)
    for row in (3, 14, 15):
        forget_while_failing(sisa, row, error)
        assert row in SISAClassifier.load(tmp_path).forgotten_
        assert X[row].tobytes() not in bytes_in(tmp_path)
    assert [report.rows for report in sisa.forget_log_] == [(3,), (14,), (15,)]
    assert kinds(sisa).count("forget") == 3
    reopened = SISAClassifier.load(tmp_path).relearn()
    assert digests(reopened) == digests(
        make_sisa(None, Fragile()).fit(X, y).forget([3, 14, 15])
    )


@pytest.mark.usefixtures("breaking")
@pytest.mark.parametrize("error", ERRORS)
def test_the_next_deletion_does_not_lose_one_whose_training_failed(tmp_path, error):
    sisa = make_sisa(tmp_path, Fragile()).fit(X, y)
    forget_while_failing(sisa, [1, 2], error)
    assert list(sisa.forget([5]).forgotten_) == [1, 2, 5]
    assert [report.rows for report in sisa.forget_log_] == [(1, 2), (5,)]
    assert sisa.verify_forgotten()
    sisa.relearn()
    assert digests(sisa) == digests(
        make_sisa(None, Fragile()).fit(X, y).forget([1, 2, 5])
    )
    reopened = SISAClassifier.load(tmp_path)
    assert digests(reopened) == digests(sisa)
    deletions = [e for e in log_of(reopened).entries if e["kind"] == "forget"]
    assert [e["n_forgotten"] for e in deletions] == [2, 1]
    # Whoever relearns for a deletion says for which.
    numbers = {e["entry"] for e in deletions}
    relearnt = [e for e in log_of(reopened).entries if e["kind"] == "relearn"]
    assert {e["request"] for e in relearnt} <= numbers | {None}
    assert deletions[1]["entry"] in {e["request"] for e in relearnt}


@pytest.mark.usefixtures("breaking")
@pytest.mark.parametrize("reopened", [False, True])
@pytest.mark.parametrize("fails", ["interrupted", "failing", "nothing"])
def test_a_fit_does_not_lose_a_deletion_that_is_behind(tmp_path, fails, reopened):
    sisa = make_sisa(tmp_path, Fragile()).fit(X, y)
    forget_while_failing(sisa, [1, 2], RuntimeError("broken"))
    if reopened:
        sisa = SISAClassifier.load(tmp_path)
    others = X[10:70], y[10:70]
    logged = kinds(sisa)
    if fails == "nothing":
        sisa.fit(*others)
    else:
        error = KeyboardInterrupt() if fails == "interrupted" else RuntimeError("again")
        raised = failing(sisa, lambda sisa: sisa.fit(*others), error)
        assert "Nothing of it was done" in raised.__notes__[0]
        assert list(sisa.forgotten_) == [1, 2]
    found = SISAClassifier.load(tmp_path)
    data = bytes_in(tmp_path)
    assert not any(X[row].tobytes() in data for row in (1, 2))
    if fails == "nothing":
        assert kinds(found) == [*logged, "fit"]
        assert digests(found) == digests(make_sisa(None, Fragile()).fit(*others))
    else:
        assert kinds(found) == logged
        assert digests(found) == digests(sisa)
        assert digests(found.relearn()) == digests(
            make_sisa(None, Fragile()).fit(X, y).forget([1, 2])
        )
        assert found.verify_forgotten()


@pytest.mark.usefixtures("breaking")
@pytest.mark.parametrize("error", ERRORS)
def test_a_batch_whose_training_fails_is_not_added_and_may_be_given_again(
    tmp_path, error
):
    sisa = make_sisa(tmp_path, Fragile()).fit(X[:60], y[:60])
    before, on_disk = digests(sisa), bytes_in(tmp_path)
    batch = X[60:], y[60:]
    for _ in range(2):
        failing(sisa, lambda sisa: sisa.partial_fit(*batch), error)
        assert digests(sisa) == digests(SISAClassifier.load(tmp_path)) == before
        assert bytes_in(tmp_path) == on_disk
    sisa.set_params(estimator=Refusing())
    with pytest.raises(RuntimeError, match="never"):
        sisa.fit(X[:60], y[:60])
    found = SISAClassifier.load(tmp_path)
    assert found.n_rows_ == 60
    assert digests(found) == before
    assert list(found.partial_fit(*batch).forget([1]).forgotten_) == [1]
    expected = make_sisa(None, Fragile()).fit(X[:60], y[:60]).partial_fit(*batch)
    assert digests(found) == digests(expected.forget([1]))


@pytest.mark.usefixtures("breaking")
def test_a_fit_replaces_one_that_was_interrupted(tmp_path):
    sisa = make_sisa(tmp_path, Fragile())
    change = failing(sisa, lambda sisa: sisa.fit(X[20:], y[20:]), KeyboardInterrupt())
    assert "relearn() finishes it" in change.__notes__[0]
    assert "another fit replaces it" in change.__notes__[0]
    assert SISAClassifier.load(tmp_path).n_rows_ == 70
    other = make_sisa(tmp_path, Fragile()).fit(X[:50], y[:50])
    found = SISAClassifier.load(tmp_path)
    assert digests(found) == digests(other)
    assert kinds(found) == ["fit"]
    data = bytes_in(tmp_path)
    assert not any(row.tobytes() in data for row in X[50:])


@pytest.mark.usefixtures("breaking")
def test_a_fit_over_an_ensemble_that_was_interrupted_leaves_it(tmp_path):
    sisa = make_sisa(tmp_path, Fragile()).fit(X, y)
    before = digests(sisa)
    change = failing(sisa, lambda sisa: sisa.fit(X[:80], y[:80]), KeyboardInterrupt())
    assert "Nothing of it was done" in change.__notes__[0]
    assert digests(SISAClassifier.load(tmp_path)) == digests(sisa) == before
    assert sisa.fit(X[:70], y[:70]).n_rows_ == 70
    assert kinds(SISAClassifier.load(tmp_path)) == ["fit", "fit"]


@pytest.mark.usefixtures("breaking")
def test_an_estimator_of_an_unfinished_fit_is_refused_after_another(tmp_path):
    first = make_sisa(tmp_path, Fragile())
    failing(first, lambda sisa: sisa.fit(X, y), KeyboardInterrupt())
    left = SISAClassifier.load(tmp_path)
    failing(first, lambda sisa: sisa.fit(X[::-1], y[::-1]), KeyboardInterrupt())
    # Row 3 of the one fit is not that of the other.
    with pytest.raises(ChangedDirectoryError):
        left.forget([3])
    assert SISAClassifier.load(tmp_path).n_rows_ == 90


@pytest.mark.usefixtures("breaking")
def test_rows_of_an_unfinished_fit_can_be_forgotten(tmp_path):
    failing(
        make_sisa(tmp_path, Fragile()), lambda sisa: sisa.fit(X, y), KeyboardInterrupt()
    )
    left = SISAClassifier.load(tmp_path)
    assert set(left.behind_["reason"]) == {"interrupted"}
    with pytest.raises(ValueError, match=r"relearn\(\)"):
        left.predict(X)
    left.forget([3], relearn=False)
    assert X[3].tobytes() not in bytes_in(tmp_path)
    found = SISAClassifier.load(tmp_path).relearn()
    assert len(found.behind_) == 0
    assert digests(found) == digests(make_sisa(None, Fragile()).fit(X, y).forget([3]))


def test_pickles_hold_no_key(tmp_path):
    sisa = make_sisa(tmp_path).fit(X, y)
    assert b"a key for tests" not in pickle.dumps(sisa)
    assert pickle.loads(pickle.dumps(sisa)).forget(1).verify_forgotten()


def test_an_empty_key_signs_nothing(tmp_path, monkeypatch):
    monkeypatch.delenv("SKLEARN_FAIRSISA_KEY")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "sklearn-fairsisa").mkdir()
    (tmp_path / "sklearn-fairsisa" / "key").touch()
    with pytest.raises(OSError, match="is empty"):
        make_sisa(tmp_path / "d").fit(X, y)


@pytest.mark.parametrize("name", ["manifest.json", "audit.jsonl"])
def test_a_flipped_bit_anywhere_is_detected(tmp_path, name):
    make_sisa(tmp_path, GaussianNB(), n_shards=1).fit(X, y).forget(1).forget(2)
    path = tmp_path / name
    data = path.read_bytes()
    places = np.random.default_rng(0).choice(8 * len(data), 60, replace=False)
    for place in places.tolist():
        damaged = bytearray(data)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(DirectoryError, match=str(tmp_path)):
            SISAClassifier.load(tmp_path)


def test_a_manifest_of_the_same_meaning_in_other_bytes_is_detected(tmp_path):
    make_sisa(tmp_path, GaussianNB(), n_shards=1).fit(X, y)
    path = tmp_path / "manifest.json"
    same = re.sub(rb'"seconds": [0-9.]+', rb"\g<0>0", path.read_bytes())
    assert json.loads(same) == json.loads(path.read_bytes())
    path.write_bytes(same)
    with pytest.raises(SignatureError, match="altered since it was signed"):
        SISAClassifier.load(tmp_path)


@pytest.mark.parametrize("when", ["check_files", "params", "audit_log", "members"])
def test_loading_during_a_change_reads_one_instant(tmp_path, monkeypatch, when):
    other = make_sisa(tmp_path).fit(X, y)
    before = digests(other)
    real = getattr(DirectoryStore, when)
    changed = []

    def change_first(store, *args, **kwargs):
        if not changed:
            changed.append(True)
            other.forget([1, 2, 3])
        return real(store, *args, **kwargs)

    monkeypatch.setattr(DirectoryStore, when, change_first)
    found = SISAClassifier.load(tmp_path)
    monkeypatch.undo()
    monkeypatch.setenv("SKLEARN_FAIRSISA_KEY", "a key for tests")
    whole = {(): before, (1, 2, 3): digests(other)}
    assert digests(found) == whole[tuple(found.forgotten_.tolist())]
    assert found.n_rows_ == 90 - len(found.forgotten_)
    assert len(found.forget_log_) == (len(found.forgotten_) > 0)
    # It goes on from what the directory has by now.
    assert list(found.forget([5]).forgotten_) == [1, 2, 3, 5]
    assert found.verify_forgotten()


def test_a_fit_cleans_up_after_one_that_was_killed_early(tmp_path):
    torn = tmp_path / f"rows-s000-r000-{'0' * 16}.pkl"
    torn.write_bytes(b"torn")
    foreign = tmp_path / "notes.txt"
    foreign.write_text("keep me")
    assert make_sisa(tmp_path).fit(X, y).forget(1).verify_forgotten()
    assert not torn.exists()
    assert foreign.exists()


@pytest.mark.usefixtures("breaking")
def test_a_failed_fit_leaves_nothing_and_an_interrupted_one_goes_on(tmp_path):
    Fragile.raises = RuntimeError("broken")
    with pytest.raises(RuntimeError):
        make_sisa(tmp_path, Fragile()).fit(X, y)
    with pytest.raises(FileNotFoundError):
        SISAClassifier.load(tmp_path)
    assert not list(tmp_path.glob("rows-*"))
    for error in (KeyboardInterrupt(), SystemExit()):
        Fragile.raises = error
        with pytest.raises(type(error)):
            make_sisa(tmp_path, Fragile()).fit(X, y)
    Fragile.raises = None
    left = SISAClassifier.load(tmp_path)
    assert left.behind_["shard"].tolist() == [0, 1, 2]
    finished = left.relearn()
    assert len(finished.behind_) == 0
    assert digests(SISAClassifier.load(tmp_path)) == digests(finished)
    assert digests(finished) == digests(make_sisa(None, Fragile()).fit(X, y))


def test_a_resumed_fit_trains_only_the_shards_that_are_left(tmp_path, monkeypatch):
    from sklearn_fairsisa.sisa import _workers

    trained = []

    def train_shards(recipe, tasks, **kwargs):
        trained.extend(task.shard for task in tasks)
        if len(trained) == 3:
            raise KeyboardInterrupt
        return real(recipe, tasks, **kwargs)

    real = _workers.train_shards
    monkeypatch.setattr(_workers, "train_shards", train_shards)
    with pytest.raises(KeyboardInterrupt):
        make_sisa(tmp_path).fit(X, y)
    left = SISAClassifier.load(tmp_path)
    assert trained == [0, 1, 2]  # loading trains nothing
    assert left.behind_["shard"].tolist() == [2]
    (visits,) = left.behind_["sample_visits"]
    sisa = left.relearn()
    assert trained == [0, 1, 2, 2]
    assert digests(sisa) == digests(make_sisa().fit(X, y))
    assert log_of(sisa).entries[0]["sample_visits"] == visits
    assert visits < sisa.full_sample_visits_


def test_bad_requests_leave_no_trace(tmp_path):
    sisa = make_sisa(tmp_path, LogisticRegression(), n_slices=1).fit(X, y)
    before = (tmp_path / "manifest.json").read_bytes()
    with pytest.raises(ValueError, match="unknown"):
        sisa.forget([1000])
    assert (tmp_path / "manifest.json").read_bytes() == before


def test_workers_may_train_for_a_directory(tmp_path):
    sisa = make_sisa(tmp_path, n_jobs=2).fit(X, y).forget([1, 2, 3])
    assert digests(sisa) == digests(make_sisa().fit(X, y).forget([1, 2, 3]))


@pytest.mark.parametrize("name", ["append", "remove"])
def test_a_clean_up_that_fails_says_that_the_change_counts(tmp_path, monkeypatch, name):
    sisa = make_sisa(tmp_path).fit(X[:60], y[:60])
    real = getattr(disk.Folder, name)

    def full_once_it_counts(*args):
        if sisa.n_rows_ == 90:
            raise OSError(errno.ENOSPC, "no room")
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(disk.Folder, name, full_once_it_counts)
        with pytest.raises(OSError, match="no room") as caught:
            sisa.partial_fit(X[60:], y[60:])
    assert "The change itself is done" in caught.value.__notes__[0]
    assert "do not repeat the call" in caught.value.__notes__[0]
    assert sisa.forget([]).n_rows_ == 90
    assert store_of(SISAClassifier.load(tmp_path)).stale_files() == []
    assert digests(sisa) == digests(
        make_sisa().fit(X[:60], y[:60]).partial_fit(X[60:], y[60:])
    )


# What somebody else put into the directory


def plant(path, kind, victim):
    path.unlink(missing_ok=True)
    if kind == "link":
        path.symlink_to(victim)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
@pytest.mark.parametrize(
    "name",
    ["audit.jsonl", "manifest.json", "manifest.json.new", "lock", "member", "rows"],
)
def test_nothing_outside_the_directory_is_read_or_written(tmp_path, name, kind):
    directory, victim = tmp_path / "d", tmp_path / "victim"
    sisa = make_sisa(directory).fit(X, y).forget(2)
    row = sisa.plan_.rows(0, 1)[0]
    victim.write_bytes(b"somebody's own")
    path = directory / name
    if name in ("member", "rows"):
        (path,) = directory.glob(f"{name}-s000-r000-*")
        # Even if the link leads to the very same bytes.
        victim.write_bytes(path.read_bytes())
    content = victim.read_bytes()
    plant(path, kind, victim)
    others = {p: p.stat().st_mtime_ns for p in directory.iterdir() if p.is_file()}
    if name == "manifest.json.new" and kind != "folder":
        # It is in the way, and not followed.
        assert sisa.forget(row).verify_forgotten()
        assert SISAClassifier.load(directory).n_rows_ == 88
    elif name == "audit.jsonl":
        # The rows go, as the manifest has the entry; nothing else goes on.
        with pytest.raises(DamagedDirectoryError, match="not a regular file") as raised:
            sisa.forget(row)
        assert "are erased: do not repeat the call" in " ".join(raised.value.__notes__)
        assert X[row].tobytes() not in bytes_in(directory)
        with pytest.raises(DamagedDirectoryError, match="not a regular file"):
            sisa.forget(0)
        assert list(sisa.forgotten_) == [2, row]
        with pytest.raises(DamagedDirectoryError, match="not a regular file"):
            SISAClassifier.load(directory)
    elif name == "rows":
        # Erasing does not read them, and training does.
        with pytest.raises(DamagedDirectoryError, match=re.escape(str(path))) as raised:
            sisa.forget(row)
        assert "are erased: do not repeat the call" in " ".join(raised.value.__notes__)
        assert X[row].tobytes() not in bytes_in(directory)
        assert list(SISAClassifier.load(directory).forgotten_) == [2, row]
    else:
        if name not in ("lock", "manifest.json.new"):
            with pytest.raises(DamagedDirectoryError, match="not a regular file"):
                SISAClassifier.load(directory)
        with pytest.raises((DirectoryError, OSError), match=re.escape(str(path))):
            sisa.forget(row)
        assert list(sisa.forgotten_) == [2]
        assert {p: p.stat().st_mtime_ns for p in others if p.exists()} == others
    assert victim.read_bytes() == content
    assert {p.name for p in tmp_path.iterdir()} == {"d", "victim"}


@pytest.mark.parametrize("name", ["manifest.json", "audit.jsonl", "member", "shard"])
def test_a_huge_file_is_not_read(tmp_path, name):
    make_sisa(tmp_path).fit(X, y).forget(2)
    path = tmp_path / name
    if name in ("member", "shard"):
        path = next(tmp_path.glob(f"{name}-s000*"))
    os.truncate(path, 2**40)  # takes no room on the disk, and none in memory has it
    with pytest.raises(DamagedDirectoryError, match=re.escape(str(path))):
        SISAClassifier.load(tmp_path)


@pytest.mark.parametrize(
    "content", ["[" * 200_000, '{"a":' * 200_000, "5", "null", "[]"]
)
@pytest.mark.parametrize("name", ["manifest.json", "audit.jsonl"])
def test_json_of_another_shape_is_damage(tmp_path, name, content):
    sisa = make_sisa(tmp_path, GaussianNB(), n_shards=2).fit(X, y)
    for row in range(2 if len(content) < 10 else 40):
        sisa.forget(row)
    path = tmp_path / name
    data = content.encode()
    if name == "audit.jsonl":
        # As long as before and with the newest entry, so that all of it is read.
        *earlier, newest = path.read_bytes().splitlines(keepends=True)
        n_bytes = sum(map(len, earlier))
        data = data[: n_bytes // 2].ljust(n_bytes - 1) + b"\n" + newest
    path.write_bytes(data)
    with pytest.raises(DamagedDirectoryError, match=re.escape(str(path))):
        SISAClassifier.load(tmp_path)


def test_only_the_owner_may_enter_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        make_sisa(tmp_path / "a" / "d").fit(X, y).forget(1)
    finally:
        os.umask(before)
    directory = tmp_path / "a" / "d"
    assert directory.stat().st_mode & 0o777 == 0o700
    for path in directory.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600, path


# Several at once


def in_threads(*functions):
    """Run functions side by side; return what they raised."""
    raised, start = [], threading.Barrier(len(functions))

    def run(function):
        start.wait()
        try:
            function()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(f,)) for f in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


@pytest.mark.parametrize("estimators", ["one", "one each"])
def test_deletions_of_many_threads_all_succeed(tmp_path, monkeypatch, estimators):
    monkeypatch.setattr(disk.os, "fsync", lambda fd: None)  # for speed
    sisa = make_sisa(tmp_path, GaussianNB()).fit(X, y)

    def forgetting(row):
        own = sisa if estimators == "one" else SISAClassifier.load(tmp_path)
        return lambda: own.forget([row, row + 8])

    assert in_threads(*map(forgetting, range(8))) == []
    found = SISAClassifier.load(tmp_path)
    assert list(found.forgotten_) == list(range(16))
    assert len(found.behind_) == 0
    assert store_of(found).stale_files() == []
    expected = make_sisa(None, GaussianNB()).fit(X, y).forget(range(16))
    assert digests(found) == digests(expected)


def test_readers_and_writers_do_not_refuse_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr(disk.os, "fsync", lambda fd: None)  # for speed
    sisa = make_sisa(tmp_path, GaussianNB()).fit(X, y)
    done, n_read = threading.Event(), [0] * 4
    expected = {0: digests(sisa)}
    in_memory = make_sisa(None, GaussianNB()).fit(X, y)

    def write():
        try:
            for row in range(12):
                sisa.forget(row)
        finally:
            done.set()

    def reader(number):
        def read():
            while not done.is_set() or not n_read[number]:
                if number % 2:
                    status = open_directory(tmp_path, check=False).status()
                    assert status["rows"] + status["forgotten"] == 90
                else:
                    loaded = SISAClassifier.load(tmp_path)
                    rows = loaded.forgotten_
                    assert list(rows) == list(range(len(rows)))
                    if not store_of(loaded).status()["behind"]:
                        seen.append((len(rows), digests(loaded)))
                n_read[number] += 1

        return read

    seen = []
    assert in_threads(write, *map(reader, range(4))) == []
    assert min(n_read) > 0
    for row in range(12):
        expected[row + 1] = digests(in_memory.forget(row))
    assert all(found == expected[n_gone] for n_gone, found in seen)
    assert list(SISAClassifier.load(tmp_path).forgotten_) == list(range(12))


# Where the directory is


@pytest.mark.parametrize("policy", [False, True])
def test_a_relative_directory_is_that_of_the_fit_wherever_one_goes(
    tmp_path, monkeypatch, policy
):
    monkeypatch.chdir(tmp_path)
    place = CheckpointPolicy("d") if policy else "d"
    sisa = make_sisa(place).fit(X, y)
    loaded = SISAClassifier.load(place)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    sisa.forget(1)
    loaded.forget(2)
    assert list(SISAClassifier.load(tmp_path / "d").forgotten_) == [1, 2]
    assert loaded.verify_forgotten()
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("policy", [False, True])
def test_a_tilde_is_the_home_of_the_user(tmp_path, monkeypatch, policy):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    place = CheckpointPolicy("~/d") if policy else "~/d"
    make_sisa(place).fit(X, y).forget(1)
    assert not (tmp_path / "~").exists()
    assert (tmp_path / "home" / "d" / "manifest.json").exists()
    assert list(SISAClassifier.load(place).forgotten_) == [1]


@pytest.mark.parametrize("place", ["", CheckpointPolicy("")])
def test_an_empty_name_of_a_directory_is_refused(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    for call in (
        lambda: make_sisa(place).fit(X, y),
        lambda: SISAClassifier.load(place),
    ):
        with pytest.raises(ValueError, match="checkpoint_dir is empty"):
            call()
    assert list(tmp_path.iterdir()) == []


def test_options_of_a_command_leave_no_trace(tmp_path):
    from sklearn_fairsisa.cli import main

    make_sisa(tmp_path, verbose=1, n_jobs=1).fit(X, y)
    for command in (
        ["forget", "--indices", "3"],
        ["forget", "--indices", "4", "--later", "--wait", "3"],
        ["relearn", "--wait", "3"],
    ):
        assert (
            main([command[0], str(tmp_path), *command[1:], "--n-jobs", "2", "--quiet"])
            == 0
        )
    found = SISAClassifier.load(tmp_path)
    assert list(found.forgotten_) == [3, 4]
    assert (found.n_jobs, found.verbose) == (1, 1)
    assert found.checkpoint_dir == tmp_path
