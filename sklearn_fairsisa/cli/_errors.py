"""Errors of the system in words, and checks of paths before any work."""

import errno
import os

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


def check_directory(path):
    """Raise if a path is not that of a directory.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
    """
    if not path.exists():
        raise FileNotFoundError(
            f"There is no directory {path}. Give the checkpoint_dir of a "
            "SISAClassifier."
        )
    if not path.is_dir():
        raise NotADirectoryError(
            f"{path} is a file. Give the directory, the checkpoint_dir of a "
            "SISAClassifier."
        )


def check_outputs(paths):
    """Raise if a file could not be written, before the work whose result it holds.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, PermissionError
    """
    for path in paths:
        if not path.parent.is_dir():
            raise FileNotFoundError(
                f"{path} cannot be written: there is no folder {path.parent}. Nothing "
                "was done."
            )
        if path.is_dir():
            raise IsADirectoryError(
                f"{path} is a folder. Give the name of a file to write. Nothing was "
                "done."
            )
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise PermissionError(
                f"{path} cannot be written: permission denied. Nothing was done."
            )
