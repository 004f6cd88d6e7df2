"""Commands over a durable directory: ``fairsisa forget|export|status|... DIR``."""

import csv
import hashlib
import json
import os
import pickle
import re
import secrets
import sys
import warnings
from pathlib import Path

from ..exceptions import ChangedDirectoryError, DirectoryError, LockedDirectoryError
from ..sisa._words import counted
from ._dossier import add_options, dossier_of, write

OK, REFUSED, LOCKED, DAMAGED, NOT_EXACT, BEHIND, INTERRUPTED = 0, 1, 3, 4, 5, 6, 130

EXIT_CODES = (
    "Exit status: 0 done; 1 the request was refused, and nothing changed; 2 wrong "
    "options; 3 another process works in the directory; 4 it is damaged, or signed "
    "with another key; 5 the verification failed; 6 the rows are erased, but a member "
    "could not be trained on the remaining rows, or a fair rule could not be solved: "
    "relearn tries again; 130 interrupted, and the message says whether the rows are "
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
        help="file with a column index (rows), or a column subject (data subjects)",
    )
    what.add_argument(
        "--again",
        type=Path,
        metavar="LOG",
        help="newer copy of the audit.jsonl of a directory that was restored from a "
        "backup; its deletions are repeated",
    )
    forget.add_argument(
        "--dry-run", action="store_true", help="show the expected cost, change nothing"
    )
    forget.add_argument(
        "--later",
        action="store_true",
        help="erase the rows now, and leave training to relearn",
    )
    _add_work_options(forget)
    relearn = _add(
        subparsers, "relearn", _relearn, "train members that are behind, cheapest first"
    )
    relearn.add_argument(
        "--shards", type=int, nargs="+", metavar="N", help="relearn only these shards"
    )
    relearn.add_argument(
        "--max-visits",
        type=int,
        metavar="N",
        help="largest number of sample visits",
    )
    relearn.add_argument(
        "--all",
        action="store_true",
        help="retrain every member from scratch, for example after an upgrade",
    )
    _add_work_options(relearn)
    export = _add(
        subparsers, "export", _export, "write what predicts, without rows, ids and log"
    )
    export.add_argument(
        "output",
        type=Path,
        metavar="OUT",
        help="file to write, or to replace at one instant: a pickle",
    )
    which = export.add_mutually_exclusive_group()
    which.add_argument(
        "--rule", metavar="NAME", help="fair rule to export, if there are several"
    )
    which.add_argument(
        "--no-rule", action="store_true", help="export the ensemble without a fair rule"
    )
    _add(subparsers, "status", _status, "show what a directory holds")
    verify = _add(
        subparsers, "verify", _verify, "retrain from scratch and compare every bit"
    )
    verify.add_argument(
        "--certificate", type=Path, metavar="FILE", help="file to write the result to"
    )
    verify.add_argument(
        "--sign",
        type=Path,
        metavar="KEY",
        help="private Ed25519 key in PEM format that signs the certificate",
    )
    _add_work_options(verify)
    check = subparsers.add_parser(
        "check",
        help="check the signature of a certificate",
        description="Check the signature of a certificate, without rows or model.",
        epilog=EXIT_CODES,
    )
    check.add_argument("file", type=Path, metavar="FILE", help="signed certificate")
    check.add_argument(
        "--public-key",
        type=Path,
        required=True,
        metavar="KEY",
        help="public key of the signer in PEM format",
    )
    check.add_argument("--json", action="store_true", help="print one JSON object")
    check.set_defaults(run=lambda args: _guarded(_check, args))
    report = _add(
        subparsers, "report", _report, "show all requests, their cost, what is behind"
    )
    report.add_argument(
        "--output",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="files to write: a page if it ends in .html, all tables in .json, the log "
        "in .csv",
    )
    report.add_argument(
        "--verify",
        action="store_true",
        help="retrain from scratch first, and include the result",
    )
    _add_work_options(report)
    dossier = _add(
        subparsers,
        "dossier",
        _dossier,
        "describe forgetting, fairness and limits in one document",
    )
    add_options(dossier)


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
        "--n-jobs", type=int, metavar="N", help="shards to train at a time"
    )
    parser.add_argument(
        "--quiet", action="store_true", help="print no line for each stage trained"
    )
    parser.add_argument(
        "--wait",
        type=float,
        metavar="SECONDS",
        help="how long to wait for another process in the directory (default: 10)",
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
    except KeyboardInterrupt as error:
        _print_error(" ".join(["interrupted.", *getattr(error, "__notes__", ())]))
        return INTERRUPTED
    except Exception as error:
        notes = getattr(error, "__notes__", ())
        if isinstance(error, MemoryError | OSError | ValueError):
            return _fail(" ".join([str(error) or repr(error), *notes]), REFUSED)
        raise


def _fail(error, status):
    _print_error(f"error: {error}")
    return status


def _print_error(text):
    print(f"fairsisa: {text}", file=sys.stderr, flush=True)


def _print_result(args, facts, text):
    print(json.dumps(facts, indent=1) if args.json else text)


def _load(args):
    from ..sisa import CheckpointPolicy, SISAClassifier

    # Progress lines would mix with the JSON that scripts read.
    params = {"verbose": int(not args.quiet and not args.json)}
    if args.n_jobs is not None:
        params["n_jobs"] = args.n_jobs
    directory = args.directory
    if args.wait is not None:
        directory = CheckpointPolicy(directory, timeout=args.wait)
    return SISAClassifier.load(directory, params=params)


def _forget(args):
    indices, subjects = args.indices, args.subjects
    if args.from_file is not None:
        indices, subjects = _read_requests(args.from_file)
    sisa = _load(args)
    if args.again is not None:
        indices = _rows_of_log(args.again, sisa)
    if subjects is not None:
        subjects = _as_fitted(subjects, sisa)
    cost = sisa.expected_cost(indices, subjects=subjects)
    share = cost["sample_visits"] / max(1, cost["full_sample_visits"])
    request = (
        f"{counted(cost['rows'], 'row')} in shards {cost['shards']}, "
        f"{cost['sample_visits']:,} sample visits, {share:.1%} of retraining"
    )
    if args.dry_run:
        _print_result(args, cost, f"would forget {request}")
        return OK
    head = sisa._audit.head
    try:
        sisa.forget(indices, subjects=subjects, relearn=not args.later)
    except Exception as error:
        if sisa._audit.head == head:
            raise
        # The log has the erasure, so the training after it failed.
        return _fail(f"{error!r}. {' '.join(error.__notes__)}", BEHIND)
    entries = sisa._audit.entries
    entry = next(e for e in reversed(entries) if e["kind"] == "forget")
    behind, rules = sisa.behind_["shard"].tolist(), _rules_behind(sisa)
    seconds = sisa.forget_log_[-1].seconds
    erased = f"erased {request}" if args.later else f"forgot {request}"
    _print_result(
        args,
        {**entry, "behind": behind, "rules_behind": rules},
        f"{erased}, in {seconds:.1f} s; {sisa.n_rows_} rows are left; audit entry "
        f"{entry['entry']}, {entry['hash']}"
        + (f"; shards {behind} are behind" if behind else "")
        + (f"; rules {rules} are behind" if rules else ""),
    )
    is_behind = rules or set(behind) & set(entry["shards"])
    return BEHIND if is_behind and not args.later else OK


def _rules_behind(sisa):
    """Return the names of the fair rules not yet solved for the remaining rows."""
    rules, digests = sisa._state.companions.items(), sisa._store.digests
    return [name for name, rule in rules if not rule.is_current(digests)]


def _rows_of_log(path, sisa):
    """Return the rows that a newer copy of the log shows as forgotten."""
    from ..sisa._audit import parsed
    from ..sisa._reports import rows_of_later_log

    later = parsed(path.read_bytes())
    rows, amended, n_unknown = rows_of_later_log(sisa._audit, later, sisa._state)
    if amended:
        _print_error(
            f"rows {amended} were corrected after the backup; the log does not hold "
            "their values, so amend them again"
        )
    if n_unknown:
        _print_error(
            f"{n_unknown} rows of the log were added after the backup, so this "
            "directory lacks them"
        )
    return rows


def _relearn(args):
    sisa = _load(args)
    if args.all:
        if args.shards is not None or args.max_visits is not None:
            raise ValueError(
                "--all retrains every member. Leave out --shards and --max-visits."
            )
        sisa._retrain()
    else:
        sisa.relearn(shards=args.shards, max_sample_visits=args.max_visits)
    behind, rules = sisa.behind_, _rules_behind(sisa)
    facts = {
        "behind": behind["shard"].tolist(),
        "rules_behind": rules,
        "audit_head": sisa._audit.head,
    }
    state = f"{len(behind)} shards are behind" if len(behind) else "no shard is behind"
    state += f"; rules {rules} are behind" if rules else ""
    _print_result(
        args, facts, f"relearnt; {state}; head of the log {facts['audit_head']}"
    )
    failed = behind["reason"].ne("deferred").any() or (rules and not len(behind))
    return BEHIND if failed else OK


def _read_requests(path):
    """Return the indices, or else the subjects, that a file names."""
    # Spreadsheets may write a byte order mark before the first column's name.
    with path.open(newline="", encoding="utf-8-sig") as file:
        try:
            rows = list(csv.reader(file, strict=True))
        except csv.Error as error:
            raise ValueError(f"{path} is not a CSV file: {error}.") from None
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
    """Return data-subject ids with the types of fit; the command line gives texts."""
    from ..sisa._requests import as_given

    return as_given(sisa._state, subjects)


def _load_with_rule(directory, name, without):
    """Return the ensemble of a directory, and the rule over it, None without one."""
    from ..postprocessing import FairEnsemblePostprocessor
    from ..sisa import SISAClassifier

    fitted = SISAClassifier.load(directory)
    rules = sorted(fitted._state.companions)
    names = rules if name is None else [name]
    if not without and (len(names) > 1 or not set(names) <= set(rules)):
        raise ValueError(
            f"{directory} holds the fair rules {rules}. Name one of several in --rule, "
            "or give --no-rule."
        )
    if without or not names:
        return fitted, None
    rule = FairEnsemblePostprocessor.load(directory, name=names[0])
    return rule.estimator_, rule


def _export(args):
    fitted, rule = _load_with_rule(args.directory, args.rule, args.no_rule)
    behind, head = fitted.behind_["shard"].tolist(), fitted._audit.head
    fitted = fitted if rule is None else rule
    data = pickle.dumps(fitted.for_serving(), protocol=5)
    n_bytes = len(data)
    _replace_file(args.output, data)
    facts = {
        "output": str(args.output),
        "bytes": n_bytes,
        "sha256": hashlib.sha256(data).hexdigest(),
        "rule": getattr(fitted, "_name", None),
        "behind": behind,
        "audit_head": head,
    }
    rule = "no fair rule" if facts["rule"] is None else f"the rule {facts['rule']!r}"
    _print_result(
        args,
        facts,
        f"wrote {args.output}, {n_bytes:,} bytes: the ensemble with {rule}, as of the "
        f"log's head {head}",
    )
    if behind:
        _print_error(f"shards {behind} are behind; relearn, then export again")
    return OK


def _replace_file(path, data):
    """Write a file such that readers have the old or the new one, never a part."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with new.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _status(args):
    from ..sisa._workers import visits_behind
    from ..sisa.store import open_directory

    while True:
        store = open_directory(args.directory, check=False)
        try:
            rules = _rules(store)
            break
        except ChangedDirectoryError:
            # Another process changed the directory meanwhile: read it again.
            continue
    facts = store.status()
    if facts["behind"]:
        state = store.state()
        facts["relearning_sample_visits"] = sum(
            visits_behind(state, store, shard) for shard in facts["behind"]
        )
    log = store.audit_log().entries
    facts["versions"] = log[-1]["versions"] if log else {}
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in facts.items()]
    lines += [f"rule {name}: {_description(rule)}" for name, rule in rules.items()]
    _print_result(args, {**facts, "rules": rules}, "\n".join(lines))
    if facts["behind"]:
        _print_error(f"shards {list(facts['behind'])} are behind; relearn trains them")
    behind = [name for name, rule in rules.items() if rule["behind"]]
    if behind:
        _print_error(f"rules {behind} are behind; relearn solves for them")
    return OK


def _rules(store):
    """Return facts about the fair rules that are kept with an ensemble, by name."""
    rules = store.companions().items()
    return {name: rule.facts(store.digests) for name, rule in rules}


def _description(rule):
    """Return the facts about a rule as a line."""
    among = f"{rule['constraint']} among {', '.join(rule['groups'])}"
    text = f"{rule['method']}, {among}, {rule['calibration_rows']:,} rows"
    if rule["behind"]:
        return f"{text}; behind"
    measures = rule.get("in_calibration") or {"gap": rule["gap_in_calibration"]}
    text += "".join(f"; {name} {value:.3f}" for name, value in measures.items())
    text += " in calibration"
    if "confidence" not in rule:
        return text
    holds = "holds" if rule["holds"] else "no longer holds"
    if "gap_in_calibration" in rule:
        claim = f"a true gap of at most {rule['tol']:g} {holds}"
        bound = f"the bound is {rule['bound']:.3f}"
    else:
        claim = f"that {holds}"
        bound = f"the bounds need {rule['bound']:.3f} of slack"
    return f"{text}; {claim} at confidence {rule['confidence']:g}: {bound}"


def _verify(args):
    if args.sign is not None and args.certificate is None:
        raise ValueError("--sign needs --certificate, the file to write.")
    sisa = _load(args)
    sisa._store.check_rows()
    verification = sisa.verify_forgotten()
    certificate = verification.certificate()
    if args.certificate is not None:
        signed = verification.certificate(args.sign) if args.sign else certificate
        args.certificate.write_text(signed)
    _print_result(
        args,
        json.loads(certificate),
        f"{verification.statement} It took {verification.sample_visits:,} sample "
        f"visits and {verification.seconds:.1f} s, and holds for the log up to entry "
        f"{len(sisa._audit.entries)}, {verification.audit_head}.",
    )
    return OK if verification else NOT_EXACT


def _check(args):
    from ..sisa._signatures import checked

    facts = checked(args.file.read_text(), args.public_key)
    _print_result(
        args,
        facts,
        f"The signature is valid. On {facts['time']} its signer stated: "
        f"{facts['statement']} Shards: {facts['shards']}. Head of the log: "
        f"{facts['audit_head']}.",
    )
    return OK if facts["holds"] else NOT_EXACT


def _report(args):
    writers = {
        ".html": lambda report: report.to_html(),
        ".json": lambda report: report.to_json(),
        ".csv": lambda report: report.to_frame().to_csv(),
    }
    for path in args.output:
        if path.suffix.lower() not in writers:
            raise ValueError(
                f"{path} does not end in {', '.join(writers)}, so it is unclear what "
                "to write. Nothing was written."
            )
    sisa = _load(args)
    verification = sisa.verify_forgotten() if args.verify else None
    report = sisa.forgetting_report(verification)
    for path in args.output:
        text = writers[path.suffix.lower()](report)
        path.write_text(text, encoding="utf-8")
    if args.json:
        print(report.to_json())
    else:
        print("\n".join(report.statements().values()))
        columns = ["time", "kind", "n_forgotten", "n_rows", "share", "seconds"]
        if not args.output:
            print(report.to_frame()[columns].to_string())
    return NOT_EXACT if args.verify and not verification else OK


def _dossier(args):
    dossier = dossier_of(args, _load_with_rule)
    write(dossier, args.output)
    open_points = [f"Open: {point}" for point in dossier.open_points()]
    text = "\n".join([*dossier.statements().values(), *open_points])
    print(dossier.to_json() if args.json else text)
    return OK
