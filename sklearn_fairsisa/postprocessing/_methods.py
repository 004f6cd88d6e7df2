"""The post-processing methods, from calibration rows to a rule on members' scores."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd

from .._utils.groups import group_index
from ..fairness._cells import majority
from ..fairness._rates import (
    GAP_OF_CONSTRAINT,
    GAPS,
    SCORES,
    label_totals,
    operating_points,
    selection_rates,
    spread,
    tally,
)
from ..fairness._score_rules import ScoreRule
from ..fairness._solve import CONSTRAINTS, linear_gain
from ..fairness._vote_rules import MajorityRule, MemberRules, PatternRule
from ._calibration import votes_of
from ._groupwise import GroupwiseRule, able_groups, learn_groupwise
from ._soft import LogitWeights


@dataclass(frozen=True)
class OnVotes:
    """A rule that hears the members' votes, which are scores above one half."""

    rule: MajorityRule | MemberRules | PatternRule

    @classmethod
    def learner(cls, rule_class):
        """Return a function from calibration rows to one from a demand to a rule."""

        def learn(rows):
            counted = {} if rows.counted is None else {"counted": rows.counted}
            given = rows.votes, rows.group, rows.label, rows.weight
            return lambda demand: cls(rule_class.fit(*given, demand, **counted))

        return learn

    def selection_probability(self, scores, group, counted=None):
        """Probability of selection of rows of known groups."""
        return self.rule.selection_probability(votes_of(scores), group, counted)


@dataclass(frozen=True)
class OnScores:
    """A rule that hears a weighted sum of the members' logits."""

    weights: LogitWeights
    rule: ScoreRule

    @classmethod
    def learn(cls, rows, *, smooth=False):
        """Return a function from a demand to a rule, for labels or smoothed ones."""
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
        return lambda demand: cls(weights, learnt(demand))

    def selection_probability(self, scores, group, counted=None):
        """Probability of selection of rows of known groups."""
        score = self.weights.score(scores, group, counted)
        return self.rule.selection_probability(score, group)


METHODS = {
    "aggregate_then_postprocess": OnVotes.learner(MajorityRule),
    "postprocess_then_aggregate": OnVotes.learner(MemberRules),
    "ensemble": OnVotes.learner(PatternRule),
    "soft_ensemble": OnScores.learn,
    "smooth_ensemble": partial(OnScores.learn, smooth=True),
}
"""Functions from calibration rows to functions from a demand to a rule."""


@dataclass(frozen=True, kw_only=True)
class FairRule(GroupwiseRule):
    """A rule for two classes, with its quality in calibration.

    Parameters
    ----------
    fair, blind, code, silent_share
        As in `GroupwiseRule`, of `OnVotes` or `OnScores`.
    fpr, tpr : ndarray of shape (n_groups,)
        Operating points in calibration; NaN where a group has no such people.
    negatives, positives : ndarray of shape (n_groups,)
        Weight of each group's calibration rows.
    """

    fpr: np.ndarray
    tpr: np.ndarray
    negatives: np.ndarray
    positives: np.ndarray

    @classmethod
    def learn(cls, rows, n_groups, method, constraint, *, wants_blind):
        """Return a function that solves for a demand on calibration rows."""
        negatives, positives = label_weights(rows, n_groups)
        able = able_groups(
            rows,
            method,
            lambda part: suffices(*label_weights(part, n_groups), constraint),
        )
        learnt = learn_groupwise(METHODS[method], rows, able, wants_blind=wants_blind)

        def solve(demand):
            parts = learnt(demand)
            fpr, tpr = np.full((2, n_groups), np.nan)
            if parts["fair"] is not None:
                fpr[able], tpr[able] = parts["fair"].rule.operating_points
            rule = cls(
                **parts, fpr=fpr, tpr=tpr, negatives=negatives, positives=positives
            )
            if not able.all():
                probability = rule.selection_probability(
                    rows.scores, rows.group, rows.counted
                )
                rates = expected_rates(rows, probability, n_groups)
                fpr[~able], tpr[~able] = rates[0][~able], rates[1][~able]
            fpr[negatives == 0] = np.nan
            tpr[positives == 0] = np.nan
            return rule

        return solve

    def constrained_gap(self, constraint):
        """Greatest difference between groups of the constrained rates."""
        return self.describe()[GAP_OF_CONSTRAINT[constraint]]

    @property
    def confusion(self):
        """Weight by true class and decision in calibration, (n_groups, 2, 2)."""
        by_class = zip((self.negatives, self.positives), (self.fpr, self.tpr))
        selected = [(weight, weight * np.nan_to_num(rate)) for weight, rate in by_class]
        rows = [np.stack([w - chosen, chosen], axis=1) for w, chosen in selected]
        return np.stack(rows, axis=1)

    def deciding(self, rows, probability):
        """The same rule, with the rates of other decisions on its rows."""
        fpr, tpr = expected_rates(rows, probability, len(self.code))
        return replace(self, fpr=fpr, tpr=tpr)

    def value(self, objective):
        """Value of an objective in calibration."""
        gain = linear_gain(self.negatives, self.positives, objective)
        # An undefined rate belongs to nobody.
        return gain.value(np.nan_to_num(self.fpr), np.nan_to_num(self.tpr))

    def describe(self, rows=None):
        """Quality, and differences between groups, in calibration or on other rows.

        Parameters
        ----------
        rows : CalibrationRows, default=None

        Returns
        -------
        dict of str to float
        """
        if rows is None:
            return describe_rates(self.fpr, self.tpr, self.negatives, self.positives)
        n_groups = len(self.code)
        probability = self.selection_probability(rows.scores, rows.group)
        return describe_rates(
            *expected_rates(rows, probability, n_groups),
            *label_weights(rows, n_groups),
        )

    def table(self, groups, classes):
        """Frame of the cells' probabilities; `groups` are the names."""
        table = self.fair.rule.table()
        return pd.DataFrame(
            {
                "group": groups[self.code >= 0][table.group],
                "cell": table.cell,
                "mass": table.mass,
                "probability": table.probability,
            }
        )

    def points(self, groups, classes):
        """Frame of the operating points; `groups` are the names."""
        return _points_frame(groups, (self.fpr, self.tpr))

    def member_points(self, rows, groups, classes):
        """Frame of the members' and the majority's operating points."""
        counted = rows.counted
        if counted is None:
            counted = np.ones(rows.scores.shape, dtype=bool)
        judges = dict(enumerate(zip(rows.votes.T, counted.T)))
        judges["majority"] = majority(rows.votes, rows.counted), slice(None)
        return pd.concat(
            [
                _points_frame(
                    groups,
                    expected_rates(rows.take(heard), vote[heard], len(groups)),
                    member=name,
                )
                for name, (vote, heard) in judges.items()
            ],
            ignore_index=True,
        )

    def boundaries(self, groups):
        """Frame of the vertices of the groups' regions, None if there are none."""
        regions = getattr(self.fair.rule, "regions", None)
        if regions is None:
            return None
        return pd.DataFrame(
            {
                "group": np.repeat(
                    groups[self.code >= 0], [len(region.fpr) for region in regions]
                ),
                "false_positive_rate": np.concatenate([r.fpr for r in regions]),
                "true_positive_rate": np.concatenate([r.tpr for r in regions]),
            }
        )

    def member_weights(self, groups):
        """Frame of the members' weights in each group, None if votes are counted."""
        if not isinstance(self.fair, OnScores):
            return None
        index = group_index(groups[self.code >= 0])
        return pd.DataFrame(self.fair.weights.weights, index)

    @property
    def is_constant(self):
        """Whether everyone is selected with the same probability."""
        rules = [rule for rule in (self.fair, self.blind) if rule is not None]
        probability = np.concatenate([rule.rule.probability for rule in rules])
        return bool(np.ptp(probability) < 1e-9)


def label_weights(rows, n_groups):
    """Weight of the negatives and of the positives of each group."""
    return label_totals(rows.group, rows.label, n_groups, rows.weight).T


def suffices(negatives, positives, constraint):
    """Whether each group has the people whose rates are constrained."""
    rates = CONSTRAINTS[constraint]
    able = negatives + positives > 0
    if "fpr" in rates:
        able &= negatives > 0
    if "tpr" in rates:
        able &= positives > 0
    return able


def expected_rates(rows, probability, n_groups):
    """Expected false and true positive rate of each group, NaN where undefined."""
    return operating_points(
        *tally(rows.group, rows.label, probability, n_groups, rows.weight)
    ).T


def _points_frame(groups, rates, **extra):
    return pd.DataFrame(
        {
            "group": groups,
            **extra,
            "false_positive_rate": rates[0],
            "true_positive_rate": rates[1],
        }
    )


def describe_rates(fpr, tpr, negatives, positives):
    """Quality of operating points, and their differences between groups.

    Parameters
    ----------
    fpr, tpr, negatives, positives : ndarray of shape (n_groups,)

    Returns
    -------
    dict of str to float
    """
    total = np.stack([negatives, positives], axis=1)
    chosen = total * np.nan_to_num(np.stack([fpr, tpr], axis=1))
    rates = {"fpr": fpr, "tpr": tpr, "share": selection_rates(total, chosen)}
    quality = "accuracy_score", "balanced_accuracy_score", "selection_rate"
    return {
        name.removesuffix("_score"): SCORES[name](total, chosen) for name in quality
    } | {
        gap: float(spread(np.stack([rates[rate] for rate in compared], axis=1)))
        for gap, compared in GAPS.items()
    }
