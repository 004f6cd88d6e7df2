"""Decisions of every rule on people not seen, of one ensemble and attribute."""

import warnings

import numpy as np
from _judging import OBJECTIVE
from _peers import (
    JOINT_PEERS,
    SCORE_PEERS,
    WITH_TOLERANCE,
    Beliefs,
    Calibration,
    PeerUnavailable,
)
from scipy.special import expit, logit

from sklearn_fairsisa import FairEnsemblePostprocessor
from sklearn_fairsisa.metrics import expected_balanced_accuracy_score
from sklearn_fairsisa.postprocessing._calibration import joint_of
from sklearn_fairsisa.postprocessing._rule import learn_rule

from .replay import replayed
from .training import known_rows, to_scores, unpack

TOLERANCES = (0.0, 0.05, 0.1)
# Thresholds without coins reach no gap of zero that is of use.
_TOLERANCES_OF = {"OxonFair": (0.02, 0.05, 0.1)}
NONE, MAJORITY = "none", "none, majority"
BEST_THRESHOLD = "none, best threshold"
DEFAULT, WITHOUT_GROUP = "default", "default, without the group"
OF_THE_PAPER = (
    "aggregate_then_postprocess",
    "postprocess_then_aggregate",
    "ensemble",
)
OTHERS = (*OF_THE_PAPER, "soft_ensemble")
REDUCTION = "ExponentiatedGradient, frozen vectors"
GROUPLESS = (*JOINT_PEERS, REDUCTION)
"""Peers that decide without the group."""
PEERS = (*SCORE_PEERS, *GROUPLESS)


def untouched(cell, corpus, found, attribute):
    """Return the decisions of no rule, and the members' mean scores.

    Returns
    -------
    decisions : dict of str to ndarray of shape (1, n_people)
        Of the test people of a compared group.
    mean : ndarray of shape (n_people,)
    """
    *_, compared = cell.rows(corpus)
    inside = known_rows(corpus, attribute, compared)
    scores = to_scores(unpack(found["test"])[inside])
    mean = scores.mean(axis=1)
    decisions = {
        NONE: (mean > 0.5)[None].astype(float),
        MAJORITY: ((scores > 0.5).mean(axis=1) > 0.5)[None].astype(float),
    }
    return decisions, mean


def decide(cell, corpus, found, attribute, peers, vectors=None):
    """Return the decisions of every rule, at one tolerance or at all.

    Parameters
    ----------
    cell : Cell
    corpus : Corpus
    found : dict
        What `train` kept.
    attribute : str
    peers : dict of str to callable
        Those of ``_peers``.
    vectors : ndarray of shape (n_texts, n_numbers), default=None
        As `replayed` takes them.

    Returns
    -------
    decisions : dict of str to ndarray of shape (n_tolerances, n_people)
        Of the test people of a compared group.
    failures : dict of str to str
        Why a peer did not decide.
    """
    train, _, _, compared = cell.rows(corpus)
    people = compared[known_rows(corpus, attribute, compared)]
    texts, group = corpus.texts[people].tolist(), corpus.groups[attribute][people]
    sisa = replayed(cell, corpus, found, vectors)
    groups = corpus.groups[attribute][train]
    decisions = {}
    for method in OTHERS:
        fair = _attached(sisa, groups, method=method)
        chosen = fair.selection_probability(texts, sensitive_features=group)
        decisions[method] = chosen[None]
    fair = _attached(sisa, groups, unknown_group="inferred")
    serving = fair._serving()
    rows, problem = serving.calibrated.rows, serving.calibrated.problem
    names = problem.groups.astype(str)
    code = np.searchsorted(names, group.astype(str))
    # Of a group that was forgotten, nothing is known.
    code[~np.isin(group.astype(str), names)] = -1
    evidence, solve = serving.evidence(texts, code), learn_rule(rows, problem)
    solved = [solve(tol) for tol in TOLERANCES]
    for name, known in ((DEFAULT, code), (WITHOUT_GROUP, np.full_like(code, -1))):
        decisions[name] = np.array(
            [rule.selection_probability(evidence, known) for rule in solved]
        )
    of_peers, failures = _ask_peers(peers, rows, evidence, code)
    return decisions | of_peers, failures


def _attached(sisa, groups, **params):
    fair = FairEnsemblePostprocessor(
        **{"objective": OBJECTIVE, "unknown_group": "unconstrained", **params},
        random_state=0,
    )
    with warnings.catch_warnings():
        # Constant rules and small groups are seen in the tables.
        warnings.simplefilter("ignore")
        return fair.attach(sisa, sensitive_features=groups, name=fair.method)


def _ask_peers(peers, rows, evidence, code):
    """Return the decisions of peers on the same rows, scored by the same members.

    And those of the threshold without regard to groups that is best on these rows.
    """
    members, decisions, failures = rows.of_members, {}, {}
    y = rows.label.astype(int)
    known = _mean_score(members.scores, members.counted)
    new = _mean_score(evidence[:, : members.scores.shape[1]])
    joint = joint_of(evidence, rows.n_joint)
    decisions[BEST_THRESHOLD] = _best_threshold(known, y, new)[None]
    for name, peer in peers.items():
        try:
            if name in JOINT_PEERS:
                beliefs = Beliefs(rows.joint, y, rows.group)
                tolerances = _TOLERANCES_OF.get(name, TOLERANCES)
                found = peer(beliefs, joint, OBJECTIVE, tolerances)
                decisions[name] = found.probability
                continue
            given = Calibration(known, y, rows.group)
            asked = given, new, code, OBJECTIVE
            if name in WITH_TOLERANCE:
                found = [peer(*asked, tol=tol).probability for tol in TOLERANCES]
            else:
                found = [peer(*asked).probability]
            decisions[name] = np.array(found)
        except PeerUnavailable as error:
            failures[name] = str(error)
    return decisions, failures


def _mean_score(scores, counted=None):
    """Return the score of the members' mean logit, of those that count."""
    z = logit(scores.clip(1e-6, 1 - 1e-6))
    return expit(z.mean(axis=1, where=True if counted is None else counted))


def _best_threshold(score, y, new):
    levels = np.unique(np.quantile(score, np.linspace(0, 1, 101)))
    values = [expected_balanced_accuracy_score(y, score > t) for t in levels]
    return (new > levels[np.argmax(values)]).astype(float)
