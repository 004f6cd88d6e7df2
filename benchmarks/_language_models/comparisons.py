"""Rows that compare ensembles, deletions and rules, and what they decide."""

from dataclasses import replace
from itertools import chain

import numpy as np
from _judging import compare

from .cases import UNTRAINED, common_people, is_in_looks, stages
from .corpora import N_FOLDS
from .intervals import freedom_of_changes, gaps, interval, sample, spread_over_seeds
from .models import gives_vectors
from .plan import ATTRIBUTES, FIRST_LOOK, PRIMARY
from .reduction import IN_ONE_PIECE
from .rules import DEFAULT, GROUPLESS, MAJORITY, NONE, WITHOUT_GROUP

# Shards do not make a model less fair if the gap grows by less.
MARGIN = 0.05
PRIMARY_SHARDS = (2, 5, 10, 20)
REPAIRED_SHARDS = (5, 20)
MEAN_SCORE, BY_VOTES = "mean score", "majority"
# Of the members, more than this must not decide the same for nearly everybody.
_MOST_ALIKE = 0.1
UNDECIDED = "not decided"
_QUANTITIES = ("gap", "balanced_accuracy")
OURS = {"default": DEFAULT, "groupless": WITHOUT_GROUP}
"""Our rules, by the beginning of the names of what they have more than another."""


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
        (of_one,), of_after, (of_matched,) = (
            sample(decided, rules, people, corpus, case.attribute)
            for decided, rules in (
                (before, [NONE]),
                (after, [NONE, MAJORITY]),
                (matched, [NONE]),
            )
        )
        for what, of_many in zip(
            (MEAN_SCORE, BY_VOTES, "as many selected"), (*of_after, of_matched)
        ):
            measured.append((case, what, (of_one, of_many), n_folds))
    families = {}
    for case, what, (one, many), _ in measured:
        family = families.setdefault((case.corpus, case.model, what), {})
        change = many.gap[:, 0] - one.gap[:, 0]
        family.setdefault(case.attribute, []).append(change)
    spread = {key: _spread_of_changes(family) for key, family in families.items()}
    return list(_with_intervals_of_changes(measured, _borrowed(spread), gathered))


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
    The ensemble after a deletion is another training, so that the change has the spread
    of a difference of two of them.
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
    of_gaps, spread = _spread_of_gaps(gathered, corpora), {}
    for (corpus, model, rule), (before, freedom) in of_gaps.items():
        # What is not repaired any more varies as without a rule.
        after, _ = of_gaps[corpus, model, NONE]
        spread[corpus, model, rule] = np.hypot(before, after), freedom
    return list(_with_intervals_of_changes(measured, spread, gathered))


def _spread_of_gaps(gathered, corpora):
    """Pool the spread over seeds of gaps without a rule, and of gaps with the default.

    Over all ensembles of a model that have forgotten nothing.
    """
    families = {}
    for case, of_case in gathered.items():
        for rule in (NONE, DEFAULT):
            own = _only(of_case, rule)
            seeds, people, _ = common_people([own])
            if not seeds or case.deletion is not None:
                continue
            found = gaps(
                [own[seed] for seed in seeds],
                rule,
                people,
                corpora(case.corpus),
                case.attribute,
            )
            families.setdefault((case.corpus, case.model, rule), []).append(found)
    return {key: spread_over_seeds(family) for key, family in families.items()}


def _borrowed(spread):
    """Give families of one seed the spread of the primary model on their corpus.

    Trainings vary with the seed, whether a second one was tried or not. Rules that read
    hashed words are other rules than those that read the network's vectors.

    Parameters
    ----------
    spread : dict of tuple to (float, float)
        See `spread_over_seeds`; keys are corpus, model, and a decision or a rule and a
        quantity.
    """
    _, lender = PRIMARY
    found = {}
    for (corpus, model, *what), own in spread.items():
        is_alike = len(what) == 1 or gives_vectors(model) == gives_vectors(lender)
        if not own[1] and is_alike:
            own = spread.get((corpus, lender, *what), own)
        found[corpus, model, *what] = own
    return found


def _on_folds(spread, n_folds, n_seeds):
    """Return the spread of seeds that have fewer folds, and average over less."""
    deviation, freedom = spread
    return deviation * np.sqrt(n_seeds * N_FOLDS / n_folds), freedom


def _with_intervals_of_changes(measured, spread, gathered):
    stage_of = stages(gathered)
    for case, what, (one, many), n_folds in measured:
        change, level = many.gap - one.gap, 0.95
        if is_primary(case) and what == MEAN_SCORE:
            level = simultaneous(case, PRIMARY_SHARDS, gathered[case])
        own = spread[case.corpus, case.model, what]
        own = _on_folds(own, n_folds, len(change))
        value, low, high = interval(change, own, level)
        planned, stage = stage_of(case, n_folds, len(change))
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
            "seeds": len(change),
            "over_seeds": own[1] > 0,
            "planned": planned,
            "stage": stage,
            "verdict": verdict_on_shards(value, low, high, max(one.floor, many.floor)),
        }


def _spread_of_changes(by_attribute):
    """Pool the spread of changes, of which those of an attribute share one model."""
    deviation, freedom = spread_over_seeds([*chain(*by_attribute.values())])
    n_changes = max(map(len, by_attribute.values()))
    return deviation, freedom_of_changes(freedom, n_changes)


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

    Those that it has more than no rule, and each of `OURS` more than it.

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
            ours = {
                beginning: rule
                for beginning, rule in OURS.items()
                if all(
                    d.decisions.get(rule, {}).keys() >= {*who.tolist()}
                    for d, who in zip(decided, people, strict=True)
                )
            }
            compared = [*dict.fromkeys([*names, NONE, *ours.values()])]
            found = sample(decided, compared, people, corpus, case.attribute)
            samples = dict(zip(compared, found))
            for name in names:
                own, none = samples[name], samples[NONE]
                values = {what: getattr(own, what) for what in _QUANTITIES}
                for what in _QUANTITIES:
                    for beginning, rule in ours.items():
                        if rule != name:
                            more = getattr(samples[rule], what) - values[what]
                            values[f"{beginning}_{what}"] = more
                    if name != NONE:
                        values[f"more_{what}"] = values[what] - getattr(none, what)
                beside = (samples[rule].floor for rule in ours.values())
                greatest = max(own.floor, none.floor, *beside)
                measured.append((case, n_folds, name, own, greatest, values))
    return list(_with_intervals_of_rules(measured, gathered))


def _only(of_case, rule):
    """Return the seeds and people of a case on which a rule has decided."""
    found = {}
    for seed, decided in of_case.items():
        own = decided.decisions.get(rule, {})
        fold_of = {p: f for p, f in decided.fold_of.items() if p in own}
        if fold_of:
            found[seed] = replace(decided, fold_of=fold_of)
    return found


def _with_intervals_of_rules(measured, gathered):
    stage_of = stages(gathered)
    # Rules over the same ensemble vary together, so that each has its own spread.
    families = {}
    for case, _, name, *_, values in measured:
        for what, value in values.items():
            key = case.corpus, case.model, name, what
            family = families.setdefault(key, {})
            family.setdefault(case.attribute, []).append(value[:, 0])
    spread = _borrowed({key: _spread(*key[2:], v) for key, v in families.items()})
    for case, n_folds, name, sampled, greatest, values in measured:
        planned, stage = stage_of(case, n_folds, len(sampled.gap))
        row = {
            **vars(case),
            "folds": n_folds,
            "rule": name,
            "floor": sampled.floor,
            "greatest_floor": greatest,
            "people": sampled.n_people,
            "planned": planned,
            "stage": stage,
            "seeds": len(sampled.gap),
            "over_seeds": spread[case.corpus, case.model, name, "gap"][1] > 0,
        }
        row["level"] = 0.95
        if is_primary(case) and case.n_shards in REPAIRED_SHARDS:
            row["level"] = simultaneous(case, REPAIRED_SHARDS, gathered[case])
        for what, value in values.items():
            level = 0.95 if what in _QUANTITIES else row["level"]
            own = spread[case.corpus, case.model, name, what]
            own = _on_folds(own, n_folds, len(value))
            ends = interval(value, own, level)
            row |= dict(zip((what, f"{what}_low", f"{what}_high"), ends))
        yield row


def _spread(name, what, by_attribute):
    """Pool the spread of one quantity of one rule, by attribute."""
    if name not in IN_ONE_PIECE:
        return spread_over_seeds([*chain(*by_attribute.values())])
    if what in _QUANTITIES:
        # One value for all numbers of shards.
        return spread_over_seeds([values[0] for values in by_attribute.values()])
    return _spread_of_changes(by_attribute)


def simultaneous(case, shards, seeds):
    """Return the level of one interval of a primary family.

    Parameters
    ----------
    case : Case
    shards : tuple of int
        Numbers of shards that are compared, by each attribute.
    seeds : iterable of int
        With more than `FIRST_LOOK` it is the second look, which has half of the error.
    """
    looks = 1 if {*seeds} <= {*FIRST_LOOK} else 2
    return 1 - 0.05 / (len(shards) * len(ATTRIBUTES[case.corpus]) * looks)


def compare_first_look(gathered, corpora):
    """Rows of the primary questions by the first seeds, once there are more.

    Returns
    -------
    dict of str to list of dict
        Rows of `compare_shards` and `compare_rules`.
    """
    first = {
        case: {seed: of_case[seed] for seed in FIRST_LOOK}
        for case, of_case in gathered.items()
        if is_in_looks(case) and {*of_case} > {*FIRST_LOOK}
    }
    return {
        "shards": compare_shards(first, corpora),
        "rules": compare_rules(first, corpora),
    }


def is_primary(case):
    """Return whether the design's primary questions are about a case."""
    return is_in_looks(case) and not case.holds_out


def verdict_on_repair(row):
    """Say whether a rule repairs the gap, by its row of `compare_rules`."""
    verdict = verdict_on_difference(row, "more_gap")
    if verdict == "higher":
        return "larger"
    if verdict == UNDECIDED:
        return UNDECIDED
    return "repaired" if row["gap_low"] <= row["floor"] else "smaller"


def verdict_on_difference(row, what):
    """Say whether a difference is shown, by the row of `compare_rules` that has it.

    Resampled gaps near zero are biased upwards. So a difference of gaps must also be
    greater than the noise floors.
    """
    least = row["greatest_floor"] if what.endswith("_gap") else 0.0
    if row[f"{what}_low"] > 0 and row[what] > least:
        return "higher"
    return "lower" if row[f"{what}_high"] < 0 and row[what] < -least else UNDECIDED


def compare_at_equal_gap(gathered):
    """Rows with the default minus each rule at equal gap; see ``_judging``.

    The default without the group is compared with the peers that do not know it. Cases
    with fewer than three folds have none. Seeds that are not finished wait.
    """
    rows = []
    for case, of_case in gathered.items():
        names = dict.fromkeys(name for d in of_case.values() for name in d.curves)
        compared = [(DEFAULT, name) for name in names if name != DEFAULT]
        compared += [(WITHOUT_GROUP, name) for name in names if name in GROUPLESS]
        for ours, name in compared:
            pairs = [_paired(d, ours, name) for d in of_case.values()]
            pairs = [pair for pair in pairs if pair is not None]
            if not pairs:
                continue
            most = max(pair[0].shape[1] for pair in pairs)
            pairs = [pair for pair in pairs if pair[0].shape[1] == most]
            found = compare(*map(list, zip(*pairs)))
            row = {
                **vars(case),
                "rule": name,
                "ours": ours,
                "folds": sum(p[0].shape[1] for p in pairs),
            }
            for what in _QUANTITIES:
                estimate = found[f"{what}_at_equal_gap"]
                ends = estimate.value, estimate.low, estimate.high
                row |= dict(zip((what, f"{what}_low", f"{what}_high"), ends))
            rows.append(row)
    return rows


def _paired(decided, *rules):
    """Curves of two rules in the folds that both have."""
    curves = [decided.curves.get(rule, {}) for rule in rules]
    folds = sorted(set.intersection(*map(set, curves)))
    if len(folds) < 3:
        return None
    return [np.stack([curve[fold] for fold in folds], axis=1) for curve in curves]


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
