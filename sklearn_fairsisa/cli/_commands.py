"""Commands over a durable directory: their options, exit statuses and errors."""

import warnings
from pathlib import Path

from ..exceptions import DirectoryError, LockedDirectoryError
from . import _directory, _dossier
from ._errors import (
    BEHIND,
    DAMAGED,
    INTERRUPTED,
    LOCKED,
    NOT_EXACT,
    OK,
    REFUSED,
    WRONG_OPTIONS,
    fail,
    message_of,
    print_error,
)
from ._options import jobs, positive, seconds, whole_number
from ._outputs import add_output_option
from ._rule import add_rule_options

_EPILOG = (
    "A shard is behind while its member has yet to learn from some of the rows that "
    "are left: it then predicts by what it has learnt so far, or not at all. A fair "
    "rule is behind while it has yet to be solved for them. Forgotten rows are erased "
    "all the same; relearn trains and solves what is behind. "
    f"Exit status: {OK} done; {REFUSED} the request was refused, and nothing changed; "
    f"{WRONG_OPTIONS} wrong options; {LOCKED} another process works in the directory; "
    f"{DAMAGED} it is damaged, or signed with another key; {NOT_EXACT} the "
    f"verification failed; {BEHIND} the rows are erased, but a member could not be "
    "trained on the remaining rows, or a fair rule could not be solved: relearn tries "
    f"again; {INTERRUPTED} interrupted, and the message says whether the rows are "
    "erased."
)


def add_commands(subparsers):
    """Add the commands to a parser.

    Each command sets ``run`` in the parsed arguments to a function that takes these
    arguments and returns an exit status.

    Parameters
    ----------
    subparsers : object
        Result of ``ArgumentParser.add_subparsers``.
    """
    for add in (
        _add_forget,
        _add_relearn,
        _add_export,
        _add_status,
        _add_verify,
        _add_check,
        _add_report,
        _add_dossier,
    ):
        add(subparsers)


def _add_forget(subparsers):
    parser = _add(
        subparsers,
        "forget",
        _directory.forget,
        "delete rows exactly",
        usage="%(prog)s DIR (--indices N ... | --subjects ID ... |\n"
        "                            --from-file CSV | --again LOG) [options]",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--indices",
        type=whole_number,
        nargs="+",
        metavar="N",
        help="rows, counted from 0",
    )
    what.add_argument("--subjects", nargs="+", metavar="ID", help="data subjects")
    what.add_argument(
        "--from-file",
        type=Path,
        metavar="CSV",
        help="file with a column index (rows), or a column subject (data subjects)",
    )
    what.add_argument(
        "--again",
        type=Path,
        metavar="LOG",
        help="newer copy of the audit.jsonl of a directory that was restored from a "
        "backup; its deletions are repeated",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="show the expected cost, change nothing"
    )
    parser.add_argument(
        "--later",
        action="store_true",
        help="erase the rows now, and leave training to relearn",
    )
    _add_work_options(parser)


def _add_relearn(subparsers):
    parser = _add(
        subparsers,
        "relearn",
        _directory.relearn,
        "train members that are behind, cheapest first",
    )
    parser.add_argument(
        "--shards",
        type=whole_number,
        nargs="+",
        metavar="N",
        help="relearn only these shards, counted from 0",
    )
    parser.add_argument(
        "--max-visits",
        type=positive,
        metavar="N",
        help="largest number of sample visits",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="retrain every member from scratch, for example after an upgrade",
    )
    _add_work_options(parser)


def _add_export(subparsers):
    parser = _add(
        subparsers,
        "export",
        _directory.export,
        "write what predicts, without rows, ids and log",
        usage="%(prog)s DIR OUT [options]",
    )
    parser.add_argument(
        "output",
        type=Path,
        metavar="OUT",
        help="file to write, or to replace at one instant: a pickle",
    )
    add_rule_options(parser, "export")


def _add_status(subparsers):
    _add(subparsers, "status", _directory.status, "show what a directory holds")


def _add_verify(subparsers):
    parser = _add(
        subparsers,
        "verify",
        _directory.verify,
        "retrain from scratch and compare every bit",
    )
    parser.add_argument(
        "--certificate", type=Path, metavar="FILE", help="file to write the result to"
    )
    parser.add_argument(
        "--sign",
        type=Path,
        metavar="KEY",
        help="private Ed25519 key in PEM format that signs the certificate",
    )
    _add_work_options(parser)


def _add_check(subparsers):
    parser = subparsers.add_parser(
        "check",
        help="check the signature of a certificate",
        description="Check the signature of a certificate, without rows or model.",
        usage="%(prog)s FILE --public-key KEY [--json]",
        epilog=_EPILOG,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="signed certificate")
    parser.add_argument(
        "--public-key",
        type=Path,
        required=True,
        metavar="KEY",
        help="public key of the signer in PEM format",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=lambda args: _guarded(_directory.check, args))


def _add_report(subparsers):
    parser = _add(
        subparsers,
        "report",
        _directory.report,
        "show all requests, their cost, what is behind",
    )
    add_output_option(
        parser, "a page if it ends in .html, all tables in .json, the log in .csv"
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="retrain from scratch first, and include the result",
    )
    _add_work_options(parser)


def _add_dossier(subparsers):
    parser = _add(
        subparsers,
        "dossier",
        _dossier.dossier,
        "describe forgetting, fairness and limits in one document",
    )
    _dossier.add_options(parser)


def _add(subparsers, name, command, summary, usage="%(prog)s DIR [options]"):
    # Usages put DIR first: after an option of many values it would be one of these.
    parser = subparsers.add_parser(
        name,
        help=summary,
        description=summary.capitalize() + ".",
        usage=usage,
        epilog=_EPILOG,
    )
    parser.add_argument(
        "directory", type=Path, metavar="DIR", help="checkpoint_dir of a SISAClassifier"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=lambda args: _guarded(command, args))
    return parser


def _add_work_options(parser):
    parser.add_argument(
        "--n-jobs",
        type=jobs,
        metavar="N",
        help="shards to train at a time; -1 is one per core",
    )
    parser.add_argument(
        "--quiet", action="store_true", help="print no line for each stage trained"
    )
    parser.add_argument(
        "--wait",
        type=seconds,
        metavar="SECONDS",
        help="how long to wait for another process in the directory (default: 10)",
    )


def _guarded(command, args):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = lambda message, *_: print_error(
                f"warning: {message}"
            )
            if "directory" in args:
                _check_directory(args.directory)
            return command(args)
    except LockedDirectoryError as error:
        return fail(error, LOCKED)
    except DirectoryError as error:
        return fail(error, DAMAGED)
    except KeyboardInterrupt as error:
        print_error(" ".join(["interrupted.", *getattr(error, "__notes__", ())]))
        return INTERRUPTED
    except Exception as error:
        notes = getattr(error, "__notes__", ())
        if isinstance(error, ImportError | MemoryError | OSError | ValueError):
            return fail(" ".join([message_of(error), *notes]), REFUSED)
        raise


def _check_directory(path):
    """Raise if a path is not that of a directory."""
    if not path.exists():
        raise FileNotFoundError(
            f"There is no directory {path}. Give the checkpoint_dir of a "
            "SISAClassifier."
        )
    if not path.is_dir():
        raise NotADirectoryError(
            f"{path} is a file. Give the directory, the checkpoint_dir of a "
            "SISAClassifier."
        )
