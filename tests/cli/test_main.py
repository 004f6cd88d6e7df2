import json
import re
import subprocess
import sys
from inspect import signature

import numpy as np
import pytest

import sklearn_fairsisa
from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.cli._parser import main, make_parser
from sklearn_fairsisa.cli._report import output_folder
from sklearn_fairsisa.cli._task import keep_large_groups, load_task, split_rows

pytest.importorskip("torch")

QUICK = ["--n-samples=500", "--epochs=1", "--n-resamples=50", "--forget", "1", "5"]


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("job") / "out"
    assert main([*QUICK, "--output", str(folder)]) == 0
    return folder


def test_the_job_leaves_a_result_and_pictures(result):
    names = {path.name for path in result.iterdir()}
    assert names == {"results.json", "tradeoff.png", "roc.png", "forgetting.png"}
    for path in result.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size > 10_000


def test_the_result_tells_everything_needed_to_judge_it(result):
    found = json.loads((result / "results.json").read_text())
    assert [method["name"] for method in found["methods"]] == [
        "one model",
        "SISA",
        "aggregate_then_postprocess",
        "postprocess_then_aggregate",
        "ensemble",
        "smooth_ensemble",
        "ThresholdOptimizer",
    ]
    for method in found["methods"]:
        for name in (
            "accuracy_score",
            "balanced_accuracy_score",
            "selection_rate",
            "equalized_odds_difference",
        ):
            interval = method["metrics"][name]
            assert 0 <= interval["low"] <= interval["estimate"] <= interval["high"] <= 1
    by_name = {method["name"]: method for method in found["methods"]}
    for name in ("aggregate_then_postprocess", "ensemble"):
        assert by_name[name]["equalized_odds_difference_in_calibration"] < 1e-9
    forgetting = found["forgetting"]
    assert forgetting["verified_bit_for_bit"] is True
    assert forgetting["forgotten_rows"] == 6
    assert [request["rows"] for request in forgetting["requests"]] == [1, 5]
    for request in forgetting["requests"]:
        assert 0 < request["share"] <= 1
        assert request["digest_before"] != request["digest_after"]
    assert found["settings"]["random_state"] == 0
    assert {"scikit-learn", "fairlearn", "torch"} <= found["versions"].keys()
    assert not any(
        line.startswith("text") for line in json.dumps(found, indent=0).splitlines()
    )


def test_a_run_can_be_repeated_to_the_bit(result, tmp_path):
    again = tmp_path / "again"
    assert main([*QUICK, "--output", str(again)]) == 0
    first = json.loads((result / "results.json").read_text())
    second = json.loads((again / "results.json").read_text())
    assert first["methods"] == second["methods"]
    for one, other in zip(
        first["forgetting"]["requests"], second["forgetting"]["requests"]
    ):
        assert one["digest_after"] == other["digest_after"]


def test_an_earlier_result_is_replaced(result, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "results.json").write_text("old")
    (folder / "stale.png").write_text("old")
    with output_folder(folder) as written:
        (written / "results.json").write_text("new")
    assert [path.name for path in folder.iterdir()] == ["results.json"]
    assert (folder / "results.json").read_text() == "new"
    assert list(tmp_path.iterdir()) == [folder]


def test_a_failed_run_leaves_nothing_behind_and_earlier_results_alone(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "results.json").write_text("old")

    def run():
        with output_folder(folder) as written:
            (written / "results.json").write_text("half")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        run()
    assert list(tmp_path.iterdir()) == [folder]
    assert (folder / "results.json").read_text() == "old"


def test_a_folder_of_something_else_is_not_touched(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("years of work")
    assert main([*QUICK, "--output", str(tmp_path)]) == 1
    assert "is not the result of an earlier run" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--attribute", "race"], "no attribute 'race'"),
        (["--n-samples", "30"], "Fewer than two groups"),
        (["--n-shards", "400"], "cannot fill 400"),
        (["--forget", "5000"], "--forget asks for 5000"),
        (["--frozen"], "vectors carry no information"),
        (["--data", "hatexplain", "--data-home", "/nowhere"], "/nowhere"),
    ],
)
def test_impossible_settings_end_in_one_clear_line(options, message, tmp_path, capsys):
    assert main([*QUICK, "--output", str(tmp_path / "out"), *options]) == 1
    error = capsys.readouterr().err
    assert error.startswith("fairsisa: error:")
    assert message in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--n-shards", "0"], "--n-shards: must be 1 or more, got 0"),
        (["--forget", "1", "0"], "--forget: must be 1 or more, got 0"),
        (["--random-state", "-1"], "--random-state: must be in 0 to 2**32 - 1, got -1"),
        (["--n-jobs", "0"], "--n-jobs: must not be 0"),
        (["--attribute", "age"], "'race', 'religion', 'gender'"),
        (["--data", "tweets"], "'posts', 'hatexplain'"),
        (["--epochs", "many"], "--epochs: invalid"),
    ],
)
def test_unknown_options_are_explained(options, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(options)
    assert exit_.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("fairsisa: error: argument")
    assert message in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--modle", "x"], "unknown option --modle. Did you mean --model? See --help."),
        (["--shards", "5"], "unknown option --shards. Did you mean --n-shards?"),
        (["--n-shard=5"], "unknown option --n-shard. Did you mean --n-shards?"),
        (["--zzz", "5"], "unknown option --zzz. See --help."),
        (["frget", "d"], "unknown command frget. Did you mean forget? See --help."),
        (["forget", "d", "--indicse", "3"], "--indicse. Did you mean --indices?"),
        (["status", "d", "--jsno"], "unknown option --jsno. Did you mean --json?"),
        (
            ["relearn", "d", "--max-visit", "3"],
            "--max-visit. Did you mean --max-visits?",
        ),
        (["verify", "d", "--model", "m"], "unknown option --model."),
        (["--n-shards"], "argument --n-shards: expected one argument"),
    ],
)
def test_unknown_names_are_said_with_the_closest_known(
    arguments, message, capsys, monkeypatch
):
    monkeypatch.setattr(sys, "argv", ["fairsisa", *arguments])
    for given in (arguments, None):
        with pytest.raises(SystemExit) as exit_:
            main(given)
        assert exit_.value.code == 2
        assert message in capsys.readouterr().err.splitlines()[-1]


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"fairsisa {sklearn_fairsisa.__version__}\n"
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+)?", sklearn_fairsisa.__version__)


def test_options_have_the_names_of_the_parameters():
    options = make_parser()._option_string_actions
    sisa = signature(SISAClassifier).parameters
    names = {"--" + name.replace("_", "-") for name in sisa}
    assert {"--n-shards", "--n-slices", "--random-state", "--n-jobs"} <= (
        names & options.keys()
    )


def test_groups_too_small_are_counted_in_the_unit_of_the_limit():
    y = np.tile([0, 0, 0, 1], 100)
    groups = np.repeat(np.array(["a", "b"], dtype=object), 200)
    with pytest.raises(ValueError, match="a has 150 negative and 50 positive; b has"):
        keep_large_groups(groups, y, min_rows=60)


def test_a_result_is_not_begun_where_it_could_not_be_left(tmp_path, capsys):
    (tmp_path / "file").write_text("a file")
    for output in (tmp_path / "file", tmp_path / "file" / "below"):
        assert main([*QUICK, "--output", str(output)]) == 1
        error = capsys.readouterr().err
        assert error.startswith("fairsisa: error:")
        assert "Choose another --output" in error
    assert (tmp_path / "file").read_text() == "a file"


def test_truncated_data_end_in_one_clear_line(tmp_path, capsys):
    data = tmp_path / "data"
    data.mkdir()
    (data / "dataset.json").write_text('{"p1": {"post_tok')
    (data / "post_id_divisions.json").write_text("{}")
    options = ["--data", "hatexplain", "--data-home", str(data)]
    assert main([*QUICK, *options, "--output", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("fairsisa: error:")
    assert "dataset.json is not valid JSON" in error
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_help_explains_every_option():
    run = subprocess.run(
        [sys.executable, "-m", "sklearn_fairsisa", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    options = make_parser()._option_string_actions
    assert {"--data", "--attribute", "--n-shards", "--n-slices", "--model"} < (
        options.keys()
    )
    for option, action in options.items():
        assert option in run.stdout
        assert action.help


def test_rows_without_a_group_only_train():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=400)
    groups = rng.choice(np.array(["a", "b", None], dtype=object), size=400)
    train, calibration, test = split_rows(y, groups, seed=0)
    assert sorted([*train, *calibration, *test]) == list(range(400))
    ungrouped = np.flatnonzero([group is None for group in groups])
    assert set(ungrouped) <= set(train)
    for group in ("a", "b"):
        for label in (0, 1):
            of = [
                np.sum((groups[rows] == group) & (y[rows] == label))
                for rows in (train, calibration, test)
            ]
            shares = np.array(of) / sum(of)
            np.testing.assert_allclose(shares, [0.6, 0.2, 0.2], atol=0.03)


def test_small_groups_are_left_out_and_counted():
    y = np.tile([0, 1], 100)
    groups = np.array(["a"] * 90 + ["b"] * 90 + ["c"] * 20, dtype=object)
    kept, left_out = keep_large_groups(groups, y, min_rows=20)
    assert left_out == {"c": {"negative": 10, "positive": 10}}
    assert set(kept[180:]) == {None}
    assert list(groups[180:]) == ["c"] * 20


def test_the_corpus_splits_into_its_large_groups(hatexplain_home):
    task = load_task("hatexplain", data_home=hatexplain_home, n_samples=None)
    assert set(task.groups[task.test]) == {"Islam", "Jewish"}
    rows = {group: sum(counts.values()) for group, counts in task.left_out.items()}
    assert rows == {"Buddhism": 1, "Christian": 36, "Hindu": 13}
    assert len(task.y) == 19_229
