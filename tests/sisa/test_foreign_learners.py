"""Learners of other libraries, most of them by small stand-ins of the same shape."""

import random
import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.sisa._digests import digest

torch = pytest.importorskip("torch")
NeuralNetBinaryClassifier = pytest.importorskip("skorch").NeuralNetBinaryClassifier

N = 160
rng = np.random.default_rng(0)
X = rng.normal(size=(N, 4))
y = np.digitize(X[:, 0] + rng.normal(scale=0.5, size=N), [-0.5, 0.5])
BINARY = (y > 0).astype(int)
LABELS = np.array(["high", "low", "middle"])


def lost(sisa, shard, labels, label):
    rows = sisa.plan_.rows(shard)
    return rows[labels[rows] == label]


@pytest.mark.parametrize("labels", [BINARY, y, LABELS[y]], ids=["two", "three", "text"])
def test_stacking_with_its_default_final_estimator_works(labels):
    stacking = StackingClassifier(
        [("a", GaussianNB()), ("b", LogisticRegression())], cv=2
    )
    sisa = SISAClassifier(stacking, n_shards=2, random_state=0).fit(X, labels)
    sisa.forget([1, 2])
    assert sisa.verify_forgotten()
    assert sisa.score(X, labels) > 0.6


class Repeater(BaseEstimator):
    """Like imbalanced-learn's samplers: repeats rows of classes."""

    def __init__(self, sampling_strategy="auto"):
        self.sampling_strategy = sampling_strategy

    def fit_resample(self, X, y):
        wanted = self.sampling_strategy
        if isinstance(wanted, list):
            wanted = dict.fromkeys(wanted, 3 * len(y))
        if not isinstance(wanted, dict):
            wanted = dict.fromkeys(np.unique(y), len(y))
        strange = wanted.keys() - set(np.unique(y))
        if strange:
            raise ValueError(f"The {strange} target class is not present in the data.")
        parts = [np.flatnonzero(y == label) for label in np.unique(y)]
        rows = [
            np.resize(part, wanted.get(label, len(part)))
            for label, part in zip(np.unique(y), parts)
        ]
        rows = np.concatenate(rows)
        return X[rows], y[rows]


class Sampling(Pipeline):
    """Like imbalanced-learn's Pipeline, whose fit resamples, and nothing else."""

    def _validate_steps(self):
        pass

    def fit(self, X, y):
        steps = self.steps.copy()
        for position, (name, step) in enumerate(steps[:-1]):
            step = clone(step)
            if hasattr(step, "fit_resample"):
                X, y = step.fit_resample(X, y)
            else:
                X = step.fit_transform(X)
            self.steps[position] = name, step
        self.steps[-1][1].fit(X, y)
        return self

    def predict_proba(self, X):
        for _, step in self.steps[:-1]:
            if not hasattr(step, "fit_resample"):
                X = step.transform(X)
        return self.steps[-1][1].predict_proba(X)

    def predict(self, X):
        return self.predict_proba(X).argmax(axis=1)


def sampling(strategy="auto", last=None):
    last = LogisticRegression() if last is None else last
    steps = [("s", StandardScaler()), ("r", Repeater(strategy)), ("l", last)]
    return Sampling(steps)


def test_a_pipeline_that_resamples_is_trained_whole():
    sisa = SISAClassifier(sampling(), n_shards=2, random_state=0).fit(X, y)
    sisa.forget(lost(sisa, 1, y, 0))
    assert sisa.verify_forgotten()
    assert sisa.score(X, y) > 0.6
    alone = clone(sampling()).fit(X[sisa.plan_.rows(0)], y[sisa.plan_.rows(0)])
    np.testing.assert_array_equal(
        alone.predict_proba(X), sisa.estimators_[0].predict_proba(X)
    )


@pytest.mark.parametrize("kind", ["slices", "epochs", "partial_fit", "nested"])
def test_samplers_in_slices_are_refused_before_training(kind):
    learner = sampling(last=SGDClassifier())
    if kind == "nested":
        learner = make_pipeline(learner, SGDClassifier())
    how = {"epochs": 2} if kind == "epochs" else {"n_slices": 2}
    sisa = SISAClassifier(learner, **how)
    if kind == "partial_fit":
        assert not hasattr(sisa, "partial_fit")
        return
    with pytest.raises(ValueError, match=r"its step 'r' \(Repeater\) resamples rows"):
        sisa.fit(X, y)
    assert not hasattr(sisa, "plan_")


@pytest.mark.parametrize(
    ("named", "coded"), [({"low": 90, "high": 80}, {1: 90, 0: 80}), (["low"], [1])]
)
def test_samplers_name_the_labels_of_the_caller(named, coded):
    how = {"n_shards": 2, "random_state": 0}
    sisa = SISAClassifier(sampling(named), **how).fit(X, LABELS[y])
    like = SISAClassifier(sampling(coded), **how).fit(X, y)
    np.testing.assert_array_equal(sisa.transform(X), like.transform(X))
    sisa.forget(lost(sisa, 1, LABELS[y], "high"))
    assert (sisa.transform(X)[:, 3] == 0).all()
    assert sisa.verify_forgotten()
    with pytest.raises(ValueError, match=r"sampling_strategy of Repeater names .'huge"):
        SISAClassifier(sampling({"huge": 90})).fit(X, LABELS[y])


def test_a_fair_rule_predicts_past_a_sampler_before_its_ensemble():
    groups = np.arange(N) % 2
    around = sampling(last=SISAClassifier(LogisticRegression(), random_state=0))
    fair = FairEnsemblePostprocessor(around, random_state=0, calibration=0.3)
    fair.fit(X, BINARY, sensitive_features=groups)
    assert fair.predict(X, sensitive_features=groups).mean() > 0.3


class Linear(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 1)

    def forward(self, X):
        X *= 1.5  # a tensor cannot refuse this
        return self.linear(X)


def binary_net(**params):
    return NeuralNetBinaryClassifier(Linear, lr=0.5, verbose=0, **params)


@pytest.mark.parametrize("n_slices", [1, 2])
@pytest.mark.parametrize("single", [False, True])
def test_binary_nets_of_skorch_work_and_cannot_change_rows(n_slices, single):
    data = X.astype(np.float32) if single else X.copy()
    before = data.copy()
    net = binary_net(max_epochs=20)
    sisa = SISAClassifier(net, n_shards=2, n_slices=n_slices, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sisa.fit(data, LABELS[BINARY]).forget([1, 2])
        assert sisa.score(data, LABELS[BINARY]) > 0.7
    sisa.forget(lost(sisa, 1, LABELS[BINARY], "high"))
    assert sisa.verify_forgotten()
    np.testing.assert_array_equal(data, before)


def test_binary_nets_refuse_three_classes_by_name():
    with pytest.raises(ValueError, match=r"NeuralNetBinaryClassifier .* y has 3"):
        SISAClassifier(binary_net()).fit(X, y)


def test_generators_of_rivers_distributions_are_no_state():
    def seeded(module):
        kind = type("Distribution", (), {"__module__": module})
        value = kind()
        value.mu, value._rng = 1.0, random.Random()
        return value

    one, other = seeded("river.proba.base"), seeded("river.proba.base")
    assert digest(one) == digest(other)
    other.mu = 2.0
    assert digest(one) != digest(other)
    assert digest(seeded("mine")) != digest(seeded("mine"))
