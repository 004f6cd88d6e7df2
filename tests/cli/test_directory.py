import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest
from held import calibrated, log_of
from sklearn.datasets import make_classification
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.cli import main
from sklearn_fairsisa.cli._errors import message_of
from sklearn_fairsisa.sisa import _classifier as sisa_classifier

X, y = make_classification(n_samples=60, n_features=4, n_redundant=0, random_state=0)


@pytest.fixture
def directory(tmp_path, monkeypatch):
    monkeypatch.setenv("SKLEARN_FAIRSISA_KEY", "a key for tests")
    SISAClassifier(
        GaussianNB(),
        n_shards=3,
        n_slices=2,
        random_state=0,
        checkpoint_dir=tmp_path / "d",
    ).fit(X, y, subjects=range(60))
    return tmp_path / "d"


def run(capsys, *args):
    """Return the exit status and the JSON a command printed."""
    status = main([str(arg) for arg in (*args, "--json")])
    printed = capsys.readouterr()
    return status, json.loads(printed.out) if printed.out else printed.err


def test_rows_are_forgotten_and_the_deletion_verified(directory, capsys, tmp_path):
    status, entry = run(capsys, "forget", directory, "--indices", 3, 4)
    assert status == 0
    assert entry["n_forgotten"] == 2
    assert list(SISAClassifier.load(directory).forgotten_) == [3, 4]
    certificate = tmp_path / "certificate.json"
    status, told = run(capsys, "verify", directory, "--certificate", certificate)
    assert status == 0
    assert told["holds"]
    assert json.loads(certificate.read_text()) == told
    status, facts = run(capsys, "status", directory)
    assert (facts["rows"], facts["forgotten"]) == (58, 2)
    assert facts["checkpoint_bytes"] > 0
    assert facts["behind"] == {}
    assert facts["versions"]["numpy"] == np.__version__


def test_commands_keep_the_fair_rules_of_a_directory_up_to_date(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("SKLEARN_FAIRSISA_KEY", "a key for tests")
    club, directory = np.arange(60) % 2, tmp_path / "d"
    fair = FairEnsemblePostprocessor(
        SISAClassifier(GaussianNB(), n_shards=3, checkpoint_dir=directory),
        method="soft_ensemble",
        tol=0.9,
        confidence=0.5,
        random_state=0,
    ).fit(X, y, sensitive_features=club)
    status, entry = run(capsys, "forget", directory, "--indices", 3, 4)
    assert (status, entry["rules_behind"]) == (0, [])
    status, facts = run(capsys, "status", directory)
    rule = facts["rules"]["rule"]
    assert (rule["behind"], rule["calibration_rows"], rule["holds"]) == (
        False,
        58,
        True,
    )
    loaded = FairEnsemblePostprocessor.load(directory)
    fair.forget([3, 4])
    assert rule["bound"] == pytest.approx(fair.fairness_report_.bound)
    assert rule["gap_in_calibration"] == calibrated(fair).rule.excess
    np.testing.assert_array_equal(
        loaded.predict(X, sensitive_features=club),
        fair.predict(X, sensitive_features=club),
    )
    assert main(["status", str(directory)]) == 0
    assert (
        "a true gap of at most 0.9 holds at confidence 0.5" in capsys.readouterr().out
    )
    status, told = run(capsys, "verify", directory)
    assert (status, told["companions"]) == (0, {"rule": True})
    assert "Learning 'rule' from scratch gave the same" in told["statement"]
    # With one member left, the rule cannot be solved until the others relearn.
    gone = [loaded.estimator_.plan_.rows(shard)[0] for shard in range(2)]
    status, entry = run(capsys, "forget", directory, "--indices", *gone, "--later")
    assert (status, entry["rules_behind"]) == (0, ["rule"])
    assert main(["status", str(directory)]) == 0
    printed = capsys.readouterr()
    assert "56 rows; behind" in printed.out
    assert printed.err.splitlines() == [
        "fairsisa: shards 0 and 1 are behind: run fairsisa relearn",
        "fairsisa: rule rule is behind: run fairsisa relearn",
    ]
    status, facts = run(capsys, "relearn", directory)
    assert (status, facts["rules_behind"]) == (0, [])


def test_what_is_exported_predicts_alike_and_replaces_what_was_there(
    directory, capsys, tmp_path
):
    out = tmp_path / "model.pkl"
    out.write_bytes(b"an earlier export")
    run(capsys, "forget", directory, "--indices", 3, 4, "--later")
    status, facts = run(capsys, "export", directory, out)
    sisa = SISAClassifier.load(directory)
    assert (status, facts["rule"]) == (0, None)
    assert facts["behind"] == sisa.behind_["shard"].tolist() != []
    assert facts["audit_head"] == log_of(sisa).head
    data = out.read_bytes()
    assert facts["sha256"] == hashlib.sha256(data).hexdigest()
    served = pickle.loads(data)
    assert served.predict_proba(X).tobytes() == sisa.predict_proba(X).tobytes()
    assert not any(row.tobytes() in data for row in X)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "model.pkl"]
    out.unlink()
    out.mkdir()
    status, error = run(capsys, "export", directory, out)
    assert status == 1
    assert "model.pkl" in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "model.pkl"]


def test_the_fair_rule_is_exported_that_is_asked_for(directory, capsys, tmp_path):
    sisa = SISAClassifier.load(directory)
    out, groups = tmp_path / "model.pkl", np.arange(60) % 2
    rules = {
        name: FairEnsemblePostprocessor(random_state=0).attach(
            sisa, sensitive_features=of, name=name
        )
        for name, of in (("by_sex", groups), ("by_age", groups[::-1] ^ (X[:, 0] > 0)))
    }
    for options, message in (
        ([], "holds the rules 'by_age' and 'by_sex'. Name one of them by --rule"),
        (["--rule", "by_hex"], "no rule 'by_hex' (--rule). Did you mean 'by_sex'?"),
        (["--rule", "xyz"], "(--rule). It holds the rules 'by_age' and 'by_sex'."),
    ):
        status, error = run(capsys, "export", directory, out, *options)
        # Refused, and not called damaged, in the words of the command line.
        assert (status, out.exists()) == (1, False)
        assert message in error
    status, facts = run(capsys, "export", directory, out, "--rule", "by_age")
    assert (status, facts["rule"]) == (0, "by_age")
    served = pickle.loads(out.read_bytes())
    expected = rules["by_age"].selection_probability(X, sensitive_features=groups)
    decided = served.selection_probability(X, sensitive_features=groups)
    assert decided.tobytes() == expected.tobytes()
    status, facts = run(capsys, "export", directory, out, "--no-rule")
    assert (status, facts["rule"]) == (0, None)


def test_members_that_keep_rows_are_not_exported(capsys, tmp_path):
    SISAClassifier(
        KNeighborsClassifier(), n_shards=2, checkpoint_dir=tmp_path / "d"
    ).fit(X, y)
    status, error = run(capsys, "export", tmp_path / "d", tmp_path / "out.pkl")
    assert status == 1
    assert "KNeighborsClassifier" in error
    assert not (tmp_path / "out.pkl").exists()


def test_a_dry_run_tells_the_cost_and_changes_nothing(directory, capsys):
    before = {path: path.read_bytes() for path in directory.iterdir()}
    status, cost = run(capsys, "forget", directory, "--indices", 3, 4, "--dry-run")
    assert status == 0
    assert before == {path: path.read_bytes() for path in directory.iterdir()}
    _, entry = run(capsys, "forget", directory, "--indices", 3, 4)
    report = SISAClassifier.load(directory).forget_log_[-1]
    assert report.sample_visits == cost["sample_visits"]
    assert entry["full_sample_visits"] == cost["full_sample_visits"]
    assert entry["shards"] == cost["shards"]


def test_requests_come_from_files_too(directory, capsys, tmp_path):
    requests = tmp_path / "requests.csv"
    requests.write_text("subject,why\n7,asked\n9,asked\n")
    for _ in range(2):  # a retried request is accepted
        assert run(capsys, "forget", directory, "--from-file", requests)[0] == 0
    assert list(SISAClassifier.load(directory).forgotten_) == [7, 9]
    requests.write_text("index\n11\n")
    assert run(capsys, "forget", directory, "--from-file", requests)[0] == 0
    assert run(capsys, "forget", directory, "--subjects", 12)[0] == 0
    assert list(SISAClassifier.load(directory).forgotten_) == [7, 9, 11, 12]


@pytest.mark.parametrize("text", ["0_7", "007", "7e0", "7.5", "٧"])
def test_an_id_is_read_as_a_number_only_as_that_is_written(directory, capsys, text):
    status, told = run(capsys, "forget", directory, "--subjects", 3, text)
    assert status == 1
    assert "entries [1] of the request" in told
    assert run(capsys, "forget", directory, "--subjects", 3, "7.0")[0] == 0
    assert list(SISAClassifier.load(directory).forgotten_) == [3, 7]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"row\n1\n", "needs one called"),
        (b"", "has the columns []"),
        (b"index;why\n1;x\n", "has the columns ['index;why']"),
        (b"index,subject\n1,2\n", "not both"),
        (b"index,index\n1,2\n", "has the columns"),
        (b"index\n1a\n", "'1a'"),
        (b"index\n1_0\n", "'1_0'"),
        (b"index\n3.0\n", "'3.0'"),
        (b"index\n--5\n", "'--5'"),
        (b"index\n-1\n", "Row -1 is unknown"),
        (b"index\n99999999999999999999\n", "'99999999999999999999'"),
        (b"why,index\nasked\n", "Row 2 of"),
        (b"index,why\n1,asked,too\n", "needs 2 values"),
        (b"subject\n7\n \n", "the subject is not empty"),
        (b"subject\nnobody\n", "unknown"),
        (b'index\n"1\n', "is not a CSV file"),
        (b"index\n\xff\n", "decode"),
    ],
)
def test_malformed_files_are_refused_before_anything_changes(
    directory, capsys, tmp_path, content, message
):
    before = (directory / "manifest.json").read_bytes()
    requests = tmp_path / "requests.csv"
    requests.write_bytes(content)
    status, told = run(capsys, "forget", directory, "--from-file", requests)
    assert status == 1
    assert message in told
    assert (directory / "manifest.json").read_bytes() == before


def test_a_number_of_any_length_may_be_an_unknown_subject(directory, capsys):
    for digits in (400, 5000):
        status, told = run(capsys, "forget", directory, "--subjects", "9" * digits)
        assert (status, "1 of 1 data subjects are unknown" in told) == (1, True)


def test_files_out_of_a_spreadsheet_are_read(directory, capsys, tmp_path):
    requests = tmp_path / "requests.csv"
    requests.write_bytes(b"\xef\xbb\xbfindex,why\r\n 5 ,asked\r\n\r\n6,asked\r\n")
    assert run(capsys, "forget", directory, "--from-file", requests)[0] == 0
    assert list(SISAClassifier.load(directory).forgotten_) == [5, 6]


@pytest.mark.parametrize("error", [RuntimeError("too few"), MemoryError("too few")])
def test_rows_are_erased_though_members_cannot_be_trained(
    directory, capsys, monkeypatch, error
):
    def fail(*args, **kwargs):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(GaussianNB, "partial_fit", fail)
        args = ["forget", str(directory), "--indices", "1"]
        assert main(args) == 6
        assert "too few" in capsys.readouterr().err
        assert main(["relearn", str(directory)]) in (1, 6)
    capsys.readouterr()
    sisa = SISAClassifier.load(directory)
    assert (list(sisa.forgotten_), len(sisa.behind_)) == ([1], 1)
    assert run(capsys, "relearn", directory)[0] == 0
    assert len(SISAClassifier.load(directory).behind_) == 0
    status, told = run(capsys, "verify", directory)
    assert (status, told["holds"]) == (0, True)


def test_rows_are_erased_now_and_members_relearn_later(directory, capsys):
    expected = SISAClassifier.load(directory).plan_
    rows = [int(expected.rows(shard, 0)[0]) for shard in range(3)]
    for row in rows:
        status, entry = run(capsys, "forget", directory, "--indices", row, "--later")
        assert (status, entry["sample_visits"]) == (0, 0)
    status, facts = run(capsys, "status", directory)
    assert facts["behind"] == dict.fromkeys(["0", "1", "2"], "deferred")
    behind = SISAClassifier.load(directory).behind_
    assert facts["relearning_sample_visits"] == behind["sample_visits"].sum()
    status, facts = run(capsys, "relearn", directory, "--shards", 1)
    assert (status, facts["behind"]) == (0, [0, 2])
    budget = behind["sample_visits"].min()
    assert run(capsys, "relearn", directory, "--max-visits", budget - 1)[0] == 1
    status, facts = run(capsys, "relearn", directory, "--max-visits", budget)
    assert (status, len(facts["behind"])) == (0, 1)
    assert run(capsys, "relearn", directory)[1]["behind"] == []
    assert run(capsys, "verify", directory)[0] == 0


def test_a_restored_backup_forgets_again_what_a_newer_log_knows(
    directory, capsys, tmp_path
):
    run(capsys, "forget", directory, "--indices", 3)
    shutil.copytree(directory, tmp_path / "backup")
    live = SISAClassifier.load(directory).forget([7, 8])
    live.partial_fit(X[:9], y[:9], subjects=range(60, 69))
    live.forget([9, 61])
    log, older = tmp_path / "log", tmp_path / "older"
    shutil.copy(directory / "audit.jsonl", log)
    shutil.copy(tmp_path / "backup" / "audit.jsonl", older)
    shutil.rmtree(directory)
    shutil.copytree(tmp_path / "backup", directory)
    assert run(capsys, "forget", directory, "--again", log)[0] == 0
    restored = SISAClassifier.load(directory)
    # Row 61 came after the backup.
    assert list(restored.forgotten_) == [3, 7, 8, 9]
    assert restored.verify_forgotten()
    lines = log.read_bytes().splitlines(keepends=True)
    for wrong, status, message in (
        (b"".join(lines), 1, "does not continue"),
        (older.read_bytes(), 1, "does not continue"),
        (b"".join(lines[:2] + lines[3:]), 4, "Entry 3 of the audit log"),
        (b"index\n3\n", 1, "not a copy of audit.jsonl"),
        (b"", 1, "does not continue"),
    ):
        log.write_bytes(wrong)
        found, told = run(capsys, "forget", directory, "--again", log)
        assert (found, message in told) == (status, True), told
    assert list(SISAClassifier.load(directory).forgotten_) == [3, 7, 8, 9]


def test_every_member_is_retrained_after_an_upgrade(directory, capsys, monkeypatch):
    run(capsys, "forget", directory, "--indices", 3)
    upgraded = GaussianNB.partial_fit

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        return upgraded(self, X + 1, y, classes, sample_weight)

    monkeypatch.setattr(GaussianNB, "partial_fit", partial_fit)
    assert run(capsys, "verify", directory)[0] == 5
    assert run(capsys, "relearn", directory, "--all", "--shards", 1)[0] == 1
    assert run(capsys, "relearn", directory, "--all")[0] == 0
    assert run(capsys, "verify", directory)[0] == 0
    assert list(SISAClassifier.load(directory).forgotten_) == [3]


def test_reports_are_written_as_their_suffix_says(directory, capsys, tmp_path):
    run(capsys, "forget", directory, "--indices", 3)
    files = [tmp_path / name for name in ("r.html", "r.JSON", "r.csv")]
    status, _ = run(capsys, "report", directory, "--output", *files)
    assert status == 0
    assert "1 request erased 1 row." in files[0].read_text()
    told = json.loads(files[1].read_text())
    sisa = SISAClassifier.load(directory)
    ours = json.loads(sisa.forgetting_report().to_json())
    assert {**told, "made": ""} == {**ours, "made": ""}
    # A header, the fit, the deletion and what was relearnt for it.
    assert len(files[2].read_text().splitlines()) == 4
    assert main(["report", str(directory)]) == 0
    assert "forget" in capsys.readouterr().out
    status, said = run(capsys, "report", directory, "--output", tmp_path / "r.pdf")
    assert (status, "r.pdf does not end in .html or .json or .csv" in said) == (1, True)


def test_a_report_has_the_verification_that_it_was_asked_for(
    directory, capsys, monkeypatch
):
    run(capsys, "forget", directory, "--indices", 3)
    status, told = run(capsys, "report", directory)
    assert (status, told["is_complete"], told["verification"]) == (0, False, [])
    status, told = run(capsys, "report", directory, "--verify")
    assert (status, told["is_complete"]) == (0, True)
    assert told["verified_head"] == told["audit_head"]
    monkeypatch.setattr(
        GaussianNB, "partial_fit", lambda self, X, y, **_: self.fit(X + 1, y)
    )
    status, told = run(capsys, "report", directory, "--verify")
    assert (status, told["is_complete"]) == (5, False)


def test_verify_prints_what_it_found(directory, capsys):
    run(capsys, "forget", directory, "--indices", 3)
    sisa = SISAClassifier.load(directory)
    shard = sisa.plan_.shard_of(3)
    assert main(["verify", str(directory)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(
        f"[SISA] shard {shard}: equal to a member retrained from scratch, "
    )
    assert lines[1].startswith(f"Retraining shard {shard} from scratch")
    assert log_of(sisa).head in lines[1]
    assert len(lines) == 2
    assert main(["verify", str(directory), "--quiet"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_verifying_an_ensemble_that_forgot_nothing_says_so(directory, capsys):
    status, told = run(capsys, "verify", directory)
    assert (status, told["holds"], told["shards"]) == (0, True, [])
    assert told["statement"].startswith("No row has been forgotten")


@contextmanager
def held_by_another_process(directory):
    """Hold a directory in a process that ends with the block."""
    code = (
        "import sys; from pathlib import Path\n"
        "from sklearn_fairsisa.sisa.store.disk import Folder\n"
        "with Folder(Path(sys.argv[1])).lock(0):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, directory],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline() == b"held\n"
        yield
        process.stdin.close()


def test_refusals_have_their_exit_status_and_reason(directory, capsys, monkeypatch):
    status, told = run(capsys, "forget", directory, "--indices", 1000)
    assert (status, "Row 1000 is unknown" in told) == (1, True)
    status, told = run(capsys, "status", directory.parent)
    assert (status, "holds no ensemble" in told) == (1, True)
    with pytest.raises(SystemExit, match="2"):
        main(["forget", str(directory)])
    with held_by_another_process(directory):
        args = ["--indices", 1, "--wait", 0.1]
        status, told = run(capsys, "forget", directory, *args)
        assert run(capsys, "status", directory)[0] == 0
    assert (status, "at work in" in told) == (3, True)
    monkeypatch.setenv("SKLEARN_FAIRSISA_KEY", "another")
    assert run(capsys, "status", directory)[0] == 4
    monkeypatch.setenv("SKLEARN_FAIRSISA_KEY", "a key for tests")
    next(directory.glob("member-s001-r000-*")).write_bytes(b"")
    status, told = run(capsys, "verify", directory)
    assert (status, "shard 1, slice 0" in told) == (4, True)


def test_a_failed_verification_has_its_own_exit_status(directory, capsys, monkeypatch):
    run(capsys, "forget", directory, "--indices", 1)
    monkeypatch.setattr(
        GaussianNB, "partial_fit", lambda self, X, y, **_: self.fit(X + 1, y)
    )
    status, told = run(capsys, "verify", directory)
    assert status == 5
    assert not told["holds"]


def test_an_interrupt_says_whether_the_rows_are_erased(directory, capsys, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(GaussianNB, "partial_fit", interrupt)
        status, told = run(capsys, "forget", directory, "--indices", 1)
    assert (status, "rows are erased: do not repeat" in told) == (130, True)
    facts = run(capsys, "status", directory)[1]
    assert (len(facts["behind"]), facts["forgotten"]) == (1, 1)
    with monkeypatch.context() as patch:
        patch.setattr(sisa_classifier, "forget_in_caches", interrupt)
        status, told = run(capsys, "forget", directory, "--indices", 2)
    assert (status, "Nothing of it was done" in told) == (130, True)
    assert run(capsys, "relearn", directory)[0] == 0
    facts = run(capsys, "status", directory)[1]
    assert (facts["behind"], facts["forgotten"]) == ({}, 1)


def test_progress_goes_stage_by_stage(directory, capsys):
    sisa = SISAClassifier.load(directory)
    row = sisa.plan_.rows(2, 0)[0]
    assert main(["forget", str(directory), "--indices", str(row)]) == 0
    out = capsys.readouterr().out
    assert "shard 2, stage 1/2" in out
    assert "shard 2, stage 2/2" in out


def test_status_counts_what_it_says(directory, capsys):
    _, facts = run(capsys, "status", directory)
    assert (facts["requests"], facts["log_entries"]) == (0, 1)
    # Asking again for a row that is gone is a request too.
    for indices in ((3, 4), (3,)):
        run(capsys, "forget", directory, "--indices", *indices)
    _, facts = run(capsys, "status", directory)
    report = run(capsys, "report", directory)[1]
    entries = (directory / "audit.jsonl").read_bytes().splitlines()
    assert facts["requests"] == len(report["requests"]) == 2
    assert facts["log_entries"] == len(entries) > 2
    assert main(["status", str(directory)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {"rows: 58", "requests: 2", "behind: none", "stages: 2, 2, 2"} <= set(lines)


@pytest.mark.parametrize(
    ("indices", "words"),
    [((), "erased 0 rows, 0"), ((3,), "erased 1 row in shard "), ((3, 4, 5), "3 rows")],
)
def test_one_is_singular(directory, capsys, indices, words):
    sisa = SISAClassifier.load(directory).forget([9])
    indices = [9, *indices]
    main(["forget", str(directory), "--indices", *map(str, indices), "--later"])
    printed = capsys.readouterr().out
    assert words in printed
    assert f"; {len(X) - len(indices)} rows left; audit entry" in printed
    shards = sorted({sisa.plan_.shard_of(row) for row in indices[1:]})
    assert ("behind" in printed) is bool(shards)
    if len(shards) == 1:
        assert f"shard {shards[0]} is behind" in printed
    assert main(["status", str(directory)]) == 0
    assert ("is behind" in capsys.readouterr().err) is (len(shards) == 1)


@pytest.mark.parametrize("command", ["status", "forget", "verify"])
def test_work_goes_on_where_the_reader_has_left(directory, command):
    options = ["--indices", "3", "4", "5"] if command == "forget" else []
    code = "import sys; from sklearn_fairsisa.cli import main; sys.exit(main())"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", code, command, directory, *options],
        stdout=writer,
        stderr=subprocess.PIPE,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")
    sisa = SISAClassifier.load(directory)
    assert list(sisa.forgotten_) == ([3, 4, 5] if options else [])
    assert len(sisa.behind_) == 0


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["status", "{}/none"], 1, "There is no directory {}/none. Give the"),
        (["status", "{}/file"], 1, "{}/file is a file. Give the directory"),
        (["forget", "{}/none", "--indices", "1"], 1, "There is no directory"),
        (["forget", "{}/d", "--from-file", "{}/no.csv"], 1, "no file or folder {}/no"),
        (["forget", "{}/d", "--from-file", "{}/d"], 1, "{}/d is a folder, but a file"),
        (["forget", "{}/d", "--again", "{}/no"], 1, "no file or folder {}/no"),
        (["forget", "{}/d", "--indices", "x"], 2, "must be a whole number, got 'x'"),
        (["forget", "--indices", "3", "{}/d"], 2, "--indices: must be a whole number"),
        (["forget", "{}/d", "--indices", "3", "--n-jobs", "0"], 2, "must not be 0"),
        (
            ["forget", "{}/d", "--indices", "3", "--wait", "-1"],
            2,
            "more, got '-1'",
        ),
        (["relearn", "{}/d", "--wait", "soon"], 2, "a number of seconds, 0 or more"),
        (["relearn", "{}/d", "--max-visits", "0"], 2, "must be 1 or more, got 0"),
        (["relearn", "{}/d", "--shards", "9"], 1, "There is no shard 9"),
        (["export", "{}/d", "{}/no/m.pkl"], 1, "there is no folder {}/no. Nothing"),
        (["export", "{}/d", "{}/d"], 1, "{}/d is a folder. Give the name of a file"),
        (["export", "{}/d", "{}/m", "--rule", "r"], 1, "holds no fair rule. Leave --"),
        (["verify", "{}/d", "--certificate", "{}/no/c"], 1, "there is no folder {}/no"),
        (["report", "{}/d", "--output", "{}/no/r.csv"], 1, "there is no folder {}/no"),
        (["check", "{}/no", "--public-key", "{}/k"], 1, "no file or folder {}/no"),
        (["check", "{}/d", "--public-key", "{}/k"], 1, "{}/d is a folder, but a file"),
    ],
)
def test_what_is_wrong_is_one_line_on_the_standard_error(
    directory, capsys, arguments, status, message
):
    folder = directory.parent
    (folder / "file").write_text("")
    before = (directory / "manifest.json").read_bytes()
    try:
        found = main([argument.format(folder) for argument in arguments])
    except SystemExit as end:
        found = end.code
    printed = capsys.readouterr()
    assert (found, printed.out) == (status, "")
    last = printed.err.splitlines()[-1]
    assert message.format(folder) in last
    assert ": error: " in last
    assert "Errno" not in last
    if status == 1:
        assert len(printed.err.splitlines()) == 1
    assert (directory / "manifest.json").read_bytes() == before


def test_a_missing_library_is_one_line_too(directory, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "jwt", None)
    (directory.parent / "key.pem").write_text("")
    certificate = directory.parent / "c.jws"
    args = ["--certificate", certificate, "--sign", directory.parent / "key.pem"]
    status, error = run(capsys, "verify", directory, *args)
    assert (status, error.count("\n")) == (1, 1)
    assert error.startswith("fairsisa: error: ")


def test_files_are_utf_8_and_names_not_ascii_whatever_the_locale(directory, tmp_path):
    names = [tmp_path / f"Z\u00fcrich.{kind}" for kind in ("json", "html", "csv")]
    certificate = tmp_path / "Zeugnis f\u00fcr alle.json"
    code = (
        "import sys; from sklearn_fairsisa.cli import main; d, c, *names = sys.argv[1:]"
        "; sys.exit(main(['verify', d, '--certificate', c])"
        " or main(['report', d, '--verify', '--output', *names]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, directory, certificate, *names],
        capture_output=True,
        env={**os.environ, "PYTHONUTF8": "0", "LC_ALL": "C"},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(certificate.read_bytes().decode("utf-8"))["holds"]
    assert all(name.read_bytes().decode("utf-8") for name in names)


def test_a_file_that_is_not_ones_own_is_named():
    error = PermissionError(13, "Permission denied", "/root/key.pem")
    assert message_of(error) == "/root/key.pem is not yours to open: permission denied."
    assert message_of(OSError(5, "Input/output error", "d")) == "d: Input/output error"
    assert message_of(ValueError("as it is")) == "as it is"


def test_commands_run_as_a_program(directory):
    code = "import sys; from sklearn_fairsisa.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "status", directory], capture_output=True
    )
    assert done.returncode == 0
    assert b"rows: 60" in done.stdout
