"""Rows stay as they are, whatever learners do to their input."""

import copy

import numpy as np
import pandas as pd
import polars
import pytest
from held import digests
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import RidgeClassifier, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    Normalizer,
    StandardScaler,
)
from sklearn.tree import DecisionTreeClassifier

from sklearn_fairsisa import (
    FairEnsemblePostprocessor,
    SISAClassifier,
    check_forgettable,
)

N = 90
rng = np.random.default_rng(0)
X = rng.normal(size=(N, 4)) * [1, 10, 100, 1] + 3
y = (X[:, 0] + rng.normal(size=N) > 3).astype(int)
NAMES = ["a", "b", "c", "d"]
CONTAINERS = {
    "array": np.array,
    "columns first": np.asfortranarray,
    "single precision": lambda X: X.astype(np.float32),
    "csr": sparse.csr_matrix,
    "csc array": sparse.csc_array,
    "pandas": lambda X: pd.DataFrame(X, columns=NAMES),
    "nullable": lambda X: pd.DataFrame(X, columns=NAMES).convert_dtypes(),
    "polars": lambda X: polars.DataFrame(X, schema=NAMES),
    "lists": lambda X: X.tolist(),
}
STEPS = {
    "scaler": StandardScaler(copy=False, with_mean=False),
    "normalizer": Normalizer(copy=False),
    "maxabs": MaxAbsScaler(copy=False),
}


def values(data):
    return data.toarray() if sparse.issparse(data) else np.asarray(data)


@pytest.mark.parametrize("n_slices", [1, 3])
@pytest.mark.parametrize("step", list(STEPS))
@pytest.mark.parametrize("kind", list(CONTAINERS))
def test_steps_that_work_in_place_are_exact_and_change_nothing(kind, step, n_slices):
    learner = make_pipeline(STEPS[step], SGDClassifier(max_iter=5, tol=None))
    assert check_forgettable(SISAClassifier(learner))
    gone = [3, 14, 15, 60]
    other = X.copy()
    other[gone] = -77.0
    data, twin = CONTAINERS[kind](X), CONTAINERS[kind](other)
    before = values(copy.deepcopy(data))
    sisa, like = (
        SISAClassifier(learner, n_shards=3, n_slices=n_slices, random_state=0)
        .fit(rows, y)
        .forget(gone)
        for rows in (data, twin)
    )
    assert digests(sisa) == digests(like)
    assert sisa.verify_forgotten()
    votes = sisa.transform(data)
    np.testing.assert_array_equal(sisa.transform(data), votes)
    np.testing.assert_array_equal(values(data), before)
    copying = make_pipeline(
        copy.deepcopy(STEPS[step]).set_params(copy=True), learner[-1]
    )
    expected = SISAClassifier(copying, n_shards=3, n_slices=n_slices, random_state=0)
    expected.fit(data, y).forget(gone)
    np.testing.assert_array_equal(expected.transform(data), votes)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_linear_models_and_processes_work_in_place_alike(n_jobs):
    data = X.copy()
    learner = make_pipeline(StandardScaler(copy=False), RidgeClassifier(copy_X=False))
    sisa = SISAClassifier(learner, n_shards=3, n_jobs=n_jobs, random_state=0)
    sisa.fit(data, y).forget([1]).predict(data)
    assert sisa.verify_forgotten()
    np.testing.assert_array_equal(data, X)
    assert sisa.score(data, y) > 0.6


class Writing(GaussianNB):
    """Writes to what it is given, where it is told to."""

    def __init__(self, where="fit X", priors=None, var_smoothing=1e-9):
        super().__init__(priors=priors, var_smoothing=var_smoothing)
        self.where = where

    def _write(self, method, X, y=None, sample_weight=None):
        if self.where == f"{method} X":
            data = X.data if sparse.issparse(X) else X
            data += 1
        elif self.where == f"{method} y":
            y[:] = 0
        elif self.where == f"{method} weight":
            sample_weight *= 2
        elif self.where == f"{method} shuffle":
            np.random.default_rng(0).shuffle(X)

    def fit(self, X, y, sample_weight=None):
        self._write("fit", X, y, sample_weight)
        return super().fit(X, y, sample_weight)

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        self._write("fit", X, y, sample_weight)
        return super().partial_fit(X, y, classes, sample_weight)

    def predict(self, X):
        self._write("predict", X)
        return super().predict(X)

    def predict_proba(self, X):
        self._write("predict", X)
        return super().predict_proba(X)


@pytest.mark.usefixtures("unrouted")
@pytest.mark.parametrize("n_slices", [1, 2])
@pytest.mark.parametrize(
    "where", ["fit X", "fit y", "fit weight", "fit shuffle", "predict X"]
)
def test_a_learner_that_writes_to_its_input_is_named_before_anything_changes(
    where, n_slices
):
    data, labels, weight = X.copy(), y.copy(), np.ones(N)
    learner = VotingClassifier([("one", Writing(where))])
    if n_slices > 1 or where in ("fit weight", "fit y"):
        learner = Writing(where)
    sisa = SISAClassifier(learner, n_shards=2, n_slices=n_slices)
    weights = {"sample_weight": weight} if where == "fit weight" else {}
    message = r"^Writing writes to its input.*X\.copy\(\)"
    with pytest.raises(ValueError, match=message) as raised:
        sisa.fit(data, labels, **weights)
    assert "read-only" in str(raised.value.__cause__)
    assert not hasattr(sisa, "plan_")
    for found, given in ((data, X), (labels, y), (weight, np.ones(N))):
        np.testing.assert_array_equal(found, given)


class Doubling(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self

    def transform(self, X):
        X *= 2
        return X

    def __sklearn_is_fitted__(self):
        return True


def test_the_step_that_writes_is_named_and_the_remedy_helps():
    learner = make_pipeline(StandardScaler(), SGDClassifier(max_iter=5, tol=None))
    learner.steps.insert(0, ("double", Doubling()))
    for data in (X, sparse.csr_matrix(X)):
        with pytest.raises(ValueError, match=r"Step 'double' \(Doubling\) writes"):
            SISAClassifier(learner).fit(data, y)
    learner.steps.insert(0, ("copy", FunctionTransformer(copy.deepcopy)))
    for n_slices in (1, 2):
        sisa = SISAClassifier(learner, n_shards=2, n_slices=n_slices, random_state=0)
        assert sisa.fit(X, y).forget([1, 2]).verify_forgotten()


class AddingUp(ClassifierMixin, BaseEstimator):
    """Counts and overwrites what it has seen in each pass."""

    def partial_fit(self, X, y, classes=None):
        self.classes_ = classes
        self.sums_ = [*getattr(self, "sums_", []), X.sum()]
        X *= 0
        return self

    fit = partial_fit

    def predict(self, X):
        return np.zeros(len(X), dtype=int)


def test_each_pass_sees_the_rows_as_they_are():
    learner = make_pipeline(StandardScaler(), AddingUp())
    sisa = SISAClassifier(learner, n_shards=2, epochs=4).fit(X, y)
    for member in sisa.estimators_:
        assert len(member[-1].sums_) == 4
        assert len(set(member[-1].sums_)) == 1


class Sorting(TransformerMixin, BaseEstimator):
    """Sorts the words of a row in place, and drops one."""

    def fit(self, X, y=None):
        self.transform(X)
        return self

    def transform(self, X):
        for words in X["words"] if isinstance(X, pd.DataFrame) else X:
            if isinstance(words, dict):
                words.pop("length", None)
            else:
                words.sort()
                words.pop()
        return np.ones((len(X), 1))

    def __sklearn_is_fitted__(self):
        return True


def token_lists():
    return [[f"w{i % 7}", f"v{i % 5}", f"u{i}"] for i in range(N)]


def object_array():
    array = np.empty(N, dtype=object)
    array[:] = token_lists()
    return array


MUTABLE = {
    "lists": token_lists,
    "array of lists": object_array,
    "frame": lambda: pd.DataFrame({"words": token_lists()}),
    "dicts": lambda: [{"length": i, "word": f"w{i % 7}"} for i in range(N)],
    "arrays": lambda: [np.array([i, 2.0, 1.0], dtype=object) for i in range(N)],
}


@pytest.mark.parametrize("kind", list(MUTABLE))
def test_objects_within_rows_belong_to_the_ensemble(kind):
    data = MUTABLE[kind]()
    learner = make_pipeline(Sorting(), SGDClassifier(max_iter=5, tol=None))
    if kind == "arrays":
        learner = make_pipeline(
            FunctionTransformer(lambda X: [row.sort() for row in X] and np.stack(X)),
            SGDClassifier(max_iter=5, tol=None),
        )
    sisa = SISAClassifier(learner, n_shards=2, n_slices=2, random_state=0)
    sisa.fit(data, y).forget([1, 2])
    sisa.predict(data)
    assert repr(data) == repr(MUTABLE[kind]())
    assert sisa.verify_forgotten()
    words = data["words"] if kind == "frame" else data
    for row in words:
        row.clear() if hasattr(row, "clear") else row.fill(0)
    assert sisa.verify_forgotten()


def test_what_the_caller_changes_later_changes_no_member(tmp_path):
    path = tmp_path / "rows.dat"
    mapped = np.memmap(path, dtype=float, mode="w+", shape=X.shape)
    mapped[:] = X
    data = {"map": mapped, "array": X.copy(), "pandas": pd.DataFrame(X.copy())}
    for rows in data.values():
        sisa = SISAClassifier(n_shards=2, random_state=0).fit(rows, y).forget([5])
        rows[:] = 0
        assert sisa.verify_forgotten()


def test_a_member_cannot_make_rows_writeable():
    class Insisting(DecisionTreeClassifier):
        def fit(self, X, y):
            X.flags.writeable = True
            return super().fit(X, y)

    with pytest.raises(ValueError, match="Insisting writes to its input"):
        SISAClassifier(Insisting(), n_shards=2).fit(X, y)


@pytest.mark.parametrize(
    "ensemble",
    [
        SISAClassifier(
            make_pipeline(
                StandardScaler(copy=False), SGDClassifier(max_iter=5, tol=None)
            )
        ),
        make_pipeline(StandardScaler(copy=False), SISAClassifier()),
        make_pipeline(Normalizer(copy=False), BaggingClassifier(GaussianNB(), 3)),
        VotingClassifier(
            [
                ("a", make_pipeline(StandardScaler(copy=False), GaussianNB())),
                ("b", make_pipeline(Normalizer(copy=False), GaussianNB())),
                ("c", DecisionTreeClassifier(max_depth=2)),
            ]
        ),
    ],
    ids=["members", "around", "bagging", "voting"],
)
@pytest.mark.parametrize("kind", ["array", "pandas"])
@pytest.mark.filterwarnings("ignore::sklearn_fairsisa.exceptions.DegenerateRuleWarning")
def test_fair_rules_over_members_that_work_in_place_change_nothing(ensemble, kind):
    many, labels = np.tile(X, (4, 1)), np.tile(y, 4)
    data = CONTAINERS[kind](many)
    groups = np.arange(len(many)) % 2
    fair = FairEnsemblePostprocessor(ensemble, random_state=0, calibration=0.3)
    fair.fit(data, labels, sensitive_features=groups)
    first = fair.selection_probability(data, sensitive_features=groups)
    fair.predict(data, sensitive_features=groups)
    again = fair.selection_probability(data, sensitive_features=groups)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(values(data), many)


def test_a_function_that_takes_the_group_out_of_rows_leaves_them_whole():
    data = pd.DataFrame(X, columns=NAMES).assign(group=np.arange(N) % 2)
    learner = make_column_transformer(("passthrough", NAMES))
    fair = FairEnsemblePostprocessor(
        SISAClassifier(make_pipeline(learner, GaussianNB()), n_shards=2),
        sensitive_feature=lambda rows: rows.pop("group"),
        constraints="demographic_parity",
        random_state=0,
    )
    fair.fit(data, y).predict(data)
    assert list(data) == [*NAMES, "group"]


def test_dicts_are_rows():
    rows = [{"length": float(i % 9), f"word {i % 3}": 1} for i in range(N)]
    learner = make_pipeline(
        DictVectorizer(sparse=False), SGDClassifier(max_iter=5, tol=None)
    )
    sisa = SISAClassifier(learner, n_shards=2, n_slices=2, random_state=0)
    assert sisa.fit(rows, y).forget([7]).verify_forgotten()


def test_a_member_that_begins_to_write_when_it_predicts_is_named():
    data = X.copy()
    sisa = SISAClassifier(Writing("nowhere"), n_shards=2).fit(data, y)
    for member in sisa.estimators_:
        member.where = "predict X"
    with pytest.raises(ValueError, match="Writing writes to its input"):
        sisa.predict(data)
    np.testing.assert_array_equal(data, X)


class InPlaceTensors(ClassifierMixin, BaseEstimator):
    """Centres rows in place through tensors, which know no read-only memory."""

    def fit(self, X, y):
        torch = pytest.importorskip("torch")
        rows = torch.from_numpy(X)
        self.classes_, self.mean_ = np.unique(y), rows.mean(0)
        rows.sub_(self.mean_)
        self.weights_ = (rows.numpy() * (2 * y[:, None] - 1)).mean(0)
        return self

    def predict(self, X):
        torch = pytest.importorskip("torch")
        rows = torch.from_numpy(X).sub_(self.mean_)
        return self.classes_[(rows.numpy() @ self.weights_ > 0).astype(int)]


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writ")
def test_what_writes_past_the_flag_writes_to_a_copy():
    rows = np.random.default_rng(0).normal(size=(200, 3)) + 3
    labels, kept = (rows[:, 0] > 3).astype(int), rows.copy()
    sisa = SISAClassifier(InPlaceTensors(), n_shards=4, random_state=0)
    sisa.fit(rows, labels)
    assert sisa.score(rows, labels) > 0.9
    np.testing.assert_array_equal(rows, kept)
    other = rows.copy()
    other[3] = 99.0
    twin = SISAClassifier(InPlaceTensors(), n_shards=4, random_state=0)
    twin.fit(other, labels).forget(3)
    assert digests(sisa.forget(3)) == digests(twin)
    assert sisa.verify_forgotten()
