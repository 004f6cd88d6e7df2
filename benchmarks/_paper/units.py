"""Ensembles trained and asked, one unit of work at a time, each a piece on disk."""

import tempfile
import time
import warnings
import zipfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path

import joblib
import numpy as np
from _peers import exponentiated_gradient
from _pieces import Pieces
from rich.progress import track
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.utils.parallel import Parallel, delayed

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.exceptions import DegenerateRuleWarning, SharedCoinWarning
from sklearn_fairsisa.metrics import expected_equalized_odds_difference
from sklearn_fairsisa.sisa._plan import expected_replay_cost

from .tasks import split_all

OBJECTIVE = "balanced_accuracy_score"
SHARES = (0.01, 0.05, 0.10, 0.20)
SINGLE_REQUESTS = 5


@dataclass(frozen=True)
class Unit:
    """An ensemble to train.

    Parameters
    ----------
    task, learner : str
    n_shards, n_slices, epochs : int
    repeat, fold, n_folds, seed : int
        Which rows train, calibrate and test.
    digest : str
        Of the rows, the learner and what is asked for, so that an answer kept from
        others is not taken for theirs.
    deletion : str or None
        "uniform", "attribute=group" or None: what rows to forget, in growing shares.
    """

    task: str
    learner: str
    n_shards: int
    n_slices: int
    epochs: int
    repeat: int
    fold: int
    n_folds: int
    seed: int
    digest: str
    deletion: str | None = None


@dataclass(frozen=True)
class Answer:
    """What an ensemble said.

    Parameters
    ----------
    unit : Unit
    share : float
        Share of the training rows forgotten before it was asked.
    calibration, test : ndarray of shape (n_rows, n_shards)
        Members' scores of the positive class.
    costs : list of dict
        Of each request: rows, share of visits, its expectation, seconds.
    fit_seconds : float
    trained_fair : dict of str to pair of ndarray
        For each attribute, expected decisions on calibration and test rows of a single
        model that fairlearn's ExponentiatedGradient trained; where that was asked for.
    every_row : dict of str to pair of float and ndarray
        For each attribute, gap in calibration and expected decisions on test rows of a
        rule whose members learn from the calibration rows too; where asked for.
    """

    unit: Unit
    share: float
    calibration: np.ndarray
    test: np.ndarray
    costs: list
    fit_seconds: float
    trained_fair: dict = field(default_factory=dict)
    every_row: dict = field(default_factory=dict)


def plan_units(tasks, learners, options):
    """All units of a run."""
    units = []
    for task, learner in product(tasks.values(), learners):
        if task.has_texts != learner.takes_texts:
            continue
        digest = _digest(task, learner, options)
        deletions = {s: [None] for s in options.shards}
        for s in options.deletions_at:
            deletions[s] += ["uniform", *_smallest_groups(task)]
        for n_shards in options.shards:
            units += [
                Unit(
                    task=task.name,
                    learner=learner.name,
                    n_shards=n_shards,
                    n_slices=options.slices,
                    epochs=learner.epochs,
                    repeat=repeat,
                    fold=fold,
                    n_folds=options.folds,
                    seed=options.seed,
                    digest=digest,
                    deletion=deletion,
                )
                for repeat in range(options.repeats)
                for fold in range(options.folds)
                for deletion in deletions[n_shards]
                if deletion is None or repeat < options.deletion_repeats
            ]
    return units


def _digest(task, learner, options):
    asked = learner.estimator, learner.encoder and learner.encoder.model
    asked = repr((*asked, options.every_row, options.without_peers))
    return joblib.hash((task.X, task.y, task.groups, asked))[:16]


def run_units(units, tasks, learners, options):
    """Train what is not kept yet.

    Returns
    -------
    answers : list of Answer
        Unit by unit.
    n_trained : int
        Units that had to be trained now.
    """
    pieces = Pieces(options.output / "pieces")
    by_name = {learner.name: learner for learner in learners}
    features, splits = {}, split_all(tasks, options)
    missing = [unit for unit in units if asdict(unit) not in pieces]
    for unit in missing:
        key = unit.task, unit.learner
        if key not in features:
            features[key] = by_name[unit.learner].features(tasks[unit.task])
    with _backend(options, features):
        parallel = Parallel(n_jobs=options.jobs, return_as="generator_unordered")
        done = parallel(
            delayed(_run)(
                unit,
                splits[unit.task, unit.repeat][unit.fold],
                tasks[unit.task],
                features[unit.task, unit.learner],
                by_name[unit.learner].estimator,
                with_peers=not options.without_peers,
                with_every_row=options.every_row,
            )
            for unit in missing
        )
        for answers in track(done, "Training ensembles", total=len(missing)):
            # Here, not by the workers, which need not share a disk.
            pieces.keep(asdict(answers[0].unit), list(map(_without_unit, answers)))
    answers = [
        Answer(unit=unit, **found)
        for unit in units
        for found in pieces.read(asdict(unit))
    ]
    return answers, len(missing)


def _without_unit(answer):
    found = asdict(answer)
    del found["unit"]
    return found


@contextmanager
def _backend(options, features):
    """Where units are trained: processes here, or a cluster's workers."""
    if options.dask is None:
        with joblib.parallel_config(backend="loky"):
            yield
        return
    from distributed import Client

    with Client(options.dask) as client:
        _send_scripts(client)
        # Sent to each worker once, not with each unit.
        sent = list(features.values())
        with joblib.parallel_config(backend="dask", scatter=sent):
            yield


def _send_scripts(client):
    """Give a cluster's workers these scripts; the library they have."""
    here = Path(__file__).parents[1]
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder) / "study.zip"
        with zipfile.ZipFile(code, "w") as archive:
            for file in (*here.glob("_*.py"), *here.glob("_paper/*.py")):
                archive.write(file, file.relative_to(here))
        client.upload_file(str(code))


def _run(unit, split, task, X, estimator, *, with_peers, with_every_row):
    answers = list(run_unit(unit, split, task, X, estimator))
    more = {}
    whole, one_model = unit.deletion is None, unit.n_shards == 1
    if whole and one_model and with_peers and X.dtype != object:
        more["trained_fair"] = dict(_train_fair(split, task, X))
    if whole and not one_model and with_every_row:
        more["every_row"] = dict(_use_every_row(unit, split, task, X, estimator))
    return [replace(answer, **more) for answer in answers]


def run_unit(unit, split, task, X, estimator):
    """Train an ensemble; yield what it says, before and after deletions."""
    sisa = _ensemble(unit, estimator)
    begun = time.perf_counter()
    sisa.fit(X[split.train], task.y[split.train])
    fit_seconds = time.perf_counter() - begun

    def ask(share):
        return Answer(
            unit=unit,
            share=share,
            calibration=sisa.transform(X[split.calibration]),
            test=sisa.transform(X[split.test]),
            costs=_costs(sisa),
            fit_seconds=fit_seconds,
        )

    if unit.deletion is None:
        yield ask(0.0)
        return
    order = _order_of_deletion(unit, task, split.train)
    for row in order[:SINGLE_REQUESTS]:
        sisa.forget([row])
    for share in SHARES:
        sisa.forget(order[: round(share * len(order))])
        yield ask(share)


def _ensemble(unit, estimator):
    return SISAClassifier(
        clone(estimator),
        n_shards=unit.n_shards,
        n_slices=unit.n_slices,
        epochs=unit.epochs,
        random_state=1000 * unit.seed + 10 * unit.repeat + unit.fold,
    )


def _use_every_row(unit, split, task, X, estimator):
    """For each attribute, what the rule decides that holds no row out."""
    rows = np.sort(np.concatenate([split.train, split.calibration]))
    for attribute, groups in task.groups.items():
        fair = FairEnsemblePostprocessor(
            _ensemble(unit, estimator),
            objective=OBJECTIVE,
            calibration="cross_shard",
            unknown_group="unconstrained",
            random_state=0,
        )
        with without_expected_warnings():
            fair.fit(X[rows], task.y[rows], sensitive_features=groups[rows])
        known, rule = fair._rows, fair._calibrated().rule
        # Each by the members that did not learn from it, whom only the rule knows.
        in_calibration = rule.selection_probability(
            known.scores, known.group, known.counted
        )
        gap = expected_equalized_odds_difference(
            known.label, in_calibration, sensitive_features=known.group
        )
        asked = {"sensitive_features": groups[split.test]}
        yield attribute, (gap, fair.selection_probability(X[split.test], **asked))


@contextmanager
def without_expected_warnings():
    """Fit rules of which the tables say what is warned of."""
    with warnings.catch_warnings():
        # Constant rules are marked, and expected decisions are judged, no coins.
        for expected in (DegenerateRuleWarning, SharedCoinWarning):
            warnings.simplefilter("ignore", expected)
        yield


def _train_fair(split, task, X):
    """For each attribute, what a model trained to be fair decides."""
    for attribute, groups in task.groups.items():
        rows = [i for i in split.train if groups[i] is not None]
        asked = np.concatenate([split.calibration, split.test])
        decided = exponentiated_gradient(
            LogisticRegression(solver="newton-cholesky"),
            X[rows],
            task.y[rows],
            groups[rows].astype(str),
            X[asked],
        ).probability
        n_calibration = len(split.calibration)
        yield attribute, (decided[:n_calibration], decided[n_calibration:])


def _order_of_deletion(unit, task, train):
    """Training rows in the order in which they are forgotten."""
    order = np.random.default_rng((unit.seed, unit.repeat, unit.fold)).permutation(
        len(train)
    )
    if unit.deletion == "uniform":
        return order
    attribute, group = unit.deletion.split("=", 1)
    inside = np.array([g == group for g in task.groups[attribute][train]])
    # All of the group go first, in random order, then the rest.
    return order[np.argsort(~inside[order], kind="stable")]


def _smallest_groups(task):
    """The smallest compared group of each attribute, as ``"attribute=group"``."""
    for attribute, groups in task.groups.items():
        known = [group for group in groups if group is not None]
        names, sizes = np.unique(known, return_counts=True)
        yield f"{attribute}={names[sizes.argmin()]}"


def _costs(sisa):
    return [
        {
            "rows": len(report.rows),
            "visits": report.sample_visits / report.full_sample_visits,
            "expected_visits": expected_replay_cost(
                sisa.n_shards, sisa.n_slices, len(report.rows)
            ),
            "seconds": report.seconds,
        }
        for report in sisa.forget_log_
        if len(report.rows)
    ]
