"""Rules over the same members, which predict once for all of them."""

import numpy as np


def calibration_scores(rule):
    """Return the rows that calibrate a rule across shards, and their members' scores.

    Parameters
    ----------
    rule : FairEnsemblePostprocessor
        Of two classes, attached to a sharded ensemble that held out no rows.

    Returns
    -------
    index : ndarray of int of shape (n_rows,)
        Indices of the rows.
    scores : ndarray of shape (n_rows, n_members)
        By members that do not abstain; NaN by the one that learnt from the row.
    """
    ensemble = rule.estimator_
    kept = rule._rule_of(ensemble)
    index, scores = kept.rows.index, kept.kept.copy()
    scores[np.arange(len(index)), ensemble.plan_.shards[index]] = np.nan
    return index, of_voters(ensemble, scores)


def of_voters(ensemble, scores):
    """Return the columns of those members that do not abstain."""
    return scores[:, [member is not None for member in ensemble.estimators_]]


def selection_probabilities(rules, X, sensitive_features, scores):
    """Return the selection probabilities of people under several rules.

    Parameters
    ----------
    rules : iterable of FairEnsemblePostprocessor
        Fitted over the same ensemble of two classes.
    X : container of n_samples rows
    sensitive_features : array-like of shape (n_samples,) or (n_samples, k)
    scores : ndarray of shape (n_samples, n_members)
        What the ensemble's ``transform`` returns for these rows, of members that do
        not abstain.

    Returns
    -------
    list of ndarray of shape (n_samples,)
        Of each rule, the bits of its `selection_probability`.
    """
    probabilities = []
    for rule in rules:
        serving = rule._serving()
        _, seen, group = rule._people(serving, X, sensitive_features)
        turned = serving.calibrated.problem.turned(scores)
        probabilities.append(rule._probability(serving, seen, group, scores=turned))
    return probabilities
