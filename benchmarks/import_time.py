"""How much longer does importing the library take than importing what it rests on?

    python benchmarks/import_time.py

Each import runs in a fresh interpreter, in turns, so that other work on the machine
meets both alike. Processor time of the whole interpreter; the ratio is of the medians.
"""

import argparse
import os
import statistics
import subprocess
import sys

from _common import add_output_argument, print_table, write_result

IMPORTS = {
    "scikit-learn and fairlearn": "import sklearn, fairlearn.postprocessing",
    "sklearn_fairsisa": "import sklearn_fairsisa",
}
# Warm imports wait for nothing, so processor time is what they take undisturbed.
CLOCK = """
import time
{}
print(time.process_time())
"""
# Installed packages are compiled; a source tree must be allowed to keep bytecode too.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def seconds(statement):
    run = [sys.executable, "-c", CLOCK.format(statement)]
    ran = subprocess.run(run, capture_output=True, check=True, env=ENVIRONMENT)
    return float(ran.stdout)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=15)
    add_output_argument(parser, "import_time")
    args = parser.parse_args()

    taken = {name: [] for name in IMPORTS}
    for name in IMPORTS:
        seconds(IMPORTS[name])  # fills the caches
    for _ in range(args.repeats):
        for name in IMPORTS:
            taken[name].append(seconds(IMPORTS[name]))
    medians = {name: statistics.median(times) for name, times in taken.items()}
    base = medians["scikit-learn and fairlearn"]
    results = [
        {"import": name, "seconds": median, "ratio": median / base}
        for name, median in medians.items()
    ]
    print_table(results, {"import": "", "seconds": ".2f", "ratio": ".2f"})
    write_result(args.output, args, {"results": results, "all_seconds": taken})


if __name__ == "__main__":
    main()
