"""Fit rules where little or nothing is wrong, on known truths: what harm do they do?

Run ``python benchmarks/no_harm.py``; it takes a few minutes on one core and writes
``results/no_harm.json``. Rules for equalized odds are calibrated on given scores, and
judged on 120,000 new people:

- equal: all groups are of one distribution; a rule can only do harm;
- steps: the share of positives jumps along the score, otherwise in each group;
- band: the scores of one group lie in a narrow band;
- differ: three groups of different evidence, which a rule should not take for equal.
"""

import argparse

import numpy as np
from _common import add_output_argument, print_table, write_result
from _judging import OBJECTIVE, judge
from scipy.special import expit

from sklearn_fairsisa import FairEnsemblePostprocessor

N_NEW = 120_000


def equal(n, n_groups, rng):
    """Scores that tell alike in all groups."""
    group, y = np.arange(n) % n_groups, rng.integers(0, 2, n)
    return rng.normal(0.75 * (2 * y - 1)), y, group


def steps(n, rng):
    """Shares of positives that jump along the score."""
    group, score = (rng.random(n) < 0.3).astype(int), rng.normal(size=n)
    level = np.floor(1.2 * score) + 0.5
    chance = expit(np.where(group == 1, 1.0, 1.7) * level + 0.3 * group)
    return score, (rng.random(n) < chance).astype(int), group


def band(n, rng):
    """A group whose scores are a twentieth as wide."""
    group, truth = (rng.random(n) < 0.3).astype(int), rng.normal(size=n)
    y = (rng.random(n) < expit(2 * truth)).astype(int)
    return np.where(group == 1, 0.05 * truth + 0.5, truth), y, group


def differ(n, rng):
    """Groups of different base rates, and whose scores tell more or less."""
    group = np.arange(n) % 3
    y = (rng.random(n) < np.array([0.5, 0.3, 0.6])[group]).astype(int)
    told = np.array([0.9, 0.5, 0.7])[group] * (2 * y - 1)
    return rng.normal(told + np.array([0, 0.3, -0.2])[group]), y, group


CASES = {
    "equal, 3 groups of 200": (600, lambda n, rng: equal(n, 3, rng)),
    "equal, 30 groups of 60": (1800, lambda n, rng: equal(n, 30, rng)),
    "steps, 3,000 rows": (3000, steps),
    "steps, 30,000 rows": (30_000, steps),
    "band, 3,000 rows": (3000, band),
    "differ, 600 rows": (600, differ),
    "differ, 3,000 rows": (3000, differ),
}


def scores_of(score, rng):
    """Five members that err a little around a score."""
    noise = 0.2 * rng.normal(size=(len(score), 5))
    return expit(1.5 * (score[:, None] + noise))


def measure(n, make, seed):
    """Gap and balanced accuracy of each rule on new people."""
    score, y, group = make(n, np.random.default_rng(seed))
    members = scores_of(score, np.random.default_rng([seed, 1]))
    score, *truth = make(N_NEW, np.random.default_rng([seed, 2]))
    new = scores_of(score, np.random.default_rng([seed, 3]))
    yield "no rule", judge((new.mean(axis=1) > 0.5).astype(float), *truth)
    for method in ("soft_ensemble", "smooth_ensemble"):
        fair = FairEnsemblePostprocessor(
            method=method, objective=OBJECTIVE, random_state=0
        ).fit(members, y, sensitive_features=group)
        p = fair.selection_probability(new, sensitive_features=truth[1])
        yield method, judge(p, *truth)


def main():
    """Measure each case over some seeds, and print the means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=12)
    add_output_argument(parser, "no_harm")
    args = parser.parse_args()
    means = []
    for name, (n, make) in CASES.items():
        found = {}
        for seed in range(args.seeds):
            for rule, quality in measure(n, make, seed):
                found.setdefault(rule, []).append(quality)
        for rule, qualities in found.items():
            row = {"case": name, "rule": rule}
            for key in ("gap", "balanced_accuracy"):
                values = [quality[key] for quality in qualities]
                row[key] = float(np.mean(values))
                row[f"{key}_error"] = float(np.std(values) / np.sqrt(len(values)))
            means.append(row)
    print_table(means)
    write_result(args.output, args, {"means": means})


if __name__ == "__main__":
    main()
