"""Warnings that a caller may want to filter or turn into errors."""


class DegenerateRuleWarning(UserWarning):
    """The fair rule decides the same for everyone, so it ignores the members."""


class EmptyShardWarning(UserWarning):
    """A shard has no rows left, so its member abstains."""


class VanishedClassWarning(UserWarning):
    """No row of a class is left, but ``classes_`` still names it."""
