"""Rows that are read in batches: memory maps, Parquet files and Arrow tables."""

import copy
import mmap
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from .accepted import accepted

# Most bytes of a batch. Few batches are in memory at a time.
_BATCH_BYTES = 2**25
_ARROW = {"Table", "RecordBatch", "Dataset", "FileSystemDataset", "InMemoryDataset",
          "UnionDataset"}  # fmt: skip


class Source:
    """Rows that are read in batches.

    Attributes
    ----------
    shape : tuple of int
        Number of rows, and of what each has.
    row_bytes : int
        About the bytes of a row in memory.
    head : container
        The first row.
    """

    shape: tuple[int, ...]
    row_bytes: int
    _cast: Callable[[Any], Any] | None = None

    def __len__(self):
        return self.shape[0]

    def cast(self, cast):
        """Return the rows in other types, those that a function gives each batch."""
        other = copy.copy(self)
        other._cast = cast
        return other

    def batches(self, n_bytes):
        """Yield the position of the first row of each batch, and its rows.

        Parameters
        ----------
        n_bytes : int
            About the size of a batch, which is at most `_BATCH_BYTES`.
        """
        n_rows = max(1, min(n_bytes, _BATCH_BYTES) // self.row_bytes)
        for start, rows in self._batches(n_rows):
            # An empty file, and one of which a filter leaves nothing, is a batch too.
            if len(rows):
                yield start, rows if self._cast is None else self._cast(rows)


class ArraySource(Source):
    """The rows of an array of numbers, which may be mapped to a file.

    Parameters
    ----------
    X : ndarray of shape (n_rows, ...)
    """

    def __init__(self, X):
        self._X = X
        self.shape = X.shape
        self.row_bytes = max(1, X.itemsize * int(np.prod(X.shape[1:])))
        self.head = X[:1]

    def in_memory(self):
        """Return all rows."""
        return self._X

    def _batches(self, n_rows):
        for start in range(0, len(self), n_rows):
            yield start, accepted(self._X[start : start + n_rows])
            drop_pages(self._X)


class ArrowSource(Source):
    """The rows of Arrow data, as the data frame that pandas would read.

    Parameters
    ----------
    dataset : pyarrow.dataset.Dataset
    columns : list of str
        Names of the features.
    """

    def __init__(self, dataset, columns):
        self._dataset, self._columns = dataset, columns
        self.shape = dataset.count_rows(), len(columns)
        self._floats = self._decided_types()
        self.head = self._frame_of(dataset.head(1, columns=columns))
        self.row_bytes = self._row_bytes()

    def _batches(self, n_rows):
        import pyarrow as pa

        start = 0
        for batch in _scanned(self._dataset, self._columns, n_rows):
            yield start, self._frame_of(pa.Table.from_batches([batch]))
            start += len(batch)

    def in_memory(self):
        """Return all rows."""
        return self._frame_of(self._dataset.to_table(columns=self._columns))

    def column(self, name):
        """Return a column by its name, as a series."""
        return self._dataset.to_table(columns=[name]).column(name).to_pandas()

    def without(self, names):
        """Return the rows without some columns."""
        left = [name for name in self._columns if name not in names]
        return ArrowSource(self._dataset, left)

    def has(self, name):
        """Return whether there is a column of a name."""
        return name in self._columns

    def _row_bytes(self):
        some = self._frame_of(self._dataset.head(1000, columns=self._columns))
        used = int(some.memory_usage(deep=True, index=False).sum())
        return max(1, used // max(1, len(some)))

    def _frame_of(self, table):
        frame = table.to_pandas()
        for name in self._floats.intersection(frame):
            frame[name] = frame[name].astype(float)
        return frame

    def _decided_types(self):
        """Return the whole numbers that are read as floats, as they may be missing.

        The schema decides, so that no row changes the type of others. What pandas
        wrote as whole numbers stays so.

        Raises
        ------
        TypeError
            If a value is missing for which others would change their type.
        """
        schema = self._dataset.schema
        whole = {name for name in self._columns if _is_whole(schema.field(name).type)}
        floats = {n for n in whole if schema.field(n).nullable}
        floats -= _whole_in_pandas(self._dataset)
        types = schema.empty_table().to_pandas().dtypes
        checked = [
            name
            for name in self._columns
            # Types of pandas' own have a place for missing values.
            if (name in whole - floats and isinstance(types.get(name), np.dtype))
            or _holds_whole_numbers(schema.field(name).type)
        ]
        for batch in _scanned(self._dataset, checked, 2**16) if checked else ():
            for name in checked:
                _check_no_nulls(batch.column(name), name)
        return floats


def _whole_in_pandas(dataset):
    """Return the names of the columns that pandas wrote as whole numbers everywhere.

    Where one file has a column of floats, as pandas makes it of whole numbers of which
    some are missing, it is not among them.
    """
    try:
        schemas = [one.physical_schema for one in dataset.get_fragments()]
    except ValueError:  # Fragments of filtered data are not shown.
        return set()
    return set.intersection(*map(_whole_in_pandas_metadata, [dataset.schema, *schemas]))


def _whole_in_pandas_metadata(schema):
    """Return the names of the columns that pandas wrote as whole numbers to a schema.

    What pandas noted stays when columns are selected or renamed, and names the index.
    """
    noted = {
        one.get("field_name"): one["numpy_type"]
        for one in (schema.pandas_metadata or {}).get("columns", ())
    }
    return {
        field.name
        for field in schema
        if _is_whole(field.type) and noted.get(field.name, "object") != "object"
    }


def _is_whole(kind):
    """Return whether a type is of integers or of booleans."""
    import pyarrow.types as types

    return types.is_integer(kind) or types.is_boolean(kind)


def _holds_whole_numbers(kind):
    """Return whether rows of a type are lists of integers or of booleans."""
    import pyarrow.types as types

    return hasattr(kind, "value_type") and (
        types.is_integer(kind.value_type)
        or types.is_boolean(kind.value_type)
        or _holds_whole_numbers(kind.value_type)
    )


def _check_no_nulls(values, name):
    """Raise TypeError if a whole number is missing, which changes others of its batch.

    Parameters
    ----------
    values : pyarrow.Array
        Whole numbers, or lists of them, of which the lists themselves may be missing.
    name : str
    """
    is_list = hasattr(values.type, "value_type")
    while hasattr(values, "flatten") and hasattr(values.type, "value_type"):
        values = values.flatten()
    if values.null_count:
        held = "lists with missing integers or booleans" if is_list else "a null"
        remedy = "Cast it to lists of floats" if is_list else "Cast it to floats"
        raise TypeError(
            f"Column {name!r} of X holds {held}, for which others of the same batch "
            f"would change their type. {remedy}, or fill them."
        )


def _scanned(dataset, columns, n_rows):
    """Yield the batches of a data set in the order of its rows, one at a time."""
    return dataset.to_batches(
        columns=columns,
        batch_size=n_rows,
        batch_readahead=1,
        fragment_readahead=1,
        use_threads=False,
    )


def source_of(X):
    """Return a source of rows that are not a container in memory; None for others.

    Parameters
    ----------
    X : object
        A memory map of numbers or a view of one, the path of a Parquet file or folder,
        a list of such paths that are no texts, or a table or data set of pyarrow.

    Returns
    -------
    ArraySource, ArrowSource or None
    """
    if _map_of(X) is not None and X.ndim and X.dtype.kind in "biufc":
        return ArraySource(X)
    if _is_arrow(X):
        return _arrow_source(X)
    if isinstance(X, PathLike) or (isinstance(X, str) and _looks_like_path(X)):
        return _arrow_source([X])
    if isinstance(X, list) and X and all(isinstance(one, PathLike) for one in X):
        return _arrow_source(X)
    return None


def _looks_like_path(text):
    """Return whether a text may be a path rather than a single sample of text."""
    # A text may be longer than any name that the system accepts.
    return text.endswith((".parquet", "/")) or (
        len(text) < 4096 and Path(text).expanduser().exists()
    )


def _is_arrow(X):
    kind = type(X)
    return kind.__module__.partition(".")[0] == "pyarrow" and kind.__name__ in _ARROW


def _arrow_source(X):
    try:
        import pyarrow as pa
        import pyarrow.dataset as ds
    except ImportError:
        raise ImportError("Reading Parquet files needs pyarrow: install it.") from None

    if isinstance(X, list):
        dataset = _dataset_of_paths(X)
    else:
        X = pa.Table.from_batches([X]) if isinstance(X, pa.RecordBatch) else X
        dataset = X if isinstance(X, ds.Dataset) else ds.dataset(X)
    coded = [f.name for f in dataset.schema if pa.types.is_dictionary(f.type)]
    if coded:
        raise TypeError(
            f"Column {coded[0]!r} of X is a dictionary, of which each batch lists "
            "other values. Cast it to the type of its values."
        )
    return ArrowSource(dataset, list(dataset.schema.names))


def _dataset_of_paths(paths):
    import pyarrow.dataset as ds

    paths = [Path(path).expanduser() for path in paths]
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(
                f"X is the path {str(path)!r}, where nothing is. Give the path of a "
                "Parquet file or folder; for a single sample, give [X]."
            )
    parts = list(map(_dataset_of_path, paths))
    return parts[0] if len(parts) == 1 else ds.dataset(parts)


def _dataset_of_path(path):
    """Return the data set of a file, or of a folder with the columns of its names."""
    import pyarrow.dataset as ds

    if not path.is_dir():
        return ds.dataset(path, format="parquet")
    dataset = ds.dataset(path, format="parquet", partitioning="hive")
    for fragment in dataset.get_fragments():
        more = set(fragment.physical_schema.names).difference(dataset.schema.names)
        if more:
            raise ValueError(
                f"{fragment.path} has the column {min(more)!r}, which the first file "
                f"of {path} lacks, so that its values would be left out. Give all "
                "files the same columns, or a list of their paths to fill what lacks."
            )
    return dataset


def drop_pages(array):
    """Give back the memory of a file that an array is mapped to; it is read again."""
    array = _map_of(array)
    # Changes of a private map are nowhere else.
    if array is not None and array.mode != "c" and hasattr(mmap, "MADV_DONTNEED"):
        array._mmap.madvise(mmap.MADV_DONTNEED)


def _map_of(array):
    """Return the memory map that an array is a view of, None if it is of none."""
    while type(array) in (np.ndarray, np.memmap):
        if getattr(array, "_mmap", None) is not None:
            return array
        array = array.base
    return None
