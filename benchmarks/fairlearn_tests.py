"""Run fairlearn's own tests of its post-processing on the package, through a shim.

The tests come out of fairlearn's repository, since its release 0.15.0 has none, at a
commit whose ``fairlearn.postprocessing`` is byte for byte that of the release. git
checks what it fetches against the commit, which is a digest. A test passes; or does not
apply, as it reads what only fairlearn has; or differs by a choice, which the
documentation's page *Comparison with other libraries* names. The script ends in 1 if a
difference has no choice, or if on the examples of the tests a rule of ours leaves a
gap, or fairlearn's without reversed scores is better.
"""

import argparse
import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import warnings
from collections import Counter
from contextlib import chdir
from pathlib import Path

import _fairlearn_shim
import fairlearn
import numpy as np
import pytest
from _common import add_output_argument, print_table, write_result
from _fairlearn_shim import ThresholdOptimizer
from fairlearn import postprocessing
from fairlearn.postprocessing._threshold_optimizer import ALL_CONSTRAINTS

_COMMIT = "ebf8fa75381b112a75d0bd15f13927de7824bccf"
_RELEASE = "0.15.0"
# The other files are about functions that only fairlearn has.
_FILES = (
    "test_plots",
    "test_relaxed_constraints",
    "test_smoke",
    "test_threshold_optimization",
    "test_threshold_optimizer_multiple_sensitive_features",
)
# Name of a choice, pattern of the tests' names, pattern of what they say. The first
# that fits a difference is its choice.
_CHOICES = (
    ("objectives", "", r"objective.* Got '(selection|true_\w+)_rate'"),
    ("kinds of errors", "none_input_data", "TypeError: X is None"),
    ("no estimator", "no_estimator_error", "Regex pattern did not match"),
    ("no reversed scores", "demographic_parity|equalized_odds", r"np\.False_"),
)


def main():
    """Print what becomes of each test, and both rules beside each other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--repository",
        default="https://github.com/fairlearn/fairlearn",
        help="address or folder of fairlearn's git repository",
    )
    add_output_argument(parser, "fairlearn_tests")
    args = parser.parse_args()
    if fairlearn.__version__ != _RELEASE:
        raise SystemExit(
            f"fairlearn {_RELEASE} is needed, not {fairlearn.__version__}."
        )
    original = postprocessing.ThresholdOptimizer
    with tempfile.TemporaryDirectory() as folder:
        _unpack_tests(args.repository, folder)
        # Ahead of the standard library, which has a package of the same name.
        sys.path.insert(0, folder)
        with chdir(folder):
            outcomes = _run_tests(folder)
            beside = _beside(original)
    table = _table(outcomes)
    print_table(table)
    totals = Counter(row["outcome"] for row in outcomes)
    print(f"\n{len(outcomes)} tests: {dict(totals)}\n")
    print_table(beside)
    unexplained = [row for row in outcomes if row["choice"] == "none"]
    for row in unexplained:
        print(f"\nunexplained: {row['test']}: {row['said'][:200]}")
    worse = [
        row
        for row in beside
        if row["ours"] < row["fairlearn"] - 1e-9 or row["gap"] > 1e-9
    ]
    content = {"tests": table, "totals": dict(totals), "beside": beside}
    write_result(args.output, vars(args), content, ["fairlearn"])
    sys.exit(bool(unexplained or worse))


def _unpack_tests(repository, folder):
    if Path(repository).exists():
        repository = Path(repository).resolve().as_uri()
    git = ["git", "-C", folder]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run(
        [*git, "fetch", "--quiet", "--depth=1", repository, _COMMIT], check=True
    )
    packed = subprocess.run(
        [*git, "archive", _COMMIT, "test"], check=True, capture_output=True
    )
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")


class _Recorder:
    """What became of each test."""

    def __init__(self):
        self.outcomes = []

    def pytest_runtest_logreport(self, report):
        """Keep the outcome of a test, and what it said where it did not pass."""
        if report.when != "call" and report.passed:
            return
        test = report.nodeid.rpartition("/")[2]
        said, choice, outcome = "", "", report.outcome
        reworded = bool(_fairlearn_shim.reworded)
        _fairlearn_shim.reworded.clear()
        if reworded and report.passed:
            choice, outcome = "words of errors", "failed"
        if report.skipped:
            said = report.longrepr[2]
        elif report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            said = crash.message if crash else str(report.longrepr)
            choice = _choice_of(test, said)
        names = {"passed": "passed", "failed": "differs", "skipped": "not applicable"}
        self.outcomes.append(
            {
                "test": test,
                "outcome": names[outcome],
                "choice": choice,
                "said": said,
            }
        )


def _choice_of(test, said):
    for choice, tests, messages in _CHOICES:
        if re.search(tests, test) and re.search(messages, said):
            return choice
    return "none"


def _run_tests(folder):
    # fairlearn's tests import the class by both names.
    postprocessing.ThresholdOptimizer = ThresholdOptimizer
    postprocessing._threshold_optimizer.ThresholdOptimizer = ThresholdOptimizer
    recorder = _Recorder()
    files = [f"test/unit/postprocessing/{file}.py" for file in _FILES]
    options = ["-qq", "--no-header", "--no-summary", "--tb=short", "-W", "ignore"]
    plugins = ["-p", "no:cacheprovider", "-p", "no:xdist"]
    where = ["-c", os.devnull, f"--rootdir={folder}"]
    pytest.main([*options, *plugins, *where, *files], plugins=[recorder])
    return recorder.outcomes


def _table(outcomes):
    counted = Counter(
        (
            row["test"].partition("[")[0].partition("::")[2],
            row["outcome"],
            row["choice"],
        )
        for row in outcomes
    )
    return [
        {"test": test, "outcome": outcome, "choice": choice, "cases": cases}
        for (test, outcome, choice), cases in sorted(counted.items())
    ]


def _beside(original):
    """Objective of both libraries' rules on the examples of the tests."""
    from test.unit.postprocessing import conftest as examples

    # Of test_constraints_objective_pairs, whose expectations are not applicable.
    score = np.array([0, 1, 2, 3, 4, 0, 1, 2, 3])
    label = np.array([1, 0, 1, 1, 1, 0, 1, 1, 1])
    pairs = ([0, 1], np.array([0] * 5 + [1] * 4), score[:, None], label, score)
    pairs = examples._data("pairs", *pairs)
    rows = []
    for example in (
        examples._data_ex1,
        examples._data_ex2,
        examples._data_ex3,
        pairs,
    ):
        for constraints in ALL_CONSTRAINTS:
            for objective in ("accuracy_score", "balanced_accuracy_score"):
                problem = {"constraints": constraints, "objective": objective}
                ours = _chosen(example, ThresholdOptimizer, problem)
                theirs = _chosen(example, original, problem)
                flipped = _chosen(example, original, problem, flip=True)
                rows.append(
                    {
                        "example": example.example_name,
                        **problem,
                        "ours": _objective(example, objective, ours),
                        "fairlearn": _objective(example, objective, theirs),
                        "flip=True": _objective(example, objective, flipped),
                        "gap": _gap(example, constraints, ours),
                        "apart": float(abs(ours - theirs).max()),
                    }
                )
    return rows


def _chosen(example, optimizer, problem, **options):
    from test.unit.postprocessing.conftest import ExamplePredictor

    groups = example.sensitive_features
    model = optimizer(
        estimator=ExamplePredictor(example.scores),
        predict_method="predict",
        **problem,
        **options,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(example.X, example.y, sensitive_features=groups)
        return model._pmf_predict(example.X, sensitive_features=groups)[:, 1]


def _gap(example, constraints, chosen):
    """Greatest difference between groups of the constrained rates."""
    group = [
        "".join(map(str, np.atleast_1d(row))) for row in example.sensitive_features
    ]
    group, y = np.array(group), example.y
    of_negatives = ("false_positive_rate_parity", "true_negative_rate_parity")
    if constraints in ("selection_rate_parity", "demographic_parity"):
        counted = [y >= 0]
    elif constraints == "equalized_odds":
        counted = [y == 0, y == 1]
    else:
        counted = [y == (0 if constraints in of_negatives else 1)]
    return max(
        float(np.ptp([chosen[rows & (group == a)].mean() for a in np.unique(group)]))
        for rows in counted
    )


def _objective(example, objective, chosen):
    right = np.where(example.y == 1, chosen, 1 - chosen)
    if objective == "accuracy_score":
        return float(right.mean())
    return float((right[example.y == 0].mean() + right[example.y == 1].mean()) / 2)


if __name__ == "__main__":
    main()
