"""Models of the label given features and group, learnt out of fold: evidence of rules.

Notes
-----
Rows fall into folds: their shards, where these calibrate across, or a few that are
drawn. Head f learns from the rows of all other folds. Beside the features it uses the
mean logit of the members that have seen neither fold f nor the row, so that members of
any kind, trained on any rows, count. A row is scored by the head of its own fold, a new
person by the mean over the heads.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from ..fairness._group_heads import GroupHead, fit_group_head
from ..sisa._plan import subject_key
from ._evidence import MultinomialModel
from ._views import of_width

N_FOLDS = 5
# Members' scores are clipped, as the logits of trees may be infinite.
_CLIP = 0.01
# New people that are scored at once.
_BLOCK = 2048


@dataclass(frozen=True)
class FoldedNumbers:
    """What heads learn from.

    Parameters
    ----------
    numbers : ndarray of shape (n_rows, n_numbers)
        See `as_numbers`.
    fold : ndarray of int of shape (n_rows,)
    """

    numbers: np.ndarray
    fold: np.ndarray

    def take(self, kept):
        """Return copies of some rows."""
        return FoldedNumbers(self.numbers[kept], self.fold[kept])


@dataclass(frozen=True)
class FoldHeads:
    """What was learnt from all folds but one.

    Parameters
    ----------
    label : GroupHead or None
        Of the label, of two classes.
    groups : tuple of GroupHead
        Of being in each group, where these must be inferred; of two, in the first.
    """

    label: GroupHead | None
    groups: tuple[GroupHead, ...]

    @property
    def n_numbers(self):
        """Number of features."""
        head = self.groups[0] if self.label is None else self.label
        return len(head.scaling.centre)

    def logits(self, numbers, group, known, *, knows_group):
        """Logits of the label in a row's own group, and of label and group in each.

        An array with a row for each of the people.
        """
        columns, one = [], np.zeros_like(group)
        if knows_group:
            columns.append(self.label.logit(numbers, group, known))
        if self.groups and self.label is not None:
            for a in range(len(self.label.intercept)):
                columns.append(self.label.logit(numbers, one + a, known))
        columns += [head.logit(numbers, one, known) for head in self.groups]
        return np.column_stack(columns)


@dataclass(frozen=True)
class Heads:
    """Heads, one for each fold, and the members that each uses.

    Parameters
    ----------
    folds : tuple of FoldHeads
    heard : ndarray of bool of shape (n_folds, n_members)
        Members whose logits a head uses. If there are none, it uses features alone.
    n_groups : int
    knows_group : bool
        Whether the label is scored given the group.
    model : MultinomialModel or None
        Of more than two classes, given the members' scores and the group.
    """

    folds: tuple[FoldHeads, ...]
    # Directories hold this name.
    heard: np.ndarray
    n_groups: int
    knows_group: bool
    model: MultinomialModel | None

    @classmethod
    def fit(cls, folded, rows, used, problem):
        """Fit heads, and return them with the rows scored by those of their own fold.

        Parameters
        ----------
        folded : FoldedNumbers
        rows : CalibrationRows
            The same ones, scored by members.
        used : ndarray of bool of shape (n_folds, n_members)
            As the field `heard`.
        problem : Problem

        Returns
        -------
        heads : Heads
        rows : CalibrationRows
        """
        numbers, fold = folded.numbers, folded.fold
        n_groups, of_two = len(problem.groups), rows.n_classes == 2
        knows_group = problem.sensitive_at_predict and of_two
        found, logits = [], None
        means = MemberLogits.of(rows.scores, rows.counted)
        for f, members in enumerate(used):
            known = means.mean_of(members)
            others, own = np.flatnonzero(fold != f), np.flatnonzero(fold == f)
            group = rows.group[others]
            given = {
                "known": known[others],
                "weight": None if rows.weight is None else rows.weight[others],
            }

            def fitted(group, label, n_groups, X=numbers[others], given=given):
                return fit_group_head(X, group, label, n_groups=n_groups, **given)

            label = fitted(group, rows.label[others], n_groups) if of_two else None
            n_odds = n_groups if n_groups > 2 else n_groups - 1
            odds = range(n_odds if problem.infers else 0)
            one = np.zeros_like(group)
            heads = FoldHeads(label, tuple(fitted(one, group == a, 1) for a in odds))
            of_fold = heads.logits(
                numbers[own], rows.group[own], known[own], knows_group=knows_group
            )
            if logits is None:
                logits = np.empty((len(rows), of_fold.shape[1]))
            logits[own] = of_fold
            found.append(heads)
        model = None if of_two else MultinomialModel.fit(rows)
        heads = cls(tuple(found), used, n_groups, knows_group, model)
        scores = heads._beside(rows.scores, logits, rows.counted)
        n_joint = n_groups * (2 if of_two else 1) if problem.infers else 0
        return heads, rows.with_evidence(scores, has_head=knows_group, n_joint=n_joint)

    def evidence(self, numbers, scores, group):
        """Score new people by the mean over the heads, beside the members.

        Parameters
        ----------
        numbers : ndarray of shape (n_rows, n_numbers)
        scores : ndarray of shape (n_rows, n_members[, n_classes])
            Of the members.
        group : ndarray of int of shape (n_rows,)
            Known groups.

        Returns
        -------
        ndarray of shape (n_rows, n_columns[, n_classes])
        """
        numbers = of_width(numbers, self.folds[0].n_numbers)
        blocks = []
        for start in range(0, len(scores), _BLOCK):
            here = slice(start, start + _BLOCK)
            means = MemberLogits.of(scores[here])
            parts = [
                heads.logits(
                    numbers[here],
                    group[here],
                    means.mean_of(members),
                    knows_group=self.knows_group,
                )
                for heads, members in zip(self.folds, self.heard)
            ]
            blocks.append(sum(parts) / len(parts))
        return self._beside(scores, np.concatenate(blocks))

    def _beside(self, scores, logits, counted=None):
        """Return the members' scores with what follows from the logits beside them."""
        columns = [scores]
        if self.knows_group:
            columns.append(expit(logits[:, :1]))
            logits = logits[:, 1:]
        n_odds = len(self.folds[0].groups)
        if n_odds:
            odds = logits[:, logits.shape[1] - n_odds :]
            if n_odds == 1:
                odds = np.hstack([odds, -odds])
            chance = expit(odds)
            chance /= chance.sum(axis=1, keepdims=True)
            if self.model is None:
                label = expit(logits[:, : self.n_groups])
                label = np.stack([1 - label, label], axis=2)
            else:
                one = np.zeros(len(scores), dtype=np.intp)
                label = np.stack(
                    [
                        self.model.probabilities(scores, one + a, counted)
                        for a in range(self.n_groups)
                    ],
                    axis=1,
                )
            joint = chance[:, :, None] * label
            columns.append(joint if scores.ndim == 3 else joint.reshape(len(joint), -1))
        return np.concatenate(columns, axis=1)


def members_used(n_shards, present):
    """Members whose logits the head of each shard uses: all but that of the shard.

    With fewer than three, none is left for the rows of some shard.
    """
    used = np.arange(n_shards)[:, None] != present
    return used if len(present) > 2 else np.zeros_like(used)


def drawn_folds(index, seed, subjects=None):
    """Draw the fold of rows by their own positions, or data subjects, and the seed.

    Parameters
    ----------
    index : ndarray of int of shape (n_rows,)
    seed : int
    subjects : sequence of length n_rows, default=None

    Returns
    -------
    ndarray of int of shape (n_rows,)
    """
    if subjects is not None:
        keys = [subject_key(subject, f"fold {seed}") % N_FOLDS for subject in subjects]
        return np.array(keys, dtype=np.intp)
    drawn = np.random.default_rng(seed).random(int(np.max(index, initial=-1)) + 1)
    return (N_FOLDS * drawn[index]).astype(np.intp)


@dataclass(frozen=True)
class MemberLogits:
    """Logits of each member, which the heads of all folds share.

    Parameters
    ----------
    columns : list of ndarray of shape (n_rows,)
        Of two classes, 0 where a member does not count for a row.
    counted : list of ndarray of bool of shape (n_rows,)
    n_rows : int
    """

    columns: list[np.ndarray]
    counted: list[np.ndarray]
    n_rows: int

    @classmethod
    def of(cls, scores, counted=None):
        """Return those of members that gave these scores, none of more classes."""
        if scores.ndim == 3:
            return cls([], [], len(scores))
        z = logit(scores.astype(np.float64).clip(_CLIP, 1 - _CLIP))
        counted = np.ones(z.shape, dtype=bool) if counted is None else counted
        of_members = [np.ascontiguousarray(column) for column in counted.T]
        columns = [np.where(c, m, 0.0) for c, m in zip(of_members, z.T)]
        return cls(columns, of_members, len(scores))

    def mean_of(self, members):
        """Mean of some members, those that count for a row: one column or none."""
        used = np.flatnonzero(members) if self.columns else []
        if not len(used):
            return np.empty((self.n_rows, 0))
        # One by one, so that a sum never depends on the batch it came in.
        total = sum(self.columns[member] for member in used)
        n_counted = sum(self.counted[member].astype(np.intp) for member in used)
        return (total / np.maximum(n_counted, 1))[:, None]
