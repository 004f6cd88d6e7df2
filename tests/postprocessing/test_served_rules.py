"""What is served decides alike, and holds no row, id or path."""

import pickle

import numpy as np
import pandas as pd
import pytest
from held import calibrated, state_of
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier

rng = np.random.default_rng(0)
X = rng.normal(size=(300, 3))
GROUPS = np.array(["old", "young"])[rng.integers(2, size=300)]
noise = rng.normal(size=300) * np.where(GROUPS == "old", 0.4, 1.2)
Y = {
    2: np.where(X[:, 0] + noise > 0, "yes", "no"),
    3: np.array(["a", "b", "c"])[np.digitize(X[:, 0] + noise, [-0.5, 0.5])],
}
IDS = [f"subject-{i:05d}" for i in range(300)]
METHODS = [
    "smooth_ensemble", "soft_ensemble", "ensemble", "aggregate_then_postprocess",
    "postprocess_then_aggregate",
]  # fmt: skip
ARGUMENTS = {"sensitive_features": GROUPS}


def assert_alike(served, fair, X=X, **arguments):
    arguments = arguments or ARGUMENTS
    for method in ("predict", "selection_probability", "transform"):
        own = getattr(served, method)(X, **arguments)
        there = getattr(fair, method)(X, **arguments)
        assert own.tobytes() == there.tobytes()


@pytest.mark.parametrize(
    ("method", "n_classes", "calibration"),
    [
        *((method, 2, "cross_shard") for method in METHODS),
        ("smooth_ensemble", 2, 0.5),
        ("smooth_ensemble", 3, "cross_shard"),
        ("ensemble", 3, 0.5),
    ],
)
def test_it_decides_the_same_bits_and_holds_no_row_id_or_path(
    tmp_path, method, n_classes, calibration
):
    fair = FairEnsemblePostprocessor(
        SISAClassifier(GaussianNB(), n_shards=3, checkpoint_dir=tmp_path / "trainer"),
        method=method,
        calibration=calibration,
        random_state=0,
    )
    fair.fit(X, Y[n_classes], sensitive_features=GROUPS, subjects=IDS)
    data = pickle.dumps(fair.for_serving())
    salt = state_of(fair.estimator_).salt
    for secret in (*(row.tobytes() for row in X), *IDS, str(tmp_path), salt):
        assert (secret.encode() if isinstance(secret, str) else secret) not in data
    served = pickle.loads(data)
    assert_alike(served, fair)
    assert served.score(X, Y[n_classes], **ARGUMENTS) == fair.score(
        X, Y[n_classes], **ARGUMENTS
    )
    pd.testing.assert_frame_equal(served.rule_, fair.rule_)
    pd.testing.assert_frame_equal(served.operating_points_, fair.operating_points_)


def test_it_follows_the_deletions_before_it():
    fair = FairEnsemblePostprocessor(SISAClassifier(GaussianNB()), random_state=0)
    fair.fit(X, Y[2], sensitive_features=GROUPS)
    before = fair.for_serving()
    fair.forget(range(60))
    assert_alike(fair.for_serving(), fair)
    own, there = (one.selection_probability(X, **ARGUMENTS) for one in (before, fair))
    assert not np.array_equal(own, there)


def test_the_group_may_stand_in_a_column():
    frame = pd.DataFrame(X, columns=list("abc")).assign(age=GROUPS)
    fair = FairEnsemblePostprocessor(
        SISAClassifier(LogisticRegression()),
        sensitive_feature="age",
        unknown_group="unconstrained",
        random_state=0,
    ).fit(frame, Y[2])
    served = pickle.loads(pickle.dumps(fair.for_serving()))
    frame = frame.assign(age=np.where(X[:, 1] > 1, "unheard of", GROUPS))
    assert_alike(served, fair, frame, sensitive_features=None)


def test_members_that_are_no_shards_are_served_too():
    votes = X > 0
    for estimator, given in (
        (RandomForestClassifier(5, random_state=0), X),
        ([FrozenEstimator(GaussianNB().fit(X, Y[2]))], X),
        (FrozenEstimator(SISAClassifier(GaussianNB()).fit(X, Y[2])), X),
        (None, votes),
    ):
        fair = FairEnsemblePostprocessor(estimator, random_state=0)
        fair.fit(given, Y[2], sensitive_features=GROUPS)
        served = fair.for_serving()
        assert_alike(pickle.loads(pickle.dumps(served)), fair, given, **ARGUMENTS)
        assert not any(row.tobytes() in pickle.dumps(served) for row in X)


def test_members_that_keep_rows_are_refused_by_name():
    fair = FairEnsemblePostprocessor(SISAClassifier(KNeighborsClassifier()))
    fair.fit(X, Y[2], sensitive_features=GROUPS)
    with pytest.raises(ValueError, match="KNeighborsClassifier"):
        fair.for_serving()


def test_it_only_decides():
    fair = FairEnsemblePostprocessor(SISAClassifier(GaussianNB()), random_state=0)
    served = fair.fit(X, Y[2], sensitive_features=GROUPS).for_serving()
    for name in (
        "forget", "partial_fit", "relearn", "amend", "attach", "load", "tradeoff",
        "behind_", "forgotten_", "fairness_report_", "calibration_indices_",
    ):  # fmt: skip
        with pytest.raises(AttributeError, match=f"it has no {name}"):
            getattr(served, name)
    with pytest.raises(TypeError, match="only decides"):
        served.fit(X, Y[2], sensitive_features=GROUPS)
    assert clone(served) is served is served.for_serving()
    assert "ServedPostprocessor" in repr(served)
    assert "Operating points" in served._repr_html_()
    assert len(calibrated(served).rows) == 0


def test_a_rule_that_is_not_solved_is_not_served():
    fair = FairEnsemblePostprocessor(SISAClassifier(GaussianNB(), n_shards=2))
    fair.fit(X, Y[2], sensitive_features=GROUPS)
    fair.estimator_.forget(0, relearn=False)
    with pytest.raises(ValueError, match="relearn"):
        fair.for_serving()
