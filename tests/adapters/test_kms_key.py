"""Keys in Cloud KMS: they sign as its API describes, and what fails is named."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from adapters.kms_server import DENIED, OTHER, VERSION, Kms, kms_server
from bqdump.adapters.google.kms import KmsKey
from bqdump.adapters.patience import Patience
from bqdump.adapters.signing_keys import FileKeys, public_key
from bqdump.core.errors import DeniedError, NotFoundError, UnavailableError, UsageError

QUICK = Patience(seconds=60.0, first_pause=0.001, longest_pause=0.001, tries=3)


@pytest.fixture
def kms(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kms]:
    with kms_server() as server:
        monkeypatch.setenv("CLOUD_KMS_EMULATOR_HOST", server.address)
        yield server


def test_a_key_signs_what_its_public_key_proves(kms: Kms) -> None:
    signer, trusted = KmsKey(VERSION, QUICK), FileKeys([public_key(kms.pem)])
    signature = asyncio.run(signer.sign(b"a manifest"))
    assert trusted.has_signed(signature, b"a manifest")
    assert (asyncio.run(signer.key_id()),) == trusted.key_ids
    assert kms.asked == [f"GET /v1/{VERSION}/publicKey", f"POST /v1/{VERSION}:asymmetricSign"]


def test_an_outage_and_a_damaged_answer_are_retried(kms: Kms) -> None:
    kms.unavailable, kms.damaged = 1, 1
    signature = asyncio.run(KmsKey(VERSION, QUICK).sign(b"a manifest"))
    assert FileKeys([public_key(kms.pem)]).has_signed(signature, b"a manifest")
    assert len(kms.asked) == 4


def test_answers_that_stay_damaged_are_an_error_and_sign_nothing(kms: Kms) -> None:
    kms.damaged = 100
    with pytest.raises(UnavailableError, match="damaged on the way"):
        asyncio.run(KmsKey(VERSION, QUICK).sign(b"a manifest"))


@pytest.mark.parametrize(
    ("version", "kind", "words"),
    [
        (DENIED, DeniedError, "roles/cloudkms.signerVerifier"),
        (VERSION.replace("/k/", "/none/"), NotFoundError, "not found"),
        (OTHER, UsageError, "it is a key for EC_SIGN_P256_SHA256, not EC_SIGN_ED25519"),
    ],
)
def test_a_key_that_cannot_sign_is_named(version: str, kind: type[Exception], words: str, kms: Kms) -> None:
    with pytest.raises(kind, match=words):
        asyncio.run(KmsKey(version, QUICK).key_id())
