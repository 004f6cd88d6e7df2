"""Which class is positive is what `pos_label` says, not the alphabet."""

import numpy as np
import pandas as pd
import pytest
from sklearn.naive_bayes import GaussianNB

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.constraints import AtLeast, Difference, Ratio
from sklearn_fairsisa.metrics import FairScorer
from sklearn_fairsisa.postprocessing._methods import METHODS

COSTS = {"false_positive": 1, "false_negative": 1.5}
NAMES = {"up": ("no", "yes"), "down": ("denied", "approved")}
FLOOR = AtLeast("true_positive_rate", 0.7)


def draw(n=400):
    rng = np.random.default_rng(1)
    group, good = rng.integers(0, 2, n), rng.integers(0, 2, n)
    X = rng.normal(size=(n, 3)) + good[:, None] * np.where(group, 1.0, 0.6)[:, None]
    return X, good, group


def fit(names, *, ensemble=True, **params):
    X, good, group = draw()
    y = np.array(names)[good]
    params = {"pos_label": names[1], "random_state": 0, "objective": COSTS} | params
    sisa = SISAClassifier(GaussianNB(), n_shards=3, random_state=0)
    if not ensemble:
        X = np.where(np.random.default_rng(0).random((len(y), 3)) < 0.7, y[:, None], "")
        X = np.where(X == "", names[0], X)
    fair = FairEnsemblePostprocessor(sisa if ensemble else None, **params)
    return fair.fit(X, y, sensitive_features=group), X, y, group


@pytest.mark.parametrize("ensemble", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_the_same_people_get_the_good_outcome_whatever_the_labels(method, ensemble):
    chosen, tables = [], []
    for names in NAMES.values():
        fair, X, _, group = fit(names, method=method, ensemble=ensemble)
        assert fair.pos_label_ == names[1]
        p = fair.selection_probability(X, sensitive_features=group)
        chosen.append((p, fair.predict(X, sensitive_features=group) == names[1]))
        tables.append(fair.operating_points_)
    np.testing.assert_allclose(chosen[0][0], chosen[1][0], atol=1e-6)
    # Coins are of the row, and rounding hardly moves probabilities.
    if ensemble:
        np.testing.assert_array_equal(chosen[0][1], chosen[1][1])
    pd.testing.assert_frame_equal(*tables, atol=1e-6)


def test_rates_costs_and_transform_are_of_the_positive_class():
    fair, X, y, group = fit(NAMES["down"], method="soft_ensemble", constraints=FLOOR)
    p = fair.selection_probability(X, sensitive_features=group)
    # Across shards calibration rows are decided by the members that count for them.
    points = fair.operating_points_.set_index("group").true_positive_rate
    assert (points >= 0.7 - 1e-8).all()
    hits = [p[(group == g) & (y == "approved")].mean() for g in (0, 1)]
    np.testing.assert_allclose(hits, points, atol=0.05)
    column = fair.transform(X, sensitive_features=group)[:, 0]
    np.testing.assert_array_equal(column, p)
    decided = fair.predict(X, sensitive_features=group)
    sure = (p == 0) | (p == 1)
    np.testing.assert_array_equal((decided == "approved")[sure], p[sure] == 1)
    assert fair.score(X, y, sensitive_features=group) == np.mean(decided == y)


def test_scorers_measure_the_class_that_they_are_asked_for():
    fair, X, y, group = fit(NAMES["down"])

    def share(y_true, y_pred):
        return np.mean(y_pred)

    p = fair.selection_probability(X, sensitive_features=group).mean()
    for label, expected in (("approved", p), ("denied", 1 - p)):
        scorer = FairScorer(
            share, response_method="selection_probability", pos_label=label,
            greater_is_better=True,
        )  # fmt: skip
        found = scorer(fair, X, y, sensitive_features=group)
        assert found == pytest.approx(expected)


@pytest.mark.parametrize("method", ["soft_ensemble", "ensemble"])
def test_forgetting_and_new_rows_keep_the_positive_class(method):
    ends = []
    for names in NAMES.values():
        fair, X, y, group = fit(names, method=method)
        fair.forget([3, 7])
        fair.partial_fit(X[:50] + 0.1, y[:50], sensitive_features=group[:50])
        fair.amend([5], X[:1], [names[1]])
        ends.append(fair.selection_probability(X, sensitive_features=group))
    np.testing.assert_allclose(*ends, atol=1e-6)


def test_a_directory_and_an_attached_rule_keep_the_positive_class(tmp_path):
    X, good, group = draw()
    y = np.array(NAMES["down"])[good]
    sisa = SISAClassifier(GaussianNB(), checkpoint_dir=tmp_path / "d", random_state=0)
    FairEnsemblePostprocessor(
        sisa, objective=COSTS, pos_label="approved", random_state=0
    ).fit(X, y, sensitive_features=group)
    again = FairEnsemblePostprocessor.load(tmp_path / "d").forget([5])
    assert again.pos_label_ == "approved"
    other = FairEnsemblePostprocessor(
        objective=COSTS, pos_label="approved", random_state=0
    ).attach(again.estimator_, sensitive_features=group, name="other")
    p = again.selection_probability(X, sensitive_features=group)
    q = other.selection_probability(X, sensitive_features=group)
    np.testing.assert_array_equal(p, q)
    assert p[y == "approved"].mean() > p[y == "denied"].mean()


@pytest.mark.parametrize(
    "params",
    [
        {"objective": COSTS},
        {"constraints": "true_positive_rate_parity"},
        {"constraints": "false_positive_rate_parity"},
        {"constraints": Ratio("selection_rate", 0.8)},
        {"constraints": FLOOR},
    ],
)
def test_what_depends_on_the_positive_class_wants_to_know_it(params):
    params = {"objective": "accuracy_score", "pos_label": None} | params
    with pytest.raises(ValueError, match="for example pos_label='yes', or use"):
        fit(("yes", "no"), **params)
    X, good, group = draw()
    with pytest.raises(ValueError, match="which class is positive"):
        FairEnsemblePostprocessor(**params).fit(
            X > 0, good + 1, sensitive_features=group
        )
    for labels in ((0, 1), (-1, 1), (False, True)):
        y = np.array(labels)[good]
        FairEnsemblePostprocessor(**params).fit(X > 0, y, sensitive_features=group)


@pytest.mark.parametrize(
    "params",
    [
        {"constraints": "equalized_odds"},
        {"constraints": "demographic_parity"},
        {"constraints": Difference("accuracy", at_most=0.05)},
    ],
)
def test_what_is_the_same_for_both_classes_needs_no_positive_one(params):
    values = [
        fit(names, pos_label=None, objective="accuracy_score", **params)[0].objective_
        for names in NAMES.values()
    ]
    assert values[0] == pytest.approx(values[1], abs=0.01)


def test_positive_classes_that_there_are_not_are_refused():
    with pytest.raises(ValueError, match="pos_label='maybe' is not one of"):
        fit(NAMES["up"], pos_label="maybe")
    X, good, group = draw()
    fair = FairEnsemblePostprocessor(pos_label=1)
    with pytest.raises(ValueError, match="is for two classes"):
        fair.fit(X > 0, good + (X[:, 0] > 1), sensitive_features=group)
    fair = fit(NAMES["up"], objective="accuracy_score")[0]
    with pytest.raises(ValueError, match="is for two classes"):
        fair.partial_fit(X[:5], ["maybe"] * 5, sensitive_features=group[:5])
