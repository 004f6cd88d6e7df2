"""Pictures of what the study found.

``cd benchmarks && python -m _paper.pictures results/paper`` draws them again from the
tables in a folder. They are read on phones too: figures are 4.8 inches wide, have few
lines, and name them directly. The tables have every number.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression

from sklearn_fairsisa.plotting import FairnessTradeoffDisplay
from sklearn_fairsisa.plotting._style import (
    COLORS,
    MARKERS,
    SIZE,
    set_title,
    tidy,
)

from .judging import EVERY_ROW, UNTOUCHED
from .summaries import GAP, SCORE, plain

_GAP_NAME = "equalized-odds difference"
_TASKS = {"hatexplain": "HateXplain", "adult": "Adult", "compas": "COMPAS"}
_FLOOR = {"color": "0.93", "zorder": 0}
# Height of a line of a name, in points.
_LINE = 12

# What a picture of few lines shows: no rule, the optimal rule on votes, our default,
# and a peer's rule.
_HEADLINES = (UNTOUCHED, "ensemble", EVERY_ROW, "fairlearn ThresholdOptimizer")
_INSTEAD = {EVERY_ROW: "smooth_ensemble"}
_LOOKS = {
    UNTOUCHED: {"color": COLORS[-1], "linewidth": 2.4},
    "ensemble": {"color": COLORS[3]},
    "smooth_ensemble": {"color": COLORS[0], "linewidth": 2.0},
    EVERY_ROW: {"color": COLORS[0], "linewidth": 2.0},
    "fairlearn ThresholdOptimizer": {"color": COLORS[1]},
}


def draw_pictures(found, folder):
    """Draw, for each learner and attribute, what was measured of it.

    ``tradeoff``: gap against balanced accuracy. ``shards``: gap against the number of
    shards. ``promised``: gap in calibration and held out. ``deletions``: gap against
    the share of rows forgotten.
    """
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    keys = ["task", "learner", "attribute"]
    for key, part in found["methods"].groupby(keys, sort=False):
        name = "_".join(map(plain, key))
        title = _title(found, *key)
        whole = part[part["deletion"].isna()]
        figures = {
            "tradeoff": _draw_tradeoffs(whole, title),
            "shards": _draw_shards(whole, title),
            "promised": _draw_promises(whole, title),
        }
        if part["deletion"].notna().any():
            figures["deletions"] = _draw_deletions(part, title)
        for kind, figure in figures.items():
            figure.savefig(folder / f"{kind}_{name}.png", dpi=200, facecolor="white")
            plt.close(figure)


def _title(found, task, learner, attribute):
    """Return the task, the learner, and the number of people whose gap is compared."""
    learners, groups = found["learners"], found["groups"]
    note = learners["note"][learners["learner"] == learner].iloc[0]
    compared = groups["compared"].astype(bool)
    inside = compared & (groups["task"] == task) & (groups["attribute"] == attribute)
    return (
        f"{_TASKS.get(task, task)} by {attribute}, {learner}: {note}; "
        f"n = {groups['rows'][inside].sum():,} people"
    )


def _headlines(methods):
    """Return the methods that a picture of few lines shows."""
    known = set(methods)
    named = [m if m in known else _INSTEAD.get(m, m) for m in _HEADLINES]
    return [method for method in named if method in known]


def _panels(n_panels, height, **settings):
    """Return a figure of axes one below the other."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        n_panels,
        1,
        figsize=(SIZE[0], height * n_panels + 0.4),
        squeeze=False,
        layout="constrained",
        **settings,
    )
    return figure, axes[:, 0]


def _named_shards(n_shards):
    return "one model" if n_shards == 1 else f"{n_shards} shards"


def _first_and_last(whole):
    """Return the fewest and the most shards, or the only number of them."""
    return sorted({whole["n_shards"].min(), whole["n_shards"].max()})


def _draw_tradeoffs(whole, title):
    shards = _first_and_last(whole)
    figure, axes = _panels(len(shards), SIZE[1])
    for ax, n_shards in zip(axes, shards):
        part = whole[whole["n_shards"] == n_shards]
        FairnessTradeoffDisplay.from_results(
            part,
            score=SCORE,
            gap=GAP,
            noise_floor=(part["floor"].min(), part["floor"].max()),
            title=f"{title}\n{_named_shards(n_shards)}, with 95% intervals",
            ax=ax,
        )
    return figure


def _draw_shards(whole, title):
    shards = sorted(whole["n_shards"].unique())
    methods = _headlines(whole["method"])
    figure, (ax,) = _panels(1, SIZE[1])
    ends = []
    for m, method in enumerate(methods):
        part = whole[whole["method"] == method].sort_values("n_shards")
        # Side by side, so that intervals do not hide each other.
        at = [shards.index(s) + 0.08 * (m - len(methods) / 2) for s in part["n_shards"]]
        look = {"linewidth": 1.4, **_LOOKS[method]}
        low, high = part[f"{GAP}_low"], part[f"{GAP}_high"]
        ax.vlines(at, low, high, color=look["color"], lw=0.9, alpha=0.6)
        ax.plot(at, part[GAP], marker=MARKERS[m], markersize=5, **look)
        ends.append((at[-1], part[GAP].iloc[-1]))
    floor = whole.groupby("n_shards")["floor"].max()
    ax.bar(range(len(shards)), floor[shards], width=0.9, **_FLOOR)
    ax.set_xticks(range(len(shards)), shards)
    ax.set(xlabel="shards (gray: noise floor)", ylim=(0, None))
    ax.set_ylabel(f"{_GAP_NAME}, new people")
    tidy(ax)
    set_title(ax, f"{title}, with 95% intervals")
    _name_ends(ax, ends, methods)
    return figure


def _name_ends(ax, ends, methods):
    """Write the names of lines in the margin, each beside its last point."""
    names = [_in_two_lines(method) for method in methods]
    # Constrained layout sets the height of the axes.
    ax.figure.draw_without_rendering()
    points = ax.get_window_extent().height / ax.figure.dpi * 72
    at = ax.transAxes.inverted().transform(ax.transData.transform(ends))[:, 1]
    order = np.argsort(at, kind="stable")
    tall = np.array([_LINE * (1 + name.count("\n")) for name in names])[order] / points
    above = np.append(0, np.cumsum((tall[:-1] + tall[1:]) / 2))
    # As near as possible, in this order and without overlap, inside the axes.
    free = isotonic_regression(at[order] - above).x
    places = above + np.clip(free, tall[0] / 2, 1 - above[-1] - tall[-1] / 2)
    for i, place in zip(order, places):
        color = _LOOKS[methods[i]]["color"]
        ax.annotate(
            names[i],
            ends[i],
            (1.03, place),
            textcoords="axes fraction",
            color=color,
            fontsize=9,
            va="center",
            # From the middle of the name's left side.
            arrowprops={
                "arrowstyle": "-",
                "color": color,
                "lw": 0.8,
                "relpos": (0, 0.5),
            },
        )


def _draw_promises(whole, title):
    shards = _first_and_last(whole)
    n_methods = whole.groupby("n_shards").size().max()
    figure, axes = _panels(len(shards), 0.34 * n_methods + 0.7, sharex=True)
    highest = whole[[f"{GAP}_high", "calibration_gap"]].max().max()
    for ax, n_shards in zip(axes, shards):
        part = whole[whole["n_shards"] == n_shards]
        at = np.arange(len(part))
        ax.hlines(at, part[f"{GAP}_low"], part[f"{GAP}_high"], color=COLORS[0], lw=0.9)
        ring = {"markerfacecolor": "none", "markersize": 8, "color": COLORS[1]}
        ax.plot(part["calibration_gap"], at, "o", **ring)
        ax.plot(part[GAP], at, "o", markersize=5, color=COLORS[0])
        ax.axvspan(0, part["floor"].max(), lw=0, **_FLOOR)
        ax.set_yticks(at, [_in_two_lines(name) for name in part["method"]])
        # A ring at zero is drawn whole.
        ax.set(xlim=(-0.03 * highest, 1.02 * highest), ylim=(len(part) - 0.5, -0.5))
        tidy(ax)
        ax.tick_params(axis="y", labelsize=8)
        set_title(ax, _named_shards(n_shards))
    axes[-1].set_xlabel(f"{_GAP_NAME} (gray: noise floor)")
    figure.suptitle(
        f"{title.replace('; ', ';' + chr(10))}\n"
        "ring: in calibration; dot: on new people, 95% interval",
        fontsize=9.5,
    )
    return figure


def _in_two_lines(name):
    """Break a long name of a method in its middle."""
    if len(name) < 18:
        return name
    breaks = [i + 1 for i, c in enumerate(name[:-1]) if c in " _"]
    middle = min(breaks, key=lambda i: abs(i - len(name) / 2))
    return f"{name[:middle].rstrip()}\n{name[middle:]}"


def _draw_deletions(part, title):
    import matplotlib.pyplot as plt

    deleted = part[part["deletion"].notna()]
    cases = list(
        deleted[["n_shards", "deletion"]].drop_duplicates().itertuples(index=False)
    )
    n_columns = min(2, len(cases))
    n_rows = -(-len(cases) // n_columns)
    figure, axes = plt.subplots(
        n_rows,
        n_columns,
        figsize=(SIZE[0], 2.0 * n_rows + 1.1),
        squeeze=False,
        sharex=True,
        sharey=True,
        layout="constrained",
    )
    methods = _headlines(deleted["method"])
    for ax in axes.flat[len(cases) :]:
        ax.set_visible(False)
    for ax, (n_shards, deletion) in zip(axes.flat, cases):
        of_shards = part[part["n_shards"] == n_shards]
        for m, method in enumerate(methods):
            of_method = of_shards[of_shards["method"] == method]
            kinds = of_method["deletion"]
            curve = of_method[kinds.isna() | (kinds == deletion)].sort_values("share")
            look = {"marker": MARKERS[m], "markersize": 4, **_LOOKS[method]}
            ax.plot(100 * curve["share"], curve[GAP], label=method, **look)
        floor = of_shards[of_shards["deletion"] == deletion]["floor"].max()
        ax.axhspan(0, floor, lw=0, label="noise floor", **_FLOOR)
        tidy(ax)
        whom = "anyone" if deletion == "uniform" else deletion.split("=")[-1]
        set_title(ax, f"{_named_shards(n_shards)} forget {whom}")
    axes[0, 0].set_ylim(0, None)
    figure.suptitle(title.replace("; ", ";\n"), fontsize=9.5)
    for ax in axes[-1]:
        ax.set_xlabel("% of rows forgotten", fontsize=9)
    figure.supylabel(_GAP_NAME, fontsize=10)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=2, fontsize=9, frameon=False
    )
    return figure


def _read(folder):
    """Return the tables that the pictures need, as the study wrote them."""
    tables = ("methods", "groups", "learners")
    return {name: pd.read_csv(folder / f"{name}.csv") for name in tables}


if __name__ == "__main__":
    for given in map(Path, sys.argv[1:]):
        draw_pictures(_read(given), given)
