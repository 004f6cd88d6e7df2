"""Claims about the choice within a fairness budget."""

import pickle

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import GridSearchCV

from sklearn_fairsisa.metrics import within_fairness_budget


def results(scores, gaps):
    return {"mean_test_score": np.array(scores), "mean_test_gap": np.array(gaps)}


def test_best_score_within_the_budget_wins():
    refit = within_fairness_budget(0.1)
    assert refit(results([0.9, 0.7, 0.8], [-0.2, -0.01, -0.1])) == 2


def test_sign_of_the_gap_does_not_matter():
    refit = within_fairness_budget(0.1)
    assert refit(results([0.9, 0.8], [0.2, 0.1])) == 1


def test_ties_go_to_the_smaller_gap_then_to_the_first():
    refit = within_fairness_budget(0.5)
    assert refit(results([0.8, 0.8, 0.8], [0.3, 0.2, 0.2])) == 1


def test_nan_candidates_are_passed_over():
    refit = within_fairness_budget(0.1)
    assert refit(results([np.nan, 0.9, 0.6], [0.0, np.nan, 0.05])) == 2


def test_no_candidate_within_the_budget_warns_and_takes_the_smallest_gap():
    refit = within_fairness_budget(0.01)
    with pytest.warns(UserWarning, match=r"budget of 0.01; the smallest gap, 0.2"):
        assert refit(results([0.9, 0.8, np.nan], [0.3, 0.2, 0.1])) == 1


def test_the_warning_points_at_the_line_that_fits_the_search():
    search = GridSearchCV(
        DummyClassifier(),
        {"strategy": ["prior"]},
        scoring={"score": "accuracy", "gap": "accuracy"},
        refit=within_fairness_budget(0.01),
        cv=2,
    )
    with pytest.warns(UserWarning, match="smallest gap") as warned:
        search.fit([[0]] * 8, [0, 1] * 4)
    assert warned[0].filename == __file__


def test_all_nan_is_an_error():
    with pytest.raises(ValueError, match="error_score='raise'"):
        within_fairness_budget(0.1)(results([np.nan], [np.nan]))


def test_unknown_names_are_listed_with_the_known_ones():
    with pytest.raises(
        ValueError, match=r"no score named 'eo'; it has \['score', 'gap"
    ):
        within_fairness_budget(0.1, gap="eo")(results([0.5], [0.1]))


@pytest.mark.parametrize("budget", [-0.1, np.nan])
def test_budget_must_be_a_gap(budget):
    with pytest.raises(ValueError, match="non-negative"):
        within_fairness_budget(budget)


def test_refit_survives_pickle():
    refit = pickle.loads(pickle.dumps(within_fairness_budget(0.1)))
    assert refit(results([0.9, 0.7], [0.2, 0.0])) == 1
