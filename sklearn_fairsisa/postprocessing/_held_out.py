"""Rates that a fair rule will have on people whom it has not seen."""

from dataclasses import replace

import numpy as np

from ..fairness._confidence import estimate_rates, spread_quantile
from ..fairness._solve import CONSTRAINTS, linear_gain
from ._methods import FairRule, expected_rates

# Ten folds leave nine tenths of the rows, so that the rules are nearly the fitted one.
_N_FOLDS = 10
# The search for the greatest tolerance that will do ends after so many steps, or when
# the bound is so close to what is demanded.
_N_STEPS = 6
_CLOSE = 0.98
_NAMES = {
    "fpr": "false_positive_rate",
    "tpr": "true_positive_rate",
    "share": "selection_rate",
}


def cross_fitted(rows, n_groups, method, demand):
    """Probability of selection of each row by a rule that has not seen it.

    Parameters
    ----------
    rows : CalibrationRows
    n_groups : int
    method : str
    demand : Demand

    Returns
    -------
    ndarray of shape (n_rows,)
    """
    fold = _folds(2 * rows.group + rows.label)
    probability = np.empty(len(rows))
    for k in np.unique(fold):
        inside = fold == k
        others, part = rows.take(~inside), rows.take(inside)
        rule = FairRule.fit(others, n_groups, method, demand, wants_blind=False)
        probability[inside] = rule.selection_probability(
            part.scores, part.group, part.counted
        )
    return probability


def held_out_rates(rule, rows, probability, constraint):
    """Estimate the constrained rates of the groups that a rule constrains.

    Parameters
    ----------
    rule : FairRule
    rows : CalibrationRows
    probability : ndarray of shape (n_rows,)
        Cross-fitted.
    constraint : str

    Returns
    -------
    dict of str to GroupRates
    """
    code = rule.code[rows.group]
    people = {"fpr": ~rows.label, "tpr": rows.label, "share": code >= 0}
    rates = {}
    for rate in CONSTRAINTS[constraint]:
        chosen = people[rate] & (code >= 0)
        rates[_NAMES[rate]] = estimate_rates(
            code[chosen],
            probability[chosen],
            None if rows.weight is None else rows.weight[chosen],
            int((rule.code >= 0).sum()),
        )
    return rates


def calibrated_rates(rule, constraint):
    """Constrained rates of every group in calibration, a dict of arrays."""
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (
            np.nan_to_num(rule.fpr) * rule.negatives
            + np.nan_to_num(rule.tpr) * rule.positives
        ) / (rule.negatives + rule.positives)
    rates = {"fpr": rule.fpr, "tpr": rule.tpr, "share": share}
    return {_NAMES[rate]: rates[rate] for rate in CONSTRAINTS[constraint]}


def value_of(rule, rows, probability, objective):
    """Value of an objective if rows are selected with the given probabilities."""
    fpr, tpr = expected_rates(rows, probability, len(rule.code))
    gain = linear_gain(rule.negatives, rule.positives, objective)
    return gain.value(np.nan_to_num(fpr), np.nan_to_num(tpr))


def gap_bound(rule, rows, method, demand, confidence):
    """Upper confidence bound of the true gap of a rule, over all constrained rates."""
    if rule.is_constant or (rule.code >= 0).sum() < 2:
        return 0.0
    probability = cross_fitted(rows, len(rule.code), method, demand)
    rates = held_out_rates(rule, rows, probability, demand.constraint)
    return spread_quantile(confidence, [(r.rate, r.error) for r in rates.values()])


def tightened(rows, n_groups, method, demand, confidence, *, wants_blind):
    """Find the greatest tolerance whose rule keeps the true gap within the demand's.

    Parameters
    ----------
    rows : CalibrationRows
    n_groups : int
    method : str
    demand : Demand
        Its `tol` is to hold for the true gap.
    confidence : float
        Probability in (0, 1).
    wants_blind : bool
        See `FairRule.fit`.

    Returns
    -------
    rule : FairRule
        Solved at the greatest tolerance found whose bound is within ``demand.tol``,
        or at 0 if none is.
    tol : float
        The tolerance that `rule` keeps in calibration.
    bound : float
        Upper confidence bound of its true gap.
    """

    def solve(tol):
        inner = replace(demand, tol=tol)
        rule = FairRule.fit(rows, n_groups, method, inner, wants_blind=wants_blind)
        return rule, tol, gap_bound(rule, rows, method, inner, confidence)

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


def _folds(stratum):
    """Fold of each row, the same for the same rows in the same order."""
    fold = np.empty(len(stratum), dtype=np.int64)
    # A fixed generator, so that the folds depend on nothing but the rows kept.
    rng = np.random.default_rng(0)
    done = 0
    for value in np.unique(stratum):
        members = np.flatnonzero(stratum == value)
        # Strata follow on, or the first folds would get all odd rows.
        fold[rng.permutation(members)] = (done + np.arange(len(members))) % _N_FOLDS
        done += len(members)
    return fold
