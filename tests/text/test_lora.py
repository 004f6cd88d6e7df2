import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from test_transformer_classifier import assert_same_weights
from tiny import sentences, tiny_bert, tiny_gpt2

from sklearn_fairsisa.text import TransformerClassifier

pytest.importorskip("peft")


def adapted(model, **params):
    defaults = {
        "lora": {"r": 4, "lora_dropout": 0.1},
        "lr": 1e-2,
        "batch_size": 8,
        "max_epochs": 1,
        "random_state": 0,
        "scheduler_epochs": 3,
        "model_kwargs": {"num_hidden_layers": 1},
    }
    return TransformerClassifier(model, **{**defaults, **params})


@pytest.fixture(params=["minilm", tiny_bert(), tiny_gpt2()], ids=["pre", "bert", "gpt"])
def model(request, minilm):
    return minilm if request.param == "minilm" else request.param


def test_only_adapters_and_head_are_trained(model):
    texts, y = sentences(40)
    clf = adapted(model)
    start = clone(clf).set_params(max_epochs=0).fit(texts, y).net_.module_
    end = clf.fit(texts, y).net_.module_
    before, trained = dict(start.named_parameters()), 0
    for name, weight in end.named_parameters():
        if weight.requires_grad:
            assert "lora" in name or "modules_to_save" in name
            trained += weight.numel()
        else:
            assert_array_equal(weight.detach(), before[name].detach(), err_msg=name)
    assert 0 < trained < 0.25 * sum(weight.numel() for weight in before.values())


def test_adapters_resume_with_the_same_bits(model):
    texts, y = sentences(40)
    whole = adapted(model, max_epochs=3).fit(texts, y)
    parts = adapted(model).fit(texts, y)
    parts.predict(texts)
    copied = copy.deepcopy(parts).partial_fit(texts, y)
    stored = pickle.loads(pickle.dumps(parts)).partial_fit(texts, y)
    copied.partial_fit(texts, y)
    stored = pickle.loads(pickle.dumps(stored)).partial_fit(texts, y)
    for resumed in (copied, stored):
        assert_same_weights(whole, resumed)
        assert_array_equal(whole.predict_proba(texts), resumed.predict_proba(texts))


def test_a_checkpoint_holds_no_frozen_weight(minilm):
    texts, y = sentences(20)
    clf = adapted(minilm).fit(texts, y)
    trained = sum(w.numel() for w in clf.net_.module_.parameters() if w.requires_grad)
    # Weights with two moments each, in 4 bytes, beside generators and names.
    assert len(pickle.dumps(clf)) < 3 * 4 * trained + 40_000
    full = clone(clf).set_params(lora=None).fit(texts, y)
    assert len(pickle.dumps(full)) > 100 * len(pickle.dumps(clf))


def test_members_and_checkpoints_share_the_frozen_memory(minilm):
    texts, y = sentences(20)
    members = [adapted(minilm, random_state=seed).fit(texts, y) for seed in range(3)]
    members.append(copy.deepcopy(members[0]))
    frozen = [
        {w.data_ptr() for w in m.net_.module_.parameters() if not w.requires_grad}
        for m in members
    ]
    most = np.prod(members[0].net_.module_.get_input_embeddings().weight.shape)
    assert most > 1e6
    embeddings = {
        m.net_.module_.get_input_embeddings().weight.data_ptr() for m in members
    }
    assert len(embeddings) == 1
    assert len(set.intersection(*frozen)) >= len(frozen[0]) - 2  # but for the head
    assert members[0].decision_function(["sun"]) != members[1].decision_function(
        ["sun"]
    )


def test_adapters_learn():
    texts, y = sentences(150)
    clf = adapted(tiny_gpt2(), max_epochs=15, scheduler_epochs=None, lr=2e-2)
    assert clf.fit(texts, y).score(texts, y) > 0.9


def test_a_changed_base_is_noticed(tmp_path):
    from transformers import AutoModelForSequenceClassification

    from sklearn_fairsisa.text import _models

    texts, y = sentences(20)
    model = AutoModelForSequenceClassification.from_config(tiny_bert())
    model.save_pretrained(tmp_path)
    clf = adapted(str(tmp_path), tokenizer=None, model_kwargs=None)
    with pytest.raises(OSError, match="holds no loadable model and tokenizer"):
        clf.fit(texts, y)
    tokenizer = _wordlevel_tokenizer()
    stored = pickle.dumps(clf.set_params(tokenizer=tokenizer).fit(texts, y))
    AutoModelForSequenceClassification.from_config(tiny_bert()).save_pretrained(
        tmp_path
    )
    _models._loaded.clear()  # as a new process begins
    with pytest.raises(ValueError, match="not those on top of"):
        pickle.loads(stored).predict(texts)


def _wordlevel_tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"[PAD]": 0, "[UNK]": 1, "sun": 2, "rain": 3}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]"
    )
