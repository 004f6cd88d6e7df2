import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from effort import EFFORT

pytestmark = pytest.mark.heavy

HARNESS = Path(__file__).with_name("crash_harness.py")


def test_a_kill_at_any_instant_leaves_what_relearning_finishes():
    # In memory where there is such a folder: thousands of files are synced. Every
    # fourth call that writes is the last, with more effort each of them.
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        done = subprocess.run(
            [sys.executable, HARNESS, folder, "4" if EFFORT <= 1 else "1"],
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["failures"] == []
    assert found["kills"] >= 200
    outcomes = found["outcomes"]
    assert set(outcomes) == {
        "fit", "partial_fit", "forget", "forget_together", "relearn", "refit",
        "fair_fit", "fair_partial_fit", "fair_forget",
    }  # fmt: skip
    for operation, counts in outcomes.items():
        # All outcomes occurred. A change that is one commit knows no third.
        assert min(counts["before"], counts["after"]) > 0
        if operation in ("partial_fit", "refit"):
            assert "between" not in counts
        else:
            assert counts["between"] > 0
