r"""Inputs of a rule: the members' votes, a score, or class probabilities.

Notes
-----
Each ``learn`` takes calibration rows and returns a function from a problem to a rule.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..fairness._cells import Votes
from ..fairness._cost_rules import CostRuleMixture
from ..fairness._joint_rules import MODEL_PEOPLE, JointRule
from ..fairness._multinomial import fit_multinomial
from ..fairness._score_rules import ScoreRule
from ._aggregation import Aggregation
from ._calibration import votes_of
from ._fold_weights import FoldedRows, fold_weights
from ._logit_weights import CLIP, LogitWeights, logits_of, ranked_in_reverse


@dataclass(frozen=True)
class MultinomialModel:
    r"""Multinomial logistic regression on the members' scores, a head's and the group.

    Parameters
    ----------
    mean, deviation, head : ndarray of shape (n_classes, n_features)
        Coefficients of the members' mean logits, of each member's deviations from the
        mean, and of those of a head, None where these are not used.
    intercept : ndarray of shape (n_groups, n_classes)

    Notes
    -----
    With :math:`z_{sk} = \log p_{sk} - \frac1K \sum_l \log p_{sl}` the logits of member
    s, :math:`\bar z` their mean over the members and h those of a head, the logit of
    class k is :math:`\alpha_{k,group} + \beta_k^T \bar z + \gamma_k^T (h - \bar z) +
    \sum_s \delta_{sk}^T (z_s - \bar z)`. The ridge penalty falls on :math:`\gamma` and
    :math:`\delta`, and hardly on the rest.
    """

    mean: np.ndarray
    deviation: np.ndarray | None
    head: np.ndarray | None
    intercept: np.ndarray

    @classmethod
    def fit(cls, rows):
        """Fit on calibration rows."""
        n_classes, (parts, scales) = rows.scores.shape[2], _parts_of(rows)
        present = np.unique(rows.label)
        intercept = np.full(n_classes, -np.inf)
        intercept[present] = 0.0
        found = {
            name: np.zeros((n_classes, part.shape[1])) for name, part in parts.items()
        }
        # Forgetting may have left a single class, of which nothing can be learnt.
        if len(present) > 1:
            features = np.hstack([s * part for s, part in zip(scales, parts.values())])
            weight = np.ones(len(features)) if rows.weight is None else rows.weight
            label = np.searchsorted(present, rows.label)
            coefficients, intercept[present] = fit_multinomial(
                features,
                label,
                weight,
                len(present),
                # Of two classes left, half of a difference falls on each.
                penalty=2.0 if len(present) == 2 else 1.0,
            )
            ends = np.cumsum([part.shape[1] for part in parts.values()])[:-1]
            for own, scale, block in zip(
                found.values(), scales, np.split(coefficients, ends, axis=1)
            ):
                own[present] = scale * block
        return cls(
            found["mean"],
            found.get("deviation"),
            found.get("head"),
            intercept + found["intercept"].T,
        )

    def probabilities(self, scores, group, counted=None):
        """Class probabilities of rows, (n_rows, n_classes)."""
        has_head = self.head is not None
        return self._chances(*_sums_of_logits(scores, counted, has_head), group)

    def leaving_out(self, scores, group, silent):
        """Class probabilities with each silent member left out, in turn.

        They have the bits of `probabilities`.

        Returns
        -------
        ndarray of shape (n_rows, n_silent, n_classes)
        """
        left_out = np.empty((len(scores), len(silent), scores.shape[2]))
        by_member = np.ascontiguousarray(_centred_logits(scores).swapaxes(0, 1))
        head = None
        if self.head is not None:
            by_member, head = by_member[:-1], by_member[-1]
        before, n_before = np.zeros(by_member.shape[1:]), 0
        for position, member in enumerate(silent):
            for other in by_member[n_before:member]:
                before += other
            total, n_before = before.copy(), member
            for other in by_member[member + 1 :]:
                total += other
            mean = total / (len(by_member) - 1)
            apart = None if head is None else head - mean
            left_out[:, position] = self._chances(mean, None, apart, group)
        return left_out

    def _chances(self, mean, deviation, head, group):
        logit = self.intercept[group]
        # Row by row, so that nothing depends on the batch a row came in.
        for values, weights in (
            (mean, self.mean),
            (deviation, self.deviation),
            (head, self.head),
        ):
            if weights is not None:
                logit += np.stack([(values * w).sum(axis=1) for w in weights], axis=1)
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
        # Logits are sorted by group at once, as sorting them later copies them.
        order = np.argsort(rows.group, kind="stable")
        counted = None if rows.counted is None else rows.counted[order]
        own = rows.scores[order]
        z = logits_of(own, counted, out=own)
        weights = LogitWeights.fit(
            z,
            rows.group[order],
            rows.label[order],
            None if rows.weight is None else rows.weight[order],
            n_heads=int(rows.has_head),
        )
        score = np.empty(len(rows))
        score[order] = weights.weighted(z, rows.group[order])
        return cls._learn_from(weights, score, rows, smooth=smooth)

    @classmethod
    def learn_without(cls, rows, fold, kept, *, smooth=False):
        """Yield, for each fold, what `learn` is on all rows but its.

        Parameters
        ----------
        rows : CalibrationRows
        fold : ndarray of int of shape (n_rows,)
            Codes without gaps.
        kept : ndarray of bool of shape (n_folds, n_groups)
            Groups whose rows are learnt from where a fold is left out.
        smooth : bool, default=False

        Yields
        ------
        callable
            Takes the rows of these groups outside the fold, with codes without gaps.
        """
        folded = FoldedRows(rows, fold, kept)
        found = fold_weights(folded)
        scores = [folded.scores(weights) for weights in found]
        # Logits take more memory than the scores of all folds.
        del folded
        for k, (weights, score) in enumerate(zip(found, scores)):
            own = LogitWeights(weights.weights[kept[k]])
            learnt_from = (fold != k) & kept[k][rows.group]
            yield partial(cls._learn_from, own, score[learnt_from], smooth=smooth)

    @classmethod
    def _learn_from(cls, weights, score, rows, *, smooth):
        learnt = ScoreRule.learn(
            score, rows.group, rows.label, rows.weight, smooth=smooth
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


def _parts_of(rows):
    """Return the features by the name of their coefficients, and the scale of each.

    Ridge penalises a coefficient the less, the greater the scale of its feature is.
    """
    mean, deviation, head = _sums_of_logits(rows.scores, rows.counted, rows.has_head)
    light = 10.0
    parts, scales = {"mean": mean}, [light / max(mean.std(), 1e-12)]
    n_members = rows.scores.shape[1] - rows.has_head
    if deviation is not None and n_members > 1 and deviation.std() > 0:
        parts["deviation"] = deviation
        scales.append(1 / (deviation.std() * np.sqrt(n_members)))
    if head is not None:
        parts["head"] = head
        scales.append(1 / max(head.std(), 1e-12))
    parts["intercept"] = np.eye(int(rows.group.max()) + 1)[rows.group]
    scales.append(light)
    return parts, scales


def _ranked_otherwise(rows):
    """Return which groups rank a class in reverse that another group ranks rightly."""
    mean, _, head = _sums_of_logits(rows.scores, rows.counted, rows.has_head)
    if head is not None:
        # It knows the group, so that what counts is whether it errs.
        mean = mean + head
    weight = np.ones(len(mean)) if rows.weight is None else rows.weight
    ranked = np.array(
        [
            [
                ranked_in_reverse(sign * score, rows.group, weight, rows.label == k)
                for k, score in enumerate(mean.T)
            ]
            for sign in (1, -1)
        ]
    )
    in_reverse, rightly = ranked
    return (in_reverse & rightly.any(axis=1, keepdims=True)).any(axis=0)


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


def _sums_of_logits(scores, counted, has_head):
    """Mean of the members' centred logits, and how members and a head depart from it.

    Arrays of shape (n_rows, n_classes), (n_rows, n_members * n_classes) and (n_rows,
    n_classes). The second is None where not all members count for each row, the third
    where there is no head, whose scores are last.
    """
    z, head = _centred_logits(scores), None
    if has_head:
        z, head = z[:, :-1], z[:, -1]
    if counted is not None:
        # Each row lacks another member, so no weights of members can be learnt.
        counted = counted[:, : z.shape[1], None]
        mean, deviation = z.mean(axis=1, where=counted), None
    else:
        mean = z.mean(axis=1)
        deviation = (z - mean[:, None]).reshape(len(z), -1)
    return mean, deviation, None if head is None else head - mean


def _centred_logits(scores):
    z = np.asarray(scores).clip(CLIP, 1 - CLIP)
    np.log(z, out=z)
    z -= z.mean(axis=2, keepdims=True)
    return z
