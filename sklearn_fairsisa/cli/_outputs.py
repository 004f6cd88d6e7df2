"""Files that commands write."""

import os
import secrets
from pathlib import Path


def add_output_option(parser, kinds):
    """Add the option that names the files of a document.

    Parameters
    ----------
    parser : ArgumentParser
    kinds : str
        What is written, by the suffix.
    """
    parser.add_argument(
        "--output",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help=f"files to write: {kinds}",
    )


def check_outputs(paths, suffixes=()):
    """Raise if a file could not be written, before the work whose result it holds.

    Parameters
    ----------
    paths : iterable of Path
    suffixes : iterable of str, default=()
        Those that names may end in; any if there are none.

    Raises
    ------
    ValueError, FileNotFoundError, IsADirectoryError, PermissionError
    """
    for path in paths:
        if suffixes and path.suffix.lower() not in suffixes:
            raise ValueError(
                f"{path} does not end in {' or '.join(suffixes)}, so it is unclear "
                "what to write. Nothing was written."
            )
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


def write_document(document, paths, writers):
    """Write a document to files, by the writer of each file's suffix."""
    for path in paths:
        # The same bytes on every system.
        path.write_bytes(writers[path.suffix.lower()](document).encode())


def replace_file(path, data):
    """Write a file such that readers have the old or the new one, never a part."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with new.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
