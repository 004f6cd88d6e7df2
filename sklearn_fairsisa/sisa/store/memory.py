"""An ensemble in the memory of its process."""

import pickle
import threading
from dataclasses import dataclass, field, replace

from .._audit import AuditLog
from .policy import kept


class _Turn:
    """A lock of which copies and pickles are new ones."""

    def __init__(self):
        self.lock = threading.RLock()

    def __reduce__(self):
        return _Turn, ()


@dataclass(frozen=True)
class _Shard:
    """What is kept of a shard; see ``manifest.Shard``."""

    stage: int
    n_stages: int
    digest: str
    reason: str | None
    checkpoints: dict = field(default_factory=dict)


class MemoryStore:
    """Checkpoints in the memory of this process, as a ``Store``.

    Parameters
    ----------
    policy : CheckpointPolicy
    shards : tuple of _Shard, default=()
    turn : lock, default=None
        That of the store which this one follows.
    """

    directory = None
    id = None

    def __init__(self, policy, shards=(), turn=None):
        self.policy = policy
        self._shards = shards
        self._turn = _Turn() if turn is None else turn

    def exclusive(self):
        """Hold this store, and those that follow it, for one thread alone."""
        return self._turn.lock

    def latest(self):
        """Return this store: nobody else can have changed it."""
        return self

    @property
    def digests(self):
        """Digest of each shard's member."""
        return tuple(shard.digest for shard in self._shards)

    def progress(self, shard):
        """Return how far the member of a shard has come."""
        return self._shards[shard]

    def stages(self, shard):
        """Return the stages of which a shard's checkpoint is kept."""
        return self._shards[shard].checkpoints.keys()

    def checkpoint(self, shard, stage):
        """Return a member as it was after a stage."""
        return self._shards[shard].checkpoints[stage]

    def audit_log(self):
        """Return the log that a new fit goes on with: an empty one."""
        return AuditLog()

    def begin(self, change, params, before, reason):
        """Return the work of a change, none of which counts before it is committed."""
        return _Work(self, change, reason)

    def pending_change(self):
        """Return None: a change that fails leaves nothing behind."""

    def size(self):
        """Return the bytes the checkpoints take, pickled."""
        # Those that are one object count once.
        checkpoints = [c for shard in self._shards for c in shard.checkpoints.values()]
        distinct = {id(checkpoint): checkpoint for checkpoint in checkpoints}
        return sum(len(pickle.dumps(c, protocol=5)) for c in distinct.values())


class _Work:
    n_purged = 0

    def __init__(self, store, change, reason):
        self._store = store
        self._change = change
        self.members = {}
        before = () if change.kind == "fit" else store._shards
        self._shards = dict(enumerate(before))
        for shard, first in change.firsts.items():
            valid = {}
            # A first stage starts from nothing.
            if first:
                held = store._shards[shard].checkpoints
                valid = {s: c for s, c in held.items() if s < first}
            n_stages = change.state.plan.n_stages[shard]
            stage = max(valid, default=-1) + 1
            self._shards[shard] = _Shard(stage, n_stages, "", reason, valid)

    @property
    def digests(self):
        """Digests of the members once this work counts."""
        return tuple(self._shards[s].digest for s in range(len(self._shards)))

    def keep(self, trained):
        """Put a trained shard aside."""
        behind, stages = self._shards[trained.shard], trained.by_stage()
        self._shards[trained.shard] = replace(
            behind,
            stage=behind.n_stages,
            digest=trained.digest,
            reason=None,
            checkpoints=kept(behind.checkpoints | stages, self._store.policy),
        )
        self.members[trained.shard] = trained.checkpoints[-1]

    def behind(self):
        """Yield the shards that the change leaves behind, with their members."""
        for shard in self._change.firsts:
            held = self._shards[shard]
            if held.reason is not None:
                yield shard, held.checkpoints.get(held.stage - 1)

    def mark(self, shard, member, digest):
        """Note the member of a shard that is behind, and its digest."""
        self._shards[shard] = replace(self._shards[shard], digest=digest)
        self.members[shard] = member

    def commit(self, entry):
        """Return the store in which this work counts."""
        shards = tuple(self._shards[shard] for shard in range(len(self._shards)))
        return MemoryStore(self._store.policy, shards, self._store._turn)

    def abandon(self):
        """Forget the work; what counted before still does."""
