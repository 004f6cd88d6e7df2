"""Requests are answered while another process erases, relearns and swaps the export."""

import importlib.util
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.cli import main

ROOT = Path(__file__).parents[1]
ROUNDS = """
import sys
from sklearn_fairsisa.cli import main
directory, export = sys.argv[1:]
for row in (0, 30):
    rows = [str(i) for i in range(row, row + 30)]
    assert main(["forget", directory, "--later", "--indices", *rows]) == 0
    assert main(["relearn", directory]) == 0
    assert main(["export", directory, export]) == 0
"""
rng = np.random.default_rng(0)
X, GROUPS = rng.normal(size=(200, 3)), np.array(["f", "m"])[rng.integers(2, size=200)]
Y = np.where(X[:, 0] + rng.normal(size=200) > 0, "yes", "no")


@pytest.fixture
def directory(tmp_path):
    sisa = SISAClassifier(
        GaussianNB(), n_shards=4, n_slices=2, checkpoint_dir=tmp_path / "ensemble"
    )
    fair = FairEnsemblePostprocessor(sisa, method="soft_ensemble", random_state=0)
    fair.fit(X, Y, sensitive_features=GROUPS)
    assert main(["export", str(tmp_path / "ensemble"), str(tmp_path / "m.pkl")]) == 0
    return tmp_path


def with_an_app(export):
    """Return a function that asks the app of the guide."""
    pytest.importorskip("fastapi")
    client_of = pytest.importorskip("fastapi.testclient").TestClient
    spec = importlib.util.spec_from_file_location("app", ROOT / "docs/serving/app.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.MODEL = export

    def ask():
        answer = client_of(module.app).post(
            "/decide", json={"rows": X.tolist(), "groups": GROUPS.tolist()}
        )
        assert answer.status_code == 200
        return answer.json()

    return ask


def by_hand(export):
    """Return a function that reads the export whenever it is asked."""

    def ask():
        served = pickle.loads(export.read_bytes())
        return served.predict(X, sensitive_features=GROUPS).tolist()

    return ask


@pytest.mark.filterwarnings("ignore:Using `httpx`")
@pytest.mark.parametrize(
    "way", [with_an_app, pytest.param(by_hand, marks=pytest.mark.heavy)]
)
def test_no_request_fails_while_the_export_is_swapped(directory, way):
    export = directory / "m.pkl"
    ask, answers, errors, done = way(export), [], [], threading.Event()
    before = ask()

    def keep_asking():
        while not done.is_set():
            try:
                answers.append(tuple(ask()))
            except BaseException as error:
                errors.append(error)
            done.wait(0.02)

    threads = [threading.Thread(target=keep_asking) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        paths = [str(directory / "ensemble"), str(export)]
        subprocess.run(
            [sys.executable, "-c", ROUNDS, *paths],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=True, capture_output=True,
        )  # fmt: skip
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert errors == []
    assert len(answers) > 10
    served = pickle.loads(export.read_bytes())
    now = served.predict(X, sensitive_features=GROUPS).tolist()
    assert ask() == now != before
    fair = FairEnsemblePostprocessor.load(directory / "ensemble")
    assert now == fair.predict(X, sensitive_features=GROUPS).tolist()
    assert len(fair.forgotten_) == 60
