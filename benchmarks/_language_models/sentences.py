"""What was found, in sentences that follow from the rows of tables alone.

Nothing is said to be found before its folds are finished. With every person judged at
least once, but not all seeds, a sentence is marked as provisional; before, it says that
there is no answer yet.
"""

from collections import Counter

from sklearn_fairsisa._utils.words import counted

from .cases import ANSWERED, FINAL, PROVISIONAL
from .comparisons import (
    MEAN_SCORE,
    PRIMARY,
    PRIMARY_SHARDS,
    REPAIRED_SHARDS,
    UNDECIDED,
    verdict_on_difference,
    verdict_on_repair,
)
from .costs import TAILS
from .rules import DEFAULT, OF_THE_PAPER, PEERS

_N_ATTRIBUTES = 2
N_SHARDS_FAMILY = len(PRIMARY_SHARDS) * _N_ATTRIBUTES
N_REPAIR_FAMILY = len(REPAIRED_SHARDS) * _N_ATTRIBUTES
_OTHERS = {
    ("redditbias", "minilm"): "RedditBias",
    ("hatexplain", "minilm-whole"): "MiniLM with everything trained",
    ("hatexplain", "smollm2"): "SmolLM2",
    ("hatexplain", "mpnet"): "MPNet",
}


def five_sentences(found):
    """Return five sentences in reStructuredText.

    Parameters
    ----------
    found : dict of str to list of dict
        Rows of the functions of ``comparisons``, ``descriptions`` and ``costs``.
    """
    return [
        _on_shards(found),
        _on_repair(found),
        _on_peers(found),
        _on_others(found),
        _on_costs(found["costs"]),
    ]


def claims_of_the_paper(found):
    """Return rows that say of each finding of the paper whether it is found here."""
    shards = _shards_of(found)
    of_paper = [
        row
        for row in _rules_of(found, PRIMARY)
        if row["rule"] in OF_THE_PAPER and row["n_shards"] in REPAIRED_SHARDS
    ]
    votes = [row for row in of_paper if row["rule"] == "ensemble"]
    votes = [row for row in votes if "default_gap" in row]
    costs = [row for row in found["costs"] if row["rows"] == 1]
    return [
        {
            "finding of the paper": "shards make models less fair",
            "here": tally(
                [(row, row["verdict"]) for row in shards],
                N_SHARDS_FAMILY,
                ["less fair"],
            ),
        },
        {
            "finding of the paper": "its three rules repair the gap",
            "here": tally(
                [(row, verdict_on_repair(row)) for row in of_paper],
                len(OF_THE_PAPER) * N_REPAIR_FAMILY,
                ["repaired"],
            ),
        },
        {
            "finding of the paper": "the optimal rule on votes is the most accurate; "
            "reproduced where the default's balanced accuracy is lower",
            "here": tally(
                [
                    (row, verdict_on_difference(row, "default_balanced_accuracy"))
                    for row in votes
                ],
                N_REPAIR_FAMILY,
                ["lower"],
            ),
        },
        {
            "finding of the paper": "a deletion costs what the formula says",
            "here": _agreement(costs),
        },
    ]


def _agreement(costs):
    if not costs:
        return "not measured yet"
    worst = max(costs, key=lambda row: abs(row["share_of_visits"] - row["expected"]))
    return (
        f"visits beside the formula in {len(costs)} cells: the farthest is "
        f"{worst['share_of_visits']:.1%} beside {worst['expected']:.1%} "
        f"({worst['what']}, S = {worst['S']}, {worst['R']} slices, "
        f"{worst['times']} rows)"
    )


def tally(verdicts, n_planned, first=()):
    """Count verdicts, those that are final and those that are provisional.

    Parameters
    ----------
    verdicts : list of (dict, str)
        Rows and what they say.
    n_planned : int
    first : sequence of str
        Verdicts whose number is stated even if it is zero.

    Returns
    -------
    str
    """
    parts = []
    for stage, kind in ((FINAL, "a verdict"), (PROVISIONAL, "a provisional verdict")):
        own = [verdict for row, verdict in verdicts if row["stage"] == stage]
        if own:
            counts = Counter(dict.fromkeys(first, 0))
            counts.update(own)
            # What is not decided comes last.
            names = sorted(counts, key=lambda name: name == UNDECIDED)
            shown = ", ".join(f"{counts[name]} {name}" for name in names)
            parts.append(f"{_have(len(own))} {kind} ({shown})")
    ready = sum(row["stage"] in ANSWERED for row, _ in verdicts)
    if ready < n_planned:
        parts.append(f"{_have(n_planned - ready)} no answer yet")
    return f"of {counted(n_planned, 'comparison')}, {' and '.join(parts)}"


def _have(n):
    return f"{n} has" if n == 1 else f"{n} have"


def _rules_of(found, key):
    return [
        row
        for row in found["rules"]
        if (row["corpus"], row["model"]) == key
        and row["deletion"] is None
        and not row["holds_out"]
    ]


def _shards_of(found, key=PRIMARY):
    return [
        row
        for row in found["shards"]
        if (row["corpus"], row["model"]) == key and row["decision"] == MEAN_SCORE
    ]


def _repairs_of(found, key=PRIMARY):
    return [
        row
        for row in _rules_of(found, key)
        if row["rule"] == DEFAULT and row["n_shards"] in REPAIRED_SHARDS
    ]


def _on_shards(found):
    rows = _shards_of(found)
    verdicts = [(row, row["verdict"]) for row in rows]
    counts = tally(verdicts, N_SHARDS_FAMILY, ["less fair", "not less fair"])
    return (
        "**Do shards make a language model less fair?** Ensembles of 2, 5, 10 and 20 "
        "shards are compared with one model, by religion and by race. "
        f"{_sentence(counts)}{_range(rows, 'change', 'The gap')}"
    )


def _on_repair(found):
    rows = _repairs_of(found)
    verdicts = [(row, verdict_on_repair(row)) for row in rows]
    counts = tally(verdicts, N_REPAIR_FAMILY, ["repaired"])
    return (
        "**Does the default rule repair the gap?** Ensembles of 5 and 20 shards are "
        "compared with and without the rule, by religion and by race. "
        + _sentence(counts)
        + _range(rows, "more_gap", "With the rule, the gap")
        + _range(rows, "more_balanced_accuracy", "Balanced accuracy")
    )


def _on_peers(found):
    rows = [
        row
        for row in _rules_of(found, PRIMARY)
        if row["rule"] in PEERS
        and row["n_shards"] in REPAIRED_SHARDS
        and "default_gap" in row
    ]
    n_planned = len(PEERS) * N_REPAIR_FAMILY
    parts = []
    for what, words in (("balanced_accuracy", "balanced accuracy"), ("gap", "gap")):
        verdicts = [
            (row, verdict_on_difference(row, f"default_{what}")) for row in rows
        ]
        counts = tally(verdicts, n_planned, ["higher", "lower"])
        parts.append(f" Its {words}: {counts}.")
    return (
        f"**Is it better than the {len(PEERS)} peers?** The default rule is compared "
        f"with each peer on the same ensembles.{''.join(parts)}"
    )


def _on_others(found):
    answered, waiting = [], []
    for key, name in _OTHERS.items():
        rows = _shards_of(found, key)
        verdicts = [(row, row["verdict"]) for row in rows]
        if any(row["stage"] in ANSWERED for row in rows):
            counts = tally(verdicts, len(rows), ["less fair", "not less fair"])
            answered.append(f" {name}: {counts}.")
        else:
            waiting.append(name)
    if waiting:
        answered.append(f" No answer yet: {', '.join(waiting)}.")
    return (
        "**Does it hold elsewhere?** Shards are compared with one model in the same "
        f"way, at 95% each.{''.join(answered)}"
    )


def _on_costs(rows):
    tails = [row for row in rows if row["what"] == TAILS and row["R"] == 1]
    if not tails:
        return "**What does forgetting cost?** Not measured yet."
    parts = []
    for one in tails:
        if one["rows"] > 1:
            continue
        most = max(
            (row for row in tails if row["S"] == one["S"]), key=lambda row: row["rows"]
        )
        parts.append(
            f" With {one['S']} shards, a deletion takes {one['share_of_fit']:.1%} of "
            f"the time of a training. It visits {one['share_of_visits']:.1%} of the "
            f"samples; {one['expected']:.1%} are expected. Erasing alone takes "
            f"{one['erase_ms']:.0f} ms. Relearning {most['rows']} rows at once takes "
            f"{most['of_singles']:.0%} of the time of as many single requests."
        )
    return f"**What does forgetting cost?** For the last layer.{''.join(parts)}"


def _sentence(counts):
    return f"{counts[0].upper()}{counts[1:]}."


def _range(rows, what, subject):
    """Say by how much a quantity changes where people are judged."""
    values = [row[what] for row in rows if row["stage"] in ANSWERED]
    if not values:
        return ""
    return f" {subject} changes by {min(values):+.3f} to {max(values):+.3f}."
