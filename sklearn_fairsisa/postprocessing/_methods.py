"""The post-processing methods."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..fairness._plurality_rules import (
    LabelPatternRule,
    MemberLabelRules,
    PluralityRule,
)
from ..fairness._vote_rules import MajorityRule, MemberRules, PatternRule
from ._evidence import OnDecision, OnJoint, OnScores, OnVotes


@dataclass(frozen=True)
class Method:
    """A way to decide on people, and its properties.

    Parameters
    ----------
    learn : callable
        Takes calibration rows and returns a function from a problem to a rule, which
        has ``selection_probability(scores, group, counted=None)`` and a ``rule`` with
        ``confusion`` and ``probability`` in calibration and ``table(names)``.
    is_unstable : bool, default=False
        Whether its rates are less certain than those of independent people: few rows
        per cell, or a majority of members each of whom is fitted to the same noise.
    aggregates : bool, default=False
        Whether it makes one decision of the members' as their ensemble does.
    has_rule_per_member : bool, default=False
        Whether each member has a rule of its own, so that each must have rows of every
        group for which it counts.
    cells, cells_of_more : str, default=""
        What the cells of its rules are, for two classes and for more.
    uses_heads : bool, default=False
        Whether heads that know the group are evidence beside the members.
    learn_without : callable, default=None
        As `learn` on all rows but those of each fold, for rules of two classes; see
        `OnScores.learn_without`. None where there is nothing to share between folds.
    infers : callable, default=None
        As `learn`, for people whose group is inferred; it also takes which groups the
        rows are of. None if groups cannot be inferred.
    """

    learn: Callable[[Any], Callable[[Any], Any]]
    is_unstable: bool = False
    aggregates: bool = False
    has_rule_per_member: bool = False
    cells: str = ""
    cells_of_more: str = ""
    uses_heads: bool = False
    learn_without: Callable[[Any, Any, Any], Iterator[Any]] | None = None
    infers: Callable[[Any, Any], Callable[[Any], Any]] | None = None


def uses_heads(problem):
    """Whether heads are evidence for the rule of a problem."""
    return problem.infers or METHODS[problem.method].uses_heads


def _on_votes(of_two, of_more, **properties):
    return Method(partial(OnVotes.learn, of_two=of_two, of_more=of_more), **properties)


_SCORE: dict[str, Any] = {
    "cells": (
        "The score is the sum of the members' logits, each times its weight in "
        "member_weights_, in units of log-odds."
    ),
    "cells_of_more": "Cells are the decisions of the rules that are mixed, in turn.",
}

METHODS = {
    "aggregate_then_postprocess": Method(
        partial(OnDecision.learn, of_two=MajorityRule, of_more=PluralityRule),
        aggregates=True,
        cells="Cells are the ensemble's own label, 1 if it is positive.",
        cells_of_more="Cells are the ensemble's own label.",
    ),
    "postprocess_then_aggregate": _on_votes(
        MemberRules,
        MemberLabelRules,
        is_unstable=True,
        aggregates=True,
        has_rule_per_member=True,
        cells="Cells are a member and its vote. The majority of decisions decides.",
        cells_of_more="Cells are a member and its vote. Most decisions decide.",
    ),
    "ensemble": _on_votes(
        PatternRule,
        LabelPatternRule,
        is_unstable=True,
        cells="Cells are the members' votes in turn, 1 for the positive class.",
        cells_of_more="Cells are the members' votes in turn.",
    ),
    "soft_ensemble": Method(
        OnScores.learn,
        learn_without=OnScores.learn_without,
        infers=partial(OnJoint.learn, people=0.0),
        **_SCORE,
    ),
    "smooth_ensemble": Method(
        partial(OnScores.learn, smooth=True),
        uses_heads=True,
        learn_without=partial(OnScores.learn_without, smooth=True),
        infers=OnJoint.learn,
        **_SCORE,
    ),
}
