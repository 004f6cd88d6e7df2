"""What a fitted post-processor decides by."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..sisa._without_rows import without_rows
from ._calibrated import Calibrated, OwnRows
from ._members import checked_member_scores, given_scores, read_numbers


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
        return calibrated.problem.turned(scores)

    def evidence(self, seen, group, scores=None):
        """Scores that the members, and heads, give to new rows of some groups.

        Parameters
        ----------
        seen : container of n_rows rows
        group : ndarray of int of shape (n_rows,)
            -1 where unknown.
        scores : ndarray of shape (n_rows, n_members[, n_classes]), default=None
            What `scores` returns for these rows. None computes it.

        Returns
        -------
        ndarray of shape (n_rows, n_members[, n_classes])
            With columns more if there are heads; see `CalibrationRows`.
        """
        scores = self.scores(seen) if scores is None else scores
        heads = self.calibrated.heads
        if heads is None:
            return scores
        # The rule for people of unknown groups does not use the group assigned here.
        numbers, source = read_numbers(self.estimator, seen)
        heads.check_source(source)
        return heads.evidence(numbers, scores, group.clip(min=0))


def bare_rule(calibrated):
    """Return what is calibrated without its rows, as far as decisions need it.

    Parameters
    ----------
    calibrated : Calibrated
        Solved.

    Returns
    -------
    OwnRows
    """
    nobody = np.empty(0, dtype=np.intp)
    return OwnRows(
        problem=calibrated.problem,
        features=calibrated.features,
        seed=calibrated.seed,
        rows=calibrated.rows.take(nobody),
        # Without reports, and what else refers to rows.
        rule=without_rows(replace(calibrated.rule), what="The fair rule"),
        bound=calibrated.bound,
        heads=without_rows(calibrated.heads, what="The fair rule"),
        n_given=0,
        trains=nobody,
        subjects=None,
        holds_labels=getattr(calibrated, "holds_labels", False),
        holds_only_votes=getattr(calibrated, "holds_only_votes", False),
        digests=None,
        numbers=None,
    )
