import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from test_transformer_classifier import assert_same_weights
from tiny import sentences, tiny_bert, tiny_gpt2, tiny_modernbert
from transformers import AutoModelForMaskedLM, DistilBertConfig

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.text import TransformerClassifier, _loading

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
    _loading._loaded.clear()  # as a new process begins
    with pytest.raises(ValueError, match="not those on top of"):
        pickle.loads(stored).predict(texts)


def _wordlevel_tokenizer(vocabulary=None):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = vocabulary or {"[PAD]": 0, "[UNK]": 1, "sun": 2, "rain": 3}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]"
    )


@pytest.fixture
def headless(tmp_path):
    """Folder of a model that comes without weights for its pooler and its head."""
    AutoModelForMaskedLM.from_config(tiny_bert()).save_pretrained(tmp_path)
    _wordlevel_tokenizer().save_pretrained(tmp_path)
    return str(tmp_path)


@pytest.mark.parametrize(
    "options",
    [{}, {"bias": "all"}, {"bias": "lora_only"}, {"init_lora_weights": "olora"},
     {"init_lora_weights": "pissa"}, {"use_dora": True}],
    ids=repr,
)  # fmt: skip
def test_whatever_peft_trains_the_shared_base_stays_as_it_was(headless, options):
    texts, y = sentences(40)
    plain = adapted(headless, lora=None, max_epochs=0, model_kwargs=None)
    before = plain.fit(texts, y).decision_function(texts)
    member = adapted(headless, lora={"r": 2, **options}, model_kwargs=None)
    sisa = SISAClassifier(member, n_shards=2, n_slices=2, epochs=3, random_state=0)
    sisa.fit(texts, y).forget([7, 30])
    assert_array_equal(clone(plain).fit(texts, y).decision_function(texts), before)
    assert sisa.verify_forgotten()
    _loading._loaded.clear()  # as a new process begins
    assert sisa.verify_forgotten()


def test_layers_that_a_model_comes_without_are_trained(headless):
    texts, y = sentences(40)
    clf = adapted(headless, model_kwargs=None)
    start = clone(clf).set_params(max_epochs=0).fit(texts, y).net_.module_
    drawn = start.get_parameter("base_model.model.bert.pooler.dense.weight")
    whole = clone(clf).set_params(max_epochs=2).fit(texts, y)
    learnt = whole.net_.module_.get_parameter(
        "base_model.model.bert.pooler.dense.weight"
    )
    assert (drawn != learnt).any()
    resumed = pickle.loads(pickle.dumps(clf.fit(texts, y))).partial_fit(texts, y)
    assert_same_weights(whole, resumed)


@pytest.mark.parametrize(
    ("config", "adapts"),
    [
        (DistilBertConfig(vocab_size=1000, dim=32, n_layers=1, n_heads=2), "q_lin"),
        (tiny_modernbert(), "attn.Wqkv"),
    ],
    ids=["distilbert", "modernbert"],
)
def test_a_rank_alone_is_enough_for_models_that_peft_has_no_default_for(config, adapts):
    texts, y = sentences(20)
    clf = adapted(config, lora={"r": 2}, model_kwargs=None).fit(texts, y)
    names = [name for name, _ in clf.net_.module_.named_parameters()]
    assert any(f"{adapts}.lora_A" in name for name in names)


def test_another_tokenizer_is_noticed(headless):
    texts, y = sentences(20)
    clf = adapted(headless, model_kwargs=None).fit(texts, y)
    stored = pickle.dumps(clf)
    tokenizer = _wordlevel_tokenizer({"[PAD]": 0, "[UNK]": 1, "rain": 2, "sun": 3})
    tokenizer.save_pretrained(headless)
    with pytest.raises(
        ValueError, match="not the one with which this model was trained"
    ):
        pickle.loads(stored).predict(texts)
