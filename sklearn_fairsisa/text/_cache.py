"""Arrays of texts, stored under keyed hashes that do not reveal the texts."""

import os
import re
import sqlite3
import threading
from collections import OrderedDict
from contextlib import closing, contextmanager
from hashlib import blake2b
from pathlib import Path

import numpy as np

from .._utils.isolation import emptied_in_workers

_KEY_BYTES = 32
# A folder may also hold other files.
_FINGERPRINT = re.compile(r"[0-9a-f]{32}$")
# Number of new vectors that are computed before they are stored.
_STORED_AT_A_TIME = 1024


class MemoryCache:
    """The most recently used vectors, in the memory of this process.

    Parameters
    ----------
    max_bytes : int
        Maximum size of all vectors; the least recently used are removed first.

    Examples
    --------
    >>> cache = MemoryCache(max_bytes=2**28)
    >>> cache.put(["good morning"], np.ones((1, 2), dtype=np.float32))
    >>> cache.get(["good morning", "good night"])
    [array([1., 1.], dtype=float32), None]
    >>> cache.forget(["good morning"])
    1
    """

    def __init__(self, max_bytes):
        self.max_bytes = max_bytes
        self._secret = os.urandom(_KEY_BYTES)
        self._vectors = OrderedDict()
        self._n_bytes = 0
        self._lock = threading.Lock()

    def get(self, texts):
        """Return the vector of each text, or None."""
        with self._lock:
            return [self._use(name) for name in _names(self._secret, texts)]

    def put(self, texts, vectors):
        """Store the vector of each text."""
        with self._lock:
            for name, vector in zip(_names(self._secret, texts), vectors):
                self._remove(name)
                # A view would keep its whole batch alive after the row is forgotten.
                self._vectors[name] = vector if vector.base is None else vector.copy()
                self._n_bytes += vector.nbytes
            while self._n_bytes > self.max_bytes:
                self._remove(next(iter(self._vectors)))

    def forget(self, texts):
        """Remove the vectors of some texts, None is all; return their number."""
        with self._lock:
            if texts is None:
                return sum(self._remove(name) for name in list(self._vectors))
            return sum(self._remove(name) for name in _names(self._secret, texts))

    def _use(self, name):
        if name in self._vectors:
            self._vectors.move_to_end(name)
        return self._vectors.get(name)

    def _remove(self, name):
        vector = self._vectors.pop(name, None)
        if vector is None:
            return False
        self._n_bytes -= vector.nbytes
        return True


class DiskCache:
    """Vectors in an SQLite file that several processes can use at once.

    Vectors that are forgotten are overwritten with zeros.

    Parameters
    ----------
    path : str or path
    dtype : str, default="<f4"
        Data type of the vectors, which are read as flat arrays.
    """

    # SQLite limits the number of values in a query.
    _CHUNK = 500

    def __init__(self, path, dtype="<f4"):
        self.path = Path(path)
        self.dtype = dtype

    def get(self, texts):
        """Return the vector of each text, or None."""
        if self._is_empty():
            return [None] * len(texts)
        with self._open() as (database, secret):
            names = list(_names(secret, texts))
            stored = {}
            for chunk in self._chunks(names):
                query = f"SELECT name, vector FROM vectors WHERE name IN ({chunk[0]})"
                stored.update(database.execute(query, chunk[1]))
        vectors = (stored.get(name) for name in names)
        return [
            None if vector is None else np.frombuffer(vector, dtype=self.dtype)
            for vector in vectors
        ]

    def put(self, texts, vectors):
        """Store the vector of each text."""
        if self._is_empty():
            self._create()
        with self._open() as (database, secret):
            database.executemany(
                "INSERT OR REPLACE INTO vectors VALUES (?, ?)",
                (
                    (name, vector.astype(self.dtype).tobytes())
                    for name, vector in zip(_names(secret, texts), vectors)
                ),
            )

    def forget(self, texts):
        """Remove the vectors of some texts, None is all; return their number."""
        if self._is_empty():
            return 0
        with self._open() as (database, secret):
            if texts is None:
                return database.execute("DELETE FROM vectors").rowcount
            names = sorted(set(_names(secret, texts)))
            return sum(
                database.execute(
                    f"DELETE FROM vectors WHERE name IN ({chunk[0]})", chunk[1]
                ).rowcount
                for chunk in self._chunks(names)
            )

    def _chunks(self, names):
        for start in range(0, len(names), self._CHUNK):
            chunk = names[start : start + self._CHUNK]
            yield ", ".join("?" * len(chunk)), chunk

    @contextmanager
    def _open(self):
        """Yield a connection with an open transaction, and the secret of the file."""
        try:
            with closing(sqlite3.connect(self.path, timeout=60)) as database:
                database.execute("PRAGMA secure_delete = ON")
                with database:
                    query = "SELECT secret FROM secret"
                    (secret,) = database.execute(query).fetchone()
                    yield database, secret
        except sqlite3.DatabaseError as error:
            raise OSError(
                f"The cache {str(self.path)!r} cannot be read: {error}. Delete it if "
                "it is damaged, or give another cache_dir=."
            ) from error

    def _create(self):
        """Create a file without vectors, unless another process did."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # A vector reveals much about its text, so only the owner may read the file.
        os.close(os.open(self.path, os.O_CREAT, 0o600))
        with closing(sqlite3.connect(self.path, timeout=60)) as database, database:
            # With default pages, vectors leave half of the file unused.
            database.execute("PRAGMA page_size = 32768")
            database.execute("BEGIN IMMEDIATE")
            database.execute(
                "CREATE TABLE IF NOT EXISTS vectors "
                "(name BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID"
            )
            database.execute(
                "CREATE TABLE IF NOT EXISTS secret "
                "(one INTEGER PRIMARY KEY CHECK (one = 1), secret BLOB)"
            )
            database.execute(
                "INSERT OR IGNORE INTO secret VALUES (1, ?)", (os.urandom(_KEY_BYTES),)
            )

    def _is_empty(self):
        # A new file is empty until the transaction that fills it ends.
        return not self.path.exists() or self.path.stat().st_size == 0


_in_memory: dict[str, MemoryCache] = {}
_in_memory_lock = threading.Lock()


def memory_cache(fingerprint, max_bytes):
    """Return the cache of this process for vectors with a fingerprint."""
    with _in_memory_lock:
        return _in_memory.setdefault(fingerprint, MemoryCache(max_bytes))


@emptied_in_workers
def empty_memory():
    """Remove all vectors in the memory of this process."""
    with _in_memory_lock:
        _in_memory.clear()


def disk_cache(folder, fingerprint, dtype="<f4"):
    """Return the cache of a folder for vectors with a fingerprint."""
    return DiskCache(Path(folder) / f"{fingerprint}.sqlite", dtype)


def forget_everywhere(texts, folder=None):
    """Remove texts from all caches of this process and of a folder; None is all.

    Returns
    -------
    int
        Number of vectors that were removed.
    """
    with _in_memory_lock:
        caches = list(_in_memory.values())
    if folder is not None:
        files = sorted(Path(folder).glob("*.sqlite"))
        caches += [DiskCache(file) for file in files if _FINGERPRINT.match(file.stem)]
    return sum(cache.forget(texts) for cache in caches)


def look_up_or_compute(texts, caches, compute):
    """Return vectors from the caches, the fastest first; compute and store the rest.

    Parameters
    ----------
    texts : list of str
    caches : list of MemoryCache or DiskCache
    compute : callable
        Takes different texts, and yields positions and vectors of some at a time.

    Returns
    -------
    list of ndarray
    """
    vectors = [None] * len(texts)
    missing = range(len(texts))
    for level, cache in enumerate(caches):
        here = cache.get([texts[i] for i in missing])
        found = [(i, vector) for i, vector in zip(missing, here) if vector is not None]
        for i, vector in found:
            vectors[i] = vector
        if level and found:
            caches[0].put([texts[i] for i, _ in found], [v for _, v in found])
        missing = [i for i in missing if vectors[i] is None]

    positions = {}
    for i in missing:
        positions.setdefault(texts[i], []).append(i)
    new = list(positions)
    batches = compute(new) if new else ()
    waiting = []
    for rows, computed in batches:
        for row, vector in zip(rows, computed):
            for i in positions[new[row]]:
                vectors[i] = vector
            waiting.append((new[row], vector))
        if len(waiting) >= _STORED_AT_A_TIME:
            _store(caches, waiting)
            waiting = []
    _store(caches, waiting)
    return vectors


def _store(caches, items):
    for cache in caches if items else ():
        cache.put([text for text, _ in items], [vector for _, vector in items])


def _names(secret, texts):
    """Yield a hash of each text that cannot be computed without the secret."""
    for text in texts:
        yield blake2b(text.encode(), digest_size=16, key=secret).digest()
