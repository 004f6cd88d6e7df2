"""What is served predicts alike, and holds no row, id or path."""

import os
import pickle

import numpy as np
import pandas as pd
import pytest
from held import state_of
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import get_scorer
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    Normalizer,
    OneHotEncoder,
    StandardScaler,
)
from sklearn.semi_supervised import LabelSpreading
from sklearn.svm import SVC

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.linear_model import IntegerRidgeClassifier

rng = np.random.default_rng(0)
X = rng.normal(size=(120, 4))
y = np.where(X[:, 0] + rng.normal(size=120) > 0, "yes", "no")
THREE = np.where(X[:, 1] > 0.7, "maybe", y)
COLOURS = np.array(["red", "green", "blue"])[rng.integers(3, size=120)]
TEMPER = {"yes": "good", "no": "bad"}
TEXTS = [f"post {i} of {TEMPER[label]} temper" for i, label in enumerate(y)]
IDS = [f"subject-{i:05d}" for i in range(120)]


def frame(X):
    return pd.DataFrame(X, columns=list("abcd")).assign(colour=COLOURS)


COLUMNS = make_column_transformer(
    (OneHotEncoder(handle_unknown="ignore"), ["colour"]),
    (StandardScaler(), ["a", "b"]),
    remainder="passthrough",
)
SGD = SGDClassifier(loss="log_loss")
SERVED = {
    "linear": (SGD, X),
    "no probabilities": (SGDClassifier(), X),
    "naive Bayes": (GaussianNB(), X),
    "forest": (RandomForestClassifier(5), X),
    "mlp": (MLPClassifier((4,), max_iter=5), X),
    "subtracts": (IntegerRidgeClassifier(), X),
    "scaled": (make_pipeline(StandardScaler(), SGD), X),
    "equal steps": (make_pipeline(Normalizer(), SGD), X),
    "sparse": (SGD, sparse.csr_array(X)),
    "frame": (make_pipeline(COLUMNS, LogisticRegression()), frame(X)),
    "texts": (make_pipeline(TfidfVectorizer(), SGD), TEXTS),
    "hashed": (make_pipeline(HashingVectorizer(n_features=32), SGD), TEXTS),
}


def fitted(learner, X, labels=y, **params):
    sisa = SISAClassifier(learner, n_shards=3, random_state=0, **params)
    return sisa.fit(X, labels, subjects=IDS)


def traces(X):
    """Return bytes that would give away a row, an id."""
    if isinstance(X, list):
        return [text.encode() for text in X]
    if isinstance(X, pd.DataFrame):
        X = X[list("abcd")].to_numpy()
    X = X.toarray() if sparse.issparse(X) else X
    rows = [row.tobytes() for row in X]
    return rows + [row.astype(np.float32).tobytes() for row in X]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", SERVED)
def test_it_predicts_the_same_bits_and_holds_no_row_id_or_path(tmp_path, kind):
    learner, X = SERVED[kind]
    aggregation = ["majority", "mean"][len(kind) % 2]
    labels = THREE if len(kind) % 3 else y
    folder = tmp_path / "trainer"
    sisa = fitted(learner, X, labels, checkpoint_dir=folder, aggregation=aggregation)
    data = pickle.dumps(sisa.for_serving())
    for secret in (*traces(X), *map(str.encode, IDS), bytes(folder)):
        assert secret not in data
    assert state_of(sisa).salt.encode() not in data
    served = pickle.loads(data)
    for method in ("predict", "predict_proba", "predict_log_proba", "transform"):
        with np.errstate(divide="ignore"):
            own, there = getattr(served, method)(X), getattr(sisa, method)(X)
        assert own.dtype == there.dtype
        assert own.tobytes() == there.tobytes()
    assert len(data) < len(pickle.dumps(sisa))
    np.testing.assert_array_equal(
        served.get_feature_names_out(),
        [n.replace("sisa", "served") for n in sisa.get_feature_names_out()],
    )
    assert get_scorer("accuracy")(served, X, labels) == sisa.score(X, labels)


class Keeps(ClassifierMixin, BaseEstimator):
    """It keeps some rows, in a form of its own."""

    def __init__(self, how="rows"):
        self.how = how

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        ways = {
            "rows": lambda: np.asarray(X)[5:8],
            "columns": lambda: np.asarray(X)[5:8].T.copy(),
            "singles": lambda: np.asarray(X, dtype=np.float32),
            "inside": lambda: {"deep": [np.r_[0.5, np.asarray(X)[3], 7.0]]},
            "bytes": lambda: b"head" + np.asarray(X)[9].tobytes(),
            "sparse": lambda: X[:2],
            "texts": lambda: {"first": X[0]},
        }
        self.kept_ = ways[self.how]()
        return self

    def predict(self, X):
        n = X.shape[0] if hasattr(X, "shape") else len(X)
        return np.full(n, self.classes_[0])


KEEPING = {
    "neighbours": (KNeighborsClassifier(), X),
    "scaled neighbours": (make_pipeline(StandardScaler(), KNeighborsClassifier()), X),
    "support vectors": (SVC(), X),
    "bagged": (BaggingClassifier(SVC(), n_estimators=2), X),
    "Gaussian process": (GaussianProcessClassifier(), X),
    "labels spread": (LabelSpreading(), X),
    "landmarks": (make_pipeline(Nystroem(n_components=5), SGD), X),
    "sparse neighbours": (KNeighborsClassifier(), sparse.csr_array(X)),
    "own, sparse": (Keeps("sparse"), sparse.csr_array(X)),
    "own, texts": (Keeps("texts"), TEXTS),
    "own, scaled": (make_pipeline(StandardScaler(), Keeps()), X),
    "own, single precision": (Keeps(), X.astype(np.float32)),
    "own, frame": (Keeps("rows"), frame(X)[list("abcd")]),
    **{f"own, {how}": (Keeps(how), X) for how in ("rows", "columns", "singles")},
    **{f"own, {how}": (Keeps(how), X) for how in ("inside", "bytes")},
}


@pytest.mark.parametrize("kind", KEEPING)
def test_members_that_keep_rows_are_refused_by_name(kind):
    learner, X = KEEPING[kind]
    name = "Keeps" if "own" in kind else "training rows"
    with pytest.raises(ValueError, match=f"The member of shard 0.*{name}"):
        fitted(learner, X).for_serving()


def test_numbers_that_any_model_may_have_are_no_rows():
    binary = rng.integers(0, 2, size=(120, 3)).astype(float)
    fitted(LogisticRegression(), binary).for_serving()
    fitted(SGD, binary).for_serving()


def test_a_forgotten_row_is_not_served():
    marked = X.copy()
    marked[7] = 1.2345678901234567e7
    sisa = fitted(GaussianNB(), marked).forget(7)
    served = sisa.for_serving()
    assert marked[7].tobytes() not in pickle.dumps(served)
    assert served.predict_proba(X).tobytes() == sisa.predict_proba(X).tobytes()


def test_it_only_predicts():
    served = fitted(SGD, X).for_serving()
    for method in ("forget", "partial_fit", "relearn", "amend", "verify_forgotten"):
        assert not hasattr(served, method)
        with pytest.raises(AttributeError, match=f"so it has no {method}"):
            getattr(served, method)
    with pytest.raises(TypeError, match="only predicts"):
        served.fit(X, y)
    assert clone(served) is served
    with pytest.raises(ValueError, match="features"):
        served.predict(X[:, :2])


@pytest.mark.filterwarnings("ignore::sklearn_fairsisa.exceptions.EmptyShardWarning")
def test_members_that_abstain_are_served_as_such():
    sisa = fitted(SGD, X)
    sisa.forget(sisa.plan_.rows(1))
    served = sisa.for_serving()
    assert served.estimators_[1] is None
    assert served.transform(X).tobytes() == sisa.transform(X).tobytes()


def test_without_a_member_nothing_is_served():
    sisa = fitted(LogisticRegression(), X)
    sisa.forget([int(sisa.plan_.rows(s)[0]) for s in range(3)], relearn=False)
    with pytest.raises(ValueError, match="relearn"):
        sisa.for_serving()


def test_equal_steps_run_once():
    calls = []

    class Counting(Normalizer):
        def transform(self, X):
            calls.append(len(X))
            return super().transform(X)

    globals()["Counting"] = Counting
    Counting.__qualname__ = "Counting"
    sisa = fitted(make_pipeline(Counting(), SGD), X)
    served = sisa.for_serving()
    calls.clear()
    served.predict(X[:1])
    assert calls == [1]


def test_what_cannot_be_pickled_is_named():
    local = FunctionTransformer(lambda X: X)
    with pytest.raises(ValueError, match="shard 0 cannot be pickled"):
        fitted(make_pipeline(local, SGD), X).for_serving()


def test_a_directory_that_others_changed_is_served_as_it_is_now(tmp_path):
    sisa = fitted(GaussianNB(), X, checkpoint_dir=tmp_path)
    sisa = SISAClassifier.load(tmp_path)
    SISAClassifier.load(tmp_path).forget([3, 4, 5])
    now = SISAClassifier.load(tmp_path)
    served = sisa.for_serving()
    assert served.predict_proba(X).tobytes() == now.predict_proba(X).tobytes()
    assert os.fspath(tmp_path).encode() not in pickle.dumps(served)
