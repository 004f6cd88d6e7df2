"""Tokenizers keep no word of any text."""

import json
import pickle

import numpy as np
import pytest
from tiny import tiny_bert
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.text import TransformerClassifier, TransformerEmbedder
from sklearn_fairsisa.text._loading import load_tokenizer_once
from sklearn_fairsisa.text._tokens import tokenize

TEXTS = ["what a zyzzyva", "abab zyzzyva"] * 8
Y = np.arange(16) % 2
VOCABULARY = {"<unk>": 0, "<other>": 1, "a": 2, "b": 3, "ab": 4}


def fast_tokenizer(model):
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<other>"
    )


def test_the_librarys_cache_of_words_is_empty_after_a_call():
    if not hasattr(models.BPE, "_clear_cache"):
        pytest.skip("this version of tokenizers cannot empty its caches")
    model = models.BPE(VOCABULARY, [("a", "b")], unk_token="<unk>", fuse_unk=True)
    tokenizer = fast_tokenizer(model)

    def ids(encode):
        tokenizer.backend_tokenizer.model.unk_token = "<unk>"
        before = encode()
        # Words that are cached are still given the token of before.
        tokenizer.backend_tokenizer.model.unk_token = "<other>"
        return before, encode()

    text = ["ab zyzzyv"]
    assert ids(lambda: tokenizer(text)["input_ids"]) == ([[4, 0]], [[4, 0]])
    tokenizer.backend_tokenizer.model._clear_cache()
    ours = ids(lambda: tokenize(tokenizer, text, 9, 1)[0].ids.tolist())
    assert ours == ([4, 0], [4, 1])


@pytest.fixture
def slow_tokenizer(tmp_path):
    """A tokenizer in Python, which keeps words in a dictionary."""
    ctrl = pytest.importorskip("transformers.models.ctrl.tokenization_ctrl")
    (tmp_path / "vocab.json").write_text(json.dumps({**VOCABULARY, "b</w>": 5}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b</w>\n")
    return ctrl.CTRLTokenizer(
        str(tmp_path / "vocab.json"),
        str(tmp_path / "merges.txt"),
        pad_token="<other>",
    )


def test_words_are_in_no_pickle_but_that_of_the_rows(slow_tokenizer):
    slow_tokenizer(TEXTS)
    assert b"zyzzyva" in pickle.dumps(slow_tokenizer)
    learner = TransformerClassifier(
        tiny_bert(), tokenizer=slow_tokenizer, device="cpu", max_length=8
    )
    sisa = SISAClassifier(learner, n_shards=2, n_slices=2, epochs=3, random_state=0)
    sisa.fit(TEXTS, Y).predict(TEXTS)
    for member in sisa.estimators_:
        assert b"zyzzyva" not in pickle.dumps(member._training)
    assert sisa.forget([0, 1, 2, 3]).verify_forgotten()


def test_embedders_keep_no_words_either(slow_tokenizer):
    TransformerEmbedder(tiny_bert(), tokenizer=slow_tokenizer).transform(TEXTS)
    assert slow_tokenizer.cache == {}
    kept, _ = load_tokenizer_once(tiny_bert(), {}, slow_tokenizer, tiny_bert())
    assert kept.cache == {}
