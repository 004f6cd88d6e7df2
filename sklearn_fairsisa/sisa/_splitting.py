"""Rows that come in batches, put into the pieces of their shards."""

from collections import defaultdict

import numpy as np

from .._utils.containers import take
from . import _rows
from ._plan import HELD_OUT
from ._rows import Block, Piece, ShardRows

# Least bytes of a piece and of a batch, however small the shards are.
_LEAST_PIECE_BYTES, _LEAST_BATCH_BYTES = 2**16, 2**22
# Share of a piece at which it is written.
_ENOUGH = 0.75


def split_source(source, codes, plan, subjects, params, offset, *, keep, check):
    """Split a batch of rows that are read little by little.

    Parameters
    ----------
    source : ArraySource or ArrowSource
        Its first row has index `offset`.
    codes : callable
        Returns the label codes of the rows of a slice.
    plan : Plan
    subjects : list of length n or None
    params : dict of containers of length n
    offset : int
    keep : callable
        Takes a shard, or -1 for rows held out, a slice and a block, and returns the
        block as a Piece, whose rows it need not keep in memory.
    check : callable
        Raises an error if some rows are unusable.

    Returns
    -------
    rows : tuple of ShardRows
    held_out : ShardRows
    """
    n_cells = sum(plan.n_stages) + 1
    n_bytes = _bytes_per_piece(source, plan, n_cells)
    size = max(1, n_bytes // source.row_bytes)
    # A batch then has about a piece for each cell, so that few rows wait.
    of_batch = max(_LEAST_BATCH_BYTES, n_bytes * n_cells)
    pieces, waiting, empty = defaultdict(list), defaultdict(list), None
    for start, X in source.batches(of_batch):
        _check_batch(check, X, start)
        batch = _batch(X, start, codes, subjects, params, offset)
        if empty is None:
            empty = Block.copied(np.arange(0), *batch)
        first = offset + start
        for cell, where in _cells(plan, first, len(batch[0])):
            waiting[cell].append(Block.copied(where, *batch))
            if sum(map(len, waiting[cell])) >= _ENOUGH * size:
                blocks = _cut(waiting.pop(cell), size)
                pieces[cell] += (keep(*cell, block) for block in blocks)
    for cell, blocks in waiting.items():
        pieces[cell] += (keep(*cell, block) for block in _cut(blocks, size))

    def of(number):
        own = sorted(cell for cell in pieces if cell[0] == number)
        found = [piece for cell in own for piece in pieces[cell]]
        return ShardRows(found or [Piece.of(0, 0, empty)])

    return tuple(map(of, range(plan.n_shards))), of(HELD_OUT)


def _bytes_per_piece(source, plan, n_cells):
    """Return about how many bytes a piece is given.

    Those that wait for their piece to be full take no more memory than a shard.
    """
    of_shard = len(source) * source.row_bytes // plan.n_shards
    return min(_rows.PIECE_BYTES, max(_LEAST_PIECE_BYTES, of_shard // n_cells))


def _check_batch(check, X, start):
    try:
        check(X)
    except (TypeError, ValueError) as error:
        if start:
            error.add_note(f"Rows are counted from row {start} of X.")
        raise


def _batch(X, start, codes, subjects, params, offset):
    """Return what `Block.copied` takes of some rows."""
    here = slice(start, start + len(X))
    where = np.arange(here.start, here.stop)
    return (
        offset + where,
        X,
        codes(here),
        None if subjects is None else subjects[here],
        {name: take(value, where) for name, value in params.items()},
    )


def _cells(plan, first, n_rows):
    """Yield shard and slice of some rows, with the positions of those there."""
    shards = plan.shards[first : first + n_rows]
    slices = plan.slices[first : first + n_rows]
    order = np.lexsort((slices, shards))
    changes = np.diff(shards[order]).astype(bool) | np.diff(slices[order]).astype(bool)
    for where in np.split(order, np.flatnonzero(changes) + 1):
        yield (int(shards[where[0]]), int(slices[where[0]])), where


def _cut(blocks, size):
    """Return the rows of some blocks in blocks of about a size, copied if need be."""
    rows = Block.joined(blocks, sum(map(len, blocks)))
    n_parts = round(len(rows) / size)
    if n_parts < 2:
        return [rows]
    return [*map(rows.take, np.array_split(np.arange(len(rows)), n_parts))]
