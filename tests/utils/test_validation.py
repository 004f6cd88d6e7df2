"""Inputs that cannot be used are refused by their own name."""

import numpy as np
import pandas as pd
import polars
import pytest
from scipy import sparse
from sklearn.linear_model import SGDClassifier

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier

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
