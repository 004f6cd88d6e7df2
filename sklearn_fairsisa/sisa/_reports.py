"""Reports of deletions: log entries, verifications and a table of all requests."""

import html
import json
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import pandas as pd

from ._audit import now, salted_row, versions
from ._digests import combine
from ._plan import expected_replay_cost
from ._signatures import signed


@dataclass(frozen=True)
class ForgetReport:
    """What one call of ``forget`` did.

    Parameters
    ----------
    rows : tuple of int
        Indices forgotten by this request, without those that were forgotten before.

    n_subjects : int
        Number of data subjects of these rows. Without ids, each row is its own subject.

    shards : tuple of int
        Shards of these rows.

    first_slices : tuple of int
        Earliest slice touched in each of `shards`.

    sample_visits : int
        Rows trained on to relearn `shards` in the same call, counted once per pass. 0
        where the shards were left behind.

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

    def relearnt(self, entry):
        """Return the report of a request for which a shard was relearnt, as logged."""
        return replace(
            self,
            sample_visits=self.sample_visits + entry["sample_visits"],
            seconds=self.seconds + entry["seconds"],
            digest_after=entry["digest_after"],
        )


@dataclass(frozen=True)
class ForgetVerification:
    """The result of retraining shards from scratch. True if all digests agree.

    Parameters
    ----------
    shards : tuple of int
        Shards retrained.

    digests : tuple of str
        SHA-256 of the members in use.

    digests_retrained : tuple of str
        SHA-256 of the members retrained without the forgotten rows.

    sample_visits : int
        Rows trained on, counted once per pass.

    seconds : float
        Duration of the verification.

    audit_head : str
        Hash that stands for the audit log at the time.

    companions : dict of str to bool
        For what is kept with the ensemble and was up to date, as fair rules are, by
        name: whether learning it from scratch gave the same.
    """

    shards: tuple
    digests: tuple
    digests_retrained: tuple
    sample_visits: int
    seconds: float
    audit_head: str = ""
    companions: dict[str, bool] = field(default_factory=dict)

    @property
    def differing_shards(self):
        """Shards whose member differs from the retrained one."""
        pairs = zip(self.shards, self.digests, self.digests_retrained)
        return tuple(shard for shard, is_, should in pairs if is_ != should)

    def __bool__(self):
        return not self.differing_shards and all(self.companions.values())

    def certificate(self, sign=None):
        """Return a statement of the result.

        Parameters
        ----------
        sign : bytes, str or path, default=None
            Private Ed25519 key in PEM format, or the file that holds it. It needs the
            extra ``sign``.

        Returns
        -------
        str
            What was compared and by which versions, with the head of the audit log,
            which stands for all requests carried out. It is JSON; with `sign`, a JSON
            Web Signature in compact form (RFC 7515, EdDSA) whose payload is that JSON.

        Raises
        ------
        ImportError
            If `sign` is given and PyJWT or cryptography is missing.
        ValueError
            If `sign` is not a private Ed25519 or Ed448 key.

        Notes
        -----
        A signature proves what the holder of the key stated, and when they said it
        was. It does not prove that the computation took place: for that, run
        ``verify_forgotten`` on the rows.
        """
        holds, differs = bool(self), self.differing_shards
        statement = (
            "Retraining these shards from scratch on the retained rows gave members "
            + ("that differ." if differs else "equal bit for bit to those in use.")
        )
        for name, equal in self.companions.items():
            end = "the same." if equal else "another."
            statement += f" Solving for {name} from scratch gave {end}"
        facts = {"statement": statement, "holds": holds, "time": now()}
        facts |= {**asdict(self), "versions": versions()}
        return json.dumps(facts, indent=1) if sign is None else signed(facts, sign)


def audit_facts(change, before, work, digests, *, sample_visits, seconds, request):
    """Return what the audit log holds of a change that was carried out.

    Parameters
    ----------
    change : Change
    before : State
        What was changed; unused for a fit.
    work : Work
        What a store began for the change, and is about to commit.
    digests : tuple of str
        Those of the members before the change.
    sample_visits : int
    seconds : float
    request : int or None
        Number of the entry with the deletion for which shards are relearnt.

    Returns
    -------
    dict
    """
    state = change.state
    plan = state.plan
    n_forgotten = n_subjects = len(change.forgotten_rows)
    if n_forgotten and before.rows[0].subjects is not None:
        n_subjects = len(before.subjects_of(change.forgotten_rows))
    return {
        "time": now(),
        "kind": change.kind,
        "request": request,
        "requested_at": change.requested_at,
        "rows": [salted_row(row, state.salt) for row in change.forgotten_rows],
        "n_forgotten": n_forgotten,
        "n_subjects": n_subjects,
        "n_rows": state.n_rows,
        "shards": list(change.firsts),
        "first_slices": list(change.firsts.values()),
        "sample_visits": sample_visits,
        "full_sample_visits": state.full_sample_visits,
        # The rows of a subject share a slice, so subjects are what is drawn.
        "expected_share": expected_replay_cost(
            plan.n_shards, plan.n_slices, n_subjects, state.recipe.replay
        )
        if change.kind == "forget"
        else None,
        "seconds": seconds,
        "purged": work.n_purged,
        "digest_before": combine(digests),
        "digest_after": combine(work.digests),
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

    The log identifies rows by salted ids only. With the salt they can be recognised.
    """
    rows = {salted_row(row, state.salt): row for row in state.forgotten.tolist()}
    entries = list(log.entries)
    fits = [i for i, entry in enumerate(entries) if entry["kind"] == "fit"]
    reports = {}
    for entry in entries[max(fits, default=0) :]:
        if entry["kind"] == "forget":
            named = [rows[row] for row in entry["rows"]]
            reports[entry["entry"]] = forget_report(entry, named)
        elif entry["request"] in reports:
            request = entry["request"]
            reports[request] = reports[request].relearnt(entry)
    return list(reports.values())


def rows_of_later_log(log, later, state):
    """Return the rows that a later copy of a log knows as forgotten.

    Parameters
    ----------
    log : AuditLog
        Of an ensemble that was restored from a backup.
    later : AuditLog
        Of the same ensemble, as it went on after the backup.
    state : State
        Of the restored ensemble, whose salt tells which rows the ids are of.

    Returns
    -------
    rows : list of int
    n_unknown : int
        Number of rows in the later log that are not in the ensemble, because they were
        added after the backup.

    Raises
    ------
    ValueError
        If the later log does not continue the log, or has a fit of other rows.
    """
    known = len(log.entries)
    since = later.entries[known:]
    if later.entries[:known] != log.entries:
        raise ValueError(
            "The log does not continue the one in the directory, so it is of another "
            "ensemble or older. Give a copy of audit.jsonl that is newer than the "
            "backup. Nothing was forgotten."
        )
    if any(entry["kind"] == "fit" for entry in since):
        raise ValueError(
            "The log has a fit after the backup, so its deletions are of other rows. "
            "Restore a backup of after that fit. Nothing was forgotten."
        )
    ids = {id for entry in since for id in entry["rows"]}
    rows = [i for i in range(state.plan.n_rows) if salted_row(i, state.salt) in ids]
    return rows, len(ids) - len(rows)


class ForgettingReport:
    """All deletion requests to an ensemble and what each of them changed.

    Parameters
    ----------
    log : AuditLog
    n_rows : int
        Number of retained rows.

    Attributes
    ----------
    log : AuditLog
    n_rows : int
    """

    _COLUMNS = (
        "time", "kind", "requested_at", "n_forgotten", "n_subjects", "n_rows",
        "shards", "first_slices", "sample_visits", "full_sample_visits", "share",
        "expected_share", "seconds", "purged", "digest_before", "digest_after", "hash",
    )  # fmt: skip

    def __init__(self, log, n_rows):
        self.log = log
        self.n_rows = n_rows

    def to_frame(self):
        """Return a row per entry of the log.

        Returns
        -------
        DataFrame
            ``n_subjects`` counts the data subjects of the ``n_forgotten`` rows.
            Without ids, each row is its own subject. ``share`` is
            ``sample_visits / full_sample_visits``, ``expected_share`` the mean over
            uniform requests of as many data subjects.
        """
        frame = pd.DataFrame(
            [{**entry, "share": _share(entry)} for entry in self.log.entries],
            index=pd.Index([e["entry"] for e in self.log.entries], name="entry"),
        )
        return frame.reindex(columns=list(self._COLUMNS))

    def to_html(self):
        """Return the report as a self-contained HTML page."""
        return (
            "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
            "<title>Forgetting report</title><style>"
            "body{font:15px/1.5 system-ui,sans-serif;margin:2em}"
            "table{border-collapse:collapse;font-size:12px}"
            "td,th{padding:.3em .6em;border-bottom:1px solid #ddd;text-align:right;"
            "vertical-align:bottom}"
            f"</style></head><body><h1>Forgetting report</h1>{self._repr_html_()}"
            "</body></html>\n"
        )

    def _repr_html_(self):
        frame = self.to_frame()
        requests = frame[frame["kind"] == "forget"]
        replays = frame[frame["kind"] == "relearn"]
        shown = frame.drop(columns=["time", "digest_before"]).assign(
            requested_at=frame["requested_at"].str[:19].str.replace("T", " "),
            digest_after=frame["digest_after"].str[:12],
            hash=frame["hash"].str[:12],
        )
        shown.columns = [column.replace("_", " ") for column in shown]
        table = shown.to_html(na_rep="", border=0, float_format="{:.3g}".format)
        made_with = self.log.entries[-1]["versions"] if self.log.entries else {}
        with_text = ", ".join(f"{name} {number}" for name, number in made_with.items())
        return (
            f"<p>{len(requests)} requests, {_total(requests, 'n_forgotten')} rows "
            f"forgotten, {self.n_rows} rows retained. Sample visits of all replays: "
            f"{_total(replays, 'sample_visits')}; of retraining from scratch after "
            f"every request: {_total(requests, 'full_sample_visits')}.</p>"
            f"<div style='overflow-x:auto'>{table}</div>"
            f"<p>Times are UTC, digests cut to 12 characters. Head of the hash chain: "
            f"<code style='word-break:break-all'>{html.escape(self.log.head)}</code>. "
            f"Last entry made with {html.escape(with_text)}.</p>"
        )

    def __repr__(self):
        return (
            f"<ForgettingReport of {len(self.log.entries)} entries, head "
            f"{self.log.head[:16]}>"
        )


def _share(entry):
    if not entry.get("full_sample_visits"):
        return np.nan
    return entry["sample_visits"] / entry["full_sample_visits"]


def _total(requests, column):
    return f"{int(requests[column].sum()):,}"
