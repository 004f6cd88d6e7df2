"""The runner of the study of language models, on a tiny one."""

import importlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
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
    assert [(r["step"], r["S"], r["pieces"]) for r in found["progress"]] == [
        ("quick", 1, 2),
        ("quick", 3, 3),
        ("costs", 3, 5),
    ]
    assert all(row["pieces"] == row["of"] for row in found["progress"])
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


@pytest.mark.parametrize("gives_vectors", [False, True])
@pytest.mark.parametrize("deletion", [None, "uniform"])
def test_rules_over_kept_logits_decide_as_over_the_ensemble(
    module, deletion, gives_vectors
):
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

    if gives_vectors:
        Linear.frozen_vectors = lambda self, X: np.array([of_text[t] for t in X])
    cell = training.Cell("known", "linear", 3, seed=0, fold=1, deletion=deletion)
    (part, kept), *_ = training.train(cell, corpus, Linear(), passes=None)
    vectors = X if gives_vectors else None
    replayed = module("replay").replayed(part, corpus, kept, vectors)
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
    cases, comparisons = module("cases"), module("comparisons")
    fold_of = {0: 0, 1: 0, 2: 0, 3: 1, 4: 1}
    one = cases.Decided(
        fold_of, {"none": {0: 1.0, 1: 0.0, 2: 0.0, 3: 1.0, 4: 1.0}}, {}, {}
    )
    means = {0: 0.1, 1: 0.2, 2: 0.3, 3: 0.05, 4: 0.01}
    chosen = comparisons.select_as_many(
        one, cases.Decided(fold_of, {}, {}, means), np.arange(5)
    )
    assert chosen.decisions["none"] == {0: 0.0, 1: 0.0, 2: 1.0, 3: 1.0, 4: 1.0}


def test_resamples_keep_the_people_of_each_label_and_group(module):
    intervals = module("intervals")
    y, code = np.repeat([0, 1, 1], [3, 4, 5]), np.repeat([0, 0, 1], [3, 4, 5])
    (counts,) = intervals.resampled(np.linspace(0, 1, 12)[None], y, code, 2)
    expected = np.tile([[3, 0], [4, 5]], (1 + intervals.N_RESAMPLES, 1, 1))
    np.testing.assert_array_equal(counts[:, 0], expected)
    own = np.linspace(0, 1, 12)[7:]
    drawn = counts[1:, 1, 1, 1]
    assert drawn.mean() == pytest.approx(own.sum(), abs=0.1)
    assert drawn.std() == pytest.approx(own.std() * 5**0.5, rel=0.1)


def test_the_spread_over_seeds_is_pooled_over_a_family(module):
    intervals = module("intervals")
    assert intervals.spread_over_seeds([np.array([0.3])]) == (0.0, 0)
    deviation, freedom = intervals.spread_over_seeds(
        [np.array([0.0, 0.2]), np.array([1.0, 1.4])]
    )
    # Variances .02 and .08, one degree of freedom each.
    assert (deviation, freedom) == (pytest.approx(0.05**0.5), 2)


@pytest.mark.parametrize(
    ("change", "low", "high", "verdict"),
    [
        (0.1, 0.02, 0.2, "less fair"),
        (0.1, 0.02, 0.04, "less fair"),
        (0.03, 0.02, 0.2, "not decided"),
        (0.01, -0.02, 0.04, "not less fair"),
        (-0.1, -0.2, 0.06, "not decided"),
    ],
)
def test_less_fair_must_exceed_interval_and_noise(module, change, low, high, verdict):
    found = module("comparisons").verdict_on_shards(change, low, high, floor=0.05)
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


def test_the_pieces_of_costs_are_shares_of_a_training(found):
    costs = pd.DataFrame(found["costs"]).set_index(["what", "R", "rows"])
    one = costs.loc["heads", 1, 1]
    assert one["share_of_visits"] == pytest.approx(1 / 3, abs=0.01)
    assert one["of_singles"] == pytest.approx(1)
    # Forty rows reach every shard, and are relearnt once.
    assert costs.loc[("heads", 1, 40), "share_of_visits"] == pytest.approx(1)
    assert costs.loc[("heads", 4, 1), "expected"] == pytest.approx(0.25)
    assert costs["extrapolated"].groupby("what").all().to_dict() == {
        "everything": True,
        "heads": False,
        "last layer": False,
    }
    # A shard alone is visited whole, which is a third of a training.
    whole = costs.loc["everything", 1, 1]
    assert whole["share_of_visits"] == pytest.approx(1 / 3)


def test_costs_that_were_measured_are_not_measured_again(module, tmp_path):
    cells = module("costs").cost_cells(["quick"])
    pieces = importlib.import_module("_pieces").Pieces(tmp_path)
    runner = importlib.import_module("language_models")
    learners = runner.Learners(
        runner.make_parser().parse_args(["--steps", "quick"]),
    )
    runner.measure_missing(cells[:1], pieces, learners, lambda: False)
    assert pieces.counts == {"kept": 0, "measured": 1}
    runner.measure_missing(cells, pieces, learners, lambda: True)
    assert pieces.counts["measured"] == 1


def made_up(module, gaps, *, n_people=2000, folds=5, seeds=1, draw=0, rules=("none",)):
    """Return a corpus and decided cases, whose members select by known rates.

    Parameters
    ----------
    gaps : dict of int to float
        How much more often one of two groups is selected, by number of shards.
    """
    rng, cases = np.random.default_rng(draw), module("cases")
    code, y = rng.integers(0, 2, (2, n_people))
    groups = np.array(["a", "b"], dtype=object)[code]
    texts = np.array([str(i) for i in range(n_people)], dtype=object)
    corpus = module("corpora").Corpus("hatexplain", texts, y, {"religion": groups})
    fold_of = dict(enumerate(rng.integers(0, folds, n_people).tolist()))
    gathered = {}
    # What a person is like is the same for all models.
    alike = rng.random((n_people, 2)).mean(axis=1)
    for n_shards, more in gaps.items():
        of_seeds = {}
        for seed in range(seeds):
            chance = stats.triang(0.5).cdf(alike)
            own = np.where(rng.random(n_people) < 0.5, chance, rng.random(n_people))
            selected = (own < 0.3 + 0.4 * y + more * code).astype(float)
            decided = {rule: dict(enumerate(selected)) for rule in rules}
            decided["none, majority"] = decided[rules[0]]
            means = dict(enumerate(1 - own))
            of_seeds[seed] = cases.Decided({**fold_of}, decided, {}, means)
        case = cases.Case("hatexplain", "minilm", "religion", n_shards)
        gathered[case] = of_seeds
    return corpus, gathered


def shards_of(module, corpus, gathered):
    rows = module("comparisons").compare_shards(gathered, lambda name: corpus)
    return {r["n_shards"]: r for r in rows if r["decision"] == "mean score"}


def test_a_planted_effect_is_found_and_none_is_found_without(module):
    corpus, gathered = made_up(module, {1: 0.02, 5: 0.02, 20: 0.2}, n_people=4000)
    rows = shards_of(module, corpus, gathered)
    assert rows[20]["verdict"] == "less fair"
    assert rows[20]["change"] == pytest.approx(0.18, abs=0.05)
    assert rows[5]["verdict"] in ("not less fair", "not decided")


def test_without_an_effect_less_fair_is_seldom_said(module, monkeypatch):
    # At 95% each: one verdict in forty would be wrong with exact intervals.
    monkeypatch.setattr(module("comparisons"), "is_primary", lambda case: False)
    monkeypatch.setattr(module("intervals"), "N_RESAMPLES", 300)
    wrong = [
        shards_of(module, *made_up(module, {1: more, 5: more}, n_people=800, draw=d))[
            5
        ]["verdict"]
        == "less fair"
        for d in range(40)
        for more in (0.0, 0.1)
    ]
    # Of 80 at a rate of .025, six or more have a chance of 1.6%.
    assert sum(wrong) <= 5


def test_the_interval_of_a_change_is_that_of_a_plain_bootstrap(module):
    corpus, gathered = made_up(module, {1: 0.05, 5: 0.2}, n_people=600)
    row = shards_of(module, corpus, gathered)[5]
    y, code = corpus.y, (corpus.groups["religion"] == "b").astype(int)
    chosen = [
        np.array([of_case[0].decisions["none"][i] for i in range(len(y))])
        for of_case in gathered.values()
    ]

    def plain_gap(selected, rows):
        spread = []
        for label in (0, 1):
            means = [
                selected[rows][(y[rows] == label) & (code[rows] == g)].mean()
                for g in (0, 1)
            ]
            spread.append(abs(means[0] - means[1]))
        return max(spread)

    def change(rows):
        one, many = (plain_gap(selected, rows) for selected in chosen)
        return many - one

    everybody = np.arange(len(y))
    assert row["change"] == pytest.approx(change(everybody))
    rng, strata = np.random.default_rng(5), 2 * y + code
    drawn = [
        change(
            np.concatenate(
                [
                    rng.choice(own, len(own))
                    for own in (np.flatnonzero(strata == s) for s in range(4))
                ]
            )
        )
        for _ in range(4000)
    ]
    low, high = np.quantile(drawn, [0.05 / 16, 1 - 0.05 / 16])
    # Ends this far out are noisy.
    assert row["change_low"] == pytest.approx(low, abs=0.03)
    assert row["change_high"] == pytest.approx(high, abs=0.03)
    assert row["level"] == pytest.approx(1 - 0.05 / 8)


def test_unlike_seeds_widen_the_interval(module):
    intervals = module("intervals")
    values = np.tile([[0.1], [0.3]], (1, 1 + intervals.N_RESAMPLES))
    spread = intervals.spread_over_seeds([values[:, 0]])
    value, low, high = intervals.interval(values, spread)
    # Student's interval of two values with one degree of freedom.
    ends = stats.t.interval(0.95, 1, loc=0.2, scale=stats.sem(values[:, 0]))
    assert (value, low, high) == pytest.approx((0.2, *ends))


@pytest.mark.parametrize(
    ("seeds", "folds", "stage"),
    [
        (2, 5, "final"),
        (1, 5, "provisional"),
        (1, 4, "too few splits"),
        (2, 4, "too few splits"),
    ],
)
def test_verdicts_wait_for_the_folds_of_the_design(
    module, monkeypatch, seeds, folds, stage
):
    corpus, gathered = made_up(module, {1: 0.0, 5: 0.3}, seeds=seeds, folds=folds)
    planned = dict.fromkeys(gathered, 10)
    monkeypatch.setattr(module("cases"), "planned_splits", lambda **_: planned)
    row = shards_of(module, corpus, gathered)[5]
    assert (row["stage"], row["folds"]) == (stage, seeds * folds)
    shown = module("tables").shown_verdict(row, "less fair")
    expected = {
        "final": "less fair",
        "provisional": "less fair, provisionally",
        "too few splits": "none, too few splits",
    }
    assert shown == expected[stage]


def test_a_verdict_waits_for_other_ensembles_of_its_model(module, monkeypatch):
    corpus, gathered = made_up(module, {1: 0.0, 5: 0.3}, seeds=2)
    other = module("cases").Case("hatexplain", "minilm", "race", 20)
    planned = {**dict.fromkeys(gathered, 10), other: 10}
    monkeypatch.setattr(module("cases"), "planned_splits", lambda **_: planned)
    assert shards_of(module, corpus, gathered)[5]["stage"] == "provisional"


@pytest.mark.parametrize(("folds", "stage"), [(5, "final"), (3, "too few splits")])
def test_a_rule_whose_solver_failed_in_a_seed_has_the_other_and_waits_for_none(
    module, folds, stage
):
    cases = module("cases")
    case = cases.Case("redditbias", "minilm", "target", 5)
    finished = {
        planned: {
            seed: cases.Decided(dict(enumerate(range(5))), {}, {}, {})
            for seed in range(n_splits // 5)
        }
        for planned, n_splits in cases.planned_splits().items()
    }
    assert cases.stages(finished)(case, folds, 1) == (10, stage)
    assert cases.stages({})(case, 5, 1) == (10, "provisional")
    of_two = next(c for c in finished if c.model == "smollm2" and c.n_shards == 5)
    assert cases.stages({})(of_two, 2, 1) == (2, "provisional")
    assert cases.stages({})(of_two, 1, 1) == (2, "too few splits")


def test_the_first_look_is_final_until_the_second_is_whole(module):
    cases = module("cases")
    case = cases.Case("hatexplain", "minilm", "race", 5)
    of_looks = {c for c in cases.planned_splits() if cases.is_in_looks(c)}

    def of_seeds(n_seeds):
        decided = cases.Decided(dict(enumerate(range(5))), {}, {}, {})
        return {c: dict.fromkeys(range(n_seeds), decided) for c in of_looks}

    assert cases.stages(of_seeds(1))(case, 5, 1) == (10, "provisional")
    assert cases.stages(of_seeds(2))(case, 10, 2) == (10, "final")
    assert cases.stages(of_seeds(3))(case, 15, 3) == (20, "provisional")
    assert cases.stages(of_seeds(4))(case, 20, 4) == (20, "final")


def test_no_page_shows_a_second_look_before_all_of_it_is_judged(module):
    cases, steps = module("cases"), module("plan").STEPS
    first = [*steps["seed-0"](), *steps["seed-1"](), *steps["smollm2"]()]
    second = [*steps["seed-2"](), *steps["seed-3"]()]

    class Judged:
        def __init__(self, missing):
            self.missing = missing

        def read(self, key):
            is_missing = self.missing.items() <= key.items()
            return None if is_missing else {"asked": ["a peer"]}

    nothing = {"corpus": "none"}
    assert cases.of_whole_looks([*first, *second], Judged(nothing)) == first + second
    one = {"seed": 3, "fold": 4, "n_shards": 20, "attribute": "race"}
    reduction = {"what": "reduction", "seed": 2, "fold": 1}
    for missing in (one, reduction):
        assert cases.of_whole_looks([*first, *second], Judged(missing)) == first
    assert cases.of_whole_looks([*first, *second[1:]], Judged(nothing)) == first
    others = {"seed": 1, "model": "smollm2"}
    assert cases.of_whole_looks(first, Judged(others)) == first


def with_other(module, **changes):
    """Return a corpus and gathered cases of two seeds, and the same of one seed."""
    corpus, gathered = made_up(
        module, {1: 0.0, 5: 0.1}, seeds=2, rules=("none", "default")
    )
    others = {replace(case, **changes): {0: own[0]} for case, own in gathered.items()}
    return corpus, gathered, others


def test_models_of_one_seed_have_the_spread_of_the_primary_model(module):
    corpus, gathered, others = with_other(module, model="smollm2")
    compare, (_, other) = module("comparisons").compare_shards, others
    alone = compare(others, lambda name: corpus)[0]
    assert (alone["over_seeds"], alone["seeds"]) == (False, 1)
    rows = compare({**gathered, **others}, lambda name: corpus)
    row = next(row for row in rows if row["model"] == "smollm2")
    assert (row["over_seeds"], row["seeds"]) == (True, 1)
    assert row["change"] == alone["change"]
    # One change of two seeds; this one is of one seed.
    gaps = [
        [
            module("intervals").gaps(
                [own[seed]], "none", [np.arange(2000)], corpus, "religion"
            )
            for seed in (0, 1)
        ]
        for own in gathered.values()
    ]
    deviation = np.ptp(np.subtract(*gaps)) / 2**0.5
    of_seeds = deviation * stats.t.ppf(0.975, 1)
    below, above = alone["change"] - alone["change_low"], alone["change_high"]
    assert row["change_low"] == pytest.approx(row["change"] - np.hypot(below, of_seeds))
    above = np.hypot(above - alone["change"], of_seeds)
    assert row["change_high"] == pytest.approx(row["change"] + above)
    assert module("cases").sources(row) == "people and seeds (of MiniLM)"
    rows = module("comparisons").compare_rules(
        {**gathered, **others}, lambda name: corpus
    )
    assert all(row["over_seeds"] for row in rows)
    assert other in map(module("cases").case_of, rows)


def test_rules_that_read_other_evidence_lend_no_spread(module):
    corpus, gathered, others = with_other(module, model="minilm-whole")
    gathered, corpora = {**gathered, **others}, lambda name: corpus
    comparisons = module("comparisons")
    for row in comparisons.compare_rules(gathered, corpora):
        assert row["over_seeds"] == (row["model"] == "minilm")
    assert all(r["over_seeds"] for r in comparisons.compare_shards(gathered, corpora))


def test_fewer_folds_spread_more(module):
    spread = module("comparisons")._on_folds
    assert spread((0.1, 8), 10, 2) == (pytest.approx(0.1), 8)
    # The mean of five trainings varies less than that of two.
    assert spread((0.1, 8), 2, 1) == (pytest.approx(0.1 * 2.5**0.5), 8)


def test_gaps_are_those_of_a_sample(module):
    corpus, gathered = made_up(module, {5: 0.1}, seeds=2, n_people=300)
    (own,), people = gathered.values(), [np.arange(300)] * 2
    intervals, decided = module("intervals"), [own[0], own[1]]
    (found,) = intervals.sample(decided, ["none"], people, corpus, "religion")
    np.testing.assert_array_equal(
        intervals.gaps(decided, "none", people, corpus, "religion"), found.gap[:, 0]
    )


def test_an_ensemble_waits_for_the_reduction_beside_its_peers(module, tmp_path):
    cases, pieces = module("cases"), importlib.import_module("_pieces").Pieces
    corpus = module("corpora").load_corpus("generated")
    cell = module("training").Cell("generated", "tiny", 3, 0, 0)
    packed = module("judging")._packed
    about = {"people": np.arange(9), "decisions": {"none": packed(np.ones((1, 9)))}}
    for asked, n_cases in ((["AIF360 EqOdds"], 0), ([], 1)):
        decisions = pieces(tmp_path / str(n_cases))
        found = {**about, "mean": packed(np.ones(9)), "asked": asked}
        decisions.keep({**cell.key, "attribute": "club"}, found)
        gathered = cases.gather([cell], decisions, lambda name: corpus)
        assert len(gathered) == n_cases
    decisions = pieces(tmp_path / "0")
    decisions.keep(module("reduction").reduction_key(cell, "club"), about)
    assert len(cases.gather([cell], decisions, lambda name: corpus)) == 1


def test_a_change_by_a_deletion_has_the_spread_of_two_trainings(module):
    corpus, gathered, others = with_other(module, deletion="uniform", share=0.2)
    of_five = {case: own for case, own in others.items() if case.n_shards == 5}
    rows = module("comparisons").compare_deletions(
        {**gathered, **of_five}, lambda name: corpus
    )
    assert [row["decision"] for row in rows] == ["none", "default"]
    intervals, people = module("intervals"), [np.arange(2000)] * 2
    squares = [
        np.var(
            intervals.gaps([own[0], own[1]], "none", people, corpus, "religion"),
            ddof=1,
        )
        for own in gathered.values()
    ]
    # Two numbers of shards give two degrees of freedom. The change of the same
    # decisions is zero for all people, however they are drawn; so with both rules.
    of_seeds = stats.t.ppf(0.975, 2) * np.sqrt(2 * np.mean(squares))
    for row in rows:
        found = row["change"], row["change_low"], row["change_high"]
        assert found == pytest.approx((0, -of_seeds, of_seeds))


def test_a_rule_that_decides_once_for_all_shards_counts_once(module):
    spread = module("comparisons")._spread
    name = module("reduction").REDUCTION
    same = {"race": [np.array([0.1, 0.3])] * 4, "religion": [np.array([0.2, 0.2])] * 4}
    deviation, freedom = spread(name, "gap", same)
    # Variances .02 and 0, one degree of freedom each.
    assert (deviation, freedom) == (pytest.approx(0.1), 2)
    assert spread("default", "gap", same)[1] == 8
    _, freedom = spread(name, "default_gap", same)
    assert freedom == module("intervals").freedom_of_changes(8, 4)


def test_the_freedom_of_changes_from_one_value_is_that_of_their_spread(module):
    # Gaps of two attributes, of one model and four ensembles, in two seeds.
    intervals = module("intervals")
    gaps = np.random.default_rng(0).normal(size=(20_000, 2, 5, 2))
    changes = gaps[:, :, 1:] - gaps[:, :, :1]
    squares = changes.var(axis=3, ddof=1).mean(axis=(1, 2))
    freedom = 2 * squares.mean() ** 2 / squares.var()
    assert intervals.freedom_of_changes(8, 4) == pytest.approx(freedom, rel=0.05)
    # One change shares its model with none.
    assert intervals.freedom_of_changes(1, 1) == 1


def test_a_difference_of_gaps_must_exceed_the_noise_floors(module):
    verdict = module("comparisons").verdict_on_difference
    row = {"greatest_floor": 0.05}
    for size, said in ((0.04, "not decided"), (0.06, "higher"), (-0.06, "lower")):
        ends = size - 0.01, size + 0.01
        for what in ("default_gap", "default_balanced_accuracy"):
            row |= dict(zip((what, f"{what}_low", f"{what}_high"), (size, *ends)))
        assert verdict(row, "default_gap") == said
    row["default_balanced_accuracy"] = 0.01
    row["default_balanced_accuracy_low"] = 0.005
    assert verdict(row, "default_balanced_accuracy") == "higher"


def test_a_seed_that_is_not_finished_waits(module):
    corpus, gathered = made_up(module, {1: 0.0, 5: 0.1}, seeds=2)
    for of_case in gathered.values():
        kept = {p: f for p, f in of_case[1].fold_of.items() if f < 2}
        of_case[1].fold_of.clear()
        of_case[1].fold_of.update(kept)
    seeds, people, n_folds = module("cases").common_people([*gathered.values()])
    assert (seeds, n_folds) == ([0], 5)
    assert len(people[0]) == len(corpus.y)


def test_ensembles_whose_members_have_not_learnt_give_no_answer(module):
    corpus, gathered = made_up(module, {1: 0.0, 20: 0.0}, seeds=2)
    row = shards_of(module, corpus, gathered)[20]
    about = {"corpus": "hatexplain", "model": "minilm", "S": 20, "folds": 10}
    for alike, stage in ((20, "final"), (21, "members have not learnt")):
        row["stage"] = "final"
        module("comparisons").mark_untrained([row], [about | {"members_alike": alike}])
        assert row["stage"] == stage


def test_a_rule_that_failed_in_a_fold_is_compared_in_the_others(module):
    rules = ("none", "default", "peer")
    corpus, gathered = made_up(module, {5: 0.1}, rules=rules)
    (of_case,) = gathered.values()
    peer = of_case[0].decisions["peer"]
    for person, fold in of_case[0].fold_of.items():
        if fold == 3:
            del peer[person]
    rows = module("comparisons").compare_rules(gathered, lambda name: corpus)
    by_rule = {row["rule"]: row for row in rows}
    assert {name: row["folds"] for name, row in by_rule.items()} == {
        "none": 5,
        "default": 5,
        "peer": 4,
        "none, majority": 5,
    }
    # All decide alike, so that nothing differs on the people that both decided on.
    assert by_rule["peer"]["default_gap"] == by_rule["peer"]["more_gap"] == 0


def test_a_gap_after_deletions_is_compared_with_that_before(module):
    corpus, gathered = made_up(module, {5: 0.0, 20: 0.3}, rules=("none", "default"))
    before, after = gathered.values()
    case = module("cases").Case("hatexplain", "minilm", "religion", 5)
    forgot = replace(case, deletion="uniform", share=0.05)
    compare = module("comparisons").compare_deletions
    rows = compare({case: before, forgot: after}, lambda name: corpus)
    assert [row["decision"] for row in rows] == ["none", "default"]
    for row in rows:
        assert row["change"] == pytest.approx(row["gap"] - row["gap_one"])
        assert row["change"] == pytest.approx(0.25, abs=0.1)
        assert row["verdict"] == "less fair"
    assert compare({forgot: after}, lambda name: corpus) == []


def test_comparisons_at_95_percent_are_counted_beside_what_chance_would_show(module):
    row = {"deletion": None, "stage": "final", "level": 0.95}
    above = {"more_gap_low": 0.1, "more_gap_high": 0.2}
    around = {"more_gap_low": -0.1, "more_gap_high": 0.2}
    below = {"more_gap_low": -0.2, "more_gap_high": -0.1}
    rules = [
        {**row, "more_gap": 0.0, **above},
        {**row, "more_gap": 0.0, **around},
        {**row, "more_gap": 0.0, **below},
        # Not at this level, not finished, of a deletion, without a difference.
        {**row, "more_gap": 0.0, **above, "level": 0.99},
        {**row, "more_gap": 0.0, **above, "stage": "too few splits"},
        {**row, "more_gap": 0.0, **above, "deletion": "uniform"},
        row,
    ]
    found = {"rules": rules, "shards": [], "deletions": [], "equal_gap": []}
    table = module("tables")._multiplicity(found).set_index("compared")
    assert table.loc["a rule and no rule, gap"].tolist() == [3, 2, "0.2"]
    assert set(table.drop("a rule and no rule, gap")["comparisons"]) == {0}


def test_what_the_confirmation_set_has_not_answered_is_shown(module):
    corpus, gathered = made_up(module, {1: 0.0, 20: 0.3, 5: 0.3})
    comparisons = module("comparisons")
    found = {
        "rules": [],
        "shards": comparisons.compare_shards(gathered, lambda _: corpus),
    }
    table = module("tables")._confirmation(found)
    assert table["question"].tolist() == [
        "gap, no rule, S = 5 against 1",
        "gap, no rule, S = 20 against 1",
    ]
    assert set(table["hatexplain, religion"]) == {"less fair, provisionally"}
    assert set(table["redditbias, target"]) == {"not run yet"}


def test_sentences_say_nothing_before_there_is_something(module):
    empty = {"shards": [], "rules": [], "costs": [], "deletions": []}
    empty["first_look"] = {"shards": [], "rules": []}
    sentences = module("sentences").five_sentences(empty)
    assert len(sentences) == 5
    assert not any(char in "".join(sentences) for char in ("Yes", "+", "% of"))
    assert "No answer yet." in sentences[0]
    assert "not measured yet" in sentences[4]
    assert all(module("sentences").details(empty))


def test_a_sentence_on_other_models_counts_what_is_answered(module):
    row = {"corpus": "hatexplain", "model": "smollm2", "deletion": None}
    row |= {"holds_out": False, "stage": "final", "folds": 2, "seeds": 1}
    row |= {"over_seeds": True, "floor": 0.1, "greatest_floor": 0.1, "rule": "default"}
    row |= {"more_gap": -0.3, "more_gap_low": -0.4, "more_gap_high": -0.2}
    row |= {"gap": 0.05, "gap_low": 0.0}
    shards = {"decision": "mean score", "verdict": "less fair", "n_shards": 5}
    few = {"stage": "too few splits"}
    found = {
        "shards": [{**row, **shards}, {**row, **shards, **few, "n_shards": 20}],
        "rules": [{**row, "n_shards": 5}, {**row, **few, "n_shards": 20}],
        "first_look": {"shards": [], "rules": []},
        "costs": [],
        "deletions": [],
    }
    said = module("sentences").five_sentences(found)[3]
    assert (
        "SmolLM2: less fair with shards, yes in 1 of 4 comparisons, no in 0, no answer "
        "yet in 3; repaired, yes in 1 of 4 comparisons, no in 0, no answer yet in 3."
    ) in said
    assert "No answer yet: MiniLM on RedditBias, MiniLM (everything trained)" in said


def test_a_second_look_has_half_of_the_error_and_leaves_the_first_as_it_was(module):
    comparisons = module("comparisons")
    rules = "none", "default", "fairlearn ThresholdOptimizer"
    corpus, gathered = made_up(module, {1: 0.0, 5: 0.1}, seeds=4, rules=rules)
    first = {
        case: {seed: own[seed] for seed in (0, 1)} for case, own in gathered.items()
    }

    def compare(cases):
        return {
            "shards": comparisons.compare_shards(cases, lambda _: corpus),
            "rules": comparisons.compare_rules(cases, lambda _: corpus),
        }

    alone, found = compare(first), compare(gathered)
    found["first_look"] = comparisons.compare_first_look(gathered, lambda _: corpus)
    for what, rows in found["first_look"].items():
        assert rows == alone[what]
    assert comparisons.compare_first_look(first, None) == {"shards": [], "rules": []}
    table = module("tables")._looks(found)
    assert table["question"].tolist() == [
        "gap, no rule, S = 5 against 1",
        "default against no rule, S = 5",
        "balanced accuracy of the default against fairlearn ThresholdOptimizer, S = 5",
        "gap of the default against fairlearn ThresholdOptimizer, S = 5",
    ]
    # Two attributes; four numbers of shards for the first question, two for the others.
    levels = [1 - 0.05 / n for n in (8, 4, 4, 4)], [1 - 0.05 / n for n in (16, 8, 8, 8)]
    for look, expected in zip(("first", "second"), levels):
        assert table[f"its level, {look}"].tolist() == [f"{x:.2%}" for x in expected]
    said = module("sentences").details({**found, "costs": [], "deletions": []})
    assert "The first look, by 2 seeds: yes in 0 of 8 comparisons" in said[0]
    assert "no answer yet in 7" in said[0]
    assert "The first look, by 2 seeds: yes in 0 of 4 comparisons" in said[1]
    assert "The first look, by 2 seeds: beside fairlearn" in said[2]
    assert "in 0 of 12 comparisons and lower in 0" in said[2]


def test_what_is_repaired_is_said_to_be_as_large_as_its_interval_allows(module):
    row = {"corpus": "hatexplain", "model": "minilm", "deletion": None}
    row |= {"holds_out": False, "stage": "final", "floor": 0.02, "greatest_floor": 0.02}
    gaps = {"gap": 0.03, "gap_low": 0.01, "gap_high": 0.12}
    more = {"more_gap": -0.3, "more_gap_low": -0.4, "more_gap_high": -0.2}
    quality = {"balanced_accuracy": 0.7, "more_balanced_accuracy": 0.01}
    rules = [
        {**row, **gaps, **more, **quality, "rule": "default", "n_shards": n_shards}
        for n_shards in (5, 20)
    ]
    rules[1] |= {"gap": 0.01, "gap_high": 0.2, "floor": 0.04}
    found = {"shards": [], "rules": rules, "costs": [], "deletions": []}
    found["first_look"] = {"shards": [], "rules": []}
    sentences = module("sentences")
    said = sentences.five_sentences(found)[1]
    assert said.count("Yes in 2 of 4 comparisons") == 1
    assert "0.010 to 0.030, by chance alone 0.020 to 0.040" in said
    assert "left end at 0.120 to 0.200" in sentences.details(found)[1]


def test_the_papers_rules_are_ranked_among_themselves(module):
    row = {"corpus": "hatexplain", "model": "minilm", "attribute": "race"}
    row |= {"deletion": None, "holds_out": False, "stage": "final"}
    row |= {"more_gap": 0.0, "more_gap_low": -1, "more_gap_high": 1}
    names = "aggregate_then_postprocess", "postprocess_then_aggregate", "ensemble"
    rules = [
        {
            **row,
            "rule": name,
            "n_shards": n_shards,
            "greatest_floor": 0.1,
            "balanced_accuracy": quality,
        }
        for n_shards, of_rules in ((5, (0.6, 0.5, 0.7)), (20, (0.6, 0.7, 0.6)))
        for name, quality in zip(names, of_rules)
    ]
    ranked = module("sentences")._ranked
    assert ranked(rules, "ensemble") == (
        "It has the highest estimate in 1 of 2 cells; no intervals"
    )
    assert ranked(rules[:2], "ensemble") == "No answer yet"


def test_groups_are_listed_with_the_people_of_each_label(found):
    groups = pd.DataFrame(found["groups"])
    assert groups[["corpus", "attribute"]].drop_duplicates().values.tolist() == [
        ["generated", "club"]
    ]
    corpus = importlib.import_module("_language_models.corpora").load_corpus(
        "generated"
    )
    of_name = groups.set_index("group")
    for name in ("positive", "negative"):
        for group, n_people in of_name[name].items():
            label = int(name == "positive")
            own = [y for y, g in zip(corpus.y, corpus.groups["club"]) if g == group]
            assert own.count(label) == n_people
    assert of_name[["positive", "negative"]].to_numpy().sum() == 500


def test_a_sentence_answers_with_yes_no_or_neither(module):
    answer = module("sentences").answer
    final, few = {"stage": "final"}, {"stage": "too few splits"}
    given = [(final, "not decided"), (final, "yes"), (final, "no"), (few, "yes")]
    assert answer(given, 5, "yes", "no") == (
        "Yes in 1 of 5 comparisons, no in 1, not decided in 1, no answer yet in 2"
    )
    said = answer([({"stage": "provisional"}, "yes")], 1, "yes", "no")
    assert said == "Yes in 1 of 1 comparisons, no in 0 (provisional)"


def test_the_readme_and_the_landing_page_say_what_the_study_found(module):
    results = "benchmarks/results/language_models/five_sentences.rst"
    root = BENCHMARKS.parent
    found = (root / results).read_text().splitlines()
    rows = json.loads((root / results).with_name("language_models.json").read_text())
    said = module("sentences").five_sentences(rows)
    assert found == [f"#. {sentence}" for sentence in said]
    assert len(found) == 5
    readme = " ".join((root / "README.md").read_text().split())
    for n, sentence in enumerate(found, 1):
        assert f" {n}. {sentence.removeprefix('#. ')} " in readme
    for page in ("index.rst", "study.rst"):
        assert f".. include:: ../{results}" in (root / "docs" / page).read_text()


def test_what_a_page_includes_is_written_whatever_is_finished(arguments, found):
    folder = Path(arguments[-1])
    page = (BENCHMARKS.parent / "docs" / "study.rst").read_text()
    included = re.findall(r"results/language_models/(\w+\.(?:csv|rst))", page)
    shown = re.findall(r":file: (.+)", (folder / "rules.rst").read_text())
    assert included
    assert shown
    for name in [*included, *shown]:
        assert (folder / name).exists(), name


@pytest.mark.usefixtures("found")
def test_a_peer_that_comes_later_decides_too(module, arguments, tmp_path):
    judging, pieces = module("judging"), importlib.import_module("_pieces").Pieces
    cell = module("training").Cell("generated", "tiny", 3, 0, 0)
    kept, decisions = pieces(Path(arguments[-1]) / "pieces"), pieces(tmp_path)
    key = {**cell.key, "attribute": "club"}

    def unfair(calibration, score, group, objective):
        peers = importlib.import_module("_peers")
        return peers.Decisions(np.ones(len(score)), 0.0, 0)

    class Lengths:
        def transform(self, texts):
            return np.array([[len(text), text.count("e")] for text in texts]) / 100

    def embedder(name):
        return Lengths()

    judging.judge_missing([cell], kept, decisions, embedder, with_peers=False)
    assert decisions.read(key)["asked"] == []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            judging, "available_peers", lambda peers: {"AIF360 EqOdds": unfair}
        )
        judging.judge_missing([cell], kept, decisions, embedder)
        assert decisions.read(key)["asked"] == ["AIF360 EqOdds"]
        measured = decisions.counts["measured"]
        judging.judge_missing([cell], kept, decisions, None)
        assert decisions.counts["measured"] == measured
    gathered = module("cases").gather([cell], decisions, module("corpora").load_corpus)
    (of_case,) = gathered.values()
    assert set(of_case[0].decisions["AIF360 EqOdds"].values()) == {1.0}
    reduction = of_case[0].decisions["ExponentiatedGradient, frozen vectors"]
    assert reduction.keys() == of_case[0].fold_of.keys()
