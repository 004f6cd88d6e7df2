"""What an ensemble consists of, apart from its members."""

from dataclasses import dataclass, field, replace

import numpy as np

from .._utils.containers import take
from ._audit import now
from ._plan import HELD_OUT, Plan
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
    held_out : ShardRows
        Retained rows that no shard trains on, by the batch they came in.
    inputs : dict
        The estimator's attributes about X: `n_features_in_`, `feature_names_in_`.
    salt : str
        Without it, nobody can find out from hashes which rows and data subjects were
        forgotten.
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
    forgotten: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.intp))
    forgotten_subjects: frozenset = frozenset()
    companions: dict = field(default_factory=dict)

    @property
    def parts(self):
        """Retained rows of each shard, then those that are held out."""
        return *self.rows, self.held_out

    @property
    def n_rows(self):
        """Number of retained rows."""
        return self.plan.n_rows - len(self.forgotten)

    @property
    def full_sample_visits(self):
        """Sample visits of training everything on the retained rows."""
        return sum(
            replay_visits(self.recipe, rows, n_stages)
            for rows, n_stages in zip(self.rows, self.plan.n_stages)
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
            part.slices_of_weight(n, but=rows).any()
            for part, n in zip(self.rows, n_stages)
        ]
        return np.flatnonzero(left)

    def labels(self):
        """Return the label code of every row ever given, -1 of those forgotten."""
        codes = np.full(self.plan.n_rows, -1)
        for rows in self.parts:
            codes[rows.index] = rows.y
        return codes

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
        state = replace(
            self,
            rows=self.rows.replaced(kept),
            held_out=held_out,
            forgotten=forgotten,
            forgotten_subjects=self.forgotten_subjects | keys,
            companions={
                name: companion.without(rows) if len(rows) else companion
                for name, companion in self.companions.items()
            },
        )
        return Change("forget", state, firsts, forgotten_rows=tuple(rows.tolist()))

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
    kind : {"fit", "partial_fit", "forget", "relearn", "calibrate"}
    state : State
    firsts : dict of int to int
        Earliest stage to train of each shard that must be.
    forgotten_rows : tuple of int, default=()
        Rows that this change forgets.
    requested_at : str, default=now
        Time of the request.
    """

    kind: str
    state: State
    firsts: dict
    forgotten_rows: tuple = ()
    requested_at: str = field(default_factory=now)


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
