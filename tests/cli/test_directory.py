import json
import subprocess
import sys

import pytest
from sklearn.datasets import make_classification
from sklearn.naive_bayes import GaussianNB

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.cli import main
from sklearn_fairsisa.sisa.store import disk
from sklearn_fairsisa.sisa.store.directory import DirectoryStore

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
    assert facts["pending"] is None


def test_a_dry_run_tells_the_cost_and_changes_nothing(directory, capsys):
    before = {path: path.read_bytes() for path in directory.iterdir()}
    status, cost = run(capsys, "forget", directory, "--indices", 3, 4, "--dry-run")
    assert status == 0
    assert before == {path: path.read_bytes() for path in directory.iterdir()}
    _, entry = run(capsys, "forget", directory, "--indices", 3, 4)
    assert entry["sample_visits"] == cost["sample_visits"]
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
        (b'index\n"1\n', "is no CSV file"),
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


def test_work_that_fails_midway_has_its_own_exit_status(directory, capsys, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(GaussianNB, "partial_fit", fail)
        patch.setattr(DirectoryStore, "_promise", lambda self: "The next one does it.")
        status, told = run(capsys, "forget", directory, "--indices", 1)
    assert status == 6
    assert "out of memory" in told
    assert "The next one does it." in told
    # What is finished first must not print between the JSON.
    SISAClassifier.load(directory, finish=False)
    status, told = run(capsys, "verify", directory)
    assert (status, told["holds"]) == (0, True)
    assert list(SISAClassifier.load(directory).forgotten_) == [1]


def test_reports_are_written(directory, capsys, tmp_path):
    run(capsys, "forget", directory, "--indices", 3)
    assert main(["report", str(directory), "--html", str(tmp_path / "r.html")]) == 0
    assert "1 rows forgotten" in (tmp_path / "r.html").read_text()
    assert main(["report", str(directory), "--csv", str(tmp_path / "r.csv")]) == 0
    assert len((tmp_path / "r.csv").read_text().splitlines()) == 3
    assert main(["report", str(directory)]) == 0
    assert "forget" in capsys.readouterr().out


def test_refusals_have_their_exit_status_and_reason(directory, capsys, monkeypatch):
    status, told = run(capsys, "forget", directory, "--indices", 1000)
    assert (status, "Row 1000 is unknown" in told) == (1, True)
    status, told = run(capsys, "status", directory.parent)
    assert (status, "holds no ensemble" in told) == (1, True)
    with pytest.raises(SystemExit, match="2"):
        main(["forget", str(directory)])
    with disk.Folder(directory).lock():
        status, told = run(capsys, "forget", directory, "--indices", 1)
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


def test_an_interrupt_is_finished_by_the_next_command(directory, capsys, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(GaussianNB, "partial_fit", interrupt)
        assert run(capsys, "forget", directory, "--indices", 1)[0] == 130
    assert run(capsys, "status", directory)[1]["pending"] == "forget"
    assert run(capsys, "verify", directory)[0] == 0
    status = run(capsys, "status", directory)[1]
    assert (status["pending"], status["forgotten"]) == (None, 1)


def test_progress_goes_stage_by_stage(directory, capsys):
    sisa = SISAClassifier.load(directory)
    row = sisa.plan_.rows(2, 0)[0]
    assert main(["forget", str(directory), "--indices", str(row)]) == 0
    out = capsys.readouterr().out
    assert "shard 2, stage 1/2" in out
    assert "shard 2, stage 2/2" in out


def test_commands_run_as_a_program(directory):
    code = "import sys; from sklearn_fairsisa.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "status", directory], capture_output=True
    )
    assert done.returncode == 0
    assert b"rows: 60" in done.stdout
