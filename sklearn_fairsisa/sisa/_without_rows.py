"""Copies of fitted estimators for serving, in which no training row is left."""

import io
import pickle
import sys

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.pipeline import Pipeline

from .._utils.accepted import is_polars

# Base classes of scikit-learn whose fitted state is rows, or some of them.
_KEEP_ROWS = {
    "BaseLabelPropagation", "BaseLibSVM", "BinaryTree", "GaussianProcessClassifier",
    "GaussianProcessRegressor", "KNNImputer", "KernelDensity", "KernelPCA",
    "KernelRidge", "NeighborsBase", "Nystroem",
}  # fmt: skip
_LIBRARIES = ("sklearn", "cuml", "imblearn", "sklearnex", "daal4py")
# Texts shorter than this may be words of a vocabulary, and names of categories.
_LONG = 16
# Bytes of a foreign format that are compared with all rows, one by one.
_MAX_COMPARED = 2**30


class _Runs:
    """Numbers of rows one after the other, each row beginning at some place.

    Of a sparse matrix only stored numbers count. Rows without two different numbers
    that are not small integers are left out, as they may stand anywhere by chance.

    Parameters
    ----------
    numbers : ndarray of float64
    starts, stops : ndarray of int of shape (n_rows,)
    """

    def __init__(self, numbers, starts, stops):
        filled = stops > starts
        starts, stops = starts[filled], stops[filled]
        with np.errstate(invalid="ignore"):
            is_rare = np.isfinite(numbers) & (
                (numbers != np.rint(numbers)) | (np.abs(numbers) > 1000)
            )
        self.numbers = numbers
        if len(starts):
            low = np.minimum.reduceat(np.where(is_rare, numbers, np.inf), starts)
            high = np.maximum.reduceat(np.where(is_rare, numbers, -np.inf), starts)
            place = np.where(is_rare, np.arange(len(numbers)), len(numbers))
            chosen = low < high
            # The number by which a row is found must not be there by chance either.
            first = np.minimum.reduceat(place, starts)[chosen]
            starts, stops = starts[chosen], stops[chosen]
            order = np.argsort(numbers[first], kind="stable")
            self.starts, self.stops, self.first = (
                part[order] for part in (starts, stops, first)
            )
        else:
            self.starts = self.stops = self.first = np.empty(0, dtype=np.intp)
        self.keys = numbers[self.first]

    @classmethod
    def of(cls, form):
        """Return the runs of rows in any container; there may be none."""
        if isinstance(form, pd.DataFrame):
            form = form.select_dtypes("number")
            form = form.to_numpy(dtype=np.float64, na_value=np.nan)
        if sparse.issparse(form):
            form = form.tocsr()
            ends = form.indptr.astype(np.intp)
            return cls(form.data.astype(np.float64), ends[:-1], ends[1:])
        if isinstance(form, list):
            try:
                form = np.asarray(form, dtype=np.float64)
            except (TypeError, ValueError):
                form = None
        numeric = isinstance(form, np.ndarray) and form.dtype.kind in "fiu"
        if not numeric or form.ndim < 2:
            form = np.empty((0, 1))
        ends = np.arange(len(form) + 1) * int(np.prod(form.shape[1:]))
        return cls(form.astype(np.float64).ravel(), ends[:-1], ends[1:])

    def in_single_precision(self):
        """Return the runs as they are after a conversion to single precision."""
        with np.errstate(over="ignore"):
            numbers = self.numbers.astype(np.float32).astype(np.float64)
        return _Runs(numbers, self.starts, self.stops)

    def run(self, row):
        """Return the numbers of one row."""
        return self.numbers[self.starts[row] : self.stops[row]]

    def are_in(self, flat):
        """Return whether one of the runs is a part of an array of doubles."""
        for place in np.flatnonzero(np.isin(flat, self.keys)).tolist():
            low, high = (
                np.searchsorted(self.keys, flat[place], side=side)
                for side in ("left", "right")
            )
            for row in range(low, high):
                start = place - (self.first[row] - self.starts[row])
                run = self.run(row)
                if start >= 0 and np.array_equal(flat[start : start + len(run)], run):
                    return True
        return False


class HeldRows:
    """Training rows, to be looked for in the state of what learnt from them.

    Numbers are found as a run of doubles or single-precision numbers, in whatever
    array they stand, and texts as strings. Short texts are passed over, which may be
    words of a vocabulary.

    Parameters
    ----------
    forms : iterable of array, sparse matrix, data frame, series or list
        Rows as they were given, and as they reached later steps of a Pipeline.
    """

    def __init__(self, forms):
        self._runs, self._texts = [], set()
        for form in forms:
            if is_polars(form):
                form = form.to_pandas()
            self._texts.update(_long_texts(form))
            runs = _Runs.of(form)
            self._runs += [runs, runs.in_single_precision()] if len(runs.keys) else []

    def are_in_array(self, array):
        """Return whether an array of numbers has one of the rows."""
        if not self._runs or array.dtype.kind not in "fiu" or array.size < 2:
            return False
        ways = [array] if array.ndim < 2 else [array, array.T]
        for way in ways:
            flat = np.asarray(way, dtype=np.float64).ravel()
            if any(runs.are_in(flat) for runs in self._runs):
                return True
        return False

    def are_in_text(self, text):
        """Return whether a string is one of the rows, or a long one has it."""
        if len(text) < _LONG or not self._texts:
            return False
        return text in self._texts or self.are_in_bytes(text.encode())

    def are_in_bytes(self, data):
        """Return whether bytes of a foreign format have one of the rows.

        Of many bytes and many rows, some rows are looked for.
        """
        if len(data) < _LONG:
            return False
        needles = [text.encode() for text in self._texts]
        for runs, kind in zip(self._runs, (np.float64, np.float32) * len(self._runs)):
            needles += [
                runs.run(row).astype(kind).tobytes() for row in range(len(runs.keys))
            ]
        n_compared = max(1, _MAX_COMPARED // len(data))
        if len(needles) > n_compared:
            chosen = np.random.default_rng(0).permutation(len(needles))[:n_compared]
            needles = [needles[i] for i in chosen]
        return any(needle in data for needle in needles)


def _long_texts(form):
    values = form
    if isinstance(form, np.ndarray):
        values = form.ravel().tolist() if form.dtype.kind in "OU" else ()
    elif isinstance(form, pd.DataFrame):
        values = ()
    elif not isinstance(form, list | pd.Series):
        return ()
    return [v for v in values if isinstance(v, str) and len(v) >= _LONG and " " in v]


def forms_of(member, X):
    """Return rows as they were given, and as they reach the steps of a Pipeline."""
    forms = [X]
    if isinstance(member, Pipeline):
        for _, step in member.steps[:-1]:
            if not (step in (None, "passthrough") or hasattr(step, "fit_resample")):
                forms.append(step.transform(forms[-1]))
    return forms


def without_rows(value, rows=None, what="The estimator"):
    """Return a copy of a fitted object that predicts alike and holds no training row.

    A part with a method ``for_serving`` is replaced by what that returns: a copy
    without what only training needs.

    Parameters
    ----------
    value : object
        It can be pickled.
    rows : HeldRows, default=None
        Rows that it learnt from.
    what : str, default="The estimator"
        How errors call it.

    Raises
    ------
    ValueError
        If it holds rows, or cannot be pickled.
    """
    stream = io.BytesIO()
    try:
        _Examiner(stream, rows, what).dump(value)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            f"{what} cannot be pickled, so it cannot be served: {error} Functions have "
            "to be defined by name in a module."
        ) from error
    return pickle.loads(stream.getvalue())


class _Examiner(pickle.Pickler):
    """A pickler that refuses what holds rows, and drops what only training needs."""

    def __init__(self, stream, rows, what):
        super().__init__(stream, protocol=5)
        self._rows = HeldRows(()) if rows is None else rows
        self._what = what
        self._reduced = []  # copies that need no further treatment
        self._owner = ""

    def persistent_id(self, value):
        self._check_type(value)
        if hasattr(value, "get_params") and not isinstance(value, type):
            self._owner = type(value).__name__
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(value, torch.Tensor):
            held = value.detach().cpu()
            value = held.float().numpy() if held.is_floating_point() else held.numpy()
        if isinstance(value, np.ndarray):
            found = _has_rows(value, self._rows)
        elif isinstance(value, str):
            found = self._rows.are_in_text(value)
        elif isinstance(value, bytes | bytearray):
            found = self._rows.are_in_bytes(bytes(value))
        else:
            found = False
        if found:
            owner = self._owner or type(value).__name__
            raise ValueError(
                f"{self._what} holds values of a training row in its {owner}, so it "
                "cannot be served without the row: it keeps rows, or a class of its "
                "has no more than one. Use a learner that does not keep rows, or give "
                "the shard more rows."
            )
        return

    def _check_type(self, value):
        for kind in type(value).__mro__:
            library = kind.__module__.partition(".")[0]
            if library in _LIBRARIES and kind.__name__.rstrip("_0123456789") in (
                _KEEP_ROWS
            ):
                raise ValueError(
                    f"{self._what} has a {type(value).__name__}, of which the state is "
                    "training rows, so it cannot be served without them. Serve a "
                    "learner that keeps none, such as a linear model, trees or a "
                    "neural network."
                )

    def reducer_override(self, value):
        part = not isinstance(value, type) and hasattr(value, "for_serving")
        if not part or any(value is one for one in self._reduced):
            return NotImplemented
        served = value.for_serving()
        self._reduced.append(served)
        return _itself, (served,)


def _has_rows(array, rows):
    if array.dtype.hasobject:
        return False
    if array.dtype.names is not None:
        return any(_has_rows(array[name], rows) for name in array.dtype.names)
    return rows.are_in_array(array)


def _itself(value):
    return value
