r"""One score out of the scores of many members.

Notes
-----
The best rule on (member scores, group) thresholds the conditional probability of the
positive label, separately in each group. Only the order of the scores within a group
matters then, so the score is a weighted sum of the members' logits; how each group's
probability rises with it is left to isotonic regression.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import logit
from sklearn.linear_model import LogisticRegression

# Logits of votes 0 and 1 must be finite.
_CLIP = 1e-6


@dataclass(frozen=True)
class LogitWeights:
    """Weights of the members' logits.

    Parameters
    ----------
    weights : ndarray of shape (n_members,)
    """

    weights: np.ndarray

    @classmethod
    def equal(cls, n_members):
        """The mean logit."""
        return cls(np.full(n_members, 1 / n_members))

    @classmethod
    def fit(cls, scores, group, label, sample_weight=None, *, penalty=1.0):
        r"""Learn weights by a logistic regression shrunk towards equal weights.

        Parameters
        ----------
        scores : ndarray of shape (n_samples, n_members)
            In [0, 1].
        group : ndarray of int of shape (n_samples,)
        label : ndarray of bool of shape (n_samples,)
        sample_weight : ndarray of shape (n_samples,), default=None
        penalty : float, default=1.0
            Strength of the shrinkage.

        Notes
        -----
        With z the members' logits and :math:`\bar z` their mean, the model is
        :math:`\alpha_{group} + \beta \bar z + \delta^T (z - \bar z)`; the penalty falls
        on :math:`\delta` and hardly on the rest.
        """
        n_members = scores.shape[1]
        if n_members == 1:
            return cls.equal(1)
        z = _logits(scores)
        mean = z.mean(axis=1)
        deviation = z - mean[:, None]
        spread_mean, spread = mean.std(), deviation.std()
        weighed = label if sample_weight is None else label[sample_weight > 0]
        # Forgetting may have left one label, of which nothing can be learnt.
        if spread_mean == 0 or spread == 0 or len(np.unique(weighed)) < 2:
            return cls.equal(n_members)
        # Ridge penalises a coefficient the less, the greater its feature is.
        light = 10.0
        heavy = 1 / (spread * np.sqrt(n_members * penalty))
        indicators = group[:, None] == np.unique(group)[1:]
        features = np.column_stack(
            [light * mean / spread_mean, heavy * deviation, light * indicators]
        )
        model = LogisticRegression(C=1.0, tol=1e-6, max_iter=1000)
        coefficient = model.fit(features, label, sample_weight).coef_.ravel()
        delta = heavy * coefficient[1 : n_members + 1]
        beta = light * coefficient[0] / spread_mean
        return cls(delta - delta.mean() + beta / n_members)

    def score(self, scores, counted=None):
        """Weighted sum of the logits of the members that are counted.

        Parameters
        ----------
        scores : ndarray of shape (n_samples, n_members)
        counted : ndarray of bool of shape (n_samples, n_members), default=None

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        z = _logits(scores)
        if counted is None:
            # Row by row, so that a score never depends on the batch it came in.
            return (z * self.weights).sum(axis=1)
        return (z * self.weights).sum(axis=1, where=counted) / np.sum(
            np.broadcast_to(self.weights, z.shape), axis=1, where=counted
        )


def _logits(scores):
    return logit(scores.clip(_CLIP, 1 - _CLIP))
