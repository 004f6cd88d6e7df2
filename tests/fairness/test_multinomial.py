"""Multinomial logistic regression, against scikit-learn's and its own definition."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression

from sklearn_fairsisa.fairness._multinomial import fit_multinomial


def make_rows(n_classes, n_rows=300, seed=0):
    """Features of which some vary together, labels and weights."""
    rng = np.random.default_rng(seed)
    label = np.r_[np.arange(n_classes), rng.integers(n_classes, size=n_rows)]
    features = rng.normal(size=(len(label), n_classes + 2))
    features[:, :n_classes] += 1.5 * np.eye(n_classes)[label]
    features = np.hstack([features, 10 * features[:, :2] + 0.1, 0 * features[:, :1]])
    return features, label, rng.random(len(label)) + 0.1


def chances(features, coefficients, intercept):
    return softmax(features @ coefficients.T + intercept, axis=1)


@pytest.mark.parametrize("n_classes", [3, 6])
@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e4])
def test_probabilities_are_those_of_a_model_fitted_by_newtons_method(n_classes, scale):
    features, label, weight = make_rows(n_classes)
    found = fit_multinomial(features, label, scale * weight, n_classes)
    model = LogisticRegression(solver="newton-cg", tol=1e-12, max_iter=1000)
    model.fit(features, label, scale * weight)
    np.testing.assert_allclose(
        chances(features, *found), model.predict_proba(features), atol=1e-5
    )


def test_no_step_from_the_coefficients_lessens_the_loss():
    features, label, weight = make_rows(4)
    coefficients, intercept = fit_multinomial(features, label, weight, 4, penalty=0.5)

    def loss(coefficients, intercept):
        log_chance = log_softmax(features @ coefficients.T + intercept, axis=1)
        own = log_chance[np.arange(len(label)), label]
        return -weight @ own + 0.25 * np.sum(coefficients**2)

    least, rng = loss(coefficients, intercept), np.random.default_rng(1)
    for size in (1e-3, 1e-2, 1.0):
        for _ in range(20):
            step = size * rng.normal(size=(4, features.shape[1] + 1))
            moved = coefficients + step[:, :-1], intercept + step[:, -1]
            assert loss(*moved) > least


def test_two_classes_under_twice_the_penalty_are_one_logit():
    features, label, weight = make_rows(2)
    found = fit_multinomial(features, label, weight, 2, penalty=2.0)
    model = LogisticRegression(tol=1e-10, max_iter=5000)
    model.fit(features, label, weight)
    np.testing.assert_allclose(
        chances(features, *found), model.predict_proba(features), atol=1e-5
    )


def test_a_row_that_weighs_twice_is_two_rows():
    features, label, _ = make_rows(3)
    weight = 1.0 + (np.arange(len(label)) % 3 == 0)
    twice = np.repeat(np.arange(len(label)), weight.astype(int))
    by_weight = fit_multinomial(features, label, weight, 3)
    by_rows = fit_multinomial(features[twice], label[twice], np.ones(len(twice)), 3)
    np.testing.assert_allclose(
        chances(features, *by_weight), chances(features, *by_rows), atol=1e-5
    )


def test_a_class_of_no_weight_becomes_improbable():
    features, label, _ = make_rows(3)
    found = fit_multinomial(features, label, 1.0 * (label != 2), 3)
    assert chances(features, *found)[:, 2].max() < 1e-5


def test_great_weights_are_taken_for_features_that_sum_to_zero():
    label = np.random.default_rng(0).integers(3, size=600)
    kind = np.arange(600) % 3
    features = np.eye(3)[kind] - 1 / 3
    found = fit_multinomial(features, label, np.full(600, 1e16), 3)
    shares = [np.bincount(label[kind == k], minlength=3) / 200 for k in range(3)]
    np.testing.assert_allclose(
        chances(features, *found), np.array(shares)[kind], atol=1e-4
    )
