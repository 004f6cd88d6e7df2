"""Training of several small networks in one program, each in a place of its own.

The program has a fixed number of places, and its arithmetic for a place is the same
whichever place it is and whatever the others hold. So a network ends in the same bits
in any company, also in none.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch.optim.adamw import adamw

# Matrices of all places begin at multiples of 64 bytes, 16 numbers, since how one lies
# in memory decides how it is summed.
_ALIGNMENT = 16


@dataclass(frozen=True)
class Lesson:
    """What is trained in one place, on which batches.

    Parameters
    ----------
    parameters : list of ndarray of float32
        For each layer its weights, of shape (3, n_outputs, n_inputs), then its
        intercepts, (3, n_outputs, 1): each before the training, and Adam's two moments.
    n_steps : int
        Steps that led to these.
    X : ndarray of shape (n, n_inputs)
    labels : ndarray of int, shape (n,)
    batches : ndarray of int, shape (steps, batch_size)
        Rows of each step; any where a batch has fewer.
    shares : ndarray of shape (steps, batch_size)
        What each row's loss counts in its batch; 0 where a batch has fewer.
    """

    parameters: list
    n_steps: int
    X: np.ndarray
    labels: np.ndarray
    batches: np.ndarray
    shares: np.ndarray


def batches_of_epoch(order, weights, batch_size):
    """Return the rows of each step of an epoch, and what each counts in its batch.

    Parameters
    ----------
    order : ndarray of int, shape (n,)
        Rows in the order they come.
    weights : ndarray of shape (n,)
        Positive weight of each row.
    batch_size : int

    Returns
    -------
    batches, shares : ndarrays of shape (steps, batch_size)
        As a `Lesson` has them.

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


def train_in_places(lessons, n_places, *, lr, weight_decay, device):
    """Train networks of one shape by AdamW, a step of all of them at a time.

    Parameters
    ----------
    lessons : list of Lesson
        At most as many as there are places, of one batch size.
    n_places : int
    lr, weight_decay : float
        Intercepts do not decay.
    device : str

    Returns
    -------
    list of list of ndarray
        The parameters of each network after its training, in memory of their own.
    """
    # Those still in training are then always the first.
    order = sorted(range(len(lessons)), key=lambda i: -len(lessons[i].batches))
    trained = _train([lessons[i] for i in order], n_places, lr, weight_decay, device)
    return [parameters for _, parameters in sorted(zip(order, trained))]


def _train(lessons, n_places, lr, weight_decay, device):
    def on_device(arrays):
        # Copies: torch's memory begins at a multiple of 64 bytes, numpy's may not.
        return [torch.tensor(array, device=device) for array in arrays]

    stacks = on_device(_stacked_parameters(lessons, n_places))
    X, Y = on_device(_stacked_rows(lessons))
    batches, all_shares = on_device(_stacked_batches(lessons))
    parameters, *moments = zip(*stacks)
    weights = parameters[::2]
    gradients = [torch.zeros_like(stack) for stack in parameters]
    steps = [[float(one.n_steps) for one in lessons]] * len(parameters)
    steps = torch.tensor(steps, device=device)
    # Places that nobody is in, or is in any more, hold zeros or an earlier batch.
    size = batches.shape[-1]
    x = torch.zeros(n_places, size, X.shape[1], device=device)
    y = torch.zeros(n_places, size, Y.shape[1], device=device)
    shares = torch.zeros(n_places, 1, size, device=device)

    begin = 0
    for end in sorted({len(one.batches) for one in lessons}):
        n_active = sum(len(one.batches) >= end for one in lessons)
        learnt, slopes, means, squares, counts = (
            [stack[place] for stack in part for place in range(n_active)]
            for part in (parameters, gradients, *moments, steps)
        )
        for step in range(begin, end):
            rows = batches[step, :n_active].reshape(-1)
            torch.index_select(X, 0, rows, out=x[:n_active].view(-1, X.shape[1]))
            torch.index_select(Y, 0, rows, out=y[:n_active].view(-1, Y.shape[1]))
            shares[:n_active, 0] = all_shares[step, :n_active]
            _find_gradients(parameters, gradients, x, y, shares)
            for W in weights:
                W[:n_active].mul_(1 - lr * weight_decay)
            adamw(
                learnt, slopes, means, squares, [], counts,
                fused=True, amsgrad=False, maximize=False, weight_decay=0.0,
                beta1=0.9, beta2=0.999, eps=1e-8, lr=lr,
            )  # fmt: skip
        begin = end
    return [
        [
            stack[:, place, : part.shape[1], : part.shape[2]].cpu().numpy().copy()
            for stack, part in zip(stacks, one.parameters)
        ]
        for place, one in enumerate(lessons)
    ]


def _find_gradients(parameters, gradients, x, y, shares):
    """Write the gradients of a batch's cross-entropy in each place."""
    weights, intercepts = parameters[::2], parameters[1::2]
    # A column is a row of the data, since flat matrices multiply faster than upright.
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


def _stacked_parameters(lessons, n_places):
    """Yield the parameters of all places and their moments, with zeros around."""
    shapes = [part.shape[1:] for part in lessons[0].parameters]
    for i, (height, width) in enumerate(shapes):
        rows = _padded(height) if i < len(shapes) - 2 else height
        columns = _padded(width) if i % 2 == 0 else width
        stack = np.zeros((3, n_places, rows, columns), dtype=np.float32)
        for place, one in enumerate(lessons):
            stack[:, place, :height, :width] = one.parameters[i]
        yield stack


def _stacked_rows(lessons):
    """Return the rows of all lessons one below the other, and their classes."""
    n_classes, n_inputs = lessons[0].parameters[-1].shape[1], lessons[0].X.shape[1]
    labels = np.concatenate([one.labels for one in lessons])
    X = np.zeros((len(labels), _padded(n_inputs)), dtype=np.float32)
    np.concatenate([one.X for one in lessons], out=X[:, :n_inputs])
    return X, np.eye(n_classes, dtype=np.float32)[labels]


def _stacked_batches(lessons):
    """Return the rows of each step of each lesson, and their shares of its loss."""
    n_steps = max(len(one.batches) for one in lessons)
    shape = (n_steps, len(lessons), _padded(lessons[0].batches.shape[1]))
    batches = np.zeros(shape, dtype=np.int64)
    shares = np.zeros(shape, dtype=np.float32)
    first = 0
    for place, one in enumerate(lessons):
        steps, size = one.batches.shape
        batches[:steps, place, :size] = one.batches + first
        shares[:steps, place, :size] = one.shares
        first += len(one.X)
    return batches, shares
