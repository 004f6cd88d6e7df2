"""Random histories, and readers in other threads, see rules of one state alone."""

import pickle
import shutil
import threading
import warnings

import numpy as np
import pytest
from effort import EFFORT
from held import calibrated
from sklearn.datasets import make_classification
from sklearn.linear_model import SGDClassifier

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.sisa._digests import digest

N_HISTORIES = round(2 * EFFORT)
N_FIRST, N_BATCH, N_BATCHES = 160, 12, 3
N = N_FIRST + N_BATCH * N_BATCHES
X, y = make_classification(N, 5, n_redundant=0, flip_y=0.2, random_state=0)
club = np.arange(N) // 2 % 2
weight = np.random.default_rng(0).random(N) + 0.1
METHODS = ["soft_ensemble", "smooth_ensemble", "ensemble", "postprocess_then_aggregate"]


class Moody(SGDClassifier):
    failing = False

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        if Moody.failing:
            raise RuntimeError("not today")
        return super().partial_fit(X, y, classes, sample_weight)


def first(method, calibration, folder=None, data=(X, y, club)):
    sisa = SISAClassifier(
        Moody(loss="log_loss"), n_shards=3, n_slices=2, checkpoint_dir=folder
    )
    fair = FairEnsemblePostprocessor(
        sisa, method=method, calibration=calibration, random_state=0
    )
    rows, labels, groups = (part[:N_FIRST] for part in data)
    return fair.fit(rows, labels, sensitive_features=groups)


def append(fair, batch, data=(X, y, club)):
    here = slice(N_FIRST + batch * N_BATCH, N_FIRST + (batch + 1) * N_BATCH)
    rows, labels, groups = (part[here] for part in data)
    fair.partial_fit(rows, labels, sensitive_features=groups)


def state(fair):
    """All that follows from rows and members, for comparison bit by bit."""
    sisa, rule = fair.estimator_, calibrated(fair)
    return (
        [digest(member) for member in sisa.estimators_],
        digest(rule.learnt),
        fair.forgotten_.tolist(),
        fair.calibration_indices_.tolist(),
        fair.predict(X, sensitive_features=club).tolist(),
        len(fair.behind_),
    )


def play(method, calibration, rng, folder):
    """Play a random history; return the rule, with its batches and deletions."""
    fair = first(method, calibration, folder)
    gone, n_batches = set(), 0
    for _ in range(rng.integers(3, 8)):
        what = rng.choice(
            ["now", "later", "fail", "theirs", "relearn", "batch", "copy"]
        )
        n_rows = N_FIRST + n_batches * N_BATCH
        rows = rng.choice(n_rows, size=rng.integers(1, 4), replace=False).tolist()
        Moody.failing = what == "fail"
        if what in ("now", "later", "fail"):
            fair.forget(rows, relearn=what != "later")
        elif what == "theirs":
            theirs = SISAClassifier.load(folder) if folder else fair.estimator_
            theirs.forget(rows)
        elif what == "relearn":
            fair.relearn()
        elif what == "batch" and n_batches < N_BATCHES:
            append(fair, n_batches)
            n_batches += 1
        elif what == "copy" and folder is None:
            fair = pickle.loads(pickle.dumps(fair))
        elif what == "copy":
            fair = FairEnsemblePostprocessor.load(folder)
        Moody.failing = False
        if what in ("now", "later", "fail", "theirs"):
            gone |= set(rows)
        if what != "theirs":
            assert fair.forgotten_.tolist() == sorted(gone)
            assert fair.estimator_.verify_forgotten()
    return fair.relearn(), n_batches, sorted(gone)


@pytest.mark.parametrize("calibration", ["cross_shard", 0.4])
@pytest.mark.parametrize("durable", [False, True], ids=["memory", "directory"])
@pytest.mark.parametrize("method", METHODS)
def test_histories_end_in_the_rule_of_one_plain_deletion(
    method, durable, calibration, tmp_path
):
    for seed in range(N_HISTORIES):
        rng = np.random.default_rng([seed, durable])
        folder = tmp_path / "d" if durable else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fair, n_batches, gone = play(method, calibration, rng, folder)
            # The twin's forgotten rows held other values, labels and groups.
            twin = X.copy(), y.copy(), club.copy()
            twin[0][gone], twin[1][gone], twin[2][gone] = 9.0, 1 - y[gone], 0
            plain = first(method, calibration, data=twin)
            for batch in range(n_batches):
                append(plain, batch, twin)
            plain.forget(gone)
            assert state(fair) == state(plain)
        if durable:
            shutil.rmtree(folder)


def test_twins_end_in_the_same_bytes_of_the_rule(tmp_path):
    gone = [3, 40, 41, 100]
    twin = X.copy(), y.copy(), club.copy()
    twin[0][gone], twin[1][gone], twin[2][gone] = 9.0, 1 - y[gone], 1 - club[gone]
    for name, data in (("one", (X, y, club)), ("other", twin)):
        first("smooth_ensemble", 0.4, tmp_path / name, data).forget(gone)
    one, other = (
        next((tmp_path / name).glob("companion-*.pkl")).read_bytes()
        for name in ("one", "other")
    )
    assert one == other


@pytest.mark.parametrize("calibration", ["cross_shard", 0.4])
def test_no_byte_of_a_forgotten_row_is_left(calibration, tmp_path):
    marked = X.copy()
    marked[:, 0] += np.arange(N) * 1e-9
    sisa = SISAClassifier(Moody(loss="log_loss"), n_shards=3, checkpoint_dir=tmp_path)
    fair = FairEnsemblePostprocessor(sisa, calibration=calibration, random_state=0)
    fair.fit(marked, y, sensitive_features=club, sample_weight=weight)
    gone = [fair.estimator_.plan_.rows(0)[0], *fair.calibration_indices_[[0, -1]]]
    scores = calibrated(fair).kept
    place = np.searchsorted(fair.calibration_indices_, gone[1])
    marks = [marked[i].tobytes() for i in gone]
    marks += [weight[i].tobytes() for i in gone[1:]]
    marks.append(scores[place].tobytes())

    def kept():
        files = [path.read_bytes() for path in tmp_path.iterdir()]
        return b"".join([*files, pickle.dumps(fair)])

    before = kept()
    assert all(mark in before for mark in marks)
    fair.forget(gone)
    after = kept()
    assert not any(mark in after for mark in marks)


@pytest.mark.parametrize("through", ["rule", "ensemble", "two rules"])
def test_readers_in_other_threads_see_rule_and_members_of_one_state(through):
    fair = first("smooth_ensemble", "cross_shard")
    sisa = fair.estimator_
    if through == "two rules":
        other = FairEnsemblePostprocessor(random_state=0)
        other.attach(sisa, sensitive_features=1 - club[:N_FIRST], name="other")
    requests = [[3], [8, 9], [20], [33, 34]]
    # What is right after each of the requests.
    copy, right = pickle.loads(pickle.dumps(fair)), []
    for request in [[], *requests]:
        copy.forget(request)
        p = copy.selection_probability(X, sensitive_features=club)
        right.append(p.tobytes())
    seen, errors, done = set(), [], threading.Event()

    def read():
        while not done.is_set():
            try:
                p = fair.selection_probability(X, sensitive_features=club)
                seen.add(p.tobytes())
                assert len(fair.operating_points_) == 2
                fair.tradeoff([0.1])
            except Exception as error:
                errors.append(error)
                return

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    changed = sisa if through == "ensemble" else fair
    for request in requests:
        changed.forget(request)
    done.set()
    for reader in readers:
        reader.join()
    assert errors == []
    assert seen <= set(right)
    assert fair.selection_probability(X, sensitive_features=club).tobytes() == right[-1]


def test_deletions_of_several_threads_are_all_done_and_leave_nothing_behind():
    fair, errors = first("soft_ensemble", "cross_shard"), []

    def ask(rows):
        try:
            for row in rows:
                fair.forget(row)
                p = fair.selection_probability(X, sensitive_features=club)
                assert np.isfinite(p).all()
        except Exception as error:
            errors.append(error)

    parts = [[1, 2, 3], [10, 11, 12], [20, 21, 22]]
    threads = [threading.Thread(target=ask, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    rows = np.concatenate(parts)
    assert fair.forgotten_.tolist() == rows.tolist()
    plain = first("soft_ensemble", "cross_shard").forget(rows)
    assert state(fair) == state(plain)
    assert fair.estimator_._settled.ensemble is None
