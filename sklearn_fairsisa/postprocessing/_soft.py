r"""One score out of the scores of many members, in each group its own.

Notes
-----
The best rule on (member scores, group) thresholds the conditional probability of the
positive label, separately in each group. Only the order of the scores within a group
matters then, so the score is a weighted sum of the members' logits; how each group's
probability rises with it is left to isotonic regression.

Equal odds are those of the group that is told apart worst. Common weights are those
of the greatest group, and may tell a small one apart badly: hence weights of its own.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import logit

from ..fairness._hierarchy import fit_hierarchy

# Logits of votes 0 and 1 must be finite.
_CLIP = 1e-6
# Departures that change the logit by about 0.7 are expected.
_RATE = 0.5


@dataclass(frozen=True)
class LogitWeights:
    """Weights of the members' logits.

    Parameters
    ----------
    weights : ndarray of shape (n_groups, n_members)
    """

    weights: np.ndarray

    @classmethod
    def fit(cls, scores, group, label, sample_weight=None, counted=None):
        r"""Learn weights by a logistic model that groups share.

        Parameters
        ----------
        scores : ndarray of shape (n_samples, n_members)
            In [0, 1].
        group : ndarray of int of shape (n_samples,)
            Codes without gaps.
        label : ndarray of bool of shape (n_samples,)
        sample_weight : ndarray of shape (n_samples,), default=None
        counted : ndarray of bool of shape (n_samples, n_members), default=None
            Members that speak of a row; None is all.

        Notes
        -----
        With z the members' logits and :math:`\bar z` their mean, the model is

        .. math:: \alpha_a + (\beta + \beta_a) \bar z
            + (\delta + \delta_a)^T (z - \bar z)

        in group a. Normal priors of :math:`\beta_a` and :math:`\delta_a` shrink a
        group's weights towards common ones, and that of :math:`\delta` these towards
        equal ones, each as far as the evidence asks for it.
        """
        n_groups, n_members = group.max() + 1, scores.shape[1]
        equal = np.full((n_groups, n_members), 1 / n_members)
        # There is nobody to be weighed against.
        if n_members == 1:
            return cls(equal)
        z = _logits(scores, counted)
        mean = z.mean(axis=1, keepdims=True)
        deviation = z - mean
        total = np.ones(len(z)) if sample_weight is None else sample_weight
        # Forgetting may have left one label, of which nothing can be learnt.
        if len(np.unique(label[total > 0])) < 2:
            return cls(equal)
        centre = np.average(mean, weights=total, axis=0)
        spread = np.sqrt(
            [
                np.average((part**2).sum(axis=1), weights=total)
                for part in (mean - centre, deviation)
            ]
        )
        # Members that agree differ by rounding only.
        if spread[0] == 0 or spread[1] < 1e-9 * spread[0]:
            return cls(equal)
        order = np.argsort(group, kind="stable")
        features = np.hstack(
            [np.ones_like(mean), mean / spread[0], deviation / spread[1]]
        )
        slope, change = np.split(
            fit_hierarchy(
                features[order],
                group[order],
                total[order],
                (total * label)[order],
                stiffness=np.ones(n_members),
                rate=_RATE,
            )[:, 1:],
            [1],
            axis=1,
        )
        change = change - change.mean(axis=1, keepdims=True)
        return cls(slope / spread[0] * equal + change / spread[1])

    def score(self, scores, group, counted=None):
        """Weighted sum of the logits.

        Parameters
        ----------
        scores : ndarray of shape (n_samples, n_members)
        group : ndarray of int of shape (n_samples,)
        counted : ndarray of bool of shape (n_samples, n_members), default=None
            A member that does not speak of a row is taken to say what the others say
            in the mean.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        # Row by row, so that a score never depends on the batch it came in.
        return (_logits(scores, counted) * self.weights[group]).sum(axis=1)


def _logits(scores, counted=None):
    z = logit(scores.clip(_CLIP, 1 - _CLIP))
    if counted is None:
        return z
    return np.where(counted, z, z.mean(axis=1, where=counted, keepdims=True))
