"""What is served of texts predicts alike, and holds no text or path."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from tiny import sentences, tiny_bert

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.text import (
    HeadClassifier,
    TransformerClassifier,
    TransformerEmbedder,
)

TEXTS, Y = sentences(40)
TEXTS = [f"{text} said number {i}" for i, text in enumerate(TEXTS)]
IDS = [f"subject-{i:05d}" for i in range(40)]
TINY = {"batch_size": 8, "lr": 3e-3, "device": "cpu", "max_epochs": 1}
LORA = {"r": 2, "target_modules": ["query", "value"]}


def tiny(**params):
    return TransformerClassifier(tiny_bert(), **TINY, **params)


def learners(model, folder):
    embedder = TransformerEmbedder(model, device="cpu", cache_dir=folder)
    return {
        "fine-tuned": tiny(),
        "adapted": tiny(lora=LORA),
        "frozen": tiny(freeze="embeddings"),
        "embedded": make_pipeline(
            TransformerEmbedder(tiny_bert(), device="cpu"), HeadClassifier(max_epochs=2)
        ),
        "from a folder": make_pipeline(embedder, SGDClassifier(loss="log_loss")),
        "adapted from a folder": TransformerClassifier(model, lora=LORA, **TINY),
    }


KINDS = list(learners("", ""))


@pytest.mark.parametrize("kind", KINDS)
def test_it_predicts_the_same_bits_and_holds_no_text_id_or_path(model, tmp_path, kind):
    learner = learners(model, tmp_path / "cache")[kind]
    sisa = SISAClassifier(
        learner, n_shards=2, random_state=0, checkpoint_dir=tmp_path / "trainer"
    ).fit(TEXTS, Y, subjects=IDS)
    expected = sisa.predict_proba(TEXTS), sisa.transform(TEXTS)
    data = pickle.dumps(sisa.for_serving())
    for secret in (*TEXTS, *IDS, str(tmp_path), model):
        assert secret.encode() not in data
    served = pickle.loads(data)
    assert served.predict_proba(TEXTS).tobytes() == expected[0].tobytes()
    assert served.transform(TEXTS).tobytes() == expected[1].tobytes()
    # What was served can be served on.
    again = pickle.loads(pickle.dumps(served))
    assert again.transform(TEXTS).tobytes() == expected[1].tobytes()
    member = served.estimators_[0]
    if hasattr(member, "_training"):
        with pytest.raises(ValueError, match="only predicts"):
            member.partial_fit(TEXTS, Y)
    if kind == "embedded":
        with pytest.raises(ValueError, match="only predicts"):
            member[-1].partial_fit(np.zeros((2, 32)), [0, 1])


@pytest.mark.heavy
def test_members_share_a_folder_that_is_packed_once(model, tmp_path):
    learner = learners(model, None)["from a folder"].set_params(
        transformerembedder__cache_dir=None
    )
    sisa = SISAClassifier(learner, n_shards=3, random_state=0).fit(TEXTS, Y)
    data = pickle.dumps(sisa.for_serving())
    weights = os.path.getsize(os.path.join(model, "model.safetensors"))
    assert weights < len(data) < 1.5 * weights
    export = tmp_path / "model.pkl"
    export.write_bytes(data)
    code = (
        "import pickle, sys; served = pickle.load(open(sys.argv[1], 'rb')); "
        "print(served.predict_proba(['sun and rain']).tolist())"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code, str(export)],
        capture_output=True, text=True, check=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ).stdout  # fmt: skip
    assert printed.strip() == str(sisa.predict_proba(["sun and rain"]).tolist())
