"""Attributes of a fitted post-processor that follow from its rule."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from .._utils.html import FindingsMixin
from ..fairness._constraints import Problem
from ._calibration import CalibrationRows
from ._report import FairnessReport, fairness_report
from ._rule import FairRule


class FittedRuleMixin(FindingsMixin):
    """Attributes that follow from the rule and the rows it was solved on.

    ``fit`` leaves ``_problem``, the calibration ``_rows`` and the ``_rule`` solved on
    them.
    """

    classes_: NDArray[Any]
    groups_: NDArray[Any]
    estimator_: Any
    _problem: Problem
    _rows: CalibrationRows
    _rule: FairRule | None

    @property
    def rule_(self) -> pd.DataFrame:
        """The rule as a table; see Attributes."""
        return self._constraining_rule().table()

    @property
    def operating_points_(self) -> pd.DataFrame:
        """Operating points in calibration; see Attributes."""
        return self._solved_rule().points()

    @property
    def boundaries_(self) -> pd.DataFrame:
        """Vertices of the groups' regions; see Attributes."""
        rule = self._constraining_rule()
        if len(self.classes_) > 2:
            raise AttributeError(
                "A boundary is one of false and true positive rates, which are of two "
                f"classes, but y held {len(self.classes_)}. Look at operating_points_."
            )
        boundaries = rule.boundaries()
        if boundaries is None:
            raise AttributeError(
                "Members post-processed one by one have no common region. Use another "
                "method to see one."
            )
        return boundaries

    @property
    def member_weights_(self) -> pd.DataFrame:
        """Weights of the members in each group; see Attributes."""
        weights = self._constraining_rule().member_weights()
        if weights is None:
            raise AttributeError(
                f"method={self._problem.method!r} gives members no weights, for "
                f"{len(self.classes_)} classes. Those on scores do, for two."
            )
        return weights

    @property
    def member_points_(self) -> pd.DataFrame:
        """Operating points of members and majority; see Attributes."""
        return self._solved_rule().member_points(self._rows)

    @property
    def objective_(self) -> float:
        """Value of the objective in calibration; see Attributes."""
        return self._solved_rule().value

    @property
    def randomised_share_(self) -> float:
        """Share of the calibration weight with randomised decisions; see Attributes."""
        return self._solved_rule().randomised_share(self._rows)

    @property
    def fairness_report_(self) -> FairnessReport:
        """Guarantees of the rule for new people; see Attributes."""
        rule, claim = self._constraining_rule(), self._problem.tol
        # Cross-fitting solves for ten rules at least.
        if claim not in rule.reports:
            rule.reports[claim] = fairness_report(rule, self._rows, claim)
        return rule.reports[claim]

    @property
    def calibration_indices_(self) -> NDArray[np.intp]:
        """Positions of the calibration rows; see Attributes."""
        check_is_fitted(self)
        return self._rows.index.copy()

    @property
    def unconstrained_groups_(self) -> NDArray[Any]:
        """Groups decided on without regard to groups; see Attributes."""
        return self.groups_[self._solved_rule().code < 0]

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_rule")

    def _findings(self):
        """Return the rule and the ensemble's shards, as notebooks show them."""
        problem = self._problem
        if self._rule is None:
            return self.estimator_._findings()
        title = (
            f"{problem.method}, {problem.constraint.name} within {problem.tol:g}: "
            f"{self.objective_:.3f} in calibration, "
            f"{self.randomised_share_:.1%} decided at random"
        )
        found = [(title, self.operating_points_)]
        if len(self.unconstrained_groups_) < len(self.groups_):
            found.append(("Rule", self.rule_))
        if hasattr(self.estimator_, "_findings"):
            found += self.estimator_._findings()
        return found

    def _solved_rule(self):
        """The rule, unless too few members are left to solve for one."""
        check_is_fitted(self)
        if self._rule is None:
            raise ValueError(
                "Rows were erased, and the rule has not been solved since: too few "
                "members are left to decide, or the call was interrupted. Call "
                "relearn(), which trains members that are behind and solves again."
            )
        return self._rule

    def _constraining_rule(self):
        """The rule; raise if it constrains no group."""
        rule = self._solved_rule()
        if rule.fair is None:
            raise AttributeError(
                "After forgetting, no group has the labels that the constraint needs, "
                "so no rule is left that constrains any. Fit again with other rows."
            )
        return rule
