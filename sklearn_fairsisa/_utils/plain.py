"""Values and pandas containers in a form that files of any format can hold.

A pickle of a data frame depends on the version of pandas. skops, MLflow's format for
models, holds no data frames at all, and loses or changes values of some types.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from itertools import chain
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

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
# Types whose values every format keeps.
_KEPT = frozenset(
    {str, bytes, bool, int, float, type(None)}
    | {Decimal, Fraction, UUID, date, timedelta}
    | {np.dtype(code).type for code in "?bhilqBHILQefdgFDGUmM"}
)


class PlainStateMixin:
    """Save attributes that hold rows, or labels of rows, in a plain form.

    Index labels of rows are not kept.
    """

    def __getstate__(self):
        return {name: to_plain(value) for name, value in vars(self).items()}

    def __setstate__(self, state):
        vars(self).update({name: from_plain(value) for name, value in state.items()})


def to_plain(value):
    """Return a data frame, series, array or list in its plain form.

    Parameters
    ----------
    value : object
        Or a dict of such. Anything else is returned as it is.

    Returns
    -------
    object
    """
    if isinstance(value, dict):
        return {name: to_plain(one) for name, one in value.items()}
    if isinstance(value, pd.Series):
        name = _plain_value(value.name)
        return replace(PlainRows.of(value.to_frame(0)), series=[name])
    if isinstance(value, pd.DataFrame):
        return PlainRows.of(value)
    return _plain_value(value) if isinstance(value, list | np.ndarray) else value


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
    if isinstance(value, PlainRows | PlainValue):
        return value.restored()
    return value


@dataclass(frozen=True)
class PlainValue:
    """A value that is taken apart, since not every format keeps its type.

    Parameters
    ----------
    kind : str
        A key of `_KINDS`.
    parts : list
        Plain values, or lists of such.
    """

    kind: str
    parts: list

    def restored(self):
        """Return the value."""
        return _KINDS[self.kind].join(*map(_restored, self.parts))


@dataclass(frozen=True)
class _Kind:
    """How values of a type are taken apart, and put together again."""

    holds: Callable[[Any], bool]
    split: Callable[[Any], list]
    join: Callable[..., Any]


def _plain_value(value):
    """Return a value itself if every format keeps it, else its parts."""
    if _are_kept([value]):
        return value
    for name, kind in _KINDS.items():
        if kind.holds(value):
            return PlainValue(name, kind.split(value))
    return value


def _plain_values(values):
    return [_plain_value(value) for value in values]


def _restored(value):
    if type(value) is list:
        return [_restored(one) for one in value]
    return from_plain(value)


def _are_kept(values):
    """Return whether every format keeps values that may be in lists or tuples."""
    # The types are few where the values are many.
    kinds = {*map(type, values)}
    nested = kinds & {list, tuple}
    if np.ndarray in kinds:
        arrays = (value for value in values if type(value) is np.ndarray)
        if any(a.dtype == object and not _is_kept_vector(a) for a in arrays):
            return False
        kinds -= {np.ndarray}
    if not kinds - nested <= _KEPT:
        return False
    return not nested or _are_kept(
        [*chain.from_iterable(value for value in values if type(value) in nested)]
    )


def _is_kept_vector(array):
    # In two dimensions, skops would take lists for rows.
    return array.ndim == 1 and _are_kept(array.tolist())


def _split_mapping(value):
    factory = getattr(value, "default_factory", None)
    keys, values = map(_plain_values, (value, value.values()))
    return [type(value), factory, keys, values]


def _join_mapping(kind, factory, keys, values):
    joined = kind(factory) if issubclass(kind, defaultdict) else kind()
    for key, value in zip(keys, values):
        joined[key] = value
    return joined


def _join_array(shape, values):
    return np.fromiter(values, dtype=object, count=len(values)).reshape(shape)


def _split_member(member):
    kind = type(member)
    named = member.name in kind.__members__
    return [kind, member.name if named else None, None if named else member.value]


def _join_member(kind, name, value):
    return kind(value) if name is None else kind[name]


def _plain_zone(zone):
    """Return a time zone as a list of its kind and arguments, if they are all it is."""
    if isinstance(zone, timezone):
        return ["offset", *zone.__getinitargs__()]
    if isinstance(zone, ZoneInfo) and zone.key is not None:
        return ["file", zone.key]
    if type(zone).__module__.startswith("pytz"):
        return ["pytz", zone.zone or zone._minutes]
    return zone


def _zone(plain):
    if not isinstance(plain, list):
        return plain
    kind, *arguments = plain
    if kind == "pytz":
        import pytz

        (name,) = arguments
        return pytz.timezone(name) if isinstance(name, str) else pytz.FixedOffset(name)
    return {"offset": timezone, "file": ZoneInfo}[kind](*arguments)


def _join_timestamp(instant, zone):
    time = pd.Timestamp(instant)
    return time if zone is None else time.tz_localize("UTC").tz_convert(_zone(zone))


def _split_datetime(time):
    fields = time.timetuple()[:6]
    zone, is_dst = time.tzinfo, bool(time.tzinfo and time.dst())
    return [[*fields, time.microsecond], time.fold, _plain_zone(zone), is_dst]


def _join_datetime(fields, fold, zone, is_dst):
    zone, time = _zone(zone), datetime(*fields, fold=fold)
    if hasattr(zone, "localize"):  # of pytz, which has an object for each offset
        return zone.localize(time, is_dst=is_dst)
    return time.replace(tzinfo=zone)


def _split_time(time):
    fields = [time.hour, time.minute, time.second, time.microsecond]
    return [fields, time.fold, _plain_zone(time.tzinfo)]


def _join_time(fields, fold, zone):
    return time(*fields, fold=fold, tzinfo=_zone(zone))


def _of(*types):
    return lambda value: isinstance(value, types)


# Looked through in this order.
_KINDS = {
    "list": _Kind(_of(list), lambda value: [_plain_values(value)], list),
    "named tuple": _Kind(
        lambda value: hasattr(type(value), "_fields") and isinstance(value, tuple),
        lambda value: [type(value), _plain_values(value)],
        lambda kind, values: kind(*values),
    ),
    "tuple": _Kind(_of(tuple), lambda value: [_plain_values(value)], tuple),
    "set": _Kind(_of(set), lambda value: [_plain_values(value)], set),
    "frozenset": _Kind(_of(frozenset), lambda value: [_plain_values(value)], frozenset),
    "mapping": _Kind(_of(Mapping), _split_mapping, _join_mapping),
    "array": _Kind(
        _of(np.ndarray),
        lambda array: [array.shape, _plain_values(array.ravel().tolist())],
        _join_array,
    ),
    "enum": _Kind(_of(Enum), _split_member, _join_member),
    "NaT": _Kind(_of(type(pd.NaT)), lambda _: [], lambda: pd.NaT),
    "timestamp": _Kind(
        _of(pd.Timestamp),
        lambda time: [time.to_datetime64(), _plain_zone(time.tz)],
        _join_timestamp,
    ),
    "datetime": _Kind(_of(datetime), _split_datetime, _join_datetime),
    "time": _Kind(_of(time), _split_time, _join_time),
    "timedelta": _Kind(
        _of(pd.Timedelta), lambda value: [value.to_timedelta64()], pd.Timedelta
    ),
    "interval": _Kind(
        _of(pd.Interval),
        lambda value: [*_plain_values([value.left, value.right]), value.closed],
        pd.Interval,
    ),
    "complex": _Kind(_of(complex), lambda value: [value.real, value.imag], complex),
    "NA": _Kind(_of(type(pd.NA)), lambda _: [], lambda: pd.NA),
}


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
        labels = _plain_values(axis) if many else _plain_column(axis.to_series())
        columns = [_plain_column(column) for _, column in frame.items()]
        return cls(len(frame), labels, _plain_values(axis.names), columns)

    def restored(self):
        """Return the frame or series, whose columns of one type form a block."""
        index = pd.RangeIndex(self.n_rows)
        columns = {
            position: _typed(pd.Series, column, index=index)
            for position, column in enumerate(self.columns)
        }
        names = _restored(self.names)
        if isinstance(self.labels, list):
            labels = pd.MultiIndex.from_tuples(_restored(self.labels), names=names)
        else:
            labels = _typed(pd.Index, self.labels, name=names[0])
        frame = pd.DataFrame(columns, index=index).set_axis(labels, axis=1)
        if self.series is None:
            return frame
        return frame.iloc[:, 0].rename(_restored(self.series[0]))


@dataclass(frozen=True)
class PlainColumn:
    """A column of one of the types that pandas adds to those of numpy.

    Parameters
    ----------
    kind : {"category", "string", "zone", "period", "interval", "arrow"} or str
        Otherwise the name of a class of masked arrays.
    values : ndarray
        Of intervals the left ends; of Arrow's columns the bytes of its own format.
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
        return _plain_value(column.to_numpy())
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
    if isinstance(dtype, pd.DatetimeTZDtype):
        instants = column.dt.tz_convert(None).to_numpy()
        return PlainColumn("zone", instants, {"zone": _plain_zone(dtype.tz)})
    if isinstance(dtype, pd.PeriodDtype):
        return PlainColumn("period", array.asi8.copy(), {"name": dtype.name})
    if isinstance(dtype, pd.IntervalDtype):
        left, right = (_plain_column(pd.Series(e)) for e in (array.left, array.right))
        return PlainColumn("interval", left, {"right": right, "closed": dtype.closed})
    if isinstance(dtype, pd.ArrowDtype):
        return PlainColumn("arrow", _arrow_bytes(array), {})
    kind = type(array).__name__
    if kind in _MASKED:
        missing = np.asarray(column.isna())
        values = array.to_numpy(dtype=dtype.numpy_dtype, na_value=0)
        return PlainColumn(kind, values, {"mask": missing})
    return array


def _arrow_bytes(array):
    import pyarrow

    table = pyarrow.table({"": pyarrow.array(array)}).combine_chunks()
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return np.frombuffer(sink.getvalue(), dtype=np.uint8)


def _from_arrow_bytes(values):
    import pyarrow

    with pyarrow.ipc.open_stream(pyarrow.py_buffer(values)) as stream:
        return pd.arrays.ArrowExtensionArray(stream.read_all().column(0))


def _typed(container, column, **named):
    """Return a column as a series or an index, whose type pandas does not guess."""
    values = _restored_column(column)
    return container(values, dtype=values.dtype, **named)


def _restored_column(column):
    if not isinstance(column, PlainColumn):
        return from_plain(column)
    kind, values, details = column.kind, column.values, column.details
    if kind == "category":
        categories = _typed(pd.Index, details["categories"])
        dtype = pd.CategoricalDtype(categories, details["ordered"])
        return pd.Categorical.from_codes(values, dtype=dtype)
    if kind == "string":
        return pd.array(values, dtype=pd.StringDtype(**details))
    if kind == "zone":
        instants = pd.DatetimeIndex(values).tz_localize("UTC")
        return instants.tz_convert(_zone(details["zone"])).array
    if kind == "period":
        dtype = pd.api.types.pandas_dtype(details["name"])
        return pd.arrays.PeriodArray(values, dtype=dtype)
    if kind == "interval":
        ends = (_typed(pd.Index, end) for end in (values, details["right"]))
        return pd.arrays.IntervalArray.from_arrays(*ends, closed=details["closed"])
    if kind == "arrow":
        return _from_arrow_bytes(values)
    return _MASKED[kind](values, details["mask"])
