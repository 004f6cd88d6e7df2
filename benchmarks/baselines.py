"""What do fairness and accuracy cost under fairlearn's mitigators, and under ours?

    python benchmarks/baselines.py

Every mitigator works over one model, and over one and the same SISA ensemble where it
can: post-processing asks the ensemble that stands, while reductions and the removal of
correlations train their learner anew, here a whole ensemble at each step. Adult
(30,162 rows; income above 50,000; sex), one split 60:20:20 within labels and groups:
60% train, 20% calibrate what post-processes, 20% compare; reductions learn from the
first two parts. A mitigator with a parameter is run along it, so that it draws a
trade-off curve; randomised decisions are taken in expectation. Gaps are of equalized
odds, on the held-out rows, and stand beside what a fair rule shows there by chance.
"""

import argparse
import time
import warnings

import numpy as np
import pandas as pd
from _common import add_output_argument, print_table, write_result
from _tabular import NAMES, load_table
from fairlearn.postprocessing import ThresholdOptimizer
from fairlearn.preprocessing import CorrelationRemover
from fairlearn.reductions import EqualizedOdds, ExponentiatedGradient, GridSearch
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.metrics import (
    FairlearnAdapter,
    expected_accuracy_score,
    expected_balanced_accuracy_score,
    expected_equalized_odds_difference,
    noise_floor,
)

TOLS = (0.0, 0.02, 0.05, 0.1, 0.2)
BOUNDS = (0.005, 0.02, 0.05, 0.1)
WEIGHTS = (0.1, 0.5, 0.9)
ALPHAS = (0.0, 0.5, 1.0)
KINDS = ("one model", "SISA")


def make_base(kind, args):
    """Return an unfitted model, or an ensemble of the same learner."""
    return SISAClassifier(
        SGDClassifier(loss="log_loss", alpha=1e-4, average=True),
        n_shards=1 if kind == "one model" else args.shards,
        epochs=args.epochs,
        aggregation="mean",
        random_state=args.seed,
    )


def post_processors(base, args):
    """Yield name, parameter and estimator of what asks the base that stands."""
    frozen = FrozenEstimator(base)
    optimizer = ThresholdOptimizer(
        estimator=frozen,
        prefit=True,
        constraints="equalized_odds",
        objective=args.objective,
        predict_method="predict_proba",
    )
    yield "ThresholdOptimizer", None, adapt(optimizer, args)
    methods = ["soft_ensemble"]
    if len(base.estimators_) > 1:
        methods = ["aggregate_then_postprocess", "ensemble", "soft_ensemble"]
    for method in methods:
        for tol in TOLS:
            fair = FairEnsemblePostprocessor(
                frozen,
                method=method,
                tol=tol,
                objective=args.objective,
                sensitive_feature="group",
                random_state=args.seed,
            )
            yield method, tol, fair


def trainers(kind, args):
    """Yield name, parameter and estimator of what trains the base anew."""
    for bound in BOUNDS:
        reduction = ExponentiatedGradient(
            make_base(kind, args),
            EqualizedOdds(difference_bound=bound),
            max_iter=args.iterations,
        )
        yield "ExponentiatedGradient", bound, adapt(reduction, args)
    for weight in WEIGHTS:
        search = GridSearch(
            make_base(kind, args),
            EqualizedOdds(),
            constraint_weight=weight,
            grid_size=args.iterations,
        )
        yield "GridSearch", weight, adapt(search, args)
    for alpha in ALPHAS:
        remover = CorrelationRemover(sensitive_feature_ids=["group"], alpha=alpha)
        pipeline = make_pipeline(remover, make_base(kind, args))
        yield "CorrelationRemover", alpha, adapt(pipeline, args)


def adapt(mitigator, args):
    return FairlearnAdapter(
        mitigator, sensitive_feature="group", random_state=args.seed
    )


def measure(probability, y, group, args):
    """Held-out quality and gap of expected decisions."""
    floor = noise_floor(
        y, probability, sensitive_features=group, random_state=args.seed
    )
    return {
        "accuracy": expected_accuracy_score(y, probability),
        "balanced_accuracy": expected_balanced_accuracy_score(y, probability),
        "equalized_odds_difference": expected_equalized_odds_difference(
            y, probability, sensitive_features=group
        ),
        "noise_floor": floor.mean,
        "people": len(y),
    }


def split(table, attribute, seed):
    """Return the rows as a frame with the group as a number, and each part's rows."""
    group = np.unique(table.groups[attribute], return_inverse=True)[1]
    X = pd.DataFrame(table.X).rename(columns=str).assign(group=group)
    strata = 2 * group + table.y
    rest, test = train_test_split(
        np.arange(len(X)), test_size=0.2, random_state=seed, stratify=strata
    )
    train, calibrate = train_test_split(
        rest, test_size=0.25, random_state=seed, stratify=strata[rest]
    )
    return X, train, calibrate, test


def compare(kind, table, args):
    """Yield a row per mitigator and parameter over one kind of base."""
    X, train, calibrate, test = split(table, args.attribute, args.seed)
    y, group = table.y, X["group"].to_numpy()

    def row(name, parameter, estimator, rows):
        begun = time.perf_counter()
        estimator.fit(X.iloc[rows], y[rows])
        seconds = time.perf_counter() - begun
        probability = estimator.selection_probability(X.iloc[test])
        found = measure(probability, y[test], group[test], args)
        found = {"parameter": parameter, **found, "seconds": seconds}
        return {"over": kind, "mitigator": name, **found}

    base = make_base(kind, args)
    yield row("none", None, Blind(base), np.sort(np.r_[train, calibrate]))
    base = make_base(kind, args).fit(X.iloc[train].drop(columns="group"), y[train])
    for name, parameter, estimator in post_processors(base, args):
        yield row(name, parameter, estimator, calibrate)
    for name, parameter, estimator in trainers(kind, args):
        yield row(name, parameter, estimator, np.sort(np.r_[train, calibrate]))


class Blind:
    """A classifier that does not see the group."""

    def __init__(self, estimator):
        self.estimator = estimator

    def fit(self, X, y):
        self.estimator.fit(X.drop(columns="group"), y)

    def selection_probability(self, X):
        return self.estimator.predict(X.drop(columns="group")).astype(float)


def draw(results, args):
    """Draw the trade-off of each mitigator, over one model and over the ensemble."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    from sklearn_fairsisa.plotting import FairnessTradeoffDisplay
    from sklearn_fairsisa.plotting._style import SIZE

    figure, axes = plt.subplots(
        len(KINDS), 1, figsize=(SIZE[0], 8.0), layout="constrained"
    )
    for ax, kind in zip(axes, KINDS):
        of_kind = results[results["over"] == kind]
        FairnessTradeoffDisplay.from_results(
            of_kind,
            method="mitigator",
            score=args.objective.removesuffix("_score"),
            noise_floor=of_kind["noise_floor"].mean(),
            title=f"{args.data} by {args.attribute}, over {kind}, "
            f"on n = {of_kind['people'].iloc[0]:,} people held out",
            ax=ax,
        )
    figure.savefig(args.output.with_suffix(".png"), dpi=200)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", choices=NAMES, default="adult")
    parser.add_argument("--attribute", default="sex", help="race or sex")
    parser.add_argument("--shards", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=20, help="of the reductions")
    parser.add_argument(
        "--objective",
        choices=("accuracy_score", "balanced_accuracy_score"),
        default="accuracy_score",
    )
    parser.add_argument("--seed", type=int, default=0)
    add_output_argument(parser, "baselines")
    args = parser.parse_args()

    # fairlearn uses pandas in ways that pandas 3 warns of.
    warnings.simplefilter("ignore")
    table = load_table(args.data)
    results = [row for kind in KINDS for row in compare(kind, table, args)]
    print_table(
        results,
        {
            "over": "",
            "mitigator": "",
            "parameter": "g",
            "accuracy": ".3f",
            "balanced_accuracy": ".3f",
            "equalized_odds_difference": ".3f",
            "noise_floor": ".3f",
            "seconds": ".2f",
        },
    )
    write_result(args.output, args, {"results": results})
    draw(pd.DataFrame(results), args)


if __name__ == "__main__":
    main()
