"""How long do fit, forget, predict, rule and load take, over the least they could?

    python benchmarks/ratios.py

One table, in under a minute on two cores. CI prints it, so that a change of speed is
seen. Nothing is written and no value fails: numbers of a busy machine need a reader.

Each line is the library's time over a bound measured in the same turn: a loop by hand
over the same stages of training; the requests' expected shares of a fit; the members'
own ``predict``; one ``numpy.lexsort`` of group and score; ``pickle.load`` of the files
in a directory. After a turn to warm up, the ratio is the median over all turns, low and
high are its extremes.
"""

import argparse
import copy
import os
import pickle
import tempfile
import time
from pathlib import Path

import numpy as np
from _common import print_table
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.linear_model import SGDClassifier
from threadpoolctl import threadpool_limits

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier

LEARNER = SGDClassifier(loss="log_loss", random_state=0)
N_SHARDS, N_SLICES = 3, 4
# As many epochs' worth of training are so many passes of each stage over its rows.
EPOCHS, PASSES = 5, 2


def seconds(function, *args):
    begun = time.perf_counter()
    function(*args)
    return time.perf_counter() - begun


def make_sisa(**params):
    """Return an unfitted ensemble."""
    return SISAClassifier(
        LEARNER, n_shards=N_SHARDS, n_slices=N_SLICES, epochs=EPOCHS, random_state=0,
        **params,
    )  # fmt: skip


def train_by_hand(plan, X, y):
    """Train as the ensemble does, with nothing around it."""
    for shard in range(N_SHARDS):
        member = clone(LEARNER)
        for stage in range(N_SLICES):
            rows = (plan.shards == shard) & (plan.slices <= stage)
            given = X[rows], y[rows]
            for _ in range(PASSES):
                member.partial_fit(*given, classes=[0, 1])


def measure_fit(X, y):
    """Yield seconds of fits and of the loop by hand."""
    plan = make_sisa().fit(X, y).plan_
    while True:
        yield seconds(make_sisa().fit, X, y), seconds(train_by_hand, plan, X, y)


def measure_forget(X, y):
    """Yield seconds of deletions and their expected share of a fit's."""
    sisa = make_sisa().fit(X, y)
    # A row of each slice: together they replay as much as N_SLICES random ones.
    rows = [int(np.flatnonzero(sisa.plan_.slices == r)[0]) for r in range(N_SLICES)]
    costs = [sisa.expected_cost([row]) for row in rows]
    share = sum(cost["sample_visits"] / cost["full_sample_visits"] for cost in costs)
    while True:
        fit = seconds(make_sisa().fit, X, y)
        # A deletion leaves the ensemble that was copied as it is.
        taken = sum(seconds(copy.copy(sisa).forget, [row]) for row in rows)
        yield taken, share * fit


def measure_predict(X, y):
    """Yield seconds of the ensemble's predictions and of its members'."""
    sisa = make_sisa().fit(X, y)

    def ask_members():
        for member in sisa.estimators_:
            member.predict(X)

    while True:
        yield seconds(sisa.predict, X), seconds(ask_members)


def measure_rule(n_rows=300_000, n_groups=10):
    """Yield seconds of fitting the default rule on one score, and of a sort."""
    rng = np.random.default_rng(0)
    group = rng.integers(0, n_groups, n_rows)
    y = (rng.random(n_rows) < 0.3 + 0.3 * group / n_groups).astype(int)
    signal = rng.normal((2 * y - 1) * (0.4 + 0.5 * group / n_groups))
    score = 1 / (1 + np.exp(-signal))

    def fit():
        rule = FairEnsemblePostprocessor(random_state=0)
        rule.fit(score[:, None], y, sensitive_features=group)

    while True:
        yield seconds(fit), seconds(np.lexsort, (score, group))


def measure_load(X, y):
    """Yield seconds of opening a durable directory and of reading its pickles."""
    os.environ.setdefault("SKLEARN_FAIRSISA_KEY", "signs a folder that is deleted")
    with tempfile.TemporaryDirectory() as folder:
        make_sisa(checkpoint_dir=folder).fit(X, y)

        def read():
            for path in Path(folder).rglob("*.pkl"):
                with path.open("rb") as file:
                    pickle.load(file)

        while True:
            yield seconds(SISAClassifier.load, folder), seconds(read)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=15)
    args = parser.parse_args()

    X, y = make_classification(60_000, 50, n_informative=10, random_state=0)
    lines = {
        "fit / loop by hand": measure_fit(X, y),
        "forget / expected share of fit": measure_forget(X, y),
        "predict / members' own": measure_predict(X, y),
        "rule / one lexsort": measure_rule(),
        "load / pickle.load": measure_load(X, y),
    }
    table = []
    with threadpool_limits(1):
        for name, turns in lines.items():
            next(turns)
            pairs = np.array([next(turns) for _ in range(args.turns)])
            turns.close()
            ours, bound = 1e3 * np.median(pairs, axis=0)
            ratios = pairs[:, 0] / pairs[:, 1]
            table.append(
                {"ratio of": name, "ms": ours, "bound, ms": bound,
                 "ratio": np.median(ratios), "low": ratios.min(), "high": ratios.max()}
            )  # fmt: skip
    numbers = dict.fromkeys(("ms", "bound, ms"), ".1f")
    ratios = dict.fromkeys(("ratio", "low", "high"), ".2f")
    print_table(table, {"ratio of": "", **numbers, **ratios})


if __name__ == "__main__":
    main()
