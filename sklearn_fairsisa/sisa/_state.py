"""What an ensemble consists of, apart from its members."""

from dataclasses import dataclass, field, replace

import numpy as np

from .._utils.containers import take
from ._audit import now
from ._plan import HELD_OUT, Plan
from ._rows import RowsOfShards, ShardRows
from ._training import Recipe, have_weight, replay_visits


@dataclass(frozen=True)
class State:
    """Everything that determines an ensemble.

    Parameters
    ----------
    recipe : Recipe
    plan : Plan
    classes : ndarray of shape (n_classes,)
    rows : RowsOfShards
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
    rows: RowsOfShards
    held_out: ShardRows
    inputs: dict
    salt: str
    amended: dict = field(default_factory=dict)
    forgotten: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.intp))
    forgotten_subjects: frozenset = frozenset()
    companions: dict = field(default_factory=dict)

    @property
    def parts(self):
        """Retained rows of each shard, read one by one, then those held out."""
        yield from self.rows
        yield self.held_out

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
            and np.array_equal(self.rows[shard].index, other.rows[shard].index)
            and self._amended_in(shard) == other._amended_in(shard)
        )

    def _amended_in(self, shard):
        here = self.plan.shards == shard
        return {row: times for row, times in self.amended.items() if here[row]}

    def erased_since(self, before):
        """Return whether rows of an earlier state, or values of them, are erased."""
        return len(self.forgotten) > len(before.forgotten) or (
            self.amended != before.amended
        )

    def inputs_of(self, indices):
        """Yield X of some rows, part by part."""
        for rows in self._with_any_of(indices):
            yield take(rows.X, np.flatnonzero(np.isin(rows.index, indices)))

    def subjects_of(self, indices):
        """Return the ids of the data subjects of some rows, if fit was given ids."""
        return {
            rows.subjects[position]
            for rows in self._with_any_of(indices)
            if rows.subjects is not None
            for position in np.flatnonzero(np.isin(rows.index, indices))
        }

    def _with_any_of(self, indices):
        """Return the rows of the parts that retained rows of some indices are in."""
        retained = np.setdiff1d(indices, self.forgotten).astype(np.intp)
        parts = np.unique(self.plan.shard_of(retained)).tolist()
        return [self.part(number) for number in parts]

    def part(self, number):
        """Return the retained rows of a shard, or for -1 those that are held out."""
        return self.held_out if number == HELD_OUT else self.rows[number]

    def shards_without(self, rows):
        """Return the shards that have something to learn from without some rows."""
        n_stages = self.plan.n_stages
        left = [
            have_weight(self.recipe, part, n, but=rows).any()
            for part, n in zip(self.rows, n_stages)
        ]
        return np.flatnonzero(left)

    def labels(self, index):
        """Return the label codes of some rows, -1 of those forgotten.

        No part is read that has none of them.
        """
        codes = np.full(self.plan.n_rows, -1)
        for number in np.unique(self.plan.shard_of(index)).tolist():
            rows = self.part(number)
            codes[rows.index] = rows.y
        return codes[index]

    def without(self, rows, keys):
        """Return the change that forgets rows, none of which is forgotten yet.

        Parameters
        ----------
        rows : ndarray of int
        keys : frozenset of int
            Keys of the data subjects that the rows belong to.
        """
        touched = np.unique(self.plan.shard_of(rows)).tolist()
        kept = {number: self.part(number).without(rows) for number in touched}
        held_out = kept.pop(HELD_OUT, self.held_out)
        firsts = {shard: self.rows[shard].first_slice(rows) for shard in kept}
        forgotten = np.union1d(self.forgotten, rows).astype(np.intp)
        gone = set(rows.tolist())
        state = replace(
            self,
            rows=self.rows.replaced(kept),
            held_out=held_out,
            amended={r: n for r, n in self.amended.items() if r not in gone},
            forgotten=forgotten,
            forgotten_subjects=self.forgotten_subjects | keys,
            companions={
                name: companion.without(rows) if len(rows) else companion
                for name, companion in self.companions.items()
            },
        )
        return Change("forget", state, firsts, forgotten_rows=tuple(rows.tolist()))

    def with_other_values(self, index, X, y, told):
        """Return the change that replaces X and encoded labels of retained rows.

        Parameters
        ----------
        index : ndarray of int
        X : container of as many rows
        y : ndarray of as many codes
        told : dict of str to object
            What the caller tells companions about the rows, by their names.
        """
        numbers = np.asarray(self.plan.shard_of(index))
        parts = {}
        for number in np.unique(numbers).tolist():
            where = np.flatnonzero(numbers == number)
            part = self.part(number)
            parts[number] = part.amended(index[where], take(X, where), y[where])
        held_out = parts.pop(HELD_OUT, self.held_out)
        firsts = {shard: self.rows[shard].first_slice(index) for shard in parts}
        times = {row: self.amended.get(row, 0) + 1 for row in index.tolist()}
        state = replace(
            self,
            rows=self.rows.replaced(parts),
            held_out=held_out,
            amended=self.amended | times,
            companions={},
        )
        companions = {
            name: companion.amended(state, index, told.get(name))
            for name, companion in self.companions.items()
        }
        state = replace(state, companions=companions)
        return Change("amend", state, firsts, amended_rows=tuple(index.tolist()))

    def with_batch(self, batch, plan, classes, recipe, told=None):
        """Return the change that appends a batch of rows.

        Parameters
        ----------
        batch : tuple
            The new rows of each shard, and those held out.
        plan : Plan
        classes : ndarray
        recipe : Recipe
        told : dict of str to object, default=None
            What the caller tells companions about the new rows, by their names.
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
        state = replace(
            self,
            rows=self.rows.replaced(joined),
            held_out=ShardRows.joined_slices((self.held_out.recoded(codes), held_out)),
            plan=plan,
            classes=classes,
            recipe=recipe,
        )
        companions = {
            name: companion.extended(self, state, told and told.get(name))
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
    rows : RowsOfShards
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

    return RowsOfShards(map(of, range(plan.n_shards))), of(HELD_OUT)
