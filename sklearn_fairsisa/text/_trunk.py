"""The layers of a network as a frozen trunk and a trained tail.

Trunk and tail are views: modules of their own that share all weights with the network.
The trunk ends with the states of the tokens after its last layer, and the tail starts
from these.
"""

import copy
import threading
from dataclasses import dataclass, replace

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
    n_layers : str, default="num_hidden_layers"
        The entry of a config with the number of layers.
    decoder : str, default=None
        The decoder above an encoder. The layers are the decoder's, and a state is
        that of the encoder followed by that of the decoder.
    biased : str, default=None
        The part of a layer with relative biases, which the lowest layer has for all.
    mixing : str, default=None
        The part of a layer above which no position reads another. It is given only for
        models whose head reads the first position alone.
    mlp : str, default=None
        The part of a layer that computes each position on its own. It is given only
        for models whose head reads the last token alone.
    """

    layers: str
    entry: str
    norm: str | None = None
    n_layers: str = "num_hidden_layers"
    decoder: str | None = None
    biased: str | None = None
    mixing: str | None = None
    mlp: str | None = None


_ENCODER = _Parts("encoder.layer", "embeddings", mixing="attention")
_DECODER = _Parts("layers", "embed_tokens", "norm", mlp="mlp")
_BART = _Parts(
    "decoder.layers",
    "decoder.layernorm_embedding",
    n_layers="decoder_layers",
    decoder="decoder",
)
_T5 = _Parts(
    "decoder.block",
    "decoder.embed_tokens",
    "decoder.final_layer_norm",
    n_layers="num_decoder_layers",
    decoder="decoder",
    biased="layer.0.SelfAttention",
)
_FAMILIES = {
    "bert": _ENCODER,
    "roberta": _ENCODER,
    "camembert": _ENCODER,
    "xlm-roberta": _ENCODER,
    "mpnet": _ENCODER,
    "distilbert": _Parts("transformer.layer", "embeddings", mixing="sa_layer_norm"),
    "gpt2": _Parts("h", "drop", "ln_f", mlp="mlp"),
    "llama": _DECODER,
    "mistral": _DECODER,
    "bart": _BART,
    "mbart": replace(_BART, norm="decoder.layer_norm"),
    "t5": _T5,
    "mt5": _T5,
}
# Where one position is read, so many are computed in prediction: the last elements of
# an array whose size is no multiple of this may differ in their last bit.
_STEADY_POSITIONS = 8
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
    parts = _FAMILIES.get(kind)
    has_decoder = bool(getattr(config, "is_encoder_decoder", False))
    if parts is None or has_decoder != (parts.decoder is not None):
        raise ValueError(
            f"trainable_layers cannot be given for a model of type {kind!r}, whose "
            f"layers are not known here. Give a model of type {sorted(_FAMILIES)}, or "
            "name the parts to freeze with freeze=."
        )
    n_there = n_layers_of(config)
    if n_layers > n_there:
        where = f" in its {parts.decoder}" if parts.decoder else ""
        raise ValueError(
            f"trainable_layers={n_layers}, but the model has {n_there} layers{where}. "
            "Give at most as many."
        )


def n_layers_of(config):
    """Return the number of layers that a model could train."""
    return getattr(config, _FAMILIES[config.model_type].n_layers)


def width_of(config):
    """Return the number of features of a state."""
    has_decoder = _FAMILIES[config.model_type].decoder is not None
    return config.hidden_size * (1 + has_decoder)


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
    above = _last_layers(body, parts, n_layers)
    if parts.norm is not None:
        above.append(body.get_submodule(parts.norm))
    if getattr(body, _POOLER, None) is not None:
        above.append(body.pooler)
    trained = {id(weight) for part in above for weight in part.parameters()}
    below = [weight for weight in body.parameters() if id(weight) not in trained]
    return names_to_freeze(module, below, new, f"trainable_layers={n_layers}")


def names_to_freeze(module, weights, new, parameter):
    """Return the names of weights that a parameter freezes, unless some are new.

    Parameters
    ----------
    module : torch.nn.Module
    weights : sequence of torch.nn.Parameter
    new : set of str
        Names of weights without a pretrained value.
    parameter : str
        Parameter with its value.

    Raises
    ------
    ValueError
        If some of them have no pretrained value.
    """
    own = {id(weight) for weight in weights}
    names = {name for name, weight in module.named_parameters() if id(weight) in own}
    if names & new:
        raise ValueError(
            f"The model has no pretrained weights for {sorted(names & new)}, which "
            f"{parameter} would leave random. Train them, or give a model that has "
            "them."
        )
    return names


def names_in_tail(module, n_layers):
    """Return the names of the modules in the last `n_layers` layers of a classifier."""
    last = _last_layers(*body_of(module), n_layers)
    inside = {id(part) for layer in last for part in layer.modules()}
    return [name for name, part in module.named_modules() if id(part) in inside]


def _last_layers(body, parts, n_layers):
    layers = list(body.get_submodule(parts.layers))
    return layers[len(layers) - n_layers :]


def _lower_layers(body, parts, n_layers):
    layers = list(body.get_submodule(parts.layers))
    return layers[: len(layers) - n_layers]


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
        view = _view(module, _last_layers(*body_of(module), n_layers))
        body, parts = body_of(view)
        layers = body.get_submodule(parts.layers)
        body.set_submodule(parts.layers, layers[: len(layers) - n_layers])
        if parts.norm is not None:
            body.set_submodule(parts.norm, torch.nn.Identity())
        if hasattr(body, _POOLER):
            body.pooler = None
        _without_memory_of_tokens(body)
        self._body, self._has_decoder = body.eval(), parts.decoder is not None

    def __call__(self, input_ids, **inputs):
        """Return the states of all tokens, a tensor of shape (n, length, d)."""
        if hasattr(self._body, "_shift_right"):  # which a T5 leaves to its classifier
            inputs["decoder_input_ids"] = self._body._shift_right(input_ids)
        outputs = self._body(input_ids=input_ids, **inputs)
        if not self._has_decoder:
            return outputs.last_hidden_state
        both = outputs.encoder_last_hidden_state, outputs.last_hidden_state
        return torch.cat(both, dim=-1)


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
        self.view = _view(module, _lower_layers(*body_of(module), n_layers))
        body, parts = body_of(self.view)
        layers = body.get_submodule(parts.layers)
        tail = layers[len(layers) - n_layers :]
        body.set_submodule(parts.layers, tail)
        self._entry = _Given()
        body.set_submodule(parts.entry, self._entry)
        self._has_decoder = parts.decoder is not None
        if self._has_decoder:
            _drop_no_state(body.get_submodule(parts.decoder), self._entry)
            if len(tail) and parts.biased is not None:
                ends = (layers[0], tail[0])
                _share_biases(*(end.get_submodule(parts.biased) for end in ends))
        if len(tail):
            _compute_what_is_read(tail[-1], parts, self._entry.given)
        _without_memory_of_tokens(body)
        self._body, self._reads_the_last = body, parts.mlp is not None

    def __call__(self, states, **inputs):
        """Return what the classifier gives for texts whose tokens have these states."""
        if self._has_decoder:
            encoded, states = states.chunk(2, dim=-1)
            inputs["encoder_outputs"] = (encoded,)
        given = self._entry.given
        # A checkpointed layer is computed again after this call.
        if self._reads_the_last and not _is_checkpointing(self._body):
            pad_id = self._body.config.pad_token_id
            given.last = _last_token(inputs["input_ids"], pad_id)
        given.states = states
        try:
            return self.view(**inputs)
        finally:
            vars(given).clear()


class _Given(torch.nn.Module):
    """Stands for the trunk: whatever its input, it returns the states it was given."""

    def __init__(self):
        super().__init__()
        self.given = threading.local()  # since batches are inferred in parallel

    def forward(self, *args, **kwargs):
        return self.given.states


class _DropoutAbove(torch.nn.Dropout):
    """Drops what the tail computes, and nothing of the states it was given."""

    def __init__(self, p, entry):
        super().__init__(p)
        self._given = entry.given

    def forward(self, input):
        return input if input is self._given.states else super().forward(input)


def _drop_no_state(decoder, entry):
    """Leave out the dropout between a decoder's entry and its first layer."""
    if isinstance(decoder.dropout, torch.nn.Dropout):
        # T5 has one dropout for entry and end.
        decoder.dropout = _DropoutAbove(decoder.dropout.p, entry)
    else:
        decoder.dropout = 0.0


def _is_checkpointing(body):
    parts = body.modules()
    return any(getattr(part, "gradient_checkpointing", False) for part in parts)


def _compute_what_is_read(layer, parts, given):
    """Let a last layer compute above its attention only what the head reads.

    Most of its time is spent there.
    """
    try:
        mixing, mlp = (
            name and layer.get_submodule(name) for name in (parts.mixing, parts.mlp)
        )
    except AttributeError:
        return  # since peft has wrapped the layer
    if mixing is not None:
        mixing.register_forward_hook(_only_the_first_position)
        for part in layer.modules():
            if hasattr(part, "chunk_size_feed_forward"):
                part.chunk_size_feed_forward = 0
    if mlp is not None:
        _only_the_last_token(mlp, given)


def _only_the_first_position(part, args, output):
    """Keep of a part's output the position that the head reads."""
    n = 1 if part.training else _STEADY_POSITIONS
    if isinstance(output, tuple):
        return output[0][:, :n], *output[1:]
    return output[:, :n]


def _only_the_last_token(mlp, given):
    """Let a part of a layer compute the last token alone; others get zeros."""

    def take(part, args):
        if not hasattr(given, "last"):
            return args
        (states,) = args
        n = 1 if part.training else _STEADY_POSITIONS
        return (states.gather(1, _places(given.last, n, states.shape[2])),)

    def put(part, args, output):
        if not hasattr(given, "last"):
            return output
        place = _places(given.last, 1, output.shape[2])
        zeros = output.new_zeros(*given.states.shape[:2], output.shape[2])
        return zeros.scatter(1, place, output[:, :1])

    mlp.register_forward_pre_hook(take)
    mlp.register_forward_hook(put)


def _places(position, n, width):
    """Return indices of one position of each text, n times, for gather and scatter."""
    return position[:, None, None].expand(-1, n, width)


def _last_token(input_ids, pad_id):
    """Return the position of each text's last token, as heads of transformers do."""
    positions = torch.arange(input_ids.shape[1], device=input_ids.device)
    return (positions * (input_ids != pad_id)).argmax(dim=1)


def _share_biases(lowest, first):
    """Give the first attention of a tail the biases of the lowest in the network."""
    first.relative_attention_bias = _view(lowest.relative_attention_bias)
    first.has_relative_attention_bias = True


def _view(module, lost=()):
    """Return a copy of a module that shares all weights and buffers with it.

    Parameters
    ----------
    module : torch.nn.Module
    lost : iterable of torch.nn.Module
        Parts that the copy will lose, so that copying them would be a waste of time.
    """
    shared = (*module.parameters(), *module.buffers(), *lost)
    return copy.deepcopy(module, {id(tensor): tensor for tensor in shared})


def _without_memory_of_tokens(body):
    # Keys and values of earlier tokens are kept for writing texts only.
    body.config.use_cache = False
