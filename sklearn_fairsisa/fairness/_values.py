"""Bytes that stand for values, whatever type and container hold them."""

from collections.abc import Mapping, Set
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from numbers import Complex, Real

import numpy as np
from scipy import sparse

# Decimal digits of a second's fraction in numpy's units of time.
_DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9, "ps": 12, "fs": 15, "as": 18}
_SECONDS = {"W": 604_800, "D": 86_400, "h": 3600, "m": 60}


def encode_numbers(rows):
    """Bytes of the non-zero entries of all rows, and where each row ends."""
    with np.errstate(over="ignore", under="ignore"):
        if sparse.issparse(rows):
            coo = rows.tocoo()
            entry = coo.row, coo.col
            value = coo.data.astype(np.float64).astype(np.float32)
            order = np.lexsort(entry[::-1])
            entry, value = (entry[0][order], entry[1][order]), value[order]
        else:
            # In two steps, as numbers round that come in a column of objects.
            rows = rows.astype(np.float64).astype(np.float32)
            entry = np.nonzero(rows)
            value = rows[entry]
    # Zeros stored in a sparse matrix, or rounded to zero, are no entries.
    kept = value != 0
    row, column, value = entry[0][kept], entry[1][kept], value[kept]
    # There are many NaNs to choose from.
    value[np.isnan(value)] = np.nan
    record = np.empty(len(value), dtype=[("column", "<i4"), ("value", "<f4")])
    record["column"], record["value"] = column, value
    ends = np.searchsorted(row, np.arange(rows.shape[0]), side="right")
    return record.tobytes(), (ends * record.itemsize).tolist()


def split_column(column):
    """Numbers of a column, zero elsewhere, and its texts, None elsewhere."""
    if column.ndim > 1:
        column = np.fromiter(column, dtype=object, count=len(column))
    if column.dtype.kind in "fiub":
        return column, None
    if column.dtype.kind == "U":
        return np.zeros(len(column)), [_encode_text(v) for v in column.tolist()]
    if column.dtype.kind in "mM":
        missing = np.isnat(column)
        numbers = np.where(missing, np.nan, 0.0)
        write = _write_times if column.dtype.kind == "M" else _write_durations
        texts = np.full(len(column), None, dtype=object)
        texts[~missing] = write(column[~missing])
        return numbers, texts.tolist()
    numbers = np.zeros(len(column))
    texts = [None] * len(column)
    for i, value in enumerate(column.tolist()):
        value = _plain(value)
        if isinstance(value, bytes):
            texts[i] = value
        else:
            numbers[i] = value
    return numbers, texts if any(text is not None for text in texts) else None


def _plain(value):
    """A number as a float, NaN if it is missing; the text of anything else as bytes."""
    if type(value) is float:  # first, since it is most frequent
        return value
    if isinstance(value, str):
        return _encode_text(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    # pandas' NA has no truth value, so its type is all there is to compare.
    if value is None or type(value).__name__ == "NAType":
        return np.nan
    # Numpy's durations are integers to it.
    if isinstance(value, date | timedelta | np.datetime64 | np.timedelta64):
        return _plain_time(value)
    if isinstance(value, Real | Decimal | np.bool_):
        return _plain_number(value)
    if isinstance(value, Complex):
        if value.imag == 0 or np.isnan(value):
            return _plain_number(value.real)
        return repr(complex(np.complex64(value))).encode()
    if isinstance(value, Mapping):
        pairs = sorted(_tagged(key) + _tagged(of) for key, of in value.items())
        return b"{%s}" % b"".join(pairs)
    if isinstance(value, Set):
        return b"{%s}" % b"".join(sorted(map(_tagged, value)))
    if isinstance(value, np.void):
        return _plain(value.item())
    if hasattr(value, "__array__"):
        value = np.asarray(value)
        if value.ndim == 0:
            return _plain(value[()])
    if isinstance(value, list | tuple | np.ndarray):
        return b"[%s]" % b"".join(map(_tagged, value))
    if hasattr(value, "closed_left"):  # pandas' intervals
        return _tagged(value.left) + _tagged(value.right) + value.closed.encode()
    if {type(value).__str__, type(value).__repr__} == {object.__str__, object.__repr__}:
        raise TypeError(
            f"A row holds a {type(value).__name__}, which has no text of its own, so "
            "that no coin follows from its value. Give numbers, texts or dates, or "
            "define its __repr__."
        )
    return _encode_text(str(value))


def _tagged(value):
    """Bytes that distinguish a number from a text, and show where it ends."""
    plain = _plain(value)
    if isinstance(plain, bytes):
        return b"t%d:%s" % (len(plain), plain)
    with np.errstate(over="ignore", under="ignore"):
        # One of the two zeros is enough.
        return b"n%r," % (float(np.float32(plain)) + 0.0)


def _encode_text(value):
    # Half a surrogate pair is no text in UTF-8, yet may come in a post.
    return value.encode(errors="surrogatepass")


def _plain_number(value):
    try:
        return float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf
    except ValueError:  # a signalling NaN among decimals
        return np.nan


def _plain_time(value):
    if value != value:
        return np.nan
    is_duration = isinstance(value, timedelta | np.timedelta64)
    if hasattr(value, "to_numpy"):  # pandas' own, to the nanosecond
        value = value.to_numpy()
    elif isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    one = np.array([value], dtype="m8" if is_duration else "M8")
    return (_write_durations if is_duration else _write_times)(one)[0]


def _write_times(times):
    """Instants as ISO texts of nine decimals, or more where the unit is finer."""
    unit, _ = np.datetime_data(times.dtype)
    digits = _DIGITS.get(unit, 0)
    if digits:
        # Numpy itself knows no seconds in attoseconds.
        counts = times.astype(f"M8[{unit}]").astype(np.int64)
        seconds, fractions = np.divmod(counts, 10**digits)
        seconds = seconds.astype("M8[s]")
    else:
        seconds, fractions = times.astype("M8[s]"), np.zeros(len(times), dtype=np.int64)
    return [
        f"{second}.{_write_fraction(fraction, digits)}".encode()
        for second, fraction in zip(seconds.astype(str).tolist(), fractions.tolist())
    ]


def _write_fraction(fraction, digits):
    decimals = f"{fraction:0{digits}d}" if digits else ""
    return decimals[:9].ljust(9, "0") + decimals[9:].rstrip("0")


def _write_durations(durations):
    """Durations as texts of nanoseconds, or of months."""
    unit, _ = np.datetime_data(durations.dtype)
    if unit in ("Y", "M"):
        months = durations.astype("m8[M]").astype(np.int64).tolist()
        return [b"%d months" % month for month in months]
    counts = durations.astype(f"m8[{unit}]").astype(np.int64).tolist()
    finest = 10 ** (18 - _DIGITS.get(unit, 0)) * _SECONDS.get(unit, 1)
    texts = []
    for count in counts:
        whole, rest = divmod(count * finest, 10**9)
        texts.append(f"{whole}.{rest:09d}".rstrip("0").rstrip(".").encode())
    return texts
