"""What an ensemble needs of its store, and a durable store of its backend.

Two layers keep an ensemble. A *store* knows what an ensemble consists of: rows, plan,
members, checkpoints and log. There are two: ``MemoryStore``, which ends with the
process, and ``DirectoryStore``, which any process can open again. A *storage backend*
is below the second and knows names and bytes only, so that a further place to keep
ensembles takes one file with seven functions.
"""

from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from .._audit import AuditLog
from .._state import Change, State
from .._training import TrainedMember, TrainedShard
from .policy import CheckpointPolicy


class Store(Protocol):
    """Where an ensemble is kept.

    A store stands for the ensemble after some number of changes. Committing a change
    gives another store and leaves this one as it is. A change goes through these
    steps, all of them within ``exclusive()``:

    1. ``begin`` writes down what was asked for. From here on it is not lost, if the
       store is durable: it is ``pending`` until it is committed or abandoned.
    2. ``Work.keep`` puts each trained shard aside. The ensemble is still as before.
    3. ``Work.commit`` makes the change count as a whole, together with its entry in
       the log. What it replaced is deleted when ``exclusive()`` ends.

    Or ``Work.abandon`` undoes the first two.
    """

    policy: CheckpointPolicy

    @property
    def directory(self) -> str | None:
        """Where the ensemble is durable, in words; None if it ends with the process."""
        ...

    @property
    def id(self) -> str | None:
        """Name of the history of changes that this store is part of; None in memory."""
        ...

    @property
    def pending(self) -> str | None:
        """Kind of the change that was written down and is not done yet."""
        ...

    @property
    def digests(self) -> tuple[str, ...]:
        """Digest of each shard's member."""
        ...

    def exclusive(self) -> AbstractContextManager[Any]:
        """Hold the ensemble alone, as this store last saw it.

        Raises
        ------
        LockedDirectoryError
            If another process is at work on it.
        ChangedDirectoryError
            If it was changed other than through this store.
        """
        ...

    def stages(self, shard: int) -> Collection[int]:
        """Return the stages of which a shard's checkpoint is kept."""
        ...

    def checkpoint(self, shard: int, stage: int) -> Any:
        """Return a member as it was after a stage."""
        ...

    def size(self) -> int:
        """Return the bytes that the checkpoints take."""
        ...

    def audit_log(self) -> AuditLog:
        """Return the log that a new fit goes on with."""
        ...

    def begin(
        self,
        change: Change,
        params: dict[str, Any],
        before: State | None,
        *,
        resumed: bool = False,
    ) -> "Work":
        """Write down a change with all that it needs.

        Parameters
        ----------
        change : Change
        params : dict
            Parameters of the estimator, with which it can be opened again.
        before : State or None
            The state that counts.
        resumed : bool, default=False
            Whether the change is the one that is pending already.

        Returns
        -------
        Work
        """
        ...

    def pending_change(self) -> Change | None:
        """Return the change that is pending, if any."""
        ...


class Work(Protocol):
    """A change that has begun and does not count yet."""

    @property
    def done(self) -> Collection[int]:
        """Shards that were trained before this call."""
        ...

    def keep(self, trained: TrainedShard) -> None:
        """Put a trained shard aside."""
        ...

    def results(self) -> list[TrainedMember]:
        """Return the member of each trained shard, ordered by shard."""
        ...

    def digests(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the digests of all members as they are, and as they will be."""
        ...

    def n_purged(self) -> int:
        """Return how many files of rows, members and state the commit will delete."""
        ...

    def commit(self, entry: dict[str, Any]) -> Store:
        """Make the change count, with its entry in the log; return the next store."""
        ...

    def abandon(self) -> None:
        """Undo the change, unless it is a deletion: that stays pending."""
        ...


class Backend(Protocol):
    """Names and bytes: what ``DirectoryStore`` is built on.

    A backend stands wherever a directory can, in ``CheckpointPolicy(backend)`` and in
    ``SISAClassifier.load(backend)``. ``str(backend)`` names the place in errors.
    Estimators hold their backend, so it should be possible to pickle it.
    """

    def read(self, name: str) -> bytes:
        """Return the bytes of a name; raise FileNotFoundError if there are none."""
        ...

    def write_new(self, name: str, data: bytes) -> None:
        """Write the bytes of a name that is not in use.

        If this fails or the process ends in it, the name may hold anything: it counts
        for nothing until something that was written later refers to it.
        """
        ...

    def swap(self, name: str, data: bytes) -> None:
        """Replace the bytes of a name, at one instant.

        Whoever reads gets the bytes of before or those of after, also if the process
        or the machine ends in it. All that was written before is durable by then.
        """
        ...

    def append(self, name: str, data: bytes, size: int) -> None:
        """Write bytes after the first `size` of a name, with nothing behind them."""
        ...

    def remove(self, names: Iterable[str]) -> None:
        """Delete names for good; those that are gone already are fine."""
        ...

    def list(self) -> Iterable[str]:
        """Return all names."""
        ...

    def lock(self, *, shared: bool = False) -> AbstractContextManager[Any]:
        """Hold all names, alone or with other readers; make the place if needed.

        Raises
        ------
        LockedDirectoryError
            If someone else holds them.
        """
        ...
