"""Whose fair decisions are the best for people not seen, from the same rows in all?

Run ``python benchmarks/comparison.py --cache DIR`` (HateXplain by
``SKLEARN_FAIRSISA_DATA``; it is left out where its files or the encoder are missing).
It continues where it was cut off (see ``_pieces.py``), and writes
``results/comparison.json`` and ``.png``.

Each person is judged once in each repeat of the folds, by rules that learnt from rows
of the other folds. All rules are given the same rows. Ours train and calibrate on all
of them, as does fairlearn's ExponentiatedGradient; the others calibrate on half of the
rows, which the members have not seen, as LinearPost's authors do. Our default
calibrated on the same half stands beside them.

Gaps are those of all folds together. First come plain differences at the strictest
tolerances; then at equal gap, where each rule's tolerance is chosen on other folds than
it is judged on (see ``_judging.py``). Groups below 5% of the rows are left out.
"""

import argparse
import os
import warnings
from functools import cache
from itertools import product

import numpy as np
from _common import add_output_argument, print_table, write_result
from _judging import balanced_accuracy, compare, count, describe, gap
from _peers import SCORE_PEERS, PeerUnavailable
from _pieces import Pieces
from _rules import (
    BLIND,
    BLIND_PEERS,
    HELD_OUT,
    LEARNERS,
    MEMBERS,
    NO_RULE,
    ON_SCORES,
    OURS,
    RULES,
    Problem,
)
from _tasks import TASKS, large_groups, load
from sklearn.model_selection import KFold

from sklearn_fairsisa.exceptions import (
    DegenerateRuleWarning,
    SharedCoinWarning,
    UnsupportedToleranceWarning,
)

# With fewer rows of a label and group no method has anything to go by.
FEWEST = 5
DUELS = {
    OURS: (NO_RULE, MEMBERS, *SCORE_PEERS, *BLIND_PEERS),
    HELD_OUT: (*SCORE_PEERS, *ON_SCORES),
    BLIND: BLIND_PEERS,
}
"""Which rules are compared with which."""


def measure(data, key, rules, known):
    """Judge rules on one fold.

    Parameters
    ----------
    data : tuple of X, y, group
    key : dict
        Of the piece: learner, n_shards, rows, repeat, fold, folds.
    rules : list of str
    known : dict
        What earlier runs found.

    Returns
    -------
    dict of str to dict
        Tolerances, seconds, selected people and the squares of their probabilities of
        each rule, or why it failed; under "people" their numbers by label and group.
    """
    X, y, group = data
    names, code = np.unique(group, return_inverse=True)
    folds = KFold(key["folds"], shuffle=True, random_state=key["repeat"])
    given, new = list(folds.split(X))[key["fold"]]
    # They are in the order of the data.
    given = np.random.default_rng([key["repeat"], key["fold"]]).permutation(given)
    given = given[: key["rows"]]
    problem = Problem(
        X[given], y[given], code[given], X[new], code[new],
        LEARNERS[key["learner"]], key["n_shards"], key["repeat"],
    )  # fmt: skip
    half = problem.parts[1]
    if (
        count(np.zeros(len(half)), problem.y[half], problem.group[half], len(names))[
            0
        ].min()
        < FEWEST
    ):
        return {"failed": "too few rows of a label and group"}
    found = dict(known)
    for name in rules:
        try:
            decided = RULES[name](problem)
        except PeerUnavailable as error:
            found[name] = {"failed": str(error)}
            continue
        several = decided if isinstance(decided, dict) else {name: decided}
        for each, one in several.items():
            counts = [count(p, y[new], code[new], len(names)) for p in one.probability]
            found["people"] = counts[0][0].tolist()
            found[each] = {
                "tolerances": one.tolerances,
                "seconds": round(one.seconds, 3),
                "counts": np.round([c[1:] for c in counts], 3).tolist(),
            }
    return found


def run(args, pieces):
    """Measure what is missing; return a dict of (task, learner) to found pieces.

    Each is a dict of repeat to list of what was found, fold by fold.
    """
    data = cache(lambda name: load(name, args.cache))
    table = {}
    # Repeats vary slowest, so that a run cut off has measured each task.
    for repeat, learner, task, fold in product(
        range(args.repeats), args.learners, args.tasks, range(args.folds)
    ):
        key = {
            "task": task, "learner": learner, "n_shards": args.shards,
            "rows": args.rows, "repeat": repeat, "fold": fold, "folds": args.folds,
        }  # fmt: skip
        found = pieces.read(key) or {}
        missing = [r for r in args.rules if r not in found and "failed" not in found]
        if missing:
            if data(task) is None:
                continue
            found = measure(large_groups(*data(task)), key, missing, found)
            pieces.keep(key, found)
            print(f"{task}, {learner}, repeat {repeat}, fold {fold}", flush=True)
        if "failed" not in found:
            table.setdefault((task, learner), {}).setdefault(repeat, []).append(found)
    return table


def curves_of(repeats, rule, n_folds):
    """Curves of a rule in each repeat that has all folds, and its seconds."""
    curves, seconds = [], []
    for folds in repeats.values():
        if len(folds) < n_folds or any("counts" not in f.get(rule, {}) for f in folds):
            continue
        by_fold = []
        for found in folds:
            counts = np.array(found[rule]["counts"])
            people = np.broadcast_to(found["people"], counts[:, :1].shape)
            by_fold.append(np.concatenate([people, counts], axis=1))
            seconds.append(found[rule]["seconds"])
        curves.append(np.stack(by_fold, axis=1))
    return curves, np.mean(seconds) if seconds else np.nan


def summarise(table, n_folds):
    """Levels of all rules, and duels of those in `DUELS`.

    Returns
    -------
    levels, duels : list of dict
    points : dict of (task, learner, rule) to ndarray of shape (n_tolerances, 2)
        Gap and balanced accuracy of the curve.
    """
    levels, duels, points = [], [], {}
    for (task, learner), repeats in table.items():
        curves, seconds = {}, {}
        for rule in dict.fromkeys(name for f in repeats[0] for name in f):
            found, seconds[rule] = curves_of(repeats, rule, n_folds)
            if rule == "people" or not found:
                continue
            curves[rule] = found
            row = {"task": task, "learner": learner, "rule": rule}
            levels.append({**row, **describe(found), "seconds": seconds[rule]})
            pooled = np.mean([c.sum(axis=1) for c in found], axis=0)
            points[task, learner, rule] = np.column_stack(
                [gap(pooled), balanced_accuracy(pooled)]
            )
        for ours, others in DUELS.items():
            for other in others:
                if ours in curves and other in curves:
                    row = {"task": task, "learner": learner, "ours": ours}
                    estimates = compare(curves[ours], curves[other])
                    duels.append(
                        {**row, "against": other, **_flat(estimates)}
                        | {"times": seconds[other] / max(seconds[ours], 1e-9)}
                    )
    return levels, duels, points


def _flat(estimates):
    return {
        f"{name}{end}": getattr(estimate, field)
        for name, estimate in estimates.items()
        for end, field in (("", "value"), ("_low", "low"), ("_high", "high"))
    }


def verdicts(duels):
    """For each pair, the number of tasks at which ours is ahead, and so on."""
    rows = []
    pairs = dict.fromkeys((d["learner"], d["ours"], d["against"]) for d in duels)
    for learner, ours, against in pairs:
        mine = [
            d
            for d in duels
            if (d["learner"], d["ours"], d["against"]) == (learner, ours, against)
        ]
        gain = "balanced_accuracy_at_equal_gap"
        rows.append(
            {
                "learner": learner,
                "ours": ours,
                "against": against,
                "tasks": len(mine),
                "smaller_gap": sum(d["gap_high"] < 0 for d in mine),
                "larger_gap": sum(d["gap_low"] > 0 for d in mine),
                "not_behind": sum(d[gain] >= 0 for d in mine),
                "ahead": sum(d[f"{gain}_low"] > 0 for d in mine),
                "behind": sum(d[f"{gain}_high"] < 0 for d in mine),
                "times": float(np.median([d["times"] for d in mine])),
            }
        )
    return rows


def report(levels, duels):
    """Print all tables, plain differences first."""
    print("\nAt the strictest tolerance, all folds together:")
    form = {"gap": ".3f", "floor": ".3f", "balanced_accuracy": ".3f", "seconds": ".2f"}
    print_table(levels, dict.fromkeys(("task", "learner", "rule"), "") | form)
    shown = [
        {
            **{k: d[k] for k in ("task", "learner", "ours", "against")},
            **{
                what: f"{d[what]:+.3f} [{d[f'{what}_low']:+.3f}, "
                f"{d[f'{what}_high']:+.3f}]"
                for what in (
                    "gap", "balanced_accuracy", "balanced_accuracy_at_equal_gap",
                    "gap_at_equal_gap",
                )
            },
        }
        for d in duels
    ]  # fmt: skip
    print("\nOurs minus the other, plainly and at equal gap, with 95% intervals:")
    print_table(shown)
    print("\nNumber of tasks; times: how often ours fits into the other's time:")
    print_table(
        verdicts(duels),
        dict.fromkeys(verdicts(duels)[0], "") | {"times": ".1f"},
    )


def draw(points, path, learner):
    """Draw gap against balanced accuracy on new people, a panel per task."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    tasks = list(dict.fromkeys(t for t, of, _ in points if of == learner))
    n_columns = min(len(tasks), 5)
    n_lines = -(-len(tasks) // n_columns)
    figure, axes = plt.subplots(
        n_lines, n_columns, figsize=(3.2 * n_columns, 3.2 * n_lines + 0.6),
        layout="constrained", squeeze=False,
    )  # fmt: skip
    for ax in axes.flat[len(tasks) :]:
        ax.remove()
    rules = (NO_RULE, OURS, HELD_OUT, BLIND, *SCORE_PEERS, *BLIND_PEERS)
    for ax, task in zip(axes.flat, tasks):
        for i, rule in enumerate(rules):
            if (task, learner, rule) in points:
                x, y = points[task, learner, rule].T
                ax.plot(x, y, marker="osDPX*v^<>"[i], ms=4, color=f"C{i}", label=rule)
        ax.set(title=task, xlabel="gap, new people")
    for ax in axes[:, 0]:
        ax.set_ylabel("balanced accuracy, new people")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8)
    figure.savefig(path, dpi=100)


def main():
    """Measure what is missing, then print and draw all of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--learners", nargs="+", choices=LEARNERS, default=["logistic"])
    parser.add_argument("--rules", nargs="+", choices=RULES, default=list(RULES))
    parser.add_argument("--shards", type=int, default=5)
    parser.add_argument("--rows", type=int, default=4000, help="at most, per fold")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument(
        "--cache", default=os.environ.get("SKLEARN_FAIRSISA_CACHE"),
        help="folder of the encoder's vectors (default: $SKLEARN_FAIRSISA_CACHE)",
    )  # fmt: skip
    add_output_argument(parser, "comparison")
    args = parser.parse_args()
    for expected in (
        DegenerateRuleWarning,
        SharedCoinWarning,
        UnsupportedToleranceWarning,
    ):
        warnings.simplefilter("ignore", expected)
    pieces = Pieces.beside(args.output)
    table = run(args, pieces)
    levels, duels, points = summarise(table, args.folds)
    report(levels, duels)
    draw(points, args.output.with_suffix(".png"), args.learners[0])
    tables = {"levels": levels, "duels": duels, "verdicts": verdicts(duels)}
    write_result(args.output, args, {"pieces": pieces.counts, **tables})


if __name__ == "__main__":
    main()
