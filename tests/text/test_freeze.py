"""Frozen weights stay as they are, in one place."""

import copy
import pickle

import numpy as np
import pytest
import torch
from held import checkpoints
from numpy.testing import assert_array_equal
from sklearn.base import clone
from skorch.callbacks import Freezer
from test_transformer_classifier import assert_same_weights, weights
from tiny import sentences, tiny_bert, tiny_gpt2
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    BertTokenizerFast,
)

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.sisa._digests import digest
from sklearn_fairsisa.text import TransformerClassifier

TEXTS, Y = sentences(40)
MODELS = {
    "pretrained": ("minilm", ["embeddings", "encoder.layer.0"]),
    "BERT": (tiny_bert(num_hidden_layers=2), ["embeddings", "encoder.layer.0"]),
    "GPT-2": (tiny_gpt2(n_layer=2), ["wte", "wpe", "h.0"]),
}


@pytest.fixture(params=MODELS)
def params(request, minilm):
    model, freeze = MODELS[request.param]
    return {"model": minilm if model == "minilm" else model, "freeze": freeze}


def classifier(**params):
    kwargs = {"num_hidden_layers": 2} if isinstance(params["model"], str) else None
    defaults = {"batch_size": 8, "lr": 5e-3, "max_epochs": 1, "random_state": 0}
    return TransformerClassifier(
        **{**defaults, "model_kwargs": kwargs, "device": "cpu", **params}
    )


def is_in(name, parts):
    return any(f".{part}." in name for part in parts)


def test_named_parts_keep_their_weights_and_all_others_are_trained(params):
    clf = classifier(**params)
    before = weights(clone(clf).set_params(max_epochs=0).fit(TEXTS, Y))
    clf = clf.set_params(max_epochs=2).fit(TEXTS, Y)
    after = weights(clf)
    frozen = {name for name in before if is_in(name, params["freeze"])}
    assert len(frozen) > 3
    for name, value in before.items():
        assert (value != after[name]).any() == (name not in frozen), name
    assert_same_weights(
        clone(clf).set_params(freeze=None, max_epochs=0).fit(TEXTS, Y),
        clone(clf).set_params(max_epochs=0).fit(TEXTS, Y),
    )


TAILS = {
    "BERT tail": {"model": tiny_bert(num_hidden_layers=2), "trainable_layers": 1},
    "GPT-2 tail": {"model": tiny_gpt2(n_layer=2), "trainable_layers": 1},
}


@pytest.mark.parametrize("case", [*MODELS, *TAILS])
def test_training_stops_and_resumes_with_the_same_bits(case, minilm):
    params = TAILS.get(case) or dict(zip(("model", "freeze"), MODELS[case]))
    if params["model"] == "minilm":
        params["model"] = minilm
    clf = classifier(scheduler_epochs=3, **params)
    whole = clone(clf).set_params(max_epochs=3).fit(TEXTS, Y)
    parts = clf.fit(TEXTS, Y)
    parts.predict(TEXTS)
    copied = copy.deepcopy(parts).partial_fit(TEXTS, Y).partial_fit(TEXTS, Y)
    stored = pickle.loads(pickle.dumps(parts)).partial_fit(TEXTS, Y)
    stored = pickle.loads(pickle.dumps(stored)).partial_fit(TEXTS, Y)
    for resumed in (copied, stored):
        assert_same_weights(whole, resumed)
        assert digest(whole._training) == digest(resumed._training)
        assert_array_equal(whole.predict_proba(TEXTS), resumed.predict_proba(TEXTS))


def test_a_frozen_weight_trains_no_other_than_it_would_untrained():
    # With a rate of zero for the frozen parts, plain descent gives the same.
    model, parts = MODELS["BERT"]
    frozen = classifier(
        model=model, freeze=parts, optimizer="sgd", max_grad_norm=None, max_epochs=0
    ).fit(TEXTS, Y)
    free = clone(frozen).set_params(freeze=None).fit(TEXTS, Y)
    for name, weight in free.net_.module_.named_parameters():
        if is_in(name, parts):
            weight.register_hook(lambda gradient: gradient * 0)
    for clf in (frozen, free):
        clf.set_params(max_epochs=2, weight_decay=0).partial_fit(TEXTS, Y)
    assert_same_weights(frozen, free)


@pytest.mark.parametrize("durable", [False, True])
def test_twenty_checkpoints_hold_an_embedding_matrix_once_in_all(
    minilm, tmp_path, durable
):
    learner = classifier(model=minilm, freeze=["embeddings", "encoder"])
    sisa = SISAClassifier(
        learner, n_shards=5, n_slices=4, epochs=2, random_state=0,
        checkpoint_dir=tmp_path if durable else None,
    ).fit(TEXTS, Y)  # fmt: skip
    nets = [member.net_ for shard in checkpoints(sisa) for member in shard]
    assert len(nets) == 20
    matrices = [net.module_.get_input_embeddings().weight for net in nets]
    assert matrices[0].shape == (30522, 384)
    assert len({matrix.data_ptr() for matrix in matrices}) == 1
    one_matrix = 4 * matrices[0].numel()
    assert 0 < sisa.checkpoint_bytes_ < one_matrix
    assert len(pickle.dumps(sisa)) < one_matrix
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < one_matrix
    sisa.forget([3, 17])
    if durable:
        reopened = SISAClassifier.load(tmp_path)
        assert_array_equal(reopened.transform(TEXTS), sisa.transform(TEXTS))
        sisa = reopened
    assert sisa.verify_forgotten()


def test_what_a_forgotten_text_taught_is_found_nowhere(params, tmp_path):
    sisa = SISAClassifier(
        classifier(**params, optimizer="sgd"),
        n_shards=2,
        n_slices=2,
        epochs=3,
        random_state=0,
        checkpoint_dir=tmp_path,
    ).fit(TEXTS, Y)
    row = sisa.plan_.rows(0, 0)[0]
    taught = [
        value.tobytes()
        for member in checkpoints(sisa)[0]
        for name, value in weights(member).items()
        if value.ndim == 2 and not is_in(name, params["freeze"])
    ]

    def found():
        places = [path.read_bytes() for path in tmp_path.iterdir()]
        places.append(pickle.dumps(sisa))
        return [sum(needle in place for place in places) for needle in taught]

    assert min(found()) == 1
    sisa.forget(row)
    assert max(found()) == 0
    assert sisa.verify_forgotten()


def test_names_that_fit_nothing_are_refused_with_those_there_are(params):
    clf = classifier(**params).fit(TEXTS, Y)
    before = clf.predict_proba(TEXTS)
    first = params["freeze"][0]
    for wrong in ("embedings", f"{first}.", f"{first}x", "", "classifier", "score"):
        with pytest.raises(ValueError, match=rf"freeze has '{wrong}'.*{first}.*\.0"):
            clf.set_params(freeze=[first, wrong]).fit(TEXTS, Y)
    assert_array_equal(clf.predict_proba(TEXTS), before)


def test_one_name_may_stand_alone_and_is_a_parameter_like_others(params):
    one = classifier(**{**params, "freeze": params["freeze"][0]})
    several = clone(one).set_params(freeze=(params["freeze"][0],))
    assert clone(one).get_params()["freeze"] == params["freeze"][0]
    assert_same_weights(one.fit(TEXTS, Y), several.fit(TEXTS, Y))
    with pytest.raises(TypeError, match="freeze has a int"):
        one.set_params(freeze=[0]).fit(TEXTS, Y)
    with pytest.raises(ValueError, match="lora= already freezes all other"):
        one.set_params(freeze="h", lora={"r": 2}).fit(TEXTS, Y)


def test_parts_without_pretrained_weights_cannot_be_frozen(tmp_path):
    # A masked language model has no pooler, which a classifier needs.
    AutoModelForMaskedLM.from_config(tiny_bert()).save_pretrained(tmp_path)
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "sun": 4}
    tokenizer = BertTokenizerFast(vocab=vocabulary)
    clf = classifier(model=str(tmp_path), model_kwargs={}, tokenizer=tokenizer)
    clf.set_params(freeze="embeddings").fit(TEXTS, Y)
    with pytest.raises(ValueError, match=r"\['bert.pooler.*freeze='pooler' would"):
        clf.set_params(freeze="pooler").fit(TEXTS, Y)


@pytest.mark.parametrize("below", [{"freeze": "embeddings"}, {"trainable_layers": 0}])
def test_a_base_that_changed_on_disk_is_noticed_before_training(below, tmp_path):
    from sklearn_fairsisa.text import _loading

    def save(seed):
        torch.manual_seed(seed)
        model = AutoModelForSequenceClassification.from_config(tiny_bert())
        model.save_pretrained(tmp_path)
        _loading._loaded.clear()  # as a new process begins

    save(0)
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "sun": 4}
    tokenizer = BertTokenizerFast(vocab=vocabulary)
    params = {"model": str(tmp_path), "model_kwargs": {}, "tokenizer": tokenizer}
    clf = classifier(**params, **below).fit(TEXTS, Y)
    stored = pickle.dumps(clf)
    assert np.isfinite(pickle.loads(stored).predict_proba(TEXTS)).all()
    save(1)
    for use in (lambda c: c.predict(TEXTS), lambda c: c.partial_fit(TEXTS, Y)):
        with pytest.raises(ValueError, match=r"not those on top of.*Restore them"):
            use(pickle.loads(stored))
    trunk = clone(clf).fit(TEXTS, Y)._training.trunk
    assert trunk is None or trunk != clf._training.trunk


def test_a_part_that_is_frozen_for_a_while_is_stored_nonetheless():
    freezer = Freezer("bert.embeddings*", at=2)
    clf = classifier(
        model=tiny_bert(), freeze="encoder", callbacks=[freezer], max_epochs=3
    )
    stored = pickle.loads(pickle.dumps(clf.fit(TEXTS, Y)))
    assert_same_weights(clf, stored)
    assert_array_equal(stored.predict_proba(TEXTS), clf.predict_proba(TEXTS))


def test_a_folder_that_was_replaced_is_read_anew(tmp_path):
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "sun": 4}
    BertTokenizerFast(vocab=vocabulary).save_pretrained(tmp_path)
    clf = classifier(model=str(tmp_path), model_kwargs={}, freeze=None, max_epochs=0)
    name = "bert.embeddings.word_embeddings.weight"
    for _ in range(2):
        model = AutoModelForMaskedLM.from_config(tiny_bert())
        model.save_pretrained(tmp_path)
        loaded = clf.fit(TEXTS, Y).net_.module_.get_parameter(name)
        assert_array_equal(loaded.detach(), model.get_parameter(name).detach())
