"""What a fair rule over language models gains from the vectors of the frozen network.

    SKLEARN_FAIRSISA_DATA=<folder> python benchmarks/text_vectors.py --shards 5 20

The default's heads know the group. Over members with a pretrained trunk they read the
vectors that the network gives for texts, otherwise hashed words. Both are solved here
on the members' logits that the study of language models keeps (``language_models.py``),
of MiniLM on HateXplain. Then they decide on people whom neither members nor rule have
seen, with the group and without it. Intervals are over people.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from _common import RESULTS, add_output_argument, print_table, write_result
from _language_models.cases import Decided
from _language_models.corpora import N_FOLDS, frozen_vectors, load_corpus
from _language_models.intervals import interval, sample
from _language_models.models import make_embedder
from _language_models.plan import ATTRIBUTES
from _language_models.rules import DEFAULT, WITHOUT_GROUP, decide
from _language_models.training import Cell, known_rows
from _pieces import Pieces

CORPUS, MODEL, SEED = "hatexplain", "minilm", 0
WORDS, VECTORS = "words", "vectors"
ONE_SEED = 0.0, 0


def main():
    args = parse_arguments()
    torch.set_num_threads(1)
    corpus = load_corpus(CORPUS)
    vectors = frozen_vectors(corpus, make_embedder(MODEL, cache=args.cache))
    rows = [
        row
        for n_shards in args.shards
        for attribute in ATTRIBUTES[CORPUS]
        for row in compare(corpus, vectors, attribute, n_shards, args.folds)
    ]
    print_table(rows)
    write_result(args.output, args, {"rows": rows})


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", nargs="+", type=int, default=[5, 20])
    parser.add_argument("--folds", type=int, default=N_FOLDS)
    parser.add_argument("--cache", type=Path, help="folder for vectors")
    add_output_argument(parser, "text_vectors")
    return parser.parse_args()


def compare(corpus, vectors, attribute, n_shards, n_folds):
    """Yield a row for each evidence, with the group and without it."""
    pieces = Pieces(RESULTS / "language_models" / "pieces")
    decided = Decided({}, {}, {}, {})
    for fold in range(n_folds):
        cell = Cell(CORPUS, MODEL, n_shards, SEED, fold)
        *_, compared = cell.rows(corpus)
        people = compared[known_rows(corpus, attribute, compared)].tolist()
        decided.fold_of.update(dict.fromkeys(people, fold))
        found = pieces.read(cell.key)
        for evidence, given in ((WORDS, None), (VECTORS, vectors)):
            decisions, _ = decide(cell, corpus, found, attribute, {}, given)
            for rule in (DEFAULT, WITHOUT_GROUP):
                own = decided.decisions.setdefault((rule, evidence), {})
                own.update(zip(people, decisions[rule][0]))
        print(f"S = {n_shards}, {attribute}: {fold + 1} of {n_folds}", flush=True)
    people = [np.array(sorted(decided.fold_of))]
    names = list(decided.decisions)
    samples = dict(
        zip(names, sample([decided], names, people, corpus, attribute), strict=True)
    )
    for rule in (DEFAULT, WITHOUT_GROUP):
        words, read = samples[rule, WORDS], samples[rule, VECTORS]
        row = {"S": n_shards, "attribute": attribute, "rule": rule}
        for what in ("gap", "balanced_accuracy"):
            before, after = getattr(words, what), getattr(read, what)
            more, low, high = interval(after - before, ONE_SEED)
            row |= {
                f"{what}, words": before[0, 0],
                f"{what}, vectors": after[0, 0],
                f"{what}, more": f"{more:+.3f} [{low:+.3f}, {high:+.3f}]",
            }
        yield {**row, "floor": read.floor, "people": read.n_people}


if __name__ == "__main__":
    main()
