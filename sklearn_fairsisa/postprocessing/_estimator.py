"""Fair decisions from the predictions of an ensemble's members."""

import copy
import warnings
from collections.abc import Sequence
from dataclasses import replace
from numbers import Real
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    MetaEstimatorMixin,
    TransformerMixin,
    _fit_context,
    clone,
)
from sklearn.metrics import accuracy_score
from sklearn.utils import (
    _safe_indexing,
    check_random_state,
    get_tags,
    indexable,
)
from sklearn.utils._param_validation import HasMethods, Interval, RealNotInt, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import (
    check_is_fitted,
    column_or_1d,
    has_fit_parameter,
    validate_data,
)

from .._utils.accepted import accepted, in_memory
from .._utils.columns import row_columns
from .._utils.containers import take
from .._utils.groups import encode_groups, feature_names, group_codes, split_groups
from .._utils.lending import own_objects
from .._utils.pipelines import weight_param
from .._utils.typing import (
    Estimator,
    FilePath,
    RandomState,
    Rows,
    SensitiveFeature,
)
from .._utils.validation import (
    check_like_fit,
    check_subjects,
)
from .._utils.warnings import level_of_caller
from ..exceptions import (
    DegenerateRuleWarning,
    DirectoryError,
    StaleRuleWarning,
    UnconstrainedGroupWarning,
    UnsupportedToleranceWarning,
)
from ..fairness._coins import (
    class_probabilities,
    draw_classes,
    is_random,
    row_coins,
)
from ..fairness._constraints import CONSTRAINTS, Problem
from ..sisa._learners import forget_in_caches
from ..sisa._requests import asked_rows
from ._calibration import (
    CalibrationRows,
    Origin,
    are_votes,
    calibrates_across_shards,
    leave_own_shard_out,
    plan_calibration,
)
from ._checks import (
    check_confidence,
    check_groups_suffice,
    check_labels,
    check_members_suffice,
    check_objective,
    check_some_row_counts,
    check_weight,
    checked_aggregation,
)
from ._fitted import FittedRuleMixin
from ._held_out import tightened
from ._members import (
    checked_member_scores,
    given_scores,
    holds_labels,
    predicting_members,
)
from ._methods import METHODS
from ._rule import learn_rule, tradeoff_table
from ._subjects import Subjects

_OBJECTIVES = ("accuracy_score", "balanced_accuracy_score")


class FairEnsemblePostprocessor(
    FittedRuleMixin,
    ClassifierMixin,
    TransformerMixin,
    MetaEstimatorMixin,
    BaseEstimator,
):
    r"""Make the decisions of an ensemble fair between groups.

    On calibration rows that the members have not learnt from, it finds the rule on
    (group, members' outputs) that optimises an objective while the groups' error or
    selection rates are equal. The rule is exact for these rows, and randomised where
    equality demands it. With more than two classes the rates are the confusion rates,
    P(decision = k | Y = j, group) for all j and k.

    Parameters
    ----------
    estimator : classifier or list of frozen classifiers, default=None
        An ensemble with ``transform`` that gives each member's score of the positive
        class in [0, 1], or with ``estimators_``: :class:`SISAClassifier`, bagging,
        voting, forests. Frozen by :class:`~sklearn.frozen.FrozenEstimator`, it is used
        as it is; so is each classifier of a list, which must be fitted and frozen.
        With None, X holds the members' outputs, one column each: votes 0 and 1, scores
        in [0, 1], or class labels. A member votes for the positive class
        ``classes_[1]`` where its score is above one half. With more than two classes
        X holds class labels, one column per member, or scores of all classes, member
        by member, and a member votes for the first class of greatest score.

    method : {"smooth_ensemble", "soft_ensemble", "ensemble", \
            "aggregate_then_postprocess", "postprocess_then_aggregate"}, \
            default="smooth_ensemble"
        What the rule distinguishes within a group:

        - ``"aggregate_then_postprocess"``: the ensemble's own label, the majority's
          unless it weighs its members or averages their scores;
        - ``"postprocess_then_aggregate"``: each member's label has a rule of its own,
          and the majority of the members' randomised decisions decides, with the
          weights that the ensemble gives to its members. This makes
          each member fair, but not their majority, so it may look more accurate than
          the other methods;
        - ``"ensemble"``: the pattern of all votes, the best of all rules on votes in
          calibration, though many members on few rows overfit;
        - ``"soft_ensemble"``: a sum of the members' logits, weighted for each group
          apart, in levels whose share of positives rises with it; with more classes,
          class probabilities estimated from the logits and the group, to which a
          mixture of rules that decide at least cost is applied;
        - ``"smooth_ensemble"``: the same sum, but the share of positives along it, and
          how the group's people spread over it, are smooth functions that groups share
          as far as they agree. A group with few negatives, or few positives, is then
          estimated from all its people, and one with few people from other groups. The
          rates are equal as estimated, not as counted in calibration. With more
          classes it is ``"soft_ensemble"``, whose estimates are smooth there.

    constraints : str, default="equalized_odds"
        ``"equalized_odds"``, ``"demographic_parity"``,
        ``"true_positive_rate_parity"``, ``"false_positive_rate_parity"``,
        ``"false_negative_rate_parity"`` or ``"true_negative_rate_parity"``, as in
        fairlearn. With more than two classes: all confusion rates; the share of each
        decision; for ``"true_positive_rate_parity"`` each class's recall,
        P(decision = k | Y = k); for ``"false_positive_rate_parity"`` each class
        against the rest, P(decision = k | Y != k).

    objective : {"accuracy_score", "balanced_accuracy_score"}, dict or array-like, \
            default="accuracy_score"
        What is maximised, or costs to minimise, such as
        ``{"false_positive": 1, "false_negative": 5}``. With more than two classes
        costs are an array of shape (n_classes, n_classes), whose row j, column k holds
        the cost of deciding ``classes_[k]`` where ``classes_[j]`` is true.

    tol : float, default=0.0
        Greatest allowed difference between groups of each constrained rate, in [0, 1].

    confidence : float, default=None
        With None, `tol` holds on the calibration rows. With a number in (0, 1), such
        as 0.95, the rule is solved at the greatest tolerance in [0, `tol`] at which the
        *true* difference stays within `tol` at that confidence, as far as
        `fairness_report_` can show. Where the rows do not suffice for that, the
        tolerance is 0 and an `UnsupportedToleranceWarning` says what is missing. Costs
        ten more rules per tolerance tried, in ``fit`` and in ``forget``, and with
        ``"ensemble"`` and ``"postprocess_then_aggregate"`` 110 more in all.

    sensitive_feature : str, int, list of these, or callable, default=None
        Where X holds the group: a column name, a position, several of them (each
        combination of values is a group) or a function of X. With None, the methods
        need `sensitive_features`.

    drop_sensitive : bool, default=True
        Whether the named columns are kept from the members.

    calibration : float, "cross_shard" or "auto", default="auto"
        Share of the rows of each label and group held out from the members. With
        ``"cross_shard"`` the ensemble, a :class:`SISAClassifier`, learns from all
        rows, and each row calibrates by the outputs of the members of the other
        shards, which have not seen it. Decisions on new people leave out each member
        in turn, for its share of the probability, so that they are decided like the
        calibration rows even if members memorise; more decisions are randomised.
        ``"auto"`` is ``"cross_shard"`` for a :class:`SISAClassifier` of several
        shards, otherwise 0.2. Unused if `estimator`
        is None or frozen: then every row given to ``fit`` calibrates, and the members
        must not have learnt from any.

    unknown_group : {"error", "unconstrained"}, default="error"
        Whether to refuse people of groups not seen in ``fit``, or of none (NaN or
        None), or decide on them by the rule that optimises the objective without
        regard to groups. Rows of no group given to ``fit`` then train the ensemble,
        but do not calibrate.

    random_state : int, RandomState instance or None, default=None
        Source of the held-out rows, of the coins' key, and of the seeds of `estimator`
        that are None. Pass an int for repeatable results.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels; of two, the second is the positive one.

    groups_ : ndarray of shape (n_groups,)
        Sorted groups that ``fit`` saw. Groups of several sensitive features are tuples
        with a value per feature, also in the column group of the tables below.

    estimator_ : classifier, list or None
        The fitted ensemble.

    operating_points_ : DataFrame
        Columns group, false_positive_rate and true_positive_rate: expected rates in
        calibration, with ``"smooth_ensemble"`` the model's estimates of them. NaN
        where a group has no such people. With more than two classes columns group,
        true_class, decision and rate.

    objective_ : float
        Value of the objective in calibration: the accuracy, the balanced accuracy, or
        the expected cost per person.

    tol_ : float
        Tolerance that the rule keeps in calibration: `tol`, or less with `confidence`.

    fairness_report_ : FairnessReport
        Guarantees of the rule for new people: an interval and a confidence bound
        of each constrained gap (at `confidence`, or 0.95), the groups that are too
        small and the rows they need, how many decisions are randomised, and
        whether the rule is degenerate. Print it, or take its ``to_frame()`` and
        ``group_frame()``. It is computed by cross-fitting on first access.

    rule_ : DataFrame
        Columns group, cell, mass (share of the calibration weight) and probability of
        the positive decision. Cells are the ensemble's label, all members' votes
        ("0110", "-" for the one left out across shards), a member and its vote
        ("3:1"), or an interval of the score. With more than two classes
        probability_<class> for each; the cells are class names, all members' votes
        ("cat|cat|dog", or "cat|-|dog" across shards), a member and its vote ("3:cat"),
        or the decisions of the rules that ``"soft_ensemble"`` mixes ("cat|dog").

    boundaries_ : DataFrame
        Columns group, false_positive_rate and true_positive_rate: vertices of the
        upper boundary of what the method can reach in each constrained group, from
        (0, 0) to (1, 1). ``"postprocess_then_aggregate"`` has no such region, and not
        this attribute; nor is there one for more than two classes.

    member_weights_ : DataFrame
        Weight of each member in each constrained group; the score of ``rule_`` is the
        sum of the members' logits so weighted, scores being clipped to [1e-6, 1 -
        1e-6]. A single member weighs 1, or -1 in a group whose positives have the
        smaller scores. Methods on votes have no weights, and not this attribute; nor
        are there any for more than two classes.

    member_points_ : DataFrame
        Columns group, member (a number, or "majority" for the ensemble's own decision),
        false_positive_rate and true_positive_rate of the votes of calibration rows, all
        without the rule. With more than two classes
        columns group, member, true_class, decision and rate.

    randomised_share_ : float
        Share of the calibration weight whose decision would be randomised for new
        people.

    calibration_indices_ : ndarray of int
        Positions in ``fit`` of the rows that calibrate.

    forgotten_ : ndarray of int
        Positions in ``fit`` of the rows forgotten since.

    behind_ : DataFrame
        Shards of the ensemble whose members have slices yet to learn, as
        `SISAClassifier.behind_`.

    unconstrained_groups_ : ndarray
        Groups that lost their last positive or negative to forgetting, and are decided
        on without regard to groups. Members post-processed one by one across shards
        each need those outside their own shard.

    n_features_in_ : int
        Number of columns of X, where X has columns.

    feature_names_in_ : ndarray of str
        Names of the columns of X, where X has string names.

    See Also
    --------
    SISAClassifier : An ensemble that forgets rows exactly.
    fairlearn.postprocessing.ThresholdOptimizer : Post-processes a single score.

    Notes
    -----
    With :math:`u_{ac} = P(c|A=a,Y=0)` and :math:`v_{ac} = P(c|A=a,Y=1)` for the cells
    c of group a, a rule :math:`p_{ac}` has :math:`FPR_a = \sum_c p_{ac} u_{ac}` and
    :math:`TPR_a = \sum_c p_{ac} v_{ac}`. At ``tol=0`` the best operating points are
    found exactly by merging the boundaries of the regions these points fill;
    otherwise by a linear program over the boundaries' vertices. Within a group nobody
    is selected less often than someone less likely positive, and among the rules at
    an operating point the one that randomises fewest people is taken.

    With K > 2 classes a rule has K probabilities per cell, and its confusion rates are
    linear in them, so the best one is the solution of a linear program over the
    observed cells ([3]_ for the majority's label). For ``"soft_ensemble"`` the program
    mixes rules that decide for the k of greatest :math:`\sum_j \eta_j \Lambda_{jk}`,
    where :math:`\eta` are the estimated class probabilities; its dual prices propose
    the matrices :math:`\Lambda`. With two classes such rules are thresholds.

    The coin of a person is a keyed hash of the row of X, so the same person gets the
    same decision in any batch or order, in single or double precision. Where X holds
    nothing but votes (``estimator=None``), people are not distinguishable: their coins
    come from `random_state` by position.

    References
    ----------
    .. [1] Hardt, M., Price, E., Srebro, N. (2016). Equality of Opportunity in
       Supervised Learning. NeurIPS. Section 4.
    .. [2] Kadhe, S., Halimi, A., Rawat, A., Baracaldo, N. (2023). FairSISA: Ensemble
       Post-Processing to Improve Fairness of Unlearning in LLMs. Section 3.
    .. [3] Putzel, P., Lee, S. (2022). Blackbox Post-Processing for Multiclass Fairness.
       SafeAI at AAAI. Section 3.

    Examples
    --------
    The members' votes are given; equalized odds hold as estimated:

    >>> import numpy as np
    >>> from sklearn_fairsisa import FairEnsemblePostprocessor
    >>> rng = np.random.default_rng(0)
    >>> y, group = rng.integers(0, 2, (2, 600))
    >>> noise = np.where(group == 0, 0.2, 0.4)
    >>> votes = y[:, None] ^ (rng.random((600, 5)) < noise[:, None])
    >>> fair = FairEnsemblePostprocessor(random_state=0)
    >>> fair = fair.fit(votes, y, sensitive_features=group)
    >>> fair.operating_points_.round(3)
       group  false_positive_rate  true_positive_rate
    0      0                0.465               0.766
    1      1                0.465               0.766
    """

    # Requested by default: a fair decision without the group does not exist.
    __metadata_request__fit = {"sensitive_features": True}  # noqa: RUF012
    __metadata_request__predict = {"sensitive_features": True}  # noqa: RUF012
    __metadata_request__score = {"sensitive_features": True}  # noqa: RUF012
    __metadata_request__transform = {"sensitive_features": True}  # noqa: RUF012

    _parameter_constraints: dict = {  # noqa: RUF012
        "estimator": [HasMethods(["fit"]), list, tuple, None],
        "method": [StrOptions(set(METHODS))],
        "constraints": [StrOptions(set(CONSTRAINTS))],
        "objective": [StrOptions(set(_OBJECTIVES)), dict, list, tuple, np.ndarray],
        "tol": [Interval(Real, 0, 1, closed="both")],
        "confidence": [Interval(Real, 0, 1, closed="neither"), None],
        "sensitive_feature": [str, Real, list, tuple, callable, None],
        "drop_sensitive": ["boolean"],
        "calibration": [
            Interval(RealNotInt, 0, 1, closed="neither"),
            StrOptions({"auto", "cross_shard"}),
        ],
        "unknown_group": [StrOptions({"error", "unconstrained"})],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Estimator | Sequence[Any] | None = None,
        *,
        method: str = "smooth_ensemble",
        constraints: str = "equalized_odds",
        objective: Literal["accuracy_score", "balanced_accuracy_score"]
        | dict[str, float]
        | Sequence[Sequence[float]]
        | NDArray[Any] = "accuracy_score",
        tol: float = 0.0,
        confidence: float | None = None,
        sensitive_feature: SensitiveFeature = None,
        drop_sensitive: bool = True,
        calibration: float | Literal["cross_shard", "auto"] = "auto",
        unknown_group: Literal["error", "unconstrained"] = "error",
        random_state: RandomState = None,
    ) -> None:
        self.estimator = estimator
        self.method = method
        self.constraints = constraints
        self.objective = objective
        self.tol = tol
        self.confidence = confidence
        self.sensitive_feature = sensitive_feature
        self.drop_sensitive = drop_sensitive
        self.calibration = calibration
        self.unknown_group = unknown_group
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: Rows,
        y: ArrayLike,
        *,
        sensitive_features: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        subjects: ArrayLike | None = None,
    ) -> Self:
        """Train the ensemble, then calibrate the fair rule.

        Parameters
        ----------
        X : array-like, sparse matrix, data frame or list of length n_samples
            What the ensemble takes, or the members' outputs.

        y : array-like of shape (n_samples,)
            Labels of two classes or more.

        sensitive_features : array-like of shape (n_samples,) or (n_samples, k), \
                default=None
            Groups, if X does not hold them. Several columns are intersected.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in calibration, and in the ensemble's ``fit`` if that
            takes them. A :class:`SISAClassifier` takes them if its learner does, a
            Pipeline if its last step does; with metadata routing, whatever requests
            them.

        subjects : array-like of shape (n_samples,), default=None
            Data-subject ids, for ``forget(subjects=...)``. All rows of a subject are
            held out, or none, and the ensemble's ``fit`` gets the ids if it takes
            them, as that of :class:`SISAClassifier` does.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the groups are not given or incomplete, y has one class, a group
            lacks the labels that the constraint needs, or the members' outputs are
            unusable.
        """
        X, y = indexable(accepted(X), in_memory(y))
        # Work on a copy, so that a failed fit changes nothing.
        fitted = copy.copy(self)
        for name in ("n_features_in_", "feature_names_in_"):
            fitted.__dict__.pop(name, None)
        X = validate_data(fitted, X, reset=True, skip_check_array=True)
        classes, label = check_labels(y)
        objective = check_objective(self.objective, classes)
        check_confidence(self.confidence, self.tol)
        if subjects is not None:
            subjects = check_subjects(subjects, len(label))
        by_subject = None if subjects is None else Subjects.of(subjects)
        seen, sensitive = self._split(X, sensitive_features)
        weight = check_weight(sample_weight, len(label))
        if weight is not None:
            weighed = _safe_indexing(y, np.flatnonzero(weight))
            check_labels(weighed, "y among the rows of positive weight")
        groups_, group = encode_groups(sensitive)
        if len(groups_) == 0:
            raise ValueError(
                "No row has a group: the sensitive feature is missing (NaN or None) in "
                "all rows. Give rows of at least two groups."
            )
        rng = check_random_state(self.random_state)
        problem = Problem(
            CONSTRAINTS[self.constraints],
            objective,
            self.method,
            groups_,
            classes,
            self.confidence,
            self.unknown_group == "unconstrained",
        ).within(float(self.tol))

        strata = np.where(group < 0, -1, len(classes) * group + label)
        training, calibrating = plan_calibration(
            self.estimator, self.calibration, strata, by_subject, rng
        )
        rows = CalibrationRows(np.arange(len(label)), group, label, weight)
        rows = rows.take(calibrating)
        check_groups_suffice(problem, rows)
        if training is None:
            estimator: Any = None if self.estimator is None else clone(self.estimator)
        else:
            estimator = self._train(seen, y, weight, subjects, training, rng)
        given_labels = estimator is None and holds_labels(seen, classes)
        # In memory of its own, as a forgotten row may not survive in a view.
        seen = take(seen, calibrating)
        if estimator is None:
            rows = replace(rows, scores=given_scores(seen, classes, given_labels))
        else:
            rows = replace(rows, scores=checked_member_scores(estimator, seen, classes))
        if training is not None and hasattr(estimator, "forget"):
            rows = replace(rows, X=seen)
        if calibrates_across_shards(self.estimator, self.calibration):
            predicting = np.arange(estimator.plan_.n_shards)[
                predicting_members(estimator)
            ]
            rows = leave_own_shard_out(rows, estimator.plan_, predicting)
            check_members_suffice(problem, rows)
        aggregation = checked_aggregation(
            estimator, self.method, seen, rows.scores, classes
        )
        origin = Origin(
            n_given=len(label),
            training=training,
            subjects=by_subject,
            holds_labels=given_labels,
            holds_only_votes=estimator is None and are_votes(rows.scores),
            seed=int(rng.randint(2**31)),
            aggregation=aggregation,
        )
        fitted.__dict__.update(
            classes_=classes,
            groups_=groups_,
            estimator_=estimator,
            forgotten_=np.empty(0, dtype=np.intp),
            _features=feature_names(sensitive_features),
            _problem=problem,
        )
        rows = replace(rows, origin=origin)
        found, bound = fitted._calibrated(rows)
        self.__dict__ = fitted.__dict__ | found
        self._warn_of_rule(bound)
        if len(groups_) == 1:
            warnings.warn(
                f"All rows are of one group, {groups_.tolist()}, so the rule keeps "
                "nothing equal and fairness_report_ knows no gap. Give rows of at "
                "least two groups.",
                UserWarning,
                stacklevel=level_of_caller(),
            )
        return self

    def predict(
        self, X: Rows, *, sensitive_features: ArrayLike | None = None
    ) -> NDArray[Any]:
        """Decide on samples, at random where the rule is randomised.

        Parameters
        ----------
        X : array-like, sparse matrix, data frame or list of length n_samples
            Of the kind given to ``fit``.

        sensitive_features : array-like of shape (n_samples,) or (n_samples, k), \
                default=None
            Groups, if X does not hold them.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Labels.

        Raises
        ------
        ValueError
            If the groups are not given, incomplete, or unknown while `unknown_group`
            is "error".
        """
        check_is_fitted(self)
        X = check_like_fit(self, X)
        probability = self.selection_probability(
            X, sensitive_features=sensitive_features
        )
        uncertain = np.flatnonzero(is_random(probability))
        probability = class_probabilities(probability)
        decided = probability.argmax(axis=1)
        if len(uncertain):
            origin = self._rows.origin
            if origin.holds_only_votes:
                coins = np.random.default_rng(origin.seed).random(len(decided))
                coins = coins[uncertain]
            else:
                columns = row_columns(_safe_indexing(X, uncertain))
                coins = row_coins(columns, origin.seed)
            decided[uncertain] = draw_classes(probability[uncertain], coins)
        return self.classes_[decided]

    def selection_probability(
        self, X: Rows, *, sensitive_features: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        """Return the expected decision.

        Parameters
        ----------
        X : array-like, sparse matrix, data frame or list of length n_samples
            Of the kind given to ``fit``.

        sensitive_features : array-like of shape (n_samples,) or (n_samples, k), \
                default=None
            Groups, if X does not hold them.

        Returns
        -------
        probability : ndarray of shape (n_samples,) or (n_samples, n_classes)
            Probability of the decision ``classes_[1]``, in [0, 1]; with more than two
            classes, of each decision.

        Warns
        -----
        StaleRuleWarning
            If rows were forgotten by the ensemble, but not through this estimator.
        """
        check_is_fitted(self)
        missed = np.setdiff1d(self._passed_by(self.estimator_), self.forgotten_)
        if len(missed):
            warnings.warn(
                f"The ensemble has forgotten {len(missed)} rows that this rule still "
                "uses. Call forget([]) here to update the rule, and send requests to "
                "the post-processor rather than to its ensemble.",
                StaleRuleWarning,
                stacklevel=level_of_caller(),
            )
        X = check_like_fit(self, X)
        seen, groups = self._split(X, sensitive_features, self._features)
        group = group_codes(
            groups, self.groups_, accepts_unknown=self._problem.accepts_unknown
        )
        return self._solved_rule().selection_probability(self._scores(seen), group)

    def transform(
        self, X: Rows, *, sensitive_features: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        """Return the expected decision as columns.

        Parameters
        ----------
        X : array-like, sparse matrix, data frame or list of length n_samples
            Of the kind given to ``fit``.

        sensitive_features : array-like of shape (n_samples,) or (n_samples, k), \
                default=None
            Groups, if X does not hold them.

        Returns
        -------
        probability : ndarray of shape (n_samples, 1) or (n_samples, n_classes)
        """
        probability = self.selection_probability(
            X, sensitive_features=sensitive_features
        )
        return probability.reshape(len(probability), -1)

    def fit_transform(
        self,
        X: Rows,
        y: ArrayLike,
        *,
        sensitive_features: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        subjects: ArrayLike | None = None,
    ) -> NDArray[np.float64]:
        """Fit, then return the expected decision on the same rows.

        Parameters
        ----------
        X : array-like, sparse matrix, data frame or list of length n_samples
            What the ensemble takes, or its members' outputs.

        y : array-like of shape (n_samples,)
            Labels.

        sensitive_features : array-like of shape (n_samples,) or (n_samples, k), \
                default=None
            Groups, if X does not hold them.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; None weighs them alike.

        subjects : array-like of shape (n_samples,), default=None
            Data-subject ids.

        Returns
        -------
        probability : ndarray of shape (n_samples, 1) or (n_samples, n_classes)
        """
        self.fit(
            X,
            y,
            sensitive_features=sensitive_features,
            sample_weight=sample_weight,
            subjects=subjects,
        )
        return self.transform(X, sensitive_features=sensitive_features)

    def score(
        self,
        X: Rows,
        y: ArrayLike,
        *,
        sensitive_features: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Return the accuracy of the decisions.

        Parameters
        ----------
        X : array-like, sparse matrix, data frame or list of length n_samples
            What the ensemble takes, or its members' outputs.

        y : array-like of shape (n_samples,)
            Labels.

        sensitive_features : array-like of shape (n_samples,) or (n_samples, k), \
                default=None
            Groups, if X does not hold them.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; None weighs them alike.

        Returns
        -------
        float
        """
        decided = self.predict(X, sensitive_features=sensitive_features)
        return accuracy_score(y, decided, sample_weight=sample_weight)

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> NDArray[np.object_]:
        """Return the names of the columns that ``transform`` gives.

        Parameters
        ----------
        input_features : None
            Not used.

        Returns
        -------
        ndarray of str
            ``fairensemblepostprocessor0``; with more than two classes one name per
            class, ``fairensemblepostprocessor_<class>``.
        """
        check_is_fitted(self)
        name = type(self).__name__.lower()
        two = len(self.classes_) == 2
        columns = [0] if two else [f"_{label}" for label in self.classes_]
        return np.array([f"{name}{column}" for column in columns], dtype=object)

    def forget(
        self,
        indices: ArrayLike | None = None,
        *,
        subjects: ArrayLike | None = None,
        relearn: bool = True,
    ) -> Self:
        """Delete rows, so that the rule is the one fitted without them.

        A row that trained the ensemble goes to the ensemble's ``forget``, and the
        calibration rows are scored anew. A row that calibrated is removed, and the
        counts, of which none is stored apart from the rows, are taken again, so that
        weighted counts are exact too. The split into training and calibration stays.

        Where rows are held out, as with ``calibration=0.2``, the ensemble counts the
        rows that train alone. A row then has another position in ``estimator_``, in
        its log and in its directory than here. Ids of data subjects, given as
        `subjects` to ``fit`` and here, mean the same people in both.

        Rows that ``estimator_`` forgot on its own are forgotten here too.

        Parameters
        ----------
        indices : int, array-like of int or boolean mask, default=None
            Rows by their position in ``fit``. Rows forgotten before are accepted.

        subjects : array-like, default=None
            Data subjects, by the ids given to ``fit``, all of whose rows are to be
            forgotten.

        relearn : bool, default=True
            Whether members of the ensemble learn again at once. With False they stay
            behind, see `behind_`, and the rule is solved for the members as they are,
            until :meth:`relearn` is called.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a row or data subject is unknown, nothing is named, `subjects` is a mask,
            a row trained an ensemble that cannot forget, or too few rows or shards
            would be left to train or to calibrate on. Nothing has changed then.

        Warns
        -----
        UnconstrainedGroupWarning
            If a group has lost the labels that the constraint needs.
        UnsupportedToleranceWarning
            If the rows left no longer support `tol` at `confidence`.
        """
        check_is_fitted(self)
        origin = self._rows.origin
        requested = asked_rows(
            indices,
            subjects,
            origin.n_given,
            None if origin.subjects is None else origin.subjects.rows,
        )
        removed = np.union1d(requested, self._passed_by(self.estimator_))
        removed = np.setdiff1d(removed, self.forgotten_)
        trained = np.empty(0, dtype=np.intp)
        if origin.training is not None:
            trained = np.flatnonzero(np.isin(origin.training, removed))
        if len(trained) and not hasattr(self.estimator_, "forget"):
            raise ValueError(
                f"{len(trained)} of the rows trained a "
                f"{type(self.estimator_).__name__}, which cannot forget. Use a "
                "SISAClassifier as estimator, or fit again without the rows."
            )
        rows = self._rows_without(removed, self.estimator_, trained)
        if rows.X is not None:
            calibrated = np.flatnonzero(np.isin(self._rows.index, removed))
            if len(calibrated):
                forget_in_caches(self.estimator_, take(self._rows.X, calibrated))
        try:
            if len(trained):
                can_wait = hasattr(self.estimator_, "relearn")
                how = {"relearn": relearn} if can_wait else {}
                self.estimator_.forget(trained, **how)
        finally:
            # Whatever ends the call: what the ensemble has erased is erased here too.
            erased = self._passed_by(self.estimator_)
            if len(trained) and np.isin(origin.training[trained], erased).all():
                self._leave_undecided(np.union1d(removed, erased))
        if self._rule is None:
            rows = self._rows
        if len(trained) or self._rule is None:
            rows = self._scored(rows)
        if len(removed) or self._rule is None:
            self._calibrate_without(removed, rows)
        return self

    @available_if(lambda self: hasattr(self.estimator_, "relearn"))
    def relearn(
        self,
        *,
        shards: ArrayLike | None = None,
        max_sample_visits: int | None = None,
    ) -> Self:
        """Train the ensemble's members that are behind, then solve for the rule again.

        Parameters
        ----------
        shards : int or array-like of int, default=None
            As in :meth:`SISAClassifier.relearn`.

        max_sample_visits : int, default=None
            As in :meth:`SISAClassifier.relearn`.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a shard is unknown, or the budget is too small for the cheapest shard.

        Warns
        -----
        UntrainedShardWarning
            If a member cannot be trained on the rows that are left; it stays behind.
        """
        check_is_fitted(self)
        self.estimator_.relearn(shards=shards, max_sample_visits=max_sample_visits)
        removed = np.setdiff1d(self._passed_by(self.estimator_), self.forgotten_)
        self._calibrate_without(removed, self._scored(self._rows.without(removed)))
        return self

    @property
    def behind_(self) -> pd.DataFrame:
        """Shards whose members have slices yet to learn; see Attributes."""
        check_is_fitted(self)
        return self.estimator_.behind_

    def reopen(self, directory: FilePath | None = None) -> Self:
        """Take a durable ensemble as it now is in its directory, and update the rule.

        For a post-processor that was saved before the last deletions: the rows that the
        directory has forgotten, by ``forget`` or the command line, are forgotten here
        too. Repeat requests to `forget` that did not complete.

        Parameters
        ----------
        directory : str or path, default=None
            Where the ensemble is; None is where it was when this was saved.

        Returns
        -------
        self

        Raises
        ------
        DirectoryError
            If the ensemble is not durable, was fitted anew since, or the directory
            holds another one.
        ValueError
            If too few rows or shards are left to calibrate on.

        Warns
        -----
        UnconstrainedGroupWarning, UnsupportedToleranceWarning
            As by `forget`.

        Examples
        --------
        >>> import pickle, tempfile
        >>> import numpy as np
        >>> from sklearn.linear_model import SGDClassifier
        >>> from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
        >>> rng = np.random.default_rng(0)
        >>> X, group = rng.normal(size=(400, 2)), np.arange(400) % 2
        >>> y = (X[:, 0] + rng.normal(size=400) > 0).astype(int)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     sisa = SISAClassifier(SGDClassifier(), checkpoint_dir=folder)
        ...     fair = FairEnsemblePostprocessor(sisa, random_state=0)
        ...     saved = pickle.dumps(fair.fit(X, y, sensitive_features=group))
        ...     _ = SISAClassifier.load(folder).forget([5])
        ...     pickle.loads(saved).reopen().forgotten_
        array([5])
        """
        check_is_fitted(self)
        if self._rows.origin.training is None:
            raise DirectoryError(
                "The rule was fitted over members that were trained before, and holds "
                "no rows for the members of the directory to predict. Fit it again, "
                "over FrozenEstimator(SISAClassifier.load(directory))."
            )
        if not hasattr(self.estimator_, "_reopened"):
            raise DirectoryError(
                f"The ensemble is a {type(self.estimator_).__name__}, which has no "
                "directory. Only a SISAClassifier with checkpoint_dir= is durable."
            )
        opened = self.estimator_._reopened(directory)
        removed = np.setdiff1d(self._passed_by(opened), self.forgotten_)
        rows = self._rows_without(removed, opened, np.empty(0, dtype=np.intp))
        caught_up = copy.copy(self)
        caught_up.estimator_ = opened
        caught_up._calibrate_without(removed, caught_up._scored(rows))
        self.__dict__ = caught_up.__dict__
        return self

    def _passed_by(self, estimator):
        """Rows that an ensemble has forgotten, through this estimator or otherwise."""
        training = self._rows.origin.training
        if training is None or not hasattr(estimator, "forgotten_"):
            return np.empty(0, dtype=np.intp)
        ours = estimator.forgotten_ < len(training)  # not those of partial_fit
        return training[estimator.forgotten_[ours]]

    def _rows_without(self, removed, estimator, trained):
        """Calibration rows but for some, after an ensemble has forgotten others."""
        rows = self._rows.without(removed)
        if hasattr(estimator, "_shards_left"):
            left = estimator._shards_left(trained)
            if len(left) == 0:
                raise ValueError(
                    "No training row would be left, so that all members would abstain. "
                    "Fit again with other rows."
                )
            if rows.counted is not None:
                rows = leave_own_shard_out(rows, estimator.plan_, left)
        check_some_row_counts(rows, self._problem.method)
        return rows

    def _leave_undecided(self, removed):
        """Drop rows and what was solved on them, until it is solved again."""
        rows = replace(self._rows.without(removed), scores=None)
        forgotten = np.union1d(self.forgotten_, removed).astype(np.intp)
        self.__dict__.update(_rows=rows, _rule=None, forgotten_=forgotten)

    def _scored(self, rows):
        """Rows with the predictions of the members that are left.

        Without scores where these are too few to decide, as while they are behind.
        """
        members = getattr(self.estimator_, "estimators_", [self.estimator_])
        left = np.flatnonzero([member is not None for member in members])
        if len(left) < (1 if rows.counted is None else 2):
            return replace(rows, scores=None)
        if rows.counted is not None:
            rows = leave_own_shard_out(rows, self.estimator_.plan_, left)
        return replace(
            rows, scores=checked_member_scores(self.estimator_, rows.X, self.classes_)
        )

    def _calibrate_without(self, removed, rows):
        """Solve again, on the rows that are left, and note which are removed."""
        if rows.scores is None:
            self._leave_undecided(removed)
            return
        forgotten = np.union1d(self.forgotten_, removed).astype(np.intp)
        found, bound = self._calibrated(rows)
        # One update: a request that fails before can be repeated.
        self.__dict__.update(found, forgotten_=forgotten)
        self._warn_of_rule(bound)
        if len(self.unconstrained_groups_):
            alone = METHODS[self._problem.method].has_rule_per_member
            where = " outside a shard" if alone and rows.counted is not None else ""
            warnings.warn(
                f"Groups {self.unconstrained_groups_.tolist()} have lost their "
                f"last positive or negative calibration row{where}. Their people "
                "are now decided on without regard to groups; fit again to have "
                "them back.",
                UnconstrainedGroupWarning,
                stacklevel=level_of_caller(),
            )

    def tradeoff(
        self,
        tols: ArrayLike | None = None,
        X: Rows | None = None,
        y: ArrayLike | None = None,
        *,
        sensitive_features: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> pd.DataFrame:
        """Solve for several tolerances and show what each costs.

        Parameters
        ----------
        tols : array-like of float in [0, 1], default=None
            Tolerances in calibration, whatever `confidence`. None is 11 of them,
            evenly spaced from 0 to the gap without a constraint.

        X, y, sensitive_features, sample_weight : default=None
            New rows to evaluate on, as for ``score``. None is the calibration rows,
            where the tolerance is kept exactly.

        Returns
        -------
        DataFrame
            A row per tolerance, with expected values of accuracy, balanced_accuracy,
            selection_rate (of two classes), the differences between groups (largest
            minus least) called equalized_odds_difference,
            demographic_parity_difference, true_positive_rate_difference and
            false_positive_rate_difference, and randomised_share.
        """
        self._solved_rule()
        if (X is None) != (y is None):
            raise ValueError("X and y must be given together, or neither.")
        if X is None:
            if sensitive_features is not None or sample_weight is not None:
                raise ValueError(
                    "sensitive_features and sample_weight belong to new rows. Give X "
                    "and y too."
                )
            new = None
        else:
            new = self._evaluation_rows(X, y, sensitive_features, sample_weight)
        return tradeoff_table(self._rows, self._problem, tols, new)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if hasattr(self.estimator, "fit"):
            tags.input_tags = get_tags(self.estimator).input_tags
        return tags

    def _train(self, X, y, weight, subjects, training, rng):
        """Fit a clone of the ensemble on some rows."""
        estimator = clone(self.estimator)
        if self.random_state is not None:
            _seed_where_none(estimator, rng)
        params = {}
        takes_weight = None if weight is None else weight_param(estimator)
        if takes_weight is not None:
            params[takes_weight] = weight[training]
        if subjects is not None and has_fit_parameter(estimator, "subjects"):
            params["subjects"] = _safe_indexing(subjects, training)
        # A step before the ensemble may change objects within rows.
        own = own_objects(_safe_indexing(X, training))
        return estimator.fit(own, _safe_indexing(y, training), **params)

    def _calibrated(self, rows):
        """Solve on calibration rows.

        Returns the state that goes with them, and the bound of the rule's true gap.
        """
        problem = self._problem
        if problem.confidence is None:
            rule, bound = learn_rule(rows, problem)(problem.tol), 0.0
        else:
            rule, bound = tightened(rows, problem)
        return {"_rows": rows, "_rule": rule, "tol_": rule.problem.tol}, bound

    def _warn_of_rule(self, bound):
        """Warn of a rule that may not be what was wanted."""
        wanted = self._problem.tol
        if bound > wanted:
            warnings.warn(
                f"The calibration rows do not support a true gap of at most "
                f"{wanted:g} at confidence {self._problem.confidence:g}: even with "
                f"tolerance 0 in calibration it may be {bound:.3f}. Give more rows of "
                "the groups that fairness_report_ calls too small, raise tol, or use a "
                "method that overfits less.",
                UnsupportedToleranceWarning,
                stacklevel=level_of_caller(),
            )
        if self._rule.is_constant:
            warnings.warn(
                "The fair rule decides the same for everyone, so it makes no use of "
                'the members. Try objective="balanced_accuracy_score", other costs, '
                "or a greater tol.",
                DegenerateRuleWarning,
                stacklevel=level_of_caller(),
            )

    def _evaluation_rows(self, X, y, sensitive_features, sample_weight):
        X, y = indexable(check_like_fit(self, X), in_memory(y))
        seen, groups = self._split(X, sensitive_features, self._features)
        group = group_codes(
            groups, self.groups_, accepts_unknown=self._problem.accepts_unknown
        )
        y = column_or_1d(y)
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown) or (group < 0).any():
            given = (
                f"labels {unknown.tolist()[:5]}"
                if len(unknown)
                else f"{int((group < 0).sum())} rows of other groups or of none"
            )
            raise ValueError(
                f"Rates need labels out of {self.classes_.tolist()} and groups out of "
                f"{self.groups_.tolist()}, but got {given}. Leave these rows out."
            )
        label = np.searchsorted(self.classes_, y)
        if len(self.classes_) == 2:
            label = label.astype(bool)
        return CalibrationRows(
            np.arange(len(label)),
            group,
            label,
            check_weight(sample_weight, len(label)),
            scores=self._scores(seen),
        )

    def _split(self, X, sensitive_features, features=None):
        """X without the sensitive columns, and each row's group, masked if missing."""
        return split_groups(
            X,
            sensitive_features,
            self.sensitive_feature,
            drop_sensitive=self.drop_sensitive,
            allow_missing=self.unknown_group == "unconstrained",
            features=features,
        )

    def _scores(self, seen):
        if self.estimator_ is None:
            scores = given_scores(seen, self.classes_, self._rows.origin.holds_labels)
        else:
            scores = checked_member_scores(self.estimator_, seen, self.classes_)
        n_members = self._rows.scores.shape[1]
        if scores.shape[1] != n_members:
            raise ValueError(
                f"X holds the outputs of {scores.shape[1]} members, but fit saw "
                f"{n_members}. Give the outputs of the same members."
            )
        return scores


def _seed_where_none(estimator, rng):
    """Make every part of the ensemble repeatable, but keep the seeds it has."""
    unset = {
        name: int(rng.randint(2**31))
        for name, value in sorted(estimator.get_params(deep=True).items())
        if value is None and (name == "random_state" or name.endswith("__random_state"))
    }
    estimator.set_params(**unset)
