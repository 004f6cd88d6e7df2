"""A frozen transformer that turns texts into vectors."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from hashlib import blake2b
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils._param_validation import StrOptions

from .._utils.devices import pick_device
from .._utils.typing import FilePath
from ._batches import tokens_per_batch
from ._cache import forget_everywhere
from ._checks import PRECISIONS, SIZE, TextModelMixin, advice_on_memory
from ._folders import portable, portable_arguments
from ._loading import load_config, load_tokenizer_once
from ._models import load_encoder, longest_input
from ._states import FrozenSpec, outputs_of
from ._tokens import pad_token, tokenize

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

# Maximum size of the vectors of one encoder in the memory of a process.
_MAX_BYTES = 2**28


class TransformerEmbedder(
    TextModelMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Turn texts into vectors with a frozen transformer.

    Nothing is learnt from the texts, so `fit` does nothing and classifiers of the
    vectors can forget exactly. A vector depends only on its text and on the model, not
    on other texts. Vectors are cached, so that each text is computed once.

    Parameters
    ----------
    model : str, path or transformers config, \
            default="sentence-transformers/all-MiniLM-L6-v2"
        Name on the Hugging Face hub, local folder, or a config, which draws all
        weights at random from a fixed seed. Of an encoder-decoder, such as a T5, only
        the encoder is used.

    tokenizer : str, path or transformers tokenizer, default=None
        By default the model's own. A config has none, so words are hashed to ids.

    text_column : str or int, default=None
        Column of a DataFrame, or of a two-dimensional array, that holds the texts.
        It is only needed if there are several columns.

    pooling : {"mean", "cls", "last", "max"}, default="mean"
        The vector of a text is the mean or maximum over its tokens' vectors, or the
        vector of its first or last token.

    normalize : bool, default=True
        Whether vectors are scaled to Euclidean length 1.

    max_length : int, default=256
        Maximum number of tokens of a text; longer texts are truncated.

    tokens_per_batch : int or "auto", default="auto"
        Number of tokens, including padding, that are computed at a time. "auto" is
        64 on a CPU and 16384 on a GPU.

    cache : bool, default=True
        Whether to keep vectors in the memory of this process, for all embedders with
        the same settings. At most 256 MiB are kept; the least recently used vectors go
        first. Pickles leave them out.

    cache_dir : str or path, default=None
        Folder in which vectors are also kept, in SQLite files without a size limit.
        Members of a :class:`~sklearn_fairsisa.SISAClassifier` resolve a relative path
        once, when it is fitted.

    mixed_precision : {"bf16", "fp16"} or None, default=None
        Data type of matrix products.

    device : str, default="auto"
        Device such as "cpu" or "cuda:1". "auto" is a GPU if there is one.

    model_kwargs : dict, default=None
        Further arguments of transformers' ``from_pretrained``: ``gguf_file``,
        ``revision``, or values to replace in the config. A model with Python code of
        its own is loaded only if ``trust_remote_code`` is True.

    verbose : int, default=0
        1 shows a progress bar.

    See Also
    --------
    TransformerClassifier : Trains the transformer itself.

    Notes
    -----
    With hidden states h_t and mask m_t of the tokens t, the mean is
    sum_t m_t h_t / sum_t m_t.

    The rounding of a sum depends on the number of rows, columns and cores that share
    it. Therefore texts are computed in batches whose shape depends only on their own
    length, texts are repeated to fill a batch, and on a CPU each batch is computed on
    one core. Vectors are then equal bit for bit on one machine with one version of
    torch, whatever other texts are computed or were forgotten. Between machines they
    agree up to rounding.

    Caches store vectors under BLAKE2 hashes of the texts, keyed with a random secret
    of each cache, and never the texts. A vector still reveals much about its text, so
    call `forget` for deleted texts. Texts to predict are cached as well as training
    texts; ``cache=False`` without `cache_dir` stores neither.

    References
    ----------
    .. [1] N. Reimers and I. Gurevych, "Sentence-BERT", EMNLP 2019.

    Examples
    --------
    >>> from transformers import BertConfig
    >>> from sklearn_fairsisa.text import TransformerEmbedder
    >>> tiny = BertConfig(vocab_size=100, hidden_size=16, num_hidden_layers=1,
    ...                   num_attention_heads=2, intermediate_size=32)
    >>> embedder = TransformerEmbedder(tiny)
    >>> vectors = embedder.transform(["good morning", "good night"])
    >>> vectors.shape
    (2, 16)
    >>> embedder.forget(["good night"])
    1
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        **TextModelMixin._parameter_constraints,
        "pooling": [StrOptions({"mean", "cls", "last", "max"})],
        "normalize": ["boolean"],
        "tokens_per_batch": [SIZE, StrOptions({"auto"})],
        "cache": ["boolean"],
        "cache_dir": [str, PathLike, None],
        "mixed_precision": [StrOptions(set(PRECISIONS)), None],
    }

    def __init__(
        self,
        model: FilePath | PretrainedConfig = "sentence-transformers/all-MiniLM-L6-v2",
        *,
        tokenizer: FilePath | PreTrainedTokenizerBase | None = None,
        text_column: str | int | None = None,
        pooling: Literal["mean", "cls", "last", "max"] = "mean",
        normalize: bool = True,
        max_length: int = 256,
        tokens_per_batch: int | Literal["auto"] = "auto",
        cache: bool = True,
        cache_dir: FilePath | None = None,
        mixed_precision: Literal["bf16", "fp16"] | None = None,
        device: str = "auto",
        model_kwargs: Mapping[str, Any] | None = None,
        verbose: int = 0,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.text_column = text_column
        self.pooling = pooling
        self.normalize = normalize
        self.max_length = max_length
        self.tokens_per_batch = tokens_per_batch
        self.cache = cache
        self.cache_dir = cache_dir
        self.mixed_precision = mixed_precision
        self.device = device
        self.model_kwargs = model_kwargs
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Check the parameters and the texts; there is nothing to learn.

        Parameters
        ----------
        X : list of str, array, Series or DataFrame of n texts
            Raw texts, in the column `text_column` of a DataFrame.
        y : ignored
            Present for compatibility with pipelines.

        Returns
        -------
        self
        """
        self._validate_params()
        pick_device(self.device)
        self._check_texts(X)
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return the vector of each text.

        Parameters
        ----------
        X : list of str, array, Series or DataFrame of n texts
            Raw texts, in the column `text_column` of a DataFrame.

        Returns
        -------
        ndarray of float32, shape (n, d)
        """
        self._validate_params()
        texts = self._check_texts(X)
        with advice_on_memory("Lower tokens_per_batch or max_length."):
            spec, tokens_of, forward = self._encoder()
            caches = spec.caches(self.cache_dir, _MAX_BYTES if self.cache else 0)
            vectors = outputs_of(
                texts, caches, spec, tokens_of, lambda: forward, verbose=self.verbose
            )
            return np.stack(vectors)

    def forget(self, X: ArrayLike) -> int:
        """Remove texts from all caches of this process and of `cache_dir`.

        This includes the caches of other models and settings. Texts that are in no
        cache are ignored.

        Parameters
        ----------
        X : list of str, array, Series or DataFrame of n texts
            Raw texts, in the column `text_column` of a DataFrame.

        Returns
        -------
        int
            Number of vectors that were removed.
        """
        return forget_everywhere(self._check_texts(X), self.cache_dir)

    def for_serving(self) -> Self:
        """Return a copy that names no path of this machine, and has no cache on disk.

        If `model` or `tokenizer` names a folder, the copy contains the folder.

        Returns
        -------
        TransformerEmbedder
        """
        served = copy.copy(self)
        served.__dict__.update(
            model=portable(self.model),
            tokenizer=portable(self.tokenizer),
            model_kwargs=portable_arguments(self.model_kwargs) or None,
            cache_dir=None,
        )
        return served

    @property
    def _n_features_out(self):
        return load_config(self.model, dict(self.model_kwargs or {})).hidden_size

    def __sklearn_is_fitted__(self):
        return True

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _network_digest(self):
        """Return a digest of what gives a vector, up to rounding."""
        spec, *_ = self._encoder()
        given = repr((spec.network, spec.max_length)).encode()
        return blake2b(given, digest_size=16).hexdigest()

    def _encoder(self):
        """Return what determines a vector, and functions to tokens and to vectors."""
        device = pick_device(self.device)
        model_kwargs = dict(self.model_kwargs or {})
        encoder, weights = load_encoder(self.model, model_kwargs, device)
        tokenizer, digest = load_tokenizer_once(
            self.model, model_kwargs, self.tokenizer, encoder.config
        )
        spec = FrozenSpec(
            network=(weights, digest, self.pooling, self.normalize),
            pad_id=pad_token(tokenizer, encoder.config),
            max_length=longest_input(self.max_length, tokenizer, encoder),
            device=device,
            tokens_per_batch=tokens_per_batch(self.tokens_per_batch, device),
            precision=PRECISIONS.get(self.mixed_precision),
        )

        def tokens_of(texts):
            return tokenize(tokenizer, texts, spec.max_length, spec.pad_id)[0]

        def forward(**inputs):
            states = encoder(**inputs).last_hidden_state
            vectors = pool(states, inputs["attention_mask"], self.pooling)
            return torch.nn.functional.normalize(vectors) if self.normalize else vectors

        return spec, tokens_of, forward


def pool(states, mask, how):
    """Return one vector per text from its tokens' hidden states.

    Parameters
    ----------
    states : tensor of shape (n, length, d)
    mask : tensor of int, shape (n, length)
        1 for tokens, 0 for the padding on their right.
    how : {"mean", "cls", "last", "max"}

    Returns
    -------
    tensor of float32, shape (n, d)

    Examples
    --------
    >>> states = torch.tensor([[[1.0, 0.0], [3.0, 2.0], [9.0, 9.0]]])
    >>> pool(states, torch.tensor([[1, 1, 0]]), "mean")
    tensor([[2., 1.]])
    """
    states = states.float()
    if how == "cls":
        return states[:, 0]
    if how == "last":
        return states[torch.arange(len(states)), mask.sum(dim=1) - 1]
    mask = mask.unsqueeze(2)
    if how == "max":
        return states.masked_fill(mask == 0, -torch.inf).amax(dim=1)
    return (states * mask).sum(dim=1) / mask.sum(dim=1)
