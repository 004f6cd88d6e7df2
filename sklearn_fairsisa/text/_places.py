"""Training of several small networks in one program, each in its own place.

The program has a fixed number of places. Its arithmetic for a place depends neither on
the position of the place nor on the other places, so that a network ends in the same
bits whichever networks are trained with it, if any.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch.optim.adamw import adamw

# Number of steps after which the learning rate is half of what it was at first.
_HALF_RATE = 100

# The matrices of all places start at multiples of 64 bytes (16 numbers), since the
# alignment of a matrix affects how it is summed.
_ALIGNMENT = 16


@dataclass(frozen=True)
class Job:
    """A network to train in one place, and its batches.

    Parameters
    ----------
    parameters : list of ndarray of float32
        Weights of shape (3, n_outputs, n_inputs) and intercepts of shape
        (3, n_outputs, 1) of each layer: the values before the training and the two
        moments of Adam.
    n_steps : int
        Number of steps taken before.
    X : ndarray of shape (n, n_inputs)
    labels : ndarray of int, shape (n,)
    batches : ndarray of int, shape (steps, batch_size)
        Rows of each step; arbitrary rows fill a smaller batch.
    shares : ndarray of shape (steps, batch_size)
        Share of each row in the loss of its batch; 0 for those that fill it.
    """

    parameters: list
    n_steps: int
    X: np.ndarray
    labels: np.ndarray
    batches: np.ndarray
    shares: np.ndarray


def batches_of_epoch(order, weights, batch_size):
    """Return the rows of each step of an epoch, and their shares in the loss.

    Parameters
    ----------
    order : ndarray of int, shape (n,)
        Rows in their order.
    weights : ndarray of shape (n,)
        Positive weight of each row.
    batch_size : int

    Returns
    -------
    batches, shares : ndarrays of shape (steps, batch_size)
        As in a `Job`.

    Examples
    --------
    >>> batches, shares = batches_of_epoch(np.array([2, 0, 1]), np.array([1, 1, 3]), 2)
    >>> batches.tolist(), shares.tolist()
    ([[2, 0], [1, 0]], [[0.75, 0.25], [1.0, 0.0]])
    """
    n_steps = -(-len(order) // batch_size)
    batches = np.zeros(n_steps * batch_size, dtype=np.int64)
    shares = np.zeros(n_steps * batch_size)
    batches[: len(order)] = order
    shares[: len(order)] = weights[order]
    shares = shares.reshape(n_steps, batch_size)
    return batches.reshape(shares.shape), shares / shares.sum(axis=1, keepdims=True)


def train_in_places(jobs, n_places, *, lr, weight_decay, device):
    """Train networks of one shape by AdamW, one step of all of them at a time.

    Parameters
    ----------
    jobs : list of Job
        At most `n_places` jobs with the same batch size.
    n_places : int
    lr, weight_decay : float
        Learning rate of the first step of a network, see `rate_of`. Intercepts do not
        decay.
    device : str

    Returns
    -------
    list of list of ndarray
        Parameters of each network after its training; no two share memory.
    """
    # The longest jobs come first, so that unfinished networks do too.
    order = sorted(range(len(jobs)), key=lambda i: -len(jobs[i].batches))
    trained = _train([jobs[i] for i in order], n_places, lr, weight_decay, device)
    return [parameters for _, parameters in sorted(zip(order, trained))]


def rate_of(step, lr):
    """Return the learning rate of a step, counted from 0 since the weights were drawn.

    It follows from the steps before, not from those to come, so that a training which
    stops and resumes is the same as one that never stopped.

    Examples
    --------
    >>> [rate_of(step, 0.3) for step in (0, 100, 200)]
    [0.3, 0.15, 0.1]
    """
    return lr * _HALF_RATE / (_HALF_RATE + step)


def _train(jobs, n_places, lr, weight_decay, device):
    def on_device(arrays):
        # Unlike numpy's memory, that of a copy by torch is aligned to 64 bytes.
        return [torch.tensor(array, device=device) for array in arrays]

    stacks = on_device(_stacked_parameters(jobs, n_places))
    X, Y = on_device(_stacked_rows(jobs))
    batches, all_shares = on_device(_stacked_batches(jobs))
    parameters, *moments = zip(*stacks)
    weights = parameters[::2]
    gradients = [torch.zeros_like(stack) for stack in parameters]
    steps = [[float(job.n_steps) for job in jobs]] * len(parameters)
    steps = torch.tensor(steps, device=device)
    # Places without a network hold zeros, those of finished ones an earlier batch.
    size = batches.shape[-1]
    x = torch.zeros(n_places, size, X.shape[1], device=device)
    y = torch.zeros(n_places, size, Y.shape[1], device=device)
    shares = torch.zeros(n_places, 1, size, device=device)

    begin = 0
    for end in sorted({len(job.batches) for job in jobs}):
        n_active = sum(len(job.batches) >= end for job in jobs)
        # Networks with equally many steps before have the same learning rate.
        places_of = {}
        for place, job in enumerate(jobs[:n_active]):
            places_of.setdefault(job.n_steps, []).append(place)
        groups = [
            (
                n_steps,
                [W[place] for W in weights for place in places],
                *(
                    [stack[place] for stack in part for place in places]
                    for part in (parameters, gradients, *moments, steps)
                ),
            )
            for n_steps, places in places_of.items()
        ]
        for step in range(begin, end):
            rows = batches[step, :n_active].reshape(-1)
            torch.index_select(X, 0, rows, out=x[:n_active].view(-1, X.shape[1]))
            torch.index_select(Y, 0, rows, out=y[:n_active].view(-1, Y.shape[1]))
            shares[:n_active, 0] = all_shares[step, :n_active]
            _compute_gradients(parameters, gradients, x, y, shares)
            for n_steps, decaying, values, slopes, means, squares, counts in groups:
                rate = rate_of(n_steps + step, lr)
                if weight_decay:
                    torch._foreach_mul_(decaying, 1 - rate * weight_decay)
                adamw(
                    values, slopes, means, squares, [], counts,
                    fused=True, amsgrad=False, maximize=False, weight_decay=0.0,
                    beta1=0.9, beta2=0.999, eps=1e-8, lr=rate,
                )  # fmt: skip
        begin = end
    return [
        [
            stack[:, place, : part.shape[1], : part.shape[2]].cpu().numpy().copy()
            for stack, part in zip(stacks, job.parameters)
        ]
        for place, job in enumerate(jobs)
    ]


def _compute_gradients(parameters, gradients, x, y, shares):
    """Compute the gradients of the cross-entropy of a batch in each place."""
    weights, intercepts = parameters[::2], parameters[1::2]
    # Columns are samples, since wide matrices multiply faster than tall ones.
    inputs = [x.mT]
    for W, b in zip(weights[:-1], intercepts[:-1]):
        inputs.append(torch.baddbmm(b, W, inputs[-1]).relu_())
    logits = torch.baddbmm(intercepts[-1], weights[-1], inputs[-1])
    slope = logits.softmax(1).sub_(y.mT).mul_(shares)
    for i in reversed(range(len(weights))):
        torch.bmm(slope, inputs[i].mT, out=gradients[2 * i])
        torch.sum(slope, 2, keepdim=True, out=gradients[2 * i + 1])
        if i:
            slope = torch.bmm(weights[i].mT, slope).mul_(inputs[i] > 0)


def _padded(n):
    return -(-n // _ALIGNMENT) * _ALIGNMENT


def _stacked_parameters(jobs, n_places):
    """Yield the parameters and moments of all places, padded with zeros."""
    shapes = [part.shape[1:] for part in jobs[0].parameters]
    for i, (height, width) in enumerate(shapes):
        rows = _padded(height) if i < len(shapes) - 2 else height
        columns = _padded(width) if i % 2 == 0 else width
        stack = np.zeros((3, n_places, rows, columns), dtype=np.float32)
        for place, job in enumerate(jobs):
            stack[:, place, :height, :width] = job.parameters[i]
        yield stack


def _stacked_rows(jobs):
    """Return the concatenated rows of all jobs, and their one-hot labels."""
    n_classes, n_inputs = jobs[0].parameters[-1].shape[1], jobs[0].X.shape[1]
    labels = np.concatenate([job.labels for job in jobs])
    X = np.zeros((len(labels), _padded(n_inputs)), dtype=np.float32)
    np.concatenate([job.X for job in jobs], out=X[:, :n_inputs])
    return X, np.eye(n_classes, dtype=np.float32)[labels]


def _stacked_batches(jobs):
    """Return the rows of each step of each job, and their shares in the loss."""
    n_steps = max(len(job.batches) for job in jobs)
    shape = (n_steps, len(jobs), _padded(jobs[0].batches.shape[1]))
    batches = np.zeros(shape, dtype=np.int64)
    shares = np.zeros(shape, dtype=np.float32)
    first = 0
    for place, job in enumerate(jobs):
        steps, size = job.batches.shape
        batches[:steps, place, :size] = job.batches + first
        shares[:steps, place, :size] = job.shares
        first += len(job.X)
    return batches, shares
