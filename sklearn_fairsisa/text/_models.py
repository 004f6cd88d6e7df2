"""Loading models and tokenizers from a hub name, a folder or a config."""

import copy
import hashlib
import json
import multiprocessing
import os
import threading
import warnings
from collections import OrderedDict
from contextlib import contextmanager

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from .._utils.devices import accelerators, is_here
from .._utils.isolation import TURN
from ._generators import Generators
from ._tokens import HashingTokenizer, tokenizer_digest

# Those arguments of from_pretrained that say where a model is, not what it is.
_WHERE = (
    "cache_dir", "force_download", "gguf_file", "local_files_only", "proxies",
    "revision", "subfolder", "token", "trust_remote_code",
)  # fmt: skip

_LOADED_LOCK = threading.Lock()
_MOST_LOADED = 8
_loaded = OrderedDict()


def load_once(key, load):
    """Return what `load` gave for this key earlier in this process, or call it."""
    value = _find_loaded(key)
    if value is not None:
        return value
    # Loading draws on the generators. Who trains has their lock and may want to load,
    # so here as there it comes before the lock of what is loaded.
    with TURN:
        value = _find_loaded(key)
        if value is None:
            value = load()
            with _LOADED_LOCK:
                while len(_loaded) >= _MOST_LOADED:
                    _loaded.popitem(last=False)
                _loaded[key] = value
    return value


def _find_loaded(key):
    with _LOADED_LOCK:
        if key in _loaded:
            _loaded.move_to_end(key)
        return _loaded.get(key)


def pick_device(device):
    """Return the device that `device` stands for.

    ``"auto"`` is the accelerator that torch finds, else the CPU. Where there are
    several, the workers of a process pool take them in turn.

    Raises
    ------
    ValueError
        If this machine does not have the device.
    """
    devices = accelerators() or ["cpu"]
    if device != "auto":
        device = str(torch.device(device))
        if not is_here(device):
            raise ValueError(
                f"device={device!r} is not on this machine, which has {devices}. Name "
                "one of these, or give device='auto'."
            )
        return device
    worker = multiprocessing.current_process()._identity
    turn = worker[-1] - 1 if worker else 0
    return devices[turn % len(devices)]


def load_config(model, model_kwargs):
    """Return a config of our own; see `model_key` for the arguments."""
    if isinstance(model, PretrainedConfig):
        with quiet():
            config = copy.deepcopy(model)
            config.update(model_kwargs)
    else:
        with _reaching(model), quiet():
            config = AutoConfig.from_pretrained(model, **model_kwargs)
    if not hasattr(config, "vocab_size"):
        raise ValueError(
            f"The model's config is a {type(config).__name__}, which has no "
            "vocab_size. Give a model that reads tokens of texts, such as BERT."
        )
    return config


def load_tokenizer(model, model_kwargs, tokenizer, config):
    """Return the tokenizer, by default the model's.

    A config comes with none, so it gets a `HashingTokenizer`.
    """
    if isinstance(tokenizer, PreTrainedTokenizerBase):
        return _as_is(copy.deepcopy(tokenizer))
    if tokenizer is None and isinstance(model, PretrainedConfig):
        pad_id = config.pad_token_id
        return HashingTokenizer(config.vocab_size, 0 if pad_id is None else pad_id)
    source = model if tokenizer is None else tokenizer
    where = {} if tokenizer else {k: v for k, v in model_kwargs.items() if k in _WHERE}
    with _reaching(source), quiet():
        return _as_is(AutoTokenizer.from_pretrained(source, **where))


def _as_is(tokenizer):
    """Rid a fast tokenizer of the truncation and padding it was saved with."""
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        raise ValueError("Its tokenizer has no vocabulary.")
    if hasattr(tokenizer, "backend_tokenizer"):
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()
    return tokenizer


def load_tokenizer_once(model, model_kwargs, tokenizer, config):
    """Return the tokenizer, once per process, and a digest of what it does.

    Others have it too, and must not change it.
    """
    if isinstance(tokenizer, PreTrainedTokenizerBase):
        key, kept = id(tokenizer), tokenizer  # keeping it keeps its id its own
    else:
        named = None if tokenizer is None else model_key(tokenizer, {})
        key, kept = (named, model_key(model, model_kwargs)), None

    def load():
        loaded = load_tokenizer(model, model_kwargs, tokenizer, config)
        return loaded, tokenizer_digest(loaded), kept

    return load_once(("tokenizer", key), load)[:2]


def pad_token(tokenizer, config):
    """Return the id to pad with: the tokenizer's, the config's or the end of text."""
    eos = getattr(config, "eos_token_id", None)
    candidates = (
        # A config may have one by default that is a word of the tokenizer.
        tokenizer.pad_token_id,
        getattr(config, "pad_token_id", None),
        getattr(tokenizer, "eos_token_id", None),
        eos[0] if isinstance(eos, list) else eos,
    )
    for token in candidates:
        if token is not None and 0 <= token < config.vocab_size:
            return token
    return 0


def longest_input(max_length, tokenizer, module):
    """Return `max_length`, or the greatest length that a model can take.

    Raises
    ------
    ValueError
        If the tokens that are put around every text leave no room for one of it.
    """
    longest = min(max_length, getattr(tokenizer, "model_max_length", max_length))
    limit = getattr(module.config, "max_position_embeddings", None) or 0
    if limit > 0:  # XLNet says -1 for none
        longest = min(longest, limit - _first_position(module))
    n_special = tokenizer.num_special_tokens_to_add()
    if longest <= n_special:
        raise ValueError(
            f"{longest} tokens, with max_length={max_length}, leave no room for a "
            f"text: the tokenizer puts {n_special} around each. Give at least "
            f"{n_special + 1}, and a model that takes as many."
        )
    return longest


def _first_position(module):
    """Return the position that a model gives to the first token of a text."""
    for name, part in module.named_modules():
        padding = getattr(part, "padding_idx", None)
        if name.endswith("position_embeddings") and padding is not None:
            return padding + 1
    return 0


def check_vocabulary(tokenizer, config):
    """Raise if the tokenizer makes ids that the model has no embedding for."""
    if isinstance(tokenizer, HashingTokenizer):
        return
    # Where the model lacks the tokenizer's padding, another token pads.
    added = set(tokenizer.get_added_vocab().values()) - {tokenizer.pad_token_id}
    size = max([tokenizer.vocab_size, *(token + 1 for token in added)])
    if size > config.vocab_size:
        raise ValueError(
            f"The tokenizer has {size} tokens, but the model's config has "
            f"vocab_size={config.vocab_size}. Give a config with at least {size}, or "
            "the model's own tokenizer."
        )


def model_key(model, model_kwargs):
    """Return a string that says which model is meant.

    Parameters
    ----------
    model : str, path or config
    model_kwargs : dict
        Further arguments of transformers' ``from_pretrained``; for a config, values
        to replace in it.
    """
    if isinstance(model, PretrainedConfig):
        model = f"{type(model).__name__}{model.to_json_string(use_diff=False)}"
    else:
        model = str(model)
        model = _folder_as_it_is(model) if os.path.isdir(model) else model
    return json.dumps([model, model_kwargs], sort_keys=True, default=repr)


def _folder_as_it_is(folder):
    """Return a folder's path and what tells whether a file in it was replaced."""
    with os.scandir(folder) as files:
        stats = sorted((f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files)
    return [os.path.realpath(folder), stats]


def new_classifier(model, model_kwargs, n_classes, pad_id, seed, *, shared, device):
    """Return a classification model with a new head drawn from a seed.

    Weights that were not trained (all of a config's, else the head's) are drawn from
    the seed alone.

    Parameters
    ----------
    model : str, path or config
    model_kwargs : dict
    n_classes : int
    pad_id : int
    seed : int
    shared : callable or None
        Tells, from a module and the names of its new weights, the names of those
        that are the same memory in all models of this process. They are frozen, all
        others are to be trained.
    device : str

    Returns
    -------
    module : torch.nn.Module
    digest : str or None
        That of the shared weights.
    """
    if isinstance(model, PretrainedConfig):

        def load():
            config = load_config(model, model_kwargs)
            config.num_labels, config.pad_token_id = n_classes, pad_id
            module = _in_single_precision(initialised(config, seed), model_kwargs)
            return module.to(device), frozenset()

        if shared is None:
            return load()[0].requires_grad_(True), None
        key = ("classifier", model_key(model, model_kwargs), n_classes, device, seed)
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
    with Generators(seed).in_use(), quiet():
        for owner in sorted({name.rpartition(".")[0] for name in new}):
            _draw_anew(module, owner, new)
    return module, digest


def _draw_anew(module, owner, names):
    """Draw those weights of a part of a module that are among `names`."""
    part = module.get_submodule(owner)
    # Of a part that lacks its bias alone, the weight stays, and others share it.
    drawn = copy.deepcopy(part)
    module._init_weights(drawn)
    prefix = f"{owner}." if owner else ""
    own = {k: v for k, v in drawn.state_dict().items() if f"{prefix}{k}" in names}
    part.load_state_dict(own, strict=False)


def pretrained_weights(module, new):
    """Return the names of all weights but the new ones."""
    return module.state_dict().keys() - new


def weights_of_parts(module, new, parts):
    """Return the names of the weights in some parts of a classifier's body.

    Parameters
    ----------
    module : torch.nn.Module
    new : set of str
        Names of weights that were drawn at random for want of a value.
    parts : sequence of str
        Names of modules or weights, as the body knows them.

    Raises
    ------
    ValueError
        If a part is unknown, or has new weights.
    """
    body = module.base_model
    names = {id(weight): name for name, weight in module.named_parameters()}
    chosen = set()
    for part in parts:
        own = {
            names[id(weight)]
            for name, weight in body.named_parameters()
            if f"{name}.".startswith(f"{part}.")
        }
        if not own:
            raise ValueError(
                f"freeze has {part!r}, which is no part of a {type(body).__name__}. "
                f"Its parts are {_parts(body)}."
            )
        if own & new:
            raise ValueError(
                f"freeze has {part!r}, but the model comes without weights for it: "
                f"{sorted(own & new)} would stay random. Leave it out."
            )
        chosen |= own
    return chosen


def _parts(body):
    """List the children of a module that have weights, and one within them."""
    parts = [name for name, part in body.named_children() if list(part.parameters())]
    layers = (n for n, m in body.named_modules() if isinstance(m, torch.nn.ModuleList))
    within = next((f"; parts of these are named as {name}.0" for name in layers), "")
    return ", ".join(parts) + within


def initialised(config, seed):
    """Return a classification model of a config, with weights drawn from a seed."""
    with Generators(seed).in_use(), quiet():
        return AutoModelForSequenceClassification.from_config(config)


def _load_classifier(model, model_kwargs, n_classes, device):
    """Load a classifier; return it and the names of weights it had no value for."""
    try:
        with _reaching(model), quiet(), Generators(0).in_use():
            module, info = AutoModelForSequenceClassification.from_pretrained(
                model, num_labels=n_classes, output_loading_info=True, **model_kwargs
            )
            module = _in_single_precision(module, model_kwargs).to(device)
    except RuntimeError as error:
        if "ignore_mismatched_sizes" not in str(error):
            raise
        raise ValueError(
            f"Weights of {str(model)!r} do not have the shape that is needed for "
            f"{n_classes} classes: a head trained for other labels, most likely. Give "
            'model_kwargs={"ignore_mismatched_sizes": True} to draw what does not fit '
            "anew."
        ) from error
    # What does not fit in shape comes as (name, shape, shape).
    unfit = {key if isinstance(key, str) else key[0] for key in info["mismatched_keys"]}
    return module, frozenset(info["missing_keys"]) | unfit


def load_encoder(model, model_kwargs, device):
    """Return a frozen encoder, once per process, and a digest of its weights."""

    def load():
        if isinstance(model, PretrainedConfig):
            with Generators(0).in_use(), quiet():
                module = AutoModel.from_config(load_config(model, model_kwargs))
                module = _in_single_precision(module, model_kwargs)
        else:
            # Whatever pooler a checkpoint lacks is drawn from a fixed seed.
            with _reaching(model), quiet(), Generators(0).in_use():
                module = AutoModel.from_pretrained(model, **model_kwargs)
                module = _in_single_precision(module, model_kwargs)
        module = module.to(device).eval()
        return module.requires_grad_(False), digest_of_weights(module)

    return load_once(("encoder", model_key(model, model_kwargs), device), load)


def digest_of_weights(module, names=None):
    """Return a digest of a module's weights, or of those named."""
    h = hashlib.blake2b(digest_size=16)
    for name, weight in sorted(module.state_dict().items()):
        if names is None or name in names:
            flat = weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            h.update(f"{name}{weight.dtype}{tuple(weight.shape)}".encode())
            h.update(flat.numpy())
    return h.hexdigest()


def _in_single_precision(module, model_kwargs):
    # Checkpoints in half precision would be trained in it, and learn nothing.
    if "gguf_file" in model_kwargs:
        # Its weights are plain numbers by now, but it refuses what a quantised model
        # would, so they move to a model that was never one.
        config = copy.deepcopy(module.config)
        if hasattr(config, "quantization_config"):
            del config.quantization_config
        plain = type(module)(config)
        plain.load_state_dict(module.state_dict())
        return plain.float()
    chosen = model_kwargs.keys() & {"dtype", "torch_dtype"}
    return module if chosen else module.float()


@contextmanager
def quiet():
    """Keep transformers' progress bars, reports and warnings to itself."""
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


@contextmanager
def _reaching(source):
    try:
        yield
    except (OSError, ValueError) as error:
        if os.path.isdir(source):
            raise OSError(
                f"The folder {str(source)!r} holds no loadable model and tokenizer: "
                f"{_first_line(error)} It needs config.json, weights and tokenizer "
                "files, as save_pretrained() writes them."
            ) from error
        if isinstance(error, ValueError):
            raise
        raise OSError(
            f"{str(source)!r} is not a folder here, and it could not be fetched from "
            f"the Hugging Face hub: {_first_line(error)} Check the name and the "
            "network (HF_HUB_OFFLINE=1 forbids it), or give the folder of a "
            "downloaded model, or a transformers config (random initialisation)."
        ) from error


def _first_line(error):
    return str(error).strip().split("\n")[0]
