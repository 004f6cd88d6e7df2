"""What each tolerance costs."""

from dataclasses import replace

import numpy as np
import pandas as pd

# Tolerances that are tried where none are named.
_N_TOLS = 11


def tradeoff_table(learn, demand, rows, tols=None, new=None):
    """Solve for several tolerances and describe the rules.

    Parameters
    ----------
    learn : callable
        Takes calibration rows and returns a function from a demand to a rule.
    demand : Demand
        All but its tolerance is demanded.
    rows : CalibrationRows
    tols : array-like of float in [0, 1], default=None
        None is 11 of them, evenly spaced from 0 to where the constraint stops to
        matter.
    new : CalibrationRows, default=None
        Rows to describe the rules on; None is the rows that they are solved on.

    Returns
    -------
    DataFrame
        A row per tolerance: tol, what ``describe`` gives, and randomised_share.

    Raises
    ------
    ValueError
        If a tolerance lies outside [0, 1].
    """
    if tols is not None:
        tols = np.atleast_1d(np.asarray(tols, dtype=float))
        if not ((tols >= 0) & (tols <= 1)).all():
            raise ValueError(f"tols must lie in [0, 1], got {tols.tolist()}.")
    learnt = learn(rows)
    if tols is None:
        free = learnt(replace(demand, tol=1.0))
        tols = np.linspace(0.0, free.constrained_gap(demand.constraint), _N_TOLS)
    records = []
    for tol in tols:
        rule = learnt(replace(demand, tol=float(tol)))
        records.append(
            {
                "tol": tol,
                **rule.describe(new),
                "randomised_share": rule.randomised_share(rows if new is None else new),
            }
        )
    return pd.DataFrame(records)
