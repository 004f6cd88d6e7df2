"""What was found, in sentences that follow from the rows of tables alone.

Nothing is said to be found before its folds are finished. With all folds of one seed,
but not of all seeds, a sentence is marked as provisional; before, it says that there is
no answer yet.
"""

from collections import Counter

from _peers import SCORE_PEERS

from .cases import ANSWERED, PROVISIONAL, planned_shards, planned_splits
from .comparisons import (
    BY_VOTES,
    MEAN_SCORE,
    PRIMARY_SHARDS,
    REPAIRED_SHARDS,
    verdict_on_difference,
    verdict_on_repair,
)
from .costs import TAILS
from .plan import ATTRIBUTES, FIRST_LOOK, NOT_ASKED, PRIMARY
from .rules import BEST_THRESHOLD, DEFAULT, GROUPLESS, NONE, OF_THE_PAPER, PEERS

_CONFIRMATION = "redditbias", "minilm"
_N_ATTRIBUTES = len(ATTRIBUTES[PRIMARY[0]])
N_SHARDS_FAMILY = len(PRIMARY_SHARDS) * _N_ATTRIBUTES
N_REPAIR_FAMILY = len(REPAIRED_SHARDS) * _N_ATTRIBUTES
_OTHERS = {
    _CONFIRMATION: "MiniLM on RedditBias",
    ("hatexplain", "minilm-whole"): "MiniLM (everything trained)",
    ("hatexplain", "smollm2"): "SmolLM2",
    ("hatexplain", "mpnet"): "MPNet",
}


def five_sentences(found):
    """Return five sentences in reStructuredText, one for each question.

    Parameters
    ----------
    found : dict of str to list of dict
        Rows of the functions of ``comparisons``, ``descriptions`` and ``costs``.
    """
    return [sentence for sentence, _ in _findings(found)]


def details(found):
    """Return what belongs to the five sentences, in as many paragraphs."""
    return [detail for _, detail in _findings(found)]


def _findings(found):
    parts = _on_shards, _on_repair, _on_peers, _on_others, _on_forgetting
    return [part(found) for part in parts]


def claims_of_the_paper(found):
    """Return rows that say of each finding of the paper whether it is found here."""
    shards = _shards_of(found)
    of_paper = _repairs_of(found, rules=OF_THE_PAPER)
    by_votes = _shards_of(found, decision=BY_VOTES)
    costs = [row for row in found["costs"] if row["rows"] == 1]
    return [
        {
            "finding of the paper": "shards make models less fair",
            "here": _less_fair(shards, N_SHARDS_FAMILY),
        },
        {
            "finding of the paper": "the same by the majority of votes, at 95% each",
            "here": _less_fair(by_votes, N_SHARDS_FAMILY),
        },
        {
            "finding of the paper": "its three rules repair the gap",
            "here": _repaired(of_paper, len(OF_THE_PAPER) * N_REPAIR_FAMILY)
            + _range(of_paper, "more_balanced_accuracy", "; balanced accuracy"),
        },
        *_claims_elsewhere(found),
        {
            "finding of the paper": "of these three, the optimal one on votes is the "
            "most accurate",
            "here": _ranked(of_paper, "ensemble"),
        },
        {
            "finding of the paper": "a deletion costs what the formula says",
            "here": _agreement(costs),
        },
    ]


def _claims_elsewhere(found):
    for key, name in _OTHERS.items():
        own = _repairs_of(found, key, OF_THE_PAPER)
        yield {
            "finding of the paper": f"the same with {name}, at 95% each",
            "here": _repaired(own, len(OF_THE_PAPER) * _n_repairs(key)),
        }


def _ranked(rows, rule):
    """Say how often a rule has the highest balanced accuracy of all that are ranked."""
    by_case = {}
    for row in rows:
        case = row["attribute"], row["n_shards"]
        if row["stage"] in ANSWERED:
            by_case.setdefault(case, {})[row["rule"]] = row["balanced_accuracy"]
    ranked = [own for own in by_case.values() if len(own) == len(OF_THE_PAPER)]
    if not ranked:
        return "No answer yet"
    best = sum(max(own, key=own.get) == rule for own in ranked)
    waits = any(row["stage"] == PROVISIONAL for row in rows)
    return (
        f"It has the highest estimate in {best} of {len(ranked)} cells; no intervals"
        f"{' (provisional)' if waits else ''}"
    )


def _agreement(costs):
    if not costs:
        return "not measured yet"
    worst = max(costs, key=lambda row: abs(row["share_of_visits"] - row["expected"]))
    return (
        f"visits beside the formula in {len(costs)} cells of single rows: the farthest "
        f"is {worst['share_of_visits']:.1%} beside {worst['expected']:.1%} "
        f"({worst['what']}, S = {worst['S']}, {worst['R']} slices, "
        f"{worst['times']} rows)"
    )


def answer(verdicts, n_planned, yes, no):
    """Say in how many comparisons the answer to a question is yes, no or neither.

    Parameters
    ----------
    verdicts : list of (dict, str)
        Rows and what they say.
    n_planned : int
    yes, no : str
        Verdicts that answer the question.

    Returns
    -------
    str
        With the number of comparisons of other verdicts, and of those that wait.
    """
    ready = [(row, verdict) for row, verdict in verdicts if row["stage"] in ANSWERED]
    if not ready:
        return "No answer yet"
    counts = Counter(verdict for _, verdict in ready)
    parts = [f"Yes in {counts.pop(yes, 0)} of {n_planned} comparisons"]
    parts.append(f"no in {counts.pop(no, 0)}")
    parts += [f"{name} in {n}" for name, n in sorted(counts.items())]
    if len(ready) < n_planned:
        parts.append(f"no answer yet in {n_planned - len(ready)}")
    waits = any(row["stage"] == PROVISIONAL for row, _ in ready)
    return f"{', '.join(parts)}{' (provisional)' if waits else ''}"


def _rules_of(found, key):
    return [
        row
        for row in found["rules"]
        if (row["corpus"], row["model"]) == key
        and row["deletion"] is None
        and not row["holds_out"]
    ]


def _shards_of(found, key=PRIMARY, decision=MEAN_SCORE):
    return [
        row
        for row in found["shards"]
        if (row["corpus"], row["model"]) == key and row["decision"] == decision
    ]


def _repairs_of(found, key=PRIMARY, rules=(DEFAULT,)):
    return [
        row
        for row in _rules_of(found, key)
        if row["rule"] in rules and row["n_shards"] in REPAIRED_SHARDS
    ]


def _n_repairs(key):
    """Return how many ensembles of a model the design repairs by one rule."""
    several = {*planned_shards(*key)} & {*REPAIRED_SHARDS}
    return len(several) * len(ATTRIBUTES[key[0]])


def _less_fair(rows, n_planned):
    verdicts = [(row, row["verdict"]) for row in rows]
    return answer(verdicts, n_planned, "less fair", "not less fair")


def _repaired(rows, n_planned):
    verdicts = [(row, verdict_on_repair(row)) for row in rows]
    return answer(verdicts, n_planned, "repaired", "smaller")


def _on_shards(found):
    rows = _shards_of(found)
    by_votes = _shards_of(found, decision=BY_VOTES)
    said = ""
    if any(row["stage"] in ANSWERED for row in by_votes):
        said = (
            " If the majority of votes decides, as in the paper, at 95% each: "
            f"{_uncapitalised(_less_fair(by_votes, N_SHARDS_FAMILY))}."
        )
    return (
        "**Do shards make a language model less fair?** "
        f"{_answer_on_shards(found)}{_range(rows, 'change', '; the gap')}.",
        "Ensembles of 2, 5, 10 and 20 shards are compared with one model, by religion "
        "and by race."
        f"{_first_look(found, _answer_on_shards)}{said}",
    )


def _answer_on_shards(found):
    return _less_fair(_shards_of(found), N_SHARDS_FAMILY)


def _answer_on_repair(found):
    return _repaired(_repairs_of(found), N_REPAIR_FAMILY)


def _on_repair(found):
    rows = _repairs_of(found)
    beside = _repairs_of(found, rules=(BEST_THRESHOLD,))
    gap, floor = (_least_and_most(rows, what) for what in ("gap", "floor"))
    is_then = f"; the gap is then {gap}, by chance alone {floor}" if gap else ""
    return (
        "**Does the default rule repair the gap?** "
        f"{_answer_on_repair(found)}{is_then}"
        f"{_range(rows, 'more_balanced_accuracy', ', and balanced accuracy')}.",
        "Ensembles of 5 and 20 shards are compared with and without the rule, by "
        "religion and by race."
        f"{_first_look(found, _answer_on_repair)}"
        f"{_range(rows, 'more_gap', ' With the rule, the gap', end='.')}"
        f"{_ends(rows)}"
        + _range(
            beside,
            "default_balanced_accuracy",
            " From the balanced accuracy of the best single threshold for all groups "
            "its own",
            verb="differs",
            end=".",
        ),
    )


def _first_look(found, answer_of):
    """Say what the first seeds had answered, if there were more later."""
    first = found["first_look"]
    if not any(first.values()):
        return ""
    answered = _uncapitalised(answer_of(first))
    return f" The first look, by {len(FIRST_LOOK)} seeds: {answered}."


def _ends(rows):
    """Say how small a gap is shown to be: what is repaired need not be zero."""
    high = _least_and_most(rows, "gap_high")
    if not high:
        return ""
    return (
        f" The 95% intervals of the gap that is left end at {high}: gaps up to there "
        "are not excluded."
    )


def _on_peers(found):
    return (
        f"**Is it better than the {len(PEERS)} peers?** "
        f"{_capitalised(_beside_all_peers(found))}.",
        "All use the same ensembles but the last, which trains a model of its own. "
        "Levels are simultaneous over the comparisons of one quantity with one peer. "
        "What is neither higher nor lower is not decided."
        f"{_first_look(found, _beside_all_peers)} "
        "The default reads the network's frozen vectors since it was seen to be less "
        "accurate on these people without them. Of the peers that know the group, "
        "AIF360 reads labels, the others the members' mean score.",
    )


def _beside_all_peers(found, key=PRIMARY):
    with_group, without = (
        [name for name in peers if name not in NOT_ASKED.get(key[0], ())]
        for peers in (SCORE_PEERS, GROUPLESS)
    )
    return (
        f"beside {_listed(with_group)}, which know the group, the default has "
        f"{_beside_peers(found, with_group, 'default', key)}; beside "
        f"{_listed(without)}, which do not, ours without the group has "
        f"{_beside_peers(found, without, 'groupless', key)}"
    )


def _beside_peers(found, peers, ours, key):
    rows = [
        row
        for row in _repairs_of(found, key, peers)
        if row["stage"] in ANSWERED and f"{ours}_gap" in row
    ]
    if not rows:
        return "no answer yet"
    n_planned = len(peers) * _n_repairs(key)
    quality, gap = (
        Counter(verdict_on_difference(row, f"{ours}_{what}") for row in rows)
        for what in ("balanced_accuracy", "gap")
    )
    waiting = n_planned - len(rows)
    waits = any(row["stage"] == PROVISIONAL for row in rows)
    return (
        f"higher balanced accuracy in {quality['higher']} of {n_planned} comparisons "
        f"and lower in {quality['lower']}, a smaller gap in {gap['lower']} and a "
        f"larger one in {gap['higher']}"
        f"{f', no answer yet in {waiting}' if waiting else ''}"
        f"{' (provisional)' if waits else ''}"
    )


def _listed(names):
    shown = [name.split(",")[0] for name in names]
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def _on_others(found):
    said, about, waiting = [], [], []
    for key, name in _OTHERS.items():
        rows, repairs = _shards_of(found, key), _repairs_of(found, key)
        ready = [row for row in rows if row["stage"] in ANSWERED]
        if not ready:
            waiting.append(name)
            continue
        several = [s for s in planned_shards(*key) if s > 1]
        less_fair = _less_fair(rows, len(ATTRIBUTES[key[0]]) * len(several))
        said.append(
            f"{name}: less fair with shards, {_uncapitalised(less_fair)}; repaired, "
            f"{_uncapitalised(_repaired(repairs, _n_repairs(key)))}"
        )
        alone = any(not row["over_seeds"] for row in repairs)
        n_seeds = ready[0]["seeds"]
        about.append(
            f" {name}: {ready[0]['folds']} folds of "
            f"{'one seed' if n_seeds == 1 else f'{n_seeds} seeds'}"
            f"{', the rule with intervals over people alone' if alone else ''}."
        )
    if waiting:
        said.append(f"No answer yet: {', '.join(waiting)}")
    return (
        f"**Does it hold elsewhere?** {'. '.join(said)}.",
        f"The same comparisons, at 95% each.{''.join(about)} On RedditBias, which "
        f"chose nothing, {_beside_all_peers(found, _CONFIRMATION)}.",
    )


def _on_forgetting(found):
    cost, visits = _costs(found["costs"])
    return (
        "**What does forgetting cost, and does it change the gap?** "
        f"{cost}; {_after_deletions(found['deletions'])}.",
        f"{visits} Each comparison of ensembles before and after is at 95%.",
    )


def _costs(rows):
    tails = [row for row in rows if row["what"] == TAILS and row["R"] == 1]
    singles = [row for row in tails if row["rows"] == 1]
    if not singles:
        return "The cost is not measured yet", ""
    shares = " and ".join(
        f"{row['share_of_fit']:.1%} with {row['S']} shards" for row in singles
    )
    erased, visits = max(row["erase_ms"] for row in singles), ["For the last layer."]
    for one in singles:
        most = max(
            (row for row in tails if row["S"] == one["S"]), key=lambda row: row["rows"]
        )
        visits.append(
            f"With {one['S']} shards, a deletion visits {one['share_of_visits']:.1%} "
            f"of the samples; {one['expected']:.1%} are expected. Relearning "
            f"{most['rows']} rows at once takes {most['of_singles']:.0%} of the time "
            "of as many single requests."
        )
    return (
        f"A deletion takes {shares} of the time of a training, erasing a row alone at "
        f"most {erased:.0f} ms",
        " ".join(visits),
    )


def _after_deletions(rows):
    n_planned = sum(
        case.deletion is not None and (case.corpus, case.model) == PRIMARY
        for case in planned_splits()
    )
    said = []
    for rule, words in ((NONE, "without a rule"), (DEFAULT, "with the default")):
        own = [row for row in rows if row["decision"] == rule]
        if any(row["stage"] in ANSWERED for row in own):
            said.append(f"{words}, {_uncapitalised(_less_fair(own, n_planned))}")
    if not said:
        return "the gap after deletions is not judged yet"
    return f"less fair after 5% or 20% of the rows are forgotten: {'; '.join(said)}"


def _capitalised(sentence):
    return f"{sentence[0].upper()}{sentence[1:]}"


def _uncapitalised(sentence):
    return f"{sentence[0].lower()}{sentence[1:]}"


def _least_and_most(rows, what, form=".3f"):
    """Return the range of a quantity where people are judged, or nothing."""
    values = [row[what] for row in rows if row["stage"] in ANSWERED]
    return f"{min(values):{form}} to {max(values):{form}}" if values else ""


def _range(rows, what, subject, verb="changes", end=""):
    """Say by how much a quantity changes, or differs."""
    span = _least_and_most(rows, what, "+.3f")
    return f"{subject} {verb} by {span}{end}" if span else ""
