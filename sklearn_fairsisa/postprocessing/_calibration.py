"""Rows on which a fair rule is calibrated."""

from dataclasses import dataclass, replace

import numpy as np
from sklearn.frozen import FrozenEstimator

from ..fairness._coins import class_probabilities
from ..fairness._rates import sum_by
from ..sisa._classifier import SISAClassifier
from ..sisa._plan import drawn_to_hold_out
from ._aggregation import PLURALITY, Aggregation
from ._members import check_frozen

# For ensembles whose members' training rows are unknown.
_HELD_OUT = 0.2


class Chosen:
    """Some rows of an array, which are copied whenever they are read.

    Parameters
    ----------
    array : ndarray
    where : ndarray of int
        Positions of the rows.
    """

    def __init__(self, array, where):
        self._array, self._where = array, where
        self.dtype, self.shape = array.dtype, (len(where), *array.shape[1:])
        self.ndim = array.ndim

    def __len__(self):
        return len(self._where)

    def __array__(self, dtype=None, copy=None):
        return self._array[self._where].astype(dtype or self.dtype, copy=False)

    def __getitem__(self, key):
        if isinstance(key, np.ndarray):
            return self._array[self._where[key]]
        return np.asarray(self)[key]


@dataclass(frozen=True)
class CalibrationRows:
    """What is kept of the calibration rows, in the order they were given.

    Parameters
    ----------
    index : ndarray of int of shape (n_rows,)
        Position of each row in ``fit``.
    group : ndarray of int of shape (n_rows,)
    label : ndarray of bool or int of shape (n_rows,)
        True where the label is positive; with more than two classes, their codes.
    weight : ndarray of shape (n_rows,), or None
    scores : ndarray of shape (n_rows, n_members[, n_classes]), or None
        Members' scores of the positive class, in [0, 1], or their votes as booleans;
        scores of each class, if these are more than two.
    counted : ndarray of bool of shape (n_rows, n_members), or None
        Members that did not learn from a row, so that their predictions count.
    aggregation : Aggregation
        How the ensemble decides by its members' predictions.
    coins : ndarray of shape (n_rows,), or None
        Coins that ``predict`` settles randomised decisions by, NaN where unknown.
    has_head : bool, default=False
        Whether there is a column of scores more after those of the members: that of a
        head which knows the group, see `Heads`.
    n_joint : int, default=0
        Columns after these, of the estimated probabilities of group and class.
    """

    index: np.ndarray
    group: np.ndarray
    label: np.ndarray
    weight: np.ndarray | None = None
    scores: np.ndarray | None = None
    counted: np.ndarray | None = None
    aggregation: Aggregation = PLURALITY
    coins: np.ndarray | None = None
    has_head: bool = False
    n_joint: int = 0

    def __len__(self):
        return len(self.index)

    @classmethod
    def given(cls, group, label, weight):
        """The rows given to ``fit``, in few bytes each, as all may be kept."""
        index_type = np.int32 if len(group) < 2**31 else np.int64
        group_type = np.min_scalar_type(-1 - int(group.max(initial=0)))
        index = np.arange(len(group), dtype=index_type)
        return cls(index, group.astype(group_type), label, weight)

    @property
    def widened(self):
        """The rows with indices and groups of the type that arrays are indexed by."""
        index, group = (v.astype(np.intp, copy=False) for v in (self.index, self.group))
        return replace(self, index=index, group=group)

    @property
    def n_classes(self):
        """Number of classes."""
        return self.scores.shape[2] if self.scores.ndim == 3 else 2

    @property
    def unscored(self):
        """The rows without what the members predicted."""
        return self._with(None, None)

    @property
    def of_members(self):
        """The rows with the members' scores alone."""
        return self._first(self.has_head + self.n_joint)

    @property
    def of_known_groups(self):
        """The rows with what is evidence if the group is known."""
        left = self._first(self.n_joint)
        return replace(left, has_head=self.has_head)

    @property
    def joint(self):
        """Estimated probabilities of group and class, (n_rows, n_groups, n_classes)."""
        return joint_of(self.scores, self.n_joint)

    def with_evidence(self, scores, *, has_head, n_joint):
        """The rows with columns of scores more, which count for all of them."""
        counted = self.counted
        if counted is not None:
            more = np.ones((len(self), scores.shape[1] - counted.shape[1]), dtype=bool)
            counted = np.hstack([counted, more])
        return self._with(scores, counted, has_head=has_head, n_joint=n_joint)

    def _first(self, n_left_out):
        """The rows without some columns, which are last."""
        if not n_left_out:
            return self
        counted = None if self.counted is None else self.counted[:, :-n_left_out]
        return self._with(self.scores[:, :-n_left_out], counted)

    def _with(self, scores, counted, *, has_head=False, n_joint=0):
        return replace(
            self, scores=scores, counted=counted, has_head=has_head, n_joint=n_joint
        )

    @property
    def votes(self):
        """Votes of the members, bool or class codes of shape (n_rows, n_members)."""
        return votes_of(self.scores)

    @property
    def decided(self):
        """Decision of the ensemble itself, bool or class codes of shape (n_rows,)."""
        scores = np.asarray(self.scores)
        return self.aggregation.decide(scores, votes_of(scores), self.counted)

    @property
    def weighed(self):
        """The rows of positive weight."""
        if self.weight is None or self.weight.all():
            return self
        return self.take(self.weight > 0)

    def confusion(self, probability, n_groups):
        """Expected confusion matrix of each group.

        Parameters
        ----------
        probability : ndarray of shape (n_rows,) or (n_rows, n_classes)
            Of each decision, or of the second of two.
        n_groups : int

        Returns
        -------
        ndarray of shape (n_groups, n_classes, n_classes)
        """
        probability = class_probabilities(probability)
        n_classes = probability.shape[1]
        if self.weight is not None:
            probability = self.weight[:, None] * probability
        pair = self.group * n_classes + self.label
        sums = sum_by(pair, probability, n_groups * n_classes)
        return sums.reshape(n_groups, n_classes, n_classes)

    def without(self, indices):
        """Return copies of the other rows, which share no memory with these."""
        kept = np.flatnonzero(~np.isin(self.index, indices))
        return self.take(kept)

    def lent(self, kept):
        """Return some rows, given by a mask, whose scores are copied when read."""
        where = np.flatnonzero(kept)
        rows = replace(self, scores=None).take(where)
        return replace(rows, scores=Chosen(self.scores, where))

    def take(self, kept):
        """Return copies of some rows, given by positions or by a mask."""
        return replace(
            self,
            index=self.index[kept],
            group=self.group[kept],
            label=self.label[kept],
            weight=None if self.weight is None else self.weight[kept],
            scores=None if self.scores is None else self.scores[kept],
            counted=None if self.counted is None else self.counted[kept],
            coins=None if self.coins is None else self.coins[kept],
        )


def joint_of(scores, n_joint):
    """Probabilities of group and class, which are the last columns of scores."""
    last = scores[:, scores.shape[1] - n_joint :]
    return last if scores.ndim == 3 else last.reshape(len(last), -1, 2)


def votes_of(scores):
    """Votes of the members, bool or class codes of shape (n_rows, n_members)."""
    scores = np.asarray(scores)
    if scores.ndim == 3:
        return scores.argmax(axis=2)
    return scores if scores.dtype == bool else scores > 0.5


def are_votes(scores):
    """Whether all scores are 0 or 1."""
    return scores.dtype == bool or bool(np.isin(scores, (0, 1)).all())


def held_out_share(estimator, calibration):
    """Share of the rows to hold out from the members, 0 across shards.

    Parameters
    ----------
    estimator : estimator, list of frozen classifiers or None
    calibration : float, "cross_shard" or "auto"

    Returns
    -------
    float, or None
        None where nothing is trained, so that all rows calibrate.

    Raises
    ------
    ValueError
        If the estimator does not suit `calibration`.
    """
    frozen = isinstance(estimator, list | tuple | FrozenEstimator)
    if frozen:
        check_frozen(estimator)
    is_sharded = isinstance(estimator, SISAClassifier)
    if calibration == "auto":
        across = is_sharded and estimator.n_shards > 1
    else:
        across = calibration == "cross_shard"
    if across and (estimator is None or frozen):
        raise ValueError(
            'calibration="cross_shard" trains the ensemble on the rows it '
            "calibrates on, so estimator must be an ensemble that is not "
            "frozen, such as SISAClassifier. Set calibration to a number."
        )
    if across and not is_sharded:
        raise ValueError(
            'calibration="cross_shard" needs to know the shard of each row, '
            f"but {type(estimator).__name__} is not sharded. Use "
            "SISAClassifier, or hold rows out, for example by calibration=0.2."
        )
    if estimator is None or frozen:
        return None
    if across:
        return 0.0
    return _HELD_OUT if calibration == "auto" else float(calibration)


def drawn_roles(n_rows, share, seed, subjects):
    """Return which rows calibrate an ensemble that does not plan it itself.

    Raises
    ------
    ValueError
        If no row is left to train on, or to calibrate on.
    """
    held_out = drawn_to_hold_out(n_rows, share, seed, subjects=subjects)
    if held_out.all() or not held_out.any():
        what = "calibrate" if held_out.all() else "train"
        whose = "rows" if subjects is None else "rows of all data subjects"
        raise ValueError(
            f"With calibration={share:g} all of the {n_rows} {whose} would {what}. "
            "Which do follows from random_state and the row's position or data subject "
            'alone. Use a SISAClassifier with calibration="cross_shard", in which '
            "every row does both, give more rows, or change the share."
        )
    return held_out


def count_other_shards(rows, plan, predicting):
    """Mark which members have not learnt from each row.

    Parameters
    ----------
    rows : CalibrationRows
        Their positions are the indices that the plan knows.
    plan : Plan
    predicting : ndarray of int of shape (n_members,)
        Shards that have rows, whose members do not abstain.

    Returns
    -------
    CalibrationRows
        With `counted`.
    """
    own = np.asarray(plan.shard_of(rows.index))
    return replace(rows, counted=own[:, None] != predicting)


def check_two_shards(predicting):
    """Raise unless rows of any shard can be scored by another."""
    if len(predicting) < 2:
        raise ValueError(
            'calibration="cross_shard" scores a row by the other shards, but '
            f"{'only one shard' if len(predicting) else 'no shard'} has rows. Fit with "
            "more shards, or hold rows out, for example by calibration=0.2."
        )
