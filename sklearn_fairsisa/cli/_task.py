"""Rows to compare classifiers on: texts or a table, with labels and groups."""

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold

from ..datasets import fetch_hatexplain, make_biased_posts
from ._tables import check_column, is_table, read_table

_MAX_GROUPS = 20


@dataclass(frozen=True)
class Task:
    """A data set for one comparison.

    Parameters
    ----------
    name : str
    X : ndarray of shape (n, 1) of object, or DataFrame
        Texts in one column, because fairlearn needs two dimensions; or a table, without
        the columns of the labels and of the groups.
    y : ndarray of shape (n,)
        Labels 0 and 1.
    groups : ndarray of shape (n,)
        Group of each row, None if its group is not compared.
    pos_label : str
        Name of label 1.
    left_out : dict
        Number of rows of each label in the groups that are too small to compare: dicts
        with the keys "negative" and "positive".
    """

    name: str
    X: Any
    y: np.ndarray
    groups: np.ndarray
    pos_label: str
    left_out: dict

    @property
    def is_text(self):
        return isinstance(self.X, np.ndarray)

    @property
    def compared(self):
        """Positions of the rows whose group is compared."""
        return np.flatnonzero([group is not None for group in self.groups])


def load_task(
    data,
    *,
    target=None,
    attribute=None,
    text=None,
    pos_label=None,
    n_samples=None,
    data_home=None,
    min_rows=40,
    seed=0,
):
    """Load a data set.

    Parameters
    ----------
    data : str
        "posts", "hatexplain", or the path of a CSV or Parquet file.
    target, attribute, text : str, default=None
        Columns of a file: labels, groups, texts. Without `text`, all other columns are
        features. Of HateXplain, `attribute` is "race", "religion" (the default) or
        "gender".
    pos_label : str, default=None
        Which of the two labels of a file is positive. None means the greater one of
        numbers or booleans.
    n_samples : int, default=None
        Number of posts to generate (default: 3000), or of rows to draw (default: all).
    data_home : path, default=None
        Folder of HateXplain.
    min_rows : int, default=40
        A group is compared if it has at least this many rows of each label.
    seed : int, default=0

    Returns
    -------
    Task

    Raises
    ------
    ValueError
        If the options do not fit the data, or fewer than two groups are large enough.
    OSError
        If the data cannot be read.
    """
    of_files = {"--target": target, "--text": text, "--pos-label": pos_label}
    for option, value in of_files.items():
        if value is not None and data in ("posts", "hatexplain"):
            raise ValueError(
                f"{option} names a part of a file, but --data is {data!r}. Leave it "
                "out, or give the path of a CSV or Parquet file to --data."
            )
    if data == "posts":
        if attribute is not None:
            raise ValueError(
                f"The generated posts have no attribute {attribute!r}, only the club "
                "of their author. Leave --attribute out, or use other data."
            )
        bunch = make_biased_posts(n_samples or 3000, random_state=seed)
        name, X, y, pos_label = "posts", bunch.data, bunch.target, "complaint"
        groups = bunch.sensitive_features
    elif data == "hatexplain":
        attribute = attribute or "religion"
        bunch = fetch_hatexplain(data_home=data_home)
        if attribute not in bunch.groups:
            raise ValueError(
                f"HateXplain has no attribute {attribute!r}. Use one of "
                f"{', '.join(bunch.groups)}."
            )
        name, X, y, pos_label = (
            f"{data}, {attribute}",
            bunch.data,
            bunch.target,
            "toxic",
        )
        groups = bunch.groups[attribute]
    else:
        X, y, groups, pos_label = _from_file(data, target, attribute, text, pos_label)
        name = f"{Path(data).name}, {attribute}"
    y, groups = np.asarray(y), np.asarray(groups, dtype=object)
    if not isinstance(X, pd.DataFrame):
        X = np.array([str(text) for text in X], dtype=object)[:, None]
    if n_samples is not None and n_samples < len(y):
        drawn = np.random.default_rng(seed).permutation(len(y))[:n_samples]
        y, groups = y[drawn], groups[drawn]
        X = X[drawn] if isinstance(X, np.ndarray) else X.iloc[drawn]
    groups, left_out = keep_large_groups(groups, y, min_rows)
    return Task(name, X, y, groups, str(pos_label), left_out)


def _from_file(path, target, attribute, text, pos_label):
    """Read features or texts, labels 0 and 1, groups and the positive label."""
    frame = _read(path)
    _check_columns(path, frame.columns, target, attribute, text)
    _check_values(path, frame)
    positive, groups = _positive(frame[target], pos_label), _groups(frame[attribute])
    y = (frame[target] == positive).to_numpy(dtype=int)
    if text is not None:
        _check_present(frame[text])
        return frame[text], y, groups, positive
    X = frame.drop(columns=[target, attribute])
    if X.shape[1] == 0:
        raise ValueError(
            f"{path} has no columns beside {target!r} and {attribute!r}, so there is "
            "nothing to learn from."
        )
    _check_repeated(path, X)
    return X, y, groups, positive


def _check_values(path, frame):
    """Raise if a column has values that no learner of tables reads."""
    for name, column in frame.items():
        if column.dtype == object and not all(
            isinstance(value, Hashable) for value in column
        ):
            holds, remedy = "lists or other containers", "one value per row"
        elif pd.api.types.is_timedelta64_dtype(column):
            holds, remedy = "durations", "numbers, for example days"
        elif pd.api.types.is_float_dtype(column) and np.isinf(column.dropna()).any():
            holds, remedy = "infinite numbers", "finite ones, or leave them empty"
        else:
            continue
        raise ValueError(
            f"The column {name!r} of {path} holds {holds}. Replace them by {remedy}, "
            "or remove the column from the file."
        )


def _check_repeated(path, X):
    """Raise if a column has another value in each row, as ids have."""
    for name, column in X.items():
        if len(column) <= _MAX_GROUPS or not column.is_unique:
            continue
        if pd.api.types.is_numeric_dtype(column) and not _counts_rows(column):
            continue
        raise ValueError(
            f"The column {name!r} of {path} has a different value in each of "
            f"{len(column)} rows, like an identifier, so it cannot be a feature. "
            f"Remove it from the file, or name it by --text if it holds texts."
        )


def _counts_rows(column):
    """Return whether unique numbers are consecutive integers, as row numbers are."""
    integers = pd.api.types.is_integer_dtype(column) and not column.hasnans
    return integers and int(column.max()) - int(column.min()) == len(column) - 1


def _check_columns(path, columns, target, attribute, text):
    """Raise unless the options name different columns of a file."""
    options = {"--target": target, "--attribute": attribute, "--text": text}
    for option, column in options.items():
        if column is not None:
            check_column(path, columns, column, option)
        elif option != "--text":
            names = ", ".join(map(str, columns))
            raise ValueError(f"{option} is missing. Name a column of {path}: {names}.")
    if len(set(options.values())) < len(options):
        named = ", ".join(f"{o} {c!r}" for o, c in options.items() if c is not None)
        raise ValueError(f"Each option needs a column of its own, got {named}.")


def _check_present(column):
    """Raise if a column has missing values."""
    if column.isna().any():
        raise ValueError(
            f"{int(column.isna().sum())} of {len(column)} rows have no "
            f"{column.name!r}. Remove them from the file."
        )


def _positive(labels, pos_label):
    """Return which one of two labels is positive."""
    _check_present(labels)
    classes = labels.unique().tolist()
    if len(classes) != 2:
        raise ValueError(
            f"The column {labels.name!r} must hold two different labels, got "
            f"{len(classes)}: {classes[:5]}."
        )
    if pos_label is None and pd.api.types.is_numeric_dtype(labels):
        return max(classes)
    if pos_label is None:
        raise ValueError(
            f"The labels of {labels.name!r} are {classes[0]!r} and {classes[1]!r}. Say "
            f"which one is positive: --pos-label {str(classes[0])!r} or --pos-label "
            f"{str(classes[1])!r}."
        )
    for label in classes:
        if str(label) == pos_label:
            return label
    raise ValueError(
        f"--pos-label {pos_label!r} is none of the labels of {labels.name!r}, "
        f"{classes[0]!r} and {classes[1]!r}."
    )


def _groups(column):
    """Return the names of the groups, None where they are missing."""
    if column.nunique() > _MAX_GROUPS:
        raise ValueError(
            f"The column {column.name!r} has {column.nunique()} different values, more "
            f"than {_MAX_GROUPS} groups. Put its values into bins, or choose another "
            "--attribute."
        )
    named = [None if missing else str(g) for g, missing in zip(column, column.isna())]
    return np.array(named, dtype=object)


def _read(path):
    if not is_table(path):
        raise ValueError(
            f"--data must be posts, hatexplain, or the path of a .csv or .parquet "
            f"file, got {path!r}."
        )
    return read_table(path)


def keep_large_groups(groups, y, min_rows):
    """Replace groups with too few rows of a label by None; count their rows."""
    left_out = {}
    kept = groups.copy()
    for group in sorted({group for group in groups if group is not None}):
        inside = groups == group
        counts = {
            name: int(np.sum(y[inside] == label))
            for label, name in enumerate(("negative", "positive"))
        }
        if min(counts.values()) < min_rows:
            kept[inside] = None
            left_out[str(group)] = counts
    if len({group for group in kept if group is not None}) < 2:
        small = "; ".join(
            f"{group} has {counts['negative']} negative and {counts['positive']} "
            "positive"
            for group, counts in left_out.items()
        )
        raise ValueError(
            f"Fewer than two groups have {min_rows} rows of each label, so there is "
            f"nothing to compare. Too small: {small or 'none'}. Use more rows, another "
            "attribute, or a smaller --min-group-rows."
        )
    return kept, left_out


def split_folds(y, groups, n_folds, seed):
    """Return training and held-out rows of each fold.

    Each row of a group is held out once, at equal shares of groups and labels. Rows
    without a group always train.
    """
    compared = np.flatnonzero([group is not None for group in groups])
    ungrouped = np.setdiff1d(np.arange(len(y)), compared)
    strata = [f"{y[row]} {groups[row]}" for row in compared]
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    return [
        (np.sort(np.concatenate([compared[train], ungrouped])), compared[test])
        for train, test in folds.split(compared, strata)
    ]
