"""How weights and other metadata of rows reach the learner."""

import inspect
import pickle

import numpy as np
import pandas as pd
import polars
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification
from sklearn.ensemble import AdaBoostClassifier
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import has_fit_parameter

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier

X, y = make_classification(160, 6, random_state=0)
WEIGHT = np.random.default_rng(0).random(160) + 0.1


class Recorder(ClassifierMixin, BaseEstimator):
    """Keeps, for each call of a method, what metadata it was given."""

    def fit(self, X, y, sample_weight=None, note="unset"):
        return self._record("fit", y, sample_weight, note)

    def partial_fit(self, X, y, classes=None, sample_weight=None, note="unset"):
        return self._record("partial_fit", y, sample_weight, note)

    def _record(self, method, y, sample_weight, note):
        total = None if sample_weight is None else float(np.sum(sample_weight))
        self.calls_ = [*getattr(self, "calls_", []), (method, total, note)]
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.zeros(len(X), dtype=int)


def make_sisa(learner, **params):
    params = {"n_shards": 2, "random_state": 0} | params
    return SISAClassifier(learner, **params)


def calls(sisa):
    members = [m[-1] if hasattr(m, "steps") else m for m in sisa.estimators_]
    return {method: total for m in members for method, total, _ in m.calls_}


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        (SISAClassifier, "fit"),
        (SISAClassifier, "partial_fit"),
        (FairEnsemblePostprocessor, "fit"),
    ],
)
def test_weights_are_a_named_parameter(kind, method):
    assert "sample_weight" in inspect.signature(getattr(kind, method)).parameters
    assert has_fit_parameter(kind(), "sample_weight")
    with config_context(enable_metadata_routing=True):
        request = getattr(kind(), f"set_{method}_request")(sample_weight=True)
        assert request.get_metadata_routing().consumes(method, ["sample_weight"])


@pytest.mark.usefixtures("unrouted")
@pytest.mark.parametrize(
    "given",
    [
        WEIGHT.tolist(),
        WEIGHT[:, None],
        pd.Series(WEIGHT, index=np.arange(160)[::-1]),
        pd.DataFrame({"w": WEIGHT}),
        polars.Series(WEIGHT),
        polars.DataFrame({"w": WEIGHT}),
        WEIGHT.astype(object),
        pd.Series(WEIGHT, dtype="Float64"),
    ],
    ids=["list", "column", "series", "frame", "polars", "polars frame", "object", "NA"],
)
@pytest.mark.parametrize("n_slices", [1, 2])
def test_weights_of_any_container_are_the_same_weights(given, n_slices):
    sisa = make_sisa(SGDClassifier(loss="log_loss"), n_slices=n_slices)
    plain = clone(sisa).fit(X, y, WEIGHT)
    np.testing.assert_array_equal(
        clone(sisa).fit(X, y, given).predict_proba(X), plain.predict_proba(X)
    )
    group = np.arange(160) % 2
    fair, other = (
        FairEnsemblePostprocessor(sisa, random_state=0).fit(
            X, y, sensitive_features=group, sample_weight=weight
        )
        for weight in (given, WEIGHT)
    )
    np.testing.assert_array_equal(
        fair.selection_probability(X, sensitive_features=group),
        other.selection_probability(X, sensitive_features=group),
    )


@pytest.mark.usefixtures("unrouted")
@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.full(160, 1e308), "more than a floating-point number can hold"),
        (np.full(160, 1e200), "not representable"),
        (np.full(160, 1e-308), "not representable"),
        (np.where(np.arange(160) == 3, np.nan, 1.0), "NaN or infinity"),
        (np.full(160, np.inf), "NaN or infinity"),
        (pd.Series([1, None] * 80, dtype="Int64"), "NaN or infinity|holds object"),
        (["1"] * 159 + ["x"], "holds <U1"),
        (WEIGHT + 1j, "holds complex"),
        (WEIGHT[:5], "has 5 rows but X has 160"),
        (np.ones((160, 2)), r"shape \(160, 2\)"),
        (np.zeros(160), "is zero in all rows"),
        (0, "is zero in all rows"),
    ],
)
def test_unusable_weights_are_refused_before_anything_is_trained(weight, message):
    sisa = make_sisa(Recorder())
    fair = FairEnsemblePostprocessor(sisa)
    with pytest.raises(ValueError, match=f"sample_weight.*({message})"):
        sisa.fit(X, y, sample_weight=weight)
    with pytest.raises(ValueError, match=f"sample_weight.*({message})"):
        fair.fit(X, y, sensitive_features=y, sample_weight=weight)
    with pytest.raises(ValueError, match=f"sample_weight.*({message})"):
        make_sisa(make_pipeline(Recorder())).fit(X, y, recorder__sample_weight=weight)
    assert not hasattr(sisa, "plan_")


@pytest.mark.usefixtures("unrouted")
def test_one_number_weighs_all_rows_alike():
    one, all_rows = (
        make_sisa(LogisticRegression()).fit(X, y, sample_weight=weight)
        for weight in (2.0, np.full(160, 2.0))
    )
    np.testing.assert_array_equal(one.transform(X), all_rows.transform(X))


@pytest.mark.usefixtures("unrouted")
@pytest.mark.parametrize("learner", [KNeighborsClassifier(), "pipeline"])
def test_weights_that_the_learner_does_not_take_are_refused(learner):
    if learner == "pipeline":
        learner = make_pipeline(StandardScaler(), KNeighborsClassifier())
    with pytest.raises(ValueError, match=r"KNeighborsClassifier\.fit gets no sample_w"):
        make_sisa(learner).fit(X, y, sample_weight=WEIGHT)


@pytest.mark.usefixtures("unrouted")
def test_weights_given_under_two_names_are_refused():
    sisa = make_sisa(make_pipeline(LogisticRegression()))
    names = dict.fromkeys(
        ["sample_weight", "logisticregression__sample_weight"], WEIGHT
    )
    with pytest.raises(ValueError, match="given twice"):
        sisa.fit(X, y, **names)


@pytest.mark.usefixtures("unrouted")
def test_weights_pass_through_a_search_within_the_ensemble():
    search = GridSearchCV(LogisticRegression(), {"C": [0.1]}, cv=2)
    weighted = make_sisa(search).fit(X, y, sample_weight=WEIGHT)
    alone = make_sisa(LogisticRegression(C=0.1)).fit(X, y, sample_weight=WEIGHT)
    np.testing.assert_array_equal(weighted.transform(X), alone.transform(X))


@pytest.mark.usefixtures("unrouted")
@pytest.mark.parametrize("n_slices", [1, 2])
@pytest.mark.parametrize("learner", [GaussianNB(), SGDClassifier(), "pipeline"])
def test_appended_rows_bring_weights_of_their_own(learner, n_slices):
    if learner == "pipeline":
        learner = make_pipeline(StandardScaler(), SGDClassifier())
    sisa = make_sisa(learner, n_slices=n_slices)
    batch = X[:40], y[:40]
    sisa.fit(X, y, WEIGHT).partial_fit(*batch, WEIGHT[:40])
    weighted = sisa.transform(X)
    assert sisa.forget([3, 165]).verify_forgotten()
    default = clone(sisa).fit(X, y, WEIGHT).partial_fit(*batch)
    ones = clone(sisa).fit(X, y, WEIGHT).partial_fit(*batch, np.ones(40))
    np.testing.assert_array_equal(default.transform(X), ones.transform(X))
    assert (default.transform(X) != weighted).any()
    bare = clone(sisa).fit(X, y)
    with pytest.raises(ValueError, match="Earlier rows were given no sample_weight"):
        bare.partial_fit(*batch, WEIGHT[:40])
    assert bare.n_rows_ == 160
    first = clone(sisa).partial_fit(X, y, WEIGHT, classes=[0, 1])
    assert first.forget([3]).verify_forgotten()


@pytest.mark.usefixtures("unrouted")
def test_boosting_and_calibration_weigh_the_ensemble():
    sisa = make_sisa(LogisticRegression())
    boosted = AdaBoostClassifier(sisa, n_estimators=3, random_state=0).fit(X, y)
    assert boosted.score(X, y) > 0.7
    calibrated, ignoring = (
        CalibratedClassifierCV(sisa, cv=2).fit(X, y, sample_weight=weight)
        for weight in (WEIGHT, None)
    )
    members = [c.calibrated_classifiers_[0].estimator for c in (calibrated, ignoring)]
    assert (members[0].transform(X) != members[1].transform(X)).any()


# With metadata routing --------------------------------------------------------------


@pytest.fixture
def routed():
    with config_context(enable_metadata_routing=True):
        yield


def deaf_scaler():
    return StandardScaler().set_fit_request(sample_weight=False)


@pytest.mark.usefixtures("routed")
@pytest.mark.parametrize("in_pipeline", [False, True])
@pytest.mark.parametrize(
    ("params", "called"),
    [
        ({"n_slices": 1}, "fit"),
        ({"n_slices": 2}, "partial_fit"),
        ({"epochs": 1}, "partial_fit"),
    ],
)
def test_routing_is_declared_for_the_methods_that_are_called(
    params, called, in_pipeline
):
    learner = getattr(Recorder(), f"set_{called}_request")(sample_weight=True)
    piped = make_pipeline(deaf_scaler(), learner) if in_pipeline else learner
    sisa = make_sisa(piped, **params).fit(X, y, sample_weight=WEIGHT)
    assert calls(sisa).keys() == {called}
    assert None not in calls(sisa).values()
    assert sisa.forget([3]).verify_forgotten()
    other = {"fit": "partial_fit", "partial_fit": "fit"}[called]
    wrong = getattr(Recorder(), f"set_{other}_request")(sample_weight=True)
    piped = make_pipeline(deaf_scaler(), wrong) if in_pipeline else wrong
    with pytest.raises((UnsetMetadataPassedError, ValueError), match="request"):
        make_sisa(piped, **params).fit(X, y, sample_weight=WEIGHT)


@pytest.mark.usefixtures("routed")
def test_an_alias_reaches_the_learner_under_its_own_name():
    learner = Recorder().set_fit_request(sample_weight=True, note="remark")
    sisa = make_sisa(make_pipeline(deaf_scaler(), learner))
    sisa.fit(X, y, sample_weight=WEIGHT, remark="by alias")
    assert {call[2] for m in sisa.estimators_ for call in m[-1].calls_} == {"by alias"}
    with pytest.raises(TypeError, match="note"):
        sisa.fit(X, y, note="by name")


@pytest.mark.usefixtures("routed")
@pytest.mark.parametrize("n_slices", [1, 2])
def test_a_search_over_a_pipeline_hands_the_weights_to_every_member(n_slices):
    method = "fit" if n_slices == 1 else "partial_fit"
    request = f"set_{method}_request"
    learner = getattr(SGDClassifier(loss="log_loss"), request)(sample_weight=True)
    sisa = make_sisa(learner, n_slices=n_slices).set_fit_request(sample_weight=True)
    piped = make_pipeline(deaf_scaler(), sisa)
    grid = {"sisaclassifier__aggregation": ["majority"]}
    scorer = make_scorer(accuracy_score).set_score_request(sample_weight=False)
    search = GridSearchCV(piped, grid, cv=2, scoring=scorer).fit(
        X, y, sample_weight=WEIGHT
    )
    by_hand = clone(sisa).fit(
        StandardScaler().fit_transform(X), y, sample_weight=WEIGHT
    )
    np.testing.assert_array_equal(
        search.best_estimator_[-1].transform(StandardScaler().fit_transform(X)),
        by_hand.transform(StandardScaler().fit_transform(X)),
    )
    params = {"sample_weight": WEIGHT}
    scores = cross_validate(piped, X, y, cv=2, scoring=scorer, params=params)
    assert np.isfinite(scores["test_score"]).all()


@pytest.mark.usefixtures("routed")
def test_weights_that_the_ensemble_does_not_request_are_refused_around_it():
    learner = LogisticRegression().set_fit_request(sample_weight=True)
    piped = make_pipeline(make_sisa(learner))
    with pytest.raises(UnsetMetadataPassedError, match=r"SISAClassifier\.fit"):
        piped.fit(X, y, sample_weight=WEIGHT)


def test_a_replay_routes_as_fit_did_whatever_the_process_has_set(tmp_path):
    with config_context(enable_metadata_routing=True):
        learner = make_pipeline(
            StandardScaler().set_fit_request(sample_weight=True),
            LogisticRegression().set_fit_request(sample_weight=True),
        )
        sisa = make_sisa(learner, checkpoint_dir=tmp_path)
        sisa.fit(X, y, sample_weight=WEIGHT)
    with config_context(enable_metadata_routing=False):
        loaded = SISAClassifier.load(tmp_path).forget([3])
        assert loaded.verify_forgotten()
        assert pickle.loads(pickle.dumps(loaded)).verify_forgotten()
