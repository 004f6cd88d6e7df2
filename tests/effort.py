"""How much harnesses that play at random play."""

import os

#: Times as much as in the default suite, which is what a few minutes allow.
EFFORT = float(os.environ.get("SKLEARN_FAIRSISA_EFFORT", "1"))


def trials(number):
    """Return the number of trials of a simulation, half of it by default."""
    return number if EFFORT > 1 else number // 2
