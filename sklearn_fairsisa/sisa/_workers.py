"""Training of shards by the workers of a joblib backend."""

from itertools import chain

from joblib.parallel import get_active_backend
from sklearn.utils.parallel import Parallel, delayed

from .._utils.isolation import this_process
from ._learners import places
from ._training import ShardTask, train_shards

# Where joblib keeps its backends of one machine.
_OWN_BACKENDS = "joblib._parallel_backends"


def train_members(state, firsts, store=None, *, n_jobs, verbose):
    """Return trained shards, each replayed from its first stage.

    Parameters
    ----------
    state : State
    firsts : dict of int to int
        Earliest stage to train of each shard that must be.
    store : Store, default=None
        Holds the checkpoints to start from, unless all are trained from the first
        stage on.
    n_jobs : int or None
    verbose : bool
        Whether to print a line after each stage of each shard.

    Returns
    -------
    iterator of TrainedShard
        In any order.
    """
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
        rows, n_stages = state.rows[shard], state.plan.n_stages[shard]
        return ShardTask(shard, rows, n_stages, start=start, first_stage=stage)

    trained = parallel(
        delayed(train_shards)(
            state.recipe,
            [task(shard, first) for shard, first in job],
            verbose=verbose,
            caller=this_process(),
        )
        for job in jobs
    )
    return chain.from_iterable(trained)


def replay_stage(store, shard, first):
    """Return the stage from which to replay in order to train `first`.

    It is `first`, or an earlier stage if the checkpoint before `first` was not kept.
    """
    kept = store.stages(shard) if first else ()
    return max((stage for stage in kept if stage < first), default=-1) + 1
