"""Scores that members of a sharded ensemble gave to its own rows, and are kept.

Notes
-----
A matrix product rounds a row differently in a matrix of another shape. Members
therefore predict in blocks that are fixed by the plan: the rows of a part (a shard, or
those held out) that came in one batch. In the place of a forgotten row stands another
row of the block, so the shape stays, and with it every bit of the other rows' scores,
as members score each row on its own.
"""

import numpy as np
from sklearn.utils.validation import _num_samples

from .._utils.containers import take
from .._utils.isolation import one_thread
from ..sisa._plan import HELD_OUT
from ..sisa._votes import member_scores


def kept_scores(kept, digests, index, ensemble, across):
    """Scores of all members, of which only those that changed predict.

    Parameters
    ----------
    kept : ndarray of shape (n_rows, n_shards[, n_classes]), or None
        Scores known so far, NaN where they are not.
    digests : tuple of str
        Of the members that gave them.
    index : ndarray of int of shape (n_rows,)
        Sorted indices of the rows.
    ensemble : SISAClassifier
        Of one instant.
    across : bool
        Whether a member leaves out the rows of its own shard.

    Returns
    -------
    ndarray of shape (n_rows, n_shards[, n_classes])
        NaN for members that abstain, 1/n_classes in what is left out.
    """
    state, members = ensemble._state, ensemble.estimators_
    n_classes = len(state.classes)
    shape = (len(index), len(members)) + ((n_classes,) if n_classes > 2 else ())
    scores = np.full(shape, np.nan) if kept is None else kept.copy()
    now = ensemble._store.digests
    if kept is not None:
        changed = [a != b for a, b in zip(digests, now, strict=True)]
        scores[:, changed] = np.nan
    positions = Positions(index)
    parts = range(state.plan.n_shards) if across else [HELD_OUT]
    with one_thread():
        for part in parts:
            able = [s for s, m in enumerate(members) if m is not None and s != part]
            _score_part(scores, positions, state, part, {s: members[s] for s in able})
    if across:
        scores[np.arange(len(index)), state.plan.shard_of(index)] = 1 / n_classes
    return scores


def _score_part(scores, positions, state, part, members):
    """Fill in the scores that are missing of the rows of one part."""
    rows = None
    for block in _blocks(state.plan, part):
        places = positions.of(block)
        inside = places >= 0
        places = places[inside]
        unknown = np.isnan(scores[places]).any(axis=tuple({0, scores.ndim - 1} - {1}))
        lacking = [shard for shard in members if unknown[shard]]
        if not lacking:
            continue
        if rows is None:
            rows = state.part(part).block
            of_part = Positions(rows.index)
        X = _at(rows.X, _filled(of_part.of(block)))
        for shard in lacking:
            found = member_scores(members[shard], X, len(state.classes))[inside]
            scores[places, shard] = found[:, 1] if scores.ndim == 2 else found


class Positions:
    """Positions of rows in an array of indices, which is sorted once for all blocks.

    Parameters
    ----------
    index : ndarray of int of shape (n_rows,)
        Indices of different rows, in any order.
    """

    def __init__(self, index):
        index = np.asarray(index, dtype=np.intp)
        is_sorted = (index[1:] > index[:-1]).all()
        # An order of rows that are sorted would take as much memory as they do.
        self._order = None if is_sorted else np.argsort(index)
        self._sorted = index if is_sorted else index[self._order]

    def of(self, wanted):
        """Return the position of each wanted index, -1 where it is absent."""
        if not len(self._sorted):
            return np.full(len(wanted), -1)
        place = np.searchsorted(self._sorted, wanted)
        place = np.minimum(place, len(self._sorted) - 1)
        is_found = self._sorted[place] == wanted
        found = place if self._order is None else self._order[place]
        return np.where(is_found, found, -1)


def _blocks(plan, part):
    """Yield the indices given to a part in each batch, forgotten ones included."""
    given = plan.rows(part)
    slices = plan.slice_of(given)
    # All slices of the first batch are one block, as is each that came later.
    later = slices if part == HELD_OUT else slices - (plan.n_slices - 1)
    batch = np.maximum(later, 0)
    order = np.lexsort((given, slices))
    cuts = np.flatnonzero(np.diff(batch[order])) + 1
    return [block for block in np.split(given[order], cuts) if len(block)]


def _at(X, positions):
    """Rows at some positions, not copied if they are all as they are."""
    as_they_are = np.array_equal(positions, np.arange(_num_samples(X)))
    return X if as_they_are else take(X, positions)


def _filled(positions):
    """Positions in which -1, for a row that is gone, is that of some row left."""
    return np.where(positions < 0, positions.max(), positions)
