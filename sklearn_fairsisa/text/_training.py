"""The state of a training, from which it resumes with the same bits."""

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

# Layers to adapt if peft has no default, as in the LoRA paper.
_TARGETS = {"distilbert": ["q_lin", "v_lin"]}


@dataclass(frozen=True)
class NetworkSpec:
    """Specification of a new network; equal specifications give equal networks.

    Parameters
    ----------
    model : str, path or config
    model_kwargs : dict
    labels : tuple of str
        Names of the classes, for the config of the network.
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
    labels: tuple
    pad_id: int
    seed: int
    freeze: tuple
    lora: dict | None
    optimizer: type
    optimizer_params: dict

    def network(self, device):
        """Return a new network, and the digest of the weights that it shares.

        All networks of this process share the weights that are not trained.
        """
        drawn, adapters, _ = self.seeds()
        shared = self._shared()
        module, digest = new_classifier(
            self.model,
            self.model_kwargs,
            len(self.labels),
            self.pad_id,
            drawn,
            shared=shared,
            device="cpu" if shared is None else device,
        )
        module.config.id2label = dict(enumerate(self.labels))
        module.config.label2id = {name: i for i, name in enumerate(self.labels)}
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
    """A network with its optimizer and generators.

    Pickles and copies only contain what differs between trainings. Frozen weights are
    loaded once per process, and the network is assembled when it is next used.

    Parameters
    ----------
    spec : NetworkSpec
    tokenizer : object
    tokenizer_digest : str
    max_length : int
        Maximum number of tokens of a text, unless the limit of the model is smaller.
    device : str

    Attributes
    ----------
    max_length : int
        Maximum number of tokens in use.
    epochs : int
        Number of epochs so far.
    random_state : object
        Value in the last call.
    generators : Generators
    """

    # Entry of the pickled state with the weights, which files store separately.
    packed_in = "_packed"

    def __init__(self, spec, tokenizer, tokenizer_digest, max_length, device):
        self.spec = spec
        self.tokenizer = tokenizer
        self.tokenizer_digest = tokenizer_digest
        self.epochs = 0
        self.random_state = None
        self.generators = Generators(spec.seeds()[2])
        module, self._shared = spec.network(device)
        # A callback may freeze some of them temporarily.
        self._trained = {
            name for name, weight in module.named_parameters() if weight.requires_grad
        }
        self.max_length = longest_input(max_length, tokenizer, module)
        self._config = module.config if self._shared is None else None
        self._net = self._new_net(module, device)
        self._packed = None

    def net(self, device, precision):
        """Return the net, which is assembled on a device if needed."""
        if self._net is None:
            self._unpack(device)
        self._net.precision = precision
        return self._net

    def _new_net(self, module, device):
        net = TextNet(
            module,
            criterion=torch.nn.CrossEntropyLoss,
            classes=np.arange(len(self.spec.labels)),
            optimizer=self.spec.optimizer,
            train_split=None,
            # Labels of texts can only be scored as they come.
            use_caching=True,
            verbose=0,
            device=device,
            lr=0.0,
        )
        for name, value in self.spec.optimizer_params.items():
            net.set_params(**{f"optimizer__{name}": value})
        return net.initialize()

    def _unpack(self, device):
        weights = _map(_as_tensor, self._packed["weights"])
        if self._shared is None:
            module = initialised(self._config, 0, self.spec.model_kwargs)
        else:
            module, shared = self.spec.network(device)
            if shared != self._shared:
                raise ValueError(
                    f"The weights of {self.spec.model!r} are not those on top of "
                    "which this model was trained. Restore them, or train again."
                )
        # A weight with several names, such as embeddings that are shared with a
        # decoder, is packed under the first.
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
        for name in self._packed["paused"]:
            module.get_parameter(name).requires_grad_(False)
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
            # A callback may have frozen them.
            "paused": sorted(
                name
                for name, weight in self._net.module_.named_parameters()
                if name in self._trained and not weight.requires_grad
            ),
        }

    def __getstate__(self):
        state = self.__dict__.copy()
        if self._net is not None:
            state["_packed"] = self._pack()
        state["_net"] = None
        if self._shared is not None:
            # It is loaded again with the frozen weights, which are needed anyway.
            state["tokenizer"] = None
        return state

    def __deepcopy__(self, memo):
        twin = copy.copy(self)
        for name in ("generators", "_packed"):
            setattr(twin, name, copy.deepcopy(getattr(twin, name), memo))
        # Tokenizers do not change.
        twin.tokenizer = self.tokenizer
        memo[id(self)] = twin
        return twin


# Initialisations of adapters that do not change the weights they adapt.
_INITS_KEEPING_THE_BASE = (True, False, "gaussian", "orthogonal")


def _with_adapters(module, lora, seed):
    """Return a module with adapters, whose shared weights are not trained.

    Parameters
    ----------
    module : torch.nn.Module
        Its weights that require no gradient are shared.
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
    if lora.get("init_lora_weights", True) not in _INITS_KEEPING_THE_BASE:
        _unshare(module.parameters())
    with forked_generators(seed, "cpu"), quiet():
        config = peft.LoraConfig(**{"task_type": "SEQ_CLS", **lora})
        adapted = peft.get_peft_model(module, config)
    for name, weight in adapted.named_parameters():
        # Layers without pretrained weights, which some models have below the head, are
        # trained. peft trains a copy of the head itself.
        if id(weight) in own and ".original_module." not in name:
            weight.requires_grad_(True)
    # bias="all" trains weights of the base model.
    trained = (weight for weight in adapted.parameters() if weight.requires_grad)
    _unshare(weight for weight in trained if weight.data_ptr() in shared)
    return adapted


def _unshare(weights):
    for weight in weights:
        weight.data = weight.data.clone()


def _map(convert, value):
    """Apply a function to all values in nested containers."""
    if isinstance(value, dict):
        return {key: _map(convert, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_map(convert, item) for item in value]
    return convert(value)


def _as_array(value):
    """Return a tensor as a numpy array, or as bits if its type is bfloat16."""
    if not isinstance(value, torch.Tensor):
        return value
    value = value.detach().cpu()
    if value.dtype is torch.bfloat16:
        return _Bfloat16(value.view(torch.int16).numpy())
    return value.numpy()


def _as_tensor(value):
    """Return a packed array as a new tensor."""
    if isinstance(value, _Bfloat16):
        return torch.tensor(value.bits).view(torch.bfloat16)
    return torch.tensor(value) if isinstance(value, np.ndarray) else value


@dataclass(frozen=True)
class _Bfloat16:
    bits: np.ndarray
