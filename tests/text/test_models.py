"""Models load with the right pad token, head, device and precision."""

import copy
import json
import pickle

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from numpy.testing import assert_allclose, assert_array_equal
from safetensors.torch import load_file, save_file
from sklearn.base import clone
from tiny import sentences, tiny_bert, tiny_gpt2
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BartConfig,
    CamembertConfig,
    FunnelConfig,
    LlamaConfig,
    LongformerConfig,
    MPNetConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
    ViTConfig,
    XLNetConfig,
)
from workers import device_of_worker, loads_of_base

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa._utils import devices
from sklearn_fairsisa.sisa.store.packing import pack, unpack
from sklearn_fairsisa.text import TransformerClassifier, TransformerEmbedder
from sklearn_fairsisa.text._loading import load_tokenizer_once

TEXTS, Y = sentences(40)
WORDS = sorted({word for text in TEXTS for word in text.split()})


def classifier(model, **params):
    defaults = {"batch_size": 8, "lr": 5e-3, "max_epochs": 1, "random_state": 0}
    return TransformerClassifier(model, device="cpu", **{**defaults, **params})


def weights(clf):
    return {k: v.numpy().copy() for k, v in clf.net_.module_.state_dict().items()}


def save_pretrained(folder, language_model, **special):
    """Save a language model with a tokenizer that has the special tokens given."""
    vocabulary = {token: i for i, token in enumerate([*special.values(), *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=special["unk_token"]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
    language_model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return tokenizer


END = "<|endoftext|>"
PRETRAINED = {
    "BERT": (
        lambda: AutoModelForMaskedLM.from_config(tiny_bert(vocab_size=40)),
        {"unk_token": "[UNK]", "cls_token": "[CLS]", "pad_token": "[PAD]"},
        "[PAD]",
    ),
    "DistilGPT2": (
        lambda: AutoModelForCausalLM.from_config(
            tiny_gpt2(vocab_size=40, n_layer=1, bos_token_id=0, eos_token_id=0)
        ),
        {"eos_token": END, "unk_token": "<unk>"},
        END,
    ),
    "GPT-2": (
        lambda: AutoModelForCausalLM.from_config(
            tiny_gpt2(vocab_size=40, n_layer=2, bos_token_id=0, eos_token_id=0)
        ),
        {"eos_token": END, "unk_token": "<unk>"},
        END,
    ),
    "Llama": (
        lambda: AutoModelForCausalLM.from_config(
            LlamaConfig(
                vocab_size=40, hidden_size=16, intermediate_size=32,
                num_hidden_layers=1, num_attention_heads=2, eos_token_id=[2, 0],
                bos_token_id=1,
            )
        ),
        {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"},
        "</s>",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PRETRAINED)
def test_a_folder_gives_body_pad_token_and_a_new_head(name, tmp_path):
    make, special, pad = PRETRAINED[name]
    language_model = make()
    tokenizer = save_pretrained(tmp_path, language_model, **special)
    start = classifier(str(tmp_path), max_epochs=0, tokenizer=tokenizer)
    start.fit(TEXTS, np.array(["no", "so", "yes"])[np.arange(40) % 3])
    module = start.net_.module_
    pad_id = tokenizer.convert_tokens_to_ids(pad)
    assert module.config.pad_token_id == start._training.spec.pad_id == pad_id
    own, theirs = module.base_model.state_dict(), language_model.base_model.state_dict()
    for weight in theirs:
        assert_array_equal(own[weight], theirs[weight], err_msg=weight)
    assert start._logits(TEXTS).shape == (40, 3)

    # Padding has no part in what a text alone gives.
    trained = start.set_params(max_epochs=2).fit(TEXTS, Y)
    module = trained.net_.module_.eval()
    with torch.inference_mode():
        alone = [
            module(torch.tensor([tokenizer(t)["input_ids"]])).logits for t in TEXTS
        ]
    assert_allclose(trained._logits(TEXTS), torch.cat(alone), atol=1e-5)


def test_a_hub_name_gives_what_its_folder_gives(tmp_path):
    # As the hub's own client lays out what it has fetched.
    repository = tmp_path / "models--someone--tiny-gpt2"
    snapshot = repository / "snapshots" / ("0" * 40)
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    make, special, _ = PRETRAINED["DistilGPT2"]
    save_pretrained(snapshot, make(), **special)
    name, kwargs = "someone/tiny-gpt2", {"cache_dir": str(tmp_path)}
    for params in ({}, {"freeze": "wte"}):
        named = classifier(name, model_kwargs=kwargs, **params).fit(TEXTS, Y)
        given = classifier(str(snapshot), **params).fit(TEXTS, Y)
        stored = pickle.loads(pickle.dumps(named))
        assert_array_equal(named._logits(TEXTS), given._logits(TEXTS))
        assert_array_equal(stored._logits(TEXTS), given._logits(TEXTS))
    vectors = [
        TransformerEmbedder(model, device="cpu", model_kwargs=k).transform(TEXTS)
        for model, k in ((name, kwargs), (str(snapshot), None))
    ]
    assert_array_equal(*vectors)


SIZES = {
    "vocab_size": 300, "hidden_size": 16, "num_hidden_layers": 1,
    "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 48,
}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "length"),
    [
        (tiny_bert(max_position_embeddings=48), 48),
        (RobertaConfig(**SIZES), 46),
        (CamembertConfig(**SIZES), 46),
        (MPNetConfig(**SIZES), 46),
        (LongformerConfig(**SIZES, attention_window=8), 46),
        (XLNetConfig(vocab_size=300, d_model=16, n_layer=1, n_head=2, d_inner=32), 128),
        (
            FunnelConfig(
                vocab_size=300, d_model=16, n_head=2, d_head=8, d_inner=32,
                block_sizes=[1],
            ),
            128,
        ),
    ],
    ids=lambda value: getattr(value, "model_type", None),
)  # fmt: skip
def test_as_many_tokens_are_used_as_the_model_has_positions(config, length):
    texts = ["much " * 200, *TEXTS[1:8]]
    clf = classifier(config).fit(texts, Y[:8])
    assert clf.max_length_ == length
    assert np.isfinite(clf.predict_proba(texts)).all()
    if not isinstance(config, FunnelConfig):  # transformers has no such encoder
        assert np.isfinite(TransformerEmbedder(config).transform(texts)).all()


def test_a_tokenizer_may_know_a_token_more_than_the_model_for_padding_only(tmp_path):
    model = AutoModelForCausalLM.from_config(tiny_gpt2(vocab_size=len(WORDS) + 1))
    save_pretrained(tmp_path, model, unk_token="<unk>")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    classifier(tmp_path, tokenizer=tokenizer).fit(TEXTS, Y)
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.add_tokens(["covid"])
    n = len(WORDS) + 1
    message = f"has {n + 2} tokens, but the model's config has vocab_size={n}"
    with pytest.raises(ValueError, match=message):
        classifier(tmp_path, tokenizer=tokenizer).fit(["covid", "rain"], [0, 1])
    with pytest.raises(ValueError, match=message):
        TransformerEmbedder(tmp_path, tokenizer=tokenizer).transform(["covid"])


def test_a_head_for_other_labels_is_replaced_where_that_is_asked_for(tmp_path):
    config = tiny_bert(vocab_size=40, num_labels=5)
    model = AutoModelForSequenceClassification.from_config(config)
    save_pretrained(tmp_path, model, unk_token="[UNK]", pad_token="[PAD]")
    with pytest.raises(ValueError, match=r"for 2 classes.*ignore_mismatched_sizes"):
        classifier(tmp_path).fit(TEXTS, Y)
    anew = {"ignore_mismatched_sizes": True}
    clf = classifier(tmp_path, model_kwargs=anew, max_epochs=0).fit(TEXTS, Y)
    own, saved = weights(clf), model.state_dict()
    assert own["classifier.weight"].shape == (2, 32)
    for name, value in own.items():
        if not name.startswith("classifier"):
            assert_array_equal(value, saved[name].numpy(), err_msg=name)


@pytest.mark.parametrize("params", [{}, {"freeze": "embeddings"}, {"lora": {"r": 2}}])
def test_a_part_that_lacks_its_bias_alone_keeps_its_weight(params, tmp_path):
    if "lora" in params:
        pytest.importorskip("peft")
    config = tiny_bert(vocab_size=40)
    model = AutoModelForSequenceClassification.from_config(config)
    save_pretrained(tmp_path, model, unk_token="[UNK]", pad_token="[PAD]")
    file, part = tmp_path / "model.safetensors", "bert.encoder.layer.0.output.dense"
    saved = load_file(file)
    save_file(
        {k: v for k, v in saved.items() if k != f"{part}.bias"}, file, {"format": "pt"}
    )
    clf = classifier(tmp_path, max_epochs=0, **params).fit(TEXTS, Y)
    (own,) = (w for name, w in weights(clf).items() if f"{part}.weight" in name)
    assert_array_equal(own, saved[f"{part}.weight"])


def test_a_tokenizer_that_was_replaced_in_its_folder_is_loaded_anew(tmp_path):
    make, special, _ = PRETRAINED["BERT"]
    save_pretrained(tmp_path, make(), **special)
    before = load_tokenizer_once(tiny_bert(), {}, tmp_path, tiny_bert())
    assert load_tokenizer_once(tiny_bert(), {}, tmp_path, tiny_bert()) == before
    special = dict(reversed(special.items()))
    save_pretrained(tmp_path, make(), **special)
    tokenizer, digest = load_tokenizer_once(tiny_bert(), {}, tmp_path, tiny_bert())
    assert digest != before[1]
    assert tokenizer.pad_token_id == 0


def test_a_model_of_pictures_is_refused():
    with pytest.raises(ValueError, match="a ViTConfig, which has no vocab_size"):
        classifier(ViTConfig()).fit(TEXTS, Y)
    with pytest.raises(ValueError, match="a ViTConfig, which has no vocab_size"):
        TransformerEmbedder(ViTConfig()).transform(TEXTS)


def test_a_length_without_room_for_a_text_is_refused(minilm):
    for model in (tiny_bert(), minilm):
        with pytest.raises(ValueError, match=r"2 tokens.*leave no room.* at least 3"):
            classifier(model, max_length=2).fit(TEXTS, Y)
        with pytest.raises(ValueError, match=r"leave no room"):
            TransformerEmbedder(model, max_length=1).transform(TEXTS)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_learns_in_full_precision_weights_and_resumes(precision):
    params = {"mixed_precision": precision, "scheduler_epochs": 2, "lr": 1e-2}
    clf = classifier(tiny_bert(), **params).fit(TEXTS, Y)
    full = clone(clf).set_params(mixed_precision=None).fit(TEXTS, Y)
    own, other = weights(clf), weights(full)
    assert {value.dtype.name for value in own.values()} == {"float32"}
    for name, value in other.items():
        assert_allclose(own[name], value, atol=0.1, err_msg=name)
    assert any((own[name] != other[name]).any() for name in own)
    whole = clone(clf).set_params(max_epochs=2).fit(TEXTS, Y)
    stored = pickle.loads(pickle.dumps(clf)).partial_fit(TEXTS, Y)
    for name, value in weights(whole).items():
        assert_array_equal(weights(stored)[name], value, err_msg=name)


def test_precision_may_change_between_calls_and_pickles():
    whole = classifier(tiny_bert(), lr=1e-2).fit(TEXTS, Y)
    parts = copy.deepcopy(whole)
    for precision in ("fp16", None, "fp16", "bf16"):
        whole.set_params(mixed_precision=precision).partial_fit(TEXTS, Y)
        parts = pickle.loads(pickle.dumps(parts))
        parts.set_params(mixed_precision=precision).partial_fit(TEXTS, Y)
        # Predicting otherwise than training leaves no trace.
        parts.set_params(mixed_precision=None).predict(TEXTS)
    for name, value in weights(whole).items():
        assert_array_equal(weights(parts)[name], value, err_msg=name)


def test_a_weight_of_several_names_is_stored_once():
    config = BartConfig(
        vocab_size=300, d_model=16, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32,
        decoder_ffn_dim=32, max_position_embeddings=48,
    )  # fmt: skip
    clf = classifier(config).fit(TEXTS, Y)
    stored = pickle.loads(pickle.dumps(clf))
    packed = stored._training.__getstate__()["_packed"]["weights"].values()
    network = clf.net_.module_
    held = (*network.parameters(), *network.buffers())
    assert sum(array.size for array in packed) == sum(one.numel() for one in held)
    clf.partial_fit(TEXTS, Y)
    stored.partial_fit(TEXTS, Y)
    for name, value in weights(clf).items():
        assert_array_equal(weights(stored)[name], value, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_of_any_type_are_apart_from_what_may_run_code(dtype):
    clf = classifier(tiny_bert(), model_kwargs={"dtype": dtype}).fit(TEXTS, Y)
    skeleton, apart, _ = pack(clf)
    assert len(skeleton) < len(apart) / 10
    restored = unpack(skeleton, apart)
    assert_array_equal(restored._logits(TEXTS), clf._logits(TEXTS))
    network = restored.net_.module_
    assert {str(w.dtype) for w in network.parameters()} == {f"torch.{dtype}"}


def test_weighted_accumulated_batches_are_one_large_batch():
    exact = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    large = classifier(
        tiny_bert(**exact), batch_size=12, optimizer="sgd", class_weight={1: 3}
    )
    small = clone(large).set_params(batch_size=4, gradient_accumulation=3)
    own, other = weights(large.fit(TEXTS, Y)), weights(small.fit(TEXTS, Y))
    for name, value in own.items():
        assert_allclose(other[name], value, atol=1e-5, err_msg=name)


def test_deterministic_algorithms_suffice():
    before = weights(classifier(tiny_bert()).fit(TEXTS, Y))
    torch.use_deterministic_algorithms(True)
    try:
        for model in (tiny_bert(), tiny_gpt2()):
            clf = classifier(model).fit(TEXTS, Y)
            clf.predict(TEXTS)
        own = weights(classifier(tiny_bert()).fit(TEXTS, Y))
    finally:
        torch.use_deterministic_algorithms(False)
    for name, value in before.items():
        assert_array_equal(own[name], value, err_msg=name)


def test_workers_take_the_gpus_in_turn_and_load_a_shared_base_once(minilm):
    pytest.importorskip("peft")
    parallel = Parallel(n_jobs=2)
    devices = dict(parallel(delayed(device_of_worker)(i) for i in range(4)))
    if len(devices) == 2:
        assert set(devices.values()) == {"cuda:0", "cuda:1"}
    assert set(devices.values()) <= {"cuda:0", "cuda:1"}
    counts = parallel(delayed(loads_of_base)(minilm) for _ in range(2))
    assert set(counts) <= {0, 1}
    assert 1 in counts


def test_a_device_is_taken_as_named(monkeypatch):
    def have(*names):
        monkeypatch.setattr(devices, "accelerators", lambda: list(names))

    have()
    assert devices.pick_device("auto") == devices.pick_device("cpu") == "cpu"
    with pytest.raises(ValueError, match=r"'cuda:2' is not on this machine, which"):
        devices.pick_device("cuda:2")
    have("xpu:0", "xpu:1")
    assert devices.pick_device("auto").startswith("xpu:")
    assert devices.pick_device("xpu:1") == "xpu:1"
    assert devices.pick_device("cpu") == "cpu"
    with pytest.raises(RuntimeError, match="device"):
        devices.pick_device("graphics")


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ..."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling ..."),
        MemoryError(),
    ],
    ids=["CUDA", "CPU", "cuBLAS", "Python"],
)
def test_memory_that_runs_out_gives_advice_wherever_it_did(error, monkeypatch):
    clf = classifier(tiny_bert()).fit(TEXTS, Y)

    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(type(clf.net_.module_), "forward", fail)
    monkeypatch.setattr("transformers.BertModel.forward", fail)
    with pytest.raises(MemoryError, match="Lower tokens_per_batch or max_length"):
        clf.predict(TEXTS)
    advice = r"batch_size=8 and max_length=128\. Halve.* gradient_accumulation"
    with pytest.raises(MemoryError, match=advice):
        clf.fit(TEXTS, Y)
    embedder = TransformerEmbedder(tiny_bert(hidden_size=28), device="cpu")
    with pytest.raises(MemoryError, match="Lower tokens_per_batch or max_length"):
        embedder.transform(TEXTS)


@pytest.mark.parametrize("make", [classifier, TransformerEmbedder])
@pytest.mark.parametrize(
    ("name", "todo"),
    [
        ("num_labels", "follow from the labels"),
        ("id2label", "follow from the labels"),
        ("problem_type", "cross-entropy"),
        ("config", "Give the config as model="),
        ("return_dict", "Leave it out"),
    ],
)
def test_arguments_that_are_not_free_are_named(make, name, todo):
    with pytest.raises(ValueError, match=f"model_kwargs has '{name}'.*{todo}"):
        make(tiny_bert(), model_kwargs={name: 5}).fit(TEXTS, Y)


def with_code_of_its_own(folder):
    """Save a model whose config refers to Python files beside it."""
    model = AutoModelForSequenceClassification.from_config(tiny_bert(vocab_size=40))
    save_pretrained(folder, model, unk_token="[UNK]", pad_token="[PAD]")
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "own"
    config["auto_map"] = {
        "AutoConfig": "own_config.OwnConfig",
        "AutoModel": "own_model.OwnModel",
        "AutoModelForSequenceClassification": "own_model.OwnModel",
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own_config.py").write_text(
        "from transformers import BertConfig\n"
        "class OwnConfig(BertConfig):\n    model_type = 'own'\n"
    )
    (folder / "own_model.py").write_text(
        "from transformers import BertForSequenceClassification\n"
        "from .own_config import OwnConfig\n"
        "class OwnModel(BertForSequenceClassification):\n"
        "    config_class = OwnConfig\n"
    )


def test_code_of_a_model_runs_only_if_it_is_trusted_and_nobody_is_asked(
    tmp_path, monkeypatch
):
    def asked(*args):
        raise AssertionError("asked on the standard input")

    monkeypatch.setattr("builtins.input", asked)
    modules = str(tmp_path / "modules")
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", modules)
    monkeypatch.syspath_prepend(modules)
    with_code_of_its_own(tmp_path)
    message = "has Python code of its own.*trust_remote_code"
    for kwargs in ({}, {"trust_remote_code": None}):
        with pytest.raises(ValueError, match=message):
            classifier(tmp_path, model_kwargs=kwargs).fit(TEXTS, Y)
        with pytest.raises(ValueError, match=message):
            TransformerEmbedder(tmp_path, model_kwargs=kwargs).transform(TEXTS)
    clf = classifier(tmp_path, model_kwargs={"trust_remote_code": True}).fit(TEXTS, Y)
    assert type(clf.net_.module_).__name__ == "OwnModel"
    loaded = pickle.loads(pickle.dumps(clf))
    assert_array_equal(loaded.predict_proba(TEXTS), clf.predict_proba(TEXTS))


@pytest.mark.parametrize("params", [{}, {"freeze": "embeddings"}, {"lora": {"r": 2}}])
def test_a_saved_network_names_the_classes(params, tmp_path):
    if "lora" in params:
        pytest.importorskip("peft")
    names = np.array(["fine", "toxic"])[np.asarray(Y)]
    clf = classifier(tiny_bert(), **params)
    sisa = SISAClassifier(clf, n_shards=2, random_state=0).fit(TEXTS, names)
    for fitted in (clf.fit(TEXTS, names), *sisa.estimators_):
        fitted = pickle.loads(pickle.dumps(fitted))
        config = fitted.net_.module_.config
        assert config.id2label == {0: "fine", 1: "toxic"}
        assert config.label2id == {"fine": 0, "toxic": 1}
    if not params:
        clf.net_.module_.save_pretrained(tmp_path)
        saved = json.loads((tmp_path / "config.json").read_text())
        assert saved["id2label"] == {"0": "fine", "1": "toxic"}


def test_a_class_that_comes_later_is_named_too():
    sisa = SISAClassifier(classifier(tiny_bert()), n_shards=2, random_state=0)
    sisa.fit(TEXTS, np.array(["fine", "toxic"])[np.asarray(Y)])
    sisa.partial_fit(["a new kind", "another"], ["rude", "toxic"])
    for member in sisa.estimators_:
        assert list(member.net_.module_.config.id2label.values()) == [
            "fine",
            "rude",
            "toxic",
        ]
