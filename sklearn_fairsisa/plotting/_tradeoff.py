"""Display of the accuracy and the gap of methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike

from ._style import (
    INK,
    MARKERS,
    MUTED,
    SIZE,
    color_of,
    make_axes,
    place_labels,
    set_title,
    tidy,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from ..metrics import Interval

# Width of axes, in inches, below which names of methods are written small.
_NARROW = 3.5
_TITLES = {
    "equalized_odds_difference": "equalized-odds difference",
    "demographic_parity_difference": "demographic parity difference",
    "true_positive_rate_difference": "difference of true positive rates",
    "false_positive_rate_difference": "difference of false positive rates",
    "balanced_accuracy": "balanced accuracy",
    "balanced_accuracy_score": "balanced accuracy",
    "accuracy_score": "accuracy",
}


# Of what constraint objects bound from below.
_GREATER_IS_FAIRER = "_ratio", "_group_min", "_ratio_by_", "_group_min_by_"


def _is_greater_fairer(name):
    ends, inside = _GREATER_IS_FAIRER[:2], _GREATER_IS_FAIRER[2:]
    return name.removesuffix("_counted").endswith(ends) or any(
        p in name for p in inside
    )


class FairnessTradeoffDisplay:
    """Gap between groups against accuracy, each method as a point or a curve.

    Methods in the upper left are better. If the horizontal axis has a ratio, or the
    least rate of a group, methods in the upper right are better. It is recommended to
    create the display with :meth:`from_results` or :meth:`from_intervals`.

    Parameters
    ----------
    methods : list of str of length n_points
        Name of the method of each point. Points with the same name form a curve, in the
        given order.

    gap, score : array-like of shape (n_points,)
        Gap between groups, and accuracy.

    gap_interval, score_interval : array-like of shape (n_points, 2), default=None
        Ends of the intervals; NaN for none.

    noise_floor : float or (float, float), default=None
        Gap that a fair rule shows by chance, drawn as a band from 0, or both ends of
        the band.

    gap_name, score_name : str
        Names of the axes.

    constant : array-like of bool of shape (n_points,), default=None
        Points of rules that decide the same for everybody, drawn hollow.

    title : str, default=""
        What was measured and on how many people, above the axes.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    labels_ : list of matplotlib Annotation
        Names of the methods, beside their points.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_fairsisa.plotting import FairnessTradeoffDisplay
    >>> results = pd.DataFrame({
    ...     "method": ["one model", "fair"], "balanced_accuracy": [0.8, 0.75],
    ...     "equalized_odds_difference": [0.3, 0.05]})
    >>> display = FairnessTradeoffDisplay.from_results(results, noise_floor=0.04)
    >>> [label.get_text() for label in display.labels_]
    ['one model', 'fair']
    """

    def __init__(
        self,
        methods: Sequence[str],
        gap: ArrayLike,
        score: ArrayLike,
        *,
        gap_interval: ArrayLike | None = None,
        score_interval: ArrayLike | None = None,
        noise_floor: float | tuple[float, float] | None = None,
        gap_name: str = "gap between groups",
        score_name: str = "accuracy",
        constant: ArrayLike | None = None,
        title: str = "",
    ) -> None:
        self.methods = methods
        self.gap = gap
        self.score = score
        self.gap_interval = gap_interval
        self.score_interval = score_interval
        self.noise_floor = noise_floor
        self.gap_name = gap_name
        self.score_name = score_name
        self.constant = constant
        self.title = title

    @classmethod
    def from_results(
        cls,
        results: pd.DataFrame,
        *,
        method: str = "method",
        score: str = "balanced_accuracy",
        gap: str = "equalized_odds_difference",
        noise_floor: float | tuple[float, float] | None = None,
        title: str = "",
        ax: Axes | None = None,
    ) -> Self:
        """Draw a table of results.

        Parameters
        ----------
        results : DataFrame
            One row per point with the columns `score` and `gap`; the ends of intervals,
            if there are any, in ``f"{score}_low"``, ``f"{score}_high"``,
            ``f"{gap}_low"`` and ``f"{gap}_high"``; ``constant`` if some rules are
            constant; and `method`. Without a column `method`, all rows form one curve,
            such as the table of :meth:`FairEnsemblePostprocessor.tradeoff`.

        method, score, gap : str
            Names of the columns.

        noise_floor : float or (float, float), default=None
            Gap that a fair rule shows by chance, see
            :func:`~sklearn_fairsisa.metrics.noise_floor`.

        title : str, default=""
            What was measured and on how many people, above the axes.

        ax : matplotlib Axes, default=None
            Where to draw, by default a new figure.

        Returns
        -------
        display : FairnessTradeoffDisplay

        Raises
        ------
        ValueError
            If a column is missing.
        """
        missing = [name for name in (score, gap) if name not in results]
        if missing:
            raise ValueError(
                f"results lacks the columns {missing}; it has {list(results)}. Name "
                "the columns by score= and gap=."
            )

        def interval(name):
            ends = [f"{name}_low", f"{name}_high"]
            return results[ends].to_numpy() if set(ends) <= set(results) else None

        methods = results[method] if method in results else [""] * len(results)
        return cls(
            [str(name) for name in methods],
            results[gap].to_numpy(),
            results[score].to_numpy(),
            gap_interval=interval(gap),
            score_interval=interval(score),
            noise_floor=noise_floor,
            gap_name=_TITLES.get(gap, gap),
            score_name=_TITLES.get(score, score),
            constant=results["constant"].to_numpy() if "constant" in results else None,
            title=title,
        ).plot(ax)

    @classmethod
    def from_intervals(
        cls,
        intervals: Mapping[str, Mapping[str, Interval]],
        *,
        score: str = "balanced_accuracy_score",
        gap: str = "equalized_odds_difference",
        noise_floor: float | tuple[float, float] | None = None,
        title: str = "",
        ax: Axes | None = None,
    ) -> Self:
        """Draw intervals of :func:`~sklearn_fairsisa.metrics.bootstrap_interval`.

        Parameters
        ----------
        intervals : dict of str to dict of str to Interval
            For each method, the interval (estimate, low, high) of each metric.

        score, gap : str
            Names of the metrics.

        noise_floor : float or (float, float), default=None
            Gap that a fair rule shows by chance.

        title : str, default=""
            What was measured and on how many people, above the axes.

        ax : matplotlib Axes, default=None
            Where to draw, by default a new figure.

        Returns
        -------
        display : FairnessTradeoffDisplay
        """
        gaps = np.array(
            [tuple(metrics[gap]) for metrics in intervals.values()], dtype=float
        )
        scores = np.array(
            [tuple(metrics[score]) for metrics in intervals.values()], dtype=float
        )
        return cls(
            list(intervals),
            gaps[:, 0],
            scores[:, 0],
            gap_interval=gaps[:, 1:],
            score_interval=scores[:, 1:],
            noise_floor=noise_floor,
            gap_name=_TITLES.get(gap, gap),
            score_name=_TITLES.get(score, score),
            title=title,
        ).plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw, by default a new figure.

        Returns
        -------
        display : FairnessTradeoffDisplay
        """
        gap, score = (np.asarray(v, dtype=float) for v in (self.gap, self.score))
        methods = np.asarray(self.methods, dtype=object)
        if not len(methods) == len(gap) == len(score) or not len(gap):
            raise ValueError(
                f"There are {len(methods)} methods, {len(gap)} gaps and {len(score)} "
                "scores. Give the same number of each, at least one."
            )
        constant = np.zeros(len(gap), dtype=bool)
        if self.constant is not None:
            constant = np.asarray(self.constant, dtype=bool)
        ax = make_axes(ax, SIZE)
        tidy(ax)
        anchors, colors, bars, names = [], [], [], list(dict.fromkeys(methods))
        for i, name in enumerate(names):
            rows = np.flatnonzero(methods == name)
            color = color_of(i)
            bars += self._draw_intervals(ax, rows, gap, score, color)
            is_curve = len(rows) > 1
            if is_curve:
                ax.plot(gap[rows], score[rows], color=color, lw=1.6, zorder=3)
                points = list(zip(gap[rows], score[rows]))
                bars += pairwise(points)
            for row in rows:
                ax.scatter(
                    gap[row],
                    score[row],
                    s=18 if is_curve else 52,
                    marker=MARKERS[i % len(MARKERS)],
                    facecolor="white" if constant[row] else color,
                    edgecolor=color if constant[row] else "white",
                    linewidth=1.4 if constant[row] else 0.8,
                    zorder=4,
                )
            end = rows[np.argmax(gap[rows])]
            anchors.append((gap[end], score[end]))
            colors.append(color)
        narrow = ax.get_window_extent().width < _NARROW * ax.figure.dpi
        self._finish_axes(ax, narrow)
        texts = [
            f"{name} (constant)" if constant[methods == name].all() else name
            for name in names
        ]
        self.labels_ = place_labels(
            ax,
            np.array(anchors),
            texts,
            colors,
            dots=np.column_stack([gap, score]),
            bars=bars,
            fontsize=8 if narrow else 9,
        )
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _draw_intervals(self, ax, rows, gap, score, color):
        """Draw the intervals of some points; return the ends of the lines."""
        bars = []
        for row in rows:
            if self.gap_interval is not None:
                low, high = np.asarray(self.gap_interval, dtype=float)[row]
                bars.append(((low, score[row]), (high, score[row])))
            if self.score_interval is not None:
                low, high = np.asarray(self.score_interval, dtype=float)[row]
                bars.append(((gap[row], low), (gap[row], high)))
        bars = [bar for bar in bars if np.isfinite(bar).all()]
        for bar in bars:
            ax.plot(*zip(*bar), color=color, alpha=0.4, lw=1.3, zorder=2)
        return bars

    def _finish_axes(self, ax, narrow):
        ax.margins(0.08)
        ax.autoscale_view()
        is_kept = _is_greater_fairer(self.gap_name)
        if not is_kept:
            ax.set_xlim(left=0)
        if self.noise_floor is not None:
            low, high = np.broadcast_to(self.noise_floor, 2)
            low = 0 if np.ndim(self.noise_floor) == 0 else low
            ax.set_xlim(right=max(ax.get_xlim()[1], 1.1 * high))
            ax.axvspan(low, high, color="#EFEFEF", lw=0, zorder=0)
            # Above the axes, where there are no points.
            ax.annotate(
                "noise floor",
                ((low + high) / 2, 1),
                xycoords=("data", "axes fraction"),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=9,
                color=MUTED,
            )
        set_title(ax, self.title, pad=6 if self.noise_floor is None else 18)
        space = "\n" if narrow else "  "
        fairer = "greater" if is_kept else "smaller"
        ax.set_xlabel(f"{self.gap_name}{space}({fairer} is fairer)", color=INK)
        ax.set_ylabel(self.score_name, color=INK)
