"""Claims about the pictures."""

import subprocess
import sys
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_classification
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_curve
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from sklearn_fairsisa.exceptions import UnconstrainedGroupWarning
from sklearn_fairsisa.metrics import Interval
from sklearn_fairsisa.plotting import (
    FairnessTradeoffDisplay,
    ForgettingCostDisplay,
    GroupRocDisplay,
)
from sklearn_fairsisa.postprocessing import FairEnsemblePostprocessor
from sklearn_fairsisa.sisa import SISAClassifier

plt = pytest.importorskip("matplotlib.pyplot")
plt.switch_backend("Agg")
Text = pytest.importorskip("matplotlib.text").Text


@pytest.fixture(scope="module")
def people():
    X, y = make_classification(900, n_features=6, flip_y=0.3, random_state=0)
    group = np.array(["a", "b", "c"])[np.arange(900) % 3]
    ensemble = BaggingClassifier(
        LogisticRegression(), n_estimators=5, max_samples=40, random_state=0
    ).fit(X[:300], y[:300])
    return X[300:], y[300:], group[300:], FrozenEstimator(ensemble)


def overlap(labels):
    """Pairs of texts whose boxes intersect."""
    labels[0].figure.draw_without_rendering()
    # A label's own extent holds its leader line, the text's does not.
    boxes = [Text.get_window_extent(label) for label in labels]
    return [
        (labels[i].get_text(), labels[j].get_text())
        for i, j in combinations(range(len(labels)), 2)
        if boxes[i].overlaps(boxes[j])
    ]


def test_plotting_is_imported_without_matplotlib():
    code = (
        "import sys, sklearn_fairsisa.plotting; "
        "sys.exit(any(m.startswith('matplotlib') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "method",
    [
        "aggregate_then_postprocess",
        "postprocess_then_aggregate",
        "ensemble",
        "soft_ensemble",
    ],
)
def test_chosen_points_lie_in_the_region_of_their_group(people, method):
    X, y, group, ensemble = people
    fair = FairEnsemblePostprocessor(ensemble, method=method, random_state=0)
    fair.fit(X, y, sensitive_features=group)
    display = GroupRocDisplay.from_estimator(fair)
    assert list(display.boundaries) == ["a", "b", "c"]
    for name, (fpr, tpr) in display.boundaries.items():
        x, top = display.operating_points[name]
        assert top <= np.interp(x, fpr, tpr) + 1e-9
        assert len(display.member_points[name]) == 5


def test_a_picture_says_which_method_it_draws_and_what_of(people):
    X, y, group, ensemble = people
    for method, what in {
        "smooth_ensemble": "weighted sum of logits, as estimated",
        "aggregate_then_postprocess": "the ensemble's label",
        "ensemble": "votes",
        "postprocess_then_aggregate": "all rules on the votes",
    }.items():
        fair = FairEnsemblePostprocessor(ensemble, method=method, random_state=0)
        display = GroupRocDisplay.from_estimator(
            fair.fit(X, y, sensitive_features=group)
        )
        title = display.ax_.get_title(loc="left").replace("\n", " ")
        assert title == f"{method}, n = 600 calibration rows; regions of {what}"


@pytest.mark.parametrize("name", ["selection_rate_ratio_by_sex", "accuracy_group_min"])
def test_of_ratios_and_floors_the_greater_is_fairer(name):
    results = pd.DataFrame({"balanced_accuracy": [0.8, 0.7], name: [0.6, 0.9]})
    display = FairnessTradeoffDisplay.from_results(results, gap=name)
    assert display.ax_.get_xlabel() == f"{name}  (greater is fairer)"
    assert display.ax_.get_xlim()[0] > 0.5


def test_members_and_ensemble_are_where_their_decisions_put_them(people):
    X, y, group, ensemble = people
    fair = FairEnsemblePostprocessor(ensemble, random_state=0)
    fair.fit(X, y, sensitive_features=group)
    display = GroupRocDisplay.from_estimator(fair)
    votes = np.column_stack([m.predict(X) for m in ensemble.estimator.estimators_])
    for name in "abc":
        for label, rate in ((0, 0), (1, 1)):
            mine = votes[(group == name) & (y == label)]
            np.testing.assert_allclose(
                display.member_points[name][:, rate], mine.mean(axis=0)
            )
            # Trees in a bag are averaged, not counted.
            own = ensemble.predict(X)[(group == name) & (y == label)].mean()
            assert display.aggregate_points[name][rate] == pytest.approx(own)


def test_across_shards_no_member_is_drawn_by_rows_that_it_has_learnt(people):
    X, y, group, _ = people
    weight = np.random.default_rng(0).random(len(y))
    trees = SISAClassifier(DecisionTreeClassifier(), n_shards=3, random_state=0)
    displays = {}
    for method in ("ensemble", "postprocess_then_aggregate"):
        fair = FairEnsemblePostprocessor(trees, method=method, random_state=0)
        fair.fit(X, y, sensitive_features=group, sample_weight=weight)
        displays[method] = GroupRocDisplay.from_estimator(fair)
    of_votes, display = displays.values()
    shard = fair.estimator_.plan_.shard_of(np.arange(len(y)))
    votes = np.column_stack([m.predict(X) for m in fair.estimator_.estimators_])
    for name in "abc":
        np.testing.assert_allclose(
            display.boundaries[name], of_votes.boundaries[name], atol=1e-12
        )
        for label, rate in ((0, 0), (1, 1)):
            mine = (group == name) & (y == label)
            for k in range(3):
                heard = mine & (shard != k)
                expected = np.average(votes[heard, k], weights=weight[heard])
                point = display.member_points[name][k, rate]
                assert point == pytest.approx(expected, abs=1e-12)
            others = [np.delete(v, k) for v, k in zip(votes[mine], shard[mine])]
            agreed = np.average(np.all(others, axis=1), weights=weight[mine])
            point = display.aggregate_points[name][rate]
            assert point == pytest.approx(agreed, abs=1e-12)


@pytest.mark.filterwarnings("ignore::sklearn_fairsisa.exceptions.DegenerateRuleWarning")
def test_groups_that_forgetting_left_without_a_region_are_not_drawn(people):
    X, y, group, ensemble = people
    for method in ("ensemble", "postprocess_then_aggregate"):
        fair = FairEnsemblePostprocessor(ensemble, method=method, random_state=0)
        fair.fit(X, y, sensitive_features=group)
        with pytest.warns(UnconstrainedGroupWarning):
            fair.forget(group == "b")
        display = GroupRocDisplay.from_estimator(fair)
        assert list(display.boundaries) == ["a", "c"]
        assert np.isnan(display.aggregate_points["b"]).all()
    with pytest.warns(UnconstrainedGroupWarning):
        fair.set_params(method="ensemble").fit(X, y, sensitive_features=group).forget(
            y == 1
        )
    with pytest.raises(AttributeError, match="no rule is left that constrains any"):
        GroupRocDisplay.from_estimator(fair)


def test_boundary_of_a_score_is_the_hull_of_its_roc_curve(people):
    X, y, group, ensemble = people
    score = ensemble.predict_proba(X)[:, 1]
    display = GroupRocDisplay.from_predictions(
        y, score, sensitive_features=group, y_pred=score > 0.5
    )
    for name, (fpr, tpr) in display.boundaries.items():
        mine = group == name
        x, top, _ = roc_curve(y[mine], score[mine])
        assert (np.interp(x, fpr, tpr) >= top - 1e-9).all()
        slopes = np.diff(tpr) / np.maximum(np.diff(fpr), 1e-12)
        assert (np.diff(slopes) <= 1e-9).all()
        vertices = set(zip(x.round(9), top.round(9)))
        assert set(zip(fpr.round(9), tpr.round(9))) <= vertices
        chosen = display.operating_points[name]
        assert chosen[0] == (score > 0.5)[mine & (y == 0)].mean()


@pytest.mark.parametrize("n_groups", [2, 4, 5, 7, 10])
def test_up_to_four_groups_share_axes_and_more_stand_side_by_side(n_groups):
    boundaries = {f"g{i}": ([0, 0.1 * i, 1], [0, 0.9, 1]) for i in range(n_groups)}
    display = GroupRocDisplay(boundaries).plot()
    if n_groups <= 4:
        assert [label.get_text() for label in display.labels_] == list(boundaries)
        assert overlap(display.labels_) == []
    else:
        titles = [ax.get_title() for ax in display.ax_.flat if ax.axison]
        assert titles == list(boundaries)


@pytest.mark.parametrize("n_groups", [2, 3, 5, 10])
@pytest.mark.parametrize("size", [(3.3, 3.2), (5, 5), (11, 4)])
def test_the_legend_covers_no_boundary_however_narrow_the_axes(n_groups, size):
    names = ["African American", "No religion", *"cdefghij"][:n_groups]
    boundaries = {
        name: ([0, 0.1, 1], [0, 0.15 + 0.08 * i, 1]) for i, name in enumerate(names)
    }
    figure, ax = plt.subplots(figsize=size, layout="constrained")
    display = GroupRocDisplay(
        boundaries, member_points={name: [[0.3, 0.4]] for name in names}
    ).plot(ax)
    figure.draw_without_rendering()
    legend = display.ax_.get_legend()
    # Up to four groups are named beside their boundaries.
    assert len(legend.get_texts()) == 2 + (n_groups if n_groups > 4 else 0)
    box = legend.get_window_extent()
    shown = figure.bbox.padded(1)
    assert box.x0 > shown.x0
    assert box.x1 < shown.x1
    assert box.y0 > shown.y0
    box = box.transformed(ax.transAxes.inverted())
    beneath_diagonal = box.x0 > box.y1
    assert beneath_diagonal or box.x0 > 1 or box.y1 < 0


def test_names_of_methods_stay_in_narrow_axes():
    figure, ax = plt.subplots(figsize=(3.3, 3), layout="constrained")
    names = ["one model", "aggregate_then_postprocess", "smooth_ensemble"]
    display = FairnessTradeoffDisplay(names, [0.3, 0.1, 0.08], [0.7, 0.68, 0.69])
    display.plot(ax)
    assert overlap(display.labels_) == []
    for text in [*display.labels_, ax.xaxis.label]:
        box = Text.get_window_extent(text)
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1


def test_shared_point_is_drawn_once_and_different_ones_each():
    boundaries = {"a": ([0, 0.2, 1], [0, 0.8, 1]), "b": ([0, 0.4, 1], [0, 0.7, 1])}

    def n_stars(points):
        display = GroupRocDisplay(boundaries, operating_points=points).plot()
        return len(display.ax_.collections) - 1  # one is the shaded region

    assert n_stars({"a": (0.4, 0.7), "b": (0.4, 0.7)}) == 1
    assert n_stars({"a": (0.2, 0.8), "b": (0.4, 0.7)}) == 2
    assert n_stars({"a": (np.nan, 0.8), "b": (0.4, 0.7)}) == 1


def test_no_groups_are_refused():
    with pytest.raises(ValueError, match="boundaries is empty"):
        GroupRocDisplay({}).plot()


def test_every_method_is_drawn_and_labels_do_not_overlap():
    rng = np.random.default_rng(0)
    results = pd.DataFrame(
        {
            "method": [f"a method with number {i}" for i in range(12)],
            "balanced_accuracy": 0.72 + 0.02 * rng.random(12),
            "equalized_odds_difference": 0.1 + 0.05 * rng.random(12),
        }
    )
    display = FairnessTradeoffDisplay.from_results(results, noise_floor=0.08)
    assert [label.get_text() for label in display.labels_] == list(results["method"])
    assert overlap(display.labels_) == []
    offsets = np.vstack([c.get_offsets() for c in display.ax_.collections])
    np.testing.assert_allclose(
        np.sort(offsets, axis=0),
        np.sort(results[["equalized_odds_difference", "balanced_accuracy"]], axis=0),
    )


def test_labels_do_not_leave_the_axes():
    intervals = {
        name: {
            "balanced_accuracy_score": Interval(score, score - 0.01, score + 0.01),
            "equalized_odds_difference": Interval(gap, gap / 2, gap * 2),
        }
        for name, score, gap in (("left", 0.7, 0.0), ("a long name at right", 0.8, 0.3))
    }
    display = FairnessTradeoffDisplay.from_intervals(intervals)
    display.figure_.draw_without_rendering()
    frame = display.ax_.get_window_extent()
    for label in display.labels_:
        box = Text.get_window_extent(label)
        assert box.x1 <= frame.x1 + 5
        assert box.x0 >= frame.x0 - 5


def test_intervals_are_drawn_from_end_to_end():
    results = pd.DataFrame(
        {
            "method": ["m"], "balanced_accuracy": [0.7],
            "balanced_accuracy_low": [0.6], "balanced_accuracy_high": [0.8],
            "equalized_odds_difference": [0.2],
            "equalized_odds_difference_low": [0.1],
            "equalized_odds_difference_high": [0.3],
        }
    )  # fmt: skip
    display = FairnessTradeoffDisplay.from_results(results)
    ends = [tuple(map(tuple, line.get_xydata())) for line in display.ax_.lines]
    assert set(ends) == {((0.1, 0.7), (0.3, 0.7)), ((0.2, 0.6), (0.2, 0.8))}


def test_tradeoff_of_a_postprocessor_is_one_curve(people):
    X, y, group, ensemble = people
    fair = FairEnsemblePostprocessor(ensemble, method="soft_ensemble", random_state=0)
    fair.fit(X, y, sensitive_features=group)
    display = FairnessTradeoffDisplay.from_results(fair.tradeoff())
    (line,) = display.ax_.lines
    assert len(line.get_xdata()) == 11


def test_constant_rules_are_hollow_and_named():
    display = FairnessTradeoffDisplay(
        ["rule", "constant rule"], [0.1, 0.0], [0.7, 0.5], constant=[False, True]
    ).plot()
    assert [t.get_text() for t in display.labels_] == [
        "rule", "constant rule (constant)"
    ]  # fmt: skip
    hollow = display.ax_.collections[1].get_facecolor()[0]
    assert hollow.tolist() == [1, 1, 1, 1]


def test_noise_floor_band_ends_at_the_floor():
    display = FairnessTradeoffDisplay(["m"], [0.1], [0.7], noise_floor=0.25).plot()
    (band,) = display.ax_.patches
    left, right = band.get_path().get_extents(band.get_patch_transform()).intervalx
    assert (left, right) == (0, 0.25)
    assert display.ax_.get_xlim()[1] > 0.25


def test_missing_columns_and_ragged_input_are_named():
    with pytest.raises(ValueError, match=r"lacks the columns \['balanced_accuracy'\]"):
        FairnessTradeoffDisplay.from_results(
            pd.DataFrame({"equalized_odds_difference": [0.1]})
        )
    with pytest.raises(ValueError, match="2 methods, 1 gaps and 1 scores"):
        FairnessTradeoffDisplay(["a", "b"], [0.1], [0.7]).plot()


@dataclass
class Report:
    rows: tuple
    n_subjects: int
    sample_visits: int
    full_sample_visits: int


def test_expected_cost_is_the_formula_of_the_theory():
    display = ForgettingCostDisplay.from_plan(4, [1, 3], max_deletions=20)
    k = display.n_deletions
    for slices, cost in display.expected.items():
        expected = sum(
            2 * i / (slices * (slices + 1)) * (1 - (1 - i / (4 * slices)) ** k)
            for i in range(1, slices + 1)
        )
        np.testing.assert_allclose(cost, expected)
        np.testing.assert_allclose(display.lines_[slices].get_ydata(), expected)


def test_requests_are_shares_of_a_full_training():
    reports = [
        Report((1, 2), 2, 30, 120), Report((), 0, 0, 120), Report((3, 4), 1, 12, 120)
    ]  # fmt: skip
    display = ForgettingCostDisplay.from_reports(reports, n_shards=4, n_slices=2)
    assert display.measured_deletions.tolist() == [2, 1]  # people, not rows
    assert display.measured_cost.tolist() == [0.25, 0.1]
    assert display.n_deletions.max() == pytest.approx(100)


def test_no_requests_leave_the_theory():
    display = ForgettingCostDisplay.from_reports([], n_shards=4, n_slices=[2])
    assert display.ax_.get_legend() is None
    assert [label.get_text() for label in display.labels_] == ["2 slices"]
    assert display.ax_.get_title(loc="left") == "Expected cost of forgetting, 4 shards"


def test_a_title_counts_the_requests_that_were_measured():
    reports = [Report((1,), 1, 30, 120), Report((2,), 1, 12, 120)]
    display = ForgettingCostDisplay.from_reports(reports, n_shards=4, n_slices=2)
    title = display.ax_.get_title(loc="left").replace("\n", " ")
    assert title == "Cost of forgetting, 4 shards: expected, and n = 2 requests"


def test_the_names_of_groups_cover_neither_points_nor_each_other():
    boundaries = {
        "African American": ([0, 0.2, 1], [0, 0.55, 1]),
        "Asian": ([0, 0.2, 1], [0, 0.5, 1]),
        "Caucasian": ([0, 0.2, 1], [0, 0.8, 1]),
    }
    points = {name: (0.2, tpr[1]) for name, (_, tpr) in boundaries.items()}
    display = GroupRocDisplay(boundaries, operating_points=points).plot()
    assert overlap(display.labels_) == []
    drawn = display.ax_.transData.transform(list(points.values()))
    for label in display.labels_:
        box = Text.get_window_extent(label)
        assert not any(box.contains(*point) for point in drawn)


def test_a_long_title_takes_several_lines_and_stays_in_the_figure():
    title = "A title that says what was measured, of whom, by which method; n = 12,345"
    display = FairnessTradeoffDisplay(
        ["m"], [0.1], [0.7], noise_floor=0.05, title=title
    ).plot()
    display.figure_.draw_without_rendering()
    drawn = display.ax_.get_title(loc="left")
    assert drawn.replace("\n", " ") == title
    assert "\n" in drawn
    box = Text.get_window_extent(display.ax_._left_title)
    assert box.x1 <= display.figure_.bbox.x1
    assert box.y1 <= display.figure_.bbox.y1


def test_a_score_is_drawn_with_the_number_of_people(people):
    X, y, group, ensemble = people
    display = GroupRocDisplay.from_predictions(
        y, ensemble.predict_proba(X)[:, 1], sensitive_features=group
    )
    assert display.ax_.get_title(loc="left") == "thresholds on a score; n = 600 people"


def test_fitted_ensemble_is_drawn_with_its_own_plan():
    X, y = make_classification(200, random_state=0)
    sisa = SISAClassifier(GaussianNB(), n_shards=4, random_state=0).fit(X, y)
    sisa.forget([3]).forget([5, 6])
    display = ForgettingCostDisplay.from_estimator(sisa)
    assert display.n_shards == 4
    assert list(display.expected) == [1]
    assert display.measured_deletions.tolist() == [1, 2]
    assert display.measured_cost[0] == pytest.approx(0.25, abs=0.02)


def test_the_cost_of_learners_that_count_is_that_of_their_own_replay():
    X, y = make_classification(200, random_state=0)
    sisa = SISAClassifier(GaussianNB(), n_shards=2, n_slices=4, random_state=0)
    display = ForgettingCostDisplay.from_estimator(sisa.fit(X, y), max_deletions=1)
    # Of the four slices of one of two shards, the row's and the later ones.
    assert display.expected[4][0] == pytest.approx((4 + 3 + 2 + 1) / 4 / 4 / 2)


def test_estimators_that_cannot_be_drawn_are_named():
    with pytest.raises(NotFittedError):
        GroupRocDisplay.from_estimator(FairEnsemblePostprocessor())
    with pytest.raises(TypeError, match="FairEnsemblePostprocessor is not a fitted SI"):
        ForgettingCostDisplay.from_estimator(FairEnsemblePostprocessor())
    sisa = SISAClassifier(GaussianNB(), n_shards=2).fit(
        [[0], [1], [2], [3]], [0, 1] * 2
    )
    with pytest.raises(TypeError, match="SISAClassifier is not a FairEnsemblePostp"):
        GroupRocDisplay.from_estimator(sisa)


def test_given_axes_are_drawn_on():
    _, axes = plt.subplots(1, 3)
    boundaries = {f"g{i}": ([0, 0.1 * i, 1], [0, 0.9, 1]) for i in range(6)}
    displays = [
        GroupRocDisplay(boundaries).plot(axes[0]),
        FairnessTradeoffDisplay(["m"], [0.1], [0.7]).plot(axes[1]),
        ForgettingCostDisplay.from_plan(2, 1, ax=axes[2]),
    ]
    assert [display.ax_ for display in displays] == list(axes)
    assert {display.figure_ for display in displays} == {axes[0].figure}


def test_at_least_one_deletion_is_drawn():
    with pytest.raises(ValueError, match="max_deletions must be at least 1"):
        ForgettingCostDisplay.from_plan(2, 1, max_deletions=0)


def test_a_cost_of_no_shards_is_refused():
    with pytest.raises(ValueError, match="n_shards=0 and n_slices=1 must be at least"):
        ForgettingCostDisplay.from_plan(0, [1])
