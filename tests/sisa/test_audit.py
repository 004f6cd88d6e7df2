import json
import platform
import re
import warnings
from importlib.metadata import version

import numpy as np
import pytest
from held import log_of
from sklearn.datasets import make_classification
from sklearn.naive_bayes import GaussianNB

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.exceptions import DamagedDirectoryError, EmptyShardWarning
from sklearn_fairsisa.sisa._audit import AuditLog
from sklearn_fairsisa.sisa._plan import expected_replay_cost

X, y = make_classification(n_samples=60, n_features=4, n_redundant=0, random_state=0)


@pytest.fixture(params=[False, True], ids=["memory", "directory"])
def sisa(request, tmp_path):
    directory = tmp_path / "d" if request.param else None
    return SISAClassifier(
        GaussianNB(), n_shards=3, n_slices=2, random_state=0, checkpoint_dir=directory
    ).fit(X, y)


def last_deletion(sisa):
    """Return the newest entry of the log that is of a deletion."""
    return [entry for entry in log_of(sisa).entries if entry["kind"] == "forget"][-1]


def test_a_request_is_recorded_with_what_it_touched_and_cost(sisa):
    row = sisa.plan_.rows(1, 1)[0]
    sisa.forget(row)
    _, entry, relearnt = log_of(sisa).entries
    assert entry["kind"] == "forget"
    assert (relearnt["kind"], relearnt["request"]) == ("relearn", entry["entry"])
    assert (relearnt["shards"], relearnt["first_slices"]) == ([1], [1])
    assert (entry["shards"], entry["first_slices"]) == ([1], [1])
    assert (entry["n_rows"], entry["n_subjects"]) == (59, 1)
    report = sisa.forget_log_[-1]
    for name in ("n_subjects", "full_sample_visits", "digest_before"):
        assert entry[name] == getattr(report, name)
    assert entry["sample_visits"] == 0
    for name in ("sample_visits", "digest_after"):
        assert relearnt[name] == getattr(report, name)
    assert entry["expected_share"] == expected_replay_cost(3, 2, 1, "slice")
    assert entry["seed"] == 0
    assert entry["versions"]["numpy"] == np.__version__
    # The slice's rows, its checkpoint and the old settings.
    durable = sisa.checkpoint_dir is not None
    assert entry["purged"] == (3 if durable else 0)


@pytest.mark.parametrize("package", ["torch", "transformers", "tokenizers", "peft"])
def test_entries_and_certificates_tell_every_version_that_bits_depend_on(sisa, package):
    pytest.importorskip(package)
    certificate = json.loads(sisa.forget(1).verify_forgotten().certificate())
    for told in (log_of(sisa).entries[-1], certificate):
        assert told["versions"][package] == version(package)
        assert told["versions"]["machine"] == platform.machine()


def test_entries_name_rows_by_salted_ids_alone(sisa, tmp_path):
    sisa.forget([7, 31])
    other = SISAClassifier(GaussianNB(), n_shards=3, random_state=0).fit(X, y)
    other.forget([7, 31])
    ids, other_ids = (last_deletion(s)["rows"] for s in (sisa, other))
    assert len(ids) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", row) for row in ids)
    assert not set(ids) & set(other_ids)


def test_the_expected_share_is_the_mean_over_requests_of_as_many_data_subjects():
    X, y = make_classification(n_samples=3000, n_features=4, random_state=0)
    person = np.arange(3000) // 10
    rng = np.random.default_rng(0)
    shares = []
    for seed in range(40):
        sisa = SISAClassifier(GaussianNB(), n_shards=4, n_slices=3, random_state=seed)
        sisa.fit(X, y, subjects=person)
        for _ in range(10):
            cost = sisa.expected_cost(subjects=rng.choice(300, 2, replace=False))
            shares.append(cost["sample_visits"] / cost["full_sample_visits"])
    sisa.forget(np.flatnonzero(person == 7)[:4], subjects=[8])
    assert sisa.forget_log_[-1].n_subjects == 2
    entry = last_deletion(sisa)
    assert (entry["n_forgotten"], entry["n_subjects"]) == (14, 2)
    assert entry["expected_share"] == pytest.approx(np.mean(shares), rel=0.08)
    # Subject 8 has no row left to forget.
    assert sisa.forget(subjects=[7, 8]).forget_log_[-1].n_subjects == 1


@pytest.mark.parametrize("damage", ["alter", "remove", "insert", "swap"])
def test_a_broken_chain_is_detected_where_it_broke(sisa, damage):
    log = sisa
    for row in (1, 2, 3):
        log = log.forget(row, relearn=False)
    log = log_of(log)
    log.check()
    entries = list(log.entries)
    if damage == "alter":
        entries[2] = {**entries[2], "n_rows": 0}
    elif damage == "remove":
        del entries[2]
    elif damage == "insert":
        entries.insert(2, AuditLog(log.entries[:2]).appended({"kind": "x"}).entries[-1])
    else:
        entries[2], entries[3] = entries[3], entries[2]
    with pytest.raises(DamagedDirectoryError, match=r"Entry [34] of the audit log"):
        AuditLog(tuple(entries)).check()


def test_the_report_tells_every_request_in_a_frame_and_a_page(sisa):
    sisa.forget([1, 2]).partial_fit(X, y).forget([2, 70])
    report = sisa.forgetting_report()
    frame = report.to_frame()
    kinds = [kind for kind in frame["kind"] if kind != "relearn"]
    assert kinds == ["fit", "forget", "partial_fit", "forget"]
    assert list(frame.loc[frame["kind"] != "relearn", "n_forgotten"]) == [0, 2, 0, 1]
    relearnt = frame[frame["kind"] == "relearn"]
    assert set(relearnt["n_forgotten"]) == {0}
    visits = sum(report.sample_visits for report in sisa.forget_log_)
    assert relearnt["sample_visits"].sum() == visits
    assert frame["share"].between(0, 1).all()
    page = report.to_html()
    assert "2 requests erased 3 rows. The ensemble holds 117 rows." in page
    assert log_of(sisa).head in page
    assert f"{len(frame)} entries" in repr(report)


def test_every_entry_has_the_visits_of_a_training_on_the_rows_left(sisa):
    # The log goes on from the entry before; a fit of the rows left counts them anew.
    steps = [
        lambda: sisa.forget([3, 17], relearn=False),
        lambda: sisa.forget(sisa.plan_.rows(1)),
        sisa.relearn,
        lambda: sisa.partial_fit(X, y),
        lambda: sisa.partial_fit(X, y + 1),  # brings a class that no member knows
        lambda: sisa.forget([3, 70, 130]),
        lambda: sisa.forget([]),
        lambda: sisa.fit(X[:40], y[:40]),
        lambda: sisa.forget(9),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EmptyShardWarning)
        for step in steps:
            cost = step().expected_cost([])
            visits = log_of(sisa).entries[-1]["full_sample_visits"]
            assert visits == sisa.full_sample_visits_
            assert cost["full_sample_visits"] == visits
            assert cost["full_sample_visits"] == sisa.n_rows_


def test_a_certificate_tells_what_was_compared(sisa):
    sisa.forget(5)
    verification = sisa.verify_forgotten()
    told = json.loads(verification.certificate())
    assert told["holds"] is True
    assert told["digests"] == told["digests_retrained"]
    assert told["audit_head"] == log_of(sisa).head
    member = sisa.estimators_[sisa.plan_.shard_of(5)]
    member.theta_[0, 0] += 1e-9
    told = json.loads(sisa.verify_forgotten().certificate())
    assert told["holds"] is False
    assert "differ" in told["statement"]
