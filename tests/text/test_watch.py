"""Watched texts are scored after each epoch, and never steer the training."""

import math
import pickle
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from tiny import sentences, tiny_bert

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.sisa import check_forgettable
from sklearn_fairsisa.text import TransformerClassifier

TEXTS, Y = sentences(60)
OTHERS = sentences(23, seed=1)
GONE = [0, 7, 11, 39, 58]


def classifier(**params):
    params = {"max_epochs": 2, "lr": 1e-2} | params
    return TransformerClassifier(
        tiny_bert(), batch_size=8, device="cpu", random_state=0, **params
    )


def make_sisa(learner=None, **params):
    params = {"n_shards": 2, "n_slices": 2, "epochs": 3, "random_state": 0} | params
    return SISAClassifier(learner or classifier(watch=0.3), **params)


def weights(clf):
    clf = getattr(clf, "steps", [(None, clf)])[-1][1]
    state = clf.net_.module_.state_dict()
    return np.concatenate([value.numpy().ravel() for value in state.values()])


def histories(sisa):
    members = [getattr(m, "steps", [(None, m)])[-1][1] for m in sisa.estimators_]
    return [member.history_ for member in members]


def assert_same_members(one, other):
    for mine, theirs in zip(one.estimators_, other.estimators_):
        np.testing.assert_array_equal(weights(mine), weights(theirs))
    assert histories(one) == histories(other)


def test_other_texts_change_no_weight_and_no_later_draw():
    plain, watching = classifier(), classifier(watch=OTHERS)
    for _ in range(2):
        plain.partial_fit(TEXTS, Y)
        watching.partial_fit(TEXTS, Y)
        np.testing.assert_array_equal(weights(plain), weights(watching))
    assert [row["train_loss"] for row in plain.history_] == [
        row["train_loss"] for row in watching.history_
    ]
    assert plain.history_[0].keys() == {"epoch", "train_loss", "rows"}


@pytest.mark.parametrize("class_weight", [None, {"dry": 3.0, "wet": 0.5}])
def test_scores_are_those_of_the_classifier_at_the_end_of_the_epoch(class_weight):
    names = np.array(["dry", "wet"])
    y = names[OTHERS[1]]
    clf = classifier(watch=(pd.Series(OTHERS[0]), y), class_weight=class_weight)
    for _ in range(2):
        kept = clf.set_params(max_epochs=1).partial_fit(TEXTS, names[Y]).history_[-1]
        weight = [(class_weight or {}).get(label, 1) for label in y]
        proba, decided = clf.predict_proba(OTHERS[0]), clf.predict(OTHERS[0])
        assert kept["watched_loss"] == pytest.approx(
            log_loss(y, proba, sample_weight=weight), rel=1e-5
        )
        assert kept["watched_accuracy"] == pytest.approx(accuracy_score(y, decided))
        assert kept["watched_balanced_accuracy"] == pytest.approx(
            balanced_accuracy_score(y, decided)
        )
        assert kept["watched_rows"] == 23


def test_a_share_is_held_out_from_training():
    clf = classifier(watch=0.25).fit(TEXTS, Y)
    assert clf.history_[-1]["rows"] == 45
    assert clf.history_[-1]["watched_rows"] == 15
    # Whatever the held-out rows say, the training is the same.
    mask = np.zeros(60, dtype=bool)
    mask[:20] = True
    texts = ["something else", *TEXTS[1:]]
    one = classifier().fit(TEXTS, Y, watched=mask)
    other = classifier(watch=0.5).fit(texts, Y, watched=mask)
    np.testing.assert_array_equal(weights(one), weights(other))
    assert one.history_ != other.history_
    np.testing.assert_array_equal(
        weights(one), weights(classifier().fit(TEXTS[20:], Y[20:]))
    )


def test_a_share_holds_the_same_rows_out_in_every_call():
    clf = classifier(watch=0.25, max_epochs=1, scheduler_epochs=3)
    for _ in range(3):
        clf = pickle.loads(pickle.dumps(clf.partial_fit(TEXTS, Y)))
    whole = classifier(watch=0.25, max_epochs=3).fit(TEXTS, Y)
    assert clf.history_ == whole.history_
    np.testing.assert_array_equal(weights(clf), weights(whole))


SUBJECTS = [f"person {i % 25}" for i in range(60)]


@pytest.mark.parametrize("subjects", [None, SUBJECTS])
@pytest.mark.parametrize("in_pipeline", [False, True])
@pytest.mark.parametrize("params", [{}, {"n_slices": 1, "epochs": None}])
def test_what_a_forgotten_text_said_has_no_influence(params, subjects, in_pipeline):
    learner = classifier(watch=0.3)
    if in_pipeline:
        learner = make_pipeline(FunctionTransformer(), learner)
    texts, labels = list(TEXTS), Y.copy()
    for row in GONE:
        texts[row], labels[row] = "quite another text", 1 - Y[row]
    one = make_sisa(learner, **params).fit(TEXTS, Y, subjects=subjects)
    other = make_sisa(learner, **params).fit(texts, labels, subjects=subjects)
    assert histories(one) != histories(other)
    one.forget(GONE)
    other.forget(GONE)
    assert_same_members(one, other)
    assert one.verify_forgotten()


def roles(sisa):
    """Number of trained and watched rows of each member's last epoch."""
    return [(h[-1]["rows"], h[-1]["watched_rows"]) for h in histories(sisa)]


def test_a_row_keeps_its_role_whatever_is_forgotten():
    sisa = make_sisa(n_slices=1).fit(TEXTS, Y)
    before = roles(sisa)
    assert all(min(counts) > 0 for counts in before)
    for row in range(0, 60, 12):
        sisa.forget([row])
        after = roles(sisa)
        # One count of one member falls by one, so no other row changed its role.
        lost = np.subtract(before, after)
        assert sorted(lost.ravel()) == [0, 0, 0, 1]
        assert lost[sisa.plan_.shard_of(row)].sum() == 1
        before = after


def test_all_rows_of_a_subject_have_one_role():
    ids = [f"person {i // 6}" for i in range(60)]
    sisa = make_sisa(n_slices=1).fit(TEXTS, Y, subjects=ids)
    assert all(count % 6 == 0 for counts in roles(sisa) for count in counts)


def test_a_stage_whose_rows_are_all_watched_trains_nothing():
    sisa = make_sisa(classifier(watch=0.9), n_slices=5).fit(TEXTS, Y)
    assert sisa.predict_proba(TEXTS).shape == (60, 2)
    assert all(trained > 0 for trained, _ in roles(sisa))
    sisa.forget(range(30))
    assert sisa.verify_forgotten()


def test_scores_of_no_text_are_not_numbers():
    clf = classifier(watch=0.3).fit(TEXTS, Y, watched=np.zeros(60, dtype=bool))
    assert clf.history_[-1]["watched_rows"] == 0
    assert math.isnan(clf.history_[-1]["watched_loss"])


def test_new_rows_get_roles_too_and_processes_agree():
    sisa = make_sisa().fit(TEXTS[:40], Y[:40]).partial_fit(TEXTS[40:], Y[40:])
    assert sum(map(sum, roles(sisa))) == 60
    assert sisa.forget([3, 45]).verify_forgotten()
    together = make_sisa(n_jobs=2).fit(TEXTS[:40], Y[:40])
    assert_same_members(make_sisa().fit(TEXTS[:40], Y[:40]), together)


def test_an_ensemble_refuses_texts_that_it_could_not_forget():
    for learner in (
        classifier(watch=OTHERS),
        make_pipeline(FunctionTransformer(), classifier(watch=OTHERS)),
    ):
        with pytest.raises(ValueError, match=r"watch=\(X, y\) has rows.*watch=0.1"):
            make_sisa(learner).fit(TEXTS, Y)
        assert "watch=(X, y)" in str(check_forgettable(make_sisa(learner)).leaks)


@pytest.mark.parametrize(
    ("watch", "error", "message"),
    [
        (0.0, ValueError, "'watch' parameter .* Got 0.0"),
        (1, ValueError, "'watch' parameter .* Got 1"),
        (True, ValueError, "'watch' parameter .* Got True"),
        ([TEXTS, Y], ValueError, "'watch' parameter"),
        ((TEXTS,), ValueError, "watch is a tuple of 1 values. Give two"),
        ((TEXTS, Y[1:]), ValueError, r"watch has 60 texts and labels of shape \(59,\)"),
        ((["a"], [7]), ValueError, r"labels \[7\].* among the classes \[0, 1\]"),
        ((["a"], ["0"]), ValueError, r"labels \['0'\]"),
        (([3], [0]), TypeError, r"watch=\(X, y\) .* position 0 is not a text"),
        ((None, None), TypeError, r"watch=\(X, y\) cannot be used: X is a NoneType"),
        ((["a"], None), ValueError, r"watch=\(X, y\) cannot be used"),
        (([], []), ValueError, r"watch=\(X, y\) cannot be used: X holds no text"),
        ({"X": TEXTS, "y": Y}, ValueError, "'watch' parameter is a dict"),
        ("0.1", ValueError, "'watch' parameter is a str"),
        (Fraction(3, 2), ValueError, r"'watch' parameter .* Got Fraction\(3, 2\)"),
    ],
)
def test_bad_values_are_refused_before_anything_changes(watch, error, message):
    clf = classifier(max_epochs=1).fit(TEXTS, Y)
    before = weights(clf)
    with pytest.raises(error, match=message):
        clf.set_params(watch=watch).partial_fit(TEXTS, Y)
    np.testing.assert_array_equal(weights(clf), before)


@pytest.mark.parametrize(
    ("watch", "message"),
    [
        (1.0, "'watch' parameter .* Got 1.0"),
        (2, "'watch' parameter .* Got 2"),
        (True, "'watch' parameter .* Got True"),
        (1 - 1e-9, "all are watched or weigh nothing"),
    ],
)
def test_an_ensemble_that_would_watch_all_rows_is_refused(watch, message):
    with pytest.raises(ValueError, match=message):
        make_sisa(classifier(watch=watch)).fit(TEXTS, Y)


@pytest.mark.parametrize(
    ("params", "watched", "message"),
    [
        ({}, np.ones(60, dtype=bool), "All 60 rows are watched"),
        ({}, np.zeros(59, dtype=bool), r"shape \(59,\).*each of the 60 rows"),
        ({}, np.arange(60), "type int"),
        ({"watch": OTHERS}, np.zeros(60, dtype=bool), "Give only one of them"),
    ],
)
def test_bad_masks_are_refused(params, watched, message):
    with pytest.raises(ValueError, match=message):
        classifier(**params).fit(TEXTS, Y, watched=watched)


def test_a_single_row_cannot_be_both_trained_on_and_watched():
    with pytest.raises(ValueError, match="All 1 rows are watched"):
        classifier(watch=0.5).fit(TEXTS[:1], Y[:1])
