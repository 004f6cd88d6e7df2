"""A forgetting report as a document to read, print and file."""

from html import escape

from ._report_columns import TABLES
from ._words import counted, plain_time

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2329; --soft: #56606b; --line: #d3d9df;
  --page: #ffffff; --band: #f4f6f8; --good: #17602f; --bad: #9c2b0e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --soft: #a7b0ba;
  --line: #3b444d; --page: #14181c; --band: #1d2329; --good: #7fd39a;
  --bad: #ffa88f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; line-height: 1.3; margin: 2.25rem 0 .5rem;
  padding-top: .75rem; border-top: 1px solid var(--line); }
p { max-width: 46rem; margin: .5rem 0; }
.made, caption, .note, dd { color: var(--soft); }
.summary { background: var(--band); border-left: 4px solid var(--good);
  margin: 1.25rem 0 0; padding: .75rem 1rem; list-style: none; }
.summary.open { border-color: var(--bad); }
.summary li { max-width: 50rem; margin: .35rem 0; }
code { font: .85em/1.45 ui-monospace, "DejaVu Sans Mono", Menlo, monospace;
  overflow-wrap: anywhere; }
code.cut { white-space: nowrap; }
.scroll { overflow-x: auto; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden;
  clip-path: inset(50%); }
table { border-collapse: collapse; font-size: .84rem; margin: .75rem 0; }
caption { text-align: left; font-size: .84rem; padding-bottom: .35rem; }
th, td { padding: .4rem .7rem .4rem 0; border-bottom: 1px solid var(--line);
  text-align: left; vertical-align: top; }
thead th { vertical-align: bottom; border-bottom-width: 2px; line-height: 1.25; }
tbody th { font-weight: 600; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.facts th { font-weight: 400; color: var(--soft); padding-right: 1.5rem; }
dl { font-size: .84rem; max-width: 50rem; }
dt { font-weight: 600; margin-top: .5rem; }
dd { margin: 0; }
time span { white-space: nowrap; }
@media screen { time { white-space: nowrap; } }
h3 { font-size: .95rem; margin: 1.25rem 0 .25rem; }
@media screen and (max-width: 700px) {
  .records, .records tbody, .records tr, .records th, .records td,
  .records caption { display: block; width: 100%; text-align: left; }
  .records thead { position: absolute; width: 1px; height: 1px; overflow: hidden;
    clip-path: inset(50%); }
  .records tr { padding: .6rem 0; border-bottom: 2px solid var(--line); }
  .records tbody th, .records td { display: flex; justify-content: space-between;
    gap: 1rem; border: 0; padding: .15rem 0; text-align: right; }
  .records tbody th::before, .records td::before { content: attr(data-title);
    color: var(--soft); font-weight: 400; text-align: left; flex: none; }
  .records td:empty { display: none; }
}
@page { size: A4; margin: 16mm 14mm; }
@media print {
  :root { color-scheme: light; --ink: #000; --soft: #444; --line: #bbb;
    --page: #fff; --band: #f4f4f4; --good: #17602f; --bad: #9c2b0e; }
  body { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  h2, h3, caption { break-after: avoid; }
  tr, dt { break-inside: avoid; }
  dt { break-after: avoid; }
  thead { display: table-header-group; }
  .scroll { overflow: visible; }
  table { font-size: 7.5pt; }
  code.cut { font-size: 6.5pt; }
  dl { font-size: 8pt; columns: 2; column-gap: 8mm; max-width: none; }
  p, .scroll { break-inside: auto; max-width: none; orphans: 3; widows: 3; }
  .records th, .records td { padding-right: .45rem; }
  .summary { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
"""

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
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Forgetting report</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body(report)}</main>\n</body>\n</html>\n"
    )


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
        + "".join(_section(*section) for section in sections)
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


def _section(title, *parts):
    return f"<section>\n<h2>{escape(title)}</h2>\n{''.join(parts)}</section>\n"


def _facts(table, tables, caption):
    """Return a table with one row as pairs of title and value."""
    (record,) = tables[table]
    rows = "".join(
        f'<tr><th scope="row">{escape(column.title)}</th>'
        f'<td class="{_kind(record[name])}">'
        f"{_cell(name, record[name]) or '&ndash;'}</td></tr>\n"
        for name, column in TABLES[table].items()
    )
    return (
        f'<table class="facts">\n<caption class="hidden">{escape(caption)}</caption>\n'
        f"<tbody>\n{rows}</tbody>\n</table>\n"
    )


def _records(table, tables, caption, names=None, records=None):
    """Return the records of a table, nothing if there are none."""
    columns = TABLES["log"] | TABLES[table]
    records = tables[table] if records is None else records
    names = TABLES[table] if names is None else names
    if not records:
        return ""
    # Most ensembles have no corrected rows, and paper is narrow.
    names = [n for n in names if n != "n_amended" or any(r[n] for r in records)]
    kinds = {name: _kind(*(record[name] for record in records)) for name in names}
    head = "".join(
        f'<th scope="col" role="columnheader" class="{kinds[name]}">'
        f"{escape(columns[name].title)}</th>"
        for name in names
    )
    rows = "".join(
        f'<tr role="row">{"".join(_cells(columns, kinds, record))}</tr>\n'
        for record in records
    )
    caption = escape(caption)
    # A region that scrolls must be in reach of the keyboard. The roles remain where
    # a narrow page shows each row as a block.
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{caption}">\n'
        f'<table class="records" role="table">\n<caption>{caption}</caption>\n'
        f'<thead role="rowgroup"><tr role="row">{head}</tr></thead>\n'
        f'<tbody role="rowgroup">\n{rows}</tbody>\n</table>\n</div>\n'
    )


def _cells(columns, kinds, record):
    """Yield the cells of a row, the first of which names it."""
    tag, scope = "th", 'scope="row" role="rowheader"'
    for name, kind in kinds.items():
        title = escape(columns[name].title)
        value = _cell(name, record[name])
        yield f'<{tag} {scope} class="{kind}" data-title="{title}">{value}</{tag}>'
        tag, scope = "td", 'role="cell"'


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
    return "".join(
        f"<h3>{title}</h3>\n<dl>\n"
        + "".join(
            f"<dt>{escape(column.title)}</dt><dd>{escape(column.definition)}</dd>\n"
            for column in columns[table].values()
        )
        + "</dl>\n"
        for table, title in titles.items()
    )


def _versions(report):
    made_with = ", ".join(f"{k} {v}" for k, v in report.versions().items())
    return f'<p class="note">Last entry made with {escape(made_with)}.</p>\n'


def _kind(*values):
    numbers = [isinstance(v, int | float) and not isinstance(v, bool) for v in values]
    return "number" if any(numbers) else "text"


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
