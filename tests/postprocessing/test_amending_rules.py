"""Corrections of rows under a fair rule."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import SGDClassifier

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier

rng = np.random.default_rng(0)
N = 400
X = rng.normal(size=(N, 3))
group = np.where(rng.random(N) < 0.5, "a", "b")
y = (X[:, 0] + rng.normal(size=N) * (1 + (group == "a")) > 0).astype(int)
ROWS = np.array([311, 4, 17, 90, 205, 33, 34, 35])
X_NEW = rng.normal(size=(8, 3))
Y_NEW = rng.integers(0, 2, 8)
NEW_GROUP = np.array(["b", "a", "a", "b", "b", "a", "b", "b"])
NEW = rng.normal(size=(50, 3))


def make_fair(directory=None, **params):
    sisa = SISAClassifier(
        SGDClassifier(loss="log_loss"),
        n_shards=4,
        n_slices=2,
        checkpoint_dir=directory,
    )
    return FairEnsemblePostprocessor(sisa, random_state=0, **params)


def corrected(new_group=None):
    X_good, y_good, group_good = X.copy(), y.copy(), group.copy()
    X_good[ROWS], y_good[ROWS] = X_NEW, Y_NEW
    if new_group is not None:
        group_good[ROWS] = new_group
    return X_good, y_good, group_good


def same(fair, other):
    for one, two in zip(
        (fair.rule_, fair.operating_points_, fair.tradeoff()),
        (other.rule_, other.operating_points_, other.tradeoff()),
    ):
        pd.testing.assert_frame_equal(one, two, check_exact=True)
    np.testing.assert_array_equal(fair.calibration_indices_, other.calibration_indices_)
    groups = np.tile(["a", "b"], 25)
    np.testing.assert_array_equal(
        fair.selection_probability(NEW, sensitive_features=groups),
        other.selection_probability(NEW, sensitive_features=groups),
    )


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("new_group", [None, NEW_GROUP])
@pytest.mark.parametrize("calibration", ["cross_shard", 0.3])
def test_decisions_are_those_of_a_fit_on_corrected_data(
    tmp_path, calibration, new_group, later, durable
):
    fair = make_fair(tmp_path if durable else None, calibration=calibration)
    fair.fit(X, y, sensitive_features=group)
    fair.amend(
        ROWS, X_NEW, Y_NEW, sensitive_features=new_group, relearn=not later
    ).relearn()
    if durable:
        fair = FairEnsemblePostprocessor.load(tmp_path)
    X_good, y_good, group_good = corrected(new_group)
    expected = make_fair(calibration=calibration)
    expected.fit(X_good, y_good, sensitive_features=group_good)
    same(fair, expected)
    assert fair.estimator_.verify_forgotten()
    same(fair.forget(ROWS[:3]), expected.forget(ROWS[:3]))


def test_a_correction_through_the_ensemble_reaches_the_rule():
    fair = make_fair().fit(X, y, sensitive_features=group)
    fair.estimator_.amend(ROWS, X_NEW, Y_NEW)
    same(fair, make_fair().fit(*corrected()[:2], sensitive_features=group))


def test_what_a_corrected_row_held_has_no_influence():
    wrong = X.copy()
    wrong[ROWS] += 100
    fairs = [
        make_fair().fit(rows, labels, sensitive_features=groups)
        for rows, labels, groups in (
            (X, y, group),
            (wrong, np.where(np.isin(np.arange(N), ROWS), 1 - y, y), corrected("b")[2]),
        )
    ]
    for fair in fairs:
        fair.amend(ROWS, X_NEW, Y_NEW, sensitive_features=NEW_GROUP)
    same(*fairs)


def test_groups_come_from_the_columns_of_x():
    frame = pd.DataFrame(X, columns=["u", "v", "w"]).assign(g=group)
    fair = make_fair(sensitive_feature="g").fit(frame, y)
    rows = pd.DataFrame(X_NEW, columns=["u", "v", "w"]).assign(g=NEW_GROUP)
    fair.amend(ROWS, rows, Y_NEW)
    X_good, y_good, group_good = corrected(NEW_GROUP)
    frame = pd.DataFrame(X_good, columns=["u", "v", "w"]).assign(g=group_good)
    same_fair = make_fair(sensitive_feature="g").fit(frame, y_good)
    pd.testing.assert_frame_equal(fair.rule_, same_fair.rule_, check_exact=True)


def test_several_features_and_weights_are_kept():
    groups = pd.DataFrame({"sex": group, "old": X[:, 1] > 0})
    weight = rng.integers(1, 4, N).astype(float)
    how = {"sensitive_features": groups, "sample_weight": weight}
    fair = make_fair().fit(X, y, **how).amend(ROWS, X_NEW, Y_NEW)
    expected = make_fair().fit(*corrected()[:2], **how)
    pd.testing.assert_frame_equal(fair.rule_, expected.rule_, check_exact=True)


def test_a_row_without_a_group_gets_one_and_another_loses_it():
    unknown = group.astype(object)
    unknown[ROWS[:2]] = None
    now = NEW_GROUP.astype(object)
    now[-2:] = None
    params = {"unknown_group": "unconstrained"}
    fair = make_fair(**params).fit(X, y, sensitive_features=unknown)
    fair.amend(ROWS, X_NEW, Y_NEW, sensitive_features=now)
    X_good, y_good, group_good = corrected(NEW_GROUP)
    group_good = group_good.astype(object)
    group_good[ROWS[-2:]] = None
    expected = make_fair(**params).fit(X_good, y_good, sensitive_features=group_good)
    pd.testing.assert_frame_equal(fair.rule_, expected.rule_, check_exact=True)
    assert not set(ROWS[-2:]) & set(fair.calibration_indices_)


def test_bad_corrections_change_nothing():
    fair = make_fair().fit(X, y, sensitive_features=group).forget([7])
    before = fair.rule_
    for rows, X_given, y_given, groups in (
        ([7], X[:1], [0], None),
        ([3], X[:1], [9], None),
        ([3, 4], X[:2], [0, 1], ["a"]),
        ([3], X[:1, :2], [0], None),
    ):
        with pytest.raises(ValueError, match=r"forgotten|classes|groups|row|features"):
            fair.amend(rows, X_given, y_given, sensitive_features=groups)
        assert fair.rule_.equals(before)
    given = FairEnsemblePostprocessor(random_state=0)
    votes = (rng.random((N, 3)) < 0.5).astype(int)
    given.fit(votes, y, sensitive_features=group)
    assert not hasattr(given, "amend")
