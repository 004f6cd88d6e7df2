"""The location of warnings in a user's code."""

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
    """Return the ``stacklevel`` of the user's code for ``warnings.warn``.

    The number of frames in between varies, since an ensemble may be fitted by its user,
    by a post-processor or by a search.
    """
    frame, level = sys._getframe(1), 1
    while frame.f_back and frame.f_code.co_filename.startswith(_LIBRARIES):
        frame, level = frame.f_back, level + 1
    return level
