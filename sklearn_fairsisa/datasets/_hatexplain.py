"""The HateXplain corpus, read from its published files."""

import json
from collections import Counter
from typing import Literal

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from .._utils.typing import BunchOrTuple, FilePath
from ._files import Release, check_option, find_folder

_COMMIT = "01d742279dac941981f53806154481c0e15ee686"
_POSTS, _SPLITS = "dataset.json", "post_id_divisions.json"
_RELEASE = Release(
    corpus="HateXplain",
    url=f"https://raw.githubusercontent.com/hate-alert/HateXplain/{_COMMIT}/Data/",
    sha256={
        _POSTS: "63bb3340fee0ec469b09690d04cb68f7c187787dd8b83807f071892c084967fb",
        _SPLITS: "c2fb0d89862e7897b11ea3e9380753f15a793482b4b70ad0532dfb1212212835",
    },
    folder=f"hatexplain/{_COMMIT[:12]}",
)

_SUBSETS = ("train", "val", "test")
_LABELS = ("normal", "offensive", "hatespeech")
_ATTRIBUTES = {
    "race": ("African", "Arab", "Asian", "Caucasian", "Hispanic"),
    "religion": ("Buddhism", "Christian", "Hindu", "Islam", "Jewish"),
    "gender": ("Men", "Women"),
}
_TARGET_NAMES = {"binary": ("normal", "toxic"), "three_class": _LABELS}
# Number of the three annotators that must agree.
_QUORUM = 2


def fetch_hatexplain(
    *,
    data_home: FilePath | None = None,
    subset: Literal["all", "train", "val", "test"] = "all",
    sensitive: Literal["race", "religion", "gender"] | None = None,
    target: Literal["binary", "three_class"] = "binary",
    download_if_missing: bool = True,
    as_frame: bool = False,
    return_X_y: bool = False,
) -> BunchOrTuple:
    """Load the HateXplain corpus of annotated social media posts.

    Three annotators labelled each post as normal, offensive or hateful, and named the
    groups it mentions. The texts are hateful by the nature of the research: do not
    print them in logs or reports.

    =================   ======================================
    Posts               19,229 (train 15,383, val 1,922, test 1,924)
    Features            text
    Classes             2 (normal, toxic), or 3
    Sensitive           race, religion, gender
    =================   ======================================

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder with ``dataset.json`` and ``post_id_divisions.json`` in the layout of the
        release. Its files are only read. By default the folder named by the environment
        variable ``SKLEARN_FAIRSISA_DATA``. If the variable is not set, the files are
        downloaded into pooch's cache and checked against the digest of the release.

    subset : {"all", "train", "val", "test"}, default="all"
        Part of the official split. The rows are in the order of the split file;
        ``"all"`` is train, then val, then test.

    sensitive : {"race", "religion", "gender"}, default=None
        Keep only the posts that mention a group of this attribute. The Bunch then
        has ``sensitive_features``.

    target : {"binary", "three_class"}, default="binary"
        Content of ``target``: whether the majority label is not normal, or the
        majority label itself.

    download_if_missing : bool, default=True
        Whether to download files that are missing in the cache. Files are never
        downloaded into a folder that you name.

    as_frame : bool, default=False
        Whether to return pandas objects. ``data`` is then a data frame of the text
        and one column per sensitive attribute.

    return_X_y : bool, default=False
        Whether to return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the attributes

        data : ndarray of shape (n_posts,) of str, or DataFrame of shape (n_posts, 4)
            Texts: tokens joined by spaces.
        target : ndarray or Series of shape (n_posts,)
            Labels, indices into `target_names`.
        target_names : list of str
            Names of the labels.
        target_binary, target_three_class : ndarray or Series of shape (n_posts,)
            Both kinds of labels, whatever `target` is.
        groups : Bunch
            For ``race``, ``religion`` and ``gender`` the group of each post, None if it
            mentions none: ndarray or Series of shape (n_posts,).
        sensitive_features : ndarray or Series of shape (n_posts,)
            ``groups[sensitive]``, if `sensitive` is given.
        split : ndarray or Series of shape (n_posts,)
            "train", "val" or "test".
        post_id : ndarray or Series of shape (n_posts,)
            Ids of the posts.
        feature_names : list of str
            Columns of `data`.
        frame : DataFrame
            Everything, if `as_frame`.
        DESCR : str
            Description, with the number of dropped posts.
        counts : dict
            Counts before `sensitive` is applied: posts that three annotators labelled
            differently ("outside" the official split, "ties" inside it), posts for
            which a group qualified (``"named", group``), and posts for which several
            groups of one attribute qualified (``"contested", attribute``).

    (data, target) : tuple if `return_X_y`
        Texts and labels.

    Raises
    ------
    OSError
        If the files are missing and cannot be downloaded.
    ValueError
        If a file is truncated or has another layout, or an option is unknown.

    Notes
    -----
    The majority label is the label that at least two annotators gave. Posts with three
    different labels have no majority label and are dropped; the official split excludes
    them too.

    A post mentions a group if at least two annotators named it. If two groups of one
    attribute qualify, the group named more often counts, or the alphabetically first if
    both were named equally often.

    References
    ----------
    Mathew et al. (2021), HateXplain: A Benchmark Dataset for Explainable Hate Speech
    Detection, AAAI.

    Examples
    --------
    >>> from sklearn_fairsisa.datasets import fetch_hatexplain
    >>> posts = fetch_hatexplain(subset="test", sensitive="race")  # doctest: +SKIP
    >>> posts.data.shape  # doctest: +SKIP
    (473,)
    """
    check_option("subset", subset, ("all", *_SUBSETS))
    check_option("sensitive", sensitive, (None, *_ATTRIBUTES))
    check_option("target", target, tuple(_TARGET_NAMES))
    folder = find_folder(_RELEASE, data_home, download_if_missing)
    annotations = _read_json(folder / _POSTS)
    splits = _read_json(folder / _SPLITS)

    names = _SUBSETS if subset == "all" else (subset,)
    frame, counts = _make_frame(annotations, splits, names, folder)
    if sensitive is not None:
        frame = frame[frame[sensitive].notna()].reset_index(drop=True)
    frame.insert(0, "target", frame[f"target_{target}"])

    def column(name):
        return frame[name] if as_frame else frame[name].to_numpy()

    features = ["text", *_ATTRIBUTES] if as_frame else ["text"]
    data = frame[features] if as_frame else column("text")
    if return_X_y:
        return data, column("target")
    bunch = Bunch(
        data=data,
        target=column("target"),
        target_names=list(_TARGET_NAMES[target]),
        target_binary=column("target_binary"),
        target_three_class=column("target_three_class"),
        groups=Bunch(**{attribute: column(attribute) for attribute in _ATTRIBUTES}),
        split=column("split"),
        post_id=column("post_id"),
        feature_names=features,
        frame=frame if as_frame else None,
        counts=dict(counts),
        DESCR=_describe(frame, counts, sensitive),
    )
    if sensitive is not None:
        bunch.sensitive_features = column(sensitive)
    return bunch


def _read_json(path):
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        # The cause is removed: a traceback must not contain the text of the file.
        raise ValueError(
            f"{path} is not valid JSON ({error}). It may be truncated: copy it again; "
            "in the cache of downloads, delete it."
        ) from None
    if not isinstance(content, dict):
        raise ValueError(
            f"{path} contains a {type(content).__name__} at the top level, but the "
            "HateXplain release contains an object. Use the file of the release."
        )
    return content


def _make_frame(annotations, splits, names, folder):
    """Return one row per post of the named splits, and the counts of posts."""
    missing = [name for name in names if name not in splits]
    if missing:
        raise ValueError(
            f"{folder / _SPLITS} lacks the split {missing[0]!r}; it has "
            f"{sorted(splits)}. Use the file of the release."
        )
    counts = Counter(outside=len(annotations) - sum(map(len, splits.values())))
    rows = []
    for split in names:
        for post_id in splits[split]:
            try:
                post = annotations[post_id]
                tokens = [str(token) for token in post["post_tokens"]]
                votes = Counter(a["label"] for a in post["annotators"])
                named = Counter(
                    name for a in post["annotators"] for name in set(a["target"] or ())
                )
                label, n_votes = votes.most_common(1)[0]
                three_class = _LABELS.index(label)
            except (KeyError, TypeError, ValueError, IndexError, AttributeError):
                raise ValueError(
                    f"{folder / _POSTS} has no complete entry for the post {post_id!r} "
                    f"of the split {split!r}: it needs post_tokens, and annotators "
                    f"with a label out of {_LABELS} and a target. Use the file of "
                    "the release."
                ) from None
            if n_votes < _QUORUM:
                counts["ties"] += 1
                continue
            groups = []
            for attribute, members in _ATTRIBUTES.items():
                qualified = [g for g in sorted(members) if named[g] >= _QUORUM]
                groups.append(max(qualified, key=named.__getitem__, default=None))
                counts.update(("named", group) for group in qualified)
                counts["contested", attribute] += len(qualified) > 1
            rows.append(
                (three_class, int(three_class > 0), *groups, " ".join(tokens))
                + (split, post_id)
            )
    columns = ["target_three_class", "target_binary", *_ATTRIBUTES, "text"]
    # With objects, "no group" stays None for any string type of pandas.
    frame = pd.DataFrame(rows, columns=[*columns, "split", "post_id"], dtype=object)
    targets = ["target_three_class", "target_binary"]
    return frame.astype(dict.fromkeys(targets, np.int64)), counts


def _describe(frame, counts, sensitive):
    lines = [
        "HateXplain",
        "==========",
        "",
        "Posts of Twitter and Gab, labelled normal, offensive or hateful by three",
        "annotators each, who also named the groups that a post mentions (Mathew et",
        "al., 2021; MIT licence, data card CC-BY-4.0). The texts are hateful by the",
        "nature of the research.",
        "",
        f"Posts: {len(frame)}, toxic: {frame['target_binary'].sum()}",
        "Split: "
        + ", ".join(f"{s} {int((frame['split'] == s).sum())}" for s in _SUBSETS),
        f"Dropped: {counts['outside']} posts outside the official split (three "
        f"different labels), {counts['ties']} such ties inside it",
        "",
        "A group counts for a post if at least two annotators named it. If two groups",
        "of one attribute qualify, the group named more often is kept, then the",
        "alphabetically first.",
    ]
    for attribute, members in _ATTRIBUTES.items():
        kept = frame[attribute].value_counts()
        lines.append(f"{attribute}: {frame[attribute].notna().sum()} posts")
        lines += [
            f"  {group}: qualified {counts['named', group]}, kept {kept.get(group, 0)}"
            for group in members
        ]
        lines.append(f"  several qualified: {counts['contested', attribute]} posts")
    if sensitive is not None:
        lines.append(f"Only posts that mention a group of {sensitive} are kept.")
    return "\n".join(lines)
