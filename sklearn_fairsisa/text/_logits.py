"""Predictions of classifiers with logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax


class LogitsMixin:
    """Predictions from ``_logits(X)`` of shape (n, n_classes)."""

    classes_: NDArray[Any]
    _logits: Callable[[ArrayLike], NDArray[np.floating]]

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the most probable label of each sample.

        Parameters
        ----------
        X : array-like of length n
            Samples, in a container as in ``fit``.

        Returns
        -------
        ndarray of shape (n,)
        """
        logits = self._logits(X)
        return self.classes_[logits.argmax(axis=1)]

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like of length n
            Samples, in a container as in ``fit``.

        Returns
        -------
        ndarray of shape (n, n_classes)
        """
        return softmax(self._logits(X).astype(np.float64), axis=1)

    def decision_function(self, X: ArrayLike) -> NDArray[np.floating]:
        """Return the logits, or with two classes their difference.

        Parameters
        ----------
        X : array-like of length n
            Samples, in a container as in ``fit``.

        Returns
        -------
        ndarray of shape (n,) or (n, n_classes)
        """
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits
