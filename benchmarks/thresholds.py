"""What do decisions without randomness cost?

    python benchmarks/thresholds.py

``randomise=False`` gives each group the best threshold. For Adult and COMPAS, each by
two attributes, three constraints at ``tol=0.05``, five shards and balanced accuracy:
its objective in calibration, balanced accuracy and gap on new people, minus those of
the randomised rule, means over three folds. Some minutes of one core; nothing is
written.
"""

import argparse
import warnings

import numpy as np
from _common import print_table
from _tabular import load_table
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import StratifiedKFold

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.metrics import (
    expected_balanced_accuracy_score,
    expected_equalized_odds_difference,
)

TASKS = (("adult", "sex"), ("adult", "race"), ("compas", "sex"), ("compas", "race"))
CONSTRAINTS = "equalized_odds", "true_positive_rate_parity", "demographic_parity"


def judge(given, new, constraint, randomise):
    """Objective in calibration, balanced accuracy and equalized-odds gap."""
    X, y, group = given
    sisa = SISAClassifier(
        SGDClassifier(loss="log_loss", alpha=1e-3), n_shards=5, epochs=5, random_state=0
    )
    fair = FairEnsemblePostprocessor(
        sisa,
        constraints=constraint,
        objective="balanced_accuracy_score",
        tol=0.05,
        randomise=randomise,
        random_state=0,
    ).fit(X, y, sensitive_features=group)
    X, y, group = new
    chosen = fair.selection_probability(X, sensitive_features=group)
    return np.array(
        [
            fair.objective_,
            expected_balanced_accuracy_score(y, chosen),
            expected_equalized_odds_difference(y, chosen, sensitive_features=group),
        ]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, help="at most (default: all)")
    args = parser.parse_args()
    # That gaps on new people may exceed the tolerance is not the question here.
    warnings.simplefilter("ignore")
    rows = []
    for name, attribute in TASKS:
        table = load_table(name)
        drawn = np.random.default_rng(0).permutation(len(table.y))[: args.rows]
        data = table.X[drawn], table.y[drawn], table.groups[attribute][drawn]
        strata = [f"{label} {group}" for label, group in zip(*data[1:])]
        folds = StratifiedKFold(3, shuffle=True, random_state=0)
        for constraint in CONSTRAINTS:
            changes = []
            for train, test in folds.split(strata, strata):
                parts = [tuple(part[rows] for part in data) for rows in (train, test)]
                randomised, without = (
                    judge(*parts, constraint, randomise) for randomise in (True, False)
                )
                changes.append(without - randomised)
            objective, accuracy, gap = np.mean(changes, axis=0)
            rows.append(
                {
                    "task": f"{name}, {attribute}",
                    "constraint": constraint,
                    "objective in calibration": objective,
                    "balanced accuracy": accuracy,
                    "equalized-odds gap": gap,
                }
            )
    signed = dict.fromkeys(list(rows[0])[2:], "+.3f")
    print_table(rows, {"task": "", "constraint": "", **signed})


if __name__ == "__main__":
    main()
