"""A parser whose errors name unknown options, and options that several share."""

import argparse
import math
import sys
from difflib import get_close_matches

from ._tables import is_table


class OptionParser(argparse.ArgumentParser):
    """A parser whose errors name unknown options and commands, and the closest known.

    argparse mistakes the value of an unknown option for a command, or first reports
    other missing arguments. Options cannot be abbreviated, so that new options do not
    break scripts.
    """

    def __init__(self, **how):
        super().__init__(**how, allow_abbrev=False)
        self._given = ()

    def parse_known_args(self, args=None, namespace=None):
        """Parse as argparse does, and note the arguments for errors."""
        self._given = sys.argv[1:] if args is None else list(args)
        return super().parse_known_args(args, namespace)

    def error(self, message):
        """Exit with status 2 and the most helpful message."""
        super().error(self._unknown_option() or self._unknown_command() or message)

    def _unknown_option(self):
        """Return a message on the first option that is not known, None if all are."""
        known = self._option_string_actions
        for argument in self._given:
            command = self._commands().get(argument)
            if command is not None:
                known = command._option_string_actions
            name = argument.split("=")[0]
            if name.startswith("--") and name != "--" and name not in known:
                return f"unknown option {name}.{_suggestion(name, known)}"
        return None

    def _unknown_command(self):
        """Return a message on a first argument that is not a command."""
        commands, first = self._commands(), next(iter(self._given), "-")
        if not commands or first in commands or first.startswith("-"):
            return None
        if is_table(first):
            return f"{first} is a file, not a command. Give it by --data. See --help."
        return f"unknown command {first}.{_suggestion(first, commands)}"

    def _commands(self):
        """Return the parsers of the commands by their names."""
        kinds = [
            action.choices
            for action in self._actions
            if isinstance(action, argparse._SubParsersAction)
        ]
        return kinds[0] if kinds else {}


def _suggestion(name, known):
    close = get_close_matches(name, known, n=1)
    did_you_mean = f" Did you mean {close[0]}?" if close else ""
    return f"{did_you_mean} See --help."


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


def add_rule_options(parser, verb):
    """Add the options that choose one of the fair rules in a directory, or none.

    Parameters
    ----------
    parser : ArgumentParser
    verb : str
        What the command does with the rule.
    """
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--rule", metavar="NAME", help=f"fair rule to {verb}, if there are several"
    )
    which.add_argument(
        "--no-rule", action="store_true", help=f"{verb} the ensemble without a rule"
    )
