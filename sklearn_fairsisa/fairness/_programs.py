"""Linear programs solved by HiGHS to rounding error."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.optimize import linprog

from ._problem import InfeasibleError

# Method, whether to presolve, and tolerance: the least that HiGHS takes, then its own.
# It gives up some programs that have an optimum, as where weights are from 1 to 1e9.
_WAYS = (
    ("highs", True, 1e-10),
    ("highs", False, 1e-10),
    ("highs-ipm", True, 1e-10),
    ("highs", True, 1e-7),
)


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
    for method, presolve, tolerance in _WAYS:
        result = linprog(
            cost,
            A_ub=A_ub,
            b_ub=b_ub,
            A_eq=A_eq,
            b_eq=b_eq,
            bounds=(0, 1),
            method=method,
            options={
                "primal_feasibility_tolerance": tolerance,
                "dual_feasibility_tolerance": tolerance,
                "presolve": presolve,
            },
        )
        if result.success or result.status == 2:
            break
    if result.status == 2:
        raise InfeasibleError("No rule keeps all constraints.")
    if not result.success:
        raise RuntimeError(f"HiGHS found no fair rule: {result.message}")
    return result


@dataclass(frozen=True)
class LimitedRates:
    """What options add to rates, and the limits that these must keep.

    Parameters
    ----------
    added : scipy.sparse.coo_array of shape (n_rates * n_parts, n_options)
        What an option of weight 1 adds to each rate of each part.
    defined : ndarray of bool of shape (n_rates, n_parts)
        Whether a part has people whom the rate counts. To others nothing is added.
    limits : list of (coefficient, low, high)
        Of each rate; see `Constraint`.
    """

    added: sparse.coo_array
    defined: np.ndarray
    limits: list

    def sides(self, *, least_excess):
        """Equalities and inequalities that keep the limits."""
        equalities, inequalities = [], []
        for coefficient, *ends in self.limits:
            low, high = (np.broadcast_to(e, self.defined.shape[1]) for e in ends)
            same = ((low == high) | ~self.defined).all(axis=1, keepdims=True)
            same &= not least_excess
            equalities.append(_Side(1, coefficient, high, self.defined & same))
            for sign, bound in ((1, high), (-1, -low)):
                binds = (self.defined & np.isfinite(bound)).any(axis=1, keepdims=True)
                used = self.defined & binds & ~same
                inequalities.append(_Side(sign, coefficient, bound, used))
        return equalities, inequalities


@dataclass(frozen=True)
class _Side:
    """An end of a limit: sign * (rate - coefficient * m) is to be at most the bound.

    Parameters
    ----------
    sign : {1, -1}
    coefficient : float
    bound : ndarray of shape (n_parts,)
    used : ndarray of bool of shape (n_rates, n_parts)
        Where it holds.
    """

    sign: int
    coefficient: float
    bound: np.ndarray
    used: np.ndarray


def cheapest_weights(block, cost, limited, *, least_excess=False):
    r"""Weights of options within blocks that cost least while rates keep limits.

    Parameters
    ----------
    block : ndarray of int of shape (n_options,)
        Every block has an option.
    cost : ndarray of shape (n_options,)
    limited : list of LimitedRates
    least_excess : bool, default=False
        Whether to exceed the limits by as little as possible, at any cost.

    Returns
    -------
    weight : ndarray of shape (n_options,)
        They sum to 1 in each block, up to rounding.
    multipliers : list of ndarray of shape (n_rates, n_parts)
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
    n_unknowns = n_options + sum(len(each.defined) for each in limited) + least_excess
    equal, below = _Rows(), _Rows()
    equal.add(block, np.arange(n_options), 1.0)
    equal.close(np.ones(n_blocks))
    placed, middle = [], n_options
    for each in limited:
        equalities, inequalities = each.sides(least_excess=least_excess)
        placed.append(
            [
                *equal.add_sides(equalities, each.added, middle),
                *below.add_sides(inequalities, each.added, middle),
            ]
        )
        middle += len(each.defined)
    unknown_cost = np.zeros(n_unknowns)
    if least_excess:
        below.add(np.arange(below.n_rows), n_unknowns - 1, -1.0)
        unknown_cost[-1] = 1.0
    else:
        unknown_cost[:n_options] = cost
    A_eq, b_eq = equal.program(n_unknowns)
    A_ub, b_ub = below.program(n_unknowns)
    result = solve_program(unknown_cost, A_ub=A_ub, b_ub=b_ub, A_eq=A_eq, b_eq=b_eq)
    price = {equal: result.eqlin.marginals, below: result.ineqlin.marginals}
    multipliers = [np.zeros(each.defined.shape) for each in limited]
    for total, places in zip(multipliers, placed):
        for rows, side, place in places:
            total[side.used] += side.sign * price[rows][place]
    excess = float(result.x[-1]) if least_excess else 0.0
    return result.x[:n_options], multipliers, excess


class _Rows:
    """Rows of a program, which become one sparse array when all are known."""

    def __init__(self):
        self.row, self.column, self.value, self.bound = [], [], [], []
        self.n_rows = 0

    def add(self, row, column, value):
        """Add entries at places that may be given once for all."""
        for whole, part in zip(
            (self.row, self.column, self.value), np.broadcast_arrays(row, column, value)
        ):
            whole.append(part)

    def close(self, bound):
        """Number rows, of which each has a bound."""
        self.bound.append(bound)
        self.n_rows += len(bound)

    def add_sides(self, sides, added, middle):
        """Add a row wherever a side is used, rate by rate.

        Parameters
        ----------
        sides : list of _Side
        added : scipy.sparse.coo_array
            As in `LimitedRates`.
        middle : int
            Place of the m of the first rate.

        Returns
        -------
        list of (_Rows, _Side, ndarray of int)
            These rows, and the places of a side's among them.
        """
        used = np.stack([side.used for side in sides], axis=1)
        place = self.n_rows + np.cumsum(used).reshape(used.shape) - 1
        bound = np.stack([side.bound for side in sides])
        rate, part = np.divmod(added.row, used.shape[2])
        found = []
        for k, side in enumerate(sides):
            own = side.used[rate, part]
            rows = place[rate[own], k, part[own]]
            self.add(rows, added.col[own], side.sign * added.data[own])
            own = place[:, k][side.used]
            middles = middle + np.nonzero(side.used)[0]
            self.add(own, middles, -side.sign * side.coefficient)
            found.append((self, side, own))
        self.close(np.broadcast_to(bound, used.shape)[used])
        return found

    def program(self, n_unknowns):
        """Factors of the unknowns, and the bounds; None if there are no rows."""
        if not self.n_rows:
            return None, None
        value, row, column, bound = map(
            np.concatenate, (self.value, self.row, self.column, self.bound)
        )
        shape = self.n_rows, n_unknowns
        return sparse.csr_array((value, (row, column)), shape), bound
