"""The command line: ``python -m sklearn_fairsisa``, also installed as ``fairsisa``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
