"""Claims about rows that are appended to others."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.linear_model import SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa._utils.containers import concatenate, in_types_of, take
from sklearn_fairsisa.sisa._digests import digest

polars = pytest.importorskip("polars")

F = np.random.default_rng(0).normal(size=(60, 3))
y = np.arange(60) % 2


@st.composite
def cuts(draw):
    """Positions at which 40 rows are cut into parts, many of a single row."""
    sizes = draw(st.lists(st.sampled_from([1, 1, 17]), min_size=1, max_size=20))
    inner = np.cumsum(sizes).tolist()
    return [0, *(cut for cut in inner if cut < 40), 40]


@given(cuts(), st.sampled_from("CF"), st.sampled_from(["array", "frame", "mixed"]))
def test_rows_lie_in_memory_alike_however_they_were_put_together(cuts, order, kind):
    rows = np.asarray(F[:40], order=order)
    if kind != "array":
        rows = pd.DataFrame(rows)
    if kind == "mixed":
        rows.insert(1, "k", pd.Categorical(["a", "b"] * 20))
    parts = [take(rows, np.arange(a, b)) for a, b in pairwise(cuts)]
    joined = parts[0]
    for part in parts[1:]:
        joined = concatenate([joined, part])
    numbers, whole = (
        np.asarray(part if kind == "array" else part.select_dtypes("number"))
        for part in (joined, take(rows, np.arange(40)))
    )
    assert_array_equal(numbers, whole)
    assert numbers.strides == whole.strides


class Recounting(GaussianNB):
    """Counts the rows of earlier slices again at every stage."""

    accumulates = False


def test_data_frames_forget_exactly_where_sums_are_rounded_by_the_layout(tmp_path):
    X = pd.DataFrame(F)
    for seed in range(10):
        folder = tmp_path / str(seed)
        learner = Recounting()
        sisa = SISAClassifier(
            learner, n_shards=1, n_slices=3, random_state=seed, checkpoint_dir=folder
        ).fit(X, y)
        gone = [*sisa.plan_.rows(0, 0)[1:], *sisa.plan_.rows(0, 1)[1:]]
        sisa.forget(gone)
        assert sisa.verify_forgotten()
        opened = SISAClassifier.load(folder)
        assert opened.verify_forgotten()
        opened.partial_fit(X[:9], y[:9])
        assert opened.verify_forgotten()
        other = SISAClassifier(learner, n_shards=1, n_slices=3, random_state=seed)
        other.fit(X, y)
        other.partial_fit(X[:9], y[:9]).forget(gone)
        assert digest(opened.estimators_[0]) == digest(other.estimators_[0])


NUMBERS = pd.DataFrame({"a": np.arange(60) % 5, "b": y == 1})


linear = SGDClassifier(loss="log_loss")
by_value = make_pipeline(OneHotEncoder(handle_unknown="ignore"), linear)


@pytest.mark.parametrize(
    ("rows", "batch", "learner"),
    [
        (F.astype(np.float32), F[:9], GaussianNB()),
        (F, F[:9].astype(np.float32), GaussianNB()),
        (sparse.csr_matrix(F.astype(np.float32)), sparse.csc_matrix(F[:9]), linear),
        (NUMBERS, NUMBERS[:9].astype({"a": float}), by_value),
        (NUMBERS, NUMBERS[:9].astype({"b": object}), by_value),
        (NUMBERS.astype({"a": "category"}), NUMBERS[:9], by_value),
        (
            polars.from_pandas(NUMBERS),
            polars.DataFrame({"a": [1.0], "b": [True]}),
            by_value,
        ),
    ],
    ids=["single", "double", "sparse", "int", "bool", "category", "polars"],
)
def test_a_batch_of_other_types_leaves_the_rows_before_as_they_were(
    rows, batch, learner
):
    sisa = SISAClassifier(learner, n_shards=2, n_slices=3, random_state=0)
    sisa.fit(rows, y).partial_fit(batch, y[: batch.shape[0]])
    sisa.forget(sisa.plan_.rows(0, 2)[0])
    assert sisa.verify_forgotten()


GREAT = F[:9].copy()
GREAT[3, 1] = 1e300


@pytest.mark.parametrize(
    "hold",
    [
        np.asarray,
        sparse.csr_array,
        pd.DataFrame,
        lambda rows: pd.DataFrame(rows).astype(
            dict.fromkeys(range(3), f"Float{rows.itemsize * 8}")
        ),
        polars.DataFrame,
    ],
    ids=["array", "sparse", "frame", "nullable", "polars"],
)
def test_a_number_that_would_be_infinite_is_refused(hold):
    learner = make_pipeline(FunctionTransformer(np.tanh), linear)
    held = hold(F.astype(np.float32))
    sisa = SISAClassifier(learner, n_shards=2, random_state=0).fit(held, y)
    for use in (
        lambda: sisa.partial_fit(hold(GREAT), y[:9]),
        lambda: sisa.amend(np.arange(9), hold(GREAT), y[:9]),
    ):
        with pytest.raises(ValueError, match="cannot represent"):
            use()
    assert sisa.n_rows_ == 60
    infinite = GREAT.copy()
    infinite[3, 1] = np.inf
    assert sisa.partial_fit(hold(infinite), y[:9]).n_rows_ == 69


@pytest.mark.parametrize(
    ("rows", "batch", "message"),
    [
        (NUMBERS, NUMBERS[:9].astype({"a": float}).replace(1.0, np.nan), "'a' was int"),
        (NUMBERS, NUMBERS[:9].astype({"a": str}), "'a' was int64 in fit and is"),
        (NUMBERS, NUMBERS[:9].assign(b=[None, *[True] * 8]), "'b' was bool"),
        (NUMBERS, NUMBERS[:9].to_numpy(), "X is a ndarray, but fit was given a DataFr"),
        (NUMBERS.to_numpy(), F[:9, :2], "X was object|X was int64 in fit"),
        (
            polars.from_pandas(NUMBERS),
            polars.DataFrame({"a": [1.5] * 9, "b": [True] * 9}),
            "'a' was Int64 in fit and is Float64",
        ),
    ],
)
def test_values_that_the_types_of_fit_do_not_hold_are_refused(rows, batch, message):
    if isinstance(rows, np.ndarray):
        rows = rows.astype(np.int64)
    with pytest.raises(ValueError, match=message):
        in_types_of(rows, batch)


def test_a_refused_batch_changes_nothing():
    learner = make_pipeline(OneHotEncoder(handle_unknown="ignore"), SGDClassifier())
    sisa = SISAClassifier(learner, n_shards=2, n_slices=2, random_state=0)
    sisa.fit(NUMBERS, y)
    before = [digest(member) for member in sisa.estimators_]
    with pytest.raises(ValueError, match="cannot represent"):
        sisa.partial_fit(NUMBERS[:9].astype({"a": str}), y[:9])
    assert [digest(member) for member in sisa.estimators_] == before
    assert sisa.n_rows_ == 60


def test_texts_may_come_in_lists_and_arrays():
    words = ["a", "b", "c"]
    assert in_types_of(words, np.array(words)) == words
    assert in_types_of(np.array(words, dtype=object), words).dtype == object
    assert in_types_of(np.array(words), ["longer"]).tolist() == ["longer"]
