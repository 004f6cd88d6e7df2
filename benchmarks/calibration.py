"""Hold rows out, calibrate across shards, or on training rows: what do new people see?

Run ``python benchmarks/calibration.py``; it continues where it was cut off (see
``_pieces.py``) and writes ``results/calibration.json``. For members that hardly overfit
(logistic models) and for members that memorise (trees grown to purity), each over the
same rows:

- 10, 20 or 50% held out from the members;
- across shards: every row trains and calibrates, new people are judged with each
  member left out in turn;
- the same, but new people are judged by all members at once;
- leaky: the rule is calibrated on the training rows, scored by all members.

Gap and balanced accuracy are of new people, at ``tol=0``. `promised` is the greatest
distance between a rate in calibration and on new people: it tells a bias, which no
number of rows cures, from the noise of few calibration rows.
"""

import argparse
import warnings
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
from _common import add_output_argument, print_table, write_result
from _judging import OBJECTIVE, judge
from _pieces import Pieces
from _tasks import large_groups, load
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import SGDClassifier
from sklearn.tree import DecisionTreeClassifier

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.exceptions import (
    DegenerateRuleWarning,
    SharedCoinWarning,
    UnsupportedToleranceWarning,
)
from sklearn_fairsisa.metrics import group_rates

LEARNERS = {
    "logistic": SGDClassifier(loss="log_loss", alpha=1e-3),
    "tree": DecisionTreeClassifier(),
}
HELD_OUT = (0.1, 0.2, 0.5)
METHODS = ("ensemble", "soft_ensemble", "smooth_ensemble")


def compare(learner, n_shards, method, given, new, seed):
    """Quality of every way to calibrate."""
    X, y, group = given
    params = {"method": method, "objective": OBJECTIVE, "random_state": seed}

    def sisa():
        return SISAClassifier(learner, n_shards=n_shards, random_state=seed)

    for share in HELD_OUT:
        fair = FairEnsemblePostprocessor(sisa(), calibration=share, **params)
        fair.fit(X, y, sensitive_features=group)
        yield f"{share:.0%} held out", quality(fair, new)
    fair = FairEnsemblePostprocessor(sisa(), calibration="cross_shard", **params)
    fair.fit(X, y, sensitive_features=group)
    yield "across shards", quality(fair, new)
    if method != "ensemble":
        # A pattern without a gap is one that no calibration row shows.
        chosen = decided_by_all_members(fair, new[0], new[2])
        yield "across shards, all members", quality(fair, new, chosen)
    fair = FairEnsemblePostprocessor(FrozenEstimator(sisa().fit(X, y)), **params)
    fair.fit(X, y, sensitive_features=group)
    yield "leaky", quality(fair, new)


def decided_by_all_members(fair, X, group):
    """Probability of selection where no member is left out of a decision."""
    serving = fair._serving()
    rule = replace(serving.calibrated.rule, silent_share=None)
    code = np.searchsorted(serving.calibrated.problem.groups, group)
    return rule.selection_probability(serving.evidence(X, code), code)


def quality(fair, new, chosen=None):
    X, y, group = new
    if chosen is None:
        chosen = fair.selection_probability(X, sensitive_features=group)
    names = ["false_positive_rate", "true_positive_rate"]
    rates = group_rates(y, chosen, sensitive_features=group)[names]
    promised = fair.operating_points_[names].to_numpy() - rates.to_numpy()
    random = (chosen > 0) & (chosen < 1)
    return {
        **judge(chosen, y, group),
        "promised": np.abs(promised).max(),
        "randomised": random.mean(),
    }


def divide(data, n_rows, split):
    """Rows to learn from, and new people."""
    order = np.random.default_rng(split).permutation(len(data[1]))
    parts = order[:n_rows], order[n_rows:]
    return tuple(tuple(column[rows] for column in data) for rows in parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=["synthetic", "compas", "adult"])
    parser.add_argument("--shards", type=int, nargs="+", default=[2, 5, 10])
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--splits", type=int, default=10)
    add_output_argument(parser, "calibration")
    args = parser.parse_args()
    for expected in (
        DegenerateRuleWarning,
        SharedCoinWarning,
        UnsupportedToleranceWarning,
    ):
        warnings.simplefilter("ignore", expected)
    pieces, table = Pieces.beside(args.output), {}
    # Of smaller groups a tenth of the rows would not show each label.
    data = cache(lambda task: large_groups(*load(task, None)))
    for split, task, members, n_shards, method in product(
        range(args.splits), args.tasks, LEARNERS, args.shards, METHODS
    ):
        key = {
            "task": task, "rows": args.rows, "split": split, "members": members,
            "n_shards": n_shards, "method": method,
        }  # fmt: skip
        found = pieces.read(key)
        if found is None:
            given, new = divide(data(task), args.rows, split)
            found = dict(
                compare(LEARNERS[members], n_shards, method, given, new, split)
            )
            pieces.keep(key, found)
            print(key, flush=True)
        for way, quality_of_way in found.items():
            cell = task, members, method, n_shards, way
            table.setdefault(cell, []).append(quality_of_way)
    rows = [
        dict(zip(("task", "members", "method", "n_shards", "calibration"), key))
        | {name: np.mean([v[name] for v in values]) for name in values[0]}
        | {
            f"{name}_error": np.std([v[name] for v in values], ddof=1)
            / np.sqrt(len(values))
            for name in ("gap", "balanced_accuracy")
        }
        for key, values in table.items()
    ]
    print("Means over tasks and numbers of shards:")
    overall = []
    for key in dict.fromkeys(
        (r["members"], r["method"], r["calibration"]) for r in rows
    ):
        mine = [r for r in rows if (r["members"], r["method"], r["calibration"]) == key]
        names = "balanced_accuracy", "gap", "promised", "randomised"
        overall.append(
            dict(zip(("members", "method", "calibration"), key))
            | {name: np.mean([r[name] for r in mine]) for name in names}
        )
    print_table(
        overall,
        {"members": "", "method": "", "calibration": "", "balanced_accuracy": ".3f",
         "gap": ".3f", "promised": ".3f", "randomised": ".2f"},
    )  # fmt: skip
    write_result(args.output, args, {"overall": overall, "rows": rows})


if __name__ == "__main__":
    main()
