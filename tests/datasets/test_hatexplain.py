"""Claims about the HateXplain loader."""

import builtins
import json
import os
import sys
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sklearn_fairsisa.datasets import _hatexplain, fetch_hatexplain

needs_corpus = pytest.mark.skipif(
    not os.environ.get("SKLEARN_FAIRSISA_DATA"),
    reason="SKLEARN_FAIRSISA_DATA names no folder with HateXplain",
)


def make_post(labels, targets, text="a b"):
    return {
        "post_tokens": text.split(),
        "rationales": [],
        "annotators": [
            {"label": label, "target": target, "annotator_id": i}
            for i, (label, target) in enumerate(zip(labels, targets), 1)
        ],
    }


POSTS = {
    "p1": make_post(["normal"] * 3, [["None"], ["None"], ["Women"]], "one post"),
    "p2": make_post(
        ["offensive", "normal", "offensive"],
        [["Jewish"], ["Jewish", "Islam"], ["Islam", "Jewish"]],
    ),
    "p3": make_post(
        ["hatespeech", "hatespeech", "normal"],
        [["Caucasian", "African"], ["African", "Caucasian"], ["Women"]],
    ),
    "p4": make_post(["normal", "offensive", "hatespeech"], [["Men"]] * 3),
    "p5": make_post(["normal", "normal", "offensive"], [None, ["Men"], ["Men"]]),
    "tie": make_post(["normal", "offensive", "hatespeech"], [["Men"]] * 3),
}
SPLITS = {"train": ["p3", "p1"], "val": ["p4"], "test": ["p5", "p2"]}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.delenv("SKLEARN_FAIRSISA_DATA", raising=False)
    (tmp_path / "dataset.json").write_text(json.dumps(POSTS))
    (tmp_path / "post_id_divisions.json").write_text(json.dumps(SPLITS))
    return tmp_path


@pytest.fixture
def no_cache(tmp_path, monkeypatch):
    """A pooch whose cache is empty and whose network is down."""
    calls = []

    def retrieve(url, known_hash, fname, path):
        calls.append((url, known_hash))
        raise ConnectionError("no network")

    pooch = types.SimpleNamespace(
        os_cache=lambda name: tmp_path / "cache" / name, retrieve=retrieve
    )
    monkeypatch.setitem(sys.modules, "pooch", pooch)
    monkeypatch.delenv("SKLEARN_FAIRSISA_DATA", raising=False)
    return calls


def test_rows_come_in_the_order_of_the_split_files(folder):
    bunch = fetch_hatexplain(data_home=folder)
    assert bunch.post_id.tolist() == ["p3", "p1", "p5", "p2"]
    assert bunch.split.tolist() == ["train", "train", "test", "test"]
    assert bunch.data[1] == "one post"


def test_binary_target_is_majority_not_normal(folder):
    bunch = fetch_hatexplain(data_home=folder)
    assert bunch.target.tolist() == [1, 0, 0, 1]
    assert bunch.target_names == ["normal", "toxic"]
    three = fetch_hatexplain(data_home=folder, target="three_class")
    assert three.target.tolist() == [2, 0, 0, 1]
    assert three.target_names == ["normal", "offensive", "hatespeech"]
    assert three.target_binary.tolist() == [1, 0, 0, 1]


def test_a_group_needs_two_annotators_and_the_most_named_wins(folder):
    groups = fetch_hatexplain(data_home=folder).groups
    # p3: African and Caucasian twice each, so the alphabetically first.
    assert groups.race.tolist() == ["African", None, None, None]
    assert groups.religion.tolist() == [None, None, None, "Jewish"]
    assert groups.gender.tolist() == [None, None, "Men", None]


def test_ties_and_contested_groups_are_counted(folder):
    bunch = fetch_hatexplain(data_home=folder)
    assert bunch.counts["outside"] == 1
    assert bunch.counts["ties"] == 1
    assert bunch.counts["contested", "race"] == 1
    assert bunch.counts["contested", "religion"] == 1
    assert bunch.counts["contested", "gender"] == 0
    assert bunch.counts["named", "Caucasian"] == 1
    assert "Dropped: 1 posts outside the official split" in bunch.DESCR
    assert "Caucasian: qualified 1, kept 0" in bunch.DESCR


def test_subset_and_sensitive_keep_only_those_posts(folder):
    bunch = fetch_hatexplain(data_home=folder, subset="test", sensitive="religion")
    assert bunch.post_id.tolist() == ["p2"]
    assert bunch.sensitive_features.tolist() == ["Jewish"]


def test_as_frame_returns_the_same_rows_as_arrays(folder):
    arrays = fetch_hatexplain(data_home=folder)
    frames = fetch_hatexplain(data_home=folder, as_frame=True)
    assert list(frames.data.columns) == ["text", "race", "religion", "gender"]
    assert frames.feature_names == list(frames.data.columns)
    assert isinstance(frames.target, pd.Series)
    np.testing.assert_array_equal(frames.target, arrays.target)
    np.testing.assert_array_equal(frames.data["text"], arrays.data)
    assert frames.groups.gender.tolist() == arrays.groups.gender.tolist()
    assert arrays.frame is None


def test_return_X_y_returns_data_and_target(folder):
    X, y = fetch_hatexplain(data_home=folder, return_X_y=True)
    assert X.tolist()[1] == "one post"
    assert y.tolist() == [1, 0, 0, 1]


def test_environment_names_the_folder(folder, monkeypatch):
    monkeypatch.setenv("SKLEARN_FAIRSISA_DATA", str(folder))
    assert len(fetch_hatexplain().data) == 4


def test_given_folder_is_named_when_it_does_not_exist(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"data_home=.*nowhere.*not a folder"):
        fetch_hatexplain(data_home=tmp_path / "nowhere")
    monkeypatch.setenv("SKLEARN_FAIRSISA_DATA", str(tmp_path / "gone"))
    with pytest.raises(FileNotFoundError, match=r"SKLEARN_FAIRSISA_DATA=.*gone"):
        fetch_hatexplain()


def test_missing_file_is_named(folder):
    (folder / "post_id_divisions.json").unlink()
    with pytest.raises(FileNotFoundError, match="lacks post_id_divisions"):
        fetch_hatexplain(data_home=folder)


def test_truncated_file_is_named_without_its_text(folder):
    text = (folder / "dataset.json").read_text()
    (folder / "dataset.json").write_text(text[: len(text) // 2])
    with pytest.raises(ValueError, match=r"dataset.json is not valid JSON") as caught:
        fetch_hatexplain(data_home=folder)
    assert "truncated" in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("posts", "splits", "message"),
    [
        ([], SPLITS, "contains a list"),
        (POSTS, {"train": []}, "lacks the split 'val'"),
        ({"p1": POSTS["p1"]}, SPLITS, "no complete entry for the post 'p3'"),
        ({**POSTS, "p3": {}}, SPLITS, "no complete entry for the post 'p3'"),
        ({**POSTS, "p3": make_post([], [])}, SPLITS, "no complete entry"),
        ({**POSTS, "p3": make_post(["?"] * 3, [[]] * 3)}, SPLITS, "no complete entry"),
    ],
)
def test_another_layout_is_refused(folder, posts, splits, message):
    (folder / "dataset.json").write_text(json.dumps(posts))
    (folder / "post_id_divisions.json").write_text(json.dumps(splits))
    with pytest.raises(ValueError, match=message):
        fetch_hatexplain(data_home=folder)


@pytest.mark.parametrize(
    "option", [{"subset": "dev"}, {"sensitive": "age"}, {"target": "multi"}]
)
def test_unknown_options_are_refused_with_the_known_ones(folder, option):
    with pytest.raises(ValueError, match=r"is unknown. Choose one of"):
        fetch_hatexplain(data_home=folder, **option)


def test_no_download_says_which_folder_to_give(no_cache):
    with pytest.raises(OSError, match=r"download_if_missing=False.*data_home="):
        fetch_hatexplain(download_if_missing=False)
    assert no_cache == []


def test_no_network_says_which_folder_to_give(no_cache):
    with pytest.raises(OSError, match="SKLEARN_FAIRSISA_DATA") as caught:
        fetch_hatexplain()
    assert "no network" in str(caught.value)


def test_downloads_are_pinned_by_commit_and_digest(no_cache):
    with pytest.raises(OSError):
        fetch_hatexplain()
    ((url, digest),) = no_cache
    assert "01d742279dac941981f53806154481c0e15ee686/Data/dataset.json" in url
    assert digest == (
        "sha256:63bb3340fee0ec469b09690d04cb68f7c187787dd8b83807f071892c084967fb"
    )


def test_files_in_the_cache_are_not_downloaded_again(folder, no_cache):
    cache = folder / "cache" / "sklearn-fairsisa" / "hatexplain"
    cache = cache / _hatexplain._COMMIT[:12]
    cache.mkdir(parents=True)
    for name in ("dataset.json", "post_id_divisions.json"):
        (folder / name).rename(cache / name)
    assert len(fetch_hatexplain().data) == 4
    assert no_cache == []


def test_missing_pooch_is_explained(monkeypatch):
    real_import = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == "pooch":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.delenv("SKLEARN_FAIRSISA_DATA", raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match="pip install pooch"):
        fetch_hatexplain()


@needs_corpus
def test_corpus_has_the_published_splits_and_groups():
    bunch = fetch_hatexplain(as_frame=True)
    sizes, counts = dict(bunch.split.value_counts()), bunch.counts
    # A failing assert must not show the Bunch, hence posts.
    del bunch
    assert sizes == {"train": 15383, "test": 1924, "val": 1922}
    assert counts["outside"] == 919
    assert counts.get("ties", 0) == 0
    expected = {
        "African": 2996, "Arab": 591, "Caucasian": 448, "Asian": 338, "Hispanic": 274,
        "Islam": 1854, "Jewish": 1607, "Christian": 36, "Hindu": 13, "Buddhism": 1,
        "Women": 1249, "Men": 106,
    }  # fmt: skip
    assert {g: counts["named", g] for g in expected} == expected


@needs_corpus
def test_corpus_has_the_known_toxic_shares():
    frame = fetch_hatexplain(as_frame=True).frame
    expected = {
        "race": {"African": 0.93, "Arab": 0.92, "Hispanic": 0.96, "Asian": 0.77},
        "religion": {"Jewish": 0.93, "Islam": 0.84},
        "gender": {"Women": 0.80, "Men": 0.33},
    }
    for attribute, shares in expected.items():
        observed = frame.groupby(attribute)["target"].mean().round(2)
        assert {g: observed[g] for g in shares} == shares


@needs_corpus
def test_corpus_posts_of_an_attribute_equal_a_plain_count():
    folder = Path(os.environ["SKLEARN_FAIRSISA_DATA"])
    posts = json.loads((folder / "dataset.json").read_text())
    splits = json.loads((folder / "post_id_divisions.json").read_text())
    races = {"African", "Arab", "Asian", "Caucasian", "Hispanic"}
    expected = 0
    for post_id in splits["train"] + splits["val"] + splits["test"]:
        named = [g for a in posts[post_id]["annotators"] for g in set(a["target"])]
        expected += any(named.count(race) >= 2 for race in races)
    # A plain integer: a failing assert must not show a Bunch, hence posts.
    n_posts = len(fetch_hatexplain(sensitive="race").target)
    assert n_posts == expected
