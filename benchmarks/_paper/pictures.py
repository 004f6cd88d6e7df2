"""Pictures of what the study found."""

import numpy as np

from sklearn_fairsisa.plotting import FairnessTradeoffDisplay
from sklearn_fairsisa.plotting._style import COLORS, LINES, MARKERS, tidy

from .judging import UNTOUCHED
from .summaries import GAP, SCORE, plain

_GAP_NAME = "equalized-odds difference"


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
        whole = part[part["deletion"].isna()]
        figures = {
            "tradeoff": _draw_tradeoffs(whole),
            "shards": _draw_shards(whole),
            "promised": _draw_promises(whole),
        }
        if part["deletion"].notna().any():
            figures["deletions"] = _draw_deletions(part)
        for kind, figure in figures.items():
            figure.savefig(folder / f"{kind}_{name}.png", dpi=110, facecolor="white")
            plt.close(figure)


def _panels(n_panels, n_columns, **settings):
    import matplotlib.pyplot as plt

    n_columns = min(n_panels, n_columns)
    n_rows = -(-n_panels // n_columns)
    figure, axes = plt.subplots(
        n_rows,
        n_columns,
        figsize=(4.6 * n_columns, 3.9 * n_rows),
        squeeze=False,
        layout="constrained",
        **settings,
    )
    for ax in axes.flat[n_panels:]:
        ax.set_visible(False)
    return figure, axes.flat


def _draw_tradeoffs(whole):
    shards = sorted(whole["n_shards"].unique())
    figure, axes = _panels(len(shards), 2)
    for ax, n_shards in zip(axes, shards):
        part = whole[whole["n_shards"] == n_shards]
        FairnessTradeoffDisplay.from_results(
            part,
            score=SCORE,
            gap=GAP,
            noise_floor=(part["floor"].min(), part["floor"].max()),
            ax=ax,
        )
        ax.set_title("one model" if n_shards == 1 else f"{n_shards} shards")
    return figure


def _draw_shards(whole):
    shards = sorted(whole["n_shards"].unique())
    methods = list(dict.fromkeys(whole["method"]))
    figure, (ax,) = _panels(1, 1)
    figure.set_size_inches(7, 5.2)
    for m, method in enumerate(methods):
        part = whole[whole["method"] == method].sort_values("n_shards")
        ends = part[[f"{GAP}_low", f"{GAP}_high"]].T.to_numpy()
        # Side by side, so that intervals do not hide each other.
        at = [shards.index(s) + 0.05 * (m - len(methods) / 2) for s in part["n_shards"]]
        ax.errorbar(
            at,
            part[GAP],
            yerr=np.abs(ends - part[GAP].to_numpy()),
            label=method,
            elinewidth=0.7,
            **_look(m, method),
        )
    floor = whole.groupby("n_shards")["floor"].max()
    ax.bar(range(len(floor)), floor, color="0.93", zorder=0, label="noise floor")
    ax.set_xticks(range(len(shards)), shards)
    ax.set(xlabel="shards", ylabel=_GAP_NAME, ylim=(0, None))
    _finish(figure, [ax])
    return figure


def _draw_promises(whole):
    shards = sorted(whole["n_shards"].unique())
    methods = list(dict.fromkeys(whole["method"]))
    figure, axes = _panels(len(shards), 2, sharey=True)
    axes = axes[: len(shards)]
    highest = whole[[f"{GAP}_high", "calibration_gap"]].max().max()
    for ax, n_shards in zip(axes, shards):
        part = whole[whole["n_shards"] == n_shards]
        at = [methods.index(method) for method in part["method"]]
        ends = part[[f"{GAP}_low", f"{GAP}_high"]].T.to_numpy()
        ax.hlines(at, part["calibration_gap"], part[GAP], color="0.6", linewidth=1)
        ax.plot(
            part["calibration_gap"],
            at,
            "o",
            markerfacecolor="none",
            markersize=9,
            color=COLORS[1],
            label="in calibration",
        )
        ax.errorbar(
            part[GAP],
            at,
            xerr=np.abs(ends - part[GAP].to_numpy()),
            fmt="o",
            elinewidth=0.7,
            color=COLORS[0],
            label="on people not seen, with interval",
        )
        ax.axvspan(0, part["floor"].max(), color="0.93", zorder=0, label="noise floor")
        ax.set_yticks(range(len(methods)), methods)
        # A ring at zero is drawn whole.
        ax.set(xlabel=_GAP_NAME, xlim=(-0.03 * highest, 1.02 * highest))
        ax.set_title("one model" if n_shards == 1 else f"{n_shards} shards")
    axes[0].invert_yaxis()
    _finish(figure, axes)
    return figure


def _draw_deletions(part):
    deleted = part[part["deletion"].notna()]
    cases = list(
        deleted[["n_shards", "deletion"]].drop_duplicates().itertuples(index=False)
    )
    figure, axes = _panels(len(cases), 2, sharey=True)
    axes = axes[: len(cases)]
    for ax, (n_shards, deletion) in zip(axes, cases):
        of_shards = part[part["n_shards"] == n_shards]
        for m, method in enumerate(dict.fromkeys(deleted["method"])):
            of_method = of_shards[of_shards["method"] == method]
            kinds = of_method["deletion"]
            curve = of_method[kinds.isna() | (kinds == deletion)].sort_values("share")
            ax.plot(100 * curve["share"], curve[GAP], label=method, **_look(m, method))
        floor = of_shards[of_shards["deletion"] == deletion]["floor"].max()
        ax.axhspan(0, floor, color="0.93", zorder=0, label="noise floor")
        whom = "anyone" if deletion == "uniform" else deletion.replace("=", " ")
        ax.set(
            title=f"{n_shards} shards forget {whom}",
            xlabel="% of training rows forgotten",
            ylabel=_GAP_NAME,
        )
    axes[0].set_ylim(0, None)
    _finish(figure, axes)
    return figure


def _look(m, method):
    return {
        "color": COLORS[m % len(COLORS)],
        # Where colours come round again, markers have moved on, and lines are dashed.
        "marker": MARKERS[(m + m // len(COLORS)) % len(MARKERS)],
        "linestyle": LINES[m // len(COLORS) % len(LINES)],
        "markersize": 4.5,
        "linewidth": 2.4 if method == UNTOUCHED else 1,
    }


def _finish(figure, axes):
    for ax in axes:
        tidy(ax)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=2, fontsize=8, frameon=False
    )
