r"""Inputs of a rule: the members' votes, a score, or class probabilities.

Notes
-----
Each ``learn`` takes calibration rows and returns a function from a problem to a rule.

The best rule on (member scores, group) thresholds the conditional probability of the
positive label, separately in each group. Only the order of the scores within a group
matters then, so the score is a weighted sum of the members' logits; how each group's
probability rises with it is left to isotonic regression.

Equal odds are limited by the group whose labels are least distinguishable. Common
weights suit the greatest group and may suit a small one badly, so each has its own.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logit
from sklearn.linear_model import LogisticRegression

from ..fairness._cells import Votes
from ..fairness._cost_rules import CostRuleMixture
from ..fairness._hierarchy import fit_hierarchy
from ..fairness._joint_rules import MODEL_PEOPLE, JointRule
from ..fairness._score_rules import ScoreRule
from ._aggregation import Aggregation
from ._calibration import votes_of

# Rows whose weighted sums are taken at a time, so that they fit into a cache.
_BLOCK = 2048
# Logits of votes 0 and 1 must be finite.
_CLIP = 1e-6
# Standard errors that chance alone hardly exceeds.
_DOUBT = 3.0
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
            Members whose prediction counts for a row; None is all.

        Notes
        -----
        With z the members' logits and :math:`\bar z` their mean, the model is

        .. math:: \alpha_a + (\beta + \beta_a) \bar z
            + (\delta + \delta_a)^T (z - \bar z)

        in group a. Normal priors of :math:`\beta_a` and :math:`\delta_a` shrink a
        group's weights towards common ones, and that of :math:`\delta` these towards
        equal ones, each as far as the evidence supports. A single member, or members
        that agree, need no weights but for their sign, which is negative in a group
        whose positives have the smaller scores.
        """
        return cls.of_logits(_logits(scores, counted), group, label, sample_weight)

    @classmethod
    def of_logits(cls, z, group, label, sample_weight=None):
        """Learn weights, as `fit` does, of logits of shape (n_samples, n_members)."""
        n_groups, n_members = group.max() + 1, z.shape[1]
        equal = np.full((n_groups, n_members), 1 / n_members)
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
        if spread[0] == 0:
            return cls(equal)
        # Members that agree differ by rounding only.
        if spread[1] < 1e-9 * spread[0]:
            turned = _ranked_in_reverse(mean[:, 0], group, total, label)
            return cls(np.where(turned[:, None], -equal, equal))
        order = np.argsort(group, kind="stable")
        features = np.empty((len(z), 2 + n_members))
        features[:, 0] = 1.0
        features[:, 1:2] = mean[order] / spread[0]
        features[:, 2:] = deviation[order]
        features[:, 2:] /= spread[1]
        del deviation
        coefficients = fit_hierarchy(
            features,
            group[order],
            total[order],
            (total * label)[order],
            stiffness=np.ones(n_members),
            rate=_RATE,
        )
        slope, change = np.split(coefficients[:, 1:], [1], axis=1)
        change = change - change.mean(axis=1, keepdims=True)
        return cls(slope / spread[0] * equal + change / spread[1])

    def score(self, scores, group, counted=None):
        """Weighted sum of the logits.

        Parameters
        ----------
        scores : ndarray of shape (n_samples, n_members)
        group : ndarray of int of shape (n_samples,)
        counted : ndarray of bool of shape (n_samples, n_members), default=None
            A member that does not count for a row gets the mean of the others.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        return self.weighted(_logits(scores, counted), group)

    def weighted(self, z, group):
        """Weighted sum of logits of shape (n_samples, n_members)."""
        # Row by row, so that a score never depends on the batch it came in.
        sums = np.empty(len(z))
        for first in range(0, len(z), _BLOCK):
            here = slice(first, first + _BLOCK)
            (z[here] * self.weights[group[here]]).sum(axis=1, out=sums[here])
        return sums

    def leaving_out(self, scores, group, silent):
        """Score with each silent member left out in turn, in the bits of `score`.

        Returns
        -------
        ndarray of shape (n_samples, n_silent)
        """
        z, weights = _logits(scores), self.weights[group]
        left_out, products = np.empty((len(z), len(silent))), z * weights
        for position, member in enumerate(silent):
            own = products[:, member].copy()
            others = z[:, :member], z[:, member + 1 :]
            before, after = (part.sum(axis=1, initial=0.0) for part in others)
            mean = (before + after) / (z.shape[1] - 1)
            products[:, member] = mean * weights[:, member]
            left_out[:, position] = products.sum(axis=1)
            products[:, member] = own
        return left_out


@dataclass(frozen=True)
class MultinomialModel:
    r"""Multinomial logistic regression on the members' scores and the group.

    Parameters
    ----------
    mean, deviation : ndarray of shape (n_classes, n_features)
        Coefficients of the members' mean logits, and of each member's deviations from
        the mean, None where these are not used.
    intercept : ndarray of shape (n_groups, n_classes)

    Notes
    -----
    With :math:`z_{sk} = \log p_{sk} - \frac1K \sum_l \log p_{sl}` the logits of member
    s and :math:`\bar z` their mean over the members, the logit of class k is
    :math:`\alpha_{k,group} + \beta_k^T \bar z + \sum_s \delta_{sk}^T (z_s - \bar z)`.
    The ridge penalty falls on :math:`\delta` and hardly on the rest.
    """

    mean: np.ndarray
    deviation: np.ndarray | None
    intercept: np.ndarray

    @classmethod
    def fit(cls, rows, *, penalty=1.0):
        """Fit on calibration rows."""
        n_members, n_classes = rows.scores.shape[1:]
        n_groups = int(rows.group.max()) + 1
        mean, deviation = _mean_logits(rows.scores, rows.counted)
        # Ridge penalises a coefficient the less, the greater its feature is.
        light = 10.0
        parts, scales = [mean], [light / max(mean.std(), 1e-12)]
        if deviation is not None and n_members > 1 and deviation.std() > 0:
            parts.append(deviation)
            scales.append(1 / (deviation.std() * np.sqrt(n_members * penalty)))
        parts.append(np.eye(n_groups)[rows.group])
        scales.append(light)
        present = np.unique(rows.label)
        intercept = np.full(n_classes, -np.inf)
        coefficients = [np.zeros((n_classes, part.shape[1])) for part in parts]
        if len(present) == 1:
            # Forgetting has left a single class: there is nothing to learn.
            intercept[present] = 0.0
        else:
            features = np.hstack([s * part for s, part in zip(scales, parts)])
            # Two classes left are fitted as one logit, for the second of them.
            model = LogisticRegression(C=1.0, tol=1e-6, max_iter=2000)
            model.fit(features, rows.label, rows.weight)
            two = len(present) == 2
            fitted = present[1:] if two else present
            intercept[present] = 0.0
            intercept[fitted] = model.intercept_
            ends = np.cumsum([part.shape[1] for part in parts])[:-1]
            for own, scale, block in zip(
                coefficients, scales, np.split(model.coef_, ends, axis=1)
            ):
                own[fitted] = scale * block
        return cls(
            coefficients[0],
            coefficients[1] if len(parts) == 3 else None,
            intercept + coefficients[-1].T,
        )

    def probabilities(self, scores, group, counted=None):
        """Class probabilities of rows, (n_rows, n_classes)."""
        return self._chances(*_mean_logits(scores, counted), group)

    def leaving_out(self, scores, group, silent):
        """Class probabilities with each silent member left out, in turn.

        They have the bits of `probabilities`.

        Returns
        -------
        ndarray of shape (n_rows, n_silent, n_classes)
        """
        left_out = np.empty((len(scores), len(silent), scores.shape[2]))
        by_member = np.ascontiguousarray(_centred_logits(scores).swapaxes(0, 1))
        before, n_before = np.zeros(by_member.shape[1:]), 0
        for position, member in enumerate(silent):
            for other in by_member[n_before:member]:
                before += other
            total, n_before = before.copy(), member
            for other in by_member[member + 1 :]:
                total += other
            mean = total / (len(by_member) - 1)
            left_out[:, position] = self._chances(mean, None, group)
        return left_out

    def _chances(self, mean, deviation, group):
        logit = self.intercept[group]
        # Row by row, so that nothing depends on the batch a row came in.
        logit += np.stack([(mean * own).sum(axis=1) for own in self.mean], axis=1)
        if self.deviation is not None:
            logit += np.stack(
                [(deviation * own).sum(axis=1) for own in self.deviation], axis=1
            )
        chance = np.exp(logit - logit.max(axis=1, keepdims=True))
        return chance / chance.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class OnVotes:
    """A rule on the members' votes."""

    rule: Any

    @classmethod
    def learn(cls, rows, *, of_two, of_more):
        """Return a function from a problem to a rule, of one of two classes."""
        votes = Votes(
            rows.votes,
            rows.group,
            rows.label,
            rows.weight,
            rows.counted,
            rows.n_classes,
            rows.aggregation.weights,
        )
        rule_class = of_two if rows.n_classes == 2 else of_more
        return lambda problem: cls(rule_class.fit(votes, problem))

    def selection_probability(self, scores, group, counted=None):
        """Probability of selection of rows of known groups."""
        return self.rule.selection_probability(votes_of(scores), group, counted)


@dataclass(frozen=True)
class OnDecision:
    """A rule on the decision that the ensemble makes of its members' predictions."""

    aggregation: Aggregation
    rule: Any

    @classmethod
    def learn(cls, rows, *, of_two, of_more):
        """Return a function from a problem to a rule, of one of two classes."""
        # The ensemble as the only member.
        votes = Votes(
            rows.decided[:, None],
            rows.group,
            rows.label,
            rows.weight,
            n_classes=rows.n_classes,
        )
        rule_class = of_two if rows.n_classes == 2 else of_more
        return lambda problem: cls(rows.aggregation, rule_class.fit(votes, problem))

    def selection_probability(self, scores, group, counted=None):
        """Probability of selection of rows of known groups."""
        decided = self.aggregation.decide(scores, votes_of(scores), counted)
        return self.rule.selection_probability(decided[:, None], group)


@dataclass(frozen=True)
class OnScores:
    """A rule for two classes on a weighted sum of the members' logits."""

    weights: LogitWeights
    rule: ScoreRule

    @classmethod
    def learn(cls, rows, *, smooth=False):
        """Return a function from a problem to a rule, for labels or smoothed ones."""
        if rows.n_classes > 2:
            # Its probabilities come from a model that groups share already.
            return OnProbabilities.learn(rows)
        z = _logits(rows.scores, rows.counted)
        weights = LogitWeights.of_logits(z, rows.group, rows.label, rows.weight)
        learnt = ScoreRule.learn(
            weights.weighted(z, rows.group),
            rows.group,
            rows.label,
            rows.weight,
            smooth=smooth,
        )
        return lambda problem: cls(weights, learnt(problem))

    @property
    def shared(self):
        """What rules of the same rows share, whatever the problem."""
        return self.weights

    def evidence(self, scores, group, counted=None):
        """What the rule decides by: a score of each row."""
        return self.weights.score(scores, group, counted)

    def evidence_leaving_out(self, scores, group, silent):
        """The same with each silent member left out in turn, (n_rows, n_silent)."""
        return self.weights.leaving_out(scores, group, silent)

    def decided(self, what, evidence, group):
        """Probability or margin of rows of known groups, given the evidence."""
        return getattr(self.rule, what)(evidence, group)


@dataclass(frozen=True)
class OnProbabilities:
    """A rule on class probabilities estimated from scores and group.

    Parameters
    ----------
    model : MultinomialModel
    rule : CostRuleMixture
    reversed : ndarray of bool of shape (n_groups,)
        Groups in which people of a class have the smaller scores of it beyond doubt,
        and in another the greater.
    """

    model: MultinomialModel
    rule: CostRuleMixture
    reversed: np.ndarray

    @classmethod
    def learn(cls, rows):
        """Return a function from a problem to a rule."""
        model = MultinomialModel.fit(rows)
        eta = model.probabilities(rows.scores, rows.group, rows.counted)
        given = eta, rows.group, rows.label, rows.weight
        turned = _ranked_otherwise(rows)
        return lambda problem: cls(model, CostRuleMixture.fit(*given, problem), turned)

    @property
    def shared(self):
        """What rules of the same rows share, whatever the problem."""
        return self.model

    def evidence(self, scores, group, counted=None):
        """What the rule decides by: class probabilities of each row."""
        return self.model.probabilities(scores, group, counted)

    def evidence_leaving_out(self, scores, group, silent):
        """The same with each silent member left out, (n_rows, n_silent, n_classes)."""
        return self.model.leaving_out(scores, group, silent)

    def decided(self, what, evidence, group):
        """Probabilities of rows of known groups, given the evidence."""
        if evidence.ndim == 2:
            return self.rule.selection_probability(evidence, group)
        each = evidence.swapaxes(0, 1)
        decided = [self.rule.selection_probability(eta, group) for eta in each]
        return np.stack(decided, axis=1)


@dataclass(frozen=True)
class OnJoint:
    """A rule on estimated probabilities of group and class, which needs no group."""

    rule: JointRule

    @classmethod
    def learn(cls, rows, chosen, *, people=MODEL_PEOPLE):
        """Return a function from a problem to a rule.

        Parameters
        ----------
        rows : CalibrationRows
        chosen : ndarray of bool
            Which groups the rows are of.
        people : float
            See `JointRule.fit`.
        """
        label = rows.label.astype(np.intp)
        given = rows.joint[:, chosen], rows.group, label, rows.weight
        return lambda problem: cls(JointRule.fit(*given, problem, people=people))

    def selection_probability(self, scores, group, counted=None):
        """Probability of selection of rows, given their joint probabilities.

        Parameters
        ----------
        scores : ndarray of shape (n_samples, n_groups, n_classes)
        group, counted
            Not used.
        """
        return self.rule.selection_probability(scores)


def _ranked_otherwise(rows):
    """Return which groups rank a class in reverse that another group ranks rightly."""
    mean, _ = _mean_logits(rows.scores, rows.counted)
    weight = np.ones(len(mean)) if rows.weight is None else rows.weight
    ranked = np.array(
        [
            [
                _ranked_in_reverse(sign * score, rows.group, weight, rows.label == k)
                for k, score in enumerate(mean.T)
            ]
            for sign in (1, -1)
        ]
    )
    in_reverse, rightly = ranked
    return (in_reverse & rightly.any(axis=1, keepdims=True)).any(axis=0)


def _ranked_in_reverse(score, group, weight, label):
    r"""Whether the positives of each group have the smaller scores beyond doubt.

    Notes
    -----
    With residuals r of the labels and m of the scores from their group's means,
    :math:`\sum w r m / \sqrt{\sum w^2 r^2 m^2}` is about standard normal where scores
    say nothing of labels.
    """
    size = np.bincount(group, weight)
    # Of a group without weight nothing is known.
    size[size == 0] = 1.0

    def residual(values):
        return values - (np.bincount(group, weight * values) / size)[group]

    part = weight * residual(label.astype(np.float64)) * residual(score)
    spread = np.sqrt(np.bincount(group, part**2))
    return np.bincount(group, part) < -_DOUBT * spread


def decisions(rule, what, scores, group, counted, remembered):
    """Return a rule's probabilities or margins.

    Parameters
    ----------
    rule : object
        What it decides by is computed once for all problems if it has ``evidence``.
    what : {"selection_probability", "margin"}
        Method of the rule.
    scores : ndarray of shape (n_samples, n_members[, n_classes])
    group : ndarray of int of shape (n_samples,)
    counted : ndarray of bool of shape (n_samples, n_members), or None
    remembered : dict
        Evidence on these rows that other rules have seen.

    Returns
    -------
    ndarray of shape (n_samples[, n_classes])
    """
    if not hasattr(rule, "evidence"):
        return getattr(rule, what)(scores, group, counted)
    seen = _remembered(
        remembered, rule.shared, lambda: rule.evidence(scores, group, counted)
    )
    return rule.decided(what, seen, group)


def decisions_leaving_out(rule, what, scores, group, silent, remembered):
    """Return a rule's probabilities with each silent member left out in turn.

    Parameters
    ----------
    rule, what, scores, group, remembered
        As of `decisions`.
    silent : ndarray of int of shape (n_silent,)
        Rising positions of members.

    Returns
    -------
    ndarray of shape (n_samples, n_silent[, n_classes])
    """
    if hasattr(rule, "evidence"):
        seen = _remembered(
            remembered,
            rule.shared,
            lambda: rule.evidence_leaving_out(scores, group, silent),
        )
        return rule.decided(what, seen, group)
    counted = np.ones(scores.shape[:2], dtype=bool)
    each = []
    for member in silent:
        counted[:, member] = False
        each.append(getattr(rule, what)(scores, group, counted))
        counted[:, member] = True
    return np.stack(each, axis=1)


def _remembered(remembered, shared, make):
    """Return what was made before for an object, or make it."""
    # The object is kept too, as another may get its id once it is gone.
    if id(shared) not in remembered:
        remembered[id(shared)] = shared, make()
    return remembered[id(shared)][1]


def _logits(scores, counted=None):
    z = scores.clip(_CLIP, 1 - _CLIP)
    z = logit(z, out=z)
    if counted is not None:
        mean = z.mean(axis=1, where=counted, keepdims=True)
        np.copyto(z, mean, where=~counted)
    return z


def _mean_logits(scores, counted):
    """Mean of the members' centred logits, and each member's deviation from it.

    Arrays of shape (n_rows, n_classes) and (n_rows, n_members * n_classes); the
    latter is None where not all members count for each row.
    """
    z = _centred_logits(scores)
    if counted is not None:
        # Each row lacks another member, so no weights of members can be learnt.
        return z.mean(axis=1, where=counted[:, :, None]), None
    mean = z.mean(axis=1)
    return mean, (z - mean[:, None]).reshape(len(z), -1)


def _centred_logits(scores):
    z = np.log(scores.clip(_CLIP, 1 - _CLIP))
    z -= z.mean(axis=2, keepdims=True)
    return z
