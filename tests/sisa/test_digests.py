import copy
import os
import pickle
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

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


def test_measured_durations_do_not_count():
    assert digest({"loss": 1.0, "dur": 3.2}) == digest({"loss": 1.0, "dur": 9.9})
    assert digest({"survival_time": 1.0}) != digest({"survival_time": 2.0})


def test_types_shapes_and_signs_count():
    distinct = [
        1, 1.0, True, "1", b"1", np.float32(1), np.float64(1), np.array([1]),
        np.array([[1]]), np.array(1.0), -0.0, 0.0, None, (1,), [1], {1}, {1: 1},
        np.array(["1"]), np.array([1], dtype=object), LogisticRegression(),
    ]  # fmt: skip
    assert len({digest(value) for value in distinct}) == len(distinct)


_PRINT_DIGESTS = """
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
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


def test_functions_of_numpy_and_what_is_made_of_them_are_told_by_name():
    assert digest({"f": np.sqrt}) == digest({"f": copy.deepcopy(np.sqrt)})
    assert digest(np.sqrt) != digest(np.square)
    assert digest(partial(np.power, 2)) != digest(partial(np.power, 3))
