"""What rules of several tolerances share is computed once, and changes nothing."""

from functools import partial

import numpy as np
import pytest

from sklearn_fairsisa import FairEnsemblePostprocessor
from sklearn_fairsisa.postprocessing._calibration import CalibrationRows
from sklearn_fairsisa.postprocessing._held_out import cross_fitted, cross_fitting
from sklearn_fairsisa.postprocessing._rule import learn_rule


def fitted(n_classes=2, n_members=4, n=900, **params):
    rng = np.random.default_rng(0)
    group, label = rng.integers(0, [[3], [n_classes]], (2, n))
    z = rng.normal(size=(n, n_members, n_classes))
    z += (1.2 - 0.3 * group)[:, None, None] * np.eye(n_classes)[label][:, None]
    chance = np.exp(z) / np.exp(z).sum(axis=2, keepdims=True)
    X = chance[:, :, 1] if n_classes == 2 else chance.reshape(n, -1)
    fair = FairEnsemblePostprocessor(
        None, objective="balanced_accuracy_score", random_state=0, **params
    )
    return fair.fit(X, label, sensitive_features=group)


METHODS = ["smooth_ensemble", "soft_ensemble", "ensemble"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_remembered_evidence_decides_in_the_same_bits(method, n_classes):
    fair = fitted(n_classes, method=method)
    rows, remembered = fair._rows, {}
    solve = learn_rule(rows, fair._problem)
    for tol in (0.0, 0.05, 0.2):
        rule = solve(tol)
        given = rows.scores, rows.group, rows.counted
        found = rule.selection_probability(*given, remembered)
        np.testing.assert_array_equal(found, rule.selection_probability(*given))
    assert bool(remembered) == (method != "ensemble")


@pytest.mark.parametrize("method", METHODS)
def test_one_tolerance_is_cross_fitted_as_several_are(method):
    fair = fitted(method=method)
    several = cross_fitting(fair._rows, fair._problem)
    several(0.1)
    one = cross_fitted(fair._rows, fair._problem, 0.02)
    np.testing.assert_array_equal(one, several(0.02))


def test_what_was_learnt_keeps_no_rows():
    fair = fitted(n=300)
    scores = fair._rows.scores
    solve = learn_rule(fair._rows, fair._problem)
    reached, seen = [solve], set()
    while reached:
        value = reached.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        assert value is not scores
        assert value is not fair._rows
        if not isinstance(value, type):
            reached += getattr(value, "__dict__", {}).values()
        reached += [c.cell_contents for c in getattr(value, "__closure__", None) or ()]
        if isinstance(value, partial):
            reached += [value.func, *value.args]


@pytest.mark.parametrize("shape", [(40, 3), (40, 3, 4)])
def test_rows_lent_to_a_fold_show_what_copies_of_them_hold(shape):
    rng = np.random.default_rng(0)
    rows = CalibrationRows(
        np.arange(40), rng.integers(0, 2, 40), rng.integers(0, 2, 40),
        scores=rng.random(shape), counted=rng.random((40, 3)) < 0.9,
    )  # fmt: skip
    kept, order = rng.random(40) < 0.8, slice(None, None, -1)
    lent, copied = rows.lent(kept), rows.take(kept)
    assert lent.n_classes == copied.n_classes
    assert len(lent.scores) == len(copied.scores)
    last_first = np.arange(len(copied))[order]
    for of_lent, of_copied in (
        (np.asarray(lent.scores), copied.scores),
        (lent.scores[last_first], copied.scores[last_first]),
        (lent.scores[order, :2], copied.scores[order, :2]),
        (lent.votes, copied.votes),
        (lent.decided, copied.decided),
        (lent.counted, copied.counted),
        (lent.take(last_first).scores, copied.take(last_first).scores),
    ):
        np.testing.assert_array_equal(of_lent, of_copied)
    assert not np.shares_memory(np.asarray(lent.scores), rows.scores)
