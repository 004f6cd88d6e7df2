"""Do shards make language models less fair, and what repairs it?

    SKLEARN_FAIRSISA_DATA=<folder> python benchmarks/language_models.py --cache <folder>

Trains ensembles of language models, one at a time on one core, and keeps the logits of
their members as pieces (see ``_pieces.py``): a run that was stopped continues with the
next ensemble. Then some rows are forgotten, to see what it costs. Then every rule is
solved on these logits and judged on people not seen, and tables, sentences and a
picture of all pieces are written. ``--only train``, ``--only costs`` and ``--only
judge`` do one of the three. The page *Design of the study with real weights* says what
is trained, and why. ``--steps quick`` takes seconds.
"""

import argparse
import os
import time
from functools import cache
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from _common import RESULTS
from _language_models.corpora import load_corpus
from _language_models.costs import cost_cells, measure
from _language_models.models import make_embedder, make_learner
from _language_models.pilot import passes_for
from _language_models.plan import DEFAULT_STEPS, STEPS
from _language_models.training import cells_of, train
from _pieces import Pieces


def make_parser():
    """Return the parser of the command line."""
    summary, _, rest = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--steps",
        nargs="+",
        choices=STEPS,
        default=DEFAULT_STEPS,
        help="what to train and judge, in this order (default: %(default)s)",
    )
    parser.add_argument(
        "--only", choices=("train", "costs", "judge"), help="(default: all three)"
    )
    parser.add_argument("--cache", type=Path, help="folder for states of frozen layers")
    parser.add_argument(
        "--weights",
        nargs="+",
        default=[],
        metavar="NAME=FOLDER",
        help="weights that no installed package carries",
    )
    parser.add_argument("--without-peers", action="store_true", help="our rules only")
    parser.add_argument("--hours", type=float, help="begin nothing new after so many")
    parser.add_argument(
        "--output",
        type=Path,
        default=RESULTS / "language_models",
        help="folder of pieces, tables and pictures (default: %(default)s)",
    )
    return parser


def main(argv=None):
    """Train what is missing, then judge what there is; return the rows of tables."""
    options = make_parser().parse_args(argv)
    cells = [cell for step in options.steps for cell in STEPS[step]()]
    pieces = Pieces(options.output / "pieces")
    begun = time.monotonic()
    learners = Learners(options)

    def is_late():
        spent = time.monotonic() - begun
        return options.hours is not None and spent > 3600 * options.hours

    if options.only in (None, "train"):
        train_missing(cells, pieces, learners, is_late)
    if options.only in (None, "costs"):
        measure_missing(cost_cells(options.steps), pieces, learners, is_late)
    if options.only in ("train", "costs"):
        return None
    # Training needs none of the peers that judging imports.
    from _language_models.judging import judge_missing
    from _language_models.writing import write

    decisions = Pieces(options.output / "decisions")
    judge_missing(
        cells,
        pieces,
        decisions,
        learners.embedder,
        with_peers=not options.without_peers,
    )
    return write(options, pieces, decisions)


class Learners:
    """Corpora, learners and embedders by name.

    Parameters
    ----------
    options : argparse.Namespace
    """

    def __init__(self, options):
        folders = dict(given.split("=", 1) for given in options.weights)
        self._given = {"cache": options.cache, "folders": folders}
        self.corpus = cache(load_corpus)

    def learner(self, name):
        """Return an unfitted classifier of texts, on one core."""
        return make_learner(name, **self._given)

    def embedder(self, name):
        """Return what turns texts into frozen vectors."""
        return make_embedder(name, **self._given)


def train_missing(cells, pieces, learners, is_late):
    """Train the cells that no piece holds yet."""
    use_one_core()
    for cell in cells:
        if all(part.key in pieces for part in cells_of(cell)):
            continue
        if is_late():
            break
        learner = learners.learner(cell.model)
        passes = passes_for(
            cell.corpus,
            cell.model,
            cell.n_shards,
            pieces,
            lambda name, learner=learner: (learners.corpus(name), learner),
        )
        for part, found in train(cell, learners.corpus(cell.corpus), learner, passes):
            pieces.keep(part.key, found)
            quality = found["quality"]
            print(
                part.key,
                f"balanced accuracy {quality['balanced_accuracy']:.3f}, "
                f"AUC {quality['auc']:.3f}, {quality['members_alike']} members alike, "
                f"{found['fit_seconds']:.0f} + {found['score_seconds']:.0f} s",
                flush=True,
            )


def measure_missing(costs, pieces, learners, is_late):
    """Measure the costs that no piece holds yet."""
    use_one_core()
    for cost in costs:
        if cost.key in pieces:
            continue
        if is_late():
            break
        begun = time.process_time()
        corpus, learner = learners.corpus(cost.corpus), learners.learner(cost.model)
        found = measure(cost, corpus, learner, learners.embedder(cost.model))
        found["seconds"] = time.process_time() - begun
        pieces.keep(cost.key, found)
        print(cost, f"{found['seconds']:.0f} s", flush=True)


def use_one_core():
    """Let torch use one core: bits, and the hours that are stated, are those of one."""
    import torch

    torch.set_num_threads(1)


if __name__ == "__main__":
    main()
