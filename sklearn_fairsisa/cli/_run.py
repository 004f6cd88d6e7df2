"""The comparison: what it is of, its folds, and what they show together."""

import time
from dataclasses import dataclass, field

import numpy as np

from .._utils.words import counted
from ..metrics import PooledPredictions
from ..sisa import SISAClassifier
from ..sisa._plan import expected_replay_cost
from ._folds import (
    N_STEPS,
    N_STEPS_OF_FORGETTING,
    Comparison,
    decide,
    fit_rules,
    forget,
    train,
)
from ._learner import make_learner, make_table_learner
from ._task import load_task, split_folds
from ._verdict import FLOOR, changes, verdict

# Labels that are more skewed than this ask for balanced accuracy.
_SKEWED = 1 / 3
# A rule that selects fewer people than this, or nearly all, is marked.
_NEARLY_NOBODY = 0.05
_N_PARTS = 20


@dataclass(frozen=True)
class Settings:
    """Settings of a run; see ``python -m sklearn_fairsisa --help``."""

    data: str = "posts"
    target: str | None = None
    attribute: str | None = None
    text: str | None = None
    pos_label: str | None = None
    data_home: str | None = None
    n_samples: int | None = None
    min_group_rows: int = 40
    model: str | None = None
    frozen: bool = False
    cache: str | None = None
    epochs: int | None = None
    batch_size: int = 32
    max_length: int = 128
    n_shards: int = 5
    n_slices: int | None = None
    forget: tuple = (1, 1, 1, 10)
    objective: str | None = None
    n_folds: int = 3
    n_jobs: int | None = None
    n_resamples: int = 1000
    random_state: int = 0


@dataclass
class Outcome:
    """Results of a run, and what its pictures draw, of the first fold."""

    results: dict
    sisa: SISAClassifier
    postprocessors: dict = field(default_factory=dict)


def run(settings, progress):
    """Run the comparison.

    Parameters
    ----------
    settings : Settings
    progress : callable
        Called as ``progress(sentence, done, total)`` when a step begins, with the
        number of steps before it and of all.

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
    n_steps = 2 + N_STEPS_OF_FORGETTING + N_STEPS * settings.n_folds
    clock = _Clock(progress, n_steps + (_N_PARTS if settings.frozen else 0))
    clock.begin("Loading the data")
    task = _task_of(settings)
    learner, encoder, params = _learner_of(task, settings)
    folds = _checked_folds(task, params["n_slices"], settings)
    objective, reason = _objective_of(task, settings)
    X = task.X if encoder is None else _encoded(encoder, task.X, clock)
    comparison = Comparison(task, X, learner, params, objective)

    decided, first = {}, None
    for fold, (rows, held_out) in enumerate(folds):
        clock.of_fold = f", fold {fold + 1} of {len(folds)}"
        single, sisa = train(comparison, rows, clock)
        if first is None:
            verification = forget(sisa, settings.forget, clock)
        rules, baseline = fit_rules(sisa, comparison, rows, clock)
        first = first or Outcome({}, sisa, rules)
        fitted = single, sisa, rules, baseline
        of_fold = decide(*fitted, comparison, held_out, clock)
        for name, values in of_fold.items():
            decided.setdefault(name, np.full(len(task.y), np.nan))[held_out] = values
    clock.of_fold = ""

    clock.begin("Drawing intervals")
    results = {
        "task": _describe_task(task, len(folds)),
        "objective": objective,
        "reason_of_objective": reason,
        "forgetting": _describe_forgetting(first.sisa, verification, params),
        **_compared(task, decided, settings),
        "epochs": params["epochs"],
    }
    results["verdict"] = verdict(results)
    clock.begin(None)
    first.results = results | {"seconds": clock.seconds}
    return first


def _task_of(settings):
    """Return the data that settings name."""
    return load_task(
        settings.data,
        target=settings.target,
        attribute=settings.attribute,
        text=settings.text,
        pos_label=settings.pos_label,
        n_samples=settings.n_samples,
        data_home=settings.data_home,
        min_rows=settings.min_group_rows,
        seed=settings.random_state,
    )


def _learner_of(task, settings):
    """Return the learner, the encoder of its input, and parameters of ensembles."""
    if task.is_text:
        learner, encoder, epochs = make_learner(
            settings.model or "tiny-bert",
            frozen=settings.frozen,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            max_length=settings.max_length,
            cache=settings.cache,
        )
        n_slices = settings.n_slices or 2
    else:
        learner, encoder = make_table_learner(settings.model or "logistic"), None
        epochs, n_slices = None, 1
        for option, value in (
            ("--frozen", settings.frozen),
            ("--epochs", settings.epochs is not None),
            ("--n-slices", (settings.n_slices or 1) > 1),
        ):
            if value:
                raise ValueError(
                    f"{option} needs texts: learners of tables are trained whole. "
                    "Leave it out, or name the column of the texts by --text."
                )
    params = {
        "n_shards": settings.n_shards,
        "n_slices": n_slices,
        "epochs": epochs,
        "random_state": settings.random_state,
        "n_jobs": settings.n_jobs,
    }
    return learner, encoder, params


def _checked_folds(task, n_slices, settings):
    """Return the folds; raise if one could not be trained, calibrated or forgotten."""
    if settings.n_shards < 2:
        raise ValueError(
            "--n-shards must be 2 or more: each row calibrates the fair rules by the "
            "members that did not learn from it."
        )
    if not 2 <= settings.n_folds <= settings.min_group_rows:
        raise ValueError(
            f"--n-folds must be between 2 and --min-group-rows, which is "
            f"{settings.min_group_rows}, got {settings.n_folds}."
        )
    folds = split_folds(task.y, task.groups, settings.n_folds, settings.random_state)
    n_train = min(len(train) for train, _ in folds)
    if n_train <= sum(settings.forget):
        raise ValueError(
            f"--forget asks for {sum(settings.forget)} of {n_train} training "
            "rows. Forget fewer, or use more rows."
        )
    if n_train < settings.n_shards * n_slices:
        raise ValueError(
            f"{counted(n_train, 'training row')} cannot fill {settings.n_shards} "
            f"shards of {counted(n_slices, 'slice')}. Use fewer of them, or more rows."
        )
    return folds


def _objective_of(task, settings):
    """Return the objective of the rules, and why it is that."""
    share = task.y[task.compared].mean()
    if settings.objective is not None:
        return settings.objective, "as set by --objective"
    if _SKEWED <= share <= 1 - _SKEWED:
        return "accuracy_score", f"{share:.0%} of the people compared are positive"
    return "balanced_accuracy_score", (
        f"{share:.0%} of the people compared are positive, so the most accurate fair "
        "rule may decide the same for everyone"
    )


def _encoded(encoder, X, clock):
    """Return the vectors of texts, in parts that show the progress.

    Texts of a part are of nearly equal length, so few batches are filled up in vain,
    and parts have as many characters, so that each takes about as long.
    """
    n_characters = np.array([len(text) + 1 for text in X[:, 0]])
    order = np.argsort(n_characters, kind="stable")
    shares = np.cumsum(n_characters[order]) / n_characters.sum()
    ends = np.searchsorted(shares, np.arange(1, _N_PARTS) / _N_PARTS)
    vectors = []
    for part, rows in enumerate(np.split(order, ends)):
        clock.begin(f"Encoding {len(X):,} texts, {part / _N_PARTS:.0%} done")
        if len(rows):
            vectors.append(encoder.fit_transform(X[rows]))
    return np.concatenate(vectors)[np.argsort(order)]


def _compared(task, decided, settings):
    """Return the metrics of all methods, and how they differ."""
    people = task.compared
    y, groups = task.y[people], task.groups[people].astype(str)
    decided = {name: values[people] for name, values in decided.items()}
    methods = [
        {
            "name": name,
            "metrics": _evaluate(y, values, groups, settings),
            "nearly_constant": _is_nearly_constant(values),
        }
        for name, values in decided.items()
    ]
    return {"methods": methods, "changes": changes(y, decided, groups, settings)}


def _is_nearly_constant(decided):
    selected = float(np.mean(decided))
    return not _NEARLY_NOBODY < selected < 1 - _NEARLY_NOBODY


def _evaluate(y, decided, groups, settings):
    """Return the metrics with intervals, and the gap that chance alone would show."""
    table = PooledPredictions(y, decided, groups).summary(
        n_resamples=settings.n_resamples, random_state=settings.random_state
    )
    return {
        **table[["estimate", "low", "high"]].to_dict(orient="index"),
        FLOOR: table.loc["equalized_odds_difference", "floor_mean"],
    }


def _describe_task(task, n_folds):
    people = task.compared
    y, groups = task.y[people], task.groups[people]
    return {
        "name": task.name,
        "pos_label": task.pos_label,
        "rows": len(task.y),
        "positive_share": float(np.mean(task.y)),
        "folds": n_folds,
        "people": len(people),
        "people_by_group": {
            str(group): {
                "negative": int(np.sum((groups == group) & (y == 0))),
                "positive": int(np.sum((groups == group) & (y == 1))),
            }
            for group in sorted(set(groups))
        },
        "groups_left_out": task.left_out,
    }


def _describe_forgetting(sisa, verification, params):
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
                    params["n_shards"], params["n_slices"], len(report.rows)
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

    def __init__(self, progress, total):
        self.progress = progress
        self.total = total
        self.seconds = {}
        self.of_fold = ""
        self._step, self._done = None, -1

    def begin(self, step):
        now = time.perf_counter()
        if self._step is not None:
            self.seconds[self._step] = round(now - self._began, 3)
        self._began, self._done = now, self._done + 1
        self._step = None if step is None else step + self.of_fold
        if step is not None:
            self.progress(self._step, self._done, self.total)
