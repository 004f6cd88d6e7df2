"""A backend of files, which are on disk whole or not at all."""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ...exceptions import LockedDirectoryError

try:
    import fcntl
except ImportError:  # no file locks as POSIX has them
    fcntl = None  # type: ignore[assignment]

# Rows are personal data: readable by their owner alone.
_MODE = 0o600
_LOCK = "lock"


class Folder:
    """The files of one folder, as a storage backend.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        return (self.path / name).read_bytes()

    def write_new(self, name: str, data: bytes) -> None:
        """Write a file that does not exist yet, down to the disk."""
        _write(self.path / name, data, os.O_EXCL)

    def swap(self, name: str, data: bytes) -> None:
        """Replace a file's content; at any instant it is the old or the new one."""
        aside = self.path / f"{name}.new"
        _write(aside, data, os.O_TRUNC)
        # The names of new files must reach the disk before what lists them.
        sync_folder(self.path)
        os.replace(aside, self.path / name)
        sync_folder(self.path)

    def append(self, name: str, data: bytes, size: int) -> None:
        """Write data after the first `size` bytes of a file, and nothing behind it."""
        fd = os.open(self.path / name, os.O_WRONLY | os.O_CREAT, _MODE)
        try:
            os.ftruncate(fd, size)
            os.lseek(fd, size, os.SEEK_SET)
            _write_all(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)

    def remove(self, names: Iterable[str]) -> None:
        """Delete files; one that is gone already is fine."""
        for name in names:
            try:
                os.unlink(self.path / name)
            except FileNotFoundError:
                continue
        sync_folder(self.path)

    def list(self) -> list[str]:
        """Return the names of all files."""
        return os.listdir(self.path)

    @contextmanager
    def lock(self, *, shared: bool = False) -> Iterator[None]:
        """Hold the folder, alone or with other readers, while the block runs.

        The lock belongs to an open file, so it ends with the process, however that
        ends.
        """
        if fcntl is None:
            raise NotImplementedError(
                "Durable directories need POSIX file locks, which this system lacks. "
                "Leave checkpoint_dir out and pickle the estimator instead."
            )
        if not shared:
            self.path.mkdir(parents=True, exist_ok=True)
        path = self.path / _LOCK
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
                mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
                fcntl.flock(fd, mode | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LockedDirectoryError(
                    f"Another process or estimator is at work in {self.path}. Try "
                    "again when it has finished."
                ) from None
            yield
        finally:
            os.close(fd)


def sync_folder(path: Path) -> None:
    """Make new names, renames and deletions in a folder survive a loss of power."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
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
