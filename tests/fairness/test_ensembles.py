from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binom

from sklearn_fairsisa.fairness._cells import Votes
from sklearn_fairsisa.fairness._score_rules import ScoreRule
from sklearn_fairsisa.fairness._vote_rules import (
    MajorityRule,
    MemberRules,
    PatternRule,
    majority_probability,
)

from .oracles import best_by_linear_program, points_of, problem_of

PROBLEM = problem_of("equalized_odds", "accuracy_score")


def votes_of(rng, n, n_members, n_groups=2):
    group = rng.integers(0, n_groups, n)
    label = rng.random(n) < 0.45
    noise = 0.15 + 0.2 * group / n_groups
    votes = label[:, None] ^ (rng.random((n, n_members)) < noise[:, None])
    return votes, group, label


def rates(probability, group, label):
    return np.array(
        [
            [probability[(group == a) & (label == y)].mean() for y in (False, True)]
            for a in np.unique(group)
        ]
    )


def accuracy(probability, label):
    return np.where(label, probability, 1 - probability).mean()


@pytest.mark.parametrize("rule", [MajorityRule, PatternRule])
@pytest.mark.parametrize("n_members", [1, 4, 5, 200])
def test_expected_odds_are_equal_in_calibration(rule, n_members):
    votes, group, label = votes_of(np.random.default_rng(n_members), 400, n_members, 3)
    fitted = rule.fit(Votes(votes, group, label), PROBLEM)
    have = rates(fitted.selection_probability(votes, group), group, label)
    assert np.ptp(have, axis=0).max() < 1e-9
    np.testing.assert_allclose(points_of(fitted.confusion).T, have, atol=1e-9)


@st.composite
def calibration_rows(draw):
    """Signal, group, label and weight of a few rows: tied, degenerate or weighted."""
    n_groups, n = draw(st.integers(2, 5)), draw(st.integers(0, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    # Each group has one row of each label, and with luck nothing else.
    group = np.append(np.repeat(np.arange(n_groups), 2), rng.integers(n_groups, size=n))
    label = np.append(np.tile([False, True], n_groups), rng.random(n) < 0.4)
    signal = rng.normal(label * (0.5 + group / n_groups))
    weight = draw(st.sampled_from(["none", "random", "some are zero"]))
    if weight == "none":
        return signal, group, label, None
    weights = rng.random(len(label)) + 0.1
    if weight == "some are zero":
        weights[2 * n_groups :][rng.random(n) < 0.3] = 0
    return signal, group, label, weights


def tabulate_rows(cell, group, label, weight, n_cells):
    table = np.zeros((group.max() + 1, n_cells, 2))
    np.add.at(table, (group, cell, label * 1), 1 if weight is None else weight)
    return table


@given(
    rows=calibration_rows(),
    n_members=st.integers(1, 8),
    noise=st.sampled_from([0.0, 0.5, 3.0]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=100, deadline=None)
def test_pattern_rule_attains_the_program_over_all_patterns(
    rows, n_members, noise, seed
):
    signal, group, label, weight = rows
    rng = np.random.default_rng(seed)
    votes = signal[:, None] + noise * rng.normal(size=(len(label), n_members)) > 0.5
    fitted = PatternRule.fit(Votes(votes, group, label, weight), PROBLEM)
    code = votes @ (1 << np.arange(n_members))
    table = tabulate_rows(code, group, label, weight, 2**n_members)
    probability = fitted.selection_probability(votes, group)
    correct = np.where(label, probability, 1 - probability)
    expected = best_by_linear_program(table, "equalized_odds", "accuracy_score", 0.0)
    assert np.average(correct, weights=weight) == pytest.approx(expected, abs=1e-9)


@given(rows=calibration_rows(), decimals=st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_score_rule_attains_the_program_over_all_monotone_rules(rows, decimals):
    signal, group, label, weight = rows
    scores = signal.round(decimals)
    fitted = ScoreRule.learn(scores, group, label, weight)(PROBLEM)
    values, cell = np.unique(scores, return_inverse=True)
    table = tabulate_rows(cell, group, label, weight, len(values))
    probability = fitted.selection_probability(scores, group)
    correct = np.where(label, probability, 1 - probability)
    expected = best_by_linear_program(
        table, "equalized_odds", "accuracy_score", 0.0, monotone=True
    )
    assert np.average(correct, weights=weight) == pytest.approx(expected, abs=1e-9)


@given(seed=st.integers(0, 2**32 - 1), n_members=st.integers(1, 7))
@settings(max_examples=40, deadline=None)
def test_patterns_are_never_worse_in_calibration_than_the_majority(seed, n_members):
    votes, group, label = votes_of(np.random.default_rng(seed), 120, n_members)
    if len({(a, y) for a, y in zip(group, label)}) < 4:
        return
    scores = [
        accuracy(
            rule.fit(Votes(votes, group, label), PROBLEM).selection_probability(
                votes, group
            ),
            label,
        )
        for rule in (PatternRule, MajorityRule)
    ]
    assert scores[0] >= scores[1] - 1e-12


@given(
    p=st.integers(1, 6).flatmap(
        lambda s: arrays(
            np.float64,
            st.tuples(st.integers(1, 4), st.just(s)),
            elements=st.floats(0, 1),
        )
    )
)
@settings(max_examples=60, deadline=None)
def test_majority_probability_is_that_of_enumerated_coins(p):
    n_coins = p.shape[1]
    expected = np.zeros(len(p))
    for coins in product([0, 1], repeat=n_coins):
        chance = np.prod(np.where(coins, p, 1 - p), axis=1)
        expected += chance * (2 * sum(coins) > n_coins)
    np.testing.assert_allclose(majority_probability(p), expected, atol=1e-13)


@pytest.mark.parametrize("chance", [1e-3, 0.3, 0.5, 0.9])
def test_majority_probability_is_the_binomial_tail_of_200_equal_coins(chance):
    have = majority_probability(np.full((1, 200), chance))[0]
    assert have == pytest.approx(binom.sf(100, 200, chance), rel=1e-10)


def test_member_rules_equal_enumeration_over_the_members_coins():
    votes, group, label = votes_of(np.random.default_rng(7), 300, 4)
    fitted = MemberRules.fit(Votes(votes, group, label), PROBLEM)
    have = fitted.selection_probability(votes, group)
    chances = np.empty(votes.shape)
    for s in range(4):
        alone = MajorityRule.fit(Votes(votes[:, [s]], group, label), PROBLEM)
        chances[:, s] = alone.selection_probability(votes[:, [s]], group)
        # Each member is fair on its own.
        assert np.ptp(rates(chances[:, s], group, label), axis=0).max() < 1e-9
    expected = np.zeros(300)
    for coins in product([0, 1], repeat=4):
        expected += np.prod(np.where(coins, chances, 1 - chances), axis=1) * (
            sum(coins) > 2
        )
    np.testing.assert_allclose(have, expected, atol=1e-13)
    np.testing.assert_allclose(
        points_of(fitted.confusion).T, rates(have, group, label), atol=1e-12
    )


def test_fair_members_do_not_make_a_fair_majority():
    rng = np.random.default_rng(1)
    group, label = rng.integers(0, 2, (2, 4000))
    # Equally good members, but in one group they err together.
    together = rng.random((4000, 1)) < 0.3
    apart = rng.random((4000, 5)) < 0.3
    votes = label.astype(bool)[:, None] ^ np.where(group[:, None] == 0, together, apart)
    label = label.astype(bool)
    fitted = MemberRules.fit(Votes(votes, group, label), PROBLEM)
    have = rates(fitted.selection_probability(votes, group), group, label)
    assert np.ptp(have, axis=0).max() > 0.05
    patterns = PatternRule.fit(Votes(votes, group, label), PROBLEM)
    # Giving up fairness, it may look more accurate.
    assert accuracy(fitted.selection_probability(votes, group), label) > accuracy(
        patterns.selection_probability(votes, group), label
    )


def test_a_pattern_a_group_never_showed_is_treated_like_its_number_of_votes():
    rng = np.random.default_rng(0)
    votes, group, label = votes_of(rng, 2000, 5)
    hidden = np.array([1, 0, 1, 1, 1], dtype=bool)
    kept = ~(votes == hidden).all(axis=1)
    fitted = PatternRule.fit(Votes(votes[kept], group[kept], label[kept]), PROBLEM)
    few = np.array([[0, 0, 0, 0, 1]], dtype=bool)
    for a in range(2):
        p = fitted.selection_probability(hidden[None], np.array([a]))
        least = fitted.selection_probability(few, np.array([a]))
        assert p >= least


@given(
    seed=st.integers(0, 2**32 - 1),
    decimals=st.integers(0, 4),
    weighted=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_score_rules_are_monotone_and_equalise_odds(seed, decimals, weighted):
    rng = np.random.default_rng(seed)
    group, label = np.tile([[0, 0, 1, 1], [0, 1, 0, 1]], 40)
    label = label.astype(bool)
    scores = rng.normal(label * (1 + group)).round(decimals)
    weight = rng.random(160) + 0.1 if weighted else None
    fitted = ScoreRule.learn(scores, group, label, weight)(PROBLEM)
    probability = fitted.selection_probability(scores, group)
    for a in range(2):
        ordered = probability[group == a][np.argsort(scores[group == a])]
        assert (np.diff(ordered) >= 0).all()
    have = [
        [
            np.average(
                probability[rows], weights=None if weight is None else weight[rows]
            )
            for rows in ((group == a) & ~label, (group == a) & label)
        ]
        for a in range(2)
    ]
    assert np.ptp(have, axis=0).max() < 1e-9


def test_adjacent_doubles_can_be_told_apart():
    low = 1.0
    high = np.nextafter(low, 2.0)
    scores = np.array([low, high] * 4)
    label = np.array([False, True] * 4)
    group = np.repeat([0, 1], 4)
    fitted = ScoreRule.learn(scores, group, label, None)(PROBLEM)
    np.testing.assert_array_equal(
        fitted.selection_probability(scores, group), label.astype(float)
    )
