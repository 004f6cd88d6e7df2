"""Display of the cost of forgetting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from ._style import (
    FAINT,
    INK,
    MUTED,
    SIZE,
    color_of,
    line_of,
    make_axes,
    place_labels,
    set_title,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..sisa._classifier import SISAClassifier
    from ..sisa._reports import ForgetReport


class ForgettingCostDisplay:
    """Cost of a request to forget against its number of rows.

    If rows have ids of data subjects, subjects are counted, since the rows of a subject
    share a slice. The lines show the expected cost of uniformly drawn rows or subjects,
    one line per number of slices. The points show measured requests. It is recommended
    to create the display with :meth:`from_estimator`, :meth:`from_reports` or
    :meth:`from_plan`.

    Parameters
    ----------
    n_deletions : array-like of shape (n_points,)
        Number of rows, or of data subjects, in one request, k.

    expected : dict of int to array-like of shape (n_points,)
        For each number of slices R, the expected sample visits as a share of those of a
        full training.

    n_shards : int
        Number of shards, S.

    measured_deletions, measured_cost : array-like of shape (n_requests,), default=None
        Number of rows, or of data subjects, in each request, and its sample visits as a
        share of those of a full training.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : dict of int to matplotlib Line2D
        The expected cost by number of slices.
    labels_ : list of matplotlib Annotation
        Numbers of slices, beside their lines.

    Examples
    --------
    >>> from sklearn_fairsisa.plotting import ForgettingCostDisplay
    >>> display = ForgettingCostDisplay.from_plan(5, [1, 4], max_deletions=50)
    >>> display.expected[1][0].round(3)
    np.float64(0.2)
    """

    def __init__(
        self,
        n_deletions: ArrayLike,
        expected: Mapping[int, ArrayLike],
        *,
        n_shards: int,
        measured_deletions: ArrayLike | None = None,
        measured_cost: ArrayLike | None = None,
    ) -> None:
        self.n_deletions = n_deletions
        self.expected = expected
        self.n_shards = n_shards
        self.measured_deletions = measured_deletions
        self.measured_cost = measured_cost

    @classmethod
    def from_plan(
        cls,
        n_shards: int,
        n_slices: int | Sequence[int],
        *,
        max_deletions: int = 100,
        replay: Literal["prefix", "slice"] = "prefix",
        ax: Axes | None = None,
    ) -> Self:
        """Draw the expected cost of a plan.

        Parameters
        ----------
        n_shards : int
            Number of shards.

        n_slices : int or list of int
            Numbers of slices per shard.

        max_deletions : int, default=100
            Largest number of rows, or data subjects, in one request.

        replay : {"prefix", "slice"}, default="prefix"
            See :class:`~sklearn_fairsisa.SISAClassifier`.

        ax : matplotlib Axes, default=None
            Where to draw, by default a new figure.

        Returns
        -------
        display : ForgettingCostDisplay
        """
        return cls(
            *_expect(n_shards, n_slices, max_deletions, replay), n_shards=n_shards
        ).plot(ax)

    @classmethod
    def from_reports(
        cls,
        reports: Sequence[ForgetReport],
        *,
        n_shards: int,
        n_slices: int | Sequence[int],
        max_deletions: int | None = None,
        replay: Literal["prefix", "slice"] = "prefix",
        ax: Axes | None = None,
    ) -> Self:
        """Draw the measured cost of requests and the expected cost.

        Parameters
        ----------
        reports : list of ForgetReport
            ``forget_log_`` of a :class:`~sklearn_fairsisa.SISAClassifier`. Requests
            without retained rows are left out.

        n_shards : int
            Number of shards.

        n_slices : int or list of int
            Numbers of slices per shard.

        max_deletions : int, default=None
            Largest number of rows, or data subjects, in one request, by default at
            least 100.

        replay : {"prefix", "slice"}, default="prefix"
            See :class:`~sklearn_fairsisa.SISAClassifier`.

        ax : matplotlib Axes, default=None
            Where to draw, by default a new figure.

        Returns
        -------
        display : ForgettingCostDisplay
        """
        reports = [report for report in reports if len(report.rows)]
        deletions = np.array([report.n_subjects for report in reports], dtype=int)
        if max_deletions is None:
            max_deletions = max(100, 2 * deletions.max(initial=0))
        visits = [report.sample_visits for report in reports]
        full = [report.full_sample_visits for report in reports]
        return cls(
            *_expect(n_shards, n_slices, max_deletions, replay),
            n_shards=n_shards,
            measured_deletions=deletions,
            measured_cost=np.divide(visits, full) if reports else np.empty(0),
        ).plot(ax)

    @classmethod
    def from_estimator(
        cls,
        estimator: SISAClassifier,
        *,
        n_slices: Sequence[int] | None = None,
        max_deletions: int | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Draw the requests that a fitted ensemble has handled.

        Parameters
        ----------
        estimator : SISAClassifier
            Fitted.

        n_slices : list of int, default=None
            Numbers of slices of the expected costs, by default that of the ensemble.

        max_deletions : int, default=None
            Largest number of rows, or data subjects, in one request, by default at
            least 100.

        ax : matplotlib Axes, default=None
            Where to draw, by default a new figure.

        Returns
        -------
        display : ForgettingCostDisplay
        """
        if not hasattr(estimator, "forget_log_"):
            raise TypeError(
                f"{type(estimator).__name__} is not a fitted SISAClassifier. Fit it, "
                "or give the estimator_ of a post-processor."
            )
        plan = estimator.plan_
        return cls.from_reports(
            estimator.forget_log_,
            n_shards=plan.n_shards,
            n_slices=plan.n_slices if n_slices is None else n_slices,
            max_deletions=max_deletions,
            replay=estimator._state.recipe.replay,
            ax=ax,
        )

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw, by default a new figure.

        Returns
        -------
        display : ForgettingCostDisplay
        """
        from matplotlib.ticker import FuncFormatter, PercentFormatter

        ax = make_axes(ax, SIZE)
        tidy(ax)
        k = np.asarray(self.n_deletions)
        ax.set_xscale("log")
        ax.set_xlim(0.85 * k.min(), 1.15 * k.max())
        ax.axhline(1, color=FAINT, lw=1.2, zorder=1)
        ax.annotate(
            "full training",
            (k.min(), 1),
            xytext=(2, 3),
            textcoords="offset points",
            fontsize=9,
            color=MUTED,
        )
        self.lines_ = {}
        for i, (slices, cost) in enumerate(self.expected.items()):
            (self.lines_[slices],) = ax.plot(
                k, cost, color=color_of(i), ls=line_of(i), lw=1.8, zorder=3
            )
        marks = []
        if self.measured_deletions is not None and np.size(self.measured_deletions):
            marks = self._draw_requests(ax)
        ax.set_ylim(0, 1.08)
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))
        ax.set_xlabel("rows, or data subjects, forgotten in one request", color=INK)
        ax.set_ylabel("sample visits, share of a full training", color=INK)
        set_title(ax, self._title())
        if marks:
            ax.legend(handles=marks, fontsize=9, frameon=False, loc="lower right")
        self.labels_ = self._label_lines(ax, k)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _title(self):
        shards = f"{self.n_shards} shard" + "s" * (self.n_shards != 1)
        if self.measured_deletions is None or not np.size(self.measured_deletions):
            return f"Expected cost of forgetting, {shards}"
        n_requests = np.size(self.measured_deletions)
        requests = f"{n_requests} request" + "s" * (n_requests != 1)
        return f"Cost of forgetting, {shards}: expected, and n = {requests}"

    def _label_lines(self, ax, k):
        """Write the number of slices beside each line, each farther right."""
        curves = list(self.lines_.values())
        at = [len(k) * (i + 1) // (len(curves) + 1) for i in range(len(curves))]
        sparse = np.linspace(0, len(k) - 1, 12).astype(int)
        points = [line.get_xydata()[sparse] for line in curves]
        dots = np.empty((0, 2))
        if self.measured_deletions is not None:
            dots = np.column_stack([self.measured_deletions, self.measured_cost])
        return place_labels(
            ax,
            np.array([line.get_xydata()[i] for i, line in zip(at, curves)]),
            [f"{r} slice" + "s" * (r != 1) for r in self.lines_],
            [line.get_color() for line in curves],
            dots=dots,
            bars=[pair for line in points for pair in pairwise(line)],
        )

    def _draw_requests(self, ax):
        """Draw the measured requests; return the handles of the legend."""
        k, cost = np.asarray(self.measured_deletions), np.asarray(self.measured_cost)
        sizes, index, count = np.unique(k, return_inverse=True, return_counts=True)
        several = (count > 1)[index]
        mean = np.bincount(index, cost) / count
        marks = [
            ax.scatter(
                k,
                cost,
                s=np.where(several, 14, 34),
                alpha=0.55,
                color=INK,
                linewidth=0,
                zorder=4,
                label="measured request",
            )
        ]
        if several.any():
            marks.append(
                ax.scatter(
                    sizes[count > 1],
                    mean[count > 1],
                    s=70,
                    marker="_",
                    color=INK,
                    zorder=5,
                    label="mean of several",
                )
            )
        return marks


def _expect(n_shards, n_slices, max_deletions, replay):
    """Return numbers of deletions, and the expected cost by number of slices."""
    from ..sisa._plan import expected_replay_cost

    if max_deletions < 1:
        raise ValueError(f"max_deletions must be at least 1, got {max_deletions}.")
    # Fractional numbers make the curves smooth on the logarithmic axis.
    deletions = np.geomspace(1, max_deletions, 200)
    expected = {
        int(r): np.asarray(expected_replay_cost(n_shards, int(r), deletions, replay))
        for r in np.atleast_1d(n_slices)
    }
    return deletions, expected
