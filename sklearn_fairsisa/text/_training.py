"""What a training leaves behind, so that it can go on as if it had never stopped."""

import copy
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from .._utils.isolation import forked_generators
from ._generators import Generators
from ._loading import quiet
from ._models import (
    initialised,
    longest_input,
    new_classifier,
    pretrained_weights,
    weights_of_parts,
)
from ._net import TextNet

# What adapters adapt by default, as the LoRA paper does, where peft has no default.
_TARGETS = {"distilbert": ["q_lin", "v_lin"]}


@dataclass(frozen=True)
class Birth:
    """How a network came into being; equal births give equal networks.

    Parameters
    ----------
    model : str, path or config
    model_kwargs : dict
    n_classes : int
    pad_id : int
    seed : int
    freeze : tuple of str
        Parts of the network's body that are not trained.
    lora : dict or None
        Arguments of peft's ``LoraConfig``.
    optimizer : type
    optimizer_params : dict
    """

    model: object
    model_kwargs: dict
    n_classes: int
    pad_id: int
    seed: int
    freeze: tuple
    lora: dict | None
    optimizer: type
    optimizer_params: dict

    def network(self, device):
        """Return the new network, and the digest of what it shares with others.

        All weights that are not trained are shared by this process.
        """
        drawn, adapters, _ = self.seeds()
        shared = self._shared()
        module, digest = new_classifier(
            self.model,
            self.model_kwargs,
            self.n_classes,
            self.pad_id,
            drawn,
            shared=shared,
            device="cpu" if shared is None else device,
        )
        if self.lora is not None:
            return _with_adapters(module, self.lora, adapters), digest
        return module, digest

    def _shared(self):
        if self.lora is not None:
            return pretrained_weights
        if self.freeze:
            return partial(weights_of_parts, parts=self.freeze)
        return None

    def seeds(self):
        """Return the seeds of new weights, of adapters and of training."""
        seeds = np.random.SeedSequence(self.seed).generate_state(3, np.uint64)
        return [int(seed >> np.uint64(1)) for seed in seeds]


class Training:
    """A network in training with its optimizer and generators.

    Pickling and copying keep what differs between trainings alone: frozen weights
    stay where they are, once per process. The network is put together again when it
    is next used.

    Parameters
    ----------
    birth : Birth
    tokenizer : object
    tokenizer_digest : str
    max_length : int
        Greatest number of tokens of a text, if the model can take as many.
    device : str

    Attributes
    ----------
    max_length : int
        Greatest number of tokens in use.
    epochs : int
        Number of epochs trained.
    random_state : object
        That of the last call.
    generators : Generators
    """

    # Where the pickled state has the weights, for files that keep them apart.
    packed_in = "_packed"

    def __init__(self, birth, tokenizer, tokenizer_digest, max_length, device):
        self.birth = birth
        self.tokenizer = tokenizer
        self.tokenizer_digest = tokenizer_digest
        self.epochs = 0
        self.random_state = None
        self.generators = Generators(birth.seeds()[2])
        module, self._shared = birth.network(device)
        # For good: a callback that freezes some for a while changes nothing here.
        self._trained = {
            name for name, weight in module.named_parameters() if weight.requires_grad
        }
        self.max_length = longest_input(max_length, tokenizer, module)
        self._config = module.config if self._shared is None else None
        self._net = self._new_net(module, device)
        self._packed = None

    def net(self, device, precision):
        """Return the live net on a device."""
        if self._net is None:
            self._unpack(device)
        self._net.precision = precision
        return self._net

    def _new_net(self, module, device):
        net = TextNet(
            module,
            criterion=torch.nn.CrossEntropyLoss,
            classes=np.arange(self.birth.n_classes),
            optimizer=self.birth.optimizer,
            train_split=None,
            verbose=0,
            device=device,
            lr=0.0,
        )
        for name, value in self.birth.optimizer_params.items():
            net.set_params(**{f"optimizer__{name}": value})
        return net.initialize()

    def _unpack(self, device):
        weights = _map(_as_tensor, self._packed["weights"])
        if self._shared is None:
            module = initialised(self._config, 0)
        else:
            module, shared = self.birth.network(device)
            if shared != self._shared:
                raise ValueError(
                    f"The weights of {self.birth.model!r} are not those on top of "
                    "which this model was trained. Restore them, or train anew."
                )
        # A weight that has several names, as embeddings shared with a decoder have,
        # is packed under the first.
        first = {id(weight): name for name, weight in module.named_parameters()}
        for name, weight in module.named_parameters(remove_duplicate=False):
            if first[id(weight)] in weights:
                weights[name] = weights[first[id(weight)]]
                weight.data = weight.data.to(weights[name].dtype)
        module.load_state_dict(weights, strict=self._shared is None)
        self._net = self._new_net(module, device)
        self._net.optimizer_.load_state_dict(
            _map(_as_tensor, self._packed["optimizer"])
        )
        self._net.scaler_.load_state_dict(self._packed["scaler"])
        self._packed = None

    def _pack(self):
        weights = {
            name: weight
            for name, weight in self._net.module_.state_dict(keep_vars=True).items()
            if name in self._trained or not isinstance(weight, torch.nn.Parameter)
        }
        return {
            "weights": _map(_as_array, weights),
            "optimizer": _map(_as_array, self._net.optimizer_.state_dict()),
            "scaler": self._net.scaler_.state_dict(),
        }

    def __getstate__(self):
        state = self.__dict__.copy()
        if self._net is not None:
            state["_packed"] = self._pack()
        state["_net"] = None
        if self._shared is not None:
            # It is where the frozen weights are, without which the others are no use.
            state["tokenizer"] = None
        return state

    def __deepcopy__(self, memo):
        twin = copy.copy(self)
        for name in ("generators", "_packed"):
            setattr(twin, name, copy.deepcopy(getattr(twin, name), memo))
        # A tokenizer never changes.
        twin.tokenizer = self.tokenizer
        memo[id(self)] = twin
        return twin


# Ways to draw new adapters that leave alone what they adapt. Others rewrite it.
_LEAVING_THE_BASE = (True, False, "gaussian", "orthogonal")


def _with_adapters(module, lora, seed):
    """Return a module with adapters, in which nothing that is shared is trained.

    Parameters
    ----------
    module : torch.nn.Module
        Weights that require a gradient are its own, others are shared.
    lora : dict
    seed : int
    """
    try:
        import peft
    except ImportError as error:
        raise ImportError(
            "lora= needs peft. Install it with: pip install peft"
        ) from error
    own = {id(weight) for weight in module.parameters() if weight.requires_grad}
    shared = {w.data_ptr() for w in module.parameters() if not w.requires_grad}
    known = peft.utils.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
    if module.config.model_type not in known:
        targets = _TARGETS.get(module.config.model_type, "all-linear")
        if not {"target_modules", "target_parameters"} & lora.keys():
            lora = {**lora, "target_modules": targets}
    if lora.get("init_lora_weights", True) not in _LEAVING_THE_BASE:
        _unshare(module.parameters())
    with forked_generators(seed, "cpu"), quiet():
        config = peft.LoraConfig(**{"task_type": "SEQ_CLS", **lora})
        adapted = peft.get_peft_model(module, config)
    for name, weight in adapted.named_parameters():
        # A layer that the model came without, as some have below the head; of the
        # head itself a copy is trained.
        if id(weight) in own and ".original_module." not in name:
            weight.requires_grad_(True)
    # bias="all" trains weights of the base.
    trained = (weight for weight in adapted.parameters() if weight.requires_grad)
    _unshare(weight for weight in trained if weight.data_ptr() in shared)
    return adapted


def _unshare(weights):
    for weight in weights:
        weight.data = weight.data.clone()


def _map(convert, value):
    """Apply a function to every tensor, or packed array, in nested containers."""
    if isinstance(value, dict):
        return {key: _map(convert, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_map(convert, item) for item in value]
    return convert(value)


def _as_array(value):
    """Return a tensor as a numpy array; numpy has no bfloat16, so as its bits."""
    if not isinstance(value, torch.Tensor):
        return value
    value = value.detach().cpu()
    if value.dtype is torch.bfloat16:
        return _Bfloat16(value.view(torch.int16).numpy())
    return value.numpy()


def _as_tensor(value):
    """Return a packed array as a tensor of its own."""
    if isinstance(value, _Bfloat16):
        return torch.tensor(value.bits).view(torch.bfloat16)
    return torch.tensor(value) if isinstance(value, np.ndarray) else value


@dataclass(frozen=True)
class _Bfloat16:
    bits: np.ndarray
