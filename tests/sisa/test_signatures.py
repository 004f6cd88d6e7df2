import base64
import json

import pytest
from sklearn.datasets import make_classification
from sklearn.naive_bayes import GaussianNB

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.cli import main

pytest.importorskip("jwt")
serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
from cryptography.exceptions import InvalidSignature  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519  # noqa: E402

X, y = make_classification(n_samples=60, n_features=4, random_state=0)


def pem_of(private):
    """Return the private and the public half of a key in PEM format."""
    return (
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        private.public_key().public_bytes(
            serialization.Encoding.PEM,
            serialization.PublicFormat.SubjectPublicKeyInfo,
        ),
    )


KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PRIVATE, PUBLIC = pem_of(KEY)


def fitted(directory=None):
    sisa = SISAClassifier(
        GaussianNB(), n_shards=3, random_state=0, checkpoint_dir=directory
    )
    return sisa.fit(X, y).forget([3, 14])


def decoded(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def test_a_signed_certificate_is_a_compact_jws_of_the_statement():
    sisa = fitted()
    verification = sisa.verify_forgotten()
    header, payload, signature = verification.certificate(sign=PRIVATE).split(".")
    # RFC 7515, section 5.1: the signature is of header and payload as they stand.
    KEY.public_key().verify(decoded(signature), f"{header}.{payload}".encode())
    assert json.loads(decoded(header))["alg"] == "EdDSA"
    stated, plain = json.loads(decoded(payload)), json.loads(verification.certificate())
    assert stated.pop("time") >= plain.pop("time")
    assert stated == plain
    assert stated["audit_head"] == verification.audit_head
    with pytest.raises(InvalidSignature):
        KEY.public_key().verify(decoded(signature), f"{header}.{payload}A".encode())


@pytest.mark.parametrize("kind", [ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey])
@pytest.mark.parametrize("given", ["bytes", "text", "path", "name"])
def test_a_certificate_is_checked_with_the_public_key_alone(
    tmp_path, capsys, kind, given
):
    private, public = pem_of(kind.generate())
    (tmp_path / "private.pem").write_bytes(private)
    (tmp_path / "public.pem").write_bytes(public)
    key = {
        "bytes": private,
        "text": private.decode(),
        "path": tmp_path / "private.pem",
        "name": str(tmp_path / "private.pem"),
    }[given]
    signed = fitted().verify_forgotten().certificate(sign=key)
    (tmp_path / "certificate").write_text(signed)
    args = ["check", tmp_path / "certificate", "--public-key", tmp_path / "public.pem"]
    assert main([*map(str, args), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["holds"] is True
    assert main([*map(str, args)]) == 0
    assert "equal bit for bit" in capsys.readouterr().out


def test_a_certificate_that_was_altered_is_refused(tmp_path, capsys):
    signed = fitted().verify_forgotten().certificate(sign=PRIVATE)
    header, payload, signature = signed.split(".")
    other = pem_of(ed25519.Ed25519PrivateKey.generate())[1]
    facts = json.loads(decoded(payload)) | {"holds": True, "shards": [0, 1, 2]}
    forged = base64.urlsafe_b64encode(json.dumps(facts).encode()).rstrip(b"=").decode()
    no_algorithm = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    (tmp_path / "public.pem").write_bytes(PUBLIC)
    (tmp_path / "other.pem").write_bytes(other)
    for text, key in [
        (f"{header}.{forged}.{signature}", "public.pem"),
        (f"{no_algorithm}.{payload}.", "public.pem"),
        (signed, "other.pem"),
        ("", "public.pem"),
        (json.dumps(facts), "public.pem"),
    ]:
        (tmp_path / "certificate").write_text(text)
        args = ["check", str(tmp_path / "certificate"), "--public-key"]
        assert main([*args, str(tmp_path / key)]) == 1
        assert "signature is not valid" in capsys.readouterr().err


def test_keys_that_cannot_sign_are_refused():
    verification = fitted().verify_forgotten()
    elliptic = pem_of(ec.generate_private_key(ec.SECP256R1()))[0]
    for key in (PUBLIC, b"secret", elliptic):
        with pytest.raises(ValueError, match=r"cannot sign.*openssl genpkey"):
            verification.certificate(sign=key)


def test_the_command_signs_what_it_verified(tmp_path, capsys):
    fitted(tmp_path / "d")
    (tmp_path / "private.pem").write_bytes(PRIVATE)
    (tmp_path / "public.pem").write_bytes(PUBLIC)
    certificate, sign = tmp_path / "certificate", ["--sign", tmp_path / "private.pem"]
    args = ["verify", tmp_path / "d", *sign]
    assert main([*map(str, args)]) == 1
    assert "--certificate" in capsys.readouterr().err
    assert main([*map(str, args), "--certificate", str(certificate)]) == 0
    args = ["check", certificate, "--public-key", tmp_path / "public.pem"]
    assert main([*map(str, args)]) == 0
    (tmp_path / "public.pem").write_bytes(PRIVATE)
    assert main([*map(str, args)]) == 1
