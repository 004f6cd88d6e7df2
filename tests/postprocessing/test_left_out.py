"""Members left out in turn, taken together."""

import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier


@pytest.mark.parametrize("n_shards", [2, 5, 19])
@pytest.mark.parametrize(
    ("n_classes", "method"),
    [(2, "smooth_ensemble"), (3, "smooth_ensemble"), (2, "ensemble")],
)
def test_they_decide_in_the_bits_of_one_pass_for_each(n_classes, method, n_shards):
    rng = np.random.default_rng(n_shards)
    X, group = rng.normal(size=(400, 3)), rng.integers(2, size=400)
    y = np.digitize(X[:, 0] + rng.normal(size=400), [0, 1][: n_classes - 1])
    fair = FairEnsemblePostprocessor(
        SISAClassifier(GaussianNB(), n_shards=n_shards, random_state=0),
        method=method,
        objective="balanced_accuracy_score",
        unknown_group="unconstrained",
        random_state=0,
    ).fit(X, y, sensitive_features=group)
    rule = fair._calibrated().rule
    # More rows than are taken at a time, some of a group that is unknown.
    X, code = rng.normal(size=(2500, 3)), rng.integers(-1, 2, size=2500)
    scores = fair._serving().evidence(X, code)
    expected = 0.0
    for member in np.flatnonzero(rule.silent_share):
        counted = np.ones(scores.shape[:2], dtype=bool)
        counted[:, member] = False
        one = rule.selection_probability(scores, code, counted)
        expected = expected + rule.silent_share[member] * one
    found = rule.selection_probability(scores, code)
    inside = (found > 0) & (found < 1)
    assert inside.any()
    np.testing.assert_array_equal(found[inside], expected[inside])
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert rule.selection_probability(scores[:0], code[:0]).shape[0] == 0
