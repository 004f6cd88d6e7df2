"""A transformer that is trained to classify raw texts."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from numbers import Integral, Real
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils._param_validation import HasMethods, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted
from skorch.history import History

from .._utils.devices import computes_bfloat16, pick_device
from .._utils.typing import FilePath, RandomState
from .._utils.validation import class_labels
from ._batches import tokens_per_batch
from ._cache import forget_everywhere
from ._checks import (
    COUNT,
    NOT_NEGATIVE,
    NOT_NEGATIVE_COUNT,
    POSITIVE,
    PRECISIONS,
    SIZE,
    Number,
    TextModelMixin,
    advice_on_memory,
    check_callbacks,
    check_mask,
    check_optimizer,
    class_weights,
    known_classes,
    seed_from,
    share_of_rows,
)
from ._embedder import TransformerEmbedder
from ._folders import portable
from ._loading import load_config, load_tokenizer_once
from ._logits import LogitsMixin
from ._net import SCORES, Epochs, Watched, learning_rate_factor
from ._states import FrozenSpec, states_of
from ._tokens import pad_token, tokenize
from ._training import NetworkSpec, Training
from ._trunk import check_layers, n_layers_of, width_of

if TYPE_CHECKING:
    from skorch import NeuralNetClassifier
    from skorch.callbacks import Callback
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

_FITTED = ("classes_", "max_length_", "n_truncated_", "history_", "_training")
_TEXTS_AT_A_TIME = 4096
_OPTIMIZERS = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


def _has_pretrained_trunk(classifier):
    spec = classifier._training.spec
    # The trunk of a config is random.
    return spec.n_layers is not None and isinstance(spec.model, (str, PathLike))


class TransformerClassifier(
    TextModelMixin, LogitsMixin, ClassifierMixin, BaseEstimator
):
    """Fine-tune a transformer to classify raw texts.

    A skorch net trains a sequence classifier of transformers. Texts are tokenised
    once per call, and batches hold texts of nearly equal length, so that little
    padding is needed. `partial_fit` continues where the last call ended: weights,
    optimizer and random generators are kept by pickle and deepcopy, and on a CPU a
    training that was stopped and resumed gives the same bits as one that never
    stopped.

    Training never stops early. It uses all rows, unless `watch` holds some out to draw
    a curve for the choice of `max_epochs`.

    Parameters
    ----------
    model : str, path or transformers config, default="distilbert-base-uncased"
        Name on the Hugging Face hub, local folder, or a config, which draws all
        weights at random. Both encoders (BERT) and decoders (GPT-2) are supported;
        the head of a decoder reads the last token of the text.

    tokenizer : str, path or transformers tokenizer, default=None
        By default the model's own. A config has none, so words are hashed to ids,
        which learns no vocabulary from the rows.

    text_column : str or int, default=None
        Column of a DataFrame, or of a two-dimensional array, that holds the texts.
        It is only needed if there are several columns.

    max_length : int, default=128
        Maximum number of tokens of a text; longer texts are truncated. The limit of
        the model applies too, see `max_length_`.

    batch_size : int, default=32
        Number of texts in a training batch.

    tokens_per_batch : int or "auto", default="auto"
        Number of tokens, including padding, that are computed at a time for
        predictions, watched texts and states of a trunk. "auto" is 64 on a CPU and
        16384 on a GPU. On a CPU a small network predicts many texts several times as
        fast with 512, but a single text, which fills a batch, takes longer.

    max_epochs : int, default=3
        Number of passes over the rows that `fit` and each call of `partial_fit` make.

    lr : float, default=5e-5
        Peak learning rate.

    weight_decay : float, default=0.01
        Weight decay of matrices; biases and normalisation weights do not decay.

    warmup : float, default=0.1
        Share of the steps during which the learning rate rises to `lr`.

    scheduler : {"linear", "cosine", "constant"} or callable, default="linear"
        Learning rate after the warm-up: it falls to zero along a line or half a
        cosine, or stays constant. A callable takes the progress, in [0, 1], and
        returns a factor.

    scheduler_epochs : int, default=None
        Number of epochs, counted from the first, that warm-up and `scheduler` span
        across calls. By default, each call has its own schedule, which spans its
        `max_epochs` epochs.

    optimizer : {"adamw", "sgd"} or torch optimizer class, default="adamw"

    optimizer_params : dict, default=None
        Further arguments of the optimizer, such as ``{"betas": (0.9, 0.98)}``,
        except `lr` and `weight_decay`.

    max_grad_norm : float or None, default=1.0
        Gradients with a larger norm are clipped to it.

    gradient_accumulation : int, default=1
        Number of batches per optimizer step. A step equals that of one batch as
        large as all of them together, with the memory of a single one.

    class_weight : dict, "balanced" or None, default=None
        Weight of each class in the loss. "balanced" computes the weights from the
        rows of the call.

    freeze : str, sequence of str or None, default=None
        Parts of the network's body that are not trained, named as in
        ``net_.module_.base_model``: ``["embeddings", "encoder.layer.0"]`` in a BERT,
        ``["wte", "wpe", "h.0"]`` in a GPT-2. Frozen weights are loaded once per
        process and shared by all its models. Pickles and copies leave them out.

    trainable_layers : int or None, default=None
        Number k of layers: the last k layers are trained together with the head. The
        layers below are the trunk, which stays frozen. Its outputs for the tokens of a
        text, the states, are computed once. All members share them, in training,
        replays and predictions. With 0 only the head is trained. With None, or the
        number of all layers, everything is trained, embeddings included. For BERT,
        RoBERTa, CamemBERT, XLM-RoBERTa, MPNet, DistilBERT, GPT-2, Llama, Mistral, and
        the decoders of BART, mBART, T5 and mT5. A config draws its trunk from a fixed
        seed.

    cache_dir : str or path, default=None
        Folder in which the trunk's states are also kept, in SQLite files without a size
        limit. Without it, the states used last are kept in the memory of the process,
        up to 1 GiB, and all others are computed again when they are needed.

    cache_dtype : {"float32", "float16"}, default="float32"
        Data type of the trunk's states. Half precision halves their memory; the tail
        is trained on the rounded states.

    lora : dict or None, default=None
        Arguments of peft's ``LoraConfig``, such as ``{"r": 8}``. Only small adapters,
        the head and weights that the model lacks are trained; all others are frozen,
        as with `freeze`. With `trainable_layers`, only those layers are adapted. Where
        peft has no default layers to adapt, queries and values
        are adapted in a DistilBERT, and all linear layers in other models.

    mixed_precision : {"auto", "bf16", "fp16"} or None, default="auto"
        Data type of matrix products. "auto" is bf16 on a GPU that supports it, and
        full precision elsewhere.

    device : str, default="auto"
        Device such as "cpu" or "cuda:1". "auto" is a GPU if there is one; the
        processes of a pool take the GPUs in turn.

    model_kwargs : dict, default=None
        Further arguments of transformers' ``from_pretrained``: ``gguf_file``,
        ``revision``, or values to replace in the config such as
        ``{"num_hidden_layers": 3}``. A model with Python code of its own is loaded only
        if ``trust_remote_code`` is True.

    watch : float, tuple (X, y) or None, default=None
        Texts that are scored after each epoch, see `history_`. The scores never
        influence the training. A float in (0, 1) is the share of the rows that is held
        out from training and watched instead; the seed and the positions determine
        which rows. In a :class:`~sklearn_fairsisa.SISAClassifier`, its seed and the
        row's own index or data subject determine whether a row is watched, so no
        deletion changes its role, and the share holds on average. A tuple gives other
        texts and their labels, and leaves the trained weights as they are. An ensemble
        refuses a tuple, since it could not forget these texts.

    callbacks : list of skorch callbacks, default=None
        Callbacks that watch the training, or act by a schedule or by the gradients,
        such as EpochScoring, GradientNormClipping and Freezer. They are initialised
        again by each call, and see labels as positions in `classes_`. A class of your
        own states its role: ``fairsisa_role = "watches"`` or ``"scheduled"``. Callbacks
        that load a state or steer by rows, such as LoadInitState and EarlyStopping,
        raise an error, and so does LRScheduler: use `scheduler` instead.

    random_state : int, RandomState instance or None, default=None
        Determines new weights, the order of rows and dropout. If it is another int
        than in the previous call, `partial_fit` seeds the generators with it;
        otherwise they continue. The process's own generators do not change.

    verbose : int, default=0
        1 prints a line per epoch and the number of truncated texts, and shows a
        progress bar while the trunk computes states.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels.

    max_length_ : int
        Maximum number of tokens in use.

    n_truncated_ : int
        Number of texts that the last training call truncated.

    history_ : list of dict
        ``epoch``, mean ``train_loss`` and number of trained ``rows`` of each epoch so
        far. With `watch` also ``watched_loss``, ``watched_accuracy``,
        ``watched_balanced_accuracy`` and the number of ``watched_rows``. The loss
        uses `class_weight`. Scores of no rows are NaN.

    net_ : skorch.NeuralNetClassifier
        The net.

    See Also
    --------
    TransformerEmbedder : Vectors of texts, on which any classifier can be trained.
    sklearn_fairsisa.plotting.TrainingCurveDisplay : Draws `history_`.

    Notes
    -----
    At step s of n the learning rate is ``lr * f((s + 1/2) / n)``, where f(p) = p / w
    during the warm-up p < w and g((p - w) / (1 - w)) after it, and g(q) is 1 - q for
    "linear", (1 + cos(pi q)) / 2 for "cosine", 1 for "constant".

    The logits of a text do not depend on the other texts of a call: inference runs in
    batches whose shape depends only on the text's own length.

    On a CPU, equal seeds give equal bits for equal numbers of threads
    (``torch.set_num_threads``), since the number of threads that share a sum affects
    its rounding. On a GPU, some kernels sum in no fixed order, so repeated runs agree
    in distribution only. For equal bits, call
    ``torch.use_deterministic_algorithms(True)`` and set the environment variable
    ``CUBLAS_WORKSPACE_CONFIG=:4096:8``.

    A pretrained model is assumed to have learnt nothing from your rows. If it did, in
    an earlier fine-tuning, unlearning does not remove what it learnt.

    If a training call fails or is interrupted, the estimator becomes unfitted, so that
    a half-trained network cannot be used by mistake.

    Caches of states keep BLAKE2 hashes of the texts, keyed with a random secret of each
    cache, and never the texts. States still reveal much about their text. An ensemble
    erases them with their row; otherwise call `forget_states`. Texts to predict are
    cached as well as training texts.

    References
    ----------
    .. [1] T. Wolf et al., "Transformers: State-of-the-Art Natural Language
       Processing", EMNLP 2020.
    .. [2] E. J. Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models",
       ICLR 2022.

    Examples
    --------
    >>> from transformers import BertConfig
    >>> from sklearn_fairsisa.text import TransformerClassifier
    >>> tiny = BertConfig(vocab_size=100, hidden_size=32, num_hidden_layers=1,
    ...                   num_attention_heads=2, intermediate_size=64)
    >>> texts = ["what a lovely day", "what a dreadful day"] * 16
    >>> y = ["good", "bad"] * 16
    >>> clf = TransformerClassifier(tiny, max_epochs=5, batch_size=4, lr=1e-2,
    ...                             random_state=0)
    >>> clf.fit(texts, y).predict(["a lovely day", "a dreadful day"])
    array(['good', 'bad'], dtype='<U4')
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        **TextModelMixin._parameter_constraints,
        "batch_size": [COUNT],
        "tokens_per_batch": [SIZE, StrOptions({"auto"})],
        "max_epochs": [NOT_NEGATIVE_COUNT],
        "lr": [NOT_NEGATIVE],
        "weight_decay": [NOT_NEGATIVE],
        "warmup": [Number(Real, 0, 1, closed="left")],
        "scheduler": [StrOptions({"linear", "cosine", "constant"}), callable],
        "scheduler_epochs": [COUNT, None],
        "optimizer": [StrOptions(set(_OPTIMIZERS)), type],
        "optimizer_params": [Mapping, None],
        "max_grad_norm": [POSITIVE, None],
        "gradient_accumulation": [COUNT],
        "class_weight": [StrOptions({"balanced"}), Mapping, None],
        "freeze": [str, Sequence, None],
        "trainable_layers": [NOT_NEGATIVE_COUNT, None],
        "cache_dir": [str, PathLike, None],
        "cache_dtype": [StrOptions({"float32", "float16"})],
        "lora": [Mapping, HasMethods("to_dict"), None],
        "mixed_precision": [StrOptions({"auto", *PRECISIONS}), None],
        "watch": [Number(Real, 0, 1, closed="neither"), tuple, None],
        "callbacks": [list, tuple, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        model: FilePath | PretrainedConfig = "distilbert-base-uncased",
        *,
        tokenizer: FilePath | PreTrainedTokenizerBase | None = None,
        text_column: str | int | None = None,
        max_length: int = 128,
        batch_size: int = 32,
        tokens_per_batch: int | Literal["auto"] = "auto",
        max_epochs: int = 3,
        lr: float = 5e-5,
        weight_decay: float = 0.01,
        warmup: float = 0.1,
        scheduler: Literal["linear", "cosine", "constant"]
        | Callable[[float], float] = "linear",
        scheduler_epochs: int | None = None,
        optimizer: Literal["adamw", "sgd"] | type[torch.optim.Optimizer] = "adamw",
        optimizer_params: Mapping[str, Any] | None = None,
        max_grad_norm: float | None = 1.0,
        gradient_accumulation: int = 1,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        freeze: str | Sequence[str] | None = None,
        trainable_layers: int | None = None,
        cache_dir: FilePath | None = None,
        cache_dtype: Literal["float32", "float16"] = "float32",
        lora: Mapping[str, Any] | None = None,
        mixed_precision: Literal["auto", "bf16", "fp16"] | None = "auto",
        device: str = "auto",
        model_kwargs: Mapping[str, Any] | None = None,
        watch: float | tuple[ArrayLike, ArrayLike] | None = None,
        callbacks: Sequence[Callback] | None = None,
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.text_column = text_column
        self.max_length = max_length
        self.batch_size = batch_size
        self.tokens_per_batch = tokens_per_batch
        self.max_epochs = max_epochs
        self.lr = lr
        self.weight_decay = weight_decay
        self.warmup = warmup
        self.scheduler = scheduler
        self.scheduler_epochs = scheduler_epochs
        self.optimizer = optimizer
        self.optimizer_params = optimizer_params
        self.max_grad_norm = max_grad_norm
        self.gradient_accumulation = gradient_accumulation
        self.class_weight = class_weight
        self.freeze = freeze
        self.trainable_layers = trainable_layers
        self.cache_dir = cache_dir
        self.cache_dtype = cache_dtype
        self.lora = lora
        self.mixed_precision = mixed_precision
        self.device = device
        self.model_kwargs = model_kwargs
        self.watch = watch
        self.callbacks = callbacks
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: ArrayLike, watched: ArrayLike | None = None) -> Self:
        """Train a new network.

        Parameters
        ----------
        X : list of str, array, Series or DataFrame of n texts
            Raw texts, in the column `text_column` of a DataFrame.
        y : array-like of shape (n,)
            Labels of at least one class.
        watched : array-like of bool, shape (n,), default=None
            Which of these rows are watched instead of trained on. By default they are
            drawn, if `watch` is a share.

        Returns
        -------
        self
        """
        texts, y, watched = self._check_rows(X, y, watched)
        return self._train(texts, y, watched, np.unique(y), None)

    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        watched: ArrayLike | None = None,
    ) -> Self:
        """Continue training, with new rows or the same ones.

        `model`, `tokenizer`, `model_kwargs`, `max_length`, `optimizer`, `freeze`,
        `trainable_layers` and `lora` keep their values of the first call; other
        parameters may change between calls.

        Parameters
        ----------
        X : list of str, array, Series or DataFrame of n texts
            Raw texts, in the column `text_column` of a DataFrame.
        y : array-like of shape (n,)
            Labels.
        classes : array-like of shape (n_classes,), default=None
            All possible labels. Required in the first call, unless `y` has all of
            them.
        watched : array-like of bool, shape (n,), default=None
            Which of these rows are watched instead of trained on. By default they are
            drawn, if `watch` is a share.

        Returns
        -------
        self
        """
        texts, y, watched = self._check_rows(X, y, watched)
        training = getattr(self, "_training", None)
        if training is not None and training.generators is None:
            raise ValueError(
                "This classifier was made for serving and only predicts. Train the one "
                "that it was made of."
            )
        before = None if training is None else self.classes_
        known = known_classes(y, classes, before)
        return self._train(texts, y, watched, known, training)

    def for_serving(self) -> Self:
        """Return a copy that only predicts, and names no path of this machine.

        It lacks the state of the optimizer, callbacks, curves and a cache on disk. If
        `model` or `tokenizer` names a folder whose weights are needed, the copy
        contains the folder.

        Returns
        -------
        TransformerClassifier
        """
        check_is_fitted(self)
        served = copy.copy(self)
        training = self._training.for_serving()
        served.__dict__.update(
            _training=training,
            model=training.spec.model,
            model_kwargs=training.spec.model_kwargs or None,
            tokenizer=portable(self.tokenizer),
            cache_dir=None,
            callbacks=None,
            watch=None,
        )
        served.__dict__.pop("history_", None)
        return served

    @property
    def net_(self) -> NeuralNetClassifier:
        """The skorch net; copy its module before you change frozen weights."""
        if getattr(self, "_training", None) is None:
            raise AttributeError("There is no net_ yet. Call fit first.")
        return self._current_net()

    def __sklearn_is_fitted__(self):
        return getattr(self, "_training", None) is not None

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.non_deterministic = self.random_state is None
        return tags

    def _check_rows(self, X, y, watched):
        # scikit-learn's _fit_context does not validate a second partial_fit, before
        # which parameters may have changed.
        self._validate_params()
        texts = self._check_texts(X)
        y = class_labels(y)
        check_classification_targets(y)
        if len(texts) != len(y):
            raise ValueError(
                f"X has {len(texts)} texts and y has {len(y)} labels. Give one label "
                "for each text."
            )
        if watched is not None:
            watched = check_mask(watched, len(texts))
            if isinstance(self.watch, tuple):
                raise ValueError(
                    "watched= selects rows to watch, and watch=(X, y) gives other "
                    "rows. Give only one of them."
                )
        return texts, y, watched

    def _validate_params(self):
        if not isinstance(self.watch, Real | tuple | None):
            # The error of the constraint would print all texts.
            raise ValueError(
                f"The 'watch' parameter is a {type(self.watch).__name__}. Give a share "
                "of the rows, such as 0.1, or a tuple of texts and their labels."
            )
        super()._validate_params()
        optimizer = _OPTIMIZERS.get(self.optimizer, self.optimizer)
        check_optimizer(optimizer, self.optimizer_params or {})
        if self.freeze is not None and self.lora is not None:
            raise ValueError(
                "freeze= and lora= are both given, but lora= already freezes all other "
                "weights. Give only one of them."
            )
        if self.freeze is not None and self.trainable_layers is not None:
            raise ValueError(
                "freeze= and trainable_layers= are both given, but trainable_layers= "
                "already freezes all below these layers. Give only one of them."
            )
        check_callbacks(self.callbacks)

    def _train(self, texts, y, watched, classes, training):
        seed = seed_from(self.random_state) if training is None else training.spec.seed
        if watched is None:
            watched = share_of_rows(len(texts), self._share(), seed)
        if watched.all():
            raise ValueError(
                f"All {len(texts)} rows are watched, so there is nothing to train on. "
                "Give more rows, or watch fewer."
            )
        others = self._check_watch(classes)
        weight = self._class_weight(classes, y[~watched])
        device, precision = self._device_and_precision()
        with self._advice_on_memory():
            is_new = training is None
            if is_new:
                training = self._new_training(classes, device, seed)
            training.tokenizer = self._tokenizer_of(training)
            tokens, n_truncated = self._tokens(training, texts)
            if self.verbose and n_truncated:
                print(
                    f"{n_truncated} of {len(texts)} texts are longer than "
                    f"{training.max_length} tokens and were truncated."
                )
            labels = np.searchsorted(classes, y).astype(np.int64)
            trained, held_out = (
                (tokens.take(rows), labels[rows])
                for rows in (np.flatnonzero(~watched), np.flatnonzero(watched))
            )
            if others is not None:
                others = self._tokens(training, others[0])[0], others[1]
            elif self.watch is not None or watched.any():
                others = held_out
            before = [] if is_new else self.history_
            with self._reset_on_failure():
                net = self._net_to_train(training, before, device, precision)
                net.class_weight = weight
                records = self._run(training, net, trained, others, device)
        self.classes_ = classes
        self.max_length_ = training.max_length
        self.n_truncated_ = n_truncated
        self.history_ = [*before, *records]
        self._training = training
        return self

    def _net_to_train(self, training, before, device, precision):
        """Return the net of a training with the parameters of this call."""
        if self._is_new_seed(training):
            training.generators.reseed(int(self.random_state))
        training.random_state = self.random_state
        net = training.net(device, precision)
        net.lr = self.lr
        net.weight_decay = self.weight_decay
        net.max_grad_norm = self.max_grad_norm
        net.verbose = self.verbose
        net.callbacks = list(self.callbacks or ())
        net.initialize_callbacks()
        if len(net.history) != len(before):
            # A loaded net has no history, by which schedules count the epochs.
            net.history = _history_of(before)
        return net

    def _run(self, training, net, trained, others, device):
        """Train for `max_epochs` epochs; return a record of each."""
        n_before, pad_id = len(net.history), training.spec.pad_id
        if others is not None and len(others[1]):
            budget = tokens_per_batch(self.tokens_per_batch, device)
            net.watched = Watched(*others, pad_id, training.max_length, budget)
        epochs = Epochs(
            *trained,
            pad_id,
            self.batch_size,
            self.gradient_accumulation,
            self._rate(training.epochs),
        )
        with training.generators.in_use(device):
            net.notify("on_train_begin", X=epochs, y=None)
            # skorch's partial_fit would treat an interrupt as the end.
            net.fit_loop(epochs, epochs=self.max_epochs)
            net.notify("on_train_end", X=epochs, y=None)
        # The net must not keep the texts.
        net.watched = None
        training.epochs += self.max_epochs
        n_watched = None if others is None else len(others[1])
        return [
            _record(record, len(epochs), n_watched) for record in net.history[n_before:]
        ]

    def _share(self):
        return self.watch if isinstance(self.watch, Real) else 0.0

    def _check_watch(self, classes):
        """Return the texts and labels of ``watch=(X, y)``, or None."""
        if not isinstance(self.watch, tuple):
            return None
        if len(self.watch) != 2:
            raise ValueError(
                f"watch is a tuple of {len(self.watch)} values. Give two, the texts "
                "and their labels, or a share such as 0.1."
            )
        try:
            texts = self._check_texts(self.watch[0])
            y = class_labels(self.watch[1])
        except (TypeError, ValueError) as error:
            raise type(error)(f"watch=(X, y) cannot be used: {error}") from None
        if y.shape != (len(texts),):
            raise ValueError(
                f"watch has {len(texts)} texts and labels of shape {y.shape}. Give one "
                "label for each text."
            )
        unknown = np.setdiff1d(y, classes)
        if unknown.size:
            raise ValueError(
                f"watch has the labels {unknown.tolist()}, which are not among the "
                f"classes {classes.tolist()}. Leave these texts out."
            )
        return texts, np.searchsorted(classes, y).astype(np.int64)

    def _tokens(self, training, texts):
        spec = training.spec
        tokens, n_truncated = tokenize(
            training.tokenizer, texts, training.max_length, spec.pad_id
        )
        if spec.n_layers is not None:
            device, precision = self._device_and_precision()
            net = training.net(device, precision)
            trunk = FrozenSpec(
                network=training.trunk,
                pad_id=spec.pad_id,
                max_length=training.max_length,
                device=device,
                tokens_per_batch=tokens_per_batch(self.tokens_per_batch, device),
                precision=precision,
                dtype=self.cache_dtype,
            )
            width = width_of(net.module_.config)
            states = states_of(
                texts,
                tokens,
                trunk,
                width,
                self.cache_dir,
                net.trunk,
                verbose=self.verbose,
            )
            tokens = replace(tokens, states=states)
        return tokens, n_truncated

    def _new_training(self, classes, device, seed):
        model_kwargs = dict(self.model_kwargs or {})
        config = load_config(self.model, model_kwargs)
        n_layers = self.trainable_layers
        if n_layers is not None:
            check_layers(config, n_layers)
            # Without a trunk, nothing is frozen.
            n_layers = None if n_layers == n_layers_of(config) else n_layers
        tokenizer, digest = load_tokenizer_once(
            self.model, model_kwargs, self.tokenizer, config
        )
        optimizer, optimizer_params = self.optimizer, dict(self.optimizer_params or {})
        if isinstance(optimizer, str):
            optimizer = _OPTIMIZERS[optimizer]
            # One pass over the memory of all weights is several times as fast.
            fused = not optimizer_params.get("foreach")
            optimizer_params = {"fused": fused, **optimizer_params}
        spec = NetworkSpec(
            model=self.model,
            model_kwargs=model_kwargs,
            labels=tuple(map(str, self._class_names(classes))),
            pad_id=pad_token(tokenizer, config),
            seed=seed,
            freeze=_names_of_parts(self.freeze),
            lora=_lora_arguments(self.lora),
            optimizer=optimizer,
            optimizer_params=optimizer_params,
            n_layers=n_layers,
        )
        training = Training(spec, tokenizer, digest, self.max_length, device)
        training.random_state = self.random_state
        return training

    def _tokenizer_of(self, training):
        if training.tokenizer is not None:
            return training.tokenizer
        spec = training.spec
        config = load_config(spec.model, spec.model_kwargs)
        tokenizer, digest = load_tokenizer_once(
            spec.model, spec.model_kwargs, self.tokenizer, config
        )
        if digest != training.tokenizer_digest:
            raise ValueError(
                f"The tokenizer of {spec.model!r} is not the one with which this "
                "model was trained. Restore it, or train again."
            )
        return tokenizer

    def forget_states(self, X: ArrayLike) -> int:
        """Remove the trunk's states of texts from memory and from `cache_dir`.

        An ensemble calls this for the rows that it forgets. The caches of other models
        and settings are included; texts that are in no cache are ignored.

        Parameters
        ----------
        X : list of str, array, Series or DataFrame of n texts
            Raw texts, in the column `text_column` of a DataFrame.

        Returns
        -------
        int
            Number of entries that were removed.
        """
        return forget_everywhere(self._check_texts(X), self.cache_dir)

    @available_if(_has_pretrained_trunk)
    def frozen_vectors(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return the vectors that the pretrained network gives for texts.

        They follow from no row that was learnt, so that all members of an ensemble
        give the same. A fair rule reads them as evidence; see
        :class:`~sklearn_fairsisa.FairEnsemblePostprocessor`. Only a classifier with a
        pretrained trunk has this method; see `trainable_layers`.

        Parameters
        ----------
        X : list of str, array, Series or DataFrame of n texts
            Raw texts, in the column `text_column` of a DataFrame.

        Returns
        -------
        ndarray of float32, shape (n, d)
            As :class:`TransformerEmbedder` gives them, of the whole network before it
            was trained.
        """
        return np.asarray(self._frozen_embedder().transform(X))

    def _network_digest(self):
        """Return a digest of what gives `frozen_vectors`."""
        return self._frozen_embedder()._network_digest()

    def _frozen_embedder(self):
        spec = self._training.spec
        return TransformerEmbedder(
            spec.model,
            tokenizer=self.tokenizer,
            text_column=self.text_column,
            max_length=self._training.max_length,
            tokens_per_batch=self.tokens_per_batch,
            cache_dir=self.cache_dir,
            device=self.device,
            model_kwargs=spec.model_kwargs or None,
            verbose=self.verbose,
        )

    def name_classes(self, names: Sequence[Any]) -> None:
        """Set the names of the classes, which training numbers from 0.

        An ensemble passes the names of the labels 0..K-1 to its members, so that the
        config of a saved network has these names.

        Parameters
        ----------
        names : sequence of K values
            Labels in the order of their positions.
        """
        self._names = tuple(names)

    def _class_names(self, classes):
        names = getattr(self, "_names", ())
        by_position = np.array_equal(classes, np.arange(len(names)))
        return names if names and by_position else classes.tolist()

    def _is_new_seed(self, training):
        return (
            isinstance(self.random_state, Integral)
            and self.random_state != training.random_state
        )

    def _rate(self, epochs_before):
        total = self.max_epochs
        if self.scheduler_epochs is not None:
            total = self.scheduler_epochs
        else:
            epochs_before = 0
        scheduler, warmup = self.scheduler, self.warmup

        def rate(epochs):
            progress = (epochs_before + epochs) / total
            return learning_rate_factor(progress, scheduler, warmup)

        return rate

    def _class_weight(self, classes, y):
        if self.class_weight is None:
            return None
        weight = class_weights(self.class_weight, classes, y)
        return torch.tensor(weight, dtype=torch.float32)

    def _device_and_precision(self):
        """Return the device and the data type of autocast."""
        device = pick_device(self.device)
        if self.mixed_precision == "auto":
            return device, torch.bfloat16 if computes_bfloat16(device) else None
        return device, PRECISIONS.get(self.mixed_precision)

    def _current_net(self):
        device, precision = self._device_and_precision()
        return self._training.net(device, precision)

    def _logits(self, X):
        check_is_fitted(self)
        texts = self._check_texts(X)
        training = self._training
        with advice_on_memory("Lower tokens_per_batch or max_length."):
            training.tokenizer = self._tokenizer_of(training)
            pad_id, length = training.spec.pad_id, training.max_length
            net = self._current_net()
            budget = tokens_per_batch(self.tokens_per_batch, net.device)
            return np.concatenate(
                [
                    net.logits(self._tokens(training, some)[0], pad_id, length, budget)
                    for some in _chunks(texts)
                ]
            )

    @contextmanager
    def _reset_on_failure(self):
        try:
            yield
        except BaseException:
            for name in _FITTED:
                self.__dict__.pop(name, None)
            raise

    def _advice_on_memory(self):
        return advice_on_memory(
            f"The device is {pick_device(self.device)!r}, with batch_size="
            f"{self.batch_size} and max_length={self.max_length}. Halve batch_size and "
            "double gradient_accumulation (the steps stay the same), reduce "
            "max_length, train only adapters with lora={'r': 8}, or use "
            "mixed_precision='bf16' on a GPU."
        )


def _chunks(texts):
    """Yield some texts at a time, so that not all of their states are held at once."""
    for start in range(0, len(texts), _TEXTS_AT_A_TIME):
        yield texts[start : start + _TEXTS_AT_A_TIME]


def _history_of(records):
    """Return a skorch history with records of epochs of earlier calls."""
    history = History()
    for record in records:
        history.new_epoch()
        for name, value in record.items():
            history.record(name, value)
    return history


def _record(record, n_rows, n_watched):
    """Return the record of an epoch from its entry in a skorch history."""
    loss = float(record["train_loss"])
    kept = {"epoch": record["epoch"], "train_loss": loss, "rows": n_rows}
    if n_watched is not None:
        kept["watched_rows"] = n_watched
        for name in SCORES:
            kept[f"watched_{name}"] = record.get(f"watched_{name}", math.nan)
    return kept


def _names_of_parts(freeze):
    """Return the value of `freeze` as a tuple of names."""
    names = (freeze,) if isinstance(freeze, str) else tuple(freeze or ())
    for name in names:
        if not isinstance(name, str):
            raise TypeError(
                f"freeze has a {type(name).__name__}. Give names of parts of the "
                "network, such as 'embeddings'."
            )
    return names


def _lora_arguments(lora):
    """Return the arguments of a LoraConfig, given as a dict or as a LoraConfig."""
    if lora is None:
        return None
    return lora.to_dict() if hasattr(lora, "to_dict") else dict(lora)
