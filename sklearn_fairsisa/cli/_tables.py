"""Tables in files."""

from pathlib import Path

import pandas as pd

from ._errors import did_you_mean

_READERS = {".csv": pd.read_csv, ".parquet": pd.read_parquet}


def is_table(path):
    """Return whether the name of a file says that it is a CSV or Parquet file."""
    return Path(path).suffix.lower() in _READERS


def read_table(path):
    """Return the table in a CSV or Parquet file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If its name has another ending, or it cannot be read.
    """
    if not is_table(path):
        raise ValueError(f"{path} is not the name of a .csv or .parquet file.")
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        return _READERS[Path(path).suffix.lower()](path)
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


def check_column(path, columns, column, option):
    """Raise if a table lacks a column that an option names.

    Parameters
    ----------
    path : path
        File of the table, for the message.
    columns : Index
        Columns of the table.
    column : str
    option : str

    Raises
    ------
    ValueError
        If there is no such column; the message names the closest one, and all.
    """
    if column in columns:
        return
    names = [str(name) for name in columns]
    raise ValueError(
        f"{path} has no column {column!r} ({option}).{did_you_mean(column, names)} Its "
        f"columns are {', '.join(names)}."
    )
