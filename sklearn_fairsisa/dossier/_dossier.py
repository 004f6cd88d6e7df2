"""The dossier of an ensemble: what it forgot, how fair it is, what is not promised."""

import json
from dataclasses import asdict
from typing import Any

from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from .._utils.isolation import one_thread
from .._utils.typing import Rows
from ..postprocessing import FairEnsemblePostprocessor
from ..sisa import ForgetVerification, SISAClassifier
from ..sisa._audit import versions
from ._columns import LIMITS, TABLES
from ._given import given_people
from ._page import body, page
from ._people import FOUR_FIFTHS, compared, gaps, of_one, of_rule
from ._rule import report_of, report_tables, rule_facts, rule_in_words

_NO_RULE = (
    "There is no fair rule: decisions are the ensemble's own, and nothing bounds the "
    "differences between groups."
)
_BEHIND = (
    "The fair rule has yet to be solved for the rows left, so nothing is known of it. "
    "fairsisa relearn does so."
)
_UNCONSTRAINED = (
    "No group has the labels that the constraint needs any more, so the rule "
    "constrains nobody."
)
_UNVERIFIED = (
    "This dossier has no verification: nobody retrained the shards that lost rows to "
    "compare every bit."
)
_NO_REQUEST = "No row was erased, so there is nothing to verify."
_NO_PEOPLE = (
    "No rates are shown. The directory keeps the groups of people with a fair rule "
    "only, once it is solved; otherwise give people whose groups are known."
)


class Dossier:
    """What an ensemble forgot, how fair its decisions are, and what is not promised.

    :func:`make_dossier` returns it, and notebooks show it. About erased rows it only
    states their number in each request, and its only times are those of the log and the
    verification: the same state gives the same bytes.

    Parameters
    ----------
    facts : dict
        What :meth:`to_json` writes, without the definitions.

    See Also
    --------
    make_dossier : Computes these facts.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fairsisa import SISAClassifier
    >>> from sklearn_fairsisa.dossier import make_dossier
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> sisa = SISAClassifier(random_state=0).fit(X, X[:, 0] > 0).forget([3])
    >>> dossier = make_dossier(sisa)
    >>> dossier  # doctest: +ELLIPSIS
    <Dossier of a log with the head ...>
    >>> dossier.statements()["requests"]
    '1 request erased 1 row. The ensemble holds 99 rows.'
    >>> dossier.open_points()[0]
    'No verification covers all requests: fairsisa verify --certificate makes one.'
    """

    def __init__(self, facts: dict[str, Any]) -> None:
        self._facts = facts

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Return the tables.

        Returns
        -------
        dict of str to list of dict
            "rule" and "people" have a row each, or none; "bounds" one per measure that
            the constraint bounds; "rule_groups" one per group and constrained rate;
            "rates" one per group of each attribute; "gaps" one per attribute and rate;
            "ensemble" and "cost" one each; "requests" one per deletion request;
            "behind" one per shard that is behind; "versions" one per library.
        """
        return {name: self._facts[name] for name in TABLES}

    def statements(self) -> dict[str, str]:
        """Return a summary in sentences.

        Returns
        -------
        dict of str to str
            "requests", "behind", "verification", "fairness", and "impact by sex" for an
            attribute ``sex``; "impact" where no rates are shown.
        """
        return dict(self._facts["statements"])

    def open_points(self) -> list[str]:
        """Return the points that remain to be done or explained, a list of sentences.

        Returns
        -------
        list of str
        """
        return list(self._facts["open"])

    def to_json(self) -> str:
        """Return the dossier as JSON.

        Returns
        -------
        str
            An object with the tables, each a list of objects, their ``definitions``,
            the ``statements``, the points that are ``open``, the ``rule_in_words`` and
            the ``limits``.
        """
        definitions = {
            table: {name: asdict(column) for name, column in columns.items()}
            for table, columns in TABLES.items()
        }
        facts = {**self._facts, "definitions": definitions}
        return json.dumps(facts, indent=1, allow_nan=False)

    def to_html(self) -> str:
        """Return the dossier as a self-contained HTML page, which also prints well.

        Returns
        -------
        str
        """
        return page(self._facts)

    def _repr_html_(self):
        return body(self._facts)

    def __repr__(self):
        return f"<Dossier of a log with the head {self._facts['audit_head'][:16]}>"


def make_dossier(
    fitted: FairEnsemblePostprocessor | SISAClassifier,
    X: Rows | None = None,
    y: ArrayLike | None = None,
    *,
    sensitive_features: ArrayLike | None = None,
    subjects: ArrayLike | None = None,
    source: str | None = None,
    pos_label: object = None,
    verification: ForgetVerification | None = None,
    verified_by: str = "",
) -> Dossier:
    """Make one document on an ensemble's forgetting, fairness and limits.

    Parameters
    ----------
    fitted : FairEnsemblePostprocessor over a SISAClassifier, or SISAClassifier
        Fitted.

    X : array-like, sparse matrix, data frame or list of length n_samples, default=None
        People to compute rates on. None means the calibration rows of the rule.

    y : array-like of shape (n_samples,), default=None
        Their labels. None leaves out the rates that need labels.

    sensitive_features : array-like of shape (n_samples,) or (n_samples, k), \
            default=None
        Their groups, needed unless `fitted` reads them from X. Rates are computed for
        each column and for the combinations of all. A data frame may have columns that
        the rule does not use.

    subjects : array-like of shape (n_samples,), default=None
        Their data-subject ids, which settle randomised decisions as in ``predict``.
        Ids of people whose rows were erased raise an error.

    source : str, default=None
        Who the people are, a sentence for the reader.

    pos_label : object, default=None
        Of two decisions, the one whose rates are shown. None means that of the rule,
        or else the last of ``classes_``.

    verification : ForgetVerification, default=None
        Result of ``verify_forgotten``, now or earlier.

    verified_by : str, default=""
        Origin of the verification, a sentence for the reader.

    Returns
    -------
    Dossier

    Raises
    ------
    TypeError
        If `fitted` is neither an ensemble nor a post-processor.
    ValueError
        If the people do not suit `fitted`, some of them were erased, or the
        verification is of another ensemble.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
    >>> from sklearn_fairsisa.dossier import make_dossier
    >>> rng = np.random.default_rng(0)
    >>> X, group = rng.normal(size=(400, 2)), np.arange(400) % 2
    >>> y = (X[:, 0] + rng.normal(size=400) > 0).astype(int)
    >>> fair = FairEnsemblePostprocessor(SISAClassifier(random_state=0))
    >>> fair = fair.fit(X, y, sensitive_features=group).forget([5])
    >>> dossier = make_dossier(fair)
    >>> dossier.statements()["requests"]
    '1 request erased 1 row. The ensemble holds 399 rows.'
    >>> [row["people"] for row in dossier.tables()["rates"]]
    [200, 199]
    """
    rule, sisa = _parts(fitted)
    calibrated = None if rule is None else rule._calibrated()
    with one_thread():
        people = _people(
            sisa, rule, calibrated, X, y, sensitive_features, subjects, source
        )
        if people is not None and pos_label is not None:
            people = people.turned(pos_label)
        parts = (
            _of_forgetting(sisa, verification, verified_by),
            _of_fairness(rule, calibrated),
            _of_people(people),
        )
    facts: dict[str, Any] = {"limits": list(LIMITS), "statements": {}}
    for statements, found in parts:
        facts["statements"].update(statements)
        facts.update(found)
    facts["open"] = list(_open_points(facts))
    return Dossier({name: facts[name] for name in _ORDER})


# Of the facts; the sentences come first.
_ORDER = (
    "state_of", "audit_head", "statements", "open", "rule", "rule_in_words", "report",
    "bounds", "rule_groups", "people", "rates", "gaps", "ensemble", "requests", "cost",
    "behind", "is_verified", "verified_at", "verified_head", "verified_by", "versions",
    "limits",
)  # fmt: skip


def _parts(fitted):
    """Return the rule, None if there is none, and its ensemble."""
    if isinstance(fitted, SISAClassifier):
        check_is_fitted(fitted)
        return None, fitted
    if not isinstance(fitted, FairEnsemblePostprocessor):
        raise TypeError(
            "A dossier is made of a fitted SISAClassifier, or a "
            f"FairEnsemblePostprocessor over one, got {type(fitted).__name__}."
        )
    check_is_fitted(fitted)
    if not isinstance(fitted.estimator_, SISAClassifier):
        raise TypeError(
            "A dossier is about forgetting too, so the post-processor must be fitted "
            f"over a SISAClassifier, got {type(fitted.estimator_).__name__}."
        )
    return fitted, fitted.estimator_


def _people(sisa, rule, calibrated, X, y, sensitive_features, subjects, source):
    """Return the people to compute rates on, None if there are none."""
    is_solved = calibrated is not None and calibrated.rule is not None
    if X is None:
        given = {"y": y, "sensitive_features": sensitive_features, "subjects": subjects}
        alone = [name for name, value in given.items() if value is not None]
        if alone:
            raise ValueError(f"{alone[0]} is given without X. Give the people's rows.")
        return of_rule(calibrated) if is_solved else None
    if rule is not None and not is_solved:
        raise ValueError(
            "The rule is behind, so it cannot decide on people. Call relearn() first, "
            "or make the dossier without people."
        )
    source = source or "The people that were given."
    return given_people(sisa, rule, X, y, sensitive_features, subjects, source)


def _of_forgetting(sisa, verification, verified_by):
    """Return the facts about deletions: statements, and the other facts."""
    report = sisa.forgetting_report(verification)
    tables, statements = report.tables(), report.statements()
    if verification is None:
        statements["verification"] = _UNVERIFIED if tables["requests"] else _NO_REQUEST
    elif verified_by:
        statements["verification"] += f" {verified_by}"
    trained, computed = report.versions(), versions()
    names = sorted({*trained, *computed})
    entries = report.log.entries
    return statements, {
        "state_of": entries[-1]["time"] if entries else None,
        "audit_head": report.log.head,
        **{name: tables[name] for name in ("ensemble", "cost", "behind")},
        "requests": [
            {name: request[name] for name in TABLES["requests"]}
            for request in tables["requests"]
        ],
        "is_verified": report.is_complete and verification is not None,
        "verified_at": None if verification is None else verification.time,
        "verified_head": None if verification is None else verification.audit_head,
        "verified_by": verified_by or None,
        "versions": [
            {"library": n, "trained": trained.get(n), "computed": computed.get(n)}
            for n in names
        ],
    }


def _of_fairness(rule, calibrated):
    """Return the facts about a rule: statements, and the other facts."""
    facts: dict[str, Any] = {name: [] for name in _OF_RULE}
    if rule is None:
        return {"fairness": _NO_RULE}, facts
    facts["rule"] = [rule_facts(calibrated, rule._name)]
    if calibrated.rule is None:
        return {"fairness": _BEHIND}, facts
    if calibrated.rule.fair is None:
        return {"fairness": _UNCONSTRAINED}, facts
    report = report_of(rule, calibrated)
    sentences = list(report._sentences())
    facts |= report_tables(report)
    facts |= {"rule_in_words": rule_in_words(calibrated), "report": sentences}
    return {"fairness": sentences[0]}, facts


#: Facts about a rule, all empty where there is none.
_OF_RULE = ("rule", "rule_in_words", "report", "bounds", "rule_groups")


def _of_people(people):
    """Return the facts about people's rates: statements, and the other facts."""
    if people is None:
        return {"impact": _NO_PEOPLE}, {"people": [], "rates": [], "gaps": []}
    rates = people.rates()
    found = {"people": [people.facts()], "rates": rates, "gaps": gaps(rates)}
    return dict(_impact(rates)), found


def _impact(rates):
    """Yield sentences on the least impact ratio by each attribute, with their names."""
    several = len({record["decision"] for record in rates}) > 1
    for attribute, decision in compared(rates):
        part = of_one(rates, attribute, decision)
        name = f"impact by {attribute}" + (f", {decision}" if several else "")
        least = min(part, key=lambda record: record["impact_ratio"])
        if len(part) == 1:
            yield name, f"By {attribute}, there is one group alone, {least['group']}."
            continue
        interval = ""
        if least["low"] is not None:
            high = "more" if least["high"] is None else f"{least['high']:.2f}"
            interval = f", 95% interval {least['low']:.2f} to {high}"
        named = {
            judgement: [r["group"] for r in part if r["judgement"] == judgement]
            for judgement in ("below", "too few people")
        }
        text = (
            f"By {attribute}, the least impact ratio of {decision!r} is "
            f"{least['impact_ratio']:.2f} ({least['group']}{interval})."
        )
        for judgement, what in _FINDINGS.items():
            if named[judgement]:
                text += f" {what}: {'; '.join(named[judgement])}."
        yield name, text


_FINDINGS = {
    "below": f"Below {FOUR_FIFTHS:g} with their whole interval",
    "too few people": f"Too few people to decide whether {FOUR_FIFTHS:g} is reached",
}


def _open_points(facts):
    """Yield what is left to do or to explain."""
    if facts["behind"]:
        yield "Shards are behind: fairsisa relearn trains them."
    if not facts["is_verified"] and facts["requests"]:
        yield (
            "No verification covers all requests: fairsisa verify --certificate makes "
            "one."
        )
    if not facts["rule"]:
        yield "There is no fair rule."
    for rule in facts["rule"]:
        if rule["is_behind"]:
            yield "The fair rule is not solved for the rows left: fairsisa relearn."
        if rule["confidence_holds"] is False:
            yield (
                "The rows left do not support the tolerance at the confidence that was "
                "demanded."
            )
    if not facts["people"]:
        yield "No rates are shown: people are missing, or the rule is behind."
    if any(record["judgement"] == "below" for record in facts["rates"]):
        yield f"Some impact ratio lies below {FOUR_FIFTHS:g}."
    moved = [v["library"] for v in facts["versions"] if v["trained"] != v["computed"]]
    if moved:
        yield f"Versions differ from those of the last change: {', '.join(moved)}."
