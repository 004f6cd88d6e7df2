"""Callbacks of skorch nets leave members exact, or are refused before training."""

import threading
import time
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import check_scoring, f1_score, make_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.sisa import check_forgettable

torch = pytest.importorskip("torch")
skorch = pytest.importorskip("skorch")
from skorch import callbacks as cb  # noqa: E402
from skorch.helper import predefined_split  # noqa: E402
from torch.optim import lr_scheduler as lrs  # noqa: E402

rng = np.random.default_rng(0)
X = rng.normal(size=(48, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)
GONE = [0, 11, 30, 47]


class Module(torch.nn.Module):
    def __init__(self, input_dim=3):
        super().__init__()
        self.body = torch.nn.Linear(input_dim, 4)
        self.head = torch.nn.Linear(4, 2)

    def forward(self, x):
        return self.head(torch.relu(self.body(x)))


def make_net(*callbacks, **params):
    params = {"callbacks": list(callbacks), "verbose": 0} | params
    return skorch.NeuralNetClassifier(
        Module, criterion=torch.nn.CrossEntropyLoss, lr=0.1, batch_size=8, **params
    )


def make_sisa(net, **params):
    params = {"n_shards": 2, "n_slices": 2, "epochs": 3} | params
    return SISAClassifier(net, random_state=0, **params)


def weights(sisa):
    members = [getattr(m, "steps", [(None, m)])[-1][1] for m in sisa.estimators_]
    return np.concatenate(
        [w.detach().numpy().ravel() for m in members for w in m.module_.parameters()]
    )


def decay(epoch):
    return 0.9**epoch


class Seconds(cb.EpochTimer):
    """Only has another name."""


class Diary(cb.Callback):
    fairsisa_role = "watches"

    def __init__(self):
        self.times_ = []

    def on_batch_end(self, net, batch=None, training=None, **kwargs):
        self.times_.append((time.perf_counter(), batch))


class Halving(cb.Callback):
    fairsisa_role = "scheduled"

    def on_epoch_end(self, net, **kwargs):
        for group in net.optimizer_.param_groups:
            group["lr"] /= 2


def own_score(net, X, y):
    return float(np.mean(net.predict(X) == y))


def declared_score(net, X, y):
    return own_score(net, X, y)


declared_score.fairsisa_role = "watches"


def shrink(weight):
    weight.data.mul_(0.5)


def declared_shrink(weight):
    shrink(weight)


declared_shrink.fairsisa_role = "scheduled"


WATCHING = {
    "epoch scores": [cb.EpochScoring("accuracy", on_train=True)],
    "metric": [cb.EpochScoring(f1_score, on_train=True, use_caching=False)],
    "scorer": [cb.EpochScoring(make_scorer(f1_score, pos_label=0), on_train=True)],
    "own score": [cb.EpochScoring(declared_score, on_train=True)],
    "batch scores": [cb.BatchScoring("accuracy", on_train=True)],
    "passed on": [("loss", cb.PassthroughScoring("train_loss", on_train=True))],
    "timer": [cb.EpochTimer, Seconds()],
    "print": [cb.PrintLog(sink=lambda line: None)],
    "diary": [("diary", Diary)],
}
ACTING = {
    "step": [cb.LRScheduler("StepLR", step_size=1, gamma=0.5)],
    "cosine": [cb.LRScheduler(lrs.CosineAnnealingLR, T_max=4)],
    "lambda": [cb.LRScheduler("LambdaLR", lr_lambda=decay)],
    "warm restart": [cb.LRScheduler(max_lr=0.2)],
    "one cycle": [
        cb.LRScheduler(lrs.OneCycleLR, max_lr=0.2, total_steps=99, step_every="batch")
    ],
    "clipping": [cb.GradientNormClipping(0.1)],
    "freezing": [cb.Freezer("body.*", at=1), cb.Unfreezer("body.*", at=3)],
    "drawing": [cb.Initializer("*", fn=partial(torch.nn.init.uniform_, a=-1, b=1))],
    "shrinking": [cb.ParamMapper("*", fn=declared_shrink, at=2)],
    "shape": [cb.InputShapeSetter()],
    "own": [Halving()],
}


@pytest.mark.parametrize("name", [*WATCHING, *ACTING])
def test_what_a_forgotten_row_said_has_no_influence(name):
    callbacks = (WATCHING | ACTING)[name]
    other_X, other_y = X.copy(), Y.copy()
    other_X[GONE], other_y[GONE] = 5, 1 - Y[GONE]
    one = make_sisa(make_net(*callbacks)).fit(X, Y)
    other = make_sisa(make_net(*callbacks)).fit(other_X, other_y)
    assert (weights(one) != weights(other)).any()
    plain = make_sisa(make_net()).fit(X, Y)
    assert np.array_equal(weights(one), weights(plain)) == (name in WATCHING)
    one.forget(GONE)
    other.forget(GONE)
    np.testing.assert_array_equal(weights(one), weights(other))
    assert one.verify_forgotten()


def refused(callback, why, **params):
    return pytest.param({"callbacks": [callback], **params}, why)


class Undeclared(cb.Callback):
    def on_epoch_end(self, net, **kwargs):
        net.module_.load_state_dict({})


class Changed(Diary):
    def on_train_end(self, net, **kwargs):
        net.load_params("old.pt")


class StopsAll(cb.EarlyStopping):
    fairsisa_role = "watches"


class Wrong(cb.Callback):
    fairsisa_role = "harmless"


class OwnPlateau(lrs.ReduceLROnPlateau):
    pass


class OwnPolicy(lrs.StepLR):
    def get_lr(self):
        return [1.0]


class Remembering:
    def __call__(self, y_true, y_pred):
        return 0.0


FITTED = SGDClassifier(random_state=0).fit(X, Y)


def with_another_hook(net, **kwargs):
    net.load_params("old.pt")


@pytest.mark.parametrize(
    ("params", "why"),
    [
        refused(cb.EarlyStopping(), "EarlyStopping, which stops by the scores of rows"),
        refused(("stop", cb.EarlyStopping), "Choose the number of passes"),
        refused(StopsAll(), "StopsAll, which stops by the scores"),
        refused(cb.Checkpoint(), "writes weights to files"),
        refused(cb.Checkpoint(load_best=True), "writes weights to files"),
        refused(cb.TrainEndCheckpoint, "writes weights to files"),
        refused(cb.LoadInitState(cb.Checkpoint()), "may have learnt from forgotten"),
        refused(cb.LoadInitState, "LoadInitState, which loads a state"),
        refused(cb.LRScheduler("ReduceLROnPlateau"), "StepLR or CosineAnnealingLR"),
        refused(cb.LRScheduler(lrs.ReduceLROnPlateau), "ReduceLROnPlateau"),
        refused(cb.LRScheduler(OwnPlateau), "ReduceLROnPlateau"),
        refused(cb.LRScheduler(OwnPolicy, step_size=1), "policy=OwnPolicy"),
        refused(
            cb.LRScheduler("LambdaLR", lr_lambda=Remembering()), "a Remembering in lr_"
        ),
        refused(Undeclared(), 'fairsisa_role = "watches" if it changes nothing'),
        refused(Changed(), "Changed, which does not state what it does"),
        refused(Wrong, "fairsisa_role = 'harmless'"),
        refused(
            cb.LRScheduler("StepLR", step_size=1, on_train_end=with_another_hook),
            r"methods of its instance, \['on_train_end'\]",
        ),
        refused(SimpleNamespace(), "SimpleNamespace, which does not state"),
        refused(cb.EpochScoring(own_score), r"scoring=own_score.*own_score.fairsisa"),
        refused(cb.EpochScoring(make_scorer(Remembering())), "a Remembering in scor"),
        refused(cb.BatchScoring("f1", target_extractor=Remembering()), "target_extrac"),
        refused(cb.Initializer("*", fn=shrink), "fn=shrink, a function of your own"),
        refused(
            cb.Initializer("*", fn=partial(torch.nn.init.constant_, val=torch.ones(1))),
            "fn=partial",
        ),
        refused(cb.Freezer("*", at=lambda net: True), "at=<lambda>"),
        refused(cb.ParamMapper("*", schedule=lambda net: shrink), "schedule=<lambda>"),
        refused(cb.InputShapeSetter(input_dim_fn=lambda X: 3), "input_dim_fn=<lambda>"),
        refused(
            ("lr", cb.LRScheduler("StepLR", step_size=1)),
            "ReduceLROnPlateau",
            callbacks__lr__policy="ReduceLROnPlateau",
        ),
        refused(
            ("mine", cb.EpochTimer()), "stops by", callbacks__mine=cb.EarlyStopping()
        ),
        refused(cb.EpochScoring(FITTED.score), "a method in scoring="),
        refused(cb.EpochScoring(check_scoring(FITTED)), "_PassthroughScorer in scor"),
        refused(cb.EpochScoring(FITTED), "scoring=.* neither the name of a metric"),
        refused(cb.EpochScoring(3), "scoring=3, which is neither the name"),
        refused(cb.EpochScoring("no_metric"), "'no_metric', which is neither the name"),
        refused(
            cb.EpochScoring(make_scorer(f1_score, sample_weight=np.ones(3))),
            "a ndarray in scoring=",
        ),
        refused(cb.LRScheduler("OneCycleLR", max_lr=1), "class, torch.optim.lr_sched"),
        refused(
            cb.LRScheduler(lrs.OneCycleLR, max_lr=1), "no schedule .*total_steps OR"
        ),
        refused(cb.LRScheduler("StepLR"), "no schedule .*'step_size'"),
        refused(cb.LRScheduler("StepLR", step_size=0), "no schedule of its settings"),
        refused(cb.LRScheduler("MultiStepLR", milestones=3), "no schedule"),
        refused(cb.LRScheduler("LambdaLR", lr_lambda=3), "no schedule .*not callable"),
        refused(cb.LRScheduler("StepLR", step_size=1, bogus=1), "no schedule .*bogus"),
        refused(cb.TensorBoard, "TensorBoard, which has no defaults .*writer"),
        pytest.param({"callbacks__valid_acc__scoring": own_score}, "scoring=own_score"),
        pytest.param({"callbacks__print_log": cb.Checkpoint()}, "writes weights"),
    ],
)  # fmt: skip
def test_what_loads_a_state_or_steers_by_rows_is_refused_by_name(params, why):
    sisa = make_sisa(make_net(**params))
    with pytest.raises(ValueError, match=f"callbacks has .*{why}"):
        sisa.fit(X, Y)
    assert not hasattr(sisa, "estimators_")
    found = check_forgettable(sisa)
    assert not found
    assert "Callback " in str(found)


@pytest.mark.parametrize(
    ("callbacks", "named"),
    [
        (cb.EpochTimer(), "callbacks is a EpochTimer. Give a list"),
        (cb.EpochTimer, "callbacks is a type. Give a list"),
        ({"a": cb.EpochTimer()}, "callbacks is a dict"),
        ({cb.EpochTimer()}, "callbacks is a set"),
        ((one for one in [cb.EpochTimer()]), "callbacks is a generator"),
        ("disabled", "callbacks is a str"),
        (3, "callbacks is a int"),
        ((cb.EpochTimer(),), "is a tuple, which skorch does not take"),
        ([()], r"callbacks has \(\), which is no pair of a name"),
        ([("a",)], "which is no pair of a name and a callback"),
        ([("a", "b", cb.EpochTimer())], "which is no pair of a name"),
        ([(3, cb.EpochTimer())], "which is no pair of a name"),
    ],
)
def test_callbacks_that_are_no_list_are_refused_by_name(callbacks, named):
    with pytest.raises(TypeError, match=named):
        make_sisa(make_net(callbacks=callbacks)).fit(X, Y)


STOPPING = make_net(cb.EarlyStopping())


@pytest.mark.parametrize(
    "learner",
    [
        make_pipeline(FunctionTransformer(), STOPPING),
        CalibratedClassifierCV(STOPPING, cv=2),
        VotingClassifier([("sgd", SGDClassifier()), ("net", STOPPING)]),
        GridSearchCV(make_net(), {"callbacks": [[], [cb.EarlyStopping()]]}),
        make_pipeline(CalibratedClassifierCV(make_pipeline(STOPPING), cv=2)),
    ],
)
def test_a_net_is_found_at_any_depth(learner):
    with pytest.raises(ValueError, match="callbacks has EarlyStopping"):
        make_sisa(learner, n_slices=1, epochs=None).fit(X, Y)


def test_a_frozen_net_is_not_trained_so_its_callbacks_do_nothing():
    frozen = FrozenEstimator(STOPPING)
    assert "Callback" not in str(check_forgettable(make_pipeline(frozen, make_net())))


def test_a_net_without_any_callbacks_is_fine():
    assert make_sisa(make_net(callbacks="disable")).fit(X, Y).forget(GONE)
    net = make_net(
        callbacks=None, callbacks__valid_acc=None, callbacks__epoch_timer=None
    )
    assert make_sisa(net).fit(X, Y).forget(GONE).verify_forgotten()


def test_a_given_validation_set_is_refused_at_any_depth():
    net = make_net(train_split=predefined_split(skorch.dataset.Dataset(X, Y)))
    sisa = make_sisa(CalibratedClassifierCV(net, cv=2), n_slices=1, epochs=None)
    with pytest.raises(ValueError, match="predefined validation set"):
        sisa.fit(X, Y)


def test_what_a_watcher_keeps_is_no_part_of_a_digest():
    sisa = make_sisa(make_net(Diary())).fit(X, Y).forget(GONE)
    (name, diary), *_ = sisa.estimators_[0].callbacks_[-2:]
    assert name == "Diary"
    assert diary.times_
    assert sisa.verify_forgotten()


def test_what_only_its_author_knows_is_left_to_the_author():
    advice = str(check_forgettable(make_net(Diary(), Halving())))
    assert "Diary states the role 'watches'" in advice
    assert "Halving states the role 'scheduled'" in advice
    assert "curves outside" in str(check_forgettable(make_net(cb.TensorBoard(None))))


def test_what_cannot_be_copied_into_members_is_refused_with_a_way_out():
    logger = cb.TensorBoard(threading.Lock())
    with pytest.raises(ValueError, match=r"TensorBoard, which cannot be .*initialize"):
        make_sisa(make_net(logger)).fit(X, Y)
