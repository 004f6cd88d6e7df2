"""Linear programs solved by HiGHS to rounding error."""

import numpy as np
from scipy import sparse
from scipy.optimize import linprog

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
    RuntimeError
        If HiGHS finds no optimum.
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
    if not result.success:  # pragma: no cover - a constant rule is always feasible
        raise RuntimeError(f"HiGHS found no fair rule: {result.message}")
    return result


def cheapest_weights(block, cost, rates, n_rates, limits):
    r"""Weights of options within blocks that cost least while rates keep limits.

    Parameters
    ----------
    block : ndarray of int of shape (n_options,)
        Every block has an option.
    cost : ndarray of shape (n_options,)
    rates : sparse array of shape (n_rates * n_groups, n_options), or None
        What an option of weight 1 adds to each rate of each group. None leaves the
        rates free.
    n_rates : int
    limits : list of (coefficient, low, high)
        See `Difference`.

    Returns
    -------
    weight : ndarray of shape (n_options,)
        They sum to 1 in each block, up to rounding.
    multiplier : ndarray of shape (n_rates, n_groups)
        What a unit of each rate costs the limits.

    Notes
    -----
    Unknowns are the weights w and, for each rate, the m of its limits.
    """
    n_options, n_blocks = len(block), int(block.max()) + 1
    option = np.arange(n_options)
    blocks = sparse.csr_array(
        (np.ones(n_options), (block, option)), (n_blocks, n_options)
    )
    if rates is None:
        result = solve_program(cost, A_eq=blocks, b_eq=np.ones(n_blocks))
        return result.x, np.empty((0, 0))
    n_groups = rates.shape[0] // n_rates
    of_rate = sparse.kron(
        sparse.eye_array(n_rates), np.ones((n_groups, 1)), format="csr"
    )
    # Rows of each kind, their bounds, and the sign with which their prices count.
    equal = [(sparse.hstack([blocks, sparse.csr_array((n_blocks, n_rates))]), 1.0, 0)]
    below = []
    for coefficient, low, high in limits:
        rows = sparse.hstack([rates, -coefficient * of_rate])
        if low == high:
            equal.append((rows, high, 1))
            continue
        below += [(rows, high, 1)] if high < np.inf else []
        below += [(-rows, -low, -1)] if low > -np.inf else []
    A_eq, b_eq = _stacked(equal)
    A_ub, b_ub = _stacked(below)
    result = solve_program(
        np.concatenate([cost, np.zeros(n_rates)]),
        A_ub=A_ub,
        b_ub=b_ub,
        A_eq=A_eq,
        b_eq=b_eq,
    )
    prices = np.concatenate(
        [result.eqlin.marginals[n_blocks:], result.ineqlin.marginals]
    )
    signs = [sign for _, _, sign in equal[1:] + below]
    multiplier = sum(
        sign * part for sign, part in zip(signs, np.split(prices, len(signs)))
    )
    return result.x[:n_options], multiplier.reshape(n_rates, n_groups)


def _stacked(parts):
    if not parts:
        return None, None
    bounds = [np.full(rows.shape[0], bound) for rows, bound, _ in parts]
    return sparse.vstack([rows for rows, _, _ in parts], format="csr"), (
        np.concatenate(bounds)
    )
