"""Randomised decisions where equal rows are different people."""

import warnings

import numpy as np
import pytest
import sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.naive_bayes import GaussianNB

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.exceptions import SharedCoinWarning


def draw(n=4000, seed=0, kinds=None):
    """Four yes/no columns, or a table of some kinds of rows."""
    rng = np.random.default_rng(seed)
    group, y = rng.integers(0, 2, (2, n))
    if kinds is None:
        agrees = rng.random((n, 4)) < np.where(group == 0, 0.75, 0.6)[:, None]
        X = np.where(agrees, y[:, None], 1 - y[:, None]).astype(float)
    else:
        table = np.random.default_rng(9).normal(size=(kinds, 3))
        lean = table[:, 0] * np.where(group == 0, 1.5, 0.7)[:, None]
        odds = np.exp(np.where(y[:, None] == 1, lean, -lean))
        X = table[(odds.cumsum(1) < rng.random((n, 1)) * odds.sum(1)[:, None]).sum(1)]
    return X, y, group, np.array([f"person {k}" for k in range(n)])


def fit(X, y, group, subjects=None, **params):
    params = {"objective": "balanced_accuracy_score", "random_state": 0} | params
    sisa = SISAClassifier(GaussianNB(), n_shards=3, random_state=0)
    fair = FairEnsemblePostprocessor(sisa, **params)
    return fair.fit(X, y, sensitive_features=group, subjects=subjects)


def gap(decided, y, group):
    rates = [[decided[(y == k) & (group == g)].mean() for g in (0, 1)] for k in (0, 1)]
    return np.ptp(rates, axis=1).max()


@pytest.mark.parametrize("kinds", [None, 50])
def test_with_subjects_the_realised_gap_is_the_expected_one(kinds):
    X, y, group, people = draw(120_000, kinds=kinds)
    fair = fit(X[:4000], y[:4000], group[:4000], people[:4000])
    new = slice(4000, None)
    given = {"sensitive_features": group[new], "subjects": people[new]}
    p = fair.selection_probability(X[new], sensitive_features=group[new])
    decided = fair.predict(X[new], **given)
    expected = gap(p, y[new], group[new])
    assert abs(gap(decided, y[new], group[new]) - expected) < 0.01
    table = fair.fairness_report_.to_frame()
    assert abs(table.realised.iloc[0] - table.counted.iloc[0]) < 0.05


def test_without_subjects_repeated_rows_warn_and_the_report_says_the_realised_gap():
    X, y, group, _ = draw()
    with pytest.warns(SharedCoinWarning, match=r"calibration rows.*subjects="):
        fair = fit(X, y, group)
    with pytest.warns(SharedCoinWarning, match="rows are randomised"):
        decided = fair.predict(X, sensitive_features=group)
    # Sixteen kinds of rows are decided on as wholes.
    assert len(np.unique(np.column_stack([X, group, decided]), axis=0)) <= 32
    table = fair.fairness_report_.to_frame()
    assert table.counted.iloc[0] < 0.02
    assert table.realised.iloc[0] > 0.05
    # The rule across shards is not quite that on new rows.
    assert abs(table.realised.iloc[0] - gap(decided, y, group)) < 0.1


def test_rows_that_differ_or_are_decided_for_certain_do_not_warn():
    X, y, group, people = draw()
    with warnings.catch_warnings():
        warnings.simplefilter("error", SharedCoinWarning)
        noisy = X + np.random.default_rng(0).normal(size=X.shape) / 100
        fit(noisy, y, group).predict(noisy, sensitive_features=group)
        fair = fit(X, y, group, people)
        fair.predict(X, sensitive_features=group, subjects=people)
        certain = fit(X, y, group, tol=1.0, calibration=0.3)
        certain.predict(X, sensitive_features=group)
        # Votes alone are told apart by their places.
        votes = FairEnsemblePostprocessor(random_state=0)
        votes.fit(X.astype(int), y, sensitive_features=group)
        votes.predict(X.astype(int), sensitive_features=group)


def test_a_decision_is_the_persons_in_any_batch_and_for_any_type_of_id():
    X, y, group, _ = draw(1000)
    ids = np.arange(1000) + 10**12
    fair = fit(X, y, group, ids)
    every = fair.predict(X, sensitive_features=group, subjects=ids)
    some = np.array([7, 3, 900])
    for given in (ids[some], ids[some].tolist(), ids[some].astype(float)):
        part = fair.predict(X[some], sensitive_features=group[some], subjects=given)
        np.testing.assert_array_equal(part, every[some])
    # Neighbouring large ids are not one person.
    p = fair.selection_probability(X, sensitive_features=group)
    likely = (p > 0.3) & (p < 0.7)
    assert 0.2 < every[likely].mean() < 0.8
    score = fair.score(X, y, sensitive_features=group, subjects=ids)
    assert score == np.mean(every == y)
    np.testing.assert_array_equal(
        fair.transform(X, sensitive_features=group, subjects=ids)[:, 0], p
    )


@pytest.mark.parametrize("method", ["predict", "transform", "score"])
def test_a_person_of_several_groups_is_refused(method):
    X, y, group, people = draw(300)
    fair = fit(X, y, group, people)
    people[1] = people[0]
    group[:2] = 0, 1
    given = (X, y) if method == "score" else (X,)
    with pytest.raises(ValueError, match="'person 0' has rows of several groups"):
        getattr(fair, method)(*given, sensitive_features=group, subjects=people)
    with pytest.raises(ValueError, match="subjects has 2 rows"):
        getattr(fair, method)(*given, sensitive_features=group, subjects=people[:2])


def test_routing_passes_subjects_to_fit_and_score():
    X, y, group, people = draw(600)
    with sklearn.config_context(enable_metadata_routing=True):
        sisa = SISAClassifier(LogisticRegression(), n_shards=2, random_state=0)
        fair = FairEnsemblePostprocessor(sisa, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("error", SharedCoinWarning)
            scores = cross_val_score(
                fair,
                X,
                y,
                cv=2,
                params={"sensitive_features": group, "subjects": people},
                error_score="raise",
            )
    assert (scores > 0.5).all()


@pytest.mark.parametrize("calibration", ["cross_shard", 0.3])
@pytest.mark.parametrize("by_subject", [True, False])
def test_realised_gaps_are_those_of_a_twin_without_the_forgotten(
    calibration, by_subject
):
    X, y, group, people = draw(300)
    X = X + np.random.default_rng(0).normal(size=X.shape)
    gone = np.arange(0, 300, 7)
    tables = []
    for other in (False, True):
        here = X.copy()
        here[gone] += 3.0 * other
        subjects = people if by_subject else None
        fair = fit(here, y, group, subjects, calibration=calibration).forget(gone)
        tables.append(fair.fairness_report_.to_frame().realised)
        rows = fair._calibrated().rows
        assert len(rows.coins) == len(rows)
    np.testing.assert_array_equal(*tables)


@pytest.mark.parametrize("by_subject", [True, False])
def test_appended_and_corrected_rows_have_coins_of_their_own(by_subject):
    X, y, group, people = draw(400)
    X = X + np.random.default_rng(0).normal(size=X.shape)
    ids = people if by_subject else None
    part = slice(300), slice(300, 400)
    fair = fit(*(v[part[0]] for v in (X, y, group)), ids if ids is None else ids[:300])
    late = None if ids is None else ids[300:]
    fair.partial_fit(X[300:], y[300:], sensitive_features=group[300:], subjects=late)
    fair.amend([5, 2], X[:2] + 1, y[:2])
    X[[5, 2]] = X[:2] + 1
    y[[5, 2]] = y[:2]
    whole = fit(X, y, group, ids, random_state=0)
    expected = whole._calibrated().rows.coins
    seed = fair._calibrated().seed
    assert seed == whole._calibrated().seed
    np.testing.assert_array_equal(fair._calibrated().rows.coins, expected)
