"""Claims about fairlearn's mitigators behind the adapter."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from fairlearn.postprocessing import ThresholdOptimizer
from fairlearn.preprocessing import CorrelationRemover
from fairlearn.reductions import (
    DemographicParity,
    EqualizedOdds,
    ExponentiatedGradient,
    GridSearch,
)
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_fairsisa.datasets import make_biased_posts
from sklearn_fairsisa.metrics import FairlearnAdapter

# fairlearn's reductions use pandas in ways that pandas 3 warns of.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Setting a value on a Series"),
    pytest.mark.filterwarnings("ignore:Setting an item of incompatible dtype"),
]


@pytest.fixture
def data():
    X, y = make_classification(500, n_features=5, flip_y=0.2, random_state=1)
    group = (X[:, 0] + np.random.default_rng(0).normal(size=500) > 0).astype(int)
    table = pd.DataFrame(X, columns=[f"x{i}" for i in range(5)]).assign(group=group)
    return table, y, group


def threshold(**options):
    return ThresholdOptimizer(
        estimator=LogisticRegression(),
        constraints="equalized_odds",
        predict_method="predict_proba",
        **options,
    )


def reductions():
    return [
        ExponentiatedGradient(LogisticRegression(), DemographicParity(), max_iter=5),
        GridSearch(LogisticRegression(), DemographicParity(), grid_size=5),
    ]


def test_threshold_optimizer_decides_as_fairlearn_does(data):
    table, y, group = data
    X = table.drop(columns="group")
    plain = threshold().fit(X, y, sensitive_features=group)
    adapter = FairlearnAdapter(threshold(), sensitive_feature="group", random_state=5)
    adapter.fit(table, y)
    np.testing.assert_array_equal(
        adapter.predict(table),
        plain.predict(X, sensitive_features=group, random_state=5),
    )
    np.testing.assert_allclose(
        adapter.selection_probability(table),
        plain._pmf_predict(X, sensitive_features=group)[:, 1],
    )


@pytest.mark.parametrize("index", [0, 1])
def test_reductions_decide_as_fairlearn_does(data, index):
    table, y, group = data
    X = table.drop(columns="group")
    plain = reductions()[index]
    plain.fit(X, y, sensitive_features=group)
    adapter = FairlearnAdapter(
        reductions()[index], sensitive_feature="group", random_state=0
    ).fit(table, y)
    coins = {"random_state": 0} if index == 0 else {}
    np.testing.assert_array_equal(adapter.predict(table), plain.predict(X, **coins))


def test_correlation_remover_gets_the_sensitive_column(data):
    table, y, _ = data
    pipeline = make_pipeline(
        CorrelationRemover(sensitive_feature_ids=["group"]), LogisticRegression()
    )
    expected = clone(pipeline).fit(table, y).predict(table)
    adapter = FairlearnAdapter(pipeline, sensitive_feature="group").fit(table, y)
    np.testing.assert_array_equal(adapter.predict(table), expected)


def test_drop_sensitive_keeps_the_column_from_the_base_estimator(data):
    table, y, _ = data
    kept = FairlearnAdapter(
        threshold(), sensitive_feature="group", drop_sensitive=False
    )
    gone = FairlearnAdapter(threshold(), sensitive_feature="group")
    widths = [
        adapter.fit(table, y).mitigator_.estimator_.n_features_in_
        for adapter in (kept, gone)
    ]
    assert widths == [6, 5]


def test_groups_beside_X_and_inside_X_agree(data):
    table, y, group = data
    X = table.drop(columns="group")
    beside = FairlearnAdapter(threshold(), random_state=0)
    beside.fit(X, y, sensitive_features=group)
    inside = FairlearnAdapter(threshold(), sensitive_feature="group", random_state=0)
    inside.fit(table, y)
    np.testing.assert_array_equal(
        beside.predict(X, sensitive_features=group), inside.predict(table)
    )
    assert beside.score(X, y, sensitive_features=group) == inside.score(table, y)


def test_mitigated_gap_is_small_in_expectation(data):
    table, y, group = data
    adapter = FairlearnAdapter(threshold(), sensitive_feature="group").fit(table, y)
    chosen = adapter.selection_probability(table)
    for label in (0, 1):
        rates = [chosen[(y == label) & (group == g)].mean() for g in (0, 1)]
        assert abs(rates[0] - rates[1]) < 0.01


@pytest.mark.parametrize("labels", [["no", "yes"], [-1, 1], [False, True]])
def test_any_two_labels_come_back(data, labels):
    table, y, _ = data
    numbers = FairlearnAdapter(threshold(), sensitive_feature="group", random_state=0)
    named = clone(numbers)
    expected = np.array(labels)[numbers.fit(table, y).predict(table)]
    predicted = named.fit(table, np.array(labels)[y]).predict(table)
    np.testing.assert_array_equal(predicted, expected)
    assert named.classes_.tolist() == labels


def test_prefit_estimator_is_used_as_it_is(data):
    table, y, _ = data
    X = table.drop(columns="group")
    model = LogisticRegression(C=1e-3).fit(X[:250], y[:250])
    for fitted in (model, FrozenEstimator(model)):
        mitigator = ThresholdOptimizer(
            estimator=fitted, prefit=True, predict_method="predict_proba",
            constraints="equalized_odds",
        )  # fmt: skip
        adapter = FairlearnAdapter(mitigator, sensitive_feature="group")
        adapter.fit(table[250:], y[250:])
        assert adapter.mitigator_.estimator_ is fitted


def test_frozen_prefit_survives_cross_validation_and_a_bare_one_is_explained(data):
    table, y, _ = data
    model = LogisticRegression().fit(table.drop(columns="group"), y)

    def scores(estimator):
        mitigator = ThresholdOptimizer(
            estimator=estimator, prefit=True, predict_method="predict_proba"
        )
        adapter = FairlearnAdapter(mitigator, sensitive_feature="group", random_state=0)
        return cross_validate(adapter, table, y, error_score="raise")["test_score"]

    assert np.isfinite(scores(FrozenEstimator(model))).all()
    with pytest.raises(ValueError, match="wrap the fitted estimator in"):
        scores(model)


def test_pipeline_with_a_mitigator_at_its_end_sees_no_sensitive_column(data):
    table, y, group = data
    X = table.drop(columns="group")
    scaler = StandardScaler().fit(X)
    plain = threshold().fit(scaler.transform(X), y, sensitive_features=group)
    expected = plain.predict(
        scaler.transform(X), sensitive_features=group, random_state=1
    )
    pipeline = make_pipeline(StandardScaler(), threshold())
    adapter = FairlearnAdapter(pipeline, sensitive_feature="group", random_state=1)
    np.testing.assert_array_equal(adapter.fit(table, y).predict(table), expected)
    with sklearn.config_context(enable_metadata_routing=True):
        routed = clone(adapter).fit(table, y).predict(table)
    np.testing.assert_array_equal(routed, expected)


@pytest.mark.parametrize("vectorise_inside", [True, False])
def test_texts_and_sparse_rows_are_decided_as_dense_ones(vectorise_inside):
    posts = make_biased_posts(400, random_state=0)
    groups = {"sensitive_features": posts.sensitive_features}
    dense = CountVectorizer().fit_transform(posts.data).toarray()
    plain = threshold().fit(dense, posts.target, **groups)
    expected = plain.predict(dense, random_state=0, **groups)
    if vectorise_inside:
        mitigator = threshold().set_params(
            estimator=make_pipeline(CountVectorizer(), LogisticRegression())
        )
    else:
        mitigator = make_pipeline(CountVectorizer(), threshold())
    adapter = FairlearnAdapter(mitigator, random_state=0)
    for texts in (posts.data, posts.data.tolist(), pd.Series(posts.data)):
        adapter.fit(texts, posts.target, **groups)
        np.testing.assert_array_equal(adapter.predict(texts, **groups), expected)


@pytest.mark.usefixtures("unrouted")
def test_texts_reach_a_fitted_estimator_and_a_reduction():
    posts = make_biased_posts(300, random_state=0)
    groups = {"sensitive_features": posts.sensitive_features}
    model = make_pipeline(CountVectorizer(), LogisticRegression())
    fitted = clone(model).fit(posts.data, posts.target)
    reduction = ExponentiatedGradient(
        model,
        DemographicParity(),
        max_iter=2,
        sample_weight_name="logisticregression__sample_weight",
    )
    prefit = ThresholdOptimizer(
        estimator=fitted, prefit=True, predict_method="predict_proba"
    )
    for mitigator in (prefit, reduction):
        adapter = FairlearnAdapter(mitigator, random_state=0)
        adapter.fit(posts.data, posts.target, **groups)
        assert adapter.score(posts.data, posts.target, **groups) > 0.7


def test_rounding_errors_of_weights_are_no_probability_past_one(data):
    table, y, _ = data
    reduction = ExponentiatedGradient(LogisticRegression(), EqualizedOdds(), max_iter=3)
    adapter = FairlearnAdapter(reduction, sensitive_feature="group").fit(table, y)
    plain = adapter.selection_probability(table)
    # As if all the weight were on few of its models, and summed up past 1.
    adapter.mitigator_.weights_ = adapter.mitigator_.weights_ / plain.max() * (1 + 1e-9)
    assert adapter.selection_probability(table).max() == 1.0


def test_groups_are_routed_by_default(data):
    table, y, group = data
    X = table.drop(columns="group")
    with sklearn.config_context(enable_metadata_routing=True):
        scores = cross_validate(
            FairlearnAdapter(threshold(), random_state=0), X, y,
            params={"sensitive_features": group}, error_score="raise",
        )  # fmt: skip
    assert np.isfinite(scores["test_score"]).all()


def test_predictions_repeat_and_leave_the_global_generator_untouched(data):
    table, y, _ = data
    before = np.random.get_state()  # noqa: NPY002
    adapter = FairlearnAdapter(threshold(), sensitive_feature="group", random_state=0)
    first = adapter.fit(table, y).predict(table)
    np.testing.assert_array_equal(first, adapter.predict(table))
    np.testing.assert_equal(np.random.get_state(), before)  # noqa: NPY002


def test_missing_groups_are_explained(data):
    table, y, _ = data
    with pytest.raises(ValueError, match=r"has no groups. Name their column"):
        FairlearnAdapter(threshold()).fit(table, y)
    adapter = FairlearnAdapter(threshold())
    adapter.fit(table, y, sensitive_features=table["group"])
    with pytest.raises(ValueError, match=r"has no groups"):
        adapter.predict(table)


def test_groups_inside_X_and_beside_it_at_once_are_refused(data):
    table, y, group = data
    adapter = FairlearnAdapter(threshold(), sensitive_feature="group")
    message = "sensitive_feature='group' already gives the group"
    with pytest.raises(ValueError, match=message):
        adapter.fit(table, y, sensitive_features=group)
    adapter.fit(table, y)
    for method in (adapter.predict, adapter.selection_probability):
        with pytest.raises(ValueError, match=message):
            method(table, sensitive_features=group)


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csr_array])
@pytest.mark.parametrize("index", [None, 0])
def test_sparse_rows_beside_their_groups_are_decided_as_dense_ones(data, make, index):
    table, y, group = data
    X = table.drop(columns="group").to_numpy()
    mitigator = threshold() if index is None else reductions()[index]
    groups = {"sensitive_features": group}
    dense, thin = (
        FairlearnAdapter(mitigator, random_state=0)
        .fit(rows, y, **groups)
        .selection_probability(rows, **groups)
        for rows in (X, make(X))
    )
    np.testing.assert_allclose(thin, dense, atol=1e-3)


def test_refused_fit_leaves_an_earlier_one_as_it_was(data):
    table, y, group = data
    X = table.drop(columns="group")
    adapter = FairlearnAdapter(threshold(), random_state=0)
    adapter.fit(X, y, sensitive_features=group)
    before, decided = dict(vars(adapter)), adapter.predict(X, sensitive_features=group)
    few = X[["x0", "x1"]]
    for rows, labels, groups in (
        (few, y, None),
        (few, y % 1, group),
        (few, np.where(y, np.nan, 0), group),
        (few.assign(x0="text"), y, group),
    ):
        with pytest.raises(ValueError):
            adapter.fit(rows, labels, sensitive_features=groups)
        assert vars(adapter).keys() == before.keys()
        assert all(vars(adapter)[name] is before[name] for name in before)
    again = adapter.predict(X, sensitive_features=group)
    np.testing.assert_array_equal(again, decided)
    first = FairlearnAdapter(threshold())
    with pytest.raises(ValueError, match="no groups"):
        first.fit(X, y)
    with pytest.raises(NotFittedError):
        first.predict(X)


def test_refit_keeps_nothing_of_the_fit_before(data):
    table, y, _ = data
    adapter = FairlearnAdapter(threshold(), sensitive_feature="group").fit(table, y)
    adapter.set_params(mitigator=make_pipeline(LogisticRegression()))
    adapter.set_params(sensitive_feature=None).fit(table.to_numpy(), y)
    assert not {"groups_", "feature_names_in_"} & set(vars(adapter))


@pytest.mark.parametrize(
    "options",
    [
        {"mitigator": None},
        {"mitigator": StandardScaler()},
        {"sensitive_feature": {}},
        {"drop_sensitive": "yes"},
        {"random_state": "x"},
    ],
)
def test_parameters_out_of_range_are_refused(data, options):
    table, y, _ = data
    options = {"mitigator": threshold(), "sensitive_feature": "group"} | options
    with pytest.raises(ValueError, match="parameter of FairlearnAdapter must be"):
        FairlearnAdapter(**options).fit(table, y)


def test_groups_not_seen_in_fit_are_refused(data):
    table, y, _ = data
    adapter = FairlearnAdapter(threshold(), sensitive_feature="group").fit(table, y)
    with pytest.raises(ValueError, match=r"Groups \[7\] were not seen in fit"):
        adapter.predict(table.assign(group=7))


def test_more_or_fewer_than_two_classes_are_refused(data):
    table, _, _ = data
    adapter = FairlearnAdapter(threshold(), sensitive_feature="group")
    for y in (np.zeros(500, int), np.arange(500) % 3):
        with pytest.raises(ValueError, match="need two classes"):
            adapter.fit(table, y)


def test_rows_with_other_columns_are_refused(data):
    table, y, _ = data
    adapter = FairlearnAdapter(threshold(), sensitive_feature="group").fit(table, y)
    with pytest.raises(ValueError, match="feature names"):
        adapter.predict(table.rename(columns={"x0": "z0"}))
