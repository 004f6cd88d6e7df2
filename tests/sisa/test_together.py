"""Linear members are scored by one product where that changes no bit."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, Perceptron, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.exceptions import EmptyShardWarning
from sklearn_fairsisa.sisa._together import scores_together
from sklearn_fairsisa.sisa._votes import member_scores

LOGISTIC = SGDClassifier(loss="log_loss", random_state=0)


def rows(n, n_features, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, n_features))
    return X, (X[:, 0] + rng.normal(size=n) > 0).astype(int)


@settings(deadline=None, max_examples=25)
@given(
    n_rows=st.integers(1, 40),
    n_features=st.integers(1, 70),
    n_members=st.integers(3, 7),
    learner=st.sampled_from([LOGISTIC, LogisticRegression()]),
)
def test_scores_together_are_the_bits_of_one_by_one(
    n_rows, n_features, n_members, learner
):
    sisa = SISAClassifier(learner, n_shards=n_members, random_state=0)
    sisa.fit(*rows(150, n_features))
    X, _ = rows(n_rows, n_features, seed=1)
    members = [*sisa.estimators_, None]
    together = scores_together(members, X, 2)
    assert together is not None
    assert together[-1] is None
    for member, scores in zip(members[:-1], together):
        assert scores.tobytes() == member_scores(member, X, 2).tobytes()


@pytest.mark.parametrize(
    "learner",
    [
        SGDClassifier(loss="modified_huber", random_state=0),
        SGDClassifier(loss="hinge", random_state=0),
        Perceptron(),
        GaussianNB(),
        make_pipeline(StandardScaler(), LOGISTIC),
    ],
)
def test_members_of_other_kinds_are_not_scored_together(learner):
    X, y = rows(200, 5)
    sisa = SISAClassifier(learner, n_shards=4, random_state=0).fit(X, y)
    assert scores_together(sisa.estimators_, X[:3], 2) is None


@pytest.mark.parametrize(
    "seen",
    [
        lambda X: X.astype(np.float32),
        lambda X: np.asfortranarray(X),
        lambda X: np.repeat(X, 200, axis=0),
        lambda X: X.tolist(),
        lambda X: X[:0],
    ],
)
def test_rows_of_other_kinds_are_not_scored_together(seen):
    X, y = rows(200, 5)
    sisa = SISAClassifier(LOGISTIC, n_shards=4, random_state=0).fit(X, y)
    assert scores_together(sisa.estimators_, seen(X[:3]), 2) is None


def test_a_member_that_saw_one_class_is_not_scored_together():
    X, y = rows(200, 5)
    sisa = SISAClassifier(LOGISTIC, n_shards=4, random_state=0).fit(X, y)
    odd = LogisticRegression().fit(X, y)
    assert scores_together([*sisa.estimators_, odd], X[:3], 2) is None
    odd = SGDClassifier(loss="log_loss").fit(X, 2 * y)
    assert scores_together([*sisa.estimators_, odd], X[:3], 3) is None
    assert scores_together([*sisa.estimators_, odd], X[:3], 2) is None


def test_a_subclass_with_scores_of_its_own_is_not_scored_together():
    class Certain(LogisticRegression):
        def predict_proba(self, X):
            return np.round(super().predict_proba(X))

    X, y = rows(200, 5)
    sisa = SISAClassifier(Certain(), n_shards=4, random_state=0).fit(X, y)
    assert scores_together(sisa.estimators_, X[:3], 2) is None


def test_the_ensemble_transforms_and_refuses_as_members_do():
    X, y = rows(200, 5)
    sisa = SISAClassifier(LOGISTIC, n_shards=4, random_state=0).fit(X, y)
    with pytest.warns(EmptyShardWarning):
        sisa.forget(np.flatnonzero(sisa.plan_.shards == 2))
    for served in (sisa, sisa.for_serving()):
        found = served.transform(X[:7])
        assert (found[:, 2] == 0.5).all()
        for shard in (0, 1, 3):
            own = sisa.estimators_[shard].predict_proba(X[:7])[:, 1]
            np.testing.assert_array_equal(found[:, shard], own)
        with pytest.raises(ValueError, match="features"):
            served.transform(X[:7, :3])


def test_named_columns_are_read_by_each_member():
    X, y = rows(200, 3)
    frame = pd.DataFrame(X, columns=[*"abc"])
    sisa = SISAClassifier(LOGISTIC, n_shards=4, random_state=0).fit(frame, y)
    assert scores_together(sisa.estimators_, frame[:3], 2) is None
    # The ensemble reads frames in one layout, by which sums may be rounded.
    np.testing.assert_allclose(
        sisa.transform(frame[:3])[:, 1],
        sisa.estimators_[1].predict_proba(frame[:3])[:, 1],
        rtol=1e-12,
    )
