"""Files of a directory, which are checked as they are read."""

import hashlib
from dataclasses import dataclass

from ...exceptions import (
    ChangedDirectoryError,
    DamagedDirectoryError,
    DirectoryError,
)
from .manifest import MANIFEST, Files, Manifest, Shard, what_it_holds
from .packing import unpack
from .protocol import Backend

# More than a manifest ever has: it grows with the number of shards alone.
MANIFEST_BYTES = 2**26


def read_if_there(backend, name, n_bytes=MANIFEST_BYTES):
    """Return the bytes of a name, None if there are none."""
    try:
        return backend.read(name, n_bytes)
    except FileNotFoundError:
        return None


def read_checked(backend, file):
    """Return the content of a file, None if it is missing.

    Raises
    ------
    DamagedDirectoryError
        If it is truncated or altered; the message says what it holds.
    """
    path, what = f"{backend}/{file.name}", what_it_holds(file.name)
    data = read_if_there(backend, file.name, file.n_bytes)
    if data is None:
        return None
    if len(data) != file.n_bytes:
        raise DamagedDirectoryError(
            f"{path} does not have {file.n_bytes} bytes: it holds "
            f"{what}. Restore it from a backup."
        )
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise DamagedDirectoryError(
            f"{path} was altered since it was written: it holds {what}. Restore it "
            "from a backup."
        )
    return data


@dataclass(frozen=True)
class StoredRows:
    """The rows of a piece, read from their files at each call.

    Workers get this instead of rows, and need no more of the directory.

    Parameters
    ----------
    backend : Backend
    files : Files
    """

    backend: Backend
    files: Files

    def __call__(self):
        """Return the block of rows."""
        return unpack(*map(self._read, self.files))

    def _read(self, file):
        data = read_checked(self.backend, file)
        if data is None:
            raise _why_missing(self.backend, file.name)
        return data


def _why_missing(backend, name):
    """Return the error that a file is gone: deleted in a change, or lost."""
    path = f"{backend}/{name}"
    try:
        data = read_if_there(backend, MANIFEST)
        if data is None:
            return DirectoryError(
                f"{backend} has no {MANIFEST} here. Whoever trains reads rows from the "
                "directory: put it where all workers can read it under this name."
            )
        # Nothing is unpickled, so the key is not needed, which workers lack.
        manifest = Manifest.from_json(data, str(backend), check_signature=False)
        if not _counts(backend, name, manifest.current):
            return changed(backend)
    except DirectoryError as error:
        return error
    return DamagedDirectoryError(f"{path} is missing: it holds {what_it_holds(name)}.")


def changed(place):
    """Return the error that a directory holds another history, or a later state."""
    return ChangedDirectoryError(
        f"{place} does not hold what this estimator has seen there, nor what followed "
        "from it: another ensemble was fitted in it, or it was restored from a backup. "
        "Nothing was done. Open it with SISAClassifier.load, or "
        "FairEnsemblePostprocessor.load."
    )


def _counts(backend, name, ensemble):
    """Return whether an ensemble refers to a file."""
    if ensemble is None or name in ensemble.files:
        return ensemble is not None
    for file in ensemble.shards:
        data = read_if_there(backend, file.name, file.n_bytes)
        # A list that is gone was replaced meanwhile.
        if data is not None and name in Shard.from_json(data).files:
            return True
    return False
