"""Claims about fair rules that are kept with their ensemble, whoever changes it."""

import pickle
import shutil
import warnings

import numpy as np
import pandas as pd
import pytest
from held import state_of
from sklearn.datasets import make_classification
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.exceptions import (
    ChangedDirectoryError,
    DirectoryError,
    StaleRuleWarning,
)

X, y = make_classification(600, flip_y=0.2, random_state=0)
club = np.arange(600) // 3 % 2
person = np.arange(600) // 3
calibrations = pytest.mark.parametrize("calibration", ["cross_shard", 0.3])


def fitted(folder=None, calibration="cross_shard", learner=None, **params):
    sisa = SISAClassifier(
        LogisticRegression() if learner is None else learner,
        n_shards=3,
        checkpoint_dir=folder,
    )
    fair = FairEnsemblePostprocessor(
        sisa, calibration=calibration, random_state=0, **params
    )
    return fair.fit(X, y, sensitive_features=club, subjects=person)


def assert_alike(one, other):
    np.testing.assert_array_equal(one.forgotten_, other.forgotten_)
    np.testing.assert_array_equal(one.calibration_indices_, other.calibration_indices_)
    pd.testing.assert_frame_equal(one.rule_, other.rule_)
    np.testing.assert_array_equal(
        one.selection_probability(X, sensitive_features=club),
        other.selection_probability(X, sensitive_features=club),
    )


def some_rows(fair):
    """A row that trains and one that calibrates."""
    return fair.estimator_.plan_.rows(0)[0], fair.calibration_indices_[-1]


@calibrations
def test_a_request_to_the_ensemble_is_one_to_its_rule(calibration):
    straight, around = fitted(None, calibration), fitted(None, calibration)
    rows = some_rows(straight)
    around.estimator_.forget(rows)
    assert_alike(around, straight.forget(rows))
    assert not np.isin(rows, around.calibration_indices_).any()
    later = around.estimator_.forget([7], relearn=False)
    assert_alike(around, straight.forget([7], relearn=False))
    later.relearn()
    assert_alike(around, straight.relearn())


@calibrations
def test_a_rule_is_loaded_as_whoever_changed_its_directory_left_it(
    calibration, tmp_path
):
    fair = fitted(tmp_path, calibration, tol=0.1, objective="balanced_accuracy_score")
    rows = some_rows(fair)
    SISAClassifier.load(tmp_path).forget(subjects=person[[*rows, 300]])
    loaded = FairEnsemblePostprocessor.load(tmp_path, params={"estimator__n_jobs": 1})
    expected = fitted(None, calibration, tol=0.1, objective="balanced_accuracy_score")
    assert_alike(loaded, expected.forget(subjects=person[[*rows, 300]]))
    assert str(loaded.fairness_report_) == str(expected.fairness_report_)
    assert (loaded.tol, loaded.calibration) == (0.1, calibration)
    assert loaded.estimator_.verify_forgotten()
    np.testing.assert_array_equal(
        loaded.predict(X, sensitive_features=club),
        expected.predict(X, sensitive_features=club),
    )
    assert_alike(loaded.forget([8]), expected.forget([8]))
    loaded.predict(X[:5], sensitive_features=club[:5])
    assert loaded.n_features_in_ == 20


def test_who_loaded_an_older_rule_than_the_directory_has_is_warned(tmp_path):
    fair = fitted(tmp_path)
    saved, late = pickle.dumps(fair), FairEnsemblePostprocessor.load(tmp_path)
    fair.forget([7])
    for older in (late, pickle.loads(saved)):
        with pytest.warns(StaleRuleWarning, match="changed by somebody else") as told:
            older.predict(X, sensitive_features=club)
        assert told[0].filename == __file__
        older.forget([])
        assert older.forgotten_.tolist() == [7]
        pd.testing.assert_frame_equal(older.rule_, fair.rule_)


def test_a_frozen_ensemble_that_changed_under_its_rule_is_told():
    sisa = SISAClassifier(LogisticRegression(), n_shards=3, random_state=0)
    sisa.fit(X[:300], y[:300])
    fair = FairEnsemblePostprocessor(FrozenEstimator(sisa), random_state=0)
    fair.fit(X[300:], y[300:], sensitive_features=club[300:])
    fair.predict(X, sensitive_features=club)
    sisa.forget([3])
    with pytest.warns(StaleRuleWarning, match="frozen ensemble has changed"):
        fair.predict(X, sensitive_features=club)


def test_a_rule_is_not_taken_back_by_a_backup_of_its_directory(tmp_path):
    fair = fitted(tmp_path / "d")
    shutil.copytree(tmp_path / "d", tmp_path / "backup")
    fair.forget([7])
    shutil.rmtree(tmp_path / "d")
    (tmp_path / "backup").rename(tmp_path / "d")
    with pytest.raises(ChangedDirectoryError, match=r"FairEnsemblePostprocessor\.load"):
        fair.forget([9])
    assert list(fair.forgotten_) == [7]


def test_a_directory_may_have_moved(tmp_path):
    fitted(tmp_path / "here")
    SISAClassifier.load(tmp_path / "here").forget([7])
    (tmp_path / "here").rename(tmp_path / "there")
    moved = FairEnsemblePostprocessor.load(tmp_path / "there")
    assert_alike(moved, fitted().forget([7]))
    assert moved.forget([8]).estimator_.n_rows_ == 598


@calibrations
def test_an_interrupted_request_has_erased_and_relearn_does_the_rest(
    calibration, tmp_path, monkeypatch
):
    fair, straight = fitted(tmp_path, calibration), fitted(None, calibration)
    one, other = fair.estimator_.plan_.rows(0)[:2]

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(SISAClassifier, "_train", stop)
        with pytest.raises(KeyboardInterrupt):
            fair.forget([one])
    assert list(fair.forgotten_) == [one]
    assert one not in fair.calibration_indices_
    loaded = FairEnsemblePostprocessor.load(tmp_path)
    for each in (fair, loaded):
        with pytest.raises(ValueError, match=r"Call relearn\(\)"):
            each.predict(X, sensitive_features=club)
        assert each.behind_["shard"].tolist() == [0, -1]
        assert "the rule is not solved" in each.behind_["reason"].iloc[-1]
    fair.forget([other], relearn=False)
    # The rule is solved for the members that there are.
    assert fair.behind_["shard"].tolist() == [0]
    assert_alike(fair.relearn(), straight.forget([one, other]))
    assert len(fair.behind_) == 0


@calibrations
def test_a_rule_is_solved_for_members_that_are_behind_until_they_relearn(calibration):
    fair, straight = fitted(None, calibration), fitted(None, calibration)
    gone = some_rows(fair)[:1]
    fair.forget(gone, relearn=False)
    assert len(fair.behind_) == 1
    assert np.isfinite(fair.selection_probability(X, sensitive_features=club)).all()
    assert_alike(fair.relearn(), straight.forget(gone))
    assert len(fair.behind_) == 0


def test_with_too_few_members_left_the_erasure_stands(tmp_path):
    fair, straight = fitted(tmp_path), fitted()
    plan = fair.estimator_.plan_
    gone = [plan.rows(shard)[0] for shard in range(plan.n_shards - 1)]
    fair.forget(gone, relearn=False)
    assert list(fair.forgotten_) == sorted(gone)
    for use in (
        lambda: fair.predict(X, sensitive_features=club),
        lambda: fair.rule_,
        lambda: fair.operating_points_,
        lambda: fair.fairness_report_,
        lambda: fair.tradeoff(),
    ):
        with pytest.raises(ValueError, match=r"Call relearn\(\)"):
            use()
    assert_alike(fair.relearn(), straight.forget(gone))


def test_several_rules_live_with_one_ensemble(tmp_path):
    age = np.arange(600) % 3
    sisa = SISAClassifier(
        LogisticRegression(), n_shards=3, checkpoint_dir=tmp_path, random_state=0
    ).fit(X, y)
    sisa.forget([4])
    by_club, by_age = (
        FairEnsemblePostprocessor(random_state=0, method=method).attach(
            sisa, sensitive_features=groups, name=name
        )
        for method, groups, name in (
            ("smooth_ensemble", club, "by_club"), ("ensemble", age, "by_age"),
        )
    )  # fmt: skip
    np.testing.assert_array_equal(
        by_club.calibration_indices_, np.delete(range(600), 4)
    )
    with pytest.raises(DirectoryError, match=r"\['by_age', 'by_club'\]; name= selects"):
        FairEnsemblePostprocessor.load(tmp_path)
    with pytest.raises(DirectoryError, match="none is called 'by_sex'"):
        FairEnsemblePostprocessor.load(tmp_path, name="by_sex")
    by_age.forget([7])
    for rule, name, groups in (
        (by_club, "by_club", club), (by_age, "by_age", age),
    ):  # fmt: skip
        loaded = FairEnsemblePostprocessor.load(tmp_path, name=name)
        assert loaded.forgotten_.tolist() == [4, 7] == rule.forgotten_.tolist()
        assert loaded.method == rule.method
        pd.testing.assert_frame_equal(loaded.rule_, rule.rule_)
        np.testing.assert_array_equal(
            loaded.predict(X, sensitive_features=groups),
            rule.predict(X, sensitive_features=groups),
        )
    # The rule by club is what fit would have made of it.
    alone = FairEnsemblePostprocessor(
        SISAClassifier(LogisticRegression(), n_shards=3, random_state=0), random_state=0
    ).fit(X, y, sensitive_features=club)
    pd.testing.assert_frame_equal(alone.forget([4, 7]).rule_, by_club.rule_)


@pytest.mark.parametrize(
    ("groups", "params", "name", "message"),
    [
        (club[:9], {}, "rule", "9"),
        (club, {}, "a/b", "letters, digits and underscores"),
        (club, {"sensitive_feature": 0}, "rule", "sensitive_feature=0 names a part"),
        (np.where(y == 1, "a", "b"), {}, "rule", "Group 'a' has no negative labels"),
    ],
)
def test_a_rule_that_cannot_be_attached_changes_nothing(groups, params, name, message):
    sisa = SISAClassifier(LogisticRegression(), n_shards=3, random_state=0).fit(X, y)
    fair = FairEnsemblePostprocessor(**params)
    with pytest.raises(ValueError, match=message):
        fair.attach(sisa, sensitive_features=groups, name=name)
    assert state_of(sisa).companions == {}
    assert not hasattr(fair, "estimator_")


def test_a_directory_without_a_rule_says_how_to_make_one(tmp_path):
    SISAClassifier(LogisticRegression(), checkpoint_dir=tmp_path).fit(X, y)
    with pytest.raises(DirectoryError, match="holds no fair rule"):
        FairEnsemblePostprocessor.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        FairEnsemblePostprocessor.load(tmp_path / "nowhere")


def test_an_ensemble_that_is_fitted_anew_has_lost_its_rule(tmp_path):
    fair = fitted(tmp_path)
    fair.estimator_.fit(X, y)
    with pytest.raises(ValueError, match="was fitted anew since"):
        fair.predict(X, sensitive_features=club)
    with pytest.raises(DirectoryError, match="holds no fair rule"):
        FairEnsemblePostprocessor.load(tmp_path)


# Roles


@calibrations
@pytest.mark.parametrize("by_subject", [False, True])
def test_roles_of_other_rows_do_not_depend_on_what_a_forgotten_row_held(
    calibration, by_subject
):
    def decided(X, y, club):
        sisa = SISAClassifier(SGDClassifier(loss="log_loss"), n_shards=3)
        fair = FairEnsemblePostprocessor(sisa, calibration=calibration, random_state=0)
        subjects = person if by_subject else None
        fair.fit(X, y, sensitive_features=club, subjects=subjects).forget(gone)
        report = str(fair.fairness_report_)
        return fair, fair.predict(X_new, sensitive_features=club_new), report

    gone, rng = [7, 30, 31, 400], np.random.default_rng(0)
    X_new, club_new = rng.normal(size=(300, 20)), rng.integers(0, 2, 300)
    twin_X, twin_y, twin_club = X.copy(), y.copy(), club.copy()
    twin_X[gone], twin_y[gone], twin_club[gone] = 5.0, 1 - y[gone], 1 - club[gone]
    (fair, *decisions), (twin, *of_twin) = (
        decided(X, y, club),
        decided(twin_X, twin_y, twin_club),
    )
    assert_alike(fair, twin)
    np.testing.assert_array_equal(decisions[0], of_twin[0])
    assert decisions[1] == of_twin[1]
    assert pickle.dumps(fair._rows) == pickle.dumps(twin._rows)


def test_a_group_without_rows_held_out_says_what_helps():
    rare = np.where(np.isin(np.arange(600), [1, 2, 3]), "rare", "common")
    sisa = SISAClassifier(LogisticRegression(), n_shards=3)
    fair = FairEnsemblePostprocessor(sisa, calibration=0.1, random_state=0)
    with pytest.raises(
        ValueError, match=r"'rare' .* calibration=\"cross_shard\" every"
    ):
        fair.fit(X, y, sensitive_features=rare)


# Other values, and new rows


@calibrations
def test_a_corrected_row_counts_as_if_it_had_been_given_so(calibration, tmp_path):
    other, y_other = X.copy(), y.copy()
    fair = fitted(tmp_path, calibration)
    rows = np.array(some_rows(fair))
    other[rows], y_other[rows] = 0.5, 1 - y[rows]
    fair.estimator_.amend(rows, other[rows], y_other[rows])
    sisa = SISAClassifier(LogisticRegression(), n_shards=3)
    as_given = FairEnsemblePostprocessor(sisa, calibration=calibration, random_state=0)
    as_given.fit(other, y_other, sensitive_features=club, subjects=person)
    for each in (fair, FairEnsemblePostprocessor.load(tmp_path)):
        assert_alike(each, as_given)
    assert fair.estimator_.verify_forgotten()


@calibrations
def test_new_rows_are_those_of_one_index_space(calibration, tmp_path):
    learner = SGDClassifier(loss="log_loss")
    more, y_more = make_classification(90, flip_y=0.2, random_state=1)
    club_more = np.repeat([0, 1, 2], 30)

    def grown(folder):
        fair = fitted(folder, calibration, learner)
        return fair.partial_fit(
            more, y_more, sensitive_features=club_more, subjects=1000 + np.arange(90)
        )

    fair, other = grown(tmp_path), grown(None)
    plan = fair.estimator_.plan_
    assert plan.n_rows == 690
    assert fair.groups_.tolist() == [0, 1, 2]
    new = np.arange(600, 690)
    here = new if calibration == "cross_shard" else new[plan.shard_of(new) < 0]
    assert np.isin(here, fair.calibration_indices_).all()
    gone = [3, here[0], 680]
    assert_alike(fair.forget(gone), other.forget(gone))
    assert_alike(FairEnsemblePostprocessor.load(tmp_path), other)
    assert fair.estimator_.verify_forgotten()


def test_rows_that_only_the_ensemble_is_given_train_and_do_not_calibrate():
    fair = fitted(learner=SGDClassifier(loss="log_loss"))
    fair.estimator_.partial_fit(X[:30], y[:30], subjects=person[:30])
    assert fair.calibration_indices_.tolist() == list(range(600))
    assert np.isfinite(fair.selection_probability(X, sensitive_features=club)).all()
    assert len(fair.behind_) == 0


def test_new_rows_of_a_group_that_lacks_a_label_change_nothing():
    fair = fitted(learner=SGDClassifier(loss="log_loss"))
    before = pickle.dumps(fair)
    with pytest.raises(ValueError, match="Group 7 has no negative labels"):
        fair.partial_fit(
            X[:3], [1, 1, 1], sensitive_features=[7, 7, 7], subjects=[1, 2, 3]
        )
    assert pickle.dumps(fair) == before


@pytest.mark.filterwarnings("ignore::sklearn_fairsisa.exceptions.DegenerateRuleWarning")
def test_a_new_class_of_new_rows_is_decided_on():
    fair = fitted(learner=SGDClassifier(loss="log_loss"))
    more = np.arange(60)
    fair.partial_fit(
        X[more], np.full(60, 2), sensitive_features=club[more], subjects=person[more]
    )
    assert fair.classes_.tolist() == [0, 1, 2]
    p = fair.selection_probability(X, sensitive_features=club)
    assert p.shape == (600, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fair.forget([5]).forgotten_.tolist() == [5]
