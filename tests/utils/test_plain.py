"""Pandas containers come back from their plain form as they were."""

import datetime as dt
import pickle
import uuid
import warnings
from collections import Counter, OrderedDict, defaultdict, namedtuple
from decimal import Decimal
from enum import Enum, Flag, IntEnum
from fractions import Fraction
from pathlib import PurePosixPath
from zoneinfo import ZoneInfo

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
    "offset": pd.date_range("2024-01-01", periods=N, tz="UTC+02:30").as_unit("s"),
    "of zoned": pd.Categorical(pd.date_range("2024-01-01", periods=N, tz="UTC")),
    "of intervals": pd.cut(np.arange(N), 3),
    "spans": pd.IntervalIndex.from_breaks(pd.date_range("2024", periods=N + 1)),
    "durations": pd.timedelta_range("1h", periods=N),
    "dates in objects": np.array([pd.Timestamp("2024"), pd.NaT, pd.NA, *"abcd"], "O"),
    "periods": pd.period_range("2024-01", periods=N, freq="M"),
    "intervals": pd.interval_range(0, N),
    "sparse": pd.arrays.SparseArray([0, 0, 1, 0, 0, 2, 0]),
}  # fmt: skip


def there_and_back(value):
    return from_plain(pickle.loads(pickle.dumps(to_plain(value))))


def through_skops(value):
    skops_io = pytest.importorskip("skops.io")
    saved = skops_io.dumps(to_plain(value))
    types = skops_io.get_untrusted_types(data=saved)
    return from_plain(skops_io.loads(saved, trusted=types))


def trips(value):
    return there_and_back(value), through_skops(value)


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_of_any_type_comes_back(name):
    series = take(pd.Series(COLUMNS[name], name="a name"), np.arange(N))
    assert isinstance(to_plain(series), PlainRows)
    frame = series.to_frame(pd.Timestamp("2024"))
    for back in trips(series):
        pd.testing.assert_series_equal(back, series)
    for given in (frame, frame[:0]):
        for back in trips(given):
            pd.testing.assert_frame_equal(back, given, check_freq=False)


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


class Sex(Enum):
    WOMAN = "w"
    MAN = object()


class Number(IntEnum):
    ONE = 1


class Right(Flag):
    READ = 1
    WRITE = 2


Pair = namedtuple("Pair", ["first", "second"])
PARIS = ZoneInfo("Europe/Paris")
VALUES = [
    "text", "\ud800", b"\xff", 2**70, -0.0, float("inf"), True, None, 2 - 1j,
    Decimal("1.50"), Fraction(1, 3), uuid.UUID(int=3), PurePosixPath("a/b"),
    Sex.WOMAN, Sex.MAN, Number.ONE, Right.READ | Right.WRITE,
    dt.date(2024, 1, 1), dt.time(1, tzinfo=dt.UTC), dt.timedelta(1, 2, 3),
    dt.datetime(9999, 12, 31), dt.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=PARIS),
    pd.Timestamp("2024-10-27 00:30", tz="UTC").tz_convert("Europe/Paris"),
    pd.Timestamp("2024", tz=dt.timezone(dt.timedelta(hours=2, minutes=3))),
    pd.Timestamp(1), pd.NaT, pd.NA, pd.Timedelta(1), pd.Period("2024-01", "M"),
    pd.Interval(pd.Timestamp("2024"), pd.Timestamp("2025"), closed="left"),
    np.float32(0.1), np.int8(1), np.datetime64("2024"), np.timedelta64(3, "s"),
    np.arange(3), np.array([[1, "a"], ["b", None]], dtype=object),
    np.empty((0, 2), dtype=object), {1: "a", "1": "b", (2,): [3]}, {True: 1, None: 2},
    Counter([1, 1, (2,)]), defaultdict(list, {1: [2]}), OrderedDict([(2, 1), (1, 2)]),
    {Sex.WOMAN, 1}, frozenset({(1, 2)}), Pair(1, Sex.MAN), Pair(1, 2),
    [1, [Sex.WOMAN, {"a": pd.NaT}]], (1, (Sex.MAN,)),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_of_any_type_comes_back(value):
    column = np.fromiter([value, "another"], dtype=object, count=2)
    for given in ([value, 1], column, pd.Series(column, dtype=object)):
        for back in trips(given):
            assert type(back) is type(given)
            assert len(back) == 2
            assert type(back[0]) is type(value)
            # Sets have no order to print.
            assert repr(back[0]) == repr(value) or back[0] == value


def test_zones_of_pytz_come_back():
    pytz = pytest.importorskip("pytz")
    paris = pytz.timezone("Europe/Paris")
    twice = dt.datetime(2024, 10, 27, 2, 30)
    values = [
        paris.localize(twice, is_dst=True), paris.localize(twice, is_dst=False),
        twice.replace(tzinfo=pytz.UTC), twice.replace(tzinfo=pytz.FixedOffset(90)),
        pd.Timestamp("2024-07-01", tz=paris), dt.time(1, tzinfo=pytz.UTC),
    ]  # fmt: skip
    for back in trips(values):
        assert list(map(repr, back)) == list(map(repr, values))


def test_singletons_come_back_as_themselves():
    for back in trips([pd.NaT, pd.NA, None, Sex.MAN]):
        assert all(a is b for a, b in zip(back, [pd.NaT, pd.NA, None, Sex.MAN]))


ARROW = {
    "float64": [0.5, None], "int64": [2**62 + 1, None], "string": ["a", None],
    "bool_": [True, None], "binary": [b"a", None], "null": [None, None],
    "date32": [dt.date(2024, 1, 1), None],
}  # fmt: skip


@pytest.mark.parametrize("kind", [*ARROW, "list", "struct", "decimal", "zoned"])
def test_a_column_of_arrow_comes_back(kind):
    pa = pytest.importorskip("pyarrow")
    nested = {
        "list": (pa.list_(pa.int64()), [[1, 2], None]),
        "struct": (pa.struct([("a", pa.int64())]), [{"a": 1}, None]),
        "decimal": (pa.decimal128(5, 2), [Decimal("1.5"), None]),
        "zoned": (
            pa.timestamp("us", tz="Europe/Paris"),
            [dt.datetime(2024, 1, 1), None],
        ),
    }
    of, values = nested[kind] if kind in nested else (getattr(pa, kind)(), ARROW[kind])
    series = pd.Series(pd.array(values * 4, dtype=pd.ArrowDtype(of)))
    for given in (series, take(series, np.arange(1, 4)), series[:0]):
        for back in trips(given):
            assert back.dtype == given.dtype
            assert pa.array(back).to_pylist() == pa.array(given).to_pylist()


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
