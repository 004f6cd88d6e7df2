"""Claims about bootstrap intervals and noise floors."""

from functools import partial

import numpy as np
import pytest
from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from sklearn_fairsisa.metrics import _encoding, bootstrap_interval, noise_floor


def make_people(seed, sizes=((100, 100), (60, 80), (50, 40)), tpr=0.8, fpr=0.2):
    """Labels, decisions and groups of people decided on by a fair rule."""
    rng = np.random.default_rng(seed)
    y, group = [], []
    for name, (negatives, positives) in zip("abc", sizes):
        y += [0] * negatives + [1] * positives
        group += [name] * (negatives + positives)
    y = np.array(y)
    chosen = (rng.random(len(y)) < np.where(y, tpr, fpr)).astype(int)
    return y, chosen, np.array(group)


@pytest.mark.parametrize("stratify", ["group", "group_and_label", None])
def test_named_metrics_equal_the_functions_on_the_same_resamples(stratify):
    y, chosen, group = make_people(0)
    pairs = {
        "accuracy_score": accuracy_score,
        "balanced_accuracy_score": balanced_accuracy_score,
        "equalized_odds_difference": equalized_odds_difference,
        "demographic_parity_difference": demographic_parity_difference,
    }
    metrics = {name: name for name in pairs}
    metrics |= {f"{name} by function": f for name, f in pairs.items()}
    intervals = bootstrap_interval(
        metrics, y, chosen, sensitive_features=group, n_resamples=50,
        method="percentile", stratify=stratify, random_state=0,
    )  # fmt: skip
    for name in pairs:
        np.testing.assert_allclose(
            intervals[name], intervals[f"{name} by function"], atol=1e-12
        )


def test_interval_of_accuracy_is_that_of_resampled_rows():
    y, chosen, _ = make_people(1)
    rng = np.random.default_rng(0)
    rows = rng.integers(len(y), size=(4000, len(y)))
    expected = np.quantile((y == chosen)[rows].mean(axis=1), [0.05, 0.95])
    estimate, low, high = bootstrap_interval(
        "accuracy_score", y, chosen, n_resamples=4000, confidence=0.9, random_state=0
    )
    assert estimate == accuracy_score(y, chosen)
    np.testing.assert_allclose([low, high], expected, atol=0.005)


def test_strata_keep_their_sizes_in_every_resample():
    y, chosen, group = make_people(2)
    seen = []

    def spy(y_true, y_pred, *, sensitive_features, sample_weight):
        seen.append(
            [
                sample_weight[(sensitive_features == g) & (y_true == label)].sum()
                for g in "abc"
                for label in (0, 1)
            ]
        )
        return 0.0

    def sizes(stratify):
        seen.clear()
        bootstrap_interval(
            spy, y, chosen, sensitive_features=group, stratify=stratify,
            n_resamples=5, random_state=0,
        )  # fmt: skip
        return np.array(seen)

    given = [100, 100, 60, 80, 50, 40]
    assert (sizes("group_and_label") == given).all()
    by_group = sizes("group")
    assert (by_group.reshape(-1, 3, 2).sum(axis=2) == [200, 140, 90]).all()
    assert not (by_group == given).all()
    free = sizes(None)
    assert (free.sum(axis=1) == len(y)).all()
    assert not (free.reshape(-1, 3, 2).sum(axis=2) == [200, 140, 90]).all()


@pytest.mark.parametrize("gap", [0.0, 0.3])
def test_deviation_interval_covers_the_true_gap(gap):
    covered = 0
    for seed in range(100):
        y, _, group = make_people(seed)
        rng = np.random.default_rng(1000 + seed)
        rate = np.where(y, 0.8 - gap * (group == "c"), 0.2)
        chosen = (rng.random(len(y)) < rate).astype(int)
        interval = bootstrap_interval(
            "equalized_odds_difference", y, chosen, sensitive_features=group,
            n_resamples=200, confidence=0.9, random_state=seed,
        )  # fmt: skip
        covered += interval.low <= gap <= interval.high
    # At 90% fewer than 80 of 100 have a probability of .2%.
    assert covered >= 80


def test_percentile_interval_of_a_gap_never_covers_a_fair_rule():
    y, chosen, group = make_people(3)
    interval = bootstrap_interval(
        "equalized_odds_difference", y, chosen, sensitive_features=group,
        method="percentile", random_state=0,
    )  # fmt: skip
    assert interval.low > 0


def test_columns_of_predictions_are_averaged_over_the_same_people():
    y, chosen, group = make_people(4)
    other = make_people(5)[1]
    both = np.column_stack([chosen, other])
    names = list(_encoding.NAMES)
    options = {"sensitive_features": group, "random_state": 0}
    pooled = bootstrap_interval(names, y, both, **options)
    single = [bootstrap_interval(names, y, p, **options) for p in (chosen, other)]
    for name in names:
        mean = np.mean([s[name].estimate for s in single])
        assert pooled[name].estimate == pytest.approx(mean)
    twice = bootstrap_interval(names, y, np.column_stack([chosen] * 2), **options)
    for name in names:
        np.testing.assert_allclose(twice[name], single[0][name])
    # Two independent predictions vary less than one.
    assert np.ptp(pooled["accuracy_score"][1:]) < np.ptp(
        single[0]["accuracy_score"][1:]
    )


def test_probabilities_are_expected_decisions():
    y, chosen, group = make_people(6)
    soft = 0.25 + 0.5 * chosen
    interval = bootstrap_interval(
        ["equalized_odds_difference"], y, soft, sensitive_features=group
    )["equalized_odds_difference"]
    hard = equalized_odds_difference(y, chosen, sensitive_features=group)
    assert interval.estimate == pytest.approx(hard / 2)


@pytest.mark.parametrize(
    ("labels", "positive", "share"),
    [([0, 1], 0, None), ([1, 2], 2, 1.0), ([-1, 1], -1, 1.0)],
)
def test_floats_that_mean_one_thing_as_labels_and_another_as_shares_are_refused(
    labels, positive, share
):
    y, chosen, group = make_people(6)
    named = np.array(labels)[y]
    floats = chosen * 1.0 if share is None else np.full(len(y), share)
    options = {"sensitive_features": group, "pos_label": positive, "random_state": 0}
    message = "floats .* labels as well as probabilities of .*encode y_true"
    with pytest.raises(ValueError, match=message):
        bootstrap_interval("accuracy_score", named, floats, **options)
    with pytest.raises(ValueError, match=message):
        noise_floor(named, floats, **options)
    # What the message asks for.
    as_labels = bootstrap_interval(
        "accuracy_score", named, floats.astype(int), **options
    )
    assert as_labels.estimate == np.mean(named == floats)
    encoded = (named == positive).astype(int)
    as_shares = bootstrap_interval("accuracy_score", encoded, floats, random_state=0)
    assert as_shares.estimate == np.mean(encoded == floats)


@pytest.mark.parametrize("dtype", [float, np.float32, int, bool])
def test_zeros_and_ones_of_any_type_are_labels(dtype):
    y, chosen, group = make_people(6)
    found = bootstrap_interval(
        "equalized_odds_difference", y.astype(dtype), chosen.astype(dtype),
        sensitive_features=group, n_resamples=5, random_state=0,
    )  # fmt: skip
    expected = equalized_odds_difference(y, chosen, sensitive_features=group)
    assert found.estimate == pytest.approx(expected)


def test_functions_of_more_classes_work():
    rng = np.random.default_rng(0)
    y = rng.choice(["x", "y", "z"], 300)
    predicted = np.where(rng.random(300) < 0.7, y, "x")

    def macro_f1(y_true, y_pred, sample_weight):
        return f1_score(y_true, y_pred, average="macro", sample_weight=sample_weight)

    estimate, low, high = bootstrap_interval(
        macro_f1, y, predicted, n_resamples=100, random_state=0
    )
    assert low < estimate < high
    assert estimate == f1_score(y, predicted, average="macro")


def test_metrics_of_one_name_are_refused_unless_a_dict_names_them():
    y, chosen, _ = make_people(0)
    first, second = (
        lambda y_true, y_pred, sample_weight, value=value: value for value in (0.0, 1.0)
    )
    with pytest.raises(ValueError, match=r"called '<lambda>'.*by a dict"):
        bootstrap_interval([first, second], y, chosen)
    with pytest.raises(ValueError, match="called 'accuracy_score'"):
        bootstrap_interval(["accuracy_score", accuracy_score], y, chosen)
    intervals = bootstrap_interval(
        {"a": first, "b": second}, y, chosen, n_resamples=3, random_state=0
    )
    assert [interval.estimate for interval in intervals.values()] == [0, 1]
    partials = [partial(f1_score, zero_division=value) for value in (0, 1)]
    intervals = bootstrap_interval(partials, y, chosen, n_resamples=3)
    assert [*intervals] == [repr(function) for function in partials]


def test_same_seed_same_interval_and_global_generator_untouched():
    y, chosen, group = make_people(7)
    before = np.random.get_state()  # noqa: NPY002
    options = {"sensitive_features": group, "random_state": 0}
    first, second = (
        bootstrap_interval("equalized_odds_difference", y, chosen, **options)
        for _ in range(2)
    )
    assert first == second
    assert noise_floor(y, chosen, **options) == noise_floor(y, chosen, **options)
    np.testing.assert_equal(np.random.get_state(), before)  # noqa: NPY002


def test_blocks_do_not_lose_resamples(monkeypatch):
    y, chosen, _ = make_people(8)
    monkeypatch.setattr("sklearn_fairsisa.metrics._resampling._BLOCK", 12)
    blocked = bootstrap_interval("accuracy_score", y, chosen, random_state=0)
    monkeypatch.undo()
    whole = bootstrap_interval("accuracy_score", y, chosen, random_state=0)
    np.testing.assert_allclose(blocked, whole)


def binomial_floor(y, chosen, group, n_simulations=4000):
    """Mean gap when each group's selections are binomial at the overall rates."""
    rng = np.random.default_rng(0)
    gaps = []
    for label in (0, 1):
        rate = chosen[y == label].mean()
        sizes = [np.sum((y == label) & (group == g)) for g in np.unique(group)]
        rates = rng.binomial(sizes, rate, (n_simulations, len(sizes))) / sizes
        gaps.append(np.ptp(rates, axis=1))
    return np.maximum(*gaps)


def test_noise_floor_is_the_gap_of_binomial_selections_at_the_overall_rates():
    y, chosen, group = make_people(9)
    expected = binomial_floor(y, chosen, group)
    floor = noise_floor(y, chosen, sensitive_features=group, random_state=0)
    assert floor.mean == pytest.approx(expected.mean(), abs=0.004)
    for quantile, value in floor.quantiles.items():
        assert value == pytest.approx(np.quantile(expected, quantile), abs=0.01)
    assert floor.gap == equalized_odds_difference(y, chosen, sensitive_features=group)


def test_noise_floor_is_the_same_by_counting_and_by_drawing_people():
    y, chosen, group = make_people(10)
    # Distinct numbers that decide almost as the labels do make as many kinds as people.
    jitter = np.linspace(0, 1e-9, len(y))
    soft = np.clip(chosen + jitter * (1 - 2 * chosen), 0, 1)
    hard = noise_floor(y, chosen, sensitive_features=group, random_state=0)
    spread = noise_floor(y, soft, sensitive_features=group, random_state=0)
    assert spread.mean == pytest.approx(hard.mean, abs=0.004)


def test_p_value_is_small_for_an_unfair_rule_only():
    y, chosen, group = make_people(11)
    assert (
        noise_floor(y, chosen, sensitive_features=group, random_state=0).p_value > 0.1
    )
    unfair = np.where(group == "c", 1 - chosen, chosen)
    assert (
        noise_floor(y, unfair, sensitive_features=group, random_state=0).p_value < 0.001
    )


def test_p_values_of_fair_rules_are_not_too_often_small():
    p_values = [
        noise_floor(
            *make_people(seed)[:2], sensitive_features=make_people(seed)[2],
            n_simulations=300, random_state=seed,
        ).p_value
        for seed in range(100)
    ]  # fmt: skip
    # At level .1 more than 20 of 100 have a probability of .1%.
    assert np.sum(np.array(p_values) <= 0.1) <= 20


def test_parity_floor_ignores_labels():
    y, chosen, group = make_people(12)
    name = "demographic_parity_difference"
    floor = noise_floor(
        y, chosen, sensitive_features=group, metric=[name], random_state=0
    )[name]
    sizes = [np.sum(group == g) for g in "abc"]
    rng = np.random.default_rng(0)
    rates = rng.binomial(sizes, chosen.mean(), (4000, 3)) / sizes
    assert floor.mean == pytest.approx(np.ptp(rates, axis=1).mean(), abs=0.004)


def test_floor_grows_as_groups_shrink():
    floors = [
        noise_floor(
            *make_people(0, sizes)[:2],
            sensitive_features=make_people(0, sizes)[2],
            random_state=0,
        ).mean
        for sizes in (((900, 900), (900, 900)), ((100, 100), (10, 100)))
    ]
    assert floors[0] < floors[1] / 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "eo"}, "metric 'eo' is unknown"),
        ({"metric": lambda y, p: 0}, "takes no sample_weight"),
        ({"n_resamples": 0}, r"'n_resamples' .* an int in the range \[1, inf\)"),
        ({"n_resamples": 10.0}, "'n_resamples' .* an int"),
        ({"confidence": 1}, r"'confidence' .* in the range \(0.0, 1.0\)"),
        ({"method": "bca"}, "'method' .* must be a str among .* Got 'bca'"),
        ({"stratify": "label"}, "'stratify' .* must be a str among .* or None"),
        ({"random_state": "x"}, "'random_state' parameter"),
        ({"sensitive_features": None}, "needs sensitive_features"),
        ({"sensitive_features": ["a"]}, "rows"),
    ],
)
def test_bad_options_are_explained(options, message):
    y, chosen, group = make_people(0)
    options = {
        "metric": "equalized_odds_difference", "sensitive_features": group
    } | options  # fmt: skip
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(options.pop("metric"), y, chosen, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_simulations": 0}, r"'n_simulations' .* an int in the range \[1, inf\)"),
        ({"quantiles": 0.5}, "'quantiles' parameter"),
        ({"quantiles": (0.5, 1)}, "quantiles must lie between 0 and 1, got 1 among"),
    ],
)
def test_bad_options_of_a_floor_are_explained(options, message):
    y, chosen, group = make_people(0)
    with pytest.raises(ValueError, match=message):
        noise_floor(y, chosen, sensitive_features=group, **options)


def test_group_without_a_label_is_named():
    y, chosen, group = make_people(0, sizes=((5, 5), (5, 0)))
    message = "Group 'b' has no positive labels"
    with pytest.raises(ValueError, match=message):
        noise_floor(y, chosen, sensitive_features=group)
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(
            "equalized_odds_difference", y, chosen, sensitive_features=group
        )


def test_scores_have_no_noise_floor():
    y, chosen, group = make_people(0)
    with pytest.raises(ValueError, match="metric='accuracy_score' is not a gap"):
        noise_floor(y, chosen, sensitive_features=group, metric="accuracy_score")
