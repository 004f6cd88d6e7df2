"""Caches that are empty when a test begins, and a pretrained model."""

import pytest


@pytest.fixture
def empty_caches(monkeypatch):
    """Nothing that a frozen network gave is in memory."""
    cache = pytest.importorskip("sklearn_fairsisa.text._cache")
    monkeypatch.setattr(cache, "_in_memory", {})


@pytest.fixture
def computed(monkeypatch):
    """Numbers of texts that frozen networks had to compute."""
    states = pytest.importorskip("sklearn_fairsisa.text._states")
    counts, infer = [], states.infer

    def counting(network, tokens, *args):
        counts.append(len(tokens))
        return infer(network, tokens, *args)

    monkeypatch.setattr(states, "infer", counting)
    return counts


@pytest.fixture(scope="session")
def model(minilm, tmp_path_factory):
    """Folder of a tiny pretrained encoder."""
    transformers = pytest.importorskip("transformers")
    tiny = pytest.importorskip("tiny")
    folder = tmp_path_factory.mktemp("models") / "tiny"
    encoder = transformers.BertModel(
        tiny.tiny_bert(vocab_size=30522, num_hidden_layers=2)
    )
    encoder.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(minilm).save_pretrained(folder)
    return str(folder)
