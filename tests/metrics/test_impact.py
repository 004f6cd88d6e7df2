"""Claims about impact ratios and their intervals."""

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import MetricFrame, selection_rate
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import chi2, norm

from sklearn_fairsisa.metrics import impact_ratios


def likeliest(ratio, x, n, x_other, n_other):
    """Return the likeliest rates of a given ratio, by search."""
    least, most = 1e-12, min(1.0, 1 / ratio) - 1e-12

    def loss(rate):
        p, q = np.clip([ratio * rate, rate], 1e-14, 1 - 1e-14)
        return -(
            x * np.log(p)
            + (n - x) * np.log(1 - p)
            + x_other * np.log(q)
            + (n_other - x_other) * np.log(1 - q)
        )

    rate = minimize_scalar(
        loss, bounds=(least, most), method="bounded", options={"xatol": 1e-12}
    ).x
    return ratio * rate, rate


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(5, 400),
    n_other=st.integers(5, 400),
    share=st.floats(0, 1),
    other=st.floats(0.05, 1),
)
def test_the_interval_holds_what_the_score_test_does_not_reject(
    n, n_other, share, other
):
    x_other = max(1, round(other * n_other))
    x = min(round(share * n), int(n * x_other / n_other))
    selected = np.repeat([1, 0, 1, 0], [x, n - x, x_other, n_other - x_other])
    group = np.repeat(["a", "b"], [n, n_other])
    row = impact_ratios(selected, sensitive_features=group).loc["a"]
    if row["judgement"] == "greatest rate":
        return
    for end in (row["low"], row["high"]):
        if not 1e-3 < end < 1e3:
            continue
        p, q = likeliest(end, x, n, x_other, n_other)
        variance = p * (1 - p) / n + end**2 * q * (1 - q) / n_other
        statistic = (x / n - end * x_other / n_other) ** 2 / variance
        assert 1 - chi2.cdf(statistic, 1) == pytest.approx(0.05, abs=2e-3)
    assert row["low"] <= row["impact_ratio"] <= row["high"]


def test_in_large_groups_it_is_the_usual_interval_of_a_relative_risk():
    selected = np.repeat([1, 0, 1, 0], [6000, 14000, 10000, 10000])
    group = np.repeat(["a", "b"], 20000)
    row = impact_ratios(selected, sensitive_features=group).loc["a"]
    error = np.sqrt(1 / 6000 - 1 / 20000 + 1 / 10000 - 1 / 20000)
    ends = 0.6 * np.exp(norm.ppf([0.025, 0.975]) * error)
    np.testing.assert_allclose([row["low"], row["high"]], ends, rtol=1e-3)
    assert row["judgement"] == "below"


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), weighted=st.booleans())
def test_rates_and_ratios_are_those_of_fairlearn(seed, weighted):
    rng = np.random.default_rng(seed)
    selected = rng.integers(0, 2, 300)
    group = pd.DataFrame({"a": rng.integers(0, 2, 300), "b": rng.integers(0, 3, 300)})
    weight = rng.random(300) if weighted else None
    ours = impact_ratios(selected, sensitive_features=group, sample_weight=weight)
    frame = MetricFrame(
        metrics=selection_rate,
        y_true=selected,
        y_pred=selected,
        sensitive_features=group,
        sample_params={"sample_weight": weight} if weighted else None,
    )
    np.testing.assert_allclose(ours["selection_rate"], frame.by_group.astype(float))
    assert ours["impact_ratio"].min() == pytest.approx(frame.ratio())
    np.testing.assert_array_equal(ours["people"], group.groupby(["a", "b"]).size())


def test_weights_count_as_rows_of_equal_evidence():
    selected, group = np.tile([1, 0, 0, 1], 20), np.tile(list("aabb"), 20)
    selected[::12] = 0
    once = impact_ratios(selected, sensitive_features=group)
    heavy = impact_ratios(
        selected, sensitive_features=group, sample_weight=np.full(80, 7.0)
    )
    pd.testing.assert_frame_equal(once, heavy)


@pytest.mark.parametrize(
    ("selected", "judgements"),
    [
        ([1] * 90 + [0] * 10 + [1] * 50 + [0] * 50, ["greatest rate", "below"]),
        ([1] * 900 + [0] * 100 + [1] * 880 + [0] * 120, ["greatest rate", "kept"]),
        ([1] * 9 + [0] + [1] * 7 + [0] * 3, ["greatest rate", "too few people"]),
        ([0] * 10, ["greatest rate", "greatest rate"]),
    ],
)
def test_a_group_is_judged_by_its_whole_interval(selected, judgements):
    group = np.repeat(["a", "b"], len(selected) // 2)
    table = impact_ratios(selected, sensitive_features=group)
    assert table["judgement"].tolist() == judgements


@pytest.mark.parametrize(
    ("selection", "how", "message"),
    [
        (["yes", "no"], {}, "one number in \\[0, 1\\]"),
        ([0, 2], {}, "one number in \\[0, 1\\]"),
        ([0, 1], {"at_least": 0}, "at_least must lie between 0 and 1"),
        ([0, 1], {"confidence": 1}, "confidence must lie between 0 and 1"),
        ([0, 1, 1], {}, "2 rows"),
    ],
)
def test_what_is_no_selection_is_refused(selection, how, message):
    with pytest.raises(ValueError, match=message):
        impact_ratios(selection, sensitive_features=["a", "b"], **how)
