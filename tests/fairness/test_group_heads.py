"""Heads that groups share, against optimisers that know nothing of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from sklearn_fairsisa.fairness._group_heads import (
    Posterior,
    Scaling,
    fit_group_head,
)


def some_people(n=300, n_features=4, n_groups=3, n_known=2, spread=1.0, seed=0):
    """Rows, their groups, labels and known parts."""
    rng = np.random.default_rng(seed)
    X, group = rng.normal(size=(n, n_features)), np.arange(n) % n_groups
    known = rng.normal(size=(n, n_known))
    shared, own = rng.normal(size=n_features), rng.normal(size=(n_groups, n_features))
    margin = (X * (shared + spread * own)[group]).sum(axis=1) + known.sum(axis=1)
    return X, group, rng.random(n) < expit(margin), known


def dense_posterior(Z, group, label, known, weight, variances):
    """Loss of the flat coefficients, its gradient, and a map to those of groups."""
    n_groups, n_known, n_features = group.max() + 1, known.shape[1], Z.shape[1]
    sizes = (n_groups, n_known, n_groups * n_known, n_features, n_groups * n_features)
    one_hot = np.eye(n_groups)[group]

    def by_group(values):
        return (one_hot[:, :, None] * values[:, None]).reshape(len(values), -1)

    design = np.hstack([one_hot, known, by_group(known), Z, by_group(Z)])
    precision = np.repeat([0.01, 0.01, 4.0, 1 / variances[0], 1 / variances[1]], sizes)

    def loss(flat):
        margin = design @ flat
        lost = weight @ (np.logaddexp(0, margin) - label * margin)
        slope = design.T @ (weight * (expit(margin) - label)) + precision * flat
        return lost + precision @ flat**2 / 2, slope

    def split(flat):
        alpha, b, own_b, w, delta = np.split(flat, np.cumsum(sizes)[:-1])
        slope = b + own_b.reshape(n_groups, n_known)
        return alpha, slope, w + delta.reshape(n_groups, n_features)

    return loss, split, design, precision


@pytest.mark.parametrize("missing", [False, True])
def test_rows_named_by_position_give_the_head_of_copies_of_them(missing):
    X, group, label, known = some_people(3000)
    if missing:
        X[::7, 1] = np.nan
    X[:, 2] = 1.0
    where = np.flatnonzero(np.arange(len(X)) % 5)
    weight = np.random.default_rng(1).integers(1, 3, len(where)).astype(float)
    own = group[where], label[where], known[where]
    for of_row in (None, weight):
        named = fit_group_head(X, *own, of_row, where=where)
        copied = fit_group_head(X[where], *own, of_row)
        for part in ("intercept", "slope", "weights"):
            np.testing.assert_array_equal(getattr(named, part), getattr(copied, part))
        np.testing.assert_array_equal(named.scaling.centre, copied.scaling.centre)


def test_a_head_is_the_mode_that_a_general_optimiser_finds():
    X, group, label, known = some_people()
    weight = np.random.default_rng(1).uniform(0.2, 2.0, len(label))
    head = fit_group_head(X, group, label, known, weight)
    Z = head.scaling.apply(X)
    loss, split, *_ = dense_posterior(Z, group, label, known, weight, head.variances)
    size = 3 * (1 + 2 + 4) + 2 + 4
    found = minimize(loss, np.zeros(size), jac=True, options={"gtol": 1e-9})
    have = head.intercept, head.slope, head.weights
    for one, other in zip(have, split(found.x), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    # The optimiser ends where rounding hides all progress.
    margin = margin_of(split(found.x), Z, group, known)
    np.testing.assert_allclose(head.logit(X, group, known), margin, atol=1e-5)


def margin_of(coefficients, Z, group, known):
    alpha, slope, weights = coefficients
    return (
        alpha[group]
        + (known * slope[group]).sum(axis=1)
        + (Z * weights[group]).sum(axis=1)
    )


def test_uncertainties_are_those_of_the_whole_inverse_hessian():
    X, group, label, known = some_people(n_features=3, n_known=1)
    order = np.argsort(group, kind="stable")
    X, group, label, known = X[order], group[order], label[order], known[order]
    one, variances = np.ones(len(X)), (0.7, 0.3)
    features = np.hstack([one[:, None], known, X])
    rows = [group == a for a in range(3)]
    posterior = Posterior([(features[r], one[r], 1.0 * label[r]) for r in rows], 1)
    while posterior.step(variances) > 1e-9:
        pass
    loss, _, design, precision = dense_posterior(X, group, label, known, one, variances)
    flat = minimize(loss, np.zeros(len(precision)), jac=True).x
    chance = expit(design @ flat)
    hessian = design.T @ (design * (chance * (1 - chance))[:, None])
    exact = np.diag(np.linalg.inv(hessian + np.diag(precision)))
    common, own = posterior.uncertainty(variances)
    # In the order: intercepts, b, b_a, w, delta_a.
    have = [own[:, 0], common[1:2], own[:, 1], common[2:], own[:, 2:].ravel()]
    np.testing.assert_allclose(np.concatenate(have), exact, rtol=1e-4)
    # MacKay's update, from the same inverse.
    shared, departures = flat[7:10], flat[10:]
    of_shared, of_departures = exact[7:10], exact[10:]
    expected = [
        np.sum(c**2) / (len(c) - u.sum() / v)
        for c, u, v in zip(
            (shared, departures), (of_shared, of_departures), variances, strict=True
        )
    ]
    have = posterior.likelier_variances(variances)
    np.testing.assert_allclose(have, expected, rtol=1e-3)


def test_without_departures_a_head_is_a_pooled_logistic_ridge():
    X, group, label, _ = some_people(n_groups=2, spread=0.0)
    one = np.ones(len(X))
    features = np.hstack([one[:, None], X])
    parts = [
        (features[group == a], one[group == a], 1.0 * label[group == a]) for a in (0, 1)
    ]
    posterior = Posterior(parts, 0)
    while posterior.step((0.5, 1e-9)) > 1e-9:
        pass
    # Intercepts per group are features whose prior is weak.
    design = np.hstack([10 * np.eye(2)[group], np.sqrt(0.5) * X])
    ridge = LogisticRegression(C=1.0, fit_intercept=False, tol=1e-10, max_iter=1000)
    ridge.fit(design, label)
    expected = ridge.coef_[0] * np.repeat([10, np.sqrt(0.5)], [2, 4])
    np.testing.assert_allclose(posterior.own[:, 0], expected[:2], atol=1e-4)
    np.testing.assert_allclose(posterior.common[1:], expected[2:], atol=1e-4)
    assert np.abs(posterior.own[:, 1:]).max() < 1e-6


def test_groups_depart_from_each_other_as_far_as_the_evidence_asks():
    departs = [
        fit_group_head(*some_people(3000, spread=spread)).variances[1]
        for spread in (0.0, 0.3, 1.0)
    ]
    assert departs[0] < 0.05 * departs[1] < 0.05 * departs[2]


def test_a_group_without_rows_has_what_is_common():
    X, group, label, known = some_people(n_groups=2)
    head = fit_group_head(X, group, label, known, n_groups=3)
    common, own = head.weights[2], head.weights[:2]
    # Where the slope of the posterior is zero, the priors of both pull alike.
    of_common, of_own = head.variances
    pull = (own - common).sum(axis=0) / of_own
    np.testing.assert_allclose(common / of_common, pull, atol=1e-4)
    assert head.intercept[2] == 0


def test_the_unit_and_origin_of_columns_make_no_difference():
    X, group, label, known = some_people()
    unit, origin = np.array([1e-200, 1.0, 1e9, 1e150]), np.array([0, 1e3, -1e9, 0])
    moved = X * unit + origin
    one = fit_group_head(X, group, label, known).logit(X, group, known)
    other = fit_group_head(moved, group, label, known).logit(moved, group, known)
    np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_missing_value_counts_as_the_mean(value):
    X, group, label, known = some_people()
    X[0, 1] = value
    head = fit_group_head(X, group, label, known)
    assert np.isfinite(head.logit(X, group, known)).all()
    assert head.scaling.apply(X)[0, 1] == 0
    assert head.scaling.centre[1] == pytest.approx(X[1:, 1].mean())


def test_a_column_that_does_not_vary_is_ignored():
    X, group, label, known = some_people()
    more = np.hstack([X, np.full((len(X), 1), 0.1)])
    head = fit_group_head(more, group, label, known)
    assert head.scaling.factor[-1] == 0
    expected = fit_group_head(X, group, label, known)
    np.testing.assert_allclose(
        head.logit(more, group, known), expected.logit(X, group, known), atol=1e-6
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0, 1, 3]), st.sampled_from([1, 4]))
def test_any_labels_give_finite_logits_and_one_row_the_same_in_any_batch(
    seed, n_known, n_groups
):
    rng = np.random.default_rng(seed)
    X, group, label, known = some_people(40, 3, n_groups, n_known, seed=seed)
    X[rng.random(X.shape) < 0.2] = rng.choice([np.nan, 0, 1e300, -1e300])
    label = label & (rng.random() < 0.8)
    head = fit_group_head(X, group, label, known, rng.uniform(0, 3, 40))
    logits = head.logit(X, group, known)
    assert np.isfinite(logits).all()
    some = rng.permutation(40)[:7]
    np.testing.assert_array_equal(
        logits[some], head.logit(X[some], group[some], known[some])
    )


def test_scaled_rows_have_a_mean_squared_norm_of_one():
    X, *_ = some_people()
    X = 3 + 5 * X
    Z = Scaling.fit(X, np.ones(len(X))).apply(X)
    assert np.mean(np.sum(Z**2, axis=1)) == pytest.approx(1)
