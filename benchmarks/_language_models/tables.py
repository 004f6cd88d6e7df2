"""Tables as the documentation shows them."""

import pandas as pd

from .rules import DEFAULT, NONE
from .summaries import verdict_on_repair


def readable_tables(found):
    """Yield tables by name; those of which there are no rows yet are empty.

    Parameters
    ----------
    found : dict of str to list of dict
        Rows of the functions of ``summaries``.
    """
    yield "table_progress", pd.DataFrame(found["progress"])
    yield "table_training", _training(found["training"])
    yield "table_shards", _shards(found["shards"])
    yield "table_scores", _scores(found["scores"])
    yield "table_repair", _repair(found["rules"])
    by_attribute = {}
    for row in found["rules"]:
        if row["deletion"] is None:
            key = row["corpus"], row["model"], row["attribute"]
            by_attribute.setdefault(key, []).append(row)
    for key, rows in by_attribute.items():
        yield "_".join(("table_rules", *key)), _rules(rows)
    yield "table_equal_gap", _equal_gap(found["equal_gap"])
    yield "table_deletions", _deletions(found["rules"])
    yield "table_costs", _costs(found["costs"])


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
            "seconds, training": f"{row['fit_seconds']:.0f}",
            "seconds, scoring": f"{row['score_seconds']:.0f}",
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
            "verdict": row["verdict"],
        }
        for row in rows
    )


def _scores(rows):
    """A column for each number of shards."""
    if not rows:
        return pd.DataFrame()
    table = pd.DataFrame(rows)
    keys = ["corpus", "model", "attribute", "group"]
    wide = table.pivot_table(index=keys, columns="S", values="mean", sort=False)
    wide = wide[sorted(wide)].map("{:.3f}".format)
    return wide.rename(columns="S = {}".format).reset_index()


def _repair(rows):
    """Default against none, in each case that has both."""
    shown = []
    for none in rows:
        if none["rule"] != NONE or "default_gap" not in none or none["deletion"]:
            continue
        default = next(
            row for row in rows if row["rule"] == DEFAULT and _case(row) == _case(none)
        )
        shown.append(
            {
                **_first_columns(none),
                "gap, no rule": _quantity(none, "gap"),
                "gap, default": _quantity(default, "gap"),
                "noise floor": f"{default['floor']:.3f}",
                "change of the gap": _quantity(none, "default_gap", "+.3f"),
                "change of balanced accuracy": _quantity(
                    none, "default_balanced_accuracy", "+.3f"
                ),
                "level": f"{none['level']:.2%}",
                "verdict": verdict_on_repair(none, default),
            }
        )
    return pd.DataFrame(shown)


def _rules(rows):
    return pd.DataFrame(
        {
            "S": _shown_shards(row["n_shards"], row["holds_out"]),
            "splits": row["folds"],
            "rule": row["rule"],
            "gap": _quantity(row, "gap"),
            "noise floor": f"{row['floor']:.3f}",
            "balanced accuracy": _quantity(row, "balanced_accuracy"),
            "default's gap, more": _quantity(row, "default_gap", "+.3f"),
            "default's balanced accuracy, more": _quantity(
                row, "default_balanced_accuracy", "+.3f"
            ),
        }
        for row in sorted(rows, key=lambda row: (row["n_shards"], row["holds_out"]))
    )


def _equal_gap(rows):
    """At equal gap, the default minus each other rule."""
    return pd.DataFrame(
        {
            **_first_columns(row),
            "rule": row["rule"],
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
            "forgotten": f"{row['share']:.0%} {row['deletion'].replace('=', ' ')}",
            "rule": row["rule"],
            "gap": _quantity(row, "gap"),
            "noise floor": f"{row['floor']:.3f}",
            "balanced accuracy": _quantity(row, "balanced_accuracy"),
        }
        for row in rows
        if row["deletion"] is not None
    )


def _costs(rows):
    return pd.DataFrame(
        {
            "model": row["model"],
            "S": row["S"],
            "forgotten": row["deletion"],
            "request": row["request"],
            "visits": f"{row['visits']:.1%}",
            "expected": f"{row['expected_visits']:.1%}",
            "seconds, of a training": f"{row['share_of_fit']:.1%}",
        }
        for row in rows
    )


def _case(row):
    names = ("corpus", "model", "attribute", "n_shards", "holds_out", "deletion")
    return *(row[name] for name in names), row["share"]


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
