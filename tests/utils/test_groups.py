"""Groups are compared by value, whatever holds them."""

import datetime as dt
import pickle
from collections import OrderedDict, namedtuple
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars
import pytest
from fairlearn.metrics import MetricFrame, selection_rate
from fairlearn.postprocessing import ThresholdOptimizer
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa._utils.groups import (
    check_groups,
    distinct,
    encode_groups,
    group_codes,
    merged_groups,
)
from sklearn_fairsisa.metrics import FairlearnAdapter, group_rates
from sklearn_fairsisa.plotting import GroupRocDisplay

# Texts of any width, which NumPy has since version 2.
STRINGS = getattr(np.dtypes, "StringDType", lambda: object)()


@given(
    values=st.sampled_from(["i2", "u1", "f8", "U3", "S3", "?", "M8[D]", ">i4"]).flatmap(
        lambda kind: arrays(kind, st.integers(0, 30))
    )
)
@settings(max_examples=100, deadline=None)
def test_distinct_values_are_those_of_a_sort(values):
    values = values[values == values]
    names, code = distinct(values)
    expected = np.unique(values, return_inverse=True)
    np.testing.assert_array_equal(names, expected[0])
    np.testing.assert_array_equal(code, expected[1])
    assert names.dtype == values.dtype


def test_a_row_without_a_group_has_no_code():
    groups = np.ma.masked_array(["b", "?", "a", "b"], mask=[0, 1, 0, 0])
    names, code = encode_groups(groups)
    np.testing.assert_array_equal(names, ["a", "b"])
    np.testing.assert_array_equal(code, [1, -1, 0, 1])


class Sex(Enum):
    WOMAN = "w"
    MAN = object()


class Number(IntEnum):
    TWO = 2
    ZERO = 0
    ONE = 1


class Word(StrEnum):
    NO = "0"
    YES = "1"


class OldWord(str, Enum):  # noqa: UP042
    NO = "0"
    YES = "1"


class Unordered:
    """Hashable by identity."""


Pair = namedtuple("Pair", ["sex", "age"])

DAY = dt.datetime(2020, 2, 1)
DTYPES = ["i1", "i8", "u2", "f2", "f4", "f8", "g", ">i4", ">f8", ">f4"]
CODES = np.array([1, 0, 2, 1, 0, 1])
NUMBERS = {
    **{kind: CODES.astype(kind) for kind in DTYPES},
    "object": CODES.astype(object),
    "scalars in objects": np.array([np.int8(1), 0.0, Fraction(2), True, -0.0, 1], "O"),
    "decimals": [Decimal(int(code)) for code in CODES],
    "decimals with zeros": [Decimal(f"{code}.00") for code in CODES],
    "list": CODES.tolist(),
    "tuple": tuple(CODES.tolist()),
    "category": pd.Categorical(CODES),
    "category of floats": pd.Series(pd.Categorical(CODES.astype(float))),
    "nullable": pd.Series(CODES, dtype="Int64"),
    "nullable floats": pd.Series(CODES, dtype="Float32"),
    "index": pd.Index(CODES),
    "series": pd.Series(CODES, index=range(6, 0, -1)),
    "pandas sparse": pd.arrays.SparseArray(CODES),
    "polars": polars.Series(CODES),
    "polars floats": polars.Series(CODES.astype(np.float32)),
    "polars decimals": polars.Series([Decimal(int(code)) for code in CODES]),
    "one column": CODES[:, None],
    "one column in a list": CODES[:, None].tolist(),
    "frame": pd.DataFrame({"a": CODES}),
    "int enum": [Number(code) for code in CODES],
    "masked array": np.ma.masked_array(CODES, mask=np.zeros(6)),
    "mapping": OrderedDict(a=CODES),
    "record": np.array([(code,) for code in CODES], dtype=[("a", "i8")]),
    "tuples of one": [(code,) for code in CODES],
}


@pytest.mark.parametrize("kind", list(NUMBERS))
@pytest.mark.parametrize("fitted", ["i8", "f8", "decimals", "category of floats"])
def test_equal_numbers_are_one_group_whatever_their_type(kind, fitted):
    names, _ = encode_groups(check_groups(NUMBERS[fitted]))
    assert names.tolist() == [0, 1, 2]
    code = group_codes(check_groups(NUMBERS[kind], 6), names, accepts_unknown=False)
    np.testing.assert_array_equal(code, CODES)
    own, own_code = encode_groups(check_groups(NUMBERS[kind]))
    np.testing.assert_array_equal(own, [0, 1, 2])
    np.testing.assert_array_equal(own_code, CODES)


# Each in spellings between which the order of rows, or a forgotten one, once chose.
SPELLINGS = [
    [1, 1.0, True, np.int8(1), np.float32(1), Decimal("1.00"), Fraction(1), 1 + 0j],
    [0, -0.0, False, np.float16(0), Decimal("-0")],
    [0.5, np.float32(0.5), Decimal("0.50"), Fraction(1, 2)],
    [0.1, np.float32(0.1), np.float16(0.1), Decimal("0.1")],
    [2**60, float(2**60), Decimal(2**60)],
    ["1", np.str_("1"), Word.YES, OldWord.YES],
    [b"1", np.bytes_(b"1")],
    [pd.Interval(0, 17), pd.Interval(0.0, 17.0)],
    [
        dt.date(2020, 2, 1), DAY, pd.Timestamp(DAY).as_unit("s"),
        np.datetime64("2020-02"), np.datetime64(DAY, "ns"), DAY.replace(tzinfo=dt.UTC),
        dt.datetime(2020, 2, 1, 9, tzinfo=ZoneInfo("Asia/Tokyo")),
    ],
    [pd.Timestamp(1), np.datetime64(1, "ns"), np.datetime64(1000, "ps")],
    [dt.timedelta(2), np.timedelta64(2, "D"), pd.Timedelta(days=2)],
    [pd.Timedelta(1), np.timedelta64(1, "ns")],
]  # fmt: skip


@pytest.mark.parametrize("spellings", SPELLINGS, ids=lambda values: repr(values[0]))
def test_how_a_group_is_displayed_follows_from_its_value_alone(spellings):
    shown = set()
    for spelling in spellings:
        for others in ([], spellings, spellings[::-1]):
            names, code = encode_groups(check_groups([spelling, *others]))
            assert code.max() == 0
            shown.add((names.dtype, type(names[0]), repr(names)))
            later, *_ = merged_groups(names, code, check_groups([spellings[-1]]))
            shown.add((later.dtype, type(later[0]), repr(later)))
    assert len(shown) == 1


SPELLED = {
    "numbers": ([0, 1], [0.0, -0.0, False, np.float32(0), Decimal(0), 1, None, np.nan]),
    "floats": ([0.1, 0.6], [np.float32(0.1), Decimal("0.1")]),
    "booleans": ([False, True], [1, 0.0, None]),
    "dates": (
        [dt.date(2020, 1, 1), dt.date(2021, 1, 1)],
        [np.datetime64("2021"), pd.Timestamp("2020", tz="UTC"), pd.NaT],
    ),
}


@pytest.mark.parametrize("kind", list(SPELLED))
def test_how_a_forgotten_row_spelled_its_group_and_label_shows_nowhere(kind):
    pair, spellings = SPELLED[kind]
    plain = [pair[i % 2] for i in range(150)]
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(150, 2))
    labels = (rows[:, 0] + rng.normal(size=150) > 0).astype(int).tolist()
    shown = set()
    for spelling in (pair[0], *spellings):
        sisa = SISAClassifier(
            SGDClassifier(loss="log_loss"), n_shards=3, random_state=0
        )
        fair = FairEnsemblePostprocessor(
            sisa,
            constraints="demographic_parity",
            unknown_group="unconstrained",
            random_state=0,
        )
        label = 1.0 if spelling in spellings else 0
        fair.fit(rows, [label, *labels[1:]], sensitive_features=[spelling, *plain[1:]])
        fair.forget(0)
        chosen = fair.selection_probability(rows, sensitive_features=plain)
        shown.add(
            (repr(fair.groups_), repr(fair.classes_), chosen.tobytes())
            + (fair.rule_.to_csv(), fair.groups_.dtype, fair.classes_.dtype)
        )
    assert len(shown) == 1


def test_times_that_have_no_length_or_place_are_refused_by_name():
    for values in (np.array([3], "m8[M]"), [np.datetime64(10**7, "Y")]):
        with pytest.raises(ValueError, match=r"holds .* cannot represent .* astype"):
            check_groups(values)


WORDS = {
    "fixed width": np.array(["1", "0", "1"]),
    "wide": np.array(["1", "0", "1"], dtype="U90"),
    "other byte order": np.array(["1", "0", "1"], dtype=">U1"),
    "object": np.array(["1", "0", "1"], dtype=object),
    "scalars": [np.str_("1"), "0", np.str_("1")],
    "variable width": np.array(["1", "0", "1"], dtype=STRINGS),
    "string": pd.array(["1", "0", "1"], dtype="string"),
    "string of Python": pd.array(["1", "0", "1"], dtype="string[python]"),
    "category": pd.Categorical(["1", "0", "1"], categories=["?", "1", "0"]),
    "polars": polars.Series(["1", "0", "1"]),
    "polars enum": polars.Series(["1", "0", "1"], dtype=polars.Enum(["1", "0"])),
    "enum of str": [Word.YES, Word.NO, Word.YES],
    "enum with str": [OldWord.YES, OldWord.NO, OldWord.YES],
}


@pytest.mark.parametrize("kind", list(WORDS))
def test_equal_texts_are_one_group_and_no_number(kind):
    groups = check_groups(WORDS[kind])
    names, _ = encode_groups(check_groups(["0", "1"]))
    code = group_codes(groups, names, accepts_unknown=False)
    assert code.tolist() == [1, 0, 1]
    assert encode_groups(groups)[0].tolist() == ["0", "1"]
    numbers = np.array([0, 1])
    assert group_codes(groups, numbers, accepts_unknown=True).tolist() == [-1] * 3
    octets = check_groups([b"1", b"0"])
    assert group_codes(octets, names, accepts_unknown=True).tolist() == [-1, -1]


def test_values_that_numpy_would_cut_or_round_stay_apart():
    texts = ["a", "a\0"]
    # Old versions of pandas read texts up to their first zero.
    reads_whole = len(pd.unique(np.array(texts, dtype=object))) == 2
    for values in (
        *([texts] if reads_whole else []),
        [b"a", b"a\0"],
        [2**70, 2**70 + 1],
        [-1, 2**63 + 1, 2**63],
        [2**53 + 1, 2.0**53, 0.5],
    ):
        names, code = encode_groups(check_groups(values))
        assert names.tolist() == sorted(values)
        assert len(set(code)) == len(values)


@pytest.mark.parametrize("kind", ["f2", "f4", ">f4"])
@pytest.mark.parametrize("number", [0.1, 0.3, -2.7, 18.4])
def test_the_width_of_a_float_does_not_matter(kind, number):
    narrow = np.array([number], dtype=kind)
    names, _ = encode_groups(check_groups(np.array([number])))
    upcast = narrow.astype(float)
    for groups in (narrow, upcast, narrow.astype(object), [Decimal(str(number))]):
        code = group_codes(check_groups(groups), names, accepts_unknown=False)
        assert code == [0]
        assert encode_groups(check_groups(groups))[0] == names


UNITS = ["M", "D", "h", "s", "ms", "us", "ns"]
TIMES = {
    **{f"M8[{u}]": np.array([DAY], dtype=f"M8[{u}]") for u in UNITS},
    "date": [dt.date(2020, 2, 1)],
    "datetime": [DAY],
    "numpy scalar": [np.datetime64("2020-02-01T00")],
    "timestamp": [pd.Timestamp(DAY)],
    "UTC": [DAY.replace(tzinfo=dt.UTC)],
    "another zone": [dt.datetime(2020, 2, 1, 9, tzinfo=ZoneInfo("Asia/Tokyo"))],
    "zoned series": pd.Series([DAY]).dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"),
    "category": pd.Categorical(pd.to_datetime([DAY])),
    "polars date": polars.Series([dt.date(2020, 2, 1)]),
    "polars time": polars.Series([DAY]),
    "polars zone": polars.Series([DAY]).dt.replace_time_zone("UTC"),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(TIMES))
@pytest.mark.parametrize("fitted", ["M8[D]", "M8[ns]", "datetime", "another zone"])
def test_equal_instants_are_one_group_in_any_unit_and_zone(kind, fitted):
    names, _ = encode_groups(check_groups(TIMES[fitted]))
    assert names.tolist() == [DAY]
    groups = check_groups(TIMES[kind])
    assert group_codes(groups, names, accepts_unknown=False) == [0]


def test_equal_durations_are_one_group():
    durations = [
        np.array([48], dtype="m8[h]"), np.array([2], dtype="m8[D]"),
        [dt.timedelta(2)], pd.to_timedelta(["2D"]), polars.Series([dt.timedelta(2)]),
    ]  # fmt: skip
    for one in durations:
        names, _ = encode_groups(check_groups(one))
        assert pd.to_timedelta(names).tolist() == [pd.Timedelta(days=2)]
        for other in durations:
            assert group_codes(check_groups(other), names, accepts_unknown=False) == [0]


@pytest.mark.parametrize(
    "values",
    [
        pd.cut([1, 30, 70], [0, 17, 40, 99]),
        pd.period_range("2020", periods=3, freq="M"),
        [dt.time(1), dt.time(2), dt.time(3)],
        [True, False, True],
        pd.array([True, False, True], dtype="boolean"),
        [Sex.WOMAN, Sex.MAN, Sex.WOMAN],
    ],
)
def test_other_values_with_an_order_name_groups(values):
    groups = check_groups(values)
    names, code = encode_groups(groups)
    assert [names.tolist()[k] for k in code] == np.asarray(values).tolist()
    np.testing.assert_array_equal(
        group_codes(check_groups(values[::-1]), names, accepts_unknown=False),
        code[::-1],
    )


def test_members_of_an_enumeration_are_sorted_by_name():
    names, code = encode_groups(check_groups([Sex.WOMAN, Sex.MAN]))
    assert names.tolist() == [Sex.MAN, Sex.WOMAN]
    assert code.tolist() == [1, 0]


SEX, AGE = ["f", "m", "f", "f"], [1, 1, 0, 1]
PAIRS = [("f", 0), ("f", 1), ("m", 1)]
SEVERAL = {
    "frame": pd.DataFrame({"sex": SEX, "age": AGE}),
    "floats": pd.DataFrame({"sex": SEX, "age": np.array(AGE, dtype=float)}),
    "nullable": pd.DataFrame({"sex": SEX, "age": pd.array(AGE, dtype="Int64")}),
    "category": pd.DataFrame({"sex": SEX, "age": AGE}).astype("category"),
    "polars": polars.DataFrame({"sex": SEX, "age": AGE}),
    "dict": {"sex": np.array(SEX), "age": AGE},
    "tuples": list(zip(SEX, AGE)),
    "named tuples": [Pair(*pair) for pair in zip(SEX, AGE)],
    "lists": [list(pair) for pair in zip(SEX, AGE)],
    "array": np.array([SEX, AGE], dtype=object).T,
    "index": pd.MultiIndex.from_arrays([SEX, AGE]),
    "series of tuples": pd.Series(list(zip(SEX, AGE))),
    "frame of tuples": pd.DataFrame({"both": list(zip(SEX, AGE))}),
    "nested": list(zip(zip(SEX), AGE)),
    "record": np.array(list(zip(SEX, AGE)), dtype=[("sex", "U1"), ("age", "i1")]),
    "itself": check_groups(list(zip(SEX, AGE))),
}


@pytest.mark.parametrize("kind", list(SEVERAL))
def test_several_features_are_tuples_of_values_whatever_holds_them(kind):
    groups = check_groups(SEVERAL[kind], 4)
    names, code = encode_groups(groups)
    assert names.tolist() == PAIRS
    assert code.tolist() == [1, 2, 0, 1]
    known, _ = encode_groups(check_groups(SEVERAL["frame"]))
    assert group_codes(groups, known, accepts_unknown=False).tolist() == [1, 2, 0, 1]


def test_columns_of_arrow_hold_the_same_groups():
    pa = pytest.importorskip("pyarrow")
    names, _ = encode_groups(check_groups([("f", 0, DAY), ("m", 1, DAY)]))
    table = pa.table(
        {"s": ["f", None, "m"], "a": pa.array([0, 1, 1], "uint8"), "t": [DAY] * 3}
    )
    for groups in (table, table.to_pandas(types_mapper=pd.ArrowDtype)):
        found = check_groups(groups, allow_missing=True)
        code = group_codes(found, names, accepts_unknown=True)
        assert code.tolist() == [0, -1, 1]
    numbers, _ = encode_groups(check_groups([0, 1]))
    found = check_groups(table["a"])
    assert group_codes(found, numbers, accepts_unknown=False).tolist() == [0, 1, 1]


def test_texts_with_commas_and_slashes_do_not_run_together():
    pairs = [("a,b", "c"), ("a", "b,c"), ("a\\,b", "c"), ("a\\", "b,c"), ("1", 1.0)]
    texts = [(a, str(b)) for a, b in pairs]
    assert set(encode_groups(check_groups(texts))[0]) == set(texts)


def test_an_intersection_is_missing_where_one_of_its_features_is():
    rows = [("f", 1), ("f", None), (np.nan, 1), None, ("m", 0)]
    table = pd.DataFrame([row or (None, None) for row in rows], columns=["a", "b"])
    other = polars.DataFrame(
        {"a": ["f", "f", None, None, "m"], "b": [1, None, 1, 0, 0]}
    )
    for groups in (rows, table, other, pd.Series(rows)):
        found = check_groups(groups, allow_missing=True)
        assert np.ma.getmaskarray(found).tolist() == [False, True, True, True, False]
        assert found[[0, 4]].tolist() == [("f", 1), ("m", 0)]
        with pytest.raises(ValueError, match=r"missing .* 3 of 5 rows, first in row 1"):
            check_groups(groups)


@pytest.mark.parametrize(
    "groups",
    [
        np.ma.masked_array(["a", "b"], mask=[0, 1]),
        np.ma.masked_array([[1], [0]], mask=[[0], [1]]),
        ["a", None],
        ["a", pd.NA],
        [Decimal(1), Decimal("nan")],
        [Sex.MAN, None],
        pd.to_datetime(["2020-01-01", None]),
        np.array([1, "nat"], dtype="m8[s]"),
        np.array([1.0, np.nan], dtype=">f4"),
    ],
)
def test_a_missing_group_is_masked(groups):
    found = check_groups(groups, allow_missing=True)
    assert np.ma.getmaskarray(found).tolist() == [False, True]
    names, code = encode_groups(found)
    assert len(names) == 1
    assert code.tolist() == [0, -1]
    assert group_codes(found, names, accepts_unknown=True).tolist() == [0, -1]


REFUSED = {
    "frozensets": ([frozenset("a"), frozenset("b")], "holds a frozenset"),
    "sets": ([{"a"}, {"b"}], r"types \['set'\]"),
    "dicts": ([{"a": 1}, {"a": 2}], r"types \['dict'\]"),
    "arrays among texts": (["a", np.array([1])], "types"),
    "ragged tuples": ([("a", 1), ("b",)], r"rows of \[1, 2\] values"),
    "a text among tuples": ([("a",), "bc"], r"rows of \[0, 1\] values"),
    "a tuple among texts": (["bc", ("a",)], "holds a tuple"),
    "a text": ("sex", "is a str"),
    "a set": ({"a", "b"}, "is a set"),
    "a number": (3, "is a int"),
    "a function": (len, "is a builtin_function"),
    "unequal columns": ({"a": [1, 2], "b": [1]}, r"have \[1, 2\] rows"),
    "a scalar for a column": ({"a": 1}, "has a int for a column"),
    "a text for a column": ({"a": "xy"}, "has a str for a column"),
    "no columns": ({}, "has no columns"),
    "three dimensions": (np.zeros((2, 2, 2)), "has 3 dimensions"),
    "a table for a column": ({"a": np.zeros((2, 2))}, "one value per row"),
    "sparse": (sparse.eye(2), "sparse"),
    "another length": ([1, 2, 3], "has 3 rows but X has 2"),
}


@pytest.mark.parametrize("kind", list(REFUSED))
def test_what_cannot_name_groups_is_refused_by_name(kind):
    groups, message = REFUSED[kind]
    with pytest.raises((TypeError, ValueError), match=message):
        check_groups(groups, 2)


@pytest.mark.parametrize(
    "values",
    [
        ["a", 1],
        [b"a", "a"],
        [("a", 1), ("a", "b")],
        [Unordered(), Unordered()],
        [1 + 1j, 2j],
        [dt.time(1), DAY],
        [Sex.MAN, "m"],
    ],
)
def test_groups_without_an_order_are_refused_in_fit_and_unknown_later(values):
    groups = check_groups(values)
    with pytest.raises(ValueError, match="no common order"):
        encode_groups(groups)
    names = np.array([5, 6])
    if isinstance(values[0], tuple):
        names, _ = encode_groups(check_groups([("c", "d"), ("c", "e")]))
    assert group_codes(groups, names, accepts_unknown=True).tolist() == [-1, -1]
    with pytest.raises(ValueError, match="were not seen in fit"):
        group_codes(groups, names, accepts_unknown=False)


@pytest.mark.parametrize("accepts_unknown", [False, True])
def test_another_number_of_features_than_in_fit_is_refused(accepts_unknown):
    one, _ = encode_groups(check_groups(["a", "b"]))
    two, _ = encode_groups(check_groups([("a", "b")]))
    for groups, names in (([("a", "b")], one), (["a"], two), ([("a", 1, 2)], two)):
        with pytest.raises(ValueError, match=r"sensitive features, but had \d in fit"):
            group_codes(check_groups(groups), names, accepts_unknown=accepts_unknown)


values = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([0.5, -0.5, 2.0**40, 0.1]),
    st.booleans(),
)


@given(
    rows=st.lists(st.tuples(values, st.sampled_from("xyz")), min_size=1, max_size=30),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=100, deadline=None)
def test_codes_follow_from_values_alone(rows, order):
    groups = check_groups(rows)
    names, code = encode_groups(groups)
    assert [names[k] for k in code] == rows
    assert names.tolist() == sorted(set(rows))
    floats = pd.DataFrame(
        {"n": np.array([row[0] for row in rows], float), "t": [row[1] for row in rows]}
    )
    for same in (
        floats,
        floats.astype("category"),
        polars.DataFrame(floats.to_dict("list")),
    ):
        found = check_groups(same)
        assert group_codes(found, names, accepts_unknown=False).tolist() == list(code)
        np.testing.assert_array_equal(encode_groups(found)[1], code)
    # One row alone, and the rows in another order, are what they are in the batch.
    mixed = list(range(len(rows)))
    order.shuffle(mixed)
    found = group_codes(
        check_groups([rows[i] for i in mixed]), names, accepts_unknown=False
    )
    assert found.tolist() == code[mixed].tolist()
    assert group_codes(check_groups(rows[:1]), names, accepts_unknown=False) == code[0]


rng = np.random.default_rng(0)
n = 400
X = rng.normal(size=(n, 4))
g, a = rng.integers(0, 2, n), rng.integers(0, 3, n)
y = (X[:, 0] + rng.normal(size=n) * (1 + g) > 0).astype(int)
FRAME = pd.DataFrame({"sex": g, "age": a})


@pytest.fixture(scope="module")
def fair():
    sisa = SISAClassifier(SGDClassifier(loss="log_loss"), n_shards=4, random_state=0)
    return FairEnsemblePostprocessor(
        sisa, unknown_group="unconstrained", random_state=0
    ).fit(X, y, sensitive_features=FRAME)


def with_one_missing(frame):
    frame = frame.astype(float)
    frame.loc[7, "age"] = np.nan
    return frame


def without_one(frame):
    frame = frame.copy()
    frame.loc[7, "age"] = None
    return frame


LATER = {
    "floats with a NaN": with_one_missing(FRAME),
    "nullable with NA": with_one_missing(FRAME).astype("Int64"),
    "objects with None": without_one(FRAME.astype(object)),
    "category": with_one_missing(FRAME).astype("category"),
    "polars": polars.DataFrame(with_one_missing(FRAME).to_dict("list")),
    "an array": with_one_missing(FRAME).to_numpy(),
    "single precision": with_one_missing(FRAME).to_numpy(np.float32),
    "decimals": without_one(FRAME.map(Decimal)),
    "booleans": with_one_missing(FRAME).assign(sex=g == 1),
    "tuples": [None if i == 7 else pair for i, pair in enumerate(zip(g, a))],
    "dict": with_one_missing(FRAME).to_dict("series"),
}


@pytest.mark.parametrize("kind", list(LATER))
def test_a_missing_value_of_one_person_leaves_everyone_else_their_rule(fair, kind):
    expected = fair.selection_probability(X, sensitive_features=FRAME)
    found = fair.selection_probability(X, sensitive_features=LATER[kind])
    others = np.arange(n) != 7
    np.testing.assert_array_equal(found[others], expected[others])
    alone = fair.selection_probability(X[:1], sensitive_features=FRAME[:1])
    assert alone[0] == expected[0]


@pytest.mark.parametrize(
    "swapped",
    [
        FRAME[["age", "sex"]],
        polars.DataFrame({"age": a, "sex": g}),
        {"age": a, "sex": g},
        pd.MultiIndex.from_arrays([a, g], names=["age", "sex"]),
    ],
    ids=["pandas", "polars", "dict", "MultiIndex"],
)
def test_named_features_may_come_in_any_order(fair, swapped):
    expected = fair.selection_probability(X, sensitive_features=FRAME)
    found = fair.selection_probability(X, sensitive_features=swapped)
    np.testing.assert_array_equal(found, expected)
    assert fair.score(X, y, sensitive_features=swapped) == (
        fair.score(X, y, sensitive_features=FRAME)
    )
    other = FRAME.rename(columns={"age": "club"})
    with pytest.raises(ValueError, match=r"are \['sex', 'club'\], but were"):
        fair.predict(X, sensitive_features=other)


def test_intersections_go_through_frames_reports_and_pictures(fair):
    names = sorted(set(zip(g.tolist(), a.tolist())))
    assert fair.groups_.tolist() == names
    assert fair.operating_points_["group"].tolist() == names
    assert set(fair.rule_["group"]) == set(names)
    assert fair.member_weights_.index.tolist() == names
    assert fair.member_weights_.index.nlevels == 2
    assert set(fair.fairness_report_.group_frame()["group"]) == set(names)
    assert "(0, 1)" in str(fair.fairness_report_)
    again = pickle.loads(pickle.dumps(fair))
    assert again.groups_.tolist() == names
    display = GroupRocDisplay.from_estimator(fair)
    assert list(display.boundaries) == names
    assert "0, 1" in [ax.get_title() for ax in display.ax_.flat]
    assert len(fair.tradeoff([0.1], X, y, sensitive_features=FRAME)) == 1


def test_rates_have_a_level_for_each_feature_as_those_of_fairlearn():
    rates = group_rates(y, y, sensitive_features=FRAME)
    peer = MetricFrame(
        metrics=selection_rate, y_true=y, y_pred=y, sensitive_features=FRAME.to_numpy()
    ).by_group
    assert rates.index.names == peer.index.names
    pd.testing.assert_series_equal(
        rates["selection_rate"], peer.astype(float), check_dtype=False,
        check_index_type=False,
    )  # fmt: skip
    assert rates.loc[(1, 2), "selection_rate"] == y[(g == 1) & (a == 2)].mean()


@pytest.mark.parametrize("later", ["floats", "objects", "tuples"])
def test_fairlearns_mitigators_are_asked_in_the_values_of_fit(later):
    optimizer = ThresholdOptimizer(
        estimator=LogisticRegression(), predict_method="predict_proba"
    )
    adapter = FairlearnAdapter(optimizer, random_state=0)
    adapter.fit(X, y, sensitive_features=FRAME)
    expected = adapter.selection_probability(X, sensitive_features=FRAME)
    other = {
        "floats": FRAME.astype(float),
        "objects": FRAME.map(Decimal),
        "tuples": list(zip(g, a)),
    }[later]
    found = adapter.selection_probability(X, sensitive_features=other)
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(ValueError, match=r"Groups \[\(0, 9\)\] were not seen"):
        adapter.predict(X[:1], sensitive_features=[(0, 9)])


def test_a_column_of_x_may_hold_any_of_these():
    table = pd.DataFrame(X, columns=list("pqrs")).assign(sex=g, age=a)
    fair = FairEnsemblePostprocessor(
        BaggingClassifier(LogisticRegression()),
        sensitive_feature=["sex", "age"],
        random_state=0,
    ).fit(table, y)
    expected = fair.selection_probability(table)
    floats = table.astype({"sex": bool, "age": np.float32})
    np.testing.assert_array_equal(fair.selection_probability(floats), expected)


@pytest.mark.parametrize("result", [None, 3, "sex"])
def test_a_callable_that_returns_no_groups_is_named(result):
    fair = FairEnsemblePostprocessor(
        BaggingClassifier(LogisticRegression()), sensitive_feature=lambda X: result
    )
    with pytest.raises(TypeError, match=r"<lambda> is a \w+, but must hold one value"):
        fair.fit(X, y)


@pytest.mark.parametrize(
    "swapped",
    [
        {1: np.repeat([0, 1], 100), 0: np.tile([0, 1], 100)},
        pd.DataFrame({1: np.repeat([0, 1], 100), 0: np.tile([0, 1], 100)}),
    ],
    ids=["dict", "frame"],
)
def test_features_named_by_numbers_may_come_in_any_order(swapped):
    rng = np.random.default_rng(0)
    votes = rng.integers(0, 2, (200, 3))
    labels = (votes.sum(axis=1) > 1) ^ (rng.random(200) < 0.1)
    groups = pd.DataFrame({0: swapped[0], 1: swapped[1]})
    fair = FairEnsemblePostprocessor(random_state=0)
    fair.fit(votes, labels, sensitive_features=groups)
    np.testing.assert_array_equal(
        fair.selection_probability(votes, sensitive_features=swapped),
        fair.selection_probability(votes, sensitive_features=groups),
    )
    # Frames that were made of arrays have numbers for names.
    named = groups.rename(columns={0: "old", 1: "sex"})
    np.testing.assert_array_equal(
        fair.selection_probability(votes, sensitive_features=named),
        fair.selection_probability(votes, sensitive_features=groups.to_numpy()),
    )
