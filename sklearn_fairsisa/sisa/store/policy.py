"""Where checkpoints are kept, and how many."""

import os
from dataclasses import dataclass, replace
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class CheckpointPolicy:
    """Where checkpoints are kept, and how many.

    Fewer checkpoints need less storage, but a deletion replays from an earlier stage.
    The result of a deletion has the same bits.

    Parameters
    ----------
    directory : str or path, default=None
        Durable directory; None is the memory of the process.

    keep_every : int, default=1
        Keep the checkpoint of every so many stages. The last one of each shard, which
        is the member, is always kept.

    timeout : float, default=10.0
        Seconds for which a change waits while another process changes the directory.
        Threads of one process always wait for each other.

    Examples
    --------
    >>> from sklearn_fairsisa import SISAClassifier
    >>> from sklearn_fairsisa.sisa import CheckpointPolicy
    >>> policy = CheckpointPolicy(keep_every=2)
    >>> sisa = SISAClassifier(n_slices=4, checkpoint_dir=policy)
    """

    directory: str | PathLike[str] | None = None
    keep_every: int = 1
    timeout: float = 10.0

    def __post_init__(self):
        if not isinstance(self.keep_every, Integral) or self.keep_every < 1:
            raise ValueError(
                f"keep_every is {self.keep_every!r}; it must be an integer of at least "
                "1, which keeps every stage."
            )
        if not (isinstance(self.timeout, Real) and self.timeout >= 0):
            raise ValueError(
                f"timeout is {self.timeout!r}; it must be a number of seconds of at "
                "least 0, which does not wait."
            )


def kept(stages: dict[int, Any], policy: CheckpointPolicy) -> dict[int, Any]:
    """Return the checkpoints of a shard that a policy keeps, by their stage."""
    n, last = policy.keep_every, max(stages, default=None)
    return {s: c for s, c in stages.items() if (s + 1) % n == 0 or s == last}


def as_policy(checkpoint_dir: Any) -> CheckpointPolicy:
    """Return the policy that the parameter ``checkpoint_dir`` stands for."""
    policy = checkpoint_dir
    if not isinstance(policy, CheckpointPolicy):
        policy = CheckpointPolicy(checkpoint_dir)
    directory = policy.directory
    # None is the memory; a backend stands for itself.
    if not isinstance(directory, str | os.PathLike):
        return policy
    if not os.fspath(directory):
        raise ValueError(
            "checkpoint_dir is empty. Name a directory, or pass None to keep the "
            "ensemble in memory."
        )
    return replace(policy, directory=Path(directory).expanduser().absolute())
