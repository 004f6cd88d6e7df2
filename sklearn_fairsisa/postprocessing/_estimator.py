"""Fair decisions from the predictions of an ensemble's members."""

import copy
import re
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any, Literal, NoReturn, Self

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
from sklearn.exceptions import NotFittedError
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
    _num_samples,
    check_is_fitted,
    validate_data,
)

from .._utils.accepted import accepted
from .._utils.groups import (
    feature_names,
    group_codes,
    sensitive_names,
    split_groups,
    without_columns,
)
from .._utils.sources import drop_pages
from .._utils.typing import (
    Estimator,
    FilePath,
    RandomState,
    Rows,
    SensitiveFeature,
)
from .._utils.validation import (
    check_like_fit,
    check_some_rows,
    check_subjects,
    class_labels,
)
from .._utils.warnings import level_of_caller
from ..exceptions import (
    DirectoryError,
    StaleRuleWarning,
    UnsupportedToleranceWarning,
)
from ..fairness._coins import (
    class_probabilities,
    draw_classes,
    is_random,
)
from ..fairness._constraints import CONSTRAINTS, Constraint
from ..sisa import CheckpointPolicy, SISAClassifier
from ..sisa._inputs import INPUTS
from ..sisa._plan import HELD_OUT
from ..sisa._requests import asked_rows, requested_rows
from ..sisa._serving import absent, served_classifier
from ..sisa._without_rows import without_rows
from ._aggregation import aggregation_of
from ._calibrated import OwnRows, PosedProblem, groups_and_codes
from ._calibration import (
    CalibrationRows,
    are_votes,
    check_two_shards,
    drawn_roles,
    held_out_share,
)
from ._checks import (
    check_attributes,
    check_confidence,
    check_constraints,
    check_groups_suffice,
    check_infers,
    check_labels,
    check_objective,
    check_positive,
    check_randomise,
    check_some_row_counts,
    check_tells_groups,
    check_weight,
    checked_aggregation,
    warn_of_tiny_groups,
)
from ._coins import check_one_group_each, coins_of, first_coins, warn_of_shared
from ._ensemble_rule import NewRows, begun
from ._fitted import FittedRuleMixin, solved
from ._heads import FoldedNumbers, drawn_folds
from ._members import (
    checked_member_scores,
    given_scores,
    holds_labels,
    reached_sisa,
    read_numbers,
)
from ._methods import METHODS, uses_heads
from ._rule import tradeoff_table
from ._serving import Serving, bare_rule
from ._subjects import Subjects
from ._training import Training

_OBJECTIVES = ("accuracy_score", "balanced_accuracy_score")
# The rule of ``fit`` among those that an ensemble keeps.
_NAME = "rule"
_FITTED = ("estimator_", "_name", "_own")
_REQUESTED = {"sensitive_features": True, "subjects": True}
_SERVED = "the FairEnsemblePostprocessor that it was made of"


class FairEnsemblePostprocessor(
    FittedRuleMixin,
    ClassifierMixin,
    TransformerMixin,
    MetaEstimatorMixin,
    BaseEstimator,
):
    r"""Make the decisions of an ensemble fair between groups.

    On calibration rows that the members have not learnt from, it finds a rule on
    (group, members' outputs). The rule optimises an objective while the error or
    selection rates of the groups are equal. The rates are counted or, by the default
    method, estimated on these rows. The rule is randomised if equality requires it.
    With more than two classes the rates are the confusion rates, P(decision = k | Y =
    j, group) for all j and k.

    Parameters
    ----------
    estimator : classifier or list of frozen classifiers, default=None
        An ensemble with ``transform`` that gives each member's score of the positive
        class in [0, 1], or with ``estimators_``: :class:`SISAClassifier`, bagging,
        voting, forests. An ensemble frozen by :class:`~sklearn.frozen.FrozenEstimator`
        is used without training, and so is each classifier of a list, which must be
        fitted and frozen. With None, X holds the members' outputs, one column each:
        votes 0 and 1, scores in [0, 1], or class labels. Scores are those of
        ``classes_[1]``, whatever `pos_label`. A member votes for the positive class if
        its score of that class is above one half. With more than two classes
        X holds class labels, one column per member, or scores of all classes, member
        by member, and a member votes for the first class of greatest score.

    method : {"smooth_ensemble", "soft_ensemble", "ensemble", \
            "aggregate_then_postprocess", "postprocess_then_aggregate"}, \
            default="smooth_ensemble"
        What the rule distinguishes within a group:

        - ``"aggregate_then_postprocess"``: the ensemble's own label, which is the
          majority's unless the ensemble weights its members or averages their scores;
        - ``"postprocess_then_aggregate"``: each member's label has a rule of its own,
          and the majority of the members' randomised decisions decides, with the
          weights that the ensemble gives to its members. This makes
          each member fair, but not their majority, so it may look more accurate than
          the other methods;
        - ``"ensemble"``: the pattern of all votes. It is the best of all rules on votes
          in calibration, but overfits with many members and few rows;
        - ``"soft_ensemble"``: levels of a sum of the members' logits, which is weighted
          separately for each group; the share of positives rises with the level. With
          more classes, the rule is a mixture of least-cost rules on class
          probabilities, which are estimated from the logits and the group;
        - ``"smooth_ensemble"``: the same sum. But the share of positives along the sum,
          and the distribution of the group's people over it, are smooth functions that
          groups share as far as they agree. A group with few negatives, or few
          positives, is then estimated from all its people, and a group with few people
          from other groups. The estimated rates are equal, not those counted in
          calibration. This method also uses heads beside the members: models of the
          label given X and the group, learnt out of fold, which groups share as far as
          they agree. Of texts that members read by a frozen network, heads read its
          vectors, otherwise hashed words. With more classes it is ``"soft_ensemble"``,
          whose estimates are then smooth, with a head for each class against the rest
          beside the members.

    constraints : str, Difference, Ratio, AtLeast or list of these objects, \
            default="equalized_odds"
        ``"equalized_odds"``, ``"demographic_parity"``,
        ``"true_positive_rate_parity"``, ``"false_positive_rate_parity"``,
        ``"false_negative_rate_parity"`` or ``"true_negative_rate_parity"``, as in
        fairlearn. With more than two classes: all confusion rates; the share of each
        decision; for ``"true_positive_rate_parity"`` each class's recall,
        P(decision = k | Y = k); for ``"false_positive_rate_parity"`` each class
        against the rest, P(decision = k | Y != k). Each of these words stands for a
        :class:`~sklearn_fairsisa.constraints.Difference` that is at most `tol`. The
        objects of :mod:`sklearn_fairsisa.constraints` carry their own bounds, and the
        rule satisfies all of them; `tol` must then be 0.

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
        `fairness_report_` can show. If the rows do not suffice for that, the tolerance
        is 0 and an `UnsupportedToleranceWarning` names what is missing. This solves ten
        more rules per tolerance tried, in ``fit`` and in ``forget``, and with
        ``"ensemble"`` and ``"postprocess_then_aggregate"`` 110 more in all.

    pos_label : int, float, bool or str, default=None
        Positive class of two, the good outcome, to which rates, costs,
        `selection_probability`, `transform` and pictures refer. With None it is
        ``classes_[1]``; costs and constraints on rates that are not the same for both
        classes then raise unless the labels are 0 and 1, or -1 and 1.

    sensitive_feature : str, int, list of these, or callable, default=None
        Where X holds the group: a column name, a position, several of them (each
        combination of values is a group) or a function of X. With None, the methods
        need `sensitive_features`.

    drop_sensitive : bool, default=True
        Whether the named columns are hidden from the members.

    calibration : float, "cross_shard" or "auto", default="auto"
        Share of the rows held out from the members, by position or data subject
        alone. With
        ``"cross_shard"`` the ensemble, a :class:`SISAClassifier`, learns from all
        rows, and each row calibrates by the outputs of the members of the other
        shards, which have not seen it. Decisions on new people leave out each member in
        turn and average the probabilities. New people are thus treated like the
        calibration rows, even if members memorise; more decisions are randomised.
        ``"auto"`` is ``"cross_shard"`` for a :class:`SISAClassifier` of several
        shards, otherwise 0.2. Unused if `estimator`
        is None or frozen: then every row given to ``fit`` calibrates, and the members
        must not have learnt from any.

    sensitive_at_predict : bool, default=True
        Whether the methods that decide need the groups. With False only ``fit`` does:
        the rule estimates each person's group from X and the members, and decides so
        that the groups' rates agree as far as X distinguishes them. Groups that are
        given anyway are ignored; a column named by `sensitive_feature` may be missing
        from X, unless `drop_sensitive` is False. The three methods on votes
        cannot do this.

    unknown_group : {"error", "unconstrained", "inferred"}, default="error"
        How to treat people of groups not seen in ``fit``, or without a group (NaN or
        None): raise an error; decide by the rule that optimises the objective without
        regard to groups; or estimate their group, as with
        ``sensitive_at_predict=False``. Rows without a group in ``fit`` train the
        ensemble, unless they are refused or held out, but do not calibrate.

    randomise : bool, default=True
        Whether decisions may be randomised. With False each group has a threshold, and
        the thresholds are the best that satisfy the constraints. This needs two
        classes, a method on scores, and constraints with some tolerance, such as a
        `tol` above 0. For several constraints, 200 thresholds per group are tried; see
        `optimality_gap_`. Across shards the mean of the scores without each member in
        turn is compared with the threshold. Only rules without randomised decisions
        have :meth:`decision_function`.

    random_state : int, RandomState instance or None, default=None
        Source of the held-out rows, of the key of the randomised decisions, and of the
        seeds of `estimator` that are None. Pass an int for repeatable results.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Sorted labels.

    pos_label_ : object
        Positive class, of two: `pos_label`, or else ``classes_[1]``.

    groups_ : ndarray of shape (n_groups,)
        Sorted groups that ``fit`` saw. Groups of several sensitive features are tuples
        with a value per feature, also in the column group of the tables below. Whole
        numbers and booleans are integers here, whatever their type was. The name of a
        group remains when its last row is forgotten, like that of a class; refit to
        remove it.

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
        Tolerance that the rule satisfies in calibration: `tol`, or less with
        `confidence`. With constraint objects it is 0, or a negative number if
        `confidence` makes all of their bounds stricter by this amount.

    optimality_gap_ : float
        With ``randomise=False``, how much better the objective of other thresholds may
        be in calibration: 0 for one constraint; for several, how much better a
        randomised rule is.

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
        ("3:1"), or an interval of the score, in units of log-odds. Neighbouring
        intervals of equal probability are one. With more than two classes
        probability_<class> for each; the cells are class names, all members' votes
        ("cat|cat|dog", or "cat|-|dog" across shards), a member and its vote ("3:cat"),
        or the decisions of the rules that ``"soft_ensemble"`` mixes ("cat|dog").

    rule_summary_ : str
        What the cells are, and a line for each group that states which cells get which
        decision. Print it.

    boundaries_ : DataFrame
        Columns group, false_positive_rate and true_positive_rate: vertices of the
        upper boundary of what the method can reach in each constrained group, from
        (0, 0) to (1, 1). Not defined for ``"postprocess_then_aggregate"``, which has no
        such region, nor for more than two classes.

    member_weights_ : DataFrame
        Weight of each member, and of the heads in a column ``"head"``, in each
        constrained group; the score of ``rule_`` is the weighted sum of the logits of
        the scores, clipped to [1e-6, 1 - 1e-6]. In a group weights sum to 1, or to -1
        if its positives have the smaller scores. Members have equal weights unless the
        rows show that they differ. Not defined for methods on votes, nor for more than
        two classes.

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
        Positions in ``fit`` and ``partial_fit`` of the rows forgotten since.

    behind_ : DataFrame
        Shards of the ensemble whose members are behind (have not learnt all slices), as
        `SISAClassifier.behind_`, and a row of shard -1 while the rule is not solved for
        the present rows and members.

    unconstrained_groups_ : ndarray
        Groups whose last positive or negative was forgotten, and that are decided on
        without regard to groups. If members are post-processed one by one across
        shards, each member needs positives and negatives outside its own shard.

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
    found exactly by merging the boundaries of the regions that these points fill;
    otherwise a linear program over the boundaries' vertices finds them. Within a group
    nobody is selected less often than someone less likely positive. Among the rules at
    an operating point, the one that randomises the fewest people is chosen.

    With K > 2 classes a rule has K probabilities per cell, and its confusion rates are
    linear in them, so the best one is the solution of a linear program over the
    observed cells ([3]_ for the majority's label). For ``"soft_ensemble"`` the program
    mixes rules that decide for the k of greatest :math:`\sum_j \eta_j \Lambda_{jk}`,
    where :math:`\eta` are the estimated class probabilities; its dual prices propose
    the matrices :math:`\Lambda`. With two classes such rules are thresholds.

    The coin that settles a randomised decision is a keyed hash of the person's row of
    X, or of the id if ``subjects`` are given. The same person therefore gets the same
    decision in any batch or order, in single or double precision. Without ids, people
    whose rows are equal share a coin. If X contains only votes (``estimator=None``),
    people are indistinguishable: their coins come from `random_state` by position.

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
    >>> fair.operating_points_.round(2)
       group  false_positive_rate  true_positive_rate
    0      0                 0.38                0.68
    1      1                 0.38                0.68
    """

    # The rule and its rows, where no ensemble keeps them.
    _own: OwnRows | None = None

    # Requested by default: a fair decision without the group does not exist, nor does
    # one that is a person's own without the person.
    __metadata_request__fit = _REQUESTED
    __metadata_request__partial_fit = _REQUESTED
    __metadata_request__predict = _REQUESTED
    __metadata_request__decision_function = {"sensitive_features": True}  # noqa: RUF012
    __metadata_request__score = _REQUESTED
    __metadata_request__transform = _REQUESTED

    _parameter_constraints: dict = {  # noqa: RUF012
        "estimator": [HasMethods(["fit"]), list, tuple, None],
        "method": [StrOptions(set(METHODS))],
        "constraints": [StrOptions(set(CONSTRAINTS)), Constraint, list, tuple],
        "objective": [StrOptions(set(_OBJECTIVES)), dict, list, tuple, np.ndarray],
        "tol": [Interval(Real, 0, 1, closed="both")],
        "confidence": [Interval(Real, 0, 1, closed="neither"), None],
        "pos_label": [Real, str, "boolean", None],
        "sensitive_feature": [str, Real, list, tuple, callable, None],
        "drop_sensitive": ["boolean"],
        "calibration": [
            Interval(RealNotInt, 0, 1, closed="neither"),
            StrOptions({"auto", "cross_shard"}),
        ],
        "sensitive_at_predict": ["boolean"],
        "unknown_group": [StrOptions({"error", "unconstrained", "inferred"})],
        "randomise": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Estimator | Sequence[Any] | None = None,
        *,
        method: str = "smooth_ensemble",
        constraints: str | Constraint | Sequence[Constraint] = "equalized_odds",
        objective: Literal["accuracy_score", "balanced_accuracy_score"]
        | dict[str, float]
        | Sequence[Sequence[float]]
        | NDArray[Any] = "accuracy_score",
        tol: float = 0.0,
        confidence: float | None = None,
        pos_label: Any = None,
        sensitive_feature: SensitiveFeature = None,
        drop_sensitive: bool = True,
        calibration: float | Literal["cross_shard", "auto"] = "auto",
        sensitive_at_predict: bool = True,
        unknown_group: Literal["error", "unconstrained", "inferred"] = "error",
        randomise: bool = True,
        random_state: RandomState = None,
    ) -> None:
        self.estimator = estimator
        self.method = method
        self.constraints = constraints
        self.objective = objective
        self.tol = tol
        self.confidence = confidence
        self.pos_label = pos_label
        self.sensitive_feature = sensitive_feature
        self.drop_sensitive = drop_sensitive
        self.calibration = calibration
        self.sensitive_at_predict = sensitive_at_predict
        self.unknown_group = unknown_group
        self.randomise = randomise
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
            Data-subject ids, for ``forget(subjects=...)``. Either all or no rows of a
            subject are held out. The ensemble's ``fit`` receives the ids if it takes
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
        X = accepted(X)
        check_some_rows(X)
        X, y = indexable(X, class_labels(y))
        # Work on a copy, so that a failed fit changes nothing.
        fitted = copy.copy(self)
        for name in INPUTS:
            fitted.__dict__.pop(name, None)
        X = validate_data(fitted, X, reset=True, skip_check_array=True)
        classes, label = check_labels(y)
        drop_pages(y)
        if subjects is not None:
            subjects = check_subjects(subjects, len(label))
        seen, groups = self._split(X, sensitive_features)
        weight = check_weight(sample_weight, len(label))
        if weight is not None:
            weighed = _safe_indexing(y, np.flatnonzero(weight))
            check_labels(weighed, "y among the rows of positive weight")
        names, group = groups_and_codes(groups)
        features = sensitive_names(sensitive_features, self.sensitive_feature)
        problem = self._posed(names, classes, features)
        share = held_out_share(self.estimator, self.calibration)
        label = problem.labels(label)
        rows = CalibrationRows.given(group, label, weight)
        # Each would take as much memory as some columns of X until the members are
        # trained.
        del groups, group, label
        about = {"problem": problem, "features": feature_names(sensitive_features)}
        train = Training(self, seen, y, weight, subjects, given=X)
        if isinstance(self.estimator, SISAClassifier):
            found = fitted._train_sharded(train, rows, share, about)
        else:
            found = fitted._calibrate_own(train, rows, share, about)
        self.__dict__ = {**fitted.__dict__, **found}
        self._calibrated().warn_of_shared_coins()
        warn_of_tiny_groups(self._calibrated())
        if not self.sensitive_at_predict:
            self._warn_of_gap()
        if len(names) == 1:
            warnings.warn(
                f"All rows are of one group, {names.tolist()}, so the rule keeps "
                "nothing equal and fairness_report_ has no gap. Give rows of at "
                "least two groups.",
                UserWarning,
                stacklevel=level_of_caller(),
            )
        return self

    @available_if(lambda self: self._ensemble_can("partial_fit"))
    @_fit_context(prefer_skip_nested_validation=False)
    def partial_fit(
        self,
        X: Rows,
        y: ArrayLike,
        *,
        classes: ArrayLike | None = None,
        sensitive_features: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        subjects: ArrayLike | None = None,
    ) -> Self:
        """Append rows to the ensemble, then solve for the rule on all rows.

        The role of a row, whether it trains or calibrates, follows from the seed as in
        ``fit``. Groups may be new.

        Parameters
        ----------
        X : array-like, sparse matrix, data frame or list of length n_samples
            Of the kind given to ``fit``.

        y : array-like of shape (n_samples,)
            Labels. Classes may be new.

        classes : array-like, default=None
            Not used. Scikit-learn passes it to all classifiers; here a new class is
            learnt with its first row.

        sensitive_features : array-like of shape (n_samples,) or (n_samples, k), \
                default=None
            Groups, if X does not hold them.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in calibration, and in the ensemble if ``fit`` gave it
            weights.

        subjects : array-like of shape (n_samples,), default=None
            Data-subject ids, required if ``fit`` had them.

        Returns
        -------
        self

        Raises
        ------
        AttributeError
            If the ensemble cannot continue, as in :meth:`SISAClassifier.partial_fit`.
        ValueError
            If a new group lacks the labels that the constraint needs, or the rows do
            not suit those of ``fit``. Nothing has changed then.
        """
        if not self.__sklearn_is_fitted__():
            return self.fit(
                X,
                y,
                sensitive_features=sensitive_features,
                sample_weight=sample_weight,
                subjects=subjects,
            )
        X, y = indexable(check_like_fit(self, X), class_labels(y))
        calibrated = self._calibrated()
        seen, groups = self._split(X, sensitive_features, calibrated.features)
        weight = check_weight(sample_weight, _num_samples(y))
        if calibrated.by_subject and subjects is not None:
            subjects = check_subjects(subjects, _num_samples(y))
        coins = first_coins(
            X, subjects if calibrated.by_subject else None, calibrated.seed
        )
        given = {self._name: NewRows(groups, weight, self.objective, coins)}
        with self.estimator_._exclusive():
            # Members are weighted where they were in fit.
            trains = sample_weight if self.estimator_._has_weights() else None
        self.estimator_._go_on(seen, y, trains, None, subjects, given)
        return self

    def attach(
        self,
        ensemble: SISAClassifier,
        *,
        sensitive_features: ArrayLike,
        sample_weight: ArrayLike | None = None,
        name: str = "rule",
    ) -> Self:
        """Calibrate a rule on the rows of an ensemble, and keep it there.

        One ensemble can thus have several rules, such as one by sex and one by age. Any
        change of the ensemble updates each of them. If the ensemble has a durable
        directory, its rules are stored there, for :meth:`load`.

        Parameters
        ----------
        ensemble : SISAClassifier
            A fitted ensemble. It is used, not copied. If rows were held out when it was
            fitted, these rows calibrate; otherwise all rows do, across shards.

        sensitive_features : array-like of shape (n,) or (n, k)
            Groups of all rows ever given to the ensemble, in the order of their
            indices. Groups of forgotten rows are ignored.

        sample_weight : array-like of shape (n,), default=None
            Weights of the rows in calibration.

        name : str, default="rule"
            Name of the rule, of letters, digits and underscores. An existing rule of
            this name is replaced.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the name is unusable, the number of rows differs from the ensemble's, or
            a group lacks the labels that the constraint needs.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
        >>> rng = np.random.default_rng(0)
        >>> X, sex, age = rng.normal(size=(400, 2)), *rng.integers(0, 2, (2, 400))
        >>> y = (X[:, 0] + rng.normal(size=400) > 0).astype(int)
        >>> sisa = SISAClassifier(random_state=0).fit(X, y)
        >>> by_sex = FairEnsemblePostprocessor(random_state=0)
        >>> by_sex = by_sex.attach(sisa, sensitive_features=sex, name="by_sex")
        >>> by_age = FairEnsemblePostprocessor(random_state=0)
        >>> by_age = by_age.attach(sisa, sensitive_features=age, name="by_age")
        >>> sisa = sisa.forget([5])
        >>> [len(rule.calibration_indices_) for rule in (by_sex, by_age)]
        [399, 399]
        """
        self._validate_params()
        check_is_fitted(ensemble)
        _check_name(name)
        if self.sensitive_feature is not None:
            raise ValueError(
                f"sensitive_feature={self.sensitive_feature!r} names a part of X, but "
                "the rows of the ensemble may lack it. Set it to None, and give the "
                "groups as sensitive_features."
            )
        with ensemble._exclusive():
            fitted = ensemble._snapshot()
            label = fitted._state.labels(np.arange(fitted.plan_.n_rows))
        plan, classes = fitted.plan_, fitted.classes_
        retained = np.flatnonzero(label >= 0)
        given = {"sensitive_features": sensitive_features}
        given |= {} if sample_weight is None else {"sample_weight": sample_weight}
        # Nothing is expected of what is given for rows that are forgotten.
        given = {
            what: _of_rows(values, retained, plan.n_rows, what)
            for what, values in given.items()
        }
        _, groups = self._split(
            np.empty((len(retained), 0)), given["sensitive_features"]
        )
        weight = check_weight(given.get("sample_weight"), len(retained))
        names, group = groups_and_codes(groups)
        problem = self._posed(names, classes, sensitive_names(sensitive_features, None))
        rows = CalibrationRows(
            retained,
            group,
            problem.labels(label[retained]),
            weight,
            aggregation=aggregation_of(ensemble),
        )
        about = {
            "problem": problem,
            "features": feature_names(sensitive_features),
            "seed": int(check_random_state(self.random_state).randint(2**31)),
            "params": self._own_params(),
            "inputs": fitted._state.inputs,
            "across": not plan.held_out,
        }
        rule = begun(rows, fitted._state, **about)
        # Members need not predict again what a rule at their side keeps.
        rule = rule.with_scores_of(fitted._state.companions.values())
        if not rule.problem.name:
            rule.updated(fitted).check_feasible()
        with ensemble._settled.during_change(ensemble):
            while not ensemble._attach(fitted, {name: rule}, time.perf_counter()):
                fitted = ensemble._snapshot()
                rule = begun(rows.without(fitted.forgotten_), fitted._state, **about)
            ensemble._calibrate()
        others = {k: v for k, v in vars(self).items() if k not in (*INPUTS, *_FITTED)}
        found = {"estimator_": ensemble, "_name": name, **rule.inputs}
        self.__dict__ = {**others, **found}
        return self

    @classmethod
    def load(
        cls,
        directory: FilePath | CheckpointPolicy,
        *,
        name: str | None = None,
        resign: bool = False,
        params: Mapping[str, Any] | None = None,
    ) -> Self:
        """Open the rule that a durable directory holds with its ensemble.

        Nothing is trained or solved: :meth:`relearn` finishes a call that was
        interrupted.

        Parameters
        ----------
        directory : str, path or CheckpointPolicy
            As in :meth:`SISAClassifier.load`.

        name : str, default=None
            Name of the rule, if there are several. That of :meth:`fit` is "rule".

        resign : bool, default=False
            As in :meth:`SISAClassifier.load`.

        params : dict, default=None
            Parameters to set, such as ``estimator__n_jobs``. They are not written to
            the directory.

        Returns
        -------
        FairEnsemblePostprocessor

        Raises
        ------
        FileNotFoundError
            If the directory holds no ensemble.
        DirectoryError
            If the directory holds no rule, or several and none is called `name`; also
            as in :meth:`SISAClassifier.load`.

        Examples
        --------
        >>> import tempfile
        >>> import numpy as np
        >>> from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
        >>> rng = np.random.default_rng(0)
        >>> X, group = rng.normal(size=(400, 2)), np.arange(400) % 2
        >>> y = (X[:, 0] + rng.normal(size=400) > 0).astype(int)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     sisa = SISAClassifier(checkpoint_dir=folder)
        ...     fair = FairEnsemblePostprocessor(sisa, random_state=0)
        ...     _ = fair.fit(X, y, sensitive_features=group)
        ...     _ = SISAClassifier.load(folder).forget([5])
        ...     FairEnsemblePostprocessor.load(folder).forgotten_
        array([5])
        """
        params = dict(params or {})
        prefix = "estimator__"
        nested = {
            key.removeprefix(prefix): params.pop(key)
            for key in list(params)
            if key.startswith(prefix)
        }
        ensemble = SISAClassifier.load(directory, resign=resign, params=nested)
        rules = ensemble._state.companions
        if name is None and len(rules) == 1:
            (name,) = rules
        if name not in rules:
            names = f"the rules {sorted(rules)}" if rules else "no fair rule"
            which = "name= selects one" if name is None else f"none is called {name!r}"
            raise DirectoryError(
                f"{ensemble._store.directory} holds {names}; {which}. Rules are kept "
                "there by FairEnsemblePostprocessor.fit over a "
                "SISAClassifier(checkpoint_dir=...), or by attach."
            )
        rule = rules[name]
        self = cls(clone(ensemble), **rule.params).set_params(**params)
        vars(self).update(rule.inputs, estimator_=ensemble, _name=name)
        return self

    def predict(
        self,
        X: Rows,
        *,
        sensitive_features: ArrayLike | None = None,
        subjects: ArrayLike | None = None,
    ) -> NDArray[Any]:
        """Decide on samples, at random if the rule is randomised.

        Parameters
        ----------
        X : array-like, sparse matrix, data frame or list of length n_samples
            Of the kind given to ``fit``.

        sensitive_features : array-like of shape (n_samples,) or (n_samples, k), \
                default=None
            Groups, if X does not hold them.

        subjects : array-like of shape (n_samples,), default=None
            Data-subject ids: the person of each row. A randomised decision then follows
            from the id. It is the same in all calls, and is drawn separately for other
            people with equal rows. Without ids it follows from the row.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Labels.

        Raises
        ------
        ValueError
            If the groups are not given, incomplete, or unknown while `unknown_group`
            is "error", or if a subject has rows of several groups.

        Warns
        -----
        SharedCoinWarning
            If equal rows are decided on at random and `subjects` are not given.
        """
        serving = self._serving()
        X, seen, group = self._people(serving, X, sensitive_features, subjects)
        probability = self._probability(serving, seen, group)
        uncertain = np.flatnonzero(is_random(probability))
        decided = class_probabilities(probability).argmax(axis=1)
        if len(uncertain):
            calibrated, chosen = serving.calibrated, probability[uncertain]
            if subjects is not None:
                ids = check_subjects(subjects, len(decided))
                ids = [ids[row] for row in uncertain]
                coins = coins_of(None, ids, calibrated.seed)
            elif getattr(calibrated, "holds_only_votes", False):
                coins = np.random.default_rng(calibrated.seed).random(len(decided))
                coins = coins[uncertain]
            else:
                coins = coins_of(_safe_indexing(X, uncertain), None, calibrated.seed)
                warn_of_shared(chosen, coins, "rows")
            decided[uncertain] = draw_classes(class_probabilities(chosen), coins)
        return serving.calibrated.problem.decisions[decided]

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
            Probability of the decision ``pos_label_``, in [0, 1]; with more than two
            classes, of each decision.

        Warns
        -----
        StaleRuleWarning
            If the ensemble has changed since the rule was solved: another process
            changed its directory, or it was given frozen and has been changed.
        """
        serving = self._serving()
        _, seen, group = self._people(serving, X, sensitive_features)
        return self._probability(serving, seen, group)

    def _people(self, serving, X, sensitive_features, subjects=None):
        """Return new rows, the same as members see them, and codes of their groups.

        Where groups are inferred, what is named of X to hold them is left out of both.
        """
        calibrated = serving.calibrated
        problem = calibrated.problem
        if not problem.sensitive_at_predict:
            seen = self._without_groups(X)
            if subjects is not None:
                check_subjects(subjects, _num_samples(seen))
            return seen, seen, np.full(_num_samples(seen), -1)
        X = check_like_fit(self, X)
        seen, groups = self._split(X, sensitive_features, calibrated.features)
        if subjects is not None:
            check_one_group_each(check_subjects(subjects, len(groups)), groups)
        codes = group_codes(
            groups, problem.groups, accepts_unknown=problem.accepts_unknown
        )
        return X, seen, codes

    def _without_groups(self, X):
        """Return rows as members see them, whether or not X has the named columns."""
        feature = self.sensitive_feature
        if feature is None or callable(feature) or not self.drop_sensitive:
            return check_like_fit(self, X)
        (X,) = indexable(accepted(X))
        dropped, X = without_columns(self, X, feature)
        return check_like_fit(dropped, X)

    def _probability(
        self, serving, seen, group, what="selection_probability", scores=None
    ):
        """Return the probabilities of people under the rule of some instant.

        Whoever has the members' scores of these people already may give them.
        """
        calibrated = solved(serving.calibrated)
        self._warn_if_stale(serving)
        evidence = serving.evidence(seen, group, scores)
        return getattr(calibrated.rule, what)(evidence, group)

    def _warn_if_stale(self, serving):
        """Warn if the ensemble is known to have changed since the rule was solved."""
        sisa = reached_sisa(serving.estimator)
        if sisa is None:
            return
        directory, then = sisa._store.directory, ""
        if not sisa._store.is_latest():
            what = f"The ensemble in {directory} was changed by somebody else since"
            then = "Open it anew by load, or go on here with forget([])."
        elif getattr(serving.calibrated, "digests", None) != sisa._store.digests:
            what = "The frozen ensemble has changed since"
            then = "Fit the rule again."
        if then:
            warnings.warn(
                f"{what} this rule was solved, which goes by the members and rows of "
                f"then. {then}",
                StaleRuleWarning,
                stacklevel=level_of_caller(),
            )

    @available_if(lambda self: not self.randomise)
    def decision_function(
        self,
        X: Rows,
        *,
        sensitive_features: ArrayLike | None = None,
    ) -> NDArray[np.float64]:
        """Return how far the scores of people lie beyond the threshold of their group.

        Only with ``randomise=False``. There is no ``predict_proba``, since its values
        would be probabilities of the labels, and a fair rule only has probabilities of
        decisions.

        Parameters
        ----------
        X : array-like, sparse matrix, data frame or list of length n_samples
            Of the kind given to ``fit``.

        sensitive_features : array-like of shape (n_samples,) or (n_samples, k), \
                default=None
            Groups, if X does not hold them.

        Returns
        -------
        margin : ndarray of shape (n_samples,)
            In log-odds. Above 0 the decision is ``classes_[1]``.
        """
        serving = self._serving()
        problem = serving.calibrated.problem
        _, seen, group = self._people(serving, X, sensitive_features)
        margin = self._probability(serving, seen, group, "margin")
        return -margin if problem.flipped else margin

    def transform(
        self,
        X: Rows,
        *,
        sensitive_features: ArrayLike | None = None,
        subjects: ArrayLike | None = None,
    ) -> NDArray[np.float64]:
        """Return the expected decision as columns.

        Parameters
        ----------
        X : array-like, sparse matrix, data frame or list of length n_samples
            Of the kind given to ``fit``.

        sensitive_features : array-like of shape (n_samples,) or (n_samples, k), \
                default=None
            Groups, if X does not hold them.

        subjects : array-like of shape (n_samples,), default=None
            Data-subject ids. No decision is drawn here, so the ids are only checked.

        Returns
        -------
        probability : ndarray of shape (n_samples, 1) or (n_samples, n_classes)

        Raises
        ------
        ValueError
            As by :meth:`predict`.
        """
        serving = self._serving()
        _, seen, group = self._people(serving, X, sensitive_features, subjects)
        probability = self._probability(serving, seen, group)
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
            Weights of the rows; with None all are equal.

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
        return self.transform(
            X, sensitive_features=sensitive_features, subjects=subjects
        )

    def score(
        self,
        X: Rows,
        y: ArrayLike,
        *,
        sensitive_features: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        subjects: ArrayLike | None = None,
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
            Weights of the rows; with None all are equal.

        subjects : array-like of shape (n_samples,), default=None
            Data-subject ids, as for :meth:`predict`.

        Returns
        -------
        float
        """
        decided = self.predict(
            X, sensitive_features=sensitive_features, subjects=subjects
        )
        weight = check_weight(sample_weight, len(decided))
        return accuracy_score(class_labels(y), decided, sample_weight=weight)

    def for_serving(self) -> "ServedPostprocessor":
        """Return an estimator that only decides, with the same bits.

        It has the rule, the key of the randomised decisions and the members that only
        predict, without rows, ids, checkpoints, log and paths. It cannot forget:
        replace it after each deletion.

        Returns
        -------
        ServedPostprocessor
            With the methods that decide, which give the same bits.

        Raises
        ------
        ValueError
            If the rule is not solved, or a member holds rows, as nearest neighbours
            and kernel machines do.
        """
        serving = self._serving()
        solved(serving.calibrated)
        self._warn_if_stale(serving)
        if self._own is not None:
            return self._served(serving)
        return serving.estimator._read(
            lambda fitted: self._served(Serving(self._rule_of(fitted), fitted))
        )

    def _served(self, serving):
        """Return what is served of a rule and its members."""
        served, estimator = ServedPostprocessor(), serving.estimator
        if isinstance(estimator, SISAClassifier):
            estimator = served_classifier(estimator)
        else:
            estimator = without_rows(estimator)
        params = self.get_params(deep=False)
        params |= {"estimator": estimator, "random_state": None}
        vars(served).update(
            {name: value for name, value in vars(self).items() if name in INPUTS},
            **params,
            estimator_=estimator,
            _own=bare_rule(solved(serving.calibrated)),
            _name=None,
        )
        return served

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
        name, classes = type(self).__name__.lower(), self.classes_
        columns = [0] if len(classes) == 2 else [f"_{label}" for label in classes]
        return np.array([f"{name}{column}" for column in columns], dtype=object)

    def forget(
        self,
        indices: ArrayLike | None = None,
        *,
        subjects: ArrayLike | None = None,
        relearn: bool = True,
    ) -> Self:
        """Delete rows, so that the rule equals one fitted without them.

        One commit erases the rows from the ensemble, together with the rule and its
        counts, which depended on them. Then members relearn, those that changed predict
        the calibration rows, and the rule is solved again. The roles of the other rows
        (train or calibrate) do not change. A request to ``estimator_`` or its directory
        does the same.

        Parameters
        ----------
        indices : int, array-like of int or boolean mask, default=None
            Positions of rows in the order given to ``fit`` and ``partial_fit``. Rows
            that were forgotten earlier are accepted and cost nothing.

        subjects : array-like, default=None
            Data subjects, by the ids given to ``fit``, all of whose rows are to be
            forgotten.

        relearn : bool, default=True
            Whether members of the ensemble relearn at once. With False they stay
            behind, see `behind_`, until :meth:`relearn` is called. Until then, the rule
            is solved for the members as they are.

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
            If the remaining rows do not support `tol` at `confidence`.
        """
        check_is_fitted(self)
        own = self._own
        if own is None:
            with self.estimator_._exclusive():
                self._check_enough_left(indices, subjects)
            self.estimator_.forget(indices, subjects=subjects, relearn=relearn)
            return self
        requested = asked_rows(
            indices,
            subjects,
            own.n_given,
            None if own.subjects is None else own.subjects.rows,
        )
        removed = np.setdiff1d(requested, own.forgotten)
        n_trained = int(own.trains[removed].sum())
        if n_trained:
            raise ValueError(
                f"{n_trained} of the rows trained a "
                f"{type(self.estimator_).__name__}, which cannot forget. Use a "
                "SISAClassifier as estimator, or fit again without the rows."
            )
        left = own.without(removed)
        check_some_row_counts(left.rows, own.problem.method)
        if len(removed) or own.rule is None:
            # One assignment: a request that fails before can be repeated.
            self._own = left.solved()
            self._own.warn()
        return self

    @available_if(lambda self: self._ensemble_can("amend"))
    def amend(
        self,
        indices: ArrayLike,
        X: Rows,
        y: ArrayLike,
        *,
        sensitive_features: ArrayLike | None = None,
        relearn: bool = True,
    ) -> Self:
        """Replace the values of rows, in the ensemble and in the rule.

        The decisions are then those of a fit on the corrected data. A row that had no
        group before has the weight 1 in calibration. See :meth:`SISAClassifier.amend`.

        Parameters
        ----------
        indices : int or array-like of int of shape (n_samples,)
            Rows to correct, in the order given to ``fit`` and ``partial_fit``.

        X : array-like, sparse matrix, data frame or list of length n_samples
            All features of these rows, of the kind given to ``fit``.

        y : array-like of shape (n_samples,)
            Their labels, which must be in ``classes_``.

        sensitive_features : array-like of shape (n_samples,) or (n_samples, k), \
                default=None
            Their groups. If neither this argument nor X has groups, the rows stay in
            their groups.

        relearn : bool, default=True
            As in :meth:`forget`.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            As by :meth:`SISAClassifier.amend`, or if a group that is new lacks the
            labels that the constraint needs.
        """
        check_is_fitted(self)
        self._rule_of(self.estimator_)
        X, y = indexable(check_like_fit(self, X), class_labels(y))
        seen, groups, calibrated = X, None, self._calibrated()
        if sensitive_features is not None or self.sensitive_feature is not None:
            seen, groups = self._split(X, sensitive_features, calibrated.features)
        coins = first_coins(X, None, calibrated.seed)
        given = {self._name: NewRows(groups, coins=coins)}
        self.estimator_._amend(indices, seen, y, relearn, given)
        return self

    @available_if(lambda self: self._ensemble_can("relearn"))
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
            If a member cannot be trained on the remaining rows; it stays behind.
        """
        check_is_fitted(self)
        self.estimator_.relearn(shards=shards, max_sample_visits=max_sample_visits)
        return self

    @property
    def behind_(self) -> pd.DataFrame:
        """Shards whose members have not learnt all slices; see Attributes."""
        check_is_fitted(self)
        if not hasattr(self.estimator_, "behind_"):
            raise AttributeError(
                f"The members are of a {type(self.estimator_).__name__}, none of which "
                "can be behind. Only a SISAClassifier relearns."
            )
        fitted = self.estimator_._snapshot()
        behind = fitted.behind_
        if self._own is not None:
            return behind
        rule = self._rule_of(fitted)
        if rule.is_current(fitted._store.digests):
            return behind
        record = {
            "shard": HELD_OUT, "stage": 0, "n_stages": 1,
            "rows_missing": len(rule.rows), "sample_visits": 0,
            "reason": "the rule is not solved for these rows and members",
        }  # fmt: skip
        behind.loc[len(behind)] = record
        return behind

    @property
    def forgotten_(self) -> NDArray[np.intp]:
        """Rows forgotten since ``fit``; see Attributes."""
        check_is_fitted(self)
        holder = self._own.forgotten if self._own is not None else None
        return self.estimator_.forgotten_ if holder is None else holder

    def tradeoff(
        self,
        tols: ArrayLike | None = None,
        X: Rows | None = None,
        y: ArrayLike | None = None,
        *,
        sensitive_features: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> pd.DataFrame:
        """Solve for several tolerances and show the cost of each.

        Parameters
        ----------
        tols : array-like of float in [0, 1], default=None
            Tolerances in calibration, whatever `confidence`. None means 11 tolerances,
            evenly spaced from 0 to the gap without a constraint. With constraint
            objects, a tolerance is the amount by which all bounds are loosened.

        X, y, sensitive_features, sample_weight : default=None
            New rows to evaluate on, as for ``score``. None means the calibration rows,
            where the estimated rates satisfy the tolerance.

        Returns
        -------
        DataFrame
            A row per tolerance, with expected values of accuracy, balanced_accuracy,
            selection_rate (of two classes), the differences between groups (largest
            minus smallest) called equalized_odds_difference,
            demographic_parity_difference, true_positive_rate_difference and
            false_positive_rate_difference, what constraint objects bound, such as
            selection_rate_ratio_by_sex or true_positive_rate_group_min, and
            randomised_share. On the calibration rows these are estimated values, and
            <name>_counted are counted values; the two differ with ``"smooth_ensemble"``
            alone.
        """
        serving = self._serving()
        calibrated = solved(serving.calibrated)
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
            groups = sensitive_features
            new = self._evaluation_rows(serving, X, y, groups, sample_weight)
        return tradeoff_table(calibrated.rows, calibrated.problem, tols, new)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if hasattr(self.estimator, "fit"):
            tags.input_tags = get_tags(self.estimator).input_tags
        return tags

    def _ensemble_can(self, method):
        """Whether an ensemble that keeps the rule has a method; True before fit."""
        if not self.__sklearn_is_fitted__():
            return isinstance(self.estimator, SISAClassifier)
        return self._own is None and hasattr(self.estimator_, method)

    def _own_params(self):
        params = self.get_params(deep=False)
        del params["estimator"]
        return params

    def _posed(self, groups, classes, features):
        """Return the problem that the parameters pose."""
        is_named = isinstance(self.constraints, str)
        if is_named:
            constraints = (CONSTRAINTS[self.constraints],)
        else:
            constraints = check_constraints(self.constraints, self.tol)
        check_confidence(self.confidence, self.tol, () if is_named else constraints)
        infers = not self.sensitive_at_predict or self.unknown_group == "inferred"
        if infers:
            check_infers(self.method)
        problem = PosedProblem(
            constraints,
            check_objective(self.objective, classes),
            slack=float(self.tol),
            name=self.constraints if is_named else "",
            method=self.method,
            groups=groups,
            classes=classes,
            features=features,
            confidence=self.confidence,
            accepts_unknown=self.unknown_group != "error",
            sensitive_at_predict=self.sensitive_at_predict,
            infers=infers,
            randomise=bool(self.randomise),
        )
        check_attributes(problem)
        check_randomise(problem)
        flipped = check_positive(self.pos_label, classes, problem)
        return replace(problem, flipped=flipped)

    def _calibrated(self):
        """What counts of the rule at this instant."""
        return self._serving().calibrated

    def _serving(self):
        """What decides at this instant: a rule and the members it was solved for.

        While a change goes on in another thread, that is what counted before it.
        """
        check_is_fitted(self)
        if self._own is not None:
            return Serving(self._own, self.estimator_)
        fitted = self.estimator_._snapshot()
        settled = fitted._settled.ensemble
        rule = self._rule_of(fitted)
        if rule.is_current(fitted._store.digests):
            return Serving(rule, fitted)
        if settled is not None and self._name in settled._state.companions:
            return Serving(settled._state.companions[self._name], settled)
        return Serving(replace(rule, rule=None), fitted)

    def _rule_of(self, fitted):
        """Return the rule that an ensemble keeps for this post-processor."""
        rule = fitted._state.companions.get(self._name)
        if rule is None:
            raise NotFittedError(
                f"The ensemble has no rule {self._name!r} any more: it was fitted anew "
                "since. Fit the post-processor again, or attach it."
            )
        return rule

    def _warn_of_gap(self):
        """Warn if the bound of the gap, where groups are inferred, is too great."""
        report = self.fairness_report_
        # With `confidence` the rule has warned already.
        if self.confidence is None and report.bound > report.claim:
            missed = f"the true gap may be {report.bound:.3f}"
            more, kept = f", more than {report.claim:g}", "keeps within tol"
            if not self._problem.name:
                missed = f"the bounds may be missed by {report.bound:.3f}"
                more, kept = "", "keeps them"
            warnings.warn(
                f"As groups are inferred, {missed} with {report.confidence:.0%} "
                f"confidence{more}. fairness_report_ has the intervals. Set "
                f"confidence= to have a rule that {kept}, if X and the rows allow "
                "one; with sensitive_at_predict=True decisions go by the groups "
                "themselves.",
                UnsupportedToleranceWarning,
                stacklevel=level_of_caller(),
            )

    def _check_enough_left(self, indices, subjects):
        """Raise if too few rows or shards would be left without those to forget."""
        fitted = self.estimator_._snapshot()
        state = fitted._state
        rows, _ = requested_rows(state, indices, subjects)
        if not len(rows):
            return
        rule = self._rule_of(fitted)
        left = state.shards_without(rows)
        if len(left) == 0:
            raise ValueError(
                "No training row would be left, so that all members would abstain. "
                "Fit again with other rows."
            )
        if rule.across:
            check_two_shards(left)
        kept = rule.without(rows).counting(fitted, left)
        check_some_row_counts(kept, rule.problem.method)

    def _train_sharded(self, train, rows, share, about):
        """Fit a sharded ensemble that keeps the rule; return what is then fitted."""
        estimator, params = train.prepared()
        if train.subjects is not None:
            params["subjects"] = train.subjects
        about |= {
            "seed": int(train.rng.randint(2**31)),
            "params": self._own_params(),
            "inputs": {k: v for k, v in vars(self).items() if k in INPUTS},
            "across": share == 0,
            "by_subject": train.subjects is not None,
        }
        estimator._validate_params()
        coins = first_coins(train.given, train.subjects, about["seed"])
        coins = coins[: np.count_nonzero(~np.isnan(coins))].copy()
        rows = replace(rows, aggregation=aggregation_of(estimator), coins=coins)
        estimator._start(
            train.X,
            train.y,
            "fit",
            None,
            params.pop("subjects", None),
            {"sample_weight": None, **params},
            held_out=share,
            companions={_NAME: lambda state: begun(rows, state, **about)},
        )
        rule = solved(estimator._state.companions[_NAME])
        try:
            rule.check_feasible()
            check_tells_groups(rule)
        except ValueError as error:
            directory = estimator._store.directory
            if directory is not None:
                # The rule needed the members, which are trained in the directory.
                error.add_note(
                    f"The trained ensemble is kept in {directory}. With "
                    "SISAClassifier.load and FairEnsemblePostprocessor.attach another "
                    "rule is solved there without training again."
                )
            raise
        return {"estimator_": estimator, "_name": _NAME, "_own": None}

    def _calibrate_own(self, train, rows, share, about):
        """Solve on rows that the rule keeps itself; return what is then fitted."""
        n_given, subjects = len(rows), train.subjects
        trains = np.zeros(n_given, dtype=bool)
        estimator, X = self.estimator, train.X
        if share is not None:
            drawn = int(train.rng.randint(2**31))
            trains = ~drawn_roles(n_given, share, drawn, subjects)
        calibrating = np.flatnonzero((rows.group >= 0) & ~trains)
        rows = rows.take(calibrating).widened
        check_groups_suffice(about["problem"], rows, held_out=bool(share))
        if share is not None:
            estimator = train.fitted(np.flatnonzero(trains))
        elif estimator is not None:
            estimator = clone(estimator)
        problem = about["problem"]
        classes = problem.classes
        given_labels = estimator is None and holds_labels(X, classes)
        seen = _safe_indexing(X, calibrating)
        if estimator is None:
            scores = given_scores(seen, classes, given_labels)
        else:
            scores = checked_member_scores(estimator, seen, classes)
        # In memory of their own, as a forgotten row may not survive in a view.
        scores = problem.turned(np.array(scores))
        rows = replace(
            rows,
            scores=scores,
            aggregation=checked_aggregation(
                estimator, self.method, seen, scores, problem.decisions
            ),
        )
        sisa, seed = reached_sisa(estimator), int(train.rng.randint(2**31))
        holds_only_votes = estimator is None and are_votes(scores)
        if holds_only_votes and subjects is None:
            coins = np.random.default_rng(seed).random(n_given)
        else:
            coins = first_coins(train.given, subjects, seed)
        rows = replace(rows, coins=coins[calibrating])
        own = OwnRows(
            **about,
            seed=seed,
            by_subject=subjects is not None,
            rows=rows,
            n_given=n_given,
            trains=trains,
            subjects=None if subjects is None else Subjects.of(subjects),
            holds_labels=given_labels,
            holds_only_votes=holds_only_votes,
            digests=None if sisa is None else sisa._store.digests,
        )
        if uses_heads(own.problem) and (estimator is not None or own.problem.infers):
            if subjects is not None:
                subjects = [subjects[i] for i in calibrating]
            fold = drawn_folds(calibrating, own.seed, subjects)
            numbers, source = read_numbers(estimator, seen)
            own = replace(own, numbers=FoldedNumbers(numbers, fold, source))
        own = own.solved()
        own.check_feasible()
        check_tells_groups(own)
        own.warn()
        return {"estimator_": estimator, "_own": own, "_name": None}

    def _evaluation_rows(self, serving, X, y, sensitive_features, sample_weight):
        X, y = indexable(check_like_fit(self, X), class_labels(y))
        features, problem = serving.calibrated.features, serving.calibrated.problem
        seen, groups = self._split(X, sensitive_features, features)
        group = group_codes(
            groups, problem.groups, accepts_unknown=problem.accepts_unknown
        )
        unknown = np.setdiff1d(y, problem.classes)
        if len(unknown) or (group < 0).any():
            given = (
                f"labels {unknown.tolist()[:5]}"
                if len(unknown)
                else f"{int((group < 0).sum())} rows of other groups or of none"
            )
            raise ValueError(
                f"Rates need labels out of {problem.classes.tolist()} and groups out "
                f"of {problem.groups.tolist()}, but got {given}. Leave these rows out."
            )
        label = problem.labels(np.searchsorted(problem.classes, y))
        return CalibrationRows(
            np.arange(len(label)),
            group,
            label,
            check_weight(sample_weight, len(label)),
            scores=serving.evidence(seen, group),
            has_head=serving.calibrated.rows.has_head,
        )

    def _split(self, X, sensitive_features, features=None):
        """X without the sensitive columns, and each row's group, masked if missing."""
        return split_groups(
            X,
            sensitive_features,
            self.sensitive_feature,
            drop_sensitive=self.drop_sensitive,
            allow_missing=self.unknown_group != "error",
            features=features,
        )


class ServedPostprocessor(FairEnsemblePostprocessor):
    """Decisions of a `FairEnsemblePostprocessor`, without the state for forgetting.

    :meth:`FairEnsemblePostprocessor.for_serving
    <sklearn_fairsisa.FairEnsemblePostprocessor.for_serving>` returns it. It holds the
    rule, the key of the randomised decisions and the members, but no row, id,
    checkpoint, log or path. Its decisions have the same bits.

    Attributes
    ----------
    estimator_ : ServedClassifier or other ensemble
        The members.

    classes_ : ndarray of shape (n_classes,)
        Class labels.

    groups_ : ndarray
        Groups.

    rule_ : DataFrame
        The rule as a table.

    See Also
    --------
    FairEnsemblePostprocessor : The post-processor that forgets.

    Examples
    --------
    >>> import pickle
    >>> import numpy as np
    >>> from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
    >>> rng = np.random.default_rng(0)
    >>> X, group = rng.normal(size=(400, 2)), np.arange(400) % 2
    >>> y = (X[:, 0] + rng.normal(size=400) > 0).astype(int)
    >>> fair = FairEnsemblePostprocessor(SISAClassifier(random_state=0), random_state=0)
    >>> served = fair.fit(X, y, sensitive_features=group).for_serving()
    >>> decided = served.predict(X, sensitive_features=group)
    >>> bool((decided == fair.predict(X, sensitive_features=group)).all())
    True
    >>> any(row.tobytes() in pickle.dumps(served) for row in X)
    False
    """

    amend = absent("amend", _SERVED)
    attach = absent("attach", _SERVED)
    behind_ = absent("behind_", _SERVED)
    calibration_indices_ = absent("calibration_indices_", _SERVED)
    fairness_report_ = absent("fairness_report_", _SERVED)
    forget = absent("forget", _SERVED)
    forgotten_ = absent("forgotten_", _SERVED)
    load = absent("load", _SERVED)
    member_points_ = absent("member_points_", _SERVED)
    partial_fit = absent("partial_fit", _SERVED)
    randomised_share_ = absent("randomised_share_", _SERVED)
    relearn = absent("relearn", _SERVED)
    tradeoff = absent("tradeoff", _SERVED)

    def __init__(self) -> None:
        pass

    def fit(self, X: Rows, y: ArrayLike, **fit_params: Any) -> NoReturn:
        """Raise an error, since a served estimator cannot be trained.

        Parameters
        ----------
        X : ignored
            Rows.

        y : ignored
            Labels.

        **fit_params : dict
            Ignored too.

        Raises
        ------
        TypeError
            Always.
        """
        raise TypeError(
            f"A {type(self).__name__} only decides. Fit {_SERVED}, and serve that anew."
        )

    def for_serving(self) -> "ServedPostprocessor":
        """Return itself.

        Returns
        -------
        ServedPostprocessor
        """
        return self

    def _findings(self):
        return [("Operating points in calibration", self.operating_points_)]

    def __sklearn_clone__(self):
        return self


def _of_rows(values, rows, n_rows, what):
    """Return what is given for some of the rows."""
    values = accepted(values, what)
    if _num_samples(values) != n_rows:
        raise ValueError(
            f"{what} has {_num_samples(values)} rows, but {n_rows} were given to the "
            "ensemble, forgotten ones included. Give a value for each."
        )
    return _safe_indexing(values, rows)


def _check_name(name):
    if not (isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9_]+", name)):
        raise ValueError(
            f"name={name!r} must be of letters, digits and underscores, as it is a "
            "part of names of files."
        )
