"""The layers of a network as a frozen trunk and a trained tail.

Trunk and tail are views: modules of their own that share all weights with the network.
The trunk ends with the states of the tokens after its last layer, and the tail starts
from these.
"""

import copy
import threading
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class _Parts:
    """Where a family of models has its layers.

    Parameters
    ----------
    layers : str
        The list of layers, in the body.
    entry : str
        The module whose output is the input of the first layer.
    norm : str, default=None
        The normalisation after the last layer.
    """

    layers: str
    entry: str
    norm: str | None = None


_ENCODER = _Parts("encoder.layer", "embeddings")
_DECODER = _Parts("layers", "embed_tokens", "norm")
_FAMILIES = {
    "bert": _ENCODER,
    "roberta": _ENCODER,
    "camembert": _ENCODER,
    "xlm-roberta": _ENCODER,
    "mpnet": _ENCODER,
    "distilbert": _Parts("transformer.layer", "embeddings"),
    "gpt2": _Parts("h", "drop", "ln_f"),
    "llama": _DECODER,
    "mistral": _DECODER,
}
# Above the layers; they belong to the head.
_POOLER = "pooler"


def check_layers(config, n_layers):
    """Raise unless the last `n_layers` layers of a model can be trained alone.

    Parameters
    ----------
    config : transformers config
    n_layers : int
    """
    kind = config.model_type
    if kind == "albert":
        raise ValueError(
            "trainable_layers cannot be given for an ALBERT, whose layers share all "
            "weights, so that none can be trained without the others. Train everything "
            "(trainable_layers=None), or adapters with lora={'r': 8}."
        )
    if kind not in _FAMILIES or getattr(config, "is_encoder_decoder", False):
        raise ValueError(
            f"trainable_layers cannot be given for a model of type {kind!r}, whose "
            f"layers are not known here. Give a model of type {sorted(_FAMILIES)}, or "
            "name the parts to freeze with freeze=."
        )
    if n_layers > config.num_hidden_layers:
        raise ValueError(
            f"trainable_layers={n_layers}, but the model has "
            f"{config.num_hidden_layers} layers. Give at most as many."
        )


def body_of(module):
    """Return the body of a classifier, with or without adapters, and its parts."""
    if hasattr(module, "get_base_model"):
        module = module.get_base_model()
    body = module.base_model
    return body, _FAMILIES[body.config.model_type]


def weights_of_trunk(module, new, n_layers):
    """Return the names of the weights below the last `n_layers` layers and the head.

    Weights that all layers share, such as relative biases of attention, are among them.

    Parameters
    ----------
    module : torch.nn.Module
        Classifier.
    new : set of str
        Names of weights without a pretrained value.
    n_layers : int

    Raises
    ------
    ValueError
        If some of them have no pretrained value.
    """
    body, parts = body_of(module)
    layers = body.get_submodule(parts.layers)
    above = [layers[i] for i in range(len(layers) - n_layers, len(layers))]
    for name in (parts.norm, _POOLER):
        if name is not None and getattr(body, name, None) is not None:
            above.append(getattr(body, name))
    trained = {id(weight) for part in above for weight in part.parameters()}
    own = {id(weight) for weight in body.parameters()} - trained
    names = {name for name, weight in module.named_parameters() if id(weight) in own}
    if names & new:
        raise ValueError(
            f"The model has no pretrained weights for {sorted(names & new)}, which "
            f"trainable_layers={n_layers} would leave random. Train all layers, or "
            "give a model that has them."
        )
    return names


def names_in_tail(module, n_layers):
    """Return the names of the modules in the last `n_layers` layers of a classifier."""
    body, parts = body_of(module)
    layers = body.get_submodule(parts.layers)
    tail = range(len(layers) - n_layers, len(layers))
    inside = {id(part) for i in tail for part in layers[i].modules()}
    return [name for name, part in module.named_modules() if id(part) in inside]


class Trunk:
    """The frozen part of a classifier: from tokens to their states.

    Parameters
    ----------
    module : torch.nn.Module
        Classifier.
    n_layers : int
        Number of layers above the trunk.
    """

    def __init__(self, module, n_layers):
        view = _view(module)
        body, parts = body_of(view)
        layers = body.get_submodule(parts.layers)
        body.set_submodule(parts.layers, layers[: len(layers) - n_layers])
        if parts.norm is not None:
            body.set_submodule(parts.norm, torch.nn.Identity())
        if hasattr(body, _POOLER):
            body.pooler = None
        _without_memory_of_tokens(body)
        self._body = body.eval()

    def __call__(self, **inputs):
        """Return the states of all tokens, a tensor of shape (n, length, d)."""
        return self._body(**inputs).last_hidden_state


class Tail:
    """The trained part of a classifier: from states of tokens to logits.

    Parameters
    ----------
    module : torch.nn.Module
        Classifier.
    n_layers : int
        Number of layers in the tail.
    """

    def __init__(self, module, n_layers):
        self.view = _view(module)
        body, parts = body_of(self.view)
        layers = body.get_submodule(parts.layers)
        body.set_submodule(parts.layers, layers[len(layers) - n_layers :])
        self._entry = _Given()
        body.set_submodule(parts.entry, self._entry)
        _without_memory_of_tokens(body)

    def __call__(self, states, **inputs):
        """Return what the classifier gives for texts whose tokens have these states."""
        self._entry.given.states = states
        try:
            return self.view(**inputs)
        finally:
            del self._entry.given.states


class _Given(torch.nn.Module):
    """Stands for the trunk: whatever its input, it returns the states it was given."""

    def __init__(self):
        super().__init__()
        self.given = threading.local()  # since batches are inferred in parallel

    def forward(self, *args, **kwargs):
        return self.given.states


def _view(module):
    """Return a copy of a module that shares all weights and buffers with it."""
    shared = (*module.parameters(), *module.buffers())
    return copy.deepcopy(module, {id(tensor): tensor for tensor in shared})


def _without_memory_of_tokens(body):
    # Keys and values of earlier tokens are kept for writing texts only.
    body.config.use_cache = False
