"""A change to an ensemble in a directory, from its request to its commit."""

import hashlib
import secrets
from contextlib import suppress
from dataclasses import replace

from .._audit import line
from .._training import TrainedMember
from .manifest import AuditEnd, Ensemble, File, Pending, Shard
from .packing import pack
from .policy import kept

# What a state consists of besides its plan and rows, which have files of their own.
IN_STATE_FILE = (
    "recipe", "classes", "inputs", "salt", "forgotten", "forgotten_subjects",
)  # fmt: skip


class DirectoryWork:
    """A change that is written down; a shard is behind in it until it is trained."""

    def __init__(self, store, change):
        self._store = store
        self._change = change
        self._results = {}
        files = store.files(*store.manifest.ensembles()).values()
        # Bytes that a file holds already, such as weights which are not trained, are
        # not written again.
        self._by_digest = {file.sha256: file for file in files}

    def write_down(self, params, before):
        """Write a request to disk, with the rows and the state it is to end in."""
        change, current = self._change, self._store.manifest.current
        state, plan = change.state, change.state.plan
        held = {name: getattr(state, name) for name in IN_STATE_FILE}
        same_plan = before is not None and before.plan is plan
        target = Ensemble(
            state=self._add("state", {"params": params, **held}),
            plan=current.plan if same_plan else self._add("plan", plan),
            shards=tuple(
                self._add_behind(shard, before)
                if shard in change.firsts
                else current.shards[shard]
                for shard in range(plan.n_shards)
            ),
            companions={} if before is None else current.companions,
            n_rows=state.n_rows,
            n_forgotten=len(state.forgotten),
        )
        self._swap(
            Pending(change.kind, change.requested_at, dict(change.firsts), target)
        )

    def resume(self):
        """Go on where an earlier call was interrupted."""
        pending = self._store.manifest.pending
        for shard, visits in pending.visits.items():
            found = self._store.shard(pending.target, shard)
            member = self._store.unpack(found.checkpoints[found.stage - 1])
            self._results[shard] = TrainedMember(shard, member, found.digest, visits)

    @property
    def done(self):
        """Shards that are trained already."""
        return set(self._results)

    def attach(self, name, value):
        """Commit something together with the ensemble, as a companion.

        It stays with the ensemble until it is attached anew, or ``fit`` is called.
        """
        pending = self._store.manifest.pending
        companions = {
            **pending.target.companions, name: self._add(f"companion-{name}", value)
        }  # fmt: skip
        target = replace(pending.target, companions=companions)
        self._swap(replace(pending, target=target))

    def keep(self, trained):
        """Write a trained shard to disk, where it does not count yet."""
        store, shard = self._store, trained.shard
        pending = store.manifest.pending
        behind = store.shard(pending.target, shard)
        # Of the new ones, what is not kept is not written either.
        new = kept(trained.by_stage(), store.policy)
        stages = behind.checkpoints | {
            stage: self._add(f"member-s{shard:03d}-r{stage:03d}", member)
            for stage, member in new.items()
        }
        file = self._add_shard(
            shard,
            replace(
                behind,
                stage=behind.n_stages,
                digest=trained.digest,
                reason=None,
                checkpoints=kept(stages, store.policy),
            ),
        )
        pending = replace(
            pending,
            target=pending.target.with_shard(shard, file),
            visits=pending.visits | {shard: trained.sample_visits},
        )
        # The last shard's results are referred to by the commit that follows at once.
        self._swap(pending, on_disk=len(pending.visits) < len(pending.firsts))
        # Of all its checkpoints, only the member is needed in memory.
        self._results[shard] = trained.last()

    def results(self):
        """Return the TrainedMember of each shard, ordered by shard."""
        return [self._results[shard] for shard in sorted(self._results)]

    def digests(self):
        """Return the digests of all members as they are and once this work counts."""
        before = self._store.digests
        return before, self._change.digests_after(before, self.results())

    def n_purged(self):
        """Return how many files of rows, members and state the commit will delete."""
        store, manifest = self._store, self._store.manifest
        if manifest.current is None:
            return 0
        target = manifest.pending.target
        # What shards hold that stay as they are is not deleted.
        gone = set(manifest.current.shards).difference(target.shards)
        replaced = replace(manifest.current, shards=tuple(gone))
        return len(store.files(replaced).keys() - store.files(target).keys())

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
                current=manifest.pending.target,
                pending=None,
                audit=AuditEnd(entry["entry"], entry["hash"], n_bytes, entry),
            )
        )

    def abandon(self):
        """Leave the directory as it was; a deletion stays written down."""
        if self._change.kind == "forget":
            return
        # Where not even this can be written, the change stays written down.
        with suppress(OSError):
            self._swap(None)

    def _swap(self, pending, *, on_disk=True):
        manifest = replace(self._store.manifest, pending=pending)
        if on_disk:
            self._store.swap(manifest)
        else:
            self._store.manifest = manifest

    def _add_behind(self, shard, before):
        """Write the entry of a shard as it is until it is trained."""
        first, n_stages = self._change.firsts[shard], self._change.state.plan.n_stages
        stages = {}
        # All begins anew with a fit, and a first stage starts from nothing.
        if first:
            kept = self._store.shard(self._store.manifest.current, shard).checkpoints
            stages = {stage: files for stage, files in kept.items() if stage < first}
        return self._add_shard(
            shard,
            Shard(
                stage=max(stages, default=-1) + 1,
                n_stages=n_stages[shard],
                digest="",
                reason=self._change.kind,
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
            there = self._store.shard(self._store.manifest.current, shard).rows
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
