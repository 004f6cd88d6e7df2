"""Least squares whose sums over rows are exact, so that rows can be subtracted."""

import copy
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg, sparse
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.multiclass import (
    _check_partial_fit_first_call,
    check_classification_targets,
)
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)

from .._utils.isolation import one_thread
from .._utils.typing import Rows

# Doubles represent every integer up to here, so sums below it are never rounded.
_LARGEST = 2.0**53
_SUMS = ("class_count_", "feature_sum_", "gram_")


class IntegerRidgeClassifier(ClassifierMixin, BaseEstimator):
    """Ridge classifier on features rounded to integers, which can subtract rows.

    Features are clipped to a given range and rounded to integers. The sums over rows
    that least squares needs are then sums of integers, which are exact in any order:
    adding rows and then subtracting them gives the same bits as a classifier that never
    saw them. In a :class:`~sklearn_fairsisa.SISAClassifier`, a deletion therefore
    subtracts the row instead of training its shard again.

    Parameters
    ----------
    alpha : float, default=1.0
        Strength of the L2 penalty on the coefficients, at least 0, as in scikit-learn's
        ``RidgeClassifier``. The intercept is not penalised.

    class_weight : dict or "balanced", default=None
        Factors on the classes. "balanced" weighs each class by the inverse of its
        weight among the rows. They are applied when the coefficients are computed, so
        they depend on the remaining rows only.

    feature_range : tuple of (float, float), default=(-1, 1)
        Smallest and largest value of a feature, given and not learnt from the rows.
        Values outside are clipped, in ``fit`` and ``predict`` alike.

    n_bits : int, default=15
        The range is divided into :math:`2^{b+1}` steps, for :math:`b` from 1 to 26.
        Rows of a class may have a total weight of :math:`2^{53 - 2b}`, which is 8.4
        million by default.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.

    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Coefficients of the rounded features in their own unit; one row for two classes.

    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts.

    class_count_ : ndarray of shape (n_classes,), int64
        Total weight of the rows of each class.

    feature_sum_ : ndarray of shape (n_classes, n_features), int64
        Sum of the integer features over the rows of each class.

    gram_ : ndarray of shape (n_classes, n_features, n_features), int64
        Sum of the products of the integer features over the rows of each class.

    n_features_in_ : int
        Number of features.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has string column names.

    See Also
    --------
    sklearn_fairsisa.SISAClassifier : Ensemble from which rows can be deleted.

    Notes
    -----
    With :math:`m` the middle and :math:`h` half the width of the range, feature
    :math:`x` becomes :math:`z = \\mathrm{round}(2^b (\\mathrm{clip}(x) - m) / h)`.
    With target :math:`t_i = \\pm 1` and weight :math:`w_i` of a row, including the
    factor of its class, the coefficients minimise

    .. math::

        \\sum_i w_i (t_i - c - \\beta^T x'_i)^2 + \\alpha \\|\\beta\\|^2

    over the rounded features :math:`x' = m + hz/2^b`. With more than two classes, each
    has its own targets.

    No sum exceeds :math:`2^{53}`, so double-precision BLAS adds without rounding,
    whatever the order, the batches and the number of threads. One thread computes the
    coefficients from these sums. They have equal bits on machines of the same kind.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fairsisa.linear_model import IntegerRidgeClassifier
    >>> X, y = np.array([[-0.5], [-0.25], [0.25], [0.5]]), [0, 0, 1, 1]
    >>> ridge = IntegerRidgeClassifier(alpha=0, n_bits=2).fit(X, y)
    >>> ridge.gram_.ravel().tolist(), ridge.coef_.round(6).tolist()
    ([5, 5], [[2.4]])
    >>> ridge.partial_unfit(X[:1], y[:1]).gram_.ravel().tolist()
    [1, 5]
    """

    #: A row that is seen twice counts twice.
    accumulates = True

    class_count_: NDArray[np.int64]
    feature_sum_: NDArray[np.int64]
    gram_: NDArray[np.int64]

    _parameter_constraints: dict = {  # noqa: RUF012
        "alpha": [Interval(Real, 0, None, closed="left")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "feature_range": [tuple, list],
        "n_bits": [Interval(Integral, 1, 26, closed="both")],
    }

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        feature_range: tuple[float, float] = (-1, 1),
        n_bits: int = 15,
    ) -> None:
        self.alpha = alpha
        self.class_weight = class_weight
        self.feature_range = feature_range
        self.n_bits = n_bits

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Rows, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Fit the classifier to rows.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Features.

        y : array-like of shape (n_samples,)
            Class labels, at least two.

        sample_weight : array-like of shape (n_samples,) or int, default=None
            Weights of the rows, integers of at least 0. None weighs all by 1.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If y has a single class, weights are not integers, or sums could exceed
            :math:`2^{53}`.
        """
        return self._add(X, y, sample_weight, None, anew=True)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: Rows,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Add rows.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Features.

        y : array-like of shape (n_samples,)
            Class labels.

        classes : array-like of shape (n_classes,), default=None
            All classes, required in the first call.

        sample_weight : array-like of shape (n_samples,) or int, default=None
            Weights of the rows, integers of at least 0. None weighs all by 1.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the first call has no `classes`, y has a label that is not among them,
            weights are not integers, or sums could exceed :math:`2^{53}`. In these
            cases the sums do not change.
        """
        return self._add(X, y, sample_weight, classes, anew=False)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_unfit(
        self, X: Rows, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Subtract rows, so that the classifier equals one that never saw them.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Features, as they were given to ``fit`` or ``partial_fit``.

        y : array-like of shape (n_samples,)
            Their class labels.

        sample_weight : array-like of shape (n_samples,) or int, default=None
            Their weights, as they were given.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the sums show that these rows were never added. In this case the sums do
            not change.
        """
        check_is_fitted(self)
        X, y = self._checked(X, y, reset=False)
        sums = self._sums(X, y, sample_weight)
        count, feature_sum, gram = (
            own - taken for own, taken in zip(self._statistics(), sums)
        )
        squares = gram.diagonal(axis1=1, axis2=2)
        empty = count == 0
        if (count < 0).any() or (squares < 0).any() or feature_sum[empty].any():
            raise ValueError(
                "Some of these rows were never added, or with other labels or weights: "
                "less than nothing would be left. Give rows as partial_fit had them."
            )
        return self._solved(count, feature_sum, gram)

    def for_serving(self) -> Self:
        """Return a copy that only predicts, without the sums over rows.

        Returns
        -------
        IntegerRidgeClassifier
        """
        check_is_fitted(self)
        served = copy.copy(self)
        for name in _SUMS:
            served.__dict__.pop(name, None)
        return served

    def decision_function(self, X: Rows) -> NDArray[np.float64]:
        """Return the predicted targets, which are 1 for and -1 against a class.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Features.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            With two classes, the target of the second class.
        """
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float64, reset=False)
        middle, unit = self._grid()
        X = self._integers(X) * unit
        scores = safe_sparse_dot(X if middle == 0 else X + middle, self.coef_.T)
        scores += self.intercept_
        return scores.ravel() if scores.shape[1] == 1 else scores

    def predict(self, X: Rows) -> NDArray[Any]:
        """Return the class of each sample.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Features.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return self.classes_[(scores > 0).astype(int)]
        return self.classes_[scores.argmax(axis=1)]

    def _add(self, X, y, sample_weight, classes, anew):
        self._grid()
        is_first = anew or not hasattr(self, "coef_")
        X, y = self._checked(X, y, reset=is_first)
        if anew:
            self.classes_ = np.unique(y)
        else:
            _check_partial_fit_first_call(self, classes)
        if len(self.classes_) < 2:
            raise ValueError(
                f"There is one class, {self.classes_.tolist()}. A classifier needs "
                "rows of at least 2 classes."
            )
        sums = self._sums(X, y, sample_weight)
        if not is_first:
            sums = tuple(own + more for own, more in zip(self._statistics(), sums))
        self._check_exact(sums[0].max())
        return self._solved(*sums)

    def _checked(self, X, y, reset):
        X, y = validate_data(
            self, X, y, accept_sparse="csr", dtype=np.float64, reset=reset
        )
        check_classification_targets(y)
        return X, y

    def _grid(self):
        """Return the middle of the range and the width of a step."""
        low, high = map(float, self.feature_range)
        if not (np.isfinite([low, high]).all() and low < high):
            raise ValueError(
                f"feature_range={self.feature_range!r} must be two finite numbers, the "
                "smaller first."
            )
        return (low + high) / 2, (high - low) / 2 / 2.0**self.n_bits

    def _integers(self, X):
        """Return features in steps from the middle; sparse ones stay so if 0 is 0."""
        middle, unit = self._grid()
        if sparse.issparse(X):
            if middle == 0:
                X = X.copy()
                X.data = self._integers(X.data)
                return X
            X = X.toarray()
        return np.rint((np.clip(X, *self.feature_range) - middle) / unit)

    def _sums(self, X, y, sample_weight):
        """Return the sums of weights, features and products of each class."""
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(
                f"y holds {unknown.tolist()}, but the classes are "
                f"{self.classes_.tolist()}. Name all classes in the first call."
            )
        weights = self._integer_weights(sample_weight, X)
        X = self._integers(X)
        n_classes, n_features = len(self.classes_), X.shape[1]
        count = np.zeros(n_classes, dtype=np.int64)
        feature_sum = np.zeros((n_classes, n_features), dtype=np.int64)
        gram = np.zeros((n_classes, n_features, n_features), dtype=np.int64)
        for k, label in enumerate(self.classes_):
            where = np.flatnonzero(y == label)
            if not len(where):
                continue
            Z, w = X[where], weights[where]
            self._check_exact(w.sum())
            weighted = Z if (w == 1).all() else _times(Z, w)
            products = safe_sparse_dot(Z.T, weighted, dense_output=True)
            count[k] = w.sum()
            feature_sum[k] = np.asarray(weighted.sum(axis=0)).ravel()
            gram[k] = products
        return count, feature_sum, gram

    def _integer_weights(self, sample_weight, X):
        weights = _check_sample_weight(
            sample_weight, X, dtype=np.float64, ensure_non_negative=True
        )
        if (weights != np.floor(weights)).any():
            raise ValueError(
                "sample_weight has weights that are no integers, of which sums are not "
                "exact. Give integers, such as weights in thousandths."
            )
        return weights

    def _check_exact(self, total):
        """Raise if the sums of rows of a total weight could be rounded."""
        limit = _LARGEST / 4.0**self.n_bits
        if total > limit:
            raise ValueError(
                f"The rows of a class have a total weight of {total:.0f}, but with "
                f"n_bits={self.n_bits} sums are exact up to {limit:.0f}. Lower n_bits, "
                "or give fewer rows or smaller weights."
            )

    def _statistics(self):
        if not hasattr(self, "gram_"):
            raise ValueError(
                "This classifier was made for serving and only predicts. Add rows to "
                "the one that it was made of, or subtract them there."
            )
        return tuple(getattr(self, name) for name in _SUMS)

    def _solved(self, count, feature_sum, gram):
        """Take sums, and solve the coefficients from them."""
        with one_thread():
            coef, intercept = self._coefficients(count, feature_sum, gram)
        vars(self).update(zip(_SUMS, (count, feature_sum, gram)))
        self.coef_, self.intercept_ = coef, intercept
        return self

    def _coefficients(self, count, feature_sum, gram):
        n_classes, n_features = feature_sum.shape
        targets = 2 * np.eye(n_classes) - 1
        if n_classes == 2:
            targets = targets[:, 1:]
        factors = self._class_factors(count)
        counts, sums = factors * count, factors[:, None] * feature_sum
        total = counts.sum()
        if total == 0:
            return np.zeros((targets.shape[1], n_features)), np.zeros(targets.shape[1])
        middle, unit = self._grid()
        mean, mean_target = sums.sum(axis=0) / total, counts @ targets / total
        products = factors[0] * gram[0]
        for factor, own in zip(factors[1:], gram[1:]):
            products += factor * own
        products -= total * np.outer(mean, mean)
        products[np.diag_indices(n_features)] += self.alpha / unit**2
        right = sums.T @ targets - total * np.outer(mean, mean_target)
        try:
            steps = linalg.cho_solve(linalg.cho_factor(products), right)
        except linalg.LinAlgError:
            # Without a penalty, features may depend on each other.
            steps = linalg.lstsq(products, right)[0]
        coef = steps.T / unit
        return coef, mean_target - coef @ (middle + unit * mean)

    def _class_factors(self, count):
        if self.class_weight == "balanced":
            present = count > 0
            factors = np.zeros(len(count))
            factors[present] = count.sum() / (present.sum() * count[present])
            return factors
        return compute_class_weight(
            self.class_weight, classes=self.classes_, y=self.classes_
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _times(Z, weights):
    if sparse.issparse(Z):
        return sparse.diags_array(weights) @ Z
    return Z * weights[:, None]
