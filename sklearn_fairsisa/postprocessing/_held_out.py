r"""Rates that a fair rule will have on people whom it has not seen.

Notes
-----
Rules on vote patterns are unstable: a pattern is decided by the few rows that show it;
so are majorities of members that are post-processed one by one on the same rows. The
rates of a rule differ from the cross-fitted ones by more than the noise of as many
independent people. By how much is found by doing to halves of the rows what is done to
all of them: with :math:`\tilde r_a` cross-fitted on one half, of squared
standard errors :math:`s_a^2`, and :math:`r_a` the rates on the other half of the rule
of the first, of squared standard errors :math:`t_a^2`, the differences
:math:`d_a = r_a - \tilde r_a` should have

.. math::
    \sum_a (d_a - \bar d)^2 \approx
    (1 - \tfrac 1G) \sum_a (t_a^2 + \varphi^2 s_a^2)

with a dispersion :math:`\varphi` of 1, as for counts in a quasi-binomial model. Rates
move together when the point moves that all groups share, which makes no gap; hence the
mean :math:`\bar d` over the G groups. Sums over halves and rates give
:math:`\varphi`, by which standard errors are multiplied if it exceeds 1.

References
----------
McCullagh, Nelder (1989), Generalized linear models, section 4.5: dispersion.
"""

from dataclasses import dataclass, replace

import numpy as np

from ..fairness._confidence import estimate_rates, spread_quantile
from ..fairness._draws import class_probabilities
from ..fairness._mixtures import CLASS_RATES, counted_classes
from ..fairness._solve import CONSTRAINTS

# Ten folds leave nine tenths of the rows, so that the rules are nearly the fitted one.
_N_FOLDS = 10
# Methods whose rates are less certain than those of independent people, and the
# halvings that show by how much: few rows per cell, or a majority of members each of
# whom is fitted to the same noise.
_UNSTABLE = {"ensemble", "postprocess_then_aggregate"}
_N_HALVINGS = 5
# The search for the greatest tolerance that will do ends after so many steps, or when
# the bound is so close to what is demanded.
_N_STEPS = 6
_CLOSE = 0.98
OF_TWO = {
    "fpr": ("false_positive_rate", [True, False]),
    "tpr": ("true_positive_rate", [False, True]),
    "share": ("selection_rate", [True, True]),
}
"""Of two classes: name of each rate, and the true classes of whose rate it is."""


@dataclass(frozen=True)
class ConstrainedRate:
    """A rate of each group, the share of some people who get one decision.

    Parameters
    ----------
    name : str
    counted : ndarray of bool of shape (n_classes,)
        True classes of the people whose rate it is.
    decision : int
    """

    name: str
    counted: np.ndarray
    decision: int

    def calibrated(self, rule):
        """Rate in calibration of each group that a rule constrains."""
        people = rule.confusion[rule.code >= 0][:, self.counted].sum(axis=1)
        return people[:, self.decision] / people.sum(axis=1)

    def estimate(self, code, rows, probability, **options):
        """Rate of each group that is constrained, with its error.

        Parameters
        ----------
        code : ndarray of int of shape (n_groups,)
            What each group is called in the result, -1 for those left out.
        rows : CalibrationRows
        probability : ndarray of shape (n_rows,) or (n_rows, n_classes)
            Of rules that have not seen the rows.
        **options
            For `estimate_rates`.

        Returns
        -------
        GroupRates
        """
        place = code[rows.group]
        chosen = self.counted[rows.label.astype(np.intp)] & (place >= 0)
        return estimate_rates(
            place[chosen],
            class_probabilities(probability[chosen])[:, self.decision],
            None if rows.weight is None else rows.weight[chosen],
            int((code >= 0).sum()),
            **options,
        )


def constrained_rates(constraint, classes):
    """Rates that a constraint wants equal in all groups.

    Parameters
    ----------
    constraint : str
    classes : ndarray of shape (n_classes,)

    Returns
    -------
    list of ConstrainedRate
        Of two classes the rates of the second decision, which determine those of the
        first; of more, those of all decisions.
    """
    if len(classes) == 2:
        named = [OF_TWO[rate] for rate in CONSTRAINTS[constraint]]
        return [ConstrainedRate(name, np.array(who), 1) for name, who in named]
    kind = CLASS_RATES[constraint]
    return [
        ConstrainedRate(_name(kind, classes, who, k), who, k)
        for who, k in zip(*counted_classes(kind, len(classes)))
    ]


def _name(kind, classes, counted, decision):
    if kind == "share":
        return f"P(decision={classes[decision]})"
    if kind == "false alarm":
        return f"P(decision={classes[decision]} | Y!={classes[decision]})"
    return f"P(decision={classes[decision]} | Y={classes[counted.argmax()]})"


def cross_fitting(family, rows, n_groups, method, constraint):
    """Learn on all rows but those of a fold, fold by fold.

    Parameters
    ----------
    family : type
        `FairRule` or `FairClassRule`.
    rows : CalibrationRows
    n_groups : int
    method : str
    constraint : str

    Returns
    -------
    callable
        Takes a demand and returns the probability of selection of each row by a rule
        that has not seen it, of shape (n_rows,) or (n_rows, n_classes).
    """
    fold = _folds(_strata(rows), _N_FOLDS)
    parts = []
    for k in np.unique(fold):
        inside = fold == k
        learnt = family.learn(
            rows.take(~inside), n_groups, method, constraint, wants_blind=False
        )
        parts.append((inside, rows.take(inside), learnt))

    def decide(demand):
        probability = None
        for inside, part, learnt in parts:
            decided = learnt(demand).selection_probability(
                part.scores, part.group, part.counted
            )
            if probability is None:
                probability = np.empty((len(rows), *decided.shape[1:]))
            probability[inside] = decided
        return probability

    return decide


def held_out_rates(rule, rows, rates, probability, factor):
    """Constrained rates of a rule on people whom it has not seen.

    Parameters
    ----------
    rule : FairRule or FairClassRule
    rows : CalibrationRows
    rates : list of ConstrainedRate
    probability : ndarray of shape (n_rows,) or (n_rows, n_classes)
        Cross-fitted.
    factor : float
        The `dispersion`.

    Returns
    -------
    dict of str to GroupRates
    """
    found = {rate.name: rate.estimate(rule.code, rows, probability) for rate in rates}
    return {name: replace(r, error=factor * r.error) for name, r in found.items()}


def dispersion(family, rows, rates, n_groups, method, demand):
    """How many times the errors of rates exceed those of independent people, >= 1.

    Whatever the tolerance, it is that of the rules which make the rates equal: cells
    that are too many for the rows are the cause.
    """
    if method not in _UNSTABLE:
        return 1.0
    demand = replace(demand, tol=0.0)
    asked = n_groups, method, demand.constraint
    squares = stated = noise = 0.0
    for seed in range(_N_HALVINGS):
        half = _folds(_strata(rows), 2, seed)
        for inside in (half == 0, half == 1):
            ours, theirs = rows.take(inside), rows.take(~inside)
            refit = family.learn(ours, *asked, wants_blind=False)(demand)
            # Groups of which the half lacks a label are not constrained.
            able = refit.code >= 0
            if able.sum() < 2:
                continue
            decided = cross_fitting(family, ours, *asked)(demand)
            there = refit.selection_probability(
                theirs.scores, theirs.group, theirs.counted
            )
            for rate in rates:
                ones = rate.estimate(refit.code, ours, decided, added=0)
                others = rate.estimate(refit.code, theirs, there, added=0)
                known = np.isfinite(ones.rate) & np.isfinite(others.rate)
                if known.sum() < 2:
                    continue
                off = (others.rate - ones.rate)[known]
                squares += np.sum((off - off.mean()) ** 2)
                part = 1 - 1 / known.sum()
                stated += part * np.sum(ones.error[known] ** 2)
                noise += part * np.sum(others.error[known] ** 2)
    if stated == 0:
        return 1.0
    return float(np.sqrt(max(1.0, (squares - noise) / stated)))


def tightened(
    family, rows, rates, n_groups, method, demand, confidence, *, wants_blind
):
    """Find the greatest tolerance whose rule keeps the true gap within the demand's.

    Parameters
    ----------
    family : type
        `FairRule` or `FairClassRule`.
    rows : CalibrationRows
    rates : list of ConstrainedRate
    n_groups : int
    method : str
    demand : Demand
        Its `tol` is to hold for the true gap.
    confidence : float
        Probability in (0, 1).
    wants_blind : bool
        Whether there may be people of unknown groups.

    Returns
    -------
    rule : FairRule or FairClassRule
        Solved at the greatest tolerance found whose bound is within ``demand.tol``,
        or at 0 if none is.
    tol : float
        The tolerance that `rule` keeps in calibration.
    bound : float
        Upper confidence bound of its true gap.
    """
    weighed = rows.weighed
    factor = dispersion(family, weighed, rates, n_groups, method, demand)
    asked = n_groups, method, demand.constraint
    learnt = family.learn(rows, *asked, wants_blind=wants_blind)
    cross = cross_fitting(family, weighed, *asked)

    def solve(tol):
        inner = replace(demand, tol=tol)
        rule = learnt(inner)
        if rule.is_constant or (rule.code >= 0).sum() < 2:
            return rule, tol, 0.0
        found = held_out_rates(rule, weighed, rates, cross(inner), factor)
        uncertain = [(rate.rate, rate.error) for rate in found.values()]
        return rule, tol, spread_quantile(confidence, uncertain)

    loosest = solve(demand.tol)
    if loosest[2] <= demand.tol:
        return loosest
    strictest = solve(0.0)
    if strictest[2] > demand.tol:
        return strictest
    low, high = strictest, loosest
    for _ in range(_N_STEPS):
        # The bound grows with the tolerance, in a line almost.
        part = (demand.tol - low[2]) / (high[2] - low[2])
        part = min(max(part, 0.1), 0.9)
        found = solve(low[1] + part * (high[1] - low[1]))
        if found[2] > demand.tol:
            high = found
        else:
            low = found
            if found[2] > _CLOSE * demand.tol:
                break
    return low


def _strata(rows):
    return (1 + rows.label.max()) * rows.group + rows.label


def _folds(stratum, n_folds, seed=0):
    """Fold of each row, the same for the same rows in the same order."""
    fold = np.empty(len(stratum), dtype=np.int64)
    # A fixed generator, so that the folds depend on nothing but the rows kept.
    rng = np.random.default_rng(seed)
    done = 0
    for value in np.unique(stratum):
        members = np.flatnonzero(stratum == value)
        # Strata follow on, or the first folds would get all odd rows.
        fold[rng.permutation(members)] = (done + np.arange(len(members))) % n_folds
        done += len(members)
    return fold
