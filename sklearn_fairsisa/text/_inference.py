"""Running a frozen network over texts so that each result follows from its text."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor

import torch

from ._batches import inference_batches


def infer(forward, tokens, pad_id, max_length, device, tokens_per_batch):
    """Yield a network's outputs of texts, batch by batch.

    How many rows, columns and cores share a sum decides its rounding. Here each
    batch has a shape that follows from its texts' own lengths, and on a CPU each is
    computed on one core, with batches side by side on as many as torch may use.

    Parameters
    ----------
    forward : callable
        From ``input_ids`` and ``attention_mask`` to a tensor with a row per text.
    tokens : Tokens
    pad_id : int
    max_length : int
        Greatest number of columns of a batch.
    device : str
    tokens_per_batch : int
        Tokens, with padding, of a batch.

    Yields
    ------
    rows : ndarray of int, shape (b,)
        Positions of the texts.
    outputs : ndarray of shape (b, ...)
    """

    def run(rows, n_real, length):
        # Inference mode belongs to a thread, so it is entered in here.
        with torch.inference_mode():
            inputs = tokens.padded(rows, pad_id, length)
            outputs = forward(**{k: v.to(device) for k, v in inputs.items()})
            return rows[:n_real], outputs[:n_real].float().cpu().numpy()

    batches = list(inference_batches(tokens.lengths, max_length, tokens_per_batch))
    n_cores = torch.get_num_threads()
    if torch.device(device).type != "cpu" or n_cores == 1:
        yield from (run(*batch) for batch in batches)
        return
    try:
        # torch counts threads by thread: one in each of the pool's.
        with ThreadPoolExecutor(n_cores, "infer", torch.set_num_threads, (1,)) as pool:
            waiting = deque()
            for batch in batches:
                waiting.append(pool.submit(run, *batch))
                if len(waiting) > 2 * n_cores:  # so that outputs do not pile up
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        # New threads would take over what the pool's set last.
        torch.set_num_threads(n_cores)
