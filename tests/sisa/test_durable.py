import copy
import errno
import json
import os
import pickle
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
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
)
from sklearn_fairsisa.sisa import CheckpointPolicy
from sklearn_fairsisa.sisa._digests import digest
from sklearn_fairsisa.sisa.store import disk
from sklearn_fairsisa.sisa.store.directory import DirectoryStore

X, y = make_classification(n_samples=90, n_features=6, random_state=0)


def make_sisa(directory=None, estimator=None, **params):
    params = {"n_shards": 3, "n_slices": 2, "random_state": 0} | params
    if estimator is None:
        estimator = SGDClassifier(loss="log_loss")
    return SISAClassifier(estimator, checkpoint_dir=directory, **params)


def digests(sisa):
    return [digest(member) for member in sisa.estimators_]


def checkpoint_digests(sisa):
    return [[digest(member) for member in shard] for shard in sisa._checkpoints]


def kept_stages(sisa):
    return [sorted(sisa._store.stages(shard)) for shard in range(3)]


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
    assert moved.checkpoint_dir == str(tmp_path / "b")
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


def test_two_processes_do_not_share_a_directory(tmp_path):
    sisa = make_sisa(tmp_path).fit(X, y)
    before = digests(sisa)
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path;"
            "from sklearn_fairsisa.sisa.store.disk import Folder;\n"
            "with Folder(Path(sys.argv[1])).lock():\n"
            "    print(1, flush=True); sys.stdin.read()",
            str(tmp_path),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        holder.stdout.readline()
        for call in (lambda: sisa.forget(1), lambda: SISAClassifier.load(tmp_path)):
            with pytest.raises(LockedDirectoryError, match="at work in"):
                call()
    finally:
        holder.communicate()
    assert digests(sisa) == before
    assert sisa.forget(1).verify_forgotten()  # the lock died with the process


def test_an_estimator_that_fell_behind_is_refused(tmp_path):
    sisa = make_sisa(tmp_path).fit(X, y)
    copied = pickle.loads(pickle.dumps(sisa))
    sisa.forget(1)
    with pytest.raises(ChangedDirectoryError, match=r"Open it again"):
        copied.forget(2)
    assert digests(SISAClassifier.load(tmp_path)) == digests(sisa)


def test_a_fit_does_not_overwrite_another_ensemble(tmp_path):
    sisa = make_sisa(tmp_path).fit(X, y)
    with pytest.raises(DirectoryError, match="holds a fitted ensemble already") as told:
        make_sisa(tmp_path).fit(X, y)
    assert "Clones, such as those of a search or of cross-valid" in str(told.value)
    sisa.forget(1)
    sisa.fit(X[:50], y[:50])  # its own may be replaced
    assert SISAClassifier.load(tmp_path).n_rows_ == 50
    assert [e["kind"] for e in sisa._audit.entries] == ["fit", "forget", "fit"]


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
    make_sisa(tmp_path).fit(X, y)
    places = {"rows": "-s002-r001", "member": "-s002-r001"}
    (path,) = tmp_path.glob(f"{kind}{places.get(kind, '')}-*")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    if damage == "delete":
        path.unlink()
    else:
        path.write_bytes(data if damage == "flip" else data[:-7])
    named = "shard 2, slice 1" if kind in places else f"the {kind}"
    with pytest.raises(DamagedDirectoryError, match=named):
        SISAClassifier.load(tmp_path)


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


@pytest.mark.parametrize("kind", ["fit", "partial_fit", "forget"])
def test_a_full_disk_loses_nothing(tmp_path, monkeypatch, kind):
    operation = {
        "fit": lambda sisa: sisa.fit(X[:60], y[:60]),
        "partial_fit": lambda sisa: sisa.partial_fit(X[60:], y[60:]),
        "forget": lambda sisa: sisa.forget([3, 7]),
    }[kind]
    directory, template = tmp_path / "d", tmp_path / "before"
    monkeypatch.setattr(disk.os, "fsync", lambda fd: None)  # for speed
    params = {"n_shards": 2, "estimator": GaussianNB()}
    fitted = make_sisa(directory, **params).fit(X[:70], y[:70])
    shutil.copytree(directory, template)
    before = digests(fitted)
    after = digests(operation(make_sisa(None, **params).fit(X[:70], y[:70])))
    failures = 0
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
                noted = bool(getattr(error, "__notes__", ()))
        failures += 1
        found = digests(SISAClassifier.load(directory, finish=False))
        assert found in (before, after)
        assert digests(sisa) in (before, after)
        reopened = SISAClassifier.load(directory)
        # What failed either stays undone, or is said to be finished later.
        if noted or found == after:
            assert digests(reopened) == after
        else:
            assert digests(reopened) == before
        reopened.forget(1)
        assert reopened._store.stale_files() == []
        assert digests(SISAClassifier.load(directory)) == digests(reopened)
    assert failures > 20
    assert digests(sisa) == after


def test_a_read_only_directory_can_be_read_and_refuses_changes(tmp_path, monkeypatch):
    sisa = make_sisa(tmp_path).fit(X, y)

    def open_to_read(path, flags, mode=0o777):
        if flags & disk.os.O_WRONLY:
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
        raise PermissionError(errno.EPERM, "not allowed", str(path))

    row = sisa.plan_.rows(0, 0)[0]
    with monkeypatch.context() as patch:
        patch.setattr(disk.os, "unlink", refuse)
        with pytest.raises(PermissionError, match="not allowed"):
            sisa.forget(row)
        assert sisa._store.stale_files()
    sisa.forget(row)
    assert sisa._store.stale_files() == []


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


@pytest.mark.usefixtures("breaking")
@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()])
def test_a_deletion_that_failed_is_finished_later(tmp_path, error):
    sisa = make_sisa(tmp_path, Fragile()).fit(X, y)
    before = digests(sisa)
    Fragile.raises = error
    with pytest.raises(type(error)):
        sisa.forget([1, 2])
    assert digests(sisa) == before
    assert SISAClassifier.load(tmp_path, finish=False)._store.pending is not None
    Fragile.raises = None
    reopened = SISAClassifier.load(tmp_path)
    assert list(reopened.forgotten_) == [1, 2]
    assert reopened.verify_forgotten()
    with pytest.raises(ChangedDirectoryError):
        sisa.forget([3])


@pytest.mark.usefixtures("breaking")
def test_the_next_call_finishes_what_failed_before(tmp_path):
    sisa = make_sisa(tmp_path, Fragile()).fit(X, y)
    Fragile.raises = RuntimeError("broken")
    with pytest.raises(RuntimeError):
        sisa.forget([1, 2])
    Fragile.raises = None
    assert list(sisa.forget([5]).forgotten_) == [1, 2, 5]
    assert [report.rows for report in sisa.forget_log_] == [(1, 2), (5,)]
    assert sisa.verify_forgotten()
    reopened = SISAClassifier.load(tmp_path)
    assert digests(reopened) == digests(sisa)
    kinds = [entry["kind"] for entry in reopened._audit.entries]
    assert kinds == ["fit", "forget", "forget"]


def interrupted(sisa, change, error):
    """Make a change fail while it trains, and return what it raised."""
    Fragile.raises = error
    with pytest.raises(type(error)) as raised:
        change(sisa)
    Fragile.raises = None
    return raised.value


@pytest.mark.usefixtures("breaking")
@pytest.mark.parametrize("reopened", [False, True])
@pytest.mark.parametrize("fails", ["finishing", "fitting", "nothing"])
def test_a_fit_does_not_lose_a_deletion_that_failed_before(tmp_path, fails, reopened):
    sisa = make_sisa(tmp_path, Fragile()).fit(X, y)
    interrupted(sisa, lambda sisa: sisa.forget([1, 2]), RuntimeError("broken"))
    if reopened:
        sisa = SISAClassifier.load(tmp_path, finish=False)
    others = X[10:70], y[10:70]
    if fails == "finishing":
        error = interrupted(sisa, lambda sisa: sisa.fit(*others), RuntimeError("again"))
        assert "The forget is written down" in error.__notes__[0]
        assert SISAClassifier.load(tmp_path, finish=False)._store.pending is not None
    elif fails == "fitting":
        sisa.set_params(estimator=Refusing())
        with pytest.raises(RuntimeError, match="never"):
            sisa.fit(*others)
        assert list(sisa.forgotten_) == [1, 2]
        sisa.set_params(estimator=Fragile())
    else:
        sisa.fit(*others)
    found = SISAClassifier.load(tmp_path)
    kinds = [entry["kind"] for entry in found._audit.entries]
    if fails == "nothing":
        assert kinds == ["fit", "forget", "fit"]
        assert digests(found) == digests(make_sisa(None, Fragile()).fit(*others))
    else:
        assert kinds == ["fit", "forget"]
        assert digests(found) == digests(
            make_sisa(None, Fragile()).fit(X, y).forget([1, 2])
        )
        assert found.verify_forgotten()


@pytest.mark.usefixtures("breaking")
def test_a_fit_that_fails_does_not_lose_a_batch_that_was_interrupted(tmp_path):
    sisa = make_sisa(tmp_path, Fragile()).fit(X[:60], y[:60])
    batch = X[60:], y[60:]
    interrupted(sisa, lambda sisa: sisa.partial_fit(*batch), KeyboardInterrupt())
    sisa.set_params(estimator=Refusing())
    with pytest.raises(RuntimeError, match="never"):
        sisa.fit(X[:60], y[:60])
    assert SISAClassifier.load(tmp_path).n_rows_ == 90


@pytest.mark.usefixtures("breaking")
def test_a_fit_replaces_one_that_was_interrupted(tmp_path):
    sisa = make_sisa(tmp_path, Fragile()).fit(X, y)
    change = interrupted(
        sisa, lambda sisa: sisa.fit(X[:80], y[:80]), KeyboardInterrupt()
    )
    assert "another fit replaces it" in change.__notes__[0]
    assert sisa.fit(X[:70], y[:70]).n_rows_ == 70
    kinds = [entry["kind"] for entry in SISAClassifier.load(tmp_path)._audit.entries]
    assert kinds == ["fit", "fit"]


@pytest.mark.usefixtures("breaking")
def test_a_batch_that_fails_when_it_is_finished_is_said_to_be_given_up(tmp_path):
    sisa = make_sisa(tmp_path, Fragile()).fit(X[:60], y[:60])
    batch = X[60:], y[60:]
    interrupted(sisa, lambda sisa: sisa.partial_fit(*batch), KeyboardInterrupt())
    error = interrupted(sisa, lambda sisa: sisa.forget([1]), RuntimeError("broken"))
    assert "The partial_fit that was written down before" in error.__notes__[0]
    assert list(sisa.partial_fit(*batch).forget([1]).forgotten_) == [1]


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


def test_loading_holds_the_directory_while_it_reads(tmp_path, monkeypatch):
    make_sisa(tmp_path).fit(X, y)
    seen = []

    def members(store):
        with (
            pytest.raises(LockedDirectoryError),
            disk.Folder(tmp_path).lock(),
        ):
            raise AssertionError("someone else could change what is being read")
        seen.append(True)
        return real(store)

    real = DirectoryStore.members
    monkeypatch.setattr(DirectoryStore, "members", members)
    SISAClassifier.load(tmp_path)
    assert seen


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
    Fragile.raises = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        make_sisa(tmp_path, Fragile()).fit(X, y)
    Fragile.raises = None
    finished = SISAClassifier.load(tmp_path)
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
    sisa = SISAClassifier.load(tmp_path)
    assert trained == [0, 1, 2, 2]
    assert digests(sisa) == digests(make_sisa().fit(X, y))
    assert sisa._audit.entries[0]["sample_visits"] == sisa.full_sample_visits_


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
    assert "do not ask again" in caught.value.__notes__[0]
    assert sisa.forget([]).n_rows_ == 90
    assert SISAClassifier.load(tmp_path)._store.stale_files() == []
    assert digests(sisa) == digests(
        make_sisa().fit(X[:60], y[:60]).partial_fit(X[60:], y[60:])
    )
