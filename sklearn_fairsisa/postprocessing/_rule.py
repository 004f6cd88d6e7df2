"""A fair rule for any number of classes, and its quality."""

from bisect import bisect_left
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from .._utils.groups import group_index
from ..fairness._coins import is_random
from ..fairness._constraints import GAPS, spread
from ..fairness._level_rules import snapped
from ..fairness._problem import InfeasibleError, Problem
from ..fairness._rates import SCORES, gap_rates, label_totals, score
from ._calibration import joint_of
from ._evidence import decisions, decisions_leaving_out
from ._methods import METHODS

# Tolerances that are tried where none are named.
_N_TOLS = 11
# Halvings of the interval that holds the least slack at which there is a rule.
_N_HALVINGS = 20
# Rows for which members are left out at a time.
_BLOCK = 2048


@dataclass(frozen=True, kw_only=True)
class FairRule:
    """A rule for the groups that can be constrained, another for everyone else.

    Parameters
    ----------
    problem : Problem
        What it solves.
    fair : rule or None
        Of the problem's method. None where no group can be constrained.
    blind : rule or None
        Optimal without regard to groups, where these cannot be inferred. None if no one
        needs it.
    inferred : rule or None
        For people whose group is inferred: all, and then it is `fair` too, or those of
        unknown groups.
    code : ndarray of int of shape (n_groups,)
        What `fair` calls each group, -1 for groups that `blind` decides on.
    silent_share : ndarray of shape (n_members,), or None
        Share of the calibration weight for which each member, and no other, does not
        count. None where all members count for all rows.
    confusion : ndarray of shape (n_groups, n_classes, n_classes)
        Weight of the people of each true class (row) and decision (column) in
        calibration.
    has_head, n_joint
        Which columns of scores are not the members', see `CalibrationRows`.
    reports : dict of float to FairnessReport
        Those made so far, by the gap that they examine.

    Notes
    -----
    If each calibration row was decided without the member of its own shard, so are new
    people: each member is left out for its share of the decision. Calibration rows and
    new people are then decided alike, whatever the members have memorised, because a
    row is new to the members of other shards, and its shard is independent of it.
    """

    problem: Problem
    fair: Any
    blind: Any
    inferred: Any
    code: np.ndarray
    silent_share: np.ndarray | None
    confusion: np.ndarray
    has_head: bool = False
    n_joint: int = 0
    reports: dict[float, Any] = field(default_factory=dict, init=False, compare=False)

    def selection_probability(self, scores, group, counted=None, remembered=None):
        """Probability of selection of rows; -1 is an unknown group.

        Parameters
        ----------
        scores : ndarray of shape (n_samples, n_members[, n_classes])
        group : ndarray of int of shape (n_samples,)
        counted : ndarray of bool of shape (n_samples, n_members), default=None
            Members whose prediction counts for a row. For new people it is None: all
            count, or each is left out for its share.
        remembered : dict, default=None
            What rules of other slacks decided by, on the same rows; it is added to.

        Returns
        -------
        ndarray of shape (n_samples,), or (n_samples, n_classes) of more than two
        """
        if not self.problem.randomise:
            margin = self._averaged("margin", scores, group, counted, remembered)
            return (margin >= 0).astype(float)
        what = "selection_probability"
        return snapped(self._averaged(what, scores, group, counted, remembered))

    def margin(self, scores, group, counted=None):
        """How far rows lie above their thresholds, where nothing is random.

        Of new people the mean over the members left out, as in calibration one is.
        """
        return self._averaged("margin", scores, group, counted, None)

    def _averaged(self, what, scores, group, counted, remembered):
        """Mean over the members that are left out, unless `counted` is given."""
        remembered = {} if remembered is None else remembered
        if counted is not None or self.silent_share is None:
            return self._decide(what, scores, group, counted, remembered)
        # Block by block, as there is a value for each row and each member.
        starts = range(0, max(len(scores), 1), _BLOCK)
        blocks = [slice(start, start + _BLOCK) for start in starts]
        decided = [
            self._decide(
                what, scores[b], group[b], None, remembered.setdefault(b.start, {})
            )
            for b in blocks
        ]
        return np.concatenate(decided)

    def _decide(self, what, scores, group, counted, remembered):
        code = np.append(self.code, -1)[group]

        def by(rule, n_beside, code, rows=slice(None)):
            """Decide on some rows by a rule that does not read the last columns."""
            stop = scores.shape[1] - n_beside
            part = None if counted is None else counted[rows, :stop]
            seen = scores[rows, :stop]
            return self._by(what, rule, seen, code, part, remembered)

        if self.inferred is not None:
            joint = joint_of(scores, self.n_joint)[:, self.code >= 0]
            decided = self.inferred.selection_probability(joint, code)
            if not self.problem.sensitive_at_predict:
                return decided
        elif self.blind is not None:
            n_beside = self.has_head + self.n_joint
            decided = by(self.blind, n_beside, np.zeros_like(code))
        else:
            return by(self.fair, self.n_joint, code)
        known = np.flatnonzero(code >= 0)
        if len(known):
            decided[known] = by(self.fair, self.n_joint, code[known], known)
        return decided

    def _by(self, what, rule, scores, code, counted, remembered):
        """Decide by one rule; if all members count, each is left out for its share."""
        if counted is not None or self.silent_share is None:
            return decisions(rule, what, scores, code, counted, remembered)
        silent, decided = np.flatnonzero(self.silent_share), 0.0
        each = decisions_leaving_out(rule, what, scores, code, silent, remembered)
        for position, share in enumerate(self.silent_share[silent]):
            decided = decided + share * each[:, position]
        return decided

    def randomised_share(self, rows, remembered=None):
        """Share of the weight of rows whose decision is randomised."""
        probability = self.selection_probability(
            rows.scores, rows.group, remembered=remembered
        )
        random = is_random(probability)
        return float(np.average(random, weights=rows.weight))

    def deciding(self, rows, probability):
        """The same rule, with the confusion of other decisions on its rows."""
        return replace(self, confusion=rows.confusion(probability, len(self.code)))

    @property
    def value(self):
        """Value of the objective in calibration."""
        return float(score(self.problem.objective, self.confusion))

    @property
    def excess(self):
        """Least slack at which its rates in calibration keep the constraints."""
        return self.problem.excess(self.confusion)

    @property
    def measures(self):
        """What the constraints bound, in calibration, by name."""
        return self._measured(self.confusion)

    def counted_on(self, rows, remembered=None):
        """Confusion of each group on rows, by their own labels.

        Parameters
        ----------
        rows : CalibrationRows
            With `counted`, the rule's own, decided by the members that count.
        remembered : dict, default=None
            As of `selection_probability`.
        """
        probability = self.selection_probability(
            rows.scores, rows.group, rows.counted, remembered
        )
        return rows.confusion(probability, len(self.code))

    def describe(self, confusion):
        """Quality, and what is compared between groups, of decisions.

        Parameters
        ----------
        confusion : ndarray of shape (n_groups, n_classes, n_classes)

        Returns
        -------
        dict of str to float
        """
        quality = ["accuracy_score", "balanced_accuracy_score"]
        if confusion.shape[2] == 2:
            quality.append("selection_rate")
        total = confusion.sum(axis=2)
        qualities = {
            name.removesuffix("_score"): float(SCORES[name](confusion, total))
            for name in quality
        }
        return {
            **qualities,
            **{gap: float(spread(gap_rates(gap, confusion))) for gap in GAPS},
            **self._measured(confusion),
        }

    def _measured(self, confusion):
        problem = self.problem
        return {
            constraint.measure_name: constraint.measure(
                problem.values(constraint, confusion)
            )
            for constraint in problem.constraints
        }

    def table(self):
        """Frame of the cells' probabilities."""
        classes = self.problem.classes
        names, columns = [*map(str, classes)], [f"probability_{c}" for c in classes]
        if len(classes) == 2:
            names, columns = ["0", "1"], ["probability"]
        table = self.fair.rule.table(names)
        probability = table.probability.reshape(len(table.mass), -1)
        return pd.DataFrame(
            {
                "group": self._constrained_groups[table.group],
                "cell": table.cell,
                "mass": table.mass,
                **dict(zip(columns, probability.T)),
            }
        )

    def points(self):
        """Frame of the operating points, of more than two classes confusion rates."""
        return self._rates_frame(self.confusion)

    def member_points(self, rows):
        """Frame of the points of the members and of their ensemble's own decision."""
        n_classes, rows = len(self.problem.classes), rows.of_members
        counted = rows.counted
        if counted is None:
            counted = np.ones(rows.votes.shape, dtype=bool)
        voters = dict(enumerate(zip(rows.votes.T, counted.T)))
        voters["majority"] = rows.decided, slice(None)
        frames = []
        for name, (vote, counts_here) in voters.items():
            part = rows.take(counts_here)
            decided = np.eye(n_classes)[vote[counts_here].astype(np.intp)]
            confusion = part.confusion(decided, len(self.code))
            frames.append(self._rates_frame(confusion, member=name))
        return pd.concat(frames, ignore_index=True)

    def boundaries(self):
        """Frame of the vertices of the groups' regions, None if there are none."""
        regions = getattr(self.fair.rule, "regions", None)
        if regions is None:
            return None
        n_vertices = [len(region.fpr) for region in regions]
        return pd.DataFrame(
            {
                "group": np.repeat(self._constrained_groups, n_vertices),
                "false_positive_rate": np.concatenate([r.fpr for r in regions]),
                "true_positive_rate": np.concatenate([r.tpr for r in regions]),
            }
        )

    def member_weights(self):
        """Frame of the members' weights in each group, None if they have none."""
        weights = getattr(self.fair, "weights", None)
        if weights is None:
            return None
        index = group_index(self._constrained_groups)
        names: list[Any] = [*range(weights.weights.shape[1])]
        if self.has_head:
            names[-1] = "head"
        return pd.DataFrame(weights.weights, index, names)

    @property
    def reversed_groups(self):
        """Groups in which the scores of a class are known to be the wrong way round."""
        turned = getattr(self.fair, "reversed", [])
        return self._constrained_groups[np.flatnonzero(turned)]

    @property
    def is_constant(self):
        """Whether everyone is decided on with the same probabilities."""
        rules = [self.fair, self.blind, self.inferred]
        rules = [rule for rule in rules if rule is not None]
        probability = np.concatenate([rule.rule.probability for rule in rules])
        return bool(np.ptp(probability, axis=0).max() < 1e-9)

    @property
    def _constrained_groups(self):
        return self.problem.groups[self.code >= 0]

    def _rates_frame(self, confusion, **extra):
        groups, classes = self.problem.groups, self.problem.classes
        n_groups, n_classes = len(groups), len(classes)
        with np.errstate(invalid="ignore"):
            rates = confusion / confusion.sum(axis=2, keepdims=True)
        if n_classes == 2:
            columns = {
                "false_positive_rate": rates[:, 0, 1],
                "true_positive_rate": rates[:, 1, 1],
            }
            return pd.DataFrame({"group": groups, **extra, **columns})
        return pd.DataFrame(
            {
                "group": np.repeat(groups, n_classes**2),
                **extra,
                "true_class": np.tile(np.repeat(classes, n_classes), n_groups),
                "decision": np.tile(classes, n_classes * n_groups),
                "rate": rates.ravel(),
            }
        )


def constrainable(rows, problem):
    """Whether each group has the rows that its constraint and its method need."""
    n_groups, n_classes = len(problem.groups), len(problem.classes)

    def suffice(weight):
        totals = label_totals(rows.group, rows.label, n_groups, weight, n_classes)
        return problem.needs(totals)

    enough = suffice(rows.weight)
    if METHODS[problem.method].has_rule_per_member and rows.counted is not None:
        # Each member's own rule needs the group outside its shard.
        weight = np.ones(len(rows)) if rows.weight is None else rows.weight
        for counts_here in rows.counted.T:
            enough = enough & suffice(weight * counts_here)
    return enough


def learn_rule(rows, problem, learn=None):
    """Learn what the rules of all tolerances share.

    Parameters
    ----------
    rows : CalibrationRows
    problem : Problem
    learn : callable, default=None
        Learns the rule for known groups from the rows of groups that can be
        constrained. None is the ``learn`` of the problem's method.

    Returns
    -------
    callable
        Takes a slack of the constraints, such as a tolerance, and returns the
        `FairRule` that is best within it. Where none keeps them, the slack of the rule
        is the least that allows one.
    """
    method, enough = METHODS[problem.method], constrainable(rows, problem)
    code = np.where(enough, np.cumsum(enough) - 1, -1)
    fair = blind = inferred = None
    if enough.any():
        fair, inferred = _learnt_of_groups(rows, problem, enough, code, learn)
    if (problem.accepts_unknown and inferred is None) or not enough.all():
        members = rows.of_members
        blind = method.learn(replace(members, group=np.zeros_like(rows.group)))
    silent_share = None
    if rows.counted is not None and (problem.sensitive_at_predict or fair is None):
        silent_share = np.average(~rows.counted, axis=0, weights=rows.weight)
    shape = len(problem.groups), len(problem.classes), len(problem.classes)
    groups = problem.groups[enough]
    # Nothing that is returned keeps rows that it does not need.
    has_head, n_joint = rows.has_head, rows.n_joint
    rows = None if enough.all() else rows

    def within(learnt, slack):
        return learnt(replace(problem.within(slack), groups=groups))

    def solve(slack):
        bounded, decides = problem.within(slack), None
        if fair is not None:
            slack, decides = _feasible(partial(within, fair), slack)
            bounded = problem.within(slack)
        rule = FairRule(
            problem=bounded,
            fair=decides,
            blind=blind and blind(replace(bounded, constraints=())),
            inferred=inferred and _feasible(partial(within, inferred), slack)[1],
            code=code,
            silent_share=silent_share,
            confusion=np.zeros(shape),
            has_head=has_head,
            n_joint=n_joint,
        )
        if rows is not None:
            probability = rule.selection_probability(
                rows.scores, rows.group, rows.counted
            )
            rule = rule.deciding(rows, probability)
        if rule.fair is not None:
            rule.confusion[enough] = rule.fair.rule.confusion
        return rule

    return solve


def _learnt_of_groups(rows, problem, enough, code, learn=None):
    """What rules for constrained groups learn, and for people whose group is inferred.

    Parameters
    ----------
    rows : CalibrationRows
    problem : Problem
    enough : ndarray of bool of shape (n_groups,)
        Groups that are constrained.
    code : ndarray of int of shape (n_groups,)
        What rules call each of them.
    learn : callable, default=None
        See `learn_rule`.

    Returns
    -------
    fair, inferred : callable
        The latter is None if no group is inferred; both are the same if all are.
    """
    method = METHODS[problem.method]
    part = rows if enough.all() else rows.take(enough[rows.group])
    part = replace(part, group=code[part.group])
    knows_all = problem.sensitive_at_predict and not problem.accepts_unknown
    inferred = None
    if problem.infers and not knows_all:
        inferred = method.infers(part, enough)
    if not problem.sensitive_at_predict:
        return inferred, inferred
    learn = learn or method.learn
    return learn(part.of_known_groups), inferred


def _feasible(solve, slack):
    """Least slack from some on that allows a rule, and the rule."""
    try:
        return slack, solve(slack)
    except InfeasibleError:
        # Whatever the constraints, a slack of 1 leaves nothing of them.
        low, high = slack, 1.0
    rule = solve(high)
    for _ in range(_N_HALVINGS):
        middle = (low + high) / 2
        try:
            high, rule = middle, solve(middle)
        except InfeasibleError:
            low = middle
    return high, rule


def unreachable(rows, problem):
    """Describe the smallest changes that allow a rule where none keeps a problem."""
    constraints, enough = problem.constraints, constrainable(rows, problem)
    code = np.cumsum(enough) - 1
    learnt, _ = _learnt_of_groups(rows, problem, enough, code)
    groups, changes = problem.groups[enough], []

    def loosened(k, thousandths):
        return constraints[k].loosened(thousandths / 1e3).rounded

    def is_reachable(k, thousandths):
        looser = *constraints[:k], loosened(k, thousandths), *constraints[k + 1 :]
        try:
            learnt(replace(problem, constraints=looser, groups=groups))
        except InfeasibleError:
            return False
        return True

    # Nothing is left of a bound that is loosened by 1.
    slacks = range(1001)
    for k, constraint in enumerate(constraints):
        least = bisect_left(slacks, True, key=partial(is_reachable, k))
        if least in slacks:
            changes.append(f"{loosened(k, least)!r} in place of {constraint!r}")
    helps = ", or ".join(changes) or "to loosen several of them"
    return (
        f"No rule on the calibration rows keeps {problem}. The smallest change that "
        f"allows one is {helps}."
    )


def tradeoff_table(rows, problem, tols=None, new=None):
    """Solve for several tolerances and describe the rules.

    Parameters
    ----------
    rows : CalibrationRows
    problem : Problem
    tols : array-like of float in [0, 1], default=None
        None is 11 of them, evenly spaced from 0 to where nothing is constrained.
    new : CalibrationRows, default=None
        Rows to describe the rules on; None is the rows that they are solved on.

    Returns
    -------
    DataFrame
        A row per tolerance: tol, what ``describe`` gives, and randomised_share. Without
        new rows also what is counted on those that the rules are solved on.

    Raises
    ------
    ValueError
        If a tolerance lies outside [0, 1].
    """
    if tols is not None:
        tols = _check_tols(tols)
    solve = learn_rule(rows, problem)
    if tols is None:
        tols = np.linspace(0.0, solve(1.0).excess, _N_TOLS)
    records, shown = [], rows if new is None else new
    # By the members that count, and with each left out in turn.
    seen, seen_by_all = {}, {}
    for tol in tols:
        rule = solve(float(tol))
        counted = rule.describe(rule.counted_on(shown, seen))
        described = counted
        if new is None:
            described = rule.describe(rule.confusion)
            described |= {f"{name}_counted": value for name, value in counted.items()}
        share = rule.randomised_share(shown, seen_by_all)
        records.append({"tol": tol, **described, "randomised_share": share})
    return pd.DataFrame(records)


def _check_tols(tols):
    """Tolerances as a vector."""
    try:
        values = np.atleast_1d(np.asarray(tols, dtype=float))
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(
            f"tols must be numbers in one dimension, such as [0, 0.05, 0.1], got "
            f"{tols!r}."
        )
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"tols must lie in [0, 1], got {values.tolist()}.")
    return values
