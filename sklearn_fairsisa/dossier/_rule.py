"""What a fair rule does, and what is known of it for new people."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ..postprocessing._summary import rule_summary
from ._people import shown


def rule_facts(calibrated, name):
    """Return what a rule is, as a row of a table.

    Parameters
    ----------
    calibrated : EnsembleRule
    name : str
    """
    problem, rule, rows = calibrated.problem, calibrated.rule, calibrated.rows
    is_demanded = problem.confidence is not None
    bound = calibrated.bound if is_demanded and rule is not None else None
    costs = problem.objective
    return {
        "name": name,
        "method": problem.method,
        "constraint": constraint_text(problem, present(calibrated)),
        "tolerance": problem.slack if problem.name else None,
        "confidence": problem.confidence,
        "bound_at_confidence": bound,
        "confidence_holds": None if bound is None else bool(bound <= problem.slack),
        "objective": costs if isinstance(costs, str) else f"costs {list(costs)}",
        "decisions": [shown(label) for label in problem.decisions.tolist()],
        "groups": [shown(group) for group in present(calibrated)],
        "sensitive_at_predict": problem.sensitive_at_predict,
        "calibration_rows": len(rows),
        "calibration": "across shards" if calibrated.across else "rows held out",
        "randomised_share": None if rule is None else rule.randomised_share(rows),
        "is_behind": rule is None,
    }


def present(calibrated):
    """Return the groups that have rows left: the others' names came from erased ones.

    A rule keeps the names of groups that lost all their rows.
    """
    codes = np.unique(calibrated.rows.group)
    return [calibrated.problem.groups.tolist()[code] for code in codes]


def constraint_text(problem, groups):
    """Return the constraints in words, without bounds of groups that have no rows."""
    if problem.name:
        return problem.name
    texts = []
    left = replace(problem, groups=_as_array(groups))
    for constraint in problem.constraints:
        floors = getattr(constraint, "at_least", None)
        if isinstance(floors, Mapping):
            names, _ = left.parts(constraint, len(groups))
            floors = {name: floors[name] for name in names if name in floors}
            if not floors:
                continue
            constraint = replace(constraint, at_least=floors)
        texts.append(repr(constraint))
    return " and ".join(texts) or "none"


def _as_array(groups):
    array = np.empty(len(groups), dtype=object)
    array[:] = groups
    return array


def report_of(rule, calibrated):
    """Return the report on a rule, which names no group without rows.

    Parameters
    ----------
    rule : FairEnsemblePostprocessor
    calibrated : EnsembleRule
        Solved, and constraining some group.
    """
    report, groups = rule.fairness_report_, present(calibrated)
    others = [g for g in report.unconstrained_groups.tolist() if g in groups]
    return replace(
        report,
        constraint=constraint_text(calibrated.problem, groups),
        unconstrained_groups=_as_array(others),
    )


def report_tables(report):
    """Return the report's gaps and groups, lists of dicts."""
    bounds = [
        {"measure": str(name), **_plain(row)}
        for name, row in report.to_frame().iterrows()
    ]
    frame = report.group_frame()
    groups = [
        {**_plain(row), "group": shown(row["group"]), "is_enough": is_enough}
        for (_, row), is_enough in zip(
            frame.iterrows(), (frame["rows"] >= frame["rows_needed"]).tolist()
        )
    ]
    return {"bounds": bounds, "rule_groups": groups}


def _plain(row):
    """Return a row of a frame as JSON has it."""
    values = {name: getattr(v, "item", lambda v=v: v)() for name, v in row.items()}
    return {
        name: None if isinstance(v, float) and not np.isfinite(v) else v
        for name, v in values.items()
    }


def rule_in_words(calibrated):
    """Return sentences on how each group is decided on, a list."""
    return rule_summary(calibrated.rule).splitlines()
