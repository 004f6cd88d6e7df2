import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sklearn_fairsisa.fairness._cells import (
    common_ranks,
    count_cells,
    count_scores,
    count_votes,
    find_patterns,
    majority,
    unpack_patterns,
    vote_patterns,
)


@given(
    votes=st.integers(1, 260).flatmap(
        lambda s: arrays(bool, st.tuples(st.integers(1, 30), st.just(s)))
    )
)
@settings(max_examples=60, deadline=None)
def test_patterns_are_the_distinct_rows_at_any_number_of_members(votes):
    patterns, code = vote_patterns(votes)
    unpacked = unpack_patterns(patterns, votes.shape[1])
    np.testing.assert_array_equal(unpacked[code], votes)
    for first in (votes.shape[1], votes.shape[1] // 2):
        n_votes = count_votes(patterns, first)
        np.testing.assert_array_equal(n_votes[code], votes[:, :first].sum(axis=1))
    assert len(patterns) == len(np.unique(votes, axis=0))
    np.testing.assert_array_equal(find_patterns(patterns, votes), code)


def test_a_new_pattern_is_not_found():
    votes = np.zeros((2, 200), dtype=bool)
    votes[1, 199] = True
    patterns, _ = vote_patterns(votes)
    new = np.zeros((2, 200), dtype=bool)
    new[0, 0] = True
    np.testing.assert_array_equal(find_patterns(patterns, new), [-1, 0])


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 5), st.booleans()),
        min_size=1,
        max_size=40,
    )
)
@settings(max_examples=60, deadline=None)
def test_counts_are_those_of_a_loop(rows):
    counts = count_cells(*zip(*rows))
    for i, (group, cell) in enumerate(zip(counts.group, counts.cell)):
        inside = [y for g, c, y in rows if (g, c) == (group, cell)]
        assert counts.positives[i] == sum(inside)
        assert counts.negatives[i] == len(inside) - sum(inside)
    assert counts.positives.sum() + counts.negatives.sum() == len(rows)
    assert counts.positives.dtype == np.int64


@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 3),
            st.sampled_from([-1.5, -0.0, 0.0, 0.25, 3.0]),
            st.booleans(),
            st.sampled_from([0, 1, 2]),
        ),
        min_size=1,
        max_size=40,
    ),
    weighted=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_counts_of_scores_are_those_of_cells_that_rank_them(rows, weighted):
    group, scores, label, weight = map(np.array, zip(*rows))
    weight = weight / 2 if weighted else None
    if weighted and not weight.any():
        return
    counts, shown = count_scores(scores, group, label, weight)
    values, cell = np.unique(scores, return_inverse=True)
    expected = count_cells(group, cell, label, weight)
    for column in ("group", "negatives", "positives", "n_groups"):
        have, want = getattr(counts, column), getattr(expected, column)
        np.testing.assert_array_equal(have, want)
    np.testing.assert_array_equal(shown, values[expected.cell])
    for code in np.unique(counts.group):
        cells = counts.cell[counts.group == code]
        np.testing.assert_array_equal(cells, np.arange(len(cells)))
    ranks = np.unique(shown, return_inverse=True)[1]
    np.testing.assert_array_equal(common_ranks(shown), ranks)


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 5), st.booleans()),
        min_size=2,
        max_size=40,
    ),
    cut=st.integers(1, 39),
)
@settings(max_examples=60, deadline=None)
def test_adding_counts_equals_counting_all_rows_at_once(rows, cut):
    cut = min(cut, len(rows) - 1)
    whole = count_cells(*zip(*rows), n_groups=4)
    part = count_cells(*zip(*rows[:cut]), n_groups=4)
    rest = count_cells(*zip(*rows[cut:]), n_groups=4)
    for column in ("group", "cell", "negatives", "positives"):
        have, want = getattr(part + rest, column), getattr(whole, column)
        np.testing.assert_array_equal(have, want)


def test_weights_count_rows_fractionally_and_zero_counts_none():
    counts = count_cells([0, 0, 1], [0, 0, 0], [True, True, False], [0.5, 0.25, 0.0])
    np.testing.assert_array_equal(counts.group, [0])
    np.testing.assert_array_equal(counts.positives, [0.75])
    assert counts.n_groups == 2


def test_integer_weights_equal_repeated_rows():
    group, cell, label = [0, 0, 1], [2, 0, 1], [True, False, True]
    weighted = count_cells(group, cell, label, np.array([3, 1, 2]))
    repeated = count_cells(*(np.repeat(x, [3, 1, 2]) for x in (group, cell, label)))
    np.testing.assert_array_equal(weighted.positives, repeated.positives)
    np.testing.assert_array_equal(weighted.negatives, repeated.negatives)


def test_a_tied_vote_is_negative_and_uncounted_votes_are_ignored():
    votes = np.array([[1, 1, 0, 0], [1, 1, 1, 0]], dtype=bool)
    np.testing.assert_array_equal(majority(votes), [False, True])
    counted = np.array([[1, 1, 1, 0], [1, 0, 0, 1]], dtype=bool)
    np.testing.assert_array_equal(majority(votes, counted), [True, False])
