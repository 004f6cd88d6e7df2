import copy
import os
import pickle
import subprocess
import sys
import threading
import time
from collections import Counter, OrderedDict
from functools import partial
from types import MappingProxyType

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.sisa._digests import digest

X, y = make_classification(n_samples=60, random_state=0)

LEARNERS = [
    SGDClassifier(random_state=0),
    MLPClassifier((4,), max_iter=3, random_state=0),
    RandomForestClassifier(3, random_state=0),
    HistGradientBoostingClassifier(max_iter=2, random_state=0),
    SVC(),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("learner", LEARNERS, ids=lambda e: type(e).__name__)
def test_copies_and_pickles_agree_while_another_training_differs(learner):
    fitted = copy.deepcopy(learner).fit(X, y)
    assert digest(fitted) == digest(copy.deepcopy(learner).fit(X, y))
    assert digest(fitted) == digest(pickle.loads(pickle.dumps(fitted)))
    assert digest(fitted) == digest(copy.deepcopy(fitted))
    assert digest(fitted) != digest(copy.deepcopy(learner).fit(X[1:], y[1:]))


def test_one_bit_of_one_weight_changes_the_digest():
    fitted = LogisticRegression().fit(X, y)
    before = digest(fitted)
    fitted.coef_.view(np.uint64)[0, 3] ^= np.uint64(1)
    assert digest(fitted) != before


def test_optimizer_state_counts():
    learner = MLPClassifier((4,), random_state=0).partial_fit(X, y, classes=[0, 1])
    before = digest(learner)
    learner._optimizer.t += 1
    assert digest(learner) != before


def test_sparse_text_pipelines_are_told_apart_by_their_vocabulary():
    texts = ["a cat", "a dog", "the cat"]
    one = make_pipeline(TfidfVectorizer(), SGDClassifier(random_state=0))
    same, other = copy.deepcopy(one), copy.deepcopy(one)
    one.fit(texts, [0, 1, 0])
    assert digest(one) == digest(same.fit(texts, [0, 1, 0]))
    assert digest(one) != digest(other.fit(["a cat", "a dog", "the cow"], [0, 1, 0]))
    matrix = sparse.csr_matrix(X)
    assert digest(matrix) == digest(matrix.copy())


def test_shared_and_copied_parts_are_equal():
    part = np.arange(3)
    assert digest([part, part]) == digest([part, part.copy()])


def test_cycles_end():
    loop = [1]
    loop.append(loop)
    other = [2]
    other.append(other)
    assert digest(loop) != digest(other)


NAMES_OF_CLOCKS = [
    "dur", "epoch_start_time_", "refit_time_", "mean_fit_time", "std_fit_time",
    "mean_score_time", "std_score_time", "_stop_words_id", "model_guid",
    "train_finish_time", "cv_results_",
]  # fmt: skip


def history(*epochs, kind=None):
    kind = kind or pytest.importorskip("skorch.history").History
    rows = kind()
    for epoch in epochs:
        rows.new_epoch()
        for name, value in epoch.items():
            rows.record(name, value)
    return rows


def test_measured_durations_do_not_count():
    first = history({"loss": 1.0, "dur": 3.2})
    assert digest(first) == digest(history({"loss": 1.0, "dur": 9.9}))
    assert digest({"survival_time": 1.0}) != digest({"survival_time": 2.0})
    # Nets keep a history among their attributes, and pickle it.
    assert digest({"h": first}) == digest({"h": history({"loss": 1.0, "dur": 0.0})})
    assert digest(first) == digest(pickle.loads(pickle.dumps(first)))


def test_a_history_counts_but_for_its_clock():
    first = history({"loss": 1.0, "dur": 3.2})
    assert digest(first) != digest(history({"loss": 2.0, "dur": 3.2}))
    assert digest(first) != digest(history({"loss": 1.0}, {"loss": 1.0}))
    batch = history({"loss": 1.0, "dur": 3.2})
    batch.new_batch()
    batch.record_batch("dur", 1)
    other = copy.deepcopy(batch)
    other.record_batch("dur", 2)
    assert len({digest(first), digest(batch), digest(other)}) == 3
    rows = [dict(row) for row in first]
    assert digest(rows) != digest([{**rows[0], "dur": 0.0}])


def test_what_a_callback_that_watches_keeps_does_not_count():
    callbacks = pytest.importorskip("skorch.callbacks")

    class Timer(callbacks.EpochTimer):
        pass

    class Diary(callbacks.Callback):
        fairsisa_role = "watches"

        def on_epoch_end(self, net, **kwargs):
            self.seconds_ = 1.0

    class Halving(Diary):
        fairsisa_role = "scheduled"

    for kind in (callbacks.EpochTimer, Timer, Diary, Halving, callbacks.Freezer):
        one, other = (kind("*") if kind is callbacks.Freezer else kind() for _ in "ab")
        assert digest(one) == digest(other)
        other.seconds_ = 2.0
        watches = kind not in (Halving, callbacks.Freezer)
        assert (digest(one) == digest(other)) == watches


class Learner(BaseEstimator):
    """Learnt something that has the name of a clock."""


class Plain:
    """No estimator."""


@pytest.mark.parametrize("name", NAMES_OF_CLOCKS)
def test_no_key_or_attribute_is_left_out_by_its_name(name):
    for wrap in (dict, OrderedDict, Counter, MappingProxyType):
        assert digest(wrap({name: 0, "a": 1})) != digest(wrap({name: 1, "a": 1}))
        assert digest(wrap({name: 0, "a": 1})) != digest(wrap({"a": 1}))
    assert digest({np.str_(name): 0}) != digest({np.str_(name): 1})
    assert digest([{"deep": ({name: 0},)}]) != digest([{"deep": ({name: 1},)}])
    for kind in (Learner, Plain, LogisticRegression):
        one, other = kind(), kind()
        vars(one).update({name: 0})
        vars(other).update({name: 1})
        assert digest(one) != digest(other)


@pytest.mark.parametrize("word", NAMES_OF_CLOCKS)
@pytest.mark.parametrize("kind", [CountVectorizer, TfidfVectorizer])
def test_every_word_of_a_vocabulary_counts(word, kind):
    vectorizer = kind(token_pattern=r"\w+").fit([f"{word} other words"])
    changed = copy.deepcopy(vectorizer)
    changed.vocabulary_[word] += 1
    assert digest(vectorizer) != digest(changed)
    fixed = kind(vocabulary={word: 0, "other": 1})
    assert digest(fixed) != digest(kind(vocabulary={word: 1, "other": 0}))


@pytest.mark.parametrize("name", NAMES_OF_CLOCKS)
def test_every_feature_and_category_counts(name):
    one = DictVectorizer().fit([{name: 1.0, "a": 2.0}])
    other = DictVectorizer().fit([{name: 1.0, "a": 2.0}])
    other.vocabulary_ = {name: 0, "a": 1}
    one.vocabulary_ = {name: 1, "a": 0}
    assert digest(one) != digest(other)
    left = LogisticRegression(class_weight={name: 1, "a": 2})
    assert digest(left) != digest(LogisticRegression(class_weight={name: 2, "a": 2}))


class OwnSearch(GridSearchCV):
    pass


SEARCHES = [
    GridSearchCV(LogisticRegression(), {"C": [1, 2]}, cv=2),
    OwnSearch(LogisticRegression(), {"C": [1, 2]}, cv=2),
    RandomizedSearchCV(LogisticRegression(), {"C": [1, 2]}, n_iter=2, random_state=0),
]


@pytest.mark.parametrize("search", SEARCHES, ids=lambda s: type(s).__name__)
def test_searches_count_but_for_the_time_that_they_took(search):
    fitted = clone(search).fit(X, y)
    again = clone(search).fit(X, y)
    again.refit_time_ += 1
    for name in ("mean_fit_time", "std_fit_time", "mean_score_time", "std_score_time"):
        again.cv_results_[name] = again.cv_results_[name] + 1
    assert digest(fitted) == digest(again)
    assert digest(make_pipeline(fitted)) == digest(make_pipeline(again))
    again.cv_results_["mean_test_score"] = again.cv_results_["mean_test_score"] + 1
    assert digest(fitted) != digest(again)
    # Their best member may have learnt what a clock is called.
    other = copy.deepcopy(fitted)
    other.best_estimator_.refit_time_ = 3
    assert digest(fitted) != digest(other)


BOOSTERS = {
    "catboost": (
        "CatBoostClassifier",
        {
            "iterations": 4,
            "verbose": 0,
            "allow_writing_files": False,
            "thread_count": 1,
        },
    ),
    "lightgbm": ("LGBMClassifier", {"n_estimators": 4, "verbose": -1, "n_jobs": 1}),
    "xgboost": ("XGBClassifier", {"n_estimators": 4, "n_jobs": 1}),
}


def booster(library, **params):
    name, given = BOOSTERS[library]
    kind = getattr(pytest.importorskip(library), name)
    return kind(**given, random_state=0, **params)


@pytest.mark.parametrize("library", list(BOOSTERS))
@pytest.mark.parametrize("n_classes", [2, 3])
def test_boosters_that_learnt_the_same_agree_whatever_their_runs_are_called(
    library, n_classes
):
    labels = np.arange(len(X)) % n_classes
    fitted = booster(library).fit(X, labels)
    if library == "catboost":
        time.sleep(1.1)  # their runs are dated by the second
    again = booster(library).fit(X, labels)
    assert digest(fitted) == digest(again)
    assert digest(fitted) == digest(pickle.loads(pickle.dumps(again)))
    twice = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(again))))
    assert digest(fitted) == digest(twice)
    assert digest(make_pipeline(fitted)) == digest(make_pipeline(again))
    assert digest(fitted) != digest(booster(library).fit(X[1:], labels[1:]))
    assert digest(fitted) != digest(booster(library, max_depth=2).fit(X, labels))
    assert digest(booster(library)) == digest(booster(library))
    assert digest(booster(library)) != digest(fitted)


def test_a_digest_leaves_the_id_of_a_run_alone():
    fitted = booster("catboost").fit(X, y)
    before = fitted.get_metadata()["model_guid"]
    digest(fitted)
    assert fitted.get_metadata()["model_guid"] == before != ""


@pytest.mark.parametrize("library", list(BOOSTERS))
def test_an_ensemble_of_boosters_is_verified_after_forgetting(library, tmp_path):
    sisa = SISAClassifier(
        booster(library), n_shards=2, random_state=0, checkpoint_dir=tmp_path / "kept"
    ).fit(X, y)
    sisa.forget([0, 3])
    assert sisa.verify_forgotten()
    assert SISAClassifier.load(tmp_path / "kept").verify_forgotten()


def test_types_shapes_and_signs_count():
    distinct = [
        1, 1.0, True, "1", b"1", np.float32(1), np.float64(1), np.array([1]),
        np.array([[1]]), np.array(1.0), -0.0, 0.0, None, (1,), [1], {1}, {1: 1},
        np.array(["1"]), np.array([1], dtype=object), LogisticRegression(),
    ]  # fmt: skip
    assert len({digest(value) for value in distinct}) == len(distinct)


def test_what_is_masked_counts_and_what_lies_below_does_not():
    masked = np.ma.masked_array
    assert digest(masked([1, 2], [0, 1])) == digest(masked([1, 9], [0, 1]))
    found = [masked([1, 2], [0, 1]), masked([1, 2], [1, 0]), masked([1, 2], [0, 0])]
    found += [masked([3, 2], [0, 1]), np.array([1, 2])]
    assert len(set(map(digest, found))) == len(found)


def test_views_of_memory_count_by_what_they_show():
    first, second = np.arange(4.0), np.arange(1, 5.0)
    assert digest(memoryview(first)) == digest(memoryview(first.copy()))
    assert digest(memoryview(first)) != digest(memoryview(second))
    assert digest(bytearray(b"a")) != digest(bytearray(b"b"))


def test_what_cannot_be_stored_is_named():
    with pytest.raises(TypeError, match=r"_thread.lock, whose state .*__getstate__"):
        digest([threading.Lock()])


def test_tensors_of_any_layout_count():
    torch = pytest.importorskip("torch")
    one = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    forms = [torch.Tensor.to_sparse, lambda t: (t * 1j).conj(), torch.Tensor.bfloat16]
    for form in forms:
        assert digest(form(one)) == digest(form(one.clone()))
        assert digest(form(one)) != digest(form(2 * one))
    forms += [torch.clone, lambda t: t.to("meta")]
    assert len({digest(form(one)) for form in forms}) == len(forms)


def test_types_and_shapes_of_tensors_count():
    torch = pytest.importorskip("torch")
    zeros = torch.zeros(4, dtype=torch.int32)
    distinct = [
        zeros, zeros.view(2, 2), zeros.view(torch.float32), zeros.view(torch.int16),
        zeros.view(torch.bfloat16), torch.zeros(4, dtype=torch.int64), zeros.numpy(),
        torch.zeros(0), torch.zeros(0, 3),
    ]  # fmt: skip
    assert len({digest(value) for value in distinct}) == len(distinct)


_PRINT_DIGESTS = """
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.sisa._digests import digest

texts = ["to be or not", "to be is to do", "do be do", "nothing is nothing"]
for words in (HashingVectorizer(), TfidfVectorizer(stop_words=["or", "not"])):
    pipeline = make_pipeline(words, SGDClassifier(random_state=0))
    print(digest(pipeline.fit(texts, [0, 1, 0, 1])))
"""


def test_digests_agree_between_processes(capsys):
    elsewhere = subprocess.run(
        [sys.executable, "-c", _PRINT_DIGESTS],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    exec(_PRINT_DIGESTS, {})
    assert capsys.readouterr().out == elsewhere


def test_the_address_of_stop_words_does_not_count():
    fitted = TfidfVectorizer().fit(["to be or not", "to be"])
    moved = copy.deepcopy(fitted)
    moved._stop_words_id += 64
    assert digest(moved) == digest(fitted)
    assert digest(make_pipeline(moved)) == digest(make_pipeline(fitted))


def test_functions_of_numpy_and_what_is_made_of_them_are_told_by_name():
    assert digest({"f": np.sqrt}) == digest({"f": copy.deepcopy(np.sqrt)})
    assert digest(np.sqrt) != digest(np.square)
    assert digest(partial(np.power, 2)) != digest(partial(np.power, 3))


def test_what_a_function_carries_counts():
    def weighing(weights):
        return lambda Z: Z @ weights

    ones, zeros = np.ones(2), np.zeros(2)
    assert digest(weighing(ones)) == digest(weighing(ones.copy()))
    assert digest(weighing(ones)) != digest(weighing(zeros))
    bound = [LogisticRegression(C=c).fit for c in (1.0, 1.0, 2.0)]
    assert digest(bound[0]) == digest(bound[1]) != digest(bound[2])
