import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_fairsisa.sisa._plan import (
    _permutation,
    expected_replay_cost,
    make_plan,
    passes_per_stage,
    subject_key,
    training_seed,
)

sizes = {"n_shards": st.integers(1, 7), "n_slices": st.integers(1, 6)}


@given(n_rows=st.integers(1, 200), seed=st.integers(0, 2**40), **sizes)
def test_every_row_has_one_place_and_places_are_even(n_rows, seed, n_shards, n_slices):
    plan = make_plan(n_rows, n_shards=n_shards, n_slices=n_slices, seed=seed)
    places = [
        plan.rows(shard, slice)
        for shard in range(n_shards)
        for slice in range(n_slices)
    ]
    assert sorted(np.concatenate(places)) == list(range(n_rows))
    shards = np.bincount(plan.shards, minlength=n_shards)
    assert shards.max() - shards.min() <= 1
    lengths = [len(place) for place in places]
    assert max(lengths) - min(lengths) <= 1


def test_scalars_and_arrays_can_be_looked_up():
    plan = make_plan(20, n_shards=3, n_slices=2, seed=0)
    assert isinstance(plan.shard_of(5), int)
    for row in range(20):
        assert row in plan.rows(plan.shard_of(row), plan.slice_of(row))
    np.testing.assert_array_equal(plan.shard_of(np.arange(20)), plan.shards)


@given(
    groups=st.lists(st.integers(0, 9), min_size=1, max_size=60),
    others=st.lists(st.text(), min_size=1, max_size=20),
    **sizes,
)
def test_a_subjects_place_depends_on_the_subject_alone(
    groups, others, n_shards, n_slices
):
    plan_args = {"n_shards": n_shards, "n_slices": n_slices, "seed": 3}
    plan = make_plan(len(groups), subjects=groups, **plan_args)
    mixed = make_plan(
        len(others) + len(groups), subjects=[*others, *groups], **plan_args
    )
    np.testing.assert_array_equal(plan.shards, mixed.shards[len(others) :])
    np.testing.assert_array_equal(plan.slices, mixed.slices[len(others) :])


def test_new_rows_of_a_subject_join_its_shard_in_a_new_slice():
    groups = list("abcdefgh")
    plan = make_plan(8, n_shards=3, n_slices=2, seed=0, subjects=groups)
    longer = plan.extended(8, groups)
    np.testing.assert_array_equal(longer.shards[8:], plan.shards)
    assert set(longer.slices[8:]) == {2}
    np.testing.assert_array_equal(longer.slices[:8], plan.slices)


@given(batches=st.lists(st.integers(1, 12), min_size=1, max_size=5))
def test_appended_rows_form_one_more_slice_of_the_shards_they_fall_into(batches):
    plan = make_plan(20, n_shards=4, n_slices=2, seed=1)
    for n_rows in batches:
        longer = plan.extended(n_rows)
        new = np.arange(plan.n_rows, longer.n_rows)
        assert len(new) == n_rows
        for shard in range(4):
            inside = new[longer.shard_of(new) == shard]
            assert (longer.slice_of(inside) == plan.n_stages[shard]).all()
            assert longer.n_stages[shard] == plan.n_stages[shard] + (len(inside) > 0)
        plan = longer


def test_equal_ids_of_different_types_are_one_subject():
    assert subject_key(1, 0) == subject_key(1.0, 0) == subject_key(np.int32(1), 0)
    assert subject_key(1, 0) != subject_key("1", 0)
    assert subject_key(1, 0) != subject_key(1, 1)


def test_ids_may_be_larger_than_any_float():
    assert subject_key(10**400, 0) != subject_key(10**400 + 1, 0)
    assert make_plan(20, n_shards=2, n_slices=1, seed=0, subjects=[10**400] * 20)


@given(epochs=st.integers(1, 30), n_slices=st.integers(1, 12))
def test_slicing_costs_what_the_epochs_cost_and_misses_no_row(epochs, n_slices):
    passes = np.array(passes_per_stage(epochs, n_slices))
    slice_length = 1 / n_slices
    visits = (passes * np.arange(1, n_slices + 1)).sum() * slice_length
    # Rounding moves a slice by half a pass, the guaranteed pass by one.
    assert abs(visits - epochs) <= 1
    assert passes.min() >= 0
    assert passes[-1] >= 1
    if 2 * epochs % (n_slices + 1) == 0:
        assert set(passes) == {2 * epochs // (n_slices + 1)}
        assert visits == pytest.approx(epochs)


def test_later_stages_pass_as_often_as_an_average_stage():
    assert passes_per_stage(5, 4, n_stages=6) == (2, 2, 2, 2, 2, 2)
    assert passes_per_stage(1, 4, n_stages=6)[4:] == (1, 1)


@given(epochs=st.integers(1, 9), n_slices=st.integers(1, 6), n_stages=st.integers(0, 9))
def test_earlier_stages_pass_as_often_whatever_comes_later(epochs, n_slices, n_stages):
    passes = passes_per_stage(epochs, n_slices, n_stages)
    assert len(passes) == n_stages
    n_shared = min(n_stages, n_slices)
    assert passes[:n_shared] == passes_per_stage(epochs, n_slices)[:n_shared]


@pytest.mark.parametrize("replay", ["prefix", "slice"])
@pytest.mark.parametrize("k", [1, 7])
def test_expected_cost_is_the_mean_over_simulated_requests(replay, k):
    n_shards, n_slices, n_rows = 3, 4, 1200
    plan = make_plan(n_rows, n_shards=n_shards, n_slices=n_slices, seed=0)
    work = np.arange(1, n_slices + 1) if replay == "prefix" else np.ones(n_slices)
    rng = np.random.default_rng(0)
    costs = []
    for _ in range(4000):
        rows = rng.integers(n_rows, size=k)
        first = np.full(n_shards, n_slices)
        np.minimum.at(first, plan.shard_of(rows), plan.slice_of(rows))
        costs.append(sum(work[r:].sum() for r in first) / (n_shards * work.sum()))
    standard_error = np.std(costs) / np.sqrt(len(costs))
    expected = expected_replay_cost(n_shards, n_slices, k, replay)
    assert abs(np.mean(costs) - expected) < 4 * standard_error


def test_one_deletion_has_the_closed_form_speed_up():
    for n_shards, n_slices in [(1, 1), (5, 4), (20, 10)]:
        cost = expected_replay_cost(n_shards, n_slices, 1)
        assert 1 / cost == pytest.approx(3 * n_shards * n_slices / (2 * n_slices + 1))
        cost = expected_replay_cost(n_shards, n_slices, 1, "slice")
        assert 1 / cost == pytest.approx(2 * n_shards * n_slices / (n_slices + 1))


def test_no_two_steps_of_training_share_a_seed():
    seeds = {
        training_seed(0, shard, stage, step)
        for shard in range(10)
        for stage in range(10)
        for step in range(10)
    }
    assert len(seeds) == 1000
    assert max(seeds) < 2**31


@pytest.mark.parametrize("n", [0, 1, 1000])
def test_an_order_in_few_bytes_is_that_of_numpys_own(n):
    order = _permutation(np.random.default_rng(7), n)
    np.testing.assert_array_equal(order, np.random.default_rng(7).permutation(n))
    assert order.itemsize == 4
