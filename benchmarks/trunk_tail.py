"""What does a tail per member cost, above a trunk that is computed once?

    SKLEARN_FAIRSISA_DATA=<folder> python benchmarks/trunk_tail.py --rows 1000
    SKLEARN_FAIRSISA_DATA=<folder> python benchmarks/trunk_tail.py --rows 15383

Trains ``TransformerClassifier(trainable_layers=1)`` on HateXplain posts in a SISA
ensemble, on one core, and compares in the same run:

- ``fit`` over states that are cached already, with a loop by hand over these states, of
  which one half runs before ``fit`` and the other after it;
- a deletion, with its share of the sample visits of a fit;
- the predictions of ten members, with a loop by hand of one trunk and ten tails, and
  with one whole network, all in batches of the same shape;
- training and predicting, with the same where the last layer computes all positions and
  not only the one that the head reads;
- one text of 30 tokens, with a plain forward pass and its tokenizer.

Seconds are those of the processor, since other work on a shared machine adds to those
of the wall clock. Quality is that on the test posts of the official split.
"""

import argparse
import copy
import os
import resource
import time
from collections import deque
from itertools import islice
from unittest import mock

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from _common import add_output_argument, print_table, write_result
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from text_throughput import model_params

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.datasets import fetch_hatexplain
from sklearn_fairsisa.text import TransformerClassifier, _trunk
from sklearn_fairsisa.text._batches import inference_batches, training_steps

BATCH_SIZE, EPOCHS = 32, 3


def main():
    args = parse_arguments()
    torch.set_num_threads(1)
    params = {"model": args.model}
    if args.model in ("minilm", "smollm2"):
        params = model_params(args.model, args.layers)
    train = fetch_hatexplain(subset="train")
    test = fetch_hatexplain(subset="test")
    order = np.random.default_rng(0).permutation(len(train.target))[: args.rows]
    X, y = train.data[order].tolist(), train.target[order]
    learner = TransformerClassifier(
        **params,
        trainable_layers=args.trained,
        lora={"r": 8} if args.lora else None,
        max_length=64,
        lr=args.lr,
        cache_dir=args.cache,
        cache_dtype=args.cache_dtype,
        batch_size=BATCH_SIZE,
        device="cpu",
    )

    def ensemble(n_shards, n_slices=1, epochs=EPOCHS):
        return SISAClassifier(
            learner, n_shards=n_shards, n_slices=n_slices, epochs=epochs,
            random_state=0,
        )  # fmt: skip

    network, tokenizer = parts_of(learner, X, y)
    facts = {"rows": len(y)}
    begun = time.process_time()
    states = states_of(learner, X, y)
    facts["trunk_seconds"] = time.process_time() - begun
    print(f"trunk: {facts['trunk_seconds']:.1f} s", flush=True)
    sisa = ensemble(args.shards, args.slices)
    by_hand = by_hand_around(states, y, sisa, args) if args.loop else iter([])
    loop_seconds = [next(by_hand, 0.0)]
    facts["fit_seconds"] = seconds(lambda: sisa.fit(X, y))
    loop_seconds.append(next(by_hand, 0.0))
    print(f"fit: {facts['fit_seconds']:.1f} s", flush=True)
    if args.loop:
        facts["loop_seconds"] = sum(loop_seconds)
        facts["fit_over_loop"] = facts["fit_seconds"] / facts["loop_seconds"]
        print(f"loop: {loop_seconds[0]:.1f} and {loop_seconds[1]:.1f} s", flush=True)

    begun = time.process_time()
    proba = sisa.transform(test.data[: args.tested].tolist()).mean(axis=1)
    facts["score_test_seconds"] = time.process_time() - begun
    target = test.target[: args.tested]
    facts["balanced_accuracy"] = balanced_accuracy_score(target, proba > 0.5)
    facts["auc"] = roc_auc_score(target, proba)
    print({name: facts[name] for name in ("balanced_accuracy", "auc")}, flush=True)
    facts["checkpoint_bytes"] = sisa.checkpoint_bytes_ / (args.shards * args.slices)

    shares, taken = [], []
    for row in range(args.requests):
        cost = sisa.expected_cost([row])
        shares.append(cost["sample_visits"] / cost["full_sample_visits"])
        taken.append(seconds(lambda row=row: sisa.forget([row])))
    facts["forget_seconds"] = float(np.mean(taken))
    share = float(np.mean(shares))
    facts["forget_over_share"] = facts["forget_seconds"] / share / facts["fit_seconds"]
    facts["verified"] = bool(sisa.verify_forgotten())
    print(f"forget: {facts['forget_seconds']:.1f} s", flush=True)

    facts |= measure_predictions(ensemble, network, tokenizer, X, y, test, args)
    facts |= measure_all_positions(learner, X[:320], y[:320], args)
    facts |= measure_one_text(learner, network, tokenizer, X, y)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    facts["peak_memory_gib"] = peak * 1024 / 2**30
    print_table([{"quantity": k, "value": v} for k, v in facts.items()],
                {"quantity": "", "value": ".4g"})  # fmt: skip
    write_result(args.output, args, facts, ("transformers", "torch"))


def measure_predictions(ensemble, network, tokenizer, X, y, test, args):
    """Return the ratios of ten members' predictions to their bounds."""
    texts = test.data.tolist()[: args.scored]
    one, ten = (ensemble(n, epochs=1).fit(X[:320], y[:320]) for n in (1, 10))
    ids = tokenizer(texts, truncation=True, max_length=64)["input_ids"]
    lengths = np.array([len(row) for row in ids])
    batches = list(inference_batches(lengths, 64, 64))
    learner = ten.estimators_[0]
    trunk = learner.net_.trunk()
    tails = [member.net_ for member in ten.estimators_]

    def inputs(rows, length):
        block = torch.zeros(len(rows), length, dtype=torch.long)
        mask = torch.zeros_like(block)
        for place, row in enumerate(rows):
            block[place, : lengths[row]] = torch.tensor(ids[row])
            mask[place, : lengths[row]] = 1
        return {"input_ids": block, "attention_mask": mask}

    def by_hand():
        tokenizer(texts, truncation=True, max_length=64)
        with torch.inference_mode():
            for rows, _, length in batches:
                given = inputs(rows, length)
                above = trunk(**given)
                for net in tails:
                    net.infer({**given, "states": above})

    def one_network():
        tokenizer(texts, truncation=True, max_length=64)
        with torch.inference_mode():
            for rows, _, length in batches:
                network(**inputs(rows, length))

    def by_ensemble():
        learner.forget_states(texts)
        ten.transform(texts)

    def by_one():
        learner.forget_states(texts)
        one.transform(texts)

    times = in_turns(by_ensemble, by_hand, one_network, by_one, n=args.repeats)
    return {
        "predict_ten_seconds": times[0],
        "predict_ten_over_loop": times[0] / times[1],
        "predict_ten_over_one_network": times[0] / times[2],
        "predict_ten_over_one_member": times[0] / times[3],
    }


def measure_all_positions(learner, X, y, args):
    """Return how much longer it takes to compute all positions than the one read."""

    def fitted(epochs=EPOCHS):
        return clone(learner).set_params(max_epochs=epochs, random_state=0).fit(X, y)

    def fitted_at_all():
        names = "_only_the_first_position", "_only_the_last_token"
        with mock.patch.multiple(_trunk, **dict.fromkeys(names, _leave)):
            return fitted()

    read, at_all = fitted(), fitted_at_all()
    around, *fits, one, all_ = in_turns(
        lambda: fitted(epochs=0),
        fitted,
        fitted_at_all,
        lambda: read.predict_proba(X),
        lambda: at_all.predict_proba(X),
        n=args.repeats,
    )
    return {
        "train_all_positions_over_read": (fits[1] - around) / (fits[0] - around),
        "predict_all_positions_over_read": all_ / one,
    }


def _leave(*args):
    """Change nothing of what a part of a network computes."""


def measure_one_text(learner, network, tokenizer, X, y):
    """Return the ratio of one text's prediction to a plain pass, with the tokenizer."""
    whole = copy.deepcopy(learner).set_params(
        trainable_layers=None, lora=None, max_epochs=0, cache_dir=None
    )
    whole.fit(X[:8], y[:8])
    tail = copy.deepcopy(learner).set_params(max_epochs=0, random_state=0)
    tail.fit(X[:8], y[:8])
    # Of 28 words and two marks, and each new to the caches.
    texts = ["word " * n + "other " * (28 - n) for n in range(28)]
    new = iter(texts)

    def plain():
        with torch.inference_mode():
            network(**tokenizer(texts[:1], return_tensors="pt"))

    times = in_turns(
        plain,
        lambda: whole.predict_proba(texts[:1]),
        lambda: tail.predict_proba([next(new)]),
        lambda: tail.predict_proba(texts[:1]),
        n=len(texts) - 1,
    )
    tail.forget_states(texts)
    return {
        "one_text_plain_seconds": times[0],
        "one_text_over_plain": times[1] / times[0],
        "one_text_trunk_and_tail_over_plain": times[2] / times[0],
        "one_known_text_over_plain": times[3] / times[0],
    }


def parts_of(learner, X, y):
    """Return the whole network that a learner begins with, and its tokenizer."""
    start = copy.deepcopy(learner).set_params(
        trainable_layers=None, lora=None, max_epochs=0, random_state=0
    )
    start.fit(X[:8], y[:8])
    return copy.deepcopy(start.net_.module_).eval(), start._training.tokenizer


def states_of(learner, X, y):
    """Return a learner without an epoch and the tokens and states of some texts."""
    start = copy.deepcopy(learner).set_params(max_epochs=0, random_state=0).fit(X, y)
    return start, start._tokens(start._training, X)[0]


def by_hand_around(states, y, sisa, args):
    """Yield the seconds of the two halves of a loop by hand over all shards."""
    # The plan follows from the seed and the number of rows, whatever is trained.
    plan = clone(sisa).set_params(estimator=DummyClassifier(), epochs=None).fit(y, y)
    loop = train_by_hand(states, y, plan.plan_, args)
    steps = args.shards * EPOCHS
    for n in (steps // 2, steps - steps // 2):
        yield seconds(lambda n=n: deque(islice(loop, n), maxlen=0))


def train_by_hand(states, y, plan, args):
    """Train the same layers on the same states and shards, with nothing around it.

    Yields after every epoch of every shard.
    """
    start, tokens = states
    labels, lengths = torch.tensor(y), tokens.lengths
    for shard in range(args.shards):
        net = copy.deepcopy(start).net_
        net._set_training(True)
        weights = [w for w in net.module_.parameters() if w.requires_grad]
        optimizer = torch.optim.AdamW(weights, lr=args.lr, fused=True)
        rows = np.flatnonzero(plan.shards == shard)
        for _ in range(EPOCHS):
            for (batch,) in training_steps(lengths[rows], BATCH_SIZE, 1):
                own = rows[batch]
                optimizer.zero_grad()
                logits = net.infer(tokens.padded(own, 0))
                torch.nn.functional.cross_entropy(logits, labels[own]).backward()
                torch.nn.utils.clip_grad_norm_(weights, 1.0)
                optimizer.step()
            yield shard


def in_turns(*functions, n):
    """Return the least processor time of each of some functions, taken in turns."""
    times = [[seconds(function) for function in functions] for _ in range(n + 1)]
    return np.min(times[1:], axis=0).tolist()


def seconds(function):
    begun = time.process_time()
    function()
    return time.process_time() - begun


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="minilm", help="minilm, smollm2 or a folder")
    parser.add_argument("--layers", type=int, default=None, help="layers of the model")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--trained", type=int, default=1, help="layers in the tail")
    parser.add_argument("--lora", action="store_true", help="adapters in the tail")
    parser.add_argument("--shards", type=int, default=5)
    parser.add_argument("--slices", type=int, default=1)
    parser.add_argument("--requests", type=int, default=2)
    parser.add_argument("--tested", type=int, default=1924, help="test posts")
    parser.add_argument("--scored", type=int, default=200, help="texts for ten members")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--lr", type=float, default=2e-4)
    parser.add_argument(
        "--no-loop", dest="loop", action="store_false", help="no training by hand"
    )
    parser.add_argument("--cache", default=None, help="folder of the states")
    parser.add_argument("--cache-dtype", default="float32")
    add_output_argument(parser, "trunk_tail")
    return parser.parse_args()


if __name__ == "__main__":
    main()
