"""Searches for several sets of rows, which go on together."""

import numpy as np
from scipy.special import expit

from sklearn_fairsisa.fairness._hierarchies import fit_hierarchies, start_of


class Likelihood:
    """Of sets whose rows are all of one group."""

    def __init__(self, features, label, weights):
        self.features, self.label, self.weights = features, label, weights

    def sums(self, coefficients):
        slopes, curvatures = [], []
        for own, weight in zip(coefficients[:, 0], self.weights):
            chance = expit(self.features @ own)
            slopes.append(self.features.T @ (weight * (self.label - chance)))
            weighed = self.features.T * (weight * chance * (1 - chance))
            curvatures.append(weighed @ self.features)
        return np.array(slopes)[:, None], np.array(curvatures)[:, None]

    def reach(self, step):
        return np.abs(step[:, 0] @ self.features.T).max(axis=1)


def test_a_set_that_has_arrived_waits_for_others_that_are_far_from_their_end():
    x = np.linspace(-2, 2, 1000)
    features, label = np.stack([np.ones(1000), x], axis=1), x > 0.3 * np.sin(40 * x)
    # Labels that say nothing leave one set where it began.
    weights = np.stack([np.zeros(1000), np.full(1000, 10.0)])
    found = [
        fit_hierarchies(
            Likelihood(features, label, some),
            start_of(*np.zeros((2, len(some), 1))).padded(2),
            stiffness=np.ones((len(some), 1)),
            rate=0.1,
        ).coefficients
        for some in (weights, weights[1:])
    ]
    np.testing.assert_array_equal(found[0][0], 0.0)
    np.testing.assert_allclose(found[0][1], found[1][0], rtol=1e-6)
