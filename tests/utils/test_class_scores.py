"""Claims about what a classifier says of each class of an ensemble."""

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.datasets import make_classification
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC, LinearSVC

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
