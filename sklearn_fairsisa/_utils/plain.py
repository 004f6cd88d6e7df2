"""Pandas containers as arrays and lists, which files of any format can hold.

A pickle of a data frame depends on the version of pandas, and skops, MLflow's format
for models, holds no data frames at all.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

_MASKED = {
    type_.__name__: type_
    for type_ in (
        pd.arrays.BooleanArray,
        pd.arrays.FloatingArray,
        pd.arrays.IntegerArray,
    )
}


class PlainStateMixin:
    """Save attributes that are pandas containers of rows in a plain form.

    Index labels of rows are not kept.
    """

    def __getstate__(self):
        return {name: to_plain(value) for name, value in vars(self).items()}

    def __setstate__(self, state):
        vars(self).update({name: from_plain(value) for name, value in state.items()})


def to_plain(value):
    """Return a data frame or series in its plain form, and anything else as it is.

    Parameters
    ----------
    value : object
        Or a dict of such.

    Returns
    -------
    object
    """
    if isinstance(value, dict):
        return {name: to_plain(one) for name, one in value.items()}
    if isinstance(value, pd.Series):
        return replace(PlainRows.of(value.to_frame(0)), series=[value.name])
    if isinstance(value, pd.DataFrame):
        return PlainRows.of(value)
    return value


def from_plain(value):
    """Return what was given to `to_plain`, except for index labels of rows.

    Parameters
    ----------
    value : object

    Returns
    -------
    object
    """
    if isinstance(value, dict):
        return {name: from_plain(one) for name, one in value.items()}
    return value.restored() if isinstance(value, PlainRows) else value


@dataclass(frozen=True)
class PlainRows:
    """A data frame, or a series as a frame of one column.

    Parameters
    ----------
    n_rows : int
    labels : PlainColumn, ndarray or object
        Labels of the columns.
    names : list
        Names of the levels of these labels.
    columns : list of PlainColumn, ndarray or object
    series : list, default=None
        The name of a series; None of a data frame.
    """

    n_rows: int
    labels: Any
    names: list
    columns: list
    series: list | None = None

    @classmethod
    def of(cls, frame):
        """Return the plain form of a frame."""
        axis = frame.columns
        many = isinstance(axis, pd.MultiIndex)
        labels = axis.tolist() if many else _plain_column(axis.to_series())
        columns = [_plain_column(column) for _, column in frame.items()]
        return cls(len(frame), labels, list(axis.names), columns)

    def restored(self):
        """Return the frame or series, whose columns of one type form a block."""
        index = pd.RangeIndex(self.n_rows)
        columns = {
            position: pd.Series(_restored_column(column), index)
            for position, column in enumerate(self.columns)
        }
        if isinstance(self.labels, list):
            labels = pd.MultiIndex.from_tuples(self.labels, names=self.names)
        else:
            labels = pd.Index(_restored_column(self.labels), name=self.names[0])
        frame = pd.DataFrame(columns, index=index).set_axis(labels, axis=1)
        if self.series is None:
            return frame
        return frame.iloc[:, 0].rename(self.series[0])


@dataclass(frozen=True)
class PlainColumn:
    """A column of one of the types that pandas adds to those of numpy.

    Parameters
    ----------
    kind : {"category", "string"} or str
        Otherwise the name of a class of masked arrays.
    values : ndarray
    details : dict
        What else the type or the column consists of.
    """

    kind: str
    values: np.ndarray
    details: dict


def _plain_column(column):
    """Return a series as a numpy array or PlainColumn, else as pandas' own array."""
    array, dtype = column.array, column.dtype
    if isinstance(dtype, np.dtype):
        return column.to_numpy()
    if isinstance(dtype, pd.CategoricalDtype):
        categories = _plain_column(dtype.categories.to_series())
        details = {"categories": categories, "ordered": dtype.ordered}
        return PlainColumn("category", np.array(array.codes), details)
    if isinstance(dtype, pd.StringDtype):
        missing = np.asarray(column.isna())
        values = column.astype(object).to_numpy(copy=True)
        values[missing] = None
        is_nan = isinstance(dtype.na_value, float)
        details = {"storage": dtype.storage} | ({"na_value": np.nan} if is_nan else {})
        return PlainColumn("string", values, details)
    kind = type(array).__name__
    if kind in _MASKED:
        missing = np.asarray(column.isna())
        values = array.to_numpy(dtype=dtype.numpy_dtype, na_value=0)
        return PlainColumn(kind, values, {"mask": missing})
    return array


def _restored_column(column):
    if not isinstance(column, PlainColumn):
        return column
    details = column.details
    if column.kind == "category":
        categories = _restored_column(details["categories"])
        dtype = pd.CategoricalDtype(categories, details["ordered"])
        return pd.Categorical.from_codes(column.values, dtype=dtype)
    if column.kind == "string":
        return pd.array(column.values, dtype=pd.StringDtype(**details))
    return _MASKED[column.kind](column.values, details["mask"])
