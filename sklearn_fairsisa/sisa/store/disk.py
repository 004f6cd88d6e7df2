"""A backend of files, which are on disk whole or not at all."""

import errno
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from io import FileIO
from pathlib import Path
from weakref import WeakValueDictionary

from ...exceptions import DamagedDirectoryError, LockedDirectoryError

try:
    import fcntl
except ImportError:  # no file locks as POSIX has them
    fcntl = None  # type: ignore[assignment]

# Rows are personal data: only their owner may read them.
_FILE_MODE, _FOLDER_MODE = 0o600, 0o700
_LOCK = "lock"
# When the lock file was last held, and the folder last changed.
Signs = tuple[int, int]
# Whoever may write in the folder could put a link or a pipe in place of a file.
_OURS_ALONE = os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
# Between two attempts to get the lock of another process, in seconds.
_PAUSE = 0.02


class _Turn:
    """A lock of the threads of this process, and the locked file of the process."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.file: FileIO | None = None


_turns: "WeakValueDictionary[str, _Turn]" = WeakValueDictionary()
_turns_lock = threading.Lock()


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

    def read(self, name: str, n_bytes: int) -> bytes:
        """Return the content of a file, as far as it is no longer than it should be."""
        fd = _open(self.path / name, os.O_RDONLY)
        with os.fdopen(fd, "rb") as file:
            # Room for as many bytes as there may be would be taken, not as there are.
            return file.read(min(n_bytes, os.fstat(fd).st_size) + 1)

    def write_new(self, name: str, data: bytes) -> None:
        """Write a file that does not exist yet, down to the disk."""
        _write(self.path / name, data, os.O_EXCL)

    def swap(self, name: str, data: bytes) -> None:
        """Replace a file's content; at any instant it is the old or the new one."""
        aside = f"{name}.new"
        self._check_lock()
        # What an interrupted call left there, or somebody else put there.
        with suppress(FileNotFoundError):
            os.unlink(self.path / aside)
        self.write_new(aside, data)
        # The names of new files must reach the disk before what lists them.
        sync_folder(self.path)
        self._check_lock()
        os.replace(self.path / aside, self.path / name)
        sync_folder(self.path)

    def append(self, name: str, data: bytes, size: int) -> None:
        """Write data after the first `size` bytes of a file, and nothing behind it."""
        self._check_lock()
        fd = _open(self.path / name, os.O_WRONLY | os.O_CREAT)
        try:
            os.ftruncate(fd, size)
            os.lseek(fd, size, os.SEEK_SET)
            _write_all(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)

    def remove(self, names: Iterable[str]) -> None:
        """Delete files; one that is gone already is fine."""
        self._check_lock()
        for name in names:
            with suppress(FileNotFoundError):
                os.unlink(self.path / name)
        sync_folder(self.path)

    def list(self) -> list[str]:
        """Return the names of all files."""
        return os.listdir(self.path)

    @contextmanager
    def lock(self, timeout: float) -> Iterator[tuple[Signs, Callable[[], Signs]]]:
        """Hold the folder alone, among the threads of all processes.

        The lock of a process belongs to an open file, so it ends with the process,
        however that ends.
        """
        if fcntl is None:
            raise NotImplementedError(
                "Durable directories need POSIX file locks, which this system lacks. "
                "Leave checkpoint_dir out and pickle the estimator instead."
            )
        self.path.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        turn = self._turn()
        with turn.lock:
            before, file = turn.file, None
            try:
                file = turn.file = self._locked(time.monotonic() + timeout)
                found = self._signs(file)
                self._leave_sign(file)
                yield found, partial(self._leave_sign, file)
            finally:
                turn.file = before
                if file is not None:
                    file.close()

    def _signs(self, file: FileIO) -> Signs:
        """Return times that differ once somebody else held or changed the folder."""
        return os.fstat(file.fileno()).st_atime_ns, os.stat(self.path).st_mtime_ns

    def _leave_sign(self, file: FileIO) -> Signs:
        """Return the signs of this hold, so far as it has come."""
        modified = os.fstat(file.fileno()).st_mtime_ns
        with suppress(OSError):
            os.utime(file.fileno(), ns=(time.time_ns(), modified))
        return self._signs(file)

    def _turn(self) -> _Turn:
        with _turns_lock:
            return _turns.setdefault(os.path.realpath(self.path), _Turn())

    def _check_lock(self) -> None:
        """Raise LockedDirectoryError if the lock file is no longer the one held."""
        file = self._turn().file
        if file is None or not self._is_in_place(file):
            raise LockedDirectoryError(
                f"The file {_LOCK} in {self.path} was deleted or replaced during a "
                "change, so that another process may be at work there. Leave it in "
                "place: a lock ends with its process, and none is ever stale."
            )

    def _is_in_place(self, file: FileIO) -> bool:
        """Return whether an open file is still the lock file."""
        try:
            there = os.lstat(self.path / _LOCK)
        except FileNotFoundError:
            return False
        return os.path.samestat(os.fstat(file.fileno()), there)

    def _locked(self, deadline: float) -> FileIO:
        """Return the open lock file, once it is locked and still the one in place."""
        while True:
            # Whatever interrupts this, an object closes its file, and the lock is free.
            # Network file systems lock for writing only what is open for writing.
            file = FileIO(_open(self.path / _LOCK, os.O_RDWR | os.O_CREAT), "r+")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.close()
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    raise OSError(
                        error.errno,
                        f"{self.path} cannot be locked ({error.strerror}): its file "
                        "system has no locks. Use a directory on another one, or have "
                        "its locks switched on",
                    ) from error
            else:
                # Somebody may have deleted the file, and a third one have made another.
                if self._is_in_place(file):
                    return file
                file.close()
                continue
            if time.monotonic() >= deadline:
                raise LockedDirectoryError(
                    f"Another process is at work in {self.path}. Try again when it has "
                    "finished, or allow a longer timeout."
                )
            time.sleep(_PAUSE)


def sync_folder(path: Path) -> None:
    """Make new names, renames and deletions in a folder survive a loss of power."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _open(path: Path, flags: int) -> int:
    """Open a file of one's own: no link, no pipe, no device."""
    try:
        fd = os.open(path, flags | _OURS_ALONE, _FILE_MODE)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise _not_a_file(path) from None
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise _not_a_file(path)
    return fd


def _not_a_file(path: Path) -> DamagedDirectoryError:
    return DamagedDirectoryError(
        f"{path} is not a regular file but a link, a pipe or the like, which nobody "
        "but an intruder has reason to put there. Nothing was read or written. Find "
        "out who did, then restore the directory from a backup."
    )


def _write(path: Path, data: bytes, flag: int) -> None:
    fd = _open(path, os.O_WRONLY | os.O_CREAT | flag)
    try:
        _write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
