"""A sharded, sliced ensemble that forgets rows exactly."""

import copy
import secrets
import time
import warnings
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from numbers import Integral
from os import PathLike
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn import get_config
from sklearn.base import (
    BaseEstimator,
    MetaEstimatorMixin,
    _fit_context,
)
from sklearn.linear_model import SGDClassifier
from sklearn.utils import check_random_state, get_tags
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metadata_routing import MetadataRouter
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .._utils.containers import check_container, in_types_of
from .._utils.html import FindingsMixin
from .._utils.pipelines import weight_param
from .._utils.sources import Source, drop_pages
from .._utils.typing import Estimator, FilePath, RandomState, Rows
from .._utils.validation import check_classes
from .._utils.warnings import level_of_caller
from .._utils.words import counted
from ..exceptions import (
    ChangedDirectoryError,
    EmptyShardWarning,
    UntrainedShardWarning,
    VanishedClassWarning,
)
from ._companions import Settled, are_current
from ._digests import digest
from ._forgetting_report import ForgettingReport
from ._inputs import (
    INPUTS,
    check_alike,
    check_enough_rows,
    check_rows,
    refuse_subtracting,
    require_continuing,
    require_members,
    rows_given,
    union,
)
from ._learners import (
    accumulates,
    check_raw_rows,
    default_epochs,
    empty_caches,
    forget_in_caches,
    last_step,
    make_prototype,
    subtracts,
    trains_together,
)
from ._metadata import (
    appended_metadata,
    declared_routing,
    learner_calls,
    split_metadata,
)
from ._plan import HELD_OUT, make_plan
from ._predicting import PredictingMixin
from ._report_columns import TABLES
from ._reports import (
    ForgetVerification,
    audit_facts,
    forget_report,
    forget_reports,
    relearnt,
)
from ._requests import (
    amended_codes,
    check_indices,
    check_rows_to_amend,
    check_shards,
    check_visits,
    requested_rows,
)
from ._rows import reading_once
from ._serving import ServedClassifier, served_classifier
from ._splitting import split_source
from ._state import Change, State, split_rows
from ._subtraction import subtract_rows, subtracted_visits, warn_of_failed
from ._training import Recipe, UntrainedShard, replay_visits
from ._votes import member_scores
from ._workers import replay_stage, train_members, visits_behind
from .store import CheckpointPolicy, as_policy, create_store, open_directory


class SISAClassifier(FindingsMixin, PredictingMixin, MetaEstimatorMixin, BaseEstimator):
    """Ensemble over disjoint shards of the rows, from which rows can be deleted.

    Each shard's rows train one member, slice by slice, with a checkpoint after every
    slice. The members' votes are aggregated. :meth:`forget` drops rows, restores the
    last checkpoint that never saw them and replays the later slices. The
    result equals, bit for bit, the ensemble trained under the same plan without the
    rows.

    Parameters
    ----------
    estimator : classifier, default=None
        The learner. Each shard trains a clone of it. None is
        ``SGDClassifier(loss="log_loss")``. ``n_slices > 1``, `epochs` and
        :meth:`partial_fit` need a learner with ``partial_fit``, or a Pipeline whose
        last step has it. The earlier steps of a Pipeline are fitted on the first slice
        of each shard, so deletions reach them as well. A dict given as `class_weight`,
        of the learner or of a step, names labels of y. A learner that accumulates
        statistics, as naive Bayes does, trains each stage on its own slice only. Other
        learners train each stage on all slices so far, as in the SISA paper. If a
        learner of your own accumulates, set its attribute ``accumulates = True``. If
        members have ``partial_unfit``, such as those of
        :class:`~sklearn_fairsisa.linear_model.IntegerRidgeClassifier`, :meth:`forget`
        subtracts rows instead of replaying slices, unless an earlier step of a Pipeline
        learns from rows. Such learners allow neither `n_slices` > 1 nor `epochs`.

    n_shards : int, default=5
        Number of shards S. Each trains one member.

    n_slices : int, default=1
        Number of slices per shard R. More slices make a deletion cheaper and store
        more checkpoints.

    epochs : int, default=None
        Training effort e' in passes over the shard: stage r makes ``2e'/(R+1)``
        passes over slices 1..r, rounded cumulatively, at least one over each row.
        With None, an unsliced member is trained by its own ``fit``, and a sliced one
        for the learner's own ``max_epochs``, or else 10 passes. A learner that
        accumulates makes `epochs` passes, 1 by default, over each slice.

    aggregation : {"majority", "mean"}, default="majority"
        Predict the class with most votes, or with the highest mean score.

    checkpoint_dir : str, path or CheckpointPolicy, default=None
        Directory that keeps rows, plan, checkpoints and log, so that :meth:`load`
        can reopen the ensemble after the process has ended. None keeps all of it in
        memory. A :class:`CheckpointPolicy` keeps fewer checkpoints.

    n_jobs : int, default=None
        Number of shards trained at a time, through joblib. With
        ``HeadClassifier(together=10)``, the number of programs, each of which trains
        several shards. Each takes one core, and the result has the same bits for every
        number and joblib backend.

    random_state : int, RandomState instance or None, default=None
        An int makes ``fit``, ``forget`` and ``predict`` repeatable.

    verbose : int, default=0
        1 prints a line after each stage of each shard, where it is trained.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels. A class whose rows were all forgotten remains.

    n_features_in_ : int
        Number of features seen in ``fit``, if X has features.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has string column names.

    estimators_ : list of length `n_shards`
        Fitted members, which predict classes as 0..n_classes-1. None for a member that
        abstains, because its shard has no rows left or it has learnt no slice.

    plan_ : Plan
        ``plan_.shard_of(i)``, ``plan_.slice_of(i)``, ``plan_.rows(shard, slice)``,
        shards and slices counted from 0.

    n_rows_ : int
        Number of retained rows.

    forgotten_ : ndarray
        Sorted indices of the forgotten rows.

    forget_log_ : list of ForgetReport
        One report per request.

    behind_ : DataFrame
        Shards whose members are behind, that is, have not learnt all slices, one per
        row; :meth:`relearn` trains these members. Columns: ``shard``; ``stage``, the
        number of slices learnt; ``n_stages``, the number of all slices;
        ``rows_missing``, the number of rows not learnt from; ``sample_visits``, the
        cost of relearning; ``reason``.

    full_sample_visits_ : int
        Sample visits of training the whole ensemble on the retained rows.

    checkpoint_bytes_ : int
        Size of the checkpoints in bytes, on disk or pickled.

    See Also
    --------
    FairEnsemblePostprocessor : Makes the ensemble's decisions fair.

    Notes
    -----
    For k uniform deletions in one request, the expected cost relative to a full
    training is :math:`\\sum_{i=1}^R \\frac{2i}{R(R+1)} [1 - (1 - \\frac{i}{RS})^k]`;
    one deletion is :math:`3RS/(2R+1)` times as fast as retraining.

    Deletion is exact for requests that do not depend on the model (Gupta et al. 2021),
    and within this estimator only. Anything fitted on the rows before they reached
    ``fit`` (a scaler or vocabulary outside the members, tuning, a choice of features)
    still depends on them. So do ``classes_`` and the number of rows. A row is
    identified by its index: its position in the order of the rows given to ``fit``
    and ``partial_fit``, which never changes.

    References
    ----------
    .. [1] Bourtoule, L. et al. (2021). Machine Unlearning. IEEE S&P. Section IV.
    .. [2] Gupta, V. et al. (2021). Adaptive Machine Unlearning. NeurIPS.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import SGDClassifier
    >>> from sklearn_fairsisa import SISAClassifier
    >>> X, y = make_classification(random_state=0)
    >>> sisa = SISAClassifier(
    ...     SGDClassifier(loss="log_loss"), n_shards=4, n_slices=3, random_state=0
    ... ).fit(X, y)
    >>> sisa.forget([3, 14, 15]).n_rows_
    97
    >>> bool(sisa.verify_forgotten())
    True
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        "estimator": [HasMethods(["fit"]), None],
        "n_shards": [Interval(Integral, 1, None, closed="left")],
        "n_slices": [Interval(Integral, 1, None, closed="left")],
        "epochs": [Interval(Integral, 1, None, closed="left"), None],
        "aggregation": [StrOptions({"majority", "mean"})],
        "checkpoint_dir": [str, PathLike, CheckpointPolicy, None],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator: Estimator | None = None,
        *,
        n_shards: int = 5,
        n_slices: int = 1,
        epochs: int | None = None,
        aggregation: Literal["majority", "mean"] = "majority",
        checkpoint_dir: FilePath | CheckpointPolicy | None = None,
        n_jobs: int | None = None,
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.n_shards = n_shards
        self.n_slices = n_slices
        self.epochs = epochs
        self.aggregation = aggregation
        self.checkpoint_dir = checkpoint_dir
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: Rows | FilePath,
        y: ArrayLike | str,
        sample_weight: ArrayLike | str | None = None,
        *,
        subjects: ArrayLike | str | None = None,
        **fit_params: Any,
    ) -> Self:
        """Split the rows into shards and slices, then train a member per shard.

        Parameters
        ----------
        X : array-like, sparse matrix, data frame, list of texts, or path, of length n
            Rows. Their order determines their indices. A path or str names a Parquet
            file, or a folder of such files, which are read in the order of their names;
            a list of path objects is read in its order. Files, and pyarrow's tables and
            data sets, give the data frame that pandas would read. With
            `checkpoint_dir`, they are read in batches, as are arrays and memory maps of
            numbers, and rows stay in the directory.

        y : array-like of shape (n,), or str
            Class labels. A str names a column of Parquet or Arrow data, which is then
            not used as a feature. `sample_weight` and `subjects` may be named in the
            same way.

        sample_weight : array-like of shape (n,) or (n, 1), or float, default=None
            Weights of the rows, in any unit, split with the rows. Rows of weight 0 are
            ignored. The learner's ``fit`` receives the weights, or its ``partial_fit``
            if it is trained by slices. In a Pipeline the last step receives them, or
            with metadata routing the steps that request them. With None, all rows have
            the same weight.

        subjects : array-like of shape (n,), default=None
            Data-subject ids: all rows of a subject go to the same shard and slice.

        **fit_params : dict
            Further parameters of the learner's ``fit`` or ``partial_fit``. Values of
            length n are split with the rows.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there are fewer rows than slices or a single class, if the learner cannot
            be trained by slices, would leak between shards or writes to its input, or
            if `sample_weight` is unusable or the learner takes no weights.
        TypeError
            If X, y, `subjects` or values of length n are in a container of another
            kind, or hold objects that may share memory with other rows.
        DirectoryError
            If `checkpoint_dir` holds the ensemble of another estimator, or another
            process is using it.
        """
        given = {"sample_weight": sample_weight, **fit_params}
        return self._start(X, y, "fit", None, subjects, given)

    @available_if(lambda self: require_continuing(self._base(), "partial_fit"))
    @_fit_context(prefer_skip_nested_validation=False)
    def partial_fit(
        self,
        X: Rows | FilePath,
        y: ArrayLike | str,
        sample_weight: ArrayLike | str | None = None,
        *,
        classes: ArrayLike | None = None,
        subjects: ArrayLike | str | None = None,
    ) -> Self:
        """Append rows as one more slice of the shards they are assigned to.

        Earlier stages are not trained again, unless a class is new. Members cannot
        learn a further class, so a new class makes all members train from the start.

        Parameters
        ----------
        X : array-like or path, of length n
            Of the kind given to ``fit``. With `checkpoint_dir`, rows of memory maps,
            Parquet and Arrow data are added before members learn from them, since they
            may be many. If training fails, the rows stay added, and the members are
            behind.

        y : array-like of shape (n,), or str
            Class labels, as for ``fit``.

        sample_weight : array-like of shape (n,) or (n, 1), or float, default=None
            Weights of the rows, as for ``fit``. If earlier rows have weights, the
            default is 1.

        classes : array-like of shape (n_classes,), default=None
            All classes that later batches may contain. Give them in the first call.

        subjects : array-like of shape (n,), default=None
            Data-subject ids, required if ``fit`` had them. New rows of a subject go to
            the subject's shard.

        Returns
        -------
        self

        Raises
        ------
        AttributeError
            If the learner cannot continue.
        ValueError
            If `subjects` are given in some calls and not in others; if weights are
            given after rows without weights; if ``fit`` was given other values per row;
            if X has other features, is another kind of container or has values that the
            types of ``fit`` cannot represent; or if `classes` are not labels or y has
            labels of another kind.
        DirectoryError
            If another process is using `checkpoint_dir`, or has changed it.
        """
        if classes is not None:
            classes = check_classes(classes)
        if not hasattr(self, "plan_"):
            given = {"sample_weight": sample_weight}
            return self._start(X, y, "partial_fit", classes, subjects, given)
        return self._go_on(X, y, sample_weight, classes, subjects)

    def _go_on(self, X, y, sample_weight, classes, subjects, given=None):
        """Append rows, with facts about them for companions, by their names."""
        others = {"sample_weight": sample_weight}
        X, y, subjects, others = rows_given(X, y, subjects, others)
        X = self._in_place(X)
        X, labels, subjects, _ = check_rows(self, X, y, subjects, reset=False)
        batch = X, labels, others["sample_weight"], classes, subjects, given
        started, trained = time.perf_counter(), dict[int, Any]()
        with self._settled.during_change(self):
            if isinstance(X, Source):
                self._append_source(batch, started)
            else:
                while not self._append(batch, trained, started):
                    continue
            self._calibrate()
        return self

    def _in_place(self, X):
        """Return rows that a directory can take little by little, all others as is."""
        if as_policy(self.checkpoint_dir).directory is None:
            return X.in_memory() if isinstance(X, Source) else X
        return X

    def _append_source(self, batch, started):
        """Add rows that are read little by little, then train on them.

        They are too many to keep in memory until the members have learnt them, so they
        count before that, and members are behind.
        """
        with self._exclusive() as store:
            change = self._with_batch(*batch, {}, store)
            self._commit(store, change, (), started)
            request = self._audit.entries[-1]["entry"], None
        try:
            self._relearn(list(change.firsts), request)
        except BaseException as error:
            error.add_note(
                "The rows are added: do not repeat the call. Members may be behind, "
                "see behind_; relearn() trains them."
            )
            raise

    def _split_rows(self, X, y, classes, plan, subjects, params, offset, store=None):
        """Return the rows of each shard and those held out, of a batch."""
        if not isinstance(X, Source):
            codes = np.searchsorted(classes, y)
            return split_rows(X, codes, plan, subjects, params, offset)

        def codes_of(here):
            codes = np.searchsorted(classes, y[here])
            drop_pages(y)
            return codes

        return split_source(
            X,
            codes_of,
            plan,
            subjects,
            params,
            offset,
            keep=store.new_piece,
            check=self._check_batch,
        )

    def _check_batch(self, X):
        check_container(X)
        check_raw_rows(self._base(), X)

    def _append(self, batch, trained, started):
        """Train on a batch, then add it; return whether its shards stayed the same.

        `trained` collects the result and its state by shard, so that the next attempt
        only trains the shards whose rows changed.
        """
        fitted = self._snapshot()
        # No lock is held while members train, so that deletions need not wait.
        try:
            change = fitted._with_batch(*batch, trained)
            firsts = {s: change.firsts[s] for s in change.firsts.keys() - trained}
            for result in self._train(change.state, firsts, fitted._store):
                trained[result.shard] = result, change.state
        except ChangedDirectoryError:
            self._go_on_after_others(fitted)
            return False
        with self._exclusive() as store:
            change = self._with_batch(*batch, trained)
            if change.firsts.keys() - trained:
                self._erase_again(fitted._state)
                return False
            results = [result for result, _ in trained.values()]
            firsts = {result.shard: result.first_stage for result in results}
            self._commit(store, replace(change, firsts=firsts), results, started)
        return True

    def _with_batch(
        self, X, y, sample_weight, classes, subjects, given, trained, store=None
    ):
        """Return the change that adds a batch; drop shards trained on other rows."""
        before = self._state
        earlier = before.rows[0].any_block
        check_alike(earlier, subjects)
        params = appended_metadata(earlier, sample_weight, len(y))
        # A data frame without rows may have lost its types.
        held = next((part.any_block.X for part in before.parts if len(part)), None)
        if held is not None:
            cast = partial(in_types_of, held)
            X = X.cast(cast) if isinstance(X, Source) else cast(X)
        classes = union(self.classes_, *([] if classes is None else [classes]), y)
        recipe = before.recipe
        if len(classes) > recipe.n_classes:
            known = np.searchsorted(classes, self.classes_).tolist()
            prototype = make_prototype(
                recipe.prototype, classes, dict(enumerate(known))
            )
            recipe = replace(recipe, n_classes=len(classes), prototype=prototype)
        else:
            classes = self.classes_
        plan = before.plan.extended(len(y), subjects)
        batch = self._split_rows(
            X, y, classes, plan, subjects, params, before.plan.n_rows, store
        )
        change = before.with_batch(batch, plan, classes, recipe, given)
        for shard, (_, state) in list(trained.items()):
            if not state.has_same_rows(change.state, shard):
                del trained[shard]
        firsts = {
            shard: min(first, self._store.progress(shard).stage)
            for shard, first in change.firsts.items()
        }
        return replace(change, firsts=firsts)

    def forget(
        self,
        indices: ArrayLike | None = None,
        *,
        subjects: ArrayLike | None = None,
        relearn: bool = True,
    ) -> Self:
        """Delete rows, so that the ensemble equals one that never saw them.

        The rows are erased first, in one short step: they are removed from their
        shards, with all checkpoints that saw them. Each affected member goes back to
        its last checkpoint that never saw them, or abstains if there is none. Then
        these members relearn the remaining rows of the later slices, each shard once.

        Parameters
        ----------
        indices : int, array-like of int or boolean mask, default=None
            Positions of rows in the order given to ``fit`` and ``partial_fit``. Rows
            that were forgotten earlier are accepted and cost nothing.

        subjects : array-like, default=None
            Data subjects. All of their rows are forgotten.

        relearn : bool, default=True
            Whether members relearn at once. With False they stay behind, see
            `behind_`, until :meth:`relearn` is called.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a row or data subject is unknown, nothing is named, or `subjects` is a
            mask. In these cases nothing was erased.
        DirectoryError
            If another process uses `checkpoint_dir` for longer than the timeout, or the
            directory does not continue the state that this estimator last read.

        Warns
        -----
        UntrainedShardWarning
            If a member cannot be trained on the remaining rows. The rows are erased
            nevertheless, and the member stays behind.

        Notes
        -----
        If an error ends the call after the rows were erased, a note on the error states
        this.
        """
        check_is_fitted(self)

        def without_rows(state):
            rows, keys = requested_rows(state, indices, subjects)
            return state.without(rows, keys)

        return self._erase(without_rows, relearn)

    def amend(
        self,
        indices: ArrayLike,
        X: Rows,
        y: ArrayLike,
        *,
        relearn: bool = True,
    ) -> Self:
        """Replace the values of rows, so that the ensemble never saw the earlier ones.

        Use it when people request that their data be corrected. The rows keep their
        index, shard, slice, subject and weight. Bit for bit, the ensemble then equals a
        fit on the corrected data under the same seed. As with
        :meth:`forget`, the earlier values are erased first, then members relearn.

        Parameters
        ----------
        indices : int or array-like of int of shape (n,)
            Rows to correct, in the order given to ``fit`` and ``partial_fit``.

        X : array-like of length n
            All features of each of these rows, of the kind given to ``fit``.

        y : array-like of shape (n,)
            Their labels, which must be in ``classes_``.

        relearn : bool, default=True
            As in :meth:`forget`.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a row is unknown, was forgotten or is named twice; if X has other
            features, is another kind of container or has values that the types of
            ``fit`` cannot represent; or if y has an unknown label. In these cases
            nothing was changed.
        DirectoryError
            As in :meth:`forget`.

        Warns
        -----
        UntrainedShardWarning
            As in :meth:`forget`.

        Notes
        -----
        :meth:`verify_forgotten` covers corrected rows too. Only values of the data are
        replaced: to move a row to another subject, forget it and add it anew with
        :meth:`partial_fit`.

        References
        ----------
        Regulation (EU) 2016/679 (GDPR), Article 16: right to rectification.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.naive_bayes import GaussianNB
        >>> from sklearn_fairsisa import SISAClassifier
        >>> X, y = np.array([[1.0], [2.0], [30.0], [4.0]]), [0, 0, 1, 1]
        >>> sisa = SISAClassifier(GaussianNB(), n_shards=1, random_state=0).fit(X, y)
        >>> sisa = sisa.amend(2, [[3.0]], [1])
        >>> sisa.estimators_[0].theta_.ravel().tolist()
        [1.5, 3.5]
        """
        check_is_fitted(self)
        return self._amend(indices, X, y, relearn)

    def _amend(self, indices, X, y, relearn, given=None):
        """Replace values of rows, with facts about them for companions, by names."""
        X, labels, _, _ = check_rows(self, X, y, None, reset=False)
        index = check_rows_to_amend(indices, len(labels))
        fitted = self._snapshot()
        present = [member for member in fitted.estimators_ if member is not None]
        # If a member cannot predict these rows, no member could train on them.
        for member in present[:1] if len(index) else ():
            member_scores(member, X, len(fitted.classes_))

        def with_other_values(state):
            codes = amended_codes(state, index, labels)
            return state.with_other_values(index, X, codes, given or {})

        return self._erase(with_other_values, relearn)

    def _erase(self, make_change, relearn):
        """Erase values of rows by a change to the state, then relearn."""
        change = None
        try:
            with self._settled.during_change(self) as erasing:
                with self._exclusive() as store, reading_once():
                    started = time.perf_counter()
                    change = make_change(self._state)
                    erasing.append(change)
                    for X in self._state.inputs_of(change.erased_rows):
                        forget_in_caches(self._state.recipe.prototype, X)
                    results = subtract_rows(
                        change, self._state, store, self.estimators_
                    )
                    failed = [r for r in results if isinstance(r, UntrainedShard)]
                    subtracted = [r for r in results if r not in failed]
                    self._commit(store, change, subtracted, started)
                    # A correction has no report of its own.
                    n_reports = len(self.forget_log_)
                    report = n_reports - 1 if change.kind == "forget" else None
                    request = self._audit.entries[-1]["entry"], report
                    shards = [
                        shard
                        for shard in change.firsts
                        # A shard without rows to learn from has no work to defer.
                        if relearn
                        or not visits_behind(change.state, self._store, shard)
                    ]
                    vanished = _without_rows(change)
                self._relearn(shards, request)
                self._calibrate()
            _warn_of_vanished(*vanished)
            warn_of_failed(self._state, failed)
        except BaseException as error:
            if change is not None and change.is_part_of(self._state):
                action = "corrected" if change.amended_rows else "erased"
                error.add_note(
                    f"The rows are {action}: do not repeat the call. Members may be "
                    "behind, see behind_; relearn() trains them."
                )
            raise
        return self

    def relearn(
        self,
        *,
        shards: ArrayLike | None = None,
        max_sample_visits: int | None = None,
    ) -> Self:
        """Train the members that are behind, the cheapest first.

        The result has the same bits as deletions that relearnt at once, whatever the
        order and the bundling of the requests. A member is behind if it has learnt
        fewer slices than its shard has.

        Parameters
        ----------
        shards : int or array-like of int, default=None
            Shards to relearn. Shards that are not behind cost nothing. None means all.

        max_sample_visits : int, default=None
            Largest number of sample visits. A shard relearns completely, so the call
            stops before the first shard that would exceed this number.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a shard is unknown, or the budget is too small for the cheapest shard.
        DirectoryError
            As in :meth:`forget`.

        Warns
        -----
        UntrainedShardWarning
            If a member cannot be trained on the remaining rows; it stays behind.
        """
        check_is_fitted(self)
        check_visits(max_sample_visits)
        with self._exclusive():
            behind = self.behind_
        if shards is not None:
            behind = behind[behind["shard"].isin(check_shards(shards, self.plan_))]
        behind = behind.sort_values(["sample_visits", "shard"])
        if max_sample_visits is not None and len(behind):
            spent = behind["sample_visits"].cumsum()
            if spent.iloc[0] > max_sample_visits:
                raise ValueError(
                    f"max_sample_visits={max_sample_visits} is less than the "
                    f"{spent.iloc[0]} of shard {behind['shard'].iloc[0]}, the cheapest "
                    "that is behind. Shards are relearnt whole: allow more."
                )
            behind = behind[spent <= max_sample_visits]
        with self._settled.during_change(self):
            self._relearn(behind["shard"].tolist())
            self._calibrate()
        return self

    @property
    def behind_(self) -> pd.DataFrame:
        """Shards whose members have not learnt all slices; see Attributes."""
        check_is_fitted(self)
        return self._read(type(self)._behind)

    def _behind(self):
        records = []
        for shard in range(self.plan_.n_shards):
            progress, rows = self._store.progress(shard), self._state.rows[shard]
            if progress.is_behind:
                records.append(
                    {
                        "shard": shard,
                        "stage": progress.stage,
                        "n_stages": progress.n_stages,
                        "rows_missing": int(
                            rows.counts(progress.n_stages)[progress.stage :].sum()
                        ),
                        "sample_visits": visits_behind(self._state, self._store, shard),
                        "reason": progress.reason,
                    }
                )
        return pd.DataFrame(records, columns=list(TABLES["behind"]))

    def verify_forgotten(self, indices: ArrayLike | None = None) -> ForgetVerification:
        """Retrain the shards that lost rows from scratch and compare every bit.

        Parameters
        ----------
        indices : array-like of int, default=None
            Forgotten rows, whose shards are verified. None means all forgotten rows.

        Returns
        -------
        ForgetVerification
            True if parameters, optimizer state and everything else in the members are
            equal, and so are fair rules that are kept with the ensemble. It also gives
            the digests and the cost.

        Raises
        ------
        ValueError
            If a row is unknown or was not forgotten.
        """
        check_is_fitted(self)
        return self._read(type(self)._verify, indices)

    def _verify(self, indices):
        started = time.perf_counter()
        rows = erased = np.union1d(self.forgotten_, [*self._state.amended]).astype(int)
        if indices is not None:
            rows = check_indices(indices, self.plan_.n_rows)
            retained = np.setdiff1d(rows, erased)
            if len(retained):
                raise ValueError(
                    f"Row {retained[0]} has not been forgotten or corrected, so there "
                    "is nothing to verify. Call forget or amend first."
                )
        shards = np.setdiff1d(self.plan_.shard_of(rows), HELD_OUT).tolist()
        # A member that is behind is compared at its current stage.
        stages = {shard: self._store.progress(shard).stage for shard in shards}
        firsts = {shard: 0 for shard, stage in stages.items() if stage}
        in_use = {shard: digest(self.estimators_[shard]) for shard in shards}
        retrained = dict.fromkeys(shards, digest(None))
        sample_visits = 0
        # Only digests are kept: the checkpoints of all shards would fill the memory.
        for trained in self._train(self._state, firsts, n_stages=stages, verbose=False):
            shard = trained.shard
            retrained[shard] = trained.digest
            sample_visits += trained.sample_visits
            if self.verbose > 0:
                same = "equal" if trained.digest == in_use[shard] else "NOT equal"
                print(
                    f"[SISA] shard {shard}: {same} to a member retrained from scratch, "
                    f"{trained.sample_visits} sample visits",
                    flush=True,
                )
        return ForgetVerification(
            shards=tuple(shards),
            digests=tuple(in_use.values()),
            digests_retrained=tuple(retrained.values()),
            sample_visits=sample_visits,
            seconds=time.perf_counter() - started,
            audit_head=self._audit.head,
            companions={
                name: digest(companion.learnt) == digest(companion.remade(self).learnt)
                for name, companion in self._state.companions.items()
                if companion.is_current(self._store.digests)
            },
        )

    def forgetting_report(
        self, verification: ForgetVerification | None = None
    ) -> ForgettingReport:
        """Return a report of all requests, their cost and the shards left to relearn.

        Parameters
        ----------
        verification : ForgetVerification, default=None
            Result of :meth:`verify_forgotten`, now or earlier. The report shows which
            request is the last that it covers.

        Returns
        -------
        ForgettingReport
            With methods ``to_html``, ``to_json`` and ``to_frame``. Notebooks show it.
            It identifies rows by salted ids only.

        Raises
        ------
        ValueError
            If the verification is of another ensemble.
        """
        check_is_fitted(self)
        return self._read(type(self)._report, verification)

    def _report(self, verification):
        return ForgettingReport(self._audit, self._state, self._behind(), verification)

    def expected_cost(
        self, indices: ArrayLike | None = None, *, subjects: ArrayLike | None = None
    ) -> dict[str, Any]:
        """Return the cost of forgetting rows, without forgetting them.

        Parameters
        ----------
        indices : int, array-like of int or boolean mask, default=None
            Rows, as for :meth:`forget`.

        subjects : array-like, default=None
            Data subjects, as for :meth:`forget`.

        Returns
        -------
        dict
            ``rows``, the number not forgotten yet; ``shards``, to be replayed;
            ``sample_visits`` of the replay and ``full_sample_visits`` of a retraining.
        """
        check_is_fitted(self)
        return self._read(type(self)._expected_cost, indices, subjects)

    def _expected_cost(self, indices, subjects):
        with reading_once():
            return self._cost(indices, subjects)

    def _cost(self, indices, subjects):
        rows, keys = requested_rows(self._state, indices, subjects)
        change = self._state.without(rows, keys)
        visits = 0
        for shard, first in change.firsts.items():
            subtracted = subtracted_visits(change, self._state, self._store, shard)
            if subtracted is not None:
                visits += subtracted
                continue
            visits += replay_visits(
                change.state.recipe,
                change.state.rows[shard],
                self.plan_.n_stages[shard],
                replay_stage(
                    self._store,
                    shard,
                    min(first, self._store.progress(shard).stage),
                ),
            )
        return {
            "rows": len(rows),
            "shards": list(change.firsts),
            "sample_visits": visits,
            "full_sample_visits": self._full_visits_after(change),
        }

    @classmethod
    def load(
        cls,
        directory: FilePath | CheckpointPolicy,
        *,
        resign: bool = False,
        params: Mapping[str, Any] | None = None,
    ) -> Self:
        """Reopen a durable directory in its present state.

        Nothing is trained: members that are behind, for example after an interrupted
        fit, stay behind until :meth:`relearn` is called.

        Parameters
        ----------
        directory : str, path or CheckpointPolicy
            Value of ``checkpoint_dir``, or the new path if the directory was moved.
            Only the directory and the `timeout` of a policy are used.

        resign : bool, default=False
            Open a directory that was signed with another key, and sign it with your
            own. Its files may run any code when they are read.

        params : dict, default=None
            Parameters to set on the estimator, such as `n_jobs` and `verbose`. They are
            not written to the directory.

        Returns
        -------
        SISAClassifier

        Raises
        ------
        FileNotFoundError
            If the directory holds no ensemble.
        DamagedDirectoryError
            If a file is missing, truncated or altered, or the directory was signed
            with another key. The message names the file.
        LockedDirectoryError
            If `resign` is True and another process is using the directory.
        """
        while True:
            try:
                return cls._opened(as_policy(directory), resign, params)
            except ChangedDirectoryError:
                # Another process changed the directory meanwhile: read it again.
                continue

    @classmethod
    def _opened(cls, policy, resign, params):
        directory = policy.directory
        store = open_directory(directory, resign=resign, timeout=policy.timeout)
        state = store.state()
        if state is None:
            raise FileNotFoundError(
                f"{directory} holds no ensemble: a fit has failed there. Fit again."
            )
        self = cls(**store.params()).set_params(checkpoint_dir=store.policy)
        place = store.policy.directory
        if isinstance(place, str | PathLike) and store.policy == CheckpointPolicy(
            place
        ):
            self.checkpoint_dir = place
        self.set_params(**params or {})
        log = store.audit_log()
        reports = forget_reports(log, state)
        self._put_in_place(state, store, store.members(), log, reports)
        return self

    def for_serving(self) -> ServedClassifier:
        """Return an estimator that only predicts, with the same bits.

        It has the members, without rows, ids, checkpoints, log and paths, and cannot
        forget. After each deletion, replace the served estimator by a new one.

        Returns
        -------
        ServedClassifier
            With the methods that predict, which give the same bits.

        Raises
        ------
        ValueError
            If a member holds rows, as nearest neighbours and kernel machines do, or if
            no member can predict.
        """
        check_is_fitted(self)
        return self._read(served_classifier)

    @property
    def n_rows_(self) -> int:
        """Number of retained rows."""
        return self._state.n_rows

    @property
    def full_sample_visits_(self) -> int:
        """Sample visits of training the whole ensemble on the retained rows."""
        return self._state.full_sample_visits

    @property
    def checkpoint_bytes_(self) -> int:
        """Size of the checkpoints in bytes, on disk or pickled."""
        return self._store.size()

    @property
    def _checkpoints(self):
        """Kept checkpoints of each shard, in the order of their stages."""
        return [
            [
                self._store.checkpoint(shard, stage)
                for stage in sorted(self._store.progress(shard).checkpoints)
            ]
            for shard in range(self.plan_.n_shards)
        ]

    def get_metadata_routing(self) -> MetadataRouter:
        """Return how metadata reach this estimator and its base learner.

        Returns
        -------
        MetadataRouter
        """
        return declared_routing(self, self._learner_calls())

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        base = get_tags(self._base())
        tags.input_tags = base.input_tags
        # fit refuses an estimator that is not a classifier.
        if base.classifier_tags is not None:
            tags.classifier_tags.multi_class = base.classifier_tags.multi_class
        return tags

    def __sklearn_is_fitted__(self):
        return hasattr(self, "plan_")

    def _findings(self):
        """Return the shards, as notebooks show them."""
        n_shards = len(self.estimators_)
        given, forgotten = (
            np.bincount(shards[shards != HELD_OUT], minlength=n_shards)
            for shards in (self.plan_.shards, self.plan_.shard_of(self.forgotten_))
        )
        members = [
            "none, it abstains" if m is None else type(last_step(m)).__name__
            for m in self.estimators_
        ]
        table = pd.DataFrame(
            {
                "shard": range(n_shards),
                "slices": self.plan_.n_stages,
                "rows": given - forgotten,
                "forgotten": forgotten,
                "member": members,
            }
        )
        title = (
            f"{counted(n_shards, 'shard')} with {counted(self.n_rows_, 'row')}, "
            f"{len(self.forgotten_):,} forgotten"
        )
        return [(title, table)]

    def _why_none_predicts(self):
        if len(self.behind_):
            return "All members are behind. Call relearn()."
        return (
            "Every row has been forgotten, or has weight 0, so no member is left to "
            "predict. Fit again, or add rows with partial_fit."
        )

    def _snapshot(self):
        """Return a copy whose attributes all belong to the same instant.

        Another thread may change the ensemble between two reads of attributes.
        """
        return copy.copy(self)

    def _read(self, function, *args):
        """Return the result of a function for the ensemble as it is at one instant.

        If another process has changed the directory, the function gets the ensemble as
        it now is there, unless that does not follow from this one and no row must be
        read.
        """
        fitted = self._snapshot()
        if not fitted._store.is_latest():
            with suppress(ChangedDirectoryError):
                fitted = fitted._followed()
        while True:
            try:
                return function(fitted, *args)
            except ChangedDirectoryError:
                fitted = fitted._followed()

    def _followed(self):
        """Return the ensemble as it now is in its directory, whoever changed it.

        Raises
        ------
        ChangedDirectoryError
            If the directory does not continue the log that this estimator last read.
        """
        opened = self.load(self._store.policy, params={"n_jobs": self.n_jobs})
        known, now = self._audit.entries, opened._audit.entries
        fitted_anew = any(entry["kind"] == "fit" for entry in now[len(known) :])
        if fitted_anew or now[: len(known)] != known:
            raise self._store.changed()
        return opened

    def _base(self):
        if self.estimator is None:
            learner = SGDClassifier(loss="log_loss")
            if get_config()["enable_metadata_routing"]:
                # As in the default learners of scikit-learn's meta-estimators.
                learner.set_fit_request(sample_weight=True)
                learner.set_partial_fit_request(sample_weight=True)
            return learner
        return self.estimator

    def _fits_members_whole(self):
        """Return whether members are trained by the learner's own ``fit``."""
        by_passes = self.n_slices > 1 or self.epochs is not None
        base = self._base()
        return not (by_passes or trains_together(base) or subtracts(base))

    def _learner_calls(self):
        """Return the methods that training calls, with the part of the learner."""
        return learner_calls(self._base(), self._fits_members_whole())

    def _has_weights(self):
        """Return whether the training rows have weights."""
        return bool(self._state.rows[0].any_block.params)

    def _weight_param(self):
        """Return the parameter of ``fit`` for weights, None if the learner has none."""
        _, method = self._learner_calls()["fit"]
        taken = weight_param(self._base(), method)
        return None if taken is None else "sample_weight"

    def _start(
        self, X, y, method, classes, subjects, given, held_out=0.0, companions=None
    ):
        """Plan and train all shards.

        Parameters
        ----------
        held_out : float, default=0.0
            Share of the rows that no shard trains on.
        companions : dict of str to callable, default=None
            Functions that return a Companion of a state. It is committed as soon as the
            fit begins.
        """
        require_members(self._base(), SISAClassifier)
        if self.n_slices > 1 or self.epochs is not None:
            what = "n_slices > 1" if self.n_slices > 1 else "epochs"
            require_continuing(self._base(), what)
            refuse_subtracting(self._base(), what)
        X, y, subjects, given = rows_given(X, y, subjects, given)
        X = self._in_place(X)
        X, y, subjects, inputs = check_rows(self, X, y, subjects, reset=True)
        params, settings = split_metadata(
            self, method, len(y), subjects=subjects, **given
        )
        check_enough_rows(len(y), subjects, self.n_shards, self.n_slices)
        all_classes = union(*([y] if classes is None else [classes, y]))
        if len(all_classes) < 2:
            raise ValueError(
                f"y has one class, {all_classes.tolist()[0]!r}. A classifier needs "
                "rows of at least two classes."
            )
        # Of labels that are mapped to a file, the plan needs none.
        drop_pages(y)
        seed = self._draw_seed()
        recipe = self._make_recipe(seed, all_classes, settings)
        plan = make_plan(
            len(y),
            n_shards=self.n_shards,
            n_slices=self.n_slices,
            seed=seed,
            subjects=subjects,
            held_out=held_out,
        )
        if held_out:
            training = np.flatnonzero(plan.shards != HELD_OUT)
            people = subjects and [subjects[i] for i in training]
            check_enough_rows(len(training), people, self.n_shards, self.n_slices)

        def state_of(rows, held_out_rows):
            state = State(
                recipe=recipe,
                plan=plan,
                classes=all_classes,
                rows=rows,
                held_out=held_out_rows,
                inputs=inputs,
                salt=secrets.token_hex(16),
            )
            if not len(state.shards_without([])):
                raise ValueError(
                    "No shard has a row to train on: all are watched or weigh nothing. "
                    "Give more rows, or watch fewer."
                )
            begun = {name: begin(state) for name, begin in (companions or {}).items()}
            drop_pages(y)
            return replace(state, companions=begun)

        batch = X, y, all_classes, plan, subjects, params, 0
        is_source = isinstance(X, Source)
        # Of rows in memory, what is wrong is found before the directory is made.
        state = None if is_source else state_of(*self._split_rows(*batch))
        store = create_store(self.checkpoint_dir, getattr(self, "_store", None))
        firsts = dict.fromkeys(range(plan.n_shards), 0)
        with store.exclusive():
            started, latest = time.perf_counter(), store.latest()
            if is_source:
                state = state_of(*self._split_rows(*batch, latest))
            change = Change("fit", state, firsts)
            trained = self._train(state, firsts)
            self._commit(latest, change, trained, started)
        self._calibrate()
        _warn_of_vanished(*_without_rows(change))
        return self

    @contextmanager
    def _exclusive(self):
        """Lock the ensemble, catch up with its directory, and yield its store."""
        with self._store.exclusive():
            store = self._store.latest()
            if store is not self._store:
                self._catch_up(store)
            yield self._store

    def _go_on_after_others(self, fitted):
        """Catch up with a directory that lacks files which training needed.

        Raises
        ------
        ChangedDirectoryError
            If the directory is the one that training read.
        """
        with self._exclusive() as store:
            if store is fitted._store:
                raise

    def _catch_up(self, store):
        """Take over the state that another estimator left in the directory."""
        log = store.audit_log()
        since = log.entries[len(self._audit.entries) :]
        if any(entry["kind"] == "fit" for entry in since):
            raise ChangedDirectoryError(
                f"{store.directory} holds an ensemble that was fitted since this "
                "estimator last read it. Open it with SISAClassifier.load; nothing was "
                "done."
            )
        state = store.state()
        if state.erased_since(self._state):
            empty_caches(state.recipe.prototype)
        reports = forget_reports(log, state)
        self._put_in_place(state, store, store.members(), log, reports)

    def _relearn(self, shards, request=None):
        """Train some shards to their last stage, and swap each in when it is trained.

        No lock is held while they train. A shard whose rows changed meanwhile is
        trained again.
        """
        waiting, untrained = set(shards), {}
        while True:
            fitted = self._snapshot()
            firsts = {}
            started = time.perf_counter()
            try:
                for shard in shards:
                    progress = fitted._store.progress(shard)
                    if shard in waiting and progress.is_behind:
                        firsts[shard] = progress.stage
                if not firsts:
                    break
                results = self._train(
                    fitted._state, firsts, fitted._store, keep_going=True
                )
                for result in results:
                    if self._swap_in(result, fitted._state, started, request):
                        waiting.discard(result.shard)
                        if isinstance(result, UntrainedShard):
                            untrained[result.shard] = result.reason
                    started = time.perf_counter()
            except ChangedDirectoryError:
                self._go_on_after_others(fitted)
            except BaseException as error:
                # The notes of the store describe one shard only.
                error.__notes__ = [
                    "Shards that were relearnt before the error are kept; behind_ "
                    "lists the others."
                ]
                raise
        if untrained:
            why = "; ".join(f"shard {s}: {untrained[s]}" for s in sorted(untrained))
            warnings.warn(
                "Members cannot be trained on the remaining rows, and stay "
                f"behind: {why}. Forgotten rows are erased all the same. relearn() "
                "tries again.",
                UntrainedShardWarning,
                stacklevel=level_of_caller(),
            )

    def _retrain(self):
        """Train every member from scratch, and swap each in when it is trained."""
        fitted = self._snapshot()
        started = time.perf_counter()
        with self._settled.during_change(self):
            for result in self._train(
                fitted._state, dict.fromkeys(range(fitted.plan_.n_shards), 0)
            ):
                self._swap_in(result, fitted._state, started, None)
                started = time.perf_counter()
            self._calibrate()

    def _calibrate(self):
        """Update the companions to the current rows and members.

        No lock is held meanwhile. If rows or members change, companions are updated
        again.
        """
        started = time.perf_counter()
        while True:
            fitted = self._snapshot()
            state = fitted._state
            try:
                updated = {
                    name: companion.updated(fitted)
                    for name, companion in state.companions.items()
                }
                new = [
                    c for name, c in updated.items() if c is not state.companions[name]
                ]
                if not new:
                    # A rule may lack members that another thread is relearning.
                    if not are_current(fitted) and self._settled.wait_for_others():
                        continue
                    self._settled.note(fitted)
                    return
                if self._attach(fitted, updated, started):
                    break
            except ChangedDirectoryError:
                self._go_on_after_others(fitted)
            except BaseException as error:
                # The notes of the store describe the companions only.
                error.__notes__ = [
                    "What was learnt from the members, such as a fair rule, is "
                    "behind; relearn() updates it."
                ]
                raise
        for companion in new:
            companion.warn()

    def _attach(self, fitted, companions, started):
        """Commit companions of a snapshot; return whether nothing changed since."""
        with self._exclusive() as store:
            state = self._state
            if state is not fitted._state or store.digests != fitted._store.digests:
                self._erase_again(fitted._state)
                return False
            state = replace(state, companions={**state.companions, **companions})
            self._commit(store, Change("calibrate", state, {}), (), started)
            self._settled.note(self._snapshot())
        return True

    def _erase_again(self, before):
        """Empty caches, which rows may have entered while they were being erased."""
        if self._state.erased_since(before):
            empty_caches(before.recipe.prototype)

    def _swap_in(self, result, trained_on, started, request):
        """Commit a relearnt shard; return False if its rows changed meanwhile."""
        shard = result.shard
        with self._exclusive() as store:
            state = self._state
            if not state.has_same_rows(trained_on, shard):
                self._erase_again(trained_on)
                return False
            if isinstance(result, UntrainedShard):
                change = Change("relearn", state, {shard: store.progress(shard).stage})
                if store.progress(shard).reason != result.reason:
                    self._commit(
                        store, change, (), started, request, reason=result.reason
                    )
            else:
                change = Change("relearn", state, {shard: result.first_stage})
                self._commit(store, change, [result], started, request)
        return True

    def _commit(self, store, change, trained, started, request=None, reason=None):
        """Commit a change, with the shards that were trained for it."""
        is_fit = change.kind == "fit"
        before = None if is_fit else self._state
        params = {**self.get_params(deep=False), "checkpoint_dir": None}
        if reason is None:
            reason = "interrupted" if is_fit else "deferred"
        work = store.begin(change, params, before, reason)
        sample_visits = 0
        try:
            for shard in trained:
                work.keep(shard)
                sample_visits += shard.sample_visits
            for shard, member in work.behind():
                work.mark(shard, member, digest(member))
            log = store.audit_log() if is_fit else self._audit
            facts = audit_facts(
                change,
                before,
                work,
                () if is_fit else store.digests,
                sample_visits=sample_visits,
                full_sample_visits=change.state.full_sample_visits
                if is_fit
                else self._full_visits_after(change),
                seconds=time.perf_counter() - started,
                request=None if request is None else request[0],
            )
            log = log.appended(facts)
            next_store = work.commit(log.entries[-1])
        except Exception:
            work.abandon()
            raise
        members = [None] * change.state.plan.n_shards
        if not is_fit:
            members = list(self.estimators_)
        for shard, member in work.members.items():
            members[shard] = member
        reports = [] if is_fit else list(self.forget_log_)
        if change.kind == "forget":
            reports.append(forget_report(log.entries[-1], change.forgotten_rows))
        elif request is not None and request[1] is not None:
            position = request[1]
            reports[position] = relearnt(reports[position], log.entries[-1])
        self._put_in_place(change.state, next_store, members, log, reports)

    def _put_in_place(self, state, store, members, log, reports):
        others = {k: v for k, v in vars(self).items() if k not in INPUTS}
        # One assignment, so that an interrupt leaves either the old or the new state.
        self.__dict__ = {
            **others,
            **state.inputs,
            "_state": state,
            "_store": store,
            "_audit": log,
            "plan_": state.plan,
            "classes_": state.classes,
            "forgotten_": state.forgotten,
            "estimators_": members,
            "forget_log_": reports,
            "_settled": vars(self).get("_settled") or Settled(),
        }

    def _full_visits_after(self, change):
        """Return the sample visits of a full training on the rows after a change."""
        entries = self._audit.entries
        # A fit that was interrupted has no entry.
        if not entries:
            return change.state.full_sample_visits
        return change.full_sample_visits(self._state, entries[-1]["full_sample_visits"])

    def _train(self, state, firsts, store=None, **how):
        """Yield shards as they are trained, from when the first is wanted."""
        how = {"n_jobs": self.n_jobs, "verbose": self.verbose > 0} | how
        yield from train_members(state, firsts, store, **how)

    def _make_recipe(self, seed, classes, settings):
        base = self._base()
        codes = {label: code for code, label in enumerate(classes.tolist())}
        replay = "slice" if accumulates(base) else "prefix"
        epochs = self.epochs
        if epochs is None:
            epochs = default_epochs(base, replay)
        return Recipe(
            prototype=make_prototype(base, classes, codes),
            n_classes=len(classes),
            seed=seed,
            n_slices=self.n_slices,
            epochs=epochs,
            replay=replay,
            whole=self._fits_members_whole(),
            settings=settings,
            routed=get_config()["enable_metadata_routing"],
        )

    def _draw_seed(self):
        if self.random_state is None:
            return secrets.randbits(63)
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))


def _without_rows(change):
    """Return the shards of a change, and the classes, that have no rows left."""
    state, shards = change.state, list(change.firsts)
    empty = [shard for shard in shards if len(state.rows[shard]) == 0]
    absent = set(range(len(state.classes) if shards else 0))
    # Shards that lost rows come first, since they mostly have all classes.
    for number in (*shards, HELD_OUT, *range(state.plan.n_shards)):
        if not absent:
            break
        absent -= state.part(number).labels
    return empty, state.classes[sorted(absent)].tolist()


def _warn_of_vanished(empty, classes):
    """Warn of shards and classes that have no rows left."""
    if empty:
        warnings.warn(
            f"Shards {empty} have no rows, so their members abstain.",
            EmptyShardWarning,
            stacklevel=level_of_caller(),
        )
    if classes:
        warnings.warn(
            f"The classes {classes} have no rows. They remain in classes_, which "
            "reveals that forgotten rows had them. Refit to remove them.",
            VanishedClassWarning,
            stacklevel=level_of_caller(),
        )
