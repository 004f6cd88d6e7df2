r"""The best thresholds, one per group, under a fairness constraint.

Notes
-----
Each threshold of group a is a point on its ROC curve, along which the constrained rates
:math:`r` only rise, or only fall. Given the unknowns m of the constraints' limits, see
`Constraint`, :math:`l \le r - c\,m \le h` is a range of thresholds, of which the best
is taken, group by group. The m are searched by branch and bound: for all m in a box,
the thresholds lie in the range that the box allows, whose best ones bound what any m in
it can reach. Where these thresholds keep the limits for one m, nothing in the box is
better.
"""

from itertools import pairwise

import numpy as np

from ._constraints import AtLeast, Difference
from ._problem import InfeasibleError

# Boxes that are divided at once, and rounds of dividing.
_AT_ONCE = 512
_MAX_ROUNDS = 400
_ROUNDING = 1e-11


def best_thresholds(regions, problem, gains):
    """Number of levels of each group that are selected.

    Parameters
    ----------
    regions : sequence of Region
        With a level for each distinct score, the greatest first.
    problem : Problem
        No constraint is by one of several attributes.
    gains : ndarray of shape (2, 2)
        Of a unit weight of each class (row) and decision (column).

    Returns
    -------
    selected : ndarray of int of shape (n_groups,)
    gap : float
        How much more at most other thresholds may gain; 0 unless the search was ended.

    Raises
    ------
    InfeasibleError
        If no thresholds keep the constraints.
    """
    totals = np.array([region.totals for region in regions])
    bounds = [
        (rate, bound.part, people, bound.limits)
        for bound in problem.bounded(totals)
        for rate, people in zip(bound.rates, bound.people)
    ]
    curves = [_Curve(region, a, bounds, gains) for a, region in enumerate(regions)]
    # Floors have no unknown.
    unknown = np.array([any(c > 0 for c, *_ in limits) for *_, limits in bounds])
    low = np.zeros((1, len(bounds)))
    high = low + unknown
    best, found = -np.inf, None
    upper, chosen = _bound(curves, low, high)
    for _ in range(_MAX_ROUNDS):
        middle = (low + high) / 2
        for at in (low, middle, high, _suggested(curves, chosen, low, high)):
            value, points = _bound(curves, at, at)
            k = int(np.argmax(value))
            if value[k] > best:
                best, found = value[k], points[k]
        beyond = best + _ROUNDING * max(1.0, abs(best)) if found is not None else best
        open_ = upper > beyond
        low, high, upper, chosen = (v[open_] for v in (low, high, upper, chosen))
        if not len(upper) or not unknown.any():
            break
        order = np.argsort(-upper, kind="stable")
        now, later = order[:_AT_ONCE], order[_AT_ONCE:]
        widest = np.argmax(high[now] - low[now], axis=1)
        rows = np.arange(len(now))
        cut = (low[now, widest] + high[now, widest]) / 2
        left_high, right_low = high[now].copy(), low[now].copy()
        left_high[rows, widest] = cut
        right_low[rows, widest] = cut
        new_low = np.concatenate([low[now], right_low])
        new_high = np.concatenate([left_high, high[now]])
        new_upper, new_chosen = _bound(curves, new_low, new_high)
        kept = np.isfinite(new_upper)
        low = np.concatenate([new_low[kept], low[later]])
        high = np.concatenate([new_high[kept], high[later]])
        upper = np.concatenate([new_upper[kept], upper[later]])
        chosen = np.concatenate([new_chosen[kept], chosen[later]])
        if not len(upper):
            break
    if found is None:
        raise InfeasibleError("No thresholds keep all constraints.")
    gap = float(max(upper.max() - best, 0.0)) if len(upper) and unknown.any() else 0.0
    return found, gap


def _bound(curves, low, high):
    """Best gain for any m in boxes, and the thresholds that reach it."""
    value = np.zeros(len(low))
    chosen = np.zeros((len(low), len(curves)), dtype=np.intp)
    for a, curve in enumerate(curves):
        first, last = curve.allowed(low, high)
        empty = first > last
        k = curve.best(np.where(empty, 0, first), np.where(empty, 0, last))
        chosen[:, a] = k
        value += np.where(empty, -np.inf, curve.gain[k])
    return value, chosen


def _suggested(curves, chosen, low, high):
    """The m of boxes for which given thresholds are likeliest to keep the limits."""
    at = np.zeros_like(low)
    for r in range(low.shape[1]):
        least = np.full(len(low), -np.inf)
        most = np.full(len(low), np.inf)
        for a, curve in enumerate(curves):
            rate = curve.rates[r][chosen[:, a]]
            for c, below, above in curve.limits[r]:
                if c > 0:
                    least = np.maximum(least, (rate - above) / c)
                    most = np.minimum(most, (rate - below) / c)
        # Where one side is free, any m beyond the other will do.
        least, most = np.maximum(least, low[:, r]), np.minimum(most, high[:, r])
        at[:, r] = np.clip((least + most) / 2, low[:, r], high[:, r])
    return at


class _Curve:
    """Thresholds of one group: what each gains, and its constrained rates."""

    def __init__(self, region, group, bounds, gains):
        confusion = region.confusion
        self.gain = np.einsum("ijk,jk->i", confusion, gains)
        self.rates, self.limits = [], []
        for rate, part, people, limits in bounds:
            place = part[group]
            self.rates.append(rate.of(confusion))
            self.limits.append(
                [
                    (c, *(np.broadcast_to(end, len(people))[place] for end in ends))
                    for c, *ends in limits
                ]
            )
        self._tables = [np.arange(len(self.gain))]
        width = 1
        while 2 * width <= len(self.gain):
            table = self._tables[-1]
            self._tables.append(self._better(table[:-width], table[width:]))
            width *= 2

    def allowed(self, low, high):
        """First and last threshold that some m of boxes allows."""
        n = len(self.gain)
        first = np.zeros(len(low), dtype=np.intp)
        last = np.full(len(low), n - 1)
        for r, (rate, limits) in enumerate(zip(self.rates, self.limits)):
            for c, below, above in limits:
                least = below + c * low[:, r] - _ROUNDING
                most = above + c * high[:, r] + _ROUNDING
                if rate[-1] >= rate[0]:
                    start = np.searchsorted(rate, least, side="left")
                    stop = np.searchsorted(rate, most, side="right") - 1
                else:
                    start = n - np.searchsorted(rate[::-1], most, side="right")
                    stop = n - 1 - np.searchsorted(rate[::-1], least, side="left")
                first, last = np.maximum(first, start), np.minimum(last, stop)
        return first, last

    def best(self, first, last):
        """Threshold of greatest gain in ranges, the first of several."""
        level = np.frexp(last - first + 1)[1] - 1
        best = np.empty(len(first), dtype=np.intp)
        for k in np.unique(level):
            rows = level == k
            table = self._tables[k]
            right = last[rows] - (1 << int(k)) + 1
            best[rows] = self._better(table[first[rows]], table[right])
        return best

    def _better(self, a, b):
        return np.where(self.gain[a] >= self.gain[b], a, b)


def check_thresholds(problem):
    """Raise unless thresholds alone can keep the constraints of a problem.

    Raises
    ------
    ValueError
        If a constraint is by one of several attributes, on a rate that is neither
        rising nor falling with the threshold, or of equality.
    """
    for constraint in problem.constraints:
        if constraint.by is not None and len(problem.features) > 1:
            raise ValueError(
                f"randomise=False finds a threshold for each group, but {constraint!r} "
                "is by one of several sensitive features. Give that feature alone."
            )
        if constraint.rate == "accuracy":
            raise ValueError(
                f"randomise=False needs rates that rise or fall with the threshold, "
                f"which the accuracy in {constraint!r} does not."
            )
        bound = constraint.loosened(problem.slack)
        if isinstance(bound, AtLeast):
            continue
        is_equality = (
            bound.at_most == 0 if isinstance(bound, Difference) else bound.at_least == 1
        )
        if is_equality:
            raise ValueError(
                "randomise=False needs some room, as no thresholds make rates equal. "
                "Give a bound above 0, for example tol=0.05."
            )


def thinned(region, n_levels=200):
    """Vertices of a region at quantiles of the people, with first and last.

    Parameters
    ----------
    region : Region
    n_levels : int, default=200

    Returns
    -------
    ndarray of int
        Sorted positions of the vertices.
    """
    at = np.searchsorted(region.share, np.linspace(0, 1, n_levels + 1))
    return np.unique(at.clip(0, len(region.share) - 1))


def merged(region, vertices):
    """A region whose levels lead from one to the next of some of its vertices."""
    mass = np.diff(region.share)
    precision = np.array(
        [
            np.average(region.precision[a:b], weights=mass[a:b])
            for a, b in pairwise(vertices)
        ]
    )
    return type(region)(
        region.fpr[vertices],
        region.tpr[vertices],
        region.share[vertices],
        precision,
        region.negatives,
        region.positives,
    )
