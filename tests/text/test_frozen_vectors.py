"""Claims about vectors of the pretrained network, which fair rules over tails read."""

import pickle
import shutil

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import make_pipeline
from tiny import sentences, tiny_bert
from transformers import AutoModel

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.text import TransformerClassifier, TransformerEmbedder

TEXTS, Y = sentences(60)
TEXTS = [f"{text} said number {i}" for i, text in enumerate(TEXTS)]
GROUP = np.arange(60) % 2
TINY = {"batch_size": 8, "lr": 3e-3, "device": "cpu", "max_epochs": 1}


def tail(model, **params):
    return TransformerClassifier(model, trainable_layers=1, **TINY, **params)


def test_members_give_the_vectors_of_the_network_before_it_was_trained(model):
    sisa = SISAClassifier(tail(model), n_shards=2, random_state=0).fit(TEXTS, Y)
    embedder = TransformerEmbedder(model, max_length=128, device="cpu")
    expected = embedder.transform(TEXTS).tobytes()
    for member in sisa.estimators_:
        assert member.frozen_vectors(TEXTS).tobytes() == expected


def test_only_fitted_classifiers_with_a_pretrained_trunk_give_vectors(model):
    assert not hasattr(tail(model), "frozen_vectors")
    for classifier in (
        tail(tiny_bert()),
        TransformerClassifier(model, **TINY),
        TransformerClassifier(model, trainable_layers=2, **TINY),
    ):
        assert not hasattr(classifier.fit(TEXTS, Y), "frozen_vectors")


@pytest.mark.parametrize("kind", ["tail", "embedder"])
def test_a_fair_rule_over_texts_reads_them_and_forgets(
    model, kind, tmp_path, empty_caches
):
    folder = tmp_path / "cache"
    learner = tail(model, cache_dir=folder)
    if kind == "embedder":
        embedder = TransformerEmbedder(model, cache_dir=folder, device="cpu")
        learner = make_pipeline(embedder, SGDClassifier(loss="log_loss"))

    def fitted(texts):
        sisa = SISAClassifier(
            learner, n_shards=2, random_state=0, checkpoint_dir=tmp_path / texts[3]
        )
        fair = FairEnsemblePostprocessor(sisa, random_state=0)
        return fair.fit(texts, Y, sensitive_features=GROUP).forget([3])

    fair, twin = fitted(TEXTS), fitted([*TEXTS[:3], "other", *TEXTS[4:]])
    assert fair._serving().calibrated.heads.folds[0].n_numbers == 32
    new = [f"{text} again" for text in TEXTS]
    expected = fair.selection_probability(new, sensitive_features=GROUP)
    decided = twin.selection_probability(new, sensitive_features=GROUP)
    assert np.array_equal(decided, expected)
    assert fair.estimator_.verify_forgotten()
    member = fair.estimator_.estimators_[0]
    forget = member.forget_states if kind == "tail" else member[0].forget
    assert forget([TEXTS[3]]) == 0
    assert forget([TEXTS[4]]) > 0
    data = pickle.dumps(fair.for_serving())
    for secret in (*TEXTS, str(tmp_path), model):
        assert secret.encode() not in data
    served = pickle.loads(data)
    decided = served.selection_probability(new, sensitive_features=GROUP)
    assert np.array_equal(decided, expected)


class OfAnEmbedder(ClassifierMixin, BaseEstimator):
    """A learner of the user's own, which holds an embedder."""

    def __init__(self, embedder):
        self.embedder = embedder

    def fit(self, X, y):
        self.linear_ = LogisticRegression().fit(self.frozen_vectors(X), y)
        self.classes_ = self.linear_.classes_
        return self

    def predict(self, X):
        return self.linear_.predict(self.frozen_vectors(X))

    def predict_proba(self, X):
        return self.linear_.predict_proba(self.frozen_vectors(X))

    def frozen_vectors(self, X):
        return self.embedder.transform(X)


def test_caches_inside_a_learner_that_gives_vectors_are_emptied(
    model, tmp_path, empty_caches
):
    embedder = TransformerEmbedder(model, cache_dir=tmp_path, device="cpu")
    sisa = SISAClassifier(OfAnEmbedder(embedder), n_shards=2, random_state=0)
    fair = FairEnsemblePostprocessor(sisa, random_state=0)
    fair.fit(TEXTS, Y, sensitive_features=GROUP).forget([3])
    assert embedder.forget([TEXTS[3]]) == 0
    assert embedder.forget([TEXTS[4]]) > 0


def test_a_rule_refuses_the_vectors_of_another_network(model, tmp_path, empty_caches):
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    fair = FairEnsemblePostprocessor(
        SISAClassifier(tail(str(folder)), n_shards=2, random_state=0), random_state=0
    ).fit(TEXTS, Y, sensitive_features=GROUP)
    # Its trunk is the same, its last layer is not.
    changed = AutoModel.from_pretrained(folder)
    changed.encoder.layer[-1].output.dense.weight.data.mul_(2)
    changed.save_pretrained(folder)
    with pytest.raises(ValueError, match="has learnt from other numbers"):
        fair.selection_probability(TEXTS, sensitive_features=GROUP)
