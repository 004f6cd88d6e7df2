"""Checks of the parameters and rows of a fair rule."""

import warnings
from numbers import Real

import numpy as np
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets

from .._utils.groups import distinct
from .._utils.validation import check_sample_weight, class_labels
from .._utils.warnings import level_of_caller
from ..exceptions import UnsupportedToleranceWarning
from ..fairness._constraints import Constraint
from ..fairness._rates import label_totals
from ..fairness._thresholds import check_thresholds
from ._aggregation import PLURALITY, aggregation_of
from ._calibration import votes_of
from ._methods import METHODS

# Fewer rows are a handful. The standard error that is worth having.
_TINY, _ERROR = 8, 0.05
# Standard errors that chance alone seldom exceeds.
_DOUBT = 1.64
_COSTS = {"false_positive", "false_negative"}


def check_objective(objective, classes):
    """Raise unless an objective given by costs suits the classes.

    Parameters
    ----------
    objective : str, dict, list or ndarray
    classes : ndarray of shape (n_classes,)

    Returns
    -------
    str, or tuple of tuples
        Costs are a matrix of immutable numbers.
    """
    if isinstance(objective, str):
        return objective
    if isinstance(objective, dict) != (len(classes) == 2):
        raise ValueError(
            f"Costs for the {len(classes)} classes {classes.tolist()} are given as a "
            "dict of 'false_positive' and 'false_negative' for two classes, as an "
            "array of shape (n_classes, n_classes) for more: row j, column k holds the "
            f"cost of deciding k where j is true. Got {objective!r}."
        )
    if isinstance(objective, dict):
        _check_two_costs(objective)
        alarm, miss = float(objective["false_positive"]), objective["false_negative"]
        return (0.0, alarm), (float(miss), 0.0)
    try:
        costs = np.asarray(objective, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(f"Costs must be numbers, got {objective!r}.") from None
    shape = (len(classes), len(classes))
    if costs.shape != shape or not np.isfinite(costs).all():
        raise ValueError(
            f"Costs for the classes {classes.tolist()} need the shape {shape} and "
            f"finite numbers, got {objective!r}."
        )
    if not np.ptp(costs, axis=1).any():
        raise ValueError("All decisions cost the same. Give an error a cost.")
    return tuple(map(tuple, costs.tolist()))


def _check_two_costs(objective):
    if set(objective) != _COSTS:
        raise ValueError(
            "objective as a dict needs the keys 'false_positive' and "
            f"'false_negative', got {sorted(map(str, objective))}."
        )
    costs = list(objective.values())
    if not all(isinstance(c, Real) and np.isfinite(c) and c >= 0 for c in costs):
        raise ValueError(f"Costs must be finite and not negative, got {objective}.")
    if not any(costs):
        raise ValueError("Both costs are zero. Give an error a cost.")


def check_positive(pos_label, classes, problem):
    """Return whether, of two classes, the first is the positive one.

    Parameters
    ----------
    pos_label : object
        None where it is not given.
    classes : ndarray of shape (n_classes,)
    problem : Problem

    Raises
    ------
    ValueError
        If there is no such class, there are more than two, or the objective or a
        constraint has to know which is positive, and does not.
    """
    names = classes.tolist()
    if pos_label is not None:
        if len(names) > 2:
            raise ValueError(
                f"pos_label={pos_label!r} is for two classes, but there are {names}. "
                "Leave it at None; each class has rates of its own."
            )
        if pos_label not in names:
            raise ValueError(f"pos_label={pos_label!r} is not one of {names}.")
        return pos_label == names[0]
    if len(names) > 2 or names in ([0, 1], [-1, 1]):
        return False
    for each in (*problem.constraints, problem.objective):
        if isinstance(each, Constraint):
            if each.is_symmetric:
                continue
            what = f"The constraint on the {each.rate}"
        elif isinstance(each, str):
            continue
        else:
            what = "The objective"
        raise ValueError(
            f"{what} depends on which class is positive, and y takes values in "
            f"{names}. Give it by pos_label, for example pos_label={names[1]!r}, or "
            "use the labels 0 and 1."
        )
    return False


def check_randomise(problem):
    """Raise unless a problem has rules without randomised decisions."""
    if problem.randomise:
        return
    if problem.method not in ("smooth_ensemble", "soft_ensemble"):
        raise ValueError(
            f"method={problem.method!r} has too few cells for rules without randomised "
            'decisions. randomise=False needs "smooth_ensemble" or "soft_ensemble".'
        )
    if problem.infers:
        raise ValueError(
            "randomise=False finds a threshold for each group, which inferred groups "
            "do not have. Leave it at True."
        )
    if len(problem.classes) > 2:
        raise ValueError(
            f"randomise=False is for two classes, but y holds "
            f"{problem.classes.tolist()}. Leave it at True."
        )
    check_thresholds(problem)


def check_constraints(constraints, tol):
    """Constraint objects as a tuple; raise unless they can stand together.

    Parameters
    ----------
    constraints : Constraint, list or tuple
    tol : float

    Raises
    ------
    TypeError
        If something in a list is no constraint object.
    ValueError
        If there is none, one bounds what another bounds, or `tol` is not 0.
    """
    if isinstance(constraints, Constraint):
        constraints = (constraints,)
    for constraint in constraints:
        if not isinstance(constraint, Constraint):
            raise TypeError(
                f"constraints holds {constraint!r}. Give a word alone, or a list of "
                "Difference, Ratio and AtLeast of sklearn_fairsisa.constraints."
            )
    if not constraints:
        raise ValueError(
            "constraints is an empty list. Give a constraint, or use an ensemble "
            "without a rule."
        )
    if tol != 0:
        raise ValueError(
            f"tol={tol:g} is for constraints given by a word; constraint objects carry "
            "their own bounds. Leave tol at 0, and set at_most= or at_least=."
        )
    bounded = [(type(each), each.rate, each.by) for each in constraints]
    for k, key in enumerate(bounded):
        if key in bounded[:k]:
            raise ValueError(
                f"{constraints[bounded.index(key)]!r} and {constraints[k]!r} bound the "
                "same. Give the stricter one alone."
            )
    return tuple(constraints)


def check_attributes(problem):
    """Raise unless constraints are about features and groups that there are."""
    for constraint in problem.constraints:
        if constraint.by is not None and constraint.by not in problem.features:
            known = (
                f"are {list(problem.features)}" if problem.features else "have no names"
            )
            raise ValueError(
                f"{constraint!r} is by {constraint.by!r}, but the sensitive features "
                f"{known}. Give a data frame whose columns have names, or names of "
                "columns of X as sensitive_feature."
            )
        floors = getattr(constraint, "at_least", None)
        if not isinstance(floors, dict):
            continue
        names, _ = problem.parts(constraint, len(problem.groups))
        unknown = [name for name in floors if name not in names]
        if unknown:
            raise ValueError(
                f"{constraint!r} bounds the rate of the groups {unknown}, but there "
                f"are {names[:20]}."
            )


def check_confidence(confidence, tol, constraints=()):
    """Raise if confidence is requested in a gap of zero, which no data give.

    Parameters
    ----------
    confidence : float or None
    tol : float
    constraints : sequence of Constraint, default=()
        Those that carry their own bounds, in place of `tol`.
    """
    if confidence is None:
        return
    for each in constraints:
        if 1.0 in (1.0 - getattr(each, "at_most", 1.0), getattr(each, "at_least", 0.0)):
            raise ValueError(
                f"confidence={confidence} is about true rates, and no number of rows "
                f"shows that they keep {each!r}. Allow some difference."
            )
    if not constraints and tol == 0:
        raise ValueError(
            f"confidence={confidence} is about the true difference between groups, "
            "and no number of rows shows that to be exactly tol=0. Allow some, for "
            "example tol=0.05, or set confidence=None to have equal rates in "
            "calibration."
        )


def check_infers(method):
    """Raise if a method cannot decide on people whose group is inferred."""
    if METHODS[method].infers is None:
        can = [name for name, known in METHODS.items() if known.infers is not None]
        raise ValueError(
            f"method={method!r} goes by votes alone, from which groups cannot be "
            'inferred. With sensitive_at_predict=False or unknown_group="inferred" use '
            f"one of {can}."
        )


def check_tells_groups(calibrated):
    """Raise if groups are to be inferred and X predicts them no better than chance.

    Parameters
    ----------
    calibrated : Calibrated
    """
    rows, problem = calibrated.rows.weighed, calibrated.problem
    if problem.sensitive_at_predict or len(problem.groups) < 2:
        return
    chance = rows.joint.sum(axis=2)[np.arange(len(rows)), rows.group]
    share = np.bincount(rows.group, rows.weight, minlength=len(problem.groups))
    gain = np.log(chance.clip(1e-12)) - np.log(share / share.sum())[rows.group]
    error = gain.std() / np.sqrt(len(gain))
    if gain.mean() < _DOUBT * error:
        raise ValueError(
            f"X does not predict the groups {problem.groups.tolist()} better than "
            f"chance: the mean log-likelihood of the {len(rows)} calibration rows' "
            f"groups, estimated without them, exceeds that of the groups' shares by "
            f"{gain.mean():.4f}, with a standard error of {error:.4f}. Groups that "
            "cannot be inferred cannot be treated alike without knowing them: use "
            "sensitive_at_predict=True, or give features that predict them better."
        )


def check_labels(y, among="y"):
    """The classes, and each row's: whether it is the second of two, else its code."""
    y = class_labels(y)
    assert_all_finite(y, input_name="y")
    check_classification_targets(y)
    classes, code = distinct(y)
    if len(classes) < 2:
        number = "1 class" if len(classes) else "no class"
        raise ValueError(
            f"There is {number} in {among}: {classes.tolist()}. Give rows of two "
            "classes or more."
        )
    if len(classes) == 2:
        return classes, code == 1
    return classes, code


def check_weight(sample_weight, n_samples):
    """Weights as an array, or None; some must be positive, none negative."""
    if sample_weight is None:
        return None
    weight = check_sample_weight(sample_weight, n_samples)
    if (weight < 0).any():
        raise ValueError(
            f"Negative weights in sample_weight, {weight.min():g} among them. Give "
            "weights of at least 0; a row of weight 0 is left out."
        )
    return weight


def checked_aggregation(estimator, method, X, scores, classes):
    """Return how an ensemble aggregates, as far as a method needs to know.

    Parameters
    ----------
    estimator : fitted estimator, list of classifiers or None
    method : str
    X : rows that the members have scored
    scores : ndarray of shape (n_samples, n_members[, n_classes])
    classes : ndarray of shape (n_classes,)

    Returns
    -------
    Aggregation

    Raises
    ------
    ValueError
        If the method aggregates, and the ensemble neither votes nor averages.

    Warns
    -----
    UserWarning
        If the method aggregates, and an ensemble of an unknown kind decides otherwise
        than by its members' votes.
    """
    aggregation = aggregation_of(estimator)
    if not METHODS[method].aggregates:
        return aggregation or PLURALITY
    if aggregation is None:
        raise ValueError(
            f"method={method!r} aggregates the members as their ensemble does, but "
            "StackingClassifier decides by a model of their outputs, not by a vote. "
            'Use method="ensemble" or "smooth_ensemble", or post-process the whole '
            "stack as one member, [FrozenEstimator(stack.fit(...))]."
        )
    if not aggregation.is_certain and hasattr(estimator, "predict"):
        decided = aggregation.decide(scores, votes_of(scores))
        own = np.ravel(estimator.predict(X))
        differ = int((classes[decided.astype(np.intp)] != own).sum())
        if differ:
            warnings.warn(
                f"{type(estimator).__name__} decides otherwise than its members' vote "
                f"on {differ} of {len(own)} calibration rows: how it weighs them is "
                f"not known, and method={method!r} counts the vote. Use "
                'method="smooth_ensemble", which learns weights, or post-process the '
                "ensemble as one member, [FrozenEstimator(ensemble.fit(...))].",
                UserWarning,
                stacklevel=level_of_caller(),
            )
    return aggregation


def check_groups_suffice(problem, rows, what="calibration rows", held_out=False):
    """Raise unless each group has the labels that the constraint needs.

    Rows may have been `held_out` from the members for calibration.
    """
    groups, classes = problem.groups, problem.classes
    totals = label_totals(
        rows.group, rows.label, len(groups), rows.weight, len(classes)
    )
    suffices = problem.needs(totals)
    if suffices.all():
        return
    a = int(np.argmin(suffices))
    absent = np.flatnonzero(totals[a] == 0)
    if len(classes) == 2:
        labels = ("negative labels", "positive labels")[absent[0]]
        rate = "selection rate" if len(absent) == 2 else ("FPR", "TPR")[absent[0]]
    else:
        labels = f"rows of class {classes.tolist()[absent[0]]!r}"
        rate = "rate of each decision there"
        if len(absent) == len(classes):
            rate = "share of each decision"
    helps = "Add such rows, or merge the group with another."
    if len(absent) == len(classes):
        labels = "rows"
    else:
        # Demographic parity needs rows, of whatever label.
        helps = (
            "Add such rows, merge the group with another, or use "
            'constraints="demographic_parity".'
        )
    if held_out:
        helps = (
            "Rows are held out whatever their label and group, so a small group may "
            'get too few. Over a SISAClassifier with calibration="cross_shard" every '
            f"row calibrates; or hold out a greater share. {helps}"
        )
    if rows.weight is not None:
        what += " of positive weight"
    raise ValueError(
        f"Group {groups.tolist()[a]!r} has no {labels} among the {what}, so its {rate} "
        f"is undefined. {helps}"
    )


def warn_of_tiny_groups(calibrated):
    """Warn of groups one of whose rates rests on a handful of rows.

    Parameters
    ----------
    calibrated : Calibrated
    """
    rows, problem = calibrated.rows.weighed, calibrated.problem
    n_groups, n_classes = len(problem.groups), len(problem.classes)
    if n_groups < 2:
        return
    number = label_totals(rows.group, rows.label, n_groups, None, n_classes)
    tiny: dict[str, float] = {}
    for constraint in problem.demands:
        names, part = problem.parts(constraint, n_groups)
        if not constraint.binds(len(names)):
            continue
        for rate in constraint.rates(n_classes):
            people = np.bincount(part, number[:, rate.counted].sum(axis=1), len(names))
            for a in np.flatnonzero(people < _TINY):
                name = repr(names[a])
                tiny[name] = min(people[a], tiny.get(name, np.inf))
    if tiny:
        which = ", ".join(f"{name} on {fewest:.0f}" for name, fewest in tiny.items())
        warnings.warn(
            "Groups have a rate that rests on very few calibration rows: "
            f"{which}. The rule may be less fair to them than none. For a standard "
            f"error of {_ERROR:g} a rate needs about {0.25 / _ERROR**2:.0f} rows of "
            "its label in each group. Give such rows, or merge groups.",
            UnsupportedToleranceWarning,
            stacklevel=level_of_caller(),
        )


def check_some_row_counts(rows, method):
    """Raise unless the rows suffice for a rule; a single label does.

    Parameters
    ----------
    rows : CalibrationRows
    method : str
    """
    rows = rows.weighed
    if len(rows) == 0:
        raise ValueError(
            "No calibration row would be left to base a rule on. Fit again with other "
            "rows."
        )
    if not _all_members_have_rows(rows, method):
        raise ValueError(
            "All calibration rows left would be those of one shard, whose member would "
            f"have none to be post-processed on, as method={method!r} does. Fit again "
            "with other rows, or use another method."
        )


def rows_suffice(rows, method):
    """Whether the rows suffice for a rule."""
    rows = rows.weighed
    return len(rows) > 0 and _all_members_have_rows(rows, method)


def _all_members_have_rows(rows, method):
    if not METHODS[method].has_rule_per_member or rows.counted is None:
        return True
    return bool(rows.counted.any(axis=0).all())


def check_members_suffice(problem, rows):
    """Raise unless each member's own rule has every group outside its shard."""
    if not METHODS[problem.method].has_rule_per_member:
        return
    for member, counted in enumerate(rows.counted.T):
        what = f"rows outside shard {member}"
        check_groups_suffice(problem, rows.take(counted), what)
