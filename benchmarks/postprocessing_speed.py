"""How fast is the fair rule found, against a sort of the data and against peers?

Run ``python benchmarks/postprocessing_speed.py``; about seven minutes, or less of some
cases only: ``--case 10 200`` takes 10 groups and 200 votes. Each fit
has a process of its own and is timed inside it: the whole
``FairEnsemblePostprocessor().fit``, the peer's own ``fit``, or the linear program with
its counting. All solve equalized odds at tolerance 0 for accuracy, on the same rows of
the same run; ``accuracy`` and ``gap`` are expected values of the decisions on these
rows. The default method smooths the counts first, so its rates are equal as estimated,
not as counted. The aims at 10^6 rows and 10 groups: at most 3 times as long as one
``numpy.lexsort`` of the data (the group, then the score or all votes), 20 times faster
than fairlearn's ThresholdOptimizer, twice as fast as error-parity.

error-parity thins each group's ROC curve to 1,000 points. AIF360 sees labels and two
groups (the largest, all others), so it leaves gaps where there are more.
"""

import argparse
import multiprocessing
from dataclasses import dataclass

import numpy as np
from _common import (
    add_output_argument,
    best_seconds,
    print_table,
    write_result,
)
from _peers import (
    REQUIREMENTS,
    SCORE_PEERS,
    Calibration,
    Decisions,
    PeerUnavailable,
    linear_program,
    measured,
)

from sklearn_fairsisa import FairEnsemblePostprocessor
from sklearn_fairsisa.metrics import (
    expected_accuracy_score,
    expected_equalized_odds_difference,
)

OURS = "FairEnsemblePostprocessor"
DEFAULT = "the same, smooth_ensemble"
ALL, OBSERVED = "LP over all patterns", "LP over observed patterns"


@dataclass(frozen=True)
class Case:
    """Rows to draw: how many, of how many groups, with how many members.

    With no members a row has one continuous score, otherwise a vote of each.
    """

    rows: int
    groups: int
    members: int
    seed: int

    def draw(self):
        """Outputs, labels and groups; signals differ in strength between groups."""
        rng = np.random.default_rng(self.seed)
        group = rng.integers(0, self.groups, self.rows)
        y = (rng.random(self.rows) < 0.3 + 0.3 * group / self.groups).astype(int)
        signal = rng.normal((2 * y - 1) * (0.4 + 0.5 * group / self.groups))
        if self.members == 0:
            return 1 / (1 + np.exp(-signal)), y, group
        # Member by member: at 200 members the noise would be larger than the votes.
        votes = np.empty((self.rows, self.members), dtype=bool)
        for member in range(self.members):
            votes[:, member] = signal + rng.normal(size=self.rows) > 0
        return votes, y, group


def measure(what, case, repeats):
    """Fit one method on one case; best time, peak memory, accuracy and gap."""
    outputs, y, group = case.draw()
    found = {"method": what, "rows": case.rows, "groups": case.groups,
             "members": case.members}  # fmt: skip
    if what in (ALL, OBSERVED):
        runs = repeated(
            lambda: linear_program(outputs, y, group, all_patterns=what == ALL), repeats
        )
        found["accuracy"], found["gap"] = runs[0].accuracy, runs[0].gap
    else:
        if what in (OURS, DEFAULT):
            exact = "ensemble" if case.members else "soft_ensemble"
            method = "smooth_ensemble" if what == DEFAULT else exact
            runs = repeated(lambda: fit_ours(outputs, y, group, method), repeats)
            keys = (*outputs.T, group) if case.members else (outputs, group)
            found["lexsort_seconds"] = best_seconds(lambda: np.lexsort(keys), repeats)
        else:
            peer, rows = SCORE_PEERS[what], Calibration(outputs, y, group)
            try:
                runs = repeated(lambda: peer(rows, outputs, group), repeats)
            except PeerUnavailable as error:
                print(f"{what} is left out: {error}", flush=True)
                return None
        probability = runs[0].probability
        found["accuracy"] = expected_accuracy_score(y, probability)
        found["gap"] = expected_equalized_odds_difference(
            y, probability, sensitive_features=group
        )
    found["seconds"] = min(run.seconds for run in runs)
    # Later fits find memory that the first has left.
    found["peak_mb"] = runs[0].peak_bytes / 1e6
    return found


def fit_ours(outputs, y, group, method):
    """Fit the estimator as a user would, on votes or on one score."""
    X = outputs.reshape(len(y), -1)
    with measured() as work:
        rule = FairEnsemblePostprocessor(method=method, random_state=0)
        rule.fit(X, y, sensitive_features=group)
    probability = rule.selection_probability(X, sensitive_features=group)
    return Decisions(probability, work.seconds, work.peak_bytes)


def repeated(function, repeats, budget=5.0):
    """Call as often as asked, but not again once the fits took `budget` seconds."""
    runs = [function()]
    while len(runs) < repeats and sum(run.seconds for run in runs) < budget:
        runs.append(function())
    return runs


def plan(rows, seed):
    """Cases, and what is measured on each."""
    for n in (rows // 10, rows):
        for groups in (2, 5, 10):
            yield Case(n, groups, 0, seed), (OURS, DEFAULT, *SCORE_PEERS)
    for groups, members in ((10, 5), (2, 15), (10, 15), (10, 20), (10, 200)):
        solvers = [OURS, OBSERVED] if members <= 20 else [OURS]
        # Beyond, the program over all patterns has millions of unknowns.
        solvers += [ALL] if groups * 2**members <= 2**16 else []
        yield Case(rows, groups, members, seed), solvers


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=10**6)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--case",
        type=int,
        nargs=2,
        action="append",
        metavar=("GROUPS", "MEMBERS"),
        help="a case to measure, with 0 members for one score; may be repeated "
        "(default: all)",
    )
    add_output_argument(parser, "postprocessing_speed")
    args = parser.parse_args()

    found = []
    spawn = multiprocessing.get_context("spawn")
    for case, solvers in plan(args.rows, args.seed):
        if args.case and [case.groups, case.members] not in args.case:
            continue
        measured_here = []
        for what in solvers:
            with spawn.Pool(1) as fresh:
                result = fresh.apply(measure, (what, case, args.repeats))
            if result is not None:
                measured_here.append(result)
        ours = measured_here[0]["seconds"]
        for result in measured_here:
            result["times_ours"] = result["seconds"] / ours
        sort = measured_here[0]["lexsort_seconds"]
        kind = f"{case.members} votes" if case.members else "one score"
        print(
            f"\n{case.rows:,} rows, {case.groups} groups, {kind}; one lexsort takes "
            f"{sort:.3f} s, ours {ours / sort:.2f} times that\n"
        )
        columns = {"method": "", "seconds": ".3f", "times_ours": ".1f",
                   "peak_mb": ".0f", "accuracy": ".5f", "gap": ".1e"}  # fmt: skip
        print_table(measured_here, columns)
        found += measured_here
    # Peers with an environment of their own are not among this one's versions.
    write_result(args.output, args, {"fits": found, "peers": REQUIREMENTS})


if __name__ == "__main__":
    main()
