import random
import shutil

import numpy as np
import pytest
from power_loss import Disk, survivors
from sklearn.datasets import make_classification
from sklearn.naive_bayes import GaussianNB

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.sisa.store import disk

pytestmark = pytest.mark.heavy

X, y = make_classification(n_samples=48, n_features=4, random_state=0)
FIRST, LATER = [3, 7], [20, 44]
# What the forgotten rows hold, as bytes found nowhere else.
X[FIRST, 0], X[LATER, 0] = [1.25e77, 2.5e78], [3.75e79, 5.5e80]


def carry_out(folder, fake):
    """Make a directory and change it; note how many calls had returned, and when."""
    sisa = SISAClassifier(
        GaussianNB(), n_shards=2, n_slices=2, random_state=0, checkpoint_dir=folder
    )
    calls = (
        lambda: sisa.fit(X[:40], y[:40]),
        lambda: sisa.forget(FIRST),
        lambda: sisa.partial_fit(X[40:], y[40:]),
        lambda: sisa.forget(LATER),
    )
    for call in calls:
        call()
        fake.done += 1
        fake.note()


def bytes_of(rows):
    return [X[row, 0].tobytes() for row in rows]


@pytest.mark.parametrize("seed", [0, 1])
def test_what_was_acknowledged_survives_a_loss_of_power(tmp_path, monkeypatch, seed):
    fake = Disk(tmp_path / "d")
    monkeypatch.setattr(disk, "os", fake)
    carry_out(tmp_path / "d", fake)
    monkeypatch.undo()
    rng, copy = random.Random(seed), tmp_path / "copy"
    monkeypatch.setenv("SKLEARN_FAIRSISA_KEY", "a key for tests")
    seen = set()
    for instant in fake.instants:
        for left in survivors(instant, rng):
            state = (instant.done, tuple(sorted(left.items())))
            if state in seen:
                continue
            seen.add(state)
            if instant.done == 4:
                # Erased is erased, before anyone looks at the directory again.
                everything = b"".join(left.values())
                assert not any(b in everything for b in bytes_of(FIRST + LATER))
            shutil.rmtree(copy, ignore_errors=True)
            copy.mkdir()
            for name, content in left.items():
                (copy / name).write_bytes(content)
            check(copy, instant.done)
    assert len(seen) > 100


def check(folder, done):
    """Check that a directory opens, and holds what the calls that returned did."""
    try:
        sisa = SISAClassifier.load(folder)
    except FileNotFoundError:
        assert done == 0
        return
    gone = set(sisa.forgotten_.tolist())
    assert gone >= set(FIRST if done >= 2 else []) | set(LATER if done >= 4 else [])
    assert sisa.plan_.n_rows == 48 if done >= 3 else sisa.plan_.n_rows in (40, 48)
    assert sisa.verify_forgotten()
    assert np.isfinite(sisa.relearn().predict_proba(X)).all()
    assert sisa.verify_forgotten()
    # The next change deletes what an interrupted one left behind.
    sisa.forget([])
    data = b"".join(path.read_bytes() for path in folder.iterdir())
    assert not any(b in data for b in bytes_of(gone))


def test_a_disk_that_takes_a_few_bytes_at_a_time_gets_all_of_them(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(disk, "os", Disk(tmp_path / "d", largest_write=100))
    sisa = SISAClassifier(
        GaussianNB(), n_shards=2, random_state=0, checkpoint_dir=tmp_path / "d"
    )
    sisa.fit(X[:40], y[:40]).forget(FIRST)
    monkeypatch.undo()
    monkeypatch.setenv("SKLEARN_FAIRSISA_KEY", "a key for tests")
    loaded = SISAClassifier.load(tmp_path / "d")
    np.testing.assert_array_equal(loaded.predict_proba(X), sisa.predict_proba(X))
