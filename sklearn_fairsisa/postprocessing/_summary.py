"""A rule in a few lines per group."""

import numpy as np
import pandas as pd

from ._methods import METHODS

# Cells of each group that are shown, the heaviest ones of equal probabilities.
_MOST_LINES = 6


def rule_lines(rule):
    """Decisions of each group, by the cells that get them.

    Parameters
    ----------
    rule : FairRule
        One that constrains some group.

    Returns
    -------
    DataFrame
        Columns group, decision, cells, and share of the group's weight.
    """
    table, classes = rule.table(), rule.problem.decisions
    probability = table.iloc[:, 3:].to_numpy()
    if len(classes) == 2:
        probability = np.column_stack([1 - probability, probability])
    groups, records = table["group"].tolist(), []
    for name in dict.fromkeys(groups):
        inside = np.array([group == name for group in groups])
        mass = table["mass"].to_numpy()[inside]
        lines = _lines_of_group(
            table["cell"].to_numpy()[inside],
            mass / mass.sum(),
            probability[inside],
            classes,
        )
        records += [{"group": name, **line} for line in lines]
    return pd.DataFrame(records)


def rule_summary(rule):
    """Sentences that say what the cells are, and how each group is decided on.

    Parameters
    ----------
    rule : FairRule
        One that constrains some group.

    Returns
    -------
    str
    """
    lines, classes = [cells_of(rule.problem)], rule.problem.decisions
    if len(classes) == 2:
        lines[0] += f" Selected people get the decision {classes[1]}."
    frame = rule_lines(rule)
    groups = frame["group"].tolist()
    for name in dict.fromkeys(groups):
        inside = frame[[group == name for group in groups]]
        parts = (
            f"{decision} {cells} ({_percent(share)} of people)"
            for decision, cells, share in zip(
                inside["decision"], inside["cells"], inside["share"]
            )
        )
        shown = ", ".join(map(str, name)) if isinstance(name, tuple) else name
        lines.append(f"{shown}: {'; '.join(parts)}.")
    return "\n".join(lines)


def _percent(share):
    return f"{share:.0%}" if share >= 0.005 else "under 1%"


def cells_of(problem):
    """What the cells of a problem's rules are, a sentence."""
    method = METHODS[problem.method]
    has_scores = len(problem.classes) == 2 and problem.sensitive_at_predict
    return method.cells if has_scores else method.cells_of_more


def _lines_of_group(cells, share, probability, classes):
    kinds, kind = np.unique(probability.round(12), axis=0, return_inverse=True)
    kind = kind.ravel()
    if all(cell.startswith("[") for cell in cells):
        # In the order of the score, from the greatest.
        shown = [
            (_decision(p, classes), _interval(cell), part)
            for cell, part, p in zip(cells, share, probability)
        ]
    else:
        shares = np.bincount(kind, share)
        shown = [
            (_decision(kinds[k], classes), _named(cells[kind == k]), shares[k])
            for k in np.argsort(-shares, kind="stable")
        ]
    lines = [dict(zip(("decision", "cells", "share"), line)) for line in shown]
    if len(lines) > _MOST_LINES:
        rest = lines[_MOST_LINES - 1 :]
        others = sum(line["share"] for line in rest)
        cells = f"in {len(rest)} other ways"
        lines[_MOST_LINES - 1 :] = [
            {"decision": "decided", "cells": cells, "share": others}
        ]
    return lines


def _decision(probability, classes):
    """The decision, or its probability; of two classes that of the positive one."""
    if len(classes) == 2:
        classes = "rejected", "selected"
        probability = probability[1:] if 0 < probability[1] < 1 else probability
    if len(probability) == 1:
        return f"{probability[0]:.0%} selected"
    if probability.max() == 1:
        return f"{classes[probability.argmax()]}"
    return ", ".join(f"{p:.0%} {c}" for p, c in zip(probability, classes) if p > 0)


def _interval(cell):
    low, high = (f"{float(end):.3g}" for end in cell.strip("[)").split(", "))
    if low == "-inf":
        return "always" if high == "inf" else f"below {high}"
    return f"from {low}" if high == "inf" else f"from {low} to {high}"


def _named(cells):
    if len(cells) == 1:
        return f"for {cells[0]}"
    return f"for {len(cells)} cells such as {cells[0]}"
