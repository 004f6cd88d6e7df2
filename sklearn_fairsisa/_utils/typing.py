"""Types of public signatures."""

from collections.abc import Callable, Iterable, Sequence
from os import PathLike
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.utils import Bunch

Rows: TypeAlias = ArrayLike | sparse.spmatrix | sparse.sparray
"""Arrays, sparse matrices, data frames and lists of texts."""

BunchOrTuple: TypeAlias = Bunch | Any
"""Depends on a flag; with ``Any``, users need no cast."""

FilePath: TypeAlias = str | PathLike[str]

SensitiveFeature: TypeAlias = (
    str | int | Sequence[str | int] | Callable[[Any], ArrayLike] | None
)

RandomState: TypeAlias = int | np.random.RandomState | None

Splits: TypeAlias = Iterable[tuple[ArrayLike, ArrayLike]]


class Estimator(Protocol):
    """An estimator that scikit-learn can clone, with any base class."""

    def get_params(self, deep: bool = True) -> dict[str, Any]: ...

    def set_params(self, **params: Any) -> Any: ...


class Splitter(Protocol):
    """A splitter for cross-validation."""

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterable[Any]: ...
