from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_fairsisa.fairness._cells import Votes
from sklearn_fairsisa.fairness._cost_rules import (
    CostRuleMixture,
    RulePool,
    best_decision,
    best_shift,
    expected_worth,
)
from sklearn_fairsisa.fairness._plurality_rules import (
    LabelPatternRule,
    MemberLabelRules,
    PluralityRule,
    check_tallies,
    plurality,
    plurality_probability,
)
from sklearn_fairsisa.fairness._rates import score
from sklearn_fairsisa.fairness._score_rules import ScoreRule
from sklearn_fairsisa.fairness._vote_rules import majority_probability

from .oracles import problem_of

PROBLEM = problem_of("equalized_odds", "accuracy_score")


def fit_votes(rule, votes, group, label, problem=PROBLEM, n_classes=3):
    return rule.fit(Votes(votes, group, label, n_classes=n_classes), problem)


def make_votes(n=600, n_members=4, n_classes=3, n_groups=2, seed=0):
    rng = np.random.default_rng(seed)
    group, label = rng.integers(0, [[n_groups], [n_classes]], (2, n))
    right = rng.random((n, n_members)) < (0.75 - 0.2 * group / n_groups)[:, None]
    other = rng.integers(0, n_classes, (n, n_members))
    return np.where(right, label[:, None], other), group, label


def confusion_rates(probability, group, label):
    """Rates [group, true class, decision] by averaging rows."""
    return np.array(
        [
            [
                probability[(group == a) & (label == j)].mean(axis=0)
                for j in range(probability.shape[1])
            ]
            for a in np.unique(group)
        ]
    )


@pytest.mark.parametrize("rule", [PluralityRule, LabelPatternRule])
@pytest.mark.parametrize("n_classes", [3, 5])
def test_rows_get_rules_that_equalise_the_confusion_of_their_groups(rule, n_classes):
    votes, group, label = make_votes(n_classes=n_classes, n_groups=3)
    fitted = fit_votes(rule, votes, group, label, n_classes=n_classes)
    rates = confusion_rates(fitted.selection_probability(votes, group), group, label)
    assert np.ptp(rates, axis=0).max() < 1e-9
    whole = fitted.confusion.sum(axis=2, keepdims=True)
    np.testing.assert_allclose(fitted.confusion / whole, rates, atol=1e-12)


def test_plurality_is_that_of_the_counted_votes_and_the_first_of_ties():
    votes = np.array([[2, 1, 1, 2], [0, 2, 1, 2], [2, 2, 0, 1]])
    assert plurality(votes, 3).tolist() == [1, 2, 2]
    counted = np.array([[1, 1, 0, 1], [1, 0, 1, 1], [0, 1, 1, 1]], dtype=bool)
    assert plurality(votes, 3, counted).tolist() == [2, 0, 0]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(2, 4), st.integers(0, 99))
def test_plurality_of_independent_votes_by_enumeration(n_votes, n_classes, seed):
    rng = np.random.default_rng(seed)
    q = rng.dirichlet(np.ones(n_classes), (2, n_votes))
    expected = np.zeros((2, n_classes))
    for ballot in product(range(n_classes), repeat=n_votes):
        winner = plurality(np.array([ballot]), n_classes)[0]
        expected[:, winner] += np.prod(q[:, range(n_votes), ballot], axis=1)
    np.testing.assert_allclose(plurality_probability(q), expected, atol=1e-12)


def test_plurality_of_two_classes_is_the_poisson_binomial_majority():
    p = np.random.default_rng(0).random((50, 9))
    both = np.stack([1 - p, p], axis=2)
    np.testing.assert_allclose(
        plurality_probability(both)[:, 1], majority_probability(p), atol=1e-12
    )


def test_too_many_tallies_are_refused_and_usual_ones_are_not():
    for n_votes, n_classes in [(1, 5), (20, 3), (100, 3), (10, 6), (5, 10)]:
        check_tallies(n_votes, n_classes)
    for n_votes, n_classes in [(20, 10), (300, 3), (50, 5)]:
        with pytest.raises(ValueError, match="Use another method"):
            check_tallies(n_votes, n_classes)


def test_members_are_fair_one_by_one_and_their_coins_independent():
    votes, group, label = make_votes(n_members=3)
    fitted = fit_votes(MemberLabelRules, votes, group, label)
    for s, member in enumerate(fitted.members):
        alone = fit_votes(PluralityRule, votes[:, [s]], group, label)
        np.testing.assert_array_equal(member.probability, alone.probability)
    # A simulation of the members' coins.
    rng = np.random.default_rng(0)
    row = np.flatnonzero(group == 1)[:1].repeat(40_000)
    ballots = np.column_stack(
        [
            (
                rng.random(len(row))[:, None]
                > member.by_label(group[row], votes[row, s]).cumsum(axis=1)
            ).sum(axis=1)
            for s, member in enumerate(fitted.members)
        ]
    )
    share = np.bincount(plurality(ballots, 3), minlength=3) / len(row)
    chance = fitted.selection_probability(votes[row[:1]], group[row[:1]])[0]
    np.testing.assert_allclose(share, chance, atol=0.01)


def test_a_new_pattern_is_treated_like_the_groups_nearest_then_heaviest():
    votes = np.array([[0, 0, 0], [1, 1, 1], [1, 1, 2], [1, 1, 2], [0, 1, 2]])
    group = np.array([0, 0, 0, 0, 1])
    label = np.array([0, 1, 2, 2, 1])
    # Each pattern decides for its own label without a constraint.
    fitted = fit_votes(
        LabelPatternRule, votes, group, label, problem_of(None, "accuracy_score")
    )
    new = np.array([[0, 0, 2], [1, 1, 0], [2, 2, 2], [0, 0, 0]])
    decided = fitted.selection_probability(new, np.array([0, 0, 0, 1])).argmax(axis=1)
    # (1, 1, 0) agrees in two votes with both others, of which [1, 1, 2] is heavier;
    # group 1 knows one pattern only.
    assert decided.tolist() == [0, 2, 2, 1]


def test_a_label_that_a_group_never_showed_is_decided_as_said():
    votes = np.array([[0], [1], [2], [0], [1], [1]])
    group = np.array([0, 0, 0, 1, 1, 1])
    label = np.array([0, 1, 2, 0, 1, 2])
    fitted = fit_votes(PluralityRule, votes, group, label)
    decided = fitted.selection_probability(np.array([[2]]), np.array([1]))
    assert decided.tolist() == [[0.0, 0.0, 1.0]]


def make_probabilities(n=900, n_classes=3, n_groups=2, seed=0):
    rng = np.random.default_rng(seed)
    group, label = rng.integers(0, [[n_groups], [n_classes]], (2, n))
    logit = (
        rng.normal(size=(n, n_classes))
        + (1.5 - group / n_groups)[:, None] * np.eye(n_classes)[label]
    )
    eta = np.exp(logit)
    return eta / eta.sum(axis=1, keepdims=True), group, label


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("tol", [0.0, 0.1])
def test_mixtures_keep_the_constraint_in_calibration(weighted, tol):
    eta, group, label = make_probabilities(n_groups=3)
    weight = np.random.default_rng(1).random(900) if weighted else np.ones(900)
    problem = problem_of("equalized_odds", "balanced_accuracy_score", tol)
    fitted = CostRuleMixture.fit(eta, group, label, weight, problem)
    p = fitted.selection_probability(eta, group)
    confusion = np.array(
        [
            [
                weight[rows] @ p[rows]
                for rows in ((group == a) & (label == j) for j in range(3))
            ]
            for a in range(3)
        ]
    )
    np.testing.assert_allclose(fitted.confusion, confusion, atol=1e-9)
    rates = confusion / confusion.sum(axis=2, keepdims=True)
    assert np.ptp(rates, axis=0).max() <= tol + 1e-9


def test_mixtures_beat_the_plurality_and_constants_and_lose_to_no_constraint():
    eta, group, label = make_probabilities(3000)
    values = []
    for problem in (PROBLEM, PROBLEM.within(0.1)):
        fitted = CostRuleMixture.fit(eta, group, label, None, problem)
        values.append(score("accuracy_score", fitted.confusion))
    hard = eta.argmax(axis=1)[:, None]
    plain = fit_votes(PluralityRule, hard, group, label)
    free = (hard[:, 0] == label).mean()
    by_plurality = score("accuracy_score", plain.confusion)
    assert by_plurality + 0.005 < values[0] < values[1] < free + 0.01


def test_with_many_classes_the_search_goes_on_until_it_gains_over_constants():
    eta, group, label = make_probabilities(600, n_classes=6)
    problem = problem_of("equalized_odds", "balanced_accuracy_score")
    fitted = CostRuleMixture.fit(eta, group, label, None, problem)
    # A constant has one sixth.
    assert score("balanced_accuracy_score", fitted.confusion) > 0.3


def test_equal_rates_of_seven_classes_cost_little_more_than_nearly_equal_ones():
    eta, group, label = make_probabilities(700, n_classes=7, n_groups=3)
    problem = problem_of("equalized_odds", "balanced_accuracy_score")
    equal, nearly = (
        CostRuleMixture.fit(eta, group, label, None, problem.within(tol)).confusion
        for tol in (0.0, 0.02)
    )
    objective = problem.objective
    assert score(objective, equal) > score(objective, nearly) - 0.04


@pytest.mark.parametrize("seed", [0, 5, 6])
def test_rows_of_billions_beside_rows_of_one_have_a_fair_rule(seed):
    eta, group, label = make_probabilities(200, n_classes=4, seed=seed)
    weight = np.where(np.arange(200) < 7, 3e9, 1.0)
    problem = problem_of("equalized_odds", "balanced_accuracy_score")
    fitted = CostRuleMixture.fit(eta, group, label, weight, problem)
    assert problem.excess(fitted.confusion) < 1e-6


@pytest.mark.parametrize("constraint", ["equalized_odds", "demographic_parity"])
def test_mixtures_of_two_classes_are_mixtures_of_thresholds(constraint):
    eta, group, label = make_probabilities(2000, n_classes=2)
    problem = problem_of(constraint, "accuracy_score")
    mixture = CostRuleMixture.fit(eta, group, label, None, problem)
    by_mixture = np.trace(mixture.confusion.sum(axis=0)) / 2000
    exact = ScoreRule.learn(eta[:, 1], group, label.astype(bool), None)(problem)
    by_score = score("accuracy_score", exact.confusion)
    assert by_mixture == pytest.approx(by_score, abs=1e-9)


def test_prices_decide_for_the_class_worth_most_on_average():
    eta = np.array([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]])
    price = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 4.0, 1.0]])
    # Worth .6, .7, .1 and .2, 2.6, .6.
    assert best_decision(eta, price).tolist() == [1, 1]
    assert best_decision(eta, np.zeros((3, 3))).tolist() == [0, 0]


@given(seed=st.integers(0, 2**16), n_classes=st.integers(2, 5))
@settings(max_examples=40, deadline=None)
def test_a_shift_gains_what_no_other_shift_exceeds(seed, n_classes):
    rng = np.random.default_rng(seed)
    worth = rng.normal(size=(12, n_classes))
    gains, k = rng.normal(size=(12, n_classes)), int(rng.integers(n_classes))
    before = worth.copy()

    def gained(shift):
        moved = worth.copy()
        moved[:, k] += shift
        return gains[np.arange(12), moved.argmax(axis=1)].sum()

    shift = best_shift(worth, gains, k)
    np.testing.assert_array_equal(worth, before)
    # Decisions change where the class overtakes another, so these are all that differ.
    overtakes = np.sort((worth - worth[:, [k]]).ravel())
    between = [-9.0, *(overtakes[1:] + overtakes[:-1]) / 2, 9.0]
    assert gained(shift) == pytest.approx(max(map(gained, between)))


@given(seed=st.integers(0, 2**16), n_classes=st.integers(2, 6))
@settings(max_examples=25, deadline=None)
def test_the_search_for_shifts_takes_the_worth_as_it_is_after_each(seed, n_classes):
    rng = np.random.default_rng(seed)
    eta = rng.dirichlet(np.ones(n_classes), 40)
    by_class = np.eye(n_classes)[rng.integers(0, n_classes, 40)]
    start = rng.normal(size=(n_classes, n_classes))
    pool = RulePool(eta, by_class, 0.0)
    pool.add_best(start)
    price = start - start[:, [0]]
    gains = by_class @ price
    for _ in range(5):
        before = price.copy()
        for k in range(n_classes):
            worth = np.zeros((40, n_classes))
            for j in range(n_classes):
                worth += eta[:, [j]] * price[j]
            price[:, k] += best_shift(worth, gains, k)
        if (price == before).all():
            break
    np.testing.assert_array_equal(pool.prices[0], price)


def test_rows_are_decided_alike_in_any_batch():
    eta, group, label = make_probabilities(300)
    fitted = CostRuleMixture.fit(eta, group, label, None, PROBLEM)
    together = fitted.selection_probability(eta, group)
    alone = [fitted.selection_probability(eta[[i]], group[[i]])[0] for i in range(300)]
    np.testing.assert_array_equal(together, alone)
    cells = fitted.cells
    assert cells.mass.sum() == pytest.approx(1)
    np.testing.assert_allclose(cells.probability.sum(axis=1), 1)


@given(seed=st.integers(0, 2**16), n_classes=st.integers(2, 6), n=st.integers(1, 60))
@settings(max_examples=40, deadline=None)
def test_people_are_decided_as_the_prices_of_a_rule_say(seed, n_classes, n):
    rng = np.random.default_rng(seed)
    eta = rng.dirichlet(np.ones(n_classes), n)
    # Of a person of an unknown kind nothing is probable.
    eta[rng.integers(n)] = 0.0
    pool = RulePool(eta, np.eye(n_classes)[rng.integers(0, n_classes, n)], 0.0)
    pool.add_constants(n_classes)
    pool.add_best(rng.normal(size=(n_classes, n_classes)))
    for price, decided in zip(pool.prices, pool.decided, strict=True):
        np.testing.assert_array_equal(decided, best_decision(eta, price))
    # A first sum and those after it, one class after the other.
    worth = sum(eta[:, [j]] * price[j] for j in range(n_classes))
    np.testing.assert_array_equal(expected_worth(eta, price), worth)
