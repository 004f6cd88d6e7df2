"""How well ensembles were trained, what deletions cost, and how many pieces exist."""

import numpy as np
import pandas as pd

from .judging import attributes_of
from .training import cells_of


def describe_training(cells, pieces):
    """Rows with quality of the ensembles, means over seeds and folds, and seconds.

    Seconds are the least: the first training of a model runs its frozen layers, too.
    """
    rows = []
    for cell in cells:
        found = pieces.read(cell.key)
        if found is None or cell.deletion is not None:
            continue
        of_members = found["quality"]["member_balanced_accuracy"]
        rows.append(
            {
                "corpus": cell.corpus,
                "model": cell.model,
                "S": cell.n_shards,
                "held_out": cell.holds_out,
                "passes": found["passes"],
                "folds": 1,
                "balanced_accuracy": found["quality"]["balanced_accuracy"],
                "auc": found["quality"]["auc"],
                "of_members": np.mean(of_members),
                "members_alike": found["quality"]["members_alike"],
                "fit_seconds": found["fit_seconds"],
                "score_seconds": found["score_seconds"],
            }
        )
    if not rows:
        return []
    keys = ["corpus", "model", "S", "held_out", "passes"]
    how = dict.fromkeys(rows[0].keys() - set(keys), "mean")
    how |= {"folds": "sum", "members_alike": "sum"}
    how |= {"fit_seconds": "min", "score_seconds": "min"}
    table = pd.DataFrame(rows).groupby(keys, sort=False).agg(how).reset_index()
    return table[list(rows[0])].to_dict("records")


def describe_groups(names, corpora):
    """Rows with the number of people of each compared group, by label.

    Parameters
    ----------
    names : list of str
        Of corpora.
    corpora : callable
        Returns the corpus of a name.
    """
    return [
        {
            "corpus": corpus.name,
            "attribute": attribute,
            "group": group,
            "positive": int(np.sum(corpus.y[groups == group] == 1)),
            "negative": int(np.sum(corpus.y[groups == group] == 0)),
        }
        for corpus in map(corpora, names)
        for attribute, groups in corpus.groups.items()
        for group in corpus.names(attribute)
    ]


def describe_scores(cells, decisions):
    """Rows with the area under the ROC curve within each group, means over folds.

    Over those folds that all numbers of shards have, of those that have any.
    """
    rows = []
    for cell in cells:
        if cell.deletion is not None or cell.holds_out:
            continue
        for attribute in attributes_of(cell):
            found = decisions.read({**cell.key, "attribute": attribute})
            rows += [
                {
                    "corpus": cell.corpus,
                    "model": cell.model,
                    "attribute": attribute,
                    "S": cell.n_shards,
                    "split": (cell.seed, cell.fold),
                    "group": group,
                    "auc": area,
                }
                for group, area in (found["aucs"] if found else {}).items()
            ]
    if not rows:
        return []
    table, keys = pd.DataFrame(rows), ["corpus", "model", "attribute"]
    n_shards = table.groupby(keys)["S"].transform("nunique")
    has = table.groupby([*keys, "split"])["S"].transform("nunique")
    table = table[has == n_shards].groupby([*keys, "S", "group"], sort=False)["auc"]
    return table.agg(["mean", "count"]).reset_index().to_dict("records")


def describe_deletions(cells, pieces):
    """Rows with the cost of deletions, means over folds."""
    rows = []
    for cell in cells:
        last = cells_of(cell)[-1]
        found = pieces.read(last.key) if cell.deletion else None
        for request in [] if found is None else found["requests"]:
            rows.append(
                {
                    "corpus": cell.corpus,
                    "model": cell.model,
                    "S": cell.n_shards,
                    "deletion": cell.deletion,
                    "request": "one row" if request["rows"] == 1 else "many rows",
                    "visits": request["visits"],
                    "expected_visits": request["expected_visits"],
                    "share_of_fit": request["seconds"] / found["fit_seconds"],
                }
            )
    if not rows:
        return []
    keys = ["corpus", "model", "S", "deletion", "request"]
    return (
        pd.DataFrame(rows)
        .groupby(keys, sort=False)
        .mean()
        .reset_index()
        .to_dict("records")
    )


def count_pieces(steps, pieces):
    """Rows with the pieces that each step has and needs, by number of shards.

    Parameters
    ----------
    steps : dict of str to list of Cell
    pieces : Pieces

    Returns
    -------
    list of dict
        With the seconds that the pieces took.
    """
    rows = {}
    for step, cells in steps.items():
        for cell in cells:
            key = step, cell.corpus, cell.model, cell.n_shards
            about = dict(zip(("step", "corpus", "model", "S"), key))
            row = rows.setdefault(key, {**about, "pieces": 0, "of": 0, "seconds": 0.0})
            found = [pieces.read(part.key) for part in cells_of(cell)]
            row["of"] += len(found)
            row["pieces"] += sum(part is not None for part in found)
            row["seconds"] += _seconds([part for part in found if part is not None])
    return list(rows.values())


def _seconds(parts):
    """Return the seconds of a training and of all that followed it."""
    if not parts:
        return 0.0
    # The last part lists the requests of those before.
    requests = parts[-1].get("requests", ())
    return (
        parts[-1]["fit_seconds"]
        + sum(request["seconds"] for request in requests)
        + sum(part["score_seconds"] for part in parts)
    )
