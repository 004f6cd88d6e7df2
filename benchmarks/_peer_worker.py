"""Fits one peer on problems that it reads from .npz files, in the peer's environment.

Run as ``python _peer_worker.py PEER [FOLDER]``, with a folder of the peer's code if it
is not installed. Each line of standard input names two files: the
problem to read, and the answer to write. A line
answers each: "done", or the error. Only numpy and the
peer are imported, so that the environment needs nothing else.

A problem of scores holds ``score``, ``y`` and ``group`` of the calibration rows,
``new_score`` and ``new_group`` of the rows to decide on, the costs ``false_positive``
and ``false_negative``, and the ``tolerance`` of the constraint. A problem without the
group holds ``joint``, P(A, Y | X), in place of scores, ``new_joint``, and what the peer
is told besides, several tolerances among it. An answer holds ``probability`` of a
positive decision on the new rows, for each tolerance if there are several, ``seconds``
of the processor for the fit, and ``peak_bytes`` that it needed on top (-1: unknown).
"""

import logging
import sys
import time
import warnings

import numpy as np


def fit_error_parity(problem):
    from error_parity import RelaxedThresholdOptimizer

    optimizer = RelaxedThresholdOptimizer(
        predictor=np.ravel,
        constraint="equalized_odds",
        false_pos_cost=float(problem["false_positive"]),
        false_neg_cost=float(problem["false_negative"]),
        tolerance=float(problem["tolerance"]),
    )
    score, y, group = problem["score"], problem["y"], problem["group"]
    return optimizer, lambda: optimizer.fit(score, y, group=group)


def select_error_parity(optimizer, problem):
    """Expected decision, where the peer itself would draw coins."""
    score, group = problem["new_score"], problem["new_group"]
    probability = np.empty(len(score))
    for code, classifier in optimizer._realized_classifier.group_to_clf.items():
        rows = group == code
        # What decides without looking at the score does so at this rate.
        rate = optimizer.groupwise_roc_points[code][0]
        parts = getattr(classifier, "classifiers", [classifier])
        shares = getattr(classifier, "probabilities", [1.0])
        probability[rows] = sum(
            share * (part(score[rows]) if hasattr(part, "threshold") else rate)
            for part, share in zip(parts, shares)
        )
    return probability


def fit_aif360(problem):
    from aif360.algorithms.postprocessing import EqOddsPostprocessing

    sizes = np.bincount(problem["group"])
    largest = int(sizes.argmax())
    # It knows two groups. All but the largest are one to it.
    one = (problem["group"] == largest).astype(float)
    truth = _aif360_dataset(problem["y"], one)
    guess = _aif360_dataset(problem["score"] > 0.5, one)
    optimizer = EqOddsPostprocessing(
        unprivileged_groups=[{"group": 0}], privileged_groups=[{"group": 1}], seed=0
    )
    optimizer.largest = largest
    return optimizer, lambda: optimizer.fit(truth, guess)


def _aif360_dataset(labels, group):
    import pandas as pd
    from aif360.datasets import BinaryLabelDataset

    return BinaryLabelDataset(
        df=pd.DataFrame({"label": labels.astype(float), "group": group}),
        label_names=["label"],
        protected_attribute_names=["group"],
    )


def select_aif360(optimizer, problem):
    """Expected decision, where the peer itself would draw coins."""
    keeps, raises, other_keeps, other_raises = optimizer.model_params.x
    label = problem["new_score"] > 0.5
    return np.where(
        problem["new_group"] == optimizer.largest,
        np.where(label, keeps, raises),
        np.where(label, other_keeps, other_raises),
    )


def fit_linear_post(problem):
    import postprocess

    joint, weights = problem["joint"], list(problem["class_weight"])
    calibrator = _calibrator(joint.shape[1] * 2)
    cell = 2 * problem["group"] + problem["y"]
    rules = []

    def run():
        calibrator.fit(joint.reshape(len(joint), -1), cell)
        calibrated = _calibrated(calibrator, joint)
        for alpha in problem["alphas"]:
            rule = postprocess.PostProcessor(
                n_classes=2,
                n_groups=joint.shape[1],
                criterion="eo",
                alpha=float(alpha),
                class_weight=weights,
                seed=0,
            )
            # cvxpy's own solver, as in the authors' example without Gurobi.
            rules.append(rule.fit(p_ay_x=calibrated, solver=None))

    return (calibrator, rules), run


def _calibrator(n_cells):
    """Platt scaling of given probabilities, as the authors calibrate theirs."""
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator

    class Given(ClassifierMixin, BaseEstimator):
        classes_ = np.arange(n_cells)

        def fit(self, X, y):
            return self

        def predict(self, X):
            return X.argmax(axis=1)

        def predict_proba(self, X):
            return X

        def __sklearn_is_fitted__(self):
            return True

    return CalibratedClassifierCV(FrozenEstimator(Given()), method="sigmoid")


def _calibrated(calibrator, joint):
    flat = calibrator.predict_proba(joint.reshape(len(joint), -1))
    return flat.reshape(joint.shape)


def select_linear_post(fitted, problem):
    calibrator, rules = fitted
    calibrated = _calibrated(calibrator, problem["new_joint"])
    return np.array([rule.predict(p_ay_x=calibrated) for rule in rules], dtype=float)


def _columns(joint):
    # P(Y = 1 | X), then P(A | X).
    return np.column_stack([joint[:, :, 1].sum(axis=1), joint.sum(axis=2)])


def fit_oxonfair(problem):
    from oxonfair import DataDict, FairPredictor
    from oxonfair import group_metrics as metrics

    columns = _columns(problem["joint"])
    n_groups = problem["joint"].shape[1]
    predictor = FairPredictor(
        lambda rows: np.column_stack([1 - rows[:, 0], rows[:, 0]]),
        DataDict(problem["y"], columns, groups=problem["group"]),
        inferred_groups=lambda rows: rows[:, 1:],
        # Above this certainty a row is of the inferred group; 0 always names one.
        threshold=2 / 3 if n_groups <= 3 else 0,
    )
    goal = metrics.balanced_accuracy if problem["balanced"] else metrics.accuracy

    def run():
        predictor.fit(goal, metrics.equalized_odds_max, 0.0)

    return (predictor, goal, metrics.equalized_odds_max), run


def select_oxonfair(fitted, problem):
    predictor, goal, constraint = fitted
    columns = _columns(problem["new_joint"])
    found = []
    for tolerance in problem["tolerances"]:
        # One frontier serves all tolerances.
        predictor.fit(goal, constraint, float(tolerance), recompute=False)
        found.append(predictor.predict({"data": columns}))
    return np.array(found, dtype=float)


PEERS = {
    "error-parity": (fit_error_parity, select_error_parity),
    "AIF360": (fit_aif360, select_aif360),
    "LinearPost": (fit_linear_post, select_linear_post),
    "OxonFair": (fit_oxonfair, select_oxonfair),
}


class PeakMemory:
    """Greatest resident memory above that at the start, in bytes; -1 if unknown."""

    def __enter__(self):
        try:
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")
            self.start = _status("VmRSS")
        except OSError:
            self.start = None
        return self

    def __exit__(self, *_):
        self.bytes = -1 if self.start is None else _status("VmHWM") - self.start


def _status(field):
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith(field + ":"))
    return 1024 * int(line.split()[1])


def main():
    peer = PEERS[sys.argv[1]]
    sys.path[:0] = sys.argv[2:]
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        source, target = line.rstrip("\n").split("\t")
        with np.load(source) as file:
            problem = dict(file)
        try:
            np.savez(target, **answer(*peer, problem))
            print("done", flush=True)
        # Whatever a peer raises is what there is to say of it.
        except Exception as error:
            reason = " ".join(str(error).split())
            print(f"{type(error).__name__}: {reason}", flush=True)


def answer(fit, select, problem):
    # What a peer wants its rows wrapped in is not its own work.
    optimizer, run = fit(problem)
    with PeakMemory() as memory:
        begun = time.process_time()
        run()
        seconds = time.process_time() - begun
    probability = select(optimizer, problem)
    return {
        "probability": probability,
        "seconds": seconds,
        "peak_bytes": memory.bytes,
    }


if __name__ == "__main__":
    main()
