"""An ensemble in a durable place, where one file says what counts."""

import hashlib
import json
import re
import secrets
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path

import numpy as np

from ...exceptions import (
    ChangedDirectoryError,
    DamagedDirectoryError,
    DirectoryError,
)
from .._audit import AuditLog, line
from .._rows import RowsOfShards, ShardRows
from .._state import Change, State
from .disk import Folder
from .manifest import MANIFEST, AuditEnd, Manifest, Shard, what_it_holds
from .packing import unpack
from .policy import CheckpointPolicy
from .protocol import Backend
from .work import IN_STATE_FILE, DirectoryWork

_AUDIT = "audit.jsonl"
_OURS = re.compile(
    r"(rows-s\d+-r\d+|member-s\d+-r\d+|shard-s\d+|companion-\w+|plan|state|frozen)"
    r"-[0-9a-f]{16}\.(pkl|safetensors|json)"
    r"|manifest\.json\.new"
)


@contextmanager
def open_directory(directory, *, resign=False, check=True):
    """Yield the store that a directory holds, which nobody changes meanwhile.

    Parameters
    ----------
    directory : str, path or Backend
    resign : bool, default=False
        Accept the signature of another key, and replace it by one's own.
    check : bool, default=True
        Read every file, to see that none was altered. Without, all must be there.

    Raises
    ------
    FileNotFoundError
        If there is none.
    DamagedDirectoryError
        If a file is missing or altered, or the signature is not of one's own key.
    LockedDirectoryError
        If someone is changing it.
    """
    backend = _as_backend(directory)
    if _read_if_there(backend, MANIFEST) is None:
        raise FileNotFoundError(
            f"{directory} holds no ensemble: it has no {MANIFEST}. Fit with "
            "checkpoint_dir= first."
        )
    with backend.lock(shared=not resign):
        data = backend.read(MANIFEST)
        manifest = Manifest.from_json(data, str(backend), check_signature=not resign)
        policy = CheckpointPolicy(directory, manifest.keep_every)
        store = DirectoryStore(policy, manifest)
        store.check_files(whole=check)
        if resign:
            store.swap(manifest)
        yield store


def _as_backend(directory: str | PathLike[str] | Backend) -> Backend:
    if isinstance(directory, str | PathLike):
        return Folder(Path(directory))
    return directory


def _read_if_there(backend, name):
    try:
        return backend.read(name)
    except FileNotFoundError:
        return None


class _Known:
    """What the stores of one history know already of their directory.

    Parameters
    ----------
    shards : dict of str to Shard
        What files of shards hold, by their names: they never change.
    logged : str or None
        Head of the log with which its file is known to end.
    """

    def __init__(self):
        self.shards = {}
        self.logged = None


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
            if _read_if_there(new.backend, _AUDIT) is not None:
                raise DamagedDirectoryError(
                    f"{new._path(MANIFEST)} is missing, though {_AUDIT} is there. "
                    "Restore it from a backup, or empty the directory."
                )
            return new
        own = previous is not None and previous.id == manifest.id
        if manifest.current is not None and not own:
            raise DirectoryError(
                f"{new.directory} holds a fitted ensemble already. Open it with "
                "SISAClassifier.load, or fit into another directory. Clones, such as "
                "those of a search or of cross-validation, cannot share a directory: "
                "set checkpoint_dir=None for them."
            )
        store = cls(policy, manifest)
        if own and previous.manifest.commits != manifest.commits:
            raise store._changed()
        return store

    @contextmanager
    def exclusive(self):
        """Hold the directory alone, as this estimator last saw it.

        At the end, what no longer counts is deleted. An error that leaves a change
        written down says so in a note, and names its kind in ``pending_request``.

        Raises
        ------
        LockedDirectoryError
            If someone else is at work in it.
        ChangedDirectoryError
            If someone else changed it.
        """
        with self.backend.lock():
            manifest = self._read_manifest()
            if manifest is not None:
                if self._is_older_than(manifest):
                    raise self._changed()
                # A call that failed may have left its request.
                self.manifest = manifest
            elif self.manifest.commits:
                raise DamagedDirectoryError(
                    f"{self._path(MANIFEST)} is gone. Restore it from a backup."
                )
            try:
                yield
            except BaseException as error:
                # What failed first matters more, and the next call tidies up.
                with suppress(OSError, DirectoryError):
                    left = self._on_disk()
                    if left.pending is not None:
                        error.pending_request = left.pending
                        error.add_note(left._promise())
                    left._tidy()
                raise
            try:
                self._on_disk()._tidy()
            except OSError as error:
                error.add_note(
                    f"The change itself is done, and {self.directory} is sound: do not "
                    "ask again. Old files, with rows that were forgotten now, could "
                    "not be deleted. The next call that changes the ensemble does it, "
                    "also forget([])."
                )
                raise

    def _promise(self):
        """Say what becomes of the change that is pending."""
        # Estimators keep this promise: fit alone begins anew, and over a fit only.
        is_fit = self.pending == "fit"
        then = "another fit replaces it" if is_fit else "do not ask again"
        return (
            f"The {self.pending} is written down in {self.directory}. The next call "
            "that changes the ensemble, or SISAClassifier.load, finishes it: "
            f"{then}."
        )

    def _read_manifest(self):
        """Return the manifest that the directory has now, if any."""
        data = _read_if_there(self.backend, MANIFEST)
        return None if data is None else Manifest.from_json(data, self.directory)

    def _on_disk(self):
        """Return the store as the directory has it, which may be the next one."""
        manifest = self._read_manifest()
        return self if manifest is None else self._with(manifest)

    def _with(self, manifest):
        return DirectoryStore(self.policy, manifest, self._known)

    def _is_older_than(self, manifest):
        mine = self.manifest.id, self.manifest.commits
        return mine != (manifest.id, manifest.commits)

    def _changed(self):
        return ChangedDirectoryError(
            f"{self.directory} was changed since this estimator last saw it, by "
            "another estimator or by a call that was interrupted. Open it again with "
            "SISAClassifier.load, or have a post-processor over it reopen(); nothing "
            "was done."
        )

    def _tidy(self):
        """Complete the log, then delete what does not count."""
        self._write_down_tail()
        stale = self.stale_files()
        if stale:
            self.backend.remove(stale)

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
    def pending(self):
        """Kind of the change that was asked for and is not done yet."""
        pending = self.manifest.pending
        return None if pending is None else pending.kind

    @property
    def digests(self):
        """Digest of each shard's member."""
        return tuple(shard.digest for shard in self._shards(self.manifest.current))

    def stages(self, shard):
        """Return the stages of which a shard's checkpoint is kept."""
        return self.shard(self.manifest.current, shard).checkpoints.keys()

    def checkpoint(self, shard, stage):
        """Return a member as it was after a stage."""
        found = self.shard(self.manifest.current, shard)
        return self.unpack(found.checkpoints[stage])

    def members(self):
        """Return the last checkpoint of each shard."""
        shards = (shard.checkpoints for shard in self._shards(self.manifest.current))
        return [self.unpack(of[max(of)]) if of else None for of in shards]

    def companion(self, name):
        """Return what was committed with the ensemble under a name."""
        return self.unpack(self.manifest.current.companions[name])

    def size(self):
        """Return the bytes the checkpoints take on disk."""
        shards = self._shards(self.manifest.current)
        return _n_bytes(group for s in shards for group in s.checkpoints.values())

    def status(self):
        """Return what the directory holds, without reading rows or members.

        Returns
        -------
        dict
        """
        current, audit = self.manifest.current, self.manifest.audit
        shards = self._shards(current)
        return {
            "directory": self.directory,
            "rows": 0 if current is None else current.n_rows,
            "forgotten": 0 if current is None else current.n_forgotten,
            "shards": len(shards),
            "stages": [shard.n_stages for shard in shards],
            "row_bytes": _n_bytes(group for s in shards for group in s.rows),
            "checkpoint_bytes": self.size(),
            "requests": audit.entries,
            "audit_head": audit.head,
            "pending": self.pending,
            "stale_files": len(self.stale_files()),
        }

    def params(self):
        """Return the parameters of the estimator, or of one whose first fit goes on."""
        ensemble = self.manifest.current or self.manifest.pending.target
        return self.unpack(ensemble.state)["params"]

    def state(self):
        """Return the state that counts, None before the first fit has ended."""
        current = self.manifest.current
        return None if current is None else self._state_of(current)

    def pending_change(self):
        """Return the change that was asked for and is not done yet, if any."""
        pending, current = self.manifest.pending, self.manifest.current
        if pending is None:
            return None
        target = self._state_of(pending.target)
        before = () if current is None else self.unpack(current.state)["forgotten"]
        forgotten = np.setdiff1d(target.forgotten, before)
        return Change(
            pending.kind,
            target,
            pending.firsts,
            forgotten_rows=tuple(forgotten.tolist()),
            requested_at=pending.requested_at,
        )

    def audit_log(self):
        """Return the log, having checked its chain against the signed head."""
        audit = self.manifest.audit
        if not audit.entries:
            return AuditLog()
        path = self._path(_AUDIT)
        earlier, newest = self._audit_parts()
        damaged = DamagedDirectoryError(
            f"{path} does not hold the {audit.entries} entries that were written. "
            "Restore it from a backup."
        )
        # A crash may have torn the newest entry, which the manifest holds as well.
        if not line(audit.tail).startswith(newest):
            raise damaged
        try:
            entries = (*map(json.loads, earlier.splitlines()), audit.tail)
        except ValueError:
            raise damaged from None
        log = AuditLog(entries)
        try:
            log.check()
        except DamagedDirectoryError as error:
            raise DamagedDirectoryError(
                f"{path}: {error} Restore it from a backup."
            ) from None
        as_written = b"".join(map(line, entries[:-1])) == earlier
        if not as_written or (len(entries), log.head) != (audit.entries, audit.head):
            raise damaged
        return log

    def check_files(self, *, whole):
        """Raise DamagedDirectoryError if a file that counts is missing or altered.

        Parameters
        ----------
        whole : bool
            Whether to read them all; otherwise it is enough that they are there.
        """
        files = self.files(*self.manifest.ensembles())
        if whole:
            for file in files.values():
                self.read(file)
            self.audit_log()
            return
        for name in sorted(files.keys() - set(self.backend.list())):
            raise self._missing(name)

    def shard(self, ensemble, shard):
        """Return what counts of a shard in an ensemble."""
        return self._shard(ensemble.shards[shard])

    def _shard(self, file):
        if file.name not in self._known.shards:
            self._known.shards[file.name] = Shard.from_json(self.read(file))
        return self._known.shards[file.name]

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

    def _state_of(self, ensemble):
        held = self.unpack(ensemble.state)
        rows = [partial(self._rows_of, shard) for shard in self._shards(ensemble)]
        return State(
            plan=self.unpack(ensemble.plan),
            rows=RowsOfShards(rows),
            **{name: held[name] for name in IN_STATE_FILE},
        )

    def _rows_of(self, shard):
        return ShardRows.joined_slices(map(self.unpack, shard.rows))

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
        path, what = self._path(file.name), what_it_holds(file.name)
        data = _read_if_there(self.backend, file.name)
        if data is None:
            now = self._read_manifest()
            if now is not None and self._is_older_than(now):
                raise self._changed()
            raise self._missing(file.name)
        if len(data) != file.n_bytes:
            raise DamagedDirectoryError(
                f"{path} has {len(data)} bytes instead of {file.n_bytes}: it holds "
                f"{what}. Restore it from a backup."
            )
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise DamagedDirectoryError(
                f"{path} was altered since it was written: it holds {what}. Restore it "
                "from a backup."
            )
        return data

    def _missing(self, name):
        return DamagedDirectoryError(
            f"{self._path(name)} is missing: it holds {what_it_holds(name)}."
        )

    def _path(self, name):
        return f"{self.directory}/{name}"

    # Writing

    def begin(self, change, params, before, *, resumed=False):
        """Write down a change with all it needs; from here on it is not lost.

        Parameters
        ----------
        change : Change
        params : dict
            Parameters of the estimator, for ``load``.
        before : State or None
            The state that counts.
        resumed : bool, default=False
            Whether the change is the one that is pending already.

        Returns
        -------
        work
        """
        work = DirectoryWork(self, change)
        if resumed:
            work.resume()
        else:
            work.write_down(params, before)
        return work

    def swap(self, manifest):
        """Replace the manifest; what it refers to must be on disk."""
        manifest = replace(manifest, keep_every=self.policy.keep_every)
        self.backend.swap(MANIFEST, manifest.to_json())
        self.manifest = manifest

    def followed_by(self, manifest):
        """Replace the manifest, and return the store that stands for it.

        This store stays as it is, so that an estimator which is interrupted ahead of
        taking the next one is known to have fallen behind.
        """
        # The entry before may be one of the same call, which finished a request first.
        self._write_down_tail()
        following = self._with(manifest)
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
        data = _read_if_there(self.backend, _AUDIT) or b""
        n_bytes = self.manifest.audit.n_bytes
        return data[:n_bytes], data[n_bytes:]


def _n_bytes(groups):
    """Return the bytes of files, each counted once, that come in groups."""
    return sum(file.n_bytes for file in {file for group in groups for file in group})
