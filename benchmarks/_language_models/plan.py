"""What is trained, in which order; see the documentation's page on the design."""

from .corpora import N_FOLDS
from .training import Cell

ATTRIBUTES = {
    "hatexplain": ("religion", "race"),
    "redditbias": ("target",),
    "generated": ("club",),
}
NOT_ASKED = {"redditbias": ("OxonFair",)}
"""Peers that do not decide on a corpus: of an ensemble with five groups, OxonFair's
grid takes 6.5 GB and four minutes."""


def main_cells(corpus, model, shards, seed, folds=N_FOLDS):
    """Return cells fold by fold: one model and 5 shards first, then the others."""
    first = [s for s in shards if s in (1, 5)]
    others = [s for s in shards if s not in (1, 5)]
    cells = [Cell(corpus, model, s, seed, fold) for fold in range(folds) for s in first]
    for fold in range(folds if others else 0):
        # A single model needs rows of its own to calibrate on.
        cells.append(Cell(corpus, model, 1, seed, fold, holds_out=True))
        cells += [Cell(corpus, model, s, seed, fold) for s in others]
    return cells


def deletion_cells(corpus, model, n_shards, seed, deletions, folds=N_FOLDS):
    """Return cells fold by fold, one for each kind of deletion."""
    return [
        Cell(corpus, model, n_shards, seed, fold, deletion=deletion)
        for fold in range(folds)
        for deletion in deletions
    ]


_ALL, _FEW = (1, 2, 5, 10, 20), (1, 5, 20)
# As many as fit; the design's page says what was cut.
_FIRST_FOLDS = 2
PRIMARY = "hatexplain", "minilm"
"""Corpus and model of the primary questions."""
FIRST_LOOK = 0, 1
"""Seeds of the first look at these questions. The second has all seeds."""
_HATEXPLAIN = "uniform", "religion=Jewish", "race=Asian"
QUICK = "quick"
STEPS = {
    "seed-0": lambda: main_cells("hatexplain", "minilm", _ALL, 0),
    "seed-1": lambda: main_cells("hatexplain", "minilm", _ALL, 1),
    "seed-2": lambda: main_cells("hatexplain", "minilm", _ALL, 2),
    "seed-3": lambda: main_cells("hatexplain", "minilm", _ALL, 3),
    "deletions": lambda: deletion_cells("hatexplain", "minilm", 5, 0, _HATEXPLAIN),
    "redditbias": lambda: [
        *main_cells("redditbias", "minilm", _ALL, 0),
        *main_cells("redditbias", "minilm", _ALL, 1),
    ],
    "whole": lambda: main_cells("hatexplain", "minilm-whole", (1, 5), 0, _FIRST_FOLDS),
    "smollm2": lambda: main_cells("hatexplain", "smollm2", _FEW, 0, _FIRST_FOLDS),
    "mpnet": lambda: main_cells("hatexplain", "mpnet", _FEW, 0, _FIRST_FOLDS),
    QUICK: lambda: [
        *main_cells("generated", "tiny", (1, 3), 0, folds=1),
        *deletion_cells("generated", "tiny", 3, 0, ("uniform",), folds=1),
    ],
}
"""Functions that return the cells of a step."""
DEFAULT_STEPS = ("seed-0", "seed-1", "seed-2", "seed-3", "deletions")
"""Of the others, some need weights; the confirmation set is opened once, by name."""
