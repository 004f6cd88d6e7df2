"""Callbacks of a TransformerClassifier watch or act by a schedule, or are refused."""

import pickle

import numpy as np
import pytest
import torch
from skorch import callbacks as cb
from tiny import sentences, tiny_bert

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.sisa import check_forgettable
from sklearn_fairsisa.text import TransformerClassifier

TEXTS, Y = sentences(40)
GONE = [0, 11, 39]


def classifier(*callbacks, **params):
    params = {"max_epochs": 2, "watch": 0.3} | params
    return TransformerClassifier(
        tiny_bert(),
        batch_size=8,
        lr=1e-2,
        device="cpu",
        random_state=0,
        callbacks=list(callbacks),
        **params,
    )


def weights(clf):
    state = clf.net_.module_.state_dict()
    return np.concatenate([value.numpy().ravel() for value in state.values()])


WATCHING = {
    "epoch scores": [cb.EpochScoring("f1", on_train=True, use_caching=False)],
    "watched scores": [cb.EpochScoring("accuracy", lower_is_better=False)],
    "batch scores": [cb.BatchScoring("accuracy", on_train=True)],
    "bar": [cb.ProgressBar()],
}
ACTING = {
    "clipping": [cb.GradientNormClipping(0.01)],
    "freezing": [cb.Freezer("bert.*", at=2), cb.Unfreezer("bert.*", at=3)],
    "drawing": [cb.Initializer("classifier*", fn=torch.nn.init.zeros_, at=2)],
}


@pytest.mark.parametrize("name", [*WATCHING, *ACTING])
def test_what_a_forgotten_text_said_has_no_influence(name):
    learner = classifier(*(WATCHING | ACTING)[name])
    texts, labels = list(TEXTS), Y.copy()
    for row in GONE:
        texts[row], labels[row] = "quite another text", 1 - Y[row]
    params = {"n_shards": 2, "n_slices": 2, "epochs": 3, "random_state": 0}
    one = SISAClassifier(learner, **params).fit(TEXTS, Y).forget(GONE)
    other = SISAClassifier(learner, **params).fit(texts, labels).forget(GONE)
    for mine, theirs in zip(one.estimators_, other.estimators_):
        np.testing.assert_array_equal(weights(mine), weights(theirs))
        assert mine.history_ == theirs.history_
    assert one.verify_forgotten()


@pytest.mark.parametrize("name", [*WATCHING, *ACTING])
def test_a_training_that_watches_is_the_same_as_without(name):
    plain = classifier().fit(TEXTS, Y)
    clf = classifier(*(WATCHING | ACTING)[name]).fit(TEXTS, Y)
    assert np.array_equal(weights(clf), weights(plain)) == (name in WATCHING)


@pytest.mark.parametrize("name", [*ACTING])
def test_schedules_count_epochs_across_pickles(name):
    callbacks = ACTING[name]
    params = {"max_epochs": 1, "scheduler_epochs": 3}
    going, resumed = (classifier(*callbacks, **params) for _ in range(2))
    for _ in range(3):
        going.partial_fit(TEXTS, Y)
        resumed = pickle.loads(pickle.dumps(resumed.partial_fit(TEXTS, Y)))
    whole = classifier(*callbacks, max_epochs=3, scheduler_epochs=3).fit(TEXTS, Y)
    np.testing.assert_array_equal(weights(going), weights(whole))
    np.testing.assert_array_equal(weights(resumed), weights(whole))
    assert going.history_ == resumed.history_ == whole.history_


def test_scores_of_callbacks_are_those_of_the_texts_they_name():
    callbacks = [
        cb.EpochScoring("accuracy", on_train=True, name="on_train"),
        cb.BatchScoring("accuracy", on_train=True, name="by_batch"),
        cb.EpochScoring("balanced_accuracy", name="on_watched"),
        cb.EpochScoring("neg_log_loss", name="log_loss"),
    ]
    params = {"max_epochs": 3, "watch": (TEXTS[:9], Y[:9])}
    # Without dropout and steps, the scores in training are those of prediction.
    still = tiny_bert(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    clf = classifier(*callbacks, **params).set_params(model=still, lr=0.0)
    clf.fit(TEXTS, Y)
    (row,) = clf.net_.history[-1:]
    assert row["on_train"] == pytest.approx(clf.score(TEXTS, Y))
    assert row["by_batch"] == pytest.approx(clf.score(TEXTS, Y))
    kept = clf.history_[-1]
    assert row["on_watched"] == pytest.approx(kept["watched_balanced_accuracy"])
    assert -row["log_loss"] == pytest.approx(kept["watched_loss"], rel=1e-6)


def test_a_callback_never_reaches_weights_that_members_share():
    drawing = cb.Initializer("*", fn=torch.nn.init.zeros_)
    params = {"freeze": "embeddings", "max_epochs": 1}
    clf = classifier(drawing, **params).fit(TEXTS, Y)
    shared = "bert.embeddings.word_embeddings.weight"
    assert clf.net_.module_.get_parameter(shared).any()


def test_two_callbacks_see_the_gradients():
    seen = []

    class Sees(cb.Callback):
        fairsisa_role = "watches"

        def on_grad_computed(self, net, named_parameters, **kwargs):
            seen.append(len([name for name, _ in named_parameters]))

    classifier(Sees(), Sees(), max_epochs=1).fit(TEXTS, Y)
    assert len(set(seen)) == 1
    assert seen[0] > 10


class Undeclared(cb.Callback):
    pass


class Acts(cb.Callback):
    def on_train_begin(self, net, **kwargs):
        net.load_params("old.pt")


@pytest.mark.parametrize(
    ("callback", "why"),
    [
        (cb.EarlyStopping(), "stops by the scores of rows.*Choose the number of pass"),
        (("stop", cb.EarlyStopping), "stops by the scores"),
        (cb.LoadInitState(cb.Checkpoint()), "may have learnt from forgotten rows"),
        (cb.Checkpoint(), "writes weights to files"),
        (cb.LRScheduler("StepLR", step_size=1), "Choose scheduler= and warmup="),
        (cb.LRScheduler("ReduceLROnPlateau"), "steers the learning rate"),
        (cb.InputShapeSetter(), "texts have no columns"),
        (Acts(), "Acts, which does not state what it does"),
    ],
)
def test_others_are_refused_before_training(callback, why):
    clf = classifier(callback)
    for estimator in (clf, SISAClassifier(clf, n_shards=2)):
        with pytest.raises(ValueError, match=f"callbacks has .*{why}"):
            estimator.fit(TEXTS, Y)
        assert not hasattr(estimator, "classes_")


def test_a_class_that_defines_nothing_needs_no_role():
    assert classifier(Undeclared(), max_epochs=0).fit(TEXTS, Y)


def test_check_forgettable_names_what_fit_refuses():
    found = check_forgettable(SISAClassifier(classifier(Acts())))
    assert "Callback Acts does not state" in str(found.leaks)
