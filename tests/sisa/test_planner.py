import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_fairsisa.sisa import recommend_plan
from sklearn_fairsisa.sisa._plan import expected_replay_cost


@settings(max_examples=30, deadline=None)
@given(
    n_rows=st.integers(10, 500),
    k=st.integers(1, 50),
    min_rows=st.integers(10, 60),
    storage=st.integers(1, 60),
)
def test_no_smaller_plan_costs_as_little(n_rows, k, min_rows, storage):
    # Brute force over all plans that fit.
    plan = recommend_plan(
        n_rows, k, min_rows_per_shard=min_rows, storage=storage, checkpoint_bytes=1,
        max_shards=8, max_slices=6,
    )  # fmt: skip
    costs = {
        (s, r): expected_replay_cost(s, r, k)
        for s, r in itertools.product(range(1, 9), range(1, 7))
        if s * r <= min(storage, n_rows) and (s == 1 or n_rows // s >= min_rows)
    }
    near = [pair for pair, cost in costs.items() if cost <= min(costs.values()) + 0.05]
    assert (plan.n_shards, plan.n_slices) == min(near)
    assert plan.expected_cost == costs[min(near)]
    assert plan.storage_bytes == plan.n_shards * plan.n_slices


def test_plans_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="needs checkpoint_bytes="):
        recommend_plan(1000, storage=10)
    with pytest.raises(ValueError, match="do not hold one checkpoint"):
        recommend_plan(1000, storage=10, checkpoint_bytes=11)
    with pytest.raises(ValueError, match="n_rows=0"):
        recommend_plan(0)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"max_shards": 2.5}, "max_shards=2.5 must be an integer of at least 1"),
        ({"worthwhile": -1}, "worthwhile=-1 must be a share of 0 or more"),
        ({"replay": "x"}, "replay='x' must be 'prefix' or 'slice'"),
    ],
)
def test_what_means_no_plan_is_refused(params, message):
    with pytest.raises(ValueError, match=message):
        recommend_plan(200_000, **params)
