"""What an ensemble was asked to forget, as a table and a page."""

import html

import numpy as np
import pandas as pd


class ForgettingReport:
    """What an ensemble was asked to forget, and what was done about it.

    Parameters
    ----------
    log : AuditLog
    n_rows : int
        Number of retained rows.

    Attributes
    ----------
    log : AuditLog
    n_rows : int
    """

    _COLUMNS = (
        "time", "kind", "requested_at", "n_forgotten", "n_subjects", "n_rows",
        "shards", "first_slices", "sample_visits", "full_sample_visits", "share",
        "expected_share", "seconds", "purged", "digest_before", "digest_after", "hash",
    )  # fmt: skip

    def __init__(self, log, n_rows):
        self.log = log
        self.n_rows = n_rows

    def to_frame(self):
        """Return a row per entry of the log.

        Returns
        -------
        DataFrame
            ``n_subjects`` counts the data subjects of the ``n_forgotten`` rows, where
            without ids each row is one. ``share`` is
            ``sample_visits / full_sample_visits``, ``expected_share`` the mean over
            uniform requests of as many data subjects.
        """
        frame = pd.DataFrame(
            [{**entry, "share": _share(entry)} for entry in self.log.entries],
            index=pd.Index([e["entry"] for e in self.log.entries], name="entry"),
        )
        return frame.reindex(columns=list(self._COLUMNS))

    def to_html(self):
        """Return the report as a page of HTML that needs nothing else."""
        return (
            "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
            "<title>Forgetting report</title><style>"
            "body{font:15px/1.5 system-ui,sans-serif;margin:2em}"
            "table{border-collapse:collapse;font-size:12px}"
            "td,th{padding:.3em .6em;border-bottom:1px solid #ddd;text-align:right;"
            "vertical-align:bottom}"
            f"</style></head><body><h1>Forgetting report</h1>{self._repr_html_()}"
            "</body></html>\n"
        )

    def _repr_html_(self):
        frame = self.to_frame()
        requests = frame[frame["kind"] == "forget"]
        shown = frame.drop(columns=["time", "digest_before"]).assign(
            requested_at=frame["requested_at"].str[:19].str.replace("T", " "),
            digest_after=frame["digest_after"].str[:12],
            hash=frame["hash"].str[:12],
        )
        shown.columns = [column.replace("_", " ") for column in shown]
        table = shown.to_html(na_rep="", border=0, float_format="{:.3g}".format)
        made_with = self.log.entries[-1]["versions"] if self.log.entries else {}
        with_text = ", ".join(f"{name} {number}" for name, number in made_with.items())
        return (
            f"<p>{len(requests)} requests, {_total(requests, 'n_forgotten')} rows "
            f"forgotten, {self.n_rows} rows retained. Sample visits of all replays: "
            f"{_total(requests, 'sample_visits')}; of retraining from scratch after "
            f"every request: {_total(requests, 'full_sample_visits')}.</p>"
            f"<div style='overflow-x:auto'>{table}</div>"
            f"<p>Times are UTC, digests cut to 12 characters. Head of the hash chain: "
            f"<code style='word-break:break-all'>{html.escape(self.log.head)}</code>. "
            f"Last entry made with {html.escape(with_text)}.</p>"
        )

    def __repr__(self):
        return (
            f"<ForgettingReport of {len(self.log.entries)} entries, head "
            f"{self.log.head[:16]}>"
        )


def _share(entry):
    if not entry.get("full_sample_visits"):
        return np.nan
    return entry["sample_visits"] / entry["full_sample_visits"]


def _total(requests, column):
    return f"{int(requests[column].sum()):,}"
