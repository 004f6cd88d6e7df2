"""What a comparison found, in three sentences."""

import numpy as np

from ..metrics._encoding import evaluate
from ..metrics._resampling import Kinds, resample, simulate

DEFAULT = "smooth_ensemble"
FLOOR = "noise_floor_of_equalized_odds_difference"
_GAP = "equalized_odds_difference"
_MEASURED = _GAP, "balanced_accuracy_score"
_MORE, _LESS, _CHANCE = "more", "less", "chance"
_NAMES = {"one model": "one model", "SISA": "the ensemble"}
_ALIKE = "decides nearly the same for everyone, so the gaps cannot be compared"
_TOO_FEW = "these are too few people to tell a change from chance"
_WITHIN_FLOOR = (
    "this cannot be told from chance: gaps of perfectly fair rules differ as much"
)


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
    methods = {method["name"]: method for method in results["methods"]}
    shards, repair = results["changes"]["shards"], results["changes"]["repair"]
    return [
        forgetting,
        _on_shards(shards, methods["one model"], methods["SISA"]),
        _on_repair(repair, methods["SISA"], methods[DEFAULT]),
    ]


def _on_shards(changed, single, sisa):
    moved = changed[_GAP]
    found = {
        _MORE: "so sharding made decisions less equal",
        _LESS: "so sharding made decisions more equal",
        _CHANCE: "which may be chance",
    }
    direction = _direction(moved, single, sisa)
    return (
        f"One model has a gap of {_gap(single):.3f} between the groups and the "
        f"ensemble one of {_gap(sisa):.3f} ({_change(moved)}), "
        f"{found.get(direction, f'but {direction}')}."
    )


def _on_repair(changed, sisa, default):
    moved = changed[_GAP]
    found = {
        _MORE: "increases the gap",
        _LESS: "reduces the gap",
        _CHANCE: "does not detectably change the gap, which goes",
    }
    direction = _direction(moved, sisa, default)
    sentence = (
        f"{DEFAULT}, the default rule, {found.get(direction, 'moves the gap')} from "
        f"{_gap(sisa):.3f} to {_gap(default):.3f} ({_change(moved)}), at a balanced "
        f"accuracy that changes by {_change(changed['balanced_accuracy_score'])}"
    )
    if default["nearly_constant"]:
        sentence += ", but decides nearly the same for everyone"
    elif direction not in found:
        sentence += f", but {direction}"
    return sentence + "."


def _direction(moved, before, after):
    """Return how the gap changed, or the reason why this cannot be told."""
    # A rule that decides the same for everyone is marked; an ensemble misleads.
    for method in (before, after):
        if method["nearly_constant"] and method["name"] in _NAMES:
            return f"{_NAMES[method['name']]} {_ALIKE}"
    if not _holds_its_estimate(moved):
        return _TOO_FEW
    if moved["low"] <= 0 <= moved["high"]:
        return _CHANCE
    # Bootstrap intervals of small gaps are too narrow, so the floor must be passed too.
    if abs(moved["change"]) <= max(m["metrics"][FLOOR] for m in (before, after)):
        return _WITHIN_FLOOR
    return _MORE if moved["change"] > 0 else _LESS


def _gap(method):
    return method["metrics"][_GAP]["estimate"]


def _holds_its_estimate(interval):
    return interval["low"] <= interval["change"] <= interval["high"]


def _rows(k):
    return "one row" if k == 1 else f"{k} rows"


def _deletions(k):
    return "the deletion" if k == 1 else f"all {k} deletions"


def _change(interval):
    change = f"{interval['change']:+.3f}"
    if not _holds_its_estimate(interval):
        return change
    return f"{change} [{interval['low']:+.3f}, {interval['high']:+.3f}]"
