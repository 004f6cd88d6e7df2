"""Methods that aggregate the members do so as their ensemble does."""

from itertools import product

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.fairness._weighted_votes import weighted_vote

AGGREGATING = ["aggregate_then_postprocess", "postprocess_then_aggregate"]
LABELS = {2: np.array(["no", "yes"]), 3: np.array(["a", "b", "c"])}


def make_rows(n_classes, n=500, seed=0):
    rng = np.random.default_rng(seed)
    X, group = rng.normal(size=(n, 4)), rng.integers(0, 2, n)
    score = X[:, 0] + 0.5 * X[:, 1] * X[:, 2] + 0.3 * rng.normal(size=n)
    code = np.digitize(score, np.quantile(score, np.arange(1, n_classes) / n_classes))
    return X, LABELS[n_classes][code], group


TREE, LINE = DecisionTreeClassifier(max_depth=3, random_state=0), LogisticRegression()
NAMED = [("tree", TREE), ("line", LINE), ("bayes", GaussianNB())]
WITH_DROPPED = [*NAMED[:1], ("gone", "drop"), *NAMED[1:]]
ENSEMBLES = {
    "hard": VotingClassifier(NAMED),
    "hard weighted": VotingClassifier(NAMED, weights=[3, 1, 1]),
    "hard with a tie": VotingClassifier(NAMED, weights=[2, 1, 1]),
    "hard with fractions": VotingClassifier(NAMED, weights=[0.3, 0.1, 0.2]),
    "hard without one": VotingClassifier(NAMED, weights=[1, 0, 0]),
    "dropped": VotingClassifier(WITH_DROPPED, weights=[1, 9, 3, 1]),
    "soft": VotingClassifier(NAMED, voting="soft"),
    "soft weighted": VotingClassifier(NAMED, voting="soft", weights=[5, 1, 1]),
    "soft dropped": VotingClassifier(
        WITH_DROPPED, voting="soft", weights=[1, 9, 4, 1]
    ),
    "boosting": AdaBoostClassifier(TREE, n_estimators=5, random_state=0),
    "bagging": BaggingClassifier(TREE, n_estimators=5, random_state=0),
    "bagging of votes": BaggingClassifier(LinearSVC(), 4, random_state=0),
    "forest": RandomForestClassifier(5, max_depth=3, random_state=0),
    "extra trees": ExtraTreesClassifier(4, max_depth=3, random_state=0),
    "sisa": SISAClassifier(TREE, n_shards=4, random_state=0),
    "sisa mean": SISAClassifier(TREE, n_shards=4, aggregation="mean", random_state=0),
    "search": GridSearchCV(
        VotingClassifier(NAMED), {"weights": [[4, 1, 1]]}, cv=2
    ),
    "pipeline": make_pipeline(
        StandardScaler(), VotingClassifier(NAMED, weights=[1, 1, 3])
    ),
}  # fmt: skip


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("name", ENSEMBLES)
def test_without_a_constraint_that_binds_the_ensemble_decides_as_it_does(
    name, n_classes
):
    X, y, _ = make_rows(n_classes)
    ensemble = clone(ENSEMBLES[name]).fit(X, y)
    new, true, group = make_rows(n_classes, seed=1)
    own = ensemble.predict(new)
    fair = FairEnsemblePostprocessor(
        FrozenEstimator(ensemble),
        method="aggregate_then_postprocess",
        tol=1.0,
        random_state=0,
    ).fit(new, true, sensitive_features=group)
    np.testing.assert_array_equal(fair.predict(new, sensitive_features=group), own)
    together = fair.member_points_.query("member == 'majority'")
    as_one = clone(fair).set_params(estimator=[FrozenEstimator(ensemble)])
    as_one.fit(new, true, sensitive_features=group)
    expected = as_one.member_points_.query("member == 'majority'")
    np.testing.assert_array_equal(together.iloc[:, 2:], expected.iloc[:, 2:])


VOTING = ["hard", "hard weighted", "hard with a tie", "hard with fractions"]
VOTING += ["hard without one", "dropped", "search", "pipeline"]


@pytest.mark.parametrize(
    ("name", "n_classes"),
    # Of three classes, late members of boosting predict worse than chance.
    [*product(VOTING, [2, 3]), ("boosting", 2)],
)
def test_decisions_of_post_processed_members_weigh_as_their_votes_do(name, n_classes):
    X, y, _ = make_rows(n_classes)
    ensemble = clone(ENSEMBLES[name]).fit(X, y)
    new, true, group = make_rows(n_classes, seed=1)
    fair = FairEnsemblePostprocessor(
        FrozenEstimator(ensemble),
        method="postprocess_then_aggregate",
        tol=1.0,
        random_state=0,
    ).fit(new, true, sensitive_features=group)
    # Without a constraint that binds each member's best decision is its own vote.
    own = ensemble.predict(new)
    np.testing.assert_array_equal(fair.predict(new, sensitive_features=group), own)


def test_a_rule_on_the_decision_is_that_of_the_ensemble_as_one_member():
    X, y, _ = make_rows(2)
    ensemble = clone(ENSEMBLES["hard weighted"]).fit(X, y)
    new, true, new_group = make_rows(2, seed=1)
    rules = [
        FairEnsemblePostprocessor(
            estimator, method="aggregate_then_postprocess", random_state=0
        )
        .fit(new, true, sensitive_features=new_group)
        .selection_probability(new, sensitive_features=new_group)
        for estimator in (FrozenEstimator(ensemble), [FrozenEstimator(ensemble)])
    ]
    np.testing.assert_array_equal(*rules)
    assert len(np.unique(rules[0])) > 2


@pytest.mark.parametrize("aggregation", ["majority", "mean"])
def test_across_shards_the_members_that_count_are_aggregated_alike(aggregation):
    X, y, group = make_rows(3)
    sisa = SISAClassifier(TREE, n_shards=3, aggregation=aggregation, random_state=0)
    fair = FairEnsemblePostprocessor(
        sisa, method="aggregate_then_postprocess", tol=1.0, random_state=0
    ).fit(X, y, sensitive_features=group)
    scores = fair.estimator_.transform(X).reshape(len(X), 3, 3)
    shard = fair.estimator_.plan_.shard_of(np.arange(len(X)))
    expected = 0
    for left_out in range(3):
        part = np.delete(scores, left_out, axis=1)
        if aggregation == "majority":
            part = np.eye(3)[part.argmax(axis=2)]
        share = np.mean(shard == left_out)
        expected = expected + share * np.eye(3)[part.sum(axis=1).argmax(axis=1)]
    found = fair.selection_probability(X, sensitive_features=group)
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("weights", [(2, 1, 1), (0.3, 0.1, 0.2), (1, 0, 5), (1, 1, 1)])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_chance_of_a_weighted_vote_is_that_of_all_outcomes(weights, n_classes):
    chance = np.random.default_rng(0).dirichlet(np.ones(n_classes), (20, 3))
    expected = np.zeros((20, n_classes))
    for outcome in product(range(n_classes), repeat=3):
        total = np.bincount(outcome, weights, minlength=n_classes)
        together = np.prod([chance[:, s, k] for s, k in enumerate(outcome)], axis=0)
        expected[:, total.argmax()] += together
    np.testing.assert_allclose(weighted_vote(chance, weights), expected)


@pytest.mark.parametrize("method", AGGREGATING)
def test_a_stack_is_refused_where_members_are_aggregated(method):
    X, y, group = make_rows(2)
    stack = StackingClassifier(NAMED, LINE, cv=2).fit(X, y)
    fair = FairEnsemblePostprocessor(FrozenEstimator(stack), method=method)
    with pytest.raises(ValueError, match="decides by a model of their outputs"):
        fair.fit(X, y, sensitive_features=group)
    fair.set_params(method="ensemble").fit(X, y, sensitive_features=group)
    as_one = fair.set_params(estimator=[FrozenEstimator(stack)], tol=1.0)
    decided = as_one.fit(X, y, sensitive_features=group)
    np.testing.assert_array_equal(
        decided.predict(X, sensitive_features=group), stack.predict(X)
    )


class FirstDecides(ClassifierMixin, BaseEstimator):
    """Trains several members and follows the first."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.estimators_ = [clone(model).fit(X, y) for _, model in NAMED]
        return self

    def predict(self, X):
        return self.estimators_[0].predict(X)


class ByWeight(FirstDecides):
    """Follows its members by weights that it shows."""

    estimator_weights_ = np.array([5.0, 1.0, 1.0, 0.0])


def test_an_ensemble_of_an_unknown_kind_that_weighs_its_members_is_reported():
    X, y, group = make_rows(2)
    fair = FairEnsemblePostprocessor(
        FrozenEstimator(FirstDecides().fit(X, y)),
        method="aggregate_then_postprocess",
        random_state=0,
    )
    with pytest.warns(UserWarning, match="otherwise than its members' vote") as warned:
        fair.fit(X, y, sensitive_features=group)
    assert warned[0].filename == __file__
    fair.set_params(method="ensemble").fit(X, y, sensitive_features=group)
    fair.set_params(
        estimator=FrozenEstimator(ByWeight().fit(X, y)), method=AGGREGATING[0]
    )
    fair.fit(X, y, sensitive_features=group)


def test_too_many_different_weights_are_refused_by_their_number():
    X, y, group = make_rows(2)
    boosted = AdaBoostClassifier(TREE, n_estimators=40, random_state=0).fit(X, y)
    fair = FairEnsemblePostprocessor(FrozenEstimator(boosted), method=AGGREGATING[1])
    with pytest.raises(ValueError, match="sums of the weights of 40 members"):
        fair.fit(X, y, sensitive_features=group)
    fair.set_params(method=AGGREGATING[0], tol=1.0)
    decided = fair.fit(X, y, sensitive_features=group)
    np.testing.assert_array_equal(
        decided.predict(X, sensitive_features=group), boosted.predict(X)
    )
