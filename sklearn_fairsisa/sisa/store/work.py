"""A change to an ensemble, up to its commit."""

import hashlib
import secrets
from contextlib import suppress
from dataclasses import replace

from .._audit import line
from .manifest import AuditEnd, Ensemble, File, Shard, StoredPiece
from .packing import pack
from .policy import kept

# What a state consists of besides its plan and rows, which have files of their own.
IN_STATE_FILE = (
    "recipe", "classes", "inputs", "salt", "amended", "forgotten",
    "forgotten_subjects",
)  # fmt: skip


class Work:
    """A change that has begun and does not count yet.

    The shards that it concerns lose the checkpoints that it makes invalid, and are
    behind until they are trained. This is the work of a store in memory.

    Parameters
    ----------
    store : Store
    change : Change
    reason : str
        Why shards are behind until they are trained.

    Attributes
    ----------
    members : dict of int to estimator or None
        Members that the change puts in place, by shard.
    """

    #: Number of files of rows, members and state that the commit will delete.
    n_purged = 0

    def __init__(self, store, change, reason):
        self.members = {}
        self._store = store
        self._change = change
        self._shards = {}
        for shard, first in change.firsts.items():
            # A first stage starts from nothing.
            stages = store.progress(shard).checkpoints if first else {}
            stages = {stage: c for stage, c in stages.items() if stage < first}
            self._shards[shard] = Shard(
                stage=max(stages, default=-1) + 1,
                n_stages=change.state.plan.n_stages[shard],
                digest="",
                reason=reason,
                rows=self._rows_of(shard),
                checkpoints=stages,
            )

    @property
    def shards(self):
        """What counts of each shard once the change does."""
        places = range(self._change.state.plan.n_shards)
        own = self._shards
        return tuple(own[s] if s in own else self._store.progress(s) for s in places)

    @property
    def digests(self):
        """Digests of the members once the change counts."""
        return tuple(shard.digest for shard in self.shards)

    def keep(self, trained):
        """Put a TrainedShard in place of one that is behind."""
        shard, policy = trained.shard, self._store.policy
        behind = self._shards[shard]
        # Of the new ones, what is not kept is not written either.
        new = kept(trained.by_stage(), policy)
        stages = behind.checkpoints | {
            stage: self._stored(f"member-s{shard:03d}-r{stage:03d}", member, shard)
            for stage, member in new.items()
        }
        self._shards[shard] = replace(
            behind,
            stage=behind.n_stages,
            digest=trained.digest,
            reason=None,
            checkpoints=kept(stages, policy),
        )
        # Of all its checkpoints, only the member is needed in memory.
        self.members[shard] = trained.checkpoints[-1]

    def behind(self):
        """Yield the shards that the change leaves behind, with their members."""
        for shard in self._change.firsts:
            entry = self._shards[shard]
            if entry.reason is not None:
                checkpoint = entry.checkpoints.get(entry.stage - 1)
                yield shard, None if checkpoint is None else self._loaded(checkpoint)

    def mark(self, shard, member, digest):
        """Record the member of a shard that is behind, and its digest."""
        self._shards[shard] = replace(self._shards[shard], digest=digest)
        self.members[shard] = member

    def commit(self, entry):
        """Make the change count, with its entry in the log; return the next store."""
        return self._store.followed_by(self.shards)

    def abandon(self):
        """Undo the change."""

    def _stored(self, name, value, shard=None):
        """Return what stands for a value in the entry of a shard."""
        return value

    def _loaded(self, stored):
        return stored

    def _rows_of(self, shard):
        """Return what stands for each piece of the rows, where a store keeps them."""
        return ()


class DirectoryWork(Work):
    """A change whose files are written, and referred to once it counts."""

    def __init__(self, store, change, params, before, reason):
        self._before = before
        current = store.manifest.current
        begins = current is None or not store.manifest.audit.entries
        self._is_first_fit = change.kind == "fit" and begins
        self._written = {}  # by digest
        self._lists = {}  # of shards, with the file of each
        super().__init__(store, change, reason)
        state, plan = change.state, change.state.plan
        held = {name: getattr(state, name) for name in IN_STATE_FILE}
        if before is not None:
            # What one call sets, as a number of jobs, is not for others to find.
            params = store.params()
        same_plan = before is not None and before.plan is plan
        self._ensemble = Ensemble(
            state=self._stored("state", {"params": params, **held}),
            plan=current.plan if same_plan else self._stored("plan", plan),
            shards=(),
            held_out=self._held_out_rows(),
            companions=self._companions(),
            n_rows=state.n_rows,
            n_forgotten=len(state.forgotten),
        )
        if self._is_first_fit:
            # It begins a history: what saw an unfinished one does not follow it.
            self._swap(id=secrets.token_hex(8))

    def keep(self, trained):
        """Put a TrainedShard in place; of a first fit, it counts at once."""
        super().keep(trained)
        if self._is_first_fit:
            self._swap()

    @property
    def n_purged(self):
        """Number of files of rows, members and state that the commit will delete."""
        current = self._store.manifest.current
        if current is None:
            return 0
        target = self._target()
        lists = {file.name for file in current.shards}
        return len(self._store.replaced(current, target) - lists)

    def commit(self, entry):
        """Make the change count, with its entry in the log; return the next store."""
        manifest, audit = self._store.manifest, self._store.manifest.audit
        n_bytes = audit.n_bytes
        if audit.entries:
            n_bytes += len(line(audit.tail))
        return self._store.followed_by(
            replace(
                manifest,
                commits=manifest.commits + 1,
                current=self._target(),
                audit=AuditEnd(entry["entry"], entry["hash"], n_bytes, entry),
            )
        )

    def abandon(self):
        """Leave the directory as it was."""
        if self._is_first_fit:
            # If this cannot be written, a fit remains that was interrupted.
            with suppress(OSError):
                self._store.swap(replace(self._store.manifest, current=None))

    def _swap(self, **history):
        """Have a first fit count as far as it has come."""
        manifest = replace(self._store.manifest, current=self._target(), **history)
        self._store.swap(manifest)

    def _target(self):
        """Return the ensemble that will count, having written the lists of shards."""
        current = self._store.manifest.current
        shards = tuple(
            self._list_of(shard) if shard in self._shards else current.shards[shard]
            for shard in range(self._change.state.plan.n_shards)
        )
        return replace(self._ensemble, shards=shards)

    def _list_of(self, shard):
        """Return the file that lists those of a shard, written if it is not there."""
        entry = self._shards[shard]
        listed, file = self._lists.get(shard, (None, None))
        if listed is not entry:
            file = self._write(f"shard-s{shard:03d}", "json", entry.to_json(), shard)
            self._lists[shard] = entry, file
            self._store.note(file, entry)
        return file

    def _rows_of(self, shard):
        """Write the pieces of a shard that are not on disk as they are."""
        return self._pieces(
            f"rows-s{shard:03d}",
            self._change.state.rows[shard],
            lambda before: (before.rows[shard], self._store.progress(shard).rows),
            shard,
        )

    def _held_out_rows(self):
        """Write the pieces of rows held out that are not on disk as they are."""
        return self._pieces(
            "rows-held",
            self._change.state.held_out,
            lambda before: (before.held_out, self._store.manifest.current.held_out),
        )

    def _pieces(self, name, rows, of, shard=None):
        """Write the pieces of a part; `of` returns those of a state, and its files."""
        there = {}
        if self._before is not None:
            old, files = of(self._before)
            there = dict(zip(map(id, old.pieces), files, strict=True))
        return tuple(
            there[id(piece)] if id(piece) in there else self._piece(name, piece, shard)
            for piece in rows.pieces
        )

    def _piece(self, name, piece, shard):
        """Write a piece, which is then read from its files whenever it is needed."""
        if piece.files is not None:
            # Written as it was read from where the caller keeps it.
            return StoredPiece(piece.facts, piece.files)
        name = f"{name}-r{piece.facts.slice:03d}"
        files = self._stored(name, piece.block, shard)
        piece.move(self._store.reader(files))
        return StoredPiece(piece.facts, files)

    def _companions(self):
        """Write the companions that are not on disk as they are."""
        before = {} if self._before is None else self._before.companions
        return {
            name: self._store.manifest.current.companions[name]
            if before.get(name) is companion
            else self._stored(f"companion-{name}", companion)
            for name, companion in self._change.state.companions.items()
        }

    def _stored(self, name, value, shard=None):
        """Write a value to new files, as far as its bytes are not on disk already."""
        skeleton, weights, frozen = pack(value)
        parts = (
            (name, "pkl", skeleton),
            (name, "safetensors", weights),
            ("frozen", "safetensors", frozen),
        )
        return tuple(
            self._write(*part, shard) for part in parts if part[-1] is not None
        )

    def _loaded(self, stored):
        return self._store.unpack(stored)

    def _write(self, name, kind, data, shard):
        sha256 = hashlib.sha256(data).hexdigest()
        # Bytes that the shard has on disk are not written again, and weights which are
        # not trained are the same in all shards.
        shards = None if name == "frozen" else [] if shard is None else [shard]
        file = self._written.get(sha256) or self._store.holding(sha256, shards)
        if file is None:
            file = File(f"{name}-{secrets.token_hex(8)}.{kind}", len(data), sha256)
            self._store.write_new(file.name, data)
        self._written[sha256] = file
        return file
