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

import numpy as np

from ._mixtures import solve_mixtures
from ._rates import unit_gains

_RISING = {(True, False): "fpr", (False, True): "tpr", (True, True): "share"}


def operating_points(regions, problem):
    """Best operating points that keep the constraint.

    Parameters
    ----------
    regions : sequence of Region
    problem : Problem

    Returns
    -------
    fpr, tpr : ndarray of shape (n_groups,)

    Notes
    -----
    Where rates that rise along the boundaries are to be equal, and nothing else is
    demanded, the problem has one unknown and is solved exactly by merging the regions'
    vertices. Otherwise it is a linear program over mixtures of vertices, solved by
    HiGHS.
    """
    totals = np.array([region.totals for region in regions])
    gains = unit_gains(totals.sum(axis=0), problem.objective)
    worth = totals.T * (gains[:, 1] - gains[:, 0])[:, None]
    # A unit of each group's TPR gains the one, a unit of its FPR loses the other.
    weights = worth[1], -worth[0]
    bounds = problem.bounded(totals)
    if not bounds:
        return _unconstrained(regions, *weights)
    rising = [_rising(rate) for bound in bounds for rate in bound.rates]
    equal = all(
        bound.limits == [(1.0, 0.0, 0.0)] and bound.people.shape[1] == len(regions)
        for bound in bounds
    )
    if not equal or None in rising or len(problem.constraints) > 1:
        return _by_program(regions, *weights, gains, bounds)
    if len(rising) == 1:
        return _common_rate(regions, *weights, rising[0])
    return _common_point(regions, *weights)


def _rising(rate):
    """What a region calls a rate that rises along its boundary, None for others."""
    selected = rate.counted[:, None] & np.array([False, True])
    return _RISING[tuple(rate.counted)] if (rate.pairs == selected).all() else None


def _unconstrained(regions, tpr_gain, fpr_cost):
    best = []
    for region, w1, w0 in zip(regions, tpr_gain, fpr_cost):
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


def _common_point(regions, tpr_gain, fpr_cost):
    """Best point of the intersection of all regions.

    The least upper boundary is concave and piecewise linear in the FPR. Its vertices
    are vertices of a boundary, or crossings of two boundaries. The crossing that
    matters lies in one of the two segments beside the best merged vertex, because
    the gain is concave.
    """
    w1, w0 = tpr_gain.sum(), fpr_cost.sum()
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


def _common_rate(regions, tpr_gain, fpr_cost, rate):
    """Best points with one rate equal in all groups.

    A group's best gain at a given rate is concave and piecewise linear in the rate,
    with its vertices at those of the boundary; the sum over groups is too.
    """
    curves = []
    for region, w1, w0 in zip(regions, tpr_gain, fpr_cost):
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


def _by_program(regions, tpr_gain, fpr_cost, gains, bounds):
    """Linear program over mixtures of each group's vertices, the monotone rules."""
    group = np.repeat(np.arange(len(regions)), [len(region.fpr) for region in regions])
    fpr = np.concatenate([region.fpr for region in regions])
    tpr = np.concatenate([region.tpr for region in regions])
    confusion = np.concatenate([region.confusion for region in regions])
    weight, _, _ = solve_mixtures(
        group,
        group,
        tpr_gain[group] * tpr - fpr_cost[group] * fpr,
        lambda rates, share: share * rates.pairs.dot(confusion.reshape(-1, 4).T),
        bounds,
        gains,
    )
    return (
        np.bincount(group, weights=weight * fpr),
        np.bincount(group, weights=weight * tpr),
    )
