"""How an ensemble makes one decision of its members' predictions."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from ..fairness._cells import majority
from ..fairness._plurality_rules import plurality
from ..sisa._classifier import SISAClassifier

_FORESTS = {"ExtraTreesClassifier", "RandomForestClassifier"}


@dataclass(frozen=True)
class Aggregation:
    """A vote of the members, or the mean of their scores.

    Parameters
    ----------
    weights : tuple of float of length n_members, default=None
        Of the members; None weighs all alike.
    averages : bool, default=False
        Whether scores are averaged, and not votes counted.
    is_certain : bool, default=True
        Whether the ensemble is known to decide like this.
    """

    weights: Any = None
    averages: bool = False
    is_certain: bool = True

    def decide(self, scores, votes, counted=None):
        """Return the decision of the ensemble, the first of several in a tie.

        Parameters
        ----------
        scores : ndarray of shape (n_samples, n_members[, n_classes])
        votes : ndarray of shape (n_samples, n_members)
            Bool of two classes, codes of more.
        counted : ndarray of bool of shape (n_samples, n_members), default=None
            Members whose prediction counts for a row; all if None.

        Returns
        -------
        ndarray of bool or int of shape (n_samples,)
        """
        if self.weights is None and not self.averages:
            if scores.ndim == 2:
                return majority(votes, counted)
            return plurality(votes, scores.shape[2], counted)
        n_classes = scores.shape[2] if scores.ndim == 3 else 2
        if self.averages:
            of_class = scores
            if scores.ndim == 2:
                of_class = np.stack([1.0 - scores, scores], axis=2)
        else:
            of_class = votes[:, :, None] == np.arange(n_classes)
        weights = np.ones(votes.shape[1]) if self.weights is None else self.weights
        total = np.zeros((len(votes), n_classes))
        # One by one, which rounds as the ensembles do.
        for member, weight in enumerate(weights):
            part = weight * of_class[:, member].astype(np.float64)
            total += part if counted is None else part * counted[:, [member]]
        decided = total.argmax(axis=1)
        return decided == 1 if scores.ndim == 2 else decided


PLURALITY = Aggregation()


def aggregation_of(estimator):
    """Return how a fitted ensemble aggregates its members.

    Parameters
    ----------
    estimator : fitted estimator, list of classifiers or None
        As for `member_scores`.

    Returns
    -------
    Aggregation or None
        None if the ensemble decides neither by votes nor by a mean of scores, as
        stacking does. An unknown kind is assumed to count its members' votes, weighted
        by ``estimator_weights_`` where it has these.
    """
    if estimator is None or isinstance(estimator, list | tuple):
        return PLURALITY
    if isinstance(estimator, FrozenEstimator):
        return aggregation_of(estimator.estimator)
    if hasattr(estimator, "best_estimator_"):
        return aggregation_of(estimator.best_estimator_)
    if isinstance(estimator, Pipeline):
        return aggregation_of(estimator[-1])
    if isinstance(estimator, SISAClassifier):
        return Aggregation(averages=estimator.aggregation == "mean")
    if is_any(estimator, {"StackingClassifier"}):
        return None
    if is_any(estimator, {"VotingClassifier"}):
        return Aggregation(_weights_of_voting(estimator), estimator.voting == "soft")
    if is_any(estimator, _FORESTS):
        return Aggregation(averages=True)
    if is_any(estimator, {"BaggingClassifier"}):
        return Aggregation(averages=hasattr(estimator.estimators_[0], "predict_proba"))
    weights = getattr(estimator, "estimator_weights_", None)
    if weights is not None:
        # AdaBoost reserves a place for each member that it might have had.
        weights = tuple(np.asarray(weights, dtype=float)[: len(estimator.estimators_)])
    return Aggregation(weights, is_certain=is_any(estimator, {"AdaBoostClassifier"}))


def _weights_of_voting(voting):
    if voting.weights is None:
        return None
    named = zip(voting.estimators, voting.weights)
    return tuple(float(weight) for (_, member), weight in named if member != "drop")


def is_any(estimator, names):
    """Whether an estimator is of one of the named classes of sklearn.ensemble."""
    return any(
        kind.__name__ in names and kind.__module__.startswith("sklearn.ensemble.")
        for kind in type(estimator).__mro__
    )
