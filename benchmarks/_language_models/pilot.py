"""The number of passes that members of few rows need, chosen on training rows."""

import numpy as np
from sklearn.base import clone
from sklearn.metrics import balanced_accuracy_score

from .corpora import folds_of

DEFAULT_PASSES = 3
CANDIDATES = (3, 6, 12)
# Members of fewer shards have rows enough for the default.
FEWEST_SHARDS = 10
# Fewer passes are preferred within it.
_TOLERANCE = 0.005
_N_MEMBERS, _N_SCORED = 4, 1500
# The confirmation set chooses nothing.
_CHOSEN_ON = {"redditbias": "hatexplain"}


def passes_for(corpus, model, n_shards, pieces, make):
    """Return the number of passes, by a pilot where one is due.

    Parameters
    ----------
    corpus, model : str
    n_shards : int
    pieces : Pieces
        Where pilots are kept.
    make : callable
        Returns the corpus of a name, and a learner; called only if a pilot is missing.
    """
    if n_shards < FEWEST_SHARDS:
        return DEFAULT_PASSES
    scores = []
    for passes in CANDIDATES:
        key = {
            "what": "pilot",
            "corpus": _CHOSEN_ON.get(corpus, corpus),
            "model": model,
            "n_shards": n_shards,
            "passes": passes,
        }
        found = pieces.read(key)
        if found is None:
            found = measure(*make(key["corpus"]), n_shards, passes)
            pieces.keep(key, found)
        scores.append(found["balanced_accuracy"])
    return choose(scores)


def choose(scores):
    """Return the least number of passes that is as good as the best.

    Parameters
    ----------
    scores : list of float
        Balanced accuracy for each of `CANDIDATES`.
    """
    good = np.flatnonzero(np.array(scores) >= max(scores) - _TOLERANCE)
    return CANDIDATES[good[0]]


def measure(corpus, learner, n_shards, passes):
    """Return the mean balanced accuracy of some members on training rows of others."""
    rows = np.random.default_rng(0).permutation(folds_of(corpus, seed=0)[0][0])
    size = len(rows) // n_shards
    scored = rows[-_N_SCORED:]
    found, share = [], []
    for member in range(_N_MEMBERS):
        own = rows[member * size : (member + 1) * size]
        clf = clone(learner).set_params(max_epochs=passes, random_state=member)
        clf.fit(corpus.texts[own].tolist(), corpus.y[own])
        decided = clf.predict(corpus.texts[scored].tolist())
        found.append(balanced_accuracy_score(corpus.y[scored], decided))
        share.append(decided.mean())
    return {
        "balanced_accuracy": np.mean(found),
        "members": found,
        "share_positive": share,
        "rows": size,
    }
