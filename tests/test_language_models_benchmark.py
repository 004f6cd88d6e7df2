"""The runner of the study of language models, on a tiny one."""

import importlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier

pytest.importorskip("torch")
pytest.importorskip("transformers")
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def module():
    """Return a function that imports a module of the study."""
    if not BENCHMARKS.is_dir():
        pytest.skip("the benchmarks are part of the repository, not of the package")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield lambda name: importlib.import_module(f"_language_models.{name}")


@pytest.fixture(scope="module")
def study(module):
    return importlib.import_module("language_models").main


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return ["--steps", "quick", "--without-peers", "--output", str(folder)]


@pytest.fixture(scope="module")
def found(study, arguments):
    return study(arguments)


def test_every_ensemble_is_judged_and_tables_and_a_picture_are_written(
    found, arguments
):
    folder = Path(arguments[-1])
    assert found["progress"] == [{"step": "quick", "pieces": 5, "of": 5}]
    rules = pd.DataFrame(found["rules"])
    # A single model that held no rows out has nothing to calibrate on.
    alone = rules[(rules["n_shards"] == 1) & ~rules["holds_out"]]
    assert set(alone["rule"]) == {"none", "none, majority"}
    many = rules[(rules["n_shards"] == 3) & rules["deletion"].isna()]
    assert {"default", "none, best threshold", "ensemble"} < set(many["rule"])
    assert set(rules["share"].dropna()) == {0.05, 0.2}
    assert (folder / "generated_tiny.png").exists()
    written = json.loads((folder / "language_models.json").read_text())
    assert len(written["rules"]) == len(rules)


def test_a_study_that_was_stopped_goes_on_where_it_stopped(study, found, arguments):
    folder = Path(arguments[-1])
    lost, *kept = sorted((folder / "pieces").iterdir())
    lost_bytes, before = lost.read_bytes(), [path.stat().st_mtime_ns for path in kept]
    lost.unlink()
    again = study(arguments)
    assert [path.stat().st_mtime_ns for path in kept] == before
    logits = [
        json.loads(text)["found"]["test"] for text in (lost_bytes, lost.read_bytes())
    ]
    assert logits[0] == logits[1]
    pd.testing.assert_frame_equal(
        pd.DataFrame(found["rules"]), pd.DataFrame(again["rules"])
    )


@pytest.mark.parametrize("deletion", [None, "uniform"])
def test_rules_over_kept_logits_decide_as_over_the_ensemble(module, deletion):
    training, corpora = module("training"), module("corpora")
    X, y = make_classification(600, random_state=0, class_sep=0.5)
    texts = np.array([f"word{i}" for i in range(600)], dtype=object)
    group = np.where(X[:, 0] > 0, "a", "b").astype(object)
    group[::7] = None
    corpus = corpora.Corpus("known", texts, y, {"group": group})
    of_text = dict(zip(texts, X))

    class Linear(LogisticRegression):
        def fit(self, X, y, classes=None):
            return super().fit([of_text[text] for text in X], y)

        def predict_proba(self, X):
            score = super().predict_proba([of_text[text] for text in X])[:, 1]
            # Rounded as kept ones are, so that decisions must agree in all digits.
            score = training.to_scores(training.to_logits(score))
            return np.column_stack([1 - score, score])

    cell = training.Cell("known", "linear", 3, seed=0, fold=1, deletion=deletion)
    (part, kept), *_ = training.train(cell, corpus, Linear(), passes=None)
    replayed = module("replay").replayed(part, corpus, kept)
    train, test, *_ = part.rows(corpus)
    sisa = SISAClassifier(Linear(), n_shards=3, random_state=part.random_state)
    sisa.fit(texts[train].tolist(), y[train])
    if deletion:
        order = training.order_of_deletion(part, corpus, train)
        sisa.forget(order[: round(0.05 * len(train))])
    people = test[corpora.is_known(group[test])]
    decided = [
        FairEnsemblePostprocessor(unknown_group="unconstrained", random_state=0)
        .attach(ensemble, sensitive_features=group[train], name="rule")
        .selection_probability(texts[people].tolist(), sensitive_features=group[people])
        for ensemble in (sisa, replayed)
    ]
    np.testing.assert_allclose(*decided, atol=1e-9)
    assert np.ptp(decided[0]) > 0.5


def test_logits_survive_packing_and_no_vote_changes(module):
    training = module("training")
    scores = np.array([[0.5, 0.5 + 1e-7, 0.5 - 1e-7], [1.0, 0.0, 0.731]])
    logits = training.to_logits(scores)
    np.testing.assert_array_equal(training.unpack(training.pack(logits)), logits)
    returned = training.to_scores(logits)
    np.testing.assert_array_equal(returned > 0.5, scores > 0.5)
    np.testing.assert_allclose(returned, scores, atol=1e-3)


def test_fewer_passes_are_chosen_unless_more_are_better_beyond_noise(module):
    choose = module("pilot").choose
    assert choose([0.700, 0.704, 0.690]) == 3
    assert choose([0.700, 0.706, 0.710]) == 6
    assert choose([0.5, 0.6, 0.7]) == 12


def test_as_many_people_are_selected_as_by_the_single_model(module):
    summaries = module("summaries")
    fold_of = {0: 0, 1: 0, 2: 0, 3: 1, 4: 1}
    one = summaries.Decided(
        fold_of, {"none": {0: 1.0, 1: 0.0, 2: 0.0, 3: 1.0, 4: 1.0}}, {}, {}
    )
    means = {0: 0.1, 1: 0.2, 2: 0.3, 3: 0.05, 4: 0.01}
    chosen = summaries.select_as_many(
        one, summaries.Decided(fold_of, {}, {}, means), np.arange(5)
    )
    assert chosen.decisions["none"] == {0: 0.0, 1: 0.0, 2: 1.0, 3: 1.0, 4: 1.0}


def test_resamples_keep_the_people_of_each_label_and_group(module):
    summaries = module("summaries")
    y, code = np.repeat([0, 1, 1], [3, 4, 5]), np.repeat([0, 0, 1], [3, 4, 5])
    counts = summaries.resampled(np.linspace(0, 1, 12), y, code, 2)
    np.testing.assert_array_equal(counts[:, 0], np.tile([[3, 0], [4, 5]], (1001, 1, 1)))
    own = np.linspace(0, 1, 12)[7:]
    drawn = counts[1:, 1, 1, 1]
    assert drawn.mean() == pytest.approx(own.sum(), abs=0.1)
    assert drawn.std() == pytest.approx(own.std() * 5**0.5, rel=0.1)


def test_the_spread_over_seeds_is_pooled_over_a_family(module):
    summaries = module("summaries")
    assert summaries.spread_over_seeds([np.array([0.3])]) == (0.0, 0)
    deviation, freedom = summaries.spread_over_seeds(
        [np.array([0.0, 0.2]), np.array([1.0, 1.4])]
    )
    # Variances .02 and .08, one degree of freedom each.
    assert (deviation, freedom) == (pytest.approx(0.05**0.5), 2)


@pytest.mark.parametrize(
    ("change", "low", "high", "verdict"),
    [
        (0.1, 0.02, 0.2, "less fair"),
        (0.1, 0.02, 0.04, "less fair"),
        (0.03, 0.02, 0.2, "undecided"),
        (0.01, -0.02, 0.04, "not less fair"),
        (-0.1, -0.2, 0.06, "undecided"),
    ],
)
def test_less_fair_must_exceed_interval_and_noise(module, change, low, high, verdict):
    found = module("summaries").verdict_on_shards(change, low, high, floor=0.05)
    assert found == verdict


def test_confirmation_data_choose_no_passes(module):
    chosen = []
    pilot = module("pilot")

    class Kept:
        def read(self, key):
            chosen.append(key["corpus"])
            return {"balanced_accuracy": 0.7}

    assert pilot.passes_for("redditbias", "minilm", 20, Kept(), None) == 3
    assert set(chosen) == {"hatexplain"}
