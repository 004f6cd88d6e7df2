"""A parser of options whose errors name unknown options and commands."""

import argparse
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
