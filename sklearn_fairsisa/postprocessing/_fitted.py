"""Attributes of a fitted post-processor that follow from its rule."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._utils.html import FindingsMixin
from .._utils.warnings import level_of_caller
from ._calibrated import Calibrated
from ._report import FairnessReport, fairness_report
from ._summary import cells_of, rule_lines, rule_summary


class FittedRuleMixin(FindingsMixin):
    """Attributes that follow from the rule and the rows it was solved on.

    A class with ``_calibrated()``, which returns what counts at this instant.
    """

    _calibrated: Callable[[], Calibrated]
    estimator_: Any

    @property
    def classes_(self) -> NDArray[Any]:
        """Labels; see Attributes."""
        return self._problem.classes

    @property
    def pos_label_(self) -> Any:
        """Positive class; see Attributes."""
        decisions = self._problem.decisions
        if len(decisions) > 2:
            raise AttributeError(
                f"None of the {len(decisions)} classes is the positive one."
            )
        return decisions[1]

    @property
    def groups_(self) -> NDArray[Any]:
        """Groups; see Attributes."""
        return self._problem.groups

    @property
    def tol_(self) -> float:
        """Tolerance that the rule keeps in calibration; see Attributes."""
        return self._solved().rule.problem.slack

    @property
    def rule_(self) -> pd.DataFrame:
        """The rule as a table; see Attributes."""
        return _constraining(self._solved()).table()

    @property
    def rule_summary_(self) -> str:
        """The rule in a few lines per group; see Attributes."""
        return rule_summary(_constraining(self._solved()))

    @property
    def operating_points_(self) -> pd.DataFrame:
        """Operating points in calibration; see Attributes."""
        return self._solved().rule.points()

    @property
    def boundaries_(self) -> pd.DataFrame:
        """Vertices of the groups' regions; see Attributes."""
        rule = _constraining(self._solved())
        n_classes = len(rule.problem.classes)
        if n_classes > 2:
            raise AttributeError(
                "A boundary is one of false and true positive rates, which are of two "
                f"classes, but y held {n_classes}. Look at operating_points_."
            )
        boundaries = rule.boundaries()
        if boundaries is None and not rule.problem.sensitive_at_predict:
            raise AttributeError(
                "Where groups are inferred, one rule decides on all, and no group has "
                "a region of its own. Look at operating_points_."
            )
        if boundaries is None:
            raise AttributeError(
                "Members post-processed one by one have no common region. Use another "
                "method to see one."
            )
        return boundaries

    @property
    def member_weights_(self) -> pd.DataFrame:
        """Weights of the members in each group; see Attributes."""
        rule = _constraining(self._solved())
        weights = rule.member_weights()
        if weights is None and not rule.problem.sensitive_at_predict:
            raise AttributeError(
                "Where groups are inferred, decisions go by estimated probabilities of "
                "group and class, and members have no weights."
            )
        if weights is None:
            raise AttributeError(
                f"method={rule.problem.method!r} gives members no weights, for "
                f"{len(rule.problem.classes)} classes. Those on scores do, for two."
            )
        return weights

    @property
    def member_points_(self) -> pd.DataFrame:
        """Operating points of members and majority; see Attributes."""
        solved = self._solved()
        return solved.rule.member_points(solved.rows)

    @property
    def objective_(self) -> float:
        """Value of the objective in calibration; see Attributes."""
        return self._solved().rule.value

    @property
    def randomised_share_(self) -> float:
        """Share of the calibration weight with randomised decisions; see Attributes."""
        solved = self._solved()
        return solved.rule.randomised_share(solved.rows)

    @property
    def optimality_gap_(self) -> float:
        """How much better other thresholds may be; see Attributes."""
        rule = _constraining(self._solved())
        if rule.problem.randomise:
            raise AttributeError(
                "Rules that may randomise are the best of all. Only randomise=False "
                "has a gap to state."
            )
        return rule.fair.rule.optimality_gap

    @property
    def fairness_report_(self) -> FairnessReport:
        """Guarantees of the rule for new people; see Attributes."""
        solved = self._solved()
        rule, claim = _constraining(solved), solved.problem.slack
        # Cross-fitting solves for ten rules at least.
        if claim not in rule.reports:
            report = fairness_report(rule, solved.rows, claim)
            rule.reports[claim] = report
            if not (report.is_fairer or np.isnan(report.bound)):
                expected = report.to_frame()["expected"].iloc[0]
                warnings.warn(
                    "The fair rule is not expected to be fairer than none: on new "
                    f"people a gap of {expected:.3f} is to be expected with it, and of "
                    f"{report.without_rule['expected']:.3f} without it. Groups may "
                    "hardly differ, or have too few rows; see group_frame().",
                    UserWarning,
                    stacklevel=level_of_caller(),
                )
        return rule.reports[claim]

    @property
    def calibration_indices_(self) -> NDArray[np.intp]:
        """Positions of the calibration rows; see Attributes."""
        return self._rows.index.copy()

    @property
    def unconstrained_groups_(self) -> NDArray[Any]:
        """Groups decided on without regard to groups; see Attributes."""
        solved = self._solved()
        return solved.problem.groups[solved.rule.code < 0]

    @property
    def _problem(self):
        return self._calibrated().problem

    @property
    def _rows(self):
        return self._calibrated().rows

    def __sklearn_is_fitted__(self):
        return hasattr(self, "estimator_")

    def _findings(self):
        """Return the rule and the ensemble's shards, as notebooks show them."""
        calibrated = self._calibrated()
        problem, rule = calibrated.problem, calibrated.rule
        if rule is None:
            return self.estimator_._findings()
        within = f" within {problem.slack:g}" if problem.name else ""
        title = (
            f"{problem.method}, {problem}{within}: "
            f"{rule.value:.3f} in calibration, "
            f"{rule.randomised_share(calibrated.rows):.1%} decided at random. "
            f"{cells_of(problem)}"
        )
        found = [(title, rule.points())]
        if rule.fair is not None:
            found.append(("Rule", rule_lines(rule)))
        if hasattr(self.estimator_, "_findings"):
            found += self.estimator_._findings()
        return found

    def _solved(self):
        """What counts at this instant, unless too few members or rows are left."""
        return solved(self._calibrated())


def solved(calibrated):
    """Return what is calibrated; raise if its rule is not solved."""
    if calibrated.rule is None:
        raise ValueError(
            "Rows were erased or added, and the rule has not been solved since: too "
            "few members or rows are left to decide, or the call was interrupted. Call "
            "relearn(), which trains members that are behind and solves again."
        )
    return calibrated


def _constraining(calibrated):
    """The rule; raise if it constrains no group."""
    rule = calibrated.rule
    if rule.fair is None:
        raise AttributeError(
            "No group has the labels that the constraint needs any more, "
            "so no rule is left that constrains any. Fit again with other rows."
        )
    return rule
