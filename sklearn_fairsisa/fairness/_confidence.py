r"""How far apart the true rates of groups may be, given estimates and their errors.

Notes
-----
Let the rates of the groups be :math:`r_a + Z_a` with independent
:math:`Z_a \sim N(0, s_a^2)`. Their spread D, the greatest difference, is at most q with
probability

.. math::
    P(D \le q) = \sum_a \int f_a(x) \prod_{b \ne a} [F_b(x + q) - F_b(x)] \, dx ,

where group a has the least rate. Several rates of the same groups, such as those of
negatives and of positives, concern different people, so their probabilities multiply.
"""

from dataclasses import dataclass

import numpy as np
from scipy.integrate import fixed_quad
from scipy.optimize import brentq
from scipy.special import ndtr

# Beyond six standard errors lies less than rounding in what follows.
_Z = np.linspace(-6.0, 6.0, 97)
# More points than these, of all groups together, are thinned out. Up to twelve groups
# have no more; of a hundred, one in eight leaves probabilities right to about 4e-5.
_MOST_POINTS = 2400
# A group whose rate is certain still needs a density.
LEAST_ERROR = 1e-7


@dataclass(frozen=True)
class GroupRates:
    """Estimates of one rate in every group.

    Parameters
    ----------
    rate : ndarray of shape (n_groups,)
    error : ndarray of shape (n_groups,)
        Standard errors.
    size : ndarray of shape (n_groups,)
        Number of people that each rate rests on, an effective one if they are
        weighted.
    """

    rate: np.ndarray
    error: np.ndarray
    size: np.ndarray

    @property
    def spread(self):
        """Greatest difference between groups of the estimates."""
        return float(np.ptp(self.rate))


def estimate_rates(group, probability, weight, n_groups, *, added=2):
    r"""Mean selection probability of each group, with its standard error.

    Parameters
    ----------
    group : ndarray of int of shape (n_samples,)
    probability : ndarray of shape (n_samples,)
        Expected decisions, in [0, 1].
    weight : ndarray of shape (n_samples,), or None
    n_groups : int
    added : float, default=2
        Number of selected and of rejected people added for the standard error.

    Returns
    -------
    GroupRates
        NaN where a group is empty.

    Notes
    -----
    A weighted mean of n people has the variance :math:`v \sum w^2 / (\sum w)^2`, that
    of :math:`(\sum w)^2 / \sum w^2` people of equal weight. To the variance v of the
    decisions two selected and two rejected people are added, as Agresti and Coull do:
    among ten people who were all selected, the rate is not certain to be 1.

    References
    ----------
    Agresti, A., Coull, B. (1998). Approximate is better than "exact" for interval
    estimation of binomial proportions. The American Statistician 52(2).
    """
    if weight is None:
        weight = np.ones(len(group))
    total, squares, first, second = (
        np.bincount(group, weights=part, minlength=n_groups)
        for part in (weight, weight**2, weight * probability, weight * probability**2)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        size = np.where(total > 0, total**2 / squares, 0.0)
        rate = first / total
        mean = (size * rate + added) / (size + 2 * added)
        variance = (size * second / total + added) / (size + 2 * added) - mean**2
        variance = np.maximum(variance, 0.0)
        return GroupRates(rate, np.sqrt(variance / size), size)


def spread_probability(q, rates):
    """Probability that all of several rates differ by at most q between groups.

    Parameters
    ----------
    q : float
    rates : sequence of (rate, error), arrays of shape (n_groups,)

    Returns
    -------
    float

    Examples
    --------
    Two groups: a normal difference of variance 2.

    >>> import numpy as np
    >>> p = spread_probability(0.5, [(np.zeros(2), np.full(2, 0.18))])
    >>> round(p, 3)
    0.95
    """
    return float(np.prod([_one_spread(q, np.asarray(r), s) for r, s in rates]))


def quantile(level, probability, least, most):
    """Value at which a probability that rises with it reaches a level.

    Parameters
    ----------
    level : float
        In (0, 1).
    probability : callable
        Takes a value and returns the probability of at most that.
    least, most : float
        Ends of what is searched; they are returned where it lies beyond.

    Returns
    -------
    float
    """
    if probability(most) <= level:
        return most
    if probability(least) >= level:
        return least
    return float(brentq(lambda q: probability(q) - level, least, most, xtol=1e-5))


def spread_quantile(level, rates, most=1.0):
    """Difference that the rates keep within at a probability.

    Parameters
    ----------
    level : float
        Probability in (0, 1).
    rates : sequence of (rate, error), arrays of shape (n_groups,)
    most : float, default=1.0
        Greatest difference that there may be, that of rates.

    Returns
    -------
    float
        At least 0, at most `most`.
    """
    return quantile(level, lambda q: spread_probability(q, rates), 0.0, most)


def expected_spread(rates, most=1.0):
    """Mean of the greatest difference over all rates, in [0, `most`]."""
    # Where the probability rises from nothing to one.
    least, most = (spread_quantile(level, rates, most) for level in (1e-6, 1 - 1e-6))
    beyond, _ = fixed_quad(
        lambda q: [1 - spread_probability(at, rates) for at in q], least, most, n=16
    )
    return float(least + beyond)


def largest_error(level, claim, rates):
    """Standard error that no rate may exceed for a claim to be supported.

    Parameters
    ----------
    level : float
        Probability in (0, 1).
    claim : float
        Difference to keep within at that probability.
    rates : sequence of (bias, error), arrays of shape (n_groups,)
        By how much each group's rate is off where all are meant to be equal, and its
        standard error.

    Returns
    -------
    float
        The greatest h for which the claim holds once every error above h has been
        brought down to h, and the bias of the same rate in proportion; infinite if it
        holds as it is.
    """

    def excess(h):
        parts = [np.minimum(1.0, h / error) for _, error in rates]
        shrunk = [(part * b, part * e) for part, (b, e) in zip(parts, rates)]
        return spread_probability(claim, shrunk) - level

    greatest = max(error.max() for _, error in rates)
    if excess(greatest) >= 0:
        return np.inf
    return float(brentq(excess, LEAST_ERROR, greatest, rtol=1e-6))


def _one_spread(q, rate, error):
    if q < 0:
        return 0.0
    if len(rate) == 1:
        return 1.0
    error = np.maximum(error, LEAST_ERROR)[:, None]
    rate = rate[:, None]
    # All the distributions change only where some group's does, here or q further on.
    edges = (rate + error * _Z).ravel()
    edges = np.unique(np.concatenate([edges, edges - q]))
    if len(edges) > _MOST_POINTS:
        # So that the work grows with the number of groups, and not with its square.
        kept = np.linspace(0, len(edges) - 1, _MOST_POINTS)
        edges = edges[kept.astype(np.intp)]
    least = np.diff(ndtr((edges - rate) / error))
    middle = (edges[1:] + edges[:-1]) / 2
    within = ndtr((middle + q - rate) / error) - ndtr((middle - rate) / error)
    # Products over all other groups, without dividing by what may be zero.
    before = np.cumprod(np.vstack([np.ones_like(middle), within[:-1]]), axis=0)
    after = np.cumprod(np.vstack([np.ones_like(middle), within[:0:-1]]), axis=0)[::-1]
    return float(np.sum(least * before * after))
