"""Pieces of long studies, kept so that a run can continue."""

import importlib
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
KEY = {"task": "some task", "n_shards": 5, "sizes": [100, 200], "deletion": None}


@pytest.fixture
def pieces(tmp_path, monkeypatch):
    """Return the pieces of a study of its own."""
    if not BENCHMARKS.is_dir():
        pytest.skip("the benchmarks are part of the repository, not of the package")
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("_pieces").Pieces.beside(tmp_path / "study.json")


@pytest.mark.parametrize("dtype", [np.float64, np.float32, bool])
def test_a_kept_piece_returns_every_bit(pieces, dtype):
    scores = np.random.default_rng(0).random((7, 3)).astype(dtype)
    assert pieces.read(KEY) is None
    pieces.keep(KEY, [{"scores": scores, "gap": np.float64(0.1), "pair": (1, scores)}])
    (found,) = type(pieces)(pieces.folder).read(KEY)
    assert found["scores"].dtype == dtype
    assert found["scores"].tobytes() == scores.tobytes()
    assert found["gap"] == 0.1
    number, second = found["pair"]
    assert number == 1
    np.testing.assert_array_equal(second, scores)


def test_each_key_has_a_file_named_after_it(pieces):
    pieces.keep(KEY, 1)
    pieces.keep({**KEY, "deletion": "race=Women"}, 2)
    assert sorted(path.name for path in pieces.folder.iterdir()) == [
        "task=some-task,n_shards=5,sizes=100-200,deletion=race-Women.json",
        "task=some-task,n_shards=5,sizes=100-200.json",
    ]
    assert KEY in pieces
    assert {**KEY, "n_shards": 6} not in pieces
    assert pieces.read(KEY) == 1
    assert pieces.counts == {"kept": 1, "measured": 2}


def test_a_piece_under_the_name_of_another_is_refused(pieces):
    pieces.keep(KEY, 1)
    with pytest.raises(ValueError, match="Delete the file, or rename it"):
        pieces.read({**KEY, "task": "some-task"})


def test_a_run_killed_while_it_writes_leaves_no_finished_piece(pieces, monkeypatch):
    def killed(path, text):
        with path.open("w") as file:
            file.write(text[: len(text) // 2])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", killed)
        with pytest.raises(KeyboardInterrupt):
            pieces.keep(KEY, list(range(100)))
    assert pieces.read(KEY) is None
    pieces.keep(KEY, 1)
    assert pieces.read(KEY) == 1


def test_what_json_cannot_hold_is_refused(pieces):
    with pytest.raises(TypeError, match="has no set"):
        pieces.keep(KEY, {"names": {1, 2}})
    assert pieces.read(KEY) is None
