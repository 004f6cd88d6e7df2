"""Guarantees of a fair rule for new people."""

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd

from .._utils.plain import PlainStateMixin, to_plain
from ..fairness._coins import is_random
from ..fairness._confidence import (
    GroupRates,
    expected_spread,
    largest_error,
    spread_quantile,
)
from ..fairness._constraints import CONSTRAINTS, GAPS, gap_of
from ._held_out import (
    calibrated_rates,
    cross_fitting,
    dispersion,
    estimated_rates,
    held_out_rates,
)

# What is claimed of a rule whose tolerance is zero: no data show a gap of zero.
_CLAIM = 0.05
# Of reports on a rule that was fitted without any.
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class FairnessReport(PlainStateMixin):
    r"""Guarantees of a fair rule for new people.

    It is made by :attr:`FairEnsemblePostprocessor.fairness_report_`.

    Parameters
    ----------
    constraint : str
        What the rule keeps equal.
    tol : float
        Tolerance that the rule keeps in calibration.
    claim : float
        Gap that the report examines: the tolerance demanded of the rule, or 0.05 where
        that is 0. See `at` for others.
    confidence : float
        Confidence of all intervals and bounds.
    groups : ndarray of shape (n_groups,)
        Groups that the rule constrains. All gaps are gaps between these.
    rates : dict of str to GroupRates
        Cross-fitted estimate of each constrained rate, its standard error, and the
        number of people that it rests on, in each group.
    dispersion : float
        Factor in the standard errors; above 1 where rules are unstable.
    calibrated : dict of str to ndarray of shape (n_groups,)
        The same rates on the calibration rows.
    objective, expected_objective : float
        Value of the objective on the calibration rows, and cross-fitted. A great
        difference between them is overfitting.
    randomised_people : int
        Number of calibration rows whose decision is randomised.
    randomised_share : float
        Their share of the calibration weight.
    is_degenerate : bool
        Whether the rule decides the same for everyone.
    unconstrained_groups : ndarray
        Groups decided on without regard to groups. Nothing is known of how far their
        rates lie from those of others.
    rates_without : dict of str to GroupRates
        Rates of the ensemble's own decisions on the calibration rows, without the rule.
        See `without_rule`.
    objective_without : float
        Their objective.
    counted : ndarray of shape (n_groups, n_classes), default=None
        Where groups are inferred, with which weight the people of each group and class
        are counted in calibration, and not estimated.

    Notes
    -----
    The rule is exact on its calibration rows, so its gap there shows nothing about new
    people. They differ for two reasons. The rates have noise: a rate equalised on n
    people is off by about :math:`\sqrt{r(1-r)/n}`. And a rule fits the noise: its
    rates elsewhere are worse, the more so the smaller the group. Cross-fitting
    measures the second: the rows fall into ten folds, a rule is solved on nine and
    decides on the tenth. In the pooled rates :math:`\tilde r_a` the noise cancels
    out, because what a fold adds to its own rates it takes from those of the rule
    that the others choose. So the true rates of the fitted rule are, in a first
    order, :math:`\tilde r_a + Z_a` with :math:`Z_a` normal of the standard error of a
    rate on the group's rows, independent between groups and between labels.

    With D the greatest difference between groups over the constrained rates,
    ``expected`` is the mean of :math:`D(\tilde r + Z)`, ``bound`` its quantile at
    `confidence`, ``high`` that at ``(1 + confidence) / 2``, and ``low`` is
    :math:`D(\tilde r)` less the quantile of :math:`D(Z)` at `confidence`, but not
    below 0. A rule that decides the same for everyone has no gap.

    A rule on vote patterns is unstable where the patterns are many for the rows, and
    lies further off :math:`\tilde r` than independent people do; so may a majority of
    members that are post-processed one by one. For ``method="ensemble"`` and
    ``"postprocess_then_aggregate"`` the report is therefore made of halves of the rows
    and compared with the other halves; standard errors are multiplied by the
    ``dispersion`` seen there.

    With more than two classes, rates of the same true class concern the same people,
    yet are treated as independent. For centred normal rates that can only raise the
    bound [1]_.

    ``expected`` takes the differences between the :math:`\tilde r_a` for real. Where
    a good part of them is noise, in groups of some dozen rows, it reads high: up to 1.6
    times the mean gap in simulations. Shrinking them would read low where they are
    real, as with vote patterns. ``benchmarks/confidence.py`` has the simulations, of
    the coverage of bound and interval too.

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
    rates: dict[str, GroupRates]
    dispersion: float
    calibrated: dict[str, np.ndarray]
    objective: float
    expected_objective: float
    randomised_people: int
    randomised_share: float
    is_degenerate: bool
    unconstrained_groups: np.ndarray
    rates_without: dict[str, GroupRates]
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
        """Gap that the rule keeps within at `confidence`: its upper confidence bound.

        Over all constrained rates at once, between `groups`. NaN if there is one group
        alone.
        """
        return float(self._gap_table["bound"].iloc[0])

    @property
    def holds(self) -> bool:
        """Whether the data support that the true gap is at most `claim`.

        Never where some groups are unconstrained, unless the rule decides the same for
        everyone; compare `bound` with `claim` for the others.
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

        ``objective``, and of the greatest constrained gap the columns of
        :meth:`to_frame`, by the same formulas: ``calibration``, ``expected``, ``low``,
        ``high``, ``bound``.
        """
        found = {"objective": self.objective_without}
        rates = self.rates_without
        return pd.Series(found | self._describe(rates, _observed(rates)))

    @property
    def is_fairer(self) -> bool:
        """Whether a smaller gap is to be expected with the rule than without it."""
        return bool(self._gap_table["expected"].iloc[0] < self.without_rule["expected"])

    def __getstate__(self):
        # Frames made so far can be made again, and not every format saves them.
        return {f.name: to_plain(getattr(self, f.name)) for f in fields(self)}

    def to_frame(self) -> pd.DataFrame:
        """Return the gap of each constrained rate and its interval.

        Returns
        -------
        DataFrame
            Index: names of gaps. Columns: ``calibration`` (on the calibration rows),
            ``expected``, ``low``, ``high`` and ``bound`` (on new people). Where
            several rates are constrained, the first row is the greatest of the others.
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
            ``rows`` where these are enough, as all are where the groups keep the claim
            already. If every group had the rows it needs, a rule solved at tolerance
            zero would keep its true gap within the claim at the confidence. Overfitting
            is taken to fall with the square root of the rows, as the noise does; it
            falls faster as a rule.
        """
        return self._group_table.copy()

    @property
    def _is_within(self):
        """Whether the constrained groups keep the claim."""
        return self.bound <= self.claim

    @property
    def _leaves_some_out(self):
        return len(self.unconstrained_groups) > 0 and not self.is_degenerate

    @cached_property
    def _gap_table(self):
        table = {gap_of(CONSTRAINTS[self.constraint].rate): list(self.rates)}
        of_one_rate = {rate: gap for gap, rate in GAPS.items()}
        for name in self.rates:
            # With more than two classes the rate names its gap.
            table.setdefault(of_one_rate.get(name, name), [name])
        records = {}
        for gap, names in table.items():
            rates = {name: self.rates[name] for name in names}
            records[gap] = self._describe(rates, self.calibrated)
            if self.is_degenerate:
                records[gap] = dict.fromkeys(records[gap], 0.0)
        return pd.DataFrame.from_dict(records, orient="index").rename_axis("gap")

    @cached_property
    def _group_table(self):
        off = [
            (rates.rate - self.calibrated[name], rates.error)
            for name, rates in self.rates.items()
        ]
        enough = np.inf
        if not self._is_within:
            enough = largest_error(self.confidence, self.claim, off)
        frames = []
        for name, rates in self.rates.items():
            rows = np.floor(rates.size + 1e-6)
            needed = np.ceil(rates.size * (rates.error / enough) ** 2)
            needed = np.where(rates.error > enough, needed, rows)
            frames.append(
                pd.DataFrame(
                    {
                        "group": self.groups,
                        "rate": name,
                        "estimate": rates.rate,
                        "standard_error": rates.error,
                        "rows": rows.astype(int),
                        "rows_needed": needed.astype(int),
                    }
                )
            )
        return pd.concat(frames, ignore_index=True)

    def _describe(self, rates, calibrated):
        """Greatest gap of some rates, by name, given those in calibration."""
        columns = "calibration", "expected", "low", "high", "bound"
        if len(self.groups) < 2:
            return dict.fromkeys(columns, np.nan)
        around = [(r.rate, r.error) for r in rates.values()]
        noise = [(np.zeros_like(r.rate), r.error) for r in rates.values()]
        spread = max(r.spread for r in rates.values())
        return {
            "calibration": max(np.ptp(calibrated[name]) for name in rates),
            "expected": expected_spread(around),
            "low": max(0.0, spread - spread_quantile(self.confidence, noise)),
            "high": spread_quantile((1 + self.confidence) / 2, around),
            "bound": spread_quantile(self.confidence, around),
        }

    def _too_small(self):
        """The most that each group needs, of two classes for each of them."""
        frame = self.group_frame()
        frame = frame[frame["rows_needed"] > frame["rows"]]
        if len(self.rates) <= 2:
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
        yield (
            f"The objective is {self.objective:.3f} in calibration and "
            f"{self.expected_objective:.3f} cross-fitted. "
            f"{self.randomised_people} calibration rows ({self.randomised_share:.1%} "
            "of the weight) are decided at random."
        )
        without = self.without_rule
        if not (self.is_fairer or np.isnan(self.bound)):
            yield (
                f"The rule is not expected to be fairer than none: without it a gap of "
                f"{without['expected']:.3f} is to be expected, and the objective is "
                f"{without['objective']:.3f}."
            )
        else:
            yield (
                f"Without the rule the objective is {without['objective']:.3f}, and a "
                f"gap of {without['expected']:.3f} is to be expected."
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
        left = self.to_frame()["calibration"].iloc[0]
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
        return (
            f"On new people the gap in {self.constraint}{among} is at most "
            f"{self.bound:.3f} with {100 * self.confidence:g}% confidence; "
            f"{self._shown()['expected'].iloc[0]:.3f} is to be expected. A gap of at "
            f"most {self.claim:g} {supported}."
        )


def _observed(rates):
    """Rates by name, without their errors."""
    return {name: of_groups.rate for name, of_groups in rates.items()}


def fairness_report(rule, rows, claim):
    """Examine a rule on its calibration rows.

    Parameters
    ----------
    rule : FairRule
    rows : CalibrationRows
    claim : float
        Gap to examine, 0.05 instead of 0.

    Returns
    -------
    FairnessReport
    """
    problem, rows = rule.problem, rows.weighed
    probability = cross_fitting(rows, problem)(problem.tol)
    factor = dispersion(rows, problem)
    constrained = rule.code >= 0
    random = is_random(rule.selection_probability(rows.scores, rows.group))
    decided = rows.of_members.decided.astype(np.intp)
    decided = np.eye(len(problem.classes))[decided]
    inferring = None if problem.sensitive_at_predict else rule.inferred
    return FairnessReport(
        constraint=problem.constraint.name,
        tol=problem.tol,
        claim=claim or _CLAIM,
        confidence=problem.confidence or _CONFIDENCE,
        groups=problem.groups[constrained],
        rates=held_out_rates(rule, rows, probability, factor),
        dispersion=factor,
        calibrated=calibrated_rates(rule),
        objective=rule.value,
        expected_objective=rule.deciding(rows, probability).value,
        randomised_people=int(random.sum()),
        randomised_share=float(np.average(random, weights=rows.weight)),
        is_degenerate=rule.is_constant,
        unconstrained_groups=problem.groups[~constrained],
        rates_without=estimated_rates(problem, rule.code, rows, decided),
        objective_without=rule.deciding(rows, decided).value,
        counted=None if inferring is None else inferring.rule.counted,
    )
