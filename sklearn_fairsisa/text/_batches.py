"""Batches of texts of unequal length, for training and for inference."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch

# Lengths of inference batches are multiples of this number.
_LENGTH_STEP = 8


def tokens_per_batch(given, device):
    """Return the number of tokens that a device computes at a time, given or "auto".

    A GPU needs many for its full speed. A CPU computes 512 tokens at once a seventh
    faster than 64, but then a single text, which fills a batch, takes seven times as
    long.
    """
    if given != "auto":
        return given
    return 64 if torch.device(device).type == "cpu" else 16384


@dataclass(frozen=True)
class Tokens:
    """Concatenated token ids of n texts.

    Parameters
    ----------
    ids : ndarray of int32
        Ids of all texts.
    offsets : ndarray of int64, shape (n + 1,)
        Text i is ``ids[offsets[i]:offsets[i + 1]]``.
    states : list of ndarray, default=None
        States of the tokens of each text, of shape (length, d).
    """

    ids: np.ndarray
    offsets: np.ndarray
    states: list | None = None

    @classmethod
    def from_lists(cls, rows):
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        ids = np.empty(offsets[-1], dtype=np.int32)
        for row, start in zip(rows, offsets):
            ids[start : start + len(row)] = row
        return cls(ids, offsets)

    def __len__(self):
        return len(self.offsets) - 1

    @property
    def lengths(self):
        return np.diff(self.offsets)

    def take(self, rows):
        """Return the tokens of some texts, with ids in memory of their own."""
        parts = [self.ids[self.offsets[row] : self.offsets[row + 1]] for row in rows]
        some = Tokens.from_lists(parts)
        if self.states is None:
            return some
        return replace(some, states=[self.states[row] for row in rows])

    def padded(self, rows, pad_id, length=None):
        """Return the ids and the attention mask of some texts, padded on the right.

        Parameters
        ----------
        rows : ndarray of int, shape (b,)
        pad_id : int
        length : int, default=None
            Number of columns, by default the length of the longest text.

        Returns
        -------
        dict of tensors, shape (b, length)
            Their states, of shape (b, length, d), are among them if there are any.
        """
        lengths = self.lengths[rows]
        length = int(lengths.max()) if length is None else length
        ids = np.full((len(rows), length), pad_id, dtype=np.int64)
        mask = np.arange(length) < lengths[:, None]
        ids[mask] = np.concatenate(
            [self.ids[self.offsets[row] : self.offsets[row + 1]] for row in rows]
        )
        inputs = {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy(mask.astype(np.int64)),
        }
        if self.states is not None:
            width = self.states[0].shape[1]
            states = np.zeros((len(rows), length, width), dtype=np.float32)
            for place, row in enumerate(rows):
                states[place, : lengths[place]] = self.states[row]
            inputs["states"] = torch.from_numpy(states)
        return inputs


def training_steps(lengths, batch_size, accumulation):
    """Draw the steps of an epoch, whose batches hold texts of nearly equal length.

    Rows are shuffled, sorted by length within chunks of up to 50 steps, and split into
    steps, which are shuffled too. A step consists of `accumulation` batches.

    Parameters
    ----------
    lengths : ndarray of int, shape (n,)
    batch_size : int
    accumulation : int

    Returns
    -------
    list of list of ndarray of int
        Rows of each batch of each step; each row occurs once.

    Notes
    -----
    Draws from torch's global generator.
    """
    order = torch.randperm(len(lengths)).numpy()
    rows_per_step = batch_size * accumulation
    # With few, long chunks, every epoch would have the same batches.
    steps_per_chunk = min(50, max(1, len(lengths) // (4 * rows_per_step)))
    rows_per_chunk = rows_per_step * steps_per_chunk
    steps = []
    for start in range(0, len(order), rows_per_chunk):
        chunk = order[start : start + rows_per_chunk]
        chunk = chunk[np.argsort(-lengths[chunk], kind="stable")]
        for first in range(0, len(chunk), rows_per_step):
            step = chunk[first : first + rows_per_step]
            steps.append(
                [step[i : i + batch_size] for i in range(0, len(step), batch_size)]
            )
    return [steps[i] for i in torch.randperm(len(steps)).tolist()]


def inference_batches(lengths, max_length, tokens_per_batch):
    """Yield batches whose shape depends only on the length of their texts.

    The number of rows and columns of a matrix determines how a processor sums it, so
    the last bits of a text's output could depend on other texts. Here the number of
    columns (the next multiple of 8, with at least one column of padding) and the
    number of rows (the last row is repeated to fill the batch) depend only on the
    text's own length.

    Parameters
    ----------
    lengths : ndarray of int, shape (n,)
    max_length : int
        Maximum number of columns.
    tokens_per_batch : int

    Yields
    ------
    rows : ndarray of int, shape (b,)
        Rows of the batch; those after the first `n_real` are repeated.
    n_real : int
    length : int
        Number of columns.
    """
    columns = np.minimum((lengths // _LENGTH_STEP + 1) * _LENGTH_STEP, max_length)
    # Attention without padding is computed differently, so such texts are separate.
    full = lengths == columns
    for length, unpadded in sorted(set(zip(columns.tolist(), full.tolist()))):
        group = np.flatnonzero((columns == length) & (full == unpadded))
        n_rows = max(1, tokens_per_batch // length)
        for start in range(0, len(group), n_rows):
            rows = group[start : start + n_rows]
            n_real = len(rows)
            yield np.pad(rows, (0, n_rows - n_real), mode="edge"), n_real, length


def autocast(device, precision):
    """Compute matrix products in a data type; None is that of the weights."""
    kind = torch.device(device).type
    return torch.autocast(kind, precision, enabled=precision is not None)


def infer(
    forward, tokens, pad_id, max_length, device, tokens_per_batch, precision=None
):
    """Yield the outputs of a network for texts, batch by batch.

    The shape of a batch depends only on the length of its texts. On a CPU, each batch
    is computed on one core, since the number of cores affects the rounding too, and
    as many batches run in parallel as torch has threads.

    Parameters
    ----------
    forward : callable
        Takes ``input_ids`` and ``attention_mask``, returns a tensor with a row per
        text.
    tokens : Tokens
    pad_id : int
    max_length : int
        Maximum number of columns of a batch.
    device : str
    tokens_per_batch : int
        Number of tokens in a batch, including padding.
    precision : torch.dtype, default=None
        Data type of autocast.

    Yields
    ------
    rows : ndarray of int, shape (b,)
        Positions of the texts.
    outputs : ndarray of shape (b, ...)
    """

    def run(rows, n_real, length):
        # Inference mode applies to one thread only.
        with torch.inference_mode(), autocast(device, precision):
            inputs = tokens.padded(rows, pad_id, length)
            outputs = forward(**{k: v.to(device) for k, v in inputs.items()})
            return rows[:n_real], outputs[:n_real].float().cpu().numpy()

    batches = list(inference_batches(tokens.lengths, max_length, tokens_per_batch))
    n_cores = torch.get_num_threads()
    if torch.device(device).type != "cpu" or n_cores == 1:
        yield from (run(*batch) for batch in batches)
        return
    try:
        # Each thread of the pool has its own number of torch threads: one.
        with ThreadPoolExecutor(n_cores, "infer", torch.set_num_threads, (1,)) as pool:
            waiting = deque()
            for batch in batches:
                waiting.append(pool.submit(run, *batch))
                if len(waiting) > 2 * n_cores:  # to bound the memory of outputs
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        # New threads would inherit the number that the pool's threads set.
        torch.set_num_threads(n_cores)
