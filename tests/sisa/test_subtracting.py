"""Members from which rows are subtracted."""

import copy
import pickle

import numpy as np
import pytest
from effort import EFFORT
from held import digests, state_of
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, StandardScaler

from sklearn_fairsisa import (
    FairEnsemblePostprocessor,
    SISAClassifier,
    check_forgettable,
)
from sklearn_fairsisa.exceptions import UntrainedShardWarning
from sklearn_fairsisa.linear_model import IntegerRidgeClassifier

rng = np.random.default_rng(0)
X = rng.normal(size=(90, 4)).round(6) / 3
y = (X[:, 0] + 0.2 * rng.normal(size=90) > 0).astype(int) + (X[:, 1] > 0.4)
GONE = [3, 4, 50, 88]


class Counted(IntegerRidgeClassifier):
    """It notes how often each of its methods was called."""

    calls: dict = {}  # noqa: RUF012

    def _note(self, method):
        Counted.calls[method] = Counted.calls.get(method, 0) + 1

    def fit(self, X, y, sample_weight=None):
        self._note("fit")
        return super().fit(X, y, sample_weight)

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        self._note("partial_fit")
        return super().partial_fit(X, y, classes, sample_weight)

    def partial_unfit(self, X, y, sample_weight=None):
        self._note("partial_unfit")
        return super().partial_unfit(X, y, sample_weight)


@pytest.fixture(autouse=True)
def _no_calls():
    Counted.calls = {}


class Failing(IntegerRidgeClassifier):
    def partial_unfit(self, X, y, sample_weight=None):
        raise ArithmeticError("no way back")


def make_sisa(learner=None, directory=None, **params):
    if learner is None:
        learner = Counted(class_weight="balanced")
    return SISAClassifier(
        learner, n_shards=3, random_state=0, checkpoint_dir=directory, **params
    )


def assert_equal(one, other):
    assert digests(one) == digests(other)
    assert one.predict_proba(X).tobytes() == other.predict_proba(X).tobytes()


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.usefixtures("unrouted")
def test_a_deletion_subtracts_and_trains_nothing(tmp_path, durable, weighted):
    weights = 1.0 + np.arange(90) % 3 if weighted else None
    wild, flipped, heavy = X.copy(), y.copy(), weights
    wild[GONE], flipped[GONE] = 7 * X[GONE[::-1]], 2 - y[GONE]
    if weighted:
        heavy = weights.copy()
        heavy[GONE] += 5
    sisa = make_sisa(directory=tmp_path if durable else None)
    sisa.fit(X, y, sample_weight=weights)
    twin = make_sisa().fit(wild, flipped, sample_weight=heavy)
    cost = sisa.expected_cost(GONE)["sample_visits"]
    Counted.calls = {}
    sisa.forget(GONE, relearn=False)
    n_touched = len(set(sisa.plan_.shard_of(GONE).tolist()))
    assert Counted.calls == {"partial_unfit": n_touched}
    assert cost == len(GONE) == sisa.forget_log_[-1].sample_visits
    assert sisa.behind_.empty
    assert_equal(sisa, twin.forget(GONE))
    assert sisa.verify_forgotten()
    if durable:
        opened = SISAClassifier.load(tmp_path)
        assert_equal(opened, twin)
        assert_equal(opened.forget(7), twin.forget(7))
        assert opened.verify_forgotten()


@pytest.mark.parametrize("durable", [False, True])
def test_a_correction_subtracts_and_adds(tmp_path, durable):
    wrong, mislabelled = X.copy(), y.copy()
    wrong[GONE], mislabelled[GONE] = -X[GONE], 2 - y[GONE]
    sisa = make_sisa(directory=tmp_path if durable else None).fit(wrong, mislabelled)
    Counted.calls = {}
    sisa.amend(GONE, X[GONE], y[GONE], relearn=False)
    assert set(Counted.calls) == {"partial_fit", "partial_unfit"}
    assert_equal(sisa, make_sisa().fit(X, y))
    assert sisa.behind_.empty
    assert sisa.verify_forgotten()


@pytest.mark.parametrize("durable", [False, True])
def test_batches_are_added_and_rows_of_any_batch_subtracted(tmp_path, durable):
    sisa = make_sisa(directory=tmp_path if durable else None)
    sisa.partial_fit(X[:30], y[:30], classes=[0, 1, 2])
    sisa.partial_fit(X[30:60], y[30:60]).forget([5, 40]).partial_fit(X[60:], y[60:])
    Counted.calls = {}
    sisa.forget([2, 45, 70])
    assert "partial_fit" not in Counted.calls
    assert sisa.verify_forgotten()
    assert sum(member.class_count_.sum() for member in sisa.estimators_) == 85


@pytest.mark.filterwarnings("ignore::sklearn_fairsisa.exceptions.EmptyShardWarning")
def test_a_shard_without_rows_abstains():
    sisa = make_sisa().fit(X, y)
    sisa.forget(sisa.plan_.rows(1))
    assert sisa.estimators_[1] is None
    assert sisa.verify_forgotten()


def test_rows_are_erased_though_they_cannot_be_subtracted():
    sisa = make_sisa(Failing()).fit(X, y)
    with pytest.warns(UntrainedShardWarning, match="ArithmeticError: no way back"):
        sisa.forget(GONE)
    assert sisa.behind_.empty
    assert sisa.verify_forgotten()
    with pytest.warns(UntrainedShardWarning, match="trained again"):
        sisa.forget(8, relearn=False)
    assert len(sisa.behind_) == 1
    # What is behind has nothing to subtract from.
    sisa.forget(sisa.plan_.rows(int(sisa.behind_["shard"].iloc[0]))[:2])
    assert sisa.behind_.empty
    assert sisa.verify_forgotten()


def test_what_is_subtracted_leaves_no_bytes():
    marked = X.copy()
    marked[GONE] = rng.normal(size=(len(GONE), 4))
    sisa = make_sisa().fit(marked, y).forget(GONE)
    held = pickle.dumps(sisa)
    assert not any(value.tobytes() in held for value in marked[GONE].ravel())


@pytest.mark.parametrize("params", [{"n_slices": 2}, {"epochs": 3}])
def test_slices_and_epochs_are_refused(params):
    with pytest.raises(ValueError, match="of no use to Counted"):
        make_sisa(**params).fit(X, y)


FITTED = StandardScaler().fit(rng.normal(size=(20, 4)))
PIPELINES = {
    "stateless": (make_pipeline(Normalizer(), Counted()), True),
    "passed through": (make_pipeline("passthrough", Counted()), True),
    "frozen": (make_pipeline(FrozenEstimator(FITTED), Counted()), True),
    "scaled": (make_pipeline(Normalizer(), StandardScaler(), Counted()), False),
}


@pytest.mark.parametrize("kind", PIPELINES)
def test_only_steps_that_learn_nothing_allow_subtracting(kind):
    learner, subtracts = PIPELINES[kind]
    sisa = make_sisa(learner).fit(X, y)
    Counted.calls = {}
    sisa.forget(GONE)
    assert ("partial_unfit" in Counted.calls) is subtracts
    assert sisa.verify_forgotten()
    report = str(check_forgettable(sisa))
    assert ("the row is subtracted by partial_unfit" in report) is subtracts
    assert ("step 'standardscaler' (StandardScaler) learns" in report) is not subtracts


def test_what_retrains_may_have_slices():
    learner = make_pipeline(MinMaxScaler((-1, 1)), Counted())
    sisa = make_sisa(learner, n_slices=3).fit(X, y).forget(GONE)
    assert sisa.verify_forgotten()
    assert sum(member[-1].class_count_.sum() for member in sisa.estimators_) == 86


def test_a_fair_rule_follows_what_is_subtracted():
    groups = np.where(X[:, 2] > 0, "a", "b")
    binary = (y > 0).astype(int)
    wild, flipped, moved = X.copy(), binary.copy(), groups.copy()
    wild[GONE], flipped[GONE], moved[GONE] = -X[GONE], 1 - binary[GONE], "a"

    def fitted(X, y, groups):
        fair = FairEnsemblePostprocessor(make_sisa())
        return fair.fit(X, y, sensitive_features=groups)

    fair, twin = fitted(X, binary, groups), fitted(wild, flipped, moved)
    Counted.calls = {}
    fair.forget(GONE)
    assert set(Counted.calls) == {"partial_unfit"}
    twin.forget(GONE)
    selected, expected = (
        one.selection_probability(X, sensitive_features=groups) for one in (fair, twin)
    )
    assert selected.tobytes() == expected.tobytes()
    assert fair.estimator_.verify_forgotten()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["forget", "later", "amend", "partial_fit", "copy"]),
        st.lists(st.integers(0, 10**6), min_size=1, max_size=6),
    ),
    min_size=1,
    max_size=6,
)


def play(steps, X, y, others):
    """Carry out a history, in which the rows of `others` may take the place of rows."""
    sisa = make_sisa().partial_fit(X[:40], y[:40], classes=[0, 1, 2])
    given = 40
    for step, numbers in steps:
        rows = np.unique([n % given for n in numbers])
        rows = np.setdiff1d(rows, sisa.forgotten_)
        if step in ("forget", "later"):
            sisa.forget(rows, relearn=step == "forget")
        elif step == "amend" and len(rows):
            sisa.amend(rows, others[0][rows], others[1][rows])
        elif step == "partial_fit" and given < 80:
            sisa.partial_fit(X[given : given + 10], y[given : given + 10])
            given += 10
        elif step == "copy":
            sisa = pickle.loads(pickle.dumps(copy.deepcopy(sisa)))
    return sisa


@given(steps=STEPS, seed=st.integers(0, 2**32 - 1))
@settings(max_examples=int(15 * EFFORT))
@pytest.mark.filterwarnings("ignore")
def test_every_history_ends_in_the_bits_of_its_twin(steps, seed):
    rng = np.random.default_rng(seed)
    others = rng.normal(size=X.shape), rng.integers(3, size=len(X))
    sisa = play(steps, X, y, others)
    assert sisa.verify_forgotten()
    # The twin's erased rows never held these values.
    erased = np.union1d(sisa.forgotten_, [*state_of(sisa).amended]).astype(int)
    wild, flipped = X.copy(), y.copy()
    wild[erased], flipped[erased] = rng.normal(size=(len(erased), 4)), 1
    assert digests(sisa) == digests(play(steps, wild, flipped, others))
