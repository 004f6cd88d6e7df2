"""All deletion requests to an ensemble as a frame, as JSON and as a page."""

import json
from dataclasses import asdict
from typing import Any

import pandas as pd
from sklearn.pipeline import Pipeline

from .._utils.documents import Column
from .._utils.words import counted, named, plain_time
from ._audit import AuditLog, now
from ._report_columns import TABLES
from ._report_page import body, page
from ._reports import REQUESTS, ForgetVerification, requests_of
from ._state import State


class ForgettingReport:
    """All deletion requests to an ensemble, their cost and the shards left to relearn.

    ``SISAClassifier.forgetting_report`` returns it, and notebooks show it. It
    identifies rows by salted ids alone. It describes the ensemble at the time when the
    report was made, which the head of the audit log identifies.

    Parameters
    ----------
    log : AuditLog
        Entries of all changes, in order.
    state : State
        State of the ensemble.
    behind : DataFrame
        Attribute `behind_` of the ensemble.
    verification : ForgetVerification, default=None
        Result of ``verify_forgotten``, now or earlier.

    Attributes
    ----------
    log : AuditLog
        That of the parameters.
    made : str
        When the report was made, in UTC.
    verification : ForgetVerification or None
        That of the parameters.
    is_complete : bool
        Whether no shard is behind and the verification covers every request.
    """

    def __init__(
        self,
        log: AuditLog,
        state: State,
        behind: pd.DataFrame,
        verification: ForgetVerification | None = None,
    ) -> None:
        self.log = log
        self.made = now()
        self.verification = verification
        if verification is not None:
            self._n_verified()
        recipe, plan = state.recipe, state.plan
        self._ensemble = {
            "learner": _class_names(recipe.prototype),
            "n_shards": plan.n_shards,
            "n_slices": plan.n_slices,
            "epochs": None if recipe.whole else recipe.epochs,
            "rows_given": plan.n_rows,
            "rows_forgotten": len(state.forgotten),
            "rows_retained": state.n_rows,
        }
        # The message of an error may quote a row that is forgotten later.
        self._behind = behind.assign(reason=behind["reason"].str.split(":").str[0])

    def to_frame(self) -> pd.DataFrame:
        """Return a row per entry of the log.

        Returns
        -------
        DataFrame
            Its columns are defined in the page, in the JSON and in the user guide.
        """
        frame = pd.DataFrame(self.tables()["log"], columns=list(TABLES["log"]))
        return frame.set_index("entry")

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Return the report's tables.

        Returns
        -------
        dict of str to list of dict
            "ensemble" and "cost" have one row each, "log" one per entry, "requests"
            one per deletion request, "behind" one per shard that is behind,
            "verification" one per shard that was retrained.
        """
        behind = self._behind["shard"].tolist()
        requests = [
            _record(entry) | {"behind": [s for s in entry["shards"] if s in behind]}
            for entry in requests_of(self.log)
        ]
        return {
            "ensemble": [self._ensemble],
            "requests": requests,
            "cost": [self._cost(requests)],
            "verification": self._compared_shards(),
            "behind": json.loads(self._behind.to_json(orient="records")),
            "log": list(map(_record, self.log.entries)),
        }

    def statements(self) -> dict[str, str]:
        """Return a summary of the report in sentences.

        Returns
        -------
        dict of str to str
            "requests", "behind" and "verification".
        """
        requests = requests_of(self.log)
        erased = [entry for entry in requests if entry["kind"] == "forget"]
        amended = [entry for entry in requests if entry["kind"] == "amend"]
        n_rows = sum(entry["n_forgotten"] for entry in erased)
        n_subjects = sum(entry["n_subjects"] for entry in erased)
        sentences = "There was no request to erase rows."
        if erased:
            sentences = (
                f"{counted(len(erased), 'request')} erased {counted(n_rows, 'row')}"
            )
            # Without ids, each row is its own data subject.
            if n_subjects != n_rows:
                people = counted(n_subjects, "data subject")
                sentences += f" of {people}, counted in each request"
            sentences += "."
        if amended:
            n_rows = sum(entry["n_amended"] for entry in amended)
            sentences += (
                f" {counted(len(amended), 'request')} corrected "
                f"{counted(n_rows, 'row')}, whose earlier values are erased."
            )
        left = counted(self._ensemble["rows_retained"], "row")
        shards = self._behind["shard"].tolist()
        return {
            "requests": f"{sentences} The ensemble holds {left}.",
            "behind": (
                f"Behind: {named('shard', shards)}. Until they relearn, their members "
                "predict as they did before they saw any erased row, or abstain."
                if shards
                else "No shard is behind: all members have learnt from all rows left."
            ),
            "verification": self._verified(),
        }

    def to_json(self) -> str:
        """Return the report as JSON.

        Returns
        -------
        str
            An object with the tables of the report, each a list of objects, the
            ``definitions`` of their columns, the ``statements`` that summarise the
            report, the versions of libraries under which the last entry was made, and
            the head of the audit log.
        """
        verification = self.verification
        report = {
            "made": self.made,
            "audit_head": self.log.head,
            "is_complete": self.is_complete,
            "statements": self.statements(),
            "verified_at": None if verification is None else verification.time,
            "verified_head": None if verification is None else verification.audit_head,
            **self.tables(),
            "versions": self.versions(),
            "definitions": {
                table: {name: asdict(column) for name, column in columns.items()}
                for table, columns in self.columns().items()
            },
        }
        return json.dumps(report, indent=1)

    def to_html(self) -> str:
        """Return the report as a self-contained HTML page, which also prints well.

        Returns
        -------
        str
        """
        return page(self)

    def _repr_html_(self):
        return body(self)

    def __repr__(self):
        return (
            f"<ForgettingReport of {counted(len(self.log.entries), 'entry')}, head "
            f"{self.log.head[:16]}>"
        )

    @staticmethod
    def columns() -> dict[str, dict[str, Column]]:
        """Return the columns of each table, with their titles and definitions.

        Returns
        -------
        dict of str to dict of str to Column
        """
        return TABLES | {"requests": TABLES["log"] | TABLES["requests"]}

    def versions(self) -> dict[str, str]:
        """Return the versions of libraries under which the last entry was made.

        Returns
        -------
        dict of str to str
        """
        if not self.log.entries:
            return {}
        # A log that was read from its file has them in this order.
        return dict(sorted(self.log.entries[-1]["versions"].items()))

    def _cost(self, requests):
        relearnt = [e for e in self.log.entries if e["kind"] == "relearn"]
        erased = [e for e in self.log.entries if e["kind"] in REQUESTS]
        visits = sum(entry["sample_visits"] for entry in relearnt)
        full = sum(entry["full_sample_visits"] for entry in requests)
        expected = sum(e["expected_share"] * e["full_sample_visits"] for e in requests)
        return {
            "sample_visits": visits,
            "expected_sample_visits": round(expected),
            "full_sample_visits": full,
            "share": visits / full if full else None,
            "erasing_seconds": sum(entry["seconds"] for entry in erased),
            "relearning_seconds": sum(entry["seconds"] for entry in relearnt),
        }

    @property
    def is_complete(self) -> bool:
        """Whether no shard is behind and the verification covers every request."""
        if len(self._behind):
            return False
        if self.verification is None:
            return not requests_of(self.log)
        covered = self._n_verified() == len(self.log.entries) and not self._not_compared
        return covered and bool(self.verification)

    def _n_verified(self):
        """Return the number of log entries that the verification holds for."""
        heads = [AuditLog().head, *(entry["hash"] for entry in self.log.entries)]
        if self.verification.audit_head not in heads:
            raise ValueError(
                "The verification is of another ensemble: the audit log has no entry "
                f"with its head, {self.verification.audit_head or None}. Give the "
                "result of this ensemble's verify_forgotten()."
            )
        return heads.index(self.verification.audit_head)

    @property
    def _not_compared(self):
        """Shards that had lost rows and were left out of the verification."""
        entries = self.log.entries[: self._n_verified()]
        fits = [e["entry"] for e in entries if e["kind"] == "fit"]
        lost = {
            shard
            for entry in entries[max(fits, default=0) :]
            if entry["kind"] in REQUESTS
            for shard in entry["shards"]
        }
        return sorted(lost.difference(self.verification.shards))

    def _compared_shards(self):
        result = self.verification
        if result is None:
            return []
        return [
            {"shard": shard, "digest": a, "digest_retrained": b, "equal": a == b}
            for shard, a, b in zip(
                result.shards, result.digests, result.digests_retrained
            )
        ]

    def _verified(self):
        """Return the scope and the result of the verification in sentences."""
        if self.verification is None:
            return (
                "This report has no verification. verify_forgotten() retrains the "
                "shards that lost rows and compares every bit."
            )
        n_entries = self._n_verified()
        text = (
            f"{self.verification.statement} This was found on "
            f"{plain_time(self.verification.time)} UTC and holds for the log up to "
            f"entry {n_entries}."
        )
        if self._not_compared:
            shards = named("shard", self._not_compared)
            text += f" Not compared, though rows were erased there: {shards}."
        n_later = len(self.log.entries) - n_entries
        if n_later:
            text += f" {counted(n_later, 'entry')} came later: verify again."
        return text


def _record(entry):
    """Return an entry of the log as a row of a table."""
    full = entry["full_sample_visits"]
    entry = {**entry, "share": entry["sample_visits"] / full if full else None}
    return {name: entry[name] for name in TABLES["log"]}


def _class_names(estimator):
    """Return the class of a learner, of a Pipeline those of its steps.

    Parameters are left out: they may hold anything, also values of rows.
    """
    if not isinstance(estimator, Pipeline):
        return type(estimator).__name__
    names = ", ".join(type(step).__name__ for _, step in estimator.steps)
    return f"Pipeline of {names}"
