"""Claims about the data subjects whose rows a fair rule learnt from."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from held import state_of
from sklearn.datasets import make_classification
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_validate

from sklearn_fairsisa.postprocessing import FairEnsemblePostprocessor
from sklearn_fairsisa.sisa import SISAClassifier

X, y = make_classification(900, flip_y=0.2, random_state=0)
club = np.arange(900) // 3 % 2
person = np.array([f"person {i}" for i in np.random.default_rng(0).permutation(900)])
person = person[np.arange(900) // 3]  # three rows each


def make_fair(calibration="cross_shard", estimator=None):
    if estimator is None:
        estimator = SISAClassifier(LogisticRegression(), n_shards=3)
    return FairEnsemblePostprocessor(estimator, calibration=calibration, random_state=0)


def fitted(*args):
    return make_fair(*args).fit(X, y, sensitive_features=club, subjects=person)


ids = np.arange(900) // 3
kinds = pytest.mark.parametrize("kind", [FairEnsemblePostprocessor, SISAClassifier])


def fitted_on(kind, groups):
    if kind is SISAClassifier:
        sisa = SISAClassifier(LogisticRegression(), n_shards=3, random_state=0)
        return sisa.fit(X, y, subjects=groups)
    return make_fair().fit(X, y, sensitive_features=club, subjects=groups)


@pytest.mark.parametrize("calibration", ["cross_shard", 0.3])
def test_forgetting_a_person_is_forgetting_all_their_rows(calibration):
    people = person[[0, 450]]
    rows = np.flatnonzero(np.isin(person, people))
    by_person = fitted(calibration).forget(subjects=people)
    by_rows = fitted(calibration).forget(rows)
    np.testing.assert_array_equal(by_person.forgotten_, rows)
    pd.testing.assert_frame_equal(by_person.rule_, by_rows.rule_)
    np.testing.assert_array_equal(
        by_person.selection_probability(X, sensitive_features=club),
        by_rows.selection_probability(X, sensitive_features=club),
    )
    assert by_person.estimator_.verify_forgotten()


def test_a_person_is_judged_by_members_that_saw_none_of_their_rows():
    fair = fitted()
    shard = fair.estimator_.plan_.shard_of(np.arange(900))
    assert (shard.reshape(-1, 3) == shard[::3, None]).all()
    assert len(np.unique(shard)) == 3


@pytest.mark.parametrize(
    "estimator", [None, BaggingClassifier(LogisticRegression(), n_estimators=3)]
)
def test_a_person_is_held_out_wholly_or_not_at_all(estimator):
    fair = fitted(0.3, estimator)
    calibrates = np.isin(np.arange(900), fair.calibration_indices_)
    assert not set(person[calibrates]) & set(person[~calibrates])
    # Each of 300 people is drawn by their id alone.
    assert calibrates.sum() == pytest.approx(270, abs=60)
    if isinstance(fair.estimator_, SISAClassifier):
        np.testing.assert_array_equal(fair.estimator_.plan_.shards < 0, calibrates)


@pytest.mark.parametrize("calibration", ["cross_shard", 0.3])
def test_an_integer_seed_repeats_the_split_of_people(calibration):
    first, second = fitted(calibration), fitted(calibration)
    np.testing.assert_array_equal(
        first.calibration_indices_, second.calibration_indices_
    )


@kinds
@pytest.mark.parametrize(
    "people", [3, [3], np.int8(3), [3.0], {3}, range(3, 4), pd.Series([3])]
)
def test_people_may_be_named_by_any_container(kind, people):
    estimator = fitted_on(kind, ids).forget(subjects=people)
    assert estimator.forgotten_.tolist() == [9, 10, 11]


@kinds
@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (pd.Series(ids) == 50, "look like a mask"),
        (True, "look like a mask"),
        ([1, np.True_], "look like a mask"),
        (pd.DataFrame({"person": ids}), r"one-dimensional, got shape \(900, 1\)"),
        ([[1, 2]], r"one-dimensional, got shape \(1, 2\)"),
        ([[1, 2], [3]], r"got shape \(2,\) or lists within"),
    ],
)
def test_what_is_no_list_of_ids_deletes_nobody(kind, groups, message):
    estimator = fitted_on(kind, ids)
    with pytest.raises(ValueError, match=message):
        estimator.forget(subjects=groups)
    assert len(estimator.forgotten_) == 0


@kinds
def test_strangers_are_named_by_their_place_in_the_request(kind):
    estimator = fitted_on(kind, [f"person {i}" for i in ids])
    asked = [f"person {i}" for i in range(300)]
    asked[17], asked[203] = "Mary Major", "John Doe"
    with pytest.raises(ValueError, match=r"entries \[17, 203\] of the request") as told:
        estimator.forget(subjects=asked)
    assert "2 of 300 data subjects are unknown" in str(told.value)
    assert "Mary" not in str(told.value)
    with pytest.raises(ValueError, match=r"\[0, 1, .*, 8, 9\] and 2 more"):
        estimator.forget(subjects=range(12))
    # Who was forgotten is no stranger.
    again = estimator.forget(subjects=asked[:2])
    with pytest.raises(ValueError, match=r"entries \[2\]"):
        again.forget(subjects=[*asked[:2], "John Doe"])


@kinds
@pytest.mark.parametrize(
    ("given", "asked", "message"),
    [
        (int, ["8"], "known as int, not as str"),
        (float, ["7", "8.0"], "known as int, not as str"),
        (str, [7, np.int64(8)], "known as str, not as int"),
    ],
)
def test_ids_of_another_type_than_in_fit_are_told(kind, given, asked, message):
    estimator = fitted_on(kind, [given(i) for i in ids])
    with pytest.raises(ValueError, match=f"Entry 0 is {message}"):
        estimator.forget(subjects=asked)
    with pytest.raises(ValueError, match="unknown") as told:
        estimator.forget(subjects=["1_0", "007", "8.5", 8.5, None])
    assert "known as" not in str(told.value)


def test_requests_may_be_repeated_and_leave_no_id():
    fair = fitted(0.3)
    trained, calibrates = (
        next(i for i in rows if len(person[i]) == len("person 100"))
        for rows in (fair.estimator_.plan_.rows(0), fair.calibration_indices_)
    )
    assert person[trained].encode() in pickle.dumps(fair)
    for index in (calibrates, trained):
        asked = person[index]
        assert asked.encode() not in pickle.dumps(fair.forget(subjects=[asked]))
        before = fair.forgotten_
        np.testing.assert_array_equal(fair.forget(subjects=asked).forgotten_, before)


def test_strangers_and_empty_requests_are_refused_before_anything_changes():
    fair = fitted()
    with pytest.raises(ValueError, match="1 of 2 data subjects are unknown"):
        fair.forget([5], subjects=["nobody", person[0]])
    with pytest.raises(ValueError, match="Nothing to forget was named"):
        fair.forget()
    assert len(fair.forgotten_) == 0
    with pytest.raises(ValueError, match="subjects= to fit"):
        make_fair().fit(X, y, sensitive_features=club).forget(subjects=person[:1])


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([None, *person[1:]], "missing values"),
        (pd.Series([pd.NA, *range(899)], dtype="Int64"), "missing values"),
        (person[:9], "subjects has 9 rows"),
        (pd.DataFrame({"id": person}), r"one-dimensional, got shape \(900, 1\)"),
    ],
)
def test_incomplete_ids_are_refused(groups, message):
    with pytest.raises(ValueError, match=message):
        make_fair().fit(X, y, sensitive_features=club, subjects=groups)


def test_ids_reach_the_ensemble_through_metadata_routing():
    with sklearn.config_context(enable_metadata_routing=True):
        fair = make_fair().set_fit_request(subjects=True)
        results = cross_validate(
            fair, X, y, cv=2, return_estimator=True,
            params={"sensitive_features": club, "subjects": person},
        )  # fmt: skip
        first = results["estimator"][0]
        assert first.forget(subjects=state_of(first.estimator_).rows[0].subjects[:1])
    assert len(first.forgotten_) > 0


INSTANTS = pd.date_range("2020-01-01", periods=200, freq="D")


@pytest.mark.parametrize(
    "given",
    [INSTANTS, INSTANTS.to_numpy(), INSTANTS.to_numpy("M8[D]"), [*INSTANTS]],
    ids=["index", "nanoseconds", "days", "timestamps"],
)
@pytest.mark.parametrize(
    "asked",
    [
        lambda i: INSTANTS[i],
        lambda i: [INSTANTS[i].to_pydatetime()],
        lambda i: INSTANTS.to_numpy("M8[s]")[[i]],
        lambda i: INSTANTS.to_numpy()[i],
        lambda i: (INSTANTS[k] for k in [i]),
    ],
    ids=["timestamp", "datetime", "seconds", "scalar", "generator"],
)
def test_people_named_by_instants_are_found_in_any_unit_and_container(given, asked):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 2))
    sisa = SISAClassifier(n_shards=2, random_state=0)
    sisa.fit(rows, (rows[:, 0] > 0).astype(int), subjects=given)
    assert sisa.forget(subjects=asked(7)).forgotten_.tolist() == [7]


def test_booleans_are_no_ids_of_people():
    rows = np.random.default_rng(0).normal(size=(20, 2))
    with pytest.raises(ValueError, match="subjects holds booleans"):
        SISAClassifier(n_shards=1).fit(
            rows, rows[:, 0] > 0, subjects=np.arange(20) % 2 == 0
        )
