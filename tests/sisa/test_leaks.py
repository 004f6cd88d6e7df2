import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.sisa import check_forgettable

X, y = make_classification(random_state=0)


def leaks(estimator):
    return " ".join(check_forgettable(estimator).leaks)


@pytest.mark.parametrize(
    "estimator",
    [
        SISAClassifier(),
        SISAClassifier(make_pipeline(StandardScaler(), SGDClassifier())),
        make_pipeline(HashingVectorizer(), SISAClassifier()),
        make_pipeline("passthrough", SISAClassifier(GaussianNB())),
        SGDClassifier(),
    ],
    ids=str,
)
def test_what_keeps_nothing_passes(estimator):
    found = check_forgettable(estimator)
    assert found
    assert found.exact
    assert "Leaks" not in str(found)


@pytest.mark.parametrize("what", [SISAClassifier, 3, None])
def test_what_is_no_estimator_is_not_judged(what):
    with pytest.raises(TypeError, match="must be an instance of an estimator"):
        check_forgettable(what)


def test_a_step_that_learns_before_the_ensemble_is_a_leak():
    found = check_forgettable(make_pipeline(TfidfVectorizer(), SISAClassifier()))
    assert not found
    assert "make_pipeline(TfidfVectorizer(...), learner)" in found.leaks[0]
    nested = make_pipeline(
        make_pipeline(StandardScaler(), StandardScaler()), SISAClassifier()
    )
    assert "learns from all rows" in leaks(nested)


def test_the_leak_that_is_told_is_there_and_its_remedy_helps():
    # A row of wild values still shifts the scaler of all members after it is gone.
    wild = X.copy()
    wild[5] = 1e6
    for inside in (False, True):
        coefs = []
        for data in (X, wild):
            if inside:
                sisa = SISAClassifier(
                    make_pipeline(StandardScaler(), LogisticRegression()),
                    random_state=0,
                ).fit(data, y)
                sisa.forget(5)
                coefs.append(sisa.estimators_[0][-1].coef_)
            else:
                model = make_pipeline(
                    StandardScaler(),
                    SISAClassifier(LogisticRegression(), random_state=0),
                ).fit(data, y)
                model[-1].forget(5)
                coefs.append(model[-1].estimators_[0].coef_)
        assert np.array_equal(*coefs) == inside


def test_frozen_steps_are_for_the_user_to_see_to():
    scaler = FrozenEstimator(StandardScaler().fit(X))
    found = check_forgettable(make_pipeline(scaler, SISAClassifier()))
    assert found
    assert "fitted on none of these rows" in " ".join(found.advice)
    learner = FrozenEstimator(SGDClassifier().fit(X, y))
    assert "not trained by the ensemble" in leaks(SISAClassifier(learner))


def test_searches_and_thresholds_around_an_ensemble_are_leaks():
    search = GridSearchCV(SISAClassifier(), {"n_shards": [2, 3]})
    assert "chooses parameters" in leaks(search)
    assert "has no forget" in leaks(TunedThresholdClassifierCV(SISAClassifier()))


def test_warm_starts_start_anew_in_every_shard():
    learner = RandomForestClassifier(3, warm_start=True)
    assert check_forgettable(SISAClassifier(learner))
    sisa = SISAClassifier(learner, n_shards=2, random_state=0).fit(X, y).forget([1])
    cold = SISAClassifier(clone(learner).set_params(warm_start=False), n_shards=2)
    cold.set_params(random_state=0).fit(X, y).forget([1])
    np.testing.assert_array_equal(sisa.transform(X), cold.transform(X))
    assert sisa.verify_forgotten()


def test_what_tunes_or_calibrates_within_a_shard_is_exact():
    search = GridSearchCV(SGDClassifier(), {"alpha": [1e-4, 1e-2]}, cv=2)
    for learner in (search, CalibratedClassifierCV(LogisticRegression(), cv=2)):
        assert check_forgettable(learner)
        sisa = SISAClassifier(learner, n_shards=2, random_state=0)
        assert check_forgettable(sisa)
        assert sisa.fit(X, y).forget([1, 2]).verify_forgotten()


def test_ensembles_around_an_ensemble_are_leaks_and_fair_rules_are_not():
    for around in (
        StackingClassifier([("sisa", SISAClassifier())]),
        VotingClassifier([("sisa", SISAClassifier())]),
    ):
        assert "has no forget" in leaks(around)
    for ensemble in (SISAClassifier(), FrozenEstimator(SISAClassifier())):
        found = check_forgettable(FairEnsemblePostprocessor(ensemble))
        assert found
        assert "solved again by its forget" in " ".join(found.exact)


def test_cached_pipelines_are_leaks_and_refused(tmp_path):
    cached = make_pipeline(StandardScaler(), SGDClassifier(), memory=str(tmp_path))
    assert "memory=" in leaks(SISAClassifier(cached))
    assert "memory=" in leaks(
        make_pipeline(Normalizer(), SISAClassifier(), memory=str(tmp_path))
    )
    with pytest.raises(ValueError, match="Pass memory=None"):
        SISAClassifier(cached).fit(X, y)
    assert list(tmp_path.iterdir()) == []


def test_a_class_of_which_all_rows_are_gone_is_a_leak():
    labels = np.where(np.arange(100) < 2, 2, y)
    sisa = SISAClassifier(n_shards=2, random_state=0).fit(X, labels)
    with pytest.warns(UserWarning, match="have no rows. They remain"):
        sisa.forget([0, 1])
    assert "classes_ names a class" in leaks(sisa)


def test_unseeded_learners_are_told():
    class Own(SGDClassifier):
        def __init__(self):
            super().__init__()

        @classmethod
        def _get_param_names(cls):
            return []

    assert "no random_state" in " ".join(check_forgettable(Own()).advice)
    assert "no random_state" not in str(check_forgettable(GaussianNB()))


def test_nets_that_carry_weights_or_rows_are_leaks():
    torch = pytest.importorskip("torch")
    skorch = pytest.importorskip("skorch")
    from skorch.callbacks import Checkpoint, EarlyStopping
    from skorch.helper import predefined_split

    Net = skorch.NeuralNetClassifier
    assert "Pass the class" in leaks(SISAClassifier(Net(torch.nn.Linear(20, 2))))
    split = predefined_split(skorch.dataset.Dataset(X, y))
    assert "validation set" in leaks(Net(torch.nn.Linear, train_split=split))
    net = Net(
        torch.nn.Linear, train_split=None, callbacks=[EarlyStopping(), Checkpoint()]
    )
    found = leaks(net)
    assert "Callback Checkpoint writes weights to files" in found
    assert "Callback EarlyStopping stops by the scores of rows" in found


def test_texts_learnt_with_callbacks_that_write_files_are_leaks():
    callbacks = pytest.importorskip("skorch.callbacks")
    text = pytest.importorskip("sklearn_fairsisa.text")

    class Own(callbacks.TrainEndCheckpoint):
        pass

    for callback in (callbacks.Checkpoint(), ("c", Own), callbacks.TrainEndCheckpoint):
        learner = text.TransformerClassifier(callbacks=[callback])
        assert "writes weights to files" in leaks(SISAClassifier(learner))
    harmless = text.TransformerClassifier(callbacks=[callbacks.EpochTimer()])
    assert not leaks(SISAClassifier(harmless))
