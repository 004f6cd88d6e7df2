"""What forgetting costs: heads over frozen vectors, last layers, everything trained.

Seconds are those of the processor, on one core. One pass is made over each slice, not
the three of the study: passes multiply the seconds of a fit and of a deletion alike.
"""

import time
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.linear_model import SGDClassifier

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.sisa._plan import expected_replay_cost

from .corpora import folds_of
from .plan import QUICK

HEADS, TAILS, EVERYTHING = "heads", "last layer", "everything"
# Heads are trained for as many passes as `python -m sklearn_fairsisa --frozen` makes.
_PASSES = {HEADS: 20}
_SEED = 0


@dataclass(frozen=True)
class Cost:
    """An ensemble of which rows are forgotten to see what it takes.

    Parameters
    ----------
    corpus, model : str
    what : str
        `HEADS`, `TAILS` or `EVERYTHING`.
    n_shards, n_slices : int
    one_shard : bool, default=False
        Whether only the first shard is trained. Its fit is then one of `n_shards`, and
        the fit of all is extrapolated.
    n_singles : int, default=3
        Rows that are forgotten one by one.
    batches : tuple of int, default=(5, 20, 40)
        Numbers of rows that are erased one by one and relearnt at once.
    """

    corpus: str
    model: str
    what: str
    n_shards: int
    n_slices: int
    one_shard: bool = False
    n_singles: int = 3
    batches: tuple = (5, 20, 40)

    @property
    def key(self):
        """Key of the piece."""
        key = {"study": "costs", **asdict(self)}
        return key | {"one_shard": self.one_shard or None, "batches": [*self.batches]}


def cost_cells(steps):
    """Return what is measured beside some steps, what takes least first."""
    corpus, model, shards = "hatexplain", "minilm", (5, 20)
    if QUICK in steps:
        corpus, model, shards = "generated", "tiny", (3,)
    plans = [(s, r) for r in (1, 4) for s in shards]
    return [
        *(Cost(corpus, model, HEADS, *plan, n_singles=20) for plan in plans),
        *(Cost(corpus, model, TAILS, s, r, batches=_batches(s, r)) for s, r in plans),
        *(
            Cost(corpus, _whole(model), EVERYTHING, s, 1, True, 1, ())
            for s in reversed(shards)
        ),
    ]


def _batches(n_shards, n_slices):
    # Where slices multiply the visits, more rows would only reach every shard.
    if n_slices == 1:
        return 5, 20, 40
    return (5, 20) if n_shards > 5 else (5,)


def _whole(model):
    return model if model == "tiny" else f"{model}-whole"


def measure(cost, corpus, learner, embedder):
    """Fit an ensemble, forget rows, and return what it took.

    Parameters
    ----------
    cost : Cost
    corpus : Corpus
    learner : classifier
        Of texts.
    embedder : transformer
        Turns texts into vectors, for heads.

    Returns
    -------
    dict
        Seconds and sample visits of the fit, of the rows forgotten one by one
        ("singles") and of those relearnt at once ("batches").
    """
    rows = folds_of(corpus, _SEED)[0][0]
    order = np.random.default_rng(_SEED).permutation(len(rows))
    if cost.one_shard:
        rows = rows[np.sort(order[: len(rows) // cost.n_shards])]
        order = np.random.default_rng(_SEED).permutation(len(rows))
    texts, y = corpus.texts[rows].tolist(), corpus.y[rows]
    if cost.what == HEADS:
        X, learner = embedder.transform(texts), SGDClassifier(loss="log_loss")
    else:
        X = texts
        # States below the last layer are computed once, before anything is timed.
        _fill_cache(learner, texts, y)
    sisa = SISAClassifier(
        clone(learner),
        n_shards=1 if cost.one_shard else cost.n_shards,
        n_slices=cost.n_slices,
        epochs=_PASSES.get(cost.what, 1),
        random_state=_SEED,
    )
    _, seconds = _timed(sisa.fit, X, y)
    found = {
        "rows": len(rows),
        "fit_seconds": seconds,
        "fit_visits": sisa.full_sample_visits_,
        "singles": [],
        "batches": [],
    }
    row = iter(order.tolist())
    for size in (1,) * cost.n_singles + cost.batches:
        part = "singles" if size == 1 else "batches"
        found[part].append(_forget(sisa, [next(row) for _ in range(size)]))
    return found


def _fill_cache(learner, texts, y):
    if learner.trainable_layers is not None:
        few = np.concatenate([np.flatnonzero(y == label)[:8] for label in (0, 1)])
        one = clone(learner).set_params(max_epochs=1, random_state=_SEED)
        one.fit([texts[i] for i in few], y[few]).predict(texts)


def _forget(sisa, rows):
    """Erase rows, each by a request of its own, and relearn at once."""
    erased = sum(_timed(sisa.forget, [row], relearn=False)[1] for row in rows)
    visits = int(sisa.behind_["sample_visits"].sum())
    _, relearnt = _timed(sisa.relearn)
    return {
        "rows": len(rows),
        "erase_seconds": erased,
        "relearn_seconds": relearnt,
        "visits": visits,
        "share_of_visits": visits / sisa.full_sample_visits_,
    }


def _timed(call, *args, **kwargs):
    begun = time.process_time()
    returned = call(*args, **kwargs)
    return returned, time.process_time() - begun


def count_pieces(costs, pieces):
    """Rows with the pieces that there are and that are planned, and their seconds."""
    rows = {}
    for cost in costs:
        key = cost.corpus, cost.model, cost.n_shards
        about = {"step": "costs", **dict(zip(("corpus", "model", "S"), key))}
        row = rows.setdefault(key, {**about, "pieces": 0, "of": 0, "seconds": 0.0})
        row["of"] += 1
        found = pieces.read(cost.key)
        if found is not None:
            row["pieces"] += 1
            row["seconds"] += found["seconds"]
    return list(rows.values())


def describe(costs, pieces):
    """Rows with what forgetting costs beside a fit, for one row and for several.

    Where one shard was trained, a fit is as many of it as there are shards; see
    ``extrapolated``.
    """
    rows = []
    for cost in costs:
        found = pieces.read(cost.key)
        if found is None:
            continue
        n_fits = cost.n_shards if cost.one_shard else 1
        fit = n_fits * found["fit_seconds"]
        single = np.mean([_seconds(one) for one in found["singles"]])
        for requests in (found["singles"], *([batch] for batch in found["batches"])):
            table = pd.DataFrame(requests).mean()
            size, seconds = int(table["rows"]), _seconds(table)
            rows.append(
                {
                    "what": cost.what,
                    "S": cost.n_shards,
                    "R": cost.n_slices,
                    "rows": size,
                    "times": len(requests),
                    "fit_seconds": fit,
                    "erase_ms": 1000 * table["erase_seconds"] / size,
                    "relearn_seconds": table["relearn_seconds"],
                    "share_of_fit": seconds / fit,
                    "share_of_visits": table["share_of_visits"] / n_fits,
                    "expected": expected_replay_cost(
                        cost.n_shards, cost.n_slices, size
                    ),
                    "of_singles": seconds / (size * single),
                    "extrapolated": cost.one_shard,
                }
            )
    return rows


def _seconds(request):
    return request["erase_seconds"] + request["relearn_seconds"]
