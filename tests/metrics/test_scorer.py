"""Claims about FairScorer in scikit-learn's model selection."""

import pickle
import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
import sklearn
from fairlearn.metrics import (
    accuracy_score_difference,
    demographic_parity_difference,
    demographic_parity_ratio,
    equalized_odds_difference,
    make_derived_metric,
    recall_score_group_min,
    selection_rate,
    selection_rate_difference,
    zero_one_loss_group_max,
)
from fairlearn.postprocessing import ThresholdOptimizer
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    brier_score_loss,
    fbeta_score,
    roc_auc_score,
    zero_one_loss,
)
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_fairsisa.metrics import (
    FairlearnAdapter,
    FairScorer,
    expected_accuracy_score,
    expected_equalized_odds_difference,
    within_fairness_budget,
)


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.fixture
def data():
    X, y = make_classification(600, n_features=6, flip_y=0.2, random_state=0)
    group = np.where(X[:, 0] + np.random.default_rng(0).normal(size=600) > 0, "a", "b")
    return X, y, group


@pytest.fixture
def frame(data):
    X, y, group = data
    table = pd.DataFrame(X, columns=[f"x{i}" for i in range(6)])
    return table.assign(group=group), y, group


def numbers():
    return make_column_transformer(
        ("passthrough", [f"x{i}" for i in range(6)])
    ).set_output(transform="pandas")


def optimizer(**options):
    return ThresholdOptimizer(
        estimator=LogisticRegression(),
        constraints="equalized_odds",
        predict_method="predict_proba",
        **options,
    )


def scored_by_hand(fit, predict, X, y, group, metric):
    scores = []
    for train, test in StratifiedKFold(3).split(X, y):
        model = fit(X[train], y[train], group[train])
        predicted = predict(model, X[test], group[test])
        scores.append(-metric(y[test], predicted, sensitive_features=group[test]))
    return scores


def test_score_is_the_negated_metric_of_the_predictions(data):
    X, y, group = data
    model = LogisticRegression().fit(X, y)
    expected = equalized_odds_difference(y, model.predict(X), sensitive_features=group)
    scorer = FairScorer(equalized_odds_difference)
    assert scorer(model, X, y, sensitive_features=group) == -expected
    positive = FairScorer(equalized_odds_difference, greater_is_better=True)
    assert positive(model, X, y, sensitive_features=group) == expected


def test_column_of_the_scorer_gives_the_same_as_groups_beside_X(frame):
    X, y, group = frame
    model = make_pipeline(numbers(), LogisticRegression()).fit(X, y)
    beside = FairScorer(equalized_odds_difference)
    inside = FairScorer(equalized_odds_difference, sensitive_feature="group")
    assert inside(model, X, y) == beside(model, X, y, sensitive_features=group)


def test_cross_validate_by_column_equals_folds_by_hand(frame, data):
    X, y, group = data
    expected = scored_by_hand(
        lambda X, y, g: LogisticRegression().fit(X, y),
        lambda m, X, g: m.predict(X),
        X, y, group, equalized_odds_difference,
    )  # fmt: skip
    scores = cross_val_score(
        make_pipeline(numbers(), LogisticRegression()),
        frame[0],
        y,
        scoring=FairScorer(equalized_odds_difference, sensitive_feature="group"),
        cv=3,
    )
    np.testing.assert_allclose(scores, expected)


@pytest.mark.usefixtures("routing")
def test_cross_validate_by_routing_equals_folds_by_hand(data):
    X, y, group = data
    expected = scored_by_hand(
        lambda X, y, g: optimizer().fit(X, y, sensitive_features=g),
        lambda m, X, g: m.predict(X, sensitive_features=g, random_state=3),
        X, y, group, equalized_odds_difference,
    )  # fmt: skip
    scores = cross_validate(
        optimizer().set_fit_request(sensitive_features=True),
        X,
        y,
        scoring=FairScorer(equalized_odds_difference, random_state=3),
        params={"sensitive_features": group},
        cv=StratifiedKFold(3),
        error_score="raise",
    )
    np.testing.assert_allclose(scores["test_score"], expected)


@pytest.mark.usefixtures("routing")
def test_threshold_optimizer_in_grid_search_by_routing_has_no_nan(data):
    X, y, group = data
    search = GridSearchCV(
        optimizer().set_fit_request(sensitive_features=True),
        {"estimator__C": [0.01, 1.0]},
        scoring={
            "accuracy": FairScorer(accuracy_score, greater_is_better=True),
            "gap": FairScorer(equalized_odds_difference),
        },
        refit="accuracy",
        error_score="raise",
    )
    search.fit(X, y, sensitive_features=group)
    assert np.isfinite(search.cv_results_["mean_test_gap"]).all()
    assert (search.cv_results_["mean_test_accuracy"] > 0.5).all()


@pytest.mark.usefixtures("routing")
def test_pipeline_by_routing_hands_groups_to_its_last_step(data):
    X, y, group = data
    model = make_pipeline(
        StandardScaler(), optimizer().set_fit_request(sensitive_features=True)
    )
    scores = cross_val_score(
        model, X, y,
        scoring=FairScorer(equalized_odds_difference, random_state=0),
        params={"sensitive_features": group}, cv=3, error_score="raise",
    )  # fmt: skip
    assert np.isfinite(scores).all()


@pytest.mark.usefixtures("unrouted")
def test_threshold_optimizer_in_grid_search_without_routing_has_no_nan(frame):
    X, y, group = frame
    table = X.assign(group=(group == "a").astype(int))
    search = GridSearchCV(
        optimizer(),
        {"estimator__C": [0.01, 1.0]},
        scoring=FairScorer(
            equalized_odds_difference, sensitive_feature="group", random_state=0
        ),
        error_score="raise",
    )
    search.fit(table, y, sensitive_features=group)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_estimator_that_names_the_column_needs_no_other_hint(frame):
    X, y, group = frame
    model = FairlearnAdapter(optimizer(), sensitive_feature="group", random_state=0)
    scorer = FairScorer(equalized_odds_difference)
    fitted = model.fit(X, y)
    expected = -equalized_odds_difference(
        y, fitted.predict(X), sensitive_features=group
    )
    assert scorer(fitted, X, y) == expected
    scores = cross_val_score(model, X, y, scoring=scorer, error_score="raise")
    assert np.isfinite(scores).all()


def test_last_step_of_a_pipeline_names_a_column_of_what_reaches_it(frame):
    X, y, group = frame
    steps = make_column_transformer(
        (StandardScaler(), [f"x{i}" for i in range(6)]), ("passthrough", ["group"])
    ).set_output(transform="pandas")
    adapter = FairlearnAdapter(
        optimizer(), sensitive_feature="passthrough__group", random_state=0
    )
    model = make_pipeline(steps, adapter).fit(X, y)
    expected = -equalized_odds_difference(y, model.predict(X), sensitive_features=group)
    assert FairScorer(equalized_odds_difference)(model, X, y) == expected


def test_fitted_search_is_scored_by_its_best_estimator(frame):
    X, y, _ = frame
    adapter = FairlearnAdapter(optimizer(), sensitive_feature="group", random_state=0)
    scorer = FairScorer(equalized_odds_difference)
    search = GridSearchCV(adapter, {"mitigator__estimator__C": [1.0]}, scoring=scorer)
    search.fit(X, y)
    assert scorer(search, X, y) == scorer(search.best_estimator_, X, y)
    nested = cross_val_score(search, X, y, scoring=scorer, cv=2, error_score="raise")
    assert np.isfinite(nested).all()


def test_no_groups_is_an_error_that_names_the_ways_to_give_them(data):
    X, y, _ = data
    model = LogisticRegression().fit(X, y)
    with pytest.raises(ValueError, match=r"needs the groups.*sensitive_feature=.*rout"):
        FairScorer(equalized_odds_difference)(model, X, y)


def test_metric_without_groups_needs_none(data):
    X, y, _ = data
    model = LogisticRegression().fit(X, y)
    scorer = FairScorer(accuracy_score, greater_is_better=True)
    assert scorer(model, X, y) == model.score(X, y)


def test_missing_and_too_few_groups_are_refused(data):
    X, y, group = data
    model = LogisticRegression().fit(X, y)
    scorer = FairScorer(equalized_odds_difference)
    with pytest.raises(ValueError, match="rows"):
        scorer(model, X, y, sensitive_features=group[:-1])
    broken = group.astype(object)
    broken[3] = None
    with pytest.raises(ValueError, match="missing"):
        scorer(model, X, y, sensitive_features=broken)


def test_probabilities_are_those_of_the_positive_class(data):
    X, y, _ = data
    model = LogisticRegression().fit(X, np.where(y, "yes", "no"))
    score = FairScorer(
        roc_auc_score, response_method="predict_proba", greater_is_better=True,
        pos_label="no",
    )  # fmt: skip
    expected = roc_auc_score(1 - y, model.predict_proba(X)[:, 0])
    assert score(model, X, np.where(y, "yes", "no")) == pytest.approx(expected)
    margin = FairScorer(
        roc_auc_score, response_method="decision_function", greater_is_better=True,
        pos_label="no",
    )  # fmt: skip
    assert margin(model, X, np.where(y, "yes", "no")) == pytest.approx(expected)


def test_string_labels_are_encoded_by_pos_label(data):
    X, y, group = data
    named = np.where(y, "yes", "no")
    model = LogisticRegression().fit(X, named)
    scorer = FairScorer(equalized_odds_difference, pos_label="yes")
    expected = equalized_odds_difference(
        y, model.predict(X) == "yes", sensitive_features=group
    )
    assert scorer(model, X, named, sensitive_features=group) == -expected


@pytest.mark.parametrize(
    "metric",
    [
        demographic_parity_difference,
        partial(equalized_odds_difference, agg="mean"),
        selection_rate_difference,
    ],
)
def test_labels_that_fairlearn_would_not_count_are_refused(data, metric):
    X, y, group = data
    named = np.where(y, "yes", "no")
    model = LogisticRegression().fit(X, named)
    with pytest.raises(ValueError, match="pos_label='yes'"):
        FairScorer(metric)(model, X, named, sensitive_features=group)


def test_metrics_of_ones_own_get_the_labels_as_they_are(data):
    X, y, group = data
    named = np.where(y, "yes", "no")
    model = LogisticRegression().fit(X, named)
    rate = make_derived_metric(
        metric=lambda y_true, y_pred: np.mean(y_pred == "yes"), transform="difference"
    )
    score = FairScorer(rate)(model, X, named, sensitive_features=group)
    expected = demographic_parity_difference(
        y, model.predict(X) == "yes", sensitive_features=group
    )
    assert score == -expected != 0


def test_selection_probability_of_a_randomised_rule_has_no_coin(data):
    X, y, group = data
    model = optimizer().fit(X, y, sensitive_features=group)
    scorer = FairScorer(
        expected_equalized_odds_difference, response_method="selection_probability"
    )
    scores = {scorer(model, X, y, sensitive_features=group) for _ in range(3)}
    assert len(scores) == 1
    assert abs(scores.pop()) < 0.02


def test_selection_probability_of_a_plain_classifier_is_its_decision(data):
    X, y, group = data
    model = LogisticRegression().fit(X, y)
    soft = FairScorer(
        expected_equalized_odds_difference, response_method="selection_probability"
    )
    hard = FairScorer(equalized_odds_difference)
    assert soft(model, X, y, group) == pytest.approx(hard(model, X, y, group))


def test_sample_weight_reaches_the_metric(data):
    X, y, group = data
    weight = np.random.default_rng(0).random(len(y))
    model = LogisticRegression().fit(X, y)
    expected = demographic_parity_difference(
        y, model.predict(X), sensitive_features=group, sample_weight=weight
    )
    scorer = FairScorer(demographic_parity_difference)
    assert scorer(model, X, y, group, weight) == -expected


@pytest.mark.usefixtures("routing")
def test_sample_weight_is_routed_where_requested(data):
    X, y, group = data
    weight = np.random.default_rng(0).random(len(y))
    scorer = FairScorer(demographic_parity_difference)
    scorer.set_score_request(sample_weight=True)
    expected = [
        scorer(LogisticRegression().fit(X[train], y[train]), X[test], y[test],
               group[test], weight[test])
        for train, test in StratifiedKFold(3).split(X, y)
    ]  # fmt: skip
    scores = cross_val_score(
        LogisticRegression().set_fit_request(sample_weight=False),
        X, y, scoring=scorer, cv=3, error_score="raise",
        params={"sensitive_features": group, "sample_weight": weight},
    )  # fmt: skip
    np.testing.assert_allclose(scores, expected)


@pytest.mark.usefixtures("routing")
def test_groups_can_be_routed_under_another_name(data):
    X, y, group = data
    scorer = FairScorer(equalized_odds_difference)
    scorer.set_score_request(sensitive_features="club")
    scores = cross_val_score(
        LogisticRegression(), X, y, scoring=scorer, params={"club": group},
        error_score="raise",
    )  # fmt: skip
    assert np.isfinite(scores).all()


def test_multi_metric_search_within_a_budget(frame):
    X, y, _ = frame
    search = GridSearchCV(
        FairlearnAdapter(optimizer(), sensitive_feature="group", random_state=0),
        {"mitigator__estimator__C": [1e-4, 1e-2, 1.0]},
        scoring={
            "accuracy": "accuracy",
            "balanced": FairScorer(balanced_accuracy_score, greater_is_better=True),
            "gap": FairScorer(equalized_odds_difference),
        },
        refit=within_fairness_budget(1.0, score="accuracy"),
        error_score="raise",
    )
    search.fit(X, y)
    accuracies = search.cv_results_["mean_test_accuracy"]
    assert search.best_index_ == np.argmax(accuracies)
    assert search.predict(X).shape == y.shape


class Counting(LogisticRegression):
    """A classifier that counts how often it was asked."""

    asked = 0

    def predict(self, X):
        Counting.asked += 1
        return super().predict(X)


def count_predictions(call):
    Counting.asked = 0
    return call(), Counting.asked


def test_several_metrics_of_one_scorer_are_those_of_one_prediction(frame):
    X, y, _ = frame
    model = make_pipeline(numbers(), Counting())
    metrics = {
        "accuracy": (accuracy_score, True),
        "gap": (equalized_odds_difference, False),
        "parity": (partial(demographic_parity_difference, method="to_overall"), False),
    }
    together = FairScorer(
        {name: metric for name, (metric, _) in metrics.items()},
        greater_is_better=["accuracy"],
        sensitive_feature="group",
    )
    apart = {
        name: FairScorer(metric, greater_is_better=greater, sensitive_feature="group")
        for name, (metric, greater) in metrics.items()
    }
    for validate in (
        lambda scoring: cross_validate(model, X, y, scoring=scoring, cv=3),
        lambda scoring: (
            GridSearchCV(
                model, {"counting__C": [0.1, 1.0]}, scoring=scoring, refit="gap", cv=3
            )
            .fit(X, y)
            .cv_results_
        ),
    ):
        one, once = count_predictions(partial(validate, together))
        each, thrice = count_predictions(partial(validate, apart))
        assert thrice == 3 * once
        scores = [name for name in each if "_test_" in f"_{name}"]
        assert len(scores) >= 3
        for name in scores:
            np.testing.assert_array_equal(one[name], each[name])


@pytest.mark.usefixtures("routing")
def test_several_metrics_get_what_is_routed(data):
    X, y, group = data
    scoring = FairScorer(
        {"accuracy": accuracy_score, "gap": equalized_odds_difference},
        greater_is_better=["accuracy"],
    ).set_score_request(sample_weight=True)
    weight = np.random.default_rng(0).random(len(y))
    search = GridSearchCV(
        LogisticRegression().set_fit_request(sample_weight=False),
        {"C": [0.01, 1.0]},
        scoring=scoring,
        refit=within_fairness_budget(1.0, score="accuracy"),
        error_score="raise",
    ).fit(X, y, sensitive_features=group, sample_weight=weight)
    found = scoring(search, X, y, group, weight)
    decided = search.predict(X)
    assert found == {
        "accuracy": accuracy_score(y, decided, sample_weight=weight),
        "gap": -equalized_odds_difference(
            y, decided, sensitive_features=group, sample_weight=weight
        ),
    }


def test_names_of_scores_must_be_names_of_the_metrics():
    metrics = {"accuracy": accuracy_score, "gap": equalized_odds_difference}
    with pytest.raises(ValueError, match=r"names \['score'\], but the metrics are"):
        FairScorer(metrics, greater_is_better=["score"])
    for metric in (metrics, equalized_odds_difference):
        with pytest.raises(TypeError, match="True or False, or of several"):
            FairScorer(metric, greater_is_better="accuracy")
    with pytest.raises(TypeError, match="must be callable, got 'accuracy'"):
        FairScorer({"accuracy": "accuracy"})
    with pytest.raises(ValueError, match="empty dict"):
        FairScorer({})
    with pytest.warns(UserWarning, match=r"Set greater_is_better=\['accuracy'\]"):
        scorer = FairScorer(metrics)
    assert repr(scorer) == (
        "FairScorer({'accuracy': accuracy_score, 'gap': equalized_odds_difference})"
    )


def test_scorer_works_in_parallel_and_survives_pickle(frame):
    X, y, _ = frame
    model = make_pipeline(numbers(), LogisticRegression())
    scorer = FairScorer(equalized_odds_difference, sensitive_feature="group")
    serial = cross_val_score(model, X, y, scoring=scorer)
    parallel = cross_val_score(model, X, y, scoring=scorer, n_jobs=2)
    np.testing.assert_array_equal(serial, parallel)
    copy = pickle.loads(pickle.dumps(scorer))
    model.fit(X, y)
    assert copy(model, X, y) == scorer(model, X, y)


def test_unknown_requests_are_refused():
    with pytest.raises(TypeError, match=r"does not take \['group'\]"):
        FairScorer(equalized_odds_difference).set_score_request(group=True)


def test_repr_names_the_metric_and_what_was_set():
    scorer = FairScorer(equalized_odds_difference, greater_is_better=True, pos_label=1)
    assert repr(scorer) == (
        "FairScorer(equalized_odds_difference, greater_is_better=True, pos_label=1)"
    )
    assert "partial(selection_rate)" in repr(FairScorer(partial(selection_rate)))


def test_bad_options_are_refused_at_once():
    with pytest.raises(TypeError, match="metric must be callable"):
        FairScorer("equalized_odds")
    with pytest.raises(ValueError, match="response_method='proba' is unknown"):
        FairScorer(accuracy_score, response_method="proba")


@pytest.mark.parametrize(
    "metric",
    [
        accuracy_score,
        partial(fbeta_score, beta=2),
        demographic_parity_ratio,
        recall_score_group_min,
        make_derived_metric(metric=zero_one_loss, transform="ratio"),
        expected_accuracy_score,
    ],
)
def test_no_search_takes_the_least_score_without_a_warning(metric):
    with pytest.warns(UserWarning, match="Set greater_is_better=True") as caught:
        FairScorer(metric)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FairScorer(metric, greater_is_better=True)


def test_gaps_losses_and_nameless_metrics_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for metric in (
            equalized_odds_difference,
            partial(demographic_parity_difference, method="to_overall"),
            accuracy_score_difference,
            brier_score_loss,
            zero_one_loss_group_max,
            make_derived_metric(metric=accuracy_score, transform="difference"),
            lambda y_true, y_pred: 0.0,
        ):
            FairScorer(metric)


def test_lacking_response_method_is_named(data):
    class OnlyPredicts(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.classes_ = np.unique(y)
            return self

        def predict(self, X):
            return self.classes_[np.zeros(len(X), dtype=int)]

    X, y, _ = data
    scorer = FairScorer(
        accuracy_score, response_method="predict_proba", greater_is_better=True
    )
    with pytest.raises(AttributeError, match="OnlyPredicts has no predict_proba"):
        scorer(OnlyPredicts().fit(X, y), X, y)
