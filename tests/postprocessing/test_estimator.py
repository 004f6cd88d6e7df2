import pickle
from contextlib import contextmanager

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from fairlearn.metrics import equalized_odds_difference
from fairlearn.postprocessing import ThresholdOptimizer
from held import calibrated
from scipy import sparse
from scipy.special import logit
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    GradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from sklearn_fairsisa.exceptions import (
    DegenerateRuleWarning,
    EmptyShardWarning,
    UnconstrainedGroupWarning,
)
from sklearn_fairsisa.postprocessing import (
    FairEnsemblePostprocessor,
    _calibrated,
    _rule,
)
from sklearn_fairsisa.postprocessing._rule import learn_rule
from sklearn_fairsisa.sisa import SISAClassifier
from sklearn_fairsisa.sisa._digests import digest

METHODS = [
    "aggregate_then_postprocess",
    "postprocess_then_aggregate",
    "ensemble",
    "soft_ensemble",
    "smooth_ensemble",
]
# Of each member, or as estimated, the others make the rates equal.
FAIR_IN_CALIBRATION = METHODS[:1] + METHODS[2:4]
# The default has other evidence beside the members: heads that know the group.
ON_MEMBERS = METHODS[:4]


def make_rows(n=1200, n_groups=2, seed=0):
    """Features, labels and groups, the features saying less of some groups."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, n_groups, n)
    y = (rng.random(n) < 0.35 + 0.1 * group).astype(int)
    signal = (2 * y - 1) * (1.2 - 0.4 * group / n_groups)
    X = rng.normal(size=(n, 4)) + signal[:, None] * [0.7, 0.4, 0.2, 0.0]
    return X, y, np.array(["a", "b", "c", "d"])[group]


def make_votes(n=800, n_members=5, n_groups=2, seed=0, scores=False):
    rng = np.random.default_rng(seed)
    group = rng.integers(0, n_groups, n)
    y = (rng.random(n) < 0.4 + 0.1 * group).astype(int)
    quality = (1.5 - group / n_groups)[:, None]
    margin = (2 * y - 1)[:, None] * quality + 1.5 * rng.normal(size=(n, n_members))
    margin += rng.normal(size=(n, 1))
    score = 1 / (1 + np.exp(-margin))
    return (score if scores else (score > 0.5).astype(int)), y, group


def sisa(**params):
    defaults = {"n_shards": 4, "n_slices": 2, "random_state": 3}
    return SISAClassifier(SGDClassifier(loss="log_loss"), **(defaults | params))


def odds_gap(probability, y, group, weight=None):
    """Largest difference between groups of the expected FPR and TPR."""
    weight = np.ones(len(y)) if weight is None else weight
    rates = [
        [
            np.average(probability[rows], weights=weight[rows])
            for rows in ((group == a) & (y == label) for label in np.unique(y))
        ]
        for a in np.unique(group)
    ]
    return np.ptp(rates, axis=0).max()


@contextmanager
def refused(fair, message):
    """What runs here is refused and changes nothing of a post-processor."""
    before = dict(vars(fair))
    with pytest.raises(ValueError, match=message):
        yield
    assert vars(fair).keys() == before.keys()
    assert all(value is before[name] for name, value in vars(fair).items())


# The rule ------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_votes_of_any_type_give_one_rule_and_are_kept_as_bytes(method):
    votes, y, group = make_votes(400, n_groups=3)
    rules = []
    for given in (votes.astype(bool), votes.astype(np.uint8), votes, votes * 1.0):
        fair = FairEnsemblePostprocessor(method=method, random_state=0)
        fair.fit(given, y, sensitive_features=group)
        if given.dtype != float:
            assert fair._rows.scores.dtype == bool
        decided = fair.predict(votes, sensitive_features=group)
        rules.append(
            pickle.dumps(
                (calibrated(fair).rule, calibrated(fair).holds_only_votes, decided)
            )
        )
    assert len(set(rules)) == 1


@pytest.mark.parametrize("method", FAIR_IN_CALIBRATION)
@pytest.mark.parametrize("n_groups", [2, 4])
@pytest.mark.parametrize("weighted", [False, True])
def test_expected_odds_are_equal_in_calibration(method, n_groups, weighted):
    X, y, group = make_votes(n_groups=n_groups, scores=method == "soft_ensemble")
    weight = np.random.default_rng(1).random(len(y)) + 0.1 if weighted else None
    fair = FairEnsemblePostprocessor(method=method, random_state=0)
    fair.fit(X, y, sensitive_features=group, sample_weight=weight)
    probability = fair.selection_probability(X, sensitive_features=group)
    assert odds_gap(probability, y, group, weight) < 1e-9
    correct = np.where(y == 1, probability, 1 - probability)
    assert fair.objective_ == pytest.approx(np.average(correct, weights=weight))


@pytest.mark.parametrize("method", METHODS)
def test_predictions_have_the_expected_rates(method):
    X, y, group = make_votes(20_000, scores=True)
    fair = FairEnsemblePostprocessor(method=method, random_state=0)
    fair.fit(X, y, sensitive_features=group)
    decided = fair.predict(X, sensitive_features=group)
    probability = fair.selection_probability(X, sensitive_features=group)
    for a in (0, 1):
        for label in (0, 1):
            rows = (group == a) & (y == label)
            assert decided[rows].mean() == pytest.approx(
                probability[rows].mean(), abs=0.02
            )
    points = fair.operating_points_.set_index("group")
    rows = (group == 1) & (y == 1)
    # A smooth estimate of 5000 people's rate is near to it, not equal.
    margin = 0.01 if method == "smooth_ensemble" else 1e-9
    rate = pytest.approx(probability[rows].mean(), abs=margin)
    assert points.true_positive_rate[1] == rate


@pytest.mark.parametrize(
    ("constraint", "differences"),
    [
        ("equalized_odds", ["true_positive_rate", "false_positive_rate"]),
        ("demographic_parity", ["demographic_parity"]),
        ("true_positive_rate_parity", ["true_positive_rate"]),
        ("false_negative_rate_parity", ["true_positive_rate"]),
        ("false_positive_rate_parity", ["false_positive_rate"]),
        ("true_negative_rate_parity", ["false_positive_rate"]),
    ],
)
@pytest.mark.parametrize("method", FAIR_IN_CALIBRATION)
def test_the_tolerance_holds_and_pays_for_every_constraint(
    method, constraint, differences
):
    X, y, group = make_votes(n_groups=3, scores=method == "soft_ensemble")
    fair = FairEnsemblePostprocessor(
        method=method, constraints=constraint, random_state=0
    ).fit(X, y, sensitive_features=group)
    table = fair.tradeoff([0.0, 0.02, 0.1, 1.0])
    for name in differences:
        assert (table[f"{name}_difference"] <= table.tol + 1e-9).all()
    assert (np.diff(table.accuracy) >= -1e-9).all()
    assert (table.accuracy < 1).all()
    loose = clone(fair).set_params(tol=0.1).fit(X, y, sensitive_features=group)
    assert loose.objective_ == pytest.approx(table.accuracy[2])


def test_tradeoff_ends_where_the_constraint_stops_to_matter():
    X, y, group = make_votes()
    fair = FairEnsemblePostprocessor(random_state=0).fit(X, y, sensitive_features=group)
    table = fair.tradeoff()
    free = fair.tradeoff([1.0])
    assert len(table) == 11
    assert table.accuracy.iloc[-1] == pytest.approx(free.accuracy[0])
    assert table.accuracy.iloc[-2] < free.accuracy[0]


def test_tradeoff_on_new_rows_is_what_refitting_shows_there():
    X, y, group = make_votes(1000)
    new_X, new_y, new_group = make_votes(500, seed=9)
    fair = FairEnsemblePostprocessor(random_state=0).fit(X, y, sensitive_features=group)
    table = fair.tradeoff([0.05], new_X, new_y, sensitive_features=new_group)
    again = FairEnsemblePostprocessor(tol=0.05, random_state=0)
    again.fit(X, y, sensitive_features=group)
    p = again.selection_probability(new_X, sensitive_features=new_group)
    assert table.accuracy[0] == pytest.approx(np.where(new_y, p, 1 - p).mean())
    assert table.equalized_odds_difference[0] == pytest.approx(
        odds_gap(p, new_y, new_group)
    )
    assert table.randomised_share[0] == pytest.approx(((p > 0) & (p < 1)).mean())


def test_costs_move_the_errors_to_the_cheaper_kind():
    X, y, group = make_votes()
    points = []
    for miss in (0.2, 5.0):
        fair = FairEnsemblePostprocessor(
            method="ensemble",
            objective={"false_positive": 1.0, "false_negative": miss},
            random_state=0,
        ).fit(X, y, sensitive_features=group)
        points.append(fair.operating_points_.iloc[0, 1:].to_numpy(float))
        p = fair.selection_probability(X, sensitive_features=group)
        cost = np.where(y == 1, miss * (1 - p), p).mean()
        assert fair.objective_ == pytest.approx(cost)
    assert (points[0] < points[1]).all()


@pytest.mark.parametrize("constraint", ["equalized_odds", "demographic_parity"])
def test_no_worse_than_fairlearn_on_the_same_hard_aggregate(constraint):
    X, y, group = make_votes(n_groups=3)
    share = X.mean(axis=1, keepdims=True)

    class Majority(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.classes_ = np.unique(y)
            return self

        def predict(self, X):
            return (X[:, 0] > 0.5).astype(int)

    peer = ThresholdOptimizer(
        estimator=Majority().fit(share, y),
        constraints=constraint,
        objective="accuracy_score",
        prefit=True,
        predict_method="predict",
        grid_size=100_000,
    ).fit(share, y, sensitive_features=group)
    theirs = peer._pmf_predict(share, sensitive_features=group)[:, 1]
    fair = FairEnsemblePostprocessor(
        method="aggregate_then_postprocess", constraints=constraint, random_state=0
    ).fit(X, y, sensitive_features=group)
    # fairlearn's solution is ours up to the fineness of its grid.
    assert fair.objective_ == pytest.approx(
        np.where(y == 1, theirs, 1 - theirs).mean(), abs=1e-4
    )
    assert fair.objective_ >= np.where(y == 1, theirs, 1 - theirs).mean() - 1e-9


def test_no_worse_than_fairlearn_on_the_same_score():
    X, y, group = make_votes(n_members=1, n_groups=3, scores=True)

    class Score(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.classes_ = np.unique(y)
            return self

        def predict_proba(self, X):
            return np.c_[1 - X[:, 0], X[:, 0]]

    peer = ThresholdOptimizer(
        estimator=Score().fit(X, y),
        constraints="equalized_odds",
        objective="accuracy_score",
        prefit=True,
        predict_method="predict_proba",
        grid_size=10_000,
    ).fit(X, y, sensitive_features=group)
    theirs = peer._pmf_predict(X, sensitive_features=group)[:, 1]
    fair = FairEnsemblePostprocessor(method="soft_ensemble", random_state=0)
    fair.fit(X, y, sensitive_features=group)
    value = np.where(y == 1, theirs, 1 - theirs).mean()
    assert fair.objective_ == pytest.approx(value, abs=1e-3)
    assert fair.objective_ >= value - 1e-9


def test_rule_table_gives_masses_and_probabilities_of_cells():
    X, y, group = make_votes()
    group = np.array(["men", "women"])[group]
    for method in METHODS:
        fair = FairEnsemblePostprocessor(method=method, random_state=0)
        rule = fair.fit(X, y, sensitive_features=group).rule_
        assert list(rule) == ["group", "cell", "mass", "probability"]
        assert set(rule.group) == {"men", "women"}
        n_rules = 5 if method == "postprocess_then_aggregate" else 1
        assert rule.mass.sum() == pytest.approx(n_rules)
        assert rule.probability.between(0, 1).all()
        assert not rule.duplicated(["group", "cell"]).any()
    by_pattern = FairEnsemblePostprocessor(method="ensemble", random_state=0)
    rule = by_pattern.fit(X, y, sensitive_features=group).rule_
    selected = by_pattern.selection_probability(X, sensitive_features=group)
    patterns = ["".join(map(str, votes)) for votes in X]
    table = rule.set_index(["group", "cell"]).probability
    np.testing.assert_array_equal(selected, table.loc[list(zip(group, patterns))])
    assert by_pattern.randomised_share_ == pytest.approx(
        rule.mass[(rule.probability > 0) & (rule.probability < 1)].sum()
    )


@pytest.mark.parametrize("method", FAIR_IN_CALIBRATION)
def test_points_lie_within_the_boundaries(method):
    X, y, group = make_votes(n_groups=3)
    fair = FairEnsemblePostprocessor(method=method, random_state=0)
    fair.fit(X, y, sensitive_features=group)
    members = fair.member_points_.set_index(["member", "group"])
    for a, boundary in fair.boundaries_.groupby("group"):
        x, top = boundary.false_positive_rate, boundary.true_positive_rate
        point = fair.operating_points_.set_index("group").loc[a]
        majority = members.loc[("majority", a)]
        for reached in (point, majority):
            at = np.interp(reached.false_positive_rate, x, top)
            assert reached.true_positive_rate <= at + 1e-9
    first = (X[:, 1] == 1)[(group == 2) & (y == 1)].mean()
    assert members.true_positive_rate[(1, 2)] == pytest.approx(first)
    fair = FairEnsemblePostprocessor(method="postprocess_then_aggregate")
    assert not hasattr(fair.fit(X, y, sensitive_features=group), "boundaries_")


def test_a_constant_rule_warns():
    # Nine in ten are positive, whatever the members say.
    y = np.tile([1] * 9 + [0], 40)
    X, group = np.arange(400)[:, None] // 10 % 2, np.arange(400) // 20 % 2
    with pytest.warns(DegenerateRuleWarning, match="same for everyone") as warned:
        fair = FairEnsemblePostprocessor().fit(X, y, sensitive_features=group)
    assert warned[0].filename == __file__
    with pytest.warns(DegenerateRuleWarning, match="same for everyone") as warned:
        fair.forget([0])
    assert warned[0].filename == __file__
    assert (fair.predict(X, sensitive_features=group) == 1).all()


# Coins ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_the_same_person_gets_the_same_answer_anywhere(method):
    X, y, group = make_rows()
    fair = FairEnsemblePostprocessor(
        BaggingClassifier(LogisticRegression(), n_estimators=5),
        method=method,
        random_state=0,
    ).fit(X, y, sensitive_features=group)
    together = fair.predict(X, sensitive_features=group)
    assert fair.randomised_share_ > 0.05
    order = np.random.default_rng(0).permutation(len(X))[:200]
    np.testing.assert_array_equal(
        fair.predict(X[order], sensitive_features=group[order]), together[order]
    )
    np.testing.assert_array_equal(
        fair.predict(X.astype(np.float32), sensitive_features=group)[order],
        together[order],
    )
    alone = [fair.predict(X[[i]], sensitive_features=group[[i]])[0] for i in order[:20]]
    np.testing.assert_array_equal(alone, together[order[:20]])


def test_coins_of_votes_are_drawn_by_position():
    X, y, group = make_votes(4000)
    fair = FairEnsemblePostprocessor(random_state=0)
    fair.fit(X, y, sensitive_features=group)
    p = fair.selection_probability(X, sensitive_features=group)
    decided = fair.predict(X, sensitive_features=group)
    np.testing.assert_array_equal(fair.predict(X, sensitive_features=group), decided)
    # People of the same votes and group may get different answers.
    for value in np.unique(p[(p > 0) & (p < 1)]):
        rows = p == value
        if rows.sum() > 300:
            assert decided[rows].mean() == pytest.approx(value, abs=0.1)


def test_an_integer_seed_repeats_everything_and_leaves_the_global_generator():
    X, y, group = make_rows()
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    predictions = [
        FairEnsemblePostprocessor(
            BaggingClassifier(DecisionTreeClassifier(max_depth=3), n_estimators=4),
            random_state=7,
        )
        .fit(X, y, sensitive_features=group)
        .predict(X, sensitive_features=group)
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*predictions)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


# Ensembles -----------------------------------------------------------------------


def ensembles():
    tree, line = DecisionTreeClassifier(max_depth=3), LogisticRegression()
    return {
        "sisa": sisa(),
        "bagging": BaggingClassifier(tree, n_estimators=5),
        "bagging on some features": BaggingClassifier(
            line, n_estimators=5, max_features=0.5
        ),
        "bagging without probabilities": BaggingClassifier(LinearSVC(), n_estimators=5),
        "boosting": AdaBoostClassifier(tree, n_estimators=5),
        "forest": RandomForestClassifier(n_estimators=6, max_depth=4),
        "voting": VotingClassifier([("t", tree), ("l", line), ("n", GaussianNB())]),
        "soft voting": VotingClassifier([("t", tree), ("l", line)], voting="soft"),
        "pipeline": make_pipeline(StandardScaler(), BaggingClassifier(line)),
    }


@pytest.mark.parametrize("name", list(ensembles()))
@pytest.mark.parametrize("labels", [(0, 1), ("ok", "toxic"), (2, 1), (-1, 1)])
def test_members_of_any_ensemble_speak_of_the_positive_class(name, labels):
    X, y, group = make_rows()
    positive = max(labels)
    y = np.where(y == 1, positive, min(labels))
    fair = FairEnsemblePostprocessor(
        ensembles()[name], objective="balanced_accuracy_score", random_state=0
    ).fit(X, y, sensitive_features=group)
    np.testing.assert_array_equal(fair.classes_, sorted(labels))
    assert fair._rows.scores.shape[1] > 1
    # A confusion of labels would make accuracy fall below one half.
    assert fair.objective_ > 0.6
    assert fair.score(X, y, sensitive_features=group) > 0.6
    assert set(fair.predict(X, sensitive_features=group)) <= set(labels)


@pytest.mark.parametrize("name", ["boosting", "bagging", "forest", "voting"])
def test_members_of_a_data_frames_ensemble_are_asked_as_they_were_trained(name):
    X, y, group = make_rows()
    frame = pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])

    def scores(X):
        fair = FairEnsemblePostprocessor(ensembles()[name], random_state=0)
        return fair.fit(X, y, sensitive_features=group)._rows.scores

    np.testing.assert_allclose(scores(frame), scores(X))


@pytest.mark.parametrize("labels", [(0, 1), ("ok", "toxic"), (1, 2)])
@pytest.mark.parametrize("method", ON_MEMBERS)
def test_frozen_models_are_post_processed_as_their_scores_are(method, labels):
    X, y, group = make_rows(1500)
    y = np.array(labels)[y]
    frozen = [
        FrozenEstimator(model.fit(X[:500], y[:500]))
        for model in (LogisticRegression(), LinearSVC(), GaussianNB())
    ]
    X, y, group = X[500:], y[500:], group[500:]
    scores = np.column_stack(
        [
            frozen[0].predict_proba(X)[:, 1],
            1 / (1 + np.exp(-frozen[1].decision_function(X))),
            frozen[2].predict_proba(X)[:, 1],
        ]
    )
    plain = FairEnsemblePostprocessor(method=method, random_state=0)
    expected = plain.fit(scores, y, sensitive_features=group).selection_probability(
        scores, sensitive_features=group
    )
    voting = VotingClassifier([(f"m{i}", model) for i, model in enumerate(frozen)])
    for ensemble in (frozen, tuple(frozen), FrozenEstimator(voting.fit(X, y))):
        fair = FairEnsemblePostprocessor(ensemble, method=method, random_state=0)
        fair = pickle.loads(
            pickle.dumps(clone(fair).fit(X, y, sensitive_features=group))
        )
        np.testing.assert_allclose(
            fair.selection_probability(X, sensitive_features=group), expected
        )
        assert len(fair.forget([1, 2]).calibration_indices_) == len(y) - 2


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ([], "empty list"),
        ([LogisticRegression()], r"frozen: FrozenEstimator\(LogisticRegression"),
    ],
)
def test_lists_of_models_must_be_fitted_and_frozen(models, message):
    X, y, group = make_rows(100)
    with pytest.raises(ValueError, match=message):
        FairEnsemblePostprocessor(models).fit(X, y, sensitive_features=group)


def test_what_was_frozen_unfitted_is_told_apart_from_what_is_no_ensemble():
    X, y, group = make_rows(100)
    forest = FrozenEstimator(RandomForestClassifier())
    voting = FrozenEstimator(VotingClassifier([("forest", RandomForestClassifier())]))
    for ensemble, name in [
        (forest, "RandomForest"),
        (FrozenEstimator(forest), "RandomForest"),
        ([forest], "RandomForest"),
        (voting, "Voting"),
    ]:
        with pytest.raises(
            NotFittedError,
            match=rf"A frozen {name}Classifier .* FrozenEstimator\({name}Classifier\(",
        ):
            FairEnsemblePostprocessor(ensemble).fit(X, y, sensitive_features=group)


def test_a_frozen_ensemble_is_used_as_it_is_and_every_row_calibrates():
    X, y, group = make_rows(2000)
    ensemble = BaggingClassifier(LogisticRegression(), random_state=0)
    ensemble.fit(X[:1000], y[:1000])
    fair = FairEnsemblePostprocessor(
        FrozenEstimator(ensemble), method="ensemble", random_state=0
    )
    fair.fit(X[1000:], y[1000:], sensitive_features=group[1000:])
    assert fair.estimator_.estimator is ensemble
    np.testing.assert_array_equal(fair.calibration_indices_, np.arange(1000))
    p = fair.selection_probability(X[1000:], sensitive_features=group[1000:])
    assert odds_gap(p, y[1000:], group[1000:]) < 1e-9


def test_an_ensemble_fits_the_rows_that_do_not_calibrate():
    X, y, group = make_rows(1000)

    class Recorder(BaggingClassifier):
        def fit(self, X, y, sample_weight=None):
            self.seen_ = X[:, 0].copy()
            return super().fit(X, y, sample_weight=sample_weight)

    fair = FairEnsemblePostprocessor(
        Recorder(LogisticRegression()), calibration=0.3, random_state=0
    ).fit(X, y, sensitive_features=group)
    held_out = fair.calibration_indices_
    assert not np.isin(X[held_out, 0], fair.estimator_.seen_).any()
    assert len(held_out) + len(fair.estimator_.seen_) == 1000
    assert len(held_out) == 300


def test_sample_weights_of_calibration_equal_repeated_rows():
    X, y, group = make_votes(300)
    repeats = np.random.default_rng(0).integers(0, 4, 300)
    weighted, repeated = (
        FairEnsemblePostprocessor(method="aggregate_then_postprocess", random_state=0)
        for _ in range(2)
    )
    weighted.fit(X, y, sensitive_features=group, sample_weight=repeats)
    again = (np.repeat(part, repeats, axis=0) for part in (X, y, group))
    X2, y2, group2 = again
    repeated.fit(X2, y2, sensitive_features=group2)
    pd.testing.assert_frame_equal(
        weighted.operating_points_, repeated.operating_points_
    )


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("n_features", [1, 3])
def test_over_a_hundred_million_people_count_as_so_many(n_classes, n_features):
    # The members' logits depend on each other, all the more so with one feature.
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, n_features))
    group = np.where(X[:, -1] + rng.normal(size=1000) > 0, "a", "b")
    score = X[:, 0] + (group == "a") / 2 + rng.normal(size=1000)
    y = np.digitize(score, [0, 1][: n_classes - 1])
    members = SISAClassifier(LogisticRegression(), n_shards=4, random_state=0)
    decided = []
    for people in (1e8, 1e9, 1e20, 1e100):
        fair = FairEnsemblePostprocessor(
            FrozenEstimator(members.fit(X, y)), tol=0.05, random_state=0
        )
        weight = np.full(1000, people / 1000)
        fair.fit(X, y, sensitive_features=group, sample_weight=weight)
        decided.append(fair.selection_probability(X, sensitive_features=group))
    assert np.ptp(decided[0], axis=0).max() > 0.5
    for other in decided[1:]:
        assert np.abs(other - decided[0]).mean() < 0.005


@pytest.mark.parametrize("calibration", ["cross_shard", 0.3])
@pytest.mark.parametrize(
    ("learner", "name"),
    [
        (LogisticRegression(), "sample_weight"),
        (SGDClassifier(loss="log_loss"), "sample_weight"),
        (
            make_pipeline(StandardScaler(), SGDClassifier()),
            "sgdclassifier__sample_weight",
        ),
        (
            make_pipeline("passthrough", make_pipeline(LogisticRegression())),
            "pipeline__logisticregression__sample_weight",
        ),
    ],
)
@pytest.mark.usefixtures("unrouted")
def test_weights_reach_the_members_of_a_sharded_ensemble(learner, name, calibration):
    X, y, group = make_rows(600)
    weight = np.random.default_rng(1).random(len(y)) + 0.1
    n_slices = 1 if "logistic" in str(learner).lower() else 2
    ensemble = SISAClassifier(learner, n_slices=n_slices, random_state=3)
    fair = FairEnsemblePostprocessor(
        ensemble, calibration=calibration, random_state=0
    ).fit(X, y, sensitive_features=group, sample_weight=weight)
    given = [digest(member) for member in fair.estimator_.estimators_]
    trains = training_rows(fair)
    if calibration == "cross_shard":
        alone = clone(ensemble).fit(X, y, **{name: weight})
        assert given == [digest(member) for member in alone.estimators_]
    # Of rows held out, no weight reaches a member; of the others, all do.
    for changed, same in ((~trains, True), (trains, False)):
        other = np.where(changed, 0.5 * weight, weight)
        fair.fit(X, y, sensitive_features=group, sample_weight=other)
        members = [digest(member) for member in fair.estimator_.estimators_]
        assert (given == members) == same


@pytest.mark.usefixtures("unrouted")
def test_a_pipeline_in_front_of_the_ensemble_passes_the_weights_on():
    X, y, group = make_rows(600)
    weight = np.random.default_rng(1).random(len(y)) + 0.1
    ensemble = make_pipeline(StandardScaler(), sisa())
    fair = FairEnsemblePostprocessor(ensemble, calibration=0.3, random_state=0)
    fair.fit(X, y, sensitive_features=group, sample_weight=weight)
    rows = np.setdiff1d(np.arange(len(y)), fair.calibration_indices_)
    alone = clone(ensemble).fit(
        X[rows], y[rows], sisaclassifier__sample_weight=weight[rows]
    )
    np.testing.assert_array_equal(
        fair.estimator_.predict_proba(X), alone.predict_proba(X)
    )


def test_weights_that_no_learner_takes_still_calibrate():
    X, y, group = make_rows(600)
    weight = np.random.default_rng(1).random(len(y)) + 0.1
    fair = FairEnsemblePostprocessor(
        SISAClassifier(KNeighborsClassifier(), n_shards=2, random_state=0),
        random_state=0,
    ).fit(X, y, sensitive_features=group, sample_weight=weight)
    np.testing.assert_array_equal(fair._rows.weight, weight)


@pytest.mark.parametrize("requested", [True, False, None])
@pytest.mark.parametrize("pipeline", [False, True])
def test_with_metadata_routing_weights_reach_learners_that_request_them(
    requested, pipeline
):
    X, y, group = make_rows(600)
    weight = np.random.default_rng(1).random(len(y)) + 0.1
    with sklearn.config_context(enable_metadata_routing=True):
        learner = LogisticRegression().set_fit_request(sample_weight=requested)
        ensemble = SISAClassifier(
            make_pipeline(learner) if pipeline else learner, random_state=3
        )
        fair = FairEnsemblePostprocessor(ensemble, random_state=0)
        fair.fit(X, y, sensitive_features=group, sample_weight=weight)
        params = {"sample_weight": weight} if requested else {}
        alone = clone(ensemble).fit(X, y, **params)
    np.testing.assert_array_equal(fair.estimator_.transform(X), alone.transform(X))


# Where the sensitive feature comes from --------------------------------------------


def test_every_source_of_the_sensitive_feature_gives_the_same_rule():
    X, y, group = make_rows()
    code = (group == "b").astype(float)
    frame = pd.DataFrame(X, columns=list("pqrs")).assign(g=group)
    ensemble = BaggingClassifier(LogisticRegression(), random_state=0)

    def points(X, sensitive_feature=None, **fit_params):
        fair = FairEnsemblePostprocessor(
            ensemble, sensitive_feature=sensitive_feature, random_state=0
        ).fit(X, y, **fit_params)
        return fair.operating_points_.iloc[:, 1:].to_numpy()

    expected = points(X, sensitive_features=group)
    wide = np.c_[X, code]
    for have in (
        points(frame, "g"),
        points(frame, ["g"]),
        points(frame, 4),
        points(wide, 4),
        points(wide, -1),
        points(sparse.csr_array(wide), 4),
        points(X, lambda X: group),
        points(X, sensitive_features=pd.Series(group)),
        points(X, sensitive_features=pl.Series(group)),
        points(X, sensitive_features=group.tolist()),
        points(X, sensitive_features=pd.DataFrame({"g": group})),
        points(X, sensitive_features=pd.Categorical(group)),
    ):
        np.testing.assert_allclose(have, expected, atol=1e-6)


def test_polars_frames_and_columns_kept_for_the_members_work():
    X, y, group = make_rows()
    frame = pl.DataFrame(X, schema=list("pqrs")).with_columns(
        pl.Series("g", (group == "b").astype(float))
    )
    for drop, width in ((True, 4), (False, 5)):
        fair = FairEnsemblePostprocessor(
            BaggingClassifier(LogisticRegression()),
            sensitive_feature="g",
            drop_sensitive=drop,
            random_state=0,
        ).fit(frame, y)
        assert fair.estimator_.n_features_in_ == width
        decided = fair.predict(frame)
        np.testing.assert_array_equal(fair.predict(frame[::-1])[::-1], decided)


def test_several_columns_are_intersected():
    X, y, group = make_rows(2000)
    other = np.where(np.arange(2000) % 3 == 0, "x,", "y")
    frame = pd.DataFrame(X, columns=list("pqrs")).assign(g=group, h=other)
    fair = FairEnsemblePostprocessor(
        BaggingClassifier(LogisticRegression()),
        sensitive_feature=["g", "h"],
        random_state=0,
    ).fit(frame, y)
    assert fair.groups_.tolist() == [("a", "x,"), ("a", "y"), ("b", "x,"), ("b", "y")]
    assert fair.operating_points_.true_positive_rate.std() < 1e-9


@pytest.mark.filterwarnings("ignore::sklearn_fairsisa.exceptions.SharedCoinWarning")
def test_texts_in_lists_are_rows():
    _, y, group = make_rows(400)
    words = np.array(["bad", "good"])
    texts = [f"{words[label]} text {i % 50}" for i, label in enumerate(y)]
    flips = np.random.default_rng(0).random(400) < 0.2
    y = y ^ flips
    fair = FairEnsemblePostprocessor(
        make_pipeline(
            HashingVectorizer(n_features=256),
            BaggingClassifier(LogisticRegression(), n_estimators=4),
        ),
        random_state=0,
    ).fit(texts, y, sensitive_features=group)
    decided = fair.predict(texts, sensitive_features=group)
    assert (decided == y).mean() > 0.6
    np.testing.assert_array_equal(
        fair.predict(texts[::-1], sensitive_features=group[::-1])[::-1], decided
    )


def test_metadata_is_requested_by_default():
    X, y, group = make_rows()
    fair = FairEnsemblePostprocessor(
        BaggingClassifier(LogisticRegression(), n_estimators=3), random_state=0
    )
    with sklearn.config_context(enable_metadata_routing=True):
        routing = fair.get_metadata_routing()
        for method in ("fit", "predict", "score", "transform"):
            assert getattr(routing, method).requests["sensitive_features"] is True
        search = GridSearchCV(fair, {"method": METHODS[:2]}, cv=2, error_score="raise")
        search.fit(X, y, sensitive_features=group)
        assert search.best_score_ > 0.6
        pipeline = make_pipeline(StandardScaler(), fair)
        pipeline.fit(X, y, sensitive_features=group)
        assert len(pipeline.predict(X, sensitive_features=group)) == len(X)


def test_a_column_makes_searches_and_cross_validation_work_unrouted():
    X, y, group = make_rows()
    frame = pd.DataFrame(X, columns=list("pqrs")).assign(g=group)
    fair = FairEnsemblePostprocessor(
        BaggingClassifier(LogisticRegression(), n_estimators=3),
        sensitive_feature="g",
        random_state=0,
    )
    result = cross_validate(fair, frame, y, cv=3, error_score="raise")
    assert result["test_score"].mean() > 0.6
    search = GridSearchCV(fair, {"tol": [0.0, 1.0]}, cv=2, error_score="raise")
    assert search.fit(frame, y).best_score_ > 0.6


def test_it_stands_as_the_last_step_of_a_pipeline():
    X, y, group = make_rows()
    code = (group == "b").astype(float)
    sisa_fitted = FrozenEstimator(sisa().fit(X[:600], y[:600]))
    pipeline = make_pipeline(
        make_column_transformer(
            (sisa_fitted, [0, 1, 2, 3]), remainder=FunctionTransformer()
        ),
        FairEnsemblePostprocessor(
            method="ensemble", sensitive_feature=-1, random_state=0
        ),
    )
    wide = np.c_[X, code]
    pipeline.fit(wide[600:], y[600:])
    assert pipeline.score(wide[600:], y[600:]) > 0.6
    p = pipeline[-1].selection_probability(pipeline[:-1].transform(wide[600:]))
    assert odds_gap(p, y[600:], code[600:]) < 1e-9
    assert pipeline.transform(wide).shape == (len(X), 1)
    name = pipeline[-1].get_feature_names_out()
    assert name.tolist() == ["fairensemblepostprocessor0"]


# Unknown groups --------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:All rows are of one group")
def test_unknown_groups_are_refused_or_decided_on_blindly():
    X, y, group = make_votes()
    strict = FairEnsemblePostprocessor(random_state=0)
    strict.fit(X, y, sensitive_features=group)
    with pytest.raises(ValueError, match=r"\[7\] were not seen in fit, which saw"):
        strict.predict(X[:2], sensitive_features=[7, 0])
    with pytest.raises(ValueError, match="'x'"):
        strict.predict(X[:2], sensitive_features=["x", "y"])
    for method in METHODS:
        open_ = FairEnsemblePostprocessor(
            method=method, unknown_group="unconstrained", random_state=0
        ).fit(X, y, sensitive_features=group)
        p = open_.selection_probability(X, sensitive_features=np.full(len(X), 7))
        blind = FairEnsemblePostprocessor(method=method, tol=1.0, random_state=0)
        blind.fit(X, y, sensitive_features=np.zeros(len(X)))
        expected = blind.selection_probability(X, sensitive_features=np.zeros(len(X)))
        np.testing.assert_allclose(p, expected, atol=1e-9)
        mixed = np.where(np.arange(len(X)) % 2, group, 7)
        known = open_.selection_probability(X, sensitive_features=group)
        have = open_.selection_probability(X, sensitive_features=mixed)
        np.testing.assert_allclose(have[1::2], known[1::2])
        np.testing.assert_allclose(have[::2], p[::2])


# Cross-shard calibration -------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_cross_shard_rows_are_judged_by_members_that_have_not_seen_them(method):
    X, y, group = make_rows(600)
    fair = FairEnsemblePostprocessor(
        sisa(), method=method, calibration="cross_shard", random_state=0
    ).fit(X, y, sensitive_features=group)
    np.testing.assert_array_equal(fair.calibration_indices_, np.arange(600))
    shard = fair.estimator_.plan_.shard_of(np.arange(600))
    counted = fair._rows.counted
    assert (fair._rows.of_members.counted.sum(axis=1) == 3).all()
    assert not counted[np.arange(600), shard].any()
    own_scores = fair._rows.scores.copy()
    own_scores[~counted] = 1 - own_scores[~counted]
    codes = fair._rows.group
    judged = calibrated(fair).rule.selection_probability(
        fair._rows.scores, codes, counted
    )
    changed = calibrated(fair).rule.selection_probability(own_scores, codes, counted)
    np.testing.assert_array_equal(judged, changed)
    if method in FAIR_IN_CALIBRATION:
        assert odds_gap(judged, y, group) < 1e-9


@pytest.mark.parametrize("method", ON_MEMBERS)
def test_new_people_are_judged_with_each_member_left_out_for_its_share(method):
    X, y, group = make_rows(600)
    fair = FairEnsemblePostprocessor(
        sisa(), method=method, calibration="cross_shard", random_state=0
    ).fit(X, y, sensitive_features=group)
    new, _, new_group = make_rows(300, seed=1)
    shard = fair.estimator_.plan_.shard_of(np.arange(600))
    scores = fair.estimator_.transform(new)
    expected = np.zeros(300)
    table = fair.rule_.set_index(["group", "cell"]).probability
    for silent in range(4):
        others = np.delete(scores, silent, axis=1)
        if method == "aggregate_then_postprocess":
            votes = 2 * (others > 0.5).sum(axis=1) > 3
            chance = table.loc[list(zip(new_group, votes.astype(int).astype(str)))]
        elif method == "ensemble":
            cells = [
                "".join("-" if k == silent else str(int(v > 0.5)) for k, v in row)
                for row in map(enumerate, scores)
            ]
            # Other tests tell of patterns that no calibration row showed.
            chance = table.reindex(list(zip(new_group, cells)))
        elif method == "postprocess_then_aggregate":
            each = np.array(
                [
                    table.loc[
                        [(a, f"{k}:{int(v > 0.5)}") for a, v in zip(new_group, s)]
                    ]
                    for k, s in enumerate(scores.T)
                    if k != silent
                ]
            )
            chance = each.prod(axis=0)
            for k in range(3):
                chance = chance + np.delete(each, k, axis=0).prod(axis=0) * (
                    1 - each[k]
                )
        else:
            said = logit(scores.clip(1e-6, 1 - 1e-6))
            said[:, silent] = np.delete(said, silent, axis=1).mean(axis=1)
            weights = calibrated(fair).rule.fair.weights.weights
            place = np.searchsorted(fair.groups_, new_group)
            score = (said * weights[place]).sum(axis=1)
            ends = fair.rule_.cell.str.strip("[)").str.split(", ", expand=True)
            low, high = ends.astype(float).to_numpy().T
            inside = (fair.rule_.group.to_numpy() == new_group[:, None]) & (
                (score[:, None] >= low) & (score[:, None] < high)
            )
            # The table rounds the ends, so a score may fall between two of them.
            clear = inside.sum(axis=1) == 1
            chance = np.where(clear, inside @ fair.rule_.probability.to_numpy(), np.nan)
        expected += np.mean(shard == silent) * np.asarray(chance)
    have = fair.selection_probability(new, sensitive_features=new_group)
    assert np.isfinite(expected).mean() > 0.9
    close = np.isclose(have, expected, atol=1e-9)[np.isfinite(expected)]
    assert close.mean() > 0.99 if method.startswith("s") else close.all()


@pytest.mark.parametrize("method", METHODS)
def test_across_shards_rows_of_no_weight_change_no_decision(method):
    X, y, group = make_rows(600)
    weight = np.random.default_rng(0).random(600)
    # Of one shard more than of the others.
    shard = sisa().fit(X, y).plan_.shard_of(np.arange(600))
    weight[np.flatnonzero(shard == 1)[::2]] = 0
    fair = FairEnsemblePostprocessor(sisa(), method=method, random_state=0)
    fair.fit(X, y, sensitive_features=group, sample_weight=weight)
    alone = learn_rule(fair._rows.weighed, fair._problem)(fair._problem.slack)
    scores, code = fair._rows.scores, fair._rows.group
    np.testing.assert_allclose(
        calibrated(fair).rule.selection_probability(scores, code),
        alone.selection_probability(scores, code),
        atol=1e-9,
    )


@pytest.mark.parametrize("method", METHODS)
def test_cross_shard_rates_hold_for_new_people_even_if_members_memorise(method):
    X, y, group = make_rows(3000)
    # Trees grown to purity know the labels of all rows of their shard.
    fair = FairEnsemblePostprocessor(
        SISAClassifier(DecisionTreeClassifier(), n_shards=3, random_state=0),
        method=method,
        calibration="cross_shard",
        objective="balanced_accuracy_score",
        random_state=0,
    ).fit(X, y, sensitive_features=group)
    new, new_y, new_group = make_rows(20_000, seed=1)
    points = fair.operating_points_.to_numpy()[:, 1:].astype(float)
    chance = fair.selection_probability(new, sensitive_features=new_group)
    have = [
        [chance[(new_group == a) & (new_y == label)].mean() for label in (0, 1)]
        for a in fair.groups_
    ]
    # 500 rows of a label and group calibrate: a standard error is about 0.02.
    assert np.abs(points - have).max() < 0.06


@pytest.mark.parametrize(
    ("estimator", "alike"),
    [
        (sisa(), "cross_shard"),
        (sisa(n_shards=1), 0.2),
        (BaggingClassifier(LogisticRegression(), n_estimators=4), 0.2),
    ],
)
def test_by_default_every_row_of_a_sharded_ensemble_calibrates(estimator, alike):
    X, y, group = make_rows(400)
    states = [
        fitted_state(
            FairEnsemblePostprocessor(estimator, random_state=0, **params).fit(
                X, y, sensitive_features=group
            )
        )
        for params in ({}, {"calibration": alike})
    ]
    assert states[0] == states[1]


def test_cross_shard_needs_shards():
    X, y, group = make_rows(300)
    cases = [
        (BaggingClassifier(LogisticRegression()), "soft_ensemble", "is not sharded"),
        (sisa(n_shards=1), "soft_ensemble", "only one shard has rows"),
        (None, "soft_ensemble", "not frozen"),
    ]
    for estimator, method, message in cases:
        fair = FairEnsemblePostprocessor(
            estimator, method=method, calibration="cross_shard"
        )
        with pytest.raises(ValueError, match=message):
            fair.fit(X, y, sensitive_features=group)


# Forgetting ------------------------------------------------------------------------


def training_rows(fair):
    """Mark the rows that trained the ensemble."""
    return fair.estimator_.plan_.shards >= 0


def fitted_state(fair):
    """A digest of everything that decides."""
    return digest((calibrated(fair).rule, fair._rows.scores))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("weighted", [False, True])
def test_forgetting_calibration_rows_equals_never_having_given_them(method, weighted):
    X, y, group = make_votes(400, scores=True)
    weight = np.random.default_rng(0).random(400) + 0.1 if weighted else None
    fair = FairEnsemblePostprocessor(method=method, random_state=0)
    fair.fit(X, y, sensitive_features=group, sample_weight=weight)
    gone = np.random.default_rng(1).permutation(400)[:90]
    for part in (gone[:50], gone[30:], gone[:1]):
        fair.forget(part)
    kept = np.setdiff1d(np.arange(400), gone)
    fresh = FairEnsemblePostprocessor(method=method, random_state=0).fit(
        X[kept],
        y[kept],
        sensitive_features=group[kept],
        sample_weight=None if weight is None else weight[kept],
    )
    assert fitted_state(fair) == fitted_state(fresh)
    np.testing.assert_array_equal(fair.forgotten_, np.sort(gone))
    np.testing.assert_array_equal(fair.calibration_indices_, kept)


@pytest.mark.parametrize(
    ("calibration", "method"),
    [(0.25, method) for method in METHODS]
    + [("cross_shard", method) for method in METHODS],
)
def test_forgetting_training_rows_rebuilds_all_that_rested_on_them(calibration, method):
    X, y, group = make_rows(500)
    fair = FairEnsemblePostprocessor(
        sisa(), method=method, calibration=calibration, random_state=0
    ).fit(X, y, sensitive_features=group)
    gone = np.random.default_rng(1).permutation(500)[:40]
    fair.forget(gone[:25]).forget(gone[20:])
    kept = np.setdiff1d(np.arange(500), gone)

    # The ensemble is the one that never saw the rows, under the same plan.
    assert fair.estimator_.verify_forgotten()
    np.testing.assert_array_equal(fair.estimator_.forgotten_, np.sort(gone))
    # The rule is the one calibrated on the other calibration rows with that ensemble.
    calibrating = np.intersect1d(kept, fair.calibration_indices_)
    np.testing.assert_array_equal(fair.calibration_indices_, calibrating)
    rows, scores = fair._rows.of_members, fair.estimator_.transform(X[calibrating])
    counted = True if rows.counted is None else rows.counted
    np.testing.assert_allclose(
        rows.scores, np.where(counted, scores, 0.5), rtol=1e-12, atol=0
    )
    if calibration != "cross_shard" and method in ON_MEMBERS:
        fresh = FairEnsemblePostprocessor(
            FrozenEstimator(fair.estimator_), method=method, random_state=0
        ).fit(X[calibrating], y[calibrating], sensitive_features=group[calibrating])
        np.testing.assert_allclose(
            fair.operating_points_.iloc[:, 1:],
            fresh.operating_points_.iloc[:, 1:],
            rtol=1e-6,
        )


@pytest.mark.parametrize("calibration", [0.25, "cross_shard"])
def test_a_member_without_rows_abstains_instead_of_voting_no(calibration):
    X, y, group = make_rows(500)
    fair = FairEnsemblePostprocessor(
        sisa(),
        method="aggregate_then_postprocess",
        calibration=calibration,
        random_state=0,
    ).fit(X, y, sensitive_features=group)
    with pytest.warns(EmptyShardWarning) as warned:
        fair.forget(fair.estimator_.plan_.rows(1))
    assert warned[0].filename == __file__
    assert fair.estimator_.estimators_[1] is None
    members = [m for m in fair.estimator_.estimators_ if m is not None]
    assert set(fair.member_points_.member) == {*range(len(members)), "majority"}
    # The majority is that of the members left, as SISAClassifier itself counts it.
    rows = fair._rows
    new = X[:50]
    votes = np.array([m.predict(new) for m in members])
    np.testing.assert_array_equal(fair._serving().scores(new) > 0.5, votes.T == 1)
    assert rows.scores.shape[1] == len(members)
    assert fair.predict(new, sensitive_features=group[:50]).shape == (50,)


def test_a_failed_recalibration_can_be_repeated(monkeypatch):
    X, y, group = make_rows(300)
    fair = FairEnsemblePostprocessor(sisa(), random_state=0)
    fair.fit(X, y, sensitive_features=group)
    other = pickle.loads(pickle.dumps(fair)).forget([0, 1, 2])

    def fail(*args):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(_calibrated, "learn_rule", fail)
        with pytest.raises(MemoryError):
            fair.forget([0, 1, 2])
    # The rows are erased; what is missing is the rule for those that are left.
    assert fair.forgotten_.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="the rule has not been solved since"):
        fair.predict(X, sensitive_features=group)
    again = pickle.loads(pickle.dumps(fair)).relearn()
    for repeated in (fair.forget([0, 1, 2]), again):
        assert fitted_state(repeated) == fitted_state(other)


def whole_state(fair):
    """All that may change: of the members, the rows and the rule."""
    return (
        [digest(member) for member in fair.estimator_.estimators_],
        pickle.dumps(fair._rows),
        pickle.dumps(calibrated(fair).rule),
        fair.forgotten_.tolist(),
        fair.estimator_.forgotten_.tolist(),
    )


def cross_shard_rows(rare, **params):
    """A fit across three shards, where group "b" has these rows by shard and label."""
    X, y, _ = make_rows(300, seed=4)
    model = SISAClassifier(LogisticRegression(), n_shards=3, random_state=0)
    shard = model.fit(X, y).plan_.shard_of(np.arange(300))
    group = np.full(300, "a")
    chosen = {}
    for (k, label), n in rare.items():
        chosen[k, label] = np.flatnonzero((shard == k) & (y == label))[:n]
        group[chosen[k, label]] = "b"
    fair = FairEnsemblePostprocessor(clone(model), random_state=0, **params)
    return fair.fit(X, y, sensitive_features=group), chosen, (X, y, group)


@pytest.mark.filterwarnings("ignore::sklearn_fairsisa.exceptions.DegenerateRuleWarning")
@pytest.mark.filterwarnings(
    "ignore::sklearn_fairsisa.exceptions.UnconstrainedGroupWarning"
)
@pytest.mark.parametrize("method", METHODS)
def test_too_few_shards_left_are_refused_before_anything_changes(method):
    X, y, group = make_rows(200)
    fair = FairEnsemblePostprocessor(
        sisa(n_shards=2), method=method, random_state=0
    ).fit(X, y, sensitive_features=group)
    before = whole_state(fair)
    for rows, message in [
        (fair.estimator_.plan_.rows(0), "only one shard has rows"),
        (np.arange(200), "No training row would be left"),
    ]:
        with pytest.raises(ValueError, match=message):
            fair.forget(rows)
        assert whole_state(fair) == before
    fair.forget(fair.estimator_.plan_.rows(0)[1:])
    assert len(fair.forgotten_) == 99


@pytest.mark.usefixtures("unrouted")
def test_shards_whose_rows_weigh_nothing_are_not_counted_as_left():
    X, y, group = make_rows(200)
    weight = np.ones(200)
    model = SISAClassifier(LogisticRegression(), n_shards=2, random_state=0)
    rows = model.fit(X, y).plan_.rows(0)
    weight[rows[:10]] = 0
    fair = FairEnsemblePostprocessor(model, random_state=0)
    fair.fit(X, y, sensitive_features=group, sample_weight=weight)
    before = whole_state(fair)
    with pytest.raises(ValueError, match="only one shard has rows"):
        fair.forget(rows[10:])
    assert whole_state(fair) == before


def test_forgetting_all_training_rows_is_refused_where_rows_were_held_out():
    X, y, group = make_rows(200)
    fair = FairEnsemblePostprocessor(sisa(), calibration=0.3, random_state=0)
    fair.fit(X, y, sensitive_features=group)
    before = whole_state(fair)
    with pytest.raises(ValueError, match="No training row would be left"):
        fair.forget(np.flatnonzero(training_rows(fair)))
    assert whole_state(fair) == before


@pytest.mark.parametrize("method", METHODS)
def test_calibration_rows_that_weigh_nothing_are_no_base_of_a_rule(method):
    X, y, group = make_votes(200)
    weight = np.repeat([1.0, 0.0], 100)
    fair = FairEnsemblePostprocessor(method=method, random_state=0)
    fair.fit(X, y, sensitive_features=group, sample_weight=weight)
    before = pickle.dumps(fair)
    with pytest.raises(ValueError, match="No calibration row would be left"):
        fair.forget(np.arange(100))
    assert pickle.dumps(fair) == before


@pytest.mark.parametrize(
    "gone",
    [
        [(0, 1)],  # its positives
        [(0, 0), (0, 1)],  # all of its rows
    ],
)
def test_a_group_that_a_member_cannot_hear_any_more_is_decided_on_blindly(gone):
    rare = {(0, 0): 3, (0, 1): 3, (1, 0): 3, (1, 1): 3}
    fair, chosen, (_, y, group) = cross_shard_rows(
        rare, method="postprocess_then_aggregate"
    )
    assert len(fair.unconstrained_groups_) == 0
    lost = np.concatenate([chosen[key] for key in gone])
    with pytest.warns(UnconstrainedGroupWarning, match=r"\['b'\] have .* outside a sh"):
        fair.forget(lost)
    assert fair.unconstrained_groups_.tolist() == ["b"]
    assert fair.estimator_.verify_forgotten()
    # Its people are decided on as those of any unknown group are.
    kept = np.setdiff1d(np.arange(300), lost)
    rows = fair._rows
    want = calibrated(fair).rule.blind.selection_probability(
        rows.scores, np.zeros(len(rows), dtype=int), rows.counted
    )
    have = calibrated(fair).rule.selection_probability(
        rows.scores, rows.group, rows.counted
    )
    of_b = group[kept] == "b"
    np.testing.assert_array_equal(have[of_b], want[of_b])
    points = fair.operating_points_.set_index("group").loc["b"]
    negative = of_b & (y[kept] == 0)
    assert points.false_positive_rate == pytest.approx(want[negative].mean())


def test_members_that_no_row_is_left_for_are_refused_before_anything_changes():
    rng = np.random.default_rng(0)
    X, y, _ = make_rows(300)
    model = SISAClassifier(LogisticRegression(), n_shards=3, random_state=0)
    shard = model.fit(X, y).plan_.shard_of(np.arange(300))
    group = np.where(rng.random(300) < 0.5, "a", "b").astype(object)
    # People of no group train, so that the shard stays.
    group[shard == 1] = None
    group[shard == 2] = None
    group[np.flatnonzero(shard == 1)[:40]] = "a"
    group[np.flatnonzero(shard == 1)[40:80]] = "b"
    fair = FairEnsemblePostprocessor(
        model,
        method="postprocess_then_aggregate",
        unknown_group="unconstrained",
        random_state=0,
    ).fit(X, y, sensitive_features=group)
    before = whole_state(fair)
    with pytest.raises(ValueError, match="All calibration rows left would be those"):
        fair.forget(np.flatnonzero(shard == 0))
    assert whole_state(fair) == before


@pytest.mark.parametrize("n_classes", [2, 3])
def test_folds_without_a_group_outside_a_shard_are_reported_on(n_classes):
    # The member of shard 0 hears of "b" by one row, which a fold takes away.
    rare = {(0, 0): 20, (0, 1): 20, (1, 1): 1}
    fair, _, (X, y, group) = cross_shard_rows(
        rare, method="postprocess_then_aggregate", constraints="demographic_parity"
    )
    if n_classes == 3:
        y = np.where((group == "a") & (X[:, 3] > 0.8), 2, y)
        fair.fit(X, y, sensitive_features=group)
    report = fair.fairness_report_
    assert 0 < report.bound <= 1
    assert report.groups.tolist() == ["a", "b"]


def test_nothing_of_a_forgotten_row_survives():
    X, y, group = make_rows(300)
    X[:, 3] = np.arange(300) + 0.123456789
    fair = FairEnsemblePostprocessor(
        SISAClassifier(GaussianNB(), n_shards=3, random_state=0),
        method="soft_ensemble",
        random_state=0,
    ).fit(X, y, sensitive_features=group)
    gone = [int(fair.calibration_indices_[0]), int(fair.calibration_indices_[-1])]
    marks = [X[i, 3].tobytes() for i in gone]
    before = pickle.dumps(fair)
    assert all(mark in before for mark in marks)
    after = pickle.dumps(fair.forget(gone))
    assert not any(mark in after for mark in marks)


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([400], "Row 400 is unknown"),
        ([-1], "Row -1 is unknown"),
        ([1.5], "must be integers"),
        (np.ones(3, dtype=bool), "mask of length 3"),
        (np.arange(400), "No calibration row would be left"),
    ],
)
def test_unusable_requests_change_nothing(indices, message):
    X, y, group = make_votes(400)
    fair = FairEnsemblePostprocessor(random_state=0)
    fair.fit(X, y, sensitive_features=group)
    before = pickle.dumps(fair)
    with pytest.raises(ValueError, match=message):
        fair.forget(indices)
    assert pickle.dumps(fair) == before


def test_an_ensemble_that_cannot_forget_says_so():
    X, y, group = make_rows(300)
    fair = FairEnsemblePostprocessor(
        BaggingClassifier(LogisticRegression(), n_estimators=3), random_state=0
    ).fit(X, y, sensitive_features=group)
    before = pickle.dumps(fair)
    with pytest.raises(ValueError, match="BaggingClassifier, which cannot forget"):
        fair.forget(np.arange(10))
    assert pickle.dumps(fair) == before
    # Calibration rows leave the counts all the same.
    fair.forget(fair.calibration_indices_[:2])
    assert len(fair.forgotten_) == 2


@pytest.mark.filterwarnings("ignore::sklearn_fairsisa.exceptions.DegenerateRuleWarning")
def test_a_group_that_loses_its_positives_is_decided_on_blindly():
    X, y, group = make_votes(400, n_groups=3)
    fair = FairEnsemblePostprocessor(method="ensemble", random_state=0)
    fair.fit(X, y, sensitive_features=group)
    gone = np.flatnonzero((group == 2) & (y == 1))
    with pytest.warns(UnconstrainedGroupWarning, match=r"Groups \[2\] have lost"):
        fair.forget(gone)
    kept = np.setdiff1d(np.arange(400), gone)
    assert fair.unconstrained_groups_.tolist() == [2]
    p = fair.selection_probability(X[kept], sensitive_features=group[kept])
    two = group[kept] < 2
    assert odds_gap(p[two], y[kept][two], group[kept][two]) < 1e-9
    points = fair.operating_points_.set_index("group")
    assert np.isnan(points.true_positive_rate[2])
    assert np.isfinite(fair.objective_)
    assert len(fair.tradeoff([0.0, 0.1])) == 2
    # Even the last group's.
    with pytest.warns(UnconstrainedGroupWarning):
        fair.forget(np.flatnonzero(y == 1))
    assert (fair.predict(X, sensitive_features=group) == 0).all()


# Bad input -------------------------------------------------------------------------


def _drop(X, y, group, rows):
    return X[~rows], y[~rows], group[~rows]


@pytest.mark.parametrize(
    ("constraint", "label", "ok"),
    [
        ("equalized_odds", 0, False),
        ("equalized_odds", 1, False),
        ("true_positive_rate_parity", 0, True),
        ("true_positive_rate_parity", 1, False),
        ("false_positive_rate_parity", 0, False),
        ("false_positive_rate_parity", 1, True),
        ("demographic_parity", 0, True),
        ("demographic_parity", 1, True),
    ],
)
def test_a_group_needs_the_labels_whose_rates_are_constrained(constraint, label, ok):
    X, y, group = make_votes(300)
    X, y, group = _drop(X, y, group, (group == 1) & (y == label))
    fair = FairEnsemblePostprocessor(constraints=constraint, random_state=0)
    if ok:
        fair.fit(X, y, sensitive_features=group)
        assert fair.operating_points_.isna().to_numpy().sum() == 1
        assert np.isfinite(fair.objective_)
    else:
        kind = "positive" if label else "negative"
        with pytest.raises(
            ValueError, match=rf"Group 1 has no {kind} labels .*demographic_parity"
        ):
            fair.fit(X, y, sensitive_features=group)


def test_inputs_that_cannot_be_used_say_what_is_needed():
    X, y, group = make_votes(100)
    scores = make_votes(100, scores=True)[0]
    bad = [
        (X, y, None, "No sensitive feature is given"),
        (X, y, group[:50], "50 rows but X has 100"),
        (X, y, np.where(np.arange(100) == 3, np.nan, group), "1 of 100 rows, first in"),
        (X, y, [None] + ["a"] * 99, "missing"),
        (X, np.zeros(100), group, "1 class"),
        (X, np.where(np.arange(100), 1.0, np.nan), group, "NaN"),
        (X * 3, y, group, "range from 0 to 3"),
        (np.where(scores > 0.9, np.nan, scores), y, group, "NaN or infinity"),
        (np.where(scores > 0.9, np.inf, scores), y, group, "NaN or infinity"),
        (np.full((100, 2), "?"), y, group, "not numbers"),
    ]
    for fair in (
        FairEnsemblePostprocessor(),
        FairEnsemblePostprocessor().fit(X, y, sensitive_features=group),
    ):
        for X_, y_, group_, message in bad:
            with refused(fair, message):
                fair.fit(X_, y_, sensitive_features=group_)
        for weight, message in [(np.zeros(100), "zero"), (-np.ones(100), "Negative")]:
            with refused(fair, message):
                fair.fit(X, y, sensitive_features=group, sample_weight=weight)
        fair.set_params(sensitive_feature=0)
        with refused(fair, "Use one of them"):
            fair.fit(X, y, sensitive_features=group)


def test_a_fit_that_fails_late_leaves_what_was_fitted(monkeypatch):
    X, y, group = make_rows(300)
    fair = FairEnsemblePostprocessor(sisa(), random_state=0)
    fair.fit(X, y, sensitive_features=group)
    decided = fair.predict(X, sensitive_features=group)
    with refused(fair, "No sensitive feature is given"):
        fair.fit(X[:, :3], y)
    frame = pd.DataFrame(X[:, :3], columns=["p", "q", "r"])
    with refused(fair, "Group 'b' has no positive labels"):
        fair.fit(frame, np.where(group == "b", 0, y), sensitive_features=group)
    with monkeypatch.context() as patch, refused(fair, "no solution"):
        patch.setattr(_calibrated, "learn_rule", fails)
        fair.fit(frame, np.array(["no", "yes"])[y], sensitive_features=group == "a")
    again = fair.predict(X, sensitive_features=group)
    np.testing.assert_array_equal(again, decided)
    # Rules that go through all tallies refuse late, of more classes too.
    rng = np.random.default_rng(0)
    votes, labels = rng.integers(0, 10, (2000, 20)), rng.integers(0, 10, 2000)
    fair.set_params(estimator=None, method="postprocess_then_aggregate")
    with refused(fair, "Use another method"):
        fair.fit(votes, labels, sensitive_features=np.arange(2000) % 2)


def fails(*args):
    raise ValueError("no solution")


@pytest.mark.filterwarnings("ignore::sklearn_fairsisa.exceptions.SharedCoinWarning")
def test_rows_without_columns_leave_no_number_of_columns_of_a_fit_before():
    X, y, group = make_rows(300)
    fair = FairEnsemblePostprocessor(
        SISAClassifier(SGDClassifier(loss="log_loss"), n_shards=2, random_state=0),
        random_state=0,
    ).fit(pd.DataFrame(X, columns=list("pqrs")), y, sensitive_features=group)
    assert fair.n_features_in_ == 4
    reader = make_pipeline(HashingVectorizer(), SGDClassifier(loss="log_loss"))
    fair.set_params(estimator=SISAClassifier(reader, n_shards=2, random_state=0))
    texts = [" ".join(["good"] * label + [f"{x:.0f}"]) for label, x in zip(y, X[:, 0])]
    fair.fit(texts, y, sensitive_features=group)
    assert not hasattr(fair, "n_features_in_")
    assert not hasattr(fair, "feature_names_in_")
    assert fair.predict(texts, sensitive_features=group).shape == (300,)


@pytest.mark.parametrize(
    "params",
    [
        {"tol": -0.1},
        {"tol": 1.5},
        {"tol": np.nan},
        {"method": "magic"},
        {"constraints": "fairness"},
        {"objective": "f1"},
        {"objective": {"false_positive": 1}},
        {"objective": {"false_positive": -1, "false_negative": 1}},
        {"objective": {"false_positive": 0, "false_negative": 0}},
        {"objective": {"false_positive": np.nan, "false_negative": 1}},
        {"calibration": 0.0},
        {"calibration": 1.0},
        {"unknown_group": "guess"},
    ],
)
def test_parameters_out_of_range_are_refused(params):
    X, y, group = make_votes(100)
    with pytest.raises(ValueError, match=r"'|Costs|costs|calibration"):
        FairEnsemblePostprocessor(**params).fit(X, y, sensitive_features=group)


def test_ensembles_without_votes_are_refused():
    X, y, group = make_rows(200)
    for estimator, message in [
        (LogisticRegression(), "neither transform nor estimators_"),
        (GradientBoostingClassifier(n_estimators=3), "are not classifiers"),
    ]:
        with pytest.raises(ValueError, match=message):
            FairEnsemblePostprocessor(estimator).fit(X, y, sensitive_features=group)


def test_a_frozen_ensemble_of_other_classes_is_refused():
    X, y, group = make_rows(400)
    ensemble = BaggingClassifier(LogisticRegression()).fit(X, y)
    with pytest.raises(ValueError, match=r"knows the classes \[0, 1\], but y holds"):
        FairEnsemblePostprocessor(FrozenEstimator(ensemble)).fit(
            X, y + 1, sensitive_features=group
        )


def test_another_number_of_members_is_refused():
    X, y, group = make_votes(100)
    frame = X.tolist()
    fair = FairEnsemblePostprocessor(random_state=0)
    fair.fit(frame, y, sensitive_features=group)
    with pytest.raises(ValueError, match="3"):
        fair.predict(X[:, :3].tolist(), sensitive_features=group)


def test_tiny_groups_and_a_single_group_are_handled():
    X, y, group = make_votes(100)
    alone = FairEnsemblePostprocessor(random_state=0)
    with pytest.warns(UserWarning, match=r"one group, \[0\]") as caught:
        alone.fit(X, y, sensitive_features=np.zeros(100))
    assert caught[0].filename == __file__
    assert alone.randomised_share_ == 0
    assert not alone.fairness_report_.holds
    assert "Nothing is known of the gap" in str(alone.fairness_report_)
    group[:2], y[:2] = 9, [0, 1]
    fair = FairEnsemblePostprocessor(method="ensemble", random_state=0)
    fair.fit(X, y, sensitive_features=group)
    p = fair.selection_probability(X, sensitive_features=group)
    assert odds_gap(p, y, group) < 1e-9
    group[0] = 8
    with pytest.raises(ValueError, match="Group 8 has no"):
        fair.fit(X, y, sensitive_features=group)


def test_fairlearns_metric_agrees_on_the_decisions_gap():
    X, y = make_classification(4000, random_state=0)
    group = (X[:, 0] > 0).astype(int)
    fair = FairEnsemblePostprocessor(
        BaggingClassifier(LogisticRegression(), n_estimators=5), random_state=0
    ).fit(X, y, sensitive_features=group)
    held = fair.calibration_indices_
    decided = fair.predict(X[held], sensitive_features=group[held])
    gap = equalized_odds_difference(y[held], decided, sensitive_features=group[held])
    assert gap == pytest.approx(odds_gap(decided, y[held], group[held]))
    assert gap < 0.1


def test_weights_that_leave_a_group_without_labels_or_are_no_weights_are_refused():
    X, y, group = make_votes(100)
    bad = [
        (np.where(np.arange(100) == 3, np.nan, 1.0), "NaN"),
        (np.where(np.arange(100) == 3, np.inf, 1.0), "infinity"),
        (np.where(np.arange(100) == 3, -1.0, 1.0), "Negative"),
        (np.ones(3), "has 3 rows"),
        ((group == 0) * 1.0, "Group 1 has no rows .*another.$"),
        (1.0 - ((group == 1) & (y == 1)), "Group 1 has no positive labels"),
    ]
    fair = FairEnsemblePostprocessor().fit(X, y, sensitive_features=group)
    for weight, message in bad:
        with refused(fair, message):
            fair.fit(X, y, sensitive_features=group, sample_weight=weight)


def test_outputs_and_labels_that_fit_has_not_seen_are_refused_later():
    X, y, group = make_votes(100)
    fair = FairEnsemblePostprocessor(random_state=0)
    fair.fit(X, y, sensitive_features=group)
    for value in (np.nan, np.inf):
        with pytest.raises(ValueError, match="NaN or infinity"):
            fair.predict(np.where(X, value, 0.0), sensitive_features=group)
    words = np.array(["no", "yes"], dtype=object)
    fair.fit(words[X], words[y], sensitive_features=group)
    with pytest.raises(ValueError, match=r"votes out of \['no', 'yes'\]"):
        fair.predict(np.where(X, "maybe", "no"), sensitive_features=group)
    with pytest.raises(ValueError, match=r"but got labels \['maybe'\]"):
        fair.tradeoff(
            [0.0], words[X], np.where(y, "maybe", "no"), sensitive_features=group
        )


def test_a_group_of_one_row_has_a_selection_rate_though_one_nobody_knows():
    X, y, group = make_votes(200)
    group[0] = 7
    fair = FairEnsemblePostprocessor(
        constraints="demographic_parity", method="soft_ensemble", random_state=0
    )
    fair.fit(X, y, sensitive_features=group)
    p = fair.selection_probability(X, sensitive_features=group)
    shares = [p[group == a].mean() for a in (0, 1, 7)]
    assert np.ptp(shares) < 1e-9
    report = fair.fairness_report_
    assert report.bound > 0.5
    assert 7 in report.small_groups


@pytest.mark.parametrize("tols", [[1.2], [-0.1], [np.nan]])
def test_tolerances_of_a_tradeoff_lie_in_the_unit_interval(tols, monkeypatch):
    X, y, group = make_votes(100)
    fair = FairEnsemblePostprocessor().fit(X, y, sensitive_features=group)
    # They are refused before anything is learnt.
    monkeypatch.setattr(_rule, "learn_rule", fails)
    with pytest.raises(ValueError, match=r"tols must lie in \[0, 1\], got"):
        fair.tradeoff(tols)


# How much "smooth_ensemble" smooths depends on how many people the weights amount to.
@pytest.mark.parametrize("method", [m for m in METHODS if m != "smooth_ensemble"])
@pytest.mark.parametrize(
    "constraint",
    ["equalized_odds", "demographic_parity", "true_positive_rate_parity"],
)
@pytest.mark.parametrize(
    "objective",
    ["balanced_accuracy_score", {"false_positive": 1.0, "false_negative": 2.0}],
)
def test_weights_are_repetitions_under_every_demand(method, constraint, objective):
    X, y, group = make_votes(300, 1 if method == "soft_ensemble" else 3, scores=True)
    repeats = np.random.default_rng(0).integers(0, 4, 300)
    fair = FairEnsemblePostprocessor(
        method=method,
        constraints=constraint,
        objective=objective,
        tol=0.05,
        random_state=0,
    )
    weighted = clone(fair).fit(X, y, sensitive_features=group, sample_weight=repeats)
    again = (np.repeat(part, repeats, axis=0) for part in (X, y, group))
    X2, y2, group2 = again
    repeated = fair.fit(X2, y2, sensitive_features=group2)
    assert weighted.objective_ == pytest.approx(repeated.objective_, abs=1e-8)
    np.testing.assert_allclose(
        weighted.tradeoff([0.0, 0.1]).drop(columns="randomised_share"),
        repeated.tradeoff([0.0, 0.1]).drop(columns="randomised_share"),
        atol=1e-7,
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore::sklearn_fairsisa.exceptions.DegenerateRuleWarning")
def test_forgetting_the_last_positive_of_all_groups_leaves_decisions(method):
    scores, y, group = make_votes(scores=True)
    fair = FairEnsemblePostprocessor(method=method, random_state=0)
    fair.fit(scores, y, sensitive_features=group)
    with pytest.warns(UnconstrainedGroupWarning):
        fair.forget(np.flatnonzero(y == fair.classes_[1]))
    assert fair.unconstrained_groups_.tolist() == fair.groups_.tolist()
    # Of negatives alone, the most accurate decision is negative.
    decided = fair.predict(scores, sensitive_features=group)
    assert set(decided) == {fair.classes_[0]}
    assert fair.objective_ == 1
    for name in ("rule_", "boundaries_", "fairness_report_"):
        with pytest.raises(AttributeError, match="Fit again"):
            getattr(fair, name)


@pytest.mark.filterwarnings("ignore::sklearn_fairsisa.exceptions.DegenerateRuleWarning")
@pytest.mark.parametrize("n_classes", [2, 3])
def test_balanced_accuracy_leaves_out_a_class_that_was_forgotten(n_classes):
    rng = np.random.default_rng(0)
    y, group = rng.integers(0, n_classes, 300), rng.integers(0, 2, 300)
    votes = np.where(rng.random((300, 3)) < 0.7, y[:, None], (y[:, None] + 1) % 2)
    fair = FairEnsemblePostprocessor(
        method="aggregate_then_postprocess",
        constraints="demographic_parity",
        objective="balanced_accuracy_score",
        random_state=0,
    ).fit(votes, y, sensitive_features=group)
    fair.forget(np.flatnonzero(y == n_classes - 1))
    table = fair.tradeoff([0.0])
    assert table.balanced_accuracy[0] == pytest.approx(fair.objective_)
    kept = y < n_classes - 1
    p = fair.selection_probability(votes[kept], sensitive_features=group[kept])
    p = p if n_classes > 2 else np.column_stack([1 - p, p])
    recalls = [p[y[kept] == k, k].mean() for k in range(n_classes - 1)]
    assert fair.objective_ == pytest.approx(np.mean(recalls))


@pytest.mark.parametrize("weight", [None, np.ones(40)])
@pytest.mark.parametrize("params", [{"n_slices": 2}, {"epochs": 2}])
@pytest.mark.parametrize("in_pipeline", [False, True])
def test_a_learner_without_partial_fit_is_refused_by_name(weight, params, in_pipeline):
    learner = LogisticRegression()
    learner = make_pipeline(StandardScaler(), learner) if in_pipeline else learner
    fair = FairEnsemblePostprocessor(SISAClassifier(learner, **params))
    X, (y, group) = np.arange(80.0).reshape(40, 2), np.indices((2, 20)).reshape(2, -1)
    with pytest.raises(ValueError, match=r"needs .*continue training.*no partial_fit"):
        fair.fit(X, y, sensitive_features=group % 2, sample_weight=weight)
