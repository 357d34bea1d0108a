"""Ed25519 keys in PEM, as OpenSSL writes them: PKCS#8, and SubjectPublicKeyInfo."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

PRIVATE, PUBLIC = b"PRIVATE KEY-----", b"PUBLIC KEY-----"


class KeyFileError(ValueError):
    """What is not the key that is needed. The message does not have any of it."""


class FileKey:
    """See Signer. A private key in this process."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    async def key_id(self) -> str:
        return key_id(self._key.public_key())

    async def sign(self, data: bytes) -> bytes:
        return self._key.sign(data)


class FileKeys:
    """See TrustedKeys."""

    def __init__(self, keys: Sequence[Ed25519PublicKey]) -> None:
        self._keys = keys
        self.key_ids = tuple(map(key_id, keys))

    def has_signed(self, signature: bytes, data: bytes) -> bool:
        return any(_has_signed(key, signature, data) for key in self._keys)


def _has_signed(key: Ed25519PublicKey, signature: bytes, data: bytes) -> bool:
    try:
        key.verify(signature, data)
    except InvalidSignature:
        return False
    return True


def key_id(key: Ed25519PublicKey) -> str:
    """The id of a key, as ports.signer describes it."""
    encoded = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"SHA256:{base64.b64encode(hashlib.sha256(encoded).digest()).decode()}"


def private_key(pem: bytes) -> Ed25519PrivateKey:
    """The private key in a PEM file. Raises KeyFileError."""
    if PRIVATE not in pem:
        raise KeyFileError("it is a public key; the private one signs" if PUBLIC in pem else "it is not a PEM file")
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise KeyFileError("it is protected by a passphrase, which is not supported") from None
    except (ValueError, UnsupportedAlgorithm):
        raise KeyFileError("it is damaged, or of an unknown kind") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError("it is not an Ed25519 key")
    return key


def public_key(pem: bytes) -> Ed25519PublicKey:
    """The public key in a PEM file. Raises KeyFileError."""
    if PUBLIC not in pem:
        secret = "it is a private key: name the public one, and keep this one where manifests are signed"  # noqa: S105
        raise KeyFileError(secret if PRIVATE in pem else "it is not a PEM file")
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise KeyFileError("it is damaged, or of an unknown kind") from None
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileError("it is not an Ed25519 key")
    return key


def new_pair() -> tuple[bytes, bytes, str]:
    """A new private key and its public key, in PEM, and their id."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private, public, key_id(key.public_key())
