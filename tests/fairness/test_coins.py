import datetime as dt
from collections import OrderedDict
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse
from scipy.stats import kstest

from sklearn_fairsisa._utils.columns import row_columns
from sklearn_fairsisa.fairness._coins import row_coins

# Texts of any width, which NumPy has since version 2.
STRINGS = getattr(np.dtypes, "StringDType", lambda: object)()


@given(
    X=arrays(
        np.float64,
        st.tuples(st.integers(1, 8), st.integers(1, 5)),
        elements=st.one_of(
            st.sampled_from([0.0, -0.0, 0.1, np.nan, np.inf, 1e-60]),
            st.floats(-1e6, 1e6),
        ),
    ),
    seed=st.integers(0, 2**31 - 1),
)
@settings(max_examples=60, deadline=None)
def test_container_width_order_and_batch_do_not_matter(X, seed):
    coins = row_coins(X, seed)
    single = X.astype(np.float32)
    frame = pd.DataFrame(X).add_prefix("c")
    same = [
        single,
        np.asfortranarray(X),
        sparse.csr_array(X),
        sparse.csc_matrix(single),
        [X[:, j].astype(object) for j in range(X.shape[1])],
        row_columns(frame),
        row_columns(frame.astype(np.float32)),
        row_columns(pl.DataFrame(frame.to_dict("list"))),
        row_columns(X.tolist()),
    ]
    for columns in same:
        np.testing.assert_array_equal(row_coins(columns, seed), coins)
    for i in range(len(X)):
        assert row_coins(X[[i]], seed)[0] == coins[i]


def test_integers_booleans_and_floats_of_equal_value_share_a_coin():
    X = np.array([[0, 1], [1, 0], [1, 1]])
    for dtype in (bool, np.uint8, np.int64, np.float32, object):
        np.testing.assert_array_equal(row_coins(X.astype(dtype), 5), row_coins(X, 5))


def test_duplicate_entries_of_a_sparse_matrix_are_summed():
    twice = sparse.csr_array(([1.0, 2.0], [0, 0], [0, 2]), shape=(1, 1))
    np.testing.assert_array_equal(row_coins(twice, 0), row_coins(np.array([[3.0]]), 0))
    assert twice.nnz == 2


def test_texts_and_mixed_frames_are_hashed_by_value():
    texts = ["a fine post", "another", "", "ünïcode"]
    coins = row_coins(row_columns(texts), 1)
    assert len(set(coins)) == 4
    for same in (np.array(texts), np.array(texts, dtype=object), pd.Series(texts)):
        np.testing.assert_array_equal(row_coins(row_columns(same), 1), coins)
    frame = pd.DataFrame(
        {
            "text": texts,
            "age": [1, 2, 3, 4],
            "kind": pd.Categorical(["x", "y", "x", "y"]),
            "seen": pd.to_datetime(["2020-01-01"] * 4),
            "maybe": pd.array([1, None, 2, None], dtype="Int64"),
        }
    )
    mixed = row_coins(row_columns(frame), 1)
    assert len(set(mixed)) == 4
    backwards = row_coins(row_columns(frame.iloc[::-1]), 1)
    np.testing.assert_array_equal(backwards[::-1], mixed)
    wider = frame.astype({"age": np.float64, "kind": object})
    np.testing.assert_array_equal(row_coins(row_columns(wider), 1), mixed)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ([["ab", "c"]], [["a", "bc"]]),
        ([["1", 2]], [[1, "2"]]),
        ([["", 1.0]], [[0, 1.0]]),
        ([[1.0, 0.0]], [[0.0, 1.0]]),
        ([[0.0]], [[np.nan]]),
    ],
)
def test_different_rows_get_different_coins(left, right):
    coins = [row_coins(np.array(x, dtype=object), 0)[0] for x in (left, right)]
    assert coins[0] != coins[1]


def test_coins_are_uniform_and_seeds_independent():
    X = np.arange(20_000.0)[:, None]
    one, other = row_coins(X, 0), row_coins(X, 1)
    assert kstest(one, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.03
    assert ((one >= 0) & (one < 1)).all()


class Number(IntEnum):
    ONE = 1


class Word(StrEnum):
    YES = "yes"


class OldWord(str, Enum):  # noqa: UP042
    YES = "yes"


def coin(column):
    """Coin of a column's only row, which is the same in a longer list of rows."""
    column = column if hasattr(column, "dtype") else as_objects(column)
    (alone,) = row_coins([column], 3)
    return alone


def as_objects(values):
    return np.fromiter(values, dtype=object, count=len(values))


DAY = dt.datetime(1969, 2, 1, 23, 0)
TOKYO = dt.datetime(1969, 2, 2, 8, 0, tzinfo=ZoneInfo("Asia/Tokyo"))
UNITS = ["h", "m", "s", "ms", "us", "ns", "10m"]
EQUAL = {
    "numbers": [
        *(np.array([1], dtype=kind) for kind in ["?", "i1", "u8", ">i4", "f2", ">f8"]),
        np.array([1], dtype="g"),
        np.array([1], dtype="c8"),
        *([kind(1)] for kind in (bool, int, float, complex, Decimal, Fraction)),
        *([kind(1)] for kind in (np.bool_, np.int8, np.uint64, np.float16, np.float32)),
        [np.longdouble(1)],
        [np.complex64(1)],
        [Decimal("1.000")],
        [np.array(1)],
        [np.array(1.0, dtype=object)],
        [Number.ONE],
        pd.array([1], dtype="Int64").to_numpy(),
        pd.Series(pd.Categorical([1.0])).to_numpy(),
        pl.Series([Decimal(1)]).to_numpy(),
    ],
    "tenths": [
        np.array([0.1]), np.array([0.1], dtype=">f4"), [np.float32(0.1)],
        [Decimal("0.1")], [Fraction(1, 10)], [np.longdouble(1) / 10],
    ],
    "zeros": [
        np.array([0]), np.array([-0.0]), [-0.0], [Decimal("-0")], [False], [0j],
        [1e-60], [Decimal("1e-400")],
    ],
    "whole numbers beyond double precision": [
        np.array([2**54 + 2**30 + 1]), [2**54 + 2**30 + 1],
        np.array([2**54 + 2**30 + 1], dtype=np.uint64), [Decimal(2**54 + 2**30 + 1)],
        np.array([2**54 + 2**30 + 1], dtype=float),
        np.array([2**54 + 2**30 + 1], dtype="g"),
    ],
    "more than a float holds": [
        [10**400], [Fraction(10**400)], [Decimal("1e400")], np.array([np.inf]), [1e39],
    ],
    "missing": [
        np.array([np.nan]), [None], [float("nan")], [pd.NA], [pd.NaT],
        [np.float32("nan")],
        [Decimal("nan")], [Decimal("snan")], [np.datetime64("nat")], [complex("nan")],
        np.array(["nat"], dtype="M8[s]"), np.array(["nat"], dtype="M8"),
        np.array(["nat"], dtype="m8[D]"), [np.timedelta64("nat")],
        pd.array([None], dtype="boolean").to_numpy(),
    ],
    "instants": [
        *(np.array([DAY], dtype=f"M8[{unit}]") for unit in UNITS),
        np.array([DAY], dtype=">M8[s]"),
        [DAY],
        [TOKYO],
        [pd.Timestamp(DAY)],
        [pd.Timestamp(TOKYO)],
        [np.datetime64(DAY)],
        [np.datetime64(DAY, "ns")],
        pd.Series([TOKYO]).to_numpy(),
        pd.Series([TOKYO]).dt.tz_convert("America/Lima").astype("category").to_numpy(),
        pl.Series([DAY]).dt.replace_time_zone("UTC").to_numpy(),
    ],
    "days": [
        np.array(["2020-02-01"], dtype="M8[D]"), np.array(["2020-02"], dtype="M8[M]"),
        [dt.date(2020, 2, 1)], [dt.datetime(2020, 2, 1)], [pd.Timestamp("2020-02-01")],
        pl.Series([dt.date(2020, 2, 1)]).to_numpy(),
    ],
    "far years": [
        np.array(["3000-01-01"], dtype="M8[D]"), np.array(["3000"], dtype="M8[s]"),
        [dt.datetime(3000, 1, 1)], [dt.date(3000, 1, 1)],
    ],
    "nanoseconds": [
        [pd.Timestamp("2020-01-01 00:00:00.123456789")],
        [pd.Timestamp("2020-01-01 09:00:00.123456789", tz="Asia/Tokyo")],
        np.array(["2020-01-01T00:00:00.123456789"], dtype="M8[ns]"),
        [np.datetime64("2020-01-01T00:00:00.123456789")],
    ],
    "picoseconds": [
        np.array(["1969-12-31T23:59:59.9"], dtype="M8[ps]"),
        np.array(["1969-12-31T23:59:59.9"], dtype="M8[ms]"),
        np.array(["1969-12-31T23:59:59.9"], dtype="M8[as]"),
        [dt.datetime(1969, 12, 31, 23, 59, 59, 900_000)],
    ],
    "durations": [
        *(np.array([dt.timedelta(hours=-48)], dtype=f"m8[{u}]") for u in UNITS),
        np.array([-2], dtype="m8[D]"), [dt.timedelta(-2)], [pd.Timedelta(days=-2)],
        [np.timedelta64(-2, "D")], pl.Series([dt.timedelta(-2)]).to_numpy(),
    ],
    "months": [np.array([1], dtype="m8[Y]"), np.array([12], dtype="m8[M]")],
    "texts": [
        np.array(["yes"]), np.array(["yes"], dtype=">U9"), ["yes"], [np.str_("yes")],
        [Word.YES], [OldWord.YES], pd.array(["yes"], dtype="string").to_numpy(),
        np.array(["yes"], dtype=STRINGS),
        pd.Series(["yes"], dtype="category").to_numpy(), pl.Series(["yes"]).to_numpy(),
        pl.Series(["yes"], dtype=pl.Categorical).to_numpy(),
    ],
    "octets": [
        np.array([b"\xff\x00a"]), [b"\xff\x00a"], [np.bytes_(b"\xff\x00a")],
        [bytearray(b"\xff\x00a")], pl.Series([b"\xff\x00a"]).to_numpy(),
    ],
    "intervals": [[pd.Interval(0, 17)], [pd.Interval(0.0, np.int8(17))]],
    "vectors": [
        [[1, 0.1, -0.0]], [(1, 0.1, 0)], [np.array([1, 0.1, 0])],
        [np.array([1, 0.1, 0], dtype=np.float32)], [[True, Decimal("0.1"), 0]],
        pl.Series([[1.0, 0.1, 0.0]]).to_numpy(), [pl.Series([1.0, 0.1, 0.0])],
        [pd.Series([1, 0.1, 0], index=[3, 4, 5])],
        pl.Series([[1.0, 0.1, 0.0]], dtype=pl.Array(pl.Float32, 3)).to_numpy(),
    ],
    "mappings": [
        [{"a": 1, "b": "x"}], [{"b": np.str_("x"), "a": np.float32(1)}],
        [OrderedDict(b="x", a=True)],
    ],
    "sets": [[{"a", "b", "c"}], [frozenset("cba")]],
}  # fmt: skip


@pytest.mark.parametrize("kind", list(EQUAL))
def test_equal_values_share_a_coin_whatever_their_type(kind):
    assert len({coin(column) for column in EQUAL[kind]}) == 1


def test_values_of_different_kinds_do_not():
    assert len({coin(columns[0]) for columns in EQUAL.values()}) == len(EQUAL)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (["NaT"], [None]),
        (["<NA>"], [None]),
        ([["1"]], [[1]]),
        ([["a", "b"]], [["ab"]]),
        ([[1, 2]], [[2, 1]]),
        ([[[1], 2]], [[1, 2]]),
        ([np.arange(2000)], [np.arange(2000) * (np.arange(2000) != 1000)]),
        ([{"a": 1}], [{"a": 2}]),
        ([{"a": "b"}], [{"b": "a"}]),
        ([{"ab"}], [{"a", "b"}]),
        ([pd.Interval(0, 1)], [pd.Interval(0, 1, closed="left")]),
        ([np.datetime64("2020-01-01T00:00:00.000000001")], [np.datetime64("2020")]),
        ([np.timedelta64(1, "ps")], [np.timedelta64(1, "ns")]),
        (["\ud800"], ["\udfff"]),
        (np.array([1j]), np.array([2j])),
    ],
)
def test_other_values_have_other_coins(left, right):
    assert coin(left) != coin(right)


@given(
    st.lists(
        st.datetimes(
            dt.datetime(2, 1, 1), dt.datetime(9998, 1, 1), timezones=st.just(dt.UTC)
        ),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from(["Asia/Tokyo", "America/Lima", "UTC"]),
)
@settings(max_examples=60, deadline=None)
def test_coins_of_instants_do_not_depend_on_zone_and_unit(instants, zone):
    plain = np.array([t.replace(tzinfo=None) for t in instants], dtype="M8[us]")
    coins = row_coins([plain], 0)
    same = [as_objects([t.astimezone(ZoneInfo(zone)) for t in instants])]
    same.append(plain.astype(">M8[us]"))
    if all(1700 < t.year < 2200 for t in instants):
        # Beyond these years old versions of pandas end the process.
        zoned = pd.Series(plain).dt.tz_localize("UTC").dt.tz_convert(zone)
        same += [plain.astype("M8[ns]"), zoned.to_numpy()]
    for column in same:
        np.testing.assert_array_equal(row_coins([column], 0), coins)


@given(st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_coins_of_durations_are_those_of_their_nanoseconds(counts):
    one = np.array(counts, dtype="m8[ns]")
    other = as_objects(list(one.astype("m8[ns]")))
    np.testing.assert_array_equal(row_coins([one], 0), row_coins([other], 0))
    coarse = np.array(counts, dtype=np.int64) // 10**9
    seconds = coarse.astype("m8[s]")
    np.testing.assert_array_equal(
        row_coins([seconds], 0), row_coins([seconds.astype("m8[ns]")], 0)
    )
    assert dict(zip(counts, row_coins([one], 3))) == {
        count: coin([dt.timedelta(microseconds=count // 1000)])
        if count % 1000 == 0
        else row_coins([np.array([count], dtype="m8[ns]")], 3)[0]
        for count in counts
    }


@given(st.lists(st.integers() | st.floats(), min_size=1, max_size=6))
@settings(max_examples=100, deadline=None)
def test_a_number_has_one_coin_beside_any_other_column(numbers):
    objects = as_objects(numbers)
    coins = row_coins([objects], 1)
    for beside in (
        np.zeros(len(numbers), dtype=kind) for kind in ("?", "f4", "u8", "g")
    ):
        np.testing.assert_array_equal(row_coins([objects, beside], 1), coins)
    for i, number in enumerate(numbers):
        if isinstance(number, float) or abs(number) < 2**63:
            array = np.array([number])
            assert row_coins(array[:, None], 1)[0] == coins[i]
            assert row_coins([array, np.array([0.0], dtype="g")], 1)[0] == coins[i]
            assert row_coins(sparse.csr_array(array[:, None]), 1)[0] == coins[i]


def test_a_row_has_one_coin_beside_longer_and_shorter_rows():
    rows = [["a"], ["a", "b"], ["a", "c", "d"], []]
    coins = row_coins(row_columns(rows), 0)
    assert len(set(coins)) == 4
    for row, expected in zip(rows, coins):
        if row:
            assert row_coins(row_columns([row]), 0) == expected


def test_rows_of_more_dimensions_have_coins():
    images = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(
        row_coins(row_columns(images), 0), row_coins(images.reshape(2, 12), 0)
    )


def test_texts_keep_their_last_character():
    for texts in (["a\0"], np.array(["a\0"], dtype=object), pd.Series(["a\0"])):
        assert row_coins(row_columns(texts), 0) == row_coins(row_columns(["a\0"]), 0)
    assert row_coins(row_columns(["a\0"]), 0) != row_coins(row_columns(["a"]), 0)


class Opaque:
    """Known by its address alone."""


class Described:
    def __repr__(self):
        return "Described()"


def test_what_has_no_value_has_no_coin():
    with pytest.raises(TypeError, match="holds a Opaque, which has no text of its own"):
        coin([Opaque()])
    with pytest.raises(TypeError, match="Opaque"):
        coin([[1, Opaque()]])
    assert coin([Described()]) == coin(["Described()"])


def test_columns_of_arrow_have_the_same_coins():
    pa = pytest.importorskip("pyarrow")
    times = pd.Series([DAY, None])
    frame = pd.DataFrame({"n": [1.0, np.nan], "s": ["x", None], "t": times})
    arrow = pd.DataFrame(
        {
            "n": pd.Series([1, None], dtype=pd.ArrowDtype(pa.int8())),
            "s": pd.Series(["x", None], dtype="string[pyarrow]"),
            "t": times.dt.tz_localize("UTC").astype(
                pd.ArrowDtype(pa.timestamp("s", "Asia/Tokyo"))
            ),
        }
    )
    np.testing.assert_array_equal(
        row_coins(row_columns(arrow), 0), row_coins(row_columns(frame), 0)
    )
