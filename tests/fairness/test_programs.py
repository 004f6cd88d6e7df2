from types import SimpleNamespace

import numpy as np
import pytest
from scipy.optimize import linprog

from sklearn_fairsisa.fairness import _programs
from sklearn_fairsisa.fairness._problem import InfeasibleError
from sklearn_fairsisa.fairness._programs import solve_program

PROGRAM = {"A_eq": np.array([[1.0, 1.0, 1.0]]), "b_eq": np.array([1.0])}
COST = np.array([3.0, 1.0, 2.0])


def given_up(monkeypatch, n_times):
    """Let HiGHS give up so often; return a list of what it was asked."""
    asked = []

    def solve(*args, method, options, **kwargs):
        asked.append((method, *options.values()))
        if len(asked) <= n_times:
            message = "(HiGHS Status 0: Not Set)"
            return SimpleNamespace(status=4, success=False, message=message)
        return linprog(*args, method=method, options=options, **kwargs)

    monkeypatch.setattr(_programs, "linprog", solve)
    return asked


@pytest.mark.parametrize("n_times", [0, 1, 2, 3])
def test_a_program_that_highs_gives_up_is_solved_in_another_way(monkeypatch, n_times):
    asked = given_up(monkeypatch, n_times)
    np.testing.assert_allclose(solve_program(COST, **PROGRAM).x, [0, 1, 0])
    assert len(asked) == len(set(asked)) == n_times + 1


def test_highs_is_asked_for_less_exactness_only_at_last(monkeypatch):
    asked = given_up(monkeypatch, 3)
    solve_program(COST, **PROGRAM)
    assert [max(way[1:3]) for way in asked] == [1e-10, 1e-10, 1e-10, 1e-7]


def test_an_error_says_what_highs_said_if_no_way_is_left(monkeypatch):
    given_up(monkeypatch, 9)
    with pytest.raises(RuntimeError, match="Not Set"):
        solve_program(COST, **PROGRAM)


def test_an_infeasible_program_is_asked_for_once(monkeypatch):
    asked = given_up(monkeypatch, 0)
    with pytest.raises(InfeasibleError):
        solve_program(COST, A_eq=PROGRAM["A_eq"], b_eq=np.array([4.0]))
    assert len(asked) == 1
