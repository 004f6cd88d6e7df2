"""Rows on which a fair rule is calibrated."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator

from .._utils.containers import take
from .._utils.plain import PlainStateMixin
from ..fairness._coins import class_probabilities
from ..fairness._rates import sum_by
from ..sisa._classifier import SISAClassifier
from ._aggregation import PLURALITY, Aggregation
from ._members import check_frozen
from ._subjects import Subjects

# For ensembles whose members' training rows are unknown.
_HELD_OUT = 0.2


@dataclass(frozen=True)
class Origin:
    """Use of the rows given to ``fit``, and how their X is read.

    Parameters
    ----------
    n_given : int
        Number of rows given.
    training : ndarray of int, or None
        Sorted positions of those that trained the ensemble.
    subjects : Subjects or None
        Data subjects of all of them.
    holds_labels : bool
        Whether X holds class labels that members predicted.
    holds_only_votes : bool
        Whether X holds votes and nothing else, so that people are not distinguishable.
    seed : int
        Key of the coins.
    aggregation : Aggregation
        How the ensemble decides by its members' predictions.
    """

    n_given: int
    training: np.ndarray | None
    subjects: Subjects | None
    holds_labels: bool
    holds_only_votes: bool
    seed: int
    aggregation: Aggregation = PLURALITY


@dataclass(frozen=True)
class CalibrationRows(PlainStateMixin):
    """What is kept of the calibration rows, in the order they were given.

    Parameters
    ----------
    index : ndarray of int of shape (n_rows,)
        Position of each row in ``fit``.
    group : ndarray of int of shape (n_rows,)
    label : ndarray of bool or int of shape (n_rows,)
        True where the label is positive; with more than two classes, their codes.
    weight : ndarray of shape (n_rows,), or None
    X : sequence of length n_rows, or None
        Rows as the members see them, kept where the members may change.
    scores : ndarray of shape (n_rows, n_members[, n_classes]), or None
        Members' scores of the positive class, in [0, 1], or their votes as booleans;
        scores of each class, if these are more than two.
    counted : ndarray of bool of shape (n_rows, n_members), or None
        Members that did not learn from a row, so that their predictions count.
    origin : Origin or None
        None of rows that were not given to ``fit``.
    """

    index: np.ndarray
    group: np.ndarray
    label: np.ndarray
    weight: np.ndarray | None = None
    X: object = None
    scores: np.ndarray | None = None
    counted: np.ndarray | None = None
    origin: Any = None

    def __len__(self):
        return len(self.index)

    @property
    def n_classes(self):
        """Number of classes."""
        return self.scores.shape[2] if self.scores.ndim == 3 else 2

    @property
    def votes(self):
        """Votes of the members, bool or class codes of shape (n_rows, n_members)."""
        return votes_of(self.scores)

    @property
    def decided(self):
        """Decision of the ensemble itself, bool or class codes of shape (n_rows,)."""
        return self.aggregation.decide(self.scores, self.votes, self.counted)

    @property
    def aggregation(self):
        """How the ensemble decides by its members' predictions."""
        return PLURALITY if self.origin is None else self.origin.aggregation

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

    def take(self, kept):
        """Return copies of some rows, given by positions or by a mask."""
        return replace(
            self,
            index=self.index[kept],
            X=None if self.X is None else take(self.X, np.arange(len(self))[kept]),
            group=self.group[kept],
            label=self.label[kept],
            weight=None if self.weight is None else self.weight[kept],
            scores=None if self.scores is None else self.scores[kept],
            counted=None if self.counted is None else self.counted[kept],
        )


def votes_of(scores):
    """Votes of the members, bool or class codes of shape (n_rows, n_members)."""
    if scores.ndim == 3:
        return scores.argmax(axis=2)
    return scores if scores.dtype == bool else scores > 0.5


def are_votes(scores):
    """Whether all scores are 0 or 1."""
    return scores.dtype == bool or bool(np.isin(scores, (0, 1)).all())


def calibrates_across_shards(estimator, calibration):
    """Whether calibration rows train too, scored by the members of other shards."""
    if calibration == "auto":
        return isinstance(estimator, SISAClassifier) and estimator.n_shards > 1
    return calibration == "cross_shard"


def plan_calibration(estimator, calibration, strata, subjects, random_state):
    """Choose the rows that train the ensemble and those that calibrate.

    Parameters
    ----------
    estimator : estimator, list of frozen classifiers or None
    calibration : float, "cross_shard" or "auto"
    strata : ndarray of int of shape (n_rows,)
        Rows of stratum -1, which are of no group, do not calibrate.
    subjects : Subjects or None
        Where rows are held out, no row of the same data subject trains.
    random_state : RandomState

    Returns
    -------
    training : ndarray of int, or None
        Sorted positions; None if nothing is to be trained.
    calibrating : ndarray of int
        Sorted positions.

    Raises
    ------
    ValueError
        If the estimator does not suit `calibration`, or no row is left to train on.
    """
    everyone, grouped = np.arange(len(strata)), np.flatnonzero(strata >= 0)
    frozen = isinstance(estimator, list | tuple | FrozenEstimator)
    if frozen:
        check_frozen(estimator)
    if estimator is None or frozen:
        if calibration == "cross_shard":
            raise ValueError(
                'calibration="cross_shard" trains the ensemble on the rows it '
                "calibrates on, so estimator must be an ensemble that is not "
                "frozen, such as SISAClassifier. Set calibration to a number."
            )
        return None, grouped
    if calibrates_across_shards(estimator, calibration):
        if not isinstance(estimator, SISAClassifier):
            raise ValueError(
                'calibration="cross_shard" needs to know the shard of each row, '
                f"but {type(estimator).__name__} is not sharded. Use "
                "SISAClassifier, or hold rows out, for example by calibration=0.2."
            )
        return everyone, grouped
    share = _HELD_OUT if calibration == "auto" else calibration
    # Without ids, each row is its own subject.
    subject = everyone if subjects is None else subjects.codes
    held_out = holdout_of_subjects(
        strata[grouped], subject[grouped], share, random_state
    )
    calibrating = grouped[held_out]
    training = np.flatnonzero(~np.isin(subject, subject[calibrating]))
    if len(training) == 0:
        raise ValueError(
            f"Each of the {len(strata)} rows, or its data subject, is the only "
            "one with its label and group, so none is left to train on. Give more "
            "rows."
        )
    return training, calibrating


def stratified_holdout(strata, fraction, random_state):
    """Choose rows for calibration so that each stratum gives the same share.

    Parameters
    ----------
    strata : ndarray of shape (n_rows,)
    fraction : float
        Share of each stratum held out, rounded, but at least one row. Both parts get
        rows of a stratum that has two.
    random_state : RandomState

    Returns
    -------
    ndarray of int
        Sorted positions.
    """
    held_out = np.zeros(len(strata), dtype=bool)
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        size = round(fraction * len(rows))
        size = max(1, min(size, len(rows) - 1))
        held_out[random_state.permutation(rows)[:size]] = True
    return np.flatnonzero(held_out)


def holdout_of_subjects(strata, subject, fraction, random_state):
    """Choose rows for calibration so that the rows of a data subject stay together.

    Parameters
    ----------
    strata : ndarray of shape (n_rows,)
        A subject is drawn in the stratum of the first of its rows.
    subject : ndarray of int of shape (n_rows,)
    fraction : float
        Share of the subjects of each stratum held out.
    random_state : RandomState

    Returns
    -------
    ndarray of int
        Sorted positions.
    """
    _, first, subject = np.unique(subject, return_index=True, return_inverse=True)
    chosen = stratified_holdout(strata[first], fraction, random_state)
    return np.flatnonzero(np.isin(subject, chosen))


def leave_own_shard_out(rows, plan, predicting):
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

    Raises
    ------
    ValueError
        If fewer than two members predict.
    """
    if len(predicting) < 2:
        raise ValueError(
            'calibration="cross_shard" scores a row by the other shards, but '
            f"{'only one shard' if len(predicting) else 'no shard'} has rows. Fit with "
            "more shards, or hold rows out, for example by calibration=0.2."
        )
    own = np.asarray(plan.shard_of(rows.index))
    return replace(rows, counted=own[:, None] != predicting)
