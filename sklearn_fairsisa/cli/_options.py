"""Types of the values that options take."""

import argparse
import math


def whole_number(text):
    """Return the integer that an option gives."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be a whole number, got {text!r}"
        ) from None


def positive(text):
    """Return the integer of at least 1 that an option gives."""
    number = whole_number(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {number}")
    return number


def seed(text):
    """Return the seed that an option gives."""
    number = whole_number(text)
    if not 0 <= number < 2**32:
        raise argparse.ArgumentTypeError(f"must be in 0 to 2**32 - 1, got {number}")
    return number


def jobs(text):
    """Return the number of jobs that an option gives."""
    number = whole_number(text)
    if number == 0:
        raise argparse.ArgumentTypeError("must not be 0; -1 is one per core")
    return number


def seconds(text):
    """Return the duration that an option gives."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not number >= 0:
        raise argparse.ArgumentTypeError(
            f"must be a number of seconds, 0 or more, got {text!r}"
        )
    return number
