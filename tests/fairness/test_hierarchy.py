import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from sklearn_fairsisa.fairness._hierarchy import (
    Coefficients,
    fit_hierarchy,
    posterior_mode,
)


def test_mode_and_variance_are_those_of_a_general_optimiser():
    rng = np.random.default_rng(0)
    n_groups, n_bins, k = 3, 40, 4
    basis = rng.normal(size=(n_groups, n_bins, k))
    basis[..., 0] = 1
    total = rng.integers(0, 5, (n_groups, n_bins)).astype(float)
    positives = rng.binomial(total.astype(int), 0.4).astype(float)
    offset = rng.normal(size=(n_groups, n_bins))
    prior = np.array([50.0, 0.5, 1.0, 2.0]), np.array([0.1, 1.0, 3.0, 4.0])

    def loss(flat):
        common, own = flat[:k], flat[k:].reshape(n_groups, k)
        margin = offset + basis @ common + (basis * own[:, None]).sum(axis=-1)
        likelihood = positives * margin - total * np.logaddexp(0, margin)
        penalty = prior[0] @ common**2 + np.sum(prior[1] * own**2)
        return penalty / 2 - likelihood.sum()

    def hessian(at):
        size, step = len(at), 1e-4
        table = np.empty((size, size))
        for i in range(size):
            for j in range(size):
                moves = [
                    loss(at + step * (a * np.eye(size)[i] + b * np.eye(size)[j]))
                    for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1))
                ]
                table[i, j] = moves[0] - moves[1] - moves[2] + moves[3]
        return table / (4 * step**2)

    mode, variances = posterior_mode(
        basis.reshape(-1, k),
        np.repeat(np.arange(n_groups), n_bins),
        total.ravel(),
        positives.ravel(),
        Coefficients(*prior),
        Coefficients(np.zeros(k), np.zeros((n_groups, k))),
        offset.ravel(),
    )
    expected = minimize(loss, np.zeros(k * (n_groups + 1)), tol=1e-10)
    have = np.concatenate([mode.common, mode.own.ravel()])
    np.testing.assert_allclose(have, expected.x, atol=1e-4)
    variance = np.concatenate([variances.common, variances.own.ravel()])
    exact = np.diag(np.linalg.inv(hessian(have)))
    np.testing.assert_allclose(variance, exact, rtol=1e-3)


def test_departures_of_groups_are_shrunk_as_far_as_they_were_drawn_small():
    errors = {}
    for spread in (0.05, 1.0):
        rng = np.random.default_rng(0)
        n_groups, n_people, k = 8, 150, 5
        group = np.repeat(np.arange(n_groups), n_people)
        own = spread * rng.normal(size=(n_groups, k))
        true = rng.normal(size=k) + own
        features = rng.normal(size=(len(group), k))
        features[:, 0] = 1
        chance = expit((features * true[group]).sum(axis=1))
        positives = (rng.random(len(group)) < chance).astype(float)
        rows = features, group, np.ones(len(group)), positives
        flat = Coefficients(np.full(k, 1e6), np.full(k, 1e-3))
        start = Coefficients(np.zeros(k), np.zeros((n_groups, k)))
        alone, _ = posterior_mode(*rows, flat, start)
        found = fit_hierarchy(*rows, stiffness=np.ones(k - 2), rate=0.1)
        errors[spread] = [
            np.sqrt(np.mean((c - true)[:, 1:] ** 2)) for c in (found, alone.own)
        ]
    # Groups that hardly differ learn from each other, others are left to themselves.
    assert errors[0.05][0] < 0.6 * errors[0.05][1]
    assert errors[1.0][0] < 1.1 * errors[1.0][1]


def test_rows_without_weight_change_nothing_though_groups_differ_in_size():
    rng = np.random.default_rng(0)
    n_groups, n_rows, k = 3, 40, 4
    group = np.repeat(np.arange(n_groups), n_rows)
    features = rng.normal(size=(len(group), k))
    total = rng.integers(1, 4, len(group)).astype(float)
    positives = rng.binomial(total.astype(int), 0.4).astype(float)
    more = np.searchsorted(group, 1)
    found = [
        fit_hierarchy(*rows, stiffness=np.ones(k - 2), rate=0.1)
        for rows in (
            (features, group, total, positives),
            (
                np.insert(features, more, features[0], axis=0),
                np.insert(group, more, 1),
                np.insert(total, more, 0.0),
                np.insert(positives, more, 0.0),
            ),
        )
    ]
    np.testing.assert_allclose(*found, atol=1e-9)
