"""What is learnt from an ensemble's rows and members, and changes with them."""

import copy
import threading
from contextlib import contextmanager
from typing import Any, Protocol, Self

import numpy as np

# Seconds after which somebody who waits looks again.
_MOMENT = 0.1


class Companion(Protocol):
    """Something that was learnt from an ensemble's rows and members, as a fair rule is.

    The ensemble keeps it, under a name, in the state that its changes replace: whoever
    changes the ensemble, the companion is changed by the same commit. Erasing is a
    part of that commit; learning anew follows in one of its own. A companion is
    immutable and can be pickled.
    """

    def without(self, rows: np.ndarray) -> Self:
        """Return what is left once some rows are erased: nothing that depends on them.

        It is called in the commit that erases the rows, so it should be quick, and it
        must not fail.
        """
        ...

    def amended(self, after: Any, rows: np.ndarray, told: Any) -> Self:
        """Return the companion once the values of some rows were replaced.

        As `without`, it leaves nothing that depends on the earlier values.

        Parameters
        ----------
        after : State
            It lacks companions.
        rows : ndarray of int
            Indices of the rows.
        told : object or None
            What the caller told about the rows.
        """
        ...

    def extended(self, before: Any, after: Any, told: Any) -> Self:
        """Return the companion once a batch of rows was appended.

        Parameters
        ----------
        before, after : State
            `after` lacks companions.
        told : object or None
            What the caller told about the new rows.
        """
        ...

    def updated(self, ensemble: Any) -> Self:
        """Return the companion as learnt from the rows and members that there are.

        Parameters
        ----------
        ensemble : SISAClassifier
            Of one instant.

        Returns
        -------
        Companion
            Itself where there is nothing to do, or nothing can be done.
        """
        ...

    def remade(self, ensemble: Any) -> Self:
        """Return it learnt from scratch, as `updated` would with nothing kept."""
        ...

    def is_current(self, digests: tuple[str, ...]) -> bool:
        """Return whether it was learnt from all rows, and members of these digests."""
        ...

    def warn(self) -> None:
        """Warn of what a user should know of it, once it was updated."""
        ...

    def facts(self, digests: tuple[str, ...]) -> dict[str, Any]:
        """Return what it is in numbers and words, beside members of these digests."""
        ...

    @property
    def learnt(self) -> Any:
        """What it learnt from rows and members, to compare with that of `remade`."""
        ...


def are_current(ensemble):
    """Return whether the companions have learnt from all that an ensemble has."""
    companions = ensemble._state.companions.values()
    digests = ensemble._store.digests if companions else ()
    return all(companion.is_current(digests) for companion in companions)


class Settled:
    """The ensemble as it last was when its companions were current, during changes.

    Between a deletion and the moment at which its companions have learnt anew, readers
    of both have this one to read. Copies and pickles are new ones.
    """

    def __init__(self):
        self._turn = threading.Condition()
        self._n_changes = self._n_waiting = 0
        self.ensemble = None

    def __reduce__(self):
        return Settled, ()

    def note(self, ensemble):
        """Take an ensemble, if a change goes on and its companions are current."""
        if ensemble._state.companions and are_current(ensemble):
            with self._turn:
                if self._n_changes:
                    self.ensemble = ensemble
                self._turn.notify_all()

    def wait_for_others(self):
        """Wait a moment while another change goes on; return whether one did."""
        with self._turn:
            if self._n_changes - self._n_waiting < 2:
                return False
            self._n_waiting += 1
            self._turn.wait(_MOMENT)
            self._n_waiting -= 1
            return True

    @contextmanager
    def during_change(self, ensemble):
        """Keep the ensemble for readers while it is changed.

        Yields
        ------
        list of Change
            For what erases values of rows: when it ends, nothing is kept that holds one
            of them.
        """
        erasing = []
        with self._turn:
            self._n_changes += 1
        try:
            self.note(copy.copy(ensemble))
            yield erasing
        finally:
            with self._turn:
                self._n_changes -= 1
                self._turn.notify_all()
                kept = self.ensemble
                if not self._n_changes or (
                    kept is not None
                    and not all(change.is_part_of(kept._state) for change in erasing)
                ):
                    self.ensemble = None
