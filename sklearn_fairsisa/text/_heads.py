"""A small classifier of vectors; several can be trained in one program."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import pairwise
from numbers import Integral
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)

from .._utils.devices import pick_device
from .._utils.isolation import one_thread
from .._utils.typing import RandomState
from ._checks import (
    COUNT,
    NOT_NEGATIVE,
    POSITIVE,
    SIZE,
    check_entry,
    class_weights,
    known_classes,
    seed_from,
)
from ._logits import LogitsMixin
from ._places import Job, batches_of_epoch, train_in_places

# Parameters that may differ between heads that are trained together.
_OWN_PARAMS = {"class_weight", "hidden_layer_sizes", "max_epochs", "random_state"}


class HeadClassifier(LogitsMixin, ClassifierMixin, BaseEstimator):
    """A classification head of vectors, logistic or with hidden layers.

    AdamW minimises the cross-entropy in minibatches. `partial_fit` continues where the
    last call ended, including the state of the optimizer. With ``together=10``, a
    :class:`~sklearn_fairsisa.SISAClassifier` trains the heads of ten shards in one
    program, which is faster than one by one and gives the same bits.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=()
        Number of rectified linear units in each hidden layer. Without hidden layers
        the head is a logistic regression.

    together : int, default=1
        Number of places for heads in the training program. A head that is trained
        alone leaves the other places empty, which costs nearly as much as filling
        them. More places make ``fit`` of an ensemble faster, and ``forget`` in one
        shard slower.

    batch_size : int, default=32
        Number of rows in a training batch.

    max_epochs : int, default=20
        Number of passes over the rows that `fit` and each call of `partial_fit` make.

    lr : float, default=0.1
        Learning rate of the first step. The default suits vectors of length 1 and
        standardised features.

    weight_decay : float, default=0.0
        Share of the learning rate by which each step shrinks the weights; intercepts do
        not decay.

    class_weight : dict, "balanced" or None, default=None
        Weight of each class in the loss. "balanced" computes the weights from the
        rows of the call.

    device : str, default="cpu"
        Device such as "cpu" or "cuda:1". "auto" is a GPU if there is one.

    random_state : int, RandomState instance or None, default=None
        Determines the initial weights and the order of rows. The order in an epoch
        depends on it and on the number of previous epochs, so that with an int several
        calls of `partial_fit` equal a single one with as many epochs.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels.

    coefs_ : list of ndarray of shape (n_inputs, n_outputs)
        Weights of each layer.

    intercepts_ : list of ndarray of shape (n_outputs,)
        Intercepts of each layer.

    n_features_in_ : int
        Number of features seen in `fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has string column names.

    n_iter_ : int
        Number of epochs so far.

    See Also
    --------
    TransformerEmbedder : Turns texts into vectors.
    sklearn.linear_model.SGDClassifier : Linear classifiers, trained one by one.
    sklearn.neural_network.MLPClassifier : The same with hidden layers.

    Notes
    -----
    The loss of a batch is the mean of its rows' losses, weighted by ``sample_weight``
    and `class_weight`; the last batch of an epoch has the remaining rows. Initial
    weights are uniform in :math:`\\pm\\sqrt{6 / (n_{in} + n_{out})}`.

    Equal seeds give equal bits for an equal number of places, whatever other heads are
    trained in the same program: parameters are stacked and all operations are batched,
    so that the arithmetic of a place does not depend on the others. Programs with
    another number of places round differently. Training uses one core, since shards
    run in parallel.

    References
    ----------
    .. [1] I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization",
       ICLR 2019. Algorithm 2.
    .. [2] X. Glorot and Y. Bengio, "Understanding the difficulty of training deep
       feedforward neural networks", AISTATS 2010. Equation 16.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn_fairsisa import SISAClassifier
    >>> from sklearn_fairsisa.text import HeadClassifier
    >>> X, y = make_classification(400, random_state=0)
    >>> head = HeadClassifier((16,), together=4)
    >>> sisa = SISAClassifier(head, n_shards=4, n_slices=2, random_state=0).fit(X, y)
    >>> bool(sisa.forget([3, 14]).verify_forgotten())
    True
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        "hidden_layer_sizes": ["array-like"],
        "together": [SIZE],
        "batch_size": [SIZE],
        "max_epochs": [COUNT],
        "lr": [POSITIVE],
        "weight_decay": [NOT_NEGATIVE],
        "class_weight": [StrOptions({"balanced"}), Mapping, None],
        "device": [str],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        hidden_layer_sizes: Sequence[int] = (),
        *,
        together: int = 1,
        batch_size: int = 32,
        max_epochs: int = 20,
        lr: float = 0.1,
        weight_decay: float = 0.0,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        device: str = "cpu",
        random_state: RandomState = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.together = together
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.lr = lr
        self.weight_decay = weight_decay
        self.class_weight = class_weight
        self.device = device
        self.random_state = random_state

    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Train a new head.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            Vectors.
        y : array-like of shape (n,)
            Labels.
        sample_weight : array-like of shape (n,), default=None
            Weight of each row's loss. Rows with zero weight are ignored.

        Returns
        -------
        self
        """
        _train([self], [X], [y], None, [sample_weight], from_scratch=True)
        return self

    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Continue training, with new rows or the same ones.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            Vectors.
        y : array-like of shape (n,)
            Labels.
        classes : array-like of shape (n_classes,), default=None
            All possible labels. Required in the first call, unless `y` has all of
            them.
        sample_weight : array-like of shape (n,), default=None
            Weight of each row's loss. Rows with zero weight are ignored.

        Returns
        -------
        self
        """
        _train([self], [X], [y], classes, [sample_weight], from_scratch=False)
        return self

    @staticmethod
    def partial_fit_together(
        learners: Sequence[HeadClassifier],
        X: Sequence[ArrayLike],
        y: Sequence[ArrayLike],
        classes: ArrayLike | None = None,
        sample_weight: Sequence[ArrayLike | None] | None = None,
    ) -> None:
        """Continue training several heads, with the same bits as `partial_fit` of each.

        The heads only change once all of them are trained.

        Parameters
        ----------
        learners : sequence of HeadClassifier
            At most `together` heads. They may differ in `class_weight`, `max_epochs`
            and `random_state`.
        X : sequence of array-like of shape (n, n_features)
            Each learner's vectors.
        y : sequence of array-like of shape (n,)
            Each learner's labels.
        classes : array-like of shape (n_classes,), default=None
            All possible labels.
        sample_weight : sequence of array-like of shape (n,), default=None
            Each learner's weights of rows.

        Raises
        ------
        ValueError
            If there are more learners than places, or their parameters or shapes
            differ.
        """
        if sample_weight is None:
            sample_weight = [None] * len(learners)
        _train(learners, X, y, classes, sample_weight, from_scratch=False)

    def for_serving(self) -> Self:
        """Return a copy that only predicts, without the moments of the optimizer.

        Returns
        -------
        HeadClassifier
        """
        check_is_fitted(self)
        served = copy.copy(self)
        served._parameters = [weights[:1].copy() for weights in self._parameters]
        return served

    def _validate_params(self):
        super()._validate_params()
        for size in self.hidden_layer_sizes:
            check_entry("A size in hidden_layer_sizes", size, SIZE)

    @property
    def coefs_(self) -> list[NDArray[np.float32]]:
        """Weights of each layer."""
        return [weights[0].T for weights in self._fitted_parameters()[::2]]

    @property
    def intercepts_(self) -> list[NDArray[np.float32]]:
        """Intercepts of each layer."""
        return [intercepts[0, :, 0] for intercepts in self._fitted_parameters()[1::2]]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.non_deterministic = self.random_state is None
        return tags

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_parameters")

    def _fitted_parameters(self):
        if not hasattr(self, "_parameters"):
            raise AttributeError("There are no weights yet. Call fit first.")
        return self._parameters

    def _logits(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float32, reset=False)
        # In single precision, the scores of a row alone and among others can differ by
        # more than scikit-learn's checks allow.
        out = X.astype(np.float64)
        for i, (W, b) in enumerate(zip(self.coefs_, self.intercepts_)):
            out = (np.maximum(out, 0) if i else out) @ W + b
        return out


def _train(heads, X, y, classes, sample_weight, *, from_scratch):
    """Train heads in one program; change them once all of them are trained."""
    # scikit-learn's _fit_context does not validate a second partial_fit, before which
    # parameters may have changed.
    for head in heads:
        head._validate_params()
    _check_compatible(heads)
    arguments = zip(heads, X, y, sample_weight, strict=True)
    prepared = [_prepare(*own, classes, from_scratch=from_scratch) for own in arguments]
    shapes = {tuple(part.shape for part in new._parameters) for new, _ in prepared}
    if len(shapes) > 1:
        raise ValueError(
            "Heads of different shapes cannot be trained together. Give them equally "
            "many features, the same classes and equal hidden_layer_sizes."
        )
    first = heads[0]
    with one_thread():
        trained = train_in_places(
            [job for _, job in prepared],
            first.together,
            lr=first.lr,
            weight_decay=first.weight_decay,
            device=pick_device(first.device),
        )
    for head, (new, job), parameters in zip(heads, prepared, trained):
        new._parameters = parameters
        new._n_steps += len(job.batches)
        new.n_iter_ += new.max_epochs
        head.__dict__ = vars(new)


def _check_compatible(heads):
    first, *others = (head.get_params(deep=False) for head in heads)
    if len(heads) > first["together"]:
        raise ValueError(
            f"{len(heads)} heads do not fit into a program of together="
            f"{first['together']} places. Give fewer at a time."
        )
    for name in first.keys() - _OWN_PARAMS:
        if any(other[name] != first[name] for other in others):
            raise ValueError(
                f"{name} must be the same for heads that are trained together."
            )


def _prepare(head, X, y, sample_weight, classes, *, from_scratch):
    """Return a copy of a head that is ready for training, and its job."""
    new = copy.copy(head)
    fresh = from_scratch or not hasattr(head, "_parameters")
    X, y = validate_data(new, X, y, dtype=np.float32, reset=fresh)
    check_classification_targets(y)
    new.classes_ = known_classes(y, classes, None if fresh else head.classes_)
    labels = np.searchsorted(new.classes_, y)
    weight = class_weights(new.class_weight, new.classes_, y)[labels]
    weight = weight * _check_sample_weight(sample_weight, X, ensure_non_negative=True)
    rows = np.flatnonzero(weight)
    # A stage of a shard may have rows of classes with zero weight only.
    if from_scratch and not len(rows):
        raise ValueError(
            "All rows have zero weight, so there is nothing to learn. Give at least "
            "one row a positive weight."
        )
    if not fresh and len(head._parameters[0]) == 1:
        raise ValueError(
            "This head was made for serving and only predicts. Train the one that it "
            "was made of."
        )
    if fresh or isinstance(new.random_state, Integral):
        new._seed = seed_from(new.random_state)
    if fresh:
        new.n_iter_ = new._n_steps = 0
        sizes = [X.shape[1], *new.hidden_layer_sizes, len(new.classes_)]
        new._parameters = _initial_parameters(sizes, new._seed)
    orders = (
        np.random.default_rng([new._seed, epoch]).permutation(rows)
        for epoch in range(new.n_iter_ + 1, new.n_iter_ + new.max_epochs + 1)
    )
    epochs = [batches_of_epoch(order, weight, new.batch_size) for order in orders]
    batches, shares = map(np.concatenate, zip(*epochs))
    return new, Job(new._parameters, new._n_steps, X, labels, batches, shares)


def _initial_parameters(sizes, seed):
    """Return random weights, zero intercepts and zero moments."""
    rng, parameters = np.random.default_rng([seed, 0]), []
    for n_inputs, n_outputs in pairwise(sizes):
        weights = np.zeros((3, n_outputs, n_inputs), dtype=np.float32)
        bound = np.sqrt(6 / (n_inputs + n_outputs))
        weights[0] = rng.uniform(-bound, bound, size=(n_outputs, n_inputs))
        parameters += [weights, np.zeros((3, n_outputs, 1), dtype=np.float32)]
    return parameters
