"""Texts, labels and groups of the corpora, and the folds they are divided into."""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold

N_FOLDS = 5
# Groups with fewer rows of a label are not compared.
FEWEST = 40
# Rarer combinations of label and groups are not strata of their own.
_FEWEST_OF_STRATUM = 20


@dataclass(frozen=True)
class Corpus:
    """Texts with two labels.

    Parameters
    ----------
    name : str
    texts : ndarray of object of shape (n_texts,)
    y : ndarray of int of shape (n_texts,)
        0 or 1.
    groups : dict of str to ndarray of object of shape (n_texts,)
        Group of each text for each attribute; None where it is of none that is
        compared.
    """

    name: str
    texts: np.ndarray
    y: np.ndarray
    groups: dict

    @property
    def compared(self):
        """Whether each text is of a compared group of some attribute."""
        return np.any([is_known(groups) for groups in self.groups.values()], axis=0)

    def names(self, attribute):
        """Return the compared groups of an attribute, sorted."""
        groups = self.groups[attribute]
        return sorted(set(groups[is_known(groups)]))

    def smallest(self, attribute):
        """Return the compared group with the fewest texts."""
        groups = self.groups[attribute]
        names, sizes = np.unique(
            groups[is_known(groups)].astype(str), return_counts=True
        )
        return str(names[sizes.argmin()])


def frozen_vectors(corpus, embedder):
    """Return the vectors of the texts of compared groups, and zeros for the others.

    Parameters
    ----------
    corpus : Corpus
    embedder : transformer of texts

    Returns
    -------
    ndarray of shape (n_texts, n_numbers)
    """
    # Rules read no others.
    found = embedder.transform(corpus.texts[corpus.compared].tolist())
    vectors = np.zeros((len(corpus.y), found.shape[1]))
    vectors[corpus.compared] = found
    return vectors


def is_known(groups):
    """Return which entries are not None."""
    return np.array([group is not None for group in groups], dtype=bool)


def load_corpus(name):
    """Return a corpus by name."""
    return _LOADERS[name]()


def folds_of(corpus, seed):
    """Return the training and the test rows of each fold.

    Folds are stratified by label and groups.

    Returns
    -------
    list of (ndarray, ndarray), of length `N_FOLDS`
        Sorted positions.
    """
    columns = [corpus.y, *corpus.groups.values()]
    strata = pd.Series([str(key) for key in zip(*columns)])
    rare = strata.map(strata.value_counts()) < _FEWEST_OF_STRATUM
    strata[rare] = corpus.y[rare].astype(str)
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # What is rare together need not be in every fold.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        return list(folds.split(corpus.texts, strata))


def _as_corpus(name, texts, y, groups):
    y = np.asarray(y, dtype=int)
    texts = np.array([str(text) for text in texts], dtype=object)
    groups = {attribute: _large(column, y) for attribute, column in groups.items()}
    return Corpus(name, texts, y, groups)


def _large(column, y):
    """Return the groups of rows, None for those with too few rows of a label."""
    column = pd.Series(column, dtype=object)
    counts = pd.crosstab(column, y).reindex(columns=[0, 1], fill_value=0)
    large = set(counts.index[counts.min(axis=1) >= FEWEST])
    return np.array([g if g in large else None for g in column], dtype=object)


def _hatexplain():
    from sklearn_fairsisa.datasets import fetch_hatexplain

    posts = fetch_hatexplain()
    groups = {name: posts.groups[name] for name in ("religion", "race")}
    return _as_corpus("hatexplain", posts.data, posts.target, groups)


def _redditbias():
    from sklearn_fairsisa.datasets import fetch_redditbias

    comments = fetch_redditbias()
    groups = {"target": comments.sensitive_features}
    return _as_corpus("redditbias", comments.data, comments.target, groups)


def _generated():
    from sklearn_fairsisa.datasets import make_biased_posts

    posts = make_biased_posts(500, n_groups=2, random_state=0)
    groups = {"club": posts.sensitive_features}
    return _as_corpus("generated", posts.data, posts.target, groups)


_LOADERS = {
    "hatexplain": _hatexplain,
    "redditbias": _redditbias,
    "generated": _generated,
}
