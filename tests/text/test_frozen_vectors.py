"""Claims about vectors of the pretrained network, which fair rules over tails read."""

import pickle

import numpy as np
import pytest
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from tiny import sentences, tiny_bert

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
