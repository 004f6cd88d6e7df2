"""Corrections of rows."""

import pickle
from typing import ClassVar

import numpy as np
import pandas as pd
import polars as pl
import pytest
from held import digests
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.exceptions import UntrainedShardWarning

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3)).round(6)
y = np.where(X[:, 0] > 0, "no", "yes")
ROWS = [41, 3, 17, 4]
X_NEW = rng.normal(size=(4, 3)).round(6)
Y_NEW = np.array(["yes", "yes", "no", "no"])
WORDS = np.array(["red", "green", "blue", "grey"])
FIRST = pytest.mark.parametrize("durable", [False, True])


def frame(X):
    names = WORDS[np.abs(X[:, 1]).astype(int) % 4]
    colour = pd.Categorical(names, categories=WORDS)
    return pd.DataFrame({"a": X[:, 0], "colour": colour, "n": X[:, 2]})


def texts(X):
    return [" ".join(WORDS[np.abs(row * 10).astype(int) % 4]) for row in X]


ENCODED = make_pipeline(
    make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["colour"]),
        remainder="passthrough",
    ),
    DecisionTreeClassifier(),
)
SGD = SGDClassifier(loss="log_loss")
KINDS = {
    "array": (np.asarray, SGD, 2),
    "whole": (np.asarray, DecisionTreeClassifier(), 1),
    "sums": (np.asarray, GaussianNB(), 3),
    "sparse": (sparse.csr_matrix, SGD, 2),
    "frame": (frame, ENCODED, 1),
    "polars": (lambda X: pl.DataFrame(X, schema=["a", "b", "c"]), SGD, 2),
    "texts": (texts, make_pipeline(HashingVectorizer(n_features=64), SGD), 2),
}


def make_sisa(learner, n_slices, directory=None):
    return SISAClassifier(
        learner, n_shards=3, n_slices=n_slices, random_state=0, checkpoint_dir=directory
    )


def corrected():
    X_good, y_good = X.copy(), y.copy()
    X_good[ROWS], y_good[ROWS] = X_NEW, Y_NEW
    return X_good, y_good


@FIRST
@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_corrected_rows_are_as_if_they_had_always_been_right(
    tmp_path, kind, later, durable
):
    container, learner, n_slices = KINDS[kind]
    sisa = make_sisa(learner, n_slices, tmp_path if durable else None)
    sisa.fit(container(X), y)
    sisa.amend(ROWS, container(X_NEW), Y_NEW, relearn=not later)
    assert sisa.verify_forgotten()
    if durable:
        sisa = SISAClassifier.load(tmp_path)
    sisa.relearn()
    X_good, y_good = corrected()
    expected = make_sisa(learner, n_slices).fit(container(X_good), y_good)
    assert digests(sisa) == digests(expected)
    assert sisa.verify_forgotten()
    # The rows can still be forgotten, and all others be appended to.
    sisa.forget([3, 8]).partial_fit(container(X[:5]), y[:5]) if n_slices > 1 else (
        sisa.forget([3, 8])
    )
    expected.forget([8, 3])
    if n_slices > 1:
        expected.partial_fit(container(X[:5]), y[:5])
    assert digests(sisa) == digests(expected)
    np.testing.assert_array_equal(
        sisa.predict_proba(container(X)), expected.predict_proba(container(X))
    )


@FIRST
def test_what_was_wrong_is_found_nowhere(tmp_path, durable):
    X_bad = X.copy()
    X_bad[ROWS, 0] = [1.25e77, 2.5e78, 3.75e79, 1.5e70]
    sisa = make_sisa(GaussianNB(), 2, tmp_path if durable else None).fit(X_bad, y)
    other = make_sisa(GaussianNB(), 2).fit(X, y)
    sisa.amend(ROWS, X_NEW, Y_NEW, relearn=False)
    held = pickle.dumps(sisa)
    if durable:
        held += b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert not any(X_bad[row, 0].tobytes() in held for row in ROWS)
    assert X_NEW[0, 0].tobytes() in held
    # A twin that held other values ends in the same bits.
    assert digests(sisa) == digests(other.amend(ROWS, X_NEW, Y_NEW, relearn=False))


@FIRST
def test_corrections_follow_each_other_in_any_order(tmp_path, durable):
    sisa = make_sisa(SGD, 2, tmp_path if durable else None).fit(X, y)
    sisa.amend(ROWS[:2], X_NEW[2:], Y_NEW[2:]).amend(ROWS[2:], X_NEW[2:], Y_NEW[2:])
    if durable:
        sisa = SISAClassifier.load(tmp_path)
    sisa.amend(ROWS[1::-1], X_NEW[1::-1], Y_NEW[1::-1], relearn=False).relearn()
    assert digests(sisa) == digests(make_sisa(SGD, 2).fit(*corrected()))


@FIRST
def test_weights_and_people_stay(tmp_path, durable):
    weight, people = rng.random(60), np.arange(60) // 2
    fit = {"sample_weight": weight, "subjects": people}
    sisa = make_sisa(SGD, 2, tmp_path if durable else None).fit(X, y, **fit)
    sisa.amend(ROWS, X_NEW, Y_NEW)
    X_good, y_good = corrected()
    expected = make_sisa(SGD, 2).fit(X_good, y_good, **fit)
    assert digests(sisa) == digests(expected)
    sisa.forget(subjects=20)
    assert list(sisa.forgotten_) == [40, 41]
    assert digests(sisa) == digests(expected.forget(subjects=20))


def test_a_correction_is_in_the_log_and_in_the_report(tmp_path):
    sisa = make_sisa(SGD, 2, tmp_path).fit(X, y).forget(5)
    sisa.amend(ROWS, X_NEW, Y_NEW)
    report = sisa.forgetting_report()
    log = report.to_frame()
    entry = log[log["kind"] == "amend"].iloc[0]
    assert (entry["n_amended"], entry["n_forgotten"], entry["n_rows"]) == (4, 0, 59)
    assert len(set(entry["rows"])) == 4
    assert set(entry["shards"]) == set(sisa.plan_.shard_of(np.array(ROWS)))
    said = report.statements()["requests"]
    assert "1 request erased 1 row." in said
    assert "1 request corrected 4 rows" in said
    assert not report.is_complete
    assert sisa.forgetting_report(sisa.verify_forgotten()).is_complete
    assert sisa.verify_forgotten([41]).shards == (sisa.plan_.shards[41],)
    assert [report.rows for report in SISAClassifier.load(tmp_path).forget_log_] == [
        (5,)
    ]


class Watched(GaussianNB):
    """Lets others act while it is trained."""

    meanwhile: ClassVar = []

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        if self.meanwhile:
            self.meanwhile.pop()()
        return super().partial_fit(X, y, classes, sample_weight)


def test_a_member_that_trained_on_what_was_corrected_meanwhile_does_not_count(tmp_path):
    sisa = make_sisa(Watched(), 2, tmp_path).fit(X, y)
    other = SISAClassifier.load(tmp_path)
    Watched.meanwhile.append(lambda: other.amend(ROWS, X_NEW, Y_NEW, relearn=False))
    # A row of the same shard, so that it trains on rows that change.
    row = np.flatnonzero(sisa.plan_.shards == sisa.plan_.shards[3])[-1]
    sisa.forget(row).relearn()
    expected = make_sisa(Watched(), 2).fit(*corrected()).forget(row)
    assert digests(sisa) == digests(expected)


class Refusing(GaussianNB):
    refuses = False

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        if Refusing.refuses:
            raise ValueError("refused")
        return super().partial_fit(X, y, classes, sample_weight)


def test_no_training_error_keeps_wrong_values(monkeypatch):
    sisa = make_sisa(Refusing(), 2).fit(X, y)
    monkeypatch.setattr(Refusing, "refuses", True)
    with pytest.warns(UntrainedShardWarning):
        sisa.amend(ROWS, X_NEW, Y_NEW)
    monkeypatch.setattr(Refusing, "refuses", False)
    assert len(sisa.behind_)
    X_good, y_good = corrected()
    assert digests(sisa.relearn()) == digests(
        make_sisa(Refusing(), 2).fit(X_good, y_good)
    )


@pytest.mark.parametrize(
    ("rows", "X_given", "y_given", "message"),
    [
        (60, X[:1], ["no"], "Row 60 is unknown: rows 0 to 59"),
        (-1, X[:1], ["no"], "Row -1 is unknown"),
        (7, X[:1], ["no"], "Row 7 was forgotten"),
        ([3, 3], X[:2], ["no", "no"], "Row 3 is named more than once"),
        ([3, 4], X[:1], ["no"], "2 indices and 1 rows of X"),
        ([3.0], X[:1], ["no"], "list of integers, got float64"),
        ([True] * 60, X, y, "list of integers, got bool"),
        (3, X[:1], ["maybe"], "'maybe', but the classes are"),
        (3, X[:1, :2], ["no"], "2 features"),
        (3, X[:1].tolist(), ["no", "no"], "inconsistent numbers of samples"),
        (3, pd.DataFrame(X[:1]), ["no"], "is a DataFrame"),
        (3, X[:1], [None], "contains NaN or None"),
    ],
)
def test_bad_corrections_change_nothing(rows, X_given, y_given, message):
    sisa = make_sisa(SGD, 2).fit(X, y).forget(7)
    before = pickle.dumps(sisa)
    with pytest.raises(ValueError, match=message):
        sisa.amend(rows, X_given, y_given)
    assert pickle.dumps(sisa) == before
    with pytest.raises(NotFittedError):
        make_sisa(SGD, 2).amend(3, X[:1], ["no"])
