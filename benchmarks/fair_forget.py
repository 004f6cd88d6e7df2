"""Cost of a deletion from a fair ensemble, over that from the ensemble alone.

A deletion from a ``FairEnsemblePostprocessor`` takes what the ensemble's own deletion
takes, then the member that changed predicts the calibration rows, and the rule is
solved again. The ratio printed is that of ``fair.forget`` to the first two, measured in
the same run. The greater the learner, the less the rule weighs.

Run ``python benchmarks/fair_forget.py``; ``--rows 5000`` is a quick look.
"""

import argparse
import time
import warnings
from statistics import median

import numpy as np
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neural_network import MLPClassifier

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier

LEARNERS = {
    "SGDClassifier": SGDClassifier(loss="log_loss"),
    "LogisticRegression": LogisticRegression(),
    "MLPClassifier": MLPClassifier((64,), max_iter=20),
}


def make_rows(n_rows, n_features=20, seed=0):
    """Return rows, labels and three groups whose labels are unequally noisy."""
    rng = np.random.default_rng(seed)
    X, group = rng.normal(size=(n_rows, n_features)), rng.integers(0, 3, n_rows)
    y = (X[:, 0] + rng.normal(size=n_rows) * (1 + group) > 0).astype(int)
    return X, y, group


def seconds(function, arguments):
    """Return the median time of calls with each of the arguments."""
    times = []
    for argument in arguments:
        started = time.perf_counter()
        function(argument)
        times.append(time.perf_counter() - started)
    return median(times)


def measure(learner, n_rows, n_shards, confidence):
    """Return the seconds of the ensemble's deletion, a prediction and a fair one."""
    X, y, group = make_rows(n_rows)
    sisa = SISAClassifier(learner, n_shards=n_shards, random_state=0).fit(X, y)
    fair = FairEnsemblePostprocessor(
        SISAClassifier(learner, n_shards=n_shards, random_state=0),
        objective="balanced_accuracy_score",
        tol=0.0 if confidence is None else 0.05,
        confidence=confidence,
        random_state=0,
    ).fit(X, y, sensitive_features=group)
    rows = range(1, 8)
    return (
        seconds(sisa.forget, rows),
        seconds(lambda shard: sisa.estimators_[shard].predict_proba(X), range(7)),
        seconds(fair.forget, rows if confidence is None else rows[:3]),
    )


def main():
    """Print a line for each learner, without and with a confidence."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--shards", type=int, default=20)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{args.rows:,} rows, {args.shards} shards; seconds, medians")
    for name, learner in LEARNERS.items():
        for confidence in (None, 0.95):
            forget, predict, fair = measure(learner, args.rows, args.shards, confidence)
            print(
                f"{name:20} confidence={confidence!s:5} forget {forget:.4f}  predict "
                f"{predict:.4f}  fair.forget {fair:.4f}  ratio "
                f"{fair / (forget + predict):.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
