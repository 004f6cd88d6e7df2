"""Rows that a directory takes in batches give the members of rows in memory."""

import pickle
import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest
from held import digests, state_of
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.linear_model import SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from test_backends import Drawer, Watched

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa._utils import sources
from sklearn_fairsisa._utils.sources import drop_pages
from sklearn_fairsisa.exceptions import UntrainedShardWarning
from sklearn_fairsisa.sisa import CheckpointPolicy, _rows

N, N_MORE = 200, 30
rng = np.random.default_rng(0)
X, MORE = rng.normal(size=(N, 4)), rng.normal(size=(N_MORE, 4))
y, y_more = (X[:, 0] > 0).astype(int), (MORE[:, 0] > 0).astype(int)
WHO, WHO_MORE = np.arange(N) // 3, 1000 + np.arange(N_MORE)


@pytest.fixture(autouse=True, scope="module")
def _small_batches():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "_BATCH_BYTES", 7 * X[0].nbytes)
        patch.setattr(_rows, "PIECE_BYTES", 5 * X[0].nbytes)
        yield


class Moody(GaussianNB):
    fails = False

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        if Moody.fails:
            raise RuntimeError("not today")
        return super().partial_fit(X, y, classes, sample_weight)


def make_sisa(directory=None, learner=None):
    learner = GaussianNB() if learner is None else learner
    return SISAClassifier(
        learner, n_shards=3, n_slices=2, random_state=0, checkpoint_dir=directory
    )


def played(sisa, first, more, columns=None):
    names = columns or ()
    labels, people = names or (y, WHO)
    sisa.fit(first, labels, subjects=people).forget([1, 50])
    labels, people = names or (y_more, WHO_MORE)
    sisa.partial_fit(more, labels, subjects=people)
    return sisa.forget(subjects=[WHO[60], 1003])


def mapped(path, array):
    np.save(path, array)
    return np.load(path, mmap_mode="r")


def test_memory_maps_give_the_members_of_the_same_rows_in_memory(tmp_path):
    first, more = mapped(tmp_path / "a.npy", X), mapped(tmp_path / "b.npy", MORE)
    kept = played(make_sisa(tmp_path / "d"), first, more)
    alike = played(make_sisa(), X, MORE)
    assert digests(kept) == digests(alike)
    assert digests(SISAClassifier.load(tmp_path / "d")) == digests(alike)
    assert kept.verify_forgotten()


ARRAYS = {
    "in Fortran order": np.asfortranarray,
    "in single precision": lambda X: X.astype(np.float32),
    "in foreign byte order": lambda X: X.astype(X.dtype.newbyteorder()),
}


@pytest.mark.parametrize("kind", ARRAYS)
@pytest.mark.parametrize("mode", ["r", "c"])
def test_a_memory_map_of_any_layout_gives_the_members_of_its_values(
    tmp_path, kind, mode
):
    first, more = map(ARRAYS[kind], (X, MORE))
    for name, rows in (("a", first), ("b", more)):
        np.save(tmp_path / f"{name}.npy", rows)
    maps = [np.load(tmp_path / f"{name}.npy", mmap_mode=mode) for name in "ab"]
    alike = digests(played(make_sisa(), first, more))
    assert digests(played(make_sisa(tmp_path / "d"), *maps)) == alike
    # As other libraries hand on a map, it is no longer of numpy's class of maps.
    views = [np.asarray(rows)[:] for rows in maps]
    assert digests(played(make_sisa(tmp_path / "e"), *views)) == alike


def widely_mapped(folder, n_rows=20_000):
    """Rows that take much more than what a fit needs beside them."""
    rows = np.random.default_rng(0).normal(size=(n_rows, 32))
    return mapped(folder / "wide.npy", rows), (rows[:, 0] > 0).astype(np.int8)


def most_traced(function):
    """Return the most memory that Python's allocators gave out during a call."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("form", ["map", "view of a map"])
def test_a_fit_to_a_memory_map_takes_less_memory_than_three_shards(
    tmp_path, monkeypatch, form
):
    monkeypatch.setattr(sources, "_BATCH_BYTES", 2**17)
    monkeypatch.setattr(_rows, "PIECE_BYTES", 2**17)
    rows, labels = widely_mapped(tmp_path)
    rows = rows if form == "map" else np.asarray(rows)
    sisa = SISAClassifier(
        SGDClassifier(max_iter=1, tol=None),
        n_shards=8,
        random_state=0,
        checkpoint_dir=tmp_path / "d",
    )
    sisa.fit(X, y)
    used = most_traced(lambda: sisa.fit(rows, labels))
    assert used < 3 * rows.nbytes / 8
    assert sisa.n_rows_ == len(rows)


def test_a_fair_rule_on_rows_held_out_reads_a_memory_map_in_batches(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(sources, "_BATCH_BYTES", 2**17)
    monkeypatch.setattr(_rows, "PIECE_BYTES", 2**17)
    rows, labels = widely_mapped(tmp_path)
    groups = np.arange(len(rows)) % 2

    def fitted(name, X):
        fair = FairEnsemblePostprocessor(
            SISAClassifier(
                SGDClassifier(loss="log_loss", max_iter=1, tol=None),
                n_shards=8,
                checkpoint_dir=tmp_path / name,
            ),
            calibration=0.02,
            random_state=0,
        )
        used = most_traced(lambda: fair.fit(X, labels, sensitive_features=groups))
        some = slice(50)
        return used, fair.selection_probability(
            X[some], sensitive_features=groups[some]
        )

    used, probability = fitted("map", rows)
    used_in_memory, alike = fitted("array", np.array(rows))
    assert used < rows.nbytes < used_in_memory
    np.testing.assert_array_equal(probability, alike)


def frames():
    first, more = (pd.DataFrame(rows, columns=list("abcd")) for rows in (X, MORE))
    # Whole numbers, of which the last is missing.
    first["e"] = pd.array([*range(N - 1), None], dtype="Int64")
    more["e"] = pd.array(range(N_MORE), dtype="Int64")
    return first, more


def files(folder):
    first, more = frames()
    first, more = (
        f.assign(label=labels, who=people)
        for f, labels, people in ((first, y, WHO), (more, y_more, WHO_MORE))
    )
    (folder / "first").mkdir()
    first.iloc[:120].to_parquet(folder / "first" / "1.parquet", row_group_size=50)
    first.iloc[120:].to_parquet(folder / "first" / "2.parquet")
    more.to_parquet(folder / "more.parquet")
    return folder / "first", folder / "more.parquet"


def as_dataset(path):
    return pytest.importorskip("pyarrow.dataset").dataset(path)


FORMS = {
    "path": lambda path: path,
    "text": str,
    "paths": lambda path: sorted(path.iterdir()),
    "data set": as_dataset,
    "table": lambda path: as_dataset(path).to_table(),
}


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_parquet_gives_the_members_of_the_frame_that_pandas_reads(
    tmp_path, form, durable
):
    pytest.importorskip("pyarrow")
    learner = make_pipeline(SimpleImputer(), SGDClassifier())
    first, more = files(tmp_path)
    directory = tmp_path / "d" if durable else None
    kept = played(
        make_sisa(directory, learner), FORMS[form](first), more, ("label", "who")
    )
    read = [
        pd.read_parquet(path).drop(columns=["label", "who"]) for path in (first, more)
    ]
    alike = played(make_sisa(None, learner), *read)
    assert digests(kept) == digests(alike)
    assert kept.feature_names_in_.tolist() == list("abcde")


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    n_rows=st.integers(30, 90),
    n_shards=st.integers(1, 4),
    n_slices=st.integers(1, 3),
    by_subject=st.booleans(),
)
def test_every_row_is_in_the_place_that_the_plan_gives_it(
    seed, n_rows, n_shards, n_slices, by_subject
):
    rows = np.random.default_rng(seed).normal(size=(n_rows, 2))
    labels = np.arange(n_rows) % 2
    sisa = SISAClassifier(
        GaussianNB(),
        n_shards=n_shards,
        n_slices=n_slices,
        random_state=seed,
        checkpoint_dir=CheckpointPolicy(Drawer()),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sisa._start(
            sources.ArraySource(rows), labels, "fit", None,
            np.arange(n_rows) // 2 if by_subject else None, {"sample_weight": None},
            held_out=0.2,
        )  # fmt: skip
    plan, found = sisa.plan_, []
    for shard, part in zip([*range(n_shards), -1], state_of(sisa).parts):
        places = [(piece.facts.slice, piece.facts.first) for piece in part.pieces]
        assert places == sorted(places)
        for piece in part.pieces:
            block = piece.block
            found += block.index.tolist()
            assert (np.diff(block.index) > 0).all()
            assert (plan.shard_of(block.index) == shard).all()
            assert (plan.slice_of(block.index) == piece.facts.slice).all()
            np.testing.assert_array_equal(block.X, rows[block.index])
            np.testing.assert_array_equal(block.y, labels[block.index])
    assert sorted(found) == list(range(n_rows))


def test_empty_files_and_batches_without_rows_change_nothing(tmp_path):
    pa = pytest.importorskip("pyarrow")
    dataset = pytest.importorskip("pyarrow.dataset")
    frame = pd.DataFrame(X, columns=list("abcd"))
    parts = [frame[:0], frame[:90], frame[:0], frame[90:]]
    (tmp_path / "rows").mkdir()
    for number, part in enumerate(parts):
        part.to_parquet(tmp_path / "rows" / f"{number}.parquet", index=False)
    tables = [pa.Table.from_pandas(part, preserve_index=False) for part in parts]
    filtered = dataset.dataset(tmp_path / "rows").filter(dataset.field("a") < 100)
    alike = digests(make_sisa().fit(frame, y).forget(3))
    forms = (tmp_path / "rows", pa.concat_tables(tables), filtered)
    for number, rows in enumerate(forms):
        sisa = make_sisa(tmp_path / f"d{number}").fit(rows, y).forget(3)
        assert digests(sisa) == alike


def test_columns_in_names_of_folders_are_read_as_others(tmp_path):
    pytest.importorskip("pyarrow")
    order = np.argsort(y, kind="stable")
    frame = pd.DataFrame(X[order], columns=list("abcd"))
    for label in (0, 1):
        folder = tmp_path / "rows" / f"label={label}"
        folder.mkdir(parents=True)
        frame[y[order] == label].to_parquet(folder / "0.parquet", index=False)
    sisa = make_sisa(tmp_path / "d").fit(tmp_path / "rows", "label")
    assert digests(sisa) == digests(make_sisa().fit(frame, y[order]))
    sisa.fit(tmp_path / "rows", y[order])
    assert sisa.feature_names_in_.tolist() == [*"abcd", "label"]


def test_no_column_of_a_later_file_is_left_out_without_a_word(tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame(X, columns=list("abcd"))
    (tmp_path / "rows").mkdir()
    frame[["a", "b", "c"]][:90].to_parquet(tmp_path / "rows" / "0.parquet")
    frame[90:].to_parquet(tmp_path / "rows" / "1.parquet")
    with pytest.raises(ValueError, match=r"1\.parquet has the column 'd', which"):
        make_sisa(tmp_path / "d").fit(tmp_path / "rows", y)


@pytest.mark.parametrize("depth", [1, 2])
def test_a_missing_integer_in_a_list_changes_the_type_of_no_other_row(tmp_path, depth):
    pa = pytest.importorskip("pyarrow")
    kind, lists = pa.int64(), [[i] for i in range(N)]
    lists[7] = [None]
    for _ in range(depth):
        kind = pa.list_(kind)
    lists = lists if depth == 1 else [[one] for one in lists]
    rows = pa.table({"a": X[:, 0], "b": pa.array(lists, kind)})
    with pytest.raises(TypeError, match="'b' of X holds lists with missing integers"):
        make_sisa(tmp_path / "d").fit(rows, y)


class Typed(GaussianNB):
    """Remembers the types of its rows."""

    def fit(self, X, y, sample_weight=None):
        self.types_ = X.dtypes.astype(str).to_dict()
        return super().fit(SimpleImputer().fit_transform(X.astype(float)), y)


def written(path, missing, *, by_pandas=False, nullable=True):
    """Write whole numbers and booleans, one of each possibly missing, to a file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    whole, yes = np.arange(N).tolist(), (X[:, 1] > 0).tolist()
    if missing:
        whole[7] = yes[7] = None
    if by_pandas:
        pd.DataFrame({"a": X[:, 0], "b": whole, "c": yes}).to_parquet(path)
        return path
    fields = [
        pa.field("a", pa.float64()),
        pa.field("b", pa.int32(), nullable=nullable),
        pa.field("c", pa.bool_(), nullable=nullable),
    ]
    columns = [
        pa.array(values, f.type) for f, values in zip(fields, (X[:, 0], whole, yes))
    ]
    pq.write_table(pa.table(columns, pa.schema(fields)), path, row_group_size=50)
    return path


@pytest.mark.parametrize("durable", [False, True])
def test_a_forgotten_null_leaves_no_trace_in_the_type_of_its_column(tmp_path, durable):
    pytest.importorskip("pyarrow")
    ends = []
    for missing in (False, True):
        directory = tmp_path / f"d{missing}" if durable else None
        rows = written(tmp_path / f"{missing}.parquet", missing)
        sisa = SISAClassifier(
            Typed(), n_shards=3, random_state=0, checkpoint_dir=directory
        )
        ends.append(sisa.fit(rows, y).forget(7))
    without, with_null = ends
    assert digests(with_null) == digests(without)
    for member, other in zip(with_null.estimators_, without.estimators_):
        assert member.types_ == other.types_ == dict.fromkeys("abc", "float64")
    for part, other in zip(state_of(with_null).parts, state_of(without).parts):
        pd.testing.assert_frame_equal(part.block.X, other.block.X)


def test_whole_numbers_that_cannot_be_missing_stay_whole(tmp_path):
    pytest.importorskip("pyarrow")
    whole = {"b": ["int32", "int64"], "c": ["bool", "bool"]}
    files = [
        written(tmp_path / "required.parquet", False, nullable=False),
        written(tmp_path / "pandas.parquet", False, by_pandas=True),
    ]
    for place, rows in enumerate(files):
        sisa = SISAClassifier(Typed(), n_shards=3, random_state=0).fit(rows, y)
        types = sisa.estimators_[0].types_
        assert {name: types[name] for name in "bc"} == {
            name: both[place] for name, both in whole.items()
        }


def test_columns_selected_from_what_pandas_wrote_keep_their_types():
    pa = pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"a": X[:, 0], "b": np.arange(N), "c": X[:, 1] > 0})
    named = frame.set_axis([f"row {i}" for i in range(N)])
    tables = {
        "selected": pa.Table.from_pandas(frame).select(["a", "b"]),
        "dropped": pa.Table.from_pandas(frame).drop_columns("c"),
        "without its index": pa.Table.from_pandas(named).select(["a", "b"]),
    }
    for table in tables.values():
        sisa = SISAClassifier(Typed(), n_shards=3, random_state=0).fit(table, y)
        assert sisa.estimators_[0].types_ == {"a": "float64", "b": "int64"}


def test_names_of_rows_that_pandas_wrote_are_no_obstacle(tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"a": X[:, 0], "b": np.arange(N)})
    path = tmp_path / "rows.parquet"
    frame.set_axis([f"row {i}" for i in range(N)]).to_parquet(path)
    sisa = SISAClassifier(Typed(), n_shards=3, random_state=0).fit(path, y)
    assert sisa.estimators_[0].types_ == {"a": "float64", "b": "int64"}


def test_a_later_file_of_floats_makes_whole_numbers_of_pandas_floats(tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"a": X[:, 0], "b": np.arange(N)})
    (tmp_path / "rows").mkdir()
    frame[:90].to_parquet(tmp_path / "rows" / "0.parquet")
    frame.loc[100, "b"] = np.nan
    frame[90:].to_parquet(tmp_path / "rows" / "1.parquet")
    sisa = SISAClassifier(Typed(), n_shards=3, random_state=0)
    sisa.fit(tmp_path / "rows", y)
    assert sisa.estimators_[0].types_["b"] == "float64"


def test_a_null_against_the_schema_is_refused(tmp_path):
    pa = pytest.importorskip("pyarrow")
    whole = pa.field("b", pa.int64(), nullable=False)
    rows = pa.table(
        [pa.array(X[:, 0]), pa.array([None, *range(N - 1)], pa.int64())],
        pa.schema([pa.field("a", pa.float64()), whole]),
    )
    with pytest.raises(TypeError, match="'b' of X holds a null, for which others"):
        make_sisa(tmp_path / "d").fit(rows, y)


def test_opening_reads_no_rows_and_copies_hold_none(tmp_path):
    drawer = Watched()
    make_sisa(CheckpointPolicy(drawer)).fit(X, y)
    drawer.seen.clear()
    SISAClassifier.load(drawer)
    assert not [name for name in drawer.seen if name.startswith("rows-")]
    sisa = make_sisa(tmp_path).fit(X, y)
    data = pickle.dumps(sisa)
    assert X[5].tobytes() not in data
    assert pickle.loads(data).forget(5).verify_forgotten()


def test_a_batch_whose_members_cannot_be_trained_is_added_and_learnt_later(tmp_path):
    more = mapped(tmp_path / "more.npy", MORE)
    sisa = make_sisa(CheckpointPolicy(Drawer()), Moody()).fit(X, y)
    before = digests(sisa)
    Moody.fails = True
    with pytest.warns(UntrainedShardWarning, match="not today"):
        sisa.partial_fit(more, y_more)
    assert sisa.n_rows_ == N + N_MORE
    assert digests(sisa) == before
    Moody.fails = False
    alike = make_sisa(None, Moody()).fit(X, y).partial_fit(MORE, y_more)
    assert digests(sisa.relearn()) == digests(alike)


def test_what_is_no_path_of_rows_is_refused_with_a_remedy(tmp_path):
    pytest.importorskip("pyarrow")
    with pytest.raises(FileNotFoundError, match="where nothing is"):
        make_sisa().fit(str(tmp_path / "none.parquet"), y)
    first, _ = files(tmp_path)
    sisa = make_sisa(tmp_path / "d")
    with pytest.raises(ValueError, match="'lable' names no column"):
        sisa.fit(first, "lable")
    coded = pd.DataFrame({"a": pd.Categorical(["x", "y"] * 30)})
    coded.to_parquet(tmp_path / "coded.parquet")
    with pytest.raises(TypeError, match="Cast it"):
        sisa.fit(tmp_path / "coded.parquet", np.arange(60) % 2)
    with pytest.raises(NotFittedError):
        sisa.forget(1)
    for path in (first, str(tmp_path / "more.parquet")):
        with pytest.raises(TypeError, match=r"by pd\.read_parquet\(X\)"):
            make_sisa().fit(X, y).predict(path)


def test_rows_that_pyarrow_has_not_read_are_refused_with_the_call_that_reads_them():
    pa = pytest.importorskip("pyarrow")
    dataset = pytest.importorskip("pyarrow.dataset").dataset(pa.table({"a": X[:, 0]}))
    sisa = make_sisa().fit(X[:, :1], y)
    for lazy in (dataset, dataset.scanner(), dataset.scanner().to_reader()):
        with pytest.raises(
            TypeError, match=r"Give X\.\w+\(\)\.to_pandas\(\)\."
        ) as caught:
            sisa.predict(lazy)
        call = str(caught.value).rpartition("Give ")[2][:-1]
        assert len(eval(call, {"X": lazy})) == N


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_giving_pages_back_changes_no_value(tmp_path, mode):
    path = tmp_path / "a.npy"
    np.save(path, X)
    array = np.load(path, mmap_mode=mode)
    expected = X.copy()
    if mode != "r":
        array[3] = expected[3] = 7.0
    drop_pages(np.asarray(array)[2:])
    np.testing.assert_array_equal(array, expected)
