"""Corrections of rows under a fair rule."""

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import SGDClassifier

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.exceptions import UnconstrainedGroupWarning

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


def test_a_group_that_was_a_mistake_is_gone_once_it_is_corrected(tmp_path):
    typo = group.astype(object)
    typo[:40] = "typotypo"
    fair = make_fair(tmp_path).fit(X, y, sensitive_features=typo)
    fair.amend(range(40), X[:40], y[:40], sensitive_features=group[:40])
    assert fair.groups_.tolist() == ["a", "b"]
    same(fair, make_fair().fit(X, y, sensitive_features=group))
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for encoding in ("utf-8", "utf-32-le"):
        assert "typotypo".encode(encoding) not in held


def test_a_new_group_needs_its_labels_and_other_groups_do_not():
    fair = make_fair().fit(X, y, sensitive_features=group)
    before = fair.rule_
    with pytest.raises(ValueError, match="Group 'zz' has no"):
        fair.amend([3], X[[3]], y[[3]], sensitive_features=["zz"])
    assert fair.rule_.equals(before)
    # A group that lost its positives stays as it is, and stands in nobody's way.
    with pytest.warns(UnconstrainedGroupWarning, match="'b'"):
        fair.forget(np.flatnonzero((group == "b") & (y == 1)))
    with pytest.warns(UnconstrainedGroupWarning, match="'b'"):
        fair.partial_fit(X[:30], y[:30], sensitive_features=["a"] * 30)
    assert fair.estimator_.plan_.n_rows == N + 30


@pytest.mark.parametrize("through", ["rule", "ensemble"])
def test_values_on_which_no_member_can_predict_replace_nothing(through):
    fair = make_fair().fit(X, y, sensitive_features=group)
    before, wrong = fair.rule_, X[:1].copy()
    wrong[0, 1] = np.nan
    changed = fair if through == "rule" else fair.estimator_
    with pytest.raises(ValueError, match="NaN"):
        changed.amend([1], wrong, [1])
    with pytest.raises(ValueError, match=r"Nothing to correct|0 samples"):
        changed.amend([], X[:0], y[:0])
    assert fair.rule_.equals(before)
    assert len(fair.behind_) == 0


def test_requests_through_a_rule_follow_what_others_did_to_its_directory(tmp_path):
    make_fair(tmp_path).fit(X, y, sensitive_features=group)
    forgets, adds = (FairEnsemblePostprocessor.load(tmp_path) for _ in range(2))
    stale = SISAClassifier.load(tmp_path)
    other = SISAClassifier.load(tmp_path).forget(range(10, 18))
    other.partial_fit(X[:4], y[:4])
    assert forgets.forget([20, N + 2]).forgotten_.tolist()[-2:] == [20, N + 2]
    adds.partial_fit(X[:6], y[:6], sensitive_features=group[:6])
    assert adds.estimator_.plan_.n_rows == N + 10
    groups = np.append(group, ["a"] * 10).astype(object)
    groups[10:18] = None  # nobody needs to know the groups of rows that are gone
    rule = FairEnsemblePostprocessor(random_state=0)
    rule.attach(stale, sensitive_features=groups, name="second")
    assert not set(range(10, 18)) & set(rule.calibration_indices_)
    assert len(rule.calibration_indices_) == N


def test_a_rule_whose_ensemble_was_fitted_anew_says_so():
    fair = make_fair().fit(X, y, sensitive_features=group)
    fair.estimator_.fit(X, y)
    for call in (
        lambda: fair.forget([1]),
        lambda: fair.amend([1], X[[1]], y[[1]]),
        lambda: fair.predict(X, sensitive_features=group),
    ):
        with pytest.raises(NotFittedError, match="it was fitted anew"):
            call()
