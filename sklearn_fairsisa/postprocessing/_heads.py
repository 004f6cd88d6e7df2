"""Models of the label given features and group, learnt out of fold: evidence of rules.

Notes
-----
Rows fall into folds: their shards, where these calibrate across, or a few that are
drawn. Head f learns from the rows of all other folds. Beside the features it knows the
mean logit of the members that have seen neither fold f nor the row, so that members of
any kind, trained on any rows, count. A row is scored by the head of its own fold, a new
person by the mean over the heads.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from ..fairness._group_heads import GroupHead, fit_group_head
from ..sisa._plan import subject_key
from ._views import of_width

N_FOLDS = 5
# Logits that members are believed, as those of trees may be infinite.
_CLIP = 0.01
# New people that are scored at once.
_BLOCK = 2048


@dataclass(frozen=True)
class FoldedNumbers:
    """What heads learn from.

    Parameters
    ----------
    numbers : ndarray of shape (n_rows, n_numbers)
        See `as_numbers`.
    fold : ndarray of int of shape (n_rows,)
    """

    numbers: np.ndarray
    fold: np.ndarray

    def take(self, kept):
        """Return copies of some rows."""
        return FoldedNumbers(self.numbers[kept], self.fold[kept])


@dataclass(frozen=True)
class Heads:
    """Heads, one for each fold, and the members that each has not heard.

    Parameters
    ----------
    heads : tuple of GroupHead
    heard : ndarray of bool of shape (n_folds, n_members)
        Members that a head hears. If it hears none, nothing but features counts.
    """

    heads: tuple[GroupHead, ...]
    heard: np.ndarray

    @classmethod
    def fit(cls, folded, rows, heard, n_groups):
        """Fit heads, and return them with the score of each row by that of its fold.

        Parameters
        ----------
        folded : FoldedNumbers
        rows : CalibrationRows
            The same ones, scored by members, of two classes.
        heard : ndarray of bool of shape (n_folds, n_members)
        n_groups : int

        Returns
        -------
        heads : Heads
        score : ndarray of shape (n_rows,)
            In [0, 1].
        """
        numbers, fold = folded.numbers, folded.fold
        found, score = [], np.empty(len(rows))
        for f, hears in enumerate(heard):
            known = _known(rows.scores, hears, rows.counted)
            others = np.flatnonzero(fold != f)
            head = fit_group_head(
                numbers[others],
                rows.group[others],
                rows.label[others],
                known[others],
                None if rows.weight is None else rows.weight[others],
                n_groups=n_groups,
            )
            own = np.flatnonzero(fold == f)
            score[own] = expit(head.logit(numbers[own], rows.group[own], known[own]))
            found.append(head)
        return cls(tuple(found), heard), score

    def score(self, numbers, scores, group):
        """Score new people by the mean over the heads.

        Parameters
        ----------
        numbers : ndarray of shape (n_rows, n_numbers)
        scores : ndarray of shape (n_rows, n_members)
            Of the members.
        group : ndarray of int of shape (n_rows,)
            Known groups.

        Returns
        -------
        ndarray of shape (n_rows,)
        """
        total = np.zeros(len(scores))
        numbers = of_width(numbers, len(self.heads[0].scaling.centre))
        for start in range(0, len(scores), _BLOCK):
            here = slice(start, start + _BLOCK)
            for head, hears in zip(self.heads, self.heard):
                known = _known(scores[here], hears)
                total[here] += head.logit(numbers[here], group[here], known)
        return expit(total / len(self.heads))


def shards_heard(n_shards, present):
    """Members that the head of each shard hears: all but that of the shard.

    With fewer than three, none is left for the rows of some shard.
    """
    heard = np.arange(n_shards)[:, None] != present
    return heard if len(present) > 2 else np.zeros_like(heard)


def drawn_folds(index, seed, subjects=None):
    """Draw the fold of rows by their own positions, or data subjects, and the seed.

    Parameters
    ----------
    index : ndarray of int of shape (n_rows,)
    seed : int
    subjects : sequence of length n_rows, default=None

    Returns
    -------
    ndarray of int of shape (n_rows,)
    """
    if subjects is not None:
        keys = [subject_key(subject, f"fold {seed}") % N_FOLDS for subject in subjects]
        return np.array(keys, dtype=np.intp)
    drawn = np.random.default_rng(seed).random(int(np.max(index, initial=-1)) + 1)
    return (N_FOLDS * drawn[index]).astype(np.intp)


def _known(scores, hears, counted=None):
    """Mean logit of the members heard that count for a row, one column or none."""
    if not hears.any():
        return np.empty((len(scores), 0))
    z = logit(scores.astype(np.float64).clip(_CLIP, 1 - _CLIP))
    counted = hears & (np.ones(z.shape, dtype=bool) if counted is None else counted)
    # One by one, so that a sum never depends on the batch it came in.
    total = sum(np.where(c, m, 0.0) for c, m in zip(counted.T, z.T))
    return (total / np.maximum(counted.sum(axis=1), 1))[:, None]
