"""Titles and definitions of the columns of a forgetting report."""

from .._utils.documents import Column

#: The tables of a forgetting report. Frame, page and JSON have these columns.
TABLES = {
    "ensemble": {
        "learner": Column("Learner", "Class of the learner that each shard trains."),
        "n_shards": Column(
            "Shards, S",
            "Disjoint sets of rows. Each trains one member, which never sees the "
            "rows of another shard.",
        ),
        "n_slices": Column(
            "Slices per shard, R",
            "Disjoint parts of a shard's first batch of rows. Members learn slice by "
            "slice, with a checkpoint after each.",
        ),
        "epochs": Column(
            "Passes",
            "Training effort, in passes over a shard; empty if the learner's own fit "
            "decides.",
        ),
        "rows_given": Column(
            "Rows given", "Rows that were ever given for training."
        ),
        "rows_forgotten": Column(
            "Rows erased", "Those of the rows given that were erased on request."
        ),
        "rows_retained": Column("Rows left", "Rows that the ensemble still holds."),
    },
    "cost": {
        "sample_visits": Column(
            "Relearning, sample visits",
            "Rows trained on to relearn, in all calls so far, counted once per pass.",
        ),
        "expected_sample_visits": Column(
            "Expected, sample visits",
            "By the formula: the mean over as many requests of as many data subjects, "
            "uniformly drawn, each relearnt at once.",
        ),
        "full_sample_visits": Column(
            "Retraining, sample visits",
            "Rows trained on if the whole ensemble were retrained from scratch after "
            "each request, counted once per pass.",
        ),
        "share": Column(
            "Share of retraining", "Relearning divided by retraining, in sample visits."
        ),
        "erasing_seconds": Column(
            "Erasing, seconds", "Duration of all erasures, without relearning."
        ),
        "relearning_seconds": Column("Relearning, seconds", "Duration of relearning."),
    },
    "log": {
        "entry": Column("Entry", "Number of the entry in the audit log, from 1."),
        "kind": Column(
            "Kind",
            "fit trained the ensemble, partial_fit added rows, forget erased rows, "
            "amend replaced their values, relearn trained members that were behind.",
        ),
        "request": Column(
            "Of request",
            "For a relearn entry, the entry of the request whose call relearnt; empty "
            "if relearn was called by itself.",
        ),
        "requested_at": Column("Requested", "When the call was made, in UTC."),
        "time": Column(
            "Done",
            "When the change took effect, in UTC. From then on the rows of a request "
            "are erased.",
        ),
        "n_forgotten": Column(
            "Rows", "Rows erased, without those that were erased before."
        ),
        "n_amended": Column("Rows corrected", "Rows whose values were replaced."),
        "n_subjects": Column(
            "Data subjects",
            "People to whom these rows belong. Without ids, each row is its own data "
            "subject.",
        ),
        "rows": Column(
            "Salted ids",
            "Keyed hashes of these rows' positions (BLAKE2b, 128 bits). Nobody can "
            "recognise a row without the salt, which the ensemble keeps.",
        ),
        "n_rows": Column("Rows left", "Rows that the ensemble held afterwards."),
        "shards": Column(
            "Shards", "Shards that the change concerned, counted from 0."
        ),
        "first_slices": Column(
            "From slice",
            "For each of these shards, the earliest slice that the change concerned, "
            "counted from 0. Training on earlier slices was kept.",
        ),
        "sample_visits": Column(
            "Sample visits",
            "Rows trained on, counted once per pass. The table of requests includes "
            "what the same call relearnt, so it has 0 where relearning was left for "
            "later.",
        ),
        "full_sample_visits": Column(
            "Retraining",
            "Sample visits of training the whole ensemble on the rows left.",
        ),
        "share": Column("Share", "Sample visits divided by those of retraining."),
        "expected_share": Column(
            "Expected",
            "Mean share over requests of as many data subjects, uniformly drawn, by "
            "the formula of Bourtoule et al. (2021).",
        ),
        "seconds": Column(
            "Seconds",
            "Duration. The table of requests includes what the same call relearnt.",
        ),
        "purged": Column(
            "Files deleted",
            "Files with rows, members or settings that were deleted for good; 0 for an "
            "ensemble in memory.",
        ),
        "digest_before": Column(
            "Members before", "SHA-256 of the state of all members before."
        ),
        "digest_after": Column(
            "Members after", "SHA-256 of the state of all members afterwards."
        ),
        "hash": Column(
            "Hash",
            "SHA-256 of the entry and of the hash before it. It stands for the log up "
            "to this entry.",
        ),
    },
    "requests": {
        "behind": Column(
            "Behind",
            "Those of the shards that are behind when the report is made.",
        ),
    },
    "behind": {
        "shard": Column("Shard", "Number of the shard, counted from 0."),
        "stage": Column(
            "Learnt", "Slices that the member has learnt from. Without any it abstains."
        ),
        "n_stages": Column("Of slices", "Slices of the shard, later batches included."),
        "rows_missing": Column(
            "Rows missing", "Retained rows that the member has not learnt from."
        ),
        "sample_visits": Column(
            "Visits to come", "Sample visits that relearning takes."
        ),
        "reason": Column(
            "Reason",
            "deferred: training was left to relearn. interrupted: a fit did not end. "
            "Otherwise the class of the error that training raised; the whole message "
            "is only in the attribute behind_, since it may quote a row.",
        ),
    },
    "verification": {
        "shard": Column("Shard", "Number of the shard, counted from 0."),
        "digest": Column("In use", "SHA-256 of the member in use."),
        "digest_retrained": Column(
            "Retrained", "SHA-256 of the member retrained from scratch."
        ),
        "equal": Column("Equal", "Whether the two agree in every bit."),
    },
}  # fmt: skip
