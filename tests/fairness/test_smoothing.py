from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import norm

from sklearn_fairsisa.fairness import _smoothing
from sklearn_fairsisa.fairness._cells import count_cells
from sklearn_fairsisa.fairness._smoothing import smooth_counts


def binormal(n, seed, negatives=0.15, n_groups=3):
    """Scores of groups in whom the positives score higher by 1.5."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, n_groups, n)
    label = rng.random(n) > negatives
    score = rng.normal(1.5 * label + 0.3 * group)
    return score, group, label


def count_scores(score, group, label, weight=None):
    rank = np.unique(score, return_inverse=True)[1]
    return count_cells(group, rank, label, weight)


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 700),
    decimals=st.integers(0, 3),
    weighted=st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_each_group_keeps_its_people_its_negatives_and_its_positives(
    seed, n, decimals, weighted
):
    score, group, label = binormal(n, seed)
    weight = np.random.default_rng(seed).random(n) * 3 + 0.01 if weighted else None
    counts = count_scores(score.round(decimals), group, label, weight)
    smooth = smooth_counts(counts)
    pairs = list(zip(smooth.group.tolist(), smooth.cell.tolist()))
    assert pairs == sorted(set(pairs))
    # Groups that do not differ have the cells of a grid alone.
    assert set(smooth.cell) <= set(counts.cell)
    assert (smooth.negatives >= 0).all()
    assert (smooth.positives >= 0).all()
    np.testing.assert_allclose(smooth.totals, counts.totals)


def test_of_a_model_that_weighs_nothing_only_the_labels_are_smoothed(monkeypatch):
    monkeypatch.setattr(_smoothing, "_MODEL_PEOPLE", 0.0)
    # Any difference is more than chance.
    monkeypatch.setattr(_smoothing, "_CAUTION", -1e12)
    counts = count_scores(*binormal(500, 0))
    smooth = smooth_counts(counts)
    people = np.zeros((2, 3, 500))
    for of, found in zip(people, (counts, smooth), strict=True):
        np.add.at(of, (found.group, found.cell), found.negatives + found.positives)
    np.testing.assert_allclose(people[1], people[0], atol=0.03)


def test_a_group_of_two_people_is_taken_for_what_its_base_rate_makes_of_all(
    monkeypatch,
):
    monkeypatch.setattr(_smoothing, "_MODEL_PEOPLE", 1e9)
    group, at = np.repeat([0, 1], [2000, 2]), np.linspace(-2, 4, 7)
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        label = np.append(rng.random(2000) < 0.3, [False, True])
        score = rng.normal(2.0 * label)
        smooth = smooth_counts(count_scores(score, group, label))
        found.append(rate_above(smooth, 1, np.sort(score), at))
    # As many negatives as positives, each spread as the other group's; what the two
    # people say of their own group cancels in the mean.
    expected = (norm.sf(at) + norm.sf(at, 2.0)) / 2
    np.testing.assert_allclose(np.mean(found, axis=0), expected, atol=0.03)


def test_only_the_order_of_the_scores_matters():
    score, group, label = binormal(500, 0)
    order = np.random.default_rng(1).permutation(500)
    smooth = smooth_counts(count_scores(score, group, label))
    other = smooth_counts(
        count_scores(np.exp(score[order]), group[order], label[order])
    )
    np.testing.assert_allclose(smooth.positives, other.positives, atol=1e-9)


def test_a_group_of_one_label_keeps_its_own_counts():
    score, group, label = binormal(400, 0)
    label[group == 1] = True
    counts = count_scores(score, group, label)
    smooth = smooth_counts(counts)
    for name in ("cell", "negatives", "positives"):
        np.testing.assert_array_equal(
            getattr(smooth, name)[smooth.group == 1],
            getattr(counts, name)[counts.group == 1],
        )
    assert (smooth.negatives[smooth.group != 1] > 0).all()
    nobody = replace(counts, weight=counts.weight * [0, 1])
    assert smooth_counts(nobody) is nobody


def false_positive_rate(counts, group, ranks, at):
    """Share of a group's negatives whose score is above each of some values."""
    mine = counts.group == group
    above = ranks[counts.cell[mine]][:, None] > at
    return counts.negatives[mine] @ above / counts.negatives[mine].sum()


def test_false_positive_rates_of_new_people_are_closer_than_by_counting():
    at = np.array([-0.5, 0.0, 0.5, 1.0])
    errors = []
    for seed in range(20):
        # Some 25 negatives in each group.
        score, group, label = binormal(500, seed)
        counts = count_scores(score, group, label)
        ranks = np.unique(score)
        truth = norm.sf(at, 0.3)
        errors.append(
            [
                np.abs(false_positive_rate(c, 1, ranks, at) - truth).mean()
                for c in (counts, smooth_counts(counts))
            ]
        )
    counted, smoothed = np.mean(errors, axis=0)
    assert smoothed < 0.85 * counted


def test_many_people_are_heard_even_if_their_groups_have_nothing_in_common():
    rng = np.random.default_rng(0)
    group = rng.integers(0, 2, 40_000)
    score = rng.normal(size=40_000)
    chance = np.where(group == 0, expit(3 * score), 0.5 - 0.4 * np.sin(3 * score))
    counts = count_scores(score, group, rng.random(40_000) < chance)
    smooth = smooth_counts(counts)
    # Shares in intervals of a twentieth, where labels that are counted average out.
    place = np.floor(20 * np.sort(score)[smooth.cell]).astype(int) + 100
    middle = (np.arange(200) - 99.5) / 20
    truth = expit(3 * middle), 0.5 - 0.4 * np.sin(3 * middle)
    inner = np.abs(middle) < 1.6
    for group, chance in enumerate(truth):
        mine = smooth.group == group
        negatives, positives = (
            np.bincount(place[mine], part[mine], minlength=200)
            for part in (smooth.negatives, smooth.positives)
        )
        share = (positives / (negatives + positives).clip(1e-9))[inner]
        assert np.abs(share - chance[inner]).mean() < 0.03


def test_many_people_keep_a_distribution_that_no_model_expects():
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1], 20_000)
    # The second group has lumps and gaps.
    score = np.where(group == 0, rng.normal(size=40_000), rng.integers(-1, 3, 40_000))
    score = score + 1e-9 * rng.normal(size=40_000)
    counts = count_scores(score, group, rng.random(40_000) < expit(score))
    at = np.array([-0.5, 0.5, 1.5])
    smooth = smooth_counts(counts)
    np.testing.assert_allclose(
        rate_above(smooth, 1, np.sort(score), at), [0.75, 0.5, 0.25], atol=0.02
    )


def rate_above(counts, group, ranks, at):
    """Share of a group's people whose score is above each of some values."""
    mine = counts.group == group
    weight = (counts.negatives + counts.positives)[mine]
    return weight @ (ranks[counts.cell[mine]][:, None] > at) / weight.sum()


def test_scores_of_few_people_are_known_from_a_group_that_differs_in_base_rate_only():
    at = np.array([-0.5, 0.0, 0.5, 1.0, 1.5])
    truth = np.stack([norm.sf(at), norm.sf(at, 1.5)])
    errors = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        group = np.repeat([0, 1], [600, 30])
        label = rng.random(630) < np.where(group == 0, 0.3, 0.7)
        score = rng.normal(1.5 * label)
        counts = count_scores(score, group, label)
        found = [
            [
                false_positive_rate(c, 1, np.sort(score), at),
                false_positive_rate(
                    replace(c, weight=c.weight[:, ::-1]), 1, np.sort(score), at
                ),
            ]
            for c in (counts, smooth_counts(counts))
        ]
        errors.append(np.abs(np.array(found) - truth).mean(axis=2))
    counted, smoothed = np.mean(errors, axis=0)
    assert (smoothed < 0.75 * counted).all()


def test_weights_that_vary_say_less_of_differences_between_groups():
    score, group, label = binormal(300, 3)
    counts = count_scores(score, group, label)
    tenfold = replace(counts, weight=10 * counts.weight)
    np.testing.assert_allclose(
        smooth_counts(tenfold, people=0.1).positives,
        10 * smooth_counts(counts).positives,
        rtol=1e-6,
    )
    certain = smooth_counts(tenfold, people=1.0).positives
    assert np.abs(certain - 10 * smooth_counts(counts).positives).max() > 0.1


@pytest.mark.parametrize("n_groups", [1, 40])
def test_one_group_or_many_are_fitted(n_groups):
    score, group, label = binormal(4000, 0, n_groups=n_groups)
    smooth = smooth_counts(count_scores(score, group, label))
    assert np.isfinite(smooth.positives).all()


def test_groups_that_differ_by_chance_alone_get_one_threshold():
    rates = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        group, label = np.arange(600) % 3, rng.random(600) < 0.5
        score = rng.normal(1.5 * label)
        ranks = np.sort(score)
        counts = count_scores(score, group, label)
        for found in (counts, smooth_counts(counts)):
            at = [false_positive_rate(found, a, ranks, [0.75])[0] for a in range(3)]
            rates.append(np.ptp(at))
    counted, smoothed = np.reshape(rates, (10, 2)).mean(axis=0)
    assert smoothed < 0.3 * counted


def test_a_difference_that_many_people_show_is_not_shrunk():
    rng = np.random.default_rng(0)
    group, label = np.arange(6000) % 2, rng.random(6000) < 0.5
    score = rng.normal(1.5 * label + 0.3 * group)
    smooth, ranks = smooth_counts(count_scores(score, group, label)), np.sort(score)
    for a in (0, 1):
        rate = false_positive_rate(smooth, a, ranks, [0.5])[0]
        assert abs(rate - norm.sf(0.5 - 0.3 * a)) < 0.02
