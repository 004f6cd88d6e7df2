"""Classifiers of texts and of their vectors, with or without a SISA ensemble."""

try:
    import skorch as _skorch  # noqa: F401
    import torch as _torch  # noqa: F401
    import transformers as _transformers  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"sklearn_fairsisa.text needs torch, transformers and skorch, but "
        f"{error.name or 'one of them'} cannot be imported. Install them with: "
        f'pip install "sklearn-fairsisa[text]"'
    ) from error

from ._classifier import TransformerClassifier
from ._embedder import TransformerEmbedder
from ._heads import HeadClassifier

__all__ = ["HeadClassifier", "TransformerClassifier", "TransformerEmbedder"]
