"""Inputs that cannot be used are refused by their own name."""

import datetime as dt
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum

import numpy as np
import pandas as pd
import polars
import pytest
from scipy import sparse
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier


class Grade(Enum):
    LOW = 1
    HIGH = 2


class Number(IntEnum):
    ZERO = 0
    ONE = 1


class Word(StrEnum):
    NO = "n"
    YES = "y"


rng = np.random.default_rng(0)
X = rng.normal(size=(200, 3))
group = np.arange(200) % 2
y = (X[:, 0] + rng.normal(size=200) > 0).astype(int)


def sisa():
    return SISAClassifier(SGDClassifier(), n_shards=3, random_state=0)


def fair(**params):
    return FairEnsemblePostprocessor(sisa(), random_state=0, **params)


@pytest.fixture(scope="module")
def fitted():
    return sisa().fit(X, y), fair().fit(X, y, sensitive_features=group)


def uses(fitted):
    ensemble, rule = fitted
    a = {"sensitive_features": group[:1]}
    return {
        "predict": ensemble.predict,
        "predict_proba": ensemble.predict_proba,
        "predict_log_proba": ensemble.predict_log_proba,
        "transform": ensemble.transform,
        "fair predict": lambda X: rule.predict(X, **a),
        "selection_probability": lambda X: rule.selection_probability(X, **a),
        "fair transform": lambda X: rule.transform(X, **a),
        "fair score": lambda X: rule.score(X, y[:1], **a),
        "fit": lambda X: sisa().fit(X, y),
        "partial_fit": lambda X: ensemble.partial_fit(X, y),
        "fair fit": lambda X: fair().fit(X, y, sensitive_features=group),
    }


@pytest.mark.parametrize(
    ("given", "came"),
    [
        (None, "None"),
        (3, "an int"),
        (np.float64(3), "a float64"),
        (np.array(3), "a single value"),
        ("text", "a str"),
        (b"text", "a bytes"),
        ({"a": [1]}, "a dict"),
        ({1, 2}, "a set"),
        (iter([[1, 2, 3]]), "a list_iterator"),
    ],
)
def test_what_holds_no_rows_is_refused_by_name_everywhere(fitted, given, came):
    for use in uses(fitted).values():
        with pytest.raises(TypeError, match=f"X is {came}, "):
            use(given)


@pytest.mark.parametrize(
    "empty",
    [
        [],
        (),
        X[:0],
        sparse.csr_array(X)[:0],
        pd.DataFrame(X)[:0],
        polars.DataFrame(X)[:0],
    ],
)
def test_no_rows_are_nothing_to_predict(fitted, empty):
    for name, use in uses(fitted).items():
        if "fit" not in name:
            with pytest.raises(ValueError, match="X has 0 samples"):
                use(empty)


def test_no_outputs_of_members_are_nothing_to_decide_on():
    rule = FairEnsemblePostprocessor().fit(X > 0, y, sensitive_features=group)
    with pytest.raises(ValueError, match="X has 0 samples"):
        rule.predict((X > 0)[:0], sensitive_features=[])


@pytest.mark.parametrize(
    "classes",
    [3, 2.5, "ab", [], [[0, 1]], [0, 1, np.nan], [0, 1, None], {"a": 1}, True],
)
def test_classes_that_are_no_labels_are_refused_by_name(classes):
    untrained, trained = sisa(), sisa().fit(X, y)
    for ensemble in (untrained, trained):
        with pytest.raises(ValueError, match=r"classes=.* is not a list of class lab"):
            ensemble.partial_fit(X, y, classes=classes)
    assert not hasattr(untrained, "plan_")
    assert trained.n_rows_ == 200


@pytest.mark.filterwarnings("ignore:The classes")
@pytest.mark.parametrize(
    "classes",
    [[2, 0, 1], (0, 1, 2), {0, 1, 2}, np.arange(3), pd.Series([0, 1, 2])],
)
def test_classes_in_any_list_are_labels(classes):
    assert list(sisa().partial_fit(X, y, classes=classes).classes_) == [0, 1, 2]
    series = polars.Series([0, 1, 2])
    assert list(sisa().partial_fit(X, y, classes=series).classes_) == [0, 1, 2]


@pytest.mark.parametrize("source", [None, 3, "ab", {"a": 1}])
def test_a_function_that_gives_no_groups_is_refused_by_its_answer(source):
    with pytest.raises(
        TypeError, match=r"sensitive_feature=<lambda> .* one value per row"
    ):
        fair(sensitive_feature=lambda X: source).fit(X, y)


@pytest.mark.parametrize("tols", [[[0.1]], [], "a", {"a": 1}, [[0.1], [0.1, 0.2]]])
def test_tolerances_that_are_no_numbers_are_refused_by_name(fitted, tols):
    with pytest.raises(ValueError, match="tols must be numbers in one dimension"):
        fitted[1].tradeoff(tols)


def test_log_probabilities_are_the_logarithms(fitted):
    ensemble, rule = fitted
    share = ensemble.predict_proba(X)
    assert (share == 0).any()
    np.testing.assert_array_equal(np.exp(ensemble.predict_log_proba(X)) > 0, share > 0)
    np.testing.assert_allclose(np.exp(ensemble.predict_log_proba(X)), share)
    # Decisions are no estimates of a probability.
    assert not hasattr(rule, "predict_proba")
    assert not hasattr(rule, "predict_log_proba")


def of(low, high):
    """Labels of the rows as objects."""
    return np.fromiter([(low, high)[label] for label in y], dtype=object, count=200)


@pytest.mark.parametrize(
    ("pair", "known"),
    [
        ((False, True), [False, True]),
        ((np.False_, np.True_), [False, True]),
        ((0, 1.0), [0, 1]),
        ((-0.0, Decimal(1)), [0, 1]),
        ((Number.ZERO, Number.ONE), [0, 1]),
        ((np.int8(0), np.float16(1)), [0, 1]),
        ((Word.NO, Word.YES), ["n", "y"]),
        ((np.str_("n"), "y"), ["n", "y"]),
    ],
)
def test_labels_that_are_equal_are_one_class_however_they_are_spelled(pair, known):
    labels = of(*pair)
    plain = sisa().fit(X, of(*known).tolist())
    spelled = [labels, labels.tolist(), pd.Series(labels, dtype=object)]
    if repr(known) == "[0, 1]":
        spelled += [labels.astype(float), polars.Series(y.astype(np.float32))]
    for given in spelled:
        ensemble = sisa().fit(X, given)
        rule = fair().fit(X, given, sensitive_features=group)
        for found in (ensemble, rule):
            assert [*map(repr, found.classes_.tolist())] == [*map(repr, known)]
        np.testing.assert_array_equal(ensemble.predict(X), plain.predict(X))


def test_no_row_decides_on_the_type_of_the_classes():
    labels = y.tolist()
    twins = []
    for spelled in (int, float, Number, Decimal):
        one = sisa().fit(X, [spelled(labels[0]), *labels[1:]])
        twins.append(one.partial_fit(X, y.astype(float)).forget([0, *range(200, 400)]))
    assert {(one.classes_.dtype, str(one.classes_)) for one in twins} == {
        (np.dtype(np.int64), "[0 1]")
    }


@pytest.mark.parametrize(
    ("pair", "named"),
    [
        ((Grade.LOW, Grade.HIGH), "a Grade, which is no class label"),
        ((dt.date(2020, 1, 1), dt.date(2021, 1, 1)), "a date, which is no class lab"),
        ((pd.Timestamp("2020"), pd.Timestamp("2021")), "a Timestamp, which"),
        ((b"a", b"b"), "a bytes, which is no class label"),
        (((1,), (2, 3)), "a tuple, which is no class label"),
        ((1j, 2), "a complex, which is no class label"),
        ((2**70, 1), "64 bits"),
        ((np.timedelta64(1, "s"), np.timedelta64(2, "s")), "a timedelta64, which"),
        (("a", 1), "both the .* 'a' and|both the .* 1 and the text 'a'"),
        ((True, 5), "both the .* and the"),
        ((None, 1), "contains NaN or None"),
    ],
)
def test_labels_that_are_none_are_refused_by_name(pair, named):
    labels = of(*pair)
    for use in (
        lambda: sisa().fit(X, labels),
        lambda: sisa().partial_fit(X, y, classes=list(pair)),
        lambda: fair().fit(X, labels, sensitive_features=group),
    ):
        with pytest.raises(ValueError, match=named):
            use()
    with pytest.raises(ValueError, match=named):
        sisa().fit(X, y).amend([*range(200)], X, labels)


def test_columns_of_one_name_are_refused_by_it(fitted):
    twice = pd.DataFrame(X, columns=["a", "b", "a"])
    for name, use in uses(fitted).items():
        if name != "fair score":
            with pytest.raises(ValueError, match="X has several columns named 'a'"):
                use(twice if "fit" in name else twice[:1])


@pytest.mark.parametrize(
    "empty", [[], np.empty((0, 3)), pd.DataFrame(), np.empty((200, 0))]
)
def test_nothing_to_fit_is_said_so(empty):
    n = len(empty)
    for use in (
        lambda: sisa().fit(empty, y[:n]),
        lambda: fair().fit(empty, y[:n], sensitive_features=group[:n]),
        lambda: FairEnsemblePostprocessor().fit(empty, y[:n]),
    ):
        with pytest.raises(ValueError, match=r"X has 0 (samples|feature)"):
            use()


def test_a_single_sample_in_a_list_is_told_to_be_one(fitted):
    with pytest.raises(ValueError, match="X has one dimension"):
        fitted[0].predict([1.0, 2.0, 3.0])


def test_rows_of_more_than_one_dimension_are_fitted_predicted_and_forgotten():
    images = np.stack([X, -X], axis=2)
    flatten = FunctionTransformer(lambda X: X.reshape(len(X), -1))
    learner = make_pipeline(flatten, SGDClassifier(random_state=0))
    sharded = SISAClassifier(learner, n_shards=3, random_state=0).fit(images, y)
    flat = SISAClassifier(SGDClassifier(random_state=0), n_shards=3, random_state=0)
    flat.fit(images.reshape(len(X), -1), y)
    sharded.forget([1])
    flat.forget([1])
    expected = flat.transform(images.reshape(len(X), -1))
    np.testing.assert_array_equal(sharded.transform(images), expected)
    decide = FairEnsemblePostprocessor(sharded, random_state=0)
    decide.fit(images, y, sensitive_features=group)
    assert len(decide.predict(images, sensitive_features=group)) == len(X)


@pytest.mark.parametrize(
    ("indices", "rows"),
    [
        (np.array([1, 2], dtype=object), [1, 2]),
        (np.arange(200).astype(object) < 2, [0, 1]),
        (np.array([True, *[False] * 199], dtype=object), [0]),
        (iter([3, 4]), [3, 4]),
        ({5: "a", 6: "b"}.keys(), [5, 6]),
        (np.ma.masked_array([7]), [7]),
    ],
)
def test_rows_are_named_in_any_container(indices, rows):
    assert sisa().fit(X, y).forget(indices).forgotten_.tolist() == rows


def test_masked_entries_name_nobody(fitted):
    ensemble = sisa().fit(X, y, subjects=np.arange(200))
    masked = np.ma.masked_array([1, 2], mask=[False, True])
    for name, use in {
        "indices": lambda: ensemble.forget(masked),
        "subjects": lambda: ensemble.forget(subjects=masked),
        "shards": lambda: ensemble.relearn(shards=masked),
    }.items():
        with pytest.raises(ValueError, match=rf"{name} is a masked .*compressed\(\)"):
            use()
    with pytest.raises(ValueError, match="indices is a masked"):
        ensemble.amend(masked, X[:2], y[:2])
    assert not len(ensemble.forgotten_)


@pytest.mark.parametrize("ids", [[{}] * 200, [{1}] * 200, [(1, [2])] * 200])
def test_ids_that_can_change_are_refused(ids):
    with pytest.raises(TypeError, match="subjects holds lists, dicts or sets"):
        sisa().fit(X, y, subjects=pd.Series(ids, dtype=object))


@pytest.mark.parametrize(
    ("weight", "named"),
    [
        (-np.ones(200), "Negative weights"),
        (np.full(200, 1e308), "more than a floating-point number can hold"),
        (np.where(group, 1, np.nan), "NaN or infinity"),
        (np.ones((200, 2)), r"the shape \(200, 2\)"),
        (["a"] * 200, "Give one number per row"),
        (np.ma.masked_array(np.ones(200), group), "masked"),
        (np.zeros(200), "zero in all rows"),
    ],
)
def test_scores_take_the_weights_that_fit_takes(fitted, weight, named):
    groups = {"sensitive_features": group}
    for use in (fitted[1].score, fair().fit):
        with pytest.raises(ValueError, match=named):
            use(X, y, sample_weight=weight, **groups)
    plain = fitted[1].score(X, y, **groups)
    for ones in (np.ones((200, 1)), polars.Series(np.ones(200)), [2] * 200, 3):
        assert fitted[1].score(X, y, sample_weight=ones, **groups) == plain
