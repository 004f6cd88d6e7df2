"""A fold of the comparison: train, forget, verify, post-process, decide."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from fairlearn.postprocessing import ThresholdOptimizer
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import _safe_indexing

from .._utils.words import counted
from ..exceptions import DegenerateRuleWarning
from ..metrics import FairlearnAdapter
from ..postprocessing import FairEnsemblePostprocessor
from ..postprocessing._aggregation import aggregation_of
from ..postprocessing._calibration import votes_of
from ..postprocessing._same_members import (
    calibration_scores,
    of_voters,
    selection_probabilities,
)
from ..sisa import SISAClassifier
from ._task import Task

METHODS = (
    "aggregate_then_postprocess",
    "postprocess_then_aggregate",
    "ensemble",
    "smooth_ensemble",
)
# Steps that every fold announces, and further ones where rows are forgotten.
N_STEPS, N_STEPS_OF_FORGETTING = 4, 2


@dataclass(frozen=True)
class Comparison:
    """What all folds share.

    Parameters
    ----------
    task : Task
    X : ndarray or DataFrame
        Rows of the task as the learner takes them.
    learner : classifier
    params : dict
        Parameters of the ensembles.
    objective : str
        Objective of the fair rules.
    """

    task: Task
    X: Any
    learner: Any
    params: dict
    objective: str

    def of(self, rows):
        """Return the features, labels and groups of some rows."""
        task = self.task
        return _safe_indexing(self.X, rows), task.y[rows], task.groups[rows]


def train(comparison, rows, clock):
    """Return one model and a sharded ensemble of the same rows."""
    X, y, _ = comparison.of(rows)
    learner, params = comparison.learner, comparison.params
    clock.begin("Training one model")
    single = SISAClassifier(clone(learner), **params | {"n_shards": 1, "n_slices": 1})
    single.fit(X, y)
    slices = counted(params["n_slices"], "slice")
    clock.begin(f"Training {params['n_shards']} shards of {slices}")
    return single, SISAClassifier(clone(learner), **params).fit(X, y)


def forget(sisa, requests, clock):
    """Forget rows, so many a request; return the verification, which must be exact."""
    clock.begin("Forgetting rows")
    rows = np.random.default_rng(sisa.random_state).permutation(sisa.n_rows_)
    for k in requests:
        sisa.forget(rows[:k])
        rows = rows[k:]
    clock.begin("Verifying the deletion: retraining without the rows")
    verification = sisa.verify_forgotten()
    if not verification:
        raise RuntimeError(
            f"Shards {verification.differing_shards} differ from retraining without "
            "the forgotten rows: the deletion is not exact. Please report this."
        )
    return verification


def fit_rules(sisa, comparison, rows, clock):
    """Return a rule of each method, attached to an ensemble, and fairlearn's rule."""
    clock.begin("Fitting the fair rules")
    _, y, groups = comparison.of(rows)
    rules = {}
    for method in METHODS:
        rule = FairEnsemblePostprocessor(
            method=method,
            objective=comparison.objective,
            unknown_group="unconstrained",
            random_state=sisa.random_state,
        )
        with warnings.catch_warnings():
            # The table marks rules that decide nearly the same for everyone.
            warnings.simplefilter("ignore", DegenerateRuleWarning)
            rules[method] = rule.attach(sisa, sensitive_features=groups, name=method)
    index, scores = calibration_scores(rules[METHODS[0]])
    groups = groups[index].astype(str)
    return rules, _baseline(scores, y[index], groups, comparison)


def _baseline(scores, y, groups, comparison):
    """Fit fairlearn's rule to the mean scores of the members that did not see a row."""
    optimizer = ThresholdOptimizer(
        estimator=MeanScore().fit(scores, y),
        prefit=True,
        predict_method="predict_proba",
        constraints="equalized_odds",
        objective=comparison.objective,
    )
    seed = comparison.params["random_state"]
    baseline = FairlearnAdapter(optimizer, random_state=seed)
    return baseline.fit(scores, y, sensitive_features=groups)


def decide(single, sisa, rules, baseline, comparison, rows, clock):
    """Return the decisions of all on people held out, in expectation.

    Randomised decisions would only add noise to the comparison.
    """
    clock.begin("Comparing on people held out")
    X, _, groups = comparison.of(rows)
    groups = groups.astype(str)
    # The members' predictions take longest.
    scores = of_voters(sisa, sisa.transform(X))
    probabilities = selection_probabilities(rules.values(), X, groups, scores)
    return {
        "one model": single.predict(X),
        "SISA": aggregation_of(sisa).decide(scores, votes_of(scores)).astype(int),
        **dict(zip(rules, probabilities, strict=True)),
        "ThresholdOptimizer": baseline.selection_probability(
            scores, sensitive_features=groups
        ),
    }


class MeanScore(ClassifierMixin, BaseEstimator):
    """The mean of members' scores, of those that are numbers, as a classifier."""

    def fit(self, X, y):
        """Store the classes; nothing is learnt."""
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        """Return the mean score of each label."""
        score = np.nanmean(np.asarray(X, dtype=float), axis=1)
        return np.column_stack([1 - score, score])

    def predict(self, X):
        """Return the label 0 or 1 with the greater score, 0 in a tie."""
        return self.predict_proba(X).argmax(axis=1)
