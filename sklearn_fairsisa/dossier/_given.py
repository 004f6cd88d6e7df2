"""People who are given, decided on by a rule or by an ensemble without one."""

import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from .._utils.columns import column_names
from .._utils.groups import check_groups, encode_groups, sensitive_names
from .._utils.validation import check_subjects
from ..fairness._coins import class_probabilities, is_random
from ..sisa._requests import n_erased
from ._people import People, by_attribute


def given_people(fitted, rule, X, y, sensitive_features, subjects, source):
    """Return decisions on people.

    Parameters
    ----------
    fitted : SISAClassifier
    rule : FairEnsemblePostprocessor, or None
        Over `fitted`.
    X : rows
    y : array-like of shape (n_people,), or None
    sensitive_features : array-like of shape (n_people,) or (n_people, k), or None
        None where the rule reads them from X.
    subjects : array-like of shape (n_people,), or None
    source : str
        Who the people are, a sentence.

    Returns
    -------
    People
    """
    n_people = _num_samples(X)
    if subjects is not None:
        subjects = check_subjects(subjects, n_people)
        _check_not_erased(fitted, subjects)
    groups, features = _groups(rule, X, sensitive_features)
    if rule is None:
        decisions = fitted.classes_
        code = np.searchsorted(decisions, fitted.predict(X))
        expected = decided = np.eye(len(decisions))[code]
    else:
        decisions = rule._problem.decisions
        expected, decided = _by_rule(rule, X, sensitive_features, subjects)
    names, code = encode_groups(groups)
    label = None if y is None else _label_codes(y, decisions)
    attributes = by_attribute(names, code, [str(name) for name in features])
    return People(source, attributes, decisions, expected, decided, label)


def _groups(rule, X, sensitive_features):
    """Return each person's group, masked where missing, and the attributes' names."""
    if sensitive_features is not None:
        groups = check_groups(sensitive_features, _num_samples(X), allow_missing=True)
        return groups, sensitive_names(sensitive_features, None)
    if rule is None or rule.sensitive_feature is None:
        raise ValueError(
            "The groups of the people are missing. Give them as sensitive_features."
        )
    return rule._split(X, None)[1], rule._problem.features


def _by_rule(rule, X, sensitive_features, subjects):
    """Return the probability of each decision, and the one that ``predict`` makes."""
    groups = None
    if rule.sensitive_feature is None and rule.sensitive_at_predict:
        groups = _of_rule(rule._problem, sensitive_features)
    expected = class_probabilities(
        rule.selection_probability(X, sensitive_features=groups)
    )
    code = expected.argmax(axis=1)
    random = np.flatnonzero(is_random(expected))
    if len(random):
        # Decisions on others need no second look at the members.
        part = {"sensitive_features": groups, "subjects": subjects}
        part = {
            k: v if v is None else _safe_indexing(v, random) for k, v in part.items()
        }
        labels = rule.predict(_safe_indexing(X, random), **part)
        code[random] = _label_codes(labels, rule._problem.decisions)
    return expected, np.eye(expected.shape[1])[code]


def _of_rule(problem, sensitive_features):
    """Return the attributes that a rule needs, of those that are given."""
    names = column_names(sensitive_features)
    features = list(problem.features)
    groups = problem.groups.tolist()
    n_features = len(groups[0]) if isinstance(groups[0], tuple) else 1
    if names is None or len(names) == n_features:
        return sensitive_features
    if features and set(features) <= set(names):
        return sensitive_features[features]
    raise ValueError(
        f"The rule decides by {n_features} attributes, {features or 'without names'}, "
        f"but those given are {list(names)}. Give the rule's, and more if you want."
    )


def _label_codes(y, decisions):
    """Return the position of each label among the decisions."""
    position = {label: k for k, label in enumerate(decisions.tolist())}
    labels = np.asarray(y).tolist()
    unknown = list(dict.fromkeys(v for v in labels if v not in position))
    if unknown:
        raise ValueError(
            f"The labels {unknown[:5]} are none of {list(position)}, which the "
            "ensemble was fitted with. Correct them, or leave the labels out."
        )
    return np.array([position[label] for label in labels], dtype=np.intp)


def _check_not_erased(fitted, subjects):
    """Raise if somebody's rows were erased on request, and none were given since."""
    erased = n_erased(fitted._state, subjects)
    if erased:
        raise ValueError(
            f"{erased} of the {len(subjects)} rows are of people whose rows were "
            "erased on request. Leave them out."
        )
