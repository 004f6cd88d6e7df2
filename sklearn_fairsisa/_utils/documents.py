"""Self-contained HTML documents with tables, for any screen and for paper."""

from dataclasses import dataclass
from html import escape

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
ul.plain { max-width: 50rem; padding-left: 1.2rem; }
ul.plain li { margin: .35rem 0; overflow-wrap: anywhere; }
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
/* Beside words, numbers would stand far from their titles. */
.facts .number { text-align: left; }
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


@dataclass(frozen=True)
class Column:
    """A quantity of a document.

    Parameters
    ----------
    title : str
    definition : str
        One sentence or more, in plain text.
    """

    title: str
    definition: str


def document(title, body):
    """Return a self-contained page.

    Parameters
    ----------
    title : str
        Plain text.
    body : str
        HTML.

    Returns
    -------
    str
    """
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )


def section(title, *parts):
    """Return a section with a heading; its parts are HTML."""
    return f"<section>\n<h2>{escape(title)}</h2>\n{''.join(parts)}</section>\n"


def facts_table(record, columns, caption, cell):
    """Return a record as pairs of title and value.

    Parameters
    ----------
    record : dict
    columns : dict of str to Column
        The quantities to show, by their names in the record.
    caption : str
        Plain text, for readers who hear the page.
    cell : callable
        Takes the name of a quantity and its value, returns HTML.

    Returns
    -------
    str
    """
    rows = "".join(
        f'<tr><th scope="row">{escape(column.title)}</th>'
        f'<td class="{_kind(record[name])}">'
        f"{cell(name, record[name]) or '&ndash;'}</td></tr>\n"
        for name, column in columns.items()
    )
    return (
        f'<table class="facts">\n<caption class="hidden">{escape(caption)}</caption>\n'
        f"<tbody>\n{rows}</tbody>\n</table>\n"
    )


def records_table(records, columns, caption, cell):
    """Return records as a table with a row for each, nothing if there are none.

    Parameters
    ----------
    records : list of dict
    columns : dict of str to Column
        The quantities to show, by their names in the records. The first names a row.
    caption : str
        Plain text.
    cell : callable
        As in `facts_table`.

    Returns
    -------
    str
    """
    if not records:
        return ""
    kinds = {name: _kind(*(record[name] for record in records)) for name in columns}
    head = "".join(
        f'<th scope="col" role="columnheader" class="{kinds[name]}">'
        f"{escape(column.title)}</th>"
        for name, column in columns.items()
    )
    rows = "".join(
        f'<tr role="row">{"".join(_cells(columns, kinds, record, cell))}</tr>\n'
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


def definitions(tables):
    """Return the columns of tables with their definitions, by the tables' titles."""
    return "".join(
        f"<h3>{escape(title)}</h3>\n<dl>\n"
        + "".join(
            f"<dt>{escape(column.title)}</dt><dd>{escape(column.definition)}</dd>\n"
            for column in columns.values()
        )
        + "</dl>\n"
        for title, columns in tables.items()
    )


def _cells(columns, kinds, record, cell):
    """Yield the cells of a row, the first of which names it."""
    tag, scope = "th", 'scope="row" role="rowheader"'
    for name, kind in kinds.items():
        title = escape(columns[name].title)
        value = cell(name, record[name])
        yield f'<{tag} {scope} class="{kind}" data-title="{title}">{value}</{tag}>'
        tag, scope = "td", 'role="cell"'


def _kind(*values):
    numbers = [isinstance(v, int | float) and not isinstance(v, bool) for v in values]
    return "number" if any(numbers) else "text"
