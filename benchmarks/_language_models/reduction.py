"""A reduction that trains: fairlearn's ExponentiatedGradient over frozen vectors.

It trains its classifier tens of times, which is affordable for a logistic model over
the network's frozen vectors and not for its layers. So it neither fine-tunes nor has
shards, and it can forget nobody without doing all of it again.
"""

import numpy as np
from _judging import OBJECTIVE
from _peers import exponentiated_gradient
from sklearn.linear_model import LogisticRegression

from .models import MODELS
from .rules import REDUCTION
from .training import known_rows

PLAIN = "none, frozen vectors"
"""The same logistic model without a constraint."""
IN_ONE_PIECE = REDUCTION, PLAIN
"""Rules that decide once for all numbers of shards."""
TOLERANCES = (0.01, 0.1)
"""The first is fairlearn's default; each takes long."""
_MODEL = LogisticRegression(solver="newton-cholesky")


def reduction_key(cell, attribute):
    """Return the key of the piece that serves a cell, whatever its shards."""
    return {
        "what": "reduction",
        "corpus": cell.corpus,
        "weights": MODELS[cell.model].weights,
        "seed": cell.seed,
        "fold": cell.fold,
        "attribute": attribute,
    }


def is_beside(cell):
    """Return whether the reduction is compared with the rules of a cell."""
    return cell.deletion is None and (cell.n_shards > 1 or cell.holds_out)


def reduce(cell, corpus, attribute, vectors):
    """Train on the training rows of the compared groups, and decide on the test people.

    Parameters
    ----------
    cell : Cell
    corpus : Corpus
    attribute : str
    vectors : ndarray of shape (n_texts, n_numbers)
        Of the texts of compared groups; those of others are not read.

    Returns
    -------
    people : ndarray of int
    decisions : dict of str to ndarray of shape (n_tolerances, n_people)
    """
    train, _, _, compared = cell.rows(corpus)
    rows = train[known_rows(corpus, attribute, train)]
    people = compared[known_rows(corpus, attribute, compared)]
    X, y = vectors[rows], corpus.y[rows]
    group = corpus.groups[attribute][rows].astype(str)
    fair = [
        exponentiated_gradient(
            _MODEL, X, y, group, vectors[people], OBJECTIVE, tol
        ).probability
        for tol in TOLERANCES
    ]
    plain = _MODEL.fit(X, y).predict_proba(vectors[people])[:, 1] > 0.5
    return people, {REDUCTION: np.array(fair), PLAIN: plain[None].astype(float)}
