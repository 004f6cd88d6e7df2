"""Sequences of calls, in memory and in a directory."""

import numpy as np
import pytest
from held import digests
from sklearn.linear_model import SGDClassifier
from sklearn.naive_bayes import GaussianNB

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.exceptions import VanishedClassWarning

rng = np.random.default_rng(0)
X = rng.normal(size=(90, 3))
y = np.where(X[:, 0] > 0, "m", "z")
LATE = np.where(X[:, 1] > 0, "a", "n")
WHERE = pytest.mark.parametrize("durable", [False, True])


def make_sisa(directory=None, learner=None):
    learner = SGDClassifier(loss="log_loss") if learner is None else learner
    return SISAClassifier(
        learner, n_shards=3, n_slices=2, random_state=0, checkpoint_dir=directory
    )


@WHERE
@pytest.mark.parametrize("learner", [SGDClassifier(loss="log_loss"), GaussianNB()])
def test_classes_that_sort_first_and_between_arrive_late(tmp_path, durable, learner):
    sisa = make_sisa(tmp_path if durable else None, learner).fit(X[:60], y[:60])
    sisa.partial_fit(X[60:], LATE[60:])
    if durable:
        sisa = SISAClassifier.load(tmp_path)
    assert list(sisa.classes_) == ["a", "m", "n", "z"]
    # What the labels are now called must not have moved what they were.
    at_once, classes = make_sisa(None, learner), ["a", "m", "n", "z"]
    with pytest.warns(VanishedClassWarning):
        at_once.partial_fit(X[:60], y[:60], classes=classes)
    at_once.partial_fit(X[60:], LATE[60:])
    assert digests(sisa) == digests(at_once)
    np.testing.assert_array_equal(sisa.predict_proba(X), at_once.predict_proba(X))
    sisa.forget([3, 70]), at_once.forget([3, 70])
    assert digests(sisa) == digests(at_once)
    assert sisa.verify_forgotten()


@WHERE
@pytest.mark.parametrize("together", [False, True])
def test_a_row_that_is_asked_for_again_costs_nothing(tmp_path, durable, together):
    sisa = make_sisa(tmp_path if durable else None).fit(X, y)

    def reopened():
        return SISAClassifier.load(tmp_path) if durable else sisa

    a, b = np.flatnonzero(sisa.plan_.shards == 1)[:2].tolist()
    for request in [a], [b], [a], [a, b] if together else [b]:
        reopened().forget(request)
    sisa = reopened()
    assert list(sisa.forgotten_) == [a, b]
    assert [report.rows for report in sisa.forget_log_] == [(a,), (b,), (), ()]
    assert [report.sample_visits > 0 for report in sisa.forget_log_] == [
        True, True, False, False,
    ]  # fmt: skip
    assert digests(sisa) == digests(make_sisa().fit(X, y).forget([b, a]))
    assert list(sisa.forgetting_report().to_frame()["n_forgotten"])[-2:] == [0, 0]
