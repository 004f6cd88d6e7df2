"""Claims about dossiers: their numbers, what they leave out, their bytes."""

import json
import pickle
from decimal import Decimal
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import (
    MetricFrame,
    false_positive_rate,
    selection_rate,
    true_positive_rate,
)
from sklearn.ensemble import VotingClassifier
from sklearn.naive_bayes import GaussianNB

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.constraints import AtLeast, Ratio
from sklearn_fairsisa.dossier import make_dossier

N = 500
rng = np.random.default_rng(0)
# Values that no number of a document looks like.
X = 7919.25 + rng.normal(size=(N, 3))
GROUPS = pd.DataFrame(
    {
        "sex": np.where(rng.random(N) < 0.5, "female", "male"),
        "age": np.where(rng.random(N) < 0.4, "old", "young"),
    }
)
y = np.where(X[:, 0] + rng.normal(size=N) > 7919, "hired", "refused")
PEOPLE = [f"person-{i:04d}" for i in range(N)]
RATES = {
    "selection_rate": selection_rate,
    "true_positive_rate": true_positive_rate,
    "false_positive_rate": false_positive_rate,
}


def fitted(directory=None, groups=GROUPS, calibration="auto", **params):
    sisa = SISAClassifier(
        GaussianNB(), n_shards=3, n_slices=2, random_state=0, checkpoint_dir=directory
    )
    fair = FairEnsemblePostprocessor(
        sisa,
        method="soft_ensemble",
        pos_label="hired",
        random_state=0,
        calibration=calibration,
    )
    fair.set_params(**params)
    return fair.fit(X, y, sensitive_features=groups, subjects=PEOPLE)


def by_fairlearn(selected, labels, groups):
    """Return each rate by group, of decisions or of their probabilities."""
    found = {}
    for name in RATES:
        counted = {
            "selection_rate": np.ones(len(labels), dtype=bool),
            "true_positive_rate": labels == "hired",
            "false_positive_rate": labels != "hired",
        }[name]
        # The mean of probabilities is the rate that is expected.
        found[name] = MetricFrame(
            metrics=lambda _, chosen: np.mean(chosen),
            y_true=labels[counted],
            y_pred=selected[counted],
            sensitive_features=groups[counted],
        ).by_group
    return found


def check_rates(records, decided, probability, labels, groups):
    """Compare the rates of one attribute with those that fairlearn computes."""
    realised = by_fairlearn((decided == "hired").astype(float), labels, groups)
    hard = MetricFrame(
        metrics=RATES,
        y_true=(labels == "hired").astype(int),
        y_pred=(decided == "hired").astype(int),
        sensitive_features=groups,
    )
    expected = by_fairlearn(probability, labels, groups)
    assert len(records) == len(hard.by_group)
    for record, (group, hard_rates) in zip(records, hard.by_group.iterrows()):
        name = group if isinstance(group, str) else ", ".join(group)
        assert record["group"] == name
        for rate in RATES:
            assert record[rate] == pytest.approx(realised[rate][group])
            assert record[rate] == pytest.approx(hard_rates[rate])
            assert record[f"expected_{rate}"] == pytest.approx(expected[rate][group])
        ratio = hard_rates["selection_rate"] / hard.by_group["selection_rate"].max()
        assert record["impact_ratio"] == pytest.approx(ratio)
    return hard


def of_attribute(dossier, attribute):
    rates = dossier.tables()["rates"]
    return [record for record in rates if record["attribute"] == attribute]


@pytest.mark.parametrize("by_subject", [False, True])
def test_rates_of_people_are_those_of_pandas_and_fairlearn(by_subject):
    fair = fitted()
    people, groups, labels = X[100:], GROUPS[100:], y[100:]
    ids = [f"new-{i}" for i in range(len(people))] if by_subject else None
    dossier = make_dossier(
        fair, people, labels, sensitive_features=groups, subjects=ids
    )
    decided = fair.predict(people, sensitive_features=groups, subjects=ids)
    probability = fair.selection_probability(people, sensitive_features=groups)
    assert ((probability > 0) & (probability < 1)).any()
    for attribute, columns in (
        ("sex", groups["sex"]),
        ("age", groups["age"]),
        ("sex and age", groups),
    ):
        records = of_attribute(dossier, attribute)
        hard = check_rates(records, decided, probability, labels, columns)
        gaps = {
            gap["rate"]: gap
            for gap in dossier.tables()["gaps"]
            if gap["attribute"] == attribute
        }
        for rate in RATES:
            assert gaps[rate]["difference"] == pytest.approx(hard.difference()[rate])
            assert gaps[rate]["ratio"] == pytest.approx(hard.ratio()[rate])
        counts = labels_of(columns).value_counts()
        for record in records:
            assert record["people"] == counts[record["group"]]
            assert record["positives"] + record["negatives"] == record["people"]


def labels_of(columns):
    if isinstance(columns, pd.Series):
        return columns
    return columns.agg(", ".join, axis=1)


def test_without_people_rates_are_those_of_the_rows_held_out():
    fair = fitted(calibration=0.4).forget(subjects=PEOPLE[:60])
    rows = fair.calibration_indices_
    groups = GROUPS.iloc[rows]
    dossier = make_dossier(fair)
    decided = fair.predict(
        X[rows], sensitive_features=groups, subjects=np.array(PEOPLE)[rows]
    )
    probability = fair.selection_probability(X[rows], sensitive_features=groups)
    records = of_attribute(dossier, "sex and age")
    check_rates(records, decided, probability, y[rows], groups)
    assert sum(record["people"] for record in records) == len(rows)


def test_across_shards_gaps_are_those_of_the_report():
    fair = fitted(constraints="demographic_parity", tol=0.05)
    dossier = make_dossier(fair)
    report = fair.fairness_report_.to_frame().iloc[0]
    (gap,) = (
        gap
        for gap in dossier.tables()["gaps"]
        if (gap["attribute"], gap["rate"]) == ("sex and age", "selection_rate")
    )
    assert gap["expected_difference"] == pytest.approx(report["counted"])
    assert gap["difference"] == pytest.approx(report["realised"])
    (bounds,) = dossier.tables()["bounds"]
    assert bounds["bound"] == report["bound"]
    groups = pd.DataFrame(dossier.tables()["rule_groups"])
    frame = fair.fairness_report_.group_frame()
    np.testing.assert_array_equal(groups["rows_needed"], frame["rows_needed"])


def test_an_ensemble_without_a_rule_has_rates_of_people_and_says_what_is_missing():
    sisa = SISAClassifier(GaussianNB(), n_shards=3, random_state=0)
    sisa = sisa.fit(X, y, subjects=PEOPLE).forget([3])
    alone = make_dossier(sisa)
    assert "There is no fair rule" in alone.statements()["fairness"]
    assert "No rates are shown" in alone.statements()["impact"]
    assert alone.tables()["rule"] == alone.tables()["rates"] == []
    sex = GROUPS["sex"]
    dossier = make_dossier(
        sisa, X[9:], y[9:], sensitive_features=sex[9:], pos_label="hired"
    )
    decided = sisa.predict(X[9:])
    check_rates(
        of_attribute(dossier, "sex"),
        decided,
        (decided == "hired") * 1.0,
        y[9:],
        sex[9:],
    )
    assert not dossier.tables()["bounds"]


def test_of_more_classes_each_decision_has_its_rates():
    labels = np.array(["low", "middle", "high"])[rng.integers(0, 3, N)]
    sisa = SISAClassifier(GaussianNB(), n_shards=3, random_state=0).fit(X, labels)
    sex = GROUPS["sex"]
    dossier = make_dossier(sisa, X, labels, sensitive_features=sex)
    decided = sisa.predict(X)
    for record in dossier.tables()["rates"]:
        chosen = decided == record["decision"]
        inside, suits = sex == record["group"], labels == record["decision"]
        assert record["selection_rate"] == pytest.approx(chosen[inside].mean())
        assert record["true_positive_rate"] == pytest.approx(
            chosen[inside & suits].mean()
        )
        assert record["false_positive_rate"] == pytest.approx(
            chosen[inside & ~suits].mean()
        )


def both(dossier):
    return dossier.to_html(), dossier.to_json()


@pytest.mark.parametrize("params", [{}, {"calibration": 0.5}])
def test_the_same_state_gives_the_same_bytes(tmp_path, params):
    fair = fitted(tmp_path / "d", confidence=0.9, tol=0.5, **params).forget([4])
    verification = fair.estimator_.verify_forgotten()
    first = both(make_dossier(fair, verification=verification))
    for again in (
        FairEnsemblePostprocessor.load(tmp_path / "d"),
        pickle.loads(pickle.dumps(fair)),
    ):
        assert both(make_dossier(again, verification=verification)) == first
    assert verification.time in first[1]


def test_nothing_is_left_of_erased_people():
    # All people of one group, and the greatest values, are erased.
    groups, features, labels = GROUPS.copy(), X.copy(), y.copy()
    ghosts = np.arange(40, 60)
    groups.loc[ghosts, "sex"] = "ghost<&"
    groups.loc[ghosts, "age"] = "spectral"
    features[ghosts] = 4242.125
    constraints = [
        Ratio("selection_rate", 0.8, by="sex"),
        AtLeast("selection_rate", {"ghost<&": 0.1, "male": 0.1}, by="sex"),
    ]
    fair = FairEnsemblePostprocessor(
        SISAClassifier(GaussianNB(), n_shards=3, random_state=0),
        constraints=constraints,
        pos_label="hired",
        random_state=0,
    ).fit(features, labels, sensitive_features=groups, subjects=PEOPLE)
    assert "ghost" in make_dossier(fair).to_json()
    with pytest.warns(UserWarning, match="ghost"):
        fair.forget(subjects=[PEOPLE[i] for i in ghosts])
    dossier = make_dossier(fair, verification=fair.estimator_.verify_forgotten())
    for text in both(dossier):
        for trace in ("ghost", "spectral", "4242", "person-", "7919"):
            assert trace not in text
    salted = [row for entry in fair.estimator_._audit.entries for row in entry["rows"]]
    assert len(salted) == len(ghosts)
    assert not any(row in dossier.to_json() for row in salted)
    # The counts are those of the people who are left.
    left = np.delete(np.arange(N), ghosts)
    counts = GROUPS.iloc[left]["sex"].value_counts()
    people = {r["group"]: r["people"] for r in of_attribute(dossier, "sex")}
    assert people == counts.to_dict()


def test_what_erased_people_were_has_no_influence():
    other = GROUPS.copy()
    erased = np.arange(100, 130)
    other.loc[erased] = other.loc[erased].to_numpy()[:, [0, 1]][::-1]
    told = []
    for groups in (GROUPS, other):
        fair = fitted(groups=groups).forget(subjects=[PEOPLE[i] for i in erased])
        facts = json.loads(make_dossier(fair).to_json())
        told.append(
            {k: facts[k] for k in ("rates", "gaps", "bounds", "rule_in_words", "rule")}
        )
    assert told[0] == told[1]


def test_people_who_were_erased_are_refused():
    fair = fitted().forget(subjects=PEOPLE[:2])
    with pytest.raises(ValueError, match="2 of the 500 rows are of people whose rows"):
        make_dossier(fair, X, sensitive_features=GROUPS, subjects=PEOPLE)
    make_dossier(fair, X[2:], sensitive_features=GROUPS[2:], subjects=PEOPLE[2:])


@pytest.mark.parametrize("kind", [str, int, Decimal])
def test_people_are_refused_until_rows_of_theirs_are_given_again(kind):
    people = [kind(number) for number in range(len(X))]
    sisa = SISAClassifier(GaussianNB(), n_shards=3, random_state=0)
    sisa.fit(X, y, subjects=people)
    sisa.forget(subjects=people[:2])
    given = {"sensitive_features": GROUPS, "subjects": people}
    with pytest.raises(ValueError, match="2 of the 500 rows are of people whose rows"):
        make_dossier(sisa, X, **given)
    if kind is int:
        # As a file may have them.
        with pytest.raises(ValueError, match="2 of the 500 rows"):
            make_dossier(sisa, X, **given | {"subjects": list(map(str, people))})
    sisa.partial_fit(X[:2], y[:2], subjects=people[:2])
    assert make_dossier(sisa, X, **given).tables()["rates"]


def test_a_rule_that_is_behind_is_said_to_be(tmp_path):
    fair = fitted(tmp_path / "d")
    plan = fair.estimator_.plan_
    fair.forget([plan.rows(shard)[0] for shard in range(3)], relearn=False)
    dossier = make_dossier(fair)
    (rule,) = dossier.tables()["rule"]
    assert rule["is_behind"]
    assert rule["confidence_holds"] is None
    assert any("not solved" in point for point in dossier.open_points())
    assert dossier.tables()["rates"] == []
    with pytest.raises(ValueError, match="The rule is behind"):
        make_dossier(fair, X, sensitive_features=GROUPS)
    fair.relearn()
    assert make_dossier(fair).tables()["rates"]


def test_whether_the_confidence_still_holds_is_that_of_the_rule():
    fair = fitted(confidence=0.9, tol=0.5)
    (rule,) = make_dossier(fair).tables()["rule"]
    assert rule["confidence"] == 0.9
    assert rule["bound_at_confidence"] == pytest.approx(fair.fairness_report_.bound)
    assert rule["confidence_holds"] == (rule["bound_at_confidence"] <= 0.5)


def test_a_rule_that_infers_groups_needs_them_for_rates_alone():
    club = np.where(X[:, 1] + rng.normal(size=N) > 7919, "a", "b")
    fair = fitted(
        groups=club, sensitive_at_predict=False, method="smooth_ensemble", tol=0.5
    )
    dossier = make_dossier(fair, X, y, sensitive_features=GROUPS)
    decided, probability = fair.predict(X), fair.selection_probability(X)
    records = of_attribute(dossier, "sex and age")
    check_rates(records, decided, probability, y, GROUPS)
    assert not make_dossier(fair).tables()["rule"][0]["sensitive_at_predict"]


def test_rates_by_more_attributes_than_the_rule_decides_by():
    fair = fitted(groups=GROUPS["sex"])
    both_given = make_dossier(fair, X, y, sensitive_features=GROUPS)
    alone = make_dossier(fair, X, y, sensitive_features=GROUPS["sex"])
    assert of_attribute(both_given, "sex") == of_attribute(alone, "sex")
    assert of_attribute(both_given, "age")
    with pytest.raises(ValueError, match="The rule decides by 2 attributes"):
        make_dossier(fitted(), X, sensitive_features=GROUPS[["sex"]])


class Page(HTMLParser):
    """The tags of a page whose every element is closed in its turn."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.heads, self.tags = [], [], set()
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("th", "dt"):
            self.heads.append(data)


def test_names_cannot_write_html():
    groups = np.where(GROUPS["sex"] == "male", "<script>a()</script>", "'\"&")
    labels = np.where(y == "hired", "<b>yes</b>", "no&")
    fair = FairEnsemblePostprocessor(
        SISAClassifier(GaussianNB(), n_shards=3, random_state=0), pos_label="<b>yes</b>"
    ).fit(X, labels, sensitive_features=groups)
    text = make_dossier(fair, X, labels, sensitive_features=groups).to_html()
    page = Page(text)
    assert "script" not in page.tags
    assert "b" not in page.tags
    assert "&lt;script&gt;a()&lt;/script&gt;" in text


def test_every_column_has_a_title_and_a_definition():
    fair = fitted(confidence=0.9, tol=0.5).forget([4]).forget([9], relearn=False)
    fair.relearn()
    told = json.loads(make_dossier(fair, X, y, sensitive_features=GROUPS).to_json())
    for table, columns in told["definitions"].items():
        for record in told[table]:
            assert record.keys() == columns.keys(), table
        assert all(column["definition"].endswith(".") for column in columns.values())
    page = Page(make_dossier(fair).to_html())
    assert {"Impact ratio", "Judgement", "Bound"} <= set(page.heads)


def test_what_cannot_have_a_dossier_is_named():
    with pytest.raises(TypeError, match="got GaussianNB"):
        make_dossier(GaussianNB())
    voting = VotingClassifier([("a", GaussianNB()), ("b", GaussianNB())])
    fair = FairEnsemblePostprocessor(voting, method="soft_ensemble", calibration=0.5)
    fair = fair.fit(X, y, sensitive_features=GROUPS["sex"])
    with pytest.raises(TypeError, match="over a SISAClassifier, got VotingClassifier"):
        make_dossier(fair)
    fair = fitted()
    with pytest.raises(ValueError, match="y is given without X"):
        make_dossier(fair, y=y)
    with pytest.raises(ValueError, match=r"The labels \['none'\] are none of"):
        make_dossier(fair, X, ["none"] * N, sensitive_features=GROUPS)
    with pytest.raises(ValueError, match="'perhaps' is not among the decisions"):
        make_dossier(fair, pos_label="perhaps")
    with pytest.raises(ValueError, match="not seen in fit"):
        make_dossier(fair, X, sensitive_features=GROUPS.assign(age="other"))
    with pytest.raises(ValueError, match="groups of the people are missing"):
        make_dossier(fair, X)
