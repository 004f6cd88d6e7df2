"""Signatures that files must have before any code in them may run."""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from . import disk

KEY_VARIABLE = "SKLEARN_FAIRSISA_KEY"


def signing_key():
    """Return the key that signs durable directories.

    It is the content of the environment variable ``SKLEARN_FAIRSISA_KEY``, or else of
    the file ``sklearn-fairsisa/key`` in the user's settings folder
    (``$XDG_CONFIG_HOME`` or ``~/.config``), which is created when first needed. It is
    never in the directory that it signs, since whoever can write there could then sign.

    Returns
    -------
    bytes

    Raises
    ------
    OSError
        If there is no key and none can be created, or it is empty.
    """
    given = os.environ.get(KEY_VARIABLE)
    if given:
        return given.encode()
    settings = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    path = Path(settings) / "sklearn-fairsisa" / "key"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        aside = path.with_name(f"key.{secrets.token_hex(8)}")
        if not path.exists():
            disk.Folder(path.parent).write_new(
                aside.name, secrets.token_hex(32).encode()
            )
            try:
                # Unlike a rename, a link never replaces an existing key.
                os.link(aside, path)
            except FileExistsError:
                pass
            finally:
                aside.unlink()
            disk.sync_folder(path.parent)
        key = path.read_bytes()
    except OSError as error:
        error.add_note(
            f"No signing key can be read or created at {path}. Set the environment "
            f"variable {KEY_VARIABLE} to a secret of your own."
        )
        raise
    if not key:
        raise OSError(
            f"The key at {path} is empty, so anybody could sign with it. Restore it, "
            f"or set the environment variable {KEY_VARIABLE}."
        )
    return key


def key_id(key):
    """Return a public name of a key, which does not reveal the key."""
    return hashlib.sha256(b"sklearn-fairsisa key id\0" + key).hexdigest()[:8]


def sign(key, data):
    """Return the HMAC-SHA-256 of some bytes, in hexadecimal digits."""
    return hmac.new(key, data, hashlib.sha256).hexdigest()


def is_signed(key, data, signature):
    """Return whether a signature, as bytes, belongs to some data, in constant time."""
    return hmac.compare_digest(sign(key, data).encode(), signature)
