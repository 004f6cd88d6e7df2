"""A forgetting report as a document to read, print and file."""

from html import escape

from .._utils.documents import (
    definitions,
    document,
    facts_table,
    records_table,
    section,
)
from .._utils.words import counted, plain_time
from ._report_columns import TABLES

# What a reader of the table needs; digests and files are in the JSON.
_REQUEST = (
    "entry", "requested_at", "time", "n_forgotten", "n_amended", "n_subjects", "shards",
    "first_slices", "sample_visits", "share", "expected_share", "seconds", "behind",
)  # fmt: skip
_LOG = (
    "entry", "kind", "request", "time", "n_forgotten", "n_amended", "n_rows", "shards",
    "sample_visits", "full_sample_visits", "seconds", "purged", "digest_after", "hash",
)  # fmt: skip
_IDS = ("entry", "rows")
_DIGESTS = ("digest", "digest_retrained", "digest_after", "hash")
_DIGITS = 12


def page(report):
    """Return a report as a self-contained page.

    Parameters
    ----------
    report : ForgettingReport
    """
    return document("Forgetting report", body(report))


def body(report):
    """Return the content of the page, without its style."""
    tables, statements = report.tables(), report.statements()
    items = "".join(f"<li>{escape(text)}</li>\n" for text in statements.values())
    sections = (
        ("Ensemble", _facts("ensemble", tables, "Plan and rows"), _versions(report)),
        ("Requests", _requests(report, tables)),
        ("Cost", _facts("cost", tables, "Cost of all requests"), _COST_NOTE),
        ("Verification", _verification(statements, tables)),
        ("Shards behind", _behind(statements, tables)),
        ("What this report does not say", _LIMITS),
        ("Audit log", _log(report, tables)),
        ("Salted ids of the erased rows", _ids(tables)),
        ("Definitions", _definitions(report)),
    )  # fmt: skip
    status = "summary" if report.is_complete else "summary open"
    return (
        "<header>\n<h1>Forgetting report</h1>\n"
        f'<p class="made">Made on {_time(report.made)} UTC</p>\n'
        f'<ul class="{status}">\n{items}</ul>\n</header>\n'
        + "".join(section(*each) for each in sections)
    )


_COST_NOTE = (
    '<p class="note">A sample visit is one row trained on in one pass. For k data '
    "subjects in one request, the formula is the sum over i = 1, &hellip;, R of "
    "2i/(R(R+1)) &middot; [1 &minus; (1 &minus; i/(RS))<sup>k</sup>] of a retraining; "
    "for a learner that accumulates statistics, with 1/R in place of "
    "2i/(R(R+1)); for one from whose members rows are subtracted, k rows are k visits. "
    "Requests scatter around it. While shards are behind, relearning is "
    "not complete.</p>\n"
)
_LIMITS = (
    "<p>The rows are erased from everything that the ensemble holds: members, "
    "checkpoints, rows, caches and files. The report does not cover copies elsewhere, "
    "earlier predictions, earlier copies of the model, backups, and data computed from "
    "the rows before they were given for training. The class labels and the number of "
    "rows that were ever given remain. The report does not record whether a request "
    "was lawful, or who made it.</p>\n"
)


def _facts(table, tables, caption):
    """Return a table with one row as pairs of title and value."""
    (record,) = tables[table]
    return facts_table(record, TABLES[table], caption, _cell)


def _records(table, tables, caption, names=None, records=None):
    """Return the records of a table, nothing if there are none."""
    columns = TABLES["log"] | TABLES[table]
    records = tables[table] if records is None else records
    names = TABLES[table] if names is None else names
    # Most ensembles have no corrected rows, and paper is narrow.
    names = [n for n in names if n != "n_amended" or any(r[n] for r in records)]
    return records_table(records, {n: columns[n] for n in names}, caption, _cell)


def _requests(report, tables):
    if not tables["requests"]:
        return f"<p>{escape(report.statements()['requests'])}</p>\n"
    return _records("requests", tables, "All requests, times in UTC", _REQUEST)


def _verification(statements, tables):
    records = _records("verification", tables, "Members compared in every bit")
    return f"<p>{escape(statements['verification'])}</p>\n{records}"


def _behind(statements, tables):
    records = _records("behind", tables, "Shards to relearn")
    return records or f"<p>{escape(statements['behind'])}</p>\n"


def _log(report, tables):
    n_entries = counted(len(report.log.entries), "entry")
    head = (
        f"<p>{n_entries}. Each has the hash of the one before, so that a changed, "
        "removed or inserted entry shows. The last hash stands for the whole log; "
        "compare it with a copy that is kept elsewhere: "
        f"<code>{escape(report.log.head)}</code></p>\n"
    )
    caption = "All entries, digests and hashes cut to 12 characters"
    return head + _records("log", tables, caption, _LOG)


def _ids(tables):
    requests = [request for request in tables["requests"] if request["rows"]]
    note = (
        "<p>The log names rows by these ids alone. They cannot be traced to a row "
        "without the salt, which the ensemble keeps.</p>\n"
        if requests
        else "<p>There are none.</p>\n"
    )
    caption = "Ids of the rows that each request erased"
    return note + _records("log", tables, caption, _IDS, requests)


def _definitions(report):
    titles = {
        "ensemble": "Ensemble",
        "cost": "Cost",
        "requests": "Requests and audit log",
        "verification": "Verification",
        "behind": "Shards behind",
    }
    columns = report.columns()
    return definitions({title: columns[table] for table, title in titles.items()})


def _versions(report):
    made_with = ", ".join(f"{k} {v}" for k, v in report.versions().items())
    return f'<p class="note">Last entry made with {escape(made_with)}.</p>\n'


def _cell(name, value):
    """Return a value as HTML."""
    if value is None:
        return ""
    if name in _DIGESTS:
        return f'<code class="cut">{escape(value[:_DIGITS])}</code>'
    if name in ("time", "requested_at"):
        return _time(value)
    if name == "rows":
        return " ".join(f"<code>{escape(one)}</code>" for one in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:.1%}" if "share" in name else f"{value:,.3g}"
    return f"{value:,}" if isinstance(value, int) else escape(str(value))


def _time(text):
    parts = plain_time(text).split()
    shown = " ".join(f"<span>{escape(part)}</span>" for part in parts)
    return f'<time datetime="{escape(text)}">{shown}</time>'
