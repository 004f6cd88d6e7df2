"""Fair rules without randomised decisions."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import RocCurveDisplay, roc_auc_score
from sklearn.model_selection import TunedThresholdClassifierCV
from sklearn.naive_bayes import GaussianNB

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.constraints import AtLeast, Difference, Ratio
from sklearn_fairsisa.exceptions import UnsupportedToleranceWarning

METHODS = ["smooth_ensemble", "soft_ensemble"]


def draw(n=1200):
    rng = np.random.default_rng(3)
    group, y = rng.integers(0, 3, n), rng.integers(0, 2, n)
    X = rng.normal(size=(n, 3)) + y[:, None] * (0.6 + 0.3 * group)[:, None]
    return X, y, np.array(["a", "b", "c"])[group]


def fit(*, calibration="auto", labels=(0, 1), **params):
    X, y, group = draw()
    y = np.array(labels)[y]
    params = {
        "objective": "balanced_accuracy_score", "tol": 0.1, "random_state": 0,
        "randomise": False, "calibration": calibration,
    } | params  # fmt: skip
    sisa = SISAClassifier(GaussianNB(), n_shards=3, random_state=0)
    fair = FairEnsemblePostprocessor(sisa, **params)
    return fair.fit(X, y, sensitive_features=group), X, y, group


@pytest.mark.parametrize("calibration", [0.4, "cross_shard"])
@pytest.mark.parametrize("method", METHODS)
def test_nobody_is_decided_on_at_random_and_rates_keep_the_bound(method, calibration):
    fair, X, _, group = fit(method=method, calibration=calibration)
    p = fair.selection_probability(X, sensitive_features=group)
    assert set(np.unique(p)) <= {0.0, 1.0}
    assert fair.randomised_share_ == 0
    assert np.ptp(fair.operating_points_.true_positive_rate) <= 0.1 + 1e-9
    assert np.ptp(fair.operating_points_.false_positive_rate) <= 0.1 + 1e-9
    assert fair.optimality_gap_ == 0
    # Two lines of the rule per group: from where on people are selected.
    assert (fair.rule_.groupby("group").size() <= 2).all()
    assert "% selected" not in fair.rule_summary_
    random = clone(fair).set_params(randomise=True)
    random.fit(X, draw()[1], sensitive_features=group)
    assert fair.objective_ <= random.objective_ + 1e-9
    assert fair.objective_ > random.objective_ - 0.1
    margin = fair.decision_function(X, sensitive_features=group)
    np.testing.assert_array_equal(margin >= 0, p == 1)


def test_the_margin_across_shards_is_the_mean_without_each_member():
    fair, X, _, group = fit(method="soft_ensemble")
    rule, scores = fair._calibrated().rule, fair.estimator_.transform(X)
    code = np.searchsorted(fair.groups_, group)
    logit = np.log(scores.clip(1e-6, 1 - 1e-6) / (1 - scores.clip(1e-6, 1 - 1e-6)))
    weights = fair.member_weights_.to_numpy()[code]
    total = 0
    for silent, share in enumerate(rule.silent_share):
        others = np.delete(np.arange(3), silent)
        z = logit.copy()
        z[:, silent] = logit[:, others].mean(axis=1)
        total = total + share * (z * weights).sum(axis=1)
    margin = fair.decision_function(X, sensitive_features=group)
    np.testing.assert_allclose(margin, total - rule.fair.rule.cuts[code])


@pytest.mark.parametrize(
    "constraints",
    [
        Ratio("selection_rate", 0.9),
        [AtLeast("true_positive_rate", 0.7), Difference("false_positive_rate", 0.1)],
    ],
)
def test_constraint_objects_have_thresholds_too(constraints):
    fair, X, y, group = fit(constraints=constraints, tol=0, method="soft_ensemble")
    assert fair.fairness_report_.to_frame().estimated.notna().all()
    assert 0 <= fair.optimality_gap_ < 0.02
    best = clone(fair).set_params(randomise=True).fit(X, y, sensitive_features=group)
    expected = best.objective_ - fair.objective_
    if isinstance(constraints, list):
        assert fair.optimality_gap_ == pytest.approx(expected, abs=1e-9)
    with pytest.raises(AttributeError, match="randomise=False"):
        _ = best.optimality_gap_


def test_displays_and_searches_of_scikit_learn_take_the_margin():
    X, y, group = draw()
    frame = pd.DataFrame(X, columns=list("uvw")).assign(club=group)
    fair = FairEnsemblePostprocessor(
        SISAClassifier(GaussianNB(), n_shards=2, random_state=0),
        sensitive_feature="club", tol=0.1, randomise=False, random_state=0,
    )  # fmt: skip
    fair.fit(frame, y)
    display = RocCurveDisplay.from_estimator(fair, frame, y)
    area = roc_auc_score(y, fair.decision_function(frame))
    assert display.roc_auc == pytest.approx(area)
    tuned = TunedThresholdClassifierCV(fair, cv=2, scoring="balanced_accuracy")
    assert tuned.fit(frame, y).score(frame, y) > 0.6
    assert not hasattr(fair.set_params(randomise=True), "decision_function")
    assert not hasattr(fair, "predict_proba")


def test_the_margin_of_a_first_class_that_is_positive_is_turned():
    fair, X, _, group = fit(labels=("denied", "approved"), pos_label="approved")
    margin = fair.decision_function(X, sensitive_features=group)
    decided = fair.predict(X, sensitive_features=group)
    # As in scikit-learn, above 0 is classes_[1].
    np.testing.assert_array_equal(fair.classes_[(margin > 0).astype(int)], decided)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"tol": 0.0}, "no thresholds make rates equal"),
        ({"method": "ensemble"}, "too few cells"),
        ({"constraints": Ratio("selection_rate", 1.0), "tol": 0}, "no thresholds make"),
        ({"constraints": Difference("accuracy", 0.1), "tol": 0}, "rise or fall"),
    ],
)
def test_what_thresholds_cannot_keep_is_refused(params, message):
    with pytest.raises(ValueError, match=message):
        fit(**params)
    X, y, group = draw(200)
    each = Difference("selection_rate", 0.1, by="sex")
    features = pd.DataFrame({"sex": group, "age": y})
    fair = FairEnsemblePostprocessor(randomise=False, constraints=each)
    with pytest.raises(ValueError, match="by one of several"):
        fair.fit(X > 0, y, sensitive_features=features)
    with pytest.raises(ValueError, match="is for two classes"):
        FairEnsemblePostprocessor(randomise=False, tol=0.1).fit(
            X > 0, y + (X[:, 0] > 1), sensitive_features=group
        )


def test_forgetting_keeps_thresholds_exact():
    ends = []
    for other in (0.0, 5.0):
        X, y, group = draw(500)
        X[::9] += other
        sisa = SISAClassifier(LogisticRegression(), n_shards=2, random_state=0)
        fair = FairEnsemblePostprocessor(sisa, tol=0.1, randomise=False, random_state=0)
        fair.fit(X, y, sensitive_features=group).forget(np.arange(0, 500, 9))
        X, _, group = draw(500)
        ends.append(fair.decision_function(X, sensitive_features=group))
    np.testing.assert_array_equal(*ends)


def test_people_of_unknown_groups_have_a_threshold_of_their_own():
    fair, X, _, _ = fit(unknown_group="unconstrained")
    margin = fair.decision_function(X[:5], sensitive_features=["z"] * 5)
    decided = fair.predict(X[:5], sensitive_features=["z"] * 5)
    np.testing.assert_array_equal(decided, (margin >= 0).astype(int))


@pytest.mark.parametrize("randomise", [True, False])
def test_what_is_served_decides_alike(randomise):
    labels = ("denied", "approved")
    fair, X, _, group = fit(
        labels=labels, pos_label="approved", randomise=randomise, constraints=[
            AtLeast("true_positive_rate", 0.7), Ratio("selection_rate", 0.9)
        ], tol=0, method="soft_ensemble",
    )  # fmt: skip
    served = pickle.loads(pickle.dumps(fair.for_serving()))
    people = np.arange(len(X))
    given = {"sensitive_features": group, "subjects": people}
    np.testing.assert_array_equal(served.predict(X, **given), fair.predict(X, **given))
    assert served.pos_label_ == "approved"
    pd.testing.assert_frame_equal(served.rule_, fair.rule_)
    if not randomise:
        np.testing.assert_array_equal(
            served.decision_function(X, sensitive_features=group),
            fair.decision_function(X, sensitive_features=group),
        )


def test_people_whose_group_is_inferred_may_have_constraint_objects():
    X, y, group = draw(1500)
    X[:, 1] += np.where(group == "a", 2.5, 0)
    constraints = [Ratio("selection_rate", 0.8), AtLeast("true_positive_rate", 0.5)]
    fair = FairEnsemblePostprocessor(
        SISAClassifier(GaussianNB(), n_shards=3, random_state=0),
        constraints=constraints, sensitive_at_predict=False, random_state=0,
    )  # fmt: skip
    with pytest.warns(UnsupportedToleranceWarning, match="bounds may be missed by"):
        fair.fit(X, y, sensitive_features=group)
    table = fair.fairness_report_.to_frame()
    assert table.estimated["selection_rate_ratio"] > 0.8 - 1e-8
    assert table.estimated["true_positive_rate_group_min"] > 0.5 - 1e-8
    assert len(fair.predict(X)) == len(X)
    with pytest.raises(ValueError, match="inferred groups do not have"):
        fair.set_params(randomise=False, method="soft_ensemble").fit(
            X, y, sensitive_features=group
        )
