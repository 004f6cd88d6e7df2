"""An ensemble in a durable place, where one file lists what counts."""

import hashlib
import json
import re
import secrets
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from os import PathLike
from pathlib import Path

from ...exceptions import (
    ChangedDirectoryError,
    DamagedDirectoryError,
    DirectoryError,
)
from .._audit import AuditLog, line
from .._plan import HELD_OUT
from .._rows import Piece, ShardRows
from .._state import State
from .disk import Folder
from .files import StoredRows, changed, read_checked, read_if_there
from .manifest import MANIFEST, AuditEnd, File, Manifest, Shard, what_it_holds
from .packing import pack, unpack
from .policy import CheckpointPolicy
from .protocol import Backend
from .work import IN_STATE_FILE, DirectoryWork

_AUDIT = "audit.jsonl"
_OURS = re.compile(
    r"(rows-(s\d+|held)-r\d+|member-s\d+-r\d+|shard-s\d+|companion-\w+|plan|state|frozen)"
    r"-[0-9a-f]{16}\.(pkl|safetensors|json)"
    r"|manifest\.json\.new"
)


def open_directory(
    directory, *, resign=False, check=True, timeout=CheckpointPolicy.timeout
):
    """Return the store that a directory holds.

    Readers lock nobody out. What is read is of one instant, as files never change and
    the manifest that refers to them is replaced as a whole.

    Parameters
    ----------
    directory : str, path or Backend
    resign : bool, default=False
        Accept the signature of another key, and replace it by one's own.
    timeout : float, default=10.0
        As in CheckpointPolicy.
    check : bool, default=True
        Read every file except those of rows, to see that none was altered. Without, as
        with rows, all must be there: rows are checked whenever they are read.

    Raises
    ------
    FileNotFoundError
        If there is none.
    DamagedDirectoryError
        If a file is missing or altered, or the signature is not of one's own key.
    LockedDirectoryError
        If it is to be signed anew while someone is changing it.
    """
    backend = _as_backend(directory)
    with backend.lock(timeout) if resign else nullcontext():
        while True:
            data = read_if_there(backend, MANIFEST)
            if data is None:
                raise FileNotFoundError(
                    f"{directory} holds no ensemble: it has no {MANIFEST}. Fit with "
                    "checkpoint_dir= first."
                )
            manifest = Manifest.from_json(
                data, str(backend), check_signature=not resign
            )
            policy = CheckpointPolicy(directory, manifest.keep_every, timeout)
            store = DirectoryStore(policy, manifest)
            try:
                store.check_files(whole=check)
            except ChangedDirectoryError:
                # Somebody changed the directory meanwhile: read what it has now.
                continue
            if resign:
                backend.swap(MANIFEST, manifest.to_json())
            return store


def _as_backend(directory: str | PathLike[str] | Backend) -> Backend:
    if isinstance(directory, str | PathLike):
        return Folder(Path(directory).expanduser().absolute())
    return directory


class _Known:
    """What the stores of one history know already of their directory.

    Parameters
    ----------
    shards : dict of str to Shard
        What files of shards hold, by their names: they never change.
    logged : str or None
        Head of the log with which its file is known to end.
    manifest : tuple of bytes and Manifest, or None
        The newest that was read or written.
    signs : object
        Left at the end of the hold after which only `tidy` referred to files there.
    tidy : Manifest or None
    written : set of str
        Names of files that were written since.
    """

    def __init__(self):
        self.shards, self.written = {}, set()
        self.logged = self.manifest = self.signs = self.tidy = None


class DirectoryStore:
    """Rows, plan, checkpoints and log of an ensemble in a directory, as a ``Store``.

    All files but three are written once under a name of their own and never changed.
    The manifest refers to those that count: to a few itself, and for each shard to a
    file that lists the shard's. Replacing the manifest is the one instant at which a
    change begins to count. Files that nothing refers to are deleted as soon as the
    directory is next held.

    Parameters
    ----------
    policy : CheckpointPolicy
    manifest : Manifest
    known : object, default=None
        That of the store which this one follows.
    """

    def __init__(self, policy, manifest, known=None):
        self.policy = policy
        self.backend = _as_backend(policy.directory)
        self.manifest = manifest
        self._known = _Known() if known is None else known

    # Opening

    @classmethod
    def create(cls, policy, previous=None):
        """Return the store of a new ensemble.

        Parameters
        ----------
        policy : CheckpointPolicy
        previous : Store, default=None
            That of the estimator's last fit, which may be replaced if it is the one in
            the directory.

        Raises
        ------
        DirectoryError
            If the directory holds another ensemble.
        """
        audit = AuditEnd(entries=0, head=AuditLog().head)
        new = cls(policy, Manifest(secrets.token_hex(8), audit, policy.keep_every))
        manifest = new._read_manifest()
        if manifest is None:
            if read_if_there(new.backend, _AUDIT) is not None:
                raise DamagedDirectoryError(
                    f"{new._path(MANIFEST)} is missing, though {_AUDIT} is there. "
                    "Restore it from a backup, or empty the directory."
                )
            return new
        own = previous is not None and previous.id == manifest.id
        # A first fit that was interrupted has no entry in the log.
        if manifest.audit.entries and not own:
            raise DirectoryError(
                f"{new.directory} holds a fitted ensemble already. Open it with "
                "SISAClassifier.load, or fit into another directory. Clones, such as "
                "those of a search or of cross-validation, cannot share a directory: "
                "set checkpoint_dir=None for them."
            )
        store = cls(policy, manifest)
        if own and not store.follows(previous):
            raise store.changed()
        return store

    @contextmanager
    def exclusive(self):
        """Hold the directory alone.

        At the end, files that no longer count are deleted. An error says in a note
        whether the directory was changed before it was raised.

        Raises
        ------
        LockedDirectoryError
            If another process works in it for longer than the policy's `timeout`.
        """
        with self.backend.lock(self.policy.timeout) as signs:
            known, (found, leave) = self._known, signs or (None, lambda: None)
            if found is None or found != known.signs:
                # Somebody else may have left anything there.
                known.tidy = None
            known.signs = None
            before = self._on_disk().manifest
            try:
                yield
            except BaseException as error:
                known.tidy = None
                # What failed first matters more, and the next call tidies up.
                with suppress(OSError, DirectoryError):
                    left = self._on_disk()
                    error.add_note(left._how_it_was_left(before))
                    left._tidy()
                raise
            try:
                self._on_disk()._tidy()
                known.signs = leave()
            except BaseException as error:
                error.add_note(
                    "The change itself is done: do not repeat the call. Old files in "
                    f"{self.directory}, with rows that were forgotten now, could not "
                    "be deleted, or the log not be written. The next call that changes "
                    "the ensemble does it, also forget([])."
                )
                raise

    def _how_it_was_left(self, before):
        """Say what became of a change that raised an error."""
        if self.manifest.commits != before.commits:
            return (
                f"The change was written to {self.directory} before that: do not "
                "repeat the call."
            )
        if self.manifest.current != before.current:
            return (
                f"The fit in {self.directory} is unfinished. "
                "SISAClassifier.load(...).relearn() finishes it; another fit replaces "
                "it."
            )
        return f"Nothing of it was done, and {self.directory} is as it was."

    def latest(self):
        """Return the store as the directory has it, itself if nobody changed it.

        Raises
        ------
        DamagedDirectoryError
            If the directory has no manifest any more.
        ChangedDirectoryError
            If what it has does not follow from what this store has seen.
        """
        manifest = self._read_manifest()
        if manifest is None:
            if self.manifest.commits:
                raise DamagedDirectoryError(
                    f"{self._path(MANIFEST)} is gone. Restore it from a backup."
                )
            return self
        if manifest == self.manifest:
            return self
        now = self._with(manifest)
        if not now.follows(self):
            raise self.changed()
        return now

    def follows(self, other):
        """Return whether this is the directory that a store has seen, or a later state.

        A history is known by its content: that of a directory which was restored from
        a backup lacks entries of the log, or has others in their place.
        """
        theirs, ours = other.manifest.audit, self.manifest.audit
        if other.id != self.id or theirs.entries > ours.entries:
            return False
        if theirs.entries == ours.entries:
            return theirs.head == ours.head
        if not theirs.entries:
            return True
        return self.audit_log().entries[theirs.entries - 1]["hash"] == theirs.head

    def _read_manifest(self):
        """Return the manifest that the directory has now, if any."""
        data = read_if_there(self.backend, MANIFEST)
        if data is None:
            return None
        if self._known.manifest is None or self._known.manifest[0] != data:
            self._known.manifest = data, Manifest.from_json(data, self.directory)
        return self._known.manifest[1]

    def _on_disk(self):
        """Return the store as the directory has it, which may be the next one."""
        manifest = self._read_manifest()
        return self if manifest is None else self._with(manifest)

    def _with(self, manifest):
        return DirectoryStore(self.policy, manifest, self._known)

    def changed(self):
        """Return the error that the directory holds another history."""
        return changed(self.directory)

    def _tidy(self):
        """Delete what does not count, then complete the log."""
        known = self._known
        if known.tidy is None:
            stale = self.stale_files()
        else:
            now = self.manifest.current
            stale = self.replaced(known.tidy.current, now, known.written)
        # In this order, as a log that cannot be written must not keep rows on disk.
        if stale:
            self.backend.remove(sorted(stale))
        known.tidy, known.written = self.manifest, set()
        self._write_down_tail()

    # Reading

    @property
    def directory(self):
        """Where the ensemble is, in words."""
        return str(self.backend)

    @property
    def id(self):
        """Name of the history of changes in the directory."""
        return self.manifest.id

    @property
    def digests(self):
        """Digest of each shard's member."""
        return tuple(shard.digest for shard in self._shards(self.manifest.current))

    def progress(self, shard):
        """Return how far the member of a shard has come."""
        return self._shard(self.manifest.current.shards[shard])

    def checkpoint(self, shard, stage):
        """Return a member as it was after a stage."""
        return self.unpack(self.progress(shard).checkpoints[stage])

    def members(self):
        """Return the last checkpoint of each shard."""
        shards = (shard.checkpoints for shard in self._shards(self.manifest.current))
        return [self.unpack(of[max(of)]) if of else None for of in shards]

    def companions(self):
        """Return what is committed with the ensemble, by name."""
        current = self.manifest.current
        files = {} if current is None else current.companions
        return {name: self.unpack(files[name]) for name in files}

    def is_latest(self):
        """Return whether nobody else has changed the directory, if it can be read."""
        try:
            manifest = self._read_manifest()
        except (DirectoryError, OSError):
            return True
        return manifest is None or manifest.current == self.manifest.current

    def size(self):
        """Return the bytes the checkpoints take on disk."""
        shards = self._shards(self.manifest.current)
        return _n_bytes(f for shard in shards for f in shard.checkpoints.values())

    def status(self):
        """Return what the directory holds, without reading rows or members.

        Returns
        -------
        dict
        """
        current, audit = self.manifest.current, self.manifest.audit
        shards = self._shards(current)
        held_out = () if current is None else current.held_out
        return {
            "directory": self.directory,
            "rows": 0 if current is None else current.n_rows,
            "forgotten": 0 if current is None else current.n_forgotten,
            "shards": len(shards),
            "stages": [shard.n_stages for shard in shards],
            "row_bytes": _n_bytes(
                piece.files
                for rows in (*(shard.rows for shard in shards), held_out)
                for piece in rows
            ),
            "checkpoint_bytes": self.size(),
            "log_entries": audit.entries,
            "audit_head": audit.head,
            "behind": {
                number: shard.reason
                for number, shard in enumerate(shards)
                if shard.reason is not None
            },
            "stale_files": len(self.stale_files()),
        }

    def params(self):
        """Return the parameters of the estimator."""
        return self.unpack(self.manifest.current.state)["params"]

    def state(self):
        """Return the state that counts, None before the first fit has begun."""
        current = self.manifest.current
        return None if current is None else self._state_of(current)

    def audit_log(self):
        """Return the log, having checked its chain against the signed head."""
        audit = self.manifest.audit
        if not audit.entries:
            return AuditLog()
        path = self._path(_AUDIT)
        earlier, newest = self._audit_parts()
        damaged = (
            f"{path} does not hold the {audit.entries} entries that were written. "
            "Restore it from a backup."
        )
        # A crash may have torn the newest entry, which the manifest holds as well.
        if not line(audit.tail).startswith(newest):
            raise self._damaged(damaged)
        try:
            entries = (*map(json.loads, earlier.splitlines()), audit.tail)
        except (ValueError, RecursionError):
            raise self._damaged(damaged) from None
        if not all(isinstance(entry, dict) for entry in entries):
            raise self._damaged(damaged)
        log = AuditLog(entries)
        try:
            log.check()
        except DamagedDirectoryError as error:
            raise DamagedDirectoryError(
                f"{path}: {error} Restore it from a backup."
            ) from None
        as_written = b"".join(map(line, entries[:-1])) == earlier
        if not as_written or (len(entries), log.head) != (audit.entries, audit.head):
            raise self._damaged(damaged)
        return log

    def check_files(self, *, whole):
        """Raise DamagedDirectoryError if a file that counts is missing or altered.

        Parameters
        ----------
        whole : bool
            Whether to read all but rows; otherwise it is enough that they are there.
        """
        files = self.files(*self.manifest.ensembles())
        unread = files.keys() - set(self.backend.list())
        if whole:
            unread |= {name for name in files if not name.startswith("rows-")}
        for name in sorted(unread):
            self.read(files[name])
        if whole:
            self.audit_log()

    def check_rows(self):
        """Read all rows, to raise DamagedDirectoryError if some were altered."""
        for name, file in self.files(*self.manifest.ensembles()).items():
            if name.startswith("rows-"):
                self.read(file)

    def _shard(self, file):
        if file.name not in self._known.shards:
            self._known.shards[file.name] = Shard.from_json(self.read(file))
        return self._known.shards[file.name]

    def note(self, file, shard):
        """Remember what the file of a shard holds."""
        self._known.shards[file.name] = shard

    def _shards(self, ensemble):
        return [] if ensemble is None else list(map(self._shard, ensemble.shards))

    def files(self, *ensembles):
        """Return the files of ensembles that hold rows, members, state and so on.

        Returns
        -------
        dict of str to File
        """
        found = {}
        lists = {file.name: file for one in ensembles for file in one.shards}
        for part in (*ensembles, *map(self._shard, lists.values())):
            found |= part.files
        return found

    def stale_files(self):
        """Return the names of files that were left behind and do not count."""
        manifest = self.manifest
        counts = self.files(*manifest.ensembles()) | manifest.shards
        left = set(self.backend.list()).difference(counts)
        return sorted(name for name in left if _OURS.fullmatch(name))

    def replaced(self, before, after, others=()):
        """Return which files of an ensemble, and which others, do not count in another.

        Shards that are the same in both are not looked through, unless for a name.

        Parameters
        ----------
        before, after : Ensemble or None
        others : iterable of str, default=()

        Returns
        -------
        set of str
        """
        left = set(others)
        if before is not after and before is not None:
            kept = () if after is None else after.shards
            gone = set(before.shards).difference(kept)
            left |= {file.name for file in gone}
            left |= self.files(replace(before, shards=tuple(gone))).keys()
        if after is not None:
            parts = (after, *map(self._shard, after.shards))
            lists = {file.name for file in after.shards}
            left = {
                name
                for name in left - lists
                if not any(name in part.files for part in parts)
            }
        return left

    def holding(self, sha256, shards=()):
        """Return a file with the content of a digest, None if there is none.

        Parameters
        ----------
        sha256 : str
        shards : sequence of int or None, default=()
            Whose files to look through, besides those of none; None is all.
        """
        current = self.manifest.current
        if current is None:
            return None
        lists = (
            current.shards if shards is None else [current.shards[s] for s in shards]
        )
        for part in (current, *map(self._shard, lists)):
            if sha256 in part.by_digest:
                return part.by_digest[sha256]
        return next((file for file in lists if file.sha256 == sha256), None)

    def _state_of(self, ensemble):
        held = self.unpack(ensemble.state)
        rows = tuple(self._rows_of(s.rows) for s in self._shards(ensemble))
        return State(
            plan=self.unpack(ensemble.plan),
            rows=rows,
            held_out=self._rows_of(ensemble.held_out),
            companions=self.companions(),
            **{name: held[name] for name in IN_STATE_FILE},
        )

    def _rows_of(self, pieces):
        return ShardRows(Piece(facts, self.reader(files)) for facts, files in pieces)

    def new_piece(self, number, slice, block):
        """Write rows that do not count yet; return their piece, read from its files.

        Parameters
        ----------
        number : int
            Shard, or -1 for rows that are held out.
        slice : int
        block : Block
        """
        part = "held" if number == HELD_OUT else f"s{number:03d}"
        data, *_ = pack(block)
        digest = hashlib.sha256(data).hexdigest()
        name = f"rows-{part}-r{slice:03d}-{secrets.token_hex(8)}.pkl"
        file = File(name, len(data), digest)
        self.write_new(file.name, data)
        piece = Piece.of(slice, int(block.index[0]), block)
        piece.move(self.reader((file,)))
        return piece

    def reader(self, files):
        """Return a function that reads the rows that some files hold."""
        return StoredRows(self.backend, files)

    def unpack(self, files):
        """Return the object that some files hold."""
        return unpack(*map(self.read, files))

    def read(self, file):
        """Return the content of a file, having checked its length and digest.

        Raises
        ------
        DamagedDirectoryError
            If it is missing, truncated or altered; the message says what it holds.
        ChangedDirectoryError
            If it is missing because someone else changed the ensemble.
        """
        data = read_checked(self.backend, file)
        if data is None:
            raise self._missing(file.name)
        return data

    def _missing(self, name):
        return self._damaged(
            f"{self._path(name)} is missing: it holds {what_it_holds(name)}."
        )

    def _damaged(self, what):
        """Return the error that a file is damaged, or that the directory was changed.

        Who changes the directory deletes what no longer counts, and extends the log.
        """
        now = self._read_manifest()
        if now is not None and now != self.manifest:
            return self.changed()
        return DamagedDirectoryError(what)

    def _path(self, name):
        return f"{self.directory}/{name}"

    # Writing

    def begin(self, change, params, before, reason):
        """Write what a change needs to new files, none of which counts yet.

        A first fit counts as soon as it begins, all of its shards being behind, so that
        what is trained of it is not lost if the process ends.

        Parameters
        ----------
        change : Change
        params : dict
            Parameters of the estimator, for ``load``.
        before : State or None
            The state that counts.
        reason : str
            Why shards are behind until they are trained.

        Returns
        -------
        Work
        """
        return DirectoryWork(self, change, params, before, reason)

    def write_new(self, name, data):
        """Write a file that does not count yet."""
        self._known.written.add(name)
        self.backend.write_new(name, data)

    def swap(self, manifest):
        """Replace the manifest; what it refers to must be on disk.

        Raises
        ------
        ChangedDirectoryError
            If the directory no longer has the manifest of this store, as when somebody
            deleted the lock of a change that goes on. Nothing is done then.
        """
        there = self._read_manifest()
        if there is not None and there.audit != self.manifest.audit:
            raise self.changed()
        manifest = replace(manifest, keep_every=self.policy.keep_every)
        data = manifest.to_json()
        self.backend.swap(MANIFEST, data)
        self.manifest = manifest
        self._known.manifest = data, manifest

    def followed_by(self, manifest):
        """Replace the manifest, and return the store that stands for it.

        This store stays as it is, so that an estimator which is interrupted ahead of
        taking the next one is known to have fallen behind.
        """
        # The entry before may be one of the same call, which finished a request first.
        self._write_down_tail()
        following = self._with(self.manifest)
        following.swap(manifest)
        # An estimator that is interrupted here still needs those of before.
        needed = self.manifest.shards | manifest.shards
        known = self._known.shards.items()
        self._known.shards = {name: shard for name, shard in known if name in needed}
        return following

    def _write_down_tail(self):
        """Append the newest entry to the log file, where it is not there yet."""
        audit = self.manifest.audit
        if not audit.entries or self._known.logged == audit.head:
            return
        if self._audit_parts()[1] != line(audit.tail):
            self.backend.append(_AUDIT, line(audit.tail), audit.n_bytes)
        self._known.logged = audit.head

    def _audit_parts(self):
        """Return what the log file holds before the newest entry, and from it on."""
        audit = self.manifest.audit
        longest = audit.n_bytes + (len(line(audit.tail)) if audit.entries else 0)
        data = read_if_there(self.backend, _AUDIT, longest) or b""
        return data[: audit.n_bytes], data[audit.n_bytes :]


def _n_bytes(groups):
    """Return the bytes of files, each counted once, that come in groups."""
    return sum(file.n_bytes for file in {file for group in groups for file in group})
