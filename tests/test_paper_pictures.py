"""Claims about the pictures of the study."""

import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

plt = pytest.importorskip("matplotlib.pyplot")
pytest.importorskip("rich")
plt.switch_backend("Agg")

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
METHODS = [
    "no post-processing",
    "ensemble",
    "smooth_ensemble",
    "smooth_ensemble, every row",
    "fairlearn ThresholdOptimizer",
    "error-parity",
]


@pytest.fixture(scope="module")
def pictures():
    if not BENCHMARKS.is_dir():
        pytest.skip("the benchmarks are part of the repository, not of the package")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("_paper.pictures")


def tables(methods=METHODS, shards=(1, 5, 20), deletions=(None, "uniform", "sex=f")):
    """What the study found, with numbers drawn at random."""
    rng = np.random.default_rng(0)
    rows = []
    for n_shards in shards:
        for deletion in deletions:
            for share in (0.0,) if deletion is None else (0.05, 0.2):
                for method in methods:
                    gap, score = rng.uniform(0, 0.3), rng.uniform(0.6, 0.8)
                    rows.append(
                        {
                            "task": "compas", "learner": "linear", "attribute": "sex",
                            "n_shards": n_shards, "deletion": deletion, "share": share,
                            "method": method, "floor": 0.04,
                            "calibration_gap": gap / 2, "constant": False,
                            "equalized_odds_difference": gap,
                            "equalized_odds_difference_low": gap / 2,
                            "equalized_odds_difference_high": gap * 2,
                            "balanced_accuracy_score": score,
                            "balanced_accuracy_score_low": score - 0.02,
                            "balanced_accuracy_score_high": score + 0.02,
                        }
                    )  # fmt: skip
    groups = pd.DataFrame(
        {
            "task": ["compas", "compas", "compas", "adult"],
            "attribute": ["sex", "sex", "sex", "sex"],
            "group": ["f", "m", "x", "f"],
            "rows": [1000, 234, 5, 999],
            "compared": [True, True, False, True],
        }
    )
    learners = pd.DataFrame({"learner": ["linear"], "note": ["linear in the columns"]})
    return {"methods": pd.DataFrame(rows), "groups": groups, "learners": learners}


def texts(figure):
    """Everything that is written in a figure."""
    found = figure.findobj(match=lambda artist: hasattr(artist, "get_text"))
    return " ".join(text.get_text() for text in found).replace("\n", " ")


def drawn(pictures, monkeypatch, folder, found):
    """Return the figures by the names of their files."""
    figures = {}
    monkeypatch.setattr(
        plt.Figure, "savefig", lambda self, path, **_: figures.update({path.name: self})
    )
    pictures.draw_pictures(found, folder)
    return figures


def test_each_picture_says_task_learner_and_people_and_fits_a_phone(
    pictures, monkeypatch, tmp_path
):
    figures = drawn(pictures, monkeypatch, tmp_path, tables())
    assert set(figures) == {
        f"{kind}_compas_linear_sex.png"
        for kind in ("tradeoff", "shards", "promised", "deletions")
    }
    for figure in figures.values():
        assert figure.get_figwidth() < 5
        assert "COMPAS by sex, linear: linear in the columns;" in texts(figure)
        # Of groups that are compared, in this task.
        assert "n = 1,234 people" in texts(figure)


def test_the_first_picture_has_four_lines_that_are_named_beside_themselves(
    pictures, monkeypatch, tmp_path
):
    figures = drawn(pictures, monkeypatch, tmp_path, tables())
    (ax,) = figures["shards_compas_linear_sex.png"].axes
    assert len(ax.lines) == 4
    assert ax.get_legend() is None
    names = {" ".join(t.get_text().split()): t.get_color() for t in ax.texts}
    assert set(names) == {
        "no post-processing",
        "ensemble",
        "smooth_ensemble, every row",
        "fairlearn ThresholdOptimizer",
    }
    assert set(names.values()) == {line.get_color() for line in ax.lines}


@pytest.mark.parametrize("last", [[0.3, 0.1, 0.03, 0.02], [0, 0, 0, 0], [3, 3, 3, 3]])
def test_each_name_stands_at_the_end_of_its_line_and_covers_no_other(pictures, last):
    figure, (ax,) = pictures._panels(1, 4)
    ends = [(5, gap) for gap in last]
    for end in ends:
        ax.plot([0, 5], [0.2, end[1]])
    ax.set_ylim(0, 3)
    pictures._name_ends(ax, ends, pictures._headlines(METHODS))
    figure.draw_without_rendering()
    # From bottom to top, as the lines end.
    assert [text.xy for text in ax.texts] == sorted(ends)
    # Without the lines that lead to them.
    boxes = [plt.Text.get_window_extent(text) for text in ax.texts]
    frame = ax.get_window_extent()
    for i, box in enumerate(boxes):
        assert box.x0 > frame.x1
        assert frame.y0 - 1 <= box.y0 < box.y1 <= frame.y1 + 1
        assert not any(box.overlaps(other) for other in boxes[:i])
    bottoms = [box.y0 for box in boxes]
    assert bottoms == sorted(bottoms)


def test_the_default_on_calibration_rows_stands_in_where_no_other_was_run(
    pictures, monkeypatch, tmp_path
):
    few = ["no post-processing", "smooth_ensemble"]
    found = tables(few, shards=(5,), deletions=(None,))
    figures = drawn(pictures, monkeypatch, tmp_path, found)
    (ax,) = figures["shards_compas_linear_sex.png"].axes
    assert {" ".join(t.get_text().split()) for t in ax.texts} == set(few)
    assert "deletions_compas_linear_sex.png" not in figures


def test_points_are_the_gaps_of_the_tables(pictures, monkeypatch, tmp_path):
    found = tables()
    figures = drawn(pictures, monkeypatch, tmp_path, found)
    (ax,) = figures["shards_compas_linear_sex.png"].axes
    methods = found["methods"]
    whole = methods[methods["deletion"].isna()]
    for line, name in zip(ax.lines, pictures._headlines(METHODS)):
        expected = whole[whole["method"] == name].sort_values("n_shards")
        gaps = expected["equalized_odds_difference"]
        np.testing.assert_array_equal(line.get_ydata(), gaps)


def test_promises_list_the_methods_that_were_run_with_this_many_shards(
    pictures, monkeypatch, tmp_path
):
    found = tables(deletions=(None,))
    methods = found["methods"]
    left_out = (methods["n_shards"] == 1) & methods["method"].str.contains("every row")
    found["methods"] = methods[~left_out]
    figures = drawn(pictures, monkeypatch, tmp_path, found)
    one, twenty = figures["promised_compas_linear_sex.png"].axes
    assert [len(ax.get_yticks()) for ax in (one, twenty)] == [5, 6]


def test_tables_of_a_folder_are_drawn_again(pictures, tmp_path):
    for name, table in tables(shards=(1,), deletions=(None,)).items():
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    pictures.draw_pictures(pictures._read(tmp_path), tmp_path)
    assert len(list(tmp_path.glob("*.png"))) == 3
