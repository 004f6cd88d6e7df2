"""Weights of nets that are not trained are stored once, and no longer than needed."""

import hashlib

import numpy as np
import pytest
from held import checkpoints
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import make_classification

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.sisa._digests import digest
from sklearn_fairsisa.sisa.store.packing import pack, unpack

torch = pytest.importorskip("torch")
skorch = pytest.importorskip("skorch")
pytest.importorskip("safetensors")

X, y = make_classification(n_samples=90, n_features=6, random_state=0)
WIDTH = 500


class HalfFrozen(torch.nn.Module):
    """A trained layer over one that is frozen, and equal in all shards or not."""

    def __init__(self, equal=True):
        super().__init__()
        self.frozen = torch.nn.Linear(6, WIDTH).requires_grad_(False)
        if equal:
            self.frozen.load_state_dict(
                {
                    "weight": torch.arange(6.0 * WIDTH).sin().reshape(WIDTH, 6),
                    "bias": torch.ones(WIDTH),
                }
            )
        self.trained = torch.nn.Linear(WIDTH, 2)

    def forward(self, X):
        return self.trained(self.frozen(X).tanh())


def make_sisa(directory, **params):
    net = skorch.NeuralNetClassifier(
        HalfFrozen, criterion=torch.nn.CrossEntropyLoss, optimizer=torch.optim.Adam,
        max_epochs=4, batch_size=8, verbose=0,
        module__equal=params.pop("equal", True),
    )  # fmt: skip
    params = {"n_shards": 5, "n_slices": 4, "random_state": 0} | params
    return SISAClassifier(net, checkpoint_dir=directory, **params)


def frozen_bytes(member):
    return member.module_.frozen.weight.numpy().tobytes()


def holders(directory, needle):
    return [p.name for p in directory.iterdir() if needle in p.read_bytes()]


def test_what_no_stage_changed_is_in_a_directory_once(tmp_path):
    sisa = make_sisa(tmp_path).fit(X, y)
    (name,) = holders(tmp_path, frozen_bytes(sisa.estimators_[0]))
    assert name.startswith("frozen-")
    members = [*tmp_path.glob("member-*"), tmp_path / name]
    assert sisa.checkpoint_bytes_ == sum(path.stat().st_size for path in members)

    memory = make_sisa(None).fit(X, y)
    for change in (lambda s: s.forget([3, 60]), lambda s: s.partial_fit(X, y)):
        change(memory)
        change(SISAClassifier.load(tmp_path))
        reopened = SISAClassifier.load(tmp_path)
        assert [digest(m) for m in reopened.estimators_] == [
            digest(m) for m in memory.estimators_
        ]
        assert not reopened.estimators_[0].module_.frozen.weight.requires_grad
        assert holders(tmp_path, frozen_bytes(sisa.estimators_[0])) == [name]
    assert reopened.verify_forgotten()


def test_forgetting_erases_what_was_trained_and_keeps_what_was_not(tmp_path):
    sisa = make_sisa(tmp_path).fit(X, y)
    frozen = frozen_bytes(sisa.estimators_[0])
    row = sisa.plan_.rows(2, 0)[0]
    taught = [
        member.module_.trained.weight.detach().numpy().tobytes()
        for member in checkpoints(sisa)[2]
    ]
    assert [len(holders(tmp_path, needle)) for needle in taught] == [1, 1, 1, 1]
    sisa.forget(row)
    assert [len(holders(tmp_path, needle)) for needle in taught] == [0, 0, 0, 0]
    assert len(holders(tmp_path, frozen)) == 1


def test_frozen_weights_go_with_the_last_checkpoint_that_needs_them(tmp_path):
    sisa = make_sisa(tmp_path, equal=False).fit(X, y)
    own = [frozen_bytes(member) for member in sisa.estimators_]
    assert [len(holders(tmp_path, needle)) for needle in own] == [1] * 5
    with pytest.warns(UserWarning, match="no rows"):
        sisa.forget(sisa.plan_.rows(1))
    assert [len(holders(tmp_path, needle)) for needle in own] == [1, 0, 1, 1, 1]
    reopened = SISAClassifier.load(tmp_path)
    np.testing.assert_array_equal(reopened.transform(X), sisa.transform(X))


def test_a_damaged_file_of_frozen_weights_is_named(tmp_path):
    from sklearn_fairsisa.exceptions import DamagedDirectoryError

    make_sisa(tmp_path).fit(X, y)
    (path,) = tmp_path.glob("frozen-*")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedDirectoryError, match="weights that are not trained"):
        SISAClassifier.load(tmp_path)


@pytest.mark.parametrize("durable", [False, True])
def test_a_stage_without_a_pass_adds_no_bytes(tmp_path, durable):
    # One epoch over four slices makes passes in two of the stages.
    twice = make_sisa(tmp_path / "a" if durable else None, epochs=4, n_slices=2)
    sisa = make_sisa(tmp_path / "b" if durable else None, epochs=1).fit(X, y)
    kept = checkpoints(sisa)
    assert [len({digest(c) for c in shard}) for shard in kept] == [2] * 5
    assert sisa.checkpoint_bytes_ < 1.2 * twice.fit(X, y).checkpoint_bytes_
    for row in (sisa.plan_.rows(1, 0)[0], sisa.plan_.rows(2, 3)[0]):
        sisa.forget(row)
    assert sisa.verify_forgotten()


LAYERS = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.sampled_from([torch.float32, torch.float16, torch.bfloat16]),
        st.booleans(),
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=50, deadline=None)
@given(layers=LAYERS, tied=st.booleans(), seed=st.integers(0, 9))
def test_what_was_packed_comes_back_bit_for_bit(layers, tied, seed):
    torch.manual_seed(seed)
    net = torch.nn.Sequential()
    for width, dtype, frozen, normed in layers:
        kind = torch.nn.BatchNorm1d if normed else torch.nn.Linear
        layer = kind(*((width,) if normed else (width, 2)))
        net.append(layer.to(dtype).requires_grad_(not frozen))
    if tied:
        net.append(net[0])
    optimizer = torch.optim.AdamW(net.parameters())
    for parameter in net.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    net.zero_grad()
    value = {"net": net, "state": optimizer.state_dict(), "one": net[0].weight}
    skeleton, *parts = pack(value)
    back = unpack(skeleton, *(part for part in parts if part is not None))
    assert digest(back) == digest(value)
    assert back["one"] is back["net"][0].weight
    assert (back["net"][-1] is back["net"][0]) == (tied or len(layers) == 1)
    needs = [p.requires_grad for p in net.parameters()]
    assert [p.requires_grad for p in back["net"].parameters()] == needs
    # Training further changes no byte of what is frozen.
    for parameter in net.parameters():
        if parameter.requires_grad:
            parameter.data += 1
    _, trained, frozen = pack(value)
    assert frozen == parts[1]
    assert (frozen is None) == all(needs)
    same = parts[0] is not None and _sha(trained) == _sha(parts[0])
    assert same != any(needs) or trained is None


def _sha(data):
    return hashlib.sha256(data).digest()
