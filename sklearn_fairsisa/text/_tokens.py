"""Tokenizers, and texts as tokens."""

import re
import threading
from hashlib import blake2b
from itertools import chain

import numpy as np

from ._batches import Tokens

_WORD = re.compile(r"\w+|[^\w\s]")
# A fast tokenizer stores its truncation setting, so threads must take turns.
_LOCK = threading.Lock()
_CHUNK = 10_000


class HashingTokenizer:
    """A word tokenizer without a vocabulary.

    A text is lower-cased and split into words and punctuation marks, and each is
    hashed to an id. No id depends on earlier texts, so there is nothing to unlearn.

    Parameters
    ----------
    vocab_size : int
        Number of ids, at least 8.

    pad_token_id : int, default=0
        Id of padding, which no word has.

    Examples
    --------
    >>> tokenizer = HashingTokenizer(100)
    >>> tokenizer.encode("Good, good!")  # start, good, comma, good, mark, end
    [1, 26, 91, 26, 61, 2]
    """

    def __init__(self, vocab_size, pad_token_id=0):
        if vocab_size < 8:
            raise ValueError(
                f"The model's config has vocab_size={vocab_size}. Give at least 8."
            )
        if not 0 <= pad_token_id < vocab_size:
            raise ValueError(
                f"The model's config has pad_token_id={pad_token_id}, which is not "
                f"one of its {vocab_size} tokens. Give one of them."
            )
        self.vocab_size = vocab_size
        self.pad_token_id = pad_token_id
        self.start_id, self.end_id = [i for i in range(3) if i != pad_token_id][:2]

    def encode(self, text):
        """Return the ids of a text."""
        return self.encode_all([text])[0]

    def encode_all(self, texts):
        """Return the ids of each text."""
        split = [_WORD.findall(text.lower()) for text in texts]
        # They are kept no longer, since a word may be of a row that is forgotten.
        ids = {word: self._id(word) for word in set(chain.from_iterable(split))}
        return [
            [self.start_id, *(ids[word] for word in words), self.end_id]
            for words in split
        ]

    def num_special_tokens_to_add(self):
        """Return the number of tokens that are added to every text."""
        return 2

    def _id(self, word):
        reserved = sorted((self.pad_token_id, self.start_id, self.end_id))
        digest = blake2b(word.encode(), digest_size=8).digest()
        i = int.from_bytes(digest, "little") % (self.vocab_size - len(reserved))
        for taken in reserved:
            i += i >= taken
        return i


def tokenize(tokenizer, texts, max_length, pad_id):
    """Tokenise texts, truncated to `max_length` tokens.

    Parameters
    ----------
    tokenizer : HashingTokenizer or transformers tokenizer
    texts : list of str
    max_length : int
        Maximum number of tokens, including those that the tokenizer adds.
    pad_id : int
        Id of padding. A text without tokens gets a token other than this.

    Returns
    -------
    tokens : Tokens
    n_truncated : int
        Number of truncated texts.
    """
    if isinstance(tokenizer, HashingTokenizer):
        rows = tokenizer.encode_all(texts)
        n_truncated = sum(len(row) > max_length for row in rows)
        end = tokenizer.end_id
        rows = [
            row if len(row) <= max_length else [*row[: max_length - 1], end]
            for row in rows
        ]
        return Tokens.from_lists(rows), n_truncated

    with _LOCK:
        rows, n_truncated = [], 0
        for start in range(0, len(texts), _CHUNK):
            chunk = texts[start : start + _CHUNK]
            ids = _encode(tokenizer, chunk, max_length)
            # Only a text of the maximum length can have been truncated.
            full = [text for text, row in zip(chunk, ids) if len(row) == max_length]
            if full:
                whole = _encode(tokenizer, full, None)
                n_truncated += sum(len(row) > max_length for row in whole)
            rows += [np.array(row, dtype=np.int32) for row in ids]
        if not all(map(len, rows)):
            empty = np.array([_token_of_empty_text(tokenizer, pad_id)], dtype=np.int32)
            rows = [row if len(row) else empty for row in rows]
    return Tokens.from_lists(rows), n_truncated


def pad_token(tokenizer, config):
    """Return the id of padding: the tokenizer's, the config's or the end of text."""
    eos = getattr(config, "eos_token_id", None)
    candidates = (
        # The default of a config may be a word of the tokenizer.
        tokenizer.pad_token_id,
        getattr(config, "pad_token_id", None),
        getattr(tokenizer, "eos_token_id", None),
        eos[0] if isinstance(eos, list) else eos,
    )
    for token in candidates:
        if token is not None and 0 <= token < config.vocab_size:
            return token
    return 0


def check_vocabulary(tokenizer, config):
    """Raise if the model has no embedding for some ids of the tokenizer."""
    if isinstance(tokenizer, HashingTokenizer):
        return
    # If the model lacks the tokenizer's padding, another token is used.
    added = set(tokenizer.get_added_vocab().values()) - {tokenizer.pad_token_id}
    size = max([tokenizer.vocab_size, *(token + 1 for token in added)])
    if size > config.vocab_size:
        raise ValueError(
            f"The tokenizer has {size} tokens, but the model's config has "
            f"vocab_size={config.vocab_size}. Give a config with at least {size}, or "
            "the model's own tokenizer."
        )


def tokenizer_digest(tokenizer):
    """Return a digest of all that determines the ids of a tokenizer."""
    if isinstance(tokenizer, HashingTokenizer):
        state = repr(sorted(vars(tokenizer).items()))
    elif hasattr(tokenizer, "backend_tokenizer"):
        with _LOCK:
            state = tokenizer.backend_tokenizer.to_str()
    else:
        state = repr((sorted(tokenizer.get_vocab().items()), repr(tokenizer)))
    return blake2b(state.encode(), digest_size=16).hexdigest()


def _encode(tokenizer, texts, max_length):
    try:
        return tokenizer(
            texts,
            truncation=max_length is not None,
            max_length=max_length,
            padding=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )["input_ids"]
    finally:
        if hasattr(tokenizer, "backend_tokenizer"):
            # The tokenizer's pickle must not depend on its last call.
            tokenizer.backend_tokenizer.no_truncation()
        _forget_words(tokenizer)


def _forget_words(tokenizer):
    """Empty a tokenizer's cache of words."""
    # Words of forgotten rows would remain in it, and in a slow tokenizer's pickle.
    words = getattr(tokenizer, "cache", None)
    if isinstance(words, dict):
        words.clear()
    model = getattr(getattr(tokenizer, "backend_tokenizer", None), "model", None)
    # BPE and Unigram have this since tokenizers 0.21; WordPiece stores no words.
    if hasattr(model, "_clear_cache"):
        model._clear_cache()


def _token_of_empty_text(tokenizer, pad_id):
    """Return a token for an empty text, which would otherwise be only padding."""
    for name in ("bos_token_id", "cls_token_id", "unk_token_id", "eos_token_id"):
        token = getattr(tokenizer, name, None)
        if token is not None and token != pad_id:
            return token
    return (_encode(tokenizer, [" ."], None)[0] or [0])[0]
