"""The states that a trunk gives for the tokens of texts, computed once per text."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import torch

from ._batches import infer, tokens_per_batch
from ._cache import disk_cache, look_up_or_compute, memory_cache

# Maximum size of the states of one trunk in the memory of a process.
_MAX_BYTES = 2**30


@dataclass(frozen=True)
class StatesSpec:
    """What determines the states of a text, bit by bit.

    Parameters
    ----------
    trunk : str
        Digest of weights, config and tokenizer.
    width : int
        Number of features of a state.
    pad_id : int
    max_length : int
        Maximum number of tokens of a text.
    dtype : {"float32", "float16"}
        Data type of the states.
    device : str
    precision : torch.dtype or None
        Data type of autocast.
    """

    trunk: str
    width: int
    pad_id: int
    max_length: int
    dtype: str
    device: str
    precision: Any

    @property
    def fingerprint(self):
        """Return a digest of the specification."""
        settings = (
            self.trunk,
            self.max_length,
            self.dtype,
            torch.device(self.device).type,
            self.precision,
            tokens_per_batch(self.device),
            torch.__version__,
        )
        return blake2b(repr(settings).encode(), digest_size=16).hexdigest()


def states_of(texts, tokens, spec, cache_dir, make_trunk):
    """Return the states of each text, from the caches where they are in these.

    Parameters
    ----------
    texts : list of str
    tokens : Tokens
        Their tokens.
    spec : StatesSpec
    cache_dir : str, path or None
        Folder of a cache besides that in memory.
    make_trunk : callable
        Returns a function from a batch of tokens to their states. It is called only
        if some states have to be computed.

    Returns
    -------
    list of ndarray of shape (length, width)

    Raises
    ------
    ValueError
        If a state is too large for the data type, or a cache has other states.
    """
    dtype = np.dtype(spec.dtype).newbyteorder("<")
    caches = [memory_cache(spec.fingerprint, _MAX_BYTES)]
    if cache_dir is not None:
        caches.append(disk_cache(cache_dir, spec.fingerprint, dtype))

    def compute(new):
        row_of = {text: row for row, text in enumerate(texts)}
        some = tokens.take([row_of[text] for text in new])
        lengths = some.lengths
        for rows, batch in infer(
            make_trunk(),
            some,
            spec.pad_id,
            spec.max_length,
            spec.device,
            tokens_per_batch(spec.device),
        ):
            with np.errstate(over="ignore"):
                states = [
                    own[: lengths[row]].astype(dtype) for row, own in zip(rows, batch)
                ]
            if not all(np.isfinite(own).all() for own in states):
                raise ValueError(
                    f"The trunk gives states that are not finite numbers in "
                    f"cache_dtype={spec.dtype!r}. Give 'float32', or, if it is given, "
                    "a model with finite weights."
                )
            yield rows, states

    found = look_up_or_compute(texts, caches, compute)
    for position, (own, length) in enumerate(zip(found, tokens.lengths)):
        if own.size != length * spec.width:
            raise ValueError(
                f"{str(cache_dir)!r} holds {own.size} numbers for the text at position "
                f"{position}, but its {length} states of {spec.width} features need "
                f"{length * spec.width}. It is a cache of another model: delete its "
                "files, or give another cache_dir=."
            )
    return [own.reshape(-1, spec.width) for own in found]
