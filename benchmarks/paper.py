"""FairSISA's study on HateXplain, reproduced and taken further.

Does an ensemble that can forget treat groups less equally than one model does? Does
post-processing repair it, on people it has not seen? What does forgetting cost, and
what does it do to fairness?

``python benchmarks/paper.py`` runs the CPU edition: heads over the frozen vectors of
MiniLM, 1, 5 and 20 shards, 5 folds. ``--gpu`` fine-tunes transformers instead,
``--edition fine-tuned-small`` does that at a size that one core trains in three hours,
and ``--quick`` runs any of them at toy size. A run that was interrupted continues where
it stopped: each ensemble trained is a piece (see ``_pieces.py``). Your own rows and
model:

    python benchmarks/paper.py --csv rows.csv --text comment --target toxic \
        --attributes gender --models /folder/of/a/model
"""

import argparse
import time
from pathlib import Path

from _common import RESULTS
from _paper.judging import judge_all
from _paper.learners import EDITIONS, find_learner
from _paper.pictures import draw_pictures
from _paper.summaries import describe_run, summarise, write_tables
from _paper.tasks import load_tasks
from _paper.units import plan_units, run_units


def make_parser():
    """Return the parser of the command line."""
    summary, _, rest = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    data = parser.add_argument_group("data")
    data.add_argument(
        "--tasks",
        nargs="+",
        choices=("hatexplain", "tabular"),
        help="default: the edition's",
    )
    data.add_argument("--data-home", help="folder of HateXplain's files")
    data.add_argument("--csv", help="rows of your own, instead of the tasks")
    data.add_argument("--text", help="column of the CSV with texts; default: numbers")
    data.add_argument("--target", help="column of the CSV with two labels")
    data.add_argument(
        "--attributes", nargs="+", help="sensitive attributes (default: all)"
    )
    data.add_argument(
        "--max-rows",
        type=int,
        help="rows to draw of each task, evenly over labels and groups",
    )
    data.add_argument(
        "--min-group-rows",
        type=int,
        help="rows of each label that a group needs (default: the edition's)",
    )
    model = parser.add_argument_group("model")
    model.add_argument(
        "--edition", choices=EDITIONS, default="frozen", help="(default: %(default)s)"
    )
    model.add_argument(
        "--gpu",
        dest="edition",
        action="store_const",
        const="fine-tuned",
        help="fine-tune transformers; the same as --edition fine-tuned",
    )
    model.add_argument(
        "--models",
        nargs="+",
        help="names, folders, hub names (default: the edition's)",
    )
    model.add_argument("--cache", type=Path, help="folder for vectors of frozen models")
    model.add_argument(
        "--shards",
        nargs="+",
        type=int,
        help="numbers of shards (default: the edition's)",
    )
    model.add_argument(
        "--slices", type=int, help="slices per shard (default: the edition's)"
    )
    model.add_argument(
        "--deletions-at",
        nargs="*",
        type=int,
        metavar="SHARDS",
        help="those of the shards at which rows are forgotten (default: the edition's)",
    )
    run = parser.add_argument_group("run")
    run.add_argument(
        "--repeats",
        type=int,
        help="splits of the rows into folds (default: the edition's)",
    )
    run.add_argument("--folds", type=int, help="(default: the edition's)")
    run.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    run.add_argument(
        "--jobs", type=int, default=-1, help="units at once (default: all)"
    )
    run.add_argument("--dask", metavar="ADDRESS", help="scheduler of a Dask cluster")
    run.add_argument("--quick", action="store_true", help="a minute's worth of it")
    run.add_argument("--without-peers", action="store_true", help="our methods only")
    run.add_argument(
        "--output",
        type=Path,
        help="folder of the results (default: one of the edition under results/)",
    )
    return parser


def main(argv=None):
    """Run the study; return what was found."""
    begun = time.perf_counter()
    options = make_parser().parse_args(argv)
    edition = EDITIONS[options.edition]
    if options.quick:
        edition = edition.quick()
    options = edition.fill_in(options)
    options.output = options.output or RESULTS / edition.folder
    options.output.mkdir(parents=True, exist_ok=True)
    tasks = load_tasks(options)
    learners = [find_learner(name, edition, options) for name in options.models]
    units = plan_units(tasks, learners, options)
    answers, n_trained = run_units(units, tasks, learners, options)
    judged = judge_all(answers, tasks, options)
    found = summarise(judged, answers, tasks, learners, options)
    draw_pictures(found, options.output)
    found["run"] = describe_run(options, units, n_trained, time.perf_counter() - begun)
    write_tables(found, options)
    return found


if __name__ == "__main__":
    main()
