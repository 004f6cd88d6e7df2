"""The rows that a deletion request names."""

from collections.abc import Hashable, Iterator, Set
from contextlib import suppress
from functools import partial
from itertools import chain
from numbers import Integral, Real

import numpy as np

from .._utils.validation import check_no_mask, subject_ids
from ._plan import subject_key

# Ids of these types are equal only if the plan puts them in the same place.
_PLACED = {str, int, float}


def check_indices(indices, n_rows):
    """Return the requested row indices, sorted and without repetition.

    Parameters
    ----------
    indices : int, sequence of int, or boolean mask of shape (n_rows,)

    n_rows : int
        Number of rows ever given.

    Returns
    -------
    ndarray of int

    Raises
    ------
    ValueError
        If an index is unknown, negative or not an integer, or a mask has the wrong
        length.
    """
    index = _vector(indices)
    if index.ndim != 1:
        raise ValueError(
            f"indices must be one-dimensional, got an array of shape {index.shape}."
        )
    if index.dtype == bool:
        if len(index) != n_rows:
            raise ValueError(
                f"indices is a mask of length {len(index)}, but {n_rows} rows were "
                "given to fit and partial_fit. Pass a mask of that length, forgotten "
                "rows included, or integer indices."
            )
        return np.flatnonzero(index)
    if index.size == 0:
        return np.empty(0, dtype=np.intp)
    if index.dtype.kind not in "iu":
        wrong = [i for i in index.tolist() if not isinstance(i, Integral)]
        if not wrong and index.dtype == object:
            raise ValueError(
                f"Row {index.max()} is unknown: rows 0 to {n_rows - 1} were given to "
                "fit and partial_fit. Nothing was forgotten."
            )
        what = f"{wrong[0]!r} of type {type(wrong[0]).__name__}" if wrong else "bool"
        raise ValueError(
            f"indices must be integers, got {what}. Pass positions of rows in the "
            "order they were given to fit."
        )
    outside = index[(index < 0) | (index >= n_rows)]
    if len(outside):
        raise ValueError(
            f"Row {outside[0]} is unknown: rows 0 to {n_rows - 1} were given to fit "
            "and partial_fit. Nothing was forgotten."
        )
    return np.unique(index).astype(np.intp)


def _vector(indices):
    """Return named rows as an array, whatever holds the integers or booleans."""
    check_no_mask(indices, "indices")
    if isinstance(indices, Set | range | Iterator):
        indices = list(indices)
    try:
        index = np.atleast_1d(np.asarray(indices))
    except ValueError:
        raise ValueError(
            "indices holds lists of several lengths. Give one list of integers."
        ) from None
    if index.dtype == object:
        values = index.ravel().tolist()
        if all(isinstance(value, bool | np.bool_) for value in values):
            return index.astype(bool)
        if all(isinstance(value, Integral) for value in values):
            with suppress(OverflowError):
                return index.astype(np.int64)
    return index


def check_rows_to_amend(indices, n_given):
    """Return indices of rows to correct, in the order given.

    Parameters
    ----------
    indices : int or array-like of int
    n_given : int
        Number of rows with the values to put in place.

    Raises
    ------
    ValueError
        If they are not integers, name a row twice, or differ in number from the values.
    """
    index = _vector(indices)
    if not index.size:
        raise ValueError("Nothing to correct was named. Give indices of rows.")
    if index.ndim != 1 or (index.dtype.kind not in "iu" and index.size):
        raise ValueError(
            f"indices must be a list of integers, got {index.dtype} of shape "
            f"{index.shape}. Give the position of each row of X. Nothing was changed."
        )
    if len(index) != n_given:
        raise ValueError(
            f"{len(index)} indices and {n_given} rows of X were given. Give the values "
            "of each row once. Nothing was changed."
        )
    values, times = np.unique(index, return_counts=True)
    if (times > 1).any():
        raise ValueError(
            f"Row {values[times > 1][0]} is named more than once. Give its values "
            "once. Nothing was changed."
        )
    return index.astype(np.intp)


def amended_codes(state, index, labels):
    """Return the codes of corrected labels, after checking that the rows exist.

    Parameters
    ----------
    state : State
    index : ndarray of int
    labels : ndarray of the same length

    Raises
    ------
    ValueError
        If a row is unknown or was forgotten, or a label is not a class of the ensemble.
    """
    check_indices(index, state.plan.n_rows)
    forgotten = np.intersect1d(index, state.forgotten)
    if len(forgotten):
        raise ValueError(
            f"Row {forgotten[0]} was forgotten, so it has no values to correct. "
            "Nothing was changed."
        )
    known = state.classes.tolist()
    unknown = [label for label in labels.tolist() if label not in known]
    if unknown:
        raise ValueError(
            f"y holds {unknown[0]!r}, but the classes are {known}. Give labels out of "
            "these; add rows of another class with partial_fit. Nothing was changed."
        )
    return np.searchsorted(state.classes, labels)


def check_shards(shards, plan):
    """Return requested shards as a list of int.

    Parameters
    ----------
    shards : int or array-like of int
    plan : Plan

    Raises
    ------
    ValueError
        If a shard is unknown or not an integer.
    """
    check_no_mask(shards, "shards")
    given = np.atleast_1d(np.asarray(shards, dtype=object)).tolist()
    for shard in given:
        known = isinstance(shard, Integral) and 0 <= shard < plan.n_shards
        if isinstance(shard, bool | np.bool_) or not known:
            raise ValueError(
                f"There is no shard {shard!r}: shards are numbered from 0 to "
                f"{plan.n_shards - 1}. Nothing was done."
            )
    return [int(shard) for shard in given]


def check_visits(visits):
    """Raise a ValueError unless a limit of sample visits is a number or None."""
    if visits is not None and not (isinstance(visits, Real) and visits >= 0):
        raise ValueError(
            f"max_sample_visits={visits!r} is no number of visits. Give an integer, or "
            "None for no limit."
        )


def requested_rows(state, indices, subjects):
    """Return the rows that a request names, and the keys of their data subjects.

    Parameters
    ----------
    state : State
    indices : int, sequence of int, boolean mask or None
    subjects : array-like of data-subject ids or None

    Returns
    -------
    rows : ndarray of int
        Sorted indices of rows, without those that are forgotten already.
    keys : frozenset of int
        Keys of the data subjects that the rows belong to.

    Raises
    ------
    ValueError
        If nothing or something unknown is named.
    """
    # A request by indices alone reads no shard that it does not concern.
    has_subjects = subjects is not None and state.rows[0].any_block.subjects is not None
    rows = asked_rows(
        indices,
        subjects,
        state.plan.n_rows,
        partial(_rows_of_subjects, state) if has_subjects else None,
    )
    keys = frozenset(
        subject_key(subject, state.salt) for subject in state.subjects_of(rows)
    )
    return np.setdiff1d(rows, state.forgotten), keys


def asked_rows(indices, subjects, n_rows, rows_of_subjects):
    """Return the rows that a request names by index or by data subject.

    Parameters
    ----------
    indices : int, sequence of int, boolean mask or None
    subjects : array-like of data-subject ids or None
    n_rows : int
        Number of rows ever given.
    rows_of_subjects : callable or None
        Returns the rows of a list of data-subject ids. None if ids are unknown.

    Returns
    -------
    ndarray of int
        Sorted.

    Raises
    ------
    ValueError
        If nothing or something unknown is named.
    """
    if indices is None and subjects is None:
        raise ValueError("Nothing to forget was named. Pass indices or subjects.")
    rows = check_indices([] if indices is None else indices, n_rows)
    if subjects is None:
        return rows
    if rows_of_subjects is None:
        raise ValueError(
            "fit was given no data-subject ids. Pass subjects= to fit, or name rows by "
            "their indices."
        )
    ids = check_subjects_asked(subjects)
    return np.union1d(rows, rows_of_subjects(ids)).astype(np.intp)


def check_subjects_asked(subjects):
    """Return the data-subject ids of a request as a list.

    Parameters
    ----------
    subjects : id or array-like of ids

    Returns
    -------
    list

    Raises
    ------
    ValueError
        If they have more than one dimension or are booleans.
    """
    check_no_mask(subjects, "subjects")
    if isinstance(subjects, Set | range | Iterator):
        subjects = list(subjects)
    ids = np.atleast_1d(subject_ids(subjects))
    if ids.ndim != 1 or not all(isinstance(one, Hashable) for one in ids):
        raise ValueError(
            f"subjects must be one-dimensional, got shape {ids.shape} or lists "
            "within. Give a list of data-subject ids, such as a column of a data "
            "frame. Nothing was forgotten."
        )
    # True is 1 and False is 0, so a mask would delete these two.
    if any(isinstance(subject, bool | np.bool_) for subject in ids):
        raise ValueError(
            "subjects holds booleans, which look like a mask of rows. Pass a mask as "
            "indices, and data-subject ids as subjects. Nothing was forgotten."
        )
    return ids.tolist()


def check_known_subjects(subjects, is_known):
    """Raise if some of the data subjects of a request are unknown.

    Parameters
    ----------
    subjects : list
        Their ids, which the message does not contain.
    is_known : callable
        Returns whether an id was ever given for a row.
    """
    unknown = [i for i, subject in enumerate(subjects) if not is_known(subject)]
    if not unknown:
        return
    more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
    types = ""
    for entry in unknown:
        known_id = known_as(subjects[entry], is_known)
        if known_id is not None:
            given = type(subjects[entry]).__name__
            types = (
                f" Entry {entry} is known as {type(known_id).__name__}, not as "
                f"{given}: give ids of the type that fit was given."
            )
            break
    raise ValueError(
        f"{len(unknown)} of {len(subjects)} data subjects are unknown, entries "
        f"{unknown[:10]}{more} of the request, counted from 0: no row was given for "
        f"them.{types} Nothing was forgotten."
    )


def known_as(subject, is_known):
    """Return a known id that is written like the given one, None if there is none.

    Parameters
    ----------
    subject : object
        Data-subject id, whose type may have changed on its way, as in a file.
    is_known : callable
        Returns whether an id was ever given for a row.
    """
    return next(filter(is_known, _written_alike(subject)), None)


def _written_alike(subject):
    """Yield the ids of other types that are written like an id."""
    for kind in (str, int, float):
        with suppress(ValueError, TypeError, OverflowError):
            alike = kind(subject)
            # int("0_7") and int(7.5) are 7, which is another subject.
            if str(alike) == str(subject):
                yield alike


def as_given(state, subjects):
    """Return ids with the types that they were given in, as far as they are known.

    Parameters
    ----------
    state : State
    subjects : list of str

    Returns
    -------
    list
    """
    alike = [[*_written_alike(text)] for text in subjects]
    _, known = _found(state, set(chain.from_iterable(alike)))
    lost = [some for some in alike if not known.intersection(some)]
    if lost:
        known |= _found(state, set(chain.from_iterable(lost)), anywhere=True)[1]
    return [
        next((one for one in some if one in known), text)
        for text, some in zip(subjects, alike)
    ]


def n_erased(state, subjects):
    """Return how many ids are of people whose rows were erased, and not given since.

    Parameters
    ----------
    state : State
    subjects : list
        Data-subject ids, whose type may have changed on its way, as in a file.

    Returns
    -------
    int

    Notes
    -----
    Rows are only read if an id is of somebody whose rows were erased.
    """
    forgotten, candidates = state.forgotten_subjects, []
    for subject in subjects:
        ids = [subject, *_written_alike(subject)]
        was_forgotten = [subject_key(one, state.salt) in forgotten for one in ids]
        if any(was_forgotten):
            candidates.append([*zip(ids, was_forgotten)])
    rows, retained = [], set()
    looked_for = {one for pairs in candidates for one, _ in pairs}
    for piece in state.pieces if candidates else ():
        _look_through(piece, looked_for, rows, retained)
    # The first id that was ever given is the person's.
    firsts = (
        next(one for one, was in pairs if was or one in retained)
        for pairs in candidates
    )
    return sum(first not in retained for first in firsts)


def _rows_of_subjects(state, subjects):
    """Return the rows of a list of data subjects; raise if one is unknown."""
    rows, known = _found(state, set(subjects))
    lost = set(subjects) - known
    if lost:
        others, more = _found(state, lost, anywhere=True)
        rows, known = rows + others, known | more
    if not known.issuperset(subjects):
        alike = set(chain.from_iterable(map(_written_alike, set(subjects) - known)))
        known |= _found(state, alike, anywhere=True)[1]
        check_known_subjects(subjects, known.__contains__)
    return rows


def _found(state, subjects, anywhere=False):
    """Return the rows of a set of data subjects, and which of them are known.

    Parameters
    ----------
    state : State
    subjects : set
    anywhere : bool, default=False
        Whether to look through all rows. Otherwise those are read among which the plan
        puts rows of such ids.
    """
    known = {
        subject
        for subject in subjects
        if subject_key(subject, state.salt) in state.forgotten_subjects
    }
    placed = set() if anywhere else {s for s in subjects if type(s) in _PLACED}
    rows, given = [], known
    for piece in state.pieces_of_subjects(placed):
        _look_through(piece, placed, rows, given)
    others = subjects - placed
    for piece in state.pieces if others else ():
        _look_through(piece, others, rows, given)
    return rows, given


def _look_through(piece, wanted, rows, given):
    """Add the rows of a piece that are of some subjects, and these subjects."""
    index, subjects = piece.rows_of(wanted)
    rows += index
    given |= subjects
