"""Claims about pooled cross-validation."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from fairlearn.metrics import equalized_odds_difference
from fairlearn.postprocessing import ThresholdOptimizer
from fairlearn.reductions import EqualizedOdds, ExponentiatedGradient
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import make_classification
from sklearn.dummy import DummyClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    RepeatedKFold,
    ShuffleSplit,
    StratifiedKFold,
    cross_val_predict,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.metrics import (
    FairlearnAdapter,
    FairScorer,
    bootstrap_interval,
    noise_floor,
    pool_predictions,
    pooled_cross_validate,
)


@pytest.fixture
def data():
    X, y = make_classification(400, n_features=5, flip_y=0.2, random_state=1)
    group = (X[:, 0] + np.random.default_rng(0).normal(size=400) > 0).astype(int)
    return X, y, group


def adapter(**options):
    return FairlearnAdapter(
        ThresholdOptimizer(
            estimator=LogisticRegression(), predict_method="predict_proba"
        ),
        random_state=0,
        **options,
    )


def test_pooled_predictions_are_those_of_cross_val_predict(data):
    X, y, group = data
    cv = StratifiedKFold(4)
    pooled = pooled_cross_validate(
        LogisticRegression(), X, y, sensitive_features=group, cv=cv
    )
    expected = cross_val_predict(LogisticRegression(), X, y, cv=cv)
    np.testing.assert_array_equal(pooled.y_pred[:, 0], expected)
    gap = equalized_odds_difference(y, expected, sensitive_features=group)
    table = pooled.summary(n_resamples=50, random_state=0)
    assert table.loc["equalized_odds_difference", "estimate"] == pytest.approx(gap)


def test_repeats_fill_one_column_each(data):
    X, y, group = data
    pooled = pooled_cross_validate(
        LogisticRegression(), X, y, sensitive_features=group,
        cv=RepeatedKFold(n_splits=3, n_repeats=2, random_state=0),
    )  # fmt: skip
    folds = list(RepeatedKFold(n_splits=3, n_repeats=2, random_state=0).split(X))
    for repeat in (0, 1):
        expected = cross_val_predict(
            LogisticRegression(), X, y, cv=folds[3 * repeat : 3 * repeat + 3]
        )
        np.testing.assert_array_equal(pooled.y_pred[:, repeat], expected)


def test_own_splits_differ_by_repeat_and_come_back_by_seed(data):
    X, y, group = data
    options = {"sensitive_features": group, "n_repeats": 3, "cv": 3}
    first, second = (
        pooled_cross_validate(
            LogisticRegression(), X, y, random_state=0, response_method="predict_proba",
            **options,
        )
        for _ in range(2)
    )  # fmt: skip
    assert first.y_pred.shape == (400, 3)
    np.testing.assert_array_equal(first.y_pred, second.y_pred)
    assert not np.array_equal(first.y_pred[:, 0], first.y_pred[:, 1])


def test_own_folds_hold_every_group_and_label_where_they_can(data):
    X, y, _ = data
    rare = np.where(np.arange(400) < 12, "rare", "usual")
    y = y.copy()
    # Six negatives of the rare group, and fewer positives than folds.
    y[:12] = [0] * 6 + [1] * 2 + [0] * 4
    seen = []

    class Spy(LogisticRegression):
        def predict(self, X):
            seen.append(int(X[:, -1].sum()))
            return super().predict(X)

    marked = np.column_stack([X, rare == "rare"])
    pooled_cross_validate(Spy(), marked, y, sensitive_features=rare, cv=3)
    assert sorted(seen) == [4, 4, 4]


def test_groups_inside_X_and_beside_it_agree(data):
    X, y, group = data
    table = pd.DataFrame(X).rename(columns=str).assign(group=group)
    cv = KFold(3)
    beside = pooled_cross_validate(adapter(), X, y, sensitive_features=group, cv=cv)
    inside = pooled_cross_validate(adapter(sensitive_feature="group"), table, y, cv=cv)
    np.testing.assert_allclose(inside.y_pred, beside.y_pred)
    np.testing.assert_array_equal(inside.sensitive_features, group)


def test_randomised_rules_are_pooled_as_probabilities(data):
    X, y, group = data
    train, test = next(KFold(2).split(X))
    rule = clone(adapter()).fit(X[train], y[train], sensitive_features=group[train])
    pooled = pooled_cross_validate(
        adapter(), X, y, sensitive_features=group, cv=KFold(2)
    )
    expected = rule.selection_probability(X[test], sensitive_features=group[test])
    np.testing.assert_allclose(pooled.y_pred[test, 0], expected)
    assert ((expected > 0) & (expected < 1)).any()


@pytest.mark.parametrize("routing", [True, False])
def test_last_step_of_a_pipeline_gets_the_groups(data, routing):
    X, y, group = data
    model = make_pipeline(StandardScaler(), adapter())
    with sklearn.config_context(enable_metadata_routing=routing):
        pooled = pooled_cross_validate(
            model, X, y, sensitive_features=group, cv=KFold(2)
        )
    assert np.isfinite(pooled.y_pred).all()


@pytest.mark.parametrize("routing", [True, False])
@pytest.mark.parametrize(
    "model",
    [
        SISAClassifier(n_shards=2, random_state=0),
        make_pipeline(StandardScaler(), SISAClassifier(n_shards=2, random_state=0)),
        GridSearchCV(LogisticRegression(), {"C": [1]}, cv=2),
        FrozenEstimator(DummyClassifier().fit([[0.0] * 5] * 2, [0, 1])),
    ],
    ids=["SISA", "pipeline", "search", "frozen"],
)
def test_learners_that_take_no_groups_get_none(data, routing, model):
    X, y, group = data
    cv = KFold(2)
    with sklearn.config_context(enable_metadata_routing=routing):
        pooled = pooled_cross_validate(model, X, y, sensitive_features=group, cv=cv)
    expected = cross_val_predict(model, X, y, cv=cv)
    np.testing.assert_array_equal(pooled.y_pred[:, 0], expected)


# fairlearn's reductions use pandas in ways that pandas 3 warns of.
@pytest.mark.filterwarnings("ignore:Setting a value on a Series")
@pytest.mark.filterwarnings("ignore:Setting an item of incompatible dtype")
@pytest.mark.parametrize("routing", [True, False])
@pytest.mark.parametrize("in_pipeline", [True, False])
def test_search_hands_the_groups_on(data, routing, in_pipeline):
    X, y, group = data
    inner = ExponentiatedGradient(LogisticRegression(), EqualizedOdds(), max_iter=2)
    inner = FairlearnAdapter(inner, random_state=0)
    inner = make_pipeline(StandardScaler(), inner) if in_pipeline else inner
    options = {"param_grid": {}, "cv": 2, "error_score": "raise"}
    with sklearn.config_context(enable_metadata_routing=routing):
        alone, searched = (
            pooled_cross_validate(
                model, X, y, sensitive_features=group, cv=KFold(2)
            ).y_pred
            for model in (inner, GridSearchCV(inner, **options))
        )
    np.testing.assert_array_equal(alone, searched)


def test_scorer_of_a_search_gets_the_groups_by_routing(data):
    X, y, group = data
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            LogisticRegression(), {"C": [1]}, cv=2, error_score="raise",
            scoring=FairScorer(equalized_odds_difference),
        )  # fmt: skip
        pooled = pooled_cross_validate(
            search, X, y, sensitive_features=group, cv=KFold(2)
        )
    assert np.isfinite(pooled.y_pred).all()


@pytest.mark.parametrize("routing", [True, False])
def test_search_over_an_estimator_that_finds_the_groups_gets_none(data, routing):
    X, y, group = data
    table = pd.DataFrame(X).rename(columns=str).assign(group=group)
    with sklearn.config_context(enable_metadata_routing=routing):
        inner = adapter(sensitive_feature="group")
        search = GridSearchCV(inner, {}, cv=2, error_score="raise")
        cv = KFold(2)
        beside, alone = (
            pooled_cross_validate(model, table, y, sensitive_features=g, cv=cv).y_pred
            for model, g in ((search, group), (inner, None))
        )
    np.testing.assert_array_equal(beside, alone)


def test_summary_holds_intervals_and_floors(data):
    X, y, group = data
    pooled = pooled_cross_validate(
        LogisticRegression(), X, y, sensitive_features=group, random_state=0
    )
    table = pooled.summary(n_resamples=200, random_state=0)
    gap = table.loc["equalized_odds_difference"]
    # The generator is shared, so the first draw is the interval's.
    interval = bootstrap_interval(
        table.index.tolist(), y, pooled.y_pred, sensitive_features=group,
        n_resamples=200, random_state=0,
    )["equalized_odds_difference"]  # fmt: skip
    assert tuple(gap[["estimate", "low", "high"]]) == interval
    floor = noise_floor(
        y, pooled.y_pred, sensitive_features=group, n_simulations=200, random_state=1
    )
    assert gap["floor_mean"] == pytest.approx(floor.mean, rel=0.2)
    assert table.loc["accuracy_score", ["floor_mean", "p_value"]].isna().all()
    alone = pooled.summary(["accuracy_score"], n_resamples=200, random_state=0)
    assert alone["estimate"].tolist() == [table.loc["accuracy_score", "estimate"]]
    assert alone[["floor_mean", "floor_95", "p_value"]].isna().all(axis=None)


@pytest.mark.parametrize("labels", [[0, 1], [0.0, 1.0], [-1, 1], [1, 2], ["no", "yes"]])
@pytest.mark.parametrize(
    "response_method", ["selection_probability", "predict", "predict_proba"]
)
@pytest.mark.parametrize("decides", [DecisionTreeClassifier, DummyClassifier])
def test_accuracy_does_not_depend_on_which_label_is_positive(
    data, labels, response_method, decides
):
    X, y, group = data
    named = np.array(labels)[y]
    tables = [
        pooled_cross_validate(
            decides(random_state=0), X, named, sensitive_features=group, cv=KFold(3),
            response_method=response_method, pos_label=pos_label,
        ).summary(n_resamples=5, random_state=0)["estimate"]
        for pos_label in (*labels, None)
    ]  # fmt: skip
    accuracy = (
        cross_val_predict(decides(random_state=0), X, named, cv=KFold(3)) == named
    ).mean()
    both = "accuracy_score", "balanced_accuracy_score", "equalized_odds_difference"
    for table in tables:
        if response_method != "predict_proba" or decides is DecisionTreeClassifier:
            assert table["accuracy_score"] == pytest.approx(accuracy)
        np.testing.assert_allclose(table[[*both]], tables[0][[*both]], atol=1e-12)
    assert tables[0]["selection_rate"] == pytest.approx(1 - tables[1]["selection_rate"])


def test_parallel_folds_give_the_same(data):
    X, y, group = data
    serial, parallel = (
        pooled_cross_validate(
            LogisticRegression(), X, y, sensitive_features=group, random_state=0,
            n_jobs=n_jobs,
        ).y_pred
        for n_jobs in (None, 2)
    )  # fmt: skip
    np.testing.assert_array_equal(serial, parallel)


class SaysWhetherItRoutes(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), sklearn.get_config()["enable_metadata_routing"] * 1)


@pytest.mark.parametrize("routing", [True, False])
def test_workers_are_configured_as_their_caller(data, routing):
    X, y, group = data
    with sklearn.config_context(enable_metadata_routing=routing):
        pooled = pooled_cross_validate(
            SaysWhetherItRoutes(), X, y, sensitive_features=group, n_jobs=2
        )
    assert (pooled.y_pred == routing).all()


def test_splits_that_do_not_test_everybody_equally_often_are_refused(data):
    X, y, group = data
    with pytest.raises(ValueError, match="must be tested equally often"):
        pooled_cross_validate(
            LogisticRegression(), X, y, sensitive_features=group, cv=ShuffleSplit(3)
        )


def test_unknown_response_methods_are_refused_before_anything_is_fitted(data):
    X, y, group = data

    class Unfitted(LogisticRegression):
        def fit(self, X, y):
            raise AssertionError

    with pytest.raises(ValueError, match="response_method='probability' is unknown"):
        pooled_cross_validate(
            Unfitted(), X, y, sensitive_features=group, response_method="probability"
        )


def test_pool_predictions_puts_rows_back_in_order():
    folds = [([2, 0], [20, 0]), ([1], [10]), ([0, 1, 2], [1, 11, 21])]
    assert pool_predictions(folds, 3).tolist() == [[0, 1], [10, 11], [20, 21]]
    masks = [(np.array([True, False]), [5]), (np.array([False, True]), [6])]
    assert pool_predictions(masks, 2).tolist() == [[5], [6]]


def test_one_column_of_predictions_is_a_vector_of_them():
    assert pool_predictions([([1, 0], [[1], [0]])], 2).tolist() == [[0], [1]]


def test_scores_of_more_classes_are_no_repeats():
    X, y = make_classification(
        120, n_informative=4, n_classes=3, n_clusters_per_class=1, random_state=0
    )
    options = {"sensitive_features": y % 2, "cv": KFold(2)}
    with pytest.raises(ValueError, match=r"shape \(60, 3\).*response_method"):
        pooled_cross_validate(
            LogisticRegression(), X, y, response_method="predict_proba", **options
        )
    labels = pooled_cross_validate(
        LogisticRegression(), X, y, response_method="predict", **options
    )
    assert labels.y_pred.shape == (120, 1)


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ([], r"tested \[0\] times"),
        ([([0], [1.0])], r"tested \[0, 1\] times"),
        ([([0, 5], [1.0, 2.0])], "tests row 5, but there are 2 rows"),
        ([([0, -1], [1.0, 2.0])], "tests row -1"),
        ([([0, 1], [1.0])], "2 test rows but 1 predictions"),
        ([([0, 1], [[0.1, 0.9], [1.0, 0.0]])], r"shape \(2, 2\). Give one number"),
    ],
)
def test_bad_folds_are_explained(folds, message):
    with pytest.raises(ValueError, match=message):
        pool_predictions(folds, 2)


def test_missing_groups_and_repeats_of_a_splitter_are_explained(data):
    X, y, group = data
    with pytest.raises(ValueError, match=r"no groups. Pass sensitive_features="):
        pooled_cross_validate(LogisticRegression(), X, y)
    with pytest.raises(ValueError, match="n_repeats=2 needs cv to be a number"):
        pooled_cross_validate(
            LogisticRegression(),
            X,
            y,
            sensitive_features=group,
            cv=KFold(2),
            n_repeats=2,
        )
    with pytest.raises(ValueError, match="n_repeats must be at least 1"):
        pooled_cross_validate(
            LogisticRegression(), X, y, sensitive_features=group, n_repeats=0
        )
