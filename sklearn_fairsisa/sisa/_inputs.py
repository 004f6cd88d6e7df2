"""Checks of an ensemble's input before any training."""

import copy

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils import indexable
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_y,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from .._utils.accepted import accepted
from .._utils.containers import check_container
from .._utils.sources import ArrowSource, Source, source_of
from .._utils.validation import (
    check_like_fit,
    check_some_rows,
    check_subjects,
    class_labels,
)
from ._learners import (
    check_raw_rows,
    holds,
    last_step,
    subtracts,
    why_not_continuing,
)

# What is computed of labels at a time.
_MOST_LABELS = 2**16
# Attributes of an estimator about the X it was fitted on.
INPUTS = ("n_features_in_", "feature_names_in_")


def require_members(base, ensemble):
    """Refuse learners that are not classifiers or not retrained to the same bits.

    Parameters
    ----------
    base : estimator
    ensemble : type
        Class of the ensemble, which cannot hold another one.
    """
    if not is_classifier(base):
        raise ValueError(
            f"estimator must be a classifier, got {type(last_step(base)).__name__}."
        )
    if holds(base, ensemble):
        raise ValueError(
            f"estimator={type(base).__name__} holds a {ensemble.__name__}, which keeps "
            "a random salt and a log of times, so retraining cannot give the same "
            "bits. Use one SISAClassifier with more shards or slices."
        )


def require_continuing(base, what):
    """Refuse a learner that cannot continue training, which `what` needs."""
    obstacle = why_not_continuing(base)
    if obstacle is not None:
        raise ValueError(
            f"{what} needs a learner that can continue training, but {obstacle}. Use "
            "n_slices=1 and fit, or a learner with partial_fit, such as SGDClassifier, "
            "MLPClassifier, GaussianNB or a skorch net."
        )
    # For `available_if`.
    return True


def refuse_subtracting(base, what):
    """Refuse `what`, which trains by stages, for a learner that subtracts rows."""
    if subtracts(base):
        name = type(last_step(base)).__name__
        raise ValueError(
            f"{what} is of no use to {name}, from whose members rows are subtracted "
            "instead of training slices again. Leave n_slices=1 and epochs=None."
        )


def check_rows(estimator, X, y, subjects, *, reset):
    """Validate a batch of rows for an estimator, without changing it.

    Returns
    -------
    X : container or source
        Indexable by rows. Those of a source are checked as they are read.
    y : ndarray of shape (n,)
    subjects : list or None
    inputs : dict
        The estimator's attributes about X, by the names in `INPUTS`.
    """
    is_source = isinstance(X, Source)
    X = X if is_source else accepted(X)
    check_some_rows(X)
    y = _check_y(class_labels(y))
    check_consistent_length(X, y)
    for part in parts_of(y):
        check_classification_targets(part)
    # A copy is checked, so that a later error leaves the estimator unchanged.
    checked = copy.copy(estimator)
    for name in INPUTS if reset else ():
        vars(checked).pop(name, None)
    some = X.head if is_source else X
    check_container(some)
    some = validate_data(checked, some, reset=reset, skip_check_array=True)
    inputs = {k: v for k, v in vars(checked).items() if k in INPUTS}
    if subjects is not None:
        subjects = check_subjects(subjects, len(y))
    if is_source:
        return X, y, subjects, inputs
    X = indexable(some)[0]
    # Checked before any shard is trained, so that errors give the position in X.
    check_raw_rows(estimator._base(), X)
    return X, y, subjects, inputs


def rows_given(X, y, subjects, others):
    """Return rows that may be in files, with columns that are named taken out of them.

    Parameters
    ----------
    X : container, or what `source_of` reads
    y, subjects : array-like, or name of a column of Arrow data
    others : dict
        Further values, of which texts may be such names.

    Returns
    -------
    X : container or source
    y, subjects : array-like
    others : dict

    Raises
    ------
    ValueError
        If `y` or `subjects` names no column.
    """
    source = source_of(X)
    if not isinstance(source, ArrowSource):
        return (X if source is None else source), y, subjects, others
    given = {"y": y, "subjects": subjects, **others}
    named = {k: v for k, v in given.items() if isinstance(v, str) and source.has(v)}
    for what in ("y", "subjects"):
        if isinstance(given[what], str) and what not in named:
            raise ValueError(
                f"{what}={given[what]!r} names no column of X. Give the name of a "
                "column, or an array with a value for each row."
            )
    given |= {what: source.column(name) for what, name in named.items()}
    y, subjects = given.pop("y"), given.pop("subjects")
    return source.without(named.values()) if named else source, y, subjects, given


def parts_of(labels):
    """Yield labels, or parts of them if they are very many."""
    for start in range(0, len(labels), _MOST_LABELS):
        yield labels[start : start + _MOST_LABELS]


def distinct(labels):
    """Return the sorted distinct labels of a vector."""
    return np.unique(np.concatenate([*map(np.unique, parts_of(labels))]))


def check_samples(estimator, X):
    """Validate samples to predict; return a container that can be indexed."""
    check_is_fitted(estimator)
    return check_like_fit(estimator, X)


def check_enough_rows(n_rows, subjects, n_shards, n_slices):
    """Refuse too few rows or data subjects for the shards and slices."""
    needed = n_shards * n_slices
    if n_rows < needed:
        raise ValueError(
            f"n_samples={n_rows} cannot fill n_shards={n_shards} shards of "
            f"n_slices={n_slices} slices. Give at least {needed} rows, or "
            "ask for fewer shards or slices."
        )
    n_subjects = n_rows if subjects is None else len(set(subjects))
    if n_subjects < n_shards:
        raise ValueError(
            f"{n_subjects} data subjects cannot fill n_shards={n_shards} "
            "shards, since a subject's rows share one. Ask for fewer shards."
        )


def check_alike(earlier, subjects):
    """Refuse a batch that cannot follow earlier rows, given as one of their blocks."""
    if (subjects is None) != (earlier.subjects is None):
        raise ValueError(
            "subjects must be given to every call or to none, since all rows of a data "
            "subject can only be found if every row has an id."
        )


def union(*labels):
    """Return the sorted distinct labels of several lists of labels."""
    parts = [distinct(np.asarray(part)) for part in labels]
    firsts = [label for part in parts for label in part[:1].tolist()]
    # What numpy would convert to one type without a word.
    kinds = {
        next(k for k in (str, bool, object) if isinstance(label, k)): label
        for label in firsts
    }
    if len(kinds) > 1:
        raise ValueError(
            f"Labels of several kinds were given: {list(kinds.values())}. Give either "
            "texts, numbers or booleans in all calls."
        )
    return np.unique(np.concatenate(parts))
