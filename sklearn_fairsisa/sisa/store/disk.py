"""Files that are on disk whole or not at all."""

import errno
import hashlib
import os
from contextlib import contextmanager

from ...exceptions import DamagedDirectoryError, LockedDirectoryError

try:
    import fcntl
except ImportError:  # no file locks as POSIX has them
    fcntl = None

# Rows are personal data: readable by their owner alone.
_MODE = 0o600


def write_new(path, data):
    """Write a file that does not exist yet, down to the disk.

    It counts for nothing until something that was written later names it, so a torn
    one does no harm.
    """
    _write(path, data, os.O_EXCL)


def swap(path, data):
    """Replace a file's content; at any instant it is the old or the new one."""
    aside = path.with_name(path.name + ".new")
    _write(aside, data, os.O_TRUNC)
    os.replace(aside, path)
    sync_folder(path.parent)


def append(path, data, size):
    """Write data after the first `size` bytes of a file, and nothing behind it."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, _MODE)
    try:
        os.ftruncate(fd, size)
        os.lseek(fd, size, os.SEEK_SET)
        _write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)


def remove(path):
    """Delete a file; one that is gone already is fine."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def sync_folder(folder):
    """Make renames and deletions in a folder survive a loss of power."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read_checked(path, n_bytes, sha256, what):
    """Return a file's content, having checked it against its length and digest.

    Raises
    ------
    DamagedDirectoryError
        If it is missing, truncated or altered; the message names `what` it holds.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DamagedDirectoryError(f"{path} is missing: it holds {what}.") from None
    if len(data) != n_bytes:
        raise DamagedDirectoryError(
            f"{path} has {len(data)} bytes instead of {n_bytes}: it holds {what}. "
            "Restore it from a backup."
        )
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DamagedDirectoryError(
            f"{path} was altered since it was written: it holds {what}. Restore it "
            "from a backup."
        )
    return data


@contextmanager
def locked(path, *, shared=False):
    """Hold a lock file, alone or with other readers, for as long as the block runs.

    The lock belongs to the open file, so it ends with the process, however that ends.

    Raises
    ------
    LockedDirectoryError
        If someone else holds it; there is no waiting.
    """
    if fcntl is None:
        raise NotImplementedError(
            "Durable directories need POSIX file locks, which this system lacks. "
            "Leave checkpoint_dir out and pickle the estimator instead."
        )
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CREAT, _MODE)
    except OSError as error:
        # A reader of a read-only medium has nobody to lock out.
        read_only = error.errno in (errno.EROFS, errno.EACCES)
        if shared and read_only and not path.exists():
            yield
            return
        raise
    try:
        try:
            fcntl.flock(
                fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB
            )
        except BlockingIOError:
            raise LockedDirectoryError(
                f"Another process or estimator is at work in {path.parent}. Try again "
                "when it has finished."
            ) from None
        yield
    finally:
        os.close(fd)


def _write(path, data, flag):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | flag, _MODE)
    try:
        _write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_all(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
