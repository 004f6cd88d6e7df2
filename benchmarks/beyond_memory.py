"""How much memory and time do rows take that stay in the files of a directory?

    python benchmarks/beyond_memory.py --folder <scratch> [--rows 1e7] [--times 3]
        [--rule] [--calibration 0.02]

Needs about four times the bytes of X on disk, and writes
``results/beyond_memory.json``, one entry for each number of rows and each kind of rule;
entries of other runs stay. X has 20 columns of doubles in a memory map, S=20. The
learner is ``SGDClassifier`` with five passes.

Each part runs in a process of its own, whose greatest resident memory the system
counts, pages of mapped files included (``VmHWM``); what a process takes after it has
fitted 2,000 rows is subtracted, with all modules imported. Times are seconds of CPU, as
other work on the machine changes them less than those of the clock; parts take turns,
and of several times each, the one of least CPU counts, with the greatest peak of all.
The bound is a loop by hand over files: read X in batches, append each row to the file
of its shard, then read each file and fit the learner to it. It computes no rule.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from _common import RESULTS, print_table

N_FEATURES, N_SHARDS, PASSES = 20, 20, 5
BATCH = 100_000


def learner():
    from sklearn.linear_model import SGDClassifier

    return SGDClassifier(loss="log_loss", max_iter=PASSES, tol=None, random_state=0)


def peak():
    """Return the greatest resident memory so far, in bytes."""
    # getrusage would count that of the parent, from which a new process is forked.
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def make_data(folder, n_rows):
    """Write X, y and the groups of rows to files, unless they are there."""
    if (folder / "groups.npy").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    kinds = {"X": (np.float64, (n_rows, N_FEATURES)), "y": (np.int64, (n_rows,))}
    X, y = (
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, shape)
        for name, (dtype, shape) in kinds.items()
    )
    rng = np.random.default_rng(0)
    weights, groups = rng.normal(size=N_FEATURES), rng.integers(0, 2, n_rows, np.int8)
    for start in range(0, n_rows, BATCH):
        here = slice(start, start + BATCH)
        X[here] = rng.normal(size=X[here].shape)
        noise = rng.normal(size=len(X[here])) * (1 + groups[here])
        y[here] = X[here] @ weights + noise > 0
    np.save(folder / "groups.npy", groups)


def opened(folder):
    return (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("X", "y"))


def run_loop(folder):
    """Split the rows to files and fit a learner to each, by hand."""
    X, y = opened(folder)
    shards = np.random.default_rng(0).permutation(len(X)) % N_SHARDS
    paths = [folder / f"shard-{shard}" for shard in range(N_SHARDS)]
    files = [path.open("wb") for path in paths]
    for start in range(0, len(X), BATCH):
        here = slice(start, start + BATCH)
        rows = np.column_stack([X[here], y[here]])
        for shard, file in enumerate(files):
            rows[shards[here] == shard].tofile(file)
    for path, file in zip(paths, files):
        file.close()
        rows = np.fromfile(path).reshape(-1, N_FEATURES + 1)
        learner().fit(np.ascontiguousarray(rows[:, :-1]), rows[:, -1].astype(np.int64))
        path.unlink()


def run_library(folder, calibration, record):
    """Fit, forget and load as a user would; without `calibration` there is no rule."""
    from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier

    shutil.rmtree(folder / "ensemble", ignore_errors=True)
    X, y = opened(folder)
    sisa = SISAClassifier(
        learner(), n_shards=N_SHARDS, random_state=0, checkpoint_dir=folder / "ensemble"
    )
    if calibration is not None:
        groups = np.load(folder / "groups.npy")
        fair = FairEnsemblePostprocessor(sisa, calibration=calibration, random_state=0)
        record("fit", lambda: fair.fit(X, y, sensitive_features=groups))
        record("forget", lambda: fair.forget([17]))
        load = FairEnsemblePostprocessor.load
    else:
        record("fit", lambda: sisa.fit(X, y))
        record("forget", lambda: sisa.forget([17]))
        load = SISAClassifier.load
    record("load", lambda: load(folder / "ensemble"))


def run_part(part, folder, calibration):
    """Run a part in this process, and print what it took as JSON."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        make_data(Path(scratch) / "few", 2000)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run_library(Path(scratch) / "few", calibration, lambda _, f: f())
    imported, found = peak(), {}

    def record(name, function):
        clock, cpu = time.perf_counter(), time.process_time()
        function()
        found[name] = {
            "cpu": time.process_time() - cpu,
            "seconds": time.perf_counter() - clock,
            "peak": peak() - imported,
        }

    if part == "loop":
        record("loop", lambda: run_loop(folder))
    else:
        run_library(folder, calibration, record)
    print(json.dumps({"imported": imported, **found}))


def measured(part, args):
    """Return what a part took in a process of its own."""
    command = [sys.executable, "-W", "ignore", __file__, "--part", part]
    command += ["--folder", str(args.folder)]
    if args.rule:
        command.append("--rule")
    if args.calibration is not None:
        command += ["--calibration", str(args.calibration)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def best(runs):
    """Return the run of each call that took least CPU, with the greatest peak."""
    names = [name for name, of in runs[0].items() if isinstance(of, dict)]
    found = {
        name: min((r[name] for r in runs), key=lambda r: r["cpu"]) for name in names
    }
    peaks = {name: max(run[name]["peak"] for run in runs) for name in names}
    return {name: found[name] | {"peak": peaks[name]} for name in names}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rows", type=float, default=1e7)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--rule", action="store_true", help="across shards")
    parser.add_argument("--calibration", type=float, help="rows that a rule holds out")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    args = parser.parse_args()
    calibration = "cross_shard" if args.rule else args.calibration
    if args.part is not None:
        run_part(args.part, args.folder, calibration)
        return
    n_rows = int(args.rows)
    make_data(args.folder, n_rows)
    turns = [measured("loop", args) | measured("fit", args) for _ in range(args.times)]
    found = best(turns)
    found["shard"] = n_rows // N_SHARDS * N_FEATURES * 8
    found["times"] = args.times
    path = RESULTS / "beyond_memory.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    kind = "" if calibration is None else f" with a rule, calibration={calibration}"
    results[f"{n_rows}{kind}"] = found
    path.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    print_table(
        [
            {
                "part": name,
                "CPU s": f"{found[name]['cpu']:.1f}",
                "clock s": f"{found[name]['seconds']:.1f}",
                "peak, shards": f"{found[name]['peak'] / found['shard']:.2f}",
                "CPU over the loop": f"{found[name]['cpu'] / found['loop']['cpu']:.3f}",
            }
            for name in ("loop", "fit", "forget", "load")
        ]
    )


if __name__ == "__main__":
    main()
