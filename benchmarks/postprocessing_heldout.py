"""Which post-processor is fair, and accurate, on people that it has not seen?

Run ``python benchmarks/postprocessing_heldout.py``; it takes about 25 minutes on two
cores, goes on where it was cut off, and writes ``results/postprocessing_heldout.json``
and ``.png``. ``--quick`` takes two minutes.

Members are logistic models, trained by SISA on 40% of the rows; calibration rows are
drawn from the next 30%, and the last 30% are new people. Everything is repeated over
random splits. Ours are run at several tolerances, so that a peer is compared with ours
*at the peer's own held-out gap*: between two of our points, and from the strictest one
towards a fair coin, a mixture of the rules reaches what lies between.

The tasks are HateXplain (frozen MiniLM vectors; left out where its files or the encoder
are missing), Adult and COMPAS by race, and a synthetic one with a small group.
"""

import argparse
import json
import os
import warnings
from itertools import product
from pathlib import Path

import numpy as np
from _common import add_output_argument, print_table, write_result
from _peers import Calibration, PeerUnavailable, available_peers, error_parity
from _tabular import load_table
from scipy.special import expit, logit
from sklearn.linear_model import SGDClassifier

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.exceptions import DegenerateRuleWarning
from sklearn_fairsisa.metrics import (
    expected_accuracy_score,
    expected_balanced_accuracy_score,
    expected_equalized_odds_difference,
    noise_floor,
)

OURS = (
    "aggregate_then_postprocess",
    "postprocess_then_aggregate",
    "ensemble",
    "soft_ensemble",
    "smooth_ensemble",
)
TOLERANCES = (0.0, 0.05, 0.12, 0.25)
# Methods that are compared with ours at their own gap need no whole curve.
FEW_TOLERANCES = (0.0, 0.12)
BEST = ("soft_ensemble", "smooth_ensemble")
TASKS = (
    "synthetic",
    "compas",
    "adult",
    "hatexplain religion",
    "hatexplain race",
)
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
    if name in ("compas", "adult"):
        table = load_table(name)
        return table.X, table.y, table.groups["race"]
    return load_hatexplain(name.split()[1], cache)


def load_hatexplain(attribute, cache):
    from sklearn_fairsisa.job._learner import make_learner
    from sklearn_fairsisa.job._task import load_task

    try:
        task = load_task("hatexplain", attribute=attribute, n_samples=None)
        _, encoder, _ = make_learner(
            "minilm", frozen=True, epochs=None, batch_size=32, max_length=128,
            cache=cache,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        print(f"hatexplain is left out: {error}")
        return None
    X = encoder.fit_transform(task.texts)
    known = np.flatnonzero([group is not None for group in task.groups])
    return X[known], task.y[known], task.groups[known].astype(str)


def split_rows(X, y, group, n_shards, split):
    """Members' scores of the pool to calibrate on, and of new people."""
    rng = np.random.default_rng([split, n_shards])
    order = rng.permutation(len(y))
    train, pool, new = np.split(order, [int(0.4 * len(y)), int(0.7 * len(y))])
    members = SISAClassifier(
        SGDClassifier(loss="log_loss", alpha=1e-3),
        n_shards=n_shards,
        epochs=5,
        random_state=split,
    ).fit(X[train], y[train])
    return [(members.transform(X[p]), y[p], group[p]) for p in (pool, new)]


def judge(probability, y, group):
    return {
        "accuracy": expected_accuracy_score(y, probability),
        "balanced_accuracy": expected_balanced_accuracy_score(y, probability),
        "gap": expected_equalized_odds_difference(
            y, probability, sensitive_features=group
        ),
    }


def compare(calibration, new, peers, tolerances):
    """Held-out quality of every method at every tolerance it has."""
    scores, y, group = calibration
    new_scores, new_y, new_group = new
    rows = []

    def note(name, tol, probability):
        row = {"method": name, "tol": tol, **judge(probability, new_y, new_group)}
        rows.append(row)
        return row

    note("none", None, ((new_scores > 0.5).mean(axis=1) > 0.5).astype(float))
    for method, tol in product(OURS, tolerances):
        if method not in BEST and tol not in FEW_TOLERANCES:
            continue
        rule = FairEnsemblePostprocessor(
            method=method, tol=tol, objective=OBJECTIVE, random_state=0
        ).fit(scores, y, sensitive_features=group)
        chosen = rule.selection_probability(new_scores, sensitive_features=new_group)
        row = note(method, tol, chosen)
        row["gap_in_calibration"] = expected_equalized_odds_difference(
            y,
            rule.selection_probability(scores, sensitive_features=group),
            sensitive_features=group,
        )
        row["randomised"] = rule.randomised_share_
        if method == "smooth_ensemble" and tol == 0:
            floor = noise_floor(
                new_y, chosen, sensitive_features=new_group, random_state=0
            ).mean
    # What a peer is given is the mean logit, which soft methods see too.
    mean, new_mean = (mean_score(s) for s in (scores, new_scores))
    names, code = np.unique(group, return_inverse=True)
    new_code = np.searchsorted(names, new_group)
    given = Calibration(mean, y, code)
    for name, peer in peers.items():
        wanted = FEW_TOLERANCES if peer is error_parity else (0.0,)
        for tol in wanted:
            extra = {"tol": tol} if peer is error_parity else {}
            try:
                done = peer(given, new_mean, new_code, OBJECTIVE, **extra)
            except PeerUnavailable as error:
                rows.append({"method": name, "tol": tol, "failed": str(error)})
            else:
                note(name, tol, done.probability)
    return [{**row, "floor": floor} for row in rows]


def mean_score(scores):
    return expit(logit(scores.clip(1e-6, 1 - 1e-6)).mean(axis=1))


def measure(args, peers, partial):
    """Run what `partial` does not hold yet; return all rows."""
    done = [json.loads(line) for line in partial.open()] if partial.exists() else []
    seen = {(r["task"], r["n_shards"], r["split"]) for r in done}
    data = {name: load(name, args.cache) for name in args.tasks}
    # Splits go last, so that a run cut off has something to say of each task.
    for split, name, n_shards in product(range(args.splits), data, args.shards):
        if data[name] is None or (name, n_shards, split) in seen:
            continue
        pool, new = split_rows(*data[name], n_shards, split)
        rows = []
        for n_rows in args.sizes:
            if n_rows > len(pool[1]):
                continue
            calibration = tuple(part[:n_rows] for part in pool)
            key = {"task": name, "n_shards": n_shards, "split": split}
            key["n_calibration"] = n_rows
            if fewest(*calibration[1:], np.unique(data[name][2])) < FEWEST:
                rows.append({**key, "method": "none", "failed": "too few rows"})
                continue
            found = compare(calibration, new, peers, args.tolerances)
            rows += [{**key, **row} for row in found]
        with partial.open("a") as file:
            file.write("".join(json.dumps(row) + "\n" for row in rows))
        done += rows
        print(f"{name}, {n_shards} shards, split {split}", flush=True)
    return [row for row in done if "failed" not in row]


def fewest(y, group, names):
    return min(np.sum((group == a) & (y == label)) for a in names for label in (0, 1))


def value_at_gap(gap, points):
    """Balanced accuracy of mixtures of rules at a gap, the coin among them."""
    gaps, values = np.array([(0.0, 0.5), *points]).T
    order = np.argsort(gaps)
    # Where more gap buys nothing the stricter rule is the one to take.
    return np.interp(gap, gaps[order], np.maximum.accumulate(values[order]))


def summarise(rows, n_resamples=500):
    """Means over splits with intervals, and the comparison at equal gap."""
    keys = sorted({(r["task"], r["n_shards"], r["n_calibration"]) for r in rows})
    means, duels = [], []
    for task, n_shards, n_rows in keys:
        mine = [
            r
            for r in rows
            if (r["task"], r["n_shards"], r["n_calibration"])
            == (task, n_shards, n_rows)
        ]
        table = {}
        for r in mine:
            table.setdefault((r["method"], r["tol"]), {})[r["split"]] = r
        key = {"task": task, "n_shards": n_shards, "n_calibration": n_rows}
        for (method, tol), by_split in table.items():
            values = list(by_split.values())
            row = {**key, "method": method, "tol": tol, "splits": len(values)}
            for name in ("accuracy", "balanced_accuracy", "gap", "floor"):
                column = np.array([v[name] for v in values])
                row[name] = column.mean()
                row[f"{name}_error"] = column.std(ddof=1) / np.sqrt(len(column))
            means.append(row)
        duels += duel(key, table, n_resamples)
    return means, duels


def duel(key, table, n_resamples):
    """Gain in balanced accuracy of our best methods over others at their own gap."""
    splits = sorted(set.intersection(*(set(v) for v in table.values())))
    if len(splits) < 2:
        return []
    rng = np.random.default_rng(0)
    draws = [splits] + [rng.choice(splits, len(splits)) for _ in range(n_resamples)]
    found = []
    for (method, tol), by_split in table.items():
        for ours in BEST:
            if method == ours:
                continue
            curve = [v for (name, _), v in table.items() if name == ours]
            gains = []
            for draw in draws:
                points = [mean_point(v, draw) for v in curve]
                gap, value = mean_point(by_split, draw)
                gains.append(value_at_gap(gap, points) - value)
            low, high = np.quantile(gains[1:], (0.025, 0.975))
            row = {**key, "ours": ours, "against": method, "tol": tol}
            found.append({**row, "gain": gains[0], "low": low, "high": high})
    return found


def mean_point(by_split, draw):
    chosen = [by_split[split] for split in draw]
    return [np.mean([r[name] for r in chosen]) for name in ("gap", "balanced_accuracy")]


def report(means, duels):
    strict = [m for m in means if m["tol"] in (0.0, None)]
    print("\nHeld out, at tol=0:")
    print_table(
        strict,
        {"task": "", "n_shards": "", "n_calibration": "", "method": "",
         "accuracy": ".3f", "balanced_accuracy": ".3f",
         "balanced_accuracy_error": ".3f",
         "gap": ".3f", "gap_error": ".3f", "floor": ".3f"},
    )  # fmt: skip
    print(
        "\nGain in balanced accuracy over others at tol=0, at their own held-out gap,"
    )
    print("mean over all numbers of shards and calibration rows; won and lost: cells")
    print("whose 95% interval over splits excludes zero:")
    rows = []
    strict = [d for d in duels if d["tol"] in (0.0, None) and d["against"] != "none"]
    for key in sorted({(d["task"], d["ours"], d["against"]) for d in strict}):
        cells = [d for d in strict if (d["task"], d["ours"], d["against"]) == key]
        rows.append(
            dict(zip(("task", "ours", "against"), key))
            | {
                "gain": np.mean([d["gain"] for d in cells]),
                "cells": len(cells),
                "won": sum(d["low"] > 0 for d in cells),
                "lost": sum(d["high"] < 0 for d in cells),
            }
        )
    print_table(
        rows,
        {"task": "", "ours": "", "against": "", "gain": "+.4f", "cells": "",
         "won": "", "lost": ""},
    )  # fmt: skip
    return rows


def draw(means, path, n_shards, n_rows):
    """Gap against balanced accuracy, one panel per task."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    tasks = [t for t in TASKS if any(m["task"] == t for m in means)]
    figure, axes = plt.subplots(
        1, len(tasks), figsize=(3.4 * len(tasks), 3.6), layout="constrained"
    )
    for ax, task in zip(np.atleast_1d(axes), tasks):
        here = [m for m in means if m["task"] == task and m["n_shards"] == n_shards]
        sizes = {m["n_calibration"] for m in here}
        size = min(sizes, key=lambda n: abs(n - n_rows))
        here = [m for m in here if m["n_calibration"] == size]
        for i, method in enumerate(dict.fromkeys(m["method"] for m in here)):
            points = [m for m in here if m["method"] == method]
            ax.errorbar(
                [m["gap"] for m in points],
                [m["balanced_accuracy"] for m in points],
                xerr=[m["gap_error"] for m in points],
                yerr=[m["balanced_accuracy_error"] for m in points],
                marker="o" if method in OURS else "s",
                linestyle="-" if len(points) > 1 else "none",
                markersize=4,
                color=f"C{i}",
                label=method,
            )
        ax.axvline(np.mean([m["floor"] for m in here]), color="0.7", linestyle=":")
        ax.set(title=f"{task}\n{size} rows, S={n_shards}", xlabel="held-out gap")
    np.atleast_1d(axes)[0].set_ylabel("balanced accuracy, new people")
    handles, labels = np.atleast_1d(axes)[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=8)
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--shards", type=int, nargs="+", default=[1, 3, 5, 10, 20])
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[250, 1000, 4000, 10_000]
    )
    parser.add_argument("--splits", type=int, default=12)
    parser.add_argument("--tolerances", type=float, nargs="+", default=TOLERANCES)
    parser.add_argument(
        "--quick", action="store_true", help="few splits, one S, no peers"
    )
    parser.add_argument(
        "--cache", default=os.environ.get("SKLEARN_FAIRSISA_CACHE"),
        help="folder of the encoder's vectors (default: $SKLEARN_FAIRSISA_CACHE)",
    )  # fmt: skip
    add_output_argument(parser, "postprocessing_heldout")
    args = parser.parse_args()
    if args.quick:
        args.shards, args.sizes, args.splits = [5], [250, 1000], 4
        args.tolerances = [0.0, 0.12, 0.25]
        args.output = Path("postprocessing_heldout.json")
    warnings.simplefilter("ignore", DegenerateRuleWarning)
    peers = {} if args.quick else available_peers()
    args.output.parent.mkdir(parents=True, exist_ok=True)
    rows = measure(args, peers, args.output.with_suffix(".partial"))
    means, duels = summarise(rows)
    overall = report(means, duels)
    draw(
        means, args.output.with_suffix(".png"), args.shards[len(args.shards) // 2], 1000
    )
    # Where vectors are kept says nothing of the result.
    del args.cache
    write_result(
        args.output, args, {"means": means, "duels": duels, "overall": overall},
        packages=("error-parity", "aif360"),
    )  # fmt: skip


if __name__ == "__main__":
    main()
