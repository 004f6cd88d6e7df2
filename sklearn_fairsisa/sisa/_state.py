"""What an ensemble consists of, apart from its members."""

from dataclasses import dataclass, field, replace

import numpy as np

from .._utils.containers import take
from ._audit import now
from ._plan import HELD_OUT, Plan
from ._rows import ShardRows
from ._training import Recipe, have_weight, replay_visits


@dataclass(frozen=True)
class State:
    """Everything that determines an ensemble.

    Parameters
    ----------
    recipe : Recipe
    plan : Plan
    classes : ndarray of shape (n_classes,)
    rows : tuple of ShardRows
        Retained rows of each shard.
    held_out : ShardRows
        Retained rows that no shard trains on, by the batch they came in.
    inputs : dict
        The estimator's attributes about X: `n_features_in_`, `feature_names_in_`.
    salt : str
        Without it, nobody can find out from hashes which rows and data subjects were
        forgotten.
    amended : dict of int to int
        How often each retained row was amended, where it was.
    forgotten : ndarray of int
        Sorted indices of the forgotten rows.
    forgotten_subjects : frozenset of int
        Keys of the data subjects of forgotten rows.
    companions : dict of str to Companion
        What else was learnt from rows and members, by name.
    """

    recipe: Recipe
    plan: Plan
    classes: np.ndarray
    rows: tuple[ShardRows, ...]
    held_out: ShardRows
    inputs: dict
    salt: str
    amended: dict = field(default_factory=dict)
    forgotten: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.intp))
    forgotten_subjects: frozenset = frozenset()
    companions: dict = field(default_factory=dict)

    @property
    def parts(self):
        """Retained rows of each shard, then those held out."""
        yield from self.rows
        yield self.held_out

    @property
    def pieces(self):
        """All pieces of retained rows."""
        return (piece for part in self.parts for piece in part.pieces)

    def pieces_of_subjects(self, subjects):
        """Yield the pieces in which the plan puts rows of some data subjects, once."""
        places = {}
        for number, slice in self.plan.places_of(subjects):
            places.setdefault(number, set()).add(slice)
        for number, slices in places.items():
            for piece in self.part(number).pieces:
                slice = piece.facts.slice
                # Rows that were appended are in slices of their own.
                later = number == HELD_OUT or slice >= self.plan.n_slices
                if later or slice in slices:
                    yield piece

    @property
    def n_rows(self):
        """Number of retained rows."""
        return self.plan.n_rows - len(self.forgotten)

    @property
    def full_sample_visits(self):
        """Sample visits of training everything on the retained rows."""
        return sum(map(self.full_visits_of, range(self.plan.n_shards)))

    def full_visits_of(self, shard):
        """Return the sample visits of training a shard on its retained rows."""
        return replay_visits(self.recipe, self.rows[shard], self.plan.n_stages[shard])

    def has_same_rows(self, other, shard):
        """Return whether a shard of two states of one ensemble trains alike."""
        return (
            len(self.classes) == len(other.classes)
            and np.array_equal(self._retained_in(shard), other._retained_in(shard))
            and self._amended_in(shard) == other._amended_in(shard)
        )

    def _retained_in(self, shard):
        return np.setdiff1d(self.plan.rows(shard), self.forgotten, assume_unique=True)

    def _amended_in(self, shard):
        here = self.plan.shards == shard
        return {row: times for row, times in self.amended.items() if here[row]}

    def erased_since(self, before):
        """Return whether rows of an earlier state, or values of them, are erased."""
        return len(self.forgotten) > len(before.forgotten) or (
            self.amended != before.amended
        )

    def inputs_of(self, indices):
        """Yield X of some rows, piece by piece."""
        for block in self._blocks_with(indices):
            yield take(block.X, np.flatnonzero(np.isin(block.index, indices)))

    def subjects_of(self, indices):
        """Return the ids of the data subjects of some rows, if fit was given ids."""
        return {
            block.subjects[position]
            for block in self._blocks_with(indices)
            if block.subjects is not None
            for position in np.flatnonzero(np.isin(block.index, indices))
        }

    def block_of(self, shard, indices):
        """Return as one block those of some rows that are in a shard."""
        index = np.asarray(indices, dtype=np.intp)
        index = index[self.plan.shard_of(index) == shard]
        return self.rows[shard].only(index, self.plan.slice_of(index))

    def _blocks_with(self, indices):
        """Yield the blocks that retained rows of some indices are in."""
        retained = np.setdiff1d(indices, self.forgotten).astype(np.intp)
        for number, *places in self._by_part(retained):
            for piece in self.part(number).pieces_with(*places).values():
                yield piece.block

    def _by_part(self, index):
        """Yield each part that has rows of an array, with their indices and slices."""
        numbers = np.asarray(self.plan.shard_of(index))
        for number in np.unique(numbers).tolist():
            own = index[numbers == number]
            yield number, own, self.plan.slice_of(own)

    def part(self, number):
        """Return the retained rows of a shard, or for -1 those that are held out."""
        return self.held_out if number == HELD_OUT else self.rows[number]

    def shards_without(self, rows):
        """Return the shards that have something to learn from without some rows."""
        parts, _ = self._parts_without(np.asarray(rows, dtype=np.intp))
        left = [
            have_weight(self.recipe, parts.get(shard, part), n).any()
            for shard, (part, n) in enumerate(zip(self.rows, self.plan.n_stages))
        ]
        return np.flatnonzero(left)

    def _parts_without(self, rows):
        """Return what is left of the parts that have some rows, and first slices."""
        parts, firsts = {}, {}
        for number, index, slices in self._by_part(rows):
            parts[number] = self.part(number).without(index, slices)
            if number != HELD_OUT:
                firsts[number] = int(slices.min())
        return parts, firsts

    def _with_parts(self, parts, **others):
        """Return the state with the rows of some parts, by number, in their place."""
        rows = (parts.get(shard, part) for shard, part in enumerate(self.rows))
        held_out = parts.get(HELD_OUT, self.held_out)
        return replace(self, rows=tuple(rows), held_out=held_out, **others)

    def labels(self, index):
        """Return the label codes of some rows, -1 of those forgotten.

        No piece is read that has none of them.
        """
        codes = np.full(self.plan.n_rows, -1)
        for block in self._blocks_with(index):
            codes[block.index] = block.y
        return codes[index]

    def without(self, rows, keys):
        """Return the change that forgets rows, none of which is forgotten yet.

        Parameters
        ----------
        rows : ndarray of int
        keys : frozenset of int
            Keys of the data subjects that the rows belong to.
        """
        parts, firsts = self._parts_without(rows)
        forgotten = np.union1d(self.forgotten, rows).astype(np.intp)
        gone = set(rows.tolist())
        state = self._with_parts(
            parts,
            amended={r: n for r, n in self.amended.items() if r not in gone},
            forgotten=forgotten,
            forgotten_subjects=self.forgotten_subjects | keys,
            companions={
                name: companion.without(rows) if len(rows) else companion
                for name, companion in self.companions.items()
            },
        )
        return Change("forget", state, firsts, forgotten_rows=tuple(rows.tolist()))

    def with_other_values(self, index, X, y, given):
        """Return the change that replaces X and encoded labels of retained rows.

        Parameters
        ----------
        index : ndarray of int
        X : container of as many rows
        y : ndarray of as many codes
        given : dict of str to object
            Facts about the rows for companions, by the names of these.
        """
        numbers = np.asarray(self.plan.shard_of(index))
        parts, firsts = {}, {}
        for number, own, slices in self._by_part(index):
            where = np.flatnonzero(numbers == number)
            values = take(X, where), y[where]
            parts[number] = self.part(number).amended(own, slices, *values)
            if number != HELD_OUT:
                firsts[number] = int(slices.min())
        times = {row: self.amended.get(row, 0) + 1 for row in index.tolist()}
        state = self._with_parts(
            parts,
            amended=self.amended | times,
            companions={},
        )
        companions = {
            name: companion.amended(state, index, given.get(name))
            for name, companion in self.companions.items()
        }
        state = replace(state, companions=companions)
        return Change("amend", state, firsts, amended_rows=tuple(index.tolist()))

    def with_batch(self, batch, plan, classes, recipe, given=None):
        """Return the change that appends a batch of rows.

        Parameters
        ----------
        batch : tuple
            The new rows of each shard, and those held out.
        plan : Plan
        classes : ndarray
        recipe : Recipe
        given : dict of str to object, default=None
            Facts about the new rows for companions, by the names of these.
        """
        rows, held_out = batch
        firsts = {
            shard: before
            for shard, before in enumerate(self.plan.n_stages)
            if plan.n_stages[shard] > before
        }
        codes = np.arange(len(classes))
        if len(classes) > len(self.classes):
            codes = np.searchsorted(classes, self.classes)
            firsts = dict.fromkeys(range(plan.n_shards), 0)
        joined = {s: self.rows[s].recoded(codes).joined(rows[s]) for s in firsts}
        joined[HELD_OUT] = self.held_out.recoded(codes).joined(held_out)
        state = self._with_parts(
            joined,
            plan=plan,
            classes=classes,
            recipe=recipe,
        )
        companions = {
            name: companion.extended(self, state, given and given.get(name))
            for name, companion in self.companions.items()
        }
        return Change("partial_fit", replace(state, companions=companions), firsts)


@dataclass(frozen=True)
class Change:
    """A state to reach, with the stages to train for it.

    A shard that is trained from its first stage on starts from nothing.

    Parameters
    ----------
    kind : {"fit", "partial_fit", "forget", "amend", "relearn", "calibrate"}
    state : State
    firsts : dict of int to int
        Earliest stage to train of each shard that must be.
    forgotten_rows : tuple of int, default=()
        Rows that this change forgets.
    amended_rows : tuple of int, default=()
        Rows of which this change replaces the values.
    requested_at : str, default=now
        Time of the request.
    """

    kind: str
    state: State
    firsts: dict
    forgotten_rows: tuple = ()
    amended_rows: tuple = ()
    requested_at: str = field(default_factory=now)

    @property
    def erased_rows(self):
        """Rows whose values, as they were, this change erases."""
        return self.forgotten_rows + self.amended_rows

    def is_part_of(self, state):
        """Return whether the change was carried out on the way to a state."""
        gone, times = set(state.forgotten.tolist()), self.state.amended
        return gone.issuperset(self.forgotten_rows) and all(
            row in gone or state.amended.get(row, 0) >= times[row]
            for row in self.amended_rows
        )

    def full_sample_visits(self, before, known):
        """Return those of the state to reach, from the shards that change alone.

        The rows of others may still be on disk, and are not read for it.

        Parameters
        ----------
        before : State
            What is changed.
        known : int
            Its full sample visits.
        """
        after = self.state
        changes = (
            after.full_visits_of(shard) - before.full_visits_of(shard)
            for shard in self.firsts
        )
        return known + sum(changes)


def split_rows(X, codes, plan, subjects, params, offset):
    """Copy rows out of a batch whose first row has index `offset`.

    Returns
    -------
    rows : tuple of ShardRows
    held_out : ShardRows
    """
    shards = plan.shards[offset:]

    def of(number):
        return ShardRows.select(
            np.flatnonzero(shards == number),
            index=np.arange(offset, plan.n_rows),
            slices=plan.slices[offset:],
            X=X,
            y=codes,
            subjects=subjects,
            params=params,
        )

    return tuple(map(of, range(plan.n_shards))), of(HELD_OUT)
