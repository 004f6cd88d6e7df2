"""Constraint objects in estimators, reports, scorers, searches and directories."""

import copy
import json
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.cli import main
from sklearn_fairsisa.constraints import AtLeast, Difference, Ratio
from sklearn_fairsisa.exceptions import UnsupportedToleranceWarning
from sklearn_fairsisa.fairness._constraints import CONSTRAINTS
from sklearn_fairsisa.metrics import FairScorer

METHODS = ["smooth_ensemble", "soft_ensemble", "ensemble", "aggregate_then_postprocess"]
LIST = [
    Ratio("selection_rate", at_least=0.8, by="sex"),
    Difference("false_positive_rate", at_most=0.05, by="race"),
    AtLeast("true_positive_rate", 0.6),
]


def draw(n=900, n_classes=2, seed=0):
    """Scores of three members, labels, and a frame of sensitive features."""
    rng = np.random.default_rng(seed)
    features = pd.DataFrame(
        {
            "sex": np.array(["f", "m"])[rng.integers(0, 2, n)],
            "race": np.array(["a", "b"])[rng.choice(2, n, p=[0.7, 0.3])],
        }
    )
    is_f = (features.sex == "f").to_numpy()
    y = np.where(rng.random(n) < 0.3, 0, rng.integers(0, n_classes, n))
    y = np.where(is_f & (rng.random(n) < 0.2), 0, y)
    strength = np.where(features.race == "a", 1.5, 0.8)
    logits = rng.normal(size=(n, 3, n_classes)) + rng.normal(size=(n, 1, n_classes))
    logits += strength[:, None, None] * np.eye(n_classes)[y][:, None]
    scores = np.exp(logits)
    scores /= scores.sum(axis=2, keepdims=True)
    X = scores[:, :, 1] if n_classes == 2 else scores.reshape(n, -1)
    return X, y, features


def fit(X, y, features, constraints=LIST, **params):
    params = {"objective": "balanced_accuracy_score", "random_state": 0} | params
    fair = FairEnsemblePostprocessor(constraints=constraints, **params)
    return fair.fit(X, y, sensitive_features=features)


def rate(p, y, chosen, decided=1, given=None):
    """Rate at which some people get a decision, by their own labels."""
    chosen = chosen if given is None else chosen & given(y)
    return p[chosen].mean()


def kept_by(p, y, features, slack=1e-8):
    """Whether `LIST` is kept, written out."""
    sex, race = features.sex.to_numpy(), features.race.to_numpy()
    shares = [rate(p, y, sex == s) for s in "fm"]
    alarms = [rate(p, y, race == r, given=lambda y: y == 0) for r in "ab"]
    hits = [
        rate(p, y, (sex == s) & (race == r), given=lambda y: y == 1)
        for s in "fm"
        for r in "ab"
    ]
    return (
        min(shares) >= 0.8 * max(shares) - slack
        and np.ptp(alarms) <= 0.05 + slack
        and min(hits) >= 0.6 - slack
    )


@pytest.mark.parametrize("method", METHODS)
def test_all_constraints_of_a_list_are_kept_at_once(method):
    X, y, features = draw()
    fair = fit(X, y, features, method=method)
    p = fair.selection_probability(X, sensitive_features=features)
    # The smooth model keeps them as estimated, not as counted.
    assert kept_by(p, y, features, 0.06 if method == "smooth_ensemble" else 1e-8)
    report = fair.fairness_report_.to_frame()
    assert report.estimated["selection_rate_ratio_by_sex"] > 0.8 - 1e-8
    assert report.estimated["false_positive_rate_difference_by_race"] < 0.05 + 1e-8
    assert report.estimated["true_positive_rate_group_min"] > 0.6 - 1e-8
    free = fit(X, y, features, "equalized_odds", tol=1.0, method=method)
    assert fair.objective_ < free.objective_


def test_each_constraint_is_measured_as_counted_in_report_and_tradeoff():
    X, y, features = draw()
    fair = fit(X, y, features)
    p = fair.selection_probability(X, sensitive_features=features)
    shares = [rate(p, y, (features.sex == s).to_numpy()) for s in "fm"]
    table = fair.fairness_report_.to_frame()
    counted = min(shares) / max(shares)
    assert table.counted["selection_rate_ratio_by_sex"] == pytest.approx(counted)
    tradeoff = fair.tradeoff([0.0]).iloc[0]
    assert tradeoff.selection_rate_ratio_by_sex_counted == pytest.approx(counted)
    estimated = table.estimated["selection_rate_ratio_by_sex"]
    assert tradeoff.selection_rate_ratio_by_sex == pytest.approx(estimated)
    assert estimated >= 0.8 - 1e-8
    new = fair.tradeoff([0.0], X, y, sensitive_features=features).iloc[0]
    assert new.selection_rate_ratio_by_sex == pytest.approx(counted)


@pytest.mark.parametrize("wanted", [LIST[0], LIST[2]])
def test_a_report_calls_only_differences_gaps(wanted):
    report = fit(*draw(), wanted, method="soft_ensemble").fairness_report_
    assert f"{wanted.measure_name} of {report.without_rule.expected:.3f}" in str(report)
    assert " gap" not in str(report)


def test_a_tradeoff_of_objects_loosens_all_bounds_alike():
    X, y, features = draw()
    strict = [
        Ratio("selection_rate", 0.95, by="sex"),
        AtLeast("true_positive_rate", 0.8),
    ]
    fair = fit(X, y, features, strict, method="soft_ensemble")
    table = fair.tradeoff([0.0, 0.1])
    assert table.selection_rate_ratio_by_sex.tolist() == pytest.approx([0.95, 0.85])
    assert (table.true_positive_rate_group_min >= [0.8 - 1e-8, 0.7 - 1e-8]).all()
    assert table.balanced_accuracy[0] < table.balanced_accuracy[1]
    # By default up to where nothing is constrained.
    whole = fair.tradeoff()
    assert len(whole) == 11
    assert whole.tol[0] == 0
    assert np.ptp(fair.tradeoff([whole.tol.max(), 1.0]).balanced_accuracy) < 1e-9


@pytest.mark.parametrize("method", METHODS)
def test_constraints_of_three_classes_are_kept(method):
    X, y, features = draw(n_classes=3)
    constraints = [
        Ratio("selection_rate", at_least=0.7, by="sex"),
        AtLeast("true_positive_rate", 0.35),
    ]
    fair = fit(X, y, features, constraints, method=method)
    p = fair.selection_probability(X, sensitive_features=features)
    for k in range(3):
        shares = [p[(features.sex == s).to_numpy(), k].mean() for s in "fm"]
        assert min(shares) >= 0.7 * max(shares) - 1e-8
        for _, group in features.assign(p=p[:, k], y=y).groupby(["sex", "race"]):
            assert group.p[group.y == k].mean() > 0.35 - 1e-8


def test_the_words_are_shorthands_of_differences():
    X, y, features = draw()
    for word, constraint in CONSTRAINTS.items():
        named = fit(X, y, features, word, tol=0.05)
        constraint = Difference(constraint.rate, at_most=0.05)
        given = fit(X, y, features, constraint)
        assert named.objective_ == pytest.approx(given.objective_, abs=1e-9)
        assert named.tol_ == 0.05
        assert given.tol_ == 0


def test_a_column_of_x_names_the_attribute():
    X, y, features = draw()
    frame = pd.DataFrame(X, columns=list("abc")).assign(**features)
    fair = FairEnsemblePostprocessor(
        constraints=LIST,
        sensitive_feature=["race", "sex"],
        method="soft_ensemble",
        objective="balanced_accuracy_score",
    ).fit(frame, y)
    assert kept_by(fair.selection_probability(frame), y, features)
    alone = Ratio("selection_rate", at_least=0.9, by="sex")
    for given in (features.sex, features[["sex"]], {"sex": features.sex}):
        fit(X, y, given, alone)


def test_groups_may_keep_their_present_rates():
    X, y, features = draw()
    free = fit(X, y, features, "equalized_odds", tol=1.0, method="soft_ensemble")
    now = free.operating_points_.set_index("group").true_positive_rate
    floors = AtLeast("true_positive_rate", now.to_dict())
    equal = Difference("false_positive_rate", at_most=0.02)
    fair = fit(X, y, features, [floors, equal], method="soft_ensemble")
    points = fair.operating_points_.set_index("group")
    assert (points.true_positive_rate >= now - 1e-8).all()
    assert np.ptp(points.false_positive_rate) < 0.02 + 1e-8


def test_objects_compare_hash_copy_pickle_and_print():
    floors = AtLeast("accuracy", {"a": 0.5, "b": 0.6}, by="race")
    for each in (*LIST, floors):
        for other in (copy.deepcopy(each), pickle.loads(pickle.dumps(each))):
            assert each == other
            assert hash(each) == hash(other)
        assert eval(repr(each)) == each
    assert len({*LIST, floors}) == 4
    assert Ratio("accuracy", 0.8) != Ratio("accuracy", 0.8, by="sex")
    assert Difference("accuracy", 0.8) != Ratio("accuracy", 0.8)
    fair = FairEnsemblePostprocessor(constraints=LIST)
    assert clone(fair).constraints == LIST
    assert "AtLeast('true_positive_rate', 0.6)" in repr(fair)


def test_constraints_stand_in_a_grid_and_in_a_scorer():
    X, y, features = draw(400)
    frame = pd.DataFrame(X, columns=list("abc")).assign(**features)
    fair = FairEnsemblePostprocessor(sensitive_feature=["sex", "race"], random_state=0)
    grid = {"constraints": ["equalized_odds", LIST[0], LIST]}
    scorer = FairScorer(LIST[0], response_method="selection_probability")
    search = GridSearchCV(fair, grid, scoring=scorer, cv=2, error_score="raise")
    search.fit(frame, y)
    assert len(search.cv_results_["params"]) == 3
    p = search.best_estimator_.selection_probability(frame)
    shares = [p[(features.sex == s).to_numpy()].mean() for s in "fm"]
    assert scorer(search, frame, y) == pytest.approx(min(shares) / max(shares))
    alarms = [p[(features.race == r) & (y == 0)].mean() for r in "ab"]
    several = FairScorer(
        {"gap": LIST[1], "least": LIST[2]}, response_method="selection_probability"
    )
    values = several(search, frame, y)
    assert values["gap"] == pytest.approx(-np.ptp(alarms))
    assert 0 < values["least"] < 1
    decided = search.predict(frame)
    shares = [decided[(features.sex == s).to_numpy()].mean() for s in "fm"]
    hard = FairScorer(LIST[0])(search, frame, y)
    assert hard == pytest.approx(min(shares) / max(shares))


@pytest.mark.parametrize(
    ("scorer", "message"),
    [
        (FairScorer(Ratio("selection_rate", 0.8, by="age")), "features are"),
        (FairScorer(LIST[0], response_method="predict_proba"), "about decisions"),
    ],
)
def test_scorers_refuse_what_they_cannot_measure(scorer, message):
    X, y, features = draw(200)
    model = GaussianNB().fit(X, y)
    with pytest.raises(ValueError, match=message):
        scorer(model, X, y, sensitive_features=features)


def test_scorers_of_single_rates_want_a_positive_class():
    X, y, features = draw(200)
    y = np.array(["no", "yes"])[y]
    model = GaussianNB().fit(X, y)
    with pytest.raises(ValueError, match="pos_label"):
        FairScorer(LIST[2])(model, X, y, sensitive_features=features)
    found = FairScorer(LIST[2], pos_label="yes")(
        model, X, y, sensitive_features=features
    )
    assert 0 <= found <= 1
    assert FairScorer(Ratio("accuracy", 0.8))(model, X, y, sensitive_features=features)


@pytest.mark.parametrize(
    ("constraints", "kind", "message"),
    [
        ([], ValueError, "empty list"),
        (["equalized_odds"], TypeError, "Give a word alone"),
        ([LIST[0], "equalized_odds"], TypeError, "Give a word alone"),
        ([LIST[2], AtLeast("true_positive_rate", 0.5)], ValueError, "bound the same"),
        (Ratio("selection_rate", 0.8, by="age"), ValueError, r"\['sex', 'race'\]"),
        (AtLeast("accuracy", {("f", "z"): 0.3}), ValueError, "there are"),
        (AtLeast("accuracy", {"z": 0.3}, by="sex"), ValueError, "there are"),
    ],
)
def test_constraints_about_what_there_is_not_are_refused(constraints, kind, message):
    X, y, features = draw(200)
    with pytest.raises(kind, match=message):
        fit(X, y, features, constraints)


def test_a_tolerance_beside_objects_is_refused():
    X, y, features = draw(200)
    with pytest.raises(ValueError, match="carry their own bounds"):
        fit(X, y, features, tol=0.1)


def test_attributes_without_names_are_refused():
    X, y, features = draw(200)
    with pytest.raises(ValueError, match="have no names"):
        fit(X, y, features.to_numpy())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Ratio("recall", 0.8), "'recall' is no rate"),
        (lambda: Ratio(["recall"], 0.8), "'recall'. is no rate"),
        (lambda: Ratio("accuracy", 1.2), "number in"),
        (lambda: Difference("accuracy", at_most=np.nan), "number in"),
        (lambda: Difference("accuracy", at_most=True), "number in"),
        (lambda: AtLeast("accuracy", {}), "number in"),
        (lambda: AtLeast("accuracy", {"a": 2}), "number in"),
    ],
)
def test_bounds_are_numbers_between_nought_and_one_of_known_rates(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("method", ["ensemble", "aggregate_then_postprocess"])
def test_what_cannot_be_reached_is_refused_with_what_can(method, n_classes):
    X, y, features = draw(n_classes=n_classes)
    high = AtLeast("true_positive_rate", 0.99)
    other = AtLeast("true_negative_rate", 0.9 if n_classes == 2 else 0.6)
    with pytest.raises(ValueError, match="smallest change") as caught:
        fit(X, y, features, [high, other], method=method)
    # What it names is reached, and not more.
    named = str(caught.value).split("one is ")[1].split(" in place")[0]
    reachable = eval(named)
    fit(X, y, features, [reachable, other], method=method)
    beyond = AtLeast("true_positive_rate", reachable.at_least + 0.002)
    with pytest.raises(ValueError, match="smallest change"):
        fit(X, y, features, [beyond, other], method=method)


@pytest.mark.filterwarnings(
    "ignore::sklearn_fairsisa.exceptions.UnsupportedToleranceWarning"
)
@pytest.mark.parametrize(
    ("sensitive_at_predict", "unknown_group"), [(False, "error"), (True, "inferred")]
)
def test_the_change_that_is_named_suffices_where_groups_are_inferred(
    sensitive_at_predict, unknown_group
):
    rng = np.random.default_rng(0)
    _, y, features = draw(200)
    X = rng.normal(size=(200, 3)) + np.eye(3)[0] * y[:, None]
    X[:, 1] += 2 * (features.sex == "f")
    floors = [
        AtLeast("true_positive_rate", 0.95, by="sex"),
        AtLeast("true_negative_rate", 0.9),
    ]

    def refused(floors):
        try:
            FairEnsemblePostprocessor(
                SISAClassifier(GaussianNB(), n_shards=2, random_state=0),
                constraints=floors,
                sensitive_at_predict=sensitive_at_predict,
                unknown_group=unknown_group,
                random_state=0,
            ).fit(X, y, sensitive_features=features["sex"].to_frame())
        except ValueError as error:
            return str(error)
        return ""

    named = refused(floors).split("one is ")[1]
    reachable = eval(named.split(" in place")[0])
    assert not refused([reachable, floors[1]])
    assert refused([reachable.loosened(-0.002), floors[1]])


@pytest.mark.parametrize("floor", [0.95, 0.9541, 0.95467, 0.9549])
def test_the_change_that_is_named_suffices_whatever_its_digits(floor):
    # Of ten votes on each label nine are right.
    y = np.repeat([0, 1], 20)
    votes = np.where(np.arange(40) % 10 == 0, 1 - y, y)[:, None]
    floors = [
        AtLeast("true_positive_rate", floor),
        AtLeast("true_negative_rate", 0.92947),
    ]
    group = np.arange(40) // 10 % 2
    with pytest.raises(ValueError, match="smallest change") as caught:
        fit(votes, y, group, floors, method="ensemble")
    reachable = eval(str(caught.value).split("one is ")[1].split(" in place")[0])
    # Rejecting more people gives up .9 true positives for .1 true negatives.
    assert 0 <= 0.9 - 0.02947 * 0.9 / 0.1 - reachable.at_least < 0.001
    fit(votes, y, group, [reachable, floors[1]], method="ensemble")


def test_confidence_makes_bounds_stricter_until_they_hold():
    X, y, features = draw(4000)
    loose = [Ratio("selection_rate", 0.9, by="sex"), AtLeast("true_positive_rate", 0.5)]
    fair = fit(X, y, features, loose, confidence=0.9, method="soft_ensemble")
    report = fair.fairness_report_
    assert fair.tol_ < 0
    assert report.holds
    assert report.bound <= 0
    assert "hold is supported" in str(report)
    table = report.to_frame()
    assert table.estimated["selection_rate_ratio_by_sex"] > 0.9
    bare = fit(X, y, features, loose, method="soft_ensemble").fairness_report_
    assert not bare.at(confidence=0.9).holds


def test_a_confidence_that_rows_do_not_support_warns():
    X, y, features = draw(300)
    with pytest.warns(UnsupportedToleranceWarning, match="may miss the bounds"):
        fair = fit(X, y, features, confidence=0.95)
    assert not fair.fairness_report_.holds
    with pytest.raises(ValueError, match="Allow some difference"):
        fit(X, y, features, Difference("accuracy"), confidence=0.9)


def test_bounds_hold_at_their_confidence_in_simulations():
    # Rates on many new people of the rule, against the report's bound.
    kept = {"ratio": 0, "least": 0}
    new = draw(20_000, seed=99)
    for seed in range(15):
        X, y, features = draw(600, seed=seed)
        wanted = [LIST[0], AtLeast("true_positive_rate", 0.6, by="race")]
        fair = fit(X, y, features, wanted, method="soft_ensemble")
        table = fair.fairness_report_.at(confidence=0.8).to_frame()
        p = fair.selection_probability(new[0], sensitive_features=new[2])
        shares = [p[(new[2].sex == s).to_numpy()].mean() for s in "fm"]
        hits = [p[((new[2].race == r) & (new[1] == 1)).to_numpy()].mean() for r in "ab"]
        ratio = min(shares) / max(shares)
        kept["ratio"] += table.bound["selection_rate_ratio_by_sex"] <= ratio
        kept["least"] += table.bound["true_positive_rate_group_min_by_race"] <= min(
            hits
        )
    # 15 trials at .8 fall below 8 with probability .004.
    assert min(kept.values()) >= 8


@pytest.mark.parametrize("calibration", ["cross_shard", 0.3])
def test_forgetting_equals_a_twin_that_held_other_values(calibration):
    rng = np.random.default_rng(0)
    _, y, features = draw(500)
    X = rng.normal(size=(500, 3)) + y[:, None]
    forgotten = rng.choice(500, 30, replace=False)
    ends = []
    for other in (False, True):
        here, labels, groups = X.copy(), y.copy(), features.copy()
        if other:
            here[forgotten] += 7.0
            labels[forgotten] = 1 - labels[forgotten]
            groups.loc[forgotten, "race"] = "b"
        sisa = SISAClassifier(GaussianNB(), n_shards=3, random_state=0)
        fair = FairEnsemblePostprocessor(
            sisa, constraints=LIST, calibration=calibration, random_state=0
        ).fit(here, labels, sensitive_features=groups)
        fair.forget(forgotten)
        ends.append(fair)
    a, b = ends
    pd.testing.assert_frame_equal(a.rule_, b.rule_, check_exact=True)
    p, q = (f.selection_probability(X, sensitive_features=features) for f in ends)
    np.testing.assert_array_equal(p, q)
    pd.testing.assert_frame_equal(
        a.fairness_report_.to_frame(), b.fairness_report_.to_frame(), check_exact=True
    )


def test_a_directory_keeps_constraints_and_its_status_names_them(tmp_path, capsys):
    X, y, features = draw(400)
    sisa = SISAClassifier(GaussianNB(), n_shards=2, checkpoint_dir=tmp_path / "d")
    fair = FairEnsemblePostprocessor(sisa, constraints=LIST, random_state=0)
    fair.fit(X, y, sensitive_features=features).forget([3])
    again = FairEnsemblePostprocessor.load(tmp_path / "d")
    assert again.constraints == LIST
    pd.testing.assert_frame_equal(again.rule_, fair.rule_)
    again.forget([4])
    assert main(["status", str(tmp_path / "d"), "--json"]) == 0
    (rule,) = json.loads(capsys.readouterr().out)["rules"].values()
    assert rule["constraint"] == " and ".join(map(repr, LIST))
    ratio = rule["in_calibration"]["selection_rate_ratio_by_sex"]
    assert ratio > 0.8 - 1e-8
    assert main(["status", str(tmp_path / "d")]) == 0
    assert f"selection_rate_ratio_by_sex {ratio:.3f}" in capsys.readouterr().out


@pytest.mark.filterwarnings(
    "ignore::sklearn_fairsisa.exceptions.UnsupportedToleranceWarning"
)
def test_a_directory_whose_rule_is_refused_takes_another_without_training(tmp_path):
    rng = np.random.default_rng(0)
    _, y, features = draw(300)
    X = rng.normal(size=(300, 3)) + y[:, None]
    sisa = SISAClassifier(GaussianNB(), n_shards=2, checkpoint_dir=tmp_path / "d")
    floors = [AtLeast("true_positive_rate", 0.99), AtLeast("true_negative_rate", 0.99)]
    fair = FairEnsemblePostprocessor(sisa, constraints=floors, random_state=0)
    with pytest.raises(ValueError, match="smallest change") as caught:
        fair.fit(X, y, sensitive_features=features)
    assert str(tmp_path / "d") in caught.value.__notes__[0]
    kept = SISAClassifier.load(tmp_path / "d")
    fair.set_params(constraints=LIST).attach(kept, sensitive_features=features)
    again = FairEnsemblePostprocessor.load(tmp_path / "d")
    assert again.constraints == LIST
    pd.testing.assert_frame_equal(again.rule_, fair.rule_)


def test_forgetting_what_made_bounds_reachable_warns_and_erases():
    # Of each label 17 votes are right and 3 wrong; then 3 and 3.
    y = np.repeat([0, 1], 20)
    votes = np.where(np.arange(40) % 20 < 3, 1 - y, y)[:, None]
    floors = [AtLeast("true_positive_rate", 0.8), AtLeast("true_negative_rate", 0.8)]
    fair = fit(votes, y, np.zeros(40) + (np.arange(40) % 2), floors, method="ensemble")
    right = np.flatnonzero(np.arange(40) % 20 >= 6)
    with pytest.warns(UnsupportedToleranceWarning, match="smallest change"):
        fair.forget(right)
    assert fair.forgotten_.tolist() == right.tolist()
    assert fair.tol_ > 0.1


def test_thin_intersections_need_no_row_of_each_label():
    X, y, features = draw(400)
    thin = ((features.sex == "f") & (features.race == "b")).to_numpy()
    y = np.where(thin, 0, y)
    each = [
        Difference("true_positive_rate", at_most=0.05, by="sex"),
        Difference("true_positive_rate", at_most=0.05, by="race"),
    ]
    fair = fit(X, y, features, each, method="soft_ensemble")
    p = fair.selection_probability(X, sensitive_features=features)
    for name in ("sex", "race"):
        hits = [
            p[(features[name] == value).to_numpy() & (y == 1)].mean()
            for value in features[name].unique()
        ]
        assert np.ptp(hits) < 0.05 + 1e-8
    with pytest.raises(ValueError, match="no positive labels"):
        fit(X, y, features, "true_positive_rate_parity")


def test_constraints_hold_for_groups_that_come_later():
    X, y, features = draw(600)
    sisa = SISAClassifier(GaussianNB(), n_shards=2, random_state=0)
    fair = FairEnsemblePostprocessor(sisa, constraints=LIST, random_state=0)
    fair.fit(X[:400], y[:400], sensitive_features=features[:400])
    late = features[400:].assign(race="c")
    fair.partial_fit(X[400:], y[400:], sensitive_features=late)
    assert ("f", "c") in fair.groups_.tolist()
    table = fair.fairness_report_.to_frame()
    assert table.estimated["false_positive_rate_difference_by_race"] < 0.05 + 1e-8
