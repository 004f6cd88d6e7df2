import json
import subprocess
import sys
import tempfile
from pathlib import Path

HARNESS = Path(__file__).with_name("crash_harness.py")


def test_a_kill_at_any_instant_leaves_the_state_before_or_after():
    # In memory where there is such a folder: thousands of files are synced.
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        done = subprocess.run(
            [sys.executable, HARNESS, folder], capture_output=True, text=True
        )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["failures"] == []
    assert found["kills"] >= 200
    for operation in ("fit", "partial_fit", "forget", "refit"):
        # Both outcomes occurred, and some requests were finished by load.
        outcomes = found["outcomes"][operation]
        assert min(outcomes["before"], outcomes["after"]) > 0
        assert outcomes["finished by load"] > 0
