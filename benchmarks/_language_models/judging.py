"""Decisions of all rules on all ensembles that were trained so far, kept as pieces."""

import time
from functools import cache
from itertools import chain

import numpy as np
from _peers import JOINT_PEERS, SCORE_PEERS, available_peers
from sklearn.metrics import roc_auc_score

from .corpora import load_corpus
from .plan import ATTRIBUTES
from .rules import decide, untouched
from .training import cells_of, known_rows, pack_bytes, unpack_bytes

# Probabilities are kept in multiples of its inverse.
_STEPS = 65535


def judge_missing(cells, pieces, decisions, *, with_peers=True):
    """Let the rules decide where an ensemble was trained and they have not yet.

    Parameters
    ----------
    cells : list of Cell
    pieces, decisions : Pieces
        Of the ensembles, and of the rules' decisions.
    with_peers : bool, default=True
    """
    corpus_of, peers = cache(load_corpus), cache(_peers if with_peers else dict)
    for cell in chain.from_iterable(map(cells_of, cells)):
        for attribute in attributes_of(cell):
            key = {**cell.key, "attribute": attribute}
            if key in decisions or cell.key not in pieces:
                continue
            begun = time.process_time()
            corpus = corpus_of(cell.corpus)
            found = judge(cell, corpus, pieces.read(cell.key), attribute, peers)
            found["seconds"] = time.process_time() - begun
            decisions.keep(key, found)
            print(f"judged {key} in {found['seconds']:.0f} s", flush=True)


def attributes_of(cell):
    """Return the attributes on which a cell is judged."""
    attributes = ATTRIBUTES[cell.corpus]
    if cell.deletion in (None, "uniform"):
        return attributes
    return [a for a in attributes if cell.deletion.startswith(f"{a}=")]


def judge(cell, corpus, found, attribute, peers):
    """Return the decisions of every rule that suits a cell.

    A single model that held no rows out has none. After deletions peers do not decide.
    """
    decided, mean = untouched(cell, corpus, found, attribute)
    failures = {}
    if cell.n_shards > 1 or cell.holds_out:
        chosen = peers() if cell.deletion is None else {}
        rules, failures = decide(cell, corpus, found, attribute, chosen)
        decided |= rules
    *_, compared = cell.rows(corpus)
    people = compared[known_rows(corpus, attribute, compared)]
    y, groups = corpus.y[people], corpus.groups[attribute][people]
    return {
        "people": people.astype(np.int32),
        "decisions": {name: _packed(p) for name, p in decided.items()},
        "mean": _packed(mean),
        "aucs": {
            name: roc_auc_score(y[groups == name], mean[groups == name])
            for name in corpus.names(attribute)
            if len(set(y[groups == name])) == 2
        },
        "failures": failures,
    }


def _packed(probability):
    whole = np.rint(_STEPS * probability).astype("<u2")
    return {"shape": whole.shape, "packed": pack_bytes(whole)}


def unpacked(kept):
    """Return probabilities that were kept."""
    whole = unpack_bytes(kept["packed"], "<u2").reshape(kept["shape"])
    return whole / _STEPS


def _peers():
    return available_peers(peers={**SCORE_PEERS, **JOINT_PEERS})
