"""Training of the ensemble that a post-processor is given."""

from sklearn.base import clone
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.validation import has_fit_parameter

from .._utils.lending import own_objects
from .._utils.pipelines import weight_param


class Training:
    """How a post-processor has its ensemble trained.

    Parameters
    ----------
    fair : FairEnsemblePostprocessor
    X, y, weight, subjects : all rows given to ``fit``
    given : X with the sensitive feature, as it was given
    """

    def __init__(self, fair, X, y, weight, subjects, given):
        self.given = given
        self.X, self.y, self.weight, self.subjects = X, y, weight, subjects
        self._estimator, self._is_seeded = fair.estimator, fair.random_state is not None
        self.rng = check_random_state(fair.random_state)

    def prepared(self):
        """Return a clone of the ensemble, and the weights for its ``fit``."""
        estimator = clone(self._estimator)
        if self._is_seeded:
            _seed_where_none(estimator, self.rng)
        takes_weight = None if self.weight is None else weight_param(estimator)
        return estimator, {} if takes_weight is None else {takes_weight: self.weight}

    def fitted(self, training):
        """Return the ensemble, fitted on some of the rows."""
        estimator, params = self.prepared()
        if self.subjects is not None and has_fit_parameter(estimator, "subjects"):
            params["subjects"] = self.subjects
        params = {k: _safe_indexing(v, training) for k, v in params.items()}
        X, y = (_safe_indexing(values, training) for values in (self.X, self.y))
        # A step before the ensemble may change objects within rows.
        return estimator.fit(own_objects(X), y, **params)


def _seed_where_none(estimator, rng):
    """Make every part of the ensemble repeatable, but keep the seeds it has."""
    unset = {
        name: int(rng.randint(2**31))
        for name, value in sorted(estimator.get_params(deep=True).items())
        if value is None and (name == "random_state" or name.endswith("__random_state"))
    }
    estimator.set_params(**unset)
