"""What may be asked of a fair rule, and on which rows."""

from numbers import Real

import numpy as np
import pandas as pd
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import _check_sample_weight, column_or_1d

from ._methods import label_weights, suffices

_COSTS = {"false_positive", "false_negative"}


def check_costs(objective):
    """Raise unless an objective given as a dict holds two usable costs."""
    if not isinstance(objective, dict):
        return
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
    """Raise if a gap of zero is to be guaranteed, which no data can."""
    if confidence is not None and tol == 0:
        raise ValueError(
            f"confidence={confidence} is about the true difference between groups, "
            "and no number of rows shows that to be exactly tol=0. Allow some, for "
            "example tol=0.05, or set confidence=None to have equal rates in "
            "calibration."
        )


def check_labels(y):
    """The two classes, and whether each label is the second."""
    y = column_or_1d(y, warn=True)
    if pd.isna(y).any():
        raise ValueError("Input y contains NaN or None. Drop the rows without a label.")
    assert_all_finite(y, input_name="y")
    check_classification_targets(y)
    classes = np.unique(y)
    if len(classes) > 2:
        raise ValueError(
            "Only binary classification is supported. The type of the target is "
            f"{type_of_target(y)}, with {len(classes)} classes. Merge classes into two."
        )
    if len(classes) < 2:
        raise ValueError(
            f"y holds 1 class of positive weight, {classes.tolist()}. Give rows of two "
            "classes."
        )
    return classes, y == classes[1]


def check_weight(sample_weight, like):
    """Weights as an array; some must be positive, none negative."""
    weight = _check_sample_weight(sample_weight, like, ensure_non_negative=True)
    if not weight.any():
        raise ValueError("All of sample_weight is zero. Give some row a weight.")
    return weight


def check_groups_suffice(groups, rows, constraint, what="calibration rows"):
    """Raise unless each group has the labels that the constraint needs."""
    negatives, positives = label_weights(rows, len(groups))
    able = suffices(negatives, positives, constraint)
    if able.all():
        return
    a = int(np.argmin(able))
    missing, rate = ("positive", "TPR") if positives[a] == 0 else ("negative", "FPR")
    if negatives[a] + positives[a] == 0:
        missing, rate = "positive or negative", "selection rate"
    raise ValueError(
        f"Group {groups[a].item()!r} has no {missing} labels among the {what}, so its "
        f"{rate} is undefined. Add such rows, merge the group with another, or use "
        'constraints="demographic_parity".'
    )


def check_members_suffice(groups, rows, method, constraint):
    """Each member's own rule needs every group outside its shard."""
    if method != "postprocess_then_aggregate":
        return
    for member, counted in enumerate(rows.counted.T):
        what = f"rows outside shard {member}"
        check_groups_suffice(groups, rows.take(counted), constraint, what)
