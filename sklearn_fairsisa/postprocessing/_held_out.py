r"""Rates of a fair rule on new people.

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

from dataclasses import replace

import numpy as np

from ..fairness._coins import class_probabilities
from ..fairness._confidence import estimate_rates, spread_quantile
from ._methods import METHODS
from ._rule import learn_rule

# Ten folds leave nine tenths of the rows, so that the rules are nearly the fitted one.
_N_FOLDS = 10
# Halvings that show how uncertain the rates of an unstable method are.
_N_HALVINGS = 5
# The search for the greatest tolerance that will do ends after so many steps, or when
# the bound is so close to what is demanded.
_N_STEPS = 6
_CLOSE = 0.98


def constrained_rates(problem):
    """Rates that the constraint bounds, by name."""
    rates = problem.constraint.rates(len(problem.classes))
    return {rate.name(problem.classes): rate for rate in rates}


def calibrated_rates(rule):
    """Constrained rates in calibration of each group that a rule constrains."""
    confusion = rule.confusion[rule.code >= 0]
    rates = constrained_rates(rule.problem)
    return {name: rate.of(confusion) for name, rate in rates.items()}


def estimated_rates(problem, code, rows, probability, **options):
    """Constrained rates of each group that is constrained, with their errors.

    Parameters
    ----------
    problem : Problem
    code : ndarray of int of shape (n_groups,)
        What each group is called in the result, -1 for those left out.
    rows : CalibrationRows
    probability : ndarray of shape (n_rows,) or (n_rows, n_classes)
        Of rules that have not seen the rows.
    **options
        For `estimate_rates`.

    Returns
    -------
    dict of str to GroupRates
    """
    place, label = code[rows.group], rows.label.astype(np.intp)
    probability = class_probabilities(probability)
    found = {}
    for name, rate in constrained_rates(problem).items():
        chosen = rate.counted[label] & (place >= 0)
        hits = probability[chosen] * rate.pairs[label[chosen]]
        found[name] = estimate_rates(
            place[chosen],
            hits.sum(axis=1),
            None if rows.weight is None else rows.weight[chosen],
            int((code >= 0).sum()),
            **options,
        )
    return found


def cross_fitting(rows, problem):
    """Learn on all rows but those of a fold, fold by fold.

    Parameters
    ----------
    rows : CalibrationRows
    problem : Problem

    Returns
    -------
    callable
        Takes a tolerance and returns the probability of selection of each row by a
        rule that has not seen it, of shape (n_rows,) or (n_rows, n_classes).
    """
    problem = replace(problem, accepts_unknown=False)
    fold = _folds(_strata(rows), _N_FOLDS)
    parts = []
    for k in np.unique(fold):
        inside = fold == k
        solve = learn_rule(rows.take(~inside), problem)
        parts.append((inside, rows.take(inside), solve))

    def decide(tol):
        probability = None
        for inside, part, solve in parts:
            decided = solve(tol).selection_probability(
                part.scores, part.group, part.counted
            )
            if probability is None:
                probability = np.empty((len(rows), *decided.shape[1:]))
            probability[inside] = decided
        return probability

    return decide


def held_out_rates(rule, rows, probability, factor):
    """Constrained rates of a rule on new people.

    Parameters
    ----------
    rule : FairRule
    rows : CalibrationRows
    probability : ndarray of shape (n_rows,) or (n_rows, n_classes)
        Cross-fitted.
    factor : float
        The `dispersion`.

    Returns
    -------
    dict of str to GroupRates
    """
    found = estimated_rates(rule.problem, rule.code, rows, probability)
    return {name: replace(r, error=factor * r.error) for name, r in found.items()}


def dispersion(rows, problem):
    """How many times the errors of rates exceed those of independent people, >= 1.

    Whatever the tolerance, it is that of the rules which make the rates equal: cells
    that are too many for the rows are the cause.
    """
    if not METHODS[problem.method].is_unstable:
        return 1.0
    problem = replace(problem, accepts_unknown=False)
    squares = stated = noise = 0.0
    for seed in range(_N_HALVINGS):
        half = _folds(_strata(rows), 2, seed)
        for inside in (half == 0, half == 1):
            ours, theirs = rows.take(inside), rows.take(~inside)
            refit = learn_rule(ours, problem)(0.0)
            # Groups of which the half lacks a label are not constrained.
            if (refit.code >= 0).sum() < 2:
                continue
            decided = cross_fitting(ours, problem)(0.0)
            there = refit.selection_probability(
                theirs.scores, theirs.group, theirs.counted
            )
            here, other = (
                estimated_rates(problem, refit.code, part, probability, added=0)
                for part, probability in ((ours, decided), (theirs, there))
            )
            for ones, others in zip(here.values(), other.values()):
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


def tightened(rows, problem):
    """Find the greatest tolerance whose rule keeps the true gap within the problem's.

    Parameters
    ----------
    rows : CalibrationRows
    problem : Problem
        Its bound is to hold for the true gap, at its confidence.

    Returns
    -------
    rule : FairRule
        Solved at the greatest tolerance found whose bound is within that of the
        problem, or at 0 if none is.
    bound : float
        Upper confidence bound of its true gap.
    """
    weighed, wanted = rows.weighed, problem.tol
    factor = dispersion(weighed, problem)
    learnt = learn_rule(rows, problem)
    cross = cross_fitting(weighed, problem)

    def solve(tol):
        rule = learnt(tol)
        if rule.is_constant or (rule.code >= 0).sum() < 2:
            return rule, 0.0
        found = held_out_rates(rule, weighed, cross(tol), factor)
        uncertain = [(rate.rate, rate.error) for rate in found.values()]
        return rule, spread_quantile(problem.confidence, uncertain)

    loosest = solve(wanted)
    if loosest[1] <= wanted:
        return loosest
    strictest = solve(0.0)
    if strictest[1] > wanted:
        return strictest
    low, high = strictest, loosest
    for _ in range(_N_STEPS):
        # The bound grows with the tolerance, in a line almost.
        part = (wanted - low[1]) / (high[1] - low[1])
        part = min(max(part, 0.1), 0.9)
        least, most = (rule.problem.tol for rule, _ in (low, high))
        found = solve(least + part * (most - least))
        if found[1] > wanted:
            high = found
        else:
            low = found
            if found[1] > _CLOSE * wanted:
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
