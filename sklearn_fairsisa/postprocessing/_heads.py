"""Models of the label given features and group, learnt out of fold: evidence of rules.

Notes
-----
Rows fall into five folds. They are those of their shards, where these calibrate across:
shard s is in fold s mod 5. Otherwise they are drawn. Head f learns from the rows of all
other folds. Beside the features it uses the mean logit of the members that have seen
neither fold f nor the row, so that members of any kind, trained on any rows, count. A
row is scored by the head of its own fold, a new person by the mean over the heads.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit, logit

from ..fairness._group_heads import GroupHead, fit_group_head
from ..sisa._plan import subject_key
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
    fold : ndarray of int of shape (n_rows,)
    source : str
        What gave the numbers; see `read_numbers`.
    """

    numbers: np.ndarray
    fold: np.ndarray
    source: str

    def take(self, kept):
        """Return copies of some rows."""
        return replace(self, numbers=self.numbers[kept], fold=self.fold[kept])


@dataclass(frozen=True)
class FoldHeads:
    """What was learnt from all folds but one.

    Parameters
    ----------
    labels : tuple of GroupHead
        Of the label: of the positive class, or of each of more than two against the
        rest.
    groups : tuple of GroupHead
        Of being in each group, where these must be inferred; of two, in the first; of
        one, none.
    infers : bool
        Whether groups are inferred.
    """

    labels: tuple[GroupHead, ...]
    groups: tuple[GroupHead, ...]
    infers: bool

    @classmethod
    def fit(cls, numbers, known, rows, others, problem):
        """Fit heads on the rows of other folds.

        Parameters
        ----------
        numbers : ndarray of shape (n_rows, n_numbers)
        known : ndarray of shape (n_rows, n_logits)
            Mean logits of the members that the heads use.
        rows : CalibrationRows
        others : ndarray of int
            Positions of the rows to learn from.
        problem : Problem
        """
        known = known[others]
        group, label = rows.group[others], rows.label[others]
        weight = None if rows.weight is None else rows.weight[others]
        n_groups = len(problem.groups)
        # One logit suffices for two classes, and for two groups.
        positives = [1] if rows.n_classes == 2 else range(rows.n_classes)
        n_inferred = n_groups if n_groups > 2 else n_groups - 1
        return cls(
            tuple(
                fit_group_head(
                    numbers,
                    group,
                    label == positive,
                    known[:, k : k + 1],
                    weight,
                    n_groups=n_groups,
                    where=others,
                )
                for k, positive in enumerate(positives)
            ),
            tuple(
                fit_group_head(
                    numbers,
                    np.zeros_like(group),
                    group == a,
                    known,
                    weight,
                    n_groups=1,
                    where=others,
                )
                for a in range(n_inferred if problem.infers else 0)
            ),
            problem.infers,
        )

    @property
    def n_numbers(self):
        """Number of features."""
        return len(self.labels[0].scaling.centre)

    def logits(self, numbers, group, known, *, knows_group):
        """Logits of the label in a row's own group, and of label and group in each.

        An array with a row for each of the people.
        """
        one, assumed = np.zeros_like(group), [group] if knows_group else []
        if self.infers:
            assumed += [one + a for a in range(len(self.labels[0].intercept))]
        columns = [
            head.logit(numbers, of_group, known[:, k : k + 1])
            for of_group in assumed
            for k, head in enumerate(self.labels)
        ]
        columns += [head.logit(numbers, one, known) for head in self.groups]
        return np.column_stack(columns)


@dataclass(frozen=True)
class Heads:
    """Heads, one for each fold, and the members that each uses.

    Parameters
    ----------
    folds : tuple of FoldHeads
    used : ndarray of bool of shape (n_folds, n_members)
        Members whose logits a head uses. If there are none, it uses features alone.
    knows_group : bool
        Whether the label is scored given the group.
    source : str
        What gave the numbers that they learnt from.
    """

    folds: tuple[FoldHeads, ...]
    used: np.ndarray
    knows_group: bool
    source: str

    @classmethod
    def fit(cls, folded, rows, used, problem):
        """Fit heads, and return them with the rows scored by those of their own fold.

        Parameters
        ----------
        folded : FoldedNumbers
        rows : CalibrationRows
            The same ones, scored by members.
        used : ndarray of bool of shape (n_folds, n_members)
            As the field `used`.
        problem : Problem

        Returns
        -------
        heads : Heads
        rows : CalibrationRows
        """
        numbers, fold = folded.numbers, folded.fold
        found, logits = [], None
        means = MemberLogits.of(rows.scores, rows.counted)
        for f, members in enumerate(used):
            known = means.mean_of(members)
            others, own = np.flatnonzero(fold != f), np.flatnonzero(fold == f)
            heads = FoldHeads.fit(numbers, known, rows, others, problem)
            of_fold = heads.logits(
                numbers[own],
                rows.group[own],
                known[own],
                knows_group=problem.sensitive_at_predict,
            )
            if logits is None:
                logits = np.empty((len(rows), of_fold.shape[1]))
            logits[own] = of_fold
            found.append(heads)
        # Before the scores are copied.
        del means
        heads = cls(tuple(found), used, problem.sensitive_at_predict, folded.source)
        n_joint = 0
        if problem.infers:
            n_joint = len(problem.groups) * (2 if rows.n_classes == 2 else 1)
        return heads, rows.with_evidence(
            heads._beside(rows.scores, logits),
            has_head=heads.knows_group,
            n_joint=n_joint,
        )

    def check_source(self, source):
        """Raise if others gave the numbers of new people."""
        if source != self.source:
            raise ValueError(
                "The fair rule has learnt from other numbers of the rows than there "
                "are now: the frozen network of the members, its tokenizer or its "
                "maximum length has changed. Restore it, or fit again."
            )

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
                for heads, members in zip(self.folds, self.used)
            ]
            blocks.append(sum(parts) / len(parts))
        return self._beside(scores, np.concatenate(blocks))

    def _beside(self, scores, logits):
        """Return the members' scores with what follows from the logits beside them."""
        n_odds, n_logits = len(self.folds[0].groups), len(self.folds[0].labels)
        of_label = logits[:, : logits.shape[1] - n_odds]
        # By the group that is assumed, the row's own first.
        label = _class_chances(of_label.reshape(len(scores), -1, n_logits))
        columns = [scores]
        if self.knows_group:
            own, label = label[:, :1], label[:, 1:]
            columns.append(own if scores.ndim == 3 else own[..., 1])
        if self.folds[0].infers:
            odds = logits[:, logits.shape[1] - n_odds :]
            if n_odds == 1:
                odds = np.hstack([odds, -odds])
            # Forgetting may have left one group, to which all belong.
            chance = expit(odds) if n_odds else np.ones((len(scores), 1))
            chance /= chance.sum(axis=1, keepdims=True)
            joint = chance[:, :, None] * label
            columns.append(joint if scores.ndim == 3 else joint.reshape(len(joint), -1))
        return np.concatenate(columns, axis=1)


def _class_chances(logits):
    """Probabilities of the classes, given the logit of the second or of each."""
    chance = expit(logits)
    if chance.shape[-1] == 1:
        return np.concatenate([1 - chance, chance], axis=-1)
    return chance / chance.sum(axis=-1, keepdims=True)


def fold_of_shards(shards):
    """Return the fold of each shard, whatever other shards there are."""
    # A fold for each would cost more the more shards there are.
    return shards % N_FOLDS


def members_used(n_shards, present):
    """Members whose logits the head of each fold uses: all but those of its shards.

    With fewer than two, none is left for the rows of the shard of one of them.
    """
    folds = np.arange(min(n_shards, N_FOLDS))
    used = folds[:, None] != fold_of_shards(present)
    return used if used.sum(axis=1).min() > 1 else np.zeros_like(used)


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
    columns : list of ndarray of shape (n_rows, n_logits)
        Logits of the second of two classes, or of each of more against the rest. 0
        where a member does not count for a row.
    counted : list of ndarray of bool of shape (n_rows, 1)
    """

    columns: list[np.ndarray]
    counted: list[np.ndarray]

    @classmethod
    def of(cls, scores, counted=None):
        """Return those of members that gave these scores."""
        counted = np.ones(scores.shape[:2], dtype=bool) if counted is None else counted
        of_members = [np.ascontiguousarray(column)[:, None] for column in counted.T]
        # One by one, as a copy of all scores would take much memory.
        columns = [
            np.where(c, _clipped_logit(m).reshape(len(c), -1), 0.0)
            for c, m in zip(of_members, scores.swapaxes(0, 1))
        ]
        return cls(columns, of_members)

    def mean_of(self, members):
        """Mean of some members, those that count for a row; no column without any."""
        used = np.flatnonzero(members)
        if not len(used):
            return np.empty((len(self.columns[0]), 0))
        # One by one, so that a sum never depends on the batch it came in.
        total = sum(self.columns[member] for member in used)
        n_counted = sum(self.counted[member].astype(np.intp) for member in used)
        return total / np.maximum(n_counted, 1)


def _clipped_logit(scores):
    return logit(scores.astype(np.float64).clip(_CLIP, 1 - _CLIP))
