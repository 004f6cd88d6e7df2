"""The picture of what was found: gap against the number of shards."""

import numpy as np

from sklearn_fairsisa.plotting._style import COLORS, tidy

from .rules import DEFAULT, NONE, WITHOUT_GROUP

_SHOWN = {
    NONE: "no rule",
    DEFAULT: "default rule",
    WITHOUT_GROUP: "default rule, group not known",
    "fairlearn ThresholdOptimizer": "fairlearn ThresholdOptimizer",
}


def draw_gaps(rows, path, note):
    """Draw the gap of some rules against the number of shards, a panel per attribute.

    Parameters
    ----------
    rows : list of dict
        Of `compare_rules`, of one corpus and model.
    path : Path
    note : str
        Title of the figure.
    """
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    attributes = list(dict.fromkeys(row["attribute"] for row in rows))
    figure, axes = plt.subplots(
        1,
        len(attributes),
        figsize=(4.6 * len(attributes), 4.2),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, attribute in zip(axes.flat, attributes):
        _draw_panel(ax, [row for row in rows if row["attribute"] == attribute])
        ax.set_title(attribute)
        tidy(ax)
    axes.flat[0].set_ylabel("equalized-odds difference\non people not seen")
    axes.flat[0].set_ylim(0, None)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=1 + len(attributes),
        frameon=False,
        fontsize=9,
    )
    figure.suptitle(note, fontsize=10)
    figure.savefig(path, dpi=120, facecolor="white")
    plt.close(figure)


def _draw_panel(ax, rows):
    shards = sorted({row["n_shards"] for row in rows})
    for r, (rule, label) in enumerate(_SHOWN.items()):
        # Without a rule the single model is that of all rows; with one, it held some
        # out to calibrate on.
        own = sorted(
            (row for row in rows if row["rule"] == rule and _is_shown(row)),
            key=lambda row: row["n_shards"],
        )
        if not own:
            continue
        value, low, high = (
            np.array([row[name] for row in own])
            for name in ("gap", "gap_low", "gap_high")
        )
        at = [shards.index(row["n_shards"]) + 0.08 * (r - 1.5) for row in own]
        ax.errorbar(
            at,
            value,
            yerr=[value - low, high - value],
            fmt="o-",
            color=COLORS[r],
            markersize=5,
            linewidth=1.5,
            elinewidth=0.9,
            label=label,
        )
    floors = [max(row["floor"] for row in rows if row["n_shards"] == s) for s in shards]
    ax.bar(range(len(shards)), floors, color="0.92", zorder=0, label="noise floor")
    ax.set_xticks(range(len(shards)), shards)
    ax.set_xlabel("number of shards")


def _is_shown(row):
    return row["n_shards"] > 1 or row["holds_out"] == (row["rule"] != NONE)
