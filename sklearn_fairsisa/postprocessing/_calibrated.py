"""A fair rule together with all that it follows from."""

import warnings
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from .._utils.groups import encode_groups
from .._utils.isolation import one_thread
from .._utils.warnings import level_of_caller
from ..exceptions import (
    DegenerateRuleWarning,
    UnconstrainedGroupWarning,
    UnsupportedToleranceWarning,
)
from ..fairness._constraints import Problem
from ._calibration import CalibrationRows
from ._heads import N_FOLDS, FoldedNumbers, Heads
from ._held_out import tightened
from ._methods import METHODS
from ._rule import FairRule, learn_rule
from ._subjects import Subjects


@dataclass(frozen=True, kw_only=True)
class Calibrated:
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
    heads : Heads, default=None
        Evidence that knows the group. None where there is none, or it is silent.
    """

    problem: Problem
    features: list[str] | None
    seed: int
    rows: CalibrationRows
    rule: FairRule | None = None
    bound: float = 0.0
    heads: Heads | None = None

    def solved(self) -> Self:
        """Return it with the rule that its rows give."""
        problem = self.problem
        # The number of threads that share a sum affects its rounding.
        with one_thread():
            if problem.confidence is None:
                rule, bound = learn_rule(self.rows, problem)(problem.tol), 0.0
            else:
                rule, bound = tightened(self.rows, problem)
        return replace(self, rule=rule, bound=bound)

    def without(self, rows) -> Self:
        """Return what is left without some rows: nothing that followed from them."""
        left = self.rows.without(rows)
        return replace(self, rows=left, rule=None, bound=0.0, heads=None)

    def warn(self) -> None:
        """Warn of a rule that may not be what was wanted."""
        problem, rule = self.problem, self.rule
        if rule is None:
            return
        if self.bound > problem.tol:
            warnings.warn(
                f"The calibration rows do not support a true gap of at most "
                f"{problem.tol:g} at confidence {problem.confidence:g}: even with "
                f"tolerance 0 in calibration it may be {self.bound:.3f}. Give more "
                "rows of the groups that fairness_report_ calls too small, raise tol, "
                "or use a method that overfits less.",
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
        heard = np.ones((N_FOLDS, rows.scores.shape[1]), dtype=bool)
        with one_thread():
            heads, rows = Heads.fit(self.numbers, rows, heard, self.problem)
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
