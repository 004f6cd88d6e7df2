"""How large is what is served, and how long does one decision take?

    python benchmarks/serving.py

Sizes are those of pickles: of a post-processor with all that forgetting needs, and of
its `for_serving()`. Times are the least of many decisions on one row, on one core,
beside those of one model on all rows and of fairlearn's `ThresholdOptimizer` around it,
in the same turns. A minute; nothing is written.
"""

import argparse
import pickle
import time
import warnings

import numpy as np
import pandas as pd
from _common import print_table
from fairlearn.postprocessing import ThresholdOptimizer
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.linear_model import IntegerRidgeClassifier


def make_rows(n_rows, seed=0):
    """Return a frame of numbers and a category, labels and groups."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n_rows, 10)), columns=list("abcdefghij"))
    group = rng.integers(2, size=n_rows)
    y = (X["a"] + 0.5 * X["b"] + rng.normal(size=n_rows) > 0).astype(int).to_numpy()
    return X.assign(kind=np.array(list("pqrs"))[rng.integers(4, size=n_rows)]), y, group


def texts_of(X):
    return [
        " ".join(f"w{int(10 * v)}" for v in row) for row in X.iloc[:, :5].to_numpy()
    ]


def numbers_of(X):
    return X.drop(columns="kind").to_numpy()


COLUMNS = make_column_transformer(
    (OneHotEncoder(handle_unknown="ignore"), ["kind"]), (StandardScaler(), list("abcd"))
)
CASES = {
    "numbers": (LogisticRegression(), numbers_of),
    "numbers, subtracts": (IntegerRidgeClassifier(feature_range=(-4, 4)), numbers_of),
    "normalised": (make_pipeline(Normalizer(), LogisticRegression()), numbers_of),
    "frame": (make_pipeline(COLUMNS, LogisticRegression()), lambda X: X),
    "texts": (
        make_pipeline(HashingVectorizer(n_features=2**10), LogisticRegression()),
        texts_of,
    ),
}


def measure(learner, prepare, n_rows, n_shards, turns):
    X, y, group = make_rows(n_rows)
    X = prepare(X)
    # The members themselves are compared, without what else is evidence.
    fair = FairEnsemblePostprocessor(
        SISAClassifier(learner, n_shards=n_shards, random_state=0),
        method="soft_ensemble",
        random_state=0,
    ).fit(X, y, sensitive_features=group)
    served, model = fair.for_serving(), learner.fit(X, y)
    peer = None
    if not isinstance(X, list):
        peer = ThresholdOptimizer(
            estimator=model, constraints="equalized_odds", prefit=True,
            predict_method="auto",
        )  # fmt: skip
        peer.fit(X, y, sensitive_features=group)
    one = X[:1]
    known = {"sensitive_features": group[:1]}
    calls = {
        "one model": lambda: model.predict(one),
        "fairlearn": peer and (lambda: peer.predict(one, **known, random_state=0)),
        "fair": lambda: fair.predict(one, **known),
        "served": lambda: served.predict(one, **known),
    }
    taken = {name: [] for name, call in calls.items() if call}
    for _ in range(turns):
        for name, seconds in taken.items():
            begun = time.perf_counter()
            calls[name]()
            seconds.append(time.perf_counter() - begun)
    ms = {name: 1e3 * min(seconds) for name, seconds in taken.items()}
    return {
        "whole, kB": len(pickle.dumps(fair)) / 1e3,
        "export, kB": len(pickle.dumps(served)) / 1e3,
        **{f"{name}, ms": value for name, value in ms.items()},
        "served / model": ms["served"] / ms["one model"],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--shards", type=int, nargs="+", default=[5, 20])
    parser.add_argument("--turns", type=int, default=40)
    args = parser.parse_args()
    records = []
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, (learner, prepare) in CASES.items():
            for n_shards in args.shards:
                found = measure(learner, prepare, args.rows, n_shards, args.turns)
                records.append({"members": name, "S": n_shards, **found})
    columns = {"members": "", "S": "d", "whole, kB": ".0f", "export, kB": ".0f"}
    times = [key for key in records[0] if key.endswith("ms")]
    columns |= dict.fromkeys(times, ".2f")
    print_table(records, columns | {"served / model": ".1f"})


if __name__ == "__main__":
    main()
