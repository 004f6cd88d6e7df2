"""What a run leaves behind: a table, a machine-readable result, pictures."""

import json
import platform
import tempfile
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.table import Table

RESULT = "results.json"
FLOOR = "noise_floor_of_equalized_odds_difference"

_COLUMNS = {
    "accuracy_score": "accuracy",
    "balanced_accuracy_score": "balanced accuracy",
    "selection_rate": "selection rate",
    "equalized_odds_difference": "equalized-odds difference",
}
_PACKAGES = (
    "sklearn-fairsisa", "scikit-learn", "fairlearn", "numpy", "scipy", "pandas",
    "torch", "transformers", "skorch",
)  # fmt: skip


def comparison_table(results):
    """Return the comparison on held-out rows as a table for the terminal."""
    task = results["task"]
    table = Table(
        title=f"{task['test_rows']:,} held-out rows of {task['name']}",
        caption="estimate [95% bootstrap interval], randomised rules in expectation "
        "over their coins; floor: mean difference that a perfectly fair rule shows at "
        "these group sizes; * the rule decides the same for everyone",
    )
    table.add_column("method")
    for header in _COLUMNS.values():
        table.add_column(header, justify="right")
    table.add_column("floor", justify="right")
    for method in results["methods"]:
        cells = [_cell(method["metrics"][name]) for name in _COLUMNS]
        cells.append(f"{method['metrics'][FLOOR]:.3f}")
        table.add_row(method["name"] + " *" * method.get("constant", False), *cells)
    return table


def _cell(interval):
    return f"{interval['estimate']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"


def forgetting_summary(results):
    """Return a paragraph on what was forgotten and at what cost."""
    forgetting = results["forgetting"]
    lines = [
        f"Forgot {forgetting['forgotten_rows']} rows in "
        f"{len(forgetting['requests'])} requests. Retraining shards "
        f"{forgetting['verified_shards']} without them gave the same members bit for "
        "bit."
    ]
    lines += [
        f"  {request['rows']:>4} rows: replayed {request['share']:.1%} of a full "
        f"training (expected {request['expected_share']:.1%}) in "
        f"{request['seconds']:.2f} s"
        for request in forgetting["requests"]
    ]
    return "\n".join(lines)


@contextmanager
def output_folder(path):
    """Yield a folder that takes the place of `path` only if all goes well.

    Raises
    ------
    FileExistsError
        If something else than an earlier result stands at `path`.
    """
    path = Path(path).resolve()
    if path.exists() and not (path / RESULT).is_file() and any(path.iterdir()):
        raise FileExistsError(
            f"{path} holds something else than the result of an earlier run. Choose "
            "another --output."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as aside:
        written = Path(aside) / "new"
        written.mkdir()
        yield written
        if path.exists():
            path.rename(Path(aside) / "old")
        written.rename(path)


def write_result(folder, settings, results):
    """Write everything a run found as JSON."""
    content = {
        "settings": asdict(settings),
        "versions": {"python": platform.python_version(), **_versions()},
        "machine": {"platform": platform.platform(), "processor": platform.machine()},
        **results,
    }
    (folder / RESULT).write_text(json.dumps(content, indent=2) + "\n")


def _versions():
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
