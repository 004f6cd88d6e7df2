"""An ensemble in the memory of its process."""

import pickle
import threading

from .._audit import AuditLog
from .policy import kept


class _Turn:
    """A lock of which copies and pickles are new ones."""

    def __init__(self):
        self.lock = threading.RLock()

    def __reduce__(self):
        return _Turn, ()


class MemoryStore:
    """Checkpoints in the memory of this process, as a ``Store``.

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
    id = None
    pending = None

    def __init__(self, policy, shards=(), digests=(), turn=None):
        self.policy = policy
        self.digests = digests
        self._shards = shards
        self._turn = _Turn() if turn is None else turn

    def exclusive(self):
        """Hold this store, and those that follow it, for one thread alone."""
        return self._turn.lock

    def stages(self, shard):
        """Return the stages of which a shard's checkpoint is kept."""
        return self._shards[shard].keys()

    def checkpoint(self, shard, stage):
        """Return a member as it was after a stage."""
        return self._shards[shard][stage]

    def audit_log(self):
        """Return the log that a new fit goes on with: an empty one."""
        return AuditLog()

    def begin(self, change, params, before, *, resumed=False):
        """Return the work of a change, none of which counts before it is committed."""
        return _Work(self, change)

    def pending_change(self):
        """Return None: a change that fails leaves nothing behind."""

    def size(self):
        """Return the bytes the checkpoints take, pickled."""
        # Those that are one object count once.
        distinct = {id(c): c for stages in self._shards for c in stages.values()}
        return sum(len(pickle.dumps(c, protocol=5)) for c in distinct.values())


class _Work:
    done = frozenset[int]()

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
        return before, self._change.digests_after(before, self.results())

    def n_purged(self):
        """Return how many files will be deleted: there are none."""
        return 0

    def commit(self, entry):
        """Return the store in which this work counts."""
        store = self._store
        shards = dict(enumerate(store._shards))
        for trained in self._trained:
            earlier = shards.get(trained.shard, {})
            stages = {s: c for s, c in earlier.items() if s < trained.first_stage}
            shards[trained.shard] = kept(stages | trained.by_stage(), store.policy)
        shards = [shards[shard] for shard in range(self._change.state.plan.n_shards)]
        return MemoryStore(store.policy, shards, self.digests()[1], store._turn)

    def abandon(self):
        """Forget the work; what counted before still does."""
