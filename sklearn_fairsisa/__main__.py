"""The command line: ``python -m sklearn_fairsisa``, also installed as ``fairsisa``."""

import sys

from .cli import main

if __name__ == "__main__":
    # Alone it is the README's first run; fairsisa alone shows the help.
    sys.exit(main(sys.argv[1:] or ["--data", "posts"]))
