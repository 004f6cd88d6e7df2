"""The line of a user's code that a warning is about."""

import os
import sys
from pathlib import Path

import sklearn

# Python 3.12 has skip_file_prefixes for this.
_LIBRARIES = tuple(
    f"{folder}{os.sep}"
    for folder in (Path(__file__).parents[1], Path(sklearn.__file__).parent)
)


def level_of_caller():
    """Return the ``stacklevel`` of the call that came from outside.

    To be passed to ``warnings.warn`` by the function that calls this one. How many
    frames lie between depends on who calls whom: an ensemble may be fitted by its user,
    by a post-processor or by a search.
    """
    frame, level = sys._getframe(1), 1
    while frame.f_back and frame.f_code.co_filename.startswith(_LIBRARIES):
        frame, level = frame.f_back, level + 1
    return level
