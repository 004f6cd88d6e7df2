import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import dblquad
from scipy.stats import norm

from sklearn_fairsisa.fairness._confidence import (
    estimate_rates,
    expected_spread,
    largest_error,
    spread_probability,
    spread_quantile,
)

ERRORS = st.floats(0.003, 0.2)
RATES = st.floats(0.0, 1.0)


@given(rates=st.tuples(RATES, RATES), errors=st.tuples(ERRORS, ERRORS), q=RATES)
@settings(max_examples=60, deadline=None)
def test_two_groups_differ_normally(rates, errors, q):
    difference = norm(rates[0] - rates[1], np.hypot(*errors))
    expected = difference.cdf(q) - difference.cdf(-q)
    have = spread_probability(q, [(np.array(rates), np.array(errors))])
    assert have == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("n_groups", [3, 5, 10, 40])
def test_many_groups_spread_as_normal_draws_do(n_groups):
    rng = np.random.default_rng(n_groups)
    rates = [0.2 * rng.random(n_groups) for _ in range(2)]
    errors = [10 ** rng.uniform(-4, -1, n_groups) for _ in range(2)]
    around = list(zip(rates, errors))
    draws = [r + e * rng.standard_normal((200_000, n_groups)) for r, e in around]
    spread = np.max([np.ptp(draw, axis=1) for draw in draws], axis=0)
    assert expected_spread(around) == pytest.approx(spread.mean(), abs=1e-3)
    for level in (0.05, 0.5, 0.95, 0.99):
        q = np.quantile(spread, level)
        assert spread_probability(q, around) == pytest.approx(level, abs=5e-3)
        assert spread_quantile(level, around) == pytest.approx(q, rel=0.01)


def test_three_equal_groups_agree_with_a_double_integral():
    def density(y, x):
        return (
            norm.pdf(x)
            * norm.pdf(y)
            * (norm.cdf(min(x, y) + 2) - norm.cdf(max(x, y) - 2))
        )

    expected, _ = dblquad(density, -8, 8, lambda x: x - 2, lambda x: x + 2)
    have = spread_probability(0.2, [(np.zeros(3), np.full(3, 0.1))])
    assert have == pytest.approx(expected, abs=3e-4)


def test_certain_rates_and_single_groups_have_no_noise():
    certain = [(np.array([0.1, 0.4]), np.zeros(2))]
    assert spread_probability(0.29, certain) == pytest.approx(0, abs=1e-9)
    assert spread_probability(0.31, certain) == pytest.approx(1, abs=1e-9)
    assert spread_quantile(0.95, certain) == pytest.approx(0.3, abs=1e-4)
    alone = [(np.array([0.5]), np.array([0.1]))]
    assert spread_quantile(0.95, alone) == 0.0
    assert expected_spread(alone) == 0.0


def test_no_difference_of_rates_exceeds_one():
    unknown = [(np.full(3, 0.5), np.full(3, 2.0))]
    assert spread_quantile(0.95, unknown) == 1.0
    assert 0 < expected_spread(unknown) < 1


@given(
    errors=st.lists(ERRORS, min_size=2, max_size=5),
    claim=st.floats(0.02, 0.3),
    level=st.sampled_from([0.8, 0.95]),
)
@settings(max_examples=40, deadline=None)
def test_errors_brought_down_to_the_largest_allowed_just_support_the_claim(
    errors, claim, level
):
    errors = np.array(errors)
    bias = np.linspace(0, 0.5, len(errors)) * errors
    h = largest_error(level, claim, [(bias, errors), (-bias, errors)])
    part = np.minimum(1, h / errors)
    capped = [(part * bias, part * errors), (-part * bias, part * errors)]
    if np.isinf(h):
        assert spread_probability(claim, capped) >= level
    else:
        assert spread_quantile(level, capped) == pytest.approx(claim, rel=1e-2)
        assert h < errors.max()


def test_the_less_certain_of_two_rates_limits_the_error_allowed():
    precise, rough = np.array([0.01, 0.01]), np.array([0.1, 0.1])
    alone = largest_error(0.95, 0.1, [(0 * rough, rough)])
    assert 0.01 < alone < 0.1
    for rates in (precise, rough), (rough, precise):
        both = largest_error(0.95, 0.1, [(0 * rate, rate) for rate in rates])
        # The precise rate hardly ever exceeds a tenth.
        assert both == pytest.approx(alone, rel=1e-3)


def test_rates_and_errors_are_those_of_four_people_more():
    group = np.array([0] * 10 + [1] * 6)
    selected = np.array([1.0] * 10 + [1, 1, 0, 0, 0.5, 0.5])
    rates = estimate_rates(group, selected, None, 2)
    np.testing.assert_allclose(rates.rate, [1.0, 0.5])
    np.testing.assert_array_equal(rates.size, [10, 6])
    for a in (0, 1):
        with_four = np.append(selected[group == a], [1, 1, 0, 0])
        assert rates.error[a] == pytest.approx(with_four.std() / rates.size[a] ** 0.5)
    assert rates.spread == 0.5


def test_equal_weights_change_nothing_and_repeats_add_no_people():
    rng = np.random.default_rng(0)
    group, chosen = rng.integers(0, 3, 90), rng.random(90)
    plain = estimate_rates(group, chosen, None, 3)
    scaled = estimate_rates(group, chosen, np.full(90, 2.5), 3)
    for name in ("rate", "error", "size"):
        np.testing.assert_allclose(getattr(plain, name), getattr(scaled, name))
    weight = rng.exponential(size=90)
    weighted = estimate_rates(group, chosen, weight, 3)
    for a in range(3):
        w = weight[group == a]
        assert weighted.rate[a] == pytest.approx(
            np.average(chosen[group == a], weights=w)
        )
        assert weighted.size[a] == pytest.approx(w.sum() ** 2 / (w**2).sum())
    assert (weighted.error > plain.error).all()
