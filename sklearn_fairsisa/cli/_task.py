"""Texts split into rows for training, calibration and comparison."""

from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import train_test_split

from ..datasets import fetch_hatexplain, make_biased_posts


@dataclass(frozen=True)
class Task:
    """A data set split for one comparison.

    Parameters
    ----------
    name : str
    texts : ndarray of shape (n, 1) of object
        One column, because fairlearn needs two dimensions.
    y : ndarray of shape (n,)
        Labels 0 and 1.
    groups : ndarray of shape (n,)
        Group of each row, None if its group is not compared.
    train, calibration, test : ndarray of int
        Rows of each part. Rows without a group only train.
    left_out : dict
        Number of rows of each label in the groups that are too small to compare: dicts
        with the keys "negative" and "positive".
    """

    name: str
    texts: np.ndarray
    y: np.ndarray
    groups: np.ndarray
    train: np.ndarray
    calibration: np.ndarray
    test: np.ndarray
    left_out: dict


def load_task(
    data, *, attribute=None, n_samples=3000, data_home=None, min_rows=40, seed=0
):
    """Load a data set and split it.

    Parameters
    ----------
    data : {"posts", "hatexplain"}
    attribute : {"race", "religion", "gender"}, default=None
        Sensitive attribute of HateXplain; None means religion.
    n_samples : int, default=3000
        Number of posts to generate for "posts"; for "hatexplain" the number of rows to
        draw, None for all.
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
        If an attribute is given for the generated posts, or fewer than two groups are
        large enough.
    """
    if data == "posts":
        if attribute is not None:
            raise ValueError(
                f"The generated posts have no attribute {attribute!r}, only the club "
                "of their author. Leave the attribute out, or use data 'hatexplain'."
            )
        bunch = make_biased_posts(n_samples or 3000, random_state=seed)
        texts, y, groups = bunch.data, bunch.target, bunch.sensitive_features
    else:
        bunch = fetch_hatexplain(data_home=data_home)
        texts, y = bunch.data, bunch.target
        groups = bunch.groups[attribute or "religion"]
        if n_samples is not None and n_samples < len(y):
            drawn = np.random.default_rng(seed).permutation(len(y))[:n_samples]
            texts, y, groups = texts[drawn], y[drawn], groups[drawn]
    groups, left_out = keep_large_groups(np.asarray(groups, dtype=object), y, min_rows)
    train, calibration, test = split_rows(y, groups, seed)
    return Task(
        name=data if data == "posts" else f"{data}, {attribute or 'religion'}",
        texts=np.array([str(text) for text in texts], dtype=object)[:, None],
        y=np.asarray(y),
        groups=groups,
        train=train,
        calibration=calibration,
        test=test,
        left_out=left_out,
    )


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


def split_rows(y, groups, seed):
    """Split grouped rows 60:20:20 within each group and label; the rest trains."""
    compared = np.flatnonzero([group is not None for group in groups])
    strata = np.array([f"{label} {group}" for label, group in zip(y, groups)])
    train, rest = train_test_split(
        compared, test_size=0.4, random_state=seed, stratify=strata[compared]
    )
    calibration, test = train_test_split(
        rest, test_size=0.5, random_state=seed, stratify=strata[rest]
    )
    ungrouped = np.setdiff1d(np.arange(len(y)), compared)
    parts = np.concatenate([train, ungrouped]), calibration, test
    return tuple(np.sort(part) for part in parts)
