"""Training of shards, stage by stage, as workers run it."""

import copy
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from sklearn import config_context
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import Pipeline

from .._utils.isolation import forked_generators, one_thread, without_traces
from .._utils.lending import lent, lent_again, writes_named
from .._utils.pipelines import reach_last_step
from ._digests import digest
from ._learners import (
    as_input,
    as_labels,
    can_continue,
    counts_passes,
    is_skorch,
    last_step,
    param_prefix,
    random_state_owners,
    seed_owners,
    set_random_states,
    share_watched,
    trains_together,
)
from ._metadata import routed_to
from ._plan import passes_per_stage, training_seed, watched_rows
from ._some_classes import fit_some_classes
from ._votes import member_scores


@dataclass(frozen=True)
class Recipe:
    """How every member is trained. It does not depend on any row's values.

    Parameters
    ----------
    prototype : estimator
        Unfitted learner that every member is a copy of.

    n_classes : int
        Number of classes K; labels are 0..K-1.

    seed : int
        Seed of the plan.

    n_slices : int
        Number of slices R of the pass schedule.

    epochs : int
        Passes e' of the schedule.

    replay : {"prefix", "slice"}
        Whether a stage trains on all slices so far or on its own slice only.

    whole : bool
        Whether the first stage calls the learner's own ``fit`` instead of making
        passes of ``partial_fit``.

    settings : dict
        Parameters of the learner's ``fit`` that are the same for every row.

    routed : bool, default=False
        Whether metadata routing decides which parameters a learner gets, as it did in
        ``fit``.
    """

    prototype: object
    n_classes: int
    seed: int
    n_slices: int
    epochs: int
    replay: str
    whole: bool
    settings: dict
    routed: bool = False

    def passes(self, n_stages):
        """Return the passes that each stage makes over its rows."""
        if self.replay == "slice":
            return (self.epochs,) * n_stages
        return passes_per_stage(self.epochs, self.n_slices, n_stages)


@dataclass(frozen=True)
class TrainedShard:
    """The result of training some stages of a shard.

    Parameters
    ----------
    shard : int
    first_stage : int
        The earliest stage trained.
    checkpoints : list of estimator or None
        The member after each stage from `first_stage` on, at least one; None while the
        shard has had no row.
    digest : str
        Digest of the last checkpoint.
    sample_visits : int
        Rows trained on, counted once per pass.
    """

    shard: int
    first_stage: int
    checkpoints: list
    digest: str
    sample_visits: int

    def by_stage(self):
        """Return the checkpoints by their stage."""
        return dict(enumerate(self.checkpoints, start=self.first_stage))


@dataclass(frozen=True)
class UntrainedShard:
    """A shard whose training raised an error.

    Parameters
    ----------
    shard : int
    error : Exception
    """

    shard: int
    error: Exception

    @property
    def reason(self):
        """The error in words."""
        return f"{type(self.error).__name__}: {self.error}"


@dataclass(frozen=True)
class ShardTask:
    """A shard to train from a checkpoint to its last stage.

    Parameters
    ----------
    shard : int
    rows : ShardRows
    n_stages : int
        Number of stages of the shard.
    start : estimator, default=None
        Checkpoint of the stage before `first_stage`. It is not changed.
    first_stage : int, default=0
    """

    shard: int
    rows: object
    n_stages: int
    start: object = None
    first_stage: int = 0


def train_shards(recipe, tasks, *, verbose=False, caller=None):
    """Train shards stage by stage, all shards at the same stage at a time.

    Parameters
    ----------
    recipe : Recipe
    tasks : list of ShardTask
        A single one, unless the learner trains several members in one program.
    verbose : bool, default=False
        Whether to print a line after each stage of each shard.
    caller : tuple, default=None
        The value of ``this_process`` where the ensemble is. None means this process.

    Returns
    -------
    list of TrainedShard
    """
    members = {task.shard: task.start for task in tasks}
    trained = {}  # what the last checkpoint of each shard is a copy of
    checkpoints = {task.shard: [] for task in tasks}
    visits = dict.fromkeys(members, 0)
    first_stage = min(task.first_stage for task in tasks)
    n_stages = max(task.n_stages for task in tasks)
    routing = config_context(enable_metadata_routing=recipe.routed)
    with one_thread(), without_traces(caller), routing:
        for stage in range(first_stage, n_stages):
            started = time.perf_counter()
            works = [
                _prepare(recipe, task, stage, members[task.shard])
                for task in tasks
                if task.first_stage <= stage < task.n_stages
            ]
            _train(recipe, [work for work in works if work.passes])
            for work in works:
                shard = work.task.shard
                if work.passes:
                    # A checkpoint with a view of the rows would keep all of them in
                    # memory, including later slices and rows that are forgotten.
                    members[shard] = copy.deepcopy(work.member)
                    trained[shard] = work.member
                checkpoints[shard].append(members[shard])
                visits[shard] += work.visits
                if verbose:
                    # In a worker too, whose reader may have left as head does.
                    with suppress(BrokenPipeError):
                        print(
                            f"[SISA] shard {shard}, stage {stage + 1}/"
                            f"{work.task.n_stages}: {work.visits} sample visits in "
                            f"{time.perf_counter() - started:.1f} s",
                            flush=True,
                        )
            # The rows of the next stage must find the room that these took.
            del works, work
        for task in tasks:
            if task.shard in trained:
                _check_predicts(trained[task.shard], task.rows, recipe.n_classes)
    return [
        TrainedShard(
            task.shard,
            task.first_stage,
            checkpoints[task.shard],
            digest(members[task.shard]),
            visits[task.shard],
        )
        for task in tasks
    ]


def subtract(recipe, shard, member, gone, added, left):
    """Subtract rows from the member of a shard and add others.

    Parameters
    ----------
    recipe : Recipe
        Of a learner with ``partial_unfit``.
    shard : int
    member : estimator
        It is not changed.
    gone, added : Block
    left : ShardRows
        The rows that the member has learnt in the end.

    Returns
    -------
    estimator
    """
    member = copy.deepcopy(member)
    seed = training_seed(recipe.seed, shard, 0)
    routing = config_context(enable_metadata_routing=recipe.routed)
    with one_thread(), routing:
        for method, rows in (("partial_unfit", gone), ("partial_fit", added)):
            if not rows.weighs:
                continue
            work = _StageWork(None, 0, seed, member=member)
            _lend(work, recipe, rows.X, rows.y, rows.params)
            with forked_generators(seed), writes_named(recipe.prototype):
                learner, X, params = _reach_learner(recipe, work)
                getattr(learner, method)(X, work.y, **params)
        # As a checkpoint, it must hold no view of rows.
        member = copy.deepcopy(member)
        _check_predicts(member, left, recipe.n_classes)
    return member


def _check_predicts(member, rows, n_classes):
    """Predict a row, so that a member that cannot predict fails in training.

    Nearest neighbours, for example, can be fitted to fewer rows than n_neighbors.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        member_scores(member, rows.any_block.take(np.arange(1)).X, n_classes)


def replay_visits(recipe, rows, n_stages, first_stage=0):
    """Return the sample visits of training a shard from a stage to its last."""
    counts = rows.counts(n_stages)
    if recipe.replay == "prefix":
        counts = np.cumsum(counts)
    counts = counts * have_weight(recipe, rows, n_stages)
    steps = np.array(_steps(recipe, rows, n_stages))
    return int(counts[first_stage:] @ steps[first_stage:])


def have_weight(recipe, rows, n_stages):
    """Return for each stage whether it has rows of nonzero weight to train on."""
    # Forgetting may leave only rows of weight 0, which learners refuse.
    have = rows.slices_of_weight(n_stages)
    watched = _watched(recipe, rows)
    if watched is not None:
        trains = rows.slices[~watched]
        have &= np.bincount(trains, minlength=n_stages)[:n_stages] > 0
    return np.logical_or.accumulate(have) if recipe.replay == "prefix" else have


def _watched(recipe, rows):
    """Return which rows of a shard its member watches, None if it trains on all."""
    share = share_watched(recipe.prototype)
    if share is None:
        return None
    return watched_rows(recipe.seed, share, rows.index, rows.subjects)


def _steps(recipe, rows, n_stages):
    """Return the sample visits each stage makes per row it trains on."""
    passes = recipe.passes(n_stages)
    return (1, *passes[1:]) if _fits_whole(recipe, rows.labels_of(0)) else passes


def _fits_whole(recipe, labels):
    # `fit` learns the classes from the rows, so a member that lacks a class could not
    # continue with rows of it. partial_fit is given all classes.
    lacks_class = len(labels) < recipe.n_classes
    prototype = recipe.prototype
    learns_classes = can_continue(prototype) and not is_skorch(prototype)
    return recipe.whole and not (lacks_class and learns_classes)


@dataclass
class _StageWork:
    """The member and rows of one stage of a shard. Without a pass it trains nothing."""

    task: ShardTask
    stage: int
    seed: int
    passes: int = 0
    whole: bool = False
    member: object = None
    X: object = None
    y: object = ()
    params: dict | None = None

    @property
    def visits(self):
        """Return the sample visits."""
        return self.passes * len(self.y)


def _prepare(recipe, task, stage, member):
    """Return the work of a stage that continues a member, without changing it."""
    rows, seed = task.rows, training_seed(recipe.seed, task.shard, stage)
    nothing = _StageWork(task, stage, seed)
    if not have_weight(recipe, rows, stage + 1)[stage]:
        return nothing
    by_slice = recipe.replay == "slice"
    X, y, params = rows.of(stage) if by_slice else rows.up_to(stage)
    watched = _watched(recipe, rows)
    if watched is not None:
        here = rows.slices == stage if by_slice else rows.slices <= stage
        prefix = param_prefix(recipe.prototype)
        params = {f"{prefix}watched": watched[here]} | params
    whole = stage == 0 and _fits_whole(recipe, rows.labels_of(0))
    passes = 1 if whole else recipe.passes(stage + 1)[stage]
    if passes == 0:
        return nothing
    work = _StageWork(task, stage, seed, passes, whole, copy.deepcopy(member))
    _lend(work, recipe, X, y, params)
    work.params |= recipe.settings
    return work


def _lend(work, recipe, X, y, params):
    """Have a work use rows that its learner cannot change for others."""
    learner = recipe.prototype
    work.X, work.y = lent(X, learner), lent(y, learner)
    work.params = {name: lent(value, learner) for name, value in params.items()}


def _train(recipe, works):
    """Train the members of some shards for one stage."""
    if works and trains_together(recipe.prototype):
        _continue_together(recipe, works)
        return
    for work in works:
        with forked_generators(work.seed), writes_named(recipe.prototype):
            if work.whole:
                _fit_whole(recipe, work)
            else:
                _continue(recipe, work)


def _continue(recipe, work):
    learner, X, params = _reach_learner(recipe, work)
    classes = np.arange(recipe.n_classes)
    if counts_passes(learner):
        _set_passes(learner, work)
        learner.partial_fit(X, work.y, classes=classes, **params)
        return
    owners = random_state_owners(learner)
    task, stage = work.task, work.stage
    given = X, work.y, params
    for step in range(work.passes):
        seed_owners(owners, training_seed(recipe.seed, task.shard, stage, step))
        # The first pass has checked these rows for NaN and infinity.
        with config_context(assume_finite=step > 0 or None):
            # Earlier passes get the rows lent again: the last needs them unchanged.
            is_last = step == work.passes - 1
            own_X, own_y, own = given if is_last else _lent_again(learner, *given)
            learner.partial_fit(own_X, own_y, classes=classes, **own)


def _lent_again(learner, X, y, params):
    own = {name: lent_again(value, learner) for name, value in params.items()}
    return lent_again(X, learner), lent_again(y, learner), own


def _continue_together(recipe, works):
    learners, Xs, params = [], [], []
    for work in works:
        with forked_generators(work.seed), writes_named(recipe.prototype):
            learner, X, own_params = _reach_learner(recipe, work)
        _set_passes(learner, work)
        learners.append(learner)
        Xs.append(X)
        params.append(own_params)
    with writes_named(recipe.prototype):
        learners[0].partial_fit_together(
            learners,
            Xs,
            [work.y for work in works],
            classes=np.arange(recipe.n_classes),
            **{name: [own[name] for own in params] for name in params[0]},
        )


def _set_passes(learner, work):
    set_random_states(learner, work.seed)
    learner.set_params(max_epochs=work.passes)


def _reach_learner(recipe, work):
    """Return the learner of a member, its input and its fit parameters."""
    X = work.X
    if work.member is None:
        work.member = copy.deepcopy(recipe.prototype)
        X = _fit_early_steps(work.member, X, work.y, work.seed)
    elif isinstance(work.member, Pipeline) and len(work.member) > 1:
        X = reach_last_step(work.member, X)
    learner = last_step(work.member)
    work.y = as_labels(learner, work.y)
    if recipe.routed:
        params = routed_to(learner, "partial_fit", work.params)
    else:
        params = _of_last_step(work.member, work.params)
    return learner, as_input(learner, X), params


def _fit_whole(recipe, work):
    y = work.y
    if len(np.unique(y)) == 1 and not can_continue(recipe.prototype):
        constant = DummyClassifier(strategy="prior")
        work.member = constant.fit(np.zeros((len(y), 1)), y)
        return
    member = copy.deepcopy(recipe.prototype)
    set_random_states(member, work.seed)
    X, y = as_input(member, work.X), as_labels(member, y)
    # A net has an output for every class, also for those without rows here.
    fit = type(member).fit if can_continue(member) else fit_some_classes
    params = work.params
    if recipe.routed:
        params = routed_to(member, "fit", params)
    work.member = fit(member, X, y, **params)


def _fit_early_steps(member, X, y, seed):
    """Fit a Pipeline's earlier steps once, on the first rows of the shard."""
    if not isinstance(member, Pipeline) or len(member) == 1:
        return X
    set_random_states(member, seed)
    return member[:-1].fit_transform(X, y)


def _of_last_step(member, params):
    if not isinstance(member, Pipeline):
        return params
    prefix = param_prefix(member)
    foreign = [name for name in params if not name.startswith(prefix)]
    if foreign:
        raise ValueError(
            f"Training by slices passes fit parameters only to the last step of a "
            f"Pipeline, as {prefix}<name>; got {foreign}."
        )
    return {name.removeprefix(prefix): value for name, value in params.items()}
