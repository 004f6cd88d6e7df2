"""An ensemble in a directory, where one file says what counts."""

import hashlib
import json
import os
import re
import secrets
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from ...exceptions import (
    ChangedDirectoryError,
    DamagedDirectoryError,
    DirectoryError,
)
from .._audit import AuditLog, line
from .._rows import ShardRows
from .._state import Change, State
from .._training import TrainedMember
from . import disk
from .manifest import (
    FORMAT,
    MANIFEST,
    as_read_back,
    as_written,
    by_stage,
    listed_files,
    read_manifest,
    what_it_holds,
)
from .memory import (
    CheckpointPolicy,
    every_nth,
    replaced_digests,
    replaced_stages,
    thinned,
)
from .packing import pack, unpack
from .signing import key_id, sign, signing_key

_LOCK, _AUDIT = "lock", "audit.jsonl"
# What a state consists of besides its plan and rows, which have files of their own.
_IN_STATE_FILE = (
    "recipe", "classes", "inputs", "salt", "forgotten", "forgotten_subjects",
)  # fmt: skip
_OURS = re.compile(
    r"(rows-s\d+-r\d+|member-s\d+-r\d+|plan|state|frozen)-[0-9a-f]{16}"
    r"\.(pkl|safetensors)"
    r"|manifest\.json\.new"
)


class DirectoryStore:
    """Rows, plan, checkpoints and log of an ensemble in a directory.

    All files but three are written once under a name of their own and never changed;
    the manifest lists those that count, with lengths and digests. Replacing the
    manifest is the one instant at which a change begins to count. Files that no
    manifest lists are deleted as soon as the directory is next held.

    Parameters
    ----------
    policy : CheckpointPolicy
    manifest : dict
    """

    def __init__(self, policy, manifest):
        self.policy = policy
        self.directory = Path(policy.directory)
        self.manifest = manifest

    # Opening

    @classmethod
    def create(cls, policy, previous=None):
        """Return the store of a new ensemble.

        Parameters
        ----------
        policy : CheckpointPolicy
        previous : store, default=None
            That of the estimator's last fit, which may be replaced if it is the one in
            the directory.

        Raises
        ------
        DirectoryError
            If the directory holds another ensemble.
        """
        directory = Path(policy.directory)
        directory.mkdir(parents=True, exist_ok=True)
        if not (directory / MANIFEST).exists():
            if (directory / _AUDIT).exists():
                raise DamagedDirectoryError(
                    f"{directory / MANIFEST} is missing, though {_AUDIT} is there. "
                    "Restore it from a backup, or empty the directory."
                )
            manifest = {
                "format": FORMAT, "id": secrets.token_hex(8), "commits": 0,
                "files": {}, "current": None, "pending": None,
                "audit": {"entries": 0, "head": AuditLog().head, "bytes": 0},
            }  # fmt: skip
            return cls(policy, manifest)
        manifest = read_manifest(directory)
        own = isinstance(previous, cls) and previous.manifest["id"] == manifest["id"]
        if manifest["current"] is not None and not own:
            raise DirectoryError(
                f"{directory} holds a fitted ensemble already. Open it with "
                "SISAClassifier.load, or fit into another directory. Clones, such as "
                "those of a search or of cross-validation, cannot share a directory: "
                "set checkpoint_dir=None for them."
            )
        store = cls(policy, manifest)
        if own and previous.manifest["commits"] != manifest["commits"]:
            raise store._changed()
        return store

    @classmethod
    @contextmanager
    def opened(cls, directory, *, resign=False):
        """Yield the store that a directory holds, which nobody changes meanwhile.

        Parameters
        ----------
        directory : str or path
        resign : bool, default=False
            Accept the signature of another key, and replace it by one's own.

        Raises
        ------
        FileNotFoundError
            If there is none.
        DamagedDirectoryError
            If a file is missing or altered, or the signature is not of one's own key.
        LockedDirectoryError
            If someone is changing it.
        """
        directory = Path(directory)
        if not (directory / MANIFEST).exists():
            raise FileNotFoundError(
                f"{directory} holds no ensemble: it has no {MANIFEST}. Fit with "
                "checkpoint_dir= first."
            )
        with disk.locked(directory / _LOCK, shared=not resign):
            manifest = read_manifest(directory, check_signature=not resign)
            policy = CheckpointPolicy(directory, *manifest["policy"])
            store = cls(policy, manifest)
            for name in manifest["files"]:
                store._read(name)
            if manifest["current"] is not None:
                store.audit_log()
            if resign:
                store._swap({})
            yield store

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
        with disk.locked(self.directory / _LOCK):
            if (self.directory / MANIFEST).exists():
                manifest = read_manifest(self.directory)
                same = ("id", "commits")
                if any(manifest[name] != self.manifest[name] for name in same):
                    raise self._changed()
                # A call that failed may have left its request.
                self.manifest = manifest
            elif self.manifest["commits"]:
                raise DamagedDirectoryError(
                    f"{self.directory / MANIFEST} is gone. Restore it from a backup."
                )
            self._tidy()
            try:
                yield
            except BaseException as error:
                # What failed first matters more, and the next call tidies up.
                with suppress(OSError, DirectoryError):
                    left = self._on_disk()
                    if left.pending is not None:
                        error.pending_request = left.pending["kind"]
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
        kind = self.pending["kind"]
        # Estimators keep this promise: fit alone begins anew, and over a fit only.
        then = "another fit replaces it" if kind == "fit" else "do not ask again"
        return (
            f"The {kind} is written down in {self.directory}. The next call that "
            f"changes the ensemble, or SISAClassifier.load, finishes it: {then}."
        )

    def _on_disk(self):
        """Return the store as the directory has it, which may be the next one."""
        if not (self.directory / MANIFEST).exists():
            return self
        return DirectoryStore(self.policy, read_manifest(self.directory))

    def _tidy(self):
        """Complete the log, then delete what does not count."""
        self._write_down_tail()
        self._purge()

    def _changed(self):
        return ChangedDirectoryError(
            f"{self.directory} was changed since this estimator last saw it, by "
            "another estimator or by a call that was interrupted. Open it again with "
            "SISAClassifier.load, or have a post-processor over it reopen(); nothing "
            "was done."
        )

    # Reading

    @property
    def digests(self):
        """Digest of each shard's member."""
        current = self.manifest["current"]
        return () if current is None else tuple(current["digests"])

    @property
    def shards(self):
        """For each shard, the names of its checkpoints' files by stage."""
        current = self.manifest["current"]
        return [] if current is None else by_stage(current["stages"])

    def checkpoint(self, shard, stage):
        """Return a member as it was after a stage."""
        return self._unpack(self.shards[shard][stage])

    def size(self):
        """Return the bytes the checkpoints take on disk."""
        return self._bytes_of(
            names for stages in self.shards for names in stages.values()
        )

    def status(self):
        """Return what the directory holds, as far as the manifest tells.

        Returns
        -------
        dict
        """
        current = self.manifest["current"] or {}
        rows = [name for shard in current.get("rows", ()) for name in shard]
        pending = self.manifest["pending"]
        return {
            "directory": str(self.directory),
            "rows": current.get("n_rows", 0),
            "forgotten": current.get("n_forgotten", 0),
            "shards": len(current.get("n_stages", ())),
            "stages": current.get("n_stages", []),
            "row_bytes": self._bytes_of(rows),
            "checkpoint_bytes": self.size(),
            "requests": self.manifest["audit"]["entries"],
            "audit_head": self.manifest["audit"]["head"],
            "pending": None if pending is None else pending["kind"],
            "stale_files": len(self.stale_files()),
        }

    def params(self):
        """Return the parameters of the estimator, or of one whose first fit goes on."""
        described = self.manifest["current"] or self.manifest["pending"]["target"]
        return self._unpack(described["state"])["params"]

    def state(self):
        """Return the state that counts, None before the first fit has ended."""
        current = self.manifest["current"]
        return None if current is None else self._read_state(current)

    def members(self):
        """Return the last checkpoint of each shard."""
        return [
            self._unpack(stages[max(stages)]) if stages else None
            for stages in self.shards
        ]

    @property
    def pending(self):
        """What was asked for and is not done yet, as far as the manifest tells."""
        return self.manifest["pending"]

    def pending_change(self):
        """Return the change that was asked for and is not done yet."""
        pending, current = self.manifest["pending"], self.manifest["current"]
        target = self._read_state(pending["target"])
        before = self._unpack(current["state"])["forgotten"] if current else ()
        forgotten = np.setdiff1d(target.forgotten, before)
        return Change(
            pending["kind"],
            target,
            {int(shard): first for shard, first in pending["firsts"].items()},
            anew=pending["anew"],
            forgotten_rows=tuple(forgotten.tolist()),
            requested_at=pending["requested_at"],
        )

    def audit_log(self):
        """Return the log, having checked its chain against the signed head."""
        audit = self.manifest["audit"]
        if not audit["entries"]:
            return AuditLog()
        path = self.directory / _AUDIT
        earlier, newest = self._audit_parts()
        damaged = DamagedDirectoryError(
            f"{path} does not hold the {audit['entries']} entries that were written. "
            "Restore it from a backup."
        )
        # A crash may have torn the newest entry, which the manifest holds as well.
        if not line(audit["tail"]).startswith(newest):
            raise damaged
        try:
            entries = (*map(json.loads, earlier.splitlines()), audit["tail"])
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
        ends = len(entries), log.head
        if not as_written or ends != (audit["entries"], audit["head"]):
            raise damaged
        return log

    def _read_state(self, described):
        held = self._unpack(described["state"])
        rows = tuple(
            ShardRows.joined_slices(map(self._unpack, names))
            for names in described["rows"]
        )
        return State(
            plan=self._unpack(described["plan"]),
            rows=rows,
            **{name: held[name] for name in _IN_STATE_FILE},
        )

    def _unpack(self, names):
        return unpack(*map(self._read, names))

    def _read(self, name):
        listed = self.manifest["files"][name]
        return disk.read_checked(
            self.directory / name,
            listed["bytes"],
            listed["sha256"],
            what_it_holds(name),
        )

    def _bytes_of(self, groups):
        """Return the bytes of files, each counted once, that come in groups."""
        names = {name for names in groups for name in names}
        return sum(self.manifest["files"][name]["bytes"] for name in names)

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
        if not resumed:
            self._journal(change, params, before)
        return _Work(self, change)

    def _journal(self, change, params, before):
        files = dict(self.manifest["files"])
        state, plan = change.state, change.state.plan
        current = self.manifest["current"]
        held = {name: getattr(state, name) for name in _IN_STATE_FILE}
        same_plan = before is not None and before.plan is plan
        pending = {
            "kind": change.kind,
            "requested_at": change.requested_at,
            "firsts": change.firsts,
            "anew": change.anew,
            "done": {},
            "target": {
                "state": self._add(files, "state", {"params": params, **held}),
                "plan": current["plan"]
                if same_plan
                else self._add(files, "plan", plan),
                "rows": [
                    self._add_rows(files, shard, state, before)
                    for shard in range(plan.n_shards)
                ],
                "n_rows": state.n_rows,
                "n_forgotten": len(state.forgotten),
                "n_stages": list(plan.n_stages),
            },
        }
        self._swap({"files": files, "pending": pending})

    def _add_rows(self, files, shard, state, before):
        """Write the slices of a shard that are not on disk as they are."""
        rows = state.rows[shard]
        old, names = None, []
        if before is not None:
            old, names = before.rows[shard], self.manifest["current"]["rows"][shard]
            if rows is old:
                return names
        return [
            names[stage]
            if stage < len(names) and rows.has_slice_of(old, stage)
            else self._add(files, f"rows-s{shard:03d}-r{stage:03d}", rows.slice(stage))
            for stage in range(state.plan.n_stages[shard])
        ]

    def _add(self, files, name, value):
        """Write a value to new files, list them, and return their names.

        Bytes that a listed file holds already, such as weights which are not trained,
        are not written again: that file is named instead.
        """
        token = secrets.token_hex(8)
        skeleton, weights, frozen = pack(value)
        names = []
        for data, new in (
            (skeleton, f"{name}-{token}.pkl"),
            (weights, f"{name}-{token}.safetensors"),
            (frozen, f"frozen-{token}.safetensors"),
        ):
            if data is None:
                continue
            listed = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            same = (known for known, facts in files.items() if facts == listed)
            names.append(next(same, new))
            if names[-1] == new:
                disk.write_new(self.directory / new, data)
                files[new] = listed
        return names

    def _swap(self, changes):
        """Replace the manifest; what it lists must be on disk."""
        self.manifest = self._replace_manifest(changes)

    def _replace_manifest(self, changes):
        # Read when needed, or pickles of an estimator would hold it.
        key = signing_key()
        manifest = {
            **self.manifest,
            **changes,
            "policy": [self.policy.keep_every, self.policy.max_bytes],
            "key": key_id(key),
        }
        manifest.pop("signature", None)
        plain = as_read_back(manifest)
        plain["signature"] = manifest["signature"] = sign(key, as_written(plain))
        data = as_written(plain)
        # Names of new files reach the disk before what lists them.
        disk.sync_folder(self.directory)
        disk.swap(self.directory / MANIFEST, data)
        return manifest

    def _write_down_tail(self):
        """Append the newest entry to the log file, where it is not there yet."""
        audit = self.manifest["audit"]
        if audit["entries"] and self._audit_parts()[1] != line(audit["tail"]):
            path = self.directory / _AUDIT
            disk.append(path, line(audit["tail"]), audit["bytes"])

    def _audit_parts(self):
        """Return what the log file holds before the newest entry, and from it on."""
        path = self.directory / _AUDIT
        data = path.read_bytes() if path.exists() else b""
        n_bytes = self.manifest["audit"]["bytes"]
        return data[:n_bytes], data[n_bytes:]

    def _purge(self):
        """Delete our files that do not count."""
        stale = self.stale_files()
        for name in stale:
            disk.remove(self.directory / name)
        if stale:
            disk.sync_folder(self.directory)

    def stale_files(self):
        """Return the names of files that were left behind and do not count."""
        return [
            name
            for name in sorted(os.listdir(self.directory))
            if _OURS.fullmatch(name) and name not in self.manifest["files"]
        ]


class _Work:
    def __init__(self, store, change):
        self._store = store
        self._change = change
        self._results = {}
        for shard, done in store.pending["done"].items():
            stages = done["stages"]
            self._results[int(shard)] = TrainedMember(
                int(shard),
                store._unpack(stages[max(stages, key=int)]),
                done["digest"],
                done["sample_visits"],
            )

    @property
    def done(self):
        """Shards that are trained already."""
        return set(self._results)

    def keep(self, trained):
        """Write a trained shard to disk, where it does not count yet."""
        store, shard = self._store, trained.shard
        files = dict(store.manifest["files"])
        (stages,) = every_nth([trained.by_stage()], store.policy.keep_every)
        written = {
            str(stage): store._add(files, f"member-s{shard:03d}-r{stage:03d}", member)
            for stage, member in stages.items()
        }
        done = {
            "first_stage": trained.first_stage,
            "stages": written,
            "digest": trained.digest,
            "sample_visits": trained.sample_visits,
        }
        pending = store.pending
        pending = {**pending, "done": {**pending["done"], str(shard): done}}
        changes = {"files": files, "pending": pending}
        # The last shard's results are listed by the commit that follows at once.
        if len(pending["done"]) < len(pending["firsts"]):
            store._swap(changes)
        else:
            store.manifest = {**store.manifest, **changes}
        # Of all its checkpoints, only the member is needed in memory.
        self._results[shard] = trained.last()

    def results(self):
        """Return the TrainedMember of each shard, ordered by shard."""
        return [self._results[shard] for shard in sorted(self._results)]

    def digests(self):
        """Return the digests of all members as they are and once this work counts."""
        before = self._store.digests
        return before, replaced_digests(self._change, before, self.results())

    def n_purged(self):
        """Return how many files will be deleted when this work counts."""
        store = self._store
        current, _ = self._outcome()
        return len(set(store.manifest["files"]) - listed_files(current))

    def commit(self, entry):
        """Make this work count, with its entry in the log; return the next store.

        The store of before stays as it is, so that an estimator which is interrupted
        ahead of taking the next one is known to have fallen behind.
        """
        store = self._store
        current, files = self._outcome()
        # The entry before may be one of the same call, which finished a request first.
        store._write_down_tail()
        audit = store.manifest["audit"]
        n_bytes = audit["bytes"]
        if audit["entries"]:
            n_bytes += len(line(audit["tail"]))
        manifest = store._replace_manifest(
            {
                "current": current,
                "pending": None,
                "files": files,
                "commits": store.manifest["commits"] + 1,
                "audit": {
                    "entries": entry["entry"],
                    "head": entry["hash"],
                    "tail": entry,
                    "bytes": n_bytes,
                },
            }
        )
        return DirectoryStore(store.policy, manifest)

    def _outcome(self):
        """Return what will count, and the files that it consists of."""
        store, pending = self._store, self._store.pending
        trained = [
            (int(shard), done["first_stage"], by_stage([done["stages"]])[0])
            for shard, done in pending["done"].items()
        ]
        shards = replaced_stages(self._change, store.shards, trained)
        current = {
            **pending["target"],
            "stages": thinned(shards, store.policy, store._bytes_of),
            "digests": list(self.digests()[1]),
        }
        files = store.manifest["files"]
        return current, {name: files[name] for name in sorted(listed_files(current))}

    def abandon(self):
        """Leave the directory as it was; a deletion stays written down."""
        store = self._store
        if self._change.kind == "forget":
            return
        current = store.manifest["current"]
        listed = set() if current is None else listed_files(current)
        files = {name: store.manifest["files"][name] for name in listed}
        # Where not even this can be written, the change stays written down.
        with suppress(OSError):
            store._swap({"pending": None, "files": files})
