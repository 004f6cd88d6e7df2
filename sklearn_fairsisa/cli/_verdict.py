"""What a comparison found, in three sentences."""

import numpy as np

from ..metrics._encoding import evaluate
from ..metrics._resampling import Kinds, resample, simulate

DEFAULT = "smooth_ensemble"
_MEASURED = "equalized_odds_difference", "balanced_accuracy_score"


def changes(y, decisions, groups, settings):
    """Changes of gap and balanced accuracy on the same people, with 95% intervals.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Labels 0 and 1.
    decisions : dict of str to ndarray of shape (n,)
        Probabilities of the positive decision.
    groups : ndarray of str of shape (n,)
    settings : Settings

    Returns
    -------
    dict
        For the pairs of interest, dicts with the keys ``from``, ``to``, and for each
        quantity ``change``, ``low`` and ``high``.
    """
    pairs = {"shards": ("one model", "SISA"), "repair": ("SISA", DEFAULT)}
    return {
        name: {"from": before, "to": after}
        | paired_changes(
            y,
            decisions[before],
            decisions[after],
            groups,
            settings.n_resamples,
            settings.random_state,
        )
        for name, (before, after) in pairs.items()
    }


def paired_changes(y, before, after, groups, n_resamples, seed):
    """Change of gap and balanced accuracy, with basic bootstrap intervals.

    People are drawn with replacement within each group, both decisions of a person
    together.
    """
    metrics = {name: name for name in _MEASURED}
    kinds = Kinds.of(metrics, y, np.column_stack([before, after]), groups, None)
    strata, rng = kinds.strata("group"), np.random.default_rng(seed)

    def changes_of(counts):
        tallies = kinds.tally(counts)
        values = {name: evaluate(name, *tallies) for name in metrics}
        return {name: pair[:, 1] - pair[:, 0] for name, pair in values.items()}

    found = changes_of(kinds.count[None, :])
    drawn = simulate(
        lambda size: resample(rng, kinds.count, strata, size),
        changes_of,
        n_resamples,
        len(kinds.count),
    )
    return {name: _interval(found[name][0], drawn[name]) for name in metrics}


def _interval(found, drawn):
    high, low = 2 * found - np.quantile(drawn, [0.025, 0.975])
    return {"change": float(found), "low": float(low), "high": float(high)}


def verdict(results):
    """Return three sentences: on forgetting, on shards, on the repair.

    Parameters
    ----------
    results : dict
        As ``results.json`` holds them.

    Returns
    -------
    list of str
    """
    request = results["forgetting"]["requests"][0]
    forgetting = (
        f"Forgetting {_rows(request['rows'])} took {request['share']:.0%} of a full "
        f"training, and after {_deletions(results['forgetting']['forgotten_rows'])} "
        "the ensemble is, bit for bit, one that never saw these rows."
    )
    gaps = {
        method["name"]: method["metrics"]["equalized_odds_difference"]["estimate"]
        for method in results["methods"]
    }
    shards, repair = results["changes"]["shards"], results["changes"]["repair"]
    moved = shards["equalized_odds_difference"]
    if moved["low"] > 0:
        found = "so sharding made decisions less equal"
    elif moved["high"] < 0:
        found = "so sharding made decisions more equal"
    else:
        found = "which may be chance"
    sharding = (
        f"One model has a gap of {gaps['one model']:.3f} between the groups and the "
        f"ensemble one of {gaps['SISA']:.3f} ({_change(moved)}), {found}."
    )
    default = next(m for m in results["methods"] if m["name"] == DEFAULT)
    moved = repair["equalized_odds_difference"]
    if moved["high"] < 0:
        found = "reduces the gap"
    elif moved["low"] > 0:
        found = "increases the gap"
    else:
        found = "does not detectably change the gap, which goes"
    repaired = (
        f"{DEFAULT}, the default rule, {found} from {gaps['SISA']:.3f} to "
        f"{gaps[DEFAULT]:.3f} ({_change(moved)}), at a balanced accuracy that "
        f"changes by {_change(repair['balanced_accuracy_score'])}"
    )
    if default["nearly_constant"]:
        repaired += ", but decides nearly the same for everyone"
    return [forgetting, sharding, repaired + "."]


def _rows(k):
    return "one row" if k == 1 else f"{k} rows"


def _deletions(k):
    return "the deletion" if k == 1 else f"all {k} deletions"


def _change(interval):
    return (
        f"{interval['change']:+.3f} [{interval['low']:+.3f}, {interval['high']:+.3f}]"
    )
