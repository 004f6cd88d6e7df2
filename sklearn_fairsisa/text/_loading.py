"""Configs and tokenizers, loaded once per process from a hub name or a folder."""

import copy
import json
import os
import threading
import warnings
from collections import OrderedDict
from contextlib import contextmanager
from typing import Any

from transformers import (
    AutoConfig,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from .._utils.isolation import GENERATORS_LOCK
from ._tokens import HashingTokenizer, check_vocabulary, tokenizer_digest

# Arguments of from_pretrained that locate a model and do not describe it.
LOCATION_ARGUMENTS = {
    "cache_dir", "force_download", "gguf_file", "local_files_only", "proxies",
    "revision", "subfolder", "token", "trust_remote_code",
}  # fmt: skip

_LOADED_LOCK = threading.Lock()
_MAX_LOADED = 8
_loaded: OrderedDict[tuple, Any] = OrderedDict()


def load_once(key, load):
    """Return what `load` returned for a key in this process; call it the first time."""
    value = _find_loaded(key)
    if value is not None:
        return value
    # Loading draws from the generators. A training holds their lock and may load, so
    # their lock is always taken before that of loaded objects.
    with GENERATORS_LOCK:
        value = _find_loaded(key)
        if value is None:
            value = load()
            with _LOADED_LOCK:
                while len(_loaded) >= _MAX_LOADED:
                    _loaded.popitem(last=False)
                _loaded[key] = value
    return value


def _find_loaded(key):
    with _LOADED_LOCK:
        if key in _loaded:
            _loaded.move_to_end(key)
        return _loaded.get(key)


def with_trust(model_kwargs):
    """Return arguments of ``from_pretrained`` that always set ``trust_remote_code``.

    It is False by default. Without it, transformers asks on the standard input.
    """
    trusted = bool(model_kwargs.get("trust_remote_code"))
    return {**model_kwargs, "trust_remote_code": trusted}


def load_config(model, model_kwargs):
    """Return a new config; see `model_key` for the arguments."""
    if isinstance(model, PretrainedConfig):
        with quiet():
            config = copy.deepcopy(model)
            config.update(model_kwargs)
    else:
        with advice_on_loading(model), quiet():
            config = AutoConfig.from_pretrained(model, **with_trust(model_kwargs))
    if not hasattr(config, "vocab_size"):
        raise ValueError(
            f"The model's config is a {type(config).__name__}, which has no "
            "vocab_size. Give a model of texts, such as BERT."
        )
    config.return_dict = True
    return config


def _load_tokenizer(model, model_kwargs, tokenizer, config):
    """Return the tokenizer: by default the model's, or a hashing one for a config."""
    if isinstance(tokenizer, PreTrainedTokenizerBase):
        return _without_truncation(copy.deepcopy(tokenizer))
    if tokenizer is None and isinstance(model, PretrainedConfig):
        pad_id = config.pad_token_id
        return HashingTokenizer(config.vocab_size, 0 if pad_id is None else pad_id)
    source = model if tokenizer is None else tokenizer
    location = {}
    if tokenizer is None:
        names = model_kwargs.keys() & LOCATION_ARGUMENTS
        location = {name: model_kwargs[name] for name in names}
    with advice_on_loading(source), quiet():
        return _without_truncation(
            AutoTokenizer.from_pretrained(source, **with_trust(location))
        )


def _without_truncation(tokenizer):
    """Return a tokenizer without the truncation and padding it was saved with."""
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        raise ValueError("The tokenizer has no vocabulary.")
    if hasattr(tokenizer, "backend_tokenizer"):
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()
    return tokenizer


def load_tokenizer_once(model, model_kwargs, tokenizer, config):
    """Return the tokenizer, loaded once per process, and its digest.

    Callers share the tokenizer and must not change it.
    """
    if isinstance(tokenizer, PreTrainedTokenizerBase):
        key, kept = id(tokenizer), tokenizer  # as long as it lives, its id is unique
    else:
        own_key = None if tokenizer is None else model_key(tokenizer, {})
        key, kept = (own_key, model_key(model, model_kwargs)), None

    def load():
        loaded = _load_tokenizer(model, model_kwargs, tokenizer, config)
        return loaded, tokenizer_digest(loaded), kept

    loaded, digest, _ = load_once(("tokenizer", key), load)
    check_vocabulary(loaded, config)
    return loaded, digest


def model_key(model, model_kwargs):
    """Return a string that identifies a model.

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
        model = _folder_state(model) if os.path.isdir(model) else model
    return json.dumps([model, model_kwargs], sort_keys=True, default=repr)


def _folder_state(folder):
    """Return a folder's path, and sizes and times that show if a file was replaced."""
    with os.scandir(folder) as files:
        stats = sorted((f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files)
    return [os.path.realpath(folder), stats]


@contextmanager
def quiet():
    """Silence the progress bars, reports and warnings of transformers."""
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
def advice_on_loading(source):
    """Advise what to do when a model or tokenizer cannot be loaded."""
    try:
        yield
    except (OSError, ValueError) as error:
        if "trust_remote_code=True" in str(error):
            raise ValueError(
                f"{str(source)!r} has Python code of its own, which loading it would "
                "run. Read this code, and if you trust it give "
                'model_kwargs={"trust_remote_code": True}; for a tokenizer, load it '
                "yourself and give tokenizer=."
            ) from error
        if os.path.isdir(source):
            raise OSError(
                f"The folder {str(source)!r} holds no loadable model and tokenizer: "
                f"{_first_line(error)} It needs config.json, weights and tokenizer "
                "files, as written by save_pretrained()."
            ) from error
        if isinstance(error, ValueError):
            raise
        raise OSError(
            f"{str(source)!r} is not a folder here, and it could not be fetched from "
            f"the Hugging Face hub: {_first_line(error)} Check the name and the "
            "network (HF_HUB_OFFLINE=1 disables it), or give the folder of a "
            "downloaded model, or a transformers config (random initialisation)."
        ) from error


def _first_line(error):
    return str(error).strip().split("\n")[0]
