"""A change to an ensemble in a directory, up to its commit."""

import hashlib
import secrets
from contextlib import suppress
from dataclasses import replace

from .._audit import line
from .manifest import AuditEnd, Ensemble, File, Shard
from .packing import pack
from .policy import kept

# What a state consists of besides its plan and rows, which have files of their own.
IN_STATE_FILE = (
    "recipe", "classes", "inputs", "salt", "forgotten", "forgotten_subjects",
)  # fmt: skip


class DirectoryWork:
    """A change whose files are written; a shard is behind in it until it is trained."""

    def __init__(self, store, change, params, before, reason):
        self._store = store
        self._change = change
        self.members = {}
        current = store.manifest.current
        self._is_first = current is None or not store.manifest.audit.entries
        files = store.files(*store.manifest.ensembles()).values()
        # Bytes that a file holds already, such as weights which are not trained, are
        # not written again.
        self._by_digest = {file.sha256: file for file in files}
        state, plan = change.state, change.state.plan
        held = {name: getattr(state, name) for name in IN_STATE_FILE}
        if before is not None:
            # What one call sets, as a number of jobs, is not for others to find.
            params = store.params()
        same_plan = before is not None and before.plan is plan
        self._target = Ensemble(
            state=self._add("state", {"params": params, **held}),
            plan=current.plan if same_plan else self._add("plan", plan),
            shards=tuple(
                self._add_behind(shard, before, reason)
                if shard in change.firsts
                else current.shards[shard]
                for shard in range(plan.n_shards)
            ),
            companions={} if before is None else current.companions,
            n_rows=state.n_rows,
            n_forgotten=len(state.forgotten),
        )
        if change.kind == "fit" and self._is_first:
            self._swap(id=secrets.token_hex(8))

    def attach(self, name, value):
        """Commit something together with the ensemble, as a companion.

        It stays with the ensemble until it is attached anew, or ``fit`` is called.
        """
        files = self._add(f"companion-{name}", value)
        companions = {**self._target.companions, name: files}
        self._target = replace(self._target, companions=companions)

    def keep(self, trained):
        """Write a trained shard to disk."""
        store, shard = self._store, trained.shard
        behind = store.shard(self._target, shard)
        # Of the new ones, what is not kept is not written either.
        new = kept(trained.by_stage(), store.policy)
        stages = behind.checkpoints | {
            stage: self._add(f"member-s{shard:03d}-r{stage:03d}", member)
            for stage, member in new.items()
        }
        self._put(
            shard,
            replace(
                behind,
                stage=behind.n_stages,
                digest=trained.digest,
                reason=None,
                checkpoints=kept(stages, store.policy),
            ),
        )
        if self._change.kind == "fit" and self._is_first:
            self._swap()
        # Of all its checkpoints, only the member is needed in memory.
        self.members[shard] = trained.checkpoints[-1]

    def behind(self):
        """Yield the shards that the change leaves behind, with their members."""
        for shard in self._change.firsts:
            held = self._store.shard(self._target, shard)
            if held.reason is not None:
                files = held.checkpoints.get(held.stage - 1)
                yield shard, None if files is None else self._store.unpack(files)

    def mark(self, shard, member, digest):
        """Note the member of a shard that is behind, and its digest."""
        held = self._store.shard(self._target, shard)
        self._put(shard, replace(held, digest=digest))
        self.members[shard] = member

    @property
    def digests(self):
        """Digests of the members once this work counts."""
        shards = range(len(self._target.shards))
        return tuple(self._store.shard(self._target, s).digest for s in shards)

    @property
    def n_purged(self):
        """Number of files of rows, members and state that the commit will delete."""
        store, current = self._store, self._store.manifest.current
        if current is None:
            return 0
        # What shards hold that stay as they are is not deleted.
        gone = set(current.shards).difference(self._target.shards)
        replaced = replace(current, shards=tuple(gone))
        return len(store.files(replaced).keys() - store.files(self._target).keys())

    def commit(self, entry):
        """Make this work count, with its entry in the log; return the next store."""
        manifest, audit = self._store.manifest, self._store.manifest.audit
        n_bytes = audit.n_bytes
        if audit.entries:
            n_bytes += len(line(audit.tail))
        return self._store.followed_by(
            replace(
                manifest,
                commits=manifest.commits + 1,
                current=self._target,
                audit=AuditEnd(entry["entry"], entry["hash"], n_bytes, entry),
            )
        )

    def abandon(self):
        """Leave the directory as it was."""
        if self._change.kind == "fit" and self._is_first:
            # If this cannot be written, a fit remains that was interrupted.
            with suppress(OSError):
                self._store.swap(replace(self._store.manifest, current=None))

    def _swap(self, **history):
        """Have a first fit count as far as it has come.

        It begins a history of its own: what saw an unfinished one does not follow it.
        """
        manifest = replace(self._store.manifest, current=self._target, **history)
        self._store.swap(manifest)

    def _put(self, shard, entry):
        self._target = self._target.with_shard(shard, self._add_shard(shard, entry))

    def _add_behind(self, shard, before, reason):
        """Write the entry of a shard as it is until it is trained."""
        first, n_stages = self._change.firsts[shard], self._change.state.plan.n_stages
        stages = {}
        # All begins anew with a fit, and a first stage starts from nothing.
        if first:
            kept = self._store.progress(shard).checkpoints
            stages = {stage: files for stage, files in kept.items() if stage < first}
        stage = max(stages, default=-1) + 1
        return self._add_shard(
            shard,
            Shard(
                stage=stage,
                n_stages=n_stages[shard],
                digest="",
                reason=reason,
                rows=self._add_rows(shard, before),
                checkpoints=stages,
            ),
        )

    def _add_rows(self, shard, before):
        """Write the slices of a shard that are not on disk as they are."""
        state = self._change.state
        rows = state.rows[shard]
        old, there = None, ()
        if before is not None:
            there = self._store.progress(shard).rows
            old = before.rows[shard]
        return tuple(
            there[stage]
            if stage < len(there) and rows.has_slice_of(old, stage)
            else self._add(f"rows-s{shard:03d}-r{stage:03d}", rows.slice(stage))
            for stage in range(state.plan.n_stages[shard])
        )

    def _add_shard(self, shard, entry):
        return self._write(f"shard-s{shard:03d}", "json", entry.to_json())

    def _add(self, name, value):
        """Write a value to new files, as far as its bytes are not on disk already."""
        skeleton, weights, frozen = pack(value)
        parts = (
            (name, "pkl", skeleton),
            (name, "safetensors", weights),
            ("frozen", "safetensors", frozen),
        )
        return tuple(self._write(*part) for part in parts if part[-1] is not None)

    def _write(self, name, kind, data):
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 not in self._by_digest:
            file = File(f"{name}-{secrets.token_hex(8)}.{kind}", len(data), sha256)
            self._store.backend.write_new(file.name, data)
            self._by_digest[sha256] = file
        return self._by_digest[sha256]
