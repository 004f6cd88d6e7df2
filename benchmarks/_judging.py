"""Judge rules on people not seen, and compare two of them, from counts alone.

What a rule decided is kept as counts: an array of shape (3, 2, n_groups), which holds
for each label and group the number of people, the sum of their probabilities of
selection, and the sum of the squares of these. Counts of different people add up, and
those of a mixture of two rules are the mixture of their counts. A curve holds the
counts of one rule at growing tolerances, fold by fold: (n_tolerances, n_folds, 3, 2,
n_groups). The people of different folds differ.

Two rules are compared in two ways. Plainly: the differences of gap and of balanced
accuracy at the strictest tolerance. And at equal gap: both may be as loose as the one
that reaches less, and whoever is compared chooses a tolerance, or a mixture of two
neighbours, on the other folds than it is judged on.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.stats import t as student

OBJECTIVE = "balanced_accuracy_score"
MIXTURES = np.linspace(0, 1, 21)[:, None, None, None]
N_SIMULATIONS = 1000


def count(probability, y, code, n_groups):
    """Return the counts of decisions.

    Parameters
    ----------
    probability : ndarray of shape (n_people,)
        Probability of the positive decision.
    y, code : ndarray of int of shape (n_people,)
        Label 0 or 1, and group from 0.
    n_groups : int

    Returns
    -------
    counts : ndarray of shape (3, 2, n_groups)
    """
    cell = np.asarray(y) * n_groups + code
    weights = None, probability, probability**2
    found = [np.bincount(cell, w, minlength=2 * n_groups) for w in weights]
    return np.reshape(found, (3, 2, n_groups))


def rates(counts):
    """Return FPR and TPR by group, of shape (..., 2, n_groups); NaN where nobody is."""
    with np.errstate(invalid="ignore"):
        return counts[..., 1, :, :] / counts[..., 0, :, :]


def gap(counts):
    """Return the greatest difference of FPR or of TPR between two groups."""
    by_group = rates(counts)
    spread = np.nanmax(by_group, axis=-1) - np.nanmin(by_group, axis=-1)
    return spread.max(axis=-1)


def balanced_accuracy(counts):
    """Return the mean of TPR and TNR over all people."""
    share = counts[..., 1, :, :].sum(axis=-1) / counts[..., 0, :, :].sum(axis=-1)
    return (1 - share[..., 0] + share[..., 1]) / 2


def accuracy(counts):
    """Return the expected share of right decisions."""
    people, selected = counts[..., 0, :, :], counts[..., 1, :, :]
    right = (people - selected)[..., 0, :].sum(-1) + selected[..., 1, :].sum(-1)
    return right / people.sum(axis=(-1, -2))


def noise_floor(counts, seed=0):
    """Return the mean gap by chance of a fair rule with the same overall rates.

    The decisions of each label are of one distribution in all groups, that of the
    counts; the mean over a group is normal.
    """
    people, total, squares = counts
    mean = total.sum(axis=1) / people.sum(axis=1)
    variance = squares.sum(axis=1) / people.sum(axis=1) - mean**2
    # A decision is drawn from this distribution for each person of a group.
    error = np.sqrt(variance.clip(0)[:, None] / np.maximum(people, 1))
    drawn = np.random.default_rng(seed).normal(
        scale=error, size=(N_SIMULATIONS, *error.shape)
    )
    drawn[:, people == 0] = np.nan
    spread = np.nanmax(drawn, axis=-1) - np.nanmin(drawn, axis=-1)
    return spread.max(axis=-1).mean()


def judge(probability, y, group):
    """Return accuracy, balanced accuracy and gap of decisions on people."""
    names, code = np.unique(group, return_inverse=True)
    counts = count(probability, y, code, len(names))
    return {
        "accuracy": accuracy(counts),
        "balanced_accuracy": balanced_accuracy(counts),
        "gap": gap(counts),
    }


def least_gap(curve):
    """Return the least gap of a curve without folds, (n_tolerances, 3, 2, n_groups)."""
    return gap(curve).min()


def choose(curve, level):
    """Return weights of the tolerances that serve best within a gap.

    Parameters
    ----------
    curve : ndarray of shape (n_tolerances, 3, 2, n_groups)
        Of the people to choose on.
    level : float
        Greatest gap.

    Returns
    -------
    weights : ndarray of shape (n_tolerances,)
        Of the mixture of two neighbouring tolerances with the greatest balanced
        accuracy among those within the gap; of the least gap if none is.
    """
    n = len(curve)
    if n == 1:
        return np.ones(1)
    mixed = np.concatenate(
        [(1 - MIXTURES) * a + MIXTURES * b for a, b in pairwise(curve)]
    )
    weights = np.concatenate(
        [
            (1 - MIXTURES[:, :, 0, 0]) * a + MIXTURES[:, :, 0, 0] * b
            for a, b in pairwise(np.eye(n))
        ]
    )
    gaps = gap(mixed)
    within = gaps <= level + 1e-9
    if not within.any():
        return weights[gaps.argmin()]
    return weights[np.where(within, balanced_accuracy(mixed), -1).argmax()]


def at_equal_gap(ours, other):
    """Return the counts of two rules at equal gap, fold by fold.

    Parameters
    ----------
    ours, other : ndarray of shape (n_tolerances, n_folds, 3, 2, n_groups)
        The same people in both.

    Returns
    -------
    ours, other : ndarray of shape (n_folds, 3, 2, n_groups)
        Each fold by the tolerances chosen on the others.
    """
    chosen = [], []
    for fold in range(ours.shape[1]):
        elsewhere = [np.delete(c, fold, axis=1).sum(axis=1) for c in (ours, other)]
        level = max(map(least_gap, elsewhere))
        for curve, known, found in zip((ours, other), elsewhere, chosen):
            found.append(np.tensordot(choose(known, level), curve[:, fold], axes=1))
    return tuple(map(np.array, chosen))


@dataclass(frozen=True)
class Estimate:
    """A difference, with its 95% interval."""

    value: float
    low: float
    high: float


def difference(statistic, ours, other, level=0.95):
    """Estimate the difference of a statistic between two rules on the same people.

    Parameters
    ----------
    statistic : callable
        Of counts, such as `gap`.
    ours, other : list of ndarray of shape (n_folds, 3, 2, n_groups)
        One of each repeat of the folds.
    level : float, default=0.95

    Returns
    -------
    Estimate

    Notes
    -----
    The statistic is that of all folds together, so that the noise of small groups is
    that of all people. Its variance is that of the folds' pseudo-values [1]_, widened
    because the rows that rules learn from overlap between folds [2]_.

    References
    ----------
    .. [1] Efron (1982). The Jackknife, the Bootstrap and Other Resampling Plans.
    .. [2] Nadeau and Bengio (2003). Inference for the Generalization Error. Machine
       Learning 52. Section 3.
    """
    values, pseudo = [], []
    for a, b in zip(ours, other):
        n_folds = len(a)
        whole = statistic(a.sum(axis=0)) - statistic(b.sum(axis=0))
        without = [
            statistic(np.delete(a, f, axis=0).sum(axis=0))
            - statistic(np.delete(b, f, axis=0).sum(axis=0))
            for f in range(n_folds)
        ]
        values.append(whole)
        pseudo += list(n_folds * whole - (n_folds - 1) * np.array(without))
    # Test people over rows to learn from is 1 / (n_folds - 1).
    share = 1 / len(pseudo) + 1 / (n_folds - 1)
    error = np.sqrt(share * np.var(pseudo, ddof=1))
    width = student.ppf((1 + level) / 2, len(pseudo) - 1) * error
    value = np.mean(values)
    return Estimate(value, value - width, value + width)


def describe(curves):
    """Gap, noise floor and balanced accuracy at the strictest tolerance.

    Parameters
    ----------
    curves : list of ndarray of shape (n_tolerances, n_folds, 3, 2, n_groups)
        One of each repeat.
    """
    pooled = [curve[0].sum(axis=0) for curve in curves]
    return {
        "gap": np.mean([gap(c) for c in pooled]),
        "floor": np.mean([noise_floor(c) for c in pooled]),
        "balanced_accuracy": np.mean([balanced_accuracy(c) for c in pooled]),
        "accuracy": np.mean([accuracy(c) for c in pooled]),
    }


def compare(ours, other):
    """Compare two rules plainly and at equal gap.

    Parameters
    ----------
    ours, other : list of ndarray of shape (n_tolerances, n_folds, 3, 2, n_groups)
        One of each repeat.

    Returns
    -------
    dict of str to Estimate
        Ours minus the other: "gap" and "balanced_accuracy" at the strictest tolerance,
        "gap_at_equal_gap" and "balanced_accuracy_at_equal_gap".
    """
    strict = [[curve[0] for curve in curves] for curves in (ours, other)]
    equal = zip(*(at_equal_gap(a, b) for a, b in zip(ours, other)))
    equal = list(map(list, equal))
    return {
        "gap": difference(gap, *strict),
        "balanced_accuracy": difference(balanced_accuracy, *strict),
        "gap_at_equal_gap": difference(gap, *equal),
        "balanced_accuracy_at_equal_gap": difference(balanced_accuracy, *equal),
    }
