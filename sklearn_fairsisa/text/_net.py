"""A skorch net that is trained on steps of texts of similar length."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import log_softmax
from skorch import NeuralNetClassifier
from skorch.utils import TeeGenerator
from torch.nn.functional import cross_entropy, linear, pad

from ._batches import (
    autocast,
    infer,
    inference_batches,
    training_steps,
)
from ._trunk import Tail, Trunk

# Products with fewer columns are summed in an order that depends on the row's position
# in the batch: by MKL with AVX-512, inputs of up to 128 numbers and two classes.
_STEADY_COLUMNS = 4
SCORES = ("loss", "accuracy", "balanced_accuracy")
_UNSCALED = torch.amp.GradScaler("cpu", enabled=False)


@dataclass(frozen=True)
class Step:
    """An optimizer step: batches of inputs and labels, and a learning rate factor."""

    batches: list
    rate: float

    def __len__(self):
        return sum(len(labels) for _, labels in self.batches)

    def __iter__(self):
        # skorch unpacks a batch into inputs and labels.
        yield [inputs for inputs, _ in self.batches]
        yield torch.cat([labels for _, labels in self.batches])


class Epochs(torch.utils.data.IterableDataset):
    """Training data; each iteration is a new epoch.

    Parameters
    ----------
    tokens : Tokens
    labels : ndarray of int64, shape (n,)
    pad_id : int
    batch_size, accumulation : int
    rate : callable
        Returns the learning rate factor after a number of epochs.
    """

    def __init__(self, tokens, labels, pad_id, batch_size, accumulation, rate):
        self.tokens = tokens
        self.labels = torch.from_numpy(labels)
        self.pad_id = pad_id
        self.batch_size = batch_size
        self.accumulation = accumulation
        self.rate = rate
        self.n_started = 0

    def __len__(self):
        return len(self.tokens)

    def __iter__(self):
        steps = training_steps(self.tokens.lengths, self.batch_size, self.accumulation)
        epoch = self.n_started
        self.n_started += 1
        for i, rows_of_batches in enumerate(steps):
            batches = [
                (self.tokens.padded(rows, self.pad_id), self.labels[rows])
                for rows in rows_of_batches
            ]
            # In the middle of a step, no learning rate is zero.
            yield Step(batches, self.rate(epoch + (i + 0.5) / len(steps)))


class Watched(torch.utils.data.IterableDataset):
    """Texts that are scored after each epoch, in batches as for inference.

    Parameters
    ----------
    tokens : Tokens
    labels : ndarray of int64, shape (n,)
    pad_id, max_length, tokens_per_batch : int
    """

    def __init__(self, tokens, labels, pad_id, max_length, tokens_per_batch):
        self.tokens = tokens
        self.labels = torch.from_numpy(labels)
        self.pad_id = pad_id
        self.max_length = max_length
        self.tokens_per_batch = tokens_per_batch

    def __len__(self):
        return len(self.tokens)

    def __iter__(self):
        for rows, n_real, length in inference_batches(
            self.tokens.lengths, self.max_length, self.tokens_per_batch
        ):
            inputs = self.tokens.padded(rows, self.pad_id, length)
            yield Step([(inputs, self.labels[rows[:n_real]])], 0.0)


class TextNet(NeuralNetClassifier):
    """A skorch net of a transformers classifier, trained on `Epochs`.

    Its history has ``watched_loss``, ``watched_accuracy`` and
    ``watched_balanced_accuracy`` of each epoch if there are texts to watch.

    Parameters
    ----------
    precision : torch.dtype or None
        Data type of autocast; None uses that of the weights.
    weight_decay : float
    max_grad_norm : float or None
    class_weight : tensor of shape (n_classes,) or None
    watched : Watched or None
    n_layers : int or None
        Number of layers above a trunk; None if inputs are tokens without states.
    **kwargs
        Parameters of skorch's net.
    """

    def __init__(
        self,
        module,
        *,
        precision=None,
        weight_decay=0.0,
        max_grad_norm=None,
        class_weight=None,
        watched=None,
        n_layers=None,
        **kwargs,
    ):
        self.precision = precision
        self.weight_decay = weight_decay
        self.max_grad_norm = max_grad_norm
        self.class_weight = class_weight
        self.watched = watched
        self.n_layers = n_layers
        self._trunk = self._tail = None
        maps = (part for part in module.modules() if isinstance(part, torch.nn.Linear))
        for part in maps:
            if part.out_features < _STEADY_COLUMNS:
                part.register_forward_hook(_in_more_columns)
        super().__init__(module, **kwargs)

    def initialize_optimizer(self):
        # As usual, biases and normalisation weights do not decay.
        named = self.module_.named_parameters()
        # To walk through the whole network in every step would take longer than to
        # train a head.
        self._learnable = [name for name, weight in named if weight.requires_grad]
        trained = [weight for _, weight in self.get_all_learnable_params()]
        matrices = [p for p in trained if p.ndim > 1]
        others = [p for p in trained if p.ndim <= 1]
        self.optimizer_ = self.optimizer(
            [
                {"params": matrices, "weight_decay": self.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=self.lr,
            **self.get_params_for("optimizer"),
        )
        self.scaler_ = torch.amp.GradScaler(torch.device(self.device).type)
        return self

    def trunk(self):
        """Return a function from tokens to their states."""
        if self._trunk is None:
            self._trunk = Trunk(self.module_, self.n_layers)
        return self._trunk

    def _set_training(self, training=True):
        if self.n_layers is None:
            super()._set_training(training)
            return
        if self._tail is None:
            self._tail = Tail(self.module_, self.n_layers)
        self._tail.view.train(training)

    @property
    def _default_callbacks(self):
        # skorch's valid_* callbacks average over batches, which here differ in size.
        return [
            (name, callback)
            for name, callback in super()._default_callbacks
            if not name.startswith("valid_")
        ]

    def get_all_learnable_params(self):
        # Weights that other networks share are left out: a callback could change them.
        for name in self._learnable:
            yield name, self.module_.get_parameter(name)

    def on_epoch_begin(self, net, **kwargs):
        super().on_epoch_begin(net, **kwargs)
        # Loading, predicting and watching leave a network in evaluation mode.
        self._set_training(True)
        self._logits_of_watched = []

    def on_epoch_end(self, net, **kwargs):
        super().on_epoch_end(net, **kwargs)
        if self.watched is not None:
            logits, labels = zip(*self._logits_of_watched)
            scores = scores_of_logits(
                np.concatenate(logits), np.concatenate(labels), self.class_weight
            )
            for name, score in scores.items():
                self.history.record(f"watched_{name}", score)
        self._logits_of_watched = []

    def get_split_datasets(self, X, y=None, **fit_params):
        return X, self.watched

    def get_iterator(self, dataset, training=False):
        return dataset

    def infer(self, x, **fit_params):
        x = {name: tensor.to(self.device) for name, tensor in x.items()}
        with autocast(self.device, self.precision):
            network = self.module_ if self.n_layers is None else self._tail
            return network(**x, **fit_params).logits

    def train_step(self, batch, **fit_params):
        """Take an optimizer step on the mean loss of its rows.

        A step whose rows all have zero weight is skipped.
        """
        # Gradients in half precision underflow unless the loss is scaled.
        is_half = self.precision is torch.float16
        optimizer, scaler = self.optimizer_, self.scaler_ if is_half else _UNSCALED
        for i, group in enumerate(optimizer.param_groups):
            group["lr"] = self.lr * batch.rate
            group["weight_decay"] = 0.0 if i else self.weight_decay
        weight = self.class_weight
        total = len(batch)
        if weight is not None:
            total = sum(weight[labels].sum() for _, labels in batch.batches)
            if total == 0:
                skipped = self._evaluated(batch)
                self._set_training(True)
                return {"loss": total, "y_pred": skipped}
            weight, total = weight.to(self.device), total.to(self.device)

        optimizer.zero_grad(set_to_none=True)
        loss, y_pred = 0.0, []
        for inputs, labels in batch.batches:
            logits = self.infer(inputs)
            labels = labels.to(self.device)
            part = cross_entropy(logits.float(), labels, weight, reduction="sum")
            part = part / total
            scaler.scale(part).backward()
            loss = loss + part.detach()
            y_pred.append(logits.detach().float())

        scaler.unscale_(optimizer)
        self.notify(
            "on_grad_computed",
            # To look all of them up takes a tenth of a step of a small network.
            named_parameters=TeeGenerator(self.get_all_learnable_params()),
            batch=batch,
            training=True,
        )
        if self.max_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(
                [p for group in optimizer.param_groups for p in group["params"]],
                self.max_grad_norm,
            )
        scaler.step(optimizer)
        scaler.update()
        return {"loss": loss, "y_pred": torch.cat(y_pred)}

    def validation_step(self, batch, **fit_params):
        """Score a batch of watched texts, which draws no number and changes nothing."""
        logits, (_, labels) = self._evaluated(batch), batch
        self._logits_of_watched.append((logits.cpu().numpy(), labels.numpy()))
        loss = cross_entropy(logits, labels.to(self.device))
        return {"loss": loss, "y_pred": logits}

    def _evaluated(self, batch):
        """Return the logits of a step in evaluation mode, without its padding."""
        self._set_training(False)
        with torch.no_grad():
            parts = [
                self.infer(inputs)[: len(labels)].float()
                for inputs, labels in batch.batches
            ]
        return torch.cat(parts)

    def logits(self, tokens, pad_id, max_length, tokens_per_batch):
        """Return the logits of texts.

        Parameters
        ----------
        tokens : Tokens
        pad_id, max_length, tokens_per_batch : int

        Returns
        -------
        ndarray of float32, shape (n, n_classes)
        """
        self._set_training(False)
        logits = np.empty((len(tokens), len(self.classes)), dtype=np.float32)
        for rows, some in infer(
            lambda **x: self.infer(x),
            tokens,
            pad_id,
            max_length,
            self.device,
            tokens_per_batch,
        ):
            logits[rows] = some
        return logits


def _in_more_columns(part, args, output):
    """Predict with a narrow linear map as with the first columns of a wider one."""
    if part.training:
        return output
    n = part.out_features
    bias = None if part.bias is None else pad(part.bias, (0, _STEADY_COLUMNS - n))
    weight = pad(part.weight, (0, 0, 0, _STEADY_COLUMNS - n))
    return linear(*args, weight, bias)[..., :n]


def scores_of_logits(logits, labels, class_weight=None):
    """Return loss, accuracy and balanced accuracy of some texts.

    Parameters
    ----------
    logits : ndarray of float32, shape (n, n_classes)
    labels : ndarray of int, shape (n,)
    class_weight : tensor of shape (n_classes,) or None
        Weight of each class in the loss.

    Returns
    -------
    dict of str to float
        The loss is NaN if all texts have zero weight. Balanced accuracy is the mean
        recall of the classes that are present.

    Examples
    --------
    >>> scores_of_logits(np.zeros((4, 2)), np.array([0, 0, 0, 1]))
    {'loss': 0.6931471805599453, 'accuracy': 0.75, 'balanced_accuracy': 0.5}
    """
    log_probability = log_softmax(logits.astype(np.float64), axis=1)
    losses = -log_probability[np.arange(len(labels)), labels]
    weight = np.ones(len(labels))
    if class_weight is not None:
        weight = class_weight.double().numpy()[labels]
    hits = logits.argmax(axis=1) == labels
    counts = np.bincount(labels)
    recalls = np.bincount(labels, hits)[counts > 0] / counts[counts > 0]
    total = weight.sum()
    loss = weight @ losses / total if total else math.nan
    return dict(zip(SCORES, map(float, (loss, hits.mean(), recalls.mean()))))


def learning_rate_factor(progress, scheduler, warmup):
    """Return the learning rate factor at some progress of the training.

    Parameters
    ----------
    progress : float
        Share of the training that is done; it ends at 1 or more.
    scheduler : {"linear", "cosine", "constant"} or callable
        Schedule after the warm-up: falling to zero along a line or half a cosine, or
        constant. A callable takes the progress in [0, 1] and returns a factor.
    warmup : float
        Share of the training during which the learning rate rises from zero.

    Returns
    -------
    float

    Examples
    --------
    >>> [learning_rate_factor(p, "linear", 0.2) for p in (0.1, 0.2, 0.6, 1)]
    [0.5, 1.0, 0.5, 0.0]
    """
    progress = min(progress, 1.0)
    if progress < warmup:
        return progress / warmup
    left = (1 - progress) / (1 - warmup)
    if callable(scheduler):
        return scheduler(1 - left)
    if scheduler == "linear":
        return left
    if scheduler == "cosine":
        return (1 - math.cos(math.pi * left)) / 2
    return 1.0
