"""Changes that subtract rows from members instead of training members again."""

import warnings

from .._utils.warnings import level_of_caller
from ..exceptions import UntrainedShardWarning
from ._digests import digest
from ._learners import last_step, subtracts
from ._training import TrainedShard, UntrainedShard, have_weight, subtract


def subtracted_visits(change, before, store, shard):
    """Return the sample visits of subtracting what a change erases from a shard.

    Parameters
    ----------
    change : Change
    before : State
    store : Store
        What counts before the change.
    shard : int

    Returns
    -------
    int or None
        None if its member has to be trained instead.
    """
    progress = store.progress(shard)
    # A member that is behind is to be trained anyway.
    if progress.is_behind or not subtracts(change.state.recipe.prototype):
        return None
    if not _has_weight(change.state, shard):
        return 0
    gone, added = _rows_of(change, before, shard)
    return len(gone) + len(added)


def subtract_rows(change, before, store, members):
    """Return the shards of which the members lose rows without being trained again.

    Parameters
    ----------
    change : Change
    before : State
    store : Store
    members : list of estimator or None

    Returns
    -------
    list of TrainedShard
        UntrainedShard in place of one whose learner raised an error.
    """
    done = []
    for shard in change.firsts:
        visits = subtracted_visits(change, before, store, shard)
        if visits is None:
            continue
        state, member = change.state, None
        if visits:
            gone, added = _rows_of(change, before, shard)
            try:
                member = subtract(
                    state.recipe, shard, members[shard], gone, added, state.rows[shard]
                )
            except Exception as error:
                done.append(UntrainedShard(shard, error))
                continue
        last = state.plan.n_stages[shard] - 1
        done.append(TrainedShard(shard, last, [member], digest(member), visits))
    return done


def warn_of_failed(state, failed):
    """Warn of shards that had to be trained as rows could not be subtracted."""
    if failed:
        name = type(last_step(state.recipe.prototype)).__name__
        why = "; ".join(f"shard {one.shard}: {one.reason}" for one in failed)
        warnings.warn(
            f"partial_unfit of {name} failed, so members are trained again from the "
            f"rows that are left: {why}.",
            UntrainedShardWarning,
            stacklevel=level_of_caller(),
        )


def _rows_of(change, before, shard):
    """Return the rows that the member of a shard loses, and those it gets for them."""
    return (
        before.block_of(shard, change.erased_rows),
        change.state.block_of(shard, change.amended_rows),
    )


def _has_weight(state, shard):
    n_stages = state.plan.n_stages[shard]
    return have_weight(state.recipe, state.rows[shard], n_stages).any()
