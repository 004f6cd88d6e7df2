"""Fitted estimators survive skops, the default format of MLflow for models."""

from enum import Enum

import numpy as np
import pandas as pd
import polars
import pytest
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.ensemble import BaggingClassifier
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.utils import get_tags

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier

skops_io = pytest.importorskip("skops.io")

N = 240
rng = np.random.default_rng(0)
VALUES = rng.normal(size=(N, 4))
GROUP = np.array(["ann", "bob"])[np.arange(N) % 2]
SUBJECTS = [f"person {i // 2}" for i in range(N)]
TEXTS = [" ".join("abcdef"[int(abs(v) * 2) % 6] for v in row) for row in VALUES]
FRAME = pd.DataFrame(VALUES, columns=list("abcd"), index=np.arange(N)[::-1])
MIXED = FRAME.assign(
    a=pd.Categorical(rng.choice(list("xyz"), N)),
    b=pd.array(rng.choice(["u", "v"], N), dtype="string"),
)
Y = (VALUES[:, 3] + rng.normal(size=N) > 0).astype(int)

SGD = SGDClassifier(loss="log_loss")
WORDS = make_pipeline(HashingVectorizer(n_features=64), SGD)
COLUMNS = make_column_transformer(
    (OneHotEncoder(handle_unknown="ignore"), ["a", "b"]), (StandardScaler(), ["c", "d"])
)
ROWS = {
    "array": (VALUES, SGD),
    "list": (VALUES.tolist(), SGD),
    "texts": (TEXTS, WORDS),
    "series": (pd.Series(TEXTS), WORDS),
    "csr": (sparse.csr_array(VALUES), SGD),
    "frame": (FRAME, SGD),
    "mixed frame": (MIXED, make_pipeline(COLUMNS, SGD)),
    "masked frame": (FRAME.astype("Float64"), SGD),
    "numbered columns": (pd.DataFrame(VALUES), SGD),
    "polars": (polars.DataFrame(VALUES, schema=list("abcd")), SGD),
}


class Sex(Enum):
    WOMAN = object()
    MAN = "m"


def only_numbers(X):
    return X[["c", "d"]]


def travelled(estimator):
    """Return an estimator that was saved and loaded."""
    saved = skops_io.dumps(estimator)
    return skops_io.loads(saved, trusted=skops_io.get_untrusted_types(data=saved))


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("rows", ROWS)
def test_an_ensemble_predicts_and_forgets_alike_after_skops(rows, durable, tmp_path):
    X, learner = ROWS[rows]
    place = tmp_path if durable else None
    sisa = SISAClassifier(
        learner, n_shards=3, n_slices=2, checkpoint_dir=place, random_state=0
    ).fit(X, Y, subjects=SUBJECTS)
    loaded = travelled(sisa)
    np.testing.assert_array_equal(loaded.transform(X), sisa.transform(X))
    # One directory takes a request from one of them.
    for one in [loaded] if durable else [loaded, sisa]:
        one.forget([3], subjects=["person 7"])
    assert loaded.verify_forgotten()
    there = SISAClassifier.load(tmp_path) if durable else sisa
    np.testing.assert_array_equal(loaded.transform(X), there.transform(X))
    assert loaded.forget_log_[-1].rows == there.forget_log_[-1].rows


def test_columns_ids_and_groups_of_any_type_survive_skops():
    days = pd.date_range("2024", periods=N, tz="Europe/Paris")
    X = FRAME.assign(
        a=days,
        b=pd.cut(VALUES[:, 0], 3),
        day=days.tz_localize(None).to_period("D"),
        sex=np.array([*Sex], dtype=object)[np.arange(N) % 2],
    )
    learner = make_pipeline(FunctionTransformer(only_numbers), SGD)
    sisa = SISAClassifier(learner, n_shards=3, n_slices=2, random_state=0)
    fair = FairEnsemblePostprocessor(
        sisa, constraints="demographic_parity", random_state=0
    ).fit(X, Y, sensitive_features=X[["sex", "a"]].assign(a=days.year), subjects=days)
    loaded = travelled(fair)
    groups = X[["sex", "a"]].assign(a=days.year)
    for one in (fair, loaded):
        one.forget([3], subjects=[days[7].tz_convert("UTC")])
    assert loaded.estimator_.verify_forgotten()
    assert loaded.groups_.tolist() == fair.groups_.tolist()
    chosen = [
        one.selection_probability(X, sensitive_features=groups)
        for one in (fair, loaded)
    ]
    np.testing.assert_array_equal(*chosen)


@pytest.mark.parametrize(
    ("method", "n_classes"),
    [("smooth_ensemble", 2), ("soft_ensemble", 2), ("ensemble", 2), ("ensemble", 3)],
)
def test_a_rule_decides_and_forgets_alike_after_skops(method, n_classes):
    y = Y if n_classes == 2 else np.digitize(VALUES[:, 3], [-0.5, 0.5])
    fair = FairEnsemblePostprocessor(
        SISAClassifier(SGD, n_shards=3, n_slices=2, random_state=0),
        method=method,
        constraints="demographic_parity",
        sensitive_feature=["a", "b"],
        random_state=0,
    ).fit(MIXED.assign(a=GROUP, b=np.arange(N) % 3 == 0), y, subjects=SUBJECTS)
    X = MIXED.assign(a=GROUP, b=np.arange(N) % 3 == 0)
    report = str(fair.fairness_report_) if method == "smooth_ensemble" else None
    loaded = travelled(fair)
    if report is not None:
        assert str(loaded.fairness_report_) == report
    for one in (fair, loaded):
        one.forget([3], subjects=["person 7"])
    np.testing.assert_array_equal(
        loaded.selection_probability(X), fair.selection_probability(X)
    )
    np.testing.assert_array_equal(loaded.predict(X), fair.predict(X))
    pd.testing.assert_frame_equal(loaded.rule_, fair.rule_)
    served = travelled(fair.for_serving())
    np.testing.assert_array_equal(served.predict(X), fair.predict(X))
    alone = travelled(fair.estimator_.for_serving())
    assert get_tags(alone).input_tags == get_tags(fair.estimator_).input_tags


@pytest.mark.parametrize(
    "ensemble",
    [
        BaggingClassifier(LogisticRegression(), 3, random_state=0),
        [FrozenEstimator(LogisticRegression().fit(FRAME, Y))] * 3,
        None,
    ],
    ids=["bagging", "frozen", "outputs"],
)
def test_a_rule_over_any_ensemble_survives_skops(ensemble):
    X = FRAME if ensemble is not None else pd.DataFrame(VALUES > 0)
    fair = FairEnsemblePostprocessor(ensemble, random_state=0)
    fair.fit(X, Y, sensitive_features=GROUP)
    decided = fair.predict(X, sensitive_features=GROUP)
    loaded = travelled(fair)
    np.testing.assert_array_equal(loaded.predict(X, sensitive_features=GROUP), decided)
