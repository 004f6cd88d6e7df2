"""Rows that belong to none of the groups that are compared."""

import numpy as np
import pandas as pd
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import SGDClassifier

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier

GROUPS = {
    "text": (["left", "right"], None),
    "number": ([3.0, 7.0], np.nan),
}


def make_table(kind, n=900, seed=0):
    """Rows, a third of them of no group, and labels."""
    rng = np.random.default_rng(seed)
    names, missing = GROUPS[kind]
    code = rng.integers(0, 3, n)
    y = rng.integers(0, 2, n)
    X = rng.normal(size=(n, 3)) + y[:, None] * np.array([1.5, 0.8, 1.0])[code, None]
    group = pd.Series([*names, missing])[code].to_numpy()
    table = pd.DataFrame(X, columns=["p", "q", "r"]).assign(group=group)
    return table, y, code < 2


def fitted(table, y, **params):
    sisa = SISAClassifier(
        SGDClassifier(loss="log_loss"), n_shards=3, n_slices=2, random_state=0
    )
    return FairEnsemblePostprocessor(
        sisa,
        sensitive_feature="group",
        unknown_group="unconstrained",
        random_state=0,
        **params,
    ).fit(table, y)


@pytest.mark.parametrize("kind", GROUPS)
@pytest.mark.parametrize("calibration", [0.3, "cross_shard"])
def test_rows_of_no_group_train_but_do_not_calibrate(kind, calibration):
    table, y, grouped = make_table(kind)
    fair = fitted(table, y, method="soft_ensemble", calibration=calibration)
    assert fair.groups_.tolist() == GROUPS[kind][0]
    assert grouped[fair.calibration_indices_].all()
    shards = fair.estimator_.plan_.shards
    # Roles follow from positions alone, whether a row has a group or not.
    assert (~grouped & (shards >= 0)).any()
    if calibration != "cross_shard":
        calibrates = grouped & (shards < 0)
        np.testing.assert_array_equal(
            fair.calibration_indices_, np.flatnonzero(calibrates)
        )


@pytest.mark.parametrize("method", ["ensemble", "soft_ensemble"])
def test_the_rule_is_that_of_the_rows_of_a_group_alone(method):
    table, y, grouped = make_table("text")
    fair = fitted(table, y, method=method, calibration=0.3)
    rows = fair.calibration_indices_
    assert 0 < len(rows) < grouped.sum()
    alone = FairEnsemblePostprocessor(
        FrozenEstimator(fair.estimator_), method=method, sensitive_feature="group"
    ).fit(table.iloc[rows], y[rows])
    pd.testing.assert_frame_equal(fair.rule_, alone.rule_)


@pytest.mark.parametrize("kind", GROUPS)
def test_people_of_no_group_are_decided_on_as_those_of_an_unknown_one(kind):
    table, y, grouped = make_table(kind)
    fair = fitted(table, y)
    new = table.assign(group="elsewhere" if kind == "text" else 99.0)
    chosen = fair.selection_probability(table)
    np.testing.assert_array_equal(
        chosen[~grouped], fair.selection_probability(new)[~grouped]
    )
    without = table.assign(group=GROUPS[kind][1])
    np.testing.assert_array_equal(
        fair.selection_probability(without), fair.selection_probability(new)
    )


@pytest.mark.parametrize("calibration", [0.3, "cross_shard"])
def test_forgetting_a_row_of_no_group_leaves_the_exact_ensemble(calibration):
    table, y, grouped = make_table("text")
    fair = fitted(table, y, calibration=calibration)
    before = fair.calibration_indices_
    gone = np.flatnonzero(~grouped)[:5]
    fair.forget(gone)
    assert fair.estimator_.verify_forgotten()
    np.testing.assert_array_equal(fair.calibration_indices_, before)
    assert fair.forgotten_.tolist() == gone.tolist()


def test_groups_may_be_missing_in_sensitive_features_and_in_columns_of_it():
    table, y, grouped = make_table("text")
    fair = FairEnsemblePostprocessor(
        SISAClassifier(SGDClassifier(loss="log_loss"), n_shards=3),
        unknown_group="unconstrained",
        random_state=0,
    )
    X = table.drop(columns="group")
    side = pd.DataFrame({"group": table["group"], "age": "old"})
    fair.fit(X, y, sensitive_features=side)
    assert fair.groups_.tolist() == [("left", "old"), ("right", "old")]
    assert grouped[fair.calibration_indices_].all()


def test_a_missing_group_is_refused_unless_unknown_groups_are_welcome():
    table, y, grouped = make_table("text")
    fair = FairEnsemblePostprocessor(
        SISAClassifier(SGDClassifier(loss="log_loss")), sensitive_feature="group"
    )
    with pytest.raises(ValueError, match="missing"):
        fair.fit(table, y)
    fair.fit(table[grouped], y[grouped])
    with pytest.raises(ValueError, match="missing"):
        fair.predict(table)


def test_rows_without_any_group_are_no_data_to_be_fair_on():
    table, y, _ = make_table("text")
    with pytest.raises(ValueError, match="No row has a group"):
        fitted(table.assign(group=None), y)
