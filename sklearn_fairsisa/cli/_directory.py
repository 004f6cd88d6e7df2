"""Commands over a durable directory: ``fairsisa forget|status|verify|report DIR``."""

import csv
import json
import re
import sys
import warnings
from pathlib import Path

from ..exceptions import DirectoryError, LockedDirectoryError

OK, REFUSED, LOCKED, DAMAGED, NOT_EXACT, PENDING = 0, 1, 3, 4, 5, 6

EXIT_CODES = (
    "Exit status: 0 done; 1 the request was refused and nothing changed; 2 wrong "
    "options; 3 another process is using the directory; 4 it is damaged or signed with "
    "another key; 5 the verification failed; 6 the work failed after the request was "
    "written down, for example on a full disk, and the next command finishes it; 130 "
    "interrupted, and the next command finishes it as well."
)


def add_commands(subparsers):
    """Add the commands to a parser.

    Each command sets ``run`` in the parsed arguments to a function of these that
    returns an exit status.

    Parameters
    ----------
    subparsers : object
        Result of ``ArgumentParser.add_subparsers``.
    """
    forget = _add(subparsers, "forget", _forget, "delete rows exactly")
    what = forget.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--indices", type=int, nargs="+", metavar="N", help="rows, counted from 0"
    )
    what.add_argument("--subjects", nargs="+", metavar="ID", help="data subjects")
    what.add_argument(
        "--from-file",
        type=Path,
        metavar="CSV",
        help="file with a column index, or a column subject, of what to forget",
    )
    forget.add_argument(
        "--dry-run", action="store_true", help="print the expected cost, change nothing"
    )
    _add_work_options(forget)
    _add(subparsers, "status", _status, "print what is in a directory")
    verify = _add(
        subparsers, "verify", _verify, "retrain from scratch and compare every bit"
    )
    verify.add_argument(
        "--certificate", type=Path, metavar="JSON", help="file to write the result to"
    )
    _add_work_options(verify)
    report = _add(subparsers, "report", _report, "print all requests and their cost")
    report.add_argument("--html", type=Path, metavar="FILE", help="write a page")
    report.add_argument("--csv", type=Path, metavar="FILE", help="write a table")


def _add(subparsers, name, command, summary):
    parser = subparsers.add_parser(
        name, help=summary, description=summary.capitalize() + ".", epilog=EXIT_CODES
    )
    parser.add_argument(
        "directory", type=Path, metavar="DIR", help="checkpoint_dir of a SISAClassifier"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=lambda args: _guarded(command, args))
    return parser


def _add_work_options(parser):
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="shards to train at a time"
    )
    parser.add_argument(
        "--quiet", action="store_true", help="no line for each stage trained"
    )


def _guarded(command, args):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = lambda message, *_: _print_error(
                f"warning: {message}"
            )
            return command(args)
    except LockedDirectoryError as error:
        return _fail(error, LOCKED)
    except DirectoryError as error:
        return _fail(error, DAMAGED)
    except KeyboardInterrupt:
        _print_error("interrupted; the next command finishes what was begun")
        return 130
    except Exception as error:
        notes = getattr(error, "__notes__", ())
        if getattr(error, "pending_request", None) is not None:
            return _fail(f"{error!r}. {' '.join(notes)}", PENDING)
        if isinstance(error, OSError | ValueError):
            return _fail(" ".join([str(error), *notes]), REFUSED)
        raise


def _fail(error, status):
    _print_error(f"error: {error}")
    return status


def _print_error(text):
    print(f"fairsisa: {text}", file=sys.stderr, flush=True)


def _print_result(args, facts, text):
    print(json.dumps(facts, indent=1) if args.json else text)


def _load(args, **kwargs):
    from ..sisa import SISAClassifier

    # Progress lines would mix with the JSON that scripts read.
    params = {"verbose": int(not args.quiet and not args.json)}
    if args.jobs is not None:
        params["n_jobs"] = args.jobs
    return SISAClassifier.load(args.directory, params=params, **kwargs)


def _forget(args):
    indices, subjects = args.indices, args.subjects
    if args.from_file is not None:
        indices, subjects = _read_requests(args.from_file)
    sisa = _load(args, finish=not args.dry_run)
    if subjects is not None:
        subjects = _as_fitted(subjects, sisa)
    cost = sisa.expected_cost(indices, subjects=subjects)
    share = cost["sample_visits"] / max(1, cost["full_sample_visits"])
    about = (
        f"{cost['rows']} rows in shards {cost['shards']}, {cost['sample_visits']:,} "
        f"sample visits, {share:.1%} of retraining"
    )
    if args.dry_run:
        _print_result(args, cost, f"would forget {about}")
        return OK
    sisa.forget(indices, subjects=subjects)
    entry = sisa._audit.entries[-1]
    _print_result(
        args,
        entry,
        f"forgot {about}, in {entry['seconds']:.1f} s; {sisa.n_rows_} rows are left; "
        f"audit entry {entry['entry']}, {entry['hash']}",
    )
    return OK


def _read_requests(path):
    """Return the indices, or else the subjects, that a file names."""
    # Spreadsheets may write a byte order mark before the first column's name.
    with path.open(newline="", encoding="utf-8-sig") as file:
        try:
            rows = list(csv.reader(file, strict=True))
        except csv.Error as error:
            raise ValueError(f"{path} is no CSV file: {error}.") from None
    header = rows[0] if rows else []
    columns = [name for name in header if name in ("index", "subject")]
    if len(columns) != 1:
        raise ValueError(
            f"{path} has the columns {header}. It needs one called index or one called "
            "subject, not both."
        )
    (kind,) = columns
    values = []
    for number, row in enumerate(rows[1:], start=2):
        if not row:
            continue
        value = row[header.index(kind)].strip() if len(row) == len(header) else ""
        if not value:
            raise ValueError(
                f"Row {number} of {path} is {row}. It needs {len(header)} values, of "
                f"which the {kind} is not empty. Nothing was forgotten."
            )
        values.append(value)
    if kind == "subject":
        return None, values
    wrong = [value for value in values if not re.fullmatch(r"[+-]?[0-9]{1,18}", value)]
    if wrong:
        raise ValueError(
            f"{path} has the index {wrong[0]!r}. Indices are integers, counted from 0."
        )
    return [int(value) for value in values], None


def _as_fitted(subjects, sisa):
    """Return data-subject ids, which the command line gives as text, as in fit."""
    from ..sisa._requests import known_as, known_subjects

    is_known = known_subjects(sisa._state)
    fitted = [known_as(text, is_known) for text in subjects]
    return [text if known is None else known for text, known in zip(subjects, fitted)]


def _status(args):
    from ..sisa.store import open_directory

    with open_directory(args.directory, check=False) as store:
        facts = store.status()
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in facts.items()]
    _print_result(args, facts, "\n".join(lines))
    if facts["pending"]:
        _print_error(
            f"a {facts['pending']} was interrupted; forget and verify finish it first"
        )
    return OK


def _verify(args):
    sisa = _load(args)
    verification = sisa.verify_forgotten()
    certificate = verification.certificate()
    if args.certificate is not None:
        args.certificate.write_text(certificate)
    facts = json.loads(certificate)
    _print_result(
        args, facts, f"{facts['statement']} Shards: {list(verification.shards)}."
    )
    return OK if verification else NOT_EXACT


def _report(args):
    from ..sisa._reports import ForgettingReport
    from ..sisa.store import open_directory

    with open_directory(args.directory) as store:
        report = ForgettingReport(store.audit_log(), store.status()["rows"])
    frame = report.to_frame()
    if args.html is not None:
        args.html.write_text(report.to_html())
    if args.csv is not None:
        frame.to_csv(args.csv)
    if args.json:
        print(json.dumps(report.log.entries, indent=1))
    elif args.html is None and args.csv is None:
        columns = ["time", "kind", "n_forgotten", "n_rows", "share", "seconds"]
        print(frame[columns].to_string())
    return OK
