"""Who decides on whom, whatever the number of classes."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..fairness._draws import is_random
from ..fairness._rules import snapped
from ..fairness._solve import Demand


@dataclass(frozen=True, kw_only=True)
class GroupwiseRule:
    """A rule for the groups that can be constrained, another for everyone else.

    Parameters
    ----------
    fair : rule or None
        Of one of the methods. None where no group can be constrained.
    blind : rule or None
        Optimal without regard to groups. None where nobody needs it.
    code : ndarray of int of shape (n_groups,)
        What `fair` calls each group, -1 for groups that `blind` decides on.
    silent_share : ndarray of shape (n_members,), or None
        Share of the calibration weight that each member may not speak of, being the
        only one. None where all members speak of all rows.

    Notes
    -----
    If each calibration row was judged without the member of its own shard, so are new
    people, each member being left out for its share of the decision. Calibration rows
    and new people are then judged alike, whatever the members have memorised: given
    the other members, a row of a shard is to them like anyone new, and which shard it
    fell into says nothing of it.
    """

    fair: Any
    blind: Any
    code: np.ndarray
    silent_share: np.ndarray | None

    def selection_probability(self, scores, group, counted=None):
        """Probability of selection of rows; -1 is an unknown group.

        Parameters
        ----------
        scores : ndarray of shape (n_samples, n_members[, n_classes])
        group : ndarray of int of shape (n_samples,)
        counted : ndarray of bool of shape (n_samples, n_members), default=None
            Members that may speak of a row. None is for new people, of whom no member
            knows: all speak, or each is left out for its share.

        Returns
        -------
        ndarray of shape (n_samples,), or (n_samples, n_classes) of more than two
        """
        if counted is not None or self.silent_share is None:
            return self._decide(scores, group, counted)
        probability = 0.0
        for silent, share in enumerate(self.silent_share):
            counted = np.ones(scores.shape[:2], dtype=bool)
            counted[:, silent] = False
            probability = probability + share * self._decide(scores, group, counted)
        return snapped(probability)

    def randomised_share(self, rows):
        """Share of the weight of rows whose decision is left to a coin."""
        random = is_random(self.selection_probability(rows.scores, rows.group))
        return float(np.average(random, weights=rows.weight))

    def _decide(self, scores, group, counted):
        code = np.append(self.code, -1)[group]
        if self.blind is None:
            return self.fair.selection_probability(scores, code, counted)
        probability = self.blind.selection_probability(
            scores, np.zeros_like(code), counted
        )
        known = code >= 0
        if known.any():
            probability[known] = self.fair.selection_probability(
                scores[known], code[known], None if counted is None else counted[known]
            )
        return probability


def able_groups(rows, method, suffice):
    """Whether each group can be constrained.

    Parameters
    ----------
    rows : CalibrationRows
    method : str
    suffice : callable
        Takes calibration rows and tells of each group whether they have the labels
        that the constraint needs, bool of shape (n_groups,).

    Returns
    -------
    ndarray of bool of shape (n_groups,)
    """
    able = suffice(rows)
    if method == "postprocess_then_aggregate" and rows.counted is not None:
        # Each member's own rule needs the group outside its shard.
        weight = np.ones(len(rows)) if rows.weight is None else rows.weight
        for heard in rows.counted.T:
            able = able & suffice(replace(rows, weight=weight * heard))
    return able


def learn_groupwise(learn, rows, able, *, wants_blind):
    """Learn what rules need to know, whatever the tolerance and the objective.

    Parameters
    ----------
    learn : callable
        Takes calibration rows and returns a function from a demand to a rule.
    rows : CalibrationRows
    able : ndarray of bool of shape (n_groups,)
        Whether each group can be constrained.
    wants_blind : bool
        Whether there may be people of unknown groups.

    Returns
    -------
    callable
        Takes a demand and returns parameters of a `GroupwiseRule`, which solves for
        the groups that can be constrained, and for everyone else.
    """
    code = np.where(able, np.cumsum(able) - 1, -1)
    fair = blind = None
    if able.any():
        able_rows = rows if able.all() else rows.take(able[rows.group])
        fair = learn(replace(able_rows, group=code[able_rows.group]))
    if wants_blind or not able.all():
        blind = learn(replace(rows, group=np.zeros_like(rows.group)))
    silent_share = None
    if rows.counted is not None:
        silent_share = np.average(~rows.counted, axis=0, weights=rows.weight)

    def solve(demand):
        return {
            "fair": fair and fair(demand),
            "blind": blind and blind(Demand(None, demand.objective)),
            "code": code,
            "silent_share": silent_share,
        }

    return solve
