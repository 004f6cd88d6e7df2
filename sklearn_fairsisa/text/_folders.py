"""Folders of models as bytes, so that what is served needs no path of the trainer's."""

import atexit
import copy
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from ._loading import LOCATION_ARGUMENTS, load_once, model_key

# Weights for other frameworks than torch.
_FOREIGN = {".h5", ".msgpack", ".onnx", ".ot", ".tflite"}
_WEIGHTS = ".safetensors"

_packed: dict[str, "PackedFolder"] = {}  # by digest: members share one


class PackedFolder(os.PathLike):
    """The files of a folder, which lie in a temporary one when they are needed.

    It stands wherever the path of the folder can.

    Parameters
    ----------
    files : dict of str to bytes
    """

    def __init__(self, files):
        self.files = files
        self._folder = None

    @classmethod
    def of(cls, folder):
        """Pack a folder, once per process."""
        return load_once(
            ("packed", model_key(folder, {})),
            lambda: _from_files(_relevant_files(Path(folder))),
        )

    def __fspath__(self):
        if self._folder is None or not os.path.isdir(self._folder):
            folder = tempfile.mkdtemp(prefix="fairsisa-model-")
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            for name, data in self.files.items():
                Path(folder, name).write_bytes(data)
            self._folder = folder
        return self._folder

    __str__ = __fspath__

    def __repr__(self):
        return f"PackedFolder({len(self.files)} files)"

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        return _from_files, (self.files,)


def _from_files(files):
    h = hashlib.sha256()
    for name, data in sorted(files.items()):
        h.update(f"{name}:{len(data)}:".encode() + data)
    return _packed.setdefault(h.hexdigest(), PackedFolder(files))


def _relevant_files(folder):
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    has_safe = any(path.suffix == _WEIGHTS for path in files)
    left_out = _FOREIGN | ({".bin", ".pt", ".pth"} if has_safe else set())
    return {p.name: p.read_bytes() for p in files if p.suffix not in left_out}


def portable(model):
    """Return a model or tokenizer, as parameters name it, without a path of here.

    Parameters
    ----------
    model : str, path, config, tokenizer or None

    Returns
    -------
    object
        A folder is packed. A name on the hub stays.
    """
    if isinstance(model, str | os.PathLike):
        is_here = not isinstance(model, PackedFolder) and os.path.isdir(model)
        return PackedFolder.of(model) if is_here else model
    return without_paths(model)


def without_paths(value):
    """Return a copy of a config or tokenizer that does not name where it came from."""
    if value is None:
        return None
    value = copy.deepcopy(value)
    for holder in (vars(value), getattr(value, "init_kwargs", {})):
        for name, entry in list(holder.items()):
            if isinstance(entry, str) and os.path.isabs(entry):
                holder[name] = ""
    return value


def portable_arguments(model_kwargs):
    """Return arguments of ``from_pretrained`` without those that name places."""
    kept = {"gguf_file", "revision", "subfolder", "trust_remote_code"}
    places = LOCATION_ARGUMENTS - kept
    return {k: v for k, v in (model_kwargs or {}).items() if k not in places}
