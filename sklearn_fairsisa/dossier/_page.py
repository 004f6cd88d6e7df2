"""A dossier as a page to read, print and file."""

from html import escape

from .._utils.documents import (
    definitions,
    document,
    facts_table,
    records_table,
    section,
)
from .._utils.words import plain_time
from ._columns import TABLES

_TITLE = "Dossier on forgetting and fairness"
_SELECTION = (
    "group", "people", "people_share", "selection_rate", "expected_selection_rate",
    "impact_ratio", "low", "high", "judgement",
)  # fmt: skip
_ERRORS = (
    "group", "positives", "true_positive_rate", "expected_true_positive_rate",
    "negatives", "false_positive_rate", "expected_false_positive_rate",
)  # fmt: skip
_TITLES = {
    "rule": "The rule",
    "bounds": "What holds for new people",
    "rule_groups": "Groups of the rule",
    "people": "People",
    "rates": "Rates by group",
    "gaps": "Differences and ratios",
    "ensemble": "Ensemble",
    "requests": "Requests",
    "cost": "Cost",
    "behind": "Shards behind",
    "versions": "Versions",
}


def page(facts):
    """Return a dossier as a self-contained page.

    Parameters
    ----------
    facts : dict
        As `Dossier` holds them.
    """
    return document(_TITLE, body(facts))


def body(facts):
    """Return the content of the page, without its style."""
    sections = (
        ("Selection by group", _people(facts), *_selection(facts)),
        ("Errors by group", *_errors(facts)),
        ("The fair rule", *_rule(facts)),
        ("What holds for new people", *_report(facts)),
        ("Deletions", *_deletions(facts)),
        ("Verification", _paragraph(facts["statements"]["verification"])),
        ("Ensemble and versions", *_ensemble(facts)),
        ("What is not promised", _list(facts["limits"])),
        ("Definitions", definitions({_TITLES[t]: c for t, c in TABLES.items()})),
    )
    items = "".join(f"<li>{escape(s)}</li>\n" for s in facts["statements"].values())
    made = ""
    if facts["state_of"] is not None:
        made = f'<p class="made">State of {_time(facts["state_of"])} UTC</p>\n'
    status = "summary open" if facts["open"] else "summary"
    to_do = "<p>Nothing is left to do.</p>\n"
    if facts["open"]:
        to_do = f"<h2>Open points</h2>\n{_list(facts['open'])}"
    return (
        f"<header>\n<h1>{_TITLE}</h1>\n{made}"
        f'<ul class="{status}">\n{items}</ul>\n{to_do}</header>\n'
        + "".join(section(*each) for each in sections)
    )


def _people(facts):
    if not facts["people"]:
        return _paragraph(facts["statements"]["impact"])
    (people,) = facts["people"]
    return facts_table(people, TABLES["people"], "People", _cell)


def _selection(facts):
    """Yield a table of selection rates per attribute and decision, then the gaps."""
    yield from _by_attribute(facts, _SELECTION, "Selection")
    columns = TABLES["gaps"]
    if len({record["decision"] for record in facts["gaps"]}) < 2:
        columns = {name: c for name, c in columns.items() if name != "decision"}
    yield records_table(
        facts["gaps"], columns, "Greatest differences and least ratios", _cell
    )


def _errors(facts):
    """Yield a table of error rates per attribute and decision."""
    if any(people["has_labels"] for people in facts["people"]):
        yield from _by_attribute(facts, _ERRORS, "Errors")
    else:
        yield _paragraph("The true labels of these people are not known.")


def _by_attribute(facts, names, what):
    columns = {name: TABLES["rates"][name] for name in names}
    pairs = dict.fromkeys((r["attribute"], r["decision"]) for r in facts["rates"])
    for pair in pairs:
        part = [r for r in facts["rates"] if (r["attribute"], r["decision"]) == pair]
        caption = f"{what} by {pair[0]}; selected means decided {pair[1]!r}"
        yield records_table(part, columns, caption, _cell)


def _rule(facts):
    if not facts["rule"]:
        yield _paragraph(facts["statements"]["fairness"])
        return
    yield facts_table(facts["rule"][0], TABLES["rule"], "The rule", _cell)
    if facts["rule_in_words"]:
        yield f"<h3>In words</h3>\n{_list(facts['rule_in_words'])}"


def _report(facts):
    if not facts["report"]:
        yield _paragraph(facts["statements"]["fairness"])
        return
    yield _list(facts["report"])
    yield records_table(
        facts["bounds"], TABLES["bounds"], "Gaps on calibration rows and on new people",
        _cell,
    )  # fmt: skip
    yield records_table(
        facts["rule_groups"], TABLES["rule_groups"], "How well rates are known", _cell
    )


def _deletions(facts):
    yield _paragraph(facts["statements"]["requests"])
    yield records_table(
        facts["requests"], TABLES["requests"], "All requests, times in UTC", _cell
    )
    yield facts_table(facts["cost"][0], TABLES["cost"], "Cost of all requests", _cell)
    yield _paragraph(facts["statements"]["behind"])
    yield records_table(facts["behind"], TABLES["behind"], "Shards to relearn", _cell)
    head = f"<code>{escape(facts['audit_head'])}</code>"
    yield f"<p>Head of the audit log, which stands for all requests: {head}</p>\n"


def _ensemble(facts):
    yield facts_table(facts["ensemble"][0], TABLES["ensemble"], "Ensemble", _cell)
    yield records_table(facts["versions"], TABLES["versions"], "Versions", _cell)


def _paragraph(text):
    return f"<p>{escape(text)}</p>\n"


def _list(sentences):
    items = "".join(f"<li>{escape(text)}</li>\n" for text in sentences)
    return f'<ul class="plain">\n{items}</ul>\n'


def _cell(name, value):
    """Return a value as HTML."""
    if value is None:
        return ""
    if name == "time":
        return _time(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return escape("; ".join(map(str, value)))
    if isinstance(value, float):
        return f"{value:.1%}" if "share" in name else _number(value)
    if isinstance(value, int):
        return f"{value:,}"
    return escape(str(value).replace("_", " ") if name == "rate" else str(value))


def _number(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3f}"


def _time(text):
    parts = plain_time(text).split()
    shown = " ".join(f"<span>{escape(part)}</span>" for part in parts)
    return f'<time datetime="{escape(text)}">{shown}</time>'
