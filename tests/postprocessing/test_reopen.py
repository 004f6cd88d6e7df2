"""Claims about fair rules over ensembles that others had forget rows."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_classification
from sklearn.ensemble import BaggingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.exceptions import (
    ChangedDirectoryError,
    DirectoryError,
    StaleRuleWarning,
)

X, y = make_classification(600, flip_y=0.2, random_state=0)
club = np.arange(600) // 3 % 2
person = np.arange(600) // 3


def fitted(folder=None, calibration="cross_shard", **params):
    sisa = SISAClassifier(LogisticRegression(), n_shards=3, checkpoint_dir=folder)
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


@pytest.mark.parametrize("calibration", ["cross_shard", 0.3])
def test_what_passed_the_rule_by_is_made_up_for_by_the_next_request(calibration):
    straight, around = fitted(None, calibration), fitted(None, calibration)
    trained = np.setdiff1d(np.arange(600), straight.calibration_indices_)
    row = 0 if calibration == "cross_shard" else trained[0]
    place = np.searchsorted(around._rows.origin.training, row)
    around.estimator_.forget(place)
    with pytest.warns(StaleRuleWarning, match=r"1 rows .* Call forget\(\[\]\)"):
        around.predict(X, sensitive_features=club)
    assert_alike(around.forget([5]), straight.forget([5, row]))
    assert row not in around.calibration_indices_


@pytest.mark.parametrize("calibration", ["cross_shard", 0.3])
def test_a_saved_rule_catches_up_with_its_directory(calibration, tmp_path):
    fair = fitted(tmp_path, calibration)
    saved = pickle.dumps(fair)
    fair.forget(subjects=person[[7, 100]])
    SISAClassifier.load(tmp_path).forget(subjects=person[[300]])
    late = pickle.loads(saved)
    with pytest.raises(ChangedDirectoryError, match=r"have a post-processor .* reopen"):
        late.forget(subjects=person[[8, 9]])
    late.reopen()
    # Those of the people's rows that only calibrated are not the directory's.
    late.forget(subjects=person[[7, 100, 300]])
    expected = fitted(None, calibration).forget(subjects=person[[7, 100, 300]])
    assert_alike(late, expected)
    assert late.estimator_.verify_forgotten()


def test_a_directory_may_have_moved(tmp_path):
    saved = pickle.dumps(fitted(tmp_path / "here"))
    SISAClassifier.load(tmp_path / "here").forget([7])
    (tmp_path / "here").rename(tmp_path / "there")
    moved = pickle.loads(saved).reopen(tmp_path / "there")
    assert_alike(moved, fitted().forget([7]))
    assert moved.forget([8]).estimator_.n_rows_ == 598


@pytest.mark.parametrize("calibration", ["cross_shard", 0.3])
def test_what_its_ensemble_finishes_is_forgotten_by_the_rule_too(
    calibration, tmp_path, monkeypatch
):
    fair, straight = fitted(tmp_path, calibration), fitted(None, calibration)
    trained = np.setdiff1d(np.arange(600), straight.calibration_indices_)
    one, other = (7, 100) if calibration == "cross_shard" else trained[[7, 100]]

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(SISAClassifier, "_train", stop)
        with pytest.raises(KeyboardInterrupt):
            fair.forget([one])
    assert_alike(fair.forget([other]), straight.forget([one, other]))


def test_a_rule_over_a_frozen_ensemble_cannot_catch_up(tmp_path):
    sisa = SISAClassifier(LogisticRegression(), n_shards=3, checkpoint_dir=tmp_path)
    frozen = FrozenEstimator(sisa.fit(X[:300], y[:300]))
    fair = FairEnsemblePostprocessor(frozen, random_state=0)
    fair.fit(X[300:], y[300:], sensitive_features=club[300:])
    with pytest.raises(DirectoryError, match="Fit it again, over FrozenEstimator"):
        fair.reopen()


def test_another_ensemble_is_not_taken_for_ones_own(tmp_path):
    fair, other = fitted(tmp_path / "one"), fitted(tmp_path / "other")
    before = fair.selection_probability(X, sensitive_features=club)
    with pytest.raises(DirectoryError, match=r"or another one\. Fit over it again"):
        fair.reopen(tmp_path / "other")
    SISAClassifier.load(tmp_path / "other").fit(X, y, subjects=person)
    with pytest.raises(DirectoryError, match="fitted anew since"):
        other.reopen()
    with pytest.raises(DirectoryError, match="in memory alone"):
        fitted().reopen()
    bagging = BaggingClassifier(LogisticRegression(), 3, random_state=0)
    held = FairEnsemblePostprocessor(bagging, random_state=0)
    with pytest.raises(DirectoryError, match="is a BaggingClassifier, which has no"):
        held.fit(X, y, sensitive_features=club).reopen()
    np.testing.assert_array_equal(
        fair.selection_probability(X, sensitive_features=club), before
    )
