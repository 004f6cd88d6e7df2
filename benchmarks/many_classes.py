"""How good are rules for many classes, and what does the search for them take?

    OMP_NUM_THREADS=1 python benchmarks/many_classes.py

Rules for equal or nearly equal confusion rates, with the group and without it, are
learnt from 2,000 rows with estimated probabilities: classes are normal, around centres
that differ a little between groups, and the estimates are those of a logistic model of
other rows. The objective is balanced accuracy; new people are 4,000. Some minutes of
one core.
"""

import argparse
import time
from itertools import product

import numpy as np
from _classes import confusion_gap
from _common import add_output_argument, print_table, write_result
from sklearn.linear_model import LogisticRegression

from sklearn_fairsisa.fairness._constraints import CONSTRAINTS
from sklearn_fairsisa.fairness._cost_rules import CostRuleMixture
from sklearn_fairsisa.fairness._joint_rules import JointRule
from sklearn_fairsisa.fairness._problem import Problem
from sklearn_fairsisa.fairness._rates import score

OBJECTIVE = "balanced_accuracy_score"
N_ROWS, N_NEW = 2000, 4000


def make_people(n_classes, n_groups, seed):
    """Return P(A, Y | X) as estimated, groups and labels: rows, then new people."""
    rng = np.random.default_rng([seed, n_classes, n_groups])
    n_people, n_features = 2 * N_ROWS + N_NEW, n_classes + n_groups
    group = rng.integers(n_groups, size=n_people)
    label = rng.integers(n_classes, size=n_people)
    X = rng.normal(size=(n_people, n_features))
    centre = 0.9 * rng.normal(size=(n_classes, n_features))
    tilt = 0.4 * rng.normal(size=(n_groups, n_classes, n_features))
    shift = 0.5 * rng.normal(size=(n_groups, n_features))
    near = 1 - 0.3 * group / n_groups
    X += near[:, None] * centre[label] + tilt[group, label] + shift[group]
    model = LogisticRegression(C=0.1, max_iter=300)
    model.fit(X[:N_ROWS], (group * n_classes + label)[:N_ROWS])
    joint = model.predict_proba(X[N_ROWS:]).reshape(-1, n_groups, n_classes)
    people = joint, group[N_ROWS:], label[N_ROWS:]
    rows, new = slice(N_ROWS), slice(N_ROWS, None)
    return [v[rows] for v in people], [v[new] for v in people]


def learn(joint, group, label, problem, *, knows_group):
    """Return a rule, what it reads of people, and the processor's seconds it took."""
    begun = time.process_time()
    if not knows_group:
        rule = JointRule.fit(joint, group, label, None, problem)
        return rule, lambda joint, group: (joint,), time.process_time() - begun

    def evidence(joint, group):
        own = joint[np.arange(len(group)), group]
        return own / own.sum(axis=1, keepdims=True), group

    eta, group = evidence(joint, group)
    rule = CostRuleMixture.fit(eta, group, label, None, problem)
    return rule, evidence, time.process_time() - begun


def measure(n_classes, n_groups, tol, seed, *, knows_group):
    """Learn a rule, and decide on new people."""
    rows, (joint, group, label) = make_people(n_classes, n_groups, seed)
    name = "equalized_odds"
    problem = Problem((CONSTRAINTS[name],), OBJECTIVE, tol, name)
    rule, evidence, seconds = learn(*rows, problem, knows_group=knows_group)
    decided = rule.selection_probability(*evidence(joint, group))
    right = [decided[label == k, k].mean() for k in range(n_classes)]
    return {
        "classes": n_classes,
        "groups": n_groups,
        "tol": tol,
        "group": "known" if knows_group else "inferred",
        "objective": score(OBJECTIVE, rule.confusion),
        "seconds": seconds,
        "new_balanced_accuracy": np.mean(right),
        "new_gap": confusion_gap(decided, label, group),
    }


def main():
    """Measure all rules, then print and write them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classes", type=int, nargs="+", default=[3, 5, 7, 10])
    parser.add_argument("--groups", type=int, nargs="+", default=[2, 3])
    parser.add_argument("--tolerances", type=float, nargs="+", default=[0.0, 0.02])
    parser.add_argument("--seed", type=int, default=5)
    add_output_argument(parser, "many_classes")
    args = parser.parse_args()
    cases = product(args.classes, args.groups, args.tolerances, (True, False))
    rows = [
        measure(n_classes, n_groups, tol, args.seed, knows_group=knows_group)
        for n_classes, n_groups, tol, knows_group in cases
    ]
    forms = dict.fromkeys(rows[0], ".3f")
    whole = dict.fromkeys(("classes", "groups", "group"), "")
    print_table(rows, {**forms, **whole, "tol": "g", "seconds": ".1f"})
    write_result(args.output, args, {"rules": rows})


if __name__ == "__main__":
    main()
