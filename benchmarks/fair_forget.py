"""Cost of a deletion from a fair ensemble, over that from the ensemble alone.

A deletion from a ``FairEnsemblePostprocessor`` takes what the ensemble's own deletion
takes, then the member that changed predicts the calibration rows, and the rule is
learnt again. The ratio printed is that of ``fair.forget`` to the first two, taking
turns in one run: CPU time of one thread, the least of some turns, since other work on
the machine only adds. The greater the learner, the less the rule weighs.

Run ``OMP_NUM_THREADS=1 python benchmarks/fair_forget.py``; ``--rows 5000`` is a quick
look.
"""

import argparse
import os
import time
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neural_network import MLPClassifier

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.datasets import make_biased_posts

LEARNERS = {
    "LogisticRegression": LogisticRegression(),
    "SGDClassifier": SGDClassifier(loss="log_loss"),
    "MLPClassifier, 20 iterations": MLPClassifier((64,), max_iter=20),
    "MLPClassifier": MLPClassifier(),
}
TRANSFORMER = "transformer, 2 layers"
POSTS, POST_SHARDS = 2_000, 10


def make_rows(n_rows, n_features=20, seed=0):
    """Return rows, labels and three groups whose labels are unequally noisy."""
    rng = np.random.default_rng(seed)
    X, group = rng.normal(size=(n_rows, n_features)), rng.integers(0, 3, n_rows)
    y = (X[:, 0] + rng.normal(size=n_rows) * (1 + group) > 0).astype(int)
    return X, y, group


def posts_and_learner():
    """Return posts, labels, groups and a small network with random weights."""
    from transformers import BertConfig

    from sklearn_fairsisa.text import TransformerClassifier

    config = BertConfig(
        vocab_size=1000, hidden_size=64, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=128, max_position_embeddings=64,
    )  # fmt: skip
    posts = make_biased_posts(POSTS, random_state=0)
    given = posts.data, posts.target, posts.sensitive_features
    return *given, TransformerClassifier(config, device="cpu")


def cpu_seconds(function, argument):
    """Return the CPU time of one call."""
    started = time.process_time()
    function(argument)
    return time.process_time() - started


def measure(X, y, group, learner, n_shards, turns, **options):
    """Return the seconds of the ensemble's deletion, a prediction and a fair one."""
    sisa = SISAClassifier(learner, n_shards=n_shards, random_state=0).fit(X, y)
    fair = FairEnsemblePostprocessor(
        SISAClassifier(learner, n_shards=n_shards, random_state=0),
        objective="balanced_accuracy_score",
        random_state=0,
        **options,
    ).fit(X, y, sensitive_features=group)
    calls = (
        sisa.forget,
        lambda row: sisa.estimators_[row % n_shards].predict_proba(X),
        fair.forget,
    )
    # The first turn warms up.
    times = [[cpu_seconds(call, row) for call in calls] for row in range(turns + 1)]
    return np.min(times[1:], axis=0)


def main():
    """Print a line for each learner, without and with a confidence."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--shards", type=int, default=20)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--learners", nargs="*", default=[*LEARNERS, TRANSFORMER])
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{args.rows:,} rows, {args.shards} shards; CPU seconds, least of turns")
    rows = make_rows(args.rows)
    for name in args.learners:
        if name == TRANSFORMER:
            given = *posts_and_learner(), POST_SHARDS
        else:
            given = *rows, LEARNERS[name], args.shards
        for label, options in (
            ("as it comes", {}),
            ("soft_ensemble", {"method": "soft_ensemble"}),
            ("confidence", {"confidence": 0.95, "tol": 0.05}),
        ):
            forget, predict, fair = measure(*given, args.turns, **options)
            print(
                f"{name:28} {label:13} forget {forget:.4f}  predict {predict:.4f}  "
                f"fair.forget {fair:.4f}  ratio {fair / (forget + predict):.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
