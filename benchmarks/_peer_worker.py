"""Fits one peer on problems that it reads from .npz files, in the peer's environment.

Run as ``python _peer_worker.py PEER``. Each line of standard input names two files: the
problem to read, and the answer to write. A line
answers each: "done", or the error. Only numpy and the
peer are imported, so that the environment needs nothing else.

A problem holds ``score``, ``y`` and ``group`` of the calibration rows, ``new_score``
and ``new_group`` of the rows to decide on, the costs ``false_positive`` and
``false_negative``, and the ``tolerance`` of the constraint. An answer holds
``probability`` of a positive decision on the new rows, ``seconds`` of the fit, and
``peak_bytes`` that it needed on top (-1: unknown).
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


def select_error_parity(optimizer, score, group):
    """Expected decision, where the peer itself would draw coins."""
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


def select_aif360(optimizer, score, group):
    """Expected decision, where the peer itself would draw coins."""
    keeps, raises, other_keeps, other_raises = optimizer.model_params.x
    label = score > 0.5
    return np.where(
        group == optimizer.largest,
        np.where(label, keeps, raises),
        np.where(label, other_keeps, other_raises),
    )


PEERS = {
    "error-parity": (fit_error_parity, select_error_parity),
    "AIF360": (fit_aif360, select_aif360),
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
        begun = time.perf_counter()
        run()
        seconds = time.perf_counter() - begun
    probability = select(optimizer, problem["new_score"], problem["new_group"])
    return {
        "probability": probability,
        "seconds": seconds,
        "peak_bytes": memory.bytes,
    }


if __name__ == "__main__":
    main()
