"""Linear programs solved by HiGHS to rounding error."""

import numpy as np
from scipy import sparse
from scipy.optimize import linprog

from ._problem import InfeasibleError

# The least that HiGHS takes.
_TOLERANCE = 1e-10


def solve_program(cost, *, A_ub=None, b_ub=None, A_eq=None, b_eq=None):
    """Minimise a linear cost of unknowns in [0, 1].

    Parameters
    ----------
    cost : ndarray of shape (n_unknowns,)
    A_ub, b_ub, A_eq, b_eq : arrays, default=None
        Constraints, as for :func:`scipy.optimize.linprog`.

    Returns
    -------
    scipy.optimize.OptimizeResult

    Raises
    ------
    InfeasibleError
        If nothing keeps the constraints.
    RuntimeError
        If HiGHS finds no optimum for another reason.
    """
    result = linprog(
        cost,
        A_ub=A_ub,
        b_ub=b_ub,
        A_eq=A_eq,
        b_eq=b_eq,
        bounds=(0, 1),
        method="highs",
        options={
            "primal_feasibility_tolerance": _TOLERANCE,
            "dual_feasibility_tolerance": _TOLERANCE,
        },
    )
    if result.status == 2:
        raise InfeasibleError("No rule keeps all constraints.")
    if not result.success:  # pragma: no cover - a bounded program has an optimum
        raise RuntimeError(f"HiGHS found no fair rule: {result.message}")
    return result


def cheapest_weights(block, cost, bounded, *, least_excess=False):
    r"""Weights of options within blocks that cost least while rates keep limits.

    Parameters
    ----------
    block : ndarray of int of shape (n_options,)
        Every block has an option.
    cost : ndarray of shape (n_options,)
    bounded : list of (rates, limits)
        Sparse arrays of shape (n_parts, n_options), what an option of weight 1 adds to
        a rate of each part, and the limits of the rate, which are lists of
        (coefficient, low, high); see `Constraint`.
    least_excess : bool, default=False
        Whether to exceed the limits by as little as possible, at any cost.

    Returns
    -------
    weight : ndarray of shape (n_options,)
        They sum to 1 in each block, up to rounding.
    multipliers : list of ndarray of shape (n_parts,)
        What a unit of each rate costs the limits.
    excess : float
        By how much limits are exceeded.

    Raises
    ------
    InfeasibleError
        If limits cannot be kept.

    Notes
    -----
    Unknowns are the weights w, for each rate the m of its limits, and the excess.
    """
    n_options, n_blocks = len(block), int(block.max()) + 1
    n_unknowns = n_options + len(bounded) + least_excess
    blocks = sparse.csr_array(
        (np.ones(n_options), (block, np.arange(n_options))), (n_blocks, n_unknowns)
    )
    # Rows of each kind, their bounds, and the rate and sign of their prices.
    equal, below = [(blocks, np.ones(n_blocks), 0, 0)], []
    for k, (rates, limits) in enumerate(bounded):
        n_parts = rates.shape[0]
        for coefficient, low, high in limits:
            low, high = np.broadcast_to(low, n_parts), np.broadcast_to(high, n_parts)
            rows = _with_column(rates, n_unknowns, n_options + k, -coefficient)
            if (low == high).all() and not least_excess:
                equal.append((rows, high, k, 1))
                continue
            for sign, bound in ((1, high), (-1, -low)):
                if not np.isfinite(bound).any():
                    continue
                signed = sign * rows
                if least_excess:
                    signed = _with_column(signed, n_unknowns, n_unknowns - 1, -1.0)
                below.append((signed, bound, k, sign))
    unknown_cost = np.zeros(n_unknowns)
    unknown_cost[-1 if least_excess else slice(n_options)] = 1 if least_excess else cost
    A_eq, b_eq = _stacked(equal)
    A_ub, b_ub = _stacked(below)
    result = solve_program(unknown_cost, A_ub=A_ub, b_ub=b_ub, A_eq=A_eq, b_eq=b_eq)
    prices = np.concatenate(
        [result.eqlin.marginals[n_blocks:], result.ineqlin.marginals]
    )
    multipliers, start = [np.zeros(rates.shape[0]) for rates, _ in bounded], 0
    for rows, _, k, sign in equal[1:] + below:
        stop = start + rows.shape[0]
        multipliers[k] += sign * prices[start:stop]
        start = stop
    excess = float(result.x[-1]) if least_excess else 0.0
    return result.x[:n_options], multipliers, excess


def _with_column(rows, n_unknowns, place, value):
    """Rows for so many unknowns, one of which has the same factor in each."""
    rows = sparse.coo_array(rows)
    new = np.arange(rows.shape[0])
    return sparse.csr_array(
        (
            np.append(rows.data, np.full(len(new), value)),
            (np.append(rows.row, new), np.append(rows.col, np.full(len(new), place))),
        ),
        (rows.shape[0], n_unknowns),
    )


def _stacked(parts):
    if not parts:
        return None, None
    rows, bounds, _, _ = zip(*parts)
    return sparse.vstack(rows, format="csr"), np.concatenate(bounds)
