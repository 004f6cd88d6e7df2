"""What an ensemble consists of, apart from its members."""

from dataclasses import dataclass, field, replace

import numpy as np

from .._utils.containers import take
from ._audit import now
from ._plan import Plan
from ._rows import RowsOfShards, ShardRows
from ._training import Recipe, replay_visits


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
    """

    recipe: Recipe
    plan: Plan
    classes: np.ndarray
    rows: RowsOfShards
    inputs: dict
    salt: str
    amended: dict = field(default_factory=dict)
    forgotten: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.intp))
    forgotten_subjects: frozenset = frozenset()

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

    def inputs_of(self, indices):
        """Yield X of some rows, shard by shard."""
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
        """Return the rows of the shards that retained rows of some indices are in."""
        retained = np.setdiff1d(indices, self.forgotten).astype(np.intp)
        shards = np.unique(self.plan.shard_of(retained))
        return [self.rows[shard] for shard in shards]

    def without(self, rows, keys):
        """Return the change that forgets rows, none of which is forgotten yet.

        Parameters
        ----------
        rows : ndarray of int
        keys : frozenset of int
            Keys of the data subjects that the rows belong to.
        """
        touched = np.unique(self.plan.shard_of(rows)).tolist()
        firsts = {shard: self.rows[shard].first_slice(rows) for shard in touched}
        kept = {shard: self.rows[shard].without(rows) for shard in firsts}
        forgotten = np.union1d(self.forgotten, rows).astype(np.intp)
        gone = set(rows.tolist())
        state = replace(
            self,
            rows=self.rows.replaced(kept),
            amended={r: n for r, n in self.amended.items() if r not in gone},
            forgotten=forgotten,
            forgotten_subjects=self.forgotten_subjects | keys,
        )
        return Change("forget", state, firsts, forgotten_rows=tuple(rows.tolist()))

    def with_other_values(self, index, X, y):
        """Return the change that replaces X and encoded labels of retained rows."""
        shards = np.asarray(self.plan.shard_of(index))
        firsts, rows = {}, {}
        for shard in np.unique(shards).tolist():
            where, before = np.flatnonzero(shards == shard), self.rows[shard]
            firsts[shard] = before.first_slice(index)
            rows[shard] = before.amended(index[where], take(X, where), y[where])
        times = {row: self.amended.get(row, 0) + 1 for row in index.tolist()}
        state = replace(
            self, rows=self.rows.replaced(rows), amended=self.amended | times
        )
        return Change("amend", state, firsts, amended_rows=tuple(index.tolist()))

    def with_batch(self, batch, plan, classes, recipe):
        """Return the change that appends a batch, given as ShardRows of each shard."""
        firsts = {
            shard: before
            for shard, before in enumerate(self.plan.n_stages)
            if plan.n_stages[shard] > before
        }
        codes = np.arange(len(classes))
        if len(classes) > len(self.classes):
            codes = np.searchsorted(classes, self.classes)
            firsts = dict.fromkeys(range(plan.n_shards), 0)
        joined = {s: self.rows[s].recoded(codes).joined(batch[s]) for s in firsts}
        rows = self.rows.replaced(joined)
        state = replace(self, rows=rows, plan=plan, classes=classes, recipe=recipe)
        return Change("partial_fit", state, firsts)


@dataclass(frozen=True)
class Change:
    """A state to reach, with the stages to train for it.

    A shard that is trained from its first stage on starts from nothing.

    Parameters
    ----------
    kind : {"fit", "partial_fit", "forget", "amend", "relearn"}
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
    """Copy each shard's rows out of a batch whose first row has index `offset`."""
    shards = plan.shards[offset:]
    return RowsOfShards(
        ShardRows.select(
            np.flatnonzero(shards == shard),
            index=np.arange(offset, plan.n_rows),
            slices=plan.slices[offset:],
            X=X,
            y=codes,
            subjects=subjects,
            params=params,
        )
        for shard in range(plan.n_shards)
    )
