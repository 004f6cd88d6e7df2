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
    equal, below = _Rows(), _Rows()
    equal.add(block, np.arange(n_options), np.ones(n_options), np.ones(n_blocks))
    # The rate and the sign of the prices that programs of both kinds give.
    equal_prices, below_prices = [], []
    for k, (rates, limits) in enumerate(bounded):
        n_parts = rates.shape[0]
        new = np.arange(n_parts)
        rates = rates.tocsr()
        row = np.concatenate([np.repeat(new, np.diff(rates.indptr)), new])
        column = np.concatenate([rates.indices, np.full(n_parts, n_options + k)])
        for coefficient, low, high in limits:
            low, high = np.broadcast_to(low, n_parts), np.broadcast_to(high, n_parts)
            value = np.concatenate([rates.data, np.full(n_parts, -coefficient)])
            if (low == high).all() and not least_excess:
                equal.add(row, column, value, high)
                equal_prices.append((k, 1))
                continue
            for sign, bound in ((1, high), (-1, -low)):
                if not np.isfinite(bound).any():
                    continue
                below.add(row, column, sign * value, bound)
                if least_excess:
                    below.add_column(n_unknowns - 1, -1.0, n_parts)
                below_prices.append((k, sign))
    unknown_cost = np.zeros(n_unknowns)
    unknown_cost[-1 if least_excess else slice(n_options)] = 1 if least_excess else cost
    A_eq, b_eq = equal.program(n_unknowns)
    A_ub, b_ub = below.program(n_unknowns)
    result = solve_program(unknown_cost, A_ub=A_ub, b_ub=b_ub, A_eq=A_eq, b_eq=b_eq)
    prices = np.concatenate(
        [result.eqlin.marginals[n_blocks:], result.ineqlin.marginals]
    )
    multipliers, start = [np.zeros(rates.shape[0]) for rates, _ in bounded], 0
    for k, sign in equal_prices + below_prices:
        stop = start + len(multipliers[k])
        multipliers[k] += sign * prices[start:stop]
        start = stop
    excess = float(result.x[-1]) if least_excess else 0.0
    return result.x[:n_options], multipliers, excess


class _Rows:
    """Rows of a program, which become one sparse array when all are known."""

    def __init__(self):
        self.row, self.column, self.value, self.bound = [], [], [], []
        self.n_rows = 0

    def add(self, row, column, value, bound):
        """Add entries of as many new rows as there are bounds."""
        self.row.append(self.n_rows + row)
        self.column.append(column)
        self.value.append(value)
        self.bound.append(bound)
        self.n_rows += len(bound)

    def add_column(self, place, value, n_last):
        """Give the last rows the same factor of an unknown."""
        self.row.append(np.arange(self.n_rows - n_last, self.n_rows))
        self.column.append(np.full(n_last, place))
        self.value.append(np.full(n_last, value))

    def program(self, n_unknowns):
        """Factors of the unknowns, and the bounds; None if there are no rows."""
        if not self.n_rows:
            return None, None
        value, row, column, bound = map(
            np.concatenate, (self.value, self.row, self.column, self.bound)
        )
        shape = self.n_rows, n_unknowns
        return sparse.csr_array((value, (row, column)), shape), bound
