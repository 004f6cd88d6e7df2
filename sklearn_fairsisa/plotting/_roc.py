"""Display of the operating points that each group can reach."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from .._utils.groups import check_groups, encode_groups
from ._style import (
    FAINT,
    INK,
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

    from ..postprocessing import FairEnsemblePostprocessor

_RATES = ["false_positive_rate", "true_positive_rate"]

# More groups in one figure would be unreadable.
_MOST_IN_ONE = 4


class GroupRocDisplay:
    """Each group's region of (FPR, TPR), and its chosen points.

    The rules of a group reach the points between the diagonal and its boundary. Under
    equalized odds, all groups share one point, which lies in every region. Up to four
    groups are drawn in the same axes, more groups in axes of their own. It is
    recommended to create the display with :meth:`from_estimator` or
    :meth:`from_predictions`.

    Parameters
    ----------
    boundaries : dict of str to (array-like, array-like)
        For each group, the FPR and TPR of the vertices of its boundary, from (0, 0) to
        (1, 1).

    operating_points : dict of str to (float, float), default=None
        Chosen FPR and TPR of each group.

    member_points : dict of str to array-like of shape (n_members, 2), default=None
        FPR and TPR of each member in each group.

    aggregate_points : dict of str to (float, float), default=None
        FPR and TPR of the members' aggregate in each group.

    title : str, default=""
        What is drawn, above the axes.

    Attributes
    ----------
    ax_ : matplotlib Axes, or ndarray of Axes if each group has its own
    figure_ : matplotlib Figure
    labels_ : list of matplotlib Annotation
        Names of the groups, beside their boundaries; empty if each group has its own
        axes, and with more than four groups in one.

    Examples
    --------
    >>> from sklearn_fairsisa.plotting import GroupRocDisplay
    >>> display = GroupRocDisplay(
    ...     {"a": ([0, 0.2, 1], [0, 0.8, 1]), "b": ([0, 0.4, 1], [0, 0.7, 1])},
    ...     operating_points={"a": (0.4, 0.7), "b": (0.4, 0.7)}).plot()
    >>> display.ax_.get_xlabel()
    'false positive rate'
    """

    def __init__(
        self,
        boundaries: Mapping[Any, tuple[ArrayLike, ArrayLike]],
        *,
        operating_points: Mapping[Any, tuple[float, float]] | None = None,
        member_points: Mapping[Any, ArrayLike] | None = None,
        aggregate_points: Mapping[Any, tuple[float, float]] | None = None,
        title: str = "",
    ) -> None:
        self.boundaries = boundaries
        self.operating_points = operating_points
        self.member_points = member_points
        self.aggregate_points = aggregate_points
        self.title = title

    @classmethod
    def from_estimator(
        cls, estimator: FairEnsemblePostprocessor, *, ax: Axes | None = None
    ) -> Self:
        """Draw the operating points that a fitted post-processor chose in calibration.

        Parameters
        ----------
        estimator : FairEnsemblePostprocessor
            Fitted post-processor. The regions are its ``boundaries_``. With
            ``"postprocess_then_aggregate"``, which has no region of its own, they are
            those of all rules on the votes.

        ax : matplotlib Axes, default=None
            Where to draw, by default a new figure.

        Returns
        -------
        display : GroupRocDisplay
        """
        check_is_fitted(estimator)
        if not hasattr(estimator, "operating_points_"):
            raise TypeError(
                f"{type(estimator).__name__} is not a FairEnsemblePostprocessor, so it "
                "has no operating points. Give a fitted post-processor, or draw scores "
                "with from_predictions."
            )
        if len(estimator.classes_) > 2:
            raise ValueError(
                "False and true positive rates need two classes, but the "
                f"post-processor has {estimator.classes_.tolist()}. Use its "
                "operating_points_ instead."
            )
        names = estimator.groups_.tolist()
        members = estimator.member_points_
        of_all = members["member"] == "majority"
        aggregate = _points_of(members[of_all], names)
        chosen = _points_of(estimator.operating_points_, names)
        return cls(
            _regions_of(estimator, names),
            operating_points={name: points[0] for name, points in chosen.items()},
            member_points=_points_of(members[~of_all], names),
            aggregate_points={name: points[0] for name, points in aggregate.items()},
            title=_title_of(estimator),
        ).plot(ax)

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_score: ArrayLike,
        *,
        sensitive_features: ArrayLike,
        y_pred: ArrayLike | None = None,
        pos_label: object = None,
        ax: Axes | None = None,
    ) -> Self:
        """Draw the regions that thresholds on a score reach.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            Labels of two classes.

        y_score : array-like of shape (n_samples,)
            Scores. The boundary is the concave hull of a group's ROC curve.

        sensitive_features : array-like of shape (n_samples,)
            Groups, each with both labels.

        y_pred : array-like of shape (n_samples,), default=None
            Predicted labels or selection probabilities, drawn as operating points.

        pos_label : object, default=None
            Positive label, by default the greater one.

        ax : matplotlib Axes, default=None
            Where to draw, by default a new figure.

        Returns
        -------
        display : GroupRocDisplay
        """
        from ..fairness._cells import count_cells
        from ..fairness._rates import operating_points, tally
        from ..fairness._regions import threshold_regions
        from ..metrics._encoding import check_defined, encode

        y_true, y_score = np.asarray(y_true), np.asarray(y_score, dtype=float)
        names, group = encode_groups(check_groups(sensitive_features, len(y_true)))
        if y_pred is None:
            label, chosen = encode(y_true, y_score * 0, pos_label, soft=True)
        else:
            label, chosen = encode(y_true, y_pred, pos_label)
        total, selected = tally(group, label, chosen[:, 0], len(names))
        check_defined("equalized_odds_difference", total, names)
        cell = np.unique(y_score, return_inverse=True)[1]
        regions, _ = threshold_regions(count_cells(group, cell, label))
        points = None
        if y_pred is not None:
            points = dict(zip(names.tolist(), operating_points(total, selected)))
        return cls(
            {name: (r.fpr, r.tpr) for name, r in zip(names.tolist(), regions)},
            operating_points=points,
            title=f"thresholds on a score; n = {len(y_true):,} people",
        ).plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes in which to draw all groups. By default a new figure, with one axes per
            group if there are more than four.

        Returns
        -------
        display : GroupRocDisplay
        """
        names = list(self.boundaries)
        if not names:
            raise ValueError("boundaries is empty. Give at least one group.")
        if ax is None and len(names) > _MOST_IN_ONE:
            return self._plot_side_by_side(names)
        ax = make_axes(ax, (SIZE[0], SIZE[0]))
        crowded = len(names) > _MOST_IN_ONE
        self._frame(ax)
        self._draw_common(ax)
        for i, name in enumerate(names):
            self._draw_group(ax, name, color_of(i), line_of(i), crowded)
        self._draw_chosen(ax, {name: color_of(i) for i, name in enumerate(names)})
        handles, labels = self._group_handles(names) if crowded else ([], [])
        more = self._kind_handles()
        ax.set_xlabel("false positive rate")
        ax.set_ylabel("true positive rate")
        set_title(ax, self.title)
        _place_legend(ax, handles + more[0], labels + more[1])
        self.labels_ = [] if crowded else self._label_boundaries(ax, names)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _label_boundaries(self, ax, names):
        """Write the name of each group beside its boundary, where it lies apart."""
        fpr = np.linspace(0, 1, 41)
        curves = np.array([np.interp(fpr, *self.boundaries[name]) for name in names])
        bars = [pair for tpr in curves for pair in pairwise(zip(fpr, tpr))]
        return place_labels(
            ax,
            np.array([_farthest_point(fpr, curves, i) for i in range(len(names))]),
            [_shown(name) for name in names],
            [color_of(i) for i in range(len(names))],
            dots=self._drawn_points(names),
            bars=bars,
        )

    def _drawn_points(self, names):
        """Return the marks of all groups, shape (n_points, 2)."""
        kinds = self.operating_points, self.aggregate_points, self.member_points
        found = [
            np.reshape(np.asarray(points[name], dtype=float), (-1, 2))
            for points in kinds
            if points
            for name in names
            if name in points
        ]
        points = np.vstack([np.empty((0, 2)), *found])
        return points[np.isfinite(points).all(axis=1)]

    def _plot_side_by_side(self, names):
        import matplotlib.pyplot as plt

        # More columns would be too narrow on a phone.
        n_columns = 3
        n_rows = -(-len(names) // n_columns)
        figure, axes = plt.subplots(
            n_rows,
            n_columns,
            figsize=(SIZE[0], SIZE[0] / n_columns * n_rows + 0.8),
            sharex=True,
            sharey=True,
            layout="constrained",
            squeeze=False,
        )
        for ax in axes.flat[len(names) :]:
            ax.set_axis_off()
        for i, (ax, name) in enumerate(zip(axes.flat, names)):
            self._frame(ax)
            self._draw_common(ax)
            for other in names:
                if other != name:
                    self._draw_boundary(ax, other, FAINT, "-", width=0.7, zorder=1)
            self._draw_group(ax, name, color_of(i), "-")
            self._draw_chosen(ax, {name: color_of(i)})
            ax.set_title(_shown(name), fontsize=10, color=color_of(i), pad=3)
        # Axes above empty axes are the lowest of their column.
        for ax in axes.flat[max(0, len(names) - n_columns) : len(names)]:
            ax.tick_params(labelbottom=True)
            ax.set_xlabel("false positive rate", fontsize=9)
        for ax in axes[:, 0]:
            ax.set_ylabel("true positive rate", fontsize=9)
        figure.suptitle(self.title.replace("; ", "\n"), fontsize=9.5, color=INK)
        handles, labels = self._kind_handles(others=True)
        figure.legend(
            handles,
            labels,
            loc="outside lower center",
            ncols=3,
            frameon=False,
            fontsize=9,
        )
        self.ax_, self.figure_, self.labels_ = axes, figure, []
        return self

    def _frame(self, ax):
        tidy(ax)
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        ticks = np.linspace(0, 1, 6)
        labels = ["0", ".2", ".4", ".6", ".8", "1"]
        ax.set_xticks(ticks, labels)
        ax.set_yticks(ticks, labels)
        ax.plot([0, 1], [0, 1], color=FAINT, lw=0.9, ls=(0, (4, 3)), zorder=1)

    def _draw_common(self, ax):
        """Shade the points that every group can reach."""
        fpr = np.unique(np.concatenate([b[0] for b in self.boundaries.values()]))
        # Lines also cross between vertices, where the lowest boundary has further
        # vertices.
        fpr = np.unique(np.concatenate([fpr, np.linspace(0, 1, 501)]))
        lowest = np.min([np.interp(fpr, *b) for b in self.boundaries.values()], axis=0)
        ax.fill_between(fpr, fpr, lowest, color="#ECECEC", lw=0, zorder=0)

    def _draw_boundary(self, ax, name, color, line, width, zorder):
        fpr, tpr = self.boundaries[name]
        ax.plot(fpr, tpr, color=color, ls=line, lw=width, zorder=zorder)

    def _draw_group(self, ax, name, color, line, crowded=False):
        self._draw_boundary(ax, name, color, line, width=1.7, zorder=3)
        if self.member_points is not None and name in self.member_points:
            points = np.asarray(self.member_points[name], dtype=float)
            look = {"s": 7, "alpha": 0.35} if crowded else {"s": 13, "alpha": 0.55}
            ax.scatter(*points.T, color=color, lw=0, zorder=4, **look)
        if self.aggregate_points is not None and name in self.aggregate_points:
            ax.scatter(
                *self.aggregate_points[name],
                s=42,
                marker="D",
                facecolor="white",
                edgecolor=color,
                lw=1.5,
                zorder=5,
            )

    def _draw_chosen(self, ax, colors):
        """Draw operating points; coinciding points share one star."""
        chosen = self.operating_points or {}
        points = {n: np.asarray(chosen[n], dtype=float) for n in colors if n in chosen}
        points = {n: p for n, p in points.items() if np.isfinite(p).all()}
        drawn = np.empty((0, 2))
        for name, point in points.items():
            if len(drawn) and np.abs(drawn - point).max(axis=1).min() < 1e-6:
                continue
            drawn = np.vstack([drawn, point])
            shared = [np.abs(p - point).max() < 1e-6 for p in points.values()]
            ax.scatter(
                *point,
                s=190,
                marker="*",
                color=INK if sum(shared) > 1 else colors[name],
                edgecolor="white",
                linewidth=1,
                zorder=7,
            )

    def _group_handles(self, names):
        from matplotlib.lines import Line2D

        handles = [
            Line2D([], [], color=color_of(i), ls=line_of(i), lw=1.8)
            for i in range(len(names))
        ]
        return handles, [_shown(name) for name in names]

    def _kind_handles(self, others=False):
        """Return handles and labels that explain the kinds of marks."""
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        def mark(**style):
            return Line2D([], [], **{"ls": "", "color": INK, **style})

        kinds = [(Patch(color="#ECECEC"), "reachable by all")]
        if others:
            kinds.append((mark(ls="-", lw=0.9, color=FAINT), "other groups"))
        if self.operating_points:
            kinds.append((mark(marker="*", ms=12, mec="white"), "chosen"))
        if self.aggregate_points:
            kinds.append((mark(marker="D", ms=6, mfc="white", mew=1.5), "majority"))
        if self.member_points:
            kinds.append((mark(marker="o", ms=4, alpha=0.55), "members"))
        return [handle for handle, _ in kinds], [label for _, label in kinds]


def _place_legend(ax, handles, labels):
    """Draw a legend below the diagonal if it fits there, else outside the axes."""
    from matplotlib.transforms import ScaledTranslation

    if not handles:
        return
    figure = ax.figure.figure
    small = {"fontsize": 7.5, "handlelength": 1.6, "columnspacing": 1.0}
    for style in ({"fontsize": 9}, small):
        style |= {"frameon": False}
        legend = ax.legend(
            handles, labels, loc="lower right", borderaxespad=0.2, **style
        )
        # Constrained layout moves the axes, so it is applied before they are measured.
        figure.draw_without_rendering()
        size = legend.get_window_extent()
        inside = size.transformed(ax.transAxes.inverted())
        if inside.x0 > inside.y1:
            return
    inch = figure.dpi
    if ax.get_window_extent().width + size.width + inch < figure.bbox.width:
        anchor = {"loc": "center left", "bbox_to_anchor": (1.02, 0.5)}
    else:
        below = ScaledTranslation(0, -0.45, figure.dpi_scale_trans)
        anchor = {
            "loc": "upper center",
            "bbox_to_anchor": (0.5, 0),
            "bbox_transform": ax.transAxes + below,
            "ncols": max(1, int(figure.bbox.width / (size.width + inch / 20))),
        }
    ax.legend(handles, labels, borderaxespad=0, **anchor, **style)


def _farthest_point(fpr, curves, i):
    """Return the point of a curve that is farthest from all others, within [.1, .7]."""
    inside = np.flatnonzero((fpr >= 0.1) & (fpr <= 0.7))
    others = np.delete(curves, i, axis=0)
    if not len(others):
        return fpr[inside[0]], curves[i, inside[0]]
    apart = np.abs(others - curves[i]).min(axis=0)[inside]
    at = inside[np.argmax(apart)]
    return fpr[at], curves[i, at]


def _shown(name):
    return ", ".join(map(str, name)) if isinstance(name, tuple) else str(name)


def _points_of(frame, names):
    """Return FPR and TPR of each group, of shape (n_points, 2); NaN if undefined."""
    # One by one, since a Series compares a tuple element by element.
    groups, rates = frame["group"].tolist(), frame[_RATES].to_numpy()
    return {name: rates[[group == name for group in groups]] for name in names}


def _title_of(estimator):
    """Return the method, the rows, and what the regions are of."""
    from ..postprocessing._methods import METHODS

    method = estimator._problem.method
    drawn = f"{method}, n = {len(estimator._rows):,} calibration rows"
    if METHODS[method].has_rule_per_member:
        return f"{drawn}; regions of all rules on the votes"
    regions = (
        "weighted sum of logits"
        if hasattr(estimator, "member_weights_")
        else ("votes" if method == "ensemble" else "the ensemble's label")
    )
    estimated = ", as estimated" if method == "smooth_ensemble" else ""
    return f"{drawn}; regions of {regions}{estimated}"


def _regions_of(estimator, names):
    """Return the vertices of the boundary of each group that has one."""
    from ..postprocessing._methods import METHODS

    if METHODS[estimator._problem.method].has_rule_per_member:
        return _regions_of_votes(estimator._rows, names)
    points = _points_of(estimator.boundaries_, names)
    return {name: tuple(of.T) for name, of in points.items() if len(of)}


def _regions_of_votes(rows, names):
    """Return the vertices of the regions of all rules on votes, per group with rows."""
    from ..fairness._cells import count_cells, vote_patterns
    from ..fairness._regions import likelihood_regions
    from ..fairness._vote_rules import counted_votes

    rows = rows.weighed
    codes, group = np.unique(rows.group, return_inverse=True)
    cell = vote_patterns(counted_votes(rows.votes, rows.counted))[1]
    regions, _ = likelihood_regions(count_cells(group, cell, rows.label, rows.weight))
    return {names[code]: (of.fpr, of.tpr) for code, of in zip(codes, regions)}
