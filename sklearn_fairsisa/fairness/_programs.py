"""Linear programs solved by HiGHS to rounding error."""

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
