"""Kinds of people, and random draws of them."""

from dataclasses import dataclass

import numpy as np
from sklearn.utils import check_random_state

from ..fairness._constraints import GAPS
from ..fairness._rates import by_decision, gap_rates
from . import _encoding
from ._response import accepts

# Resamples are drawn in blocks of about this many numbers, to bound the memory.
_BLOCK = 2**22


@dataclass(frozen=True)
class Kinds:
    """Kinds of people. Rows of equal group, label and predictions form one kind.

    Attributes
    ----------
    group_names : ndarray of shape (n_groups,)
    group : ndarray of int, shape (n_kinds,)
    y_true : ndarray of shape (n_kinds,)
    y_pred : ndarray of shape (n_kinds, n_repeats)
    count : ndarray of int, shape (n_kinds,)
    label, decisions : ndarrays of shape (n_kinds,) and (n_kinds, n_repeats), or None
        Encoded for the named metrics.
    """

    group_names: np.ndarray
    group: np.ndarray
    y_true: np.ndarray
    y_pred: np.ndarray
    count: np.ndarray
    label: np.ndarray | None
    decisions: np.ndarray | None

    @classmethod
    def of(cls, metrics, y_true, y_pred, sensitive_features, pos_label):
        y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
        named = [metric for metric in metrics.values() if not callable(metric)]
        needs_groups = any(m in GAPS for m in named)
        if needs_groups and sensitive_features is None:
            raise ValueError(
                "A gap between groups needs sensitive_features. Pass the group of "
                "each row."
            )
        label = decisions = None
        if named:
            label, decisions = _encoding.encode(y_true, y_pred, pos_label)
        names, codes = _encoding.code_groups(sensitive_features, len(y_true))
        columns = y_pred.reshape(len(y_true), -1)
        keys = [np.unique(c, return_inverse=True)[1] for c in (y_true, *columns.T)]
        _, first, count = np.unique(
            np.column_stack([codes, *keys]),
            axis=0,
            return_index=True,
            return_counts=True,
        )
        if named:
            label, decisions = label[first], decisions[first]
        kinds = cls(
            names, codes[first], y_true[first], columns[first], count, label, decisions
        )
        for metric in named:
            _encoding.check_defined(metric, kinds.tally(count[None, :])[0][0, 0], names)
        return kinds

    def tally(self, counts):
        """Return tallies of shape (n_draws, 1 or n_repeats, n_groups, 2)."""
        n_groups, n_repeats = len(self.group_names), self.y_pred.shape[1]
        total = np.zeros((len(counts), 1, n_groups, 2))
        chosen = np.zeros((len(counts), n_repeats, n_groups, 2))
        for place in np.unique(2 * self.group + self.label):
            group, label = divmod(place, 2)
            members = (self.group == group) & (self.label == label)
            total[:, 0, group, label] = counts[:, members].sum(axis=1)
            chosen[:, :, group, label] = counts[:, members] @ self.decisions[members]
        return total, chosen

    def fair_tally(self, rng, pools, size):
        """Return tallies of selected people, with decisions drawn from pools."""
        shape = (size, self.y_pred.shape[1], len(self.group_names), 2)
        chosen = np.zeros(shape)
        urns = {}
        for pool in np.unique(pools):
            inside = pools == pool
            decisions, kind = np.unique(
                self.decisions[inside], axis=0, return_inverse=True
            )
            urns[pool] = decisions, np.bincount(kind.ravel(), self.count[inside])
        for group in range(len(self.group_names)):
            for pool, (decisions, weight) in urns.items():
                people = self.count[(pools == pool) & (self.group == group)].sum()
                chosen[:, :, group, pool] = _draw_sums(
                    rng, decisions, weight, people, size
                )
        return chosen

    def strata(self, stratify):
        """Return the index of the stratum of each kind."""
        codes = {
            "group": [self.group],
            "group_and_label": [
                self.group,
                np.unique(self.y_true, return_inverse=True)[1],
            ],
            None: [np.zeros(len(self.count))],
        }[stratify]
        return np.unique(np.column_stack(codes), axis=0, return_inverse=True)[1].ravel()

    def evaluate(self, metrics, counts, deviating=()):
        """Return each metric of each row of counts, averaged over the repeats.

        For gaps in `deviating`, return the spread of the errors of their rates instead.
        """
        values = {}
        tallies = self.tally(counts) if self.label is not None else None
        for name, metric in metrics.items():
            if callable(metric):
                values[name] = np.array([self._call(metric, row) for row in counts])
            elif name in deviating:
                drawn, given = (
                    gap_rates(metric, by_decision(total, chosen), total)
                    for total, chosen in (tallies, self.tally(self.count[None, :]))
                )
                values[name] = _encoding.gap_of(drawn - given).mean(axis=1)
            else:
                values[name] = _encoding.evaluate(metric, *tallies).mean(axis=1)
        return values

    def _call(self, metric, count):
        present = count > 0
        keywords = {"sample_weight": count[present]}
        if accepts(metric, "sensitive_features"):
            keywords["sensitive_features"] = self.group_names[self.group[present]]
        return np.mean(
            [
                metric(self.y_true[present], p[present], **keywords)
                for p in self.y_pred.T
            ]
        )


def generator(random_state):
    seed = check_random_state(random_state).randint(2**31 - 1)
    return np.random.default_rng(seed)


def resample(rng, count, strata, size):
    """Return the number of each kind in `size` resamples, shape (size, n_kinds)."""
    drawn = np.empty((size, len(count)), dtype=np.int64)
    for stratum in np.unique(strata):
        inside = strata == stratum
        people = count[inside].sum()
        drawn[:, inside] = rng.multinomial(people, count[inside] / people, size)
    return drawn


def _draw_sums(rng, values, weight, people, size):
    """Return sums of `people` draws of the values with replacement, `size` times."""
    # Draw the number of times of each value, or person by person, whichever is cheaper.
    if 10 * len(values) < people * values.shape[1]:
        return rng.multinomial(people, weight / weight.sum(), size) @ values
    pool = np.repeat(np.arange(len(values)), weight.astype(int))
    return np.stack(
        [
            values[pool[rng.integers(len(pool), size=people)]].sum(axis=0)
            for _ in range(size)
        ]
    )


def simulate(draw, evaluate, n_draws, width):
    """Evaluate draws in blocks; return one array of shape (n_draws,) per metric."""
    block = max(1, _BLOCK // width)
    sizes = [min(block, n_draws - start) for start in range(0, n_draws, block)]
    parts = [evaluate(draw(size)) for size in sizes]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
