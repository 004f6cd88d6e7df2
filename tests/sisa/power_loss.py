"""What a disk may hold after a loss of power: only what was synced is certain."""

import os
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(eq=False)
class _File:
    """A file, whatever it is called: its content, and what of it is on the disk."""

    written: bytes = b""
    synced: bytes = b""


@dataclass
class _Instant:
    """The disk ahead of one operation.

    Parameters
    ----------
    synced : dict
        For each name that certainly survives, the contents its file may have.
    changes : list of tuple
        Names that were changed since the folder was synced, in this order, each with
        the contents its file may have, or None if the name was removed.
    done : int
        Number of calls that had returned.
    """

    synced: dict
    changes: list
    done: int


@dataclass
class Disk:
    """Stands for the module ``os``, and notes what a loss of power would leave.

    A file's bytes are on the disk once the file is synced; its name, a renaming and a
    deletion once the folder is. Until then each may survive, one without the other.

    Parameters
    ----------
    folder : Path
    largest_write : int, default=None
        Most bytes that ``write`` takes at a time. Linux takes 2 GiB.
    """

    folder: Path
    largest_write: int | None = None
    instants: list = field(default_factory=list)
    done: int = 0

    def __post_init__(self):
        self._names, self._synced_names, self._changes = {}, {}, []
        self._open = {}

    def __getattr__(self, name):
        return getattr(os, name)

    def note(self):
        """Note the disk as it is now."""

        def contents(file):
            return None if file is None else (file.synced, file.written)

        self.instants.append(
            _Instant(
                {name: contents(file) for name, file in self._synced_names.items()},
                [(name, contents(file)) for name, file in self._changes],
                self.done,
            )
        )

    def _rename(self, name, file):
        if file is None:
            self._names.pop(name, None)
        else:
            self._names[name] = file
        self._changes.append((name, file))

    def open(self, path, flags, mode=0o777, **options):
        self.note()
        fd = os.open(path, flags, mode, **options)
        name = Path(path).name
        if Path(path).parent == self.folder:
            if name not in self._names:
                self._rename(name, _File())
            elif flags & os.O_TRUNC:
                self._names[name].written = b""
            self._open[fd] = path, self._names[name]
        elif Path(path) == self.folder:
            self._open[fd] = path, None
        return fd

    def close(self, fd):
        self._open.pop(fd, None)
        os.close(fd)

    def write(self, fd, data):
        self.note()
        n_bytes = os.write(fd, bytes(data)[: self.largest_write])
        self._look_again(fd)
        return n_bytes

    def ftruncate(self, fd, size):
        self.note()
        os.ftruncate(fd, size)
        self._look_again(fd)

    def _look_again(self, fd):
        path, file = self._open.get(fd, (None, None))
        if file is not None:
            file.written = Path(path).read_bytes()

    def fsync(self, fd):
        self.note()
        os.fsync(fd)
        path, file = self._open.get(fd, (None, None))
        if file is not None:
            file.synced = file.written
        elif path is not None:
            self._synced_names, self._changes = dict(self._names), []

    def replace(self, source, target, **options):
        self.note()
        os.replace(source, target, **options)
        if Path(target).parent == self.folder:
            file = self._names[Path(source).name]
            self._rename(Path(source).name, None)
            self._rename(Path(target).name, file)

    def unlink(self, path, **options):
        self.note()
        os.unlink(path, **options)
        if Path(path).parent == self.folder:
            self._rename(Path(path).name, None)


def survivors(instant, rng):
    """Yield what the disk may hold: nothing unsynced, all of it, and a part of it.

    Parameters
    ----------
    instant : _Instant
    rng : random.Random

    Yields
    ------
    dict of str to bytes
    """
    for chance in (0.0, 1.0, 0.5):
        left = dict(instant.synced)
        for name, contents in instant.changes:
            if rng.random() < chance:
                left[name] = contents
        yield {
            name: contents[rng.random() < chance]
            for name, contents in left.items()
            if contents is not None
        }
