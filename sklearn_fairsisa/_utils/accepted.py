"""The containers of rows that are accepted, read into memory where they are lazy."""

from array import array
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterator, Mapping, Set
from datetime import date, time, timedelta
from enum import Enum
from itertools import chain
from numbers import Number
from os import PathLike
from pathlib import PurePath
from uuid import UUID

import numpy as np
import pandas as pd
from pandas.api.extensions import ExtensionArray
from scipy import sparse

# What a row may hold: values that cannot change, and plain containers of such.
_VALUES = (
    Number, np.generic, bytes, date, time, timedelta, Enum, UUID, PurePath,
    pd.Interval, pd.Period, type(pd.NA), type(None),
)  # fmt: skip
_MAPPINGS = {dict, OrderedDict, defaultdict, Counter}
_COLLECTIONS = {list, tuple, set, frozenset}

_ACCEPTED = (
    "a NumPy array, a SciPy sparse matrix, a pandas or polars frame or series, or a "
    "list; Dask collections and columns of Hugging Face datasets are read into memory"
)
# How what is lazy in pyarrow is read.
_ARROW_READS = "to_table", "read_all"
# How to convert what is not accepted, by the package that it comes from.
_CONVERSIONS = {
    "torch": "{name}.numpy(force=True)",
    "cupy": "{name}.get()",
    "xarray": "{name}.to_numpy()",
    "sparse": "{name}.to_scipy_sparse()",
    "h5py": "{name}[:]",
    "zarr": "{name}[:]",
    "tables": "{name}[:]",
}


def in_memory(X):
    """Return what a lazy container holds; return everything else as it is.

    Dask collections, polars' lazy frames, and the columns and tables of Hugging Face
    datasets are lazy.
    """
    package, kind = type(X).__module__.partition(".")[0], type(X).__name__
    if package in ("dask", "dask_expr") and hasattr(X, "compute"):
        return X.compute()
    if package == "polars" and kind == "LazyFrame":
        return X.collect()
    if package == "datasets" and kind == "Dataset":
        return X.to_pandas()
    if package == "datasets" and kind == "Column":
        return X[:]
    return X


def accepted(X, name="X"):
    """Return rows in memory, in a container from which rows can be taken.

    Parameters
    ----------
    X : array-like, sparse matrix, data frame, series or list of length n
    name : str, default="X"
        What to call it in errors.

    Returns
    -------
    ndarray, CSR matrix, DataFrame or Series of pandas or polars, or list
        Arrays are in the machine's own byte order, sparse matrices without duplicate
        entries. Memory may be shared with `X`.

    Raises
    ------
    TypeError
        If the container is of another kind.
    ValueError
        If an entry of a masked array is masked, or a sparse array has one dimension.

    Examples
    --------
    >>> accepted(np.array([1, 2], dtype=">i8")).dtype.isnative
    True
    >>> accepted(iter([1, 2]))
    Traceback (most recent call last):
    ...
    TypeError: X is a list_iterator, ... Give list(X).
    """
    X = in_memory(X)
    if isinstance(X, np.ndarray):
        return _plain_array(X, name)
    if sparse.issparse(X):
        return _canonical(X, name)
    if isinstance(X, pd.DataFrame):
        return _plain_frame(X, name)
    if isinstance(X, pd.MultiIndex):
        return X.to_frame(index=False)
    if isinstance(X, pd.Series | pd.Index | ExtensionArray):
        return _decoded(X if type(X) is pd.Series else pd.Series(X))
    if is_polars(X):
        return X
    if isinstance(X, list | tuple | range):
        return X if type(X) is list else list(X)
    if _is_only_an_array(X):
        return _plain_array(np.asarray(X), name)
    raise TypeError(
        f"{name} is {kind_of(X)}, but must be {_ACCEPTED}. {_conversion(X, name)}"
    )


def is_polars(X):
    """Return whether rows are a frame or a series of polars."""
    kind = type(X)
    return kind.__module__.startswith("polars") and kind.__name__ in {
        "DataFrame",
        "Series",
    }


def check_values(X, name="X"):
    """Raise TypeError where a row holds an object that other rows may be part of.

    A view of a tensor keeps all of the tensor, and a part of a document the document.

    Parameters
    ----------
    X : accepted container of rows
    name : str, default="X"
    """
    for values in _objects(X):
        if _are_known(values):
            continue
        for row, value in enumerate(values):
            stranger = _stranger(value)
            if stranger is not None:
                raise TypeError(
                    f"{name} holds {kind_of(stranger)} in row {row}, which may share "
                    "memory with other rows, so that a row could not be forgotten. "
                    "Give texts, numbers, dates, NumPy arrays, or lists, tuples, sets "
                    "and dicts of these."
                )


def _objects(X):
    """Yield the columns of Python objects in rows, as lists."""
    if isinstance(X, list):
        yield X
    elif (isinstance(X, np.ndarray) and X.dtype.hasobject) or (
        isinstance(X, pd.Series) and X.dtype == object
    ):
        yield X.tolist()
    elif isinstance(X, pd.DataFrame):
        for position in object_columns(X):
            yield X.iloc[:, position].tolist()
    elif is_polars(X):
        columns = X.get_columns() if hasattr(X, "get_columns") else [X]
        yield from (c.to_list() for c in columns if str(c.dtype) == "Object")


def object_columns(X):
    """Return the positions of the columns of Python objects of a pandas frame."""
    is_object = map(pd.api.types.is_object_dtype, X.dtypes)
    return [position for position, yes in enumerate(is_object) if yes]


def _are_known(values):
    """Return whether values are of types that need no closer look."""
    # The types are few where the rows are many.
    kinds = {*map(type, values)}
    nested = kinds & {list, tuple}
    if not all(map(_is_known, kinds - nested)):
        return False
    if not nested:
        return True
    return _are_known([*chain.from_iterable(v for v in values if type(v) in nested)])


def _is_known(kind):
    if issubclass(kind, str):
        return kind in (str, np.str_) or issubclass(kind, Enum)
    return issubclass(kind, _VALUES) and not issubclass(kind, np.void)


def _stranger(value):
    """Return an object within a value that rows may not hold, else None."""
    kind = type(value)
    if kind in _MAPPINGS:
        return _first_stranger(chain(value, value.values()))
    if kind in _COLLECTIONS or (isinstance(value, tuple) and hasattr(kind, "_fields")):
        return _first_stranger(value)
    if kind is np.ndarray:
        if value.dtype.hasobject:
            return _first_stranger(value.ravel().tolist())
        return value if value.dtype.kind == "V" else None
    return None if _is_known(kind) else value


def _first_stranger(values):
    return next((s for s in map(_stranger, values) if s is not None), None)


def _plain_array(X, name):
    if isinstance(X, np.matrix):
        raise TypeError(
            f"{name} is a np.matrix, which is not supported. Give np.asarray({name})."
        )
    if isinstance(X, np.ma.MaskedArray):
        if np.ma.is_masked(X):
            raise ValueError(
                f"{name} is a masked array with masked entries, which would be read as "
                f"if they were not. Give {name}.filled(np.nan) and an imputer, or drop "
                "these rows."
            )
        X = X.data
    if X.dtype.kind == "V":
        raise TypeError(
            f"{name} is an array of {X.dtype}, whose rows are records. Give "
            f"pd.DataFrame({name}), or an array of numbers."
        )
    if type(X) not in (np.ndarray, np.memmap):
        raise TypeError(
            f"{name} is {kind_of(X)}, a subclass of ndarray whose further properties "
            f"members would not see. Give np.asarray({name})."
        )
    X = np.asarray(X)
    if X.ndim == 0:
        raise TypeError(
            f"{name} is a single value, {X.item()!r:.40}. Give a container with one "
            "entry per row."
        )
    if X.dtype.kind == "T":
        # NumPy keeps the texts of such an array in memory that copies may share.
        return X.astype(object)
    return X if X.dtype.isnative else X.astype(X.dtype.newbyteorder("="))


def _canonical(X, name):
    if X.ndim != 2:
        raise ValueError(
            f"{name} is a sparse array of shape {X.shape}. Give one with two "
            "dimensions, a row per sample."
        )
    rows = X.tocsr()
    if rows.indices.dtype == np.int64 and max(rows.nnz, *rows.shape) < 2**31:
        # Learners that read 32 bits alone refuse what SciPy made of larger integers.
        indices = rows.indices.astype(np.int32), rows.indptr.astype(np.int32)
        rows = type(rows)((rows.data, *indices), shape=rows.shape)
    if rows.has_canonical_format:
        return rows
    # Otherwise learners would sort the entries in place.
    rows = rows.copy() if rows is X else rows
    rows.sum_duplicates()
    return rows


def _plain_frame(X, name):
    if not X.columns.is_unique:
        several = X.columns[X.columns.duplicated()][0]
        raise ValueError(
            f"{name} has several columns named {several!r}. Give each a name of its "
            f"own, as by {name}.set_axis(range({X.shape[1]}), axis=1)."
        )
    if type(X) is not pd.DataFrame:
        X = pd.DataFrame(X)
    encoded = [p for p, dtype in enumerate(X.dtypes) if _is_dictionary(dtype)]
    if encoded:
        X = X.copy(deep=False)
        for position in encoded:
            X.isetitem(position, _decoded(X.iloc[:, position]))
    return X


def _is_dictionary(dtype):
    """Return whether a column of Arrow's refers to a dictionary of all its values."""
    arrow = getattr(dtype, "pyarrow_dtype", None)
    return (
        arrow is not None
        and hasattr(arrow, "value_type")
        and hasattr(arrow, "index_type")
    )


def _decoded(column):
    if not _is_dictionary(column.dtype):
        return column
    plain = column.dtype.pyarrow_dtype.value_type
    return column.astype(pd.ArrowDtype(plain))


def _is_only_an_array(X):
    """Return whether an object can be read as an array and in no other way."""
    others = ("__len__", "__getitem__", "shape")
    return hasattr(X, "__array__") and not any(hasattr(X, other) for other in others)


def kind_of(X):
    """Return the type of an object, and the package that it is from."""
    kind = type(X)
    if X is None:
        return "None"
    article = "an" if kind.__name__[0] in "aeiouAEIOU" else "a"
    package = kind.__module__.partition(".")[0]
    where = "" if package in ("builtins", "numpy", "__main__") else f" of {package}"
    return f"{article} {kind.__name__}{where}"


def _conversion(X, name):
    """Return a sentence that says how to convert what is not accepted."""
    package = type(X).__module__.partition(".")[0]
    if X is None:
        return "Give one entry per row."
    if package == "xarray" and not hasattr(X, "to_numpy"):
        return f"Give {name}.to_dataframe()."
    if package == "pyarrow":
        read = next((way for way in _ARROW_READS if hasattr(X, way)), None)
        return f"Give {name}.{f'{read}().' if read else ''}to_pandas()."
    if package in _CONVERSIONS:
        return f"Give {_CONVERSIONS[package].format(name=name)}."
    if isinstance(X, PathLike) or (isinstance(X, str) and X.endswith(".parquet")):
        return f"Give the rows that are there, as by pd.read_parquet({name})."
    if isinstance(X, memoryview | bytearray | array):
        return f"Give np.asarray({name})."
    if isinstance(X, str | bytes | Number):
        return f"For a single sample, give [{name}]."
    if isinstance(X, Mapping):
        return f"Give pd.DataFrame({name}) where it maps names to columns."
    if isinstance(X, Set):
        return f"A set has no order: give sorted({name})."
    if hasattr(X, "__array__"):
        return f"Give np.asarray({name})."
    if hasattr(X, "__dataframe__") or hasattr(X, "__arrow_c_stream__"):
        return f"Give {name}.to_pandas(), or another frame in memory."
    if isinstance(X, Iterator) or hasattr(X, "__iter__"):
        return f"Give list({name})."
    return "Convert it first."
