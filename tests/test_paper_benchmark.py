"""The runner of the study, on rows of one's own."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def study():
    """Return the function that runs the study."""
    if not BENCHMARKS.is_dir():
        pytest.skip("the benchmarks are part of the repository, not of the package")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("paper").main


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(0)
    group = rng.choice(["a", "b", "tiny"], 600, p=[0.6, 0.39, 0.01])
    hired = rng.random(600) < 0.5
    skill = hired * np.where(group == "a", 2.0, 1.0) + rng.normal(size=600)
    rows = pd.DataFrame({"skill": skill, "hired": hired.astype(int), "group": group})
    rows.to_csv(folder / "rows.csv", index=False)
    return [
        *("--csv", str(folder / "rows.csv"), "--target", "hired"),
        *("--attributes", "group", "--models", "linear", "--quick", "--folds", "2"),
        *("--without-peers", "--jobs", "1", "--output", str(folder / "out")),
    ]


@pytest.fixture(scope="module")
def found(study, arguments):
    return study(arguments)


def test_the_study_compares_every_method_on_rows_of_ones_own(found, arguments):
    folder = Path(arguments[-1])
    result = json.loads((folder / "paper.json").read_text())
    methods = pd.DataFrame(result["methods"])
    assert {"ensemble", "soft_ensemble"} < set(methods["method"])
    groups = pd.DataFrame(result["groups"]).set_index("group")
    assert groups["compared"].to_dict() == {"a": True, "b": True, "tiny": False}
    fair = methods[methods["method"].isin(["ensemble", "soft_ensemble"])]
    assert fair["calibration_gap"].max() < 1e-9
    assert sorted(methods["share"].unique()) == [0, 0.01, 0.05, 0.1, 0.2]
    assert len(list(folder.glob("tradeoff_*.png"))) == 1


def test_an_interrupted_study_goes_on_where_it_stopped(study, found, arguments):
    lost, *kept = sorted((Path(arguments[-1]) / "pieces").iterdir())
    lost.unlink()
    before = {path: path.stat().st_mtime_ns for path in kept}
    again = study(arguments)
    assert {path: path.stat().st_mtime_ns for path in kept} == before
    assert lost.exists()
    pd.testing.assert_frame_equal(found["methods"], again["methods"])


def test_a_cluster_trains_the_same_ensembles(found, arguments, tmp_path):
    pytest.importorskip("distributed")
    # A scheduler loads the scripts anew, so it must not be in this process.
    code = """if True:
        import sys, distributed, paper
        with distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, dashboard_address=None
        ) as cluster:
            paper.main([*sys.argv[1:], "--dask", cluster.scheduler_address])
        """
    elsewhere = [*arguments, "--output", str(tmp_path)]
    subprocess.run([sys.executable, "-c", code, *elsewhere], cwd=BENCHMARKS, check=True)
    here, there = (
        pd.read_csv(Path(folder) / "methods.csv")
        for folder in (arguments[-1], tmp_path)
    )
    pd.testing.assert_frame_equal(here, there)


def test_a_peer_that_fails_on_one_fold_is_left_out_of_the_case(
    study, found, arguments, monkeypatch, capsys
):
    peers = importlib.import_module("_peers")
    calls = []

    def fails_at_first(calibration, score, group, objective):
        calls.append(objective)
        if len(calls) == 1:
            raise peers.PeerUnavailable("it met its match")
        return peers.Decisions((score > 0.5).astype(float), 0.0, 0)

    judging = importlib.import_module("_paper.judging")
    monkeypatch.setattr(judging, "available_peers", lambda: {"peer": fails_at_first})
    methods = study([a for a in arguments if a != "--without-peers"])["methods"]
    assert "peer is left out of" in capsys.readouterr().out
    cases = methods[methods["deletion"].isna()].groupby("n_shards")["method"].agg(set)
    assert ["peer" in names for names in cases] == [False, True]
    known = methods["method"].isin(found["methods"]["method"])
    ours = methods[known].reset_index(drop=True)
    pd.testing.assert_frame_equal(ours, found["methods"])


def test_an_interval_over_people_is_widened_by_the_spread_of_the_repeats(study):
    widened = importlib.import_module("_paper.summaries").widened
    assert widened(0.3, 0.2, 0.5, np.array([0.3])) == (0.2, 0.5)
    assert widened(0.3, 0.2, 0.5, np.array([0.3, 0.3])) == pytest.approx((0.2, 0.5))
    # Student's quantile of 4 degrees of freedom is 2.776.
    repeated = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    of_seeds = 2.776 * repeated.std(ddof=1) / 5**0.5
    low, high = widened(0.3, 0.3, 0.3, repeated)
    assert (0.3 - low, high - 0.3) == pytest.approx((of_seeds, of_seeds), abs=1e-3)


def test_few_rows_are_drawn_evenly_over_labels_and_groups(study):
    tasks = importlib.import_module("_paper.tasks")
    y = np.repeat([0, 1], [900, 100])
    group = np.resize(np.array(["a", "a", "a", "b"], dtype=object), 1000)
    task = tasks.Task("t", np.arange(1000)[:, None], y, {"group": group}, {})
    drawn = tasks._drawn(task, 200, seed=0)
    sizes = pd.crosstab(drawn.y, drawn.groups["group"])
    # The rare stratum is kept whole, the others give what is left in equal parts.
    assert sizes.loc[1, "b"] == 25
    others = [sizes.loc[0, "a"], sizes.loc[0, "b"], sizes.loc[1, "a"]]
    assert sum(others) == 175
    assert max(others) - min(others) <= 1


def test_the_variance_of_the_area_is_that_of_resampled_people(study):
    judging = importlib.import_module("_paper.judging")
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 300)
    score = (y + rng.normal(size=300)).round(1)
    area, variance = judging.area_and_variance(y, score)
    assert area == pytest.approx(roc_auc_score(y, score))
    labels = [np.flatnonzero(y == label) for label in (0, 1)]
    drawn = [
        np.concatenate([rng.choice(rows, len(rows)) for rows in labels])
        for _ in range(800)
    ]
    spread = np.std([roc_auc_score(y[rows], score[rows]) for rows in drawn])
    # The spread of 800 resamples is known within 2.5%.
    assert variance**0.5 == pytest.approx(spread, rel=0.1)
