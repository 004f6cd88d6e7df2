"""Random histories end, once relearnt, in the digests of plain deletions."""

import pickle
import shutil
import tempfile
import warnings
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
from effort import EFFORT
from held import digests
from scipy.sparse import csr_array
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.sisa import CheckpointPolicy

pytestmark = pytest.mark.heavy

# Histories of each learner, in memory and in a directory; more take longer.
N_HISTORIES = round(3 * EFFORT)
if find_spec("pyarrow"):
    import pyarrow
N_FIRST, N_BATCH, N_BATCHES = 48, 8, 3
N = N_FIRST + N_BATCH * N_BATCHES
X, y = make_classification(
    N, 4, n_informative=4, n_redundant=0, n_classes=3, random_state=0
)
# A class that is seen for the first time in the last batch, which comes first in order.
y = y + 1
LATE = N - 2
y[LATE] = 0


class Moody:
    """Raises an error in training while `failing`."""

    failing = False

    def _check(self):
        if Moody.failing:
            raise RuntimeError("not today")


class MoodyBayes(Moody, GaussianNB):
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        self._check()
        return super().partial_fit(X, y, classes, sample_weight)


class MoodySGD(Moody, SGDClassifier):
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        self._check()
        return super().partial_fit(X, y, classes, sample_weight)


class MoodyTree(Moody, DecisionTreeClassifier):
    def fit(self, X, y, sample_weight=None):
        self._check()
        return super().fit(X, y, sample_weight)


LEARNERS = {
    "bayes": lambda: (MoodyBayes(), {"n_slices": 3}),
    "sgd": lambda: (MoodySGD(loss="log_loss"), {"n_slices": 3, "epochs": 2}),
    "scaled sgd": lambda: (
        make_pipeline(StandardScaler(), MoodySGD()),
        {"n_slices": 2},
    ),
    "one slice": lambda: (MoodySGD(), {}),
    "whole": lambda: (MoodyTree(max_depth=3), {}),
    "regression": lambda: (LogisticRegression(), {}),
    "sparse checkpoints": lambda: (
        MoodySGD(),
        {"n_slices": 4, "checkpoint_dir": CheckpointPolicy(keep_every=2)},
    ),
}


def mapped(X):
    """Return rows as an array that is mapped to a file."""
    with tempfile.TemporaryFile() as file:
        X.tofile(file)
        return np.memmap(file, X.dtype, "r", shape=X.shape)


def framed(X):
    return pd.DataFrame(X, columns=list("abcd"))


CONTAINERS = {
    "array": np.asarray,
    "frame": framed,
    "list": np.ndarray.tolist,
    "mapped": mapped,
    "sparse": csr_array,
}
if find_spec("pyarrow"):
    CONTAINERS["arrow"] = lambda X: pyarrow.Table.from_pandas(framed(X))
DENSE_ONLY, NO_WEIGHTS = {"bayes", "scaled sgd"}, {"scaled sgd"}


def contained(name, seed):
    """Return a container of rows and whether rows have weights, another each seed."""
    kinds = [kind for kind in CONTAINERS if kind != "sparse" or name not in DENSE_ONLY]
    weighted = bool(seed % 2) and name not in NO_WEIGHTS
    # Another first one for each learner, since the seeds are few.
    return CONTAINERS[kinds[(seed + len(name)) % len(kinds)]], weighted


def batch_of(rows, X, y, container, weighted):
    """Return what `fit` and `partial_fit` are given of some rows."""
    weight = {"sample_weight": 1.0 + np.arange(N)[rows] % 3} if weighted else {}
    return (container(X[rows]), y[rows]), weight


def make_sisa(name, directory=None):
    learner, params = LEARNERS[name]()
    params = dict(params)
    if directory is not None:
        every = 2 if "checkpoint_dir" in params else 1
        params["checkpoint_dir"] = CheckpointPolicy(directory, keep_every=every)
    return SISAClassifier(learner, n_shards=3, random_state=0, **params)


def play(name, rng, directory, contents):
    """Play a random history; return the ensemble, with its batches and deletions."""
    continues = hasattr(make_sisa(name), "partial_fit")
    given, weight = batch_of(slice(N_FIRST), X, y, *contents)
    sisa = make_sisa(name, directory).fit(*given, **weight)
    gone, n_rows, n_batches = set(), N_FIRST, 0
    for _ in range(rng.integers(3, 9)):
        what = rng.choice(
            ["now", "later", "fail", "relearn", "budget", "batch", "copy", "load"]
        )
        rows = rng.choice(n_rows, size=rng.integers(1, 5), replace=False).tolist()
        Moody.failing = what == "fail"
        if what in ("now", "later", "fail"):
            sisa.forget(rows, relearn=what != "later")
            gone |= set(rows)
        elif what == "relearn" and len(sisa.behind_):
            sisa.relearn(shards=rng.choice(sisa.behind_["shard"]))
        elif what == "budget" and len(sisa.behind_):
            cost = sisa.behind_["sample_visits"]
            sisa.relearn(
                max_sample_visits=int(rng.integers(cost.min(), cost.sum() + 1))
            )
        elif what == "batch" and continues and n_batches < N_BATCHES:
            rows = slice(n_rows, n_rows + N_BATCH)
            given, weight = batch_of(rows, X, y, *contents)
            sisa.partial_fit(*given, **weight)
            n_rows, n_batches = n_rows + N_BATCH, n_batches + 1
        elif what == "copy" and directory is None:
            sisa = pickle.loads(pickle.dumps(sisa))
        elif what == "load" and directory is not None:
            sisa = SISAClassifier.load(directory)
        Moody.failing = False
        assert sisa.forgotten_.tolist() == sorted(gone)
        assert sisa.verify_forgotten()
    return sisa.relearn(), n_batches, sorted(gone)


@pytest.mark.parametrize("durable", [False, True], ids=["memory", "directory"])
@pytest.mark.parametrize("name", LEARNERS)
def test_histories_end_in_the_digests_of_plain_deletions(name, durable, tmp_path):
    for seed in range(N_HISTORIES):
        rng = np.random.default_rng([seed, durable])
        directory = tmp_path / "d" if durable else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            contents = contained(name, seed)
            sisa, n_batches, gone = play(name, rng, directory, contents)
            assert len(sisa.behind_) == 0
            # All rows first, then one deletion, of rows that held other values.
            twin_X, twin_y = X.copy(), y.copy()
            twin_X[gone] = 1e3
            relabelled = [row for row in gone if row != LATE]
            twin_y[relabelled] = y[relabelled] % 3 + 1
            given, weight = batch_of(slice(N_FIRST), twin_X, twin_y, *contents)
            order = make_sisa(name).fit(*given, **weight)
            for batch in range(n_batches):
                rows = slice(N_FIRST + batch * N_BATCH, N_FIRST + (batch + 1) * N_BATCH)
                given, weight = batch_of(rows, twin_X, twin_y, *contents)
                order.partial_fit(*given, **weight)
            order.forget(gone)
        assert digests(sisa) == digests(order), seed
        assert sisa.verify_forgotten()
        if durable:
            shutil.rmtree(directory)
