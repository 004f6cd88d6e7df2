"""Tables of what was trained and decided so far."""

from collections import Counter
from dataclasses import dataclass, fields, replace
from functools import cache
from itertools import chain

import numpy as np
import pandas as pd
from _judging import balanced_accuracy, compare, count, gap, noise_floor
from scipy import stats

from .corpora import N_FOLDS
from .judging import attributes_of, unpacked
from .plan import ATTRIBUTES, STEPS
from .reduction import is_beside, reduction_key
from .rules import DEFAULT, MAJORITY, NONE
from .training import cells_of

N_RESAMPLES = 1000
# Shards do not make a model less fair if the gap grows by less.
MARGIN = 0.05
PRIMARY_SHARDS = (2, 5, 10, 20)
REPAIRED_SHARDS = (5, 20)
PRIMARY = "hatexplain", "minilm"
"""Corpus and model of the primary questions."""
MEAN_SCORE = "mean score"
FINAL, PROVISIONAL = "final", "provisional"
TOO_FEW, UNTRAINED = "too few splits", "members have not learnt"
ANSWERED = FINAL, PROVISIONAL
# Of the members, more than this must not decide the same for nearly everybody.
_MOST_ALIKE = 0.1
UNDECIDED = "not decided"
_QUANTITIES = ("gap", "balanced_accuracy")


@dataclass(frozen=True)
class Case:
    """Ensembles that are pooled: those of all seeds and folds."""

    corpus: str
    model: str
    attribute: str
    n_shards: int
    holds_out: bool = False
    deletion: str | None = None
    share: float | None = None


@dataclass(frozen=True)
class Decided:
    """What was decided on the people of one seed.

    Parameters
    ----------
    fold_of : dict of int to int
        Fold of each person, of those folds that are finished.
    decisions : dict of str to dict of int to float
        Probability at the strictest tolerance by rule and person.
    curves : dict of str to dict of int to ndarray
        Counts at all tolerances, by rule and fold; see ``_judging``.
    means : dict of int to float
        Mean score of the members, by person.
    """

    fold_of: dict
    decisions: dict
    curves: dict
    means: dict


def gather(cells, decisions, corpora):
    """Return what was decided, by case and seed.

    Parameters
    ----------
    cells : list of Cell
    decisions : Pieces
    corpora : callable
        Returns the corpus of a name.

    Returns
    -------
    dict of Case to dict of int to Decided
    """
    gathered = {}
    for cell in chain.from_iterable(map(cells_of, cells)):
        for attribute in attributes_of(cell):
            found = decisions.read({**cell.key, "attribute": attribute})
            if found is None:
                continue
            case = _case_of(cell, attribute)
            of_seed = gathered.setdefault(case, {}).setdefault(
                cell.seed, Decided({}, {}, {}, {})
            )
            people, corpus = found["people"].tolist(), corpora(cell.corpus)
            of_seed.fold_of.update(dict.fromkeys(people, cell.fold))
            of_seed.means.update(zip(people, unpacked(found["mean"])))
            _add(of_seed, found, cell.fold, corpus, attribute)
            beside = is_beside(cell) and decisions.read(reduction_key(cell, attribute))
            if beside:
                _add(of_seed, beside, cell.fold, corpus, attribute)
    return gathered


def _add(decided, found, fold, corpus, attribute):
    people = found["people"]
    y, code = _truth(corpus, attribute, people)
    n_groups = len(corpus.names(attribute))
    for name, kept in found["decisions"].items():
        curve = unpacked(kept)
        of_rule = decided.decisions.setdefault(name, {})
        of_rule.update(zip(people.tolist(), curve[0]))
        decided.curves.setdefault(name, {})[fold] = np.array(
            [count(probability, y, code, n_groups) for probability in curve]
        )


def _case_of(cell, attribute):
    return Case(
        cell.corpus,
        cell.model,
        attribute,
        cell.n_shards,
        cell.holds_out,
        cell.deletion,
        cell.share,
    )


def _truth(corpus, attribute, people):
    names = np.array(corpus.names(attribute))
    groups = corpus.groups[attribute][people].astype(str)
    return corpus.y[people], np.searchsorted(names, groups)


@dataclass(frozen=True)
class Sample:
    """Gap and balanced accuracy of one rule in one case.

    Parameters
    ----------
    gap, balanced_accuracy : ndarray of shape (n_seeds, 1 + N_RESAMPLES)
        Of all people, then of resamples of people, which are the same for all rules on
        the same people.
    floor : float
    n_people : int
        Different ones; each seed has them all.
    """

    gap: np.ndarray
    balanced_accuracy: np.ndarray
    floor: float
    n_people: int


def sample(decided, rules, people, corpus, attribute):
    """Measure rules on some people, in each seed.

    Parameters
    ----------
    decided : list of Decided
    rules : list of str
    people : list of ndarray of int
        Sorted, for each seed; all of them are decided on by each rule.

    Returns
    -------
    list of Sample
    """
    n_groups, counts = len(corpus.names(attribute)), []
    for of_seed, who in zip(decided, people, strict=True):
        chosen, names = [of_seed.decisions[rule] for rule in rules], who.tolist()
        probability = np.array([[own[person] for person in names] for own in chosen])
        counts.append(resampled(probability, *_truth(corpus, attribute, who), n_groups))
    return [
        Sample(
            np.array([gap(c[r]) for c in counts]),
            np.array([balanced_accuracy(c[r]) for c in counts]),
            float(np.mean([noise_floor(c[r, 0]) for c in counts])),
            n_people=max(map(len, people)),
        )
        for r in range(len(rules))
    ]


def resampled(probability, y, code, n_groups, seed=0):
    """Counts of all people, then of resamples within each label and group.

    The resamples are the same for all rules on the same people.

    Parameters
    ----------
    probability : ndarray of shape (n_rules, n_people)
    y, code : ndarray of int of shape (n_people,)
    n_groups : int

    Returns
    -------
    ndarray of shape (n_rules, 1 + N_RESAMPLES, 3, 2, n_groups)
        Of the sums of squares, those of all people only.
    """
    rng = np.random.default_rng(seed)
    found = np.zeros((len(probability), 1 + N_RESAMPLES, 3, 2, n_groups))
    for label in (0, 1):
        for group in range(n_groups):
            own = probability[:, (y == label) & (code == group)]
            n = own.shape[1]
            if not n:
                continue
            drawn = rng.multinomial(n, np.full(n, 1 / n), N_RESAMPLES)
            times = np.vstack([np.ones(n), drawn])
            found[:, :, 0, label, group] = n
            found[:, :, 1, label, group] = own @ times.T
            found[:, 0, 2, label, group] = (own**2).sum(axis=1)
    return found


def spread_over_seeds(differences):
    """Pool the standard deviation over seeds of a family of quantities.

    Parameters
    ----------
    differences : list of ndarray of shape (n_seeds,)

    Returns
    -------
    deviation : float
        Of one seed; 0 where there is one seed only.
    freedom : int
        Degrees of freedom.
    """
    several = [d for d in differences if len(d) > 1]
    freedom = sum(len(d) - 1 for d in several)
    if not freedom:
        return 0.0, 0
    squares = sum(np.sum((d - d.mean()) ** 2) for d in several)
    return float(np.sqrt(squares / freedom)), freedom


def interval(values, spread, level=0.95):
    """Mean over seeds, with an interval over people and seeds.

    Parameters
    ----------
    values : ndarray of shape (n_seeds, 1 + N_RESAMPLES)
    spread : tuple of float and int
        See `spread_over_seeds`.
    level : float, default=0.95

    Returns
    -------
    estimate, low, high : float
    """
    mean = values.mean(axis=0)
    tail = (1 - level) / 2
    low, high = np.quantile(mean[1:], [tail, 1 - tail])
    deviation, freedom = spread
    of_seeds = 0.0
    if freedom:
        quantile = stats.t.ppf(1 - tail, freedom)
        of_seeds = quantile * deviation / np.sqrt(len(values))
    # Gaps of resamples are biased: the interval may not hold its middle.
    below, above = max(mean[0] - low, 0.0), max(high - mean[0], 0.0)
    return (
        mean[0],
        mean[0] - np.hypot(below, of_seeds),
        mean[0] + np.hypot(above, of_seeds),
    )


def common_people(cases):
    """Seeds and people that all of some cases have decided on.

    Only seeds of which all folds are finished; if there is none, those with the most.
    By chance alone the gap of fewer people is larger, so that seeds of unlike numbers
    of people have no mean.

    Parameters
    ----------
    cases : list of dict of int to Decided

    Returns
    -------
    seeds : list of int
    people : list of ndarray of int
    n_folds : int
        Of all these seeds together.
    """
    folds = {
        seed: set.intersection(*(set(case[seed].fold_of.values()) for case in cases))
        for seed in sorted(set.intersection(*(set(case) for case in cases)))
    }
    most = max(map(len, folds.values()), default=0)
    seeds = [seed for seed in folds if most and len(folds[seed]) == most]
    people = [
        np.array(sorted(set.intersection(*(set(case[seed].fold_of) for case in cases))))
        for seed in seeds
    ]
    return seeds, people, most * len(seeds)


@cache
def planned_splits():
    """Return how many folds, over all seeds, the design has of each case."""
    counts = Counter()
    for cells in STEPS.values():
        for cell in chain.from_iterable(map(cells_of, cells())):
            for attribute in attributes_of(cell):
                counts[_case_of(cell, attribute)] += 1
    return counts


def case_of(row):
    """Return the case of a row."""
    return Case(**{field.name: row[field.name] for field in fields(Case)})


def planned_shards(corpus, model):
    """Return the numbers of shards that the design has of a model, sorted."""
    key = corpus, model
    return sorted(
        {case.n_shards for case in planned_splits() if (case.corpus, case.model) == key}
    )


def stage_of(case, n_folds):
    """Say whether a case has all its folds, or enough to judge every person once."""
    if n_folds >= planned_splits()[case]:
        return FINAL
    return PROVISIONAL if n_folds >= N_FOLDS else TOO_FEW


def mark_untrained(rows, training):
    """Let no row give an answer whose ensembles have too many members alike.

    Parameters
    ----------
    rows : list of dict
        Of the functions that compare.
    training : list of dict
        Of `describe_training`.
    """
    untrained = {
        (row["corpus"], row["model"], row["S"])
        for row in training
        if row["members_alike"] > _MOST_ALIKE * row["S"] * row["folds"]
    }
    for row in rows:
        # What is compared with a model that has not learnt says nothing either.
        shards = {row["n_shards"], 1} if "gap_one" in row else {row["n_shards"]}
        if {(row["corpus"], row["model"], s) for s in shards} & untrained:
            row["stage"] = UNTRAINED


def compare_shards(gathered, corpora):
    """Rows that compare the gap of ensembles with that of one model, without a rule.

    What decides is the mean score at one half, which is the primary comparison, the
    majority, or the mean score where as many people are selected as by the one model.
    Intervals of the primary comparison are simultaneous over shards and attributes.
    """
    measured = []
    for case, many in gathered.items():
        one = gathered.get(replace(case, n_shards=1))
        if case.n_shards == 1 or case.deletion is not None or one is None:
            continue
        seeds, people, n_folds = common_people([one, many])
        if not seeds:
            continue
        corpus = corpora(case.corpus)
        before, after = ([c[s] for s in seeds] for c in (one, many))
        matched = [
            select_as_many(*pair) for pair in zip(before, after, people, strict=True)
        ]
        for what, rule, decided in (
            (MEAN_SCORE, NONE, after),
            ("majority", MAJORITY, after),
            ("as many selected", NONE, matched),
        ):
            pair = [
                sample(c, [r], people, corpus, case.attribute)[0]
                for c, r in ((before, NONE), (decided, rule))
            ]
            measured.append((case, what, pair, n_folds))
    return list(_with_intervals_of_changes(measured))


def select_as_many(one, many, people):
    """Return decisions by the greatest mean scores of `many`, as many as `one` selects.

    Within each fold, whose members are the same.
    """
    who = np.array(people)
    folds = np.array([many.fold_of[person] for person in who.tolist()])
    chosen = {}
    for fold in np.unique(folds):
        own = who[folds == fold].tolist()
        n_selected = round(sum(one.decisions[NONE][person] for person in own))
        ranked = sorted(own, key=lambda person: -many.means[person])
        chosen |= dict.fromkeys(own, 0.0)
        chosen |= dict.fromkeys(ranked[:n_selected], 1.0)
    return replace(many, decisions={NONE: chosen})


def compare_deletions(gathered, corpora):
    """Rows that compare the gap after deletions with that before, as `compare_shards`.

    Without a rule and with the default, which is solved again; ``decision`` says which.
    """
    measured = []
    for case, after in gathered.items():
        before = gathered.get(replace(case, deletion=None, share=None))
        if case.deletion is None or before is None:
            continue
        for rule in (NONE, DEFAULT):
            pair = [_only(of_case, rule) for of_case in (before, after)]
            seeds, people, n_folds = common_people(pair)
            if seeds:
                measured_pair = [
                    sample(
                        [of_case[s] for s in seeds],
                        [rule],
                        people,
                        corpora(case.corpus),
                        case.attribute,
                    )[0]
                    for of_case in pair
                ]
                measured.append((case, rule, measured_pair, n_folds))
    return list(_with_intervals_of_changes(measured))


def _with_intervals_of_changes(measured):
    changes = [many.gap - one.gap for *_, (one, many), _ in measured]
    families = {}
    for (case, what, *_), change in zip(measured, changes):
        family = case.corpus, case.model, what
        families.setdefault(family, []).append(change[:, 0])
    spread = {family: spread_over_seeds(d) for family, d in families.items()}
    for (case, what, (one, many), n_folds), change in zip(measured, changes):
        n_family = 1
        if is_primary(case) and what == MEAN_SCORE:
            n_family = len(ATTRIBUTES[case.corpus]) * len(PRIMARY_SHARDS)
        level = 1 - 0.05 / n_family
        own = spread[case.corpus, case.model, what]
        value, low, high = interval(change, own, level)
        yield {
            **vars(case),
            "decision": what,
            "folds": n_folds,
            "gap_one": one.gap[:, 0].mean(),
            "gap": many.gap[:, 0].mean(),
            "floor": many.floor,
            "change": value,
            "change_low": low,
            "change_high": high,
            "level": level,
            "people": many.n_people,
            "over_seeds": own[1] > 0,
            "stage": stage_of(case, n_folds),
            "verdict": verdict_on_shards(value, low, high, max(one.floor, many.floor)),
        }


def verdict_on_shards(change, low, high, floor):
    """Say what a change of the gap means, whatever is finished.

    Parameters
    ----------
    change, low, high : float
        The change and its interval.
    floor : float
        Greater noise floor of the two gaps.
    """
    if low > 0 and change > floor:
        return "less fair"
    return "not less fair" if high < MARGIN else UNDECIDED


def compare_rules(gathered, corpora):
    """Rows with each rule's gap and balanced accuracy, and differences from others.

    Those that it has more than no rule, and the default more than it.

    A rule that did not decide in some folds is compared in the others. Differences of
    primary cells have simultaneous intervals; see ``level``.
    """
    measured = []
    for case, of_case in gathered.items():
        by_people = {}
        for name in dict.fromkeys(n for d in of_case.values() for n in d.decisions):
            own, default = (_only(of_case, rule) for rule in (name, DEFAULT))
            common = common_people([own, default])
            if not common[0]:
                # Without the default there is nothing to compare with.
                common = common_people([own])
            key = *common[0], *map(tuple, common[1])
            by_people.setdefault(key, (common, []))[1].append(name)
        for (seeds, people, n_folds), names in by_people.values():
            decided, corpus = [of_case[s] for s in seeds], corpora(case.corpus)
            has_default = all(
                d.decisions.get(DEFAULT, {}).keys() >= {*who.tolist()}
                for d, who in zip(decided, people, strict=True)
            )
            compared = [*dict.fromkeys([*names, NONE, *[DEFAULT] * has_default])]
            found = sample(decided, compared, people, corpus, case.attribute)
            samples = dict(zip(compared, found))
            default = samples.get(DEFAULT)
            for name in names:
                own, none = samples[name], samples[NONE]
                values = {what: getattr(own, what) for what in _QUANTITIES}
                if default is not None and default is not own:
                    for what in _QUANTITIES:
                        more = getattr(default, what) - values[what]
                        values[f"default_{what}"] = more
                if name != NONE:
                    for what in _QUANTITIES:
                        values[f"more_{what}"] = values[what] - getattr(none, what)
                measured.append((case, n_folds, name, own, values))
    return list(_with_intervals_of_rules(measured))


def _only(of_case, rule):
    """Return the seeds and people of a case on which a rule has decided."""
    found = {}
    for seed, decided in of_case.items():
        own = decided.decisions.get(rule, {})
        fold_of = {p: f for p, f in decided.fold_of.items() if p in own}
        if fold_of:
            found[seed] = replace(decided, fold_of=fold_of)
    return found


def _with_intervals_of_rules(measured):
    # Rules over the same ensemble vary together, so that each has its own spread.
    families = {}
    for case, _, name, _, values in measured:
        for what, value in values.items():
            family = case.corpus, case.model, name, what
            families.setdefault(family, []).append(value[:, 0])
    spread = {family: spread_over_seeds(v) for family, v in families.items()}
    for case, n_folds, name, sampled, values in measured:
        row = {
            **vars(case),
            "folds": n_folds,
            "rule": name,
            "floor": sampled.floor,
            "people": sampled.n_people,
            "stage": stage_of(case, n_folds),
            "over_seeds": spread[case.corpus, case.model, name, "gap"][1] > 0,
        }
        row["level"] = 0.95
        if is_primary(case) and case.n_shards in REPAIRED_SHARDS:
            n_family = len(REPAIRED_SHARDS) * len(ATTRIBUTES[case.corpus])
            row["level"] = 1 - 0.05 / n_family
        for what, value in values.items():
            level = 0.95 if what in _QUANTITIES else row["level"]
            own = spread[case.corpus, case.model, name, what]
            ends = interval(value, own, level)
            row |= dict(zip((what, f"{what}_low", f"{what}_high"), ends))
        yield row


def is_primary(case):
    """Return whether the design's primary questions are about a case."""
    whole = case.deletion is None and not case.holds_out
    return whole and (case.corpus, case.model) == PRIMARY


def verdict_on_repair(row):
    """Say whether a rule repairs the gap, by its row of `compare_rules`."""
    if row["more_gap_low"] > 0:
        return "larger"
    if row["more_gap_high"] >= 0:
        return UNDECIDED
    return "repaired" if row["gap_low"] <= row["floor"] else "smaller"


def verdict_on_difference(row, what):
    """Say whether the default has more of a quantity than a rule, by the rule's row."""
    if row[f"{what}_low"] > 0:
        return "higher"
    return "lower" if row[f"{what}_high"] < 0 else UNDECIDED


def compare_at_equal_gap(gathered):
    """Rows with the default minus each rule at equal gap; see ``_judging``.

    Cases with fewer than three folds have none.
    """
    rows = []
    for case, of_case in gathered.items():
        names = dict.fromkeys(name for d in of_case.values() for name in d.curves)
        for name in names:
            pairs = [_paired(d, name) for d in of_case.values()]
            pairs = [pair for pair in pairs if pair is not None]
            if name == DEFAULT or not pairs:
                continue
            found = compare(*map(list, zip(*pairs)))
            row = {
                **vars(case),
                "rule": name,
                "folds": sum(p[0].shape[1] for p in pairs),
            }
            for what in _QUANTITIES:
                estimate = found[f"{what}_at_equal_gap"]
                ends = estimate.value, estimate.low, estimate.high
                row |= dict(zip((what, f"{what}_low", f"{what}_high"), ends))
            rows.append(row)
    return rows


def _paired(decided, name):
    """Curves of the default and of another rule in the folds that both have."""
    curves = [decided.curves.get(rule, {}) for rule in (DEFAULT, name)]
    folds = sorted(set.intersection(*map(set, curves)))
    if len(folds) < 3:
        return None
    return [np.stack([curve[fold] for fold in folds], axis=1) for curve in curves]


def describe_training(cells, pieces):
    """Rows with quality and cost of the ensembles, means over seeds and folds."""
    rows = []
    for cell in cells:
        found = pieces.read(cell.key)
        if found is None or cell.deletion is not None:
            continue
        of_members = found["quality"]["member_balanced_accuracy"]
        rows.append(
            {
                "corpus": cell.corpus,
                "model": cell.model,
                "S": cell.n_shards,
                "held_out": cell.holds_out,
                "passes": found["passes"],
                "folds": 1,
                "balanced_accuracy": found["quality"]["balanced_accuracy"],
                "auc": found["quality"]["auc"],
                "of_members": np.mean(of_members),
                "members_alike": found["quality"]["members_alike"],
                "fit_seconds": found["fit_seconds"],
                "score_seconds": found["score_seconds"],
            }
        )
    if not rows:
        return []
    keys = ["corpus", "model", "S", "held_out", "passes"]
    how = dict.fromkeys(rows[0].keys() - set(keys), "mean")
    how |= {"folds": "sum", "members_alike": "sum"}
    table = pd.DataFrame(rows).groupby(keys, sort=False).agg(how).reset_index()
    return table[list(rows[0])].to_dict("records")


def describe_scores(cells, decisions):
    """Rows with the area under the ROC curve within each group, means over folds.

    Over those folds that all numbers of shards have, of those that have any.
    """
    rows = []
    for cell in cells:
        if cell.deletion is not None or cell.holds_out:
            continue
        for attribute in attributes_of(cell):
            found = decisions.read({**cell.key, "attribute": attribute})
            rows += [
                {
                    "corpus": cell.corpus,
                    "model": cell.model,
                    "attribute": attribute,
                    "S": cell.n_shards,
                    "split": (cell.seed, cell.fold),
                    "group": group,
                    "auc": area,
                }
                for group, area in (found["aucs"] if found else {}).items()
            ]
    if not rows:
        return []
    table, keys = pd.DataFrame(rows), ["corpus", "model", "attribute"]
    n_shards = table.groupby(keys)["S"].transform("nunique")
    has = table.groupby([*keys, "split"])["S"].transform("nunique")
    table = table[has == n_shards].groupby([*keys, "S", "group"], sort=False)["auc"]
    return table.agg(["mean", "count"]).reset_index().to_dict("records")


def describe_deletions(cells, pieces):
    """Rows with the cost of deletions, means over folds."""
    rows = []
    for cell in cells:
        last = cells_of(cell)[-1]
        found = pieces.read(last.key) if cell.deletion else None
        for request in [] if found is None else found["requests"]:
            rows.append(
                {
                    "corpus": cell.corpus,
                    "model": cell.model,
                    "S": cell.n_shards,
                    "deletion": cell.deletion,
                    "request": "one row" if request["rows"] == 1 else "many rows",
                    "visits": request["visits"],
                    "expected_visits": request["expected_visits"],
                    "share_of_fit": request["seconds"] / found["fit_seconds"],
                }
            )
    if not rows:
        return []
    keys = ["corpus", "model", "S", "deletion", "request"]
    return (
        pd.DataFrame(rows)
        .groupby(keys, sort=False)
        .mean()
        .reset_index()
        .to_dict("records")
    )


def count_pieces(steps, pieces):
    """Rows with the pieces that each step has and needs, by number of shards.

    Parameters
    ----------
    steps : dict of str to list of Cell
    pieces : Pieces
    """
    rows = {}
    for step, cells in steps.items():
        for part in chain.from_iterable(map(cells_of, cells)):
            key = step, part.corpus, part.model, part.n_shards
            about = dict(zip(("step", "corpus", "model", "S"), key))
            row = rows.setdefault(key, {**about, "pieces": 0, "of": 0})
            row["of"] += 1
            row["pieces"] += part.key in pieces
    return list(rows.values())
