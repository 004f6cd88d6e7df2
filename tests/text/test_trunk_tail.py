"""A trunk is computed once per text; the tails above it are trained and forgotten."""

import copy
import pickle
import re
import shutil
import threading

import numpy as np
import pytest
import torch
from held import digests
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from test_transformer_classifier import assert_same_weights, weights
from tiny import sentences, tiny_bert, tiny_gpt2, tiny_modernbert
from transformers import (
    AlbertConfig,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    BartConfig,
    BertConfig,
    BertTokenizerFast,
    CamembertConfig,
    DistilBertConfig,
    LEDConfig,
    LlamaConfig,
    MBartConfig,
    MistralConfig,
    MPNetConfig,
    MT5Config,
    RobertaConfig,
    T5Config,
    XLMRobertaConfig,
)

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.text import (
    TransformerClassifier,
    _cache,
    _classifier,
    _states,
)

TEXTS, Y = sentences(60)
TEXTS = [f"{text} number {row}" for row, text in enumerate(TEXTS)]
SIZES = {
    "vocab_size": 300, "hidden_size": 16, "num_hidden_layers": 3,
    "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 48,
}  # fmt: skip
BART = {
    "vocab_size": 300, "d_model": 16, "encoder_layers": 2, "decoder_layers": 3,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 48,
}  # fmt: skip
# The hashing tokenizer ends texts by token 2.
T5 = {
    "vocab_size": 300, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2,
    "num_decoder_layers": 3, "num_heads": 2, "eos_token_id": 2,
    "decoder_start_token_id": 0,
}  # fmt: skip
CONFIGS = [
    tiny_bert(num_hidden_layers=3),
    RobertaConfig(**SIZES),
    CamembertConfig(**SIZES),
    XLMRobertaConfig(**SIZES),
    MPNetConfig(**SIZES),
    DistilBertConfig(vocab_size=300, dim=16, n_layers=3, n_heads=2, hidden_dim=32),
    tiny_gpt2(n_layer=3),
    LlamaConfig(**SIZES, num_key_value_heads=2),
    MistralConfig(**SIZES, num_key_value_heads=2),
    BartConfig(**BART),
    MBartConfig(**BART),
    T5Config(**T5),
    MT5Config(**T5),
]
FAMILIES = pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.model_type)
TWO = pytest.mark.parametrize("config", [CONFIGS[0], CONFIGS[6]], ids=["BERT", "GPT-2"])
KINDS = pytest.mark.parametrize(
    "config",
    [CONFIGS[i] for i in (0, 4, 5, 6, 7, 9, 11)],
    ids=["BERT", "MPNet", "DistilBERT", "GPT-2", "Llama", "BART", "T5"],
)


pytestmark = pytest.mark.usefixtures("empty_caches")


def classifier(config, **params):
    defaults = {"batch_size": 8, "lr": 5e-3, "max_epochs": 1, "random_state": 0}
    params = {**defaults, "trainable_layers": 1, "device": "cpu", **params}
    return TransformerClassifier(config, **params)


def make_sisa(config, learner=None, **params):
    learner = {"random_state": None, **(learner or {})}
    params = {"n_shards": 2, "n_slices": 2, "epochs": 3, "random_state": 0} | params
    return SISAClassifier(classifier(config, **learner), **params)


def without_dropout(config):
    config = copy.deepcopy(config)
    for name in config.to_dict():
        if "dropout" in name or "pdrop" in name:
            setattr(config, name, 0.0)
    return config


def upper(texts):
    return [text.upper() for text in texts]


def frozen(clf):
    named = clf.net_.module_.named_parameters(remove_duplicate=False)
    return {name for name, weight in named if not weight.requires_grad}


def layers_of(names):
    """Return the numbers of the layers, of a decoder if there is one."""
    own = [name for name in names if ".decoder." in name] or names
    return {int(m[1]) for name in own if (m := re.search(r"\.(\d+)\.", name))}


@FAMILIES
@pytest.mark.parametrize("k", [0, 2])
def test_the_last_layers_and_the_head_are_trained_and_what_they_share_is_not(config, k):
    clf = classifier(config, trainable_layers=k)
    before = weights(clone(clf).set_params(max_epochs=0).fit(TEXTS, Y))
    after = weights(clf.fit(TEXTS, Y))
    still = {name for name in before if (before[name] == after[name]).all()}
    assert still == frozen(clf) & before.keys()
    assert layers_of(still) == set(range(3 - k))
    assert layers_of(before.keys() - still) == set(range(3 - k, 3))
    shared = [name for name in before if "relative_attention_bias" in name]
    assert still.issuperset(shared)
    assert bool(shared) == (config.model_type in ("mpnet", "t5", "mt5"))


@FAMILIES
@pytest.mark.parametrize("k", [0, 1])
def test_trunk_and_tail_predict_what_the_whole_network_does(config, k):
    config = copy.deepcopy(config)
    config.return_dict = k == 0
    clf = classifier(config, trainable_layers=k).fit(TEXTS, Y)
    texts = [*TEXTS, "", "much " * 100, "sun"]
    module, tokenizer = clf.net_.module_.eval(), clf._training.tokenizer
    expected = []
    for text in texts:
        ids = tokenizer.encode(text)
        ids = ids if len(ids) <= clf.max_length_ else [*ids[: clf.max_length_ - 1], 2]
        with torch.inference_mode():
            expected.append(module(input_ids=torch.tensor([ids])).logits[0])
    assert_allclose(clf._logits(texts), torch.stack(expected), atol=1e-5)
    assert_array_equal(
        np.concatenate([clf._logits([t]) for t in texts]), clf._logits(texts)
    )


@KINDS
def test_training_equals_that_of_a_whole_network_with_its_lower_part_frozen(config):
    config = without_dropout(config)
    clf = classifier(config, batch_size=60, scheduler="constant", warmup=0)
    start = clone(clf).set_params(max_epochs=0).fit(TEXTS, Y)
    clf.set_params(max_epochs=3, weight_decay=0, max_grad_norm=None).fit(TEXTS, Y)
    module, tokenizer = start.net_.module_.train(), start._training.tokenizer
    trained = [weight for weight in module.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=5e-3, weight_decay=0)
    rows = [tokenizer.encode(text) for text in TEXTS]
    pad_id = start._training.spec.pad_id
    ids = torch.full((60, max(map(len, rows))), pad_id)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
    mask = (torch.arange(ids.shape[1]) < torch.tensor([[len(r)] for r in rows])).long()
    for _ in range(3):
        optimizer.zero_grad()
        module(
            input_ids=ids, attention_mask=mask, labels=torch.tensor(Y)
        ).loss.backward()
        optimizer.step()
    assert_same_weights(clf, start, lambda a, b, err_msg: assert_allclose(
        a, b, atol=2e-5, err_msg=err_msg
    ))  # fmt: skip


@pytest.mark.parametrize(
    "config",
    [BertConfig(**SIZES), *CONFIGS[1:6], *CONFIGS[7:9]],
    ids=lambda c: c.model_type,
)
@pytest.mark.parametrize(("training", "n_computed"), [(True, 1), (False, 8)])
def test_above_the_last_attention_only_what_the_head_reads_is_computed(
    config, training, n_computed
):
    clf = classifier(config, trainable_layers=2, max_epochs=0).fit(TEXTS, Y)
    clf.net_._set_training(training)
    inputs = clf._tokens(clf._training, TEXTS[:4])[0].padded(np.arange(4), 0)
    length = inputs["input_ids"].shape[1]
    computed = []
    for part in clf.net_._tail.view.modules():
        if isinstance(part, torch.nn.Linear) and part.out_features == 32:
            part.register_forward_hook(lambda part, x, y: computed.append(y.shape))
    clf.net_.infer(inputs)
    # A Llama has two such maps in a layer.
    assert list(dict.fromkeys(computed)) == [(4, length, 32), (4, n_computed, 32)]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.model_type)
def test_a_layer_that_is_computed_again_trains_as_one_that_is_not(config):
    def trained(**kwargs):
        clf = classifier(without_dropout(config), max_epochs=2, model_kwargs=kwargs)
        return clf.fit(TEXTS, Y)

    try:
        again = trained(gradient_checkpointing=True)
    except ValueError as error:
        pytest.skip(str(error))
    assert_allclose(again._logits(TEXTS), trained()._logits(TEXTS), atol=1e-5)


def test_a_layer_that_computes_in_chunks_predicts_as_one_that_does_not():
    one, chunks = (
        classifier(BertConfig(**SIZES, chunk_size_feed_forward=size)).fit(TEXTS, Y)
        for size in (0, 4)
    )
    assert_allclose(chunks._logits(TEXTS), one._logits(TEXTS), atol=1e-6)


@pytest.mark.parametrize("kind", [BertConfig, LlamaConfig])
def test_the_place_in_a_batch_changes_no_bit_of_a_network_of_odd_widths(kind):
    sizes = {**SIZES, "hidden_size": 60, "intermediate_size": 172}
    clf = classifier(kind(**sizes)).fit(TEXTS, Y)
    together = clf._logits(TEXTS)
    assert_array_equal(clf._logits(TEXTS[::-1])[::-1], together)
    assert_array_equal(clf._logits(TEXTS[7:]), together[7:])


@pytest.mark.parametrize("config", CONFIGS[6:9], ids=lambda c: c.model_type)
def test_a_word_with_the_id_of_padding_is_read_as_by_the_whole_network(config):
    clf = classifier(config, max_epochs=0).fit(TEXTS, Y)
    pad, net = clf._training.spec.pad_id, clf.net_
    net._set_training(False)
    ids = torch.tensor([[5, pad, 7, 9], [5, 6, 7, pad], [pad, 4, pad, pad], [pad] * 4])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    with torch.inference_mode():
        states = net.trunk()(**inputs)
        expected = net.module_.eval()(**inputs).logits
        have = net.infer({**inputs, "states": states})
    assert_allclose(have, expected, atol=1e-5)


@TWO
def test_with_all_layers_there_is_no_trunk_and_nothing_is_frozen(config):
    whole = classifier(config, trainable_layers=None).fit(TEXTS, Y)
    assert_same_weights(whole, classifier(config, trainable_layers=3).fit(TEXTS, Y))
    assert not frozen(whole)


def test_a_trunk_is_computed_once_for_members_stages_replays_and_predictions(computed):
    sisa = make_sisa(CONFIGS[0]).fit(TEXTS, Y)
    assert sum(computed) == len(TEXTS)
    sisa.transform(TEXTS)
    sisa.forget([3, 40])
    sisa.partial_fit(TEXTS[:2], Y[:2])
    assert sum(computed) == len(TEXTS)
    sisa.predict(["another text"])
    assert sum(computed) == len(TEXTS) + 1
    # Two members know one trunk, whatever the seeds of their tails.
    first, second = sisa.estimators_
    assert first._training.trunk == second._training.trunk
    assert any((weights(first)[n] != weights(second)[n]).any() for n in weights(first))


def test_states_are_computed_once_for_two_processes_that_share_a_folder(
    computed, tmp_path, monkeypatch
):
    whole = make_sisa(CONFIGS[0]).fit(TEXTS, Y)
    computed.clear()
    params = {"cache_dir": str(tmp_path / "states")}
    one = make_sisa(CONFIGS[0], params).fit(TEXTS, Y)
    monkeypatch.setattr(_cache, "_in_memory", {})  # as a new process begins
    other = make_sisa(CONFIGS[0], params).fit(TEXTS, Y)
    assert sum(computed) == len(TEXTS)
    assert_array_equal(whole.transform(TEXTS), one.transform(TEXTS))
    assert_array_equal(whole.transform(TEXTS), other.transform(TEXTS))


def test_a_small_budget_changes_time_but_no_bit(monkeypatch, computed):
    ample = make_sisa(CONFIGS[0]).fit(TEXTS, Y)
    assert sum(computed) == len(TEXTS)
    monkeypatch.setattr(_cache, "_in_memory", {})
    monkeypatch.setattr(_states, "_MAX_BYTES", 10_000)
    tight = make_sisa(CONFIGS[0]).fit(TEXTS, Y)
    assert sum(computed) > 2 * len(TEXTS)
    (cache,) = _cache._in_memory.values()
    assert cache._n_bytes <= 10_000
    assert_array_equal(tight.transform(TEXTS), ample.transform(TEXTS))


@pytest.mark.parametrize("lora", [None, {"r": 2}], ids=["layers", "adapters"])
@KINDS
def test_what_a_forgotten_text_said_has_no_influence(config, lora):
    if lora:
        pytest.importorskip("peft")
    gone = [0, 11, 40, 59]
    texts, labels = list(TEXTS), Y.copy()
    for row in gone:
        texts[row] = "quite another text " * (1 + row % 3)
        labels[row] = 1 - labels[row]
    one = make_sisa(config, {"lora": lora, "cache_dtype": "float16"}).fit(TEXTS, Y)
    other = make_sisa(config, {"lora": lora, "cache_dtype": "float16"}).fit(
        texts, labels
    )
    assert digests(one) != digests(other)
    one.forget(gone, relearn=False).relearn()
    other.forget(gone[::-1])
    assert digests(one) == digests(other)
    assert one.verify_forgotten()
    assert_array_equal(one.transform(TEXTS), other.transform(TEXTS))


def test_amended_and_appended_texts_count_as_if_they_had_always_been_there():
    texts = list(TEXTS)
    texts[7] = "a text with a slip"
    one = make_sisa(CONFIGS[0]).fit(texts, Y).amend([7], [TEXTS[7]], [Y[7]])
    assert digests(one) == digests(make_sisa(CONFIGS[0]).fit(TEXTS, Y))
    one.partial_fit(["one more", "and another"], [0, 1])
    assert one.forget([61]).verify_forgotten()


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.heavy)])
def test_directories_and_processes_give_the_same_bits(tmp_path, n_jobs):
    learner = {"cache_dir": str(tmp_path / "states")}
    sisa = make_sisa(
        CONFIGS[0], learner, checkpoint_dir=tmp_path / "kept", n_jobs=n_jobs
    ).fit(TEXTS, Y)
    assert digests(sisa) == digests(make_sisa(CONFIGS[0], learner).fit(TEXTS, Y))
    reopened = SISAClassifier.load(tmp_path / "kept")
    assert_array_equal(reopened.transform(TEXTS), sisa.transform(TEXTS))
    assert reopened.forget([3]).verify_forgotten()


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_forgotten_text_leaves_no_states_in_memory_nor_in_files(tmp_path, dtype):
    states, kept = tmp_path / "states", tmp_path / "kept"
    learner = {"cache_dir": str(states), "cache_dtype": dtype}
    sisa = make_sisa(CONFIGS[0], learner, checkpoint_dir=kept).fit(TEXTS, Y)
    (cache,) = _cache._in_memory.values()
    own = cache.get([TEXTS[12]])[0]
    # States of padding and of the first token alone differ between texts as well.
    needles = [own.tobytes(), own[0].tobytes(), own[-1].tobytes(), TEXTS[12].encode()]

    def found():
        files = [p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()]
        files += [pickle.dumps(sisa), *(a.tobytes() for a in cache._vectors.values())]
        return [sum(needle in place for place in files) for needle in needles]

    assert min(found()) > 0
    sisa.forget(12, relearn=False)
    assert max(found()) == 0
    sisa.relearn()
    assert max(found()) == 0
    assert (
        sisa.estimators_[0].set_params(cache_dir=states).forget_states([TEXTS[13]]) == 2
    )


def test_a_text_that_a_step_cleaned_leaves_the_cache_with_its_row():
    clean = FunctionTransformer(upper)
    sisa = make_sisa(CONFIGS[0])
    learner = make_pipeline("passthrough", clean, sisa.estimator)
    sisa.set_params(estimator=learner).fit(TEXTS, Y)
    (cache,) = _cache._in_memory.values()
    assert cache.get([TEXTS[12].upper()])[0] is not None
    sisa.forget(12)
    assert cache.get([TEXTS[12].upper()])[0] is None
    assert sisa.verify_forgotten()
    wrong = [*TEXTS[:-1], None]
    with pytest.raises(TypeError, match="position 59 is missing"):
        clone(sisa).set_params(estimator__functiontransformer__func=None).fit(wrong, Y)


def test_a_text_that_is_forgotten_while_it_is_trained_on_leaves_the_caches(monkeypatch):
    sisa = make_sisa(CONFIGS[0], n_shards=1).fit(TEXTS, Y).forget(3, relearn=False)
    requests = [12]

    def forgetting(texts, *args, **kwargs):
        # Another request comes after training was given the rows.
        for row in requests[:1]:
            requests.clear()
            other = threading.Thread(
                target=sisa.forget, args=[row], kwargs={"relearn": False}
            )
            other.start()
            other.join(60)
            assert row in sisa.forgotten_
        return _states.states_of(texts, *args, **kwargs)

    monkeypatch.setattr(_classifier, "states_of", forgetting)
    sisa.relearn()
    assert not requests
    (cache,) = _cache._in_memory.values()
    assert [states is None for states in cache.get([TEXTS[3], TEXTS[12]])] == [1, 1]
    assert sisa.verify_forgotten()


def test_a_text_that_another_estimator_forgot_leaves_the_memory_of_this_one(tmp_path):
    sisa = make_sisa(CONFIGS[0], checkpoint_dir=tmp_path).fit(TEXTS, Y)
    here, elsewhere = _cache._in_memory, {}
    with pytest.MonkeyPatch.context() as patch:  # as in another process
        patch.setattr(_cache, "_in_memory", elsewhere)
        SISAClassifier.load(tmp_path).forget(12)
    (cache,) = here.values()
    assert cache.get([TEXTS[12]])[0] is not None
    sisa.forget(3)
    assert cache.get([TEXTS[12]]) == [None]


def test_what_is_served_predicts_the_same_and_holds_neither_states_nor_paths(tmp_path):
    model, states = tmp_path / "model", tmp_path / "states"
    torch.manual_seed(0)
    AutoModelForSequenceClassification.from_config(CONFIGS[0]).save_pretrained(model)
    wordlevel().save_pretrained(model)
    sisa = make_sisa(str(model), {"cache_dir": str(states)}).fit(TEXTS, Y)
    expected = sisa.transform(TEXTS)
    (cache,) = _cache._in_memory.values()
    own = cache.get([TEXTS[12]])[0].tobytes()
    served = pickle.dumps(sisa.for_serving())
    assert own not in served
    assert str(tmp_path).encode() not in served
    shutil.rmtree(model)
    _cache._in_memory.clear()
    assert_array_equal(pickle.loads(served).transform(TEXTS), expected)


class Cleaner(TransformerMixin, BaseEstimator):
    """A step that scikit-learn takes for one that learns."""

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        return upper(X)


def test_behind_a_step_that_may_learn_a_deletion_empties_the_caches(tmp_path):
    sisa = make_sisa(CONFIGS[0], {"cache_dir": str(tmp_path)})
    sisa.set_params(estimator=make_pipeline(Cleaner(), sisa.estimator)).fit(TEXTS, Y)
    (cache,) = _cache._in_memory.values()
    needle = cache.get([TEXTS[12].upper()])[0].tobytes()
    (path,) = tmp_path.iterdir()
    assert needle in path.read_bytes()
    sisa.forget(12)
    assert cache.get([TEXTS[12].upper()]) == [None]
    assert needle not in path.read_bytes()
    assert sisa.verify_forgotten()


@pytest.mark.filterwarnings("ignore::sklearn_fairsisa.exceptions.DegenerateRuleWarning")
def test_a_fair_rule_asks_the_trunk_nothing_new_and_erases_calibration_texts(computed):
    fair = FairEnsemblePostprocessor(make_sisa(CONFIGS[0]), random_state=0)
    group = np.arange(len(Y)) // 2 % 2
    fair.fit(np.array(TEXTS, dtype=object), Y, sensitive_features=group)
    assert sum(computed) == len(TEXTS)
    (cache,) = _cache._in_memory.values()
    for row in {fair.calibration_indices_[0], fair.estimator_.plan_.rows(0)[0]}:
        assert cache.get([TEXTS[row]])[0] is not None
        fair.forget(int(row))
        assert cache.get([TEXTS[row]])[0] is None


@pytest.mark.filterwarnings(
    "ignore::sklearn_fairsisa.exceptions.UnsupportedToleranceWarning"
)
@pytest.mark.parametrize("known", [True, False], ids=["known", "inferred"])
def test_evidence_that_knows_the_group_reads_tails_and_forgets_with_them(
    known, computed
):
    # What a word means depends on the group, which members do not know.
    rng, group = np.random.default_rng(0), np.arange(160) % 2
    north = rng.integers(0, 2, 160)
    y = np.where(rng.random(160) < 0.05, 1 - north, north) ^ group
    texts = [f"{('south', 'north')[w]} wind {i}" for i, w in enumerate(north)]
    if not known:  # then texts must tell it
        texts = [f"{('sea', 'land')[a]} {t}" for a, t in zip(group, texts)]
    gone = [3, 40, 41, 111]
    fitted = []
    for other in (False, True):
        own, labels, groups = np.array(texts, dtype=object), y.copy(), group.copy()
        if other:
            own[gone], labels[gone], groups[gone] = "sun", 1 - y[gone], 1 - group[gone]
        fair = FairEnsemblePostprocessor(
            make_sisa(CONFIGS[0], n_slices=1, epochs=1),
            objective="balanced_accuracy_score",
            sensitive_at_predict=known,
            random_state=0,
        ).fit(own, labels, sensitive_features=groups)
        assert not known or "head" in fair.member_weights_
        fitted.append(fair.forget(gone))
        assert fair.estimator_.verify_forgotten()
    assert sum(computed) == 160 + 1
    given = {"sensitive_features": group} if known else {}
    one, other = (fair.selection_probability(texts, **given) for fair in fitted)
    assert_array_equal(one, other)
    assert balanced_accuracy_score(y, one > 0.5) > (0.85 if known else 0.75)
    scores = fitted[0].estimator_.transform(texts).mean(axis=1)
    assert balanced_accuracy_score(y, scores > 0.5) < 0.7


def test_a_checkpoint_holds_the_tail_alone(minilm):
    clf = classifier(minilm).fit(TEXTS, Y)
    trained = sum(w.numel() for w in clf.net_.module_.parameters() if w.requires_grad)
    assert len(pickle.dumps(clf)) < 3 * 4 * trained + 100_000
    assert trained < 0.1 * sum(w.numel() for w in clf.net_.module_.parameters())


@FAMILIES
def test_adapters_stay_within_the_last_layers(config):
    pytest.importorskip("peft")
    clf = classifier(config, lora={"r": 2}).fit(TEXTS, Y)
    named = clf.net_.module_.named_parameters()
    trained = {name for name, weight in named if weight.requires_grad}
    assert layers_of(trained) == {2}
    assert all("lora_" in name for name in trained if layers_of([name]) == {2})
    assert not any(".encoder.block." in name for name in trained)


@pytest.mark.parametrize("targets", ["all-linear", r".*\.(query|value)"])
def test_layers_to_adapt_are_named_as_in_peft(targets):
    pytest.importorskip("peft")
    lora = {"r": 2, "target_modules": targets}
    clf = classifier(CONFIGS[0], lora=lora).fit(TEXTS, Y)
    assert layers_of({n for n in weights(clf) if "lora_A" in n}) == {2}
    with pytest.raises(ValueError, match="lora has nothing to adapt"):
        clone(clf).set_params(trainable_layers=0).fit(TEXTS, Y)
    with pytest.raises(ValueError, match="lora would train weights below the last 1"):
        clone(clf).set_params(lora={"r": 2, "bias": "all"}).fit(TEXTS, Y)


@pytest.mark.parametrize("config", [CONFIGS[9], CONFIGS[11]], ids=["BART", "T5"])
def test_training_drops_nothing_of_the_states(config):
    clf = classifier(config, max_epochs=0).fit(TEXTS, Y)
    net, tokens = clf.net_, clf._tokens(clf._training, TEXTS[:4])[0]
    net._set_training(True)
    inputs = tokens.padded(np.arange(4), 0)
    given = []
    layer = next(part for name, part in net._tail.view.named_modules()
                 if name.endswith(("decoder.layers.0", "decoder.block.0")))  # fmt: skip
    layer.register_forward_pre_hook(lambda part, args: given.append(args[0]))
    net.infer(inputs)
    assert torch.equal(given[0], inputs["states"][..., 16:])


@pytest.mark.parametrize(
    ("config", "params", "message"),
    [
        (CONFIGS[0], {"trainable_layers": 4}, "=4, but the model has 3 layers"),
        (CONFIGS[6], {"trainable_layers": 9}, "=9, but the model has 3 layers"),
        (CONFIGS[0], {"trainable_layers": -1}, "'trainable_layers' parameter"),
        (CONFIGS[0], {"trainable_layers": True}, "'trainable_layers' parameter"),
        (CONFIGS[0], {"trainable_layers": 1.0}, "'trainable_layers' parameter"),
        (CONFIGS[0], {"cache_dtype": "int8"}, "'cache_dtype' parameter"),
        (CONFIGS[0], {"freeze": "embeddings"}, "freeze= and trainable_layers="),
        (
            AlbertConfig(**SIZES, embedding_size=16),
            {},
            "for an ALBERT, whose layers share",
        ),
        (tiny_modernbert(num_hidden_layers=2), {}, "of type 'modernbert', whose"),
        (CONFIGS[11], {"trainable_layers": 4}, "has 3 layers in its decoder"),
        (LEDConfig(vocab_size=300, d_model=16), {}, "model of type 'led', whose"),
        (BertConfig(**SIZES, is_encoder_decoder=True), {}, "of type 'bert', whose"),
    ],
)  # fmt: skip
def test_layers_that_cannot_be_trained_alone_are_refused(config, params, message):
    good = classifier(CONFIGS[0]).fit(TEXTS, Y)
    before = good._logits(TEXTS)
    with pytest.raises(ValueError, match=message):
        classifier(config, **params).fit(TEXTS, Y)
    with pytest.raises(ValueError, match=message):
        good.set_params(model=config, **params).fit(TEXTS, Y)
    good.set_params(freeze=None, cache_dtype="float32", trainable_layers=1)
    assert_array_equal(good._logits(TEXTS), before)


def wordlevel():
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "sun": 4}
    return BertTokenizerFast(vocab=vocabulary)


def test_a_trunk_without_pretrained_weights_is_refused(tmp_path):
    language_model = AutoModelForMaskedLM.from_config(tiny_bert(num_hidden_layers=2))
    language_model.save_pretrained(tmp_path)
    # Nothing there has a weight for the third layer.
    kwargs = {"num_hidden_layers": 3}
    clf = classifier(str(tmp_path), tokenizer=wordlevel(), model_kwargs=kwargs)
    clf.fit(TEXTS, Y)
    with pytest.raises(ValueError, match=r"no pretrained weights for.*layer\.2"):
        clf.set_params(trainable_layers=0).fit(TEXTS, Y)


def test_caches_of_another_model_length_or_precision_are_never_mixed(
    tmp_path, computed
):
    for n, params in enumerate(
        [{}, {"cache_dtype": "float16"}, {"max_length": 8}, {"trainable_layers": 2}], 1
    ):
        clf = classifier(CONFIGS[0], cache_dir=tmp_path, max_epochs=0, **params)
        clf.fit(TEXTS, Y).predict(TEXTS)
        assert len(list(tmp_path.iterdir())) == n
        assert sum(computed) == n * len(TEXTS)
    wide = classifier(tiny_bert(num_hidden_layers=3, num_attention_heads=4))
    # Equal weights, other heads, other states.
    wide.set_params(cache_dir=tmp_path, max_epochs=0).fit(TEXTS, Y)
    assert len(list(tmp_path.iterdir())) == 5


def test_texts_longer_than_the_states_that_are_kept_are_cut_as_in_training(computed):
    clf = classifier(CONFIGS[0], max_length=6).fit(TEXTS, Y)
    long = ["much " * 30, "much much much much"]
    first, second = clf._logits(long)
    assert_array_equal(first, second)
    computed.clear()
    # A fitted classifier keeps its length.
    assert_array_equal(clf.set_params(max_length=48)._logits(long), [first, second])
    assert not computed


def test_a_file_that_is_no_cache_is_named_before_training(tmp_path):
    clf = classifier(CONFIGS[0], cache_dir=tmp_path, max_epochs=0).fit(TEXTS, Y)
    (path,) = tmp_path.iterdir()
    path.write_bytes(b"something else" * 1000)
    _cache._in_memory.clear()
    with pytest.raises(OSError, match=f"{path.name}' cannot be read: .* Delete it"):
        clf.set_params(max_epochs=1).fit(TEXTS, Y)


def test_the_number_of_threads_changes_no_prediction():
    clf = classifier(CONFIGS[0]).fit(TEXTS, Y)
    before, n_threads = clf._logits(TEXTS), torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        clf.forget_states(TEXTS)
        assert_array_equal(clf._logits(TEXTS), before)
    finally:
        torch.set_num_threads(n_threads)


def test_a_file_with_the_states_of_other_texts_is_refused_before_training(tmp_path):
    clf = classifier(CONFIGS[0], cache_dir=tmp_path, max_epochs=0).fit(TEXTS, Y)
    (path,) = tmp_path.iterdir()
    cache = _cache.DiskCache(path)
    cache.put([TEXTS[5]], [np.ones((3, 32), dtype=np.float32)])
    _cache._in_memory.clear()
    with pytest.raises(ValueError, match=r"holds 96 numbers .* position 5.*delete its"):
        clf.set_params(max_epochs=1).fit(TEXTS, Y)


def test_states_too_large_for_half_precision_are_refused_before_training(tmp_path):
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(CONFIGS[0])
    with torch.no_grad():
        model.bert.encoder.layer[1].output.LayerNorm.weight.fill_(1e6)
    model.save_pretrained(tmp_path)
    clf = classifier(str(tmp_path), tokenizer=wordlevel(), cache_dtype="float16")
    with pytest.raises(ValueError, match=r"not finite in float16. Give cache_dtype"):
        clf.fit(TEXTS, Y)
    clf.set_params(cache_dtype="float32").fit(TEXTS, Y)


def test_a_watched_share_passes_through_the_trunk_too(computed):
    clf = classifier(CONFIGS[0], watch=0.2).fit(TEXTS, Y)
    assert np.isfinite(clf.history_[0]["watched_loss"])
    assert sum(computed) == len(TEXTS)
    other = classifier(CONFIGS[0], watch=(["sun", "rain"], [0, 1])).fit(TEXTS, Y)
    assert other.history_[0]["watched_rows"] == 2
    assert sum(computed) == len(TEXTS) + 2
