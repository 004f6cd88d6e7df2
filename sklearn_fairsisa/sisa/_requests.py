"""What a deletion request asks for, what it did, whether it holds."""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from numbers import Integral

import numpy as np

from ._audit import now, salted_row, versions
from ._digests import combine
from ._plan import expected_replay_cost, group_key


@dataclass(frozen=True)
class ForgetReport:
    """What one call of ``forget`` did.

    Parameters
    ----------
    rows : tuple of int
        Indices forgotten by this request; those forgotten before are left out.

    n_subjects : int
        Data subjects that these rows belonged to. Without ids each row is one.

    shards : tuple of int
        Shards that held them.

    first_slices : tuple of int
        Earliest slice touched in each of `shards`.

    sample_visits : int
        Rows trained on by the replay, counted once per pass.

    full_sample_visits : int
        What training the whole ensemble on the retained rows would have taken.

    seconds : float
        Duration of the request.

    digest_before, digest_after : str
        SHA-256 of the members' states.
    """

    rows: tuple
    n_subjects: int
    shards: tuple
    first_slices: tuple
    sample_visits: int
    full_sample_visits: int
    seconds: float
    digest_before: str
    digest_after: str


@dataclass(frozen=True)
class ForgetVerification:
    """The result of retraining shards from scratch; true where all digests agree.

    Parameters
    ----------
    shards : tuple of int
        Shards retrained.

    digests : tuple of str
        SHA-256 of the members as they stand.

    digests_retrained : tuple of str
        SHA-256 of the members retrained without the forgotten rows.

    sample_visits : int
        Rows trained on, counted once per pass.

    seconds : float
        Duration of the verification.

    audit_head : str
        Hash that stands for the audit log at the time.
    """

    shards: tuple
    digests: tuple
    digests_retrained: tuple
    sample_visits: int
    seconds: float
    audit_head: str = ""

    @property
    def differing_shards(self):
        """Shards whose member is not the one that retraining gives."""
        pairs = zip(self.shards, self.digests, self.digests_retrained)
        return tuple(shard for shard, is_, should in pairs if is_ != should)

    def __bool__(self):
        return not self.differing_shards

    def certificate(self):
        """Return a statement of the result as JSON.

        Returns
        -------
        str
            What was compared and by which versions, with the head of the audit log,
            which tells which requests had been carried out.
        """
        holds = bool(self)
        statement = (
            "Retraining these shards from scratch on the retained rows gave members "
            + ("equal bit for bit to those in use." if holds else "that differ.")
        )
        facts = {"statement": statement, "holds": holds, "time": now()}
        return json.dumps({**facts, **asdict(self), "versions": versions()}, indent=1)


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
        If an index is unknown, negative or no integer, or a mask has another length.
    """
    if isinstance(indices, set | frozenset | range):
        indices = list(indices)
    asked = np.atleast_1d(np.asarray(indices))
    if asked.ndim != 1:
        raise ValueError(
            f"indices must be one-dimensional, got an array of shape {asked.shape}."
        )
    if asked.dtype == bool:
        if len(asked) != n_rows:
            raise ValueError(
                f"A boolean mask of length {len(asked)} was given, but {n_rows} rows "
                "were ever given to fit and partial_fit. Pass a mask of that length, "
                "forgotten rows included, or integer indices."
            )
        return np.flatnonzero(asked)
    if asked.size == 0:
        return np.empty(0, dtype=np.intp)
    if asked.dtype.kind not in "iu":
        wrong = [i for i in asked.tolist() if not isinstance(i, Integral)]
        what = f"{wrong[0]!r} of type {type(wrong[0]).__name__}" if wrong else "bool"
        raise ValueError(
            f"indices must be integers, got {what}. Pass positions of rows in the "
            "order they were given to fit."
        )
    outside = asked[(asked < 0) | (asked >= n_rows)]
    if len(outside):
        raise ValueError(
            f"Row {outside[0]} is unknown: rows 0 to {n_rows - 1} were given to fit "
            "and partial_fit. Nothing was forgotten."
        )
    return np.unique(asked).astype(np.intp)


def requested_rows(state, indices, groups):
    """Find the rows that a request is about.

    Parameters
    ----------
    state : State
    indices : int, sequence of int, boolean mask or None
    groups : array-like of data-subject ids or None

    Returns
    -------
    rows : ndarray of int
        Sorted indices of rows, those among them that are forgotten already left out.
    subjects : frozenset of int
        Keys of the data subjects that the rows belong to.

    Raises
    ------
    ValueError
        If nothing is named, or something unknown is.
    """
    told = state.rows[0].groups is not None
    rows = asked_rows(
        indices,
        groups,
        state.plan.n_rows,
        partial(_rows_of_subjects, state) if told else None,
    )
    subjects = frozenset(
        group_key(subject, state.salt) for subject in state.subjects_of(rows)
    )
    return np.setdiff1d(rows, state.forgotten), subjects


def asked_rows(indices, groups, n_rows, rows_of_subjects):
    """Find the rows that a request names, by themselves or by their data subjects.

    Parameters
    ----------
    indices : int, sequence of int, boolean mask or None
    groups : array-like of data-subject ids or None
    n_rows : int
        Number of rows ever given.
    rows_of_subjects : callable or None
        Gives the rows of a list of data-subject ids. None if these are not known.

    Returns
    -------
    ndarray of int
        Sorted.

    Raises
    ------
    ValueError
        If nothing is named, or something unknown is.
    """
    if indices is None and groups is None:
        raise ValueError(
            "Nothing to forget was named. Pass indices of rows, or groups."
        )
    rows = check_indices([] if indices is None else indices, n_rows)
    if groups is None:
        return rows
    if rows_of_subjects is None:
        raise ValueError(
            "fit was not told which data subject each row belongs to. Pass "
            "groups= to fit, or name rows by their indices."
        )
    subjects = check_subjects_asked(groups)
    return np.union1d(rows, rows_of_subjects(subjects)).astype(np.intp)


def check_subjects_asked(groups):
    """Return the data-subject ids of a request as a list.

    Parameters
    ----------
    groups : id or array-like of ids

    Returns
    -------
    list

    Raises
    ------
    ValueError
        If they have more than one dimension or are booleans.
    """
    if isinstance(groups, set | frozenset | range):
        groups = list(groups)
    subjects = np.atleast_1d(np.asarray(groups, dtype=object))
    if subjects.ndim != 1:
        raise ValueError(
            f"groups must be one-dimensional, got shape {subjects.shape}. Give a list "
            "of data-subject ids, such as a column of a data frame. Nothing was "
            "forgotten."
        )
    # True is 1 and False is 0, so a mask would delete these two.
    if any(isinstance(subject, bool | np.bool_) for subject in subjects):
        raise ValueError(
            "groups holds booleans, which look like a mask of rows. Pass a mask as "
            "indices, and data-subject ids as groups. Nothing was forgotten."
        )
    return subjects.tolist()


def check_known_subjects(subjects, is_known):
    """Raise if some of the data subjects of a request are unknown.

    Parameters
    ----------
    subjects : list
        Their ids, which the message does not tell.
    is_known : callable
        Tells whether a row was ever given for an id.
    """
    unknown = [i for i, subject in enumerate(subjects) if not is_known(subject)]
    if not unknown:
        return
    more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
    types = ""
    for entry in unknown:
        meant = known_as(subjects[entry], is_known)
        if meant is not None:
            given = type(subjects[entry]).__name__
            types = (
                f" Entry {entry} is known as {type(meant).__name__}, not as {given}: "
                "give ids of the type that fit was given."
            )
            break
    raise ValueError(
        f"{len(unknown)} of {len(subjects)} data subjects are unknown, entries "
        f"{unknown[:10]}{more} of the request, counted from 0: no row was given for "
        f"them.{types} Nothing was forgotten."
    )


def known_as(subject, is_known):
    """Return an id, or what is written like it and known; None if nothing is.

    Parameters
    ----------
    subject : object
        Data-subject id, whose type may have changed on its way, as in a file.
    is_known : callable
        Tells whether a row was ever given for an id.
    """
    for kind in (str, int, float):
        with suppress(ValueError, TypeError, OverflowError):
            alike = kind(subject)
            # int("0_7") and int(7.5) are 7, who is somebody else.
            if str(alike) == str(subject) and is_known(alike):
                return alike
    return None


def known_subjects(state):
    """Return a function that tells whether rows were ever given for an id."""
    held = {group for rows in state.rows for group in rows.groups or ()}

    def is_known(subject):
        key = group_key(subject, state.salt)
        return subject in held or key in state.forgotten_subjects

    return is_known


def _rows_of_subjects(state, subjects):
    check_known_subjects(subjects, known_subjects(state))
    wanted = set(subjects)
    return [
        index
        for rows in state.rows
        for group, index in zip(rows.groups, rows.index)
        if group in wanted
    ]


def audit_facts(change, before, work, seconds):
    """Return what the audit log tells of a change that was carried out.

    Parameters
    ----------
    change : Change
    before : State
        What was changed; unused for a fit.
    work : work
        What a store began for the change, with all shards trained.
    seconds : float

    Returns
    -------
    dict
    """
    state = change.state
    plan = state.plan
    n_forgotten = n_subjects = len(change.forgotten_rows)
    if n_forgotten and before.rows[0].groups is not None:
        n_subjects = len(before.subjects_of(change.forgotten_rows))
    old, new = work.digests()
    return {
        "time": now(),
        "kind": change.kind,
        "requested_at": change.requested_at,
        "rows": [salted_row(row, state.salt) for row in change.forgotten_rows],
        "n_forgotten": n_forgotten,
        "n_subjects": n_subjects,
        "n_rows": state.n_rows,
        "shards": list(change.firsts),
        "first_slices": list(change.firsts.values()),
        "sample_visits": sum(trained.sample_visits for trained in work.results()),
        "full_sample_visits": state.full_sample_visits,
        # The rows of a subject share a slice, so subjects are what is drawn.
        "expected_share": expected_replay_cost(
            plan.n_shards, plan.n_slices, n_subjects, state.recipe.replay
        )
        if change.kind == "forget"
        else None,
        "seconds": seconds,
        "purged": work.n_purged(),
        "digest_before": combine(old),
        "digest_after": combine(new),
        "seed": plan.seed,
        "versions": versions(),
    }


def forget_report(entry, rows):
    """Return the report of a request out of its entry in the audit log."""
    names = (
        "n_subjects", "sample_visits", "full_sample_visits", "seconds",
        "digest_before", "digest_after",
    )  # fmt: skip
    return ForgetReport(
        rows=tuple(rows),
        shards=tuple(entry["shards"]),
        first_slices=tuple(entry["first_slices"]),
        **{name: entry[name] for name in names},
    )


def forget_reports(log, state):
    """Return the reports of all requests since the last fit.

    The log names rows by salted ids alone; who has the salt can tell which they are.
    """
    rows = {salted_row(row, state.salt): row for row in state.forgotten.tolist()}
    entries = list(log.entries)
    start = max(i for i, entry in enumerate(entries) if entry["kind"] == "fit")
    return [
        forget_report(entry, [rows[row] for row in entry["rows"]])
        for entry in entries[start:]
        if entry["kind"] == "forget"
    ]
