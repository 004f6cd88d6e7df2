"""Training one shard stage by stage, which is what a worker runs."""

import copy
import time
from dataclasses import dataclass

import numpy as np
from sklearn import config_context
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import Pipeline

from .._pipelines import reach_last_step
from ._digests import digest
from ._isolation import forked_generators, one_thread, without_traces
from ._learners import (
    as_input,
    can_continue,
    is_skorch,
    last_step,
    random_state_owners,
    seed_owners,
    set_random_states,
)
from ._plan import passes_per_stage, training_seed


@dataclass(frozen=True)
class Recipe:
    """How every member is trained; nothing in it depends on a row's values.

    Parameters
    ----------
    prototype : estimator
        Unfitted learner that every member is a copy of.

    n_classes : int
        Number of classes K; labels are 0..K-1.

    seed : int
        Seed of the plan.

    n_slices : int
        Number of slices R the pass schedule is made for.

    epochs : int
        Passes e' of the schedule.

    replay : {"prefix", "slice"}
        Whether a stage trains on all slices so far or on its own alone.

    whole : bool
        Whether the first stage is the learner's own ``fit`` on its rows, rather than
        passes of ``partial_fit``.

    settings : dict
        Parameters of the learner's ``fit`` that are the same for every row.
    """

    prototype: object
    n_classes: int
    seed: int
    n_slices: int
    epochs: int
    replay: str
    whole: bool
    settings: dict

    def passes(self, n_stages):
        """Return the passes that each stage makes over its rows."""
        if self.replay == "slice":
            return (self.epochs,) * n_stages
        return passes_per_stage(self.epochs, self.n_slices, n_stages)


@dataclass(frozen=True)
class TrainedShard:
    """What training some stages of a shard gives.

    Parameters
    ----------
    shard : int
    first_stage : int
        The earliest stage trained.
    checkpoints : list of estimator or None
        The member after each stage from `first_stage` on; None while the shard has
        had no row.
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


def train_shard(
    recipe,
    shard,
    rows,
    n_stages,
    *,
    start=None,
    first_stage=0,
    verbose=False,
    caller=None,
):
    """Train a shard from a checkpoint to its last stage.

    Parameters
    ----------
    recipe : Recipe
    shard : int
    rows : ShardRows
    n_stages : int
        Number of stages of the shard.
    start : estimator, default=None
        Checkpoint of the stage before `first_stage`; it is left as it is.
    first_stage : int, default=0
    verbose : bool, default=False
        Whether to print a line after each stage.
    caller : tuple, default=None
        What ``this_process`` gives where the ensemble is; None is here.

    Returns
    -------
    TrainedShard
    """
    checkpoints, member, visits = [], start, 0
    with one_thread(), without_traces(caller):
        for stage in range(first_stage, n_stages):
            started = time.perf_counter()
            # A later stage must not change the checkpoint of an earlier one.
            trained = copy.deepcopy(member)
            trained, visited = _train_stage(recipe, shard, stage, rows, trained)
            if visited:
                # Nor may a checkpoint hold a view of the rows: it would keep all of
                # them in memory, later slices and what is forgotten of these included.
                member = copy.deepcopy(trained)
            checkpoints.append(member)
            visits += visited
            if verbose:
                print(
                    f"[SISA] shard {shard}, stage {stage + 1}/{n_stages}: {visited} "
                    f"sample visits in {time.perf_counter() - started:.1f} s",
                    flush=True,
                )
    return TrainedShard(shard, first_stage, checkpoints, digest(member), visits)


def replay_visits(recipe, rows, n_stages, first_stage=0):
    """Return the sample visits of training a shard from a stage to its last."""
    counts = np.bincount(rows.slices, minlength=n_stages)
    if recipe.replay == "prefix":
        counts = np.cumsum(counts)
    counts = counts * _have_weight(recipe, rows, n_stages)
    steps = np.array(_steps(recipe, rows, n_stages))
    return int(counts[first_stage:] @ steps[first_stage:])


def _have_weight(recipe, rows, n_stages):
    """Tell of each stage whether it has anything to train on."""
    # Learners refuse rows that all weigh nothing, and forgetting may leave only such.
    have = rows.slices_of_weight(n_stages)
    return np.logical_or.accumulate(have) if recipe.replay == "prefix" else have


def _steps(recipe, rows, n_stages):
    """Return the sample visits each stage makes per row it trains on."""
    passes = recipe.passes(n_stages)
    return (1, *passes[1:]) if _fits_whole(recipe, rows.y[rows.slices == 0]) else passes


def _fits_whole(recipe, y):
    # `fit` learns the classes from the rows, so a member that lacks one could not
    # continue when it comes; partial_fit is told of all.
    lacks_class = len(np.unique(y)) < recipe.n_classes
    prototype = recipe.prototype
    learns_classes = can_continue(prototype) and not is_skorch(prototype)
    return recipe.whole and not (lacks_class and learns_classes)


def _train_stage(recipe, shard, stage, rows, member):
    """Train one stage; return the member and the sample visits."""
    if not _have_weight(recipe, rows, stage + 1)[stage]:
        return member, 0
    X, y, params = rows.of(stage) if recipe.replay == "slice" else rows.up_to(stage)
    passes = recipe.passes(stage + 1)[stage]
    params = params | recipe.settings
    if stage == 0 and _fits_whole(recipe, y):
        return _fit_whole(recipe, shard, X, y, params), len(y)
    if passes == 0:
        return member, 0

    with forked_generators(training_seed(recipe.seed, shard, stage)):
        if member is None:
            member = copy.deepcopy(recipe.prototype)
            X = _fit_early_steps(member, X, y, training_seed(recipe.seed, shard, stage))
        elif isinstance(member, Pipeline) and len(member) > 1:
            X = reach_last_step(member, X)
        learner = last_step(member)
        X = as_input(learner, X)
        params = _of_last_step(member, params)
        classes = np.arange(recipe.n_classes)
        if "max_epochs" in learner.get_params(deep=False):
            set_random_states(learner, training_seed(recipe.seed, shard, stage))
            learner.set_params(max_epochs=passes)
            learner.partial_fit(X, y, classes=classes, **params)
        else:
            owners = random_state_owners(learner)
            for step in range(passes):
                seed_owners(owners, training_seed(recipe.seed, shard, stage, step))
                # The first pass has looked for NaN and infinity in these rows.
                with config_context(assume_finite=step > 0 or None):
                    learner.partial_fit(X, y, classes=classes, **params)
    return member, passes * len(y)


def _fit_whole(recipe, shard, X, y, params):
    if len(np.unique(y)) == 1 and not can_continue(recipe.prototype):
        return DummyClassifier(strategy="prior").fit(np.zeros((len(y), 1)), y)
    seed = training_seed(recipe.seed, shard, 0)
    member = copy.deepcopy(recipe.prototype)
    set_random_states(member, seed)
    with forked_generators(seed):
        return member.fit(as_input(member, X), y, **params)


def _fit_early_steps(member, X, y, seed):
    """Fit a Pipeline's earlier steps once, on the first rows the shard sees."""
    if not isinstance(member, Pipeline) or len(member) == 1:
        return X
    set_random_states(member, seed)
    return member[:-1].fit_transform(X, y)


def _of_last_step(member, params):
    if not isinstance(member, Pipeline):
        return params
    prefix = f"{member.steps[-1][0]}__"
    foreign = [name for name in params if not name.startswith(prefix)]
    if foreign:
        raise ValueError(
            f"Training by slices passes fit parameters only to the last step of a "
            f"Pipeline, as {prefix}<name>; got {foreign}."
        )
    return {name.removeprefix(prefix): value for name, value in params.items()}
