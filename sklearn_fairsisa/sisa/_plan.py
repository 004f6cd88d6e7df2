"""The assignment of rows to shards and slices, and the cost of a replay."""

import hashlib
from dataclasses import dataclass, replace
from numbers import Integral, Real

import numpy as np

# Separate streams of one seed, so that no two uses share a generator. 3 is unused.
_ASSIGN, _TRAIN, _WATCH, _HOLD_OUT = 0, 1, 2, 4
# Rows that a plan computes with at a time.
_AT_A_TIME = 2**16
# Shard in a plan of rows that no shard trains on.
HELD_OUT = -1


def _generator(seed, *key):
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def _permutation(rng, n):
    """Return the bits of ``rng.permutation(n)``, in four bytes each if these do."""
    order = np.arange(n, dtype=np.int32 if n < 2**31 else np.int64)
    rng.shuffle(order)
    return order


def training_seed(seed, shard, stage, step=0):
    """Return the seed of one step of one stage of one shard, below 2**31."""
    sequence = np.random.SeedSequence(seed, spawn_key=(_TRAIN, shard, stage, step))
    return int(sequence.generate_state(1)[0] >> 1)


def watched_rows(seed, share, index, subjects=None):
    """Return which rows a learner watches instead of training on them.

    Parameters
    ----------
    seed : int
        Seed of the plan.
    share : float
        Expected share of the rows, or of the data subjects, that are watched.
    index : ndarray of shape (n,)
        Index of each row in the order rows were given. Without `subjects`, the role of
        a row follows from it and the seed alone.
    subjects : list of length n, default=None
        Data-subject ids. All rows of a subject have one role.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    if subjects is not None:
        keys = [subject_key(subject, f"watch {seed}") for subject in subjects]
        return np.array(keys, dtype=float) / 2.0**64 < share
    drawn = _generator(seed, _WATCH).random(int(np.max(index, initial=-1)) + 1)
    return drawn[index] < share


def subject_key(subject, seed):
    """Return a keyed 64-bit hash of a data-subject id.

    The key depends only on the id and the seed, so it can be kept after the subject
    was forgotten, without the id. ``1``, ``1.0`` and
    ``numpy.int64(1)`` are the same subject, ``"1"`` is another.
    """
    value = subject.item() if isinstance(subject, np.generic) else subject
    # An integer may be too large for a float.
    whole = isinstance(value, Integral)
    if whole or (isinstance(value, Real) and float(value).is_integer()):
        value = int(value)
    text = f"{type(value).__name__}:{value!r}".encode()
    digest = hashlib.blake2b(text, key=str(seed).encode()[:64], digest_size=8).digest()
    return int.from_bytes(digest, "little")


def drawn_to_hold_out(n_rows, share, seed, *, subjects=None, batch=0):
    """Return which rows of a batch are held out from training.

    The result follows from the seed and each row's own position or data subject, never
    from the values, labels or groups of any row.

    Parameters
    ----------
    n_rows : int
    share : float
        In [0, 1).
    seed : int
    subjects : sequence of length `n_rows`, default=None
        Data-subject ids: all rows of a subject are held out, in every batch, or none.
    batch : int, default=0
        Number of batches before this one.

    Returns
    -------
    ndarray of bool of shape (n_rows,)
        The share is exact up to rounding for positions, and on average for subjects.
    """
    if not share:
        return np.zeros(n_rows, dtype=bool)
    if subjects is not None:
        # With the key of the shards, some shards would lose all subjects.
        keys = [subject_key(subject, f"{seed} held out") for subject in subjects]
        return np.array(keys, dtype=np.uint64) < np.uint64(share * (2**64 - 1))
    rng = _generator(seed, _HOLD_OUT, batch)
    # Rounded at random, so that batches of one row keep the share too.
    size = int(share * n_rows + rng.random())
    return _permutation(rng, n_rows) < size


@dataclass(frozen=True)
class Plan:
    """The assignment of rows to roles, shards and slices.

    Rows without data-subject ids are distributed evenly in an order drawn from the
    seed. The place of a row with an id is a keyed hash of the id, so it never depends
    on another row. Shards then have equal sizes only on average. Rows that are appended
    later form one more slice of each of their shards. Shards and slices are counted
    from 0. Rows that are held out for calibration are in no shard: their shard is -1,
    and their slice is the number of batches before theirs. Forgetting never changes a
    plan.

    Parameters
    ----------
    seed : int
        Source of every random choice of the plan and of the training.

    n_shards : int
        Number of shards, S.

    n_slices : int
        Number of slices per shard of the first batch of rows, R.

    shards : ndarray of shape (n_rows,)
        Shard of each row.

    slices : ndarray of shape (n_rows,)
        Slice of each row.

    n_stages : tuple of int, of length `n_shards`
        Number of slices of each shard, later batches included.

    n_batches : int
        Number of batches of rows given.

    held_out : float, default=0.0
        Share of the rows that no shard trains on.

    References
    ----------
    Bourtoule et al. (2021), Machine Unlearning, section IV.
    """

    seed: int
    n_shards: int
    n_slices: int
    shards: np.ndarray
    slices: np.ndarray
    n_stages: tuple
    n_batches: int
    held_out: float = 0.0

    @property
    def n_rows(self):
        """Number of rows ever given, forgotten ones included."""
        return len(self.shards)

    def shard_of(self, index):
        """Return the shard of a row, or of an array of rows."""
        return _as_given(self.shards[index])

    def slice_of(self, index):
        """Return the slice of a row, or of an array of rows."""
        return _as_given(self.slices[index])

    def rows(self, shard, slice=None):
        """Return the sorted indices that a shard, or one of its slices, was given.

        Rows forgotten since are included, because a plan does not change.
        """
        inside = self.shards == shard
        if slice is not None:
            inside &= self.slices == slice
        return np.flatnonzero(inside)

    def places_of(self, subjects):
        """Return the places of data subjects: shard and slice in the first batch.

        Rows that a subject was given later are in the same shard, in other slices.

        Parameters
        ----------
        subjects : iterable of data-subject ids

        Returns
        -------
        list of tuple of int
        """
        ids = list(subjects)
        out = drawn_to_hold_out(len(ids), self.held_out, self.seed, subjects=ids)
        keys = _subject_keys(ids, self.seed) % np.uint64(self.n_shards * self.n_slices)
        shards = np.where(out, HELD_OUT, (keys % np.uint64(self.n_shards)).astype(int))
        return list(zip(shards.tolist(), (keys // np.uint64(self.n_shards)).tolist()))

    def extended(self, n_rows, subjects=None):
        """Return the plan with a batch of rows appended, one more slice per shard."""
        held_out = drawn_to_hold_out(
            n_rows, self.held_out, self.seed, subjects=subjects, batch=self.n_batches
        )
        shards = np.full(n_rows, HELD_OUT)
        if subjects is None:
            rng = _generator(self.seed, _ASSIGN, self.n_batches)
            order = rng.permutation(self.n_shards)
            places = _permutation(rng, int(n_rows - held_out.sum()))
            shards[~held_out] = order[places % self.n_shards]
        else:
            keys = _subject_keys(subjects, self.seed)
            shards[~held_out] = (keys % np.uint64(self.n_shards))[~held_out]
        n_stages = np.array(self.n_stages)
        slices = np.where(held_out, self.n_batches, n_stages[shards])
        n_stages[np.unique(shards[~held_out])] += 1
        return replace(
            self,
            shards=_joined(self.shards, shards, self.n_shards),
            slices=_joined(self.slices, slices, max(self.n_batches, *n_stages)),
            n_stages=tuple(n_stages.tolist()),
            n_batches=self.n_batches + 1,
        )


def _as_given(places):
    return int(places) if np.ndim(places) == 0 else places.astype(np.intp)


def _type_for(n_places):
    """Return the type of a few bytes that numbers of shards or slices are kept in."""
    return np.int16 if n_places < 2**15 else np.int32


def _joined(places, others, n_places):
    return np.concatenate([places, others]).astype(_type_for(n_places))


def _subject_keys(subjects, seed):
    return np.array([subject_key(s, seed) for s in subjects], dtype=np.uint64)


def make_plan(n_rows, *, n_shards, n_slices, seed, subjects=None, held_out=0.0):
    """Assign a first batch of rows to shards and slices.

    Parameters
    ----------
    n_rows : int
        Number of rows.

    n_shards, n_slices : int
        Number of shards and of slices per shard.

    seed : int
        Non-negative seed.

    subjects : sequence of length `n_rows`, default=None
        Data-subject ids. All rows of a subject share a shard and a slice.

    held_out : float, default=0.0
        Share of the rows, or of the subjects, that no shard trains on.

    Returns
    -------
    Plan
    """
    out = drawn_to_hold_out(n_rows, held_out, seed, subjects=subjects)
    if subjects is None:
        places = _permutation(_generator(seed, _ASSIGN, 0), int(n_rows - out.sum()))
    else:
        places = _subject_keys(subjects, seed)[~out] % np.uint64(n_shards * n_slices)
    shards = np.full(n_rows, HELD_OUT, dtype=_type_for(n_shards))
    slices = np.zeros(n_rows, dtype=_type_for(n_slices))
    # Little by little, since the rows of a plan can be many.
    trains, start = ~out, 0
    for first in range(0, n_rows, _AT_A_TIME):
        here = slice(first, first + _AT_A_TIME)
        stop = start + int(trains[here].sum())
        own = places[start:stop].astype(np.int64)
        shards[here][trains[here]] = own % n_shards
        slices[here][trains[here]] = own // n_shards % n_slices
        start = stop
    return Plan(
        seed=seed,
        n_shards=n_shards,
        n_slices=n_slices,
        shards=shards,
        slices=slices,
        n_stages=(n_slices,) * n_shards,
        n_batches=1,
        held_out=held_out,
    )


def passes_per_stage(epochs, n_slices, n_stages=None):
    r"""Return how often each stage passes over the rows it trains on.

    Parameters
    ----------
    epochs : int
        Number e' of passes over the whole shard that cost as much as the schedule.

    n_slices : int
        Number of slices R the schedule is made for.

    n_stages : int, default=None
        Length of the result, `n_slices` by default. Stages past these belong to rows
        appended later and pass as often as an average stage, at least once.

    Returns
    -------
    tuple of int

    Notes
    -----
    Stage r trains on slices 1..r, so :math:`e_r = 2e'/(R+1)` passes in each stage cost
    as much in all as e' passes over the shard. Fractions are rounded cumulatively from
    the last stage backwards, where at least one pass is made: rounded forwards, the
    last stage may get none, and its rows would never be seen.

    Examples
    --------
    >>> passes_per_stage(5, 4)
    (2, 2, 2, 2)
    >>> passes_per_stage(1, 2)
    (0, 1)
    """
    rate = 2 * epochs / (n_slices + 1)
    seen = [
        max(1, int(rate * (n_slices - stage) + 0.5)) for stage in range(n_slices)
    ] + [0]
    passes = [seen[stage] - seen[stage + 1] for stage in range(n_slices)]
    if n_stages is not None:
        passes += [max(1, int(rate + 0.5))] * (n_stages - n_slices)
    return tuple(passes[:n_stages])


def expected_replay_cost(n_shards, n_slices, n_deletions, replay="prefix"):
    r"""Return the expected share of a full training that one request replays.

    Parameters
    ----------
    n_shards, n_slices : int
        Number of shards S and of slices per shard R.

    n_deletions : int or array of int
        Number k of rows deleted in one request, drawn uniformly. With data-subject ids,
        the number of subjects, since the rows of a subject share a slice.

    replay : {"prefix", "slice"}, default="prefix"
        Whether stage i trains on slices 1..i or, as learners that accumulate
        statistics do, on slice i alone.

    Returns
    -------
    float or ndarray
        Sample visits of the replay over those of a full training, in [0, 1].

    Raises
    ------
    ValueError
        If there is no shard or slice, or `replay` is neither of the two.

    Notes
    -----
    Stage i of a shard is replayed when a deleted row lies in one of its first i
    slices, which has probability :math:`1 - (1 - i/(RS))^k`:

    .. math::
        F = \sum_{i=1}^{R} w_i \left[1 - \left(1 - \tfrac{i}{RS}\right)^k\right],

    with the stage's share of the work :math:`w_i = 2i/(R(R+1))` under ``"prefix"``
    and :math:`1/R` under ``"slice"``.

    References
    ----------
    Bourtoule et al. (2021), Machine Unlearning, section V.

    Examples
    --------
    One deletion in an unsliced ensemble retrains one shard:

    >>> expected_replay_cost(5, 1, 1)
    0.2
    """
    if not min(n_shards, n_slices) >= 1:
        raise ValueError(
            f"n_shards={n_shards!r} and n_slices={n_slices!r} must be at least 1."
        )
    if replay not in ("prefix", "slice"):
        raise ValueError(f"replay={replay!r} must be 'prefix' or 'slice'.")
    stage = np.arange(1, n_slices + 1)
    if replay == "prefix":
        work = 2 * stage / (n_slices * (n_slices + 1))
    else:
        work = np.full(n_slices, 1 / n_slices)
    k = np.asarray(n_deletions)[..., None]
    untouched = (1 - stage / (n_slices * n_shards)) ** k
    cost = (work * (1 - untouched)).sum(axis=-1)
    return float(round(cost, 15)) if cost.ndim == 0 else cost
