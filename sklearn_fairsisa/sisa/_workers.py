"""Training of shards by the workers of a joblib backend."""

from itertools import chain

from joblib.parallel import get_active_backend
from sklearn.utils.parallel import Parallel, delayed

from .._utils.isolation import this_process
from ..exceptions import DirectoryError
from ._learners import places
from ._training import ShardTask, UntrainedShard, replay_visits, train_shards

# Module of joblib's backends for one machine.
_OWN_BACKENDS = "joblib._parallel_backends"


def train_members(
    state, firsts, store=None, *, n_stages=None, keep_going=False, n_jobs, verbose
):
    """Return shards as they are trained, each from its first stage to its last.

    Parameters
    ----------
    state : State
    firsts : dict of int to int
        Earliest stage to train, for each shard to train.
    store : Store, default=None
        Holds the checkpoints to start from, unless all are trained from the first
        stage on.
    n_stages : dict of int to int, default=None
        Number of stages of each shard; None is the number in the plan.
    keep_going : bool, default=False
        Whether to train the other shards after an error in one shard.
    n_jobs : int or None
    verbose : bool
        Whether to print a line after each stage of each shard.

    Returns
    -------
    iterator of TrainedShard
        In any order. With `keep_going`, an UntrainedShard in place of a shard whose
        training raised an error.
    """
    if n_stages is None:
        n_stages = state.plan.n_stages
    backend, _ = get_active_backend()
    firsts, n_together = list(firsts.items()), places(state.recipe.prototype)
    jobs = [firsts[i : i + n_together] for i in range(0, len(firsts), n_together)]
    # For a single job a process costs more than it saves. A cluster is used in any
    # case: this machine may have no GPU or round differently.
    here = len(jobs) <= 1 and type(backend).__module__ == _OWN_BACKENDS
    # Each shard is kept as soon as it is trained, if the backend reports that. Ray's
    # does not.
    unordered = backend.supports_return_generator
    parallel = Parallel(
        n_jobs=1 if here else n_jobs,
        # Memory maps would leave rows in temporary files.
        max_nbytes=None,
        return_as="generator_unordered" if unordered else "list",
    )

    def task(shard, first):
        stage = replay_stage(store, shard, first)
        start = store.checkpoint(shard, stage - 1) if stage else None
        rows = state.rows[shard]
        return ShardTask(shard, rows, n_stages[shard], start=start, first_stage=stage)

    trained = parallel(
        delayed(_try_to_train if keep_going else train_shards)(
            state.recipe,
            [task(shard, first) for shard, first in job],
            verbose=verbose,
            caller=this_process(),
        )
        for job in jobs
    )
    return chain.from_iterable(trained)


def _try_to_train(recipe, tasks, **how):
    try:
        return train_shards(recipe, tasks, **how)
    except (MemoryError, DirectoryError):
        # Not of the learner.
        raise
    except Exception as error:
        if len(tasks) > 1:
            # An error in one shard must not affect the others in the same program.
            alone = [_try_to_train(recipe, [task], **how) for task in tasks]
            return list(chain.from_iterable(alone))
        return [UntrainedShard(tasks[0].shard, error)]


def visits_behind(state, store, shard):
    """Return the sample visits that a member needs to learn its missing slices."""
    progress = store.progress(shard)
    if not progress.is_behind:
        return 0
    first = replay_stage(store, shard, progress.stage)
    return replay_visits(state.recipe, state.rows[shard], progress.n_stages, first)


def replay_stage(store, shard, first):
    """Return the stage from which to replay in order to train `first`.

    It is `first`, or an earlier stage if the checkpoint before `first` was not kept.
    """
    kept = store.progress(shard).checkpoints if first else ()
    return max((stage for stage in kept if stage < first), default=-1) + 1
