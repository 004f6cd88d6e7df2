"""Everything that runs on an accelerator, where there is none."""

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from numpy.testing import assert_allclose
from simulated.device import build
from tiny import sentences

HERE = Path(__file__).parent
COMPILER = shutil.which("c++")


@pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler, named c++")
def test_what_runs_on_the_processor_runs_on_an_accelerator(tmp_path):
    # In a process of its own, since torch keeps a device it was given.
    left, library = tmp_path / "left.pickle", build(tmp_path, COMPILER)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", "-q", HERE / "simulated/claims.py"],
        env={
            **os.environ,
            "PYTEST_ADDOPTS": "",  # what measures this run would judge that one too
            "SIMULATED_DEVICE": str(library),
            "LEFT_FOR_OTHERS": str(left),
            "PYTHONPATH": os.pathsep.join(
                [str(HERE), os.environ.get("PYTHONPATH", "")]
            ),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr

    # Here the device is unknown.
    sisa, probabilities = pickle.loads(left.read_bytes())
    texts, _ = sentences(40)
    assert_allclose(sisa.predict_proba(texts), probabilities, atol=1e-6)
    assert sisa.forget([3]).verify_forgotten()
