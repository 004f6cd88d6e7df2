"""What benchmark scripts share: tables, results, the description of the machine."""

import json
import os
import platform
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from sklearn_fairsisa._utils.versions import installed_versions

RESULTS = Path(__file__).parent / "results"


def machine():
    """Describe the processor, its cores, the memory, the system, a GPU if in use."""
    described = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_gib": round(
            os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1
        ),
        "system": f"{platform.system()} {platform.machine()}",
    }
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        described["gpu"] = torch.cuda.get_device_name()
    return described


def versions(*packages):
    """Versions of Python, of what the library builds on, and of further packages."""
    found = installed_versions()
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def add_output_argument(parser, name):
    """Let a parser take ``--output``, by default a file in the results folder."""
    parser.add_argument(
        "--output",
        type=Path,
        default=RESULTS / f"{name}.json",
        help="JSON file to write (default: %(default)s)",
    )


def write_result(path, arguments, content, packages=()):
    """Write what was measured, with all that is needed to measure it again.

    Parameters
    ----------
    path : Path
    arguments : argparse.Namespace or dict
        Options of the run, seeds among them.
    content : dict
    packages : iterable of str, default=()
        Further packages whose versions matter.
    """
    given = arguments if isinstance(arguments, dict) else vars(arguments)
    # Folders are the reader's own affair.
    folders = ("output", "cache", "data_home", "repository")
    given = {name: value for name, value in given.items() if name not in folders}
    result = {
        "command": f"python benchmarks/{Path(sys.argv[0]).name}",
        "arguments": given,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "versions": versions(*packages),
        **content,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1, default=_plain) + "\n")


def print_table(rows, columns=None):
    """Print dicts as a Markdown table.

    Parameters
    ----------
    rows : list of dict
    columns : dict of str to str, default=None
        Keys to print, in order, each with the format of its numbers, such as
        ``{"method": "", "seconds": ".2f"}``. None prints everything.
    """
    if columns is None:
        columns = dict.fromkeys(rows[0], ".4g")
    cells = [list(columns)]
    cells += [
        [_cell(row.get(key), form) for key, form in columns.items()] for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = [
        "| " + " | ".join(map(str.ljust, line, widths)).rstrip() + " |"
        for line in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    print("\n".join(lines), flush=True)


def best_seconds(function, repeats):
    """Least wall-clock time of several calls, since other work only adds to it."""
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def _cell(value, form):
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "–"
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        return format(value, form)
    return str(value)


def _plain(value):
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return str(value)


def _processor():
    try:
        with open("/proc/cpuinfo") as file:
            names = [line for line in file if line.startswith("model name")]
        return names[0].split(":", 1)[1].strip()
    except (OSError, IndexError):
        return platform.processor() or platform.machine()
