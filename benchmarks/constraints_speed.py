"""How long do rules under constraint objects take, against one sort of the data?

Run ``python benchmarks/constraints_speed.py``; about half a minute. A million rows of
ten groups have one score; each fit is compared with one ``numpy.lexsort`` of group and
score, and the aim is at most 3 times as long.
"""

import argparse

import numpy as np
from _common import best_seconds, print_table

from sklearn_fairsisa import FairEnsemblePostprocessor
from sklearn_fairsisa.constraints import AtLeast, Difference, Ratio

CONSTRAINTS = {
    "equalized_odds": "equalized_odds",
    "ratio": Ratio("selection_rate", at_least=0.8),
    "floor": AtLeast("true_positive_rate", 0.7),
    "ratio and floor": [
        Ratio("selection_rate", at_least=0.8),
        AtLeast("true_positive_rate", 0.7),
    ],
    "difference": Difference("false_positive_rate", at_most=0.05),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10**6)
    parser.add_argument("--groups", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    group = rng.integers(0, args.groups, args.rows)
    y = (rng.random(args.rows) < 0.3 + 0.3 * group / args.groups).astype(int)
    signal = rng.normal((2 * y - 1) * (0.4 + 0.5 * group / args.groups))
    score = 1 / (1 + np.exp(-signal))
    X = score[:, None]
    sort = best_seconds(lambda: np.lexsort((score, group)), args.repeats)
    found = []
    for name, constraints in CONSTRAINTS.items():
        for method in ("soft_ensemble", "smooth_ensemble"):
            fair = FairEnsemblePostprocessor(
                method=method, constraints=constraints, random_state=0
            )
            seconds = best_seconds(
                lambda fair=fair: fair.fit(X, y, sensitive_features=group), args.repeats
            )
            found.append(
                {
                    "constraints": name,
                    "method": method,
                    "seconds": seconds,
                    "lexsorts": seconds / sort,
                }
            )
    print(f"{args.rows:,} rows, {args.groups} groups; a lexsort takes {sort:.3f} s\n")
    columns = {"constraints": "", "method": "", "seconds": ".3f", "lexsorts": ".2f"}
    print_table(found, columns)


if __name__ == "__main__":
    main()
