import json
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.exceptions import UntrainedShardWarning

N = 90
# Values, ids and indices that no other number in a report looks like.
X = 7919.25 + np.random.default_rng(0).normal(size=(N, 3))
y = np.arange(N) % 2
PEOPLE = [f"person<{i:03d}>&" for i in range(N)]


def fitted(directory=None, learner=None, **params):
    sisa = SISAClassifier(
        learner or GaussianNB(),
        n_shards=3,
        n_slices=2,
        random_state=0,
        checkpoint_dir=directory,
    ).set_params(**params)
    return sisa.fit(X, y, subjects=PEOPLE)


class Page(HTMLParser):
    """The structure of a page whose every element is closed in its turn."""

    EMPTY = ("meta", "br", "hr")

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.words = [], [], {}
        self.feed(text)
        self.close()
        assert not self.open

    def handle_decl(self, decl):
        assert decl == "doctype html"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.words.setdefault(self.open[-1], []).append(data)

    def text(self):
        shown = (word for tag, found in self.words.items() if tag != "style"
                 for word in found)  # fmt: skip
        return " ".join(shown)


@pytest.fixture
def sisa():
    sisa = fitted().forget(subjects=PEOPLE[4:6]).partial_fit(X, y, subjects=PEOPLE)
    return sisa.forget([1, 30]).forget([100], relearn=False)


def test_every_column_of_every_table_has_a_title_and_a_definition(sisa):
    report = sisa.forgetting_report(sisa.verify_forgotten())
    told = json.loads(report.to_json())
    frame = report.to_frame()
    assert {frame.index.name, *frame.columns} == told["definitions"]["log"].keys()
    for table, columns in told["definitions"].items():
        assert told[table], f"{table} has no row to compare"
        for record in told[table]:
            assert record.keys() == columns.keys()
        for column in columns.values():
            assert column["title"]
            assert column["definition"].endswith(".")
    page = Page(report.to_html())
    heads = [attrs for tag, attrs in page.tags if tag == "th"]
    assert {head["scope"] for head in heads} == {"col", "row"}
    titles = {c["title"] for table in told["definitions"].values()
              for c in table.values()}  # fmt: skip
    assert set(page.words["dt"]) == titles
    named = [attrs["data-title"] for tag, attrs in page.tags if "data-title" in attrs]
    assert set(named) <= titles


def test_json_has_the_rows_of_the_frame(sisa):
    report = sisa.forgetting_report()
    frame = report.to_frame()
    told = json.loads(report.to_json())
    again = pd.DataFrame(told["log"]).set_index("entry")
    pd.testing.assert_frame_equal(again, frame)
    assert told["audit_head"] == frame["hash"].iloc[-1]
    behind = pd.DataFrame(told["behind"])
    pd.testing.assert_frame_equal(behind, sisa.behind_, check_dtype=False)


def test_a_request_has_what_its_own_call_relearnt(sisa):
    requests = json.loads(sisa.forgetting_report().to_json())["requests"]
    assert [len(request["rows"]) for request in requests] == [2, 2, 1]
    for request, report in zip(requests, sisa.forget_log_, strict=True):
        assert request["sample_visits"] == report.sample_visits
        assert request["seconds"] == pytest.approx(report.seconds)
        assert request["n_subjects"] == report.n_subjects
    shard = sisa.plan_.shard_of(100)
    assert requests[-1]["behind"] == [shard]
    assert requests[-1]["sample_visits"] == 0


def test_cost_adds_up_over_the_log(sisa):
    frame = sisa.forgetting_report().to_frame()
    (cost,) = json.loads(sisa.forgetting_report().to_json())["cost"]
    of = dict(list(frame.groupby("kind")))
    assert cost["sample_visits"] == of["relearn"]["sample_visits"].sum()
    assert cost["full_sample_visits"] == of["forget"]["full_sample_visits"].sum()
    expected = of["forget"]["expected_share"] * of["forget"]["full_sample_visits"]
    assert cost["expected_sample_visits"] == pytest.approx(expected.sum(), abs=0.5)
    assert cost["share"] == cost["sample_visits"] / cost["full_sample_visits"]
    assert cost["erasing_seconds"] == pytest.approx(of["forget"]["seconds"].sum())


def test_no_value_id_or_position_of_a_row_is_in_a_report(sisa):
    rows = sisa.forgotten_.tolist()
    report = sisa.forgetting_report(sisa.verify_forgotten())
    for text in (report.to_html(), report.to_json(), report.to_frame().to_csv()):
        assert "person" not in text
        assert "7919" not in text
        assert str(rows) not in text
    # Positions are told apart from other numbers where fit has many rows.
    many = 100_000
    large = SISAClassifier(GaussianNB(), n_shards=2, random_state=0)
    large.fit(np.arange(many)[:, None], np.arange(many) % 2).forget([98_765])
    report = large.forgetting_report()
    for text in (report.to_html(), report.to_json()):
        assert "98765" not in text.replace(",", "")


def test_messages_of_errors_which_may_quote_rows_are_left_out(monkeypatch):
    def refuse(self, X, y, classes=None, sample_weight=None):
        raise ValueError(f"cannot learn from: {X[0]}, 7919")

    sisa = fitted()
    monkeypatch.setattr(GaussianNB, "partial_fit", refuse)
    with pytest.warns(UntrainedShardWarning):
        sisa.forget(1)
    assert "7919" in sisa.behind_["reason"].iloc[0]
    report = sisa.forgetting_report()
    (behind,) = json.loads(report.to_json())["behind"]
    assert behind["reason"] == "ValueError"
    assert "7919" not in report.to_html()


def test_the_page_is_self_contained_and_accessible(sisa):
    html = sisa.forgetting_report(sisa.verify_forgotten()).to_html()
    page = Page(html)
    tags = [tag for tag, _ in page.tags]
    assert ("html", {"lang": "en"}) in page.tags
    assert ("meta", {"charset": "utf-8"}) in page.tags
    assert any(attrs.get("name") == "viewport" for _, attrs in page.tags)
    assert tags.count("h1") == 1
    assert not {"script", "link", "img", "iframe"} & set(tags)
    assert "url(" not in html
    assert "http" not in html
    regions = [attrs for _, attrs in page.tags if attrs.get("role") == "region"]
    assert all(a["aria-label"] and a["tabindex"] == "0" for a in regions)
    assert tags.count("caption") == len(regions)
    for media in ("print", "prefers-color-scheme: dark", "max-width"):
        assert media in html
    assert "@page { size: A4" in html


def test_what_comes_from_outside_is_escaped():
    learner = type("A<script>&Learner", (GaussianNB,), {})()
    page = fitted(learner=learner).forgetting_report().to_html()
    assert "A&lt;script&gt;&amp;Learner" in page
    assert "<script>" not in page
    Page(page)


def test_a_notebook_shows_the_page_without_its_style(sisa):
    report = sisa.forgetting_report()
    assert report._repr_html_() in report.to_html()
    assert "<style" not in report._repr_html_()


def test_an_ensemble_nobody_asked_to_forget_has_a_report():
    report = fitted().forgetting_report()
    told = json.loads(report.to_json())
    assert told["requests"] == told["behind"] == told["verification"] == []
    assert told["cost"][0]["share"] is None
    assert report.is_complete
    assert "There was no request to erase rows. The ensemble holds 90 rows." in (
        Page(report.to_html()).text()
    )


def test_an_interrupted_fit_without_any_entry_has_a_report(tmp_path, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(GaussianNB, "partial_fit", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "d")
    sisa = SISAClassifier.load(tmp_path / "d")
    report = sisa.forgetting_report(sisa.verify_forgotten())
    told = json.loads(report.to_json())
    assert (told["log"], told["versions"], told["is_complete"]) == ([], {}, False)
    assert [row["reason"] for row in told["behind"]] == ["interrupted"] * 3
    assert len(report.to_frame()) == 0
    Page(report.to_html())


def test_the_ensemble_is_described_without_parameters():
    learner = make_pipeline(StandardScaler(), LogisticRegression(C=7919.0))
    sisa = SISAClassifier(learner, n_shards=3, random_state=0).fit(X, y).forget(3)
    (ensemble,) = json.loads(sisa.forgetting_report().to_json())["ensemble"]
    assert ensemble == {
        "learner": "Pipeline of StandardScaler, LogisticRegression",
        "n_shards": 3,
        "n_slices": 1,
        "epochs": None,
        "rows_given": 90,
        "rows_forgotten": 1,
        "rows_retained": 89,
    }
    (ensemble,) = json.loads(fitted().forgetting_report().to_json())["ensemble"]
    assert (ensemble["n_slices"], ensemble["epochs"]) == (2, 1)


def test_a_verification_holds_for_the_head_it_was_made_at():
    sisa = fitted().forget([1, 2, 3])
    verification = sisa.verify_forgotten()
    report = sisa.forgetting_report(verification)
    n_entries = len(report.to_frame())
    said = report.statements()["verification"]
    assert "equal bit for bit" in said
    assert f"up to entry {n_entries}." in said
    assert verification.time[:19].replace("T", " ") in said
    assert report.is_complete
    told = json.loads(report.to_json())
    assert told["verified_head"] == told["audit_head"]
    assert all(row["equal"] for row in told["verification"])
    # A later deletion is not covered, and the report says so.
    report = sisa.forget(4, relearn=False).forgetting_report(verification)
    assert (
        f"up to entry {n_entries}. 1 entry came later"
        in (report.statements()["verification"])
    )
    assert not report.is_complete
    sisa.relearn()
    assert (
        "2 entries came later"
        in (sisa.forgetting_report(verification).statements()["verification"])
    )
    assert not sisa.forgetting_report().is_complete


def test_shards_left_out_of_a_verification_are_named():
    sisa = fitted()
    rows = [sisa.plan_.rows(shard, 1)[0] for shard in (0, 2)]
    sisa.forget(rows)
    report = sisa.forgetting_report(sisa.verify_forgotten(rows[:1]))
    said = report.statements()["verification"]
    assert "Not compared, though rows were erased there: shard 2." in said
    assert not report.is_complete
    # Those of an earlier fit are other rows'.
    sisa.fit(X, y, subjects=PEOPLE).forget(rows[:1])
    report = sisa.forgetting_report(sisa.verify_forgotten(rows[:1]))
    assert report.is_complete


def test_a_verification_that_failed_shows_in_the_report():
    sisa = fitted().forget(5)
    shard = sisa.plan_.shard_of(5)
    sisa.estimators_[shard].theta_[0, 0] += 1e-9
    report = sisa.forgetting_report(sisa.verify_forgotten())
    assert not report.is_complete
    assert (
        f"differ from those in use in shard {shard}."
        in (report.statements()["verification"])
    )
    (row,) = json.loads(report.to_json())["verification"]
    assert row["equal"] is False


def test_a_verification_of_another_ensemble_is_refused():
    other = fitted().forget(5).verify_forgotten()
    with pytest.raises(ValueError, match="of another ensemble"):
        fitted().forget(5).forgetting_report(other)


def test_a_directory_has_the_report_of_the_ensemble_that_wrote_it(tmp_path):
    sisa = fitted(tmp_path / "d").forget([1, 50]).forget(7, relearn=False)
    verification = sisa.verify_forgotten()
    ours, theirs = (
        one.forgetting_report(verification)
        for one in (sisa, SISAClassifier.load(tmp_path / "d"))
    )
    theirs.made = ours.made
    assert ours.to_json() == theirs.to_json()
    assert ours.to_html() == theirs.to_html()
    pd.testing.assert_frame_equal(ours.to_frame(), theirs.to_frame())
