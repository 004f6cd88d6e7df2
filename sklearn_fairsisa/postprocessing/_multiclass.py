"""Post-processing of more than two classes, behind the interface of `FairRule`.

Scores have shape (n_rows, n_members, n_classes) here, labels are class codes, and
probabilities of selection have one column per class.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from ..fairness._cost_rules import CostRuleMixture
from ..fairness._mixtures import (
    CLASS_RATES,
    class_rates,
    confusion_gain,
    defined_rates,
    sum_by,
)
from ..fairness._plurality_rules import (
    LabelPatternRule,
    MemberLabelRules,
    PluralityRule,
    plurality,
)
from ..fairness._rates import GAP_OF_CONSTRAINT
from ._groupwise import GroupwiseRule, able_groups, learn_groupwise

_CLIP = 1e-6
_DIFFERENCES = {GAP_OF_CONSTRAINT[name]: kind for name, kind in CLASS_RATES.items()}


@dataclass(frozen=True)
class OnLabels:
    """A rule that hears the members' labels, which are those of greatest score."""

    rule: PluralityRule | MemberLabelRules | LabelPatternRule

    @classmethod
    def learner(cls, rule_class):
        """Return a function from calibration rows to one from a demand to a rule."""

        def learn(rows):
            counted = {} if rows.counted is None else {"counted": rows.counted}
            given = rows.votes, rows.group, rows.label, rows.weight
            n_classes = rows.scores.shape[2]
            return lambda demand: cls(
                rule_class.fit(*given, demand, n_classes, **counted)
            )

        return learn

    def selection_probability(self, scores, group, counted=None):
        """Probabilities of rows of known groups."""
        return self.rule.selection_probability(scores.argmax(axis=2), group, counted)


@dataclass(frozen=True)
class OnProbabilities:
    """A rule that hears class probabilities estimated from scores and group."""

    model: "MultinomialModel"
    rule: CostRuleMixture

    @classmethod
    def learn(cls, rows):
        """Return a function from a demand to a rule."""
        model = MultinomialModel.fit(rows)
        eta = model.probabilities(rows.scores, rows.group, rows.counted)
        given = eta, rows.group, rows.label, rows.weight
        return lambda demand: cls(model, CostRuleMixture.fit(*given, demand))

    def selection_probability(self, scores, group, counted=None):
        """Probabilities of rows of known groups."""
        eta = self.model.probabilities(scores, group, counted)
        return self.rule.selection_probability(eta, group)


@dataclass(frozen=True)
class MultinomialModel:
    r"""Multinomial logistic regression on the members' scores and the group.

    Parameters
    ----------
    mean, deviation : ndarray of shape (n_classes, n_features)
        Coefficients of the members' mean logits, and of each member's deviations from
        the mean, None where these are not heard.
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
        mean, deviation = _mean_logits(scores, counted)
        logit = self.intercept[group]
        # Row by row, so that nothing depends on the batch a row came in.
        logit += np.stack([(mean * own).sum(axis=1) for own in self.mean], axis=1)
        if self.deviation is not None:
            logit += np.stack(
                [(deviation * own).sum(axis=1) for own in self.deviation], axis=1
            )
        chance = np.exp(logit - logit.max(axis=1, keepdims=True))
        return chance / chance.sum(axis=1, keepdims=True)


METHODS = {
    "aggregate_then_postprocess": OnLabels.learner(PluralityRule),
    "postprocess_then_aggregate": OnLabels.learner(MemberLabelRules),
    "ensemble": OnLabels.learner(LabelPatternRule),
    "soft_ensemble": OnProbabilities.learn,
    # Its probabilities come from a model that groups share already.
    "smooth_ensemble": OnProbabilities.learn,
}
"""Functions from calibration rows to functions from a demand to a rule."""


@dataclass(frozen=True, kw_only=True)
class FairClassRule(GroupwiseRule):
    """A rule for more than two classes, with its quality in calibration.

    Parameters
    ----------
    fair, blind, code, silent_share
        As in `GroupwiseRule`, of `OnLabels` or `OnProbabilities`.
    confusion : ndarray of shape (n_groups, n_classes, n_classes)
        Weight of the people of each true class (row) and decision (column) in
        calibration.
    """

    confusion: np.ndarray

    @classmethod
    def learn(cls, rows, n_groups, method, constraint, *, wants_blind):
        """Return a function that solves for a demand on calibration rows."""
        n_classes = rows.scores.shape[2]
        able = able_groups(
            rows,
            method,
            lambda part: defined_rates(
                CLASS_RATES[constraint], class_weights(part, n_groups, n_classes)
            ),
        )
        learnt = learn_groupwise(METHODS[method], rows, able, wants_blind=wants_blind)

        def solve(demand):
            confusion = np.zeros((n_groups, n_classes, n_classes))
            rule = cls(**learnt(demand), confusion=confusion)
            if not able.all():
                probability = rule.selection_probability(
                    rows.scores, rows.group, rows.counted
                )
                confusion[:] = expected_confusion(rows, probability, n_groups)
            if rule.fair is not None:
                confusion[able] = rule.fair.rule.confusion
            return rule

        return solve

    def constrained_gap(self, constraint):
        """Greatest difference between groups of the constrained rates."""
        return _difference(CLASS_RATES[constraint], self.confusion)

    def deciding(self, rows, probability):
        """The same rule, with the confusion of other decisions on its rows."""
        confusion = expected_confusion(rows, probability, len(self.code))
        return replace(self, confusion=confusion)

    def value(self, objective):
        """Value of an objective in calibration."""
        totals = self.confusion.sum(axis=2)
        return confusion_gain(totals, objective).value(self.confusion)

    def describe(self, rows=None):
        """Quality, and differences between groups, in calibration or on other rows."""
        confusion = self.confusion
        if rows is not None:
            probability = self.selection_probability(rows.scores, rows.group)
            confusion = expected_confusion(rows, probability, len(self.code))
        totals = confusion.sum(axis=2)
        quality = {
            name: confusion_gain(totals, f"{name}_score").value(confusion)
            for name in ("accuracy", "balanced_accuracy")
        }
        return quality | {
            name: _difference(kind, confusion) for name, kind in _DIFFERENCES.items()
        }

    def table(self, groups, classes):
        """Frame of the cells' probabilities; `groups` and `classes` are the names."""
        table = self.fair.rule.table(classes)
        columns = {
            f"probability_{label}": column
            for label, column in zip(classes, table.probability.T)
        }
        names = groups[self.code >= 0]
        return pd.DataFrame(
            {
                "group": names[table.group],
                "cell": table.cell,
                "mass": table.mass,
                **columns,
            }
        )

    def points(self, groups, classes):
        """Frame of the confusion rates; `groups` and `classes` are the names."""
        return _rates_frame(groups, classes, self.confusion)

    def member_points(self, rows, groups, classes):
        """Frame of the confusion rates of the members and of their plurality."""
        n_classes = len(classes)
        counted = rows.counted
        if counted is None:
            counted = np.ones(rows.votes.shape, dtype=bool)
        judges = dict(enumerate(zip(rows.votes.T, counted.T)))
        judges["majority"] = plurality(rows.votes, n_classes, rows.counted), slice(None)
        frames = []
        for name, (vote, heard) in judges.items():
            decided = np.eye(n_classes)[vote[heard]]
            confusion = expected_confusion(rows.take(heard), decided, len(groups))
            frames.append(_rates_frame(groups, classes, confusion, member=name))
        return pd.concat(frames, ignore_index=True)

    def boundaries(self, groups):
        """None: regions of more than two classes have no boundary to walk along."""

    def member_weights(self, groups):
        """None: of more than two classes a member has no one weight."""

    @property
    def is_constant(self):
        """Whether everyone is decided on with the same probabilities."""
        rules = [rule for rule in (self.fair, self.blind) if rule is not None]
        probability = np.concatenate([rule.rule.probability for rule in rules])
        return bool(np.ptp(probability, axis=0).max() < 1e-9)


def class_weights(rows, n_groups, n_classes):
    """Weight of each class of each group, (n_groups, n_classes)."""
    weight = np.ones(len(rows)) if rows.weight is None else rows.weight
    one_hot = np.eye(n_classes)[rows.label]
    return sum_by(rows.group, weight[:, None] * one_hot, n_groups)


def expected_confusion(rows, probability, n_groups):
    """Expected confusion matrix of each group, (n_groups, n_classes, n_classes)."""
    weight = np.ones(len(rows)) if rows.weight is None else rows.weight
    n_classes = probability.shape[1]
    pair = rows.group * n_classes + rows.label
    sums = sum_by(pair, weight[:, None] * probability, n_groups * n_classes)
    return sums.reshape(n_groups, n_classes, n_classes)


def _difference(kind, confusion):
    """Largest minus least rate, of the groups where it is defined."""
    rates = class_rates(kind, confusion.sum(axis=2))
    value = rates.of(confusion, np.arange(len(confusion)))
    # A rate is undefined where nobody in the group is counted in it.
    defined = np.isfinite(rates.weight_by_class).all(axis=2)
    high = np.max(value, axis=1, where=defined, initial=-np.inf)
    low = np.min(value, axis=1, where=defined, initial=np.inf)
    gaps = (high - low)[defined.any(axis=1)]
    return float(gaps.max()) if len(gaps) else np.nan


def _rates_frame(groups, classes, confusion, **extra):
    n_classes = len(classes)
    with np.errstate(invalid="ignore"):
        rates = confusion / confusion.sum(axis=2, keepdims=True)
    return pd.DataFrame(
        {
            "group": np.repeat(groups, n_classes**2),
            **extra,
            "true_class": np.tile(np.repeat(classes, n_classes), len(groups)),
            "decision": np.tile(classes, n_classes * len(groups)),
            "rate": rates.ravel(),
        }
    )


def _mean_logits(scores, counted):
    """Mean of the members' centred logits, and each member's deviation from it.

    Arrays of shape (n_rows, n_classes) and (n_rows, n_members * n_classes); the
    latter is None where not all members speak of each row.
    """
    z = np.log(scores.clip(_CLIP, 1 - _CLIP))
    z -= z.mean(axis=2, keepdims=True)
    if counted is not None:
        # Each row lacks another member, so no weights of members can be learnt.
        return z.mean(axis=1, where=counted[:, :, None]), None
    mean = z.mean(axis=1)
    return mean, (z - mean[:, None]).reshape(len(z), -1)
