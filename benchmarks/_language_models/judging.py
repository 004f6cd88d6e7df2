"""Decisions of all rules on all ensembles that were trained so far, kept as pieces."""

import time
from contextlib import contextmanager
from functools import cache
from itertools import chain

import numpy as np
from _peers import JOINT_PEERS, SCORE_PEERS, available_peers
from sklearn.metrics import roc_auc_score

from .corpora import frozen_vectors, load_corpus
from .models import gives_vectors
from .plan import ATTRIBUTES, NOT_ASKED
from .reduction import is_beside, reduce, reduction_key
from .rules import decide, untouched
from .training import cells_of, known_rows, pack_bytes, unpack_bytes

# Probabilities are kept in multiples of its inverse.
_STEPS = 65535


def judge_missing(cells, pieces, decisions, embedder_of, *, with_peers=True):
    """Let the rules decide where an ensemble was trained and they have not yet.

    What was decided without some of the peers that are here now is decided again.

    Parameters
    ----------
    cells : list of Cell
    pieces, decisions : Pieces
        Of the ensembles, and of the rules' decisions.
    embedder_of : callable
        Returns the embedder of a model by name.
    with_peers : bool, default=True
    """
    corpus_of, peers = cache(load_corpus), cache(_peers if with_peers else dict)

    @cache
    def vectors_of(name, model):
        return frozen_vectors(corpus_of(name), embedder_of(model))

    for cell in chain.from_iterable(map(cells_of, cells)):
        if cell.key not in pieces:
            continue
        for attribute in attributes_of(cell):
            key = {**cell.key, "attribute": attribute}
            if not _is_complete(cell, decisions, key, peers):
                corpus = corpus_of(cell.corpus)
                with _kept(decisions, key) as found:
                    kept = pieces.read(cell.key)
                    vectors = None
                    if gives_vectors(cell.model):
                        vectors = vectors_of(cell.corpus, cell.model)
                    found |= judge(cell, corpus, kept, attribute, peers, vectors)
            key = reduction_key(cell, attribute)
            if with_peers and is_beside(cell) and key not in decisions:
                corpus = corpus_of(cell.corpus)
                vectors = vectors_of(cell.corpus, cell.model)
                with _kept(decisions, key) as found:
                    people, decided = reduce(cell, corpus, attribute, vectors)
                    found["people"] = people.astype(np.int32)
                    found["decisions"] = _all_packed(decided)


@contextmanager
def _kept(decisions, key):
    """Keep what is put into a dict, and the seconds of the processor that it took."""
    begun, found = time.process_time(), {}
    yield found
    found["seconds"] = time.process_time() - begun
    decisions.keep(key, found)
    shown = {name: value for name, value in key.items() if value is not None}
    print(f"judged {shown} in {found['seconds']:.0f} s", flush=True)


def _is_complete(cell, decisions, key, peers):
    """Return whether all peers that suit a cell, and are here, have decided."""
    found = decisions.read(key)
    return found is not None and not (_asked(cell, peers).keys() - set(found["asked"]))


def _asked(cell, peers):
    if not is_beside(cell):
        return {}
    left_out = NOT_ASKED.get(cell.corpus, ())
    return {name: peer for name, peer in peers().items() if name not in left_out}


def attributes_of(cell):
    """Return the attributes on which a cell is judged."""
    attributes = ATTRIBUTES[cell.corpus]
    if cell.deletion in (None, "uniform"):
        return attributes
    return [a for a in attributes if cell.deletion.startswith(f"{a}=")]


def judge(cell, corpus, found, attribute, peers, vectors=None):
    """Return the decisions of every rule that suits a cell, as `decide`.

    A single model that held no rows out has none. After deletions peers do not decide.
    """
    decided, mean = untouched(cell, corpus, found, attribute)
    asked, failures = {}, {}
    if cell.n_shards > 1 or cell.holds_out:
        asked = _asked(cell, peers)
        rules, failures = decide(cell, corpus, found, attribute, asked, vectors)
        decided |= rules
    *_, compared = cell.rows(corpus)
    people = compared[known_rows(corpus, attribute, compared)]
    y, groups = corpus.y[people], corpus.groups[attribute][people]
    return {
        "people": people.astype(np.int32),
        "decisions": _all_packed(decided),
        "mean": _packed(mean),
        "aucs": {
            name: roc_auc_score(y[groups == name], mean[groups == name])
            for name in corpus.names(attribute)
            if len(set(y[groups == name])) == 2
        },
        "asked": sorted(asked),
        "failures": failures,
    }


def _all_packed(decided):
    return {name: _packed(probability) for name, probability in decided.items()}


def _packed(probability):
    whole = np.rint(_STEPS * probability).astype("<u2")
    return {"shape": whole.shape, "packed": pack_bytes(whole)}


def unpacked(kept):
    """Return probabilities that were kept."""
    whole = unpack_bytes(kept["packed"], "<u2").reshape(kept["shape"])
    return whole / _STEPS


def _peers():
    return available_peers(peers={**SCORE_PEERS, **JOINT_PEERS})
