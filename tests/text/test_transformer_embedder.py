import pickle
import sqlite3
import stat
import subprocess
import sys
import warnings
from contextlib import closing

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from tiny import sentences, tiny_bert, tiny_gpt2
from transformers import AutoModel, AutoTokenizer, BartConfig, T5Config

from sklearn_fairsisa.text import TransformerEmbedder, _cache
from sklearn_fairsisa.text._cache import MemoryCache, disk_cache

# Each text once, because computations are counted.
TEXTS = list(dict.fromkeys([*sentences(40)[0], "", "sun", "a " * 70, "Ünïcödé 🙂"]))


pytestmark = pytest.mark.usefixtures("empty_caches")


def test_vectors_agree_with_sentence_transformers(minilm):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library = pytest.importorskip("sentence_transformers")
        expected = library.SentenceTransformer(minilm, device="cpu").encode(TEXTS)
    vectors = TransformerEmbedder(minilm, cache=False).transform(TEXTS)
    assert vectors.dtype == np.float32
    assert_allclose(vectors, expected, atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last", "max"])
def test_pooling_equals_the_encoder_run_on_each_text_alone(minilm, pooling):
    kwargs = {"num_hidden_layers": 1}
    embedder = TransformerEmbedder(
        minilm, pooling=pooling, normalize=False, model_kwargs=kwargs, cache=False
    )
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    encoder = AutoModel.from_pretrained(minilm, **kwargs).eval()
    expected = []
    for text in TEXTS:
        with torch.inference_mode():
            states = encoder(**tokenizer(text, return_tensors="pt")).last_hidden_state
        states = states[0].numpy()
        expected.append(
            {
                "mean": states.mean(axis=0),
                "cls": states[0],
                "last": states[-1],
                "max": states.max(axis=0),
            }[pooling]
        )
    assert_allclose(embedder.transform(TEXTS), np.stack(expected), atol=1e-5)


@pytest.mark.parametrize("kind", [T5Config, BartConfig])
@pytest.mark.parametrize("named", [True, False])
def test_vectors_of_a_model_with_a_decoder_are_those_of_its_encoder(
    kind, named, minilm, tmp_path
):
    config = kind(
        vocab_size=40_000, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2,
        encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32,
    )  # fmt: skip
    module = AutoModel.from_config(config).eval()
    config.return_dict = named
    module.save_pretrained(tmp_path)
    embedder = TransformerEmbedder(
        tmp_path, tokenizer=minilm, normalize=False, cache=False
    )
    encoder, tokenizer = module.get_encoder(), AutoTokenizer.from_pretrained(minilm)
    expected = []
    for text in TEXTS:
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            expected.append(encoder(input_ids=ids, return_dict=True)[0][0].mean(dim=0))
    assert_allclose(embedder.transform(TEXTS), torch.stack(expected), atol=1e-5)


@pytest.mark.parametrize("model", ["minilm", tiny_bert(), tiny_gpt2()])
def test_a_vector_depends_on_its_text_alone(model, minilm):
    model = minilm if model == "minilm" else model
    embedder = TransformerEmbedder(
        model, cache=False, model_kwargs={"num_hidden_layers": 1}
    )
    together = embedder.transform(TEXTS)
    alone = np.concatenate([embedder.transform([text]) for text in TEXTS])
    assert_array_equal(together, alone)
    some = np.random.default_rng(0).permutation(len(TEXTS))[:17]
    assert_array_equal(embedder.transform([TEXTS[i] for i in some]), together[some])
    n_threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert_array_equal(embedder.transform(TEXTS), together)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(n_threads)


def test_a_text_is_computed_once(computed):
    embedder = TransformerEmbedder(tiny_bert(hidden_size=36))
    first = embedder.transform([*TEXTS, *TEXTS])
    assert computed == [len(TEXTS)]
    twin = clone(embedder)  # and so in a SISA member
    assert_array_equal(twin.transform(TEXTS[::-1]), first[: len(TEXTS)][::-1])
    assert computed == [len(TEXTS)]
    twin.set_params(pooling="cls").transform(TEXTS[:3])
    assert computed == [len(TEXTS), 3]
    clone(embedder).set_params(cache=False).transform(TEXTS[:2])
    assert computed == [len(TEXTS), 3, 2]


def test_forgotten_texts_leave_every_cache(computed, tmp_path):
    embedder = TransformerEmbedder(tiny_bert(hidden_size=40), cache_dir=tmp_path)
    vectors = embedder.transform(TEXTS)
    clone(embedder).set_params(normalize=False).transform(TEXTS[:5])
    computed.clear()
    # In memory and on disk, of two settings.
    assert embedder.forget(TEXTS[:2]) == 8
    assert embedder.forget(TEXTS[:2]) == 0
    assert_array_equal(embedder.transform(TEXTS), vectors)
    assert computed == [2]


def test_the_disk_serves_another_process(computed, tmp_path, monkeypatch):
    embedder = TransformerEmbedder(tiny_bert(hidden_size=44), cache_dir=tmp_path)
    vectors = embedder.transform(TEXTS)
    monkeypatch.setattr(_cache, "_in_memory", {})  # as a new process begins
    assert_array_equal(embedder.transform(TEXTS), vectors)
    assert computed == [len(TEXTS)]


@pytest.mark.parametrize("width", [8, 40_000])  # in a page of the file, and in many
def test_the_file_tells_neither_texts_nor_forgotten_vectors(tmp_path, width):
    texts = [f"private matter number {n}" for n in range(50)]
    vectors = np.random.default_rng(0).random((50, width), dtype=np.float32)
    cache = disk_cache(tmp_path, "model")
    cache.put(texts, vectors)
    assert b"private" not in cache.path.read_bytes()
    pieces = [vectors[7, i : i + 4].tobytes() for i in range(0, width, 1000)]
    assert all(piece in cache.path.read_bytes() for piece in pieces)
    assert cache.forget([texts[7]]) == 1
    assert not any(piece in cache.path.read_bytes() for piece in pieces)
    assert_array_equal(cache.get(texts)[8], vectors[8])
    assert cache.get(texts)[7] is None


def test_two_caches_name_a_text_differently(tmp_path):
    for folder in ("a", "b"):
        disk_cache(tmp_path / folder, "m").put(["text"], np.ones((1, 2), np.float32))
    contents = [(tmp_path / f / "m.sqlite").read_bytes() for f in ("a", "b")]
    assert contents[0] != contents[1]


def test_vectors_do_not_travel_with_pickle():
    embedder = TransformerEmbedder(tiny_bert()).fit(TEXTS)
    before = len(pickle.dumps(embedder))
    vectors = embedder.transform(TEXTS)
    twin = pickle.loads(pickle.dumps(embedder))
    assert len(pickle.dumps(embedder)) == before
    assert_array_equal(twin.transform(TEXTS), vectors)


def test_it_works_in_a_pipeline_with_pandas_output():
    texts, y = sentences(80)
    X = pd.DataFrame({"id": range(80), "post": texts}, index=range(100, 180))
    embedder = TransformerEmbedder(tiny_bert(), text_column="post")
    head = make_pipeline(embedder, LogisticRegression(C=100, max_iter=1000)).fit(X, y)
    assert head.score(X, y) > 0.9
    frame = embedder.set_output(transform="pandas").transform(X)
    assert list(frame.columns[:2]) == ["transformerembedder0", "transformerembedder1"]
    assert_array_equal(frame.index, X.index)
    assert frame.shape == (80, 32)


def test_encoding_needs_no_fit_and_leaves_the_generators():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    TransformerEmbedder(tiny_gpt2(), cache=False).transform(["no fit"])
    assert_array_equal(torch.get_rng_state(), before)
    assert not TransformerEmbedder().__sklearn_tags__().requires_fit


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"pooling": "sum"}, "'pooling' parameter .* Got 'sum' instead"),
        ({"max_length": 0}, "'max_length' parameter .* Got 0 instead"),
        ({"tokens_per_batch": 0}, "'tokens_per_batch' parameter .* Got 0 instead"),
        (
            {"mixed_precision": "int8"},
            "'mixed_precision' .* Got 'int8' instead",
        ),
        ({"normalize": "yes"}, "'normalize' parameter .* Got 'yes' instead"),
        ({"cache_dir": 3}, "'cache_dir' parameter .* Got 3 instead"),
        ({"device": "cuda:7"}, "'cuda:7' is not on this machine"),
        ({"model": None}, "'model' parameter .* Got None instead"),
    ],
)
def test_bad_parameters_are_named(params, message):
    embedder = TransformerEmbedder(tiny_bert()).set_params(**params)
    with pytest.raises((ValueError, TypeError), match=message):
        embedder.fit(["text"])
    with pytest.raises(TypeError, match="position 0 is missing"):
        TransformerEmbedder(tiny_bert()).transform([None])


def test_missing_libraries_are_named_with_the_remedy():
    code = (
        "import sys; sys.modules['transformers'] = None\n"
        "try: import sklearn_fairsisa.text\n"
        "except ImportError as error: print(error)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert 'pip install "sklearn-fairsisa[text]"' in run.stdout
    assert "transformers cannot be imported" in run.stdout


def test_memory_is_bounded_and_keeps_what_was_used_last():
    cache = MemoryCache(max_bytes=3 * 8)
    for text in "abc":
        cache.put([text], np.ones((1, 2), dtype=np.float32))
    assert cache.get(["a"])[0] is not None
    cache.put(["d"], np.ones((1, 2), dtype=np.float32))
    assert [vector is None for vector in cache.get("abcd")] == [0, 1, 0, 0]
    assert cache.forget(["a", "b", "a"]) == 1
    cache.put(["e"], np.ones((1, 2), dtype=np.float32))
    assert [vector is None for vector in cache.get("cde")] == [0, 0, 0]


def test_files_of_others_in_the_folder_are_left_alone(tmp_path):
    with closing(sqlite3.connect(tmp_path / "mlflow.sqlite")) as database, database:
        database.execute("CREATE TABLE runs (name TEXT)")
    before = (tmp_path / "mlflow.sqlite").read_bytes()
    embedder = TransformerEmbedder(tiny_bert(hidden_size=48), cache_dir=tmp_path)
    embedder.transform(TEXTS[:3])
    assert embedder.forget(TEXTS[:2]) == 4
    assert (tmp_path / "mlflow.sqlite").read_bytes() == before


def test_only_what_is_kept_makes_a_file_which_its_owner_alone_reads(tmp_path):
    cache = disk_cache(tmp_path / "new", "0" * 32)
    assert cache.get(["text"]) == [None]
    assert cache.forget(["text"]) == 0
    assert not (tmp_path / "new").exists()
    cache.put(["text"], np.ones((1, 2), np.float32))
    assert stat.S_IMODE(cache.path.stat().st_mode) == 0o600
    before = cache.path.stat().st_mtime_ns
    assert cache.get(["text"])[0] is not None
    assert cache.path.stat().st_mtime_ns == before
