"""What an ensemble needs of its store, and a durable store of its backend.

Two layers keep an ensemble. A *store* knows what an ensemble consists of: rows, plan,
members, checkpoints, companions and log. There are two: ``MemoryStore``, which ends
with the process, and ``DirectoryStore``, which any process can open again. A *storage
backend* is below the second and knows names and bytes only, so that a further place to
keep ensembles takes one file with seven functions.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from .._audit import AuditLog
from .._state import Change, State
from .manifest import Shard
from .policy import CheckpointPolicy
from .work import Work


class Store(Protocol):
    """Where an ensemble is kept.

    A store stands for the ensemble after some number of changes. Committing a change
    gives another store and leaves this one as it is. A change goes through these
    steps, all of them within ``exclusive()``, on what ``latest()`` returns:

    1. ``begin`` writes the rows and the state that the change ends in. The shards that
       it concerns lose the checkpoints that it makes invalid, and are behind.
    2. ``Work.keep`` puts a trained shard in place of one that is behind.
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
    def digests(self) -> tuple[str, ...]:
        """Digest of each shard's member."""
        ...

    def exclusive(self) -> AbstractContextManager[Any]:
        """Hold the ensemble alone; threads and, for a time, processes wait their turn.

        Raises
        ------
        LockedDirectoryError
            If another process holds it for too long.
        """
        ...

    def latest(self) -> "Store":
        """Return the store that stands for the ensemble as it is now.

        Raises
        ------
        ChangedDirectoryError
            If that does not follow from what this store stands for.
        """
        ...

    def is_latest(self) -> bool:
        """Return whether nobody else has changed the ensemble since."""
        ...

    def progress(self, shard: int) -> Shard:
        """Return how far the member of a shard has come."""
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
        reason: str,
    ) -> Work:
        """Write what a change needs, none of which counts yet.

        Parameters
        ----------
        change : Change
        params : dict
            Parameters of the estimator, with which it can be opened again.
        before : State or None
            The state that counts.
        reason : str
            Why shards are behind until they are trained.

        Returns
        -------
        Work
        """
        ...


class Backend(Protocol):
    """Names and bytes: what ``DirectoryStore`` is built on.

    A backend stands wherever a directory can, in ``CheckpointPolicy(backend)`` and in
    ``SISAClassifier.load(backend)``. ``str(backend)`` names the place in errors.
    Estimators hold their backend, so it should be possible to pickle it.
    """

    def read(self, name: str, n_bytes: int) -> bytes:
        """Return the bytes of a name; raise FileNotFoundError if there are none.

        Of more than `n_bytes`, no more than one further byte needs to be read.
        """
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

    def lock(self, timeout: float) -> AbstractContextManager[Any]:
        """Hold all names alone; make the place if needed.

        Threads of one process wait for each other. Readers need no lock. The value is
        None, or signs of who held the names last, and a function that returns those
        which the next one to hold them finds if nobody else does, or changes them.

        Raises
        ------
        LockedDirectoryError
            If another process holds them for more than `timeout` seconds.
        """
        ...
