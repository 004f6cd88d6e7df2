"""Fair rules, ours and the peers', each a function from one problem to decisions.

A `Problem` has rows to learn from, of which half are held out from the members for
calibration, and new people. A rule takes it and a list of tolerances, and returns
`Decided`: the probability of selection of each new person at each tolerance. Ours and
the reduction may learn from all rows; whoever post-processes given members has the rows
held out.
"""

import time
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from _judging import OBJECTIVE
from _peers import (
    JOINT_PEERS,
    SCORE_PEERS,
    WITH_TOLERANCE,
    Beliefs,
    Calibration,
    exponentiated_gradient,
)
from scipy.special import expit, logit
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.metrics import expected_balanced_accuracy_score
from sklearn_fairsisa.postprocessing._rule import learn_rule

TOLERANCES = (0.0, 0.02, 0.05, 0.1, 0.2, 1.0)
EG_TOLERANCES = (0.01, *TOLERANCES[1:])
"""Of fairlearn's ExponentiatedGradient; the first is its default."""
JOINT_TOLERANCES = {"LinearPost": TOLERANCES, "OxonFair": TOLERANCES[1:]}
"""Thresholds without coins reach no gap of zero that is of use."""

NO_RULE = "no rule"
OURS = "ours"
MEMBERS = "ours, scores alone"
BLIND = "ours, group unknown"
HELD_OUT = "ours, same calibration rows"
ON_SCORES = (
    "aggregate_then_postprocess",
    "postprocess_then_aggregate",
    "ensemble",
    "soft_ensemble",
)
"""Our other methods, on the scores of the same calibration rows."""
REDUCTION = "fairlearn ExponentiatedGradient"
BLIND_PEERS = (*JOINT_PEERS, REDUCTION)


LEARNERS = {
    "logistic": LogisticRegression(max_iter=1000),
    "tree": DecisionTreeClassifier(min_samples_leaf=20, random_state=0),
}
"""What members are, and what peers train that need a model of their own."""


@dataclass(frozen=True)
class Problem:
    """Rows to learn from and new people.

    Parameters
    ----------
    X, y, group : ndarray
        Rows to learn from; the group is a code from 0.
    new_X, new_group : ndarray
        New people. A rule that knows no group does not look at theirs.
    learner : estimator
    n_shards, seed : int
    share : float, default=0.5
        Of the rows held out from the members by rules that are calibrated on them.
    """

    X: np.ndarray
    y: np.ndarray
    group: np.ndarray
    new_X: np.ndarray
    new_group: np.ndarray
    learner: object
    n_shards: int
    seed: int
    share: float = 0.5

    @cached_property
    def parts(self):
        """Return the rows that train members, and those held out for calibration."""
        order = np.random.default_rng(self.seed).permutation(len(self.y))
        return np.split(order, [round((1 - self.share) * len(order))])

    def ensemble(self):
        """Return an unfitted ensemble."""
        return SISAClassifier(
            clone(self.learner),
            n_shards=self.n_shards,
            random_state=self.seed,
        )

    @cached_property
    def members(self):
        """Return the ensemble of the rows that train members."""
        train, _ = self.parts
        return self.ensemble().fit(self.X[train], self.y[train])

    @cached_property
    def scores(self):
        """Return the members' scores of the rows held out and of new people."""
        _, held_out = self.parts
        asked = self.X[held_out], self.new_X
        return tuple(self.members.transform(X) for X in asked)

    @cached_property
    def joint(self):
        """Return P(A, Y | X) of the rows held out and of new people, by one model.

        The third is the processor's seconds that it took.
        """
        begun = time.process_time()
        train, held_out = self.parts
        cell = 2 * self.group + self.y
        model = clone(self.learner).fit(self.X[train], cell[train])
        n_groups = self.group.max() + 1
        found = []
        for X in (self.X[held_out], self.new_X):
            joint = np.zeros((len(X), 2 * n_groups))
            joint[:, model.classes_] = model.predict_proba(X)
            found.append(joint.reshape(len(X), n_groups, 2))
        return *found, time.process_time() - begun

    @cached_property
    def mean_scores(self):
        """Return the mean logit of the members, as a probability."""
        return tuple(
            expit(logit(scores.clip(1e-6, 1 - 1e-6)).mean(axis=1))
            for scores in self.scores
        )


@dataclass(frozen=True)
class Decided:
    """What a rule decides, and the processor's seconds that it took to learn.

    Parameters
    ----------
    tolerances : tuple of float
        From the strictest to the loosest.
    probability : ndarray of shape (n_tolerances, n_new)
    seconds : float
        Of the processor, from the rows, or the members' scores, to all tolerances.
    """

    tolerances: tuple
    probability: np.ndarray
    seconds: float


def no_rule(problem):
    """Decide by the threshold of the mean score that is best in calibration."""
    score, new_score = problem.mean_scores
    y = problem.y[problem.parts[1]]
    levels = np.unique(np.quantile(score, np.linspace(0, 1, 101)))
    values = [expected_balanced_accuracy_score(y, score > t) for t in levels]
    return (new_score > levels[np.argmax(values)]).astype(float)


def ours(problem, *, every_row=True):
    """Learn our default method once; decide as each of its rules does.

    Parameters
    ----------
    problem : Problem
    every_row : bool, default=True
        Calibrate across shards on all rows, or frozen members on the rows held out.

    Returns
    -------
    dict of str to Decided
        The default; the same of the members' scores alone; and the same that is not
        told the group of new people.
    """
    rows = problem.parts[1] if not every_row else np.arange(len(problem.y))
    estimator = problem.ensemble() if every_row else FrozenEstimator(problem.members)
    fair = FairEnsemblePostprocessor(
        estimator, objective=OBJECTIVE, unknown_group="inferred", random_state=0
    )
    begun = time.process_time()
    fair.fit(problem.X[rows], problem.y[rows], sensitive_features=problem.group[rows])
    seconds = time.process_time() - begun
    serving = fair._serving()
    known, asked = serving.calibrated.rows, serving.calibrated.problem
    code = np.searchsorted(asked.groups, problem.new_group)
    scores = serving.evidence(problem.new_X, code)
    plain = replace(asked, accepts_unknown=False)
    n_members = known.of_members.scores.shape[1]
    found = {}
    for name, solve, given, group in (
        (OURS, learn_rule(known, asked), scores, code),
        (BLIND, learn_rule(known, asked), scores, np.full(len(code), -1)),
        (MEMBERS, learn_rule(known.of_members, plain), scores[:, :n_members], code),
    ):
        begun = time.process_time()
        probability = [
            solve(tol).selection_probability(given, group) for tol in TOLERANCES
        ]
        spent = seconds + time.process_time() - begun
        found[name] = Decided(TOLERANCES, np.array(probability), spent)
    return found


def ours_on_scores(problem, method):
    """Decide by one of our methods on the scores of the rows held out."""
    _, rows = problem.parts
    scores, new_scores = problem.scores
    begun = time.process_time()
    probability = [
        FairEnsemblePostprocessor(
            method=method, objective=OBJECTIVE, tol=tol, random_state=0
        )
        .fit(scores, problem.y[rows], sensitive_features=problem.group[rows])
        .selection_probability(new_scores, sensitive_features=problem.new_group)
        for tol in TOLERANCES[:-1]
    ]
    seconds = time.process_time() - begun
    return Decided(TOLERANCES[:-1], np.array(probability), seconds)


def score_peer(problem, name):
    """Decide by a peer that post-processes the members' mean logit."""
    _, rows = problem.parts
    score, new_score = problem.mean_scores
    calibration = Calibration(score, problem.y[rows], problem.group[rows])
    tolerances = TOLERANCES[:-1] if name in WITH_TOLERANCE else TOLERANCES[:1]
    found = [
        SCORE_PEERS[name](
            calibration,
            new_score,
            problem.new_group,
            OBJECTIVE,
            **({"tol": tol} if name in WITH_TOLERANCE else {}),
        )
        for tol in tolerances
    ]
    probability = [one.probability for one in found]
    if name not in WITH_TOLERANCE:
        # Its mixtures with no rule take the place of tolerances that it has not.
        tolerances = TOLERANCES[0], TOLERANCES[-1]
        probability.append(no_rule(problem))
    return Decided(tolerances, np.array(probability), sum(d.seconds for d in found))


def joint_peer(problem, name):
    """Decide by a peer that post-processes P(A, Y | X), without the group."""
    _, rows = problem.parts
    joint, new_joint, training = problem.joint
    beliefs = Beliefs(joint, problem.y[rows], problem.group[rows])
    tolerances = JOINT_TOLERANCES[name]
    found = JOINT_PEERS[name](beliefs, new_joint, OBJECTIVE, tolerances)
    return Decided(tolerances, found.probability, training + found.seconds)


def reduction(problem):
    """Decide by fairlearn's ExponentiatedGradient, which trains on all rows."""
    found = [
        exponentiated_gradient(
            clone(problem.learner),
            problem.X,
            problem.y,
            problem.group,
            problem.new_X,
            OBJECTIVE,
            tol,
        )
        for tol in EG_TOLERANCES
    ]
    probability = np.array([one.probability for one in found])
    return Decided(EG_TOLERANCES, probability, sum(one.seconds for one in found))


RULES = {
    NO_RULE: lambda problem: Decided((1.0,), no_rule(problem)[None], 0.0),
    OURS: ours,
    HELD_OUT: lambda problem: ours(problem, every_row=False)[OURS],
    **{name: partial(ours_on_scores, method=name) for name in ON_SCORES},
    **{name: partial(score_peer, name=name) for name in SCORE_PEERS},
    **{name: partial(joint_peer, name=name) for name in JOINT_PEERS},
    REDUCTION: reduction,
}
"""Each returns `Decided`; that of `OURS` a dict of several rules learnt at once."""
