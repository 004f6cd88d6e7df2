"""A fair rule that a sharded ensemble keeps, as one of its companions."""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from .._utils.containers import take
from .._utils.groups import merged_groups
from .._utils.isolation import one_thread
from ..sisa._plan import HELD_OUT
from ._calibrated import Calibrated
from ._calibration import check_two_shards, count_other_shards
from ._checks import (
    check_groups_suffice,
    check_members_suffice,
    check_objective,
    check_positive,
    rows_suffice,
)
from ._heads import (
    N_FOLDS,
    FoldedNumbers,
    Heads,
    drawn_folds,
    fold_of_shards,
    members_used,
)
from ._kept_scores import Positions, kept_scores
from ._members import read_numbers
from ._methods import uses_heads
from ._views import of_width


@dataclass(frozen=True)
class NewRows:
    """Facts about rows that are appended, or corrected.

    Parameters
    ----------
    groups : array of shape (n_rows,), or None
        Masked where a row is of no group. None keeps those of corrected rows.
    weight : ndarray of shape (n_rows,), or None
    objective : object
        As the parameter, to be read anew if there is a new class.
    coins : ndarray of shape (n_rows,), or None
    """

    groups: np.ndarray | None
    weight: np.ndarray | None = None
    objective: Any = None
    coins: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class EnsembleRule(Calibrated):
    """A rule on rows of a sharded ensemble, kept with it: a ``Companion``.

    Parameters
    ----------
    params : dict
        Parameters of the post-processor except its estimator.
    inputs : dict
        Its attributes about X.
    across : bool
        Whether rows calibrate by the members of other shards.
    kept : ndarray of shape (n_rows, n_shards[, n_classes]), default=None
        Scores by all members, see `kept_scores`.
    digests : tuple of str, default=()
        Of the members that gave them.
    """

    params: dict[str, Any]
    inputs: dict[str, Any]
    across: bool
    kept: np.ndarray | None = None
    digests: tuple[str, ...] = ()

    def is_current(self, digests) -> bool:
        """Return whether the rule is solved for members of these digests."""
        return self.rule is not None and self.digests == digests

    def facts(self, digests) -> dict[str, Any]:
        """Return what the rule is, beside members of these digests."""
        problem = self.problem
        rule = self.rule if self.is_current(digests) else None
        facts = {
            "method": problem.method,
            "constraint": str(problem),
            "tol": problem.slack,
            "groups": [str(group) for group in problem.groups.tolist()],
            "calibration_rows": len(self.rows),
            "behind": rule is None,
        }
        if problem.name:
            facts["gap_in_calibration"] = None if rule is None else rule.excess
        else:
            facts["in_calibration"] = None if rule is None else rule.measures
        if problem.confidence is not None:
            facts["confidence"] = problem.confidence
            facts["bound"] = None if rule is None else self.bound
            facts["holds"] = None if rule is None else self.bound <= problem.slack
        return facts

    def without(self, rows) -> Self:
        """Return what is left without some rows."""
        left = np.flatnonzero(~np.isin(self.rows.index, rows))
        bare = replace(self, rows=self.rows.unscored)
        kept = None if self.kept is None else self.kept[left]
        return replace(super(EnsembleRule, bare).without(rows), kept=kept)

    def extended(self, before, after, given) -> Self:
        """Return it for a batch more of rows, not solved.

        Without `given`, the new rows train, but do not calibrate.
        """
        problem, rows, kept = self.problem, self.rows, self.kept
        params, label = self.params, problem.codes(rows.label)
        if len(after.classes) > len(before.classes):
            check_positive(params["pos_label"], after.classes, problem)
            label = np.searchsorted(after.classes, before.classes)[label]
            objective = problem.objective
            if given is not None:
                objective = check_objective(given.objective, after.classes)
                params = {**params, "objective": given.objective}
            elif not isinstance(objective, str):
                raise ValueError(
                    "A rule over this ensemble has costs for the classes "
                    f"{before.classes.tolist()}, and y holds others. Append rows by "
                    "the post-processor's partial_fit, with costs for all classes."
                )
            problem = replace(problem, classes=after.classes, objective=objective)
            kept = None
        rows = replace(rows.unscored, label=label)
        grown = replace(self, problem=problem, rows=rows, kept=kept, params=params)
        if given is None:
            return grown._with_rows(np.empty(0, dtype=np.intp), after, None)
        index = np.arange(before.plan.n_rows, after.plan.n_rows)
        grown = grown._with_rows(index, after, given)
        grown._check_new_groups(self.problem.groups)
        return grown

    def amended(self, after, rows, given) -> Self:
        """Return it for other values of some rows, not solved.

        Rows stay in their groups unless others are given. A row that had none weighs
        one where it has one now.
        """
        known, weight = self.rows, None
        among = np.isin(rows, known.index)
        place = np.searchsorted(known.index, rows[among])
        if known.weight is not None:
            weight = np.ones(len(rows))
            weight[among] = known.weight[place]
        groups, coins = (None, None) if given is None else (given.groups, given.coins)
        if self.by_subject and known.coins is not None:
            # Whatever the values of a row, it is of the same person.
            coins = np.full(len(rows), np.nan)
            coins[among] = known.coins[place]
        if groups is None:
            rows, groups = rows[among], self.problem.groups[known.group[place]]
            weight = None if weight is None else weight[among]
            coins = None if coins is None else coins[among]
        left = self.without(rows)._without_empty_groups()
        label = self.problem.codes(left.rows.label)
        left = replace(left, rows=replace(left.rows, label=label))
        given = NewRows(groups, weight, coins=coins)
        amended = left._with_rows(rows, after, given)
        amended._check_new_groups(self.problem.groups)
        return amended

    def _without_empty_groups(self) -> Self:
        """Return it without groups that have no rows, as after all were corrected."""
        code, rows = self.problem.groups, self.rows
        filled = np.bincount(rows.group, minlength=len(code)) > 0
        group = (np.cumsum(filled) - 1)[rows.group]
        problem = replace(self.problem, groups=code[filled])
        return replace(self, problem=problem, rows=replace(rows, group=group))

    def _check_new_groups(self, known):
        """Raise if a group that is not among those known lacks labels."""
        old = set(known.tolist())
        new = [name not in old for name in self.problem.groups.tolist()]
        of_new = self.rows.take(np.array(new, dtype=bool)[self.rows.group])
        if len(of_new):
            problem = replace(self.problem, groups=self.problem.groups[new])
            group = (np.cumsum(new) - 1)[of_new.group]
            what = "calibration rows, old and new"
            check_groups_suffice(problem, replace(of_new, group=group), what)

    def _with_rows(self, index, after, given) -> Self:
        """Return it with rows more, as far as they calibrate; labels are codes."""
        problem, rows, kept = self.problem, self.rows, self.kept
        order = slice(None)
        if given is not None:
            problem, rows, order = _joined(
                problem, rows, index, after, given, self.across
            )
        rows = replace(rows, label=problem.labels(rows.label))
        if kept is not None:
            unknown = np.full((len(rows) - len(kept), *kept.shape[1:]), np.nan)
            kept = np.concatenate([kept, unknown])[order]
        return replace(
            self,
            problem=problem,
            rows=rows,
            kept=kept,
            rule=None,
            bound=0.0,
            heads=None,
        )

    def updated(self, ensemble) -> Self:
        """Return it solved for the members that there are; changed ones predict."""
        digests = ensemble._store.digests
        has_heads = uses_heads(self.problem) and (
            self.problem.infers or not _is_any_behind(ensemble)
        )
        if self.is_current(digests) and has_heads <= (self.heads is not None):
            return self
        present = [s for s, m in enumerate(ensemble.estimators_) if m is not None]
        rows = self.counting(ensemble, np.array(present, dtype=np.intp))
        enough = len(present) >= (2 if self.across else 1)
        if not enough or not rows_suffice(rows, self.problem.method):
            return self
        kept = kept_scores(
            self.kept, self.digests, self.rows.index, ensemble, self.across
        )
        scores = kept if len(present) == kept.shape[1] else kept[:, present]
        rows, heads = replace(rows, scores=self.problem.turned(scores)), None
        if has_heads:
            heads, rows = self._with_heads(rows, ensemble, np.array(present))
            if scores is kept and not self.problem.flipped:
                # What is kept comes first there, and takes much memory.
                kept = rows.scores[:, : kept.shape[1]]
                del scores
        new = replace(self, rows=rows, kept=kept, digests=digests, heads=heads)
        return new.solved()

    def _with_heads(self, rows, ensemble, present):
        """Return heads, and the rows scored by those that have not seen them.

        Parameters
        ----------
        rows : CalibrationRows
            Scored by the members.
        ensemble : SISAClassifier
        present : ndarray of int of shape (n_members,)
            Their shards.
        """
        state = ensemble._state
        plan = state.plan
        if self.across:
            fold, parts = fold_of_shards(plan.shard_of(rows.index)), state.rows
            used = members_used(plan.n_shards, present)
        else:
            parts, subjects = [state.held_out], state.held_out.subjects
            fold = np.empty(len(rows), dtype=np.intp)
            held_out = state.held_out.index
            place = Positions(rows.index).of(held_out)
            drawn = drawn_folds(held_out, plan.seed, subjects)
            fold[place[place >= 0]] = drawn[place >= 0]
            used = np.ones((N_FOLDS, len(present)), dtype=bool)
        # A network takes all threads, and gives the same bits.
        numbers, source = _numbers_of(parts, rows.index, ensemble)
        with one_thread():
            folded = FoldedNumbers(numbers, fold, source)
            return Heads.fit(folded, rows, used, self.problem)

    def with_scores_of(self, others) -> Self:
        """Return it with the members' scores that another rule keeps of the same rows.

        Parameters
        ----------
        others : iterable of companion
        """
        for other in others:
            if (
                isinstance(other, EnsembleRule)
                and other.kept is not None
                and other.across == self.across
                and np.array_equal(other.rows.index, self.rows.index)
            ):
                return replace(self, kept=other.kept, digests=other.digests)
        return self

    def remade(self, ensemble) -> Self:
        """Return it solved from scratch: all members predict."""
        bare = replace(self, kept=None, digests=(), rule=None, heads=None)
        return bare.updated(ensemble)

    @property
    def learnt(self):
        """What followed from rows and members."""
        # Reports are made when somebody looks at them.
        rule = None if self.rule is None else replace(self.rule)
        return rule, self.bound, self.kept, self.rows, self.heads

    def counting(self, ensemble, shards):
        """Return the rows, with the members of some shards that count for them."""
        if not self.across:
            return self.rows
        return count_other_shards(self.rows, ensemble.plan_, shards)


def _is_any_behind(ensemble):
    """Whether a member has slices yet to learn."""
    progress = map(ensemble._store.progress, range(ensemble.plan_.n_shards))
    return any(one.is_behind for one in progress)


def _numbers_of(parts, index, ensemble):
    """Return the rows of some indices, of several parts, as `read_numbers` does."""
    numbers, positions, source = np.empty((len(index), 0)), Positions(index), ""
    for rows in (part.block for part in parts):
        place = positions.of(rows.index)
        where = np.flatnonzero(place >= 0)
        if len(where):
            own, source = read_numbers(ensemble, take(rows.X, where))
            if own.shape[1] > numbers.shape[1]:
                # Only words, which come last, may be more in a later part.
                numbers = of_width(numbers, own.shape[1])
            numbers[place[where]] = of_width(own, numbers.shape[1])
    return numbers, source


def _joined(problem, rows, index, after, given, across):
    """Return a problem and its rows with those of some indices, and their order.

    The order is that of the rows known and then the new ones, sorted by index.
    """
    calibrates = ~np.ma.getmaskarray(given.groups)
    if not across:
        calibrates &= np.asarray(after.plan.shard_of(index)) < 0
    index = index[calibrates]
    names, group, new_group = merged_groups(
        problem.groups, rows.group, given.groups[calibrates]
    )
    weight, new_weight = rows.weight, given.weight
    if weight is not None or new_weight is not None:
        weight = np.ones(len(rows)) if weight is None else weight
        if new_weight is None:
            new_weight = np.ones(len(calibrates))
        weight = np.concatenate([weight, new_weight[calibrates]])
    coins = rows.coins
    if coins is not None:
        new_coins = np.full(len(calibrates), np.nan)
        if given.coins is not None:
            new_coins = given.coins
        coins = np.concatenate([coins, new_coins[calibrates]])
    joined = np.concatenate([rows.index, index])
    order = np.argsort(joined, kind="stable")
    rows = replace(
        rows,
        index=joined,
        group=np.concatenate([group, new_group]),
        label=np.concatenate([rows.label, after.labels(index)]),
        weight=weight,
        coins=coins,
    )
    return replace(problem, groups=names), rows.take(order), order


def begun(rows, state, *, problem, across, **about):
    """Return a rule over an ensemble, not solved yet, on the rows that calibrate.

    Parameters
    ----------
    rows : CalibrationRows
        All retained rows, -1 in place of the group where that is missing. Coins are
        those of the first rows; other coins are unknown.
    state : State
    problem : Problem
    across : bool
        Whether rows calibrate by the members of other shards, or are held out.
    **about
        For `EnsembleRule`.

    Raises
    ------
    ValueError
        If a group lacks the labels that the constraint needs.
    """
    calibrates, first = rows.group >= 0, rows.coins
    if not across:
        calibrates &= state.plan.shards[rows.index] == HELD_OUT
    rows = replace(rows, coins=None).take(calibrates).widened
    if first is not None:
        coins = np.full(len(rows), np.nan)
        known = rows.index < len(first)
        coins[known] = first[rows.index[known]]
        rows = replace(rows, coins=coins)
    check_groups_suffice(problem, rows, held_out=not across)
    rule = EnsembleRule(problem=problem, across=across, rows=rows, **about)
    if across:
        left = state.shards_without([])
        check_two_shards(left)
        counted = count_other_shards(rows, state.plan, left)
        check_members_suffice(problem, counted)
    return rule
