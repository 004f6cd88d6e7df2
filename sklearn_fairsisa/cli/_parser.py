"""The parser of the command line, which runs what it is asked for."""

import argparse
import sys

from .. import __version__
from . import _compare
from ._commands import add_commands
from ._errors import did_you_mean
from ._pipes import discarding_what_nobody_reads
from ._tables import is_table


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Formatter that shows the defaults of options that have one."""

    def _get_help_string(self, action):
        if action.default is None or action.default is False:
            return action.help
        return super()._get_help_string(action)


class _Parser(argparse.ArgumentParser):
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
            command = self.commands().get(argument)
            if command is not None:
                known = command._option_string_actions
            name = argument.split("=")[0]
            if name.startswith("--") and name != "--" and name not in known:
                question = did_you_mean(name, known, str)
                return f"unknown option {name}.{question} See --help."
        return None

    def _unknown_command(self):
        """Return a message on a first argument that is not a command."""
        commands, first = self.commands(), next(iter(self._given), "-")
        if not commands or first in commands or first.startswith("-"):
            return None
        if is_table(first):
            return f"{first} is a file, not a command. Give it by --data. See --help."
        question = did_you_mean(first, commands, str)
        return f"unknown command {first}.{question} See --help."

    def commands(self):
        """Return the parsers of the commands by their names."""
        kinds = [
            action.choices
            for action in self._actions
            if isinstance(action, argparse._SubParsersAction)
        ]
        return kinds[0] if kinds else {}


def make_parser():
    """Return the parser of the comparison's options and of all commands."""
    parser = _Parser(
        prog="fairsisa",
        usage="%(prog)s [options]\n       %(prog)s COMMAND ...",
        description=(
            "With options, train one model and a SISA ensemble on texts or a table, "
            "forget rows, verify the deletion bit for bit, fit fair post-processing "
            "rules and compare all of them on people held out. With a command, work on "
            "the directory of a SISAClassifier. With neither, fairsisa shows this help "
            "and python -m sklearn_fairsisa compares on generated posts."
        ),
        formatter_class=_Help,
    )
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", prog=parser.prog
    )
    add_commands(commands)
    parser.add_argument(
        "--version",
        action="version",
        version=f"%(prog)s {__version__}",
        help="show the version and exit",
    )
    _compare.add_options(parser)
    return parser


def main(argv=None):
    """Run the comparison or a command; return the exit status.

    Parameters
    ----------
    argv : list of str, default=None
        Arguments; None means those of the command line. Without any, the help is shown.

    Returns
    -------
    int
        0 on success, 1 on failure; wrong options exit with 2. The commands have further
        exit statuses, see their ``--help``.
    """
    argv = sys.argv[1:] if argv is None else argv
    parser = make_parser()
    with discarding_what_nobody_reads():
        options = parser.parse_args(argv)
        if not argv:
            # A comparison takes minutes and writes a folder: nobody starts it unasked.
            parser.print_help()
            return 0
        return options.run(options)
