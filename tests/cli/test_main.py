import io
import json
import re
import runpy
import subprocess
import sys
from dataclasses import replace
from inspect import signature
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sklearn_fairsisa
from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.cli import _compare, _folds, _run
from sklearn_fairsisa.cli._parser import main, make_parser
from sklearn_fairsisa.cli._report import (
    comparison_table,
    left_out_sentence,
    objective_sentence,
    output_folder,
    picture_title,
)
from sklearn_fairsisa.cli._run import Settings, run
from sklearn_fairsisa.cli._task import keep_large_groups, load_task, split_folds
from sklearn_fairsisa.cli._verdict import paired_changes, verdict
from sklearn_fairsisa.exceptions import EmptyShardWarning

pytest.importorskip("torch")

QUICK = ["--n-samples=500", "--epochs=1", "--n-folds=2", "--n-resamples=50"]
QUICK += ["--forget", "1", "5"]


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


def test_a_picture_names_data_people_and_learner():
    task = {"name": "people.csv, sex", "people": 1234, "folds": 3}
    head = make_pipeline(StandardScaler(), SGDClassifier())
    for learner in (SGDClassifier(), head):
        assert picture_title(task, SISAClassifier(learner, n_shards=7)) == (
            "people.csv, sex, 7 shards of SGDClassifier; n = 1,234 people, each held "
            "out once in 3 folds"
        )


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
    people = found["task"]["people_by_group"].values()
    assert sum(sum(counts.values()) for counts in people) == 500
    assert found["task"]["people"] == 500
    assert found["objective"] == "accuracy_score"
    forgetting, shards, repair = found["verdict"]
    assert "Forgetting one row took" in forgetting
    assert "One model has a gap of" in shards
    assert repair.startswith("smooth_ensemble, the default rule, ")
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
        (["--n-shards", "1"], "--n-shards must be 2 or more"),
        (["--n-folds", "1"], "--n-folds must be between 2 and"),
        (["--n-folds", "41"], "--n-folds must be between 2 and --min-group-rows"),
        (["--data", "tweets"], "must be posts, hatexplain, or the path of a .csv"),
        (["--data", "no.csv"], "There is no file no.csv"),
        (["--target", "y"], "--target names a part of a file, but --data is 'posts'"),
        (["--model", "boosting"], "reads tables, but the data are texts"),
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
        (["--n-folds", "0"], "--n-folds: must be 1 or more, got 0"),
        (["--epochs", "many"], "--epochs: must be a whole number, got 'many'"),
        (["--cache=d", "--no-cache"], "--no-cache: not allowed with argument --cache"),
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
        (["people.csv"], "people.csv is a file, not a command. Give it by --data."),
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


def test_alone_the_program_shows_its_help_and_starts_nothing(
    capsys, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fairsisa"])
    for given in ([], None):
        assert main(given) == 0
        printed = capsys.readouterr()
        assert printed.out.startswith("usage: fairsisa [options]")
        assert printed.err == ""
    assert list(tmp_path.iterdir()) == []


def test_alone_the_module_runs_the_comparison(monkeypatch):
    asked = []
    monkeypatch.setattr(_compare, "_run_comparison", asked.append)
    monkeypatch.setattr(sys, "argv", ["sklearn_fairsisa"])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_module("sklearn_fairsisa", run_name="__main__")
    assert [options.data for options in asked] == ["posts"]


@pytest.mark.parametrize("command", [[], *[[c] for c in make_parser().commands()]])
def test_help_fits_a_terminal_of_80_columns_and_explains_its_words(
    command, capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    told = capsys.readouterr().out
    assert max(map(len, told.splitlines())) < 80
    assert "default: False" not in told
    if command:
        told = " ".join(told.split())
        assert "A shard is behind while its member has yet to learn" in told
        assert "Exit status: 0 done; 1 the request was refused" in told
        # An option of many values would take what stands after it.
        usage = told.removeprefix("usage: fairsisa ").split()
        assert usage[1] in ("DIR", "FILE")


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


def test_every_person_is_held_out_once_and_rows_without_a_group_only_train():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=400)
    groups = rng.choice(np.array(["a", "b", None], dtype=object), size=400)
    folds = split_folds(y, groups, 5, seed=0)
    compared = np.flatnonzero([group is not None for group in groups])
    held_out = np.concatenate([test for _, test in folds])
    assert sorted(held_out) == compared.tolist()
    for train, test in folds:
        assert sorted([*train, *test]) == list(range(400))
        for group in ("a", "b"):
            for label in (0, 1):
                alike = (groups == group) & (y == label)
                assert abs(alike[test].sum() - alike.sum() / 5) < 1


def test_small_groups_are_left_out_and_counted():
    y = np.tile([0, 1], 100)
    groups = np.array(["a"] * 90 + ["b"] * 90 + ["c"] * 20, dtype=object)
    kept, left_out = keep_large_groups(groups, y, min_rows=20)
    assert left_out == {"c": {"negative": 10, "positive": 10}}
    assert set(kept[180:]) == {None}
    assert list(groups[180:]) == ["c"] * 20


def test_the_corpus_splits_into_its_large_groups(hatexplain_home):
    task = load_task("hatexplain", data_home=hatexplain_home, n_samples=None)
    assert set(task.groups[task.compared]) == {"Islam", "Jewish"}
    rows = {group: sum(counts.values()) for group, counts in task.left_out.items()}
    assert rows == {"Buddhism": 1, "Christian": 36, "Hindu": 13}
    assert len(task.y) == 19_229


@pytest.fixture
def people(tmp_path):
    """A table of people with numbers, categories, missing values, and its file."""
    rng = np.random.default_rng(0)
    n = 600
    frame = pd.DataFrame(
        {
            "age": rng.normal(40, 10, n).round(),
            "job": rng.choice(["clerk", "nurse", None], n),
            "member": rng.random(n) < 0.5,
            "sex": rng.choice(["f", "m"], n),
        }
    )
    frame.loc[::50, "age"] = np.nan
    frame.loc[::75, "sex"] = None
    score = (frame["age"].fillna(40) - 40) / 10 + rng.normal(size=n)
    frame["hired"] = np.where(score > 0, "yes", "no")
    frame.to_csv(tmp_path / "people.csv", index=False)
    return frame, tmp_path / "people.csv"


OF_PEOPLE = ["--target=hired", "--attribute=sex", "--pos-label=yes", "--n-folds=2"]


@pytest.mark.parametrize("model", ["logistic", "boosting"])
def test_a_table_of_ones_own_is_compared(people, model, tmp_path, capsys):
    _, path = people
    options = [f"--data={path}", *OF_PEOPLE, f"--model={model}", "--n-resamples=20"]
    output = tmp_path / "out"
    assert main([*options, "--forget=2", "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert "592 people of people.csv, sex" in " ".join(printed.split())
    assert "[1/12] Loading the data" in printed
    assert "Training 5 shards of 1 slice, fold" in " ".join(printed.split())
    assert "after all 2 deletions" in " ".join(printed.split())
    found = json.loads((output / "results.json").read_text())
    assert found["task"]["pos_label"] == "yes"
    assert found["forgetting"]["verified_bit_for_bit"] is True
    by_name = {method["name"]: method for method in found["methods"]}
    assert by_name["one model"]["metrics"]["accuracy_score"]["estimate"] > 0.65


@pytest.fixture
def fold(people):
    """A trained fold of the table: its task, its people, and what was fitted."""
    _, path = people
    about = {"target": "hired", "attribute": "sex", "pos_label": "yes"}
    clock = _run._Clock(lambda *_: None, 1)
    task = load_task(str(path), **about)
    rows, held_out = split_folds(task.y, task.groups, 2, seed=0)[0]
    learner, _, params = _run._learner_of(task, Settings(str(path), **about))
    comparison = _folds.Comparison(task, task.X, learner, params, "accuracy_score")
    single, sisa = _folds.train(comparison, rows, clock)
    with pytest.warns(EmptyShardWarning, match="members abstain"):
        sisa.forget(np.flatnonzero(sisa.plan_.shards == 2))
    rules, baseline = _folds.fit_rules(sisa, comparison, rows, clock)
    decided = _folds.decide(single, sisa, rules, baseline, comparison, held_out, clock)
    return task, (rows, held_out), sisa, rules, decided


def test_each_rule_decides_as_it_would_alone(fold):
    task, (_, held_out), sisa, rules, decided = fold
    X, groups = task.X.iloc[held_out], task.groups[held_out].astype(str)
    np.testing.assert_array_equal(decided["SISA"], sisa.predict(X))
    for name, rule in rules.items():
        alone = rule.selection_probability(X, sensitive_features=groups)
        np.testing.assert_array_equal(decided[name], alone)


def test_scores_that_calibrate_are_those_of_members_that_did_not_learn_the_row(fold):
    task, (rows, _), sisa, rules, _ = fold
    index, scores = _folds.calibration_scores(rules["ensemble"])
    shards = sisa.plan_.shards
    kept = (shards != 2) & np.array([group is not None for group in task.groups[rows]])
    assert index.tolist() == np.flatnonzero(kept).tolist()
    expected = sisa.transform(task.X.iloc[rows[index]])
    expected[shards[index][:, None] == np.arange(5)] = np.nan
    np.testing.assert_allclose(scores, np.delete(expected, 2, axis=1), rtol=1e-12)


def test_vectors_stand_in_the_order_of_their_texts_whatever_is_encoded_first():
    rng = np.random.default_rng(0)
    texts = ["x" * n for n in rng.integers(0, 90, 500)]
    parts, steps = [], []

    class Encoder:
        def fit_transform(self, X):
            parts.append([len(text) for text in X[:, 0]])
            return np.array(parts[-1])[:, None]

    clock = _run._Clock(lambda step, done, total: steps.append(step), 20)
    vectors = _run._encoded(Encoder(), np.array(texts, dtype=object)[:, None], clock)
    assert vectors[:, 0].tolist() == [len(text) for text in texts]
    assert steps[0] == "Encoding 500 texts, 0% done"
    assert len(steps) == 20
    # Parts are about as long as each other, and hold texts of like length.
    characters = list(map(sum, parts))
    assert max(characters) < 1.3 * min(characters)
    assert all(max(a) <= min(b) for a, b in pairwise(parts))


def test_few_texts_fill_few_parts():
    class Encoder:
        def fit_transform(self, X):
            return np.ones((len(X), 1))

    clock = _run._Clock(lambda *_: None, 20)
    texts = np.array(["", "a", ""], dtype=object)[:, None]
    assert len(_run._encoded(Encoder(), texts, clock)) == 3


def test_parquet_holds_the_same_as_csv_and_the_attribute_is_no_feature(people):
    frame, path = people
    frame.to_parquet(path.with_suffix(".parquet"))
    about = {"target": "hired", "attribute": "sex", "pos_label": "yes"}
    of_csv, of_parquet = (
        load_task(str(file), **about) for file in (path, path.with_suffix(".parquet"))
    )
    assert list(of_csv.X.columns) == ["age", "job", "member"]
    pd.testing.assert_frame_equal(of_csv.X, of_parquet.X)
    np.testing.assert_array_equal(of_csv.y, frame["hired"] == "yes")
    assert of_csv.y.tolist() == of_parquet.y.tolist()
    assert of_csv.groups.tolist() == of_parquet.groups.tolist()
    assert of_csv.groups[0] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": None}, "--target is missing. Name a column of"),
        ({"target": "hirde"}, "no column 'hirde' (--target). Did you mean 'hired'?"),
        ({"target": "xyz"}, "no column 'xyz' (--target). Its columns are age"),
        (
            {"text": "sex"},
            "of its own, got --target 'hired', --attribute 'sex', --text",
        ),
        ({"target": "age"}, "12 of 600 rows have no 'age'"),
        (
            {"target": "member", "attribute": "age", "pos_label": None},
            "'age' has",
        ),
        ({"pos_label": None}, "Say which one is positive: --pos-label"),
        ({"pos_label": "maybe"}, "--pos-label 'maybe' is none of the labels"),
        ({"text": "job"}, "rows have no 'job'"),
    ],
)
def test_columns_that_do_not_fit_are_explained(people, options, message):
    _, path = people
    about = {"target": "hired", "attribute": "sex", "pos_label": "yes"}
    with pytest.raises(ValueError, match=re.escape(message)):
        load_task(str(path), **about | options)


def test_a_column_with_another_value_in_each_row_is_no_feature(people):
    frame, path = people
    about = {"target": "hired", "attribute": "sex", "pos_label": "yes"}
    frame = frame.assign(id=[f"p{row}" for row in range(len(frame))])
    frame.to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"'id' of .* has a different value in each"):
        load_task(str(path), **about)
    assert len(load_task(str(path), **about, text="id").X) == len(frame)
    frame.assign(id="p0").to_csv(path, index=False)
    assert "id" in load_task(str(path), **about).X


def test_the_same_people_get_the_good_outcome_whatever_the_labels_are_called(people):
    frame, path = people
    about = {"target": "hired", "attribute": "sex"}
    plain = load_task(str(path), **about, pos_label="yes")
    frame["hired"] = frame["hired"].map({"yes": "accepted", "no": "turned down"})
    frame.to_csv(path, index=False)
    renamed = load_task(str(path), **about, pos_label="accepted")
    np.testing.assert_array_equal(plain.y, renamed.y)


def test_a_terminal_that_lacks_characters_shows_question_marks(
    people, tmp_path, monkeypatch
):
    frame, path = people
    frame["sex"] = frame["sex"].replace("f", "\u00fc")
    frame.to_csv(path, index=False)
    shown = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", shown)
    output = tmp_path / "Z\u00fcrich"
    options = [f"--data={path}", *OF_PEOPLE, "--n-resamples=5", "--forget=1"]
    assert main([*options, "--output", str(output)]) == 0
    shown.flush()
    assert b"pictures to " in shown.buffer.getvalue()
    assert b"Z?rich" in shown.buffer.getvalue()
    found = json.loads((output / "results.json").read_bytes().decode("utf-8"))
    assert set(found["task"]["people_by_group"]) == {"\u00fc", "m"}


def test_options_of_texts_are_refused_for_tables(people, tmp_path, capsys):
    _, path = people
    for option in ("--frozen", "--epochs=3", "--n-slices=2", "--model=minilm"):
        options = [f"--data={path}", *OF_PEOPLE, option]
        assert main([*options, "--output", str(tmp_path / "out")]) == 1
        assert option.split("=")[0] in capsys.readouterr().err


def test_skewed_labels_ask_for_balanced_accuracy_and_the_output_says_so(people):
    frame, path = people
    # A third of those turned down is left.
    few = np.arange(len(frame)) % 3 == 0
    frame = frame[(frame["hired"] == "yes") | few]
    frame.to_csv(path, index=False)
    settings = Settings(
        str(path), target="hired", attribute="sex", pos_label="yes",
        min_group_rows=10, n_folds=2, n_resamples=5, forget=(1,),
    )  # fmt: skip
    found = run(settings, lambda step, done, total: None).results
    assert found["objective"] == "balanced_accuracy_score"
    assert objective_sentence(found).startswith(
        f"The rules maximise balanced accuracy: {found['task']['positive_share']:.0%}"
    )
    asked = replace(settings, objective="accuracy_score")
    found = run(asked, lambda step, done, total: None).results
    assert found["objective"] == "accuracy_score"


def test_paired_changes_are_those_of_resampled_people():
    rng = np.random.default_rng(0)
    n = 400
    y, groups = rng.integers(0, 2, n), rng.choice(["a", "b"], n)
    before = ((y + rng.normal(size=n) * (1 + (groups == "a"))) > 0.5).astype(float)
    after = np.clip(0.8 * before + 0.1, 0, 1)

    def quantities(rows):
        gap, accuracy = [], []
        for decided in (before[rows], after[rows]):
            label, group = y[rows], groups[rows]
            rates = [
                [decided[(label == k) & (group == name)].mean() for name in "ab"]
                for k in (0, 1)
            ]
            gap.append(max(abs(a - b) for a, b in rates))
            accuracy.append(
                (decided[label == 1].mean() + 1 - decided[label == 0].mean()) / 2
            )
        return gap[1] - gap[0], accuracy[1] - accuracy[0]

    drawn = []
    members = [np.flatnonzero(groups == name) for name in "ab"]
    for _ in range(600):
        rows = np.concatenate([rng.choice(rows, len(rows)) for rows in members])
        drawn.append(quantities(rows))
    found = paired_changes(y, before, after, groups, 2000, seed=0)
    expected = quantities(np.arange(n))
    names = "equalized_odds_difference", "balanced_accuracy_score"
    for name, value, samples in zip(names, expected, np.transpose(drawn)):
        assert found[name]["change"] == pytest.approx(value, abs=1e-12)
        high, low = 2 * value - np.quantile(samples, [0.025, 0.975])
        spread = np.std(samples)
        assert found[name]["low"] == pytest.approx(low, abs=0.4 * spread)
        assert found[name]["high"] == pytest.approx(high, abs=0.4 * spread)


def _found(shards, repair, constant=(), estimates=None, floor=0.05):
    """Results with given intervals of the change of the gap."""

    def change(low, high):
        found = (low + high) / 2 if estimates is None else estimates
        interval = {"change": found, "low": low, "high": high}
        return {"equalized_odds_difference": interval} | {
            "balanced_accuracy_score": interval
        }

    def method(name):
        metrics = {
            "equalized_odds_difference": {"estimate": 0.25},
            "noise_floor_of_equalized_odds_difference": floor,
        }
        return {"name": name, "metrics": metrics, "nearly_constant": name in constant}

    return {
        "forgetting": {
            "requests": [{"rows": 1, "share": 0.15}],
            "forgotten_rows": 13,
        },
        "methods": [method(n) for n in ("one model", "SISA", "smooth_ensemble")],
        "changes": {"shards": change(*shards), "repair": change(*repair)},
    }


_DIRECTIONS = "less equal", "more equal", "reduces", "increases"


@pytest.mark.parametrize(
    ("shards", "repair", "constant", "sentences"),
    [
        ((0.01, 0.2), (-0.3, -0.1), False, ("less equal", "reduces the gap from")),
        ((-0.2, -0.1), (0.1, 0.3), False, ("more equal", "increases the gap from")),
        ((-0.1, 0.1), (-0.1, 0.1), True, ("may be chance", "does not detectably")),
    ],
)
def test_the_verdict_claims_what_intervals_show(shards, repair, constant, sentences):
    said = verdict(_found(shards, repair, ("smooth_ensemble",) * constant))
    assert len(said) == 3
    assert "after all 13 deletions" in said[0]
    assert "one row took 15% of a full training" in said[0]
    for sentence, part in zip(said[1:], sentences):
        assert part in sentence
    assert ("nearly the same for everyone" in said[2]) is constant


@pytest.mark.parametrize("interval", [(-0.337, -0.08), (0.1, 0.4)])
def test_an_interval_without_its_estimate_shows_no_direction(interval):
    said = verdict(_found(interval, interval, estimates=0.032))
    for sentence in said[1:]:
        assert "too few people" in sentence
        assert "+0.032" in sentence
        assert "[" not in sentence
        assert not any(word in sentence for word in _DIRECTIONS)


@pytest.mark.parametrize(
    ("constant", "affected"), [("one model", [1]), ("SISA", [1, 2])]
)
def test_gaps_of_a_constant_model_are_not_compared(constant, affected):
    said = verdict(_found((-0.4, -0.1), (0.1, 0.3), (constant,)))
    for position in (1, 2):
        silent = "gaps cannot be compared" in said[position]
        assert silent is (position in affected)
        assert any(word in said[position] for word in _DIRECTIONS) is not silent


def test_gaps_that_chance_explains_show_no_direction():
    said = verdict(_found((-0.2, -0.1), (0.1, 0.3), floor=0.3))
    for sentence in said[1:]:
        assert "cannot be told from chance" in sentence
        assert not any(word in sentence for word in _DIRECTIONS)


def test_the_output_counts_the_rows_that_are_not_compared():
    task = {"rows": 100, "people": 100, "groups_left_out": {}}
    assert left_out_sentence({"task": task}) is None
    small = {"c": {"negative": 12, "positive": 3}}
    task |= {"people": 80, "groups_left_out": small}
    assert left_out_sentence({"task": task}) == (
        "20 rows train but are not compared: c has only 12 negative and 3 positive; "
        "5 rows without a group."
    )


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (lambda n: [[1, 2]] * n, "lists or other containers"),
        (lambda n: [{"a": 1}] * n, "lists or other containers"),
        (lambda n: pd.to_timedelta(np.arange(n) % 9, unit="h"), "durations"),
        (lambda n: np.where(np.arange(n) == 3, np.inf, 1.0), "infinite numbers"),
    ],
)
def test_a_column_that_no_learner_reads_is_named(
    people, tmp_path, capsys, values, words
):
    frame, _ = people
    path = tmp_path / "people.parquet"
    frame.assign(odd=values(len(frame))).to_parquet(path)
    options = [f"--data={path}", *OF_PEOPLE, "--output", str(tmp_path / "out")]
    assert main(options) == 1
    error = capsys.readouterr().err
    assert "column 'odd'" in error
    assert words in error


def test_a_column_that_counts_rows_is_no_feature(people):
    frame, path = people
    known = {"target": "hired", "attribute": "sex", "pos_label": "yes"}
    frame.to_csv(path)  # the index becomes a column without a name
    with pytest.raises(ValueError, match=r"'Unnamed: 0' .* like an identifier"):
        load_task(str(path), **known)
    sums = frame.assign(sums=np.arange(len(frame)) * 7)
    sums.to_csv(path, index=False)
    assert "sums" in load_task(str(path), **known).X


def test_a_table_with_certain_decisions_fits_80_characters():
    one = {"estimate": 1.0, "low": 1.0, "high": 1.0}
    names = (
        "accuracy_score",
        "balanced_accuracy_score",
        "selection_rate",
        "equalized_odds_difference",
    )
    method = {
        "name": "postprocess_then_aggregate",
        "metrics": dict.fromkeys(names, one)
        | {"noise_floor_of_equalized_odds_difference": 1.0},
        "nearly_constant": True,
    }
    task = {"people": 600, "name": "posts", "folds": 3}
    shown = io.StringIO()
    Console(file=shown, width=80).print(
        comparison_table({"task": task, "methods": [method]})
    )
    assert shown.getvalue().count("1.00\u20131.00") == 4
