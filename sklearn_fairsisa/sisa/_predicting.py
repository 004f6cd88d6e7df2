"""Predictions of an ensemble from those of its members."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, TransformerMixin
from sklearn.utils.validation import _num_samples, check_is_fitted

from .._utils.typing import Rows
from ._inputs import check_samples
from ._together import scores_together
from ._votes import member_scores, member_votes


class PredictingMixin(ClassifierMixin, TransformerMixin):
    """Predictions of a fitted ensemble.

    A class has ``classes_``; ``estimators_``, with None for members that abstain;
    ``aggregation``; and the attributes about X.
    """

    classes_: NDArray[Any]
    estimators_: list[Any]
    aggregation: str

    def predict(self, X: Rows) -> NDArray[Any]:
        """Return the class of each sample.

        Ties go to the first of the tied classes in ``classes_``.

        Parameters
        ----------
        X : array-like of length n
            Of the kind given to ``fit``.

        Returns
        -------
        ndarray of shape (n,)

        Raises
        ------
        ValueError
            If every row has been forgotten, or X has other features.
        """
        check_is_fitted(self)
        fitted = self._snapshot()
        return fitted.classes_[fitted.predict_proba(X).argmax(axis=1)]

    def predict_proba(self, X: Rows) -> NDArray[np.float64]:
        """Return each class's share of the votes, or its mean score.

        Parameters
        ----------
        X : array-like of length n
            Of the kind given to ``fit``.

        Returns
        -------
        ndarray of shape (n, n_classes)
            Share of votes with ``aggregation="majority"``, mean score of the members
            with ``aggregation="mean"``.

        Raises
        ------
        ValueError
            If every row has been forgotten, or X has other features.
        """
        X = check_samples(self, X)
        fitted = self._snapshot()
        outputs = member_votes if fitted.aggregation == "majority" else member_scores
        total, n_present = np.zeros(1), 0
        for output in fitted._outputs(outputs, X):
            if output is not None:
                total, n_present = total + output, n_present + 1
        if not n_present:
            raise ValueError(fitted._why_none_predicts())
        return total / n_present

    def predict_log_proba(self, X: Rows) -> NDArray[np.float64]:
        """Return the logarithms of what :meth:`predict_proba` returns.

        Parameters
        ----------
        X : array-like of length n
            Of the kind given to ``fit``.

        Returns
        -------
        ndarray of shape (n, n_classes)
            Natural logarithms; minus infinity for a class without votes.

        Raises
        ------
        ValueError
            If every row has been forgotten, or X has other features.
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def transform(self, X: Rows) -> NDArray[np.float64]:
        """Return the members' scores.

        Parameters
        ----------
        X : array-like of length n
            Of the kind given to ``fit``.

        Returns
        -------
        ndarray of shape (n, n_shards) or (n, n_shards * n_classes)
            With two classes, each member's score of the second class. With more, each
            member's scores of all classes, member by member. Scores are in [0, 1]:
            the member's probabilities, the logistic function (softmax) of its
            decision function, or its vote. A shard without rows scores 1/n_classes.
        """
        X = check_samples(self, X)
        fitted = self._snapshot()
        n_classes = len(fitted.classes_)
        abstention = np.full((_num_samples(X), n_classes), 1 / n_classes)
        scores = [
            abstention if score is None else score
            for score in fitted._outputs(member_scores, X)
        ]
        if n_classes == 2:
            return np.column_stack([score[:, 1] for score in scores])
        return np.hstack(scores)

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> NDArray[np.object_]:
        """Return the names of the columns of ``transform``.

        Parameters
        ----------
        input_features : None
            Not used.

        Returns
        -------
        ndarray of str
            ``sisaclassifier<shard>``, with ``_<class>`` appended for more than two
            classes.
        """
        check_is_fitted(self)
        name = type(self).__name__.lower()
        names = [f"{name}{shard}" for shard in range(len(self.estimators_))]
        if len(self.classes_) > 2:
            names = [f"{member}_{label}" for member in names for label in self.classes_]
        return np.array(names, dtype=object)

    def _snapshot(self):
        """Return an ensemble whose attributes all belong to the same instant."""
        return self

    def _outputs(self, function, X):
        """Iterate over what a function of member, rows and n_classes gives, by member.

        None stands for a member that abstains.
        """
        if function is member_scores:
            together = scores_together(self.estimators_, X, len(self.classes_))
            if together is not None:
                return together
        return self._outputs_one_by_one(function, X)

    def _outputs_one_by_one(self, function, X):
        """Yield the same, one member after the other."""
        for member in self.estimators_:
            yield None if member is None else function(member, X, len(self.classes_))

    def _why_none_predicts(self):
        return "No member is left to predict."
