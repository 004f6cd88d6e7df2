"""The command ``fairsisa dossier DIR``."""

import base64
import hashlib
from operator import methodcaller
from pathlib import Path

import numpy as np

from .._utils.words import counted
from ._errors import OK
from ._outputs import add_output_option, check_outputs, write_document
from ._rule import add_rule_options, load_with_rule
from ._tables import check_column, read_table

_WRITERS = {".html": methodcaller("to_html"), ".json": methodcaller("to_json")}


def add_options(parser):
    """Add the options of the command to its parser."""
    add_output_option(parser, "a page if it ends in .html, all tables in .json")
    add_rule_options(parser, "describe")
    _add_people_options(parser.add_argument_group("people"))
    _add_proof_options(parser.add_argument_group("verification"))


def _add_people_options(people):
    people.add_argument(
        "--people",
        type=Path,
        metavar="FILE",
        help="CSV or Parquet file of people to compute rates on (default: the rows on "
        "which the rule is calibrated)",
    )
    people.add_argument(
        "--attribute",
        nargs="+",
        metavar="COLUMN",
        help="columns of the file with the groups (default: those of the rule)",
    )
    people.add_argument(
        "--target", metavar="COLUMN", help="column with the labels, for rates of errors"
    )
    people.add_argument(
        "--text",
        metavar="COLUMN",
        help="column with texts; without it all other columns are features, or those "
        "that fit saw, if it saw names",
    )
    people.add_argument(
        "--subjects",
        metavar="COLUMN",
        help="column with data-subject ids, which settle randomised decisions",
    )
    people.add_argument(
        "--pos-label",
        metavar="LABEL",
        help="of two decisions, the one whose rates are shown (default: that of the "
        "rule, or the last of the classes)",
    )


def _add_proof_options(proof):
    proof.add_argument(
        "--certificate",
        type=Path,
        metavar="FILE",
        help="result of verify --certificate, to include",
    )
    proof.add_argument(
        "--public-key",
        type=Path,
        metavar="KEY",
        help="public key in PEM format that checks the certificate's signature",
    )


def dossier(args):
    """Write a dossier, and print its sentences.

    Raises
    ------
    OSError
        If a file cannot be read.
    ValueError
        If the options do not suit each other, the files or the directory.
    """
    made = _dossier_of(args)
    write_document(made, args.output, _WRITERS)
    open_points = [f"Open: {point}" for point in made.open_points()]
    text = "\n".join([*made.statements().values(), *open_points])
    print(made.to_json() if args.json else text)
    return OK


def _dossier_of(args):
    from ..dossier import make_dossier

    _check(args)
    verification, verified_by = _verification(args)
    sisa, rule = load_with_rule(args.directory, args.rule, args.no_rule)
    given = {} if args.people is None else _people(args, sisa, rule)
    classes = sisa.classes_.tolist()
    if args.pos_label is not None:
        given["pos_label"] = _alike(args.pos_label, classes, "--pos-label")
    return make_dossier(
        sisa if rule is None else rule,
        **given,
        verification=verification,
        verified_by=verified_by,
    )


def _check(args):
    """Raise if the options do not suit each other."""
    check_outputs(args.output, _WRITERS)
    if args.people is None:
        for name in ("attribute", "target", "text", "subjects"):
            if getattr(args, name) is not None:
                raise ValueError(
                    f"--{name} names a column, but there is no --people FILE that has "
                    "it."
                )
    if args.public_key is not None and args.certificate is None:
        raise ValueError("--public-key needs --certificate, the file to check.")


def _verification(args):
    """Return the verification of the certificate, and what is known of its origin."""
    from ..sisa import ForgetVerification

    if args.certificate is None:
        return None, ""
    text = args.certificate.read_text(encoding="utf-8")
    verification = ForgetVerification.from_certificate(text, args.public_key)
    if args.public_key is None:
        return verification, "The certificate is not signed."
    key = _fingerprint(args.public_key.read_text(encoding="ascii"))
    return verification, (
        f"The certificate is signed, by the owner of the key with the SHA-256 {key}."
    )


def _fingerprint(pem):
    """Return the SHA-256 of a key in PEM format, as of its DER encoding."""
    lines = [line for line in pem.splitlines() if line and not line.startswith("-----")]
    return hashlib.sha256(base64.b64decode("".join(lines))).hexdigest()


def _people(args, sisa, rule):
    """Return the people in a file, as arguments of ``make_dossier``."""
    frame = read_table(args.people)
    attributes = _attributes(args, rule, frame.columns)
    named = {
        "--attribute": attributes,
        "--target": [args.target],
        "--text": [args.text],
        "--subjects": [args.subjects],
    }
    for option, columns in named.items():
        for column in filter(None, columns):
            check_column(args.people, frame.columns, column, option)
    if not len(frame):
        raise ValueError(f"{args.people} has no rows. Give people.")
    given = {
        "X": _features(args, frame, sisa if rule is None else rule, attributes),
        "sensitive_features": _groups(frame[attributes], rule),
        "source": f"The {counted(len(frame), 'row')} of {args.people.name}.",
    }
    if args.target is not None:
        labels, classes = frame[args.target], sisa.classes_.tolist()
        what = f"The column {args.target!r} of {args.people}"
        kinds = {v: _alike(v, classes, what) for v in labels.unique().tolist()}
        given["y"] = np.array([kinds[v] for v in labels.tolist()], sisa.classes_.dtype)
    if args.subjects is not None:
        given["subjects"] = frame[args.subjects].tolist()
    return given


def _attributes(args, rule, columns):
    """Return the columns with the groups: those named, or else those of the rule."""
    if args.attribute is not None:
        return list(dict.fromkeys(args.attribute))
    features = [] if rule is None else list(rule._problem.features)
    if not features:
        raise ValueError(
            "--attribute is missing. Name the columns of "
            f"{args.people} with the groups: {', '.join(map(str, columns))}."
        )
    return features


def _features(args, frame, fitted, attributes):
    """Return what members and rule take: texts, the columns of fit, or all others."""
    if args.text is not None:
        return frame[args.text].tolist()
    names = getattr(fitted, "feature_names_in_", None)
    if names is None:
        named = {args.target, args.subjects, *attributes}
        return _others(
            args, frame[[c for c in frame.columns if c not in named]], fitted
        )
    lacking = [name for name in names if name not in frame.columns]
    if lacking:
        raise ValueError(
            f"{args.people} lacks the columns {lacking[:5]}, which fit saw as features."
        )
    return frame[list(names)]


def _others(args, frame, fitted):
    """Return the columns that no option names as features; raise unless fit had these.

    Raises
    ------
    ValueError
    """
    if frame.shape[1] != fitted.n_features_in_:
        raise ValueError(
            f"{args.people} has {counted(frame.shape[1], 'column')} besides those that "
            f"options name: {', '.join(map(str, frame.columns))}. fit had "
            f"{counted(fitted.n_features_in_, 'feature')}. Name labels by --target and "
            "ids by --subjects, or leave them out of the file."
        )
    return frame.to_numpy()


def _groups(frame, rule):
    """Return the groups with the values of fit; files may have texts as numbers."""
    if rule is None:
        return frame
    names = rule._problem.groups.tolist()
    levels = list(zip(*names)) if names and isinstance(names[0], tuple) else [names]
    features = list(rule._problem.features)
    if not set(features) <= set(frame.columns) or not features:
        features = list(frame.columns)
    found = frame.astype(object)
    for feature, known in zip(features, levels):
        by_text = {str(value): value for value in known}
        found[feature] = [
            value if value in known else by_text.get(str(value), value)
            for value in found[feature]
        ]
    return found


def _alike(value, known, what):
    """Return the known label that is equal to a value, or written like it."""
    if value in known:
        return known[known.index(value)]
    for label in known:
        if str(label) == str(value):
            return label
    raise ValueError(
        f"{what} has {value!r}, which is none of the classes {known} of the ensemble."
    )
