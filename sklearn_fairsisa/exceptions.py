"""Warnings and errors that a caller may want to handle."""


class DegenerateRuleWarning(UserWarning):
    """The fair rule decides the same for everyone, so it ignores the members."""


class EmptyShardWarning(UserWarning):
    """A shard has no rows left, so its member abstains."""


class UntrainedShardWarning(UserWarning):
    """A member cannot be trained on the remaining rows, and stays behind."""


class VanishedClassWarning(UserWarning):
    """No row of a class is left, but ``classes_`` still names it."""


class UnconstrainedGroupWarning(UserWarning):
    """A group has too few calibration rows left for the fairness constraint."""


class SharedCoinWarning(UserWarning):
    """Equal rows share one randomised decision, so rates may differ from expected."""


class StaleRuleWarning(UserWarning):
    """The ensemble has forgotten rows on which its fair rule still depends."""


class UnsupportedToleranceWarning(UserWarning):
    """There are too few calibration rows for a tolerance at the given confidence."""


class DirectoryError(Exception):
    """A durable directory cannot be used as it is; nothing in it was changed."""


class DamagedDirectoryError(DirectoryError):
    """A file of a durable directory is missing, truncated or altered."""


class SignatureError(DamagedDirectoryError):
    """A durable directory was signed with another key, or not at all."""


class LockedDirectoryError(DirectoryError):
    """Another process or estimator is using a durable directory."""


class ChangedDirectoryError(DirectoryError):
    """A durable directory was changed since this estimator last read it."""
