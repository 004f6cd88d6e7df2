"""Both estimators within scikit-learn's searches and cross-validation."""

import numpy as np
import pytest
from fairlearn.metrics import equalized_odds_difference
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import make_scorer, recall_score
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.datasets import make_biased_posts
from sklearn_fairsisa.metrics import FairScorer, within_fairness_budget

POSTS = make_biased_posts(900, n_groups=2, random_state=0, as_frame=True)
X, Y, GROUPS = POSTS.data, POSTS.target, POSTS.sensitive_features
GAP = FairScorer(equalized_odds_difference)


def make_fair(**params):
    words = make_column_transformer((HashingVectorizer(n_features=256), "text"))
    learner = make_pipeline(words, SGDClassifier(loss="log_loss"))
    sisa = SISAClassifier(learner, n_shards=3, random_state=0)
    params = {"sensitive_feature": "group", "random_state": 0} | params
    return FairEnsemblePostprocessor(sisa, **params)


def make_piped():
    """The post-processor as last step, the group as last column that reaches it."""
    columns = make_column_transformer(
        (HashingVectorizer(n_features=256), "text"), (OrdinalEncoder(), ["group"])
    )
    sisa = SISAClassifier(SGDClassifier(loss="log_loss"), n_shards=3, random_state=0)
    fair = FairEnsemblePostprocessor(sisa, sensitive_feature=-1, random_state=0)
    return Pipeline([("columns", columns), ("fair", fair)])


GRID = {
    "method": ["aggregate_then_postprocess", "soft_ensemble"],
    "tol": [0.0, 0.1],
    "estimator__n_shards": [2, 3],
}


def test_a_grid_tunes_rule_shards_and_learner_in_parallel():
    grid = GRID | {"estimator__estimator__sgdclassifier__alpha": [1e-4]}
    search = GridSearchCV(make_fair(), grid, scoring=GAP, cv=2, n_jobs=2).fit(X, Y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_score_ > -0.3
    one = GridSearchCV(make_fair(), grid, scoring=GAP, cv=2).fit(X, Y)
    np.testing.assert_array_equal(
        search.cv_results_["mean_test_score"], one.cv_results_["mean_test_score"]
    )


def test_the_most_accurate_candidate_within_a_fairness_budget_is_refitted():
    search = GridSearchCV(
        make_fair(),
        GRID,
        scoring={"accuracy": "accuracy", "gap": GAP},
        refit=within_fairness_budget(0.2, score="accuracy", gap="gap"),
        cv=2,
    ).fit(X, Y)
    gaps = -search.cv_results_["mean_test_gap"]
    accuracy = search.cv_results_["mean_test_accuracy"]
    assert gaps[search.best_index_] <= 0.2
    assert accuracy[search.best_index_] == accuracy[gaps <= 0.2].max()


@pytest.mark.parametrize(
    ("estimator", "prefix"), [(make_fair(), ""), (make_piped(), "fair__")]
)
def test_halving_nested_search_and_learning_curves_work(estimator, prefix):
    small = {f"{prefix}tol": [0.0, 0.2], f"{prefix}estimator__n_shards": [2]}
    halving = HalvingGridSearchCV(
        estimator, small, scoring=GAP, cv=2, min_resources=300, random_state=0
    )
    assert np.isfinite(halving.fit(X, Y).best_score_)
    nested = cross_val_score(
        GridSearchCV(estimator, small, scoring=GAP, cv=2), X, Y, scoring=GAP, cv=2
    )
    assert np.isfinite(nested).all()
    _, _, scores = learning_curve(
        estimator, X, Y, train_sizes=[0.5, 1.0], cv=2, scoring=GAP
    )
    assert np.isfinite(scores).all()


def test_a_grid_over_a_pipeline_tunes_every_part_of_it_in_parallel():
    grid = {
        "columns__hashingvectorizer__n_features": [128],
        "fair__method": ["aggregate_then_postprocess", "soft_ensemble"],
        "fair__tol": [0.0, 0.1],
        "fair__estimator__n_shards": [2, 3],
        "fair__estimator__estimator__alpha": [1e-4],
    }
    search = GridSearchCV(make_piped(), grid, scoring=GAP, cv=2, n_jobs=2).fit(X, Y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = search.best_estimator_
    gap = equalized_odds_difference(Y, best.predict(X), sensitive_features=GROUPS)
    assert GAP(search, X, Y) == -gap


def test_cross_validated_predictions_are_those_of_the_folds():
    folds = StratifiedKFold(2)
    predicted = cross_val_predict(make_fair(), X, Y, cv=folds)
    for train, test in folds.split(X, Y):
        fair = make_fair().fit(X.iloc[train], Y.iloc[train])
        np.testing.assert_array_equal(predicted[test], fair.predict(X.iloc[test]))


def test_the_sensitive_feature_is_routed_without_being_asked_for():
    texts = X[["text"]]
    with config_context(enable_metadata_routing=True):
        fair = make_fair(sensitive_feature=None)
        routed = cross_validate(
            fair, texts, Y, cv=2, scoring=GAP,
            params={"sensitive_features": GROUPS},
        )  # fmt: skip
    by_column = cross_validate(make_fair(), X, Y, cv=2, scoring=GAP)
    np.testing.assert_allclose(routed["test_score"], by_column["test_score"], atol=0.1)
    assert np.isfinite(routed["test_score"]).all()


def test_searches_by_routing_hand_the_groups_to_every_fit_and_score():
    routed = {"sensitive_features": GROUPS}
    words, texts = HashingVectorizer(n_features=256), X["text"]
    sisa = SISAClassifier(SGDClassifier(loss="log_loss"), n_shards=3, random_state=0)
    fair = FairEnsemblePostprocessor(sisa, random_state=0)
    piped = make_pipeline(words, fair)
    grid = {
        "fairensemblepostprocessor__tol": [0.0, 0.2],
        "fairensemblepostprocessor__estimator__n_shards": [2],
    }
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(piped, grid, scoring=GAP, cv=2, n_jobs=2)
        assert np.isfinite(search.fit(texts, Y, **routed).best_score_)
        halving = HalvingGridSearchCV(
            piped, grid, scoring=GAP, cv=2, min_resources=300, random_state=0
        )
        assert np.isfinite(halving.fit(texts, Y, **routed).best_score_)
        nested = cross_validate(search, texts, Y, scoring=GAP, cv=2, params=routed)
        assert np.isfinite(nested["test_score"]).all()
        _, _, scores = learning_curve(
            piped, texts, Y, train_sizes=[0.5], cv=2, scoring=GAP, params=routed
        )
        assert np.isfinite(scores).all()
        # cross_val_predict routes to fit alone; pooled_cross_validate does more.
        with pytest.raises(ValueError, match="No sensitive feature is given"):
            cross_val_predict(piped, texts, Y, cv=2, params=routed)


def test_plain_scorers_and_several_metrics_work_beside():
    scores = cross_validate(
        make_fair(),
        X,
        Y,
        cv=2,
        scoring={"gap": GAP, "recall": make_scorer(recall_score), "acc": "accuracy"},
    )
    assert {"test_gap", "test_recall", "test_acc"} <= scores.keys()
    assert all(np.isfinite(scores[f"test_{n}"]).all() for n in ("gap", "recall", "acc"))


@pytest.mark.parametrize("labels", ["text", "bool", "category"])
def test_labels_of_any_kind_come_back(labels):
    y = {
        "text": Y.map({0: "praise", 1: "complaint"}),
        "bool": Y.astype(bool),
        "category": Y.map({0: "praise", 1: "complaint"}).astype("category"),
    }[labels]
    fair = make_fair().fit(X, y)
    assert set(fair.predict(X)) == set(y)
    assert fair.score(X, y) > 0.6


def test_clones_are_unfitted_and_equal():
    fair = make_fair()
    assert repr(clone(fair)) == repr(fair)
    assert not hasattr(clone(fair.fit(X, Y)), "estimator_")
