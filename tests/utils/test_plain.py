"""Pandas containers come back from their plain form as they were."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest

from sklearn_fairsisa._utils.containers import take
from sklearn_fairsisa._utils.plain import PlainRows, from_plain, to_plain

N = 7
COLUMNS = {
    "floats": np.linspace(0, 1, N),
    "single": np.linspace(0, 1, N).astype(np.float32),
    "integers": np.arange(N),
    "booleans": np.arange(N) % 2 == 0,
    "objects": np.array(["a", None, 3, "b", np.nan, "c", "d"], dtype=object),
    "dates": np.array(["2024-01-01"] * N, dtype="datetime64[ns]"),
    "category": pd.Categorical(["b", "a", None, "b", "c", "a", "b"]),
    "ordered": pd.Categorical([3, 1, 2, 3, 1, 2, None], [1, 2, 3], ordered=True),
    "of dates": pd.Categorical(pd.to_datetime(["2024-01-01", None] * 3 + [None])),
    "string": pd.array(["a", None, "b", "c", "d", "e", "f"], dtype="string"),
    "Int64": pd.array([1, None, 3, 4, 5, 6, 2**62 + 1], dtype="Int64"),
    "UInt8": pd.array([1, None, 3, 4, 5, 6, 255], dtype="UInt8"),
    "Float32": pd.array([0.5, None, 3, 4, 5, 6, 7], dtype="Float32"),
    "boolean": pd.array([True, None, False] * 2 + [True], dtype="boolean"),
    "zoned": pd.date_range("2024-01-01", periods=N, tz="Europe/Zurich"),
    "periods": pd.period_range("2024-01", periods=N, freq="M"),
    "intervals": pd.interval_range(0, N),
    "sparse": pd.arrays.SparseArray([0, 0, 1, 0, 0, 2, 0]),
}  # fmt: skip


def there_and_back(value):
    return from_plain(pickle.loads(pickle.dumps(to_plain(value))))


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_of_any_type_comes_back(name):
    series = take(pd.Series(COLUMNS[name], name="a name"), np.arange(N))
    assert isinstance(to_plain(series), PlainRows)
    pd.testing.assert_series_equal(there_and_back(series), series)
    frame = series.to_frame("x")
    pd.testing.assert_frame_equal(there_and_back(frame), frame)
    pd.testing.assert_frame_equal(there_and_back(frame[:0]), frame[:0])


def test_a_frame_comes_back_in_the_layout_of_rows():
    frame = take(pd.DataFrame(COLUMNS), np.arange(N)[::-1])
    back = there_and_back(frame)
    pd.testing.assert_frame_equal(back, frame)
    numbers = frame[["floats"]].assign(more=frame["floats"] * 2)
    numbers = take(numbers, np.arange(N))
    for one in (numbers, there_and_back(numbers)):
        assert one.to_numpy().flags.f_contiguous
    assert not np.shares_memory(back["floats"].to_numpy(), frame["floats"].to_numpy())


@pytest.mark.parametrize(
    "labels",
    [
        ["a", "b"],
        [0, 1],
        pd.Index([0.5, 1.5], name="cut"),
        pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["one", "two"]),
        pd.CategoricalIndex(["x", "y"]),
        pd.to_datetime(["2024-01-01", "2024-01-02"]),
        ["same", "same"],
        ["a", 1],
    ],
    ids=str,
)
def test_labels_of_columns_come_back(labels):
    frame = pd.DataFrame(np.eye(2), columns=labels)
    back = there_and_back(frame)
    pd.testing.assert_frame_equal(
        back, frame, check_column_type=False, check_freq=False
    )


def test_other_containers_are_plain_already():
    given = {"array": np.arange(3), "list": ["a"], "nothing": None}
    back = there_and_back(given)
    assert back.keys() == given.keys()
    np.testing.assert_array_equal(back["array"], given["array"])
    nested = there_and_back({"weights": pd.Series([1.0, 2.0])})
    pd.testing.assert_series_equal(nested["weights"], pd.Series([1.0, 2.0]))


def test_texts_that_arrow_holds_come_back():
    pytest.importorskip("pyarrow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        series = pd.Series(["a", None, "b"], dtype="string[pyarrow]")
    pd.testing.assert_series_equal(there_and_back(series), series)
