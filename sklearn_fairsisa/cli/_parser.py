"""The parser of the command line, and dispatch of what it is asked for."""

import argparse
import sys

from .. import __version__
from . import _compare
from ._commands import add_commands
from ._options import OptionParser
from ._pipes import discarding_what_nobody_reads


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Formatter that shows the defaults of options that have one."""

    def _get_help_string(self, action):
        if action.default is None or action.default is False:
            return action.help
        return super()._get_help_string(action)


def make_parser():
    """Return the parser of the comparison's options and of all commands."""
    parser = OptionParser(
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
