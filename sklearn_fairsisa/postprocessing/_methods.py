"""The post-processing methods, from calibration rows to a rule on members' outputs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..fairness._cells import Votes
from ..fairness._cost_rules import CostRuleMixture
from ..fairness._plurality_rules import (
    LabelPatternRule,
    MemberLabelRules,
    PluralityRule,
)
from ..fairness._score_rules import ScoreRule
from ..fairness._vote_rules import MajorityRule, MemberRules, PatternRule
from ._calibration import votes_of
from ._evidence import LogitWeights, MultinomialModel


@dataclass(frozen=True)
class OnVotes:
    """A rule that hears the members' votes."""

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
        )
        rule_class = of_two if rows.n_classes == 2 else of_more
        return lambda problem: cls(rule_class.fit(votes, problem))

    def selection_probability(self, scores, group, counted=None):
        """Probability of selection of rows of known groups."""
        return self.rule.selection_probability(votes_of(scores), group, counted)


@dataclass(frozen=True)
class OnScores:
    """A rule for two classes that hears a weighted sum of the members' logits."""

    weights: LogitWeights
    rule: ScoreRule

    @classmethod
    def learn(cls, rows, *, smooth=False):
        """Return a function from a problem to a rule, for labels or smoothed ones."""
        if rows.n_classes > 2:
            # Its probabilities come from a model that groups share already.
            return OnProbabilities.learn(rows)
        weights = LogitWeights.fit(
            rows.scores, rows.group, rows.label, rows.weight, rows.counted
        )
        learnt = ScoreRule.learn(
            weights.score(rows.scores, rows.group, rows.counted),
            rows.group,
            rows.label,
            rows.weight,
            smooth=smooth,
        )
        return lambda problem: cls(weights, learnt(problem))

    def selection_probability(self, scores, group, counted=None):
        """Probability of selection of rows of known groups."""
        score = self.weights.score(scores, group, counted)
        return self.rule.selection_probability(score, group)


@dataclass(frozen=True)
class OnProbabilities:
    """A rule that hears class probabilities estimated from scores and group."""

    model: MultinomialModel
    rule: CostRuleMixture

    @classmethod
    def learn(cls, rows):
        """Return a function from a problem to a rule."""
        model = MultinomialModel.fit(rows)
        eta = model.probabilities(rows.scores, rows.group, rows.counted)
        given = eta, rows.group, rows.label, rows.weight
        return lambda problem: cls(model, CostRuleMixture.fit(*given, problem))

    def selection_probability(self, scores, group, counted=None):
        """Probabilities of rows of known groups."""
        eta = self.model.probabilities(scores, group, counted)
        return self.rule.selection_probability(eta, group)


@dataclass(frozen=True)
class Method:
    """A way to decide on people, and what is peculiar to it.

    Parameters
    ----------
    learn : callable
        Takes calibration rows and returns a function from a problem to a rule, which
        has ``selection_probability(scores, group, counted=None)`` and a ``rule`` with
        ``confusion`` and ``probability`` in calibration and ``table(names)``.
    is_unstable : bool, default=False
        Whether its rates are less certain than those of independent people: few rows
        per cell, or a majority of members each of whom is fitted to the same noise.
    has_rule_per_member : bool, default=False
        Whether each member has a rule of its own, so that each must have rows of every
        group that it may speak of.
    """

    learn: Callable[[Any], Callable[[Any], Any]]
    is_unstable: bool = False
    has_rule_per_member: bool = False


def _on_votes(of_two, of_more, **peculiarities):
    return Method(
        partial(OnVotes.learn, of_two=of_two, of_more=of_more), **peculiarities
    )


METHODS = {
    "aggregate_then_postprocess": _on_votes(MajorityRule, PluralityRule),
    "postprocess_then_aggregate": _on_votes(
        MemberRules, MemberLabelRules, is_unstable=True, has_rule_per_member=True
    ),
    "ensemble": _on_votes(PatternRule, LabelPatternRule, is_unstable=True),
    "soft_ensemble": Method(OnScores.learn),
    "smooth_ensemble": Method(partial(OnScores.learn, smooth=True)),
}
