"""Tables as the documentation shows them."""

import pandas as pd
from _peers import SCORE_PEERS

from .cases import ANSWERED, FINAL, case_of, sources
from .comparisons import (
    MEAN_SCORE,
    OURS,
    REPAIRED_SHARDS,
    verdict_on_difference,
    verdict_on_repair,
)
from .plan import ATTRIBUTES
from .rules import DEFAULT, GROUPLESS, NONE, OF_THE_PAPER, PEERS, WITHOUT_GROUP


def readable_tables(found):
    """Yield tables by name; those of which there are no rows yet are empty.

    Parameters
    ----------
    found : dict of str to list of dict
        Rows of the functions of ``comparisons`` and ``descriptions``.
    """
    yield "table_progress", _progress(found["progress"])
    yield "table_groups", pd.DataFrame(found["groups"])
    yield "table_training", _training(found["training"])
    yield "table_shards", _shards(found["shards"])
    yield "table_scores", _scores(found["scores"])
    yield "table_repair", _repair(found["rules"])
    yield "table_peers", _peers(found["rules"])
    for name, rows in rules_by_table(found["rules"]).items():
        yield name, _rules(rows)
    yield "table_equal_gap", _equal_gap(found["equal_gap"])
    yield "table_deletions", _deletions(found["rules"])
    yield "table_deletion_changes", _deletion_changes(found["deletions"])
    yield "table_confirmation", _confirmation(found)
    yield "table_looks", _looks(found)
    yield "table_deletion_costs", _deletion_costs(found["deletion_costs"])
    yield "table_costs", _costs(found["costs"])
    yield "table_claims", pd.DataFrame(found["claims"])
    yield "table_multiplicity", _multiplicity(found)


def rules_by_table(rows):
    """Return the rows of rules by the name of their table: one for each attribute."""
    by_name = {}
    for row in rows:
        if row["deletion"] is None:
            name = "table_rules", row["corpus"], row["model"], row["attribute"]
            by_name.setdefault("_".join(name), []).append(row)
    return by_name


def shown_verdict(row, verdict):
    """Return a verdict with what is missing for it; none if that is too much."""
    if row["stage"] not in ANSWERED:
        return f"none, {row['stage']}"
    return verdict if row["stage"] == FINAL else f"{verdict}, provisionally"


def _progress(rows):
    """A line for each step and model, and one for all."""
    keys, counts = ["step", "corpus", "model"], ["pieces", "of", "seconds"]
    table = pd.DataFrame(rows).groupby(keys, sort=False)[counts].sum().reset_index()
    total = {"step": "all", "corpus": "", "model": "", **table[counts].sum()}
    table = pd.concat([table, pd.DataFrame([total])])
    hours = (table.pop("seconds") / 3600).map("{:.1f}".format)
    table = table.astype({"pieces": int, "of": int})
    return table.assign(**{"hours of one core": hours})


def _training(rows):
    return pd.DataFrame(
        {
            "corpus": row["corpus"],
            "model": row["model"],
            "S": _shown_shards(row["S"], row["held_out"]),
            "passes": row["passes"],
            "splits": row["folds"],
            "balanced accuracy": f"{row['balanced_accuracy']:.3f}",
            "AUC": f"{row['auc']:.3f}",
            "of single members": f"{row['of_members']:.3f}",
            "members alike": row["members_alike"],
            "least seconds, training": f"{row['fit_seconds']:.0f}",
            "least seconds, scoring": f"{row['score_seconds']:.0f}",
        }
        for row in rows
    )


def _shards(rows):
    return pd.DataFrame(
        {
            **_first_columns(row),
            "decision": row["decision"],
            "gap, one model": f"{row['gap_one']:.3f}",
            "gap, S shards": f"{row['gap']:.3f}",
            "noise floor": f"{row['floor']:.3f}",
            "change": _quantity(row, "change", "+.3f"),
            "level": f"{row['level']:.2%}",
            "interval over": sources(row),
            "verdict": shown_verdict(row, row["verdict"]),
        }
        for row in rows
    )


def _scores(rows):
    """A column for each number of shards."""
    if not rows:
        return pd.DataFrame()
    table = pd.DataFrame(rows)
    table = table.rename(columns={"count": "splits"})
    keys = ["corpus", "model", "attribute", "group", "splits"]
    wide = table.pivot_table(index=keys, columns="S", values="mean", sort=False)
    wide = wide[sorted(wide)].map("{:.3f}".format, na_action="ignore")
    return wide.rename(columns="S = {}".format).reset_index()


def _repair(rows):
    """The paper's rules and ours against none, where the design asks first."""
    none = {case_of(row): row for row in rows if row["rule"] == NONE}
    return pd.DataFrame(
        {
            **_first_columns(row),
            "rule": row["rule"],
            "gap, no rule": f"{none[case_of(row)]['gap']:.3f}",
            "gap": _quantity(row, "gap"),
            "noise floor": f"{row['floor']:.3f}",
            "change of the gap": _quantity(row, "more_gap", "+.3f"),
            "change of balanced accuracy": _quantity(
                row, "more_balanced_accuracy", "+.3f"
            ),
            "level": f"{row['level']:.2%}",
            "interval over": sources(row),
            "verdict": shown_verdict(row, verdict_on_repair(row)),
        }
        for row in rows
        if row["rule"] in (*OF_THE_PAPER, DEFAULT, WITHOUT_GROUP) and _is_asked(row)
    )


def _peers(rows):
    """Our rules minus each peer, where the design asks first."""
    return pd.DataFrame(
        {
            **_first_columns(row),
            "peer": row["rule"],
            "ours": rule,
            "gap, more": _quantity(row, f"{ours}_gap", "+.3f"),
            "gap is": shown_verdict(row, verdict_on_difference(row, f"{ours}_gap")),
            "balanced accuracy, more": _quantity(
                row, f"{ours}_balanced_accuracy", "+.3f"
            ),
            "balanced accuracy is": shown_verdict(
                row, verdict_on_difference(row, f"{ours}_balanced_accuracy")
            ),
            "level": f"{row['level']:.2%}",
        }
        for row in rows
        if row["rule"] in PEERS and _is_asked(row)
        for ours, rule in OURS.items()
        if f"{ours}_gap" in row and (rule == DEFAULT or row["rule"] in GROUPLESS)
    )


def _is_asked(row):
    """Return whether the design asks for the rules in such ensembles first."""
    whole = row["deletion"] is None and not row["holds_out"]
    return whole and row["n_shards"] in REPAIRED_SHARDS


def _rules(rows):
    return pd.DataFrame(
        {
            "S": _shown_shards(row["n_shards"], row["holds_out"]),
            "splits": row["folds"],
            "rule": row["rule"],
            "gap": _quantity(row, "gap"),
            "noise floor": f"{row['floor']:.3f}",
            "balanced accuracy": _quantity(row, "balanced_accuracy"),
            "level of differences": f"{row['level']:.2%}",
            "default's gap, more": _quantity(row, "default_gap", "+.3f"),
            "default's balanced accuracy, more": _quantity(
                row, "default_balanced_accuracy", "+.3f"
            ),
        }
        for row in sorted(rows, key=lambda row: (row["n_shards"], row["holds_out"]))
    )


def _equal_gap(rows):
    """At equal gap, ours minus each other rule."""
    return pd.DataFrame(
        {
            **_first_columns(row),
            "rule": row["rule"],
            "ours": row["ours"],
            "gap, more": _quantity(row, "gap", "+.3f"),
            "balanced accuracy, more": _quantity(row, "balanced_accuracy", "+.3f"),
        }
        for row in rows
        if row["deletion"] is None
    )


def _deletions(rows):
    return pd.DataFrame(
        {
            **_first_columns(row),
            "forgotten": _forgotten(row),
            "rule": row["rule"],
            "gap": _quantity(row, "gap"),
            "noise floor": f"{row['floor']:.3f}",
            "balanced accuracy": _quantity(row, "balanced_accuracy"),
        }
        for row in rows
        if row["deletion"] is not None
    )


def _deletion_changes(rows):
    return pd.DataFrame(
        {
            **_first_columns(row),
            "forgotten": _forgotten(row),
            "rule": row["decision"],
            "gap before": f"{row['gap_one']:.3f}",
            "gap after": f"{row['gap']:.3f}",
            "noise floor": f"{row['floor']:.3f}",
            "change": _quantity(row, "change", "+.3f"),
            "interval over": sources(row),
            "verdict": shown_verdict(row, row["verdict"]),
        }
        for row in rows
    )


def _multiplicity(found):
    """Of the comparisons at 95% each, how many would show a difference by chance."""
    kept = [row for row in found["rules"] if row["deletion"] is None]
    kinds = {
        "S shards and one model, gap": (found["shards"], ["change"]),
        "before and after a deletion, gap": (found["deletions"], ["change"]),
    }
    for beginning, words in {**OURS, "more": "a rule and no rule"}.items():
        words = words if beginning == "more" else f"{words}, and another rule"
        for what in ("gap", "balanced_accuracy"):
            name = f"{words}, {what.replace('_', ' ')}"
            kinds[name] = kept, [f"{beginning}_{what}"]
    equal = [{**row, "level": 0.95, "stage": FINAL} for row in found["equal_gap"]]
    kinds["at equal gap"] = equal, ["gap", "balanced_accuracy"]
    lines = []
    for name, (rows, quantities) in kinds.items():
        ends = [
            (row[f"{what}_low"], row[f"{what}_high"])
            for row in rows
            for what in quantities
            if what in row and row["level"] == 0.95 and row["stage"] in ANSWERED
        ]
        differ = sum(low > 0 or high < 0 for low, high in ends)
        lines.append(
            {
                "compared": name,
                "comparisons": len(ends),
                "intervals without zero": differ,
                "expected by chance": f"{0.05 * len(ends):.1f}",
            }
        )
    return pd.DataFrame(lines)


def _forgotten(row):
    return f"{row['share']:.0%} {row['deletion'].replace('=', ' ')}"


def _primary_answers(found):
    """Questions, rows, quantities and verdicts of MiniLM, sorted by shards."""
    asked = [row for row in found["rules"] if _is_asked(row)]
    # Each peer beside ours that knows as much.
    ours = dict.fromkeys(SCORE_PEERS, "default") | dict.fromkeys(GROUPLESS, "groupless")
    answers = [
        *(
            ("gap, no rule, S = {} against 1", row, "change", row["verdict"])
            for row in found["shards"]
            if row["decision"] == MEAN_SCORE
        ),
        *(
            ("default against no rule, S = {}", row, "more_gap", verdict_on_repair(row))
            for row in asked
            if row["rule"] == DEFAULT
        ),
        *(
            (
                f"{words} of the {OURS[ours[row['rule']]]} against {row['rule']}, "
                "S = {}",
                row,
                f"{ours[row['rule']]}_{what}",
                verdict_on_difference(row, f"{ours[row['rule']]}_{what}"),
            )
            for what, words in (
                ("balanced_accuracy", "balanced accuracy"),
                ("gap", "gap"),
            )
            for row in asked
            if row["rule"] in ours and f"{ours[row['rule']]}_{what}" in row
        ),
    ]
    return [
        (question.format(row["n_shards"]), row, what, verdict)
        for question, row, what, verdict in sorted(
            answers, key=lambda own: own[1]["n_shards"]
        )
        if row["model"] == "minilm"
    ]


def _looks(found):
    """The primary questions by the first two seeds, and by all."""
    first, second = (
        {
            (question, row["attribute"]): (row, what, verdict)
            for question, row, what, verdict in _primary_answers(rows)
            if row["corpus"] == "hatexplain"
        }
        for rows in (found["first_look"], found)
    )
    lines = []
    for question, attribute in first:
        line = {"question": question, "attribute": attribute}
        for name, look in (("first", first), ("second", second)):
            row, what, verdict = look[question, attribute]
            line |= {
                f"{name} look": _quantity(row, what, "+.3f"),
                f"its level, {name}": f"{row['level']:.2%}",
                f"its verdict, {name}": shown_verdict(row, verdict),
            }
        lines.append(line)
    return pd.DataFrame(lines)


def _confirmation(found):
    """Verdicts of the primary questions, on HateXplain and on the confirmation set."""
    columns = [
        f"{corpus}, {attribute}"
        for corpus in ("hatexplain", "redditbias")
        for attribute in ATTRIBUTES[corpus]
    ]
    table = {}
    for question, row, _, verdict in _primary_answers(found):
        empty = {"question": question, **dict.fromkeys(columns, "not run yet")}
        line = table.setdefault(question, empty)
        line[f"{row['corpus']}, {row['attribute']}"] = shown_verdict(row, verdict)
    return pd.DataFrame(table.values())


def _deletion_costs(rows):
    return pd.DataFrame(
        {
            "model": row["model"],
            "S": row["S"],
            "forgotten": row["deletion"].replace("=", " "),
            "request": row["request"],
            "visits": f"{row['visits']:.1%}",
            "expected": f"{row['expected_visits']:.1%}",
            "seconds, of a training": f"{row['share_of_fit']:.1%}",
        }
        for row in rows
    )


def _costs(rows):
    return pd.DataFrame(
        {
            "trained": row["what"],
            "S": row["S"],
            "slices": row["R"],
            "rows": row["rows"],
            "times": row["times"],
            "training, s": f"{row['fit_seconds']:.1f}"
            + " (extrapolated)" * row["extrapolated"],
            "erasing a row, ms": f"{row['erase_ms']:.1f}",
            "relearning, s": f"{row['relearn_seconds']:.2f}",
            "of a training": f"{row['share_of_fit']:.1%}",
            "visits": f"{row['share_of_visits']:.1%}",
            "expected": f"{row['expected']:.1%}",
            "of single requests": f"{row['of_singles']:.0%}",
        }
        for row in rows
    )


def _first_columns(row):
    return {
        "corpus": row["corpus"],
        "model": row["model"],
        "attribute": row["attribute"],
        "S": _shown_shards(row["n_shards"], row["holds_out"]),
        "splits": row["folds"],
    }


def _shown_shards(n_shards, holds_out):
    return f"{n_shards}, rows held out" if holds_out else str(n_shards)


def _quantity(row, name, form=".3f"):
    if name not in row:
        return ""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{row[name]:{form}} [{low:{form}}, {high:{form}}]"
