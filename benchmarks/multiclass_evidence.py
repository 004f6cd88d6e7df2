"""Does evidence that knows the group help with more than two classes?

``python benchmarks/multiclass_evidence.py --cache DIR``, with the environment variable
``SKLEARN_FAIRSISA_DATA`` naming the folder of HateXplain, whose three classes are
normal, offensive and hateful. Each person is judged once per seed, by five logistic
members that were fitted on the other four folds; all rows train, also those of no
group. Of the default, the decisions on the members' scores alone (members), with heads
beside them (heads), and without the group (inferred) are compared. Known truths:

- opposite: groups' classes lie in different directions, and X predicts the groups;
- equal: three groups of one distribution, where there is nothing to gain.

Gaps and floors are those of ``benchmarks/multiclass.py``, folds pooled. Gains in
balanced accuracy are paired, with standard errors by bootstrap over people.
``--components 64`` keeps so many principal components of the vectors, which makes a
seed a matter of seconds. ``--cost`` prints what heads cost in ``fit`` by the number of
classes.
"""

import argparse
import time
import warnings
from dataclasses import replace
from itertools import product

import numpy as np
from _classes import confusion_gap
from _common import add_output_argument, print_table, write_result
from _judging import OBJECTIVE
from _pieces import Pieces
from evidence import TEXTS, load_posts, paired, summarise
from multiclass import floor
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import KFold

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.postprocessing._rule import learn_rule

N_SHARDS = 5
# Rows of each known truth.
SIZES = {"opposite": 3000, "equal": 1000}


def main():
    """Measure what is missing, then print means over seeds."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [*TEXTS, *SIZES]
    parser.add_argument("--tasks", nargs="+", choices=names, default=names)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--cache", help="folder of the encoder's vectors")
    parser.add_argument("--components", type=int, help="columns of vectors to keep")
    parser.add_argument("--cost", action="store_true", help="measure fit times alone")
    add_output_argument(parser, "multiclass_evidence")
    args = parser.parse_args()
    if args.cost:
        print_table([cost(n_classes) for n_classes in (2, 3, 10)])
        return
    pieces, rows = Pieces.beside(args.output), []
    for name, seed in product(args.tasks, range(args.seeds)):
        key = {"task": name, "n_shards": N_SHARDS, "seed": seed}
        if name in TEXTS and args.components is not None:
            key["components"] = args.components
        found = pieces.read(key)
        if found is None:
            if name in TEXTS:
                data = load_posts(name, args.cache, target="three_class")
                data = reduced(data[0], args.components), *data[1:]
            else:
                data = draw(name, SIZES[name], seed)
            # Where groups are equal, nothing shows which a person is of.
            unknown = "unconstrained" if name == "equal" else "inferred"
            found = list(judge(decide(data, seed, unknown), *data[1:]))
            pieces.keep(key, found)
            print(key, flush=True)
        rows += [{**key, **row} for row in found]
    means = summarise([{k: v for k, v in r.items() if k != "components"} for r in rows])
    print_table(means)
    write_result(args.output, args, {"means": means})


def reduced(X, n_components):
    """The first principal components of all rows, or the rows as they are."""
    if n_components is None:
        return X
    X = X.astype(float) - X.mean(axis=0, dtype=float)
    _, axes = np.linalg.eigh(X.T @ X)
    return X @ axes[:, -n_components:]


def draw(name, n, seed, n_classes=3):
    """Features, labels and groups of a known truth."""
    rng = np.random.default_rng(100 + seed)
    n_groups = 2 if name == "opposite" else 3
    X, group = rng.normal(size=(n, 6)), rng.integers(0, n_groups, n)
    # Centres of the classes lie on a circle.
    angle = 2 * np.pi * np.arange(n_classes) / n_classes
    centres = 1.4 * np.column_stack([np.cos(angle), np.sin(angle)])
    turn = np.ones((n, 1))
    if name == "opposite":
        X[:, 2] += 3 * group
        turn = 1 - 2 * group[:, None]
    worth = X[:, [0]] * centres[:, 0] + X[:, [1]] * turn * centres[:, 1]
    # The greatest of worths with Gumbel noise follows the multinomial logit.
    y = (worth + rng.gumbel(size=(n, n_classes))).argmax(axis=1)
    return X, y, np.array(list("abc"), dtype=object)[group]


def fitted(data, seed, **params):
    """The default on five logistic members."""
    X, y, group = data
    learner = SGDClassifier(loss="log_loss", alpha=1e-3)
    sisa = SISAClassifier(learner, n_shards=N_SHARDS, epochs=5, random_state=seed)
    fair = FairEnsemblePostprocessor(
        sisa, objective=OBJECTIVE, random_state=seed, **params
    )
    return fair.fit(X, y, sensitive_features=group)


def decide(data, seed, unknown_group):
    """Decisions on every person of a group by each rule."""
    X, y, group = data
    known = np.array([g is not None for g in group])
    n_classes, decided = len(np.unique(y)), {}
    for train, test in KFold(5, shuffle=True, random_state=seed).split(X):
        test = test[known[test]]
        part = X[train], y[train], group[train]
        fair = fitted(part, seed, unknown_group=unknown_group)
        serving = fair._serving()
        rows, problem = serving.calibrated.rows, serving.calibrated.problem
        code = np.searchsorted(problem.groups.astype(str), group[test].astype(str))
        scores = serving.evidence(X[test], code)
        plain = replace(problem, accepts_unknown=False)
        bare, solved = learn_rule(rows.of_members, plain)(0.0), serving.calibrated.rule
        each = {
            "members": bare.selection_probability(scores[:, :N_SHARDS], code),
            "heads": solved.selection_probability(scores, code),
        }
        if solved.inferred is not None:
            unknown = np.full(len(code), -1)
            each["inferred"] = solved.selection_probability(scores, unknown)
        for name, probability in each.items():
            chosen = decided.setdefault(name, np.full((len(y), n_classes), np.nan))
            chosen[test] = probability
    return decided


def judge(decided, y, group):
    """Gap and balanced accuracy of each rule, paired with that of members alone."""
    for name, chosen, label, of, _, gains in paired(decided, y, group, accuracy):
        yield {
            "rule": name,
            "gap": confusion_gap(chosen, label, of),
            "floor": floor(chosen, label, of, 0),
            **gains,
        }


def accuracy(y, chosen):
    """Balanced accuracy of decisions in expectation."""
    right = chosen[np.arange(len(y)), y]
    return np.mean([right[y == k].mean() for k in np.unique(y)])


def cost(n_classes, n=2000, n_features=50):
    """Seconds of a fit without heads and of one with them, of this process."""
    X, y, group = draw("opposite", n, 0, n_classes)
    X = np.hstack([X, np.random.default_rng(0).normal(size=(n, n_features - 6))])
    seconds = {}
    for method in ("soft_ensemble", "smooth_ensemble"):
        started = time.process_time()
        # Equal rates would cost more the more classes there are, with and without.
        fitted((X, y, group), 0, method=method, tol=1.0)
        seconds[method] = time.process_time() - started
    heads = seconds["smooth_ensemble"] - seconds["soft_ensemble"]
    return {"classes": n_classes, **seconds, "heads": heads}


if __name__ == "__main__":
    main()
