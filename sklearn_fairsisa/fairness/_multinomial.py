r"""Multinomial logistic regression with a ridge penalty.

Notes
-----
With weights w of the rows, features x and an intercept, the minimum of

.. math:: -\sum_i w_i \log p_{y_i}(x_i) + \frac{\rho}{2} \sum_{kj} W_{kj}^2

is searched by L-BFGS in other unknowns, :math:`U = W L` with

.. math:: L L^T = \frac{K - 1}{K^2} \sum_i w_i x_i x_i^T + \rho I .

This is the curvature of each class where all are equally likely. There all directions
of U curve alike, and later nearly so, so that features that vary together cost no more
steps, and more classes few.
"""

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import minimize

from ._hierarchy import share_of_people

# Greatest slope, in units of the scaled unknowns, at which the search ends.
_FLAT = 1e-6
_MAX_STEPS = 2000


def fit_multinomial(features, label, weight, n_classes, *, penalty=1.0):
    """Find the coefficients of each class.

    Parameters
    ----------
    features : ndarray of shape (n_rows, n_features)
    label : ndarray of int of shape (n_rows,)
        Codes of the classes, each of which some row is of.
    weight : ndarray of shape (n_rows,)
        See `share_of_people`.
    n_classes : int
    penalty : float, default=1.0
        Factor of half the squared coefficients, intercepts aside.

    Returns
    -------
    coefficients : ndarray of shape (n_classes, n_features)
    intercept : ndarray of shape (n_classes,)

    Examples
    --------
    Without features the probabilities are the shares of the classes:

    >>> import numpy as np
    >>> label = np.array([0, 1, 1, 2, 2, 2, 2])
    >>> _, intercept = fit_multinomial(np.zeros((7, 1)), label, np.ones(7), 3)
    >>> (np.exp(intercept) / np.exp(intercept).sum()).round(3)
    array([0.143, 0.286, 0.571])
    """
    weight = share_of_people(weight) * weight
    features = np.hstack([features, np.ones((len(features), 1))])
    n_features = features.shape[1]
    ridge = np.full(n_features, penalty)
    ridge[-1] = 0.0
    equal = (n_classes - 1) / n_classes**2
    curvature = (features * (equal * weight)[:, None]).T @ features + np.diag(ridge)
    root = cholesky(curvature, lower=True)
    scaled = np.ascontiguousarray(solve_triangular(root, features.T, lower=True).T)
    # The penalty as a quadratic form of the scaled unknowns.
    form = solve_triangular(root, np.diag(np.sqrt(ridge)), lower=True)
    form = form @ form.T
    rows = np.arange(len(label))

    def loss_and_slope(unknown):
        unknown = unknown.reshape(n_classes, n_features)
        chance = scaled @ unknown.T
        chance -= chance.max(axis=1, keepdims=True)
        own = chance[rows, label]
        np.exp(chance, out=chance)
        total = chance.sum(axis=1, keepdims=True)
        ridged = unknown @ form
        loss = weight @ (np.log(total[:, 0]) - own) + np.sum(ridged * unknown) / 2
        chance /= total
        chance[rows, label] -= 1
        chance *= weight[:, None]
        return loss, (chance.T @ scaled + ridged).ravel()

    found = minimize(
        loss_and_slope,
        np.zeros(n_classes * n_features),
        jac=True,
        method="L-BFGS-B",
        options={"gtol": _FLAT, "ftol": 0.0, "maxiter": _MAX_STEPS},
    )
    unknown = found.x.reshape(n_classes, n_features)
    coefficients = solve_triangular(root, unknown.T, lower=True, trans="T").T
    return coefficients[:, :-1], coefficients[:, -1]
