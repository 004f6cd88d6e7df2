"""What was decided in the ensembles of a case, and how much of it is finished."""

from collections import Counter
from dataclasses import dataclass, fields
from functools import cache
from itertools import chain

import numpy as np
from _judging import count

from .corpora import N_FOLDS
from .judging import attributes_of, unpacked
from .plan import FIRST_LOOK, PRIMARY, STEPS
from .reduction import is_beside, reduction_key
from .training import cells_of

FINAL, PROVISIONAL = "final", "provisional"
TOO_FEW, UNTRAINED = "too few splits", "members have not learnt"
ANSWERED = FINAL, PROVISIONAL


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

    Ensembles whose peers decided, but not yet the reduction, wait.

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
            found, beside = _judged(cell, attribute, decisions)
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
            if beside:
                _add(of_seed, beside, cell.fold, corpus, attribute)
    return gathered


def _judged(cell, attribute, decisions):
    """Return decisions on a cell, and those of the reduction; none before both are."""
    found = decisions.read({**cell.key, "attribute": attribute})
    beside = is_beside(cell) and decisions.read(reduction_key(cell, attribute))
    waits = found is None or (beside is None and found["asked"])
    return (None, None) if waits else (found, beside)


def of_whole_looks(cells, decisions):
    """Return cells without those of the second look, until all of these are judged.

    Parameters
    ----------
    cells : list of Cell
    decisions : Pieces
    """
    second = {
        cell for of_step in STEPS.values() for cell in of_step() if _is_second(cell)
    }
    is_whole = second <= {*cells} and all(
        _judged(part, attribute, decisions)[0] is not None
        for cell in second
        for part in cells_of(cell)
        for attribute in attributes_of(part)
    )
    return [cell for cell in cells if is_whole or not _is_second(cell)]


def _is_second(cell):
    return is_in_looks(cell) and cell.seed not in FIRST_LOOK


def is_in_looks(case):
    """Return whether a cell or a case belongs to the model of the primary questions."""
    return case.deletion is None and (case.corpus, case.model) == PRIMARY


def _add(decided, found, fold, corpus, attribute):
    people = found["people"]
    y, code = truth(corpus, attribute, people)
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


def truth(corpus, attribute, people):
    """Return labels and codes of groups of some people."""
    names = np.array(corpus.names(attribute))
    groups = corpus.groups[attribute][people].astype(str)
    return corpus.y[people], np.searchsorted(names, groups)


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
def planned_splits(second_look=True):
    """Return how many folds, over all seeds, the design has of each case."""
    counts = Counter()
    for cells in STEPS.values():
        for cell in chain.from_iterable(map(cells_of, cells())):
            for attribute in attributes_of(cell):
                if second_look or not _is_second(cell):
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


def sources(row):
    """Say what the intervals of a row are over."""
    if not row["over_seeds"]:
        return "people"
    return f"people and seeds{' (of MiniLM)' if row['seeds'] == 1 else ''}"


def stages(gathered):
    """Return a function that says how much of a case is finished.

    It is final if all cases of its model have all their folds: they share the spread
    over seeds. Until then it is provisional. It is neither before one seed has all
    folds that the design has. A rule may have fewer seeds than its ensembles, if its
    solver failed.

    Parameters
    ----------
    gathered : dict of Case to dict of int to Decided

    Returns
    -------
    callable
        Takes a case, its number of folds and that of its seeds. Returns how many folds
        are planned of the case, and its stage.
    """
    seeds = {s for case, own in gathered.items() if is_in_looks(case) for s in own}
    planned = planned_splits(second_look=not seeds <= {*FIRST_LOOK})
    unfinished = {
        _family(case)
        for case, n_planned in planned.items()
        if sum(map(_n_folds, gathered.get(case, {}).values())) < n_planned
    }

    def stage_of(case, n_folds, n_seeds):
        if n_folds < n_seeds * min(planned[case], N_FOLDS):
            return planned[case], TOO_FEW
        return planned[case], PROVISIONAL if _family(case) in unfinished else FINAL

    return stage_of


def _n_folds(decided):
    return len(set(decided.fold_of.values()))


def _family(case):
    return case.corpus, case.model, case.deletion is None
