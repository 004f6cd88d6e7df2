import numpy as np
import pytest
from effort import EFFORT
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.datasets import make_classification
from sklearn.linear_model import RidgeClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_limits

from sklearn_fairsisa.linear_model import IntegerRidgeClassifier

SUMS = ("class_count_", "feature_sum_", "gram_")
SOLVED = ("coef_", "intercept_")


def rows(n=120, n_classes=2, seed=0, scale=0.4):
    X, y = make_classification(
        n, 6, n_informative=4, n_classes=n_classes, random_state=seed
    )
    return scale * X, y


def rounded(X, feature_range=(-1, 1), n_bits=15):
    low, high = feature_range
    steps = np.rint((np.clip(X, low, high) - low) / (high - low) * 2 ** (n_bits + 1))
    return low + steps / 2 ** (n_bits + 1) * (high - low)


def assert_same_bits(one, other, names=SUMS + SOLVED):
    for name in names:
        own, there = getattr(one, name), getattr(other, name)
        assert own.dtype == there.dtype, name
        assert own.tobytes() == there.tobytes(), name


@parametrize_with_checks(
    [
        IntegerRidgeClassifier(),
        IntegerRidgeClassifier(
            class_weight="balanced", feature_range=(-3, 4), n_bits=12
        ),
    ]
)
def test_it_passes_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 2.5, 1: 0.5, 2: 1.0}])
@pytest.mark.parametrize("feature_range", [(-1, 1), (-0.5, 2)])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_it_is_the_ridge_classifier_on_rounded_features(
    n_classes, class_weight, feature_range, container
):
    X, y = rows(n_classes=n_classes)
    X[np.abs(X) < 0.1] = 0
    if isinstance(class_weight, dict):
        class_weight = {k: class_weight[k] for k in range(n_classes)}
    own = IntegerRidgeClassifier(
        0.7, class_weight=class_weight, feature_range=feature_range, n_bits=6
    ).fit(container(X), y)
    X_rounded = rounded(X, feature_range, 6)
    peer = RidgeClassifier(0.7, class_weight=class_weight).fit(X_rounded, y)
    np.testing.assert_allclose(own.coef_, np.atleast_2d(peer.coef_), rtol=1e-8)
    np.testing.assert_allclose(own.intercept_, peer.intercept_, rtol=1e-8)
    new = 3 * X[::-1]
    np.testing.assert_allclose(
        own.decision_function(container(new)),
        peer.decision_function(rounded(new, feature_range, 6)),
        rtol=1e-8,
        atol=1e-10,
    )


def test_weights_count_rows_as_often():
    X, y = rows()
    weights = np.arange(len(y)) % 4
    weighted = IntegerRidgeClassifier(class_weight="balanced").fit(X, y, weights)
    repeated = IntegerRidgeClassifier(class_weight="balanced").fit(
        np.repeat(X, weights, axis=0), np.repeat(y, weights)
    )
    assert_same_bits(weighted, repeated)


def test_features_that_depend_on_each_other_need_no_penalty():
    X, y = rows()
    X = np.column_stack([X, X[:, 0], np.zeros(len(X))])
    own = IntegerRidgeClassifier(alpha=0).fit(X, y)
    A = np.column_stack([rounded(X), np.ones(len(X))])
    solution = np.linalg.lstsq(A, 2.0 * y - 1)[0]
    np.testing.assert_allclose(own.decision_function(X), A @ solution, atol=1e-7)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_sums_are_those_of_exact_integers(container):
    X, y = rows(40, n_classes=3)
    X *= 3  # some are clipped
    weights = np.arange(40) % 3
    own = IntegerRidgeClassifier().fit(container(X), y, weights)
    steps = np.rint(np.clip(X, -1, 1) * 2**15).astype(int).tolist()
    for k in range(3):
        chosen = [(z, int(w)) for z, w, label in zip(steps, weights, y) if label == k]
        assert own.class_count_[k] == sum(w for _, w in chosen)
        for i in range(6):
            assert own.feature_sum_[k, i] == sum(w * z[i] for z, w in chosen)
            for j in range(6):
                assert own.gram_[k, i, j] == sum(w * z[i] * z[j] for z, w in chosen)


def follow(steps, X, y, weights, n_classes, as_sparse, n_threads):
    """Add batches and subtract some of their rows; return the result and what is left.

    `steps` are pairs of the size of a batch and numbers that choose rows to subtract.
    """
    ridge, left, start = IntegerRidgeClassifier(), set(), 0
    container = sparse.csr_array if as_sparse else np.asarray
    with threadpool_limits(n_threads):
        for size, chosen in steps:
            batch = np.arange(start, min(start + size, len(y)))
            start += len(batch)
            if len(batch):
                ridge.partial_fit(
                    container(X[batch]),
                    y[batch],
                    classes=np.arange(n_classes),
                    sample_weight=weights[batch],
                )
                left.update(batch.tolist())
            retained = sorted(left)
            gone = sorted({retained[c % len(retained)] for c in chosen if retained})
            if gone:
                ridge.partial_unfit(container(X[gone]), y[gone], weights[gone])
                left.difference_update(gone)
    return ridge, np.array(sorted(left), dtype=int)


# A thousand histories with the effort of a release.
@pytest.mark.heavy
@given(
    steps=st.lists(
        st.tuples(st.integers(1, 30), st.lists(st.integers(0, 10**6), max_size=12)),
        min_size=1,
        max_size=6,
    ),
    n_classes=st.integers(2, 4),
    n_features=st.integers(1, 40),
    as_sparse=st.booleans(),
    n_threads=st.integers(1, 2),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=round(100 * EFFORT))
def test_no_history_leaves_a_bit_of_what_was_subtracted(
    steps, n_classes, n_features, as_sparse, n_threads, seed
):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(100, n_features))
    y, weights = rng.integers(n_classes, size=100), rng.integers(1, 5, size=100)
    ridge, left = follow(steps, X, y, weights, n_classes, as_sparse, n_threads)
    if not len(left):
        assert not any(getattr(ridge, name).any() for name in SUMS + SOLVED)
        return
    order = rng.permutation(left)
    never_saw = IntegerRidgeClassifier().partial_fit(
        X[order], y[order], np.arange(n_classes), weights[order]
    )
    assert_same_bits(ridge, never_saw)


def test_threads_and_types_of_numbers_change_no_bit():
    X, y = rows(3000)
    X = np.tile(X, 20).astype(np.float32)
    fits = []
    for n_threads, dtype in ((1, np.float32), (2, np.float64)):
        with threadpool_limits(n_threads):
            fits.append(IntegerRidgeClassifier().fit(X.astype(dtype), y))
    assert_same_bits(*fits)


def test_a_call_that_is_refused_changes_nothing():
    X, y = rows()
    ridge = IntegerRidgeClassifier().fit(X, y)
    before = IntegerRidgeClassifier().fit(X, y)
    with pytest.raises(ValueError, match="no integers"):
        ridge.partial_fit(X, y, sample_weight=np.full(len(y), 0.5))
    with pytest.raises(ValueError, match="Negative values"):
        ridge.partial_fit(X, y, sample_weight=-np.ones(len(y)))
    with pytest.raises(ValueError, match=r"y holds \[7\]"):
        ridge.partial_fit(X, np.full(len(y), 7))
    with pytest.raises(ValueError, match="sums are exact up to 8388608"):
        ridge.partial_fit(X[:1], y[:1], sample_weight=[8388608])
    with pytest.raises(ValueError, match="never added"):
        ridge.partial_unfit(np.ones((200, 6)), np.ones(200))
    with pytest.raises(ValueError, match="never added"):
        ridge.partial_unfit(np.ones((50, 6)), y[y == 1][:50])
    assert_same_bits(ridge, before)


@pytest.mark.parametrize("n_bits", [15, 26])
def test_as_many_rows_as_are_exact_are_taken_and_no_more(n_bits):
    limit = 2 ** (53 - 2 * n_bits)
    X, y = [[1.0], [-1.0]], [0, 1]
    ridge = IntegerRidgeClassifier(n_bits=n_bits).fit(X, y, [limit, 1])
    assert ridge.gram_[0, 0, 0] == 2**53
    with pytest.raises(ValueError, match="Lower n_bits"):
        ridge.partial_fit(X, y)
    with pytest.raises(ValueError, match="smaller weights"):
        ridge.partial_fit(X, y, sample_weight=[1e300, 0])


@pytest.mark.parametrize("feature_range", [(1, -1), (0, np.inf), (0, 0)])
def test_a_range_that_is_none_is_refused(feature_range):
    with pytest.raises(ValueError, match="two finite numbers"):
        IntegerRidgeClassifier(feature_range=feature_range).fit([[0.0], [1.0]], [0, 1])


def test_a_class_without_rows_is_never_predicted():
    X, y = rows()
    ridge = IntegerRidgeClassifier(class_weight="balanced").partial_fit(
        X[y == 1], y[y == 1], classes=[0, 1, 2]
    )
    assert set(ridge.predict(X)) == {1}
