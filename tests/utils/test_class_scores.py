"""Claims about what a classifier says of each class of an ensemble."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import make_classification
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import BaggingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC, LinearSVC

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa._utils.class_scores import class_scores, class_votes
from sklearn_fairsisa.postprocessing._members import member_scores

CLASSES = np.array(["a", "b", "c"])


@pytest.fixture
def data():
    X, y = make_classification(
        90, n_informative=4, n_classes=3, n_clusters_per_class=1, random_state=0
    )
    return X, CLASSES[y]


def scores_of(member, X):
    return class_scores(member, CLASSES, lambda method: getattr(member, method)(X))


def test_probabilities_margins_and_votes_are_scores_in_this_order(data):
    X, y = data
    probable = LogisticRegression().fit(X, y)
    np.testing.assert_array_equal(scores_of(probable, X), probable.predict_proba(X))
    linear = LinearSVC().fit(X, y)
    expected = softmax(linear.decision_function(X), axis=1)
    np.testing.assert_array_equal(scores_of(linear, X), expected)
    votes = scores_of(BareVoter(y), X)
    np.testing.assert_array_equal(votes, y[:, None] == CLASSES)


class BareVoter:
    def __init__(self, y):
        self.y = y

    def predict(self, X):
        return self.y


def test_margins_between_pairs_of_classes_are_no_scores():
    X, y = make_classification(
        120, n_informative=6, n_classes=4, n_clusters_per_class=1, random_state=0
    )
    member = SVC(decision_function_shape="ovo").fit(X, y)
    scores = class_scores(member, np.arange(4), lambda m: getattr(member, m)(X))
    np.testing.assert_array_equal(scores, np.eye(4)[member.predict(X)])


def test_a_class_that_a_member_never_saw_scores_zero(data):
    X, y = data
    seen = y != "b"
    member = SGDClassifier(random_state=0).fit(X[seen], y[seen])
    positive = expit(member.decision_function(X))
    expected = np.column_stack([1 - positive, np.zeros(len(X)), positive])
    np.testing.assert_array_equal(scores_of(member, X), expected)


@pytest.mark.parametrize(
    "learner",
    [DummyClassifier(), GaussianNB(), MLPClassifier(max_iter=2), RidgeClassifier()],
)
@pytest.mark.parametrize("only", CLASSES)
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_a_member_of_one_class_is_sure_of_it(data, learner, only):
    X, _ = data
    member = learner.fit(X, np.full(len(X), only))
    np.testing.assert_array_equal(scores_of(member, X)[0], only == CLASSES)


@pytest.mark.parametrize("learner", [LogisticRegression(), SGDClassifier()])
def test_classes_that_the_ensemble_does_not_know_are_refused(data, learner):
    X, y = data
    codes = np.searchsorted(CLASSES, y)
    with pytest.raises(ValueError, match=r"A member knows the classes \[0, 1, 2\]"):
        scores_of(learner.fit(X, codes), X)
    with pytest.raises(ValueError, match=r"knows the classes \['a', 'z'\]"):
        class_votes(np.array(["a", "z"]), CLASSES)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_an_ensemble_whose_members_know_other_labels_is_refused(data, n_classes):
    X, y = data
    rows = np.isin(y, CLASSES[:n_classes])
    X, y = X[rows], y[rows]

    class Committee:
        """Trained on encoded labels, which only scikit-learn's own are known to do."""

        classes_ = CLASSES[:n_classes]
        estimators_ = BaggingClassifier(LogisticRegression(), 3).fit(X, y).estimators_

    with pytest.raises(ValueError, match="A member knows the classes"):
        member_scores(Committee(), X, n_classes)


def test_a_member_may_name_its_classes_in_any_order(data):
    X, _ = data

    class Unsorted:
        classes_ = CLASSES[[2, 0, 1]]

        def predict_proba(self, X):
            return np.tile([0.7, 0.2, 0.1], (len(X), 1))

    np.testing.assert_array_equal(scores_of(Unsorted(), X)[0], [0.2, 0.1, 0.7])


def test_an_output_for_each_class_is_taken_as_it_is_whatever_was_seen(data):
    X, _ = data

    class Net:
        classes_ = CLASSES[[0, 2]]

        def predict_proba(self, X):
            return np.tile([0.7, 0.2, 0.1], (len(X), 1))

    np.testing.assert_array_equal(scores_of(Net(), X)[0], [0.7, 0.2, 0.1])


class Foreign(ClassifierMixin, BaseEstimator):
    """A learner of another library, which answers as it is told to.

    Of a single row it predicts properly, as ensembles have members predict one in fit.
    """

    def __init__(self, method="predict_proba", answer=None):
        self.method = method
        self.answer = answer

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.inner_ = LogisticRegression().fit(X, y)
        return self

    def __getattr__(self, name):
        if name == "method" or name != self.method or name.startswith("__"):
            raise AttributeError(name)
        proper = getattr(self.inner_, name)
        wild = ANSWERS[self.answer]
        return lambda X: wild(self.inner_, X) if len(X) > 1 else proper(X)

    def predict(self, X):
        if self.method == "predict" and len(X) > 1:
            return ANSWERS[self.answer](self.inner_, X)
        return self.inner_.predict(X)


def scaled(factor):
    return lambda inner, X: inner.predict_proba(X) * factor


def shifted(inner, X):
    scores = inner.predict_proba(X)
    return np.column_stack([scores[:, 0] + 0.2, scores[:, 1] - 1.2, scores[:, 2:] + 1])


def one_row_of(sums):
    def answer(inner, X):
        scores = inner.predict_proba(X)
        scores[len(X) // 2, 0] += sums - 1
        return scores

    return answer


ANSWERS = {
    "vector": lambda inner, X: inner.predict_proba(X)[:, 1],
    "column": lambda inner, X: inner.predict_proba(X)[:, [1]],
    "fewer columns": lambda inner, X: inner.predict_proba(X)[:, :2],
    "more columns": lambda inner, X: np.tile(inner.predict_proba(X), 2) / 2,
    "three dimensions": lambda inner, X: inner.predict_proba(X)[None].repeat(2, 0),
    "list of outputs": lambda inner, X: [inner.predict_proba(X)] * 2,
    "ragged": lambda inner, X: [row[: 1 + i % 2] for i, row in enumerate(X.tolist())],
    "scalar": lambda inner, X: 0.5,
    "None": lambda inner, X: None,
    "fewer rows": lambda inner, X: inner.predict_proba(X)[1:],
    "transposed": lambda inner, X: inner.predict_proba(X).T,
    "texts": lambda inner, X: np.full((len(X), len(inner.classes_)), "much"),
    "masked": lambda inner, X: np.ma.masked_less(inner.predict_proba(X), 0.5),
    "complex": lambda inner, X: inner.predict_proba(X) + 0j,
    "durations": lambda inner, X: inner.predict_proba(X).astype("m8[s]"),
    "numbers in texts": lambda inner, X: inner.predict_proba(X).astype(str),
    "percent": scaled(100),
    "halves": scaled(0.5),
    "zeros": scaled(0),
    "one large": one_row_of(4.998),
    "negative": shifted,
    "huge": lambda inner, X: np.full((len(X), len(inner.classes_)), 1e308),
    "opposite infinities": lambda inner, X: (
        inner.predict_proba(X) * np.resize([np.inf, -np.inf, 1], len(inner.classes_))
    ),
    "logits": lambda inner, X: np.log(inner.predict_proba(X)),
    "two labels each": lambda inner, X: inner.predict(X)[:, None].repeat(2, 1),
    "fewer labels": lambda inner, X: inner.predict(X)[1:],
    "a label": lambda inner, X: inner.predict(X)[0],
    "labels in a cube": lambda inner, X: inner.predict(X)[:, None, None],
    "unknown labels": lambda inner, X: np.full(len(X), 7),
    "names": lambda inner, X: np.full(len(X), "yes"),
    "masked labels": lambda inner, X: np.ma.masked_equal(inner.predict(X), 0),
    "missing labels": lambda inner, X: np.full(len(X), np.nan),
    "mixed labels": lambda inner, X: np.array([None, *["yes"] * (len(X) - 1)], "O"),
    # What follows is accepted.
    "proper": lambda inner, X: inner.predict_proba(X),
    "single precision": lambda inner, X: inner.predict_proba(X).astype(np.float32),
    "half precision": lambda inner, X: inner.predict_proba(X).astype(np.float16),
    "lists": lambda inner, X: inner.predict_proba(X).tolist(),
    "frame": lambda inner, X: pd.DataFrame(inner.predict_proba(X)),
    "sparse": lambda inner, X: sparse.csr_array(inner.predict_proba(X)),
    "objects": lambda inner, X: inner.predict_proba(X).astype(object),
    "nothing masked": lambda inner, X: np.ma.masked_array(inner.predict_proba(X)),
    "rounded": lambda inner, X: inner.predict_proba(X) - 1e-9,
    "labels": lambda inner, X: inner.predict(X),
    "label column": lambda inner, X: inner.predict(X)[:, None],
    "label list": lambda inner, X: inner.predict(X).tolist(),
    "float labels": lambda inner, X: inner.predict(X).astype(float),
    "series": lambda inner, X: pd.Series(inner.predict(X), index=range(len(X), 0, -1)),
    "object column": lambda inner, X: inner.predict(X)[:, None].astype(object),
    "margins": lambda inner, X: inner.decision_function(X),
    "margin column": lambda inner, X: inner.decision_function(X)[:, None],
    "margin list": lambda inner, X: inner.decision_function(X).tolist(),
}
ROWS, LABELS = make_classification(
    120, n_informative=4, n_classes=3, n_clusters_per_class=1, random_state=0
)


def ask_everything(n_classes, **params):
    """Predictions and scores of an ensemble, and of a rule on it."""
    y = LABELS % n_classes
    group = np.arange(len(y)) % 2
    sisa, hard = (
        SISAClassifier(
            Foreign(**params), n_shards=2, aggregation=aggregation, random_state=0
        ).fit(ROWS, y)
        for aggregation in ("mean", "majority")
    )
    frozen = [FrozenEstimator(Foreign(**params).fit(ROWS, y)) for _ in range(2)]
    fair = FairEnsemblePostprocessor(frozen, random_state=0)
    return {
        "transform": lambda: sisa.transform(ROWS),
        "predict": lambda: sisa.predict(ROWS),
        "hard": lambda: hard.predict(ROWS),
        "fair": lambda: fair.fit(ROWS, y, sensitive_features=group).predict(
            ROWS, sensitive_features=group
        ),
    }


@pytest.mark.parametrize("answer", ["percent", "three dimensions", "None", "texts"])
def test_members_that_never_predict_properly_are_refused_in_fit(answer):
    class Never(Foreign):
        def predict_proba(self, X):
            return ANSWERS[self.answer](self.inner_, X)

    with pytest.raises(ValueError, match="Never"):
        SISAClassifier(Never(answer=answer), n_shards=2).fit(ROWS, LABELS)


REFUSED = {
    "vector": r"returned an array of shape \(120,\), but .* a column for each",
    "fewer columns": r"gives \d scores",
    "more columns": r"gives \d scores",
    "three dimensions": r"shape \(2, 120, \d\), but .* one row for each of 120",
    "list of outputs": r"shape \(2, 120, \d\), but .* one row for each of 120",
    "ragged": "returned a list, but an ensemble needs an array with one row",
    "scalar": "returned a float, but",
    "None": "returned a NoneType, but",
    "fewer rows": r"shape \(119, \d\), but .* one row for each of 120 samples",
    "transposed": r"shape \(\d, 120\), but",
    "texts": "returned an array of <U4, but an ensemble needs an array of numbers",
    "masked": "returned a masked array with masked entries, but",
    "complex": "returned an array of complex128, but an ensemble needs an array of num",
    "durations": "returned an array of timedelta64",
    "numbers in texts": "returned an array of <U32, but an ensemble needs an array of",
    "percent": "returned a row that sums to 100, but",
    "halves": "returned a row that sums to 0.5, but",
    "zeros": "returned a row that sums to 0, but",
    "one large": "returned a row that sums to 4.998, but",
    "negative": "returned numbers down to -1",
    "huge": "returned a row that sums to inf, but",
    "logits": "returned numbers down to -",
}


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("answer", list(REFUSED))
def test_probabilities_that_are_none_are_refused_by_name(answer, n_classes):
    if answer == "fewer columns" and n_classes == 2:
        answer, message = "column", r"gives 1 scores"
    else:
        message = REFUSED[answer]
    asked = ask_everything(n_classes, answer=answer)
    for method in ("transform", "predict", "fair"):
        with pytest.raises(ValueError, match=message) as refusal:
            asked[method]()
        assert "Foreign" in str(refusal.value)


REFUSED_LABELS = {
    "two labels each": r"shape \(120, 2\), but an ensemble needs one class label",
    "labels in a cube": r"shape \(120, 1, 1\), but an ensemble needs one class label",
    "fewer labels": r"shape \(119,\), but",
    "a label": r"returned a int64, but an ensemble needs an array",
    "unknown labels": r"knows the classes \[7\] \(Foreign\), but the ensemble knows",
    "names": r"knows the classes \['yes'\]",
    "masked labels": "returned a masked array with masked entries, but",
    "missing labels": r"knows the classes \[nan",
    "mixed labels": r"knows the classes \[None, 'yes'\]",
}


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("answer", list(REFUSED_LABELS))
def test_predictions_that_are_no_labels_are_refused_by_name(answer, n_classes):
    asked = ask_everything(n_classes, method="predict", answer=answer)
    for method in ("transform", "predict", "hard", "fair"):
        with pytest.raises(ValueError, match=REFUSED_LABELS[answer]) as refusal:
            asked[method]()
        assert "Foreign" in str(refusal.value)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    "answer",
    ["label column", "label list", "float labels", "series", "object column"],
)
def test_labels_in_any_form_are_votes(answer, n_classes):
    expected = ask_everything(n_classes, method="predict", answer="labels")
    asked = ask_everything(n_classes, method="predict", answer=answer)
    for method, ask in asked.items():
        np.testing.assert_array_equal(ask(), expected[method]())


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    "answer",
    ["single precision", "half precision", "lists", "frame", "sparse", "objects",
     "nothing masked", "rounded"],
)  # fmt: skip
def test_probabilities_in_any_form_are_scores(answer, n_classes):
    expected = ask_everything(n_classes, answer="proper")["transform"]()
    found = ask_everything(n_classes, answer=answer)["transform"]()
    close = 2e-3 if answer == "half precision" else 1e-6
    np.testing.assert_allclose(found, expected, atol=close)
    assert found.min() >= 0


@pytest.mark.parametrize("n_classes", [2, 3])
def test_scores_that_are_not_finite_are_left_to_the_caller(n_classes):
    asked = ask_everything(n_classes, answer="opposite infinities")
    with pytest.warns(UserWarning, match="Foreign gave scores that are not numbers"):
        found = asked["transform"]()
    np.testing.assert_allclose(found, 1 / n_classes)
    with pytest.raises(ValueError, match="contain NaN or infinity"):
        asked["fair"]()


def test_tensors_that_require_gradients_are_refused_by_name():
    torch = pytest.importorskip("torch")
    member = Foreign(answer="proper").fit(ROWS, LABELS)
    tensor = torch.ones(120, 3, requires_grad=True)
    with pytest.raises(ValueError, match="returned a Tensor, but an ensemble needs"):
        class_scores(member, np.arange(3), lambda _: tensor)


@pytest.mark.parametrize("answer", ["margin column", "margin list"])
def test_margins_in_any_form_are_scores(answer):
    method = "decision_function"
    expected = ask_everything(2, method=method, answer="margins")["transform"]()
    found = ask_everything(2, method=method, answer=answer)["transform"]()
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("answer", ["None", "three dimensions", "fewer rows", "texts"])
def test_margins_that_are_none_are_refused_by_name(answer):
    asked = ask_everything(3, method="decision_function", answer=answer)
    for method in ("transform", "fair"):
        with pytest.raises(ValueError, match=r"Foreign\.decision_function returned a"):
            asked[method]()


class Several(Foreign):
    """Of several outputs at once."""

    def fit(self, X, y):
        super().fit(X, y)
        self.classes_ = [np.array([0, 1]), np.array([0, 1, 2])]
        return self


def test_a_classifier_of_several_outputs_is_refused_by_name():
    member = Several(answer="proper").fit(ROWS, LABELS)
    with pytest.raises(ValueError, match=r"Several\.classes_ holds the labels of sev"):
        class_scores(member, np.arange(3), lambda method: getattr(member, method)(ROWS))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_catboost_votes_and_scores_like_any_other(n_classes):
    catboost = pytest.importorskip("catboost")
    y = LABELS % n_classes
    learner = catboost.CatBoostClassifier(
        iterations=4, verbose=0, allow_writing_files=False, thread_count=1
    )
    for aggregation in ("mean", "majority"):
        sisa = SISAClassifier(
            learner, n_shards=3, random_state=0, aggregation=aggregation
        ).fit(ROWS, y)
        decided = sisa.predict(ROWS)
        assert decided.shape == (120,)
        assert (decided == y).mean() > 0.7


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_other_boosters_vote_and_score_like_any_other(library):
    name = {"lightgbm": "LGBMClassifier", "xgboost": "XGBClassifier"}[library]
    kind = getattr(pytest.importorskip(library), name)
    learner = kind(n_estimators=4, n_jobs=1)
    with warnings.catch_warnings():
        # Both say that a shard is small.
        warnings.simplefilter("ignore", UserWarning)
        sisa = SISAClassifier(learner, n_shards=2, random_state=0).fit(ROWS, LABELS)
        assert (sisa.predict(ROWS) == LABELS).mean() > 0.6
