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

from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any

import numpy as np

from ..fairness._coins import class_probabilities
from ..fairness._confidence import estimate_rates, quantile
from ._calibration import CalibrationRows
from ._methods import METHODS
from ._rule import constrainable, learn_rule

# Ten folds leave nine tenths of the rows, so that the rules are nearly the fitted one.
_N_FOLDS = 10
# Halvings that show how uncertain the rates of an unstable method are.
_N_HALVINGS = 5
# The search for the greatest tolerance that will do ends after so many steps, or when
# the bound is so close to what is demanded.
_N_STEPS = 6
_CLOSE = 0.98


def compared(problem, code):
    """Groups that each constraint compares, of those that a rule constrains.

    Parameters
    ----------
    problem : Problem
    code : ndarray of int of shape (n_groups,)
        -1 for groups left out.

    Returns
    -------
    list of (constraint, names, part)
        `part` is the position in `names` of each group's, -1 for those left out.
    """
    kept = replace(problem, groups=problem.groups[code >= 0])
    found = []
    for constraint in problem.constraints:
        names, part = kept.parts(constraint, len(kept.groups))
        found.append((constraint, names, np.append(part, -1)[code]))
    return found


def calibrated_rates(rule, confusion):
    """Constrained rates of what is decided in calibration, by constraint and name."""
    kept = rule.code >= 0
    problem = replace(rule.problem, groups=rule.problem.groups[kept])
    return [
        {
            rate.name(problem.classes): values
            for rate, values in zip(
                constraint.rates(len(problem.classes)),
                problem.values(constraint, confusion[kept]).T,
            )
        }
        for constraint in problem.constraints
    ]


def estimated_rates(problem, code, rows, probability, **options):
    """Constrained rates of the groups that are compared, with their errors.

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
    list of dict of str to GroupRates
        By constraint, then by the rate's name.
    """
    label = rows.label.astype(np.intp)
    probability = class_probabilities(probability)
    found = []
    for constraint, names, part in compared(problem, code):
        place, of_constraint = part[rows.group], {}
        for rate in constraint.rates(len(problem.classes)):
            chosen = rate.counted[label] & (place >= 0)
            hits = probability[chosen] * rate.pairs[label[chosen]]
            of_constraint[rate.name(problem.classes)] = estimate_rates(
                place[chosen],
                hits.sum(axis=1),
                None if rows.weight is None else rows.weight[chosen],
                len(names),
                **options,
            )
        found.append(of_constraint)
    return found


def excess_quantile(level, constraints, names, rates, least):
    """Slack of constraints at which true rates keep them all at a probability.

    Parameters
    ----------
    level : float
    constraints : sequence of Constraint
    names : sequence of list
        Groups that each of them compares.
    rates : sequence of dict of str to GroupRates
    least : float
        Least slack that makes a difference.

    Returns
    -------
    float
        At most 1.
    """
    uncertain = [[(r.rate, r.error) for r in each.values()] for each in rates]

    def kept(slack):
        chances = [
            constraint.loosened(slack).chance(of_constraint, groups)
            for constraint, groups, of_constraint in zip(constraints, names, uncertain)
        ]
        return float(np.prod(chances))

    return quantile(level, kept, least, 1.0)


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
    folds = list(_learnt_without_folds(rows, problem))
    return lambda tol: _cross_fitted(folds, len(rows), tol)


def cross_fitted(rows, problem, tol):
    """Probability of selection by rules that have not seen a row, at one tolerance.

    What `cross_fitting` returns does it for several tolerances, and takes more memory.
    """
    folds = _learnt_without_folds(rows, problem)
    return _cross_fitted(folds, len(rows), tol)


def _learnt_without_folds(rows, problem):
    """Yield where the rows of a fold are, these rows, and what was learnt without them.

    Folds are searched one by one, unless the method searches all of them together.
    """
    problem = replace(problem, accepts_unknown=False)
    _, fold = np.unique(_folds(_strata(rows), _N_FOLDS), return_inverse=True)
    for k, learn in enumerate(_learners(rows, problem, fold)):
        inside = fold == k
        # Nothing here holds on to a fold while the next one is learnt.
        yield (
            inside,
            _SeenRows(rows.take(inside), {}),
            learn_rule(rows.lent(~inside), problem, learn),
        )


def _learners(rows, problem, fold):
    """Return, for each fold, what `learn_rule` is to learn by without it."""
    learn_without, n_folds = METHODS[problem.method].learn_without, fold.max() + 1
    if not learn_without or rows.n_classes > 2 or not problem.sensitive_at_predict:
        return repeat(None, n_folds)
    kept = [constrainable(rows.lent(fold != k), problem) for k in range(n_folds)]
    return learn_without(rows.of_known_groups, fold, np.array(kept))


@dataclass(frozen=True)
class _SeenRows:
    """Rows, and what rules of other tolerances decided by."""

    rows: CalibrationRows
    remembered: dict[Any, Any]

    def decided(self, rule):
        """Probability of selection."""
        rows = self.rows
        return rule.selection_probability(
            rows.scores, rows.group, rows.counted, self.remembered
        )


def _cross_fitted(folds, n_rows, tol):
    probability = None
    for inside, seen, solve in folds:
        decided = seen.decided(solve(tol))
        if probability is None:
            probability = np.empty((n_rows, *decided.shape[1:]))
        probability[inside] = decided
        del seen, solve
    return probability


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
    list of dict of str to GroupRates
        By constraint, then by the rate's name.
    """
    found = estimated_rates(rule.problem, rule.code, rows, probability)
    return [
        {name: replace(r, error=factor * r.error) for name, r in each.items()}
        for each in found
    ]


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
            decided = cross_fitted(ours, problem, 0.0)
            there = refit.selection_probability(
                theirs.scores, theirs.group, theirs.counted
            )
            here, other = (
                estimated_rates(problem, refit.code, part, probability, added=0)
                for part, probability in ((ours, decided), (theirs, there))
            )
            for ones, others in zip(*map(_rates_of_all, (here, other))):
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


def _rates_of_all(found):
    return [rates for each in found for rates in each.values()]


def tightened(rows, problem):
    """Find the greatest slack whose rule keeps the true rates within the problem's.

    Parameters
    ----------
    rows : CalibrationRows
    problem : Problem
        Its constraints are to hold for the true rates, at its confidence.

    Returns
    -------
    rule : FairRule
        Solved at the greatest slack found whose bound is within that of the problem, or
        at the least that makes a difference if none is.
    bound : float
        Upper confidence bound of the slack that its true rates need, which is the true
        gap where differences are not to exceed a tolerance.
    """
    weighed, wanted = rows.weighed, problem.slack
    factor = dispersion(weighed, problem)
    learnt = learn_rule(rows, problem)
    cross = cross_fitting(weighed, problem)

    def solve(tol):
        rule = learnt(tol)
        if rule.fair is None:
            return rule, 0.0
        if rule.is_constant:
            return rule, rule.excess
        found = held_out_rates(rule, weighed, cross(tol), factor)
        constraints, names, _ = zip(*compared(problem, rule.code))
        return rule, excess_quantile(
            problem.confidence, constraints, names, found, problem.strictest
        )

    loosest = solve(wanted)
    if loosest[1] <= wanted:
        return loosest
    strictest = solve(problem.strictest)
    if not problem.name and strictest[0].is_constant and not loosest[0].is_constant:
        # The bounds of rates can always be kept by deciding alike for everyone.
        return loosest
    if strictest[1] > wanted:
        return strictest
    low, high = strictest, loosest
    for _ in range(_N_STEPS):
        # The bound grows with the tolerance, in a line almost.
        part = (wanted - low[1]) / (high[1] - low[1])
        part = min(max(part, 0.1), 0.9)
        least, most = (rule.problem.slack for rule, _ in (low, high))
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
