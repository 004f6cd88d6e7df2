"""What weighing the members costs, or gains, against the plain mean of their logits.

Run ``python benchmarks/exchangeable.py``; it takes some minutes on one core, and writes
``results/exchangeable.json``. Members of one learner on shards drawn at random are
exchangeable: weights that are learnt from few rows are then noise. For each learner and
task the default is calibrated on 1,200 rows, once on the scores of five members, which
it may weigh, and once on the mean of their logits as the only score. Both decide on the
same new people. The interval of the difference is over random splits, whose rows
overlap, so it is too narrow.

The default's weights were chosen on the first four tasks; on the others nothing was.
"""

import argparse
import os
import warnings
from itertools import product

import numpy as np
from _common import add_output_argument, print_table, write_result
from _judging import OBJECTIVE, judge
from _tasks import large_groups, load
from scipy.special import expit, logit
from scipy.stats import t as student
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier

LEARNERS = {
    "logistic": SGDClassifier(loss="log_loss", alpha=1e-3),
    "trees": DecisionTreeClassifier(min_samples_leaf=5),
    "pure trees": DecisionTreeClassifier(),
    "forests": RandomForestClassifier(30, min_samples_leaf=3),
    "bagging": BaggingClassifier(DecisionTreeClassifier(), 10),
    "neighbours": KNeighborsClassifier(15),
}
CHOSEN_ON = "synthetic", "compas", "adult", "insurance"
OTHERS = "arrests", "mortgages", "wages", "crime"
N_ROWS, N_CALIBRATE, TRAINS = 9000, 1200, 0.35


def members_of(task, learner, split):
    """Scores, labels and groups of rows that calibrate and of new people."""
    X, y, group = large_groups(*load(task, None))
    y = np.asarray(y)
    rows = np.random.default_rng(split).permutation(len(y))[:N_ROWS]
    n_train = int(TRAINS * len(rows))
    train, calibrate, new = np.split(rows, [n_train, n_train + N_CALIBRATE])
    epochs = {"epochs": 5} if hasattr(learner, "partial_fit") else {}
    sisa = SISAClassifier(learner, n_shards=5, random_state=split, **epochs)
    sisa.fit(X[train], y[train])
    return [(sisa.transform(X[i]), y[i], group[i]) for i in (calibrate, new)]


def quality(calibrate, new):
    """Gap and balanced accuracy of the default, calibrated on some rows."""
    scores, y, group = calibrate
    fair = FairEnsemblePostprocessor(objective=OBJECTIVE, random_state=0)
    fair.fit(scores, y, sensitive_features=group)
    scores, y, group = new
    return judge(fair.selection_probability(scores, sensitive_features=group), y, group)


def averaged(people):
    """The same with the mean of the logits as the only score."""
    scores, *truth = people
    return expit(logit(scores.clip(1e-6, 1 - 1e-6)).mean(axis=1))[:, None], *truth


def main():
    """Measure each task and learner, and print means over splits."""
    warnings.simplefilter("ignore")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [*CHOSEN_ON, *OTHERS]
    parser.add_argument("--tasks", nargs="+", choices=names, default=names)
    parser.add_argument("--splits", type=int, default=8)
    add_output_argument(parser, "exchangeable")
    args = parser.parse_args()
    lines = []
    for task, (name, learner) in product(args.tasks, LEARNERS.items()):
        found = []
        for split in range(args.splits):
            people = members_of(task, learner, split)
            both = quality(*people), quality(*map(averaged, people))
            found.append([[q["gap"], q["balanced_accuracy"]] for q in both])
        weighed, plain = np.array(found).swapaxes(0, 1)
        gain = (weighed - plain)[:, 1]
        half = student.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / len(gain) ** 0.5
        lines.append(
            {
                "task": task,
                "members": name,
                "gap": weighed[:, 0].mean(),
                "gap_of_mean": plain[:, 0].mean(),
                "balanced_accuracy": weighed[:, 1].mean(),
                "against_mean": gain.mean(),
                "low": gain.mean() - half,
                "high": gain.mean() + half,
            }
        )
        print(*lines[-1].values(), flush=True)
    print_table(lines, dict.fromkeys(lines[0], ".3f") | {"task": "", "members": ""})
    write_result(args.output, args, {"lines": lines})


if __name__ == "__main__":
    main()
