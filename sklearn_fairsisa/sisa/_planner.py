"""Recommended numbers of shards and slices."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ._plan import expected_replay_cost


@dataclass(frozen=True)
class RecommendedPlan:
    """Numbers of shards and slices with their expected cost.

    Parameters
    ----------
    n_shards, n_slices : int
        For ``SISAClassifier``.
    expected_cost : float
        Share of a full training that a request of the given size replays.
    speed_up : float
        ``1 / expected_cost``.
    storage_bytes : int or None
        Size of all checkpoints and rows; None if no sizes were given.
    rows_per_shard : int
        Rows that a member learns from.
    """

    n_shards: int
    n_slices: int
    expected_cost: float
    speed_up: float
    storage_bytes: int | None
    rows_per_shard: int


def recommend_plan(
    n_rows: int,
    deletions_per_request: int = 1,
    *,
    min_rows_per_shard: int = 1000,
    storage: int | None = None,
    checkpoint_bytes: int | None = None,
    row_bytes: int = 0,
    max_shards: int = 50,
    max_slices: int = 20,
    worthwhile: float = 0.05,
    replay: Literal["prefix", "slice"] = "prefix",
) -> RecommendedPlan:
    r"""Recommend numbers of shards and slices by the cost formula.

    The result is the plan with the fewest shards, and among those the fewest slices,
    whose expected cost exceeds the lowest possible one by at most `worthwhile` of a
    full training. A shard costs accuracy and a slice costs storage, so neither is
    added for a small gain.

    Parameters
    ----------
    n_rows : int
        Number of rows.
    deletions_per_request : int, default=1
        Number k of rows forgotten together; with data-subject ids, of subjects.
    min_rows_per_shard : int, default=1000
        Fewest rows that a member may learn from. It bounds the accuracy lost by
        sharding. Learning curves of the learner show a suitable value.
    storage : int, default=None
        Bytes that checkpoints and rows may take. None sets no limit.
    checkpoint_bytes : int, default=None
        Bytes of one checkpoint. ``len(pickle.dumps(member))`` is an estimate. Required
        with `storage`.
    row_bytes : int, default=0
        Bytes of one row.
    max_shards, max_slices : int, default=50 and 20
        Largest numbers to consider.
    worthwhile : float, default=0.05
        Share of a full training that more shards or slices must save per request.
    replay : {"prefix", "slice"}, default="prefix"
        Whether stage i trains on slices 1..i or, as learners that accumulate
        statistics do (naive Bayes), on slice i alone.

    Returns
    -------
    RecommendedPlan

    Raises
    ------
    ValueError
        If no plan fits, or a parameter is out of its range.

    Notes
    -----
    Storage is :math:`RS` checkpoints and the rows once. The expected cost is
    :math:`\sum_{i=1}^R \frac{2i}{R(R+1)} [1 - (1 - \frac{i}{RS})^k]` [1]_.

    References
    ----------
    .. [1] Bourtoule, L. et al. (2021). Machine Unlearning. IEEE S&P. Section V.

    Examples
    --------
    >>> plan = recommend_plan(20_000, deletions_per_request=1)
    >>> plan.n_shards, plan.n_slices, round(plan.speed_up, 1)
    (9, 4, 12.0)
    >>> plan = recommend_plan(20_000, storage=10**9, checkpoint_bytes=10**8)
    >>> plan.n_shards, plan.n_slices, plan.storage_bytes
    (7, 1, 700000000)
    """
    counts: dict[str, Any] = {
        "n_rows": n_rows,
        "deletions_per_request": deletions_per_request,
        "min_rows_per_shard": min_rows_per_shard,
        "max_shards": max_shards,
        "max_slices": max_slices,
    }
    for name, value in counts.items():
        if not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name}={value!r} must be an integer of at least 1.")
    if not worthwhile >= 0:
        raise ValueError(f"worthwhile={worthwhile!r} must be a share of 0 or more.")
    if storage is not None and checkpoint_bytes is None:
        raise ValueError(
            "storage= needs checkpoint_bytes=, the size of one checkpoint. "
            "len(pickle.dumps(member)) is an estimate."
        )
    shards, slices = np.meshgrid(
        np.arange(1, min(max_shards, max(1, n_rows // min_rows_per_shard)) + 1),
        np.arange(1, max_slices + 1),
        indexing="ij",
    )
    pairs = np.stack([shards.ravel(), slices.ravel()], axis=1)
    pairs = pairs[pairs.prod(axis=1) <= n_rows]
    if storage is not None and checkpoint_bytes is not None:
        sizes = pairs.prod(axis=1) * checkpoint_bytes + n_rows * row_bytes
        pairs = pairs[sizes <= storage]
        if len(pairs) == 0:
            smallest = checkpoint_bytes + n_rows * row_bytes
            raise ValueError(
                f"storage={storage} bytes do not hold one checkpoint and the rows, "
                f"which take {smallest} bytes. Allow as much, or keep the rows "
                "elsewhere."
            )
    costs = np.array(
        [expected_replay_cost(s, r, deletions_per_request, replay) for s, r in pairs]
    )
    # Pairs are sorted by shards, then slices.
    best = int(np.argmax(costs <= costs.min() + worthwhile))
    n_shards, n_slices = pairs[best].tolist()
    size = None
    if checkpoint_bytes is not None:
        size = int(n_shards * n_slices * checkpoint_bytes + n_rows * row_bytes)
    return RecommendedPlan(
        n_shards=n_shards,
        n_slices=n_slices,
        expected_cost=float(costs[best]),
        speed_up=float(1 / costs[best]),
        storage_bytes=size,
        rows_per_shard=n_rows // n_shards,
    )
