"""Claims about heads that read the vectors a frozen network gives for texts."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.metrics import expected_balanced_accuracy_score


def numbers_of(texts):
    return np.array([text.split() for text in np.ravel(texts)], dtype=float)


class TextLearner(ClassifierMixin, BaseEstimator):
    """Learns from the numbers that texts consist of, which are their vectors."""

    def fit(self, X, y):
        self.linear_ = LogisticRegression().fit(numbers_of(X), y)
        self.classes_ = self.linear_.classes_
        return self

    def predict(self, X):
        return self.linear_.predict(numbers_of(X))

    def predict_proba(self, X):
        return self.linear_.predict_proba(numbers_of(X))

    def frozen_vectors(self, X):
        return numbers_of(X)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.one_d_array = True
        return tags


def people(n, seed=0):
    """Texts and numbers of people whose labels lie in opposite directions."""
    rng = np.random.default_rng(seed)
    X, group = rng.normal(size=(n, 3)).round(3), np.arange(n) % 2
    margin = X[:, 0] + np.where(group == 0, 2 * X[:, 1], -2 * X[:, 1])
    y = (margin + rng.normal(size=n) > 0).astype(int)
    texts = [" ".join(map(str, row)) for row in X.tolist()]
    return texts, X, y, group.astype(str)


def over(learner, **params):
    sisa = SISAClassifier(learner, n_shards=3, random_state=0)
    return FairEnsemblePostprocessor(sisa, random_state=0, **params)


def chances(fair, X, group):
    return fair.selection_probability(X, sensitive_features=group)


IDENTITY = FunctionTransformer(feature_names_out="one-to-one")


@pytest.mark.parametrize(
    "learner", [TextLearner(), make_pipeline(IDENTITY, TextLearner())]
)
@pytest.mark.parametrize("calibration", ["cross_shard", 0.3])
def test_a_rule_over_texts_is_that_over_their_vectors(learner, calibration):
    texts, X, y, group = people(400)
    new_texts, new_X, _, new_group = people(100, seed=1)
    params = {"calibration": calibration}
    read = over(learner, **params).fit(texts, y, sensitive_features=group)
    twin = over(LogisticRegression(), **params).fit(X, y, sensitive_features=group)
    expected = chances(twin, new_X, new_group)
    assert np.array_equal(chances(read, new_texts, new_group), expected)
    for fair in (read, twin):
        fair.forget([5, 11, 17])
    expected = chances(twin, new_X, new_group)
    assert np.array_equal(chances(read, new_texts, new_group), expected)
    served = pickle.loads(pickle.dumps(read.for_serving()))
    assert np.array_equal(chances(served, new_texts, new_group), expected)


def as_ensemble(learner, X, y):
    sisa = SISAClassifier(learner, n_shards=3, random_state=0)
    return FrozenEstimator(sisa.fit(X, y))


def as_list(learner, X, y):
    halves = slice(None, len(y) // 2), slice(len(y) // 2, None)
    return [FrozenEstimator(clone(learner).fit(X[half], y[half])) for half in halves]


def as_list_of_ensembles(learner, X, y):
    return [as_ensemble(learner, X, y)] * 2


@pytest.mark.parametrize("freeze", [as_ensemble, as_list, as_list_of_ensembles])
def test_frozen_ensembles_and_lists_give_vectors_too(freeze):
    texts, X, y, group = people(600)
    decided = []
    for rows, learner in ((texts, TextLearner()), (X, LogisticRegression())):
        frozen = freeze(learner, rows[:200], y[:200])
        fair = FairEnsemblePostprocessor(frozen, random_state=0)
        fair.fit(rows[200:400], y[200:400], sensitive_features=group[200:400])
        decided += [
            chances(judge, rows[400:], group[400:])
            for judge in (fair, fair.for_serving())
        ]
    assert all(np.array_equal(own, decided[0]) for own in decided)


def test_in_a_pipeline_heads_read_the_same_in_training_and_when_serving():
    texts, _, y, group = people(600)
    sisa = SISAClassifier(TextLearner(), n_shards=3, random_state=0)
    wrapped = make_pipeline(IDENTITY, sisa).fit(texts[:200], y[:200])
    fair = FairEnsemblePostprocessor(FrozenEstimator(wrapped), random_state=0)
    fair.fit(texts[200:400], y[200:400], sensitive_features=group[200:400])
    asked = texts[400:], group[400:]
    assert np.array_equal(chances(fair, *asked), chances(fair.for_serving(), *asked))


class Counted(TextLearner):
    """Gives one vector for all rows."""

    def frozen_vectors(self, X):
        return super().frozen_vectors(X)[:1]


def test_vectors_that_are_not_one_for_each_row_are_refused():
    texts, _, y, group = people(100)
    with pytest.raises(ValueError, match=r"shape \(1, 3\) for \d+ rows"):
        over(Counted()).fit(texts, y, sensitive_features=group)


class Fickle(TextLearner):
    """Gives vectors unless it was told not to."""

    silent = False

    @property
    def frozen_vectors(self):
        if Fickle.silent:
            raise AttributeError
        return numbers_of


def test_a_rule_refuses_numbers_that_others_give_than_it_learnt_from(monkeypatch):
    texts, _, y, group = people(200)
    fair = over(Fickle()).fit(texts, y, sensitive_features=group)
    monkeypatch.setattr(Fickle, "silent", True)
    with pytest.raises(ValueError, match="has learnt from other numbers"):
        chances(fair, texts[:5], group[:5])


def test_vectors_tell_what_words_do_not():
    texts, _, y, group = people(1200)
    new, _, new_y, new_group = people(2000, seed=1)
    found = {}
    for learner in (TextLearner(), Wordless()):
        fair = over(learner).fit(texts, y, sensitive_features=group)
        p = chances(fair, new, new_group)
        found[type(learner)] = expected_balanced_accuracy_score(new_y, p)
    assert found[TextLearner] > found[Wordless] + 0.05


class Wordless(TextLearner):
    """A learner of the same that gives no vectors."""

    frozen_vectors = property()


def test_rows_that_are_forgotten_leave_nothing_in_heads():
    texts, _, y, group = people(300)
    gone = [7, 8, 200]
    others = texts.copy()
    for row in gone:
        others[row] = "9 9 -9"
    new, *_, new_group = people(100, seed=1)
    decided = [
        chances(
            over(TextLearner()).fit(given, y, sensitive_features=group).forget(gone),
            new,
            new_group,
        )
        for given in (texts, others)
    ]
    assert np.array_equal(*decided)


class ColumnLearner(TextLearner):
    """Reads the texts in a column of frames."""

    def fit(self, X, y):
        return super().fit(X["text"], y)

    def predict(self, X):
        return super().predict(X["text"])

    def predict_proba(self, X):
        return super().predict_proba(X["text"])

    def frozen_vectors(self, X):
        return super().frozen_vectors(X["text"])


@pytest.mark.parametrize("n_columns", [1, 2])
def test_beside_other_columns_heads_read_these_and_words(n_columns):
    texts, _, y, group = people(300)
    frame = pd.DataFrame({"text": texts, "age": np.arange(300)}).iloc[:, :n_columns]
    fair = over(ColumnLearner()).fit(frame, y, sensitive_features=group)
    n_numbers = fair._serving().calibrated.heads.folds[0].n_numbers
    assert n_numbers == 3 if n_columns == 1 else n_numbers > 3
