"""Fair rules judged on new people, over tasks and random splits.

A peer is compared with ours *at the peer's own held-out gap*. Ours are therefore run at
several tolerances: between two of these points, and from the strictest one towards a
fair coin, a mixture of two rules reaches what lies between.
"""

import os
from functools import cache
from itertools import product

import numpy as np
from _peers import Calibration, PeerUnavailable
from _tabular import load_table
from scipy.special import expit, logit
from sklearn.linear_model import SGDClassifier

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.metrics import (
    expected_accuracy_score,
    expected_balanced_accuracy_score,
    expected_equalized_odds_difference,
    noise_floor,
)

DEFAULT = "smooth_ensemble"
HEAR_VOTES = (
    "aggregate_then_postprocess",
    "postprocess_then_aggregate",
    "ensemble",
)
OTHERS = (*HEAR_VOTES, "soft_ensemble")
ON_VOTES = f"{DEFAULT} on votes"
"""The default method, which hears votes alone, as the paper's three methods do."""
TOLERANCES = (0.0, 0.04, 0.08, 0.15, 0.3, 1.0)
# The default method was chosen on these tasks.
CHOSEN_ON = (
    "synthetic",
    "compas",
    "adult",
    "hatexplain religion",
    "hatexplain race",
)
TABLES = {
    "compas": "race",
    "adult": "race",
    "insurance": "ethnicity",
    "arrests": "colour",
    "mortgages": "race",
    "wages": "ethnicity",
    "crime": "race",
}
TASKS = (*CHOSEN_ON, "insurance", "arrests")
# Picked when the default method was what it is, and run once.
UNSEEN = ("mortgages", "wages", "crime")
OBJECTIVE = "balanced_accuracy_score"
# With fewer rows of a label and group no method has anything to go by.
FEWEST = 5


def load(name, cache):
    """Features, labels and groups of a task; None where its data are missing."""
    if name == "synthetic":
        rng = np.random.default_rng(0)
        n = 20_000
        group = rng.choice(3, n, p=[0.7, 0.2, 0.1])
        y = rng.random(n) < np.array([0.5, 0.8, 0.35])[group]
        strength = np.array([0.8, 0.5, 0.6])[group] * np.where(y, 1, -1)
        X = rng.normal(size=(n, 10))
        X[:, 0] += strength
        X[:, 1] += strength * (group - 1)
        X[:, 2] += 0.5 * group
        return X, y.astype(int), group.astype(str)
    if name in TABLES:
        table = load_table(name)
        return table.X, table.y, table.groups[TABLES[name]]
    return load_hatexplain(name.split()[1], cache)


def load_hatexplain(attribute, cache):
    from sklearn_fairsisa.cli._learner import make_learner
    from sklearn_fairsisa.cli._task import load_task

    try:
        task = load_task("hatexplain", attribute=attribute, n_samples=None)
        _, encoder, _ = make_learner(
            "minilm", frozen=True, epochs=None, batch_size=32, max_length=128,
            cache=cache,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        print(f"hatexplain is left out: {error}")
        return None
    X = encoder.fit_transform(task.X)
    known = np.flatnonzero([group is not None for group in task.groups])
    return X[known], task.y[known], task.groups[known].astype(str)


def large_groups(X, y, group, share=0.05):
    """Rows of groups that are more than a share of all."""
    names, sizes = np.unique(group, return_counts=True)
    large = np.isin(group, names[sizes > share * len(group)])
    return X[large], y[large], group[large]


def sisa(n_shards, seed):
    """Return an unfitted ensemble of logistic models."""
    learner = SGDClassifier(loss="log_loss", alpha=1e-3)
    return SISAClassifier(learner, n_shards=n_shards, epochs=5, random_state=seed)


def judge(probability, y, group):
    """Expected quality and gap of decisions."""
    return {
        "accuracy": expected_accuracy_score(y, probability),
        "balanced_accuracy": expected_balanced_accuracy_score(y, probability),
        "gap": expected_equalized_odds_difference(
            y, probability, sensitive_features=group
        ),
    }


def calibrated(method, calibration):
    """Return a method fitted on calibration rows, given as scores, y, group."""
    scores, y, group = calibration
    fair = FairEnsemblePostprocessor(method=method, objective=OBJECTIVE, random_state=0)
    return fair.fit(scores, y, sensitive_features=group)


def with_floor(rows, fair, new):
    """Add the gap that a fair rule with the rates of `fair` would show by chance."""
    X, y, group = new
    chosen = fair.selection_probability(X, sensitive_features=group)
    floor = noise_floor(y, chosen, sensitive_features=group, random_state=0)
    return [{**row, "floor": floor.mean} for row in rows]


def compare_ours(calibration, new):
    """Judge our methods, calibrated on the same rows.

    Parameters
    ----------
    calibration, new : tuple of scores, y, group

    Yields
    ------
    dict
        Method, tolerance and quality.
    """
    for method in (DEFAULT, *OTHERS):
        tolerances = TOLERANCES if method == DEFAULT else [0.0]
        for row in curve(calibrated(method, calibration), new, tolerances):
            yield {"method": method, **row}
    fair = calibrated(DEFAULT, votes_of(calibration))
    for row in curve(fair, votes_of(new), TOLERANCES):
        yield {"method": ON_VOTES, **row}


def votes_of(people):
    scores, *truth = people
    return (scores > 0.5).astype(float), *truth


def curve(fair, new, tolerances):
    """Tolerances, each with the quality on new people."""
    X, y, group = new
    found = fair.tradeoff(tolerances, X, y, sensitive_features=group)
    found = found.rename(columns={"equalized_odds_difference": "gap"})
    return found[["tol", "accuracy", "balanced_accuracy", "gap"]].to_dict("records")


def compare_peers(calibration, new, peers):
    """Judge the majority as it is, then peers, calibrated on the same rows.

    Parameters
    ----------
    calibration, new : tuple of scores, y, group
    peers : dict of str to callable

    Yields
    ------
    dict
        Method, tolerance and quality; or why a peer failed.
    """
    scores, y, group = calibration
    new_scores, *truth = new
    majority = (new_scores > 0.5).mean(axis=1) > 0.5
    yield {"method": "none", "tol": None, **judge(majority.astype(float), *truth)}
    # What a peer is given is the mean logit, which soft methods see too.
    mean, new_mean = (mean_score(s) for s in (scores, new_scores))
    names, code = np.unique(group, return_inverse=True)
    new_code = np.searchsorted(names, truth[1])
    for name, peer in peers.items():
        row = {"method": name, "tol": 0.0}
        try:
            done = peer(Calibration(mean, y, code), new_mean, new_code, OBJECTIVE)
        except PeerUnavailable as error:
            yield {**row, "failed": str(error)}
        else:
            yield {**row, **judge(done.probability, *truth)}


def mean_score(scores):
    return expit(logit(scores.clip(1e-6, 1 - 1e-6)).mean(axis=1))


def fewest(y, group, names):
    return min(np.sum((group == a) & (y == label)) for a in names for label in (0, 1))


def add_arguments(parser, *, shards, sizes):
    """Options of a run over tasks, numbers of shards and of rows, and splits."""
    parser.add_argument(
        "--tasks", nargs="+", choices=(*TASKS, *UNSEEN), default=list(TASKS)
    )
    parser.add_argument("--shards", type=int, nargs="+", default=shards)
    parser.add_argument("--sizes", type=int, nargs="+", default=sizes)
    parser.add_argument("--splits", type=int, default=12)
    parser.add_argument(
        "--cache", default=os.environ.get("SKLEARN_FAIRSISA_CACHE"),
        help="folder of the encoder's vectors (default: $SKLEARN_FAIRSISA_CACHE)",
    )  # fmt: skip


def measure(experiment, args, pieces):
    """Run an experiment on each task, split and number of shards; return all rows.

    Parameters
    ----------
    experiment : callable
        Takes data, number of shards, seed and sizes; yields a size with its rows.
    args : argparse.Namespace
    pieces : Pieces
        Of earlier runs; those that are missing are measured and added.
    """
    data = cache(lambda name: load(name, args.cache))
    rows = []
    # Splits vary slowest, so that a run cut off has measured each task.
    for split, name, n_shards in product(range(args.splits), args.tasks, args.shards):
        given = {"task": name, "n_shards": n_shards, "split": split}
        key = {**given, "sizes": args.sizes}
        found = pieces.read(key)
        if found is None:
            if data(name) is None:
                continue
            found = [
                {"n_rows": n_rows, **row}
                for n_rows, of_size in experiment(
                    data(name), n_shards, split, args.sizes
                )
                for row in of_size
            ]
            pieces.keep(key, found)
            print(f"{name}, {n_shards} shards, split {split}", flush=True)
        rows += [{**given, **row} for row in found if "failed" not in row]
    return rows


def summarise(rows, ours, n_resamples=1000):
    """Means over splits, gains at equal gap in each cell, and over cells.

    A cell is a task with a number of shards and of rows. Intervals are of the mean
    over random splits of the task's rows, by bootstrap over splits.

    Parameters
    ----------
    rows : list of dict
    ours : tuple of str
        Methods that are compared with all others at tol=0.

    Returns
    -------
    means, duels, overall : list of dict
    """
    cells = {}
    for r in rows:
        cell = cells.setdefault((r["task"], r["n_shards"], r["n_rows"]), {})
        cell.setdefault((r["method"], r["tol"]), {})[r["split"]] = r
    n_splits = 1 + max(r["split"] for r in rows)
    rng = np.random.default_rng(0)
    # How often each split is drawn; once each at first.
    draws = rng.multinomial(n_splits, np.full(n_splits, 1 / n_splits), n_resamples)
    draws = np.vstack([np.ones(n_splits, dtype=int), draws])
    means, duels, pooled = [], [], {}
    for cell, table in sorted(cells.items()):
        key = dict(zip(("task", "n_shards", "n_rows"), cell))
        splits = sorted(set.intersection(*(set(v) for v in table.values())))
        if len(splits) < n_splits / 4:
            continue
        points = {}
        for (method, tol), by_split in table.items():
            row = {**key, "method": method, "tol": tol, "splits": len(splits)}
            for name in ("accuracy", "balanced_accuracy", "gap", "floor"):
                column = np.array([by_split[split][name] for split in splits])
                row[name] = column.mean()
                row[f"{name}_error"] = column.std(ddof=1) / np.sqrt(len(column))
            means.append(row)
            points[method, tol] = mean_points(by_split, splits, draws)
        for mine, (method, tol) in product(ours, points):
            if method == mine or tol:
                continue
            curve = np.array([v for (name, _), v in points.items() if name == mine])
            gains = [
                value_at_gap(gap, curve[:, i]) - value
                for i, (gap, value) in enumerate(points[method, tol])
            ]
            duel = {"ours": mine, "against": method, "tol": tol}
            duels.append({**key, **duel, **interval(gains)})
            pooled.setdefault((key["task"], *duel.values()), []).append(gains)
    overall = [
        dict(zip(("task", "ours", "against", "tol"), key))
        | interval(np.mean(gains, axis=0))
        | {
            "cells": len(gains),
            "won": sum(interval(g)["low"] > 0 for g in gains),
            "lost": sum(interval(g)["high"] < 0 for g in gains),
        }
        for key, gains in pooled.items()
    ]
    return means, duels, overall


def mean_points(by_split, splits, draws):
    """Mean gap and balanced accuracy in each draw, of shape (n_draws, 2)."""
    drawn = draws[:, splits]
    # Where none of the cell's splits is drawn, the draw says nothing of it.
    drawn = np.where(drawn.any(axis=1, keepdims=True), drawn, 1)
    names = "gap", "balanced_accuracy"
    values = [[by_split[split][name] for name in names] for split in splits]
    return drawn @ values / drawn.sum(axis=1, keepdims=True)


def value_at_gap(gap, points):
    """Balanced accuracy of mixtures of rules at a gap, the coin among them."""
    gaps, values = np.array([(0.0, 0.5), *points]).T
    order = np.argsort(gaps)
    # Where more gap buys nothing the stricter rule is the one to take.
    return np.interp(gap, gaps[order], np.maximum.accumulate(values[order]))


def interval(gains):
    """The gain over all splits, which comes first, and its 95% bootstrap interval."""
    low, high = np.quantile(gains[1:], (0.025, 0.975))
    return {"gain": gains[0], "low": low, "high": high}


def draw(means, path, n_shards, n_rows, methods):
    """Gap against balanced accuracy, one panel per task.

    Parameters
    ----------
    means : list of dict
    path : Path
    n_shards : int
    n_rows : int
        The panel of a task shows its size nearest to this.
    methods : list of str
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    tasks = [t for t in (*TASKS, *UNSEEN) if any(m["task"] == t for m in means)]
    n_columns = min(len(tasks), 4)
    n_lines = -(-len(tasks) // n_columns)
    figure, axes = plt.subplots(
        n_lines, n_columns, figsize=(3.2 * n_columns, 3.2 * n_lines + 0.6),
        layout="constrained", squeeze=False,
    )  # fmt: skip
    for ax in axes.flat[len(tasks) :]:
        ax.remove()
    for ax, task in zip(axes.flat, tasks):
        here = [m for m in means if m["task"] == task and m["n_shards"] == n_shards]
        size = min((m["n_rows"] for m in here), key=lambda n: abs(n - n_rows))
        here = [m for m in here if m["n_rows"] == size]
        for i, method in enumerate(methods):
            points = [m for m in here if m["method"] == method]
            ax.errorbar(
                [m["gap"] for m in points],
                [m["balanced_accuracy"] for m in points],
                xerr=[m["gap_error"] for m in points],
                yerr=[m["balanced_accuracy_error"] for m in points],
                marker="o" if len(points) > 2 else "sDP^vXd<>"[i],
                linestyle="-" if len(points) > 1 else "none",
                markersize=4,
                color=f"C{i}",
                label=method,
            )
        noise = np.mean([m["floor"] for m in here])
        ax.axvline(noise, color="0.7", linestyle=":", label="noise floor")
        ax.set(title=f"{task}\n{size} rows, S={n_shards}", xlabel="held-out gap")
    for ax in axes[:, 0]:
        ax.set_ylabel("balanced accuracy, new people")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8)
    figure.savefig(path, dpi=100)
