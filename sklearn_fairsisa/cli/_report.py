"""The output of a run: a table, a machine-readable result, pictures."""

import json
import os
import platform
import tempfile
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from rich import box
from rich.table import Table

from .._utils.versions import installed_versions
from .._utils.words import counted
from ..plotting import FairnessTradeoffDisplay, ForgettingCostDisplay, GroupRocDisplay
from ._verdict import DEFAULT, FLOOR

RESULT = "results.json"

_COLUMNS = {
    "accuracy_score": "accuracy",
    "balanced_accuracy_score": "balanced\naccuracy",
    "selection_rate": "selection\nrate",
    "equalized_odds_difference": "eq. odds\ngap",
}


def comparison_table(results):
    """Return the comparison on held-out rows as a table for the terminal."""
    task = results["task"]
    table = Table(
        title=f"{task['people']:,} people of {task['name']}, each held out once in "
        f"{task['folds']} folds",
        caption="estimate, 95% bootstrap interval; randomised rules in expectation; "
        "floor: mean difference that a perfectly fair rule shows at these group sizes; "
        "* decides the same for at least 95%. postprocess_then_aggregate makes "
        "each member fair, but not their majority, so it may look more accurate.",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )
    table.add_column("method", no_wrap=True)
    for header in _COLUMNS.values():
        table.add_column(header, justify="right")
    table.add_column("floor", justify="right")
    for method in results["methods"]:
        cells = [_cell(method["metrics"][name]) for name in _COLUMNS]
        cells.append(_three_digits(method["metrics"][FLOOR]))
        table.add_row(method["name"] + " *" * method["nearly_constant"], *cells)
    return table


def _cell(interval):
    estimate, low, high = (
        _three_digits(interval[name]) for name in ("estimate", "low", "high")
    )
    return f"{estimate}\n{low}–{high}"


def _three_digits(share):
    # Four characters, also for 1, so that intervals fit on a narrow terminal.
    return f"{share:.3f}".removeprefix("0")[:4]


def forgetting_summary(results):
    """Return a paragraph on the forgotten rows and the cost of the requests."""
    forgetting = results["forgetting"]
    lines = [
        f"Forgot {counted(forgetting['forgotten_rows'], 'row')} in "
        f"{counted(len(forgetting['requests']), 'request')}. Retraining shards "
        f"{forgetting['verified_shards']} without them gave the same members bit for "
        "bit."
    ]
    lines += [
        f"  {counted(request['rows'], 'row'):>9}: replayed {request['share']:.1%} of a "
        f"full training (expected {request['expected_share']:.1%}) in "
        f"{request['seconds']:.2f} s"
        for request in forgetting["requests"]
    ]
    return "\n".join(lines)


def objective_sentence(results):
    """Return what the rules maximise, and why."""
    objective = results["objective"].removesuffix("_score").replace("_", " ")
    return f"The rules maximise {objective}: {results['reason_of_objective']}."


def left_out_sentence(results):
    """Return which rows are not compared, and why; None if all are."""
    task = results["task"]
    small = task["groups_left_out"]
    reasons = [
        f"{group} has only {counts['negative']:,} negative and "
        f"{counts['positive']:,} positive"
        for group, counts in small.items()
    ]
    n_small = sum(sum(counts.values()) for counts in small.values())
    n_unknown = task["rows"] - task["people"] - n_small
    if n_unknown:
        reasons.append(f"{counted(n_unknown, 'row')} without a group")
    if not reasons:
        return None
    return (
        f"{counted(n_small + n_unknown, 'row')} train but are not compared: "
        f"{'; '.join(reasons)}."
    )


def check_output(path):
    """Raise if a run could not write its result to `path`.

    Raises
    ------
    FileExistsError
        If `path` exists and is not an earlier result.
    PermissionError
        If `path` cannot be written.
    """
    path = Path(path).resolve()
    earlier = (path / RESULT).is_file()
    if path.exists() and not earlier and (path.is_file() or any(path.iterdir())):
        raise FileExistsError(
            f"{path} exists and is not the result of an earlier run. Choose another "
            "--output."
        )
    existing = next(folder for folder in path.parents if folder.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK)):
        raise PermissionError(
            f"{path} cannot be written, since {existing} is not a writable folder. "
            "Choose another --output."
        )


@contextmanager
def output_folder(path):
    """Yield a folder that replaces `path` if no error occurs."""
    path = Path(path).resolve()
    check_output(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as aside:
        written = Path(aside) / "new"
        written.mkdir()
        yield written
        if path.exists():
            path.rename(Path(aside) / "old")
        written.rename(path)


def write_result(folder, settings, results):
    """Write all results of a run as JSON."""
    content = {
        "settings": asdict(settings),
        "versions": installed_versions(),
        "machine": {"platform": platform.platform(), "processor": platform.machine()},
        **results,
    }
    (folder / RESULT).write_bytes((json.dumps(content, indent=2) + "\n").encode())


def draw_pictures(folder, outcome):
    """Draw the trade-off, the groups' regions, the cost of forgetting."""
    import matplotlib

    matplotlib.use("agg")
    methods = outcome.results["methods"]
    table = pd.DataFrame({"method": [method["name"] for method in methods]})
    for name in ("balanced_accuracy_score", "equalized_odds_difference"):
        intervals = [method["metrics"][name] for method in methods]
        table[name] = [interval["estimate"] for interval in intervals]
        for end in ("low", "high"):
            table[f"{name}_{end}"] = [interval[end] for interval in intervals]
    table["constant"] = [method["nearly_constant"] for method in methods]
    floors = [method["metrics"][FLOOR] for method in methods]
    pictures = {
        "tradeoff": FairnessTradeoffDisplay.from_results(
            table,
            score="balanced_accuracy_score",
            noise_floor=(min(floors), max(floors)),
            title=picture_title(outcome.results["task"], outcome.sisa),
        ),
        "roc": GroupRocDisplay.from_estimator(outcome.postprocessors[DEFAULT]),
        "forgetting": ForgettingCostDisplay.from_reports(
            outcome.sisa.forget_log_,
            n_shards=outcome.sisa.n_shards,
            n_slices=outcome.sisa.n_slices,
        ),
    }
    for name, display in pictures.items():
        display.figure_.savefig(
            folder / f"{name}.png", dpi=200, bbox_inches="tight", facecolor="white"
        )


def picture_title(task, sisa):
    """Return the data, the ensemble and the number of people, in a line."""
    learner = sisa.estimator
    last = learner[-1] if hasattr(learner, "steps") else learner
    return (
        f"{task['name']}, {sisa.n_shards} shards of {type(last).__name__}; "
        f"n = {task['people']:,} people, each held out once in {task['folds']} folds"
    )
