import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse
from scipy.stats import kstest

from sklearn_fairsisa._utils.columns import row_columns
from sklearn_fairsisa.fairness._coins import row_coins


@given(
    X=arrays(
        np.float64,
        st.tuples(st.integers(1, 8), st.integers(1, 5)),
        elements=st.one_of(
            st.sampled_from([0.0, -0.0, 0.1, np.nan, np.inf, 1e-60]),
            st.floats(-1e6, 1e6),
        ),
    ),
    seed=st.integers(0, 2**31 - 1),
)
@settings(max_examples=60, deadline=None)
def test_container_width_order_and_batch_do_not_matter(X, seed):
    coins = row_coins(X, seed)
    single = X.astype(np.float32)
    frame = pd.DataFrame(X).add_prefix("c")
    same = [
        single,
        np.asfortranarray(X),
        sparse.csr_array(X),
        sparse.csc_matrix(single),
        [X[:, j].astype(object) for j in range(X.shape[1])],
        row_columns(frame),
        row_columns(frame.astype(np.float32)),
        row_columns(pl.DataFrame(frame.to_dict("list"))),
        row_columns(X.tolist()),
    ]
    for columns in same:
        np.testing.assert_array_equal(row_coins(columns, seed), coins)
    for i in range(len(X)):
        assert row_coins(X[[i]], seed)[0] == coins[i]


def test_integers_booleans_and_floats_of_equal_value_share_a_coin():
    X = np.array([[0, 1], [1, 0], [1, 1]])
    for dtype in (bool, np.uint8, np.int64, np.float32, object):
        np.testing.assert_array_equal(row_coins(X.astype(dtype), 5), row_coins(X, 5))


def test_duplicate_entries_of_a_sparse_matrix_are_summed():
    twice = sparse.csr_array(([1.0, 2.0], [0, 0], [0, 2]), shape=(1, 1))
    np.testing.assert_array_equal(row_coins(twice, 0), row_coins(np.array([[3.0]]), 0))
    assert twice.nnz == 2


def test_texts_and_mixed_frames_are_hashed_by_value():
    texts = ["a fine post", "another", "", "ünïcode"]
    coins = row_coins(row_columns(texts), 1)
    assert len(set(coins)) == 4
    for same in (np.array(texts), np.array(texts, dtype=object), pd.Series(texts)):
        np.testing.assert_array_equal(row_coins(row_columns(same), 1), coins)
    frame = pd.DataFrame(
        {
            "text": texts,
            "age": [1, 2, 3, 4],
            "kind": pd.Categorical(["x", "y", "x", "y"]),
            "seen": pd.to_datetime(["2020-01-01"] * 4),
            "maybe": pd.array([1, None, 2, None], dtype="Int64"),
        }
    )
    mixed = row_coins(row_columns(frame), 1)
    assert len(set(mixed)) == 4
    backwards = row_coins(row_columns(frame.iloc[::-1]), 1)
    np.testing.assert_array_equal(backwards[::-1], mixed)
    wider = frame.astype({"age": np.float64, "kind": object})
    np.testing.assert_array_equal(row_coins(row_columns(wider), 1), mixed)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ([["ab", "c"]], [["a", "bc"]]),
        ([["1", 2]], [[1, "2"]]),
        ([["", 1.0]], [[0, 1.0]]),
        ([[1.0, 0.0]], [[0.0, 1.0]]),
        ([[0.0]], [[np.nan]]),
    ],
)
def test_different_rows_get_different_coins(left, right):
    coins = [row_coins(np.array(x, dtype=object), 0)[0] for x in (left, right)]
    assert coins[0] != coins[1]


def test_coins_are_uniform_and_seeds_independent():
    X = np.arange(20_000.0)[:, None]
    one, other = row_coins(X, 0), row_coins(X, 1)
    assert kstest(one, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.03
    assert ((one >= 0) & (one < 1)).all()
