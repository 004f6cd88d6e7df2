"""What estimators hold inside, as far as tests look: one place to change with them."""

from sklearn_fairsisa.sisa._digests import digest


def digests(sisa):
    """Return the digest of each member."""
    return [digest(member) for member in sisa.estimators_]


def checkpoints(sisa):
    """Return the members that each shard keeps, stage by stage."""
    return sisa._checkpoints


def log_of(sisa):
    """Return the log of changes."""
    return sisa._audit


def store_of(sisa):
    """Return where the ensemble is kept, as this estimator knows it."""
    return sisa._store


def state_of(sisa):
    """Return the rows, the plan and what else an ensemble consists of."""
    return sisa._state


def calibrated(fair):
    """Return the rule of a post-processor, with all that it follows from."""
    return fair._calibrated()
