"""The one file that says what of a directory counts."""

import json

from ...exceptions import (
    DamagedDirectoryError,
    DirectoryError,
    SignatureError,
)
from .signing import KEY_VARIABLE, is_signed, key_id, signing_key

FORMAT = 1
MANIFEST = "manifest.json"


def read_manifest(directory, *, check_signature=True):
    """Return the manifest of a directory.

    Parameters
    ----------
    directory : Path
    check_signature : bool, default=True
        Whether it must be signed with one's own key.

    Returns
    -------
    dict

    Raises
    ------
    DamagedDirectoryError
        If it is truncated, altered, or signed with another key.
    DirectoryError
        If it is of another format.
    """
    path = directory / MANIFEST
    try:
        data = path.read_bytes()
        manifest = json.loads(data)
        form, signer = manifest["format"], str(manifest["key"])
        signature = str(manifest["signature"]).encode()
    except (ValueError, KeyError, TypeError):
        raise DamagedDirectoryError(
            f"{path} is truncated or altered: it is no manifest. Restore it from a "
            "backup."
        ) from None
    if form != FORMAT:
        raise DirectoryError(
            f"{path} has the format {form}, this version reads {FORMAT}. Open it with "
            "the version of sklearn-fairsisa that wrote it."
        )
    if not check_signature:
        return manifest
    key = signing_key()
    if signer != key_id(key):
        raise SignatureError(
            f"{directory} is signed with the key {signer}, not with yours, "
            f"{key_id(key)}. Opening it may run code that its files hold. Set "
            f"{KEY_VARIABLE} to its key, or, if you know where it comes from, open it "
            "once with SISAClassifier.load(..., resign=True)."
        )
    # Other bytes can mean the same manifest, as the last digit of a float may.
    unsigned = {k: v for k, v in manifest.items() if k != "signature"}
    as_signed = is_signed(key, as_written(unsigned), signature)
    if not as_signed or data != as_written(manifest):
        raise SignatureError(
            f"{path} was altered since it was signed. Restore it from a backup."
        )
    return manifest


def as_read_back(manifest):
    """Return a manifest as reading its file gives it, with strings for keys."""
    return json.loads(json.dumps(manifest))


def as_written(manifest):
    """Return the bytes of the file of a manifest that is as it would be read back."""
    return json.dumps(manifest, sort_keys=True).encode()


def listed_files(current):
    """Return the names of the files that make up a described ensemble."""
    names = [current["state"], current["plan"]]
    names += [slice for shard in current["rows"] for slice in shard]
    names += [files for stages in current["stages"] for files in stages.values()]
    return {name for group in names for name in group}


def by_stage(shards):
    """Undo that JSON makes strings of stages."""
    return [{int(stage): names for stage, names in s.items()} for s in shards]


def what_it_holds(name):
    """Say what a file holds."""
    kind, *places = name.split("-")[:-1]
    if kind == "frozen":
        return "the weights that are not trained"
    if kind in ("rows", "member"):
        shard, slice = (int(place[1:]) for place in places)
        holds = "the rows" if kind == "rows" else "the checkpoint"
        return f"{holds} of shard {shard}, slice {slice}"
    return f"the {kind} of the ensemble"
