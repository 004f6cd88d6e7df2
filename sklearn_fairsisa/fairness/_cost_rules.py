"""Fair mixtures of rules that decide at least cost, for more than two classes."""

from dataclasses import dataclass
from functools import partial
from hashlib import blake2b

import numpy as np
from scipy import sparse

from ._level_rules import RuleTable
from ._mixtures import generate, solve_mixtures
from ._rates import sum_by, unit_gains

# Most rounds of a search at the given bounds, and how many without gain end it.
_MAX_ROUNDS = 60
_PATIENCE = 10
# Rounds through the classes in search of the best shifts.
_MAX_SWEEPS = 5
# Numbers that are summed at a time, so that they fit into a cache.
_BLOCK = 2**14


@dataclass(frozen=True)
class CostRuleMixture:
    r"""A mixture, in each group, of rules that decide at least cost.

    A price matrix :math:`\Lambda` makes a deterministic rule of class probabilities
    :math:`\eta`: decide for the k of greatest :math:`\sum_j \eta_j \Lambda_{jk}`. With
    two classes these rules are thresholds.

    Parameters
    ----------
    prices : tuple of ndarray of shape (n_rules, n_classes, n_classes)
        One array per group.
    weights : tuple of ndarray of shape (n_rules,)
        Positive; sum to 1.
    confusion : ndarray of shape (n_groups, n_classes, n_classes)
    cells : RuleTable
        People are in one cell if all the group's rules decide alike on them. `cell`
        holds arrays of codes.

    Notes
    -----
    The best rule on (:math:`\eta`, group) is such a mixture. Candidates are generated
    as columns of a linear program, whose dual prices give the next :math:`\Lambda`.
    Rates and gains are those of the labels, so the constraints hold exactly in
    calibration however wrong :math:`\eta` is; only the choice of candidates depends on
    it.

    The constant rules are candidates, so differences can always be met.
    """

    prices: tuple[np.ndarray, ...]
    weights: tuple[np.ndarray, ...]
    confusion: np.ndarray
    cells: RuleTable

    @classmethod
    def fit(cls, eta, group, label, weight, problem):
        """Solve on calibration rows.

        Parameters
        ----------
        eta : ndarray of shape (n_samples, n_classes)
            Estimated class probabilities.
        group, label : ndarray of int of shape (n_samples,)
        weight : ndarray of shape (n_samples,), or None
        problem : Problem
        """
        n_groups, n_classes = int(group.max()) + 1, eta.shape[1]
        weight = np.ones(len(label)) if weight is None else weight
        by_class = weight[:, None] * np.eye(n_classes)[label]
        totals = sum_by(group, by_class, n_groups)
        gain = unit_gains(totals.sum(axis=0), problem.objective)
        noise = 1e-9 * np.abs(gain).max()
        pools = [
            RulePool(eta[group == a], by_class[group == a], noise)
            for a in range(n_groups)
        ]
        for pool in pools:
            pool.add_constants(n_classes)
            pool.add_best(gain)

        def mix(bounds, least_excess=False):
            sizes = [len(pool.prices) for pool in pools]
            code = np.repeat(np.arange(n_groups), sizes)
            confusion = np.concatenate([pool.confusion for pool in pools])
            worth = (confusion * gain).sum(axis=(1, 2))
            program = code, code, worth, partial(_added, confusion), bounds, gain
            mixed, price, excess = solve_mixtures(*program, least_excess=least_excess)
            value = -excess if least_excess else mixed @ worth
            return value, (mixed, price, code, confusion)

        def extend(mixture):
            _, price, *_ = mixture
            added = [pool.add_best(own) for pool, own in zip(pools, price)]
            return any(added)

        mixed, _, code, confusion = generate(
            mix,
            extend,
            problem,
            totals,
            most_rounds=_MAX_ROUNDS,
            patience=_PATIENCE,
            least_gain=1e-9,
        )
        parts = [pool.mixture(mixed[code == a]) for a, pool in enumerate(pools)]
        mass = np.concatenate([part.mass for part in parts])
        cells = RuleTable(
            np.repeat(np.arange(n_groups), [len(part.mass) for part in parts]),
            [cell for part in parts for cell in part.cell],
            mass / mass.sum(),
            np.concatenate([part.probability for part in parts]),
        )
        return cls(
            tuple(part.prices for part in parts),
            tuple(part.weights for part in parts),
            sum_by(code, mixed[:, None, None] * confusion, n_groups),
            cells,
        )

    @property
    def probability(self):
        """Probabilities of each cell."""
        return self.cells.probability

    def table(self, names):
        """Cells are the decisions of the group's rules, such as "cat|dog"."""
        names = np.asarray(names, dtype=object)
        return RuleTable(
            self.cells.group,
            ["|".join(names[decided]) for decided in self.cells.cell],
            self.cells.mass,
            self.cells.probability,
        )

    def selection_probability(self, eta, group):
        """Probabilities of rows of known groups."""
        probability = np.zeros(eta.shape)
        for a in np.unique(group):
            rows = np.flatnonzero(group == a)
            probability[rows] = mixed_decisions(
                [best_decision(eta[rows], price) for price in self.prices[a]],
                self.weights[a],
                eta.shape[1],
            )
        return probability


@dataclass(frozen=True)
class _GroupMixture:
    prices: np.ndarray
    weights: np.ndarray
    code: np.ndarray
    cell: np.ndarray
    mass: np.ndarray
    probability: np.ndarray


class RulePool:
    """Deterministic rules of the same people that all decide differently.

    Parameters
    ----------
    eta : ndarray of shape (n_samples, n_kinds)
        Estimated probabilities of the kinds of people, which are classes, or classes of
        groups.
    by_class : ndarray of shape (n_samples, n_kinds)
        Weight of each person's own kind.
    noise : float
        Prices below it are rounding errors.
    """

    def __init__(self, eta, by_class, noise):
        self.eta, self.by_class, self.noise = eta, by_class, noise
        # Contiguous columns, of which the search reads one after the other.
        self._kinds = np.ascontiguousarray(eta.T)
        self.prices, self.decided, self.matrices = [], [], []
        self.known = set()

    def add(self, price):
        """Add a rule; return whether it is new."""
        return self._add(price, best_decision(self.eta, price))

    def add_constants(self, n_classes):
        """Add the rules that decide for one class wherever anything is probable."""
        n_kinds = self.eta.shape[1]
        some = expected_worth(self.eta, np.ones((n_kinds, 1)))[:, 0] > 0
        for k in range(n_classes):
            self._add(np.eye(n_classes)[[k] * n_kinds], np.where(some, k, 0))

    def _add(self, price, decided):
        decided = decided.astype(np.min_scalar_type(len(price)))
        key = blake2b(decided).digest()
        if key in self.known:
            return False
        self.known.add(key)
        self.prices.append(price)
        self.decided.append(decided)
        matrix = sum_by(decided, self.by_class, price.shape[1])
        self.matrices.append(matrix.T)
        return True

    def add_best(self, price):
        """Add a rule that is worth much at some prices; return whether it is new.

        The estimated probabilities give a first rule, which is the best if they are
        right. The labels then show, class by class, how far to shift its worth.
        """
        # What deciding for the first class is worth can be set to nothing. Rounding
        # errors must not decide where the rest is worth no more.
        price = price - price[:, [0]]
        price[np.abs(price) < self.noise] = 0.0
        gains = self.by_class @ price
        worth = expected_worth(self.eta, price)
        n_classes, n_unmoved = price.shape[1], 0
        for k in np.tile(np.arange(n_classes), _MAX_SWEEPS):
            moved = price[:, k] + best_shift(worth, gains, k)
            if (moved != price[:, k]).any():
                n_unmoved = 0
                price[:, k] = moved
                # The other columns stay as they are.
                worth[:, k] = self._worth_of(moved)
                continue
            n_unmoved += 1
            if n_unmoved == n_classes:
                break
        return self._add(price, worth.argmax(axis=1))

    def _worth_of(self, price):
        """One column of `expected_worth`, with the same bits."""
        worth, part = np.zeros(len(self.eta)), np.empty(len(self.eta))
        for chance, p in zip(self._kinds, price):
            worth += np.multiply(chance, p, out=part)
        return worth

    @property
    def confusion(self):
        """Confusion matrices of the rules, (n_rules, n_classes, n_classes)."""
        return np.stack(self.matrices)

    def mixture(self, weights):
        """The rules of positive weight, and how they divide the group."""
        used = np.flatnonzero(weights)
        n_classes = self.prices[0].shape[1]
        decided = np.column_stack([self.decided[t] for t in used])
        cell, code = np.unique(decided, axis=0, return_inverse=True)
        return _GroupMixture(
            np.stack([self.prices[t] for t in used]),
            weights[used],
            code.ravel(),
            cell,
            sum_by(code.ravel(), self.by_class, len(cell)).sum(axis=1),
            mixed_decisions(cell.T, weights[used], n_classes),
        )


def _added(confusion, rates, share):
    """What options of given confusion matrices add to bounded rates."""
    pairs, by_pair = rates.pairs, confusion.reshape(len(confusion), -1).T
    share = np.repeat(share, np.diff(pairs.indptr), axis=0)
    hits = share * by_pair[pairs.indices]
    of_rate = pairs.data, np.arange(len(hits)), pairs.indptr
    return sparse.csr_array(of_rate) @ hits


def best_decision(eta, price):
    """Class that is worth most to decide for, the first of several.

    Parameters
    ----------
    eta : ndarray of shape (n_samples, n_classes)
    price : ndarray of shape (n_classes, n_classes)
        What deciding k (column) on a person of class j (row) is worth.

    Returns
    -------
    ndarray of int of shape (n_samples,)
    """
    return expected_worth(eta, price).argmax(axis=1)


def expected_worth(eta, price):
    """What each decision is worth on average, (n_samples, n_classes)."""
    worth = np.zeros((len(eta), price.shape[1]))
    n_rows = max(1, _BLOCK // price.shape[1])
    part = np.empty((min(n_rows, len(eta)), price.shape[1]))
    for first in range(0, len(eta), n_rows):
        rows = slice(first, first + n_rows)
        block, of_block = worth[rows], part[: len(eta) - first]
        # Class by class, so that a number never depends on the batch it came in.
        for chance, p in zip(eta[rows].T, price):
            block += np.multiply(chance[:, None], p, out=of_block)
    return worth


def best_shift(worth, gains, k):
    """How far the worth of one class should be moved for the greatest total gain.

    Parameters
    ----------
    worth : ndarray of shape (n_samples, n_classes)
        The class of greatest worth is decided for. It is as before when this returns.
    gains : ndarray of shape (n_samples, n_classes)
        What each decision gains.
    k : int

    Returns
    -------
    float
        0 where nothing gains more than that.

    Notes
    -----
    As class k is moved up, one row after the other changes to it, in the order of the
    distances to the best other class. All cuts of this order are compared.
    """
    own, rows = worth[:, k].copy(), np.arange(len(worth))
    worth[:, k] = -np.inf
    rival = worth.argmax(axis=1)
    worth[:, k] = own
    distance = worth[rows, rival] - own
    order = np.argsort(distance, kind="stable")
    distance = distance[order]
    change = (gains[:, k] - gains[rows, rival])[order]
    total = np.zeros(len(change) + 1)
    np.cumsum(change, out=total[1:])
    # Rows of equal distance change together.
    cut = np.ones(len(total), dtype=bool)
    np.not_equal(distance[1:], distance[:-1], out=cut[1:-1])
    best = np.argmax(np.where(cut, total, -np.inf))
    # A row at distance 0 goes to the first of the two classes.
    now = np.searchsorted(distance, 0.0, side="left")
    if total[best] <= total[now] + 1e-12 * np.abs(change).sum():
        return 0.0
    if best in (0, len(distance)):
        beyond = 1.0 + np.abs(distance).max()
        return -beyond if best == 0 else beyond
    return (distance[best - 1] + distance[best]) / 2


def mixed_decisions(decided, weights, n_classes):
    """Probabilities under a mixture of decisions, (n_samples, n_classes)."""
    rows = np.arange(len(decided[0]))
    probability = np.zeros((len(rows), n_classes))
    for decision, weight in zip(decided, weights):
        probability[rows, decision] += weight
    # Weights that sum to 1 up to rounding must not randomise certain decisions.
    return np.where(probability > 1 - 1e-12, 1.0, probability)
