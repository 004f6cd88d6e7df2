"""Where an ensemble keeps its rows, checkpoints and log."""

from typing import Any

from .directory import DirectoryStore, open_directory
from .memory import MemoryStore
from .policy import CheckpointPolicy, as_policy
from .protocol import Store

__all__ = ["CheckpointPolicy", "create_store", "open_directory"]


def create_store(checkpoint_dir: Any, previous: Store | None = None) -> Store:
    """Return the store of an ensemble that is to be fitted.

    Parameters
    ----------
    checkpoint_dir : str, path, CheckpointPolicy or None
        Parameter of the estimator.
    previous : Store, default=None
        That of the estimator's last fit, which may be replaced.

    Returns
    -------
    Store
    """
    policy = as_policy(checkpoint_dir)
    if policy.directory is None:
        return MemoryStore(policy)
    return DirectoryStore.create(policy, previous)
