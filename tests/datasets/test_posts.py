"""Claims about the synthetic posts."""

import numpy as np
import pytest
from fairlearn.metrics import equalized_odds_difference
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_fairsisa.datasets import make_biased_posts


def test_plain_classifier_is_accurate_and_unfair_on_the_defaults():
    texts, y, groups = make_biased_posts(8000, random_state=0, return_X_y_groups=True)
    model = make_pipeline(TfidfVectorizer(), LogisticRegression())
    predicted = model.fit(texts[:2000], y[:2000]).predict(texts[2000:])
    assert 0.8 < np.mean(predicted == y[2000:]) < 0.9
    gap = equalized_odds_difference(
        y[2000:], predicted, sensitive_features=groups[2000:]
    )
    assert 0.15 < gap < 0.35


def test_no_dialect_no_noise_and_equal_rates_leave_little_unfairness():
    texts, y, groups = make_biased_posts(
        20000, base_rates=[0.5] * 3, label_noise=0, dialect=0, random_state=0,
        return_X_y_groups=True,
    )  # fmt: skip
    model = make_pipeline(TfidfVectorizer(), LogisticRegression())
    predicted = model.fit(texts[:5000], y[:5000]).predict(texts[5000:])
    gap = equalized_odds_difference(
        y[5000:], predicted, sensitive_features=groups[5000:]
    )
    assert gap < 0.05


def test_same_seed_same_posts_and_global_generator_untouched():
    before = np.random.get_state()  # noqa: NPY002
    first, second = (make_biased_posts(100, random_state=3) for _ in range(2))
    np.testing.assert_equal(np.random.get_state(), before)  # noqa: NPY002
    np.testing.assert_array_equal(first.data, second.data)
    np.testing.assert_array_equal(first.target, second.target)
    assert not np.array_equal(first.data, make_biased_posts(100, random_state=4).data)


def test_base_rates_noise_and_proportions_are_as_asked():
    bunch = make_biased_posts(
        40000, n_groups=2, group_proportions=[1, 3], base_rates=[0.2, 0.7],
        label_noise=[0.0, 0.3], random_state=0,
    )  # fmt: skip
    first = bunch.sensitive_features == bunch.group_names[0]
    assert np.mean(first) == pytest.approx(0.25, abs=0.01)
    assert bunch.target_clean[first].mean() == pytest.approx(0.2, abs=0.02)
    assert bunch.target_clean[~first].mean() == pytest.approx(0.7, abs=0.02)
    flipped = bunch.target != bunch.target_clean
    assert not flipped[first].any()
    assert flipped[~first].mean() == pytest.approx(0.3, abs=0.02)


def test_texts_are_distinct_and_name_the_club_as_often_as_asked():
    bunch = make_biased_posts(5000, group_marker=0.25, random_state=0)
    assert len(set(bunch.data)) > 0.99 * 5000
    named = [f"{g} club" in t for g, t in zip(bunch.sensitive_features, bunch.data)]
    assert np.mean(named) == pytest.approx(0.25, abs=0.03)


def test_as_frame_holds_the_same_posts():
    arrays = make_biased_posts(50, random_state=0)
    frames = make_biased_posts(50, random_state=0, as_frame=True)
    assert list(frames.data.columns) == frames.feature_names == ["text", "group"]
    np.testing.assert_array_equal(frames.data["text"], arrays.data)
    np.testing.assert_array_equal(frames.target, arrays.target)
    np.testing.assert_array_equal(frames.data["group"], arrays.sensitive_features)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_samples": 0}, "n_samples must be"),
        ({"n_samples": 2.5}, "n_samples must be"),
        ({"n_groups": 1}, "n_groups must be an integer from 2 to 10"),
        ({"n_groups": 11}, "n_groups must be"),
        ({"base_rates": [0.5]}, "base_rates has shape"),
        ({"label_noise": 1.5}, r"label_noise must be within \[0, 1\]"),
        ({"group_proportions": [0, 0, 0]}, "sum to 0"),
        ({"group_proportions": [1, -1, 1]}, "must be non-negative"),
        ({"dialect": np.nan}, "dialect must be"),
    ],
)
def test_bad_options_are_explained(options, message):
    with pytest.raises(ValueError, match=message):
        make_biased_posts(**options)
