"""SISA over transformers forgets texts exactly."""

import pickle
import random
import threading

import numpy as np
import pandas as pd
import pytest
import torch
from held import digests
from joblib import Parallel, delayed
from sklearn.compose import make_column_transformer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback
from tiny import sentences, tiny_bert, tiny_gpt2

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa._utils.isolation import forked_generators
from sklearn_fairsisa.text import TransformerClassifier, TransformerEmbedder
from sklearn_fairsisa.text._generators import Generators

TEXTS, Y = sentences(81)


def make_sisa(config, **params):
    learner = TransformerClassifier(config, batch_size=8, lr=3e-3, device="cpu")
    params = {"n_shards": 2, "n_slices": 2, "epochs": 3, "random_state": 0} | params
    return SISAClassifier(learner, **params)


@pytest.mark.parametrize("config", [tiny_bert(), tiny_gpt2()], ids=["BERT", "GPT-2"])
def test_what_a_forgotten_text_said_has_no_influence(config):
    gone = [0, 11, 40, 80]
    texts, labels = list(TEXTS), Y.copy()
    for row in gone:
        texts[row] = "quite another text " * (1 + row % 3)
        labels[row] = 1 - labels[row]
    one = make_sisa(config).fit(TEXTS, Y)
    other = make_sisa(config).fit(texts, labels)
    assert digests(one) != digests(other)
    assert digests(one.forget(gone)) == digests(other.forget(gone))
    assert one.verify_forgotten()
    np.testing.assert_array_equal(one.transform(TEXTS), other.transform(TEXTS))


def test_requests_in_any_order_and_through_pickles_end_in_the_same_state():
    one = make_sisa(tiny_bert()).fit(TEXTS, Y)
    other = pickle.loads(pickle.dumps(one))
    one.forget([5]).forget([70, 2])
    other.forget([2]).forget([70, 5])
    assert digests(one) == digests(other)


def test_parallel_training_gives_the_same_bits():
    alone = make_sisa(tiny_bert()).fit(TEXTS, Y)
    together = make_sisa(tiny_bert(), n_jobs=2).fit(TEXTS, Y)
    assert digests(alone) == digests(together)
    assert digests(alone.forget([1])) == digests(together.forget([1]))


def test_appended_texts_continue_and_can_be_forgotten():
    sisa = make_sisa(tiny_bert()).fit(TEXTS[:60], Y[:60])
    sisa.partial_fit(TEXTS[60:], Y[60:])
    assert sisa.n_rows_ == 81
    assert sisa.forget([3, 65]).verify_forgotten()


class Watching(Callback):
    """Keeps what each call of partial_fit trains with."""

    fairsisa_role = "watches"
    rates: list = []  # noqa: RUF012 - of all members
    class_weights: list = []  # noqa: RUF012

    def on_train_begin(self, net, **kwargs):
        self.rates.append([])
        self.class_weights.append(net.class_weight)

    def on_grad_computed(self, net, **kwargs):
        self.rates[-1].append(net.optimizer_.param_groups[0]["lr"])


@pytest.fixture
def watched():
    Watching.rates.clear()
    Watching.class_weights.clear()
    return Watching


def test_every_stage_has_a_schedule_as_long_as_the_rows_of_its_shard(watched):
    learner = TransformerClassifier(
        tiny_bert(), batch_size=4, lr=1.0, warmup=0.25, callbacks=[watched]
    )
    sisa = SISAClassifier(learner, n_shards=3, n_slices=2, epochs=3, random_state=0)
    sisa.fit(TEXTS, Y).forget(sisa.plan_.rows(1, 0)[:9])
    sizes = [
        [len(sisa.plan_.rows(shard, 0)), len(sisa.plan_.rows(shard))]
        for shard in range(3)
    ]
    stages = [*sizes[0], 14, 27, *sizes[2], 14 - 9, 27 - 9]
    assert len(watched.rates) == len(stages)
    for n_rows, rates in zip(stages, watched.rates):
        n_steps = 2 * -(-n_rows // 4)  # two passes each
        p = (np.arange(n_steps) + 0.5) / n_steps
        np.testing.assert_allclose(rates, np.where(p < 0.25, p / 0.25, (1 - p) / 0.75))


def test_balanced_weights_go_by_the_rows_of_a_shard(watched):
    learner = TransformerClassifier(
        tiny_bert(), batch_size=8, class_weight="balanced", callbacks=[watched]
    )
    sisa = SISAClassifier(learner, n_shards=2, n_slices=2, epochs=3, random_state=0)
    y = np.where(np.arange(81) < 20, 0, 1)  # few zeros
    sisa.fit(TEXTS, y)
    counts = [
        np.bincount(y[rows])
        for shard in range(2)
        for rows in (sisa.plan_.rows(shard, 0), sisa.plan_.rows(shard))
    ]
    assert len(watched.class_weights) == len(counts)
    for weight, count in zip(watched.class_weights, counts):
        np.testing.assert_allclose(weight, count.sum() / (2 * count), rtol=1e-6)
    assert sisa.forget([0, 1, 2, 70]).verify_forgotten()


def test_three_classes_of_which_a_shard_may_lack_one():
    texts, y = sentences(60, 3)
    names = np.array(["fair", "wet", "white"])[y]
    sisa = make_sisa(tiny_bert(), epochs=15).fit(texts, names)
    assert sisa.transform(texts).shape == (60, 2 * 3)
    assert sisa.score(texts, names) > 0.5
    rows = sisa.plan_.rows(0)
    sisa.forget(rows[y[rows] == 2])
    assert sisa.verify_forgotten()
    assert sisa.transform(texts).shape == (60, 2 * 3)
    np.testing.assert_array_equal(sisa.classes_, ["fair", "wet", "white"])


def test_odd_texts_are_trained_on_truncated_counted_and_forgotten(capsys):
    texts = list(TEXTS)
    odd = {3: "", 10: "¿ß∂ƒ", 20: "word " * 500, 21: "word " * 70, 40: " \n\t"}
    for row, text in odd.items():
        texts[row] = text
    learner = TransformerClassifier(tiny_bert(), device="cpu", verbose=1)
    sisa = SISAClassifier(learner, n_shards=2, n_slices=2, epochs=3, random_state=0)
    sisa.fit(texts, Y)
    counts = [member.n_truncated_ for member in sisa.estimators_]
    expected = [len({20, 21} & set(sisa.plan_.rows(shard))) for shard in range(2)]
    assert counts == expected
    assert "longer than 64 tokens and were truncated" in capsys.readouterr().out
    assert sisa.forget(list(odd)).verify_forgotten()
    assert [member.n_truncated_ for member in sisa.estimators_] == [0, 0]


@pytest.mark.parametrize("wrong", [None, float("nan"), 7, b"bytes"])
def test_what_is_no_text_is_named_by_its_place_before_any_training(wrong, monkeypatch):
    embedder = TransformerEmbedder(tiny_bert(), device="cpu")
    columns = make_column_transformer((embedder, ["text"]))
    learners = {
        "list": TransformerClassifier(tiny_bert(), device="cpu"),
        "frame": make_pipeline(columns, SGDClassifier()),
    }
    for kind, learner in learners.items():
        texts, other = list(TEXTS), list(TEXTS)
        texts[17] = wrong
        if kind == "frame":
            texts, other = (pd.DataFrame({"text": t, "n": 1}) for t in (texts, other))
        sisa = SISAClassifier(learner, n_shards=2, n_slices=2, random_state=0)
        with monkeypatch.context() as patch:
            patch.setattr("sklearn_fairsisa.sisa._workers.train_shards", None)
            with pytest.raises(TypeError, match="The value at position 17 is"):
                sisa.fit(texts, Y)
        sisa.fit(other, Y)
        before = digests(sisa)
        with pytest.raises(TypeError, match="The value at position 17 is"):
            sisa.partial_fit(texts, Y)
        assert digests(sisa) == before


def test_adapters_are_forgotten_exactly():
    pytest.importorskip("peft")
    learner = TransformerClassifier(
        tiny_bert(),
        lora={"r": 2, "target_modules": ["query", "value"]},
        batch_size=8,
        device="cpu",
        random_state=0,
    )
    sisa = SISAClassifier(learner, n_shards=2, n_slices=2, epochs=3, random_state=0)
    assert sisa.fit(TEXTS, Y).forget([7, 30]).verify_forgotten()


def test_a_forgotten_text_survives_nowhere_in_the_pickle():
    texts = list(TEXTS)
    texts[17] = "xylophone " + texts[17]
    sisa = make_sisa(tiny_bert()).fit(texts, Y)
    assert b"xylophone" in pickle.dumps(sisa)
    assert b"xylophone" not in pickle.dumps(sisa.forget(17))


def test_heads_on_frozen_vectors_forget_exactly_within_a_pipeline():
    pipeline = make_pipeline(
        TransformerEmbedder(tiny_bert(), device="cpu"), SGDClassifier(loss="log_loss")
    )
    sisa = SISAClassifier(pipeline, n_shards=2, n_slices=3, epochs=4, random_state=0)
    assert sisa.fit(TEXTS, Y).forget([0, 50]).verify_forgotten()


@pytest.mark.parametrize("on_disk", [False, True])
def test_the_embedders_cache_loses_what_was_forgotten(tmp_path, on_disk):
    embedder = TransformerEmbedder(
        tiny_bert(), device="cpu", cache_dir=tmp_path if on_disk else None
    )
    texts = [f"{text} number {row}" for row, text in enumerate(TEXTS)]
    vector = embedder.transform([texts[12]])[0].tobytes()
    pipeline = make_pipeline(embedder, SGDClassifier(loss="log_loss"))
    sisa = SISAClassifier(pipeline, n_shards=2, random_state=0).fit(texts, Y)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    held = b"".join(path.read_bytes() for path in files)
    assert (vector in held) == on_disk
    sisa.forget(12)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert bool(files) == on_disk
    assert not any(vector in path.read_bytes() for path in files)
    assert vector not in pickle.dumps(sisa)


def vectors_in_memory(_):
    from sklearn_fairsisa.text import _cache

    return sum(len(cache._vectors) for cache in _cache._in_memory.values())


def test_workers_keep_no_vectors():
    embedder = TransformerEmbedder(tiny_bert(), device="cpu")
    pipeline = make_pipeline(embedder, SGDClassifier(loss="log_loss"))
    SISAClassifier(pipeline, n_shards=2, n_jobs=2, random_state=0).fit(TEXTS, Y)
    counts = Parallel(n_jobs=2)(delayed(vectors_in_memory)(i) for i in range(4))
    assert counts == [0, 0, 0, 0]


@pytest.mark.filterwarnings("ignore::sklearn_fairsisa.exceptions.DegenerateRuleWarning")
def test_a_calibration_text_leaves_the_embedders_cache_as_well():
    texts = pd.DataFrame({"text": [f"{t} row {i}" for i, t in enumerate(TEXTS)]})
    embedder = TransformerEmbedder(tiny_bert(), device="cpu")
    columns = make_column_transformer((embedder, ["text"]))
    pipeline = make_pipeline(columns, SGDClassifier(loss="log_loss"))
    sisa = SISAClassifier(pipeline, n_shards=2, random_state=0)
    fair = FairEnsemblePostprocessor(sisa, random_state=0)
    fair.fit(texts, Y, sensitive_features=np.arange(len(Y)) // 2 % 2)
    for row in (fair.calibration_indices_[0], fair.estimator_.plan_.rows(0)[0]):
        row = int(row)
        fair.forget(row)
    gone = texts.iloc[fair.forgotten_]
    assert embedder.forget(gone) == 0


def test_the_ensembles_decisions_can_be_made_fair():
    texts = np.array(TEXTS, dtype=object)
    group = np.arange(len(Y)) // 2 % 2
    sisa = make_sisa(tiny_bert(), epochs=15).fit(TEXTS, Y)
    assert sisa.score(TEXTS, Y) > 0.8
    fair = FairEnsemblePostprocessor(FrozenEstimator(sisa), random_state=0)
    fair.fit(texts, Y, sensitive_features=group)
    points = fair.operating_points_
    assert np.ptp(points.true_positive_rate) < 1e-9
    assert np.ptp(points.false_positive_rate) < 1e-9
    decided = fair.predict(texts, sensitive_features=group)
    order = np.random.default_rng(0).permutation(len(Y))
    again = fair.predict(texts[order], sensitive_features=group[order])
    np.testing.assert_array_equal(decided[order], again)


def test_another_working_folder_changes_no_cache(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    embedder = TransformerEmbedder(tiny_bert(), cache=False, cache_dir="vectors")
    learner = make_pipeline(embedder, SGDClassifier(loss="log_loss"))
    sisa = SISAClassifier(learner, n_shards=2, checkpoint_dir="kept", random_state=0)
    sisa.fit(TEXTS, Y)
    assert embedder.cache_dir == "vectors"
    monkeypatch.chdir(tmp_path / "elsewhere")
    SISAClassifier.load(tmp_path / "kept").forget([7])
    assert list(tmp_path.joinpath("elsewhere").iterdir()) == []
    embedder.set_params(cache_dir=tmp_path / "vectors")
    assert embedder.forget([TEXTS[7]]) == 0
    assert embedder.forget([TEXTS[8]]) >= 1


def test_generators_start_from_a_seed_and_are_restored():
    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002

    wanted = torch.rand(1, generator=torch.Generator().manual_seed(5))
    before = torch.get_rng_state()
    with forked_generators(5):
        assert torch.rand(1) == wanted
    assert torch.equal(torch.get_rng_state(), before)
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002
    torch.manual_seed(7)
    expected = draw()
    with forked_generators(7):
        assert draw() == expected
    with forked_generators(2**40 + 7):  # numpy takes no such seed
        assert draw() != expected


def test_threads_that_train_and_draw_take_turns():
    wanted = torch.rand(2, generator=torch.Generator().manual_seed(5))
    inside, leave = threading.Event(), threading.Event()

    def draw():
        with Generators(1).in_use():
            inside.set()
            leave.wait(10)

    def load():
        TransformerEmbedder(tiny_bert(hidden_size=22), cache=False).transform(["a"])

    others = [threading.Thread(target=work) for work in (draw, load)]
    with forked_generators(5):
        first = torch.rand(1)
        for thread in others:
            thread.start()
        assert not inside.wait(0.5)
        second = torch.rand(1)
        # Nor does one who has the turn wait for what another is about to load.
        TransformerEmbedder(tiny_bert(hidden_size=20), cache=False).transform(["a"])
    leave.set()
    for thread in others:
        thread.join()
    np.testing.assert_array_equal(torch.cat([first, second]), wanted)
