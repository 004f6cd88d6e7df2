"""How long does a deletion take where members subtract the row?

    python benchmarks/subtracting.py

It compares `IntegerRidgeClassifier`, from whose members rows are subtracted, with
`SGDClassifier`, whose shards are trained again, on as many rows of as many features as
the texts of HateXplain have in a small encoder. Every figure is the median over
deletions of one row each; the ratio is over the time of the least work there is: one
product for the row and one solution of the normal equations, without an ensemble. One
core, about a minute. Nothing is written.
"""

import argparse
import tempfile
import time

import numpy as np
from _common import print_table
from scipy import linalg
from sklearn.linear_model import SGDClassifier
from threadpoolctl import threadpool_limits

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.linear_model import IntegerRidgeClassifier


def make_rows(n_rows, n_features, seed=0):
    """Return vectors of length 1, as encoders give them, and labels."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features)).astype(np.float32)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    y = X @ rng.normal(size=n_features) + 0.5 * rng.normal(size=n_rows) > 0
    return X, y.astype(int)


def seconds(function, *args):
    begun = time.perf_counter()
    function(*args)
    return time.perf_counter() - begun


def least_seconds(X, y, n_deletions):
    """Return the seconds of subtracting a row from sums and solving, by hand."""
    Z = np.rint(X.astype(np.float64) * 2**15)
    gram, right = Z.T @ Z, Z.T @ (2.0 * y - 1)
    penalty = np.eye(X.shape[1]) * 2.0**30

    def delete(row):
        left = gram - np.outer(Z[row], Z[row])
        linalg.cho_solve(linalg.cho_factor(left + penalty), right - Z[row])

    return [seconds(delete, row) for row in range(n_deletions)]


def deletion_seconds(learner, X, y, n_shards, n_deletions, directory=None):
    """Return the seconds of single deletions, each from what the last one left."""
    sisa = SISAClassifier(
        learner, n_shards=n_shards, random_state=0, checkpoint_dir=directory
    )
    fit = seconds(sisa.fit, X, y)
    taken = [seconds(sisa.forget, row) for row in range(n_deletions + 2)][2:]
    if not sisa.verify_forgotten():
        raise SystemExit(f"{learner} is not exact")
    return fit, taken


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=15_000)
    parser.add_argument("--features", type=int, default=384)
    parser.add_argument("--shards", type=int, default=10)
    parser.add_argument("--deletions", type=int, default=20)
    args = parser.parse_args()
    X, y = make_rows(args.rows, args.features)
    learners = {
        "subtracts": IntegerRidgeClassifier(class_weight="balanced"),
        "trains again (SGD)": SGDClassifier(loss="log_loss", class_weight="balanced"),
    }
    with threadpool_limits(1):
        least = np.median(least_seconds(X, y, args.deletions))
        records = [{"what": "by hand", "median ms": 1e3 * least, "ratio": 1.0}]
        for name, learner in learners.items():
            for place in ("memory", "directory"):
                with tempfile.TemporaryDirectory() as folder:
                    fit, taken = deletion_seconds(
                        learner, X, y, args.shards, args.deletions,
                        folder if place == "directory" else None,
                    )  # fmt: skip
                records.append(
                    {
                        "what": f"{name}, {place}",
                        "fit s": fit,
                        "median ms": 1e3 * np.median(taken),
                        "low ms": 1e3 * min(taken),
                        "high ms": 1e3 * max(taken),
                        "ratio": np.median(taken) / least,
                    }
                )
    columns = {"what": "", "fit s": ".2f"}
    columns |= dict.fromkeys(("median ms", "low ms", "high ms"), ".1f")
    print_table(records, columns | {"ratio": ".1f"})


if __name__ == "__main__":
    main()
