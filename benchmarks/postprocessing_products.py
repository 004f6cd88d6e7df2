"""From the same rows in all, whose fair classifier is the better on new people?

Run ``python benchmarks/postprocessing_products.py``; it takes about ten minutes on one
core, continues where it was cut off (see ``_pieces.py``), and writes
``results/postprocessing_products.json`` and ``.png``.

Whoever post-processes with a peer holds rows out from the members, here 20 or 50% of
them, and calibrates on these. By default ours trains the members on every row and
calibrates across shards. All are given the same rows, and are judged on the same new
people, 30% of the task; a peer is compared with ours at the peer's own held-out gap
(see ``_heldout.py``). Our rule calibrated on the same held-out rows stands beside, and
tells how much of the gain comes from the rule, how much from the calibration.

The tasks are those of ``postprocessing_heldout.py``, without groups below 5% of the
rows, of which a fifth of the rows would not show each label.
"""

import argparse
import warnings

import numpy as np
from _common import add_output_argument, print_table, write_result
from _heldout import (
    DEFAULT,
    FEWEST,
    OBJECTIVE,
    TOLERANCES,
    add_arguments,
    compare_ours,
    compare_peers,
    curve,
    draw,
    fewest,
    large_groups,
    measure,
    sisa,
    summarise,
    with_floor,
)
from _peers import SCORE_PEERS, available_peers
from _pieces import Pieces

from sklearn_fairsisa import FairEnsemblePostprocessor
from sklearn_fairsisa.exceptions import DegenerateRuleWarning

HELD_OUT = (0.2, 0.5)
EVERY_ROW = "ours, every row"


def held_out(method, share):
    return f"{method}, {share:.0%} held out"


OWN_RULE = held_out(DEFAULT, HELD_OUT[0])


def experiment(peers):
    """Return an experiment on growing sets of rows to train and calibrate on."""

    def run(data, n_shards, split, sizes):
        data = large_groups(*data)
        order = np.random.default_rng(split).permutation(len(data[1]))
        available, new = np.split(order, [int(0.7 * len(order))])
        new = tuple(part[new] for part in data)
        for n_rows in dict.fromkeys(min(n, len(available)) for n in sizes):
            given = tuple(part[available[:n_rows]] for part in data)
            yield n_rows, products(given, new, n_shards, split, peers)

    return run


def products(given, new, n_shards, seed, peers):
    """Judge ours and the peers'."""
    X, y, group = given
    found = []
    for share in HELD_OUT:
        fair = FairEnsemblePostprocessor(
            sisa(n_shards, seed), calibration=share, random_state=seed
        ).fit(X, y, sensitive_features=group)
        rows = fair.calibration_indices_
        if fewest(y[rows], group[rows], np.unique(group)) < FEWEST:
            return [{"method": "none", "failed": "too few rows"}]
        scores, new_scores = (fair.estimator_.transform(p) for p in (X[rows], new[0]))
        calibration, judged = (scores, y[rows], group[rows]), (new_scores, *new[1:])
        compared = [*compare_peers(calibration, judged, peers)]
        if share == HELD_OUT[0]:
            compared += compare_ours(calibration, judged)
        found += [{**row, "method": held_out(row["method"], share)} for row in compared]
    fair = FairEnsemblePostprocessor(
        sisa(n_shards, seed), objective=OBJECTIVE, random_state=seed
    ).fit(X, y, sensitive_features=group)
    found += [{"method": EVERY_ROW, **row} for row in curve(fair, new, TOLERANCES)]
    return with_floor(found, fair, new)


def report(means, overall):
    """Print what was found at tol=0."""
    print("\nHeld out, at tol=0, means over all numbers of shards and rows:")
    strict = [m for m in means if m["tol"] in (0.0, None)]
    rows = []
    for task, method in dict.fromkeys((m["task"], m["method"]) for m in strict):
        mine = [m for m in strict if (m["task"], m["method"]) == (task, method)]
        names = "accuracy", "balanced_accuracy", "gap", "floor"
        row = {name: np.mean([m[name] for m in mine]) for name in names}
        rows.append({"task": task, "method": method, **row})
    print_table(rows, {"task": "", "method": ""} | dict.fromkeys(names, ".3f"))
    print(
        "\nGain in balanced accuracy over others at tol=0, at their own held-out gap,"
    )
    print(
        "mean over all numbers of shards and rows with a 95% interval over splits; won"
    )
    print("and lost: cells whose own interval excludes 0. Then the gain of our rule")
    print("calibrated on the same held-out rows as they:")
    own = {(o["task"], o["against"]): o for o in overall if o["ours"] == OWN_RULE}
    rows = []
    for o in overall:
        if o["ours"] == EVERY_ROW and o["tol"] == 0.0:
            # The rest have other rows to calibrate on.
            same = o["against"].endswith(held_out("", HELD_OUT[0]))
            rule = own.get((o["task"], o["against"]), {}) if same else {}
            alone = {f"rule_{k}": rule.get(k) for k in ("gain", "low", "high")}
            rows.append({**o, **alone})
    print_table(
        rows,
        {"task": "", "against": "", "gain": "+.4f", "low": "+.4f", "high": "+.4f",
         "cells": "", "won": "", "lost": "", "rule_gain": "+.4f", "rule_low": "+.4f",
         "rule_high": "+.4f"},
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser, shards=[5, 10], sizes=[1000, 3000, 10_000])
    add_output_argument(parser, "postprocessing_products")
    args = parser.parse_args()
    warnings.simplefilter("ignore", DegenerateRuleWarning)
    pieces = Pieces.beside(args.output)
    rows = measure(experiment(available_peers()), args, pieces)
    means, duels, overall = summarise(rows, (EVERY_ROW, OWN_RULE))
    report(means, overall)
    methods = [
        held_out(name, HELD_OUT[0]) for name in ("none", "ensemble", *SCORE_PEERS)
    ]
    picture = args.output.with_suffix(".png")
    size = args.sizes[len(args.sizes) // 2]
    draw(means, picture, args.shards[0], size, [*methods, OWN_RULE, EVERY_ROW])
    tables = {"means": means, "duels": duels, "overall": overall}
    write_result(args.output, args, {"pieces": pieces.counts, **tables})


if __name__ == "__main__":
    main()
