"""Claims about the scores of members that a rule keeps."""

import pickle

import numpy as np
import pandas as pd
import pytest
from held import calibrated
from scipy import sparse
from sklearn.datasets import make_classification
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.postprocessing._kept_scores import Positions
from sklearn_fairsisa.sisa._votes import member_scores

X, y = make_classification(1003, 17, n_informative=5, flip_y=0.2, random_state=0)
club = np.arange(1003) // 3 % 2
WORDS = np.array(["ant", "bee", "cow", "doe", "eel", "fox", "gnu", "hen"])
texts = [" ".join(WORDS[np.argsort(row[:8])[:4]]) for row in X]
hashed = make_pipeline(HashingVectorizer(n_features=32), LogisticRegression())
KINDS = {
    "array": (X, LogisticRegression()),
    "single precision": (X.astype(np.float32), MLPClassifier((9,), max_iter=3)),
    "frame": (pd.DataFrame(X).add_prefix("x"), LogisticRegression()),
    "sparse": (sparse.csr_array(np.where(X > 0, X, 0)), LogisticRegression()),
    "list": (texts, hashed),
}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Counting(SGDClassifier):
    """Counts the rows that members predict."""

    n_rows = 0

    def predict_proba(self, X):
        # Whether a member can predict at all is tried on one row where it is trained.
        Counting.n_rows += len(X) if len(X) > 1 else 0
        return super().predict_proba(X)


def fitted(X, learner, calibration="cross_shard", n_shards=4, n_slices=1, y=y):
    sisa = SISAClassifier(learner, n_shards=n_shards, n_slices=n_slices)
    fair = FairEnsemblePostprocessor(sisa, calibration=calibration, random_state=0)
    return fair.fit(X, y, sensitive_features=club)


@pytest.mark.parametrize("calibration", ["cross_shard", 0.3])
@pytest.mark.parametrize("kind", KINDS)
def test_a_score_does_not_depend_on_which_other_rows_are_left(kind, calibration):
    rows, learner = KINDS[kind]
    fair = fitted(rows, learner, calibration)
    before = calibrated(fair)
    rng = np.random.default_rng(0)
    for _ in range(3):
        gone = rng.choice(1003, 20, replace=False)
        fair.forget(gone)
        after = calibrated(fair)
        # Scored from scratch, the rows left get the scores that they have.
        np.testing.assert_array_equal(
            after.remade(fair.estimator_._snapshot()).kept, after.kept
        )
    left = np.isin(before.rows.index, after.rows.index)
    same = [a == b for a, b in zip(before.digests, after.digests)]
    np.testing.assert_array_equal(before.kept[left][:, same], after.kept[:, same])


def test_members_that_did_not_change_keep_every_bit_of_their_scores():
    fair = fitted(X, LogisticRegression())
    plan, before = fair.estimator_.plan_, calibrated(fair)
    fair.forget(plan.rows(2)[[0, 5, 9]])
    after = calibrated(fair)
    left = np.isin(before.rows.index, after.rows.index)
    unchanged = [0, 1, 3]
    np.testing.assert_array_equal(
        before.kept[left][:, unchanged], after.kept[:, unchanged]
    )
    assert (before.kept[left][:, 2] != after.kept[:, 2]).any()
    # They are what the members say, up to the rounding of a matrix's shape.
    counted = after.rows.counted
    for shard, member in enumerate(fair.estimator_.estimators_):
        rows = after.rows.index[counted[:, shard]]
        want = member_scores(member, X[rows], 2)[:, 1]
        np.testing.assert_allclose(after.kept[counted[:, shard], shard], want, 1e-12)


@pytest.mark.parametrize("calibration", ["cross_shard", 0.3])
def test_only_members_that_changed_are_asked(calibration):
    fair = fitted(X, Counting(loss="log_loss"), calibration)
    plan = fair.estimator_.plan_
    n_calibrating = len(fair.calibration_indices_)
    Counting.n_rows = 0
    fair.forget(plan.rows(1)[:2])
    # In its place, a forgotten row is replaced by another of the same shard.
    own = len(plan.rows(1)) if calibration == "cross_shard" else 0
    assert Counting.n_rows == n_calibrating - own
    Counting.n_rows = 0
    fair.forget([])
    if calibration != "cross_shard":
        fair.forget(fair.calibration_indices_[:5])
    assert Counting.n_rows == 0


@pytest.mark.parametrize("n_slices", [1, 3])
def test_bundling_and_new_rows_in_between_change_no_bit(n_slices):
    def grown(*steps):
        learner = SGDClassifier(loss="log_loss")
        fair = fitted(X, learner, n_slices=n_slices)
        for step in steps:
            if step == "rows":
                new = {"sensitive_features": club[:50]}
                fair.partial_fit(X[:50] + 0.1, y[:50], **new)
            else:
                fair.forget(step)
        return pickle.dumps(calibrated(fair).learnt)

    one = grown("rows", [3, 8, 500, 1010])
    assert grown([8], "rows", [500, 3], [1010]) == one
    assert grown([3, 8, 500], "rows", [1010]) == one


@pytest.mark.parametrize("calibration", ["cross_shard", 0.3])
def test_more_classes_are_kept_by_class(calibration):
    three = np.where(X[:, 0] > 1, 2, y)
    fair = fitted(X, LogisticRegression(), calibration, y=three)
    fair.forget([3, 8, 500])
    rule = calibrated(fair)
    assert rule.kept.shape == (len(rule.rows), 4, 3)
    np.testing.assert_allclose(rule.kept.sum(axis=2), 1)
    fresh = rule.remade(fair.estimator_._snapshot())
    np.testing.assert_array_equal(fresh.kept, rule.kept)


def test_a_second_rule_over_the_same_rows_asks_no_member():
    rng = np.random.default_rng(0)
    X, sex, age = rng.normal(size=(300, 3)), *rng.integers(0, 2, (2, 300))
    y = (X[:, 0] + rng.normal(size=300) > 0).astype(int)

    def fitted():
        return SISAClassifier(
            Counting(loss="log_loss"), n_shards=3, random_state=0
        ).fit(X, y)

    def attached(sisa, groups, name):
        fair = FairEnsemblePostprocessor(random_state=0)
        return fair.attach(sisa, sensitive_features=groups, name=name)

    both = fitted()
    attached(both, sex, "by_sex")
    before = Counting.n_rows
    second = attached(both, age, "by_age")
    assert Counting.n_rows == before
    alone = attached(fitted(), age, "by_age")
    for fair in (second, alone):
        fair.forget([3, 30])
    np.testing.assert_array_equal(calibrated(second).kept, calibrated(alone).kept)
    np.testing.assert_array_equal(
        second.selection_probability(X, sensitive_features=age),
        alone.selection_probability(X, sensitive_features=age),
    )


@pytest.mark.parametrize("calibration", ["cross_shard", 0.3])
def test_scores_are_in_memory_once(calibration):
    fair = fitted(X, LogisticRegression(), calibration)
    for rule in (calibrated(fair), calibrated(fair.forget([3, 700]))):
        assert np.shares_memory(rule.kept, rule.rows.scores)


@pytest.mark.parametrize("index", [[], [4], [0, 2, 5, 9], [9, 2, 5, 0]])
def test_rows_are_found_by_their_indices_in_any_order(index):
    index, wanted = np.array(index, dtype=int), np.array([5, 1, 0, 9, 9, 11])
    place = {row: position for position, row in enumerate(index.tolist())}
    found = Positions(index).of(wanted).tolist()
    assert found == [place.get(row, -1) for row in wanted.tolist()]
