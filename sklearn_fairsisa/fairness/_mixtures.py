r"""Rules whose confusion rates agree between groups, by linear programming.

Notes
-----
With K classes a rule of group a has a confusion matrix :math:`M_a`, whose entry (j, k)
is the weight of the people of class j decided k. Each rate that may be constrained is
linear in it,

.. math::
    r_a = \sum_j h_{aj} M_{ajk} ,

with constants h that depend on the group's labels only; so are accuracy, mean recall
and expected cost. A rule mixes options within blocks: the K decisions of a cell, or
the deterministic rules of a group. Its confusion matrices are linear in the weights of
the options, so the best rule is the solution of a linear program.

At most (number of blocks) + (number of independent equalities) weights of a vertex
solution are positive. For equalized odds at ``tol=0`` these are (G - 1) K (K - 1), and
that many blocks at most are randomised.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ._programs import solve_program

CLASS_RATES = {
    "equalized_odds": "confusion",
    "demographic_parity": "share",
    "true_positive_rate_parity": "recall",
    "false_negative_rate_parity": "recall",
    "false_positive_rate_parity": "false alarm",
    "true_negative_rate_parity": "false alarm",
}
"""Kind of rates that each constraint wants equal in all groups; see `class_rates`."""


@dataclass(frozen=True)
class LabelCounts:
    """Weight of each class in each observed (group, cell).

    Parameters
    ----------
    group, cell : ndarray of int of shape (n_entries,)
        Sorted by group, then cell. Only pairs that occur are stored.
    weight : ndarray of shape (n_entries, n_classes)
    n_groups : int
    """

    group: np.ndarray
    cell: np.ndarray
    weight: np.ndarray
    n_groups: int

    @property
    def totals(self):
        """Weight of each class of each group, of shape (n_groups, n_classes)."""
        return sum_by(self.group, self.weight, self.n_groups)


def count_labels(group, cell, label, weight=None, *, n_groups, n_classes):
    """Count the labels in each (group, cell).

    Parameters
    ----------
    group, cell, label : array-like of int of shape (n_samples,)
        Non-negative codes.
    weight : array-like of shape (n_samples,), default=None
        1 each if None.
    n_groups, n_classes : int

    Returns
    -------
    LabelCounts

    Examples
    --------
    >>> counts = count_labels([0, 0, 1], [4, 4, 4], [0, 2, 1], n_groups=2, n_classes=3)
    >>> counts.weight
    array([[1., 0., 1.],
           [0., 1., 0.]])
    """
    group, cell = np.asarray(group, dtype=np.int64), np.asarray(cell, dtype=np.int64)
    weight = np.ones(len(group)) if weight is None else np.asarray(weight, dtype=float)
    n_cells = int(cell.max(initial=0)) + 1
    pairs, entry = np.unique(group * n_cells + cell, return_inverse=True)
    one_hot = np.eye(n_classes)[np.asarray(label, dtype=np.int64)]
    table = sum_by(entry, weight[:, None] * one_hot, len(pairs))
    # A weight of zero is no row at all.
    kept = table.any(axis=1)
    return LabelCounts(
        pairs[kept] // n_cells, pairs[kept] % n_cells, table[kept], n_groups
    )


def sum_by(code, values, n_codes):
    """Sums of the rows of `values` that share a code, of shape (n_codes, ...)."""
    shape = values.shape[1:]
    columns = values.reshape(len(values), int(np.prod(shape))).T
    sums = [np.bincount(code, weights=column, minlength=n_codes) for column in columns]
    return np.stack(sums, axis=1).reshape(n_codes, *shape)


@dataclass(frozen=True)
class ClassRates:
    r"""Rates :math:`r_a = \sum_j h_{aj} M_{ajk}` of each group.

    Parameters
    ----------
    weight_by_class : ndarray of shape (n_rates, n_groups, n_classes)
        The constants h. NaN or infinite where a group lacks those whose rate it is.
    decision : ndarray of int of shape (n_rates,)
        The decision k of each rate.
    """

    weight_by_class: np.ndarray
    decision: np.ndarray

    def of(self, confusion, group):
        """Rates of confusion matrices.

        Parameters
        ----------
        confusion : ndarray of shape (n, n_classes, n_classes)
        group : ndarray of int of shape (n,)

        Returns
        -------
        ndarray of shape (n_rates, n)
        """
        columns = confusion[:, :, self.decision].transpose(2, 0, 1)
        # A class that a group lacks adds nothing to any of its rates.
        defined = np.isfinite(self.weight_by_class)
        weight = np.where(defined, self.weight_by_class, 0.0)
        return (weight[:, group] * columns).sum(axis=2)


def class_rates(kind, totals):
    """Rates that a constraint wants equal.

    Parameters
    ----------
    kind : {"confusion", "share", "recall", "false alarm"}
        P(decision = k | Y = j) for all j and k; P(decision = k) for all k;
        P(decision = k | Y = k) for all k; P(decision = k | Y != k) for all k.
    totals : ndarray of shape (n_groups, n_classes)
        Weight of each class of each group.

    Returns
    -------
    ClassRates
    """
    counted, decision = counted_classes(kind, totals.shape[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        weight_by_class = counted[:, None] / (counted @ totals.T)[:, :, None]
    return ClassRates(weight_by_class, decision)


def counted_classes(kind, n_classes):
    """Whose rates a constraint wants equal, and of which decision.

    Parameters
    ----------
    kind : str
        As for `class_rates`.
    n_classes : int

    Returns
    -------
    counted : ndarray of bool of shape (n_rates, n_classes)
        True classes of the people whose rate it is.
    decision : ndarray of int of shape (n_rates,)
    """
    classes = np.arange(n_classes)
    own = np.eye(n_classes, dtype=bool)
    if kind == "confusion":
        return np.repeat(own, n_classes, axis=0), np.tile(classes, n_classes)
    if kind == "share":
        return np.ones_like(own), classes
    return own if kind == "recall" else ~own, classes


def defined_rates(kind, totals):
    """Whether each group has the people whose rates are meant, of shape (n_groups,)."""
    rates = class_rates(kind, totals)
    return np.isfinite(rates.weight_by_class).all(axis=(0, 2))


@dataclass(frozen=True)
class ConfusionGain:
    """A linear objective over confusion matrices.

    Parameters
    ----------
    gain : ndarray of shape (n_classes, n_classes)
        What a unit weight of class j decided k gains.
    sign : {1, -1}
        -1 where users know the objective as a cost.
    """

    gain: np.ndarray
    sign: int

    def value(self, confusion):
        """Objective at the groups' matrices, (n_groups, n_classes, n_classes)."""
        return float(self.sign * np.sum(self.gain * confusion.sum(axis=0)))


def confusion_gain(totals, objective):
    """Gain of an objective.

    Parameters
    ----------
    totals : ndarray of shape (n_groups, n_classes)
    objective : {"accuracy_score", "balanced_accuracy_score"} or array-like
        An array of shape (n_classes, n_classes) holds the cost of deciding k on a
        person of class j.

    Returns
    -------
    ConfusionGain
    """
    weight = totals.sum(axis=0)
    if isinstance(objective, str) and objective == "accuracy_score":
        return ConfusionGain(np.eye(len(weight)) / weight.sum(), 1)
    if isinstance(objective, str):
        # Where forgetting left nobody of a class, it has no recall to be averaged.
        present = weight > 0
        recall = np.where(present, 1 / np.where(present, weight, 1), 0)
        return ConfusionGain(np.diag(recall) / present.sum(), 1)
    return ConfusionGain(-np.asarray(objective, dtype=float) / weight.sum(), -1)


def solve_mixtures(block, group, confusion, gain, rates, tol):
    r"""Best weights of options within blocks.

    Parameters
    ----------
    block, group : ndarray of int of shape (n_options,)
        Block and group of each option; every block has an option.
    confusion : ndarray of shape (n_options, n_classes, n_classes)
        What an option of weight 1 adds to the confusion matrix of its group.
    gain : ndarray of shape (n_classes, n_classes)
    rates : ClassRates or None
        None leaves the groups unconstrained.
    tol : float
        Greatest allowed difference between groups of each rate.

    Returns
    -------
    weight : ndarray of shape (n_options,)
        Non-negative; sums to 1 in each block.
    price : ndarray of shape (n_groups, n_classes, n_classes)
        Gain of a unit weight of class j decided k in group a, less what it costs the
        constraints. By duality an option outside the program would improve on it only
        if it were worth more at these prices than its block is.

    Notes
    -----
    Unknowns are the weights w and the least value :math:`m_r` of each rate:
    :math:`m_r \le r_a(w) \le m_r + tol`.
    """
    n_options, n_blocks = len(block), int(block.max()) + 1
    n_groups = int(group.max()) + 1
    cost = -(confusion * gain).sum(axis=(1, 2))
    option = np.arange(n_options)
    a_eq = sparse.csr_array(
        (np.ones(n_options), (block, option)), (n_blocks, n_options)
    )
    b_eq = np.ones(n_blocks)
    a_ub = b_ub = None
    n_rates = 0 if rates is None else len(rates.decision)
    if n_rates:
        at = np.arange(n_rates)[:, None] * n_groups + group
        rate = sparse.csr_array(
            (
                rates.of(confusion, group).ravel(),
                (at.ravel(), np.tile(option, n_rates)),
            ),
            (n_rates * n_groups, n_options),
        )
        least = sparse.csr_array(np.kron(np.eye(n_rates), np.ones((n_groups, 1))))
        above = sparse.hstack([rate, -least])
        a_eq = sparse.hstack([a_eq, sparse.csr_array((n_blocks, n_rates))])
        cost = np.concatenate([cost, np.zeros(n_rates)])
        if tol == 0:
            a_eq = sparse.vstack([a_eq, above])
            b_eq = np.concatenate([b_eq, np.zeros(n_rates * n_groups)])
        else:
            a_ub = sparse.vstack([above, -above], format="csr")
            b_ub = np.repeat([tol, 0.0], n_rates * n_groups)
    result = solve_program(
        cost, A_ub=a_ub, b_ub=b_ub, A_eq=sparse.csr_array(a_eq), b_eq=b_eq
    )
    price = np.repeat(gain[None], n_groups, axis=0)
    if n_rates:
        if tol == 0:
            multiplier = result.eqlin.marginals[n_blocks:]
        else:
            upper, lower = np.split(result.ineqlin.marginals, 2)
            multiplier = upper - lower
        multiplier = multiplier.reshape(n_rates, n_groups, 1)
        charge = np.zeros((n_rates, n_groups, gain.shape[0]))
        np.multiply(multiplier, rates.weight_by_class, out=charge)
        for k, of_rate in zip(rates.decision, charge):
            price[:, :, k] += of_rate
    weight = result.x[:n_options]
    # Rounding errors must not turn certain decisions into coins.
    weight = np.where(weight < 1e-9, 0.0, weight)
    return weight / np.bincount(block, weights=weight)[block], price


def solve_cells(counts, demand):
    """Probability of each decision in each cell.

    Parameters
    ----------
    counts : LabelCounts
    demand : Demand

    Returns
    -------
    ndarray of shape (n_entries, n_classes)

    Notes
    -----
    Cells of a group whose labels are distributed alike are one to the program, so
    people of equal evidence are treated equally; no rule gains by telling them apart.
    """
    n_classes = counts.weight.shape[1]
    mass = counts.weight.sum(axis=1, keepdims=True)
    evidence = np.column_stack([counts.group, counts.weight / mass])
    levels, level = np.unique(evidence, axis=0, return_inverse=True)
    level = level.ravel()
    weight = sum_by(level, counts.weight, len(levels))
    # Option k of a level puts its people into column k.
    confusion = np.zeros((len(levels), n_classes, n_classes, n_classes))
    for k in range(n_classes):
        confusion[:, k, :, k] = weight
    totals = counts.totals
    probability, _ = solve_mixtures(
        np.repeat(np.arange(len(levels)), n_classes),
        np.repeat(levels[:, 0].astype(np.int64), n_classes),
        confusion.reshape(-1, n_classes, n_classes),
        confusion_gain(totals, demand.objective).gain,
        demanded_rates(totals, demand),
        demand.tol,
    )
    return probability.reshape(-1, n_classes)[level]


def demanded_rates(totals, demand):
    """Rates that a demand constrains, None if there are none."""
    if demand.constraint is None or demand.tol >= 1 or len(totals) == 1:
        return None
    return class_rates(CLASS_RATES[demand.constraint], totals)
