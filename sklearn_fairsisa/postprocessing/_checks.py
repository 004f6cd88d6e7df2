"""Checks of the parameters and rows of a fair rule."""

import warnings
from numbers import Real

import numpy as np
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets

from .._utils.groups import distinct
from .._utils.validation import check_no_missing_labels, check_sample_weight
from .._utils.warnings import level_of_caller
from ..exceptions import UnsupportedToleranceWarning
from ..fairness._rates import label_totals
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


def check_confidence(confidence, tol):
    """Raise if confidence is requested in a gap of zero, which no data give."""
    if confidence is not None and tol == 0:
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
    """Raise if groups are to be inferred and X tells them no better than chance.

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
            f"X does not tell the groups {problem.groups.tolist()} better than chance: "
            f"the mean log-likelihood of the {len(rows)} calibration rows' groups, "
            f"estimated without them, exceeds that of the groups' shares by "
            f"{gain.mean():.4f}, with a standard error of {error:.4f}. Groups that "
            "cannot be inferred cannot be treated alike without knowing them: use "
            "sensitive_at_predict=True, or give features that tell more of them."
        )


def check_labels(y, among="y"):
    """The classes, and each row's: whether it is the second of two, else its code."""
    y = check_no_missing_labels(y)
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
    suffices = problem.constraint.needs(totals)
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
    if problem.constraint.at_most >= 1 or n_groups < 2:
        return
    number = label_totals(rows.group, rows.label, n_groups, None, n_classes)
    rates = problem.constraint.rates(n_classes)
    fewest = np.min([number[:, r.counted].sum(axis=1) for r in rates], axis=0)
    tiny = np.flatnonzero(fewest < _TINY)
    if len(tiny):
        which = ", ".join(
            f"{problem.groups.tolist()[a]!r} on {fewest[a]:.0f}" for a in tiny
        )
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
