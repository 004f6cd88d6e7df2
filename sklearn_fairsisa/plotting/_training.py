"""Display of scores by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from ._style import COLORS, INK, SIZE, make_axes, set_title, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from sklearn.base import BaseEstimator

# Names in a history: those of TransformerClassifier, and those of a skorch net.
_WATCHED = {
    "loss": ("watched_loss", "valid_loss"),
    "accuracy": ("watched_accuracy", "valid_acc"),
    "balanced_accuracy": ("watched_balanced_accuracy",),
}
_TITLES = {
    "loss": "loss (mean cross-entropy)",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
}


class TrainingCurveDisplay:
    """Scores after each epoch, for choosing the number of epochs.

    A solid line shows the score of the watched rows, which do not train the model; a
    dashed line shows the training loss. In an ensemble, thin lines show each member,
    and the thick line shows the mean over members. It is recommended to create the
    display with :meth:`from_estimator`.

    Parameters
    ----------
    watched : dict of str to array-like of shape (n_epochs,)
        Score of the watched rows after each epoch, by member. NaN where there was no
        row to watch.

    trained : dict of str to array-like of shape (n_epochs,), default=None
        Training loss in each epoch, by member.

    response : {"loss", "accuracy", "balanced_accuracy"}, default="loss"
        What `watched` has.

    title : str, default=""
        What is trained, and on how many rows, above the axes.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : dict of str to matplotlib Line2D
        The watched score of each member.
    trained_lines_ : dict of str to matplotlib Line2D
        The training loss of each member.
    mean_line_ : matplotlib Line2D or None
        The mean watched score of several members.
    best_epoch_ : int or None
        Epoch, counted from 1, with the best watched score, averaged over the members
        with one. None without watched scores.

    See Also
    --------
    sklearn_fairsisa.text.TransformerClassifier : Watches rows with ``watch=``.

    Notes
    -----
    The best epoch is the first with the lowest loss or the highest accuracy. If rows
    that determined this choice are forgotten later, choose again.

    Examples
    --------
    >>> from sklearn_fairsisa.plotting import TrainingCurveDisplay
    >>> display = TrainingCurveDisplay({"": [0.7, 0.5, 0.6]}, {"": [0.8, 0.5, 0.3]})
    >>> display.plot().best_epoch_
    2
    """

    def __init__(
        self,
        watched: Mapping[str, Sequence[float]],
        trained: Mapping[str, Sequence[float]] | None = None,
        *,
        response: Literal["loss", "accuracy", "balanced_accuracy"] = "loss",
        title: str = "",
    ) -> None:
        self.watched = watched
        self.trained = trained
        self.response = response
        self.title = title

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        *,
        response: Literal["loss", "accuracy", "balanced_accuracy"] = "loss",
        ax: Axes | None = None,
    ) -> Self:
        """Draw the curves of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted :class:`~sklearn_fairsisa.text.TransformerClassifier`, skorch net,
            Pipeline that ends with one, or :class:`~sklearn_fairsisa.SISAClassifier`
            over them.

        response : {"loss", "accuracy", "balanced_accuracy"}, default="loss"
            What to draw. The training loss is drawn beside the watched one only.

        ax : matplotlib Axes, default=None
            Where to draw, by default a new figure.

        Returns
        -------
        display : TrainingCurveDisplay

        Raises
        ------
        TypeError
            If the estimator keeps no history.
        ValueError
            If no epoch has the requested scores.
        """
        if response not in _WATCHED:
            raise ValueError(
                f"response={response!r} is not known. Choose one of {sorted(_WATCHED)}."
            )
        histories = _histories(estimator)
        watched = {
            name: curve
            for name, history in histories.items()
            if (curve := _curve(history, _WATCHED[response])) is not None
        }
        trained = {}
        if response == "loss":
            trained = {k: _curve(h, ("train_loss",)) for k, h in histories.items() if h}
        if not watched and not trained:
            raise ValueError(
                f"No epoch has a watched {response}. Fit with watch=, a share of the "
                "rows or rows of their own, and at least one epoch."
            )
        title = _title_of(estimator, histories)
        return cls(watched, trained, response=response, title=title).plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw, by default a new figure.

        Returns
        -------
        display : TrainingCurveDisplay
        """
        from matplotlib.ticker import MaxNLocator

        self.ax_ = ax = make_axes(ax, SIZE)
        self.figure_ = ax.figure
        tidy(ax)
        trained = self.trained or {}
        alone = max(len(self.watched), len(trained)) == 1
        thin = {"lw": 2.0} if alone else {"lw": 1.0, "alpha": 0.55}
        self.trained_lines_ = {
            name: _draw(ax, curve, ls=(0, (4, 2)), color=COLORS[1], **thin)
            for name, curve in trained.items()
        }
        self.lines_ = {
            name: _draw(ax, curve, color=COLORS[0], **thin)
            for name, curve in self.watched.items()
        }
        self.mean_line_ = self.best_epoch_ = self._best_line = None
        if self.watched:
            self._draw_mean_and_best(ax)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_xlabel("epoch", color=INK)
        ax.set_ylabel(_TITLES[self.response], color=INK)
        set_title(ax, self.title)
        ax.legend(*self._legend(), fontsize=9, frameon=False, loc="best")
        return self

    def _draw_mean_and_best(self, ax):
        mean = _mean(self.watched.values())
        if len(self.watched) > 1:
            self.mean_line_ = _draw(ax, mean, color=COLORS[0], lw=2.6, zorder=4)
        if np.isnan(mean).all():
            return
        best = np.nanargmin(mean) if self.response == "loss" else np.nanargmax(mean)
        self.best_epoch_ = int(best) + 1
        # In the legend, since beside the point it would cover curves.
        label = f"best: {mean[best]:.3f} after epoch {self.best_epoch_}"
        self._best_line = ax.axvline(
            self.best_epoch_, color=INK, lw=1, ls=":", zorder=1
        )
        self._best_line.set_label(label)
        ax.plot([self.best_epoch_], [mean[best]], "o", color=COLORS[0], ms=6, zorder=5)

    def _legend(self):
        handles, labels = [], []
        of_one = "" if len(self.watched) < 2 else ", one member"
        for lines, label in (
            (self.lines_, f"watched rows{of_one}"),
            (self.trained_lines_, f"trained rows{of_one}"),
        ):
            handles += list(lines.values())[:1]
            labels += [label] * bool(lines)
        if self.mean_line_ is not None:
            handles.insert(0, self.mean_line_)
            labels.insert(0, f"watched rows, mean of {len(self.watched)} members")
        if self._best_line is not None:
            handles.append(self._best_line)
            labels.append(self._best_line.get_label())
        return handles, labels


def _draw(ax, curve, **style):
    style = {"zorder": 3, **style}
    # A single epoch is a point.
    marker = "o" if len(curve) == 1 else None
    epochs = np.arange(1, len(curve) + 1)
    return ax.plot(epochs, curve, marker=marker, ms=4, **style)[0]


def _mean(curves):
    """Return the mean over the curves that have a number, by epoch."""
    curves = [np.asarray(curve, dtype=float) for curve in curves]
    table = np.full((len(curves), max(map(len, curves))), np.nan)
    for row, curve in zip(table, curves):
        row[: len(curve)] = curve
    n = (~np.isnan(table)).sum(axis=0)
    total = np.nansum(table, axis=0)
    return np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0)


def _curve(history, names):
    """Return the first of some columns of a history, None if no epoch has any."""
    for name in names:
        curve = [epoch.get(name, np.nan) for epoch in history]
        if not np.isnan(curve).all():
            return np.array(curve, dtype=float)
    return None


def _histories(estimator) -> dict[str, Any]:
    """Return the histories of an estimator, or of the members of an ensemble."""
    members = getattr(estimator, "estimators_", None)
    if members is None:
        return {"": _history(estimator)}
    return {
        f"shard {shard}": _history(member)
        for shard, member in enumerate(members)
        if member is not None
    }


def _title_of(estimator, histories):
    """Return what was trained, and on how many rows."""
    of_all = getattr(estimator, "estimators_", [estimator])
    name = type(_learner(next(m for m in of_all if m is not None))).__name__
    if hasattr(estimator, "estimators_"):
        members = f"{len(histories)} member" + "s" * (len(histories) != 1)
        name = f"{members}, {name}"
    last = [history[-1] for history in histories.values() if len(history)]
    parts = [name]
    for key, verb in (("rows", "trained"), ("watched_rows", "watched")):
        n_rows = sum(epoch.get(key) or 0 for epoch in last)
        if n_rows:
            parts.append(f"{n_rows:,} rows {verb}")
    return ", ".join(parts)


def _learner(estimator):
    return estimator[-1] if hasattr(estimator, "steps") else estimator


def _history(estimator):
    learner = _learner(estimator)
    history = getattr(learner, "history_", None)
    if history is None:
        raise TypeError(
            f"{type(learner).__name__} keeps no history of its epochs. Give a fitted "
            "TransformerClassifier, a skorch net, or an ensemble of them."
        )
    return history
