"""Rows, labels and groups of the tasks that the study compares on."""

import sys
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold, train_test_split

from sklearn_fairsisa.datasets import fetch_hatexplain

MOST_CATEGORIES = 50


@dataclass(frozen=True)
class Task:
    """A binary task.

    Parameters
    ----------
    name : str
    X : ndarray of shape (n_rows, n_columns)
        Numbers, or one column of texts.
    y : ndarray of int of shape (n_rows,)
        0 or 1.
    groups : dict of str to ndarray of object of shape (n_rows,)
        Group of each row for each attribute; None where the row is of none that is
        compared.
    left_out : dict of str to dict of str to int
        Rows of the groups that are too small to compare.
    """

    name: str
    X: np.ndarray
    y: np.ndarray
    groups: dict
    left_out: dict

    @property
    def has_texts(self):
        """Whether rows are texts."""
        return self.X.dtype == object

    @property
    def compared(self):
        """Whether each row is of a compared group of some attribute."""
        known = [[g is not None for g in groups] for groups in self.groups.values()]
        return np.any(known, axis=0)


@dataclass(frozen=True)
class Split:
    """Positions of the rows that train, calibrate and test."""

    train: np.ndarray
    calibration: np.ndarray
    test: np.ndarray


def load_tasks(options):
    """Load the tasks that were asked for, by name."""
    if options.csv is not None:
        found = [_from_csv(options)]
    else:
        found = [
            task for name in options.tasks for task in _LOADERS[name](options.data_home)
        ]
    tasks = {}
    for task in found:
        task = _drawn(task, options.max_rows, options.seed)
        tasks[task.name] = _restricted(task, options)
    return tasks


def split_all(tasks, options):
    """Splits of each task and repeat, a list by fold."""
    return {
        (task.name, repeat): split_rows(task, repeat, options.folds, options.seed)
        for task in tasks.values()
        for repeat in range(options.repeats)
    }


def split_rows(task, repeat, n_folds, seed):
    """Folds of one repeat, each of which tests once.

    A quarter of the other rows of compared groups calibrates; rows of no compared group
    only ever train.

    Returns
    -------
    list of Split of length `n_folds`
    """
    compared = np.flatnonzero(task.compared)
    ungrouped = np.flatnonzero(~task.compared)
    strata = _strata(task, compared)
    seed = int(np.random.SeedSequence((seed, repeat)).generate_state(1)[0] >> 1)
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    splits = []
    with warnings.catch_warnings():
        # A rare stratum need not be in every fold.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        parts = list(folds.split(compared, strata))
    for rest, test in parts:
        train, calibration = train_test_split(
            rest, test_size=0.25, random_state=seed, stratify=strata[rest]
        )
        train = np.concatenate([compared[train], ungrouped])
        splits.append(
            Split(np.sort(train), np.sort(compared[calibration]), compared[test])
        )
    return splits


def _strata(task, rows):
    """Codes of label and groups; rare ones join the commonest of their label."""
    columns = [column[rows] for column in (task.y, *task.groups.values())]
    keys = pd.Series([str(key) for key in zip(*columns)])
    counts = keys.map(keys.value_counts())
    for label in (0, 1):
        inside = columns[0] == label
        keys[inside & (counts < 20)] = keys[counts[inside].idxmax()]
    return keys.to_numpy()


def _from_hatexplain(data_home):
    corpus = fetch_hatexplain(data_home=data_home)
    yield Task(
        name="hatexplain",
        X=np.array([str(text) for text in corpus.data], dtype=object)[:, None],
        y=np.asarray(corpus.target),
        groups={name: corpus.groups[name] for name in ("race", "religion")},
        left_out={},
    )


def _from_package(data_home):
    from _tabular import NAMES, load_table

    for name in NAMES:
        table = load_table(name)
        yield Task(name, table.X, table.y, table.groups, {})


_LOADERS = {"hatexplain": _from_hatexplain, "tabular": _from_package}


def _from_csv(options):
    if options.target is None or options.attributes is None:
        sys.exit("--csv needs --target and --attributes, the names of columns.")
    frame = pd.read_csv(options.csv)
    wanted = [
        options.target,
        *options.attributes,
        *([options.text] * bool(options.text)),
    ]
    missing = [column for column in wanted if column not in frame]
    if missing:
        sys.exit(f"{options.csv} has no columns {missing}; it has {list(frame)}.")
    labels = frame[options.target].dropna().unique()
    if len(labels) != 2:
        sys.exit(
            f"Column {options.target!r} holds {len(labels)} labels; two are needed."
        )
    frame = frame.dropna(subset=[options.target])
    if options.text:
        X = frame[options.text].fillna("").astype(str).to_numpy(dtype=object)[:, None]
    else:
        X = _as_numbers(frame.drop(columns=[options.target, *options.attributes]))
    return Task(
        name=Path(options.csv).stem,
        X=X,
        y=(frame[options.target] == max(labels)).to_numpy(dtype=int),
        groups={
            name: frame[name].to_numpy(dtype=object) for name in options.attributes
        },
        left_out={},
    )


def _as_numbers(frame):
    """Numbers standardised, categories one-hot; columns of free text are left out."""
    numbers = frame.select_dtypes("number")
    numbers = (numbers - numbers.mean()) / numbers.std().replace(0, 1)
    categories = frame.select_dtypes(exclude="number").astype("string")
    free = [name for name in categories if categories[name].nunique() > MOST_CATEGORIES]
    if free:
        print(
            f"Columns {free} hold more than {MOST_CATEGORIES} categories and are left "
            "out. A model of texts learns from the one that --text names."
        )
    columns = numbers.fillna(0).join(categories.drop(columns=free))
    if columns.empty:
        sys.exit("No column is left to learn from. Name one of texts by --text.")
    return pd.get_dummies(columns).to_numpy(dtype=np.float32)


def _drawn(task, max_rows, seed):
    """The task on rows drawn at random, if it has more than that.

    Equally many of every label and combination of groups, as far as there are so many:
    rates are taken within them, and those of rare ones are the noise of a gap.
    """
    if max_rows is None or len(task.y) <= max_rows:
        return task
    order = np.random.default_rng(seed).permutation(len(task.y))
    keys = pd.Series([str(key) for key in zip(task.y, *task.groups.values())])[order]
    # First comes the first row of each stratum, then the second of each.
    turn = keys.groupby(keys).cumcount().to_numpy()
    rows = order[np.argsort(turn, kind="stable")][:max_rows]
    groups = {name: column[rows] for name, column in task.groups.items()}
    return replace(task, X=task.X[rows], y=task.y[rows], groups=groups)


def _restricted(task, options):
    """The task with the attributes asked for and groups that are large enough."""
    groups, left_out = {}, {}
    for name, column in task.groups.items():
        if options.attributes is not None and name not in options.attributes:
            continue
        column = pd.Series(column, dtype=object)
        column = column.where(column.notna(), None).to_numpy(dtype=object)
        left_out[name] = _small_groups(column, task.y, options.min_group_rows)
        kept = np.array([None if g in left_out[name] else g for g in column])
        if len({group for group in kept if group is not None}) > 1:
            groups[name] = kept
    if not groups:
        sys.exit(
            f"{task.name} has no attribute with two groups of "
            f"{options.min_group_rows} rows of each label; too small are {left_out}. "
            "Lower --min-group-rows, or take more rows."
        )
    return replace(task, groups=groups, left_out=left_out)


def _small_groups(column, y, min_rows):
    """Rows of each group that has fewer than that many of some label."""
    small = {}
    for group in sorted({group for group in column if group is not None}):
        inside = column == group
        if min(np.sum(inside & (y == label)) for label in (0, 1)) < min_rows:
            small[group] = int(inside.sum())
    return small
