import copy
import pickle
import random

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.utils.class_weight import compute_class_weight
from skorch.callbacks import Callback
from tiny import sentences, tiny_bert, tiny_gpt2
from transformers import AutoModelForSequenceClassification, get_scheduler

from sklearn_fairsisa.text import TransformerClassifier
from sklearn_fairsisa.text._net import learning_rate_factor
from sklearn_fairsisa.text._tokens import HashingTokenizer

MODELS = pytest.mark.parametrize("model", [tiny_bert, tiny_gpt2], ids=["bert", "gpt2"])


def classifier(model=None, **params):
    defaults = {"batch_size": 8, "lr": 5e-3, "max_epochs": 2, "random_state": 0}
    model = tiny_bert() if model is None else model
    return TransformerClassifier(model, **{**defaults, **params})


def without_dropout():
    return tiny_bert(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


def weights(clf):
    return {k: v.numpy().copy() for k, v in clf.net_.module_.state_dict().items()}


def assert_same_weights(a, b, compare=assert_array_equal):
    a, b = weights(a), weights(b)
    assert a.keys() == b.keys()
    for name in a:
        compare(a[name], b[name], err_msg=name)


@MODELS
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_new_network_learns(model, n_classes):
    texts, y = sentences(150, n_classes)
    new_texts, new_y = sentences(100, n_classes, seed=1)
    names = np.array(["fair", "wet", "white"])
    clf = classifier(model(), max_epochs=6).fit(texts, names[y])
    assert clf.score(new_texts, names[new_y]) > 0.9
    proba = clf.predict_proba(new_texts)
    assert proba.shape == (100, n_classes)
    assert_allclose(proba.sum(axis=1), 1, rtol=1e-12)
    assert_array_equal(clf.classes_[proba.argmax(axis=1)], clf.predict(new_texts))
    scores = clf.decision_function(new_texts)
    if n_classes == 2:
        assert_allclose(1 / (1 + np.exp(-scores)), proba[:, 1], rtol=1e-5)
    else:
        assert_array_equal(scores.argmax(axis=1), proba.argmax(axis=1))


def test_training_equals_a_loop_written_by_hand():
    texts, y = sentences(16)
    clf = classifier(without_dropout(), batch_size=16, scheduler="constant", warmup=0)
    start = clone(clf).set_params(max_epochs=0).fit(texts, y)
    clf.set_params(max_epochs=3, weight_decay=0.1, max_grad_norm=0.5).fit(texts, y)

    module = start.net_.module_.train()
    decayed = [p for p in module.parameters() if p.ndim > 1]
    others = [p for p in module.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed}, {"params": others, "weight_decay": 0}],
        lr=5e-3,
        weight_decay=0.1,
    )
    tokenizer = start._training.tokenizer
    rows = [tokenizer.encode(text) for text in texts]
    ids = torch.zeros(16, max(map(len, rows)), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
    for _ in range(3):
        optimizer.zero_grad()
        module(
            input_ids=ids, attention_mask=(ids != 0).long(), labels=torch.tensor(y)
        ).loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 0.5)
        optimizer.step()
    assert_same_weights(clf, start, lambda a, b, err_msg: assert_allclose(
        a, b, atol=2e-5, err_msg=err_msg
    ))  # fmt: skip


@MODELS
def test_logits_are_the_models_for_each_text_alone(model):
    texts, y = sentences(30)
    texts += ["", "zyzzyva " * 100, "?!", "sun"]
    clf = classifier(model()).fit(texts[:30], y)
    module, tokenizer = clf.net_.module_.eval(), clf._training.tokenizer
    expected = []
    for text in texts:
        ids = tokenizer.encode(text)
        if len(ids) > 64:
            ids = [*ids[:63], ids[-1]]
        with torch.inference_mode():
            expected.append(module(input_ids=torch.tensor([ids])).logits[0].numpy())
    logits = clf._logits(texts)
    assert_allclose(logits, np.stack(expected), atol=1e-5)


def test_texts_are_tokenised_once_and_inferred_without_gradients(monkeypatch):
    texts, y = sentences(20)
    encode_all, tokenised = HashingTokenizer.encode_all, []

    def counting(self, texts):
        tokenised.extend(texts)
        return encode_all(self, texts)

    monkeypatch.setattr(HashingTokenizer, "encode_all", counting)
    clf = classifier(max_epochs=3).fit(texts, y)
    assert tokenised == texts
    modes = []
    clf.net_.module_.register_forward_pre_hook(
        lambda module, args: modes.append(
            (torch.is_inference_mode_enabled(), module.training)
        )
    )
    clf.predict(texts)
    assert set(modes) == {(True, False)}
    clf.partial_fit(texts, y)
    assert set(modes[-2:]) == {(False, True)}


@pytest.mark.parametrize("tokens_per_batch", ["auto", 512])
def test_other_texts_do_not_change_a_prediction(tokens_per_batch):
    texts, y = sentences(60)
    clf = classifier(tokens_per_batch=tokens_per_batch).fit(texts, y)
    together = clf.predict_proba(texts)
    alone = np.concatenate([clf.predict_proba([text]) for text in texts])
    assert_array_equal(together, alone)
    assert_array_equal(clf.predict_proba(texts[::-1]), together[::-1])


def test_texts_are_predicted_as_many_tokens_at_a_time_as_asked():
    texts, y = sentences(60)
    clf, shapes = classifier(max_epochs=0).fit(texts, y), []
    clf.net_.module_.register_forward_pre_hook(
        lambda module, args, kwargs: shapes.append(kwargs["input_ids"].shape),
        with_kwargs=True,
    )
    for tokens_per_batch in (32, 512):
        shapes.clear()
        clf.set_params(tokens_per_batch=tokens_per_batch).predict(texts)
        assert {rows * columns for rows, columns in shapes} == {tokens_per_batch}


@MODELS
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_stopping_and_resuming_gives_the_same_bits_as_never_stopping(model, optimizer):
    texts, y = sentences(40)
    params = {"optimizer": optimizer, "scheduler_epochs": 3}
    whole = classifier(model(), max_epochs=3, **params).fit(texts, y)

    parts = classifier(model(), max_epochs=1, **params).fit(texts, y)
    copied = copy.deepcopy(parts)
    parts.predict(texts)  # which must change nothing
    for step in (lambda c: pickle.loads(pickle.dumps(c)), copy.deepcopy):
        copied = step(copied).partial_fit(texts, y)
    parts.partial_fit(texts, y).partial_fit(texts, y)
    for resumed in (parts, copied):
        assert_same_weights(whole, resumed)
        assert resumed.history_ == whole.history_
        assert_array_equal(resumed.predict_proba(texts), whole.predict_proba(texts))


def test_a_copy_does_not_train_with_the_original():
    texts, y = sentences(20)
    clf = classifier().fit(texts, y)
    twin = copy.deepcopy(clf)
    before = weights(clf)
    twin.partial_fit(texts, y)
    for name, value in weights(clf).items():
        assert_array_equal(value, before[name])
    assert any((weights(twin)[name] != before[name]).any() for name in before)


def test_stages_follow_from_checkpoint_seed_and_rows():
    texts, y = sentences(40)

    def stage(clf, seed, n):
        clf = copy.deepcopy(clf).set_params(random_state=seed, max_epochs=1)
        return clf.partial_fit(texts[:n], y[:n], classes=np.arange(3))

    first = stage(classifier(), 5, 20)
    assert_array_equal(first.classes_, [0, 1, 2])  # of which y has two
    second = stage(first, 6, 40)
    assert_same_weights(second, stage(pickle.loads(pickle.dumps(first)), 6, 40))
    assert_same_weights(second, stage(first, np.int64(6), 40))
    other = weights(stage(first, 7, 40))
    assert any((value != other[name]).any() for name, value in weights(second).items())


@MODELS
def test_an_int_random_state_repeats_and_leaves_the_process_generators(model):
    texts, y = sentences(30)
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)

    def states():
        return torch.get_rng_state(), np.random.get_state()[1], random.getstate()  # noqa: NPY002

    before = states()
    a = classifier(model()).fit(texts, y)
    a.predict(texts)
    for state, now in zip(before, states()):
        assert np.array_equal(state, now) if len(state) > 3 else state == now
    torch.rand(3)
    assert_same_weights(a, classifier(model()).fit(texts, y))
    other = weights(classifier(model(), random_state=1).fit(texts, y))
    assert any((value != other[name]).any() for name, value in weights(a).items())


def test_fit_begins_anew():
    texts, y = sentences(20)
    clf = classifier().fit(texts, y)
    first = weights(clf)
    clf.fit(texts, y)
    for name, value in weights(clf).items():
        assert_array_equal(value, first[name])
    assert len(clf.history_) == 2


def test_accumulated_batches_are_one_large_batch():
    texts, y = sentences(50)
    large = classifier(without_dropout(), batch_size=12, optimizer="sgd", lr=0.1)
    small = clone(large).set_params(batch_size=4, gradient_accumulation=3)
    assert_same_weights(
        large.fit(texts, y),
        small.fit(texts, y),
        lambda a, b, err_msg: assert_allclose(a, b, atol=1e-5, err_msg=err_msg),
    )


def test_a_class_weighs_as_much_as_its_rows_repeated():
    texts, y = sentences(12)
    params = {"batch_size": 64, "optimizer": "sgd", "lr": 0.1, "max_epochs": 1}
    weighted = classifier(without_dropout(), class_weight={1: 3}, **params)
    repeated = classifier(without_dropout(), **params)
    many = [text for text, label in zip(texts, y) for _ in range(3 if label else 1)]
    assert_same_weights(
        weighted.fit(texts, y),
        repeated.fit(many, np.repeat(y, np.where(y, 3, 1))),
        lambda a, b, err_msg: assert_allclose(a, b, atol=1e-6, err_msg=err_msg),
    )
    # A class that the rows lack has no weight to compute, which is fine.
    classifier(class_weight="balanced").partial_fit(texts, y, classes=[0, 1, 2])


@pytest.mark.parametrize("precision", [None, "fp16"])
def test_rows_of_a_class_without_weight_leave_no_trace(precision):
    texts, y = sentences(24)
    params = {"batch_size": 2, "class_weight": {1: 0}, "mixed_precision": precision}
    clf = classifier(without_dropout(), **params).fit(texts, y)
    others = [
        " ".join(["thunder"] * len(text.split())) if label else text
        for text, label in zip(texts, y)
    ]
    assert_same_weights(clf, clone(clf).fit(others, y))
    assert np.isfinite(clf.predict_proba(texts)).all()


def test_the_optimizer_may_be_told_how_to_step():
    texts, y = sentences(12)
    chosen = classifier(optimizer_params={"foreach": True}).fit(texts, y)
    assert_same_weights(
        chosen,
        classifier().fit(texts, y),
        lambda a, b, err_msg: assert_allclose(a, b, atol=1e-5, err_msg=err_msg),
    )
    assert chosen.net_.optimizer_.defaults["foreach"]


@pytest.mark.parametrize("n_classes", [2, 3])
def test_balanced_weights_are_those_of_scikit_learn(n_classes):
    texts, y = sentences(40, n_classes)
    y[y == 1] = np.where(np.arange((y == 1).sum()) % 3, 0, 1)
    weight = compute_class_weight("balanced", classes=np.unique(y), y=y)
    assert np.ptp(weight) > 0.5
    balanced = classifier(class_weight="balanced").fit(texts, y)
    weighted = classifier(class_weight=dict(enumerate(weight))).fit(texts, y)
    assert_same_weights(balanced, weighted)


@pytest.mark.parametrize("warmup", [0.0, 0.25])
@pytest.mark.parametrize("name", ["linear", "cosine", "constant"])
def test_schedules_agree_with_those_of_transformers(name, warmup):
    n_steps = 40
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = get_scheduler(
        "constant_with_warmup" if name == "constant" else name,
        optimizer,
        num_warmup_steps=int(warmup * n_steps),
        num_training_steps=n_steps,
    ).lr_lambdas[0]
    for step in range(n_steps):
        ours = learning_rate_factor((step + 0.5) / n_steps, name, warmup)
        assert ours == pytest.approx(theirs(step + 0.5), abs=1e-12)


def test_a_schedule_may_be_a_function_of_the_share_done():
    course = [
        learning_rate_factor(p, lambda done: 1 - done**2, 0.5) for p in (0.25, 0.5, 1)
    ]
    assert course == [0.5, 1.0, 0.0]


def test_the_schedule_is_as_long_as_the_rows_given():
    class Rates(Callback):
        fairsisa_role = "watches"

        def on_grad_computed(self, net, **kwargs):
            rates.append(net.optimizer_.param_groups[0]["lr"])

    for n in (16, 40):
        rates = []
        texts, y = sentences(n)
        clf = classifier(callbacks=[Rates], lr=1.0, warmup=0.25, max_epochs=2)
        clf.fit(texts, y)
        n_steps = 2 * n // 8
        p = (np.arange(n_steps) + 0.5) / n_steps
        assert_allclose(rates, np.where(p < 0.25, p / 0.25, (1 - p) / 0.75))


@pytest.mark.parametrize("layers", [1])
def test_a_pretrained_encoder_keeps_its_weights_and_gets_a_head(minilm, layers):
    texts, y = sentences(40)
    params = {"model_kwargs": {"num_hidden_layers": layers}, "max_epochs": 0}
    clf = classifier(minilm, **params).fit(texts, y)
    own = weights(clf)
    theirs = AutoModelForSequenceClassification.from_pretrained(
        minilm, num_hidden_layers=layers
    ).state_dict()
    assert own.keys() == theirs.keys()
    for name, value in theirs.items():
        if not name.startswith("classifier"):
            assert_array_equal(own[name], value.numpy(), err_msg=name)
    head = own["classifier.weight"]
    assert 0.01 < head.std() < 0.03
    again = weights(classifier(minilm, **params).fit(texts, y))
    assert_array_equal(head, again["classifier.weight"])
    other = weights(classifier(minilm, random_state=1, **params).fit(texts, y))
    assert (head != other["classifier.weight"]).any()


def test_a_pretrained_encoder_learns(minilm):
    texts, y = sentences(80)
    kwargs = {"num_hidden_layers": 2}
    clf = classifier(minilm, model_kwargs=kwargs, lr=5e-4, max_epochs=3)
    assert clf.fit(texts, y).score(texts, y) > 0.9


def test_a_pretrained_encoder_resumes_with_the_same_bits(minilm):
    texts, y = sentences(24)
    kwargs = {"num_hidden_layers": 1}
    clf = classifier(minilm, model_kwargs=kwargs, max_epochs=1, scheduler_epochs=2)
    whole = clone(clf).set_params(max_epochs=2).fit(texts, y)
    resumed = pickle.loads(pickle.dumps(clf.fit(texts, y)))
    assert_same_weights(whole, resumed.partial_fit(texts, y))


def test_truncated_texts_are_counted_and_reported(minilm, capsys):
    texts = ["one two three four five six seven eight", "one two three", "one"] * 4
    y = [0, 1, 0] * 4
    for model in (tiny_bert(), minilm):
        clf = classifier(
            model,
            max_length=5,  # three words, between the marks of start and end
            max_epochs=0,
            verbose=1,
            model_kwargs={"num_hidden_layers": 1},
        ).fit(texts, y)
        assert clf.n_truncated_ == 4
        assert "4 of 12 texts are longer than 5 tokens" in capsys.readouterr().out
    clf = classifier(max_length=1000).fit(texts, y)
    assert clf.max_length_ == 64  # all that the model has positions for
    assert clf.n_truncated_ == 0


def test_verbose_prints_a_line_per_epoch(capsys):
    texts, y = sentences(20)
    classifier(verbose=1, max_epochs=2).fit(texts, y)
    lines = capsys.readouterr().out.splitlines()
    assert "train_loss" in lines[0]
    assert len(lines) == 4


def test_searching_parameters_works():
    texts, y = sentences(30)
    search = GridSearchCV(
        classifier(max_epochs=1), {"lr": [1e-3, 1e-2]}, cv=2, error_score="raise"
    ).fit(np.array(texts), y)
    assert search.best_params_["lr"] in (1e-3, 1e-2)


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, RuntimeError])
def test_a_training_cut_short_does_not_pass_for_a_whole_one(interrupt):
    class Stop(Callback):
        fairsisa_role = "watches"

        def on_epoch_end(self, net, **kwargs):
            raise interrupt

    texts, y = sentences(20)
    clf = classifier().fit(texts, y)
    with pytest.raises(interrupt):
        clf.set_params(callbacks=[Stop()]).partial_fit(texts, y)
    assert not clf.__sklearn_is_fitted__()
    assert not hasattr(clf, "classes_")


def test_running_out_of_memory_gives_advice():
    class Greedy(Callback):
        fairsisa_role = "watches"

        def on_batch_begin(self, net, **kwargs):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    texts, y = sentences(20)
    with pytest.raises(MemoryError, match=r"batch_size=8.*gradient_accumulation"):
        classifier(callbacks=[Greedy()]).fit(texts, y)


def test_running_out_of_memory_in_predictions_names_what_they_depend_on(monkeypatch):
    texts, y = sentences(20)
    clf = classifier(max_epochs=0).fit(texts, y)

    def greedy(*args):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(clf.net_, "infer", greedy)
    with pytest.raises(MemoryError, match="Lower tokens_per_batch or max_length"):
        clf.predict(texts)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"max_length": 0}, "'max_length' parameter .* Got 0 instead"),
        ({"batch_size": True}, "'batch_size' parameter .* Got True instead"),
        ({"tokens_per_batch": 0}, "'tokens_per_batch' parameter .* Got 0 instead"),
        ({"tokens_per_batch": 2**70}, r"range \[1, 2147483647\] .* Got 118059"),
        ({"text_column": 1.5}, "'text_column' parameter .* Got 1.5 instead"),
        ({"verbose": "loud"}, "'verbose' parameter .* Got 'loud' instead"),
        ({"batch_size": 2.5}, "'batch_size' parameter .* Got 2.5 instead"),
        ({"max_epochs": -1}, "'max_epochs' parameter .* Got -1 instead"),
        ({"lr": "fast"}, "'lr' parameter .* Got 'fast' instead"),
        ({"warmup": 1}, "'warmup' parameter .* Got 1 instead"),
        ({"scheduler": "step"}, "'scheduler' parameter .* Got 'step' instead"),
        ({"optimizer": "lion"}, "'optimizer' parameter .* Got 'lion' instead"),
        ({"optimizer": int}, "optimizer=int is not a torch optimizer"),
        ({"optimizer": torch.optim.LBFGS}, "LBFGS is not supported"),
        ({"optimizer": torch.optim.SparseAdam}, "SparseAdam is not supported"),
        ({"optimizer_params": {"weight_decay": 0.3}}, "Give them as lr= and weight_d"),
        ({"optimizer": "sgd", "optimizer_params": {"lr": 1}}, r"has \['lr'\]"),
        (
            {"mixed_precision": "int8"},
            "'mixed_precision' .* Got 'int8' instead",
        ),
        ({"lr": np.inf}, r"'lr' .* a float in the range \[0.0, inf\). Got inf"),
        ({"max_grad_norm": 0}, r"'max_grad_norm' .* in the range \(0.0, inf\).* Got 0"),
        ({"max_grad_norm": np.nan}, "'max_grad_norm' parameter .* Got nan instead"),
        ({"max_grad_norm": "a"}, "'max_grad_norm' parameter .* Got 'a' instead"),
        ({"callbacks": ["x"]}, "callbacks has a str"),
        (
            {"callbacks": Callback()},
            "'callbacks' .* of 'list'.* Got .*Callback",
        ),
        ({"random_state": -1}, "'random_state' .* must be an int .* Got -1 instead"),
        ({"random_state": 2**70}, f"'random_state' .* must be an int .* Got {2**70}"),
        ({"class_weight": {7: 1}}, r"class_weight names \[7\]"),
        ({"class_weight": {1: -1.0}}, r"class_weight\[1\]=-1.0 is not valid"),
        ({"class_weight": {1: np.nan}}, r"class_weight\[1\]=nan is not valid"),
        ({"class_weight": {1: "a"}}, r"class_weight\[1\]='a' is not valid"),
        ({"lora": 8}, "'lora' parameter .* Got 8 instead"),
    ],
)
def test_bad_parameters_are_named_before_anything_changes(params, message):
    texts, y = sentences(8)
    clf = classifier().fit(texts, y)
    before, good = clf.predict_proba(texts), clf.get_params(deep=False)
    with pytest.raises((ValueError, TypeError), match=message):
        clf.set_params(**params).fit(texts, y)
    assert_array_equal(clf.set_params(**good).predict_proba(texts), before)


def test_bad_rows_leave_a_fitted_classifier_as_it_is():
    texts, y = sentences(20)
    clf = classifier().fit(texts, y)
    before = clf.predict_proba(texts)
    with pytest.raises(ValueError, match="20 texts and y has 3 labels"):
        clf.partial_fit(texts, y[:3])
    with pytest.raises(TypeError, match="position 1 is missing: NoneType"):
        clf.partial_fit(["fine", None], [0, 1])
    with pytest.raises(ValueError, match=r"y has \[5\]"):
        clf.partial_fit(["fine"], [5])
    with pytest.raises(ValueError, match=r"classes=\[0, 1, 2\], but the first"):
        clf.partial_fit(["fine"], [0], classes=[0, 1, 2])
    with pytest.raises(ValueError, match="requires y"):
        clf.fit(texts, None)
    with pytest.raises(ValueError, match="y contains NaN or None"):
        clf.partial_fit(["fine", "too"], [0, None])
    with pytest.raises(OSError, match="not a folder here"):
        clf.set_params(model="no/such-model").fit(texts, y)
    assert_array_equal(clf.predict_proba(texts), before)


def test_what_is_not_a_model_is_refused(tmp_path):
    texts, y = sentences(8)
    with pytest.raises(TypeError, match="an instance of Linear"):
        classifier(torch.nn.Linear(1, 1)).fit(texts, y)
    with pytest.raises(TypeError, match=r"'model' parameter .*'os.PathLike'.* Got 3"):
        classifier(3).fit(texts, y)
    with pytest.raises(OSError, match=r"holds no loadable model.*config\.json"):
        classifier(tmp_path).fit(texts, y)
    with pytest.raises(TypeError, match=r"'tokenizer' parameter .* Got 3"):
        classifier(tokenizer=3).fit(texts, y)


def test_a_tokenizer_too_large_for_the_model_is_refused(minilm):
    with pytest.raises(ValueError, match="The tokenizer has 30522 tokens"):
        classifier(tokenizer=minilm).fit(*sentences(8))


@pytest.mark.parametrize("texts", [[""] * 4, ["", "a", "", "b c"], ["¿ß∂ƒ©˙∆˚¬"] * 4])
def test_texts_without_known_words_are_classified(texts, minilm):
    for model in (tiny_bert(), tiny_gpt2(), minilm):
        clf = classifier(
            model, batch_size=1, max_epochs=1, model_kwargs={"num_hidden_layers": 1}
        )
        proba = clf.fit(texts, [0, 1, 0, 1]).predict_proba(texts)
        assert np.isfinite(proba).all()
