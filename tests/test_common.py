"""scikit-learn's own contract checks, over several base learners."""

from inspect import signature

import numpy as np
import pytest
import sklearn
from scipy import sparse
from sklearn.ensemble import (
    BaggingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import has_fit_parameter

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa._utils.columns import row_columns
from sklearn_fairsisa.fairness._coins import row_coins


def weighing(learner):
    """Have a learner request weights, which count where metadata are routed."""
    steps = (
        [step for _, step in learner.steps] if hasattr(learner, "steps") else [learner]
    )
    with sklearn.config_context(enable_metadata_routing=True):
        for step in steps:
            for method in ("fit", "partial_fit"):
                request = getattr(step, f"set_{method}_request", None)
                if request and "sample_weight" in signature(request).parameters:
                    request(sample_weight=True)
    return learner


SISAS = [
    SISAClassifier(n_shards=2, random_state=0),
    SISAClassifier(weighing(LogisticRegression()), n_shards=2, random_state=0),
    SISAClassifier(weighing(DecisionTreeClassifier()), n_shards=1, random_state=0),
    SISAClassifier(
        weighing(SGDClassifier()), n_shards=2, n_slices=2, epochs=5, random_state=0
    ),
    SISAClassifier(weighing(GaussianNB()), n_shards=2, n_slices=2, random_state=0),
    SISAClassifier(
        weighing(make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss"))),
        n_shards=2,
        aggregation="mean",
        random_state=0,
    ),
    SISAClassifier(
        weighing(MLPClassifier((8,), learning_rate_init=0.05)),
        n_slices=2,
        random_state=0,
    ),
]


OF_WEIGHTS = (
    "check_sample_weights_pandas_series",
    "check_sample_weights_not_an_array",
    "check_sample_weights_list",
    "check_sample_weights_shape",
    "check_sample_weights_not_overwritten",
    "check_classifiers_one_label_sample_weights",
    "check_sample_weight_equivalence_on_dense_data",
    "check_sample_weight_equivalence_on_sparse_data",
)


def failures_of_shards(sisa):
    """Return the checks that hold only without shards, and only for some learners."""
    if isinstance(sisa.estimator, MLPClassifier) and not has_fit_parameter(
        sisa.estimator, "sample_weight"
    ):
        return dict.fromkeys(OF_WEIGHTS, "The learner takes no weights.")
    if sisa.n_shards == 1:
        return {}
    kinds = ["dense"] if isinstance(sisa.estimator, GaussianNB) else ["dense", "sparse"]
    reason = "A row of weight 2 is in one shard, and two rows may be in two."
    name = "check_sample_weight_equivalence_on"
    return {f"{name}_{kind}_data": reason for kind in kinds}


@pytest.mark.filterwarnings("ignore::sklearn_fairsisa.exceptions.EmptyShardWarning")
@parametrize_with_checks(SISAS, expected_failed_checks=failures_of_shards)
def test_sisa_keeps_scikit_learns_contract(estimator, check):
    check(estimator)


class GroupOfRow:
    """A group that depends on the row, but needs no particular column."""

    def __call__(self, X):
        return row_coins(row_columns(X), 0) < 0.5

    def __repr__(self):  # an address would give every worker other test names
        return "GroupOfRow()"


class GroupInLastColumn(GroupOfRow):
    """Appends that group to the row."""

    def __call__(self, X):
        group = super().__call__(X).astype(float)[:, None]
        if sparse.issparse(X):
            return sparse.hstack([sparse.csr_matrix(X), group]).tocsr()
        return np.hstack([X, group])

    def __repr__(self):
        return "GroupInLastColumn()"


def make_fair(estimator, method, sensitive_feature):
    return FairEnsemblePostprocessor(
        estimator,
        method=method,
        # The checks' rows are too few for error rates of each group.
        constraints="demographic_parity",
        calibration=0.4,
        sensitive_feature=sensitive_feature,
        random_state=0,
    )


SISA, TREE = SISAClassifier(n_shards=2), DecisionTreeClassifier(max_depth=3)
FAIRS = [
    make_fair(SISA, "ensemble", GroupOfRow()),
    make_fair(BaggingClassifier(TREE, 3), "soft_ensemble", GroupOfRow()),
    make_fair(RandomForestClassifier(3), "aggregate_then_postprocess", GroupOfRow()),
    make_fair(
        VotingClassifier([("a", LogisticRegression()), ("b", TREE)]),
        "postprocess_then_aggregate",
        GroupOfRow(),
    ),
    make_pipeline(
        FunctionTransformer(GroupInLastColumn(), validate=True, accept_sparse=True),
        make_fair(SISA, "ensemble", -1),
    ),
]


def expected_failures(estimator):
    """Return those that scikit-learn expects of its own estimators."""
    few = {}
    if sklearn.__version__.startswith("1.6."):
        name = "check_n_features_in_after_fitting"
        few[name] = "Of the few rows of this version none of a group is held out."
    if isinstance(estimator, Pipeline):
        reason = "Pipeline fits the steps it was given, not clones of them."
        names = ("estimators_overwrite_params", "dont_overwrite_parameters")
    else:
        reason = (
            "As for TunedThresholdClassifierCV: rows are held out by position, so a "
            "row of weight 2 is not held out as two rows are."
        )
        names = (
            "sample_weight_equivalence_on_dense_data",
            "sample_weight_equivalence_on_sparse_data",
        )
    return few | {f"check_{name}": reason for name in names}


@pytest.mark.filterwarnings("ignore::sklearn_fairsisa.exceptions.DegenerateRuleWarning")
# FunctionTransformer's, of a container whose values it cannot look at.
@pytest.mark.filterwarnings("ignore:Can't check dok")
@parametrize_with_checks(FAIRS, expected_failed_checks=expected_failures)
def test_the_postprocessor_keeps_scikit_learns_contract(estimator, check):
    check(estimator)
