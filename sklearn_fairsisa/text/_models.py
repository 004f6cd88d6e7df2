"""Networks, pretrained or with random weights of a config."""

import copy
import hashlib

import torch
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    PretrainedConfig,
)

from .._utils.isolation import forked_generators
from ._loading import (
    advice_on_loading,
    load_config,
    load_once,
    model_key,
    quiet,
    with_trust,
)
from ._trunk import names_to_freeze, weights_of_trunk


def new_classifier(
    model, model_kwargs, n_classes, pad_id, seed, *, shared, device, n_layers=None
):
    """Return a classification model whose new weights are drawn from a seed.

    New weights are those that were not pretrained: all weights of a config, otherwise
    those of the head.

    Parameters
    ----------
    model : str, path or config
    model_kwargs : dict
    n_classes : int
    pad_id : int
    seed : int
    shared : callable or None
        Takes a module and the names of its new weights, and returns the names of the
        weights whose memory all models of this process share. These are frozen, and
        all others are trained.
    device : str
    n_layers : int, default=None
        Number of layers above a trunk, which a config draws from a fixed seed.

    Returns
    -------
    module : torch.nn.Module
    digest : str or None
        Digest of the shared weights.
    """
    if isinstance(model, PretrainedConfig):

        def draw(seed):
            config = load_config(model, model_kwargs)
            config.num_labels, config.pad_token_id = n_classes, pad_id
            module = initialised(config, seed, model_kwargs)
            return _in_single_precision(module, model_kwargs).to(device)

        def load():
            module = draw(seed)
            if n_layers is not None:
                trunk_key = ("trunk", model_key(model, model_kwargs), device)
                fixed = load_once(trunk_key, lambda: draw(0))
                for name in weights_of_trunk(module, frozenset(), n_layers):
                    weight = module.get_parameter(name)
                    weight.data = fixed.get_parameter(name).data
            return module, frozenset()

        if shared is None:
            return load()[0].requires_grad_(True), None
        key = ("classifier", model_key(model, model_kwargs), n_classes, device, seed)
        key = (*key, n_layers)
    else:

        def load():
            return _load_classifier(model, model_kwargs, n_classes, device)

        key = ("classifier", model_key(model, model_kwargs), n_classes, device)
    first, new = load_once(key, load)
    digest, names, memo = None, frozenset(), {}
    if shared is not None:
        names = shared(first, new)
        digest_key = (*key, "digest", *sorted(names))
        digest = load_once(digest_key, lambda: digest_of_weights(first, names))
        for name, weight in first.named_parameters():
            if name in names:
                memo[id(weight)] = torch.nn.Parameter(weight.data, False)
    module = copy.deepcopy(first, memo)
    for name, weight in module.named_parameters():
        weight.requires_grad_(name not in names)
    module.config.pad_token_id = pad_id
    with forked_generators(seed, "cpu"), quiet():
        for owner in sorted({name.rpartition(".")[0] for name in new}):
            _draw_weights(module, owner, new)
    return module, digest


def _draw_weights(module, owner, names):
    """Draw the weights in a part of a module that are among `names`."""
    part = module.get_submodule(owner)
    # If a part lacks only its bias, its weight stays and is shared.
    drawn = copy.deepcopy(part)
    module._init_weights(drawn)
    prefix = f"{owner}." if owner else ""
    own = {k: v for k, v in drawn.state_dict().items() if f"{prefix}{k}" in names}
    part.load_state_dict(own, strict=False)


def pretrained_weights(module, new):
    """Return the names of all weights except the new ones."""
    return module.state_dict().keys() - new


def weights_of_parts(module, new, parts):
    """Return the names of the weights in some parts of a classifier's body.

    Parameters
    ----------
    module : torch.nn.Module
    new : set of str
        Names of weights without a pretrained value, which were drawn at random.
    parts : sequence of str
        Names of modules or weights in the body.

    Raises
    ------
    ValueError
        If a part is unknown, or has new weights.
    """
    body = module.base_model
    chosen = set()
    for part in parts:
        own = [
            weight
            for name, weight in body.named_parameters()
            if f"{name}.".startswith(f"{part}.")
        ]
        if not own:
            raise ValueError(
                f"freeze has {part!r}, which is not a part of a {type(body).__name__}. "
                f"Name some of its parts: {_parts(body)}."
            )
        chosen |= names_to_freeze(module, own, new, f"freeze={part!r}")
    return chosen


def _parts(body):
    """List the children of a module that have weights, and an example of a layer."""
    parts = [name for name, part in body.named_children() if list(part.parameters())]
    layers = (n for n, m in body.named_modules() if isinstance(m, torch.nn.ModuleList))
    example = next((f"; layers are named like {name}.0" for name in layers), "")
    return ", ".join(parts) + example


def initialised(config, seed, model_kwargs, auto=AutoModelForSequenceClassification):
    """Return a model of a config, with weights drawn from a seed."""
    trusted = with_trust(model_kwargs)["trust_remote_code"]
    name = type(config).__name__
    with advice_on_loading(name), forked_generators(seed, "cpu"), quiet():
        return auto.from_config(config, trust_remote_code=trusted)


def _load_classifier(model, model_kwargs, n_classes, device):
    """Return a classifier, and the names of its weights without a pretrained value."""
    try:
        module, info = _pretrained(
            AutoModelForSequenceClassification,
            model,
            model_kwargs,
            num_labels=n_classes,
            output_loading_info=True,
        )
        module = _in_single_precision(module, model_kwargs).to(device)
    except RuntimeError as error:
        if "ignore_mismatched_sizes" not in str(error):
            raise
        raise ValueError(
            f"Weights of {str(model)!r} do not have the shape that is needed for "
            f"{n_classes} classes, most likely since its head was trained for other "
            'labels. Give model_kwargs={"ignore_mismatched_sizes": True} to draw new '
            "weights instead."
        ) from error
    # Keys of the wrong shape are given as (name, shape, shape).
    mismatched = {
        key if isinstance(key, str) else key[0] for key in info["mismatched_keys"]
    }
    return module, frozenset(info["missing_keys"]) | mismatched


def _pretrained(auto, model, model_kwargs, **more):
    # Weights that a checkpoint lacks, such as those of a pooler, are drawn.
    with advice_on_loading(model), quiet(), forked_generators(0, "cpu"):
        return auto.from_pretrained(
            model, return_dict=True, **more, **with_trust(model_kwargs)
        )


def load_encoder(model, model_kwargs, device):
    """Return a frozen encoder, loaded once per process, and a digest of its weights."""

    def load():
        if isinstance(model, PretrainedConfig):
            config = load_config(model, model_kwargs)
            module = initialised(config, 0, model_kwargs, AutoModel)
        else:
            module = _pretrained(AutoModel, model, model_kwargs)
        module = _in_single_precision(module, model_kwargs)
        if hasattr(module, "encoder") and hasattr(module, "decoder"):
            encoder = module.get_encoder()
            if not hasattr(encoder, "config"):
                encoder.config = module.config
            module = encoder
        module = module.to(device).eval()
        return module.requires_grad_(False), digest_of_weights(module)

    return load_once(("encoder", model_key(model, model_kwargs), device), load)


def digest_of_weights(module, names=None):
    """Return a digest of a module's weights, by default of all."""
    h = hashlib.blake2b(digest_size=16)
    for name, weight in sorted(module.state_dict().items()):
        if names is None or name in names:
            flat = weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            h.update(f"{name}{weight.dtype}{tuple(weight.shape)}".encode())
            h.update(flat.numpy())
    return h.hexdigest()


def _in_single_precision(module, model_kwargs):
    # Checkpoints in half precision would be trained in it, which fails to learn.
    if "gguf_file" in model_kwargs:
        # Its weights are dequantised, but it still behaves as a quantised model, so
        # they are copied to an ordinary one.
        config = copy.deepcopy(module.config)
        if hasattr(config, "quantization_config"):
            del config.quantization_config
        with forked_generators(0, "cpu"):
            plain = type(module)(config)
        plain.load_state_dict(module.state_dict())
        return plain.float()
    chosen = model_kwargs.keys() & {"dtype", "torch_dtype"}
    return module if chosen else module.float()


def longest_input(max_length, tokenizer, module):
    """Return the smaller of `max_length` and the maximum length of a model.

    Raises
    ------
    ValueError
        If the special tokens around every text leave no room for one of its own.
    """
    longest = min(max_length, getattr(tokenizer, "model_max_length", max_length))
    limit = getattr(module.config, "max_position_embeddings", None) or 0
    if limit > 0:  # XLNet has -1 for no limit
        longest = min(longest, limit - _first_position(module))
    n_special = tokenizer.num_special_tokens_to_add()
    if longest <= n_special:
        raise ValueError(
            f"{longest} tokens, with max_length={max_length}, leave no room for a "
            f"text, since the tokenizer adds {n_special} to each. Give at least "
            f"{n_special + 1}, and a model that accepts as many."
        )
    return longest


def _first_position(module):
    """Return the position of the first token of a text in a model."""
    for name, part in module.named_modules():
        padding = getattr(part, "padding_idx", None)
        if name.endswith("position_embeddings") and padding is not None:
            return padding + 1
    return 0
