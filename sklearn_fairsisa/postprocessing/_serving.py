"""What a fitted post-processor decides by."""

from dataclasses import dataclass
from typing import Any

from ._calibrated import Calibrated
from ._members import checked_member_scores, given_scores


@dataclass(frozen=True)
class Serving:
    """A rule and the members it was solved for, of one instant.

    Parameters
    ----------
    calibrated : Calibrated
    estimator : fitted ensemble, list or None
    """

    calibrated: Calibrated
    estimator: Any

    def scores(self, seen):
        """Scores that the members give to new rows."""
        calibrated = self.calibrated
        classes = calibrated.problem.classes
        if self.estimator is None:
            scores = given_scores(seen, classes, calibrated.holds_labels)
        else:
            scores = checked_member_scores(self.estimator, seen, classes)
        n_members = calibrated.rows.scores.shape[1]
        if scores.shape[1] != n_members:
            raise ValueError(
                f"X holds the outputs of {scores.shape[1]} members, but fit saw "
                f"{n_members}. Give the outputs of the same members."
            )
        return calibrated.problem.turned(scores)
