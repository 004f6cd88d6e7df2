"""What do reports, trade-offs, confidence and many classes cost, over one fair rule?

    python benchmarks/rule_costs.py

Rules are solved on given scores of 20 members, so that nothing is trained. Each line
is the CPU time of something over that of a fit of the same rule, taking turns in one
run: the least of each over some turns, as other work on the machine only adds. Memory
is the greatest that Python's allocator held meanwhile, over the bytes of the scores. A
few minutes of one core; ``--lines report tradeoff`` prints some of the lines only.
"""

import argparse
import time
import tracemalloc
import warnings
from functools import partial

import numpy as np
from _common import print_table
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier

N_MEMBERS = 20


def cpu_seconds(function):
    """Return the CPU time of one call."""
    begun = time.process_time()
    function()
    return time.process_time() - begun


def least_seconds(functions, turns):
    """Return the least CPU time of each function, which take turns."""
    return np.min([[cpu_seconds(f) for f in functions] for _ in range(turns)], axis=0)


def given_scores(n_rows, n_groups=4, n_classes=2, n_members=N_MEMBERS, seed=0):
    """Return scores of members that err independently, labels and groups."""
    rng = np.random.default_rng(seed)
    group = rng.integers(n_groups, size=n_rows)
    if n_classes == 2:
        y = (rng.random(n_rows) < 0.3 + 0.3 * group / n_groups).astype(int)
        signal = (2 * y - 1) * (0.4 + 0.5 * group / n_groups)
        z = rng.normal(signal[:, None], size=(n_rows, n_members))
        return 1 / (1 + np.exp(-z)), y, group
    y = rng.integers(n_classes, size=n_rows)
    z = rng.normal(size=(n_rows, n_members, n_classes))
    z += (1.0 + 0.5 * group / n_groups)[:, None, None] * np.eye(n_classes)[y][:, None]
    chance = np.exp(z - z.max(axis=2, keepdims=True))
    chance /= chance.sum(axis=2, keepdims=True)
    return chance.reshape(n_rows, -1), y, group


def fitted(X, y, group, **params):
    """Return a rule on given scores."""
    params = {"objective": "balanced_accuracy_score", "random_state": 0} | params
    rule = FairEnsemblePostprocessor(None, **params)
    return rule.fit(X, y, sensitive_features=group)


def over_a_fit(name, data, call, turns, **params):
    """Return a line: something done with a fitted rule over fitting it."""
    rule = fitted(*data, **params)
    fit, taken = least_seconds([lambda: fitted(*data), lambda: call(rule)], turns)
    return line(name, fit, taken)


def line(name, bound, taken):
    return {"what": name, "bound, ms": 1e3 * bound, "ms": 1e3 * taken,
            "ratio": taken / bound}  # fmt: skip


def report_of(rule):
    """Make a report anew; return its bound."""
    rule._calibrated().rule.reports.clear()
    return rule.fairness_report_.bound


def report_lines(turns):
    data = given_scores(20_000)
    yield over_a_fit("report / fit", data, report_of, turns)


def confidence_lines(turns):
    data = given_scores(20_000)
    yield over_a_fit(
        "confidence= / fit", data,
        lambda _: fitted(*data, confidence=0.95, tol=0.05), turns,
    )  # fmt: skip


def tradeoff_lines(turns):
    data = given_scores(20_000)
    yield over_a_fit("tradeoff(), 11 / fit", data, lambda r: r.tradeoff(), turns)


def bound_anew(report):
    """Return the bound at another confidence, which is computed from the rates."""
    return report.at(confidence=0.9).bound


def group_lines(turns):
    """The bound alone, of reports that are made already."""
    seconds = []
    for n_groups in (10, 30, 100):
        rule = fitted(*given_scores(40_000, n_groups, n_members=2))
        report = rule.fairness_report_
        (taken,) = least_seconds([partial(bound_anew, report)], turns)
        seconds.append(taken)
        name = f"bound, {n_groups} groups / 10 groups"
        yield line(name, seconds[0], taken)


def class_lines(turns):
    seconds = []
    for n_classes in (3, 10, 50):
        data = given_scores(4000, 2, n_classes, n_members=3)
        taken = cpu_seconds(partial(fitted, *data))
        seconds.append(taken)
        yield line(f"fit, {n_classes} classes / 3 classes", seconds[0], taken)


def row_lines(turns):
    """One row through a ColumnTransformer, of 20 members over one of them."""
    import pandas as pd

    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(4000, 6)), columns=[*"abcdef"])
    for name in "gh":
        X[name] = rng.choice([*"xyz"], len(X))
    y = (X["a"] + rng.normal(size=len(X)) > 0).astype(int)
    columns = ColumnTransformer(
        [("n", StandardScaler(), [*"abcdef"]), ("w", OneHotEncoder(), [*"gh"])]
    )
    # Fitted on other rows once, so that it is the same in all members.
    given = FrozenEstimator(clone(columns).fit(X[3000:]))
    linear, X, y = SGDClassifier(loss="log_loss"), X[:3000], y[:3000]
    for label, learner, seen in (
        ("one row, ColumnTransformer", make_pipeline(columns, linear), X),
        ("one row, frozen ColumnTransformer", make_pipeline(given, linear), X),
        ("one row, linear", linear, np.ascontiguousarray(X[[*"abcdef"]])),
    ):
        sisa = SISAClassifier(learner, n_shards=N_MEMBERS, random_state=0).fit(seen, y)
        row, member, served = seen[:1], sisa.estimators_[0], sisa.for_serving()
        calls = [partial(f, row) for f in (member.predict_proba, sisa.transform,
                                           served.transform)]  # fmt: skip
        one, taken, by_served = least_seconds(calls, 10 * turns)
        yield line(f"{label} / one member", one, taken)
        yield line(f"{label}, for_serving() / one member", one, by_served)


def memory_lines(turns):
    data = given_scores(100_000)
    rule = fitted(*data)
    tracemalloc.start()
    report_of(rule)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    size = data[0].nbytes
    yield {"what": "peak memory of the report / scores, MB", "bound, ms": size / 1e6,
           "ms": peak / 1e6, "ratio": peak / size}  # fmt: skip


LINES = {
    "report": report_lines,
    "confidence": confidence_lines,
    "tradeoff": tradeoff_lines,
    "groups": group_lines,
    "classes": class_lines,
    "row": row_lines,
    "memory": memory_lines,
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--lines", nargs="*", choices=LINES, default=[*LINES])
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    with threadpool_limits(1):
        records = []
        for name in args.lines:
            records += LINES[name](args.turns)
            print(f"measured: {name}", flush=True)
    numbers = {"bound, ms": ".1f", "ms": ".1f", "ratio": ".2f"}
    print_table(records, {"what": ""} | numbers)


if __name__ == "__main__":
    main()
