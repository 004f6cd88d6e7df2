"""Do shards make language models less fair, and what repairs it?

    SKLEARN_FAIRSISA_DATA=<folder> python benchmarks/language_models.py --cache <folder>

Trains ensembles of language models, one at a time on one core, and keeps the logits of
their members as pieces (see ``_pieces.py``): a run that was stopped continues with the
next ensemble. Then every rule is solved on these logits and judged on people not seen,
and tables and pictures of all pieces are written. ``--only train`` and ``--only judge``
do one of the two. The page *Design of the study with real weights* says what is
trained, and why. ``--steps quick`` takes seconds.
"""

import argparse
import os
import time
from functools import cache
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from _common import RESULTS
from _language_models.corpora import load_corpus
from _language_models.models import make_learner
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
    parser.add_argument("--only", choices=("train", "judge"), help="(default: both)")
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
    if options.only != "judge":
        train_missing(cells, pieces, options)
    if options.only == "train":
        return None
    # Training needs none of the peers that judging imports.
    from _language_models.judging import judge_missing
    from _language_models.writing import write

    decisions = Pieces(options.output / "decisions")
    judge_missing(cells, pieces, decisions, with_peers=not options.without_peers)
    return write(options, pieces, decisions)


def train_missing(cells, pieces, options):
    """Train the cells that no piece holds yet."""
    import torch

    # Bits, and the hours that are stated, are those of one core.
    torch.set_num_threads(1)
    begun, corpus_of = time.monotonic(), cache(load_corpus)
    folders = dict(given.split("=", 1) for given in options.weights)
    for cell in cells:
        if all(part.key in pieces for part in cells_of(cell)):
            continue
        if (
            options.hours is not None
            and time.monotonic() - begun > 3600 * options.hours
        ):
            break
        learner = make_learner(cell.model, cache=options.cache, folders=folders)
        passes = passes_for(
            cell.corpus,
            cell.model,
            cell.n_shards,
            pieces,
            lambda name, learner=learner: (corpus_of(name), learner),
        )
        corpus = corpus_of(cell.corpus)
        for part, found in train(cell, corpus, learner, passes):
            pieces.keep(part.key, found)
            quality = found["quality"]
            print(
                part.key,
                f"balanced accuracy {quality['balanced_accuracy']:.3f}, "
                f"AUC {quality['auc']:.3f}, {quality['members_alike']} members alike, "
                f"{found['fit_seconds']:.0f} + {found['score_seconds']:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
