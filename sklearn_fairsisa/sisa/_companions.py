"""Objects learnt from an ensemble's rows and members, which change with them."""

import copy
import threading
from contextlib import contextmanager
from typing import Any, Protocol, Self

import numpy as np

# Seconds after which a waiting thread checks again.
_MOMENT = 0.1


class Companion(Protocol):
    """An object learnt from an ensemble's rows and members, such as a fair rule.

    The ensemble keeps it under a name in its state, so every change of the ensemble
    changes the companion in the same commit. Erasing is part of that commit; the update
    to the remaining rows follows in a commit of its own. A companion is immutable and
    can be pickled.
    """

    def without(self, rows: np.ndarray) -> Self:
        """Return the companion without anything that depends on some rows.

        It is called in the commit that erases the rows, so it should be quick, and it
        must not fail.
        """
        ...

    def amended(self, after: Any, rows: np.ndarray, given: Any) -> Self:
        """Return the companion after the values of some rows were replaced.

        Like `without`, it keeps nothing that depends on the earlier values.

        Parameters
        ----------
        after : State
            Without companions.
        rows : ndarray of int
            Indices of the rows.
        given : object or None
            Facts about the rows from the caller.
        """
        ...

    def extended(self, before: Any, after: Any, given: Any) -> Self:
        """Return the companion after a batch of rows was appended.

        Parameters
        ----------
        before, after : State
            `after` has no companions.
        given : object or None
            Facts about the new rows from the caller.
        """
        ...

    def updated(self, ensemble: Any) -> Self:
        """Return the companion as learnt from the current rows and members.

        Parameters
        ----------
        ensemble : SISAClassifier
            A snapshot.

        Returns
        -------
        Companion
            The same object if there is nothing to update, or it cannot be updated.
        """
        ...

    def remade(self, ensemble: Any) -> Self:
        """Return the companion learnt from scratch, without anything kept."""
        ...

    def is_current(self, digests: tuple[str, ...]) -> bool:
        """Return whether it learnt from all rows, and from members of these digests."""
        ...

    def warn(self) -> None:
        """Warn the user, if necessary, about the companion after an update."""
        ...

    def facts(self, digests: tuple[str, ...]) -> dict[str, Any]:
        """Return facts about the companion, given the digests of the members."""
        ...

    @property
    def learnt(self) -> Any:
        """What it learnt from rows and members, to compare with that of `remade`."""
        ...


def are_current(ensemble):
    """Return whether the companions have learnt from all rows and members."""
    companions = ensemble._state.companions.values()
    digests = ensemble._store.digests if companions else ()
    return all(companion.is_current(digests) for companion in companions)


class Settled:
    """The last ensemble with current companions, kept during changes.

    Readers of an ensemble and its companions use it from a deletion until the
    companions are updated. Copies and pickles start without an ensemble.
    """

    def __init__(self):
        self._turn = threading.Condition()
        self._n_changes = self._n_waiting = 0
        self.ensemble = None

    def __reduce__(self):
        return Settled, ()

    def note(self, ensemble):
        """Keep an ensemble, if a change goes on and its companions are current."""
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
            The caller appends changes that erase values of rows. At the end, an
            ensemble that still holds such values is dropped.
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
