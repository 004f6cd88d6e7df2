"""How does the time of each call grow with rows, shards, slices, groups and so on?

    python benchmarks/growth.py

Half an hour of one core; continues where it was cut off (see ``_pieces.py``). Writes
``results/growth.json``, and the table of the documentation, ``results/growth.csv``.

Starting from 10,000 rows in 5 shards of 2 slices, with 2 groups and 2 classes, one
quantity at a time grows over a decade or more. Each value is the least CPU time of
three turns, so that other work on the machine counts little. The exponent is the slope
of log time over log quantity, by least squares: 1 is time in proportion, 0 is no
growth. Where a call takes under a millisecond throughout, there is no exponent. All
ensembles are in directories; ``forget`` is one row with its replay, or one subject.
"""

import argparse
import csv
import shutil
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from _common import add_output_argument, print_table, write_result
from _pieces import Pieces
from sklearn.linear_model import SGDClassifier
from threadpoolctl import threadpool_limits

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier

START = {
    "rows": 10_000, "shards": 5, "slices": 2, "groups": 2, "classes": 2, "files": 0,
    "subjects": 0,
}  # fmt: skip
GROWN = {
    "rows": [3_000, 10_000, 30_000, 100_000],
    "shards": [3, 10, 30],
    "slices": [1, 3, 10, 30],
    "groups": [2, 6, 20],
    "classes": [2, 4, 8, 16],
    "files": [1, 10, 100],
    "subjects": [300, 1_000, 3_000, 10_000],
}
CALLS = ["fit", "forget", "predict", "rule", "report", "load"]
N_FEATURES, TURNS = 10, 3
LEAST = 1e-3


def make_rows(rows, groups, classes, seed):
    """Return X, y and the groups of rows, in which no two classes are apart."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, N_FEATURES))
    group = rng.integers(0, groups, rows)
    score = X[:, 0] + rng.normal(size=rows) * (1 + group / groups)
    y = np.searchsorted(np.quantile(score, np.arange(1, classes) / classes), score)
    return X, y, group


def in_files(folder, X, n_files):
    """Write rows to a folder of Parquet files; return its path."""
    import pandas as pd

    folder.mkdir()
    parts = np.array_split(X, n_files)
    names = [f"x{i}" for i in range(X.shape[1])]
    for number, part in enumerate(parts):
        frame = pd.DataFrame(part, columns=names)
        frame.to_parquet(folder / f"{number:04d}.parquet")
    return folder


def turn(folder, seed, *, rows, shards, slices, groups, classes, files, subjects):
    """Return the CPU seconds of each call."""
    X, y, group = make_rows(rows, groups, classes, seed)
    people = np.arange(rows) % subjects if subjects else None
    found = {}

    def timed(name, function):
        start = time.process_time()
        result = function()
        found[name] = time.process_time() - start
        return result

    directory = folder / "ensemble"
    sisa = SISAClassifier(
        SGDClassifier(loss="log_loss"), n_shards=shards, n_slices=slices, epochs=2,
        random_state=seed, checkpoint_dir=directory,
    )  # fmt: skip
    given = in_files(folder / "files", X, files) if files else X
    timed("fit", lambda: sisa.fit(given, y, subjects=people))
    request = {"subjects": [7]} if subjects else {"indices": [7]}
    timed("forget", lambda: sisa.forget(**request))
    some = X[:1000]
    if files:
        import pandas as pd

        some = pd.DataFrame(some, columns=sisa.feature_names_in_)
    timed("predict", lambda: sisa.predict(some))
    timed("load", lambda: SISAClassifier.load(directory))
    fair = FairEnsemblePostprocessor(random_state=0)
    timed("rule", lambda: fair.attach(sisa, sensitive_features=group))
    timed("report", lambda: fair.fairness_report_)
    return found


def least(quantity, value):
    """Return the least CPU seconds of each call over the turns."""
    turns = []
    for seed in range(TURNS):
        with tempfile.TemporaryDirectory() as name:
            turns.append(turn(Path(name), seed, **START | {quantity: value}))
            shutil.rmtree(name, ignore_errors=True)
    return {call: min(one[call] for one in turns) for call in CALLS}


def exponent(values, seconds):
    """Return the slope of log time over log quantity, None where all is short."""
    if max(seconds) < LEAST:
        return None
    return float(np.polyfit(np.log(values), np.log(seconds), 1)[0])


def table(found):
    """Return a row per quantity: the exponent of each call."""
    rows = []
    for quantity, by_value in found.items():
        values = [float(value) for value in by_value]
        row = {"grows": f"{quantity} {values[0]:,.0f} to {values[-1]:,.0f}"}
        for call in CALLS:
            slope = exponent(values, [by_value[v][call] for v in by_value])
            row[call] = "" if slope is None else f"{slope:.2f}"
        rows.append(row)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_output_argument(parser, "growth")
    parser.add_argument(
        "--kept", action="store_true", help="show the pieces that are there"
    )
    args = parser.parse_args()
    pieces, found = Pieces.beside(args.output), {}
    warnings.simplefilter("ignore")
    with threadpool_limits(1):
        for quantity, values in GROWN.items():
            for value in values:
                key = {"quantity": quantity, "value": value}
                seconds = pieces.read(key)
                if seconds is None and args.kept:
                    continue
                if seconds is None:
                    seconds = least(quantity, value)
                    pieces.keep(key, seconds)
                found.setdefault(quantity, {})[str(value)] = seconds
                print(quantity, value, seconds, flush=True)
    rows = table({name: known for name, known in found.items() if len(known) > 1})
    print_table(rows)
    content = {"start": START, "seconds": found, "exponents": rows}
    write_result(args.output, {}, content)
    with args.output.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
