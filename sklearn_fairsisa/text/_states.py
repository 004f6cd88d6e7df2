"""What a frozen network gives for texts, computed once per text."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ._batches import infer
from ._cache import disk_cache, look_up_or_compute, memory_cache

# Maximum size of the states of one trunk in the memory of a process.
_MAX_BYTES = 2**30


@dataclass(frozen=True)
class FrozenSpec:
    """What determines the output of a frozen network for a text, bit by bit.

    Parameters
    ----------
    network : object
        Digest of weights, config and tokenizer, and all else that follows.
    pad_id : int
    max_length : int
        Maximum number of tokens of a text.
    device : str
    tokens_per_batch : int
        Number of tokens, including padding, that are computed at a time.
    precision : torch.dtype or None
        Data type of autocast.
    dtype : {"float32", "float16"}, default="float32"
        Data type of the outputs.
    """

    network: Any
    pad_id: int
    max_length: int
    device: str
    tokens_per_batch: int
    precision: Any
    dtype: str = "float32"

    @property
    def fingerprint(self):
        """Return a digest of the specification."""
        settings = (
            self.network,
            self.max_length,
            self.dtype,
            torch.device(self.device).type,
            self.precision,
            self.tokens_per_batch,
            torch.__version__,
        )
        return blake2b(repr(settings).encode(), digest_size=16).hexdigest()

    def caches(self, folder, max_bytes=_MAX_BYTES):
        """Return the caches of the outputs, the fastest first.

        Parameters
        ----------
        folder : str, path or None
            Folder of a cache besides that in memory.
        max_bytes : int
            Maximum size of the cache in memory; 0 is none.
        """
        caches = [memory_cache(self.fingerprint, max_bytes)] if max_bytes else []
        if folder is not None:
            caches.append(disk_cache(folder, self.fingerprint, _little(self.dtype)))
        return caches


def outputs_of(texts, caches, spec, tokens_of, make_network, *, verbose=0):
    """Return what a network gives for each text, from the caches where it is there.

    Parameters
    ----------
    texts : list of str
    caches : list of MemoryCache or DiskCache
    spec : FrozenSpec
    tokens_of : callable
        Returns the tokens of texts.
    make_network : callable
        Returns a function from a batch of tokens to outputs, one per text or one per
        token. It is called only if some outputs have to be computed.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    list of ndarray

    Raises
    ------
    ValueError
        If an output is not finite, or too large for the data type.
    """

    def compute(new):
        tokens = tokens_of(new)
        lengths = tokens.lengths
        with tqdm(total=len(new), unit="text", disable=not verbose) as bar:
            for rows, batch in infer(
                make_network(),
                tokens,
                spec.pad_id,
                spec.max_length,
                spec.device,
                spec.tokens_per_batch,
                spec.precision,
            ):
                bar.update(len(rows))
                if batch.ndim == 3:  # without the padding
                    batch = [own[: lengths[row]] for row, own in zip(rows, batch)]
                yield rows, [_narrowed(own, spec.dtype) for own in batch]

    return look_up_or_compute(texts, caches, compute)


def states_of(texts, tokens, spec, width, cache_dir, make_trunk, *, verbose=0):
    """Return the states of the tokens of each text, which a trunk gives.

    Parameters
    ----------
    texts : list of str
    tokens : Tokens
        Their tokens.
    spec : FrozenSpec
        Of the trunk.
    width : int
        Number of features of a state.
    cache_dir : str, path or None
        Folder of a cache besides that in memory.
    make_trunk, verbose
        As in `outputs_of`.

    Returns
    -------
    list of ndarray of shape (length, width)

    Raises
    ------
    ValueError
        If a state is too large for the data type, or a cache has other states.
    """

    def tokens_of(new):
        row_of = {text: row for row, text in enumerate(texts)}
        return tokens.take([row_of[text] for text in new])

    caches = spec.caches(cache_dir, _MAX_BYTES)
    found = outputs_of(texts, caches, spec, tokens_of, make_trunk, verbose=verbose)
    for position, (own, length) in enumerate(zip(found, tokens.lengths)):
        if own.size != length * width:
            raise ValueError(
                f"{str(cache_dir)!r} holds {own.size} numbers for the text at position "
                f"{position}, but its {length} states of {width} features need "
                f"{length * width}. It is a cache of another model: delete its "
                "files, or give another cache_dir=."
            )
    return [own.reshape(-1, width) for own in found]


def _narrowed(output, dtype):
    """Return an output in a data type, or raise if it is not finite in it."""
    with np.errstate(over="ignore"):
        output = output.astype(_little(dtype))
    if not np.isfinite(output).all():
        raise ValueError(
            f"The network gives numbers that are not finite in {dtype}. Give "
            "cache_dtype='float32', or, if it is given, a model with finite weights."
        )
    return output


def _little(dtype):
    return np.dtype(dtype).newbyteorder("<")
