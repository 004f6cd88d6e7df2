r"""Fair rules for people whose group is estimated, and not known.

Notes
-----
Of a person :math:`q(a, j \mid x) = P(A=a, Y=j \mid x)` is estimated. A rate of group a
is linear in the probabilities :math:`p_k(x)` of the decisions:

.. math:: P(k \mid A=a, Y=j) = E[q(a, j \mid x)\, p_k(x)] / P(A=a, Y=j) .

So are accuracy, mean recall and expected cost. With :math:`\lambda` the multipliers of
the constraints, the best rule decides for the k of greatest

.. math:: \sum_{a, j} \Lambda_{ajk}\, q(a, j \mid x), \qquad
    \Lambda_{ajk} = g_{jk} - \lambda_{ajk} / P(A=a, Y=j) ,

where g is the gain. Where x varies smoothly, hardly anybody is in a tie, and no
decision need be randomised.

Rates are those of the people whose group and label are known, as far as these are many:
a rate that rests on n people counts them with weight :math:`n / (n + m)`, and with
:math:`m / (n + m)` what the estimates expect. Equal rates as estimated would be as
wrong as the estimates; equal counts of few people would be equalities of noise.

References
----------
Menon, Williamson (2018), The cost of fairness in binary classification, FAT*, section
4. Zeng, Cheng, Dobriban (2024), Bayes-optimal fair classification with linear disparity
constraints via pre-, in- and post-processing. Xian, Zhao (2024), A unified
post-processing framework for group fairness in classification.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ._cost_rules import RulePool, best_decision, mixed_decisions
from ._level_rules import RuleTable
from ._mixtures import charged, generate
from ._programs import LimitedRates, cheapest_weights
from ._rates import sum_by, unit_gains

# People that the estimates weigh as much as.
MODEL_PEOPLE = 100.0
# Most rounds at the given bounds, and how many that gain less than is of note end them.
_MAX_ROUNDS, _PATIENCE, _GAIN = 60, 8, 1e-6


@dataclass(frozen=True)
class JointRule:
    """A mixture of rules that decide at least cost, whatever the group is.

    Parameters
    ----------
    prices : ndarray of shape (n_rules, n_groups * n_classes, n_classes)
        What each decision on a person of a group and class is worth.
    weights : ndarray of shape (n_rules,)
        Positive; sum to 1.
    confusion : ndarray of shape (n_groups, n_classes, n_classes)
        Weight of the people of each true class (row) and decision (column), counted
        and estimated as in the module's Notes.
    counted : ndarray of shape (n_groups, n_classes)
        With which weight people are counted, and not estimated.
    cells : RuleTable
        People are in one cell if all rules decide alike on them. `cell` holds arrays
        of codes.
    """

    prices: np.ndarray
    weights: np.ndarray
    confusion: np.ndarray
    counted: np.ndarray
    cells: RuleTable

    @classmethod
    def fit(cls, joint, group, label, weight, problem, *, people=MODEL_PEOPLE):
        """Solve on calibration rows.

        Parameters
        ----------
        joint : ndarray of shape (n_samples, n_groups, n_classes)
            Estimated probabilities of group and class. They may sum to less than 1 in
            a row, where other groups are possible.
        group, label : ndarray of int of shape (n_samples,)
            Known groups and classes, each of which some row is of.
        weight : ndarray of shape (n_samples,), or None
        problem : Problem
        people : float, default=100.0
            Number of people that the estimates weigh as much as.
        """
        n_rows, n_groups, n_classes = joint.shape
        n_kinds = n_groups * n_classes
        weight = np.ones(n_rows) if weight is None else weight
        joint = joint.reshape(n_rows, n_kinds)
        seen = weight[:, None] * np.eye(n_kinds)[group * n_classes + label]
        totals, number = seen.sum(axis=0), (seen > 0).sum(axis=0)
        expected = weight[:, None] * joint
        expected *= totals / np.maximum(expected.sum(axis=0), 1e-300)
        counted = number / np.maximum(number + people, 1)
        by_kind = counted * seen + (1 - counted) * expected
        totals = totals.reshape(n_groups, n_classes)
        gain = np.tile(unit_gains(totals.sum(axis=0), problem.objective), (n_groups, 1))
        pool = RulePool(joint, by_kind, 1e-9 * np.abs(gain).max())
        pool.add_constants(n_classes)
        pool.add_best(gain)
        # What deciding right on everybody gains, more than the worst decisions.
        scale = totals.sum(axis=0) @ np.ptp(gain[:n_classes], axis=1)

        def mix(bounds, least_excess=False):
            confusion = pool.confusion
            worth = (confusion * gain).sum(axis=(1, 2))
            program = confusion, worth, gain, bounds
            mixed, price, excess = _best_mixture(*program, least_excess=least_excess)
            value = -excess if least_excess else mixed @ worth
            return value, (mixed, price, confusion)

        def extend(mixture):
            mixed, price, _ = mixture
            # A rule between those that are mixed randomises nobody.
            between = np.tensordot(mixed, np.stack(pool.prices), axes=1)
            added = [pool.add(between), pool.add(price), pool.add_best(price)]
            return any(added)

        mixed, _, confusion = generate(
            mix,
            extend,
            problem,
            totals,
            most_rounds=_MAX_ROUNDS,
            patience=_PATIENCE,
            least_gain=_GAIN * scale,
        )
        part = pool.mixture(np.append(mixed, np.zeros(len(pool.prices) - len(mixed))))
        by_group = np.eye(n_groups)[group] * weight[:, None]
        mass = sum_by(part.code, by_group, len(part.cell)).T
        cells = RuleTable(
            np.repeat(np.arange(n_groups), len(part.cell)),
            [cell for _ in range(n_groups) for cell in part.cell],
            mass.ravel() / mass.sum(),
            np.tile(part.probability, (n_groups, 1)),
        )
        confusion = np.tensordot(mixed, confusion, axes=1)
        return cls(
            part.prices,
            part.weights,
            confusion.reshape(n_groups, n_classes, n_classes),
            counted.reshape(n_groups, n_classes),
            cells,
        )

    @property
    def probability(self):
        """Probabilities of each cell, of the second of two classes."""
        probability = self.cells.probability
        return probability[:, 1] if probability.shape[1] == 2 else probability

    def table(self, names):
        """Cells are the decisions of the rules that are mixed, such as "1|0"."""
        names = np.asarray(names, dtype=object)
        return RuleTable(
            self.cells.group,
            ["|".join(names[decided]) for decided in self.cells.cell],
            self.cells.mass,
            self.probability,
        )

    def selection_probability(self, joint):
        """Probabilities of rows, of the second of two classes or of each.

        Parameters
        ----------
        joint : ndarray of shape (n_samples, n_groups, n_classes)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
        """
        n_rows, _, n_classes = joint.shape
        joint = joint.reshape(n_rows, -1)
        decided = [best_decision(joint, price) for price in self.prices]
        probability = mixed_decisions(decided, self.weights, n_classes)
        return probability[:, 1] if n_classes == 2 else probability


def _best_mixture(confusion, worth, gain, bounds, *, least_excess=False):
    """Weights of rules, and what decisions on each kind of people are worth.

    Parameters
    ----------
    confusion : ndarray of shape (n_rules, n_groups * n_classes, n_classes)
    worth : ndarray of shape (n_rules,)
    gain : ndarray of shape (n_groups * n_classes, n_classes)
    bounds : list of BoundedRates
    least_excess : bool, default=False
        Whether to exceed the constraints by as little as possible, at any loss.
    """
    n_rules, _, n_classes = confusion.shape
    by_group = confusion.reshape(n_rules, -1, n_classes**2)
    gain_of = gain.reshape(-1, n_classes, n_classes) * (not least_excess)
    limited = [_limited(bound, by_group) for bound in bounds]
    block = np.zeros(n_rules, dtype=int)
    weight, multipliers, excess = cheapest_weights(
        block, -worth, limited, least_excess=least_excess
    )
    price = charged(gain_of, bounds, multipliers)
    weight = np.where(weight < 1e-9, 0.0, weight)
    return weight / weight.sum(), price.reshape(gain.shape), excess


def _limited(bound, by_group):
    """What rules add, of given (n_rules, n_groups, n_classes**2), to bounded rates."""
    n_rates, n_parts = bound.people.shape
    hits = np.zeros((n_parts, n_rates, len(by_group)))
    for a, part in enumerate(bound.part):
        hits[part] += bound.pairs @ by_group[:, a].T
    added = bound.shares[:, :, None] * hits.swapaxes(0, 1)
    added = sparse.coo_array(added.reshape(n_rates * n_parts, -1))
    return LimitedRates(added, bound.people > 0, bound.limits)
