"""Rows as learners receive them: in memory that they cannot change for others."""

import copy
import re
import traceback
from contextlib import contextmanager
from itertools import chain

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.pipeline import Pipeline

from .accepted import is_polars, object_columns

# Types whose values cannot change.
_FIXED = frozenset(
    {str, bytes, bool, int, float, complex, type(None)}
    | {np.dtype(code).type for code in "?bhilqBHILQefdgFDGSUmM"}
)
# Libraries that do not write past the flag of an array.
_OBEDIENT = {"sklearn", "numpy", "scipy"}
# How libraries say that memory is read-only.
_REFUSED_WRITE = re.compile(r"read-?only|WRITEABLE|not writ(e)?able", re.IGNORECASE)


def obeys_flags(learner):
    """Return whether a learner is known to leave read-only memory as it is.

    Tensors of torch, among others, can write to read-only arrays without an error.

    Parameters
    ----------
    learner : estimator, function, or list of these
    """
    if isinstance(learner, list | tuple):
        return all(map(obeys_flags, learner))
    parts = [learner]
    if hasattr(learner, "get_params") and not isinstance(learner, type):
        parts += learner.get_params(deep=True).values()
    return all(
        _root(part) in _OBEDIENT
        for part in parts
        if (hasattr(part, "fit") or callable(part)) and not isinstance(part, type)
    )


def _root(part):
    named = part if hasattr(part, "__qualname__") else type(part)
    return (getattr(named, "__module__", None) or "").partition(".")[0]


def lent(X, learner):
    """Return rows for a learner, which cannot change `X` by changing these.

    Parameters
    ----------
    X : array, sparse matrix, data frame, series or list
    learner : estimator, function, or list of these
        Which the rows are for.

    Returns
    -------
    same type as X
        A read-only view of an array or of a sparse matrix, and of a copy if the
        learner may pass over the flag; a copy of anything else, which has no flag to
        make it read-only. Objects that can change are copied.

    Examples
    --------
    >>> from sklearn.naive_bayes import GaussianNB
    >>> X = np.zeros((2, 2))
    >>> view = lent(X, GaussianNB())
    >>> view.flags.writeable, np.shares_memory(view, X)
    (False, True)
    >>> np.shares_memory(lent(X, lambda X: X), X)
    False
    """
    if isinstance(X, np.ndarray):
        own = own_objects(X)
        return _fixed_view(own if obeys_flags(learner) else frozen(own.copy()))
    if sparse.issparse(X) and hasattr(X, "indptr"):
        parts = X.data, X.indices, X.indptr
        if not obeys_flags(learner):
            parts = tuple(frozen(part.copy()) for part in parts)
        view = type(X)(parts, shape=X.shape, copy=False)
        # The constructor may replace them.
        view.data, view.indices, view.indptr = map(
            _fixed_view, (view.data, view.indices, view.indptr)
        )
        view.has_sorted_indices = X.has_sorted_indices
        view.has_canonical_format = X.has_canonical_format
        return view
    if is_polars(X):
        return own_objects(X.clone())
    if isinstance(X, list):
        own = own_objects(X)
        return X.copy() if own is X else own
    # What is no container of rows, such as a setting, is returned as it is.
    return own_objects(X.copy()) if hasattr(X, "copy") else X


def lent_again(X, learner):
    """Return rows for one of several calls, none of which shows in the next.

    What cannot change is returned as it is.
    """
    array = X.data if sparse.issparse(X) else X
    if not isinstance(array, np.ndarray):
        return lent(X, learner)
    if array.flags.writeable:
        return X.copy()
    return X if obeys_flags(learner) else lent(X, learner)


def frozen(X):
    """Return rows that nobody else refers to, with arrays marked as read-only."""
    is_compressed = sparse.issparse(X) and hasattr(X, "indptr")
    for part in (X.data, X.indices, X.indptr) if is_compressed else (X,):
        # NumPy lets a view be marked as writeable again while its base is.
        while isinstance(part, np.ndarray):
            part.flags.writeable = False
            part = part.base
    return X


def own_objects(X):
    """Return rows in which no object that can change is shared with `X`.

    Parameters
    ----------
    X : array, data frame, series or list

    Returns
    -------
    same type as X
        `X` itself if it has no such objects.
    """
    if isinstance(X, list):
        return X if _are_fixed(X) else _own_list(X)
    if isinstance(X, np.ndarray):
        return _own_array(X) if X.dtype.hasobject else X
    if isinstance(X, pd.Series):
        return X if X.dtype != object else _own_series(X)
    if isinstance(X, pd.DataFrame):
        changed = {}
        for position in object_columns(X):
            column = X.iloc[:, position]
            own = _own_series(column)
            if own is not column:
                changed[position] = own
        if changed:
            X = X.copy(deep=False)
            for position, column in changed.items():
                X.isetitem(position, column)
        return X
    if is_polars(X):
        return _own_polars(X)
    return X


def _own_list(values):
    # Rows of numbers are the common case, and copied faster together.
    if {*map(type, values)} == {list} and _are_fixed(chain.from_iterable(values)):
        return [*map(list.copy, values)]
    return [_own(value) for value in values]


def _own_series(column):
    values = column.to_numpy()
    own = _own_array(values)
    if own is values:
        return column
    return pd.Series(own, index=column.index, name=column.name, dtype=object)


def _own_array(array):
    values = array.ravel().tolist()
    if _are_fixed(values):
        return array
    own = np.empty(len(values), dtype=object)
    # Each on its own, since NumPy would take lists for rows of an array.
    for position, value in enumerate(values):
        own[position] = _own(value)
    return own.reshape(array.shape)


def _own_polars(X):
    columns = X.get_columns() if hasattr(X, "get_columns") else [X]
    if not any(str(column.dtype) == "Object" for column in columns):
        return X
    own = [
        type(c)(c.name, [_own(value) for value in c.to_list()], dtype=c.dtype)
        if str(c.dtype) == "Object"
        else c
        for c in columns
    ]
    return X.with_columns(own) if hasattr(X, "get_columns") else own[0]


def _are_fixed(values):
    return _FIXED.issuperset(map(type, values))


def _own(value):
    kind = type(value)
    if kind in _FIXED:
        return value
    if kind is list or kind is tuple:
        # A deep copy of a list of numbers takes twenty times as long.
        return kind(value if _are_fixed(value) else map(_own, value))
    return copy.deepcopy(value)


def _fixed_view(array):
    view = array.view()
    view.flags.writeable = False
    return view


@contextmanager
def writes_named(estimator):
    """Have the error of a learner that writes to its input name it, with a remedy.

    Parameters
    ----------
    estimator : estimator
        The member; the error names the part of it that was at work.
    """
    try:
        yield
    except (ValueError, TypeError, BufferError) as error:
        if not _REFUSED_WRITE.search(str(error)):
            raise
        raise ValueError(
            f"{_at_work(error, estimator)} writes to its input, which is read-only: "
            "rows stay as they are, since other members and deletions need them. Give "
            "it copy=True if it has such a parameter; or have it work on a copy, as in "
            "X = X.copy(); or make a Pipeline with FunctionTransformer(copy.deepcopy) "
            "before it."
        ) from error


def _at_work(error, estimator):
    """Return the name of the innermost estimator that an error came from."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    owners = [frame.f_locals.get("self") for frame in frames]
    owners = [o for o in owners if hasattr(o, "get_params") and not isinstance(o, type)]
    owner = owners[-1] if owners else estimator
    name = type(owner).__name__
    steps = estimator.steps if isinstance(estimator, Pipeline) else ()
    own = [step for step, part in steps if type(part) is type(owner)]
    return f"Step {own[0]!r} ({name})" if len(own) == 1 else name
