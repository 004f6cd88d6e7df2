import pickle

import pytest
from held import digests
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_fairsisa import SISAClassifier

X, y = make_classification(n_samples=120, n_features=5, n_informative=3, random_state=0)

LEARNERS = {
    "bayes, 3 slices": (GaussianNB, 3),
    "sgd, 3 slices": (lambda: SGDClassifier(loss="log_loss"), 3),
    "scaled sgd, 2 slices": (
        lambda: make_pipeline(StandardScaler(), SGDClassifier()),
        2,
    ),
    "whole logistic": (LogisticRegression, 1),
}


@pytest.fixture(params=["memory", "directory"])
def place(request, tmp_path):
    return None if request.param == "memory" else tmp_path / "d"


def make_sisa(name="bayes, 3 slices", place=None, **params):
    learner, n_slices = LEARNERS[name]
    return SISAClassifier(
        learner(),
        n_shards=4,
        n_slices=n_slices,
        random_state=0,
        checkpoint_dir=place,
        **params,
    )


@pytest.mark.parametrize("name", LEARNERS)
def test_relearning_later_ends_in_the_bits_of_relearning_at_once(name, place):
    gone = [3, 14, 15, 92, 65]
    expected = make_sisa(name).fit(X, y).forget(gone)
    sisa = make_sisa(name, place).fit(X, y)
    for row in gone:
        sisa.forget(row, relearn=False)
    assert len(sisa.behind_) > 0
    assert sisa.verify_forgotten()
    sisa.relearn()
    assert len(sisa.behind_) == 0
    assert digests(sisa) == digests(expected)
    assert sisa.verify_forgotten()


@pytest.mark.parametrize("name", LEARNERS)
def test_a_member_that_is_behind_never_saw_the_rows(name, place):
    other_X, other_y = X.copy(), y.copy()
    other_X[[3, 40]] += 100
    other_y[[3, 40]] = 1 - other_y[[3, 40]]
    one = make_sisa(name, place).fit(X, y).forget([3, 40], relearn=False)
    twin = make_sisa(name).fit(other_X, other_y).forget([3, 40], relearn=False)
    assert digests(one) == digests(twin)


def test_what_is_behind_is_listed_with_its_cost_and_reason(place):
    sisa = make_sisa(place=place).fit(X, y)
    assert list(sisa.behind_.columns) == [
        "shard",
        "stage",
        "n_stages",
        "rows_missing",
        "sample_visits",
        "reason",
    ]
    assert len(sisa.behind_) == 0
    row = sisa.plan_.rows(2, 1)[0]
    sisa.forget(row, relearn=False)
    (entry,) = sisa.behind_.to_dict("records")
    assert (entry["shard"], entry["stage"], entry["n_stages"]) == (2, 1, 3)
    assert entry["rows_missing"] == 30 - 10 - 1
    assert entry["reason"] == "deferred"
    before = sisa.forget_log_[-1].sample_visits
    cost = entry["sample_visits"]
    sisa.relearn()
    assert before == 0
    assert cost > 0


def test_an_unsliced_member_abstains_until_it_relearns(place):
    sisa = make_sisa("whole logistic", place).fit(X, y)
    row = sisa.plan_.rows(1)[0]
    sisa.forget(row, relearn=False)
    assert sisa.estimators_[1] is None
    assert sisa.predict(X).shape == (120,)
    assert sisa.relearn().estimators_[1] is not None


class Refuses(GaussianNB):
    """Raises while it is told to."""

    error = None

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        if Refuses.error is not None:
            raise Refuses.error
        return super().partial_fit(X, y, classes, sample_weight)


@pytest.fixture
def refusing():
    yield Refuses
    Refuses.error = None


def test_a_training_error_never_stands_between_a_person_and_the_erasure(
    place, refusing
):
    sisa = SISAClassifier(
        Refuses(), n_shards=3, n_slices=2, random_state=0, checkpoint_dir=place
    ).fit(X, y)
    refusing.error = ValueError("too few rows")
    with pytest.warns(UserWarning, match="too few rows"):
        sisa.forget(7)
    assert 7 in sisa.forgotten_
    (entry,) = sisa.behind_.to_dict("records")
    assert entry["reason"] == "ValueError: too few rows"
    with pytest.warns(UserWarning, match="too few rows"):
        sisa.relearn()
    refusing.error = None
    sisa.relearn()
    assert len(sisa.behind_) == 0
    expected = (
        SISAClassifier(Refuses(), n_shards=3, n_slices=2, random_state=0)
        .fit(X, y)
        .forget(7)
    )
    assert digests(sisa) == digests(expected)


@pytest.mark.parametrize("error", [MemoryError(), KeyboardInterrupt()])
def test_a_call_that_ends_early_says_that_the_rows_are_erased(place, refusing, error):
    sisa = SISAClassifier(
        Refuses(), n_shards=3, n_slices=2, random_state=0, checkpoint_dir=place
    ).fit(X, y)
    for row in (3, 14, 15):
        refusing.error = error
        with pytest.raises(type(error)) as raised:
            sisa.forget(row)
        assert any("erased" in note for note in raised.value.__notes__)
        assert row in sisa.forgotten_
    refusing.error = None
    sisa.relearn()
    expected = (
        SISAClassifier(Refuses(), n_shards=3, n_slices=2, random_state=0)
        .fit(X, y)
        .forget([3, 14, 15])
    )
    assert digests(sisa) == digests(expected)


def test_shards_relearn_cheapest_first_within_a_budget(place):
    sisa = make_sisa(place=place).fit(X, y)
    plan = sisa.plan_
    sisa.forget(
        [plan.rows(0, 0)[0], plan.rows(1, 2)[0], plan.rows(2, 1)[0]], relearn=False
    )
    cost = sisa.behind_.set_index("shard")["sample_visits"]
    assert cost[1] < cost[2] < cost[0]
    sisa.relearn(max_sample_visits=int(cost[1] + cost[2]))
    assert sisa.behind_["shard"].tolist() == [0]
    with pytest.raises(ValueError, match="max_sample_visits=1 is less"):
        sisa.relearn(max_sample_visits=1)
    for wrong in ("many", float("nan"), [1], -1):
        with pytest.raises(ValueError, match="is no number of visits"):
            sisa.relearn(max_sample_visits=wrong)
    with pytest.raises(ValueError, match="shard 9"):
        sisa.relearn(shards=[9])
    assert len(sisa.relearn(shards=[0]).behind_) == 0


def test_load_never_relearns(tmp_path):
    make_sisa(place=tmp_path / "d").fit(X, y).forget(5, relearn=False)
    loaded = SISAClassifier.load(tmp_path / "d")
    assert len(loaded.behind_) == 1
    expected = make_sisa().fit(X, y).forget(5)
    assert digests(loaded.relearn()) == digests(expected)


def test_a_pickle_keeps_what_is_behind():
    sisa = make_sisa().fit(X, y).forget(5, relearn=False)
    again = pickle.loads(pickle.dumps(sisa))
    assert again.behind_.equals(sisa.behind_)
    assert digests(again.relearn()) == digests(sisa.relearn())


def test_partial_fit_relearns_the_shards_it_extends(place):
    sisa = make_sisa(place=place).fit(X[:100], y[:100]).forget(5, relearn=False)
    sisa.partial_fit(X[100:], y[100:])
    assert len(sisa.behind_) == 0
    expected = make_sisa().fit(X[:100], y[:100]).forget(5).partial_fit(X[100:], y[100:])
    assert digests(sisa) == digests(expected)
