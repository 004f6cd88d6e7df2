"""Rows, labels and groups in whatever holds them."""

import numpy as np
import pandas as pd
import polars
import pytest
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.naive_bayes import BernoulliNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.datasets import make_biased_posts

POSTS = make_biased_posts(600, n_groups=2, random_state=0)
TEXTS, Y = POSTS.data.tolist(), POSTS.target
GROUPS = POSTS.sensitive_features
NUMBERS = HashingVectorizer(n_features=32).transform(TEXTS).toarray()
NAMES = [f"x{i}" for i in range(32)]

ROWS = {
    "array": NUMBERS,
    "list of rows": NUMBERS.tolist(),
    "csr": sparse.csr_matrix(NUMBERS),
    "csc array": sparse.csc_array(NUMBERS),
    "pandas": pd.DataFrame(NUMBERS, columns=NAMES),
    "polars": polars.DataFrame(NUMBERS, schema=NAMES),
}


def make_fair(learner, **params):
    sisa = SISAClassifier(learner, n_shards=3, n_slices=2, random_state=0)
    return FairEnsemblePostprocessor(sisa, random_state=0, **params)


def fit_forget_predict(fair, X, y, **groups):
    fair.fit(X, y, **groups).forget([0, 5, 7])
    assert fair.estimator_.verify_forgotten()
    return fair.selection_probability(X, **groups)


@pytest.mark.parametrize("kind", list(ROWS))
def test_rows_in_any_container_give_the_same_decisions(kind):
    # SGD learns sparse rows at another rate.
    learner = BernoulliNB()
    groups = {"sensitive_features": GROUPS}
    expected = fit_forget_predict(make_fair(learner), NUMBERS, Y, **groups)
    found = fit_forget_predict(make_fair(learner), ROWS[kind], Y, **groups)
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("kind", ["list", "array", "series", "polars", "column"])
def test_texts_in_any_container_give_the_same_decisions(kind):
    words = HashingVectorizer(n_features=64)
    learner = make_pipeline(words, SGDClassifier(loss="log_loss"))
    groups = {"sensitive_features": GROUPS}
    expected = fit_forget_predict(make_fair(learner), TEXTS, Y, **groups)
    texts = {
        "list": TEXTS,
        "array": np.array(TEXTS, dtype=object),
        "series": pd.Series(TEXTS, index=range(600, 0, -1)),
        "polars": polars.Series(TEXTS),
        "column": pd.DataFrame({"text": TEXTS}),
    }[kind]
    if kind == "column":
        columns = make_column_transformer((words, "text"))
        learner = make_pipeline(columns, SGDClassifier(loss="log_loss"))
    found = fit_forget_predict(make_fair(learner), texts, Y, **groups)
    np.testing.assert_allclose(found, expected)


def frame_of(library, group):
    table = {"text": TEXTS, "length": [len(text) for text in TEXTS], "group": group}
    return pd.DataFrame(table) if library == "pandas" else polars.DataFrame(table)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_text_column_works_beside_numbers_and_groups(library):
    columns = make_column_transformer(
        (HashingVectorizer(n_features=64), "text"), (StandardScaler(), ["length"])
    )
    learner = make_pipeline(columns, SGDClassifier(loss="log_loss"))
    X = frame_of(library, GROUPS.tolist())
    fair = make_fair(learner, sensitive_feature="group")
    decided = fit_forget_predict(fair, X, Y)
    assert set(fair.groups_) == set(GROUPS)
    assert list(fair.feature_names_in_) == ["text", "length", "group"]
    np.testing.assert_array_equal(decided[::-1], fair.selection_probability(X[::-1]))


LEARNER = SGDClassifier(loss="log_loss")
CODES = np.unique(GROUPS, return_inverse=True)[1]
KINDS = {
    "bool": CODES == 1,
    "int": CODES,
    "float": CODES + 1.0,
    "object": GROUPS.astype(object),
    "list": GROUPS.tolist(),
    "category": pd.Categorical(GROUPS),
    "category series": pd.Series(
        pd.Categorical(GROUPS, categories=["?", *set(GROUPS)])
    ),
    "string series": pd.Series(GROUPS, dtype="string"),
    "nullable int": pd.Series(CODES, dtype="Int64"),
    "nullable bool": pd.Series(CODES == 1, dtype="boolean"),
    "polars": polars.Series(GROUPS.tolist()),
    "polars category": polars.Series(GROUPS.tolist(), dtype=polars.Categorical),
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_groups_of_any_kind_give_the_same_decisions(kind):
    expected = make_fair(LEARNER).fit(NUMBERS, Y, sensitive_features=CODES)
    groups = KINDS[kind]
    fair = make_fair(LEARNER).fit(NUMBERS, Y, sensitive_features=groups)
    assert len(fair.groups_) == 2
    np.testing.assert_allclose(
        fair.selection_probability(NUMBERS, sensitive_features=groups),
        expected.selection_probability(NUMBERS, sensitive_features=CODES),
    )


@pytest.mark.parametrize("kind", list(KINDS))
def test_labels_of_any_kind_come_back(kind):
    y = KINDS[kind]
    expected = make_fair(LEARNER).fit(NUMBERS, CODES, sensitive_features=Y)
    fair = make_fair(LEARNER).fit(NUMBERS, y, sensitive_features=Y)
    decided = fair.predict(NUMBERS, sensitive_features=Y)
    np.testing.assert_array_equal(
        np.searchsorted(fair.classes_, decided),
        expected.predict(NUMBERS, sensitive_features=Y),
    )
    assert set(decided) == set(np.asarray(y))
    sisa = SISAClassifier(LEARNER, random_state=0).fit(NUMBERS, y)
    assert set(sisa.predict(NUMBERS)) == set(np.asarray(y))


MISSING = {
    "None": [None, *GROUPS[1:]],
    "nan": [np.nan, *GROUPS[1:]],
    "float nan": np.r_[np.nan, CODES[1:]],
    "NA": pd.Series([pd.NA, *GROUPS[1:]], dtype="string"),
    "category": pd.Categorical([None, *GROUPS[1:]]),
    "nullable int": pd.Series([pd.NA, *CODES[1:]], dtype="Int64"),
    "polars": polars.Series([None, *GROUPS[1:]]),
}


@pytest.mark.parametrize("kind", list(MISSING))
def test_missing_groups_are_named_before_anything_is_trained(kind):
    groups = MISSING[kind]
    fair = make_fair(LEARNER)
    with pytest.raises(
        ValueError, match=r"is missing .* in 1 of 600 rows, first in row 0"
    ):
        fair.fit(NUMBERS, Y, sensitive_features=groups)
    assert not hasattr(fair, "estimator_")
    for library in ("pandas", "polars"):
        columned = make_fair(LEARNER, sensitive_feature="group")
        with pytest.raises(ValueError, match="sensitive_feature='group' is missing"):
            columned.fit(frame_of(library, [None, *GROUPS[1:].tolist()]), Y)
    fair.fit(NUMBERS[1:], Y[1:], sensitive_features=GROUPS[1:])
    with pytest.raises(ValueError, match="is missing"):
        fair.predict(NUMBERS, sensitive_features=groups)
