"""Decisions of several rules over the same members, which predict once."""


def selection_probabilities(rules, X, sensitive_features):
    """Return the selection probabilities of people under several rules.

    Parameters
    ----------
    rules : iterable of FairEnsemblePostprocessor
        Fitted over the same ensemble, with the same `pos_label`.
    X : container of n_samples rows
    sensitive_features : array-like of shape (n_samples,) or (n_samples, k)

    Returns
    -------
    list of ndarray of shape (n_samples,) or (n_samples, n_classes)
        Of each rule, the bits of its `selection_probability`.
    """
    probabilities, scores = [], None
    for rule in rules:
        serving = rule._serving()
        _, seen, group = rule._people(serving, X, sensitive_features)
        if scores is None:
            scores = serving.scores(seen)
        probabilities.append(rule._probability(serving, seen, group, scores=scores))
    return probabilities
