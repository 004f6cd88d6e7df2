"""Rules that select whole levels of a group, the likelier ones first."""

from dataclasses import dataclass

import numpy as np

from ._regions import Region
from ._rules import selection_by_level
from ._solve import operating_points


@dataclass(frozen=True)
class LevelRule:
    """Probability of selection of each level of each group.

    Parameters
    ----------
    regions : tuple of Region of length n_groups
    fpr, tpr : ndarray of shape (n_groups,)
        Operating points.
    by_level : tuple of ndarray of shape (n_levels,)
        Probabilities, which never rise from level to level.
    """

    regions: tuple[Region, ...]
    fpr: np.ndarray
    tpr: np.ndarray
    by_level: tuple[np.ndarray, ...]

    @classmethod
    def solve(cls, regions, demand):
        """Find the best operating points and the rule that realises them."""
        fpr, tpr = operating_points(regions, demand)
        by_level = tuple(selection_by_level(*point) for point in zip(regions, fpr, tpr))
        return cls(regions, fpr, tpr, by_level)
