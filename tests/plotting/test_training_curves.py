"""Claims about the pictures of scores by epoch."""

import numpy as np
import pytest
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_fairsisa.plotting import TrainingCurveDisplay
from sklearn_fairsisa.sisa import SISAClassifier

plt = pytest.importorskip("matplotlib.pyplot")
plt.switch_backend("Agg")


class Fitted:
    """Has what the display reads of an estimator."""

    def __init__(self, *watched, name="watched_loss"):
        self.history_ = [
            {"epoch": i, "train_loss": 1 / i, **({} if s is None else {name: s})}
            for i, s in enumerate(watched, start=1)
        ]


class Ensemble:
    def __init__(self, *members):
        self.estimators_ = members


def legend(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def test_a_single_curve_shows_both_losses_and_the_best_epoch():
    display = TrainingCurveDisplay.from_estimator(Fitted(0.7, 0.4, 0.5))
    (line,), (trained,) = display.lines_.values(), display.trained_lines_.values()
    np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(line.get_ydata(), [0.7, 0.4, 0.5])
    np.testing.assert_allclose(trained.get_ydata(), [1, 1 / 2, 1 / 3])
    assert display.best_epoch_ == 2
    assert display.mean_line_ is None
    assert legend(display) == [
        "watched rows",
        "trained rows",
        "best: 0.400 after epoch 2",
    ]


def test_each_member_has_a_curve_and_the_mean_decides():
    members = Fitted(0.6, 0.2, 0.9), None, Fitted(0.6, 0.8, 0.3)
    display = TrainingCurveDisplay.from_estimator(Ensemble(*members))
    assert list(display.lines_) == ["shard 0", "shard 2"]
    np.testing.assert_allclose(display.mean_line_.get_ydata(), [0.6, 0.5, 0.6])
    assert display.best_epoch_ == 2
    assert legend(display)[0] == "watched rows, mean of 2 members"


def test_the_title_says_what_was_trained_and_on_how_many_rows():
    member = Fitted(0.6, 0.2)
    member.history_[-1] |= {"rows": 1200, "watched_rows": 300}
    display = TrainingCurveDisplay.from_estimator(Ensemble(member, None, member))
    title = display.ax_.get_title(loc="left").replace("\n", " ")
    assert title == "2 members, Fitted, 2,400 rows trained, 600 rows watched"
    alone = TrainingCurveDisplay.from_estimator(Fitted(0.6))
    assert alone.ax_.get_title(loc="left") == "Fitted"


def test_the_mean_ignores_what_is_not_a_number():
    display = TrainingCurveDisplay(
        {"a": [np.nan, 0.5, 0.5], "b": [0.8, 0.3], "c": [np.nan] * 3}
    ).plot()
    np.testing.assert_allclose(display.mean_line_.get_ydata(), [0.8, 0.4, 0.5])
    assert display.best_epoch_ == 2


def test_the_best_accuracy_is_the_highest():
    fitted = Fitted(0.7, 0.9, 0.8, name="watched_balanced_accuracy")
    display = TrainingCurveDisplay.from_estimator(fitted, response="balanced_accuracy")
    assert display.best_epoch_ == 2
    assert not display.trained_lines_
    assert display.ax_.get_ylabel() == "balanced accuracy"


def test_without_watched_rows_there_is_no_best_epoch():
    display = TrainingCurveDisplay.from_estimator(Fitted(None, None))
    assert display.best_epoch_ is None
    assert legend(display) == ["trained rows"]
    with pytest.raises(ValueError, match="No epoch has a watched accuracy"):
        TrainingCurveDisplay.from_estimator(Fitted(None), response="accuracy")


def test_curves_are_drawn_into_given_axes():
    ax = plt.subplots()[1]
    assert TrainingCurveDisplay.from_estimator(Fitted(0.5), ax=ax).ax_ is ax


def test_others_are_refused_with_what_to_give():
    ensemble = SISAClassifier(SGDClassifier(), n_shards=2, random_state=0)
    ensemble.fit(np.arange(40.0).reshape(20, 2), np.arange(20) % 2)
    with pytest.raises(TypeError, match=r"SGDClassifier keeps no history.*Transformer"):
        TrainingCurveDisplay.from_estimator(ensemble)
    with pytest.raises(ValueError, match=r"response='f1' is not known\. Choose one of"):
        TrainingCurveDisplay.from_estimator(Fitted(0.5), response="f1")


def test_curves_of_a_skorch_net_in_a_pipeline_are_found():
    torch = pytest.importorskip("torch")
    skorch = pytest.importorskip("skorch")
    net = skorch.NeuralNetClassifier(
        torch.nn.Linear,
        module__in_features=2,
        module__out_features=2,
        criterion=torch.nn.CrossEntropyLoss,
        max_epochs=3,
        verbose=0,
    )
    X = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    pipeline = make_pipeline(FunctionTransformer(), net).fit(X, (X[:, 0] > 0) * 1)
    display = TrainingCurveDisplay.from_estimator(pipeline)
    np.testing.assert_allclose(
        display.lines_[""].get_ydata(), pipeline[-1].history_[:, "valid_loss"]
    )


def test_members_that_watch_are_drawn_and_forgotten():
    pytest.importorskip("transformers")
    from transformers import BertConfig

    from sklearn_fairsisa.text import TransformerClassifier

    tiny = BertConfig(
        vocab_size=50,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
    )
    texts, y = ["good day", "bad day", "so so", "oh no"] * 10, [0, 1, 0, 1] * 10
    member = TransformerClassifier(tiny, watch=0.3, device="cpu", max_epochs=2)
    sisa = SISAClassifier(member, n_shards=2, random_state=0).fit(texts, y)
    for _ in range(2):
        display = TrainingCurveDisplay.from_estimator(sisa, response="accuracy")
        for line, fitted in zip(display.lines_.values(), sisa.estimators_):
            own = [epoch["watched_accuracy"] for epoch in fitted.history_]
            np.testing.assert_array_equal(line.get_ydata(), own)
        sisa.forget([0, 5])
