"""A rule that can be read."""

import numpy as np
import pytest

from sklearn_fairsisa import FairEnsemblePostprocessor
from sklearn_fairsisa.postprocessing._methods import METHODS


def fit(n_classes=2, n=1500, **params):
    rng = np.random.default_rng(0)
    group, y = rng.integers(0, 3, n), rng.integers(0, n_classes, n)
    logit = rng.normal(size=(n, 4, n_classes)) + rng.normal(size=(n, 1, n_classes))
    logit += (1 + 0.5 * group)[:, None, None] * np.eye(n_classes)[y][:, None]
    scores = np.exp(logit)
    scores /= scores.sum(axis=2, keepdims=True)
    X = scores[:, :, 1] if n_classes == 2 else scores.reshape(n, -1)
    groups = np.array(["chess", "garden", "<rowing>"])[group]
    params = {"random_state": 0, "objective": "balanced_accuracy_score"} | params
    fair = FairEnsemblePostprocessor(**params)
    return fair.fit(X, y, sensitive_features=groups), X, groups


@pytest.mark.parametrize("method", ["smooth_ensemble", "soft_ensemble"])
def test_a_rule_on_scores_has_few_rows_that_decide_as_it_does(method):
    fair, X, groups = fit(method=method)
    rule = fair.rule_
    assert len(rule) < 20
    # No neighbours are alike.
    for _, part in rule.groupby("group"):
        assert (np.diff(part.probability) != 0).all()
        assert part.probability.is_monotonic_decreasing
    assert rule.mass.sum() == pytest.approx(1)
    weights = fair.member_weights_
    score = (np.log(X / (1 - X)) * weights.loc[groups].to_numpy()).sum(axis=1)
    p = fair.selection_probability(X, sensitive_features=groups)
    ends = rule.cell.str.strip("[)").str.split(", ", expand=True).astype(float)
    # Ends are written with six digits.
    clear = np.abs(score[:, None] - ends.to_numpy().ravel()).min(axis=1) > 1e-4
    inside = (rule.group.to_numpy() == groups[:, None]) & (
        (score[:, None] >= ends[0].to_numpy()) & (score[:, None] < ends[1].to_numpy())
    )
    found = inside @ rule.probability.to_numpy()
    np.testing.assert_array_equal(found[clear], p[clear])


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("method", METHODS)
def test_a_summary_has_a_sentence_about_cells_and_a_line_per_group(method, n_classes):
    fair = fit(n_classes, method=method)[0]
    cells, *lines = fair.rule_summary_.split("\n")
    on_scores = method in ("smooth_ensemble", "soft_ensemble") and n_classes == 2
    assert ("in units of log-odds" in cells) == on_scores
    assert [line.split(":")[0] for line in lines] == fair.groups_.tolist()
    assert all(len(line.split(";")) <= 6 for line in lines)


def test_a_summary_says_from_where_on_people_are_selected():
    fair = fit(tol=1.0, method="soft_ensemble")[0]
    summary = fair.rule_summary_
    # Without a constraint nobody is decided on at random.
    assert "chess: selected from " in summary
    assert "; rejected below " in summary
    assert "in units of log-odds. Selected people get the decision 1." in summary
    assert "% selected" not in summary
    assert "% selected from " in fit(method="soft_ensemble")[0].rule_summary_


def test_notebooks_show_the_lines_and_the_unit():
    page = fit()[0]._repr_mimebundle_()["text/html"]
    assert "in units of log-odds" in page
    assert "selected" in page
    assert "&lt;rowing&gt;" in page
    assert "<rowing>" not in page
