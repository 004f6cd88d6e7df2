"""SISA over transformers forgets texts exactly."""

import pickle

import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed
from sklearn.compose import make_column_transformer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from tiny import sentences, tiny_bert, tiny_gpt2

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.sisa._digests import digest
from sklearn_fairsisa.text import TransformerClassifier, TransformerEmbedder

TEXTS, Y = sentences(81)


def make_sisa(config, **params):
    learner = TransformerClassifier(config, batch_size=8, lr=3e-3, device="cpu")
    params = {"n_shards": 2, "n_slices": 2, "epochs": 3, "random_state": 0} | params
    return SISAClassifier(learner, **params)


def digests(sisa):
    return [digest(member) for member in sisa.estimators_]


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
