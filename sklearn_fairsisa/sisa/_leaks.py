"""A check of what would still depend on a row after it was forgotten."""

import sys
from dataclasses import dataclass

from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline

from .._utils.callbacks import callbacks_of, is_declared, judge, writes_outside
from .._utils.typing import Estimator
from ._classifier import SISAClassifier
from ._learners import (
    caches_steps,
    holds,
    is_skorch,
    last_step,
    learns_nothing,
    rows_to_watch,
    why_not_subtracting,
)


@dataclass(frozen=True)
class Forgettability:
    """Which parts of an estimator forget exactly. True if all of them do.

    Parameters
    ----------
    exact : tuple of str
        Parts that forget exactly.
    leaks : tuple of str
        Parts that still depend on forgotten rows, each with what to do about it.
    advice : tuple of str
        Points that the user has to check, since the estimator does not show them.
    """

    exact: tuple[str, ...]
    leaks: tuple[str, ...]
    advice: tuple[str, ...]

    def __bool__(self):
        return not self.leaks

    def __str__(self):
        parts = (("Exact", self.exact), ("Leaks", self.leaks), ("See to", self.advice))
        return "\n".join(
            f"{title}:\n" + "\n".join(f"  - {text}" for text in texts)
            for title, texts in parts
            if texts
        )


def check_forgettable(estimator: Estimator) -> Forgettability:
    """Explain what an estimator forgets exactly, and what it does not.

    Parameters
    ----------
    estimator : estimator or Pipeline
        A SISAClassifier, a Pipeline or meta-estimator around one, or a base learner
        for one.

    Returns
    -------
    Forgettability
        True if no leak was found.

    Raises
    ------
    TypeError
        If it is not an estimator, or is a class instead of an instance.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import Normalizer, StandardScaler
    >>> from sklearn_fairsisa import SISAClassifier
    >>> from sklearn_fairsisa.sisa import check_forgettable
    >>> bool(check_forgettable(make_pipeline(Normalizer(), SISAClassifier())))
    True
    >>> print(check_forgettable(make_pipeline(StandardScaler(), SISAClassifier())))
    Exact:
      - Members of SGDClassifier: retrained without the row, bit for bit.
      - Plan: the place of a row follows from the seed and its position or...
    Leaks:
      - Step 'standardscaler' (StandardScaler) learns from all rows before they...
    """
    if isinstance(estimator, type) or not hasattr(estimator, "get_params"):
        raise TypeError(
            f"estimator must be an instance of an estimator, got {estimator!r}."
        )
    findings = _Findings()
    _look_at(estimator, findings)
    return Forgettability(
        tuple(findings.exact), tuple(findings.leaks), (*findings.advice, _REQUESTS)
    )


_REQUESTS = (
    "Requests must not depend on the model's predictions (Gupta et al. 2021), and "
    "choices made with the forgotten rows (tuning, features, thresholds) must be made "
    "again."
)


class _Findings:
    def __init__(self):
        self.exact, self.leaks, self.advice = [], [], []


def _look_at(estimator, findings):
    if isinstance(estimator, SISAClassifier):
        _look_at_sisa(estimator, findings)
    elif isinstance(estimator, Pipeline) and _holds_sisa(estimator):
        for name, step in estimator.steps[:-1]:
            _look_at_step_before(name, step, findings)
        if estimator.memory is not None:
            findings.leaks.append(
                "The Pipeline's memory= caches the output of its steps. Pass None."
            )
        _look_at(last_step(estimator), findings)
    elif isinstance(estimator, FrozenEstimator) and _holds_sisa(estimator):
        _look_at(estimator.estimator, findings)
    elif _holds_sisa(estimator):
        _look_around(estimator, findings)
        for value in estimator.get_params(deep=False).values():
            parts = value if isinstance(value, list | tuple) else [value]
            for part in parts:
                part = part[1] if isinstance(part, tuple) and len(part) == 2 else part
                if isinstance(part, BaseEstimator) and _holds_sisa(part):
                    _look_at(part, findings)
    else:
        _look_at_learner(estimator, findings)


def _look_around(estimator, findings):
    """Look at a meta-estimator around an ensemble."""
    name = type(estimator).__name__
    if isinstance(estimator, BaseSearchCV):
        findings.leaks.append(
            f"{name} chooses parameters by rows that may be forgotten. Choose them on "
            "other rows, then fit SISAClassifier."
        )
    elif hasattr(estimator, "forget"):
        findings.exact.append(
            f"Calibration of {name}: counted and solved again by its forget, which "
            "forgets in the ensemble too. Call it instead of the ensemble's own."
        )
    else:
        findings.leaks.append(
            f"{name} around the ensemble has no forget, so what it has learnt from "
            "rows stays. Fit it again after every deletion."
        )


def _holds_sisa(estimator):
    return holds(estimator, SISAClassifier)


def _look_at_step_before(name, step, findings):
    """Look at a step of a Pipeline that all shards share."""
    if step in (None, "passthrough"):
        return
    what = f"Step {name!r} ({type(step).__name__})"
    if isinstance(step, FrozenEstimator):
        findings.advice.append(
            f"{what} is frozen: exact only if it was fitted on none of these rows."
        )
    elif learns_nothing(step):
        findings.exact.append(f"{what}: stateless, learns nothing from the rows.")
        if hasattr(step, "forget"):
            findings.advice.append(
                f"{what} keeps a cache that the ensemble cannot reach. Call its forget "
                "with the forgotten rows, or put it into the base learner."
            )
    else:
        findings.leaks.append(
            f"{what} learns from all rows before they reach the ensemble, and still "
            "depends on forgotten ones. Put it into the base learner: "
            f"SISAClassifier(make_pipeline({type(step).__name__}(...), learner))."
        )


def _look_at_sisa(sisa, findings):
    base = sisa._base()
    _look_at_learner(base, findings)
    findings.exact.append(
        "Plan: the place of a row follows from the seed and its position or "
        "data-subject id, not from its values, as stratified shards would."
    )
    if sisa.random_state is None:
        findings.advice.append(
            "random_state=None draws a new seed in every fit. With an integer, other "
            "people can repeat the proof."
        )
    log = getattr(sisa, "forgotten_", None)
    if log is not None and len(log):
        present = set().union(*(rows.labels for rows in sisa._state.rows))
        if len(present) < len(sisa.classes_):
            findings.leaks.append(
                "classes_ names a class of which every row was forgotten. This reveals "
                "that it existed. Refit to remove it."
            )


def _look_at_learner(estimator, findings):
    """Look at the learner that each shard trains."""
    learner = last_step(estimator)
    name = type(learner).__name__
    if isinstance(estimator, Pipeline) and len(estimator) > 1:
        for step_name, step in estimator.steps[:-1]:
            if isinstance(step, FrozenEstimator):
                findings.advice.append(
                    f"Step {step_name!r} is frozen: exact only if it was fitted on "
                    "none of these rows."
                )
        if why_not_subtracting(estimator) is not None:
            findings.exact.append(
                "Steps before the learner are fitted in each shard, on its first "
                "slice, and again when a row of that slice is forgotten."
            )
    before = len(findings.leaks)
    params = learner.get_params(deep=False)
    if is_skorch(learner):
        _look_at_net(learner, findings)
    findings.leaks.extend(rows_to_watch(estimator))
    _look_at_callbacks(estimator, findings)
    if isinstance(learner, FrozenEstimator):
        findings.leaks.append(
            f"{name} is not trained by the ensemble, so what it has learnt from rows "
            "stays. Pass the unfitted learner."
        )
    if caches_steps(estimator):
        findings.leaks.append(
            "A Pipeline with memory= caches the output of its steps, where forget "
            "cannot reach it. fit refuses it. Pass memory=None."
        )
    if params.get("early_stopping") is True:
        findings.advice.append(
            f"{name} has early_stopping=True: a shard's stopping epoch depends on its "
            "rows. A replay decides it again, so it is exact if fit trains. "
            "partial_fit refuses or ignores it."
        )
    if not is_skorch(learner) and _may_be_unseeded(learner):
        findings.advice.append(
            f"{name} has no random_state. Training seeds the generators of random, "
            "numpy and torch. If the learner has a generator of its own, replays "
            "differ, which verify_forgotten() detects."
        )
    if len(findings.leaks) == before:
        findings.exact.append(_how_members_forget(estimator))


def _how_members_forget(estimator):
    learner = last_step(estimator)
    name = type(learner).__name__
    obstacle = why_not_subtracting(estimator)
    if obstacle is None:
        return (
            f"Members of {name}: the row is subtracted by partial_unfit, which has to "
            "leave the bits of a member that never saw it. verify_forgotten() shows it."
        )
    how = f"Members of {name}: retrained without the row, bit for bit."
    if hasattr(learner, "partial_unfit"):
        how += f" The row cannot be subtracted: {obstacle}."
    return how


def _may_be_unseeded(learner):
    # scikit-learn's own learners without the parameter draw nothing.
    own = type(learner).__module__.startswith("sklearn.")
    return not own and "random_state" not in learner.get_params(deep=False)


def _look_at_net(net, findings):
    torch = sys.modules["torch"]
    if isinstance(net.module, torch.nn.Module):
        findings.leaks.append(
            f"The net holds an instance of {type(net.module).__name__}, which training "
            "changes and cloning copies with its weights. Pass the class."
        )
    if type(net.train_split).__name__ == "partial":
        findings.leaks.append(
            "train_split holds a validation set of rows that forget cannot reach. Pass "
            "train_split=None."
        )
    elif type(net.train_split).__name__ == "ValidSplit" and net.train_split.cv == 5:
        findings.exact.append(
            "train_split: skorch's default, which would hold a fifth of each shard "
            "out, is switched off."
        )
    elif net.train_split is not None:
        findings.advice.append(
            "train_split holds rows of each shard out from training; they are dropped "
            "when forgotten. train_split=None trains on all of them."
        )
    if not str(net.device).startswith("cpu"):
        findings.advice.append(
            "On a GPU equal bits need torch.use_deterministic_algorithms(True), one "
            "kind of card and one version of torch. verify_forgotten() checks them."
        )


def _look_at_callbacks(estimator, findings):
    """Look at the skorch callbacks of a learner, at any depth."""
    for callback in callbacks_of(estimator):
        verdict = judge(callback)
        if verdict.role is None:
            findings.leaks.append(f"Callback {verdict.name} {verdict.reason}")
        elif is_declared(callback):
            findings.advice.append(
                f"Callback {verdict.name} states the role {verdict.role!r}. The "
                "ensemble cannot check this, nor what the callback stores elsewhere."
            )
        elif writes_outside(callback):
            findings.advice.append(
                f"Callback {verdict.name} writes curves outside of the ensemble, which "
                "forget does not change. They depend on forgotten rows."
            )
