"""What the commands over a durable directory do."""

import csv
import hashlib
import json
import pickle
import re
from operator import methodcaller

from .._utils.words import counted, named
from ..exceptions import ChangedDirectoryError
from ._errors import BEHIND, NOT_EXACT, OK, fail, print_error
from ._outputs import check_outputs, replace_file, write_document
from ._rule import load_with_rule

_WRITERS = {
    ".html": methodcaller("to_html"),
    ".json": methodcaller("to_json"),
    ".csv": lambda report: report.to_frame().to_csv(),
}


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


def forget(args):
    """Delete rows, or show what it would cost."""
    indices, subjects = args.indices, args.subjects
    if args.from_file is not None:
        indices, subjects = _read_requests(args.from_file)
    sisa = _load(args)
    if args.again is not None:
        indices = _rows_of_log(args.again, sisa)
    if subjects is not None:
        subjects = _as_fitted(subjects, sisa)
    cost = sisa.expected_cost(indices, subjects=subjects)
    request = _cost_in_words(cost)
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
        return fail(f"{error!r}. {' '.join(error.__notes__)}", BEHIND)
    entries = sisa._audit.entries
    entry = next(e for e in reversed(entries) if e["kind"] == "forget")
    behind, rules = sisa.behind_["shard"].tolist(), _rules_behind(sisa)
    seconds = sisa.forget_log_[-1].seconds
    erased = f"erased {request}" if args.later else f"forgot {request}"
    parts = [
        f"{erased}, in {seconds:.1f} s",
        f"{counted(sisa.n_rows_, 'row')} left",
        f"audit entry {entry['entry']}, {entry['hash']}",
        *_behind("shard", behind),
        *_behind("rule", rules),
    ]
    facts = {**entry, "behind": behind, "rules_behind": rules}
    _print_result(args, facts, "; ".join(parts))
    is_behind = rules or set(behind) & set(entry["shards"])
    return BEHIND if is_behind and not args.later else OK


def _cost_in_words(cost):
    """Return the rows, shards and sample visits of a request."""
    share = cost["sample_visits"] / max(1, cost["full_sample_visits"])
    where = f" in {named('shard', cost['shards'])}" if cost["shards"] else ""
    return (
        f"{counted(cost['rows'], 'row')}{where}, "
        f"{counted(cost['sample_visits'], 'sample visit')}, {share:.1%} of retraining"
    )


def _behind(noun, names):
    """Return a sentence on the shards or rules that are behind, in a list; or none."""
    verb = "is" if len(names) == 1 else "are"
    return [f"{named(noun, names)} {verb} behind"] if names else []


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
        print_error(
            f"corrected after the backup: {named('row', amended)}; the log does not "
            "hold their values, so amend them again"
        )
    if n_unknown:
        print_error(
            f"added after the backup, so not in this directory: "
            f"{counted(n_unknown, 'row')} of the log"
        )
    return rows


def relearn(args):
    """Train what is behind."""
    sisa = _load(args)
    if args.all:
        if args.shards is not None or args.max_visits is not None:
            raise ValueError(
                "--all retrains every member. Leave out --shards and --max-visits."
            )
        sisa._retrain()
    else:
        sisa.relearn(shards=args.shards, max_sample_visits=args.max_visits)
    behind, rules = sisa.behind_["shard"].tolist(), _rules_behind(sisa)
    head = sisa._audit.head
    states = [*_behind("shard", behind), *_behind("rule", rules)]
    _print_result(
        args,
        {"behind": behind, "rules_behind": rules, "audit_head": head},
        "; ".join(
            ["relearnt", *(states or ["no shard is behind"]), f"head of the log {head}"]
        ),
    )
    failed = sisa.behind_["reason"].ne("deferred").any() or (rules and not behind)
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


def export(args):
    """Write what predicts."""
    check_outputs([args.output])
    fitted, rule = load_with_rule(args.directory, args.rule, args.no_rule)
    behind, head = fitted.behind_["shard"].tolist(), fitted._audit.head
    fitted = fitted if rule is None else rule
    data = pickle.dumps(fitted.for_serving(), protocol=5)
    n_bytes = len(data)
    replace_file(args.output, data)
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
    for state in _behind("shard", behind):
        print_error(f"{state}: run fairsisa relearn, then export again")
    return OK


def status(args):
    """Show what a directory holds."""
    from ..sisa._reports import requests_of
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
    log = store.audit_log()
    facts["requests"] = len(requests_of(log))
    facts["versions"] = log.entries[-1]["versions"] if log.entries else {}
    shown = {
        **facts,
        "behind": [f"shard {n} ({why})" for n, why in facts["behind"].items()],
        "versions": [f"{name} {which}" for name, which in facts["versions"].items()],
    }
    lines = [f"{name.replace('_', ' ')}: {_plain(it)}" for name, it in shown.items()]
    lines += [f"rule {name}: {_description(rule)}" for name, rule in rules.items()]
    _print_result(args, {**facts, "rules": rules}, "\n".join(lines))
    behind = [name for name, rule in rules.items() if rule["behind"]]
    for state in [*_behind("shard", facts["behind"]), *_behind("rule", behind)]:
        print_error(f"{state}: run fairsisa relearn")
    return OK


def _plain(value):
    """Return a fact as people write it."""
    if isinstance(value, list):
        return ", ".join(map(_plain, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


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


def verify(args):
    """Retrain and compare."""
    if args.sign is not None and args.certificate is None:
        raise ValueError("--sign needs --certificate, the file to write.")
    if args.certificate is not None:
        check_outputs([args.certificate])
    sisa = _load(args)
    sisa._store.check_rows()
    verification = sisa.verify_forgotten()
    certificate = verification.certificate()
    if args.certificate is not None:
        signed = verification.certificate(args.sign) if args.sign else certificate
        args.certificate.write_bytes(signed.encode())
    _print_result(
        args,
        json.loads(certificate),
        f"{verification.statement} It took "
        f"{counted(verification.sample_visits, 'sample visit')} and "
        f"{verification.seconds:.1f} s, and holds for the log up to entry "
        f"{len(sisa._audit.entries)}, {verification.audit_head}.",
    )
    return OK if verification else NOT_EXACT


def check(args):
    """Check the signature of a certificate."""
    from ..sisa._signatures import checked

    facts = checked(args.file.read_text(encoding="utf-8"), args.public_key)
    _print_result(
        args,
        facts,
        f"The signature is valid. On {facts['time']} its signer stated: "
        f"{facts['statement']} Shards: {facts['shards']}. Head of the log: "
        f"{facts['audit_head']}.",
    )
    return OK if facts["holds"] else NOT_EXACT


def report(args):
    """Show all requests."""
    check_outputs(args.output, _WRITERS)
    sisa = _load(args)
    verification = sisa.verify_forgotten() if args.verify else None
    report = sisa.forgetting_report(verification)
    write_document(report, args.output, _WRITERS)
    if args.json:
        print(report.to_json())
    else:
        print("\n".join(report.statements().values()))
        columns = ["time", "kind", "n_forgotten", "n_rows", "share", "seconds"]
        if not args.output:
            print(report.to_frame()[columns].to_string())
    return NOT_EXACT if args.verify and not verification else OK
