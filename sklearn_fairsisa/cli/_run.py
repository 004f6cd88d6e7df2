"""The comparison: train, forget, verify, post-process, compare."""

import time
import warnings
from dataclasses import dataclass, field

import numpy as np
from fairlearn.postprocessing import ThresholdOptimizer
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import _safe_indexing

from ..exceptions import DegenerateRuleWarning
from ..metrics import (
    FairlearnAdapter,
    PooledPredictions,
    expected_equalized_odds_difference,
)
from ..postprocessing import FairEnsemblePostprocessor
from ..sisa import SISAClassifier
from ..sisa._plan import expected_replay_cost
from ._learner import make_learner
from ._task import load_task

METHODS = (
    "aggregate_then_postprocess",
    "postprocess_then_aggregate",
    "ensemble",
    "smooth_ensemble",
)

FLOOR = "noise_floor_of_equalized_odds_difference"


@dataclass(frozen=True)
class Settings:
    """Settings of a run; see ``python -m sklearn_fairsisa --help``."""

    data: str = "posts"
    data_home: str | None = None
    attribute: str | None = None
    n_samples: int | None = None
    min_group_rows: int = 40
    model: str = "tiny-bert"
    frozen: bool = False
    epochs: int | None = None
    batch_size: int = 32
    max_length: int = 128
    n_shards: int = 5
    n_slices: int = 2
    forget: tuple = (1, 1, 1, 10, 50)
    objective: str = "accuracy_score"
    cache: str | None = None
    n_jobs: int | None = None
    n_resamples: int = 1000
    random_state: int = 0


@dataclass
class Outcome:
    """Results of a run, and its fitted estimators."""

    results: dict
    sisa: SISAClassifier
    postprocessors: dict = field(default_factory=dict)
    calibration: tuple = ()


def run(settings, progress):
    """Run the comparison.

    Parameters
    ----------
    settings : Settings
    progress : callable
        Called with a sentence when a step begins.

    Returns
    -------
    Outcome

    Raises
    ------
    ValueError, OSError
        If a setting is impossible or the data are missing.
    RuntimeError
        If the verification of the deletion fails.
    """
    clock = _Clock(progress)
    clock.begin("Loading the data")
    task = load_task(
        settings.data,
        attribute=settings.attribute,
        n_samples=settings.n_samples,
        data_home=settings.data_home,
        min_rows=settings.min_group_rows,
        seed=settings.random_state,
    )
    if len(task.train) <= sum(settings.forget):
        raise ValueError(
            f"--forget asks for {sum(settings.forget)} of {len(task.train)} training "
            "rows. Forget fewer, or use more rows."
        )
    if len(task.train) < settings.n_shards * settings.n_slices:
        raise ValueError(
            f"{len(task.train)} training rows cannot fill {settings.n_shards} "
            f"shards of {settings.n_slices} slices. Use fewer of them, or more rows."
        )
    learner, encoder, epochs = make_learner(
        settings.model,
        frozen=settings.frozen,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        max_length=settings.max_length,
        cache=settings.cache,
    )
    X = task.texts
    if encoder is not None:
        clock.begin(f"Encoding {len(X):,} texts")
        X = encoder.fit_transform(X)

    clock.begin("Training one model")
    X_train, y_train = _safe_indexing(X, task.train), task.y[task.train]
    common = {
        "epochs": epochs,
        "random_state": settings.random_state,
        "n_jobs": settings.n_jobs,
    }
    single = SISAClassifier(clone(learner), n_shards=1, n_slices=1, **common)
    single.fit(X_train, y_train)

    clock.begin(f"Training {settings.n_shards} shards of {settings.n_slices} slices")
    sisa = SISAClassifier(
        learner, n_shards=settings.n_shards, n_slices=settings.n_slices, **common
    ).fit(X_train, y_train)

    clock.begin("Forgetting rows")
    rows = np.random.default_rng(settings.random_state).permutation(len(task.train))
    for k in settings.forget:
        sisa.forget(rows[:k])
        rows = rows[k:]
    clock.begin("Verifying the deletion: retraining without the rows")
    verification = sisa.verify_forgotten()
    if not verification:
        raise RuntimeError(
            f"Shards {verification.differing_shards} differ from retraining without "
            "the forgotten rows: the deletion is not exact. Please report this."
        )

    clock.begin("Fitting the fair rules")
    # The members predict once, and all rules use these outputs.
    outputs = sisa.transform(_safe_indexing(X, task.calibration))
    y_calibration = task.y[task.calibration]
    groups_calibration = task.groups[task.calibration].astype(str)
    calibration = outputs, y_calibration, groups_calibration
    rules, notes = _fit_rules(*calibration, settings)

    clock.begin("Comparing on held-out rows")
    X_test, y_test = _safe_indexing(X, task.test), task.y[task.test]
    groups = task.groups[task.test].astype(str)
    outputs = sisa.transform(X_test)
    # Randomised decisions would only add noise to the comparison.
    decisions = {
        "one model": single.predict(X_test),
        "SISA": MajorityOfOutputs().predict(outputs),
    }
    for name, rule in rules.items():
        decisions[name] = rule.selection_probability(outputs, sensitive_features=groups)
    methods = [
        {
            "name": name,
            "metrics": _evaluate(y_test, decided, groups, settings),
            "constant": bool(np.ptp(decided) < 1e-9),
            **notes.get(name, {}),
        }
        for name, decided in decisions.items()
    ]
    clock.begin(None)
    results = {
        "task": _describe_task(task),
        "forgetting": _describe_forgetting(sisa, verification, settings),
        "methods": methods,
        "epochs": epochs,
        "seconds": clock.seconds,
    }
    own = {name: rules[name] for name in METHODS}
    return Outcome(results, sisa, own, calibration)


class MajorityOfOutputs(ClassifierMixin, BaseEstimator):
    """The ensemble's majority vote as a classifier of its members' scores."""

    def fit(self, X, y):
        """Store the classes; nothing is learnt."""
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        """Return the share of votes for each label."""
        share = (np.asarray(X) > 0.5).mean(axis=1)
        return np.column_stack([1 - share, share])

    def predict(self, X):
        """Return the label 0 or 1 with most votes, 0 in a tie."""
        return self.predict_proba(X).argmax(axis=1)


def _fit_rules(outputs, y, groups, settings):
    """Fit each post-processing method; return the rules and notes on each."""
    rules, notes = {}, {}
    for method in METHODS:
        rule = FairEnsemblePostprocessor(
            method=method,
            objective=settings.objective,
            random_state=settings.random_state,
        )
        with warnings.catch_warnings():
            # The table marks constant rules.
            warnings.simplefilter("ignore", DegenerateRuleWarning)
            rules[method] = rule.fit(outputs, y, sensitive_features=groups)
        chosen = rule.selection_probability(outputs, sensitive_features=groups)
        notes[method] = {
            "objective_in_calibration": rule.objective_,
            "equalized_odds_difference_in_calibration": (
                expected_equalized_odds_difference(y, chosen, sensitive_features=groups)
            ),
            "randomised_share": rule.randomised_share_,
        }
    optimizer = ThresholdOptimizer(
        estimator=MajorityOfOutputs().fit(outputs, y),
        prefit=True,
        predict_method="predict_proba",
        constraints="equalized_odds",
        objective=settings.objective,
    )
    rules["ThresholdOptimizer"] = FairlearnAdapter(
        optimizer, random_state=settings.random_state
    ).fit(outputs, y, sensitive_features=groups)
    return rules, notes


def _evaluate(y, decided, groups, settings):
    """Return the metrics with intervals, and the gap that chance alone would show."""
    table = PooledPredictions(y, decided, groups).summary(
        n_resamples=settings.n_resamples, random_state=settings.random_state
    )
    return {
        **table[["estimate", "low", "high"]].to_dict(orient="index"),
        FLOOR: table.loc["equalized_odds_difference", "floor_mean"],
    }


def _describe_task(task):
    compared = task.groups[task.test]
    return {
        "name": task.name,
        "rows": len(task.y),
        "positive_share": float(np.mean(task.y)),
        "training_rows": len(task.train),
        "calibration_rows": len(task.calibration),
        "test_rows": len(task.test),
        "test_rows_by_group": {
            str(group): {
                "negative": int(np.sum((compared == group) & (task.y[task.test] == 0))),
                "positive": int(np.sum((compared == group) & (task.y[task.test] == 1))),
            }
            for group in sorted(set(compared))
        },
        "groups_left_out": task.left_out,
    }


def _describe_forgetting(sisa, verification, settings):
    return {
        "retained_rows": sisa.n_rows_,
        "forgotten_rows": len(sisa.forgotten_),
        "verified_bit_for_bit": bool(verification),
        "verified_shards": list(verification.shards),
        "requests": [
            {
                "rows": len(report.rows),
                "shards": list(report.shards),
                "sample_visits": report.sample_visits,
                "full_sample_visits": report.full_sample_visits,
                "share": report.sample_visits / report.full_sample_visits,
                "expected_share": expected_replay_cost(
                    settings.n_shards, settings.n_slices, len(report.rows)
                ),
                "seconds": report.seconds,
                "digest_before": report.digest_before,
                "digest_after": report.digest_after,
            }
            for report in sisa.forget_log_
        ],
    }


class _Clock:
    """Announces steps and stores the seconds that each took."""

    def __init__(self, progress):
        self.progress = progress
        self.seconds = {}
        self._step = None

    def begin(self, step):
        now = time.perf_counter()
        if self._step is not None:
            self.seconds[self._step] = round(now - self._began, 3)
        self._step, self._began = step, now
        if step is not None:
            self.progress(step)
