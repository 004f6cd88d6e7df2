"""A fair rule together with all that it follows from."""

import warnings
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from .._utils.groups import encode_groups
from .._utils.isolation import one_thread
from .._utils.plain import PlainStateMixin
from .._utils.warnings import level_of_caller
from ..exceptions import (
    DegenerateRuleWarning,
    UnconstrainedGroupWarning,
    UnsupportedToleranceWarning,
)
from ..fairness._problem import Problem
from ._calibration import CalibrationRows
from ._coins import warn_of_shared
from ._heads import N_FOLDS, FoldedNumbers, Heads
from ._held_out import tightened
from ._methods import METHODS
from ._rule import FairRule, learn_rule, unreachable
from ._subjects import Subjects


class PosedProblem(PlainStateMixin, Problem):
    """A problem that files of any format can hold, whatever names its groups."""


@dataclass(frozen=True, kw_only=True)
class Calibrated(PlainStateMixin):
    """A fair rule, the problem it solves and the rows that it is solved on.

    Parameters
    ----------
    problem : Problem
    features : list of str, or None
        Names of the sensitive features, where they have some.
    seed : int
        Key of the coins.
    rows : CalibrationRows
    rule : FairRule, default=None
        None until it is solved, as after rows were erased.
    bound : float, default=0.0
        Upper confidence bound of the rule's true gap, if the problem demands one.
    by_subject : bool, default=False
        Whether coins of calibration rows are those of people.
    heads : Heads, default=None
        Models of the label given the group. None where there are none.
    """

    problem: Problem
    features: list[str] | None
    seed: int
    rows: CalibrationRows
    rule: FairRule | None = None
    bound: float = 0.0
    by_subject: bool = False
    heads: Heads | None = None

    def solved(self) -> Self:
        """Return it with the rule that its rows give."""
        problem = self.problem
        # The number of threads that share a sum affects its rounding.
        with one_thread():
            if problem.confidence is None:
                rule, bound = learn_rule(self.rows, problem)(problem.slack), 0.0
            else:
                rule, bound = tightened(self.rows, problem)
        return replace(self, rule=rule, bound=bound)

    def without(self, rows) -> Self:
        """Return what is left without some rows: nothing that followed from them."""
        left = self.rows.without(rows)
        return replace(self, rows=left, rule=None, bound=0.0, heads=None)

    @property
    def is_infeasible(self) -> bool:
        """Whether no rule keeps the constraints, so that this one misses them."""
        return self.rule is not None and self.rule.problem.slack > self.problem.slack

    def check_feasible(self) -> None:
        """Raise if no rule keeps the constraints."""
        if self.is_infeasible:
            raise ValueError(unreachable(self.rows, self.problem))

    def warn_of_shared_coins(self) -> None:
        """Warn if calibration rows that are decided at random share coins."""
        rule, rows = self.rule, self.rows
        if rule is not None and rows.coins is not None and not self.by_subject:
            known = rows.take(~np.isnan(rows.coins))
            probability = rule.selection_probability(known.scores, known.group)
            warn_of_shared(probability, known.coins, "calibration rows")

    def warn(self) -> None:
        """Warn of a rule that may not be what was wanted."""
        problem, rule = self.problem, self.rule
        if rule is None:
            return
        if self.is_infeasible:
            warnings.warn(
                f"{unreachable(self.rows, problem)} Until then the rule misses its "
                f"bounds by up to {rule.problem.slack:.3f}. Fit again with others.",
                UnsupportedToleranceWarning,
                stacklevel=level_of_caller(),
            )
        elif self.bound > problem.slack:
            claim = f"a true gap of at most {problem.slack:g}"
            missed = f"even with tolerance 0 in calibration it may be {self.bound:.3f}"
            helps = "raise tol"
            if not problem.name:
                claim = f"that {problem} hold for new people"
                missed = f"the rule may miss the bounds by {self.bound:.3f}"
                helps = "loosen the bounds"
            warnings.warn(
                f"The calibration rows do not support {claim} at confidence "
                f"{problem.confidence:g}: {missed}. Give more rows of the groups "
                f"that fairness_report_ calls too small, {helps}, or use a method that "
                "overfits less.",
                UnsupportedToleranceWarning,
                stacklevel=level_of_caller(),
            )
        if rule.is_constant:
            warnings.warn(
                "The fair rule decides the same for everyone, so it makes no use of "
                'the members. Try objective="balanced_accuracy_score", other costs, '
                "or a greater tol.",
                DegenerateRuleWarning,
                stacklevel=level_of_caller(),
            )
        turned = rule.reversed_groups
        if len(turned):
            warnings.warn(
                f"Members score classes in reverse in the groups {turned.tolist()}: "
                "people of a class have the smaller scores of it, as if its labels or "
                f"features were coded the other way round. method={problem.method!r} "
                "has one model for all groups. Correct the coding, or use "
                'method="ensemble", which learns from each group what a vote means.',
                UserWarning,
                stacklevel=level_of_caller(),
            )
        lost = problem.groups[rule.code < 0]
        if len(lost):
            alone = METHODS[problem.method].has_rule_per_member
            across = self.rows.counted is not None
            where = " outside a shard" if alone and across else ""
            warnings.warn(
                f"Groups {lost.tolist()} have lost their last positive or negative "
                f"calibration row{where}. Their people are now decided on without "
                "regard to groups, and they remain in groups_; fit again to have them "
                "back, or gone.",
                UnconstrainedGroupWarning,
                stacklevel=level_of_caller(),
            )


@dataclass(frozen=True, kw_only=True)
class OwnRows(Calibrated):
    """A rule whose rows no ensemble keeps, as over members that are given or frozen.

    Parameters
    ----------
    n_given : int
        Number of rows given to ``fit``.
    trains : ndarray of bool of shape (n_given,)
        Which of them trained the ensemble.
    subjects : Subjects or None
    forgotten : ndarray of int
        Sorted positions of the rows forgotten since.
    holds_labels : bool
        Whether X holds class labels that members predicted.
    holds_only_votes : bool
        Whether X holds votes and nothing else, so that people are not distinguishable.
    digests : tuple of str, or None
        Of the members of a SISAClassifier, which may change.
    numbers : FoldedNumbers, or None
        What heads learn from; None if there are none.
    """

    n_given: int
    trains: np.ndarray
    subjects: Subjects | None
    holds_labels: bool
    holds_only_votes: bool
    digests: tuple[str, ...] | None
    numbers: FoldedNumbers | None = None
    forgotten: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.intp))

    def without(self, rows) -> Self:
        """Return what is left without some rows."""
        forgotten = np.union1d(self.forgotten, rows).astype(np.intp)
        numbers = self.numbers
        if numbers is not None:
            numbers = numbers.take(np.flatnonzero(~np.isin(self.rows.index, rows)))
        return replace(super().without(rows), forgotten=forgotten, numbers=numbers)

    def solved(self) -> Self:
        """Return it with the heads and the rule that its rows give."""
        if self.numbers is None:
            return super().solved()
        rows = self.rows.of_members
        used = np.ones((N_FOLDS, rows.scores.shape[1]), dtype=bool)
        with one_thread():
            heads, rows = Heads.fit(self.numbers, rows, used, self.problem)
        return super(OwnRows, replace(self, heads=heads, rows=rows)).solved()


def groups_and_codes(groups):
    """Return the names of the groups and the codes of rows; raise if there is none."""
    names, code = encode_groups(groups)
    if len(names) == 0:
        raise ValueError(
            "No row has a group: the sensitive feature is missing (NaN or None) in "
            "all rows. Give rows of at least two groups."
        )
    return names, code
