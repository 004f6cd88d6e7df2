"""Decisions of every method on what the ensembles said."""

from dataclasses import dataclass, field

import numpy as np
from _peers import Calibration, PeerUnavailable, available_peers
from joblib import Parallel, delayed
from rich.progress import track
from scipy.stats import rankdata

from sklearn_fairsisa import FairEnsemblePostprocessor
from sklearn_fairsisa.metrics import expected_equalized_odds_difference
from sklearn_fairsisa.postprocessing._methods import METHODS

from .tasks import split_all
from .units import OBJECTIVE, without_expected_warnings

UNTOUCHED = "no post-processing"
OURS = tuple(METHODS)
EVERY_ROW = "smooth_ensemble, every row"


@dataclass(frozen=True)
class Case:
    """What is compared at once: an ensemble, an attribute, what was forgotten."""

    task: str
    learner: str
    attribute: str
    n_shards: int
    deletion: str | None
    share: float


@dataclass
class Judged:
    """Decisions of the methods on the test rows of all folds.

    Parameters
    ----------
    tests : list of (repeat, ndarray)
        Test rows of each fold, of compared groups only.
    decisions : dict of str to list of ndarray
        Expected decision of each method on them.
    calibration_gaps : dict of str to list of float
        Gap of each method on its calibration rows.
    aucs : list of (float, float)
        Area under the ROC curve of the members' mean score, by fold, and its variance.
    """

    tests: list = field(default_factory=list)
    decisions: dict = field(default_factory=dict)
    calibration_gaps: dict = field(default_factory=dict)
    aucs: list = field(default_factory=list)


@dataclass(frozen=True)
class Problem:
    """Outputs, labels and groups of one fold's calibration and test rows."""

    scores: np.ndarray
    y: np.ndarray
    groups: np.ndarray
    new_scores: np.ndarray
    new_groups: np.ndarray

    @property
    def mean_scores(self):
        """Mean score of the members on calibration and on test rows."""
        return self.scores.mean(axis=1), self.new_scores.mean(axis=1)


def judge_all(answers, tasks, options):
    """Let every method decide on every answer.

    Returns
    -------
    dict of Case to Judged
    """
    work = [
        (answer, attribute)
        for answer in answers
        for attribute in tasks[answer.unit.task].groups
        if answer.unit.deletion in (None, "uniform")
        or answer.unit.deletion.startswith(f"{attribute}=")
    ]
    peers = {} if options.without_peers else available_peers()
    splits = split_all(tasks, options)
    parallel = Parallel(n_jobs=options.jobs, return_as="generator")
    results = parallel(
        delayed(_judge)(
            answer,
            attribute,
            splits[answer.unit.task, answer.unit.repeat][answer.unit.fold],
            tasks[answer.unit.task],
            peers,
        )
        for answer, attribute in work
    )
    judged = {}
    progress = track(zip(work, results), "Post-processing", total=len(work))
    failures = {}
    for (answer, attribute), (test, auc, decisions, gaps, failed) in progress:
        unit = answer.unit
        case = Case(
            unit.task,
            unit.learner,
            attribute,
            unit.n_shards,
            unit.deletion,
            answer.share,
        )
        found = judged.setdefault(case, Judged())
        found.tests.append((unit.repeat, test))
        found.aucs.append(auc)
        for name, decision in decisions.items():
            found.decisions.setdefault(name, []).append(decision)
            found.calibration_gaps.setdefault(name, []).append(gaps[name])
        failures |= {(case, name): reason for name, reason in failed.items()}
    for (case, name), reason in failures.items():
        # Rows of some folds alone are another test set than the other methods'.
        judged[case].decisions.pop(name, None)
        judged[case].calibration_gaps.pop(name, None)
        print(f"{name} is left out of {case}: {reason}")
    return judged


def _judge(answer, attribute, split, task, peers):
    unit = answer.unit
    groups = task.groups[attribute]
    inside, new = (
        np.array([group is not None for group in groups[rows]])
        for rows in (split.calibration, split.test)
    )
    calibration, test = split.calibration[inside], split.test[new]
    problem = Problem(
        scores=answer.calibration[inside],
        y=task.y[calibration],
        groups=groups[calibration].astype(str),
        new_scores=answer.test[new],
        new_groups=groups[test].astype(str),
    )
    methods = {UNTOUCHED: _majority, **{name: _ours(name) for name in OURS}}
    if unit.deletion is None:
        methods |= {name: _peer(peer) for name, peer in peers.items()}
    if attribute in answer.trained_fair:
        known, decided = answer.trained_fair[attribute]
        trained = known[inside], decided[new]
        methods["fairlearn ExponentiatedGradient"] = lambda problem: trained
    decisions, gaps, failed = {}, {}, {}
    for name, decide in methods.items():
        try:
            known, decisions[name] = decide(problem)
        except PeerUnavailable as error:
            failed[name] = str(error)
            continue
        gaps[name] = expected_equalized_odds_difference(
            problem.y, known, sensitive_features=problem.groups
        )
    if attribute in answer.every_row:
        gaps[EVERY_ROW], decided = answer.every_row[attribute]
        decisions[EVERY_ROW] = decided[new]
    auc = area_and_variance(task.y[test], problem.mean_scores[1])
    return test, auc, decisions, gaps, failed


def area_and_variance(y, score):
    """Area under the ROC curve, and its variance over people.

    References
    ----------
    DeLong, DeLong, Clarke-Pearson (1988). Comparing the Areas under Two or More
    Correlated Receiver Operating Characteristic Curves. Biometrics 44. Section 3.
    """
    positive = y == 1
    ranks = rankdata(score)
    # Share of the other label that each person is ranked right against.
    right = [
        (ranks[positive] - rankdata(score[positive])) / np.sum(~positive),
        1 - (ranks[~positive] - rankdata(score[~positive])) / np.sum(positive),
    ]
    variance = sum(np.var(shares, ddof=1) / len(shares) for shares in right)
    return right[0].mean(), variance


def _majority(problem):
    return tuple(
        ((scores > 0.5).mean(axis=1) > 0.5).astype(float)
        for scores in (problem.scores, problem.new_scores)
    )


def _ours(method):
    def decide(problem):
        rule = FairEnsemblePostprocessor(
            method=method, objective=OBJECTIVE, random_state=0
        )
        with without_expected_warnings():
            rule.fit(problem.scores, problem.y, sensitive_features=problem.groups)
        return (
            rule.selection_probability(
                problem.scores, sensitive_features=problem.groups
            ),
            rule.selection_probability(
                problem.new_scores, sensitive_features=problem.new_groups
            ),
        )

    return decide


def _peer(decide_by_peer):
    def decide(problem):
        names = np.unique(problem.groups)
        group, new_group = (
            np.searchsorted(names, groups)
            for groups in (problem.groups, problem.new_groups)
        )
        known, new = problem.mean_scores
        decided = decide_by_peer(
            Calibration(known, problem.y, group),
            np.concatenate([known, new]),
            np.concatenate([group, new_group]),
            OBJECTIVE,
        ).probability
        return decided[: len(known)], decided[len(known) :]

    return decide
