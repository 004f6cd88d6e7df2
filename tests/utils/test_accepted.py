"""Which containers are rows, and what becomes of the others."""

import importlib.util
import pickle
import sys
from array import array
from collections import deque, namedtuple
from decimal import Decimal
from types import ModuleType

import numpy as np
import pandas as pd
import polars
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline

try:
    import dask.array
except ImportError:  # as with the oldest versions
    dask = None

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa._utils.accepted import accepted, check_values
from sklearn_fairsisa.sisa._digests import digest

N = 60
rng = np.random.default_rng(0)
X = rng.normal(size=(N, 3))
ROW, NUMBER = 17, 1.2345678901234567e5
X[ROW, 1] = NUMBER
y = np.arange(N) % 2
GROUPS = np.arange(N) // 2 % 2
TEXTS = [f"text {i} which is longer than a word" for i in range(N)]
TEXTS[ROW] = "xylophonist, a text that is longer than a word"
NUMBER_BYTES = np.float64(NUMBER).tobytes()
NEEDLES = (NUMBER_BYTES, NUMBER_BYTES[::-1], b"xylophonist")
FRAME = pd.DataFrame(X, columns=["a", "b", "c"])
SGD = SGDClassifier(loss="log_loss", max_iter=5, tol=None)


def columns_of(library, data):
    """A stand-in for a column of a Hugging Face dataset, which is read as a whole."""
    module = ModuleType(f"{library}.arrow_dataset")

    class Column:
        def __len__(self):
            return len(data)

        def __getitem__(self, key):
            return data[key]

    Column.__module__ = module.__name__
    return Column()


def swapped(array):
    return array.astype(array.dtype.newbyteorder())


NUMERIC = {
    "array": X,
    "columns first": np.asfortranarray(X),
    "foreign byte order": swapped(X),
    "strided": np.repeat(X, 2, axis=0)[::2],
    "masked, of which nothing": np.ma.array(X),
    "coo": sparse.coo_matrix(X),
    "coo of long integers": sparse.coo_array(
        (X.ravel(), np.indices(X.shape).reshape(2, -1))
    ),
    "dok": sparse.dok_array(X),
    "lil": sparse.lil_matrix(X),
    "bsr": sparse.bsr_array(X),
    "pandas": FRAME,
    "nullable": FRAME.convert_dtypes(),
    "sparse columns": FRAME.astype(pd.SparseDtype(float, 0)),
    "polars": polars.DataFrame(X, schema=["a", "b", "c"]),
    "lazy frame": polars.DataFrame(X, schema=["a", "b", "c"]).lazy(),
    "lists": X.tolist(),
    "tuples": tuple(map(tuple, X.tolist())),
    "rows": list(X),
}
if dask is not None:
    NUMERIC["dask array"] = dask.array.from_array(X, chunks=7)
WORDS = {
    "list": TEXTS,
    "tuple": tuple(TEXTS),
    "characters": np.array(TEXTS),
    "objects": np.array(TEXTS, dtype=object),
    "series": pd.Series(TEXTS),
    "string series": pd.Series(TEXTS, dtype="string"),
    "index": pd.Index(TEXTS),
    "extension array": pd.array(TEXTS, dtype="string"),
    "polars": polars.Series(TEXTS),
    "dataset": columns_of("datasets", TEXTS),
}
if hasattr(np.dtypes, "StringDType"):
    WORDS["strings of any length"] = np.array(TEXTS, dtype=np.dtypes.StringDType())

# Without it, Dask has no frames.
HAS_ARROW = importlib.util.find_spec("pyarrow") is not None
if HAS_ARROW and dask is not None:
    import dask.dataframe

    NUMERIC["dask frame"] = dask.dataframe.from_pandas(FRAME, npartitions=3)
    NUMERIC["arrow columns"] = FRAME.convert_dtypes(dtype_backend="pyarrow")
    WORDS["dask"] = dask.dataframe.from_pandas(pd.Series(TEXTS), npartitions=2)
    WORDS["arrow"] = pd.Series(TEXTS, dtype="string[pyarrow]")

words = make_pipeline(
    HashingVectorizer(n_features=32), SGDClassifier(max_iter=5, tol=None)
)
CASES = {
    **{
        name: (data, SGDClassifier(max_iter=5, tol=None))
        for name, data in NUMERIC.items()
    },
    **{f"texts in {name}": (data, words) for name, data in WORDS.items()},
}


def held_bytes(sisa, folder):
    files = [path.read_bytes() for path in folder.iterdir() if path.is_file()]
    return [pickle.dumps(sisa), *files]


@pytest.mark.parametrize("name", list(CASES))
def test_no_byte_of_a_forgotten_row_is_left_whatever_held_it(name, tmp_path):
    data, learner = CASES[name]
    sisa = SISAClassifier(
        learner, n_shards=2, n_slices=2, random_state=0, checkpoint_dir=tmp_path
    )
    sisa.fit(data, y)
    held = held_bytes(sisa, tmp_path)
    assert any(needle in data for needle in NEEDLES for data in held) or (
        # Polars compresses, and NumPy has characters of four bytes.
        name in ("polars", "lazy frame", "texts in characters", "texts in polars")
    )
    sisa.partial_fit(data, y).forget([ROW, N + ROW])
    held = held_bytes(sisa, tmp_path)
    assert not any(needle in data for needle in NEEDLES for data in held)
    assert sisa.verify_forgotten()
    votes = sisa.transform(data)
    loaded = SISAClassifier.load(tmp_path)
    np.testing.assert_array_equal(loaded.transform(data), votes)
    assert list(map(digest, loaded.estimators_)) == list(map(digest, sisa.estimators_))


@pytest.mark.parametrize("name", list(CASES))
def test_members_do_not_depend_on_what_held_the_rows(name):
    data, learner = CASES[name]
    # SGD learns sparse rows at another rate.
    is_sparse = sparse.issparse(data) or name == "sparse columns"
    as_array = sparse.csr_matrix(X) if is_sparse else X
    plain = TEXTS if name.startswith("texts") else as_array
    one, other = (
        SISAClassifier(learner, n_shards=2, n_slices=2, random_state=0).fit(rows, y)
        for rows in (data, plain)
    )
    np.testing.assert_allclose(one.transform(data), other.transform(plain))


class Lazy:
    shape = X.shape

    def __len__(self):
        return N

    def __array__(self, dtype=None, copy=None):
        return X

    def __getitem__(self, key):
        return X[key]


class FrameOfAnotherLibrary:
    def __dataframe__(self):
        raise NotImplementedError

    def __len__(self):
        return N


class Metres(np.ndarray):
    pass


REFUSED = {
    "None": (None, "X is None.*one entry per row"),
    "text": ("abc", r"X is a str.*Give|give \[X\]"),
    "number": (5, r"X is an int.*give \[X\]"),
    "single value": (np.array(5.0), "X is a single value, 5.0"),
    "generator": ((row for row in X), r"X is a generator.*Give list\(X\)"),
    "map": (map(list, X), r"X is a map.*Give list\(X\)"),
    "deque": (deque(X.tolist()), r"X is a deque.*Give list\(X\)"),
    "view of memory": (memoryview(X), r"X is a memoryview.*Give np.asarray\(X\)"),
    "array of Python": (array("d", X[:, 0]), r"X is an array.*Give np.asarray\(X\)"),
    "octets": (bytearray(N), r"X is a bytearray.*Give np.asarray\(X\)"),
    "dict": ({"a": X[:, 0]}, r"X is a dict.*Give pd.DataFrame\(X\)"),
    "set": ({1, 2}, "X is a set.*A set has no order"),
    "matrix": (
        sparse.csr_matrix(X).todense(),
        r"a np.matrix.*np.asarray\(X\)",
    ),
    "subclass": (X.view(Metres), r"a Metres.*, a subclass of ndarray.*np.asarray\(X\)"),
    "records": (FRAME.to_records(), r"whose rows are records. Give pd.DataFrame\(X\)"),
    "lazy": (Lazy(), r"X is a Lazy.*Give np.asarray\(X\)"),
    "frame": (FrameOfAnotherLibrary(), r"FrameOfAnotherLibrary.*X.to_pandas\(\)"),
    "object": (object(), "X is an object.*must be a NumPy array.*Convert it first"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_other_containers_are_named_before_anything_happens(name):
    rows, message = REFUSED[name]
    sisa = SISAClassifier(SGD, n_shards=2, random_state=0)
    fair = FairEnsemblePostprocessor(sisa, random_state=0)
    with pytest.raises(TypeError, match=message):
        sisa.fit(rows, y)
    with pytest.raises(TypeError, match=message):
        fair.fit(rows, y, sensitive_features=GROUPS)
    assert not hasattr(sisa, "plan_")
    sisa.fit(X, y)
    before = digest(sisa.estimators_)
    for method in (sisa.predict, sisa.transform, lambda X: sisa.partial_fit(X, y)):
        with pytest.raises(TypeError, match=message):
            method(rows)
    assert digest(sisa.estimators_) == before


def test_tensors_are_refused_as_rows_and_within_rows():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"a Tensor of torch.*X.numpy\(force=True\)"):
        SISAClassifier(SGD).fit(torch.tensor(X), y)
    with pytest.raises(TypeError, match="X holds a Tensor of torch in row 0"):
        SISAClassifier(SGD).fit([[0.0, row] for row in torch.tensor(X)], y)


def test_masked_entries_are_refused():
    masked = np.ma.array(X, mask=X > 2)
    for fit in (SISAClassifier(SGD).fit, SISAClassifier(SGD).fit(X, y).partial_fit):
        with pytest.raises(ValueError, match=r"masked entries.*X.filled\(np.nan\)"):
            fit(masked, y)
    with pytest.raises(ValueError, match="y is a masked array"):
        SISAClassifier(SGD).fit(X, np.ma.array(y, mask=y == 1))


def test_an_object_that_can_only_be_read_as_an_array_is_read_once():
    class Once:
        def __array__(self, dtype=None, copy=None):
            assert not self.__dict__
            self.was_read = True
            return X

    sisa = SISAClassifier(SGD, random_state=0).fit(Once(), y)
    like = SISAClassifier(SGD, random_state=0).fit(X, y)
    np.testing.assert_array_equal(sisa.predict(Once()), like.predict(X))


def test_lazy_collections_are_computed_once():
    if dask is None:
        pytest.skip("Dask is not installed")
    computed = []

    def noting(block):
        computed.append(len(block))
        return block

    lazy = dask.array.from_array(X, chunks=(N, 3)).map_blocks(noting, meta=X[:0])
    computed.clear()
    sisa = SISAClassifier(SGD, n_shards=3, random_state=0).fit(lazy, y)
    assert computed == [N]
    fair = FairEnsemblePostprocessor(SISAClassifier(SGD, n_shards=3), random_state=0)
    fair.fit(lazy, dask.array.from_array(y), sensitive_features=GROUPS)
    assert computed == [N] * 2
    sisa.transform(lazy)
    fair.predict(lazy, sensitive_features=GROUPS)
    assert computed == [N] * 4


@pytest.mark.usefixtures("unrouted")
@pytest.mark.parametrize("kind", ["dask", "dask series", "dataset", "polars", "column"])
def test_labels_weights_subjects_and_groups_may_be_in_any_container(kind):
    if kind.startswith("dask") and dask is None:
        pytest.skip("Dask is not installed")
    if kind == "dask series" and not HAS_ARROW:
        pytest.skip("Dask has no frames without pyarrow")
    hold = {
        "dask": lambda v: dask.array.from_array(v, chunks=11),
        "dask series": lambda v: dask.dataframe.from_pandas(pd.Series(v)),
        "dataset": lambda v: columns_of("datasets", v.tolist()),
        "polars": polars.Series,
        "column": lambda v: pd.DataFrame({"v": v}),
    }[kind]
    weight = np.linspace(1, 2, N)
    subjects = np.arange(N) // 2
    how = {"n_shards": 2, "random_state": 0}
    expected = SISAClassifier(SGD, **how).fit(X, y, sample_weight=weight)
    sisa = SISAClassifier(SGD, **how).fit(X, y, sample_weight=hold(weight))
    np.testing.assert_array_equal(sisa.transform(X), expected.transform(X))
    if kind != "column":  # of which scikit-learn warns
        sisa = SISAClassifier(SGD, **how).fit(X, hold(y), subjects=hold(subjects))
        expected = SISAClassifier(SGD, **how).fit(X, y, subjects=subjects)
        np.testing.assert_array_equal(sisa.transform(X), expected.transform(X))
    fair, plain = (
        FairEnsemblePostprocessor(SISAClassifier(SGD, **how), random_state=0).fit(
            X, y, sensitive_features=h(GROUPS), sample_weight=h(weight)
        )
        for h in (hold, np.asarray)
    )
    np.testing.assert_array_equal(
        fair.predict(X, sensitive_features=hold(GROUPS)),
        plain.predict(X, sensitive_features=GROUPS),
    )


@pytest.mark.usefixtures("unrouted")
@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.full(N, 1e308), "sum of sample_weight is more than"),
        (np.r_[np.inf, np.ones(N - 1)], "sample_weight contains NaN or infinity"),
        (np.ones((N, 2)), r"sample_weight has the shape \(60, 2\)"),
        (["heavy"] * N, "sample_weight holds .* Give one number per row"),
    ],
)
def test_weights_that_cannot_be_summed_are_refused(weight, message):
    with pytest.raises(ValueError, match=message):
        SISAClassifier(SGD).fit(X, y, sample_weight=weight)
    fair = FairEnsemblePostprocessor(SISAClassifier(SGD))
    with pytest.raises(ValueError, match=message):
        fair.fit(X, y, sensitive_features=GROUPS, sample_weight=weight)


def test_nothing_to_predict_is_said():
    sisa = SISAClassifier(SGD).fit(X, y)
    fair = FairEnsemblePostprocessor(sisa).fit(X, y, sensitive_features=GROUPS)
    for empty in ([], X[:0], FRAME[:0], sparse.csr_matrix(X)[:0]):
        with pytest.raises(ValueError, match="X has 0 samples"):
            sisa.predict(empty)
        with pytest.raises(ValueError, match="X has 0 samples"):
            fair.predict(empty, sensitive_features=GROUPS[:0])


@pytest.mark.parametrize("kind", ["array", "lists", "sparse"])
def test_rows_without_names_after_a_frame_warn_once(kind):
    fair = FairEnsemblePostprocessor(
        SISAClassifier(SGD, n_shards=4, random_state=0), random_state=0
    ).fit(FRAME, y, sensitive_features=GROUPS)
    rows = {"array": X, "lists": X.tolist(), "sparse": sparse.csr_matrix(X)}[kind]
    for predict, given in (
        (fair.estimator_.predict, {}),
        (fair.predict, {"sensitive_features": GROUPS}),
    ):
        with pytest.warns(UserWarning, match="valid feature names") as caught:
            found = predict(rows, **given)
        assert len(caught) == 1
        np.testing.assert_array_equal(found, predict(FRAME, **given))


@pytest.mark.parametrize("named", [FRAME, NUMERIC["polars"]], ids=["pandas", "polars"])
def test_a_frame_after_an_array_warns_once(named):
    sisa = SISAClassifier(SGD, n_shards=4, random_state=0).fit(X, y)
    with pytest.warns(UserWarning, match="fitted without feature names") as caught:
        found = sisa.predict(named)
    assert len(caught) == 1
    np.testing.assert_array_equal(found, sisa.predict(X))


def test_duplicate_entries_of_sparse_rows_are_summed_in_a_copy():
    given = sparse.csr_matrix(([1.0, 2, 3], [2, 0, 0], [0, 3]), shape=(1, 3))
    assert accepted(given).toarray().tolist() == [[5, 0, 1]]
    assert given.nnz == 3


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    "value",
    ["a", b"a", 1, 2.5, None, np.int8(1), Decimal(1), pd.NaT, pd.Timestamp(0), pd.NA,
     Point(1, "b"), {"a": [1, (2, {"b"})]}, np.arange(3), np.array([[1, "a"]], object)],
    ids=str,
)  # fmt: skip
def test_values_that_own_their_memory_may_be_in_rows(value):
    check_values([value, value])
    check_values(pd.Series([value, value], dtype=object))


class Linked(str):
    """A text that knows the document it is from."""


@pytest.mark.parametrize(
    "value",
    [object(), Linked("a"), FRAME, [1, [object()]], {"a": sys}, X.view(Metres)],
    ids=["object", "text", "frame", "nested", "module", "subclass"],
)
def test_values_that_may_belong_to_other_rows_are_refused(value):
    for rows in (["a", value], pd.Series(["a", value], dtype=object)):
        with pytest.raises(TypeError, match=r"X holds an? .* in row 1, which"):
            check_values(rows)
