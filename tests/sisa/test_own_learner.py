"""A learner of one's own needs nothing but scikit-learn's interface."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import make_classification

from sklearn_fairsisa import SISAClassifier

X, y = make_classification(n_samples=90, n_features=4, random_state=0)
X = X.round(1)  # so that sums in any order are equal


class NearestMean(ClassifierMixin, BaseEstimator):
    """Counts and sums of each class, to which every row that it sees is added."""

    accumulates = True

    def fit(self, X, y):
        return self.partial_fit(X, y)

    def partial_fit(self, X, y, classes=None):
        if not hasattr(self, "classes_"):
            self.classes_ = np.unique(y) if classes is None else classes
            self.counts_ = np.zeros(len(self.classes_))
            self.sums_ = np.zeros((len(self.classes_), X.shape[1]))
        for k, label in enumerate(self.classes_):
            self.counts_[k] += np.sum(y == label)
            self.sums_[k] += X[y == label].sum(axis=0)
        return self

    def predict(self, X):
        means = self.sums_ / np.maximum(self.counts_, 1)[:, None]
        distances = ((X[:, None] - means) ** 2).sum(axis=-1)
        return self.classes_[distances.argmin(axis=1)]


class Forgetful(NearestMean):
    """Says nothing, so that it is trained as what learns by passes is."""

    accumulates = False


def counted(sisa):
    return [int(member.counts_.sum()) for member in sisa.estimators_]


@pytest.mark.parametrize("durable", [False, True])
def test_a_learner_that_accumulates_sees_each_row_once(tmp_path, durable):
    sisa = SISAClassifier(
        NearestMean(),
        n_shards=3,
        n_slices=5,
        random_state=0,
        checkpoint_dir=tmp_path if durable else None,
    ).fit(X, y)
    assert counted(sisa) == [30, 30, 30]
    sisa.forget([1, 2, 3])
    sisa.partial_fit(X[:9], y[:9])
    assert sum(counted(sisa)) == 96
    assert sisa.verify_forgotten()
    assert sisa.score(X, y) > 0.7


def test_other_learners_see_the_rows_of_earlier_slices_again():
    sisa = SISAClassifier(Forgetful(), n_shards=3, n_slices=5, random_state=0)
    assert min(counted(sisa.fit(X, y))) > 30


def test_an_instance_may_say_that_it_accumulates():
    class Either(NearestMean):
        def __init__(self, accumulates=False):
            self.accumulates = accumulates

    for accumulates in (False, True):
        sisa = SISAClassifier(Either(accumulates), n_shards=3, n_slices=5)
        assert (counted(sisa.fit(X, y)) == [30, 30, 30]) is accumulates
