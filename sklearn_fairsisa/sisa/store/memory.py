"""An ensemble in the memory of its process."""

import pickle
import threading

from .._audit import AuditLog
from .work import Work


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
    shards : tuple of Shard, default=()
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

    def is_latest(self):
        """Return whether nobody else has changed the ensemble: nobody can."""
        return True

    @property
    def digests(self):
        """Digest of each shard's member."""
        return tuple(shard.digest for shard in self._shards)

    def progress(self, shard):
        """Return how far the member of a shard has come."""
        return self._shards[shard]

    def checkpoint(self, shard, stage):
        """Return a member as it was after a stage."""
        return self._shards[shard].checkpoints[stage]

    def audit_log(self):
        """Return the log that a new fit goes on with: an empty one."""
        return AuditLog()

    def begin(self, change, params, before, reason):
        """Return the work of a change, none of which counts before it is committed."""
        return Work(self, change, reason)

    def followed_by(self, shards):
        """Return the store of the ensemble in which the shards are these."""
        return MemoryStore(self.policy, shards, self._turn)

    def size(self):
        """Return the bytes the checkpoints take, pickled."""
        # Those that are one object count once.
        checkpoints = [c for shard in self._shards for c in shard.checkpoints.values()]
        distinct = {id(checkpoint): checkpoint for checkpoint in checkpoints}
        return sum(len(pickle.dumps(c, protocol=5)) for c in distinct.values())
