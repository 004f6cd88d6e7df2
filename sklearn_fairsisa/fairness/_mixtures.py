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

from ._programs import cheapest_weights
from ._rates import sum_by, unit_gains


def solve_mixtures(block, group, gain, adds, totals, problem, *, least_excess=False):
    r"""Best weights of options within blocks.

    Parameters
    ----------
    block, group : ndarray of int of shape (n_options,)
        Block and group of each option; every block has an option.
    gain : ndarray of shape (n_options,)
        What an option of weight 1 gains.
    adds : callable
        Takes a rate and an array of shape (n_options,), what a person of the option's
        group adds to the rate, and returns what an option of weight 1 adds to it.
    totals : ndarray of shape (n_groups, n_classes)
        Weight of each class of each group.
    problem : Problem
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
    price = np.repeat(
        unit_gains(totals.sum(axis=0), problem.objective)[None], len(totals), axis=0
    )
    if least_excess:
        price *= 0.0
    bounds, bounded = problem.bounded(totals), []
    for rate, part, people, limits in bounds:
        # Most options add nothing to most rates.
        value = adds(rate, share_of(people)[part[group]])
        (option,) = np.nonzero(value)
        rates = sparse.csr_array(
            (value[option], (part[group[option]], option)), (len(people), len(block))
        )
        bounded.append(defined(rates, limits, people))
    weight, multipliers, excess = cheapest_weights(
        block, -gain, bounded, least_excess=least_excess
    )
    charge_rates(price, bounds, multipliers)
    # Rounding errors must not randomise certain decisions.
    weight = np.where(weight < 1e-9, 0.0, weight)
    return weight / np.bincount(block, weights=weight)[block], price, excess


def charge_rates(price, bounds, multipliers):
    """Add to prices, in place, what decisions cost the limits of rates.

    Parameters
    ----------
    price : ndarray of shape (n_groups, n_classes, n_classes)
    bounds : list
        As `Problem.bounded` gives it.
    multipliers : list of ndarray
        What a unit of each rate costs, of the parts that have people.
    """
    for (rate, part, people, _), charge in zip(bounds, multipliers):
        of_part = np.zeros(len(people))
        of_part[people > 0] = charge
        price[:, rate.pairs] += (of_part * share_of(people))[part, None]


def share_of(people):
    """What a unit of weight is of the people of each part, 0 where there are none."""
    return np.divide(1, people, out=np.zeros_like(people), where=people > 0)


def defined(rates, limits, people):
    """Rates and limits of the parts that have people, whose rates are defined."""
    some = people > 0
    if some.all():
        return rates, limits
    return rates[some], [
        (c, *(np.broadcast_to(end, len(people))[some] for end in ends))
        for c, *ends in limits
    ]


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
    # Option k of a level decides k on all its people.
    probability, _, _ = solve_mixtures(
        np.repeat(np.arange(len(levels)), n_classes),
        np.repeat(levels[:, 0].astype(np.int64), n_classes),
        (weight @ unit_gains(totals.sum(axis=0), problem.objective)).ravel(),
        lambda rate, unit: unit * (weight @ rate.pairs).ravel(),
        totals,
        problem,
    )
    return probability.reshape(-1, n_classes)[level]
