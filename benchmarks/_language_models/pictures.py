"""The picture of what was found: gap against the number of shards."""

import numpy as np

from sklearn_fairsisa.plotting._style import COLORS, INK, MUTED, tidy

from .cases import (
    ANSWERED,
    FINAL,
    TOO_FEW,
    UNTRAINED,
    planned_shards,
    sources,
)
from .rules import DEFAULT, NONE

_SHOWN = {NONE: ("no rule", COLORS[1]), DEFAULT: ("default rule", COLORS[0])}
# A phone shows 4.8 inches on about 360 pixels, where 9 points are still 9 pixels.
_WIDTH, _HEIGHT = 4.8, 2.5


def draw_gaps(rows, path, title):
    """Draw the gap against the number of shards, a panel for each attribute.

    Parameters
    ----------
    rows : list of dict
        Of `compare_rules`, of one corpus and model.
    path : Path
    title : str
    """
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    rows = [row for row in rows if row["rule"] in _SHOWN and _is_shown(row)]
    attributes = list(dict.fromkeys(row["attribute"] for row in rows))
    figure, axes = plt.subplots(
        len(attributes),
        1,
        figsize=(_WIDTH, 1.0 + _HEIGHT * len(attributes)),
        squeeze=False,
        layout="constrained",
    )
    for ax, attribute in zip(axes.flat, attributes):
        own = [row for row in rows if row["attribute"] == attribute]
        _draw_panel(ax, own)
        people = max(row["people"] for row in own)
        ax.set_title(
            f"by {attribute}: {people:,} people, {_splits(own)}",
            fontsize=9.5,
            color=INK,
            loc="left",
        )
    axes.flat[-1].set_xlabel("number of shards")
    figure.supylabel(
        "equalized-odds difference on people not seen", fontsize=9.5, color=INK
    )
    figure.suptitle(title, fontsize=10.5, color=INK, x=0.01, ha="left")
    figure.text(0.01, -0.005, _note(rows), fontsize=9, color=MUTED, va="top")
    figure.savefig(path, dpi=150, facecolor="white", bbox_inches="tight")
    plt.close(figure)


def _draw_panel(ax, rows):
    shards = planned_shards(rows[0]["corpus"], rows[0]["model"])
    for rule, (label, color) in _SHOWN.items():
        own = sorted(
            (row for row in rows if row["rule"] == rule),
            key=lambda row: row["n_shards"],
        )
        if own:
            _draw_rule(ax, own, shards, label, color)
    # A bar for each number of shards that is there.
    floors = {}
    for row in rows:
        at = shards.index(row["n_shards"])
        floors[at] = max(row["floor"], floors.get(at, 0))
    ax.bar(floors.keys(), floors.values(), width=0.7, color="0.9", zorder=0)
    ax.set_xticks(range(len(shards)), shards)
    ax.set_xlim(-0.5, len(shards) + 0.4)
    ax.set_ylim(0, None)
    tidy(ax)


def _draw_rule(ax, rows, shards, label, color):
    offset = -0.06 if label == _SHOWN[NONE][0] else 0.06
    at = np.array([shards.index(row["n_shards"]) + offset for row in rows])
    value, low, high = (
        np.array([row[name] for row in rows]) for name in ("gap", "gap_low", "gap_high")
    )
    ready = np.array([row["stage"] in ANSWERED for row in rows])
    ax.plot(at[ready], value[ready], color=color, linewidth=1.5)
    for x, y, ends, is_ready in zip(at, value, zip(low, high), ready):
        ax.plot([x, x], ends, color=color, linewidth=1)
        face = color if is_ready else "white"
        ax.plot(x, y, "o", color=color, markerfacecolor=face, markersize=5)
    ax.annotate(
        label,
        (at[-1], value[-1]),
        xytext=(7, 0),
        textcoords="offset points",
        color=color,
        fontsize=9,
        va="bottom",
    )


def _splits(rows):
    done = {row["folds"] for row in rows}
    planned = max(row["planned"] for row in rows)
    shown = f"{min(done)} to {max(done)}" if len(done) > 1 else f"{min(done)}"
    return f"{shown} of {planned} splits"


def _note(rows):
    over = " or ".join(sorted({sources(row) for row in rows}))
    lines = [
        f"Lines: 95% intervals over {over}. Grey: the mean gap of a fair rule.",
    ]
    stages = {row["stage"] for row in rows}
    if TOO_FEW in stages:
        lines.append("Hollow: folds are missing, too few to compare.")
    if UNTRAINED in stages:
        lines.append("Hollow: members that have not learnt.")
    if stages != {FINAL}:
        lines.append("Provisional: the study is not finished.")
    return "\n".join(lines)


def _is_shown(row):
    # Without a rule the single model is that of all rows; with one, it held some out
    # to calibrate on.
    return row["n_shards"] > 1 or row["holds_out"] == (row["rule"] != NONE)
