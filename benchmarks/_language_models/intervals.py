"""Gaps and balanced accuracies with intervals over people and seeds."""

from dataclasses import dataclass

import numpy as np
from _judging import balanced_accuracy, count, gap, noise_floor
from scipy import stats

from .cases import truth

# Simultaneous intervals end at the 7th draw, at the first look at the 13th.
N_RESAMPLES = 4000


@dataclass(frozen=True)
class Sample:
    """Gap and balanced accuracy of one rule in one case.

    Parameters
    ----------
    gap, balanced_accuracy : ndarray of shape (n_seeds, 1 + N_RESAMPLES)
        Of all people, then of resamples of people, which are the same for all rules on
        the same people.
    floor : float
    n_people : int
        Different ones; each seed has them all.
    """

    gap: np.ndarray
    balanced_accuracy: np.ndarray
    floor: float
    n_people: int


def sample(decided, rules, people, corpus, attribute):
    """Measure rules on some people, in each seed.

    Parameters
    ----------
    decided : list of Decided
    rules : list of str
    people : list of ndarray of int
        Sorted, for each seed; all of them are decided on by each rule.

    Returns
    -------
    list of Sample
    """
    n_groups, counts = len(corpus.names(attribute)), []
    for of_seed, who in zip(decided, people, strict=True):
        chosen, names = [of_seed.decisions[rule] for rule in rules], who.tolist()
        probability = np.array([[own[person] for person in names] for own in chosen])
        counts.append(resampled(probability, *truth(corpus, attribute, who), n_groups))
    return [
        Sample(
            np.array([gap(c[r]) for c in counts]),
            np.array([balanced_accuracy(c[r]) for c in counts]),
            float(np.mean([noise_floor(c[r, 0]) for c in counts])),
            n_people=max(map(len, people)),
        )
        for r in range(len(rules))
    ]


def gaps(decided, rule, people, corpus, attribute):
    """Return the gap of a rule on some people in each seed, as `sample`."""
    n_groups, found = len(corpus.names(attribute)), []
    for of_seed, who in zip(decided, people, strict=True):
        own = of_seed.decisions[rule]
        probability = np.array([own[person] for person in who.tolist()])
        counts = count(probability, *truth(corpus, attribute, who), n_groups)
        found.append(gap(counts))
    return np.array(found)


def resampled(probability, y, code, n_groups, seed=0):
    """Counts of all people, then of resamples within each label and group.

    The resamples are the same for all rules on the same people.

    Parameters
    ----------
    probability : ndarray of shape (n_rules, n_people)
    y, code : ndarray of int of shape (n_people,)
    n_groups : int

    Returns
    -------
    ndarray of shape (n_rules, 1 + N_RESAMPLES, 3, 2, n_groups)
        Of the sums of squares, those of all people only.
    """
    rng = np.random.default_rng(seed)
    found = np.zeros((len(probability), 1 + N_RESAMPLES, 3, 2, n_groups))
    for label in (0, 1):
        for group in range(n_groups):
            own = probability[:, (y == label) & (code == group)]
            n = own.shape[1]
            if not n:
                continue
            drawn = rng.multinomial(n, np.full(n, 1 / n), N_RESAMPLES)
            times = np.vstack([np.ones(n), drawn])
            found[:, :, 0, label, group] = n
            found[:, :, 1, label, group] = own @ times.T
            found[:, 0, 2, label, group] = (own**2).sum(axis=1)
    return found


def spread_over_seeds(differences):
    """Pool the standard deviation over seeds of a family of quantities.

    Parameters
    ----------
    differences : list of ndarray of shape (n_seeds,)

    Returns
    -------
    deviation : float
        Of one seed; 0 where there is one seed only.
    freedom : int
        Degrees of freedom.
    """
    several = [d for d in differences if len(d) > 1]
    freedom = sum(len(d) - 1 for d in several)
    if not freedom:
        return 0.0, 0
    squares = sum(np.sum((d - d.mean()) ** 2) for d in several)
    return float(np.sqrt(squares / freedom)), freedom


def freedom_of_changes(freedom, n_changes):
    """Return the degrees of freedom of changes from one value that they share.

    Parameters
    ----------
    freedom : int
        That of independent quantities.
    n_changes : int
        Number of changes from the same value.

    Returns
    -------
    float
        That of Satterthwaite (1946), where all values vary alike.

    References
    ----------
    .. [1] F. E. Satterthwaite (1946). An approximate distribution of estimates of
       variance components. Biometrics Bulletin 2(6).
    """
    return freedom * 4 / (n_changes + 3)


def interval(values, spread, level=0.95):
    """Mean over seeds, with an interval over people and seeds.

    Parameters
    ----------
    values : ndarray of shape (n_seeds, 1 + N_RESAMPLES)
    spread : tuple of float and float
        See `spread_over_seeds`.
    level : float, default=0.95

    Returns
    -------
    estimate, low, high : float
    """
    mean = values.mean(axis=0)
    tail = (1 - level) / 2
    low, high = np.quantile(mean[1:], [tail, 1 - tail])
    deviation, freedom = spread
    of_seeds = 0.0
    if freedom:
        quantile = stats.t.ppf(1 - tail, freedom)
        of_seeds = quantile * deviation / np.sqrt(len(values))
    # Gaps of resamples are biased: the interval may not hold its middle.
    below, above = max(mean[0] - low, 0.0), max(high - mean[0], 0.0)
    return (
        mean[0],
        mean[0] - np.hypot(below, of_seeds),
        mean[0] + np.hypot(above, of_seeds),
    )
