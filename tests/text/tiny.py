"""Models small enough for tests, with texts they can learn."""

import numpy as np
from transformers import BertConfig, GPT2Config, ModernBertConfig

_SIZES = {
    "vocab_size": 1000,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}


def tiny_bert(**changes):
    return BertConfig(**{**_SIZES, "max_position_embeddings": 64, **changes})


def tiny_modernbert(**changes):
    tokens = {
        "bos_token_id": 1,
        "eos_token_id": 2,
        "cls_token_id": 1,
        "sep_token_id": 2,
    }
    return ModernBertConfig(**{**_SIZES, "pad_token_id": 0, **tokens, **changes})


def tiny_gpt2(**changes):
    sizes = {
        "vocab_size": 1000,
        "n_embd": 32,
        "n_layer": 1,
        "n_head": 2,
        "n_positions": 64,
        "bos_token_id": None,
        "eos_token_id": None,
    }
    return GPT2Config(**{**sizes, **changes})


def sentences(n, n_classes=2, seed=0):
    """Return texts of unequal length whose class is told by one word."""
    rng = np.random.default_rng(seed)
    telling = ["sun", "rain", "snow"][:n_classes]
    filler = ["the", "forecast", "for", "tomorrow", "says", "it", "will", "be", "much"]
    y = rng.integers(n_classes, size=n)
    y[:n_classes] = np.arange(n_classes)
    texts = []
    for label in y:
        words = list(rng.choice(filler, size=rng.integers(0, 9)))
        words.insert(rng.integers(len(words) + 1), telling[label])
        texts.append(" ".join(words))
    return texts, y
