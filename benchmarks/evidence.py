"""Decide fairly with evidence that knows the group, and without it, on new people.

``python benchmarks/evidence.py --cache DIR`` (HateXplain by ``SKLEARN_FAIRSISA_DATA``).
Each person is judged once per seed, by ensembles that were fitted on the other four
folds. All rows train, also those of no group; gap and balanced accuracy are those of
all people of a group, folds pooled. The rules over one ensemble:

- members: the default without heads, on the members' scores alone;
- heads: the default, with heads that know the group beside the members;
- inferred, 0.00 and 0.03: what decides on people whose group is inferred, at two
  tolerances in calibration.

The noise floor is the mean gap that a rule with the same rates would show by chance if
it were fair. Standard errors are by bootstrap over people.
"""

import argparse
import time
import warnings
from dataclasses import replace
from itertools import product

import numpy as np
from _common import add_output_argument, print_table, write_result
from _judging import OBJECTIVE
from _pieces import Pieces
from _tabular import load_table
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import KFold

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.metrics import (
    expected_balanced_accuracy_score,
    expected_equalized_odds_difference,
    noise_floor,
)
from sklearn_fairsisa.postprocessing._rule import learn_rule

TEXTS = {
    "religion": ("Islam", "Jewish"),
    "race": ("African", "Arab", "Asian", "Caucasian"),
}
TABLES = {
    "adult race": ("adult", "race"),
    "adult sex": ("adult", "sex"),
    "compas race": ("compas", "race"),
    "insurance": ("insurance", "ethnicity"),
}
# Chose nothing: measured once, after the method was final.
CONFIRMATION = "redditbias"
N_RESAMPLES = 200


def load(name, cache):
    """Features, labels, and groups, which are None where a row is of none."""
    if name in TEXTS:
        return load_posts(name, cache)
    if name == CONFIRMATION:
        return load_comments(cache)
    if name == "opposite":
        return make_opposite()
    table, attribute = TABLES[name]
    table = load_table(table)
    return table.X, table.y, np.asarray(table.groups[attribute], dtype=object)


def load_posts(attribute, cache, target="binary"):
    """Frozen vectors of all posts of HateXplain."""
    from sklearn_fairsisa.datasets import fetch_hatexplain

    posts = fetch_hatexplain(target=target)
    group = np.array(posts.groups[attribute], dtype=object)
    group[~np.isin(group, TEXTS[attribute])] = None
    return embed(posts.data, cache), posts.target, group


def load_comments(cache):
    """Frozen vectors of the comments of RedditBias, on people of five groups."""
    from sklearn_fairsisa.datasets import fetch_redditbias

    comments = fetch_redditbias()
    group = np.array(comments.sensitive_features, dtype=object)
    return embed(comments.data, cache), comments.target, group


def embed(texts, cache):
    """Frozen vectors of texts."""
    from sklearn_fairsisa.cli._learner import make_learner

    _, encoder, _ = make_learner(
        "minilm", frozen=True, epochs=None, batch_size=32, max_length=128, cache=cache
    )
    texts = np.array([str(text) for text in texts], dtype=object)
    return encoder.fit_transform(texts[:, None])


def make_opposite(n=6000):
    """Make a known truth: positives of two groups lie in different directions."""
    rng = np.random.default_rng(0)
    X, group = rng.normal(size=(n, 6)), rng.integers(0, 2, n)
    X[:, 2] += 3 * group
    margin = np.where(group == 0, X[:, 0] + X[:, 1], X[:, 0] - X[:, 1])
    y = rng.random(n) < 1 / (1 + np.exp(-1.2 * margin))
    return X, y.astype(int), np.where(group == 0, "a", "b").astype(object)


def measure(data, n_shards, seed):
    """Decisions on every person of a group by each rule, and seconds."""
    X, y, group = data
    decided, seconds = {}, {}
    for train, test in KFold(5, shuffle=True, random_state=seed).split(X):
        test = test[[g is not None for g in group[test]]]
        learner = SGDClassifier(loss="log_loss", alpha=1e-3)
        sisa = SISAClassifier(learner, n_shards=n_shards, epochs=5, random_state=seed)
        fair = FairEnsemblePostprocessor(
            sisa, objective=OBJECTIVE, unknown_group="inferred", random_state=seed
        )
        started = time.perf_counter()
        fair.fit(X[train], y[train], sensitive_features=group[train])
        seconds["fit"] = seconds.get("fit", 0) + time.perf_counter() - started
        serving = fair._serving()
        rows, problem = serving.calibrated.rows, serving.calibrated.problem
        code = np.searchsorted(problem.groups.astype(str), group[test].astype(str))
        scores = serving.evidence(X[test], code)
        plain = replace(problem, accepts_unknown=False)
        bare, solve = learn_rule(rows.of_members, plain)(0.0), learn_rule(rows, problem)
        unknown = np.full(len(code), -1)
        probability = {
            "members": bare.selection_probability(scores[:, :n_shards], code),
            "heads": fair.selection_probability(
                X[test], sensitive_features=group[test]
            ),
        } | {
            f"inferred, {tol:.2f}": solve(tol).selection_probability(scores, unknown)
            for tol in (0.0, 0.03)
        }
        for name, chosen in probability.items():
            decided.setdefault(name, np.full(len(y), np.nan))[test] = chosen
    return decided, seconds


def judge(decided, y, group):
    """Gap and balanced accuracy of each rule, paired with that of members alone."""

    def gap(chosen, y, group):
        return expected_equalized_odds_difference(y, chosen, sensitive_features=group)

    judged = paired(decided, y, group, expected_balanced_accuracy_score)
    for name, chosen, label, of, draws, gains in judged:
        floor = noise_floor(label, chosen, sensitive_features=of, random_state=0)
        yield {
            "rule": name,
            "gap": gap(chosen, label, of),
            "gap_error": np.std([gap(chosen[r], label[r], of[r]) for r in draws]),
            "floor": floor.mean,
            **gains,
        }


def paired(decided, y, group, accuracy):
    """Yield the decisions of each rule, and its gain over members alone.

    Parameters
    ----------
    decided : dict of str to ndarray of shape (n_samples,) or (n_samples, n_classes)
        Decisions in expectation, of rules and of ``"members"``.
    y : ndarray of shape (n_samples,)
    group : ndarray of shape (n_samples,)
        None where a person is of no group, and not judged.
    accuracy : callable
        Balanced accuracy, of labels and decisions.

    Yields
    ------
    name : str
    chosen, y, group : ndarray
        Of the people judged.
    draws : list of ndarray of int
        Resamples of these people, the same for all rules.
    gains : dict
        Balanced accuracy, its gain over members alone, and the standard error of that.
    """
    known = np.flatnonzero([g is not None for g in group])
    y, group = y[known], group[known].astype(str)
    rng = np.random.default_rng(0)
    draws = [rng.integers(len(y), size=len(y)) for _ in range(N_RESAMPLES)]
    base = decided["members"][known]
    for name, chosen in decided.items():
        chosen = chosen[known]
        found = accuracy(y, chosen)
        gains = [accuracy(y[r], chosen[r]) - accuracy(y[r], base[r]) for r in draws]
        yield (
            name,
            chosen,
            y,
            group,
            draws,
            {
                "balanced_accuracy": found,
                "gain": found - accuracy(y, base),
                "gain_error": np.std(gains),
            },
        )


def main():
    """Measure what is missing, then print means over seeds."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [*TEXTS, *TABLES, "opposite"]
    parser.add_argument(
        "--tasks", nargs="+", choices=[*names, CONFIRMATION], default=names
    )
    parser.add_argument("--shards", type=int, nargs="+", default=[5])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cache", help="folder of the encoder's vectors")
    add_output_argument(parser, "evidence")
    args = parser.parse_args()
    pieces, rows = Pieces.beside(args.output), []
    for name, n_shards in product(args.tasks, args.shards):
        data = None
        for seed in range(args.seeds):
            key = {"task": name, "n_shards": n_shards, "seed": seed}
            found = pieces.read(key)
            if found is None:
                data = load(name, args.cache) if data is None else data
                decided, seconds = measure(data, n_shards, seed)
                found = [{**row, **seconds} for row in judge(decided, *data[1:])]
                pieces.keep(key, found)
                print(key, flush=True)
            rows += [{**key, **row} for row in found]
    means = summarise(rows)
    print_table(means)
    write_result(args.output, args, {"means": means})


def summarise(rows):
    """Means over seeds."""
    cells = {}
    for row in rows:
        cells.setdefault((row["task"], row["n_shards"], row["rule"]), []).append(row)
    measured = [k for k in rows[0] if k not in ("task", "n_shards", "seed", "rule")]
    return [
        dict(zip(("task", "n_shards", "rule"), cell))
        | {"seeds": len(found)}
        | {k: float(np.mean([row[k] for row in found])) for k in measured}
        for cell, found in cells.items()
    ]


if __name__ == "__main__":
    main()
