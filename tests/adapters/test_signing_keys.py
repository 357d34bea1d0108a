"""Ed25519 keys in PEM: the vectors of RFC 8032, and what is refused."""

from __future__ import annotations

import asyncio
import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from bqdump.adapters.signing_keys import FileKey, FileKeys, KeyFileError, new_pair, private_key, public_key

# https://www.rfc-editor.org/rfc/rfc8032#section-7.1: secret key, public key, message, signature.
VECTORS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24"
            "655141438e7a100b"
        ),
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aee"
            "b00d291612bb0c00"
        ),
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28d"
            "c027beceea1ec40a"
        ),
    ),
]
# What precedes the 32 bytes of a key: https://www.rfc-editor.org/rfc/rfc8410#section-10
PKCS8, SPKI = bytes.fromhex("302e020100300506032b657004220420"), bytes.fromhex("302a300506032b6570032100")


def pem(kind: str, der: bytes) -> bytes:
    return f"-----BEGIN {kind} KEY-----\n{base64.b64encode(der).decode()}\n-----END {kind} KEY-----\n".encode()


@pytest.mark.parametrize(("secret", "public", "message", "signature"), VECTORS)
def test_signatures_are_those_of_the_standard(secret: str, public: str, message: str, signature: str) -> None:
    signer = FileKey(private_key(pem("PRIVATE", PKCS8 + bytes.fromhex(secret))))
    trusted = FileKeys([public_key(pem("PUBLIC", SPKI + bytes.fromhex(public)))])
    data, made = bytes.fromhex(message), bytes.fromhex(signature)
    assert asyncio.run(signer.sign(data)) == made
    assert trusted.key_ids == (asyncio.run(signer.key_id()),)
    assert trusted.has_signed(made, data)
    assert not trusted.has_signed(made, data + b"!")
    assert not trusted.has_signed(made[:-1] + bytes([made[-1] ^ 1]), data)
    assert not trusted.has_signed(b"", data)


def test_each_pair_is_another_one() -> None:
    private, public, key_id = new_pair()
    assert asyncio.run(FileKey(private_key(private)).key_id()) == key_id
    assert FileKeys([public_key(public)]).key_ids == (key_id,)
    assert new_pair()[2] != key_id


RSA = rsa.generate_private_key(65537, 2048)
RSA_PRIVATE = RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
RSA_PUBLIC = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
LOCKED = private_key(new_pair()[0]).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "not a PEM file"), (new_pair()[1], "the private one signs"), (RSA_PRIVATE, "not an Ed25519 key"),
        (LOCKED, "passphrase"), (pem("PRIVATE", b"junk"), "damaged"),
    ],
)  # fmt: skip
def test_what_is_no_private_key_is_named(content: bytes, cause: str) -> None:
    with pytest.raises(KeyFileError, match=cause):
        private_key(content)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "not a PEM file"), (new_pair()[0], "name the public one"), (RSA_PUBLIC, "not an Ed25519 key"),
        (pem("PUBLIC", b"junk"), "damaged"),
    ],
)  # fmt: skip
def test_what_is_no_public_key_is_named(content: bytes, cause: str) -> None:
    with pytest.raises(KeyFileError, match=cause):
        public_key(content)
