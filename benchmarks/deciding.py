"""How long does a fair decision take, over the members' own predictions?

    python benchmarks/deciding.py

`selection_probability` of a rule that is calibrated across shards leaves each member
out in turn. Its time is compared with that of `transform` of the same ensemble, in the
same turn, on many rows; the ratio is the median over all turns. One core, a minute.
Nothing is written.
"""

import argparse
import time

import numpy as np
from _common import print_table
from sklearn.linear_model import SGDClassifier
from threadpoolctl import threadpool_limits

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier


def seconds(function, *args, **kwargs):
    begun = time.perf_counter()
    function(*args, **kwargs)
    return time.perf_counter() - begun


def make_rows(n_rows, n_classes, seed=0):
    """Return rows of 20 features, labels and one of four groups."""
    rng = np.random.default_rng(seed)
    X, group = rng.normal(size=(n_rows, 20)), rng.integers(4, size=n_rows)
    score = X[:, 0] + 0.5 * X[:, 1] + 0.3 * group + rng.normal(size=n_rows)
    cuts = np.quantile(score, np.arange(1, n_classes) / n_classes)
    return X, np.digitize(score, cuts), group


def measure(method, n_classes, n_shards, n_rows, turns):
    """Return the seconds of the members' own predictions and of decisions."""
    X, y, group = make_rows(6000, n_classes)
    sisa = SISAClassifier(
        SGDClassifier(loss="log_loss"), n_shards=n_shards, random_state=0
    )
    fair = FairEnsemblePostprocessor(
        sisa, method=method, objective="balanced_accuracy_score", random_state=0
    ).fit(X, y, sensitive_features=group)
    X, _, group = make_rows(n_rows, n_classes, seed=1)
    return [
        (
            seconds(fair.estimator_.transform, X),
            seconds(fair.selection_probability, X, sensitive_features=group),
        )
        for _ in range(turns + 1)
    ][1:]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--shards", type=int, nargs="+", default=[5, 20, 100])
    parser.add_argument("--methods", nargs="+", default=["smooth_ensemble"])
    parser.add_argument("--classes", type=int, nargs="+", default=[2, 3])
    args = parser.parse_args()
    records = []
    with threadpool_limits(1):
        for method in args.methods:
            for n_classes in args.classes:
                for n_shards in args.shards:
                    taken = np.array(
                        measure(method, n_classes, n_shards, args.rows, args.turns)
                    )
                    ratios = taken[:, 1] / taken[:, 0]
                    records.append(
                        {
                            "method": method,
                            "classes": n_classes,
                            "S": n_shards,
                            "transform, ms": 1e3 * np.median(taken[:, 0]),
                            "decisions, ms": 1e3 * np.median(taken[:, 1]),
                            "ratio": np.median(ratios),
                            "low": ratios.min(),
                            "high": ratios.max(),
                        }
                    )
    columns = {"method": "", "classes": "d", "S": "d"}
    columns |= dict.fromkeys(("transform, ms", "decisions, ms"), ".0f")
    print_table(records, columns | dict.fromkeys(("ratio", "low", "high"), ".1f"))


if __name__ == "__main__":
    main()
