import copy
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import polars
import pytest
from held import checkpoints, log_of
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    Ridge,
    SGDClassifier,
)
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    cross_val_predict,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.exceptions import (
    EmptyShardWarning,
    UntrainedShardWarning,
    VanishedClassWarning,
)
from sklearn_fairsisa.sisa import _workers
from sklearn_fairsisa.sisa._digests import digest
from sklearn_fairsisa.sisa._learners import last_step
from sklearn_fairsisa.sisa._plan import expected_replay_cost

X, y = make_classification(n_samples=120, random_state=0)
X3, y3 = make_classification(n_informative=4, n_classes=3, random_state=0)


def make_sisa(estimator=None, **params):
    params = {"n_shards": 3, "random_state": 0} | params
    return SISAClassifier(estimator, **params)


# Prediction


def test_majority_counts_the_members_votes_and_mean_averages_their_scores():
    sisa = make_sisa(LogisticRegression()).fit(X3, y3)
    votes = np.array([member.predict(X3) for member in sisa.estimators_])
    shares = np.array([(votes == label).mean(axis=0) for label in range(3)]).T
    np.testing.assert_allclose(sisa.predict_proba(X3), shares)
    mean = np.mean([member.predict_proba(X3) for member in sisa.estimators_], axis=0)
    sisa.set_params(aggregation="mean")
    np.testing.assert_allclose(sisa.predict_proba(X3), mean)
    np.testing.assert_array_equal(sisa.predict(X3), mean.argmax(axis=1))


def test_aggregation_agrees_with_a_voting_classifier_of_the_same_members():
    sisa = make_sisa(LogisticRegression()).fit(X, y)
    voting = VotingClassifier([(str(i), m) for i, m in enumerate(sisa.estimators_)])
    voting.estimators_, voting.le_ = sisa.estimators_, _Identity()
    np.testing.assert_array_equal(sisa.predict(X), voting.predict(X))


class _Identity:
    classes_ = np.array([0, 1])

    def inverse_transform(self, labels):
        return labels


def test_transform_gives_each_members_score_of_the_positive_class():
    sisa = make_sisa(LogisticRegression()).fit(X, y)
    scores = sisa.transform(X)
    assert scores.shape == (120, 3)
    for column, member in zip(scores.T, sisa.estimators_):
        np.testing.assert_allclose(column, member.predict_proba(X)[:, 1])
    assert list(sisa.get_feature_names_out()) == [
        f"sisaclassifier{shard}" for shard in range(3)
    ]


def test_transform_gives_all_classes_of_each_member_for_more_than_two():
    labels = np.array(["a", "b", "c"])[y3]
    sisa = make_sisa(LogisticRegression()).fit(X3, labels)
    scores = sisa.transform(X3)
    assert scores.shape == (100, 9)
    np.testing.assert_allclose(scores[:, 3:6], sisa.estimators_[1].predict_proba(X3))
    assert sisa.get_feature_names_out()[4] == "sisaclassifier1_b"
    frame = sisa.set_output(transform="pandas").transform(X3)
    assert list(frame.columns) == list(sisa.get_feature_names_out())


@pytest.mark.parametrize("labels", [y, y3])
def test_scores_of_margins_agree_with_the_votes(labels):
    data = X if labels is y else X3
    sisa = make_sisa(LinearSVC()).fit(data, labels)
    n_classes = len(sisa.classes_)
    scores = sisa.transform(data)
    for shard, member in enumerate(sisa.estimators_):
        if n_classes == 2:
            votes = (scores[:, shard] > 0.5).astype(int)
        else:
            block = scores[:, shard * n_classes : (shard + 1) * n_classes]
            votes = block.argmax(axis=1)
        np.testing.assert_array_equal(votes, member.predict(data))
    assert 0 <= scores.min() <= scores.max() <= 1


def test_a_shard_that_lacks_a_class_still_counts_its_votes_right():
    labels = np.where(np.arange(120) == 0, "rare", np.where(y, "yes", "no"))
    for estimator in (LogisticRegression(), SGDClassifier(), GaussianNB()):
        sisa = make_sisa(estimator).fit(X, labels)
        assert list(sisa.classes_) == ["no", "rare", "yes"]
        assert sisa.predict_proba(X).shape == (120, 3)
        assert sisa.score(X, labels) > 0.8
        assert sisa.transform(X).shape == (120, 9)


def test_a_shard_of_one_class_votes_for_it():
    labels = np.zeros(120, dtype=int)
    sisa = make_sisa(LogisticRegression()).fit(X, y)
    labels[sisa.plan_.rows(0)] = 1
    sisa.fit(X, labels)
    assert (sisa.transform(X)[:, 0] == 1).all()
    assert (sisa.transform(X)[:, 1:] == 0).all()
    assert (sisa.predict(X) == 0).all()


# Forgetting


def test_the_log_tells_what_was_done():
    sisa = make_sisa(SGDClassifier(), n_slices=2, epochs=3).fit(X, y)
    row = sisa.plan_.rows(1, 1)[0]
    sisa.forget([row])
    (report,) = sisa.forget_log_
    assert report.rows == (row,)
    assert report.shards == (1,)
    assert report.first_slices == (1,)
    # Stage 2 makes two passes over the 39 rows left in the shard.
    assert report.sample_visits == 2 * 39
    assert report.full_sample_visits == 2 * (20 + 40) * 2 + 2 * (20 + 39)
    assert report.digest_before != report.digest_after
    assert report.seconds > 0


def test_replay_costs_are_those_of_the_formula():
    sisa = make_sisa(SGDClassifier(), n_shards=4, n_slices=3, epochs=2).fit(X, y)
    shares = []
    for row in range(0, 120, 3):
        visits = full = 0
        fresh = make_sisa(SGDClassifier(), n_shards=4, n_slices=3, epochs=2)
        vars(fresh).update(vars(sisa))
        fresh.forget_log_ = []
        report = fresh.forget(row).forget_log_[0]
        visits, full = report.sample_visits, report.full_sample_visits
        shares.append(visits / full)
    assert np.mean(shares) == pytest.approx(expected_replay_cost(4, 3, 1), rel=0.15)


def test_forgetting_again_is_accepted_and_costs_nothing():
    sisa = make_sisa(LogisticRegression()).fit(X, y).forget([1, 2])
    before = [digest(member) for member in sisa.estimators_]
    sisa.forget([2, 1, 1])
    assert sisa.forget_log_[-1].rows == ()
    assert sisa.forget_log_[-1].sample_visits == 0
    assert before == [digest(member) for member in sisa.estimators_]
    assert list(sisa.forgotten_) == [1, 2]
    assert sisa.n_rows_ == 118


def test_a_boolean_mask_names_rows():
    mask = np.zeros(120, dtype=bool)
    mask[[4, 7]] = True
    assert list(make_sisa().fit(X, y).forget(mask).forgotten_) == [4, 7]


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([120], "Row 120 is unknown"),
        ([-1], "Row -1 is unknown"),
        ([1.0], "1.0 of type float"),
        (["a"], "'a' of type str"),
        ([True, False], "mask of length 2"),
        ([[1, 2]], "one-dimensional"),
        ([None], "None of type NoneType"),
        (None, "Nothing to forget"),
    ],
)
def test_bad_requests_are_refused_before_anything_changes(indices, message):
    sisa = make_sisa().fit(X, y)
    before = [digest(member) for member in sisa.estimators_]
    with pytest.raises(ValueError, match=message):
        sisa.forget(indices)
    assert before == [digest(member) for member in sisa.estimators_]
    assert sisa.n_rows_ == 120
    assert sisa.forget_log_ == []


def test_a_failing_replay_leaves_members_behind_and_the_rows_erased():
    sisa = make_sisa(_Fragile()).fit(X, y)
    before = [digest(member) for member in sisa.estimators_]
    row = sisa.plan_.rows(0)[0]
    _Fragile.broken = True
    try:
        with pytest.warns(UntrainedShardWarning, match="shard 2: .*out of memory"):
            sisa.forget([row, *sisa.plan_.rows(2)[:1]])
    finally:
        _Fragile.broken = False
    assert [digest(member) for member in sisa.estimators_][1] == before[1]
    assert sisa.estimators_[0] is sisa.estimators_[2] is None
    assert sisa.n_rows_ == 118
    assert len(sisa.forgotten_) == 2
    assert sisa.relearn().verify_forgotten()
    expected = make_sisa(_Fragile()).fit(X, y).forget(sisa.forgotten_)
    after = [digest(member) for member in sisa.estimators_]
    assert after == [digest(member) for member in expected.estimators_]


class _Fragile(GaussianNB):
    broken = False

    def fit(self, X, y, sample_weight=None):
        if self.broken:
            raise RuntimeError("out of memory")
        return super().fit(X, y, sample_weight)


def test_a_refused_fit_leaves_the_ensemble_as_it_was():
    sisa = make_sisa().fit(X, y)
    before = sisa.predict_proba(X)
    with pytest.raises(ValueError, match="cannot fill"):
        sisa.fit(X[:2, :3], y[:2])
    np.testing.assert_array_equal(sisa.predict_proba(X), before)


def test_threads_that_forget_at_once_lose_no_request():
    sisa = make_sisa(GaussianNB(), n_slices=2).fit(X, y)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(sisa.forget, range(40)))
    assert list(sisa.forgotten_) == list(range(40))
    assert len(sisa.forget_log_) == 40
    log_of(sisa).check()
    assert sisa.verify_forgotten()


class Meddling(GaussianNB):
    """Changes the ensemble while a member is at work, as another thread may."""

    meddle = None

    def _meddle(self):
        meddle, Meddling.meddle = Meddling.meddle, None
        if meddle is not None:
            meddle()

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        self._meddle()
        return super().partial_fit(X, y, classes, sample_weight)

    def predict(self, X):
        self._meddle()
        return super().predict(X)


def test_a_verification_is_of_one_instant():
    sisa = make_sisa(Meddling(), n_slices=2).fit(X, y).forget([0])
    head = log_of(sisa).head
    Meddling.meddle = lambda: sisa.forget(range(1, 60))
    verification = sisa.verify_forgotten()
    assert len(sisa.forgotten_) == 60
    assert verification
    assert verification.audit_head == head
    assert sisa.verify_forgotten()


def test_a_prediction_is_of_one_instant():
    sisa = make_sisa(Meddling(), n_slices=2).fit(X, y)
    expected = sisa.predict(X)
    # A class that sorts before the others moves their places.
    Meddling.meddle = lambda: sisa.partial_fit(X[:9], np.full(9, -1))
    np.testing.assert_array_equal(sisa.predict(X), expected)
    assert list(sisa.classes_) == [-1, 0, 1]


def test_verification_fails_where_a_member_was_tampered_with():
    sisa = make_sisa(LogisticRegression()).fit(X, y).forget([0])
    assert sisa.verify_forgotten()
    shard = sisa.plan_.shard_of(0)
    sisa.estimators_[shard].coef_[0, 0] += 1e-12
    verification = sisa.verify_forgotten()
    assert not verification
    assert verification.differing_shards == (shard,)


def test_retained_rows_cannot_be_verified_as_forgotten():
    sisa = make_sisa().fit(X, y).forget([0])
    with pytest.raises(ValueError, match="Row 1 has not been forgotten"):
        sisa.verify_forgotten([0, 1])


def test_an_ensemble_that_lost_a_shard_a_class_and_all_rows_says_so():
    sisa = make_sisa(LogisticRegression()).fit(X, y)
    with pytest.warns(EmptyShardWarning, match=r"\[1\]"):
        sisa.forget(sisa.plan_.rows(1))
    assert sisa.estimators_[1] is None
    votes = np.array([sisa.estimators_[i].predict(X) for i in (0, 2)])
    np.testing.assert_allclose(sisa.predict_proba(X)[:, 1], votes.mean(axis=0))
    assert (sisa.transform(X)[:, 1] == 0.5).all()
    assert sisa.verify_forgotten()
    with pytest.warns(VanishedClassWarning, match=r"\[0\]") as warned:
        sisa.forget(np.flatnonzero(y == 0))
    assert warned[0].filename == __file__
    assert (sisa.predict(X) == 1).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sisa.forget(range(120))
    assert sisa.n_rows_ == 0
    with pytest.raises(ValueError, match="Every row has been forgotten"):
        sisa.predict(X)


def test_a_class_without_rows_is_told_where_the_ensemble_was_fitted():
    with pytest.warns(VanishedClassWarning, match=r"\[0\]") as warned:
        make_sisa().partial_fit(X[y == 1], y[y == 1], classes=[0, 1])
    assert warned[0].filename == __file__


def test_an_emptied_slice_is_skipped():
    sisa = make_sisa(SGDClassifier(), n_slices=3, epochs=2).fit(X, y)
    sisa.forget(sisa.plan_.rows(0, 0))
    assert checkpoints(sisa)[0][0] is None
    assert sisa.verify_forgotten()
    sisa.forget(sisa.plan_.rows(0, 2))
    assert sisa.verify_forgotten()


# Data subjects


def test_subjects_are_kept_together_and_forgotten_whole():
    groups = np.array([f"person {i % 30}" for i in range(120)])
    sisa = make_sisa(SGDClassifier(), n_slices=2).fit(X, y, subjects=groups)
    for person in set(groups):
        rows = np.flatnonzero(groups == person)
        assert len(set(sisa.plan_.shard_of(rows))) == 1
        assert len(set(sisa.plan_.slice_of(rows))) == 1
    sisa.forget(subjects=["person 3", "person 8"])
    assert set(groups[sisa.forgotten_]) == {"person 3", "person 8"}
    assert len(sisa.forgotten_) == 8
    assert sisa.verify_forgotten()
    sisa.forget(subjects=["person 3"])  # a retried request
    assert sisa.forget_log_[-1].rows == ()
    with pytest.raises(ValueError, match="1 of 2 data subjects are unknown"):
        sisa.forget(subjects=["person 1", "person 99"])
    assert len(sisa.forgotten_) == 8


def test_subjects_need_to_be_named_in_fit():
    with pytest.raises(ValueError, match="Pass subjects= to fit"):
        make_sisa().fit(X, y).forget(subjects=[1])
    with pytest.raises(ValueError, match="missing values"):
        make_sisa().fit(X, y, subjects=[np.nan] * 120)
    with pytest.raises(ValueError, match="2 data subjects cannot fill n_shards=3"):
        make_sisa().fit(X, y, subjects=np.arange(120) % 2)


# New rows


def test_rows_can_be_given_in_portions_from_the_start():
    sisa = make_sisa(SGDClassifier(), n_slices=2)
    sisa.partial_fit(X[:60], y[:60], classes=[0, 1])
    sisa.partial_fit(X[60:], y[60:])
    assert sisa.n_rows_ == 120
    assert sisa.score(X, y) > 0.8
    assert sisa.forget([2, 70]).verify_forgotten()


def test_a_class_first_seen_later_joins():
    sisa = make_sisa(SGDClassifier(loss="log_loss"), n_slices=2)
    early = np.flatnonzero(y3 != 1)
    sisa.fit(X3[early], y3[early])
    assert list(sisa.classes_) == [0, 2]
    sisa.partial_fit(X3[y3 == 1], y3[y3 == 1])
    assert list(sisa.classes_) == [0, 1, 2]
    assert sisa.score(X3, y3) > 0.5
    assert sisa.forget([0, len(early)]).verify_forgotten()


def test_a_class_that_comes_later_starts_from_what_fit_was_given():
    # Parameters that were changed since belong to the next fit.
    early = y3 != 1
    sisa = make_sisa(SGDClassifier(alpha=0.01), n_slices=2).fit(X3[early], y3[early])
    changed = copy.deepcopy(sisa).set_params(n_slices=4, estimator=SGDClassifier())
    for one in (sisa, changed):
        one.partial_fit(X3[~early], y3[~early]).forget([0])
    np.testing.assert_array_equal(sisa.transform(X3), changed.transform(X3))


@pytest.mark.parametrize("labels", [[1, 2, 3], ["x", "y", "z"], [-1, 0, 5]])
@pytest.mark.parametrize(
    ("learner", "name", "n_slices"),
    [
        (SGDClassifier(), "class_weight", 2),
        (RandomForestClassifier(3), "class_weight", 1),
        (
            make_pipeline(StandardScaler(), SGDClassifier()),
            "sgdclassifier__class_weight",
            2,
        ),
    ],
)
def test_class_weights_name_labels_whatever_these_are(learner, name, n_slices, labels):
    params = {"n_slices": n_slices, "n_shards": 2}
    weights = {labels[0]: 7.0, labels[2]: 0.5}
    sisa = make_sisa(clone(learner).set_params(**{name: weights}), **params)
    sisa.fit(X3, np.array(labels)[y3])
    by_code = make_sisa(clone(learner).set_params(**{name: {0: 7.0, 2: 0.5}}), **params)
    np.testing.assert_array_equal(sisa.transform(X3), by_code.fit(X3, y3).transform(X3))
    assert sisa.forget([3, 70]).verify_forgotten()
    assert sisa.estimator.get_params()[name] == weights


@pytest.mark.usefixtures("unrouted")
def test_class_weights_are_weights_of_the_rows_of_their_class():
    labels = np.array(["no", "yes"])[y]
    weighted = LogisticRegression(class_weight={"yes": 4.0})
    sisa = make_sisa(weighted).fit(X, labels)
    by_row = make_sisa(LogisticRegression()).fit(X, labels, sample_weight=1 + 3 * y)
    np.testing.assert_allclose(sisa.transform(X), by_row.transform(X), rtol=1e-10)


def test_class_weights_stay_with_their_class_when_another_comes_before_it():
    weighted = SGDClassifier(class_weight={1: 9.0})
    late = y3 == 0
    surprised, warned = make_sisa(weighted), make_sisa(weighted)
    surprised.partial_fit(X3[~late], y3[~late])
    with pytest.warns(VanishedClassWarning, match="classes \\[0\\]"):
        warned.partial_fit(X3[~late], y3[~late], classes=[0, 1, 2])
    for sisa in (surprised, warned):
        sisa.partial_fit(X3[late], y3[late])
    np.testing.assert_array_equal(surprised.transform(X3), warned.transform(X3))
    assert surprised.forget([5, 80]).verify_forgotten()


def test_a_shard_may_lack_a_class_that_has_a_weight():
    few = np.r_[np.flatnonzero(y3 != 2), np.flatnonzero(y3 == 2)[:1]]
    weighted = LogisticRegression(class_weight={2: 9.0})
    sisa = make_sisa(weighted).fit(X3[few], y3[few])
    assert sorted(len(member.classes_) for member in sisa.estimators_) == [2, 2, 3]


def test_class_weights_of_classes_that_cannot_be_told_are_refused():
    labels = np.array(["no", "yes"])[y]
    sisa = make_sisa(SGDClassifier()).fit(X, labels)
    before = sisa.transform(X)
    sisa.set_params(estimator__class_weight={"maybe": 2.0})
    with pytest.raises(ValueError, match=r"\['maybe'\], which are not .*'no', 'yes'"):
        sisa.fit(X, labels)
    # It would see 0 and 1, whatever the labels.
    nested = OneVsRestClassifier(SGDClassifier(class_weight={1: 2.0}))
    sisa.set_params(estimator=nested)
    with pytest.raises(ValueError, match=r"labels \['no', 'yes'\], but .* \[0, 1\]"):
        sisa.fit(X, labels)
    np.testing.assert_array_equal(sisa.transform(X), before)
    assert make_sisa(nested).fit(X, y)
    lower = FixedThresholdClassifier(LogisticRegression(), threshold=0.3, pos_label=1)
    with pytest.raises(
        ValueError, match=r"pos_label of Fixed.* members use the labels"
    ):
        SISAClassifier(lower, n_shards=2).fit(X, y + 1)


def test_labels_of_another_kind_are_refused():
    sisa = make_sisa(SGDClassifier()).fit(X, y)
    with pytest.raises(ValueError, match=r"several kinds were given: \[0, 'a'\]"):
        sisa.partial_fit(X[:2], ["a", "b"])
    assert sisa.partial_fit(X[:2], [0.0, 1.0]).classes_.dtype == y.dtype


def test_appending_needs_a_learner_that_continues():
    sisa = make_sisa(LogisticRegression()).fit(X, y)
    assert not hasattr(sisa, "partial_fit")
    with pytest.raises(AttributeError, match="no attribute 'partial_fit'") as error:
        sisa.partial_fit(X, y)
    assert "LogisticRegression has no partial_fit" in str(error.value.__cause__)
    with pytest.raises(ValueError, match="subjects must be given to every call"):
        make_sisa().fit(X, y).partial_fit(X, y, subjects=np.arange(120))


# Input


def test_containers_of_any_kind_give_the_same_members():
    columns = [f"x{i}" for i in range(20)]
    frame = pd.DataFrame(X, columns=columns, index=np.arange(120)[::-1])
    containers = [frame, polars.DataFrame(X, schema=columns), X.tolist()]
    for data in containers:
        sisa = make_sisa(SGDClassifier(), n_slices=2)
        sisa.fit(data, y.tolist()).partial_fit(data, y).forget([1, 2, 3])
        assert sisa.verify_forgotten()
        both = make_sisa(SGDClassifier(), n_slices=2).fit(X, y).partial_fit(X, y)
        both.forget([1, 2, 3])
        for one, other in zip(sisa.estimators_, both.estimators_):
            np.testing.assert_array_equal(one.coef_, other.coef_)
    compressed = make_sisa(SGDClassifier(), n_slices=2).fit(sparse.coo_array(X), y)
    assert compressed.forget([1, 2, 3]).verify_forgotten()
    assert list(make_sisa().fit(frame, y).feature_names_in_) == columns


@pytest.mark.usefixtures("unrouted")
def test_sample_weights_are_split_with_the_rows():
    weight = np.linspace(0.5, 2, 120)
    sisa = make_sisa(LogisticRegression()).fit(X, y, sample_weight=weight)
    rows = sisa.plan_.rows(1)
    alone = LogisticRegression().fit(X[rows], y[rows], sample_weight=weight[rows])
    np.testing.assert_array_equal(alone.coef_, sisa.estimators_[1].coef_)
    assert sisa.forget(rows[:2]).verify_forgotten()
    with config_context(enable_metadata_routing=True):
        base = LogisticRegression().set_fit_request(sample_weight=True)
        routed = make_sisa(base).fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(
        routed.estimators_[0].coef_,
        make_sisa(LogisticRegression())
        .fit(X, y, sample_weight=weight)
        .estimators_[0]
        .coef_,
    )


@pytest.mark.usefixtures("unrouted")
@pytest.mark.parametrize("n_slices", [1, 3])
@pytest.mark.parametrize("estimator", [SGDClassifier(), GaussianNB()])
def test_rows_without_weight_are_forgotten_around(estimator, n_slices):
    sisa = make_sisa(estimator, n_slices=n_slices)
    first = sisa.fit(X, y).plan_.rows(1, 0)
    weight = np.ones(120)
    weight[first[1:]] = 0
    sisa.fit(X, y, sample_weight=weight)
    cost = sisa.expected_cost(first[:1])["sample_visits"]
    sisa.forget(first[:1])
    assert sisa.forget_log_[-1].sample_visits == cost
    assert sisa.verify_forgotten()
    assert (sisa.estimators_[1] is None) == (n_slices == 1)
    with pytest.raises(ValueError, match="sample_weight is zero in all rows"):
        make_sisa(estimator).fit(X, y, sample_weight=np.zeros(120))


@pytest.mark.usefixtures("unrouted")
def test_fit_parameters_that_could_hold_rows_are_refused():
    with pytest.raises(ValueError, match="eval_set has neither one value per row"):
        make_sisa().fit(X, y, eval_set=(X[:2], y[:2]))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_shards": 121}, "n_samples=120 cannot fill n_shards=121"),
        ({"n_shards": 50, "n_slices": 3}, "Give at least 150 rows"),
        ({"n_shards": 0}, "'n_shards' parameter"),
        ({"n_slices": 1.5}, "'n_slices' parameter"),
        ({"aggregation": "median"}, "'aggregation' parameter"),
        ({"estimator": DecisionTreeClassifier(), "n_slices": 2}, "no partial_fit"),
        ({"estimator": DecisionTreeClassifier(), "epochs": 2}, "no partial_fit"),
    ],
)
def test_impossible_plans_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        make_sisa(**params).fit(X, y)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "target y is None"),
        (np.array(["yes", None] * 60, dtype=object), "NaN or None"),
        (pd.Series(["yes", pd.NA] * 60, dtype="string"), "NaN or None"),
        (np.where(X[:, 0] > 0, np.nan, 1.0), "NaN or None"),
    ],
)
def test_missing_labels_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        make_sisa().fit(X, labels)


@pytest.mark.parametrize("estimator", [Ridge(), make_pipeline(LinearRegression())])
def test_what_is_no_classifier_is_refused_by_name(estimator):
    kind = type(last_step(estimator)).__name__
    with pytest.raises(ValueError, match=f"must be a classifier, got {kind}"):
        make_sisa(estimator).fit(X, y)


def test_an_ensemble_within_an_ensemble_is_refused():
    inner = make_pipeline(SISAClassifier(LogisticRegression(), n_shards=2))
    with pytest.raises(ValueError, match="Pipeline holds a SISAClassifier"):
        make_sisa(inner).fit(X, y)


def test_a_single_class_is_refused():
    with pytest.raises(ValueError, match="one class"):
        make_sisa().fit(X, np.zeros(120))


def test_using_an_unfitted_ensemble_is_refused():
    for use in (make_sisa().predict, make_sisa().transform, make_sisa().forget):
        with pytest.raises(NotFittedError):
            use(X)


# skorch


def test_skorch_defaults_that_break_shards_are_absorbed():
    torch = pytest.importorskip("torch")
    skorch = pytest.importorskip("skorch")
    net = skorch.NeuralNetClassifier(
        torch.nn.Linear, module__in_features=20, module__out_features=2,
        criterion=torch.nn.CrossEntropyLoss, max_epochs=2, verbose=0,
    )  # fmt: skip
    tiny = make_sisa(net, n_shards=40, n_slices=1).fit(X, y)  # shards of three rows
    assert tiny.estimators_[0].train_split is None
    assert net.train_split is not None
    assert tiny.transform(X).shape == (120, 40)
    assert tiny.forget([5]).verify_forgotten()
    instance = skorch.NeuralNetClassifier(torch.nn.Linear(20, 2))
    with pytest.raises(ValueError, match="holds an instance of Linear"):
        make_sisa(instance).fit(X, y)


# Within scikit-learn


def test_grid_search_and_cross_validation_work():
    search = GridSearchCV(
        make_sisa(SGDClassifier(loss="log_loss")),
        {"n_shards": [2, 4], "estimator__alpha": [1e-4, 1e-2]},
        cv=3,
        error_score="raise",
    ).fit(X, y)
    assert search.best_score_ > 0.8
    assert cross_val_predict(make_sisa(), X, y, method="predict_proba").shape == (
        120,
        2,
    )


def test_verifying_needs_the_memory_of_one_shard_at_a_time(monkeypatch):
    train, alive, most = _workers.train_shards, weakref.WeakSet(), []

    def watched(*args, **kwargs):
        most.append(len(alive))
        trained = train(*args, **kwargs)
        alive.update(trained[0].checkpoints)
        return trained

    sisa = make_sisa(GaussianNB(), n_shards=5, n_slices=2).fit(X, y)
    sisa.forget(range(20))
    monkeypatch.setattr(_workers, "train_shards", watched)
    assert sisa.verify_forgotten()
    assert len(most) == 5
    assert max(most) <= 2  # the two of the shard before


class Sociable(MLPClassifier):
    """A learner of which several can be trained at a time; it notes how many were."""

    companies = []  # noqa: RUF012

    def __init__(self, max_epochs=2, together=3, random_state=None):
        super().__init__((3,), random_state=random_state)
        self.max_epochs = max_epochs
        self.together = together

    def partial_fit(self, X, y, classes=None):
        for _ in range(self.max_epochs):
            super().partial_fit(X, y, classes=classes)
        return self

    @staticmethod
    def partial_fit_together(learners, X, y, classes=None):
        Sociable.companies.append(len(learners))
        for learner, *rows in zip(learners, X, y):
            learner.partial_fit(*rows, classes=classes)


def test_a_learner_may_train_the_equal_stages_of_several_shards_at_a_time():
    Sociable.companies.clear()
    sisa = make_sisa(Sociable(), n_shards=5, n_slices=2).fit(X, y)
    assert Sociable.companies == [3, 3, 2, 2]
    Sociable.companies.clear()
    rows = [sisa.plan_.rows(0, 0)[0], sisa.plan_.rows(3, 1)[0]]
    cost = sisa.expected_cost(rows)
    report = sisa.forget(rows).forget_log_[0]
    assert Sociable.companies == [1, 2]
    assert (report.shards, report.first_slices) == ((0, 3), (0, 1))
    assert report.sample_visits == cost["sample_visits"]
    assert sisa.verify_forgotten()


def test_a_member_whose_scores_are_not_numbers_leaves_the_decision_to_the_others():
    X, y = make_classification(60, random_state=0)
    sisa = SISAClassifier(GaussianNB(), n_shards=3, aggregation="mean", random_state=0)
    sisa.fit(X, y)
    before = sisa.score(X, y)
    # Of a single row, all variances are zero.
    sisa.forget(sisa.plan_.rows(0)[1:])
    with pytest.warns(
        UserWarning, match=r"GaussianNB gave .* not numbers for 60 of 60"
    ):
        scores = sisa.predict_proba(X)
    assert np.isfinite(scores).all()
    with pytest.warns(UserWarning, match="get the same score"):
        assert sisa.score(X, y) > before - 0.1
    assert sisa.verify_forgotten()


def test_scores_of_more_classes_than_there_are_are_told_from_others():
    class Wide(SGDClassifier):
        def predict_proba(self, X):
            return np.full((len(X), 3), 1 / 3)

    sisa = SISAClassifier(Wide(), n_shards=2, random_state=0)
    with pytest.raises(ValueError, match="3 scores, but knows 2 classes of 2"):
        sisa.fit(X, y)


def test_a_member_that_cannot_predict_is_noticed_where_it_was_trained():
    sisa = make_sisa(KNeighborsClassifier(41))
    with pytest.raises(ValueError, match="n_neighbors = 41, n_samples_fit = 40"):
        sisa.fit(X, y)
    sisa.set_params(estimator__n_neighbors=40).fit(X, y)
    with pytest.warns(UntrainedShardWarning, match="n_neighbors = 40, .* = 39"):
        sisa.forget(3)
    assert list(sisa.forgotten_) == [3]
    assert sisa.predict(X).shape == (120,)
