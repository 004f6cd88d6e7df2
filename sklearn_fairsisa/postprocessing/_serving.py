"""What a fitted post-processor decides by."""

from dataclasses import dataclass
from typing import Any

from ._calibrated import Calibrated
from ._members import checked_member_scores, given_scores
from ._views import as_numbers


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
        n_members = calibrated.rows.of_members.scores.shape[1]
        if scores.shape[1] != n_members:
            raise ValueError(
                f"X holds the outputs of {scores.shape[1]} members, but fit saw "
                f"{n_members}. Give the outputs of the same members."
            )
        return scores

    def evidence(self, seen, group):
        """Scores that the members, and heads, give to new rows of some groups.

        Parameters
        ----------
        seen : container of n_rows rows
        group : ndarray of int of shape (n_rows,)
            -1 where unknown.

        Returns
        -------
        ndarray of shape (n_rows, n_members[, n_classes])
            With columns more if there are heads; see `CalibrationRows`.
        """
        scores, heads = self.scores(seen), self.calibrated.heads
        if heads is None:
            return scores
        # The rule for people of unknown groups does not hear what is given one.
        return heads.evidence(as_numbers(seen), scores, group.clip(min=0))
