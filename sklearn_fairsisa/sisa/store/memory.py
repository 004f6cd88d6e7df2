"""The member after each stage, as many of them as a policy keeps."""

import pickle
import threading
from dataclasses import dataclass
from numbers import Integral
from os import PathLike
from pathlib import Path

from .._audit import AuditLog


@dataclass(frozen=True)
class CheckpointPolicy:
    """Where checkpoints are kept, and how many.

    Fewer checkpoints take less room and make a deletion replay from an earlier stage.
    The result of a deletion is the same bits.

    Parameters
    ----------
    directory : str or path, default=None
        Durable directory; None is the memory of the process.

    keep_every : int, default=1
        Keep the checkpoint of every so many stages. The last one of each shard, which
        is the member, is always kept.

    max_bytes : int, default=None
        Greatest total size of the checkpoints besides the members. Those of every
        second, third, ... of the stages that `keep_every` names are kept, until they
        fit.

    Examples
    --------
    >>> from sklearn_fairsisa import SISAClassifier
    >>> from sklearn_fairsisa.sisa import CheckpointPolicy
    >>> policy = CheckpointPolicy(keep_every=2)
    >>> sisa = SISAClassifier(n_slices=4, checkpoint_dir=policy)
    """

    directory: str | PathLike | None = None
    keep_every: int = 1
    max_bytes: int | None = None

    def __post_init__(self):
        if not isinstance(self.keep_every, Integral) or self.keep_every < 1:
            raise ValueError(
                f"keep_every is {self.keep_every!r}; it must be an integer of at least "
                "1, which keeps every stage."
            )
        if self.max_bytes is not None and not self.max_bytes >= 0:
            raise ValueError(
                f"max_bytes is {self.max_bytes!r}; it must be a number of bytes of at "
                "least 0, or None for no limit."
            )


def as_policy(checkpoint_dir):
    """Return the policy that the parameter ``checkpoint_dir`` stands for."""
    if isinstance(checkpoint_dir, CheckpointPolicy):
        return checkpoint_dir
    return CheckpointPolicy(None if checkpoint_dir is None else Path(checkpoint_dir))


def every_nth(shards, n):
    """Return the checkpoints of each shard's every n-th stage and of its last.

    Parameters
    ----------
    shards : list of dict
        For each shard, its checkpoints by stage.
    n : int

    Returns
    -------
    list of dict
    """
    return [
        {s: c for s, c in stages.items() if (s + 1) % n == 0 or s == max(stages)}
        for stages in shards
    ]


def thinned(shards, policy, size):
    """Return the checkpoints that a policy keeps.

    Parameters
    ----------
    shards : list of dict
        For each shard, its checkpoints by stage.
    policy : CheckpointPolicy
    size : callable
        Gives the bytes that a list of checkpoints takes.

    Returns
    -------
    list of dict
    """
    kept = every_nth(shards, policy.keep_every)
    if policy.max_bytes is None:
        return kept
    n_stages = max((max(stages) + 1 for stages in shards if stages), default=0)
    # Multiples only, so that it is all the same whether these were thinned by
    # keep_every before. The last of them keeps nothing but the members.
    for multiple in range(1, -(-n_stages // policy.keep_every) + 1):
        kept = every_nth(shards, multiple * policy.keep_every)
        earlier = [c for stages in kept for s, c in stages.items() if s != max(stages)]
        if size(earlier) <= policy.max_bytes:
            break
    return kept


class _Turn:
    """A lock of which copies and pickles are new ones."""

    def __init__(self):
        self.lock = threading.RLock()

    def __reduce__(self):
        return _Turn, ()


class MemoryStore:
    """Checkpoints in the memory of this process.

    A store never changes; committing work gives another.

    Parameters
    ----------
    policy : CheckpointPolicy
    shards : list of dict, default=()
        For each shard, its checkpoints by stage.
    digests : tuple of str, default=()
        Digest of each shard's member.
    turn : lock, default=None
        That of the store which this one follows.
    """

    directory = None
    pending = None

    def __init__(self, policy, shards=(), digests=(), turn=None):
        self.policy = policy
        self.shards = shards
        self.digests = digests
        self._turn = _Turn() if turn is None else turn

    def exclusive(self):
        """Hold this store, and those that follow it, for one thread alone."""
        return self._turn.lock

    def checkpoint(self, shard, stage):
        """Return a member as it was after a stage."""
        return self.shards[shard][stage]

    def audit_log(self):
        """Return the log that a new fit goes on with: an empty one."""
        return AuditLog()

    def begin(self, change, params, before, *, resumed=False):
        """Return the work of a change, none of which counts before it is committed."""
        return _Work(self, change)

    def size(self):
        """Return the bytes the checkpoints take, pickled."""
        return _size([c for stages in self.shards for c in stages.values()])


class _Work:
    done = frozenset()

    def __init__(self, store, change):
        self._store = store
        self._change = change
        self._trained = []

    def keep(self, trained):
        """Put a trained shard aside."""
        self._trained.append(trained)

    def results(self):
        """Return the TrainedMember of each shard, ordered by shard."""
        members = [trained.last() for trained in self._trained]
        return sorted(members, key=lambda trained: trained.shard)

    def digests(self):
        """Return the digests of all members as they are and once this work counts."""
        before = self._store.digests
        return before, replaced_digests(self._change, before, self.results())

    def n_purged(self):
        """Return how many files will be deleted: there are none."""
        return 0

    def commit(self, entry):
        """Return the store in which this work counts."""
        store = self._store
        shards = replaced_stages(
            self._change,
            store.shards,
            [(t.shard, t.first_stage, t.by_stage()) for t in self._trained],
        )
        kept = thinned(shards, store.policy, _size)
        return MemoryStore(store.policy, kept, self.digests()[1], store._turn)

    def abandon(self):
        """Forget the work; what counted before still does."""


def replaced_stages(change, shards, trained):
    """Return each shard's checkpoints by stage, once some stages were trained anew."""
    n_shards = change.state.plan.n_shards
    shards = [{}] * n_shards if change.anew else list(shards)
    for shard, first_stage, stages in trained:
        earlier = {s: c for s, c in shards[shard].items() if s < first_stage}
        shards[shard] = earlier | stages
    return shards


def replaced_digests(change, digests, trained):
    """Return the members' digests once some shards were trained anew."""
    digests = [""] * change.state.plan.n_shards if change.anew else list(digests)
    for shard in trained:
        digests[shard.shard] = shard.digest
    return tuple(digests)


def replay_stage(store, shard, first):
    """Return the stage to replay from so as to train `first`.

    It is `first`, or an earlier one where the checkpoint before it was not kept.
    """
    return max((s for s in store.shards[shard] if s < first), default=-1) + 1


def replay_start(store, shard, first):
    """Return the part of a ``ShardTask`` that trains the stages from `first` on.

    Parameters
    ----------
    store : store
    shard : int
    first : int
        Earliest stage that must be trained.

    Returns
    -------
    dict
    """
    stage = replay_stage(store, shard, first)
    start = store.checkpoint(shard, stage - 1) if stage else None
    return {"start": start, "first_stage": stage}


def _size(checkpoints):
    """Return the bytes of pickled checkpoints, those that are one object once."""
    distinct = {id(checkpoint): checkpoint for checkpoint in checkpoints}
    return sum(len(pickle.dumps(c, protocol=5)) for c in distinct.values())
