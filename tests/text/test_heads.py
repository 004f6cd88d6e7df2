"""Heads trained together end in the bits of heads trained alone."""

import copy
import pickle
from itertools import pairwise

import numpy as np
import pytest
import torch
from held import digests
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.sisa._digests import digest
from sklearn_fairsisa.text import HeadClassifier

X, y = make_classification(
    n_samples=103, n_features=6, n_informative=4, n_classes=3, random_state=0
)
X = X.astype(np.float32)


def make_sisa(head=None, **params):
    head = HeadClassifier(together=3, batch_size=8) if head is None else head
    params = {"n_shards": 5, "n_slices": 2, "epochs": 3, "random_state": 0} | params
    return SISAClassifier(head, **params)


@st.composite
def companies(draw):
    """Draw heads with rows of their own, and the order in which they are given."""
    integers = st.integers
    n_places = draw(integers(2, 8))
    n_features, n_classes = draw(integers(1, 40)), draw(integers(2, 4))
    shape = {
        "hidden_layer_sizes": draw(st.lists(integers(1, 20), max_size=2)),
        "batch_size": draw(integers(1, 40)),
        "weight_decay": draw(st.sampled_from([0.0, 0.1])),
        "together": n_places,
    }
    rng = np.random.default_rng(draw(integers(0, 2**32)))
    heads, rows = [], []
    for _ in range(draw(integers(1, n_places))):
        n = draw(integers(1, 60))
        # Classes may be missing in one's rows, and weights may be zero.
        labels = rng.integers(draw(integers(1, n_classes)), size=n)
        weight = rng.integers(3, size=n) * rng.uniform(size=n)
        weight[0] = 1
        rows.append((rng.normal(size=(n, n_features)), labels, weight))
        epochs = draw(integers(1, 3))
        seed = draw(integers(0, 9))
        heads.append(HeadClassifier(**shape, max_epochs=epochs, random_state=seed))
    return heads, rows, np.arange(n_classes), draw(st.permutations(range(len(heads))))


@settings(max_examples=40, deadline=None)
@given(companies())
def test_company_and_place_change_no_bit(company):
    heads, rows, classes, order = company
    alone = [
        copy.deepcopy(head).partial_fit(X, y, classes, weight)
        for head, (X, y, weight) in zip(heads, rows)
    ]
    for _ in range(2):  # the second goes on from the first
        Xs, ys, weights = zip(*(rows[i] for i in order))
        HeadClassifier.partial_fit_together(
            [heads[i] for i in order], Xs, ys, classes, weights
        )
        assert [digest(head) for head in heads] == [digest(head) for head in alone]
        for head, (X, y, weight) in zip(alone, rows):
            head.partial_fit(X, y, sample_weight=weight)


def reference_loop(head, hidden, X, labels, weight, epochs):
    """Train by torch's own modules, optimizer and gradients, in double precision."""
    sizes = [X.shape[1], *hidden, len(np.unique(labels))]
    # Steps too short to be seen leave the first weights.
    start = clone(head).set_params(lr=1e-12).fit(X, labels)
    layers = []
    for (n_in, n_out), W, b in zip(pairwise(sizes), start.coefs_, start.intercepts_):
        layer = torch.nn.Linear(n_in, n_out)
        layer.weight.data = torch.tensor(W.T, dtype=torch.float32).contiguous()
        layer.bias.data = torch.tensor(b, dtype=torch.float32)
        layers += [layer, torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1]).double()
    weights = [p for p in model.parameters() if p.ndim == 2]
    biases = [p for p in model.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW(
        [
            {"params": weights, "weight_decay": head.weight_decay},
            {"params": biases, "weight_decay": 0.0},
        ],
        lr=head.lr,
    )
    X, labels, weight = map(torch.tensor, (X.astype(np.float64), labels, weight))
    kept = np.flatnonzero(weight)
    n_steps = 0
    for epoch in range(1, epochs + 1):
        order = np.random.default_rng([head.random_state, epoch]).permutation(kept)
        for first in range(0, len(order), head.batch_size):
            rows = order[first : first + head.batch_size]
            losses = torch.nn.functional.cross_entropy(
                model(X[rows]), labels[rows], reduction="none"
            )
            loss = (losses * weight[rows]).sum() / weight[rows].sum()
            for group in optimizer.param_groups:
                group["lr"] = head.lr / (1 + n_steps / 100)
            n_steps += 1
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return [p.detach().numpy() for p in model.parameters()]


@pytest.mark.parametrize("hidden", [(), (7,), (5, 4)])
def test_training_is_that_of_torchs_optimizer_and_gradients(hidden):
    weight = np.random.default_rng(0).integers(3, size=len(y)).astype(float)
    head = HeadClassifier(
        hidden, together=2, batch_size=10, max_epochs=4, weight_decay=0.1,
        random_state=3,
    )  # fmt: skip
    expected = reference_loop(head, hidden, X, y, weight, 4)
    head.partial_fit(X, y, sample_weight=weight)
    got = zip(head.coefs_, head.intercepts_)
    for found, wanted in zip((part.T for pair in got for part in pair), expected):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("hidden", [(), (5,)])
def test_two_halves_of_a_training_are_one(hidden):
    head = HeadClassifier(hidden, max_epochs=4, random_state=0)
    whole = clone(head).fit(X, y)
    halves = clone(head).set_params(max_epochs=2).fit(X, y)
    halves = pickle.loads(pickle.dumps(halves)).partial_fit(X, y)
    halves.set_params(max_epochs=4)
    assert digest(whole) == digest(halves)
    assert whole.n_iter_ == 4
    assert digest(whole) == digest(halves.fit(X, y))  # which starts anew


def test_class_weights_are_sample_weights():
    weight = np.array([1.0, 2.0, 0.5])
    head = HeadClassifier(random_state=0)
    by_row = clone(head).fit(X, y, sample_weight=weight[y])
    by_class = clone(head).set_params(class_weight=dict(enumerate(weight))).fit(X, y)
    np.testing.assert_array_equal(by_row.coefs_[0], by_class.coefs_[0])


def test_rows_that_weigh_nothing_leave_no_trace():
    weight = np.ones(len(y))
    weight[5:9] = 0
    wild = X.copy()
    wild[5:9] = 1e6
    head = HeadClassifier(random_state=0)
    one = clone(head).fit(X, y, sample_weight=weight)
    assert digest(one) == digest(clone(head).fit(wild, y, sample_weight=weight))
    with pytest.raises(ValueError, match="zero"):
        head.fit(X, y, sample_weight=np.zeros(len(y)))
    with pytest.raises(ValueError, match="All rows have zero weight"):
        head.set_params(class_weight=dict.fromkeys(range(3), 0.0)).fit(X, y)


def test_labels_may_be_words_and_scores_agree_with_decisions():
    words = np.array(["a", "b", "c"])[y]
    head = HeadClassifier((8,), max_epochs=60, random_state=0).fit(X, words)
    assert head.score(X, words) > 0.8
    proba = head.predict_proba(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_array_equal(head.classes_[proba.argmax(axis=1)], head.predict(X))
    assert head.decision_function(X).shape == (len(y), 3)
    two = clone(head).fit(X[y < 2], words[y < 2])
    np.testing.assert_array_equal(
        two.decision_function(X) > 0, two.predict(X) == two.classes_[1]
    )


def test_a_pickle_holds_one_head_only():
    heads = [HeadClassifier((16,), together=8) for _ in range(8)]
    Xs = [np.random.default_rng(i).normal(size=(20, 50)) for i in range(8)]
    ys = [np.arange(20) % 2] * 8
    HeadClassifier.partial_fit_together(heads, Xs, ys)
    n_numbers = 3 * (50 * 16 + 16 + 16 * 2 + 2)
    assert len(pickle.dumps(heads[3])) < 4 * n_numbers + 2000


def test_the_global_generators_are_left_alone():
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    HeadClassifier(random_state=0).fit(X, y)
    after = np.random.get_state()[1], torch.get_rng_state()  # noqa: NPY002
    for one, other in zip(before, after):
        np.testing.assert_array_equal(one, other)


def test_what_does_not_fit_together_is_refused_before_anything_changes():
    def train(*heads, **changes):
        given = {"X": [X] * len(heads), "y": [y] * len(heads)} | changes
        HeadClassifier.partial_fit_together(list(heads), **given)

    head, other = (HeadClassifier(together=2, random_state=i) for i in range(2))
    for changed, message in {
        ("lr", 0.2): "lr must be the same",
        ("batch_size", 4): "batch_size must be the same",
        ("hidden_layer_sizes", (3,)): "different shapes",
    }.items():
        with pytest.raises(ValueError, match=message):
            train(head, clone(other).set_params(**dict([changed])))
    with pytest.raises(ValueError, match="different shapes"):
        train(head, other, X=[X, X[:, :3]])
    with pytest.raises(ValueError, match="3 heads do not fit"):
        train(head, other, clone(head))
    with pytest.raises(ValueError, match="not among the classes"):
        train(head, other, classes=[0, 1])
    assert not hasattr(head, "n_features_in_")
    head.fit(X, y)
    before = digest(head)
    with pytest.raises(ValueError, match="6 features"):
        train(other, head, X=[X, X[:, :3]])
    with pytest.raises(ValueError, match="Leave classes= out, or call fit"):
        head.partial_fit(X, y, classes=[0, 1, 2, 3])
    assert digest(head) == before
    with pytest.raises(ValueError, match="hidden_layer_sizes=0"):
        HeadClassifier((0,)).fit(X, y)
    with pytest.raises(AttributeError, match="Call fit first"):
        HeadClassifier().coefs_  # noqa: B018


@pytest.mark.parametrize(
    "params",
    [{"lr": -1}, {"batch_size": 0}, {"max_epochs": True}, {"random_state": -1}],
)
def test_parameters_that_change_between_calls_are_checked_again(params):
    head = HeadClassifier(max_epochs=1, random_state=0).fit(X, y)
    before, (name,) = digest(head.coefs_), params
    with pytest.raises(ValueError, match=f"'{name}' parameter of HeadClassifier"):
        head.set_params(**params).partial_fit(X, y)
    assert digest(head.coefs_) == before


@pytest.mark.usefixtures("unrouted")
@pytest.mark.parametrize("hidden", [(), (5,)])
@pytest.mark.parametrize("plan", [{}, {"n_slices": 1, "epochs": None}])
def test_what_a_forgotten_row_held_has_no_influence(hidden, plan):
    gone = [0, 5, 17, 60, 102]
    wild, flipped = X.copy(), y.copy()
    wild[gone] = 50 * np.random.default_rng(1).normal(size=wild[gone].shape)
    flipped[gone] = (flipped[gone] + 1) % 3
    head = HeadClassifier(hidden, together=3, batch_size=8, max_epochs=3)
    weight = np.random.default_rng(0).uniform(size=len(y))
    one = make_sisa(head, **plan).fit(X, y, sample_weight=weight)
    other = make_sisa(head, **plan).fit(wild, flipped, sample_weight=weight)
    assert digests(one) != digests(other)
    assert digests(one.forget(gone)) == digests(other.forget(gone))
    assert one.verify_forgotten()


def test_shards_trained_together_are_those_trained_by_hand():
    sisa = make_sisa(n_slices=1).fit(X, y)
    for shard, member in enumerate(sisa.estimators_):
        rows = sisa.plan_.rows(shard, 0)
        twin = clone(member).partial_fit(X[rows], y[rows], classes=[0, 1, 2])
        assert digest(twin) == digest(member)


def test_a_request_in_one_shard_trains_in_its_bits_alone(capsys):
    sisa = make_sisa(verbose=1).fit(X, y)
    row = sisa.plan_.rows(2, 1)[0]
    capsys.readouterr()
    sisa.forget(row)
    assert capsys.readouterr().out.count("shard 2, stage 2/2") == 1
    assert sisa.forget_log_[-1].shards == (2,)
    assert sisa.verify_forgotten()
    # Together with shards that start from other stages.
    sisa.forget([sisa.plan_.rows(0, 0)[1], sisa.plan_.rows(1, 1)[1]])
    assert sisa.verify_forgotten()


def test_processes_give_the_same_bits():
    here, there = make_sisa().fit(X, y), make_sisa(n_jobs=2).fit(X, y)
    assert digests(here) == digests(there)
    gone = range(0, 103, 10)
    assert digests(here.forget(gone)) == digests(there.forget(gone))


def test_new_rows_reach_all_shards_together_and_a_pipelines_last_step():
    pipeline = make_pipeline(StandardScaler(), HeadClassifier(together=3))
    one = make_sisa(pipeline).fit(X[:80], y[:80]).partial_fit(X[80:], y[80:])
    assert one.forget([3, 90]).verify_forgotten()
    assert len({id(member) for member in one.estimators_}) == 5


def test_a_shard_may_lack_a_class_or_lose_all_its_rows():
    rare = np.where(np.arange(len(y)) < 2, 2, y % 2)
    sisa = make_sisa(n_shards=4).fit(X, rare)
    assert sisa.predict_proba(X).shape == (len(y), 3)
    gone = np.concatenate([sisa.plan_.rows(1, stage) for stage in range(2)])
    with pytest.warns(match="have no rows"):
        sisa.forget(gone)
    assert sisa.estimators_[1] is None
    assert sisa.verify_forgotten()


def test_a_directory_keeps_heads_that_were_trained_together(tmp_path):
    make_sisa(checkpoint_dir=tmp_path).fit(X, y)
    loaded = SISAClassifier.load(tmp_path).forget([1, 50])
    assert digests(loaded) == digests(make_sisa().fit(X, y).forget([1, 50]))
    assert loaded.verify_forgotten()


@parametrize_with_checks(
    [
        HeadClassifier(max_epochs=100, lr=0.1, random_state=0),
        HeadClassifier((8,), together=2, max_epochs=100, lr=0.1, random_state=0),
    ],
    expected_failed_checks=lambda head: {
        "check_sample_weight_equivalence_on_dense_data": (
            "As for SGDClassifier: rows come in batches, where two rows of weight 1 "
            "are not one of weight 2."
        )
    },
)
def test_heads_keep_scikit_learns_contract(estimator, check):
    check(estimator)


@pytest.mark.parametrize("together", [1, 2])
def test_a_stage_of_weightless_rows_alone_trains_nothing(together):
    X = np.random.default_rng(0).normal(size=(24, 3))
    y = np.arange(24) % 2
    head = HeadClassifier(class_weight={1: 0.0}, together=together, max_epochs=2)
    sisa = SISAClassifier(head, n_shards=2, n_slices=6, random_state=0).fit(X, y)
    # Until no stage of the first shard has rows of the other class.
    for row in sisa.plan_.rows(0)[y[sisa.plan_.rows(0)] == 0]:
        sisa.forget(row)
    assert sisa.verify_forgotten()
    assert sisa.estimators_[0].coefs_[0].any()  # the weights it began with
