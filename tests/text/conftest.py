"""Caches of texts that are empty when a test begins."""

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
