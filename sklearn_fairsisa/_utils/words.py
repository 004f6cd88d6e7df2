"""Numbers, names and times for sentences."""


def counted(number, noun):
    """Return a number with its noun.

    Examples
    --------
    >>> counted(1, "row"), counted(1200, "entry")
    ('1 row', '1,200 entries')
    """
    plural = f"{noun.removesuffix('y')}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def named(noun, names):
    """Return a noun with the names of what it stands for.

    Examples
    --------
    >>> named("shard", [3]), named("shard", [0, 1, 4])
    ('shard 3', 'shards 0, 1 and 4')
    """
    *others, last = map(str, names)
    return f"{noun}s {', '.join(others)} and {last}" if others else f"{noun} {last}"


def plain_time(text):
    """Return a time in UTC, given in ISO format, without its zone.

    Examples
    --------
    >>> plain_time("2026-03-01T08:30:00+00:00")
    '2026-03-01 08:30:00'
    """
    return text[:19].replace("T", " ")
