"""Ensembles trained one at a time, of which the members' logits are kept."""

import lzma
import time
import warnings
from dataclasses import asdict, dataclass, replace

import numpy as np
from scipy.special import expit, logit
from sklearn.base import clone
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.sisa._plan import expected_replay_cost

from .corpora import folds_of, is_known

HELD_OUT = 0.2
SHARES = (0.05, 0.2)
SINGLE_REQUESTS = 1
# Logits are kept in multiples of its inverse.
_STEPS = 256
_CLIP = 1e-6
# A member that decides the same for more than this share of people has not learnt.
ALIKE = 0.98


@dataclass(frozen=True)
class Cell:
    """An ensemble to train.

    Parameters
    ----------
    corpus, model : str
    n_shards, seed, fold : int
    holds_out : bool, default=False
        Whether some training rows are held out to calibrate on, as a single model
        needs; otherwise the members of other shards score a row.
    deletion : str or None, default=None
        Which rows are forgotten: "uniform" or "attribute=group", which begins with
        that group's.
    share : float or None, default=None
        Share of the training rows that is forgotten.
    """

    corpus: str
    model: str
    n_shards: int
    seed: int
    fold: int
    holds_out: bool = False
    deletion: str | None = None
    share: float | None = None

    @property
    def key(self):
        """Key of the cell's piece."""
        # What is None does not appear in the name of the file.
        return {**asdict(self), "holds_out": self.holds_out or None}

    @property
    def random_state(self):
        """Seed of plan and members."""
        return 10 * self.seed + self.fold

    def rows(self, corpus):
        """Return the training rows, the test rows, and the compared ones of both."""
        train, test = folds_of(corpus, self.seed)[self.fold]
        compared = corpus.compared
        return train, test, train[compared[train]], test[compared[test]]


def cells_of(cell):
    """Return the cells that one training yields: one for each of `SHARES` forgotten."""
    if cell.deletion is None:
        return [cell]
    return [replace(cell, share=share) for share in SHARES]


def train(cell, corpus, learner, passes):
    """Train an ensemble, and yield its cells with what is kept of each.

    Yields
    ------
    cell : Cell
        See `cells_of`.
    found : dict
        ``calibration`` and ``test`` (packed logits, see `unpack`), seconds of the
        processor, sample visits, and ``quality`` on all test rows.
    """
    train, *_ = cell.rows(corpus)
    begun = time.process_time()
    sisa, held_out = fit(cell, corpus, learner, train, passes)
    found = {
        "passes": passes,
        "fit_seconds": time.process_time() - begun,
        "fit_visits": sisa.full_sample_visits_,
    }
    if cell.deletion is None:
        yield cell, found | scores_of(cell, corpus, sisa, held_out)
        return
    order = order_of_deletion(cell, corpus, train)
    requests = [forget(sisa, [row]) for row in order[:SINGLE_REQUESTS]]
    for part in cells_of(cell):
        requests.append(forget(sisa, forgotten_rows(part, order)))
        kept = scores_of(cell, corpus, sisa, held_out)
        yield part, found | kept | {"requests": requests.copy()}


def forgotten_rows(cell, order):
    """Return the positions of the training rows that a cell has forgotten."""
    return order[: round(cell.share * len(order))]


def fit(cell, corpus, learner, train, passes):
    """Return the fitted ensemble, and the training rows that it held out, or None."""
    texts, y = corpus.texts[train].tolist(), corpus.y[train]
    sisa = SISAClassifier(
        clone(learner),
        n_shards=cell.n_shards,
        epochs=passes,
        random_state=cell.random_state,
    )
    if not cell.holds_out:
        return sisa.fit(texts, y), None
    # Rows are held out from an ensemble by its post-processor alone.
    groups = next(iter(corpus.groups.values()))[train]
    fair = FairEnsemblePostprocessor(sisa, **held_out_params(cell))
    with warnings.catch_warnings():
        # This rule is not used.
        warnings.simplefilter("ignore")
        fair.fit(texts, y, sensitive_features=groups)
    return fair.estimator_, np.sort(fair.estimator_.plan_.rows(-1))


def held_out_params(cell):
    """Return parameters of a post-processor that holds rows out."""
    return {
        "method": "aggregate_then_postprocess",
        "calibration": HELD_OUT,
        "unknown_group": "unconstrained",
        "random_state": cell.random_state,
    }


def scores_of(cell, corpus, sisa, held_out):
    """Return logits and quality of an ensemble's members."""
    train, test, calibrating, compared = cell.rows(corpus)
    begun = time.process_time()
    scores = sisa.transform(corpus.texts[test].tolist())
    own = np.searchsorted(train, calibrating)
    if held_out is not None:
        calibrating = calibrating[np.isin(own, held_out)]
    known = to_logits(sisa.transform(corpus.texts[calibrating].tolist()))
    if held_out is None:
        # A member's score of a row that it learnt from is not used.
        known[np.arange(len(own)), sisa.plan_.shard_of(own)] = 0
        known[np.isin(own, sisa.forgotten_)] = 0
    return {
        "calibration": pack(known),
        "test": pack(to_logits(scores[np.isin(test, compared)])),
        "score_seconds": time.process_time() - begun,
        "quality": quality(corpus.y[test], scores),
    }


def quality(y, scores):
    """Return how well an ensemble and its members classify."""
    mean, votes = scores.mean(axis=1), scores > 0.5
    share = votes.mean(axis=0)
    return {
        "balanced_accuracy": balanced_accuracy_score(y, mean > 0.5),
        "auc": roc_auc_score(y, mean),
        "member_balanced_accuracy": [balanced_accuracy_score(y, v) for v in votes.T],
        "members_alike": int(np.sum(np.maximum(share, 1 - share) > ALIKE)),
    }


def forget(sisa, rows):
    """Forget rows; return what it cost."""
    begun = time.process_time()
    sisa.forget(rows)
    report = sisa.forget_log_[-1]
    return {
        "rows": len(report.rows),
        "visits": report.sample_visits / report.full_sample_visits,
        "expected_visits": expected_replay_cost(
            sisa.n_shards, sisa.n_slices, len(report.rows)
        ),
        "seconds": time.process_time() - begun,
    }


def order_of_deletion(cell, corpus, train):
    """Return positions of the training rows, those forgotten first coming first."""
    rng = np.random.default_rng((cell.seed, cell.fold))
    order = rng.permutation(len(train))
    if cell.deletion == "uniform":
        return order
    attribute, group = cell.deletion.split("=", 1)
    inside = corpus.groups[attribute][train] == group
    return order[np.argsort(~inside[order], kind="stable")]


def to_logits(scores):
    """Return logits in whole steps; no rounding changes a vote."""
    exact = _STEPS * logit(np.asarray(scores, dtype=np.float64).clip(_CLIP, 1 - _CLIP))
    whole = np.rint(exact)
    whole[(whole == 0) & (exact > 0)] = 1
    return whole.astype(np.int16)


def to_scores(logits):
    """Return the scores of whole steps."""
    return expit(logits / _STEPS)


def pack(logits):
    """Return whole logits of shape (n_rows, n_members), compressed."""
    # Member by member, since those of a member are alike.
    return {"shape": logits.shape, "packed": pack_bytes(logits.T.astype("<i2"))}


def unpack(kept):
    """Return the logits that were packed."""
    n_rows, n_members = kept["shape"]
    return unpack_bytes(kept["packed"], "<i2").reshape(n_members, n_rows).T


def pack_bytes(whole):
    """Return numbers of two bytes, compressed."""
    # High bytes first: they repeat, low ones do not.
    pairs = np.ascontiguousarray(whole).view(np.uint8).reshape(-1, 2)
    packed = lzma.compress(pairs.T.tobytes(), preset=9)
    return np.frombuffer(packed, dtype=np.uint8)


def unpack_bytes(packed, dtype):
    """Return the numbers that `pack_bytes` compressed, in one dimension."""
    planes = np.frombuffer(lzma.decompress(packed.tobytes()), dtype=np.uint8)
    return np.ascontiguousarray(planes.reshape(2, -1).T).view(dtype)[:, 0]


def known_rows(corpus, attribute, rows):
    """Return which of some rows are of a compared group of an attribute."""
    return is_known(corpus.groups[attribute][rows])
