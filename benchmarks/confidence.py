"""Does the true gap of a fair rule lie where ``fairness_report_`` says it does?

    python benchmarks/confidence.py

Rules are fitted, again and again, on synthetic calibration rows of groups large and
small, and their true gap is measured on 30,000 new people per group. The first table
compares four 95% bounds of the gap: how often they hold, and their height relative to
the gap's own 95% quantile, which is the best that a bound can do. The second shows the
report's bound for rules of three classes, the third for the default method over
ensembles, among them trees, over stepwise scores, over many small groups and without
the group, the fourth how often the true gap stays within ``tol=0.1``, without and with
``confidence=0.95``. A run continues where an earlier one was cut off (see
``_pieces.py``); ``--tables`` names those to measure now.
"""

import argparse
import time
import warnings
from itertools import product

import numpy as np
from _classes import confusion_gap
from _common import add_output_argument, print_table, write_result
from _judging import judge
from _pieces import Pieces
from no_harm import scores_of, steps
from scipy.special import expit, softmax
from sklearn.linear_model import SGDClassifier
from sklearn.tree import DecisionTreeClassifier

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.exceptions import (
    DegenerateRuleWarning,
    SharedCoinWarning,
    UnsupportedToleranceWarning,
)
from sklearn_fairsisa.fairness._confidence import estimate_rates, spread_quantile

# Negatives and positives of each group.
WORLDS = {
    "2 large": [(1000, 800)] * 2,
    "3 mixed": [(1000, 800), (300, 200), (60, 50)],
    "4 small": [(50, 50)] * 4,
    "large and tiny": [(400, 400), (20, 20)],
}
RULES = [
    ("aggregate_then_postprocess", 5),
    ("ensemble", 5),
    ("ensemble", 10),
    ("soft_ensemble", 1),
    ("soft_ensemble", 10),
    ("smooth_ensemble", 10),
]
# People of each class in each group.
WORLDS_OF_CLASSES = {
    "2 large": [(600, 500, 400)] * 2,
    "large and small": [(600, 500, 400), (80, 60, 50)],
}
RULES_OF_CLASSES = [
    ("aggregate_then_postprocess", 5),
    ("postprocess_then_aggregate", 5),
    ("ensemble", 3),
    ("ensemble", 6),
    ("soft_ensemble", 5),
]
TOLERANCES = [
    ("2 large", "aggregate_then_postprocess", 5),
    ("2 large", "ensemble", 5),
    ("2 large", "soft_ensemble", 10),
    ("2 large", "smooth_ensemble", 10),
    ("3 mixed", "aggregate_then_postprocess", 5),
    ("3 large", "aggregate_then_postprocess", 5),
    ("3 large", "soft_ensemble", 1),
    ("3 large", "ensemble", 5),
    ("3 large", "smooth_ensemble", 1),
]
WORLDS_OF_TOLERANCES = {**WORLDS, "3 large": [(2000, 1600), (800, 600), (400, 400)]}
LEVEL = 0.95
TOL = 0.1
BOUNDS = ("fixed", "DKW", "out_of_bag", "cross_fitted")


def draw(sizes, n_members, rng):
    """Members' scores, labels and groups; members say less of later groups."""
    group = np.concatenate([np.full(sum(size), a) for a, size in enumerate(sizes)])
    y = np.concatenate([np.repeat([0, 1], size) for size in sizes])
    strength = np.linspace(0.84, 0.36, len(sizes))[group]
    shift = np.linspace(0.3, -0.3, len(sizes))[group]
    latent = (2 * y - 1) * strength + shift + 0.7 * rng.normal(size=len(y))
    return (
        expit(1.5 * (latent[:, None] + rng.normal(size=(len(y), n_members)))),
        y,
        group,
    )


def draw_classes(sizes, n_members, rng):
    """Members' scores of three classes; members say less of later groups."""
    group = np.concatenate([np.full(sum(size), a) for a, size in enumerate(sizes)])
    y = np.concatenate([np.repeat([0, 1, 2], size) for size in sizes])
    strength = np.linspace(1.6, 0.8, len(sizes))[group]
    margin = rng.normal(size=(len(y), 1, 3)) + rng.normal(size=(len(y), n_members, 3))
    margin[:, :, 0] += np.linspace(0.4, -0.4, len(sizes))[group, None]
    margin[np.arange(len(y)), :, y] += strength[:, None]
    return softmax(margin, axis=2).reshape(len(y), -1), y, group


def fit(data, estimator=None, **params):
    scores, y, group = data
    fair = FairEnsemblePostprocessor(
        estimator, objective="balanced_accuracy_score", random_state=0, **params
    )
    return fair.fit(scores, y, sensitive_features=group)


def rates_of(fair, data):
    """Selection probabilities, then the estimated FPR and TPR of every group."""
    scores, y, group = data
    p = fair.selection_probability(scores, sensitive_features=group)
    return p, [
        estimate_rates(group[y == label], p[y == label], None, group.max() + 1)
        for label in (0, 1)
    ]


def gap_of(rates):
    return max(rate.spread for rate in rates)


def balanced_accuracy(p, data):
    y = data[1]
    # Every world has as many new people of each kind.
    return (1 - p[y == 0].mean() + p[y == 1].mean()) / 2


def out_of_bag_bound(data, params, rng, n_resamples=12):
    """Quantile of the gaps of refitted rules on the rows that they were not given."""
    scores, y, group = data
    strata = 2 * group + y
    gaps = []
    for _ in range(n_resamples):
        inside = np.concatenate(
            [
                rng.choice(np.flatnonzero(strata == s), (strata == s).sum())
                for s in np.unique(strata)
            ]
        )
        outside = np.setdiff1d(np.arange(len(y)), inside)
        fair = fit((scores[inside], y[inside], group[inside]), **params)
        _, rates = rates_of(fair, (scores[outside], y[outside], group[outside]))
        gaps.append(gap_of(rates))
    return np.quantile(gaps, LEVEL)


def dkw_bound(rates):
    """Bound for thresholds on a given score, whatever its distribution."""
    n_curves = sum(len(rate.size) for rate in rates)
    widths = [np.sqrt(np.log(2 * n_curves / (1 - LEVEL)) / 2 / r.size) for r in rates]
    return min(1.0, gap_of(rates) + max(np.sort(w)[-2:].sum() for w in widths))


def examine_bounds(sizes, method, n_members, repeats, seed):
    """How four bounds fare on one kind of rule."""
    rng = np.random.default_rng(seed)
    people = draw([(15_000, 15_000)] * len(sizes), n_members, rng)
    gaps, in_interval, expected = [], [], []
    bounds = {name: [] for name in BOUNDS}
    for _ in range(repeats):
        data = draw(sizes, n_members, rng)
        fair = fit(data, method=method)
        gaps.append(gap_of(rates_of(fair, people)[1]))
        _, calibrated = rates_of(fair, data)
        report = fair.fairness_report_
        around = [(rate.rate, rate.error) for rate in calibrated]
        bounds["fixed"].append(spread_quantile(LEVEL, around))
        bounds["DKW"].append(dkw_bound(calibrated))
        bounds["out_of_bag"].append(out_of_bag_bound(data, {"method": method}, rng))
        bounds["cross_fitted"].append(report.bound)
        row = report.to_frame().iloc[0]
        in_interval.append(row["low"] <= gaps[-1] <= row["high"])
        expected.append(row["expected"])
    best = np.quantile(gaps, LEVEL)
    result = {
        "true_gap": np.mean(gaps),
        "expected": np.mean(expected),
        "quantile": best,
        "interval_holds": np.mean(in_interval),
    }
    for name, bound in bounds.items():
        result[f"{name}_holds"] = np.mean(np.array(gaps) <= bound)
        result[f"{name}_height"] = np.mean(bound) / best
    return result


def examine_classes(sizes, method, n_members, repeats, seed):
    """How the report's bound fares with three classes."""
    rng = np.random.default_rng(seed)
    people = draw_classes([(10_000,) * 3] * len(sizes), n_members, rng)
    gaps, bounds, in_interval, expected, seconds = [], [], [], [], []
    for _ in range(repeats):
        fair = fit(draw_classes(sizes, n_members, rng), method=method)
        begun = time.perf_counter()
        report = fair.fairness_report_
        row = report.to_frame().iloc[0]
        seconds.append(time.perf_counter() - begun)
        scores, y, group = people
        p = fair.selection_probability(scores, sensitive_features=group)
        gaps.append(confusion_gap(p, y, group))
        bounds.append(row["bound"])
        in_interval.append(row["low"] <= gaps[-1] <= row["high"])
        expected.append(row["expected"])
    return summary_of(gaps, bounds, in_interval, expected, seconds)


def examine_tolerance(sizes, method, n_members, repeats, seed):
    """How often the true gap stays within the tolerance, and at what cost."""
    rng = np.random.default_rng(seed)
    people = draw([(15_000, 15_000)] * len(sizes), n_members, rng)
    plain, sure, supported, tols, seconds = [], [], [], [], []
    for _ in range(repeats):
        data = draw(sizes, n_members, rng)
        for outcomes, confidence in ((plain, None), (sure, LEVEL)):
            begun = time.perf_counter()
            fair = fit(data, method=method, tol=TOL, confidence=confidence)
            took = time.perf_counter() - begun
            p, rates = rates_of(fair, people)
            outcomes.append((gap_of(rates), balanced_accuracy(p, people)))
        tols.append(fair.tol_)
        supported.append(fair.fairness_report_.holds)
        seconds.append(took)
    plain, sure = np.array(plain), np.array(sure)
    supported = np.array(supported)
    within = sure[supported, 0] <= TOL
    return {
        "plain_within": np.mean(plain[:, 0] <= TOL),
        "plain_accuracy": plain[:, 1].mean(),
        "supported": supported.mean(),
        "within_if_supported": within.mean() if len(within) else np.nan,
        "quantile_if_supported": np.quantile(sure[supported, 0], LEVEL)
        if len(within)
        else np.nan,
        "within": np.mean(sure[:, 0] <= TOL),
        "accuracy": sure[:, 1].mean(),
        "tol_": np.mean(tols),
        "seconds": np.median(seconds),
    }


def draw_rows(n, rng):
    """Features that show the label, by group in other directions, and the group."""
    X, group = rng.normal(size=(n, 6)), (rng.random(n) < 0.3).astype(int)
    X[:, 2] += 2.5 * group
    margin = X[:, 0] + np.where(group == 0, 0.8, -0.4) * X[:, 1] + 0.4 * group
    return X, (rng.random(n) < expit(1.2 * margin)).astype(int), group


def draw_steps(n, rng):
    """Five members' scores, along which the share of positives jumps."""
    score, y, group = steps(n, rng)
    return scores_of(score, rng), y, group


def draw_small(n, rng):
    """Members' scores of eight groups of the same size."""
    return draw([(n // 16, n // 16)] * 8, 5, rng)


def over(learner, **params):
    """Return a function that fits the default over five shards, on all rows."""

    def fitted(data):
        return fit(data, estimator=SISAClassifier(learner, random_state=0), **params)

    return fitted


LOGISTIC = SGDClassifier(loss="log_loss", alpha=1e-3)
WAYS = {
    "logistic members, 1,200 rows": (draw_rows, 1200, over(LOGISTIC)),
    "trees, 1,200 rows": (
        draw_rows, 1200, over(DecisionTreeClassifier(min_samples_leaf=10)),
    ),
    "without the group, 1,200 rows": (
        draw_rows, 1200, over(LOGISTIC, sensitive_at_predict=False),
    ),
    "stepwise scores, 1,200 rows": (draw_steps, 1200, fit),
    "8 groups of 50": (draw_small, 400, fit),
}  # fmt: skip
"""How rows are drawn, how many, and what is fitted on them."""


def examine_way(way, method, n_members, repeats, seed):
    """How the report's bound fares with the default method."""
    draw_people, n, fitted = way
    rng = np.random.default_rng(seed)
    X, *truth = draw_people(60_000, rng)
    gaps, bounds, in_interval, expected, seconds = [], [], [], [], []
    for _ in range(repeats):
        fair = fitted(draw_people(n, rng))
        begun = time.process_time()
        row = fair.fairness_report_.to_frame().iloc[0]
        seconds.append(time.process_time() - begun)
        known = (
            {} if not fair.sensitive_at_predict else {"sensitive_features": truth[1]}
        )
        p = fair.selection_probability(X, **known)
        gaps.append(judge(p, *truth)["gap"])
        bounds.append(row["bound"])
        in_interval.append(row["low"] <= gaps[-1] <= row["high"])
        expected.append(row["expected"])
    return summary_of(gaps, bounds, in_interval, expected, seconds)


def summary_of(gaps, bounds, in_interval, expected, seconds):
    """How often the report's bound and interval hold, and how high it is."""
    best = np.quantile(gaps, LEVEL)
    return {
        "true_gap": np.mean(gaps),
        "expected": np.mean(expected),
        "quantile": best,
        "interval_holds": np.mean(in_interval),
        "cross_fitted_holds": np.mean(np.array(gaps) <= bounds),
        "cross_fitted_height": np.mean(bounds) / best,
        "seconds": np.median(seconds),
    }


def lines():
    """Each line to be measured: its table, function, groups, sizes, method, members."""
    for (name, sizes), (method, n_members) in product(WORLDS.items(), RULES):
        yield "bounds", examine_bounds, name, sizes, method, n_members
    for (name, sizes), rule in product(WORLDS_OF_CLASSES.items(), RULES_OF_CLASSES):
        yield "classes", examine_classes, name, sizes, *rule
    for name, way in WAYS.items():
        yield "ways", examine_way, name, way, "smooth_ensemble", 5
    for name, method, n_members in TOLERANCES:
        sizes = WORLDS_OF_TOLERANCES[name]
        yield "tolerances", examine_tolerance, name, sizes, method, n_members


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=30, help="rules per line")
    parser.add_argument("--seed", type=int, default=0)
    names = ["bounds", "classes", "ways", "tolerances"]
    parser.add_argument("--tables", nargs="+", choices=names, default=names)
    add_output_argument(parser, "confidence")
    arguments = parser.parse_args()
    for expected in (
        DegenerateRuleWarning,
        SharedCoinWarning,
        UnsupportedToleranceWarning,
    ):
        warnings.simplefilter("ignore", expected)

    tables = {name: [] for name in names}
    pieces = Pieces.beside(arguments.output)
    numbers = {"repeats": arguments.repeats, "seed": arguments.seed}
    for table, examine, name, sizes, method, n_members in lines():
        line = {"groups": name, "method": method, "S": n_members, **numbers}
        key = {"table": table, **line}
        found = pieces.read(key)
        if found is None and table not in arguments.tables:
            continue
        if found is None:
            print(key, flush=True)
            found = examine(sizes, method, n_members, **numbers)
            pieces.keep(key, found)
        tables[table].append({**line, **found})
    write_result(arguments.output, arguments, {"pieces": pieces.counts, **tables})

    heads = dict.fromkeys(("groups", "method", "S"), "")
    columns = {"true_gap": ".3f", "expected": ".3f", "interval_holds": ".2f"}
    pairs = [f"{name}_{what}" for name in BOUNDS for what in ("holds", "height")]
    more = dict.fromkeys((*pairs[-2:], "seconds"), ".2f")
    shown = {
        "bounds": columns | dict.fromkeys(pairs, ".2f"),
        "classes": columns | more,
        "ways": columns | more,
    }
    for name, rows in tables.items():
        if rows:
            rest = (key for key in rows[0] if key not in (*heads, *numbers))
            print_table(rows, heads | shown.get(name, dict.fromkeys(rest, ".3f")))
            print()


if __name__ == "__main__":
    main()
