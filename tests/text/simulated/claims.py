"""What holds on an accelerator; test_accelerator.py runs it in its own process."""

import os
import pickle

import numpy as np
import pytest
import torch
from device import install
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from skorch import NeuralNetClassifier
from tiny import sentences, tiny_bert, tiny_gpt2

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa._utils.devices import accelerators, computes_bfloat16, is_here
from sklearn_fairsisa.text import (
    HeadClassifier,
    TransformerClassifier,
    TransformerEmbedder,
)

TEXTS, Y = sentences(40)


@pytest.fixture(scope="module", autouse=True)
def installed():
    install(os.environ["SIMULATED_DEVICE"])


@pytest.fixture(autouse=True)
def untouched(installed):
    """Check that no generator of the process moves, on the devices neither."""
    states = [torch.get_rng_state()]
    states += [torch.sim.get_rng_state(device) for device in accelerators()]
    yield
    now = [torch.get_rng_state()]
    now += [torch.sim.get_rng_state(device) for device in accelerators()]
    assert len(now) == 3
    assert all(map(torch.equal, states, now))


def classifier(model=None, **params):
    defaults = {"max_epochs": 2, "batch_size": 8, "lr": 1e-3, "random_state": 0}
    model = tiny_bert() if model is None else model
    return TransformerClassifier(model, **{**defaults, "device": "sim:1", **params})


class Perceptron(torch.nn.Sequential):
    def __init__(self):
        super().__init__(torch.nn.Dropout(0.5), torch.nn.Linear(3, 2))


def weights(clf):
    named = clf.net_.module_.named_parameters()
    return {name: weight.detach().cpu().numpy() for name, weight in named}


def assert_same_bits(one, other):
    for name, weight in weights(one).items():
        assert_array_equal(weight, weights(other)[name], err_msg=name)


def test_the_accelerator_is_found_and_taken():
    assert accelerators() == ["sim:0", "sim:1"]
    assert is_here("sim")
    assert is_here("sim:1")
    assert is_here("cpu")
    assert not is_here("sim:2")
    assert not is_here("cuda:0")
    clf = classifier(device="auto").fit(TEXTS, Y)
    assert {p.device.type for p in clf.net_.module_.parameters()} == {"sim"}


def test_a_tail_above_a_trunk_forgets_exactly():
    learner = classifier(tiny_bert(num_hidden_layers=2), trainable_layers=1)
    sisa = SISAClassifier(learner, n_shards=2, n_slices=2, epochs=2, random_state=0)
    assert sisa.fit(TEXTS, Y).forget([3]).verify_forgotten()
    alone = np.concatenate([sisa.predict_proba([text]) for text in TEXTS])
    assert_array_equal(sisa.predict_proba(TEXTS), alone)


def test_auto_precision_is_single_where_bfloat16_is_emulated(monkeypatch):
    assert torch.sim.is_bf16_supported()
    assert not computes_bfloat16("sim:0")
    assert not computes_bfloat16("cpu")
    assert classifier(mixed_precision="auto").fit(TEXTS, Y).net_.precision is None
    monkeypatch.setattr(torch.sim, "is_bf16_supported", lambda: True)
    clf = classifier(mixed_precision="auto").fit(TEXTS, Y)
    assert clf.net_.precision is torch.bfloat16


def test_training_on_the_device_ends_where_it_does_on_the_processor():
    model = tiny_bert(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    there = classifier(model, class_weight="balanced").fit(TEXTS, Y)
    here = classifier(model, class_weight="balanced", device="cpu").fit(TEXTS, Y)
    for name, weight in weights(there).items():
        assert_allclose(weight, weights(here)[name], atol=1e-6, err_msg=name)
    assert_allclose(there.predict_proba(TEXTS), here.predict_proba(TEXTS), atol=1e-6)


def test_dropout_follows_from_the_seed():
    clf = classifier().fit(TEXTS, Y)
    torch.rand(5, device="sim:1", generator=torch.Generator("sim:1"))
    assert_same_bits(clf, classifier().fit(TEXTS, Y))
    other = classifier(random_state=1).fit(TEXTS, Y)
    assert any((weights(clf)[name] != w).any() for name, w in weights(other).items())


def test_a_resumed_training_is_an_uninterrupted_one():
    whole = classifier(max_epochs=1).partial_fit(TEXTS, Y)
    stopped = pickle.loads(pickle.dumps(whole))
    assert_same_bits(whole.partial_fit(TEXTS, Y), stopped.partial_fit(TEXTS, Y))


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"model": tiny_gpt2()},
        {"lora": {"r": 2}},
        {"freeze": "embeddings"},
        {"mixed_precision": "bf16"},
        {"mixed_precision": "fp16", "max_grad_norm": 1.0},
        {"class_weight": "balanced", "gradient_accumulation": 2},
        {"optimizer": torch.optim.SGD, "optimizer_params": {"momentum": 0.9}},
    ],
    ids=lambda params: "+".join(params) or "plain",
)
def test_forgetting_is_exact(params):
    if "lora" in params:
        pytest.importorskip("peft")
    sisa = SISAClassifier(classifier(**params), n_shards=2, n_slices=2, random_state=0)
    sisa.fit(TEXTS, Y).forget([3, 9])
    assert sisa.verify_forgotten()


def test_a_directory_reopens_on_the_device(tmp_path):
    sisa = SISAClassifier(classifier(), n_shards=2, n_slices=2, random_state=0)
    clone(sisa).set_params(checkpoint_dir=tmp_path).fit(TEXTS, Y)
    again = SISAClassifier.load(tmp_path).forget([11])
    assert again.verify_forgotten()
    sisa.fit(TEXTS, Y).forget([11])
    for one, other in zip(sisa.estimators_, again.estimators_):
        assert_same_bits(one, other)


def test_a_net_of_ones_own_forgets_on_the_device(tmp_path):
    X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    net = NeuralNetClassifier(
        Perceptron, criterion=torch.nn.CrossEntropyLoss, device="sim", train_split=None,
        max_epochs=2, verbose=0,
    )  # fmt: skip
    sisa = SISAClassifier(net, n_shards=2, n_slices=2, random_state=0).fit(X, Y)
    assert sisa.forget([3, 9]).verify_forgotten()


def test_vectors_are_those_of_the_processor():
    there = TransformerEmbedder(tiny_bert(), device="sim").fit_transform(TEXTS)
    here = TransformerEmbedder(tiny_bert(), device="cpu").fit_transform(TEXTS)
    assert_allclose(there, here, atol=1e-6)


def test_heads_trained_together_forget_exactly():
    X = np.random.default_rng(0).normal(size=(40, 5))
    head = HeadClassifier((4,), together=2, device="sim", max_epochs=3)
    sisa = SISAClassifier(head, n_shards=2, n_slices=2, random_state=0).fit(X, Y)
    assert sisa.forget([3, 9]).verify_forgotten()


def test_what_was_trained_there_is_left_for_others():
    learner = classifier(device="auto")
    sisa = SISAClassifier(learner, n_shards=2, n_slices=2, random_state=0)
    sisa.fit(TEXTS, Y)
    with open(os.environ["LEFT_FOR_OTHERS"], "wb") as file:
        pickle.dump((sisa, sisa.predict_proba(TEXTS)), file)
