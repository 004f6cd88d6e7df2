"""The state of a training, from which it resumes with the same bits."""

import copy
import re
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b

import numpy as np
import torch
from transformers.pytorch_utils import Conv1D

from .._utils.isolation import forked_generators
from ._folders import portable, portable_arguments, without_paths
from ._generators import Generators
from ._loading import load_once, model_key, quiet
from ._models import (
    digest_of_weights,
    initialised,
    longest_input,
    new_classifier,
    pretrained_weights,
    weights_of_parts,
)
from ._net import TextNet
from ._trunk import body_of, names_in_tail, weights_of_trunk

# Layers to adapt if peft has no default, as in the LoRA paper.
_TARGETS = {"distilbert": ["q_lin", "v_lin"]}

# Entries of a config that have no part in the states of tokens.
_NOT_OF_THE_TRUNK = {"_name_or_path", "architectures", "id2label", "label2id"}


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
    n_layers : int or None
        Number of layers above the trunk; None if there is no trunk.
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
    n_layers: int | None

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
            n_layers=self.n_layers,
        )
        module.config.id2label = dict(enumerate(self.labels))
        module.config.label2id = {name: i for i, name in enumerate(self.labels)}
        if self.lora is not None:
            return _with_adapters(module, self.lora, adapters, self.n_layers), digest
        return module, digest

    def _shared(self):
        if self.lora is not None:
            return pretrained_weights
        if self.n_layers is not None:
            return partial(weights_of_trunk, n_layers=self.n_layers)
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
    trunk : str or None
        Digest of all that determines the states of tokens.
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
        self.trunk = None if spec.n_layers is None else self._digest_of_trunk(module)
        self._net = self._new_net(module, device)
        self._packed = None

    def net(self, device, precision):
        """Return the net, which is assembled on a device if needed."""
        if self._net is None:
            self._unpack(device)
        self._net.precision = precision
        return self._net

    def _digest_of_trunk(self, module):
        model = model_key(self.spec.model, self.spec.model_kwargs)
        n_layers = self.spec.n_layers

        def load():
            body, _ = body_of(module)
            names = weights_of_trunk(module, frozenset(), n_layers)
            weights = digest_of_weights(module, names)
            # Equal weights compute otherwise with another number of heads, for one.
            config = {
                name: value
                for name, value in body.config.to_dict().items()
                if name not in _NOT_OF_THE_TRUNK
            }
            config = sorted(map(repr, config.items()))
            parts = (weights, config, n_layers, self.tokenizer_digest)
            return blake2b(repr(parts).encode(), digest_size=16).hexdigest()

        return load_once(("trunk digest", model, n_layers, self.tokenizer_digest), load)

    def for_serving(self):
        """Return a copy that only predicts, and names no path of this machine.

        It has neither the state of the optimizer nor generators.
        """
        served = copy.copy(self)
        served._packed = {"weights": self._packed_now()["weights"]}
        served._net = served.generators = None
        served._config = without_paths(self._config)
        served.tokenizer = without_paths(self.tokenizer)
        model, kwargs = self.spec.model, portable_arguments(self.spec.model_kwargs)
        # Where all weights are trained, the config is all that is needed.
        model = served._config if self._shared is None else portable(model)
        served.spec = replace(self.spec, model=model, model_kwargs=kwargs)
        return served

    def _packed_now(self):
        return self._packed if self._net is None else self._pack()

    def _new_net(self, module, device):
        net = TextNet(
            module,
            n_layers=self.spec.n_layers,
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
        if "optimizer" in self._packed:
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
        state["_packed"] = self._packed_now()
        if self.generators is None:
            # What serves needs no state of the optimizer.
            state["_packed"] = {"weights": state["_packed"]["weights"]}
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


def _with_adapters(module, lora, seed, n_layers):
    """Return a module with adapters, whose shared weights are not trained.

    Parameters
    ----------
    module : torch.nn.Module
        Its weights that require no gradient are shared.
    lora : dict
    seed : int
    n_layers : int or None
        Number of layers, the last ones, that are adapted; None adapts all.
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
    in_trunk = set()
    if n_layers is not None:
        names = weights_of_trunk(module, frozenset(), n_layers)
        in_trunk = {id(module.get_parameter(name)) for name in names}
    if n_layers is not None and not lora.get("target_parameters"):
        default = known.get(module.config.model_type)
        wanted = lora.get("target_modules") or default
        lora = {**lora, "target_modules": _targets_in_tail(module, wanted, n_layers)}
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
    if any(w.requires_grad for w in adapted.parameters() if id(w) in in_trunk):
        raise ValueError(
            f"lora would train weights below the last {n_layers} layers. Leave out "
            "what it adds to target_modules, such as bias='all', or trainable_layers."
        )
    # bias="all" trains weights of the base model.
    trained = (weight for weight in adapted.parameters() if weight.requires_grad)
    _unshare(weight for weight in trained if weight.data_ptr() in shared)
    return adapted


def _targets_in_tail(module, wanted, n_layers):
    """Return the names of the modules that peft would adapt, in the last layers only.

    Parameters
    ----------
    module : torch.nn.Module
    wanted : str or collection of str
        ``target_modules`` of a ``LoraConfig``.
    n_layers : int

    Returns
    -------
    list of str
    """
    names = names_in_tail(module, n_layers)
    if wanted == "all-linear":
        linear = torch.nn.Linear, Conv1D
        found = [n for n in names if isinstance(module.get_submodule(n), linear)]
    elif isinstance(wanted, str):
        found = [name for name in names if re.fullmatch(wanted, name)]
    else:
        found = [n for n in names if any(f".{n}".endswith(f".{end}") for end in wanted)]
    if not found:
        raise ValueError(
            f"lora has nothing to adapt: the last {n_layers} layers of the model have "
            f"no modules that fit target_modules={wanted!r}. Give others, raise "
            "trainable_layers, or leave out lora to train the layers themselves."
        )
    return found


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
