"""Post-processors of others, each a function from calibration rows to decisions.

fairlearn runs in this process. error-parity and AIF360 each run in a virtual
environment of their own, made on first use in the user's cache folder, because
error-parity needs numpy<2. Where one cannot be made, `PeerUnavailable` says why. The
linear programs of the FairSISA paper are here too.
"""

import atexit
import functools
import json
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
from fairlearn.reductions import EqualizedOdds, ExponentiatedGradient
from scipy import sparse
from scipy.optimize import linprog
from sklearn.base import BaseEstimator, ClassifierMixin

from sklearn_fairsisa.metrics import FairlearnAdapter

REQUIREMENTS = {
    "error-parity": ["error-parity==0.3.12", "numpy<2"],
    "AIF360": ["aif360==0.6.1"],
}
"""What is installed into the environment of each peer that has its own."""


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
        if objective == "accuracy_score":
            return 1.0, 1.0
        share = self.y.mean()
        return 0.5 / (1 - share), 0.5 / share


@dataclass(frozen=True)
class Decisions:
    """What a peer decides on new rows, and what it took to fit it.

    Parameters
    ----------
    probability : ndarray of shape (n_new,)
        Probability of the positive decision.
    seconds : float
        Wall-clock time of the fit alone.
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
    """Decide on new rows by fairlearn's ThresholdOptimizer for equalized odds."""
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


def exponentiated_gradient(estimator, X, y, group, X_new):
    """Decide on new rows by fairlearn's ExponentiatedGradient for equalized odds.

    It trains many clones of `estimator` on the rows of X, by sample weights, and does
    not look at the group in predict.
    """
    adapter = FairlearnAdapter(
        ExponentiatedGradient(estimator, EqualizedOdds()), random_state=0
    )
    with measured() as work, warnings.catch_warnings():
        # It warns of its own use of pandas and of learners that are not converged.
        warnings.simplefilter("ignore")
        adapter.fit(X, y, sensitive_features=group)
    probability = adapter.selection_probability(X_new, sensitive_features=None)
    return Decisions(probability, work.seconds, work.peak_bytes)


def error_parity(calibration, score, group, objective="accuracy_score", tol=0.0):
    """Decide on new rows by error-parity's RelaxedThresholdOptimizer."""
    return _ask_worker("error-parity", calibration, score, group, objective, tol)


def aif360(calibration, score, group, objective=None):
    """Decide on new rows by AIF360's EqOddsPostprocessing.

    It sees labels, not scores, and two groups: the largest and all others. It has an
    objective of its own, so `objective` is not used.
    """
    return _ask_worker("AIF360", calibration, score, group, "accuracy_score")


SCORE_PEERS = {
    "fairlearn ThresholdOptimizer": threshold_optimizer,
    "error-parity": error_parity,
    "AIF360 EqOdds": aif360,
}
"""Peers that post-process one score; they share one signature."""


def available_peers(report=print):
    """Those of `SCORE_PEERS` that run here; tells which do not, and why."""
    rng = np.random.default_rng(0)
    y, group = rng.integers(0, 2, (2, 400))
    score = (y + rng.random(400)) / 2
    found = {}
    for name, peer in SCORE_PEERS.items():
        try:
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


class measured(PeakMemory):
    """Wall-clock time and peak memory of a block."""

    def __enter__(self):
        super().__enter__()
        self.begun = time.perf_counter()
        return self

    def __exit__(self, *details):
        self.seconds = time.perf_counter() - self.begun
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


def _ask_worker(peer, calibration, score, group, objective, tol=0.0):
    false_positive, false_negative = calibration.costs(objective)
    with tempfile.TemporaryDirectory() as folder:
        problem, solution = Path(folder) / "problem.npz", Path(folder) / "answer.npz"
        np.savez(
            problem,
            score=calibration.score,
            y=calibration.y,
            group=calibration.group,
            new_score=score,
            new_group=group,
            false_positive=false_positive,
            false_negative=false_negative,
            tolerance=tol,
        )
        worker = start_worker(peer)
        worker.stdin.write(f"{problem}\t{solution}\n")
        worker.stdin.flush()
        said = worker.stdout.readline().strip()
        if said != "done":
            raise PeerUnavailable(said or f"{peer} ended with {worker.wait()}")
        with np.load(solution) as found:
            return Decisions(
                # Solvers' rounding errors may lead out of [0, 1].
                found["probability"].clip(0.0, 1.0),
                float(found["seconds"]),
                int(found["peak_bytes"]),
            )


@functools.cache
def start_worker(peer):
    """Start a process that fits a peer, once in each process of ours."""
    worker = subprocess.Popen(
        [environment(peer), Path(__file__).with_name("_peer_worker.py"), peer],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    atexit.register(worker.kill)
    return worker


@functools.cache
def environment(peer):
    """Python of a peer's own environment, which is made if it is not there.

    Raises
    ------
    PeerUnavailable
        If it cannot be made.
    """
    name = f"{peer}-py{sys.version_info[0]}{sys.version_info[1]}"
    folder = Path(pooch.os_cache("sklearn-fairsisa")) / "peers" / name
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
        reason = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        raise PeerUnavailable(
            f"no environment could be made for {peer}: {reason[-1]}"
        ) from None
    # Written last, so that a folder left half made is made anew.
    ready.write_text(wanted)
    return python
