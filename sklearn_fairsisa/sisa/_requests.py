"""What a deletion request asks for, what it did, whether it holds."""

from dataclasses import dataclass
from numbers import Integral

import numpy as np


@dataclass(frozen=True)
class ForgetReport:
    """What one call of ``forget`` did.

    Parameters
    ----------
    rows : tuple of int
        Indices forgotten by this request; those forgotten before are left out.

    shards : tuple of int
        Shards that held them.

    first_slices : tuple of int
        Earliest slice touched in each of `shards`.

    sample_visits : int
        Rows trained on by the replay, counted once per pass.

    full_sample_visits : int
        What training the whole ensemble on the retained rows would have taken.

    seconds : float
        Duration of the request.

    digest_before, digest_after : str
        SHA-256 of the members' states.
    """

    rows: tuple
    shards: tuple
    first_slices: tuple
    sample_visits: int
    full_sample_visits: int
    seconds: float
    digest_before: str
    digest_after: str


@dataclass(frozen=True)
class ForgetVerification:
    """The result of retraining shards from scratch; true where all digests agree.

    Parameters
    ----------
    shards : tuple of int
        Shards retrained.

    digests : tuple of str
        SHA-256 of the members as they stand.

    digests_retrained : tuple of str
        SHA-256 of the members retrained without the forgotten rows.

    sample_visits : int
        Rows trained on, counted once per pass.

    seconds : float
        Duration of the verification.
    """

    shards: tuple
    digests: tuple
    digests_retrained: tuple
    sample_visits: int
    seconds: float

    @property
    def differing_shards(self):
        """Shards whose member is not the one that retraining gives."""
        pairs = zip(self.shards, self.digests, self.digests_retrained)
        return tuple(shard for shard, is_, should in pairs if is_ != should)

    def __bool__(self):
        return not self.differing_shards


def check_indices(indices, n_rows):
    """Return the requested row indices, sorted and without repetition.

    Parameters
    ----------
    indices : int, sequence of int, or boolean mask of shape (n_rows,)

    n_rows : int
        Number of rows ever given.

    Returns
    -------
    ndarray of int

    Raises
    ------
    ValueError
        If an index is unknown, negative or no integer, or a mask has another length.
    """
    if isinstance(indices, set | frozenset | range):
        indices = list(indices)
    asked = np.atleast_1d(np.asarray(indices))
    if asked.ndim != 1:
        raise ValueError(
            f"indices must be one-dimensional, got an array of shape {asked.shape}."
        )
    if asked.dtype == bool:
        if len(asked) != n_rows:
            raise ValueError(
                f"A boolean mask of length {len(asked)} was given, but {n_rows} rows "
                "were ever given to fit and partial_fit. Pass a mask of that length, "
                "forgotten rows included, or integer indices."
            )
        return np.flatnonzero(asked)
    if asked.size == 0:
        return np.empty(0, dtype=np.intp)
    if asked.dtype.kind not in "iu":
        wrong = [i for i in asked.tolist() if not isinstance(i, Integral)]
        what = f"{wrong[0]!r} of type {type(wrong[0]).__name__}" if wrong else "bool"
        raise ValueError(
            f"indices must be integers, got {what}. Pass positions of rows in the "
            "order they were given to fit."
        )
    outside = asked[(asked < 0) | (asked >= n_rows)]
    if len(outside):
        raise ValueError(
            f"Row {outside[0]} is unknown: rows 0 to {n_rows - 1} were given to fit "
            "and partial_fit. Nothing was forgotten."
        )
    return np.unique(asked).astype(np.intp)
