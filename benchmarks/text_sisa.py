"""What does SISA over a fine-tuned transformer cost, and what does forgetting save?

    SKLEARN_FAIRSISA_DATA=<folder> python benchmarks/text_sisa.py --rows 400
    SKLEARN_FAIRSISA_DATA=<folder> python benchmarks/text_sisa.py \
        --rows 15383 --layers 6 --device cuda

Trains SISA, S=5 and R=2, over ``TransformerClassifier`` on HateXplain posts, forgets
posts one request at a time, verifies the deletion by retraining, and fits a fair rule
on posts held out. Prints the seconds of each step, the bytes of a checkpoint, and how
much faster a deletion is than the fit, beside 3RS/(2R+1), the bound in sample visits.
``--lora`` trains adapters of rank 8, ``--freeze embeddings`` leaves these untrained;
``--model`` is "minilm", "smollm2" (see text_throughput.py), a folder or a hub name.
"""

import argparse
import os
import resource
import time
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from _common import add_output_argument, print_table, write_result
from text_throughput import model_params

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.datasets import fetch_hatexplain
from sklearn_fairsisa.metrics import expected_equalized_odds_difference
from sklearn_fairsisa.text import TransformerClassifier


def main():
    args = parse_arguments()
    if args.device != "cpu":
        # Else a replay would agree with a retraining in distribution alone.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    seconds = {}
    train, held_out = load_rows(args)

    params = {"model": args.model}
    if args.model in ("minilm", "smollm2"):
        params = model_params(args.model, args.layers)
    learner = TransformerClassifier(
        **params,
        freeze=args.freeze,
        lora={"r": 8} if args.lora else None,
        max_length=64,
        lr=args.lr,
        device=args.device,
    )
    sisa = SISAClassifier(
        learner,
        n_shards=args.shards,
        n_slices=args.slices,
        epochs=args.epochs,
        n_jobs=args.n_jobs,
        random_state=args.seed,
    )
    print("Fitting", flush=True)
    begun = time.perf_counter()
    sisa.fit(*train)
    seconds["fit"] = time.perf_counter() - begun

    print(f"Forgetting, after {seconds['fit']:.0f} s", flush=True)
    rng = np.random.default_rng(args.seed)
    for row in rng.choice(len(train[1]), size=args.requests, replace=False):
        sisa.forget(row)
    reports = sisa.forget_log_
    seconds["forget, mean"] = float(np.mean([r.seconds for r in reports]))

    mean = seconds["forget, mean"]
    print(f"Verifying, after {args.requests} requests of {mean:.1f} s", flush=True)
    begun = time.perf_counter()
    verification = sisa.verify_forgotten()
    seconds["verify"] = time.perf_counter() - begun
    n_verified = len(verification.shards)
    if not verification:
        print(f"Shards {verification.differing_shards} differ from the retrained ones.")

    print(f"Scoring posts held out, after {seconds['verify']:.0f} s", flush=True)
    begun = time.perf_counter()
    outputs = sisa.transform(held_out.texts)
    seconds["members' scores of the held-out posts"] = time.perf_counter() - begun
    begun = time.perf_counter()
    rule = FairEnsemblePostprocessor(
        objective="balanced_accuracy_score", random_state=args.seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of small groups, which is not the question
        rule.fit(outputs, held_out.y, sensitive_features=held_out.groups)
    seconds["fair rule"] = time.perf_counter() - begun

    votes = (outputs > 0.5).mean(axis=1) > 0.5
    chosen = rule.selection_probability(outputs, sensitive_features=held_out.groups)
    gaps = [
        expected_equalized_odds_difference(
            held_out.y, decided, sensitive_features=held_out.groups
        )
        for decided in (votes.astype(float), chosen)
    ]
    n_checkpoints = sum(map(len, sisa._checkpoints))
    s, r = args.shards, args.slices
    visits = [r_.full_sample_visits / r_.sample_visits for r_ in reports]
    facts = {
        "training_rows": len(train[1]),
        "held_out_rows": len(held_out.y),
        "verified_bit_for_bit": bool(verification),
        "verified_shards": n_verified,
        "checkpoints": n_checkpoints,
        "bytes_per_checkpoint": sisa.checkpoint_bytes_ / n_checkpoints,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "speed_up_in_seconds": seconds["fit"] / seconds["forget, mean"],
        "speed_up_in_visits": 1 / np.mean(1 / np.array(visits)),
        "bound_of_speed_up": 3 * r * s / (2 * r + 1),
        "gap_of_votes_in_calibration": gaps[0],
        "gap_of_rule_in_calibration": gaps[1],
    }
    print_table([{"step": k, "seconds": v} for k, v in seconds.items()])
    print_table([{"quantity": k, "value": str(v)} for k, v in facts.items()])
    facts["forget_seconds"] = [report.seconds for report in reports]
    write_result(
        args.output,
        args,
        {"seconds": seconds, "threads": torch.get_num_threads(), **facts},
        ("transformers", "peft"),
    )


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--layers", type=int, help="keep only the first layers")
    parser.add_argument("--lora", action="store_true", help="train adapters alone")
    parser.add_argument("--freeze", nargs="+", help="leave these parts untrained")
    parser.add_argument("--rows", type=int, default=400, help="rows to train on")
    parser.add_argument("--held-out", type=int, help="rows to calibrate on")
    parser.add_argument("--shards", type=int, default=5)
    parser.add_argument("--slices", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--lr", type=float, default=5e-5)
    parser.add_argument("--requests", type=int, default=6)
    parser.add_argument("--n-jobs", type=int)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    add_output_argument(parser, "text_sisa")
    return parser.parse_args()


class HeldOut:
    """Posts that speak of a religion, for calibration."""

    def __init__(self, texts, y, groups):
        self.texts, self.y, self.groups = texts, y, groups


def load_rows(args):
    """Return training rows, and posts of the two largest religions held out."""
    posts = fetch_hatexplain(subset="train")
    rng = np.random.default_rng(args.seed)
    n_rows = min(args.rows, len(posts.target))
    rows = rng.choice(len(posts.target), size=n_rows, replace=False)
    parts = [fetch_hatexplain(subset=s, sensitive="religion") for s in ("val", "test")]
    texts, y, groups = (
        np.concatenate([part[name] for part in parts])
        for name in ("data", "target", "sensitive_features")
    )
    names, counts = np.unique(groups.astype(str), return_counts=True)
    kept = np.isin(groups.astype(str), names[np.argsort(-counts)[:2]])
    kept = np.flatnonzero(kept)[: args.held_out]
    return (
        (posts.data[rows], posts.target[rows]),
        HeldOut(texts[kept], y[kept], groups[kept].astype(str)),
    )


if __name__ == "__main__":
    main()
