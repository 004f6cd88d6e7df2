import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Perceptron, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.sisa._some_classes import fit_some_classes

X, y = make_classification(
    240, 6, n_informative=5, n_redundant=0, n_classes=4, random_state=0
)
WEIGHTS = {0: 3, 1: 1, 2: 2, 3: 1}


class WantsLabelsFromZero(ClassifierMixin, BaseEstimator):
    """Like XGBoost: labels are 0..k-1, or it raises."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        if self.classes_.tolist() != list(range(len(self.classes_))):
            raise ValueError(f"Invalid classes {self.classes_}")
        self.tree_ = DecisionTreeClassifier(max_depth=3).fit(X, y)
        return self

    def predict(self, X):
        return self.tree_.predict(X)

    def predict_proba(self, X):
        return self.tree_.predict_proba(X)


def lost(sisa, shard, label):
    """Indices of the rows of a class in a shard."""
    rows = sisa.plan_.rows(shard)
    return rows[y[rows] == label]


@pytest.mark.parametrize("label", [0, 1, 3])
@pytest.mark.parametrize(
    "learner",
    [
        WantsLabelsFromZero(),
        make_pipeline(StandardScaler(), WantsLabelsFromZero()),
        LogisticRegression(class_weight={1: 5.0}),
        OneVsRestClassifier(LogisticRegression(class_weight="balanced")),
        SVC(),
        LinearSVC(),
    ],
    ids=str,
)
def test_a_deletion_may_take_a_class_from_a_shard(learner, label):
    sisa = SISAClassifier(learner, n_shards=3, random_state=0).fit(X, y)
    sisa.forget(lost(sisa, 1, label))
    scores = sisa.transform(X).reshape(-1, 3, 4)
    assert (scores[:, 1, label] == 0).all()
    np.testing.assert_allclose(scores.sum(axis=2), 1)
    assert sisa.score(X, y) > 0.4
    assert sisa.verify_forgotten()


@pytest.mark.parametrize(
    "learner",
    [
        SGDClassifier(class_weight="balanced"),
        make_pipeline(StandardScaler(), SGDClassifier(early_stopping=True)),
        Perceptron(early_stopping=True),
    ],
    ids=str,
)
def test_a_learner_that_refuses_partial_fit_is_fitted_whole(learner):
    sisa = SISAClassifier(learner, n_shards=3, random_state=0).fit(X, y)
    sisa.forget(lost(sisa, 1, 1))
    assert (sisa.transform(X).reshape(-1, 3, 4)[:, 1, 1] == 0).all()
    assert sisa.verify_forgotten()
    with pytest.raises(ValueError, match=r"n_slices > 1 needs .*\w+=.*no partial_fit"):
        SISAClassifier(learner, n_slices=2).fit(X, y)
    with pytest.raises(ValueError, match=r"epochs needs .*\w+=.*no partial_fit"):
        SISAClassifier(learner, epochs=2).fit(X, y)
    assert not hasattr(SISAClassifier(learner), "partial_fit")


@pytest.mark.parametrize(
    "learner",
    [
        LogisticRegression(),
        LogisticRegression(class_weight={0: 1.0, 1: 5.0, 2: 9.0, 3: 2.0}),
        make_pipeline(
            StandardScaler(), LinearSVC(class_weight={0: 3, 1: 1, 2: 2, 3: 1})
        ),
        RandomForestClassifier(5, class_weight="balanced", random_state=0),
        SVC(class_weight=WEIGHTS),
    ],
    ids=str,
)
def test_renamed_classes_change_no_prediction(learner):
    some = y != 1
    renamed = fit_some_classes(learner, X[some], y[some])
    weights = learner.get_params().get("class_weight")
    if isinstance(weights, dict):
        # scikit-learn refuses weights of classes that do not occur.
        learner = learner.set_params(class_weight={k: weights[k] for k in (0, 2, 3)})
    if "linearsvc" in learner.get_params():
        learner.set_params(linearsvc__class_weight={0: 3, 2: 2, 3: 1})
    expected = learner.fit(X[some], y[some])
    np.testing.assert_array_equal(renamed.classes_, [0, 2, 3])
    np.testing.assert_array_equal(renamed.predict(X), expected.predict(X))
    for method in ("predict_proba", "decision_function"):
        assert hasattr(renamed, method) == hasattr(expected, method)
        if hasattr(expected, method):
            np.testing.assert_array_equal(
                getattr(renamed, method)(X), getattr(expected, method)(X)
            )


def test_where_parts_name_classes_the_labels_stay():
    some = y != 1
    nested = OneVsRestClassifier(LogisticRegression(class_weight={0: 1.0, 1: 5.0}))
    fitted = fit_some_classes(nested, X[some], y[some])
    assert type(fitted) is OneVsRestClassifier
    np.testing.assert_array_equal(fitted.classes_, [0, 2, 3])


@pytest.mark.parametrize("name", ["xgboost.XGBClassifier", "lightgbm.LGBMClassifier"])
def test_boosted_trees_of_other_libraries_lose_a_class(name):
    module, kind = name.split(".")
    kind = getattr(pytest.importorskip(module), kind)
    learner = kind(n_estimators=5, verbosity=-1 if module == "lightgbm" else 0)
    sisa = SISAClassifier(learner, n_shards=3, random_state=0).fit(X, y)
    sisa.forget(lost(sisa, 1, 1))
    assert sisa.score(X, y) > 0.5
    assert sisa.verify_forgotten()
