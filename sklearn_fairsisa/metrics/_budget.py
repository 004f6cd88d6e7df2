"""Selection of a search's best candidate under a limit on the gap."""

import warnings
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from .._utils.warnings import level_of_caller


def within_fairness_budget(
    budget: float, *, score: str = "score", gap: str = "gap"
) -> Callable[[Mapping[str, ArrayLike]], int]:
    """Make a `refit` callable that selects the best candidate within a fairness budget.

    Parameters
    ----------
    budget : float
        Largest allowed mean gap over the folds, for example .1.

    score : str, default="score"
        Name in ``scoring`` of the score to maximise.

    gap : str, default="gap"
        Name in ``scoring`` of the gap. Its sign does not matter, so a negated scorer
        such as :class:`FairScorer` is fine.

    Returns
    -------
    refit : callable
        Takes ``cv_results_`` and returns ``best_index_``: among the candidates whose
        gap is within the budget, the one with the highest score, then the smallest
        gap, then the first. If no candidate is within the budget, the candidate with
        the smallest gap is selected, with a warning. Candidates whose score or gap is
        NaN are ignored.

    Raises
    ------
    ValueError
        If the budget is negative; when called, if a name is missing in the results or
        no candidate has both a score and a gap.

    Notes
    -----
    A gap measured on small groups is too large even for a fair rule, so no rule can
    satisfy a budget below :func:`noise_floor`.

    Examples
    --------
    >>> from sklearn_fairsisa.metrics import within_fairness_budget
    >>> refit = within_fairness_budget(0.1, score="accuracy", gap="gap")
    >>> refit({"mean_test_accuracy": [0.9, 0.8, 0.7], "mean_test_gap": [-0.2, -0.1, 0]})
    1
    """
    if not budget >= 0:
        raise ValueError(f"budget must be a non-negative gap, got {budget!r}.")
    # A partial of a module's function can be pickled, a closure cannot.
    return partial(_best_index, budget=float(budget), score=score, gap=gap)


def _best_index(results, *, budget, score, gap):
    scores, gaps = (_means(results, name) for name in (score, gap))
    gaps = np.abs(gaps)
    known = ~(np.isnan(scores) | np.isnan(gaps))
    if not known.any():
        raise ValueError(
            f"No candidate has both a {score!r} and a {gap!r}: all are NaN. Set "
            "error_score='raise' in the search to see why."
        )
    # Means over folds carry rounding errors, which must not exceed the budget.
    allowed = known & (gaps <= budget + 1e-12)
    if allowed.any():
        order = np.lexsort((gaps, -scores, ~allowed))
    else:
        order = np.lexsort((-scores, gaps, ~known))
        warnings.warn(
            f"No candidate is within the fairness budget of {budget:g}; the smallest "
            f"gap, {gaps[order[0]]:.3g}, was selected. Raise the budget or widen the "
            "search.",
            UserWarning,
            stacklevel=level_of_caller(),
        )
    return int(order[0])


def _means(results, name):
    key = f"mean_test_{name}"
    if key not in results:
        known = [k.removeprefix("mean_test_") for k in results if "mean_test_" in k]
        raise ValueError(
            f"The search has no score named {name!r}; it has {known}. Name the "
            "entries of scoring={...} by score= and gap=."
        )
    return np.asarray(results[key], dtype=float)
