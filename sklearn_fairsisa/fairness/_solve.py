r"""The operating point of each group that costs least under a fairness constraint.

Notes
-----
The expected loss is linear in the operating points,

.. math::
    \text{gain} = \sum_a (w^1_a\, TPR_a - w^0_a\, FPR_a), \qquad w \ge 0 ,

so it is best on upper boundaries. Lower boundaries never bind: raising a group's TPR
at its FPR never costs, every region contains the diagonal, so at any FPR the
intersection of the regions reaches up to the lowest upper boundary.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ._programs import solve_program

CONSTRAINTS = {
    "equalized_odds": ("fpr", "tpr"),
    "demographic_parity": ("share",),
    "true_positive_rate_parity": ("tpr",),
    "false_negative_rate_parity": ("tpr",),
    "false_positive_rate_parity": ("fpr",),
    "true_negative_rate_parity": ("fpr",),
}
"""Rates that each constraint wants equal in all groups."""


@dataclass(frozen=True)
class Demand:
    """What a rule is asked for.

    Parameters
    ----------
    constraint : str or None
        A key of `CONSTRAINTS`, or None for each group's own optimum.
    objective : {"accuracy_score", "balanced_accuracy_score"} or dict
        A dict gives the costs of a ``"false_positive"`` and a ``"false_negative"``;
        its value is the expected cost per person, of which less is better.
    tol : float, default=0
        Greatest allowed difference between groups of each constrained rate.
    """

    constraint: str | None
    objective: str | dict
    tol: float = 0.0


@dataclass(frozen=True)
class Gain:
    r"""A linear objective over operating points.

    Parameters
    ----------
    tpr_gain, fpr_cost : ndarray of shape (n_groups,)
        What a unit of each group's TPR gains and what a unit of its FPR loses, both
        non-negative.
    offset, scale : float
        The objective as users know it is ``offset + scale * gain``.
    """

    tpr_gain: np.ndarray
    fpr_cost: np.ndarray
    offset: float
    scale: float

    def value(self, fpr, tpr):
        """Objective at operating points, arrays of shape (n_groups,)."""
        gain = np.sum(self.tpr_gain * tpr - self.fpr_cost * fpr)
        return float(self.offset + self.scale * gain)


def linear_gain(negatives, positives, objective):
    """Weights of an objective on the groups' operating points.

    Parameters
    ----------
    negatives, positives : ndarray of shape (n_groups,)
        Weight of each group's negatives and positives.
    objective : str or dict
        See `Demand`.

    Returns
    -------
    Gain
    """
    n_negatives, n_positives = negatives.sum(), positives.sum()
    total = n_negatives + n_positives
    if objective == "accuracy_score":
        return Gain(positives / total, negatives / total, n_negatives / total, 1.0)
    if objective == "balanced_accuracy_score":
        # Where forgetting left no positives at all, nothing can be gained by them.
        return Gain(
            positives / (2 * max(n_positives, 1e-300)),
            negatives / (2 * max(n_negatives, 1e-300)),
            0.5,
            1.0,
        )
    tpr_gain = objective["false_negative"] * positives / total
    fpr_cost = objective["false_positive"] * negatives / total
    return Gain(tpr_gain, fpr_cost, float(tpr_gain.sum()), -1.0)


def operating_points(regions, demand):
    """Best operating points whose constrained rates differ by at most ``demand.tol``.

    Parameters
    ----------
    regions : sequence of Region
    demand : Demand

    Returns
    -------
    fpr, tpr : ndarray of shape (n_groups,)

    Notes
    -----
    With ``tol=0`` the problem has one unknown and is solved exactly by merging the
    regions' vertices. Otherwise it is a linear program over mixtures of vertices,
    solved by HiGHS.
    """
    gain = linear_gain(
        np.array([region.negatives for region in regions]),
        np.array([region.positives for region in regions]),
        demand.objective,
    )
    if demand.constraint is None or demand.tol >= 1 or len(regions) == 1:
        return _unconstrained(regions, gain)
    rates = CONSTRAINTS[demand.constraint]
    if demand.tol > 0:
        return _within_tolerance(regions, gain, rates, demand.tol)
    if len(rates) == 1:
        return _common_rate(regions, gain, rates[0])
    return _common_point(regions, gain)


def _unconstrained(regions, gain):
    best = []
    for region, w1, w0 in zip(regions, gain.tpr_gain, gain.fpr_cost):
        k = _best_vertex(w1 * region.tpr - w0 * region.fpr, region.tpr - region.fpr)
        best.append((region.fpr[k], region.tpr[k]))
    fpr, tpr = np.array(best).T
    return fpr, tpr


def _best_vertex(value, informedness):
    """Maximum of `value`; among equals the point farthest from the diagonal.

    Ties are common with integer counts. A constant decision is the worst of them,
    because it makes no use of the outputs.
    """
    candidates = np.flatnonzero(_ties_with_best(value))
    return candidates[np.argmax(informedness[candidates])]


def _ties_with_best(value):
    return value >= value.max() - 1e-12 * max(1.0, np.abs(value).max())


def _common_point(regions, gain):
    """Best point of the intersection of all regions.

    The least upper boundary is concave and piecewise linear in the FPR. Its vertices
    are vertices of a boundary, or crossings of two boundaries. The crossing that
    matters lies in one of the two segments beside the best merged vertex, because
    the gain is concave.
    """
    w1, w0 = gain.tpr_gain.sum(), gain.fpr_cost.sum()
    x = np.unique(np.concatenate([region.fpr for region in regions]))
    lowest = regions[0].upper(x)
    for region in regions[1:]:
        np.minimum(lowest, region.upper(x), out=lowest)
    value = w1 * lowest - w0 * x
    # Between the outermost of three or more tied vertices the gain is flat.
    tied = np.flatnonzero(_ties_with_best(value))[[0, -1]]
    spans = np.unique(np.concatenate([tied - 1, tied]).clip(0, len(x) - 2))
    best = _best_vertex(value, lowest - x)
    candidates_x, candidates_y = [x[best]], [lowest[best]]
    for span in spans:
        left, right = x[span], x[span + 1]
        y_left = np.array([region.upper(left) for region in regions])
        y_right = np.array([region.upper(right) for region in regions])
        rise = y_right - y_left
        gap = rise[:, None] - rise[None, :]
        with np.errstate(divide="ignore", invalid="ignore"):
            t = (y_left[None, :] - y_left[:, None]) / gap
        t = np.unique(t[(gap != 0) & (t > 0) & (t < 1)])
        candidates_x.extend(left + t * (right - left))
        candidates_y.extend(np.min(y_left + np.outer(t, rise), axis=1, initial=1.0))
    x, y = np.array(candidates_x), np.array(candidates_y)
    best = _best_vertex(w1 * y - w0 * x, y - x)
    return np.full(len(regions), x[best]), np.full(len(regions), y[best])


def _common_rate(regions, gain, rate):
    """Best points with one rate equal in all groups.

    A group's best gain at a given rate is concave and piecewise linear in the rate,
    with its vertices at those of the boundary; the sum over groups is too.
    """
    curves = []
    for region, w1, w0 in zip(regions, gain.tpr_gain, gain.fpr_cost):
        fpr, tpr, at = region.fpr, region.tpr, getattr(region, rate)
        # Edges along which the rate stands still are vertical: keep their best end.
        # At rate 0 of "fpr" that is the last vertex, at rate 1 of "tpr" the first.
        # They save cost, or cost nothing at all and bring positives.
        keep = np.ones(len(at), dtype=bool)
        if rate == "fpr":
            keep[:-1] = at[1:] > at[:-1]
        elif rate == "tpr":
            keep[1:] = at[1:] > at[:-1]
        curves.append((at[keep], fpr[keep], tpr[keep], w1, w0))
    t = np.unique(np.concatenate([curve[0] for curve in curves]))
    value = np.zeros(len(t))
    informedness = np.zeros(len(t))
    for at, fpr, tpr, w1, w0 in curves:
        fpr_t, tpr_t = np.interp(t, at, fpr), np.interp(t, at, tpr)
        value += w1 * tpr_t - w0 * fpr_t
        informedness += tpr_t - fpr_t
    best = t[_best_vertex(value, informedness)]
    points = [
        (np.interp(best, at, fpr), np.interp(best, at, tpr))
        for at, fpr, tpr, _, _ in curves
    ]
    fpr, tpr = np.array(points).T
    return fpr, tpr


def _within_tolerance(regions, gain, rates, tol):
    """Linear program over mixtures of each group's vertices.

    Mixtures of vertices are the monotone rules. A rule beneath the diagonal is never
    better, so the optimum is that over all rules.
    """
    n_groups = len(regions)
    sizes = [len(region.fpr) for region in regions]
    n_vertices, n_rates = sum(sizes), len(rates)
    group = np.repeat(np.arange(n_groups), sizes)
    column = np.arange(n_vertices)
    fpr = np.concatenate([region.fpr for region in regions])
    tpr = np.concatenate([region.tpr for region in regions])

    # Unknowns: weight of each vertex, then the least value of each constrained rate.
    cost = np.concatenate(
        [gain.fpr_cost[group] * fpr - gain.tpr_gain[group] * tpr, np.zeros(n_rates)]
    )
    blocks, bounds = [], []
    for r, rate in enumerate(rates):
        values = np.concatenate([getattr(region, rate) for region in regions])
        at = sparse.csr_array((values, (group, column)), (n_groups, n_vertices))
        least = sparse.csr_array(
            (np.ones(n_groups), (np.arange(n_groups), np.full(n_groups, r))),
            (n_groups, n_rates),
        )
        blocks += [sparse.hstack([-at, least]), sparse.hstack([at, -least])]
        bounds += [np.zeros(n_groups), np.full(n_groups, tol)]
    mixture = sparse.csr_array(
        (np.ones(n_vertices), (group, column)), (n_groups, n_vertices + n_rates)
    )
    result = solve_program(
        cost,
        A_ub=sparse.vstack(blocks, format="csr"),
        b_ub=np.concatenate(bounds),
        A_eq=mixture,
        b_eq=np.ones(n_groups),
    )
    weight = result.x[:n_vertices].clip(0)
    weight /= np.bincount(group, weights=weight)[group]
    return (
        np.bincount(group, weights=weight * fpr),
        np.bincount(group, weights=weight * tpr),
    )
