"""Forgetting gives the very bits that training without the rows gives."""

import copy
import pickle

import numpy as np
import pytest
from held import checkpoints, digests
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.sisa._digests import digest

torch = pytest.importorskip("torch")
skorch = pytest.importorskip("skorch")

X, y = make_classification(
    n_samples=103, n_features=6, n_informative=4, n_classes=3, random_state=0
)
TEXTS = [f"{'good' if i % 2 else 'bad'} day number {i % 7}" for i in range(60)]


class Net(torch.nn.Module):
    def __init__(self, n_in=6, n_out=3):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(n_in, 8),
            torch.nn.ReLU(),
            torch.nn.Dropout(0.2),
            torch.nn.Linear(8, n_out),
        )

    def forward(self, X):
        return self.layers(X).softmax(dim=-1)


def make_net(**params):
    return skorch.NeuralNetClassifier(
        Net, optimizer=torch.optim.Adam, batch_size=16, iterator_train__shuffle=True,
        verbose=0, **params,
    )  # fmt: skip


LEARNERS = {
    "logistic": (LogisticRegression(C=1e-3), {"n_shards": 4}),
    "forest": (RandomForestClassifier(3), {"n_shards": 4}),
    "sgd": (SGDClassifier(loss="log_loss"), {"n_shards": 4, "n_slices": 3}),
    "sgd, uneven passes": (
        SGDClassifier(),
        {"n_shards": 3, "n_slices": 4, "epochs": 3},
    ),
    "mlp": (MLPClassifier((5,)), {"n_shards": 3, "n_slices": 2, "epochs": 3}),
    "naive Bayes": (GaussianNB(), {"n_shards": 3, "n_slices": 4}),
    "pipeline": (
        make_pipeline(StandardScaler(), SGDClassifier()),
        {"n_shards": 3, "n_slices": 3, "epochs": 4},
    ),
    "skorch net": (make_net(), {"n_shards": 3, "n_slices": 2, "epochs": 3}),
}
learners = pytest.mark.parametrize("name", LEARNERS)


def make_sisa(name, **params):
    estimator, more = LEARNERS[name]
    return SISAClassifier(clone(estimator), random_state=7, **more, **params)


@learners
def test_what_a_forgotten_row_held_has_no_influence(name):
    # An oracle that shares no code with the replay: rows of wild values in the same
    # places leave no trace once forgotten.
    gone = [0, 5, 17, 60, 102]
    wild, flipped = X.copy(), y.copy()
    wild[gone] = 50 * np.random.default_rng(1).normal(size=wild[gone].shape)
    flipped[gone] = (flipped[gone] + 1) % 3
    one = make_sisa(name).fit(X, y)
    other = make_sisa(name).fit(wild, flipped)
    assert digests(one) != digests(other)
    assert digests(one.forget(gone)) == digests(other.forget(gone))
    np.testing.assert_array_equal(one.transform(X), other.transform(X))


@learners
def test_forgetting_equals_training_without_the_rows(name):
    sisa = make_sisa(name).fit(X, y)
    assert sisa.forget([3, 4, 50]).verify_forgotten()
    last = sisa.plan_.rows(2, sisa.n_slices - 1)[-1]
    assert sisa.forget(last).verify_forgotten([last])


def documented_seed(seed, shard, stage, step):
    """Seed of a pass over a stage, as the page on the theory of unlearning has it."""
    key = np.random.SeedSequence(seed, spawn_key=(1, shard, stage, step))
    of_pass = int(key.generate_state(1)[0] >> 1)
    return int(np.random.default_rng(of_pass).integers(2**31 - 1, size=1)[0])


def test_members_equal_a_hand_written_loop_of_partial_fit():
    sisa = make_sisa("sgd", epochs=4).fit(X, y)
    gone = [1, 2, 3, 40, 41, 99]
    sisa.forget(gone)
    for shard, member in enumerate(sisa.estimators_):
        learner = SGDClassifier(loss="log_loss")
        seen = np.empty(0, dtype=int)
        for stage in range(3):
            seen = np.append(seen, np.setdiff1d(sisa.plan_.rows(shard, stage), gone))
            for step in range(2):
                learner.random_state = documented_seed(7, shard, stage, step)
                learner.partial_fit(X[seen], y[seen], classes=[0, 1, 2])
        np.testing.assert_array_equal(learner.coef_, member.coef_)
        np.testing.assert_array_equal(learner.intercept_, member.intercept_)
        assert learner.t_ == member.t_


def test_unsliced_members_equal_the_learners_own_fit():
    sisa = make_sisa("logistic").fit(X, y).forget([8, 9])
    for shard, member in enumerate(sisa.estimators_):
        rows = np.setdiff1d(sisa.plan_.rows(shard), [8, 9])
        expected = LogisticRegression(C=1e-3).fit(X[rows], y[rows])
        np.testing.assert_array_equal(expected.coef_, member.coef_)


@learners
def test_the_remainder_rows_of_the_last_slice_are_replayed(name):
    # 103 rows leave remainders; the reference implementation forgot to replay them.
    sisa = make_sisa(name).fit(X, y)
    for shard in range(sisa.n_shards):
        before = digests(sisa)[shard]
        row = sisa.plan_.rows(shard, sisa.n_slices - 1)[-1]
        sisa.forget(row)
        assert digests(sisa)[shard] != before
        assert sisa.forget_log_[-1].sample_visits > 0


@settings(max_examples=12, deadline=None)
@given(
    requests=st.lists(
        st.lists(st.integers(0, 102), min_size=1, max_size=12), min_size=1, max_size=4
    ),
    name=st.sampled_from(["sgd", "sgd, uneven passes", "naive Bayes", "pipeline"]),
)
def test_any_order_and_grouping_of_requests_ends_in_the_same_state(requests, name):
    fitted = make_sisa(name).fit(X, y)
    apart, at_once = copy.deepcopy(fitted), fitted
    for request in requests:
        apart.forget(request)
    everything = sorted({row for request in requests for row in request}, reverse=True)
    at_once.forget(everything)
    assert digests(apart) == digests(at_once)
    np.testing.assert_array_equal(apart.forgotten_, at_once.forgotten_)
    assert apart.verify_forgotten()


@pytest.mark.parametrize("name", ["mlp", "skorch net"])
def test_requests_in_any_order_agree_where_optimizers_have_state(name):
    one = make_sisa(name).fit(X, y)
    other = copy.deepcopy(one)
    assert digests(one.forget([5]).forget([80, 2])) == digests(
        other.forget([2]).forget([80]).forget([5])
    )


@learners
def test_parallel_training_gives_the_same_bits(name):
    alone = make_sisa(name).fit(X, y)
    together = make_sisa(name, n_jobs=2).fit(X, y)
    assert digests(alone) == digests(together)
    assert digests(alone.forget([0, 1, 2])) == digests(together.forget([0, 1, 2]))


@pytest.mark.parametrize("name", ["sgd", "skorch net", "mlp", "naive Bayes"])
def test_appended_rows_continue_and_can_be_forgotten(name):
    sisa = make_sisa(name).fit(X[:80], y[:80])
    stages = [stages[: sisa.n_slices] for stages in checkpoints(sisa)]
    before = [[digest(member) for member in shard] for shard in stages]
    sisa.partial_fit(X[80:], y[80:])
    after = [
        [digest(member) for member in shard[: sisa.n_slices]]
        for shard in checkpoints(sisa)
    ]
    assert before == after  # nothing already trained is retrained
    assert all(len(stages) == sisa.n_slices + 1 for stages in checkpoints(sisa))
    wild = X.copy()
    wild[[3, 90]] *= -50
    other = make_sisa(name).fit(wild[:80], y[:80]).partial_fit(wild[80:], y[80:])
    assert digests(sisa.forget([3, 90])) == digests(other.forget([3, 90]))
    assert sisa.verify_forgotten()


@learners
def test_pickled_ensembles_forget_alike(name):
    sisa = make_sisa(name).fit(X, y)
    copied = pickle.loads(pickle.dumps(sisa))
    assert digests(sisa.forget([9, 10])) == digests(copied.forget([9, 10]))


@pytest.mark.parametrize("vectorizer", [HashingVectorizer(n_features=64), None])
def test_texts_are_forgotten_with_the_vocabulary_they_taught(vectorizer):
    pipeline = make_pipeline(vectorizer or TfidfVectorizer(), SGDClassifier())
    labels = np.arange(60) % 2
    sisa = SISAClassifier(pipeline, n_shards=2, n_slices=3, epochs=2, random_state=0)
    texts = TEXTS.copy()
    row = None
    sisa.fit(texts, labels)
    for row in sisa.plan_.rows(1, 0)[:1]:
        texts[row] = "xylophone " + texts[row]
    sisa.fit(texts, labels).forget(row)
    assert sisa.verify_forgotten()
    assert b"xylophone" not in pickle.dumps(sisa)


@learners
def test_global_generators_are_left_alone(name):
    import random

    state = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    threads = torch.get_num_threads()
    make_sisa(name).fit(X, y).forget([1]).predict(X)
    assert random.getstate() == state[0]
    np.testing.assert_array_equal(np.random.get_state()[1], state[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), state[2])
    assert torch.get_num_threads() == threads


@learners
def test_a_seed_makes_everything_repeatable_and_another_changes_it(name):
    np.random.seed(0)  # noqa: NPY002
    one = make_sisa(name).fit(X, y)
    torch.manual_seed(5)
    np.random.seed(1)  # noqa: NPY002
    assert digests(one) == digests(make_sisa(name).fit(X, y))
    other = make_sisa(name).set_params(random_state=8).fit(X, y)
    assert digests(one) != digests(other)


def test_replays_of_accumulating_learners_change_nothing_by_slicing():
    sliced = make_sisa("naive Bayes").fit(X, y)
    for shard, member in enumerate(sliced.estimators_):
        rows = sliced.plan_.rows(shard)
        whole = GaussianNB().fit(X[rows], y[rows])
        np.testing.assert_allclose(member.theta_, whole.theta_)
        np.testing.assert_allclose(member.var_, whole.var_)
