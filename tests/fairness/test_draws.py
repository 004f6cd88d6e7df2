import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sklearn_fairsisa.fairness._coins import (
    class_probabilities,
    draw_classes,
    is_random,
)


def test_two_classes_are_drawn_as_one_coin_below_the_probability_of_the_second():
    rng = np.random.default_rng(0)
    probability, coins = rng.random((2, 1000))
    drawn = draw_classes(class_probabilities(probability), coins)
    np.testing.assert_array_equal(drawn, coins < probability)


def test_evenly_spread_coins_fall_on_each_class_as_often_as_it_is_probable():
    probability = np.array([0.1, 0.0, 0.65, 0.25])
    coins = (np.arange(1000) + 0.5) / 1000
    drawn = draw_classes(np.tile(probability, (1000, 1)), coins)
    np.testing.assert_allclose(np.bincount(drawn) / 1000, probability)


@pytest.mark.parametrize(
    ("row", "last"),
    [([0.5, 0.25, 0.25], 0), ([0.0, 0.5, 0.5], 1), ([0.0, 0.0, 1.0], 2)],
)
@pytest.mark.parametrize("missing", [0.0, 1e-16, 1e-9, 2e-9])
def test_coins_near_one_fall_on_the_first_class_that_is_probable(row, last, missing):
    probability = np.array([row]) * (1 - missing)
    assert draw_classes(probability, np.array([1 - 2.0**-53])) == [last]


@given(
    arrays(float, 4, elements=st.sampled_from([0.0, 0.1, 0.3, 1 / 3, 1.0])),
    st.sampled_from([0.0, 0.5, 1 - 2.0**-53]),
)
def test_no_coin_falls_on_a_class_of_probability_zero(weights, coin):
    if weights.any():
        probability = weights[None] / weights.sum()
        drawn = draw_classes(probability, np.array([coin]))[0]
        assert probability[0, drawn] > 0


def test_only_probabilities_strictly_between_need_a_coin():
    assert is_random(np.array([0.0, 0.5, 1.0])).tolist() == [False, True, False]
    columns = np.array([[0.0, 1.0, 0.0], [0.5, 0.5, 0.0]])
    assert is_random(columns).tolist() == [False, True]
