from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pytest

from sklearn_fairsisa.text._texts import as_texts

TEXTS = ["good morning", "", "ünïcödé 🙂"]
OTHER = [1, 2, 3]


@pytest.mark.parametrize(
    ("X", "text_column"),
    [
        (TEXTS, None),
        (tuple(TEXTS), None),
        ((text for text in TEXTS), None),
        ([[text] for text in TEXTS], None),
        (np.array(TEXTS), None),
        (np.array(TEXTS, dtype=object), None),
        (np.array(TEXTS)[:, None], None),
        (np.array([OTHER, TEXTS], dtype=object).T, 1),
        (np.array([OTHER, TEXTS], dtype=object).T, -1),
        (pd.Series(TEXTS, index=[7, 8, 9]), None),
        (pd.Series(TEXTS, dtype=object), None),
        (pd.Series(TEXTS, dtype="category"), None),
        (pd.DataFrame({"post": TEXTS}), None),
        (pd.DataFrame({"n": OTHER, "post": TEXTS}), "post"),
        (pl.Series(TEXTS), None),
        (pl.DataFrame({"post": TEXTS}), None),
        (pl.DataFrame({"n": OTHER, "post": TEXTS}), "post"),
    ],
)
def test_any_container_gives_the_same_texts(X, text_column):
    assert as_texts(X, text_column) == TEXTS


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "position 1 is missing: NoneType. Drop the row"),
        (float("nan"), "position 1 is missing: float"),
        (pd.NA, "position 1 is missing: NAType"),
        (3.5, "position 1 is not a text: float. Convert it"),
        (b"secret", "position 1 is not a text: bytes"),
    ],
)
@pytest.mark.parametrize("container", [list, partial(np.array, dtype=object)])
def test_what_is_no_text_is_named_by_position_and_type(container, value, message):
    with pytest.raises(TypeError, match=message) as caught:
        as_texts(container(["fine", value]))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("X", "text_column", "error", "message"),
    [
        ("a text", None, TypeError, r"X is one str.*\[text\]"),
        (3, None, TypeError, "X is a int, but texts are needed"),
        ({"a", "b"}, None, TypeError, "X is a set, but texts are needed"),
        ({"a": ["b"]}, None, TypeError, "X is a dict, but texts are needed"),
        ([], None, ValueError, "X holds no text"),
        (["fine", "\ud800"], None, ValueError, "position 1 holds a lone surrogate"),
        (np.full((2, 2), "a"), None, ValueError, "X has 2 columns"),
        (np.full((2, 2), "a"), 2, ValueError, "text_column=2 is not a position"),
        (np.full((2, 2, 2), "a"), None, ValueError, "X has 3 dimensions"),
        (pd.DataFrame({"a": ["x"], "b": ["y"]}), None, ValueError, "X has 2 columns"),
        (pd.DataFrame({"a": ["x"]}), "b", ValueError, "text_column='b' is not"),
        (pd.DataFrame([["x"] * 2], columns=["a", "a"]), "a", ValueError, "2 columns n"),
    ],
)
def test_bad_containers_say_what_to_do(X, text_column, error, message):
    with pytest.raises(error, match=message):
        as_texts(X, text_column)
