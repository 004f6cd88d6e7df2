import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from effort import EFFORT

pytestmark = pytest.mark.heavy

HARNESS = Path(__file__).with_name("stress_harness.py")
# No seed repeats a run.
SECONDS = str(6 * EFFORT)


def test_acknowledged_is_forgotten_and_forgotten_was_asked_whatever_fails():
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        done = subprocess.run(
            [sys.executable, HARNESS, f"{folder}/ensemble", SECONDS, str(os.getpid())],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    # What was seen belongs to the failure, as no seed repeats it.
    assert found["acknowledged_and_kept"] == [], found
    assert found["forgotten_and_not_asked"] == [], found
    assert found["denied_and_forgotten"] == [], found
    assert found["left_on_disk"] == [], found
    acknowledged, added, asked = found["batches"]
    assert acknowledged <= added <= asked, found
    assert found["wrong"] == [], found
    assert all(found["same_members"]), found
    assert found["verified"], found
    for kind in ("done", "raised", "read", "interrupts"):
        assert found["count"].get(kind, 0) > 0, found
