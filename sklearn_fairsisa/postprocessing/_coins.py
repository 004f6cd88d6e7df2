"""The coins that settle randomised decisions: of rows, or of the people they are of."""

import math
import warnings

import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from .._utils.columns import n_columns, row_columns
from .._utils.groups import encode_groups
from .._utils.warnings import level_of_caller
from ..exceptions import SharedCoinWarning
from ..fairness._coins import (
    as_uniform,
    class_probabilities,
    draw_classes,
    is_random,
    row_coins,
)
from ..sisa._plan import subject_key

# Coins of calibration rows are kept as far as making them takes a fraction of a second.
_MOST_ROWS = 20_000
_MOST_VALUES = 2_000_000


def coins_of(X, subjects, seed):
    """Coin of each row, or of each row's person.

    Parameters
    ----------
    X : rows
    subjects : list, or None
        Data-subject ids.
    seed : int

    Returns
    -------
    ndarray of shape (n_samples,)
    """
    if subjects is None:
        return row_coins(row_columns(X), seed)
    # Ids are hashed with another key than in plans, so coins do not follow from shards.
    keys = [subject_key(subject, f"coin {seed}") for subject in subjects]
    return as_uniform(np.array(keys, dtype=np.uint64))


def first_coins(X, subjects, seed):
    """Coins of the first rows, NaN for others.

    How many are made follows from the shape of X, never from its values.
    """
    n_samples = _num_samples(X)
    if hasattr(X, "tocsr"):
        width = 1
    else:
        width = n_columns(X) or math.prod(getattr(X, "shape", ())[1:]) or 1
    # A slice, as other rows are copied.
    first = slice(0, min(n_samples, _MOST_ROWS, _MOST_VALUES // width))
    coins = np.full(n_samples, np.nan)
    if subjects is not None:
        subjects = subjects[first]
    coins[first] = coins_of(_safe_indexing(X, first), subjects, seed)
    return coins


def realised(probability, coins):
    """Decisions that coins settle, as probabilities of 0 and 1.

    Parameters
    ----------
    probability : ndarray of shape (n_samples,) or (n_samples, n_classes)
    coins : ndarray of shape (n_samples,)

    Returns
    -------
    ndarray of shape (n_samples, n_classes)
    """
    probability = class_probabilities(probability)
    return np.eye(probability.shape[1])[draw_classes(probability, coins)]


def warn_of_shared(probability, coins, what):
    """Warn if rows whose decision is randomised share coins.

    Parameters
    ----------
    probability : ndarray of shape (n_samples,) or (n_samples, n_classes)
    coins : ndarray of shape (n_samples,)
    what : str
        What the rows are.
    """
    coins = coins[is_random(probability)]
    n_distinct = len(np.unique(coins))
    if n_distinct < len(coins):
        warnings.warn(
            f"The decisions on {len(coins)} {what} are randomised, but only "
            f"{n_distinct} of these differ from each other, and equal rows get equal "
            "decisions. The rates of predict may therefore be far from the expected "
            "ones; see the column realised of fairness_report_. Pass subjects= to fit "
            "and predict, the person whom each row is of: each then has a coin.",
            SharedCoinWarning,
            stacklevel=level_of_caller(),
        )


def check_one_group_each(subjects, groups):
    """Raise if rows of one person are of several groups.

    Parameters
    ----------
    subjects : list
    groups : array of shape (n_samples,)
        Masked where missing.
    """
    _, code = encode_groups(groups)
    found: dict = {}
    for subject, group in zip(subjects, code.tolist()):
        if found.setdefault(subject, group) != group:
            raise ValueError(
                f"Subject {subject!r} has rows of several groups. Give all rows of a "
                "person the same group."
            )
