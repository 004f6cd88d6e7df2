"""Fair classifiers of others, each a function from rows to decisions on new people.

Those of `SCORE_PEERS` post-process one score and know the group of new people; those of
`JOINT_PEERS` know P(A, Y | X) in its place, and `exponentiated_gradient` trains a
classifier. fairlearn runs in this process. The others each run in a virtual environment
of their own, made on first use in the user's cache folder: error-parity needs numpy<2,
LinearPost needs cvxpy and is run from a copy of its authors' repository. Where one
cannot be made, `PeerUnavailable` says why. The linear programs of the FairSISA paper
are here too.
"""

import atexit
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pooch
from _peer_worker import PeakMemory
from fairlearn.postprocessing import ThresholdOptimizer
from fairlearn.reductions import EqualizedOdds, ErrorRate, ExponentiatedGradient
from scipy import sparse
from scipy.optimize import linprog
from sklearn.base import BaseEstimator, ClassifierMixin

from sklearn_fairsisa.metrics import FairlearnAdapter

REQUIREMENTS = {
    "error-parity": ["error-parity==0.3.12", "numpy<2"],
    "AIF360": ["aif360==0.6.1"],
    "OxonFair": ["oxonfair==0.3"],
    "LinearPost": ["cvxpy==1.9.3", "scikit-learn==1.9.0", "typing-extensions"],
}
"""What is installed into the environment of each peer that has its own."""
REPOSITORIES = {
    "LinearPost": (
        "https://github.com/uiuctml/fair-classification",
        "92ca8b3367d307a2030ec4361036ed659923c28c",
    )
}
"""Address and commit of the code that a peer has no package for."""
_PEERS = Path(pooch.os_cache("sklearn-fairsisa")) / "peers"


class PeerUnavailable(Exception):
    """A peer cannot run here, or has failed on a problem; the message says why."""


@dataclass(frozen=True)
class Calibration:
    """Rows that a rule is calibrated on.

    Parameters
    ----------
    score : ndarray of shape (n_samples,)
        Scores of the positive class in [0, 1]; a label is positive above one half.
    y : ndarray of int of shape (n_samples,)
        Labels 0 and 1.
    group : ndarray of int of shape (n_samples,)
        Codes from 0.
    """

    score: np.ndarray
    y: np.ndarray
    group: np.ndarray

    def costs(self, objective):
        """Costs of a false positive and of a false negative, for an objective."""
        return _costs(self.y, objective)


@dataclass(frozen=True)
class Beliefs:
    """Rows that a rule without the group is calibrated on.

    Parameters
    ----------
    joint : ndarray of shape (n_samples, n_groups, 2)
        P(A, Y | X), by a model that has not seen the rows.
    y, group : ndarray of int of shape (n_samples,)
    """

    joint: np.ndarray
    y: np.ndarray
    group: np.ndarray


@dataclass(frozen=True)
class Decisions:
    """What a peer decides on new rows, and what it took to fit it.

    Parameters
    ----------
    probability : ndarray of shape (n_new,), or (n_tolerances, n_new)
        Probability of the positive decision.
    seconds : float
        Processor time of the fit alone.
    peak_bytes : int
        Memory that the fit needed on top of its input, -1 if unknown.
    """

    probability: np.ndarray
    seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class ProgramSolution:
    """Accuracy and gap of the best rule on vote patterns, and what it took to find."""

    accuracy: float
    gap: float
    seconds: float
    peak_bytes: int


def threshold_optimizer(calibration, score, group, objective="accuracy_score"):
    """Decide on new rows by fairlearn's ThresholdOptimizer for equalized odds.

    It has no tolerance for this constraint.
    """
    mitigator = ThresholdOptimizer(
        estimator=_GivenScore(),
        constraints="equalized_odds",
        objective=objective,
        prefit=True,
        predict_method="predict_proba",
    )
    columns = calibration.score[:, None]
    adapter = FairlearnAdapter(mitigator, random_state=0)
    with measured() as work:
        adapter.fit(columns, calibration.y, sensitive_features=calibration.group)
    probability = adapter.selection_probability(
        score[:, None], sensitive_features=group
    )
    return Decisions(probability, work.seconds, work.peak_bytes)


def exponentiated_gradient(
    estimator, X, y, group, X_new, objective="accuracy_score", tol=0.01
):
    """Decide on new rows by fairlearn's ExponentiatedGradient for equalized odds.

    It trains many clones of `estimator` on the rows of X, by sample weights, and does
    not look at the group in predict.
    """
    false_positive, false_negative = _costs(y, objective)
    mitigator = ExponentiatedGradient(
        estimator,
        EqualizedOdds(difference_bound=tol),
        objective=ErrorRate(costs={"fp": false_positive, "fn": false_negative}),
    )
    adapter = FairlearnAdapter(mitigator, random_state=0)
    with measured() as work, warnings.catch_warnings():
        # It warns of its own use of pandas and of learners that are not converged.
        warnings.simplefilter("ignore")
        adapter.fit(X, y, sensitive_features=group)
    probability = adapter.selection_probability(X_new, sensitive_features=None)
    return Decisions(probability, work.seconds, work.peak_bytes)


def error_parity(calibration, score, group, objective="accuracy_score", tol=0.0):
    """Decide on new rows by error-parity's RelaxedThresholdOptimizer."""
    costs = calibration.costs(objective)
    return _ask_scores("error-parity", calibration, score, group, costs, tol)


def aif360(calibration, score, group, objective=None):
    """Decide on new rows by AIF360's EqOddsPostprocessing.

    It sees labels, not scores, and two groups: the largest and all others. It has an
    objective of its own and no tolerance, so `objective` is not used.
    """
    return _ask_scores("AIF360", calibration, score, group, (1.0, 1.0), 0.0)


def linear_post(beliefs, joint, objective="accuracy_score", tolerances=(0.0,)):
    """Decide on new rows by LinearPost, without the group.

    As its authors do, P(A, Y | X) is calibrated on the rows to post-process first. For
    balanced accuracy the classes are weighted.
    """
    weights = _costs(beliefs.y, objective)
    # Its program is degenerate at zero; the authors' strictest is this.
    alphas = np.maximum(tolerances, 0.001)
    return _ask_joint("LinearPost", beliefs, joint, class_weight=weights, alphas=alphas)


def oxonfair(beliefs, joint, objective="accuracy_score", tolerances=(0.02,)):
    """Decide on new rows by OxonFair with inferred groups.

    Its thresholds depend on the group that P(A | X) names, or on none being named if
    there are at most three groups: its grid over four and that one would need
    gigabytes. The gap is measured by observed groups. Thresholds alone reach a gap of
    zero by deciding alike for everyone only, so ask for more.
    """
    return _ask_joint(
        "OxonFair",
        beliefs,
        joint,
        balanced=objective == "balanced_accuracy_score",
        tolerances=np.asarray(tolerances),
    )


SCORE_PEERS = {
    "fairlearn ThresholdOptimizer": threshold_optimizer,
    "error-parity": error_parity,
    "AIF360 EqOdds": aif360,
}
"""Peers that post-process one score; they share one signature."""
WITH_TOLERANCE = ("error-parity",)
"""Those of `SCORE_PEERS` that take ``tol``."""
JOINT_PEERS = {"LinearPost": linear_post, "OxonFair": oxonfair}
"""Peers that post-process P(A, Y | X), at all tolerances in one call."""


def available_peers(report=print, peers=SCORE_PEERS):
    """Those peers that run here; `report` is called with why others do not."""
    rng = np.random.default_rng(0)
    y, group = rng.integers(0, 2, (2, 400))
    score = (y + rng.random(400)) / 2
    joint = np.repeat(np.stack([1 - score, score], axis=1)[:, None] / 2, 2, axis=1)
    found = {}
    for name, peer in peers.items():
        try:
            if name in JOINT_PEERS:
                peer(Beliefs(joint, y, group), joint[:1])
            else:
                peer(Calibration(score, y, group), score[:1], group[:1])
            found[name] = peer
        except PeerUnavailable as error:
            report(f"{name} is left out: {error}")
    return found


def linear_program(votes, y, group, *, all_patterns):
    """Optimal accuracy of equalized odds over vote patterns, by HiGHS.

    The program of the FairSISA paper: one unknown for each group and pattern.

    Parameters
    ----------
    votes : ndarray of bool of shape (n_samples, n_members)
        At most 62 members.
    y, group : ndarray of int of shape (n_samples,)
    all_patterns : bool
        Over all 2**n_members patterns, as in the paper, or over the observed ones.

    Returns
    -------
    ProgramSolution
    """
    with measured() as work:
        n_groups = int(group.max()) + 1
        code, n_cells = votes @ (1 << np.arange(votes.shape[1])), 2 ** votes.shape[1]
        if not all_patterns:
            patterns, code = np.unique(code, return_inverse=True)
            n_cells = len(patterns)
        place = (2 * group + y) * n_cells + code
        counts = np.bincount(place, minlength=2 * n_groups * n_cells)
        negatives, positives = np.moveaxis(counts.reshape(n_groups, 2, n_cells), 1, 0)
        rates = [c / c.sum(axis=1, keepdims=True) for c in (negatives, positives)]
        # The first group's rate equals that of each other group.
        blocks = [
            sparse.hstack(
                [
                    sparse.csr_array(np.repeat(rate[:1], n_groups - 1, axis=0)),
                    -sparse.block_diag([row[None, :] for row in rate[1:]]),
                ]
            )
            for rate in rates
        ]
        result = linprog(
            ((negatives - positives) / len(y)).ravel(),
            A_eq=sparse.vstack(blocks, format="csr"),
            b_eq=np.zeros(2 * (n_groups - 1)),
            bounds=(0, 1),
            method="highs",
        )
        if result.status != 0:
            raise PeerUnavailable(f"HiGHS stopped: {result.message}")
    rule = result.x.reshape(n_groups, n_cells)
    gap = max(np.ptp((rule * rate).sum(axis=1)) for rate in rates)
    accuracy = negatives.sum() / len(y) - result.fun
    return ProgramSolution(accuracy, gap, work.seconds, work.peak_bytes)


def _costs(y, objective):
    if objective == "accuracy_score":
        return 1.0, 1.0
    share = y.mean()
    return float(0.5 / (1 - share)), float(0.5 / share)


class measured(PeakMemory):
    """Processor time and peak memory of a block."""

    def __enter__(self):
        super().__enter__()
        self.begun = time.process_time()
        return self

    def __exit__(self, *details):
        self.seconds = time.process_time() - self.begun
        super().__exit__(*details)
        self.peak_bytes = self.bytes


class _GivenScore(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose score is its only column."""

    classes_ = np.array([0, 1])

    def fit(self, X, y):
        return self

    def predict_proba(self, X):
        score = np.asarray(X)[:, 0]
        return np.column_stack([1 - score, score])

    def predict(self, X):
        return (np.asarray(X)[:, 0] > 0.5).astype(int)

    def __sklearn_is_fitted__(self):
        return True


def _ask_scores(peer, calibration, score, group, costs, tol):
    false_positive, false_negative = costs
    return _ask_worker(
        peer,
        score=calibration.score,
        y=calibration.y,
        group=calibration.group,
        new_score=score,
        new_group=group,
        false_positive=false_positive,
        false_negative=false_negative,
        tolerance=tol,
    )


def _ask_joint(peer, beliefs, joint, **options):
    return _ask_worker(
        peer,
        joint=beliefs.joint,
        y=beliefs.y,
        group=beliefs.group,
        new_joint=joint,
        **options,
    )


def _ask_worker(peer, **problem):
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "problem.npz", Path(folder) / "answer.npz"
        np.savez(source, **problem)
        worker = start_worker(peer)
        worker.stdin.write(f"{source}\t{target}\n")
        worker.stdin.flush()
        said = worker.stdout.readline().strip()
        if said != "done":
            raise PeerUnavailable(said or f"{peer} ended with {worker.wait()}")
        with np.load(target) as found:
            return Decisions(
                # Solvers' rounding errors may lead out of [0, 1].
                found["probability"].clip(0.0, 1.0),
                float(found["seconds"]),
                int(found["peak_bytes"]),
            )


@functools.cache
def start_worker(peer):
    """Start a process that fits a peer, once in each process of ours."""
    python = environment(peer)
    command = [python, Path(__file__).with_name("_peer_worker.py"), peer]
    if peer in REPOSITORIES:
        command.append(repository(peer))
    worker = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    atexit.register(worker.kill)
    return worker


@functools.cache
def repository(peer):
    """Folder of a peer's code, which git fetches if it is not there.

    Raises
    ------
    PeerUnavailable
        If it cannot be fetched.
    """
    address, commit = REPOSITORIES[peer]
    folder = _PEERS / f"{peer}-{commit[:7]}"
    if folder.is_dir():
        return folder
    aside = folder.with_name(f"{folder.name}.{os.getpid()}")
    try:
        for command in (
            ["git", "clone", "--quiet", address, aside],
            ["git", "-C", aside, "checkout", "--quiet", commit],
        ):
            subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise PeerUnavailable(f"git could not fetch {peer}: {_reason(error)}") from None
    aside.rename(folder)
    return folder


def _reason(error):
    return (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1]


@functools.cache
def environment(peer):
    """Python of a peer's own environment, which is made if it is not there.

    Raises
    ------
    PeerUnavailable
        If it cannot be made.
    """
    name = f"{peer}-py{sys.version_info[0]}{sys.version_info[1]}"
    folder = _PEERS / name
    python, ready = folder / "bin" / "python", folder / "requirements.json"
    wanted = json.dumps(REQUIREMENTS[peer])
    if ready.is_file() and ready.read_text() == wanted:
        return python
    print(f"Making an environment for {peer} in {folder}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        venv.create(folder, with_pip=True)
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", *REQUIREMENTS[peer]],
            check=True,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise PeerUnavailable(
            f"no environment could be made for {peer}: {_reason(error)}"
        ) from None
    # Written last, so that a folder left half made is made anew.
    ready.write_text(wanted)
    return python
