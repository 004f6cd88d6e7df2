"""What a forgotten row held is found nowhere."""

import pickle
from contextlib import suppress

import numpy as np
import pandas as pd
import polars
import pytest
from reachable import holds
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils import _safe_indexing

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.sisa._digests import digest

N, ROW = 60, 17
WORD = "xylophonist"
NUMBER = 1.2345678901234567e11
y = np.arange(N) % 2
rng = np.random.default_rng(0)


def numbers():
    X = rng.normal(size=(N, 3))
    X[ROW, 1] = NUMBER
    return X


def frame():
    X = pd.DataFrame(numbers(), columns=["a", "b", "c"])
    kinds = ["plain", "striped", "dotted"]
    X["kind"] = pd.Categorical([kinds[i % 3] for i in range(N)])
    X["kind"] = X["kind"].cat.add_categories([f"{WORD} kind"])
    X.loc[ROW, "kind"] = f"{WORD} kind"
    sizes = [f"{WORD} size" if i == ROW else "SML"[i % 3] for i in range(N)]
    X["size"] = pd.Categorical(sizes, ["S", "M", f"{WORD} size", "L"], ordered=True)
    X["name"] = [WORD if i == ROW else f"name {i}" for i in range(N)]
    labels = [("x", f"{WORD} label" if i == ROW else str(i)) for i in range(N)]
    X.index = pd.MultiIndex.from_tuples(labels)
    X.attrs["source"] = f"{WORD} attribute"
    return X


def frame_learner():
    encoder = OneHotEncoder(handle_unknown="ignore")
    columns = make_column_transformer(
        (encoder, ["kind", "size", "name"]), ("passthrough", ["a", "c"])
    )
    return make_pipeline(columns, SGDClassifier())


def texts():
    return [f"{WORD} text" if i == ROW else f"day {i % 5}" for i in range(N)]


def long_texts():
    # Longer than what polars keeps within a column's own words.
    return [f"{text}, which goes on for a while" for text in texts()]


def objects():
    X = np.array([[f"name {i}", i % 5] for i in range(N)], dtype=object)
    X[ROW, 0] = WORD
    return X


NEEDLES = {"word": WORD.encode(), "number": np.float64(NUMBER).tobytes()}
CASES = {
    "numpy": (numbers, lambda: GaussianNB(), ["number"]),
    "sparse": (
        lambda: sparse.csr_matrix(numbers()),
        lambda: SGDClassifier(),
        ["number"],
    ),
    "sparse columns": (
        lambda: sparse.csc_array(numbers()),
        lambda: SGDClassifier(),
        ["number"],
    ),
    "pandas": (frame, frame_learner, ["word", "number"]),
    "texts": (
        texts,
        lambda: make_pipeline(TfidfVectorizer(), SGDClassifier()),
        ["word"],
    ),
    "array of texts": (
        lambda: np.array(texts(), dtype=object),
        lambda: make_pipeline(TfidfVectorizer(), SGDClassifier()),
        ["word"],
    ),
    "series of texts": (
        lambda: pd.Series(texts(), index=[f"{t} label" for t in texts()]),
        lambda: make_pipeline(TfidfVectorizer(), SGDClassifier()),
        ["word"],
    ),
    "polars series of texts": (
        lambda: polars.Series("text", long_texts()),
        lambda: make_pipeline(TfidfVectorizer(), SGDClassifier()),
        ["word"],
    ),
    "polars": (
        lambda: polars.DataFrame({"text": long_texts(), "number": numbers()[:, 1]}),
        lambda: make_pipeline(
            make_column_transformer((TfidfVectorizer(), "text")), SGDClassifier()
        ),
        ["word", "number"],
    ),
    "objects": (
        objects,
        lambda: make_pipeline(OneHotEncoder(handle_unknown="ignore"), SGDClassifier()),
        ["word"],
    ),
}


def places(sisa, directory):
    """Return everything that outlives a call, as bytes by name."""
    found = {"the pickle of the estimator": pickle.dumps(sisa)}
    for path in directory.rglob("*"):
        if path.is_file():
            found[path.name] = path.read_bytes()
    return found


def holders(needles, sisa, directory):
    needles = [NEEDLES[needle] for needle in needles]
    found = [
        name
        for name, data in places(sisa, directory).items()
        if any(needle in data for needle in needles)
    ]
    return [*found, "memory"] if holds(sisa, *needles) else found


def rows_of(X, where):
    if sparse.issparse(X):
        return X.tocsr()[where]
    return (
        X[where.tolist()] if isinstance(X, polars.Series) else _safe_indexing(X, where)
    )


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("appended", [False, True])
def test_a_forgotten_rows_bytes_are_found_nowhere(
    tmp_path, monkeypatch, name, appended
):
    monkeypatch.setenv("JOBLIB_TEMP_FOLDER", str(tmp_path))
    make, learner, needles = CASES[name]
    X = make()
    sisa = SISAClassifier(
        learner(),
        n_shards=2,
        n_slices=3,
        random_state=0,
        checkpoint_dir=tmp_path / "d",
    )
    groups = [WORD if i == ROW else f"person {i}" for i in range(N)]
    sisa.fit(X, y, subjects=groups)
    if appended:
        others = np.delete(np.arange(N), ROW)
        sisa.partial_fit(
            rows_of(X, others), y[others], subjects=[f"later {i}" for i in others]
        )
    before = holders([*needles, "word"], sisa, tmp_path)
    # Rows of a directory are in its files alone.
    assert before
    assert all(place.startswith("rows-") for place in before)
    sisa.forget(subjects=[WORD])
    assert list(sisa.forgotten_) == [ROW]
    assert holders([*needles, "word"], sisa, tmp_path) == []
    reopened = SISAClassifier.load(tmp_path / "d")
    assert [digest(m) for m in reopened.estimators_] == [
        digest(m) for m in sisa.estimators_
    ]
    assert sisa.verify_forgotten()
    assert reopened.verify_forgotten()


def test_workers_leave_no_memory_maps(tmp_path, monkeypatch):
    monkeypatch.setenv("JOBLIB_TEMP_FOLDER", str(tmp_path))
    X = np.tile(numbers(), (2000, 1))  # what joblib would put into a file
    X[N:, 1] = 0
    labels = np.tile(y, 2000)
    sisa = SISAClassifier(GaussianNB(), n_shards=2, random_state=0, n_jobs=2)
    sisa.fit(X, labels)
    assert holders(["number"], sisa, tmp_path) == [
        "the pickle of the estimator",
        "memory",
    ]
    sisa.forget([ROW, *sisa.plan_.rows(0)[:1], *sisa.plan_.rows(1)[:1]])
    assert holders(["number"], sisa, tmp_path) == []


def test_caches_of_the_learner_forget_as_well():
    class Cached(TfidfVectorizer):
        cache: dict = {}  # noqa: RUF012

        def transform(self, raw_documents):
            self.cache.update(dict.fromkeys(raw_documents))
            return super().transform(raw_documents)

        def forget(self, X):
            for text in X:
                self.cache.pop(text, None)

    X = texts()
    pipeline = make_pipeline(Cached(), SGDClassifier())
    sisa = SISAClassifier(pipeline, n_shards=2, n_slices=3, random_state=0).fit(X, y)
    sisa.predict(X)
    assert any(WORD in text for text in Cached.cache)
    sisa.forget(ROW)
    assert not any(WORD in text for text in Cached.cache)
    assert len(Cached.cache) == 5


def test_a_cache_behind_a_cache_is_reached_before_the_first_forgets():
    class Cached(TransformerMixin, BaseEstimator):
        caches: dict = {"first": set(), "second": set()}  # noqa: RUF012

        def __init__(self, name="first"):
            self.name = name

        def fit(self, X, y=None):
            return self

        def transform(self, X):
            self.caches[self.name].update(X)
            return [text.upper() for text in X]

        def forget(self, X):
            self.caches[self.name].difference_update(X)

        def __sklearn_tags__(self):
            tags = super().__sklearn_tags__()
            tags.requires_fit = False
            return tags

    X = list(texts())
    pipeline = make_pipeline(
        Cached(), Cached("second"), HashingVectorizer(), SGDClassifier()
    )
    sisa = SISAClassifier(pipeline, n_shards=2, n_slices=2, random_state=0).fit(X, y)
    sisa.predict(X)
    sisa.forget(ROW)
    assert X[ROW] not in Cached.caches["first"]
    assert X[ROW].upper() not in Cached.caches["second"]
    assert len(Cached.caches["first"]) == len(Cached.caches["second"]) > 0


def test_stages_know_no_category_that_came_later():
    seen = []

    class Watching(SGDClassifier):
        def partial_fit(self, X, y, classes=None, sample_weight=None):
            seen.append((list(X["kind"].cat.categories), sorted(set(X["kind"]))))
            return super().partial_fit(self.codes(X), y, classes)

        def decision_function(self, X):
            return super().decision_function(self.codes(X))

        def codes(self, X):
            codes = X.assign(kind=X["kind"].cat.codes, size=X["size"].cat.codes)
            return codes[["kind", "size"]]

    sisa = SISAClassifier(Watching(), n_shards=2, n_slices=3, epochs=2, random_state=0)
    sisa.fit(frame(), y)
    assert all(known == present for known, present in seen)
    sisa.forget(ROW)
    assert sisa.verify_forgotten()


class KeepsItsInput(ClassifierMixin, BaseEstimator):
    """Holds on to the very rows it was given, as neighbours or kernels do."""

    def fit(self, X, y):
        return self.partial_fit(X, y)

    def partial_fit(self, X, y, classes=None):
        self.rows_, self.classes_ = X, np.unique(y)
        return self

    def predict(self, X):
        return np.zeros(len(X), dtype=int)


@pytest.mark.parametrize("appended", [False, True])
def test_checkpoints_of_earlier_stages_keep_no_later_row_alive(appended):
    # A view would keep the whole of the shard's rows in memory.
    X = numbers()
    sisa = SISAClassifier(KeepsItsInput(), n_shards=2, n_slices=3, random_state=0)
    if appended:
        sisa.fit(rng.normal(size=(N, 3)), y).partial_fit(X, y)
        row = N + ROW
    else:
        X[:, 1] = 0
        row = sisa.fit(X, y).plan_.rows(1, 2)[0]
        X[row, 1] = NUMBER
        sisa.fit(X, y)
    assert holds(sisa, NEEDLES["number"])
    assert not holds(sisa.forget(row), NEEDLES["number"])


class Breaks(GaussianNB):
    error = None

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        if Breaks.error is not None:
            raise Breaks.error
        return super().partial_fit(X, y, classes)


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()])
@pytest.mark.filterwarnings("ignore::sklearn_fairsisa.exceptions.UntrainedShardWarning")
def test_rows_are_erased_though_members_cannot_be_trained(tmp_path, error):
    sisa = SISAClassifier(
        Breaks(), n_shards=2, n_slices=3, random_state=0, checkpoint_dir=tmp_path
    ).fit(numbers(), y)
    assert places_of_number(sisa, tmp_path)
    Breaks.error = error
    with suppress(KeyboardInterrupt):
        sisa.forget([ROW, ROW + 1])
    Breaks.error = None
    assert list(sisa.forgotten_) == [ROW, ROW + 1]
    assert len(sisa.behind_) > 0
    assert places_of_number(sisa, tmp_path) == []
    assert places_of_number(sisa.relearn(), tmp_path) == []


def places_of_number(sisa, directory):
    return [*holders_in_files(directory), *["memory"] * holds(sisa, NEEDLES["number"])]


def holders_in_files(directory):
    return [p.name for p in directory.iterdir() if NEEDLES["number"] in p.read_bytes()]


@pytest.mark.parametrize("name", ["numpy", "sparse", "pandas", "texts", "polars"])
@pytest.mark.parametrize("calibrates", [False, True])
@pytest.mark.filterwarnings("ignore::sklearn_fairsisa.exceptions.DegenerateRuleWarning")
def test_a_row_forgotten_through_a_fair_rule_is_found_nowhere(
    tmp_path, name, calibrates
):
    make, learner, needles = CASES[name]
    copies = 6
    X = [make() for _ in range(copies)]
    X = rows_of(_joined(X), np.arange(copies * N))
    groups = np.arange(copies * N) // 2 % 2
    sisa = SISAClassifier(
        learner(), n_shards=2, n_slices=2, random_state=0, checkpoint_dir=tmp_path
    )
    fair = FairEnsemblePostprocessor(sisa, random_state=0)
    fair.fit(X, np.tile(y, copies), sensitive_features=groups)
    gone = ROW + N * np.arange(copies)  # all rows that hold the needles
    assert np.isin(gone, fair.calibration_indices_).any()
    assert holders([*needles, "word"], fair, tmp_path)
    if calibrates:
        fair.forget(np.setdiff1d(gone, fair.calibration_indices_))
        assert holders([*needles, "word"], fair, tmp_path)
    fair.forget(gone)
    assert holders([*needles, "word"], fair, tmp_path) == []


def _joined(parts):
    if isinstance(parts[0], list):
        return [text for part in parts for text in part]
    if isinstance(parts[0], pd.DataFrame):
        return pd.concat(parts)
    if isinstance(parts[0], polars.DataFrame):
        return polars.concat(parts)
    if sparse.issparse(parts[0]):
        return sparse.vstack(parts)
    return np.concatenate(parts)


def test_polars_types_that_list_the_values_of_all_rows_are_refused():
    frame = polars.DataFrame({"kind": polars.Series(texts(), dtype=polars.Categorical)})
    with pytest.raises(ValueError, match=r"'kind' has the polars type Categorical"):
        SISAClassifier().fit(frame, y)
