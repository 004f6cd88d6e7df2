"""Errors as the program reports them: a line and an exit status."""

import errno
import sys
from difflib import get_close_matches

OK, REFUSED, WRONG_OPTIONS, LOCKED, DAMAGED, NOT_EXACT, BEHIND = range(7)
INTERRUPTED = 130

_WORDS = {
    errno.ENOENT: "There is no file or folder {}.",
    errno.EISDIR: "{} is a folder, but a file is needed.",
    errno.ENOTDIR: "{} lies below a file, but a folder is needed.",
    errno.EACCES: "{} is not yours to open: permission denied.",
    errno.EROFS: "{} cannot be written: the file system is read-only.",
    errno.ENOSPC: "{} cannot be written: no space is left.",
}


def message_of(error):
    """Return the message of an error; one of the system's in words, with the path.

    Examples
    --------
    >>> message_of(FileNotFoundError(2, "No such file or directory", "people.csv"))
    'There is no file or folder people.csv.'
    """
    path = getattr(error, "filename2", None) or getattr(error, "filename", None)
    if path is None or not isinstance(error, OSError):
        return str(error) or repr(error)
    return _WORDS.get(error.errno, "{}: " + str(error.strerror)).format(path)


def did_you_mean(name, known, show=repr):
    """Return the question whether the closest known name was meant.

    Parameters
    ----------
    name : str
    known : iterable of str
    show : callable, default=repr
        Writes the known name.

    Returns
    -------
    str
        Begins with a space; empty if no known name is close.

    Examples
    --------
    >>> did_you_mean("by_hex", ["by_age", "by_sex"])
    " Did you mean 'by_sex'?"
    """
    close = get_close_matches(name, known, n=1)
    return f" Did you mean {show(close[0])}?" if close else ""


def print_error(text):
    """Print a line to the standard error."""
    print(f"fairsisa: {text}", file=sys.stderr, flush=True)


def fail(error, status):
    """Print an error; return the exit status."""
    print_error(f"error: {error}")
    return status
