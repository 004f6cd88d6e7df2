import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import ConvexHull
from sklearn.metrics import roc_curve

from sklearn_fairsisa.fairness._cells import count_cells
from sklearn_fairsisa.fairness._regions import likelihood_regions, threshold_regions

from .oracles import as_counts, label_tables


@given(table=label_tables(max_groups=2, max_cells=6), slope=st.floats(0, 5))
@settings(max_examples=60, deadline=None)
def test_the_boundary_supports_the_region_in_every_direction(table, slope):
    counts = as_counts(table)
    regions, _ = likelihood_regions(counts)
    negatives, positives = counts.totals.T
    for a, region in enumerate(regions):
        inside = counts.group == a
        u = counts.negatives[inside] / negatives[a]
        v = counts.positives[inside] / positives[a]
        # The zonotope reaches as far as the sum of the segments that point there.
        farthest = np.maximum(v - slope * u, 0).sum()
        reached = (region.tpr - slope * region.fpr).max()
        np.testing.assert_allclose(reached, farthest, atol=1e-12)


@given(table=label_tables(max_cells=10))
@settings(max_examples=60, deadline=None)
def test_levels_fall_strictly_and_boundaries_are_concave(table):
    regions, level = likelihood_regions(as_counts(table))
    for region in regions:
        assert (np.diff(region.precision) < 0).all()
        assert (region.fpr[0], region.tpr[0], region.share[0]) == (0, 0, 0)
        assert (region.fpr[-1], region.tpr[-1], region.share[-1]) == (1, 1, 1)
    assert level.min() == 0


def test_cells_of_equal_likelihood_ratio_are_one_level():
    # 1/3 and 2/6 are the same double, so ties between integer counts are exact.
    counts = as_counts(np.array([[[2, 1], [4, 2], [1, 5]]]))
    (region,), level = likelihood_regions(counts)
    np.testing.assert_array_equal(level, [1, 1, 0])
    assert len(region.precision) == 2


def test_score_regions_are_the_convex_hull_of_the_roc_curve():
    rng = np.random.default_rng(0)
    label = rng.random(300) < 0.4
    score = rng.normal(label).round(1)
    _, cell = np.unique(score, return_inverse=True)
    (region,), _ = threshold_regions(count_cells(np.zeros(300, int), cell, label))
    fpr, tpr, _ = roc_curve(label, score, drop_intermediate=False)
    hull = ConvexHull(np.c_[np.append(fpr, 1.0), np.append(tpr, 0.0)])
    expected = hull.points[hull.vertices]
    expected = expected[expected[:, 1] >= expected[:, 0]]
    have = set(map(tuple, np.c_[region.fpr, region.tpr].round(12)))
    assert have == set(map(tuple, expected.round(12)))


def test_a_group_without_negatives_is_one_level_on_the_diagonal():
    counts = as_counts(np.array([[[0, 2], [0, 3]]]))
    (region,), _ = likelihood_regions(counts)
    np.testing.assert_array_equal(region.fpr, [0, 1])
    np.testing.assert_array_equal(region.tpr, [0, 1])
    assert region.negatives == 0


@pytest.mark.parametrize("regions", [likelihood_regions, threshold_regions])
@pytest.mark.parametrize("empty", [0, 1, 2])
def test_a_group_without_rows_reaches_nothing_and_is_named(regions, empty):
    group = np.delete(np.arange(3), empty)
    counts = count_cells(group, [0, 0], [True, False], n_groups=3)
    with pytest.raises(ValueError, match=rf"Groups \[{empty}\] of 3 have no rows"):
        regions(counts)
