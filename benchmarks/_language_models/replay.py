"""An ensemble whose members give the scores that were kept of trained ones.

Rules are then solved by the library's own classes, as over the ensemble that was
trained, without training it again.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.utils.metaestimators import available_if

from .training import fit, forgotten_rows, order_of_deletion, to_scores, unpack


@dataclass(frozen=True)
class Table:
    """Scores of texts.

    Parameters
    ----------
    scores : dict of str to ndarray of shape (n_shards,)
    shard : dict of str to int
        Shard of each training text.
    vectors : dict of str to ndarray of shape (n_numbers,), or None
        Of the frozen network, if the members that were trained give them.
    """

    scores: dict
    shard: dict
    vectors: dict | None


_TABLES = {}


def _has_vectors(member):
    return _TABLES[member.table].vectors is not None


class KeptScores(ClassifierMixin, BaseEstimator):
    """A member that gives kept scores; those of other texts are one half.

    Parameters
    ----------
    table : str
        Name of a table. Members are copied, so they do not hold it.
    """

    def __init__(self, table):
        self.table = table

    def fit(self, X, y):
        """Find the shard that the texts are of."""
        self.classes_ = np.array([0, 1])
        known = _TABLES[self.table].shard
        # Some texts occur in several shards.
        self.shard_ = int(np.bincount([known[text] for text in X]).argmax())
        return self

    def predict_proba(self, X):
        """Return the kept scores of this shard's member."""
        kept = _TABLES[self.table].scores
        score = np.array([kept[t][self.shard_] if t in kept else 0.5 for t in X])
        return np.column_stack([1 - score, score])

    def predict(self, X):
        """Return the label of the greater score."""
        return (self.predict_proba(X)[:, 1] > 0.5).astype(int)

    @available_if(_has_vectors)
    def frozen_vectors(self, X):
        """Return the vectors that the members' network gives for texts."""
        known = _TABLES[self.table].vectors
        return np.array([known[text] for text in X])


def replayed(cell, corpus, found, vectors=None):
    """Return the ensemble of a cell, from what `train` kept of it.

    Parameters
    ----------
    cell : Cell
    corpus : Corpus
    found : dict
        What `train` kept.
    vectors : ndarray of shape (n_texts, n_numbers), default=None
        Of the texts of compared groups.
    """
    train, _, calibrating, compared = cell.rows(corpus)
    plan = _plan_of(cell, corpus, train)
    own = np.searchsorted(train, calibrating)
    if cell.holds_out:
        calibrating = calibrating[plan.shard_of(own) < 0]
    scores = {}
    for rows, part in ((calibrating, "calibration"), (compared, "test")):
        for text, logits in zip(corpus.texts[rows], unpack(found[part])):
            known = scores.setdefault(text, np.zeros_like(logits))
            # A text that several rows have lacks other members' scores in each.
            scores[text] = np.where(logits == 0, known, logits)
    # Rows that are held out are given to no member.
    shard = dict(zip(corpus.texts[train], plan.shards.clip(min=0)))
    if vectors is not None:
        compared = np.flatnonzero(corpus.compared)
        vectors = dict(zip(corpus.texts[compared], vectors[compared]))
    known = {text: to_scores(logits) for text, logits in scores.items()}
    _TABLES["cell"] = Table(known, shard, vectors)
    sisa, _ = fit(cell, corpus, KeptScores("cell"), train, passes=None)
    if cell.deletion is not None:
        sisa.forget(forgotten_rows(cell, order_of_deletion(cell, corpus, train)))
    return sisa


def _plan_of(cell, corpus, train):
    """Return the plan of the ensemble that a cell trains."""
    sisa, _ = fit(cell, corpus, DummyClassifier(), train, passes=None)
    return sisa.plan_
