import numpy as np
import pytest
from sklearn import config_context
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_html_repr

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier

X, y = make_classification(400, random_state=0)
GROUPS = np.where(X[:, 0] > 0, "<b>", "a")


def html_of(estimator):
    shown = estimator._repr_html_()
    assert estimator._repr_mimebundle_()["text/html"].count("<table") == (
        shown.count("<table")
    )
    return shown


@pytest.fixture
def sisa():
    return SISAClassifier(n_shards=3, n_slices=2, random_state=0).fit(X, y)


def test_a_fitted_ensemble_shows_its_shards(sisa):
    assert "397" not in html_of(sisa)
    shown = html_of(sisa.forget([1, 2, 3]))
    assert "3 shards with 397 rows, 3 forgotten" in shown
    # Scikit-learn's own diagram is still there.
    assert "sk-top-container" in shown
    for shard in range(3):
        rows = len(np.setdiff1d(sisa.plan_.rows(shard), [1, 2, 3]))
        assert f"<td>{rows}</td>" in shown
    assert shown.count("<td>SGDClassifier</td>") == 3


def test_the_postprocessor_shows_its_rule_and_the_shards(sisa):
    fair = FairEnsemblePostprocessor(sisa, random_state=0)
    fair.fit(X, y, sensitive_features=GROUPS)
    shown = html_of(fair)
    assert "ensemble, equalized_odds within 0" in shown
    assert "<summary>Rule</summary>" in shown
    assert "3 shards with" in shown
    for rate in fair.operating_points_.true_positive_rate:
        assert f"<td>{rate:.3f}</td>" in shown
    # Names of groups come from the data.
    assert "<td><b></td>" not in shown
    assert "<td>&lt;b&gt;</td>" in shown


@pytest.mark.parametrize("estimator", ["frozen", "forest", "none"])
def test_rules_over_anything_are_shown(sisa, estimator):
    fair = FairEnsemblePostprocessor(
        {
            "frozen": FrozenEstimator(sisa),
            "forest": RandomForestClassifier(40, random_state=0),
            "none": None,
        }[estimator],
        random_state=0,
    )
    given = sisa.transform(X) > 0.5 if estimator == "none" else X
    fair.fit(given, y, sensitive_features=GROUPS)
    shown = html_of(fair)
    assert ("3 shards with" in shown) == (estimator == "frozen")
    # A forest of forty has hundreds of patterns, a smooth score hundreds of levels.
    rule = shown.split("<summary>Rule</summary>")[1].split("</details>")[0]
    assert rule.count("<tr") < 60


def test_what_is_not_fitted_shows_the_diagram_alone():
    for estimator in (SISAClassifier(), FairEnsemblePostprocessor(SISAClassifier())):
        assert html_of(estimator).count("<details") == (
            estimator_html_repr(estimator).count("<details")
        )


def test_the_diagram_can_be_switched_off_and_sits_in_pipelines(sisa):
    with config_context(display="text"):
        assert not hasattr(sisa, "_repr_html_")
        assert "text/html" not in sisa._repr_mimebundle_()
    assert "SISAClassifier" in make_pipeline(sisa)._repr_html_()
