"""Do ten heads train faster as one batched program, and to the same bits?

    python benchmarks/batched_heads.py

Heads of one shape (a logistic one, and one with 32 hidden units) are trained by Adam on
shards of 384 numbers a row, one by one, and all at once with stacked parameters: by
``torch.func.vmap``, and by batched matrix products written by hand. Ratios above 1
mean that the batch is faster. "Same bits" compares every parameter with the head's that
was trained alone, and with a stack of that head only: what replaying one shard of a
batched ensemble would give. ``--device cuda`` asks the same of a GPU.
"""

import argparse
import time
from statistics import median

import torch
from _common import add_output_argument, print_table, write_result
from torch.func import functional_call, grad, stack_module_state, vmap

STEPS = 60


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    add_output_argument(parser, "batched_heads")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows = [
        measure(hidden, n_heads, batch_size, args)
        for hidden in (0, 32)
        for n_heads in (5, 10)
        for batch_size in (32, 256)
    ]
    print_table(
        rows,
        {
            "hidden": "", "heads": "", "batch": "", "alone_ms": ".1f",
            "vmap_ms": ".1f", "stacked_ms": ".1f", "alone_over_vmap": ".2f",
            "alone_over_stacked": ".2f", "vmap_same_bits": "", "stacked_same_bits": "",
            "stack_of_one_same_bits": "",
        },
    )  # fmt: skip
    write_result(args.output, args, {"steps": STEPS, "rows": rows})


def measure(hidden, n_heads, batch_size, args):
    torch.manual_seed(args.seed)
    X = torch.randn(n_heads, STEPS, batch_size, 384, device=args.device)
    X = torch.nn.functional.normalize(X, dim=-1)
    y = torch.randint(0, 2, (n_heads, STEPS, batch_size), device=args.device)
    heads = [make_head(hidden).to(args.device) for _ in range(n_heads)]
    start = {k: v.detach().clone() for k, v in stack_module_state(heads)[0].items()}
    ways = {"alone": one_by_one, "vmap": by_vmap, "stacked": by_hand}
    seconds, ends = {way: [] for way in ways}, {}
    for _ in range(args.repeats + 1):  # the first is to warm up
        for way, train in ways.items():
            params = {k: v.clone().requires_grad_() for k, v in start.items()}
            begun = time.perf_counter()
            ends[way] = train(heads[0], params, X, y)
            if args.device != "cpu":
                torch.cuda.synchronize()
            seconds[way].append(time.perf_counter() - begun)
    took = {way: 1e3 * median(values[1:]) for way, values in seconds.items()}
    facts = {
        "hidden": hidden, "heads": n_heads, "batch": batch_size,
        **{f"{way}_ms": value for way, value in took.items()},
    }  # fmt: skip
    for way in ("vmap", "stacked"):
        difference = greatest_difference(ends[way], ends["alone"])
        facts[f"alone_over_{way}"] = took["alone"] / took[way]
        facts[f"{way}_same_bits"] = difference == 0
        facts[f"{way}_greatest_difference"] = difference
    stacks = [
        by_hand(
            heads[0],
            {k: v[i : i + 1].clone().requires_grad_() for k, v in start.items()},
            X[i : i + 1],
            y[i : i + 1],
        )
        for i in range(n_heads)
    ]
    ones = {k: torch.cat([stack[k] for stack in stacks]) for k in start}
    facts["stack_of_one_same_bits"] = greatest_difference(ends["stacked"], ones) == 0
    return facts


def greatest_difference(a, b):
    return max((a[name] - b[name]).abs().max().item() for name in a)


def make_head(hidden):
    if not hidden:
        return torch.nn.Sequential(torch.nn.Linear(384, 2))
    return torch.nn.Sequential(
        torch.nn.Linear(384, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, 2)
    )


def optimizer_of(params):
    return torch.optim.Adam(params, lr=1e-2, fused=True)


def one_by_one(head, params, X, y):
    ends = []
    for i in range(len(X)):
        own = {k: v[i].detach().clone().requires_grad_() for k, v in params.items()}
        optimizer = optimizer_of(list(own.values()))
        for step in range(STEPS):
            logits = functional_call(head, own, (X[i, step],))
            loss = torch.nn.functional.cross_entropy(logits, y[i, step])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        ends.append(own)
    return {k: torch.stack([end[k] for end in ends]).detach() for k in params}


def by_vmap(head, params, X, y):
    def loss(own, rows, labels):
        logits = functional_call(head, own, (rows,))
        return torch.nn.functional.cross_entropy(logits, labels)

    gradients = vmap(grad(loss))
    optimizer = optimizer_of(list(params.values()))
    for step in range(STEPS):
        detached = {k: v.detach() for k, v in params.items()}
        found = gradients(detached, X[:, step], y[:, step])
        for name, value in params.items():
            value.grad = found[name]
        optimizer.step()
    return {k: v.detach() for k, v in params.items()}


def by_hand(head, params, X, y):
    optimizer = optimizer_of(list(params.values()))
    layers = sorted({name.split(".")[0] for name in params})
    for step in range(STEPS):
        out = X[:, step]
        for i, layer in enumerate(layers):
            out = torch.relu(out) if i else out
            weight = params[f"{layer}.weight"].transpose(1, 2)
            out = torch.baddbmm(params[f"{layer}.bias"].unsqueeze(1), out, weight)
        loss = torch.nn.functional.cross_entropy(
            out.flatten(0, 1), y[:, step].flatten(), reduction="sum"
        )
        optimizer.zero_grad()
        (loss / X.shape[2]).backward()
        optimizer.step()
    return {k: v.detach() for k, v in params.items()}


if __name__ == "__main__":
    main()
