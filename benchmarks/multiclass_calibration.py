"""Hold rows out or calibrate across shards, when there are three classes?

Run ``python benchmarks/multiclass_calibration.py``. On synthetic rows of three classes
and three groups, members are logistic models or trees grown to purity, which memorise.
Each method is calibrated on 20% of the rows, held out from the members, or across
shards on all rows, new people being judged without each member in turn. Accuracy and
gap (the greatest difference between groups of a confusion rate) are those of 30,000 new
people at ``tol=0``, means over seeds with standard errors.
"""

import argparse
import warnings
from itertools import product

import numpy as np
from _classes import confusion_gap
from _common import add_output_argument, print_table, write_result
from sklearn.linear_model import SGDClassifier
from sklearn.tree import DecisionTreeClassifier

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.exceptions import DegenerateRuleWarning

LEARNERS = {
    "logistic": SGDClassifier(loss="log_loss", alpha=0.01),
    "tree": DecisionTreeClassifier(),
}
SIZES = [(1000, 5), (3000, 10)]
METHODS = ("aggregate_then_postprocess", "ensemble", "soft_ensemble")
CALIBRATIONS = (0.2, "cross_shard")


def draw(n, rng):
    """Features, labels and groups; the features say less of later groups."""
    group, y = rng.integers(0, 3, (2, n))
    strength = np.array([1.4, 1.1, 0.8])[group]
    X = rng.normal(size=(n, 6))
    X[:, :3] += strength[:, None] * np.eye(3)[y]
    X[:, 3] += 0.5 * strength * (y == 1) * (group - 1)
    return X, y, group


def judge(fair, people):
    """Accuracy, gap, and share of new people decided on by a coin."""
    X, y, group = people
    p = fair.selection_probability(X, sensitive_features=group)
    random = ((p > 0) & (p < 1)).any(axis=1)
    return p[np.arange(len(y)), y].mean(), confusion_gap(p, y, group), random.mean()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=10)
    add_output_argument(parser, "multiclass_calibration")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", DegenerateRuleWarning)
    people = draw(30_000, np.random.default_rng(99))
    lines = []
    for (n, n_shards), (name, learner), method, calibration in product(
        SIZES, LEARNERS.items(), METHODS, CALIBRATIONS
    ):
        found = []
        for seed in range(arguments.seeds):
            X, y, group = draw(n, np.random.default_rng(seed))
            sisa = SISAClassifier(learner, n_shards=n_shards, random_state=seed)
            fair = FairEnsemblePostprocessor(
                sisa, method=method, calibration=calibration, random_state=seed
            ).fit(X, y, sensitive_features=group)
            found.append(judge(fair, people))
        error = np.std(found, axis=0, ddof=1) / np.sqrt(len(found))
        accuracy, gap, randomised = np.mean(found, axis=0)
        lines.append(
            {
                "rows": n,
                "S": n_shards,
                "members": name,
                "method": method,
                "calibration": str(calibration),
                "accuracy": accuracy,
                "accuracy_error": error[0],
                "gap": gap,
                "gap_error": error[1],
                "randomised": randomised,
            }
        )
    print_table(
        lines,
        dict.fromkeys(list(lines[0])[:5], "")
        | dict.fromkeys(list(lines[0])[5:], ".3f"),
    )
    write_result(arguments.output, arguments, {"lines": lines})


if __name__ == "__main__":
    main()
