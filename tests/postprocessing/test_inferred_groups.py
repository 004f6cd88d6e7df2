"""Claims about decisions on people whose group is inferred."""

import warnings

import numpy as np
import pandas as pd
import pytest
from held import calibrated
from scipy import sparse
from scipy.special import expit
from sklearn import config_context
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.exceptions import UnsupportedToleranceWarning
from sklearn_fairsisa.metrics import (
    expected_balanced_accuracy_score,
    expected_equalized_odds_difference,
)
from sklearn_fairsisa.sisa._digests import digest

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn_fairsisa.exceptions.UnsupportedToleranceWarning"
)


def people(n=600, seed=0, told=3.0):
    """Two groups, which X tells apart, one with more positives and other evidence."""
    rng = np.random.default_rng(seed)
    X, group = rng.normal(size=(n, 4)), np.arange(n) % 2
    X[:, 2] += told * group
    margin = X[:, 0] + np.where(group == 0, X[:, 1], -X[:, 1]) + 2 * group - 1
    return X, (rng.random(n) < expit(1.5 * margin)).astype(int), group


def over(ensemble=None, **params):
    if ensemble is None:
        ensemble = SISAClassifier(LogisticRegression(), n_shards=3)
    params = {
        "objective": "balanced_accuracy_score",
        "random_state": 0,
        "sensitive_at_predict": False,
        **params,
    }
    return FairEnsemblePostprocessor(ensemble, **params)


def fitted(data=None, **params):
    X, y, group = people() if data is None else data
    return over(**params).fit(X, y, sensitive_features=group)


def gap_of(p, y, group):
    return expected_equalized_odds_difference(y, p, sensitive_features=group)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    "params", [{}, {"sensitive_at_predict": True, "unknown_group": "inferred"}]
)
def test_where_forgetting_leaves_one_group_the_rule_is_that_of_this_group(
    params, n_classes
):
    X, y, group = people(900)
    y = y + (X[:, 3] > 0.5) * (n_classes - 2)
    others = np.random.default_rng(1).normal(size=X.shape) + [0, 0, 6, 0]
    new = people(60, seed=2)[0]
    told = {} if not params else {"sensitive_features": ["nobody's"] * 60}
    decided, reports = [], []
    for values in (X, np.where(group[:, None] == 1, others, X)):
        fair = fitted((values, y, group), **params)
        fair.forget(np.flatnonzero(group == 1))
        decided.append(fair.predict(new, **told))
        reports.append(str(fair.fairness_report_))
    assert set(decided[0]) == set(range(n_classes))
    np.testing.assert_array_equal(*decided)
    assert reports[0] == reports[1]
    assert "gap of nan" not in reports[0]
    alone = fitted((X[::2], y[::2], group[::2]), **params)
    assert set(alone.predict(new, **told)) == set(range(n_classes))


@pytest.mark.parametrize("calibration", ["cross_shard", 0.5])
def test_the_gap_is_small_without_the_group_and_great_without_a_rule(calibration):
    fair = fitted(people(1500), calibration=calibration)
    X, y, group = people(6000, seed=1)
    p = fair.selection_probability(X)
    none = fair.estimator_.predict_proba(X)[:, 1] > 0.5
    assert gap_of(none.astype(float), y, group) > 0.2
    assert gap_of(p, y, group) < 0.1
    assert expected_balanced_accuracy_score(y, p) > 0.65
    assert fair.fairness_report_.bound < 0.2


def test_groups_that_are_passed_all_the_same_are_not_looked_at():
    fair, (X, y, group) = fitted(), people(200, seed=1)
    for given in (1 - group, np.full(200, "someone else")):
        for method in (fair.predict, fair.selection_probability, fair.transform):
            np.testing.assert_array_equal(
                method(X, sensitive_features=given), method(X)
            )
        assert fair.score(X, y, sensitive_features=given) == fair.score(X, y)


def in_container(kind, X, group):
    if kind == "array":
        return np.column_stack([X[:, :2], group, X[:, 2:]]), X
    if kind == "sparse":
        both = in_container("array", X, group)
        return tuple(map(sparse.csr_array, both))
    frame = pd.DataFrame(X, columns=list("abcd"))
    sex = np.where(group, "m", "f") if kind == "polars" else group
    with_group = frame.assign(sex=sex)[["a", "sex", "b", "c", "d"]]
    if kind == "polars":
        polars = pytest.importorskip("polars")
        return tuple(polars.DataFrame(f.to_dict("list")) for f in (with_group, frame))
    return with_group, frame


@pytest.mark.parametrize("kind", ["array", "sparse", "frame", "polars"])
def test_the_column_of_the_group_may_be_missing(kind):
    X, y, group = people()
    whole, without = in_container(kind, X, group)
    column = "sex" if kind in ("frame", "polars") else 2
    ensemble = SISAClassifier(LogisticRegression(), n_shards=3)
    fair = over(ensemble, sensitive_feature=column).fit(whole, y)
    np.testing.assert_array_equal(fair.predict(whole), fair.predict(without))
    p = fair.selection_probability(without)
    np.testing.assert_array_equal(fair.selection_probability(whole), p)
    with pytest.raises(ValueError, match="feature"):
        fair.predict(X[:, :2] if kind in ("array", "sparse") else without[["a", "b"]])


def test_members_that_learnt_from_the_column_need_it():
    X, y, group = people()
    whole, without = in_container("frame", X, group)
    fair = over(sensitive_feature="sex", drop_sensitive=False).fit(whole, y)
    assert len(fair.predict(whole)) == len(X)
    with pytest.raises(ValueError, match="sex"):
        fair.predict(without)


@pytest.mark.parametrize(
    "method", ["ensemble", "aggregate_then_postprocess", "postprocess_then_aggregate"]
)
@pytest.mark.parametrize(
    "params", [{}, {"sensitive_at_predict": True, "unknown_group": "inferred"}]
)
def test_methods_on_votes_refuse(method, params):
    with pytest.raises(ValueError, match="goes by votes alone"):
        fitted(method=method, **params)


def test_groups_that_X_does_not_tell_are_refused():
    X, y, _ = people()
    group = np.random.default_rng(5).integers(0, 2, len(X))
    with pytest.raises(ValueError, match="better than chance"):
        fitted((X, y, group))


def test_a_gap_that_may_be_greater_than_the_tolerance_is_warned_of():
    with pytest.warns(UnsupportedToleranceWarning, match="groups are inferred") as told:
        fair = fitted(tol=0.02)
    assert told[0].filename == __file__
    assert fair.fairness_report_.bound > 0.02


def test_rates_agree_in_calibration_as_counted_and_estimated():
    for method in ("smooth_ensemble", "soft_ensemble"):
        fair = fitted(method=method)
        points = fair.operating_points_.iloc[:, 1:].to_numpy()
        assert np.ptp(points, axis=0).max() < 1e-8
    # Those of the other method are counts.
    rows, rule = calibrated(fair).rows, calibrated(fair).rule
    p = rule.selection_probability(rows.scores, rows.group)
    assert gap_of(p, rows.label, rows.group) < 1e-8


def test_more_classes_are_decided_on_without_the_group():
    X, y, group = people(900)
    y = np.where(X[:, 3] > 0.8, 2, y)
    fair = fitted((X, y, group), tol=0.05)
    p = fair.transform(X)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert (fair.predict(X) == y).mean() > 0.5
    rates = fair.operating_points_.pivot_table(
        index=["true_class", "decision"], columns="group", values="rate"
    )
    assert np.ptp(rates.to_numpy(), axis=1).max() < 0.05 + 1e-8


def test_outputs_of_members_and_ensembles_of_any_kind_will_do():
    X, y, group = people(900)
    for ensemble, rows in (
        (BaggingClassifier(LogisticRegression(), 3), X),
        (None, expit(X)),
    ):
        params = {"objective": "balanced_accuracy_score", "random_state": 0}
        fair = FairEnsemblePostprocessor(
            ensemble, sensitive_at_predict=False, **params
        ).fit(rows, y, sensitive_features=group)
        assert fair.score(rows, y) > 0.6
        assert len(fair.forget(fair.calibration_indices_[:3]).forgotten_) == 3


def test_people_of_unknown_groups_are_decided_on_by_inference_and_others_as_ever():
    X, y, group = people(1500)
    params = {"objective": "balanced_accuracy_score", "random_state": 0}
    both, ever, never = (
        FairEnsemblePostprocessor(
            SISAClassifier(LogisticRegression(), n_shards=3), **params, **more
        ).fit(X, y, sensitive_features=group)
        for more in (
            {"unknown_group": "inferred"},
            {},
            {"sensitive_at_predict": False},
        )
    )
    X, y, group = people(300, seed=1)
    mixed = np.where(np.arange(300) < 100, np.nan, group)
    p = both.selection_probability(X, sensitive_features=mixed)
    known = ever.selection_probability(X[100:], sensitive_features=group[100:])
    np.testing.assert_allclose(p[100:], known)
    # Up to the members that are left out in turn, which count for neither.
    unknown = never.selection_probability(X[:100])
    np.testing.assert_allclose(p[:100], unknown)


def test_groups_that_lost_their_labels_are_decided_on_as_the_others_are():
    X, y, group = people()
    y[(group == 1) & (np.arange(600) > 9)] = 0
    y[[1, 3]] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fair = fitted((X, y, group)).forget(np.flatnonzero((group == 1) & (y == 1)))
    assert fair.unconstrained_groups_.tolist() == [1]
    assert np.isfinite(fair.selection_probability(X)).all()


GONE = [3, 40, 41, 111, 250]


@pytest.mark.parametrize(
    ("calibration", "n_classes"), [("cross_shard", 2), (0.5, 2), ("cross_shard", 3)]
)
def test_twins_whose_forgotten_rows_held_something_else_end_in_the_same_bits(
    calibration, n_classes
):
    X, y, group = people()
    y = np.where(X[:, 3] > 0.8, n_classes - 1, y)
    other = X.copy(), y.copy(), group.copy()
    other[0][GONE], other[1][GONE], other[2][GONE] = 9, 1 - y[GONE] % 2, 1 - group[GONE]
    new, found = people(50, seed=1)[0], []
    for data in ((X, y, group), other):
        fair = fitted(data, calibration=calibration, tol=0.1).forget(GONE)
        found.append((digest(calibrated(fair).learnt), fair.transform(new).tobytes()))
    assert found[0] == found[1]
    assert fair.estimator_.verify_forgotten()


def test_it_stands_in_a_pipeline_and_in_a_grid_with_routing():
    X, y, group = people()
    with config_context(enable_metadata_routing=True):
        sisa = SISAClassifier(LogisticRegression(), n_shards=3)
        pipe = make_pipeline(StandardScaler(), over(sisa))
        pipe.fit(X, y, sensitive_features=group)
        np.testing.assert_array_equal(
            pipe.predict(X), pipe.predict(X, sensitive_features=group)
        )
        grid = GridSearchCV(over(sisa), {"tol": [0.05, 0.2]}, cv=2)
        grid.fit(X, y, sensitive_features=group)
        assert len(grid.predict(X)) == len(X)


def test_tradeoff_and_confidence_speak_of_observed_groups():
    X, y, group = people()
    fair = fitted()
    table = fair.tradeoff([0.0, 0.3], X, y, sensitive_features=group)
    p = fair.selection_probability(X)
    assert table.equalized_odds_difference[0] == pytest.approx(gap_of(p, y, group))
    assert table.balanced_accuracy[1] >= table.balanced_accuracy[0]
    # Loose enough that the first rule tried will do.
    assert fitted(tol=0.6, confidence=0.9).fairness_report_.bound <= 0.6


@pytest.mark.parametrize("name", ["boundaries_", "member_weights_"])
def test_what_an_inferring_rule_lacks_is_said(name):
    with pytest.raises(AttributeError, match="Where groups are inferred"):
        getattr(fitted(), name)


def test_the_report_says_how_much_is_counted():
    report = fitted().fairness_report_
    assert (report.counted > 0.4).all()
    assert (report.counted < 1).all()
    assert "Groups are inferred. Rates in calibration are counted" in str(report)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_summary_says_that_cells_are_decisions_not_scores_with_weights(n_classes):
    X, y, group = people()
    fair = fitted((X, y if n_classes == 2 else y + (X[:, 0] > 1), group))
    for text in (fair.rule_summary_.split("\n")[0], fair._repr_html_()):
        assert "Cells are the decisions of the rules that are mixed" in text
        assert "member_weights_" not in text
