"""A log of changes, in which every entry depends on those before it."""

import hashlib
import json
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from hashlib import blake2b

from .._utils.versions import installed_versions
from ..exceptions import DamagedDirectoryError

# The first entry has no entry before it to hash.
_NOTHING = "0" * 64


@dataclass(frozen=True)
class AuditLog:
    """Log entries, each with the hash of the entry before it.

    A changed, removed or inserted entry breaks the chain. Rewriting all of it changes
    the head, which a durable directory keeps signed.

    Parameters
    ----------
    entries : tuple of dict

    Examples
    --------
    >>> log = AuditLog().appended({"kind": "fit"}).appended({"kind": "forget"})
    >>> log.check()
    >>> AuditLog(log.entries[1:]).check()
    Traceback (most recent call last):
    ...
    sklearn_fairsisa.exceptions.DamagedDirectoryError: Entry 1 of the audit log is...
    """

    entries: tuple = ()

    @property
    def head(self):
        """Hash of the last entry, which stands for the whole log."""
        return self.entries[-1]["hash"] if self.entries else _NOTHING

    def appended(self, facts):
        """Return the log with one more entry."""
        entry = {"entry": len(self.entries) + 1, **facts, "previous": self.head}
        return AuditLog((*self.entries, {**entry, "hash": _hash(entry)}))

    def check(self):
        """Raise DamagedDirectoryError if an entry was altered, removed or inserted."""
        previous = _NOTHING
        for number, entry in enumerate(self.entries, start=1):
            facts = {key: value for key, value in entry.items() if key != "hash"}
            sound = (
                entry.get("entry") == number
                and entry.get("previous") == previous
                and entry.get("hash") == _hash(facts)
            )
            if not sound:
                raise DamagedDirectoryError(
                    f"Entry {number} of the audit log is not the one that was written: "
                    "an entry was altered, removed or inserted there."
                )
            previous = entry["hash"]


def parsed(data):
    """Return the log in a copy of its file, after checking its chain.

    Raises
    ------
    ValueError
        If the bytes are not those of a log.
    DamagedDirectoryError
        If an entry was altered, removed or inserted.
    """
    try:
        entries = tuple(map(json.loads, data.splitlines()))
    except (ValueError, RecursionError):
        entries = ("",)
    if not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(
            "This is not a copy of audit.jsonl: it has a line that is not an entry of "
            "a log. Nothing was done."
        )
    log = AuditLog(entries)
    log.check()
    return log


def line(entry):
    """Return an entry as the line of a log file."""
    return json.dumps(entry, sort_keys=True).encode() + b"\n"


def now():
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@cache
def versions():
    """Return the versions of the software that a member's bits depend on."""
    return {**installed_versions(), "machine": platform.machine()}


def salted_row(row, salt):
    """Return an id of a row that reveals nothing without the salt."""
    key = bytes.fromhex(salt)
    return blake2b(str(row).encode(), key=key, digest_size=16).hexdigest()


def _hash(entry):
    return hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()
