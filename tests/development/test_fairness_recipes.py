"""The recipes of docs/development for a constraint and a method, followed.

Each is applied to a copy of the package, so that nothing but its lines is changed.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import sklearn_fairsisa

PACKAGE = Path(sklearn_fairsisa.__file__).parent

ERROR_RATES = """\
def _error_rates(n_classes):
    everyone = np.ones(n_classes, dtype=bool)
    return [Rate(everyone, ~np.eye(n_classes, dtype=bool), "error_rate")]


"""
CONSTRAINT = {
    "fairness/_constraints.py": [
        ("RATES = {\n", ERROR_RATES + "RATES = {\n"),
        ("RATES = {\n", 'RATES = {\n    "error_rate": _error_rates,\n'),
        (
            '        "true_negative_rate_parity": ',
            '        "error_rate_parity": "error_rate",\n'
            '        "true_negative_rate_parity": ',
        ),
    ]
}

FIRST_MEMBER = '''\
"""A rule on the vote of the first member."""

from dataclasses import replace

from ..fairness._plurality_rules import PluralityRule
from ..fairness._vote_rules import MajorityRule
from ._evidence import OnVotes


class OnFirstVote(OnVotes):
    """A rule that hears the first member alone."""

    @classmethod
    def learn(cls, rows):
        """Return a function from a problem to a rule."""
        rows = replace(rows, scores=rows.scores[:, :1])
        return super().learn(rows, of_two=MajorityRule, of_more=PluralityRule)

    def selection_probability(self, scores, group, counted=None):
        """Probability of selection of rows of known groups."""
        return super().selection_probability(scores[:, :1], group)
'''
METHOD = {
    "postprocessing/_first_member.py": FIRST_MEMBER,
    "postprocessing/_methods.py": [
        ("\n\n\n", "\nfrom ._first_member import OnFirstVote\n\n\n"),
        (
            "METHODS = {\n",
            'METHODS = {\n    "first_member": Method(OnFirstVote.learn),\n',
        ),
    ],
}

ROWS = """
import numpy as np
from sklearn_fairsisa import FairEnsemblePostprocessor, metrics

def draw(n_classes, n=300):
    rng = np.random.default_rng(n_classes)
    group, y = rng.integers(0, 2, n), rng.integers(0, n_classes, n)
    right = rng.random((n, 3)) < np.where(group == 0, 0.8, 0.6)[:, None]
    votes = np.where(right, y[:, None], rng.integers(0, n_classes, (n, 3)))
    return votes, y, group

def gap(hits, group):
    return abs(hits[group == 0].mean() - hits[group == 1].mean())

def fit(n_classes, **params):
    votes, y, group = draw(n_classes)
    params = {"objective": "balanced_accuracy_score", "random_state": 0} | params
    fair = FairEnsemblePostprocessor(**params)
    return fair.fit(votes, y, sensitive_features=group), votes, y, group
"""

USE_CONSTRAINT = """
import warnings
# Of so few rows the default may learn that groups do not differ.
warnings.filterwarnings("ignore", "The fair rule is not expected")
METHODS = ["smooth_ensemble", "soft_ensemble", "ensemble",
           "aggregate_then_postprocess", "postprocess_then_aggregate"]
for n_classes in (2, 3):
    for method in METHODS:
        fair, votes, y, group = fit(
            n_classes, method=method, constraints="error_rate_parity"
        )
        p = fair.selection_probability(votes, sensitive_features=group)
        p = p if p.ndim == 2 else np.column_stack([1 - p, p])
        # The others keep it as estimated, or for each member.
        smooth = method == "smooth_ensemble" and n_classes == 2
        if method != "postprocess_then_aggregate" and not smooth:
            assert gap(1 - p[np.arange(len(y)), y], group) < 1e-9, method
        table = fair.tradeoff([0.0, 0.05])
        if method != "postprocess_then_aggregate":
            assert (table.error_rate_difference < [1e-9, 0.05 + 1e-9]).all()
        report = fair.fairness_report_
        assert report.to_frame().index.tolist() == ["error_rate_difference"]
        assert "gap in error_rate_parity is at most" in str(report)
    fair = fit(n_classes, constraints="error_rate_parity", tol=0.3, confidence=0.9)[0]
    assert fair.tol_ <= 0.3 and fair.fairness_report_.bound <= 0.3
fair, votes, y, group = fit(2)
decided = fair.predict(votes, sensitive_features=group)
interval = metrics.bootstrap_interval(
    "error_rate_difference", y, decided, sensitive_features=group, random_state=0
)
assert abs(interval.estimate - gap(decided != y, group)) < 1e-12
"""

USE_METHOD = """
for n_classes in (2, 3):
    fair, votes, y, group = fit(n_classes, method="first_member")
    assert set(fair.rule_.cell) == {str(k) for k in range(n_classes)}
    p = fair.selection_probability(votes, sensitive_features=group)
    other = votes.copy()
    other[:, 1:] = 0
    again = fair.selection_probability(other, sensitive_features=group)
    np.testing.assert_array_equal(p, again)
    assert fair.tradeoff([0.0]).equalized_odds_difference[0] < 1e-9
    assert fair.fairness_report_.dispersion == 1
    assert fair.objective_ > 1 / n_classes
"""


def lines_of(recipe, file):
    """Number of lines that a recipe adds to a file."""
    before = (
        (PACKAGE / file).read_text().count("\n") if (PACKAGE / file).exists() else 0
    )
    return text_of(recipe, file).count("\n") - before


def text_of(recipe, file):
    """A file of the package after a recipe."""
    if isinstance(recipe[file], str):
        return recipe[file]
    text = (PACKAGE / file).read_text()
    for old, new in recipe[file]:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def use(recipe, script, folder):
    """Run a script with a copy of the package that a recipe has changed."""
    copied = folder / PACKAGE.name
    shutil.copytree(PACKAGE, copied, ignore=shutil.ignore_patterns("__pycache__"))
    for file in recipe:
        (copied / file).write_text(text_of(recipe, file))
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", ROWS + script],
        env=os.environ | {"PYTHONPATH": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr


def test_a_linear_constraint_costs_one_file_and_under_ten_lines(tmp_path):
    (file,) = CONSTRAINT
    assert lines_of(CONSTRAINT, file) < 10
    use(CONSTRAINT, USE_CONSTRAINT, tmp_path)


def test_a_method_costs_its_own_file_and_two_lines(tmp_path):
    own, table = METHOD
    assert not (PACKAGE / own).exists()
    assert lines_of(METHOD, table) == 2
    use(METHOD, USE_METHOD, tmp_path)
