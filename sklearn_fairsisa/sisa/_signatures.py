"""Certificates that anybody with the signer's public key can check."""

import json
from os import PathLike
from pathlib import Path

_ALGORITHM = "EdDSA"
_TYPE = "fairsisa-certificate+jws"


def signed(facts, key):
    """Sign a statement.

    Parameters
    ----------
    facts : dict
        The statement, with values of JSON's types.
    key : bytes, str or path
        Private Ed25519 or Ed448 key in PEM format, or the file that holds it.

    Returns
    -------
    str
        A JSON Web Signature in compact form, with the algorithm EdDSA, whose payload is
        the statement as JSON.

    Raises
    ------
    ImportError
        If PyJWT or cryptography is missing.
    ValueError
        If the key is not such a key.

    References
    ----------
    RFC 7515, JSON Web Signature, section 7.1; RFC 8037, section 3.1.
    """
    jwt, serialization, keys = _libraries()
    try:
        private = serialization.load_pem_private_key(_read(key), password=None)
        if not isinstance(private, keys[:2]):
            raise TypeError(f"it is a {type(private).__name__}.")
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The key cannot sign: {error} Give a private Ed25519 key in PEM format, "
            "without a password, as made by: openssl genpkey -algorithm ed25519."
        ) from None
    payload = json.dumps(facts, sort_keys=True).encode()
    return jwt.PyJWS().encode(payload, private, _ALGORITHM, headers={"typ": _TYPE})


def checked(text, key):
    """Return a signed statement, once its signature has been verified.

    Parameters
    ----------
    text : str
        JSON Web Signature in compact form, as `signed` returns it.
    key : bytes, str or path
        The signer's public key in PEM format, or the file that holds it.

    Returns
    -------
    dict

    Raises
    ------
    ImportError
        If PyJWT or cryptography is missing.
    ValueError
        If the key is not a public Ed25519 or Ed448 key, or did not make the signature.
    """
    jwt, serialization, keys = _libraries()
    try:
        public = serialization.load_pem_public_key(_read(key))
        if not isinstance(public, keys[2:]):
            raise TypeError(f"it is a {type(public).__name__}.")
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The key cannot check a signature: {error} Give the public half of the "
            "key that signed, as written by: openssl pkey -in KEY -pubout."
        ) from None
    try:
        payload = jwt.PyJWS().decode(text.strip(), public, algorithms=[_ALGORITHM])
        return json.loads(payload)
    except (jwt.PyJWTError, ValueError) as error:
        raise ValueError(
            f"The signature is not valid: {error}. The certificate was altered, or "
            "signed with another key. Ask its issuer for it again."
        ) from None


def _read(key):
    """Return a key in PEM format, which may be given as the file that holds it."""
    if isinstance(key, str) and key.startswith("-----BEGIN"):
        return key.encode()
    return Path(key).read_bytes() if isinstance(key, str | PathLike) else key


def _libraries():
    try:
        import jwt
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed448, ed25519
    except ImportError as error:
        raise ImportError(
            f"Signed certificates need {error.name}, which cannot be imported. Install "
            'it with: pip install "sklearn-fairsisa[sign]"'
        ) from error
    private = ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey
    public = ed25519.Ed25519PublicKey, ed448.Ed448PublicKey
    return jwt, serialization, (*private, *public)
