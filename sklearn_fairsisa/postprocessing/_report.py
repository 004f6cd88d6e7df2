"""Guarantees of a fair rule for new people."""

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd

from .._utils.plain import PlainStateMixin, to_plain
from ..fairness._coins import is_random
from ..fairness._confidence import GroupRates, largest_error
from ..fairness._constraints import GAPS, Constraint, Difference
from ..fairness._rates import score
from ._coins import realised
from ._held_out import (
    calibrated_rates,
    compared,
    cross_fitted,
    dispersion,
    estimated_rates,
    excess_quantile,
    held_out_rates,
)

# What is claimed of a rule whose tolerance is zero: no data show a gap of zero.
_CLAIM = 0.05
# Of reports on a rule that was fitted without any.
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Examined(PlainStateMixin):
    """What is known of the rates that one constraint compares.

    Parameters
    ----------
    constraint : Constraint
    groups : list
        Names of the groups that it compares.
    rates : dict of str to GroupRates
        Cross-fitted estimate of each rate in each group, its standard error, and the
        number of people that it rests on.
    estimated, counted, realised : dict of str to ndarray of shape (n_groups,)
        The same rates in calibration: as the rule's model estimates them, as they are
        counted on the rows, and as the coins of ``predict`` make them. The latter are
        of the rows whose coins are known, the first 20,000 at most; NaN if none are.
    without : dict of str to GroupRates
        Rates of the ensemble without the rule.
    """

    constraint: Constraint
    groups: list[Any]
    rates: dict[str, GroupRates]
    estimated: dict[str, np.ndarray]
    counted: dict[str, np.ndarray]
    realised: dict[str, np.ndarray]
    without: dict[str, GroupRates]

    def measured(self, rates, names):
        """What the constraint bounds, of rates by name."""
        return self.constraint.measure(np.stack([rates[n] for n in names], axis=1))

    @property
    def rows_of_table(self):
        """Names of the rates that each row of the table is about."""
        table = {self.constraint.measure_name: list(self.rates)}
        if len(self.rates) == 1:
            return table
        of_one_rate = {rate: gap for gap, rate in GAPS.items()}
        suffix = self.constraint.measure_name.removeprefix(self.constraint.rate)
        for name in self.rates:
            if isinstance(self.constraint, Difference) and self.constraint.by is None:
                # With more than two classes the rate names its gap.
                suffix = ""
            row = of_one_rate.get(name, name) if not suffix else name + suffix
            table.setdefault(row, [name])
        return table


@dataclass(frozen=True)
class FairnessReport(PlainStateMixin):
    r"""Guarantees of a fair rule for new people.

    :attr:`FairEnsemblePostprocessor.fairness_report_` returns it.

    Parameters
    ----------
    constraint : str
        What the rule keeps equal, or the constraint objects.
    tol : float
        Tolerance that the rule satisfies in calibration. With constraint objects, the
        amount by which their bounds are loosened, negative if `confidence` made them
        stricter.
    claim : float
        Gap that the report examines: the tolerance demanded of the rule, or 0.05 if
        that is 0. With constraint objects, the amount by which their bounds may be
        missed, which is 0. See `at` for other claims.
    confidence : float
        Confidence of all intervals and bounds.
    groups : ndarray of shape (n_groups,)
        Groups that the rule constrains. All gaps are gaps between these.
    examined : tuple of Examined
        Estimates of the rates that each constraint compares.
    least : float
        Least slack of the constraints that makes a difference.
    dispersion : float
        Factor in the standard errors; above 1 if rules are unstable.
    objective, counted_objective, expected_objective : float
        Value of the objective on the calibration rows, as estimated, as counted, and
        cross-fitted. A large difference between them indicates overfitting.
    randomised_people : int
        Number of calibration rows whose decision is randomised.
    randomised_share : float
        Their share of the calibration weight.
    is_degenerate : bool
        Whether the rule decides the same for everyone.
    unconstrained_groups : ndarray
        Groups decided on without regard to groups. The differences of their rates from
        those of other groups are unknown.
    objective_without : float
        Objective of the ensemble's own decisions on the calibration rows, without the
        rule. See `without_rule`.
    counted : ndarray of shape (n_groups, n_classes), default=None
        If groups are inferred, the weight of the counted rate of each group and class
        in calibration; the remaining weight is that of the estimated rate.

    Notes
    -----
    The rule satisfies its constraints on its calibration rows, so its gap there shows
    nothing about new people. The gap of new people differs for two reasons. First,
    rates have noise: a rate equalised on n people is off by about
    :math:`\sqrt{r(1-r)/n}`. Second, a rule fits the noise: its rates on new people are
    worse, especially in small groups. Cross-fitting measures the second effect: the
    rows are split into ten folds, and a rule is solved on nine folds and decides on the
    tenth. In the pooled rates :math:`\tilde r_a` the noise cancels out, because the
    deviations of each fold from the others cancel in the mean. To first order, the true
    rates of the fitted rule are therefore :math:`\tilde r_a + Z_a`. Here :math:`Z_a` is
    normal with the standard error of a rate on the group's rows, and independent
    between groups and between labels.

    With D the greatest difference between groups over the constrained rates,
    ``expected`` is the mean of :math:`D(\tilde r + Z)`, ``bound`` its quantile at
    `confidence`, ``high`` that at ``(1 + confidence) / 2``, and ``low`` is
    :math:`D(\tilde r)` less the quantile of :math:`D(Z)` at `confidence`, but not
    below 0. A rule that decides the same for everyone has no gap.

    A rule on vote patterns is unstable if there are many patterns for the number of
    rows. Its rates then differ from :math:`\tilde r` by more than the noise of
    independent people. The same may be true of a majority of members that are
    post-processed one by one. For ``method="ensemble"`` and
    ``"postprocess_then_aggregate"`` the report is therefore computed on halves of the
    rows and compared with the other halves; standard errors are multiplied by the
    ``dispersion`` that this comparison shows.

    With more than two classes, rates of the same true class concern the same people,
    but are treated as independent. For centred normal rates this can only raise the
    bound [1]_.

    ``expected`` treats the differences between the :math:`\tilde r_a` as real. If they
    are largely noise, in groups of some dozen rows, it is too high: up to 1.6 times the
    mean gap in simulations. If the differences were shrunk, it would be too low where
    they are real, as with vote patterns. ``benchmarks/confidence.py`` has the
    simulations, including the coverage of bound and interval.

    References
    ----------
    .. [1] Royen, T. (2014). A simple proof of the Gaussian correlation conjecture
       extended to multivariate gamma distributions. Far East Journal of Theoretical
       Statistics 48(2).
    """

    constraint: str
    tol: float
    claim: float
    confidence: float
    groups: np.ndarray
    examined: tuple[Examined, ...]
    least: float
    dispersion: float
    objective: float
    counted_objective: float
    expected_objective: float
    randomised_people: int
    randomised_share: float
    is_degenerate: bool
    unconstrained_groups: np.ndarray
    objective_without: float
    counted: np.ndarray | None = None

    def at(
        self, *, claim: float | None = None, confidence: float | None = None
    ) -> Self:
        """Report on another claim, or at another confidence.

        Parameters
        ----------
        claim : float in (0, 1), default=None
            Gap to examine.
        confidence : float in (0, 1), default=None
            Confidence of all intervals and bounds.

        Returns
        -------
        FairnessReport
        """
        for name, value in (("claim", claim), ("confidence", confidence)):
            if value is not None and not 0 < value < 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {value!r}.")
        return replace(
            self,
            claim=self.claim if claim is None else claim,
            confidence=self.confidence if confidence is None else confidence,
        )

    @property
    def bound(self) -> float:
        """Upper confidence bound of the gap at `confidence`.

        It covers all constrained rates at once, between `groups`. NaN if there is only
        one group. For constraint objects it is the slack at which all of them hold at
        `confidence`: they are supported if it is at most 0.
        """
        return self._bound

    @property
    def holds(self) -> bool:
        """Whether the data support that the true gap is at most `claim`.

        It is False if some groups are unconstrained, unless the rule decides the same
        for everyone; compare `bound` with `claim` for the other groups.
        """
        return self._is_within and not self._leaves_some_out

    @property
    def small_groups(self) -> list[Any]:
        """Groups that have too few rows for the claim, a list."""
        frame = self.group_frame()
        return (
            frame.loc[frame["rows_needed"] > frame["rows"], "group"].unique().tolist()
        )

    @property
    def without_rule(self) -> pd.Series:
        """Objective and gap of the ensemble without the rule, a Series.

        It has ``objective`` and, for the greatest constrained gap, the columns
        ``counted``, ``expected``, ``low``, ``high`` and ``bound`` of :meth:`to_frame`,
        by the same formulas. With several constraint objects it describes the first.
        """
        return pd.Series(
            {"objective": self.objective_without, **self._without(self.examined[0])}
        )

    @property
    def is_fairer(self) -> bool:
        """Whether a smaller gap is to be expected with the rule than without it.

        With several constraint objects, whether at least one is expected to be
        satisfied better.
        """
        return any(self._is_fairer_in(each) for each in self.examined)

    def _is_fairer_in(self, each):
        # The mean alone, as intervals would take several times as long.
        gain = _expected(each, each.without) - self._expected_with(each)
        return bool(gain > 0 if isinstance(each.constraint, Difference) else gain < 0)

    def _expected_with(self, each):
        if self.is_degenerate:
            return each.measured(each.estimated, list(each.estimated))
        return _expected(each, each.rates)

    def _without(self, each):
        if _is_alone(each):
            columns = "counted", "expected", "low", "high", "bound"
            return dict.fromkeys(columns, np.nan)
        rates = {name: of.rate for name, of in each.without.items()}
        counted = each.measured(rates, list(rates))
        return {"counted": counted, **self._interval(each, each.without)}

    def __getstate__(self):
        # Frames made so far can be made again, and not every format saves them.
        return {f.name: to_plain(getattr(self, f.name)) for f in fields(self)}

    def to_frame(self) -> pd.DataFrame:
        """Return the gap of each constrained rate and its interval.

        Returns
        -------
        DataFrame
            Index: names of gaps, or of the quantities that constraint objects bound.
            Columns: ``estimated``, ``counted`` and ``realised`` (on the calibration
            rows: by the model of ``"smooth_ensemble"``, by the labels themselves, and
            by the labels and the randomised decisions of ``predict``), ``expected``,
            ``low``, ``high`` and ``bound`` (on new people). Where a constraint is on
            several rates, its first row is the greatest of the others, or the least.
        """
        return self._gap_table.copy()

    def group_frame(self) -> pd.DataFrame:
        """Return how well each rate of each group is known.

        Returns
        -------
        DataFrame
            Columns: ``group``, ``rate``, ``estimate`` (cross-fitted),
            ``standard_error``, ``rows`` and ``rows_needed``. Rows are those that the
            rate rests on: negatives, positives, or all; weighted ones count as the
            number of rows of equal weight with as much evidence. ``rows_needed`` is
            ``rows`` if these are enough, which they are in all groups if the claim
            already holds. If every group had the rows it needs, a rule solved at
            tolerance zero would keep its true gap within the claim at the confidence.
            Overfitting is assumed to fall with the square root of the rows, as the
            noise does; usually it falls faster. Constraints on ratios, and on rates
            themselves, need looser bounds rather than more rows; for them
            ``rows_needed`` is ``rows``.
        """
        return self._group_table.copy()

    @property
    def _is_within(self):
        """Whether the constrained groups keep the claim."""
        return self.bound <= self.claim

    @property
    def _leaves_some_out(self):
        return len(self.unconstrained_groups) > 0 and not self.is_degenerate

    @property
    def _is_about_gap(self):
        """Whether one tolerance is of all that is constrained."""
        return self.least == 0

    @cached_property
    def _bound(self):
        if self.is_degenerate:
            return 0.0 if self._is_about_gap else self._excess
        if self._is_about_gap and len(self.groups) < 2:
            return np.nan
        return self._quantile(self.examined)

    @property
    def _excess(self):
        """Slack that the rates in calibration need."""
        return max(
            each.constraint.excess(
                np.stack(list(each.estimated.values()), axis=1), each.groups
            )
            for each in self.examined
        )

    def _quantile(self, examined):
        return excess_quantile(
            self.confidence,
            [each.constraint for each in examined],
            [each.groups for each in examined],
            [each.rates for each in examined],
            self.least,
        )

    @cached_property
    def _gap_table(self):
        records = {
            row: self._describe(each, names)
            for each in self.examined
            for row, names in each.rows_of_table.items()
        }
        return pd.DataFrame.from_dict(records, orient="index").rename_axis("gap")

    @cached_property
    def _group_table(self):
        frames = []
        for each in self.examined:
            enough = self._largest_error(each)
            for name, rates in each.rates.items():
                rows = np.floor(rates.size + 1e-6)
                needed = np.ceil(rates.size * (rates.error / enough) ** 2)
                needed = np.where(rates.error > enough, needed, rows)
                by = each.constraint.by
                frames.append(
                    pd.DataFrame(
                        {
                            "group": np.fromiter(each.groups, object, len(each.groups)),
                            "rate": name if by is None else f"{name} by {by}",
                            "estimate": rates.rate,
                            "standard_error": rates.error,
                            "rows": rows.astype(int),
                            "rows_needed": needed.astype(int),
                        }
                    ).infer_objects()
                )
        return pd.concat(frames, ignore_index=True)

    def _largest_error(self, each):
        """Standard error that no rate may exceed for a constraint to be supported."""
        allowed = each.constraint.loosened(self.claim)
        if self._is_within or not isinstance(allowed, Difference):
            return np.inf
        if allowed.at_most == 0 or self._quantile([each]) <= self.claim:
            return np.inf
        off = [
            (rates.rate - each.estimated[name], rates.error)
            for name, rates in each.rates.items()
        ]
        return largest_error(self.confidence, allowed.at_most, off)

    def _describe(self, each, names):
        found = {
            "estimated": each.measured(each.estimated, names),
            "counted": each.measured(each.counted, names),
            "realised": each.measured(each.realised, names),
        }
        columns = "expected", "low", "high", "bound"
        if self.is_degenerate:
            return found | dict.fromkeys(columns, found["estimated"])
        if _is_alone(each):
            return dict.fromkeys((*found, *columns), np.nan)
        rates = {name: each.rates[name] for name in names}
        return found | self._interval(each, rates)

    def _interval(self, each, rates):
        """What is to be expected of rates that a constraint compares, by name."""
        return each.constraint.interval(self.confidence, _known(rates))

    def _too_small(self):
        """The most that each group needs, of two classes for each of them."""
        frame = self.group_frame()
        frame = frame[frame["rows_needed"] > frame["rows"]]
        if all(len(each.rates) <= 2 for each in self.examined):
            return frame
        worst = frame.sort_values("rows_needed", kind="stable")
        return worst.drop_duplicates("group", keep="last").sort_index()

    def __str__(self):
        return "\n".join([*self._sentences(), "", self._shown().to_string()])

    def _repr_html_(self):
        from html import escape

        sentences = "<br>".join(escape(line) for line in self._sentences())
        return f"<p>{sentences}</p>{self._shown().to_html(border=0)}"

    def _shown(self):
        return self.to_frame().rename_axis(None).round(3)

    def _sentences(self):
        yield self._verdict()
        if self.is_degenerate:
            yield "The rule is degenerate: it decides the same for everyone."
        too_small = self._too_small()
        if len(too_small) == 0 and self.bound > self.claim:
            yield self._remedy()
        for _, row in too_small.iterrows():
            yield (
                f"Group {row['group']!r} is too small for that: its {row['rate']} "
                f"rests on {row['rows']} calibration rows and needs about "
                f"{row['rows_needed']}."
            )
        counted = ""
        if abs(self.counted_objective - self.objective) >= 5e-4:
            counted = f" as estimated, {self.counted_objective:.3f} as counted"
        yield (
            f"The objective is {self.objective:.3f} in calibration{counted} and "
            f"{self.expected_objective:.3f} cross-fitted. "
            f"{self.randomised_people} calibration rows ({self.randomised_share:.1%} "
            "of the weight) are decided at random."
        )
        without = self.without_rule
        measure = self.examined[0].constraint.measure_name
        what = "a gap" if self._is_about_gap else f"a {measure}"
        if not (self.is_fairer or np.isnan(self.bound)):
            yield (
                f"The rule is not expected to be fairer than none: without it {what} "
                f"of {without['expected']:.3f} is to be expected, and the objective "
                f"is {without['objective']:.3f}."
            )
        else:
            expected = f", and {what} of {without['expected']:.3f} is to be expected"
            yield (
                f"Without the rule the objective is {without['objective']:.3f}"
                f"{'' if np.isnan(without['expected']) else expected}."
            )
        if self.counted is not None:
            yield (
                "Groups are inferred. Rates in calibration are counted on people "
                "of observed groups where these are many, and estimated where they are "
                f"few: {self.counted.min():.0%} to {self.counted.max():.0%} of a rate "
                "is counted. All intervals are those of observed groups."
            )
        if len(self.unconstrained_groups):
            beware = (
                " Their gap to others is not known." if self._leaves_some_out else ""
            )
            yield (
                f"Decided on without regard to groups: "
                f"{self.unconstrained_groups.tolist()}.{beware}"
            )

    def _remedy(self):
        """What helps where the rows are enough, but the rule is not."""
        if not self._is_about_gap:
            return (
                f"Give more rows, or fit with confidence={self.confidence:g} to have "
                "stricter bounds in calibration."
            )
        left = self.to_frame()["estimated"].iloc[0]
        rule = (
            f"No group is too small for that, but the rule leaves a gap of {left:.3f}"
        )
        if self.tol > 0:
            return (
                f"{rule} in calibration. Fit with tol={self.claim:g}, "
                f"confidence={self.confidence:g} to have a stricter one."
            )
        return f"{rule} in calibration even at tol=0. Use another method."

    def _verdict(self):
        if np.isnan(self.bound):
            return (
                f"Nothing is known of the gap in {self.constraint} on new people, as "
                f"the rule constrains one group alone, {self.groups.tolist()}."
            )
        among = f" among {self.groups.tolist()}" if self._leaves_some_out else ""
        supported = "is supported" if self._is_within else "is not supported"
        if self._is_within and self._leaves_some_out:
            supported += " there"
        confidence = f"with {100 * self.confidence:g}% confidence"
        if self._is_about_gap:
            return (
                f"On new people the gap in {self.constraint}{among} is at most "
                f"{self.bound:.3f} {confidence}; "
                f"{self._shown()['expected'].iloc[0]:.3f} is to be expected. A gap of "
                f"at most {self.claim:g} {supported}."
            )
        found = []
        for each in self.examined:
            measure = each.constraint.measure_name
            row = self._gap_table.loc[measure]
            side = "most" if isinstance(each.constraint, Difference) else "least"
            found.append(
                f"{measure} is at {side} {row['bound']:.3f}, and "
                f"{row['expected']:.3f} is to be expected"
            )
        return (
            f"On new people{among}, each {confidence}: {'; '.join(found)}. That all of "
            f"{self.constraint} hold {supported}."
        )


def _is_alone(each):
    """Whether there is a single group, which has no gap."""
    return len(each.groups) < 2 and isinstance(each.constraint, Difference)


def _known(rates):
    """Rates by name and their errors."""
    return [(of_groups.rate, of_groups.error) for of_groups in rates.values()]


def _expected(each, rates):
    """What is to be expected of a constraint's measure, of rates by name."""
    if _is_alone(each):
        return np.nan
    return each.constraint.expected(_known(rates))


def fairness_report(rule, rows, claim):
    """Examine a rule on its calibration rows.

    Parameters
    ----------
    rule : FairRule
    rows : CalibrationRows
    claim : float
        Gap to examine, 0.05 instead of 0. Of constraint objects the slack.

    Returns
    -------
    FairnessReport
    """
    problem, rows = rule.problem, rows.weighed
    probability = cross_fitted(rows, problem, problem.slack)
    factor = dispersion(rows, problem)
    counted = rule.counted_on(rows)
    constrained = rule.code >= 0
    random = is_random(rule.selection_probability(rows.scores, rows.group))
    decided = rows.of_members.decided.astype(np.intp)
    decided = np.eye(len(problem.classes))[decided]
    inferring = None if problem.sensitive_at_predict else rule.inferred
    return FairnessReport(
        constraint=str(problem),
        tol=problem.slack,
        claim=claim or (_CLAIM if problem.name else 0.0),
        confidence=problem.confidence or _CONFIDENCE,
        groups=problem.groups[constrained],
        examined=tuple(
            Examined(constraint, names, *rates)
            for (constraint, names, _), *rates in zip(
                compared(problem, rule.code),
                held_out_rates(rule, rows, probability, factor),
                calibrated_rates(rule, rule.confusion),
                calibrated_rates(rule, counted),
                calibrated_rates(rule, _realised(rule, rows)),
                estimated_rates(problem, rule.code, rows, decided),
            )
        ),
        least=problem.strictest,
        dispersion=factor,
        objective=rule.value,
        counted_objective=float(score(problem.objective, counted)),
        expected_objective=rule.deciding(rows, probability).value,
        randomised_people=int(random.sum()),
        randomised_share=float(np.average(random, weights=rows.weight)),
        is_degenerate=rule.is_constant,
        unconstrained_groups=problem.groups[~constrained],
        objective_without=rule.deciding(rows, decided).value,
        counted=None if inferring is None else inferring.rule.counted,
    )


def _realised(rule, rows):
    """Confusion of what ``predict`` decides on the rows whose coins are known."""
    n_groups, n_classes = len(rule.code), rows.n_classes
    if rows.coins is None or np.isnan(rows.coins).all():
        return np.full((n_groups, n_classes, n_classes), np.nan)
    rows = rows.take(~np.isnan(rows.coins))
    probability = rule.selection_probability(rows.scores, rows.group, rows.counted)
    return rows.confusion(realised(probability, rows.coins), n_groups)
