"""Reports of single deletions: entries of the log, requests and verifications."""

import json
import re
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Self

from .._utils.typing import FilePath
from .._utils.words import named
from ._audit import now, salted_row, versions
from ._digests import combine
from ._learners import subtracts
from ._plan import expected_replay_cost
from ._signatures import checked, signed

#: Kinds of changes that erase values of rows on request.
REQUESTS = ("forget", "amend")


@dataclass(frozen=True)
class ForgetReport:
    """Report of one call of ``forget``.

    Parameters
    ----------
    rows : tuple of int
        Indices forgotten by this request, without those that were forgotten before.

    n_subjects : int
        Number of data subjects of these rows. Without ids, each row is its own subject.

    shards : tuple of int
        Shards of these rows.

    first_slices : tuple of int
        Earliest slice touched in each of `shards`.

    sample_visits : int
        Rows trained on to relearn `shards` in the same call, counted once per pass. 0
        where the shards were left behind.

    full_sample_visits : int
        Sample visits of training the whole ensemble on the retained rows.

    seconds : float
        Duration of the request.

    digest_before, digest_after : str
        SHA-256 of the members' states.
    """

    rows: tuple[int, ...]
    n_subjects: int
    shards: tuple[int, ...]
    first_slices: tuple[int, ...]
    sample_visits: int
    full_sample_visits: int
    seconds: float
    digest_before: str
    digest_after: str


@dataclass(frozen=True)
class ForgetVerification:
    """The result of retraining shards from scratch. True if all digests agree.

    Parameters
    ----------
    shards : tuple of int
        Shards retrained.

    digests : tuple of str
        SHA-256 of the members in use.

    digests_retrained : tuple of str
        SHA-256 of the members retrained without the forgotten rows.

    sample_visits : int
        Rows trained on, counted once per pass.

    seconds : float
        Duration of the verification.

    audit_head : str
        Hash that stands for the audit log at the time. The result holds for the
        ensemble as it was then.

    companions : dict of str to bool
        For each companion of the ensemble that was up to date, such as a fair rule, by
        name: whether learning it from scratch gave the same result.

    time : str, default=now
        When it ended, in UTC.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fairsisa import SISAClassifier
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> sisa = SISAClassifier(random_state=0).fit(X, X[:, 0] > 0).forget([3])
    >>> verification = sisa.verify_forgotten()
    >>> bool(verification), verification.shards == (sisa.plan_.shard_of(3),)
    (True, True)
    """

    shards: tuple[int, ...]
    digests: tuple[str, ...]
    digests_retrained: tuple[str, ...]
    sample_visits: int
    seconds: float
    audit_head: str = ""
    companions: dict[str, bool] = field(default_factory=dict)
    time: str = field(default_factory=now)

    @property
    def differing_shards(self) -> tuple[int, ...]:
        """Shards whose member differs from the retrained one."""
        pairs = zip(self.shards, self.digests, self.digests_retrained)
        return tuple(shard for shard, is_, should in pairs if is_ != should)

    @property
    def statement(self) -> str:
        """The result in sentences."""
        return " ".join([self._of_members(), *map(self._of_companion, self.companions)])

    def _of_companion(self, name):
        end = "the same result." if self.companions[name] else "another result."
        return f"Learning {name!r} from scratch gave {end}"

    def _of_members(self):
        if not self.shards:
            return "No row has been forgotten, so there was no shard to retrain."
        differing = self.differing_shards
        result = (
            f"members that differ from those in use in {named('shard', differing)}."
            if differing
            else "members equal bit for bit to those in use."
        )
        return (
            f"Retraining {named('shard', self.shards)} from scratch on the rows left "
            f"gave {result}"
        )

    def __bool__(self):
        return not self.differing_shards and all(self.companions.values())

    def certificate(self, sign: bytes | FilePath | None = None) -> str:
        """Return a statement of the result.

        Parameters
        ----------
        sign : bytes, str or path, default=None
            Private Ed25519 key in PEM format, or the file that holds it. It needs the
            extra ``sign``.

        Returns
        -------
        str
            What was compared and by which versions, with the head of the audit log,
            which stands for all requests carried out. It is JSON; with `sign`, a JSON
            Web Signature in compact form (RFC 7515, EdDSA) whose payload is that JSON.

        Raises
        ------
        ImportError
            If `sign` is given and PyJWT or cryptography is missing.
        ValueError
            If `sign` is not a private Ed25519 or Ed448 key.

        Notes
        -----
        A signature proves what the holder of the key stated, and when they said it
        was. It does not prove that the computation took place: for that, run
        ``verify_forgotten`` on the rows.
        """
        facts = {"statement": self.statement, "holds": bool(self)}
        facts |= {**asdict(self), "versions": versions()}
        return json.dumps(facts, indent=1) if sign is None else signed(facts, sign)

    @classmethod
    def from_certificate(
        cls, text: str, public_key: bytes | FilePath | None = None
    ) -> Self:
        """Return the result that a certificate states.

        Parameters
        ----------
        text : str
            As `certificate` returns it.

        public_key : bytes, str or path, default=None
            Public key in PEM format, or the file that holds it, to check the signature
            of a signed certificate.

        Returns
        -------
        ForgetVerification

        Raises
        ------
        ValueError
            If the text is no certificate, the signature is not valid, or one of key
            and signature is missing.
        OSError
            If the file of the key cannot be read.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_fairsisa import SISAClassifier
        >>> from sklearn_fairsisa.sisa import ForgetVerification
        >>> X = np.random.default_rng(0).normal(size=(100, 2))
        >>> sisa = SISAClassifier(random_state=0).fit(X, X[:, 0] > 0).forget([3])
        >>> verification = sisa.verify_forgotten()
        >>> text = verification.certificate()
        >>> ForgetVerification.from_certificate(text) == verification
        True
        """
        is_signed = re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", text.strip()) is not None
        if is_signed != (public_key is not None):
            raise ValueError(
                "The certificate is signed. Give the public key of its signer."
                if is_signed
                else "The certificate has no signature, so no key can check it. Give a "
                "signed certificate, or leave the key out."
            )
        try:
            facts = checked(text, public_key) if is_signed else json.loads(text)
            stated = {each.name: facts[each.name] for each in fields(cls)}
        except (KeyError, TypeError, json.JSONDecodeError):
            raise ValueError(
                "This is not a certificate of a verification. Give the file that "
                "fairsisa verify --certificate wrote."
            ) from None
        lists = {n: tuple(v) for n, v in stated.items() if isinstance(v, list)}
        return cls(**{**stated, **lists})


def audit_facts(
    change,
    before,
    work,
    digests,
    *,
    sample_visits,
    full_sample_visits,
    seconds,
    request,
):
    """Return the facts about a change for its entry in the audit log.

    Parameters
    ----------
    change : Change
    before : State
        State before the change; unused for a fit.
    work : Work
        Work that a store began for the change, and is about to commit.
    digests : tuple of str
        Those of the members before the change.
    sample_visits : int
    full_sample_visits : int
        Sample visits of a full training on the rows after the change.
    seconds : float
    request : int or None
        Number of the entry of the request for which shards are relearnt.

    Returns
    -------
    dict
    """
    state = change.state
    plan = state.plan
    erased = change.erased_rows
    n_subjects = len(erased) and (len(before.subjects_of(erased)) or len(erased))
    return {
        "time": now(),
        "kind": change.kind,
        "request": request,
        "requested_at": change.requested_at,
        "rows": [salted_row(row, state.salt) for row in erased],
        "n_forgotten": len(change.forgotten_rows),
        "n_amended": len(change.amended_rows),
        "n_subjects": n_subjects,
        "n_rows": state.n_rows,
        "shards": list(change.firsts),
        "first_slices": list(change.firsts.values()),
        "sample_visits": sample_visits,
        "full_sample_visits": full_sample_visits,
        # The rows of a subject share a slice, so the formula counts subjects.
        "expected_share": _expected_share(change, before, n_subjects)
        if change.kind in REQUESTS
        else None,
        "seconds": seconds,
        "purged": work.n_purged,
        "digest_before": combine(digests),
        "digest_after": combine(work.digests),
        "seed": plan.seed,
        "versions": versions(),
    }


def _expected_share(change, before, n_subjects):
    """Return the share of a full training that a request takes on average."""
    if subtracts(before.recipe.prototype):
        # The row goes, and a corrected one comes back.
        n_visits = len(change.erased_rows) + len(change.amended_rows)
        return n_visits / before.n_rows
    plan = before.plan
    return expected_replay_cost(
        plan.n_shards, plan.n_slices, n_subjects, before.recipe.replay
    )


def relearnt(report, entry):
    """Return the report of a request for which a shard was relearnt, as logged."""
    return replace(
        report,
        sample_visits=report.sample_visits + entry["sample_visits"],
        seconds=report.seconds + entry["seconds"],
        digest_after=entry["digest_after"],
    )


def forget_report(entry, rows):
    """Return the report of a request from its entry in the audit log."""
    names = (
        "n_subjects", "sample_visits", "full_sample_visits", "seconds",
        "digest_before", "digest_after",
    )  # fmt: skip
    return ForgetReport(
        rows=tuple(rows),
        shards=tuple(entry["shards"]),
        first_slices=tuple(entry["first_slices"]),
        **{name: entry[name] for name in names},
    )


def forget_reports(log, state):
    """Return the reports of all requests since the last fit.

    The log identifies rows by salted ids only. With the salt they can be recognised.
    """
    rows = {salted_row(row, state.salt): row for row in state.forgotten.tolist()}
    fits = [entry["entry"] for entry in log.entries if entry["kind"] == "fit"]
    return [
        forget_report(entry, [rows[row] for row in entry["rows"]])
        for entry in requests_of(log)
        if entry["kind"] == "forget" and entry["entry"] > max(fits, default=0)
    ]


def requests_of(log):
    """Return the entries of all requests, each with what its call relearnt.

    Parameters
    ----------
    log : AuditLog

    Returns
    -------
    list of dict
    """
    requests = {}
    for entry in log.entries:
        if entry["kind"] in REQUESTS:
            requests[entry["entry"]] = entry
        elif entry["request"] in requests:
            before = requests[entry["request"]]
            requests[entry["request"]] = {
                **before,
                "sample_visits": before["sample_visits"] + entry["sample_visits"],
                "seconds": before["seconds"] + entry["seconds"],
                "digest_after": entry["digest_after"],
            }
    return list(requests.values())


def rows_of_later_log(log, later, state):
    """Return the rows that a later copy of a log lists as forgotten or amended.

    Parameters
    ----------
    log : AuditLog
        Of an ensemble that was restored from a backup.
    later : AuditLog
        Of the same ensemble, as it went on after the backup.
    state : State
        Of the restored ensemble, whose salt maps ids to rows.

    Returns
    -------
    rows : list of int
    amended : list of int
        Rows that were amended and not forgotten. The log does not hold their values.
    n_unknown : int
        Number of rows in the later log that are not in the ensemble, because they were
        added after the backup.

    Raises
    ------
    ValueError
        If the later log does not continue the log, or has a fit of other rows.
    """
    known = len(log.entries)
    since = later.entries[known:]
    if later.entries[:known] != log.entries:
        raise ValueError(
            "The log does not continue the one in the directory, so it is of another "
            "ensemble or older. Give a copy of audit.jsonl that is newer than the "
            "backup. Nothing was forgotten."
        )
    if any(entry["kind"] == "fit" for entry in since):
        raise ValueError(
            "The log has a fit after the backup, so its deletions are of other rows. "
            "Restore a backup made after that fit. Nothing was forgotten."
        )
    ids = {salted_row(i, state.salt): i for i in range(state.plan.n_rows)}
    rows, n_unknown = {}, 0
    for kind in REQUESTS:
        named = {id for e in since if e["kind"] == kind for id in e["rows"]}
        rows[kind] = {ids[id] for id in named & ids.keys()}
        n_unknown += len(named - ids.keys())
    amended = rows["amend"] - rows["forget"]
    return sorted(rows["forget"]), sorted(amended), n_unknown
