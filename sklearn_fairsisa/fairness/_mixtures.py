r"""Rules whose confusion rates agree between groups, by linear programming.

Notes
-----
With K classes a rule of group a has a confusion matrix :math:`M_a`, whose entry (j, k)
is the weight of the people of class j decided k. Each rate that may be constrained is
linear in it, with constants that depend on the group's labels only; so are accuracy,
mean recall and expected cost. A rule mixes options within blocks: the K decisions of a
cell, or the deterministic rules of a group. Its confusion matrices are linear in the
weights of the options, so the best rule is the solution of a linear program.

At most (number of blocks) + (number of independent equalities) weights of a vertex
solution are positive. For equalized odds at a bound of 0 these are (G - 1) K (K - 1),
and that many blocks at most are randomised.
"""

import numpy as np
from scipy import sparse

from ._problem import InfeasibleError
from ._programs import LimitedRates, cheapest_weights
from ._rates import sum_by, unit_gains

# Most numbers that are computed at once of what options add to rates.
_MOST_VALUES = 2**20
# First and last slack of a search for rules of many classes, and most steps between.
_SLACKS, _MOST_STEPS = (0.1, 0.001), 50


def solve_mixtures(block, group, gain, adds, bounds, unit_gain, *, least_excess=False):
    r"""Best weights of options within blocks.

    Parameters
    ----------
    block, group : ndarray of int of shape (n_options,)
        Block and group of each option; every block and every group has one.
    gain : ndarray of shape (n_options,)
        What an option of weight 1 gains.
    adds : callable
        Takes `BoundedRates` and an array of shape (n_rates, n_options), what a person
        of the option's group adds to each rate, and returns what an option of weight 1
        adds to them.
    bounds : list of BoundedRates
    unit_gain : ndarray of shape (n_classes, n_classes)
        What a unit of people of each class (row) gains by each decision.
    least_excess : bool, default=False
        Whether to exceed the constraints by as little as possible, at any loss.

    Returns
    -------
    weight : ndarray of shape (n_options,)
        Non-negative; sums to 1 in each block.
    price : ndarray of shape (n_groups, n_classes, n_classes)
        Gain of a unit weight of class j decided k in group a, less what it costs the
        constraints. By duality an option outside the program would improve on it only
        if it were worth more at these prices than its block is.
    excess : float
        By how much constraints are exceeded.

    Raises
    ------
    InfeasibleError
        If no weights keep the constraints.
    """
    gains = np.repeat(unit_gain[None], group.max() + 1, axis=0) * (not least_excess)
    limited = [_limited(bound, group, adds) for bound in bounds]
    weight, multipliers, excess = cheapest_weights(
        block, -gain, limited, least_excess=least_excess
    )
    price = charged(gains, bounds, multipliers)
    # Rounding errors must not randomise certain decisions.
    weight = np.where(weight < 1e-9, 0.0, weight)
    return weight / np.bincount(block, weights=weight)[block], price, excess


def generate(mix, extend, problem, totals, *, most_rounds, patience, least_gain):
    """Mix candidates, and generate more of them until no mixture is worth more.

    Parameters
    ----------
    mix : callable
        Takes a list of BoundedRates, and returns the value of the best mixture of the
        candidates within them, and this mixture; with ``least_excess=True``, of the
        one that exceeds them least.
    extend : callable
        Takes a mixture, adds candidates that its prices ask for, and returns whether
        any is new.
    problem : Problem
    totals : ndarray of shape (n_groups, n_classes)
        Weight of each class of each group.
    most_rounds : int
        Of those at the problem's own bounds.
    patience : int
        Rounds without gain after which the search ends. With many classes, many
        candidates are needed before any mixture is worth more than the first one: until
        then the search goes on.
    least_gain : float

    Returns
    -------
    object
        The last mixture.

    Raises
    ------
    InfeasibleError
        If no mixture keeps within the bounds.

    Notes
    -----
    With more than two classes, the bounds are loose at first and tighten round by
    round. Where K (K - 1) rates are to be equal, few candidates can only be mixed to
    constant decisions, whose prices point at no good candidate. Within loose bounds
    they do, and the candidates that are found there are those that equal rates need.
    """
    for bounds in _tightening(problem, totals):
        try:
            _, mixture = mix(bounds)
        except InfeasibleError:
            _, mixture = mix(bounds, least_excess=True)
        extend(mixture)
    bounds = problem.bounded(totals)
    best, n_rounds_without_gain, feasible, has_gained = -np.inf, 0, False, False
    for _ in range(most_rounds):
        try:
            value, mixture = mix(bounds)
            if not feasible:
                best, feasible, has_gained = -np.inf, True, False
        except InfeasibleError:
            # Candidates that bring the rates within bounds come first.
            value, mixture = mix(bounds, least_excess=True)
        n_rounds_without_gain += 1
        if value > best + least_gain:
            best, n_rounds_without_gain, has_gained = value, 0, np.isfinite(best)
        goes_on = n_rounds_without_gain < patience or not has_gained
        if not (extend(mixture) and goes_on):
            break
    if not feasible:
        raise InfeasibleError("No mixture of rules keeps all constraints.")
    return mixture


def _tightening(problem, totals):
    """Bounds looser than a problem's, ever less, as many as there are bounded rates."""
    if totals.shape[1] == 2:
        return
    n_rates = sum(len(bound.rates) for bound in problem.bounded(totals))
    for slack in np.geomspace(*_SLACKS, min(n_rates, _MOST_STEPS)):
        yield problem.within(problem.slack + slack).bounded(totals)


def _limited(bound, group, adds):
    """What options of given groups add to bounded rates; see `solve_mixtures`."""
    row, column, value, n_before = [], [], [], 0
    n_parts, part = bound.people.shape[1], bound.part[group]
    for rates in bound.blocks(max(1, _MOST_VALUES // len(group))):
        added = adds(rates, rates.shares[:, part])
        # Most options add nothing to most rates.
        rate, option = np.nonzero(added)
        row.append((n_before + rate) * n_parts + part[option])
        column.append(option)
        value.append(added[rate, option])
        n_before += len(added)
    value, row, column = map(np.concatenate, (value, row, column))
    shape = bound.people.size, len(group)
    added = sparse.coo_array((value, (row, column)), shape)
    return LimitedRates(added, bound.people > 0, bound.limits)


def charged(gains, bounds, multipliers):
    """Return what decisions are worth once they pay for the limits of rates.

    Parameters
    ----------
    gains : ndarray of shape (n_groups, n_classes, n_classes)
        What people of each class (row) gain by each decision.
    bounds : list of BoundedRates
    multipliers : list of ndarray of shape (n_rates, n_parts)
        What a unit of each rate costs.

    Returns
    -------
    ndarray of shape (n_groups, n_classes, n_classes)
    """
    by_pair = gains.reshape(len(gains), -1).T.copy()
    for bound, charge in zip(bounds, multipliers):
        of_group = (charge * bound.shares)[:, bound.part]
        counts = np.diff(bound.pairs.indptr)
        # One by one, as several rates may count the same decision.
        np.add.at(by_pair, bound.pairs.indices, np.repeat(of_group, counts, axis=0))
    return by_pair.T.reshape(gains.shape)


def solve_cells(counts, problem):
    """Probability of each decision in each cell.

    Parameters
    ----------
    counts : CellCounts
    problem : Problem

    Returns
    -------
    ndarray of shape (n_entries, n_classes)

    Notes
    -----
    Cells of a group whose labels are distributed alike are one to the program, so
    people of equal evidence are treated equally. Distinguishing them gains nothing.
    """
    n_classes = counts.weight.shape[1]
    mass = counts.weight.sum(axis=1, keepdims=True)
    evidence = np.column_stack([counts.group, counts.weight / mass])
    levels, level = np.unique(evidence, axis=0, return_inverse=True)
    level = level.ravel()
    weight, totals = sum_by(level, counts.weight, len(levels)), counts.totals
    unit_gain = unit_gains(totals.sum(axis=0), problem.objective)

    def adds(rates, share):
        hits = [(weight @ rate.pairs).ravel() for rate in rates.rates]
        return share * np.stack(hits)

    # Option k of a level decides k on all its people.
    probability, _, _ = solve_mixtures(
        np.repeat(np.arange(len(levels)), n_classes),
        np.repeat(levels[:, 0].astype(np.int64), n_classes),
        (weight @ unit_gain).ravel(),
        adds,
        problem.bounded(totals),
        unit_gain,
    )
    return probability.reshape(-1, n_classes)[level]
